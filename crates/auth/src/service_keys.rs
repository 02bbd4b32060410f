//! Keys of service accounts: a program's own, with roles of its own, that end by themselves. They are callers like any user: rules decide what they
//! may, and nothing passes the rules. Scopes can hold a key to less, and let it reach accounts ([`undergird_plan::scope`]).
//!
//! All of them are in memory, so that a request is known without asking the store; other nodes' are read each second, as revocations are. When a key
//! was last used is in memory too, and written each minute: a request that reads shall not write.
//!
//! Deliberately absent: accounts, sessions and tokens. Such a key signs nobody in.

use crate::admin::{AdminError, check_roles};
use crate::api_keys::{fresh_service, sha256};
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::records::{self, SERVICE_KEYS};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use undergird_engine::accounts::{AccountError, Secret};
use undergird_engine::{Failure, Isolation, Outcome, Record};
use undergird_model::diagnostic::nearest;
use undergird_model::{Model, Value};
use undergird_plan::request::{Request, Verb};
use undergird_plan::{Caller, Scope, Scopes, User};
use uuid::Uuid;

/// Most keys of an application: they are all in memory.
const KEYS_MAX: usize = 1_000;
/// Longest life of a key, in days.
const DAYS_MAX: u32 = 3_650;
/// Longest name.
const NAME_CHARS_MAX: usize = 64;
/// Most scopes of a key.
const SCOPES_MAX: usize = 200;
/// How exactly it is known when a key was last used, in microseconds: a use within a second of the last one that was noted is not noted.
const USE_GRAIN_MICROS: i64 = 1_000_000;
/// How often uses are written, in microseconds.
pub(crate) const USES_WRITTEN_EVERY_MICROS: i64 = 60_000_000;
/// Never used.
const NEVER: i64 = i64::MIN;

/// A key of a service account, without the key itself.
#[derive(Clone, Debug)]
pub struct ServiceKey {
    /// What rules see as `auth.id`.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// What rules see as `auth.roles`.
    pub roles: Vec<String>,
    /// What it is held to beneath the rules; `None`: the rules alone, and no accounts.
    pub scopes: Option<Scopes>,
    /// When it was last used, as written each minute, in microseconds since 1970.
    pub last_used_at: Option<i64>,
    /// When it ends, in microseconds since 1970.
    pub expires_at: i64,
    /// When it was made.
    pub created_at: i64,
}

/// One that is good until its time comes.
#[derive(Clone)]
struct Known {
    user: Arc<User>,
    expires_at: i64,
    /// Shared with the one that was read before: a use is not forgotten by reading the keys again.
    used: Arc<Used>,
}

/// When a key was last used.
struct Used {
    at: AtomicI64,
    /// Up to when that is written.
    written: AtomicI64,
}

/// All of them, by their hashes.
#[derive(Default)]
pub(crate) struct ServiceCallers(RwLock<FxHashMap<[u8; 32], Known>>);

impl ServiceCallers {
    /// Whose key it is, if it is one at this time; notes that it was used.
    pub(crate) fn find(&self, key: &[u8], now: i64) -> Option<Arc<User>> {
        // By the hash of the whole key: what a lookup's time tells of it is of no use.
        let known = self.0.read();
        let known = known.get(&sha256(key)).filter(|known| now < known.expires_at)?;
        // Stored once a second at most, so that the cores do not pass one word around.
        if now.saturating_sub(known.used.at.load(Ordering::Relaxed)) >= USE_GRAIN_MICROS {
            known.used.at.fetch_max(now, Ordering::Relaxed);
        }
        Some(known.user.clone())
    }

    fn replace(&self, read: impl Iterator<Item = ([u8; 32], ServiceKey)>) {
        let mut known = self.0.write();
        let next = read.map(|(hash, key)| {
            let used = known.get(&hash).map(|before| before.used.clone()).unwrap_or_else(|| {
                let (at, written) = (AtomicI64::new(NEVER), AtomicI64::new(NEVER));
                Arc::new(Used { at, written })
            });
            used.written.fetch_max(key.last_used_at.unwrap_or(NEVER), Ordering::Relaxed);
            (hash, Known { user: caller(&key), expires_at: key.expires_at, used })
        });
        let next = next.collect();
        *known = next;
    }

