//! What comes between a request's look and its change, every time and not by chance: a second connection holds the row that a request
//! is about to change, the request comes to it and waits, and what its right rested on is taken away before the row is let go
//! (`TRUST.md`, A3). Nothing may have been changed then.
//!
//! Each case is tried twice more as its own control: with nothing held the same request changes the row, and with the same row held a
//! caller without rules changes it. So it is the rule that kept it, and the rule was asked too late or not again if it did not.
//!
//! Absent: what nobody holds; those races are `main.rs`'s.

use crate::nodes::{Http, Nodes, Reply};
use crate::on_each_store;
use crate::second::Second;
use crate::support::databases::On;
use serde_json::{Value as Json, json};

on_each_store!(no_right_outlives_what_it_rests_on, a_change_of_one_row_waits_for_no_other);

/// A request of Alice's, and what happens before it can have what it wants.
struct Case {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    prefer: &'static str,
    /// What it sends; `$alice` is her id.
    body: &'static str,
    /// In the transaction that she waits for.
    meanwhile: &'static [&'static str],
    /// Which row is looked at, and its title when nobody did anything, when she did, and when the second connection alone did (`None`:
    /// there is none).
    row: &'static str,
    titles: [Option<&'static str>; 3],
}

const TAKEN: &str =
    "UPDATE notes SET title = 'taken', owner_id = (SELECT user_id FROM people WHERE name = 'bob') WHERE slug = 'n'";
const DISMISSED: &str = "DELETE FROM members WHERE user_id = (SELECT user_id FROM people WHERE name = 'alice')";
const TOUCHED: &str = "UPDATE docs SET title = 'taken' WHERE slug = 'd'";
const CHANGED: [Option<&str>; 3] = [Some("first"), Some("hers"), Some("taken")];
const REMOVED: [Option<&str>; 3] = [Some("first"), None, Some("taken")];
const MERGE: &str = "resolution=merge-duplicates";

const CASES: &[Case] = &[
    Case {
        name: "the owner of a row that is changed",
        method: "PATCH",
        path: "/rest/v1/notes?slug=eq.n",
        prefer: "",
        body: r#"{"title": "hers"}"#,
        meanwhile: &[TAKEN],
        row: "notes?slug=eq.n",
        titles: CHANGED,
    },
    Case {
        name: "the owner of a row that is changed and shown",
        method: "PATCH",
        path: "/rest/v1/notes?slug=eq.n",
        prefer: "return=representation",
        body: r#"{"title": "hers"}"#,
        meanwhile: &[TAKEN],
        row: "notes?slug=eq.n",
        titles: CHANGED,
    },
    Case {
        name: "the owner of a row that is removed",
        method: "DELETE",
        path: "/rest/v1/notes?slug=eq.n",
        prefer: "",
        body: "",
        meanwhile: &[TAKEN],
        row: "notes?slug=eq.n",
        titles: REMOVED,
    },
    Case {
        name: "the owner of a row that is removed and shown",
        method: "DELETE",
        path: "/rest/v1/notes?slug=eq.n",
        prefer: "return=representation",
        body: "",
        meanwhile: &[TAKEN],
        row: "notes?slug=eq.n",
        titles: REMOVED,
    },
    Case {
        name: "the owner of a row that a merge has found",
        method: "POST",
        path: "/rest/v1/notes",
        prefer: MERGE,
        body: r#"{"slug": "n", "owner_id": "$alice", "title": "hers"}"#,
        meanwhile: &[TAKEN],
        row: "notes?slug=eq.n",
        titles: CHANGED,
    },
    Case {
        name: "membership, of a row that is changed",
        method: "PATCH",
        path: "/rest/v1/docs?slug=eq.d",
        prefer: "",
        body: r#"{"title": "hers"}"#,
        meanwhile: &[DISMISSED, TOUCHED],
        row: "docs?slug=eq.d",
        titles: CHANGED,
    },
    Case {
        name: "membership, of a row that is changed and shown",
        method: "PATCH",
        path: "/rest/v1/docs?slug=eq.d",
        prefer: "return=representation",
        body: r#"{"title": "hers"}"#,
        meanwhile: &[DISMISSED, TOUCHED],
        row: "docs?slug=eq.d",
        titles: CHANGED,
    },
    Case {
        name: "membership, of a row that is removed",
        method: "DELETE",
        path: "/rest/v1/docs?slug=eq.d",
        prefer: "",
        body: "",
        meanwhile: &[DISMISSED, TOUCHED],
        row: "docs?slug=eq.d",
        titles: REMOVED,
    },
    Case {
        name: "membership, of a row that is removed and shown",
        method: "DELETE",
        path: "/rest/v1/docs?slug=eq.d",
        prefer: "return=representation",
        body: "",
        meanwhile: &[DISMISSED, TOUCHED],
        row: "docs?slug=eq.d",
        titles: REMOVED,
    },
    Case {
        name: "membership, of a row that a merge has found",
        method: "POST",
        path: "/rest/v1/docs",
        prefer: MERGE,
        body: r#"{"slug": "d", "project_id": "p", "title": "hers"}"#,
        meanwhile: &[DISMISSED, TOUCHED],
        row: "docs?slug=eq.d",
        titles: CHANGED,
    },
    Case {
        name: "membership, of a row that is moved",
        method: "PATCH",
        path: "/rest/v1/docs?slug=eq.d",
        prefer: "",
        body: r#"{"title": "hers", "project_id": "q"}"#,
        meanwhile: &[DISMISSED, TOUCHED],
        row: "docs?slug=eq.d",
        titles: CHANGED,
    },
    Case {
        name: "membership, of a row that is made and waits for what it refers to",
        method: "POST",
        path: "/rest/v1/docs",
        prefer: "",
        body: r#"{"slug": "new", "project_id": "p", "title": "hers"}"#,
        meanwhile: &["SELECT name FROM projects WHERE name = 'p' FOR UPDATE", DISMISSED],
        row: "docs?slug=eq.new",
        titles: [None, Some("hers"), None],
    },
];

