//! Keys of service accounts, on each store: scopes that hold on every path to the rows (TRUST A, L1), those that reach accounts, what the audit log
//! tells of them, and when a key was last used.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value as Json, json};
use support::Folder;
use support::databases::{Database, On};
use undergird::Server;
use undergird_api::http::{Connection, Linger, serve};
use undergird_auth::{Auth, Options};
use undergird_engine::accounts::{AccountSettings, Credentials, Identify, Secret};
use undergird_engine::accounts::{Administration, Page, Visit};
use undergird_model::operation::{AuthOperation, MailOperation, OperationKind};
use undergird_plan::caller::Moment;
use undergird_plan::{Scope, Scopes};
use uuid::Uuid;

on_each_store!(
    scopes_hold_on_every_path_to_the_rows,
    scopes_hold_on_every_admin_route,
    what_a_key_did_to_accounts_is_told_by_its_id,
    scopes_name_what_there_is,
    the_last_use_is_known_and_costs_no_write,
);

const POSTS: &str = r#"
[fields]
id = { type = "int" }
title = { type = "text" }
author_id = { type = "ref", to = "authors", optional = true }

[access]
read = "'works' in auth.roles"
create = "'works' in auth.roles"
update = "'works' in auth.roles"
delete = "'works' in auth.roles"
"#;

const AUTHORS: &str = r#"
[fields]
id = { type = "int" }
name = { type = "text" }

[access]
read = "'works' in auth.roles"
create = "'works' in auth.roles"
"#;

struct World {
    server: Server,
    folder: Folder,
    database: Database,
}

impl World {
    async fn new(on: On) -> Option<World> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        folder.write("undergird.toml", "name = \"test\"\n");
        folder.write("models/posts.toml", POSTS);
        folder.write("models/authors.toml", AUTHORS);
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .build()
            .await
            .unwrap();
        Some(World { server, folder, database })
    }

    async fn key(&self, scopes: Option<&[&str]>) -> String {
        let scopes = scopes.map(|all| Scopes::new(all.iter().map(|scope| Scope::parse(scope).unwrap()).collect()));
        let made = self.server.auth().add_service_key("program", vec!["works".into()], scopes, 1).await.unwrap();
        made.1.expose().to_owned()
    }

    async fn ask(&self, key: &str, method: &str, path: &str, prefer: &str, body: Json) -> (u16, Json) {
        let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {key}")).header("prefer", prefer);
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = serve(self.server.http(), &connection, request.body(Full::new(body)).unwrap()).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }

    fn moment(&self) -> Moment {
        self.server.engine().moment()
    }
}

/// What a request needs of a key: all of these.
struct Need {
    method: &'static str,
    path: &'static str,
    prefer: &'static str,
    body: Json,
    scopes: &'static [&'static str],
}

fn need(
    method: &'static str,
    path: &'static str,
    prefer: &'static str,
    body: Json,
    scopes: &'static [&'static str],
) -> Need {
    Need { method, path, prefer, body, scopes }
}

