//! What all methods share: the engine, the keys, the budgets, the memory of what was revoked; and keeping that memory up to date.

use crate::admin;
use crate::api_keys::{KeyHashes, Keys};
use crate::audit::{self, Actor, Event};
use crate::budget::{Allowance, Allowances, Budget};
use crate::captcha::Captchas;
use crate::fetch::Fetcher;
use crate::hooks::{Draft, Gate, Hooks};
use crate::identify::Identifier;
use crate::mail::{Post, Templates, Transport};
use crate::oauth::{Directory, FlowKey};
use crate::one_time::OneTimeKey;
use crate::pages::PageKey;
use crate::passkeys::PasskeyKey;
use crate::password::Hasher;
use crate::records::{
    self, CHALLENGES, MAILS, ONE_TIME_TOKENS, PASSKEY_CHALLENGES, PROVIDER_FLOWS, REVOCATIONS, SESSIONS, SIGNING_KEYS,
};
use crate::revocations::{Revocation, SKEW_MICROS};
use crate::service_keys::USES_WRITTEN_EVERY_MICROS;
use crate::signing::{
    Derived, HANDOVER, KeyRing, NewSigningKey, SHARED_SECRET_MIN, SigningAlgorithm, SigningError, SigningKeyError,
    StoredKey,
};
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use undergird_engine::{Engine, Failure, Isolation, Notice, Outcome, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// How accounts are served.
#[derive(Clone, Debug)]
pub struct Options {
    /// What clients call this server, without a trailing slash: `https://api.example.org`. Goes into tokens as `iss`, so it must not
    /// depend on what a request says.
    pub public_url: String,
    /// How much may be tried.
    pub allowances: Allowances,
    /// How mails leave.
    pub transport: Transport,
    /// What mails say.
    pub templates: Templates,
    /// How other servers are asked.
    pub fetch: Fetcher,
}

impl Options {
    /// With the usual allowances and words, and no way for mails to leave.
    pub fn new(public_url: impl Into<String>) -> Options {
        Options {
            public_url: public_url.into(),
            allowances: Allowances::default(),
            transport: Transport::None,
            templates: Templates::default(),
            fetch: Fetcher::default(),
        }
    }
}

/// How often other processes' revocations and keys are read.
const POLL: Duration = Duration::from_secs(1);
/// How often what ran out is removed, in polls.
const SWEEP_POLLS: u32 = 600;
/// A revocation is dated by its request, on the clock of the node that had it, and visible by its commit. Read again are those of so long before, which
/// is time for clocks that differ and a request that takes as long as one may; one that is later still is missed until the next start.
const LATE_COMMIT_MICROS: i64 = SKEW_MICROS + 60_000_000;

pub(crate) struct Budgets {
    pub(crate) account_and_address: Budget,
    pub(crate) account: Budget,
    pub(crate) address: Budget,
    pub(crate) sign_ups: Budget,
    pub(crate) codes: Budget,
    pub(crate) mails_to: Budget,
    pub(crate) mails_from: Budget,
    pub(crate) mails: Budget,
    pub(crate) mail_codes: Budget,
    pub(crate) departures: Budget,
    pub(crate) good_passwords: Budget,
    pub(crate) password_changes: Budget,
    pub(crate) challenges: Budget,
    pub(crate) refreshes: Budget,
}

pub(crate) struct Core {
    pub(crate) engine: Arc<Engine>,
    pub(crate) identifier: Identifier,
    pub(crate) derived: Derived,
    pub(crate) hasher: Hasher,
    pub(crate) budgets: Budgets,
    pub(crate) one_time: OneTimeKey,
    pub(crate) directory: Directory,
    pub(crate) fetcher: Fetcher,
    pub(crate) hooks: Hooks,
    pub(crate) captchas: Captchas,
    pub(crate) flow_key: FlowKey,
    pub(crate) page_key: PageKey,
    pub(crate) passkey_key: PasskeyKey,
    pub(crate) post: Post,
    pub(crate) public_url: String,
    random: SystemRandom,
    /// The names of the keys in the ring, to see whether the stored ones are others.
    ring_of: Mutex<Vec<(String, Option<i64>)>>,
    /// Up to which account it was looked for those that nobody uses.
    pub(crate) swept_to: Mutex<Option<Uuid>>,
}

impl Core {
    pub(crate) async fn open(engine: Arc<Engine>, keys: &Keys, options: &Options) -> Result<Arc<Core>, Failure> {
        let derived = Derived::new(keys).map_err(broken)?;
        let issuer = format!("{}/auth/v1", options.public_url.trim_end_matches('/'));
        let ring = KeyRing::new(&derived, Vec::new(), 0);
        let Allowances { account_and_address, account, address, sign_ups, codes, .. } = options.allowances;
        let Allowances { mails_to, mails_from, mail_codes, departures, .. } = options.allowances;
        let Allowances { good_passwords, password_changes, challenges, refreshes, .. } = options.allowances;
        let per_hour = engine.app().model().settings.mail.per_hour.max(1);
        let mails = Allowance { burst: per_hour, every: Duration::from_secs(3_600) / per_hour };
        let core = Core {
            identifier: Identifier::new(KeyHashes::new(keys), ring, issuer),
            derived,
            hasher: Hasher::new(),
            budgets: Budgets {
                account_and_address: Budget::new(account_and_address),
                account: Budget::new(account),
                address: Budget::new(address),
                sign_ups: Budget::new(sign_ups),
                codes: Budget::new(codes),
                mails_to: Budget::new(mails_to),
                mails_from: Budget::new(mails_from),
                mails: Budget::new(mails),
                mail_codes: Budget::new(mail_codes),
                departures: Budget::new(departures),
                good_passwords: Budget::new(good_passwords),
                password_changes: Budget::new(password_changes),
                challenges: Budget::new(challenges),
                refreshes: Budget::new(refreshes),
            },
            one_time: OneTimeKey::new(keys).map_err(broken)?,
            directory: Directory::new(options.fetch.clone()),
            fetcher: options.fetch.clone(),
            hooks: Hooks::new(),
            captchas: Captchas::new(),
            flow_key: FlowKey::new(keys).map_err(broken)?,
            page_key: PageKey::new(keys).map_err(broken)?,
            passkey_key: PasskeyKey::new(keys).map_err(broken)?,
            post: Post::new(options).map_err(Failure::Internal)?,
            public_url: options.public_url.trim_end_matches('/').to_owned(),
            random: SystemRandom::new(),
            ring_of: Mutex::new(Vec::new()),
            swept_to: Mutex::new(None),
            engine,
        };
        core.load_keys().await?;
        if !core.identifier.ring.read().can_sign() {
            // Keys sealed under another secret API key are retired with it: whoever learned that one shall not sign for ever.
            let new = match core.current_algorithm().await? {
                SigningAlgorithm::Hs256 => {
                    tracing::warn!(
                        "the shared secret that signed tokens cannot be opened with this secret key: they are signed with ES256 until \
                         `undergird keys rotate --algorithm HS256` gives it again"
                    );
                    NewSigningKey::Of(SigningAlgorithm::default())
                }
                algorithm => NewSigningKey::Of(algorithm),
            };
            core.add_key(new).await.map_err(|error| match error {
                SigningKeyError::Failed(failure) => failure,
                other => Failure::Internal(other.to_string()),
            })?;
        }
        core.load_revocations(0).await?;
        core.load_service_keys().await?;
        Ok(Arc::new(core))
    }

    pub(crate) fn access_token_seconds(&self) -> u32 {
        self.engine.app().model().settings.auth.access_token_seconds
    }

    pub(crate) fn random(&self) -> Result<[u8; 32], Failure> {
        let mut octets = [0u8; 32];
        let filled = self.random.fill(&mut octets);
        filled.map(|()| octets).map_err(|_| Failure::Internal("the system gives no random bits".into()))
    }

    /// A UUID v7.
    pub(crate) fn new_id(&self, now: i64) -> Result<Uuid, Failure> {
        let octets = self.random()?;
        let mut random = [0u8; 10];
        random.copy_from_slice(&octets[..10]);
        let millis = u64::try_from(now.div_euclid(1_000)).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Remembers revocations that are committed.
    pub(crate) fn revoked(&self, revocations: Vec<Revocation>, now: i64) {
        self.identifier.revocations.add(revocations, now);
    }

    fn system(&self) -> Caller {
        Caller::system(self.engine.moment())
    }

    async fn load_revocations(&self, since: i64) -> Result<(), Failure> {
        let system = self.system();
        let now = system.moment().now;
        let request = records::and(
            Request::new(REVOCATIONS, Verb::Read),
            "until",
            Operator::Gt(None),
            Operand::Value(Value::Timestamp(now)),
        );
        let since = Operand::Value(Value::Timestamp(since));
        let request = records::and(request, "created_at", Operator::Gte(None), since);
        let rows = records::all(&self.engine, &system, &request).await?;
        let revocation = |row: &undergird_engine::Record| {
            Some(Revocation { session: row.uuid("id")?, below: row.int("generation"), until: row.int("until")? })
        };
        self.revoked(rows.iter().filter_map(revocation).collect(), now);
        Ok(())
    }

    async fn load_keys(&self) -> Result<(), Failure> {
        let rows = self.engine.records(&self.system(), Request::new(SIGNING_KEYS, Verb::Read)).await?;
        let stored: Vec<StoredKey> = rows
            .iter()
            .filter_map(|row| {
                Some(StoredKey {
                    kid: row.text("kid")?.to_owned(),
                    algorithm: SigningAlgorithm::of(row.text("algorithm")?)?,
                    public: records::json(row, "public"),
                    private: row.bytes("private")?.to_vec(),
                    created_at: row.int("created_at")?,
                    retired_at: row.int("retired_at"),
                })
            })
            .collect();
        let mut names: Vec<_> = stored.iter().map(|key| (key.kid.clone(), key.retired_at)).collect();
        names.sort();
        let mut ring_of = self.ring_of.lock();
        if *ring_of != names {
            let life = i64::from(self.access_token_seconds()).saturating_mul(1_000_000);
            self.identifier.replace_ring(KeyRing::new(&self.derived, stored, life));
            *ring_of = names;
        }
        Ok(())
    }

    /// The algorithm of the key that signs, or would, were it not sealed under another secret key.
    async fn current_algorithm(&self) -> Result<SigningAlgorithm, Failure> {
        let current = admin::where_null(Request::new(SIGNING_KEYS, Verb::Read), "retired_at");
        let rows = self.engine.records(&self.system(), current).await?;
        let newest = rows.iter().max_by_key(|row| row.int("created_at"));
        Ok(newest.and_then(|row| row.text("algorithm")).and_then(SigningAlgorithm::of).unwrap_or_default())
    }

    /// Makes a signing key, of the algorithm of the last one unless another is named, or takes a shared secret for one; the ones before
    /// it sign no more, and verify until their last token ran out.
    pub(crate) async fn add_key(&self, new: NewSigningKey) -> Result<(), SigningKeyError> {
        let moment = self.engine.moment();
        let id = self.new_id(moment.now)?;
        let algorithm = match &new {
            NewSigningKey::AsBefore => self.current_algorithm().await?,
            NewSigningKey::Of(algorithm) => *algorithm,
            NewSigningKey::Shared(_) => SigningAlgorithm::Hs256,
        };
        let key = match (&new, algorithm) {
            (NewSigningKey::Shared(secret), _) => {
                let secret = secret.expose().as_bytes();
                if secret.len() < SHARED_SECRET_MIN {
                    return Err(SigningKeyError::SecretTooShort);
                }
                StoredKey::shared(&self.derived, secret, id, moment.now).map_err(broken)?
            }
            // Nobody would know one that is made here.
            (_, SigningAlgorithm::Hs256) => return Err(SigningKeyError::SecretMissing),
            (_, algorithm) => StoredKey::generate(&self.derived, algorithm, id, moment.now).map_err(broken)?,
        };
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let key = key.clone();
            Box::pin(async move {
                let system = Caller::system(moment);
                let current = admin::where_null(Request::new(SIGNING_KEYS, Verb::Update), "retired_at");
                let current = current.with_row([("retired_at", Value::Timestamp(moment.now))]);
                transaction.write(&system, current, None).await?;
                let told = Event::new("signing_key_rotated", Actor::Owner, None);
                let detail = serde_json::json!({ "kid": key.kid, "algorithm": key.algorithm.name() });
                audit::note(transaction, moment, told.with(detail)).await?;
                let row = [
                    ("kid", Value::Text(key.kid)),
                    ("algorithm", Value::text(key.algorithm.name())),
                    ("public", Value::Json(key.public.to_string())),
                    ("private", Value::Bytes(key.private)),
                    ("created_at", Value::Timestamp(key.created_at)),
                ];
                transaction.write(&system, Request::new(SIGNING_KEYS, Verb::Create).with_row(row), None).await?;
                transaction.announce(records::TOPIC_KEYS).await?;
                Ok(Outcome::commit(()))
            })
        });
        done.await?;
        Ok(self.load_keys().await?)
    }

    /// Reads what other processes changed, when they say so and each second, and removes what ran out, each ten minutes. Never ends
    /// by itself.
    pub(crate) async fn keep_up(self: Arc<Self>) {
        let mut polls = 0u32;
        let mut since = self.engine.moment().now;
        let mut uses_written = since;
        let mut notices = self.engine.notices();
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = told(&mut notices) => {}
            }
            let now = self.engine.moment().now;
            let read = match self.load_revocations(since.saturating_sub(LATE_COMMIT_MICROS)).await {
                Ok(()) => match self.load_keys().await {
                    Ok(()) => self.load_service_keys().await,
                    Err(failure) => Err(failure),
                },
                Err(failure) => Err(failure),
            };
            match read {
                Ok(()) => since = now,
                Err(failure) => tracing::warn!(?failure, "sessions that others ended could not be read"),
            }
            if now.saturating_sub(uses_written) >= USES_WRITTEN_EVERY_MICROS {
                uses_written = now;
                if let Err(failure) = self.write_key_uses().await {
                    tracing::warn!(?failure, "when keys were last used could not be written");
                }
            }
            if let Err(failure) = self.chain_audit().await {
                tracing::warn!(?failure, "the audit log could not be chained");
            }
            polls = (polls + 1) % SWEEP_POLLS;
            if polls == 0
                && let Err(failure) = self.sweep().await
            {
                tracing::warn!(?failure, "sessions that ran out could not be removed");
            }
        }
    }

    /// Removes what ran out: sessions, revocations, signing keys whose last token is gone, entries of the audit log, accounts that nobody uses.
    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<(), Failure> {
        let moment = self.engine.moment();
        let life = i64::from(self.access_token_seconds()).saturating_mul(1_000_000);
        let work = self.engine.transaction(Isolation::Serializable, move |transaction| {
            Box::pin(async move {
                let system = Caller::system(moment);
                let retired = moment.now.saturating_sub(life).saturating_sub(HANDOVER);
                for (collection, column, before) in [
                    (SESSIONS, "not_after", moment.now),
                    (CHALLENGES, "until", moment.now),
                    (REVOCATIONS, "until", moment.now),
                    (ONE_TIME_TOKENS, "expires_at", moment.now),
                    (MAILS, "expires_at", moment.now),
                    (PASSKEY_CHALLENGES, "until", moment.now),
                    (PROVIDER_FLOWS, "expires_at", moment.now),
                    (SIGNING_KEYS, "retired_at", retired),
                ] {
                    let before = Operand::Value(Value::Timestamp(before));
                    let old = records::and(Request::new(collection, Verb::Delete), column, Operator::Lt(None), before);
                    transaction.write(&system, old, None).await?;
                }
                Ok(Outcome::commit(()))
            })
        });
        work.await?;
        self.sweep_audit(moment).await?;
        self.sweep_accounts(moment).await
    }
}

