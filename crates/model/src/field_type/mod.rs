//! Field types: each with its validation, its wire form, its OpenAPI and TypeScript form, and its storage kind. One file each.

use crate::value::{Type, Value};

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
        todo!()
    }

    /// A JSON value of a request body as a value of this type, strictly: no string for a number, no object for a scalar. JSON
    /// `null` is [`Value::Null`] whatever the type. The error is one sentence for the caller, without the value in it.
    pub fn accept_json(&self, json: &serde_json::Value) -> Result<Value, String> {
        let _ = json;
        todo!()
    }

    /// Text from a URL or a CSV cell as a value of this type (`eq.2026-01-01`, `{a,b}` or JSON for lists).
    pub fn accept_text(&self, text: &str) -> Result<Value, String> {
        let _ = text;
        todo!()
    }

    /// JSON Schema (2020-12) of its wire form.
    pub fn json_schema(&self) -> serde_json::Value {
        todo!()
    }

    /// TypeScript of its wire form (`string`, `"draft" | "published"`, `Json`).
    pub fn typescript(&self) -> String {
        todo!()
    }
}
