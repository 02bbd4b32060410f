//! The audit log: what happened to accounts, hash-chained.
//!
//! An entry is written in the transaction of what it tells: there is none without the other. It is bound into the chain a moment later, by
//! whichever node comes first ([`Core::chain_audit`]), so that sign-ins never wait for each other at the end of a chain. The chain's places are a
//! unique column: two nodes that bind at once cannot both succeed, and there is one chain.
//!
//! What it proves: an entry that was changed, taken out or put in between is found by [`Core::verify_audit`]. What it does not: whoever may write to the
//! database can make a whole new chain, or cut the newest entries. A head that was noted elsewhere finds that too.
//!
//! Deliberately absent: addresses, names, passwords and tokens. An entry says whose account by its id.

use crate::admin::where_null;
use crate::api_keys::sha256;
use crate::audit_keep;
use crate::core::Core;
use crate::records::{self, AUDIT_LOG};
use ring::rand::{SecureRandom, SystemRandom};
use std::net::IpAddr;
use undergird_engine::failure::Kind;
use undergird_engine::{Engine, Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// Entries bound in one transaction.
const BATCH: usize = 200;
/// Longest detail; more is cut, which the entry's hash covers as it is.
const DETAIL_CHARS_MAX: usize = 2_000;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Nobody who is known: a sign-in, or an attempt at one.
    Nobody,
    /// The user of the account.
    User,
    /// The holder of the secret key, or of the command line.
    Owner,
    /// A program whose key reaches accounts: the key's id, which the detail tells.
    ServiceKey(Uuid),
    /// Undergird by itself.
    System,
}

impl Actor {
    fn name(self) -> &'static str {
        match self {
            Actor::Nobody => "nobody",
            Actor::User => "user",
            Actor::Owner => "owner",
            Actor::ServiceKey(_) => "service_key",
            Actor::System => "system",
        }
    }
}

/// Something that happened. The names of events are Supabase Auth's where it has one.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    name: &'static str,
    actor: Actor,
    user: Option<Uuid>,
    session: Option<Uuid>,
    ip: Option<IpAddr>,
    detail: Option<String>,
}

impl Event {
    /// An event of an account.
    pub(crate) fn new(name: &'static str, actor: Actor, user: impl Into<Option<Uuid>>) -> Event {
        Event { name, actor, user: user.into(), session: None, ip: None, detail: None }
    }

    /// In which session.
    pub(crate) fn in_session(self, session: Uuid) -> Event {
        Event { session: Some(session), ..self }
    }

    /// From where.
    pub(crate) fn from(self, ip: Option<IpAddr>) -> Event {
        Event { ip, ..self }
    }

    /// What else there is to say. Never a secret.
    pub(crate) fn with(self, detail: serde_json::Value) -> Event {
        Event { detail: Some(detail.to_string().chars().take(DETAIL_CHARS_MAX).collect()), ..self }
    }

    /// The same, with the key of the program that did it among its details.
    fn with_key(self) -> Event {
        let Actor::ServiceKey(key) = self.actor else { return self };
        let detail = self.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok());
        let mut detail: serde_json::Map<String, serde_json::Value> = detail.unwrap_or_default();
        detail.insert(SERVICE_KEY.into(), key.to_string().into());
        self.with(detail.into())
    }
}

/// The member of an entry's detail that tells which key it was.
pub(crate) const SERVICE_KEY: &str = "service_key";

/// Writes an event inside the transaction of what it tells.
pub(crate) async fn note(transaction: &mut Transaction<'_>, moment: Moment, event: Event) -> Result<(), Failure> {
    let event = event.with_key();
    let mut random = [0u8; 10];
    let broken = |_| Failure::Internal("the system gives no random bits".into());
    SystemRandom::new().fill(&mut random).map_err(broken)?;
    let millis = u64::try_from(moment.now.div_euclid(1_000)).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let optional = |value: Option<Value>| value.unwrap_or(Value::Null);
    let row = [
        ("id", Value::Uuid(id)),
        ("at", Value::Timestamp(moment.now)),
        ("event", Value::text(event.name)),
        ("actor", Value::text(event.actor.name())),
        ("user_id", optional(event.user.map(Value::Uuid))),
        ("session_id", optional(event.session.map(Value::Uuid))),
        ("ip", optional(event.ip.map(|ip| Value::text(ip.to_string())))),
        ("detail", optional(event.detail.map(Value::Text))),
    ];
    let system = Caller::system(moment);
    transaction.write(&system, Request::new(AUDIT_LOG, Verb::Create).with_row(row), None).await?;
    Ok(())
}

/// An end of the chain: the place and the hash of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// From 1; 0 before the first.
    pub seq: i64,
    /// SHA-256.
    pub hash: [u8; 32],
}

