//! MySQL and MariaDB: one driver, one dialect, its DDL and introspection.
//!
//! A pool of connections that keep their prepared statements; values go in the binary protocol only. Deliberately absent: any decision
//! about access, and any SQL text beyond transactions, settings and the schema: statements arrive written.

pub mod adopt;
mod backfill;
mod ddl;
mod dialect;
mod error;
mod explain;
mod follow;
mod hold;
mod introspect;
mod migrate;
mod migrations;
mod notices;
mod pool;
mod pulse;
mod scribe;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod transaction;
mod types;
mod values;

pub use dialect::{BEYOND, DIALECT, Flavor, MARIADB_10_6, MYSQL_8, Mysql, functions};
pub use scribe::SCRIBE;
pub use settings::Options;
pub use types::unsupported;

use error::fault;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use notices::Notices;
use pool::Pool;
use server::Server;
use settings::Target;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_plan::RowSink;
use undergird_store::changes::Follow;
use undergird_store::{
    Dialect, Isolation, Notice, Prepared, ReadAnswer, Store, StoreError, Work, WorkAnswer, migration, schema,
};

/// How long the database may take to say that it is well.
const HEALTH_MAX: Duration = Duration::from_millis(1_900);
/// How long the server may take to plan what is to be explained.
const EXPLAIN_MAX: Duration = Duration::from_secs(10);

/// A MySQL or MariaDB database.
pub struct MysqlStore {
    pool: Arc<Pool>,
    notices: Notices,
}

impl MysqlStore {
    /// Opens a database: `mysql://user:password@host:port/database?…`, or `mariadb://…`. Beside the options of the driver, the URL
    /// takes `pool` (most connections), `sslmode` (`disable`, `prefer`, `require`, `verify-full`) and `sslrootcert` (a file).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the URL cannot be read, the database not be reached, or the server is too old. The password is
    /// in no message.
    pub async fn open(url: &str, options: Options) -> Result<Arc<MysqlStore>, StoreError> {
        let mut options = options;
        let target = Target::parse(url, &mut options)?;
        let mut conn = target.connect().await?;
        let server = Server::of(&mut conn).await?;
        // Whether it ends well is the server's to worry about.
        let _ = tokio::time::timeout(HEALTH_MAX, conn.disconnect()).await;
        let notices = Notices::new(target.clone(), server.clone());
        let store = MysqlStore { pool: Pool::new(target, server, options), notices };
        let mut conn = store.dedicated().await?;
        if introspect::exists(&mut conn, introspect::RECORD).await? {
            migrate::install_in_turn(&mut conn, &dialect::functions(store.pool.server.collation())).await?;
        }
        Ok(Arc::new(store))
    }

    /// A connection without limits of time, outside of the pool: for migrations and introspection.
    async fn dedicated(&self) -> Result<Conn, StoreError> {
        self.pool.target.session(&self.pool.server, None).await
    }

    /// Brings the schema from one to the next; `alone` when nobody else uses the database yet.
    async fn take_steps(
        &self,
        steps: &[schema::Step],
        wanted: &schema::Applied,
        alone: bool,
    ) -> Result<(), StoreError> {
        let mut conn = self.dedicated().await?;
        let result = migrate::migrate(&mut conn, &self.pool.server, steps, wanted, alone).await;
        let _ = conn.disconnect().await;
        result
    }
}

