//! A rusqlite connection as the store's [`Connection`]. Everything is done when it is asked for, so that the futures are ready.

use crate::control::{Control, Stopped};
use crate::error::store_error;
use crate::values::{cell, owned, stored};
use futures_util::future::BoxFuture;
use rusqlite::ErrorCode;
use std::future::ready;
use std::rc::Rc;
use undergird_model::Type;
use undergird_plan::{Cell, RowRef};
use undergird_store::run::element_type;
use undergird_store::{Bound, Connection, Flow, Statement, StoreError};

/// One use of a connection: a snapshot, or a transaction that somebody else begins and ends.
pub(crate) struct Session<'c> {
    connection: &'c mut rusqlite::Connection,
    control: &'c Control,
    /// Whether a transaction is open, so that nothing may run once SQLite has rolled it back by itself.
    transaction: bool,
    marks: usize,
    failure: Option<StoreError>,
}

impl<'c> Session<'c> {
    pub(crate) fn new(connection: &'c mut rusqlite::Connection, control: &'c Control, transaction: bool) -> Self {
        Session { connection, control, transaction, marks: 0, failure: None }
    }

    /// The last failure that was not the statement's own fault, which SQLite may have answered with a rollback of everything.
    pub(crate) fn failure(self) -> Option<StoreError> {
        self.failure
    }

    fn run(
        &mut self,
        statement: &Statement,
        values: &[Bound<'_>],
        each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> Result<u64, StoreError> {
        self.check()?;
        step(self.connection, statement, values, each).map_err(|error| self.translate(&error))
    }

    /// That the transaction is still there.
    fn check(&self) -> Result<(), StoreError> {
        if self.transaction && self.connection.is_autocommit() {
            return Err(self.failure.clone().unwrap_or_else(|| StoreError::Internal("the transaction is gone".into())));
        }
        Ok(())
    }

    fn translate(&mut self, error: &rusqlite::Error) -> StoreError {
        let error = match (error.sqlite_error_code(), self.control.stopped()) {
            (Some(ErrorCode::OperationInterrupted), Some(Stopped::Abandoned)) => StoreError::Cancelled,
            _ => store_error(error),
        };
        if !matches!(error, StoreError::Constraint { .. }) {
            self.failure = Some(error.clone());
        }
        error
    }

    fn mark(&mut self, text: &str) -> Result<(), StoreError> {
        self.check()?;
        execute(self.connection, text).map_err(|error| self.translate(&error))
    }
}

impl Connection for Session<'_> {
    fn query<'a>(
        &'a mut self,
        statement: &'a Statement,
        values: Vec<Bound<'a>>,
        each: &'a mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(self.run(statement, &values, each)))
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        let result = self.mark(&format!("SAVEPOINT ug_{}", self.marks + 1));
        if result.is_ok() {
            self.marks += 1;
        }
        Box::pin(ready(result))
    }

    fn release(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        let mark = self.marks;
        if mark == 0 {
            return Box::pin(ready(Err(StoreError::Internal("no savepoint to release".into()))));
        }
        self.marks -= 1;
        let mut result = Ok(());
        if !keep {
            result = self.mark(&format!("ROLLBACK TO ug_{mark}"));
        }
        let result = result.and_then(|()| self.mark(&format!("RELEASE ug_{mark}")));
        Box::pin(ready(result))
    }
}

/// Runs a statement that takes and gives nothing.
pub(crate) fn execute(connection: &rusqlite::Connection, text: &str) -> rusqlite::Result<()> {
    let mut prepared = connection.prepare_cached(text)?;
    let mut rows = prepared.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn step(
    connection: &rusqlite::Connection,
    statement: &Statement,
    values: &[Bound<'_>],
    each: &mut (dyn FnMut(&dyn RowRef) -> Flow + Send),
) -> rusqlite::Result<u64> {
    let mut prepared = connection.prepare_cached(&statement.text)?;
    for (position, value) in values.iter().enumerate() {
        match value {
            Bound::Value(ty, value) => prepared.raw_bind_parameter(position + 1, stored(*ty, value))?,
            Bound::List(ty, items) => {
                let element = element_type(*ty);
                let items: Vec<_> = items.iter().map(|item| owned(element, item)).collect();
                prepared.raw_bind_parameter(position + 1, Rc::new(items))?;
            }
        }
    }
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        if each(&Lent { row, columns: &statement.columns }) == Flow::Stop {
            break;
        }
    }
    drop(rows);
    Ok(if statement.writes { connection.changes() } else { 0 })
}

/// A row of SQLite's, lent with the types of its columns.
struct Lent<'r> {
    row: &'r rusqlite::Row<'r>,
    columns: &'r [Type],
}

impl RowRef for Lent<'_> {
    fn cell(&self, position: usize) -> Cell<'_> {
        match (self.columns.get(position), self.row.get_ref(position)) {
            (Some(ty), Ok(value)) => cell(*ty, value),
            _ => Cell::Null,
        }
    }
}
