//! `json`: any JSON value, optionally bound by a JSON Schema (see [`super::schema`]).

use super::{Violation, schema};
use crate::value::Value;
use serde_json::{Value as Json, json};

/// Compact text, members in their order, numbers as they were written.
pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    if has_nul(json) {
        return Err("text must not contain the character U+0000".into());
    }
    Ok(Value::Json(json.to_string()))
}

pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    let json: Json = serde_json::from_str(text).map_err(|_| "expected JSON")?;
    accept_json(&json)
}

/// Whether any string or member name has U+0000, which PostgreSQL cannot keep. The depth is the JSON parser's (128).
fn has_nul(json: &Json) -> bool {
    match json {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

pub(super) fn validate(schema: Option<&Json>, text: &str) -> Result<(), Violation> {
    let Some(schema) = schema else { return Ok(()) };
    let json: Json = serde_json::from_str(text).map_err(|_| Violation::new("json-schema", "must be JSON"))?;
    schema::validate(schema, &json).map_err(|message| Violation::new("json-schema", message))
}

pub(super) fn json_schema(schema: Option<&Json>) -> Json {
    schema.cloned().unwrap_or_else(|| json!({}))
}
