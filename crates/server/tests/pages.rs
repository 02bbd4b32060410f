//! The sign-in pages over HTTP, on each store: what a browser does, and what one must not be able to do (TRUST.md: CSRF, markup, open
//! redirects, headers, fixation, a half-proved session, telling who has an account).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use support::Folder;
use support::databases::{Database, On};
use totp_rs::{Builder, Secret as TotpSecret};
use undergird::Server;
use undergird_api::auth::pages::Dress;
use undergird_api::http::{AccessLog, Connection, Http, Linger, serve};
use undergird_auth::{Allowance, Allowances, Auth, Options, Transport};
use undergird_engine::accounts::*;
use undergird_plan::{Caller, Identity};
use uuid::Uuid;

on_each_store!(
    a_password_ends_with_a_code_for_the_application,
    a_second_factor_is_demanded_before_anything_is_handed_over,
    forms_of_others_are_refused,
    what_anybody_writes_stays_text,
    browsers_are_sent_nowhere_else,
    every_page_says_what_browsers_must_not_do,
    a_sign_in_is_under_a_name_that_nobody_knew,
    mails_lead_back_to_the_browser_that_asked,
    nobody_learns_who_has_an_account,
    a_forgotten_password_is_replaced,
);

const PASSWORD: &str = "a rather long password";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ERRAND: &str = "redirect_to=https%3A%2F%2Fapp.example.org%2Fin%3Fx%3D1&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
                      &code_challenge_method=s256&state=a%26b";
const PUBLIC: &str = "http://127.0.0.1:8090";
const STEP: i64 = 30_000_000;

struct World {
    auth: Auth,
    http: Arc<Http>,
    server: Server,
    _folder: Folder,
    _database: Database,
}

impl World {
    async fn new(on: On, settings: &str) -> Option<World> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        let auth = format!(
            "[auth]\nredirect_urls = [\"https://app.example.org/**\"]\n{settings}\n[auth.ui]\nenabled = true\n"
        );
        folder.write("undergird.toml", &format!("name = \"Test & Co\"\n{auth}"));
        folder.write("models/notes.toml", "[fields]\ntext = { type = \"text\" }\n");
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .build()
            .await
            .unwrap();
        // As the server's own, but generous: what is tested here is not hidden behind budgets.
        let many = Allowance { burst: 1_000, every: Duration::from_millis(1) };
        let allowances = Allowances {
            account_and_address: many,
            account: many,
            address: many,
            sign_ups: many,
            codes: many,
            mails_to: many,
            mails_from: many,
            mail_codes: many,
            ..Allowances::default()
        };
        let options = Options { allowances, transport: Transport::Inbox, ..Options::new(PUBLIC) };
        let auth = Auth::open(server.engine().clone(), server.keys(), &options).await.unwrap();
        let cursors = undergird::keys::cursor_key(server.keys()).unwrap();
        let log: Arc<AccessLog> = Arc::default();
        let http = Http::new(server.engine().clone(), Arc::new(auth.clone()), cursors, log);
        http.dress(Dress::default());
        Some(World { auth, http, server, _folder: folder, _database: database })
    }

    fn visit(&self) -> Visit {
        let moment = self.server.engine().moment();
        Visit { moment, address: Some([192, 0, 2, 1].into()), user_agent: Some("test".into()) }
    }

    async fn sign_up(&self, email: &str) -> Session {
        let (password, wish) = (Secret::new(PASSWORD), Wish::default());
        let request = SignUp { email: email.into(), password, data: Map::new(), wish };
        match self.auth.sign_up(self.visit(), request).await.unwrap() {
            SignedUp::In(session) => *session,
            SignedUp::Unconfirmed(_) => panic!("unconfirmed"),
        }
    }

    fn caller(&self, session: &Session) -> Caller {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, self.server.engine().moment()).unwrap()
    }

    /// The session of an account that has a factor in use, the factor's secret, and recovery codes.
    async fn second(&self, email: &str) -> (Session, Uuid, String, Vec<Secret>) {
        let session = self.sign_up(email).await;
        let caller = self.caller(&session);
        let made = self.auth.enroll_factor(self.visit(), &caller, EnrollFactor::default()).await.unwrap();
        let secret = made.secret.expose().to_owned();
        let now = self.server.engine().moment().now;
        let challenge = self.auth.challenge_factor(self.visit(), &caller, made.id).await.unwrap();
        // Of the step before, so that the present one is still good for the test.
        let code = Secret::new(code(&secret, now - STEP));
        let session = self.auth.verify_factor(self.visit(), &caller, made.id, challenge.id, code).await.unwrap();
        let caller = self.caller(&session);
        let codes = self.auth.make_recovery_codes(self.visit(), &caller, MakeRecoveryCodes::default()).await.unwrap();
        (session, made.id, secret, codes.codes)
    }

    /// What the application does with the code that it was sent.
    async fn exchange(&self, location: &str) -> Result<Session, AccountError> {
        let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
        self.auth.exchange(self.visit(), Secret::new(code), Secret::new(VERIFIER)).await
    }

    /// The newest mail to somebody: link and code.
    async fn mail(&self, to: &str) -> (String, String) {
        while self.auth.deliver().await.unwrap() > 0 {}
        let mail = self
            .auth
            .inbox()
            .unwrap()
            .into_iter()
            .find(|mail| mail.to == to && mail.text.contains("token="))
            .unwrap_or_else(|| panic!("no mail to {to}"));
        let link = mail.text.lines().find(|line| line.starts_with("http")).unwrap().to_owned();
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
        (link, mail.text.lines().find(is_code).unwrap().to_owned())
    }
}

