//! `email`: an address as browsers take it (<https://html.spec.whatwg.org/#valid-e-mail-address>), at most 254 characters.
//!
//! Absent: folding of case. Whether `Ann@x.org` is `ann@x.org` is for the sign-in to decide, not for a field.

use super::Violation;
use serde_json::{Value as Json, json};

pub(super) const CHARS_MAX: usize = 254;
const LOCAL_MAX: usize = 64;
const LABEL_MAX: usize = 63;

pub(super) fn validate(text: &str) -> Result<(), Violation> {
    if is_email(text) { Ok(()) } else { Err(Violation::new("email", "must be an e-mail address")) }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_ok = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    text.len() <= CHARS_MAX
        && (1..=LOCAL_MAX).contains(&local.len())
        && local.bytes().all(local_ok)
        && domain.split('.').all(is_label)
}

/// Letters, digits and inner hyphens.
pub(super) fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "format": "email", "maxLength": CHARS_MAX })
}
