//! `undergird adopt` on each store: Chinook in its three forms, served by the real binary, gives the same answers; and databases with
//! names, keys and types of every shape become the models that stand beside this file.
//!
//! `UNDERGIRD_BLESS=1` writes the expected files anew; read the diff. Chinook's rows are a part of the original (see its LICENSE.md).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use support::databases::{Database, On};
use support::{Folder, Running, said};

const SECRET: &str = "ug_secret_AtrlmGliexpVoAv31vfZngN45bpwQmd74cdQPE";
const PUBLISHABLE: &str = "ug_publishable_pZWEGiPKtS79ygy6s1PTuZhaXkb86o352phlcb";

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adopt").join(file)
}

fn word(on: On) -> &'static str {
    match on {
        On::Sqlite => "sqlite",
        On::Postgres | On::Walled => "postgres",
        On::Mysql => "mysql",
    }
}

/// A database that somebody else made, and where it is.
struct Foreign {
    on: On,
    database: Database,
    url: String,
    folder: Folder,
}

impl Foreign {
    /// `None` where there is no server.
    fn new(on: On, folder: &str, rows: Vec<String>) -> Option<Foreign> {
        let database = Database::new(on)?;
        let script = std::fs::read_to_string(here(&format!("{folder}/{}.sql", word(on)))).unwrap();
        let own = Folder::new();
        let url = match on {
            On::Sqlite => {
                let path = own.0.join("theirs.db");
                let file = rusqlite::Connection::open(&path).unwrap();
                file.execute_batch(&script).unwrap();
                file.execute_batch(&format!("BEGIN;{};COMMIT", rows.join(";"))).unwrap();
                format!("sqlite:{}", path.display())
            }
            On::Postgres | On::Walled => {
                database.execute_all(vec![script, rows.join(";")]);
                database.url().to_owned()
            }
            On::Mysql => {
                let plain: String =
                    script.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
                let statements = plain.split(";\n").map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned);
                let quotes = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')".to_owned();
                database.execute_all(statements.chain([quotes]).chain(rows).collect());
                database.url().to_owned()
            }
        };
        Some(Foreign { on, database, url, folder: own })
    }

    /// Everything in it.
    fn dump(&self) -> String {
        match self.on {
            On::Sqlite => {
                let bytes = std::fs::read(self.folder.0.join("theirs.db")).unwrap();
                bytes.iter().fold(String::new(), |mut text, byte| {
                    write!(text, "{byte:02x}").unwrap();
                    text
                })
            }
            _ => format!("{:?}", self.database.dump(Path::new("."))),
        }
    }

    /// Adopts it into `app`, which must change nothing, and gives what the command said.
    fn adopt(&self) -> String {
        let before = self.dump();
        let (code, out, errors) = said(&self.folder, &["adopt", &self.url, "--into", "app"], &[]);
        assert_eq!(code, 0, "{out}{errors}");
        assert!(before == self.dump(), "adopting changed the database");
        let (code, checked, errors) = said(&self.folder, &["check", "app"], &self.variables());
        assert_eq!(code, 0, "{checked}{errors}");
        out
    }

    fn variables(&self) -> Vec<(&'static str, &str)> {
        let mut all = vec![("UNDERGIRD_SECRET_KEY", SECRET), ("UNDERGIRD_PUBLISHABLE_KEY", PUBLISHABLE)];
        // The password is not in the files.
        if self.on != On::Sqlite {
            let at = self.url.split('@').next().unwrap();
            let password = at.rsplit_once(':').map_or("", |(_, password)| password);
            all.push(("DATABASE_PASSWORD", if password.starts_with("//") { "" } else { password }));
        }
        all
    }

    /// Serves it.
    fn serve(&self) -> Running {
        let app = Folder(self.folder.0.join("app"));
        let running = Running::start(&app, "dev", &self.variables());
        // It belongs to the other folder, which goes in the end.
        std::mem::forget(app);
        running
    }
}

/// Asks what a file asks, and gives the file with the answers: `GET /path`, headers and a body by lines, then `=> status body`.
fn answers(running: &Running, text: &str) -> String {
    let mut out = String::new();
    for case in text.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let asked: Vec<&str> = case.lines().take_while(|line| !line.starts_with("=> ")).collect();
        out.push_str(&asked.join("\n"));
        let lines: Vec<&&str> = asked.iter().filter(|line| !line.starts_with('#')).collect();
        let Some((first, rest)) = lines.split_first() else {
            out.push_str("\n\n");
            continue;
        };
        let (method, target) = first.split_once(' ').unwrap();
        let mut headers = vec![("apikey", SECRET), ("Content-Type", "application/json")];
        let mut body = "";
        for line in rest {
            match line.split_once(": ").filter(|(name, _)| !name.contains(['{', '[', '"'])) {
                Some(header) => headers.push(header),
                None => body = line,
            }
        }
        if headers.contains(&("apikey", "none")) {
            headers.retain(|(name, _)| *name != "apikey");
        }
        let target = target.replace(' ', "%20").replace('"', "%22").replace('>', "%3E");
        let answer = running.send(method, &target, &headers, body.as_bytes());
        let text = match answer.status {
            _ if answer.body.is_empty() => format!("{:?}", answer.header("allow")),
            200..300 => answer.text().to_owned(),
            _ => {
                let problem = answer.json();
                format!("{} {}", problem["code"].as_str().unwrap(), problem["message"].as_str().unwrap())
            }
        };
        let range = answer.header("content-range").filter(|range| !range.ends_with("/*"));
        let range = range.map(|range| format!(" ({range})")).unwrap_or_default();
        write!(out, "\n=> {}{range} {text}\n\n", answer.status).unwrap();
    }
    format!("{}\n", out.trim_end())
}

