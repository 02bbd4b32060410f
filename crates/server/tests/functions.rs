//! Functions of the database, made by SQL and declared, called as a visitor, as users and with a secret key. On PostgreSQL; the others
//! refuse a definition that has any.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use support::Folder;
use support::databases::{Database, On};
use undergird::{SchemaPolicy, Server};
use undergird_api::http::{Connection, Linger, serve};

const APPLICATION: &str = "[auth]\nprofile = \"people\"\n";
const PEOPLE: &str = "[fields]\nname = { type = \"text\", default = \"\" }\n[access]\nread = \"true\"\n";
const PLACES: &str = r#"
[fields]
id = { type = "int" }
name = { type = "text" }
far = { type = "int" }
owner_id = { type = "ref", to = "people", optional = true }
note = { type = "text", optional = true, read = "auth.id != null && owner_id == auth.id" }
public = { type = "bool", default = true }
[access]
read = "public || auth.id != null && owner_id == auth.id"
"#;

/// The functions as people make them. `calls` counts how often the volatile ones ran.
const SQL: &str = r#"
CREATE SEQUENCE calls;
CREATE FUNCTION near(within integer, _name text DEFAULT NULL) RETURNS SETOF places STABLE LANGUAGE sql AS
  $$ SELECT * FROM places WHERE far <= within AND (_name IS NULL OR name = _name) ORDER BY far DESC $$;
CREATE FUNCTION nearest() RETURNS places STABLE LANGUAGE sql AS $$ SELECT * FROM places ORDER BY far LIMIT 1 $$;
CREATE FUNCTION touched(more integer) RETURNS SETOF places LANGUAGE plpgsql AS
  $$ BEGIN PERFORM nextval('calls'); RETURN QUERY UPDATE places SET far = far + more RETURNING *; END $$;
