//! The connections, and who waits for one.
//!
//! A pool of our own rather than deadpool's: what is hard here is not keeping a list but giving a connection back whose statement was
//! left half-way (cancel it, wait for that, roll back, all while the caller is gone), and looking at an idle one without a round
//! trip, which only whoever polls the connection can do.
//!
//! Deliberately absent: what is done on a connection.

use crate::line::Line;
use crate::settings::{Options, Target};
use crate::shared::{self, Shared};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use undergird_store::StoreError;
use undergird_store::turns::Turns;
use undergird_store::waiting::{Patience, Room, Waiters};

/// How long a connection that nobody used is kept.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long a connection is used at all, so that nodes move to a new server when names point elsewhere.
const AGE_MAX: Duration = Duration::from_secs(1_800);
/// How long a connection whose statement was left may take to be clean again.
const CLEANING_MAX: Duration = Duration::from_secs(5);
/// How long a statement that nobody waits for may go on before it is cancelled.
const SHORT: Duration = Duration::from_millis(20);
/// So many may wait for each connection, however long the first of them does.
const FEW_FOR_EACH: usize = 4;
/// How long the first may wait when there are more: whoever comes then is told at once, and not after as long a wait.
const OLDEST: Duration = Duration::from_millis(500);
/// How long [`Pool::close`] waits for what is under way.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Pool {
    pub(crate) target: Target,
    options: Options,
    /// What gives a row on connections that must not be used.
    guard: Option<&'static str>,
    /// One permit per connection; whoever waits first gets one first.
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
    /// For quick reads, where some of the connections are shared.
    pub(crate) shared: Option<Arc<Shared>>,
    /// Of the transactions that are serializable.
    pub(crate) turns: Turns,
    waiting: Waiters,
    made: AtomicU64,
    again: AtomicU64,
    /// Goes up when what is prepared turns out to be of no use: a table has changed, for all connections.
    epoch: AtomicU64,
    closed: AtomicBool,
    /// Why the last connection could not be made, so that those who waited in vain can be told.
    refused: Mutex<Option<StoreError>>,
    runtime: Handle,
}

/// The connections at rest, those of last use last.
#[derive(Default)]
struct Idle {
    common: VecDeque<(Line, Instant)>,
    /// Those whose statements write by themselves ([`Line::lone`]).
    lone: VecDeque<(Line, Instant)>,
}

/// A connection in use.
pub(crate) struct Checkout {
    /// `None` only while this is dropped.
    line: Option<Line>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
}

impl Pool {
    pub(crate) fn new(target: Target, options: Options) -> Arc<Pool> {
        Pool::with(target, options, None, None)
    }

    /// The same, where some of the connections are shared by quick reads.
    pub(crate) fn sharing(target: Target, options: Options) -> Arc<Pool> {
        let shared = Shared::new(&target, &options);
        Pool::with(target, options, None, shared)
    }

    /// The same, where each new connection is asked first whether it may be used: a row that `guard` gives names a login that must not.
    pub(crate) fn guarded(target: Target, options: Options, guard: &'static str) -> Arc<Pool> {
        Pool::with(target, options, Some(guard), None)
    }

    fn with(
        target: Target,
        mut options: Options,
        guard: Option<&'static str>,
        shared: Option<Arc<Shared>>,
    ) -> Arc<Pool> {
        if shared.is_some() {
            options.connections -= shared::lines(&options);
        }
        Arc::new(Pool {
            shared,
            guard,
            target,
            permits: Arc::new(Semaphore::new(options.connections.max(1))),
            idle: Mutex::default(),
            turns: Turns::default(),
            waiting: Waiters::new(Room {
                most: options.waiting,
                few: FEW_FOR_EACH * options.connections.max(1),
                patience: OLDEST,
            }),
            options,
            made: AtomicU64::new(0),
            again: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            refused: Mutex::new(None),
            runtime: Handle::current(),
        })
    }

