//! Steps taken: all of them in one transaction, once for however many nodes start at the same moment.
//!
//! A migration waits for no lock longer than [`LOCK_PATIENCE_MILLIS`], because every statement of others that comes later would wait
//! behind it; it gives way and tries again. Absent: statements about rows of the application beyond what a step says.

use super::{HELPERS, Line, RECORD, early, follow, script};
use crate::backfill;
use crate::introspect::{self, Home};
use crate::migrations;
use crate::types::{NAME_OCTETS_MAX, identifier, name, text};
use crate::wall;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel, Transaction};
use undergird_store::StoreError;
use undergird_store::changes::Follow;
use undergird_store::migration::{Outcome, Ready, Run, RunPart, Stage, ready};
use undergird_store::schema::{self, Applied, Step, Table};

/// How long to wait for others who are migrating, or who hold a lock.
const MIGRATING_MAX: Duration = Duration::from_secs(60);

/// How long to wait for one lock before giving way to those who wait behind.
const LOCK_PATIENCE_MILLIS: u32 = 2_000;

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The lock that whoever changes a schema of this database holds: the octets of `undrgird`. Not one per schema, for the helpers are
/// shared.
const LOCK: i64 = 0x756e_6472_6769_7264;

/// Where the helpers' trigger function is: see [`super::identity_trigger`]. Nothing here trusts the caller's `search_path`.
const IDENTITY_FOLLOWS: &str = r"CREATE OR REPLACE FUNCTION undergird.identity_follows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
  key name := (SELECT attname FROM pg_attribute WHERE attrelid = TG_RELID AND attidentity <> '' AND NOT attisdropped);
  wanted bigint := (to_jsonb(NEW) ->> key)::bigint;
  sequence regclass := pg_get_serial_sequence(TG_RELID::regclass::text, key);
  last bigint;
BEGIN
  -- One at a time, until the end of the transaction: two who set it at once could set it back.
  PERFORM pg_advisory_xact_lock(1970170992, sequence::oid::integer);
  last := coalesce(pg_sequence_last_value(sequence), 0);
  IF wanted - last > 1000 THEN
    PERFORM setval(sequence, wanted);
  ELSE
    -- Others are given numbers meanwhile, which setval could give once more; over a short way it is walked instead.
    WHILE last < wanted LOOP
      last := nextval(sequence);
    END LOOP;
  END IF;
  RETURN NEW;
END
$body$";

/// Takes the steps and records `wanted`, in one transaction; a failure or a crash leaves everything as it was. When another node has
/// come to `wanted` meanwhile, there is nothing to do. `functions` are the statements that make what the dialect needs in the schema
/// `undergird`; see [`install_functions`].
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when the steps do not lead from what the database has to `wanted`, when a table was changed by
/// hand, when rows that are there do not allow a step, or when the role lacks a right; the text says which and how to mend it.
/// [`StoreError::Unavailable`] when others held locks for too long, or the connection broke.
pub async fn migrate(client: &mut Client, steps: &[Step], wanted: &Applied, functions: &str) -> Result<(), StoreError> {
    if let Some(reason) = steps.iter().find_map(Step::blocked).or_else(|| unspeakable(wanted)) {
        return Err(StoreError::SchemaMismatch(reason));
    }
    patiently(client, Errand::Migrate { steps, wanted, functions }).await.map(|_| ())
}

/// Takes a committed migration, or takes one back, in one transaction with the note of it; where a backfill is in it, in several, each
/// with the note of how far it came. Between them another process may go on with it. Before each of them indexes are built that nobody
/// needs to wait for.
///
/// # Errors
/// As [`migrate`].
pub async fn apply(client: &mut Client, run: &Run, functions: &str) -> Result<Outcome, StoreError> {
    for part in &run.parts {
        if let RunPart::Schema(wanted) = part
            && let Some(reason) = unspeakable(wanted)
        {
            return Err(StoreError::SchemaMismatch(reason));
        }
    }
    let mut outcome = Outcome::AlreadyThere;
    loop {
        let came = match early::build(client, run).await {
            Ok(()) => patiently(client, Errand::Apply { run, functions }).await,
            Err(error) => Err(error),
        };
        let came = match came {
            Ok(came) => came,
            Err(error) => {
                // Until somebody has changed something, or tries again, what was built would slow down every write, and a rule would refuse
                // what older nodes may write. That it cannot be dropped is the lesser news.
                let refused = matches!(error, StoreError::SchemaMismatch(_));
                let leftovers = if refused { early::Leftovers::All } else { early::Leftovers::Rules };
                let _ = early::clear(client, leftovers).await;
                return Err(error);
            }
        };
        if came.outcome == Outcome::Taken {
            outcome = Outcome::Taken;
        }
        let Some(pause) = came.more else {
            early::clear(client, early::Leftovers::All).await?;
            return Ok(outcome);
        };
        tokio::time::sleep(pause).await;
    }
}

