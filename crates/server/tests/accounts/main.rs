//! Accounts on each store: second factors, their levels in tokens and rules, codes that count once, sessions, and what the owner takes away.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod factors;
mod keys;
mod log;
#[path = "../support/mod.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use support::Folder;
use support::databases::{Database, On};
use totp_rs::{Builder, Secret as TotpSecret};
use undergird::Server;
use undergird_api::http::{Connection, Linger, serve};
use undergird_auth::{
    Allowance, Allowances, AuditFault, AuditHead, AuditVerdict, Auth, NewSigningKey, Options, SigningAlgorithm,
    SigningKeyError,
};
use undergird_engine::Failure;
use undergird_engine::accounts::*;
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Identity};
use uuid::Uuid;

const SECOND: i64 = 1_000_000;
const STEP: i64 = 30 * SECOND;
const PASSWORD: &str = "a rather long password";

on_each_store!(
    sessions_are_listed_and_ended,
    sessions_end_when_nobody_uses_them,
    what_the_owner_takes_away_is_gone_at_once,
    a_ban_during_a_sign_in_holds,
);

const VAULT: &str = r#"
[fields]
owner_id = { type = "uuid", default = { expr = "auth.id" } }
word = { type = "text" }

[access]
read = "owner_id == auth.id && auth.aal == 'aal2'"
create = "auth.id != null && auth.aal == 'aal2'"
"#;

struct World {
    auth: Auth,
    server: Server,
    _folder: Folder,
    _database: Database,
}

