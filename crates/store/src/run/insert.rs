//! Inserts, row by row: made, merged into what is there, or ignored.
//!
//! Absent: which statement says what; that is the writer's.

use super::bind::{bind, cell_value};
use super::judge::{Changed, first_failed, refused_after, refused_again, refused_before};
use super::{WriteAnswer, Written, keys_of_act, narrowed, represent};
use crate::sql::WriteStatements;
use crate::{Act, Connection, Flow, Statement, StoreError};
use undergird_model::{CollectionId, Value};
use undergird_plan::shape::{Action, Otherwise, Upsert, Write};
use undergird_plan::{Plan, RowRef, RowSink};

/// How one input row ended.
enum Outcome {
    Made(Vec<Value>),
    /// Its key, and what was noted of it before.
    Changed(Vec<Value>, Vec<Value>),
    Ignored,
    Refused(Otherwise),
}

pub(super) async fn insert(
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
    // Rows that nothing is asked about before they are made go to the store together.
    let mut together = match upsert {
        None if plan.input().len() > 1 => {
            connection.act(Some((plan, Act::Create(shape.collection))))?;
            let made = insert_rows(connection, plan, &statements.main, &key_inputs).await;
            connection.act(None)?;
            Some(made)
        }
        _ => None,
    };
    for (row, input) in plan.input().iter().enumerate() {
        let found = match (upsert, &statements.lookup) {
            (Some(upsert), Some(lookup)) => {
                upsert_found(
                    connection,
                    (plan, shape.collection),
                    key.len(),
                    upsert,
                    (lookup, statements.update.as_ref()),
                    input,
                )
                .await?
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
            None => match match &mut together {
                Some(together) => together.next(),
                None => insert_row(connection, (plan, shape.collection), &statements.main, &key_inputs, input).await,
            }
            .map_err(|error| narrowed(error, plan, shape))
            {
                Ok(key) => Outcome::Made(key),
                // Rules come before constraints: whoever may not make the row must not learn what stands in its way.
                // And policies, which are asked of each row by itself, before the rules are of all.
                Err(error @ (StoreError::Constraint { .. } | StoreError::Walled(_))) => {
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

/// What became of rows that were made together: the keys of those before the first that failed, and why that did.
struct Together {
    keys: std::vec::IntoIter<Vec<Value>>,
    failed: Option<StoreError>,
}

impl Together {
    /// Of the next row.
    fn next(&mut self) -> Result<Vec<Value>, StoreError> {
        let ended = || StoreError::Internal("a row after one that failed".into());
        self.keys.next().ok_or_else(|| self.failed.take().unwrap_or_else(ended))
    }
}

/// Makes all rows, until one fails.
async fn insert_rows(
    connection: &mut dyn Connection,
    plan: &Plan,
    statement: &Statement,
    key_inputs: &[Option<usize>],
) -> Together {
    let width = statement.columns.len();
    let mut bound = Vec::with_capacity(plan.input().len());
    let mut failed = None;
    for input in plan.input() {
        match bind(plan, statement, input, None) {
            Ok(values) => bound.push(values),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let mut returned: Vec<Option<Vec<Value>>> = vec![None; bound.len()];
    let mut heard = |at: usize, row: &dyn RowRef| {
        if let Some(key) = returned.get_mut(at).filter(|key| key.is_none()) {
            *key = Some((0..width).map(|at| cell_value(row.cell(at))).collect());
        }
    };
    if let Err((at, error)) = connection.query_each(statement, bound, &mut heard).await {
        returned.truncate(at);
        failed = Some(error);
    }
    let keys: Vec<_> = returned
        .into_iter()
        .zip(plan.input())
        .map(|(returned, input)| key_of(statement, key_inputs, returned, input))
        .collect();
    Together { keys: keys.into_iter(), failed }
}

/// Makes one row and gives its key.
async fn insert_row(
    connection: &mut dyn Connection,
    (plan, collection): (&Plan, CollectionId),
    statement: &Statement,
    key_inputs: &[Option<usize>],
    input: &[Value],
) -> Result<Vec<Value>, StoreError> {
    let returned = keys_of_act(connection, (plan, Act::Create(collection)), statement, input).await?;
    Ok(key_of(statement, key_inputs, returned.into_iter().next(), input))
}

/// The key of a row that was made, of which the database `returned` something or nothing.
fn key_of(
    statement: &Statement,
    key_inputs: &[Option<usize>],
    returned: Option<Vec<Value>>,
    input: &[Value],
) -> Vec<Value> {
    let given = key_inputs.iter().map(|at| at.and_then(|at| input.get(at)));
    match returned {
        // What the row brought along is its key, and what it left to the database is what the database tells.
        Some(made) if statement.identity => {
            let made = made.into_iter().next().unwrap_or(Value::Null);
            given.map(|value| value.filter(|value| !value.is_null()).unwrap_or(&made).clone()).collect()
        }
        Some(key) => key,
        None => given.map(|value| value.cloned().unwrap_or(Value::Null)).collect(),
    }
}

/// What becomes of the row that is there already; `None` when none is.
async fn upsert_found(
    connection: &mut dyn Connection,
    (plan, collection): (&Plan, CollectionId),
    key_width: usize,
    upsert: &Upsert,
    (lookup, update): (&Statement, Option<&Statement>),
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
    connection.act(Some((plan, Act::Update(collection))))?;
    let affected = connection
        .query(update, values, &mut |row| {
            found += 1;
            returned = Some((0..width).map(|at| cell_value(row.cell(at))).collect::<Vec<_>>());
            Flow::Continue
        })
        .await;
    connection.act(None)?;
    let affected = affected?;
    // The guards are asked in the change itself: a row that another has changed since it was found may pass no more.
    if if update.writes && width == 0 { affected } else { found } != 1 {
        return Err(StoreError::Conflict);
    }
    Ok(Some(Outcome::Changed(returned.filter(|key| !key.is_empty()).unwrap_or(key), noted)))
}
