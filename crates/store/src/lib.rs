//! What a store must do, and what all stores share: plans to SQL text ([`sql`]), running them ([`run`]), the schema and the steps
//! that change it ([`schema`]), and the conformance suite that every store passes ([`conformance`]).
//!
//! Deliberately absent: any driver, any connection, any name of a concrete store.

pub mod adopt;
pub mod capability;
pub mod changes;
pub mod conformance;
pub mod error;
pub mod migration;
pub mod run;
pub mod schema;
pub mod sql;
pub mod turns;
pub mod waiting;

pub use capability::Capability;
pub use error::{ConstraintKind, Raised, Said, StoreError};
pub use sql::{Bind, Dialect, Planner, Statement, Statements};

use futures_util::future::{self, BoxFuture};
use futures_util::stream::{self, BoxStream};
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;
use undergird_model::{CollectionId, Model, Type, Value};
use undergird_plan::{Plan, RowRef, RowSink};

/// A plan with its statements, ready to run as often as one likes.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What is to be done.
    pub plan: Plan,
    /// How, in this store's words. Written once per shape.
    pub statements: Arc<Statements>,
}

/// A database that keeps the rows. One value per process and database; cheap to share.
pub trait Store: Send + Sync + 'static {
    /// How its SQL is written.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Reads in one snapshot. The sink travels with the work and comes back with it.
    ///
    /// Dropping the future cancels the statement.
    fn read(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> BoxFuture<'_, ReadAnswer>;

    /// Reads as [`Store::read`] does, but the rows may be a little old: as they were on the primary at some moment within the bound that the
    /// store is configured with. They are still of one snapshot. Gives whether that was made use of.
    ///
    /// A store without replicas has no such reads: fresher than was asked for is always right.
    fn read_eventual(
        &self,
        query: Prepared,
        sink: Box<dyn RowSink>,
        deadline: Instant,
    ) -> BoxFuture<'_, (ReadAnswer, Freshness)> {
        Box::pin(async move { (self.read(query, sink, deadline).await, Freshness::Current) })
    }

    /// Runs `work` in one transaction. It is committed when `work` gives `Ok(Commit)`, and rolled back otherwise. When this
    /// future gives `Ok`, a commit is on disk.
    ///
    /// Several transactions may share one commit, each still all or nothing. After a conflict the store runs the work again, within a
    /// budget, and gives [`StoreError::Conflict`] when that is spent.
    fn transaction(
        &self,
        work: Box<dyn Work>,
        isolation: Isolation,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<WorkAnswer, StoreError>>;

    /// What transactions of other processes announced ([`Connection::announce`]) and what became of the schema, as it happens. Never
    /// ends. A store without a way to tell says nothing: whoever listens also looks for himself now and then.
    fn notices(&self) -> BoxStream<'static, Notice> {
        Box::pin(stream::pending())
    }

    /// Whether several processes may serve one application from this database.
    fn is_shared(&self) -> bool {
        false
    }

    /// Of a store that is not shared: a number that other processes' commits change all the same (a command beside a server, somebody's
    /// own tool). `None` while that cannot be told, as when a commit is under way. Asking costs no more than a system call.
    fn others_commits(&self) -> Option<u64> {
        None
    }

    /// The schema that the database was last given, `None` for an empty one.
    fn schema(&self) -> BoxFuture<'_, Result<Option<schema::Applied>, StoreError>>;

    /// Takes the steps and remembers `wanted`, all in one transaction. Many nodes at once take them once.
    fn migrate<'a>(
        &'a self,
        steps: &'a [schema::Step],
        wanted: &'a schema::Applied,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The same for a database that nobody else uses yet, so that a store may look at its rows before a step rather than while it is
    /// taken, where that is faster.
    fn migrate_alone<'a>(
        &'a self,
        steps: &'a [schema::Step],
        wanted: &'a schema::Applied,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.migrate(steps, wanted)
    }

    /// Puts the rules of a definition around its tables as a second wall, where the store was opened with one, and else does
    /// nothing. The database is at the definition. Doing it twice is no mistake.
    fn raise_wall<'a>(&'a self, model: &'a Model) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = model;
        Box::pin(future::ready(Ok(())))
    }

    /// Has the database itself refuse every write to these tables, by whichever process and from the moment on at which this gives
    /// `Ok`, or lets them be written again. Transactions that are under way end before. Whoever is refused gets
    /// [`StoreError::Held`]. Saying the same twice is no mistake.
    fn hold_writes<'a>(&'a self, tables: &'a schema::Applied, hold: bool) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Has the database note the keys of all rows that are made, changed or removed in these tables, whichever process does it, in logs
    /// ([`changes::log_table`]), or ends that. When this gives `Ok`, no transaction is under way that is not noted.
    fn follow_changes<'a>(
        &'a self,
        tables: &'a schema::Applied,
        follow: changes::Follow<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Whether rows that go or change because the one that they refer to went are noted as well.
    fn follows_references(&self) -> bool {
        true
    }

    /// The committed migrations that the database was given, in order.
    fn migrations(&self) -> BoxFuture<'_, Result<Vec<migration::Done>, StoreError>>;

    /// How far the backfill came that is under way, if one is.
    fn progress(&self) -> BoxFuture<'_, Result<Option<migration::Progress>, StoreError>>;

    /// Takes a committed migration, or takes one back, and writes that down: in one transaction where the store has that for DDL and no
    /// backfill is in it, and from where it stopped otherwise. Many nodes at once take it once; the others wait, and find it there.
    fn apply<'a>(&'a self, run: &'a migration::Run) -> BoxFuture<'a, Result<migration::Outcome, StoreError>>;

    /// The SQL of a migration, for people to read.
    fn describe(&self, steps: &[schema::Step], wanted: &schema::Applied) -> Vec<String>;

    /// How the store would run a prepared statement, in its own words (`EXPLAIN QUERY PLAN`), one line per step.
    fn explain(&self, query: Prepared) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;

    /// How the declared functions of the database differ from those that are there, a sentence for each. Asked of stores that have
    /// [`Capability::SqlFunctions`] alone.
    fn functions<'a>(&'a self, model: &'a Model) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let _ = model;
        Box::pin(future::ready(Ok(Vec::new())))
    }

    /// Whether the database answers and takes writes.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Figures worth watching: name, help, value (queue lengths, pages, sizes).
    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)>;

    /// Finishes what is under way and closes. Later calls give [`StoreError::Unavailable`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// How old the rows of a read may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Everything that was acknowledged before the read began is in it.
    Current,
    /// Everything that was acknowledged up to some moment within a bound is in it.
    Eventual,
}

