//! What may be done inside a transaction: plans, and nothing but plans.

use crate::cache::{self, Touched};
use crate::{App, Engine, Failure, Record, record};
use futures_util::future::BoxFuture;
use std::borrow::Borrow;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use undergird_model::DbFunction;
use undergird_plan::request::Verb;
use undergird_plan::{Caller, Refusal, Request, RowSink, Shape};
use undergird_store::run::{self, Then, WriteAnswer, Written};
use undergird_store::{Connection, Decision, StoreError, Work, WorkAnswer};

/// An open transaction.
pub struct Transaction<'c> {
    connection: &'c mut dyn Connection,
    engine: Arc<Engine>,
    app: Arc<App>,
    touched: Touched,
}

/// How a transaction's work ended.
pub struct Outcome<T> {
    decision: Decision,
    value: T,
}

impl<T> Outcome<T> {
    /// Its effects stay.
    pub fn commit(value: T) -> Outcome<T> {
        Outcome { decision: Decision::Commit, value }
    }

    /// Its effects vanish, and that is no error (`tx=rollback`).
    pub fn rollback(value: T) -> Outcome<T> {
        Outcome { decision: Decision::Rollback, value }
    }
}

impl Transaction<'_> {
    /// The application in which this transaction runs.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Reads rows into a sink.
    ///
    /// # Errors
    /// A refusal or a failure of the store.
    pub async fn read(
        &mut self,
        caller: &Caller,
        request: impl Borrow<Request> + Send,
        sink: &mut dyn RowSink,
    ) -> Result<(), Failure> {
        let prepared = self.engine.prepare(&self.app, caller, request.borrow())?;
        let calls = prepared.plan.function().is_some();
        if prepared.plan.function().is_some_and(DbFunction::is_volatile) {
            self.touched.touch_all(&self.app.versions);
        }
        let read = run::read(self.connection, &prepared, sink).await;
        read.map_err(|error| Failure::of_read(self.app.model(), calls, error))
    }

    /// Writes rows; a representation that was asked for goes to the sink. On an error the whole transaction must end: what was
    /// done so far is not taken back by itself.
    ///
    /// # Errors
    /// A refusal, a demand that is not met, a constraint, or a failure of the store.
    pub async fn write(
        &mut self,
        caller: &Caller,
        request: impl Borrow<Request> + Send,
        sink: Option<&mut dyn RowSink>,
    ) -> Result<Written, Failure> {
        self.write_then(caller, request.borrow(), sink, Then::More).await
    }

    /// Writes rows as the last thing in this transaction, which is to be committed when that succeeds and changes anything; a store may
    /// have done so already when this answers.
    ///
    /// # Errors
    /// As for [`Transaction::write`].
    pub async fn write_last(&mut self, caller: &Caller, request: &Request) -> Result<Written, Failure> {
        let demands = &request.demands;
        // What the number of rows may still undo is not over with its statement.
        let then = if demands.rollback || demands.singular || demands.max_affected.is_some() {
            Then::More
        } else {
            Then::Commit
        };
        self.write_then(caller, request, None, then).await
    }

    async fn write_then(
        &mut self,
        caller: &Caller,
        request: &Request,
        sink: Option<&mut dyn RowSink>,
        then: Then,
    ) -> Result<Written, Failure> {
        let verb = request.shape.verb;
        let prepared = self.engine.prepare(&self.app, caller, request)?;
        let demands = prepared.plan.demands();
        if let Shape::Write(write) = prepared.plan.shape().as_ref() {
            self.touched.touch(&self.app.versions, write.collection, verb == Verb::Delete);
        }
        // The versions of what it changes are to be told yet.
        let then = if self.is_to_tell() { Then::More } else { then };
        let answer = run::write(self.connection, &prepared, sink, then).await;
        match answer.map_err(|error| Failure::from_store(self.app.model(), error))? {
            WriteAnswer::Done(written) => {
                if demands.singular && written.affected != 1 {
                    return Err(Failure::NotSingular { rows: written.affected });
                }
                match demands.max_affected {
                    Some(max) if written.affected > max => Err(Failure::MaxAffected { rows: written.affected, max }),
                    _ => Ok(written),
                }
            }
            WriteAnswer::Refused { otherwise, row } => {
                Err(Failure::Refused(Refusal::from_guard(&prepared.plan, verb, otherwise, row)))
            }
        }
    }

    /// Whether collections are touched whose answers other processes may keep.
    fn is_to_tell(&self) -> bool {
        self.engine.store.is_shared() && self.touched.collections().any(|id| self.app.is_kept(id))
    }

    /// Gives the collections that are touched new versions for the other processes, as the last thing before the commit.
    async fn tell(&mut self) -> Result<(), Failure> {
        let kept: Vec<_> = self.touched.collections().filter(|id| self.app.is_kept(*id)).collect();
        let moment = self.engine.moment();
        let request = cache::change(&self.app, &kept, moment);
        let prepared = self.engine.prepare(&self.app, &Caller::system(moment), &request)?;
        let told = run::write(self.connection, &prepared, None, Then::Commit).await;
        told.map(|_| ()).map_err(|error| Failure::from_store(self.app.model(), error))
    }

    /// Tells the other nodes about a topic when this transaction commits ([`Engine::notices`]).
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn announce(&mut self, topic: &str) -> Result<(), Failure> {
        self.connection.announce(topic).await.map_err(|error| Failure::from_store(self.app.model(), error))
    }

    /// Reads rows as records, for what Undergird asks itself.
    ///
    /// # Errors
    /// A refusal or a failure of the store.
    pub async fn records(
        &mut self,
        caller: &Caller,
        request: impl Borrow<Request> + Send,
    ) -> Result<Vec<Record>, Failure> {
        let mut sink = record::Collector::default();
        self.read(caller, request, &mut sink).await?;
        Ok(sink.into_records())
    }
}

