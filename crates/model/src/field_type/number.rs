//! Numbers as they are written, read exactly: `1.0`, `1e3` and `-0.50` are digits and a power of ten, never a double on the way.

/// A number as `digits × 10^exponent`, without trailing zeros in `digits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    digits: i128,
    exponent: i64,
}

/// More significant digits than any kind can hold are refused while reading.
const DIGITS_MAX: u32 = 38;

impl Exact {
    /// Reads JSON's number grammar, plus a leading `+` and missing leading zeros, which URLs and CSV cells have.
    pub(super) fn parse(text: &str) -> Option<Exact> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits = 0i128;
        let mut significant = 0;
        let mut pending_zeros = 0u32;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
            if digit == 0 {
                // Zeros are only counted until another digit follows, so that `1.000…` of any length is one digit.
                pending_zeros += u32::from(digits != 0);
                continue;
            }
            significant += pending_zeros + 1;
            if significant > DIGITS_MAX {
                return None;
            }
            digits = digits * 10i128.pow(pending_zeros + 1) + digit;
            pending_zeros = 0;
        }
        if digits == 0 {
            return Some(Exact { digits: 0, exponent: 0 });
        }
        let exponent = exponent - fraction.len() as i64 + i64::from(pending_zeros);
        Some(Exact { digits: if negative { -digits } else { digits }, exponent })
    }

    /// The number times `10^scale` when that is a whole `i64`. `Err(true)`: it has more digits after the point than `scale`.
    pub(super) fn unscaled(self, scale: u8) -> Result<i64, bool> {
        let power = self.exponent + i64::from(scale);
        if power < 0 {
            return Err(true);
        }
        u32::try_from(power)
            .ok()
            .and_then(|power| 10i128.checked_pow(power))
            .and_then(|factor| self.digits.checked_mul(factor))
            .and_then(|unscaled| i64::try_from(unscaled).ok())
            .ok_or(false)
    }
}

/// A power of ten, within reason.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Whether text is a number as JSON and URLs write it, so that Rust's more generous float parser (`inf`, `NaN`) is not asked.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'))
}
