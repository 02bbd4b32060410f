//! What a committed migration adds to tables that are there, and what takes long on many rows: done before the transaction that the
//! migration is, while others read and write. Indexes are built by `CREATE INDEX CONCURRENTLY`
//! (<https://www.postgresql.org/docs/current/sql-createindex.html>). Checks and foreign keys are added as `NOT VALID`, which looks at no
//! row, and then validated; a column that becomes required has a check for that, by which `SET NOT NULL` spares its own look at the rows
//! (<https://www.postgresql.org/docs/current/sql-altertable.html>).
//!
//! Each is made under a name of its own that tells what it is made of; the transaction gives it the name that the schema wants, so
//! that the schema is the old one or the new one whenever it is looked at. One that a killed process left half-done is not valid; it is
//! dropped and made again. Whoever makes them holds a lock that nobody waits for inside a statement: a build waits for all who do.
//!
//! Absent: what is about tables or columns that the same steps make or change, and what comes after SQL by hand, which may be what makes
//! it possible: that is done in the transaction. Foreign keys that remove or change rows, too: they must not before the migration is taken.

use super::{Line, UNPLACED, create_index, foreign_key};
use crate::checks;
use crate::introspect::{self, Home};
use crate::migrations;
use crate::types::name;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient};
use undergird_store::StoreError;
use undergird_store::migration::{Ready, Run, RunPart, Stage, ready};
use undergird_store::schema::{self, Applied, OnDelete, Step};

/// The lock of whoever makes them: the octets of `undrbild`.
const LOCK: i64 = 0x756e_6472_6269_6c64;

/// How long to wait for somebody else who makes them.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long to try for the lock of a table that others hold; a test does not wait for a minute.
const TABLE_WAIT_MAX: Duration = Duration::from_secs(if cfg!(test) { 10 } else { 60 });
/// How often to look whether he still does.
const LOOK: Duration = Duration::from_millis(100);
/// For so long a statement that others queue behind waits for its lock before it gives way to them.
const LOCK_PATIENCE_MILLIS: u32 = 2_000;

/// Something that is made before the transaction.
#[derive(Clone, Debug)]
pub(super) struct Early {
    /// What it would be in the transaction, by which it is known again.
    pub(super) place: String,
    form: Form,
    step: Step,
}

#[derive(Clone, Debug)]
enum Form {
    /// An index, by its name.
    Index(String),
    /// A constraint of a table: its name, and what it says.
    Constraint { table: String, name: String, says: String },
    /// A check of a table that a column has a value, which goes when the column says it itself.
    Filled { table: String, says: String },
}

/// What of a step can as well be made before the other steps are taken: its tables and columns are there, and stay what they are.
pub(super) fn early(step: &Step, steps: &[Step], wanted: &Applied) -> Option<Early> {
    let (place, form) = match step {
        Step::CreateIndex { table: on, index } => {
            let table = wanted.table(on)?;
            let columns =
                index.columns.iter().map(|column| column.name.as_str()).chain(table.key.iter().map(String::as_str));
            if !stays(on, &columns.collect(), steps) || is_keyed_anew(on, steps) {
                return None;
            }
            (create_index(table, index), Form::Index(index.name.clone()))
        }
        Step::AddCheck { table: on, check } => {
            let table = wanted.table(on)?;
            let columns: BTreeSet<&str> = table
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .filter(|column| check.column.as_deref() == Some(column) || checks::mentions(check, column))
                .collect();
            if !stays(on, &columns, steps) {
                return None;
            }
            constraint(on, &check.name, &checks::clause(table, check)?)?
        }
        Step::AddReference { table: on, reference } => {
            let is_there = stays(on, &BTreeSet::from([reference.column.as_str()]), steps)
                && stays(&reference.table, &BTreeSet::from([reference.target.as_str()]), steps)
                && !is_keyed_anew(&reference.table, steps);
            if !is_there || reference.on_delete != OnDelete::Restrict {
                return None;
            }
            constraint(on, &reference.name, &foreign_key(reference))?
        }
        Step::AlterColumn { table: on, from, to }
            if from.null && !to.null && from.ty == to.ty && to.default.is_none() =>
        {
            if !stays(on, &BTreeSet::from([to.name.as_str()]), steps) {
                return None;
            }
            let says = filled(&to.name);
            (addition(on, &says), Form::Filled { table: on.clone(), says })
        }
        _ => return None,
    };
    Some(Early { place, form, step: step.clone() })
}

