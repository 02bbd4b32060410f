//! Sameness and order of values.

use super::{convert, json, number::Number};
use serde_json::Value as Json;
use std::cmp::Ordering;
use undergird_model::Value;
use undergird_model::expr::Comparison;

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// One of them is null.
    Null,
    /// They differ, and neither is less.
    Apart,
    /// They have an order, perhaps equal.
    Ordered(Ordering),
}

/// Null-safe equality: [`Node::Same`](undergird_model::Node::Same).
pub fn same(left: &Value, right: &Value) -> bool {
    match stand(left, right) {
        Stand::Null => match (left, right) {
            // One of them cannot be read.
            (Value::Json(left), Value::Json(right)) => left == right,
            (left, right) => left.is_null() && right.is_null(),
        },
        other => other == Stand::Ordered(Ordering::Equal),
    }
}

/// A comparison that is false with null: [`Node::Compare`](undergird_model::Node::Compare).
pub fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    match (stand(left, right), comparison) {
        (Stand::Null, _) => false,
        (Stand::Apart, comparison) => comparison == Comparison::NotEqual,
        (Stand::Ordered(order), Comparison::Equal) => order.is_eq(),
        (Stand::Ordered(order), Comparison::NotEqual) => order.is_ne(),
        (Stand::Ordered(order), Comparison::Less) => order.is_lt(),
        (Stand::Ordered(order), Comparison::LessOrEqual) => order.is_le(),
        (Stand::Ordered(order), Comparison::Greater) => order.is_gt(),
        (Stand::Ordered(order), Comparison::GreaterOrEqual) => order.is_ge(),
    }
}

/// The order of two values, when they have one.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match stand(left, right) {
        Stand::Ordered(order) => Some(order),
        Stand::Null | Stand::Apart => None,
    }
}

/// Whether the first is an element of the second, a list or JSON: [`Node::In`](undergird_model::Node::In). False with null.
pub fn within(item: &Value, list: &Value) -> bool {
    // Read once, however long the list is.
    let json = match item {
        Value::Null => return false,
        Value::Json(text) => match json::read(text) {
            None => return false,
            read => read,
        },
        _ => None,
    };
    let equal = |stand: Stand| stand == Stand::Ordered(Ordering::Equal);
    match list {
        Value::List(items) => items.iter().any(|other| match &json {
            Some(json) => equal(stand_json(json, other)),
            None => equal(stand(item, other)),
        }),
        Value::Json(text) => match json::read(text) {
            Some(Json::Array(items)) => items.iter().any(|other| match &json {
                Some(json) => equal(stand_jsons(other, json)),
                None => equal(stand_json(other, item)),
            }),
            Some(Json::Object(members)) => match (item, &json) {
                (Value::Text(name), _) | (_, Some(Json::String(name))) => members.contains_key(name),
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

fn stand(left: &Value, right: &Value) -> Stand {
    use Value::{Bool, Bytes, Date, Duration, List, Text, Time, Timestamp, Uuid};
    let ordered = Stand::Ordered;
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Stand::Null,
        (Value::Json(text), other) => json::read(text).map_or(Stand::Null, |json| stand_json(&json, other)),
        (other, Value::Json(text)) => json::read(text).map_or(Stand::Null, |json| match stand_json(&json, other) {
            Stand::Ordered(order) => Stand::Ordered(order.reverse()),
            stand => stand,
        }),
        (Bool(a), Bool(b)) => ordered(a.cmp(b)),
        (Text(a), Text(b)) => ordered(a.cmp(b)),
        (Uuid(a), Uuid(b)) => ordered(a.cmp(b)),
        (Date(a), Date(b)) => ordered(a.cmp(b)),
        (Timestamp(a), Timestamp(b)) | (Time(a), Time(b)) | (Duration(a), Duration(b)) => ordered(a.cmp(b)),
        (Bytes(a), Bytes(b)) => ordered(a.cmp(b)),
        (List(a), List(b)) => {
            for (a, b) in a.iter().zip(b) {
                match stand(a, b) {
                    Stand::Ordered(Ordering::Equal) => {}
                    // An element is never null; were it, the lists would not be the same.
                    Stand::Null => return Stand::Apart,
                    decided => return decided,
                }
            }
            ordered(a.len().cmp(&b.len()))
        }
        _ => match (Number::of(left), Number::of(right)) {
            (Some(a), Some(b)) => ordered(a.order(b)),
            _ => Stand::Apart,
        },
    }
}

/// JSON against a value of any kind.
fn stand_json(json: &Json, other: &Value) -> Stand {
    let ordered = Stand::Ordered;
    match (json, other) {
        (_, Value::Null) => Stand::Null,
        (_, Value::Json(text)) => json::read(text).map_or(Stand::Null, |other| stand_jsons(json, &other)),
        (Json::Bool(a), Value::Bool(b)) => ordered(a.cmp(b)),
        (Json::String(a), Value::Text(b)) => ordered(a.as_str().cmp(b)),
        (
            Json::String(text),
            Value::Uuid(_) | Value::Timestamp(_) | Value::Date(_) | Value::Time(_) | Value::Bytes(_),
        ) => convert::like(text, other).map_or(Stand::Apart, |converted| stand(&converted, other)),
        (Json::Number(number), _) => {
            Number::of(other).map_or(Stand::Apart, |other| ordered(Number::json(number.as_str()).order(other)))
        }
        _ => Stand::Apart,
    }
}

pub(super) fn stand_jsons(left: &Json, right: &Json) -> Stand {
    let ordered = Stand::Ordered;
    match (left, right) {
        (Json::Bool(a), Json::Bool(b)) => ordered(a.cmp(b)),
        (Json::String(a), Json::String(b)) => ordered(a.cmp(b)),
        (Json::Number(a), Json::Number(b)) => ordered(Number::json(a.as_str()).order(Number::json(b.as_str()))),
        _ if equal_jsons(left, right) => ordered(Ordering::Equal),
        _ => Stand::Apart,
    }
}

/// Structural equality: numbers by exact value, objects regardless of order.
pub(super) fn equal_jsons(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::String(a), Json::String(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => Number::json(a.as_str()).order(Number::json(b.as_str())).is_eq(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_jsons(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal_jsons(a, b)))
        }
        _ => false,
    }
}
