//! Reads and transactions on connections of the pool: begun, ended, and begun again after a conflict.
//!
//! Absent: what runs inside; that is the engine's, through [`crate::session`].

use crate::error::Fault;
use crate::pool::Pool;
use crate::session::Session;
use futures_util::FutureExt;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_plan::RowSink;
use undergird_store::run;
use undergird_store::waiting::Patience;
use undergird_store::{Decision, Isolation, Prepared, ReadAnswer, Statements, StoreError, Work, WorkAnswer};

/// How often a transaction is tried before it is given up as a conflict.
const TRIES_MAX: u32 = 8;

/// How often a transaction is tried again because its connection was lost.
const LOSSES_MAX: u32 = 2;

/// How long the first pause after a conflict is at most; each doubles it.
const PAUSE: Duration = Duration::from_millis(4);
/// How long a pause is at most.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Reads in one snapshot. A connection that turns out to be dead is replaced, once, for nothing was seen of its rows.
pub(crate) async fn read(
    pool: &Arc<Pool>,
    query: Prepared,
    mut sink: Box<dyn RowSink>,
    deadline: Instant,
) -> ReadAnswer {
    // One statement is of one moment by itself.
    let single = match query.statements.as_ref() {
        Statements::Read(read) => read.nodes.len() == 1 && read.count.is_none(),
        Statements::Write(_) => false,
    };
    let mut again = true;
    let mut patience = pool.patience();
    let result = loop {
        let mut session = match open(pool, (!single).then_some(Isolation::Snapshot), &mut patience, deadline).await {
            Ok(session) => session,
            Err(error) => break Err(error),
        };
        let reading = AssertUnwindSafe(run::read(&mut session, &query, sink.as_mut())).catch_unwind();
        let result = match reading.await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Internal("a read panicked".into())),
        };
        let lost = matches!(session.failure(), Some(Fault::Lost(_)));
        if !single {
            session.roll_back().await;
        }
        if lost && again {
            // The sink begins anew.
            again = false;
            patience.after_loss();
            continue;
        }
        break result;
    };
    ReadAnswer { sink: Some(sink), result }
}

/// A connection, inside a transaction if one is asked for. Idle connections that turn out to be dead are passed over.
async fn open(
    pool: &Arc<Pool>,
    isolation: Option<Isolation>,
    patience: &mut Patience,
    deadline: Instant,
) -> Result<Session, StoreError> {
    let mut again = true;
    loop {
        let mut session = Session::new(pool.acquire(patience, deadline).await?, deadline);
        let Some(isolation) = isolation else { return Ok(session) };
        match session.begin(isolation).await {
            Ok(()) => return Ok(session),
            // The others that were idle are gone with it, so that the next one is new.
            Err(Fault::Lost(_)) if again => {
                again = false;
                patience.after_loss();
            }
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// Runs work in a transaction, again from the start after a conflict.
pub(crate) async fn transaction(
    pool: &Arc<Pool>,
    mut work: Box<dyn Work>,
    isolation: Isolation,
    deadline: Instant,
) -> Result<WorkAnswer, StoreError> {
    let (mut losses, mut lost) = (0, false);
    let mut patience = pool.patience();
    for attempt in 1..=TRIES_MAX {
        // Before a connection is taken, so that nobody holds one who does nothing with it.
        let turn = match isolation {
            Isolation::Serializable => Some(pool.turns.take(attempt - 1, deadline).await),
            Isolation::Snapshot | Isolation::Committed => None,
        };
        // The wait for one's turn is none for a connection.
        if turn.is_some() && attempt > 1 {
            if lost { patience.after_loss() } else { patience.anew() }
        }
        lost = false;
        let mut session = open(pool, Some(isolation), &mut patience, deadline).await?;
        let outcome = AssertUnwindSafe(work.run(&mut session)).catch_unwind().await;
        let failed = session.failure().cloned();
        let again = match (failed, outcome) {
            (_, Err(_)) => {
                session.roll_back().await;
                return Err(StoreError::Internal("a transaction panicked".into()));
            }
            (Some(Fault::Conflict), _) | (_, Ok(Err(StoreError::Conflict))) => {
                patience.anew();
                true
            }
            // What was not committed has not happened.
            (Some(Fault::Lost(_)), _) if losses < LOSSES_MAX => {
                losses += 1;
                lost = true;
                patience.after_loss();
                true
            }
            // The transaction is not what the work takes it for, whatever it says.
            (Some(fault), _) => {
                session.roll_back().await;
                return Err(fault.into());
            }
            (None, Ok(Ok(answer))) if answer.decision == Decision::Commit => match session.commit().await {
                Ok(()) => return Ok(answer),
                Err(StoreError::Conflict) => {
                    patience.anew();
                    true
                }
                Err(error) => return Err(error),
            },
            (None, Ok(answer)) => {
                session.roll_back().await;
                return answer;
            }
        };
        if again {
            session.roll_back().await;
            drop(session);
            drop(turn);
            let pause = pause(attempt);
            if attempt == TRIES_MAX || Instant::now() + pause >= deadline {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    }
    Err(StoreError::Conflict)
}

/// Longer from try to try, and never the same for two that met.
fn pause(attempt: u32) -> Duration {
    let most = PAUSE.saturating_mul(1 << attempt.min(16)).min(PAUSE_MAX);
    let dice = RandomState::new().hash_one(attempt);
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos / 4 + dice % (nanos - nanos / 4).max(1))
}
