//! The one thread that writes. It takes what waits, runs each transaction in turn, commits them together and only then answers:
//! one sync of the disk serves them all, and each is still all or nothing.

use crate::checkpoint::Log;
use crate::connection::{Location, Purpose};
use crate::control::Control;
use crate::error::{is_broken, store_error};
use crate::others::Others;
use crate::queue::{Queue, Refused};
use crate::readers::{Readers, closing};
use crate::relaxed::Syncs;
use crate::session::{Session, execute};
use crate::snapshots::Commits;
use futures_util::FutureExt;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use undergird_store::{Decision, StoreError, Work, WorkAnswer};

/// Most transactions in one commit.
const GROUP_MAX: usize = 256;

/// How long a group may take in more before it is committed.
const GROUP_TIME_MAX: Duration = Duration::from_millis(5);

type Answer = Result<WorkAnswer, StoreError>;

/// A transaction that waits for its turn.
pub(crate) struct Job {
    work: Box<dyn Work>,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
    /// Runs alone, because its group was lost to somebody else's failure.
    alone: bool,
}

/// What the thread does.
pub(crate) enum Task {
    /// A transaction.
    Work(Job),
    /// Something on the connection itself, outside of any transaction.
    Raw(Box<dyn FnOnce(&mut Connection) + Send>),
}

/// The queue, from the callers' side.
pub(crate) struct Writes {
    pub(crate) queue: Arc<Queue<Task>>,
}

impl Writes {
    pub(crate) async fn transaction(&self, work: Box<dyn Work>, deadline: Instant) -> Answer {
        let (answer, coming) = oneshot::channel();
        self.queue.push(Task::Work(Job { work, deadline, answer, alone: false })).map_err(refused)?;
        coming.await.unwrap_or_else(|_| Err(StoreError::Internal("a write was lost".into())))
    }

    /// Runs something on the writing connection, outside of any transaction.
    pub(crate) async fn raw<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (task, coming) = task(f);
        self.queue.push(task).map_err(refused)?;
        coming.await.unwrap_or_else(|_| Err(lost()))
    }

    /// The same before all that waits: for probes, which must tell of the writer and not of its queue.
    pub(crate) async fn raw_first<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (task, coming) = task(f);
        self.queue.push_first(task).map_err(refused)?;
        coming.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// Something on the connection itself, and its answer to come.
fn task<T: Send + 'static>(
    f: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
) -> (Task, oneshot::Receiver<Result<T, StoreError>>) {
    let (answer, coming) = oneshot::channel();
    let task = Task::Raw(Box::new(move |connection| {
        let _ = answer.send(f(connection));
    }));
    (task, coming)
}

fn refused((refused, _): (Refused, Task)) -> StoreError {
    match refused {
        Refused::Full => StoreError::Overloaded,
        Refused::Closed => closing(),
    }
}

fn lost() -> StoreError {
    StoreError::Internal("a task was lost".into())
}

/// The thread's own side.
pub(crate) struct Writer {
    location: Arc<Location>,
    queue: Arc<Queue<Task>>,
    log: Arc<Log>,
    commits: Arc<Commits>,
    syncs: Option<Arc<Syncs>>,
    others: Arc<Others>,
    /// `None` while it cannot be opened.
    open: Option<(Connection, Arc<Control>)>,
    again: VecDeque<Job>,
}

