//! What reviews as an attacker found, one test for each finding: none of it may come back.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use undergird_auth::{Allowance, Allowances, Auth, Keys, Options, Transport};
use undergird_engine::accounts::*;
use undergird_engine::{Engine, Record};
use undergird_model::{Source, definition};
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Request, Verb};
use undergird_store::{Store, schema};
use undergird_store_sqlite::{Options as SqliteOptions, SqliteStore};

const PEOPLE: &str = r#"
[fields]
id = { type = "uuid" }
email = { type = "email", unique = true, optional = true }
name = { type = "text", default = "?" }
"#;
const NOTES: &str = r#"
[fields]
id = { type = "uuid" }
author_id = { type = "ref", to = "people" }
"#;
const PASSWORD: &str = "a rather long password";
const ANOTHER: &str = "quite another password";
const SIGN_IN: &[LinkKind] = &[LinkKind::Confirmation, LinkKind::MagicLink];
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

struct World {
    engine: Arc<Engine>,
    auth: Auth,
    keys: Keys,
}

fn generous() -> Allowances {
    let generous = Allowance { burst: 10_000, every: Duration::from_secs(1) };
    Allowances {
        mails_to: generous,
        mails_from: generous,
        mail_codes: generous,
        address: generous,
        ..Allowances::default()
    }
}

async fn world(settings: &str) -> World {
    world_with(settings, generous()).await
}

async fn world_with(settings: &str, allowances: Allowances) -> World {
    let app = format!("name = \"test\"\n[auth]\nprofile = \"people\"\n{settings}\n");
    let source = |path: &str, text: &str| Source { name: path.into(), text: text.into() };
    let sources =
        [source("undergird.toml", &app), source("models/people.toml", PEOPLE), source("models/notes.toml", NOTES)];
    let system = undergird_engine::SYSTEM.iter().chain(undergird_auth::SYSTEM);
    let system: Vec<Source> = system.map(|(name, text)| source(&format!("system/{name}.toml"), text)).collect();
    let (model, diagnostics) = definition::check(&sources, &system);
    let model = Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")));
    let store = SqliteStore::open("sqlite::memory:", &SqliteOptions::default()).unwrap();
    let wanted = schema::wanted(&model);
    store.migrate(&schema::steps(None, &wanted), &wanted).await.unwrap();
    let engine = Engine::new(model, store);
    let keys = Keys::generate().unwrap();
    let options = Options { allowances, transport: Transport::Inbox, ..Options::new("https://api.x.org") };
    let auth = Auth::open(engine.clone(), &keys, &options).await.unwrap();
    World { engine, auth, keys }
}

impl World {
    fn visit(&self) -> Visit {
        self.visit_later(0)
    }

    fn visit_later(&self, micros: i64) -> Visit {
        let moment = self.engine.moment();
        let moment = Moment { now: moment.now + micros, ..moment };
        Visit { moment, address: Some(IpAddr::from([192, 0, 2, 1])), user_agent: None }
    }

    /// The link's secret and the code of the newest mail, after sending what is due.
    async fn mail_to(&self, to: &str) -> (String, String) {
        self.auth.deliver().await.unwrap();
        let mails = self.auth.inbox().unwrap();
        let mail = mails.first().unwrap_or_else(|| panic!("no mail"));
        assert_eq!(mail.to, to);
        let token = mail.text.split("token=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
        let code = mail.text.lines().find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
        (token.to_owned(), code.unwrap_or_default().to_owned())
    }

    async fn sign_up(&self, email: &str, password: &str) -> Result<SignedUp, AccountError> {
        let (email, password) = (email.to_owned(), Secret::new(password));
        let request = SignUp { email, password, data: Map::new(), wish: Wish::default() };
        self.auth.sign_up(self.visit(), request).await
    }

    /// Somebody who signed up where addresses are not confirmed.
    async fn member(&self, email: &str) -> Session {
        match self.sign_up(email, PASSWORD).await.unwrap() {
            SignedUp::In(session) => *session,
            SignedUp::Unconfirmed(account) => panic!("unconfirmed: {account:?}"),
        }
    }

    async fn verify(&self, kinds: &'static [LinkKind], token: &str) -> Result<Session, AccountError> {
        self.auth.verify(self.visit(), kinds, Proof::Link(Secret::new(token))).await
    }

    async fn sign_in(&self, email: &str, password: &str) -> Result<Session, AccountError> {
        let request = PasswordSignIn { email: email.into(), password: Secret::new(password) };
        self.auth.sign_in(self.visit(), request).await
    }

    fn caller(&self, session: &Session) -> Result<Caller, Unidentified> {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, self.engine.moment())
    }

