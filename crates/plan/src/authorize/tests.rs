//! Who may do what, as plans: definition + caller + request → plan or refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::caller::{Caller, Moment, User};
use crate::refusal::Refusal;
use crate::request::*;
use crate::shape::{Action, Plan, Shape};
use std::sync::Arc;
use undergird_model::{Expr, Model, Node, Source, Value, definition};
use uuid::Uuid;

mod calls;

const NOTES: &str = r#"
[fields]
title = { type = "text", max = 20 }
kind = { type = "enum", values = ["open", "shut"], default = "open" }
owner_id = { type = "ref", to = "people", inverse = "owned", default = { expr = "auth.id" } }
secret_word = { type = "secret", optional = true }
salary = { type = "int", optional = true, read = "owner_id == auth.id", write = "'boss' in auth.roles" }
made_at = { type = "timestamp", default = { expr = "now" }, readonly = true }
born = { type = "int", default = 1, immutable = true }
judge_id = { type = "ref", to = "people", optional = true, inverse = "judged", read = "'boss' in auth.roles" }

[access]
read = "kind == 'open' || owner_id == auth.id"
create = "owner_id == auth.id"
update = "owner_id == auth.id"
delete = "'boss' in auth.roles"

[[checks]]
name = "shut_notes_have_titles"
rule = "kind == 'open' || size(title) > 0"
message = "A shut note needs a title."
"#;

const PEOPLE: &str = r#"
[fields]
name = { type = "text" }

[access]
read = "true"
"#;

const CLOSED: &str = "[fields]\nname = { type = \"text\" }\n";

fn model() -> Arc<Model> {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    let sources = [
        source("models/notes.toml", NOTES),
        source("models/people.toml", PEOPLE),
        source("models/closed.toml", CLOSED),
    ];
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

const MOMENT: Moment = Moment { now: 1_700_000_000_000_000, entropy: 7 };
const ME: Uuid = Uuid::from_u128(1);

fn visitor() -> Caller {
    Caller::visitor(MOMENT)
}

fn me(roles: &[&str]) -> Caller {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Caller::user(Arc::new(User::new(ME, None, roles, serde_json::json!({}))), MOMENT)
}

fn plan(caller: &Caller, request: Request) -> Result<Plan, Refusal> {
    super::authorize(&model(), caller, &request)
}

fn read(plan: &Plan) -> &crate::shape::Read {
    plan.shape().read().unwrap()
}

fn note(members: &[(&str, Value)]) -> Request {
    Request::new("notes", Verb::Create).with_row(members.iter().cloned())
}

#[test]
fn nobody_reaches_what_has_no_rule_but_a_secret_key() {
    let request = || Request::new("closed", Verb::Read);
    let closed = |authenticated| Refusal::VerbClosed { collection: "closed".into(), verb: Verb::Read, authenticated };
    assert_eq!(plan(&visitor(), request()).unwrap_err(), closed(false));
    assert_eq!(plan(&me(&["boss"]), request()).unwrap_err(), closed(true));
    assert_eq!(read(&plan(&Caller::secret(MOMENT), request()).unwrap()).nodes[0].filter, Expr::bool(true));
}

#[test]
fn names_are_suggested_but_secrets_are_not() {
    let unknown = plan(&me(&[]), Request::new("nots", Verb::Read)).unwrap_err();
    assert_eq!(unknown, Refusal::UnknownCollection { name: "nots".into(), nearest: Some("notes".into()) });
    for column in ["secret_word", "secret_wort"] {
        let request = Request::new("notes", Verb::Read).with_equal(column, Value::text("x"));
        let unknown = plan(&Caller::secret(MOMENT), request).unwrap_err();
        let expected = Refusal::UnknownColumn { collection: "notes".into(), name: column.into(), nearest: None };
        assert_eq!(unknown, expected);
    }
}

#[test]
fn a_visitor_gets_the_rule_folded_for_visitors() {
    // `owner_id == auth.id` is false for a visitor, since owner_id is required: only the first term is left.
    let plan = plan(&visitor(), Request::new("notes", Verb::Read)).unwrap();
    let filter = &read(&plan).nodes[0].filter;
    assert!(matches!(&filter.node, Node::Same(..)), "{filter:?}");
    let names: Vec<&str> = read(&plan).nodes[0].object.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["id", "title", "kind", "owner_id", "salary", "made_at", "born", "judge_id"]);
}

