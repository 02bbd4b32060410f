//! Reads. A short one runs at once, on the caller's own thread, which measured faster than handing it over; one that takes long
//! is stopped, and run again from the start by a thread of its own, with the whole deadline. Its text is remembered, so that the
//! next of its kind goes there directly. Short ones that follow each other closely share a snapshot ([`crate::snapshots`]).

use crate::Options;
use crate::connection::{Location, Purpose};
use crate::control::{Control, Stopped};
use crate::error::store_error;
use crate::queue::{Queue, Refused, Room};
use crate::session::{Session, execute};
use crate::snapshots::{Commits, Next, Shared};
use futures_util::FutureExt;
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use rustc_hash::{FxBuildHasher, FxHashSet};
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use undergird_plan::RowSink;
use undergird_store::{Prepared, ReadAnswer, Statements, StoreError, Work, WorkAnswer, run};

/// Most texts remembered as long.
const LONG_TEXTS_MAX: usize = 1_024;

/// Long reads that may wait for each thread however long it takes, and for how long the oldest waits before more are refused.
const FEW: usize = 16;
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that reads.
pub(crate) struct Reader {
    connection: Connection,
    control: Arc<Control>,
    shared: Shared,
}

impl Reader {
    fn open(location: &Location) -> Result<Reader, StoreError> {
        let mut connection = location.open(Purpose::Read)?;
        let control = Control::attach(&mut connection).map_err(|error| store_error(&error))?;
        Ok(Reader { connection, control, shared: Shared::default() })
    }

    /// Runs a read in one snapshot of its own. A panic leaves no sink.
    fn run(&mut self, query: &Prepared, sink: Box<dyn RowSink>) -> ReadAnswer {
        let many = match query.statements.as_ref() {
            Statements::Read(read) => read.nodes.len() + usize::from(read.count.is_some()) > 1,
            Statements::Write(_) => false,
        };
        let answer = self.run_in_snapshot(query, sink, many);
        if many {
            self.end();
        }
        answer
    }

    /// Runs a read in one snapshot, which the reads that closely follow it may share.
    fn run_shared(&mut self, query: &Prepared, sink: Box<dyn RowSink>, commits: &Commits, now: Instant) -> ReadAnswer {
        match self.shared.next(commits, now) {
            Next::Share if !self.connection.is_autocommit() => {
                let answer = self.run_in_snapshot(query, sink, false);
                if answer.result.is_err() {
                    self.let_go();
                }
                answer
            }
            Next::Share | Next::Begin => {
                self.let_go();
                let answer = self.run_in_snapshot(query, sink, true);
                if answer.result.is_ok() {
                    self.shared.begun();
                } else {
                    self.end();
                }
                answer
            }
            Next::Alone => {
                self.let_go();
                self.run(query, sink)
            }
        }
    }

    /// Ends the snapshot that is kept for others, if any.
    fn let_go(&mut self) {
        if self.shared.take() {
            self.end();
        }
    }

    fn end(&self) {
        if !self.connection.is_autocommit() {
            // A snapshot that cannot be ended would keep the log from being cut: better a new connection's work than that.
            let _ = execute(&self.connection, "ROLLBACK");
        }
    }

    /// Runs work in one snapshot, which keeps nothing whatever the work decides.
    fn snapshot(&mut self, work: &mut dyn Work) -> Result<WorkAnswer, StoreError> {
        execute(&self.connection, "BEGIN").map_err(|error| store_error(&error))?;
        let mut session = Session::new(&mut self.connection, &self.control, true);
        let outcome = catch_unwind(AssertUnwindSafe(|| work.run(&mut session).now_or_never()));
        self.end();
        match outcome {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(StoreError::Internal("a snapshot waited for something".into())),
            Err(_) => Err(StoreError::Internal("a snapshot panicked".into())),
        }
    }

    fn run_in_snapshot(&mut self, query: &Prepared, mut sink: Box<dyn RowSink>, begin: bool) -> ReadAnswer {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let result = self.run_now(query, &mut *sink, begin);
            ReadAnswer { sink: Some(sink), result }
        }));
        answer
            .unwrap_or_else(|_| ReadAnswer { sink: None, result: Err(StoreError::Internal("a read panicked".into())) })
    }

    fn run_now(&mut self, query: &Prepared, sink: &mut dyn RowSink, begin: bool) -> Result<(), StoreError> {
        if begin {
            execute(&self.connection, "BEGIN").map_err(|error| store_error(&error))?;
        }
        let is_open = !self.connection.is_autocommit();
        let mut session = Session::new(&mut self.connection, &self.control, is_open);
        run::read(&mut session, query, sink)
            .now_or_never()
            .unwrap_or_else(|| Err(StoreError::Internal("a read waited for something".into())))
    }
}