impl World {
    async fn new(on: On, settings: &str) -> Option<World> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        folder.write("undergird.toml", &format!("name = \"test\"\n[auth]\n{settings}\n"));
        folder.write("models/vault.toml", VAULT);
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .build()
            .await
            .unwrap();
        // As the server's own, but generous: what is tested here is not hidden behind budgets.
        let many = Allowance { burst: 1_000, every: Duration::from_secs(1) };
        let allowances = Allowances {
            account_and_address: many,
            account: many,
            address: many,
            sign_ups: many,
            codes: many,
            ..Allowances::default()
        };
        let options = Options { allowances, ..Options::new("http://127.0.0.1:8090") };
        let auth = Auth::open(server.engine().clone(), server.keys(), &options).await.unwrap();
        Some(World { auth, server, _folder: folder, _database: database })
    }

    fn now(&self) -> i64 {
        self.server.engine().moment().now
    }

    fn visit(&self, now: i64) -> Visit {
        let moment = Moment { now, ..self.server.engine().moment() };
        Visit { moment, address: Some([192, 0, 2, 1].into()), user_agent: Some("test".into()) }
    }

    async fn sign_up(&self, email: &str) -> Session {
        let (password, wish) = (Secret::new(PASSWORD), Wish::default());
        let request = SignUp { email: email.into(), password, data: Map::new(), wish };
        match self.auth.sign_up(self.visit(self.now()), request).await.unwrap() {
            SignedUp::In(session) => *session,
            SignedUp::Unconfirmed(_) => panic!("unconfirmed"),
        }
    }

    async fn sign_in(&self, email: &str, now: i64) -> Result<Session, AccountError> {
        let request = PasswordSignIn { email: email.into(), password: Secret::new(PASSWORD) };
        self.auth.sign_in(self.visit(now), request).await
    }

    fn identify(&self, session: &Session, now: i64) -> Result<Caller, Unidentified> {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, Moment { now, entropy: 0 })
    }

    fn owner(&self) -> Caller {
        Caller::secret(self.server.engine().moment())
    }

    async fn challenge(&self, session: &Session, factor: Uuid, now: i64) -> Uuid {
        let caller = self.identify(session, now).unwrap();
        self.auth.challenge_factor(self.visit(now), &caller, factor).await.unwrap().id
    }

    async fn verify(&self, session: &Session, phone: &Phone, code: &str, now: i64) -> Result<Session, AccountError> {
        let challenge = self.challenge(session, phone.factor, now).await;
        let caller = self.identify(session, now).unwrap();
        self.auth.verify_factor(self.visit(now), &caller, phone.factor, challenge, Secret::new(code)).await
    }

    /// A factor in use, and the session that it raised.
    async fn with_factor(&self, session: &Session, now: i64) -> (Phone, Session) {
        let caller = self.identify(session, now).unwrap();
        let asked = EnrollFactor { name: Some("Phone".into()), ..EnrollFactor::default() };
        let made = self.auth.enroll_factor(self.visit(now), &caller, asked).await.unwrap();
        let phone = Phone { factor: made.id, secret: made.secret.expose().to_owned() };
        let raised = self.verify(session, &phone, &phone.code(now), now).await.unwrap();
        (phone, raised)
    }

    /// What a request with a token is answered, by the server itself.
    async fn ask(&self, session: &Session, method: &str, path: &str, body: Json) -> (u16, String) {
        let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {}", session.access_token.expose()));
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = serve(self.server.http(), &connection, request.body(Full::new(body)).unwrap()).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// An authenticator app.
#[derive(Clone)]
struct Phone {
    factor: Uuid,
    secret: String,
}

impl Phone {
    fn code(&self, now: i64) -> String {
        let secret = TotpSecret::try_from_base32(&self.secret).unwrap();
        let totp = Builder::new().with_secret(secret).build().unwrap();
        totp.generate(u64::try_from(now / SECOND).unwrap()).to_string()
    }
}

fn claims(caller: &Caller) -> Json {
    match caller.identity() {
        Identity::User(user) => user.claims().clone(),
        _ => panic!("no user"),
    }
}

fn methods(caller: &Caller) -> Vec<String> {
    let claims = claims(caller);
    claims["amr"].as_array().unwrap().iter().map(|each| each["method"].as_str().unwrap().to_owned()).collect()
}

async fn sessions_are_listed_and_ended(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let auth = &world.auth;
    let now = world.now();
    let one = world.sign_up("ann@example.org").await;
    let now = now + SECOND;
    let two = world.sign_in("ann@example.org", now).await.unwrap();
    let stranger = world.sign_up("bob@example.org").await;
    let (caller, bob) = (world.identify(&one, now).unwrap(), world.identify(&stranger, now).unwrap());
    let listed = auth.sessions(&caller).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.current).collect::<Vec<_>>(), [false, true]);
    assert_eq!((listed[0].method.as_str(), listed[0].aal.as_str()), ("password", "aal1"));
    assert_eq!((listed[0].ip.as_deref(), listed[0].user_agent.as_deref()), (Some("192.0.2.1"), Some("test")));
    let unknown = Some(AccountError::SessionUnknown);
    assert_eq!(auth.end_session(world.visit(now), &bob, listed[0].id).await.err(), unknown, "somebody else's is none");
    auth.end_session(world.visit(now), &caller, listed[0].id).await.unwrap();
    assert_eq!(world.identify(&two, now).err(), Some(Unidentified::SessionEnded));
    assert_eq!(auth.end_session(world.visit(now), &caller, listed[0].id).await.err(), unknown);
    assert_eq!(auth.sessions(&caller).await.unwrap().len(), 1);
    assert!(auth.sessions(&world.owner()).await.is_err());
    let shown = auth.sessions_of_account(&world.owner(), one.account.id).await.unwrap();
    assert_eq!(shown.iter().map(|session| session.current).collect::<Vec<_>>(), [false]);
    auth.end_sessions_of(world.visit(now), &world.owner(), one.account.id).await.unwrap();
    assert!(world.identify(&one, now).is_err() && world.identify(&stranger, now).is_ok());
}

async fn sessions_end_when_nobody_uses_them(on: On) {
    let Some(world) = World::new(on, "session_days = 10\nsession_idle_days = 2").await else { return };
    let day = 86_400 * SECOND;
    let start = world.now();
    let refresh = |session: &Session, now: i64| {
        let (auth, visit, token) = (world.auth.clone(), world.visit(now), session.refresh_token.clone());
        async move { auth.refresh(visit, token).await }
    };
    let idle = world.sign_up("ann@example.org").await;
    assert_eq!(refresh(&idle, start + 2 * day + SECOND).await.err(), Some(AccountError::SessionExpired));
    let mut used = world.sign_in("ann@example.org", start).await.unwrap();
    for number in 1..=9 {
        used = refresh(&used, start + number * day).await.unwrap();
    }
    assert_eq!(refresh(&used, start + 10 * day + SECOND).await.err(), Some(AccountError::SessionExpired));
}

