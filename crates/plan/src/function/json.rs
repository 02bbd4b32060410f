//! Looking into JSON.

use super::compare::equal_jsons;
use serde_json::Value as Json;
use undergird_model::Value;

/// Most pairs of elements that containment compares before it gives up.
const COVERS_STEPS_MAX: u32 = 1_000_000;

/// JSON text as a tree; `None` when it cannot be read.
pub(super) fn read(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

/// Whether there is something else than JSON null.
pub(super) fn present(value: &Value) -> bool {
    matches!(value, Value::Json(text) if read(text).is_some_and(|json| !json.is_null()))
}

/// Characters, elements or members.
pub(super) fn size(text: &str) -> Option<usize> {
    match read(text)? {
        Json::String(text) => Some(text.chars().count()),
        Json::Array(items) => Some(items.len()),
        Json::Object(members) => Some(members.len()),
        Json::Null | Json::Bool(_) | Json::Number(_) => None,
    }
}

/// The elements of an array; none of anything else.
pub(super) fn elements(text: &str) -> Vec<Value> {
    match read(text) {
        Some(Json::Array(items)) => items.into_iter().map(|item| Value::Json(item.to_string())).collect(),
        _ => Vec::new(),
    }
}

/// PostgREST's `->`.
pub(super) fn get(text: &str, step: &Value) -> Option<Value> {
    Some(Value::Json(step_into(read(text)?, step)?.to_string()))
}

/// PostgREST's `->>`.
pub(super) fn get_text(text: &str, step: &Value) -> Option<Value> {
    as_text(step_into(read(text)?, step)?)
}

/// JSON as text: strings unquoted, null is null.
pub(super) fn as_text(json: Json) -> Option<Value> {
    match json {
        Json::Null => None,
        Json::String(text) => (!text.contains('\0')).then_some(Value::Text(text)),
        other => Some(Value::Text(other.to_string())),
    }
}

fn step_into(json: Json, step: &Value) -> Option<Json> {
    match (json, step) {
        (Json::Object(mut members), Value::Text(name)) => members.swap_remove(name),
        (Json::Array(mut items), Value::Int(at)) => {
            let at = if *at < 0 { at.checked_add(i64::try_from(items.len()).ok()?)? } else { *at };
            let at = usize::try_from(at).ok().filter(|at| *at < items.len())?;
            Some(items.swap_remove(at))
        }
        _ => None,
    }
}

/// PostgreSQL's `@>` on `jsonb`; `None` when it would take too long.
pub(super) fn covers(whole: &str, part: &str) -> Option<bool> {
    let (whole, part) = (read(whole)?, read(part)?);
    let mut steps = COVERS_STEPS_MAX;
    match (&whole, &part) {
        // The one exception that PostgreSQL documents: an array contains a bare scalar, at the top alone.
        (Json::Array(items), scalar) if !scalar.is_array() && !scalar.is_object() => {
            Some(items.iter().any(|item| equal_jsons(item, scalar)))
        }
        _ => contains(&whole, &part, &mut steps),
    }
}

fn contains(whole: &Json, part: &Json, steps: &mut u32) -> Option<bool> {
    *steps = steps.checked_sub(1)?;
    match (whole, part) {
        (Json::Object(whole), Json::Object(part)) => {
            for (name, part) in part {
                match whole.get(name) {
                    Some(whole) if contains(whole, part, steps)? => {}
                    _ => return Some(false),
                }
            }
            Some(true)
        }
        (Json::Array(whole), Json::Array(part)) => {
            'parts: for part in part {
                for whole in whole {
                    if contains(whole, part, steps)? {
                        continue 'parts;
                    }
                }
                return Some(false);
            }
            Some(true)
        }
        _ => Some(equal_jsons(whole, part)),
    }
}
