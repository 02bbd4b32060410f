//! A change of address that both addresses confirm (`[auth] double_confirm_changes`), on each store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use support::Folder;
use support::databases::{Database, On};
use undergird::Server;
use undergird_auth::{Allowance, Allowances, Auth, Options, Transport};
use undergird_engine::accounts::*;
use undergird_plan::Caller;

const OLD: &str = "ann@example.org";
const NEW: &str = "new@example.org";
const PASSWORD: &str = "a rather long password";
const CHANGE: &[LinkKind] = &[LinkKind::EmailChange, LinkKind::EmailChangeCurrent];
const OTHER_ADDRESS: Option<AccountError> = Some(AccountError::Link(LinkError::OtherAddress));
const EXPIRED: Option<AccountError> = Some(AccountError::Link(LinkError::Expired));

on_each_store!(
    both_addresses_confirm_in_either_order,
    a_hundred_uses_of_one_link_are_one_yes,
    a_yes_is_to_one_address_alone,
    what_voids_mails_voids_a_yes,
    the_owner_s_links_are_two,
);

struct World {
    auth: Auth,
    server: Server,
    session: Session,
    _folder: Folder,
    _database: Database,
}

/// What was in a mail.
#[derive(Clone)]
struct Got {
    link: Secret,
    code: Secret,
    text: String,
}

impl World {
    /// With an account whose address is confirmed.
    async fn new(on: On) -> Option<Arc<World>> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        folder
            .write("undergird.toml", "name = \"test\"\n[auth]\nconfirm_email = true\ndouble_confirm_changes = true\n");
        let server = Server::builder(&folder.0)
            .environment(database.environment())
            .schema(undergird::SchemaPolicy::Follow { accept_data_loss: false })
            .make_keys(true)
            .build()
            .await
            .unwrap();
        let many = Allowance { burst: 10_000, every: Duration::from_secs(1) };
        let allowances =
            Allowances { address: many, mails_to: many, mails_from: many, mail_codes: many, ..Allowances::default() };
        let options = Options { allowances, transport: Transport::Inbox, ..Options::new("http://127.0.0.1:8090") };
        let auth = Auth::open(server.engine().clone(), server.keys(), &options).await.unwrap();
        let visit = Visit { moment: server.engine().moment(), address: None, user_agent: None };
        let request =
            SignUp { email: OLD.into(), password: Secret::new(PASSWORD), data: Map::new(), wish: Wish::default() };
        auth.sign_up(visit.clone(), request).await.unwrap();
        auth.deliver().await.unwrap();
        let link = read(&auth.inbox().unwrap()[0]).link;
        let session = auth.verify(visit, &[LinkKind::Confirmation], Proof::Link(link)).await.unwrap();
        Some(Arc::new(World { auth, server, session, _folder: folder, _database: database }))
    }

    fn visit(&self) -> Visit {
        Visit { moment: self.server.engine().moment(), address: Some([192, 0, 2, 1].into()), user_agent: None }
    }

    fn caller(&self) -> Caller {
        let bearer = format!("Bearer {}", self.session.access_token.expose());
        let credentials = Credentials { apikey: None, authorization: Some(bearer.as_bytes()) };
        self.auth.identify(credentials, self.server.engine().moment()).unwrap()
    }

    /// The mails to the old and to the new address that asking for it leads to.
    async fn ask(&self, to: &str) -> (Got, Got) {
        let change = AccountChange { email: Some(to.into()), ..AccountChange::default() };
        let account = self.auth.update(self.visit(), &self.caller(), change).await.unwrap();
        assert_eq!((account.email.as_deref(), account.new_email.as_deref()), (Some(OLD), Some(to)));
        self.auth.deliver().await.unwrap();
        let newest = |whose: &str| read(self.auth.inbox().unwrap().iter().find(|mail| mail.to == whose).unwrap());
        (newest(OLD), newest(to))
    }

    async fn follow(&self, got: &Got) -> Result<Session, AccountError> {
        self.auth.verify(self.visit(), CHANGE, Proof::Link(got.link.clone())).await
    }

    async fn email(&self) -> Option<String> {
        let owner = Caller::secret(self.server.engine().moment());
        self.auth.find(&owner, self.session.account.id).await.unwrap().email
    }
}

