//! Reads and transactions over the pool: what is run again, how often, and when it is given up.
//!
//! Nothing is lost by running a transaction again whose connection broke before `COMMIT` was sent: the server forgets it. After that
//! the outcome is unknown, and the caller is told so.

use crate::error::Fault;
use crate::line::Line;
use crate::pool::Pool;
use crate::session::{Again, End, Session};
use crate::wall::{Told, Wall};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_plan::RowSink;
use undergird_store::turns::Turn;
use undergird_store::waiting::Patience;
use undergird_store::{Isolation, Prepared, ReadAnswer, Statements, StoreError, Work, WorkAnswer, run};

/// How often work is run when others come first.
const CONFLICTS_MAX: u32 = 8;
/// The pause after the first conflict, about; it doubles.
const PAUSE: Duration = Duration::from_millis(4);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long giving the turn back may take, with the answer waiting.
const GIVING_BACK_MAX: Duration = Duration::from_millis(500);
/// How often work is run again over a fresh connection.
const FRESH_MAX: u32 = 1;
/// How often work is run again because a statement was not prepared any more: once per table that a migration changes is plenty.
const UNPREPARED_MAX: u32 = 3;

/// What has been tried.
struct Tries {
    /// How long connections are waited for, all together.
    patience: Patience,
    /// Whether the last run lost its connection.
    lost: bool,
    careful: bool,
    conflicts: u32,
    fresh: u32,
    unprepared: u32,
}

impl Tries {
    fn new(pool: &Pool) -> Tries {
        Tries { patience: pool.patience(), lost: false, careful: false, conflicts: 0, fresh: 0, unprepared: 0 }
    }

    /// Until when a connection is waited for.
    fn until(&self, deadline: Instant) -> Instant {
        self.patience.until().min(deadline)
    }

    /// Whether to try again, after a pause where that helps.
    async fn next(&mut self, again: Again, pool: &Pool, deadline: Instant) -> Result<(), StoreError> {
        pool.count_again();
        match again {
            Again::Fresh(_) => self.patience.after_loss(),
            Again::Carefully | Again::Conflict | Again::Elsewhere | Again::Unprepared => self.patience.anew(),
        }
        self.lost = matches!(again, Again::Fresh(_));
        match again {
            Again::Carefully if self.careful => {
                return Err(StoreError::Internal("a careful transaction was aborted".into()));
            }
            Again::Carefully => self.careful = true,
            Again::Conflict => {
                self.conflicts += 1;
                let pause = jittered((PAUSE * 2u32.pow(self.conflicts.min(8) - 1)).min(PAUSE_MAX));
                if self.conflicts >= CONFLICTS_MAX || Instant::now() + pause >= deadline {
                    return Err(StoreError::Conflict);
                }
                tokio::time::sleep(pause).await;
            }
            Again::Fresh(why) => {
                self.fresh += 1;
                if self.fresh > FRESH_MAX {
                    return Err(StoreError::Unavailable(why));
                }
                tracing::debug!(%why, "a connection was lost");
                pool.drop_idle();
            }
            Again::Elsewhere => {
                return Err(StoreError::Internal("only a replica's reads have guards".into()));
            }
            Again::Unprepared => {
                self.unprepared += 1;
                pool.forget_prepared();
                if self.unprepared > UNPREPARED_MAX {
                    let hint = "prepared statements are lost again and again; behind a transaction pooler add pooler=transaction \
                                to the database's URL";
                    return Err(StoreError::Internal(hint.into()));
                }
            }
        }
        Ok(())
    }
}

/// Between half of a time and the whole of it.
fn jittered(time: Duration) -> Duration {
    // The standard library's hasher has random keys; that is dice enough.
    let dice = std::hash::RandomState::new().hash_one(0u8);
    time / 2 + (time / 2).mul_f64((dice % 1_024) as f64 / 1_024.0)
}

/// Runs a read; a sink that has rows of a lost connection begins anew.
pub(crate) async fn read(
    pool: &Arc<Pool>,
    query: Prepared,
    mut sink: Box<dyn RowSink>,
    deadline: Instant,
) -> ReadAnswer {
    let result = read_into(pool, None, &query, &mut *sink, deadline).await;
    ReadAnswer { sink: Some(sink), result }
}

/// The same behind the wall, with the facts that its policies ask.
pub(crate) async fn read_walled(
    pool: &Arc<Pool>,
    facts: &Arc<Told>,
    query: Prepared,
    mut sink: Box<dyn RowSink>,
    deadline: Instant,
) -> ReadAnswer {
    let result = read_into(pool, Some(facts), &query, &mut *sink, deadline).await;
    ReadAnswer { sink: Some(sink), result }
}

async fn read_into(
    pool: &Arc<Pool>,
    facts: Option<&Arc<Told>>,
    query: &Prepared,
    sink: &mut dyn RowSink,
    deadline: Instant,
) -> Result<(), StoreError> {
    let many = is_many(query);
    // What needs a place of its own has no room here: this future is copied with each read.
    let candidate = match &pool.shared {
        Some(shared) if facts.is_none() => shared.candidate(query),
        _ => None,
    };
    if let Some(candidate) = &candidate
        && let Some(told) = candidate.read(query, sink, deadline).await
    {
        return told;
    }
    let mut tries = Tries::new(pool);
    loop {
        let mut checkout = pool.checkout(tries.until(deadline)).await?;
        let begun = candidate.as_ref().map(|candidate| (candidate, Instant::now()));
        let line = checkout.line();
        let mut session = match facts {
            Some(facts) => Session::walled(line, facts, deadline),
            None if many => Session::snapshot(line, deadline),
            None => Session::alone(line, deadline),
        };
        let result = run::read(&mut session, query, sink).await;
        match session.again().cloned() {
            None => {
                session.end_read();
                if let Some((candidate, begun)) = begun {
                    candidate.took(begun.elapsed());
                }
                return result;
            }
            Some(again) => {
                drop(checkout);
                tries.next(again, pool, deadline).await?;
            }
        }
    }
}

