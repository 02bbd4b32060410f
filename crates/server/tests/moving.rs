//! `move` by the real binary: a seeded blog from SQLite to PostgreSQL, to MariaDB, and back, while writers write; killed and resumed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::databases::{Database, On};
use support::{Folder, Running, said, undergird};

/// Of every kind of value, with an identity, a reference to itself, and a circle with `rounds`.
const EVENTS: &str = r#"
[fields]
id        = { type = "int" }
parent_id = { type = "ref", to = "events", optional = true, on_delete = "cascade" }
round_id  = { type = "ref", to = "rounds", optional = true, on_delete = "set_null" }
at        = { type = "timestamp" }
day       = { type = "date" }
clock     = { type = "time" }
amount    = { type = "decimal", precision = 12, scale = 2 }
ratio     = { type = "float", optional = true }
flag      = { type = "bool" }
data      = { type = "json", optional = true }
words     = { type = "list", of = "text" }
numbers   = { type = "list", of = "decimal", precision = 9, scale = 3, optional = true }
raw       = { type = "bytes", optional = true }
"#;

const ROUNDS: &str = r#"
key = ["code"]
[fields]
code     = { type = "text", max = 20 }
event_id = { type = "ref", to = "events", optional = true, unique = true, on_delete = "set_null" }
"#;

/// All collections, with the order of their keys.
const COLLECTIONS: [(&str, &str); 7] = [
    ("comments", "id"),
    ("events", "id"),
    ("post_tags", "post_id,tag_id"),
    ("posts", "id"),
    ("rounds", "code"),
    ("tags", "id"),
    ("users", "id"),
];

/// A seeded blog with two collections more, and its secret key.
fn blog(rows: &str) -> (Folder, String) {
    let folder = Folder::example("blog");
    folder.write("models/events.toml", EVENTS);
    folder.write("models/rounds.toml", ROUNDS);
    let (code, _, errors) = said(&folder, &["seed", "--rows", rows], &[]);
    assert_eq!(code, 0, "{errors}");
    let (_, keys, _) = said(&folder, &["keys", "--json"], &[]);
    let keys: Value = serde_json::from_str(&keys).unwrap();
    (folder, keys["secret_key"].as_str().unwrap().to_owned())
}

fn send(running: &Running, secret: &str, method: &str, target: &str, body: &Value) -> support::Answer {
    let headers = [("apikey", secret), ("Content-Type", "application/json"), ("Prefer", "return=representation")];
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    running.send(method, target, &headers, &body)
}

/// Everything that a secret key may read, as it is on the wire.
fn everything(running: &Running, secret: &str) -> BTreeMap<String, Vec<Value>> {
    let mut all = BTreeMap::new();
    for (name, order) in COLLECTIONS {
        let mut rows = Vec::new();
        loop {
            let target = format!("/rest/v1/{name}?order={order}&limit=1000&offset={}", rows.len());
            let answer = send(running, secret, "GET", &target, &Value::Null);
            assert!(matches!(answer.status, 200 | 206), "{name}: {}", answer.text());
            let page = answer.json().as_array().unwrap().clone();
            let last = page.len() < 1_000;
            rows.extend(page);
            if last {
                break;
            }
        }
        all.insert(name.to_owned(), rows);
    }
    all
}

/// Rows that are hard to carry.
fn hard_rows(running: &Running, secret: &str) {
    let event = |text: &str, raw: &str| {
        json!({
            "at": "0001-01-01T00:00:00.000001Z", "day": "9999-12-31", "clock": "23:59:59.999999", "amount": -9_999_999_999.99,
            "ratio": 0.1, "flag": true, "data": {"b": [1, 2.50, null], "aa": {"ü": "\u{1F600}"}, "n": 12345678901234567890_u64},
            "words": [text, "", "a,b", "\"", "\\", "null"], "numbers": [0.001, -999_999.999], "raw": raw,
        })
    };
    let nulls = json!({ "at": "2026-11-23T05:00:00Z", "day": "2000-02-29", "clock": "00:00:00", "amount": 0, "flag": false,
        "data": null, "words": [] });
    let mut ids = Vec::new();
    for row in [event("ß\u{301}\u{FFFD}", "AAECAw=="), event("\u{10FFFF}", ""), nulls] {
        let made = send(running, secret, "POST", "/rest/v1/events", &row);
        assert_eq!(made.status, 201, "{}", made.text());
        ids.push(made.json()[0]["id"].as_i64().unwrap());
    }
    let done = |method: &str, target: String, body: Value, expected: u16| {
        let answer = send(running, secret, method, &target, &body);
        assert_eq!(answer.status, expected, "{method} {target}: {}", answer.text());
    };
    for (code, event) in [("Z", Some(ids[0])), ("a", Some(ids[1])), ("ä", Some(ids[2])), ("\u{1F600}", None)] {
        done("POST", "/rest/v1/rounds".into(), json!({ "code": code, "event_id": event }), 201);
    }
    // A row that refers to itself, and two that refer to each other.
    done("PATCH", format!("/rest/v1/events?id=eq.{}", ids[0]), json!({ "parent_id": ids[0], "round_id": "Z" }), 200);
    // The greatest number goes.
    done("DELETE", format!("/rest/v1/events?id=eq.{}", ids[2]), Value::Null, 200);
}

