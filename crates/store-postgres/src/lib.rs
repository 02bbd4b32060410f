//! PostgreSQL: one driver, one dialect, its DDL and introspection.
//!
//! A pool of connections, each polled by whoever uses it, and a few that quick reads share. A read of one statement is one round trip, and so is a write of one statement, which goes without `BEGIN` and `COMMIT`;
//! any other transaction is one per statement and one for its commit. Deliberately absent: any decision about access, and any SQL text beyond transactions, settings
//! and the schema: statements arrive written.

pub mod adopt;
mod backfill;
mod cancel;
mod checks;
pub mod ddl;
mod dialect;
mod error;
mod explain;
mod functions;
pub mod introspect;
mod line;
mod migrations;
mod notices;
mod pool;
mod replicas;
mod scribe;
mod session;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod wall;
mod work;

pub use dialect::{DIALECT, Postgres};
pub use scribe::SCRIBE;
pub use settings::Options;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use notices::Notices;
use pool::Pool;
use replicas::Replicas;
use settings::{Dedicated, Target};
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::Model;
use undergird_plan::RowSink;
use undergird_store::changes::Follow;
use undergird_store::migration::{Done, Outcome, Progress, Run};
use undergird_store::schema::{Applied, Step};
use undergird_store::{
    Dialect, Freshness, Isolation, Notice, Prepared, ReadAnswer, Store, StoreError, Work, WorkAnswer,
};

/// How long the database may take to say that it is well.
const HEALTH_MAX: Duration = Duration::from_millis(1_900);
/// How long the server may take to plan what is to be explained.
const EXPLAIN_MAX: Duration = Duration::from_secs(10);

/// A PostgreSQL database.
pub struct PostgresStore {
    pool: Arc<Pool>,
    notices: Notices,
    /// `None` where none are configured.
    replicas: Option<Replicas>,
    /// `None` where rules are the plan's alone.
    wall: Option<wall::Wall>,
}

impl PostgresStore {
    /// Opens a database: `postgres://user:password@host:port/database?…`. Beside the options of libpq, the URL takes
    /// `pool` (most connections), `pooler=transaction` (behind PgBouncer in transaction mode), `direct=host:port` (the server behind
    /// the pooler), `sslmode` (`disable`, `prefer`, `require`, `verify-full`) and `sslrootcert` (a file, or `system`).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the URL cannot be read or the database not be reached. The password is in no message.
    pub async fn open(url: &str, options: Options) -> Result<Arc<PostgresStore>, StoreError> {
        let mut options = options;
        let target = Target::parse(url, &mut options)?;
        let notices = Notices::new(target.clone());
        let replicas = Replicas::new(&target, &options)?;
        let wall = wall::Wall::new(&options)?;
        let pool = Pool::sharing(target, options);
        // So that what is wrong is told now, and the first request finds a connection.
        drop(pool.checkout(Instant::now() + HEALTH_MAX).await?);
        let mut store = PostgresStore { pool, notices, replicas, wall };
        let mut client = store.dedicated().await?;
        if let Some(wall) = &mut store.wall {
            wall.open(&client).await?;
        }
        if introspect::has_helpers(&client).await? {
            // A database that an earlier version migrated needs what this one's statements call.
            ddl::install_functions(&mut client, dialect::functions()).await?;
        }
        Ok(Arc::new(store))
    }

    /// A connection for what takes long or needs the same server connection throughout: migrations, introspection.
    pub(crate) async fn dedicated(&self) -> Result<Dedicated, StoreError> {
        self.pool.target.dedicated().await
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Some(wall) = &self.wall {
            wall.pool.shut();
        }
        self.pool.shut();
    }
}

