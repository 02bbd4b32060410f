//! A small JSON Schema (2020-12) validator for `json` fields: the keywords that people write by hand.
//!
//! Deliberately absent: `$ref`, formats, and every keyword that is not in [`KEYWORDS`]. They are refused when the definition is
//! checked, because a keyword that is silently ignored is a hole.

use serde_json::Value as Json;
use std::cmp::Ordering;

/// What is understood. The last five say nothing about validity.
pub const KEYWORDS: &[&str] = &[
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "$schema",
    "title",
    "description",
    "default",
    "examples",
];

const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "string", "integer"];

/// Schemas nest no deeper than this.
const DEPTH_MAX: usize = 32;

/// Greatest compiled size of one pattern, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Whether a schema says only what [`validate`] understands. The errors name the place within the schema.
pub fn check(schema: &Json) -> Result<(), Vec<String>> {
    let mut faults = Vec::new();
    check_at(schema, "", 0, &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn check_at(schema: &Json, at: &str, depth: usize, faults: &mut Vec<String>) {
    if depth > DEPTH_MAX {
        faults.push(format!("nested deeper than {DEPTH_MAX} levels"));
        return;
    }
    let members = match schema {
        Json::Bool(_) => return,
        Json::Object(members) => members,
        _ => {
            faults.push(format!("{}: a schema is an object, true or false", place(at)));
            return;
        }
    };
    for (keyword, value) in members {
        let here = format!("{at}/{keyword}");
        let mut wrong = |expected: &str| faults.push(format!("{}: expected {expected}", place(&here)));
        match keyword.as_str() {
            "type" => {
                let known = |name: &Json| name.as_str().is_some_and(|name| TYPES.contains(&name));
                let fine = match value {
                    Json::Array(names) => !names.is_empty() && names.iter().all(known),
                    name => known(name),
                };
                if !fine {
                    wrong(&format!("one of {}", TYPES.join(", ")));
                }
            }
            "enum" if !value.is_array() => wrong("a list"),
            "required" => {
                if !value.as_array().is_some_and(|names| names.iter().all(Json::is_string)) {
                    wrong("a list of names");
                }
            }
            "minItems" | "maxItems" | "minLength" | "maxLength" if value.as_u64().is_none() => {
                wrong("a whole number that is not negative");
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if !value.is_number() => wrong("a number"),
            "pattern" => match value.as_str() {
                Some(text) => {
                    if let Err(error) = pattern(text) {
                        wrong(&format!("a regular expression ({error})"));
                    }
                }
                None => wrong("text"),
            },
            "properties" => match value {
                Json::Object(properties) => {
                    for (name, inner) in properties {
                        check_at(inner, &format!("{here}/{name}"), depth + 1, faults);
                    }
                }
                _ => wrong("an object"),
            },
            "items" | "additionalProperties" | "not" => check_at(value, &here, depth + 1, faults),
            "anyOf" | "oneOf" | "allOf" => match value.as_array() {
                Some(list) if !list.is_empty() => {
                    for (position, inner) in list.iter().enumerate() {
                        check_at(inner, &format!("{here}/{position}"), depth + 1, faults);
                    }
                }
                _ => wrong("a list of schemas"),
            },
            known if KEYWORDS.contains(&known) => {}
            unknown => faults.push(match crate::diagnostic::nearest(unknown, KEYWORDS.iter().copied()) {
                Some(near) => format!("{}: not supported; did you mean \"{near}\"?", place(&here)),
                None => format!("{}: not supported", place(&here)),
            }),
        }
    }
}

fn place(at: &str) -> &str {
    if at.is_empty() { "the schema" } else { at }
}

fn pattern(text: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).build().map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or("malformed").trim_start_matches("error: ").to_owned()
    })
}

/// Whether a value obeys a schema that [`check`] found fine. The error is one sentence that begins with the place in the value.
pub fn validate(schema: &Json, value: &Json) -> Result<(), String> {
    validate_at(schema, value, "")
}

fn validate_at(schema: &Json, value: &Json, at: &str) -> Result<(), String> {
    let members = match schema {
        Json::Bool(true) => return Ok(()),
        Json::Object(members) => members,
        _ => return Err(told(at, "is not allowed")),
    };
    for (keyword, wanted) in members {
        keyword_holds(members, keyword, wanted, value, at)?;
    }
    Ok(())
}