    fn owner(&self) -> Caller {
        let credentials = Credentials { apikey: Some(self.keys.secret.expose().as_bytes()), authorization: None };
        self.auth.identify(credentials, self.engine.moment()).unwrap()
    }

    async fn make(&self, new: AccountSettings) -> Account {
        self.auth.create_account(self.visit(), &self.owner(), new).await.unwrap()
    }

    async fn rows(&self, collection: &str) -> Vec<Record> {
        let system = Caller::system(self.engine.moment());
        self.engine.records(&system, Request::new(collection, Verb::Read)).await.unwrap()
    }

    /// The events of the audit log, with their details.
    async fn events(&self) -> Vec<String> {
        let mut rows = self.rows("_audit_log").await;
        rows.sort_by_key(|row| row.uuid("id"));
        let text = |row: &Record, name: &str| row.text(name).unwrap_or_default().to_owned();
        rows.iter().map(|row| format!("{} {}", text(row, "event"), text(row, "detail"))).collect()
    }
}

fn settings(email: &str) -> AccountSettings {
    AccountSettings { email: Some(email.into()), ..AccountSettings::default() }
}

fn members(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

/// M3: an account that the owner made without confirming its address was removed, roles and all, by the next sign-up of that address.
#[tokio::test]
async fn a_sign_up_does_not_replace_what_the_owner_made() {
    let world = world("confirm_email = true").await;
    let roles = members(json!({ "roles": ["editor"] }));
    let (own, told) = (Some(Secret::new(PASSWORD)), Some(members(json!({ "name": "Ed" }))));
    let made =
        AccountSettings { password: own, app_metadata: Some(roles), user_metadata: told, ..settings("ed@x.org") };
    let made = world.make(made).await;
    let bare = world.make(settings("bare@x.org")).await;
    let link = GenerateLink {
        kind: LinkKind::MagicLink,
        email: "link@x.org".into(),
        password: None,
        data: Map::new(),
        new_email: None,
        redirect_to: None,
    };
    let linked = world.auth.generate_link(world.visit(), &world.owner(), link).await.unwrap().account;
    for (email, id) in [("ed@x.org", made.id), ("bare@x.org", bare.id), ("link@x.org", linked.id)] {
        // The same answer as for an address that nobody has: an unconfirmed account with an id of its own.
        let SignedUp::Unconfirmed(shown) = world.sign_up(email, ANOTHER).await.unwrap() else { panic!("signed in") };
        assert!(shown.id != id && shown.app_metadata.get("roles").is_none() && shown.invited_at.is_none());
        let (token, _) = world.mail_to(email).await;
        let session = world.verify(SIGN_IN, &token).await.unwrap();
        assert_eq!(session.account.id, id, "the owner's account, confirmed by who reads its mail");
        let refused = world.sign_in(email, ANOTHER).await.err();
        assert_eq!(refused, Some(AccountError::InvalidCredentials), "the stranger's password is nobody's");
    }
    let session = world.sign_in("ed@x.org", PASSWORD).await.unwrap();
    assert_eq!(session.account.app_metadata["roles"], json!(["editor"]));
    assert_eq!(session.account.user_metadata["name"], "Ed");
    assert!(world.rows("people").await.iter().any(|row| row.text("name") == Some("Ed")));

    // A stranger was first: the owner's link confirms the owner's password, and the account stays from then on.
    world.sign_up("late@x.org", ANOTHER).await.unwrap();
    let link = GenerateLink {
        kind: LinkKind::Confirmation,
        email: "late@x.org".into(),
        password: Some(Secret::new(PASSWORD)),
        data: Map::new(),
        new_email: None,
        redirect_to: None,
    };
    let made = world.auth.generate_link(world.visit(), &world.owner(), link).await.unwrap();
    world.sign_up("late@x.org", ANOTHER).await.unwrap();
    world.verify(SIGN_IN, made.token.expose()).await.unwrap();
    assert_eq!(world.sign_in("late@x.org", PASSWORD).await.unwrap().account.id, made.account.id);
    assert_eq!(world.sign_in("late@x.org", ANOTHER).await.err(), Some(AccountError::InvalidCredentials));
}