fn code(secret: &str, now: i64) -> String {
    let secret = TotpSecret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    totp.generate(u64::try_from(now / 1_000_000).unwrap()).to_string()
}

/// A browser, as far as it matters: it keeps cookies, and says where a form comes from.
struct Browser<'w> {
    world: &'w World,
    cookie: Option<String>,
}

/// What a browser got.
#[derive(Clone, Debug)]
struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Got {
    fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.headers["location"].to_str().unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the first attribute that begins so.
    fn after(&self, what: &str) -> String {
        let at = self.body.find(what).unwrap_or_else(|| panic!("no {what} in {}", self.body)) + what.len();
        let raw = &self.body[at..at + self.body[at..].find('"').unwrap()];
        raw.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&amp;", "&")
    }

    fn token(&self) -> String {
        self.after("name=\"form_token\" value=\"")
    }

    fn alert(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once("role=\"alert\" id=\"alert\">")?;
        rest.split('<').next()
    }
}

impl<'w> Browser<'w> {
    fn new(world: &'w World) -> Browser<'w> {
        Browser { world, cookie: None }
    }

    async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(target).header("host", "127.0.0.1:8090");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("other=1; undergird-page={cookie}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let connection = Connection { peer: [192, 0, 2, 1].into(), linger: Linger::default() };
        let response = serve(&self.world.http, &connection, request).await;
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        if let Some(set) = head.headers.get("set-cookie") {
            let set = set.to_str().unwrap();
            let (pair, attributes) = set.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
            self.cookie = Some(pair.strip_prefix("undergird-page=").unwrap().to_owned());
        }
        Got { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn get(&mut self, page: &str) -> Got {
        self.send("GET", &format!("/auth/ui/{page}"), &[], "").await
    }

    async fn post(&mut self, page: &str, fields: &[(&str, &str)]) -> Got {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", PUBLIC),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("POST", &format!("/auth/ui/{page}"), &headers, &form(fields)).await
    }

    /// Fills in the first form of a page, and sends it where it says.
    async fn fill(&mut self, page: &Got, fields: &[(&str, &str)]) -> Got {
        let (action, token) = (page.after("method=\"post\" action=\""), page.token());
        let mut all = vec![("form_token", token.as_str())];
        all.extend_from_slice(fields);
        self.post(&action, &all).await
    }

    /// Follows a link of a mail as far as it leads here.
    async fn follow(&mut self, link: &str) -> Got {
        let got = self.send("GET", link.strip_prefix(PUBLIC).unwrap(), &[], "").await;
        let back = got.location().strip_prefix(PUBLIC).unwrap_or_else(|| panic!("{got:?}")).to_owned();
        self.send("GET", &back, &[], "").await
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

async fn a_password_ends_with_a_code_for_the_application(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let first = world.sign_up("ann@example.org").await;
    let mut browser = Browser::new(&world);
    let page = browser.get(&format!("sign-in?{ERRAND}")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Sign in · Test &amp; Co</title>"), "{}", page.body);
    for (email, password) in [("ann@example.org", "a wrong password"), ("nobody@example.org", PASSWORD)] {
        let wrong = browser.fill(&page, &[("email", email), ("password", password)]).await;
        assert_eq!(wrong.status, 400);
        assert_eq!(wrong.alert(), Some("The e-mail address or the password is wrong."));
        // What was typed is kept, but for the password.
        assert!(wrong.body.contains(&format!("value=\"{email}\"")) && !wrong.body.contains(password));
    }
    let done = browser.fill(&page, &[("email", "Ann@example.org "), ("password", PASSWORD)]).await;
    let to = done.location().to_owned();
    assert!(to.starts_with("https://app.example.org/in?x=1&code=ug_code_") && to.ends_with("&state=a%26b"), "{to}");
    assert!(done.body.is_empty() && !to.contains("token"));
    // Nothing is held any more.
    assert_eq!(browser.get("account").await.location(), "sign-in");
    let code = to.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let wrong = world.auth.exchange(world.visit(), Secret::new(code), Secret::new("x".repeat(43)));
    assert!(wrong.await.is_err());
    // A wrong verifier used the code up.
    assert_eq!(world.exchange(&to).await.unwrap_err(), AccountError::Link(LinkError::CodeUnknown));
    let page = browser.get(&format!("sign-in?{ERRAND}")).await;
    let done = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    let session = world.exchange(done.location()).await.unwrap();
    assert_eq!(session.account.email.as_deref(), Some("ann@example.org"));
    assert_eq!(world.exchange(done.location()).await.unwrap_err(), AccountError::Link(LinkError::CodeUnknown));
    let claims = claims(&world, &session);
    assert_eq!((&claims["aal"], &claims["amr"][0]["method"]), (&"aal1".into(), &"password".into()));
    // The pages' own session ended; the one whose code was lost ends by itself.
    let caller = world.caller(&session);
    let now = world.server.engine().moment().now;
    let sessions = world.auth.sessions(&caller).await.unwrap();
    let lasting: Vec<_> = sessions.iter().filter(|each| each.not_after > now + 3_600_000_000).collect();
    assert_eq!(lasting.len(), 2, "{sessions:?}");
    assert!(lasting.iter().any(|each| each.id.to_string() == claims["session_id"]));
    assert!(world.auth.refresh(world.visit(), session.refresh_token).await.is_ok());
    drop(first);
    // Ended between the code and its exchange: no session.
    let page = browser.get(&format!("sign-in?{ERRAND}")).await;
    let done = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    world.auth.sign_out(world.visit(), &caller, SignOutScope::Global).await.unwrap();
    assert_eq!(world.exchange(done.location()).await.unwrap_err(), AccountError::SessionMissing);
    // By itself the page ends with who is signed in.
    let page = browser.get("sign-in").await;
    let done = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(done.location(), "account");
    let account = browser.get("account").await;
    assert!(account.body.contains("ann@example.org"), "{}", account.body);
    let out = browser.fill(&account, &[]).await;
    assert!(out.status == 200 && out.body.contains("You are signed out."), "{out:?}");
    assert_eq!(browser.get("account").await.location(), "sign-in");
    world.server.close().await;
}

/// What the token of a session says.
fn claims(world: &World, session: &Session) -> serde_json::Value {
    match world.caller(session).identity() {
        Identity::User(user) => user.claims().clone(),
        other => panic!("{other:?}"),
    }
}

async fn a_second_factor_is_demanded_before_anything_is_handed_over(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let (_, _, secret, codes) = world.second("ann@example.org").await;
    let mut browser = Browser::new(&world);
    let half = async |browser: &mut Browser<'_>| {
        let page = browser.get(&format!("sign-in?{ERRAND}")).await;
        let done = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
        assert!(done.location().starts_with("second-factor?redirect_to="), "{done:?}");
    };
    half(&mut browser).await;
    let known = browser.cookie.clone().unwrap();
    // What the browser has is no session, and leads past no second factor.
    for (name, value) in [("authorization", format!("Bearer {known}")), ("apikey", known.clone())] {
        let got = browser.send("GET", "/auth/v1/user", &[(name, &value)], "").await;
        assert_eq!(got.status, 401, "{got:?}");
    }
    let body = format!("{{\"refresh_token\":\"{known}\"}}");
    assert_eq!(browser.send("POST", "/auth/v1/token?grant_type=refresh_token", &[], &body).await.status, 400);
    let body = format!("{{\"auth_code\":\"{known}\",\"code_verifier\":\"{VERIFIER}\"}}");
    assert_eq!(browser.send("POST", "/auth/v1/token?grant_type=pkce", &[], &body).await.status, 404);
    assert_eq!(
        world.auth.hand_over(world.visit(), &Secret::new(known.clone())).await.unwrap_err(),
        AccountError::Factor(FactorError::AssuranceNeeded)
    );
    for page in ["account", "new-password"] {
        assert!(browser.get(page).await.location().starts_with("second-factor"), "{page}");
    }
    let page = browser.get(&format!("second-factor?{ERRAND}")).await;
    for wrong in ["000000", "", "' OR 1=1", "１２３４５６"] {
        let got = browser.fill(&page, &[("code", wrong)]).await;
        assert_eq!(got.status, 422, "{wrong}: {got:?}");
        assert!(got.alert().unwrap().starts_with("The code is wrong"), "{got:?}");
    }
    let got = browser.fill(&page, &[("code", "000000"), ("factor", &Uuid::nil().to_string())]).await;
    assert_eq!(got.status, 404);
    let now = world.server.engine().moment().now;
    let shown = code(&secret, now);
    let done = browser.fill(&page, &[("code", &format!("{} {}", &shown[..3], &shown[3..]))]).await;
    let session = world.exchange(done.location()).await.unwrap();
    let told = claims(&world, &session);
    assert_eq!(
        (&told["aal"], &told["amr"][0]["method"], &told["amr"][1]["method"]),
        (&"aal2".into(), &"totp".into(), &"password".into())
    );
    // What was held before the second factor is nothing now.
    browser.cookie = Some(known);
    assert_eq!(browser.get(&format!("second-factor?{ERRAND}")).await.status, 403);
    // Nor does a mail lead past it, by its link or by its code.
    for by_link in [true, false] {
        let page = browser.get(&format!("mail?{ERRAND}")).await;
        let asked = browser.fill(&page, &[("email", "ann@example.org")]).await;
        let (link, code) = world.mail("ann@example.org").await;
        let fields = [("email", "ann@example.org"), ("kind", "email"), ("code", code.as_str())];
        let got = if by_link { browser.follow(&link).await } else { browser.fill(&asked, &fields).await };
        assert!(got.location().starts_with("second-factor?"), "{got:?}");
    }
    // A recovery code stands in, once.
    for expected in [303, 422] {
        half(&mut browser).await;
        let page = browser.get(&format!("second-factor?{ERRAND}")).await;
        let got = browser.fill(&page, &[("recovery_code", codes[0].expose())]).await;
        assert_eq!(got.status, expected, "{got:?}");
        if expected == 303 {
            assert_eq!(claims(&world, &world.exchange(got.location()).await.unwrap())["aal"], "aal2");
        }
    }
    world.server.close().await;
}

async fn forms_of_others_are_refused(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    world.sign_up("ann@example.org").await;
    let mut browser = Browser::new(&world);
    let mut other = Browser::new(&world);
    let (mine, theirs) = (browser.get("sign-in").await, other.get("sign-in").await);
    let cookie = browser.cookie.clone();
    assert_ne!(mine.token(), theirs.token());
    assert_ne!(mine.token(), browser.get("sign-in").await.token(), "another each time");
    let (mine, theirs) = (mine.token(), theirs.token());
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let pages = ["sign-in", "sign-up", "mail", "code", "recover", "new-password", "second-factor", "sign-out"];
    for page in pages {
        let body = |token: &str| form(&[("form_token", token), ("email", "ann@example.org"), ("password", PASSWORD)]);
        let same = ("sec-fetch-site", "same-origin");
        let (salt, mac) = mine.split_once('.').unwrap();
        let cases = [
            ("another's salt", cookie.as_ref(), vec![kind, same], body(&format!("{}.{mac}", &theirs[..salt.len()]))),
            ("no salt", cookie.as_ref(), vec![kind, same], body(mac)),
            ("nothing but salt", cookie.as_ref(), vec![kind, same], body(salt)),
            ("no cookie", None, vec![kind, same], body(&mine)),
            ("another's cookie", other.cookie.as_ref(), vec![kind, same], body(&mine)),
            ("another's token", cookie.as_ref(), vec![kind, same], body(&theirs)),
            (
                "no token",
                cookie.as_ref(),
                vec![kind, same],
                form(&[("email", "ann@example.org"), ("password", PASSWORD)]),
            ),
            ("two tokens", cookie.as_ref(), vec![kind, same], format!("form_token=x&{}", body(&mine))),
            ("another site", cookie.as_ref(), vec![kind, ("sec-fetch-site", "cross-site")], body(&mine)),
            ("a neighbour", cookie.as_ref(), vec![kind, ("sec-fetch-site", "same-site")], body(&mine)),
            ("another origin", cookie.as_ref(), vec![kind, ("origin", "https://evil.example")], body(&mine)),
            ("no origin", cookie.as_ref(), vec![kind, ("origin", "null")], body(&mine)),
            ("a port beside", cookie.as_ref(), vec![kind, ("origin", "http://127.0.0.1:8091")], body(&mine)),
        ];
        for (what, cookie, headers, body) in cases {
            let mut attacked = Browser { world: &world, cookie: cookie.cloned() };
            let got = attacked.send("POST", &format!("/auth/ui/{page}"), &headers, &body).await;
            assert_eq!(got.status, 403, "{page}, {what}: {got:?}");
            assert!(got.headers.get("location").is_none() && !got.body.contains(PASSWORD), "{page}, {what}");
        }
        // Other forms of a body than a form's own, as scripts could send them from elsewhere.
        for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
            let mut attacked = Browser { world: &world, cookie: cookie.clone() };
            let headers: Vec<_> = [("content-type", kind)].into_iter().filter(|(_, kind)| !kind.is_empty()).collect();
            let got = attacked.send("POST", &format!("/auth/ui/{page}"), &headers, &body(&mine)).await;
            assert_eq!(got.status, 415, "{page} {kind}");
        }
    }
    while world.auth.deliver().await.unwrap() > 0 {}
    assert_eq!(world.auth.inbox().unwrap(), []);
    // The control: the same form as it should be.
    browser.cookie = cookie;
    let page = browser.get("sign-in").await;
    assert_eq!(browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await.status, 303);
    world.server.close().await;
}

async fn what_anybody_writes_stays_text(on: On) {
    let Some(world) = World::new(on, "confirm_email = true").await else { return };
    let canary = "\"'><canary onload=alert(1)>{{7*7}}";
    let encoded = form(&[("x", canary)]).split_off(2);
    let mut browser = Browser::new(&world);
    let mut seen = 0;
    let mut check = |got: &Got, what: &str| {
        assert!(!got.body.contains("<canary") && !got.body.contains("\"'>"), "{what}: {}", got.body);
        assert!(!format!("{:?}", got.headers).contains("canary onload"), "{what}: {:?}", got.headers);
        seen += usize::from(got.body.contains("&lt;canary"));
    };
    let names = [
        "redirect_to",
        "code_challenge",
        "code_challenge_method",
        "state",
        "code",
        "error",
        "error_code",
        "error_description",
        "for",
        "hop",
    ];
    for page in ["sign-in", "sign-up", "mail", "recover", "new-password", "second-factor", "continue", "account"] {
        for name in names {
            let others = if name == "state" { ERRAND.replace("a%26b", "") } else { String::new() };
            let got = browser.get(&format!("{page}?{}&{name}={encoded}", others.trim_end_matches("&state="))).await;
            check(&got, &format!("{page} {name}"));
        }
        let got = browser
            .send("GET", &format!("/auth/ui/{page}?hop=1"), &[("user-agent", canary), ("referer", canary)], "")
            .await;
        check(&got, page);
    }
    let page = browser.get("sign-in").await;
    let token = page.token();
    for page in ["sign-in", "sign-up", "mail", "code", "recover", "new-password", "second-factor", "sign-out"] {
        for name in ["email", "password", "code", "kind", "again", "factor", "recovery_code"] {
            let good = [("email", "ann@example.org"), ("kind", "email"), ("password", PASSWORD)];
            let mut fields: Vec<(&str, &str)> = good.into_iter().filter(|(other, _)| *other != name).collect();
            fields.extend([("form_token", token.as_str()), (name, canary)]);
            let got = browser.post(page, &fields).await;
            check(&got, &format!("{page} {name}"));
        }
    }
    // The control: it is looked for where it is shown.
    assert!(seen >= 4, "{seen}");
    world.server.close().await;
}

async fn browsers_are_sent_nowhere_else(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    world.sign_up("ann@example.org").await;
    let mut browser = Browser::new(&world);
    let token = browser.get("sign-in").await.token();
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    for url in [
        "https://evil.example/",
        "//evil.example/",
        "https:evil.example",
        "https://app.example.org.evil.example/",
        "https://app.example.org@evil.example/",
        "https://app.example.org:444/",
        "http://app.example.org/",
        "https://app.example.org/../..//evil.example/..",
        "https://app.example.org\\@evil.example/",
        "https://app.example.org/\r\nset-cookie: a=b",
        "javascript:alert(1)",
        "javascript://app.example.org/%0aalert(1)",
        "data:text/html,x",
        "/welcome",
        " https://app.example.org/",
        "https://app.example.org/<script>",
        &format!("https://app.example.org/{}", "x".repeat(1_200)),
    ] {
        let query = form(&[("redirect_to", url), ("code_challenge", challenge), ("code_challenge_method", "S256")]);
        for page in ["sign-in", "sign-up", "mail", "recover", "second-factor", "new-password", "continue"] {
            let got = browser.get(&format!("{page}?{query}")).await;
            assert_eq!(got.status, 400, "{page} {url}: {got:?}");
            assert!(
                got.headers.get("location").is_none() && !got.body.contains("evil.example"),
                "{page} {url}: {}",
                got.body
            );
        }
        let fields = [("form_token", token.as_str()), ("email", "ann@example.org"), ("password", PASSWORD)];
        let got = browser.post(&format!("sign-in?{query}"), &fields).await;
        assert_eq!(got.status, 400, "{url}");
        assert!(got.headers.get("location").is_none(), "{url}");
    }
    // Nor anywhere without PKCE, or with what is none.
    let to = "https://app.example.org/in";
    for more in [
        vec![],
        vec![("code_challenge", challenge)],
        vec![("code_challenge", challenge), ("code_challenge_method", "plain")],
        vec![("code_challenge", ""), ("code_challenge_method", "s256")],
        vec![("code_challenge", "short"), ("code_challenge_method", "s256")],
    ] {
        let query = form(&[vec![("redirect_to", to)], more].concat());
        let got = browser.get(&format!("sign-in?{query}")).await;
        assert!(got.status == 400 && got.headers.get("location").is_none(), "{query}: {got:?}");
    }
    // Another name of this server leads to its own, and to nobody else's.
    for host in ["localhost:8090", "evil.example", "127.0.0.1.evil.example:8090"] {
        let request =
            Request::builder().uri("/auth/ui/sign-in?a=b").header("host", host).body(Full::new(Bytes::new())).unwrap();
        let connection = Connection { peer: [192, 0, 2, 1].into(), linger: Linger::default() };
        let response = serve(&world.http, &connection, request).await;
        assert_eq!(response.headers()["location"], "http://127.0.0.1:8090/auth/ui/sign-in?a=b&hop=1", "{host}");
    }
    // Clients that know no more than providers find the pages by that.
    let got = browser.send("GET", &format!("/auth/v1/authorize?provider=pages&{ERRAND}&scopes=x"), &[], "").await;
    assert_eq!(got.status, 302);
    assert_eq!(got.header("location"), format!("{PUBLIC}/auth/ui/sign-in?{ERRAND}"));
    world.server.close().await;
}

async fn every_page_says_what_browsers_must_not_do(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    world.second("ann@example.org").await;
    let mut browser = Browser::new(&world);
    let mut all = Vec::new();
    for page in ["sign-in", "sign-up", "mail", "recover", "new-password", "second-factor", "continue", "account"] {
        all.push(browser.get(page).await);
        all.push(browser.get(&format!("{page}?{ERRAND}")).await);
        all.push(browser.get(&format!("{page}?redirect_to=https://evil.example")).await);
        all.push(browser.send("HEAD", &format!("/auth/ui/{page}"), &[], "").await);
    }
    let page = browser.get(&format!("sign-in?{ERRAND}")).await;
    for path in ["sign-in", "sign-up", "mail", "code", "recover", "new-password", "second-factor", "sign-out"] {
        all.push(
            browser.post(path, &[("form_token", &page.token()), ("email", "x@example.org"), ("kind", "email")]).await,
        );
        all.push(browser.post(path, &[]).await);
    }
    all.push(browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await);
    all.push(browser.get(&format!("second-factor?{ERRAND}")).await);
    for got in &all {
        let policy = got.header("content-security-policy");
        if got.header("cache-control") == "public, max-age=300" {
            // A HEAD of where mails lead back to.
            continue;
        }
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'"),
            "{got:?}"
        );
        assert!(policy.ends_with("; frame-ancestors 'none'; base-uri 'none'") && !policy.contains("evil"), "{got:?}");
        assert_eq!(got.header("cache-control"), "no-store");
        assert_eq!(got.header("referrer-policy"), "same-origin");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(got.header("x-frame-options"), "DENY");
        assert!(got.status == 303 || got.header("content-type") == "text/html; charset=utf-8", "{got:?}");
        assert!(!got.body.contains("<script") && !got.body.contains("http-equiv") && !got.body.contains(" style="));
        let elsewhere: Vec<_> = got.body.split(['"', ' ']).filter(|part| part.starts_with("http")).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }
    assert!(page.header("content-security-policy").contains("form-action 'self' https://app.example.org;"));
    let style = browser.get("style.css").await;
    assert!(style.status == 200 && style.header("content-type") == "text/css; charset=utf-8");
    assert!(!style.body.contains("@import") && !style.body.contains("url("));
    for missing in ["logo", "own.css", "nothing", ""] {
        assert_eq!(browser.get(missing).await.status, 404, "{missing}");
    }
    world.server.close().await;
}

async fn a_sign_in_is_under_a_name_that_nobody_knew(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    world.sign_up("ann@example.org").await;
    // What an attacker had the browser be known by, and its form.
    let planted = "p".repeat(43);
    let mut browser = Browser { world: &world, cookie: Some(planted.clone()) };
    let page = browser.get("sign-in").await;
    let done = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(done.location(), "account");
    let first = browser.cookie.clone().unwrap();
    assert_ne!(first, planted);
    let mut attacker = Browser { world: &world, cookie: Some(planted) };
    assert_eq!(attacker.get("account").await.location(), "sign-in");
    assert_eq!(browser.get("account").await.status, 200);
    // Another sign-in, another name; the one before holds nothing.
    let page = browser.get("sign-in").await;
    browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    assert_ne!(browser.cookie.as_deref(), Some(first.as_str()));
    attacker.cookie = Some(first);
    assert_eq!(attacker.get("account").await.location(), "sign-in");
    for bad in ["", "x", &"x".repeat(44), &"=".repeat(43), "\"x\""] {
        let mut odd = Browser { world: &world, cookie: Some(bad.to_owned()) };
        odd.get("sign-in").await;
        assert_eq!(odd.cookie.unwrap().len(), 43, "{bad}");
    }
    world.server.close().await;
}

async fn mails_lead_back_to_the_browser_that_asked(on: On) {
    let Some(world) = World::new(on, "confirm_email = true").await else { return };
    let mut browser = Browser::new(&world);
    let page = browser.get(&format!("sign-up?{ERRAND}")).await;
    let weak = browser.fill(&page, &[("email", "ann@example.org"), ("password", "password")]).await;
    assert!(weak.status == 422 && weak.alert().unwrap().contains("guessed first"), "{weak:?}");
    let asked = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    assert_eq!((asked.status, asked.alert()), (200, None));
    // The password is right, the address not confirmed: the same page, by which a mail can be had again.
    let page = browser.get(&format!("sign-in?{ERRAND}")).await;
    let waits = browser.fill(&page, &[("email", "ann@example.org"), ("password", PASSWORD)]).await;
    assert!(waits.status == 200 && waits.body.contains("Send it again"), "{waits:?}");
    // In another browser the link is of no use, and it is used up.
    let (link, _) = world.mail("ann@example.org").await;
    let mut other = Browser::new(&world);
    other.get("sign-in").await;
    let lost = other.follow(&link).await;
    assert!(lost.alert().unwrap().starts_with("This link belongs to another browser"), "{lost:?}");
    // The address is confirmed all the same: the mail was read. By a link of another mail, in the browser that asks for it:
    let page = browser.get(&format!("mail?{ERRAND}")).await;
    let asked = browser.fill(&page, &[("email", "ann@example.org")]).await;
    assert_eq!(asked.status, 200);
    let (link, _) = world.mail("ann@example.org").await;
    // Looking at it uses nothing up.
    let seen = browser.send("HEAD", link.strip_prefix(PUBLIC).unwrap(), &[], "").await;
    assert_eq!(seen.status, 200);
    let done = browser.follow(&link).await;
    assert_eq!(world.exchange(done.location()).await.unwrap().account.email.as_deref(), Some("ann@example.org"));
    // By its code, in the page that waits for it.
    let page = browser.get(&format!("mail?{ERRAND}")).await;
    let asked = browser.fill(&page, &[("email", "ann@example.org")]).await;
    let (_, code) = world.mail("ann@example.org").await;
    let fields = [("email", "ann@example.org"), ("kind", "email")];
    let wrong = browser.fill(&asked, &[&fields[..], &[("code", "12345")]].concat()).await;
    assert!(wrong.status == 403 && wrong.alert().unwrap().contains("wrong"), "{wrong:?}");
    let done = browser.fill(&asked, &[&fields[..], &[("code", &code)]].concat()).await;
    assert!(world.exchange(done.location()).await.is_ok());
    world.server.close().await;
}

/// A page without what is another in each.
fn comparable(body: &str, email: &str) -> String {
    let mut parts = body.replace(email, "EMAIL");
    while let Some(at) = parts.find("name=\"form_token\" value=\"") {
        let end = at + parts[at..].find('>').unwrap();
        parts.replace_range(at..end, "TOKEN");
    }
    parts
}

async fn nobody_learns_who_has_an_account(on: On) {
    let Some(world) = World::new(on, "confirm_email = true").await else { return };
    let mut browser = Browser::new(&world);
    let page = browser.get("sign-up").await;
    browser.fill(&page, &[("email", "known@example.org"), ("password", PASSWORD)]).await;
    let (link, _) = world.mail("known@example.org").await;
    browser.follow(&link).await;
    let mut browser = Browser::new(&world);
    for (path, fields) in [
        ("sign-in", vec![("password", "a wrong password")]),
        ("sign-up", vec![("password", PASSWORD)]),
        ("mail", vec![]),
        ("recover", vec![]),
        ("code", vec![("kind", "email"), ("code", "000000")]),
        ("code", vec![("kind", "recovery"), ("again", "yes")]),
        ("code", vec![("kind", "signup"), ("again", "yes")]),
    ] {
        let page = browser.get("sign-in").await;
        let token = page.token();
        let mut told = Vec::new();
        for email in ["known@example.org", "other@example.org"] {
            let fields = [&[("form_token", token.as_str()), ("email", email)], &fields[..]].concat();
            let got = browser.post(path, &fields).await;
            told.push((got.status, comparable(&got.body, email), got.headers.get("set-cookie").is_some()));
        }
        assert_eq!(told[0], told[1], "{path}");
    }
    world.server.close().await;
}

async fn a_forgotten_password_is_replaced(on: On) {
    let Some(world) = World::new(on, "").await else { return };
    let stolen = world.sign_up("ann@example.org").await;
    let (_, _, secret, _) = world.second("bob@example.org").await;
    let mut browser = Browser::new(&world);
    let page = browser.get(&format!("recover?{ERRAND}")).await;
    let asked = browser.fill(&page, &[("email", "ann@example.org")]).await;
    assert_eq!(asked.status, 200);
    let (link, _) = world.mail("ann@example.org").await;
    let on = browser.follow(&link).await;
    assert!(on.location().starts_with("new-password?"), "{on:?}");
    let page = browser.get(on.location()).await;
    assert!(page.body.contains("autocomplete=\"new-password\""));
    for bad in ["short", "password", "ann@example.org"] {
        let got = browser.fill(&page, &[("password", bad)]).await;
        assert!(got.status == 422 && !got.body.contains(&format!("{bad}\" required")), "{bad}: {got:?}");
    }
    let done = browser.fill(&page, &[("password", "another long password")]).await;
    let session = world.exchange(done.location()).await.unwrap();
    assert_eq!(claims(&world, &session)["amr"][0]["method"], "recovery");
    // Whoever had a session before has none.
    assert!(world.auth.refresh(world.visit(), stolen.refresh_token).await.is_err());
    let request = PasswordSignIn { email: "ann@example.org".into(), password: Secret::new("another long password") };
    assert!(world.auth.sign_in(world.visit(), request).await.is_ok());
    // A second factor comes before the new password.
    let page = browser.get(&format!("recover?{ERRAND}")).await;
    let asked = browser.fill(&page, &[("email", "bob@example.org")]).await;
    let (_, mailed) = world.mail("bob@example.org").await;
    let fields = [("email", "bob@example.org"), ("kind", "recovery"), ("code", mailed.as_str())];
    let on = browser.fill(&asked, &fields).await;
    assert!(on.location().starts_with("second-factor?"), "{on:?}");
    let page = browser.get(on.location()).await;
    // Not past it.
    let past =
        browser.post("new-password", &[("form_token", &page.token()), ("password", "another long password")]).await;
    assert!(past.location().starts_with("second-factor?"), "{past:?}");
    let shown = code(&secret, world.server.engine().moment().now);
    let on = browser.fill(&page, &[("code", &shown)]).await;
    assert!(on.location().starts_with("new-password?"), "{on:?}");
    let page = browser.get(on.location()).await;
    let done = browser.fill(&page, &[("password", "another long password")]).await;
    assert_eq!(claims(&world, &world.exchange(done.location()).await.unwrap())["aal"], "aal2");
    world.server.close().await;
}
