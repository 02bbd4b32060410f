//! Values as they are written on the wire. Every function appends to a buffer and allocates nothing of its own: these run once per
//! cell of every answer.
//!
//! Absent: reading (that is `accept_json` and `accept_text` of each type) and any notion of fields.

use super::bytes::BASE64;
use super::calendar::{DAY_MICROS, civil_from_days};
use crate::value::{Decimal, Value};
use base64::Engine as _;
use std::time::Duration;
use uuid::Uuid;

/// A value as JSON: what a response body, a change event and an index on JSON hold.
pub fn write_json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(number) => write_int(out, *number),
        Value::Float(number) => match number.get() {
            number if number.is_finite() => write_float(out, number),
            // No JSON number is infinite; PostgreSQL writes the word as a string too.
            number => out.extend_from_slice(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" }),
        },
        Value::Decimal(number) => write_decimal(out, *number),
        Value::Text(text) => write_json_string(out, text),
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::List(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_json(out, item);
            }
            out.push(b']');
        }
        // What follows never needs an escape.
        Value::Uuid(_)
        | Value::Timestamp(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Duration(_)
        | Value::Bytes(_) => {
            out.push(b'"');
            write_text(out, value);
            out.push(b'"');
        }
    }
}

/// A value as plain text: a CSV cell, a cast to text. Null is nothing at all; a list is its JSON.
pub fn write_text(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => {}
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Uuid(id) => write_uuid(out, *id),
        Value::Timestamp(micros) => write_timestamp(out, *micros),
        Value::Date(days) => write_date(out, *days),
        Value::Time(micros) => write_time(out, *micros),
        Value::Duration(micros) => write_duration(out, *micros),
        Value::Bytes(octets) => write_base64(out, octets),
        Value::Float(number) if !number.get().is_finite() => {
            out.extend_from_slice(if number.get() > 0.0 { b"Infinity" } else { b"-Infinity" });
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Json(_) | Value::List(_) => {
            write_json(out, value);
        }
    }
}

