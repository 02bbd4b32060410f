//! Statements and transactions written by hand, for the tests of drivers: what no plan makes, a driver must stand too.
//!
//! Absent: servers and their databases, which are the stores' own. Compiled for tests alone, as it passes over authorization.
#![allow(clippy::unwrap_used, reason = "for tests")]

use super::parse_request;
use crate::run::cell_value;
use crate::sql::ReadStatements;
use crate::{
    Bound, Connection, Decision, Flow, Isolation, Prepared, Statement, Statements, Store, StoreError, Work, WorkAnswer,
};
use futures_util::future::BoxFuture;
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::field_type::wire;
use undergird_model::{Model, Source, Type, Value, definition};
use undergird_plan::caller::Moment;
use undergird_plan::rows::Overflow;
use undergird_plan::{Caller, Plan, RowRef, RowSink, authorize};

/// A deadline that no test comes near.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A statement without parameters of a plan's; its `columns` are what it gives.
pub fn statement(text: &str, columns: &[Type], writes: bool) -> Statement {
    Statement { text: text.into(), binds: Vec::new(), columns: columns.to_vec(), writes, identity: false, lacks: None }
}

/// A number as a parameter.
pub fn int(number: i64) -> Bound<'static> {
    Bound::Value(Type::INT, Cow::Owned(Value::Int(number)))
}

/// A text as a parameter.
pub fn text(text: &str) -> Bound<'static> {
    Bound::Value(Type::TEXT, Cow::Owned(Value::text(text)))
}

/// The rows of a statement.
///
/// # Errors
/// What the store says.
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

/// The one number that a statement gives.
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

/// The end of work whose effects stay.
pub fn commit<T: Any + Send>(value: T) -> Result<WorkAnswer, StoreError> {
    Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(value) })
}

/// Does something in a transaction, and gives its value.
pub async fn transact<T: Any, F>(
    store: &Arc<impl Store + ?Sized>,
    isolation: Isolation,
    work: F,
) -> Result<T, StoreError>
where
    F: for<'a> FnMut(&'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> + Send + 'static,
{
    transact_until(store, isolation, soon(), work).await
}

/// The same until a deadline.
pub async fn transact_until<T: Any, F>(
    store: &Arc<impl Store + ?Sized>,
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

/// Rows as lines: their node, then their first cell in the wire form. Takes ten.
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
    let request = parse_request("GET a?select=n").unwrap();
    let caller = Caller::secret(Moment { now: 1_700_000_000_000_000, entropy: 1 << 80 });
    let plan = authorize(&model, &caller, &request).unwrap();
    let mut nodes: Vec<Statement> = texts.iter().map(|text| statement(text, &[Type::INT], false)).collect();
    let count = (nodes.len() > 1).then(|| nodes.pop().unwrap());
    Prepared {
        plan,
        statements: Arc::new(Statements::Read(ReadStatements {
            call: None,
            nodes,
            count,
            estimate: None,
            shared: false,
        })),
    }
}

/// Reads, and gives the lines.
pub async fn read(store: &Arc<impl Store + ?Sized>, texts: &[&str]) -> Result<Vec<String>, StoreError> {
    read_until(store, texts, soon()).await
}

/// The same until a deadline.
pub async fn read_until(
    store: &Arc<impl Store + ?Sized>,
    texts: &[&str],
    deadline: Instant,
) -> Result<Vec<String>, StoreError> {
    let answer = store.read(prepared(texts), Box::<Lines>::default(), deadline).await;
    let lines = answer.sink.unwrap().into_any().downcast::<Lines>().unwrap().0;
    answer.result.map(|()| lines)
}
