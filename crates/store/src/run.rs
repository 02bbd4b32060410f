//! Runs prepared plans on a [`Connection`]: the same steps on every store.
//!
//! Absent: transactions (whoever lends the connection has begun one) and the demands on the outcome (the engine's).

use crate::sql::{ReadStatements, WriteStatements, pattern};
use crate::{Bind, Bound, Connection, ConstraintKind, Flow, Prepared, Statement, Statements, StoreError, schema};
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::cmp::Ordering;
use undergird_model::{FieldId, Kind, Type, Value};
use undergird_plan::evaluate::{Bindings, RowWorld, evaluate};
use undergird_plan::function;
use undergird_plan::request::{Aggregate, Count};
use undergird_plan::shape::{Action, Again, Column, Guard, Otherwise, Read, ReadNode, Shape, Write};
use undergird_plan::{Cell, Plan, RowRef, RowSink};

/// Most rows of embedded collections in one answer, all nodes but the root together.
pub const EMBEDDED_ROWS_MAX: usize = 100_000;

/// With `count=estimated`: up to so many rows are counted, beyond them the planner's guess is given.
pub const COUNTED_MAX: u64 = 10_000;

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
    read_nodes(connection, &query.plan, shape, statements, &[], sink).await?;
    let guess = guessed(connection, query, statements).await?;
    // A small guess is easily put right, and a large one is what was asked for.
    let enough = |rows: &u64| shape.count == Some(Count::Planned) || *rows > COUNTED_MAX;
    if let Some(rows) = guess.filter(enough) {
        sink.total(rows);
    } else if let Some(statement) = &statements.count {
        let mut total = 0;
        let values = bind(&query.plan, statement, &[], None)?;
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
        Action::Insert { .. } => insert(connection, plan, shape, statements, sink).await,
        Action::Update { guards, again, .. } => {
            update(connection, plan, shape, statements, (guards, again), sink).await
        }
        Action::Delete { guards, .. } => delete(connection, plan, shape, statements, guards, sink).await,
    };
    answer.map_err(|error| named(error, plan, shape))
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

/// The value of a bind that is not a list of keys, for one input row.
///
/// # Errors
/// [`StoreError::TooLarge`] when computing it takes too many steps.
pub fn bind_value(plan: &Plan, bind: &Bind, input: &[Value]) -> Result<Value, StoreError> {
    Ok(bound_value(plan, bind, input)?.into_owned())
}

/// Keys of parent rows, by column, each combination once.
#[derive(Default)]
struct Keys {
    columns: Vec<Vec<Value>>,
    seen: FxHashSet<Vec<Value>>,
}

impl Keys {
    /// Keeps a key, unless part of it is null (nothing hangs on that) or it is there already.
    fn add(&mut self, key: Vec<Value>) {
        if key.iter().any(Value::is_null) || self.seen.contains(&key) {
            return;
        }
        self.columns.resize_with(key.len(), Vec::new);
        for (column, value) in self.columns.iter_mut().zip(&key) {
            column.push(value.clone());
        }
        self.seen.insert(key);
    }

    /// The keys as rows.
    fn rows(&self) -> Vec<Value> {
        let count = self.columns.first().map_or(0, Vec::len);
        let row =
            |at| Value::List(self.columns.iter().filter_map(|column: &Vec<Value>| column.get(at).cloned()).collect());
        (0..count).map(row).collect()
    }

    fn of(keys: &[Vec<Value>], positions: &[usize]) -> Keys {
        let mut all = Keys::default();
        for key in keys {
            all.add(positions.iter().map(|at| key.get(*at).cloned().unwrap_or(Value::Null)).collect());
        }
        all
    }
}

