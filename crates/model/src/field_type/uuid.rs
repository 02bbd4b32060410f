//! `uuid`: an RFC 9562 UUID, written with small letters and hyphens.

use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::String(text) => accept_text(text),
        other => Err(super::expected("a UUID", other)),
    }
}

/// With hyphens or without; not the braced and URN forms, which no client sends.
pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    match (text.len(), ::uuid::Uuid::try_parse(text)) {
        (32 | 36, Ok(id)) => Ok(Value::Uuid(id)),
        _ => Err("expected a UUID".into()),
    }
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "string", "format": "uuid" })
}