/// What [`Core::verify_audit`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every entry is as it was bound.
    Whole {
        /// The newest entry.
        head: AuditHead,
        /// Entries that are not bound yet.
        pending: usize,
        /// Up to which place entries were removed after their time ([`crate::audit_keep`]); 0 for none.
        removed: i64,
    },
    /// The first entry at which the chain does not hold.
    Broken {
        /// Its place.
        seq: i64,
        /// What is wrong with it.
        why: AuditFault,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// It is not there, or another is in its place.
    Missing,
    /// It does not follow the entry before it.
    Link,
    /// It is not what was bound.
    Content,
    /// It is not the head that was noted.
    Head,
    /// It is the head that was noted, or so it was said, and was removed after its time: what it was cannot be told any more.
    Removed,
}

/// An entry, as it is shown.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Its place.
    pub seq: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What happened.
    pub event: String,
    /// Who did it: `nobody`, `user`, `owner`, `service_key` or `system`.
    pub actor: String,
    /// Whose account.
    pub user: Option<Uuid>,
    /// In which session.
    pub session: Option<Uuid>,
    /// From where.
    pub ip: Option<String>,
    /// What else there is to say, as JSON.
    pub detail: Option<String>,
}

const START: AuditHead = AuditHead { seq: 0, hash: [0; 32] };

/// The hash of an entry at a place behind another. Each part has its length before it, so that no two entries have the same octets.
fn digest(row: &Record, seq: i64, prev: &[u8]) -> [u8; 32] {
    let mut octets = b"undergird audit, 1".to_vec();
    let mut part = |bytes: &[u8]| {
        octets.extend((bytes.len() as u64).to_be_bytes());
        octets.extend(bytes);
    };
    part(prev);
    part(&seq.to_be_bytes());
    part(&row.int("at").unwrap_or_default().to_be_bytes());
    for name in ["id", "user_id", "session_id"] {
        part(row.uuid(name).map_or(Vec::new(), |id| id.as_bytes().to_vec()).as_slice());
    }
    for name in ["event", "actor", "ip", "detail"] {
        // Nothing and an empty text are not the same.
        part(row.text(name).map_or(String::new(), |text| format!("={text}")).as_bytes());
    }
    sha256(&octets)
}

pub(crate) fn head(row: &Record) -> Option<AuditHead> {
    Some(AuditHead { seq: row.int("seq")?, hash: row.bytes("hash")?.try_into().ok()? })
}

fn pending() -> Request {
    records::page(where_null(Request::new(AUDIT_LOG, Verb::Read), "seq"), "id", None, BATCH)
}

pub(crate) fn bound_after(seq: i64, rows: usize) -> Request {
    records::page(Request::new(AUDIT_LOG, Verb::Read), "seq", Some(Value::Int(seq)), rows)
}

/// The newest entry of the chain.
pub(crate) fn newest() -> Request {
    let mut request = bound_after(0, 1);
    request.shape.order[0].descending = true;
    request
}

impl Core {
    /// Writes an event that is no part of another transaction, such as a refusal.
    pub(crate) async fn note_alone(&self, moment: Moment, event: Event) -> Result<(), Failure> {
        let done = self.engine.transaction(Isolation::Committed, move |transaction| {
            let event = event.clone();
            Box::pin(async move {
                note(transaction, moment, event).await?;
                Ok(Outcome::commit(()))
            })
        });
        done.await
    }

