//! Keys of service accounts: a program's own, with roles of its own, that end by themselves. They are callers like any user: rules decide what they
//! may, and nothing passes the rules.
//!
//! All of them are in memory, so that a request is known without asking the store; other nodes' are read each second, as revocations are.
//!
//! Deliberately absent: accounts, sessions and tokens. Such a key signs nobody in.

use crate::admin::{AdminError, check_roles};
use crate::api_keys::{fresh_service, sha256};
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::records::{self, SERVICE_KEYS};
use rustc_hash::FxHashMap;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, Secret};
use undergird_engine::{Failure, Isolation, Outcome, Record};
use undergird_model::Value;
use undergird_plan::request::{Request, Verb};
use undergird_plan::{Caller, User};
use uuid::Uuid;

/// Most keys of an application: they are all in memory.
const KEYS_MAX: usize = 1_000;
/// Longest life of a key, in days.
const DAYS_MAX: u32 = 3_650;
/// Longest name.
const NAME_CHARS_MAX: usize = 64;

/// A key of a service account, without the key itself.
#[derive(Clone, Debug)]
pub struct ServiceKey {
    /// What rules see as `auth.id`.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// What rules see as `auth.roles`.
    pub roles: Vec<String>,
    /// When it ends, in microseconds since 1970.
    pub expires_at: i64,
    /// When it was made.
    pub created_at: i64,
}

/// Those that are good, by their hashes.
pub(crate) type ServiceCallers = FxHashMap<[u8; 32], (Arc<User>, i64)>;

fn key(row: &Record) -> Option<ServiceKey> {
    let roles = records::json(row, "roles");
    Some(ServiceKey {
        id: row.uuid("id")?,
        name: row.text("name")?.to_owned(),
        roles: roles.as_array()?.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        expires_at: row.int("expires_at")?,
        created_at: row.int("created_at")?,
    })
}

/// A service account as rules see it.
fn caller(key: &ServiceKey) -> Arc<User> {
    let claims = json!({
        "sub": key.id.to_string(), "role": "authenticated", "aud": "authenticated", "aal": "aal1",
        "amr": [{ "method": "api_key", "timestamp": key.created_at.div_euclid(1_000_000) }],
        "app_metadata": { "provider": "api_key", "service_account": key.name, "roles": key.roles }, "user_metadata": {},
    });
    Arc::new(User::new(key.id, None, key.roles.clone(), claims))
}

impl Core {
    /// Reads all keys into memory.
    pub(crate) async fn load_service_keys(&self) -> Result<(), Failure> {
        let system = Caller::system(self.engine.moment());
        let rows = records::all(&self.engine, &system, &Request::new(SERVICE_KEYS, Verb::Read)).await?;
        let known = rows.iter().filter_map(|row| {
            let key = key(row)?;
            Some((row.bytes("hash")?.try_into().ok()?, (caller(&key), key.expires_at)))
        });
        *self.identifier.service.write() = known.collect();
        Ok(())
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
        if self.service_keys().await?.len() >= KEYS_MAX {
            return Err(wrong("keys", "are as many as an application may have: revoke some"));
        }
        let secret = fresh_service().map_err(|error| Failure::Internal(error.to_string()))?;
        let moment = self.engine.moment();
        let expires_at = moment.now.saturating_add(i64::from(days).saturating_mul(86_400_000_000));
        let made = ServiceKey { id: self.new_id(moment.now)?, name, roles, expires_at, created_at: moment.now };
        let (kept, hash) = (made.clone(), sha256(secret.as_bytes()).to_vec());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (key, hash) = (kept.clone(), hash.clone());
            Box::pin(async move {
                let told = Event::new("service_key_made", Actor::Owner, key.id);
                let detail = json!({ "name": key.name, "roles": key.roles, "expires_at": key.expires_at });
                audit::note(transaction, moment, told.with(detail)).await?;
                let row = [
                    ("id", Value::Uuid(key.id)),
                    ("name", Value::Text(key.name)),
                    ("hash", Value::Bytes(hash)),
                    ("roles", Value::Json(Json::from(key.roles).to_string())),
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
