//! How the columns of adopted tables keep what SQLite has no type for: decimals as numbers or text, moments as text or as seconds,
//! UUIDs and bools as text. Undergird's own tables keep none of it so (see [`crate::values`]).
//!
//! A value that is not of its type reads as null: a column of SQLite may hold anything. Absent: which form a column has; the
//! definition says so (`storage`), and the survey of a database finds it out.

use rusqlite::types::{Value as Stored, ValueRef};
use undergird_model::field_type::{FieldType, json, wire};
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_store::sql::{Bare, Form};

/// A form, and the type that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) ty: Type,
    pub(crate) form: Word,
}

/// The forms by their words in a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Text in SQL's form: `2026-01-31 12:00:00`; of a decimal, digits.
    Text,
    /// Text in ISO's form: `2026-01-31T12:00:00Z`.
    Iso,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// A day and its midnight.
    Midnight,
}

const WORDS: &[(&str, Word)] = &[
    ("text", Word::Text),
    ("iso", Word::Iso),
    ("unix", Word::Unix),
    ("unix_ms", Word::UnixMs),
    ("midnight", Word::Midnight),
];

impl Kept {
    /// As it stands in a statement: `iso:timestamp`.
    pub(crate) fn parse(text: &str) -> Option<Kept> {
        let (word, ty) = text.split_once(':')?;
        let form = WORDS.iter().find(|(known, _)| *known == word)?.1;
        Some(Kept { ty: crate::signature::parse_type(ty)?, form })
    }
}

/// How a column keeps a type, by the definition's word for it.
pub(crate) fn form(ty: Type, storage: Option<&str>) -> Result<Form, String> {
    let called = |word: &str| {
        let told = format!("'{word}:{}'", crate::signature::type_tag(ty));
        let (read, write) = (format!("ug_read({told}, "), format!("ug_keep({told}, "));
        Form::around((&read, ")"), (&write, ")"), Bare::Never)
    };
    let form = match (ty, storage) {
        // Whatever collation the column has, text is compared by code point. It costs nothing where it has none.
        (Type::Scalar(Kind::Text), None) => Form::around(("", " COLLATE BINARY"), ("", ""), Bare::Never),
        (Type::Scalar(Kind::Text), Some("any")) => {
            Form::around(("CAST(", " AS TEXT) COLLATE BINARY"), ("", ""), Bare::Never)
        }
        (Type::Scalar(Kind::Bool | Kind::Int | Kind::Float | Kind::Bytes), None) => Form::plain(),
        (Type::Scalar(Kind::Uuid), Some("blob")) => Form::plain(),
        (Type::Scalar(Kind::Bool), Some("text")) => called("text"),
        (Type::Scalar(Kind::Decimal { .. } | Kind::Uuid | Kind::Json | Kind::Date | Kind::Time), None) => {
            called("text")
        }
        (Type::TIMESTAMP, None) => called("text"),
        (Type::Scalar(Kind::Date), Some("midnight")) => called("midnight"),
        (Type::TIMESTAMP, Some(word @ ("iso" | "unix" | "unix_ms"))) => called(word),
        (Type::List(_), None) => Form::plain(),
        (_, Some(word)) => return Err(format!("SQLite keeps no {ty} as \"{word}\"")),
        (_, None) => return Err(format!("SQLite keeps no {ty} in adopted tables")),
    };
    Ok(form)
}

/// What a column has, as Undergird keeps the same.
pub(crate) fn read(kept: Kept, stored: ValueRef<'_>) -> Stored {
    let value = match (kept.form, stored) {
        (_, ValueRef::Null) => None,
        (Word::Unix, number) => whole(number).and_then(|number| number.checked_mul(1_000_000)).map(Value::Timestamp),
        (Word::UnixMs, number) => whole(number).and_then(|number| number.checked_mul(1_000)).map(Value::Timestamp),
        (Word::Text | Word::Iso | Word::Midnight, stored) => of_text(kept.ty, stored),
    };
    value.map_or(Stored::Null, |value| crate::values::owned(kept.ty, &value))
}

