//! `Idempotency-Key`: the answer is stored in the same transaction as its effect, so a retry gets the answer and not the effect.
//! Follows draft-ietf-httpapi-idempotency-key-header.

use crate::failure::Kind;
use crate::{Engine, Failure, Isolation, Outcome, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undergird_model::Value;
use undergird_plan::caller::Moment;
use undergird_plan::request::{ColumnPath, Returning};
use undergird_plan::request::{Condition, Operand, Operator, Request, Test, Verb};
use undergird_plan::{Caller, Identity};

/// An answer that can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers that belong to the answer (not to the connection), by name.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Longest key, in characters.
pub const KEY_CHARS_MAX: usize = 255;

/// How long answers are kept.
pub const KEPT_MICROSECONDS: i64 = 24 * 3600 * 1_000_000;

/// How often old answers are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

const COLLECTION: &str = "_idempotency";

/// The answer that was given under this key before.
///
/// # Errors
/// [`Failure::IdempotencyMismatch`] when it was another request, or a failure of the store.
pub async fn recall(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    key: &str,
    request_hash: &[u8],
) -> Result<Option<StoredAnswer>, Failure> {
    let system = Caller::system(caller.moment());
    let request = Request::new(COLLECTION, Verb::Read)
        .with_equal("caller", Value::text(owner(caller)))
        .with_equal("idempotency_key", Value::text(key));
    let records = transaction.records(&system, request).await?;
    let Some(record) = records.first() else { return Ok(None) };
    let age = caller.moment().now.saturating_sub(record.int("created_at").unwrap_or(0));
    if age > KEPT_MICROSECONDS {
        let request = Request::new(COLLECTION, Verb::Delete)
            .with_equal("caller", Value::text(owner(caller)))
            .with_equal("idempotency_key", Value::text(key));
        transaction.write(&system, request, None).await?;
        return Ok(None);
    }
    if record.bytes("request") != Some(request_hash) {
        return Err(Failure::IdempotencyMismatch);
    }
    let headers = record.text("headers").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    Ok(Some(StoredAnswer {
        status: record.int("status").and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
        headers,
        body: record.bytes("body").unwrap_or_default().to_vec(),
    }))
}

/// Keeps an answer under its key.
///
/// # Errors
/// A failure of the store.
pub async fn keep(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    key: &str,
    request_hash: &[u8],
    answer: &StoredAnswer,
) -> Result<(), Failure> {
    let system = Caller::system(caller.moment());
    let headers = serde_json::to_string(&answer.headers).unwrap_or_else(|_| "[]".into());
    let request = Request::new(COLLECTION, Verb::Create).with_row([
        ("caller", Value::text(owner(caller))),
        ("idempotency_key", Value::text(key)),
        ("request", Value::Bytes(request_hash.to_vec())),
        ("status", Value::Int(i64::from(answer.status))),
        ("headers", Value::Json(headers)),
        ("body", Value::Bytes(answer.body.clone())),
        ("created_at", Value::Timestamp(caller.moment().now)),
    ]);
    match transaction.write(&system, request, None).await {
        Ok(_) => Ok(()),
        // The same key came twice at once and the other was first: run again, this one finds its answer.
        Err(Failure::Constraint(constraint)) if constraint.kind == Kind::Unique => Err(Failure::Conflict),
        Err(failure) => Err(failure),
    }
}

/// Whether what stands in a request's way may be what it is to meet: the effect of the same key, or the row that it is to be merged into
/// ([`Doubt::is_due`]). A store that is shared tells a constraint before it tells that another transaction was first: unique keys look
/// past what a transaction sees. Run again, the request finds the other's answer or row, or meets the constraint for good.
#[derive(Debug, Default)]
pub struct Doubt(AtomicBool);

impl Doubt {
    /// Whether a request may meet what others make at the same moment: one with a key, and one that changes or ignores what is there.
    pub fn is_due(request: &Request, keyed: bool) -> bool {
        keyed || request.shape.resolution.is_some() || request.shape.verb == Verb::Replace
    }

    /// The failure, or once that the work is to be run again.
    #[must_use]
    pub fn once(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Constraint(_) if !self.0.swap(true, Ordering::Relaxed) => Failure::Conflict,
            failure => failure,
        }
    }
}

impl Engine {
    /// Removes, every ten minutes, what nobody can ask for any more. Never ends by itself.
    pub async fn keep_up(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(failure) = self.sweep(self.moment()).await {
                // Next time; until then the rows only take room.
                tracing::warn!(?failure, "old answers could not be removed");
            }
        }
    }

    /// Removes answers that are too old at this moment to be asked for; how many there were.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn sweep(self: &Arc<Self>, moment: Moment) -> Result<u64, Failure> {
        self.transaction(Isolation::Committed, move |transaction| {
            Box::pin(async move { Ok(Outcome::commit(remove_old(transaction, moment).await?)) })
        })
        .await
    }
}

async fn remove_old(transaction: &mut Transaction<'_>, moment: Moment) -> Result<u64, Failure> {
    let mut request = Request::new(COLLECTION, Verb::Delete);
    let before = moment.now.saturating_sub(KEPT_MICROSECONDS);
    let operand = Some(request.slot(Operand::Value(Value::Timestamp(before))));
    request.shape.filter.push(Condition::Test(Test {
        column: ColumnPath { name: "created_at".into(), steps: Vec::new() },
        operator: Operator::Lt(None),
        operand,
    }));
    request.shape.returning = Returning::Minimal;
    Ok(transaction.write(&Caller::system(moment), request, None).await?.affected)
}

/// Whose keys: two callers never share one.
fn owner(caller: &Caller) -> String {
    match caller.identity() {
        Identity::Visitor => "visitor".into(),
        Identity::User(user) => format!("user:{}", user.id()),
        Identity::Secret => "secret".into(),
        Identity::System => "system".into(),
    }
}
