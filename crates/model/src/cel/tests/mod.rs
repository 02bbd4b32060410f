//! Tests of the CEL front end. Here: a small blog to check rules against, and typed expressions as short text.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod guide;
mod hostile;
mod identity;
mod lowering;
mod oracle;
mod refusals;

use super::{Expect, Scope, compile};
use crate::expr::{Ask, AuthFact, Expr, Node, RowVar};
use crate::field_type::{FieldType, OnDelete};
use crate::schema::{Access, Cardinality, Collection, CollectionId, Field, FieldId, Relation, RelationId, Through};
use crate::value::Value;

const USERS: u16 = 0;
const TEAMS: u16 = 1;
const POSTS: u16 = 2;
const COMMENTS: u16 = 3;
const TOPICS: u16 = 4;
const POST_TOPICS: u16 = 5;

/// Users in teams write posts with comments and topics.
pub(super) fn blog() -> Vec<Collection> {
    let text = || FieldType::Text { pattern: None };
    let refers =
        |to| FieldType::Ref { to: CollectionId(to), key: Box::new(FieldType::Uuid), on_delete: OnDelete::Cascade };
    let list = |of| FieldType::List { of: Box::new(of) };
    let choice = |values: &[&str]| FieldType::Enum { values: values.iter().map(|value| (*value).to_owned()).collect() };
    let one = |name, target, field| (name, target, Cardinality::One, Some(field), None);
    let many = |name, target| (name, target, Cardinality::Many, None, None);
    vec![
        collection(
            USERS,
            "users",
            vec![
                ("name", text()),
                ("email", FieldType::Email),
                ("team_id", refers(TEAMS)),
                ("level", choice(&["member", "editor", "admin"])),
                ("password", FieldType::Secret),
            ],
            vec![one("team", TEAMS, 3), many("posts", POSTS), many("comments", COMMENTS)],
        ),
        collection(
            TEAMS,
            "teams",
            vec![("name", text()), ("owner_id", refers(USERS)), ("settings", FieldType::Json { schema: None })],
            vec![one("owner", USERS, 2), many("users", USERS)],
        ),
        collection(
            POSTS,
            "posts",
            vec![
                ("title", text()),
                ("status", choice(&["draft", "published"])),
                ("author_id", refers(USERS)),
                ("views", FieldType::Int),
                ("rating", FieldType::Float),
                ("price", FieldType::Decimal { precision: 10, scale: 2 }),
                ("tags", list(text())),
                ("marks", list(FieldType::Int)),
                ("moods", list(choice(&["glad", "sad"]))),
                ("meta", FieldType::Json { schema: None }),
                ("published_at", FieldType::Timestamp),
                ("day", FieldType::Date),
                ("hour", FieldType::Time),
                ("data", FieldType::Bytes),
                ("hidden", FieldType::Bool),
                ("editor_id", refers(USERS)),
            ],
            vec![
                one("author", USERS, 3),
                many("comments", COMMENTS),
                ("topics", TOPICS, Cardinality::Many, None, Some((POST_TOPICS, (POSTS, 3), (POST_TOPICS, 1)))),
                many("post_topics", POST_TOPICS),
                one("editor", USERS, 16),
            ],
        ),
        collection(
            COMMENTS,
            "comments",
            vec![("post_id", refers(POSTS)), ("user_id", refers(USERS)), ("body", text())],
            vec![one("post", POSTS, 1), one("user", USERS, 2)],
        ),
        collection(TOPICS, "topics", vec![("name", text())], vec![]),
        collection(
            POST_TOPICS,
            "post_topics",
            vec![("post_id", refers(POSTS)), ("topic_id", refers(TOPICS))],
            vec![one("post", POSTS, 1), one("topic", TOPICS, 2)],
        ),
    ]
}

type Junction = (u16, (u16, u16), (u16, u16));
/// (name, target, cardinality, index of its ref field, junction)
type Way<'a> = (&'a str, u16, Cardinality, Option<u16>, Option<Junction>);

/// A collection with a uuid `id` first.
fn collection(id: u16, name: &str, fields: Vec<(&str, FieldType)>, relations: Vec<Way<'_>>) -> Collection {
    let id = CollectionId(id);
    let field_id = |index| FieldId { collection: id, index };
    let field = |(index, (name, declared)): (usize, (&str, FieldType))| Field {
        id: field_id(u16::try_from(index).unwrap()),
        name: name.to_owned(),
        column: name.to_owned(),
        ty: declared.storage(),
        declared,
        description: None,
        optional: matches!(name, "editor_id" | "hidden" | "published_at"),
        unique: false,
        readonly: false,
        immutable: false,
        default: None,
        min: None,
        max: None,
        read: None,
        write: None,
        renamed_from: None,
        kept: crate::schema::Kept::Own,
    };
    let relation = |(index, (name, target, cardinality, ours, junction)): (usize, Way<'_>)| {
        let relation_id = |(collection, index)| RelationId { collection: CollectionId(collection), index };
        Relation {
            id: RelationId { collection: id, index: u16::try_from(index).unwrap() },
            name: name.to_owned(),
            target: CollectionId(target),
            cardinality,
            on: Vec::new(),
            through: junction.map(|(junction, first, second)| Through {
                junction: CollectionId(junction),
                first: relation_id(first),
                second: relation_id(second),
            }),
            field: ours.map(field_id),
            constraint: String::new(),
        }
    };
    Collection {
        id,
        name: name.to_owned(),
        table: name.to_owned(),
        description: None,
        system: false,
        schema: None,
        adopted: false,
        readonly: false,
        fields: [("id", FieldType::Uuid)].into_iter().chain(fields).enumerate().map(field).collect(),
        key: vec![field_id(0)],
        relations: relations.into_iter().enumerate().map(relation).collect(),
        indexes: Vec::new(),
        checks: Vec::new(),
        access: Access::default(),
        cache: None,
    }
}

