//! Committed migrations in a SQLite database: which it was given, and taking one more or the last one back, in one transaction, or in
//! several where a backfill is in it.
//!
//! The transaction begins as a writer's, so of several processes one migrates and the others find it done. Absent: the statements of the
//! steps ([`crate::ddl`]).

use crate::backfill;
use crate::ddl::{alone, broken, check_references, name, take};
use crate::introspect;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use undergird_store::StoreError;
use undergird_store::migration::{Done, Outcome, Progress, Ready, Run, RunPart, Stage, State, ready};
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
    // Databases that an earlier version migrated have not all of these columns.
    let column = |column: &str, without: &str| match has_column(connection, column) {
        Ok(true) => Ok(column.to_owned()),
        Ok(false) => Ok(without.to_owned()),
        Err(error) => Err(wrong(error)),
    };
    let (state, compatible) = (column("state", "'applied'")?, column("compatible", "0")?);
    let text = format!("SELECT number, name, hash, {state}, {compatible} FROM {} ORDER BY number", name(MIGRATIONS));
    let mut statement = connection.prepare(&text).map_err(wrong)?;
    let rows = statement.query_map([], |row| {
        let done = Done {
            number: row.get(0)?,
            name: row.get(1)?,
            hash: row.get(2)?,
            state: State::Applied,
            compatible: row.get(4)?,
        };
        Ok((done, row.get::<_, String>(3)?))
    });
    let rows: Vec<(Done, String)> = rows.map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    rows.into_iter()
        .map(|(done, state)| match State::of(&state) {
            Some(state) => Ok(Done { state, ..done }),
            None => Err(StoreError::SchemaMismatch(format!(
                "migration {} is in a state that this version does not know: {state}",
                done.number
            ))),
        })
        .collect()
}

fn has_column(connection: &Connection, column: &str) -> rusqlite::Result<bool> {
    let text = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
    connection.query_row(text, [MIGRATIONS, column], |row| row.get::<_, i64>(0)).map(|found| found > 0)
}

/// How far the backfill came that is under way.
pub(crate) fn progress(connection: &Connection) -> Result<Option<Progress>, StoreError> {
    backfill::progress(connection)
}

/// Takes a run, all or nothing.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when the database is not what the run begins from, or rows or SQL by hand do not allow it.
pub(crate) fn apply(connection: &mut Connection, run: &Run) -> Result<Outcome, StoreError> {
    alone(connection, |connection| {
        let mut outcome = Outcome::AlreadyThere;
        loop {
            let transaction = begin(connection)?;
            let current = introspect::applied(&transaction)?;
            let Ready::Go(from) = ready(run, &done(&transaction)?, current.as_ref())? else { return Ok(outcome) };
            outcome = Outcome::Taken;
            match run.stage(from) {
                Stage::Together(parts, next) => {
                    together(&transaction, parts, current)?;
                    record(&transaction, run, next)?;
                    transaction.commit().map_err(|error| broken("committing the migration", &error))?;
                    if next == run.parts.len() {
                        return Ok(outcome);
                    }
                }
                Stage::Batches(fill) => {
                    drop(transaction);
                    if !backfill::batch(connection, run, from, fill)? {
                        std::thread::sleep(fill.pause);
                    }
                }
            }
        }
    })
}

/// A transaction of a writer's.
pub(crate) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| broken("waiting for the database", &error))
}

/// Takes parts that are one transaction.
fn together(transaction: &Connection, parts: &[RunPart], mut current: Option<Applied>) -> Result<(), StoreError> {
    for part in parts {
        match part {
            RunPart::Schema(wanted) => {
                let steps = schema::steps(current.as_ref(), wanted);
                if let Some(reason) = steps.iter().find_map(Step::blocked) {
                    return Err(StoreError::SchemaMismatch(reason));
                }
                take(transaction, current.as_ref(), &steps, wanted)?;
                introspect::record(transaction, wanted)?;
                current = Some(wanted.clone());
            }
            RunPart::Sql(text) => by_hand(transaction, text)?,
            // They are a stage of their own.
            RunPart::Backfill(_) => {}
        }
    }
    check_references(transaction, &[], &current.unwrap_or_else(Applied::empty))
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

/// Writes down that so many parts of a run are done.
pub(crate) fn record(transaction: &Connection, run: &Run, done: usize) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("writing down the migration", &error);
    let at = name(MIGRATIONS);
    transaction
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {at} (number INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, \
             applied_at INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'applied', compatible INTEGER NOT NULL DEFAULT 0) STRICT"
        ))
        .map_err(wrong)?;
    for column in ["state TEXT NOT NULL DEFAULT 'applied'", "compatible INTEGER NOT NULL DEFAULT 0"] {
        let named = column.split(' ').next().unwrap_or_default();
        if !has_column(transaction, named).map_err(wrong)? {
            transaction.execute_batch(&format!("ALTER TABLE {at} ADD COLUMN {column}")).map_err(wrong)?;
        }
    }
    let written = match run.state(done) {
        Some(state) => transaction.execute(
            &format!(
                "INSERT OR REPLACE INTO {at} (number, name, hash, applied_at, state, compatible) \
                 VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000000 AS INTEGER), ?4, ?5)"
            ),
            params![run.number, run.name, run.hash, state.to_string(), run.compatible],
        ),
        None => transaction.execute(&format!("DELETE FROM {at} WHERE number = ?1"), params![run.number]),
    };
    written.map_err(wrong)?;
    if done >= run.parts.len() {
        backfill::forget(transaction)?;
    }
    Ok(())
}