impl Writer {
    pub(crate) fn open(
        location: &Arc<Location>,
        queue: &Arc<Queue<Task>>,
        log: &Arc<Log>,
        commits: &Arc<Commits>,
        syncs: Option<&Arc<Syncs>>,
        others: &Arc<Others>,
    ) -> Result<Writer, StoreError> {
        let mut writer = Writer {
            location: Arc::clone(location),
            queue: Arc::clone(queue),
            log: Arc::clone(log),
            commits: Arc::clone(commits),
            syncs: syncs.cloned(),
            others: Arc::clone(others),
            open: None,
            again: VecDeque::new(),
        };
        writer.reopen()?;
        Ok(writer)
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.open = None;
        let mut connection = self.location.open(Purpose::Write)?;
        let control = Control::attach(&mut connection).map_err(|error| store_error(&error))?;
        let (log, syncs, others) = (Arc::clone(&self.log), self.syncs.clone(), Arc::clone(&self.others));
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
                log.grown(pages);
                others.own_commit();
                if let Some(syncs) = &syncs {
                    syncs.grown();
                }
                Ok(())
            }))
            .map_err(|error| store_error(&error))?;
        self.open = Some((connection, control));
        Ok(())
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self, readers: &Readers) {
        loop {
            let task = match self.again.pop_front() {
                Some(job) => Task::Work(job),
                None => match self.queue.pop() {
                    Some(task) => task,
                    None => break,
                },
            };
            let reopened = if self.open.is_none() { self.reopen() } else { Ok(()) };
            match (task, reopened) {
                (Task::Work(job), Ok(())) => {
                    self.group(job);
                    if let Some((connection, _)) = &self.open
                        && self.log.cut(connection, readers).is_err_and(|error| is_broken(&error))
                    {
                        self.open = None;
                    }
                }
                (Task::Work(job), Err(error)) => reply(job.answer, Err(error)),
                (Task::Raw(task), Ok(())) => {
                    if let Some((connection, _)) = &mut self.open {
                        // Whoever waits is told by the answer that never comes. What it commits on the way, it commits under this.
                        let _committing = self.commits.begin();
                        let _ = catch_unwind(AssertUnwindSafe(|| task(connection)));
                    }
                }
                (Task::Raw(_), Err(_)) => {}
            }
        }
        if let Some((connection, _)) = self.open.take() {
            // The last one out folds the log into the file; if it cannot, the next opening does.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }

    /// Runs a transaction and those that wait behind it, and commits them together.
    fn group(&mut self, first: Job) {
        let Some((connection, control)) = &mut self.open else { return };
        let isolated = first.alone;
        let begun = Instant::now();
        let mut done: Vec<(Job, Answer)> = Vec::new();
        let mut next = Some(first);
        while let Some(mut job) = next.take() {
            let refused = if job.answer.is_closed() {
                Some(StoreError::Cancelled)
            } else if Instant::now() >= job.deadline {
                Some(StoreError::Deadline)
            } else {
                None
            };
            if let Some(error) = refused {
                reply(job.answer, Err(error));
            } else {
                let marked = !done.is_empty();
                let text = if marked { "SAVEPOINT ug_job" } else { "BEGIN IMMEDIATE" };
                if let Err(error) = execute(connection, text) {
                    reply(job.answer, Err(store_error(&error)));
                    if is_broken(&error) {
                        self.broken(done);
                        return;
                    }
                    break;
                }
                let answer = attempt(connection, control, &mut job);
                if connection.is_autocommit() {
                    // SQLite rolled everything back by itself (a full disk, an interrupted write). The others of the group have
                    // lost their work through no fault of theirs, and are run again, each by itself.
                    let error = match answer {
                        Err(error) => error,
                        Ok(_) => StoreError::Internal("the transaction was lost".into()),
                    };
                    let unavailable = matches!(error, StoreError::Unavailable(_));
                    reply(job.answer, Err(error));
                    self.again.extend(done.into_iter().map(|(job, _)| Job { alone: true, ..job }));
                    if unavailable {
                        self.open = None;
                    }
                    return;
                }
                let keep = matches!(&answer, Ok(WorkAnswer { decision: Decision::Commit, .. }));
                let ended = match (marked, keep) {
                    (true, true) => execute(connection, "RELEASE ug_job"),
                    (true, false) => {
                        execute(connection, "ROLLBACK TO ug_job").and_then(|()| execute(connection, "RELEASE ug_job"))
                    }
                    (false, true) => Ok(()),
                    (false, false) => {
                        let ended = execute(connection, "ROLLBACK");
                        reply(job.answer, answer);
                        if ended.is_err() {
                            self.open = None;
                        }
                        return;
                    }
                };
                done.push((job, answer));
                if ended.is_err() {
                    self.broken(done);
                    return;
                }
            }
            if !isolated && done.len() < GROUP_MAX && begun.elapsed() < GROUP_TIME_MAX {
                next = self.queue.pop_if(|task| matches!(task, Task::Work(_))).and_then(|task| match task {
                    Task::Work(job) => Some(job),
                    Task::Raw(_) => None,
                });
            }
        }
        if done.is_empty() {
            return;
        }
        self.others.hold();
        let committing = self.commits.begin();
        let committed = execute(connection, "COMMIT");
        drop(committing);
        self.others.release();
        match committed {
            Ok(()) => {
                for (job, answer) in done {
                    reply(job.answer, answer);
                }
            }
            Err(error) => self.uncommitted(done, &error),
        }
    }

    /// The commit failed: nobody's work is there, and nobody is told that it is.
    fn uncommitted(&mut self, done: Vec<(Job, Answer)>, error: &rusqlite::Error) {
        if let Some((connection, _)) = &self.open
            && !connection.is_autocommit()
            && execute(connection, "ROLLBACK").is_err()
        {
            self.open = None;
        }
        if is_broken(error) {
            // After a failed sync nobody knows what is on disk, and asking again may say that all is well. A new connection reads
            // the log anew.
            self.open = None;
        }
        let error = store_error(error);
        if matches!(error, StoreError::Constraint { .. }) && done.len() > 1 {
            // A deferred constraint: one of them is to blame, and alone we shall see which.
            self.again.extend(done.into_iter().map(|(job, _)| Job { alone: true, ..job }));
            return;
        }
        for (job, _) in done {
            reply(job.answer, Err(error.clone()));
        }
    }

    /// The connection is of no use any more, and with it what was not committed.
    fn broken(&mut self, done: Vec<(Job, Answer)>) {
        self.open = None;
        for (job, _) in done {
            reply(job.answer, Err(StoreError::Unavailable("the database failed while it wrote".into())));
        }
    }
}

/// Runs one transaction's work.
fn attempt(connection: &mut Connection, control: &Control, job: &mut Job) -> Answer {
    control.begin(job.deadline, None);
    let mut session = Session::new(connection, control, true);
    let work = &mut job.work;
    let outcome = catch_unwind(AssertUnwindSafe(|| work.run(&mut session).now_or_never()));
    let failure = session.failure();
    control.end();
    match outcome {
        Ok(Some(answer)) if connection.is_autocommit() => match (failure, answer) {
            (Some(failure), _) => Err(failure),
            (None, answer) => answer,
        },
        Ok(Some(answer)) => answer,
        Ok(None) => Err(StoreError::Internal("a write waited for something".into())),
        Err(_) => Err(StoreError::Internal("a write panicked".into())),
    }
}

fn reply(answer: oneshot::Sender<Answer>, with: Answer) {
    // Whoever asked may have left.
    let _ = answer.send(with);
}
