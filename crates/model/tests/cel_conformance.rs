//! The conformance cases of cel-spec, as far as rules go: each text is compiled and compared with what the specification says.
//!
//! The cases and the meaning of their columns are in `data/cel_spec.toml`. Absent: evaluation, which is `undergird-plan`'s; it can read the
//! same file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use undergird_model::cel::{Expect, Scope, compile};
use undergird_model::field_type::FieldType;
use undergird_model::schema::{Access, Collection, CollectionId, Field, FieldId};
use undergird_model::{Node, Value};

#[test]
fn cel_spec() {
    let data: toml::Table = include_str!("data/cel_spec.toml").parse().unwrap();
    let collections = [collection()];
    let scope = Scope {
        collections: &collections,
        this: Some(CollectionId(0)),
        allow_new: false,
        allow_auth: false,
        allow_relations: false,
        allow_now: false,
        profile: None,
        expect: Expect::Any,
    };
    let mut count = 0;
    let mut wrong = Vec::new();
    for section in data["section"].as_array().unwrap() {
        for case in section["cases"].as_array().unwrap() {
            let column = |at: usize| case[at].as_str().unwrap();
            let (text, says, ours) = (column(0), column(1), column(2));
            let expected = if ours.is_empty() { says } else { ours };
            let found = match compile(text, &scope) {
                Ok(expr) => match expr.node {
                    Node::Literal(value) => show(&value),
                    _ => expr.ty.to_string(),
                },
                Err(problems) => format!("!{}", problems[0].code),
            };
            if found != expected {
                wrong.push(format!("{}: {text}: expected {expected}, found {found}", section["name"]));
            }
            count += 1;
        }
    }
    assert!(count > 200, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The one variable that the cases use: `a`, a list of ints.
fn collection() -> Collection {
    let id = CollectionId(0);
    let declared = FieldType::List { of: Box::new(FieldType::Int) };
    let field = Field {
        id: FieldId { collection: id, index: 0 },
        name: "a".to_owned(),
        column: "a".to_owned(),
        ty: declared.storage(),
        declared,
        description: None,
        optional: false,
        unique: false,
        readonly: false,
        immutable: false,
        default: None,
        min: None,
        max: None,
        read: None,
        write: None,
        renamed_from: None,
        kept: undergird_model::schema::Kept::Own,
    };
    Collection {
        id,
        name: "variables".to_owned(),
        table: "variables".to_owned(),
        description: None,
        system: false,
        schema: None,
        adopted: false,
        readonly: false,
        key: vec![field.id],
        fields: vec![field],
        relations: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        access: Access::default(),
        cache: None,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{:?}", number.get()),
        Value::Text(text) => format!("{text:?}"),
        Value::Timestamp(micros) => format!("t{micros}"),
        Value::Duration(micros) => format!("{micros}us"),
        Value::Bytes(bytes) => format!("b{bytes:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}
