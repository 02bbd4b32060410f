//! `bool`: true or false.

use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::Bool(value) => Ok(Value::Bool(*value)),
        other => Err(super::expected("true or false", other)),
    }
}

/// The words that PostgreSQL takes, since its clients send them.
pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    const TRUE: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
    const FALSE: [&str; 6] = ["false", "f", "no", "n", "off", "0"];
    if TRUE.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        Ok(Value::Bool(true))
    } else if FALSE.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        Ok(Value::Bool(false))
    } else {
        Err("expected true or false".into())
    }
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "boolean" })
}
