//! Reads that share connections: many go to the server in one packet, and come back in one.
//!
//! A read that has a connection of its own costs a packet, and wakes one process of the server and us. Where many small reads are under
//! way, those that are known to be quick go over a few connections one behind another instead. Each is sent as it comes, with its own
//! values, and is a transaction by itself; a read may be run any number of times, so whatever goes wrong here is no answer: the read
//! [goes by itself](crate::work) then.
//!
//! What keeps the quick from waiting behind the slow: only statements that were quick by themselves come here; so many at most are on a
//! connection; and where an answer takes long all the same, everybody leaves that connection, it is cancelled and closed, and for a while
//! nobody shares.
//!
//! Deliberately absent: writes, transactions, poolers, replicas, the wall, functions of the database; whatever has more than one statement.

use crate::cancel::cancel;
use crate::error::Fault;
use crate::line::{self, Line};
use crate::settings::{Options, Target};
use crate::values::{Param, parameter_type};
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_postgres::{Client, Statement as Kept};
use undergird_plan::{RowRef, RowSink};
use undergird_store::{Bound, Connection, Flow, Prepared, Statement, Statements, StoreError, run};

/// Of so many connections one is shared, so small pools share none.
const SHARE: usize = 5;
/// Most shared connections.
const LINES_MAX: usize = 32;
/// Most reads on one of them.
const DEPTH_MAX: usize = 16;
/// With no more reads than this under way, each goes by itself: that is quicker for the one.
const ALONE_MAX: usize = 2;
/// What a quick read takes at most. Most are quicker by far; on a machine that is full everything takes longer.
const QUICK: Duration = Duration::from_millis(10);
/// How many quick runs in a row make a statement known as quick.
const QUICK_RUNS: u32 = 4;
/// How long an answer is waited for on a shared connection.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long nobody shares after that was not enough, or after a connection could not be made.
const REST: Duration = Duration::from_secs(1);
/// How long a statement may take to end that was cancelled, before the next is.
const SHORT: Duration = Duration::from_millis(20);
/// How long ending a connection may take.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// How long a connection is used.
const AGE_MAX: Duration = Duration::from_secs(1_800);
/// Most statements that are known, here and on each connection.
const STATEMENTS_MAX: usize = 512;

/// See the module.
pub(crate) struct Shared {
    target: Target,
    /// What no statement outlives on the server.
    longest: Duration,
    slots: Box<[Slot]>,
    /// How often in a row each statement was quick.
    habits: RwLock<FxHashMap<Box<str>, Arc<AtomicU32>>>,
    /// Reads under way that could share.
    under_way: AtomicUsize,
    /// Reads that were answered here.
    answered: AtomicU64,
    rest_until: Mutex<Option<Instant>>,
    resting: AtomicBool,
    closed: AtomicBool,
    runtime: Handle,
}

/// A place for a connection.
#[derive(Default)]
struct Slot {
    wire: RwLock<Option<Arc<Wire>>>,
    opening: AtomicBool,
}

/// A shared connection.
struct Wire {
    client: Client,
    statements: Mutex<FxHashMap<Box<str>, Kept>>,
    depth: AtomicUsize,
    /// Whether somebody looks whether it still answers.
    watched: AtomicBool,
    born: Instant,
}

/// How many of so many connections are shared.
pub(crate) fn lines(options: &Options) -> usize {
    if options.transaction_pooler {
        0
    } else {
        (options.connections / SHARE).min(LINES_MAX) * usize::from(options.connections >= 2 * SHARE)
    }
}

/// A read that could share: it counts while it is under way, and its time is remembered.
pub(crate) struct Candidate<'s> {
    shared: &'s Arc<Shared>,
    habit: Arc<AtomicU32>,
}