/// A constraint as the transaction would add it, and as it is made before.
fn constraint(table: &str, called: &str, clause: &str) -> Option<(String, Form)> {
    let says = clause.strip_prefix(&format!("CONSTRAINT {} ", name(called)))?.to_owned();
    Some((addition(table, clause), Form::Constraint { table: table.to_owned(), name: called.to_owned(), says }))
}

fn addition(table: &str, clause: &str) -> String {
    format!("ALTER TABLE {} ADD {clause}", name(table))
}

/// What a check says of a column that must have a value.
fn filled(column: &str) -> String {
    format!("CHECK ({} IS NOT NULL)", name(column))
}

/// Whether a table and these columns of it are there before the steps, under the same names, with the same values.
fn stays(on: &str, columns: &BTreeSet<&str>, steps: &[Step]) -> bool {
    let in_the_way = |other: &Step| match other {
        Step::CreateTable(new) => new.name == *on,
        Step::RenameTable { to, .. } => to == on,
        Step::AddColumn { table, column } => table == on && columns.contains(column.name.as_str()),
        Step::RenameColumn { table, to, .. } => table == on && columns.contains(to.as_str()),
        Step::AlterColumn { table, from, to } => {
            // A default that is filled in on the way is there only then.
            let filled = from.null && !to.null && to.default.is_some();
            table == on && columns.contains(to.name.as_str()) && (from.ty != to.ty || filled)
        }
        _ => false,
    };
    !steps.iter().any(in_the_way)
}

/// Whether a table gets another key, which indexes end with and references lead to.
fn is_keyed_anew(on: &str, steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::AlterKey { table, .. } if table == on))
}

impl Early {
    /// The name that it has until it is given its own: of what it is made of.
    fn temporary(&self) -> String {
        temporary(&self.place)
    }

    /// The statement that looks at no row, or lets everybody write while it does; for a constraint, the one that looks at them too.
    fn statements(&self, called: &str) -> (String, Option<String>) {
        match &self.form {
            Form::Index(index) => (concurrently(&self.place).replacen(&name(index), &name(called), 1), None),
            Form::Constraint { table, says, .. } | Form::Filled { table, says } => (
                format!("ALTER TABLE {} ADD CONSTRAINT {} {says} NOT VALID", name(table), name(called)),
                Some(format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", name(table), name(called))),
            ),
        }
    }

    /// In the text for review.
    pub(super) fn shown(&self) -> String {
        let (called, after) = match &self.form {
            Form::Index(called) | Form::Constraint { name: called, .. } => (called.clone(), ""),
            Form::Filled { .. } => (self.temporary(), "; for the column alone, it goes with the transaction"),
        };
        let (first, then) = self.statements(&called);
        let then = then.map(|then| format!(";\n{then}")).unwrap_or_default();
        format!("-- Before the transaction of what follows, while others read and write{after}:\n{first}{then}")
    }

    /// Whether the transaction has nothing of it but a name to give.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self.form, Form::Filled { .. })
    }
}

/// The same statement, so that nobody waits for it.
fn concurrently(statement: &str) -> String {
    statement.replacen("INDEX ", "INDEX CONCURRENTLY ", 1)
}

/// What can be made before a schema is changed.
fn all(current: Option<&Applied>, wanted: &Applied) -> Vec<Early> {
    let steps = schema::steps(current, wanted);
    steps.iter().filter_map(|step| early(step, &steps, wanted)).collect()
}

