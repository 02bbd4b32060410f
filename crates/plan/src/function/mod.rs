//! What functions, comparisons and arithmetic do to values: the one place that knows. The evaluator calls it, and a store whose SQL
//! has no exact equivalent registers these very functions with its database, so that the two readers of an expression agree by
//! construction.
//!
//! Absent: expressions, rows, callers. Everything here is a pure function of values; none panics, whatever they are.

mod arithmetic;
mod compare;
mod convert;
mod json;
mod like;
mod number;
mod pattern;
mod time;

#[cfg(test)]
mod tests;

pub use arithmetic::{arithmetic, negate};
pub use compare::{compare, order, same, within};
pub use like::PATTERN_CHARACTERS_MAX;
pub use pattern::Patterns;

use undergird_model::expr::Function;
use undergird_model::{Type, Value};

/// A function of values. `ty` is the type of the call's expression: the target of a [`Function::Cast`], else of no effect.
///
/// A wrong number or kind of arguments, which a checked expression never has, gives null.
pub fn call(function: Function, ty: Type, arguments: &[Value]) -> Value {
    call_with(&mut Patterns::default(), function, ty, arguments)
}

/// The same, with compiled patterns kept from call to call.
pub fn call_with(patterns: &mut Patterns, function: Function, ty: Type, arguments: &[Value]) -> Value {
    if function == Function::JsonPresent {
        return Value::Bool(arguments.first().is_some_and(json::present));
    }
    if arguments.iter().any(Value::is_null) {
        return Value::Null;
    }
    apply(patterns, function, ty, arguments).unwrap_or(Value::Null)
}

/// `None` is null.
fn apply(patterns: &mut Patterns, function: Function, ty: Type, arguments: &[Value]) -> Option<Value> {
    use Value::{Bytes, Duration, Int, Json, List, Text};
    Some(match (function, arguments) {
        (Function::Contains, [Text(text), Text(part)]) => Value::Bool(text.contains(part.as_str())),
        (Function::StartsWith, [Text(text), Text(part)]) => Value::Bool(text.starts_with(part.as_str())),
        (Function::EndsWith, [Text(text), Text(part)]) => Value::Bool(text.ends_with(part.as_str())),
        (Function::Matches, [Text(text), Text(pattern)]) => Value::Bool(patterns.matches(pattern, false, text)?),
        (Function::MatchesInsensitive, [Text(text), Text(pattern)]) => {
            Value::Bool(patterns.matches(pattern, true, text)?)
        }
        (Function::Like, [Text(text), Text(pattern)]) => Value::Bool(like::like(text, pattern, false)?),
        (Function::LikeInsensitive, [Text(text), Text(pattern)]) => Value::Bool(like::like(text, pattern, true)?),
        (Function::TextSize, [Text(text)]) => size(text.chars().count()),
        (Function::BytesSize, [Bytes(octets)]) => size(octets.len()),
        (Function::ListSize, [List(items)]) => size(items.len()),
        (Function::JsonSize, [Json(text)]) => size(json::size(text)?),
        (Function::LowerAscii, [Text(text)]) => Text(text.to_ascii_lowercase()),
        (Function::UpperAscii, [Text(text)]) => Text(text.to_ascii_uppercase()),
        (Function::Trim, [Text(text)]) => Value::text(text.trim_matches(|c| matches!(c, '\t'..='\r' | ' '))),
        (Function::Concatenate, [Text(a), Text(b)]) => Text([a.as_str(), b.as_str()].concat()),
        (
            Function::Year
            | Function::Month
            | Function::Day
            | Function::DayOfMonth
            | Function::DayOfWeek
            | Function::DayOfYear
            | Function::Hours
            | Function::Minutes
            | Function::Seconds
            | Function::Milliseconds,
            [Value::Timestamp(_) | Value::Date(_) | Duration(_)],
        ) => Int(time::part(function, &arguments[0])?),
        (Function::ToInt, [value]) => convert::to_int(value)?,
        (Function::ToFloat, [value]) => convert::to_float(value)?,
        (Function::ToText, [value]) => convert::to_text(value)?,
        (Function::ToTimestamp, [value]) => convert::to_timestamp(value)?,
        (Function::ToDate, [value]) => convert::to_date(value)?,
        (Function::ToDuration, [value]) => convert::to_duration(value)?,
        (Function::ToUuid, [value]) => convert::to_uuid(value)?,
        (Function::ToBool, [value]) => convert::to_bool(value)?,
        (Function::Cast, [value]) => convert::cast(ty, value)?,
        (Function::JsonGet, [Json(text), step]) => json::get(text, step)?,
        (Function::JsonGetText, [Json(text), step]) => json::get_text(text, step)?,
        (Function::Covers, [List(whole), List(part)]) => Value::Bool(covers(whole, part)),
        (Function::Covers, [Json(whole), Json(part)]) => Value::Bool(json::covers(whole, part)?),
        (Function::Overlaps, [List(a), List(b)]) => Value::Bool(overlaps(a, b)),
        (Function::Element, [List(items), Int(at)]) => items.get(usize::try_from(*at).ok()?)?.clone(),
        _ => return None,
    })
}

/// A way of an [`If`](undergird_model::Node::If) as the type of the whole: cast where both are numbers of different types.
pub fn brought_to(whole: Type, way: Type, value: Value) -> Value {
    if way != whole && way.is_number() && whole.is_number() { call(Function::Cast, whole, &[value]) } else { value }
}

/// The elements of a list, or of a JSON array; none of anything else. What [`Node::AnyElement`](undergird_model::Node::AnyElement)
/// goes over.
pub fn elements(list: Value) -> Vec<Value> {
    match list {
        Value::List(items) => items,
        Value::Json(text) => json::elements(&text),
        _ => Vec::new(),
    }
}

/// A number of things in memory, which always fits.
fn size(count: usize) -> Value {
    i64::try_from(count).map_or(Value::Null, Value::Int)
}

/// Whether every element of `part` is among `whole`. By sorting: lists from outside may be long.
fn covers(whole: &[Value], part: &[Value]) -> bool {
    let sorted = sorted(whole);
    part.iter().all(|item| holds(&sorted, item))
}

fn overlaps(a: &[Value], b: &[Value]) -> bool {
    let sorted = sorted(a);
    b.iter().any(|item| holds(&sorted, item))
}

/// The elements of a list are of one kind, and within a kind the order is total. (JSON elements, which have none, are not sorted.)
fn sorted(items: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = items.iter().collect();
    if items.iter().all(|item| !matches!(item, Value::Json(_))) {
        sorted.sort_by(|a, b| order(a, b).unwrap_or(std::cmp::Ordering::Equal));
    }
    sorted
}

fn holds(sorted: &[&Value], item: &Value) -> bool {
    match (sorted.first(), item) {
        (Some(Value::Json(_)), _) | (_, Value::Json(_)) => sorted.iter().any(|other| same(other, item)),
        _ => sorted
            .binary_search_by(|other| order(other, item).unwrap_or(std::cmp::Ordering::Less))
            .is_ok_and(|at| same(sorted[at], item)),
    }
}
