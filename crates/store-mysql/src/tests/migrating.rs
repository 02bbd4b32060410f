//! Definitions as short texts, given to a real server: their DDL word for word, and pairs of definitions, where every kind of step must
//! lead from one to the other with the rows alive.

mod durability;
mod words;

use super::{Database, database};
use crate::MysqlStore;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use undergird_model::{Source, definition};
use undergird_store::schema::{Applied, Step, steps, wanted};
use undergird_store::{Store, StoreError};

/// The schema of a definition: `-- posts` begins the file `models/posts.toml`.
fn schema(definition: &str) -> Applied {
    let sources: Vec<Source> = definition
        .split("-- ")
        .filter_map(|part| part.split_once('\n').filter(|(name, _)| !name.is_empty()))
        .map(|(name, text)| Source { name: format!("models/{}.toml", name.trim()).into(), text: text.into() })
        .collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    wanted(&model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

/// Leads the database to the schema and says the steps in words.
async fn lead(store: &MysqlStore, to: &Applied) -> Result<Vec<String>, StoreError> {
    let from = store.schema().await?;
    let steps = steps(from.as_ref(), to);
    store.migrate(&steps, to).await?;
    let now = store.schema().await?.expect("a record");
    assert_eq!(now.fingerprint(), to.fingerprint());
    assert!(undergird_store::schema::steps(Some(&now), to).is_empty(), "there is nothing left to do");
    Ok(steps.iter().map(Step::describe).collect())
}

/// The rows of a query, cells separated by `|`.
async fn rows(database: &Database, sql: &str) -> Vec<String> {
    let mut conn = Conn::from_url(&database.url).await.unwrap();
    let rows: Vec<Row> = conn.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    conn.disconnect().await.unwrap();
    let cell = |value: &mysql_async::Value| match value {
        mysql_async::Value::NULL => "null".to_owned(),
        mysql_async::Value::Bytes(octets) => match std::str::from_utf8(octets) {
            Ok(text) if !text.contains('\0') => text.to_owned(),
            _ => format!("x{}", octets.len()),
        },
        other => format!("{other:?}"),
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|at| cell(row.as_ref(at).unwrap())).collect::<Vec<_>>().join("|"))
        .collect()
}

/// One migration: what was, its rows, what is wanted, the steps in words, and the rows afterwards.
struct Case {
    before: &'static str,
    insert: &'static [&'static str],
    after: &'static str,
    steps: &'static [&'static str],
    query: &'static str,
    rows: &'static [&'static str],
}

async fn check(case: &Case) {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    lead(&store, &schema(case.before)).await.unwrap();
    database.execute(case.insert).await;
    assert_eq!(lead(&store, &schema(case.after)).await.unwrap(), case.steps);
    assert_eq!(rows(&database, case.query).await, case.rows);
}

/// One migration that the rows, or the types, do not allow: the error. What was done before that step is recorded, and the way back is
/// open.
async fn check_refused(before: &str, insert: &[&str], after: &str, error: &str) {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    lead(&store, &schema(before)).await.unwrap();
    database.execute(insert).await;
    let count = "SELECT CONCAT(count(*), '|', sum(id)) FROM notes";
    let was = rows(&database, count).await;
    match lead(&store, &schema(after)).await {
        Err(StoreError::SchemaMismatch(text)) => assert_eq!(text, error),
        other => panic!("expected a refusal, got {other:?}"),
    }
    lead(&store, &schema(before)).await.unwrap();
    assert_eq!(rows(&database, count).await, was);
}

const NOTES: &str = r#"
-- notes
[fields]
id = { type = "int" }
title = { type = "text" }
size = { type = "int", optional = true }
"#;

/// The same with one required field more.
const NOTES_AND_MORE: &str = r#"
-- notes
[fields]
id = { type = "int" }
title = { type = "text" }
size = { type = "int", optional = true }
more = { type = "text" }
"#;

