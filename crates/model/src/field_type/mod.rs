//! Field types: each with its validation, its wire form, its OpenAPI and TypeScript form, and its storage kind. One file each.

//!
//! Two questions are kept apart. *Form*: is this a value of the type at all ([`FieldType::accept_json`],
//! [`FieldType::accept_text`])? Filters ask only that. *Content*: may this field hold it ([`Field::validate`])? Writes ask both.

mod bool;
mod bytes;
pub mod calendar;
mod date;
pub(crate) mod decimal;
mod email;
mod enumeration;
mod float;
mod int;
pub mod json;
mod list;
mod number;
mod reference;
pub mod schema;
mod secret;
mod text;
mod time;
mod timestamp;
mod url;
mod uuid;
mod validate;
pub mod wire;

pub use validate::Violation;

#[cfg(doc)]
use crate::schema::Field;
use crate::value::{Kind, Type, Value};
use serde_json::Value as JsonValue;

/// A declared field type with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldType {
    /// `text`; `pattern` is anchored nowhere unless it says so.
    Text {
        /// Regular expression that the text must match.
        pattern: Option<Pattern>,
    },
    /// `secret`: text that nobody but the system reads.
    Secret,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `float`.
    Float,
    /// `decimal`.
    Decimal {
        /// Total digits, 1 to 18.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `uuid`.
    Uuid,
    /// `timestamp`.
    Timestamp,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `json`, optionally with a JSON Schema.
    Json {
        /// The schema, when declared.
        schema: Option<serde_json::Value>,
    },
    /// `bytes`: base64 on the wire.
    Bytes,
    /// `enum`.
    Enum {
        /// The allowed texts, in order.
        values: Vec<String>,
    },
    /// `email`.
    Email,
    /// `url`: absolute, http or https.
    Url,
    /// `ref`: the key of a row of another collection.
    Ref {
        /// Which collection.
        to: crate::schema::CollectionId,
        /// The type of its key.
        key: Box<FieldType>,
        /// What happens here when the row there goes.
        on_delete: OnDelete,
    },
    /// `list` of a scalar type.
    List {
        /// The type of its elements.
        of: Box<FieldType>,
    },
}

/// What happens to a row when the row that it refers to goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnDelete {
    /// The other row cannot go (`restrict`, the default).
    #[default]
    Restrict,
    /// This row goes too (`cascade`).
    Cascade,
    /// The field becomes null (`set_null`; the field must be optional).
    SetNull,
}