/// Something for the threads.
struct Job {
    task: Task,
    deadline: Instant,
    abandoned: Arc<AtomicBool>,
}

/// What a thread does.
enum Task {
    /// A read that may take long.
    Read { query: Prepared, sink: Box<dyn RowSink>, answer: oneshot::Sender<ReadAnswer> },
    /// Reads of one moment.
    Snapshot { work: Box<dyn Work>, answer: oneshot::Sender<Result<WorkAnswer, StoreError>> },
}

/// Sets its flag when it goes: the one who waited has left.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a read was done at once.
enum AtOnce {
    Done(ReadAnswer),
    Later(Prepared, Box<dyn RowSink>),
}

/// All that reads.
pub(crate) struct Readers {
    inline: Vec<Mutex<Option<Reader>>>,
    queue: Arc<Queue<Job>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    long: Arc<Long>,
    commits: Arc<Commits>,
}

/// The texts of reads that took long.
#[derive(Default)]
struct Long {
    texts: RwLock<FxHashSet<u64>>,
    any: AtomicBool,
}

impl Long {
    fn has(&self, query: &Prepared) -> bool {
        self.any.load(Ordering::Relaxed) && self.texts.read().contains(&text_hash(query))
    }

    fn add(&self, query: &Prepared) {
        let mut texts = self.texts.write();
        if texts.len() >= LONG_TEXTS_MAX {
            texts.clear();
        }
        texts.insert(text_hash(query));
        self.any.store(true, Ordering::Relaxed);
    }

    /// It was short this time; with these values, or on a quieter machine, it may be again.
    fn remove(&self, query: &Prepared) {
        let mut texts = self.texts.write();
        texts.remove(&text_hash(query));
        self.any.store(!texts.is_empty(), Ordering::Relaxed);
    }
}

impl Readers {
    pub(crate) fn open(
        location: &Arc<Location>,
        options: &Options,
        commits: &Arc<Commits>,
    ) -> Result<Readers, StoreError> {
        let mut inline = Vec::new();
        for _ in 0..options.readers.max(1) {
            inline.push(Mutex::new(Some(Reader::open(location)?)));
        }
        let queue = Arc::new(Queue::new(Room {
            most: options.long_reads_waiting,
            few: FEW * options.long_readers.max(1),
            patience: PATIENCE,
        }));
        let long = Arc::new(Long::default());
        let mut threads = Vec::new();
        for number in 0..options.long_readers.max(1) {
            let reader = Reader::open(location)?;
            let (queue, long) = (Arc::clone(&queue), Arc::clone(&long));
            let thread = std::thread::Builder::new()
                .name(format!("sqlite-read-{number}"))
                .spawn(move || work(reader, &queue, &long))
                .map_err(|error| StoreError::Unavailable(format!("no thread to read: {error}")))?;
            threads.push(thread);
        }
        Ok(Readers { inline, queue, threads: Mutex::new(threads), long, commits: Arc::clone(commits) })
    }