/// Makes the functions that statements use, unless the database has these very ones already. They are shared by all applications in
/// the database; a later version of Undergird replaces them, so they must go on serving earlier statements.
///
/// # Errors
/// As [`migrate`].
pub async fn install_functions(client: &mut Client, functions: &str) -> Result<(), StoreError> {
    let version = version(functions);
    let row = client.query_opt(INSTALLED, &[]).await.map_err(|error| broken("reading the schema undergird", &error))?;
    if row.is_some_and(|row| serves(row.get(0), &version) && row.get::<_, bool>(1)) {
        return Ok(());
    }
    patiently(client, Errand::Install { functions }).await.map(|_| ())
}

/// Has triggers refuse every write to the tables, or removes them. A trigger can be made when the transactions that wrote to its table
/// have ended, and who comes later meets it.
///
/// # Errors
/// [`StoreError::Unavailable`] when others held locks for too long, or the connection broke.
pub async fn hold_writes(client: &mut Client, tables: &Applied, hold: bool) -> Result<(), StoreError> {
    patiently(client, Errand::Hold { tables, hold }).await.map(|_| ())
}

/// Has triggers note the keys of changed rows in logs, or removes both.
///
/// # Errors
/// As [`hold_writes`].
pub async fn follow_changes(client: &mut Client, tables: &Applied, follow: Follow<'_>) -> Result<(), StoreError> {
    patiently(client, Errand::Follow { tables, follow }).await.map(|_| ())
}

/// Puts a wall around the tables in the place of the one that may be there, unless it is this one. The role may look into the
/// schema afterwards; what else it may do is the script's to say.
///
/// # Errors
/// As [`migrate`].
pub(crate) async fn raise_wall(
    client: &mut Client,
    script: &str,
    role: &str,
    tables: &[&str],
) -> Result<(), StoreError> {
    patiently(client, Errand::Wall { script, role, tables }).await.map(|_| ())
}

async fn wall(transaction: &Transaction<'_>, script: &str, role: &str, tables: &[&str]) -> Result<(), Attempt> {
    let home = introspect::home(transaction).await?;
    introspect::settle(transaction, &home).await?;
    let wrong = |error| failed("raising the wall", &error);
    let mark = wall::mark(script);
    if transaction.query_one(wall::MARKED, &[]).await.map_err(wrong)?.get::<_, Option<String>>(0) == Some(mark.clone())
    {
        return is_no_door(transaction, role, tables).await;
    }
    transaction.batch_execute(wall::TAKEN_DOWN).await.map_err(wrong)?;
    let usage = format!("GRANT USAGE ON SCHEMA {} TO {}", name(&home.schema), name(role));
    let marked = format!("COMMENT ON TABLE {} IS {}", name(RECORD), text(&mark));
    transaction.batch_execute(&format!("{usage};\n{script};\n{marked}")).await.map_err(wrong)?;
    is_no_door(transaction, role, tables).await
}

/// That nobody gave the reader what goes past the wall, by a right of its own, of everybody's, or of a role that it is in.
async fn is_no_door(transaction: &Transaction<'_>, role: &str, tables: &[&str]) -> Result<(), Attempt> {
    let wrong = |error| failed("looking at the reader's rights", &error);
    let row = transaction.query_one(wall::TOO_MUCH, &[&tables, &role]).await.map_err(wrong)?;
    match row.get::<_, Option<String>>(0) {
        None => Ok(()),
        Some(found) => Err(Attempt::Failed(StoreError::SchemaMismatch(format!(
            "row_security: the login \"{role}\" of reader_url has rights that no policy stands before, on {found}: revoke them, also those of \
             PUBLIC and of roles such as pg_read_all_data that it is a member of"
        )))),
    }
}

/// The name of these triggers and of their function.
const HOLD: &str = "_undergird_hold";

