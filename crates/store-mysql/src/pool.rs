//! Connections that wait for work, at most so many, and those who wait for a connection, at most so many and not for long.
//!
//! A connection keeps its prepared statements. One that is left in the middle of something (whoever asked has gone, or the deadline
//! has passed) is killed on the server, by another connection, and thrown away: then nothing goes on running, and nothing meets the
//! next one who uses it. Deliberately absent: transactions.

use crate::error::Fault;
use crate::pulse::Pulse;
use crate::server::Server;
use crate::settings::{Options, Target};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Statement};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::time::timeout_at;
use undergird_store::StoreError;
use undergird_store::turns::Turns;
use undergird_store::waiting::{Patience, Room, Waiters};

/// Most prepared statements of one connection. The server counts those of all connections, 16,382 if nothing is said.
const STATEMENTS_MAX: usize = 256;

/// Idle connections are not used again after this: firewalls forget them sooner than servers.
const IDLE_MAX: Duration = Duration::from_secs(240);

/// So many may wait for each connection, however long the first of them does.
const FEW_FOR_EACH: usize = 4;

/// How long the first may wait when there are more: whoever comes then is told at once, and not after as long a wait.
const OLDEST: Duration = Duration::from_millis(500);

/// A connection with its prepared statements.
pub(crate) struct Link {
    pub(crate) conn: Conn,
    statements: FxHashMap<String, Prepared>,
    /// Which loss of connections it has survived.
    generation: u64,
    idle_since: Instant,
    /// Counts uses of statements, to know the oldest.
    tick: u64,
}

struct Prepared {
    statement: Statement,
    used: u64,
}

impl Link {
    fn new(conn: Conn, generation: u64) -> Link {
        Link { conn, statements: FxHashMap::default(), generation, idle_since: Instant::now(), tick: 0 }
    }

    /// The prepared statement of a text.
    pub(crate) async fn prepare(&mut self, text: &str) -> Result<Statement, Fault> {
        self.tick += 1;
        if let Some(kept) = self.statements.get_mut(text) {
            kept.used = self.tick;
            return Ok(kept.statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            let oldest = self.statements.iter().min_by_key(|(_, kept)| kept.used).map(|(text, _)| text.clone());
            if let Some(kept) = oldest.and_then(|text| self.statements.remove(&text)) {
                self.conn.close(kept.statement).await?;
            }
        }
        let statement = self.conn.prep(text).await?;
        self.statements.insert(text.to_owned(), Prepared { statement: statement.clone(), used: self.tick });
        Ok(statement)
    }

    /// Prepares a text anew when it is asked for again.
    pub(crate) fn forget(&mut self, text: &str) {
        self.statements.remove(text);
    }
}

/// The connections of one store.
pub(crate) struct Pool {
    pub(crate) target: Target,
    pub(crate) server: Server,
    /// Whether it is still there.
    pub(crate) pulse: Arc<Pulse>,
    options: Options,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Link>>,
    /// Of the transactions that are serializable.
    pub(crate) turns: Turns,
    waiting: Waiters,
    /// Grows when a connection was lost: those that were made before are not trusted.
    generation: AtomicU64,
    closed: AtomicBool,
    doomed: mpsc::UnboundedSender<Doomed>,
}

/// A connection to be killed. Its place in the pool is free when that is done.
struct Doomed {
    link: Link,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool on a server that was asked who it is. Must be called within a runtime.
    pub(crate) fn new(target: Target, server: Server, options: Options) -> Arc<Pool> {
        // As many can be in it as there are permits.
        let (doomed, coming) = mpsc::unbounded_channel();
        tokio::spawn(kill(target.clone(), coming));
        Arc::new(Pool {
            permits: Arc::new(Semaphore::new(options.connections.max(1))),
            waiting: Waiters::new(Room {
                most: options.waiting,
                few: FEW_FOR_EACH * options.connections.max(1),
                patience: OLDEST,
            }),
            pulse: Arc::new(Pulse::new(target.clone())),
            target,
            server,
            options,
            idle: Mutex::new(Vec::new()),
            turns: Turns::default(),
            generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            doomed,
        })
    }

    /// How long a request waits for connections.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.options.wait)
    }

