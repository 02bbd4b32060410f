//! Calls of functions as plans: who may, with which arguments, and what holds for what they give.

use super::*;
use crate::authorize::Planner;
use crate::scope::{Scope, Scopes};
use crate::shape::{Column, Source as Called};
use undergird_model::Type;

const NEAR: &str = r#"
volatility = "stable"
returns = { rows = "notes" }
access = "auth.id == uuid('00000000-0000-0000-0000-000000000001')"
[arguments]
far = { type = "int", min = 0 }
kind = { type = "enum", values = ["a", "b"], optional = true }
"#;

fn with_functions() -> Arc<Model> {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let sources = [
        source("models/notes.toml", NOTES),
        source("models/people.toml", PEOPLE),
        source("models/closed.toml", CLOSED),
        source("functions/near.toml", NEAR),
        source("functions/shut.toml", "access = \"true\"\nreturns = { rows = \"closed\" }\n"),
        source("functions/add.toml", "returns = { type = \"int\" }\naccess = \"'boss' in auth.roles\"\n"),
        source("functions/all.toml", "returns = { type = \"text\", list = true }\naccess = \"true\"\n"),
        source("functions/deed.toml", ""),
    ];
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

fn call(function: &str, arguments: &[(&str, Operand)]) -> Request {
    let mut request = Request::new("", Verb::Read);
    let mut given: Vec<_> =
        arguments.iter().map(|(name, operand)| ((*name).to_owned(), request.slot(operand.clone()))).collect();
    given.sort();
    request.shape.call = Some(Call { function: function.into(), arguments: given });
    request
}

fn json(value: serde_json::Value) -> Operand {
    Operand::Json(value)
}

fn planned(caller: &Caller, request: &Request) -> Result<Plan, Refusal> {
    crate::authorize(&with_functions(), caller, request)
}

fn closed(function: &str, ruled: bool, authenticated: bool) -> Refusal {
    Refusal::FunctionClosed { function: function.into(), ruled, authenticated }
}

#[test]
fn closed_until_opened() {
    let secret = Caller::secret(MOMENT);
    for (caller, function, expected) in [
        (visitor(), "deed", Some(closed("deed", false, false))),
        (me(&["boss"]), "deed", Some(closed("deed", false, true))),
        (secret.clone(), "deed", None),
        (visitor(), "add", Some(closed("add", true, false))),
        (me(&[]), "add", Some(closed("add", true, true))),
        (me(&["boss"]), "add", None),
        (visitor(), "all", None),
        // The rows' own collection is nobody's.
        (
            me(&[]),
            "shut",
            Some(Refusal::VerbClosed { collection: "closed".into(), verb: Verb::Read, authenticated: true }),
        ),
        (secret, "shut", None),
        (visitor(), "al", Some(Refusal::UnknownFunction { name: "al".into(), nearest: Some("all".into()) })),
    ] {
        assert_eq!(planned(&caller, &call(function, &[])).err(), expected, "{function}");
    }
}

/// A key that is held to scopes needs one for the function, and where it gives rows, one for them; no rule is asked before.
#[test]
fn scopes_are_asked_of_calls() {
    let held = |scopes: &[&str]| {
        let scopes = Scopes::new(scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect());
        let user = User::new(ME, None, vec!["boss".into()], serde_json::json!({}));
        Caller::user(Arc::new(user.held_to(scopes)), MOMENT)
    };
    let missing = |scope: &str| Some(Refusal::ScopeMissing { scope: Scope::parse(scope).unwrap() });
    let near = call("near", &[("far", json(5.into()))]);
    for (scopes, request, expected) in [
        (&["read", "write"][..], call("all", &[]), missing("call:all")),
        (&["call:add"], call("all", &[]), missing("call:all")),
        (&["call:all"], call("all", &[]), None),
        (&["call"], call("add", &[]), None),
        (&["call"], call("deed", &[]), Some(closed("deed", false, true))),
        (&["call:near"], near.clone(), missing("read:notes")),
        (&["read:notes"], near.clone(), missing("call:near")),
        (&["call:near", "read:notes"], near, None),
    ] {
        assert_eq!(planned(&held(scopes), &request).err(), expected, "{scopes:?}");
    }
}

/// The shape of one caller serves another of his kind, and the rule is still asked of each.
#[test]
fn a_kept_shape_lets_nobody_else_in() {
    let planner = Planner::new(with_functions());
    let request = call("near", &[("far", json(5.into()))]);
    let other = Caller::user(Arc::new(User::new(Uuid::from_u128(2), None, Vec::new(), serde_json::json!({}))), MOMENT);
    let mine = planner.plan(&me(&[]), &request).unwrap();
    assert_eq!(planner.plan(&other, &request).unwrap_err(), closed("near", true, true));
    let again = planner.plan(&me(&[]), &request).unwrap();
    assert!(Arc::ptr_eq(mine.shape(), again.shape()), "the shape is kept");
}

#[test]
fn arguments_are_known_and_checked() {
    let refused = |arguments: &[(&str, Operand)]| match planned(&me(&[]), &call("near", arguments)) {
        Ok(plan) => format!("{:?}", plan.params()),
        Err(Refusal::WrongArguments { given, takes, nearest, .. }) => {
            format!("{} | {takes} | {}", given.join(","), nearest.unwrap_or_default())
        }
        Err(Refusal::Invalid { errors }) => {
            errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect::<Vec<_>>().join(", ")
        }
        Err(Refusal::BadValue { column, ty, .. }) => format!("{column} is no {ty}"),
        Err(other) => format!("{other:?}"),
    };
    let text = |text: &str| Operand::Text(text.into());
    assert_eq!(refused(&[]), " | far, kind (optional) | ");
    assert_eq!(refused(&[("kind", json("a".into()))]), "kind | far, kind (optional) | ");
    assert_eq!(refused(&[("far", json(1.into())), ("kin", json("a".into()))]), "far,kin | far, kind (optional) | kind");
    assert_eq!(refused(&[("far", json("1".into())), ("kind", json("c".into()))]), "/far type, /kind type");
    assert_eq!(refused(&[("far", json((-1).into())), ("kind", json(serde_json::Value::Null))]), "/far too-small");
    assert_eq!(refused(&[("far", json(serde_json::Value::Null))]), "/far required");
    assert_eq!(refused(&[("far", text("x"))]), "far is no int");
    assert_eq!(refused(&[("far", text("7")), ("kind", text("b"))]), r#"[Int(7), Text("b")]"#);
}

#[test]
fn rows_are_held_to_their_collection() {
    let mut request = call("near", &[("far", json(5.into()))]);
    request.shape.count = Some(Count::Planned);
    let plan = planned(&me(&[]), &request).unwrap();
    let root = &read(&plan).nodes[0];
    assert!(root.source.is_some() && plan.function().is_some_and(|function| function.name == "near"));
    assert_eq!(read(&plan).count, Some(Count::Exact), "what the planner knows of the table says nothing of this");
    assert!(root.order.is_empty(), "the function's own order stands");
    let table = self::plan(&me(&[]), Request::new("notes", Verb::Read)).unwrap();
    let table = &read(&table).nodes[0];
    assert_eq!(root.columns.len(), table.columns.len(), "the same columns, masked alike");
    assert!(format!("{:?}", root.filter).contains("Auth(Id)"), "the read rule: {:?}", root.filter);
    request.shape.order.push(OrderItem {
        relation: None,
        column: ColumnPath { name: "title".into(), steps: Vec::new() },
        descending: false,
        nulls_first: None,
    });
    let ordered = planned(&me(&[]), &request).unwrap();
    assert_eq!(read(&ordered).nodes[0].order.len(), 2, "an order that is said ends with the key");
}

#[test]
fn values_are_bare() {
    let plan = planned(&visitor(), &call("all", &[])).unwrap();
    let root = &read(&plan).nodes[0];
    assert!(root.object.bare && root.limit.is_some());
    let column = Expr { ty: Type::TEXT, node: Node::Element(Called::VALUE) };
    assert_eq!(root.columns, [Column::Plain(column)]);
    let mut request = call("all", &[]);
    request.shape.select = Some(vec![SelectItem::All]);
    assert!(matches!(planned(&visitor(), &request), Err(Refusal::Malformed { .. })));
}
