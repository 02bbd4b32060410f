//! Runs prepared plans on a [`Connection`]: the same steps on every store.
//!
//! Absent: transactions (whoever lends the connection has begun one) and the demands on the outcome (the engine's).

mod bind;
mod insert;
mod judge;

pub use bind::{bind_value, cell_value, element_type};

use crate::sql::{ReadStatements, WriteStatements};
use crate::{Act, Connection, ConstraintKind, Flow, Prepared, Statement, Statements, StoreError, schema};
use bind::{Keys, bind, input_row, value_cell};
use judge::{refusal, refused_again, with_noted};
use rustc_hash::FxHashSet;
use std::cmp::Ordering;
use undergird_model::{Kind, Type, Value};
use undergird_plan::function;
use undergird_plan::request::{Aggregate, Count};
use undergird_plan::shape::{Action, Again, Column, Guard, Otherwise, Read, ReadNode, Shape, Write};
use undergird_plan::{Cell, Plan, RowRef, RowSink};

/// Most rows of embedded collections in one answer, all nodes but the root together.
pub const EMBEDDED_ROWS_MAX: usize = 100_000;

/// With `count=estimated`: up to so many rows are counted, beyond them the planner's guess is given.
pub const COUNTED_MAX: u64 = 10_000;

/// Most octets of what a function gives that is called apart, in the store's text.
pub const CALLED_OCTETS_MAX: usize = 64 << 20;

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// Rows made, changed or removed.
    pub affected: u64,
    /// Of these, the ones that an upsert found and changed.
    pub updated: u64,
    /// The keys of the rows, in the order of the input rows (insert) or of the keys (update, delete).
    pub keys: Vec<Vec<Value>>,
}

/// How a write ended when the store itself had nothing against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAnswer {
    /// Done; rows of the representation went to the sink.
    Done(Written),
    /// A guard refused. What was done before in this transaction must be rolled back by whoever called.
    Refused {
        /// Which guard.
        otherwise: Otherwise,
        /// Which input row, for an insert.
        row: Option<usize>,
    },
}

/// Runs a read: each node's statement, root first, and the count.
///
/// # Errors
/// What the store says.
pub async fn read(connection: &mut dyn Connection, query: &Prepared, sink: &mut dyn RowSink) -> Result<(), StoreError> {
    let (Shape::Read(shape), Statements::Read(statements)) = (query.plan.shape().as_ref(), query.statements.as_ref())
    else {
        return Err(StoreError::Internal("a write was given to be read".into()));
    };
    sink.begin(&query.plan);
    let called = match &statements.call {
        Some(statement) => vec![called(connection, &query.plan, statement).await?],
        None => Vec::new(),
    };
    connection.act(Some((&query.plan, Act::Read)))?;
    let answer = read_all(connection, query, (shape, statements), &called, sink).await;
    connection.act(None)?;
    answer
}

/// Each node's statement and the count.
async fn read_all(
    connection: &mut dyn Connection,
    query: &Prepared,
    (shape, statements): (&Read, &ReadStatements),
    called: &[Value],
    sink: &mut dyn RowSink,
) -> Result<(), StoreError> {
    read_nodes(connection, &query.plan, shape, statements, (&[], called), sink).await?;
    let guess = guessed(connection, query, statements).await?;
    // A small guess is easily put right, and a large one is what was asked for.
    let enough = |rows: &u64| shape.count == Some(Count::Planned) || *rows > COUNTED_MAX;
    if let Some(rows) = guess.filter(enough) {
        sink.total(rows);
    } else if let Some(statement) = &statements.count {
        let mut total = 0;
        let values = bind(&query.plan, statement, called, None)?;
        connection
            .query(statement, values, &mut |row| {
                if let Cell::Int(rows) = row.cell(0) {
                    total = u64::try_from(rows).unwrap_or(0);
                }
                Flow::Continue
            })
            .await?;
        sink.total(total);
    }
    Ok(())
}

