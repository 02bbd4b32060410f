//! Two issuers of OpenID Connect and what GitHub and Discord answer, in memory, behind the port by which this crate asks other servers.
//! They check what an honest provider checks: the client, its secret, where the browser goes back, the PKCE verifier.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use undergird_auth::{
    Allowance, Allowances, Auth, Fetch, FetchError, Fetcher, Incoming, Keys, NewAccount, Options, Outgoing, Transport,
};
use undergird_engine::accounts::*;
use undergird_engine::{Engine, Record};
use undergird_model::{Source, definition};
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Request, Verb};
use undergird_store::{Store, schema};
use undergird_store_sqlite::{Options as SqliteOptions, SqliteStore};
use uuid::Uuid;

pub const OWN: &str = "own";
pub const OTHER: &str = "other";
pub const PASSWORD: &str = "a rather long password";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CLIENT_SECRET: &str = "hush-hush";
const PEOPLE: &str = r#"
[fields]
id = { type = "uuid" }
email = { type = "email", unique = true, optional = true }
name = { type = "text", default = "?" }
"#;
const PROVIDERS: &str = r#"
[auth.providers.own]
client_id = "me"
client_secret = "hush-hush"
issuer = "https://login.own.org"
scopes = ["extra"]
audiences = ["my-phone"]

[auth.providers.other]
client_id = "me"
client_secret = "hush-hush"
issuer = "https://login.other.org"

[auth.providers.off]
enabled = false
client_id = "me"
issuer = "https://login.off.org"

[auth.providers.github]
client_id = "me"
client_secret = "hush-hush"

[auth.providers.discord]
client_id = "me"
client_secret = "hush-hush"
"#;

/// Whoever speaks OpenID Connect, made-up ones and ready-made ones.
const ISSUERS: [&str; 8] = [
    "https://login.own.org",
    "https://login.other.org",
    "https://accounts.google.com",
    "https://appleid.apple.com",
    "https://gitlab.com",
    "https://login.microsoftonline.com/common/v2.0",
    "https://slack.com",
    "https://www.linkedin.com/oauth",
];

/// The providers of each world that may be used.
pub const ENABLED: [&str; 10] =
    ["apple", "azure", "discord", "github", "gitlab", "google", "linkedin_oidc", OTHER, OWN, "slack_oidc"];

/// What an issuer says of somebody.
pub fn claims(subject: &str, email: &str) -> Json {
    json!({ "sub": subject, "email": email, "email_verified": true, "name": "Ann" })
}

pub fn sha256_hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

pub fn at_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, token.as_bytes()).as_ref()[..16])
}

