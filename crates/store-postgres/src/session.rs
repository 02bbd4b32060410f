//! A line as the store's [`Connection`]: one read, or one transaction with its savepoints.
//!
//! `BEGIN`, `SAVEPOINT` and the like go together with the statement that follows, so they cost no round trip; nor does the `COMMIT` of work
//! that says which statement is its last ([`Connection::finishing`]). When that is its first too, it goes without either, on a line that is
//! for this alone ([`Line::lone`]): the server answers once and not three times. In *careful* mode each
//! writing statement has a savepoint of its own before it, because PostgreSQL aborts the whole transaction when one fails.

use crate::error::Fault;
use crate::line::{Before, Line};
use crate::pool::Pool;
use crate::wall::{Told, Wall};
use futures_util::future::BoxFuture;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::{Type, Value};
use undergird_plan::{Plan, RowRef};
use undergird_store::{Act, Bound, Connection, Decision, Flow, Isolation, Statement, StoreError, WorkAnswer};

/// The channel on which transactions announce things; see [`crate::notices`].
pub(crate) const CHANNEL: &str = "undergird_topics";
/// What a notice holds at most; PostgreSQL takes less than 8,000 octets.
const TOPIC_OCTETS_MAX: usize = 7_900;
/// How long a commit is waited for past its deadline: it is nearly over, and without its answer nobody knows what is true.
const COMMIT_GRACE: Duration = Duration::from_secs(5);
/// Rows that go in one packet: many enough that the way there and back no longer counts, few enough for any buffer.
const ROWS_AT_ONCE: usize = 64;
/// The mark before a statement of a careful transaction.
const CAREFUL: &str = "ug_careful";

/// Why the work is to be run again from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It goes on after a failure, which an aborted transaction cannot.
    Carefully,
    /// Another transaction came first.
    Conflict,
    /// The connection was lost, and what it had not committed with it.
    Fresh(String),
    /// What was prepared is of no use any more.
    Unprepared,
    /// This server may not answer; the primary can.
    Elsewhere,
}

/// How a session ended.
pub(crate) enum End {
    /// With an answer.
    Done(Result<WorkAnswer, StoreError>),
    /// Not yet.
    Again(Again),
}

/// One use of a line.
pub(crate) struct Session<'l> {
    line: &'l mut Line,
    /// Where the line is from: for another, and to cancel a late statement that commits.
    pool: Option<&'l Pool>,
    /// Whether a statement that is all of its work needs no `BEGIN`.
    plain: bool,
    deadline: Instant,
    /// What goes before the next statement.
    before: String,
    /// What goes behind that, and before the next statement.
    facts: Option<Arc<Told>>,
    /// What the database is told of whoever asks, in a transaction of a store that has a wall.
    wall: Option<&'l Wall>,
    /// For whom the next statement is, and what it does; `None`: for Undergird.
    acts: Option<Arc<Told>>,
    /// For whom the server takes it.
    taken: Taken,
    /// Whether nothing may be sent until that is answered.
    wait: bool,
    mode: Mode,
    careful: bool,
    /// Whether a careful transaction's mark stands.
    marked: bool,
    marks: usize,
    /// Whether the server has heard of the transaction.
    begun: bool,
    /// The failure that aborted the transaction.
    aborted: Option<StoreError>,
    /// A failure after which nothing more goes over this line.
    over: Option<StoreError>,
    again: Option<Again>,
    /// Whether the next statement is the last.
    finishing: bool,
    /// What the last statement changed, when it has been committed.
    finished: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// One statement, its own transaction.
    Alone,
    /// Reads of one moment.
    Snapshot,
    /// Writes.
    Write,
}

/// For whom the server takes the statements of a transaction.
enum Taken {
    /// For the owner of the tables.
    Owner,
    /// For somebody who has rules.
    Caller(Arc<Told>),
    /// A mark was gone back to, or something failed.
    Unknown,
}

