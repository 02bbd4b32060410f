//! Conversions: CEL's (`int()`, `string()`, …) and PostgreSQL's casts. `None` is null.

use super::{json, number::Digits, number::Number};
use serde_json::Value as Json;
use undergird_model::cel;
use undergird_model::field_type::calendar::{DAY_MICROS, TIMESTAMP_MAX, TIMESTAMP_MIN};
use undergird_model::field_type::json::canonical_text;
use undergird_model::field_type::{FieldType, wire};
use undergird_model::{Kind, Type, Value};

/// The scalar that JSON holds: a text, a bool, an int, or else the nearest float.
fn held(text: &str) -> Option<Value> {
    match json::read(text)? {
        Json::String(text) => Some(Value::Text(text)),
        Json::Bool(value) => Some(Value::Bool(value)),
        Json::Number(number) => match Number::json(number.as_str()) {
            Number::Int(number) => Some(Value::Int(number)),
            _ => float(number.as_str().parse().ok()?),
        },
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The same, for a value that may not be JSON at all.
fn scalar(value: &Value) -> Option<Value> {
    match value {
        Value::Json(text) => held(text),
        other => Some(other.clone()),
    }
}

fn float(number: f64) -> Option<Value> {
    number.is_finite().then(|| Value::float(number))
}

/// A whole double as an int, when it fits.
fn whole(number: f64) -> Option<Value> {
    // The upper bound is 2^63 itself, the first that does not fit.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number).then_some(Value::Int(number as i64))
}

pub(super) fn to_int(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Int(number) => Some(Value::Int(number)),
        Value::Bool(value) => Some(Value::Int(i64::from(value))),
        Value::Float(number) => whole(number.get().trunc()),
        Value::Decimal(number) => {
            Some(Value::Int(10i64.checked_pow(u32::from(number.scale)).map_or(0, |unit| number.unscaled / unit)))
        }
        Value::Text(text) => text.parse().ok().map(Value::Int),
        Value::Timestamp(micros) => Some(Value::Int(micros.div_euclid(1_000_000))),
        _ => None,
    }
}

pub(super) fn to_float(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Int(number) => float(number as f64),
        Value::Float(number) => Some(Value::Float(number)),
        // Through its digits: dividing would round twice.
        Value::Decimal(number) => float(number.to_string().parse().ok()?),
        Value::Text(text) => FieldType::Float.accept_text(&text).ok(),
        _ => None,
    }
}

pub(super) fn to_text(value: &Value) -> Option<Value> {
    match value {
        Value::Json(text) => json::as_text(json::read(text)?),
        other => Some(Value::Text(wire::to_text(other))),
    }
}

fn timestamp(micros: i64) -> Option<Value> {
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros).then_some(Value::Timestamp(micros))
}

pub(super) fn to_timestamp(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Timestamp(micros) => Some(Value::Timestamp(micros)),
        Value::Date(days) => timestamp(i64::from(days).checked_mul(DAY_MICROS)?),
        Value::Int(seconds) => timestamp(seconds.checked_mul(1_000_000)?),
        Value::Text(text) => FieldType::Timestamp.accept_text(&text).ok(),
        _ => None,
    }
}

pub(super) fn to_date(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Date(days) => Some(Value::Date(days)),
        Value::Timestamp(micros) => i32::try_from(micros.div_euclid(DAY_MICROS)).ok().map(Value::Date),
        Value::Text(text) => FieldType::Date.accept_text(&text).ok(),
        _ => None,
    }
}

pub(super) fn to_uuid(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Uuid(id) => Some(Value::Uuid(id)),
        Value::Text(text) => FieldType::Uuid.accept_text(&text).ok(),
        _ => None,
    }
}

