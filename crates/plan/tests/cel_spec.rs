//! The conformance cases of cel-spec, evaluated: what the rules' compiler takes must give what the specification says.
//!
//! The cases are in `crates/model/tests/data/cel_spec.toml`; those that the compiler refuses are its own test's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use undergird_model::Value;
use undergird_model::cel::{Expect, Scope, compile};
use undergird_model::expr::RowVar;
use undergird_model::field_type::FieldType;
use undergird_model::schema::{Access, Collection, CollectionId, Field, FieldId};
use undergird_plan::caller::{Caller, Moment};
use undergird_plan::evaluate::{Bindings, RowWorld, evaluate};

/// Where we mean to differ: the wire form of a timestamp.
const MEANT: &[(&str, &str)] = &[("string(timestamp('2009-02-13T23:31:30Z'))", "\"2009-02-13T23:31:30+00:00\"")];

#[test]
fn what_cel_spec_says() {
    let data: toml::Table = include_str!("../../model/tests/data/cel_spec.toml").parse().unwrap();
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
    let caller = Caller::visitor(Moment { now: 0, entropy: 0 });
    let bindings = Bindings { caller: &caller, params: &[], input: &[] };
    let row = [Value::List(vec![Value::Int(0)])];
    let mut count = 0;
    let mut wrong = Vec::new();
    for section in data["section"].as_array().unwrap() {
        for case in section["cases"].as_array().unwrap() {
            let (text, says) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
            let Ok(expr) = compile(text, &scope) else { continue };
            let value = evaluate(&expr, bindings, &RowWorld::default(), &[(RowVar::THIS, &row[..])]).unwrap();
            let expected = MEANT.iter().find(|(known, _)| *known == text).map_or(says, |(_, ours)| ours);
            let found = show(&value);
            // One float is written in more than one way.
            let same_number = matches!((found.parse::<f64>(), expected.parse::<f64>()), (Ok(a), Ok(b)) if a == b);
            if found != expected && !same_number {
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
