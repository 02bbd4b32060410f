//! The life of examples/blog as committed migrations, with rows in it, through the real binary on each store: something is added, tightened,
//! renamed, split, dropped. What a person reviews (steps, findings, SQL per store) stands beside this file in `expected/`.
//!
//! `UNDERGIRD_BLESS=1` writes the expected files anew; read the diff. Absent: kills and side-by-side nodes (`migrating.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use support::databases::On;
use support::migrated::App;
use support::{Folder, Running};

on_each_store!(a_blog_lives);

/// A committed change.
struct Change {
    title: &'static str,
    /// Texts of the definition: the file, what it says, what it says from now on.
    models: &'static [(&'static str, &'static str, &'static str)],
    /// Texts of `steps.toml`: what was planned, and what a person makes of it.
    steps: &'static [(&'static str, &'static str)],
    /// What `plan` finds that must be mended or accepted.
    stopped: &'static [&'static str],
    /// What rows that are there make of it first, and the steps that mend that.
    refused: Option<(&'static str, (&'static str, &'static str))>,
    /// What `undo` says: that it is done, or why not.
    undo: Result<(), &'static str>,
}

const LIFE: &[Change] = &[
    Change {
        title: "0002_add",
        models: &[
            (
                "posts",
                "created_at   =",
                "reading_minutes = { type = \"int\", optional = true, min = 1 }\n\
                 summary      = { type = \"text\", max = 300, default = \"\" }\n\
                 series_id    = { type = \"ref\", to = \"series\", optional = true, on_delete = \"set_null\" }\ncreated_at   =",
            ),
            (
                "series",
                "",
                "[fields]\ntitle = { type = \"text\", min = 1, max = 200, unique = true }\n[access]\nread = \"true\"\n",
            ),
        ],
        steps: &[
            ("\n[[step]]", "phase = \"expand\"\n\n[[step]]"),
            (
                "",
                "\n[[step]]\nbackfill = \"posts\"\nabout = \"minutes from the length\"\nset.reading_minutes.sqlite = \"1 + length(body) / 10\"\n\
                 set.reading_minutes.postgres = \"1 + length(body) / 10\"\n\
                 set.reading_minutes.mysql = \"1 + char_length(body) DIV 10\"\n\
                 where = \"reading_minutes IS NULL\"\nbatch = 2\nundo = \"\"\n",
            ),
        ],
        stopped: &[],
        refused: None,
        undo: Ok(()),
    },
    Change {
        title: "0003_tighten",
        models: &[
            ("posts", "\"int\", optional = true, min = 1", "\"int\", min = 1, max = 600"),
            ("comments", "max = 5000", "max = 20"),
            ("users", "type = \"email\", optional = true", "type = \"email\", unique = true, optional = true"),
        ],
        steps: &[],
        stopped: &[],
        refused: Some((
            "comments",
            (
                "# {drop_check}",
                "[[step]]\nabout = \"what is too long is cut\"\nsql = \"UPDATE comments SET body = substr(body, 1, 20)\"\nundo = \"\"\n\n",
            ),
        )),
        undo: Ok(()),
    },
    Change {
        title: "0004_rename",
        models: &[
            ("posts", "body         = {", "content      = { renamed_from = \"body\","),
            ("posts", "size(body)", "size(content)"),
            ("comments", "body       = {", "text       = { renamed_from = \"body\","),
            ("series", "[fields]", "table = \"columns\"\n[fields]"),
        ],
        steps: &[
            (
                "rename_column = \"posts.body\"\n",
                "rename_column = \"posts.body\"\naccept.breaks-clients = \"released as version 2\"\n",
            ),
            (
                "rename_column = \"comments.body\"\n",
                "rename_column = \"comments.body\"\naccept.breaks-clients = \"released as version 2\"\n",
            ),
        ],
        stopped: &[
            "error breaks-clients: posts.body is called content",
            "error breaks-clients: comments.body is called text",
        ],
        refused: None,
        undo: Ok(()),
    },
    Change {
        title: "0005_split",
        models: &[
            (
                "users",
                "name       = { type = \"text\", min = 1, max = 100, default = \"Somebody\", description = \"How they are shown.\" }",
                "given_name  = { type = \"text\", min = 1, max = 100, default = \"Somebody\" }\n\
                 family_name = { type = \"text\", max = 100, default = \"\" }",
            ),
            ("posts", "\"draft\", \"published\"]", "\"draft\", \"published\", \"archived\"]"),
        ],
        steps: &[
            (
                "\n[[step]]\n# drop the column users.name",
                "\n[[step]]\nbackfill = \"users\"\nabout = \"the name's two parts\"\n\
                 set.given_name.sqlite = \"substr(name, 1, instr(name || ' ', ' ') - 1)\"\n\
                 set.given_name.postgres = \"split_part(name, ' ', 1)\"\n\
                 set.given_name.mysql = \"substring_index(name, ' ', 1)\"\n\
                 set.family_name.sqlite = \"substr(name, instr(name || ' ', ' ') + 1)\"\n\
                 set.family_name.postgres = \"substr(name, strpos(name || ' ', ' ') + 1)\"\n\
                 set.family_name.mysql = \"substr(name, locate(' ', concat(name, ' ')) + 1)\"\n\
                 \n[[step]]\n# drop the column users.name",
            ),
            (
                "drop_column = \"users.name\"\n",
                "drop_column = \"users.name\"\naccept.data-loss = \"both parts are kept\"\naccept.breaks-clients = \"released as version 3\"\n",
            ),
            (
                "",
                "\n[[step]]\nabout = \"what is old goes to the archive\"\n\
                 sql = \"UPDATE posts SET status = 'archived' WHERE title = 'Third'\"\nundo = \"UPDATE posts SET status = 'draft' WHERE status = 'archived'\"\n",
            ),
        ],
        stopped: &["error data-loss: every value of users.name", "error breaks-clients: users.name"],
        refused: None,
        undo: Err("every value of users.name"),
    },
    Change {
        title: "0006_drop",
        models: &[
            ("users", "avatar_url = { type = \"url\", optional = true }\n", ""),
            (
                "comments",
                "{ type = \"ref\", to = \"users\", on_delete = \"cascade\", default",
                "{ type = \"ref\", to = \"users\", on_delete = \"set_null\", optional = true, default",
            ),
            ("posts", "fields = [\"status\", \"-created_at\"]", "fields = [\"author_id\", \"-created_at\"]"),
            ("posts", "\"draft\", \"published\", \"archived\"]", "\"draft\", \"published\"]"),
        ],
        steps: &[
            (
                "drop_column = \"users.avatar_url\"\n",
                "drop_column = \"users.avatar_url\"\naccept.data-loss = \"nobody had one\"\naccept.breaks-clients = \"released as version 4\"\n",
            ),
            (
                "# {first}",
                "[[step]]\nabout = \"the archive is no state any more\"\n\
                 sql = \"UPDATE posts SET status = 'draft' WHERE status = 'archived'\"\nundo = \"\"\n\n",
            ),
        ],
        stopped: &["error data-loss: every value of users.avatar_url"],
        refused: None,
        undo: Err("every value of users.avatar_url"),
    },
];