pub(super) fn to_bool(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Bool(value) => Some(Value::Bool(value)),
        Value::Int(number) => Some(Value::Bool(number != 0)),
        Value::Text(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn to_duration(value: &Value) -> Option<Value> {
    match scalar(value)? {
        Value::Duration(span) => Some(Value::Duration(span)),
        Value::Text(text) => cel::duration(&text).map(Value::Duration),
        _ => None,
    }
}

/// Text as a value of the kind that `other` is of.
pub(super) fn like(text: &str, other: &Value) -> Option<Value> {
    let kind = match other {
        Value::Uuid(_) => Kind::Uuid,
        Value::Timestamp(_) => Kind::Timestamp,
        Value::Date(_) => Kind::Date,
        Value::Time(_) => Kind::Time,
        Value::Bytes(_) => Kind::Bytes,
        _ => return None,
    };
    read_text(kind, text)
}

/// Text as a value of a kind, as the values of such a field are read.
fn read_text(kind: Kind, text: &str) -> Option<Value> {
    let field_type = match kind {
        Kind::Bool => FieldType::Bool,
        Kind::Int => FieldType::Int,
        Kind::Float => FieldType::Float,
        Kind::Uuid => FieldType::Uuid,
        Kind::Timestamp => FieldType::Timestamp,
        Kind::Date => FieldType::Date,
        Kind::Time => FieldType::Time,
        Kind::Bytes => FieldType::Bytes,
        Kind::Decimal { precision, scale } => {
            // Unlike a field, a cast rounds.
            FieldType::Float.accept_text(text).ok()?;
            return Digits::read(text.strip_prefix('+').unwrap_or(text)).rounded(precision, scale).map(Value::Decimal);
        }
        Kind::Json => return canonical_text(text).map(Value::Json),
        Kind::Text => return Some(Value::text(text)),
    };
    field_type.accept_text(text).ok()
}

/// [`Function::Cast`](undergird_model::expr::Function::Cast).
pub(super) fn cast(ty: Type, value: &Value) -> Option<Value> {
    match (ty, value) {
        (Type::Null, _) | (_, Value::Null) => None,
        (Type::Duration, value) => to_duration(value),
        (Type::List(kind), Value::List(items)) => {
            items.iter().map(|item| cast_scalar(kind, item)).collect::<Option<Vec<_>>>().map(Value::List)
        }
        (Type::List(kind), Value::Json(text)) => match json::read(text)? {
            Json::Array(items) => {
                let cast = |item: Json| match item {
                    Json::String(text) => read_text(kind, &text),
                    other => cast_scalar(kind, &Value::Json(other.to_string())),
                };
                items.into_iter().map(cast).collect::<Option<Vec<_>>>().map(Value::List)
            }
            _ => None,
        },
        (Type::List(_), _) => None,
        (Type::Scalar(kind), value) => cast_scalar(kind, value),
    }
}

fn cast_scalar(kind: Kind, value: &Value) -> Option<Value> {
    match (kind, value) {
        (Kind::Text, value) => Some(Value::Text(wire::to_text(value))),
        (Kind::Json, Value::Json(text)) => Some(Value::Json(text.clone())),
        (kind, Value::Text(text)) => read_text(kind, text),
        (Kind::Json, value) => canonical_text(&wire::to_json(value)).map(Value::Json),
        (kind, Value::Json(text)) => match (kind, json::read(text)?) {
            (Kind::Bool, Json::Bool(value)) => Some(Value::Bool(value)),
            (Kind::Float, Json::Number(number)) => float(number.as_str().parse().ok()?),
            (Kind::Int, Json::Number(number)) => Digits::read(number.as_str()).nearest(0).map(Value::Int),
            (Kind::Decimal { precision, scale }, Json::Number(number)) => {
                Digits::read(number.as_str()).rounded(precision, scale).map(Value::Decimal)
            }
            _ => None,
        },
        (Kind::Bool, Value::Bool(_))
        | (Kind::Int, Value::Int(_))
        | (Kind::Float, Value::Float(_))
        | (Kind::Uuid, Value::Uuid(_))
        | (Kind::Timestamp, Value::Timestamp(_))
        | (Kind::Date, Value::Date(_))
        | (Kind::Time, Value::Time(_))
        | (Kind::Bytes, Value::Bytes(_)) => Some(value.clone()),
        (Kind::Bool, Value::Int(number)) => Some(Value::Bool(*number != 0)),
        (Kind::Int, Value::Bool(value)) => Some(Value::Int(i64::from(*value))),
        (Kind::Int, Value::Float(number)) => whole(number.get().round_ties_even()),
        (Kind::Int, Value::Decimal(number)) => Number::Decimal(*number).digits().nearest(0).map(Value::Int),
        (Kind::Float, Value::Int(_) | Value::Decimal(_)) => to_float(value),
        (Kind::Decimal { precision, scale }, Value::Int(_) | Value::Decimal(_)) => {
            Number::of(value)?.digits().rounded(precision, scale).map(Value::Decimal)
        }
        (Kind::Decimal { precision, scale }, Value::Float(number)) if number.get().is_finite() => {
            Digits::read(&wire::to_text(value)).rounded(precision, scale).map(Value::Decimal)
        }
        (Kind::Timestamp, Value::Date(_)) => to_timestamp(value),
        (Kind::Date, Value::Timestamp(_)) => to_date(value),
        (Kind::Time, Value::Timestamp(micros)) => Some(Value::Time(micros.rem_euclid(DAY_MICROS))),
        _ => None,
    }
}
