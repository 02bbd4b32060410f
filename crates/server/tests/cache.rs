//! Answers that are kept (`[cache]`), on each store: never older than what was acknowledged before, on whichever node; never another
//! caller's; and kept at all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use support::Folder;
use support::databases::{Database, On};
use undergird::Server;
use undergird_api::http::{Connection, Linger, serve};

on_each_store!(
    an_answer_is_kept_until_its_rows_change,
    what_goes_along_with_a_row_is_heard_of,
    two_nodes_hear_of_each_other,
    nobody_gets_what_another_may_read,
    nothing_is_stale_under_writes,
    one_makes_what_many_ask_for,
    what_cannot_be_kept_is_made_anew,
);

const MODELS: [(&str, &str); 6] = [
    ("teams", "[cache]\n[fields]\nname = { type = \"text\" }\n[access]\nread = \"true\""),
    (
        "authors",
        "[cache]\nseconds = 600\n[fields]\nname = { type = \"text\" }\n\
         team_id = { type = \"ref\", to = \"teams\", optional = true, on_delete = \"set_null\" }\n[access]\nread = \"true\"",
    ),
    (
        "posts",
        "[cache]\n[fields]\ntitle = { type = \"text\" }\nshown = { type = \"bool\", default = true }\n\
         owner = { type = \"uuid\", optional = true, default = { expr = \"auth.id\" } }\n\
         pay = { type = \"int\", optional = true, read = \"owner == auth.id\" }\n\
         author_id = { type = \"ref\", to = \"authors\", optional = true, on_delete = \"cascade\" }\n\
         [access]\nread = \"shown || owner == auth.id\"\ncreate = \"owner == auth.id\"\nupdate = \"owner == auth.id\"",
    ),
    ("counters", "[cache]\n[fields]\nn = { type = \"int\" }\n[access]\nread = \"true\""),
    ("clocks", "[cache]\n[fields]\nat = { type = \"timestamp\" }\n[access]\nread = \"at < now\""),
    (
        "plain",
        "[fields]\nname = { type = \"text\" }\npost_id = { type = \"ref\", to = \"posts\" }\n[access]\nread = \"true\"",
    ),
];

fn application(settings: &str) -> Folder {
    let folder = Folder::new();
    folder.write("undergird.toml", &format!("name = \"test\"\n{settings}"));
    std::fs::create_dir_all(folder.0.join("models")).unwrap();
    for (name, text) in MODELS {
        folder.write(&format!("models/{name}.toml"), text);
    }
    folder
}

async fn open(folder: &Folder, database: &Database) -> Arc<Server> {
    let server = Server::builder(&folder.0)
        .environment(database.environment())
        .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
        .make_keys(true)
        .build()
        .await;
    Arc::new(server.unwrap())
}

/// When nobody has it any more.
async fn close(server: Arc<Server>) {
    Arc::into_inner(server).unwrap().close().await;
}

/// How an answer was come by.
const HIT: &str = "undergird; hit";
const STORED: &str = "undergird; fwd=miss; stored";
const BYPASS: &str = "undergird; fwd=bypass";

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }

    /// The body, and how it was come by.
    fn told(&self) -> (String, &str) {
        (String::from_utf8(self.body.to_vec()).unwrap(), self.header("cache-status"))
    }
}

