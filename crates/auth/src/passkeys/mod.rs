//! Passkeys (Web Authentication): registering one for an account, and signing in with one, no account named.
//!
//! A challenge is a MAC of its id and of all that it is bound to: the ceremony, and of a registration the account and the session. So whoever
//! asks for one writes nothing, an answer to another's challenge does not fit, and the age of a challenge is that of its id. Using one
//! is making its row, and whoever made it was the only one.
//!
//! What makes an answer good is in [`ceremony`]; for whom passkeys are, in [`relying`]; keeping them, in [`keep`]; the same keys as
//! second factors, in [`factor`].

mod cbor;
mod ceremony;
mod cose;
mod factor;
mod keep;
mod relying;
#[cfg(test)]
mod tests;

use crate::admin::where_null;
use crate::api_keys::{Keys, sha256};
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::factors::{demand_aal2, factors_of, session_of, settle};
use crate::mail::MailKind;
use crate::password::too_many;
use crate::records::{self, PASSKEY_CHALLENGES, PASSKEYS, SESSIONS, USERS};
use crate::sessions::{self, Started, may_sign_in};
use crate::signing::SigningError;
use ceremony::{Bad, Expected, Registered, Seen};
use cose::ALGORITHMS;
use relying::RelyingParty;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, Assertion, KnownCredential, NewCredential, Passkey, PasskeyCreation, PasskeyError, PasskeyRequest,
    Secret, Session, Visit,
};
use undergird_engine::failure::Kind;
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

/// What sessions are told to have begun by: Supabase Auth's word.
pub(crate) const METHOD: &str = "passkey";
/// The same of a second factor.
const METHOD_AS_FACTOR: &str = "mfa/webauthn";
/// Most passkeys of an account, as in Supabase Auth.
const PASSKEYS_MAX: usize = 10;
/// How long a challenge may be answered.
const CHALLENGE_MICROS: i64 = 300_000_000;
/// How much longer a used one is remembered: clocks of nodes differ.
const REMEMBERED_MICROS: i64 = 600_000_000;
/// Longest name of a person that authenticators are told (they may cut at 64 octets).
const DISPLAY_CHARS_MAX: usize = 64;
/// Most ways to reach an authenticator that are kept, and the longest of them.
const TRANSPORTS_MAX: usize = 8;
const TRANSPORT_CHARS_MAX: usize = 32;

/// The key of all challenges.
pub(crate) struct PasskeyKey(hmac::Key);

/// What a challenge is for. An answer to one is no answer to another.
#[derive(Clone, Copy)]
enum Purpose {
    /// That this account has a passkey, as this session asked.
    Register { user: Uuid, session: Uuid },
    /// That somebody is signed in.
    SignIn,
    /// That the session of this account is raised by this factor.
    Factor { user: Uuid, session: Uuid, factor: Uuid },
}

impl PasskeyKey {
    pub(crate) fn new(keys: &Keys) -> Result<PasskeyKey, SigningError> {
        let extracted = Salt::new(HKDF_SHA256, b"undergird").extract(keys.secret.expose().as_bytes());
        let info: [&[u8]; 1] = [b"passkey challenges, 1"];
        let expanded = extracted.expand(&info, hmac::HMAC_SHA256).map_err(|_| SigningError)?;
        Ok(PasskeyKey(expanded.into()))
    }

    /// The challenge with this id. All parts are of fixed length, so no two purposes have the same octets.
    fn challenge(&self, id: Uuid, purpose: Purpose) -> [u8; 32] {
        let none = Uuid::nil();
        let (name, user, session, factor) = match purpose {
            Purpose::Register { user, session } => (b'r', user, session, none),
            Purpose::SignIn => (b's', none, none, none),
            Purpose::Factor { user, session, factor } => (b'f', user, session, factor),
        };
        let mut context = hmac::Context::with_key(&self.0);
        [[name].as_slice(), id.as_bytes(), user.as_bytes(), session.as_bytes(), factor.as_bytes()]
            .iter()
            .for_each(|part| context.update(part));
        let mut octets = [0; 32];
        octets.copy_from_slice(context.sign().as_ref());
        octets
    }
}

