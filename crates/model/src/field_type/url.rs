//! `url`: an absolute http or https URL of at most 2,048 characters, without a user name or a password in it.

use super::Violation;
use serde_json::{Value as Json, json};

pub(super) const CHARS_MAX: usize = 2_048;
const HOST_MAX: usize = 253;

pub(super) fn validate(text: &str) -> Result<(), Violation> {
    if is_url(text) { Ok(()) } else { Err(Violation::new("url", "must be an absolute http or https URL")) }
}

fn is_url(text: &str) -> bool {
    // ASCII white space and control characters are what parsers disagree about; quotes and angle brackets break out of HTML.
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\' | '`');
    if text.chars().count() > CHARS_MAX || text.contains(forbidden) {
        return false;
    }
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    is_authority(rest.split(['/', '?', '#']).next().unwrap_or(""))
}

/// Host and port. A user name is refused: `https://bank.example@evil.example` is only ever a trick.
fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => match port.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let host_ok = if authority.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        let host = host.strip_suffix('.').unwrap_or(host);
        // Labels may be international; an underscore is no host name but is out there.
        !host.is_empty()
            && host.len() <= HOST_MAX
            && host
                .split('.')
                .all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_'))
    };
    host_ok && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "format": "uri", "maxLength": CHARS_MAX })
}
