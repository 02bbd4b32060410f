//! The attack (TRUST.md, A to C): every operation of examples/hostile and examples/blog as nobody, as a stranger and as another
//! tenant. Nothing may be read, changed or found out, by any path, by anybody whom the rules do not let.
//!
//! Each answer to anybody is searched for canaries on its way out ([`world::World::ask`]). Absent: what the rules *do* permit; the
//! suites of `plan`, `store` and `tests/e2e` hold that.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod differential;
mod inputs;
#[path = "../support/mod.rs"]
mod support;
mod world;

use crate::support::databases::On;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use undergird_model::operation::OperationKind;
use undergird_model::schema::Returns;
use world::{ABSENT, Reply, Who, World};

on_each_store!(
    denied_requests_have_no_effect,
    a_collection_without_rules_is_closed,
    another_tenants_key_is_as_good_as_none,
    internal_tables_have_no_name,
    the_blog_is_no_softer,
);
on_the_wall!(
    denied_requests_have_no_effect,
    a_collection_without_rules_is_closed,
    another_tenants_key_is_as_good_as_none,
    internal_tables_have_no_name,
    the_blog_is_no_softer,
);

/// Operations that no attack reaches. It may only get shorter.
const NOT_REACHED: &[&str] = &[];

/// Those who must not get at what the first tenant has.
const ATTACKERS: [Who; 3] = [Who::Nobody, Who::Stranger, Who::Other];

/// A7, A8: each operation, by those who may not. Nothing changes, and no operation is left out.
async fn denied_requests_have_no_effect(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let before = world.dump();
    let mut reached = BTreeSet::new();
    for operation in world.operations() {
        for who in ATTACKERS {
            for (method, target, body) in attempts(&world, &operation.kind, &operation.path) {
                let reply = world.ask(who, method, &target, &[], body.clone()).await;
                // 303: a link of a mail leads on, with the error in its URL.
                let denied = matches!(reply.status, 303 | 400 | 401 | 403 | 404 | 405 | 409 | 412 | 415 | 422);
                // A write that finds nothing to write to, and what is everybody's to see.
                let empty = matches!(reply.status, 200 | 204) && (method == "GET" || reply.writes_nothing());
                assert!(denied || empty, "{who:?} {method} {target} {body:?}: {reply:?}");
                reached.insert(operation.id.clone());
            }
        }
    }
    assert_eq!(world.dump(), before, "a denied request changed something");
    let missed: Vec<String> =
        world.operations().into_iter().map(|operation| operation.id).filter(|id| !reached.contains(id)).collect();
    assert_eq!(missed, NOT_REACHED);
}