/// Each way to rows, with the scopes that it takes. Whatever is created is removed by the last ones.
fn needs() -> Vec<Need> {
    let nothing = || Json::Null;
    let post = || json!({ "id": 7, "title": "x", "author_id": 1 });
    let step = |method: &str, path: &str, body: Json| json!([{ "method": method, "path": path, "body": body }]);
    let batch = |steps: Json| json!({ "steps": steps });
    vec![
        need("GET", "/rest/v1/posts", "", nothing(), &["read:posts"]),
        need("GET", "/rest/v1/posts/1", "", nothing(), &["read:posts"]),
        need("HEAD", "/rest/v1/posts", "count=exact", nothing(), &["read:posts"]),
        need("GET", "/rest/v1/posts?select=count()", "", nothing(), &["read:posts"]),
        need("GET", "/rest/v1/posts?select=id,author:authors(name)", "", nothing(), &["read:posts", "read:authors"]),
        need("GET", "/rest/v1/posts?select=id,...authors(name)", "", nothing(), &["read:posts", "read:authors"]),
        need("GET", "/rest/v1/posts?select=id,authors!inner()", "", nothing(), &["read:posts", "read:authors"]),
        need(
            "GET",
            "/rest/v1/posts?select=id,authors()&authors.name=eq.Ann",
            "",
            nothing(),
            &["read:posts", "read:authors"],
        ),
        need(
            "GET",
            "/rest/v1/posts?select=id,authors(name)&order=authors(name)",
            "",
            nothing(),
            &["read:posts", "read:authors"],
        ),
        need("GET", "/rest/v1/authors?select=posts(count)", "", nothing(), &["read:posts", "read:authors"]),
        need("POST", "/rest/v1/posts", "return=minimal", post(), &["write:posts"]),
        need(
            "POST",
            "/rest/v1/posts",
            "return=representation,resolution=merge-duplicates",
            post(),
            &["write:posts", "read:posts"],
        ),
        need(
            "POST",
            "/rest/v1/posts",
            "return=minimal,resolution=merge-duplicates",
            post(),
            &["write:posts", "read:posts"],
        ),
        need("PATCH", "/rest/v1/posts?id=eq.7", "", json!({ "title": "y" }), &["write:posts", "read:posts"]),
        need("PATCH", "/rest/v1/posts/7", "", json!({ "title": "z" }), &["write:posts", "read:posts"]),
        need("PUT", "/rest/v1/posts/7", "", post(), &["write:posts", "read:posts"]),
        need(
            "PATCH",
            "/rest/v1/posts?id=eq.7&select=id,authors(name)",
            "return=representation",
            json!({ "title": "y" }),
            &["write:posts", "read:posts", "read:authors"],
        ),
        need(
            "POST",
            "/rest/v1/batch",
            "",
            batch(json!([{ "method": "GET", "path": "/rest/v1/posts" }])),
            &["read:posts"],
        ),
        need(
            "POST",
            "/rest/v1/batch",
            "",
            batch(step("PATCH", "/rest/v1/posts?id=eq.7", json!({ "title": "b" }))),
            &["write:posts", "read:posts"],
        ),
        need("DELETE", "/rest/v1/posts/7", "", nothing(), &["write:posts", "read:posts"]),
        need("DELETE", "/rest/v1/posts?id=eq.7", "", nothing(), &["write:posts", "read:posts"]),
    ]
}