/// Waits until another node says that sessions or keys changed, or may have.
async fn told(notices: &mut (impl Stream<Item = Notice> + Unpin)) {
    loop {
        match notices.next().await {
            Some(Notice::Announced(topic)) if topic == records::TOPIC_SESSIONS || topic == records::TOPIC_KEYS => {
                return;
            }
            Some(Notice::Missed) => return,
            Some(Notice::Announced(_) | Notice::Schema) => {}
            // Nobody will say anything any more; there is still the clock.
            None => std::future::pending().await,
        }
    }
}

fn broken(_: SigningError) -> Failure {
    Failure::Internal("the signing keys could not be made".into())
}

/// The address as the key of a budget: an IPv6 customer has a whole /64, so that is what counts.
pub(crate) fn budget_key(address: Option<IpAddr>) -> Option<IpAddr> {
    match address {
        Some(IpAddr::V6(six)) => match six.to_ipv4_mapped() {
            Some(four) => Some(IpAddr::V4(four)),
            None => Some(IpAddr::V6((u128::from(six) & !u128::from(u64::MAX)).into())),
        },
        other => other,
    }
}

/// A user's row and identity, made inside a transaction.
pub(crate) struct NewUser {
    pub(crate) id: Uuid,
    pub(crate) identity: Uuid,
    /// None: an anonymous account, without an identity.
    pub(crate) email: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) confirmed: bool,
    pub(crate) invited: bool,
    /// Made by the owner: no sign-up replaces it, and its password is no stranger's.
    pub(crate) owner_made: bool,
    pub(crate) app_metadata: serde_json::Value,
    pub(crate) user_metadata: serde_json::Value,
}