/// What was acknowledged: tags by id with their descriptions, null when they were removed.
type Acknowledged = Arc<Mutex<BTreeMap<String, Option<String>>>>;

/// Writers that make, change and remove tags until they are told to end, and remember what they were told was done.
struct Writers {
    ended: Arc<AtomicBool>,
    acknowledged: Acknowledged,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Writers {
    fn start(running: &Arc<Running>, secret: &str, prefix: &'static str) -> Writers {
        let ended = Arc::new(AtomicBool::new(false));
        let acknowledged = Acknowledged::default();
        let writer = |number: usize| {
            let (running, secret) = (running.clone(), secret.to_owned());
            let (ended, acknowledged) = (ended.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let mut ours: Vec<String> = Vec::new();
                for step in 0.. {
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let text = format!("{prefix}{number}-{step}");
                    let (answer, id, now) = match step % 4 {
                        0 | 1 => {
                            let answer = send(
                                &running,
                                &secret,
                                "POST",
                                "/rest/v1/tags",
                                &json!({ "name": text, "description": text }),
                            );
                            let id =
                                (answer.status == 201).then(|| answer.json()[0]["id"].as_str().unwrap().to_owned());
                            (answer, id, Some(text))
                        }
                        2 if !ours.is_empty() => {
                            let id = ours[step % ours.len()].clone();
                            let target = format!("/rest/v1/tags?id=eq.{id}");
                            (
                                send(&running, &secret, "PATCH", &target, &json!({ "description": text })),
                                Some(id),
                                Some(text),
                            )
                        }
                        _ if !ours.is_empty() => {
                            let id = ours.remove(step % ours.len());
                            let target = format!("/rest/v1/tags?id=eq.{id}");
                            (send(&running, &secret, "DELETE", &target, &Value::Null), Some(id), None)
                        }
                        _ => continue,
                    };
                    match answer.status {
                        200 | 201 => {
                            let id = id.unwrap();
                            if answer.status == 201 {
                                ours.push(id.clone());
                            }
                            acknowledged.lock().unwrap().insert(id, now);
                        }
                        // What was refused may be tried again.
                        503 => {
                            ours.extend(id.filter(|_| now.is_none()));
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        other => panic!("{other}: {}", answer.text()),
                    }
                }
            })
        };
        // Rows that go because the one that they refer to goes, which some stores do not tell of.
        let family = {
            let (running, secret, ended) = (running.clone(), secret.to_owned(), ended.clone());
            std::thread::spawn(move || {
                let mut event = json!({ "at": "2026-11-23T05:00:00Z", "day": "2026-11-23", "clock": "05:00:00", "amount": 1,
                    "flag": true, "words": [] });
                while !ended.load(Ordering::SeqCst) {
                    event["parent_id"] = Value::Null;
                    let parent = send(&running, &secret, "POST", "/rest/v1/events", &event);
                    if parent.status == 201 {
                        let id = parent.json()[0]["id"].clone();
                        event["parent_id"] = id.clone();
                        for _ in 0..2 {
                            let child = send(&running, &secret, "POST", "/rest/v1/events", &event);
                            assert!(matches!(child.status, 201 | 503), "{}", child.text());
                        }
                        std::thread::sleep(Duration::from_millis(15));
                        let gone =
                            send(&running, &secret, "DELETE", &format!("/rest/v1/events?id=eq.{id}"), &Value::Null);
                        assert!(matches!(gone.status, 200 | 503), "{}", gone.text());
                    } else {
                        paused(&parent);
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        };
        let threads = (0..3).map(writer).chain([family]).collect();
        Writers { ended, acknowledged, threads }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    fn end(self) -> BTreeMap<String, Option<String>> {
        self.ended.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.acknowledged.lock().unwrap().clone()
    }
}

/// That a server has all that was acknowledged, and nothing that was acknowledged to be gone.
fn holds(rows: &BTreeMap<String, Vec<Value>>, acknowledged: &BTreeMap<String, Option<String>>) {
    let tags: BTreeMap<&str, &str> =
        rows["tags"].iter().map(|tag| (tag["id"].as_str().unwrap(), tag["description"].as_str().unwrap())).collect();
    for (id, description) in acknowledged {
        assert_eq!(tags.get(id.as_str()).copied(), description.as_deref(), "an acknowledged write was lost: {id}");
    }
}

/// What a write is told while writes are held.
fn paused(answer: &support::Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("Retry-After").is_some());
    let problem = answer.json();
    assert_eq!(problem["code"], "UG105", "{problem}");
    assert_eq!(problem["message"], "Writes are paused while the data moves");
}

fn url(database: &Database) -> String {
    database.environment().get("UNDERGIRD_STORES_MAIN_URL").unwrap().to_owned()
}

fn there_and_back(on: On) {
    let Some(database) = Database::new(on) else { return };
    let to = url(&database);
    let (folder, secret) = blog("300,posts=3000,comments=2000");
    let running = Arc::new(Running::start(&folder, "dev", &[]));
    hard_rows(&running, &secret);
    let writers = Writers::start(&running, &secret, "there");
    while writers.count() < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = writers.count();
    let (code, out, errors) = said(&folder, &["move"], &[("UNDERGIRD_MOVE_TO", &to)]);
    assert_eq!(code, 0, "{out}\n{errors}");
    assert!(out.contains("all equal") && errors.contains("writes are held"), "{out}\n{errors}");
    assert!(writers.count() > before + 5, "nothing was written while it was moved");
    // What was there goes on being read, and is not written any more.
    let refused = send(&running, &secret, "POST", "/rest/v1/tags", &json!({ "name": "late" }));
    paused(&refused);
    let acknowledged = writers.end();
    let old = everything(&running, &secret);
    Arc::into_inner(running).unwrap().stop();
    holds(&old, &acknowledged);
    // The configuration names the new one; unless there is a password in it, which no file should hold.
    let authority = to.split('@').next().unwrap();
    let environment: &[(&str, &str)] = match authority != to && authority.split_once("://").unwrap().1.contains(':') {
        true => &[("UNDERGIRD_STORES_MAIN_URL", &to)],
        false => &[],
    };
    assert_eq!(folder.read("undergird.toml").contains(&to), environment.is_empty(), "{out}");
    assert!(out.contains("start the server again"), "{out}");
    let running = Running::start(&folder, "serve", environment);
    let new = everything(&running, &secret);
    assert!(old == new, "the two servers answer differently");
    // Numbers go on, references and uniqueness hold, and people are who they were.
    let most = new["events"].iter().map(|event| event["id"].as_i64().unwrap()).max().unwrap();
    let event = json!({ "at": "2026-11-23T05:00:00Z", "day": "2026-11-23", "clock": "05:00:00", "amount": 1, "flag": true,
        "words": ["new"] });
    let made = send(&running, &secret, "POST", "/rest/v1/events", &event);
    assert!(made.json()[0]["id"].as_i64().unwrap() > most, "{}", made.text());
    let twice = send(&running, &secret, "POST", "/rest/v1/tags", &json!({ "name": new["tags"][0]["name"] }));
    assert_eq!(twice.status, 409, "{}", twice.text());
    let nowhere = send(&running, &secret, "POST", "/rest/v1/rounds", &json!({ "code": "x", "event_id": 999_999 }));
    assert_eq!(nowhere.status, 409, "{}", nowhere.text());
    // And back, while that one is written.
    let running = Arc::new(running);
    let writers = Writers::start(&running, &secret, "back");
    while writers.count() < 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, out, errors) = said(&folder, &["move", "--to", "sqlite:data/back.db"], environment);
    assert_eq!(code, 0, "{out}\n{errors}");
    let acknowledged = writers.end();
    let refused = send(&running, &secret, "DELETE", "/rest/v1/tags?id=not.is.null", &Value::Null);
    paused(&refused);
    let old = everything(&running, &secret);
    Arc::into_inner(running).unwrap().stop();
    holds(&old, &acknowledged);
    let running = Running::start(&folder, "serve", &[("UNDERGIRD_STORES_MAIN_URL", "sqlite:data/back.db")]);
    assert!(old == everything(&running, &secret), "the way back lost something");
    let made = send(&running, &secret, "POST", "/rest/v1/events", &event);
    assert_eq!(made.status, 201, "{}", made.text());
    running.stop();
}

#[test]
fn to_postgresql_and_back_while_it_is_written() {
    there_and_back(On::Postgres);
}

#[test]
fn to_mariadb_and_back_while_it_is_written() {
    there_and_back(On::Mysql);
}

/// Starts a move and kills it: when it has said these words, or after a while. Gives whether it was still running.
fn killed(folder: &Folder, to: &str, when: Result<&str, Duration>) -> bool {
    use std::io::BufRead;
    let mut child = undergird(&["move", "--keep-configuration", "--to", to])
        .current_dir(&folder.0)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    match when {
        Ok(words) => {
            let mut told = Vec::new();
            let mut errors = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
            let seen = errors.any(|line| {
                told.push(line);
                told.last().is_some_and(|line| line.contains(words))
            });
            assert!(seen, "it never said {words:?} but {told:#?}");
        }
        Err(after) => std::thread::sleep(after),
    }
    let running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    running
}

fn killed_and_resumed(on: On) {
    let Some(database) = Database::new(on) else { return };
    let to = url(&database);
    let (folder, secret) = blog("200,posts=2000,comments=1000");
    let running = Arc::new(Running::start(&folder, "dev", &[]));
    hard_rows(&running, &secret);
    let writers = Writers::start(&running, &secret, "killed");
    let add = |name: &str| send(&running, &secret, "POST", "/rest/v1/tags", &json!({ "name": name })).status;
    assert_eq!(add("reused"), 201);
    // Before it has copied anything.
    for after in [5, 15, 30] {
        killed(&folder, &to, Err(Duration::from_millis(after)));
    }
    // Each goes on where the one before was killed.
    for words in [
        "copying users",
        "copying posts",
        "comparing posts",
        "following what changes",
        "writes are held",
        "proved equal",
        "making references",
    ] {
        assert!(killed(&folder, &to, Ok(words)), "it was done before it was killed: {words}");
        // A half-moved database is not served.
        let elsewhere = [("UNDERGIRD_STORES_MAIN_URL", to.as_str()), ("UNDERGIRD_SERVER_LISTEN", "127.0.0.1:1")];
        let (code, _, errors) = said(&folder, &["serve"], &elsewhere);
        assert_eq!(code, 1, "{errors}");
        assert!(errors.contains("not at the definition"), "{errors}");
        if words == "copying posts" {
            // What only one row may have is another's now, and the one that had it was copied.
            let gone = send(&running, &secret, "DELETE", "/rest/v1/tags?name=eq.reused", &Value::Null);
            assert_eq!((gone.status, add("reused")), (200, 201));
        }
        if words == "writes are held" {
            // They still are, until somebody says otherwise.
            assert_eq!(add("held"), 503);
            assert_eq!(said(&folder, &["move", "--cancel"], &[]).0, 0);
            assert_eq!(add("cancelled"), 201);
        }
    }
    // And at any moment, until it was done before it was killed.
    let done =
        [60, 150, 300, 500, 800].into_iter().any(|after| !killed(&folder, &to, Err(Duration::from_millis(after))));
    if !done {
        let (code, out, errors) = said(&folder, &["move", "--keep-configuration", "--to", &to], &[]);
        assert_eq!(code, 0, "{out}\n{errors}");
        // The last one may have been killed when it had nothing left to do but say that it is done.
        assert!(errors.contains("interrupted") || out.contains("has these"), "{out}\n{errors}");
    }
    // It is done, and says so; there is nothing to do.
    let (code, out, errors) = said(&folder, &["move", "--keep-configuration", "--to", &to], &[]);
    assert_eq!(code, 0, "{out}\n{errors}");
    assert!(out.contains("has these"), "{out}");
    let acknowledged = writers.end();
    let old = everything(&running, &secret);
    holds(&old, &acknowledged);
    let moved = Running::start(&folder, "serve", &[("UNDERGIRD_STORES_MAIN_URL", &to)]);
    assert!(old == everything(&moved, &secret), "the two servers answer differently");
    moved.stop();
    // Taken back: the old one is written again, and the other is not taken for empty.
    assert_eq!(said(&folder, &["move", "--cancel"], &[]).0, 0);
    assert_eq!(add("again"), 201);
    let (code, _, errors) = said(&folder, &["move", "--to", &to], &[]);
    assert_eq!(code, 1);
    assert!(errors.contains("not empty"), "{errors}");
    assert_eq!(add("still"), 201);
    Arc::into_inner(running).unwrap().stop();
}

#[test]
fn killed_on_the_way_to_postgresql_it_goes_on() {
    killed_and_resumed(On::Postgres);
}

#[test]
fn killed_on_the_way_to_mariadb_it_goes_on() {
    killed_and_resumed(On::Mysql);
}

#[test]
fn what_cannot_be_moved_is_told_and_nothing_is_held() {
    let (folder, secret) = blog("5");
    let check = |arguments: &[&str], code: i32, words: &str| {
        let (found, out, errors) = said(&folder, arguments, &[]);
        assert_eq!(found, code, "{arguments:?}\n{out}\n{errors}");
        assert!(format!("{out}{errors}").contains(words), "{arguments:?}: no {words:?} in\n{out}\n{errors}");
    };
    check(&["move"], 2, "--to");
    check(&["move", "--to", "sqlite:data/main.db"], 2, "that the application is on");
    check(&["move", "--to", "sqlite:data/../data/main.db"], 2, "that the application is on");
    check(&["move", "--to", "oracle://x"], 2, "oracle");
    check(&["move", "--to", "postgres://127.0.0.1:1/x"], 1, "cannot open");
    // Full already, with something else.
    let other = Folder::example("hostile");
    assert_eq!(said(&other, &["migrate"], &[]).0, 0);
    std::fs::rename(other.0.join("data/main.db"), folder.0.join("data/other.db")).unwrap();
    check(&["move", "--to", "sqlite:data/other.db"], 1, "not empty");
    let running = Running::start(&folder, "serve", &[]);
    let made = send(&running, &secret, "POST", "/rest/v1/tags", &json!({ "name": "free" }));
    assert_eq!(made.status, 201, "{}", made.text());
    // From file to file, beside the server; then taken back.
    check(&["move", "--to", "sqlite:data/second.db"], 0, "undergird.toml names the new database");
    assert!(folder.read("undergird.toml").contains("url = \"sqlite:data/second.db\""));
    let made = send(&running, &secret, "POST", "/rest/v1/tags", &json!({ "name": "held" }));
    paused(&made);
    running.stop();
}

/// What stands in the page's `sh` examples, in its order, with what is the reader's replaced by what is the test's.
#[test]
fn the_page_is_true() {
    let Some(database) = Database::new(On::Postgres) else { return };
    let to = url(&database);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/growing-out-of-sqlite.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (application, secret) = blog("20");
    let folder = Folder::new();
    std::fs::rename(&application.0, folder.0.join("blog")).unwrap();
    std::fs::create_dir(folder.0.join("backups")).unwrap();
    let backups = folder.0.join("backups");
    // With a committed migration, which the other database is as far as this one.
    for arguments in [&["migrate", "plan", "--name", "first", "blog"][..], &["migrate", "apply", "blog"]] {
        let (code, out, errors) = said(&folder, arguments, &[]);
        assert_eq!(code, 0, "{arguments:?}\n{out}\n{errors}");
    }
    let mut ran = Vec::new();
    let mut rows = BTreeMap::new();
    let examples = page.split("```").filter_map(|part| part.strip_prefix("sh\n"));
    for line in examples.flat_map(str::lines) {
        let line = line.split(" # ").next().unwrap();
        let line =
            line.replace("postgres://blog@db.example.org/blog", &to).replace("/backups", backups.to_str().unwrap());
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // The test has made it.
            ["createdb", _] => {}
            ["undergird", "serve", "blog"] => {
                let child = Running::start_in(&folder, &["serve", "blog"], &[]);
                let now = everything(&child, &secret);
                assert!(rows.is_empty() || rows == now);
                rows = now;
                child.stop();
            }
            ["undergird", arguments @ ..] => {
                let (code, out, errors) = said(&folder, arguments, &[]);
                assert_eq!(code, 0, "{line}\n{out}\n{errors}");
            }
            other => panic!("what is {other:?}?"),
        }
        ran.push(words.get(1).copied().unwrap_or_default().to_owned());
    }
    assert_eq!(ran, ["backup", "blog", "move", "serve", "move"]);
    let (_, out, _) = said(&folder, &["config", "blog"], &[]);
    assert!(
        out.contains("# undergird.toml") && folder.read("blog/undergird.toml").contains("sqlite:data/back.db"),
        "{out}"
    );
    let back = Running::start_in(&folder, &["serve", "blog"], &[]);
    assert!(everything(&back, &secret) == rows);
    back.stop();
}