/// A compiled regular expression that compares by its text.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl FieldType {
    /// Most characters that a value of the type has by itself, whatever its field says.
    pub fn characters_max(&self) -> Option<u64> {
        match self {
            FieldType::Email => Some(email::CHARS_MAX as u64),
            FieldType::Url => Some(url::CHARS_MAX as u64),
            _ => None,
        }
    }

    /// The word in TOML (`type = "…"`).
    pub fn name(&self) -> &'static str {
        match self {
            FieldType::Text { .. } => "text",
            FieldType::Secret => "secret",
            FieldType::Bool => "bool",
            FieldType::Int => "int",
            FieldType::Float => "float",
            FieldType::Decimal { .. } => "decimal",
            FieldType::Uuid => "uuid",
            FieldType::Timestamp => "timestamp",
            FieldType::Date => "date",
            FieldType::Time => "time",
            FieldType::Json { .. } => "json",
            FieldType::Bytes => "bytes",
            FieldType::Enum { .. } => "enum",
            FieldType::Email => "email",
            FieldType::Url => "url",
            FieldType::Ref { .. } => "ref",
            FieldType::List { .. } => "list",
        }
    }

    /// What expressions and stores see of it.
    pub fn storage(&self) -> Type {
        match self {
            FieldType::List { of } => Type::List(of.kind()),
            scalar => Type::Scalar(scalar.kind()),
        }
    }

    /// The storage kind of a scalar, or of a list's elements.
    fn kind(&self) -> Kind {
        match self {
            FieldType::Text { .. } | FieldType::Secret | FieldType::Enum { .. } | FieldType::Email | FieldType::Url => {
                Kind::Text
            }
            FieldType::Bool => Kind::Bool,
            FieldType::Int => Kind::Int,
            FieldType::Float => Kind::Float,
            FieldType::Decimal { precision, scale } => Kind::Decimal { precision: *precision, scale: *scale },
            FieldType::Uuid => Kind::Uuid,
            FieldType::Timestamp => Kind::Timestamp,
            FieldType::Date => Kind::Date,
            FieldType::Time => Kind::Time,
            FieldType::Json { .. } => Kind::Json,
            FieldType::Bytes => Kind::Bytes,
            FieldType::Ref { key, .. } => key.kind(),
            FieldType::List { of } => of.kind(),
        }
    }

    /// A JSON value of a request body as a value of this type, strictly: no string for a number, no object for a scalar. JSON
    /// `null` is [`Value::Null`] whatever the type. The error is one sentence for the caller, without the value in it.
    pub fn accept_json(&self, json: &JsonValue) -> Result<Value, String> {
        if json.is_null() {
            return Ok(Value::Null);
        }
        match self {
            FieldType::Text { .. } | FieldType::Secret | FieldType::Email | FieldType::Url => text::accept_json(json),
            FieldType::Bool => bool::accept_json(json),
            FieldType::Int => int::accept_json(json),
            FieldType::Float => float::accept_json(json),
            FieldType::Decimal { precision, scale } => decimal::accept_json(*precision, *scale, json),
            FieldType::Uuid => uuid::accept_json(json),
            FieldType::Timestamp => timestamp::accept_json(json),
            FieldType::Date => date::accept_json(json),
            FieldType::Time => time::accept_json(json),
            FieldType::Json { .. } => json::accept_json(json),
            FieldType::Bytes => bytes::accept_json(json),
            FieldType::Enum { values } => enumeration::accept_json(values, json),
            FieldType::Ref { key, .. } => key.accept_json(json),
            FieldType::List { of } => list::accept_json(of, json),
        }
    }

    /// Text from a URL or a CSV cell as a value of this type (`eq.2026-01-01`, `{a,b}` or JSON for lists).
    pub fn accept_text(&self, text: &str) -> Result<Value, String> {
        match self {
            FieldType::Text { .. } | FieldType::Secret | FieldType::Email | FieldType::Url => text::accept_text(text),
            FieldType::Bool => bool::accept_text(text),
            FieldType::Int => int::accept_text(text),
            FieldType::Float => float::accept_text(text),
            FieldType::Decimal { precision, scale } => decimal::accept_text(*precision, *scale, text),
            FieldType::Uuid => uuid::accept_text(text),
            FieldType::Timestamp => timestamp::accept_text(text),
            FieldType::Date => date::accept_text(text),
            FieldType::Time => time::accept_text(text),
            FieldType::Json { .. } => json::accept_text(text),
            FieldType::Bytes => bytes::accept_text(text),
            FieldType::Enum { values } => enumeration::accept_text(values, text),
            FieldType::Ref { key, .. } => key.accept_text(text),
            FieldType::List { of } => list::accept_text(of, text),
        }
    }

    /// JSON Schema (2020-12) of its wire form. [`Field::json_schema`] adds what the field says (`min`, `max`, null, description).
    pub fn json_schema(&self) -> JsonValue {
        match self {
            FieldType::Text { pattern } => text::json_schema(pattern.as_ref()),
            FieldType::Secret => secret::json_schema(),
            FieldType::Bool => bool::json_schema(),
            FieldType::Int => int::json_schema(),
            FieldType::Float => float::json_schema(),
            FieldType::Decimal { precision, scale } => decimal::json_schema(*precision, *scale),
            FieldType::Uuid => uuid::json_schema(),
            FieldType::Timestamp => timestamp::json_schema(),
            FieldType::Date => date::json_schema(),
            FieldType::Time => time::json_schema(),
            FieldType::Json { schema } => json::json_schema(schema.as_ref()),
            FieldType::Bytes => bytes::json_schema(),
            FieldType::Enum { values } => enumeration::json_schema(values),
            FieldType::Email => email::json_schema(),
            FieldType::Url => url::json_schema(),
            FieldType::Ref { key, .. } => reference::json_schema(key),
            FieldType::List { of } => list::json_schema(of),
        }
    }

    /// TypeScript of its wire form (`string`, `"draft" | "published"`, `Json`).
    pub fn typescript(&self) -> String {
        match self {
            FieldType::Enum { values } => enumeration::typescript(values),
            FieldType::List { of } => list::typescript(of),
            FieldType::Ref { key, .. } => key.typescript(),
            FieldType::Json { .. } => "Json".into(),
            FieldType::Bool => "boolean".into(),
            FieldType::Int | FieldType::Float | FieldType::Decimal { .. } => "number".into(),
            FieldType::Text { .. }
            | FieldType::Secret
            | FieldType::Uuid
            | FieldType::Timestamp
            | FieldType::Date
            | FieldType::Time
            | FieldType::Bytes
            | FieldType::Email
            | FieldType::Url => "string".into(),
        }
    }
}

/// The sentence for a JSON value of the wrong type. It names the type found, never the value.
fn expected(what: &str, found: &JsonValue) -> String {
    let found = match found {
        JsonValue::Null => "null",
        JsonValue::Bool(_) => "a boolean",
        JsonValue::Number(_) => "a number",
        JsonValue::String(_) => "a string",
        JsonValue::Array(_) => "a list",
        JsonValue::Object(_) => "an object",
    };
    format!("expected {what}, not {found}")
}

#[cfg(test)]
mod tests;