#[allow(clippy::cast_possible_truncation, reason = "a double beyond the integers is clamped, and then no moment")]
fn whole(stored: ValueRef<'_>) -> Option<i64> {
    match stored {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) => Some(number.floor() as i64),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

fn of_text(ty: Type, stored: ValueRef<'_>) -> Option<Value> {
    let text = match stored {
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number}"),
        ValueRef::Null | ValueRef::Blob(_) => return None,
    };
    match ty {
        Type::Scalar(Kind::Decimal { scale, .. }) => decimal(&text, scale),
        Type::TIMESTAMP => timestamp(&text),
        Type::Scalar(Kind::Date) => {
            // A day may be kept with a time of day, which is not the field's.
            FieldType::Date.accept_text(text.get(..10).unwrap_or(&text)).ok()
        }
        Type::Scalar(Kind::Time) => {
            let whole = if text.len() == 5 { format!("{text}:00") } else { text };
            FieldType::Time.accept_text(&whole).ok()
        }
        Type::Scalar(Kind::Uuid) => FieldType::Uuid.accept_text(&text).ok(),
        Type::Scalar(Kind::Json) => json::canonical_text(&text).map(Value::Json),
        Type::Scalar(Kind::Bool) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "y" => Some(Value::Bool(true)),
            "false" | "f" | "0" | "no" | "n" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    }
}

