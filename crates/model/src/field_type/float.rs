//! `float`: a finite IEEE 754 double.

use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(json: &Json) -> Result<Value, String> {
    match json {
        Json::Number(number) => accept_text(number.as_str()),
        other => Err(super::expected("a number", other)),
    }
}

/// Finite only: infinities and NaN have no JSON, and NaN no place in an order.
pub(super) fn accept_text(text: &str) -> Result<Value, String> {
    if !super::number::is_plain(text) {
        return Err("expected a number".into());
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::float(number)),
        Ok(_) => Err("too large for a float".into()),
        Err(_) => Err("expected a number".into()),
    }
}

pub(super) fn json_schema() -> Json {
    json!({ "type": "number", "format": "double" })
}
