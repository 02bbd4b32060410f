//! `[auth.hooks]` → [`Hooks`]: whom to ask, and secrets by which the asked one knows who asks.
//!
//! Absent: what is asked and what an answer means (`auth::hooks`).

use super::providers::is_issuer;
use super::report::{Report, codes};
use super::tree::{Data, Table};
use crate::settings::{Hook, HookSecret, Hooks};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most secrets of a hook: one, and some that are on their way in or out.
const SECRETS_MAX: usize = 5;
/// As Standard Webhooks has it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

pub(super) fn read(table: &Table, report: &mut Report) -> Hooks {
    let mut hooks = Hooks::default();
    for entry in &table.entries {
        let Data::Table(hook) = &entry.value.data else { continue };
        let read = read_one(&entry.key, entry.place, hook, report);
        match entry.key.as_str() {
            "before_user_created" => hooks.before_user_created = read,
            "custom_access_token" => hooks.custom_access_token = read,
            _ => {}
        }
    }
    hooks
}

fn read_one(name: &str, place: super::report::Place, table: &Table, report: &mut Report) -> Option<Hook> {
    if table.bool("enabled") == Some(false) {
        return None;
    }
    let mut is_good = true;
    match table.text("url") {
        Some((url, _)) if is_issuer(url) => {}
        Some((_, place)) => {
            is_good = false;
            report
                .error(place, codes::BAD_VALUE, "\"url\" is not an https URL without query and fragment")
                .hint("write it like \"https://hooks.example.org/sign-up\"; http is for this machine alone");
        }
        None => {
            is_good = false;
            report
                .error(place, codes::BAD_VALUE, format!("the hook \"{name}\" needs a \"url\""))
                .hint("write whom to ask, like \"https://hooks.example.org/sign-up\", or enabled = false");
        }
    }
    let (texts, secrets_place) = table.text("secrets").unwrap_or(("", place));
    let secrets: Option<Vec<HookSecret>> = texts.split('|').map(|text| secret(text.trim())).collect();
    let secrets = secrets.filter(|secrets| secrets.len() <= SECRETS_MAX);
    if secrets.is_none() {
        report
            .error(secrets_place, codes::BAD_VALUE, format!("the hook \"{name}\" has no \"secrets\" that are some"))
            .hint("each is v1,whsec_ and the base64 of 24 to 64 random octets; at most five, with | between");
    }
    let (url, _) = table.text("url").filter(|_| is_good)?;
    Some(Hook { url: url.to_owned(), secrets: secrets? })
}

/// `v1,whsec_…`, decoded.
fn secret(text: &str) -> Option<HookSecret> {
    let octets = STANDARD.decode(text.strip_prefix("v1,whsec_")?).ok()?;
    SECRET_BYTES.contains(&octets.len()).then(|| HookSecret::new(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_those_of_standard_webhooks() {
        let of = |octets: usize| format!("v1,whsec_{}", STANDARD.encode(vec![7; octets]));
        for good in [of(24), of(32), of(64)] {
            assert!(secret(&good).is_some(), "{good}");
        }
        for bad in
            [of(23), of(65), of(32).replace("v1,", ""), of(32).replace("v1,", "v1a,"), "v1,whsec_!".into(), "".into()]
        {
            assert!(secret(&bad).is_none(), "{bad}");
        }
    }
}
