//! Definitions as short texts, given to a real database: their DDL word for word, and pairs of definitions, where every kind of
//! step must lead from one to the other with the rows alive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod constraints;
mod durability;

use super::{migrate, statements};
use crate::introspect::applied;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use undergird_model::{Source, definition};
use undergird_store::StoreError;
use undergird_store::schema::{Applied, Step, steps, wanted};

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

fn open() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "foreign_keys", 1).unwrap();
    connection
}

/// Leads the database to the schema and says the steps in words.
fn lead(connection: &mut Connection, to: &Applied) -> Result<Vec<String>, StoreError> {
    let from = applied(connection)?;
    let steps = steps(from.as_ref(), to);
    migrate(connection, &steps, to)?;
    let setting = connection.pragma_query_value(None, "foreign_keys", |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(setting, 1, "foreign keys are held again");
    let now = applied(connection)?.expect("a record");
    assert_eq!(now.fingerprint(), to.fingerprint());
    assert!(undergird_store::schema::steps(Some(&now), to).is_empty(), "there is nothing left to do");
    Ok(steps.iter().map(Step::describe).collect())
}

/// The rows of a query, cells separated by `|`.
fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells: Vec<String> = (0..columns)
            .map(|at| match row.get_ref(at).unwrap() {
                ValueRef::Null => "null".into(),
                ValueRef::Integer(value) => value.to_string(),
                ValueRef::Real(value) => format!("{value:?}"),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(bytes) => format!("x{}", bytes.len()),
            })
            .collect();
        found.push(cells.join("|"));
    }
    found
}

/// One migration: what was, its rows, what is wanted, the steps in words, and the rows afterwards.
struct Case {
    before: &'static str,
    insert: &'static str,
    after: &'static str,
    steps: &'static [&'static str],
    query: &'static str,
    rows: &'static [&'static str],
}