async fn scopes_hold_on_every_path_to_the_rows(on: On) {
    let Some(world) = World::new(on).await else { return };
    let owner = world.server.keys().secret.expose().to_owned();
    let seeded = [
        ("authors", json!({ "id": 1, "name": "Ann" })),
        ("posts", json!({ "id": 1, "title": "first", "author_id": 1 })),
    ];
    for (collection, row) in seeded {
        let (status, told) = world.ask(&owner, "POST", &format!("/rest/v1/{collection}"), "return=minimal", row).await;
        assert_eq!(status, 201, "{told}");
    }
    let all = ["read:posts", "read:authors", "write:posts", "write:authors"];
    // Every choice among the four, the ones that cover more, and a key of other things altogether.
    let choices =
        (0..16u32).map(|bits| (0..4).filter(|bit| bits & (1 << bit) != 0).map(|bit| all[bit as usize]).collect());
    let mut held: Vec<Vec<&str>> = choices.collect();
    held.extend([vec!["read"], vec!["write"], vec!["read", "write"], vec!["auth:admin", "call"]]);
    let covered = |scopes: &[&str], wanted: &str| {
        let scopes = Scopes::new(scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect());
        scopes.permit(&Scope::parse(wanted).unwrap())
    };
    let unheld = world.key(None).await;
    let mut allowed = 0;
    for scopes in &held {
        let key = world.key(Some(scopes)).await;
        for Need { method, path, prefer, body, scopes: wanted } in needs() {
            // The same shape for another with the same roles, so that a kept shape would let this one in.
            if wanted == ["read:posts"] || wanted == ["read:posts", "read:authors"] {
                assert!(world.ask(&unheld, method, path, prefer, body.clone()).await.0 < 300, "{path}");
            }
            // What a path writes is there before, and the same, for each.
            if method != "POST" || !prefer.ends_with("return=minimal") {
                let row = json!({ "id": 7, "title": "x", "author_id": 1 });
                world.ask(&owner, "POST", "/rest/v1/posts", "resolution=merge-duplicates", row).await;
            } else {
                world.ask(&owner, "DELETE", "/rest/v1/posts/7", "", Json::Null).await;
            }
            let before = world.database.dump(&world.folder.0);
            let (status, told) = world.ask(&key, method, path, prefer, body).await;
            let missing: Vec<_> = wanted.iter().filter(|wanted| !covered(scopes, wanted)).collect();
            if missing.is_empty() {
                assert!(status < 300, "{scopes:?} {method} {path}: {status} {told}");
                allowed += 1;
            } else {
                assert_eq!(status, 403, "{scopes:?} {method} {path}: {told}");
                if method != "HEAD" {
                    assert_eq!(told["code"], "42501", "{told}");
                    let message = told["message"].as_str().unwrap();
                    assert!(missing.iter().any(|scope| message.ends_with(**scope)), "{missing:?}: {message}");
                }
                assert_eq!(world.database.dump(&world.folder.0), before, "{method} {path}");
            }
        }
    }
    assert!(allowed > 60, "{allowed}");
    // A scope gives nothing that the rules do not: without the role, and where there is no rule.
    let bare =
        world.server.auth().add_service_key("bare", Vec::new(), Some(Scopes::new(vec![Scope::Read(None)])), 1).await;
    let (status, told) = world.ask(bare.unwrap().1.expose(), "GET", "/rest/v1/posts", "", Json::Null).await;
    assert_eq!((status, told), (200, json!([])));
    let (status, _) =
        world.ask(&world.key(Some(&["write", "read"])).await, "DELETE", "/rest/v1/authors/1", "", Json::Null).await;
    assert_eq!(status, 403);
}

/// L1: each scope × each admin route, from the list of operations.
async fn scopes_hold_on_every_admin_route(on: On) {
    let Some(world) = World::new(on).await else { return };
    let reader = world.key(Some(&["auth:read"])).await;
    let admin = world.key(Some(&["auth:admin"])).await;
    let others = [world.key(None).await, world.key(Some(&["read", "write", "call"])).await];
    let nobody = world.server.keys().publishable.clone();
    let mut routes = 0;
    for operation in undergird_model::operation::operations(world.server.engine().app().model()) {
        let is_read = match operation.kind {
            OperationKind::Auth(AuthOperation::Admin(kind)) => kind.is_read(),
            OperationKind::Auth(AuthOperation::Mail(MailOperation::Invite | MailOperation::GenerateLink)) => false,
            _ => continue,
        };
        assert!(!is_read || operation.method == "GET", "{}: what a GET does is a read", operation.id);
        assert_eq!(is_read, operation.method == "GET", "{}", operation.id);
        routes += 1;
        let absent = Uuid::from_u128(7).to_string();
        let path = ["{user_id}", "{factor_id}", "{passkey_id}"]
            .iter()
            .fold(operation.path.clone(), |path, name| path.replace(name, &absent));
        assert!(!path.contains('{'), "{path}");
        // Good for whatever wants one: invitations are read before it is asked who sends them.
        let body = json!({ "email": "guest@example.org", "type": "recovery" });
        let status = async |key: &str| world.ask(key, operation.method, &path, "", body.clone()).await;
        let before = world.database.dump(&world.folder.0);
        let (told, problem) = status(&nobody).await;
        assert_eq!(told, 401, "{path} {problem}");
        let mut held: Vec<&String> = others.iter().collect();
        if !is_read {
            held.push(&reader);
        }
        for key in held {
            let (told, problem) = status(key).await;
            assert_eq!((told, &problem["error_code"]), (403, &json!("not_admin")), "{path} {problem}");
        }
        assert_eq!(world.database.dump(&world.folder.0), before, "{path}");
        // The good ones come past the door: what is told then is of what was asked.
        let mut good = vec![&admin];
        if is_read {
            good.push(&reader);
        }
        for key in good {
            let (told, problem) = status(key).await;
            assert!(matches!(told, 200 | 204 | 400 | 404 | 422), "{path}: {told} {problem}");
        }
    }
    assert_eq!(routes, 14, "a new route is looked at, and counted here");
    // Accounts are no rows, and an admin of accounts has no rows.
    let (status, told) = world.ask(&admin, "GET", "/rest/v1/posts", "", Json::Null).await;
    assert_eq!((status, &told["code"]), (403, &json!("42501")));
}