async fn hold_all(transaction: &Transaction<'_>, tables: &Applied, hold: bool) -> Result<(), Attempt> {
    let home = introspect::home(transaction).await?;
    introspect::settle(transaction, &home).await?;
    let mut script = String::new();
    if hold {
        // As a server that takes no writes says it (read_only_sql_transaction).
        script += &format!(
            "CREATE OR REPLACE FUNCTION {HOLD}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN RAISE EXCEPTION USING \
             ERRCODE = '25006', MESSAGE = {}; END $body$;\n",
            text(crate::error::HELD)
        );
    }
    for table in &tables.tables {
        let table = name(&table.name);
        script += &format!("DROP TRIGGER IF EXISTS {HOLD} ON {table};\n");
        if hold {
            script += &format!(
                "CREATE TRIGGER {HOLD} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} \
                 FOR EACH STATEMENT EXECUTE FUNCTION {HOLD}();\n"
            );
        }
    }
    if !hold {
        script += &format!("DROP FUNCTION IF EXISTS {HOLD}();");
    }
    transaction.batch_execute(&script).await.map_err(|error| failed("holding writes up", &error))
}

/// The comment on the schema of the helpers, which names their version, and whether whoever made it may be trusted: code of a
/// stranger's would run with our rights.
const INSTALLED: &str = "SELECT obj_description(n.oid, 'pg_namespace'), r.rolsuper OR pg_has_role(n.nspowner, 'USAGE') \
     FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner WHERE n.nspname = 'undergird'";

/// The number of the functions' edition: greater whenever they are changed, so that an older node which starts again in the middle of an
/// upgrade leaves the newer ones alone.
const EDITION: u32 = 1;

/// How the comment begins; the edition follows, and what names these very texts.
const MADE: &str = "Functions of Undergird, made by it:";

/// Whether the functions that a comment tells of are these, or a later edition, which goes on serving what this one's statements call.
fn serves(there: Option<&str>, version: &str) -> bool {
    let edition = |comment: &str| comment.strip_prefix(MADE)?.split_whitespace().next()?.parse::<u32>().ok();
    there == Some(version) || there.and_then(edition).is_some_and(|there| there > EDITION)
}

