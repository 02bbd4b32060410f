//! The driver on a real database: a model, its tables, plans, rows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod disk;
mod first;
mod folding;
mod others;
mod pairs;
mod plans;
mod sharing;
mod stopping;
mod text;
mod writing;

use crate::{DIALECT, Options, SqliteStore};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::field_type::wire;
use undergird_model::{Model, Source, Type, Value, definition};
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Plan, Request, RowRef, RowSink, authorize};
use undergird_store::run::{self, WriteAnswer, cell_value};
use undergird_store::{
    Connection, Decision, Flow, Isolation, Prepared, Statement, Statements, Store, StoreError, Work, WorkAnswer,
    schema, sql,
};

pub const BLOG: &[(&str, &str)] = &[
    ("models/users.toml", "[fields]\nname = { type = \"text\", max = 20 }\n"),
    (
        "models/posts.toml",
        "[fields]\n\
         title = { type = \"text\", min = 1, max = 100 }\n\
         slug = { type = \"text\", unique = true }\n\
         status = { type = \"enum\", values = [\"draft\", \"published\"], default = \"draft\" }\n\
         author_id = { type = \"ref\", to = \"users\", optional = true }\n",
    ),
];

pub fn model(files: &[(&str, &str)]) -> Arc<Model> {
    let mut sources = vec![Source { name: "undergird.toml".into(), text: "name = \"test\"\n".into() }];
    sources.extend(files.iter().map(|(path, text)| Source { name: (*path).into(), text: (*text).into() }));
    let (model, diagnostics) = definition::check(&sources, &[]);
    Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

pub fn secret() -> Caller {
    // Entropy from the clock: rows of one test must have keys of their own.
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    Caller::secret(Moment {
        now: 1_700_000_000_000_000,
        entropy: nanos.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
    })
}

pub fn prepared(model: &Arc<Model>, request: &Request) -> Prepared {
    let plan = authorize(model, &secret(), request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let statements = Arc::new(sql::write(model, plan.shape(), &DIALECT));
    Prepared { plan, statements }
}

pub async fn open(url: &str, model: &Model) -> Arc<SqliteStore> {
    let store = SqliteStore::open(url, &Options::default()).unwrap();
    let wanted = schema::wanted(model);
    let applied = store.schema().await.unwrap();
    store.migrate(&schema::steps(applied.as_ref(), &wanted), &wanted).await.unwrap();
    store
}

/// Rows as lines: node, then cells in the wire form.
#[derive(Default)]
pub struct Lines {
    pub lines: Vec<String>,
    pub keys: Vec<Vec<Value>>,
    widths: Vec<usize>,
}

impl RowSink for Lines {
    fn begin(&mut self, plan: &Plan) {
        let nodes = plan.shape().read().map_or(&[][..], |read| &read.nodes);
        *self = Lines { widths: nodes.iter().map(|node| node.columns.len()).collect(), ..Lines::default() };
    }

    fn row(&mut self, node: usize, row: &dyn RowRef) -> Result<(), undergird_plan::rows::Overflow> {
        let cells: Vec<String> = (0..self.widths[node]).map(|at| wire::to_json(&cell_value(row.cell(at)))).collect();
        self.lines.push(format!("{node}: {}", cells.join(" ")));
        Ok(())
    }

    fn written(&mut self, keys: &[Vec<Value>]) {
        self.keys = keys.to_vec();
    }

    fn total(&mut self, rows: u64) {
        self.lines.push(format!("total {rows}"));
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

pub async fn try_read(store: &dyn Store, query: Prepared, deadline: Instant) -> Result<Vec<String>, StoreError> {
    let answer = store.read(query, Box::<Lines>::default(), deadline).await;
    answer.result?;
    Ok(answer.sink.unwrap().into_any().downcast::<Lines>().unwrap().lines)
}

/// The rows of a read.
pub async fn read(store: &dyn Store, model: &Arc<Model>, request: &Request) -> Vec<String> {
    try_read(store, prepared(model, request), soon()).await.unwrap()
}

/// Runs a write and gives its answer with the representation.
struct Change {
    query: Prepared,
}

impl Work for Change {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let mut lines = Lines::default();
            let answer =
                undergird_store::run::write(connection, &self.query, Some(&mut lines), run::Then::More).await?;
            let decision = match answer {
                WriteAnswer::Done(_) => Decision::Commit,
                WriteAnswer::Refused { .. } => Decision::Rollback,
            };
            Ok(WorkAnswer { decision, value: Box::new((answer, lines)) })
        })
    }
}

/// A write in a transaction of its own.
pub async fn write(
    store: &dyn Store,
    model: &Arc<Model>,
    request: &Request,
) -> Result<(WriteAnswer, Vec<String>), StoreError> {
    let work = Change { query: prepared(model, request) };
    let answer = store.transaction(Box::new(work), Isolation::Committed, soon()).await?;
    let (answer, lines) = *answer.value.downcast::<(WriteAnswer, Lines)>().unwrap();
    Ok((answer, lines.lines))
}

/// A statement that no plan made, for what only the driver is asked.
pub fn statement(text: &str, columns: &[Type]) -> Statement {
    let writes = !text.starts_with("SELECT") && !text.starts_with("WITH");
    Statement { text: text.into(), binds: Vec::new(), columns: columns.to_vec(), writes, identity: false, lacks: None }
}

/// Runs a statement and gives the first cell of each row.
pub fn run(connection: &mut dyn Connection, text: &str) -> Result<Vec<Value>, StoreError> {
    let statement = statement(text, &[Type::INT]);
    let mut values = Vec::new();
    connection
        .query(&statement, Vec::new(), &mut |row| {
            values.push(cell_value(row.cell(0)));
            Flow::Continue
        })
        .now_or_never()
        .unwrap()?;
    Ok(values)
}

/// Work that a closure does.
pub struct Does<F>(pub F);

impl<F> Work for Does<F>
where
    F: FnMut(&mut dyn Connection) -> Result<Decision, StoreError> + Send + 'static,
{
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        let answer = (self.0)(connection).map(|decision| WorkAnswer { decision, value: Box::new(()) });
        Box::pin(std::future::ready(answer))
    }
}

