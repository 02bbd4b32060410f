//! Committed migrations through the real binary, on each store: planned, judged, edited, applied, taken back; by four processes at once;
//! killed on the way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use support::databases::On;
use support::migrated::App;
use support::{Folder, Running, said, undergird};

on_each_store!(
    a_life_in_migrations,
    four_processes_apply_at_once,
    a_killed_migration_goes_on,
    a_shaped_database_is_noted,
    a_backfill_goes_on_where_it_was_killed,
    nodes_of_two_definitions_serve_side_by_side,
    an_unsafe_change_comes_in_three,
);

const NOTES: &str = r#"
[fields]
title = { type = "text", max = 200 }
body = { type = "text", default = "" }
[access]
read = "false"
create = "true"
"#;

impl App {
    fn new(on: On) -> Option<App> {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        folder.write("undergird.toml", "name = \"notes\"\n");
        folder.write("models/notes.toml", NOTES);
        App::of(on, folder)
    }

    fn post(&self, running: &Running, rows: &Value) {
        let headers = [("apikey", self.secret.as_str()), ("content-type", "application/json")];
        let answer = running.send("POST", "/rest/v1/notes", &headers, rows.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    fn get(&self, running: &Running, query: &str) -> Value {
        running.send("GET", &format!("/rest/v1/notes?{query}"), &[("apikey", &self.secret)], b"").json()
    }
}

async fn a_life_in_migrations(on: On) {
    let Some(app) = App::new(on) else { return };
    app.migrate(&["apply"], 1, &["migrate plan"]);
    let said = app.plan("initial");
    assert!(said.contains("create the table notes") && said.contains("notes becomes creatable by everybody"), "{said}");
    let sql = app.folder.read(&format!("migrations/0001_initial/{}.sql", app.store));
    assert!(sql.contains("CREATE TABLE"), "{sql}");
    app.migrate(&["plan"], 0, &["Nothing changed"]);
    app.migrate(&["lint"], 0, &["1 migrations"]);
    app.run(&["serve"], 1, &["behind", "0001_initial", "undergird migrate apply"]);
    app.migrate(&["status"], 1, &["pending      0001_initial"]);
    app.migrate(&["apply"], 0, &["0001_initial: applied"]);
    app.migrate(&["apply"], 0, &["all migrations"]);
    app.migrate(&["status"], 0, &["applied      0001_initial"]);
    app.migrate(&[], 1, &["commits its migrations"]);
    let running = app.serve();
    app.post(&running, &json!([{"title": "one", "body": "1"}, {"title": "two", "body": "2"}]));
    running.stop();

    // A rename, a required field filled on the way, a field that goes, a rule.
    app.folder.write(
        "models/notes.toml",
        &NOTES
            .replace("title = {", "heading = { renamed_from = \"title\",")
            .replace(
                "body = { type = \"text\", default = \"\" }",
                "slug = { type = \"text\", max = 300, unique = true }",
            )
            .replace("read = \"false\"", "read = \"true\""),
    );
    app.run(&["serve"], 1, &["migrate plan"]);
    app.migrate(&["lint"], 1, &["unplanned"]);
    let said = app.plan("slugs");
    for words in [
        "rename the column notes.title to heading",
        "notes becomes readable by everybody (before: nobody)",
        "error breaks-clients: notes.title is called heading",
        "error data-loss: every value of notes.body is lost",
        "error required-without-value: notes.slug",
        "warning opens-access",
        "warning not-reversible",
    ] {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
    app.migrate(&["apply"], 1, &["nothing was applied"]);
    let title = "0002_slugs";
    app.edit(
        title,
        "add_column = \"notes.slug\"\n",
        "add_column = \"notes.slug\"\noptional = true\n\n[[step]]\nabout = \"slugs from headings\"\n\
         sql = \"UPDATE notes SET slug = heading WHERE slug IS NULL\"\nundo = \"\"\n\n[[step]]\nalter_column = \"notes.slug\"\n",
    );
    app.edit(
        title,
        "rename_column = \"notes.title\"\n",
        "rename_column = \"notes.title\"\naccept.breaks-clients = \"\"\n",
    );
    app.migrate(&["lint"], 1, &["bad-acceptance"]);
    app.edit(title, "accept.breaks-clients = \"\"", "accept.breaks-clients = \"asked all of them\"");
    app.edit(
        title,
        "drop_column = \"notes.body\"\n",
        "drop_column = \"notes.body\"\naccept.breaks-clients = \"nobody read it\"\naccept.data-loss = \"exported\"\n",
    );
    app.migrate(&["lint"], 0, &["because: exported", "stale-sql"]);
    app.migrate(&["lint", "--write-sql"], 0, &["again"]);
    let sql = app.folder.read(&format!("migrations/{title}/{}.sql", app.store));
    assert!(sql.contains("-- slugs from headings\nUPDATE notes SET slug = heading"), "{sql}");
    app.run(&["serve"], 1, &["behind", "0002_slugs"]);
    app.migrate(&["apply"], 0, &["0002_slugs: applied"]);
    app.migrate(&["undo"], 1, &["cannot be taken back", "every value of notes.body"]);
    let running = app.serve();
    assert_eq!(
        app.get(&running, "select=heading,slug&order=heading"),
        json!([{"heading": "one", "slug": "one"}, {"heading": "two", "slug": "two"}])
    );
    running.stop();

    // One that can be taken back, and is applied again.
    let model = app.folder.read("models/notes.toml");
    app.folder.write(
        "models/notes.toml",
        &model.replace("[access]", "likes = { type = \"int\", default = 7, min = 0 }\n[access]"),
    );
    app.plan("likes");
    app.migrate(&["apply"], 0, &["0003_likes: applied"]);
    app.migrate(&["undo"], 1, &["every value of notes.likes", "--accept-data-loss"]);
    app.migrate(&["undo", "--accept-data-loss"], 0, &["0003_likes: taken back"]);
    app.migrate(&["status"], 1, &["applied      0002_slugs", "pending      0003_likes"]);
    app.migrate(&["apply"], 0, &["0003_likes: applied"]);
    let running = app.serve();
    assert_eq!(app.get(&running, "select=likes&limit=1"), json!([{"likes": 7}]));
    running.stop();

    // Rules alone are a migration, too, and change no database.
    let model = app.folder.read("models/notes.toml");
    app.folder.write("models/notes.toml", &model.replace("read = \"true\"", "read = \"heading == 'one'\""));
    app.migrate(
        &["plan"],
        0,
        &["0004_access", "becomes readable by whoever fits `heading == 'one'` (before: everybody)"],
    );
    app.migrate(&["apply"], 0, &["0004_access: applied"]);
    app.migrate(&["undo"], 0, &["0004_access: taken back"]);
    app.migrate(&["apply"], 0, &["0004_access: applied"]);
    app.migrate(&["status"], 0, &[]);

    // What the database was given may not be changed, and what it has may not be missing.
    app.edit(title, "SET slug = heading", "SET slug = 'x'");
    app.run(&["serve"], 1, &["0002_slugs was changed"]);
    app.migrate(&["apply"], 1, &["0002_slugs was changed"]);
    app.edit(title, "SET slug = 'x'", "SET slug = heading");
    std::fs::remove_dir_all(app.folder.0.join("migrations/0004_access")).unwrap();
    app.folder.write("models/notes.toml", &model);
    app.run(&["serve"], 1, &["ahead", "0004_access"]);
    app.migrate(&["status"], 1, &["ahead"]);
}

/// A change in three migrations, one of them with SQL that takes a while.
fn prepare(app: &App, slow: &str) {
    app.plan("one");
    app.folder
        .write("models/notes.toml", &NOTES.replace("[access]", "size = { type = \"int\", default = 1 }\n[access]"));
    app.plan("two");
    app.edit(
        "0002_two",
        "add_column = \"notes.size\"\n",
        &format!(
            "add_column = \"notes.size\"\n\n[[step]]\nabout = \"slow\"\nsql.{} = \"{slow}\"\nundo = \"\"\n",
            app.store
        ),
    );
    app.folder.write(
        "models/notes.toml",
        &NOTES
            .replace("[access]", "size = { type = \"int\", default = 1 }\n[access]")
            .replace("type = \"text\", max = 200", "type = \"text\", max = 300, unique = true"),
    );
    app.plan("three");
}

fn slow(on: On) -> &'static str {
    match on {
        On::Sqlite => {
            "UPDATE notes SET size = (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n)"
        }
        On::Postgres | On::Walled => "UPDATE notes SET size = 300000; SELECT pg_sleep(0.3)",
        On::Mysql => "UPDATE notes SET size = 300000 + SLEEP(0.3)",
    }
}

async fn four_processes_apply_at_once(on: On) {
    let Some(app) = App::new(on) else { return };
    prepare(&app, slow(on));
    let start = || {
        let mut command = undergird(&["migrate", "apply"]);
        command.current_dir(&app.folder.0).envs(app.environment()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let all: Vec<_> = (0..4).map(|_| start()).collect();
    let said: String = all
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{text}");
            text
        })
        .collect();
    for title in ["0001_one", "0002_two", "0003_three"] {
        assert_eq!(said.matches(&format!("{title}: applied.")).count(), 1, "{said}");
    }
    app.migrate(&["status"], 0, &["applied      0003_three"]);
}

async fn a_killed_migration_goes_on(on: On) {
    let Some(app) = App::new(on) else { return };
    prepare(&app, slow(on));
    app.migrate(&["apply", "--to", "1"], 0, &["0001_one: applied"]);
    let model = app.folder.read("models/notes.toml");
    app.migrate(&["status"], 1, &["pending      0002_two"]);
    let insert = |app: &App| {
        // The first migration's definition, for rows that were there before.
        let aside = app.folder.0.join("aside");
        std::fs::rename(app.folder.0.join("migrations"), &aside).unwrap();
        app.folder.write("models/notes.toml", NOTES);
        let running = app.serve();
        app.post(&running, &json!([{"title": "a"}, {"title": "b"}]));
        running.stop();
        std::fs::rename(&aside, app.folder.0.join("migrations")).unwrap();
        app.folder.write("models/notes.toml", &model);
    };
    insert(&app);
    for millis in [40, 90, 150, 220, 300, 380, 460] {
        let mut command = undergird(&["migrate", "apply"]);
        command.current_dir(&app.folder.0).envs(app.environment()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        // Old or new, or said to be on the way where DDL commits as it goes; never something else.
        let all = app.migrate_either(&["status", "--wait", "30"]);
        let sound =
            ["pending      0002_two", "applied      0002_two", "interrupted  0002_two", "interrupted  0003_three"];
        assert!(sound.iter().any(|state| all.contains(state)), "{all}");
        assert!(!all.contains("no migration;") && !all.contains("by hand:"), "{all}");
    }
    app.migrate(&["apply"], 0, &[]);
    app.migrate(&["status"], 0, &["applied      0002_two", "applied      0003_three"]);
    let running = app.serve();
    assert_eq!(
        app.get(&running, "select=title,size&order=title"),
        json!([{"title": "a", "size": 300_000}, {"title": "b", "size": 300_000}])
    );
    running.stop();
}

impl App {
    /// Runs a command that may say yes or no.
    fn migrate_either(&self, arguments: &[&str]) -> String {
        let (code, out, errors) = said(&self.folder, &[&["migrate"], arguments].concat(), &self.environment());
        assert!(code == 0 || code == 1, "{out}{errors}");
        out + &errors
    }
}

async fn a_shaped_database_is_noted(on: On) {
    let Some(app) = App::new(on) else { return };
    // `dev` came first, as it does.
    let dev = Running::start(&app.folder, "dev", &app.environment());
    app.post(&dev, &json!({"title": "kept"}));
    dev.stop();
    app.plan("initial");
    app.run(&["serve"], 1, &["behind", "migrate apply"]);
    app.migrate(&["apply"], 0, &["0001_initial", "it was noted"]);
    app.folder
        .write("models/notes.toml", &NOTES.replace("[access]", "size = { type = \"int\", default = 1 }\n[access]"));
    let dev = Running::start(&app.folder, "dev", &app.environment());
    dev.stop();
    let drifted = "add the column notes.size";
    app.migrate(&["status"], 1, &["no migration", drifted, "migrate plan"]);
    app.migrate(&["apply"], 1, &["no migration", drifted]);
    app.plan("size");
    app.migrate(&["apply"], 0, &["0002_size", "it was noted"]);
    app.migrate(&["status"], 0, &["applied      0002_size"]);
    let running = app.serve();
    assert_eq!(app.get(&running, "select=title,size"), json!([{"title": "kept", "size": 1}]));
    running.stop();
}

/// Numbers that a backfill makes greater by one: what is filled twice or not at all shows.
const SIZED: &str = "size = { type = \"int\", default = 1 }\n[access]";

/// Twice as many batches as are waited for before the kills: each kill may come some batches late.
const FILLED: usize = 150;

fn filled(app: &App, entry: &str) {
    app.folder.write("models/notes.toml", &NOTES.replace("[access]", SIZED));
    app.plan("initial");
    app.migrate(&["apply"], 0, &["applied"]);
    let running = app.serve();
    let rows: Vec<Value> = (0..FILLED).map(|row| json!({"title": format!("r{row:03}")})).collect();
    app.post(&running, &json!(rows));
    running.stop();
    // A rule that changes makes a migration; the backfill goes with it.
    let model = app.folder.read("models/notes.toml");
    app.folder.write("models/notes.toml", &model.replace("read = \"false\"", "read = \"true\""));
    app.plan("fill");
    let file = "migrations/0002_fill/steps.toml";
    app.folder.write(file, &(app.folder.read(file) + entry));
}

async fn a_backfill_goes_on_where_it_was_killed(on: On) {
    let Some(app) = App::new(on) else { return };
    filled(
        &app,
        "\n[[step]]\nbackfill = \"notes\"\nset.size = \"size + 1\"\nbatch = 10\npause_millis = 60\nundo = \"UPDATE notes SET size = 1\"\n",
    );
    for wrong in ["set.sice = \"1\"", "set.id = \"1\"", "set.size = \"1\"\nbatch = 0", "where = \"true\""] {
        let file = "migrations/0002_fill/steps.toml";
        let good = app.folder.read(file);
        app.folder.write(file, &good.replace("set.size = \"size + 1\"\nbatch = 10", wrong));
        app.migrate(&["lint"], 2, &["backfill = \"notes\""]);
        app.folder.write(file, &good.replace("\"size + 1\"", "\"\""));
        app.migrate(&["lint"], 1, &["error backfill-without-value: the backfill of notes"]);
        app.folder.write(file, &good);
    }
    app.migrate(&["lint", "--write-sql"], 0, &["again"]);
    let sql = app.folder.read(&format!("migrations/0002_fill/{}.sql", app.store));
    assert!(sql.contains("the next 10 keys") && sql.contains("(size + 1)"), "{sql}");
    for kill in [1, 2, 4] {
        let mut command = undergird(&["migrate", "apply"]);
        command.current_dir(&app.folder.0).envs(app.environment()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        let batches = lines.map_while(Result::ok).filter(|line| line.contains("rows of notes"));
        // It says so after each batch, and dies in the pause or in the next one.
        assert_eq!(batches.take(kill).count(), kill);
        child.kill().unwrap();
        child.wait().unwrap();
        let all = app.migrate_either(&["status", "--wait", "30"]);
        assert!(all.contains("interrupted  0002_fill") && all.contains(&format!("of {FILLED} rows of notes")), "{all}");
        app.run(&["serve"], 1, &["0002 was interrupted"]);
        app.migrate(&["undo"], 1, &["apply it to its end first"]);
    }
    app.migrate(&["apply"], 0, &["0002_fill: applied"]);
    let all = app.migrate(&["status"], 0, &["applied      0002_fill"]);
    assert!(!all.contains("rows of notes"), "{all}");
    let size = |wanted: i64| {
        let running = app.serve();
        let rows = app.get(&running, "select=size");
        assert_eq!(rows, json!(vec![json!({"size": wanted}); FILLED]), "{}", app.store);
        running.stop();
    };
    size(2);
    // Several are taken back at once, and all are judged before.
    let model = app.folder.read("models/notes.toml");
    app.folder
        .write("models/notes.toml", &model.replace("[access]", "more = { type = \"int\", optional = true }\n[access]"));
    app.plan("more");
    app.migrate(&["apply"], 0, &["0003_more: applied"]);
    app.migrate(&["undo", "--to", "1"], 1, &["0003_more: every value of notes.more", "nothing was taken back"]);
    app.migrate(&["status"], 0, &["applied      0003_more"]);
    app.migrate(&["undo", "--to", "1", "--accept-data-loss"], 0, &["0003_more: taken back", "0002_fill: taken back"]);
    app.migrate(&["undo", "--to", "1"], 0, &["no migration after 0001"]);
    app.migrate(&["status"], 1, &["applied      0001_initial", "pending      0002_fill", "pending      0003_more"]);
    app.migrate(&["apply"], 0, &["0002_fill: applied", "0003_more: applied"]);
    size(2);
    app.migrate(&["undo", "--count", "2", "--accept-data-loss"], 0, &["0002_fill: taken back"]);
}

/// Another directory with the same application.
fn another(app: &App) -> Folder {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let folder = Folder::new();
    for part in ["models", "migrations"] {
        copy(&app.folder.0.join(part), &folder.0.join(part));
    }
    std::fs::copy(app.folder.0.join("undergird.toml"), folder.0.join("undergird.toml")).unwrap();
    folder
}

/// Waits until a node says that it is ready, or that it is not.
fn until_ready(running: &Running, wanted: bool) {
    for _ in 0..600 {
        if (running.send("GET", "/health/ready", &[], b"").status == 200) == wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not become {}", if wanted { "ready" } else { "not ready" });
}

async fn nodes_of_two_definitions_serve_side_by_side(on: On) {
    let Some(app) = App::new(on) else { return };
    app.plan("initial");
    app.migrate(&["apply"], 0, &["applied"]);
    let old = another(&app);
    let data = app.folder.0.join("data");
    let data = data.to_str().unwrap();
    let mut environment = app.environment();
    environment.extend([
        ("UNDERGIRD_DATA", data),
        ("UNDERGIRD_SECRET_KEY", app.secret.as_str()),
        ("UNDERGIRD_PUBLISHABLE_KEY", &app.publishable),
    ]);
    let serve_old = || Running::start(&old, "serve", &environment);
    let is_shared = !matches!(on, On::Sqlite);
    let first = is_shared.then(serve_old);

    // More than the older nodes know, which they need not know.
    let with = |fields: &str| NOTES.replace("[access]", &format!("{fields}\n[access]"));
    let tags = "[fields]\nname = { type = \"text\" }\n[access]\nread = \"true\"\n";
    app.folder.write("models/tags.toml", tags);
    app.folder.write("models/notes.toml", &with("slug = { type = \"text\", optional = true, max = 300, unique = true }\nlikes = { type = \"int\", default = 0, min = 0 }"));
    app.plan("expand");
    app.migrate(&["apply"], 0, &["0002_expand: applied"]);
    let check = |node: &Running, title: &str| {
        until_ready(node, true);
        app.post(node, &json!({"title": title}));
        assert_eq!(
            app.get(node, &format!("select=title,body&title=eq.{title}")),
            json!([{"title": title, "body": ""}])
        );
    };
    if let Some(first) = &first {
        let new = app.serve();
        for turn in 0..3 {
            check(first, &format!("old{turn}"));
            check(&new, &format!("new{turn}"));
        }
        new.stop();
    }
    let again = serve_old();
    check(&again, "again");
    again.stop();
    let (_, _, errors) = said(&old, &["migrate", "status"], &environment);
    assert!(errors.contains("ahead: it was given 0002_expand"), "{errors}");
    let (code, _, errors) = said(&old, &["migrate", "apply"], &environment);
    assert!(code == 1 && errors.contains("ahead"), "{errors}");

    // What they cannot do without.
    app.folder.write(
        "models/notes.toml",
        &with("slug = { type = \"text\", max = 300, unique = true }\nlikes = { type = \"int\", default = 0, min = 0 }"),
    );
    app.plan("contract");
    app.edit("0003_contract", "alter_column = \"notes.slug\"\n", "backfill = \"notes\"\nset.slug = \"title\"\nwhere = \"slug IS NULL\"\nundo = \"\"\n\n[[step]]\nalter_column = \"notes.slug\"\n");
    app.edit("0003_contract", "\n[[step]]", "phase = \"contract\"\n\n[[step]]");
    // Nodes of the new definition serve before it already.
    let new = app.serve();
    check_slug(&app, &new);
    if let Some(first) = &first {
        check(first, "both");
    }
    new.stop();
    app.migrate(&["apply"], 0, &["0003_contract: applied"]);
    if let Some(first) = first {
        until_ready(&first, false);
        first.stop();
    }
    let (code, _, errors) = said(&old, &["serve"], &environment);
    assert!(code == 1 && errors.contains("ahead: it was given 0003_contract"), "{errors}");
    let new = app.serve();
    check_slug(&app, &new);
    let rows = app.get(&new, "select=title,slug&title=eq.again");
    assert_eq!(rows, json!([{"title": "again", "slug": "again"}]));
    new.stop();
}

fn check_slug(app: &App, node: &Running) {
    let title = format!(
        "t{}",
        std::process::id() + u32::try_from(app.get(node, "select=id").as_array().unwrap().len()).unwrap()
    );
    app.post(node, &json!({"title": title, "slug": title}));
    let rows = app.get(node, &format!("select=slug&title=eq.{title}"));
    assert_eq!(rows, json!([{"slug": title}]));
}

async fn an_unsafe_change_comes_in_three(on: On) {
    let Some(app) = App::new(on) else { return };
    app.plan("initial");
    app.migrate(&["apply"], 0, &["applied"]);
    let running = app.serve();
    app.post(&running, &json!([{"title": "one"}, {"title": "two"}]));
    running.stop();
    let old = another(&app);
    let data = app.folder.0.join("data");
    let data = data.to_str().unwrap();
    let mut environment = app.environment();
    environment.extend([
        ("UNDERGIRD_DATA", data),
        ("UNDERGIRD_SECRET_KEY", app.secret.as_str()),
        ("UNDERGIRD_PUBLISHABLE_KEY", &app.publishable),
    ]);
    // One field gets another name, and another one comes that every row must have.
    app.folder.write(
        "models/notes.toml",
        &NOTES
            .replace("title = {", "heading = { renamed_from = \"title\",")
            .replace("[access]", "slug = { type = \"text\", max = 300, unique = true }\n[access]"),
    );
    let said = app.plan("slugs");
    // Beside the name that is another, the value that is missing, and the rule that rows may break.
    assert_eq!(said.matches("migrate plan --again --split").count(), 3, "{said}");
    let said = app.migrate(
        &["plan", "--again", "--split"],
        0,
        &["0002_slugs_expand", "0003_slugs_fill", "0004_slugs_contract"],
    );
    assert!(
        said.contains("error backfill-without-value: fill notes.slug") && said.contains("error data-loss"),
        "{said}"
    );
    assert!(!app.folder.0.join("migrations/0002_slugs").exists());
    app.edit("0003_slugs_fill", "set.slug = \"\"", "set.slug = \"title\"");
    // What older nodes wrote meanwhile has no heading yet; the contract is refused as long as there is such a row.
    app.migrate(&["apply"], 1, &["nothing was applied", "data-loss"]);
    app.migrate(&["apply", "--before-contract"], 0, &["0002_slugs_expand: applied", "0003_slugs_fill: applied"]);
    app.migrate(&["apply", "--before-contract"], 0, &["all migrations before a contract"]);
    let new = app.serve();
    let rows = json!([{"heading": "one", "slug": "one"}, {"heading": "two", "slug": "two"}]);
    assert_eq!(app.get(&new, "select=heading,slug&order=heading"), rows);
    app.post(&new, &json!({"heading": "three", "slug": "three"}));
    new.stop();
    let node = Running::start(&old, "serve", &environment);
    app.post(&node, &json!({"title": "late"}));
    node.stop();
    app.edit(
        "0004_slugs_contract",
        "drop_column = \"notes.title\"\n",
        "drop_column = \"notes.title\"\naccept.data-loss = \"copied by 0003\"\naccept.breaks-clients = \"all moved\"\n",
    );
    app.migrate(&["apply"], 1, &["0004_slugs_contract was not applied", "becomes required and some rows have null"]);
    app.migrate(&["status"], 1, &["pending      0004_slugs_contract"]);
    // The same filling once more, for what came late, in the contract itself.
    app.edit(
        "0004_slugs_contract",
        "[[step]]",
        "[[step]]\nbackfill = \"notes\"\nset.heading = \"title\"\nset.slug = \"title\"\nwhere = \"heading IS NULL\"\nundo = \"\"\n\n[[step]]",
    );
    app.migrate(&["apply"], 0, &["0004_slugs_contract: applied"]);
    app.migrate(&["status"], 0, &[]);
    let new = app.serve();
    assert_eq!(
        app.get(&new, "select=heading,slug&order=heading"),
        json!([
            {"heading": "late", "slug": "late"},
            {"heading": "one", "slug": "one"},
            {"heading": "three", "slug": "three"},
            {"heading": "two", "slug": "two"}
        ])
    );
    new.stop();
    app.migrate(&["plan"], 0, &["Nothing changed"]);
}