async fn send(server: &Server, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let response = serve(server.http(), &connection, request.body(Full::new(body)).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// As a visitor.
async fn get(server: &Server, path: &str) -> Answer {
    send(server, Method::GET, path, &[], Value::Null).await
}

/// With the secret key; gives the rows.
async fn write(server: &Server, method: Method, path: &str, body: Value) -> Value {
    let key = server.keys().secret.expose().to_owned();
    let headers = [("apikey", key.as_str()), ("prefer", "return=representation")];
    let answer = send(server, method.clone(), path, &headers, body).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {} {:?}", answer.status, answer.body);
    answer.json()
}

/// The id of the one row that was made.
async fn made(server: &Server, collection: &str, row: Value) -> String {
    let rows = write(server, Method::POST, &format!("/rest/v1/{collection}"), row).await;
    rows[0]["id"].as_str().map_or_else(|| rows[0]["id"].to_string(), str::to_owned)
}

/// A new account's token.
async fn sign_up(server: &Server, name: &str) -> String {
    let body = json!({ "email": format!("{name}@example.org"), "password": "correct horse battery staple" });
    let answer = send(server, Method::POST, "/auth/v1/signup", &[], body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    format!("Bearer {}", answer.json()["access_token"].as_str().unwrap())
}

async fn an_answer_is_kept_until_its_rows_change(on: On) {
    let Some(database) = Database::new(on) else { return };
    let folder = application("");
    let server = open(&folder, &database).await;
    let author = made(&server, "authors", json!({ "name": "Ann" })).await;
    let post = made(&server, "posts", json!({ "title": "one", "author_id": author })).await;
    let list = "/rest/v1/posts?select=title,author:authors(name)&order=title";

    let first = get(&server, list).await;
    assert_eq!(first.told(), (r#"[{"title":"one","author":{"name":"Ann"}}]"#.into(), STORED));
    let again = get(&server, list).await;
    assert_eq!(again.told(), (first.told().0, HIT));
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(again.header("etag"), tag);
    let unchanged = send(&server, Method::GET, list, &[("if-none-match", &tag)], Value::Null).await;
    assert_eq!((unchanged.status, unchanged.body.len(), unchanged.header("etag")), (304, 0, tag.as_str()));
    // Other values, another form, another page: other answers.
    for other in ["&title=eq.two", "&limit=1", "&offset=1"] {
        assert_eq!(get(&server, &format!("{list}{other}")).await.header("cache-status"), STORED, "{other}");
    }
    let csv = send(&server, Method::GET, "/rest/v1/posts?select=title", &[("accept", "text/csv")], Value::Null).await;
    assert_eq!(csv.told(), ("title\r\none\r\n".into(), STORED));
    assert_eq!(get(&server, "/rest/v1/posts?select=title").await.told(), (r#"[{"title":"one"}]"#.into(), STORED));
    let counted = [("prefer", "count=exact")];
    let counted = send(&server, Method::GET, "/rest/v1/posts?select=title", &counted, Value::Null).await;
    assert_eq!((counted.header("cache-status"), counted.header("content-range")), (STORED, "0-0/1"));

    // What has nothing to do with it leaves it be, whatever is read of it besides.
    made(&server, "counters", json!({ "n": 1 })).await;
    made(&server, "plain", json!({ "name": "x", "post_id": post })).await;
    assert_eq!(get(&server, list).await.header("cache-status"), HIT);
    // What was asked to be undone changes nothing, and may cost an answer its place.
    let mut expected = first.told().0;
    let changes = [
        (Method::POST, "/rest/v1/posts".to_owned(), json!({ "title": "two", "author_id": author })),
        (Method::PATCH, format!("/rest/v1/authors/{author}"), json!({ "name": "Anna" })),
        (Method::PATCH, "/rest/v1/posts?title=eq.two".to_owned(), json!({ "title": "three" })),
        (
            Method::POST,
            "/rest/v1/batch".to_owned(),
            json!({ "steps": [{ "method": "DELETE", "path": "/rest/v1/posts?title=eq.three" }] }),
        ),
    ];
    for (method, path, body) in changes {
        assert_eq!(
            get(&server, list).await.told(),
            (expected.clone(), if expected == first.told().0 { HIT } else { STORED })
        );
        assert_eq!(get(&server, list).await.told(), (expected.clone(), HIT));
        write(&server, method.clone(), &path, body).await;
        let now = get(&server, list).await;
        assert_eq!(now.header("cache-status"), STORED, "{method} {path}");
        assert_ne!(now.told().0, expected, "{method} {path}");
        assert_ne!(now.header("etag"), tag);
        expected = now.told().0;
        // So that the next turn's first look is at an answer that was just made.
        write(&server, Method::PATCH, &format!("/rest/v1/posts/{post}"), json!({ "title": "one" })).await;
    }
    assert_eq!(expected, r#"[{"title":"one","author":{"name":"Anna"}}]"#);

    // A row by its key has the tag of its version, as without a cache.
    let path = format!("/rest/v1/posts/{post}");
    let row = get(&server, &path).await;
    assert_eq!((row.status, row.header("cache-status")), (200, STORED));
    let strong = row.header("etag").to_owned();
    assert!(strong.starts_with('"'), "{strong}");
    assert_eq!(get(&server, &path).await.header("cache-status"), HIT);
    let key = server.keys().secret.expose().to_owned();
    let headers = [("apikey", key.as_str()), ("if-match", strong.as_str())];
    let changed = send(&server, Method::PATCH, &path, &headers, json!({ "title": "new" })).await;
    assert_eq!(changed.status, 204, "{:?}", changed.body);
    let row = get(&server, &path).await;
    assert_eq!((row.json()["title"].as_str(), row.header("cache-status")), (Some("new"), STORED));
    assert_ne!(row.header("etag"), strong);
    assert_eq!(get(&server, "/rest/v1/plain").await.header("cache-status"), "", "nobody asked for it to be kept");
    assert_eq!(get(&server, "/rest/v1/plain?select=name,post:posts(title)").await.header("cache-status"), "");
    close(server).await;
}

/// Rows that the database itself removes or changes, since the one that they refer to goes.
async fn what_goes_along_with_a_row_is_heard_of(on: On) {
    let Some(database) = Database::new(on) else { return };
    let folder = application("");
    let server = open(&folder, &database).await;
    let team = made(&server, "teams", json!({ "name": "red" })).await;
    let author = made(&server, "authors", json!({ "name": "Ann", "team_id": team })).await;
    made(&server, "posts", json!({ "title": "one", "author_id": author })).await;
    let (posts, authors) = ("/rest/v1/posts?select=title", "/rest/v1/authors?select=name,team_id");
    for _ in 0..2 {
        get(&server, posts).await;
        get(&server, authors).await;
    }
    write(&server, Method::DELETE, &format!("/rest/v1/teams/{team}"), Value::Null).await;
    assert_eq!(get(&server, authors).await.told(), (r#"[{"name":"Ann","team_id":null}]"#.into(), STORED));
    assert_eq!(get(&server, posts).await.told(), (r#"[{"title":"one"}]"#.into(), HIT), "authors only changed");
    write(&server, Method::DELETE, &format!("/rest/v1/authors/{author}"), Value::Null).await;
    assert_eq!(get(&server, posts).await.told(), ("[]".into(), STORED));
    close(server).await;
}

async fn two_nodes_hear_of_each_other(on: On) {
    let Some(database) = Database::new(on) else { return };
    let folder = application("");
    let nodes = nodes(on, &folder, &database).await;
    let counter = made(&nodes[0], "counters", json!({ "n": 0 })).await;
    let list = "/rest/v1/counters?select=n";
    let mut hits = 0;
    for n in 1..=100 {
        let writer = n % nodes.len();
        write(&nodes[writer], Method::PATCH, &format!("/rest/v1/counters/{counter}"), json!({ "n": n })).await;
        for reader in [writer + 1, writer, writer + 1] {
            let answer = get(&nodes[reader % nodes.len()], list).await;
            let (body, how) = answer.told();
            assert_eq!(body, format!(r#"[{{"n":{n}}}]"#));
            hits += usize::from(how == HIT);
        }
    }
    assert!(hits >= 100, "only {hits} of 300 were kept");
    for node in nodes {
        close(node).await;
    }
}

/// Two on one database; one on SQLite, whose directory is one process's.
async fn nodes(on: On, folder: &Folder, database: &Database) -> Vec<Arc<Server>> {
    let mut nodes = vec![open(folder, database).await];
    if on != On::Sqlite {
        nodes.push(open(folder, database).await);
    }
    nodes
}

/// A command beside the server, or somebody's own tool.
#[tokio::test(flavor = "multi_thread")]
async fn other_processes_are_heard_of_on_sqlite() {
    let database = Database::new(On::Sqlite).unwrap();
    let folder = application("");
    let server = open(&folder, &database).await;
    made(&server, "counters", json!({ "n": 0 })).await;
    let list = "/rest/v1/counters?select=n";
    let mut hits = 0;
    for n in 1..=200 {
        let other = rusqlite::Connection::open(folder.0.join("data/main.db")).unwrap();
        other.execute("UPDATE counters SET n = ?1", [n]).unwrap();
        for _ in 0..3 {
            // Reads of others, whose snapshots the next must not have.
            get(&server, "/rest/v1/plain").await;
            let answer = get(&server, list).await;
            assert_eq!(answer.told().0, format!(r#"[{{"n":{n}}}]"#), "{}", answer.told().1);
            hits += usize::from(answer.told().1 == HIT);
        }
    }
    assert_eq!(hits, 400);
    close(server).await;
}

async fn nobody_gets_what_another_may_read(on: On) {
    let Some(database) = Database::new(on) else { return };
    let folder = application("");
    let server = open(&folder, &database).await;
    let (ann, ben) = (sign_up(&server, "ann").await, sign_up(&server, "ben").await);
    for (who, title, shown) in [(&ann, "ann's", false), (&ben, "ben's", false), (&ann, "all's", true)] {
        let row = json!({ "title": title, "shown": shown, "pay": 7 });
        let answer = send(&server, Method::POST, "/rest/v1/posts", &[("authorization", who)], row).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
    }
    let key = server.keys().secret.expose().to_owned();
    type Headers<'h> = Vec<(&'h str, &'h str)>;
    let callers: [(&str, Headers<'_>, Value); 4] = [
        ("a visitor", vec![], json!([["all's", null]])),
        ("ann", vec![("authorization", &ann)], json!([["all's", 7], ["ann's", 7]])),
        ("ben", vec![("authorization", &ben)], json!([["all's", null], ["ben's", 7]])),
        ("the secret key", vec![("apikey", &key)], json!([["all's", 7], ["ann's", 7], ["ben's", 7]])),
    ];
    for turn in 0..3 {
        for (name, headers, expected) in &callers {
            let path = "/rest/v1/posts?select=title,pay&order=title";
            let answer = send(&server, Method::GET, path, headers, Value::Null).await;
            let rows = answer.json();
            let rows = rows.as_array().unwrap().iter().map(|row| json!([row["title"], row["pay"]])).collect();
            assert_eq!(Value::Array(rows), *expected, "{name}, turn {turn}");
            assert_eq!(answer.header("cache-status"), if turn == 0 { STORED } else { HIT }, "{name}, turn {turn}");
        }
    }
    close(server).await;
}

/// Writers tell everybody what was acknowledged; a reader never reads less than was told before it asked.
async fn nothing_is_stale_under_writes(on: On) {
    const WRITES: i64 = 150;
    let Some(database) = Database::new(on) else { return };
    let folder = application("");
    let nodes = nodes(on, &folder, &database).await;
    let counter = made(&nodes[0], "counters", json!({ "n": 0 })).await;
    let (acknowledged, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let (hits, reads) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut readers = Vec::new();
    for number in 0..6 {
        let node = nodes[number % nodes.len()].clone();
        let (acknowledged, done) = (acknowledged.clone(), done.clone());
        let (hits, reads) = (hits.clone(), reads.clone());
        readers.push(tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let answer = get(&node, "/rest/v1/counters?select=n").await;
                assert_eq!(answer.status, 200, "{:?}", answer.body);
                let n = answer.json()[0]["n"].as_i64().unwrap();
                assert!(n >= least, "{n} was read after {least} was acknowledged: {}", answer.header("cache-status"));
                // What one has read nobody reads less of from now on.
                acknowledged.fetch_max(n, Ordering::SeqCst);
                hits.fetch_add(u64::from(answer.header("cache-status") == HIT), Ordering::Relaxed);
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }));
    }
    for n in 1..=WRITES {
        let path = format!("/rest/v1/counters/{counter}");
        write(&nodes[n as usize % nodes.len()], Method::PATCH, &path, json!({ "n": n })).await;
        acknowledged.fetch_max(n, Ordering::SeqCst);
        // Long enough for an answer to be kept and found, now and then.
        tokio::time::sleep(std::time::Duration::from_millis((n % 5) as u64)).await;
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    let (hits, reads) = (hits.load(Ordering::Relaxed), reads.load(Ordering::Relaxed));
    assert!(hits > 0, "none of {reads} reads found anything kept");
    for node in nodes {
        close(node).await;
    }
}

async fn one_makes_what_many_ask_for(on: On) {
    const AT_ONCE: usize = 40;
    let Some(database) = Database::new(on) else { return };
    let folder = application("");
    let server = open(&folder, &database).await;
    for n in 0..20 {
        made(&server, "counters", json!({ "n": n })).await;
    }
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { get(&server, "/rest/v1/counters?select=n&order=n").await })
        })
        .collect();
    let (mut how, mut bodies) = (BTreeMap::<String, usize>::new(), BTreeMap::<Bytes, usize>::new());
    for task in tasks {
        let answer = task.await.unwrap();
        *how.entry(answer.header("cache-status").to_owned()).or_default() += 1;
        *bodies.entry(answer.body).or_default() += 1;
    }
    assert_eq!(how, BTreeMap::from([(STORED.to_owned(), 1), (HIT.to_owned(), AT_ONCE - 1)]));
    assert_eq!(bodies.len(), 1);
    close(server).await;
}

async fn what_cannot_be_kept_is_made_anew(on: On) {
    let Some(database) = Database::new(on) else { return };
    let folder = application("[limits]\ncache_bytes = 40000\n");
    let server = open(&folder, &database).await;
    made(&server, "clocks", json!({ "at": "2020-01-01T00:00:00Z" })).await;
    let post = made(&server, "posts", json!({ "title": "x".repeat(6_000) })).await;
    made(&server, "plain", json!({ "name": "p", "post_id": post })).await;
    for _ in 0..2 {
        assert_eq!(get(&server, "/rest/v1/clocks?select=at").await.header("cache-status"), BYPASS, "the clock");
        let embedded = get(&server, "/rest/v1/posts?select=shown,plain(name)").await;
        assert_eq!(
            embedded.told(),
            (r#"[{"shown":true,"plain":[{"name":"p"}]}]"#.into(), BYPASS),
            "plain is not heard of"
        );
        let large = get(&server, "/rest/v1/posts?select=title").await;
        assert_eq!(large.header("cache-status"), "undergird; fwd=miss; detail=too-large");
    }
    // Those that were found least lately go, and no more is kept than is allowed.
    for n in 0..300 {
        assert_eq!(get(&server, &format!("/rest/v1/posts?select=shown&title=neq.{n}")).await.status, 200);
    }
    let kept = || {
        let figures = server.engine().figures();
        figures.iter().find(|(name, ..)| *name == "cache_bytes").map(|(.., value)| *value).unwrap()
    };
    for _ in 0..100 {
        // Its upkeep is done by those who ask.
        get(&server, "/rest/v1/posts?select=shown&title=neq.299").await;
        if kept() <= 40_000.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!((1_000.0..=40_000.0).contains(&kept()), "{}", kept());

    let off = application("[limits]\ncache_bytes = 0\n");
    let other = Database::new(on).unwrap();
    let server_without = open(&off, &other).await;
    assert_eq!(get(&server_without, "/rest/v1/posts").await.header("cache-status"), "");
    close(server_without).await;
    close(server).await;
}