    /// Binds what was noted; how many entries.
    pub(crate) async fn chain_audit(&self) -> Result<usize, Failure> {
        let mut all = 0;
        loop {
            let moment = self.engine.moment();
            // Most often there is nothing to do, and that costs one read.
            if self.engine.records(&Caller::system(moment), pending()).await?.is_empty() {
                return Ok(all);
            }
            // Not serializable, which would hold up whoever writes entries: a place that is taken by another is refused by the unique column,
            // and what is at a place never changes.
            let bound = self.engine.transaction(Isolation::Committed, move |transaction| {
                Box::pin(async move { Ok(Outcome::commit(bind(transaction, moment).await?)) })
            });
            match bound.await {
                Ok(bound) => all += bound,
                // Another node was first; what it left is for the next time.
                Err(Failure::Conflict) => return Ok(all),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Bound entries in order, after a place.
    pub(crate) async fn audit_entries(&self, after: i64, rows: usize) -> Result<Vec<AuditEntry>, Failure> {
        let system = Caller::system(self.engine.moment());
        let rows = self.engine.records(&system, bound_after(after, rows.min(records::PAGE))).await?;
        let text = |row: &Record, name: &str| row.text(name).map(str::to_owned);
        let entry = |row: &Record| AuditEntry {
            seq: row.int("seq").unwrap_or_default(),
            at: row.int("at").unwrap_or_default(),
            event: text(row, "event").unwrap_or_default(),
            actor: text(row, "actor").unwrap_or_default(),
            user: row.uuid("user_id"),
            session: row.uuid("session_id"),
            ip: text(row, "ip"),
            detail: text(row, "detail"),
        };
        Ok(rows.iter().map(entry).collect())
    }

    /// Reads the whole chain and checks each entry; a head that was noted elsewhere must be in it.
    pub(crate) async fn verify_audit(&self, noted: Option<AuditHead>) -> Result<AuditVerdict, Failure> {
        // Entries whose time is over may go while the others are read: then it is looked once more.
        match verify(&self.engine, noted).await? {
            AuditVerdict::Broken { why: AuditFault::Missing, .. } => verify(&self.engine, noted).await,
            verdict => Ok(verdict),
        }
    }
}

async fn bind(transaction: &mut Transaction<'_>, moment: Moment) -> Result<usize, Failure> {
    let system = Caller::system(moment);
    let mut last = transaction.records(&system, newest()).await?.first().and_then(head).unwrap_or(START);
    let rows = transaction.records(&system, pending()).await?;
    for row in &rows {
        let seq = last.seq + 1;
        let hash = digest(row, seq, &last.hash);
        let place = [
            ("seq", Value::Int(seq)),
            ("prev", Value::Bytes(last.hash.to_vec())),
            ("hash", Value::Bytes(hash.to_vec())),
        ];
        let unbound = Request::new(AUDIT_LOG, Verb::Update).with_equal("id", row.get("id").clone());
        let unbound = where_null(unbound, "seq").with_row(place);
        let written = transaction.write(&system, unbound, None).await.map_err(|failure| match failure {
            // The place was taken meanwhile.
            Failure::Constraint(constraint) if constraint.kind == Kind::Unique => Failure::Conflict,
            other => other,
        })?;
        if written.affected != 1 {
            return Err(Failure::Conflict);
        }
        last = AuditHead { seq, hash };
    }
    Ok(rows.len())
}

/// Before the first entry: nothing, or the last of those that went after their time. Where no entry tells that they did, nothing.
async fn begin(engine: &Engine, system: &Caller) -> Result<AuditHead, Failure> {
    let first = engine.records(system, bound_after(0, 1)).await?;
    let cut = first.first().and_then(|row| {
        let seq = row.int("seq").filter(|seq| *seq > 1)? - 1;
        Some(AuditHead { seq, hash: row.bytes("prev")?.try_into().ok()? })
    });
    match cut {
        Some(cut) if audit_keep::is_told(engine, system, cut).await? => Ok(cut),
        _ => Ok(START),
    }
}

async fn verify(engine: &Engine, noted: Option<AuditHead>) -> Result<AuditVerdict, Failure> {
    let system = Caller::system(engine.moment());
    let mut last = begin(engine, &system).await?;
    let removed = last.seq;
    if let Some(noted) = noted.filter(|noted| noted.seq > 0 && noted.seq < removed) {
        return Ok(AuditVerdict::Broken { seq: noted.seq, why: AuditFault::Removed });
    }
    if let Some(noted) = noted.filter(|noted| noted.seq > 0 && noted.seq == removed && noted.hash != last.hash) {
        return Ok(AuditVerdict::Broken { seq: noted.seq, why: AuditFault::Head });
    }
    let mut seen = noted.is_none_or(|noted| noted == START || noted == last);
    loop {
        let rows = engine.records(&system, bound_after(last.seq, records::PAGE)).await?;
        for row in &rows {
            let seq = last.seq + 1;
            let broken = |why| Ok(AuditVerdict::Broken { seq, why });
            if row.int("seq") != Some(seq) {
                return broken(AuditFault::Missing);
            }
            if row.bytes("prev") != Some(last.hash.as_slice()) {
                return broken(AuditFault::Link);
            }
            let hash = digest(row, seq, &last.hash);
            if row.bytes("hash") != Some(hash.as_slice()) {
                return broken(AuditFault::Content);
            }
            last = AuditHead { seq, hash };
            match noted {
                Some(noted) if noted.seq == seq && noted.hash != hash => return broken(AuditFault::Head),
                Some(noted) if noted.seq == seq => seen = true,
                _ => {}
            }
        }
        if rows.len() < records::PAGE {
            break;
        }
    }
    if let Some(noted) = noted.filter(|_| !seen) {
        return Ok(AuditVerdict::Broken { seq: noted.seq, why: AuditFault::Missing });
    }
    let unbound = where_null(Request::new(AUDIT_LOG, Verb::Read), "seq");
    let pending = records::all(engine, &system, &unbound).await?.len();
    // Places below the first would be passed over above.
    let low =
        records::and(Request::new(AUDIT_LOG, Verb::Read), "seq", Operator::Lt(None), Operand::Value(Value::Int(1)));
    match engine.records(&system, low).await?.first().and_then(|row| row.int("seq")) {
        Some(seq) => Ok(AuditVerdict::Broken { seq, why: AuditFault::Link }),
        None => Ok(AuditVerdict::Whole { head: last, pending, removed }),
    }
}
