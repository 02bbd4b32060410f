//! Pairs of definitions: the steps between them, and the rows afterwards.

use super::*;

#[test]
fn columns_come_go_and_change_names() {
    check(Case {
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
    ALTER TABLE "notes" ADD COLUMN "stars" bigint NOT NULL DEFAULT 5;
    ALTER TABLE "notes" ADD COLUMN "parent_id" bigint;
    ALTER TABLE "notes" ADD CONSTRAINT "notes_stars_min" CHECK ("stars" >= 0);
    CREATE INDEX "notes_parent_id_idx" ON "notes" ("parent_id", "id");
    ALTER TABLE "notes" ADD CONSTRAINT "notes_parent_id_fkey" FOREIGN KEY ("parent_id") REFERENCES "notes" ("id") ON DELETE SET NULL
    "#);
    check(Case {
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
    check(Case {
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
        insert: "INSERT INTO things VALUES (1, 7, '12', 3, 1.500, '00112233-4455-6677-8899-aabbccddeeff', \
                 '00112233-4455-6677-8899-AABBCCDDEEFF', '1969-12-31 23:59:59.999999+00', '1969-12-31', 'say \"x\"', 'one', NULL)",
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
        query: "SET timezone = 'UTC'; SELECT * FROM things",
        rows: &[
            r#"1|7|12|3.00|1.5|00112233-4455-6677-8899-aabbccddeeff|00112233-4455-6677-8899-aabbccddeeff|1969-12-31|1969-12-31 00:00:00+00|"say \"x\""|{one}|2.5"#,
        ],
    });
}

#[test]
fn tables_come_go_and_change_names() {
    check(Case {
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
        query: "SELECT p.\"PersonId\", p.name, pg_get_constraintdef(c.oid) FROM \"People\" p, pg_constraint c WHERE conname = 'pets_owner_id_fkey'",
        rows: &[r#"1|Ada|FOREIGN KEY (owner_id) REFERENCES "People"("PersonId") ON DELETE CASCADE"#],
    });
}

#[test]
fn names_change_in_a_circle() {
    check(Case {
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
    check(Case {
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
    check(Case {
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
        query: "SELECT relname || t.\"Id\" FROM \"Notes\" t, pg_class WHERE relname ILIKE 'notes'",
        rows: &["Notes1"],
    });
    check(Case {
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
    check(Case {
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
        query: "DELETE FROM owners; SELECT count(*) FROM pets",
        rows: &["0"],
    });
}

#[test]
fn rows_that_do_not_allow_a_step_are_named() {
    let insert = "INSERT INTO notes VALUES (1, 'a', NULL), (2, 'a', 5)";
    let change = |fields: &str| format!("-- notes\n[fields]\nid = {{ type = \"int\" }}\n{fields}");
    let cases = vec![
        (
            r#"title = { type = "text" }
size = { type = "int" }"#,
            "notes.size becomes required and some rows have null in it: fill them first, or give the field a literal `default` (column \
             \"size\" of relation \"notes\" contains null values)",
        ),
        (
            r#"title = { type = "text" }
size = { type = "int", optional = true }
more = { type = "text" }"#,
            "notes.more is required and the rows that are there have no value for it: give the field a literal `default`, or make it \
             `optional = true`, fill it, and make it required afterwards (column \"more\" of relation \"notes\" contains null values)",
        ),
        (
            r#"title = { type = "text", unique = true }
size = { type = "int", optional = true }"#,
            "some rows of notes have the same (title): correct them before it becomes unique (could not create unique index \"notes_title_key\")",
        ),
        (
            // Both change the table at once; only one is to blame.
            r#"title = { type = "text", unique = true, default = "x" }
size = { type = "int", optional = true }"#,
            "some rows of notes have the same (title): correct them before it becomes unique (could not create unique index \"notes_title_key\")",
        ),
        (
            r#"title = { type = "text" }
size = { type = "int", optional = true, min = 6 }"#,
            "some rows of notes break notes_size_min: correct them first (check constraint \"notes_size_min\" of relation \"notes\" is violated by some row)",
        ),
        (
            r#"title = { type = "int" }
size = { type = "int", optional = true }"#,
            "some values of notes.title are not int: correct them first (invalid input syntax for type bigint: \"a\")",
        ),
        (
            r#"title = { type = "text" }
size = { type = "bool", optional = true }"#,
            "some values of notes.size are not bool: correct them first (invalid input syntax for type boolean: \"5 is no bool\")",
        ),
        (
            r#"title = { type = "text" }
size = { type = "ref", to = "notes", optional = true, as = "other" }"#,
            "some rows of notes name in size a row of notes that does not exist: correct them first (insert or update on table \"notes\" \
             violates foreign key constraint \"notes_size_fkey\")",
        ),
        (
            r#"title = { type = "timestamp" }
size = { type = "int", optional = true }"#,
            "notes.title is text and cannot become timestamp: add a field of the new type under another name, copy what you want to \
             keep, then drop this one",
        ),
    ];
    check_refused(NOTES, insert, cases.into_iter().map(|(fields, error)| (change(fields), error)).collect());
}

#[test]
fn a_required_column_may_come_to_an_empty_table() {
    check(Case {
        before: NOTES,
        insert: "",
        after: NOTES_AND_MORE,
        steps: &["add the column notes.more (text, required, without a default)"],
        query: "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = 'more'",
        rows: &["more|t"],
    });
}

#[test]
fn keys_and_columns_change_under_references_and_checks() {
    check(Case {
        before: r#"
-- owners
[fields]
id = { type = "int" }
slug = { type = "text" }
-- pets
[fields]
id = { type = "int" }
owner_id = { type = "ref", to = "owners" }
tag = { type = "text", max = 3, min = 1 }
born_at = { type = "timestamp" }
[[indexes]]
fields = ["tag"]
"#,
        insert: "INSERT INTO owners (slug) VALUES ('a'), ('b'); \
                 INSERT INTO pets (owner_id, tag, born_at) VALUES (2, 'x', '2026-01-02T00:00Z')",
        after: r#"
-- owners
key = "slug"
[fields]
number = { type = "int", renamed_from = "id" }
slug = { type = "text" }
-- pets
table = "Animals"
key = "code"
[fields]
code = { type = "text", renamed_from = "id" }
owner_slug = { type = "ref", to = "owners", optional = true, as = "owner" }
tags = { type = "list", of = "text", max = 3, min = 1, renamed_from = "tag" }
born_at = { type = "timestamp" }
"#,
        steps: &[
            "rename the table pets to Animals",
            "rename the column Animals.id to code",
            "rename the column Animals.tag to tags",
            "rename the column owners.id to number",
            "drop the index pets_owner_id_idx of Animals",
            "drop the index pets_tag_idx of Animals",
            "drop the check pets_tag_max of Animals",
            "drop the check pets_tag_min of Animals",
            "stop Animals.owner_id referring to owners",
            "make the column Animals.code of type text (it was int)",
            "add the column Animals.owner_slug (text, optional)",
            "make the column Animals.tags of type list of text (it was text)",
            "change the key of Animals from (code) to (code)",
            "drop the column Animals.owner_id",
            "add the check Animals_tags_max to Animals",
            "add the check Animals_tags_min to Animals",
            "make Animals.owner_slug refer to owners",
            "change the key of owners from (number) to (slug)",
            "create the index Animals_owner_slug_idx on Animals (owner_slug)",
        ],
        query: "SELECT code, tags, owner_slug FROM \"Animals\"",
        rows: &["1|{x}|null"],
    });
    // The key's type changes and what refers to it with it; nothing else says so.
    check(Case {
        before: r#"
-- owners
key = "code"
[fields]
code = { type = "text" }
-- pets
[fields]
id = { type = "int" }
owner_code = { type = "ref", to = "owners", as = "owner" }
names = { type = "text", max = 9 }
"#,
        insert: "INSERT INTO owners VALUES ('7'); INSERT INTO pets (owner_code, names) VALUES ('7', 'Rex')",
        after: r#"
-- owners
key = "code"
[fields]
code = { type = "int" }
-- pets
key = ["owner_code", "id"]
[fields]
id = { type = "int" }
owner_code = { type = "ref", to = "owners", as = "owner" }
names = { type = "list", of = "text", max = 9 }
"#,
        steps: &[
            "drop the index pets_owner_code_idx of pets",
            "make the column owners.code of type int (it was text)",
            "change the key of owners from (code) to (code), numbered by the database",
            "make the column pets.owner_code of type int (it was text)",
            "make the column pets.names of type list of text (it was text)",
            "change the key of pets from (id) to (owner_code, id)",
        ],
        query: "INSERT INTO owners DEFAULT VALUES; SELECT o.code, p.owner_code, p.names FROM owners o LEFT JOIN pets p ON p.owner_code = o.code ORDER BY 1",
        rows: &["7|7|{Rex}", "8|null|null"],
    });
}

#[test]
fn tables_that_refer_to_each_other_come_and_go() {
    check(Case {
        before: r#"
-- teams
[fields]
id = { type = "int" }
captain_id = { type = "ref", to = "players", optional = true }
-- players
[fields]
id = { type = "int" }
team_id = { type = "ref", to = "teams", optional = true }
coach_id = { type = "ref", to = "coaches", optional = true }
-- coaches
[fields]
id = { type = "int" }
-- fans
[fields]
id = { type = "int" }
team_id = { type = "ref", to = "teams", optional = true }
"#,
        insert: "INSERT INTO teams DEFAULT VALUES; INSERT INTO players (team_id) VALUES (1); UPDATE teams SET captain_id = 1; \
                 INSERT INTO fans (team_id) VALUES (1)",
        after: r#"
-- fans
[fields]
id = { type = "int" }
name = { type = "text", default = "?" }
one_id = { type = "ref", to = "ones", optional = true }
-- ones
[fields]
other_id = { type = "ref", to = "others", optional = true }
-- others
[fields]
one_id = { type = "ref", to = "ones", optional = true }
"#,
        steps: &[
            "drop the table coaches",
            "drop the table players",
            "drop the table teams",
            "drop the index fans_team_id_idx of fans",
            "create the table others (2 columns)",
            "create the table ones (2 columns)",
            "stop fans.team_id referring to teams",
            "add the column fans.name (text, default \"?\")",
            "add the column fans.one_id (uuid, optional)",
            "drop the column fans.team_id",
            "make fans.one_id refer to ones",
            "create the index fans_one_id_idx on fans (one_id)",
            "create the index ones_other_id_idx on ones (other_id)",
            "create the index others_one_id_idx on others (one_id)",
        ],
        query: "SELECT * FROM fans",
        rows: &["1|?|null"],
    });
}