#[tokio::test]
async fn columns_come_go_and_change_names() {
    check(&Case {
        before: NOTES,
        insert: &["INSERT INTO notes (title, size) VALUES ('a', 1), ('b', NULL), ('c', 3)", "DELETE FROM notes WHERE id = 3"],
        after: r#"
-- notes
[fields]
id = { type = "int" }
heading = { type = "text", renamed_from = "title", max = 9 }
stars = { type = "int", min = 0, default = 5 }
"#,
        steps: &[
            "rename the column notes.title to heading",
            "add the column notes.stars (int, default 5)",
            "drop the column notes.size",
            "add the check notes_heading_max to notes",
            "add the check notes_stars_min to notes",
        ],
        query: "SELECT id, heading, stars FROM notes UNION ALL SELECT AUTO_INCREMENT, '', 0 FROM information_schema.tables \
                WHERE table_schema = DATABASE() AND table_name = 'notes'",
        // Number 3 was given out once.
        rows: &["1|a|5", "2|b|5", "4||0"],
    }).await;
}

#[tokio::test]
async fn an_added_column_brings_its_rules() {
    check(&Case {
        before: NOTES,
        insert: &["INSERT INTO notes (title) VALUES ('a')"],
        after: r#"
-- notes
[fields]
stars = { type = "int", min = 0, default = 5 }
id = { type = "int" }
title = { type = "text" }
size = { type = "int", optional = true }
parent_id = { type = "ref", to = "notes", on_delete = "set_null", optional = true }
"#,
        steps: &[
            "add the column notes.stars (int, default 5)",
            "add the column notes.parent_id (int, optional)",
            "add the check notes_stars_min to notes",
            "make notes.parent_id refer to notes",
            "create the index notes_parent_id_idx on notes (parent_id)",
        ],
        query: "SELECT id, title, stars, parent_id FROM notes",
        rows: &["1|a|5|null"],
    })
    .await;
}

