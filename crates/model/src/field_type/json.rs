//! `json`: any JSON value, optionally bound by a JSON Schema (see [`super::schema`]).
//!
//! A value has one text on every store: its *canonical form*, made when it enters and never again. It is what PostgreSQL's `jsonb`
//! keeps, without its spaces: members ordered by the length of their names in UTF-8 and then by its bytes, of members with one name
//! the last, numbers in plain notation with the digits that were given (`1.50`, `100` for `1e2`, `0` for `-0`), strings escaped no
//! more than they must be. What `jsonb` cannot keep is refused: U+0000 in a string or a name, and numbers of too many digits.
//!
//! Absent: putting what is stored in order. An adopted database shows what it holds.

use super::wire::write_json_string;
use super::{Violation, schema};
use crate::value::Value;
use serde_json::{Value as Json, json};

/// Most digits of a number in plain notation, before and after the point together. Any double has fewer; `jsonb` keeps more, but an
/// exponent must not turn ten bytes of a request into a hundred thousand.
pub const NUMBER_DIGITS_MAX: usize = 1_000;
/// Most digits that the exponents of one value may add beyond [`NUMBER_DIGITS_FREE`] a number, for the same reason.
pub const ADDED_DIGITS_MAX: usize = 10_000;
/// A number of so many digits counts for nothing: measurements like `1.25e-7` are many and short.
const NUMBER_DIGITS_FREE: usize = 40;

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    canonical(json).map(Value::Json)
}

pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    let json: Json = serde_json::from_str(text).map_err(|_| "expected JSON")?;
    accept_json(&json)
}

/// The canonical form of a value, as the head of this file tells it. The depth is the JSON parser's.
///
/// # Errors
/// One sentence for the caller: a text with U+0000, or numbers beyond [`NUMBER_DIGITS_MAX`] or [`ADDED_DIGITS_MAX`].
pub fn canonical(json: &Json) -> Result<String, String> {
    let mut out = Vec::new();
    write(&mut out, &mut 0, json)?;
    String::from_utf8(out).map_err(|_| "expected JSON".into())
}

/// [`canonical`] of JSON text; `None` when it is no JSON, or has no canonical form.
pub fn canonical_text(text: &str) -> Option<String> {
    canonical(&serde_json::from_str(text).ok()?).ok()
}

