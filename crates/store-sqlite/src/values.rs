//! Values in SQLite's storage classes and back. The forms of storage are decided here and in [`crate::ddl`]:
//! bool, int, timestamp, date, time and decimal (unscaled) are INTEGER, float is REAL, uuid and bytes are BLOB, the rest is TEXT.

use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};
use std::str::from_utf8;
use undergird_model::field_type::{FieldType, wire};
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_plan::{Cell, function};
use uuid::Uuid;

/// A value as it is bound, without a copy where SQLite makes its own.
pub(crate) fn stored(ty: Type, value: &Value) -> ToSqlOutput<'_> {
    match value {
        Value::Text(text) | Value::Json(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Value::Bytes(octets) => ToSqlOutput::Borrowed(ValueRef::Blob(octets)),
        Value::Uuid(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes())),
        other => ToSqlOutput::Owned(owned(ty, other)),
    }
}

/// A value as it is stored.
pub(crate) fn owned(ty: Type, value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Bool(value) => Stored::Integer(i64::from(*value)),
        Value::Int(number) => match ty {
            Type::Scalar(Kind::Decimal { scale, .. }) => unscaled(Decimal { unscaled: *number, scale: 0 }, scale),
            Type::FLOAT => Stored::Real(*number as f64),
            _ => Stored::Integer(*number),
        },
        Value::Float(number) => Stored::Real(number.get()),
        Value::Decimal(number) => match ty {
            Type::Scalar(Kind::Decimal { scale, .. }) if scale != number.scale => unscaled(*number, scale),
            _ => Stored::Integer(number.unscaled),
        },
        Value::Text(text) | Value::Json(text) => Stored::Text(text.clone()),
        Value::Uuid(id) => Stored::Blob(id.as_bytes().to_vec()),
        Value::Timestamp(number) | Value::Time(number) | Value::Duration(number) => Stored::Integer(*number),
        Value::Date(days) => Stored::Integer(i64::from(*days)),
        Value::Bytes(octets) => Stored::Blob(octets.clone()),
        Value::List(_) => Stored::Text(wire::to_json(value)),
    }
}

/// A decimal at another scale: exact, or a double where digits would be lost, which then equals no stored decimal.
fn unscaled(number: Decimal, scale: u8) -> Stored {
    let (from, to) = (i128::from(number.unscaled), i32::from(scale) - i32::from(number.scale));
    let power = 10i128.checked_pow(to.unsigned_abs());
    let exact = match (power, to >= 0) {
        (Some(power), true) => from.checked_mul(power),
        (Some(power), false) if from % power == 0 => Some(from / power),
        _ => None,
    };
    match exact.and_then(|exact| i64::try_from(exact).ok()) {
        Some(exact) => Stored::Integer(exact),
        None => Stored::Real(from as f64 * 10f64.powi(to)),
    }
}

/// What SQLite lends, in the meaning of a column. What does not fit its type reads as null: nothing of ours writes such a thing,
/// and STRICT tables refuse it.
pub(crate) fn cell(ty: Type, value: ValueRef<'_>) -> Cell<'_> {
    match (ty, value) {
        (_, ValueRef::Null) | (Type::Null, _) => Cell::Null,
        (Type::Scalar(kind), ValueRef::Integer(number)) => match kind {
            Kind::Bool => Cell::Bool(number != 0),
            Kind::Int => Cell::Int(number),
            Kind::Float => Cell::Float(number as f64),
            Kind::Decimal { scale, .. } => Cell::Decimal(Decimal { unscaled: number, scale }),
            Kind::Timestamp => Cell::Timestamp(number),
            Kind::Date => i32::try_from(number).map_or(Cell::Null, Cell::Date),
            Kind::Time => Cell::Time(number),
            Kind::Text | Kind::Uuid | Kind::Json | Kind::Bytes => Cell::Null,
        },
        (Type::Duration, ValueRef::Integer(number)) => Cell::Int(number),
        (Type::Scalar(Kind::Float), ValueRef::Real(number)) => Cell::Float(number),
        (Type::Scalar(Kind::Text), ValueRef::Text(text)) => from_utf8(text).map_or(Cell::Null, Cell::Text),
        (Type::Scalar(Kind::Json), ValueRef::Text(text)) => from_utf8(text).map_or(Cell::Null, Cell::Json),
        (Type::List(_), ValueRef::Text(text)) => from_utf8(text).map_or(Cell::Null, Cell::List),
        (Type::Scalar(Kind::Uuid), ValueRef::Blob(octets)) => Uuid::from_slice(octets).map_or(Cell::Null, Cell::Uuid),
        (Type::Scalar(Kind::Bytes), ValueRef::Blob(octets)) => Cell::Bytes(octets),
        (Type::Scalar(_) | Type::List(_) | Type::Duration, _) => Cell::Null,
    }
}

/// What SQLite lends, as a value of a type, for our functions.
pub(crate) fn value(ty: Type, stored: ValueRef<'_>) -> Value {
    match (ty, cell(ty, stored)) {
        (Type::Duration, Cell::Int(number)) => Value::Duration(number),
        (_, Cell::Null) => Value::Null,
        (_, Cell::Bool(value)) => Value::Bool(value),
        (_, Cell::Int(number)) => Value::Int(number),
        (_, Cell::Float(number)) => Value::float(number),
        (_, Cell::Decimal(number)) => Value::Decimal(number),
        (_, Cell::Text(text)) => Value::text(text),
        (_, Cell::Uuid(id)) => Value::Uuid(id),
        (_, Cell::Timestamp(number)) => Value::Timestamp(number),
        (_, Cell::Date(days)) => Value::Date(days),
        (_, Cell::Time(number)) => Value::Time(number),
        (_, Cell::Json(text)) => Value::Json(text.to_owned()),
        (_, Cell::Bytes(octets)) => Value::Bytes(octets.to_vec()),
        (Type::List(kind), Cell::List(text)) => list(kind, text),
        (_, Cell::List(_)) => Value::Null,
    }
}

/// A list from its wire form; null when it is none.
fn list(kind: Kind, text: &str) -> Value {
    let of = match kind {
        Kind::Bool => FieldType::Bool,
        Kind::Int => FieldType::Int,
        Kind::Float => FieldType::Float,
        Kind::Decimal { precision, scale } => FieldType::Decimal { precision, scale },
        Kind::Text => FieldType::Text { pattern: None },
        Kind::Uuid => FieldType::Uuid,
        Kind::Timestamp => FieldType::Timestamp,
        Kind::Date => FieldType::Date,
        Kind::Time => FieldType::Time,
        Kind::Json => FieldType::Json { schema: None },
        Kind::Bytes => FieldType::Bytes,
    };
    let Ok(json) = serde_json::from_str(text) else { return Value::Null };
    FieldType::List { of: Box::new(of) }.accept_json(&json).unwrap_or(Value::Null)
}

/// The elements of a list as a JSON array of what a column would store: numbers, text, and octets as hexadecimal digits.
/// An element of JSON is its text.
pub(crate) fn elements(list: Value) -> String {
    let stored = |item| match item {
        Value::Text(text) | Value::Json(text) => serde_json::Value::from(text),
        other => match owned(Type::Null, &other) {
            Stored::Null => serde_json::Value::Null,
            Stored::Integer(number) => number.into(),
            Stored::Real(number) => number.into(),
            Stored::Text(text) => text.into(),
            Stored::Blob(octets) => octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into(),
        },
    };
    serde_json::Value::Array(function::elements(list).into_iter().map(stored).collect()).to_string()
}
