//! Mails and what they prove, on a real store: each kind of link and code, once; what must never work; and what stays hidden.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use undergird_auth::{Allowance, Allowances, Auth, Keys, Options, Templates, Transport};
use undergird_engine::accounts::*;
use undergird_engine::{Engine, Record};
use undergird_model::{Source, definition};
use undergird_plan::caller::Moment;
use undergird_plan::request::{Request, Verb};
use undergird_plan::{Caller, Identity};
use undergird_store::{Store, schema};
use undergird_store_sqlite::{Options as SqliteOptions, SqliteStore};

const PEOPLE: &str = r#"
[fields]
id = { type = "uuid" }
email = { type = "email", unique = true, optional = true }
name = { type = "text", default = "?" }
"#;
const PASSWORD: &str = "a rather long password";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const SIGN_IN: &[LinkKind] = &[LinkKind::Confirmation, LinkKind::MagicLink];
const RECOVERY: &[LinkKind] = &[LinkKind::Recovery];
const CHANGE: &[LinkKind] = &[LinkKind::EmailChange];

struct World {
    engine: Arc<Engine>,
    auth: Auth,
    keys: Keys,
}

async fn world(settings: &str) -> World {
    let generous = Allowance { burst: 10_000, every: Duration::from_secs(1) };
    let allowances = Allowances {
        mails_to: generous,
        mails_from: generous,
        mail_codes: generous,
        address: generous,
        ..Allowances::default()
    };
    world_with(settings, allowances, Transport::Inbox, &[]).await
}

async fn world_with(settings: &str, allowances: Allowances, transport: Transport, mails: &[(&str, &str)]) -> World {
    let app = format!("name = \"Blög\"\n[auth]\nprofile = \"people\"\n{settings}\n");
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
    let files: Vec<_> = mails.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let templates = Templates::with(&files).unwrap();
    let options = Options { allowances, transport, templates, ..Options::new("https://api.x.org") };
    let auth = Auth::open(engine.clone(), &keys, &options).await.unwrap();
    World { engine, auth, keys }
}

/// What a mail had in it.
#[derive(Debug, PartialEq)]
struct Got {
    subject: String,
    link: String,
    token: String,
    code: String,
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

    fn mails(&self) -> Vec<InboxMail> {
        self.auth.inbox().unwrap()
    }