/// Until when the challenge with this id may be answered, in microseconds. A made-up id may say what it will: nobody was told its challenge.
fn until(id: Uuid) -> Option<i64> {
    let millis = i64::try_from(id.as_u128() >> 80).ok().filter(|_| id.get_version_num() == 7)?;
    millis.checked_mul(1_000)?.checked_add(CHALLENGE_MICROS)
}

/// That a challenge is young enough.
fn demand_young(id: Uuid, now: i64) -> Result<i64, AccountError> {
    until(id).filter(|until| now < *until).ok_or(PasskeyError::ChallengeExpired.into())
}

/// Uses a challenge up: its row can be made once, also where transactions run side by side.
async fn use_up(transaction: &mut Transaction<'_>, system: &Caller, id: Uuid, until: i64) -> Result<(), Failure> {
    let until = Value::Timestamp(until.saturating_add(REMEMBERED_MICROS));
    let request = Request::new(PASSKEY_CHALLENGES, Verb::Create).with_row([("id", Value::Uuid(id)), ("until", until)]);
    transaction.write(system, request, None).await.map(|_| ())
}

/// What is there already, as the store tells it.
fn or_taken(failure: Failure) -> AccountError {
    match failure {
        Failure::Constraint(constraint) if constraint.kind == Kind::Unique => match constraint.collection.as_str() {
            PASSKEY_CHALLENGES => PasskeyError::ChallengeUsed.into(),
            PASSKEYS => PasskeyError::Exists.into(),
            _ => Failure::Constraint(constraint).into(),
        },
        other => other.into(),
    }
}

/// The passkeys of an account, keys of its second factors among them.
async fn credentials_of(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
) -> Result<Vec<Record>, Failure> {
    transaction.records(system, records::by("user_id", Value::Uuid(user), PASSKEYS)).await
}

/// Whether it signs in; the keys of second factors do not.
fn is_passkey(row: &Record) -> bool {
    row.uuid("factor_id").is_none()
}

fn known(row: &Record) -> KnownCredential {
    let transports = match records::json(row, "transports") {
        Json::Array(names) => names.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    KnownCredential { id: row.bytes("credential_id").unwrap_or_default().to_vec(), transports }
}

/// A credential that is kept from now on.
struct Kept<'a> {
    id: Uuid,
    user: Uuid,
    factor: Option<Uuid>,
    credential: &'a Registered,
    transports: &'a [String],
    name: Option<&'a str>,
}

