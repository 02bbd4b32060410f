//! Accounts on a real store: sign up, in, out, refresh, change; what must never work; and what the owner does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use undergird_auth::{
    AdminError, Allowance, Allowances, AuditFault, AuditVerdict, Auth, Keys, NewAccount, NewSigningKey, Options,
    SigningAlgorithm,
};
use undergird_engine::accounts::*;
use undergird_engine::{Engine, Failure, Isolation, Outcome, Record};
use undergird_model::{Source, Value, definition};
use undergird_plan::caller::Moment;
use undergird_plan::request::{Request, Verb};
use undergird_plan::{Caller, Identity};
use undergird_store::{Store, schema};
use undergird_store_sqlite::{Options as SqliteOptions, SqliteStore};

const PEOPLE: &str = r#"
[fields]
id = { type = "uuid" }
email = { type = "email", unique = true }
name = { type = "text", min = 1, max = 20 }
nick = { type = "text", optional = true, unique = true }
plan = { type = "enum", values = ["free", "paid"], default = "free", readonly = true }
bio = { type = "text", default = "", write = "id == auth.id" }
level = { type = "int", default = 0, write = "'admin' in auth.roles" }
pin = { type = "secret", optional = true }

[access]
read = "id == auth.id"
"#;

const SECOND: i64 = 1_000_000;
const PASSWORD: &str = "a rather long password";

struct World {
    engine: Arc<Engine>,
    auth: Auth,
    keys: Keys,
}

async fn world() -> World {
    world_with("", Allowances::default()).await
}

async fn world_with(settings: &str, allowances: Allowances) -> World {
    let app = format!("name = \"test\"\n[auth]\nprofile = \"people\"\n{settings}\n");
    let source = |path: &str, text: &str| Source { name: path.into(), text: text.into() };
    let sources = [source("undergird.toml", &app), source("models/people.toml", PEOPLE)];
    let system: Vec<Source> = undergird_engine::SYSTEM
        .iter()
        .chain(undergird_auth::SYSTEM)
        .map(|(name, text)| source(&format!("system/{name}.toml"), text))
        .collect();
    let (model, diagnostics) = definition::check(&sources, &system);
    let model = Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")));
    let store = SqliteStore::open("sqlite::memory:", &SqliteOptions::default()).unwrap();
    let wanted = schema::wanted(&model);
    store.migrate(&schema::steps(None, &wanted), &wanted).await.unwrap();
    let engine = Engine::new(model, store);
    let keys = Keys::generate().unwrap();
    let options = Options { allowances, ..Options::new("http://localhost:8090") };
    let auth = Auth::open(engine.clone(), &keys, &options).await.unwrap();
    World { engine, auth, keys }
}

fn data(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

impl World {
    fn now(&self) -> i64 {
        self.engine.moment().now
    }

    fn visit(&self) -> Visit {
        self.visit_at(self.now())
    }

    fn visit_at(&self, now: i64) -> Visit {
        let moment = Moment { now, ..self.engine.moment() };
        Visit { moment, address: Some(IpAddr::from([192, 0, 2, 1])), user_agent: Some("test".into()) }
    }

    async fn sign_up(&self, email: &str, told: Json) -> Result<Session, AccountError> {
        let request =
            SignUp { email: email.into(), password: Secret::new(PASSWORD), data: data(told), wish: Wish::default() };
        match self.auth.sign_up(self.visit(), request).await? {
            SignedUp::In(session) => Ok(*session),
            SignedUp::Unconfirmed(account) => panic!("unconfirmed: {account:?}"),
        }
    }

    async fn sign_in(&self, email: &str, password: &str) -> Result<Session, AccountError> {
        self.sign_in_at(email, password, self.now()).await
    }

    async fn sign_in_at(&self, email: &str, password: &str, now: i64) -> Result<Session, AccountError> {
        let request = PasswordSignIn { email: email.into(), password: Secret::new(password) };
        self.auth.sign_in(self.visit_at(now), request).await
    }

    fn caller_at(&self, session: &Session, now: i64) -> Result<Caller, Unidentified> {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, Moment { now, entropy: 0 })
    }

    fn caller(&self, session: &Session) -> Result<Caller, Unidentified> {
        self.caller_at(session, self.now())
    }

    async fn refresh_at(&self, session: &Session, now: i64) -> Result<Session, AccountError> {
        self.auth.refresh(self.visit_at(now), session.refresh_token.clone()).await
    }

    async fn rows(&self, collection: &str) -> Vec<Record> {
        let system = Caller::system(self.engine.moment());
        self.engine.records(&system, Request::new(collection, Verb::Read)).await.unwrap()
    }

    async fn write(&self, request: Request) {
        let system = Caller::system(self.engine.moment());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (request, system) = (request.clone(), system.clone());
            Box::pin(async move {
                transaction.write(&system, request, None).await?;
                Ok(Outcome::commit(()))
            })
        });
        done.await.unwrap();
    }

    async fn counts(&self) -> [usize; 5] {
        let mut counts = [0; 5];
        for (count, name) in counts.iter_mut().zip(["_users", "_identities", "_sessions", "_refresh_tokens", "people"])
        {
            *count = self.rows(name).await.len();
        }
        counts
    }

    async fn profile(&self, id: uuid::Uuid) -> Record {
        let system = Caller::system(self.engine.moment());
        let request = Request::new("people", Verb::Read).with_equal("id", Value::Uuid(id));
        self.engine.records(&system, request).await.unwrap().remove(0)
    }
}

