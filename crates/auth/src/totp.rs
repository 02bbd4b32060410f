//! One-time passwords by time (RFC 6238): making a secret, showing it, and which time step a code is of.
//!
//! SHA-1, six digits, thirty seconds: what every authenticator app knows, and many know nothing else. RFC 4226's construction does not lean on
//! the property that SHA-1 lost. Absent: that a code counts once ([`crate::factors`] keeps the last step).

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use totp_rs::{Builder, Secret, Totp};

/// Octets of a secret, as RFC 4226 §4 recommends.
pub(crate) const SECRET_BYTES: usize = 20;
/// Clocks may differ by one step, before or after.
const SKEW_STEPS: u16 = 1;
/// Longest text in a label; longer ones are cut, since a QR code has its limits.
const LABEL_CHARS_MAX: usize = 100;

/// How a secret is shown to its owner, once.
pub(crate) struct Shown {
    pub(crate) secret: String,
    pub(crate) uri: String,
    pub(crate) qr: String,
}

/// A colon separates the two parts of a label, and may be in neither.
fn label(text: &str) -> String {
    text.chars().filter(|character| *character != ':' && !character.is_control()).take(LABEL_CHARS_MAX).collect()
}

fn totp(secret: &[u8]) -> Builder {
    Builder::new().with_secret(Secret::new(secret.into())).with_skew(SKEW_STEPS)
}

/// The secret as people and apps take it. `None` for what no app could take.
pub(crate) fn show(secret: &[u8], issuer: &str, account: &str) -> Option<Shown> {
    let totp: Totp = totp(secret).with_issuer(Some(label(issuer))).with_account_name(label(account)).build().ok()?;
    let uri = totp.to_url().ok()?;
    let code = QrCode::with_error_correction_level(&uri, EcLevel::M).ok()?;
    // Colours by their names: clients put the document into a `data:` URL as it is, and there a `#` would end it.
    let mut drawn = code.render::<svg::Color<'_>>();
    drawn.dark_color(svg::Color("black")).light_color(svg::Color("white")).min_dimensions(200, 200);
    let qr = drawn.build().replace('\n', "");
    Some(Shown { secret: totp.secret().to_base32(), uri, qr })
}

/// The time step whose code this is, if it is one of those that count now; `now` in microseconds.
pub(crate) fn step(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let seconds = u64::try_from(now.div_euclid(1_000_000)).ok()?;
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    i64::try_from(totp(secret).build().ok()?.check(code, seconds)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B: eight digits there, of which ours are the last six.
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"), (20_000_000_000i64, "353130")]
        {
            let at = |seconds: i64| step(b"12345678901234567890", code, seconds * 1_000_000);
            assert_eq!(at(seconds), Some(seconds / 30));
            assert_eq!(at(seconds + 30), Some(seconds / 30), "a step late");
            assert_eq!(at(seconds - 30), Some(seconds / 30), "a step early");
            assert_eq!(at(seconds + 60), None);
            assert_eq!(at(seconds - 60), None);
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        for code in ["", "28708", "2870820", "28 7082", "２８７０８２", "28708a", "-87082", "287082\n", "+28708"]
        {
            assert_eq!(step(b"12345678901234567890", code, 59_000_000), None, "{code}");
        }
        assert_eq!(step(b"short", "287082", 59_000_000), None);
        assert_eq!(step(b"12345678901234567890", "755224", -1), None);
    }

    #[test]
    fn the_picture_may_stand_in_a_url() {
        let shown = show(b"12345678901234567890", "Bob's: Blog & Co", "ann@example.org").unwrap();
        assert_eq!(shown.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            shown.uri,
            "otpauth://totp/Bob%27s%20Blog%20%26%20Co:ann%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Bob%27s%20Blog%20%26%20Co"
        );
        assert!(shown.qr.starts_with("<?xml") && shown.qr.ends_with("</svg>"));
        assert!(!shown.qr.contains(['#', '%', '\n']));
        assert!(show(b"12345678901234567890", &"ä:".repeat(500), &"x".repeat(500)).is_some());
    }
}