    /// Reads, at once or when a thread is free. Dropping the future stops it.
    pub(crate) async fn read(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> ReadAnswer {
        match self.at_once(query, sink, deadline) {
            AtOnce::Done(answer) => answer,
            AtOnce::Later(query, sink) => self.later(query, sink, deadline).await,
        }
    }

    fn at_once(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> AtOnce {
        if self.long.has(&query) {
            return AtOnce::Later(query, sink);
        }
        // Each thread begins at a place of its own, so that its connection's statements and pages stay warm.
        let first = FxBuildHasher.hash_one(std::thread::current().id()) as usize % self.inline.len();
        for step in 0..self.inline.len() {
            let Some(mut slot) = self.inline[(first + step) % self.inline.len()].try_lock() else { continue };
            let Some(reader) = slot.as_mut() else {
                return AtOnce::Done(ReadAnswer { sink: Some(sink), result: Err(closing()) });
            };
            let now = Instant::now();
            reader.control.begin_short(now, deadline);
            let answer = match query.statements.as_ref() {
                Statements::Read(read) if !read.shared => reader.run_shared(&query, sink, &self.commits, now),
                _ => {
                    reader.let_go();
                    reader.run(&query, sink)
                }
            };
            let stopped = reader.control.stopped();
            reader.control.end();
            drop(slot);
            return match (answer, stopped) {
                (ReadAnswer { sink: Some(sink), result: Err(_) }, Some(Stopped::Long)) => {
                    self.long.add(&query);
                    AtOnce::Later(query, sink)
                }
                (ReadAnswer { sink: Some(sink), result: Err(_) }, Some(Stopped::Slow)) => AtOnce::Later(query, sink),
                (answer, _) => AtOnce::Done(answer),
            };
        }
        AtOnce::Later(query, sink)
    }

    async fn later(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> ReadAnswer {
        let (answer, coming) = oneshot::channel();
        let leaving = match self.push(Task::Read { query, sink, answer }, deadline) {
            Ok(leaving) => leaving,
            Err((error, task)) => {
                let sink = match task {
                    Task::Read { sink, .. } => Some(sink),
                    Task::Snapshot { .. } => None,
                };
                return ReadAnswer { sink, result: Err(error) };
            }
        };
        let answer = coming.await;
        drop(leaving);
        answer
            .unwrap_or_else(|_| ReadAnswer { sink: None, result: Err(StoreError::Internal("a read was lost".into())) })
    }

    /// Runs work that only reads, in one snapshot, when a thread is free. Dropping the future stops it.
    pub(crate) async fn snapshot(&self, work: Box<dyn Work>, deadline: Instant) -> Result<WorkAnswer, StoreError> {
        let (answer, coming) = oneshot::channel();
        let leaving = self.push(Task::Snapshot { work, answer }, deadline).map_err(|(error, _)| error)?;
        let answer = coming.await;
        drop(leaving);
        answer.unwrap_or_else(|_| Err(StoreError::Internal("a snapshot was lost".into())))
    }

    fn push(&self, task: Task, deadline: Instant) -> Result<Leaving, (StoreError, Task)> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let leaving = Leaving(Arc::clone(&abandoned));
        self.queue.push(Job { task, deadline, abandoned }).map_err(|(refused, job)| match refused {
            Refused::Full => (StoreError::Overloaded, job.task),
            Refused::Closed => (closing(), job.task),
        })?;
        Ok(leaving)
    }

    /// Runs something on a connection that reads.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut slot = self.inline[0].lock();
        let reader = slot.as_mut().ok_or_else(closing)?;
        reader.let_go();
        f(&mut reader.connection)
    }

    /// Ends the snapshots that are kept for reads to come. Those of connections that read just now end soon by themselves.
    pub(crate) fn let_go(&self) {
        for slot in &self.inline {
            if let Some(mut slot) = slot.try_lock()
                && let Some(reader) = slot.as_mut()
            {
                reader.let_go();
            }
        }
    }

    /// Whether a snapshot is kept open for reads to come.
    #[cfg(test)]
    pub(crate) fn keeps_any(&self) -> bool {
        self.inline.iter().any(|slot| slot.lock().as_ref().is_some_and(|reader| !reader.connection.is_autocommit()))
    }

    /// How many reads wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes no more reads.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Waits for what is under way and closes the connections. Blocks.
    pub(crate) fn join(&self) {
        self.close();
        for slot in &self.inline {
            *slot.lock() = None;
        }
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

fn work(mut reader: Reader, queue: &Queue<Job>, long: &Long) {
    while let Some(job) = queue.pop() {
        let Job { task, deadline, abandoned } = job;
        if abandoned.load(Ordering::Relaxed) {
            continue;
        }
        let late = Instant::now() >= deadline;
        reader.control.begin(deadline, Some(abandoned));
        // Whoever asked may have left: then nobody hears the answer.
        match task {
            Task::Read { sink, answer, .. } if late => {
                let _ = answer.send(ReadAnswer { sink: Some(sink), result: Err(StoreError::Deadline) });
            }
            Task::Snapshot { answer, .. } if late => {
                let _ = answer.send(Err(StoreError::Deadline));
            }
            Task::Read { query, sink, answer } => {
                let mut result = reader.run(&query, sink);
                if reader.control.stopped() == Some(Stopped::Abandoned) && result.result.is_err() {
                    result.result = Err(StoreError::Cancelled);
                }
                if result.result.is_ok() && reader.control.was_short() && long.has(&query) {
                    long.remove(&query);
                }
                let _ = answer.send(result);
            }
            Task::Snapshot { mut work, answer } => {
                let _ = answer.send(reader.snapshot(&mut *work));
            }
        }
        reader.control.end();
    }
}

fn text_hash(query: &Prepared) -> u64 {
    match query.statements.as_ref() {
        Statements::Read(read) => FxBuildHasher.hash_one(read.nodes.iter().map(|node| &node.text).collect::<Vec<_>>()),
        Statements::Write(_) => 0,
    }
}

pub(crate) fn closing() -> StoreError {
    StoreError::Unavailable("the store is closing".into())
}
