//! Committed migrations in a MySQL or MariaDB database: which it was given, and taking one more or the last one back.
//!
//! DDL commits as it goes here, so how many parts of a migration are done is written down after each; the steps within a part have a
//! journal of their own ([`crate::migrate`]). SQL by hand is one transaction with that note, as long as it changes rows alone: DDL in it
//! commits, and is run again when the process is killed between the two.

use crate::backfill;
use crate::ddl::foreseen;
use crate::introspect::{self, exists, wrong};
use crate::migrate::{during, lock, migrate_locked, prepare, resume, unlock};
use crate::server::Server;
use crate::types::{name, table_options, unsupported};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use undergird_store::StoreError;
use undergird_store::migration::{Done, Outcome, Ready, Run, RunPart, State, ready};
use undergird_store::schema::{self, Applied, Step};

/// Where they are written down.
const MIGRATIONS: &str = "_undergird_migrations";

/// The migrations that the database was given, in order.
pub(crate) async fn done(conn: &mut Conn) -> Result<Vec<Done>, StoreError> {
    if !exists(conn, MIGRATIONS).await? {
        return Ok(Vec::new());
    }
    // Databases that an earlier version migrated have not all of these columns.
    let compatible = if has_compatible(conn).await? { "compatible" } else { "0" };
    let text = format!("SELECT number, name, hash, state, {compatible} FROM {} ORDER BY number", name(MIGRATIONS));
    let rows: Vec<(u32, String, String, String, i64)> = conn.query(text).await.map_err(wrong)?;
    let done = |(number, name, hash, state, compatible): (u32, String, String, String, i64)| {
        let state = State::of(&state).ok_or_else(|| {
            StoreError::SchemaMismatch(format!(
                "migration {number} is in a state that this version does not know: {state}"
            ))
        })?;
        Ok(Done { number, name, hash, state, compatible: compatible != 0 })
    };
    rows.into_iter().map(done).collect()
}

async fn has_compatible(conn: &mut Conn) -> Result<bool, StoreError> {
    let text = format!(
        "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{MIGRATIONS}' \
         AND column_name = 'compatible'"
    );
    let found: Option<i64> = conn.query_first(text).await.map_err(wrong)?;
    Ok(found.is_some_and(|found| found > 0))
}

/// Takes a run, from where it stopped if it was begun.
pub(crate) async fn apply(conn: &mut Conn, server: &Server, run: &Run) -> Result<Outcome, StoreError> {
    for part in &run.parts {
        let RunPart::Schema(wanted) = part else { continue };
        let told = unsupported(wanted);
        if !told.is_empty() {
            return Err(StoreError::SchemaMismatch(format!("MySQL cannot keep this schema: {}", told.join("; "))));
        }
    }
    lock(conn).await?;
    let result = apply_locked(conn, server, run).await;
    unlock(conn).await;
    result
}

async fn apply_locked(conn: &mut Conn, server: &Server, run: &Run) -> Result<Outcome, StoreError> {
    prepare(conn, server).await?;
    resume(conn, server).await?;
    let current = introspect::applied(conn, server).await?;
    let Ready::Go(from) = ready(run, &done(conn).await?, current.as_ref())? else { return Ok(Outcome::AlreadyThere) };
    let options = table_options(server);
    conn.query_drop(format!(
        "CREATE TABLE IF NOT EXISTS {} (number int NOT NULL PRIMARY KEY, name varchar(255) NOT NULL, hash varchar(64) NOT NULL, \
         state varchar(32) NOT NULL, applied_at datetime(6) NOT NULL, compatible boolean NOT NULL DEFAULT false) {options}",
        name(MIGRATIONS)
    ))
    .await
    .map_err(|error| during("making the table for migrations", error))?;
    if !has_compatible(conn).await? {
        let text = format!("ALTER TABLE {} ADD COLUMN compatible boolean NOT NULL DEFAULT false", name(MIGRATIONS));
        conn.query_drop(text).await.map_err(|error| during("changing the table for migrations", error))?;
    }
    // Before anything is noted or taken, so that a migration that rows refuse can be mended.
    if let Some(RunPart::Schema(wanted)) = run.parts.get(from) {
        foresee(conn, server, wanted).await?;
    }
    if !run.parts.is_empty() {
        note(conn, run, from).await.map_err(wrong)?;
    }
    for (at, part) in run.parts.iter().enumerate().skip(from) {
        // With the last part the whole is done.
        let next = at + 1;
        match part {
            RunPart::Schema(wanted) => {
                let current = introspect::applied(conn, server).await?;
                let steps = schema::steps(current.as_ref(), wanted);
                if let Some(reason) = steps.iter().find_map(Step::blocked) {
                    return Err(StoreError::SchemaMismatch(reason));
                }
                if at > from {
                    foresee(conn, server, wanted).await?;
                }
                migrate_locked(conn, server, &steps, wanted, false).await?;
                note(conn, run, next).await.map_err(wrong)?;
            }
            RunPart::Sql(text) => {
                by_hand(conn, run, text, next).await?;
                // What is Undergird's own is changed by the definition alone.
                introspect::applied(conn, server).await?;
            }
            RunPart::Backfill(fill) => backfill::fill(conn, run, (at, fill)).await?,
        }
    }
    // A run without parts has not been noted yet.
    if run.parts.is_empty() {
        note(conn, run, 0).await.map_err(wrong)?;
    }
    backfill::forget(conn).await?;
    Ok(Outcome::Taken)
}

/// Looks for rows that hinder one of the steps to this schema.
async fn foresee(conn: &mut Conn, server: &Server, wanted: &Applied) -> Result<(), StoreError> {
    let current = introspect::applied(conn, server).await?.unwrap_or_else(Applied::empty);
    let steps = schema::steps(Some(&current), wanted);
    for (step, query) in foreseen(server, &current, &steps) {
        let found: Option<mysql_async::Row> = conn.query_first(query).await.map_err(wrong)?;
        if found.is_some() {
            return Err(StoreError::SchemaMismatch(step.mending().unwrap_or_else(|| step.describe())));
        }
    }
    Ok(())
}

/// Writes down that so many parts are done.
pub(crate) async fn note(conn: &mut Conn, run: &Run, done: usize) -> Result<(), Error> {
    let at = name(MIGRATIONS);
    let Some(state) = run.state(done) else {
        return conn.exec_drop(format!("DELETE FROM {at} WHERE number = ?"), (run.number,)).await;
    };
    let text =
        format!("REPLACE INTO {at} (number, name, hash, state, applied_at, compatible) VALUES (?, ?, ?, ?, NOW(6), ?)");
    conn.exec_drop(text, (run.number, &run.name, &run.hash, state.to_string(), run.compatible)).await
}

async fn by_hand(conn: &mut Conn, run: &Run, text: &str, next: usize) -> Result<(), StoreError> {
    if text.trim().is_empty() {
        return note(conn, run, next).await.map_err(wrong);
    }
    conn.query_drop("START TRANSACTION").await.map_err(wrong)?;
    let changed = async {
        conn.query_drop(text).await?;
        note(conn, run, next).await?;
        conn.query_drop("COMMIT").await
    };
    let Err(error) = changed.await else { return Ok(()) };
    let _ = conn.query_drop("ROLLBACK").await;
    Err(match error {
        Error::Server(said) if ![1205, 1213].contains(&said.code) => {
            StoreError::SchemaMismatch(format!("SQL by hand failed: {}", said.message))
        }
        error => during("SQL by hand", error),
    })
}
