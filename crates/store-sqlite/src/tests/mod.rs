//! The driver on a real database: a model, its tables, plans, rows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod first;

use crate::{DIALECT, Options, SqliteStore};
use futures_util::future::BoxFuture;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::field_type::wire;
use undergird_model::{Model, Source, Value, definition};
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Plan, Request, RowRef, RowSink, authorize};
use undergird_store::run::{self, WriteAnswer, cell_value};
use undergird_store::{Connection, Decision, Prepared, Store, StoreError, Work, WorkAnswer, schema, sql};

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
            let answer = run::write(connection, &self.query, Some(&mut lines)).await?;
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
    let answer = store.transaction(Box::new(work), soon()).await?;
    let (answer, lines) = *answer.value.downcast::<(WriteAnswer, Lines)>().unwrap();
    Ok((answer, lines.lines))
}