/// One keyword. A keyword about another JSON type than the value's says nothing.
fn keyword_holds(
    schema: &serde_json::Map<String, Json>,
    keyword: &str,
    wanted: &Json,
    value: &Json,
    at: &str,
) -> Result<(), String> {
    let unless = |holds: bool, message: String| if holds { Ok(()) } else { Err(told(at, &message)) };
    let list = || wanted.as_array().map(Vec::as_slice).unwrap_or_default();
    let count = wanted.as_u64().unwrap_or(0);
    match (keyword, value) {
        ("type", value) => {
            let fits = |name: &Json| name.as_str().is_some_and(|name| is_type(value, name));
            match wanted {
                Json::Array(names) => unless(names.iter().any(fits), format!("must be one of {}", words(names))),
                name => unless(fits(name), format!("must be {}", article(name))),
            }
        }
        ("enum", value) => unless(list().iter().any(|one| same(one, value)), "is not one of the allowed values".into()),
        ("const", value) => unless(same(wanted, value), "is not the allowed value".into()),
        ("required", Json::Object(members)) => {
            match list().iter().filter_map(Json::as_str).find(|name| !members.contains_key(*name)) {
                Some(missing) => Err(told(at, &format!("must have the member \"{missing}\""))),
                None => Ok(()),
            }
        }
        ("properties", Json::Object(members)) => {
            let Json::Object(properties) = wanted else { return Ok(()) };
            for (name, inner) in properties {
                if let Some(member) = members.get(name) {
                    validate_at(inner, member, &format!("{at}/{name}"))?;
                }
            }
            Ok(())
        }
        ("additionalProperties", Json::Object(members)) => {
            let declared = schema.get("properties").and_then(Json::as_object);
            for (name, member) in members {
                if declared.is_some_and(|declared| declared.contains_key(name)) {
                    continue;
                }
                // The name comes from the caller, who knows it; it is quoted by JSON's rules.
                if wanted == &Json::Bool(false) {
                    return Err(told(at, &format!("must not have the member {}", Json::from(name.as_str()))));
                }
                validate_at(wanted, member, &format!("{at}/{name}"))?;
            }
            Ok(())
        }
        ("items", Json::Array(items)) => {
            for (position, item) in items.iter().enumerate() {
                validate_at(wanted, item, &format!("{at}/{position}"))?;
            }
            Ok(())
        }
        ("minItems", Json::Array(items)) => {
            unless(items.len() as u64 >= count, format!("must have at least {count} items"))
        }
        ("maxItems", Json::Array(items)) => {
            unless(items.len() as u64 <= count, format!("must have at most {count} items"))
        }
        ("minLength", Json::String(text)) => {
            unless(text.chars().count() as u64 >= count, format!("must have at least {count} characters"))
        }
        ("maxLength", Json::String(text)) => {
            unless(text.chars().count() as u64 <= count, format!("must have at most {count} characters"))
        }
        ("pattern", Json::String(text)) => {
            // Compiled per value: `check` bounded its size, and fields with patterns inside JSON are rare.
            let source = wanted.as_str().unwrap_or_default();
            unless(pattern(source).is_ok_and(|regex| regex.is_match(text)), format!("must match the pattern {source}"))
        }
        ("minimum", Json::Number(_)) => unless(order(value, wanted).is_ge(), format!("must be at least {wanted}")),
        ("maximum", Json::Number(_)) => unless(order(value, wanted).is_le(), format!("must be at most {wanted}")),
        ("exclusiveMinimum", Json::Number(_)) => {
            unless(order(value, wanted).is_gt(), format!("must be more than {wanted}"))
        }
        ("exclusiveMaximum", Json::Number(_)) => {
            unless(order(value, wanted).is_lt(), format!("must be less than {wanted}"))
        }
        ("allOf", value) => list().iter().try_for_each(|inner| validate_at(inner, value, at)),
        ("anyOf", value) => unless(
            list().iter().any(|inner| validate_at(inner, value, at).is_ok()),
            "fits none of the forms allowed".into(),
        ),
        ("oneOf", value) => {
            let fitting = list().iter().filter(|inner| validate_at(inner, value, at).is_ok()).count();
            unless(fitting == 1, format!("must fit exactly one of the forms allowed, fits {fitting}"))
        }
        ("not", value) => unless(validate_at(wanted, value, at).is_err(), "has a form that is not allowed".into()),
        _ => Ok(()),
    }
}

fn told(at: &str, message: &str) -> String {
    if at.is_empty() { message.to_owned() } else { format!("{at} {message}") }
}

fn words(names: &[Json]) -> String {
    names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
}

fn article(name: &Json) -> String {
    match name.as_str().unwrap_or_default() {
        "null" => "null".into(),
        name @ ("object" | "array" | "integer") => format!("an {name}"),
        name => format!("a {name}"),
    }
}