impl<'l> Session<'l> {
    /// One statement without a transaction.
    pub(crate) fn alone(line: &'l mut Line, deadline: Instant) -> Session<'l> {
        Session::new(line, deadline, Mode::Alone, "")
    }

    /// A transaction of work, which begins with its first statement.
    pub(crate) fn work(
        line: &'l mut Line,
        (pool, wall): (&'l Pool, Option<&'l Wall>),
        isolation: Isolation,
        careful: bool,
        deadline: Instant,
    ) -> Session<'l> {
        Session { pool: Some(pool), wall, ..Session::begin(line, isolation, careful, deadline) }
    }

    /// The statements of one read, all of one moment. Like a single statement's, this moment is one of commits, which is not always one
    /// of the order in which serializable transactions seem to have run.
    pub(crate) fn snapshot(line: &'l mut Line, deadline: Instant) -> Session<'l> {
        Session::new(line, deadline, Mode::Snapshot, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    /// The same behind the wall: `facts` are what its policies ask, set until the transaction ends.
    pub(crate) fn walled(line: &'l mut Line, facts: &Arc<Told>, deadline: Instant) -> Session<'l> {
        Session { facts: Some(Arc::clone(facts)), ..Session::snapshot(line, deadline) }
    }

    /// A transaction, which begins with its first statement.
    pub(crate) fn begin(line: &'l mut Line, isolation: Isolation, careful: bool, deadline: Instant) -> Session<'l> {
        let (mode, text) = match isolation {
            // Not REPEATABLE READ: a reader that PostgreSQL does not watch may see one of two serializable transactions, and not the
            // other which comes before it.
            Isolation::Snapshot => (Mode::Snapshot, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"),
            Isolation::Committed => (Mode::Write, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
            Isolation::Serializable => (Mode::Write, "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"),
        };
        let mut session = Session::new(line, deadline, mode, text);
        session.careful = careful;
        session.plain = isolation == Isolation::Committed;
        // Behind a pooler a statement whose BEGIN failed could write by itself; see the settings of lines.
        session.wait = mode == Mode::Write && session.line.is_unnamed();
        session
    }

    fn new(line: &'l mut Line, deadline: Instant, mode: Mode, before: &str) -> Session<'l> {
        Session {
            line,
            pool: None,
            plain: false,
            deadline,
            before: before.to_owned(),
            facts: None,
            wall: None,
            acts: None,
            taken: Taken::Owner,
            wait: false,
            mode,
            careful: false,
            marked: false,
            marks: 0,
            begun: false,
            aborted: None,
            over: None,
            again: None,
            finishing: false,
            finished: None,
        }
    }

    /// Whether the work must be run again, whatever it answered.
    pub(crate) fn again(&self) -> Option<&Again> {
        self.again.as_ref()
    }

    /// Ends a read. Its transaction has nothing to keep.
    pub(crate) fn end_read(self) {
        if self.line.open && !self.line.busy && self.aborted.is_none() {
            self.line.end_snapshot();
        }
    }

    /// Ends a transaction as the work has decided. What is not committed is rolled back by the pool, behind the caller's back.
    pub(crate) async fn end(mut self, answer: Result<WorkAnswer, StoreError>) -> End {
        if let Some(again) = self.again {
            return End::Again(again);
        }
        let answer = match answer {
            Err(StoreError::Conflict) => return End::Again(Again::Conflict),
            Err(error) => return End::Done(Err(error)),
            Ok(answer) => answer,
        };
        if self.mode == Mode::Snapshot {
            self.end_read();
            return End::Done(Ok(answer));
        }
        if let Some(rows) = self.finished {
            return End::Done(match answer.decision {
                Decision::Rollback if rows > 0 => {
                    Err(StoreError::Internal("work that said it was finishing changed its mind".into()))
                }
                // Where nothing was changed, both are the same.
                Decision::Commit | Decision::Rollback => Ok(answer),
            });
        }
        if answer.decision == Decision::Rollback || !self.begun {
            return End::Done(Ok(answer));
        }
        match (self.over.take(), self.aborted.take()) {
            (Some(error), _) => End::Done(Err(error)),
            // The work took the failure in its stride, and wants the rest to stay.
            (None, Some(_)) if !self.careful => End::Again(Again::Carefully),
            (None, Some(error)) => End::Done(Err(error)),
            (None, None) => self.commit(answer).await,
        }
    }

    async fn commit(mut self, answer: WorkAnswer) -> End {
        self.prepend("COMMIT");
        (self.line.busy, self.line.committing) = (true, true);
        let until = self.deadline.max(Instant::now()) + COMMIT_GRACE;
        match tokio::time::timeout_at(until.into(), self.line.execute(&self.before)).await {
            Ok(Ok(())) => {
                self.line.at_rest();
                End::Done(Ok(answer))
            }
            Ok(Err(Fault::Lost(why))) => {
                self.line.broken = true;
                End::Done(Err(unknown(&why)))
            }
            Ok(Err(fault)) => {
                // The server refused it (a deferred constraint, a conflict), and has rolled back.
                self.line.at_rest();
                match fault {
                    Fault::Store(error) => End::Done(Err(error)),
                    Fault::Conflict => End::Again(Again::Conflict),
                    Fault::Stale | Fault::Behind | Fault::Lost(_) => End::Again(Again::Unprepared),
                }
            }
            Err(_) => {
                self.line.broken = true;
                End::Done(Err(unknown("no answer in time")))
            }
        }
    }

    /// Has the server take the next statement for whom it is.
    fn become_who_acts(&mut self) {
        let Some(wall) = self.wall else { return };
        match (&self.acts, &self.taken) {
            (None, Taken::Owner) => {}
            (None, Taken::Caller(_) | Taken::Unknown) => {
                self.prepend("SET LOCAL ROLE NONE");
                self.taken = Taken::Owner;
            }
            (Some(wanted), Taken::Caller(told)) if wanted == told => {}
            (Some(wanted), taken) => {
                let wanted = Arc::clone(wanted);
                if !matches!(taken, Taken::Caller(_)) {
                    self.prepend(&wall.becoming());
                }
                self.facts = Some(Arc::clone(&wanted));
                self.taken = Taken::Caller(wanted);
            }
        }
    }

    /// Whether the server takes the next statement for whom it is.
    fn is_taken_right(&self) -> bool {
        match (&self.acts, &self.taken) {
            (None, Taken::Owner) => true,
            (Some(wanted), Taken::Caller(told)) => wanted == told,
            (_, _) => false,
        }
    }

    /// Adds to what goes before the next statement.
    fn prepend(&mut self, text: &str) {
        if !self.before.is_empty() {
            self.before.push_str("; ");
        }
        self.before.push_str(text);
    }

    async fn run(
        &mut self,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<u64, StoreError> {
        self.check()?;
        self.become_who_acts();
        let careful = self.careful && statement.writes && self.mode == Mode::Write;
        if careful {
            if self.marked {
                self.prepend(&format!("RELEASE {CAREFUL}"));
            }
            self.prepend(&format!("SAVEPOINT {CAREFUL}"));
        }
        if Instant::now() >= self.deadline {
            return Err(self.finish(StoreError::Deadline));
        }
        let pool = match std::mem::take(&mut self.finishing) {
            true if self.mode == Mode::Write && !self.careful && self.marks == 0 && self.acts.is_none() => self.pool,
            _ => None,
        };
        if let Some(pool) = pool
            && self.plain
            && !self.begun
            && !self.line.is_unnamed()
        {
            // Apart, for the sake of the others' size.
            return Box::pin(self.run_lone(pool, statement, values, each)).await;
        }
        if self.line.lone && !self.begun {
            Box::pin(self.take_common()).await?;
        }
        self.line.busy = true;
        if self.mode != Mode::Alone {
            self.line.open = true;
            self.begun = true;
        }
        if let Some(pool) = pool.filter(|_| self.line.is_prepared(statement)) {
            return Box::pin(self.run_last(pool, statement, values, each)).await;
        }
        let before = std::mem::take(&mut self.before);
        let wait = std::mem::take(&mut self.wait);
        let facts = self.facts.take();
        let before = Before { text: &before, wait, facts: facts.as_deref() };
        let query = self.line.query(before, statement, values, each);
        match tokio::time::timeout_at(self.deadline.into(), query).await {
            // The line stays busy, so the pool cancels what is under way.
            Err(_) => Err(self.finish(StoreError::Deadline)),
            Ok(Ok(answer)) => {
                self.line.busy = !answer.over;
                self.marked |= careful;
                Ok(if statement.writes { answer.rows } else { 0 })
            }
            Ok(Err(fault)) => {
                self.line.busy = false;
                Err(self.failed(fault, careful))
            }
        }
    }

    /// Runs a statement with the values of some rows in one round trip. `first` is the number of the first of them.
    async fn run_each(
        &mut self,
        statement: &Statement,
        (first, rows): (usize, &[Vec<Bound<'_>>]),
        each: &mut (dyn FnMut(usize, &dyn RowRef) + Send),
    ) -> Result<(), (usize, StoreError)> {
        self.check().map_err(|error| (first, error))?;
        if Instant::now() >= self.deadline {
            return Err((first, self.finish(StoreError::Deadline)));
        }
        self.line.busy = true;
        let heard = &mut |at: usize, row: &dyn RowRef| each(first + at, row);
        let query = self.line.query_each(statement, rows, heard);
        match tokio::time::timeout_at(self.deadline.into(), query).await {
            // The line stays busy, so the pool cancels what is under way.
            Err(_) => Err((first, self.finish(StoreError::Deadline))),
            Ok(ended) => {
                self.line.busy = false;
                ended.map_err(|(at, fault)| (first + at, self.failed(fault, false)))
            }
        }
    }

    /// Runs a statement with its `COMMIT` behind it in the same packet. When the statement fails, the server takes that for `ROLLBACK`.
    async fn run_last(
        &mut self,
        pool: &Pool,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<u64, StoreError> {
        self.line.committing = true;
        let before = std::mem::take(&mut self.before);
        let token = self.line.cancel_token();
        let deadline = self.deadline;
        let ended = {
            let mut query = pin!(self.line.query_and_commit(&before, statement, values, each));
            match tokio::time::timeout_at(deadline.into(), &mut query).await {
                Ok(ended) => Ok(ended),
                Err(_) => {
                    // Stopped, it tells what has become of it. A stop that comes too late is one of nothing.
                    crate::cancel::cancel(&pool.target, &token).await;
                    tokio::time::timeout(COMMIT_GRACE, query).await.map_err(|_| "no answer in time")
                }
            }
        };
        let (fault, commit) = match ended {
            Ok(Ok((Ok(answer), Ok(())))) => {
                self.line.at_rest();
                self.finished = Some(answer.rows);
                return Ok(if statement.writes { answer.rows } else { 0 });
            }
            Ok(Ok((Err(fault), _))) => (fault, false),
            Ok(Ok((Ok(_), Err(fault)))) => (fault, true),
            // Nothing was done, so it may be done again.
            Ok(Err(fault)) => return Err(self.failed(fault, false)),
            Err(why) => (Fault::Lost(why.into()), true),
        };
        if let Fault::Lost(why) = fault {
            self.line.broken = true;
            return Err(self.finish(unknown(&why)));
        }
        self.line.at_rest();
        Err(match fault {
            // The statement was as it should be, and the work has nothing to say to what the commit met.
            Fault::Store(error) if commit => self.finish(error),
            fault => self.failed(fault, false),
        })
    }

    /// Runs a statement that is all of its work, without a transaction around it: it is one by itself, and on disk when it answers.
    async fn run_lone(
        &mut self,
        pool: &Pool,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<u64, StoreError> {
        pool.exchange(self.line, true);
        self.begun = true;
        self.before.clear();
        self.line.busy = true;
        let line = &mut *self.line;
        let ready = async {
            if !line.lone {
                line.make_lone().await?;
            }
            line.prepare(statement, values).await
        };
        match tokio::time::timeout_at(self.deadline.into(), ready).await {
            // The line stays busy, so the pool cleans it.
            Err(_) => return Err(self.finish(StoreError::Deadline)),
            Ok(Err(fault)) => {
                self.line.busy = false;
                return Err(self.failed(fault, false));
            }
            Ok(Ok(())) => {}
        }
        self.line.committing = true;
        let token = self.line.cancel_token();
        let deadline = self.deadline;
        let ended = {
            let before = Before { text: "", wait: false, facts: None };
            let mut query = pin!(self.line.query(before, statement, values, each));
            match tokio::time::timeout_at(deadline.into(), &mut query).await {
                Ok(ended) => Ok(ended),
                Err(_) => {
                    // Stopped, it tells what has become of it. A stop that comes too late is one of nothing.
                    crate::cancel::cancel(&pool.target, &token).await;
                    tokio::time::timeout(COMMIT_GRACE, query).await.map_err(|_| "no answer in time")
                }
            }
        };
        let why = match ended {
            Ok(Ok(answer)) => {
                self.line.at_rest();
                // More rows than anybody wants are no matter: the statement is over on the server only when all are read.
                if !answer.over {
                    (self.line.busy, self.line.committing) = (true, true);
                    return Err(self.finish(unknown("more rows came than were asked for")));
                }
                self.finished = Some(answer.rows);
                return Ok(if statement.writes { answer.rows } else { 0 });
            }
            // This server takes no writes since a moment ago, and nothing of ours is lost: another may.
            Ok(Err(Fault::Store(StoreError::Unavailable(why)))) => {
                self.line.at_rest();
                return Err(self.failed(Fault::Lost(why), false));
            }
            Ok(Err(Fault::Lost(why))) => why,
            Ok(Err(fault)) => {
                self.line.at_rest();
                return Err(self.failed(fault, false));
            }
            Err(why) => why.into(),
        };
        self.line.broken = true;
        Err(self.finish(unknown(&why)))
    }

    /// Takes a line on which nothing writes without `BEGIN`.
    async fn take_common(&mut self) -> Result<(), StoreError> {
        if let Some(pool) = self.pool {
            pool.exchange(self.line, false);
        }
        if !self.line.lone {
            return Ok(());
        }
        (self.begun, self.line.busy) = (true, true);
        match tokio::time::timeout_at(self.deadline.into(), self.line.make_common()).await {
            // The line stays busy, so the pool cleans it.
            Err(_) => Err(self.finish(StoreError::Deadline)),
            Ok(Err(fault)) => {
                self.line.busy = false;
                Err(self.failed(fault, false))
            }
            Ok(Ok(())) => {
                self.line.busy = false;
                Ok(())
            }
        }
    }

    /// That a statement may be sent.
    fn check(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        if self.finished.is_some() {
            return Err(StoreError::Internal("a statement came after the one that was said to be the last".into()));
        }
        let Some(error) = &self.aborted else { return Ok(()) };
        if self.careful {
            return Err(error.clone());
        }
        self.again = Some(Again::Carefully);
        Err(self.finish(StoreError::Conflict))
    }

    /// Nothing more goes over this line.
    fn finish(&mut self, error: StoreError) -> StoreError {
        self.over = Some(error.clone());
        error
    }

    fn failed(&mut self, fault: Fault, careful: bool) -> StoreError {
        self.taken = Taken::Unknown;
        match fault {
            Fault::Store(error) => {
                let error = match error {
                    StoreError::Unavailable(why) if self.mode != Mode::Write => StoreError::Internal(why),
                    other => other,
                };
                if careful {
                    self.prepend(&format!("ROLLBACK TO {CAREFUL}; RELEASE {CAREFUL}"));
                    self.marked = false;
                } else if self.mode != Mode::Alone {
                    self.aborted = Some(error.clone());
                }
                error
            }
            Fault::Conflict => {
                self.again = Some(Again::Conflict);
                self.finish(StoreError::Conflict)
            }
            Fault::Stale => {
                self.line.forget();
                self.again = Some(Again::Unprepared);
                self.finish(StoreError::Conflict)
            }
            Fault::Behind => {
                self.again = Some(Again::Elsewhere);
                self.finish(StoreError::Unavailable("the replica is behind".into()))
            }
            Fault::Lost(why) => {
                self.line.broken = true;
                self.again = Some(Again::Fresh(why.clone()));
                self.finish(StoreError::Unavailable(why))
            }
        }
    }
}

fn unknown(why: &str) -> StoreError {
    StoreError::Unavailable(format!("the outcome of the commit is unknown, look before you try again: {why}"))
}

impl Connection for Session<'_> {
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
        statement: &'a Statement,
        rows: Vec<Vec<Bound<'a>>>,
        each: &'a mut (dyn FnMut(usize, &dyn RowRef) + Send),
    ) -> BoxFuture<'a, Result<(), (usize, StoreError)>> {
        Box::pin(async move {
            let mut at = 0;
            while let Some(values) = rows.get(at) {
                let end = rows.len().min(at + ROWS_AT_ONCE);
                // What has a mark of its own, must be prepared, or has something before it, goes by itself.
                let together =
                    self.mode == Mode::Write && !self.careful && self.before.is_empty() && self.is_taken_right();
                if together && end - at > 1 && self.line.is_prepared(statement) {
                    self.run_each(statement, (at, &rows[at..end]), each).await?;
                    at = end;
                    continue;
                }
                let mut heard = |row: &dyn RowRef| {
                    each(at, row);
                    Flow::Continue
                };
                self.run(statement, values, &mut heard).await.map_err(|error| (at, error))?;
                at += 1;
            }
            Ok(())
        })
    }

    fn finishing(&mut self) {
        self.finishing = true;
    }

    fn act(&mut self, of: Option<(&Plan, Act)>) -> Result<(), StoreError> {
        self.acts = match (self.wall, of) {
            (Some(wall), Some((plan, act))) => wall.told(plan, act)?.map(Arc::new),
            (Some(_) | None, _) => None,
        };
        Ok(())
    }

    fn announce<'a>(&'a mut self, topic: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if topic.len() > TOPIC_OCTETS_MAX {
                return Err(StoreError::Internal("a topic is too long".into()));
            }
            let statement = Statement {
                text: "SELECT pg_notify($1::text, $2::text)".into(),
                binds: Vec::new(),
                columns: vec![Type::Null],
                writes: false,
                identity: false,
                lacks: None,
            };
            let text = |text: &str| Bound::Value(Type::TEXT, std::borrow::Cow::Owned(Value::text(text)));
            self.run(&statement, &[text(CHANNEL), text(topic)], &mut |_| Flow::Continue).await?;
            Ok(())
        })
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.check()?;
            if self.marked {
                self.prepend(&format!("RELEASE {CAREFUL}"));
                self.marked = false;
            }
            self.marks += 1;
            let mark = self.marks;
            self.prepend(&format!("SAVEPOINT ug_{mark}"));
            Ok(())
        })
    }

    fn release(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(error) = &self.over {
                return Err(error.clone());
            }
            let mark = self.marks;
            if mark == 0 {
                return Err(StoreError::Internal("no savepoint to release".into()));
            }
            if keep {
                self.check()?;
            } else {
                self.prepend(&format!("ROLLBACK TO ug_{mark}"));
                self.taken = Taken::Unknown;
                self.aborted = None;
            }
            self.marks -= 1;
            // The careful mark was made later, and goes with this one.
            self.marked = false;
            self.prepend(&format!("RELEASE ug_{mark}"));
            Ok(())
        })
    }
}
