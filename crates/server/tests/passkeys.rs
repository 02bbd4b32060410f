//! Passkeys on each store, with an authenticator of a few lines: what is registered signs in, and everything else does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use support::Folder;
use support::databases::{Database, On};
use undergird::Server;
use undergird_api::http::{Connection, Linger, serve};
use undergird_auth::{Allowance, Allowances, Auth, Options, Transport};
use undergird_engine::accounts::*;
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Identity};
use uuid::Uuid;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const PASSWORD: &str = "a rather long password";
const ORIGIN: &str = "http://localhost:8090";

on_each_store!(
    a_passkey_is_registered_and_signs_in_over_the_wire,
    a_challenge_counts_once,
    an_answer_counts_only_for_whom_and_what_it_is,
    a_count_that_goes_back_is_refused_and_noted,
    who_may_not_sign_in_may_not_by_passkey,
    a_planted_passkey_goes_with_the_password,
    a_passkey_that_comes_or_goes_is_told,
    an_authenticator_is_a_second_factor,
);

struct World {
    auth: Auth,
    server: Server,
    _folder: Folder,
    _database: Database,
}

impl World {
    async fn new(on: On, settings: &str) -> Option<Arc<World>> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        folder.write("undergird.toml", &format!("name = \"test\"\n[auth]\n{settings}\n"));
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .build()
            .await
            .unwrap();
        // What is tested here is not hidden behind budgets.
        let many = Allowance { burst: 10_000, every: Duration::from_secs(1) };
        let allowances = Allowances { address: many, codes: many, good_passwords: many, ..Allowances::default() };
        let options = Options { allowances, transport: Transport::Inbox, ..Options::new("http://127.0.0.1:8090") };
        let auth = Auth::open(server.engine().clone(), server.keys(), &options).await.unwrap();
        Some(Arc::new(World { auth, server, _folder: folder, _database: database }))
    }

    fn now(&self) -> i64 {
        self.server.engine().moment().now
    }

    fn visit(&self, now: i64) -> Visit {
        let moment = Moment { now, ..self.server.engine().moment() };
        Visit { moment, address: Some([192, 0, 2, 1].into()), user_agent: None }
    }

    async fn sign_up(&self, email: &str) -> Session {
        let (password, wish) = (Secret::new(PASSWORD), Wish::default());
        let request = SignUp { email: email.into(), password, data: Map::new(), wish };
        match self.auth.sign_up(self.visit(self.now()), request).await.unwrap() {
            SignedUp::In(session) => *session,
            SignedUp::Unconfirmed(_) => panic!("unconfirmed"),
        }
    }

    async fn by_password(&self, email: &str) -> Session {
        let request = PasswordSignIn { email: email.into(), password: Secret::new(PASSWORD) };
        self.auth.sign_in(self.visit(self.now()), request).await.unwrap()
    }

    fn caller(&self, session: &Session) -> Caller {
        self.identify(session).unwrap()
    }

    fn identify(&self, session: &Session) -> Result<Caller, Unidentified> {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, Moment { now: self.now(), entropy: 0 })
    }

    async fn begin(&self, session: &Session) -> Result<PasskeyCreation, AccountError> {
        self.auth.begin_passkey_registration(self.visit(self.now()), &self.caller(session), None).await
    }

    async fn finish(&self, session: &Session, id: Uuid, made: NewCredential) -> Result<Passkey, AccountError> {
        let caller = self.caller(session);
        self.auth.finish_passkey_registration(self.visit(self.now()), &caller, id, made, None).await
    }

    /// A new authenticator with a passkey of the session's account.
    async fn register(&self, session: &Session) -> (Authenticator, Passkey) {
        let asked = self.begin(session).await.unwrap();
        let device = Authenticator::new(&asked.user_handle);
        let made = self.finish(session, asked.id, device.make(&asked.challenge)).await.unwrap();
        (device, made)
    }

    async fn asked(&self) -> PasskeyRequest {
        self.auth.begin_passkey_sign_in(self.visit(self.now())).await.unwrap()
    }

    async fn sign_in(&self, device: &Authenticator) -> Result<Session, AccountError> {
        let asked = self.asked().await;
        self.auth.finish_passkey_sign_in(self.visit(self.now()), asked.id, device.sign(&asked.challenge)).await
    }

    /// What the audit log says of an event.
    async fn noted(&self, event: &str) -> Vec<String> {
        self.auth.chain_audit().await.unwrap();
        let entries = self.auth.audit_entries(0, 500).await.unwrap();
        entries.into_iter().filter(|entry| entry.event == event).filter_map(|entry| entry.detail).collect()
    }

    /// What the server itself answers.
    async fn ask(&self, token: Option<&str>, method: &str, path: &str, body: Json) -> (u16, Json) {
        let connection = Connection { peer: [127, 0, 0, 1].into(), linger: Linger::default() };
        let request = Request::builder().method(method).uri(format!("/auth/v1/{path}"));
        // What a page elsewhere says of itself, and where it thinks that it is, are nothing to go by.
        let request = request.header("host", "evil.example").header("origin", "https://evil.example");
        let request = request.header("content-type", "application/json");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = serve(self.server.http(), &connection, request.body(Full::new(body)).unwrap()).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }
}

