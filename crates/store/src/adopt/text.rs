//! Collections → TOML that people read: one line a field, in the order of the columns, with what is other than it was as comments.

use super::Written;
use super::shape::{Shape, Shaped, ShapedDefault, ShapedField};
use undergird_model::field_type::FieldType;

/// A comment's lines are no longer than this.
const LINE_CHARS: usize = 110;

pub(super) fn write(shaped: &Shaped) -> Written {
    let files = shaped.collections.iter().map(|shape| (format!("models/{}.toml", shape.name), model(shape))).collect();
    Written { files, collections: shaped.collections.len(), report: shaped.report.clone() }
}

fn model(shape: &Shape) -> String {
    let mut out = String::new();
    for note in &shape.notes {
        comment(&mut out, note);
    }
    if !shape.notes.is_empty() {
        out.push('\n');
    }
    if let Some(comment) = &shape.comment {
        out.push_str(&format!("description = {}\n", quoted(comment)));
    }
    out.push_str("adopted = true\n");
    if let Some(schema) = &shape.schema {
        out.push_str(&format!("schema = {}\n", quoted(schema)));
    }
    if shape.table != shape.name {
        out.push_str(&format!("table = {}\n", quoted(&shape.table)));
    }
    if shape.readonly {
        out.push_str("readonly = true\n");
    }
    match shape.key.as_slice() {
        [only] if only == "id" => {}
        [only] => out.push_str(&format!("key = {}\n", quoted(only))),
        several => out.push_str(&format!("key = [{}]\n", list(several))),
    }
    out.push_str("\n[fields]\n");
    let width = shape.fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
    for field in &shape.fields {
        for note in &field.notes {
            comment(&mut out, note);
        }
        out.push_str(&format!("{:width$} = {}\n", field.name, entry(field)));
    }
    for (fields, unique) in &shape.indexes {
        let names: Vec<String> =
            fields.iter().map(|(name, down)| format!("{}{name}", if *down { "-" } else { "" })).collect();
        out.push_str(&format!("\n[[indexes]]\nfields = [{}]\n", list(&names)));
        if *unique {
            out.push_str("unique = true\n");
        }
    }
    for (name, rule, text) in &shape.checks {
        out.push_str("\n[[checks]]\n");
        comment(&mut out, &format!("In the database: {text}"));
        out.push_str(&format!("rule = {}\nmessage = {}\n", quoted(rule), quoted(&format!("{name} is broken."))));
        out.push_str(&format!("name = {}\n", quoted(name)));
    }
    out.push_str("\n# Closed: nobody but a secret key may do anything here. Open what you want to be open:\n#\n");
    out.push_str("# [access]\n# read = \"true\"\n");
    out
}

fn entry(field: &ShapedField) -> String {
    let mut parts = Vec::new();
    match &field.reference {
        Some(reference) => {
            parts.push("type = \"ref\"".to_owned());
            parts.push(format!("to = {}", quoted(&reference.to)));
            if let Some(name) = &reference.relation {
                parts.push(format!("as = {}", quoted(name)));
            }
            if let Some(name) = &reference.inverse {
                parts.push(format!("inverse = {}", quoted(name)));
            }
            if reference.on_delete != "restrict" {
                parts.push(format!("on_delete = {}", quoted(reference.on_delete)));
            }
        }
        None => type_of(&field.holds.ty, &mut parts),
    }
    if field.column != field.name {
        parts.push(format!("column = {}", quoted(&field.column)));
    }
    if let Some(storage) = &field.holds.storage {
        parts.push(format!("storage = {}", quoted(storage)));
    }
    if field.optional {
        parts.push("optional = true".into());
    }
    if field.unique {
        parts.push("unique = true".into());
    }
    if field.reference.is_none() {
        if let Some(min) = &field.min {
            parts.push(format!("min = {min}"));
        }
        let limited = matches!(
            field.holds.ty,
            FieldType::Text { .. } | FieldType::Bytes | FieldType::Int | FieldType::Float | FieldType::Decimal { .. }
        );
        if let (Some(max), true) = (&field.max, limited) {
            parts.push(format!("max = {max}"));
        }
    }
    match &field.default {
        Some(ShapedDefault::Literal(value)) => {
            if let Some(text) = literal(value) {
                parts.push(format!("default = {text}"));
            }
        }
        Some(ShapedDefault::Now) => parts.push("default = { expr = \"now\" }".into()),
        None => {}
    }
    if let Some(word) = field.generated {
        parts.push(format!("generated = {}", quoted(word)));
    }
    if let Some(comment) = &field.comment {
        parts.push(format!("description = {}", quoted(comment)));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn type_of(ty: &FieldType, parts: &mut Vec<String>) {
    parts.push(format!("type = {}", quoted(ty.name())));
    let mut within = |ty: &FieldType| match ty {
        FieldType::Decimal { precision, scale } => {
            parts.push(format!("precision = {precision}, scale = {scale}"));
        }
        FieldType::Enum { values } => parts.push(format!("values = [{}]", list(values))),
        _ => {}
    };
    within(ty);
    if let FieldType::List { of } = ty {
        within(of);
        parts.insert(1, format!("of = {}", quoted(of.name())));
    }
}

/// A constant in TOML.
fn literal(value: &serde_json::Value) -> Option<String> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(value) => value.to_string(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::String(text) => quoted(text),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().filter_map(literal).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .filter_map(|(name, value)| Some(format!("{} = {}", quoted(name), literal(value)?)))
                .collect();
            if members.is_empty() { "{}".into() } else { format!("{{ {} }}", members.join(", ")) }
        }
    })
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")
}

/// A basic string: what is no plain character is escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A sentence in lines that begin with `#`.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        // What the database says may hold characters that TOML allows in no comment.
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        if line.len() > 1 && line.chars().count() + word.chars().count() + 1 > LINE_CHARS {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(&word);
    }
    out.push_str(&line);
    out.push('\n');
}
