//! `[auth.providers.NAME]` → [`Provider`]: what each needs is there, and nothing of it can be sent in the clear.
//!
//! Absent: how a provider is spoken to (`auth::oauth`).

use super::report::{Place, Report, codes};
use super::tree::{Data, Table};
use crate::settings::{Concealed, Provider, READY_MADE, SecretSigner};
use std::net::IpAddr;

/// Most providers.
const PROVIDERS_MAX: usize = 50;
/// Longest name of one.
const NAME_CHARS_MAX: usize = 40;

pub(super) fn read(all: &Table, report: &mut Report) -> Vec<Provider> {
    let mut providers = Vec::new();
    for entry in &all.entries {
        let Data::Table(table) = &entry.value.data else { continue };
        if !is_name(&entry.key) {
            report
                .error(entry.place, codes::BAD_NAME, format!("\"{}\" is no name of a provider", entry.key))
                .hint("small letters, digits and _, a letter first; email, phone, anonymous, web3 and pages are taken");
        } else if providers.len() == PROVIDERS_MAX {
            report.error(entry.place, codes::BAD_VALUE, format!("there are more than {PROVIDERS_MAX} providers"));
        } else if let Some(provider) = read_one(&entry.key, entry.place, table, report) {
            providers.push(provider);
        }
    }
    providers.sort_by(|one: &Provider, two| one.name.cmp(&two.name));
    providers
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !["email", "phone", "anonymous", "web3", "pages"].contains(&name)
}

fn read_one(name: &str, place: Place, table: &Table, report: &mut Report) -> Option<Provider> {
    let text = |key: &str| table.text(key).map(|(text, _)| text.trim().to_owned()).filter(|text| !text.is_empty());
    let texts = |key: &str| table.items(key).iter().filter_map(|node| node.text().map(str::to_owned)).collect();
    let issuer = text("issuer");
    if issuer.is_none() && !READY_MADE.contains(&name) {
        report.error(place, codes::BAD_VALUE, format!("the provider \"{name}\" needs an \"issuer\"")).hint(format!(
            "write issuer = \"https://login.example.org\"; without one there are {}",
            READY_MADE.join(", ")
        ));
    }
    if let (Some(issuer), Some((_, place))) = (&issuer, table.text("issuer"))
        && !is_issuer(issuer)
    {
        report
            .error(place, codes::BAD_VALUE, "\"issuer\" is not an https URL without query and fragment")
            .hint("write it as the provider does, like \"https://login.example.org\"; http is for this machine alone");
    }
    let parts = [text("team_id"), text("key_id"), text("private_key")];
    let is_apple = name == "apple";
    let signer = match parts {
        [Some(team_id), Some(key_id), Some(key)] if is_apple => {
            Some(SecretSigner { team_id, key_id, private_key: Concealed::new(key) })
        }
        [None, None, None] => None,
        _ if is_apple => {
            report
                .error(place, codes::BAD_VALUE, "\"team_id\", \"key_id\" and \"private_key\" go together")
                .hint("all three, or a client_secret that was signed elsewhere");
            None
        }
        _ => {
            report.error(place, codes::BAD_VALUE, "\"team_id\", \"key_id\" and \"private_key\" are for apple alone");
            None
        }
    };
    let Some(client_id) = text("client_id") else {
        report
            .error(place, codes::BAD_VALUE, format!("the provider \"{name}\" needs a \"client_id\""))
            .hint("the provider gives one to whoever registers an application");
        return None;
    };
    Some(Provider {
        name: name.to_owned(),
        enabled: table.bool("enabled").unwrap_or(true),
        client_id,
        client_secret: text("client_secret").map(Concealed::new),
        issuer,
        scopes: texts("scopes"),
        audiences: texts("audiences"),
        trust_email: table.bool("trust_email").unwrap_or(false),
        signer,
    })
}

/// An https URL of a host and perhaps a path; http for who is on this machine.
pub(super) fn is_issuer(url: &str) -> bool {
    let host = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    let is_plain = |rest: &str| {
        rest.bytes().all(|byte| (0x21..0x7f).contains(&byte) && !b"?#@\\<>\"`{}^|".contains(&byte))
            && !host(rest).is_empty()
    };
    match url.split_once("://") {
        Some(("https", rest)) => is_plain(rest),
        Some(("http", rest)) => is_plain(rest) && is_here(&host(rest)),
        _ => false,
    }
}

/// Whether a host with its port is this machine.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers() {
        let check = |url: &str, expected: bool| assert_eq!(is_issuer(url), expected, "{url}");
        for good in
            ["https://accounts.google.com", "https://a.org:8443/realms/x", "http://127.0.0.1:5", "http://[::1]:5/x"]
        {
            check(good, true);
        }
        for bad in [
            "",
            "https://",
            "http://a.org",
            "http://127.0.0.1.evil.org",
            "ftp://a.org",
            "https://a.org?x",
            "https://a@b.org",
            "https://a.org#x",
            "https://a.org/ x",
            "http://localhost@evil.org",
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn names() {
        for good in ["google", "linkedin_oidc", "x2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Google", "a-b", "2x", "_x", "email", "pages", &"x".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