impl NewUser {
    /// # Errors
    /// Those of the store, and the gate's, see [`Gate::pass`].
    pub(crate) async fn create(
        self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        gate: &Gate,
    ) -> Result<(), Failure> {
        gate.pass(Draft {
            id: self.id,
            email: self.email.clone(),
            app_metadata: self.app_metadata.clone(),
            user_metadata: self.user_metadata.clone(),
        })?;
        let now = system.moment().now;
        let row = [
            ("id", Value::Uuid(self.id)),
            ("email", self.email.clone().map_or(Value::Null, Value::Text)),
            ("is_anonymous", Value::Bool(self.email.is_none())),
            ("invited_at", records::optional_time(self.invited.then_some(now))),
            ("owner_made", Value::Bool(self.owner_made)),
            ("password_hash", self.password_hash.map_or(Value::Null, Value::Text)),
            ("email_confirmed_at", records::optional_time(self.confirmed.then_some(now))),
            ("app_metadata", Value::Json(self.app_metadata.to_string())),
            ("user_metadata", Value::Json(self.user_metadata.to_string())),
            ("created_at", Value::Timestamp(now)),
            ("updated_at", Value::Timestamp(now)),
        ];
        transaction.write(system, Request::new(records::USERS, Verb::Create).with_row(row), None).await?;
        if let Some(email) = self.email {
            add_identity(transaction, system, (self.id, self.identity), &email, self.confirmed).await?;
        }
        audit::note(transaction, system.moment(), Event::new("user_created", Actor::System, self.id)).await
    }
}

