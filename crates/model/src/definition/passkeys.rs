//! `[auth.passkeys]` → [`Passkeys`]: a domain that browsers take, and pages that may ask for its keys.
//!
//! Absent: what is taken when nothing is said here (`auth::passkeys`, which knows the public URL).

use super::report::{Report, codes};
use super::tree::Table;
use crate::settings::Passkeys;

/// Most origins.
const ORIGINS_MAX: usize = 50;
/// Longest name of a domain (RFC 1035 §2.3.4).
const DOMAIN_CHARS_MAX: usize = 253;

pub(super) fn read(table: &Table, report: &mut Report) -> Passkeys {
    let rp_id = table.text("rp_id").map(|(id, place)| {
        if !is_domain(id) {
            report
                .error(place, codes::BAD_VALUE, "\"rp_id\" is not a domain")
                .hint("write it like \"example.org\", in small letters, without a scheme, a port or a path");
        }
        id.to_owned()
    });
    let mut rp_origins = Vec::new();
    for node in table.items("rp_origins") {
        let Some(origin) = node.text() else { continue };
        let wrong = if rp_origins.len() == ORIGINS_MAX {
            Some("is one too many")
        } else {
            check_origin(origin, rp_id.as_deref())
        };
        if let Some(why) = wrong {
            report
                .error(node.place, codes::BAD_VALUE, format!("\"{origin}\" {why}"))
                .hint("write it like \"https://app.example.org\", in small letters, without a path and without a port that goes without saying");
        }
        rp_origins.push(origin.to_owned());
    }
    Passkeys { enabled: table.bool("enabled").unwrap_or(true), rp_id, rp_origins }
}

/// Names with a dot, and `localhost`: what browsers take. An address is none.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(is_good)
    };
    let is_top = |top: &str| top.bytes().any(|byte| byte.is_ascii_lowercase());
    name == "localhost"
        || name.len() <= DOMAIN_CHARS_MAX
            && name.contains('.')
            && name.split('.').all(is_label)
            && name.rsplit('.').next().is_some_and(is_top)
}

/// What is wrong with an origin: compared as it is, so it must be written as browsers write it.
fn check_origin(origin: &str, rp_id: Option<&str>) -> Option<&'static str> {
    if let Some(hash) = origin.strip_prefix("android:apk-key-hash:") {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        return (hash.len() != 43 || !hash.bytes().all(is_good)).then_some("is no SHA-256 in base64url");
    }
    let (is_secure, rest) = match origin.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, origin.strip_prefix("http://").unwrap_or_default()),
    };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let usual = if is_secure { "443" } else { "80" };
    let is_port = port.is_none_or(|port| port != usual && !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok());
    if !is_domain(host) || !is_port {
        return Some("is not an origin");
    }
    if !is_secure && host != "localhost" && !host.ends_with(".localhost") {
        return Some("is in the clear, where browsers give no passkeys");
    }
    let is_within = |id: &str| host == id || host.strip_suffix(id).is_some_and(|rest| rest.ends_with('.'));
    rp_id.is_some_and(|id| !is_within(id)).then_some("is not within \"rp_id\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_those_that_browsers_take() {
        for good in ["localhost", "example.org", "a-b.example.co.uk", "xn--bcher-kva.example", "1.example"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in
            ["", "example", "Example.org", "127.0.0.1", "[::1]", "a..b", ".a.b", "a.b.", "-a.b", "https://a.b", "a.b:1"]
        {
            assert!(!is_domain(bad), "{bad}");
        }
    }

    #[test]
    fn origins_are_as_browsers_write_them_and_within_the_domain() {
        let hash = format!("android:apk-key-hash:{}", "a".repeat(43));
        for (good, id) in [
            ("https://example.org", Some("example.org")),
            ("https://app.example.org:8443", Some("example.org")),
            ("http://localhost:3000", Some("localhost")),
            ("https://elsewhere.example", None),
            (&hash, Some("example.org")),
        ] {
            assert_eq!(check_origin(good, id), None, "{good}");
        }
        for bad in [
            "https://notexample.org",
            "https://example.org.evil.net",
            "https://example.org/",
            "https://example.org:443",
            "https://example.org:0443",
            "https://Example.org",
            "http://example.org",
            "https://user@example.org",
            "https://*.example.org",
            "ftp://example.org",
            "null",
            "",
            "android:apk-key-hash:short",
        ] {
            assert!(check_origin(bad, Some("example.org")).is_some(), "{bad}");
        }
    }
}
