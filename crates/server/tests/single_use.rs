//! What is in a mail is good for one use, on each store: a hundred at once give one session (TRUST E6). And a mail is sent by one of many.
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

const ANN: &str = "ann@example.org";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RECOVERY: &[LinkKind] = &[LinkKind::Recovery];
const SIGN_IN: &[LinkKind] = &[LinkKind::Confirmation, LinkKind::MagicLink];

on_each_store!(a_hundred_uses_at_once_give_one_session, a_mail_is_sent_by_one_of_many);

struct World {
    auth: Auth,
    server: Server,
    _folder: Folder,
    _database: Database,
}

impl World {
    async fn new(on: On) -> Option<Arc<World>> {
        let database = Database::new(on)?;
        let folder = Folder::new();
        folder.write("undergird.toml", "name = \"test\"\n");
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
        let transport = Transport::Inbox;
        let options = Options { allowances, transport, ..Options::new("http://127.0.0.1:8090") };
        let auth = Auth::open(server.engine().clone(), server.keys(), &options).await.unwrap();
        Some(Arc::new(World { auth, server, _folder: folder, _database: database }))
    }

    fn visit(&self) -> Visit {
        Visit { moment: self.server.engine().moment(), address: Some([192, 0, 2, 1].into()), user_agent: None }
    }

    /// The link's secret and the code of the newest mail.
    async fn mail(&self) -> (Secret, Secret) {
        self.auth.deliver().await.unwrap();
        let mail = self.auth.inbox().unwrap().remove(0);
        let token = mail.text.split("token=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let code = mail.text.lines().find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
        (Secret::new(token), Secret::new(code.unwrap()))
    }

    async fn recover(&self, challenge: Option<&str>) -> (Secret, Secret) {
        let wish = Wish { challenge: challenge.map(str::to_owned), redirect_to: None };
        self.auth.recover(self.visit(), ANN.into(), wish).await.unwrap();
        self.mail().await
    }
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

async fn a_hundred_uses_at_once_give_one_session(on: On) {
    let Some(world) = World::new(on).await else { return };
    let request = LinkRequest { email: ANN.into(), create: true, data: Map::new(), wish: Wish::default() };
    world.auth.send_link(world.visit(), request).await.unwrap();
    let (link, _) = world.mail().await;
    let uses = |kinds: &'static [LinkKind], proof: Proof| {
        let world = world.clone();
        hundred(move || {
            let (world, proof) = (world.clone(), proof.clone());
            async move { world.auth.verify(world.visit(), kinds, proof).await.is_ok() }
        })
    };
    assert_eq!(uses(SIGN_IN, Proof::Link(link)).await, 1, "a link");
    let (_, code) = world.recover(None).await;
    assert_eq!(uses(RECOVERY, Proof::Code { email: ANN.into(), code }).await, 1, "a code");
    // A browser that follows, many times, a link of a flow; and the codes that it got.
    let (link, _) = world.recover(Some(CHALLENGE)).await;
    let codes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let followed = hundred(|| {
        let (world, link, codes) = (world.clone(), link.clone(), codes.clone());
        async move {
            let link = FollowedLink { kinds: Some(RECOVERY), proof: Some(Proof::Link(link)), redirect_to: None };
            match world.auth.follow(world.visit(), link).await.outcome {
                Ok(Landed::Code(code)) => {
                    codes.lock().unwrap().push(code);
                    true
                }
                _ => false,
            }
        }
    });
    assert_eq!(followed.await, 1, "a link of a flow");
    let code = codes.lock().unwrap().remove(0);
    let exchanged = hundred(|| {
        let (world, code) = (world.clone(), code.clone());
        async move { world.auth.exchange(world.visit(), code, Secret::new(VERIFIER)).await.is_ok() }
    });
    assert_eq!(exchanged.await, 1, "the code of a flow");
    // The known-bad control: what is refused was refused because it was used, not because it was wrong.
    let (link, _) = world.recover(None).await;
    assert!(world.auth.verify(world.visit(), RECOVERY, Proof::Link(link)).await.is_ok());
}

async fn a_mail_is_sent_by_one_of_many(on: On) {
    let Some(world) = World::new(on).await else { return };
    let owner = Caller::secret(world.server.engine().moment());
    for number in 0..10 {
        let email = format!("guest{number}@example.org");
        let request = InviteRequest { email, data: Map::new(), redirect_to: None };
        world.auth.invite(world.visit(), &owner, request).await.unwrap();
    }
    let all: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            // A worker that loses every turn gives up until the next round.
            tokio::spawn(async move { world.auth.deliver().await.unwrap_or(0) })
        })
        .collect();
    let mut sent = 0;
    for each in all {
        sent += each.await.unwrap();
    }
    sent += world.auth.deliver().await.unwrap();
    let mut to: Vec<_> = world.auth.inbox().unwrap().into_iter().map(|mail| mail.to).collect();
    to.sort();
    to.dedup();
    assert_eq!((sent, to.len(), world.auth.inbox().unwrap().len()), (10, 10, 10));
}