/// Whether a read has several statements, which must all see one moment.
fn is_many(query: &Prepared) -> bool {
    match query.statements.as_ref() {
        Statements::Read(read) => read.nodes.len() + usize::from(read.count.is_some()) > 1,
        Statements::Write(_) => false,
    }
}

/// Runs a read on a replica, once, behind a guard.
///
/// # Errors
/// The primary is to be asked.
pub(crate) async fn read_guarded(
    pool: &Arc<Pool>,
    guard: &str,
    query: &Prepared,
    sink: &mut dyn RowSink,
    deadline: Instant,
) -> Result<Result<(), StoreError>, Missed> {
    let mut checkout = pool.checkout(deadline).await.map_err(|error| Missed::Failed(error.to_string()))?;
    let line = checkout.line();
    line.send_guard(guard);
    // REPEATABLE READ: a standby knows nothing of serializable transactions.
    let mut session = if is_many(query) { Session::snapshot(line, deadline) } else { Session::alone(line, deadline) };
    let result = run::read(&mut session, query, sink).await;
    match session.again().cloned() {
        Some(Again::Elsewhere) => return Err(Missed::Behind),
        Some(Again::Unprepared) => {
            pool.forget_prepared();
            return Err(Missed::Failed("what was prepared is gone".into()));
        }
        Some(Again::Fresh(why)) => {
            pool.drop_idle();
            return Err(Missed::Lost(why));
        }
        // The standby's replay needs what the statement still saw.
        Some(Again::Conflict) => return Err(Missed::Failed("replay came first".into())),
        Some(Again::Carefully) | None => session.end_read(),
    }
    match result {
        // Time and size are the request's own; nothing is gained by asking another.
        Ok(()) | Err(StoreError::Deadline | StoreError::TooLarge | StoreError::Cancelled) => Ok(result),
        Err(error) => Err(Missed::Failed(error.to_string())),
    }
}

/// Why a replica did not answer.
pub(crate) enum Missed {
    /// It is not near enough, or no replica of ours.
    Behind,
    /// It is gone.
    Lost(String),
    /// It could not, this time.
    Failed(String),
}

/// Has a line wait for its turn among those that run alone on their nodes ([`undergird_store::turns`]). One that must be cleaned is left so.
async fn turn_of_all(line: &mut Line, deadline: Instant) -> Result<(), Fault> {
    line.busy = true;
    match tokio::time::timeout_at(deadline.into(), line.take_turn()).await {
        Err(_) => Err(Fault::Store(StoreError::Deadline)),
        Ok(told) => {
            line.busy = false;
            line.broken |= matches!(told, Err(Fault::Lost(_)));
            told
        }
    }
}

/// Runs work in a transaction.
pub(crate) async fn transaction(
    (pool, wall): (&Arc<Pool>, Option<&Wall>),
    mut work: Box<dyn Work>,
    isolation: Isolation,
    deadline: Instant,
) -> Result<WorkAnswer, StoreError> {
    let mut tries = Tries::new(pool);
    loop {
        // Before a connection is taken, so that nobody holds one who does nothing with it.
        let turn = match isolation {
            Isolation::Serializable => Some(pool.turns.take(tries.conflicts, deadline).await),
            Isolation::Snapshot | Isolation::Committed => None,
        };
        // The wait for one's turn is none for a connection.
        if turn.is_some() && tries.conflicts > 0 {
            if tries.lost { tries.patience.after_loss() } else { tries.patience.anew() }
        }
        let mut checkout = match isolation {
            Isolation::Committed if !tries.careful && wall.is_none() => {
                pool.checkout_for_one(tries.until(deadline)).await?
            }
            Isolation::Committed | Isolation::Snapshot | Isolation::Serializable => {
                pool.checkout(tries.until(deadline)).await?
            }
        };
        // Not who goes unasked: many of those would hold all connections while they wait.
        let late = matches!(turn, Some(Turn::Alone(_))) && !pool.is_pooled();
        if late && let Err(fault) = turn_of_all(checkout.line(), deadline).await {
            drop(checkout);
            match fault {
                Fault::Lost(why) => tries.next(Again::Fresh(why), pool, deadline).await?,
                fault => return Err(fault.into()),
            }
            continue;
        }
        let mut session = Session::work(checkout.line(), (pool, wall), isolation, tries.careful, deadline);
        let answer = work.run(&mut session).await;
        let end = session.end(answer).await;
        // Before any pause: others need the connection and what it holds locked.
        let line = checkout.line();
        if line.has_turn && !line.busy && !line.open && !line.broken {
            // What goes wrong here is the pool's to mend: it gives no line back that has the turn.
            let _ = tokio::time::timeout(GIVING_BACK_MAX, line.give_turn_back()).await;
        }
        drop(checkout);
        drop(turn);
        match end {
            End::Done(answer) => return answer,
            End::Again(again) => tries.next(again, pool, deadline).await?,
        }
    }
}