/// What other processes on the same database did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A transaction that is committed announced this topic.
    Announced(String),
    /// The schema was changed.
    Schema,
    /// The line was down: anything may have been missed.
    Missed,
}

/// What a read gives back: the sink that went in, and whether all went well.
pub struct ReadAnswer {
    /// The sink, with whatever it has. `None` only when the store lost it (a panic while it ran).
    pub sink: Option<Box<dyn RowSink>>,
    /// Whether the rows are complete.
    pub result: Result<(), StoreError>,
}

/// How much a transaction sees of others that run at the same time. A store may give more than was asked for, never less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only reads, all of one moment, which has its place in the order of the serializable transactions. Holds no writer up; a statement
    /// that writes is refused.
    Snapshot,
    /// Each statement sees what was committed before it began, and a row that it changes is as it stands then. Enough for one request
    /// whose conditions are in the statement that changes.
    Committed,
    /// As if all transactions ran one after the other: for what is read first and decided upon.
    Serializable,
}

/// What runs inside a transaction. It may be run again from the start after a conflict, so it keeps nothing between runs.
pub trait Work: Send + 'static {
    /// Does it.
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>>;
}

/// What comes out of a transaction.
pub struct WorkAnswer {
    /// Whether its effects stay.
    pub decision: Decision,
    /// Whatever the caller of [`Store::transaction`] expects.
    pub value: Box<dyn Any + Send>,
}

/// Whether a transaction's effects stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They stay.
    Commit,
    /// They vanish (a refusal, `tx=rollback`); no error of the store's.
    Rollback,
}

/// A connection inside a transaction or a snapshot.
///
/// Stores whose driver is synchronous give ready futures: nothing waits, and whoever polls does the work.
pub trait Connection: Send {
    /// Runs a statement and lends each row to `each`, which may stop it. Gives the number of rows that a write changed, those among
    /// them that were already as they should be (`CLIENT_FOUND_ROWS`).
    ///
    /// Of a statement whose key is an [identity](Statement::identity) the one row that is lent is what the database made it.
    fn query<'a>(
        &'a mut self,
        statement: &'a Statement,
        values: Vec<Bound<'a>>,
        each: &'a mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Runs a statement that writes with the values of one row after the other, until one fails; `each` hears what is lent, and for
    /// which row. A store need not wait for one answer before it sends the next.
    ///
    /// # Errors
    /// Which row failed, and why.
    fn query_each<'a>(
        &'a mut self,
        statement: &'a Statement,
        rows: Vec<Vec<Bound<'a>>>,
        each: &'a mut (dyn FnMut(usize, &dyn RowRef) + Send),
    ) -> BoxFuture<'a, Result<(), (usize, StoreError)>> {
        Box::pin(async move {
            for (at, values) in rows.into_iter().enumerate() {
                let mut heard = |row: &dyn RowRef| {
                    each(at, row);
                    Flow::Continue
                };
                self.query(statement, values, &mut heard).await.map_err(|error| (at, error))?;
            }
            Ok(())
        })
    }

    /// Says that the next statement is the work's last, and that the work gives [`Decision::Commit`] when it succeeds and changes
    /// anything. A store may commit in the same round trip then; the work may not go on after it.
    fn finishing(&mut self) {}

    /// Says what the next statements do for a plan's caller, until it is said anew; `None`: they are asked by nobody but Undergird. A
    /// store whose database has [a wall](Store::raise_wall) runs them before it. It stays as it is when a statement fails.
    ///
    /// # Errors
    /// What decides about the caller cannot be computed.
    fn act(&mut self, of: Option<(&Plan, Act)>) -> Result<(), StoreError> {
        let _ = of;
        Ok(())
    }

    /// Tells the other processes about a topic when this transaction commits. See [`Store::notices`].
    fn announce<'a>(&'a mut self, topic: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = topic;
        Box::pin(future::ready(Ok(())))
    }

    /// Marks a place to come back to; nested marks have growing levels.
    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Goes back to the last mark (`false`) or forgets it and keeps what was done since (`true`).
    fn release(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What a statement does with rows for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It reads.
    Read,
    /// It makes rows of a collection.
    Create(CollectionId),
    /// It changes rows of a collection.
    Update(CollectionId),
    /// It removes rows of a collection.
    Delete(CollectionId),
}

/// Whether to go on with the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Next, please.
    Continue,
    /// Enough.
    Stop,
}

/// A value bound to a statement's parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound<'a> {
    /// One value of a type.
    Value(Type, Cow<'a, Value>),
    /// A list of values, for `IN` and `= ANY`. Each of the kind of the type's list.
    List(Type, Cow<'a, [Value]>),
}
