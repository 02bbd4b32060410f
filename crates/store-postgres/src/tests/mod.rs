//! The driver on a real server: `UNDERGIRD_TEST_POSTGRES`, where each test makes a database of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod capabilities;
mod conformance;
mod differential;
mod driver;
mod failing;
mod finishing;
mod pooler;
mod values;

use crate::{Options, PostgresStore};
use futures_util::future::BoxFuture;
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use undergird_model::field_type::wire;
use undergird_model::{Model, Source, Type, Value, definition};
use undergird_plan::caller::Moment;
use undergird_plan::rows::Overflow;
use undergird_plan::{Caller, Plan, RowRef, RowSink, authorize};
use undergird_store::run::cell_value;
use undergird_store::sql::ReadStatements;
use undergird_store::{
    Bound, Connection, Decision, Flow, Isolation, Prepared, Statement, Statements, StoreError, Work, WorkAnswer,
};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own, which goes with it.
pub struct Database {
    pub url: String,
    server: String,
    name: String,
}

/// A new database; `None`, said plainly, where there is no server.
pub async fn database() -> Option<Database> {
    let Ok(server) = std::env::var("UNDERGIRD_TEST_POSTGRES") else {
        assert_ne!(
            std::env::var("UNDERGIRD_TEST_SERVERS").as_deref(),
            Ok("required"),
            "UNDERGIRD_TEST_POSTGRES is not set, and servers are required"
        );
        println!("skipped: UNDERGIRD_TEST_POSTGRES names no PostgreSQL server");
        return None;
    };
    let name = format!("ug_driver_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    execute(&server, &[&format!("CREATE DATABASE {name}")]).await;
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let (place, _) = base.rsplit_once('/').unwrap();
    let url = format!("{place}/{name}?{query}");
    Some(Database { url, server, name })
}

/// Runs statements on a connection of their own.
pub async fn execute(url: &str, statements: &[&str]) {
    let (client, wire) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let task = tokio::spawn(wire);
    for statement in statements {
        client.batch_execute(statement).await.unwrap();
    }
    drop(client);
    task.await.unwrap().unwrap();
}

/// The one number that a statement gives.
pub async fn number(url: &str, statement: &str) -> i64 {
    let (client, wire) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let task = tokio::spawn(wire);
    let number = client.query_one(statement, &[]).await.unwrap().get(0);
    drop(client);
    task.await.unwrap().unwrap();
    number
}

impl Database {
    pub async fn open(&self) -> Arc<PostgresStore> {
        self.open_with("pool=4").await
    }

    pub async fn open_with(&self, options: &str) -> Arc<PostgresStore> {
        PostgresStore::open(&format!("{}&{options}", self.url), Options::default()).await.unwrap()
    }

    pub async fn execute(&self, statements: &[&str]) {
        execute(&self.url, statements).await;
    }

    pub async fn number(&self, statement: &str) -> i64 {
        number(&self.url, statement).await
    }

    /// Waits until so many statements with these words are under way.
    pub async fn until_running(&self, words: &str, wanted: i64) {
        let running = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = '{}' AND query LIKE '%{words}%' \
             AND pid <> pg_backend_pid()",
            self.name
        );
        for _ in 0..1_000 {
            if self.number(&running).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never were {wanted} statements with {words} under way");
    }

    /// Cuts all connections to this database but the one that does it.
    pub async fn cut(&self) {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.number(cut).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, drop) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // A runtime of its own, because that of the test may be ending.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { execute(&server, &[&drop]).await });
        })
        .join();
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub fn statement(text: &str, columns: &[Type], writes: bool) -> Statement {
    Statement { text: text.into(), binds: Vec::new(), columns: columns.to_vec(), writes, identity: false, lacks: None }
}

pub fn int(number: i64) -> Bound<'static> {
    Bound::Value(Type::INT, Cow::Owned(Value::Int(number)))
}

pub fn text(text: &str) -> Bound<'static> {
    Bound::Value(Type::TEXT, Cow::Owned(Value::text(text)))
}