/// Requests to an operation that must come to nothing. Of writes, those at the first tenant's rows.
fn attempts(world: &World, kind: &OperationKind, path: &str) -> Vec<(&'static str, String, Option<Json>)> {
    let rows = |id: &undergird_model::CollectionId| {
        let name = world.model().collection(*id).name.clone();
        let (key, body) = (world.victim_key(&name), world.victim_body(&name));
        (format!("/rest/v1/{name}"), key, body)
    };
    match kind {
        OperationKind::List(id) => {
            let (path, ..) = rows(id);
            vec![
                ("GET", path.clone(), None),
                ("HEAD", path.clone(), None),
                ("GET", format!("{path}?select=count()"), None),
            ]
        }
        OperationKind::Read(id) => {
            let (path, key, _) = rows(id);
            vec![("GET", format!("{path}/{key}"), None)]
        }
        OperationKind::Create(id) => {
            let (path, _, body) = rows(id);
            vec![("POST", path.clone(), Some(body.clone())), ("POST", path.clone(), Some(json!([body, body])))]
        }
        OperationKind::Update(id) => {
            let (path, _, body) = rows(id);
            let filter = world.victim_filter(&world.model().collection(*id).name);
            vec![("PATCH", format!("{path}?{filter}"), Some(body))]
        }
        OperationKind::UpdateOne(id) => {
            let (path, key, body) = rows(id);
            vec![("PATCH", format!("{path}/{key}"), Some(body))]
        }
        OperationKind::Replace(id) => {
            let (path, _, body) = rows(id);
            let filter = world.victim_filter(&world.model().collection(*id).name);
            vec![("PUT", format!("{path}?{filter}"), Some(body))]
        }
        OperationKind::ReplaceOne(id) => {
            let (path, key, body) = rows(id);
            vec![("PUT", format!("{path}/{key}"), Some(body))]
        }
        OperationKind::Delete(id) => {
            let (path, ..) = rows(id);
            let filter = world.victim_filter(&world.model().collection(*id).name);
            vec![("DELETE", format!("{path}?{filter}"), None)]
        }
        OperationKind::DeleteOne(id) => {
            let (path, key, _) = rows(id);
            vec![("DELETE", format!("{path}/{key}"), None)]
        }
        OperationKind::Batch => {
            let model = world.model();
            let writes = model.public().flat_map(|collection| {
                let (name, path) = (&collection.name, format!("/rest/v1/{}", collection.name));
                let row = format!("{path}/{}", world.victim_key(name));
                [
                    json!({"method": "POST", "path": path, "body": world.victim_body(name)}),
                    json!({"method": "PATCH", "path": row, "headers": {"if-match": "*"}, "body": world.victim_body(name)}),
                    json!({"method": "DELETE", "path": row, "headers": {"if-match": "*"}}),
                ]
            });
            writes.map(|step| ("POST", "/rest/v1/batch".to_owned(), Some(json!({"steps": [step]})))).collect()
        }
        OperationKind::Call(id) => {
            let model = world.model();
            let filter = match &model.function(*id).returns {
                Returns::Rows { of, .. } => format!("?{}", world.victim_filter(&model.collection(*of).name)),
                Returns::Value { .. } | Returns::Nothing => String::new(),
            };
            let target = format!("{path}{filter}");
            vec![("POST", target.clone(), Some(json!({}))), ("GET", target.clone(), None), ("HEAD", target, None)]
        }
        OperationKind::Auth(_) => world.auth_attempts(path),
        // More of them in `tests/pages.rs`, with forms.
        OperationKind::Page(_) => {
            let body =
                json!({"email": "kanari-victim@example.com", "password": "another long password", "kind": "recovery"});
            vec![("GET", path.to_owned(), None), ("POST", path.to_owned(), Some(body))]
        }
        OperationKind::Service(_) => vec![("GET", path.to_owned(), None)],
    }
}

/// A1: a collection without rules is nobody's, whoever they are, by whichever verb and path.
async fn a_collection_without_rules_is_closed(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let before = world.dump();
    let key = world.victim_key("secrets");
    for who in [Who::Nobody, Who::Stranger, Who::Other, Who::Mate, Who::Victim] {
        for target in
            ["/rest/v1/secrets".to_owned(), format!("/rest/v1/secrets/{key}"), "/rest/v1/secrets?select=count()".into()]
        {
            for method in ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"] {
                let body = (!matches!(method, "GET" | "HEAD" | "DELETE")).then(|| json!({"name": "x", "value": "y"}));
                let reply = world.ask(who, method, &target, &[], body).await;
                assert!(matches!(reply.status, 401 | 403 | 404 | 405), "{who:?} {method} {target}: {reply:?}");
            }
        }
        // By way of others: the relation is as good as not there, or empty.
        let reply = world.ask(who, "GET", "/rest/v1/docs?select=id,secrets(*)", &[], None).await;
        assert!(!reply.text().contains("\"value\""), "{reply:?}");
        let reply = world.ask(who, "GET", "/rest/v1/docs?select=id,secrets!inner(*)", &[], None).await;
        assert!(reply.status >= 400 || reply.text() == "[]", "{reply:?}");
    }
    assert_eq!(world.dump(), before);
}