/// The means of signing in by an address: whose, and its own id.
pub(crate) async fn add_identity(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    (user, id): (Uuid, Uuid),
    email: &str,
    verified: bool,
) -> Result<(), Failure> {
    let now = Value::Timestamp(system.moment().now);
    let data = serde_json::json!({
        "sub": user.to_string(), "email": email, "email_verified": verified, "phone_verified": false,
    });
    let row = [
        ("id", Value::Uuid(id)),
        ("user_id", Value::Uuid(user)),
        ("provider", Value::text("email")),
        ("provider_id", Value::text(user.to_string())),
        ("data", Value::Json(data.to_string())),
        ("created_at", now.clone()),
        ("updated_at", now),
    ];
    transaction.write(system, Request::new(records::IDENTITIES, Verb::Create).with_row(row), None).await.map(|_| ())
}

impl Core {
    /// Has the identity of an account say this address, and whether it is confirmed (`None`: as before). An account that has none, as an
    /// anonymous one, gets one; gives whether it did.
    pub(crate) async fn settle_identity(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
        email: &str,
        verified: Option<bool>,
    ) -> Result<bool, Failure> {
        let of_email = || {
            records::by("user_id", Value::Uuid(user), records::IDENTITIES).with_equal("provider", Value::text("email"))
        };
        let now = system.moment().now;
        let Some(identity) = transaction.records(system, of_email()).await?.into_iter().next() else {
            let id = self.new_id(now)?;
            add_identity(transaction, system, (user, id), email, verified.unwrap_or(false)).await?;
            return Ok(true);
        };
        let mut data = records::json(&identity, "data");
        data["email"] = email.into();
        if let Some(verified) = verified {
            data["email_verified"] = verified.into();
        }
        let row = [("data", Value::Json(data.to_string())), ("updated_at", Value::Timestamp(now))];
        transaction.write(system, records::as_verb(of_email(), Verb::Update).with_row(row), None).await?;
        Ok(false)
    }
}
