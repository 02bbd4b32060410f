//! Definitions as short texts, given to a real database: their DDL word for word, and pairs of definitions, where every kind of
//! step must lead from one to the other with the rows alive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{migrate, statements};
use crate::introspect::applied;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use undergird_model::{Decimal, Source, Value, definition};
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
fn the_blog_in_words_of_sqlite() {
    let blog = schema(
        r#"
-- users
[fields]
name = { type = "text", min = 1, max = 80 }
email = { type = "email", unique = true }
-- posts
[fields]
title = { type = "text", min = 1, max = 200 }
slug = { type = "text", pattern = "^[a-z0-9-]+$", unique = true }
body = { type = "text", default = "" }
status = { type = "enum", values = ["draft", "published"], default = "draft" }
pinned = { type = "bool", default = false }
price = { type = "decimal", precision = 8, scale = 2, min = 0, default = 0 }
rating = { type = "float", optional = true, max = 5 }
labels = { type = "list", of = "text", max = 10, default = [] }
extra = { type = "json", optional = true }
digest = { type = "bytes", max = 32, optional = true }
day = { type = "date", optional = true }
hour = { type = "time", optional = true }
author_id = { type = "ref", to = "users", on_delete = "cascade", inverse = "posts" }
editor_id = { type = "ref", to = "users", inverse = "edited", on_delete = "set_null", optional = true }
published_at = { type = "timestamp", optional = true }
created_at = { type = "timestamp", default = { expr = "now" }, readonly = true }
[[indexes]]
fields = ["status", "-created_at"]
[[indexes]]
fields = ["author_id", "-created_at"]
[[checks]]
rule = "status != 'published' || size(body) > 0"
message = "A published post needs a body."
[[checks]]
rule = "rating == null || rating > 0.5 || pinned"
message = "A bad post is pinned."
[[checks]]
rule = "title.matches('^[A-Z]')"
message = "The engine alone holds this one."
-- tags
key = "name"
[fields]
name = { type = "text" }
-- post_tags
key = ["post_id", "tag_name"]
[fields]
post_id = { type = "ref", to = "posts", on_delete = "cascade" }
tag_name = { type = "ref", to = "tags", as = "tag" }
-- follows
key = ["follower_id", "followed_id"]
[fields]
follower_id = { type = "ref", to = "users", inverse = "following", on_delete = "cascade" }
followed_id = { type = "ref", to = "users", inverse = "followers", on_delete = "cascade" }
-- events
[fields]
id = { type = "int" }
what = { type = "text" }
"#,
    );
    let steps = steps(None, &blog);
    let text = statements(&steps, &blog).join(";\n");
    insta::assert_snapshot!(text, @r#"
    CREATE TABLE "users" (
      "id" BLOB NOT NULL,
      "name" TEXT NOT NULL,
      "email" TEXT NOT NULL,
      PRIMARY KEY ("id"),
      CONSTRAINT "users_id_uuid" CHECK (length("id") = 16),
      CONSTRAINT "users_name_max" CHECK (length("name") <= 80),
      CONSTRAINT "users_name_min" CHECK (length("name") >= 1)
    ) STRICT;
    CREATE TABLE "tags" (
      "name" TEXT NOT NULL,
      PRIMARY KEY ("name")
    ) STRICT;
    CREATE TABLE "posts" (
      "id" BLOB NOT NULL,
      "title" TEXT NOT NULL,
      "slug" TEXT NOT NULL,
      "body" TEXT NOT NULL DEFAULT '',
      "status" TEXT NOT NULL DEFAULT 'draft',
      "pinned" INTEGER NOT NULL DEFAULT 0,
      "price" INTEGER NOT NULL DEFAULT 0,
      "rating" REAL,
      "labels" TEXT NOT NULL DEFAULT '[]',
      "extra" TEXT,
      "digest" BLOB,
      "day" INTEGER,
      "hour" INTEGER,
      "author_id" BLOB NOT NULL,
      "editor_id" BLOB,
      "published_at" INTEGER,
      "created_at" INTEGER NOT NULL,
      PRIMARY KEY ("id"),
      CONSTRAINT "posts_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON DELETE CASCADE,
      CONSTRAINT "posts_editor_id_fkey" FOREIGN KEY ("editor_id") REFERENCES "users" ("id") ON DELETE SET NULL,
      CONSTRAINT "posts_id_uuid" CHECK (length("id") = 16),
      CONSTRAINT "posts_pinned_bool" CHECK ("pinned" IN (0, 1)),
      CONSTRAINT "posts_price_decimal" CHECK ("price" BETWEEN -99999999 AND 99999999),
      CONSTRAINT "posts_labels_list" CHECK (json_valid("labels") AND json_type("labels") = 'array'),
      CONSTRAINT "posts_extra_json" CHECK (json_valid("extra")),
      CONSTRAINT "posts_hour_time" CHECK ("hour" BETWEEN 0 AND 86399999999),
      CONSTRAINT "posts_author_id_uuid" CHECK (length("author_id") = 16),
      CONSTRAINT "posts_editor_id_uuid" CHECK (length("editor_id") = 16),
      CONSTRAINT "posts_check_1" CHECK ("status" <> 'published' OR length("body") > 0),
      CONSTRAINT "posts_check_2" CHECK ("rating" IS NULL OR ifnull("rating" > 0.5, 0) OR "pinned"),
      CONSTRAINT "posts_digest_max" CHECK (length("digest") <= 32),
      CONSTRAINT "posts_labels_max" CHECK (json_array_length("labels") <= 10),
      CONSTRAINT "posts_price_min" CHECK ("price" >= 0),
      CONSTRAINT "posts_rating_max" CHECK ("rating" <= 5.0),
      CONSTRAINT "posts_status_values" CHECK ("status" IN ('draft', 'published')),
      CONSTRAINT "posts_title_max" CHECK (length("title") <= 200),
      CONSTRAINT "posts_title_min" CHECK (length("title") >= 1)
    ) STRICT;
    CREATE TABLE "post_tags" (
      "post_id" BLOB NOT NULL,
      "tag_name" TEXT NOT NULL,
      PRIMARY KEY ("post_id", "tag_name"),
      CONSTRAINT "post_tags_post_id_fkey" FOREIGN KEY ("post_id") REFERENCES "posts" ("id") ON DELETE CASCADE,
      CONSTRAINT "post_tags_tag_name_fkey" FOREIGN KEY ("tag_name") REFERENCES "tags" ("name") ON DELETE NO ACTION,
      CONSTRAINT "post_tags_post_id_uuid" CHECK (length("post_id") = 16)
    ) STRICT;
    CREATE TABLE "follows" (
      "follower_id" BLOB NOT NULL,
      "followed_id" BLOB NOT NULL,
      PRIMARY KEY ("follower_id", "followed_id"),
      CONSTRAINT "follows_followed_id_fkey" FOREIGN KEY ("followed_id") REFERENCES "users" ("id") ON DELETE CASCADE,
      CONSTRAINT "follows_follower_id_fkey" FOREIGN KEY ("follower_id") REFERENCES "users" ("id") ON DELETE CASCADE,
      CONSTRAINT "follows_follower_id_uuid" CHECK (length("follower_id") = 16),
      CONSTRAINT "follows_followed_id_uuid" CHECK (length("followed_id") = 16)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE "events" (
      "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
      "what" TEXT NOT NULL
    ) STRICT;
    CREATE INDEX "follows_followed_id_idx" ON "follows" ("followed_id");
    CREATE INDEX "post_tags_tag_name_idx" ON "post_tags" ("tag_name", "post_id");
    CREATE INDEX "posts_author_id_created_at_idx" ON "posts" ("author_id", "created_at" DESC, "id");
    CREATE INDEX "posts_editor_id_idx" ON "posts" ("editor_id", "id");
    CREATE UNIQUE INDEX "posts_slug_key" ON "posts" ("slug");
    CREATE INDEX "posts_status_created_at_idx" ON "posts" ("status", "created_at" DESC, "id");
    CREATE UNIQUE INDEX "users_email_key" ON "users" ("email")
    "#);
    let connection = &mut open();
    lead(connection, &blog).unwrap();
    let user = "INSERT INTO users (id, name, email) VALUES (zeroblob(16), 'Ada', 'ada@example.org')";
    connection.execute(user, []).unwrap();
    let post = |more: &str, values: &str| {
        let sql = format!(
            "INSERT INTO posts (id, title, slug, author_id, created_at{more}) VALUES (randomblob(16), 'T', hex(randomblob(4)), \
             zeroblob(16), 0{values})"
        );
        connection.execute(&sql, []).map_err(|error| error.to_string())
    };
    for (more, values, refusal) in [
        ("", "", ""),
        (", status, body", ", 'published', 'b'", ""),
        (", status", ", 'published'", "posts_check_1"),
        (", status", ", 'gone'", "posts_status_values"),
        (", rating", ", 0.5", "posts_check_2"),
        (", rating, pinned", ", 0.5, 1", ""),
        (", pinned", ", 2", "posts_pinned_bool"),
        (", price", ", -1", "posts_price_min"),
        (", price", ", 100000000", "posts_price_decimal"),
        (", labels", ", '{}'", "posts_labels_list"),
        (", labels", ", '[1,2,3,4,5,6,7,8,9,10,11]'", "posts_labels_max"),
        (", extra", ", '{'", "posts_extra_json"),
        (", digest", ", zeroblob(33)", "posts_digest_max"),
        (", hour", ", 86400000000", "posts_hour_time"),
        (", day", ", 'monday'", "cannot store TEXT value in INTEGER column posts.day"),
        (", editor_id", ", x'00112233445566778899aabbccddeeff'", "FOREIGN KEY constraint failed"),
    ] {
        match post(more, values) {
            Ok(_) => assert_eq!(refusal, "", "{more} {values}"),
            Err(error) => assert!(!refusal.is_empty() && error.ends_with(refusal), "{more} {values}: {error}"),
        }
    }
}

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

#[test]
fn changes_by_hand_are_noticed() {
    for (by_hand, error) in [
        (
            "ALTER TABLE notes ADD COLUMN x TEXT",
            Some("the table notes was altered by hand: undo that change and make it in the definition instead"),
        ),
        ("DROP TABLE notes", Some("the table notes is missing from the database: restore it, or restore a backup")),
        (
            "DROP INDEX notes_title_key",
            Some("the index notes_title_key is missing from the database: restore it, or restore a backup"),
        ),
        ("CREATE INDEX mine ON notes (title); CREATE VIEW v AS SELECT * FROM notes; CREATE TABLE t (x)", None),
    ] {
        let mut connection = open();
        let notes = schema("-- notes\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\", unique = true }");
        lead(&mut connection, &notes).unwrap();
        connection.execute_batch(by_hand).unwrap();
        let result = applied(&connection).map(drop);
        assert_eq!(result, error.map_or(Ok(()), |text| Err(StoreError::SchemaMismatch(text.into()))), "{by_hand}");
    }
}

#[test]
fn what_people_added_survives_a_rebuild() {
    let mut connection = open();
    lead(&mut connection, &schema(NOTES)).unwrap();
    connection
        .execute_batch(
            "CREATE INDEX mine ON notes (size); CREATE VIEW titles AS SELECT title FROM notes; CREATE TABLE seen (title TEXT);
             CREATE TRIGGER t AFTER INSERT ON notes BEGIN INSERT INTO seen VALUES (new.title); END",
        )
        .unwrap();
    let steps = lead(&mut connection, &schema(&NOTES.replace("optional = true", "default = 3"))).unwrap();
    assert_eq!(steps, ["make the column notes.size required, default 3"]);
    connection.execute("INSERT INTO notes (title) VALUES ('x')", []).unwrap();
    assert_eq!(rows(&connection, "SELECT title FROM titles UNION ALL SELECT title FROM seen"), ["x", "x"]);
    assert_eq!(rows(&connection, "SELECT name FROM pragma_index_list('notes')"), ["mine"]);
}

#[test]
fn a_table_that_is_not_ours_is_left_alone() {
    let mut connection = open();
    connection.execute_batch("CREATE TABLE notes (x); INSERT INTO notes VALUES (1)").unwrap();
    assert_eq!(
        lead(&mut connection, &schema(NOTES)),
        Err(StoreError::SchemaMismatch(
            "the database has a table notes already that Undergird did not make: rename it, or give the collection another `table`"
                .into()
        ))
    );
}

#[test]
fn stale_steps_are_refused_and_finished_ones_are_fine() {
    let mut connection = open();
    let (first, second) = (schema(NOTES), schema(NOTES_AND_MORE));
    let planned = steps(None, &second);
    lead(&mut connection, &first).unwrap();
    let stale = migrate(&mut connection, &planned, &second);
    assert_eq!(
        stale,
        Err(StoreError::SchemaMismatch(
            "the database was changed while the steps were planned: plan them again".into()
        ))
    );
    lead(&mut connection, &second).unwrap();
    assert_eq!(migrate(&mut connection, &planned, &second), Ok(()), "another process was faster");
}

#[test]
fn many_at_once_migrate_once() {
    let directory = std::env::temp_dir().join(format!("undergird-migrate-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("main.db");
    let wanted = schema(NOTES);
    let results: Vec<Result<(), StoreError>> = std::thread::scope(|scope| {
        let start = || {
            let mut connection = Connection::open(&path).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            migrate(&mut connection, &steps(None, &wanted), &wanted)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = rows(&Connection::open(&path).unwrap(), "SELECT count(*) FROM _undergird_schema");
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(results, vec![Ok(()); 8]);
    assert_eq!(count, ["1"]);
}

#[test]
fn checks_mean_what_the_rules_mean() {
    use undergird_plan::evaluate::{Bindings, holds};
    use undergird_plan::{Caller, Moment};
    let caller = Caller::visitor(Moment { now: 0, entropy: 0 });
    let texts = ["", "x", "xy", "Yx", "é😀x"];
    let numbers = [None, Some(i64::MIN), Some(-1), Some(0), Some(2), Some(9_007_199_254_740_993), Some(i64::MAX)];
    let mut compared = 0;
    for rule in [
        "a == 'x'",
        "o == a",
        "o != a",
        "!(o == null) && n != 2",
        "n > 2",
        "!(n > 2)",
        "n <= 2.5 || flag",
        "n >= 9007199254740992.0",
        "n == null ? flag : n < 3",
        "flag",
        "!flag",
        "size(a) > 1",
        "size(o) == 1 || flag",
        "a.contains('x')",
        "o.contains(a)",
        "a.startsWith('x')",
        "a.endsWith(o)",
        "!a.endsWith('x')",
        "o in ['x', '']",
        "!(n in [0, 2])",
        "a < o",
        "a >= 'x'",
        "price > 1.5 || price == 0",
        "a.lowerAscii() == 'yx'",
        "flag == true && n == n",
    ] {
        let text = format!(
            "a = {{ type = \"text\" }}\no = {{ type = \"text\", optional = true }}\nn = {{ type = \"int\", optional = true }}\n\
             flag = {{ type = \"bool\", optional = true }}\nprice = {{ type = \"decimal\", precision = 5, scale = 2 }}\n\
             [[checks]]\nrule = {rule:?}\nmessage = \".\"\nname = \"held\"\n"
        );
        let source = Source {
            name: "models/t.toml".into(),
            text: format!("[fields]\nid = {{ type = \"int\" }}\n{text}").into(),
        };
        let (model, diagnostics) = definition::check(&[source], &[]);
        let model = model.unwrap_or_else(|| panic!("{rule}: {diagnostics:#?}"));
        let expr = &model.find("t").unwrap().checks[0].rule.expr;
        let schema = wanted(&model);
        assert!(schema.tables[0].checks.iter().any(|check| check.name == "held"), "{rule} is not held");
        let mut connection = open();
        lead(&mut connection, &schema).unwrap();
        let mut insert =
            connection.prepare("INSERT INTO t (a, o, n, flag, price) VALUES (?1, ?2, ?3, ?4, ?5)").unwrap();
        for a in texts {
            for o in texts.map(Some).into_iter().chain([None]) {
                for n in numbers {
                    for flag in [None, Some(false), Some(true)] {
                        let price = n.unwrap_or(151).clamp(-99999, 99999);
                        let row = [
                            Value::Int(1),
                            Value::text(a),
                            o.map_or(Value::Null, Value::text),
                            n.map_or(Value::Null, Value::Int),
                            flag.map_or(Value::Null, Value::Bool),
                            Value::Decimal(Decimal { unscaled: price, scale: 2 }),
                        ];
                        let bindings = Bindings { caller: &caller, params: &[], input: &[] };
                        let held = insert.execute(rusqlite::params![a, o, n, flag, price]).is_ok();
                        assert_eq!(held, holds(expr, bindings, &row).unwrap(), "{rule} on {row:?}");
                        compared += 1;
                    }
                }
            }
        }
    }
    assert_eq!(compared, 25 * 5 * 6 * 7 * 3);
}