impl Store for PostgresStore {
    fn dialect(&self) -> &'static dyn Dialect {
        if self.wall.is_some() { &dialect::WALLED } else { &DIALECT }
    }

    fn read(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> BoxFuture<'_, ReadAnswer> {
        match &self.wall {
            Some(wall) => Box::pin(wall.read(&self.pool, query, sink, deadline)),
            None => Box::pin(work::read(&self.pool, query, sink, deadline)),
        }
    }

    fn read_eventual(
        &self,
        query: Prepared,
        mut sink: Box<dyn RowSink>,
        deadline: Instant,
    ) -> BoxFuture<'_, (ReadAnswer, Freshness)> {
        Box::pin(async move {
            if let Some(replicas) = &self.replicas
                && let Some(result) = replicas.read(&query, &mut *sink, deadline).await
            {
                return (ReadAnswer { sink: Some(sink), result }, Freshness::Eventual);
            }
            (self.read(query, sink, deadline).await, Freshness::Current)
        })
    }

    fn transaction(
        &self,
        work: Box<dyn Work>,
        isolation: Isolation,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<WorkAnswer, StoreError>> {
        Box::pin(work::transaction((&self.pool, self.wall.as_ref()), work, isolation, deadline))
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        if self.pool.is_pooled() && !self.pool.target.has_direct() {
            tracing::warn!("behind a transaction pooler nobody can listen; add direct=host:port to the database's URL");
            return Box::pin(stream::pending());
        }
        self.notices.listen()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn schema(&self) -> BoxFuture<'_, Result<Option<Applied>, StoreError>> {
        Box::pin(async {
            let mut client = self.dedicated().await?;
            let applied = introspect::applied(&mut client).await?;
            if let Some(replicas) = &self.replicas {
                replicas.know_schema(applied.as_ref());
            }
            Ok(applied)
        })
    }

    fn migrate<'a>(&'a self, steps: &'a [Step], wanted: &'a Applied) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut client = self.dedicated().await?;
            ddl::migrate(&mut client, steps, wanted, dialect::functions()).await?;
            if let Some(replicas) = &self.replicas {
                replicas.know_schema(Some(wanted));
            }
            Ok(())
        })
    }

    fn raise_wall<'a>(&'a self, model: &'a Model) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(wall) = &self.wall else { return Ok(()) };
            let mut client = self.dedicated().await?;
            wall.raise(&mut client, model).await
        })
    }

    fn hold_writes<'a>(&'a self, tables: &'a Applied, hold: bool) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut client = self.dedicated().await?;
            ddl::hold_writes(&mut client, tables, hold).await
        })
    }

    fn follow_changes<'a>(&'a self, tables: &'a Applied, follow: Follow<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut client = self.dedicated().await?;
            ddl::follow_changes(&mut client, tables, follow).await
        })
    }

    fn migrations(&self) -> BoxFuture<'_, Result<Vec<Done>, StoreError>> {
        Box::pin(async {
            let mut client = self.dedicated().await?;
            migrations::done(&mut client).await
        })
    }

    fn progress(&self) -> BoxFuture<'_, Result<Option<Progress>, StoreError>> {
        Box::pin(async {
            let mut client = self.dedicated().await?;
            migrations::progress(&mut client).await
        })
    }

    fn apply<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(async move {
            let mut client = self.dedicated().await?;
            let outcome = ddl::apply(&mut client, run, dialect::functions()).await;
            // Some steps may have been taken even when others failed.
            if let Some(replicas) = &self.replicas {
                replicas.schema_changed();
            }
            outcome
        })
    }

    fn describe(&self, steps: &[Step], wanted: &Applied) -> Vec<String> {
        ddl::statements(steps, wanted)
    }

    fn explain(&self, query: Prepared) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            let deadline = Instant::now() + EXPLAIN_MAX;
            let mut checkout = self.pool.checkout(deadline).await?;
            let line = checkout.line();
            line.busy = true;
            let told = tokio::time::timeout_at(deadline.into(), explain::explain(line, &query.statements)).await;
            let told = told.map_err(|_| StoreError::Deadline)?;
            line.busy = false;
            Ok(told?)
        })
    }

    fn functions<'a>(&'a self, model: &'a Model) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            let client = self.dedicated().await?;
            let told = functions::differences(&*client, model, |_| true).await?;
            match &self.wall {
                Some(wall) if told.is_empty() => wall.functions(model).await,
                Some(_) | None => Ok(told),
            }
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            let deadline = Instant::now() + HEALTH_MAX;
            let mut checkout = self.pool.checkout(deadline).await?;
            let line = checkout.line();
            line.busy = true;
            let told = tokio::time::timeout_at(deadline.into(), line.texts("SELECT pg_is_in_recovery()")).await;
            let slow = || StoreError::Unavailable(format!("{} does not answer", self.pool.target.shown()));
            let told = told.map_err(|_| slow())?;
            line.busy = false;
            if matches!(&told, Err(error::Fault::Lost(_))) {
                line.broken = true;
            }
            if told?.first().is_some_and(|standby| standby == "t") {
                return Err(StoreError::Unavailable(format!(
                    "{} is a standby and takes no writes",
                    self.pool.target.shown()
                )));
            }
            Ok(())
        })
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let mut all = self.pool.gauges();
        all.extend(self.wall.iter().flat_map(wall::Wall::gauges));
        all.extend(self.replicas.iter().flat_map(Replicas::gauges));
        all
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.notices.close();
            if let Some(replicas) = &self.replicas {
                replicas.close().await;
            }
            if let Some(wall) = &self.wall {
                wall.pool.close().await;
            }
            self.pool.close().await;
        })
    }
}
