//! Indexes of committed migrations on tables that are there: built before the transaction that the migration is, while others read and
//! write (`CREATE INDEX CONCURRENTLY`, <https://www.postgresql.org/docs/current/sql-createindex.html>).
//!
//! An index is built under a name of its own that tells what it is made of; the transaction gives it the name that the schema wants, so
//! that the schema is the old one or the new one whenever it is looked at. One that a killed process left half-built is not valid; it is
//! dropped and built again. Whoever builds holds a lock that nobody waits for inside a statement: the build itself waits for all who do.
//!
//! Absent: indexes of tables that the same steps make or change, and those that come after SQL by hand, which may be what makes them
//! possible: they are built in the transaction.

use super::{Line, create_index};
use crate::introspect::{self, Home};
use crate::migrations;
use crate::types::name;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, GenericClient};
use undergird_store::StoreError;
use undergird_store::migration::{Ready, Run, RunPart, Stage, ready};
use undergird_store::schema::{self, Applied, Step};

/// How the name of an index begins that has no place in a schema yet.
const PREFIX: &str = "_undergird_new_";

/// The lock of whoever builds: the octets of `undrbild`.
const LOCK: i64 = 0x756e_6472_6269_6c64;

/// How long to wait for somebody else who builds.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often to look whether he still does.
const LOOK: Duration = Duration::from_millis(100);

/// The statement that makes an index in place, when it can as well be built before the other steps are taken: its table and all its
/// columns are there, and stay what they are.
pub(super) fn statement(step: &Step, steps: &[Step], wanted: &Applied) -> Option<String> {
    let Step::CreateIndex { table: on, index } = step else { return None };
    let table = wanted.table(on)?;
    let columns: BTreeSet<&str> =
        index.columns.iter().map(|column| column.name.as_str()).chain(table.key.iter().map(String::as_str)).collect();
    let in_the_way = |other: &Step| match other {
        Step::CreateTable(new) => new.name == *on,
        Step::RenameTable { to, .. } => to == on,
        Step::AlterKey { table, .. } => table == on,
        Step::AddColumn { table, column } => table == on && columns.contains(column.name.as_str()),
        Step::RenameColumn { table, to, .. } => table == on && columns.contains(to.as_str()),
        Step::AlterColumn { table, from, to } => {
            // A default that is filled in on the way is in no index before it is.
            let filled = from.null && !to.null && to.default.is_some();
            table == on && columns.contains(to.name.as_str()) && (from.ty != to.ty || filled)
        }
        _ => false,
    };
    (!steps.iter().any(in_the_way)).then(|| create_index(table, index))
}

/// The same statement, so that nobody waits for it.
pub(super) fn concurrently(statement: &str) -> String {
    statement.replacen("INDEX ", "INDEX CONCURRENTLY ", 1)
}

/// What can be built before a schema is changed: statements, each with what to say when rows do not allow it.
fn statements(current: Option<&Applied>, wanted: &Applied) -> Vec<(String, Step)> {
    let steps = schema::steps(current, wanted);
    let early = |step: &Step| Some((statement(step, &steps, wanted)?, step.clone()));
    steps.iter().filter_map(early).collect()
}

/// The name that an index has until it is given its own: of what it is made of.
fn temporary(statement: &str) -> String {
    // FNV-1a of 64 bits: equal names mean equal statements, among the few that one migration has.
    let hash = statement
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{PREFIX}{hash:016x}")
}

/// What the transaction runs for an index: the naming of the one that was built, if one was.
pub(super) fn named(line: &Line<'_>, built: &BTreeSet<String>) -> Option<String> {
    let Step::CreateIndex { index, .. } = line.step else { return None };
    let temporary = temporary(&line.sql);
    built.contains(&temporary).then(|| format!("ALTER INDEX {} RENAME TO {}", name(&temporary), name(&index.name)))
}

/// The indexes that are built and have no place yet.
pub(super) async fn built(client: &impl GenericClient, home: &Home) -> Result<BTreeSet<String>, tokio_postgres::Error> {
    Ok(found(client, home).await?.into_iter().filter(|(_, valid)| *valid).map(|(name, _)| name).collect())
}