#[test]
fn an_unreadable_field_is_null_wherever_it_is_used() {
    let request = Request::new("notes", Verb::Read).with_equal("salary", Value::Int(5));
    let plan = plan(&visitor(), request).unwrap();
    let node = &read(&plan).nodes[0];
    let mentions = node
        .filter
        .any_node(&mut |node| matches!(node, Node::Field(_, field) if plan.model().field(*field).name == "salary"));
    assert!(!mentions, "the filter looks at a field that the caller may not read: {:?}", node.filter);
}

#[test]
fn aggregates_over_unreadable_fields_are_refused() {
    let mut request = Request::new("notes", Verb::Read);
    request.shape.select = Some(vec![SelectItem::Column(SelectColumn {
        alias: None,
        column: ColumnPath { name: "salary".into(), steps: vec![] },
        cast: None,
        aggregate: Some(Aggregate::Maximum),
        aggregate_cast: None,
    })]);
    let refused = plan(&visitor(), request).unwrap_err();
    assert_eq!(refused, Refusal::AggregateForbidden { field: "salary".into(), authenticated: false });
}

#[test]
fn a_create_fills_defaults_and_decides_its_rule_in_memory() {
    let plan = plan(&me(&[]), note(&[("title", Value::text("a"))])).unwrap();
    let Shape::Write(write) = &**plan.shape() else { panic!() };
    let Action::Insert { guards, upsert } = &write.action else { panic!() };
    assert!(guards.is_empty() && upsert.is_none());
    let row = &plan.input()[0];
    assert!(matches!(row[0], Value::Uuid(id) if id.get_version_num() == 7));
    assert_eq!(row[1..4], [Value::text("a"), Value::text("open"), Value::Uuid(ME)]);
    assert_eq!(row[6], Value::Timestamp(MOMENT.now));
}

#[test]
fn a_create_for_somebody_else_is_refused() {
    let row = note(&[("title", Value::text("a")), ("owner_id", Value::Uuid(Uuid::from_u128(2)))]);
    let refused = plan(&me(&[]), row).unwrap_err();
    let rule = |authenticated| Refusal::RowRule { collection: "notes".into(), verb: Verb::Create, authenticated };
    assert_eq!(refused, rule(true));
    // Visitors are refused whatever they send.
    assert_eq!(plan(&visitor(), note(&[("title", Value::text("a"))])).unwrap_err(), rule(false));
}

#[test]
fn all_errors_of_a_body_are_told_at_once() {
    let row = note(&[
        ("titel", Value::text("a")),
        ("made_at", Value::Timestamp(1)),
        ("kind", Value::Null),
        ("born", Value::Int(3)),
    ]);
    let Refusal::Invalid { errors } = plan(&me(&[]), row).unwrap_err() else { panic!() };
    let told: Vec<String> = errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect();
    assert_eq!(told, ["/titel unknown", "/made_at readonly", "/kind required", "/title required"]);
    assert_eq!(errors[0].nearest.as_deref(), Some("title"));
}

#[test]
fn checks_hold_for_secret_keys_too() {
    let row = note(&[("title", Value::text("")), ("kind", Value::text("shut")), ("owner_id", Value::Uuid(ME))]);
    let refused = plan(&Caller::secret(MOMENT), row).unwrap_err();
    assert!(matches!(refused, Refusal::CheckFailed { message, .. } if message == "A shut note needs a title."));
}

#[test]
fn field_write_rules_hold_for_named_fields_alone() {
    let row = || note(&[("title", Value::text("a")), ("salary", Value::Int(1))]);
    let refused = plan(&me(&[]), row()).unwrap_err();
    let rule = Refusal::FieldRule { collection: "notes".into(), field: "salary".into(), authenticated: true };
    assert_eq!(refused, rule);
    assert!(plan(&me(&["boss"]), row()).is_ok());
}

