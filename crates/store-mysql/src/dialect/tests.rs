//! Plans in MySQL's words: a wrong statement is a failing comparison.
#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::Arc;
use undergird_model::{Model, Source, definition};
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
fn plans_in_words_of_mysql() {
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
    assert_eq!(DIALECT.identifier("a`b"), "`a``b`");
}

#[test]
fn rules_that_cannot_be_said_are_told() {
    let text = "[fields]\npattern = { type = \"text\" }\nname = { type = \"text\", read = \"name.matches('^a')\" }\n\
                [access]\nread = \"name.matches(pattern)\"\nupdate = \"new.name.matches(new.pattern)\"\n";
    let sources = [("undergird.toml", "name = \"test\"\n"), ("models/words.toml", text)];
    let sources = sources.map(|(name, text)| Source { name: name.into(), text: text.into() });
    let model = definition::check(&sources, &[]).0.unwrap();
    assert_eq!(
        sql::lacking(&model, &DIALECT),
        [
            "words.access.read: mysql cannot compute a regular expression that a row holds: `name.matches(pattern)`",
            "words.access.update: mysql cannot compute a regular expression that a row holds: `new.name.matches(new.pattern)`",
        ]
    );
}

/// What a server has not is refused by name when the definition is checked against it, and not found out by a request.
#[test]
fn what_older_and_other_servers_lack_is_told() {
    let text = "[fields]\na = { type = \"json\" }\nb = { type = \"json\" }\n\
                [access]\nread = \"a == b\"\nupdate = \"a.name == 'x'\"\ndelete = \"a.name == b.name\"\n";
    let sources = [("undergird.toml", "name = \"test\"\n"), ("models/words.toml", text)];
    let sources = sources.map(|(name, text)| Source { name: name.into(), text: text.into() });
    let model = definition::check(&sources, &[]).0.unwrap();
    let compared = "words.access.read: mysql cannot compute comparison of JSON with JSON: `a == b`";
    for (dialect, expected) in
        [(&DIALECT, vec![]), (&MARIADB_10_6, vec!["read", "delete"]), (&MYSQL_8, vec!["read", "update", "delete"])]
    {
        let told = sql::lacking(&model, dialect);
        let mut rules: Vec<&str> = told.iter().filter_map(|line| line.split(['.', ':']).nth(2)).collect();
        rules.dedup();
        assert_eq!(rules, expected, "{:?}: {told:?}", dialect.flavor);
        assert_eq!(told.iter().any(|line| line == compared), !expected.is_empty(), "{told:?}");
    }
}

/// Rows 1 to 3 whose long texts differ at their ends alone.
#[tokio::test]
async fn long_texts_are_ordered_to_their_ends() {
    let Some(database) = crate::tests::database().await else { return };
    let store = database.open().await;
    let long = "CONCAT(REPEAT('a', 15000), 4 - k.n)";
    let text = format!(
        "SELECT k.n FROM JSON_TABLE('[1,2,3]', '$[*]' COLUMNS(n BIGINT PATH '$')) AS k \
         ORDER BY {long}, {long}, {long}, {long}, {long}, {long}, {long}, {long}"
    );
    let rows = crate::tests::read(&store, &[&text]).await.unwrap();
    assert_eq!(rows, ["0 3", "0 2", "0 1"]);
    undergird_store::Store::close(&*store).await;
}

/// An expression that goes on forever, on a text that nearly fits.
#[tokio::test]
async fn a_pattern_that_is_too_heavy_is_refused() {
    let Some(database) = crate::tests::database().await else { return };
    let store = database.open().await;
    let wanted = undergird_store::schema::wanted(&model());
    let steps = undergird_store::schema::steps(None, &wanted);
    undergird_store::Store::migrate(&*store, &steps, &wanted).await.unwrap();
    let asked = |times: usize| format!("SELECT CAST(ug_matches(REPEAT('a', {times}), '(?:(?:a)+)+[bd]') AS SIGNED)");
    assert_eq!(crate::tests::read(&store, &[&asked(5)]).await.unwrap(), ["0 0"]);
    let refused = crate::tests::read(&store, &[&asked(5_000)]).await.unwrap_err();
    assert_eq!(refused, undergird_store::StoreError::Unsupported("regular expressions this heavy"));
    undergird_store::Store::close(&*store).await;
}