impl Drop for Candidate<'_> {
    fn drop(&mut self) {
        self.shared.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Candidate<'_> {
    /// What the read took by itself.
    pub(crate) fn took(&self, time: Duration) {
        if time > QUICK {
            self.habit.store(0, Ordering::Relaxed);
        } else if self.habit.load(Ordering::Relaxed) < QUICK_RUNS {
            self.habit.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads over a shared connection. `None` when the read is to go by itself, whatever the sink has of it.
    pub(crate) async fn read(
        &self,
        query: &Prepared,
        sink: &mut dyn RowSink,
        deadline: Instant,
    ) -> Option<Result<(), StoreError>> {
        if self.habit.load(Ordering::Relaxed) < QUICK_RUNS || self.shared.under_way.load(Ordering::Relaxed) <= ALONE_MAX
        {
            return None;
        }
        let ride = self.shared.ride()?;
        let mut session = Session { ride, by_itself: false };
        let patience = Instant::now() + PATIENCE;
        let told =
            match tokio::time::timeout_at(patience.min(deadline).into(), run::read(&mut session, query, sink)).await {
                Ok(told) => told,
                Err(_) if deadline <= patience => return Some(Err(StoreError::Deadline)),
                Err(_) => {
                    self.habit.store(0, Ordering::Relaxed);
                    self.shared.leave(&session.ride.wire);
                    return None;
                }
            };
        if session.by_itself {
            return None;
        }
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        Some(told)
    }
}

impl Shared {
    /// `None` where nothing is shared.
    pub(crate) fn new(target: &Target, options: &Options) -> Option<Arc<Shared>> {
        let lines = lines(options);
        (lines > 0).then(|| {
            Arc::new(Shared {
                target: target.clone(),
                longest: options.statement,
                slots: (0..lines).map(|_| Slot::default()).collect(),
                habits: RwLock::default(),
                under_way: AtomicUsize::new(0),
                answered: AtomicU64::new(0),
                rest_until: Mutex::new(None),
                resting: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                runtime: Handle::current(),
            })
        })
    }

    /// The one statement of a read that may share.
    fn statement(query: &Prepared) -> Option<&Statement> {
        match query.statements.as_ref() {
            Statements::Read(read) if query.plan.function().is_none() => match read.nodes.as_slice() {
                [one] if read.count.is_none() && read.call.is_none() && read.estimate.is_none() => Some(one),
                _ => None,
            },
            Statements::Read(_) | Statements::Write(_) => None,
        }
    }

    /// The read as one that could share, where it could.
    pub(crate) fn candidate(self: &Arc<Shared>, query: &Prepared) -> Option<Candidate<'_>> {
        let text = Shared::statement(query)?.text.as_str();
        let known = self.habits.read().get(text).cloned();
        let habit = known.unwrap_or_else(|| {
            let mut habits = self.habits.write();
            if habits.len() >= STATEMENTS_MAX {
                habits.clear();
            }
            habits.entry(text.into()).or_default().clone()
        });
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Candidate { shared: self, habit })
    }

    /// A place on the connection with the fewest reads. Where a connection is missing, it is made meanwhile.
    fn ride(self: &Arc<Shared>) -> Option<Ride> {
        if self.closed.load(Ordering::Relaxed) || self.rests() {
            return None;
        }
        let mut best: Option<(usize, Arc<Wire>)> = None;
        for (at, slot) in self.slots.iter().enumerate() {
            let wire = slot.wire.read().clone();
            match wire.filter(|wire| !wire.client.is_closed() && wire.born.elapsed() < AGE_MAX) {
                Some(wire) => {
                    let depth = wire.depth.load(Ordering::Relaxed);
                    if depth < DEPTH_MAX && best.as_ref().is_none_or(|(least, _)| depth < *least) {
                        best = Some((depth, wire));
                    }
                }
                None => self.open(at),
            }
        }
        let (_, wire) = best?;
        wire.depth.fetch_add(1, Ordering::Relaxed);
        Some(Ride { shared: self.clone(), wire, over: true })
    }

    fn rests(&self) -> bool {
        if !self.resting.load(Ordering::Relaxed) {
            return false;
        }
        let mut until = self.rest_until.lock();
        if until.is_some_and(|until| Instant::now() < until) {
            return true;
        }
        *until = None;
        self.resting.store(false, Ordering::Relaxed);
        false
    }

    fn rest(&self) {
        *self.rest_until.lock() = Some(Instant::now() + REST);
        self.resting.store(true, Ordering::Relaxed);
    }

    fn open(self: &Arc<Shared>, at: usize) {
        if self.slots[at].opening.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = self.clone();
        self.runtime.spawn(async move {
            let opened = tokio::time::timeout(ENDING_MAX, Line::open(&shared.target, false, shared.longest)).await;
            let slot = &shared.slots[at];
            match opened {
                Ok(Ok(line)) if !shared.closed.load(Ordering::Relaxed) => {
                    if let Some((client, wire)) = line.into_parts() {
                        // It ends when its client is gone.
                        tokio::spawn(async move {
                            if let Err(error) = wire.await {
                                tracing::debug!(why = crate::error::explain(&error), "a shared connection was lost");
                            }
                        });
                        *slot.wire.write() = Some(Arc::new(Wire {
                            client,
                            statements: Mutex::default(),
                            depth: AtomicUsize::new(0),
                            watched: AtomicBool::new(false),
                            born: Instant::now(),
                        }));
                        // Closing may have come in between, and has looked already.
                        if shared.closed.load(Ordering::Relaxed) {
                            *slot.wire.write() = None;
                        }
                    }
                }
                Ok(Ok(line)) => line.close().await,
                // Whoever reads by itself hears why.
                Ok(Err(_)) | Err(_) => shared.rest(),
            }
            slot.opening.store(false, Ordering::Relaxed);
        });
    }

    /// Nobody waits for this connection any more: what is under way on it is stopped.
    fn leave(self: &Arc<Shared>, wire: &Arc<Wire>) {
        self.rest();
        let mut left = false;
        for slot in &self.slots {
            let mut there = slot.wire.write();
            if there.as_ref().is_some_and(|there| Arc::ptr_eq(there, wire)) {
                *there = None;
                left = true;
            }
        }
        if !left {
            return;
        }
        let (target, wire) = (self.target.clone(), wire.clone());
        self.runtime.spawn(async move {
            // One request ends one statement, and those behind it are nobody's either: whoever still waits goes by itself then.
            let ended = async {
                let token = wire.client.cancel_token();
                let mut all = pin!(wire.client.check_connection());
                let mut over = false;
                while !over {
                    cancel(&target, &token).await;
                    over = tokio::time::timeout(SHORT, &mut all).await.is_ok();
                }
            };
            let _ = tokio::time::timeout(ENDING_MAX, ended).await;
        });
    }

    /// Gives no more places, and lets the connections end.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for slot in &self.slots {
            *slot.wire.write() = None;
        }
    }

    /// What is prepared may be of no use any more, and what was quick may be no more.
    pub(crate) fn forget(&self) {
        self.habits.write().clear();
        for slot in &self.slots {
            if let Some(wire) = slot.wire.read().as_ref() {
                wire.statements.lock().clear();
            }
        }
    }

    /// Figures worth watching.
    pub(crate) fn gauges(&self) -> [(&'static str, &'static str, f64); 2] {
        let open = self.slots.iter().filter(|slot| slot.wire.read().is_some()).count();
        [
            ("postgres_connections_shared", "Connections that quick reads share.", open as f64),
            (
                "postgres_shared_reads",
                "Reads over shared connections since the start.",
                self.answered.load(Ordering::Relaxed) as f64,
            ),
        ]
    }
}

