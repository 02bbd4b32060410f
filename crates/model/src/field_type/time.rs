//! `time`: a time of day without a zone, `HH:MM[:SS[.ffffff]]`.

use super::calendar::{DAY_MICROS, Digits};
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(text),
        other => Err(super::expected("a time of day", other)),
    }
}

pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    let mut digits = Digits::new(text);
    match digits.time() {
        Some(micros) if digits.is_done() && micros < DAY_MICROS => Ok(Value::Time(micros)),
        _ => Err("expected a time of day like 13:45 or 13:45:10.5".into()),
    }
}

/// A pattern and not `format: time`, which wants an offset (RFC 3339 `full-time`).
pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$" })
}