/// A transaction of statements.
pub async fn transact(
    store: &SqliteStore,
    deadline: Instant,
    f: impl FnMut(&mut dyn Connection) -> Result<Decision, StoreError> + Send + 'static,
) -> Result<Decision, StoreError> {
    store.transaction(Box::new(Does(f)), Isolation::Committed, deadline).await.map(|answer| answer.decision)
}

/// Statements of one moment.
pub async fn snapshot(
    store: &SqliteStore,
    f: impl FnMut(&mut dyn Connection) -> Result<Decision, StoreError> + Send + 'static,
) -> Result<Decision, StoreError> {
    store.transaction(Box::new(Does(f)), Isolation::Snapshot, soon()).await.map(|answer| answer.decision)
}

/// One number from the database.
pub async fn number(store: &SqliteStore, text: &'static str) -> i64 {
    let found = Arc::new(Mutex::new(0));
    let into = Arc::clone(&found);
    transact(store, soon(), move |connection| {
        if let Some(Value::Int(number)) = run(connection, text)?.first() {
            *into.lock() = *number;
        }
        Ok(Decision::Rollback)
    })
    .await
    .unwrap();
    i64::clone(&found.lock())
}

/// A store with a table `t (n INTEGER PRIMARY KEY, v INTEGER)`.
pub async fn plain(url: &str, options: &Options) -> Arc<SqliteStore> {
    let store = SqliteStore::open(url, options).unwrap();
    transact(&store, soon(), |connection| {
        run(connection, "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, v INTEGER CHECK (v <> 13)) STRICT")?;
        Ok(Decision::Commit)
    })
    .await
    .unwrap();
    store
}

/// A read of the blog's users whose statement is replaced.
pub fn read_of(text: &str) -> Prepared {
    let mut query = prepared(&model(BLOG), &Request::new("users", undergird_plan::request::Verb::Read));
    let Statements::Read(read) = query.statements.as_ref() else { panic!("a read") };
    let mut read = read.clone();
    let columns = vec![Type::INT; read.nodes[0].columns.len()];
    read.nodes = vec![statement(text, &columns)];
    read.count = None;
    query.statements = Arc::new(Statements::Read(read));
    query
}