    /// How long a request waits for connections.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.options.wait)
    }

    /// Whether statements must go unnamed.
    pub(crate) fn is_pooled(&self) -> bool {
        self.options.transaction_pooler
    }

    /// A connection at rest, waited for no longer than the deadline or the pool's own limit.
    pub(crate) async fn checkout(self: &Arc<Pool>, deadline: Instant) -> Result<Checkout, StoreError> {
        self.checkout_as(false, deadline).await
    }

    /// The same for work that may be one statement: a line whose statements write by themselves, where one is idle. Whoever turns out to
    /// need another [exchanges](Pool::exchange) it.
    pub(crate) async fn checkout_for_one(self: &Arc<Pool>, deadline: Instant) -> Result<Checkout, StoreError> {
        self.checkout_as(true, deadline).await
    }

    async fn checkout_as(self: &Arc<Pool>, lone: bool, deadline: Instant) -> Result<Checkout, StoreError> {
        let until = deadline.min(Instant::now() + self.options.wait);
        let permit = self.permit(until).await?;
        let epoch = self.epoch.load(Ordering::Relaxed);
        loop {
            let found = {
                let Idle { common, lone: lonely } = &mut *self.idle.lock();
                let (first, then) = if lone { (lonely, common) } else { (common, lonely) };
                first.pop_back().or_else(|| then.pop_back())
            };
            let Some((mut line, _)) = found else { break };
            if !self.is_of_use(&mut line, epoch) {
                continue;
            }
            if line.lone && !lone {
                match tokio::time::timeout_at(until.into(), line.make_common()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => continue,
                    Err(_) => return Err(StoreError::Unavailable(format!("{} does not answer", self.target.shown()))),
                }
            }
            return Ok(Checkout { line: Some(line), permit: Some(permit), pool: self.clone() });
        }
        let mut line = self.fresh(until).await?;
        line.epoch = epoch;
        Ok(Checkout { line: Some(line), permit: Some(permit), pool: self.clone() })
    }

    /// Whether an idle line may still be used; what it keeps of another time is forgotten.
    fn is_of_use(&self, line: &mut Line, epoch: u64) -> bool {
        if line.epoch != epoch {
            line.forget();
            line.epoch = epoch;
        }
        line.is_sound() && line.born.elapsed() < AGE_MAX
    }

    /// Exchanges a line at rest for one of the other kind, where one is idle: whose statements write by themselves, or not. There are never
    /// more connections than permits: each holder of one gives a line for a line.
    pub(crate) fn exchange(&self, line: &mut Line, lone: bool) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        while line.lone != lone {
            let found = {
                let mut idle = self.idle.lock();
                if lone { idle.lone.pop_back() } else { idle.common.pop_back() }
            };
            let Some((mut other, _)) = found else { return };
            if self.is_of_use(&mut other, epoch) {
                let given = std::mem::replace(line, other);
                self.put_back(given);
            }
        }
    }

    async fn permit(&self, until: Instant) -> Result<OwnedSemaphorePermit, StoreError> {
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(closing()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _place =
            self.waiting.enter().ok_or_else(|| self.refused.lock().clone().unwrap_or(StoreError::Overloaded))?;
        match tokio::time::timeout_at(until.into(), self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closing()),
            Err(_) => Err(self.refused.lock().clone().unwrap_or(StoreError::Overloaded)),
        }
    }

    async fn fresh(&self, until: Instant) -> Result<Line, StoreError> {
        let opening = async {
            let mut line = Line::open(&self.target, self.options.transaction_pooler, self.options.statement).await?;
            if let Some(guard) = self.guard
                && let Some(login) = line.texts(guard).await?.first()
            {
                return Err(StoreError::Unavailable(format!(
                    "the login \"{login}\", by which {} is reached, passes row-level security or may become one who does, so \
                     row_security would be none",
                    self.target.shown()
                )));
            }
            Ok(line)
        };
        let opened = match tokio::time::timeout_at(until.into(), opening).await {
            Ok(opened) => opened,
            Err(_) => Err(StoreError::Unavailable(format!("no connection to {} in time", self.target.shown()))),
        };
        *self.refused.lock() = opened.as_ref().err().cloned();
        self.made.fetch_add(u64::from(opened.is_ok()), Ordering::Relaxed);
        opened
    }

    /// Counts a piece of work that was run again.
    pub(crate) fn count_again(&self) {
        self.again.fetch_add(1, Ordering::Relaxed);
    }

    /// What is prepared on any connection is not used any more.
    pub(crate) fn forget_prepared(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        if let Some(shared) = &self.shared {
            shared.forget();
        }
    }

    /// After one idle connection turned out to be dead, the others of its time most likely are too.
    pub(crate) fn drop_idle(&self) {
        *self.idle.lock() = Idle::default();
    }

    fn put_back(&self, line: Line) {
        let mut late = Vec::new();
        let mut idle = self.idle.lock();
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        if line.lone {
            idle.lone.push_back((line, now));
        } else {
            idle.common.push_back((line, now));
        }
        let Idle { common, lone } = &mut *idle;
        for lines in [common, lone] {
            while lines.front().is_some_and(|(_, since)| now.duration_since(*since) > IDLE_MAX) {
                late.extend(lines.pop_front());
            }
        }
        drop(idle);
        for (line, _) in late {
            self.runtime.spawn(line.close());
        }
    }

    /// Figures worth watching.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let used = self.options.connections.saturating_sub(self.permits.available_permits());
        let idle = {
            let idle = self.idle.lock();
            idle.common.len() + idle.lone.len()
        };
        let mut all = vec![
            ("postgres_connections_used", "Connections in use.", used as f64),
            ("postgres_connections_idle", "Connections at rest.", idle as f64),
            ("postgres_requests_waiting", "Requests that wait for a connection.", self.waiting.count() as f64),
            (
                "postgres_connections_made",
                "Connections made since the start.",
                self.made.load(Ordering::Relaxed) as f64,
            ),
            ("postgres_runs_again", "Pieces of work that were run again.", self.again.load(Ordering::Relaxed) as f64),
        ];
        all.extend(self.shared.iter().flat_map(|shared| shared.gauges()));
        all
    }

    /// Lets what is under way end, and closes.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.options.connections.max(1)).unwrap_or(u32::MAX);
        if !self.closed.load(Ordering::Relaxed) {
            // Those who wait already are still served: they came before us.
            let _ = tokio::time::timeout(CLOSING_MAX, self.permits.acquire_many(all)).await;
        }
        self.shut();
        let Idle { common, lone } = std::mem::take(&mut *self.idle.lock());
        for (line, _) in common.into_iter().chain(lone) {
            line.close().await;
        }
    }

    /// Gives no more connections.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(shared) = &self.shared {
            shared.shut();
        }
        self.permits.close();
    }
}

