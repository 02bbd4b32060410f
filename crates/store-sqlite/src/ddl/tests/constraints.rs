//! The DDL of a blog word for word, what it refuses, and that a check means what its rule means.

use super::*;
use undergird_model::{Decimal, Value};

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
      CONSTRAINT "users_email_max" CHECK (length("email") <= 254),
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

/// The definitions that people start from, with the collections of `auth` and `engine`.
#[test]
fn the_examples_have_a_schema() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = |folder: &str, called: &str| -> Vec<Source> {
        let mut found: Vec<Source> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| Source {
                name: format!("{called}{}", path.file_name().unwrap().to_string_lossy()).into(),
                text: std::fs::read_to_string(&path).unwrap().into(),
            })
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    };
    let system = [files("crates/auth/system", "system/"), files("crates/engine/system", "system/")].concat();
    for example in ["blog", "hostile"] {
        let sources =
            [files(&format!("examples/{example}"), ""), files(&format!("examples/{example}/models"), "models/")];
        let (model, diagnostics) = definition::check(&sources.concat(), &system);
        let model = model.unwrap_or_else(|| panic!("{example}: {diagnostics:#?}"));
        let mut connection = open();
        let steps = lead(&mut connection, &wanted(&model)).unwrap();
        assert!(steps.len() > model.collections.len(), "{steps:?}");
        for collection in &model.collections {
            let held: Vec<&str> = collection.checks.iter().map(|check| check.name.as_str()).collect();
            let sql = rows(&connection, &format!("SELECT sql FROM sqlite_schema WHERE name = '{}'", collection.table));
            assert!(held.iter().all(|check| sql[0].contains(check)), "{}: {held:?} in {sql:?}", collection.name);
        }
    }
}
