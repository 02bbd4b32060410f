//! The values of a request, each read by the type that its slot meets.

use super::{Limits, search};
use crate::function;
use crate::refusal::{FieldError, Refusal};
use crate::request::Operand;
use undergird_model::expr::{Function, Search};
use undergird_model::field_type::FieldType;
use undergird_model::{Field, Type, Value};

/// Most regular expressions in one request. Compiling one takes milliseconds, which no deadline of a statement covers; and the store keeps
/// no more than some thirty compiled ones, so that with more it would compile them anew for each row.
const REGEXES_MAX: usize = 20;

/// What a slot is for.
#[derive(Clone, Debug)]
pub(super) enum SlotUse {
    /// Nothing that the plan needs.
    Unused,
    /// An argument of a function.
    Argument(Box<Field>),
    /// A value of a column's type.
    One {
        /// For the error.
        column: String,
        ty: FieldType,
    },
    /// Values of a column's type.
    Many { column: String, ty: FieldType },
    /// A pattern: text as it stands.
    Pattern {
        /// For the error.
        column: String,
        /// Whether it must be a regular expression.
        regex: bool,
    },
    /// Patterns.
    Patterns { column: String, regex: bool },
    /// A full-text query.
    Search {
        /// For the error.
        column: String,
        how: Search,
    },
    /// A number of rows: `limit`, at most so many, or `offset`.
    Rows { most: Option<u32> },
    /// The cursor itself; its values are spread over slots of their own.
    Cursor { values: usize },
    /// The n-th value of the cursor in another slot.
    CursorValue { slot: usize, position: usize },
}

/// How operands of the URL are read for a field: like its type, but without the demands on stored values. Whoever searches for
/// half an e-mail address finds nothing; that is no error.
pub(super) fn operand_type(field: &Field) -> FieldType {
    match &field.declared {
        FieldType::Text { .. } | FieldType::Email | FieldType::Url | FieldType::Secret => {
            FieldType::Text { pattern: None }
        }
        FieldType::Json { .. } => FieldType::Json { schema: None },
        FieldType::Ref { key, .. } => (**key).clone(),
        FieldType::List { of } => match &**of {
            FieldType::Text { .. } | FieldType::Email | FieldType::Url => {
                FieldType::List { of: Box::new(FieldType::Text { pattern: None }) }
            }
            other => FieldType::List { of: Box::new(other.clone()) },
        },
        other => other.clone(),
    }
}

/// The values of all slots. Slots that the plan does not use hold null.
pub(super) fn params(slots: &[SlotUse], operands: &[Operand], limits: &Limits) -> Result<Vec<Value>, Refusal> {
    let regexes = slots.iter().zip(operands).map(|(usage, operand)| match (usage, operand) {
        (SlotUse::Pattern { regex: true, .. }, _) => 1,
        (SlotUse::Patterns { regex: true, .. }, Operand::List(items)) => items.len(),
        _ => 0,
    });
    if regexes.sum::<usize>() > REGEXES_MAX {
        return Err(Refusal::OverLimit { limit: "regular_expressions", value: REGEXES_MAX as u64 });
    }
    let mut params = Vec::with_capacity(slots.len());
    let mut errors = Vec::new();
    for (position, usage) in slots.iter().enumerate() {
        let operand = operands.get(position);
        params.push(match usage {
            SlotUse::Unused => Value::Null,
            SlotUse::Argument(field) => argument(field, operand, &mut errors)?,
            SlotUse::One { column, ty } => one(column, ty, operand)?,
            SlotUse::Many { column, ty } => many(column, ty, operand, limits)?,
            SlotUse::Pattern { column, regex } => match operand {
                Some(Operand::Text(text)) => pattern(column, *regex, text)?,
                _ => return Err(mismatched()),
            },
            SlotUse::Patterns { column, regex } => match operand {
                Some(Operand::List(items)) => {
                    if items.len() > limits.list_items as usize {
                        return Err(Refusal::OverLimit { limit: "list_items", value: u64::from(limits.list_items) });
                    }
                    let patterns = items.iter().map(|item| pattern(column, *regex, item));
                    Value::List(patterns.collect::<Result<_, _>>()?)
                }
                _ => return Err(mismatched()),
            },
            SlotUse::Search { column, how } => match operand {
                Some(Operand::Text(text)) => search::query(column, *how, text)?,
                _ => return Err(mismatched()),
            },
            SlotUse::Rows { most } => rows(operand, *most)?,
            SlotUse::Cursor { values } => match operand {
                Some(Operand::Cursor(given)) if given.len() == *values => Value::Null,
                _ => return Err(stale_cursor()),
            },
            SlotUse::CursorValue { slot, position } => match operands.get(*slot) {
                Some(Operand::Cursor(given)) => given.get(*position).cloned().unwrap_or(Value::Null),
                _ => return Err(stale_cursor()),
            },
        });
    }
    if errors.is_empty() { Ok(params) } else { Err(Refusal::Invalid { errors }) }
}