async fn what_the_owner_takes_away_is_gone_at_once(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let auth = &world.auth;
    let (now, owner) = (world.now(), world.owner());
    let object = |json: Json| json.as_object().cloned();
    let new = AccountSettings {
        email: Some(" Ann@Example.org".into()),
        password: Some(Secret::new(PASSWORD)),
        email_confirmed: Some(true),
        app_metadata: object(json!({ "roles": ["editor"], "org": 7 })),
        user_metadata: object(json!({ "name": "Ann" })),
        ..AccountSettings::default()
    };
    let account = auth.create_account(world.visit(now), &owner, new.clone()).await.unwrap();
    assert_eq!(
        account.app_metadata,
        json!({ "provider": "email", "providers": ["email"], "roles": ["editor"], "org": 7 })
    );
    assert_eq!(auth.create_account(world.visit(now), &owner, new.clone()).await.err(), Some(AccountError::EmailTaken));
    let taken = AccountSettings { id: Some(account.id), email: Some("x@example.org".into()), ..new.clone() };
    assert_eq!(auth.create_account(world.visit(now), &owner, taken).await.err(), Some(AccountError::IdTaken));
    let chosen = AccountSettings {
        id: Some(Uuid::from_u128(7)),
        email: Some("x@example.org".into()),
        ..AccountSettings::default()
    };
    assert_eq!(auth.create_account(world.visit(now), &owner, chosen).await.unwrap().id, Uuid::from_u128(7));
    let page = |number, rows| auth.accounts(&owner, Page { number, rows });
    let first = page(1, 1).await.unwrap();
    assert_eq!((first.total, first.accounts.len()), (2, 1));
    let second = page(2, 1).await.unwrap().accounts;
    assert_ne!(first.accounts[0].id, second[0].id);
    assert_eq!(first.accounts[0].identities.len(), 1);
    assert!(page(3, 1).await.unwrap().accounts.is_empty());

    // Who may not.
    let session = world.sign_in("ann@example.org", now).await.unwrap();
    let ann = world.identify(&session, now).unwrap();
    assert_eq!(auth.find(&ann, account.id).await.err(), Some(AccountError::NotAdmin));
    let visitor = Caller::visitor(world.server.engine().moment());
    assert_eq!(auth.find(&visitor, account.id).await.err(), Some(AccountError::NotAUser));
    assert_eq!(
        Administration::remove_account(auth, world.visit(now), &ann, account.id).await.err(),
        Some(AccountError::NotAdmin)
    );

    let change = |change: AccountSettings| {
        let (auth, visit, owner, id) = (world.auth.clone(), world.visit(world.now()), world.owner(), account.id);
        async move { auth.change_account(visit, &owner, id, change).await }
    };
    let with = AccountSettings::default;
    for (change_, wrong) in [
        (AccountSettings { app_metadata: object(json!({ "roles": ["a b"] })), ..with() }, "app_metadata.roles"),
        (AccountSettings { app_metadata: object(json!({ "roles": "admin" })), ..with() }, "app_metadata.roles"),
        (AccountSettings { app_metadata: object(json!({ "roles": [1] })), ..with() }, "app_metadata.roles"),
        (AccountSettings { ban: Some(Ban::For(i64::MAX)), ..with() }, "ban_duration"),
        (AccountSettings { ban: Some(Ban::For(-1)), ..with() }, "ban_duration"),
    ] {
        match change(change_).await {
            Err(AccountError::InvalidSetting(name, _)) => assert_eq!(name, wrong),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    assert!(world.identify(&session, now).is_ok(), "nothing was done");
    let words =
        change(AccountSettings { user_metadata: object(json!({ "name": null, "x": 1 })), ..with() }).await.unwrap();
    assert_eq!(words.user_metadata, json!({ "x": 1 }));
    assert!(world.identify(&session, now).is_ok());
    let roles = AccountSettings { app_metadata: object(json!({ "roles": ["admin"], "org": null })), ..with() };
    let roles = change(roles).await.unwrap();
    assert_eq!(roles.app_metadata, json!({ "provider": "email", "providers": ["email"], "roles": ["admin"] }));
    assert_eq!(world.identify(&session, now).err(), Some(Unidentified::SessionEnded), "its token told the old roles");
    let session = auth.refresh(world.visit(world.now() + SECOND), session.refresh_token).await.unwrap();
    assert!(world.identify(&session, world.now() + SECOND).is_ok());

    let banned = change(AccountSettings { ban: Some(Ban::For(3_600 * SECOND)), ..with() }).await.unwrap();
    assert!(banned.banned_until.is_some_and(|until| until > now));
    assert!(world.identify(&session, world.now()).is_err());
    assert_eq!(world.sign_in("ann@example.org", world.now()).await.err(), Some(AccountError::Banned));
    change(AccountSettings { ban: Some(Ban::For(1)), ..with() }).await.unwrap();
    assert!(world.sign_in("ann@example.org", world.now()).await.is_ok(), "bans end by themselves");
    change(AccountSettings { ban: Some(Ban::For(3_600 * SECOND)), ..with() }).await.unwrap();
    let lifted = change(AccountSettings { ban: Some(Ban::Lifted), ..with() }).await.unwrap();
    assert_eq!(lifted.banned_until, None);
    let session = world.sign_in("ann@example.org", world.now()).await.unwrap();

    // A factor that was lost, and all of it.
    let (phone, raised) = world.with_factor(&session, world.now()).await;
    let gone = auth.remove_factor_of(world.visit(world.now()), &owner, account.id, Uuid::from_u128(1)).await.err();
    assert_eq!(gone, Some(FactorError::Missing.into()));
    auth.remove_factor_of(world.visit(world.now()), &owner, account.id, phone.factor).await.unwrap();
    assert!(world.identify(&raised, world.now()).is_err());
    assert!(auth.find(&owner, account.id).await.unwrap().factors.is_empty());
    let session = world.sign_in("ann@example.org", world.now()).await.unwrap();
    Administration::remove_account(auth, world.visit(world.now()), &owner, account.id).await.unwrap();
    assert!(world.identify(&session, world.now()).is_err());
    assert_eq!(world.sign_in("ann@example.org", world.now()).await.err(), Some(AccountError::InvalidCredentials));
    assert_eq!(auth.find(&owner, account.id).await.err(), Some(AccountError::UserUnknown));
    assert_eq!(
        Administration::remove_account(auth, world.visit(now), &owner, account.id).await.err(),
        Some(AccountError::UserUnknown)
    );
}

/// A sign-in that was found good before the ban, and is written after it, begins no session.
async fn a_ban_during_a_sign_in_holds(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let account = world.sign_up("ann@example.org").await.account.id;
    for round in 0..3 {
        let now = world.now();
        let sign_ins: Vec<_> = (0..5)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(async move { world.sign_in("ann@example.org", now).await })
            })
            .collect();
        // Hashing takes tens of milliseconds: the ban falls before, among and behind the sign-ins.
        tokio::time::sleep(Duration::from_millis(30 * round)).await;
        let ban = |ban: Ban| AccountSettings { ban: Some(ban), ..AccountSettings::default() };
        let banned = ban(Ban::For(3_600 * SECOND));
        world.auth.change_account(world.visit(now), &world.owner(), account, banned).await.unwrap();
        for sign_in in sign_ins {
            match sign_in.await.unwrap() {
                Ok(session) => {
                    assert_eq!(world.identify(&session, now).err(), Some(Unidentified::SessionEnded), "{round}");
                    let refreshed = world.auth.refresh(world.visit(now), session.refresh_token).await;
                    assert!(refreshed.is_err(), "{round}");
                }
                Err(AccountError::Banned | AccountError::Failed(Failure::Conflict | Failure::Overloaded)) => {}
                Err(other) => panic!("{round}: {other:?}"),
            }
        }
        let left = world.auth.sessions_of_account(&world.owner(), account).await.unwrap();
        assert_eq!(left.len(), 0, "{round}");
        world.auth.change_account(world.visit(now), &world.owner(), account, ban(Ban::Lifted)).await.unwrap();
    }
}