async fn found(client: &impl GenericClient, home: &Home) -> Result<Vec<(String, bool)>, tokio_postgres::Error> {
    let text = "SELECT c.relname::text, i.indisvalid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname::text = $1 AND starts_with(c.relname::text, $2)";
    let rows = client.query(text, &[&home.schema, &PREFIX]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Builds what the next stage of a run can have before its transaction.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when rows do not allow a unique index; [`StoreError::Unavailable`] when somebody else builds for too
/// long, or the connection broke.
pub(super) async fn build(client: &mut Client, run: &Run) -> Result<(), StoreError> {
    if due(client, run).await?.is_none() {
        return Ok(());
    }
    alone(client).await?;
    // Whoever was alone before may have done it all.
    let result = match due(client, run).await? {
        Some((home, statements)) => build_all(client, &home, &statements).await,
        None => Ok(()),
    };
    // When this fails the connection is gone, and the lock with it.
    let _ = client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    result
}

/// Drops what was built and has found no place: for a migration that was refused, or changed before it was applied. Somebody who builds
/// meanwhile is left alone.
pub(super) async fn clear(client: &mut Client) -> Result<(), StoreError> {
    let wrong = |error| super::broken("looking for indexes that have no place", &error);
    let home = introspect::home(client).await?;
    if !home.exists
        || found(client, &home).await.map_err(wrong)?.is_empty()
        || !try_lock(client).await.map_err(wrong)?
    {
        return Ok(());
    }
    for (index, _) in found(client, &home).await.map_err(wrong)? {
        client.batch_execute(&dropping(&home, &index)).await.map_err(wrong)?;
    }
    let _ = client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    Ok(())
}

fn dropping(home: &Home, index: &str) -> String {
    format!("DROP INDEX CONCURRENTLY IF EXISTS {}.{}", name(&home.schema), name(index))
}

/// What is to be built, and where; `None` when there is nothing, or when the run is not to be taken, which its transaction tells.
async fn due(client: &mut Client, run: &Run) -> Result<Option<(Home, Vec<(String, Step)>)>, StoreError> {
    let transaction = client
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .map_err(|error| super::broken("reading the schema's record", &error))?;
    let home = introspect::home(&transaction).await?;
    if !home.exists {
        return Ok(None);
    }
    introspect::settle(&transaction, &home).await?;
    let current = introspect::recorded(&transaction, &home).await?;
    let Ok(Ready::Go(from)) = ready(run, &migrations::noted(&transaction, &home).await?, current.as_ref()) else {
        return Ok(None);
    };
    let Stage::Together([RunPart::Schema(wanted), ..], _) = run.stage(from) else { return Ok(None) };
    let mut statements = statements(current.as_ref(), wanted);
    let wrong = |error| super::broken("looking for indexes that are built already", &error);
    let there = built(&transaction, &home).await.map_err(wrong)?;
    statements.retain(|(statement, _)| !there.contains(&temporary(statement)));
    Ok((!statements.is_empty()).then_some((home, statements)))
}

/// Waits until nobody else builds. Asked again and again: who waited inside a statement would be waited for by the build.
async fn alone(client: &Client) -> Result<(), StoreError> {
    let until = Instant::now() + WAIT_MAX;
    loop {
        match try_lock(client).await {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() < until => tokio::time::sleep(LOOK).await,
            Ok(false) => {
                return Err(StoreError::Unavailable(format!(
                    "another process has been building indexes for more than {} seconds: try again when it is done",
                    WAIT_MAX.as_secs()
                )));
            }
            Err(error) => return Err(super::broken("waiting for others who build indexes", &error)),
        }
    }
}

async fn try_lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.get(0))
}

async fn build_all(client: &Client, home: &Home, statements: &[(String, Step)]) -> Result<(), StoreError> {
    // The connection is this migration's alone. It takes as long as it takes, and nobody waits for it; but when we are killed, the server
    // shall notice (PostgreSQL 14 and later can).
    let settings = format!(
        "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning; SET search_path TO {}; \
         SELECT set_config(name, '5000', false) FROM pg_settings WHERE name = 'client_connection_check_interval'",
        name(&home.schema)
    );
    let wrong = |error| super::broken("building an index", &error);
    client.batch_execute(&settings).await.map_err(wrong)?;
    let left: BTreeSet<String> = found(client, home).await.map_err(wrong)?.into_iter().map(|(name, _)| name).collect();
    for (statement, step) in statements {
        let temporary = temporary(statement);
        let Step::CreateIndex { index, .. } = step else { continue };
        if left.contains(&temporary) {
            // What was valid is not to be built.
            client.batch_execute(&dropping(home, &temporary)).await.map_err(wrong)?;
        }
        let sql = concurrently(statement).replacen(&name(&index.name), &name(&temporary), 1);
        tracing::info!(index = index.name, "building an index while others read and write");
        if let Err(error) = client.batch_execute(&sql).await {
            // What is left of it would slow down every write.
            let _ = client.batch_execute(&dropping(home, &temporary)).await;
            let line = Line { sql, step };
            return Err(match super::migrate::refused(&error, &line) {
                super::migrate::Attempt::Busy(why) => StoreError::Unavailable(why),
                super::migrate::Attempt::Failed(error) => error,
            });
        }
    }
    Ok(())
}

/// An index in the text for review.
pub(super) fn shown(statement: &str) -> String {
    format!("-- Before the transaction of what follows, while others read and write:\n{}", concurrently(statement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_an_index_is_made_of() {
        let (one, two) = ("CREATE INDEX \"a\" ON \"t\" (\"x\")", "CREATE INDEX \"a\" ON \"t\" (\"y\")");
        assert_ne!(temporary(one), temporary(two));
        assert!(temporary(one).len() < 63);
        assert_eq!(concurrently(one), "CREATE INDEX CONCURRENTLY \"a\" ON \"t\" (\"x\")");
        assert_eq!(
            concurrently("CREATE UNIQUE INDEX \"INDEX \" ON \"t\" (\"x\")"),
            "CREATE UNIQUE INDEX CONCURRENTLY \"INDEX \" ON \"t\" (\"x\")"
        );
    }
}