/// The text form of a value as a string, for messages and keys; the hot path appends instead.
pub fn to_text(value: &Value) -> String {
    let mut out = Vec::new();
    write_text(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

/// The JSON form of a value as a string.
pub fn to_json(value: &Value) -> String {
    let mut out = Vec::new();
    write_json(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

/// A 64-bit integer in full.
pub fn write_int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The shortest digits that read back as the same double; no `.0` on whole numbers, as in PostgreSQL. The number must be finite.
pub fn write_float(out: &mut Vec<u8>, number: f64) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format(number);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

/// Milliseconds with three digits after the point, as logs and `Server-Timing` say how long something took.
pub fn write_milliseconds(out: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1_000).as_bytes());
    // Below a thousand, so it is three digits.
    let rest = (micros % 1_000) as u16;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

fn digit(number: u16) -> u8 {
    b'0' + (number % 10) as u8
}

/// Plain notation with exactly `scale` digits after the point.
pub fn write_decimal(out: &mut Vec<u8>, number: Decimal) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number.unscaled.unsigned_abs());
    let scale = usize::from(number.scale);
    if number.unscaled < 0 {
        out.push(b'-');
    }
    if scale == 0 {
        return out.extend_from_slice(digits.as_bytes());
    }
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
    out.push(b'.');
    out.resize(out.len() + (scale - fraction.len()), b'0');
    out.extend_from_slice(fraction.as_bytes());
}

/// Small letters with hyphens.
pub fn write_uuid(out: &mut Vec<u8>, id: Uuid) {
    out.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

/// `2026-11-22T21:34:33.5+00:00`: UTC, with as many digits of a second as there are, like PostgreSQL.
pub fn write_timestamp(out: &mut Vec<u8>, micros: i64) {
    write_day(out, micros.div_euclid(DAY_MICROS));
    out.push(b'T');
    write_time(out, micros.rem_euclid(DAY_MICROS));
    out.extend_from_slice(b"+00:00");
}

/// `2026-11-22`.
pub fn write_date(out: &mut Vec<u8>, days: i32) {
    write_day(out, i64::from(days));
}

/// `21:34:33.5`.
pub fn write_time(out: &mut Vec<u8>, micros: i64) {
    // A time from an adopted database may be out of range; it is shown within its day rather than as nonsense.
    let micros = micros.rem_euclid(DAY_MICROS);
    let seconds = micros / 1_000_000;
    two_digits(out, (seconds / 3_600) as u8);
    out.push(b':');
    two_digits(out, (seconds / 60 % 60) as u8);
    out.push(b':');
    two_digits(out, (seconds % 60) as u8);
    write_fraction(out, (micros % 1_000_000) as u32);
}

/// Seconds with an `s`, as CEL writes durations: `90s`, `-0.5s`.
pub fn write_duration(out: &mut Vec<u8>, micros: i64) {
    if micros < 0 {
        out.push(b'-');
    }
    let magnitude = micros.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(magnitude / 1_000_000).as_bytes());
    write_fraction(out, (magnitude % 1_000_000) as u32);
    out.push(b's');
}

/// Base64 with padding.
pub fn write_base64(out: &mut Vec<u8>, octets: &[u8]) {
    let start = out.len();
    out.resize(start + octets.len().div_ceil(3) * 4, 0);
    // The room is exactly what padded base64 takes, so this cannot fail; were it to, the text would be cut, never too long.
    let written = BASE64.encode_slice(octets, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// A JSON string with its quotes. Runs without anything to escape are copied whole.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    let mut position = 0;
    while position < bytes.len() {
        if let Some(eight) = bytes[position..].first_chunk::<8>()
            && is_plain(u64::from_ne_bytes(*eight))
        {
            position += 8;
            continue;
        }
        let byte = &bytes[position];
        position += 1;
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..position - 1]);
        copied = position;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Whether none of eight bytes needs an escape: none is below 0x20, a quote or a backslash. The classic word-at-a-time tests
/// ("Bit Twiddling Hacks", `hasless` and `haszero`).
fn is_plain(eight: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let below_space = eight.wrapping_sub(ONES * 0x20) & !eight & HIGH;
    below_space | has_zero(eight ^ (ONES * b'"' as u64)) | has_zero(eight ^ (ONES * b'\\' as u64)) == 0
}

fn write_day(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if (0..10_000).contains(&year) {
        two_digits(out, (year / 100) as u8);
        two_digits(out, (year % 100) as u8);
    } else {
        // Only an adopted database has such years. ISO 8601's expanded form.
        out.push(if year < 0 { b'-' } else { b'+' });
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(year.unsigned_abs());
        out.resize(out.len() + 6usize.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(digits.as_bytes());
    }
    out.push(b'-');
    two_digits(out, month as u8);
    out.push(b'-');
    two_digits(out, day as u8);
}

fn two_digits(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
}

/// `.5` of 500,000 microseconds; nothing of none.
fn write_fraction(out: &mut Vec<u8>, micros: u32) {
    if micros == 0 {
        return;
    }
    let mut digits = [b'0'; 6];
    let mut rest = micros;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..kept]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn milliseconds_have_three_digits_after_the_point() {
        for (micros, expected) in [(0, "0.000"), (7, "0.007"), (1_040, "1.040"), (3_600_000_999, "3600000.999")] {
            let mut out = Vec::new();
            write_milliseconds(&mut out, Duration::from_micros(micros));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn writes_what_clients_expect() {
        let decimal = |unscaled, scale| Value::Decimal(Decimal { unscaled, scale });
        let cases: &[(Value, &str)] = &[
            (Value::Null, "null"),
            (Value::Bool(true), "true"),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::float(1.0), "1"),
            (Value::float(0.1), "0.1"),
            (Value::float(-0.0), "0"),
            (Value::float(1e300), "1e300"),
            (Value::float(1.5e-7), "1.5e-7"),
            (Value::float(f64::INFINITY), "\"Infinity\""),
            (decimal(-5, 2), "-0.05"),
            (decimal(1234, 2), "12.34"),
            (decimal(0, 3), "0.000"),
            (decimal(7, 0), "7"),
            (decimal(i64::MAX, 18), "9.223372036854775807"),
            (Value::text("a\"b\\c\n\u{1}é😀\u{7f}"), "\"a\\\"b\\\\c\\n\\u0001é😀\u{7f}\""),
            (Value::Timestamp(1_795_383_273_123_456), "\"2026-11-22T21:34:33.123456+00:00\""),
            (Value::Timestamp(1_795_383_273_500_000), "\"2026-11-22T21:34:33.5+00:00\""),
            (Value::Timestamp(1_795_383_273_000_000), "\"2026-11-22T21:34:33+00:00\""),
            (Value::Timestamp(-1), "\"1969-12-31T23:59:59.999999+00:00\""),
            (Value::Date(0), "\"1970-01-01\""),
            (Value::Time(3_600_000_001), "\"01:00:00.000001\""),
            (Value::Duration(-1_500_000), "\"-1.5s\""),
            (Value::Uuid(Uuid::nil()), "\"00000000-0000-0000-0000-000000000000\""),
            (Value::Bytes(vec![]), "\"\""),
            (Value::Bytes(vec![0xff, 0xfe]), "\"//4=\""),
            (Value::Json("{\"a\":1}".into()), "{\"a\":1}"),
            (Value::List(vec![Value::text("a"), Value::text("b")]), "[\"a\",\"b\"]"),
        ];
        for (value, expected) in cases {
            assert_eq!(&to_json(value), expected);
            let reread: Result<serde_json::Value, _> = serde_json::from_str(expected);
            assert!(reread.is_ok(), "{expected} is JSON");
        }
    }

    #[test]
    fn strings_agree_with_serde_json() {
        // Every byte below 0x80 at every place of a word, beside characters of two, three and four bytes.
        for c in (0..0x80u8).map(char::from).chain("é€😀\u{7f}\u{80}\u{9f}".chars()) {
            for before in 0..10 {
                for after in 0..10 {
                    let text = format!("{}{c}{}", "a".repeat(before), "é".repeat(after));
                    let mut ours = Vec::new();
                    write_json_string(&mut ours, &text);
                    assert_eq!(ours, serde_json::to_vec(&text).unwrap(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn decimals_agree_with_their_display() {
        for unscaled in [0, 1, -1, 9, 10, 99, 100, -100, 123_456_789, i64::MAX, i64::MIN + 1] {
            for scale in 0..=18 {
                let number = Decimal { unscaled, scale };
                assert_eq!(to_text(&Value::Decimal(number)), number.to_string());
            }
        }
    }

    #[test]
    fn timestamps_agree_with_jiff() {
        for step in 0..2_000i64 {
            let micros = -62_135_596_800_000_000 + step * 157_784_630_399_937;
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            let ours = to_text(&Value::Timestamp(micros));
            assert_eq!(ours.parse::<jiff::Timestamp>().unwrap(), theirs, "{ours}");
        }
        for odd in [i64::MIN, i64::MAX] {
            to_text(&Value::Timestamp(odd));
        }
    }
}