/// A name made of a statement.
fn temporary(statement: &str) -> String {
    // FNV-1a of 64 bits: equal names mean equal statements, among the few that one migration has.
    let hash = statement
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{UNPLACED}{hash:016x}")
}

/// What the transaction runs in a line's place where something was made for it: the naming of it; or the line, and that its check goes.
pub(super) fn named(line: &Line<'_>, built: &BTreeSet<String>) -> Option<String> {
    match line.step {
        Step::CreateIndex { index, .. } => {
            let temporary = temporary(&line.sql);
            let naming = || format!("ALTER INDEX {} RENAME TO {}", name(&temporary), name(&index.name));
            built.contains(&temporary).then(naming)
        }
        Step::AddCheck { table, check: schema::Check { name: called, .. } }
        | Step::AddReference { table, reference: schema::Reference { name: called, .. } } => {
            let temporary = temporary(&line.sql);
            let naming =
                || format!("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", name(table), name(&temporary), name(called));
            built.contains(&temporary).then(naming)
        }
        Step::AlterColumn { table, to, .. } => {
            let temporary = temporary(&addition(table, &filled(&to.name)));
            let both = || format!("{};\nALTER TABLE {} DROP CONSTRAINT {}", line.sql, name(table), name(&temporary));
            built.contains(&temporary).then(both)
        }
        _ => None,
    }
}

/// The names of what is made, whole, and has no place yet.
pub(super) async fn built(client: &impl GenericClient, home: &Home) -> Result<BTreeSet<String>, tokio_postgres::Error> {
    Ok(found(client, home).await?.into_iter().filter(|left| left.valid).map(|left| left.name).collect())
}

/// Something that has no place yet.
struct Left {
    name: String,
    valid: bool,
    /// Of a constraint, its table.
    table: Option<String>,
}

async fn found(client: &impl GenericClient, home: &Home) -> Result<Vec<Left>, tokio_postgres::Error> {
    let text = "SELECT c.relname::text, i.indisvalid, NULL FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname::text = $1 AND starts_with(c.relname::text, $2) \
         UNION ALL SELECT k.conname::text, k.convalidated, c.relname::text FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname::text = $1 AND starts_with(k.conname::text, $2)";
    let rows = client.query(text, &[&home.schema, &UNPLACED]).await?;
    Ok(rows.iter().map(|row| Left { name: row.get(0), valid: row.get(1), table: row.get(2) }).collect())
}

/// Makes what the next stage of a run can have before its transaction.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when rows do not allow it; [`StoreError::Unavailable`] when somebody else does it for too long, others
/// hold a table for too long, or the connection broke.
pub(super) async fn build(client: &mut Client, run: &Run) -> Result<(), StoreError> {
    if due(client, run).await?.is_none() {
        return Ok(());
    }
    alone(client).await?;
    // Whoever was alone before may have done it all.
    let result = match due(client, run).await? {
        Some((home, early)) => build_all(client, &home, &early).await,
        None => Ok(()),
    };
    // When this fails the connection is gone, and the lock with it.
    let _ = client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    result
}

/// What is dropped of what was made and has found no place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// All: for a migration that was refused, or changed before it was applied.
    All,
    /// Rules alone, which refuse rows of older nodes: for a migration that is to be tried again, which may take up the indexes then.
    Rules,
}

/// Drops what was made and has found no place. Somebody who makes more meanwhile is left alone.
pub(super) async fn clear(client: &mut Client, what: Leftovers) -> Result<(), StoreError> {
    let wrong = |error| super::broken("looking for what has no place", &error);
    let home = introspect::home(client).await?;
    if !home.exists
        || found(client, &home).await.map_err(wrong)?.is_empty()
        || !try_lock(client).await.map_err(wrong)?
    {
        return Ok(());
    }
    let mut result = Ok(());
    for left in found(client, &home).await.map_err(wrong)? {
        if what == Leftovers::All || left.table.is_some() {
            result = result.and(remove(client, &home, &left).await);
        }
    }
    let _ = client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    result
}

