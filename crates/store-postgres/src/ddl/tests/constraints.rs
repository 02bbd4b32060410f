//! The DDL of a blog word for word, what it refuses and under which names, and that a check means what its rule means.

use super::server::connect;
use super::*;
use undergird_model::{Decimal, Value};
use undergird_store::ConstraintKind;

const BLOG: &str = r#"
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
labels = { type = "list", of = "text", max = 10, default = ["it's", "\\ \"b\""] }
extra = { type = "json", optional = true, default = { a = [1, "x"] } }
digest = { type = "bytes", max = 32, optional = true }
day = { type = "date", optional = true, default = "2026-01-02" }
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
-- events
[fields]
id = { type = "int" }
what = { type = "text" }
"#;

#[test]
fn the_blog_in_words_of_postgresql() {
    let blog = schema(BLOG);
    let text = statements(&steps(None, &blog), &blog).join(";\n");
    insta::assert_snapshot!(text, @r#"
    CREATE TABLE "users" (
      "id" uuid NOT NULL,
      "name" text COLLATE "C" NOT NULL,
      "email" text COLLATE "C" NOT NULL,
      CONSTRAINT "users_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "users_email_max" CHECK (char_length("email") <= 254),
      CONSTRAINT "users_name_max" CHECK (char_length("name") <= 80),
      CONSTRAINT "users_name_min" CHECK (char_length("name") >= 1)
    );
    CREATE TABLE "tags" (
      "name" text COLLATE "C" NOT NULL,
      CONSTRAINT "tags_pkey" PRIMARY KEY ("name")
    );
    CREATE TABLE "posts" (
      "id" uuid NOT NULL,
      "title" text COLLATE "C" NOT NULL,
      "slug" text COLLATE "C" NOT NULL,
      "body" text COLLATE "C" NOT NULL DEFAULT '',
      "status" text COLLATE "C" NOT NULL DEFAULT 'draft',
      "pinned" boolean NOT NULL DEFAULT FALSE,
      "price" numeric(8,2) NOT NULL DEFAULT 0.00,
      "rating" double precision,
      "labels" text[] COLLATE "C" NOT NULL DEFAULT ARRAY['it''s', '\ "b"']::text[],
      "extra" jsonb DEFAULT '{"a":[1,"x"]}'::jsonb,
      "digest" bytea,
      "day" date DEFAULT '2026-01-02'::date,
      "hour" time,
      "author_id" uuid NOT NULL,
      "editor_id" uuid,
      "published_at" timestamptz,
      "created_at" timestamptz NOT NULL,
      CONSTRAINT "posts_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "posts_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON DELETE CASCADE,
      CONSTRAINT "posts_editor_id_fkey" FOREIGN KEY ("editor_id") REFERENCES "users" ("id") ON DELETE SET NULL,
      CONSTRAINT "posts_price_decimal" CHECK ("price" <> 'NaN'::numeric),
      CONSTRAINT "posts_rating_float" CHECK ("rating" > '-Infinity'::double precision AND "rating" < 'Infinity'::double precision),
      CONSTRAINT "posts_labels_list" CHECK (CASE WHEN coalesce(array_ndims("labels"), 1) = 1 THEN array_position("labels", NULL) IS NULL AND coalesce(array_lower("labels", 1), 1) = 1 ELSE FALSE END),
      CONSTRAINT "posts_day_date" CHECK ("day" >= '0001-01-01'::date AND "day" <= '9999-12-31'::date),
      CONSTRAINT "posts_hour_time" CHECK ("hour" < '24:00:00'::time),
      CONSTRAINT "posts_published_at_timestamp" CHECK ("published_at" >= '0001-01-01 00:00:00+00'::timestamptz AND "published_at" <= '9999-12-31 23:59:59.999999+00'::timestamptz),
      CONSTRAINT "posts_created_at_timestamp" CHECK ("created_at" >= '0001-01-01 00:00:00+00'::timestamptz AND "created_at" <= '9999-12-31 23:59:59.999999+00'::timestamptz),
      CONSTRAINT "posts_check_1" CHECK (NOT ("status" IS NOT DISTINCT FROM 'published') OR (char_length("body") > 0) IS TRUE),
      CONSTRAINT "posts_check_2" CHECK ("rating" IS NULL OR ("rating" > 0.5) IS TRUE OR "pinned" IS TRUE),
      CONSTRAINT "posts_digest_max" CHECK (octet_length("digest") <= 32),
      CONSTRAINT "posts_labels_max" CHECK (cardinality("labels") <= 10),
      CONSTRAINT "posts_price_min" CHECK ("price" >= 0.00),
      CONSTRAINT "posts_rating_max" CHECK ("rating" <= 5.0),
      CONSTRAINT "posts_status_values" CHECK ("status" IN ('draft', 'published')),
      CONSTRAINT "posts_title_max" CHECK (char_length("title") <= 200),
      CONSTRAINT "posts_title_min" CHECK (char_length("title") >= 1)
    );
    CREATE TABLE "post_tags" (
      "post_id" uuid NOT NULL,
      "tag_name" text COLLATE "C" NOT NULL,
      CONSTRAINT "post_tags_pkey" PRIMARY KEY ("post_id", "tag_name"),
      CONSTRAINT "post_tags_post_id_fkey" FOREIGN KEY ("post_id") REFERENCES "posts" ("id") ON DELETE CASCADE,
      CONSTRAINT "post_tags_tag_name_fkey" FOREIGN KEY ("tag_name") REFERENCES "tags" ("name") ON DELETE NO ACTION
    );
    CREATE TABLE "events" (
      "id" bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,
      "what" text COLLATE "C" NOT NULL,
      CONSTRAINT "events_pkey" PRIMARY KEY ("id")
    );
    DO $undergird$BEGIN EXECUTE format('CREATE TRIGGER "_undergird_identity" BEFORE INSERT OR UPDATE OF "id" ON "events" FOR EACH ROW WHEN (NEW."id" > coalesce(pg_sequence_last_value(%L::regclass), 0)) EXECUTE FUNCTION undergird.identity_follows()', pg_get_serial_sequence('"events"', 'id')); END$undergird$;
    CREATE INDEX "post_tags_tag_name_idx" ON "post_tags" ("tag_name", "post_id");
    CREATE INDEX "posts_author_id_created_at_idx" ON "posts" ("author_id", "created_at" DESC, "id");
    CREATE INDEX "posts_editor_id_idx" ON "posts" ("editor_id", "id");
    CREATE UNIQUE INDEX "posts_slug_key" ON "posts" ("slug");
    CREATE INDEX "posts_status_created_at_idx" ON "posts" ("status", "created_at" DESC, "id");
    CREATE UNIQUE INDEX "users_email_key" ON "users" ("email")
    "#);
}

#[test]
fn a_refused_write_says_which_constraint_and_columns() {
    use ConstraintKind::{Check, ForeignKey, NotNull, Unique};
    let blog = schema(BLOG);
    on_server(async |server| {
        let Database { mut client, .. } = server.database().await;
        lead(&mut client, &blog).await.unwrap();
        let id = "00112233-4455-6677-8899-aabbccddeeff";
        client
            .batch_execute(&format!(
                "INSERT INTO users VALUES ('{id}', 'Ada', 'ada@example.org'); \
                 INSERT INTO posts (id, title, slug, author_id, created_at) VALUES ('{id}', 'T', 'taken', '{id}', now())"
            ))
            .await
            .unwrap();
        let defaults = "SELECT body, status, pinned, price, labels, extra, day FROM posts";
        assert_eq!(rows(&client, defaults).await, [r#"|draft|f|0.00|{it's,"\\ \"b\""}|{"a": [1, "x"]}|2026-01-02"#]);
        for (column, value, refusal) in [
            ("status", "'draft'", None),
            ("status, body", "'published', 'b'", None),
            ("status", "'published'", Some((Check, Some("posts_check_1"), &[][..]))),
            ("status", "'gone'", Some((Check, Some("posts_status_values"), &["status"]))),
            ("rating", "0.5", Some((Check, Some("posts_check_2"), &[]))),
            ("rating", "6", Some((Check, Some("posts_rating_max"), &["rating"]))),
            ("rating, pinned", "0.5, true", None),
            ("rating", "'NaN'", Some((Check, None, &["rating"]))),
            ("rating, pinned", "'-Infinity', true", Some((Check, None, &["rating"]))),
            ("price", "-1", Some((Check, Some("posts_price_min"), &["price"]))),
            ("price", "'NaN'", Some((Check, None, &["price"]))),
            (
                "labels",
                "ARRAY['1','2','3','4','5','6','7','8','9','10','11']",
                Some((Check, Some("posts_labels_max"), &["labels"])),
            ),
            ("labels", "ARRAY[NULL]::text[]", Some((Check, None, &["labels"]))),
            ("labels", "ARRAY[ARRAY['x']]", Some((Check, None, &["labels"]))),
            ("labels", "'[0:0]={x}'", Some((Check, None, &["labels"]))),
            ("labels", "'{}'", None),
            ("digest", "decode(repeat('00', 33), 'hex')", Some((Check, Some("posts_digest_max"), &["digest"]))),
            ("day", "'infinity'", Some((Check, None, &["day"]))),
            ("day", "'0001-01-01 BC'", Some((Check, None, &["day"]))),
            ("hour", "'24:00'", Some((Check, None, &["hour"]))),
            ("published_at", "'infinity'", Some((Check, None, &["published_at"]))),
            ("published_at", "'10000-01-01 00:00Z'", Some((Check, None, &["published_at"]))),
            ("published_at", "'2000-01-01 00:00Z'", None),
            (
                "editor_id",
                "'00000000-0000-0000-0000-000000000000'",
                Some((ForeignKey, Some("posts_editor_id_fkey"), &["editor_id"])),
            ),
            ("body", "NULL", Some((NotNull, None, &["body"]))),
            ("slug", "'taken'", Some((Unique, Some("posts_slug_key"), &["slug"]))),
            ("id", "'00112233-4455-6677-8899-aabbccddeeff'", Some((Unique, None, &["id"]))),
        ] {
            let rest = [("id", "gen_random_uuid()"), ("slug", "gen_random_uuid()::text")];
            let rest: Vec<_> = rest.into_iter().filter(|(name, _)| *name != column).collect();
            let sql = format!(
                "INSERT INTO posts (title, author_id, created_at, {column}, {}) VALUES ('T', '{id}', now(), {value}, {})",
                rest.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
                rest.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(", "),
            );
            let told = match client.batch_execute(&sql).await {
                Ok(()) => None,
                Err(error) => Some(told(&blog, error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}")))),
            };
            let expected = refusal.map(|(kind, name, columns)| {
                (kind, name.map(str::to_owned), columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())
            });
            assert_eq!(told, expected, "{column} = {value}");
        }
        let gone = client.batch_execute("INSERT INTO tags VALUES ('x'); DELETE FROM users").await;
        gone.unwrap();
        assert_eq!(rows(&client, "SELECT count(*) FROM posts").await, ["0"], "they went with their author");
    });
}

/// A refusal in terms of the schema.
fn told(schema: &Applied, said: &tokio_postgres::error::DbError) -> (ConstraintKind, Option<String>, Vec<String>) {
    let kind = match said.code().code() {
        "23505" => ConstraintKind::Unique,
        "23503" => ConstraintKind::ForeignKey,
        "23514" => ConstraintKind::Check,
        "23502" => return (ConstraintKind::NotNull, None, said.column().map(str::to_owned).into_iter().collect()),
        other => panic!("{other}: {said}"),
    };
    let held = crate::introspect::held(schema, said.table().unwrap(), said.constraint().unwrap());
    let held = held.unwrap_or_else(|| panic!("{said:?}"));
    (kind, held.name, held.columns)
}

#[test]
fn a_number_is_never_given_twice() {
    on_server(async |server| {
        let Database { mut client, config } = server.database().await;
        lead(&mut client, &schema(NOTES)).await.unwrap();
        let next = "INSERT INTO notes (title) VALUES ('x') RETURNING id";
        for (by_hand, expected) in [
            ("SELECT 1", "1"),
            ("INSERT INTO notes (id, title) VALUES (2, 'by hand')", "3"),
            ("INSERT INTO notes (id, title) VALUES (-5, 'by hand')", "4"),
            ("INSERT INTO notes (id, title) VALUES (900, 'by hand')", "901"),
            ("INSERT INTO notes (id, title) VALUES (5000, 'by hand'); DELETE FROM notes", "5001"),
            ("UPDATE notes SET id = 6000", "6001"),
            ("BEGIN; INSERT INTO notes (id, title) VALUES (9000, 'by hand'); ROLLBACK", "9001"),
        ] {
            client.batch_execute(by_hand).await.unwrap();
            assert_eq!(rows(&client, next).await, [expected], "{by_hand}");
        }
        // Also after the column and the table got other names.
        let renamed = NOTES
            .replace("-- notes\n", "-- notes\ntable = \"Papers\"\n")
            .replace("id = {", "number = { renamed_from = \"id\",");
        let renamed = renamed.replace("[fields]", "key = \"number\"\n[fields]");
        lead(&mut client, &schema(&renamed)).await.unwrap();
        client.batch_execute("INSERT INTO \"Papers\" (number, title) VALUES (9500, 'by hand')").await.unwrap();
        assert_eq!(rows(&client, "INSERT INTO \"Papers\" (title) VALUES ('x') RETURNING number").await, ["9501"]);
        // Numbers by hand and by the database at the same time: each by hand takes one that is just due.
        let mut others = Vec::new();
        for by_hand in [true, false, true, false] {
            let client = connect(&config).await;
            others.push(tokio::spawn(async move {
                for _ in 0..100 {
                    let due = "INSERT INTO \"Papers\" (number, title) SELECT max(number) + 1, 'x' FROM \"Papers\" ON CONFLICT DO NOTHING";
                    let given = "INSERT INTO \"Papers\" (title) VALUES ('y')";
                    match client.batch_execute(if by_hand { due } else { given }).await {
                        Ok(()) => {}
                        // One who takes what is due may be faster than the one to whom it was given.
                        Err(error) => assert_eq!(error.code().unwrap().code(), "23505"),
                    }
                }
            }));
        }
        for other in others {
            other.await.unwrap();
        }
        let behind = "SELECT max(number) <= pg_sequence_last_value(pg_get_serial_sequence('\"Papers\"', 'number')) FROM \"Papers\"";
        assert_eq!(rows(&client, behind).await, ["t"]);
    });
}

#[test]
fn checks_mean_what_the_rules_mean() {
    use undergird_plan::evaluate::{Bindings, holds};
    use undergird_plan::{Caller, Moment};
    let rules = [
        "a == 'x'",
        "o == a",
        "o != a",
        "!(o == null) && n != 2",
        "n > 2",
        "!(n > 2)",
        "n <= 2.5 || flag",
        "n >= 9007199254740992.0",
        "n < 4611686018427387904.0",
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
        "a.upperAscii() >= 'X'",
        "flag == true && n == n",
        "n < f",
        "n >= f",
        "n == f",
        "f != n",
        "f <= n",
        "f > 9007199254740993",
        "f == 9007199254740993",
    ];
    let texts = ["", "x", "xy", "Yx", "é😀x"];
    let numbers = [None, Some(i64::MIN), Some(-1), Some(0), Some(2), Some(9_007_199_254_740_993), Some(i64::MAX)];
    let doubles = [None, Some(-1.5), Some(2.0), Some(9_007_199_254_740_992.0), Some(1e300), Some(-1e19), Some(0.5)];
    on_server(async |server| {
        let Database { client, .. } = server.database().await;
        let caller = Caller::visitor(Moment { now: 0, entropy: 0 });
        let mut compared = 0;
        for rule in rules {
            let text = format!(
                "[fields]\nid = {{ type = \"int\" }}\na = {{ type = \"text\" }}\no = {{ type = \"text\", optional = true }}\n\
                 n = {{ type = \"int\", optional = true }}\nflag = {{ type = \"bool\", optional = true }}\n\
                 price = {{ type = \"decimal\", precision = 5, scale = 2 }}\nf = {{ type = \"float\", optional = true }}\n\
                 [[checks]]\nrule = {rule:?}\nmessage = \".\"\nname = \"held\"\n"
            );
            let (model, diagnostics) =
                definition::check(&[Source { name: "models/t.toml".into(), text: text.into() }], &[]);
            let model = model.unwrap_or_else(|| panic!("{rule}: {diagnostics:#?}"));
            let expr = &model.find("t").unwrap().checks[0].rule.expr;
            let schema = wanted(&model);
            let check = schema.tables[0].checks.iter().find(|check| check.name == "held");
            let clause =
                crate::checks::clause(&schema.tables[0], check.unwrap_or_else(|| panic!("{rule} is not held")))
                    .unwrap();
            let test = clause.split_once("CHECK ").unwrap().1;
            // All rows in one query: what the check says about each.
            let mut values = Vec::new();
            let mut expected = Vec::new();
            for a in texts {
                for o in texts.map(Some).into_iter().chain([None]) {
                    for (at, n) in numbers.into_iter().enumerate() {
                        for (flag, shift) in [(None, 0), (Some(false), 1), (Some(true), 3)] {
                            let f = doubles[(at + shift + a.len()) % doubles.len()];
                            let price = n.unwrap_or(151).clamp(-99999, 99999);
                            let row = [
                                Value::Int(1),
                                Value::text(a),
                                o.map_or(Value::Null, Value::text),
                                n.map_or(Value::Null, Value::Int),
                                flag.map_or(Value::Null, Value::Bool),
                                Value::Decimal(Decimal { unscaled: price, scale: 2 }),
                                f.map_or(Value::Null, Value::float),
                            ];
                            let bindings = Bindings { caller: &caller, params: &[], input: &[] };
                            expected.push((holds(expr, bindings, &row).unwrap(), format!("{row:?}")));
                            let quoted =
                                |value: Option<String>| value.map_or("NULL".into(), |value| format!("'{value}'"));
                            values.push(format!(
                                "({}, '{a}', {}, {}::bigint, {}::boolean, {price} / 100.0, {}::double precision)",
                                values.len(),
                                quoted(o.map(str::to_owned)),
                                quoted(n.map(|n| n.to_string())),
                                quoted(flag.map(|flag| flag.to_string())),
                                quoted(f.map(|f| format!("{f:?}"))),
                            ));
                        }
                    }
                }
            }
            let sql = format!(
                "SELECT {test} FROM (SELECT id, a COLLATE \"C\" AS a, o COLLATE \"C\" AS o, n, flag, price::numeric(5,2), f FROM \
                 (VALUES {}) t(id, a, o, n, flag, price, f)) t ORDER BY id",
                values.join(", ")
            );
            let found = rows(&client, &sql).await;
            assert_eq!(found.len(), expected.len());
            for (found, (holds, row)) in found.iter().zip(expected) {
                assert_eq!(found, if holds { "t" } else { "f" }, "{rule} ({test}) on {row}");
                compared += 1;
            }
        }
        assert_eq!(compared, rules.len() * 5 * 6 * 7 * 3);
    });
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
        on_server(async |server| {
            let Database { mut client, .. } = server.database().await;
            let steps = lead(&mut client, &wanted(&model)).await.unwrap();
            assert!(steps.len() > model.collections.len(), "{steps:?}");
        });
    }
}