    /// A connection, when one is free.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too many wait or none was free in time, [`StoreError::Deadline`], [`StoreError::Unavailable`].
    pub(crate) async fn acquire(self: &Arc<Pool>, patience: &Patience, deadline: Instant) -> Result<Lease, StoreError> {
        let permit = self.permit(patience, deadline).await?;
        let generation = self.generation.load(Ordering::Acquire);
        let kept = {
            let mut idle = self.idle.lock();
            // The last one used is the one whose caches are warm.
            idle.retain(|link| link.generation == generation && link.idle_since.elapsed() < IDLE_MAX);
            idle.pop()
        };
        let link = match kept {
            Some(link) => link,
            None => {
                let made = self.target.session(&self.server, Some(self.options.statement));
                match timeout_at(patience.until().min(deadline).into(), made).await {
                    Ok(conn) => Link::new(conn?, generation),
                    Err(_) if patience.until() < deadline => return Err(self.target.silent()),
                    Err(_) => return Err(StoreError::Deadline),
                }
            }
        };
        Ok(Lease { link: Some(link), permit: Some(permit), pool: Arc::clone(self), busy: false })
    }

    async fn permit(&self, patience: &Patience, deadline: Instant) -> Result<OwnedSemaphorePermit, StoreError> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(closing()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _place = self.waiting.enter().ok_or(StoreError::Overloaded)?;
        let patience = patience.until();
        match timeout_at(patience.min(deadline).into(), Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closing()),
            Err(_) if patience < deadline => Err(StoreError::Overloaded),
            Err(_) => Err(StoreError::Deadline),
        }
    }

    /// A connection was lost: the others, too, may be to a server that is gone.
    pub(crate) fn distrust(&self, link_of: u64) {
        // Of those that were lost together only the first one counts.
        let _ = self.generation.compare_exchange(link_of, link_of + 1, Ordering::AcqRel, Ordering::Acquire);
        self.idle.lock().retain(|link| link.generation > link_of);
    }

    /// How many use a connection, and how many wait for one.
    pub(crate) fn load(&self) -> (usize, usize) {
        let used = self.options.connections.max(1).saturating_sub(self.permits.available_permits());
        (used, self.waiting.count())
    }

    /// How many connections there are at most.
    pub(crate) fn size(&self) -> usize {
        self.options.connections.max(1)
    }

    /// Lets nobody in any more, and closes what is idle; what is in use closes when it is given back.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever holds a connection gives it back first, unless that takes too long.
        let all = u32::try_from(self.size()).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(Duration::from_secs(5), self.permits.acquire_many(all)).await;
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for link in idle {
            let _ = tokio::time::timeout(Duration::from_secs(1), link.conn.disconnect()).await;
        }
    }
}

/// What a store that is closing says.
pub(crate) fn closing() -> StoreError {
    StoreError::Unavailable("the store is closing".into())
}

/// The use of a connection. Given back when it is dropped, or killed if that is in the middle of something.
pub(crate) struct Lease {
    link: Option<Link>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    /// Whether something is under way: a statement, or a transaction.
    pub(crate) busy: bool,
}

impl Lease {
    /// The connection, unless it is lost.
    pub(crate) fn link(&mut self) -> Result<&mut Link, Fault> {
        self.link.as_mut().ok_or_else(|| Fault::Lost("the connection was lost".into()))
    }

    /// Tells whether the server is still there.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pool.pulse)
    }

    /// Throws the connection away, because the server has.
    pub(crate) fn lost(&mut self) {
        self.busy = false;
        if let Some(link) = self.link.take() {
            self.pool.distrust(link.generation);
        }
    }

    /// Has the connection killed, with whatever it does.
    pub(crate) fn kill(&mut self) {
        self.busy = false;
        if let (Some(link), Some(permit)) = (self.link.take(), self.permit.take()) {
            // Without the task, the runtime has ended, and with it the connection.
            let _ = self.pool.doomed.send(Doomed { link, _permit: permit });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.busy {
            self.kill();
            return;
        }
        if let Some(mut link) = self.link.take()
            && !self.pool.closed.load(Ordering::Acquire)
            && link.generation == self.pool.generation.load(Ordering::Acquire)
        {
            link.idle_since = Instant::now();
            self.pool.idle.lock().push(link);
        }
    }
}

/// Kills connections, one after the other, by a connection of its own.
async fn kill(target: Target, mut coming: mpsc::UnboundedReceiver<Doomed>) {
    let mut control: Option<Conn> = None;
    while let Some(doomed) = coming.recv().await {
        let text = format!("KILL CONNECTION {}", doomed.link.conn.id());
        for attempt in 0..2 {
            if control.is_none() {
                control = target.connect().await.ok();
            }
            let Some(conn) = &mut control else { break };
            let killed = tokio::time::timeout(Duration::from_secs(2), conn.query_drop(text.as_str())).await;
            match killed {
                // Gone already (1094), or not ours to kill: nothing that a second attempt would mend.
                Ok(Ok(()) | Err(mysql_async::Error::Server(_))) => break,
                Ok(Err(_)) | Err(_) => control = None,
            }
            if attempt == 1 {
                tracing::warn!("a statement that nobody waits for could not be stopped: the server does not answer");
            }
        }
    }
}