fn check(case: &Case) {
    let mut connection = open();
    lead(&mut connection, &schema(case.before)).unwrap();
    connection.execute_batch(case.insert).unwrap();
    assert_eq!(lead(&mut connection, &schema(case.after)).unwrap(), case.steps);
    assert_eq!(rows(&connection, case.query), case.rows);
    assert_eq!(rows(&connection, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(rows(&connection, "SELECT name FROM sqlite_schema WHERE name LIKE '%undergird_new%'"), [""; 0]);
}

/// One migration that the rows, or the types, do not allow: the error, and nothing changed.
fn check_refused(before: &str, insert: &str, after: &str, error: &str) {
    let mut connection = open();
    lead(&mut connection, &schema(before)).unwrap();
    connection.execute_batch(insert).unwrap();
    let everything = "SELECT name, sql FROM sqlite_schema";
    let (was, records) = (rows(&connection, everything), rows(&connection, "SELECT count(*) FROM _undergird_schema"));
    match lead(&mut connection, &schema(after)) {
        Err(StoreError::SchemaMismatch(text)) => assert_eq!(text, error),
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(rows(&connection, everything), was);
    assert_eq!(rows(&connection, "SELECT count(*) FROM _undergird_schema"), records);
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

#[test]
fn columns_come_go_and_change_names() {
    check(&Case {
        before: NOTES,
        insert: "INSERT INTO notes (title, size) VALUES ('a', 1), ('b', NULL), ('c', 3); DELETE FROM notes WHERE id = 3",
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
        query: "INSERT INTO notes (heading) VALUES ('d') RETURNING id, heading, stars",
        // Number 3 was given out once.
        rows: &["4|d|5"],
    });
}

#[test]
fn an_added_column_needs_no_rebuild() {
    let (before, after) = (
        schema(NOTES),
        schema(&format!(
            "{NOTES}{}",
            r#"
stars = { type = "int", min = 0, default = 5 }
parent_id = { type = "ref", to = "notes", on_delete = "set_null", optional = true }
"#
        )),
    );
    let steps = steps(Some(&before), &after);
    insta::assert_snapshot!(statements(&steps, &after).join(";\n"), @r#"
    ALTER TABLE "notes" ADD COLUMN "stars" INTEGER NOT NULL DEFAULT 5 CONSTRAINT "notes_stars_min" CHECK ("stars" >= 0);
    ALTER TABLE "notes" ADD COLUMN "parent_id" INTEGER CONSTRAINT "notes_parent_id_fkey" REFERENCES "notes" ("id") ON DELETE SET NULL;
    CREATE INDEX "notes_parent_id_idx" ON "notes" ("parent_id")
    "#);
    check(&Case {
        before: NOTES,
        insert: "INSERT INTO notes (title) VALUES ('a')",
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
    });
}

#[test]
fn types_change_where_there_is_one_way() {
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
        insert: "INSERT INTO things VALUES (1, 7, '12', 3, 1500, x'00112233445566778899aabbccddeeff', \
                 '00112233-4455-6677-8899-aabbccddeeff', -1, -1, 'say \"x\"', 'one', NULL)",
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
        rows: &[r#"1|7|12|300|15|00112233-4455-6677-8899-aabbccddeeff|x16|-1|-86400000000|"say \"x\""|["one"]|2.5"#],
    });
}

#[test]
fn tables_come_go_and_change_names() {
    check(&Case {
        before: r#"
-- owners
[fields]
id = { type = "int" }
name = { type = "text", unique = true }
-- pets
[fields]
id = { type = "int" }
owner_id = { type = "ref", to = "owners", on_delete = "cascade" }
-- toys
[fields]
pet_id = { type = "ref", to = "pets" }
"#,
        insert: "INSERT INTO owners VALUES (1, 'Ada'); INSERT INTO pets VALUES (1, 1)",
        after: r#"
-- owners
table = "People"
[fields]
id = { type = "int", column = "PersonId" }
name = { type = "text" }
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
            "add the column People.favourite_id (int, optional)",
            "make People.favourite_id refer to pets",
            "create the index People_favourite_id_idx on People (favourite_id)",
            "create the index visits_pet_id_idx on visits (pet_id)",
        ],
        query: "SELECT p.\"PersonId\", p.name, f.\"table\", f.\"to\", f.on_delete FROM \"People\" p, pragma_foreign_key_list('pets') f",
        rows: &["1|Ada|People|PersonId|CASCADE"],
    });
}

#[test]
fn names_change_in_a_circle() {
    check(&Case {
        before: r#"
-- notes
[fields]
id = { type = "int" }
a = { type = "text" }
b = { type = "text" }
gone = { type = "text" }
"#,
        insert: "INSERT INTO notes VALUES (1, 'A', 'B', 'G')",
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
    });
    check(&Case {
        before: NOTES,
        insert: "INSERT INTO notes VALUES (1, 'A', 2)",
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
    });
    check(&Case {
        before: NOTES,
        insert: "INSERT INTO notes VALUES (1, 'A', 2)",
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
        query: "SELECT m.name || t.\"Id\" FROM \"Notes\" t, sqlite_schema m WHERE m.name LIKE 'n%'",
        rows: &["Notes1"],
    });
    check(&Case {
        before: NOTES,
        insert: "INSERT INTO notes VALUES (1, 'A', 2)",
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
    });
}

#[test]
fn keys_checks_and_references_change() {
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
        insert: "INSERT INTO owners VALUES (1); INSERT INTO pets VALUES (1, 'Rex', 1, 'cat')",
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
        query: "DELETE FROM owners RETURNING (SELECT count(*) FROM pets)",
        rows: &["0"],
    });
}

#[test]
fn rows_that_do_not_allow_a_step_are_named() {
    let insert = "INSERT INTO notes VALUES (1, 'a', NULL), (2, 'a', 5)";
    let change = |fields: &str| format!("-- notes\n[fields]\nid = {{ type = \"int\" }}\n{fields}");
    for (fields, error) in [
        (
            r#"title = { type = "text" }
size = { type = "int" }"#,
            "notes.size becomes required and some rows have null in it: fill them first, or give the field a literal `default` (NOT NULL \
             constraint failed: notes.size)",
        ),
        (
            r#"title = { type = "text" }
size = { type = "int", optional = true }
more = { type = "text" }"#,
            "notes.more is required and the rows that are there have no value for it: give the field a literal `default`, or make it \
             `optional = true`, fill it, and make it required afterwards (NOT NULL constraint failed: notes.more)",
        ),
        (
            r#"title = { type = "text", unique = true }
size = { type = "int", optional = true }"#,
            "some rows of notes have the same (title): correct them before it becomes unique (UNIQUE constraint failed: notes.title)",
        ),
        (
            // Both change the table at once; only one is to blame.
            r#"title = { type = "text", unique = true, default = "x" }
size = { type = "int", optional = true }"#,
            "some rows of notes have the same (title): correct them before it becomes unique (UNIQUE constraint failed: notes.title)",
        ),
        (
            r#"title = { type = "text" }
size = { type = "int", optional = true, min = 6 }"#,
            "some rows of notes break notes_size_min: correct them first (CHECK constraint failed: notes_size_min)",
        ),
        (
            r#"title = { type = "int" }
size = { type = "int", optional = true }"#,
            "some values of notes.title are not int: correct them first (cannot store TEXT value in INTEGER column notes.title)",
        ),
        (
            r#"title = { type = "text" }
size = { type = "bool", optional = true }"#,
            "some values of notes.size are not bool: correct them first (CHECK constraint failed: notes_size_bool)",
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
        check_refused(NOTES, insert, &change(fields), error);
    }
}

#[test]
fn a_required_column_may_come_to_an_empty_table() {
    check(&Case {
        before: NOTES,
        insert: "",
        after: NOTES_AND_MORE,
        steps: &["add the column notes.more (text, required, without a default)"],
        query: "SELECT name, \"notnull\" FROM pragma_table_info('notes') WHERE name = 'more'",
        rows: &["more|1"],
    });
}