impl Checkout {
    /// The connection.
    pub(crate) fn line(&mut self) -> &mut Line {
        #[allow(clippy::expect_used, reason = "only dropping takes it")]
        self.line.as_mut().expect("a checkout has its line until it is dropped")
    }
}

impl Drop for Checkout {
    /// Gives the connection back: at once when it is at rest, and else when it has been cleaned.
    fn drop(&mut self) {
        let (Some(mut line), Some(permit)) = (self.line.take(), self.permit.take()) else { return };
        if line.broken {
            return;
        }
        if !line.busy && !line.open && !line.has_turn {
            self.pool.put_back(line);
            return;
        }
        let pool = self.pool.clone();
        self.pool.runtime.spawn(async move {
            // The permit stays here meanwhile: what is being cleaned is a connection too.
            let _permit = permit;
            if tokio::time::timeout(CLEANING_MAX, clean(&pool, &mut line)).await.is_ok_and(|clean| clean) {
                pool.put_back(line);
            }
        });
    }
}

/// Stops what is under way and rolls back. Whether the connection may be used again.
async fn clean(pool: &Pool, line: &mut Line) -> bool {
    let mut settled = true;
    if line.busy && !line.committing {
        // Most statements are over sooner than they could be cancelled.
        settled = matches!(tokio::time::timeout(SHORT, line.settle()).await, Ok(Ok(())));
    }
    let signalled = settled || crate::cancel::cancel(&pool.target, &line.cancel_token()).await;
    if line.settle().await.is_err() || !signalled {
        return false;
    }
    // Also where none is open: after a COMMIT of which nobody heard, and a BEGIN that may not have arrived. That is a warning at most.
    if line.execute("ROLLBACK").await.is_err() {
        return false;
    }
    if line.has_turn && line.give_turn_back().await.is_err() {
        return false;
    }
    line.at_rest();
    true
}

pub(crate) fn closing() -> StoreError {
    StoreError::Unavailable("the store is closing".into())
}