#[test]
fn an_update_asks_for_the_row_as_it_is_and_as_it_would_become() {
    let request = Request::new("notes", Verb::Update).with_row([("owner_id", Value::Uuid(Uuid::from_u128(2)))]);
    let plan = plan(&me(&[]), request).unwrap();
    let Shape::Write(write) = &**plan.shape() else { panic!() };
    let Action::Update { guards, assign, .. } = &write.action else { panic!() };
    assert_eq!((guards.len(), assign.len()), (1, 1));
    let Node::And(terms) = &guards[0].predicate.node else { panic!("{:?}", guards[0].predicate) };
    assert!(terms[0].any_node(&mut |node| matches!(node, Node::Input(0))), "as it would become");
    assert!(terms[1].any_node(&mut |node| matches!(node, Node::Field(..))), "as it is");
}

#[test]
fn an_update_of_something_else_asks_once_and_never_for_immutable_fields() {
    let request = Request::new("notes", Verb::Update).with_row([("title", Value::text("b"))]);
    let planned = plan(&me(&[]), request).unwrap();
    let Shape::Write(write) = &**planned.shape() else { panic!() };
    let Action::Update { guards, .. } = &write.action else { panic!() };
    // The access rule once, and the check that looks at the title.
    assert_eq!(guards.len(), 2);
    let request = Request::new("notes", Verb::Update).with_row([("born", Value::Int(2))]);
    let Refusal::Invalid { errors } = plan(&Caller::secret(MOMENT), request).unwrap_err() else { panic!() };
    assert_eq!(errors[0].code, "immutable");
}

#[test]
fn a_planner_may_guess_only_of_what_the_caller_sees_in_full() {
    let counted = |caller: &Caller, collection: &str, filter: Vec<Condition>| {
        let mut request = Request::new(collection, Verb::Read);
        request.shape.count = Some(Count::Planned);
        request.slot(Operand::Text("x".into()));
        request.shape.filter = filter;
        plan(caller, request).unwrap().shape().read().unwrap().count
    };
    let test = |name: &str| {
        let column = ColumnPath { name: name.into(), steps: Vec::new() };
        Condition::Test(Test { column, operator: Operator::Like(None), operand: Some(undergird_model::expr::Slot(0)) })
    };
    let hidden = || {
        let column = ColumnPath { name: "salary".into(), steps: Vec::new() };
        Condition::Test(Test { column, operator: Operator::Is(IsOperand::Null), operand: None })
    };
    assert_eq!(counted(&visitor(), "people", vec![test("name")]), Some(Count::Planned));
    assert_eq!(counted(&Caller::secret(MOMENT), "notes", vec![test("title")]), Some(Count::Planned));
    assert_eq!(counted(&me(&[]), "notes", Vec::new()), Some(Count::Exact), "a rule hides rows");
    assert_eq!(counted(&Caller::secret(MOMENT), "notes", vec![hidden()]), Some(Count::Planned));
}

#[test]
fn full_text_search_names_its_language() {
    let searched = |operator: &str, config: Option<&str>, query: &str| {
        let column = ColumnPath { name: "name".into(), steps: Vec::new() };
        let operator = Operator::FullText { name: operator.into(), config: config.map(str::to_owned) };
        let mut request = Request::new("people", Verb::Read);
        let operand = Some(request.slot(Operand::Text(query.into())));
        request.shape.filter = vec![Condition::Test(Test { column, operator, operand })];
        match plan(&visitor(), request) {
            Ok(plan) => undergird_model::expr_text::text(plan.model(), &plan.shape().read().unwrap().nodes[0].filter),
            Err(Refusal::Malformed { message, .. }) => message,
            Err(Refusal::BadValue { ty, .. }) => format!("no {ty}"),
            Err(other) => format!("{other:?}"),
        }
    };
    for (operator, config, query, expected) in [
        ("fts", Some("english"), "cat & dog", "fts[english](name, $0)"),
        ("wfts", None, "cat -dog", "wfts[](name, $0)"),
        ("plfts", Some("simple"), "cat &", "plfts[simple](name, $0)"),
        ("fts", None, "cat &", "no tsquery"),
        ("phfts", None, "\0", "no tsquery"),
        ("fts", Some("klingon"), "cat", "there is no text search configuration \"klingon\""),
        ("fts", Some("english'; --"), "cat", "there is no text search configuration \"english'; --\""),
    ] {
        assert_eq!(searched(operator, config, query), expected);
    }
}