/// `added` counts digits against [`ADDED_DIGITS_MAX`].
fn write(out: &mut Vec<u8>, added: &mut usize, json: &Json) -> Result<(), String> {
    match json {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Json::Number(number) => write_number(out, added, number.as_str())?,
        Json::String(text) => write_string(out, text)?,
        Json::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(out, added, item)?;
            }
            out.push(b']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<(&String, &Json)> = members.iter().collect();
            sorted.sort_unstable_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            out.push(b'{');
            for (position, (name, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_string(out, name)?;
                out.push(b':');
                write(out, added, value)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(out: &mut Vec<u8>, text: &str) -> Result<(), String> {
    if text.as_bytes().contains(&0) {
        return Err(
            "text must not contain the character U+0000; leave it out, or keep such data in a field of bytes".into()
        );
    }
    write_json_string(out, text);
    Ok(())
}

/// A number of JSON's grammar in plain notation, as PostgreSQL's `numeric` prints it.
fn write_number(out: &mut Vec<u8>, added: &mut usize, text: &str) -> Result<(), String> {
    let too_long = || format!("numbers must have at most {NUMBER_DIGITS_MAX} digits when written without an exponent");
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zero = digits.iter().all(|digit| *digit == b'0');
    // An exponent that fits into no number is beyond any limit; its sign still tells in which direction.
    let beyond = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    let exponent: i64 = exponent.parse().unwrap_or(beyond).clamp(i64::MIN / 4, i64::MAX / 4);
    let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX / 4);
    let scale = usize::try_from((length(fraction) - exponent).max(0)).unwrap_or(usize::MAX);
    // Where the point comes to stand among the digits.
    let point = if zero { 0 } else { length(whole) + exponent };
    let point_within = usize::try_from(point).unwrap_or(0).min(digits.len());
    let before = &digits[..point_within];
    let before = &before[before.iter().take_while(|digit| **digit == b'0').count()..];
    let zeros_before = if before.is_empty() { 0 } else { usize::try_from(point).unwrap_or(0) - point_within };
    let total = before.len().saturating_add(zeros_before).saturating_add(scale);
    if total > NUMBER_DIGITS_MAX {
        return Err(too_long());
    }
    *added += total.saturating_sub(digits.len().max(NUMBER_DIGITS_FREE));
    if *added > ADDED_DIGITS_MAX {
        return Err(format!("numbers with exponents must not add more than {ADDED_DIGITS_MAX} digits to one value"));
    }
    if negative && !zero {
        out.push(b'-');
    }
    if before.is_empty() {
        out.push(b'0');
    }
    out.extend_from_slice(before);
    out.resize(out.len() + zeros_before, b'0');
    if scale > 0 {
        let after = if zero { &[][..] } else { &digits[point_within..] };
        out.push(b'.');
        out.resize(out.len() + scale.saturating_sub(after.len()), b'0');
        out.extend_from_slice(after);
    }
    Ok(())
}

pub(super) fn validate(schema: Option<&Json>, text: &str) -> Result<(), Violation> {
    let Some(schema) = schema else { return Ok(()) };
    let json: Json = serde_json::from_str(text).map_err(|_| Violation::new("json-schema", "must be JSON"))?;
    schema::validate(schema, &json).map_err(|message| Violation::new("json-schema", message))
}

pub(super) fn json_schema(schema: Option<&Json>) -> Json {
    schema.cloned().unwrap_or_else(|| json!({}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What PostgreSQL 15 answers to `select $1::jsonb`, without its spaces.
    #[test]
    fn the_canonical_form_is_that_of_jsonb() {
        let cases: &[(&str, &str)] = &[
            ("null", "null"),
            (r#" { "bb" : 1 , "a" : [ true , false , null ] } "#, r#"{"a":[true,false,null],"bb":1}"#),
            (r#"{"b":1,"a":2,"B":3,"":4,"é":5,"aa":6,"z":7}"#, r#"{"":4,"B":3,"a":2,"b":1,"z":7,"aa":6,"é":5}"#),
            (r#"{"😀":1,"ﬀ":2,"abcd":3}"#, r#"{"ﬀ":2,"abcd":3,"😀":1}"#),
            (r#"{"a":1,"b":2,"a":{"d":3,"c":4,"c":5}}"#, r#"{"a":{"c":5,"d":3},"b":2}"#),
            (
                r#"["\u0041\u00e9\ud83d\ude00\/\u001f\u007f\b\f\n\r\t\"\\"]"#,
                "[\"Aé😀/\\u001f\u{7f}\\b\\f\\n\\r\\t\\\"\\\\\"]",
            ),
            ("[0,-0,0.0,-0.0,-0.00,0e5,0e-3,0.0e1,-0e0]", "[0,0,0.0,0.0,0.00,0,0.000,0,0]"),
            ("[1e2,1E+2,1.0,1.50,1.50e1,1.5e-2,1e-2,-1.25e1]", "[100,100,1.0,1.50,15.0,0.015,0.01,-12.5]"),
            ("[100,0.001e3,0.0015e2,123.456e1,123e-5,10e-1]", "[100,1,0.15,1234.56,0.00123,1.0]"),
            (
                "[9007199254740993,123456789012345678901234567890.10]",
                "[9007199254740993,123456789012345678901234567890.10]",
            ),
            ("[0e999999999999999999999,0e400]", "[0,0]"),
            ("1e30", "1000000000000000000000000000000"),
            ("5e-10", "0.0000000005"),
        ];
        for (given, expected) in cases {
            let once = canonical_text(given);
            assert_eq!(once.as_deref(), Some(*expected), "{given}");
            assert_eq!(canonical_text(expected), once, "made twice: {given}");
        }
    }

    #[test]
    fn what_jsonb_cannot_keep_is_refused() {
        let cases: &[(&str, &str)] = &[
            (r#"{"a":["\u0000"]}"#, "U+0000"),
            (r#"{"a\u0000":1}"#, "U+0000"),
            ("1e1000", "1000 digits"),
            ("-1e-1001", "1000 digits"),
            ("1e99999999999999999999", "1000 digits"),
            ("1e-99999999999999999999", "1000 digits"),
            ("0e-1001", "1000 digits"),
        ];
        for (given, told) in cases {
            let refused = canonical(&serde_json::from_str(given).unwrap()).unwrap_err();
            assert!(refused.contains(told), "{given}: {refused}");
        }
        let many = |number: &str, times: usize| canonical_text(&format!("[{}]", vec![number; times].join(",")));
        assert!(many("1e999", 10).is_some() && many("1e999", 11).is_none(), "numbers grow within a limit");
        assert!(many("1.25e-30", 10_000).is_some(), "short ones are as many as there are");
        for (fine, digits) in [("1e999", 1_000), ("1e-999", 1_000), ("1.5e308", 309), ("5e-324", 325)] {
            let text = canonical_text(fine).unwrap();
            assert_eq!(text.bytes().filter(u8::is_ascii_digit).count(), digits, "{fine}");
        }
    }
}
