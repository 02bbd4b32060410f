//! `int`: a signed 64-bit integer, read from its digits and never by way of a double.

use super::number::Exact;
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::Number(number) => accept_text(number.as_str()),
        other => Err(super::expected("a whole number", other)),
    }
}

/// `1.0` and `1e3` are whole numbers too.
pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::Int(number));
    }
    let exact = Exact::parse(text).ok_or("expected a whole number of 64 bits")?;
    exact.unscaled(0).map(Value::Int).map_err(|fraction| {
        if fraction { "expected a whole number".to_owned() } else { "does not fit into 64 bits".to_owned() }
    })
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX })
}
