//! Plans as SQLite's words: a wrong statement is a failing comparison.

use super::model;
use crate::DIALECT;
use std::sync::Arc;
use undergird_model::Model;
use undergird_plan::caller::{Moment, User};
use undergird_plan::{Caller, authorize};
use undergird_store::conformance::parse_request;
use undergird_store::{Statement, Statements, sql};
use uuid::Uuid;

const FILES: &[(&str, &str)] = &[
    ("models/users.toml", "[fields]\nname = { type = \"text\" }\n[access]\nread = \"true\"\n"),
    (
        "models/posts.toml",
        r#"
[fields]
title = { type = "text" }
status = { type = "enum", values = ["draft", "published"], default = "draft" }
author_id = { type = "ref", to = "users", default = { expr = "auth.id" } }
price = { type = "decimal", precision = 10, scale = 2, optional = true }
score = { type = "float", optional = true }
tags = { type = "list", of = "text", default = [] }
notes = { type = "text", optional = true, read = "author_id == auth.id" }
[access]
read = "status == 'published' || author_id == auth.id"
create = "author_id == auth.id"
update = "author_id == auth.id"
delete = "author_id == auth.id"
"#,
    ),
    (
        "models/comments.toml",
        r#"
[fields]
body = { type = "text" }
post_id = { type = "ref", to = "posts", on_delete = "cascade" }
author_id = { type = "ref", to = "users", default = { expr = "auth.id" } }
[access]
read = "post.status == 'published'"
create = "author_id == auth.id && post.status == 'published'"
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
                ("noted", &write.noted),
                ("keys", &write.keys),
                ("main", &Some(write.main.clone())),
                ("update", &write.update),
                ("after", &write.after),
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

#[test]
fn plans_in_words_of_sqlite() {
    let model = model(FILES);
    let cases = include_str!("text.txt");
    let mut wrong = Vec::new();
    for case in cases.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let (request, expected) = case.split_once('\n').unwrap();
        let got = text(&model, request);
        if got != expected {
            wrong.push(format!("{request}\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_sqlite_lacks_is_named() {
    use undergird_plan::request::{Condition, Operator};
    let model = model(FILES);
    let user = User::new(Uuid::from_u128(10), None, Vec::new(), serde_json::json!({}));
    let caller = Caller::user(Arc::new(user), Moment { now: 0, entropy: 0 });
    for request in ["GET users?name=like.cat", "DELETE posts?title=like.cat"] {
        for (name, lacks) in
            [(None, None), (Some("fts"), Some("full-text search")), (Some("wfts"), Some("full-text search"))]
        {
            let mut request = parse_request(request).unwrap();
            let Some(Condition::Test(test)) = request.shape.filter.first_mut() else { panic!() };
            if let Some(name) = name {
                test.operator = Operator::FullText { name: name.into(), config: Some("english".into()) };
            }
            let plan = authorize(&model, &caller, &request).unwrap();
            let found = match sql::write(&model, plan.shape(), &DIALECT) {
                Statements::Read(read) => read.nodes[0].lacks,
                Statements::Write(write) => write.main.lacks,
            };
            assert_eq!(found, lacks, "{name:?}");
        }
    }
}