/// Each node's statement, parents first. `written` are the keys that the root of a representation hangs on.
async fn read_nodes(
    connection: &mut dyn Connection,
    plan: &Plan,
    read: &Read,
    statements: &ReadStatements,
    written: &[Vec<Value>],
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
        let values = bind(plan, statement, &[], own.last())?;
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

/// A value as a cell. Keys and counts are scalars: a list is not one.
fn value_cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null | Value::Duration(_) | Value::List(_) => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(value) => Cell::Int(*value),
        Value::Float(value) => Cell::Float(value.get()),
        Value::Decimal(value) => Cell::Decimal(*value),
        Value::Text(value) => Cell::Text(value),
        Value::Uuid(value) => Cell::Uuid(*value),
        Value::Timestamp(value) => Cell::Timestamp(*value),
        Value::Date(value) => Cell::Date(*value),
        Value::Time(value) => Cell::Time(*value),
        Value::Json(value) => Cell::Json(value),
        Value::Bytes(value) => Cell::Bytes(value),
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
        (Some(read), Some(statements)) => read_nodes(connection, plan, read, statements, keys, sink).await,
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

/// Changes the rows with these locked keys, of which the first `width` columns tell which row and the rest, where there is a rest,
/// what its key becomes: which is then what stands in `keys`.
///
/// # Errors
/// [`StoreError::Conflict`] when a row is no longer one of those to be changed: what its rule leads to has changed meanwhile.
async fn change_locked(
    connection: &mut dyn Connection,
    plan: &Plan,
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
    let changed = connection
        .query(statement, values, &mut |_| {
            found += 1;
            Flow::Continue
        })
        .await?;
    let changed = if statement.writes { changed } else { found };
    if changed == keys.len() as u64 { Ok(()) } else { Err(StoreError::Conflict) }
}

/// The guard that the first offending row fails, if there is one.
async fn refusal(
    connection: &mut dyn Connection,
    plan: &Plan,
    statement: Option<&Statement>,
    guards: &[Guard],
) -> Result<Option<WriteAnswer>, StoreError> {
    let Some(statement) = statement else { return Ok(None) };
    let mut failed = None;
    connection
        .query(statement, bind(plan, statement, input_row(plan, 0), None)?, &mut |row| {
            failed = first_failed(row, 0, guards);
            Flow::Stop
        })
        .await?;
    Ok(failed.map(|otherwise| WriteAnswer::Refused { otherwise, row: None }))
}

fn first_failed(row: &dyn RowRef, from: usize, guards: &[Guard]) -> Option<Otherwise> {
    guards.iter().enumerate().find(|(at, _)| row.cell(from + at) != Cell::Bool(true)).map(|(_, guard)| guard.otherwise)
}

fn input_row(plan: &Plan, at: usize) -> &[Value] {
    plan.input().get(at).map_or(&[], Vec::as_slice)
}

async fn update(
    connection: &mut dyn Connection,
    plan: &Plan,
    shape: &Write,
    statements: &WriteStatements,
    (guards, again): (&[Guard], &Again),
    sink: Option<&mut dyn RowSink>,
) -> Result<WriteAnswer, StoreError> {
    if let Some(refused) = refusal(connection, plan, statements.guard.as_ref(), guards).await? {
        return Ok(refused);
    }
    let noted = match &statements.noted {
        None => Vec::new(),
        Some(statement) => keys_of(connection, plan, statement, input_row(plan, 0)).await?,
    };
    let keys = match &statements.keys {
        // In order, since a store gives what it changed in the order in which it came upon it.
        None => sorted(keys_of(connection, plan, &statements.main, input_row(plan, 0)).await?),
        Some(locked) => {
            let mut keys = keys_of(connection, plan, locked, input_row(plan, 0)).await?;
            let width = plan.model().collection(shape.collection).key.len();
            change_locked(connection, plan, &statements.main, &mut keys, width).await?;
            keys
        }
    };
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
    if let Some(refused) = refusal(connection, plan, statements.guard.as_ref(), guards).await? {
        return Ok(refused);
    }
    // The representation of what goes can only be read while it is there.
    let Some(statement) = &statements.keys else {
        let keys = sorted(keys_of(connection, plan, &statements.main, &[]).await?);
        represent(connection, plan, shape, statements, &keys, sink).await?;
        return Ok(WriteAnswer::Done(Written { affected: keys.len() as u64, updated: 0, keys }));
    };
    let mut keys = sorted(keys_of(connection, plan, statement, &[]).await?);
    represent(connection, plan, shape, statements, &keys, sink).await?;
    let affected = if statements.main.columns.is_empty() {
        let width = plan.model().collection(shape.collection).key.len();
        change_locked(connection, plan, &statements.main, &mut keys, width).await?;
        keys.len()
    } else {
        keys_of(connection, plan, &statements.main, &[]).await?.len()
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

/// How one input row ended.
enum Outcome {
    Made(Vec<Value>),
    /// Its key, and what was noted of it before.
    Changed(Vec<Value>, Vec<Value>),
    Ignored,
    Refused(Otherwise),
}

async fn insert(
    connection: &mut dyn Connection,
    plan: &Plan,
    shape: &Write,
    statements: &WriteStatements,
    sink: Option<&mut dyn RowSink>,
) -> Result<WriteAnswer, StoreError> {
    let Action::Insert { guards, upsert } = &shape.action else {
        return Err(StoreError::Internal("not an insert".into()));
    };
    let key = &plan.model().collection(shape.collection).key;
    let key_inputs: Vec<Option<usize>> =
        key.iter().map(|field| shape.inputs.iter().position(|input| input == field)).collect();
    let mut written = Written::default();
    let mut made: Vec<(Vec<Value>, usize)> = Vec::new();
    let mut changed: Vec<Changed> = Vec::new();
    for (row, input) in plan.input().iter().enumerate() {
        let found = match (upsert, &statements.lookup) {
            (Some(upsert), Some(lookup)) => {
                upsert_found(connection, plan, key.len(), upsert, lookup, statements.update.as_ref(), input).await?
            }
            _ => None,
        };
        let outcome = match found {
            // The create rule decides whether there is anything to be ignored: else the answer would tell who may not make the row
            // that it is there.
            Some(Outcome::Ignored) => match refused_before(connection, plan, statements, guards, input).await? {
                Some(otherwise) => Outcome::Refused(otherwise),
                None => Outcome::Ignored,
            },
            Some(outcome) => outcome,
            None => match insert_row(connection, plan, &statements.main, &key_inputs, input).await {
                Ok(key) => Outcome::Made(key),
                // Rules come before constraints: whoever may not make the row must not learn what stands in its way.
                Err(error @ StoreError::Constraint { .. }) => {
                    if let Some(after) = &statements.after
                        && let Some((otherwise, row)) =
                            refused_after(connection, plan, (after, guards), &made, key, &[]).await?
                    {
                        return Ok(WriteAnswer::Refused { otherwise, row: Some(row) });
                    }
                    match refused_before(connection, plan, statements, guards, input).await? {
                        Some(otherwise) => Outcome::Refused(otherwise),
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            },
        };
        match outcome {
            Outcome::Made(key) => {
                if statements.after.is_some() {
                    made.push((key.clone(), row));
                }
                written.keys.push(key);
            }
            Outcome::Changed(key, noted) => {
                if statements.again.is_some() {
                    changed.push(Changed { key: key.clone(), row, noted });
                }
                written.updated += 1;
                written.keys.push(key);
            }
            Outcome::Ignored => {}
            Outcome::Refused(otherwise) => return Ok(WriteAnswer::Refused { otherwise, row: Some(row) }),
        }
    }
    written.affected = written.keys.len() as u64;
    if let Some(after) = &statements.after
        && let Some((otherwise, row)) = refused_after(connection, plan, (after, guards), &made, key, &[]).await?
    {
        return Ok(WriteAnswer::Refused { otherwise, row: Some(row) });
    }
    if let Some(upsert) = upsert
        && let Some((otherwise, row)) =
            refused_again(connection, plan, shape, statements, &upsert.again, &changed).await?
    {
        return Ok(WriteAnswer::Refused { otherwise, row: Some(row) });
    }
    represent(connection, plan, shape, statements, &written.keys, sink).await?;
    Ok(WriteAnswer::Done(written))
}

/// Makes one row and gives its key.
async fn insert_row(
    connection: &mut dyn Connection,
    plan: &Plan,
    statement: &Statement,
    key_inputs: &[Option<usize>],
    input: &[Value],
) -> Result<Vec<Value>, StoreError> {
    let returned = keys_of(connection, plan, statement, input).await?;
    if statement.identity {
        // What the row brought along is its key, and what it left to the database is what the database tells.
        let made = returned.into_iter().next().and_then(|row| row.into_iter().next()).unwrap_or(Value::Null);
        let given = key_inputs.iter().map(|at| at.and_then(|at| input.get(at)).filter(|value| !value.is_null()));
        return Ok(given.map(|value| value.unwrap_or(&made).clone()).collect());
    }
    Ok(match returned.into_iter().next() {
        Some(key) => key,
        None => key_inputs.iter().map(|at| at.and_then(|at| input.get(at)).cloned().unwrap_or(Value::Null)).collect(),
    })
}

/// What becomes of the row that is there already; `None` when none is.
async fn upsert_found(
    connection: &mut dyn Connection,
    plan: &Plan,
    key_width: usize,
    upsert: &undergird_plan::shape::Upsert,
    lookup: &Statement,
    update: Option<&Statement>,
    input: &[Value],
) -> Result<Option<Outcome>, StoreError> {
    let mut found = None;
    connection
        .query(lookup, bind(plan, lookup, input, None)?, &mut |row| {
            let key: Vec<Value> = (0..key_width).map(|at| cell_value(row.cell(at))).collect();
            let first = key_width + upsert.guards.len();
            let noted = (first..first + upsert.again.noted.len()).map(|at| cell_value(row.cell(at))).collect();
            found = Some((key, first_failed(row, key_width, &upsert.guards), noted));
            Flow::Stop
        })
        .await?;
    let Some((key, failed, noted)) = found else { return Ok(None) };
    if upsert.ignore {
        return Ok(Some(Outcome::Ignored));
    }
    if let Some(otherwise) = failed {
        return Ok(Some(Outcome::Refused(otherwise)));
    }
    let Some(update) = update else { return Ok(Some(Outcome::Changed(key, noted))) };
    let (mut returned, mut found) = (None, 0);
    let width = update.columns.len();
    let values = bind(plan, update, input, None)?;
    let affected = connection
        .query(update, values, &mut |row| {
            found += 1;
            returned = Some((0..width).map(|at| cell_value(row.cell(at))).collect::<Vec<_>>());
            Flow::Continue
        })
        .await?;
    // The guards are asked in the change itself: a row that another has changed since it was found may pass no more.
    if if update.writes && width == 0 { affected } else { found } != 1 {
        return Err(StoreError::Conflict);
    }
    Ok(Some(Outcome::Changed(returned.filter(|key| !key.is_empty()).unwrap_or(key), noted)))
}

/// The guard that an input row would fail if it were there.
async fn refused_before(
    connection: &mut dyn Connection,
    plan: &Plan,
    statements: &WriteStatements,
    guards: &[Guard],
    input: &[Value],
) -> Result<Option<Otherwise>, StoreError> {
    let Some(before) = &statements.before else { return Ok(None) };
    let mut failed = None;
    connection
        .query(before, bind(plan, before, input, None)?, &mut |row| {
            failed = first_failed(row, 0, guards);
            Flow::Stop
        })
        .await?;
    Ok(failed)
}

/// The guard that the first offending one of the made rows fails, and which input row that is.
async fn refused_after(
    connection: &mut dyn Connection,
    plan: &Plan,
    (statement, guards): (&Statement, &[Guard]),
    made: &[(Vec<Value>, usize)],
    key: &[FieldId],
    input: &[Value],
) -> Result<Option<(Otherwise, usize)>, StoreError> {
    if made.is_empty() {
        return Ok(None);
    }
    let mut keys = Keys::default();
    for (key, _) in made {
        keys.add(key.clone());
    }
    let mut first: Option<(Otherwise, usize)> = None;
    let mut offenders: Vec<(Vec<Value>, Otherwise)> = Vec::new();
    connection
        .query(statement, bind(plan, statement, input, Some(&keys))?, &mut |row| {
            if let Some(otherwise) = first_failed(row, 0, guards) {
                let key = (0..key.len()).map(|at| cell_value(row.cell(guards.len() + at))).collect();
                offenders.push((key, otherwise));
            }
            Flow::Continue
        })
        .await?;
    for (key, otherwise) in offenders {
        let row = made.iter().find(|(made, _)| *made == key).map_or(0, |(_, row)| *row);
        if first.is_none_or(|(_, earlier)| row < earlier) {
            first = Some((otherwise, row));
        }
    }
    Ok(first)
}

/// A row that was changed.
struct Changed {
    key: Vec<Value>,
    /// By which input row.
    row: usize,
    /// What was noted of it before.
    noted: Vec<Value>,
}

/// The changed rows with what was noted of each: a key as it will be, and behind it the notes.
fn with_noted(noted: Vec<Vec<Value>>, keys: &[Vec<Value>], again: &Again) -> Result<Vec<Changed>, StoreError> {
    if again.guards.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_key: FxHashMap<Vec<Value>, Vec<Value>> = FxHashMap::default();
    for mut row in noted {
        let notes = row.split_off(row.len().saturating_sub(again.noted.len()));
        by_key.insert(row, notes);
    }
    let changed = keys.iter().map(|key| {
        let noted = match by_key.remove(key) {
            Some(noted) => noted,
            None if again.noted.is_empty() => Vec::new(),
            // Another has made it one of these rows since.
            None => return Err(StoreError::Conflict),
        };
        Ok(Changed { key: key.clone(), row: 0, noted })
    });
    changed.collect()
}

/// The guard that a changed row fails as it has become, and which input row that is.
async fn refused_again(
    connection: &mut dyn Connection,
    plan: &Plan,
    shape: &Write,
    statements: &WriteStatements,
    again: &Again,
    changed: &[Changed],
) -> Result<Option<(Otherwise, usize)>, StoreError> {
    let Some(statement) = &statements.again else { return Ok(None) };
    let key = &plan.model().collection(shape.collection).key;
    let question = (statement, again.guards.as_slice());
    if again.noted.is_empty() {
        let rows: Vec<(Vec<Value>, usize)> = changed.iter().map(|one| (one.key.clone(), one.row)).collect();
        return refused_after(connection, plan, question, &rows, key, &[]).await;
    }
    for one in changed {
        let row = [(one.key.clone(), one.row)];
        if let Some(refused) = refused_after(connection, plan, question, &row, key, &one.noted).await? {
            return Ok(Some(refused));
        }
    }
    Ok(None)
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

/// The columns of a unique index, or of the key where a store calls it `PRIMARY`.
fn unique_columns(plan: &Plan, table: &str, name: &str) -> Option<Vec<String>> {
    let schema = schema::wanted(plan.model());
    let table = schema.table(table)?;
    if name == "PRIMARY" {
        return Some(table.key.clone());
    }
    let index = table.indexes.iter().find(|index| index.name == name)?;
    Some(index.columns.iter().map(|column| column.name.clone()).collect())
}

fn bind<'a>(
    plan: &'a Plan,
    statement: &'a Statement,
    input: &'a [Value],
    keys: Option<&'a Keys>,
) -> Result<Vec<Bound<'a>>, StoreError> {
    if let Some(capability) = statement.lacks {
        return Err(StoreError::Unsupported(capability));
    }
    let mut bound = Vec::with_capacity(statement.binds.len());
    for (ty, bind) in &statement.binds {
        bound.push(match bind {
            Bind::SlotList(slot) => Bound::List(*ty, list(plan.params().get(usize::from(slot.0)))),
            Bind::Keys(column) => {
                let column = keys.and_then(|keys| keys.columns.get(*column)).map_or(&[][..], Vec::as_slice);
                Bound::List(*ty, Cow::Borrowed(column))
            }
            Bind::KeyRows => Bound::List(*ty, Cow::Owned(keys.map_or_else(Vec::new, Keys::rows))),
            _ => Bound::Value(*ty, bound_value(plan, bind, input)?),
        });
    }
    Ok(bound)
}

fn list(value: Option<&Value>) -> Cow<'_, [Value]> {
    match value {
        Some(Value::List(items)) => Cow::Borrowed(items),
        // Nothing is in a null list.
        None | Some(Value::Null) => Cow::Borrowed(&[]),
        Some(one) => Cow::Borrowed(std::slice::from_ref(one)),
    }
}

fn bound_value<'a>(plan: &'a Plan, bind: &'a Bind, input: &'a [Value]) -> Result<Cow<'a, Value>, StoreError> {
    const NULL: Value = Value::Null;
    Ok(match bind {
        Bind::Slot(slot) | Bind::SlotList(slot) => {
            plan.params().get(usize::from(slot.0)).map_or(Cow::Owned(NULL), Cow::Borrowed)
        }
        Bind::Input(position) => input.get(usize::from(*position)).map_or(Cow::Owned(NULL), Cow::Borrowed),
        Bind::Literal(value) => Cow::Borrowed(value),
        Bind::Auth(fact) => Cow::Owned(plan.caller().fact(fact)),
        Bind::Now => Cow::Owned(Value::Timestamp(plan.caller().moment().now)),
        Bind::Computed(expr) => {
            let bindings = Bindings { caller: plan.caller(), params: plan.params(), input };
            Cow::Owned(evaluate(expr, bindings, &RowWorld::default(), &[]).map_err(|_| StoreError::TooLarge)?)
        }
        Bind::Pattern(function, words, expr) => {
            let bindings = Bindings { caller: plan.caller(), params: plan.params(), input };
            let translated = |value| match value {
                Value::Text(text) => match pattern::translated(*words, *function, &text) {
                    Ok(pattern) => Ok(pattern.map_or(NULL, Value::Text)),
                    Err(lacking) => Err(StoreError::Unsupported(lacking)),
                },
                _ => Ok(NULL),
            };
            let pattern = evaluate(expr, bindings, &RowWorld::default(), &[]).map_err(|_| StoreError::TooLarge)?;
            Cow::Owned(match pattern {
                Value::List(items) => Value::List(items.into_iter().map(translated).collect::<Result<_, _>>()?),
                other => translated(other)?,
            })
        }
        Bind::Keys(_) | Bind::KeyRows => Cow::Owned(NULL),
    })
}

/// A cell as a value of its own. A list stays what it is on the wire, as JSON: keys have no lists.
pub fn cell_value(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Bool(value),
        Cell::Int(value) => Value::Int(value),
        Cell::Float(value) => Value::float(value),
        Cell::Decimal(value) => Value::Decimal(value),
        Cell::Text(value) => Value::text(value),
        Cell::Uuid(value) => Value::Uuid(value),
        Cell::Timestamp(value) => Value::Timestamp(value),
        Cell::Date(value) => Value::Date(value),
        Cell::Time(value) => Value::Time(value),
        Cell::Json(value) | Cell::List(value) => Value::Json(value.to_owned()),
        Cell::Bytes(value) => Value::Bytes(value.to_vec()),
    }
}

/// The type of a list's elements, or the type itself.
pub fn element_type(ty: Type) -> Type {
    match ty {
        Type::List(kind) => Type::Scalar(kind),
        other => other,
    }
}