#[test]
fn a_shape_is_planned_once_for_all_values_and_users_of_a_kind() {
    let planner = super::Planner::new(model());
    let with = |value: &str| Request::new("notes", Verb::Read).with_equal("title", Value::text(value));
    let first = planner.plan(&me(&[]), &with("a")).unwrap();
    let other = Caller::user(Arc::new(User::new(Uuid::from_u128(9), None, vec![], serde_json::json!({}))), MOMENT);
    let second = planner.plan(&other, &with("b")).unwrap();
    assert!(Arc::ptr_eq(first.shape(), second.shape()));
    let boss = planner.plan(&me(&["boss"]), &with("a")).unwrap();
    assert!(!Arc::ptr_eq(first.shape(), boss.shape()));
}

fn embed(relation: &str, inner: bool) -> SelectItem {
    SelectItem::Embed(SelectEmbed {
        alias: None,
        relation: relation.into(),
        hint: None,
        inner,
        spread: false,
        items: vec![SelectItem::All],
    })
}

#[test]
fn a_relation_made_by_an_unreadable_field_leads_nowhere() {
    // A visitor may not read judge_id, and following it would tell it: there and back, and by existence alone.
    for (collection, relation) in [("notes", "judge"), ("people", "judged")] {
        for inner in [false, true] {
            let mut request = Request::new(collection, Verb::Read);
            request.shape.select = Some(vec![SelectItem::All, embed(relation, inner)]);
            let plan = plan(&visitor(), request).unwrap();
            let nodes = &read(&plan).nodes;
            let closed = nodes.iter().flat_map(|node| node.joins.iter().map(|join| &join.filter).chain([&node.filter]));
            assert!(
                closed.into_iter().any(|filter| *filter == Expr::bool(false)),
                "{collection} {relation}: {nodes:#?}"
            );
        }
    }
}

#[test]
fn a_condition_on_what_is_not_embedded_is_refused_in_writes_too() {
    for verb in [Verb::Read, Verb::Create, Verb::Update, Verb::Replace, Verb::Delete] {
        for select in [None, Some(vec![SelectItem::All])] {
            let mut request = Request::new("people", verb).with_row([("name", Value::text("a"))]);
            request.shape.select = select;
            request.shape.embeds.push(EmbedModifier {
                path: vec!["owned".into()],
                filter: Vec::new(),
                order: Vec::new(),
                limit: None,
                offset: None,
            });
            let refusal = plan(&Caller::secret(MOMENT), request).unwrap_err();
            assert_eq!(refusal, Refusal::NotEmbedded { name: "owned".into() }, "{verb:?}");
        }
    }
}

#[test]
fn an_embed_as_a_whole_has_rows_or_not_and_nothing_else() {
    let mut request = Request::new("people", Verb::Read).with_equal("owned", Value::text("x"));
    request.shape.select = Some(vec![embed("owned", false)]);
    assert_eq!(plan(&me(&[]), request).unwrap_err(), Refusal::EmbedOperator { name: "owned".into() });
}

#[test]
fn rows_are_not_ordered_by_many_others() {
    let ordered = |select: Vec<SelectItem>| {
        let mut request = Request::new("people", Verb::Read);
        request.shape.select = Some(select);
        request.shape.order.push(OrderItem {
            relation: Some("owned".into()),
            column: ColumnPath { name: "title".into(), steps: Vec::new() },
            descending: false,
            nulls_first: None,
        });
        plan(&me(&[]), request).unwrap_err()
    };
    let to_many = Refusal::NotToOne { collection: "people".into(), name: "owned".into() };
    assert_eq!(ordered(vec![embed("owned", false)]), to_many);
    assert_eq!(ordered(vec![SelectItem::All]), Refusal::NotEmbedded { name: "owned".into() });
}

