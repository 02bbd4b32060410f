//! Runs plans: transactions, observation, idempotency. Everything that touches data goes through [`Engine::read`] or
//! [`Engine::transaction`], and both make their plans with `undergird_plan` alone.
//!
//! Deliberately absent: HTTP, wire formats, concrete stores.

pub mod accounts;
mod adopted;
pub mod cache;
pub mod failure;
pub mod idempotency;
pub mod observe;
pub mod record;
pub mod transaction;
pub mod transfer;

pub use failure::{Constraint, Failure};
pub use record::Record;
pub use transaction::{Outcome, Transaction};
pub use undergird_store::run::Written;
pub use undergird_store::{Freshness, Isolation, Notice};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use observe::{Clock, Stage};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::borrow::Borrow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;
use undergird_model::{CollectionId, DbFunction, Model, Operation, operations};
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Dependencies, Plan, Planner, Request, RowSink, Shape};
use undergird_store::{Prepared, Statements, Store, StoreError};

/// The definitions of the collections in which the engine keeps its own state.
pub const SYSTEM: &[(&str, &str)] = &[
    ("_cache_versions", include_str!("../system/_cache_versions.toml")),
    ("_idempotency", include_str!("../system/_idempotency.toml")),
];

/// One running application over one store.
pub struct Engine {
    store: Arc<dyn Store>,
    app: ArcSwap<App>,
    clock: Clock,
    runs: transaction::Runs,
    versions: cache::Registry,
    counts: cache::Counts,
}

/// A model with everything that is derived from it. Replaced as a whole when the definition changes.
pub struct App {
    model: Arc<Model>,
    planner: Planner,
    operations: Vec<Operation>,
    statements: RwLock<Kept>,
    versions: cache::Versions,
    cache: Option<cache::Cache>,
    told: cache::Told,
}

/// Statements by the address of their shape.
#[derive(Default)]
struct Kept {
    by_shape: FxHashMap<usize, KeptStatements>,
    octets: usize,
}

/// The statements of a shape. Held on to weakly, the shape is gone when the planner lets go of it; its address, which is the key, is not
/// given to another.
#[derive(Clone)]
struct KeptStatements {
    _shape: Weak<Shape>,
    statements: Arc<Statements>,
    /// What its answers depend on, where they may be kept.
    dependencies: Option<Arc<Dependencies>>,
}

/// More shapes than this are not kept: an application has hundreds.
const STATEMENTS_MAX: usize = 8_192;
/// Nor more than this of their texts: one request can ask for a long one.
const STATEMENTS_OCTETS_MAX: usize = 64 << 20;

impl App {
    fn new(model: Arc<Model>, versions: &cache::Registry) -> App {
        App {
            planner: Planner::new(model.clone()),
            operations: operations(&model),
            statements: RwLock::default(),
            versions: cache::Versions::of(&model, versions),
            cache: cache::Cache::of(&model),
            told: cache::Told::default(),
            model,
        }
    }