impl App {
    fn call(&self, running: &Running, method: &str, target: &str, body: &Value) -> Value {
        let bearer = format!("Bearer {}", self.secret);
        let headers = [
            ("apikey", self.secret.as_str()),
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("prefer", "return=representation"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = running.send(method, target, &headers, body.as_bytes());
        assert!(answer.status < 300, "{method} {target} on {}: {} {}", self.store, answer.status, answer.text());
        answer.json()
    }

    fn change(&self, title: &str, from: &str, to: &str) {
        let file = format!("migrations/{title}/steps.toml");
        let text = self.folder.read(&file);
        let text = match from {
            "" => text + to,
            // Before everything else.
            "# {first}" | "# {drop_check}" => text.replacen("[[step]]", &format!("{to}[[step]]"), 1),
            from => {
                assert!(text.contains(from), "no {from:?} in\n{text}");
                text.replacen(from, to, 1)
            }
        };
        self.folder.write(&file, &text);
    }

    /// The rows of people's tables, but for names of columns that a test of rows must not depend on.
    fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let mut tables = self.database.dump(&self.folder.0);
        tables.retain(|table, _| !table.contains("_undergird") && !table.contains("sqlite_"));
        tables
    }
}

/// Compares with a file, or writes it. What each store's run finds is the same.
fn expect(title: &str, file: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/life/expected").join(title);
    let path = folder.join(file);
    if std::env::var_os("UNDERGIRD_BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, expected, "{title}/{file}:{} (UNDERGIRD_BLESS=1 accepts)", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{title}/{file}");
}

const STORES: [&str; 6] = ["--store", "sqlite", "--store", "postgres", "--store", "mysql"];

fn commit(app: &App, change: &Change) {
    let title = change.title;
    for (file, from, to) in change.models {
        let path = format!("models/{file}.toml");
        if from.is_empty() {
            app.folder.write(&path, to);
            continue;
        }
        let text = app.folder.read(&path);
        assert!(text.contains(from), "{title}: no {from:?} in\n{text}");
        app.folder.write(&path, &text.replacen(from, to, 1));
    }
    let name = &title[5..];
    let said = app.migrate(&[&["plan", "--name", name][..], &STORES].concat(), 0, &["Wrote"]);
    for words in change.stopped {
        assert!(said.contains(words), "{title}: no {words:?} in\n{said}");
    }
    assert_eq!(said.matches(": error ").count() > 0, !change.stopped.is_empty(), "{title}\n{said}");
    if !change.stopped.is_empty() {
        app.migrate(&["apply"], 1, &["nothing was applied"]);
    }
    for (from, to) in change.steps {
        app.change(title, from, to);
    }
    let before = app.rows();
    if let Some((words, (from, to))) = change.refused {
        app.migrate(&["apply"], 1, &["was not applied", words]);
        assert_eq!(app.rows(), before, "{title}: what was refused changed rows");
        app.change(title, from, to);
    }
    app.migrate(&[&["lint", "--write-sql"][..], &STORES].concat(), 0, &[]);
    let number = title[..4].trim_start_matches('0');
    let lint = app.migrate(&[&["lint", "--since", number][..], &STORES].concat(), 0, &[]);
    expect(title, "lint.txt", &lint);
    for file in ["steps.toml", "sqlite.sql", "postgres.sql", "mysql.sql"] {
        expect(title, file, &app.folder.read(&format!("migrations/{title}/{file}")));
    }
    app.migrate(&["status"], 1, &[&format!("pending      {title}")]);
    app.migrate(&["apply"], 0, &[&format!("{title}: applied")]);
    app.migrate(&["status"], 0, &[&format!("applied      {title}")]);
    match change.undo {
        Err(why) => drop(app.migrate(&["undo", "--accept-data-loss"], 1, &["cannot be taken back", why])),
        Ok(()) => {
            let after = app.rows();
            app.migrate(&["undo", "--accept-data-loss"], 0, &[&format!("{title}: taken back")]);
            if change.refused.is_none() {
                assert_eq!(app.rows(), before, "{title}: taken back");
            }
            app.migrate(&["apply"], 0, &[&format!("{title}: applied")]);
            assert_eq!(app.rows(), after, "{title}: applied again");
        }
    }
}

async fn a_blog_lives(on: On) {
    let Some(app) = App::of(on, Folder::example("blog")) else { return };
    app.plan("initial");
    app.migrate(&["apply"], 0, &["0001_initial: applied"]);
    let running = app.serve();
    let people: Vec<String> = ["Ada Lovelace", "Grace", "Jean Le Rond"]
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let made =
                app.call(&running, "POST", "/auth/v1/admin/users", &json!({"email": format!("p{number}@blog.test")}));
            let id = made["id"].as_str().unwrap().to_owned();
            app.call(&running, "PATCH", &format!("/rest/v1/users?id=eq.{id}"), &json!({"name": name}));
            id
        })
        .collect();
    let posts = ["First", "Second", "Third", "Fourth", "Fifth"].map(|title| {
        json!({"title": title, "slug": title.to_lowercase(), "body": title.repeat(5), "status": "published", "author_id": people[0]})
    });
    let posts = app.call(&running, "POST", "/rest/v1/posts", &json!(posts));
    let comments = posts.as_array().unwrap().iter().map(|post| {
        json!({"post_id": post["id"], "author_id": people[1], "body": format!("A word about {}, and more", post["title"])})
    });
    app.call(&running, "POST", "/rest/v1/comments", &json!(comments.collect::<Vec<_>>()));
    let tags = app.call(&running, "POST", "/rest/v1/tags", &json!([{"name": "rust"}, {"name": "databases"}]));
    app.call(&running, "POST", "/rest/v1/post_tags", &json!([{"post_id": posts[0]["id"], "tag_id": tags[0]["id"]}]));
    running.stop();

    for change in LIFE {
        commit(&app, change);
    }

    let running = app.serve();
    let posts = app.call(
        &running,
        "GET",
        "/rest/v1/posts?select=title,content,status,reading_minutes,summary,series_id&order=title",
        &Value::Null,
    );
    let post = |title: &str, status: &str, minutes: u32| json!({"title": title, "content": title.repeat(5), "status": status, "reading_minutes": minutes, "summary": "", "series_id": null});
    assert_eq!(
        posts,
        json!([
            post("Fifth", "published", 3),
            post("First", "published", 3),
            post("Fourth", "published", 4),
            post("Second", "published", 4),
            post("Third", "draft", 3)
        ]),
        "{}",
        app.store
    );
    let people =
        app.call(&running, "GET", "/rest/v1/users?select=given_name,family_name,email&order=given_name", &Value::Null);
    assert_eq!(
        people,
        json!([
            {"given_name": "Ada", "family_name": "Lovelace", "email": "p0@blog.test"},
            {"given_name": "Grace", "family_name": "", "email": "p1@blog.test"},
            {"given_name": "Jean", "family_name": "Le Rond", "email": "p2@blog.test"}
        ])
    );
    let comments = app.call(
        &running,
        "GET",
        "/rest/v1/comments?select=text,post:posts(title,tags(name))&order=text",
        &Value::Null,
    );
    assert_eq!(comments.as_array().unwrap().len(), 5);
    assert_eq!(
        comments[1],
        json!({"text": "A word about \"First\"", "post": {"title": "First", "tags": [{"name": "rust"}]}})
    );
    // A ref that lets go now where it took the row with it.
    let id = app.call(&running, "GET", "/rest/v1/users?select=id&given_name=eq.Grace", &Value::Null)[0]["id"].clone();
    app.call(&running, "DELETE", &format!("/rest/v1/users?id=eq.{}", id.as_str().unwrap()), &Value::Null);
    let left = app.call(&running, "GET", "/rest/v1/comments?select=author_id", &Value::Null);
    assert_eq!(left, json!(vec![json!({"author_id": null}); 5]), "{}", app.store);
    running.stop();
    app.migrate(&["plan"], 0, &["Nothing changed"]);
}
