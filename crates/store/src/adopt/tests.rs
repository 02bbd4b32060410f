//! Names, and checks as text.
#![allow(clippy::unwrap_used)]

use super::*;
use undergird_model::{Severity, Source};

#[test]
fn names_are_snake_case() {
    for (name, expected) in [
        ("Album", "album"),
        ("AlbumId", "album_id"),
        ("HTTPServer", "http_server"),
        ("line 2", "line_2"),
        ("Größe", "groesse"),
        ("ISBN13", "isbn13"),
        ("__x__", "x"),
        ("日本", ""),
        ("a.b-c", "a_b_c"),
    ] {
        assert_eq!(snake_case(name), expected);
    }
}

/// What becomes of a check on a table with a column of each kind: a limit, a rule, or a line of the report.
fn check(text: &str, expected: &str) {
    let column = |name: &str, ty: FieldType, null: bool| FoundColumn {
        name: name.into(),
        native: String::new(),
        holds: Ok(Holds::of(ty)),
        null,
        default: FoundDefault::None,
        comment: None,
        notes: Vec::new(),
    };
    let table = Found {
        schema: None,
        name: "t".into(),
        sort: Sort::Table,
        comment: None,
        columns: vec![
            column("id", FieldType::Int, false),
            column("n", FieldType::Int, false),
            column("Max", FieldType::Int, true),
            column("state", FieldType::Text { pattern: None }, false),
            column("done", FieldType::Bool, false),
            column("price", FieldType::Decimal { precision: 10, scale: 2 }, true),
        ],
        key: vec!["id".into()],
        apart: Vec::new(),
        uniques: Vec::new(),
        indexes: Vec::new(),
        references: Vec::new(),
        checks: vec![("c".into(), text.into())],
        notes: Vec::new(),
    };
    let written = definition(&Survey { tables: vec![table], notes: Vec::new() });
    let model = &written.files[0].1;
    let rule = model.lines().find_map(|line| line.strip_prefix("rule = "));
    let limit = model.lines().find_map(|line| {
        ["min = ", "max = ", "values = "]
            .iter()
            .find_map(|key| line.find(key).map(|at| line[at..].trim_end_matches(" }")))
    });
    let found = match (rule, limit) {
        (Some(rule), _) => rule.trim_matches('"').to_owned(),
        (None, Some(limit)) => limit.to_owned(),
        (None, None) => written.report.join("\n"),
    };
    assert_eq!(found.replace("\\\"", "'").replace('"', "'"), expected, "{text}");
    let (sound, diagnostics) = checked(model);
    assert!(sound.is_some(), "{model}\n{diagnostics:?}");
}

fn checked(model: &str) -> (Option<undergird_model::Model>, Vec<String>) {
    let source = Source { name: "models/t.toml".into(), text: model.into() };
    let (model, diagnostics) = undergird_model::definition::check(&[source], &[]);
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error);
    (model, errors.map(|one| one.message.clone()).collect())
}

#[test]
fn checks_become_limits_words_and_rules() {
    for (text, expected) in [
        ("n >= 0", "min = 0"),
        ("(\"n\" > (0)::integer)", "min = 1"),
        ("`n` < 10", "max = 9"),
        ("n BETWEEN 1 AND 5", "min = 1, max = 5"),
        (
            "((state)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
            "values = ['a', 'b']",
        ),
        ("state IN ('a', 'it''s')", "values = ['a', 'it's']"),
        ("price >= 0", "(price == null || price >= 0)"),
        ("((price >= (0)::numeric))", "(price == null || price >= 0)"),
        ("n = 1 OR n = 3", "n == 1 || n == 3"),
        ("NOT (n = 1 AND [Max] = 2)", "!(n == 1 && (max != null && max == 2))"),
        ("n <= \"Max\"", "(max == null || n <= max)"),
        ("\"Max\" IS NOT NULL OR done", "max != null || done"),
        ("`state` <> 'sent' or `done` = 1", "state != 'sent' || done == true"),
        ("(((state)::text <> 'sent'::text) OR done)", "state != 'sent' || done"),
        ("length(state) BETWEEN 1 AND 5", "size(state) >= 1 && size(state) <= 5"),
    ] {
        check(text, expected);
    }
    let deep = "(".repeat(2_000);
    for other in [
        "state LIKE 'a%'",
        "n > (SELECT 1)",
        "n + 1 > 2",
        "upper(state) = state",
        "state > 'a'",
        "it's",
        "((((",
        "n >= 1.5",
        "",
        deep.as_str(),
    ] {
        check(other, &format!("t: the check c stays the database's alone: {other}"));
    }
}

#[test]
fn texts_of_others_stay_within_their_quotes() {
    for text in ["a\"\nadopted = false", "\\", "\u{1}\u{7f}", "''", "x\r\ny", "\u{85}"] {
        let quoted = text::quoted(text);
        assert!(!quoted.contains(['\n', '\r']), "{quoted:?}");
        let (model, errors) = checked(&format!("description = {quoted}\n[fields]\nx = {{ type = \"text\" }}\n"));
        let found = model.and_then(|model| model.find("t")?.description.clone());
        assert_eq!(found.as_deref(), Some(text), "{errors:?}");
    }
}
