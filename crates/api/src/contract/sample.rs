//! Values that a field could hold, for the examples of the contract.
//!
//! Absent: randomness. The same field always has the same example, so that the document's text is stable.

use serde_json::{Value as Json, json};
use undergird_model::field_type::FieldType;
use undergird_model::{Field, Value};

/// A UUID v7 that nobody has.
pub(super) const UUID: &str = "01927e5a-3b7c-7c5e-8a51-6f0f0d1f9a3e";

/// Texts that common patterns match.
const TEXTS: [&str; 12] =
    ["Example", "example", "EXAMPLE", "EX", "EXA", "a1", "1", "12345", "ABC-1234", "#336699", "+4912345678", "1.0.0"];

/// A value that the field takes, or `None` when none comes to mind (an unusual pattern, a JSON Schema).
pub(super) fn of(field: &Field) -> Option<Json> {
    candidates(&field.declared).into_iter().find(|candidate| is_fine(field, candidate))
}

/// Whether the field takes a value from JSON.
pub(super) fn is_fine(field: &Field, json: &Json) -> bool {
    match field.declared.accept_json(json) {
        Ok(Value::Null) => field.optional,
        Ok(value) => field.validate(&value).is_ok(),
        Err(_) => false,
    }
}

fn candidates(ty: &FieldType) -> Vec<Json> {
    match ty {
        FieldType::Text { .. } | FieldType::Secret => {
            let long = "Example text. ".repeat(20);
            TEXTS.iter().map(|text| json!(text)).chain([json!("x"), json!(long.trim_end())]).collect()
        }
        FieldType::Bool => vec![json!(true)],
        FieldType::Int | FieldType::Float => {
            [1, 0, 5, 10, 100, 1_000, -1, 1_000_000].map(|number| json!(number)).into()
        }
        FieldType::Decimal { .. } => vec![json!(9.5), json!(1), json!(0), json!(10), json!(100), json!(1_000)],
        FieldType::Uuid => vec![json!(UUID)],
        FieldType::Timestamp => vec![json!("2026-01-31T12:00:00Z")],
        FieldType::Date => vec![json!("2026-01-31")],
        FieldType::Time => vec![json!("13:45:00")],
        FieldType::Json { .. } => vec![json!({}), json!([]), json!("text"), json!(1), json!(true)],
        FieldType::Bytes => vec![json!("aGVsbG8="), json!(""), json!("aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxkIQ==")],
        FieldType::Enum { values } => values.iter().map(|value| json!(value)).collect(),
        FieldType::Email => vec![json!("ann@example.org")],
        FieldType::Url => vec![json!("https://example.org/")],
        FieldType::Ref { key, .. } => candidates(key),
        FieldType::List { of } => {
            let one = candidates(of).into_iter().next();
            vec![Json::Array(one.into_iter().collect()), json!([])]
        }
    }
}