/// Digits at a scale, rounded half away from zero as PostgreSQL does: what is kept as a double has more digits than it was given.
fn decimal(text: &str, scale: u8) -> Option<Value> {
    let plain = match text.find(['e', 'E']) {
        // A double in its shortest form has an exponent only where it is very large or very small.
        Some(_) => format!("{:.20}", text.parse::<f64>().ok().filter(|number| number.is_finite())?),
        None => text.to_owned(),
    };
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    if !before.bytes().chain(after.bytes()).all(|byte| byte.is_ascii_digit()) || before.len() + after.len() == 0 {
        return None;
    }
    let scale_digits = usize::from(scale);
    let mut unscaled: i64 = 0;
    let fraction = after.bytes().chain(std::iter::repeat(b'0')).take(scale_digits);
    for digit in before.bytes().chain(fraction) {
        unscaled = unscaled.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    if after.as_bytes().get(scale_digits).is_some_and(|digit| *digit >= b'5') {
        unscaled = unscaled.checked_add(1)?;
    }
    Some(Value::Decimal(Decimal { unscaled: if negative { -unscaled } else { unscaled }, scale }))
}

/// `2026-01-31`, `2026-01-31 12:00`, `2026-01-31T12:00:00.5Z`, `… 12:00:00+02:00`: without an offset it is UTC.
fn timestamp(text: &str) -> Option<Value> {
    let (day, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.trim_start_matches([' ', 'T', 't']);
    if rest.is_empty() {
        return FieldType::Timestamp.accept_text(&format!("{day}T00:00:00Z")).ok();
    }
    let split = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at(split);
    let clock = clock.trim_end();
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    let offset = match offset.len() {
        0 => "Z".to_owned(),
        // `+0200` and `+02`.
        5 if !offset.contains(':') => format!("{}:{}", &offset[..3], &offset[3..]),
        3 => format!("{offset}:00"),
        _ => offset.to_owned(),
    };
    FieldType::Timestamp.accept_text(&format!("{day}T{clock}{offset}")).ok()
}

/// A value as Undergird keeps it, in the column's form.
pub(crate) fn keep(kept: Kept, stored: ValueRef<'_>) -> Stored {
    let value = crate::values::value(kept.ty, stored);
    match (kept.form, &value) {
        (_, Value::Null) => Stored::Null,
        (Word::Unix, Value::Timestamp(micros)) => Stored::Integer(micros.div_euclid(1_000_000)),
        (Word::UnixMs, Value::Timestamp(micros)) => Stored::Integer(micros.div_euclid(1_000)),
        (Word::Iso, Value::Timestamp(_)) => {
            let text = wire::to_text(&value);
            Stored::Text(format!("{}Z", text.trim_end_matches("+00:00")))
        }
        (_, Value::Timestamp(_)) => {
            let text = wire::to_text(&value);
            Stored::Text(text.trim_end_matches("+00:00").replacen('T', " ", 1))
        }
        (Word::Midnight, Value::Date(_)) => Stored::Text(format!("{} 00:00:00", wire::to_text(&value))),
        (_, Value::Bool(value)) => Stored::Text(value.to_string()),
        _ => Stored::Text(wire::to_text(&value)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(form: &str, stored: &str, expected: &str, again: &str) {
        let kept = Kept::parse(form).unwrap();
        let column = match stored.parse::<i64>() {
            Ok(number) => Stored::Integer(number),
            Err(_) => Stored::Text(stored.to_owned()),
        };
        let read = read(kept, ValueRef::from(&column));
        let told = wire::to_text(&crate::values::value(kept.ty, ValueRef::from(&read)));
        let back = match keep(kept, ValueRef::from(&read)) {
            Stored::Text(text) => text,
            Stored::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!((told.as_str(), back.as_str()), (expected, again), "{form} {stored}");
    }

    #[test]
    fn what_columns_keep() {
        for (form, stored, expected, again) in [
            ("text:decimal.10.2", "0.99", "0.99", "0.99"),
            ("text:decimal.10.2", "5", "5.00", "5.00"),
            ("text:decimal.10.2", "0.30000000000000004", "0.30", "0.30"),
            ("text:decimal.10.2", "-1.005", "-1.01", "-1.01"),
            ("text:decimal.10.2", "1e3", "1000.00", "1000.00"),
            ("text:decimal.10.2", "a", "", "Null"),
            ("text:decimal.10.2", "", "", "Null"),
            ("text:decimal.18.0", "9999999999999999999", "", "Null"),
            ("text:timestamp", "2021-01-01 00:00:00", "2021-01-01T00:00:00+00:00", "2021-01-01 00:00:00"),
            (
                "text:timestamp",
                "2021-01-01 10:00:00.25+02:00",
                "2021-01-01T08:00:00.25+00:00",
                "2021-01-01 08:00:00.25",
            ),
            ("text:timestamp", "2021-01-01", "2021-01-01T00:00:00+00:00", "2021-01-01 00:00:00"),
            ("iso:timestamp", "2021-01-01T10:00:00Z", "2021-01-01T10:00:00+00:00", "2021-01-01T10:00:00Z"),
            ("text:timestamp", "0000-00-00 00:00:00", "", "Null"),
            ("text:timestamp", "ümläut-öäöä", "", "Null"),
            ("unix:timestamp", "1609459200", "2021-01-01T00:00:00+00:00", "1609459200"),
            ("unix_ms:timestamp", "1609459200500", "2021-01-01T00:00:00.5+00:00", "1609459200500"),
            ("text:date", "2021-02-03", "2021-02-03", "2021-02-03"),
            ("midnight:date", "2021-02-03 00:00:00", "2021-02-03", "2021-02-03 00:00:00"),
            ("text:time", "12:30", "12:30:00", "12:30:00"),
            ("text:bool", "t", "true", "true"),
            (
                "text:uuid",
                "018F3E2A-0000-7000-8000-000000000001",
                "018f3e2a-0000-7000-8000-000000000001",
                "018f3e2a-0000-7000-8000-000000000001",
            ),
            ("text:json", "{ \"b\": 1, \"a\": 2 }", "{\"a\":2,\"b\":1}", "{\"a\":2,\"b\":1}"),
        ] {
            check(form, stored, expected, again);
        }
    }
}
