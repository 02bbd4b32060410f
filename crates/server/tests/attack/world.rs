//! An application in memory's reach: the server's library without a socket, people, their rows, and canaries in whatever is hidden.

use crate::support::Folder;
use crate::support::databases::{Database, On};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use undergird::{SchemaPolicy, Server};

use undergird_api::http::{Connection, Linger, serve};
use undergird_model::{Model, Operation};

/// A key that no row has.
pub const ABSENT: &str = "01900000-0000-7000-8000-00000000dead";
pub const ONE: &str = "01900000-0000-7000-8000-000000000001";
pub const TWO: &str = "01900000-0000-7000-8000-000000000002";
/// A private document of the first tenant, a public one, one of the second tenant.
pub const PRIVATE: &str = "01900000-0000-7000-8000-000000000011";
pub const PUBLIC: &str = "01900000-0000-7000-8000-000000000012";
pub const THEIRS: &str = "01900000-0000-7000-8000-000000000013";
/// A private document that no request names.
pub const UNNAMED: &str = "01900000-0000-7000-8000-000000000019";
pub const ROW: &str = "01900000-0000-7000-8000-000000000021";
pub const ROW_TWO: &str = "01900000-0000-7000-8000-000000000022";
pub const ROW_OPEN: &str = "01900000-0000-7000-8000-000000000023";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Without credentials.
    Nobody,
    /// Signed up, and a member of nothing.
    Stranger,
    /// The second tenant's administrator.
    Other,
    /// A plain member of the first tenant.
    Mate,
    /// The first tenant's administrator and owner of its rows.
    Victim,
    /// A secret key.
    Key,
}

impl Who {
    /// What no answer to them may have in it.
    fn canaries(self) -> &'static [&'static str] {
        match self {
            Who::Nobody | Who::Stranger | Who::Other => {
                &["KANARI-", "kanari-victim@", "kanari-mate@", "77001", "770022"]
            }
            Who::Mate => {
                &["KANARI-NEVER", "KANARI-KEY", "KANARI-OWNER", "KANARI-STAFF", "kanari-victim@", "77001", "770022"]
            }
            Who::Victim => &["KANARI-NEVER", "KANARI-KEY", "KANARI-STAFF", "kanari-mate@"],
            Who::Key => &["KANARI-NEVER"],
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or(Json::Null)
    }

    /// Whether a good answer to a write says that nothing was written.
    pub fn writes_nothing(&self) -> bool {
        self.body.is_empty() || self.text() == "[]"
    }

    /// Everything but what differs between any two answers: the request's id, times, and the seal of a cursor.
    pub fn comparable(&self) -> String {
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| !matches!(name.as_str(), "x-request-id" | "server-timing" | "date"));
        for (name, value) in &mut headers {
            if name == "link" {
                *value = value.split("after=").next().unwrap_or_default().to_owned();
            }
        }
        headers.sort();
        let mut text = self.text();
        if let Some(at) = text.find("\"request_id\":\"") {
            let start = at + "\"request_id\":\"".len();
            let end = text[start..].find('"').map_or(text.len(), |length| start + length);
            text.replace_range(start..end, "");
        }
        format!("{}\n{headers:?}\n{text}", self.status)
    }
}

/// A running application and its people.
pub struct World {
    pub folder: Folder,
    server: Server,
    pub tokens: BTreeMap<Who, String>,
    pub ids: BTreeMap<Who, String>,
    blog: bool,
    /// Last, for it goes when nobody uses it any more.
    database: Database,
}

impl World {
    /// The hostile application on a store; `None` where the store has no server.
    pub async fn hostile(on: On) -> Option<World> {
        let database = Database::new(on)?;
        let folder = Folder::example("hostile");
        if on.is_postgres() {
            // Functions give rows of tables, so those come first.
            let world = World::open(folder, database, BTreeMap::new(), BTreeMap::new(), false).await;
            let World { folder, server, database, .. } = world;
            server.close().await;
            return World::with_functions(folder, database).await;
        }
        let world = World::open(folder, database, BTreeMap::new(), BTreeMap::new(), false).await;
        let world = world.people().await;
        world.rows().await;
        Some(world)
    }