/// All that a function gives that is called apart, as the store's text.
async fn called(connection: &mut dyn Connection, plan: &Plan, statement: &Statement) -> Result<Value, StoreError> {
    let mut all = Value::Null;
    let values = bind(plan, statement, &[], None)?;
    connection
        .query(statement, values, &mut |row| {
            all = cell_value(row.cell(0));
            Flow::Continue
        })
        .await?;
    match &all {
        Value::Text(text) if text.len() > CALLED_OCTETS_MAX => Err(StoreError::TooLarge),
        _ => Ok(all),
    }
}

/// How many rows the planner guesses, where it is to be asked and answers.
async fn guessed(
    connection: &mut dyn Connection,
    query: &Prepared,
    statements: &ReadStatements,
) -> Result<Option<u64>, StoreError> {
    let Some((planner, statement)) = &statements.estimate else { return Ok(None) };
    let mut rows = None;
    let values = bind(&query.plan, statement, &[], None)?;
    connection
        .query(statement, values, &mut |row| {
            if let Cell::Text(line) = row.cell(0) {
                rows = planner.rows(line);
            }
            Flow::Stop
        })
        .await?;
    Ok(rows)
}

/// What follows a write in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Perhaps more.
    More,
    /// Nothing but its commit, if it changes anything.
    Commit,
}

/// Runs a write: guards, the change, the representation.
///
/// # Errors
/// What the store says.
pub async fn write(
    connection: &mut dyn Connection,
    query: &Prepared,
    sink: Option<&mut dyn RowSink>,
    then: Then,
) -> Result<WriteAnswer, StoreError> {
    let (Shape::Write(shape), Statements::Write(statements)) = (query.plan.shape().as_ref(), query.statements.as_ref())
    else {
        return Err(StoreError::Internal("a read was given to be written".into()));
    };
    let plan = &query.plan;
    if then == Then::Commit && sink.is_none() && is_one_statement(plan, shape, statements) {
        connection.finishing();
    }
    let answer = match &shape.action {
        Action::Insert { .. } => insert::insert(connection, plan, shape, statements, sink).await,
        Action::Update { guards, again, .. } => {
            update(connection, plan, shape, statements, (guards, again), sink).await
        }
        Action::Delete { guards, .. } => delete(connection, plan, shape, statements, guards, sink).await,
    };
    answer.map_err(|error| named(narrowed(error, plan, shape), plan, shape))
}

/// Whether a write without a representation is its main statement and, when that succeeds, nothing else.
fn is_one_statement(plan: &Plan, shape: &Write, statements: &WriteStatements) -> bool {
    match &shape.action {
        Action::Insert { upsert, .. } => plan.input().len() == 1 && upsert.is_none() && statements.after.is_none(),
        Action::Update { .. } | Action::Delete { .. } => {
            let asked = [&statements.guard, &statements.noted, &statements.keys, &statements.again];
            asked.iter().all(|statement| statement.is_none())
        }
    }
}

