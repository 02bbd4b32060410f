//! `[auth.captcha]` → [`Captcha`]: whose puzzle it is, and where its solutions are verified.
//!
//! Absent: when one is asked for (`api::auth`), and asking (`auth::captcha`).

use super::providers::is_issuer;
use super::report::{Place, Report, codes};
use super::tree::Table;
use crate::diagnostic::Span;
use crate::settings::{Captcha, Concealed, Settings};

/// Where each provider verifies solutions, as its documentation has it.
const HCAPTCHA: &str = "https://api.hcaptcha.com/siteverify";
const TURNSTILE: &str = "https://challenges.cloudflare.com/turnstile/v0/siteverify";

pub(super) fn read(table: &Table, report: &mut Report) -> Option<Captcha> {
    if table.bool("enabled") == Some(false) {
        return None;
    }
    let place = |key: &str| {
        let entry = table.get(key).or_else(|| table.entries.first());
        entry.map_or(Place { source: 0, span: Span::default() }, |entry| entry.place)
    };
    let own = match table.text("provider").map(|(provider, _)| provider) {
        Some("hcaptcha") => Some(HCAPTCHA),
        Some("turnstile") => Some(TURNSTILE),
        Some(_) => None,
        None => {
            report
                .error(place("provider"), codes::BAD_VALUE, "[auth.captcha] needs a \"provider\"")
                .hint("\"hcaptcha\" or \"turnstile\", or enabled = false");
            None
        }
    };
    let secret = table.text("secret").map(|(secret, _)| secret.trim()).filter(|secret| !secret.is_empty());
    if secret.is_none() {
        report
            .error(place("secret"), codes::BAD_VALUE, "[auth.captcha] needs a \"secret\"")
            .hint("write ${CAPTCHA_SECRET}, and set that variable");
    }
    let url = match table.text("url") {
        Some((url, place)) if !is_issuer(url) => {
            report
                .error(place, codes::BAD_VALUE, "\"url\" is not an https URL without query and fragment")
                .hint("leave it out for the provider's own; http is for this machine alone");
            return None;
        }
        Some((url, _)) => Some(url),
        None => own,
    };
    Some(Captcha { url: url?.to_owned(), secret: Concealed::new(secret?) })
}

/// The pages show no puzzle, since they have nothing of third parties: with both, whoever has no solution would go there.
pub(super) fn check_pages(pages: &Table, settings: &Settings, report: &mut Report) {
    if let (Some(_), Some(true), Some(entry)) = (&settings.auth.captcha, pages.bool("enabled"), pages.get("enabled")) {
        report
            .error(entry.place, codes::BAD_VALUE, "the sign-in pages cannot show the puzzle of [auth.captcha]")
            .hint("turn one of them off");
    }
}