    /// The hostile application with functions of the database: rows of a collection with every kind of hidden field, rows of one that is
    /// closed, and a deed that is nobody's.
    async fn with_functions(folder: Folder, database: Database) -> Option<World> {
        database.execute(
            "CREATE FUNCTION public.all_docs() RETURNS SETOF docs STABLE LANGUAGE sql AS 'SELECT * FROM docs ORDER BY id';
             CREATE FUNCTION public.docs_again(what uuid DEFAULT NULL) RETURNS SETOF docs LANGUAGE sql AS 'SELECT * FROM docs ORDER BY id';
             CREATE FUNCTION public.all_secrets() RETURNS SETOF secrets LANGUAGE sql AS 'DELETE FROM secrets RETURNING *';
             CREATE FUNCTION public.wipe() RETURNS void LANGUAGE sql AS 'DELETE FROM samples';",
        );
        std::fs::create_dir_all(folder.0.join("functions")).unwrap();
        for (name, text) in [
            ("all_docs", "access = \"true\"\nvolatility = \"stable\"\nreturns = { rows = \"docs\" }\n"),
            ("docs_again", "access = \"true\"\nreturns = { rows = \"docs\" }\n"),
            ("all_secrets", "access = \"true\"\nreturns = { rows = \"secrets\" }\n"),
            ("wipe", ""),
        ] {
            folder.write(&format!("functions/{name}.toml"), text);
        }
        let world = World::open(folder, database, BTreeMap::new(), BTreeMap::new(), false).await;
        let world = world.people().await;
        world.rows().await;
        Some(world)
    }

    /// The blog on a store.
    pub async fn blog(on: On) -> Option<World> {
        let database = Database::new(on)?;
        let world = World::open(Folder::example("blog"), database, BTreeMap::new(), BTreeMap::new(), true).await;
        let world = world.people().await;
        let author = &world.ids[&Who::Victim];
        for (id, slug, status) in [(PRIVATE, "draft", "draft"), (PUBLIC, "open", "published")] {
            let row = json!({"id": id, "title": if status == "draft" { "KANARI-ONE" } else { "Open" }, "slug": slug,
                "body": "Text", "status": status, "author_id": author});
            world.make("posts", row).await;
        }
        world.make("tags", json!({"id": ROW, "name": "tag"})).await;
        world.make("comments", json!({"id": ROW, "post_id": PRIVATE, "author_id": author, "body": "KANARI-ONE"})).await;
        world.make("post_tags", json!({"post_id": PRIVATE, "tag_id": ROW})).await;
        Some(world)
    }

    /// Opens the application in a folder.
    async fn open(
        folder: Folder,
        database: Database,
        tokens: BTreeMap<Who, String>,
        ids: BTreeMap<Who, String>,
        blog: bool,
    ) -> World {
        // Why an answer is an error of the server, its log alone says.
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_test_writer();
        let _ = log.try_init();
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .show_pages(true)
            .build()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        World { folder, server, tokens, ids, blog, database }
    }

    /// Two applications on copies of one database: same keys, same people, same rows.
    pub async fn twins(self) -> (World, World) {
        let copy = Folder::new();
        let World { folder, server, tokens, ids, blog, database } = self;
        server.close().await;
        copy_all(&folder.0, &copy.0);
        let theirs = database.copy();
        let first = World::open(folder, database, tokens.clone(), ids.clone(), blog).await;
        let second = World::open(copy, theirs, tokens, ids, blog).await;
        (first, second)
    }

    pub fn model(&self) -> Arc<Model> {
        self.server.engine().app().model().clone()
    }

    pub fn operations(&self) -> Vec<Operation> {
        undergird_model::operations(&self.model())
    }

    /// Sends a request and searches the answer for what its caller must not see.
    pub async fn ask(
        &self,
        who: Who,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<Json>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(encoded(target));
        match who {
            Who::Nobody => {}
            Who::Key => {
                request = request.header("authorization", format!("Bearer {}", self.server.keys().secret.expose()));
            }
            _ => request = request.header("authorization", format!("Bearer {}", self.tokens[&who])),
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
        let connection = Connection { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), linger: Linger::default() };
        let (head, answer) = serve(self.server.http(), &connection, request).await.into_parts();
        let reply = Reply {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body: answer.collect().await.unwrap().to_bytes(),
        };
        assert!(reply.status < 500, "{who:?} {method} {target} {body}: {reply:?}");
        // The request's id is random: it may look like anything.
        let id = reply.headers.iter().find(|(name, _)| name == "x-request-id").map_or("-", |(_, id)| id.as_str());
        let whole = format!("{:?} {}", reply.headers, reply.text()).replace(id, "");
        for canary in who.canaries() {
            assert!(
                !whole.contains(canary),
                "{who:?} learns {canary} by {method} {target} {headers:?} {body}: {whole}"
            );
        }
        reply
    }

