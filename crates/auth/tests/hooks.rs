//! Hooks on a real store, asked in memory: what they are told, what they may say, and that nothing is left of what they refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "providers/fake.rs"]
#[allow(dead_code)]
mod fake;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fake::{OWN, World, claims, world};
use serde_json::{Map, Value as Json, json};
use std::sync::{Arc, Mutex};
use undergird_auth::{FetchError, Incoming};
use undergird_engine::accounts::*;
use undergird_plan::Caller;

const SECRETS: [&[u8]; 2] = [&[7; 24], &[9; 32]];

/// Calls that were made, and what the next ones are answered.
#[derive(Clone)]
struct Owner {
    asked: Arc<Mutex<Vec<(String, Json)>>>,
    says: Arc<Mutex<Says>>,
}

type Says = Box<dyn Fn(&str, &Json) -> Result<(u16, String), FetchError> + Send>;

fn yes(name: &str, told: &Json) -> Result<(u16, String), FetchError> {
    match name {
        "customize-access-token" => Ok((200, json!({ "claims": told["claims"] }).to_string())),
        _ => Ok((200, "{}".into())),
    }
}

impl Owner {
    /// A world whose hooks are this owner's; each call's signature is looked at.
    async fn of(settings: &str) -> (World, Owner) {
        let secrets = SECRETS.map(|secret| format!("v1,whsec_{}", STANDARD.encode(secret))).join("|");
        let hook = |name: &str| {
            format!("[auth.hooks.{name}]\nurl = \"https://hooks.x.org/{name}\"\nsecrets = \"{secrets}\"\n")
        };
        let hooks = format!("{settings}\n{}{}", hook("before_user_created"), hook("custom_access_token"));
        let world = world(&hooks).await;
        let owner = Owner { asked: Arc::default(), says: Arc::new(Mutex::new(Box::new(yes))) };
        let keeps = owner.clone();
        world.fake.hook(move |request| {
            let header = |wanted: &str| {
                request.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone()).unwrap()
            };
            let body = String::from_utf8(request.body.clone().unwrap()).unwrap();
            let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
            let of = |secret: &[u8]| {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
                format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes())))
            };
            assert_eq!(header("webhook-signature"), SECRETS.map(of).join(" "));
            assert!(request.timeout.as_secs() == 5 && request.bytes_max == 200 * 1024);
            let told: Json = serde_json::from_str(&body).unwrap();
            let name = told["metadata"]["name"].as_str().unwrap().to_owned();
            assert_eq!(told["metadata"]["uuid"], json!(header("webhook-id")));
            let says = keeps.says.lock().unwrap();
            keeps.asked.lock().unwrap().push((name.clone(), told.clone()));
            says(&name, &told).map(|(status, body)| Incoming { status, body: body.into_bytes() })
        });
        (world, owner)
    }

    fn says(&self, answer: impl Fn(&str, &Json) -> Result<(u16, String), FetchError> + Send + 'static) {
        *self.says.lock().unwrap() = Box::new(answer);
    }

    /// Refuses, or fails at, one hook.
    fn fails(&self, hook: &'static str, answer: Result<(u16, &'static str), FetchError>) {
        self.says(move |name, told| match name == hook {
            true => answer.clone().map(|(status, body)| (status, body.to_owned())),
            false => yes(name, told),
        });
    }

    fn asked(&self) -> Vec<(String, Json)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn told(session: &Session) -> Json {
    let claims = session.access_token.expose().split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

async fn sign_up(world: &World, email: &str) -> Result<SignedUp, AccountError> {
    let data = Map::from_iter([("name".to_owned(), json!("Ann"))]);
    let password = Secret::new(fake::PASSWORD);
    world.auth.sign_up(world.visit(), SignUp { email: email.into(), password, data, wish: Wish::default() }).await
}

async fn arrive(world: &World, email: &str) -> Result<Session, AccountError> {
    let away = world.leave(OWN).await;
    let code = world.fake.log_in(&away.url, &claims("1", email));
    world.back(&away, &code).await
}

const REFUSAL: &str = r#"{"error":{"http_code":422,"message":"not here"}}"#;

fn refused() -> AccountError {
    AccountError::Hook(HookError::Refused { status: 422, message: "not here".into() })
}

/// Whether there is no trace of an account: no row of it, of its profile, of its identity, no session.
async fn is_empty(world: &World) -> bool {
    for collection in ["_users", "people", "_identities", "_sessions", "_refresh_tokens"] {
        if !world.rows(collection).await.is_empty() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_hook_is_told_of_who_would_begin_and_the_account_is_that_one() {
    let (world, owner) = Owner::of("").await;
    let SignedUp::In(session) = sign_up(&world, "Ann@x.org").await.unwrap() else { panic!("no session") };
    let asked = owner.asked();
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["before-user-created", "customize-access-token"]);
    let (user, token) = (&asked[0].1["user"], &asked[1].1);
    assert_eq!(user["id"], json!(session.account.id.to_string()));
    assert_eq!((&user["email"], &user["user_metadata"]["name"]), (&json!("ann@x.org"), &json!("Ann")));
    assert_eq!(user["app_metadata"], json!({ "provider": "email", "providers": ["email"] }));
    assert!(!asked[0].1.to_string().contains(fake::PASSWORD) && !asked[0].1.to_string().contains("argon2"));
    assert_eq!((&token["user_id"], &token["authentication_method"]), (&user["id"], &json!("password")));
    assert_eq!(token["claims"], told(&session));
    world.caller(&session);
}

#[tokio::test]
async fn who_is_refused_leaves_nothing_behind_wherever_from() {
    let answers = [
        (Ok((200, REFUSAL)), refused()),
        (Ok((422, REFUSAL)), refused()),
        (Err(FetchError::TimedOut), AccountError::Hook(HookError::TimedOut)),
        (Err(FetchError::TooLong), AccountError::Hook(HookError::TooLong)),
        (Err("no way".into()), AccountError::Hook(HookError::Broken("no way".into()))),
        (Ok((500, REFUSAL)), AccountError::Hook(HookError::Broken("the status is 500".into()))),
        (Ok((302, "")), AccountError::Hook(HookError::Broken("the status is 302".into()))),
        (Ok((200, "<p>")), AccountError::Hook(HookError::Broken("the answer is not a JSON object".into()))),
    ];
    for (answer, expected) in answers {
        let (world, owner) = Owner::of("anonymous = true").await;
        owner.fails("before-user-created", answer);
        assert_eq!(sign_up(&world, "ann@x.org").await.err(), Some(expected.clone()));
        assert_eq!(world.auth.sign_up_anonymously(world.visit(), Map::new()).await.err(), Some(expected.clone()));
        assert_eq!(arrive(&world, "ann@x.org").await.err(), Some(expected.clone()));
        let by_key = Caller::secret(world.visit().moment);
        let invite = InviteRequest { email: "ann@x.org".into(), data: Map::new(), redirect_to: None };
        assert_eq!(world.auth.invite(world.visit(), &by_key, invite).await.err(), Some(expected));
        assert!(is_empty(&world).await);
        // Each was asked once, and no mail is on its way.
        assert_eq!(owner.asked().len(), 4);
        assert!(world.rows("_mails").await.is_empty());
        // What the owner makes by hand needs no leave.
        world.make("bea@x.org").await;
        assert!(owner.asked().is_empty());
    }
}

/// Known and unknown addresses are told apart by nothing that a hook says.
#[tokio::test]
async fn a_refusal_tells_not_who_has_an_account() {
    let (world, owner) = Owner::of("confirm_email = true").await;
    world.member("ann@x.org").await;
    owner.asked();
    owner.fails("before-user-created", Ok((200, REFUSAL)));
    for email in ["ann@x.org", "bea@x.org"] {
        assert_eq!(sign_up(&world, email).await.err(), Some(refused()), "{email}");
        let asked = owner.asked();
        assert_eq!((asked.len(), &asked[0].1["user"]["email"]), (1, &json!(email)));
    }
}

/// The account of a magic link begins when its mail leaves, so it is there that the hook is asked; the client hears nothing.
#[tokio::test]
async fn a_mail_to_who_is_refused_is_not_sent() {
    let (world, owner) = Owner::of("").await;
    let ask = || async {
        let asked = LinkRequest { email: "ann@x.org".into(), create: true, data: Map::new(), wish: Wish::default() };
        world.auth.send_link(world.visit(), asked).await.unwrap();
        world.auth.deliver().await.unwrap()
    };
    owner.fails("before-user-created", Ok((200, REFUSAL)));
    assert_eq!(ask().await, 0);
    assert!(is_empty(&world).await && world.rows("_mails").await.is_empty());
    // A hook that does not answer is no refusal: the mail waits.
    owner.fails("before-user-created", Err(FetchError::TimedOut));
    assert_eq!(ask().await, 0);
    assert!(is_empty(&world).await);
    assert_eq!(world.rows("_mails").await.len(), 1);
    owner.says(yes);
    assert_eq!(ask().await, 1);
    assert_eq!(world.rows("_users").await.len(), 1);
}

#[tokio::test]
async fn a_hook_adds_claims_to_every_token_and_roles() {
    let (world, owner) = Owner::of("").await;
    owner.says(|name, told| match name {
        "customize-access-token" => {
            let mut claims = told["claims"].clone();
            claims["plan"] = json!("gold");
            claims["app_metadata"]["roles"] = json!(["editor"]);
            Ok((200, json!({ "claims": claims }).to_string()))
        }
        _ => Ok((204, String::new())),
    });
    let SignedUp::In(first) = sign_up(&world, "ann@x.org").await.unwrap() else { panic!("no session") };
    let second = world.password("ann@x.org").await.unwrap();
    let third = world.auth.refresh(world.visit(), second.refresh_token.clone()).await.unwrap();
    let fourth = arrive(&world, "bea@x.org").await.unwrap();
    let methods: Vec<Json> = owner
        .asked()
        .into_iter()
        .filter(|(name, _)| name == "customize-access-token")
        .map(|(_, told)| told["authentication_method"].clone())
        .collect();
    assert_eq!(methods, [json!("password"), json!("password"), json!("token_refresh"), json!("oauth")]);
    for session in [*first, second, third, fourth] {
        assert_eq!((&told(&session)["plan"], &told(&session)["aal"]), (&json!("gold"), &json!("aal1")));
        let caller = world.caller(&session);
        let undergird_plan::Identity::User(user) = caller.identity() else { panic!("nobody") };
        assert_eq!(user.roles(), ["editor"]);
        // The account itself is as it was.
        assert_eq!(session.account.app_metadata.get("roles"), None);
    }
}

#[tokio::test]
async fn no_token_is_signed_against_the_hook_and_no_session_is_left() {
    let (world, owner) = Owner::of("").await;
    world.make("ann@x.org").await;
    let raised = |name: &str, told: &Json| {
        let mut claims = told["claims"].clone();
        claims["aal"] = json!("aal2");
        match name {
            "customize-access-token" => Ok((200, json!({ "claims": claims }).to_string())),
            _ => Ok((200, "{}".into())),
        }
    };
    owner.says(raised);
    let why = world.password("ann@x.org").await.err();
    assert_eq!(why, Some(AccountError::Hook(HookError::Broken("the claim aal is another".into()))));
    owner.fails("customize-access-token", Ok((200, REFUSAL)));
    assert_eq!(world.password("ann@x.org").await.err(), Some(refused()));
    owner.fails("customize-access-token", Ok((200, "{}")));
    assert!(world.password("ann@x.org").await.is_err());
    owner.says(|_, told| {
        let mut claims = told["claims"].clone();
        claims["much"] = json!("x".repeat(16_000));
        Ok((200, json!({ "claims": claims }).to_string()))
    });
    assert!(world.password("ann@x.org").await.is_err());
    for collection in ["_sessions", "_refresh_tokens"] {
        assert!(world.rows(collection).await.is_empty(), "{collection}");
    }
    let ended = world.events().await.into_iter().filter(|(event, _)| event == "logout").count();
    assert_eq!(ended, 4);
}

/// A refresh token is used up when there is a token to give for it, and not before: an outage of a hook signs nobody out.
#[tokio::test]
async fn a_refresh_outlives_an_outage() {
    let (world, owner) = Owner::of("").await;
    world.make("ann@x.org").await;
    let session = world.password("ann@x.org").await.unwrap();
    let refresh = || world.auth.refresh(world.visit(), session.refresh_token.clone());
    owner.fails("customize-access-token", Err(FetchError::TimedOut));
    assert_eq!(refresh().await.err(), Some(AccountError::Hook(HookError::TimedOut)));
    // Longer than the time in which an answer may be asked for again.
    let late = world.visit_later(60_000_000);
    owner.says(yes);
    let next = world.auth.refresh(late, session.refresh_token.clone()).await.unwrap();
    assert_ne!(next.refresh_token.expose(), session.refresh_token.expose());
    // Once for the outage, once for the refresh.
    let asked = owner.asked().into_iter().filter(|(_, told)| told["authentication_method"] == json!("token_refresh"));
    assert_eq!(asked.count(), 2);
}