fn is_type(value: &Json, name: &str) -> bool {
    match value {
        Json::Null => name == "null",
        Json::Bool(_) => name == "boolean",
        Json::Object(_) => name == "object",
        Json::Array(_) => name == "array",
        Json::String(_) => name == "string",
        Json::Number(number) => {
            name == "number" || name == "integer" && number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
    }
}

/// By value: `1` and `1.0` are the same number. Beyond 2^53 the texts decide.
fn order(a: &Json, b: &Json) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(_), Json::Number(_)) => order(a, b).is_eq(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Schema, value, what is said about it (empty: fine).
    const CASES: &[(&str, &str, &str)] = &[
        (r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer","minimum":1}}}"#, r#"{"a":1.0}"#, ""),
        (r#"{"type":"object","required":["a"]}"#, "{}", r#"must have the member "a""#),
        (r#"{"properties":{"a":{"type":"integer","minimum":1}}}"#, r#"{"a":0}"#, "/a must be at least 1"),
        (
            r#"{"properties":{"a":{}},"additionalProperties":false}"#,
            r#"{"a":1,"b":2}"#,
            r#"must not have the member "b""#,
        ),
        (r#"{"additionalProperties":{"type":"string"}}"#, r#"{"b":2}"#, "/b must be a string"),
        (r#"{"items":{"type":["string","null"]},"maxItems":2}"#, r#"["a",null]"#, ""),
        (r#"{"items":{"type":["string","null"]}}"#, "[1]", "/0 must be one of string, null"),
        (r#"{"maxItems":1}"#, "[1,2]", "must have at most 1 items"),
        (r#"{"minItems":1}"#, "[]", "must have at least 1 items"),
        (r#"{"maxLength":1}"#, r#""é""#, ""),
        (r#"{"minLength":2}"#, r#""é""#, "must have at least 2 characters"),
        (r#"{"pattern":"^a+$"}"#, r#""b""#, "must match the pattern ^a+$"),
        (r#"{"exclusiveMinimum":0,"exclusiveMaximum":1}"#, "0.5", ""),
        (r#"{"exclusiveMinimum":0}"#, "0", "must be more than 0"),
        (r#"{"exclusiveMaximum":1}"#, "1", "must be less than 1"),
        (r#"{"maximum":9007199254740993}"#, "9007199254740994", "must be at most 9007199254740993"),
        (r#"{"enum":[1,"a",{"b":[1]}]}"#, r#"{"b":[1.0]}"#, ""),
        (r#"{"enum":[1]}"#, "2", "is not one of the allowed values"),
        (r#"{"const":null}"#, "0", "is not the allowed value"),
        (r#"{"anyOf":[{"type":"string"},{"type":"number"}]}"#, "true", "fits none of the forms allowed"),
        (
            r#"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#,
            "1",
            "must fit exactly one of the forms allowed, fits 2",
        ),
        (r#"{"allOf":[{"type":"integer"},{"minimum":3}]}"#, "2", "must be at least 3"),
        (r#"{"not":{"type":"null"}}"#, "null", "has a form that is not allowed"),
        ("false", "1", "is not allowed"),
        ("true", "1", ""),
    ];

    #[test]
    fn validates() {
        for (schema, value, expected) in CASES {
            let (schema_json, value_json) =
                (serde_json::from_str(schema).unwrap(), serde_json::from_str(value).unwrap());
            assert_eq!(check(&schema_json), Ok(()), "{schema}");
            let told = validate(&schema_json, &value_json).err().unwrap_or_default();
            assert_eq!(&told, expected, "{schema} on {value}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let cases = [
            (r#"{"$ref":"x"}"#, "/$ref: not supported"),
            (r#"{"minLenght":1}"#, r#"/minLenght: not supported; did you mean "minLength"?"#),
            (r#"{"properties":{"a":{"format":"uuid"}}}"#, "/properties/a/format: not supported"),
            (r#"{"type":"int"}"#, "/type: expected one of null, boolean, object, array, number, string, integer"),
            (r#"{"minItems":-1}"#, "/minItems: expected a whole number that is not negative"),
            (r#"{"pattern":"("}"#, "/pattern: expected a regular expression (unclosed group)"),
            (r#"{"anyOf":[]}"#, "/anyOf: expected a list of schemas"),
            ("1", "the schema: a schema is an object, true or false"),
        ];
        for (schema, expected) in cases {
            assert_eq!(check(&serde_json::from_str(schema).unwrap()), Err(vec![expected.to_owned()]), "{schema}");
        }
    }
}