/// A2: the key of another tenant's row answers as one that nobody has, byte by byte.
async fn another_tenants_key_is_as_good_as_none(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let before = world.dump();
    let model = world.model();
    for (name, key, absent) in world.hidden_keys() {
        let mut body = world.victim_body(&name);
        for field in &model.find(&name).unwrap().key {
            // That a body's key is not the path's would be another fault.
            body.as_object_mut().unwrap().remove(&model.field(*field).name);
        }
        for who in ATTACKERS {
            for (method, headers, body) in [
                ("GET", vec![], None),
                ("HEAD", vec![], None),
                ("GET", vec![("if-none-match", "\"x\"")], None),
                ("GET", vec![("accept", "text/csv")], None),
                ("PATCH", vec![], Some(body.clone())),
                ("PATCH", vec![("if-match", "*")], Some(body.clone())),
                ("PATCH", vec![("prefer", "return=representation")], Some(json!({}))),
                ("PUT", vec![], Some(body.clone())),
                ("DELETE", vec![], None),
                ("DELETE", vec![("if-match", "*"), ("prefer", "return=representation")], None),
            ] {
                let at = |key: &str| format!("/rest/v1/{name}/{key}");
                let there = world.ask(who, method, &at(&key), &headers, body.clone()).await;
                let not = world.ask(who, method, &at(&absent), &headers, body).await;
                let (there, not) = (there.comparable().replace(&key, "KEY"), not.comparable().replace(&absent, "KEY"));
                assert_eq!(there, not, "{who:?} {method} {name}/{key} {headers:?}");
            }
        }
    }
    assert_eq!(world.dump(), before);
}

/// B7: what is in the database beside the collections has no name on the wire, not even for a secret key.
async fn internal_tables_have_no_name(on: On) {
    let Some(world) = World::hostile(on).await else { return };
    let before = world.dump();
    let public: BTreeSet<String> = world.model().public().map(|collection| collection.name.clone()).collect();
    let mut names: Vec<String> = before.keys().filter(|name| !public.contains(*name)).cloned().collect();
    assert!(names.len() >= 6, "{names:?}");
    names.extend(
        ["sqlite_schema", "sqlite_master", "sqlite_stat1", "pragma_table_info", "_users", "Docs", "DOCS"]
            .map(str::to_owned),
    );
    names.extend(
        ["pg_class", "pg_catalog.pg_class", "pg_authid", "information_schema.tables", "mysql.user", "public.docs"]
            .map(str::to_owned),
    );
    for name in names {
        for who in [Who::Nobody, Who::Other, Who::Key] {
            let mut replies: Vec<Reply> = Vec::new();
            for method in ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"] {
                for target in [format!("/rest/v1/{name}"), format!("/rest/v1/{name}/{ABSENT}")] {
                    let body = (!matches!(method, "GET" | "HEAD" | "DELETE")).then(|| json!({}));
                    let reply = world.ask(who, method, &target, &[], body).await;
                    assert_eq!(reply.status, 404, "{who:?} {method} {target}: {reply:?}");
                }
            }
            for target in [
                format!("/rest/v1/docs?select=id,{name}(*)"),
                format!("/rest/v1/docs?select=id,people!{name}(id)"),
                format!("/rest/v1/docs?{name}.id=eq.1"),
                format!("/rest/v1/docs?order={name}(id)"),
                format!("/rest/v1/docs?select=...{name}(*)"),
            ] {
                replies.push(world.ask(who, "GET", &target, &[], None).await);
            }
            let step = json!({"method": "GET", "path": format!("/rest/v1/{name}")});
            replies.push(world.ask(who, "POST", "/rest/v1/batch", &[], Some(json!({"steps": [step]}))).await);
            for reply in replies {
                assert!((400..500).contains(&reply.status), "{who:?} {name}: {reply:?}");
            }
        }
    }
    assert_eq!(world.dump(), before);
}

/// The blog too: a closed verb, another's rows, a draft.
async fn the_blog_is_no_softer(on: On) {
    let Some(world) = World::blog(on).await else { return };
    let before = world.dump();
    let mut reached = BTreeSet::new();
    for operation in world.operations() {
        for who in [Who::Nobody, Who::Stranger] {
            for (method, target, body) in attempts(&world, &operation.kind, &operation.path) {
                let reply = world.ask(who, method, &target, &[], body.clone()).await;
                let denied = matches!(reply.status, 303 | 400 | 401 | 403 | 404 | 405 | 409 | 412 | 415 | 422);
                let empty = matches!(reply.status, 200 | 204) && (method == "GET" || reply.writes_nothing());
                assert!(denied || empty, "{who:?} {method} {target} {body:?}: {reply:?}");
                reached.insert(operation.id.clone());
            }
        }
    }
    assert_eq!(world.dump(), before);
    let missed: Vec<String> =
        world.operations().into_iter().map(|operation| operation.id).filter(|id| !reached.contains(id)).collect();
    assert_eq!(missed, NOT_REACHED);
}