    /// A row that must come to be.
    pub async fn make(&self, collection: &str, row: Json) {
        let reply = self.ask(Who::Key, "POST", &format!("/rest/v1/{collection}"), &[], Some(row.clone())).await;
        assert_eq!(reply.status, 201, "{collection} {row}: {}", reply.text());
    }

    async fn people(mut self) -> World {
        for (who, name) in
            [(Who::Victim, "victim"), (Who::Mate, "mate"), (Who::Other, "other"), (Who::Stranger, "stranger")]
        {
            let body = json!({"email": format!("kanari-{name}@example.com"), "password": "a long enough password"});
            let request = Request::post("/auth/v1/signup").header("content-type", "application/json");
            let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
            let connection = Connection { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), linger: Linger::default() };
            let answer = serve(self.server.http(), &connection, request).await.into_body().collect().await.unwrap();
            let session: Json = serde_json::from_slice(&answer.to_bytes()).unwrap();
            self.tokens.insert(who, session["access_token"].as_str().unwrap().to_owned());
            self.ids.insert(who, session["user"]["id"].as_str().unwrap().to_owned());
        }
        self
    }

    /// The hostile application's rows. Those of the first tenant and all that is hidden have canaries.
    async fn rows(&self) {
        let id = |who: Who| self.ids[&who].clone();
        let (victim, mate, other, stranger) = (id(Who::Victim), id(Who::Mate), id(Who::Other), id(Who::Stranger));
        for who in [&victim, &mate, &other, &stranger] {
            let reply = self
                .ask(
                    Who::Key,
                    "PATCH",
                    &format!("/rest/v1/people/{who}"),
                    &[],
                    Some(json!({"recovery_code": "KANARI-NEVER-code"})),
                )
                .await;
            assert_eq!(reply.status, 204, "{}", reply.text());
        }
        self.make("tenants", json!({"id": ONE, "name": "KANARI-ONE-tenant", "created_by": victim})).await;
        self.make("tenants", json!({"id": TWO, "name": "Second", "created_by": other})).await;
        for (tenant, person, role) in [(ONE, &victim, "admin"), (ONE, &mate, "member"), (TWO, &other, "admin")] {
            self.make("members", json!({"tenant_id": tenant, "person_id": person, "role": role})).await;
        }
        for (id, tenant, owner, title, public) in [
            (PRIVATE, ONE, &victim, "KANARI-ONE-private", false),
            (PUBLIC, ONE, &victim, "Open to all", true),
            (THEIRS, TWO, &other, "Of the second", false),
            (UNNAMED, ONE, &victim, "KANARI-ONE-unnamed", false),
        ] {
            let theirs = owner == &other;
            self.make(
                "docs",
                json!({
                    "id": id, "tenant_id": tenant, "owner_id": owner, "title": title, "public": public,
                    "body": if public || theirs { "Words" } else { "KANARI-ONE-body" },
                    "tags": ["one", "two"], "attributes": {"a": {"b": 1}},
                    "cost": if theirs { json!(5.25) } else { json!(77001.77) },
                    "owner_rank": if theirs { 3 } else { 770_022 },
                    "internal_note": "KANARI-KEY-note", "pin": "KANARI-KEY-1", "token": "KANARI-NEVER-token",
                    "review": if theirs { "Fine" } else { "KANARI-OWNER-review" },
                    "created_at": "2026-01-02T03:04:05Z",
                }),
            )
            .await;
        }
        for (id, tenant, name) in [(ROW, ONE, "KANARI-ONE-label"), (ROW_TWO, TWO, "Label")] {
            self.make("labels", json!({"id": id, "tenant_id": tenant, "name": name})).await;
        }
        for (id, doc, label) in [(ROW, PRIVATE, ROW), (ROW_TWO, THEIRS, ROW_TWO), (ROW_OPEN, PUBLIC, ROW)] {
            self.make("doc_labels", json!({"id": id, "doc_id": doc, "label_id": label})).await;
        }
        for (number, tenant, net) in [(4_100_001, ONE, 77001.5), (4_100_002, TWO, 10.0)] {
            let row = json!({"id": number, "tenant_id": tenant, "net": net, "issued_on": "2026-01-01", "due_on": "2026-02-01"});
            self.make("invoices", row).await;
        }
        for (id, from, to, body) in [(ROW, &victim, &mate, "KANARI-ONE-message"), (ROW_TWO, &other, &stranger, "Hello")]
        {
            self.make("messages", json!({"id": id, "sender_id": from, "recipient_id": to, "body": body})).await;
        }
        for (id, doc, name) in
            [(ROW, PRIVATE, "KANARI-ONE-node"), (ROW_TWO, THEIRS, "Node"), (ROW_OPEN, PUBLIC, "Open node")]
        {
            self.make("nodes", json!({"id": id, "doc_id": doc, "name": name})).await;
        }
        for (id, owner, text) in [(ROW, &victim, "KANARI-OWNER-sample"), (ROW_TWO, &other, "Sample")] {
            let row = json!({"id": id, "owner_id": owner, "a_text": text, "a_secret": "KANARI-NEVER-sample", "an_int": 7,
                "texts": [text], "a_json": {"text": text}, "a_timestamp": "2026-01-02T03:04:05Z"});
            self.make("samples", row).await;
        }
        self.make(
            "secrets",
            json!({"id": ROW, "name": "KANARI-KEY-name", "value": "KANARI-NEVER-value", "doc_id": PUBLIC}),
        )
        .await;
        self.make("countries", json!({"code": "DE", "name": "Germany"})).await;
        let rate =
            json!({"country_code": "DE", "valid_from": "2026-01-01", "rate": 0.19, "remark": "KANARI-STAFF-remark"});
        self.make("rates", rate).await;
    }

    /// The key of a row that is the first tenant's (or nobody's to change).
    pub fn victim_key(&self, collection: &str) -> String {
        match collection {
            "tenants" => ONE.into(),
            "members" => format!("{ONE},{}", self.ids[&Who::Mate]),
            "docs" | "posts" => PRIVATE.into(),
            "invoices" => "4100001".into(),
            "people" | "users" => self.ids[&Who::Victim].clone(),
            "countries" => "DE".into(),
            "rates" => "DE,2026-01-01".into(),
            "post_tags" => format!("{PRIVATE},{ROW}"),
            _ => ROW.into(),
        }
    }

    /// The same as a filter.
    pub fn victim_filter(&self, collection: &str) -> String {
        let model = self.model();
        let collection = model.find(collection).unwrap();
        let key = self.victim_key(&collection.name);
        let parts = collection.key.iter().zip(key.split(','));
        parts.map(|(field, part)| format!("{}=eq.{part}", model.field(*field).name)).collect::<Vec<_>>().join("&")
    }

    /// A body whose row would be the first tenant's, so nobody else's to write.
    pub fn victim_body(&self, collection: &str) -> Json {
        let victim = &self.ids[&Who::Victim];
        match collection {
            // Anybody may found a tenant, but not as somebody else.
            "tenants" => json!({"name": "Taken", "created_by": victim}),
            "members" => json!({"tenant_id": ONE, "person_id": self.ids[&Who::Mate], "role": "admin"}),
            "docs" => json!({"tenant_id": ONE, "owner_id": victim, "title": "Taken"}),
            "labels" => json!({"tenant_id": ONE, "name": "Taken"}),
            "doc_labels" => json!({"doc_id": PRIVATE, "label_id": ROW}),
            "invoices" => json!({"tenant_id": ONE, "net": 1, "issued_on": "2026-01-01", "due_on": "2026-01-02"}),
            "people" => json!({"name": "Taken"}),
            "messages" => json!({"sender_id": victim, "recipient_id": victim, "body": "Taken"}),
            "nodes" => json!({"doc_id": PRIVATE, "name": "Taken"}),
            "samples" => json!({"owner_id": victim, "a_text": "Taken"}),
            "secrets" => json!({"name": "Taken", "value": "x"}),
            "countries" => json!({"code": "FR", "name": "Taken"}),
            "rates" => json!({"country_code": "DE", "valid_from": "2027-01-01", "rate": 0}),
            "users" => json!({"name": "Taken"}),
            "posts" => json!({"title": "Taken", "slug": "taken", "author_id": victim}),
            "comments" => json!({"post_id": PRIVATE, "author_id": victim, "body": "Taken"}),
            "post_tags" => json!({"post_id": PRIVATE, "tag_id": ROW}),
            "tags" => json!({"name": "taken"}),
            other => panic!("no body for {other}: say what would be the victim's"),
        }
    }

    /// Collection, key of a row that attackers do not see, and a key that nobody has.
    pub fn hidden_keys(&self) -> Vec<(String, String, String)> {
        let mate = &self.ids[&Who::Mate];
        let absent = |name: &str| (name.to_owned(), self.victim_key(name), ABSENT.to_owned());
        let mut keys: Vec<(String, String, String)> =
            ["tenants", "docs", "labels", "doc_labels", "people", "messages", "nodes", "samples", "secrets"]
                .map(absent)
                .into();
        keys.push(("members".into(), format!("{ONE},{mate}"), format!("{ONE},{ABSENT}")));
        keys.push(("invoices".into(), "4100001".into(), "4100009".into()));
        keys
    }

    /// Bad requests to the auth surface: without a token, with what is no token, with what nobody may set.
    pub fn auth_attempts(&self, path: &str) -> Vec<(&'static str, String, Option<Json>)> {
        let at = |body: Json| ("POST", path.to_owned(), Some(body));
        let target = format!("{path}?grant_type=password");
        let profile = if self.blog { "created_at" } else { "verified" };
        if path.contains('{')
            || ["/admin/audit", "/admin/users", "/factors", "/sessions"].iter().any(|part| path.contains(part))
        {
            let model = self.model();
            let victim = model.profile.map(|id| self.victim_key(&model.collection(id).name));
            let target = path.replace("{user_id}", victim.as_deref().unwrap_or(ABSENT));
            let target = target.replace("{factor_id}", ABSENT).replace("{session_id}", ABSENT);
            // Whoever has an account of his own may enroll a factor of his own: not with this type.
            let body = json!({
                "email": "new@example.com", "password": "a long enough password", "app_metadata": {"roles": ["admin"]},
                "factor_type": {"$ne": 1}, "challenge_id": ABSENT, "code": "123456",
            });
            let with = |method| (method, target.clone(), Some(body.clone()));
            return vec![("GET", target.clone(), None), with("POST"), with("PUT"), ("DELETE", target.clone(), None)];
        }
        match path.rsplit('/').next().unwrap_or_default() {
            "signup" => vec![
                at(json!({"email": "kanari-victim@example.com", "password": "another long password"})),
                at(json!({"email": "new@example.com", "password": "a long enough password", "data": {profile: true}})),
                at(json!({"email": "new@example.com", "password": "a long enough password", "data": {"id": ABSENT}})),
                at(json!({"email": {"$ne": 1}, "password": "a long enough password"})),
                at(json!({"email": "new@example.com", "password": {"$ne": 1}})),
                at(json!({})),
            ],
            "token" => vec![
                (
                    "POST",
                    target.clone(),
                    Some(json!({"email": "kanari-victim@example.com", "password": "wrong password"})),
                ),
                ("POST", target.clone(), Some(json!({"email": {"$ne": 1}, "password": {"$ne": 1}}))),
                ("POST", target, Some(json!({"email": ["kanari-victim@example.com"], "password": true}))),
                ("POST", format!("{path}?grant_type=refresh_token"), Some(json!({"refresh_token": {"$ne": 1}}))),
                ("POST", format!("{path}?grant_type=refresh_token"), Some(json!({"refresh_token": ""}))),
                at(json!({})),
            ],
            // By nobody's token; a stranger has an account of his own there, which is not attacked.
            "user" => vec![
                ("PUT", path.to_owned(), Some(json!({"email": {"$ne": 1}}))),
                ("PUT", path.to_owned(), Some(json!({"data": 5}))),
            ],
            // Only for the secret key; and its words for a link.
            "generate_link" | "invite" => vec![
                at(json!({"type": "recovery", "email": "kanari-victim@example.com"})),
                at(json!({"type": "signup", "email": "new@example.com", "password": "a long enough password"})),
                at(json!({"email": {"$ne": 1}})),
            ],
            // Strangers guess and forge.
            "verify" => vec![
                at(json!({"type": "recovery", "email": "kanari-victim@example.com", "token": "123456"})),
                at(json!({"type": "recovery", "token_hash": {"$ne": ""}})),
                at(json!({"type": "email", "email": {"$ne": 1}, "token": "123456"})),
                at(json!({"type": {"$ne": 1}, "token_hash": "ug_link_x"})),
                ("GET", format!("{path}?token=ug_link_x&type=recovery&redirect_to=https://evil.example/"), None),
            ],
            "otp" | "magiclink" | "recover" | "resend" => vec![
                at(json!({"email": {"$ne": 1}})),
                at(json!({"email": "a@example.com\r\nBcc: kanari-victim@example.com"})),
                at(json!({})),
            ],
            "logout" => vec![("POST", format!("{path}?scope=everybody"), None)],
            _ => vec![("GET", path.to_owned(), None)],
        }
    }

    /// All that is in the database, system tables included, by table. But for the audit log: that a wrong password was tried is what it is for.
    pub fn dump(&self) -> BTreeMap<String, Vec<String>> {
        let mut all = self.database.dump(&self.folder.0);
        if let Some(entries) = all.get_mut("_audit_log") {
            entries.clear();
        }
        all
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// As a client encodes it: everything that a URL cannot have as it is.
fn encoded(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/?&=*(),:!'$@;".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
