//! SQLite: one driver, one dialect, its DDL and introspection.
//!
//! One thread writes and commits what waits as a group; reads run on the caller's own thread unless they take long. Deliberately
//! absent: any decision about access, and any SQL text beyond transactions, settings and [`ddl`]: statements arrive written.

mod backfill;
pub mod backup;
mod checkpoint;
mod connection;
mod control;
pub mod ddl;
mod dialect;
mod error;
mod follow;
mod functions;
mod hold;
pub mod introspect;
mod kept;
mod migrations;
mod others;
mod queue;
mod readers;
mod relaxed;
mod scribe;
mod session;
mod signature;
mod snapshots;
pub mod survey;
#[cfg(test)]
mod tests;
mod values;
mod writer;

pub use dialect::{DIALECT, Sqlite};
pub use relaxed::RELAXED_MAX;
pub use scribe::SCRIBE;

use checkpoint::Log;
use connection::Location;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use others::Others;
use parking_lot::Mutex;
use queue::{Queue, Room};
use readers::Readers;
use relaxed::Syncs;
use snapshots::Commits;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use undergird_plan::RowSink;
use undergird_store::changes::Follow;
use undergird_store::{
    Dialect, Isolation, Prepared, ReadAnswer, Statement, Statements, Store, StoreError, Work, WorkAnswer, migration,
    schema,
};
use writer::{Writer, Writes};

/// Writes wait for the one that runs. A few groups of them may, also behind one that takes long.
const WRITES: Room = Room { most: 4_096, few: 512, patience: Duration::from_millis(500) };

/// For how long others join a look at the writer, rather than take one of their own.
const PROBE_SHARED_MAX: Duration = Duration::from_secs(1);

/// How a store is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most writes in the queue before new ones are shed: `[limits] writes_waiting`.
    pub writes_waiting: usize,
    /// Whether writes are answered before they are on disk, which they are [`RELAXED_MAX`] later: `[stores.main] durability`.
    pub relaxed: bool,
    /// Connections for reads on callers' threads: as many as there are worker threads.
    pub readers: usize,
    /// Threads for reads that take long.
    pub long_readers: usize,
    /// Most reads that wait for such a thread.
    pub long_reads_waiting: usize,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Options {
            writes_waiting: WRITES.most,
            relaxed: false,
            readers: cores,
            long_readers: cores.clamp(2, 8),
            long_reads_waiting: 1_024,
        }
    }
}

/// A SQLite database.
pub struct SqliteStore {
    location: Arc<Location>,
    readers: Arc<Readers>,
    writes: Arc<Writes>,
    probe: Mutex<Option<(Instant, Probe)>>,
    log: Arc<Log>,
    syncs: Option<Arc<Syncs>>,
    others: Arc<Others>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl SqliteStore {
    /// Opens a database, which is made when it is not there: `sqlite:data/main.db`, a path, or `sqlite::memory:` for one that
    /// lives as long as the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or is no database.
    pub fn open(url: &str, options: &Options) -> Result<Arc<SqliteStore>, StoreError> {
        let location = Arc::new(Location::parse(url)?.relaxed(options.relaxed));
        location.prepare()?;
        let log = Arc::new(Log::default());
        let syncs = options.relaxed.then(|| Arc::new(Syncs::default()));
        let queue = Arc::new(Queue::new(Room { most: options.writes_waiting, ..WRITES }));
        // The writer first: it makes the file and turns its log on.
        let commits = Arc::new(Commits::default());
        let others = Arc::new(Others::new(location.index(), &commits));
        let writer = Writer::open(&location, &queue, &log, &commits, syncs.as_ref(), &others)?;
        let readers = Arc::new(Readers::open(&location, options, &commits)?);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(work)
                .map_err(|error| StoreError::Unavailable(format!("no thread for {name}: {error}")))
        };
        let (folding, place) = (Arc::clone(&log), Arc::clone(&location));
        let (of_writer, of_folding) = (Arc::clone(&readers), Arc::clone(&readers));
        let mut threads = vec![
            spawn("sqlite-write", Box::new(move || writer.run(&of_writer)))?,
            spawn("sqlite-fold", Box::new(move || folding.run(&place, &of_folding)))?,
        ];
        if let Some(syncs) = syncs.clone() {
            let log = location.log();
            threads.push(spawn("sqlite-sync", Box::new(move || syncs.run(&log)))?);
        }
        Ok(Arc::new(SqliteStore {
            location,
            readers,
            writes: Arc::new(Writes { queue }),
            probe: Mutex::new(None),
            log,
            syncs,
            others,
            threads: Arc::new(Mutex::new(threads)),
        }))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.readers.close();
        self.writes.queue.close();
        self.log.close();
        if let Some(syncs) = &self.syncs {
            syncs.close();
        }
        // Now, because the process may end before the threads do.
        self.location.forget();
    }
}

/// A look at whether the writer writes, for all who ask while it is under way.
type Probe = Shared<BoxFuture<'static, Result<(), StoreError>>>;

impl SqliteStore {
    /// Whether the writer takes the lock. It passes by the queue, which whoever may ask may not be able to fill: one for all who ask.
    fn probe(&self) -> Probe {
        let mut under_way = self.probe.lock();
        if let Some((begun, probe)) = under_way.as_ref()
            && probe.peek().is_none()
            // Those who asked may have left, and then nobody took its answer, which is as old as it.
            && begun.elapsed() < PROBE_SHARED_MAX
        {
            return probe.clone();
        }
        let writes = Arc::clone(&self.writes);
        let probe = async move {
            let look = |connection: &mut rusqlite::Connection| {
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(|error| error::store_error(&error))
            };
            writes.raw_first(look).await
        };
        let probe = probe.boxed().shared();
        *under_way = Some((Instant::now(), probe.clone()));
        probe
    }
}

