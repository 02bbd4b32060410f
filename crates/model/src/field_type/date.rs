//! `date`: a day, `YYYY-MM-DD`, years 0001 to 9999.

use super::calendar::Digits;
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(text),
        other => Err(super::expected("a date", other)),
    }
}

pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    let mut digits = Digits::new(text);
    match digits.date() {
        // The cast is exact: four digits of a year are some three million days.
        Some(days) if digits.is_done() => Ok(Value::Date(days as i32)),
        _ => Err("expected a date like 2026-01-31".into()),
    }
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "format": "date" })
}
