//! The arguments of a call: of a query, where they stand among conditions, or of a body.
//!
//! In a query what reads like a condition is one, as in PostgREST, where the function gives rows that can have conditions: `?id=5&id=eq.7`
//! gives 5 to the function and keeps the rows whose `id` is 7. A text that begins with `eq.` is given by POST.

use super::json::Reader;
use super::{Called, ITEMS_MAX, Malformed, OPERANDS_MAX, query};
use crate::rest::media::{self, BodyMedia};
use undergird_model::settings::Limits;
use undergird_plan::Request;
use undergird_plan::request::{Call, Operand};

/// Takes the arguments out of a query. What is left of it asks about the result.
pub(super) fn of_query(request: &mut Request, called: &Called<'_>, text: &str) -> Result<String, Malformed> {
    let mut arguments = Vec::new();
    let mut rest: Vec<&str> = Vec::new();
    for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (query::decoded(name)?, query::decoded(value)?);
        // A name that means nothing else is an argument that the function does not have: it is told so.
        let is_condition = called.rows && reads_like_a_condition(&value);
        let is_argument =
            if called.arguments.contains(&&*name) { !is_condition } else { !is_word(&name) && !is_condition };
        if is_argument {
            let value = Operand::Text(value.into_owned());
            put(request, &mut arguments, name.into_owned(), value)?;
        } else {
            rest.push(parameter);
        }
    }
    finish(request, called, arguments);
    Ok(rest.join("&"))
}

/// The arguments of a body: the members of one JSON object, or of a form. No body at all is no arguments.
pub(super) fn of_body(
    request: &mut Request,
    called: &Called<'_>,
    content_type: Option<&str>,
    body: &[u8],
    limits: &Limits,
) -> Result<(), Malformed> {
    if body.len() as u64 > limits.body_bytes {
        return Err(Malformed::new("UG413", 413, format!("The body is larger than {} bytes", limits.body_bytes)));
    }
    let mut arguments = Vec::new();
    match if body.is_empty() { None } else { Some(media::body(content_type)?) } {
        None => {}
        Some(BodyMedia::Json) => {
            let mut reader = Reader::new(body, limits.json_depth)?;
            if reader.peek() != Some(b'{') {
                return Err(reader.mistake("an object: its members are the function's arguments"));
            }
            reader.members(&mut |reader, name| {
                let value = Operand::Json(reader.value(1)?);
                put(request, &mut arguments, name, value)
            })?;
            reader.end()?;
        }
        Some(BodyMedia::Form) => {
            let text = std::str::from_utf8(body)
                .map_err(|_| Malformed::new("PGRST102", 400, "The body is not valid UTF-8"))?;
            for pair in text.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let value = Operand::Text(query::decoded(value)?.into_owned());
                put(request, &mut arguments, query::decoded(name)?.into_owned(), value)?;
            }
        }
        Some(BodyMedia::Csv) => {
            return Err(Malformed::new("PGRST107", 415, "The arguments of a function are no CSV")
                .with_hint("Send one JSON object, whose members are the arguments."));
        }
    }
    finish(request, called, arguments);
    Ok(())
}

type Arguments = Vec<(String, undergird_model::expr::Slot)>;

/// Notes an argument; of two with one name the last counts, as in any JSON object.
fn put(request: &mut Request, arguments: &mut Arguments, name: String, value: Operand) -> Result<(), Malformed> {
    if let Some((_, slot)) = arguments.iter().find(|(known, _)| *known == name) {
        if let Some(place) = request.values.get_mut(usize::from(slot.0)) {
            *place = value;
        }
        return Ok(());
    }
    if arguments.len() >= ITEMS_MAX || request.values.len() >= OPERANDS_MAX {
        return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "arguments"));
    }
    let slot = request.slot(value);
    arguments.push((name, slot));
    Ok(())
}

fn finish(request: &mut Request, called: &Called<'_>, mut arguments: Arguments) {
    arguments.sort();
    request.shape.call = Some(Call { function: called.function.to_owned(), arguments });
}

/// Whether a parameter's name is a word of the query, or leads into an embed or into JSON.
fn is_word(name: &str) -> bool {
    let words = [
        "select",
        "order",
        "limit",
        "offset",
        "and",
        "or",
        "not.and",
        "not.or",
        "after",
        "columns",
        "on_conflict",
        "apikey",
    ];
    words.contains(&name) || name.contains(['.', '"']) || name.contains("->")
}

/// `eq.5`, `not.in.(1,2)`, `fts(english).x`.
fn reads_like_a_condition(value: &str) -> bool {
    let value = value.strip_prefix("not.").unwrap_or(value);
    let Some((operator, _)) = value.split_once('.') else { return false };
    let operator = operator.split_once('(').map_or(operator, |(operator, _)| operator);
    OPERATORS.contains(&operator)
}

/// See <https://docs.postgrest.org/en/stable/references/api/tables_views.html#operators>.
const OPERATORS: &[&str] = &[
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "in",
    "is",
    "isdistinct",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
];