/// Removes one that has no place.
async fn remove(client: &Client, home: &Home, left: &Left) -> Result<(), StoreError> {
    let (of, called) = (name(&home.schema), name(&left.name));
    let during = "dropping what was made for a migration";
    match &left.table {
        None => {
            let dropping = format!("DROP INDEX CONCURRENTLY IF EXISTS {of}.{called}");
            client.batch_execute(&dropping).await.map_err(|error| super::broken(during, &error))
        }
        Some(table) => {
            let dropping = format!("ALTER TABLE {of}.{} DROP CONSTRAINT IF EXISTS {called}", name(table));
            briefly(client, &dropping).await.map_err(|error| super::broken(during, &error))
        }
    }
}

/// Runs a statement that takes a moment, once it has a lock that others would queue behind: it waits for that as a migration does, and
/// gives way.
async fn briefly(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    let until = Instant::now() + TABLE_WAIT_MAX;
    loop {
        let transaction = format!("BEGIN; SET LOCAL lock_timeout = {LOCK_PATIENCE_MILLIS}; {statement}; COMMIT");
        let Err(error) = client.batch_execute(&transaction).await else { return Ok(()) };
        client.batch_execute("ROLLBACK").await?;
        let is_busy = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        if !error.code().is_some_and(|code| is_busy.contains(code)) || Instant::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is to be built, and where; `None` when there is nothing, or when the run is not to be taken, which its transaction tells.
async fn due(client: &mut Client, run: &Run) -> Result<Option<(Home, Vec<Early>)>, StoreError> {
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
    let mut early = all(current.as_ref(), wanted);
    let wrong = |error| super::broken("looking for what is made already", &error);
    let there = built(&transaction, &home).await.map_err(wrong)?;
    early.retain(|one| !there.contains(&one.temporary()));
    Ok((!early.is_empty()).then_some((home, early)))
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
                    "another process has been preparing a migration for more than {} seconds: try again when it is done",
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

async fn build_all(client: &Client, home: &Home, early: &[Early]) -> Result<(), StoreError> {
    // The connection is this migration's alone. It takes as long as it takes, and nobody waits for it; but when we are killed, the server
    // shall notice (PostgreSQL 14 and later can).
    let settings = format!(
        "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning; SET search_path TO {}; \
         SELECT set_config(name, '5000', false) FROM pg_settings WHERE name = 'client_connection_check_interval'",
        name(&home.schema)
    );
    let wrong = |error| super::broken("preparing a migration", &error);
    client.batch_execute(&settings).await.map_err(wrong)?;
    // What was whole is not to be made.
    for left in found(client, home).await.map_err(wrong)? {
        if early.iter().any(|one| one.temporary() == left.name) {
            remove(client, home, &left).await?;
        }
    }
    for one in early {
        let (first, then) = one.statements(&one.temporary());
        tracing::info!(step = one.step.describe(), "making this before the migration, while others read and write");
        let made = match &then {
            None => client.batch_execute(&first).await.map_err(|error| (error, first)),
            Some(then) => match briefly(client, &first).await {
                Ok(()) => client.batch_execute(then).await.map_err(|error| (error, then.clone())),
                Err(error) => Err((error, first)),
            },
        };
        if let Err((error, sql)) = made {
            // What is left of it would slow down every write, or refuse it. That it cannot be removed is the lesser news.
            for left in found(client, home).await.unwrap_or_default() {
                if left.name == one.temporary() {
                    let _ = remove(client, home, &left).await;
                }
            }
            return Err(match super::migrate::refused(&error, &Line { sql, step: &one.step }) {
                super::migrate::Attempt::Busy(why) => StoreError::Unavailable(why),
                super::migrate::Attempt::Failed(error) => error,
            });
        }
    }
    Ok(())
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
