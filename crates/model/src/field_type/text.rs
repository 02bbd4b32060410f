//! `text`: Unicode text, optionally bound by a pattern. `secret` shares the storage, but nobody reads it.

use super::{Pattern, Violation};
use crate::value::Value;
use serde_json::{Value as Json, json};

/// A JSON string, without U+0000: PostgreSQL cannot keep it, so no store may.
pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(text),
        other => Err(super::expected("a string", other)),
    }
}

pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    if text.as_bytes().contains(&0) {
        return Err("text must not contain the character U+0000".into());
    }
    Ok(Value::text(text))
}

pub(super) fn json_schema(pattern: Option<&Pattern>) -> Json {
    match pattern {
        Some(pattern) => json!({ "type": "string", "pattern": pattern.0.as_str() }),
        None => json!({ "type": "string" }),
    }
}

pub(super) fn validate(pattern: Option<&Pattern>, text: &str) -> Result<(), Violation> {
    match pattern {
        Some(pattern) if !pattern.0.is_match(text) => {
            Err(Violation::new("pattern", format!("must match the pattern {}", pattern.0.as_str())))
        }
        _ => Ok(()),
    }
}
