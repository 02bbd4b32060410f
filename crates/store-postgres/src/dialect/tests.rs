//! Plans in PostgreSQL's words: a wrong statement is a failing comparison.
#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::Arc;
use undergird_model::{Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::{Caller, authorize};
use undergird_store::conformance::parse_request;
use undergird_store::{Statement, Statements, sql};
use uuid::Uuid;

mod calls;

const FILES: &[(&str, &str)] = &[
    ("models/users.toml", "[fields]\nname = { type = \"text\" }\n[access]\nread = \"true\"\n"),
    (
        "models/posts.toml",
        r#"
[fields]
title = { type = "text" }
status = { type = "enum", values = ["draft", "published"], default = "draft" }
author_id = { type = "ref", to = "users", default = { expr = "auth.id" }, inverse = "posts" }
price = { type = "decimal", precision = 10, scale = 2, optional = true }
score = { type = "float", optional = true }
tags = { type = "list", of = "text", default = [] }
notes = { type = "text", optional = true, read = "author_id == auth.id" }
editor_id = { type = "ref", to = "users", optional = true, inverse = "edited" }
data = { type = "json", optional = true }
[access]
read = "status == 'published' || author_id == auth.id"
create = "author_id == auth.id"
update = "author_id == auth.id || editor_id == auth.id"
delete = "author_id == auth.id"
"#,
    ),
    (
        "models/comments.toml",
        r#"
[fields]
id = { type = "int" }
body = { type = "text" }
post_id = { type = "ref", to = "posts", on_delete = "cascade" }
author_id = { type = "ref", to = "users", default = { expr = "auth.id" } }
[access]
read = "post.status == 'published'"
create = "author_id == auth.id && post.status == 'published'"
update = "author_id == auth.id && post.comments.exists(c, c.author_id == auth.id)"
delete = "author_id == auth.id"
"#,
    ),
];

/// The statements of a request as a user would have them, one per line.
fn text(model: &Arc<Model>, request: &str) -> String {
    let user = User::new(Uuid::from_u128(10), None, Vec::new(), serde_json::json!({}));
    let caller = Caller::user(Arc::new(user), Moment { now: 0, entropy: 0 });
    let request = parse_request(request).unwrap();
    let plan = authorize(model, &caller, &request).unwrap();
    let statements = sql::write(model, plan.shape(), &DIALECT);
    let line = |name: &str, statement: &Statement| format!("{name}: {}", statement.text);
    let mut lines = Vec::new();
    match &statements {
        Statements::Read(read) => {
            lines.extend(read.nodes.iter().enumerate().map(|(at, node)| line(&at.to_string(), node)));
            lines.extend(read.count.iter().map(|count| line("count", count)));
        }
        Statements::Write(write) => {
            for (name, statement) in [
                ("guard", &write.guard),
                ("lookup", &write.lookup),
                ("keys", &write.keys),
                ("before", &write.before),
                ("main", &Some(write.main.clone())),
                ("update", &write.update),
                ("after", &write.after),
                ("noted", &write.noted),
                ("again", &write.again),
            ] {
                lines.extend(statement.iter().map(|statement| line(name, statement)));
            }
            if let Some(read) = &write.returning {
                lines.extend(read.nodes.iter().enumerate().map(|(at, node)| line(&at.to_string(), node)));
            }
        }
    }
    lines.join("\n")
}

fn model() -> Arc<Model> {
    let mut sources = vec![Source { name: "undergird.toml".into(), text: "name = \"test\"\n".into() }];
    sources.extend(FILES.iter().map(|(path, text)| Source { name: (*path).into(), text: (*text).into() }));
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

#[test]
fn plans_in_words_of_postgresql() {
    let model = model();
    let cases = include_str!("texts.txt");
    let mut wrong = Vec::new();
    for case in cases.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let (request, expected) = case.split_once('\n').unwrap_or((case, ""));
        let got = text(&model, request);
        if got != expected {
            wrong.push(format!("{request}\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn an_identifier_stays_one() {
    assert_eq!(DIALECT.identifier("a\"b"), "\"a\"\"b\"");
}

#[test]
fn every_parameter_says_its_type() {
    assert_eq!(DIALECT.parameter(1, Type::UUID), "$1::uuid");
    assert_eq!(DIALECT.parameter(2, Type::TEXT), "($2::text COLLATE \"C\")");
    assert_eq!(DIALECT.parameter(3, Type::List(Kind::Decimal { precision: 10, scale: 2 })), "$3::numeric[]");
    assert_eq!(DIALECT.parameter(4, Type::Duration), "$4::bigint");
}