#[tokio::test]
async fn signing_up_makes_everything_or_nothing() {
    let world = world().await;
    let told = json!({ "name": "Ann", "bio": "hi", "theme": "dark", "email": "victim@example.org" });
    let session = world.sign_up(" Ann@Example.ORG ", told).await.unwrap();
    assert_eq!(world.counts().await, [1, 1, 1, 1, 1]);
    let account = &session.account;
    assert_eq!(account.email.as_deref(), Some("ann@example.org"));
    assert!(account.email_confirmed_at.is_some() && account.last_sign_in_at.is_some());
    assert_eq!(account.app_metadata, json!({ "provider": "email", "providers": ["email"] }));
    assert_eq!(account.user_metadata["theme"], "dark");
    assert_eq!(account.identities.len(), 1);
    let profile = world.profile(account.id).await;
    assert_eq!((profile.text("name"), profile.text("bio")), (Some("Ann"), Some("hi")));
    assert_eq!(profile.text("email"), Some("ann@example.org"), "never from data");
    assert_eq!(profile.text("plan"), Some("free"));

    let caller = world.caller(&session).unwrap();
    let Identity::User(user) = caller.identity() else { panic!() };
    assert_eq!(user.id(), account.id);
    assert_eq!(world.auth.account(&caller).await.unwrap().id, account.id);

    let before = world.counts().await;
    let refused = |told: Json| {
        let world = &world;
        async move { world.sign_up("bob@example.org", told).await.err().unwrap() }
    };
    for (told, pointers) in [
        (json!({ "name": "Bob", "plan": "paid" }), vec!["/plan"]),
        (
            json!({ "name": "Bob", "level": 9, "pin": "1", "id": uuid::Uuid::nil().to_string() }),
            vec!["/level", "/pin", "/id"],
        ),
        (json!({}), vec!["/name"]),
        (json!({ "name": "x".repeat(21) }), vec!["/name"]),
        (json!({ "name": { "$ne": 1 } }), vec!["/name"]),
        (json!({ "name": null }), vec!["/name"]),
        (json!({ "name": "Bob", "x": ["a\0"], "y/z": { "b\0": 1 }, "w": "\\u0000" }), vec!["/x", "/y~1z"]),
    ] {
        let shown = told.to_string();
        let errors = match refused(told).await {
            AccountError::InvalidData(errors) => errors,
            AccountError::Failed(Failure::Refused(undergird_plan::Refusal::Invalid { errors })) => errors,
            other => panic!("{shown}: {other:?}"),
        };
        assert_eq!(errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), pointers, "{shown}");
    }
    assert_eq!(
        refused(json!({ "name": "Bob", "x": "y".repeat(5_000) })).await,
        AccountError::DataTooLarge { max: 4096 }
    );
    world.sign_up("carl@example.org", json!({ "name": "Carl", "nick": "c" })).await.unwrap();
    let taken = refused(json!({ "name": "Bob", "nick": "c" })).await;
    assert!(matches!(taken, AccountError::Failed(Failure::Constraint(_))), "{taken:?}");
    for email in
        ["", "ann", "ann@", "@example.org", "a b@c.de", "ann@example.org\0", "ann@example.org, bob@example.org"]
    {
        assert_eq!(
            world.sign_up(email, json!({ "name": "A" })).await.err(),
            Some(AccountError::InvalidEmail),
            "{email}"
        );
    }
    assert_eq!(world.sign_up("ANN@example.org", json!({ "name": "A" })).await.err(), Some(AccountError::EmailTaken));
    assert_eq!(world.counts().await, before.map(|count| count + 1), "only Carl came");
}