#[test]
fn relations_that_cannot_be_told_apart_come_with_hints_that_work() {
    let mut request = Request::new("notes", Verb::Read);
    request.shape.select = Some(vec![embed("people", false)]);
    let Refusal::AmbiguousRelation { candidates, .. } = plan(&me(&["boss"]), request).unwrap_err() else { panic!() };
    assert_eq!(candidates, ["notes_owner_id_fkey", "notes_judge_id_fkey"]);
    for hint in candidates {
        let mut request = Request::new("notes", Verb::Read);
        let SelectItem::Embed(embed) = embed("people", false) else { panic!() };
        request.shape.select = Some(vec![SelectItem::Embed(SelectEmbed { hint: Some(hint), ..embed })]);
        assert!(plan(&me(&["boss"]), request).is_ok());
    }
}

#[test]
fn columns_name_fields() {
    let mut request = Request::new("people", Verb::Create).with_row([("name", Value::text("a"))]);
    request.shape.columns = Some(vec!["name".into(), "nam".into()]);
    let expected =
        Refusal::UnknownTarget { collection: "people".into(), name: "nam".into(), nearest: Some("name".into()) };
    assert_eq!(plan(&Caller::secret(MOMENT), request).unwrap_err(), expected);
}

#[test]
fn a_body_of_very_many_names_is_refused_without_comparing_each_with_each() {
    // 500 rows of 1,000 names, none of them twice: what a body of ten megabytes can hold.
    let row = |row: usize| (0..1_000).map(|at| (format!("n{row}_{at}"), Input::Value(Value::Null))).collect();
    let mut request = Request::new("notes", Verb::Create);
    request.body = Some(Body { rows: (0..500).map(row).collect(), single: false });
    let started = std::time::Instant::now();
    assert!(plan(&me(&[]), request).is_err());
    // Each with each would be minutes; this is well under a second where nothing else runs.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    let twice = Body { rows: vec![vec![("b".into(), Input::Value(Value::Null)); 2]; 200], single: false };
    assert_eq!(super::input::names(Some(&twice)), ["b"]);
    let many = |_| (0..100).map(|at| (format!("{at:03}"), Input::Value(Value::Null))).collect();
    let names = super::input::names(Some(&Body { rows: (0..3).map(many).collect(), single: false }));
    assert_eq!(names.len(), 100);
}

#[test]
fn shapes_are_kept_by_what_they_take_not_by_their_number_alone() {
    let wide = |columns: usize| {
        let item = |alias: usize| {
            let column = ColumnPath { name: "title".into(), steps: Vec::new() };
            let alias = Some(format!("c{alias}"));
            SelectItem::Column(SelectColumn { alias, column, cast: None, aggregate: None, aggregate_cast: None })
        };
        let mut request = Request::new("notes", Verb::Read);
        request.shape.select = Some((0..columns).map(item).collect());
        Arc::new(super::Entry::build(&model(), &me(&[]), &request, Vec::new()).unwrap())
    };
    let (entry, narrow) = (wide(200), wide(2));
    let octets = entry.octets();
    assert!(octets > 20 * narrow.octets(), "{octets}");
    let mut kept = super::Kept::default();
    let mut most = 0;
    for hash in 0..10_000 {
        kept.keep(hash, entry.clone(), octets);
        assert!(kept.octets <= super::SHAPES_OCTETS_MAX);
        assert_eq!(kept.octets, octets * kept.entries.len());
        most = most.max(kept.count);
    }
    assert_eq!(most, super::SHAPES_OCTETS_MAX / octets);
}

