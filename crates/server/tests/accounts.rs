//! Accounts on each store: second factors, their levels in tokens and rules, codes that count once, sessions, and what the owner takes away.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

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
use undergird_auth::{Allowance, Allowances, AuditFault, AuditHead, AuditVerdict, Auth, Options};
use undergird_engine::Failure;
use undergird_engine::accounts::*;
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Identity};
use uuid::Uuid;

const SECOND: i64 = 1_000_000;
const STEP: i64 = 30 * SECOND;
const PASSWORD: &str = "a rather long password";

on_each_store!(
    a_second_factor_raises_the_session_and_guards_the_account,
    a_planted_factor_proves_nothing,
    a_code_counts_once,
    a_recovery_code_counts_once,
    sessions_are_listed_and_ended,
    sessions_end_when_nobody_uses_them,
    what_the_owner_takes_away_is_gone_at_once,
    the_audit_log_is_one_chain_whoever_writes,
    the_owner_reads_the_audit_log,
    the_audit_log_is_cut_and_stays_a_chain,
    another_node_takes_up_a_new_signing_key,
    a_service_key_is_held_to_the_rules_and_ends,
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

async fn a_second_factor_raises_the_session_and_guards_the_account(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let auth = &world.auth;
    let now = world.now();
    let first = world.sign_up("ann@example.org").await;
    let elsewhere = world.sign_in("ann@example.org", now).await.unwrap();
    let caller = world.identify(&first, now).unwrap();
    assert_eq!((claims(&caller)["aal"].as_str(), methods(&caller)), (Some("aal1"), vec!["password".to_owned()]));
    let (status, shown) = world.ask(&first, "POST", "/rest/v1/vault", json!({ "word": "no" })).await;
    assert_eq!(status, 403, "{shown}");

    // Enrolled, and not in use yet.
    let asked = || EnrollFactor { name: Some(" Phone ".into()), issuer: Some("A: B".into()), current_password: None };
    let made = auth.enroll_factor(world.visit(now), &caller, asked()).await.unwrap();
    assert_eq!(made.name.as_deref(), Some("Phone"));
    assert!(made.uri.expose().starts_with("otpauth://totp/A%20B:ann%40example.org?secret="), "{}", made.uri.expose());
    assert!(made.qr.expose().contains("<svg"));
    let again = auth.enroll_factor(world.visit(now), &caller, asked()).await.err();
    assert_eq!(again, Some(FactorError::NameTaken.into()));
    let listed = auth.account(&caller).await.unwrap().factors;
    assert_eq!(listed.iter().map(|factor| (factor.id, factor.verified)).collect::<Vec<_>>(), [(made.id, false)]);
    let codes = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.err();
    assert_eq!(codes, Some(FactorError::CodesAlone.into()));

    // A first code: this session is another one now, and what proved one factor alone is over.
    let phone = Phone { factor: made.id, secret: made.secret.expose().to_owned() };
    let wrong = if phone.code(now) == "000000" { "000001" } else { "000000" };
    assert_eq!(world.verify(&first, &phone, wrong, now).await.err(), Some(FactorError::CodeWrong.into()));
    let raised = world.verify(&first, &phone, &phone.code(now), now).await.unwrap();
    for void in [&first, &elsewhere] {
        assert_eq!(world.identify(void, now).err(), Some(Unidentified::SessionEnded));
        let refreshed = auth.refresh(world.visit(now), void.refresh_token.clone()).await.err();
        assert_eq!(refreshed, Some(AccountError::RefreshTokenUnknown));
    }
    let caller = world.identify(&raised, now).unwrap();
    assert_eq!(
        (claims(&caller)["aal"].as_str(), methods(&caller)),
        (Some("aal2"), vec!["totp".into(), "password".into()])
    );
    assert!(raised.account.factors[0].verified);

    // The level in rules: in memory for the create, in SQL for the read.
    let (status, shown) = world.ask(&raised, "POST", "/rest/v1/vault", json!({ "word": "yes" })).await;
    assert_eq!(status, 201, "{shown}");
    let one = world.sign_in("ann@example.org", now).await.unwrap();
    assert_eq!(
        world.ask(&raised, "GET", "/rest/v1/vault?select=word", Json::Null).await,
        (200, r#"[{"word":"yes"}]"#.into())
    );
    assert_eq!(world.ask(&one, "GET", "/rest/v1/vault?select=word", Json::Null).await, (200, "[]".into()));

    // What a session of one factor cannot do.
    let caller = world.identify(&one, now).unwrap();
    let needed = Some(AccountError::Factor(FactorError::AssuranceNeeded));
    let other = EnrollFactor { name: Some("Other".into()), ..EnrollFactor::default() };
    assert_eq!(auth.enroll_factor(world.visit(now), &caller, other).await.err(), needed);
    assert_eq!(auth.remove_factor(world.visit(now), &caller, phone.factor).await.err(), needed);
    let codes = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.err();
    assert_eq!(codes, needed);
    for change in [
        AccountChange {
            password: Some(Secret::new("another long password")),
            current_password: Some(Secret::new(PASSWORD)),
            ..AccountChange::default()
        },
        AccountChange { email: Some("eve@example.org".into()), ..AccountChange::default() },
    ] {
        assert_eq!(auth.update(world.visit(now), &caller, change).await.err(), needed);
    }
    // The used code, the one before it, and a challenge of another session or from too long ago.
    assert_eq!(world.verify(&one, &phone, &phone.code(now), now).await.err(), Some(FactorError::CodeWrong.into()));
    assert_eq!(
        world.verify(&one, &phone, &phone.code(now - STEP), now).await.err(),
        Some(FactorError::CodeWrong.into())
    );
    let next = now + STEP;
    let expired = Some(AccountError::Factor(FactorError::ChallengeExpired));
    let foreign = world.challenge(&raised, phone.factor, next).await;
    let code = || Secret::new(phone.code(next));
    assert_eq!(auth.verify_factor(world.visit(next), &caller, phone.factor, foreign, code()).await.err(), expired);
    let old = world.challenge(&one, phone.factor, next - 301 * SECOND).await;
    assert_eq!(auth.verify_factor(world.visit(next), &caller, phone.factor, old, code()).await.err(), expired);
    let two = world.verify(&one, &phone, &phone.code(next), next).await.unwrap();
    assert!(world.identify(&raised, next).is_ok(), "a session of two factors elsewhere goes on");

    // A refresh keeps the level, a removed factor takes it from all sessions.
    let two = auth.refresh(world.visit(next), two.refresh_token).await.unwrap();
    let caller = world.identify(&two, next).unwrap();
    assert_eq!(
        (claims(&caller)["aal"].as_str(), methods(&caller)),
        (Some("aal2"), vec!["totp".into(), "password".into()])
    );
    let stranger = world.sign_up("bob@example.org").await;
    let bob = world.identify(&stranger, now).unwrap();
    let missing = Some(AccountError::Factor(FactorError::Missing));
    assert_eq!(auth.remove_factor(world.visit(now), &bob, phone.factor).await.err(), missing);
    assert_eq!(
        auth.challenge_factor(world.visit(now), &bob, phone.factor).await.err().map(|e| format!("{e:?}")),
        missing.map(|e| format!("{e:?}"))
    );
    let stale = next + 16 * 60 * SECOND;
    let refused =
        auth.remove_factor(world.visit(stale), &world.identify(&two, stale).unwrap(), phone.factor).await.err();
    assert_eq!(refused, Some(AccountError::ReauthenticationNeeded), "a stolen token alone is not enough");
    auth.remove_factor(world.visit(next), &caller, phone.factor).await.unwrap();
    assert_eq!(
        world.identify(&raised, next).err(),
        Some(Unidentified::SessionEnded),
        "its token told a level that is gone"
    );
    let raised = auth.refresh(world.visit(next + SECOND), raised.refresh_token).await.unwrap();
    let caller = world.identify(&raised, next + SECOND).unwrap();
    assert_eq!((claims(&caller)["aal"].as_str(), methods(&caller)), (Some("aal1"), vec!["password".to_owned()]));
}

/// Whoever knows the password begins a factor and waits until the owner has one in use.
async fn a_planted_factor_proves_nothing(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let now = world.now();
    let (mine, thief) = (world.sign_up("ann@example.org").await, world.sign_in("ann@example.org", now).await.unwrap());
    let caller = world.identify(&thief, now).unwrap();
    let plant = async |name: &str| {
        let asked = EnrollFactor { name: Some(name.into()), ..EnrollFactor::default() };
        let made = world.auth.enroll_factor(world.visit(now), &caller, asked).await.unwrap();
        Phone { factor: made.id, secret: made.secret.expose().to_owned() }
    };
    let planted = plant("Planted").await;
    let (_, raised) = world.with_factor(&mine, now).await;
    assert_eq!(raised.account.factors.len(), 1, "what was begun by others is gone");
    let thief = world.sign_in("ann@example.org", now).await.unwrap();
    let caller = world.identify(&thief, now).unwrap();
    let missing = world.auth.challenge_factor(world.visit(now), &caller, planted.factor).await;
    assert_eq!(missing.err(), Some(FactorError::Missing.into()));

    // One that came into being all the same, as by a node of before, is no way in either.
    let caller = world.identify(&raised, now).unwrap();
    let asked = EnrollFactor { name: Some("Second".into()), ..EnrollFactor::default() };
    let made = world.auth.enroll_factor(world.visit(now), &caller, asked).await.unwrap();
    let second = Phone { factor: made.id, secret: made.secret.expose().to_owned() };
    let caller = world.identify(&thief, now).unwrap();
    let refused = world.auth.challenge_factor(world.visit(now), &caller, second.factor).await;
    assert_eq!(refused.err(), Some(FactorError::AssuranceNeeded.into()));
    let challenge = world.challenge(&raised, second.factor, now).await;
    let code = Secret::new(second.code(now));
    let refused = world.auth.verify_factor(world.visit(now), &caller, second.factor, challenge, code).await;
    assert_eq!(refused.err(), Some(FactorError::AssuranceNeeded.into()));
    assert!(
        world.verify(&raised, &second, &second.code(now), now).await.is_ok(),
        "who has the first may bring the second"
    );
}

/// How many of a hundred calls at once are good; the others must say why in one of these ways.
async fn good<F: Future<Output = Result<Session, AccountError>> + Send + 'static>(call: impl Fn(usize) -> F) -> usize {
    let all: Vec<_> = (0..100).map(|number| tokio::spawn(call(number))).collect();
    let mut good = 0;
    for each in all {
        match each.await.unwrap() {
            Ok(_) => good += 1,
            Err(
                AccountError::Factor(FactorError::CodeWrong | FactorError::ChallengeExpired)
                | AccountError::SessionMissing
                | AccountError::Failed(Failure::Conflict),
            ) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    good
}

async fn a_code_counts_once(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let now = world.now();
    let session = world.sign_up("ann@example.org").await;
    let (phone, raised) = world.with_factor(&session, now).await;
    // One challenge, one code.
    let later = now + STEP;
    let challenge = world.challenge(&raised, phone.factor, later).await;
    let one = |world: Arc<World>, session: Session, phone: Phone, challenge: Uuid, now: i64| async move {
        let caller = world.identify(&session, now).map_err(|_| AccountError::SessionMissing)?;
        let code = Secret::new(phone.code(now));
        world.auth.verify_factor(world.visit(now), &caller, phone.factor, challenge, code).await
    };
    let verify = |_| one(world.clone(), raised.clone(), phone.clone(), challenge, later);
    assert_eq!(good(verify).await, 1);
    // The same code from two sessions, each with challenges of its own.
    let two =
        [world.sign_in("ann@example.org", now).await.unwrap(), world.sign_in("ann@example.org", now).await.unwrap()];
    let latest = now + 2 * STEP;
    let mut challenges = Vec::new();
    for session in &two {
        for _ in 0..5 {
            challenges.push((session.clone(), world.challenge(session, phone.factor, latest).await));
        }
    }
    let verify = |number: usize| {
        let (session, challenge) = challenges[number % challenges.len()].clone();
        one(world.clone(), session, phone.clone(), challenge, latest)
    };
    assert_eq!(good(verify).await, 1);
}

async fn a_recovery_code_counts_once(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let auth = &world.auth;
    let now = world.now();
    let session = world.sign_up("ann@example.org").await;
    let (phone, raised) = world.with_factor(&session, now).await;
    let caller = world.identify(&raised, now).unwrap();
    assert_eq!(auth.recovery_codes(&caller).await.err(), Some(FactorError::Missing.into()));
    let again = MakeRecoveryCodes { again: true, ..MakeRecoveryCodes::default() };
    assert_eq!(
        auth.make_recovery_codes(world.visit(now), &caller, again.clone()).await.err(),
        Some(FactorError::Missing.into())
    );
    let made = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.unwrap();
    assert_eq!(made.codes.len(), 10);
    let twice = auth.make_recovery_codes(world.visit(now), &caller, MakeRecoveryCodes::default()).await.err();
    assert_eq!(twice, Some(FactorError::CodesExist.into()));
    assert_eq!(auth.account(&caller).await.unwrap().factors.len(), 1, "they are no factor");

    let lost = world.sign_in("ann@example.org", now).await.unwrap();
    let code = made.codes[3].expose().to_uppercase();
    let verify = |_| {
        let (world, lost, code) = (world.clone(), lost.clone(), Secret::new(format!("{}-{}", &code[..8], &code[8..])));
        async move {
            let caller = world.identify(&lost, now).map_err(|_| AccountError::SessionMissing)?;
            world.auth.verify_recovery_code(world.visit(now), &caller, code).await
        }
    };
    assert_eq!(good(verify).await, 1);
    let left = auth.recovery_codes(&caller).await.unwrap();
    assert_eq!((left.id, left.total, left.remaining), (made.id, 10, 9));

    // Somebody else's, and those that were replaced.
    let bob = world.sign_up("bob@example.org").await;
    let (_, bob) = world.with_factor(&bob, now).await;
    let bob = world.identify(&bob, now).unwrap();
    let wrong = Some(AccountError::Factor(FactorError::CodeWrong));
    assert_eq!(auth.verify_recovery_code(world.visit(now), &bob, made.codes[0].clone()).await.err(), wrong);
    let fresh = auth.make_recovery_codes(world.visit(now), &caller, again).await.unwrap();
    assert_eq!(fresh.id, made.id);
    let found = world.sign_in("ann@example.org", now).await.unwrap();
    let one = world.identify(&found, now).unwrap();
    assert_eq!(auth.verify_recovery_code(world.visit(now), &one, made.codes[0].clone()).await.err(), wrong);
    let raised = auth.verify_recovery_code(world.visit(now), &one, fresh.codes[0].clone()).await.unwrap();
    let caller = world.identify(&raised, now).unwrap();
    assert_eq!(methods(&caller), ["mfa/recovery_code", "password"]);
    // With the last factor they go too, and with them the level that they gave.
    auth.remove_factor(world.visit(now), &caller, phone.factor).await.unwrap();
    assert_eq!(auth.recovery_codes(&caller).await.err(), Some(FactorError::Missing.into()));
    let refreshed = auth.refresh(world.visit(now), raised.refresh_token).await.unwrap();
    assert_eq!(claims(&world.identify(&refreshed, now + SECOND).unwrap())["aal"], "aal1");
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

async fn the_audit_log_is_one_chain_whoever_writes(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let world = Arc::new(world);
    let session = world.sign_up("ann@example.org").await;
    let options = Options::new("http://127.0.0.1:8090");
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    // Eight that write, and two nodes that bind meanwhile.
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                for _ in 0..3 {
                    world.sign_in("ann@example.org", world.now()).await.unwrap();
                }
            })
        })
        .collect();
    let binders: Vec<_> = [world.auth.clone(), other]
        .into_iter()
        .map(|auth| {
            tokio::spawn(async move {
                for _ in 0..20 {
                    auth.chain_audit().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    for each in writers.into_iter().chain(binders) {
        each.await.unwrap();
    }
    let wrong = PasswordSignIn { email: "ann@example.org".into(), password: Secret::new("wrong") };
    world.auth.sign_in(world.visit(world.now()), wrong).await.unwrap_err();
    let unknown = PasswordSignIn { email: "kanari@example.org".into(), password: Secret::new("kanari-password") };
    world.auth.sign_in(world.visit(world.now()), unknown).await.unwrap_err();
    world.with_factor(&session, world.now()).await;
    world.auth.chain_audit().await.unwrap();
    let AuditVerdict::Whole { head, pending, .. } = world.auth.verify_audit(None).await.unwrap() else {
        panic!("broken")
    };
    let entries = world.auth.audit_entries(0, 500).await.unwrap();
    assert_eq!((pending, entries.len()), (0, usize::try_from(head.seq).unwrap()));
    let times = |event: &str| entries.iter().filter(|entry| entry.event == event).count();
    assert_eq!((times("login"), times("login_failed"), times("user_created")), (25, 2, 1));
    assert_eq!((times("factor_in_progress"), times("mfa_verified")), (1, 1));
    let all = format!("{entries:?}");
    assert!(!all.contains("example.org") && !all.contains("kanari") && !all.contains(PASSWORD), "{all}");
    // A head of before is in it; one that was never there is not.
    world.sign_in("ann@example.org", world.now()).await.unwrap();
    world.auth.chain_audit().await.unwrap();
    let whole = |verdict| matches!(verdict, AuditVerdict::Whole { .. });
    assert!(whole(world.auth.verify_audit(Some(head)).await.unwrap()));
    let forged = AuditHead { hash: [7; 32], ..head };
    assert!(!whole(world.auth.verify_audit(Some(forged)).await.unwrap()));
    let cut = AuditHead { seq: head.seq + 99, ..head };
    assert!(!whole(world.auth.verify_audit(Some(cut)).await.unwrap()));
}

async fn the_owner_reads_the_audit_log(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let ann = world.sign_up("ann_a@example.org").await;
    world.sign_up("annxa@example.org").await;
    world.sign_in("ann_a@example.org", world.now()).await.unwrap();
    let wrong = PasswordSignIn { email: "ann_a@example.org".into(), password: Secret::new("wrong") };
    world.auth.sign_in(world.visit(world.now()), wrong).await.unwrap_err();
    let ban = AccountSettings { ban: Some(Ban::For(SECOND)), ..AccountSettings::default() };
    world.auth.change_account(world.visit(world.now()), &world.owner(), ann.account.id, ban).await.unwrap();
    let read = async |number, rows, filter: Option<AuditFilter>| {
        world.auth.audit_log(&world.owner(), Page { number, rows }, filter).await.unwrap()
    };
    let all = read(1, 1_000, None).await;
    assert_eq!(all.total, all.events.len() as u64);
    assert!(all.events.windows(2).all(|pair| pair[0].at / 1_000 >= pair[1].at / 1_000), "newest first");
    let ids = |page: &AuditPage| page.events.iter().map(|event| event.id).collect::<Vec<_>>();
    let mut paged = Vec::new();
    for number in 1..=all.total.div_ceil(2) {
        let page = read(u32::try_from(number).unwrap(), 2, None).await;
        assert_eq!(page.total, all.total);
        paged.extend(ids(&page));
    }
    assert_eq!(paged, ids(&all));
    let shown = async |filter| {
        let page = read(1, 1_000, Some(filter)).await;
        assert_eq!(page.total, page.events.len() as u64);
        let event = |event: &AuditEvent| format!("{} {} {}", event.kind, event.action, event.actor_name);
        let mut shown: Vec<String> = page.events.iter().map(event).collect();
        shown.sort();
        shown
    };
    let failed = "account login_failed ann_a@example.org";
    let (one, other) = ("account login ann_a@example.org", "account login annxa@example.org");
    let banned = "user user_modified service_role";
    assert_eq!(shown(AuditFilter::Action("LOGIN".into())).await, [one, one, other, failed]);
    assert_eq!(shown(AuditFilter::Action("login_".into())).await, [failed]);
    // A sign stands for itself, and what the owner did to her account is not hers.
    assert_eq!(shown(AuditFilter::Author("N_A@".into())).await, [one, one, failed]);
    assert!(shown(AuditFilter::Author("service".into())).await.contains(&banned.to_owned()));
    assert_eq!(shown(AuditFilter::Kind("user".into())).await, [banned]);
    assert_eq!(shown(AuditFilter::Kind("acc".into())).await, [one, one, other, failed]);
    for none in [AuditFilter::Author("nobody@".into()), AuditFilter::Action("%".into()), AuditFilter::Kind("x".into())]
    {
        assert!(shown(none.clone()).await.is_empty(), "{none:?}");
    }
    for sign in ["%", "\\", "ä", "'"] {
        assert!(shown(AuditFilter::Action(sign.repeat(200))).await.is_empty(), "{sign}");
        assert!(shown(AuditFilter::Author(sign.repeat(200))).await.is_empty(), "{sign}");
    }
    let mut seen = 0;
    for filter in ["account", "team", "token", "factor", "user"] {
        seen += shown(AuditFilter::Kind(filter.into())).await.len() as u64;
    }
    assert_eq!(seen, all.total, "each entry is of one kind");
    // Nobody else reads it, in the port and over the wire.
    let caller = world.identify(&world.sign_up("eve@example.org").await, world.now()).unwrap();
    let page = Page { number: 1, rows: 1 };
    assert_eq!(world.auth.audit_log(&caller, page, None).await.err(), Some(AccountError::NotAdmin));
    let visitor = Caller::visitor(world.server.engine().moment());
    assert_eq!(world.auth.audit_log(&visitor, page, None).await.err(), Some(AccountError::NotAUser));
}

/// Writes past the log, as somebody with the database does.
async fn tamper(world: &World, request: undergird_plan::request::Request) {
    let engine = world.server.engine();
    let system = Caller::system(engine.moment());
    let done = engine.transaction(undergird_engine::Isolation::Serializable, move |transaction| {
        let (request, system) = (request.clone(), system.clone());
        Box::pin(async move {
            transaction.write(&system, request, None).await?;
            Ok(undergird_engine::Outcome::commit(()))
        })
    });
    done.await.unwrap();
}

async fn the_audit_log_is_cut_and_stays_a_chain(on: On) {
    use undergird_model::Value;
    use undergird_plan::request::{Request, Verb};
    let Some(world) = World::new(on, "audit_days = 3").await else { return };
    for name in ["ann", "bob"] {
        world.sign_up(&format!("{name}@example.org")).await;
    }
    // Bound as of ten days ago.
    let long_ago = Value::Timestamp(world.now() - 10 * 86_400 * SECOND);
    tamper(&world, Request::new("_audit_log", Verb::Update).with_row([("at", long_ago)])).await;
    world.auth.chain_audit().await.unwrap();
    let AuditVerdict::Whole { head: old, removed: 0, .. } = world.auth.verify_audit(None).await.unwrap() else {
        panic!("broken")
    };
    // The newest stays, though its time is over too.
    world.auth.sweep().await.unwrap();
    world.auth.chain_audit().await.unwrap();
    let cut = old.seq - 1;
    let verdict = world.auth.verify_audit(Some(old)).await.unwrap();
    let AuditVerdict::Whole { head, pending: 0, removed } = verdict else { panic!("{verdict:?}") };
    assert_eq!((removed, head.seq), (cut, old.seq + 1));
    let entries = world.auth.audit_entries(0, 500).await.unwrap();
    let told: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.event.as_str())).collect();
    assert_eq!(told[1], (head.seq, "audit_removed"), "{told:?}");
    let detail: Json = serde_json::from_str(entries[1].detail.as_deref().unwrap()).unwrap();
    assert_eq!((&detail["entries"], &detail["seq"]), (&json!(cut), &json!(cut)));
    // What was noted of those that went cannot be told any more; a forged hash of the last of them can.
    let gone = AuditHead { seq: cut - 1, hash: [7; 32] };
    let why = async |noted| match world.auth.verify_audit(Some(noted)).await.unwrap() {
        AuditVerdict::Broken { why, .. } => Some(why),
        AuditVerdict::Whole { .. } => None,
    };
    assert_eq!(why(gone).await, Some(AuditFault::Removed));
    assert_eq!(why(AuditHead { seq: cut, hash: [7; 32] }).await, Some(AuditFault::Head));
    assert_eq!(why(AuditHead { seq: 0, hash: [0; 32] }).await, None);
    // The oldest is a day over its time at the earliest before more goes, and it goes on from there.
    world.sign_in("ann@example.org", world.now()).await.unwrap();
    world.auth.chain_audit().await.unwrap();
    world.auth.sweep().await.unwrap();
    world.auth.chain_audit().await.unwrap();
    let verdict = world.auth.verify_audit(Some(head)).await.unwrap();
    let AuditVerdict::Whole { removed, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(removed, old.seq, "the one that stayed as the newest");
    world.auth.sweep().await.unwrap();
    assert_eq!(world.auth.audit_entries(0, 1).await.unwrap()[0].seq, head.seq, "nothing more is old");
    // Who takes out more than the log tells is found: the first of what is left.
    tamper(&world, Request::new("_audit_log", Verb::Delete).with_equal("seq", Value::Int(head.seq))).await;
    let found = world.auth.verify_audit(None).await.unwrap();
    assert_eq!(found, AuditVerdict::Broken { seq: 1, why: AuditFault::Missing });
}

async fn another_node_takes_up_a_new_signing_key(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let options = Options::new("http://127.0.0.1:8090");
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    let keeping = tokio::spawn(other.keep_up());
    let old = world.sign_up("ann@example.org").await;
    world.auth.rotate_signing_key(None).await.unwrap();
    let moment = world.server.engine().moment();
    let known = |auth: &Auth| auth.key_set(moment)["keys"].as_array().unwrap().len();
    assert_eq!(known(&world.auth), 2);
    // No time is asserted: only that it comes by itself.
    while known(&other) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let later = world.now() + 5 * SECOND;
    let new = world.sign_in("ann@example.org", later).await.unwrap();
    let kid = |session: &Session| session.access_token.expose().split('.').next().unwrap().to_owned();
    assert_ne!(kid(&old), kid(&new), "signed with the new key");
    for session in [&old, &new] {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        assert!(other.identify(credentials, Moment { now: later, entropy: 0 }).is_ok());
    }
    keeping.abort();
}

async fn a_service_key_is_held_to_the_rules_and_ends(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let options = Options::new("http://127.0.0.1:8090");
    let other = Auth::open(world.server.engine().clone(), world.server.keys(), &options).await.unwrap();
    let keeping = tokio::spawn(other.keep_up());
    for (name, roles, days) in
        [("", vec![], 1), ("x", vec!["a b".to_owned()], 1), ("x", vec![], 0), ("x", vec![], 4_000)]
    {
        assert!(world.auth.add_service_key(name, roles, None, days).await.is_err(), "{name} {days}");
    }
    let (key, secret) = world.auth.add_service_key("importer", vec!["import".into()], None, 1).await.unwrap();
    assert!(secret.expose().starts_with("ug_service_"));
    let known = |auth: &Auth, now: i64, text: &str| {
        let bearer = format!("Bearer {text}");
        let by_bearer = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        let by_bearer = auth.identify(by_bearer, Moment { now, entropy: 0 });
        let by_key = Credentials { apikey: Some(text.as_bytes()), authorization: None };
        assert_eq!(by_bearer.is_ok(), auth.identify(by_key, Moment { now, entropy: 0 }).is_ok());
        by_bearer
    };
    let now = world.now();
    let caller = known(&world.auth, now, secret.expose()).unwrap();
    let Identity::User(user) = caller.identity() else { panic!("{caller:?}") };
    assert_eq!((user.id(), user.roles(), caller.role()), (key.id, ["import".to_owned()].as_slice(), "authenticated"));
    // No owner, nobody's account, and no session.
    assert_eq!(world.auth.find(&caller, key.id).await.err(), Some(AccountError::NotAdmin));
    assert_eq!(world.auth.account(&caller).await.err(), Some(AccountError::NotAUser));
    assert_eq!(world.auth.sessions(&caller).await.err(), Some(AccountError::NotAUser));
    let typo = format!("{}x", &secret.expose()[..secret.expose().len() - 1]);
    for wrong in [typo.as_str(), "ug_service_", &secret.expose().to_lowercase()] {
        assert!(wrong == secret.expose() || known(&world.auth, now, wrong).is_err(), "{wrong}");
    }
    assert!(known(&world.auth, key.expires_at - 1, secret.expose()).is_ok());
    assert_eq!(known(&world.auth, key.expires_at, secret.expose()).err(), Some(Unidentified::UnknownKey));
    // Another node knows it, and that it ended.
    while known(&other, now, secret.expose()).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let hashes = format!("{:?}", world.auth.service_keys().await.unwrap());
    assert!(!hashes.contains(&secret.expose()[11..]));
    assert_eq!(world.auth.revoke_service_key(key.id).await, Ok(true));
    assert_eq!(world.auth.revoke_service_key(key.id).await, Ok(false));
    assert!(known(&world.auth, now, secret.expose()).is_err());
    while known(&other, now, secret.expose()).is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    keeping.abort();
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
