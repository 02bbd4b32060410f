//! Values and their types: what a field holds, what a rule computes, what a request binds.
//!
//! A value has one meaning on every store. Two normalizations make that true for floats: NaN does not exist (it is
//! [`Value::Null`]) and negative zero is zero.

use std::cmp::Ordering;
use std::fmt;
use uuid::Uuid;

/// The closed set of storage kinds. Every field type maps to one of them (see [`crate::field_type`]), and every store says
/// how it keeps each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A signed 64-bit integer.
    Int,
    /// An IEEE 754 double; never NaN, never −0.
    Float,
    /// A decimal number kept exactly, as `unscaled × 10^-scale`. `precision` ≤ 18, so that the unscaled number is an `i64`.
    Decimal {
        /// Total digits, 1 to 18.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// Unicode text without U+0000, ordered by code point.
    Text,
    /// An RFC 9562 UUID.
    Uuid,
    /// Microseconds since 1970-01-01T00:00:00Z; years 0001 to 9999.
    Timestamp,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Any JSON value, as text in canonical form ([`crate::field_type::json`]).
    Json,
    /// Octets.
    Bytes,
}

/// The type of an expression or a field: a scalar kind, a list of one, or one of the two that only expressions have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// The type of the literal `null`, which fits every other.
    Null,
    /// One scalar.
    Scalar(Kind),
    /// A list of scalars.
    List(Kind),
    /// A span of time in microseconds; only in expressions.
    Duration,
}

impl Type {
    /// Shorthand for the commonest type in rules.
    pub const BOOL: Type = Type::Scalar(Kind::Bool);
    /// Shorthand for text.
    pub const TEXT: Type = Type::Scalar(Kind::Text);
    /// Shorthand for 64-bit integers.
    pub const INT: Type = Type::Scalar(Kind::Int);
    /// Shorthand for doubles.
    pub const FLOAT: Type = Type::Scalar(Kind::Float);
    /// Shorthand for JSON.
    pub const JSON: Type = Type::Scalar(Kind::Json);
    /// Shorthand for UUIDs.
    pub const UUID: Type = Type::Scalar(Kind::Uuid);
    /// Shorthand for instants.
    pub const TIMESTAMP: Type = Type::Scalar(Kind::Timestamp);

    /// Whether values of this type are numbers, which compare with each other across kinds.
    pub fn is_number(self) -> bool {
        matches!(self, Type::Scalar(Kind::Int | Kind::Float | Kind::Decimal { .. }))
    }
}

impl fmt::Display for Type {
    /// The word used in diagnostics.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => f.write_str("null"),
            Type::Scalar(kind) => kind.fmt(f),
            Type::List(kind) => write!(f, "list of {kind}"),
            Type::Duration => f.write_str("duration"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("bool"),
            Kind::Int => f.write_str("int"),
            Kind::Float => f.write_str("float"),
            Kind::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Kind::Text => f.write_str("text"),
            Kind::Uuid => f.write_str("uuid"),
            Kind::Timestamp => f.write_str("timestamp"),
            Kind::Date => f.write_str("date"),
            Kind::Time => f.write_str("time"),
            Kind::Json => f.write_str("json"),
            Kind::Bytes => f.write_str("bytes"),
        }
    }
}

/// A double that is never NaN and never −0, so that it has a total order and a hash.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Float(f64);

impl Float {
    /// `None` for NaN; −0 becomes 0.
    pub fn new(number: f64) -> Option<Float> {
        if number.is_nan() { None } else { Some(Float(number + 0.0)) }
    }

    /// The number itself.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Float {}

#[allow(clippy::derive_ord_xor_partial_ord, reason = "NaN is excluded, so the partial order is total")]
impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl std::hash::Hash for Float {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// An exact decimal: `unscaled × 10^-scale`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Decimal {
    /// The digits as an integer.
    pub unscaled: i64,
    /// How many of them stand after the point.
    pub scale: u8,
}

impl fmt::Display for Decimal {
    /// Plain notation with exactly `scale` digits after the point, the wire form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.unscaled);
        }
        let unit = 10u64.pow(u32::from(self.scale));
        let magnitude = self.unscaled.unsigned_abs();
        let sign = if self.unscaled < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:0width$}", magnitude / unit, magnitude % unit, width = usize::from(self.scale))
    }
}

/// A value of a field, a literal of a rule, a parameter of a request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// See [`Kind::Bool`].
    Bool(bool),
    /// See [`Kind::Int`].
    Int(i64),
    /// See [`Kind::Float`].
    Float(Float),
    /// See [`Kind::Decimal`].
    Decimal(Decimal),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Uuid`].
    Uuid(Uuid),
    /// See [`Kind::Timestamp`].
    Timestamp(i64),
    /// See [`Kind::Date`].
    Date(i32),
    /// See [`Kind::Time`].
    Time(i64),
    /// Microseconds; only in expressions.
    Duration(i64),
    /// JSON text in canonical form ([`crate::field_type::json::canonical`]), so that equal requests give equal bytes on every store;
    /// only what an adopted database held before may be written otherwise. The JSON value `null` is this variant with `"null"`, not
    /// [`Value::Null`].
    Json(String),
    /// See [`Kind::Bytes`].
    Bytes(Vec<u8>),
    /// A list of scalars; elements are not null.
    List(Vec<Value>),
}

impl Value {
    /// A double as a value: NaN is null, −0 is 0.
    pub fn float(number: f64) -> Value {
        Float::new(number).map_or(Value::Null, Value::Float)
    }

    /// Shorthand for text.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}