fn version(functions: &str) -> String {
    // FNV-1a of 64 bits: it tells versions apart and guards against nothing.
    let hash = [IDENTITY_FOLLOWS, functions]
        .iter()
        .flat_map(|text| text.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{MADE} {EDITION} {hash:016x}")
}

/// An attempt that failed.
pub(super) enum Attempt {
    /// Somebody else was in the way: it may go better soon.
    Busy(String),
    Failed(StoreError),
}

impl From<StoreError> for Attempt {
    fn from(error: StoreError) -> Attempt {
        Attempt::Failed(error)
    }
}

/// What is done under the lock.
#[derive(Clone, Copy)]
enum Errand<'a> {
    Migrate { steps: &'a [Step], wanted: &'a Applied, functions: &'a str },
    Apply { run: &'a Run, functions: &'a str },
    Install { functions: &'a str },
    Hold { tables: &'a Applied, hold: bool },
    Follow { tables: &'a Applied, follow: Follow<'a> },
    Wall { script: &'a str, role: &'a str, tables: &'a [&'a str] },
}

/// What came of an errand.
struct Came {
    outcome: Outcome,
    /// There is more of it to do, after a rest.
    more: Option<Duration>,
}

impl Came {
    fn all(outcome: Outcome) -> Came {
        Came { outcome, more: None }
    }
}

async fn patiently(client: &mut Client, errand: Errand<'_>) -> Result<Came, StoreError> {
    let until = Instant::now() + MIGRATING_MAX;
    let mut pause = Duration::from_millis(50);
    loop {
        match locked(client, errand).await {
            Ok(came) => return Ok(came),
            Err(Attempt::Failed(error)) => return Err(error),
            Err(Attempt::Busy(_)) if Instant::now() + pause < until => tokio::time::sleep(pause).await,
            Err(Attempt::Busy(why)) => {
                return Err(StoreError::Unavailable(format!(
                    "the schema could not be changed within {} seconds, because others were using it: {why}",
                    MIGRATING_MAX.as_secs()
                )));
            }
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One transaction, under the lock.
async fn locked(client: &mut Client, errand: Errand<'_>) -> Result<Came, Attempt> {
    // Each statement must see what the one who had the lock before has done.
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .read_only(false)
        .start()
        .await
        .map_err(|error| failed("beginning a transaction", &error))?;
    transaction
        .batch_execute(&format!(
            "SET LOCAL lock_timeout = {LOCK_PATIENCE_MILLIS}; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock({LOCK})"
        ))
        .await
        .map_err(|error| failed("waiting for the database", &error))?;
    let came = match errand {
        Errand::Migrate { steps, wanted, functions } => {
            Came::all(attempt(&transaction, steps, wanted, functions).await?)
        }
        Errand::Apply { run, functions } => attempt_run(&transaction, run, functions).await?,
        Errand::Install { functions } => {
            install(&transaction, functions).await?;
            Came::all(Outcome::Taken)
        }
        Errand::Hold { tables, hold } => {
            hold_all(&transaction, tables, hold).await?;
            Came::all(Outcome::Taken)
        }
        Errand::Follow { tables, follow } => {
            let home = introspect::home(&transaction).await?;
            introspect::settle(&transaction, &home).await?;
            let wrong = |error| failed("following changes", &error);
            let script = follow::script(&transaction, &home.schema, tables, follow).await.map_err(wrong)?;
            transaction.batch_execute(&script).await.map_err(|error| failed("following changes", &error))?;
            Came::all(Outcome::Taken)
        }
        Errand::Wall { script, role, tables } => {
            wall(&transaction, script, role, tables).await?;
            Came::all(Outcome::Taken)
        }
    };
    transaction.commit().await.map_err(|error| failed("committing the new schema", &error))?;
    Ok(came)
}

/// The application's schema, made if need be, and what it has.
async fn arrive(transaction: &Transaction<'_>) -> Result<(Home, Option<Applied>), Attempt> {
    let home = introspect::home(transaction).await?;
    if !home.exists {
        let made = transaction.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", name(&home.schema))).await;
        made.map_err(|error| failed("making the schema", &error))?;
    }
    introspect::settle(transaction, &home).await?;
    let current = introspect::recorded(transaction, &home).await?;
    Ok((home, current))
}

async fn attempt(
    transaction: &Transaction<'_>,
    steps: &[Step],
    wanted: &Applied,
    functions: &str,
) -> Result<Outcome, Attempt> {
    let (home, current) = arrive(transaction).await?;
    if current.as_ref().is_some_and(|current| current.fingerprint() == wanted.fingerprint()) {
        return Ok(Outcome::AlreadyThere);
    }
    if schema::steps(current.as_ref(), wanted) != steps {
        return Err(Attempt::Failed(StoreError::SchemaMismatch(
            "the database was changed while the steps were planned: plan them again".into(),
        )));
    }
    take(transaction, (current.as_ref(), wanted), steps, &home, functions).await?;
    announce(transaction).await?;
    Ok(Outcome::Taken)
}

/// Takes the steps from one schema to another, and records that.
async fn take(
    transaction: &Transaction<'_>,
    (current, wanted): (Option<&Applied>, &Applied),
    steps: &[Step],
    home: &Home,
    functions: &str,
) -> Result<(), Attempt> {
    refuse_foreign_tables(transaction, steps, current, &home.schema).await?;
    // What it is made of holds on to columns. It is raised again for the definition that the steps lead to.
    transaction.batch_execute(wall::TAKEN_DOWN).await.map_err(|error| failed("taking the wall down", &error))?;
    install(transaction, functions).await?;
    let built =
        early::built(transaction, home).await.map_err(|error| failed("looking for what is made already", &error))?;
    for line in script(steps, wanted) {
        let naming = early::named(&line, &built);
        let sql = naming.as_deref().unwrap_or(&line.sql);
        transaction.batch_execute(sql).await.map_err(|error| refused(&error, &line))?;
    }
    introspect::record(transaction, wanted, home).await?;
    Ok(())
}

async fn announce(transaction: &Transaction<'_>) -> Result<(), Attempt> {
    transaction
        .batch_execute(&format!("NOTIFY {HELPERS}, 'schema'"))
        .await
        .map_err(|error| failed("telling the other nodes", &error))
}

async fn attempt_run(transaction: &Transaction<'_>, run: &Run, functions: &str) -> Result<Came, Attempt> {
    let (home, mut current) = arrive(transaction).await?;
    let Ready::Go(from) = ready(run, &migrations::noted(transaction, &home).await?, current.as_ref())? else {
        return Ok(Came::all(Outcome::AlreadyThere));
    };
    let (parts, next) = match run.stage(from) {
        Stage::Together(parts, next) => (parts, next),
        Stage::Batches(fill) => {
            let is_last =
                backfill::batch(transaction, &home, run, (from, fill)).await.map_err(|fault| match fault {
                    backfill::Fault::Database(error) => failed("filling rows", &error),
                    backfill::Fault::Store(error) => Attempt::Failed(error),
                })?;
            if is_last {
                announce(transaction).await?;
            }
            let more = (!is_last || from + 1 < run.parts.len()).then_some(fill.pause);
            return Ok(Came { outcome: Outcome::Taken, more });
        }
    };
    for part in parts {
        match part {
            RunPart::Schema(wanted) => {
                let steps = schema::steps(current.as_ref(), wanted);
                if let Some(reason) = steps.iter().find_map(Step::blocked) {
                    return Err(Attempt::Failed(StoreError::SchemaMismatch(reason)));
                }
                take(transaction, (current.as_ref(), wanted), &steps, &home, functions).await?;
                current = Some(wanted.clone());
            }
            RunPart::Sql(text) => by_hand(transaction, text, &home).await?,
            // They are a stage of their own.
            RunPart::Backfill(_) => {}
        }
    }
    migrations::note(transaction, run, next).await?;
    announce(transaction).await?;
    let more = (next < run.parts.len()).then_some(Duration::ZERO);
    Ok(Came { outcome: Outcome::Taken, more })
}

/// SQL by hand, which must leave the transaction open and what is Undergird's own as it is.
async fn by_hand(transaction: &Transaction<'_>, text: &str, home: &Home) -> Result<(), Attempt> {
    let broken = |error| failed("SQL by hand", &error);
    // It ends with the transaction.
    transaction.batch_execute("SET LOCAL undergird.migrating = 'yes'").await.map_err(broken)?;
    transaction.batch_execute(text).await.map_err(|error| match error.code().map(SqlState::code) {
        Some(code)
            if ["22", "23", "42", "2B", "0A", "P0", "55"].contains(&code.get(..2).unwrap_or_default())
                && code != "55P03" =>
        {
            Attempt::Failed(StoreError::SchemaMismatch(format!("SQL by hand failed: {}", said(&error))))
        }
        _ => broken(error),
    })?;
    let row =
        transaction.query_one("SELECT current_setting('undergird.migrating', true)", &[]).await.map_err(broken)?;
    if row.get::<_, Option<String>>(0).as_deref() != Some("yes") {
        return Err(Attempt::Failed(StoreError::SchemaMismatch(
            "SQL by hand ended the transaction, so what it did stays while the migration does not count: take COMMIT and ROLLBACK out of it"
                .into(),
        )));
    }
    introspect::settle(transaction, home).await?;
    introspect::recorded(transaction, home).await?;
    Ok(())
}

/// Tables that somebody else made stay his.
async fn refuse_foreign_tables(
    transaction: &Transaction<'_>,
    steps: &[Step],
    current: Option<&Applied>,
    home: &str,
) -> Result<(), Attempt> {
    for step in steps {
        let (Step::CreateTable(Table { name, .. }) | Step::RenameTable { to: name, .. }) = step else { continue };
        let ours = current.is_some_and(|current| current.table(name).is_some())
            || steps.iter().any(|step| matches!(step, Step::DropTable(table) if table.name == *name));
        if !ours && introspect::exists(transaction, home, &identifier(name)).await? {
            return Err(Attempt::Failed(StoreError::SchemaMismatch(format!(
                "the database has a table {name} already that Undergird did not make: rename it, or give the collection another `table`"
            ))));
        }
    }
    Ok(())
}

/// Makes the functions. The caller holds the lock.
async fn install(transaction: &Transaction<'_>, functions: &str) -> Result<(), Attempt> {
    let version = version(functions);
    let found = transaction
        .query_opt(INSTALLED, &[])
        .await
        .map_err(|error| failed("reading the schema undergird", &error))?
        .map(|row| (row.get::<_, Option<String>>(0), row.get::<_, bool>(1)));
    match found {
        Some((_, false)) => {
            return Err(Attempt::Failed(StoreError::SchemaMismatch(
                "the database has a schema undergird that belongs to another role, whose functions would run with this one's \
                 rights: let both applications use one role, or grant them a common owner of that schema"
                    .into(),
            )));
        }
        Some((installed, true)) if serves(installed.as_deref(), &version) => return Ok(()),
        Some(_) | None => {}
    }
    let script = format!(
        "CREATE SCHEMA IF NOT EXISTS {HELPERS}; GRANT USAGE ON SCHEMA {HELPERS} TO PUBLIC;\n{IDENTITY_FOLLOWS};\n{functions};\n\
         COMMENT ON SCHEMA {HELPERS} IS {}",
        text(&version)
    );
    transaction.batch_execute(&script).await.map_err(|error| failed("making the functions of Undergird", &error))
}

/// Names that PostgreSQL would cut off, or would take for its own. Of constraints and indexes it is enough to cut them ourselves.
fn unspeakable(wanted: &Applied) -> Option<String> {
    for table in &wanted.tables {
        if table.name.len() > NAME_OCTETS_MAX {
            return Some(format!(
                "the table name {} is longer than the {NAME_OCTETS_MAX} octets that PostgreSQL keeps: give the collection a shorter `table`",
                table.name
            ));
        }
        if table.name.starts_with("pg_") || table.name == RECORD {
            return Some(format!(
                "the table name {} is one of the database's own: give the collection another `table`",
                table.name
            ));
        }
        for column in &table.columns {
            if column.name.len() > NAME_OCTETS_MAX {
                return Some(format!(
                    "the column name {}.{} is longer than the {NAME_OCTETS_MAX} octets that PostgreSQL keeps: give the field a shorter \
                     `column`",
                    table.name, column.name
                ));
            }
            if ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"].contains(&column.name.as_str()) {
                return Some(format!(
                    "{}.{} is the name of a system column of PostgreSQL's: give the field another `column`",
                    table.name, column.name
                ));
            }
        }
    }
    None
}

/// A step that failed: rows that are there hinder it, people built on what it changes, or something is broken.
pub(super) fn refused(error: &tokio_postgres::Error, line: &Line<'_>) -> Attempt {
    let Some(said) = error.as_db_error() else { return failed(&line.step.describe(), error) };
    let (code, message) = (said.code().code(), said.message());
    let refusal = match code.get(..2) {
        // Integrity, and values that a type does not take.
        Some("22" | "23") => match line.step.mending() {
            Some(mending) => format!("{mending} ({message})"),
            None => format!("rows that are there do not fit the new schema: {message}"),
        },
        Some("2B") | Some("0A") => {
            let what = said.detail().unwrap_or(message);
            format!("something made by hand hinders \"{}\" ({what}): drop it first", line.step.describe())
        }
        _ => return failed(&line.step.describe(), error),
    };
    Attempt::Failed(StoreError::SchemaMismatch(refusal))
}

fn failed(during: &str, error: &tokio_postgres::Error) -> Attempt {
    match error.code() {
        Some(code)
            if [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE]
                .contains(code) =>
        {
            Attempt::Busy(format!("{during}: {}", said(error)))
        }
        _ => Attempt::Failed(broken(during, error)),
    }
}

/// PostgreSQL's own sentence.
pub(crate) fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    }
}

/// An error that no row is to blame for.
pub(crate) fn broken(during: &str, error: &tokio_postgres::Error) -> StoreError {
    let said = said(error);
    let Some(code) = error.code() else {
        return if error.is_closed() || std::error::Error::source(error).is_some() {
            StoreError::Unavailable(format!("{during}: {said}"))
        } else {
            StoreError::Internal(format!("{during}: {said}"))
        };
    };
    match code.code() {
        "53100" => StoreError::Full,
        "42501" => StoreError::SchemaMismatch(format!(
            "{during}: {said}: let the role own the schema, or GRANT it CREATE on the schema and the database"
        )),
        "25006" => {
            StoreError::Unavailable(format!("{during}: this is a standby, or the database takes no writes: {said}"))
        }
        other if other.starts_with("08") || other.starts_with("53") || other.starts_with("57") => {
            StoreError::Unavailable(format!("{during}: {said}"))
        }
        _ => StoreError::Internal(format!("{during}: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Older nodes leave functions of a later edition alone, and of no other.
    #[test]
    fn functions_that_changed_are_of_a_new_edition() {
        assert_eq!(
            version(crate::dialect::functions()),
            "Functions of Undergird, made by it: 1 a7ca1c3ac923265f",
            "raise EDITION, then this"
        );
    }
}
