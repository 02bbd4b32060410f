//! What happens to an account is told to its address, on each store: once, in the transaction of what happened, and never in anybody's way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::Map;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::Folder;
use support::databases::{Database, On};
use totp_rs::{Builder, Secret as TotpSecret};
use undergird::Server;
use undergird_auth::{Auth, Options, Smtp, SmtpTls, Templates, Transport};
use undergird_engine::accounts::*;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};

const ANN: &str = "ann@example.org";
const PASSWORD: &str = "a rather long password";
const SECOND: i64 = 1_000_000;

on_each_store!(
    what_happens_to_an_account_is_told_once,
    what_the_owner_does_is_told_as_well,
    what_did_not_happen_is_not_told,
    nobody_waits_for_a_notice,
    an_application_says_it_in_its_own_words,
);

struct World {
    auth: Auth,
    server: Server,
    _folder: Folder,
    _database: Database,
}

impl World {
    async fn new(on: On, settings: &str, transport: Transport, mails: &[(&str, &str)]) -> Option<World> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        folder.write("undergird.toml", &format!("name = \"test\"\n{settings}\n"));
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .build()
            .await
            .unwrap();
        let mails: Vec<_> = mails.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let templates = Templates::with(&mails).unwrap();
        let options = Options { transport, templates, ..Options::new("http://127.0.0.1:8090") };
        let auth = Auth::open(server.engine().clone(), server.keys(), &options).await.unwrap();
        Some(World { auth, server, _folder: folder, _database: database })
    }

    fn visit(&self) -> Visit {
        Visit { moment: self.server.engine().moment(), address: Some([192, 0, 2, 1].into()), user_agent: None }
    }

    async fn sign_up(&self) -> Session {
        let (email, password) = (ANN.into(), Secret::new(PASSWORD));
        let request = SignUp { email, password, data: Map::new(), wish: Wish::default() };
        match self.auth.sign_up(self.visit(), request).await.unwrap() {
            SignedUp::In(session) => *session,
            SignedUp::Unconfirmed(_) => panic!("signed in at once"),
        }
    }

    async fn sign_in(&self) -> Session {
        let request = PasswordSignIn { email: ANN.into(), password: Secret::new(PASSWORD) };
        self.auth.sign_in(self.visit(), request).await.unwrap()
    }

    fn caller(&self, session: &Session) -> Caller {
        let bearer = format!("Bearer {}", session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, self.server.engine().moment()).unwrap()
    }

    fn owner(&self) -> Caller {
        Caller::secret(self.server.engine().moment())
    }

    async fn update(&self, session: &Session, change: AccountChange) -> Account {
        self.auth.update(self.visit(), &self.caller(session), change).await.unwrap()
    }

    /// The mails since the last time: to whom, and of what.
    async fn told(&self, seen: &mut usize) -> Vec<(String, String)> {
        self.auth.deliver().await.unwrap();
        let mails = self.auth.inbox().unwrap();
        let new = &mails[..mails.len() - *seen];
        *seen = mails.len();
        let mut new: Vec<_> = new.iter().map(|mail| (mail.to.clone(), mail.subject.clone())).collect();
        new.sort();
        new
    }

    /// A factor that is in use, and the session that it raised.
    async fn phone(&self, session: &Session) -> (uuid::Uuid, Session) {
        let caller = self.caller(session);
        let made = self.auth.enroll_factor(self.visit(), &caller, EnrollFactor::default()).await.unwrap();
        let secret = TotpSecret::try_from_base32(made.secret.expose()).unwrap();
        let challenge = self.auth.challenge_factor(self.visit(), &caller, made.id).await.unwrap().id;
        let visit = self.visit();
        let code = Builder::new().with_secret(secret).build().unwrap();
        let code = code.generate(u64::try_from(visit.moment.now / SECOND).unwrap()).to_string();
        let raised = self.auth.verify_factor(visit, &caller, made.id, challenge, Secret::new(code)).await.unwrap();
        (made.id, raised)
    }

    async fn queued(&self) -> usize {
        let system = Caller::system(self.server.engine().moment());
        self.server.engine().records(&system, Request::new("_mails", Verb::Read)).await.unwrap().len()
    }
}

fn to_ann(subjects: &[&str]) -> Vec<(String, String)> {
    subjects.iter().map(|subject| (ANN.to_owned(), (*subject).to_owned())).collect()
}

async fn what_happens_to_an_account_is_told_once(on: On) {
    let Some(world) = World::new(on, "", Transport::Inbox, &[]).await else { return };
    let seen = &mut 0;
    let ann = world.sign_up().await;
    let caller = world.caller(&ann);

    // A factor is told when it counts, not when it was begun.
    world
        .auth
        .enroll_factor(world.visit(), &caller, EnrollFactor { name: Some("Begun".into()), ..EnrollFactor::default() })
        .await
        .unwrap();
    assert_eq!(world.told(seen).await, []);
    let (factor, raised) = world.phone(&ann).await;
    assert_eq!(world.told(seen).await, to_ann(&["test asks for a second factor from now on"]));
    let mail = world.auth.inbox().unwrap().remove(0);
    assert!(mail.text.contains("by an authenticator app from now on"), "{}", mail.text);

    let caller = world.caller(&raised);
    let codes = world.auth.make_recovery_codes(world.visit(), &caller, MakeRecoveryCodes::default()).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["test asks for a second factor from now on"]));
    assert!(world.auth.inbox().unwrap().remove(0).text.contains("by recovery codes from now on"));
    let again = world.caller(&world.sign_in().await);
    let raised = world.auth.verify_recovery_code(world.visit(), &again, codes.codes[0].clone()).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["A recovery code for test was used"]));

    // With the last factor go the codes: one mail.
    world.auth.remove_factor(world.visit(), &world.caller(&raised), factor).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["A second factor at test was removed"]));

    let ann = world.sign_in().await;
    world
        .update(
            &ann,
            AccountChange { password: Some(Secret::new("another long password")), ..AccountChange::default() },
        )
        .await;
    assert_eq!(world.told(seen).await, to_ann(&["Your password at test was changed"]));
    // The old address, by which a thief could be noticed.
    world.update(&ann, AccountChange { email: Some("new@example.org".into()), ..AccountChange::default() }).await;
    assert_eq!(world.told(seen).await, to_ann(&["Your address at test was changed"]));
    world.update(&ann, AccountChange { data: Some(Map::new()), ..AccountChange::default() }).await;
    assert_eq!(world.told(seen).await, []);
    assert_eq!(world.queued().await, 0);
}