#[tokio::test]
async fn what_a_client_says_never_becomes_a_role() {
    let world = world().await;
    let told =
        json!({ "name": "Eve", "roles": ["admin"], "role": "service_role", "app_metadata": { "roles": ["admin"] } });
    let session = world.sign_up("eve@example.org", told).await.unwrap();
    let caller = world.caller(&session).unwrap();
    let Identity::User(user) = caller.identity() else { panic!() };
    assert!(user.roles().is_empty());
    let change =
        AccountChange { data: Some(data(json!({ "app_metadata": { "roles": ["admin"] } }))), ..Default::default() };
    let account = world.auth.update(world.visit(), &caller, change).await.unwrap();
    assert!(account.app_metadata.get("roles").is_none());
}

#[tokio::test]
async fn signing_in_tells_nobody_apart() {
    let world = world().await;
    world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    assert!(world.sign_in("ANN@example.org", PASSWORD).await.is_ok());
    for (email, password) in [
        ("ann@example.org", "wrong"),
        ("ann@example.org", ""),
        ("ann@example.org", &format!("{PASSWORD}\0")),
        ("ann@example.org", &PASSWORD.to_uppercase()),
        ("nobody@example.org", PASSWORD),
        ("", PASSWORD),
        ("not an address", PASSWORD),
        ("' or 1=1 --", PASSWORD),
    ] {
        assert_eq!(world.sign_in(email, password).await.err(), Some(AccountError::InvalidCredentials), "{email}");
    }
    assert_eq!(world.counts().await[2], 2, "a session each for sign-up and sign-in");
}

#[tokio::test]
async fn guessing_is_slowed_and_never_locks_out() {
    let three = Allowance { burst: 3, every: Duration::from_secs(60) };
    let many = Allowance { burst: 1_000, every: Duration::from_secs(1) };
    let allowances = Allowances {
        account_and_address: three,
        account: many,
        address: many,
        sign_ups: many,
        codes: many,
        ..Allowances::default()
    };
    let world = world_with("", allowances).await;
    world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    for _ in 0..5 {
        assert!(world.sign_in("ann@example.org", PASSWORD).await.is_ok(), "good ones cost nothing");
    }
    for _ in 0..3 {
        assert_eq!(world.sign_in("ann@example.org", "guess").await.err(), Some(AccountError::InvalidCredentials));
    }
    let refused = world.sign_in("ann@example.org", PASSWORD).await.err();
    assert!(matches!(refused, Some(AccountError::TooManyAttempts { .. })), "{refused:?}");
    let request = || PasswordSignIn { email: "ann@example.org".into(), password: Secret::new(PASSWORD) };
    let elsewhere = Visit { address: Some(IpAddr::from([198, 51, 100, 7])), ..world.visit() };
    assert!(world.auth.sign_in(elsewhere, request()).await.is_ok(), "the owner is elsewhere");
    let later = world.visit_at(world.now() + 61 * SECOND);
    assert!(world.auth.sign_in(later, request()).await.is_ok());
}