/// The rows of a statement.
pub async fn rows(
    connection: &mut dyn Connection,
    statement: &Statement,
    values: Vec<Bound<'_>>,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut rows = Vec::new();
    connection
        .query(statement, values, &mut |row| {
            rows.push((0..statement.columns.len()).map(|at| cell_value(row.cell(at))).collect());
            Flow::Continue
        })
        .await?;
    Ok(rows)
}

/// Changes something.
pub async fn change(connection: &mut dyn Connection, text: &str, values: Vec<Bound<'_>>) -> Result<u64, StoreError> {
    connection.query(&statement(text, &[], true), values, &mut |_| Flow::Continue).await
}

pub async fn count(connection: &mut dyn Connection, text: &str) -> Result<i64, StoreError> {
    match rows(connection, &statement(text, &[Type::INT], false), vec![]).await?.first().and_then(|row| row.first()) {
        Some(Value::Int(number)) => Ok(*number),
        other => panic!("{other:?}"),
    }
}

/// A closure as work.
pub struct Do<F>(pub F);

impl<F> Work for Do<F>
where
    F: for<'a> FnMut(&'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> + Send + 'static,
{
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        (self.0)(connection)
    }
}

pub fn commit<T: Any + Send>(value: T) -> Result<WorkAnswer, StoreError> {
    Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(value) })
}

/// Does something in a transaction, and gives its value.
pub async fn transact<T: Any, F>(store: &PostgresStore, isolation: Isolation, work: F) -> Result<T, StoreError>
where
    F: for<'a> FnMut(&'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> + Send + 'static,
{
    transact_until(store, isolation, soon(), work).await
}

pub async fn transact_until<T: Any, F>(
    store: &PostgresStore,
    isolation: Isolation,
    deadline: Instant,
    work: F,
) -> Result<T, StoreError>
where
    F: for<'a> FnMut(&'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> + Send + 'static,
{
    let answer = store.transaction(Box::new(Do(work)), isolation, deadline).await?;
    Ok(*answer.value.downcast::<T>().unwrap())
}

/// Rows as lines: node, then cells in the wire form.
#[derive(Default)]
pub struct Lines(pub Vec<String>);

impl RowSink for Lines {
    fn begin(&mut self, _: &Plan) {
        self.0.clear();
    }

    fn row(&mut self, node: usize, row: &dyn RowRef) -> Result<(), Overflow> {
        if self.0.len() >= 10 {
            return Err(Overflow);
        }
        self.0.push(format!("{node} {}", wire::to_json(&cell_value(row.cell(0)))));
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// A read of statements written by hand: the first column of each, an int.
pub fn prepared(texts: &[&str]) -> Prepared {
    let files = [
        ("undergird.toml", "name = \"test\"\n"),
        ("models/a.toml", "[fields]\nn = { type = \"int\" }\n"),
        ("models/b.toml", "[fields]\na_id = { type = \"ref\", to = \"a\" }\n"),
    ];
    let sources: Vec<Source> =
        files.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    let model: Arc<Model> = Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")));
    let request = undergird_store::conformance::parse_request("GET a?select=n").unwrap();
    let caller = Caller::secret(Moment { now: 1_700_000_000_000_000, entropy: 1 << 80 });
    let plan = authorize(&model, &caller, &request).unwrap();
    let mut nodes: Vec<Statement> = texts.iter().map(|text| statement(text, &[Type::INT], false)).collect();
    let count = (nodes.len() > 1).then(|| nodes.pop().unwrap());
    Prepared { plan, statements: Arc::new(Statements::Read(ReadStatements { nodes, count, estimate: None })) }
}

/// Reads, and gives the lines.
pub async fn read(store: &PostgresStore, texts: &[&str]) -> Result<Vec<String>, StoreError> {
    read_until(store, texts, soon()).await
}

pub async fn read_until(store: &PostgresStore, texts: &[&str], deadline: Instant) -> Result<Vec<String>, StoreError> {
    let answer = store.read(prepared(texts), Box::<Lines>::default(), deadline).await;
    let lines = answer.sink.unwrap().into_any().downcast::<Lines>().unwrap().0;
    answer.result.map(|()| lines)
}
