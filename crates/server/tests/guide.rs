//! docs/changing-a-model.md, run: its commands in order, and every example of `steps.toml` in migrations that are applied.
//!
//! Absent: the other guides, which `adopt` and `moving` run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::json;
use std::path::Path;
use support::databases::On;
use support::migrated::App;
use support::{Folder, Running};

const POSTS: &str = "[fields]\ntitle = { type = \"text\" }\nsubtitle = { type = \"text\", default = \"\" }\n[access]\nread = \"false\"\n";

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/changing-a-model.md")).unwrap()
}

/// The page's examples of TOML, without the spaces in front of those in a list.
fn examples(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(before) = line.strip_suffix("```toml") else { continue };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks.push(block.map(|line| line.strip_prefix(before).unwrap_or(line).to_owned() + "\n").collect());
    }
    blocks
}

fn app() -> App {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.join("models")).unwrap();
    folder.write("undergird.toml", "name = \"guide\"\n");
    folder.write("models/posts.toml", POSTS);
    let app = App::of(On::Sqlite, folder).unwrap();
    app.plan("initial");
    app.migrate(&["apply"], 0, &["0001_initial: applied"]);
    let running = app.serve();
    let headers = [("apikey", app.secret.as_str()), ("content-type", "application/json")];
    let rows = json!([{"title": "One Two"}, {"title": "Three"}]).to_string();
    assert_eq!(running.send("POST", "/rest/v1/posts", &headers, rows.as_bytes()).status, 201);
    running.stop();
    app
}

fn slugs(app: &App, running: &Running) -> serde_json::Value {
    running.send("GET", "/rest/v1/posts?select=slug&order=slug", &[("apikey", &app.secret)], b"").json()
}

#[test]
fn the_commands_run_as_they_stand() {
    let page = page();
    let commands: Vec<Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("    undergird "))
        .map(|line| line.split('#').next().unwrap().split_whitespace().collect())
        .collect();
    let wanted: [(&str, i32, &str); 7] = [
        ("plan --name add_slug", 0, "0002_add_slug"),
        ("lint", 0, "nothing to stop them"),
        ("apply", 0, "0002_add_slug: applied"),
        ("status", 0, "applied      0002_add_slug"),
        ("plan --split", 0, "Nothing changed"),
        ("undo", 1, "--accept-data-loss"),
        ("plan --split --name slugs", 0, "0004_slugs_fill"),
    ];
    assert_eq!(commands.len(), wanted.len(), "the page has other commands than this test knows: {commands:?}");
    let app = app();
    app.folder.write(
        "models/posts.toml",
        &POSTS.replace("[access]", "slug = { type = \"text\", optional = true }\n[access]"),
    );
    for (command, (words, code, said)) in commands.iter().zip(wanted) {
        assert_eq!(command[1..].join(" "), words);
        if command.contains(&"slugs") {
            // What the last one is about: a field that gets another name and must be given.
            let model = app.folder.read("models/posts.toml");
            let now = "permalink = { type = \"text\", renamed_from = \"slug\" }";
            app.folder.write("models/posts.toml", &model.replace("slug = { type = \"text\", optional = true }", now));
        }
        app.run(command, code, &[said]);
    }
    for title in ["0003_slugs_expand", "0004_slugs_fill", "0005_slugs_contract"] {
        assert!(app.folder.0.join("migrations").join(title).is_dir(), "{title}");
    }
}

#[test]
fn the_examples_are_applied() {
    let page = page();
    let blocks = examples(&page);
    let [step, by_hand, backfill, required, accepted] = blocks.as_slice() else {
        panic!("the page has other examples than this test knows: {blocks:#?}");
    };
    let app = app();
    app.folder.write(
        "models/posts.toml",
        &POSTS.replace("subtitle = { type = \"text\", default = \"\" }", "slug = { type = \"text\" }"),
    );
    let said = app.plan("add_slug");
    // The step as it is planned, with its finding.
    let planned = app.folder.read("migrations/0002_add_slug/steps.toml");
    let lines: Vec<&str> = step.lines().filter(|line| !line.starts_with("# sqlite:")).collect();
    for line in lines {
        assert!(planned.contains(line), "no {line:?} in\n{planned}\n{said}");
    }
    // The column is optional at first; then the backfill, then the two ways of SQL by hand, then it is required.
    let at = required.find("\n[[step]]").unwrap() + 1;
    let (first, rest) = required.split_at(at);
    app.folder
        .write("migrations/0002_add_slug/steps.toml", &format!("{first}\n{backfill}\n{by_hand}\n{rest}\n{accepted}"));
    app.migrate(&["lint", "--write-sql"], 0, &["because: exported to s3"]);
    app.migrate(&["apply"], 0, &["0002_add_slug: applied"]);
    app.migrate(&["status"], 0, &[]);
    let running = app.serve();
    assert_eq!(slugs(&app, &running), json!([{"slug": "one-two"}, {"slug": "three"}]));
    running.stop();
}