/// A device with one credential.
struct Authenticator {
    key: EcdsaKeyPair,
    id: [u8; 32],
    handle: String,
    count: u32,
    origin: &'static str,
}

fn sha256(octets: &[u8]) -> Vec<u8> {
    digest(&SHA256, octets).as_ref().to_vec()
}

impl Authenticator {
    fn new(handle: &str) -> Authenticator {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        let id = sha256(key.public_key().as_ref()).try_into().unwrap();
        Authenticator { key, id, handle: handle.into(), count: 0, origin: ORIGIN }
    }

    fn client_data(&self, kind: &str, challenge: &[u8]) -> Vec<u8> {
        let challenge = URL_SAFE_NO_PAD.encode(challenge);
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string().into()
    }

    /// Present and verified.
    fn data(&self, more: u8) -> Vec<u8> {
        [sha256(b"localhost"), vec![0b101 | more], self.count.to_be_bytes().to_vec()].concat()
    }

    fn make(&self, challenge: &[u8]) -> NewCredential {
        let point = self.key.public_key().as_ref();
        let key =
            [[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32].as_slice(), &point[1..33], &[0x22, 0x58, 32], &point[33..]];
        let data = [self.data(1 << 6), vec![0; 16], vec![0, 32], self.id.to_vec(), key.concat()].concat();
        let head = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58";
        let attestation = [head.as_slice(), &[u8::try_from(data.len()).unwrap()], &data].concat();
        let client_data = self.client_data("webauthn.create", challenge);
        NewCredential { id: self.id.to_vec(), client_data, attestation, transports: vec!["internal".into()] }
    }

