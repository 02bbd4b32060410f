//! The record's form, which later versions must read, and which rules a database can hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Applied, CheckRule, Step, steps, wanted};
use undergird_model::{Source, definition};

/// The schema of one collection `notes` with these fields and what follows them, `other` beside it.
fn schema(notes: &str) -> Applied {
    let source = |name: &str, text: String| Source { name: name.into(), text: text.into() };
    let sources = [
        source("models/notes.toml", format!("[fields]\nid = {{ type = \"int\" }}\n{notes}")),
        source("models/other.toml", "[fields]\nid = { type = \"int\" }\n".into()),
    ];
    let (model, diagnostics) = definition::check(&sources, &[]);
    wanted(&model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

#[test]
fn the_record_keeps_its_form() {
    let schema = schema(
        r#"
name = { type = "text", max = 9, default = "x", renamed_from = "title" }
price = { type = "decimal", precision = 8, scale = 2, min = 1.5 }
tags = { type = "list", of = "date", default = ["2026-01-02"] }
other_id = { type = "ref", to = "other", on_delete = "cascade", optional = true }
[[indexes]]
fields = ["name", "-price"]
unique = true
[[checks]]
rule = "name != 'y' || size(tags) > 0"
message = "."
"#,
    );
    let text = schema.to_json();
    insta::assert_snapshot!(text.replace(",{", ",\n{").replace(",\"", ",\n\""), @r#"
    {"format":1,
    "tables":[{"name":"notes",
    "collection":"notes",
    "columns":[{"name":"id",
    "field":"id",
    "type":"int"},
    {"name":"name",
    "field":"name",
    "type":"text",
    "default":{"text":"x"}},
    {"name":"price",
    "field":"price",
    "type":"decimal(8,2)"},
    {"name":"tags",
    "field":"tags",
    "type":"list(date)",
    "default":{"list":"[\"2026-01-02\"]"}},
    {"name":"other_id",
    "field":"other_id",
    "type":"int",
    "null":true}],
    "key":["id"],
    "identity":true,
    "references":[{"name":"notes_other_id_fkey",
    "column":"other_id",
    "table":"other",
    "target":"id",
    "on_delete":"cascade"}],
    "checks":[{"name":"notes_check_1",
    "rule":{"condition":{"any":[{"not":{"same":[{"column":"name"},
    {"literal":{"text":"y"}}]}},
    {"compare":[{"size":["list",
    {"column":"tags"}]},
    ">",
    {"literal":{"int":0}}]}]}}},
    {"name":"notes_name_max",
    "column":"name",
    "rule":{"length_at_most":9}},
    {"name":"notes_price_min",
    "column":"price",
    "rule":{"at_least":{"decimal":{"unscaled":150,
    "scale":2}}}}],
    "indexes":[{"name":"notes_name_price_key",
    "columns":[{"name":"name"},
    {"name":"price",
    "descending":true}],
    "unique":true},
    {"name":"notes_other_id_idx",
    "columns":[{"name":"other_id"}]}]},
    {"name":"other",
    "collection":"other",
    "columns":[{"name":"id",
    "field":"id",
    "type":"int"}],
    "key":["id"],
    "identity":true}]}
    "#);
    let read = Applied::from_json(&text).unwrap();
    assert_eq!(read.to_json(), text);
    assert_eq!(read.fingerprint(), schema.fingerprint());
    // A changed fingerprint makes every database look altered: it may change with FORMAT only.
    assert_eq!(schema.fingerprint(), "2d749142d9e9bae96108fd72b9bb9f74");
    assert!(steps(Some(&read), &schema).is_empty());
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(Applied::from_json(&newer).unwrap_err(), "it has form 2, this build of Undergird reads form 1");
}

#[test]
fn the_order_of_declaration_is_no_difference() {
    let one = schema("a = { type = \"text\", max = 3 }\nb = { type = \"int\", min = 1 }");
    let other = schema("b = { type = \"int\", min = 1 }\na = { type = \"text\", max = 3 }");
    assert_eq!(one.fingerprint(), other.fingerprint());
    assert_eq!(steps(Some(&one), &other), []);
    assert_ne!(
        one.fingerprint(),
        schema("a = { type = \"text\", max = 4 }\nb = { type = \"int\", min = 1 }").fingerprint()
    );
}

#[test]
fn rules_that_a_database_can_hold() {
    for (rule, holds) in [
        ("a == 'x'", true),
        ("a != 'x' || n > 3", true),
        ("n > 3 ? a == 'x' : flag", true),
        ("n == null || n <= 2.5", true),
        ("size(a) >= 2 && size(tags) < 5", true),
        ("a.contains('x') && !a.startsWith('y')", true),
        ("a in ['x', 'y']", true),
        ("n in [1, 2]", true),
        ("price > 1.5", true),
        ("price > 1", true),
        ("n + 1 > 3", false), // overflow is null in a rule
        ("a.matches('^x')", false),
        ("data.x == 1", false),
        ("'x' in tags", false), // needs a subquery
        ("at.getFullYear() > 2000", false),
        ("tags.exists(t, t == 'x')", false),
    ] {
        let notes = format!(
            "a = {{ type = \"text\" }}\nn = {{ type = \"int\", optional = true }}\nflag = {{ type = \"bool\" }}\n\
             tags = {{ type = \"list\", of = \"text\" }}\nprice = {{ type = \"decimal\", precision = 8, scale = 2 }}\n\
             data = {{ type = \"json\" }}\nat = {{ type = \"timestamp\" }}\n\
             [[checks]]\nrule = {rule:?}\nmessage = \".\"\n"
        );
        let schema = schema(&notes);
        let checks = &schema.table("notes").unwrap().checks;
        assert_eq!(checks.iter().any(|check| matches!(check.rule, CheckRule::Condition(_))), holds, "{rule}");
    }
}

#[test]
fn what_is_lost_is_said() {
    let before = schema("a = { type = \"text\" }\nat = { type = \"timestamp\" }\nn = { type = \"int\" }");
    let mut after = schema("at = { type = \"date\" }\nn = { type = \"float\" }");
    after.tables.retain(|table| table.name == "notes");
    let losses: Vec<String> = steps(Some(&before), &after).iter().filter_map(Step::loss).collect();
    assert_eq!(
        losses,
        [
            "every row of other",
            "the time of day in notes.at",
            "digits of numbers beyond 2^53 in notes.n",
            "every value of notes.a"
        ]
    );
}
