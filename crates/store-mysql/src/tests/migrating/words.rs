//! The DDL of a blog word for word, as both servers are given it.

use super::*;
use crate::ddl::script;
use crate::server::Server;
use undergird_model::{Decimal, Value};

fn ddl(server: &str, from: &Applied, to: &Applied) -> String {
    let steps = steps(Some(from), to);
    let lines = script(&Server::named(server), from, &steps, to).into_iter().flat_map(|taken| taken.lines);
    lines.map(|line| line.sql).collect::<Vec<_>>().join(";\n")
}

#[tokio::test]
async fn the_blog_in_words_of_the_server() {
    let blog = schema(
        r#"
-- users
[fields]
name = { type = "text", min = 1, max = 80 }
email = { type = "email", unique = true }
-- posts
[fields]
title = { type = "text", min = 1, max = 200 }
slug = { type = "text", pattern = "^[a-z0-9-]+$", max = 90, unique = true }
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
name = { type = "text", max = 40 }
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
    let text = ddl("10.11.19-MariaDB", &Applied::empty(), &blog);
    insta::assert_snapshot!(text, @r"
    CREATE TABLE `users` (
      `id` binary(16) NOT NULL,
      `name` varchar(80) NOT NULL,
      `email` varchar(254) NOT NULL,
      PRIMARY KEY (`id`),
      UNIQUE INDEX `users_email_key` (`email`),
      CONSTRAINT `users_email_max` CHECK (CHAR_LENGTH(`email`) <= 254),
      CONSTRAINT `users_name_max` CHECK (CHAR_LENGTH(`name`) <= 80),
      CONSTRAINT `users_name_min` CHECK (CHAR_LENGTH(`name`) >= 1)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;
    CREATE TABLE `tags` (
      `name` varchar(40) NOT NULL,
      PRIMARY KEY (`name`),
      CONSTRAINT `tags_name_max` CHECK (CHAR_LENGTH(`name`) <= 40)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;
    CREATE TABLE `posts` (
      `id` binary(16) NOT NULL,
      `title` varchar(200) NOT NULL,
      `slug` varchar(90) NOT NULL,
      `body` longtext NOT NULL DEFAULT (''),
      `status` varchar(9) NOT NULL DEFAULT ('draft'),
      `pinned` tinyint(1) NOT NULL DEFAULT (0),
      `price` decimal(8,2) NOT NULL DEFAULT (0.00),
      `rating` double NULL,
      `labels` longtext NOT NULL DEFAULT ('[]'),
      `extra` longtext NULL,
      `digest` longblob NULL,
      `day` date NULL,
      `hour` time(6) NULL,
      `author_id` binary(16) NOT NULL,
      `editor_id` binary(16) NULL,
      `published_at` datetime(6) NULL,
      `created_at` datetime(6) NOT NULL,
      PRIMARY KEY (`id`),
      INDEX `posts_author_id_created_at_idx` (`author_id`, `created_at` DESC),
      INDEX `posts_editor_id_idx` (`editor_id`),
      UNIQUE INDEX `posts_slug_key` (`slug`),
      INDEX `posts_status_created_at_idx` (`status`, `created_at` DESC),
      CONSTRAINT `posts_author_id_fkey` FOREIGN KEY (`author_id`) REFERENCES `users` (`id`) ON DELETE CASCADE,
      CONSTRAINT `posts_editor_id_fkey` FOREIGN KEY (`editor_id`) REFERENCES `users` (`id`) ON DELETE SET NULL,
      CONSTRAINT `posts_pinned_bool` CHECK (`pinned` IN (0, 1)),
      CONSTRAINT `posts_labels_list` CHECK (JSON_VALID(`labels`) AND LEFT(`labels`, 1) = '['),
      CONSTRAINT `posts_extra_json` CHECK (JSON_VALID(`extra`)),
      CONSTRAINT `posts_hour_time` CHECK (`hour` BETWEEN TIME'00:00:00' AND TIME'23:59:59.999999'),
      CONSTRAINT `posts_check_1` CHECK ((NOT (`status` <=> 'published')) OR ((CHAR_LENGTH(`body`) > 0) IS TRUE)),
      CONSTRAINT `posts_check_2` CHECK ((`rating` <=> NULL) OR ((`rating` > 0.5e0) IS TRUE) OR (`pinned` IS TRUE)),
      CONSTRAINT `posts_digest_max` CHECK (LENGTH(`digest`) <= 32),
      CONSTRAINT `posts_labels_max` CHECK (JSON_LENGTH(`labels`) <= 10),
      CONSTRAINT `posts_price_min` CHECK (`price` >= 0.00),
      CONSTRAINT `posts_rating_max` CHECK (`rating` <= 5.0e0),
      CONSTRAINT `posts_slug_max` CHECK (CHAR_LENGTH(`slug`) <= 90),
      CONSTRAINT `posts_status_values` CHECK (`status` IN ('draft', 'published')),
      CONSTRAINT `posts_title_max` CHECK (CHAR_LENGTH(`title`) <= 200),
      CONSTRAINT `posts_title_min` CHECK (CHAR_LENGTH(`title`) >= 1)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;
    CREATE TABLE `post_tags` (
      `post_id` binary(16) NOT NULL,
      `tag_name` varchar(40) NOT NULL,
      PRIMARY KEY (`post_id`, `tag_name`),
      INDEX `post_tags_tag_name_idx` (`tag_name`),
      CONSTRAINT `post_tags_post_id_fkey` FOREIGN KEY (`post_id`) REFERENCES `posts` (`id`) ON DELETE CASCADE,
      CONSTRAINT `post_tags_tag_name_fkey` FOREIGN KEY (`tag_name`) REFERENCES `tags` (`name`) ON DELETE NO ACTION
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;
    CREATE TABLE `follows` (
      `follower_id` binary(16) NOT NULL,
      `followed_id` binary(16) NOT NULL,
      PRIMARY KEY (`follower_id`, `followed_id`),
      INDEX `follows_followed_id_idx` (`followed_id`),
      CONSTRAINT `follows_followed_id_fkey` FOREIGN KEY (`followed_id`) REFERENCES `users` (`id`) ON DELETE CASCADE,
      CONSTRAINT `follows_follower_id_fkey` FOREIGN KEY (`follower_id`) REFERENCES `users` (`id`) ON DELETE CASCADE
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC;
    CREATE TABLE `events` (
      `id` bigint NOT NULL AUTO_INCREMENT,
      `what` longtext NOT NULL,
      PRIMARY KEY (`id`)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin ROW_FORMAT=DYNAMIC
    ");
    // What differs on MySQL: the collation, and no check about a column that a foreign key sets to null.
    let mysql = ddl("8.0.36", &Applied::empty(), &blog);
    assert_eq!(mysql, text.replace("utf8mb4_nopad_bin", "utf8mb4_0900_bin"));
    let Some(database) = database().await else { return };
    let store = database.open().await;
    lead(&store, &blog).await.unwrap();
    // What people are shown is what is run.
    let planned = steps(None, &blog);
    assert_eq!(store.describe(&planned, &blog).join(";\n"), text);
    lead(&store, &Applied::empty()).await.unwrap();
}

#[test]
fn a_change_shown_without_its_database() {
    let (before, after) = (
        schema(
            "-- notes\n[fields]\nid = { type = \"int\" }\na = { type = \"text\", max = 9 }\nb = { type = \"json\" }",
        ),
        schema(
            "-- notes\n[fields]\nid = { type = \"int\" }\nx = { type = \"text\", max = 900, renamed_from = \"a\" }\n\
             c = { type = \"json\", renamed_from = \"b\" }",
        ),
    );
    let planned = steps(Some(&before), &after);
    let origin = crate::ddl::state::origin(&planned, &after);
    let shown = script(&Server::named("8.0.36"), &origin, &planned, &after).into_iter().flat_map(|taken| taken.lines);
    let shown = shown.map(|line| line.sql).collect::<Vec<_>>().join(";\n");
    assert_eq!(shown, ddl("8.0.36", &before, &after));
    insta::assert_snapshot!(shown, @r"
    ALTER TABLE `notes` DROP CONSTRAINT `notes_a_max`, RENAME COLUMN `a` TO `x`, ADD CONSTRAINT `notes_a_max` CHECK (CHAR_LENGTH(`x`) <= 9);
    ALTER TABLE `notes` DROP CONSTRAINT `notes_b_json`, RENAME COLUMN `b` TO `c`, ADD CONSTRAINT `notes_c_json` CHECK (JSON_VALID(`c`));
    ALTER TABLE `notes` DROP CONSTRAINT `notes_a_max`;
    ALTER TABLE `notes` MODIFY COLUMN `x` longtext NOT NULL, ADD CONSTRAINT `notes_x_max` CHECK (CHAR_LENGTH(`x`) <= 900)
    ");
}

#[tokio::test]
async fn checks_mean_what_the_rules_mean() {
    use undergird_plan::evaluate::{Bindings, holds};
    use undergird_plan::{Caller, Moment};
    let caller = Caller::visitor(Moment { now: 0, entropy: 0 });
    let texts = ["", "x", "xy", "Yx", "é😀x"];
    let numbers = [None, Some(i64::MIN), Some(-1), Some(0), Some(2), Some(9_007_199_254_740_993), Some(i64::MAX)];
    let mut compared = 0;
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let mut conn = Conn::from_url(&database.url).await.unwrap();
    conn.query_drop(Server::named("10.11.19-MariaDB").settings(5, None)).await.unwrap();
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
        lead(&store, &schema).await.unwrap();
        let insert = conn.prep("INSERT INTO t (a, o, n, flag, price) VALUES (?, ?, ?, ?, ?)").await.unwrap();
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
                        let number = price_text(price);
                        let held = conn.exec_drop(&insert, (a, o, n, flag, number)).await.is_ok();
                        assert_eq!(held, holds(expr, bindings, &row).unwrap(), "{rule} on {row:?}");
                        compared += 1;
                    }
                }
            }
        }
        lead(&store, &Applied::empty()).await.unwrap();
    }
    conn.disconnect().await.unwrap();
    assert_eq!(compared, 24 * 5 * 6 * 7 * 3);
}

/// The definitions that people start from, with the collections of `auth` and `engine`.
#[tokio::test]
async fn the_examples_have_a_schema() {
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
    {
        let example = "blog";
        let sources =
            [files(&format!("examples/{example}"), ""), files(&format!("examples/{example}/models"), "models/")];
        let (model, diagnostics) = definition::check(&sources.concat(), &system);
        let model = model.unwrap_or_else(|| panic!("{example}: {diagnostics:#?}"));
        let Some(database) = database().await else { return };
        let store = database.open().await;
        let steps = lead(&store, &wanted(&model)).await.unwrap();
        assert!(steps.len() > model.collections.len(), "{steps:?}");
    }
}

fn price_text(unscaled: i64) -> String {
    Decimal { unscaled, scale: 2 }.to_string()
}