/// The members of a URL's query, or of a form.
pub fn query(url: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut out = Vec::new();
        let mut octets = text.bytes();
        while let Some(octet) = octets.next() {
            out.push(match octet {
                b'%' => {
                    let digits = [octets.next().unwrap(), octets.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(out).unwrap()
    };
    let query = url.split_once('?').map_or(url, |(_, query)| query);
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// A browser comes back with a code.
pub fn returned(away: &Departure, code: &str) -> Return {
    let state = query(&away.url).into_iter().find(|(name, _)| name == "state").unwrap().1;
    Return {
        state: Some(Secret::new(state)),
        code: Some(Secret::new(code)),
        browser: away.browser.clone(),
        ..Return::default()
    }
}

/// Who signs a token.
#[derive(Clone, Copy)]
pub enum Signer {
    Issuer,
    Stranger,
    None,
    PublicKeyAsSecret,
    ClientSecret,
}

/// A token before it is signed, for a test to spoil.
pub struct Token {
    pub header: Json,
    pub claims: Json,
    pub signer: Signer,
    /// Whether the claims change after that.
    pub changed: bool,
}

impl Token {
    pub fn now(&self) -> i64 {
        self.claims["iat"].as_i64().unwrap()
    }
}

/// What was asked of a page where somebody logged in.
struct LoggedIn {
    asked: HashMap<String, String>,
    issuer: String,
    id_token: String,
}

struct State {
    key: Vec<u8>,
    kid: String,
    logged_in: HashMap<String, LoggedIn>,
    answers: HashMap<String, (u16, Vec<u8>)>,
    asked: Vec<String>,
    hooks: Option<Hook>,
}

/// A server of the owner's that is asked: any URL of `https://hooks.`.
pub type Hook = Arc<dyn Fn(&Outgoing) -> Result<Incoming, FetchError> + Send + Sync>;

/// The providers.
#[derive(Clone)]
pub struct Fake(Arc<Mutex<State>>);

fn new_key() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap().as_ref().to_vec()
}

fn pair(key: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &SystemRandom::new()).unwrap()
}

fn jwk(key: &[u8], kid: &str) -> Json {
    let public = pair(key).public_key().as_ref().to_vec();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&public[1..33]), URL_SAFE_NO_PAD.encode(&public[33..]));
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": x, "y": y })
}

pub fn stranger_jwk() -> Json {
    jwk(&new_key(), "mine")
}

fn hmac(secret: &[u8], message: &str) -> Vec<u8> {
    ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref().to_vec()
}

impl Fake {
    pub fn new() -> Fake {
        let state = State {
            key: new_key(),
            kid: "first".into(),
            logged_in: HashMap::new(),
            answers: HashMap::new(),
            asked: Vec::new(),
            hooks: None,
        };
        Fake(Arc::new(Mutex::new(state)))
    }

    pub fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    pub fn answer(&self, url: &str, body: Json) {
        self.answer_raw(url, 200, body.to_string().as_bytes());
    }

    pub fn answer_raw(&self, url: &str, status: u16, body: &[u8]) {
        self.0.lock().unwrap().answers.insert(url.into(), (status, body.to_vec()));
    }

    /// Whatever is asked of hooks from now on is answered so.
    #[allow(dead_code, reason = "tests/hooks.rs uses it")]
    pub fn hook(&self, answer: impl Fn(&Outgoing) -> Result<Incoming, FetchError> + Send + Sync + 'static) {
        self.0.lock().unwrap().hooks = Some(Arc::new(answer));
    }

    pub fn forget(&self, url: &str) {
        self.0.lock().unwrap().answers.remove(url);
    }

    pub fn rotate(&self) {
        let mut state = self.0.lock().unwrap();
        state.key = new_key();
        state.kid = "second".into();
    }

    /// Somebody logs in at the page to which a browser was sent: the code with which it comes back.
    pub fn log_in(&self, url: &str, claims: &Json) -> String {
        self.log_in_as(url, claims, &|_| ())
    }

    pub fn log_in_as(&self, url: &str, claims: &Json, change: &dyn Fn(&mut Token)) -> String {
        let asked: HashMap<String, String> = query(url).into_iter().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["redirect_uri"], "https://api.x.org/auth/v1/callback");
        let issuer = url.split("/authorize").next().unwrap().to_owned();
        let nonce = asked.get("nonce").cloned();
        let id_token = self.token(claims, &|token| {
            token.claims["iss"] = json!(issuer);
            if let Some(nonce) = &nonce {
                token.claims["nonce"] = json!(nonce);
            }
            change(token);
        });
        let mut octets = [0; 16];
        SystemRandom::new().fill(&mut octets).unwrap();
        let code = URL_SAFE_NO_PAD.encode(octets);
        self.0.lock().unwrap().logged_in.insert(code.clone(), LoggedIn { asked, issuer, id_token });
        code
    }

    /// An ID token of the first issuer, without a nonce.
    pub fn token(&self, claims: &Json, change: &dyn Fn(&mut Token)) -> String {
        let state = self.0.lock().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({ "iss": "https://login.own.org", "aud": "me", "iat": now, "exp": now + 300 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": state.kid });
        let mut token = Token { header, claims: all, signer: Signer::Issuer, changed: false };
        change(&mut token);
        let encode = |part: &Json| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&token.header), encode(&token.claims));
        let sign = |key: &[u8]| pair(key).sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec();
        let signature = match token.signer {
            Signer::Issuer => sign(&state.key),
            Signer::Stranger => sign(&new_key()),
            Signer::None => Vec::new(),
            Signer::PublicKeyAsSecret => hmac(jwk(&state.key, &state.kid).to_string().as_bytes(), &message),
            Signer::ClientSecret => hmac(CLIENT_SECRET.as_bytes(), &message),
        };
        let message = if token.changed {
            token.claims["sub"] = json!("somebody else");
            format!("{}.{}", encode(&token.header), encode(&token.claims))
        } else {
            message
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn serve(&self, request: &Outgoing) -> (u16, Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        state.asked.push(request.url.clone());
        if let Some(answer) = state.answers.get(&request.url) {
            return answer.clone();
        }
        for issuer in ISSUERS {
            let Some(path) = request.url.strip_prefix(issuer) else { continue };
            return match path {
                "/.well-known/openid-configuration" => (200, discovery(issuer).to_string().into_bytes()),
                "/keys" => (200, json!({ "keys": [jwk(&state.key, &state.kid)] }).to_string().into_bytes()),
                "/token" => exchange(&mut state, issuer, request),
                _ => (404, Vec::new()),
            };
        }
        match request.url.as_str() {
            "https://github.com/login/oauth/access_token" | "https://discord.com/api/oauth2/token" => {
                let issuer = if request.url.contains("github") {
                    "https://github.com/login/oauth"
                } else {
                    "https://discord.com/oauth2"
                };
                exchange(&mut state, issuer, request)
            }
            _ => (404, Vec::new()),
        }
    }
}

fn discovery(issuer: &str) -> Json {
    let is_own = !issuer.contains("other");
    json!({
        "issuer": issuer.replace("/common/", "/{tenantid}/"), "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "token_endpoint_auth_methods_supported": [if is_own && !issuer.contains("linkedin") { "client_secret_post" } else { "client_secret_basic" }],
        "authorization_response_iss_parameter_supported": !is_own,
    })
}

fn exchange(state: &mut State, issuer: &str, request: &Outgoing) -> (u16, Vec<u8>) {
    let refused = |why: &str| (400, json!({ "error": why }).to_string().into_bytes());
    let told: HashMap<String, String> =
        query(std::str::from_utf8(request.body.as_ref().unwrap()).unwrap()).into_iter().collect();
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("me:hush-hush"));
    let is_basic = request.headers.iter().any(|(name, value)| *name == "authorization" && *value == basic);
    // Apple's is signed anew each time.
    let is_secret = |secret: &String| match issuer.contains("apple") {
        true => secret.split('.').count() == 3,
        false => secret == CLIENT_SECRET,
    };
    let is_posted =
        told.get("client_id").is_some_and(|id| id == "me") && told.get("client_secret").is_some_and(is_secret);
    if !is_posted && !is_basic || is_basic && issuer.contains("linkedin") {
        return refused("invalid_client");
    }
    let Some(logged_in) = state.logged_in.remove(&told["code"]).filter(|logged_in| logged_in.issuer == issuer) else {
        return refused("invalid_grant");
    };
    let verifier = told.get("code_verifier");
    let computed = verifier.map(|verifier| URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref()));
    // Two of them refuse who sends a verifier.
    let is_bound = match issuer.contains("linkedin") || issuer.contains("slack") {
        true => verifier.is_none(),
        false => computed.is_some() && computed.as_ref() == logged_in.asked.get("code_challenge"),
    };
    if !is_bound || told["redirect_uri"] != logged_in.asked["redirect_uri"] {
        return refused("invalid_grant");
    }
    let tokens = json!({ "access_token": "access", "token_type": "Bearer", "id_token": logged_in.id_token });
    (200, tokens.to_string().into_bytes())
}