    /// The newest mail, after sending what is due.
    async fn mail_to(&self, to: &str) -> Got {
        self.auth.deliver().await.unwrap();
        let mails = self.mails();
        let mail = mails.first().unwrap_or_else(|| panic!("no mail"));
        assert_eq!(mail.to, to);
        let line = |test: fn(&str) -> bool| mail.text.lines().find(|line| test(line)).unwrap_or_default().to_owned();
        let link = line(|line| line.starts_with("https://"));
        let token = link.split("token=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default().to_owned();
        let code = line(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
        Got { subject: mail.subject.clone(), link, token, code }
    }

    async fn sign_up(&self, email: &str, password: &str) -> SignedUp {
        let (email, password) = (email.to_owned(), Secret::new(password));
        let request = SignUp { email, password, data: Map::new(), wish: Wish::default() };
        self.auth.sign_up(self.visit(), request).await.unwrap()
    }

    /// An account with a confirmed address.
    async fn member(&self, email: &str) -> Session {
        self.sign_up(email, PASSWORD).await;
        let got = self.mail_to(email).await;
        self.verify(SIGN_IN, &got.token).await.unwrap()
    }

    async fn verify(&self, kinds: &'static [LinkKind], token: &str) -> Result<Session, AccountError> {
        self.auth.verify(self.visit(), kinds, Proof::Link(Secret::new(token))).await
    }

    async fn verify_code(&self, kinds: &'static [LinkKind], email: &str, code: &str) -> Result<Session, AccountError> {
        let proof = Proof::Code { email: email.into(), code: Secret::new(code) };
        self.auth.verify(self.visit(), kinds, proof).await
    }

    async fn sign_in(&self, email: &str, password: &str) -> Result<Session, AccountError> {
        let request = PasswordSignIn { email: email.into(), password: Secret::new(password) };
        self.auth.sign_in(self.visit(), request).await
    }

    async fn otp(&self, email: &str, create: bool) -> Result<(), AccountError> {
        let request = LinkRequest { email: email.into(), create, data: Map::new(), wish: Wish::default() };
        self.auth.send_link(self.visit(), request).await
    }

    async fn recover(&self, email: &str) -> Result<(), AccountError> {
        self.auth.recover(self.visit(), email.into(), Wish::default()).await
    }

    async fn update(&self, session: &Session, change: AccountChange) -> Result<Account, AccountError> {
        self.update_later(session, 0, change).await
    }

    async fn update_later(
        &self,
        session: &Session,
        later: i64,
        change: AccountChange,
    ) -> Result<Account, AccountError> {
        let caller = self.caller(session).unwrap();
        self.auth.update(self.visit_later(later), &caller, change).await
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

    async fn rows(&self, collection: &str) -> Vec<Record> {
        let system = Caller::system(self.engine.moment());
        self.engine.records(&system, Request::new(collection, Verb::Read)).await.unwrap()
    }

    async fn follow(&self, link: &str) -> Landing {
        let value = |name: &str| {
            let pairs = link.split_once('?').unwrap().1.split('&');
            pairs.filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let kinds: &'static [LinkKind] = match value("type").unwrap() {
            "recovery" => RECOVERY,
            "email_change" => CHANGE,
            _ => SIGN_IN,
        };
        let redirect_to = value("redirect_to").map(|url| url.replace("%3A", ":").replace("%2F", "/"));
        let proof = value("token").map(|token| Proof::Link(Secret::new(token)));
        self.auth.follow(self.visit(), FollowedLink { kinds: Some(kinds), proof, redirect_to }).await
    }
}

const EXPIRED: Option<AccountError> = Some(AccountError::Link(LinkError::Expired));

#[tokio::test]
async fn a_sign_up_is_confirmed_by_its_mail_once() {
    let world = world("confirm_email = true").await;
    let SignedUp::Unconfirmed(account) = world.sign_up("Ann@x.org", PASSWORD).await else { panic!("signed in") };
    assert!(account.email_confirmed_at.is_none());
    assert_eq!(world.sign_in("ann@x.org", PASSWORD).await.err(), Some(AccountError::EmailNotConfirmed));
    let got = world.mail_to("ann@x.org").await;
    assert_eq!(got.subject, "Confirm your address for Blög");
    assert!(got.link.starts_with("https://api.x.org/auth/v1/verify?token=ug_link_"), "{}", got.link);
    assert_eq!(world.verify(RECOVERY, &got.token).await.err(), EXPIRED, "for nothing else");
    let session = world.verify(SIGN_IN, &got.token).await.unwrap();
    assert!(session.account.email_confirmed_at.is_some() && session.account.last_sign_in_at.is_some());
    assert_eq!(session.account.identities[0].data["email_verified"], true);
    assert_eq!(world.verify(SIGN_IN, &got.token).await.err(), EXPIRED);
    assert_eq!(world.verify_code(SIGN_IN, "ann@x.org", &got.code).await.err(), EXPIRED);
    world.sign_in("ann@x.org", PASSWORD).await.unwrap();
    assert!(world.rows("_mails").await.is_empty() && world.rows("_one_time_tokens").await.is_empty());
}

#[tokio::test]
async fn a_hundred_uses_at_once_give_one_session() {
    let world = Arc::new(world("confirm_email = true").await);
    world.member("ann@x.org").await;
    for by_code in [false, true] {
        world.recover("ann@x.org").await.unwrap();
        let got = Arc::new(world.mail_to("ann@x.org").await);
        let uses: Vec<_> = (0..100)
            .map(|_| {
                let (world, got) = (world.clone(), got.clone());
                tokio::spawn(async move {
                    match by_code {
                        true => world.verify_code(RECOVERY, "ann@x.org", &got.code).await.is_ok(),
                        false => world.verify(RECOVERY, &got.token).await.is_ok(),
                    }
                })
            })
            .collect();
        let mut good = 0;
        for each in uses {
            good += usize::from(each.await.unwrap());
        }
        assert_eq!(good, 1);
    }
}

#[tokio::test]
async fn an_unknown_address_leaves_the_same_behind_as_a_known_one() {
    let world = world("confirm_email = true").await;
    world.member("ann@x.org").await;
    let shape = |rows: Vec<Record>| {
        let shown = |row: &Record| format!("{:?} {:?} {:?}", row.text("kind"), row.uuid("user_id"), row.text("data"));
        rows.iter().map(shown).collect::<Vec<_>>()
    };
    for ask in [0, 1, 2, 3] {
        let mut outboxes = Vec::new();
        for email in ["ann@x.org", "nobody@x.org"] {
            let wish = Wish::default();
            match ask {
                0 => world.recover(email).await.unwrap(),
                1 => world.otp(email, false).await.unwrap(),
                3 => world.otp(email, true).await.unwrap(),
                _ => {
                    let kind = LinkKind::Confirmation;
                    let request = ResendRequest { kind, email: email.into(), wish };
                    world.auth.resend(world.visit(), request).await.unwrap();
                }
            }
            outboxes.push(shape(world.rows("_mails").await));
            let before = world.mails().len();
            world.auth.deliver().await.unwrap();
            let expected = email == "ann@x.org" && ask < 2 || ask == 3;
            assert_eq!(world.mails().len() - before, usize::from(expected), "{ask} {email}");
        }
        assert_eq!(outboxes[0], outboxes[1], "{ask}");
    }
    // With both, a sign-up of a taken address sends a mail as well.
    world.sign_up("ann@x.org", "another long password").await;
    let got = world.mail_to("ann@x.org").await;
    assert_eq!((got.subject.as_str(), got.code.as_str()), ("You have an account at Blög", ""));
    world.sign_in("ann@x.org", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn passwordless_makes_an_account_and_signs_in() {
    let world = world("").await;
    world.otp("new@x.org", true).await.unwrap();
    assert_eq!(world.rows("_users").await.len(), 0, "made when the mail is sent");
    let got = world.mail_to("new@x.org").await;
    let session = world.verify_code(SIGN_IN, " New@x.org", &got.code).await.unwrap();
    assert_eq!(session.account.email.as_deref(), Some("new@x.org"));
    assert_eq!(world.rows("people").await.len(), 1);
    assert_eq!(world.verify(SIGN_IN, &got.token).await.err(), EXPIRED);
    let closed = world_with("sign_up = false", Allowances::default(), Transport::Inbox, &[]).await;
    closed.otp("new@x.org", true).await.unwrap();
    closed.auth.deliver().await.unwrap();
    assert!(closed.mails().is_empty() && closed.rows("_users").await.is_empty());
}

#[tokio::test]
async fn only_the_newest_mail_counts_and_none_for_ever() {
    let world = world("confirm_email = true\nmail_token_seconds = 60").await;
    world.member("ann@x.org").await;
    world.recover("ann@x.org").await.unwrap();
    let old = world.mail_to("ann@x.org").await;
    world.recover("ann@x.org").await.unwrap();
    let new = world.mail_to("ann@x.org").await;
    assert_eq!(world.verify(RECOVERY, &old.token).await.err(), EXPIRED);
    let late = world.auth.verify(world.visit_later(61_000_000), RECOVERY, Proof::Link(Secret::new(new.token.clone())));
    assert_eq!(late.await.err(), EXPIRED);
    world.verify(RECOVERY, &new.token).await.unwrap();
    // A mail that waited until it means nothing is not sent.
    world.recover("ann@x.org").await.unwrap();
    for row in world.rows("_mails").await {
        assert_eq!(row.int("expires_at").unwrap() - row.int("created_at").unwrap(), 60_000_000);
    }
}

#[tokio::test]
async fn codes_cannot_be_guessed_and_links_still_work() {
    let generous = Allowance { burst: 10_000, every: Duration::from_secs(1) };
    let allowances = Allowances { mail_codes: generous, address: generous, ..Allowances::default() };
    let world = world_with("confirm_email = true", allowances, Transport::Inbox, &[]).await;
    world.member("ann@x.org").await;
    world.recover("ann@x.org").await.unwrap();
    let got = world.mail_to("ann@x.org").await;
    let wrong = if got.code == "000000" { "000001" } else { "000000" };
    for _ in 0..10 {
        assert_eq!(world.verify_code(RECOVERY, "ann@x.org", wrong).await.err(), EXPIRED);
    }
    assert_eq!(world.verify_code(RECOVERY, "ann@x.org", &got.code).await.err(), EXPIRED, "guessed at too often");
    world.verify(RECOVERY, &got.token).await.unwrap();

    let strict = world_with("", Allowances::default(), Transport::Inbox, &[]).await;
    for _ in 0..10 {
        assert_eq!(strict.verify_code(RECOVERY, "nobody@x.org", "000000").await.err(), EXPIRED);
    }
    let refused = strict.verify_code(RECOVERY, "nobody@x.org", "000000").await.err();
    assert!(matches!(refused, Some(AccountError::TooManyAttempts { .. })), "{refused:?}");
}

#[tokio::test]
async fn mails_are_budgeted_by_recipient_known_or_not() {
    let world = world_with("", Allowances::default(), Transport::Inbox, &[]).await;
    for email in ["ann@x.org", "nobody@x.org"] {
        for _ in 0..5 {
            world.recover(email).await.unwrap();
        }
        let refused = world.recover(email).await.err();
        assert!(matches!(refused, Some(AccountError::Link(LinkError::TooManyMails { .. }))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_recovered_password_voids_everything_before() {
    let world = world("confirm_email = true").await;
    let before = world.member("ann@x.org").await;
    world.otp("ann@x.org", false).await.unwrap();
    let link = world.mail_to("ann@x.org").await;
    world.recover("ann@x.org").await.unwrap();
    let got = world.mail_to("ann@x.org").await;
    let session = world.verify(RECOVERY, &got.token).await.unwrap();
    let change = AccountChange { password: Some(Secret::new("quite another password")), ..Default::default() };
    world.update(&session, change).await.unwrap();
    assert_eq!(world.mail_to("ann@x.org").await.subject, "Your password at Blög was changed");
    assert_eq!(world.verify(SIGN_IN, &link.token).await.err(), EXPIRED);
    assert_eq!(world.caller(&before).err(), Some(Unidentified::SessionEnded));
    assert_eq!(world.sign_in("ann@x.org", PASSWORD).await.err(), Some(AccountError::InvalidCredentials));
    world.sign_in("ann@x.org", "quite another password").await.unwrap();
}

#[tokio::test]
async fn whoever_signs_up_first_with_a_stranger_s_address_gets_nothing() {
    // The pre-hijack: the attacker's password must not survive the owner's first proof.
    let world = world("confirm_email = true").await;
    world.sign_up("victim@x.org", "the attacker's password").await;
    world.auth.deliver().await.unwrap();
    world.otp("victim@x.org", true).await.unwrap();
    let got = world.mail_to("victim@x.org").await;
    world.verify(SIGN_IN, &got.token).await.unwrap();
    let refused = world.sign_in("victim@x.org", "the attacker's password").await.err();
    assert_eq!(refused, Some(AccountError::InvalidCredentials));
    // And a second sign-up of an address that nobody confirmed counts, not the first.
    world.sign_up("other@x.org", "the attacker's password").await;
    let first = world.mail_to("other@x.org").await;
    world.sign_up("other@x.org", PASSWORD).await;
    let second = world.mail_to("other@x.org").await;
    assert_eq!(world.verify(SIGN_IN, &first.token).await.err(), EXPIRED);
    world.verify(SIGN_IN, &second.token).await.unwrap();
    world.sign_in("other@x.org", PASSWORD).await.unwrap();
    let refused = world.sign_in("other@x.org", "the attacker's password").await.err();
    assert_eq!(refused, Some(AccountError::InvalidCredentials));
}

#[tokio::test]
async fn who_invites_or_recovers_takes_an_account_back() {
    // Without confirmation a stranger is signed in at once, with a password; whoever has the mailbox gets both away.
    let world = world("").await;
    let SignedUp::In(stranger) = world.sign_up("victim@x.org", "the attacker's password").await else { panic!() };
    world.recover("victim@x.org").await.unwrap();
    let got = world.mail_to("victim@x.org").await;
    let owner = world.verify(RECOVERY, &got.token).await.unwrap();
    assert_eq!(world.caller(&stranger).err(), Some(Unidentified::SessionEnded));
    assert!(world.caller(&owner).is_ok());
    let refused = world.sign_in("victim@x.org", "the attacker's password").await.err();
    assert_eq!(refused, Some(AccountError::InvalidCredentials));
    // Once it was proved, a forgotten password is still there until another takes its place.
    let change = AccountChange { password: Some(Secret::new(PASSWORD)), ..Default::default() };
    world.update(&owner, change).await.unwrap();
    // Two mails that are due at once come in any order.
    world.auth.deliver().await.unwrap();
    world.recover("victim@x.org").await.unwrap();
    let got = world.mail_to("victim@x.org").await;
    world.verify(RECOVERY, &got.token).await.unwrap();
    world.sign_in("victim@x.org", PASSWORD).await.unwrap();
    assert!(world.caller(&owner).is_ok());

    // An invitation of an account that a stranger began: not even the sign-up's own confirmation keeps the password.
    let world = self::world("confirm_email = true").await;
    world.sign_up("victim@x.org", "the attacker's password").await;
    world.auth.deliver().await.unwrap();
    let invite = InviteRequest { email: "victim@x.org".into(), data: Map::new(), redirect_to: None };
    world.auth.invite(world.visit(), &world.owner(), invite).await.unwrap();
    world.auth.deliver().await.unwrap();
    let request = ResendRequest { kind: LinkKind::Confirmation, email: "victim@x.org".into(), wish: Wish::default() };
    world.auth.resend(world.visit(), request).await.unwrap();
    let got = world.mail_to("victim@x.org").await;
    world.verify(SIGN_IN, &got.token).await.unwrap();
    let refused = world.sign_in("victim@x.org", "the attacker's password").await.err();
    assert_eq!(refused, Some(AccountError::InvalidCredentials));
}

#[tokio::test]
async fn an_address_that_a_thief_asked_for_does_not_outlive_the_password() {
    let world = world("confirm_email = true").await;
    let stolen = world.member("ann@x.org").await;
    let own = world.sign_in("ann@x.org", PASSWORD).await.unwrap();
    let to = || AccountChange { email: Some("evil@x.org".into()), ..Default::default() };
    let again = async || {
        let wish = Wish::default();
        let request = ResendRequest { kind: LinkKind::EmailChange, email: "ann@x.org".into(), wish };
        world.auth.resend(world.visit(), request).await.unwrap();
        let before = world.mails().len();
        world.auth.deliver().await.unwrap();
        world.mails().len() - before
    };
    // Asked for, and sent again while it is waited for.
    world.update(&stolen, to()).await.unwrap();
    let first = world.mail_to("evil@x.org").await;
    assert_eq!(again().await, 1);
    let second = world.mail_to("evil@x.org").await;
    // A mail that waits to be sent goes with the password, too.
    world.update(&stolen, to()).await.unwrap();
    let change = AccountChange { password: Some(Secret::new("quite another password")), ..Default::default() };
    let account = world.update(&own, change).await.unwrap();
    assert_eq!(account.new_email, None);
    assert_eq!(world.mail_to("ann@x.org").await.subject, "Your password at Blög was changed");
    for got in [first, second] {
        assert_eq!(world.verify(CHANGE, &got.token).await.err(), EXPIRED);
    }
    assert_eq!(again().await, 0, "nobody waits for it any more");
    // Both in one request: the new address waits, and what was there before is void.
    let fresh = world.sign_in("ann@x.org", "quite another password").await.unwrap();
    let both = AccountChange {
        password: Some(Secret::new("a third good password")),
        email: Some("new@x.org".into()),
        ..Default::default()
    };
    assert_eq!(world.update(&fresh, both).await.unwrap().new_email.as_deref(), Some("new@x.org"));
    world.auth.deliver().await.unwrap();
    assert!(world.mails().iter().take(2).any(|mail| mail.to == "new@x.org"));
}

#[tokio::test]
async fn a_new_address_waits_for_its_link() {
    let world = world("confirm_email = true").await;
    let session = world.member("ann@x.org").await;
    world.member("bob@x.org").await;
    let to = |email: &str| AccountChange { email: Some(email.into()), ..Default::default() };
    let account = world.update(&session, to("New@x.org")).await.unwrap();
    assert_eq!((account.email.as_deref(), account.new_email.as_deref()), (Some("ann@x.org"), Some("new@x.org")));
    let got = world.mail_to("new@x.org").await;
    assert_eq!(world.verify(SIGN_IN, &got.token).await.err(), EXPIRED);
    let changed = world.verify(CHANGE, &got.token).await.unwrap();
    assert_eq!((changed.account.email.as_deref(), changed.account.new_email), (Some("new@x.org"), None));
    assert_eq!(changed.account.identities[0].data["email"], "new@x.org");
    assert_eq!(world.mail_to("ann@x.org").await.subject, "Your address at Blög was changed");
    let profile = world.rows("people").await;
    assert!(profile.iter().any(|row| row.text("email") == Some("new@x.org")));
    // A taken one is told to its owner alone.
    let account = world.update(&session, to("bob@x.org")).await.unwrap();
    assert_eq!(account.new_email.as_deref(), Some("bob@x.org"));
    assert_eq!(world.mail_to("bob@x.org").await.subject, "You have an account at Blög");
    // An old session alone changes nothing; a code from the mail does.
    let hour = 3_600_000_000;
    let old = world.update_later(&session, hour / 2, to("third@x.org")).await.err();
    assert_eq!(old, Some(AccountError::ReauthenticationNeeded));
    world.auth.reauthenticate(world.visit(), &world.caller(&session).unwrap()).await.unwrap();
    let got = world.mail_to("new@x.org").await;
    assert!(got.token.is_empty() && got.code.len() == 6, "a code alone");
    let password = |nonce: &str| AccountChange {
        password: Some(Secret::new("quite another password")),
        nonce: Some(Secret::new(nonce)),
        ..Default::default()
    };
    let wrong = world.update_later(&session, hour / 2, password("12345")).await.err();
    assert_eq!(wrong, Some(AccountError::Link(LinkError::NonceInvalid)));
    world.update_later(&session, hour / 2, password(&got.code)).await.unwrap();
    world.sign_in("new@x.org", "quite another password").await.unwrap();
    let again = AccountChange { password: Some(Secret::new("a third good password")), ..password(&got.code) };
    let again = world.update_later(&session, hour / 2, again).await.err();
    assert_eq!(again, Some(AccountError::Link(LinkError::NonceInvalid)), "once");
}

#[tokio::test]
async fn a_code_of_a_flow_is_worth_nothing_without_its_verifier() {
    let world = Arc::new(world("confirm_email = true").await);
    world.member("ann@x.org").await;
    let ask = async || {
        let wish = Wish { challenge: Some(CHALLENGE.into()), redirect_to: Some("https://api.x.org/welcome".into()) };
        world.auth.recover(world.visit(), "ann@x.org".into(), wish).await.unwrap();
        let got = world.mail_to("ann@x.org").await;
        let landing = world.follow(&got.link).await;
        assert_eq!(landing.to, "https://api.x.org/welcome");
        match landing.outcome.unwrap() {
            Landed::Code(code) => code,
            Landed::Session(..) | Landed::SignedIn(_) => panic!("a session in a redirect"),
        }
    };
    let code = ask().await;
    let exchange =
        |code: &Secret, verifier: &str| world.auth.exchange(world.visit(), code.clone(), Secret::new(verifier));
    assert_eq!(exchange(&code, &"x".repeat(43)).await.err(), Some(LinkError::WrongVerifier.into()));
    assert_eq!(exchange(&code, VERIFIER).await.err(), Some(LinkError::CodeUnknown.into()), "used up by the wrong one");
    let code = ask().await;
    assert_eq!(world.verify(RECOVERY, code.expose()).await.err(), EXPIRED, "no link");
    let uses: Vec<_> = (0..100)
        .map(|_| {
            let (world, code) = (world.clone(), code.clone());
            let visit = world.visit();
            tokio::spawn(async move { world.auth.exchange(visit, code, Secret::new(VERIFIER)).await.is_ok() })
        })
        .collect();
    let mut good = 0;
    for each in uses {
        good += usize::from(each.await.unwrap());
    }
    assert_eq!(good, 1);
}

#[tokio::test]
async fn links_lead_where_it_is_allowed_and_are_built_from_the_settings() {
    let world = world("site_url = \"https://www.x.org/app\"\nredirect_urls = [\"https://*.y.org/**\"]").await;
    for (asked, expected) in [
        (None, "https://www.x.org/app"),
        (Some("https://www.x.org/other"), "https://www.x.org/other"),
        (Some("https://a.y.org/z?b=c"), "https://a.y.org/z?b=c"),
        (Some("https://evil.net/"), "https://www.x.org/app"),
        (Some("https://www.x.org.evil.net/"), "https://www.x.org/app"),
        (Some("https://www.x.org@evil.net/"), "https://www.x.org/app"),
        (Some("//evil.net"), "https://www.x.org/app"),
        (Some("https://a.y.org/\r\nX: y"), "https://www.x.org/app"),
        (Some("javascript:alert(1)"), "https://www.x.org/app"),
    ] {
        let wish = Wish { redirect_to: asked.map(str::to_owned), challenge: None };
        let request = LinkRequest { email: "ann@x.org".into(), create: true, data: Map::new(), wish };
        world.auth.send_link(world.visit(), request).await.unwrap();
        let got = world.mail_to("ann@x.org").await;
        assert!(got.link.starts_with("https://api.x.org/auth/v1/verify?"), "{}", got.link);
        let redirect_to = asked.map(str::to_owned);
        let proof = Some(Proof::Link(Secret::new(got.token)));
        let link = FollowedLink { kinds: Some(SIGN_IN), proof, redirect_to };
        let landing = world.auth.follow(world.visit(), link).await;
        assert_eq!(landing.to, expected, "{asked:?}");
        assert!(matches!(landing.outcome, Ok(Landed::Session(_, LinkKind::MagicLink))));
    }
}

#[tokio::test]
async fn anonymous_accounts_become_lasting_ones() {
    let world = world("anonymous = true\nconfirm_email = true").await;
    let session = world.auth.sign_up_anonymously(world.visit(), Map::new()).await.unwrap();
    assert!(session.account.is_anonymous && session.account.email.is_none() && session.account.identities.is_empty());
    let caller = world.caller(&session).unwrap();
    let Identity::User(user) = caller.identity() else { panic!() };
    assert_eq!((&user.claims()["is_anonymous"], &user.claims()["email"]), (&Json::Bool(true), &json!("")));
    let password = || AccountChange { password: Some(Secret::new(PASSWORD)), ..Default::default() };
    let refused = world.update(&session, password()).await.err();
    assert_eq!(refused, Some(AccountError::Link(LinkError::NeedsAddress)));
    let email = AccountChange { email: Some("ann@x.org".into()), ..Default::default() };
    assert!(world.update(&session, email).await.unwrap().is_anonymous, "not before it is confirmed");
    let got = world.mail_to("ann@x.org").await;
    let lasting = world.verify(CHANGE, &got.token).await.unwrap();
    assert!(!lasting.account.is_anonymous && lasting.account.id == session.account.id);
    assert_eq!(lasting.account.identities.len(), 1);
    assert_eq!(lasting.account.app_metadata, json!({ "provider": "email", "providers": ["email"] }));
    world.update(&lasting, password()).await.unwrap();
    world.sign_in("ann@x.org", PASSWORD).await.unwrap();
    let off = world_with("", Allowances::default(), Transport::None, &[]).await;
    let refused = off.auth.sign_up_anonymously(off.visit(), Map::new()).await.err();
    assert_eq!(refused, Some(AccountError::Link(LinkError::AnonymousOff)));
}

#[tokio::test]
async fn the_owner_invites_and_makes_links() {
    let world = world("sign_up = false").await;
    let invite = |email: &str| InviteRequest { email: email.into(), data: Map::new(), redirect_to: None };
    let visitor = Caller::visitor(world.engine.moment());
    let refused = world.auth.invite(world.visit(), &visitor, invite("ann@x.org")).await.err();
    assert_eq!(refused, Some(AccountError::NotAUser));
    let owner = world.owner();
    let account = world.auth.invite(world.visit(), &owner, invite("ann@x.org")).await.unwrap();
    assert!(account.invited_at.is_some() && account.email_confirmed_at.is_none());
    let got = world.mail_to("ann@x.org").await;
    world.verify(&[LinkKind::Invite], &got.token).await.unwrap();
    let again = world.auth.invite(world.visit(), &owner, invite("ann@x.org")).await.err();
    assert_eq!(again, Some(AccountError::EmailTaken));
    let ask = |kind: LinkKind, email: &str| GenerateLink {
        kind,
        email: email.into(),
        password: None,
        data: Map::new(),
        new_email: None,
        redirect_to: None,
    };
    let before = world.mails().len();
    let made = world.auth.generate_link(world.visit(), &owner, ask(LinkKind::Recovery, "ann@x.org")).await.unwrap();
    assert!(made.link.expose().contains(made.token.expose()));
    world.verify_code(RECOVERY, "ann@x.org", made.code.expose()).await.unwrap();
    let unknown = world.auth.generate_link(world.visit(), &owner, ask(LinkKind::Recovery, "no@x.org")).await.err();
    assert_eq!(unknown, Some(AccountError::Link(LinkError::UserUnknown)));
    let refused = world.auth.generate_link(world.visit(), &visitor, ask(LinkKind::Recovery, "ann@x.org")).await.err();
    assert_eq!(refused, Some(AccountError::NotAUser));
    world.auth.deliver().await.unwrap();
    assert_eq!(world.mails().len(), before, "made, not sent");
}

#[tokio::test]
async fn nothing_that_signs_in_is_stored_or_logged_in_plain() {
    let world = world("confirm_email = true").await;
    world.sign_up("ann@x.org", PASSWORD).await;
    let shown = |rows: Vec<Record>| {
        let names = ["kind", "email", "redirect_to", "challenge", "data", "hash", "code", "via"];
        let row = |row: &Record| names.map(|name| format!("{:?}{:?}", row.text(name), row.bytes(name))).join(" ");
        rows.iter().map(row).collect::<Vec<_>>().join("\n")
    };
    let queued = shown(world.rows("_mails").await);
    assert!(queued.contains("confirmation"));
    let got = world.mail_to("ann@x.org").await;
    let stored = shown(world.rows("_one_time_tokens").await);
    assert!(stored.contains("signup") && world.rows("_mails").await.is_empty());
    for secret in [&got.token, &got.code] {
        assert!(!queued.contains(secret.as_str()) && !stored.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn without_a_way_for_mails_what_needs_one_is_refused() {
    let world = world_with("confirm_email = true", Allowances::default(), Transport::None, &[]).await;
    let unavailable = Some(AccountError::Link(LinkError::MailUnavailable));
    assert_eq!(world.recover("ann@x.org").await.err(), unavailable);
    assert_eq!(world.otp("ann@x.org", true).await.err(), unavailable);
    assert!(matches!(world.sign_up("ann@x.org", PASSWORD).await, SignedUp::Unconfirmed(_)));
    assert!(world.rows("_mails").await.is_empty() && world.auth.inbox().is_none());
}

#[tokio::test]
async fn an_application_has_its_own_words() {
    let mails = [
        ("recovery.txt", "Subject: {{ app }}: new password\n\nHi {{ email }}\n\n{{ link }}\n"),
        ("recovery.html", "<p>Hi {{ email }}</p><a href=\"{{ link }}\">go</a>"),
    ];
    let world = world_with("", Allowances::default(), Transport::Inbox, &mails).await;
    world.sign_up("o'neill&co@x.org", PASSWORD).await;
    world.recover("o'neill&co@x.org").await.unwrap();
    world.auth.deliver().await.unwrap();
    let mail = world.mails().remove(0);
    assert_eq!(mail.subject, "Blög: new password");
    assert!(mail.text.starts_with("Hi o'neill&co@x.org\n"));
    assert!(
        mail.html.starts_with("<p>Hi o&#39;neill&amp;co@x.org</p><a href=\"https://api.x.org/auth/v1/verify?token=")
    );
    let wrong = [
        ("recovry.txt", "Subject: x\n", "mail/recovry.txt:1: there is no such mail; did you mean \"recovery.txt\"?"),
        (
            "recovery.txt",
            "Hello",
            "mail/recovery.txt:1: the first line must be the subject, like \"Subject: Welcome to {{ app }}\"",
        ),
        (
            "recovery.txt",
            "Subject: x\n\na\n{{ lnk }}",
            "mail/recovery.txt:4: there is no value \"lnk\"; did you mean \"link\"?",
        ),
        ("recovery.html", "{{ link", "mail/recovery.html:1: \"{{\" without \"}}\""),
        ("recovery.txt", "Subject: {{ code }}\n\nx", "mail/recovery.txt:1: the subject may not tell \"code\""),
    ];
    for (name, text, expected) in wrong {
        let told = Templates::with(&[(name.to_owned(), text.to_owned())]).unwrap_err();
        assert_eq!(told.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}