    fn sign(&self, challenge: &[u8]) -> Assertion {
        let (client_data, authenticator_data) = (self.client_data("webauthn.get", challenge), self.data(0));
        let message = [authenticator_data.clone(), sha256(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec();
        let user_handle = Some(self.handle.clone().into_bytes());
        Assertion { id: self.id.to_vec(), client_data, authenticator_data, signature, user_handle }
    }
}

fn octets(json: &Json) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(json.as_str().unwrap()).unwrap()
}

fn text(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn wire_of_new(made: &NewCredential) -> Json {
    let response = json!({
        "clientDataJSON": text(&made.client_data), "attestationObject": text(&made.attestation), "transports": made.transports,
    });
    json!({ "id": text(&made.id), "rawId": text(&made.id), "type": "public-key", "response": response })
}

fn wire_of_signed(signed: &Assertion) -> Json {
    let handle = signed.user_handle.as_ref().map(|handle| text(handle));
    let response = json!({
        "clientDataJSON": text(&signed.client_data), "authenticatorData": text(&signed.authenticator_data),
        "signature": text(&signed.signature), "userHandle": handle,
    });
    json!({ "id": text(&signed.id), "rawId": text(&signed.id), "type": "public-key", "response": response })
}

fn claims(token: &str) -> Json {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn of(session: &Json) -> &str {
    session["access_token"].as_str().unwrap()
}

fn rejected<T>(done: &Result<T, AccountError>) -> bool {
    matches!(done, Err(AccountError::Passkey(PasskeyError::Rejected)))
}

fn refused<T>(done: Result<T, AccountError>) -> AccountError {
    match done {
        Ok(_) => panic!("done"),
        Err(refused) => refused,
    }
}

async fn a_passkey_is_registered_and_signs_in_over_the_wire(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let credentials = json!({ "email": "ann@example.org", "password": PASSWORD, "data": { "name": "Ann" } });
    let (status, ann) = world.ask(None, "POST", "signup", credentials).await;
    assert_eq!(status, 200, "{ann}");
    let token = of(&ann);
    let (_, settings) = world.ask(None, "GET", "settings", Json::Null).await;
    assert_eq!(settings["passkeys_enabled"], true);
    for path in ["passkeys", "passkeys/registration/options"] {
        let method = if path == "passkeys" { "GET" } else { "POST" };
        assert_eq!(world.ask(None, method, path, Json::Null).await.0, 401, "{path}");
    }
    let (status, asked) = world.ask(Some(token), "POST", "passkeys/registration/options", json!({})).await;
    assert_eq!(status, 200, "{asked}");
    let options = &asked["options"];
    assert_eq!(options["rp"], json!({ "id": "localhost", "name": "test" }));
    assert_eq!(options["user"]["name"], "ann@example.org");
    assert_eq!(options["user"]["displayName"], "Ann");
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    let handle = String::from_utf8(octets(&options["user"]["id"])).unwrap();
    assert_eq!(handle, ann["user"]["id"].as_str().unwrap());
    let mut device = Authenticator::new(&handle);
    let made = wire_of_new(&device.make(&octets(&options["challenge"])));
    let body = json!({ "challenge_id": asked["challenge_id"], "credential": made, "friendly_name": " Laptop " });
    let (status, passkey) = world.ask(Some(token), "POST", "passkeys/registration/verify", body).await;
    assert_eq!((status, &passkey["friendly_name"]), (200, &json!("Laptop")), "{passkey}");
    // The next registration tells the device that it has one.
    let (_, asked) = world.ask(Some(token), "POST", "passkeys/registration/options", Json::Null).await;
    assert_eq!(asked["options"]["excludeCredentials"][0]["id"], text(&device.id));
    assert_eq!(asked["options"]["excludeCredentials"][0]["transports"], json!(["internal"]));

    // No account is named, and a token that is no good does not hinder.
    device.count = 7;
    let sign_in = async |device: &Authenticator| {
        let (status, asked) = world.ask(None, "POST", "passkeys/authentication/options", json!({})).await;
        assert_eq!((status, &asked["options"]["allowCredentials"]), (200, &json!([])), "{asked}");
        let signed = wire_of_signed(&device.sign(&octets(&asked["options"]["challenge"])));
        let body = json!({ "challenge_id": asked["challenge_id"], "credential": signed });
        world.ask(Some("no.good.token"), "POST", "passkeys/authentication/verify", body).await
    };
    let (status, session) = sign_in(&device).await;
    assert_eq!((status, &session["user"]["id"]), (200, &ann["user"]["id"]), "{session}");
    let told = claims(of(&session));
    assert_eq!((&told["aal"], &told["amr"][0]["method"]), (&json!("aal1"), &json!("passkey")), "{told}");
    let (_, listed) = world.ask(Some(token), "GET", "passkeys", Json::Null).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(listed[0]["last_used_at"].is_string() && listed[0].get("public_key").is_none(), "{listed}");
    let path = format!("passkeys/{}", passkey["id"].as_str().unwrap());
    let (status, named) = world.ask(Some(token), "PATCH", &path, json!({ "friendly_name": "Old laptop" })).await;
    assert_eq!((status, &named["friendly_name"]), (200, &json!("Old laptop")));
    let long = json!({ "friendly_name": "x".repeat(121) });
    assert_eq!(world.ask(Some(token), "PATCH", &path, long).await.0, 422);

    // Somebody else's is as good as none.
    let credentials = json!({ "email": "bob@example.org", "password": PASSWORD });
    let (_, bob) = world.ask(None, "POST", "signup", credentials).await;
    assert_eq!(world.ask(Some(of(&bob)), "PATCH", &path, json!({ "friendly_name": "mine" })).await.0, 404);
    assert_eq!(world.ask(Some(of(&bob)), "DELETE", &path, Json::Null).await.0, 404);
    assert_eq!(world.ask(Some(of(&bob)), "GET", "passkeys", Json::Null).await.1, json!([]));
    let owned = format!("admin/users/{handle}/{path}");
    for nobody in [None, Some(token), Some(of(&bob))] {
        assert!([401, 403].contains(&world.ask(nobody, "DELETE", &owned, Json::Null).await.0));
    }

    // Whoever has the removed passkey may be a thief: what it began ends, and other sessions do not.
    assert_eq!(world.ask(Some(token), "DELETE", &path, Json::Null).await.0, 204);
    assert_eq!(world.ask(Some(of(&session)), "GET", "user", Json::Null).await.0, 401);
    assert_eq!(world.ask(Some(token), "GET", "user", Json::Null).await.0, 200);
    device.count = 8;
    let (status, told) = sign_in(&device).await;
    assert_eq!((status, &told["error_code"]), (400, &json!("webauthn_verification_failed")));

    // The owner sees them and takes them away.
    let asked = world.ask(Some(token), "POST", "passkeys/registration/options", Json::Null).await.1;
    let device = Authenticator::new(&handle);
    let body = json!({ "challenge_id": asked["challenge_id"], "credential": wire_of_new(&device.make(&octets(&asked["options"]["challenge"]))) });
    let (_, passkey) = world.ask(Some(token), "POST", "passkeys/registration/verify", body).await;
    let (_, session) = sign_in(&device).await;
    let secret = world.server.keys().secret.expose().to_owned();
    let all = format!("admin/users/{handle}/passkeys");
    let (status, listed) = world.ask(Some(&secret), "GET", &all, Json::Null).await;
    assert_eq!((status, &listed[0]["id"]), (200, &passkey["id"]));
    let one = format!("{all}/{}", passkey["id"].as_str().unwrap());
    assert_eq!(world.ask(Some(&secret), "DELETE", &one, Json::Null).await.0, 204);
    assert_eq!(world.ask(Some(&secret), "DELETE", &one, Json::Null).await.0, 404);
    assert_eq!(world.ask(Some(of(&session)), "GET", "user", Json::Null).await.0, 401);
}

/// How many of a hundred at once succeed.
async fn hundred<F: Future<Output = bool> + Send + 'static>(one: impl Fn() -> F) -> usize {
    let all: Vec<_> = (0..100).map(|_| tokio::spawn(one())).collect();
    let mut good = 0;
    for each in all {
        good += usize::from(each.await.unwrap());
    }
    good
}

async fn a_challenge_counts_once(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let ann = world.sign_up("ann@example.org").await;
    let asked = world.begin(&ann).await.unwrap();
    let device = Authenticator::new(&asked.user_handle);
    let (made, ann) = (device.make(&asked.challenge), Arc::new(ann));
    let registered = hundred(|| {
        let (world, ann, made) = (world.clone(), ann.clone(), made.clone());
        async move { world.finish(&ann, asked.id, made).await.is_ok() }
    });
    assert_eq!(registered.await, 1, "a registration");
    // Nor does another device get in by the same challenge.
    let other = Authenticator::new(&device.handle).make(&asked.challenge);
    assert_eq!(refused(world.finish(&ann, asked.id, other).await), PasskeyError::ChallengeUsed.into());

    let asked = world.asked().await;
    let signed = device.sign(&asked.challenge);
    let signed_in = hundred(|| {
        let (world, signed) = (world.clone(), signed.clone());
        async move { world.auth.finish_passkey_sign_in(world.visit(world.now()), asked.id, signed).await.is_ok() }
    });
    assert_eq!(signed_in.await, 1, "a sign-in");
    let again = world.auth.finish_passkey_sign_in(world.visit(world.now()), asked.id, signed).await;
    assert_eq!(refused(again), PasskeyError::ChallengeUsed.into());
    // The known-good control: what was refused was refused because it was used.
    assert!(world.sign_in(&device).await.is_ok());

    // A challenge runs out, and a used one is remembered for longer than that.
    let asked = world.asked().await;
    let late = world.visit(world.now() + 6 * MINUTE);
    let late = world.auth.finish_passkey_sign_in(late, asked.id, device.sign(&asked.challenge)).await;
    assert_eq!(refused(late), PasskeyError::ChallengeExpired.into());
    world.auth.sweep().await.unwrap();
    let again = world.auth.finish_passkey_sign_in(world.visit(world.now()), asked.id, device.sign(&asked.challenge));
    assert!(again.await.is_ok(), "another clock was ahead");
}

async fn an_answer_counts_only_for_whom_and_what_it_is(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let (ann, bob) = (world.sign_up("ann@example.org").await, world.sign_up("bob@example.org").await);
    let (device, _) = world.register(&ann).await;

    // One's own challenge, in one's own session.
    let asked = world.begin(&ann).await.unwrap();
    let new = Authenticator::new(&asked.user_handle);
    assert!(rejected(&world.finish(&bob, asked.id, new.make(&asked.challenge)).await), "another's challenge");
    let again = world.by_password("ann@example.org").await;
    assert!(rejected(&world.finish(&again, asked.id, new.make(&asked.challenge)).await), "another session's");
    let sign_in = world.asked().await;
    assert!(rejected(&world.finish(&ann, sign_in.id, new.make(&sign_in.challenge)).await), "a sign-in's");
    let signed = device.sign(&asked.challenge);
    let as_sign_in = world.auth.finish_passkey_sign_in(world.visit(world.now()), asked.id, signed).await;
    assert!(rejected(&as_sign_in), "a registration's");
    let millis = u64::try_from(world.now() / 1_000).unwrap();
    let made_up = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
    let signed = device.sign(&[0; 32]);
    assert!(rejected(&world.auth.finish_passkey_sign_in(world.visit(world.now()), made_up, signed).await));

    // A credential is one account's.
    let asked = world.begin(&bob).await.unwrap();
    let taken = world.finish(&bob, asked.id, device.make(&asked.challenge)).await;
    assert_eq!(refused(taken), PasskeyError::Exists.into());

    // The page and the user handle count, and who is nobody is told what a bad signature is told.
    let asked = world.asked().await;
    let try_it =
        async |signed: Assertion| world.auth.finish_passkey_sign_in(world.visit(world.now()), asked.id, signed).await;
    let good = device.sign(&asked.challenge);
    let elsewhere = Authenticator { origin: "https://evil.example", ..Authenticator::new(&device.handle) };
    for (why, spoiled) in [
        ("a bad signature", Assertion { signature: vec![0x30; 70], ..good.clone() }),
        ("nobody's", Authenticator::new(&device.handle).sign(&asked.challenge)),
        ("another page's", Assertion { id: good.id.clone(), ..elsewhere.sign(&asked.challenge) }),
        ("bob's handle", Assertion { user_handle: Some(bob.account.id.to_string().into()), ..good.clone() }),
        ("no handle", Assertion { user_handle: None, ..good.clone() }),
        ("another id", Assertion { id: vec![1; 32], ..good.clone() }),
    ] {
        assert!(rejected(&try_it(spoiled).await), "{why}");
    }
    // What was refused used nothing up.
    assert!(try_it(good).await.is_ok());
    assert!(world.noted("login_failed").await.len() >= 7);
}

async fn a_count_that_goes_back_is_refused_and_noted(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let ann = world.sign_up("ann@example.org").await;
    let (mut device, _) = world.register(&ann).await;
    // A device that never counts stays at zero.
    assert!(world.sign_in(&device).await.is_ok());
    assert!(world.sign_in(&device).await.is_ok());
    for (count, good) in
        [(5, true), (6, true), (6, false), (5, false), (0, false), (7, true), (u32::MAX, true), (1, false)]
    {
        device.count = count;
        let done = world.sign_in(&device).await;
        assert_eq!((done.is_ok(), rejected(&done)), (good, !good), "{count}");
    }
    let noted = world.noted("login_failed").await;
    assert_eq!(noted.iter().filter(|detail| detail.contains("count of signatures went back")).count(), 4, "{noted:?}");
}

async fn who_may_not_sign_in_may_not_by_passkey(on: On) {
    let Some(world) = World::new(on, "anonymous = true").await else { return };
    let ann = world.sign_up("ann@example.org").await;
    let (device, passkey) = world.register(&ann).await;
    let owner = Caller::secret(world.server.engine().moment());
    let set = async |change: AccountSettings| {
        world.auth.change_account(world.visit(world.now()), &owner, ann.account.id, change).await.unwrap();
    };
    set(AccountSettings { ban: Some(Ban::For(60 * MINUTE)), ..AccountSettings::default() }).await;
    assert_eq!(refused(world.sign_in(&device).await), AccountError::Banned);
    set(AccountSettings { ban: Some(Ban::Lifted), ..AccountSettings::default() }).await;
    assert!(world.sign_in(&device).await.is_ok());

    // A sign-in by passkey is one factor: what a second one guards, it does not open.
    let ann = world.by_password("ann@example.org").await;
    let caller = world.caller(&ann);
    let factor = world.auth.enroll_factor(world.visit(world.now()), &caller, EnrollFactor::default()).await.unwrap();
    let asked = world.auth.challenge_factor(world.visit(world.now()), &caller, factor.id).await.unwrap();
    let secret = totp_rs::Secret::try_from_base32(factor.secret.expose()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let code = totp.generate(u64::try_from(world.now() / SECOND).unwrap()).to_string();
    let visit = world.visit(world.now());
    let raised = world.auth.verify_factor(visit, &caller, factor.id, asked.id, Secret::new(code)).await.unwrap();
    let session = world.sign_in(&device).await.unwrap();
    let Identity::User(user) = world.caller(&session).identity().clone() else { panic!("no user") };
    assert_eq!(user.claims()["aal"], "aal1");
    assert_eq!(refused(world.begin(&session).await), FactorError::AssuranceNeeded.into());
    let removed = world.auth.remove_passkey(world.visit(world.now()), &world.caller(&session), passkey.id).await;
    assert_eq!(refused(removed), FactorError::AssuranceNeeded.into());
    let (_, another) = world.register(&raised).await;

    // As many as one may have; what is there can be removed at the level that it takes.
    for _ in 2..10 {
        world.register(&raised).await;
    }
    assert_eq!(refused(world.begin(&raised).await), PasskeyError::TooMany.into());
    world.auth.remove_passkey(world.visit(world.now()), &world.caller(&raised), another.id).await.unwrap();
    assert!(world.begin(&raised).await.is_ok());

    // A sign-in that is not recent is no proof; a password is.
    let bob = world.sign_up("bob@example.org").await;
    let late = || world.visit(world.now() + 20 * MINUTE);
    let caller = world.caller(&bob);
    let begun = world.auth.begin_passkey_registration(late(), &caller, None).await;
    assert_eq!(refused(begun), AccountError::ReauthenticationNeeded);
    let begun = world.auth.begin_passkey_registration(late(), &caller, Some(Secret::new("wrong"))).await;
    assert_eq!(refused(begun), AccountError::InvalidCredentials);
    assert!(world.auth.begin_passkey_registration(late(), &caller, Some(Secret::new(PASSWORD))).await.is_ok());

    // Who has no address could not be found again.
    let guest = world.auth.sign_up_anonymously(world.visit(world.now()), Map::new()).await.unwrap();
    assert_eq!(refused(world.begin(&guest).await), PasskeyError::Anonymous.into());
    // An account takes its passkeys along.
    world.auth.remove_account("ann@example.org").await.unwrap();
    assert!(rejected(&world.sign_in(&device).await));

    let Some(closed) = World::new(on, "[auth.passkeys]\nenabled = false").await else { return };
    let begun = closed.auth.begin_passkey_sign_in(closed.visit(closed.now())).await;
    assert_eq!(refused(begun), PasskeyError::Off.into());
    assert!(!closed.auth.offers().passkeys);
}

async fn a_planted_passkey_goes_with_the_password(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    // Somebody signs up with an address of another's, who then takes the account back by mail.
    let thief = world.sign_up("ann@example.org").await;
    let (device, _) = world.register(&thief).await;
    world.auth.recover(world.visit(world.now()), "ann@example.org".into(), Wish::default()).await.unwrap();
    world.auth.deliver().await.unwrap();
    let mail = world.auth.inbox().unwrap().into_iter().find(|mail| mail.text.contains("token=")).unwrap();
    let link = Secret::new(mail.text.split("token=").nth(1).unwrap().split('&').next().unwrap());
    let owner = world.auth.verify(world.visit(world.now()), &[LinkKind::Recovery], Proof::Link(link)).await.unwrap();
    assert!(rejected(&world.sign_in(&device).await));
    assert!(world.identify(&thief).is_err());
    // Their own stays, however often they forget their password.
    let (device, _) = world.register(&owner).await;
    world.auth.recover(world.visit(world.now()), "ann@example.org".into(), Wish::default()).await.unwrap();
    world.auth.deliver().await.unwrap();
    let mail = world.auth.inbox().unwrap().into_iter().find(|mail| mail.text.contains("token=")).unwrap();
    let link = Secret::new(mail.text.split("token=").nth(1).unwrap().split('&').next().unwrap());
    world.auth.verify(world.visit(world.now()), &[LinkKind::Recovery], Proof::Link(link)).await.unwrap();
    assert!(world.sign_in(&device).await.is_ok());
}

async fn a_passkey_that_comes_or_goes_is_told(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let ann = world.sign_up("ann@example.org").await;
    let mut seen = 0;
    let mut told = async || {
        world.auth.deliver().await.unwrap();
        let mails = world.auth.inbox().unwrap();
        let new: Vec<_> =
            mails[..mails.len() - seen].iter().map(|mail| (mail.to.clone(), mail.subject.clone())).collect();
        seen = mails.len();
        new
    };
    let mail = |subject: &str| vec![("ann@example.org".to_owned(), subject.to_owned())];
    world.begin(&ann).await.unwrap();
    assert_eq!(told().await, vec![], "nothing was added yet");
    let (device, passkey) = world.register(&ann).await;
    assert_eq!(told().await, mail("A passkey for test was added"));
    world.sign_in(&device).await.unwrap();
    assert_eq!(told().await, vec![]);
    world.auth.remove_passkey(world.visit(world.now()), &world.caller(&ann), passkey.id).await.unwrap();
    assert_eq!(told().await, mail("A passkey for test was removed"));
    let (_, passkey) = world.register(&ann).await;
    told().await;
    let owner = Caller::secret(world.server.engine().moment());
    let visit = world.visit(world.now());
    world.auth.remove_passkey_of(visit, &owner, ann.account.id, passkey.id).await.unwrap();
    assert_eq!(told().await, mail("A passkey for test was removed"));
}

async fn an_authenticator_is_a_second_factor(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let ann = world.sign_up("ann@example.org").await;
    let other = world.by_password("ann@example.org").await;
    let (laptop, _) = world.register(&ann).await;
    let now = || world.visit(world.now());
    let asked = EnrollFactor { name: Some("Key".into()), ..EnrollFactor::default() };
    let enrolled = world.auth.enroll_key(now(), &world.caller(&ann), asked).await.unwrap();
    let factor = enrolled.id;
    let challenge = async |session: &Session| {
        let made = world.auth.challenge_factor(now(), &world.caller(session), factor).await.unwrap();
        (made.id, made.key.unwrap())
    };
    let verify = async |session: &Session, id: Uuid, answer: KeyAnswer| {
        world.auth.verify_key(now(), &world.caller(session), factor, id, answer).await
    };

    // It counts for nothing until its authenticator answered.
    assert!(world.begin(&ann).await.is_ok());
    let (id, KeyChallenge::Create(asked)) = challenge(&ann).await else { panic!("it has no key yet") };
    assert!(!asked.discoverable && asked.exclude.len() == 1, "the laptop is a passkey already");
    let mut key = Authenticator::new(&asked.user_handle);
    let made = key.make(&asked.challenge);
    assert!(rejected(&verify(&ann, id, KeyAnswer::Create(key.make(&[0; 32]))).await), "another challenge's");
    let taken = verify(&ann, id, KeyAnswer::Create(laptop.make(&asked.challenge))).await;
    assert_eq!(refused(taken), PasskeyError::Exists.into());
    let signed = KeyAnswer::Request(key.sign(&asked.challenge));
    assert_eq!(refused(verify(&ann, id, signed).await), FactorError::ChallengeExpired.into(), "nothing signs yet");
    let elsewhere =
        world.auth.verify_key(now(), &world.caller(&other), factor, id, KeyAnswer::Create(made.clone())).await;
    assert_eq!(refused(elsewhere), FactorError::ChallengeExpired.into(), "another session's");
    let raised = verify(&ann, id, KeyAnswer::Create(made)).await.unwrap();
    let told = claims(raised.access_token.expose());
    assert_eq!((&told["aal"], &told["amr"][0]["method"]), (&json!("aal2"), &json!("mfa/webauthn")), "{told}");
    assert!(world.identify(&other).is_err() && world.identify(&ann).is_err(), "sessions of one factor begin anew");
    let shown = &raised.account.factors[0];
    assert_eq!((shown.kind.as_str(), shown.verified, shown.name.as_deref()), ("webauthn", true, Some("Key")));

    // The next sign-in, by password or by passkey, is one factor again.
    let again = world.sign_in(&laptop).await.unwrap();
    assert_eq!(refused(world.begin(&again).await), FactorError::AssuranceNeeded.into());
    let (id, KeyChallenge::Request(asked)) = challenge(&again).await else { panic!("it has a key") };
    assert_eq!(asked.allow, [KnownCredential { id: key.id.to_vec(), transports: vec!["internal".into()] }]);
    key.count = 5;
    assert!(rejected(&verify(&again, id, KeyAnswer::Request(laptop.sign(&asked.challenge))).await), "a passkey's");
    assert!(rejected(&verify(&again, id, KeyAnswer::Request(key.sign(&[0; 32]))).await));
    let made = KeyAnswer::Create(Authenticator::new("x").make(&asked.challenge));
    assert_eq!(refused(verify(&again, id, made).await), FactorError::ChallengeExpired.into(), "no second key");
    let code = world.auth.verify_factor(now(), &world.caller(&again), factor, id, Secret::new("123456")).await;
    assert_eq!(refused(code), FactorError::Missing.into(), "it has no codes");
    let signed = key.sign(&asked.challenge);
    let again = Arc::new(again);
    let proved = hundred(|| {
        let (world, again, signed) = (world.clone(), again.clone(), signed.clone());
        async move {
            // Whoever comes second finds the session replaced.
            let Ok(caller) = world.identify(&again) else { return false };
            let visit = world.visit(world.now());
            world.auth.verify_key(visit, &caller, factor, id, KeyAnswer::Request(signed)).await.is_ok()
        }
    });
    assert_eq!(proved.await, 1);
    let once_more = world.sign_in(&laptop).await.unwrap();
    let (id, KeyChallenge::Request(asked)) = challenge(&once_more).await else { panic!("it has a key") };
    key.count = 5;
    assert!(rejected(&verify(&once_more, id, KeyAnswer::Request(key.sign(&asked.challenge))).await), "a copy");
    key.count = 6;
    let raised = verify(&once_more, id, KeyAnswer::Request(key.sign(&asked.challenge))).await.unwrap();
    assert!(world.noted("mfa_failed").await.iter().any(|detail| detail.contains("went back")));

    // The key of a factor signs nobody in, is no passkey in the list, and goes with its factor.
    let asked = world.asked().await;
    key.count = 7;
    let handle = Some(ann.account.id.to_string().into_bytes());
    let signed = Assertion { user_handle: handle, ..key.sign(&asked.challenge) };
    assert!(rejected(&world.auth.finish_passkey_sign_in(now(), asked.id, signed).await));
    assert_eq!(world.auth.passkeys(&world.caller(&raised)).await.unwrap().len(), 1);
    world.auth.remove_factor(now(), &world.caller(&raised), factor).await.unwrap();
    let asked = EnrollFactor { name: Some("Key".into()), ..EnrollFactor::default() };
    let factor = world.auth.enroll_key(now(), &world.caller(&raised), asked).await.unwrap().id;
    let made = world.auth.challenge_factor(now(), &world.caller(&raised), factor).await.unwrap();
    let Some(KeyChallenge::Create(asked)) = made.key else { panic!("it has no key yet") };
    let answer = KeyAnswer::Create(key.make(&asked.challenge));
    assert!(world.auth.verify_key(now(), &world.caller(&raised), factor, made.id, answer).await.is_ok(), "free again");
}