impl Store for MysqlStore {
    fn dialect(&self) -> &'static dyn Dialect {
        self.pool.server.dialect()
    }

    fn read(&self, query: Prepared, sink: Box<dyn RowSink>, deadline: Instant) -> BoxFuture<'_, ReadAnswer> {
        Box::pin(transaction::read(&self.pool, query, sink, deadline))
    }

    fn transaction(
        &self,
        work: Box<dyn Work>,
        isolation: Isolation,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<WorkAnswer, StoreError>> {
        Box::pin(transaction::transaction(&self.pool, work, isolation, deadline))
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        self.notices.listen()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn schema(&self) -> BoxFuture<'_, Result<Option<schema::Applied>, StoreError>> {
        Box::pin(async {
            let mut conn = self.dedicated().await?;
            let schema = migrate::current(&mut conn, &self.pool.server).await;
            let _ = conn.disconnect().await;
            schema
        })
    }

    fn migrate<'a>(
        &'a self,
        steps: &'a [schema::Step],
        wanted: &'a schema::Applied,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.take_steps(steps, wanted, false))
    }

    fn migrate_alone<'a>(
        &'a self,
        steps: &'a [schema::Step],
        wanted: &'a schema::Applied,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.take_steps(steps, wanted, true))
    }

    fn hold_writes<'a>(&'a self, tables: &'a schema::Applied, hold: bool) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut conn = self.dedicated().await?;
            let result = hold::hold(&mut conn, tables, hold).await;
            let _ = conn.disconnect().await;
            result
        })
    }

    fn follow_changes<'a>(
        &'a self,
        tables: &'a schema::Applied,
        follow: Follow<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut conn = self.dedicated().await?;
            let result = follow::follow(&mut conn, tables, follow).await;
            let _ = conn.disconnect().await;
            result
        })
    }

    fn follows_references(&self) -> bool {
        false
    }

    fn migrations(&self) -> BoxFuture<'_, Result<Vec<migration::Done>, StoreError>> {
        Box::pin(async {
            let mut conn = self.dedicated().await?;
            let done = migrations::done(&mut conn).await;
            let _ = conn.disconnect().await;
            done
        })
    }

    fn progress(&self) -> BoxFuture<'_, Result<Option<migration::Progress>, StoreError>> {
        Box::pin(async {
            let mut conn = self.dedicated().await?;
            let progress = backfill::progress(&mut conn).await;
            let _ = conn.disconnect().await;
            progress
        })
    }

    fn apply<'a>(&'a self, run: &'a migration::Run) -> BoxFuture<'a, Result<migration::Outcome, StoreError>> {
        Box::pin(async move {
            let mut conn = self.dedicated().await?;
            let result = migrations::apply(&mut conn, &self.pool.server, run).await;
            let _ = conn.disconnect().await;
            result
        })
    }

    fn describe(&self, steps: &[schema::Step], wanted: &schema::Applied) -> Vec<String> {
        let from = ddl::state::origin(steps, wanted);
        let script = ddl::script(&self.pool.server, &from, steps, wanted);
        script.into_iter().flat_map(|taken| taken.lines).map(|line| line.sql).collect()
    }

    fn explain(&self, query: Prepared) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            let mut lease = self.pool.acquire(&self.pool.patience(), Instant::now() + EXPLAIN_MAX).await?;
            lease.busy = true;
            let explained = explain::explain(&mut lease, &query);
            let told = tokio::time::timeout(EXPLAIN_MAX, explained).await.map_err(|_| StoreError::Deadline)?;
            lease.busy = false;
            told
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            let mut lease = self.pool.acquire(&self.pool.patience(), Instant::now() + HEALTH_MAX).await?;
            lease.busy = true;
            let link = lease.link().map_err(StoreError::from)?;
            let asked = link.conn.query_first::<i64, _>("SELECT @@GLOBAL.read_only");
            let Ok(answer) = tokio::time::timeout(HEALTH_MAX, asked).await else {
                return Err(StoreError::Unavailable(format!("{} does not answer", self.pool.target.shown())));
            };
            lease.busy = false;
            match answer {
                Ok(Some(0) | None) => Ok(()),
                Ok(Some(_)) => Err(StoreError::Unavailable(format!("{} takes no writes", self.pool.target.shown()))),
                Err(error) => {
                    let error = fault(error);
                    if matches!(error, error::Fault::Lost(_)) {
                        lease.lost();
                    }
                    Err(error.into())
                }
            }
        })
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let (used, waiting) = self.pool.load();
        vec![
            ("mysql_connections_max", "Most connections to the database.", self.pool.size() as f64),
            ("mysql_connections_used", "Connections in use.", used as f64),
            ("mysql_connections_waited_for", "Requests that wait for a connection.", waiting as f64),
        ]
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.notices.close();
        Box::pin(self.pool.close())
    }
}