fn read(mail: &InboxMail) -> Got {
    let link = mail.text.split("token=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    let code = mail.text.lines().find(is_code).unwrap_or_default();
    Got { link: Secret::new(link), code: Secret::new(code), text: mail.text.clone() }
}

async fn both_addresses_confirm_in_either_order(on: On) {
    let Some(world) = World::new(on).await else { return };
    let (old, new) = world.ask(NEW).await;
    assert!(old.text.contains("is to have the address new@example.org from now on"), "{}", old.text);
    assert!(old.text.contains("&type=email_change&"), "clients know one kind: {}", old.text);
    assert_eq!(world.follow(&new).await.err(), OTHER_ADDRESS);
    assert_eq!(world.email().await.as_deref(), Some(OLD), "one yes is none");
    assert_eq!(world.follow(&new).await.err(), EXPIRED, "once");
    // By the code, which is the old address's.
    let by_code = |email: &str| Proof::Code { email: email.into(), code: old.code.clone() };
    assert_eq!(world.auth.verify(world.visit(), CHANGE, by_code(NEW)).await.err(), EXPIRED);
    let session = world.auth.verify(world.visit(), CHANGE, by_code(OLD)).await.unwrap();
    assert_eq!((session.account.email.as_deref(), session.account.new_email), (Some(NEW), None));
    assert_eq!(world.email().await.as_deref(), Some(NEW));

    let Some(world) = World::new(on).await else { return };
    let (old, new) = world.ask(NEW).await;
    let landed = |got: &Got| {
        let link = FollowedLink { kinds: Some(CHANGE), proof: Some(Proof::Link(got.link.clone())), redirect_to: None };
        world.auth.follow(world.visit(), link)
    };
    assert_eq!(landed(&old).await.outcome.err(), OTHER_ADDRESS);
    assert_eq!(world.email().await.as_deref(), Some(OLD));
    assert!(matches!(landed(&new).await.outcome, Ok(Landed::Session(_, LinkKind::EmailChange))));
    assert_eq!(world.email().await.as_deref(), Some(NEW));
}

async fn a_hundred_uses_of_one_link_are_one_yes(on: On) {
    let Some(world) = World::new(on).await else { return };
    let (old, new) = world.ask(NEW).await;
    let uses: Vec<_> = (0..100)
        .map(|_| {
            let (world, new) = (world.clone(), new.clone());
            tokio::spawn(async move { world.follow(&new).await.err() })
        })
        .collect();
    let mut yes = 0;
    for each in uses {
        let refused = each.await.unwrap();
        assert!(refused == OTHER_ADDRESS || refused == EXPIRED, "{refused:?}");
        yes += usize::from(refused == OTHER_ADDRESS);
    }
    assert_eq!((yes, world.email().await.as_deref()), (1, Some(OLD)));
    // A fresh mail to the address that said yes already adds nothing.
    let (kind, email) = (LinkKind::EmailChange, OLD.to_owned());
    world.auth.resend(world.visit(), ResendRequest { kind, email, wish: Wish::default() }).await.unwrap();
    world.auth.deliver().await.unwrap();
    let mails = world.auth.inbox().unwrap();
    assert_eq!(mails.iter().filter(|mail| mail.to == NEW).count(), 1, "it waits for the old address alone");
    assert_eq!(world.follow(&old).await.err(), EXPIRED, "the newest counts");
    let again = read(mails.iter().find(|mail| mail.to == OLD).unwrap());
    assert!(world.follow(&again).await.is_ok());
}

async fn a_yes_is_to_one_address_alone(on: On) {
    let Some(world) = World::new(on).await else { return };
    let (old, new) = world.ask(NEW).await;
    assert_eq!(world.follow(&old).await.err(), OTHER_ADDRESS);
    // A thief asks for another: the yes to the first is none to that.
    let (again, thief) = world.ask("thief@example.org").await;
    assert_eq!(world.follow(&new).await.err(), EXPIRED);
    assert_eq!(world.follow(&thief).await.err(), OTHER_ADDRESS);
    assert_eq!(world.email().await.as_deref(), Some(OLD));
    // Nor is a mail that was not followed yet, or not even sent.
    let change = |to: &str| AccountChange { email: Some(to.into()), ..AccountChange::default() };
    world.auth.update(world.visit(), &world.caller(), change(NEW)).await.unwrap();
    assert_eq!(world.follow(&again).await.err(), EXPIRED);
    world.auth.update(world.visit(), &world.caller(), change("thief@example.org")).await.unwrap();
    world.auth.deliver().await.unwrap();
    let to_old: Vec<_> = world.auth.inbox().unwrap().into_iter().filter(|mail| mail.to == OLD).collect();
    assert!(to_old[0].text.contains("thief@example.org") && !to_old[1].text.contains("have the address new@"));
}

async fn what_voids_mails_voids_a_yes(on: On) {
    let Some(world) = World::new(on).await else { return };
    let (old, new) = world.ask(NEW).await;
    assert_eq!(world.follow(&old).await.err(), OTHER_ADDRESS);
    let password = Some(Secret::new("another long password"));
    let change = AccountChange { password, ..AccountChange::default() };
    world.auth.update(world.visit(), &world.caller(), change).await.unwrap();
    assert_eq!(world.follow(&new).await.err(), EXPIRED);
    let (_, new) = world.ask(NEW).await;
    assert_eq!(world.follow(&new).await.err(), OTHER_ADDRESS, "the old yes is gone");
    assert_eq!(world.email().await.as_deref(), Some(OLD));
}

async fn the_owner_s_links_are_two(on: On) {
    let Some(world) = World::new(on).await else { return };
    let owner = Caller::secret(world.server.engine().moment());
    let make = async |kind: LinkKind, to: &str| {
        let (email, new_email) = (OLD.to_owned(), Some(to.to_owned()));
        let asked = GenerateLink { kind, email, password: None, data: Map::new(), new_email, redirect_to: None };
        world.auth.generate_link(world.visit(), &owner, asked).await.unwrap().token
    };
    let use_it = async |token: Secret| world.auth.verify(world.visit(), CHANGE, Proof::Link(token)).await;
    let current = make(LinkKind::EmailChangeCurrent, NEW).await;
    assert_eq!(use_it(current).await.err(), OTHER_ADDRESS);
    let other = make(LinkKind::EmailChange, "other@example.org").await;
    assert_eq!(use_it(other).await.err(), OTHER_ADDRESS, "the yes was to another address");
    let current = make(LinkKind::EmailChangeCurrent, "other@example.org").await;
    assert_eq!(use_it(current).await.unwrap().account.email.as_deref(), Some("other@example.org"));
}