/// The application with its people, and who they are.
struct World {
    nodes: Nodes,
    alice: (String, String),
    bob: String,
}

impl World {
    fn new(on: On) -> Option<World> {
        let nodes = Nodes::start(on, 1)?;
        let mut http = nodes.connect(0).unwrap();
        let mut sign_up = |name: &str| {
            let account = json!({"email": format!("{name}@example.com"), "password": "a long enough password"});
            let made = http.ask("POST", "/auth/v1/signup", &[], Some(&account)).unwrap();
            assert_eq!(made.status, 200, "{made:?}");
            let made = made.json();
            let text = |value: &Json| value.as_str().unwrap().to_owned();
            (text(&made["access_token"]), text(&made["user"]["id"]))
        };
        let (alice, bob) = (sign_up("alice"), sign_up("bob").1);
        let world = World { nodes, alice, bob };
        let people = json!([{"name": "alice", "user_id": world.alice.1}, {"name": "bob", "user_id": world.bob}]);
        world.put("people", &people);
        world.put("projects", &json!([{"name": "p"}, {"name": "q"}]));
        Some(world)
    }

    fn put(&self, collection: &str, rows: &Json) {
        let path = format!("/rest/v1/{collection}");
        let made = self.nodes.connect(0).unwrap().ask("POST", &path, &[("Prefer", MERGE)], Some(rows)).unwrap();
        assert!(matches!(made.status, 200 | 201), "{made:?}");
    }

    /// Everything as it was in the beginning.
    fn reset(&self) {
        let mut http = self.nodes.connect(0).unwrap();
        assert_eq!(http.ask("DELETE", "/rest/v1/docs?slug=eq.new", &[], None).unwrap().status, 204);
        let alice = &self.alice.1;
        self.put("notes", &json!([{"slug": "n", "owner_id": alice, "title": "first"}]));
        self.put("members", &json!([{"project_id": "p", "user_id": alice}, {"project_id": "q", "user_id": alice}]));
        self.put("docs", &json!([{"slug": "d", "project_id": "p", "title": "first"}]));
    }