/// Compares with a file, or writes it.
fn expect(file: &str, found: &str) {
    let path = here(file);
    if std::env::var_os("UNDERGIRD_BLESS").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap();
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, expected, "{file}:{} (UNDERGIRD_BLESS=1 accepts)", number + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{file}");
}

/// The files of an adopted application.
fn files(folder: &Path) -> String {
    let mut names: Vec<_> =
        std::fs::read_dir(folder.join("models")).unwrap().map(|file| file.unwrap().path()).collect();
    names.sort();
    names.insert(0, folder.join("ADOPTED.md"));
    let mut text = String::new();
    for name in names {
        let file = std::fs::read_to_string(&name).unwrap();
        // Under the same words everywhere, which need not be read a hundred times.
        let file = file.split("\n# Closed:").next().unwrap().trim_end();
        let file = file.lines().filter(|line| !line.starts_with("# What became of")).collect::<Vec<_>>().join("\n");
        write!(text, "==== {}\n{}\n", name.file_name().unwrap().to_str().unwrap(), file.trim()).unwrap();
    }
    text
}

/// Chinook's rows as statements.
fn chinook(on: On) -> Vec<String> {
    let rows = std::fs::read_to_string(here("chinook/rows.jsonl")).unwrap();
    let quote = |name: &str| match on {
        On::Mysql => format!("`{name}`"),
        On::Sqlite => format!("\"{name}\""),
        On::Postgres | On::Walled => undergird_store::adopt::snake_case(name),
    };
    let rows: Vec<(String, String)> = rows
        .lines()
        .map(|line| {
            let cells: Vec<serde_json::Value> = serde_json::from_str(line).unwrap();
            let values: Vec<String> = cells[1..]
                .iter()
                .map(|cell| match cell {
                    serde_json::Value::String(text) => format!("'{}'", text.replace('\'', "''")),
                    serde_json::Value::Null => "NULL".into(),
                    number => number.to_string(),
                })
                .collect();
            (quote(cells[0].as_str().unwrap()), format!("({})", values.join(", ")))
        })
        .collect();
    rows.chunk_by(|a, b| a.0 == b.0)
        .flat_map(|rows| rows.chunks(200))
        .map(|rows| {
            let values: Vec<&str> = rows.iter().map(|(_, values)| values.as_str()).collect();
            format!("INSERT INTO {} VALUES {}", rows[0].0, values.join(", "))
        })
        .collect()
}

async fn chinook_is_served(on: On) {
    let Some(foreign) = Foreign::new(on, "chinook", chinook(on)) else { return };
    let out = foreign.adopt();
    assert!(out.contains("Adopted 11 tables"), "{out}");
    let app = foreign.folder.0.join("app");
    let tables = || match on {
        On::Sqlite => Vec::new(),
        _ => foreign.database.dump(&app).into_keys().collect::<Vec<String>>(),
    };
    let before = tables();
    let running = foreign.serve();
    let asked = std::fs::read_to_string(here("chinook/requests.txt")).unwrap();
    // The same file on all stores: what one of them answers otherwise is a failure.
    if std::env::var_os("UNDERGIRD_BLESS").is_none() || on == On::Sqlite {
        expect("chinook/requests.txt", &answers(&running, &asked));
    }
    running.stop();
    // Undergird's own tables came beside theirs, and nothing is left to do.
    let after = tables();
    assert!(before.iter().all(|table| after.contains(table)), "{before:?} {after:?}");
    let (code, out, errors) = said(&foreign.folder, &["migrate", "app", "--dry-run"], &foreign.variables());
    assert!(code == 0 && out.contains("is at the definition"), "{out}{errors}");
    // Adopted once more, Undergird's own tables are none of theirs.
    let (code, out, errors) = said(&foreign.folder, &["adopt", &foreign.url, "--into", "again"], &[]);
    assert!(code == 0 && out.contains("Adopted 11 tables"), "{out}{errors}");
    assert_eq!(files(&app), files(&foreign.folder.0.join("again")));
}

