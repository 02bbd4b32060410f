//! The guards of a write: asked before it, or of the rows as they have become.
//!
//! Absent: what a guard means; the statement computes it, and here its answers are looked at.

use super::WriteAnswer;
use super::bind::{Keys, bind, cell_value, input_row};
use crate::sql::WriteStatements;
use crate::{Connection, Flow, Statement, StoreError};
use rustc_hash::FxHashMap;
use undergird_model::{FieldId, Value};
use undergird_plan::shape::{Again, Guard, Otherwise, Write};
use undergird_plan::{Cell, Plan, RowRef};

/// The guard that the first offending row fails, if there is one.
pub(super) async fn refusal(
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

pub(super) fn first_failed(row: &dyn RowRef, from: usize, guards: &[Guard]) -> Option<Otherwise> {
    guards.iter().enumerate().find(|(at, _)| row.cell(from + at) != Cell::Bool(true)).map(|(_, guard)| guard.otherwise)
}

/// The guard that an input row would fail if it were there.
pub(super) async fn refused_before(
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
pub(super) async fn refused_after(
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
pub(super) struct Changed {
    pub(super) key: Vec<Value>,
    /// By which input row.
    pub(super) row: usize,
    /// What was noted of it before.
    pub(super) noted: Vec<Value>,
}

/// The changed rows with what was noted of each: a key as it will be, and behind it the notes.
pub(super) fn with_noted(
    noted: Vec<Vec<Value>>,
    keys: &[Vec<Value>],
    again: &Again,
) -> Result<Vec<Changed>, StoreError> {
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
pub(super) async fn refused_again(
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