impl Store for SqliteStore {
    fn dialect(&self) -> &'static dyn Dialect {
        &DIALECT
    }

    fn read(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> BoxFuture<'_, ReadAnswer> {
        Box::pin(self.readers.read(query, sink, deadline))
    }

    fn transaction(
        &self,
        work: Box<dyn Work>,
        isolation: Isolation,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<WorkAnswer, StoreError>> {
        match isolation {
            Isolation::Snapshot => Box::pin(self.readers.snapshot(work, deadline)),
            // There is one writer, so transactions do run one after the other.
            Isolation::Committed | Isolation::Serializable => Box::pin(self.writes.transaction(work, deadline)),
        }
    }

    fn others_commits(&self) -> Option<u64> {
        self.others.commits()
    }

    fn schema(&self) -> BoxFuture<'_, Result<Option<schema::Applied>, StoreError>> {
        Box::pin(async { self.readers.with(|connection| introspect::applied(connection)) })
    }

    fn migrate<'a>(
        &'a self,
        steps: &'a [schema::Step],
        wanted: &'a schema::Applied,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (steps, wanted) = (steps.to_vec(), wanted.clone());
        Box::pin(self.writes.raw(move |connection| ddl::migrate(connection, &steps, &wanted)))
    }

    fn hold_writes<'a>(&'a self, tables: &'a schema::Applied, hold: bool) -> BoxFuture<'a, Result<(), StoreError>> {
        let tables = tables.clone();
        Box::pin(self.writes.raw(move |connection| hold::hold(connection, &tables, hold)))
    }

    fn follow_changes<'a>(
        &'a self,
        tables: &'a schema::Applied,
        follow: Follow<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let tables = tables.clone();
        Box::pin(async move {
            let run = match follow {
                Follow::Begin(run) | Follow::End(run) => run.to_owned(),
                Follow::EndAll => String::new(),
            };
            let (begin, all) = (matches!(follow, Follow::Begin(_)), matches!(follow, Follow::EndAll));
            let follow = move |connection: &mut rusqlite::Connection| {
                let what = match (begin, all) {
                    (true, _) => Follow::Begin(&run),
                    (_, true) => Follow::EndAll,
                    _ => Follow::End(&run),
                };
                follow::follow(connection, &tables, what)
            };
            self.writes.raw(follow).await
        })
    }

    fn migrations(&self) -> BoxFuture<'_, Result<Vec<migration::Done>, StoreError>> {
        Box::pin(async { self.readers.with(|connection| migrations::done(connection)) })
    }

    fn progress(&self) -> BoxFuture<'_, Result<Option<migration::Progress>, StoreError>> {
        Box::pin(async { self.readers.with(|connection| migrations::progress(connection)) })
    }

    fn apply<'a>(&'a self, run: &'a migration::Run) -> BoxFuture<'a, Result<migration::Outcome, StoreError>> {
        let run = run.clone();
        Box::pin(self.writes.raw(move |connection| migrations::apply(connection, &run)))
    }

    fn describe(&self, steps: &[schema::Step], wanted: &schema::Applied) -> Vec<String> {
        ddl::statements(steps, wanted)
    }

    fn explain(&self, query: Prepared) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            self.readers.with(|connection| {
                let mut lines = Vec::new();
                for statement in statements(&query.statements) {
                    explain(connection, statement, &mut lines).map_err(|error| error::store_error(&error))?;
                }
                Ok(lines)
            })
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.probe())
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let (database, log) = self.location.sizes();
        vec![
            ("sqlite_writes_waiting", "Transactions in the writer's queue.", self.writes.queue.len() as f64),
            ("sqlite_long_reads_waiting", "Long reads that wait for a thread.", self.readers.waiting() as f64),
            ("sqlite_log_pages", "Pages in the write-ahead log.", f64::from(self.log.pages())),
            ("sqlite_log_bytes", "Size of the write-ahead log's file.", log as f64),
            ("sqlite_database_bytes", "Size of the database's file.", database as f64),
        ]
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.readers.close();
        self.writes.queue.close();
        self.log.close();
        if let Some(syncs) = &self.syncs {
            syncs.close();
        }
        let (readers, threads) = (Arc::clone(&self.readers), Arc::clone(&self.threads));
        Box::pin(async move {
            let (done, waiting) = tokio::sync::oneshot::channel();
            // Threads can only be waited for by a thread.
            let waiter = std::thread::Builder::new().name("sqlite-close".into()).spawn(move || {
                readers.join();
                for thread in std::mem::take(&mut *threads.lock()) {
                    let _ = thread.join();
                }
                let _ = done.send(());
            });
            if waiter.is_ok() {
                let _ = waiting.await;
            }
        })
    }
}

/// All statements of a plan, in the order in which they run.
fn statements(all: &Statements) -> Vec<&Statement> {
    match all {
        Statements::Read(read) => read.nodes.iter().chain(&read.count).collect(),
        Statements::Write(write) => {
            let returning = write.returning.iter().flat_map(|read| &read.nodes);
            let before = write.guard.iter().chain(&write.lookup).chain(&write.noted).chain(&write.keys);
            let after = write.update.iter().chain(&write.after).chain(&write.again);
            before.chain([&write.main]).chain(after).chain(returning).collect()
        }
    }
}

fn explain(connection: &rusqlite::Connection, statement: &Statement, lines: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut prepared = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.text))?;
    let mut rows = prepared.raw_query();
    let mut depths: Vec<(i64, usize)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, parent, detail): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let depth = depths.iter().find(|(of, _)| *of == parent).map_or(0, |(_, depth)| depth + 1);
        depths.push((id, depth));
        lines.push(format!("{}{detail}", "  ".repeat(depth)));
    }
    Ok(())
}