#[tokio::test]
async fn types_change_where_there_is_one_way() {
    check(&Case {
        before: r#"
-- things
[fields]
id = { type = "int" }
a = { type = "int" }
b = { type = "text" }
c = { type = "int" }
d = { type = "decimal", precision = 8, scale = 3 }
e = { type = "uuid" }
f = { type = "text" }
g = { type = "timestamp" }
h = { type = "date" }
i = { type = "text", optional = true }
j = { type = "text" }
k = { type = "int", optional = true }
"#,
        insert: &["INSERT INTO things VALUES (1, 7, '12', 3, 1.500, x'00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff', '1969-12-31 23:59:59.999999', '1969-12-31', 'say \"x\"', 'one', NULL)"],
        after: r#"
-- things
[fields]
id = { type = "int" }
a = { type = "text" }
b = { type = "int" }
c = { type = "decimal", precision = 8, scale = 2 }
d = { type = "decimal", precision = 8, scale = 1 }
e = { type = "text" }
f = { type = "uuid" }
g = { type = "date" }
h = { type = "timestamp" }
i = { type = "json", optional = true }
j = { type = "list", of = "text" }
k = { type = "float", default = 2.5 }
"#,
        steps: &[
            "make the column things.a of type text (it was int)",
            "make the column things.b of type int (it was text)",
            "make the column things.c of type decimal(8, 2) (it was int)",
            "make the column things.d of type decimal(8, 1) (it was decimal(8, 3))",
            "make the column things.e of type text (it was uuid)",
            "make the column things.f of type uuid (it was text)",
            "make the column things.g of type date (it was timestamp)",
            "make the column things.h of type timestamp (it was date)",
            "make the column things.i of type json (it was text)",
            "make the column things.j of type list of text (it was text)",
            "make the column things.k of type float (it was int), required, default 2.5",
        ],
        query: "SELECT * FROM things",
        rows: &[r#"1|7|12|3.00|1.5|00112233-4455-6677-8899-aabbccddeeff|x16|1969-12-31|1969-12-31 00:00:00.000000|"say \"x\""|["one"]|2.5"#],
    }).await;
}

#[tokio::test]
async fn tables_come_go_and_change_names() {
    check(&Case {
        before: r#"
-- owners
[fields]
id = { type = "int" }
name = { type = "text", unique = true, max = 50 }
-- pets
[fields]
id = { type = "int" }
owner_id = { type = "ref", to = "owners", on_delete = "cascade" }
-- toys
[fields]
pet_id = { type = "ref", to = "pets" }
"#,
        insert: &["INSERT INTO owners VALUES (1, 'Ada')", "INSERT INTO pets VALUES (1, 1)"],
        after: r#"
-- owners
table = "People"
[fields]
id = { type = "int", column = "PersonId" }
name = { type = "text", max = 50 }
favourite_id = { type = "ref", to = "pets", optional = true, on_delete = "set_null" }
-- pets
[fields]
id = { type = "int" }
owner_id = { type = "ref", to = "owners", on_delete = "cascade" }
-- visits
[fields]
pet_id = { type = "ref", to = "pets" }
"#,
        steps: &[
            "drop the table toys",
            "rename the table owners to People",
            "rename the column People.id to PersonId",
            "drop the index owners_name_key of People",
            "create the table visits (2 columns)",
            "drop the check owners_name_max of People",
            "add the column People.favourite_id (int, optional)",
            "add the check People_name_max to People",
            "make People.favourite_id refer to pets",
            "create the index People_favourite_id_idx on People (favourite_id)",
            "create the index visits_pet_id_idx on visits (pet_id)",
        ],
        query: "SELECT p.PersonId, p.name, k.referenced_table_name, k.referenced_column_name FROM People AS p, \
                information_schema.key_column_usage AS k WHERE k.table_schema = DATABASE() AND k.table_name = 'pets' AND \
                k.referenced_table_name IS NOT NULL",
        rows: &["1|Ada|People|PersonId"],
    }).await;
}

#[tokio::test]
async fn names_change_in_a_circle() {
    check(&Case {
        before: r#"
-- notes
[fields]
id = { type = "int" }
a = { type = "text" }
b = { type = "text" }
gone = { type = "text" }
"#,
        insert: &["INSERT INTO notes VALUES (1, 'A', 'B', 'G')"],
        after: r#"
-- notes
[fields]
id = { type = "int" }
a = { type = "text", column = "b" }
b = { type = "text", column = "a" }
fresh = { type = "text", column = "gone", default = "N" }
"#,
        steps: &[
            "note that the column notes.gone is of the field fresh, not gone",
            "rename the column notes.a to _undergird_a",
            "rename the column notes.b to a",
            "rename the column notes._undergird_a to b",
            "make the column notes.gone default \"N\"",
        ],
        query: "SELECT b, a, gone FROM notes",
        rows: &["A|B|G"],
    })
    .await;
    check(&Case {
        before: NOTES,
        insert: &["INSERT INTO notes VALUES (1, 'A', 2)"],
        after: r#"
-- papers
table = "notes"
[fields]
id = { type = "int" }
heading = { type = "text", column = "title" }
size = { type = "int", optional = true }
"#,
        steps: &[
            "note that the table notes is of papers, not notes",
            "note that the column notes.title is of the field heading, not title",
        ],
        query: "SELECT * FROM notes",
        rows: &["1|A|2"],
    })
    .await;
    check(&Case {
        before: NOTES,
        insert: &["INSERT INTO notes VALUES (1, 'A', 2)"],
        after: r#"
-- notes
table = "Notes"
[fields]
id = { type = "int", column = "Id" }
title = { type = "text" }
size = { type = "int", optional = true }
"#,
        steps: &[
            "rename the table notes to _undergird_notes",
            "rename the table _undergird_notes to Notes",
            "rename the column Notes.id to _undergird_id",
            "rename the column Notes._undergird_id to Id",
        ],
        query: "SELECT Id FROM Notes",
        rows: &["1"],
    })
    .await;
    check(&Case {
        before: NOTES,
        insert: &["INSERT INTO notes VALUES (1, 'A', 2)"],
        after: r#"
-- notes
[fields]
id = { type = "int" }
size = { type = "int", optional = true, column = "title" }
"#,
        steps: &[
            "rename the column notes.title to _undergird_title",
            "rename the column notes.size to title",
            "drop the column notes._undergird_title",
        ],
        query: "SELECT * FROM notes",
        rows: &["1|2"],
    })
    .await;
}

#[tokio::test]
async fn keys_checks_and_references_change() {
    check(&Case {
        before: r#"
-- owners
[fields]
id = { type = "int" }
-- pets
[fields]
id = { type = "int" }
name = { type = "text", min = 1, max = 5 }
owner_id = { type = "ref", to = "owners" }
kind = { type = "enum", values = ["cat"] }
"#,
        insert: &["INSERT INTO owners VALUES (1)", "INSERT INTO pets VALUES (1, 'Rex', 1, 'cat')"],
        after: r#"
-- owners
[fields]
id = { type = "int" }
-- pets
key = ["owner_id", "name"]
[fields]
id = { type = "int", unique = true }
name = { type = "text", max = 50 }
owner_id = { type = "ref", to = "owners", on_delete = "cascade" }
kind = { type = "enum", values = ["cat", "dog"], default = "dog" }
[[checks]]
rule = "kind == 'cat' || name.startsWith('Dog')"
message = "Dogs are named so."
name = "dog_names"
"#,
        steps: &[
            "drop the index pets_owner_id_idx of pets",
            "drop the check pets_kind_values of pets",
            "drop the check pets_name_max of pets",
            "drop the check pets_name_min of pets",
            "stop pets.owner_id referring to owners",
            "make the column pets.kind default \"dog\"",
            "change the key of pets from (id) to (owner_id, name)",
            "add the check dog_names to pets",
            "add the check pets_kind_values to pets",
            "add the check pets_name_max to pets",
            "make pets.owner_id refer to owners",
            "create the unique index pets_id_key on pets (id)",
        ],
        query: "SELECT id, name, owner_id, kind FROM pets",
        rows: &["1|Rex|1|cat"],
    })
    .await;
}

#[tokio::test]
async fn rows_that_do_not_allow_a_step_are_named() {
    let insert = &["INSERT INTO notes VALUES (1, 'a', NULL), (2, 'a', 5)"];
    let change = |fields: &str| format!("-- notes\n[fields]\nid = {{ type = \"int\" }}\n{fields}");
    for (fields, error) in [
        (
            r#"title = { type = "text" }
size = { type = "int" }"#,
            "notes.size becomes required and some rows have null in it: fill them first, or give the field a literal `default`",
        ),
        (
            r#"title = { type = "text" }
size = { type = "int", optional = true }
more = { type = "text" }"#,
            "notes.more is required and the rows that are there have no value for it: give the field a literal `default`, or make it \
             `optional = true`, fill it, and make it required afterwards",
        ),
        (
            r#"title = { type = "text", unique = true, max = 9 }
size = { type = "int", optional = true }"#,
            "some rows of notes have the same (title): correct them before it becomes unique",
        ),
        (
            r#"title = { type = "text", unique = true, default = "x", max = 9 }
size = { type = "int", optional = true }"#,
            "some rows of notes have the same (title): correct them before it becomes unique",
        ),
        (
            r#"title = { type = "text" }
size = { type = "int", optional = true, min = 6 }"#,
            "some rows of notes break notes_size_min: correct them first",
        ),
        (
            r#"title = { type = "int" }
size = { type = "int", optional = true }"#,
            "some values of notes.title are not int: correct them first",
        ),
        (
            r#"title = { type = "text" }
size = { type = "bool", optional = true }"#,
            "some values of notes.size are not bool: correct them first",
        ),
        (
            r#"title = { type = "text" }
size = { type = "ref", to = "notes", optional = true, as = "other" }"#,
            "some rows of notes name in size a row of notes that does not exist: correct them first",
        ),
        (
            r#"title = { type = "timestamp" }
size = { type = "int", optional = true }"#,
            "notes.title is text and cannot become timestamp: add a field of the new type under another name, copy what you want to \
             keep, then drop this one",
        ),
    ] {
        check_refused(NOTES, insert, &change(fields), error).await;
    }
}

#[tokio::test]
async fn a_required_column_may_come_to_an_empty_table() {
    check(&Case {
        before: NOTES,
        insert: &[],
        after: NOTES_AND_MORE,
        steps: &["add the column notes.more (text, required, without a default)"],
        query: "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'more'",
        rows: &["more|NO"],
    }).await;
}
