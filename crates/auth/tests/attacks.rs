//! What reviews as an attacker found, one test for each finding: none of it may come back.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use undergird_auth::{Allowance, Allowances, AuditVerdict, Auth, Keys, Options, Transport};
use undergird_engine::accounts::*;
use undergird_engine::{Engine, Isolation, Outcome, Record};
use undergird_model::{Source, Value, definition};
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
/// Where only one domain may sign up.
const STAFF: &str = r#"
[fields]
id = { type = "uuid" }
email = { type = "text", optional = true, pattern = "@x[.]org$" }
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
    let profile = if settings.contains("staff") { "staff" } else { "people" };
    let app = format!("name = \"test\"\n[auth]\nprofile = \"{profile}\"\n{}\n", settings.trim_start_matches("staff"));
    let source = |path: &str, text: &str| Source { name: path.into(), text: text.into() };
    let sources = [
        source("undergird.toml", &app),
        source("models/people.toml", PEOPLE),
        source("models/notes.toml", NOTES),
        source("models/staff.toml", STAFF),
    ];
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

    /// The link's secret and the code of the newest mail to an address, after sending what is due.
    async fn mail_to(&self, to: &str) -> (String, String) {
        self.auth.deliver().await.unwrap();
        let mails = self.auth.inbox().unwrap();
        let mail = mails.iter().find(|mail| mail.to == to).unwrap_or_else(|| panic!("no mail to {to}"));
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

    /// Has rows be older than they are.
    async fn age(&self, collection: &'static str, columns: &'static [&'static str], micros: i64) {
        for row in self.rows(collection).await {
            let older = |name: &&'static str| (*name, Value::Timestamp(row.int(name).unwrap() - micros));
            let values: Vec<_> = columns.iter().map(older).collect();
            let id = row.get("id").clone();
            self.write(Request::new(collection, Verb::Update).with_equal("id", id).with_row(values)).await;
        }
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

/// How many of such attempts are taken before one is refused for a while.
async fn until_refused(most: usize, mut attempt: impl AsyncFnMut(usize) -> Result<(), AccountError>) -> usize {
    for taken in 0..most {
        match attempt(taken).await {
            Ok(()) => {}
            Err(AccountError::TooManyAttempts { retry_after }) => {
                assert!(retry_after > Duration::ZERO);
                return taken;
            }
            Err(other) => panic!("{taken}: {other:?}"),
        }
    }
    most
}

/// M7: what succeeded had no budget: good passwords could fill the hasher, and refreshes and challenges the tables. L: `same_password` told,
/// as often as one asked, whether a guess was right.
#[tokio::test]
async fn what_succeeds_has_budgets_too() {
    let few = |burst| Allowance { burst, every: Duration::from_secs(30) };
    let allowances = Allowances {
        good_passwords: few(4),
        password_changes: few(3),
        challenges: few(5),
        refreshes: few(6),
        ..generous()
    };
    let world = world_with("", allowances).await;
    let session = world.member("ann@x.org").await;
    let other = world.member("bob@x.org").await;

    // Wrong ones do not spend what the good ones have.
    for _ in 0..6 {
        assert_eq!(world.sign_in("ann@x.org", ANOTHER).await.err(), Some(AccountError::InvalidCredentials));
    }
    let good = until_refused(9, async |_| world.sign_in("ann@x.org", PASSWORD).await.map(|_| ())).await;
    assert_eq!(good, 4);
    world.sign_in("bob@x.org", PASSWORD).await.unwrap();

    let caller = world.caller(&session).unwrap();
    let enrolled = EnrollFactor { name: None, issuer: None, current_password: None };
    let factor = world.auth.enroll_factor(world.visit(), &caller, enrolled).await.unwrap().id;
    let asked =
        until_refused(9, async |_| world.auth.challenge_factor(world.visit(), &caller, factor).await.map(|_| ()));
    assert_eq!(asked.await, 5);

    let guess = async |_| {
        let change = AccountChange { password: Some(Secret::new(PASSWORD)), ..Default::default() };
        match world.auth.update(world.visit(), &caller, change).await {
            Err(AccountError::SamePassword) => Ok(()),
            done => done.map(|_| ()),
        }
    };
    assert_eq!(until_refused(9, guess).await, 3);

    let mut newest = session.refresh_token.clone();
    let refreshed = until_refused(9, async |_| {
        newest = world.auth.refresh(world.visit(), newest.clone()).await?.refresh_token;
        Ok(())
    });
    assert_eq!(refreshed.await, 6);
    world.auth.refresh(world.visit(), other.refresh_token).await.unwrap();
    // Refused, not used up: a client that waits goes on.
    world.auth.refresh(world.visit_later(31 * SECOND), newest).await.unwrap();
}

/// M7: an account could have any number of sessions.
#[tokio::test]
async fn an_account_has_so_many_sessions_and_the_oldest_goes() {
    let world = world("anonymous = true").await;
    let first = world.member("ann@x.org").await;
    let second = world.sign_in("ann@x.org", PASSWORD).await.unwrap();
    let first = world.auth.refresh(world.visit_later(SECOND), first.refresh_token).await.unwrap();
    let other = world.member("bob@x.org").await;
    for _ in 0..99 {
        world.auth.send_link(world.visit(), link_to("ann@x.org")).await.unwrap();
        let (token, _) = world.mail_to("ann@x.org").await;
        world.verify(SIGN_IN, &token).await.unwrap();
    }
    assert_eq!(world.rows("_sessions").await.len(), 101, "a hundred, and one of another's");
    // The one that was refreshed last is not the oldest, though it began first.
    assert_eq!(world.caller(&second).err(), Some(Unidentified::SessionEnded));
    assert!(world.caller(&first).is_ok() && world.caller(&other).is_ok());
    assert!(world.events().await.contains(&r#"logout {"sessions":1,"why":"too many"}"#.to_owned()));
}

fn link_to(email: &str) -> LinkRequest {
    LinkRequest { email: email.into(), create: false, data: Map::new(), wish: Wish::default() }
}

/// M7: anonymous accounts and sign-ups that nobody confirmed stayed for ever.
#[tokio::test]
async fn accounts_that_nobody_uses_go_when_the_settings_say_so() {
    let world = world("confirm_email = true\nanonymous = true\nanonymous_days = 3\nunconfirmed_days = 2").await;
    world.sign_up("left@x.org", PASSWORD).await.unwrap();
    let made = world.make(settings("made@x.org")).await;
    let invite = InviteRequest { email: "invited@x.org".into(), data: Map::new(), redirect_to: None };
    let invited = world.auth.invite(world.visit(), &world.owner(), invite).await.unwrap();
    world.sign_up("ann@x.org", PASSWORD).await.unwrap();
    let (token, _) = world.mail_to("ann@x.org").await;
    let ann = world.verify(SIGN_IN, &token).await.unwrap().account;
    // Who once signed in stays, whatever the owner says of the address since.
    let unconfirmed = AccountSettings { email_confirmed: Some(false), ..Default::default() };
    world.auth.change_account(world.visit(), &world.owner(), ann.id, unconfirmed).await.unwrap();
    let anonymous = async || world.auth.sign_up_anonymously(world.visit(), Map::new()).await.unwrap();
    let (gone, active, busy) = (anonymous().await, anonymous().await, anonymous().await);
    let note = [("author_id", Value::Uuid(busy.account.id))];
    world.write(Request::new("notes", Verb::Create).with_row(note)).await;
    let ids = async || {
        let mut ids: Vec<_> = world.rows("_users").await.iter().filter_map(|row| row.uuid("id")).collect();
        ids.sort();
        ids
    };
    let before = ids().await;
    world.auth.sweep().await.unwrap();
    assert_eq!(ids().await, before, "nothing is old yet");

    world.age("_users", &["created_at"], 4 * DAY).await;
    world.age("_sessions", &["refreshed_at"], 4 * DAY).await;
    world.auth.refresh(world.visit(), active.refresh_token).await.unwrap();
    world.auth.sweep().await.unwrap();
    let mut expected = vec![made.id, invited.id, ann.id, active.account.id, busy.account.id];
    expected.sort();
    assert_eq!(ids().await, expected);
    assert_eq!(world.caller(&gone).err(), Some(Unidentified::SessionEnded));
    assert_eq!(world.rows("people").await.len(), expected.len(), "with their profile rows");
    let events = world.events().await;
    for why in ["anonymous", "unconfirmed"] {
        assert!(events.contains(&format!(r#"user_deleted {{"why":"{why}"}}"#)), "{events:?}");
    }
}

/// M9: wrong codes and links, wrong proofs, links that the owner makes, invitations and what was sent were not in the audit log.
#[tokio::test]
async fn the_audit_log_tells_what_was_tried_and_what_was_sent() {
    let world = world("confirm_email = true").await;
    let invite = InviteRequest { email: "invited@x.org".into(), data: Map::new(), redirect_to: None };
    world.auth.invite(world.visit(), &world.owner(), invite).await.unwrap();
    let (token, _) = world.mail_to("invited@x.org").await;
    world.verify(&[LinkKind::Invite], &token).await.unwrap();
    let recovery = GenerateLink {
        kind: LinkKind::Recovery,
        email: "invited@x.org".into(),
        password: None,
        data: Map::new(),
        new_email: None,
        redirect_to: None,
    };
    world.auth.generate_link(world.visit(), &world.owner(), recovery).await.unwrap();

    world.sign_up("ann@x.org", ANOTHER).await.unwrap();
    assert!(world.sign_in("ann@x.org", ANOTHER).await.is_err());
    world.sign_up("ann@x.org", PASSWORD).await.unwrap();
    let (token, _) = world.mail_to("ann@x.org").await;
    let session = world.verify(SIGN_IN, &token).await.unwrap();
    assert!(world.verify(SIGN_IN, &token).await.is_err());
    world.sign_up("ann@x.org", ANOTHER).await.unwrap();
    world.auth.send_link(world.visit(), link_to("ann@x.org")).await.unwrap();
    world.mail_to("ann@x.org").await;
    for email in ["ann@x.org", "nobody@x.org"] {
        let proof = Proof::Code { email: email.into(), code: Secret::new("12345") };
        assert!(world.auth.verify(world.visit(), SIGN_IN, proof).await.is_err());
    }
    let (code, verifier) = (Secret::new("ug_code_x"), Secret::new("x".repeat(43)));
    assert!(world.auth.exchange(world.visit(), code, verifier).await.is_err());

    let caller = world.caller(&session).unwrap();
    let wrong = AccountChange {
        password: Some(Secret::new(ANOTHER)),
        current_password: Some(Secret::new(ANOTHER)),
        ..Default::default()
    };
    assert!(world.auth.update(world.visit(), &caller, wrong).await.is_err());
    let wrong = EnrollFactor { name: None, issuer: None, current_password: Some(Secret::new(ANOTHER)) };
    assert!(world.auth.enroll_factor(world.visit(), &caller, wrong).await.is_err());
    let wrong =
        AccountChange { password: Some(Secret::new(ANOTHER)), nonce: Some(Secret::new("12345")), ..Default::default() };
    assert!(world.auth.update(world.visit_later(DAY / 2), &caller, wrong).await.is_err());
    let asked = EnrollFactor { name: None, issuer: None, current_password: None };
    let factor = world.auth.enroll_factor(world.visit(), &caller, asked).await.unwrap().id;
    let challenge = world.auth.challenge_factor(world.visit(), &caller, factor).await.unwrap().id;
    let wrong = world.auth.verify_factor(world.visit(), &caller, factor, challenge, Secret::new("12345")).await;
    assert!(wrong.is_err());
    assert!(world.auth.verify_recovery_code(world.visit(), &caller, Secret::new("?")).await.is_err());

    let events = world.events().await;
    for (expected, times) in [
        ("user_invited ", 1),
        (r#"invite_accepted {"by":"invite","sessions":0}"#, 1),
        (r#"link_generated {"kind":"recovery"}"#, 1),
        (r#"login_failed {"method":"password","why":"unconfirmed"}"#, 1),
        (r#"user_deleted {"why":"replaced"}"#, 1),
        (r#"email_confirmed {"by":"signup","sessions":0}"#, 1),
        (r#"login_failed {"method":"link"}"#, 1),
        ("user_repeated_signup ", 1),
        (r#"mail_asked {"kind":"magic_link"}"#, 1),
        (r#"mail_sent {"kind":"magiclink"}"#, 1),
        (r#"mail_sent {"kind":"invite"}"#, 1),
        (r#"login_failed {"method":"otp"}"#, 2),
        (r#"login_failed {"method":"pkce"}"#, 1),
        (r#"reauthentication_failed {"method":"password"}"#, 2),
        (r#"reauthentication_failed {"method":"nonce"}"#, 1),
        ("mfa_failed ", 2),
    ] {
        let found = events.iter().filter(|event| *event == expected).count();
        assert_eq!(found, times, "{expected} in {events:#?}");
    }
    world.auth.chain_audit().await.unwrap();
    let verdict = world.auth.verify_audit(None).await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Whole { pending: 0, .. }), "{verdict:?}");
    // No address and no secret in any of it.
    assert!(!events.iter().any(|event| event.contains('@') || event.contains("ug_") || event.contains("12345")));
}

/// M6, L2, L3: tokens were made void by whole seconds on one clock, for as long as tokens lived by the setting of the day.
#[tokio::test]
async fn what_is_void_is_decided_by_no_clock() {
    let world = world("").await;
    let ann = world.member("ann@x.org").await;
    let roles = |name: &str| AccountSettings {
        app_metadata: Some(members(json!({ "roles": [name] }))),
        ..AccountSettings::default()
    };
    // All in one moment; then by nodes whose clocks are a minute apart, either way.
    for (skew, name) in [(0, "one"), (55 * SECOND, "two"), (-55 * SECOND, "three")] {
        let visit = world.visit_later(skew);
        let asked = PasswordSignIn { email: "ann@x.org".into(), password: Secret::new(PASSWORD) };
        let before = world.auth.sign_in(visit.clone(), asked).await.unwrap();
        assert!(world.caller(&before).is_ok());
        let here = if skew == 0 { visit.clone() } else { world.visit() };
        world.auth.change_account(here, &world.owner(), ann.account.id, roles(name)).await.unwrap();
        assert_eq!(world.caller(&before).err(), Some(Unidentified::SessionEnded), "{skew}");
        let after = world.auth.refresh(visit, before.refresh_token.clone()).await.unwrap();
        let caller = world.caller(&after).unwrap_or_else(|refused| panic!("{skew}: {refused:?}"));
        let undergird_plan::Identity::User(user) = caller.identity() else { panic!() };
        assert_eq!(user.roles(), [name], "{skew}");
        // Another process knows the same.
        let other = Auth::open(world.engine.clone(), &world.keys, &Options::new("https://api.x.org")).await.unwrap();
        let known = |session: &Session| {
            let bearer = format!("Bearer {}", session.access_token.expose());
            let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
            other.identify(credentials, world.engine.moment()).map(|_| ())
        };
        assert_eq!((known(&before), known(&after)), (Err(Unidentified::SessionEnded), Ok(())), "{skew}");
    }
    // Tokens that were given out while they lived for longer are void for as long as they live.
    let session = world.member("bob@x.org").await;
    let caller = world.caller(&session).unwrap();
    world.age("_sessions", &["tokens_until"], -DAY / 2).await;
    let until = world.rows("_sessions").await.iter().filter_map(|row| row.int("tokens_until")).max().unwrap();
    world.auth.sign_out(world.visit(), &caller, SignOutScope::Local).await.unwrap();
    let revoked = world.rows("_revocations").await.iter().filter_map(|row| row.int("until")).max().unwrap();
    assert!(revoked > until);
}

/// M5: whoever signed up an address learned by their own password, or by a rule of the profile about addresses, whether somebody had it before.
#[tokio::test]
async fn a_sign_up_need_not_tell_who_has_an_address() {
    for settings in ["confirm_email = true\ntell_unconfirmed = false", "confirm_email = true"] {
        let world = world(settings).await;
        world.sign_up("ann@x.org", PASSWORD).await.unwrap();
        let (token, _) = world.mail_to("ann@x.org").await;
        world.verify(SIGN_IN, &token).await.unwrap();
        let mut told = Vec::new();
        for email in ["ann@x.org", "nobody@x.org"] {
            assert!(matches!(world.sign_up(email, ANOTHER).await.unwrap(), SignedUp::Unconfirmed(_)));
            told.push(world.sign_in(email, ANOTHER).await.unwrap_err());
        }
        let tells =
            if settings.contains("false") { AccountError::InvalidCredentials } else { AccountError::EmailNotConfirmed };
        assert_eq!(told, [AccountError::InvalidCredentials, tells]);
    }
    let world = world("staff\nconfirm_email = true").await;
    world.sign_up("ann@x.org", PASSWORD).await.unwrap();
    let (token, _) = world.mail_to("ann@x.org").await;
    world.verify(SIGN_IN, &token).await.unwrap();
    assert!(matches!(world.sign_up("ann@x.org", ANOTHER).await, Ok(SignedUp::Unconfirmed(_))));
}