    /// Those that were used since that was last written: whose, when, and where to say that it is written.
    fn unwritten(&self) -> Vec<(Uuid, i64, Arc<Used>)> {
        let known = self.0.read();
        let uses = known.values().map(|known| (known.user.id(), known.used.at.load(Ordering::Relaxed), &known.used));
        uses.filter(|(_, at, used)| *at > used.written.load(Ordering::Relaxed))
            .map(|(id, at, used)| (id, at, used.clone()))
            .collect()
    }
}

fn key(row: &Record) -> Option<ServiceKey> {
    let roles = records::json(row, "roles");
    Some(ServiceKey {
        id: row.uuid("id")?,
        name: row.text("name")?.to_owned(),
        roles: roles.as_array()?.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        scopes: scopes(row),
        last_used_at: row.int("last_used_at"),
        expires_at: row.int("expires_at")?,
        created_at: row.int("created_at")?,
    })
}

/// What a row says of scopes. One that is not understood, as a newer node may have written it, is none: a key is then held to the others.
fn scopes(row: &Record) -> Option<Scopes> {
    row.text("scopes")?;
    let listed = records::json(row, "scopes");
    let known = listed.as_array().into_iter().flatten().filter_map(|scope| Scope::parse(scope.as_str()?));
    Some(Scopes::new(known.collect()))
}

/// What is wrong with the scopes that a key would have: what they name must be there, or a slip of the pen would be a key that cannot do
/// its work.
fn check_scopes(model: &Model, scopes: &Scopes) -> Result<(), String> {
    if scopes.iter().count() > SCOPES_MAX {
        return Err(format!("are more than {SCOPES_MAX}: `read` and `write` are for all collections"));
    }
    let missing = |kind: &str, name: &str, known: Vec<&str>| {
        let meant = nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        Err(format!("name the {kind} {name}, which there is not{meant}"))
    };
    for scope in scopes.iter() {
        match scope {
            Scope::Read(Some(name)) | Scope::Write(Some(name)) => {
                let open = || model.collections.iter().filter(|known| !known.system).map(|known| known.name.as_str());
                if !open().any(|known| known == name) {
                    return missing("collection", name, open().collect());
                }
            }
            Scope::Call(Some(name)) => {
                if model.find_function(name).is_none() {
                    let known = model.functions.iter().map(|function| function.name.as_str());
                    return missing("function", name, known.collect());
                }
            }
            Scope::Read(None) | Scope::Write(None) | Scope::Call(None) | Scope::Auth(_) => {}
        }
    }
    Ok(())
}

fn listed(scopes: &Scopes) -> Json {
    scopes.iter().map(ToString::to_string).collect()
}

/// A service account as rules see it.
fn caller(key: &ServiceKey) -> Arc<User> {
    let claims = json!({
        "sub": key.id.to_string(), "role": "authenticated", "aud": "authenticated", "aal": "aal1",
        "amr": [{ "method": "api_key", "timestamp": key.created_at.div_euclid(1_000_000) }],
        "app_metadata": { "provider": "api_key", "service_account": key.name, "roles": key.roles }, "user_metadata": {},
    });
    let user = User::new(key.id, None, key.roles.clone(), claims);
    Arc::new(match &key.scopes {
        Some(scopes) => user.held_to(scopes.clone()),
        None => user,
    })
}

impl Core {
    /// Reads all keys into memory.
    pub(crate) async fn load_service_keys(&self) -> Result<(), Failure> {
        let system = Caller::system(self.engine.moment());
        let rows = records::all(&self.engine, &system, &Request::new(SERVICE_KEYS, Verb::Read)).await?;
        let known = rows.iter().filter_map(|row| {
            let hash: [u8; 32] = row.bytes("hash")?.try_into().ok()?;
            Some((hash, key(row)?))
        });
        self.identifier.service.replace(known);
        Ok(())
    }

