//! Committed migrations in a SQLite database: which it was given, and taking one more or the last one back, in one transaction.
//!
//! The transaction begins as a writer's, so of several processes one migrates and the others find it done. Absent: the statements of the
//! steps ([`crate::ddl`]).

use crate::ddl::{alone, broken, check_references, name, take};
use crate::introspect;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use undergird_store::StoreError;
use undergird_store::migration::{Direction, Done, Outcome, Ready, Run, RunPart, State, ready};
use undergird_store::schema::{self, Applied, Step};

/// Where they are written down.
const MIGRATIONS: &str = "_undergird_migrations";

/// The migrations that the database was given, in order.
///
/// # Errors
/// The database cannot be read.
pub(crate) fn done(connection: &Connection) -> Result<Vec<Done>, StoreError> {
    let wrong = |error: rusqlite::Error| broken("reading the applied migrations", &error);
    if !introspect::exists(connection, MIGRATIONS)? {
        return Ok(Vec::new());
    }
    let text = format!("SELECT number, name, hash FROM {} ORDER BY number", name(MIGRATIONS));
    let mut statement = connection.prepare(&text).map_err(wrong)?;
    let rows = statement.query_map([], |row| {
        Ok(Done { number: row.get(0)?, name: row.get(1)?, hash: row.get(2)?, state: State::Applied })
    });
    rows.map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// Takes a run, all or nothing.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when the database is not what the run begins from, or rows or SQL by hand do not allow it.
pub(crate) fn apply(connection: &mut Connection, run: &Run) -> Result<Outcome, StoreError> {
    alone(connection, |connection| {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| broken("waiting for the database", &error))?;
        let mut current = introspect::applied(&transaction)?;
        if ready(run, &done(&transaction)?, current.as_ref())? == Ready::AlreadyThere {
            return Ok(Outcome::AlreadyThere);
        }
        for part in &run.parts {
            match part {
                RunPart::Schema(wanted) => {
                    let steps = schema::steps(current.as_ref(), wanted);
                    if let Some(reason) = steps.iter().find_map(Step::blocked) {
                        return Err(StoreError::SchemaMismatch(reason));
                    }
                    take(&transaction, current.as_ref(), &steps, wanted)?;
                    introspect::record(&transaction, wanted)?;
                    current = Some(wanted.clone());
                }
                RunPart::Sql(text) => by_hand(&transaction, text)?,
            }
        }
        check_references(&transaction, &[], &current.unwrap_or_else(Applied::empty))?;
        record(&transaction, run)?;
        transaction.commit().map_err(|error| broken("committing the migration", &error))?;
        Ok(Outcome::Taken)
    })
}

fn by_hand(transaction: &Connection, text: &str) -> Result<(), StoreError> {
    transaction.execute_batch(text).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            broken("SQL by hand", &error)
        }
        _ => StoreError::SchemaMismatch(format!("SQL by hand failed: {error}")),
    })?;
    if transaction.is_autocommit() {
        return Err(StoreError::SchemaMismatch(
            "SQL by hand ended the transaction, so what it did stays while the migration does not count: take COMMIT and ROLLBACK out of it"
                .into(),
        ));
    }
    // What is Undergird's own is changed by the definition alone.
    introspect::applied(transaction).map(|_| ())
}

fn record(transaction: &Connection, run: &Run) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("writing down the migration", &error);
    let at = name(MIGRATIONS);
    transaction
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {at} (number INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, \
             applied_at INTEGER NOT NULL) STRICT"
        ))
        .map_err(wrong)?;
    match run.direction {
        Direction::Forward | Direction::Note => transaction.execute(
            &format!(
                "INSERT INTO {at} (number, name, hash, applied_at) VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000000 AS INTEGER))"
            ),
            params![run.number, run.name, run.hash],
        ),
        Direction::Back => transaction.execute(&format!("DELETE FROM {at} WHERE number = ?1"), params![run.number]),
    }
    .map(|_| ())
    .map_err(wrong)
}