/// Each node's statement, parents first. `written` are the keys that the root of a representation hangs on, `input` is what a function
/// gave that was called apart.
async fn read_nodes(
    connection: &mut dyn Connection,
    plan: &Plan,
    read: &Read,
    statements: &ReadStatements,
    (written, input): (&[Vec<Value>], &[Value]),
    sink: &mut dyn RowSink,
) -> Result<(), StoreError> {
    let mut keys: Vec<Keys> = read.nodes.iter().map(|_| Keys::default()).collect();
    let mut embedded = 0;
    for (position, (node, statement)) in read.nodes.iter().zip(&statements.nodes).enumerate() {
        if let Some(parent) = &node.parent {
            if parent.node.is_none() {
                keys[position] = Keys::of(written, &parent.columns);
            }
            if keys[position].seen.is_empty() {
                continue;
            }
        }
        let children: Vec<(usize, &[usize])> = read
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(child, node)| {
                node.parent
                    .as_ref()
                    .filter(|parent| parent.node == Some(position))
                    .map(|parent| (child, parent.columns.as_slice()))
            })
            .collect();
        let own_width = node.parent.as_ref().map_or(0, |parent| parent.columns.len());
        // A parent comes before its children, so the keys of this node and those of its children are apart.
        let (own, later) = keys.split_at_mut(position + 1);
        let values = bind(plan, statement, input, own.last())?;
        let mut too_large = false;
        let whole = whole_groups(node);
        let mut answered: FxHashSet<Vec<Value>> = FxHashSet::default();
        connection
            .query(statement, values, &mut |row| {
                if position > 0 {
                    embedded += 1;
                }
                if whole.is_some() {
                    answered.insert((0..own_width).map(|at| cell_value(row.cell(at))).collect());
                }
                for (child, columns) in &children {
                    let key = columns.iter().map(|at| cell_value(row.cell(*at))).collect();
                    if let Some(keys) = child.checked_sub(position + 1).and_then(|at| later.get_mut(at)) {
                        keys.add(key);
                    }
                }
                if embedded > EMBEDDED_ROWS_MAX || sink.row(position, row).is_err() {
                    too_large = true;
                    return Flow::Stop;
                }
                Flow::Continue
            })
            .await?;
        if let Some(nothing) = whole {
            for key in own.last().into_iter().flat_map(|keys| &keys.seen).filter(|key| !answered.contains(*key)) {
                embedded += 1;
                too_large |=
                    embedded > EMBEDDED_ROWS_MAX || sink.row(position, &Nothing { key, rest: &nothing }).is_err();
            }
        }
        if too_large {
            return Err(StoreError::TooLarge);
        }
    }
    Ok(())
}

/// When a node aggregates all rows of a parent into one: what that one is for a parent without rows, after the link. As in SQL without
/// `GROUP BY`, the count of nothing is 0 and everything else of it is null.
fn whole_groups(node: &ReadNode) -> Option<Vec<Value>> {
    let parent = node.parent.as_ref().filter(|parent| parent.node.is_some())?;
    let width = parent.columns.len();
    let by_more = node.group_by.as_ref()?.iter().any(|position| *position >= width);
    if by_more || node.limit.is_some() || node.offset.is_some() {
        return None;
    }
    let nothing = |column: &Column| match column {
        Column::Aggregate(Aggregate::Count, _, Type::Scalar(Kind::Int)) => Value::Int(0),
        Column::Aggregate(Aggregate::Count, _, Type::Scalar(Kind::Float)) => Value::float(0.0),
        Column::Aggregate(Aggregate::Count, _, Type::Scalar(Kind::Bool)) => Value::Bool(false),
        Column::Aggregate(Aggregate::Count, _, Type::Scalar(Kind::Text)) => Value::text("0"),
        Column::Aggregate(Aggregate::Count, _, Type::Scalar(Kind::Json)) => Value::Json("0".into()),
        _ => Value::Null,
    };
    Some(node.columns.iter().skip(width).map(nothing).collect())
}

/// The row of a parent that has none: its key, and what an aggregate of nothing is.
struct Nothing<'a> {
    key: &'a [Value],
    rest: &'a [Value],
}

impl RowRef for Nothing<'_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        self.key.get(index).or_else(|| self.rest.get(index - self.key.len())).map_or(Cell::Null, value_cell)
    }
}

/// The representation of what was written, when somebody wants it.
async fn represent(
    connection: &mut dyn Connection,
    plan: &Plan,
    shape: &Write,
    statements: &WriteStatements,
    keys: &[Vec<Value>],
    sink: Option<&mut dyn RowSink>,
) -> Result<(), StoreError> {
    let Some(sink) = sink else { return Ok(()) };
    sink.begin(plan);
    sink.written(keys);
    match (&shape.returning, &statements.returning) {
        (Some(read), Some(statements)) => {
            connection.act(Some((plan, Act::Read)))?;
            let answer = read_nodes(connection, plan, read, statements, (keys, &[]), sink).await;
            connection.act(None)?;
            answer
        }
        _ => Ok(()),
    }
}