/// An update rule of posts, where everything is allowed.
pub(super) fn scope(collections: &[Collection], expect: Expect) -> Scope<'_> {
    Scope {
        collections,
        this: Some(CollectionId(POSTS)),
        allow_new: true,
        allow_auth: true,
        allow_relations: true,
        allow_now: true,
        profile: Some(CollectionId(USERS)),
        expect,
    }
}

/// The meaning of a text as short text, or its problems, one a line: `code at "what is underlined": message; hint`.
pub(super) fn outcome(text: &str, scope: &Scope) -> String {
    match compile(text, scope) {
        Ok(expr) => render(&expr, scope.collections),
        Err(problems) => {
            let lines = problems.iter().map(|problem| {
                let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                let place = &text[problem.span.start..problem.span.end];
                format!("{} at {place:?}: {}{hint}", problem.code, problem.message)
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Compares outcomes with what is expected, all cases before the first failure stops the test.
pub(super) fn check(scope: &Scope, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let found = outcome(text, scope);
        if found != *expected {
            wrong.push(format!("    {text}\n  expected\n    {expected}\n  found\n    {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Like Lisp, with names.
pub(super) fn render(expr: &Expr, model: &[Collection]) -> String {
    let r = |expr: &Expr| render(expr, model);
    let many = |list: &[Expr]| list.iter().map(|expr| render(expr, model)).collect::<Vec<_>>().join(" ");
    let way = |from: RowVar, relation: RelationId, bind: RowVar| {
        let name = &model[usize::from(relation.collection.0)].relations[usize::from(relation.index)].name;
        format!("{}.{name} {}", row(from), row(bind))
    };
    match &expr.node {
        Node::Literal(value) => literal(value),
        Node::Param(slot) => format!("?{}", slot.0),
        Node::Input(at) => format!("input{at}"),
        Node::Auth(AuthFact::Claim(path)) => format!("claim.{}", path.join(".")),
        Node::Auth(fact) => format!("auth.{}", format!("{fact:?}").to_lowercase()),
        Node::Now => "now".into(),
        Node::Field(var, id) => {
            let field = &model[usize::from(id.collection.0)].fields[usize::from(id.index)];
            format!("{}.{}", row(*var), field.name)
        }
        Node::Element(var) => format!("e{}", var.0),
        Node::Via { from, relation, bind, body } => format!("(via {} {})", way(*from, *relation, *bind), r(body)),
        Node::Profile { bind, body } => format!("(profile {} {})", row(*bind), r(body)),
        Node::Exists { from, relation, bind, filter } => {
            format!("(exists {} {})", way(*from, *relation, *bind), r(filter))
        }
        Node::Count { from, relation, bind, filter } => {
            format!("(count {} {})", way(*from, *relation, *bind), r(filter))
        }
        Node::At { key, bind, ask, body, .. } => {
            let ask = match ask {
                Ask::Value => "value",
                Ask::Any => "any",
                Ask::Count => "count",
            };
            format!("(at {} {} {ask} {})", many(key), row(*bind), r(body))
        }
        Node::AnyElement { list, bind, filter } => format!("(any {} e{} {})", r(list), bind.0, r(filter)),
        Node::Not(a) => format!("(not {})", r(a)),
        Node::And(list) => format!("(and {})", many(list)),
        Node::Or(list) => format!("(or {})", many(list)),
        Node::If(parts) => format!("(if {})", many(parts.as_slice())),
        Node::Same(a, b) => format!("(= {} {})", r(a), r(b)),
        Node::Compare(op, a, b) => format!("({op:?} {} {})", r(a), r(b)),
        Node::In(a, b) => format!("(in {} {})", r(a), r(b)),
        Node::Arithmetic(op, a, b) => format!("({op:?} {} {})", r(a), r(b)),
        Node::Negate(a) => format!("(- {})", r(a)),
        Node::Call(function, list) => format!("({function:?} {})", many(list)),
        Node::List(list) => format!("[{}]", many(list)),
    }
}

fn row(var: RowVar) -> String {
    match var {
        RowVar::THIS => "this".into(),
        RowVar::NEW => "new".into(),
        RowVar(other) => format!("r{other}"),
    }
}

pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{:?}", number.get()),
        Value::Decimal(number) => format!("{number}d"),
        Value::Text(text) => format!("{text:?}"),
        Value::Uuid(id) => format!("#{id}"),
        Value::Timestamp(micros) => format!("t{micros}"),
        Value::Date(days) => format!("day{days}"),
        Value::Time(micros) => format!("time{micros}"),
        Value::Duration(micros) => format!("{micros}us"),
        Value::Json(json) => format!("json{json}"),
        Value::Bytes(bytes) => format!("b{bytes:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(" ")),
    }
}