CREATE FUNCTION add_all(a integer, b smallint DEFAULT 1) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$ SELECT a::bigint + b $$;
CREATE FUNCTION words(sentence text, picks text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE sql AS
  $$ SELECT nextval('calls')::text UNION ALL SELECT unnest(string_to_array(sentence, ' ') || picks) $$;
CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS $$ SELECT nextval('calls'); DELETE FROM places WHERE far > 1000 $$;
CREATE FUNCTION kinds(t timestamptz, d date, f real, j json, u uuid, o bytea, n numeric, l integer[], v varchar)
  RETURNS jsonb STABLE LANGUAGE sql AS
  $$ SELECT jsonb_build_object('t', t AT TIME ZONE 'UTC', 'd', d, 'f', f, 'j', j, 'u', u, 'o', encode(o, 'hex'), 'n', n, 'l', l, 'v', v) $$;
CREATE FUNCTION refuse(state text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO places (id, name, far) VALUES (99, 'gone', 1);
  RAISE EXCEPTION 'no more seats' USING ERRCODE = state, DETAIL = 'all taken', HINT = 'come early'; END $$;
CREATE FUNCTION slow() RETURNS integer STABLE LANGUAGE sql AS $$ SELECT 1 FROM pg_sleep(30) $$;
CREATE SCHEMA inner_part;
CREATE FUNCTION inner_part.mine() RETURNS boolean STABLE LANGUAGE sql AS $$ SELECT true $$;
"#;

const ANYBODY: &str = "access = \"true\"\n";

fn declared() -> Vec<(&'static str, String)> {
    let open = |text: &str| format!("{ANYBODY}{text}");
    vec![
        (
            "near",
            open(
                "volatility = \"stable\"\nreturns = { rows = \"places\" }\n[arguments]\nwithin = { type = \"int\", max = 5000000000 }\n\
                 name = { type = \"text\", optional = true, sql = \"_name\" }\n",
            ),
        ),
        ("nearest", open("volatility = \"stable\"\nreturns = { row = \"places\" }\n")),
        (
            "touched",
            "access = \"auth.role == 'authenticated'\"\nreturns = { rows = \"places\" }\n[arguments]\nmore = { type = \"int\" }\n".into(),
        ),
        (
            "add_all",
            open(
                "volatility = \"immutable\"\nreturns = { type = \"int\" }\n[arguments]\na = { type = \"int\", min = 0 }\n\
                 b = { type = \"int\", optional = true }\n",
            ),
        ),
        (
            "words",
            open(
                "returns = { type = \"text\", list = true }\n[arguments]\nsentence = { type = \"text\" }\n\
                 picks = { type = \"list\", of = \"text\", optional = true }\n",
            ),
        ),
        ("forget", String::new()),
        (
            "kinds",
            open(
                "volatility = \"stable\"\nreturns = { type = \"json\" }\n[arguments]\nt = { type = \"timestamp\" }\nd = { type = \"date\" }\n\
                 f = { type = \"float\" }\nj = { type = \"json\" }\nu = { type = \"uuid\" }\no = { type = \"bytes\" }\n\
                 n = { type = \"decimal\", precision = 9, scale = 2 }\nl = { type = \"list\", of = \"int\" }\nv = { type = \"text\" }\n",
            ),
        ),
        ("refuse", open("[arguments]\nstate = { type = \"text\" }\n")),
        ("slow", open("volatility = \"stable\"\nreturns = { type = \"int\" }\n")),
        (
            "mine",
            "sql = \"inner_part.mine\"\nvolatility = \"stable\"\nreturns = { type = \"bool\" }\naccess = \"auth.email == 'ann@example.org'\"\n"
                .into(),
        ),
    ]
}

struct World {
    folder: Folder,
    server: Server,
    tokens: BTreeMap<&'static str, String>,
    database: Database,
}

struct Reply {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl World {
    async fn new() -> Option<World> {
        let database = Database::new(On::Postgres)?;
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        std::fs::create_dir_all(folder.0.join("functions")).unwrap();
        folder.write("undergird.toml", APPLICATION);
        folder.write("models/people.toml", PEOPLE);
        folder.write("models/places.toml", PLACES);
        // The tables come first: functions give their rows.
        open(&folder, &database).await.unwrap().close().await;
        database.execute(SQL);
        for (name, text) in declared() {
            folder.write(&format!("functions/{name}.toml"), &text);
        }
        let server = open(&folder, &database).await.unwrap_or_else(|error| panic!("{error}"));
        let mut world = World { folder, server, tokens: BTreeMap::new(), database };
        let mut ids = BTreeMap::new();
        for who in ["ann", "bob"] {
            let body = json!({ "email": format!("{who}@example.org"), "password": "correct horse" });
            let reply = world.send("nobody", "POST", "/auth/v1/signup", &[], &body.to_string()).await;
            let session: Json = serde_json::from_str(&reply.body).unwrap();
            world.tokens.insert(who, session["access_token"].as_str().unwrap().to_owned());
            ids.insert(who, session["user"]["id"].as_str().unwrap().to_owned());
        }
        world.tokens.insert("key", world.server.keys().secret.expose().to_owned());
        let ann = &ids["ann"];
        world.database.execute(&format!(
            "INSERT INTO places (id, name, far, owner_id, note, public) VALUES (1, 'inn', 10, '{ann}', 'ann only', true), \
             (2, 'cave', 20, '{ann}', 'hidden cave', false), (3, 'pier', 30, NULL, 'nobody', true)"
        ));
        Some(world)
    }

    async fn send(&self, who: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(token) = self.tokens.get(who) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = serve(self.server.http(), &connection, request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Reply { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// One request: `POST near {"within":5}` or `GET near?within=5`, with headers after it, as `prefer: count=exact`. What comes back is
    /// the status, the range and the body; of a problem the code, the message and the details.
    async fn check(&self, who: &str, asked: &str, expected: &str) {
        let mut lines = asked.lines().map(str::trim);
        let first = lines.next().unwrap();
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let (method, rest) = first.split_once(' ').unwrap();
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let reply = self.send(who, method, &format!("/rest/v1/rpc/{path}"), &headers, body).await;
        let range = reply.headers.get("content-range").map(|range| format!(" {}", range.to_str().unwrap()));
        let problem: Json = serde_json::from_str(&reply.body).unwrap_or_default();
        let told = match problem.get("request_id") {
            Some(_) => {
                let words = ["code", "message", "details", "hint"].map(|name| problem[name].as_str().unwrap_or("-"));
                format!("{}\n{}", reply.status, words.join(" | "))
            }
            None => format!(
                "{}{}\n{}",
                reply.status,
                range.unwrap_or_default(),
                reply.body.trim_end().replace("\r\n", "\n")
            ),
        };
        assert_eq!(told.trim_end(), expected, "{who}: {asked}");
    }

    fn calls(&self) -> String {
        self.database.text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END::text FROM calls")
    }
}

async fn open(folder: &Folder, database: &Database) -> Result<Server, undergird::StartError> {
    Server::builder(&folder.0)
        .environment(database.environment())
        .schema(SchemaPolicy::Follow { accept_data_loss: false })
        .make_keys(true)
        .build()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_called() {
    let Some(world) = World::new().await else { return };
    // Rows of a collection: in the function's own order, hidden ones left out and not counted, masked fields null.
    let all = r#"POST near?select=id,name,note {"within":100}"#;
    world
        .check(
            "nobody",
            all,
            "200 0-1/*\n[{\"id\":3,\"name\":\"pier\",\"note\":null},{\"id\":1,\"name\":\"inn\",\"note\":null}]",
        )
        .await;
    let counted = format!("{all}\nprefer: count=exact");
    world
        .check(
            "nobody",
            &counted,
            "200 0-1/2\n[{\"id\":3,\"name\":\"pier\",\"note\":null},{\"id\":1,\"name\":\"inn\",\"note\":null}]",
        )
        .await;
    let planned = format!("{all}\nprefer: count=planned");
    world
        .check(
            "nobody",
            &planned,
            "200 0-1/2\n[{\"id\":3,\"name\":\"pier\",\"note\":null},{\"id\":1,\"name\":\"inn\",\"note\":null}]",
        )
        .await;
    world.check("bob", "GET near?within=100&select=id&note=not.is.null", "200 */*\n[]").await;
    world
        .check("ann", all, "200 0-2/*\n[{\"id\":3,\"name\":\"pier\",\"note\":null},{\"id\":2,\"name\":\"cave\",\"note\":\"hidden cave\"},{\"id\":1,\"name\":\"inn\",\"note\":\"ann only\"}]")
        .await;
    world
        .check("key", all, "200 0-2/*\n[{\"id\":3,\"name\":\"pier\",\"note\":\"nobody\"},{\"id\":2,\"name\":\"cave\",\"note\":\"hidden cave\"},{\"id\":1,\"name\":\"inn\",\"note\":\"ann only\"}]")
        .await;
    // All that a collection can be asked.
    world.check("key", "GET near?within=100&select=id&order=far&limit=1&offset=1", "200 1-1/*\n[{\"id\":2}]").await;
    world.check("key", "GET near?within=100&select=id&name=eq.inn", "200 0-0/*\n[{\"id\":1}]").await;
    world.check("key", "GET near?within=100&name=inn&select=id&name=eq.inn", "200 0-0/*\n[{\"id\":1}]").await;
    world
        .check(
            "key",
            "GET near?within=100&select=id&or=(id.eq.1,id.eq.3)&order=id",
            "200 0-1/*\n[{\"id\":1},{\"id\":3}]",
        )
        .await;
    world
        .check("ann", "GET near?within=10&select=id,owner(name)", "200 0-0/*\n[{\"id\":1,\"owner\":{\"name\":\"\"}}]")
        .await;
    world.check("nobody", "GET near?within=100&select=far.sum()", "200 0-0/*\n[{\"sum\":40}]").await;
    world.check("nobody", "GET near?within=100&select=id,far\naccept: text/csv", "200 0-1/*\nid,far\n3,30\n1,10").await;
    world
        .check(
            "nobody",
            "GET near?within=10&select=id\naccept: application/vnd.pgrst.object+json",
            "200 0-0/*\n{\"id\":1}",
        )
        .await;
    world.check("nobody", "GET near?within=100&select=id\nrange: 0-0", "200 0-0/*\n[{\"id\":3}]").await;
    world.check("nobody", "POST near {\"within\":100}\nprefer: return=minimal, count=exact", "204 0-1/2").await;
    world.check("nobody", "HEAD near?within=100\nprefer: count=exact", "200 0-1/2").await;
    world
        .check("nobody", "GET near?within=100&select=wrong", "400\n42703 | column places.wrong does not exist | - | -")
        .await;
    // One row, or none.
    world.check("nobody", "GET nearest?select=id", "200 0-0/*\n{\"id\":1}").await;
    world.check("nobody", "GET nearest?select=id&id=eq.7", "200 */*\nnull").await;
    // Values.
    world.check("nobody", "POST add_all {\"a\":4000000,\"b\":3}", "200 0-0/*\n4000003").await;
    world.check("nobody", "GET add_all?a=1", "200 0-0/*\n2").await;
    world.check("nobody", "POST add_all {\"a\":1,\"b\":null}", "200 0-0/*\nnull").await;
    let kinds = json!({ "t": "2026-01-02T03:04:05.678Z", "d": "2026-02-03", "f": 1.5, "j": { "a": [1, "\"x\\"] }, "n": 12.34,
        "u": "0190a6f1-0000-7000-8000-000000000001", "o": "AP8=", "l": [1, -2], "v": "it's \"{}\" \\ ok" });
    let back = json!({ "d": "2026-02-03", "f": 1.5, "j": { "a": [1, "\"x\\"] }, "l": [1, -2], "n": 12.34, "o": "00ff",
        "t": "2026-01-02T03:04:05.678", "u": "0190a6f1-0000-7000-8000-000000000001", "v": "it's \"{}\" \\ ok" });
    let reply = world.send("nobody", "POST", "/rest/v1/rpc/kinds", &[], &kinds.to_string()).await;
    assert_eq!(serde_json::from_str::<Json>(&reply.body).unwrap(), back, "{}", reply.status);
    world.check("key", "POST forget", "204").await;
    world.check("ann", "GET mine", "200 0-0/*\ntrue").await;
    // Mistakes.
    world
        .check(
            "nobody",
            "POST neer {}",
            "404\nPGRST202 | Could not find the function 'neer' | - | Perhaps you meant to call the function 'near'",
        )
        .await;
    world
        .check("nobody", "POST near {\"withn\":1}", "404\nPGRST202 | Could not find the function 'near' with withn | near takes within, name (optional). | Perhaps you meant the argument 'within'")
        .await;
    world
        .check("nobody", "GET near?withn=1", "404\nPGRST202 | Could not find the function 'near' with withn | near takes within, name (optional). | Perhaps you meant the argument 'within'")
        .await;
    world
        .check("nobody", "POST near", "404\nPGRST202 | Could not find the function 'near' with no arguments | near takes within, name (optional). | -")
        .await;
    world
        .check("nobody", "GET touched?more=1", "405\nPGRST101 | The method does not call this function | - | Call it by POST: it is volatile, so it may change something.")
        .await;
    let reply = world.send("nobody", "DELETE", "/rest/v1/rpc/near", &[], "").await;
    assert_eq!((reply.status, reply.headers["allow"].to_str().unwrap()), (405, "POST, GET, HEAD, OPTIONS"));
    let reply = world.send("nobody", "POST", "/rest/v1/rpc/add_all", &[], "{\"a\":\"x\",\"b\":true}").await;
    let problem: Json = serde_json::from_str(&reply.body).unwrap();
    let pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!((reply.status, pointers), (422, vec!["/a", "/b"]), "{problem}");
    world.check("nobody", "POST add_all {\"a\":-1}", "422\n23514 | a: a must be at least 0 | - | -").await;
    // Past what the function's own type holds.
    world
        .check("nobody", "POST near {\"within\":4000000000}", "400\n22003 | The function does not take one of these values | - | The server's log has the reason under this request_id.")
        .await;
    // Who may not.
    world.check("nobody", "GET mine", "401\n42501 | permission denied for function mine | - | -").await;
    world.check("bob", "GET mine", "403\n42501 | permission denied for function mine | - | -").await;
    world
        .check("ann", "POST forget", "403\n42501 | permission denied for function forget | - | Nobody but a secret key may call it: the function has no `access` rule.")
        .await;
    world
        .check("nobody", "POST touched {\"more\":1}", "401\n42501 | permission denied for function touched | - | -")
        .await;
    world.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_is_called_once() {
    let Some(world) = World::new().await else { return };
    assert_eq!(world.calls(), "0");
    // Rules hold for what it gives, and it has run, whether anything of it is to be seen.
    let touch = "POST touched?select=id,far&order=id {\"more\":1}\nprefer: count=exact";
    world.check("bob", touch, "200 0-1/2\n[{\"id\":1,\"far\":11},{\"id\":3,\"far\":31}]").await;
    world.check("bob", "POST touched?select=id&id=eq.7 {\"more\":1}", "200 */*\n[]").await;
    world.check("bob", "POST touched?select=id&limit=0 {\"more\":1}", "200 */*\n[]").await;
    world.check("ann", "POST touched?select=id,owner!inner(name)&owner.name=eq.x {\"more\":1}", "200 */*\n[]").await;
    assert_eq!(world.calls(), "4");
    world
        .check(
            "ann",
            "POST words?limit=2&offset=1 {\"sentence\":\"a b, c\",\"picks\":[\"{\",\"\\\"\"]}\nprefer: count=exact",
            "206 1-2/6\n[\"a\",\"b,\"]",
        )
        .await;
    assert_eq!(world.calls(), "5");
    // Taken back: on demand, when the answer is not as demanded, when it raises.
    world
        .check(
            "bob",
            "POST touched?select=far&id=eq.1 {\"more\":100}\nprefer: tx=rollback",
            "200 0-0/*\n[{\"far\":114}]",
        )
        .await;
    let single = "POST touched?select=far {\"more\":100}\naccept: application/vnd.pgrst.object+json";
    world
        .check(
            "bob",
            single,
            "406\nPGRST116 | Cannot coerce the result to a single JSON object | The result contains 2 rows | -",
        )
        .await;
    world
        .check("nobody", "POST refuse {\"state\":\"P0001\"}", "400\nP0001 | no more seats | all taken | come early")
        .await;
    world
        .check("nobody", "POST refuse {\"state\":\"PT402\"}", "402\nPT402 | no more seats | all taken | come early")
        .await;
    world
        .check("nobody", "POST refuse {\"state\":\"23505\"}", "409\n23505 | no more seats | all taken | come early")
        .await;
    world
        .check("nobody", "POST refuse {\"state\":\"XX001\"}", "500\nXX000 | Something went wrong on the server | - | The server's log has the reason under this request_id.")
        .await;
    world.check("bob", "GET near?within=20&select=id,far", "200 0-0/*\n[{\"id\":1,\"far\":14}]").await;
    assert!(!format!("{:?}", world.database.dump(&world.folder.0)["places"]).contains("gone"));
    // The same key: the same answer, not the same deed.
    let once = "POST touched?select=far&id=eq.1 {\"more\":5}\nidempotency-key: k";
    world.check("bob", once, "200 0-0/*\n[{\"far\":19}]").await;
    world.check("bob", once, "200 0-0/*\n[{\"far\":19}]").await;
    world.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds() {
    let Some(world) = World::new().await else { return };
    let World { folder, server, database, tokens } = world;
    server.close().await;
    folder.write("undergird.toml", &format!("{APPLICATION}[limits]\nstatement_seconds = 1\n"));
    let server = open(&folder, &database).await.unwrap();
    let world = World { folder, server, database, tokens };
    world.check("nobody", "GET slow", "503\n57014 | canceling statement due to statement timeout | - | -").await;
    world.server.close().await;
}

/// Each difference is told, with what to write; the server does not start.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_declared_is_refused() {
    let Some(world) = World::new().await else { return };
    let World { folder, server, database, .. } = world;
    server.close().await;
    for (name, text, expected) in [
        (
            "gone",
            "returns = { type = \"int\" }\n[arguments]\na = { type = \"text\", optional = true }\n",
            "the database has no function gone: make it as CREATE FUNCTION \"gone\"(\"a\" text DEFAULT NULL) RETURNS bigint VOLATILE …",
        ),
        ("nearest", "returns = { row = \"places\" }\n", "nearest is stable: write volatility = \"stable\""),
        (
            "nearest",
            "volatility = \"stable\"\nreturns = { rows = \"places\" }\n",
            "nearest returns places: write returns = { row = \"places\" }",
        ),
        (
            "nearest",
            "volatility = \"stable\"\nreturns = { row = \"people\" }\n",
            "nearest returns places: write returns = { row = \"places\" }",
        ),
        ("nearest", "volatility = \"stable\"\n", "nearest returns places: write returns = { row = \"places\" }"),
        (
            "slow",
            "volatility = \"stable\"\nreturns = { type = \"text\" }\n",
            "slow returns integer: write returns = { type = \"int\" }",
        ),
        (
            "words",
            "returns = { type = \"text\" }\n[arguments]\nsentence = { type = \"text\" }\n",
            "words returns SETOF text: write returns = { type = \"text\", list = true }",
        ),
        ("forget", "returns = { type = \"int\" }\n", "forget returns void: write no returns"),
        (
            "add_all",
            "volatility = \"immutable\"\nreturns = { type = \"int\" }\n[arguments]\na = { type = \"bool\" }\nc = { type = \"int\" }\n",
            "the argument \"a\" of add_all is integer: write a = { type = \"int\" }\n  functions/add_all.toml: add_all has no argument \"c\": it has a, b",
        ),
        (
            "add_all",
            "volatility = \"immutable\"\nreturns = { type = \"int\" }\n",
            "add_all takes \"a\": write a = { type = \"int\" } in [arguments]",
        ),
        (
            "add_all",
            "volatility = \"immutable\"\nreturns = { type = \"int\" }\n[arguments]\na = { type = \"int\", optional = true }\n",
            "the argument \"a\" of add_all has no DEFAULT: give it one, or remove optional from a",
        ),
    ] {
        let before = folder.0.join(format!("functions/{name}.toml"));
        let kept = std::fs::read_to_string(&before).ok();
        folder.write(&format!("functions/{name}.toml"), text);
        let told = match open(&folder, &database).await {
            Ok(_) => panic!("{name} is as declared: {text}"),
            Err(error) => error.to_string(),
        };
        let expected =
            format!("the functions of the database are not as declared:\n  functions/{name}.toml: {expected}");
        assert_eq!(told, expected, "{text}");
        match kept {
            Some(kept) => folder.write(&format!("functions/{name}.toml"), &kept),
            None => std::fs::remove_file(before).unwrap(),
        }
    }
    database.execute("CREATE FUNCTION add_all(z text) RETURNS integer LANGUAGE sql AS 'SELECT 1'");
    let told = open(&folder, &database).await.map(|_| ()).unwrap_err().to_string();
    assert!(told.ends_with("there are 2 functions add_all: give this one a name of its own"), "{told}");
}

/// A store that has no functions refuses the definition by that name.
#[test]
fn a_store_without_functions_refuses_the_definition() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.join("models")).unwrap();
    std::fs::create_dir_all(folder.0.join("functions")).unwrap();
    folder.write("models/places.toml", "[fields]\nname = { type = \"text\" }\n");
    folder.write("functions/near.toml", "returns = { rows = \"places\" }\n");
    support::said(&folder, &["keys"], &[]);
    for command in ["serve", "migrate"] {
        let (code, _, errors) = support::said(&folder, &[command], &[]);
        assert_eq!(code, 2, "{errors}");
        let expected = "functions/near.toml: sqlite has no functions of the database. Remove functions/, or keep the data in PostgreSQL.";
        assert!(errors.contains(expected), "{errors}");
    }
}