    /// Whether answers made of a collection are kept.
    pub fn is_kept(&self, collection: CollectionId) -> bool {
        self.cache.is_some() && self.model.collection(collection).cache.is_some()
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Everything that can be called.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

impl Engine {
    /// An engine for a model whose schema the store has already.
    pub fn new(model: Arc<Model>, store: Arc<dyn Store>) -> Arc<Engine> {
        let versions = cache::Registry::default();
        let app = ArcSwap::from_pointee(App::new(model, &versions));
        let (runs, counts) = (transaction::Runs::default(), cache::Counts::default());
        Arc::new(Engine { store, app, clock: Clock::new(), runs, versions, counts })
    }

    /// The application as it is now.
    pub fn app(&self) -> Arc<App> {
        self.app.load_full()
    }

    /// Takes a changed definition, whose schema the store has already. Requests under way end with the old one.
    pub fn replace(&self, model: Arc<Model>) {
        self.app.store(Arc::new(App::new(model, &self.versions)));
    }

    /// The store, for the composition root and its commands.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Figures worth watching, the store's own among them: name, help, value.
    pub fn figures(&self) -> Vec<(&'static str, &'static str, f64)> {
        let mut figures = self.store.gauges();
        figures.extend(self.runs.figures());
        figures.extend(self.cache_figures());
        figures
    }

    /// The clock and fresh dice for one request.
    pub fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// What other nodes announce, where the store can tell.
    pub fn notices(&self) -> BoxStream<'static, Notice> {
        self.store.notices()
    }

    /// Makes the plan of a request, as [`Engine::read`] would; for explaining.
    ///
    /// # Errors
    /// A refusal.
    pub fn plan(&self, caller: &Caller, request: &Request) -> Result<Prepared, Failure> {
        self.prepare(&self.app.load(), caller, request)
    }

    /// Runs the probing plan of an explanation ([`undergird_plan::authorize::explain`]). It passes over row rules: for commands of people
    /// with the database in their hands, and never for a surface.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn explore(&self, probe: Plan) -> Result<Vec<Record>, Failure> {
        let statements = self.statements(&self.app.load(), &probe);
        let model = probe.model().clone();
        let deadline = Instant::now() + model.settings.limits.statement;
        let prepared = Prepared { plan: probe, statements };
        let answer = self.store.read(prepared, Box::new(record::Collector::default()), deadline).await;
        answer.result.map_err(|error| Failure::from_store(&model, error))?;
        let sink = answer.sink.and_then(|sink| sink.into_any().downcast::<record::Collector>().ok());
        sink.map(|sink| sink.into_records())
            .ok_or_else(|| Failure::Internal("the store lost the sink of a probe".into()))
    }

    fn prepare(&self, app: &App, caller: &Caller, request: &Request) -> Result<Prepared, Failure> {
        let plan = app.planner.plan(caller, request).map_err(Failure::Refused)?;
        let statements = self.statements(app, &plan);
        Ok(Prepared { plan, statements })
    }

    fn statements(&self, app: &App, plan: &Plan) -> Arc<Statements> {
        let address = Arc::as_ptr(plan.shape()) as usize;
        if let Some(kept) = app.statements.read().by_shape.get(&address) {
            return kept.statements.clone();
        }
        self.write_statements(app, plan).statements
    }

    /// What the answers of a plan depend on, where they may be kept.
    fn dependencies(&self, app: &App, plan: &Plan) -> Option<Arc<Dependencies>> {
        let address = Arc::as_ptr(plan.shape()) as usize;
        if let Some(kept) = app.statements.read().by_shape.get(&address) {
            return kept.dependencies.clone();
        }
        self.write_statements(app, plan).dependencies
    }

    /// Writes the statements of a plan, for all of its shape.
    fn write_statements(&self, app: &App, plan: &Plan) -> KeptStatements {
        let statements = Arc::new(undergird_store::sql::write(plan.model(), plan.shape(), self.store.dialect()));
        let octets = statements.octets();
        let mut kept = app.statements.write();
        if kept.by_shape.len() >= STATEMENTS_MAX || kept.octets.saturating_add(octets) > STATEMENTS_OCTETS_MAX {
            // Whoever floods us with shapes pays with slower requests, not with our memory.
            *kept = Kept::default();
        }
        kept.octets = kept.octets.saturating_add(octets);
        let root = plan.shape().read().and_then(|read| read.nodes.first());
        let dependencies = root.filter(|root| root.source.is_none() && app.is_kept(root.collection));
        let dependencies = dependencies.and_then(|_| Dependencies::of(plan.shape(), plan.model())).map(Arc::new);
        let made = KeptStatements { _shape: Arc::downgrade(plan.shape()), statements, dependencies };
        kept.by_shape.insert(Arc::as_ptr(plan.shape()) as usize, made.clone());
        made
    }