impl Engine {
    /// Reads rows as records outside a transaction, for what Undergird asks itself.
    ///
    /// # Errors
    /// A refusal or a failure of the store.
    pub async fn records(&self, caller: &Caller, request: impl Borrow<Request> + Send) -> Result<Vec<Record>, Failure> {
        let mut stages = crate::observe::Stages::default();
        let sink = self.read(caller, request, record::Collector::default(), &mut stages).await?;
        Ok(sink.into_records())
    }
}

/// Within how many runs nearly every transaction is to be over, however many want the same rows.
const RUNS_FEW: u32 = 5;

/// How often transactions had to be run, for the figures.
#[derive(Default)]
pub(crate) struct Runs {
    once: AtomicU64,
    few: AtomicU64,
    many: AtomicU64,
    given_up: AtomicU64,
}

impl Runs {
    /// A transaction that is over: run so often, and whether others were first to the last.
    pub(crate) fn count(&self, runs: u32, given_up: bool) {
        let counter = match runs {
            _ if given_up => &self.given_up,
            0 | 1 => &self.once,
            2..=RUNS_FEW => &self.few,
            _ => &self.many,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Name, help, value.
    pub(crate) fn figures(&self) -> [(&'static str, &'static str, f64); 4] {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        [
            ("transactions_run_once_total", "Transactions that were run once.", value(&self.once)),
            ("transactions_run_few_total", "Transactions that were over after two to five runs.", value(&self.few)),
            (
                "transactions_run_many_total",
                "Transactions that were over after more than five runs.",
                value(&self.many),
            ),
            (
                "transactions_given_up_total",
                "Transactions to which others came first in every run (409, 40001).",
                value(&self.given_up),
            ),
        ]
    }
}

/// What a store carries from a transaction's work to whoever waits for it. It is let go of when the transaction is over, heard or not.
pub(crate) struct Carried<T> {
    pub(crate) result: Result<T, Failure>,
    _touched: Touched,
}

/// A closure as the store's [`Work`], with the type of its answer, which `Work` does not name.
pub(crate) struct Closure<T, F> {
    engine: Arc<Engine>,
    app: Arc<App>,
    work: F,
    runs: Arc<AtomicU32>,
    answer: PhantomData<fn() -> T>,
}

impl<T, F> Closure<T, F>
where
    F: for<'t, 'c> FnMut(&'t mut Transaction<'c>) -> BoxFuture<'t, Result<Outcome<T>, Failure>> + Send + 'static,
{
    pub(crate) fn new(engine: Arc<Engine>, app: Arc<App>, work: F) -> Closure<T, F> {
        Closure { engine, app, work, runs: Arc::default(), answer: PhantomData }
    }

    /// How often the work was run; to be asked when it is over.
    pub(crate) fn runs(&self) -> Arc<AtomicU32> {
        self.runs.clone()
    }
}

impl<T, F> Work for Closure<T, F>
where
    T: Send + 'static,
    F: for<'t, 'c> FnMut(&'t mut Transaction<'c>) -> BoxFuture<'t, Result<Outcome<T>, Failure>> + Send + 'static,
{
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let (engine, app) = (self.engine.clone(), self.app.clone());
            let mut transaction = Transaction { connection, engine, app, touched: Touched::default() };
            let mut worked = (self.work)(&mut transaction).await;
            if matches!(&worked, Ok(outcome) if outcome.decision == Decision::Commit)
                && transaction.is_to_tell()
                && let Err(failure) = transaction.tell().await
            {
                worked = Err(failure);
            }
            let (decision, result): (Decision, Result<T, Failure>) = match worked {
                Ok(outcome) => (outcome.decision, Ok(outcome.value)),
                // The store runs the work again by itself after these.
                Err(Failure::Conflict) => return Err(StoreError::Conflict),
                Err(failure) => (Decision::Rollback, Err(failure)),
            };
            Ok(WorkAnswer { decision, value: Box::new(Carried { result, _touched: transaction.touched }) })
        })
    }
}