    /// Writes when keys were last used, those that were used since it was written; how many. Several nodes do so: the latest time stays.
    pub(crate) async fn write_key_uses(&self) -> Result<usize, Failure> {
        let uses = self.identifier.service.unwritten();
        if uses.is_empty() {
            return Ok(0);
        }
        let moment = self.engine.moment();
        let told: Vec<_> = uses.iter().map(|(id, at, _)| (*id, *at)).collect();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let told = told.clone();
            Box::pin(async move {
                let system = Caller::system(moment);
                let mut written = 0;
                for (id, at) in told {
                    let rows = transaction.records(&system, records::by("id", Value::Uuid(id), SERVICE_KEYS)).await?;
                    if rows.first().is_some_and(|row| row.int("last_used_at").is_none_or(|before| before < at)) {
                        let used = Request::new(SERVICE_KEYS, Verb::Update).with_equal("id", Value::Uuid(id));
                        let used = used.with_row([("last_used_at", Value::Timestamp(at))]);
                        transaction.write(&system, used, None).await?;
                        written += 1;
                    }
                }
                Ok(Outcome::commit(written))
            })
        });
        let written = done.await?;
        for (_, at, used) in uses {
            used.written.fetch_max(at, Ordering::Relaxed);
        }
        Ok(written)
    }

    /// All keys, those that ran out among them.
    pub(crate) async fn service_keys(&self) -> Result<Vec<ServiceKey>, Failure> {
        let system = Caller::system(self.engine.moment());
        let rows = records::all(&self.engine, &system, &Request::new(SERVICE_KEYS, Verb::Read)).await?;
        Ok(rows.iter().filter_map(key).collect())
    }

    /// A new key, told this once.
    pub(crate) async fn add_service_key(
        &self,
        name: &str,
        mut roles: Vec<String>,
        scopes: Option<Scopes>,
        days: u32,
    ) -> Result<(ServiceKey, Secret), AdminError> {
        roles.sort();
        roles.dedup();
        check_roles(&roles)?;
        let wrong = |name: &'static str, why: &str| AdminError::Account(AccountError::InvalidSetting(name, why.into()));
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(wrong("name", "must be of 1 to 64 characters"));
        }
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(wrong("days", "must be between 1 and 3650"));
        }
        if let Some(scopes) = &scopes {
            check_scopes(self.engine.app().model(), scopes).map_err(|why| wrong("scopes", &why))?;
        }
        if self.service_keys().await?.len() >= KEYS_MAX {
            return Err(wrong("keys", "are as many as an application may have: revoke some"));
        }
        let secret = fresh_service().map_err(|error| Failure::Internal(error.to_string()))?;
        let moment = self.engine.moment();
        let expires_at = moment.now.saturating_add(i64::from(days).saturating_mul(86_400_000_000));
        let (id, created_at) = (self.new_id(moment.now)?, moment.now);
        let made = ServiceKey { id, name, roles, scopes, last_used_at: None, expires_at, created_at };
        let (kept, hash) = (made.clone(), sha256(secret.as_bytes()).to_vec());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (key, hash) = (kept.clone(), hash.clone());
            Box::pin(async move {
                let told = Event::new("service_key_made", Actor::Owner, key.id);
                let scopes = key.scopes.as_ref().map(listed);
                let detail =
                    json!({ "name": key.name, "roles": key.roles, "scopes": scopes, "expires_at": key.expires_at });
                audit::note(transaction, moment, told.with(detail)).await?;
                let row = [
                    ("id", Value::Uuid(key.id)),
                    ("name", Value::Text(key.name)),
                    ("hash", Value::Bytes(hash)),
                    ("roles", Value::Json(Json::from(key.roles).to_string())),
                    ("scopes", scopes.map_or(Value::Null, |scopes| Value::Json(scopes.to_string()))),
                    ("expires_at", Value::Timestamp(key.expires_at)),
                    ("created_at", Value::Timestamp(key.created_at)),
                ];
                let system = Caller::system(moment);
                transaction.write(&system, Request::new(SERVICE_KEYS, Verb::Create).with_row(row), None).await?;
                transaction.announce(records::TOPIC_KEYS).await?;
                Ok(Outcome::commit(()))
            })
        });
        done.await?;
        self.load_service_keys().await?;
        Ok((made, Secret::new(secret)))
    }

    /// Ends a key; whether there was one.
    pub(crate) async fn revoke_service_key(&self, id: Uuid) -> Result<bool, Failure> {
        let moment = self.engine.moment();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            Box::pin(async move {
                let system = Caller::system(moment);
                let gone = Request::new(SERVICE_KEYS, Verb::Delete).with_equal("id", Value::Uuid(id));
                if transaction.write(&system, gone, None).await?.affected == 0 {
                    return Ok(Outcome::rollback(false));
                }
                audit::note(transaction, moment, Event::new("service_key_revoked", Actor::Owner, id)).await?;
                transaction.announce(records::TOPIC_KEYS).await?;
                Ok(Outcome::commit(true))
            })
        });
        let done = done.await?;
        self.load_service_keys().await?;
        Ok(done)
    }
}
