//! The table of codes against its page, and every refusal and failure against the table.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use std::collections::BTreeSet;
use undergird_engine::failure::{Constraint, Failure, Kind};
use undergird_plan::request::Verb;
use undergird_plan::{FieldError, Refusal, Scope};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");

/// `docs/errors.md` as it should be.
fn page() -> String {
    let mut page = String::from("# Errors\n\nEvery error is `application/problem+json` (RFC 9457):\n\n```json\n");
    page += "{\n  \"type\": \"urn:undergird:problem:42703\",\n  \"title\": \"There is no such column\",\n  \"status\": 400,\n  \"request_id\": \"01927e5a-3b7c-7c5e-8a51-6f0f0d1f9a3e\",\n  \"code\": \"42703\",\n  \"message\": \"column posts.titel does not exist\",\n  \"details\": null,\n  \"hint\": \"Perhaps you meant to reference the column \\\"posts.title\\\".\"\n}\n```\n\n";
    page += "Branch on `code`: it is stable. `message`, `details` and `hint` are for people and may get better. `errors`, where there, has\none entry per mistake in the body: `pointer` (RFC 6901), `code` and `message`. `request_id` finds the request in the server's log.\n\n";
    page +=
        "`PGRST…` codes are PostgREST's, five characters are PostgreSQL's (SQLSTATE), `UG…` are Undergird's own.\n\n";
    page += "| code | status | title | when, and what to do |\n|---|---|---|---|\n";
    for code in CODES {
        let statuses: Vec<String> = code.statuses.iter().map(u16::to_string).collect();
        page += &format!("| `{}` | {} | {} | {} |\n", code.code, statuses.join(", "), code.title, code.about);
    }
    page += "\n## Under /auth/v1\n\nThere errors have GoTrue's form, `{\"code\": 400, \"error_code\": …, \"msg\": …}`, or, for clients that say `X-Supabase-Api-Version: 2024-01-01`,\n`{\"code\": …, \"message\": …}`. Branch on the code.\n\n";
    page += "| code | status | when, and what to do |\n|---|---|---|\n";
    for (code, statuses, about) in crate::auth::codes::CODES {
        page += &format!("| `{code}` | {statuses} | {about} |\n");
    }
    page += "\n*This page is made from the table in `crates/api/src/problem/codes.rs`; a test compares them.*\n";
    page
}