impl Fetch for Fake {
    fn fetch(&self, request: Outgoing) -> Pin<Box<dyn Future<Output = Result<Incoming, FetchError>> + Send + '_>> {
        let hook = self.0.lock().unwrap().hooks.clone().filter(|_| request.url.starts_with("https://hooks."));
        if let Some(hook) = hook {
            return Box::pin(async move { hook(&request) });
        }
        let (status, body) = self.serve(&request);
        Box::pin(async move { Ok(Incoming { status, body }) })
    }
}

/// An application with its accounts.
pub struct World {
    engine: Arc<Engine>,
    pub auth: Auth,
    keys: Keys,
    pub fake: Fake,
}

pub async fn world(settings: &str) -> World {
    world_with(settings, Fake::new()).await
}

pub async fn world_with(settings: &str, fake: Fake) -> World {
    let ready = ["azure", "gitlab", "google", "linkedin_oidc", "slack_oidc"];
    let ready =
        ready.map(|name| format!("[auth.providers.{name}]\nclient_id = \"me\"\nclient_secret = \"hush-hush\"\n"));
    let der = base64::engine::general_purpose::STANDARD.encode(new_key());
    let apple = format!(
        "[auth.providers.apple]\nclient_id = \"me\"\nteam_id = \"T\"\nkey_id = \"K\"\n\
         private_key = \"-----BEGIN PRIVATE KEY-----\\n{der}\\n-----END PRIVATE KEY-----\"\n"
    );
    let app =
        format!("name = \"test\"\n[auth]\nprofile = \"people\"\n{settings}\n{PROVIDERS}{}{apple}", ready.concat());
    let source = |path: &str, text: &str| Source { name: path.into(), text: text.into() };
    let sources = [source("undergird.toml", &app), source("models/people.toml", PEOPLE)];
    let system = undergird_engine::SYSTEM.iter().chain(undergird_auth::SYSTEM);
    let system: Vec<Source> = system.map(|(name, text)| source(&format!("system/{name}.toml"), text)).collect();
    let (model, diagnostics) = definition::check(&sources, &system);
    let model = Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")));
    let store = SqliteStore::open("sqlite::memory:", &SqliteOptions::default()).unwrap();
    let wanted = schema::wanted(&model);
    store.migrate(&schema::steps(None, &wanted), &wanted).await.unwrap();
    let engine = Engine::new(model, store);
    let keys = Keys::generate().unwrap();
    let generous = Allowance { burst: 10_000, every: Duration::from_secs(1) };
    let allowances = Allowances { address: generous, departures: generous, ..Allowances::default() };
    let (transport, fetch) = (Transport::Inbox, Fetcher::new(fake.clone()));
    let options = Options { allowances, transport, fetch, ..Options::new("https://api.x.org") };
    let auth = Auth::open(engine.clone(), &keys, &options).await.unwrap();
    World { engine, auth, keys, fake }
}