#[tokio::test]
async fn refreshing_rotates_and_a_second_use_ends_the_session() {
    let world = world().await;
    let start = world.now();
    let first = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let second = world.refresh_at(&first, start + 10 * SECOND).await.unwrap();
    assert_ne!(first.refresh_token.expose(), second.refresh_token.expose());
    assert!(second.refresh_token.expose().starts_with("ug_refresh_"));
    let again = world.refresh_at(&first, start + 19 * SECOND).await.unwrap();
    assert_eq!(again.refresh_token.expose(), second.refresh_token.expose(), "a lost answer is given again");
    let third = world.refresh_at(&second, start + 19 * SECOND).await.unwrap();
    assert!(world.caller_at(&third, start + 20 * SECOND).is_ok());
    // Within the grace, but the next one was used already: somebody else has it.
    assert_eq!(world.refresh_at(&first, start + 19 * SECOND).await.err(), Some(AccountError::RefreshTokenUsed));
    for session in [&first, &second, &third] {
        assert_eq!(world.caller_at(session, start + 19 * SECOND).err(), Some(Unidentified::SessionEnded));
        let refused = world.refresh_at(session, start + 21 * SECOND).await.err();
        assert_eq!(refused, Some(AccountError::RefreshTokenUnknown));
    }
    assert_eq!(world.counts().await[2..4], [0, 0]);

    let late = world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    world.refresh_at(&late, start + 30 * SECOND).await.unwrap();
    assert_eq!(world.refresh_at(&late, start + 41 * SECOND).await.err(), Some(AccountError::RefreshTokenUsed));
    for nonsense in ["", "ug_refresh_", "x", late.access_token.expose(), &"ug_refresh_".repeat(99)] {
        let refused = world.auth.refresh(world.visit(), Secret::new(nonsense)).await.err();
        assert_eq!(refused, Some(AccountError::RefreshTokenUnknown));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_uses_give_one_successor() {
    let world = Arc::new(world().await);
    let session = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let now = world.now();
    let all: Vec<_> = (0..100)
        .map(|_| {
            let (world, session) = (world.clone(), session.clone());
            tokio::spawn(async move { world.refresh_at(&session, now).await })
        })
        .collect();
    let mut successors = Vec::new();
    for each in all {
        successors.push(each.await.unwrap().unwrap().refresh_token.expose().to_owned());
    }
    successors.sort();
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_eq!(world.counts().await[3], 2, "the used one and the next");
}

#[tokio::test]
async fn sessions_have_an_absolute_end() {
    let world = world_with("session_days = 1", Allowances::default()).await;
    let start = world.now();
    let session = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let day = 86_400 * SECOND;
    let last = world.refresh_at(&session, start + day - 60 * SECOND).await.unwrap();
    assert!(last.expires_in_seconds <= 61, "no token outlives its session: {}", last.expires_in_seconds);
    assert_eq!(world.refresh_at(&last, start + day + SECOND).await.err(), Some(AccountError::SessionExpired));
    assert_eq!(world.counts().await[2], 0);
}

#[tokio::test]
async fn signing_out_ends_what_it_says() {
    let world = world().await;
    let one = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let two = world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    let three = world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    let other = world.sign_up("bob@example.org", json!({ "name": "Bob" })).await.unwrap();
    let out = |session: &Session, scope| {
        let (world, caller) = (&world, world.caller(session).unwrap());
        async move { world.auth.sign_out(world.visit(), &caller, scope).await.unwrap() }
    };
    out(&one, SignOutScope::Local).await;
    assert_eq!(world.caller(&one).err(), Some(Unidentified::SessionEnded));
    assert_eq!(world.refresh_at(&one, world.now()).await.err(), Some(AccountError::RefreshTokenUnknown));
    assert!(world.caller(&two).is_ok() && world.caller(&three).is_ok());
    out(&two, SignOutScope::Others).await;
    assert!(world.caller(&two).is_ok() && world.caller(&three).is_err());
    out(&two, SignOutScope::Global).await;
    assert!(world.caller(&two).is_err());
    assert!(world.caller(&other).is_ok(), "another user's session stands");
    // Another process, or this one after a restart, knows it too.
    let options = Options::new("http://localhost:8090");
    let again = Auth::open(world.engine.clone(), &world.keys, &options).await.unwrap();
    let again = World { engine: world.engine.clone(), auth: again, keys: world.keys.clone() };
    for session in [&one, &two, &three] {
        assert_eq!(again.caller(session).err(), Some(Unidentified::SessionEnded));
    }
    assert!(again.caller(&other).is_ok(), "the signing key is the same");
    assert_eq!(again.rows("_signing_keys").await.len(), 1);
}

#[tokio::test]
async fn a_change_of_password_wants_proof_and_ends_other_sessions() {
    let world = world().await;
    let start = world.now();
    let one = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let two = world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    let to = |password: &str, current: Option<&str>| AccountChange {
        password: Some(Secret::new(password)),
        current_password: current.map(Secret::new),
        ..Default::default()
    };
    let change = |session: &Session, at: i64, change: AccountChange| {
        let (world, caller) = (&world, world.caller_at(session, at).unwrap());
        async move { world.auth.update(world.visit_at(at), &caller, change).await.map(|_| ()) }
    };
    let stale = start + 20 * 60 * SECOND;
    let fresh = "another long password";
    assert_eq!(change(&one, stale, to(fresh, None)).await, Err(AccountError::ReauthenticationNeeded));
    assert_eq!(change(&one, stale, to(fresh, Some("guess"))).await, Err(AccountError::InvalidCredentials));
    assert_eq!(change(&one, stale, to(PASSWORD, Some(PASSWORD))).await, Err(AccountError::SamePassword));
    assert!(matches!(change(&one, stale, to("short", Some(PASSWORD))).await, Err(AccountError::WeakPassword(_))));
    assert!(world.caller(&two).is_ok());
    assert_eq!(change(&one, stale, to(fresh, Some(PASSWORD))).await, Ok(()));
    assert!(world.caller_at(&one, stale).is_ok(), "one's own goes on");
    assert_eq!(world.caller_at(&two, stale).err(), Some(Unidentified::SessionEnded));
    let old = world.sign_in_at("ann@example.org", PASSWORD, stale).await.err();
    assert_eq!(old, Some(AccountError::InvalidCredentials));

    let email = AccountChange { email: Some("Anna@example.org".into()), ..Default::default() };
    let recent = world.sign_in_at("ann@example.org", fresh, stale).await.unwrap();
    assert_eq!(change(&recent, stale, email).await, Ok(()));
    assert_eq!(world.profile(recent.account.id).await.text("email"), Some("anna@example.org"));
    world.sign_up("bob@example.org", json!({ "name": "Bob" })).await.unwrap();
    let taken = AccountChange { email: Some("bob@example.org".into()), ..Default::default() };
    assert_eq!(change(&recent, stale, taken).await, Err(AccountError::EmailTaken));
    let metadata = AccountChange { data: Some(data(json!({ "name": null, "a": 1 }))), ..Default::default() };
    assert_eq!(change(&recent, stale + 20 * 60 * SECOND, metadata).await, Ok(()), "metadata wants no proof");
    let account = world.auth.account(&world.caller_at(&recent, stale).unwrap()).await.unwrap();
    assert_eq!(account.user_metadata, json!({ "a": 1 }));
}

#[tokio::test]
async fn a_taken_address_stays_hidden_when_addresses_are_confirmed() {
    let world = world_with("confirm_email = true", Allowances::default()).await;
    let sign_up = |email: &str, told: Json| {
        let request =
            SignUp { email: email.into(), password: Secret::new(PASSWORD), data: data(told), wish: Wish::default() };
        let world = &world;
        async move {
            match world.auth.sign_up(world.visit(), request).await {
                Ok(SignedUp::Unconfirmed(account)) => Ok(*account),
                Ok(SignedUp::In(_)) => panic!("signed in without confirmation"),
                Err(error) => Err(error),
            }
        }
    };
    let new = sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let counts = world.counts().await;
    assert_eq!(counts, [1, 1, 0, 0, 1]);
    let taken = sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    assert_eq!(world.counts().await, counts);
    let shape = |account: &Account| {
        let mut account = account.clone();
        let id = account.id.to_string();
        account.id = uuid::Uuid::nil();
        (account.created_at, account.updated_at) = (0, 0);
        for identity in &mut account.identities {
            assert_eq!(identity.provider_id, id);
            assert_eq!(identity.data["sub"], id);
            identity.data["sub"] = Json::Null;
            identity.id = uuid::Uuid::nil();
            identity.provider_id.clear();
            (identity.created_at, identity.updated_at) = (0, 0);
        }
        format!("{account:?}")
    };
    assert_eq!(shape(&new), shape(&taken));
    let faulty = |email: &str| sign_up(email, json!({ "name": "", "plan": "paid" }));
    assert_eq!(faulty("ann@example.org").await, faulty("new@example.org").await);
    assert_eq!(world.sign_in("ann@example.org", PASSWORD).await.err(), Some(AccountError::EmailNotConfirmed));
    assert_eq!(world.sign_in("ann@example.org", "wrong").await.err(), Some(AccountError::InvalidCredentials));
}

#[tokio::test]
async fn a_closed_application_takes_no_sign_ups() {
    let world = world_with("sign_up = false", Allowances::default()).await;
    let refused = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.err();
    assert_eq!(refused, Some(AccountError::SignUpClosed));
    assert!(!world.auth.offers().sign_up);
}

#[tokio::test]
async fn the_owner_administers_accounts() {
    let world = world().await;
    let new = |email: &str, roles: &[&str]| NewAccount {
        email: email.into(),
        password: Secret::new(PASSWORD),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        data: data(json!({ "name": "Ed" })),
    };
    let made = world.auth.add_account(new("ed@example.org", &["editor"])).await.unwrap();
    assert_eq!(world.profile(made.id).await.text("name"), Some("Ed"));
    let session = world.sign_in("ed@example.org", PASSWORD).await.unwrap();
    let roles = |session: &Session| match world.caller_at(session, world.now() + SECOND).unwrap().identity() {
        Identity::User(user) => user.roles().to_vec(),
        _ => panic!(),
    };
    assert_eq!(roles(&session), ["editor"]);
    let twice = world.auth.add_account(new("ED@example.org", &[])).await;
    assert!(matches!(twice, Err(AdminError::Account(AccountError::EmailTaken))), "{twice:?}");
    let bad = world.auth.add_account(new("x@example.org", &["a b"])).await;
    assert_eq!(bad.err(), Some(AdminError::BadRole("a b".into())));

    world.auth.set_roles("ed@example.org", vec!["admin".into(), "editor".into()]).await.unwrap();
    assert_eq!(world.caller(&session).err(), Some(Unidentified::SessionEnded), "the token tells old roles");
    let next = world.refresh_at(&session, world.now() + SECOND).await.unwrap();
    assert_eq!(roles(&next), ["admin", "editor"]);

    assert_eq!(world.auth.list_accounts(None, 10).await.unwrap().len(), 1);
    assert!(world.auth.list_accounts(Some(made.id), 10).await.unwrap().is_empty());
    assert_eq!(world.auth.find_account("Ed@example.org").await.unwrap().map(|account| account.id), Some(made.id));

    world.auth.set_password("ed@example.org", &Secret::new("a different password")).await.unwrap();
    assert!(world.caller(&next).is_err());
    let session = world.sign_in("ed@example.org", "a different password").await.unwrap();
    assert_eq!(world.auth.end_sessions("ed@example.org").await.unwrap(), 1);
    assert!(world.caller(&session).is_err());
    world.auth.remove_account("ed@example.org").await.unwrap();
    assert_eq!(world.counts().await, [0; 5]);
    assert_eq!(world.auth.remove_account("ed@example.org").await.err(), Some(AdminError::NoSuchAccount));
}

#[tokio::test]
async fn signing_keys_rotate_and_are_sealed() {
    let world = world().await;
    let before = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    world.auth.rotate_signing_key(NewSigningKey::Of(SigningAlgorithm::EdDsa)).await.unwrap();
    assert!(world.caller(&before).is_ok(), "the old key verifies");
    let after = world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    assert!(world.caller(&after).is_ok());
    let algorithms = |world: &World| {
        let set = world.auth.key_set(world.engine.moment());
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["alg"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(algorithms(&world), ["EdDSA", "ES256"]);
    // Under another secret API key the old keys still verify for a while, and a new one signs.
    let other = Keys::generate().unwrap();
    let auth = Auth::open(world.engine.clone(), &other, &Options::new("http://localhost:8090")).await.unwrap();
    let moved = World { engine: world.engine.clone(), auth, keys: other };
    assert!(moved.caller(&after).is_ok());
    assert!(moved.sign_in("ann@example.org", PASSWORD).await.is_ok());
    assert_eq!(moved.rows("_signing_keys").await.len(), 3);
    assert_eq!(algorithms(&moved), ["EdDSA", "EdDSA", "ES256"], "the algorithm stays until another is named");
    moved.auth.sweep().await.unwrap();
    assert!(moved.caller(&before).is_ok());
    assert_eq!(moved.rows("_signing_keys").await.iter().filter(|key| key.int("retired_at").is_none()).count(), 1);
}

#[tokio::test]
async fn nothing_that_opens_a_door_is_kept_readable() {
    let world = world().await;
    let session = world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    let mut kept = String::new();
    for (name, _) in undergird_auth::SYSTEM {
        for row in world.rows(name).await {
            for field in ["password_hash", "hash", "parent", "private", "public", "user_metadata", "data", "user_agent"]
            {
                kept.push_str(&format!("{:?} ", row.get(field)));
                if let Some(octets) = row.bytes(field) {
                    kept.push_str(&String::from_utf8_lossy(octets));
                }
            }
        }
    }
    assert!(kept.contains("$argon2id$"));
    for secret in [PASSWORD, session.refresh_token.expose(), session.access_token.expose(), world.keys.secret.expose()]
    {
        assert!(!kept.contains(secret));
    }
    // A secret key reads neither these collections nor the profile's secrets.
    let secret = Caller::secret(world.engine.moment());
    for (name, _) in undergird_auth::SYSTEM {
        let refused = world.engine.records(&secret, Request::new(*name, Verb::Read)).await.err();
        assert!(matches!(refused, Some(Failure::Refused(_))), "{name}");
    }
}

#[tokio::test]
async fn an_entry_of_the_audit_log_cannot_be_changed_unseen() {
    let world = world().await;
    world.sign_up("ann@example.org", json!({ "name": "Ann" })).await.unwrap();
    for _ in 0..3 {
        world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    }
    world.auth.chain_audit().await.unwrap();
    let verdict = || async { world.auth.verify_audit(None).await.unwrap() };
    let whole = verdict().await;
    assert!(matches!(whole, AuditVerdict::Whole { pending: 0, .. }), "{whole:?}");
    let rows = world.rows("_audit_log").await;
    // One with all members, that others follow.
    let row = rows.iter().find(|row| row.text("event") == Some("login") && row.int("seq") < Some(rows.len() as i64));
    let row = row.unwrap();
    let seq = row.int("seq").unwrap();
    let id = row.get("id").clone();
    let set = |name: &'static str, value: Value| {
        let request = Request::new("_audit_log", Verb::Update).with_equal("id", id.clone()).with_row([(name, value)]);
        world.write(request)
    };
    for (name, other) in [
        ("at", Value::Timestamp(row.int("at").unwrap() + 1)),
        ("event", Value::text("logout")),
        ("actor", Value::text("owner")),
        ("user_id", Value::Uuid(uuid::Uuid::nil())),
        ("user_id", Value::Null),
        ("session_id", Value::Null),
        ("ip", Value::Null),
        ("ip", Value::text("192.0.2.2")),
        ("detail", Value::text("{}")),
        ("prev", Value::Bytes(vec![0; 32])),
        ("hash", Value::Bytes(vec![0; 32])),
        ("seq", Value::Int(99)),
        ("seq", Value::Null),
        ("seq", Value::Int(0)),
    ] {
        let before = row.get(name).clone();
        set(name, other).await;
        let found = verdict().await;
        assert!(matches!(found, AuditVerdict::Broken { .. }), "{name}: {found:?}");
        set(name, before).await;
        assert_eq!(verdict().await, whole);
    }
    let gone = Request::new("_audit_log", Verb::Delete).with_equal("id", id);
    world.write(gone).await;
    assert_eq!(verdict().await, AuditVerdict::Broken { seq, why: AuditFault::Missing });
}