/// Runs a statement that gives keys.
async fn keys_of(
    connection: &mut dyn Connection,
    plan: &Plan,
    statement: &Statement,
    input: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let width = statement.columns.len();
    let mut keys = Vec::new();
    connection
        .query(statement, bind(plan, statement, input, None)?, &mut |row| {
            keys.push((0..width).map(|at| cell_value(row.cell(at))).collect());
            Flow::Continue
        })
        .await?;
    Ok(keys)
}

/// The same of a statement that does for the caller what the plan is for.
async fn keys_of_act(
    connection: &mut dyn Connection,
    (plan, act): (&Plan, Act),
    statement: &Statement,
    input: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    connection.act(Some((plan, act)))?;
    let keys = keys_of(connection, plan, statement, input).await;
    connection.act(None)?;
    keys
}

/// Changes the rows with these locked keys, of which the first `width` columns tell which row and the rest, where there is a rest,
/// what its key becomes: which is then what stands in `keys`.
///
/// # Errors
/// [`StoreError::Conflict`] when a row is no longer one of those to be changed: what its rule leads to has changed meanwhile.
async fn change_locked(
    connection: &mut dyn Connection,
    (plan, act): (&Plan, Act),
    statement: &Statement,
    keys: &mut [Vec<Value>],
    width: usize,
) -> Result<(), StoreError> {
    let mut old = Keys::default();
    for key in keys.iter_mut() {
        let after = key.split_off(width.min(key.len()));
        let before = if after.is_empty() { key.clone() } else { std::mem::replace(key, after) };
        old.add(before);
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut found = 0;
    let values = bind(plan, statement, input_row(plan, 0), Some(&old))?;
    connection.act(Some((plan, act)))?;
    let changed = connection
        .query(statement, values, &mut |_| {
            found += 1;
            Flow::Continue
        })
        .await;
    connection.act(None)?;
    let changed = changed?;
    let changed = if statement.writes { changed } else { found };
    if changed == keys.len() as u64 { Ok(()) } else { Err(StoreError::Conflict) }
}

async fn update(
    connection: &mut dyn Connection,
    plan: &Plan,
    shape: &Write,
    statements: &WriteStatements,
    (guards, again): (&[Guard], &Again),
    sink: Option<&mut dyn RowSink>,
) -> Result<WriteAnswer, StoreError> {
    let act = Act::Update(shape.collection);
    if let Some(refused) = refusal(connection, plan, statements.guard.as_ref(), guards).await? {
        return Ok(refused);
    }
    // What is noted is of the rows as they are when they are changed: where they are locked, not before.
    let mut keys = match &statements.keys {
        None => Vec::new(),
        Some(locked) => sorted(keys_of_act(connection, (plan, act), locked, input_row(plan, 0)).await?),
    };
    let noted = match &statements.noted {
        None => Vec::new(),
        Some(statement) => keys_of(connection, plan, statement, input_row(plan, 0)).await?,
    };
    match &statements.keys {
        // In order, since a store gives what it changed in the order in which it came upon it.
        None => keys = sorted(keys_of_act(connection, (plan, act), &statements.main, input_row(plan, 0)).await?),
        Some(_) => {
            let width = plan.model().collection(shape.collection).key.len();
            change_locked(connection, (plan, act), &statements.main, &mut keys, width).await?;
        }
    }
    let changed = with_noted(noted, &keys, again)?;
    if let Some((otherwise, _)) = refused_again(connection, plan, shape, statements, again, &changed).await? {
        return Ok(WriteAnswer::Refused { otherwise, row: None });
    }
    represent(connection, plan, shape, statements, &keys, sink).await?;
    Ok(WriteAnswer::Done(Written { affected: keys.len() as u64, updated: 0, keys }))
}

async fn delete(
    connection: &mut dyn Connection,
    plan: &Plan,
    shape: &Write,
    statements: &WriteStatements,
    guards: &[Guard],
    sink: Option<&mut dyn RowSink>,
) -> Result<WriteAnswer, StoreError> {
    let act = Act::Delete(shape.collection);
    if let Some(refused) = refusal(connection, plan, statements.guard.as_ref(), guards).await? {
        return Ok(refused);
    }
    // The representation of what goes can only be read while it is there.
    let Some(statement) = &statements.keys else {
        let keys = sorted(keys_of_act(connection, (plan, act), &statements.main, &[]).await?);
        represent(connection, plan, shape, statements, &keys, sink).await?;
        return Ok(WriteAnswer::Done(Written { affected: keys.len() as u64, updated: 0, keys }));
    };
    let mut keys = sorted(keys_of_act(connection, (plan, act), statement, &[]).await?);
    represent(connection, plan, shape, statements, &keys, sink).await?;
    let affected = if statements.main.columns.is_empty() {
        let width = plan.model().collection(shape.collection).key.len();
        change_locked(connection, (plan, act), &statements.main, &mut keys, width).await?;
        keys.len()
    } else {
        keys_of_act(connection, (plan, act), &statements.main, &[]).await?.len()
    };
    Ok(WriteAnswer::Done(Written { affected: affected as u64, updated: 0, keys }))
}

/// Keys in their order.
fn sorted(mut keys: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    keys.sort_by(|a, b| {
        let each = a.iter().zip(b).filter_map(|(a, b)| function::order(a, b));
        each.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    keys
}

/// A value that is too long or out of range, in a write: the column of an adopted table may be narrower than its field, which is a
/// constraint like any other. What a function is given is another matter, and stays what the database raised.
fn narrowed(error: StoreError, plan: &Plan, shape: &Write) -> StoreError {
    match error {
        StoreError::Raised(raised) if raised.said.is_none() && matches!(raised.state.as_str(), "22001" | "22003") => {
            let table = plan.model().collection(shape.collection).table.clone();
            StoreError::Constraint { kind: ConstraintKind::Check, table, name: None, columns: Vec::new() }
        }
        other => other,
    }
}

/// A constraint in the same words on every store, whatever this one's server tells: what is unique by its columns, a check by its name,
/// a reference not at all (not every store knows which one it was, and it may be that of a collection that the caller knows nothing of).
fn named(error: StoreError, plan: &Plan, shape: &Write) -> StoreError {
    let StoreError::Constraint { kind, table, name, columns } = error else { return error };
    let own = &plan.model().collection(shape.collection).table;
    let is_own = table.is_empty() || table.eq_ignore_ascii_case(own);
    let (name, columns) = match kind {
        ConstraintKind::ForeignKey => (None, Vec::new()),
        _ if !is_own => (None, Vec::new()),
        ConstraintKind::Unique if columns.is_empty() => {
            match name.as_deref().and_then(|name| unique_columns(plan, own, name)) {
                Some(columns) => (None, columns),
                None => (name, columns),
            }
        }
        ConstraintKind::Unique => (None, columns),
        ConstraintKind::Check | ConstraintKind::NotNull => (name, columns),
    };
    StoreError::Constraint { kind, table: own.clone(), name, columns }
}

/// The columns of a unique index, or of the key, by what stores call it when nobody named it.
fn unique_columns(plan: &Plan, table: &str, name: &str) -> Option<Vec<String>> {
    let schema = schema::wanted(plan.model());
    let table = schema.table(table)?;
    let index = table.indexes.iter().find(|index| index.name == name);
    if index.is_none() && (name == "PRIMARY" || name.ends_with("_pkey")) {
        return Some(table.key.clone());
    }
    Some(index?.columns.iter().map(|column| column.name.clone()).collect())
}