    /// Reads rows into a sink, in one snapshot. The sink comes back.
    ///
    /// # Errors
    /// A refusal of the plan or a failure of the store.
    pub async fn read<S: RowSink + 'static>(
        &self,
        caller: &Caller,
        request: impl Borrow<Request> + Send,
        sink: S,
        stages: &mut observe::Stages,
    ) -> Result<S, Failure> {
        Ok(self.read_at(caller, request, Freshness::Current, sink, stages).await?.0)
    }

    /// Reads as [`Engine::read`] does; with [`Freshness::Eventual`] the rows may be a little old, and the answer says whether they may be.
    ///
    /// This is the only way to such a read. It is for a caller who asked for it and gets nothing but the rows: never for what is decided
    /// upon, as who somebody is or whether a write may be. The rules that the rows pass are of the same snapshot as the rows.
    ///
    /// # Errors
    /// A refusal of the plan or a failure of the store.
    pub async fn read_at<S: RowSink + 'static>(
        &self,
        caller: &Caller,
        request: impl Borrow<Request> + Send,
        freshness: Freshness,
        sink: S,
        stages: &mut observe::Stages,
    ) -> Result<(S, Freshness), Failure> {
        let started = Instant::now();
        let app = self.app.load();
        let prepared = self.prepare(&app, caller, request.borrow())?;
        drop(app);
        let planned = Instant::now();
        stages.add(Stage::Plan, planned - started);
        let answer = self.run(prepared, freshness, sink).await;
        stages.add(Stage::Store, planned.elapsed());
        answer
    }

    /// Runs a plan that reads.
    async fn run<S: RowSink + 'static>(
        &self,
        prepared: Prepared,
        freshness: Freshness,
        sink: S,
    ) -> Result<(S, Freshness), Failure> {
        let model = prepared.plan.model().clone();
        let deadline = Instant::now() + model.settings.limits.statement;
        let function = prepared.plan.function();
        if function.is_some_and(DbFunction::is_volatile) {
            return Err(Failure::Internal("a function that may change something runs in a transaction".into()));
        }
        let calls = function.is_some();
        let sink = Box::new(sink);
        let (answer, freshness) = match freshness {
            Freshness::Current => (self.store.read(prepared, sink, deadline).await, Freshness::Current),
            Freshness::Eventual => self.store.read_eventual(prepared, sink, deadline).await,
        };
        answer.result.map_err(|error| Failure::of_read(&model, calls, error))?;
        let sink = answer.sink.and_then(|sink| sink.into_any().downcast::<S>().ok());
        sink.map(|sink| (*sink, freshness)).ok_or_else(|| Failure::Internal("the store lost the sink of a read".into()))
    }

    /// Runs `work` in one transaction. Committed when it gives [`Outcome::commit`], rolled back when it gives
    /// [`Outcome::rollback`] or an error. When this gives `Ok` after a commit, the effects are on disk. The work runs again from the
    /// start after a conflict with another transaction.
    ///
    /// # Errors
    /// What `work` gives, or a failure of the store.
    pub async fn transaction<T, F>(self: &Arc<Self>, isolation: Isolation, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: for<'t, 'c> FnMut(&'t mut Transaction<'c>) -> BoxFuture<'t, Result<Outcome<T>, Failure>> + Send + 'static,
    {
        let app = self.app.load_full();
        let deadline = Instant::now() + app.model.settings.limits.request;
        let model = app.model.clone();
        let work = transaction::Closure::new(self.clone(), app, work);
        let runs = work.runs();
        let answer = self.store.transaction(Box::new(work), isolation, deadline).await;
        self.runs.count(runs.load(Ordering::Relaxed), matches!(answer, Err(StoreError::Conflict)));
        let answer = answer.map_err(|error| Failure::from_store(&model, error))?;
        match answer.value.downcast::<transaction::Carried<T>>() {
            Ok(carried) => carried.result,
            Err(_) => Err(Failure::Internal("the store lost the answer of a transaction".into())),
        }
    }
}