    fn title(&self, row: &str) -> Option<String> {
        let found = self.nodes.connect(0).unwrap().ask("GET", &format!("/rest/v1/{row}"), &[], None).unwrap().json();
        found[0]["title"].as_str().map(str::to_owned)
    }

    fn ask(&self, mut http: Http, case: &Case) -> Reply {
        let body = case.body.replace("$alice", &self.alice.1);
        let body: Option<Json> = (!body.is_empty()).then(|| serde_json::from_str(&body).unwrap());
        let prefer = [("Prefer", case.prefer)];
        let headers = if case.prefer.is_empty() { &[][..] } else { &prefer };
        http.ask(case.method, case.path, headers, body.as_ref()).unwrap()
    }

    /// The request, while the second connection holds what it needs; it has what it needs when that is over.
    fn ask_meanwhile(&self, second: &mut Second, http: Http, case: &Case) -> Reply {
        second.hold(case.meanwhile);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| self.ask(http, case));
            second.until_waited_for();
            second.commit();
            asked.join().unwrap()
        })
    }

    fn try_case(&self, second: &mut Second, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut is = |what: &str, reply: &Reply, wanted: Option<&str>| {
            let title = self.title(case.row);
            if title.as_deref() != wanted {
                wrong.push(format!("{}, {what}: {title:?} and not {wanted:?} after {reply:?}", case.name));
            }
        };
        let [_, hers, taken] = case.titles;
        self.reset();
        let reply = self.ask(self.nodes.connect_as(&self.alice.0), case);
        is("alone", &reply, hers);
        self.reset();
        let reply = self.ask_meanwhile(second, self.nodes.connect(0).unwrap(), case);
        is("without rules", &reply, hers);
        self.reset();
        let reply = self.ask_meanwhile(second, self.nodes.connect_as(&self.alice.0), case);
        is("too late", &reply, taken);
        if reply.status >= 500 || reply.is_conflict() {
            wrong.push(format!("{}: {reply:?}", case.name));
        }
        wrong
    }
}

async fn no_right_outlives_what_it_rests_on(on: On) {
    let wrong = apart(move || {
        let Some(world) = World::new(on) else { return Vec::new() };
        let mut second = world.nodes.second();
        let wrong: Vec<String> = CASES.iter().flat_map(|case| world.try_case(&mut second, case)).collect();
        drop(second);
        world.nodes.stop();
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever changes a row by its key waits for those who change the same one, and for nobody else. SQLite has one writer.
async fn a_change_of_one_row_waits_for_no_other(on: On) {
    if on == On::Sqlite {
        return;
    }
    apart(move || {
        let Some(nodes) = Nodes::start(on, 1) else { return };
        let mut http = nodes.connect(0).unwrap();
        let rows: Vec<Json> = (0..8).map(|n| json!({"name": format!("c{n}"), "n": n})).collect();
        assert_eq!(http.ask("POST", "/rest/v1/counters", &[], Some(&json!(rows))).unwrap().status, 201);
        let mut second = nodes.second();
        second.hold(&[
            "SELECT n FROM counters WHERE name = 'c0' FOR UPDATE",
            "SELECT n FROM counters WHERE name = 'c7' FOR UPDATE",
        ]);
        for (method, path, prefer, body) in [
            ("PATCH", "counters?name=eq.c1", "return=minimal", Some(json!({"n": 10}))),
            ("PATCH", "counters/c2", "return=representation", Some(json!({"n": 20}))),
            ("POST", "counters", MERGE, Some(json!({"name": "c5", "n": 40}))),
            ("DELETE", "counters?name=eq.c6", "return=minimal", None),
        ] {
            // A database that waits gives up in the end, with another status.
            let reply = http.ask(method, &format!("/rest/v1/{path}"), &[("Prefer", prefer)], body.as_ref()).unwrap();
            assert!(matches!(reply.status, 200 | 204), "{method} {path}: {reply:?}");
        }
        second.commit();
        drop(second);
        nodes.stop();
    });
}

/// On a thread of its own: the second connection waits, and a runtime's threads may not.
fn apart<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(what).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}