async fn put(transaction: &mut Transaction<'_>, system: &Caller, kept: Kept<'_>) -> Result<(), Failure> {
    let Registered { id, public_key, aaguid, seen } = kept.credential;
    let is_name = |name: &&String| {
        name.len() <= TRANSPORT_CHARS_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let transports: Vec<&String> = kept.transports.iter().filter(is_name).take(TRANSPORTS_MAX).collect();
    let row = [
        ("id", Value::Uuid(kept.id)),
        ("user_id", Value::Uuid(kept.user)),
        ("factor_id", kept.factor.map_or(Value::Null, Value::Uuid)),
        ("hash", Value::Bytes(sha256(id).to_vec())),
        ("credential_id", Value::Bytes(id.clone())),
        ("public_key", Value::Bytes(public_key.clone())),
        ("sign_count", Value::Int(seen.sign_count.into())),
        ("backup_eligible", Value::Bool(seen.backup_eligible)),
        ("backed_up", Value::Bool(seen.backed_up)),
        ("aaguid", Value::Uuid(*aaguid)),
        ("transports", Value::Json(json!(transports).to_string())),
        ("name", kept.name.map_or(Value::Null, Value::text)),
        ("created_at", Value::Timestamp(system.moment().now)),
    ];
    transaction.write(system, Request::new(PASSKEYS, Verb::Create).with_row(row), None).await.map(|_| ())
}

/// Why a signature of a stored credential does not count all the same (§7.2, steps 21 and 22).
fn check_seen(row: &Record, seen: &Seen) -> Result<(), Bad> {
    if row.flag("backup_eligible") != seen.backup_eligible {
        return Err(Bad("authenticator data: another kind of authenticator"));
    }
    let (stored, told) = (row.int("sign_count").unwrap_or(0), i64::from(seen.sign_count));
    match (stored == 0 && told == 0) || told > stored {
        true => Ok(()),
        false => Err(Bad(COUNT_BACK)),
    }
}

/// Two authenticators may have the key: one of them is a copy.
const COUNT_BACK: &str = "the count of signatures went back";

/// Notes what an authenticator said. The condition is in the change: of two that saw the same count one comes second.
async fn note_seen(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    row: &Record,
    seen: &Seen,
) -> Result<bool, Failure> {
    let id = Value::Uuid(row.uuid("id").unwrap_or_default());
    let as_seen = Request::new(PASSKEYS, Verb::Update).with_equal("id", id);
    let as_seen = as_seen.with_equal("sign_count", Value::Int(row.int("sign_count").unwrap_or(0)));
    let row = [
        ("sign_count", Value::Int(seen.sign_count.into())),
        ("backed_up", Value::Bool(seen.backed_up)),
        ("last_used_at", Value::Timestamp(system.moment().now)),
    ];
    Ok(transaction.write(system, as_seen.with_row(row), None).await?.affected == 1)
}

/// The passkeys of an account go: somebody else may have made them. Its second factors stay what they are.
pub(crate) async fn drop_all(transaction: &mut Transaction<'_>, system: &Caller, user: Uuid) -> Result<(), Failure> {
    let theirs = where_null(records::by("user_id", Value::Uuid(user), PASSKEYS), "factor_id");
    transaction.write(system, records::as_verb(theirs, Verb::Delete), None).await.map(|_| ())
}

/// How a sign-in ended, inside its transaction.
enum SignedIn {
    Yes(Box<Started>),
    No { user: Option<Uuid>, why: Bad },
}

impl Core {
    /// Whether passkeys are taken here, and by whom.
    pub(crate) fn relying_party(&self) -> Option<RelyingParty> {
        relying::of(&self.engine.app().model().settings, &self.public_url)
    }

    fn demand_party(&self) -> Result<RelyingParty, AccountError> {
        self.relying_party().ok_or(PasskeyError::Off.into())
    }

    /// A challenge for the caller's account.
    pub(crate) async fn begin_passkey_registration(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        current_password: Option<Secret>,
    ) -> Result<PasskeyCreation, AccountError> {
        let party = self.demand_party()?;
        let (user, session) = sessions::of_caller(&caller)?;
        self.demand_proof(&visit, user, session, current_password.as_ref()).await?;
        let system = Caller::system(visit.moment);
        let (account, there) = self
            .engine
            .transaction(Isolation::Serializable, move |transaction| {
                let system = system.clone();
                Box::pin(async move { settle(may_register(transaction, &system, (user, session)).await) })
            })
            .await??;
        let now = visit.moment.now;
        let id = self.new_id(now)?;
        let email = account.text("email").unwrap_or("user").to_owned();
        let metadata = records::json(&account, "user_metadata");
        let named = ["full_name", "name"].iter().find_map(|name| metadata.get(name)?.as_str());
        let named = named.map(str::trim).filter(|name| !name.is_empty());
        Ok(PasskeyCreation {
            id,
            expires_at: until(id).unwrap_or(now).div_euclid(1_000_000),
            challenge: self.passkey_key.challenge(id, Purpose::Register { user, session }),
            relying_party: party.id,
            relying_name: party.name,
            user_handle: user.to_string(),
            display_name: named.map_or_else(|| email.clone(), |name| name.chars().take(DISPLAY_CHARS_MAX).collect()),
            user_name: email,
            discoverable: true,
            algorithms: &ALGORITHMS,
            exclude: there.iter().map(known).collect(),
        })
    }

    /// The answer to it.
    pub(crate) async fn finish_passkey_registration(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        challenge: Uuid,
        answer: NewCredential,
        name: Option<String>,
    ) -> Result<Passkey, AccountError> {
        let party = self.demand_party()?;
        let (user, session) = sessions::of_caller(&caller)?;
        let name = name.map(|name| keep::check_name(&name)).transpose()?;
        let now = visit.moment.now;
        let until = demand_young(challenge, now)?;
        self.budgets.codes.take(&user, now).map_err(too_many)?;
        let expected = self.passkey_key.challenge(challenge, Purpose::Register { user, session });
        let made = ceremony::register(&answer, &Expected { party: &party, challenge: &expected });
        let credential = match made {
            Ok(credential) => credential,
            Err(why) => return self.refuse(&visit, "passkey_refused", Some(user), why).await,
        };
        let id = self.new_id(now)?;
        let (core, kept) = (self.clone(), name.clone());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            let (credential, transports, name) = (credential.clone(), answer.transports.clone(), kept.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                let new = Kept {
                    id,
                    user,
                    factor: None,
                    credential: &credential,
                    transports: &transports,
                    name: name.as_deref(),
                };
                let made = register(transaction, &system, session, (challenge, until), new).await;
                if made.is_ok() {
                    core.tell_user(transaction, &system, user, (MailKind::PasskeyAdded, METHOD)).await?;
                }
                settle(made)
            })
        });
        done.await.map_err(or_taken)??;
        self.post.wake();
        self.budgets.codes.give_back(&user);
        Ok(Passkey { id, name, created_at: now, last_used_at: None })
    }

    /// A challenge for anybody. Nothing is written: pages ask for one when they are opened.
    pub(crate) async fn begin_passkey_sign_in(&self, visit: &Visit) -> Result<PasskeyRequest, AccountError> {
        let party = self.demand_party()?;
        let now = visit.moment.now;
        let id = self.new_id(now)?;
        Ok(PasskeyRequest {
            id,
            expires_at: until(id).unwrap_or(now).div_euclid(1_000_000),
            challenge: self.passkey_key.challenge(id, Purpose::SignIn),
            relying_party: party.id,
            allow: Vec::new(),
        })
    }

    /// The answer to it: a session of the account whose passkey signed.
    pub(crate) async fn finish_passkey_sign_in(
        self: Arc<Self>,
        visit: Visit,
        challenge: Uuid,
        answer: Assertion,
    ) -> Result<Session, AccountError> {
        let party = self.demand_party()?;
        let until = demand_young(challenge, visit.moment.now)?;
        self.spend_guess(&visit)?;
        let (core, address) = (self.clone(), visit.clone());
        let (party, answer) = (Arc::new(party), Arc::new(answer));
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, party, answer) = (core.clone(), visit.clone(), party.clone(), answer.clone());
            Box::pin(async move {
                match core.passkey_sign_in(transaction, &visit, &party, (challenge, until), &answer).await {
                    Ok(yes @ SignedIn::Yes(_)) => Ok(Outcome::commit(Ok(yes))),
                    Ok(no @ SignedIn::No { .. }) => Ok(Outcome::rollback(Ok(no))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        match done.await.map_err(or_taken).and_then(|done| done) {
            Ok(SignedIn::Yes(started)) => {
                self.give_back_guess(&address);
                self.tokens(*started).await
            }
            Ok(SignedIn::No { user, why }) => self.refuse(&address, "login_failed", user, why).await,
            Err(refused) => Err(refused),
        }
    }

    async fn passkey_sign_in(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        party: &RelyingParty,
        (challenge, until): (Uuid, i64),
        answer: &Assertion,
    ) -> Result<SignedIn, AccountError> {
        let system = Caller::system(visit.moment);
        let no = |user: Option<Uuid>, why: &'static str| Ok(SignedIn::No { user, why: Bad(why) });
        let by_id = records::by("hash", Value::Bytes(sha256(&answer.id).to_vec()), PASSKEYS);
        let rows = transaction.records(&system, by_id).await?;
        let Some(row) = rows.first().filter(|row| is_passkey(row)) else { return no(None, "nobody has this passkey") };
        let Some(user) = row.uuid("user_id") else { return no(None, "nobody has this passkey") };
        // Whose it is, the authenticator must say: it was asked to find the account by itself (§7.2, step 6).
        if answer.user_handle.as_deref() != Some(user.to_string().as_bytes()) {
            return no(Some(user), "the authenticator keeps it for another account");
        }
        let expected = self.passkey_key.challenge(challenge, Purpose::SignIn);
        let key = row.bytes("public_key").unwrap_or_default();
        let seen = ceremony::assert(answer, key, &Expected { party, challenge: &expected });
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => return Ok(SignedIn::No { user: Some(user), why }),
        };
        // Before the count: what is sent twice is no copy of a device.
        use_up(transaction, &system, challenge, until).await?;
        if let Err(why) = check_seen(row, &seen) {
            return Ok(SignedIn::No { user: Some(user), why });
        }
        let account = records::user(transaction, &system, user).await?.ok_or(AccountError::AccountMissing)?;
        may_sign_in(&account, visit.moment.now)?;
        self.budgets.good_passwords.take(&user, visit.moment.now).map_err(too_many)?;
        if !note_seen(transaction, &system, row, &seen).await? {
            return no(Some(user), COUNT_BACK);
        }
        let now = Value::Timestamp(visit.moment.now);
        let change = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(user));
        transaction.write(&system, change.with_row([("last_sign_in_at", now)]), None).await?;
        let started = self.start_session(transaction, visit, user, METHOD).await?;
        let passkey = Value::Uuid(row.uuid("id").unwrap_or_default());
        let begun = Request::new(SESSIONS, Verb::Update).with_equal("id", Value::Uuid(started.session));
        transaction.write(&system, begun.with_row([("passkey_id", passkey)]), None).await?;
        Ok(SignedIn::Yes(Box::new(started)))
    }

    /// Notes why an answer was refused, which whoever sent it is not told.
    async fn refuse<T>(
        &self,
        visit: &Visit,
        event: &'static str,
        user: Option<Uuid>,
        why: Bad,
    ) -> Result<T, AccountError> {
        let event = Event::new(event, Actor::Nobody, user).from(visit.address);
        self.note_alone(visit.moment, event.with(json!({ "method": METHOD, "why": why.0 }))).await?;
        Err(PasskeyError::Rejected.into())
    }
}