async fn what_a_key_did_to_accounts_is_told_by_its_id(on: On) {
    let Some(world) = World::new(on).await else { return };
    let scopes = Scopes::new(vec![Scope::parse("auth:admin").unwrap()]);
    let auth = world.server.auth();
    let (key, secret) = auth.add_service_key("accounts", Vec::new(), Some(scopes), 1).await.unwrap();
    let new = json!({ "email": "ann@example.org", "password": "a rather long password", "email_confirm": true });
    let (status, made) = world.ask(secret.expose(), "POST", "/auth/v1/admin/users", "", new).await;
    assert_eq!(status, 200, "{made}");
    let user = format!("/auth/v1/admin/users/{}", made["id"].as_str().unwrap());
    let (status, told) = world.ask(secret.expose(), "PUT", &user, "", json!({ "ban_duration": "1h" })).await;
    assert_eq!(status, 200, "{told}");
    let (status, told) = world.ask(secret.expose(), "DELETE", &format!("{user}/sessions"), "", Json::Null).await;
    assert!(matches!(status, 200 | 204), "{told}");
    assert_eq!(world.ask(secret.expose(), "DELETE", &user, "", Json::Null).await.0, 200);
    // And once by the owner, who is nobody's key.
    let visit = Visit { moment: world.moment(), address: None, user_agent: None };
    let owner = undergird_plan::Caller::secret(world.moment());
    let settings = AccountSettings {
        email: Some("bob@example.org".into()),
        password: Some(Secret::new("a rather long password")),
        ..AccountSettings::default()
    };
    auth.create_account(visit, &owner, settings).await.unwrap();
    auth.chain_audit().await.unwrap();
    let told: Vec<_> = auth.audit_entries(0, 500).await.unwrap().into_iter().collect();
    let by_key: Vec<_> = told
        .iter()
        .filter(|entry| {
            entry.detail.as_deref().is_some_and(|detail| detail.contains(&format!("\"service_key\":\"{}\"", key.id)))
        })
        .map(|entry| (entry.event.as_str(), entry.actor.as_str()))
        .collect();
    assert_eq!(
        by_key,
        [
            ("user_made", "service_key"),
            ("user_modified", "service_key"),
            ("logout", "service_key"),
            ("user_deleted", "service_key")
        ]
    );
    assert_eq!(told.iter().filter(|entry| entry.event == "user_made" && entry.actor == "owner").count(), 1);
    let listed = auth.audit_log(&owner, Page { number: 1, rows: 100 }, None).await.unwrap();
    let named: Vec<_> = listed.events.iter().filter(|event| event.actor_name == "service_key").collect();
    assert_eq!(named.len(), 4, "{listed:?}");
    assert!(named.iter().all(|event| event.traits["service_key"] == key.id.to_string()));
}

