//! `list`: a list of scalars of one type, without nulls in it. JSON arrays on the wire; `{a,b}` in URLs, as PostgreSQL writes them.

use super::FieldType;
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn accept_json(of: &FieldType, json: &Json) -> Result<Value, String> {
    let Json::Array(items) = json else { return Err(super::expected("a list", json)) };
    let accept = |(position, item): (usize, &Json)| match item {
        Json::Null => Err(format!("item {}: must not be null", position + 1)),
        item => of.accept_json(item).map_err(|message| format!("item {}: {message}", position + 1)),
    };
    items.iter().enumerate().map(accept).collect::<Result<_, _>>().map(Value::List)
}

pub(super) fn accept_text(of: &FieldType, text: &str) -> Result<Value, String> {
    const EXPECTED: &str = "expected a list like {a,b} or [\"a\",\"b\"]";
    if text.starts_with('[') {
        let json = serde_json::from_str(text).map_err(|_| EXPECTED)?;
        return accept_json(of, &json);
    }
    let items = braced(text).ok_or(EXPECTED)?;
    let accept = |(position, item): (usize, String)| {
        of.accept_text(&item).map_err(|message| format!("item {}: {message}", position + 1))
    };
    items.into_iter().enumerate().map(accept).collect::<Result<_, _>>().map(Value::List)
}

/// The items of `{a,"b c",d}`: quotes around what needs them, backslashes before quotes and backslashes. An unquoted `NULL` is
/// refused, for there are no nulls in lists.
fn braced(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut rest = inner.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let mut item = String::new();
        if rest.next_if_eq(&'"').is_some() {
            loop {
                match rest.next()? {
                    '"' => break,
                    '\\' => item.push(rest.next()?),
                    c => item.push(c),
                }
            }
            while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        } else {
            while let Some(c) = rest.next_if(|c| *c != ',') {
                match c {
                    '"' | '{' | '}' => return None,
                    '\\' => item.push(rest.next()?),
                    c => item.push(c),
                }
            }
            item.truncate(item.trim_end().len());
            if item.is_empty() || item.eq_ignore_ascii_case("null") {
                return None;
            }
        }
        items.push(item);
        match rest.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

pub(super) fn json_schema(of: &FieldType) -> Json {
    json!({ "type": "array", "items": of.json_schema() })
}

pub(super) fn typescript(of: &FieldType) -> String {
    match of {
        FieldType::Enum { .. } => format!("({})[]", of.typescript()),
        _ => format!("{}[]", of.typescript()),
    }
}
