//! Content: may this field hold this value? Everything that a single cell must obey, in one function for every path that writes.
//!
//! Absent: whether a value must be there at all (`optional`), and rules over several fields (`[[checks]]`).

use super::{FieldType, email, enumeration, json, text, url};
use crate::schema::Field;
use crate::value::{Decimal, Kind, Type, Value};
use serde_json::{Value as Json, json};

/// Why a field may not hold a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable, kebab-case: `too-short`, `too-long`, `too-small`, `too-large`, `too-few`, `too-many`, `pattern`, `not-a-value`,
    /// `email`, `url`, `json-schema`, `wrong-type`.
    pub code: &'static str,
    /// One sentence fragment that follows the field's name (`must have at most 200 characters`). Without the value in it.
    pub message: String,
}

impl Violation {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Violation {
        Violation { code, message: message.into() }
    }
}

impl Field {
    /// Whether the field may hold a value: its type's own demands, then `min` and `max`. Null is always fine here.
    pub fn validate(&self, value: &Value) -> Result<(), Violation> {
        if value.is_null() {
            return Ok(());
        }
        self.declared.validate(value)?;
        self.validate_bounds(value)
    }

    /// JSON Schema (2020-12) of the field's wire form: its type, its bounds, null when optional, its description.
    pub fn json_schema(&self) -> Json {
        let mut schema = self.declared.json_schema();
        let Some(members) = schema.as_object_mut() else { return schema };
        let (least, greatest) = match self.ty {
            Type::List(_) => ("minItems", "maxItems"),
            Type::Scalar(Kind::Text) => ("minLength", "maxLength"),
            Type::Scalar(Kind::Int | Kind::Float | Kind::Decimal { .. }) => ("minimum", "maximum"),
            // The length of bytes is not the length of their base64.
            _ => ("", ""),
        };
        for (keyword, bound) in [(least, &self.min), (greatest, &self.max)] {
            let number = bound.as_ref().and_then(|bound| serde_json::from_str(&super::wire::to_json(bound)).ok());
            if let (false, Some(number)) = (keyword.is_empty(), number) {
                members.insert(keyword.into(), number);
            }
        }
        if self.optional {
            match members.get_mut("type") {
                Some(kind @ Json::String(_)) => *kind = json!([kind.take(), "null"]),
                Some(Json::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
                _ => {}
            }
            if let Some(Json::Array(values)) = members.get_mut("enum") {
                values.push(Json::Null);
            }
        }
        if let Some(description) = &self.description {
            members.insert("description".into(), json!(description));
        }
        schema
    }

    fn validate_bounds(&self, value: &Value) -> Result<(), Violation> {
        if self.min.is_none() && self.max.is_none() {
            return Ok(());
        }
        let length = |count: usize, unit: &str, few: &'static str, many: &'static str| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            match (&self.min, &self.max) {
                (Some(Value::Int(min)), _) if count < *min => {
                    Err(Violation::new(few, format!("must have at least {min} {}", plural(unit, *min))))
                }
                (_, Some(Value::Int(max))) if count > *max => {
                    Err(Violation::new(many, format!("must have at most {max} {}", plural(unit, *max))))
                }
                _ => Ok(()),
            }
        };
        match value {
            Value::Text(text) => length(text.chars().count(), "character", "too-short", "too-long"),
            Value::Bytes(octets) => length(octets.len(), "byte", "too-short", "too-long"),
            Value::List(items) => length(items.len(), "item", "too-few", "too-many"),
            number => {
                if let Some(min) = self.min.as_ref().filter(|min| less(number, min)) {
                    let message = format!("must be at least {}", super::wire::to_text(min));
                    return Err(Violation::new("too-small", message));
                }
                if let Some(max) = self.max.as_ref().filter(|max| less(max, number)) {
                    let message = format!("must be at most {}", super::wire::to_text(max));
                    return Err(Violation::new("too-large", message));
                }
                Ok(())
            }
        }
    }
}

fn plural(unit: &str, count: i64) -> String {
    if count == 1 { unit.to_owned() } else { format!("{unit}s") }
}

/// Of two numbers of one kind, which is what a field and its bounds are. Anything else is never less.
fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Decimal(a), Value::Decimal(b)) => widened(*a, b.scale) < widened(*b, a.scale),
        _ => false,
    }
}

/// The unscaled number at the sum of both scales: eighteen digits and eighteen more fit into 128 bits.
fn widened(number: Decimal, other_scale: u8) -> i128 {
    i128::from(number.unscaled) * 10i128.pow(u32::from(other_scale.min(18)))
}

impl FieldType {
    /// The demands of the type itself. A value of another kind is a violation too, so that a computed default cannot slip by.
    pub fn validate(&self, value: &Value) -> Result<(), Violation> {
        match (self, value) {
            (_, Value::Null) => Ok(()),
            (FieldType::Text { pattern }, Value::Text(text)) => text::validate(pattern.as_ref(), text),
            (FieldType::Enum { values }, Value::Text(text)) => enumeration::validate(values, text),
            (FieldType::Email, Value::Text(text)) => email::validate(text),
            (FieldType::Url, Value::Text(text)) => url::validate(text),
            (FieldType::Json { schema }, Value::Json(text)) => json::validate(schema.as_ref(), text),
            (FieldType::Ref { key, .. }, value) => key.validate(value),
            (FieldType::List { of }, Value::List(items)) => {
                for (position, item) in items.iter().enumerate() {
                    if item.is_null() {
                        return Err(Violation::new("wrong-type", format!("item {}: must not be null", position + 1)));
                    }
                    of.validate(item).map_err(|violation| Violation {
                        message: format!("item {}: {}", position + 1, violation.message),
                        ..violation
                    })?;
                }
                Ok(())
            }
            (FieldType::Decimal { precision, scale }, Value::Decimal(number)) => {
                let fits = number.scale == *scale && number.unscaled.unsigned_abs() < 10u64.pow(u32::from(*precision));
                if fits {
                    Ok(())
                } else {
                    Err(Violation::new("too-large", format!("must fit decimal({precision}, {scale})")))
                }
            }
            (FieldType::Secret, Value::Text(_))
            | (FieldType::Bool, Value::Bool(_))
            | (FieldType::Int, Value::Int(_))
            | (FieldType::Float, Value::Float(_))
            | (FieldType::Uuid, Value::Uuid(_))
            | (FieldType::Timestamp, Value::Timestamp(_))
            | (FieldType::Date, Value::Date(_))
            | (FieldType::Time, Value::Time(_))
            | (FieldType::Bytes, Value::Bytes(_)) => Ok(()),
            _ => Err(Violation::new("wrong-type", format!("must be {}", self.storage()))),
        }
    }
}