impl World {
    pub fn visit(&self) -> Visit {
        self.visit_later(0)
    }

    pub fn visit_later(&self, micros: i64) -> Visit {
        let moment = self.engine.moment();
        let moment = Moment { now: moment.now + micros, ..moment };
        Visit { moment, address: Some(IpAddr::from([192, 0, 2, 1])), user_agent: None }
    }

    /// A browser leaves for a provider.
    pub async fn leave(&self, name: &str) -> Departure {
        let asked = Depart { provider: name.into(), ..Depart::default() };
        self.auth.depart(self.visit(), asked).await.unwrap()
    }

    pub async fn landing(&self, away: &Departure, code: &str) -> Landing {
        self.auth.come_back(self.visit(), returned(away, code)).await
    }

    /// It comes back and has a session.
    pub async fn back(&self, away: &Departure, code: &str) -> Result<Session, AccountError> {
        match self.landing(away, code).await.outcome? {
            Landed::SignedIn(session) => Ok(*session),
            other => panic!("{other:?}"),
        }
    }

    pub async fn rows(&self, collection: &str) -> Vec<Record> {
        let system = Caller::system(self.engine.moment());
        self.engine.records(&system, Request::new(collection, Verb::Read)).await.unwrap()
    }

    /// What the audit log tells: names and details.
    pub async fn events(&self) -> Vec<(String, Json)> {
        let detail =
            |row: &Record| row.text("detail").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let rows = self.rows("_audit_log").await;
        rows.iter().map(|row| (row.text("event").unwrap().to_owned(), detail(row))).collect()
    }

    pub async fn sign_up(&self, email: &str, data: Json) -> SignedUp {
        let data = data.as_object().cloned().unwrap_or_default();
        let request = SignUp { email: email.into(), password: Secret::new(PASSWORD), data, wish: Wish::default() };
        self.auth.sign_up(self.visit(), request).await.unwrap()
    }

    /// An account whose address is confirmed by mail.
    pub async fn member(&self, email: &str) -> Session {
        self.sign_up(email, Json::Object(Map::new())).await;
        self.auth.deliver().await.unwrap();
        let mail = self.auth.inbox().unwrap().remove(0);
        let token = mail.text.split("token=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let kinds = &[LinkKind::Confirmation];
        self.auth.verify(self.visit(), kinds, Proof::Link(Secret::new(token))).await.unwrap()
    }

    /// An account that the owner makes.
    pub async fn make(&self, email: &str) -> Uuid {
        let new =
            NewAccount { email: email.into(), password: Secret::new(PASSWORD), roles: Vec::new(), data: Map::new() };
        self.auth.add_account(new).await.unwrap().id
    }

    pub async fn ban(&self, id: Uuid) {
        let owner = Caller::secret(self.engine.moment());
        let ban = AccountSettings { ban: Some(Ban::For(3_600_000_000)), ..AccountSettings::default() };
        self.auth.change_account(self.visit(), &owner, id, ban).await.unwrap();
    }

    pub async fn password(&self, email: &str) -> Result<Session, AccountError> {
        let request = PasswordSignIn { email: email.into(), password: Secret::new(PASSWORD) };
        self.auth.sign_in(self.visit(), request).await
    }

    pub fn identify(&self, session: &Session) -> Result<Caller, Unidentified> {
        let token = format!("Bearer {}", session.access_token.expose());
        let (apikey, authorization) = (self.keys.publishable.as_bytes(), token.as_bytes());
        let credentials = Credentials { apikey: Some(apikey), authorization: Some(authorization) };
        self.auth.identify(credentials, self.engine.moment())
    }

    pub fn caller(&self, session: &Session) -> Caller {
        self.identify(session).unwrap()
    }
}
