//! Constants in a schema (defaults, bounds), in a form that the record can keep and every store can write in its own way.

use serde::{Deserialize, Serialize};
use std::fmt;
use undergird_model::field_type::wire;
use undergird_model::{Decimal, Value};

/// A constant. Its JSON is part of the record's form: `{"int":5}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double, in the shortest text that reads back as the same one.
    Float(String),
    /// An exact decimal.
    Decimal {
        /// The digits as an integer.
        unscaled: i64,
        /// How many of them stand after the point.
        scale: u8,
    },
    /// Text.
    Text(String),
    /// A UUID, as 32 hexadecimal digits.
    Uuid(String),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Compact JSON.
    Json(String),
    /// Octets, in hexadecimal.
    Bytes(String),
    /// A list, as a JSON array of the wire forms of its elements.
    List(String),
}

impl Literal {
    /// A value as a constant. `None` for null and for durations, which no column holds.
    pub fn of(value: &Value) -> Option<Literal> {
        Some(match value {
            Value::Null | Value::Duration(_) => return None,
            Value::Bool(value) => Literal::Bool(*value),
            Value::Int(value) => Literal::Int(*value),
            Value::Float(value) => Literal::Float(format!("{:?}", value.get())),
            Value::Decimal(Decimal { unscaled, scale }) => Literal::Decimal { unscaled: *unscaled, scale: *scale },
            Value::Text(text) => Literal::Text(text.clone()),
            Value::Uuid(uuid) => Literal::Uuid(uuid.simple().to_string()),
            Value::Timestamp(value) => Literal::Timestamp(*value),
            Value::Date(value) => Literal::Date(*value),
            Value::Time(value) => Literal::Time(*value),
            Value::Json(text) => Literal::Json(text.clone()),
            Value::Bytes(bytes) => Literal::Bytes(hex(bytes)),
            Value::List(_) => Literal::List(wire::to_json(value)),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
        text
    })
}

impl fmt::Display for Literal {
    /// For people: steps in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Float(text) | Literal::Uuid(text) | Literal::Json(text) | Literal::List(text) => f.write_str(text),
            Literal::Decimal { unscaled, scale } => write!(f, "{}", Decimal { unscaled: *unscaled, scale: *scale }),
            Literal::Text(text) => write!(f, "\"{text}\""),
            Literal::Timestamp(value) => write!(f, "{value} µs"),
            Literal::Date(value) => write!(f, "day {value}"),
            Literal::Time(value) => write!(f, "{value} µs"),
            Literal::Bytes(text) => write!(f, "0x{text}"),
        }
    }
}