#[test]
fn a_plan_that_runs_out_of_names_is_noticed() {
    let (model, caller, request) = (model(), visitor(), Request::new("notes", Verb::Read));
    let mut builder = super::Builder::new(&model, &caller, &request);
    let first = builder.fresh_row().0;
    let rows: std::collections::HashSet<u16> = (first..u16::MAX - 2).map(|_| builder.fresh_row().0).collect();
    assert!(!builder.is_exhausted());
    assert_eq!(rows.len(), usize::from(u16::MAX - 2 - first), "until then each is its own");
    for _ in 0..5 {
        builder.fresh_row();
    }
    assert!(builder.is_exhausted());
}

#[test]
fn a_key_in_the_path_is_as_protected_as_one_in_the_body() {
    let planned = |key: &str, caller: &Caller| {
        let notes = format!(
            "[fields]\nid = {key}\nn = {{ type = \"int\" }}\n[access]\nread = \"true\"\ncreate = \"true\"\nupdate = \"true\"\n"
        );
        let (model, diagnostics) =
            definition::check(&[Source { name: "models/notes.toml".into(), text: notes.into() }], &[]);
        let model = Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")));
        let mut request = Request::new("notes", Verb::Replace).with_row([("n", Value::Int(1))]);
        request.shape.key = Some(vec![request.slot(Operand::Value(Value::Int(5)))]);
        let plan = super::authorize(&model, caller, &request).unwrap();
        let Shape::Write(write) = &**plan.shape() else { panic!() };
        let Action::Insert { guards, upsert } = &write.action else { panic!() };
        assert!(upsert.as_ref().unwrap().guards.is_empty(), "a row that is there is replaced");
        guards.iter().map(|guard| guard.otherwise).collect::<Vec<_>>()
    };
    let id = undergird_model::FieldId { collection: undergird_model::CollectionId(0), index: 0 };
    let refuses = [crate::shape::Otherwise::FieldWrite(id)];
    assert_eq!(planned("{ type = \"int\", readonly = true }", &me(&[])), refuses);
    assert_eq!(planned("{ type = \"int\", write = \"'boss' in auth.roles\" }", &me(&[])), refuses);
    assert_eq!(planned("{ type = \"int\", write = \"'boss' in auth.roles\" }", &me(&["boss"])), []);
    assert_eq!(planned("{ type = \"int\" }", &me(&[])), []);
    assert_eq!(planned("{ type = \"int\", readonly = true }", &Caller::secret(MOMENT)), []);
}

#[test]
fn regular_expressions_are_few() {
    let matching = |quantified: usize, single: usize, like: usize| {
        let mut request = Request::new("notes", Verb::Read);
        let mut test = |operator: Operator, operand: Operand| {
            let operand = Some(request.slot(operand));
            let column = ColumnPath { name: "title".into(), steps: Vec::new() };
            request.shape.filter.push(Condition::Test(Test { column, operator, operand }));
        };
        let patterns = |many: usize| Operand::List((0..many).map(|at| format!("\\w{{{}}}", at % 5 + 1)).collect());
        test(Operator::Match(Some(Quantifier::Any)), patterns(quantified));
        test(Operator::Like(Some(Quantifier::Any)), patterns(like));
        for _ in 0..single {
            test(Operator::IMatch(None), Operand::Text("a".into()));
        }
        plan(&me(&[]), request).map(|_| ())
    };
    let over = |limit, value| Err(Refusal::OverLimit { limit, value });
    assert_eq!(matching(3, 17, 900), Ok(()));
    assert_eq!(matching(3, 18, 1), over("regular_expressions", 20));
    assert_eq!(matching(1_000, 0, 1), over("regular_expressions", 20));
    assert_eq!(matching(1, 0, 1_001), over("list_items", 1_000));
}

#[test]
fn an_update_takes_one_object_also_when_its_shape_is_known() {
    let planner = super::Planner::new(model());
    let mut request = Request::new("notes", Verb::Update).with_row([("title", Value::text("b"))]);
    assert!(planner.plan(&me(&[]), &request).is_ok());
    let body = request.body.as_mut().unwrap();
    body.rows.push(body.rows[0].clone());
    let refused = planner.plan(&me(&[]), &request).unwrap_err();
    assert!(matches!(refused, Refusal::Malformed { message, .. } if message.contains("not 2")));
}
