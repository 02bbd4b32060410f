//! The suite that every store passes, and a store that it finds out.

use crate::{Options, SqliteStore};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;
use undergird_plan::RowSink;
use undergird_store::conformance::run_all;
use undergird_store::{
    Connection, Decision, Dialect, Isolation, Prepared, ReadAnswer, Store, StoreError, Work, WorkAnswer, migration,
    schema,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes() {
    let store = SqliteStore::open("sqlite::memory:", &Options::default()).unwrap();
    let report = run_all(&*store, &[]).await;
    store.close().await;
    eprintln!("{report}");
    assert!(report.passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_a_store_out_that_never_rolls_back() {
    let store = Careless { store: SqliteStore::open("sqlite::memory:", &Options::default()).unwrap() };
    let report = run_all(&store, &[]).await;
    store.close().await;
    let told = |subject: &str| report.different.iter().any(|text| text.starts_with(subject));
    assert!(told("transactions: several writes in one") && told("constraints") && told("rules"), "{report}");
    assert!(report.different.len() < report.checks / 10, "what does not rest on it is right: {report}");
}

/// A store that keeps what a transaction wanted undone, errors included.
struct Careless {
    store: Arc<SqliteStore>,
}

struct Kept(Box<dyn Work>);

impl Work for Kept {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let value = match self.0.run(connection).await {
                Ok(answer) => Ok(answer.value),
                Err(error) => Err(error),
            };
            Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(value) })
        })
    }
}

impl Store for Careless {
    fn dialect(&self) -> &'static dyn Dialect {
        self.store.dialect()
    }

    fn read(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> BoxFuture<'_, ReadAnswer> {
        self.store.read(query, sink, deadline)
    }

    fn transaction(
        &self,
        work: Box<dyn Work>,
        isolation: Isolation,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let answer = self.store.transaction(Box::new(Kept(work)), isolation, deadline).await?;
            match answer.value.downcast::<Result<Box<dyn std::any::Any + Send>, StoreError>>() {
                Ok(value) => value.map(|value| WorkAnswer { decision: Decision::Commit, value }),
                Err(_) => Err(StoreError::Internal("the answer came back as another".into())),
            }
        })
    }

    fn schema(&self) -> BoxFuture<'_, Result<Option<schema::Applied>, StoreError>> {
        self.store.schema()
    }

    fn migrate<'a>(
        &'a self,
        steps: &'a [schema::Step],
        wanted: &'a schema::Applied,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.migrate(steps, wanted)
    }

    fn hold_writes<'a>(&'a self, tables: &'a schema::Applied, hold: bool) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.hold_writes(tables, hold)
    }

    fn follow_changes<'a>(
        &'a self,
        tables: &'a schema::Applied,
        follow: undergird_store::changes::Follow<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.follow_changes(tables, follow)
    }

    fn migrations(&self) -> BoxFuture<'_, Result<Vec<migration::Done>, StoreError>> {
        self.store.migrations()
    }

    fn progress(&self) -> BoxFuture<'_, Result<Option<migration::Progress>, StoreError>> {
        self.store.progress()
    }

    fn apply<'a>(&'a self, run: &'a migration::Run) -> BoxFuture<'a, Result<migration::Outcome, StoreError>> {
        self.store.apply(run)
    }

    fn describe(&self, steps: &[schema::Step], wanted: &schema::Applied) -> Vec<String> {
        self.store.describe(steps, wanted)
    }

    fn explain(&self, query: Prepared) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.store.explain(query)
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.health()
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        self.store.gauges()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.store.close()
    }
}