async fn what_the_owner_does_is_told_as_well(on: On) {
    let Some(world) = World::new(on, "", Transport::Inbox, &[]).await else { return };
    let seen = &mut 0;
    let ann = world.sign_up().await;
    let (factor, _) = world.phone(&ann).await;
    world.told(seen).await;
    let (id, owner) = (ann.account.id, world.owner());
    world.auth.remove_factor_of(world.visit(), &owner, id, factor).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["A second factor at test was removed"]));
    let change = AccountSettings { password: Some(Secret::new("another long password")), ..AccountSettings::default() };
    world.auth.change_account(world.visit(), &owner, id, change).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["Your password at test was changed"]));
    world.auth.set_password(ANN, &Secret::new(PASSWORD)).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["Your password at test was changed"]));
    let change = AccountSettings { email: Some("new@example.org".into()), ..AccountSettings::default() };
    world.auth.change_account(world.visit(), &owner, id, change).await.unwrap();
    assert_eq!(world.told(seen).await, to_ann(&["Your address at test was changed"]));
    let change = AccountSettings { app_metadata: Some(Map::new()), ..AccountSettings::default() };
    world.auth.change_account(world.visit(), &owner, id, change).await.unwrap();
    assert_eq!(world.told(seen).await, []);
}

async fn what_did_not_happen_is_not_told(on: On) {
    let Some(world) = World::new(on, "", Transport::Inbox, &[]).await else { return };
    let seen = &mut 0;
    let ann = world.sign_up().await;
    let (factor, raised) = world.phone(&ann).await;
    let caller = world.caller(&raised);
    world.auth.make_recovery_codes(world.visit(), &caller, MakeRecoveryCodes::default()).await.unwrap();
    world.told(seen).await;
    let low = world.caller(&world.sign_in().await);
    let challenge = world.auth.challenge_factor(world.visit(), &low, factor).await.unwrap().id;
    let wrong = Secret::new("000000");
    assert!(world.auth.verify_factor(world.visit(), &low, factor, challenge, wrong).await.is_err());
    let wrong = Secret::new("aaaa-aaaa-aaaa-aaaa");
    assert!(world.auth.verify_recovery_code(world.visit(), &low, wrong).await.is_err());
    assert!(world.auth.remove_factor(world.visit(), &low, factor).await.is_err());
    assert!(world.auth.make_recovery_codes(world.visit(), &caller, MakeRecoveryCodes::default()).await.is_err());
    let change = AccountChange { password: Some(Secret::new("another long password")), ..AccountChange::default() };
    assert!(world.auth.update(world.visit(), &low, change).await.is_err());
    assert_eq!((world.told(seen).await, world.queued().await), (vec![], 0));

    let Some(silent) = World::new(on, "[mail]\nnotices = false", Transport::Inbox, &[]).await else { return };
    let ann = silent.sign_up().await;
    let (factor, raised) = silent.phone(&ann).await;
    silent.auth.remove_factor(silent.visit(), &silent.caller(&raised), factor).await.unwrap();
    silent.auth.set_password(ANN, &Secret::new("another long password")).await.unwrap();
    assert_eq!((silent.told(&mut 0).await, silent.queued().await), (vec![], 0));
}

async fn nobody_waits_for_a_notice(on: On) {
    // It takes connections and says nothing.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let smtp = Smtp {
        host: "127.0.0.1".into(),
        port: server.local_addr().unwrap().port(),
        credentials: None,
        tls: SmtpTls::None,
        authorities: None,
        from: "no-reply@example.org".into(),
    };
    let Some(world) = World::new(on, "", Transport::Smtp(smtp), &[]).await else { return };
    let world = Arc::new(world);
    let sending = tokio::spawn(world.auth.keep_up());
    let ann = world.sign_up().await;
    let begun = Instant::now();
    let (factor, raised) = world.phone(&ann).await;
    world.auth.remove_factor(world.visit(), &world.caller(&raised), factor).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(world.queued().await, 2, "they wait for the server");
    sending.abort();
    drop(server);
}

async fn an_application_says_it_in_its_own_words(on: On) {
    let own = [("mfa_factor_enrolled.txt", "Subject: {{ app }}: {{ method }}\n\n{{ email }} & {{ method }}\n")];
    let Some(world) = World::new(on, "", Transport::Inbox, &own).await else { return };
    let ann = world.sign_up().await;
    world.phone(&ann).await;
    assert_eq!(world.told(&mut 0).await, to_ann(&["test: an authenticator app"]));
    let mail = world.auth.inbox().unwrap().remove(0);
    assert_eq!(mail.text, "ann@example.org & an authenticator app\n");
    assert!(mail.html.contains("<p>ann@example.org &amp; an authenticator app</p>"), "{}", mail.html);
}
