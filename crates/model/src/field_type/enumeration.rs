//! `enum`: one of a declared list of texts.

use super::Violation;
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(values: &[String], json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(values, text),
        other => Err(super::expected("a string", other)),
    }
}

/// Strangers are refused here already, as PostgreSQL refuses them, also in a filter.
pub(super) fn accept_text(values: &[String], text: &str) -> Result<Value, String> {
    validate(values, text).map(|()| Value::text(text)).map_err(|violation| violation.message)
}

pub(super) fn validate(values: &[String], text: &str) -> Result<(), Violation> {
    if values.iter().any(|value| value == text) {
        return Ok(());
    }
    Err(Violation::new("not-a-value", format!("must be one of {}", values.join(", "))))
}

pub(super) fn json_schema(values: &[String]) -> Json {
    json!({ "type": "string", "enum": values })
}

pub(super) fn typescript(values: &[String]) -> String {
    // A JSON string is a TypeScript string.
    values.iter().map(|value| Json::from(value.as_str()).to_string()).collect::<Vec<_>>().join(" | ")
}