/// A place on a shared connection.
struct Ride {
    shared: Arc<Shared>,
    wire: Arc<Wire>,
    /// Whether nothing of it is under way.
    over: bool,
}

impl Drop for Ride {
    fn drop(&mut self) {
        self.wire.depth.fetch_sub(1, Ordering::Relaxed);
        if self.over || self.wire.client.is_closed() || self.wire.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        // Somebody went away from a statement. If that is slow, those behind it wait for nothing.
        let (shared, wire) = (self.shared.clone(), self.wire.clone());
        self.shared.runtime.spawn(async move {
            let answers = tokio::time::timeout(PATIENCE, wire.client.check_connection()).await;
            wire.watched.store(false, Ordering::Relaxed);
            if !matches!(answers, Ok(Ok(()))) {
                shared.leave(&wire);
            }
        });
    }
}

/// A place as the store's [`Connection`], for one read.
struct Session {
    ride: Ride,
    /// Whether the read must go by itself.
    by_itself: bool,
}

impl Session {
    async fn run(
        &mut self,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<u64, StoreError> {
        self.ride.over = false;
        let told = self.ride.wire.run(statement, values, each).await;
        match told {
            Ok(over) => {
                self.ride.over = over;
                Ok(0)
            }
            // Cancelled: on whose behalf, nobody can tell here.
            Err(Fault::Store(StoreError::Deadline)) => self.by_itself(),
            Err(Fault::Store(error)) => {
                self.ride.over = true;
                Err(match error {
                    StoreError::Unavailable(why) => StoreError::Internal(why),
                    other => other,
                })
            }
            Err(Fault::Stale) => {
                self.ride.wire.statements.lock().clear();
                self.by_itself()
            }
            Err(Fault::Conflict | Fault::Behind | Fault::Lost(_)) => self.by_itself(),
        }
    }

    fn by_itself(&mut self) -> Result<u64, StoreError> {
        self.ride.over = true;
        self.by_itself = true;
        Err(StoreError::Conflict)
    }
}

impl Wire {
    /// Whether the statement is over on the server.
    async fn run(
        &self,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<bool, Fault> {
        let kept = self.statements.lock().get(statement.text.as_str()).cloned();
        let kept = match kept {
            Some(kept) => kept,
            None => Box::pin(self.prepare(statement, values)).await?,
        };
        let rows = self.client.query_raw(&kept, values.iter().map(Param)).await?;
        Ok(line::lend(rows, statement, each).await?.over)
    }

    async fn prepare(&self, statement: &Statement, values: &[Bound<'_>]) -> Result<Kept, Fault> {
        let types: Vec<_> = values.iter().map(parameter_type).collect();
        let kept = self.client.prepare_typed(&statement.text, &types).await?;
        let mut statements = self.statements.lock();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(statement.text.as_str().into(), kept.clone());
        Ok(kept)
    }
}

fn one_read() -> StoreError {
    StoreError::Internal("a shared connection is for reads of one statement".into())
}

impl Connection for Session {
    fn query<'a>(
        &'a mut self,
        statement: &'a Statement,
        values: Vec<Bound<'a>>,
        each: &'a mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { self.run(statement, &values, each).await })
    }

    fn query_each<'a>(
        &'a mut self,
        _: &'a Statement,
        _: Vec<Vec<Bound<'a>>>,
        _: &'a mut (dyn FnMut(usize, &dyn RowRef) + Send),
    ) -> BoxFuture<'a, Result<(), (usize, StoreError)>> {
        Box::pin(async { Err((0, one_read())) })
    }

    fn announce<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(one_read()) })
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Err(one_read()) })
    }

    fn release(&mut self, _: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Err(one_read()) })
    }
}