#[test]
fn the_page_has_every_code() {
    // UNDERGIRD_WRITE_DOCS=1 writes the page anew.
    if std::env::var_os("UNDERGIRD_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(found == page(), "docs/errors.md is not what the table says: run this test with UNDERGIRD_WRITE_DOCS=1");
}

#[test]
fn codes_are_unique_and_have_statuses() {
    let codes: BTreeSet<_> = CODES.iter().map(|code| code.code).collect();
    assert_eq!(codes.len(), CODES.len());
    for code in CODES {
        assert!(
            !code.statuses.is_empty() && code.statuses.iter().all(|status| (300..600).contains(status)),
            "{code:?}"
        );
        assert!(!code.title.is_empty() && !code.about.contains('|'), "{code:?}");
    }
}

/// A code that this crate's source uses is in the table, with the status that it uses it with.
#[test]
fn what_the_source_says_is_in_the_table() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut files = vec![std::path::PathBuf::from(source)];
    let mut seen = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (name, _) in text.match_indices("::new(") {
            // `Problem::new("…", 400, …)` and `Malformed::new("…", 400, …)`.
            let mut parts = text[name + 6..].split(',');
            let Some(code) = parts.next().unwrap().trim().strip_prefix('"') else { continue };
            let code = code.trim_end_matches('"');
            let Ok(status) = parts.next().unwrap_or_default().trim().parse::<u16>() else { continue };
            let row = CODES.iter().find(|row| row.code == code);
            let row = row.unwrap_or_else(|| panic!("{}: {code} is not in the table", path.display()));
            assert!(row.statuses.contains(&status), "{}: {code} with {status}", path.display());
            seen.insert(row.code);
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}

fn check(problem: impl Into<Problem>, expected: &str) {
    let problem: Problem = problem.into();
    let mut out = format!("{} {} {}", problem.status, problem.code, problem.message);
    for (name, text) in [("details", &problem.details), ("hint", &problem.hint)] {
        if let Some(text) = text {
            out += &format!(" | {name}: {text}");
        }
    }
    for error in &problem.errors {
        out += &format!(" | {} {} {}", error.pointer, error.code, error.message);
    }
    if let Some(seconds) = problem.retry_after {
        out += &format!(" | retry after {seconds}");
    }
    assert_eq!(out, expected);
    let row = CODES.iter().find(|row| row.code == problem.code).expect("in the table");
    assert!(row.statuses.contains(&problem.status), "{out}");
}

#[test]
fn names_that_lead_nowhere() {
    let some = |text: &str| Some(text.to_owned());
    check(
        Refusal::UnknownCollection { name: "psots".into(), nearest: some("posts") },
        "404 PGRST205 Could not find the table 'psots' | hint: Perhaps you meant the table 'posts'",
    );
    check(
        Refusal::UnknownColumn { collection: "posts".into(), name: "titel".into(), nearest: some("title") },
        "400 42703 column posts.titel does not exist | hint: Perhaps you meant to reference the column \"posts.title\".",
    );
    check(
        Refusal::UnknownRelation { collection: "posts".into(), name: "autor".into(), nearest: some("author") },
        "400 PGRST200 Could not find a relationship between 'posts' and 'autor' | hint: Perhaps you meant 'author' instead of 'autor'.",
    );
    check(
        Refusal::AmbiguousRelation {
            collection: "posts".into(),
            name: "users".into(),
            candidates: vec!["author_id".into(), "editor_id".into()],
        },
        "300 PGRST201 Could not embed because more than one relationship was found for 'posts' and 'users' | hint: Try changing 'users' to one of the following: 'users!author_id', 'users!editor_id'.",
    );
    check(
        Refusal::NotEmbedded { name: "x".into() },
        "400 PGRST108 'x' is not an embedded resource in this request | hint: Verify that 'x' is included in the 'select' query parameter.",
    );
    check(
        Refusal::UnknownTarget { collection: "posts".into(), name: "titel".into(), nearest: some("title") },
        "400 PGRST204 Could not find the 'titel' column of 'posts' | hint: Perhaps you meant 'title'.",
    );
    check(
        Refusal::NotToOne { collection: "posts".into(), name: "tags".into() },
        "400 PGRST118 A related order on 'tags' is not possible | details: 'posts' and 'tags' do not form a many-to-one or one-to-one relationship",
    );
    check(
        Refusal::EmbedOperator { name: "tags".into() },
        "400 PGRST120 Bad operator on the 'tags' embedded resource | details: Only is null or not is null filters are allowed on embedded resources",
    );
}

#[test]
fn what_is_not_permitted() {
    let collection = || "posts".to_owned();
    check(
        Refusal::VerbClosed { collection: collection(), verb: Verb::Create, authenticated: false },
        "401 42501 permission denied for table posts | hint: Nobody but a secret key may create here: the collection has no `create` rule under [access].",
    );
    check(
        Refusal::ScopeMissing { scope: Scope::of_rows("posts", Verb::Replace) },
        "403 42501 permission denied: this key has no scope write:posts | hint: The key is held to its scopes; `undergird keys add NAME --scopes write:posts,…` makes one that has it.",
    );
    check(
        Refusal::RowRule { collection: collection(), verb: Verb::Update, authenticated: true },
        "403 42501 new row violates row-level security policy for table \"posts\"",
    );
    check(
        Refusal::RowRule { collection: collection(), verb: Verb::Delete, authenticated: true },
        "403 42501 permission denied to delete this row of posts",
    );
    check(
        Refusal::FieldRule { collection: collection(), field: "a/b".into(), authenticated: true },
        "403 42501 permission denied for column posts.a/b | /a~1b forbidden You may not write this field in this row.",
    );
    check(
        Refusal::AggregateForbidden { field: "salary".into(), authenticated: true },
        "403 42501 permission denied to aggregate salary | details: An aggregate needs a field that the caller may read in every row.",
    );
}

#[test]
fn what_is_not_acceptable() {
    let error = |pointer: &str, code, message: &str, nearest: Option<&str>| FieldError {
        pointer: pointer.into(),
        code,
        message: message.into(),
        nearest: nearest.map(str::to_owned),
    };
    check(
        Refusal::Invalid { errors: vec![error("/titel", "unknown", "no such field", Some("title"))] },
        "422 PGRST204 titel: no such field | hint: Did you mean \"title\"? | /titel unknown no such field. Did you mean \"title\"?",
    );
    check(
        Refusal::Invalid {
            errors: vec![
                error("/3/title", "required", "A value is required.", None),
                error("/4/n", "type", "expected a number", None),
            ],
        },
        "422 23502 3.title: A value is required. | details: 2 mistakes in the body; `errors` has them all | /3/title required A value is required. | /4/n type expected a number",
    );
    check(
        Refusal::CheckFailed {
            check: "c1".into(),
            message: "A published post needs a body.".into(),
            pointer: "/0".into(),
        },
        "422 23514 A published post needs a body. | details: The check c1 failed. | /0 check A published post needs a body.",
    );
    check(
        Refusal::BadValue { column: "id".into(), ty: "uuid".into(), message: "expected a UUID".into() },
        "400 22P02 invalid input syntax for type uuid | details: id: expected a UUID",
    );
    check(
        Refusal::BadOperator { operator: "like".into(), column: "n".into(), ty: "int".into() },
        "400 42883 operator does not exist: like on int | details: The column n is of type int.",
    );
    check(
        Refusal::OverLimit { limit: "embed_depth", value: 6 },
        "400 UG400 The request exceeds the limit of 6 embed depth | details: limits.embed_depth = 6",
    );
    check(
        Refusal::Unsupported { what: "full-text search".into(), hint: Some("Use ilike.".into()) },
        "400 PGRST127 Feature not implemented | details: full-text search | hint: Use ilike.",
    );
    check(
        Refusal::NotUnique { collection: "pairs".into() },
        "400 42P10 there is no unique or exclusion constraint matching the ON CONFLICT specification | details: on_conflict names \
         neither the key of pairs nor a unique combination of its fields. | hint: Declare the field unique, or an index with \
         unique = true over the fields.",
    );
    check(Refusal::Malformed { message: "No.".into(), hint: None }, "400 PGRST100 No.");
}

#[test]
fn what_failed() {
    let constraint = |kind, fields: &[&str], name: Option<&str>, message: Option<&str>| Constraint {
        kind,
        collection: "posts".into(),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        name: name.map(str::to_owned),
        message: message.map(str::to_owned),
    };
    check(
        Failure::Constraint(constraint(Kind::Unique, &["slug"], Some("posts_slug_key"), None)),
        "409 23505 duplicate key value violates unique constraint \"posts_slug_key\" of table \"posts\" | details: Key (slug) already exists. | /slug unique Another row has this value.",
    );
    check(
        Failure::Constraint(constraint(Kind::ForeignKey, &[], None, None)),
        "409 23503 insert, update or delete on table \"posts\" violates foreign key constraint | details: A row that it refers to is not there, or rows that refer to it still are.",
    );
    check(
        Failure::Constraint(constraint(Kind::Check, &[], Some("c1"), Some("No."))),
        "422 23514 No. | details: The check c1 failed. |  check No.",
    );
    check(
        Failure::Constraint(constraint(Kind::NotNull, &["title"], None, None)),
        "422 23502 null value in column \"title\" of relation \"posts\" violates not-null constraint | /title required A value is required.",
    );
    check(
        Failure::NotSingular { rows: 0 },
        "406 PGRST116 Cannot coerce the result to a single JSON object | details: The result contains 0 rows",
    );
    check(
        Failure::MaxAffected { rows: 14, max: 10 },
        "400 PGRST124 Query result exceeds max-affected preference constraint | details: The query affects 14 rows; 10 are allowed",
    );
    for (failure, expected) in [
        (Failure::PreconditionFailed, "412 UG412"),
        (Failure::IdempotencyMismatch, "422 UG422"),
        (Failure::IdempotencyInProgress, "409 UG409"),
        (Failure::Conflict, "409 40001"),
        (Failure::Overloaded, "503 UG503"),
        (Failure::Deadline, "503 57014"),
        (Failure::Cancelled, "503 57014"),
        (Failure::StorageFull, "507 53100"),
        (Failure::Held, "503 UG105"),
        (Failure::Unavailable, "503 08006"),
        (Failure::AnswerTooLarge, "400 UG102"),
        (Failure::Internal("a secret of the database".into()), "500 XX000"),
    ] {
        let problem = Problem::from(failure);
        assert_eq!(format!("{} {}", problem.status, problem.code), expected);
        let mut wire = Vec::new();
        problem.write("r-1", &mut wire);
        assert!(!String::from_utf8_lossy(&wire).contains("secret of"), "the cause is for the log alone");
        assert_eq!(problem.cause.is_some(), problem.status == 500);
    }
}

#[test]
fn a_problem_on_the_wire() {
    let mut out = Vec::new();
    Problem::new("42703", 400, "column \"x\" does not exist").with_error("/x", "unknown", "No.").write("r-1", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"type":"urn:undergird:problem:42703","title":"There is no such column","status":400,"request_id":"r-1","code":"42703","message":"column \"x\" does not exist","details":null,"hint":null,"errors":[{"pointer":"/x","code":"unknown","message":"No."}]}"#
    );
}