/// That the account may have one more; its row, and what it has.
async fn may_register(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    (user, session): (Uuid, Uuid),
) -> Result<(Record, Vec<Record>), AccountError> {
    let row = session_of(transaction, system, user, session).await?;
    let account = records::user(transaction, system, user).await?.ok_or(AccountError::AccountMissing)?;
    if account.flag("is_anonymous") {
        return Err(PasskeyError::Anonymous.into());
    }
    may_sign_in(&account, system.moment().now)?;
    demand_aal2(&row, &factors_of(transaction, system, user).await?)?;
    let there = credentials_of(transaction, system, user).await?;
    match there.iter().filter(|row| is_passkey(row)).count() < PASSKEYS_MAX {
        true => Ok((account, there)),
        false => Err(PasskeyError::TooMany.into()),
    }
}

/// Keeps a passkey, as everything is now.
async fn register(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    session: Uuid,
    (challenge, until): (Uuid, i64),
    new: Kept<'_>,
) -> Result<(), AccountError> {
    let (id, user) = (new.id, new.user);
    may_register(transaction, system, (user, session)).await?;
    use_up(transaction, system, challenge, until).await?;
    put(transaction, system, new).await?;
    let event = Event::new("passkey_created", Actor::User, user).in_session(session);
    let detail = json!({ "passkey": id.to_string() });
    Ok(audit::note(transaction, system.moment(), event.with(detail)).await?)
}
