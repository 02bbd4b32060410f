//! `timestamp`: an instant in UTC with microseconds, years 0001 to 9999 (RFC 3339).

use super::calendar::{DAY_MICROS, Digits, TIMESTAMP_MAX, TIMESTAMP_MIN};
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(text),
        other => Err(super::expected("a timestamp", other)),
    }
}

/// RFC 3339; also what PostgreSQL's clients send: a space for the `T`, `+00`, no offset (which means UTC), a date alone.
pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    const EXPECTED: &str = "expected a timestamp like 2026-01-31T12:00:00Z";
    let micros = parse(text).ok_or(EXPECTED)?;
    if !(TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros) {
        return Err("must be within the years 0001 to 9999".into());
    }
    Ok(Value::Timestamp(micros))
}

fn parse(text: &str) -> Option<i64> {
    let mut digits = Digits::new(text);
    let mut micros = digits.date()? * DAY_MICROS;
    if digits.is_done() {
        return Some(micros);
    }
    digits.eat(b"Tt ")?;
    micros += digits.time()?;
    if !digits.is_done() {
        micros -= digits.offset()?;
    }
    digits.is_done().then_some(micros)
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "format": "date-time" })
}