async fn every_shape_is_read(on: On) {
    let Some(foreign) = Foreign::new(on, "odd", Vec::new()) else { return };
    foreign.adopt();
    expect(&format!("odd/{}.models.txt", word(on)), &files(&foreign.folder.0.join("app")));
    let running = foreign.serve();
    let file = format!("odd/{}.requests.txt", word(on));
    let asked = std::fs::read_to_string(here(&file)).unwrap();
    expect(&file, &answers(&running, &asked));
    running.stop();
}

/// A table that was changed with other tools is told at the start, each of them, and not when somebody asks for it.
async fn what_was_changed_elsewhere_is_told(on: On) {
    tokio::task::spawn_blocking(move || {
        let Some(foreign) = Foreign::new(on, "chinook", chinook(on)) else { return };
        foreign.adopt();
        let app = Folder(foreign.folder.0.join("app"));
        // Once, so that Undergird's own tables are there.
        foreign.serve().stop();
        let names = match on {
            On::Postgres | On::Walled => ["album", "title", "name", "genre", "kind"],
            On::Sqlite | On::Mysql => ["Album", "Title", "Name", "Genre", "Kind"],
        };
        let [album, title, name, genre, kind] = names;
        let change = |title: &str, name: &str, genre: &str, kind: &str| {
            let changes = vec![
                format!("ALTER TABLE {album} RENAME COLUMN {title} TO {name}"),
                format!("ALTER TABLE {genre} RENAME TO {kind}"),
            ];
            match on {
                On::Sqlite => {
                    let file = rusqlite::Connection::open(foreign.folder.0.join("theirs.db")).unwrap();
                    file.execute_batch(&changes.join(";")).unwrap();
                }
                _ => foreign.database.execute_all(changes),
            }
        };
        change(title, name, genre, kind);
        for command in ["serve", "dev"] {
            let (code, out, errors) = said(&app, &[command, "--listen", "127.0.0.1:0"], &foreign.variables());
            assert_eq!(code, 1, "{out}{errors}");
            for word in ["adopted tables are not as their models say", "\n  album: ", "\n  genre: "] {
                assert!(errors.contains(word), "no {word:?} in {errors}");
            }
            assert!(!errors.contains("  artist: "), "{errors}");
        }
        change(name, title, kind, genre);
        Running::start(&app, "serve", &foreign.variables()).stop();
        std::mem::forget(app);
    })
    .await
    .unwrap();
}

on_each_store!(chinook_is_served, every_shape_is_read, what_was_changed_elsewhere_is_told);

/// What docs/adopting-a-database.md shows is what happens: its models are in the files, its requests get its answers.
#[test]
fn the_page_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/adopting-a-database.md");
    let page = std::fs::read_to_string(path).unwrap();
    let foreign = Foreign::new(On::Sqlite, "chinook", chinook(On::Sqlite)).unwrap();
    foreign.adopt();
    let running = foreign.serve();
    let mut seen = [0, 0];
    for block in page.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        match kind {
            "toml" => {
                let (file, text) = text.split_once('\n').unwrap();
                let file = foreign.folder.read(&format!("app/{}", file.strip_prefix("# ").unwrap()));
                assert!(file.contains(text.trim()), "the page says\n{text}\nthe file\n{file}");
                seen[0] += 1;
            }
            "http" => {
                assert_eq!(answers(&running, text).trim(), text.trim());
                seen[1] += 1;
            }
            "sh" => assert!(text.contains("undergird adopt"), "{text}"),
            other => panic!("a block of {other:?}, which nothing runs"),
        }
    }
    assert_eq!(seen, [1, 1]);
    running.stop();
}

#[test]
fn what_cannot_be_adopted_is_said() {
    let folder = Folder::new();
    let check = |arguments: &[&str], code: i32, words: &str| {
        let (found, out, errors) = said(&folder, arguments, &[]);
        assert_eq!(found, code, "{arguments:?}\n{out}\n{errors}");
        assert!(format!("{out}{errors}").contains(words), "{arguments:?}: no {words:?} in\n{out}\n{errors}");
    };
    check(&["adopt"], 2, "URL");
    check(&["adopt", "oracle://x/y", "--into", "a"], 2, "oracle");
    check(&["adopt", "sqlite:nowhere.db", "--into", "a"], 1, "nowhere.db");
    folder.write("text.db", &"This is no database. ".repeat(100));
    check(&["adopt", "sqlite:text.db", "--into", "a"], 1, "text.db");
    rusqlite::Connection::open(folder.0.join("empty.db")).unwrap().execute_batch("CREATE TABLE t (a, b)").unwrap();
    check(&["adopt", "sqlite:empty.db", "--into", "a"], 1, "no columns were found that tell its rows apart");
    rusqlite::Connection::open(folder.0.join("good.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        .unwrap();
    check(&["adopt", "sqlite:good.db"], 0, "undergird dev good");
    check(&["adopt", "sqlite:good.db"], 2, "has something in it");
    assert!(folder.read("good/undergird.toml").contains("good.db"));
}