async fn scopes_name_what_there_is(on: On) {
    let Some(world) = World::new(on).await else { return };
    let auth = world.server.auth();
    for (wrong, hint) in [
        ("read:post", "did you mean posts?"),
        ("write:_users", "the collection _users, which there is not"),
        ("call:anything", "the function anything, which there is not"),
    ] {
        let scopes = Scopes::new(vec![Scope::parse(wrong).unwrap()]);
        let refused = auth.add_service_key("x", Vec::new(), Some(scopes), 1).await.unwrap_err().to_string();
        assert!(refused.contains(hint), "{wrong}: {refused}");
    }
    let many = (0..201).map(|number| Scope::Read(Some(format!("c{number}")))).collect();
    assert!(auth.add_service_key("x", Vec::new(), Some(Scopes::new(many)), 1).await.is_err());
    assert_eq!(auth.service_keys().await.unwrap().len(), 0);
    // What was said is what is kept.
    let scopes = Scopes::new(vec![Scope::parse("write:posts").unwrap(), Scope::parse("auth:read").unwrap()]);
    let (made, _) = auth.add_service_key("x", Vec::new(), Some(scopes.clone()), 1).await.unwrap();
    let kept = auth.service_keys().await.unwrap();
    assert_eq!((kept.len(), &kept[0].scopes, &made.scopes), (1, &Some(scopes.clone()), &Some(scopes)));
}

async fn the_last_use_is_known_and_costs_no_write(on: On) {
    let Some(world) = World::new(on).await else { return };
    let options = Options::new("http://127.0.0.1:8090");
    let auth = world.server.auth();
    let (key, secret) = auth.add_service_key("program", Vec::new(), None, 1).await.unwrap();
    let (idle, _) = auth.add_service_key("idle", Vec::new(), None, 1).await.unwrap();
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    let seen = async |id: Uuid| {
        let keys = auth.service_keys().await.unwrap();
        keys.into_iter().find(|key| key.id == id).unwrap().last_used_at
    };
    let use_at = |auth: &Auth, text: &str, now: i64| {
        let credentials = Credentials { apikey: Some(text.as_bytes()), authorization: None };
        auth.identify(credentials, Moment { now, entropy: 0 }).is_ok()
    };
    let now = world.moment().now;
    let before = world.database.dump(&world.folder.0);
    for second in 0..50 {
        assert!(use_at(auth, secret.expose(), now + second * 100_000));
    }
    let (rest, last) = secret.expose().split_at(secret.expose().len() - 1);
    let typo = format!("{rest}{}", if last == "x" { "y" } else { "x" });
    assert!(!use_at(auth, &typo, now + 9_000_000));
    assert_eq!(world.database.dump(&world.folder.0), before, "a use writes nothing");
    assert_eq!(auth.write_key_uses().await.unwrap(), 1);
    // Within a second of the last.
    let noted = seen(key.id).await.unwrap();
    assert!((now + 4_000_000..=now + 4_900_000).contains(&noted), "{}", noted - now);
    assert_eq!(seen(idle.id).await, None);
    let written = world.database.dump(&world.folder.0);
    assert_eq!(auth.write_key_uses().await.unwrap(), 0, "nothing new");
    assert_eq!(world.database.dump(&world.folder.0), written);
    // Another node's use that was before is not after; one that is later is.
    assert!(use_at(&other, secret.expose(), now + 1_000_000));
    assert_eq!(other.write_key_uses().await.unwrap(), 0);
    assert_eq!(seen(key.id).await, Some(noted));
    assert!(use_at(&other, secret.expose(), now + 20_000_000));
    assert_eq!(other.write_key_uses().await.unwrap(), 1);
    assert_eq!(seen(key.id).await, Some(now + 20_000_000));
    // A key that is not good is not used, and one that is gone is nobody's.
    assert!(!use_at(auth, secret.expose(), key.expires_at));
    assert_eq!(auth.write_key_uses().await.unwrap(), 0);
    assert!(use_at(auth, secret.expose(), now + 30_000_000));
    assert!(auth.revoke_service_key(key.id).await.unwrap());
    assert_eq!(auth.write_key_uses().await.unwrap(), 0);
}