/// An argument, read and checked like a field of a body. What is wrong with a body is gathered.
fn argument(field: &Field, operand: Option<&Operand>, errors: &mut Vec<FieldError>) -> Result<Value, Refusal> {
    let mut wrong = |code: &'static str, message: String| {
        errors.push(FieldError {
            pointer: format!("/{}", field.name),
            code,
            message: format!("{} {message}", field.name),
            nearest: None,
        });
        Ok(Value::Null)
    };
    let value = match operand {
        Some(Operand::Json(json)) => match field.declared.accept_json(json) {
            Ok(value) => value,
            Err(message) => return wrong("type", message),
        },
        Some(Operand::Text(text)) => read(&field.name, &field.declared, text)?,
        Some(Operand::Value(value)) => value.clone(),
        _ => return Err(mismatched()),
    };
    if value.is_null() && !field.optional {
        return wrong("required", "must not be null".into());
    }
    match field.validate(&value) {
        Ok(()) => Ok(value),
        Err(violation) => wrong(violation.code, violation.message),
    }
}

fn one(column: &str, ty: &FieldType, operand: Option<&Operand>) -> Result<Value, Refusal> {
    match operand {
        Some(Operand::Text(text)) => read(column, ty, text),
        Some(Operand::Value(value)) => Ok(value.clone()),
        _ => Err(mismatched()),
    }
}

fn many(column: &str, ty: &FieldType, operand: Option<&Operand>, limits: &Limits) -> Result<Value, Refusal> {
    let values = match operand {
        Some(Operand::List(items)) => {
            if items.len() > limits.list_items as usize {
                return Err(Refusal::OverLimit { limit: "list_items", value: u64::from(limits.list_items) });
            }
            items.iter().map(|item| read(column, ty, item)).collect::<Result<_, _>>()?
        }
        Some(Operand::Values(values)) => values.clone(),
        _ => return Err(mismatched()),
    };
    Ok(Value::List(values))
}

fn read(column: &str, ty: &FieldType, text: &str) -> Result<Value, Refusal> {
    ty.accept_text(text).map_err(|message| Refusal::BadValue { column: column.into(), ty: ty.name().into(), message })
}

/// A pattern. A malformed one would match nothing, and its negation everything: better an error.
fn pattern(column: &str, regex: bool, text: &str) -> Result<Value, Refusal> {
    let bad = |message: String| Refusal::BadValue { column: column.into(), ty: "pattern".into(), message };
    if text.contains('\0') {
        return Err(bad("a pattern cannot contain U+0000".into()));
    }
    if regex {
        let nothing = [Value::text(""), Value::text(text)];
        if function::call(Function::Matches, Type::BOOL, &nothing).is_null() {
            return Err(bad("not a regular expression, or too large a one".into()));
        }
    }
    Ok(Value::text(text))
}

fn rows(operand: Option<&Operand>, most: Option<u32>) -> Result<Value, Refusal> {
    match operand {
        Some(Operand::Value(Value::Int(number))) if *number >= 0 => {
            Ok(Value::Int(most.map_or(*number, |most| (*number).min(i64::from(most)))))
        }
        _ => Err(mismatched()),
    }
}

/// The type that a slot's value has in expressions.
pub(super) fn param_type(ty: &FieldType) -> Type {
    ty.storage()
}

fn mismatched() -> Refusal {
    Refusal::Malformed { message: "an operand is not of the form that its operator takes".into(), hint: None }
}

fn stale_cursor() -> Refusal {
    Refusal::Malformed {
        message: "the cursor in \"after\" does not belong to this request".into(),
        hint: Some("follow the Link header with rel=\"next\" of the previous page unchanged".into()),
    }
}
