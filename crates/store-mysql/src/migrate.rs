//! Takes the steps of a migration, one node at a time, each step all or nothing as far as DDL lets it.
//!
//! Every statement of DDL commits by itself here, so a migration that is killed has done some of its steps. After each the record says
//! what the database has then, and whoever plans again goes on from there. Before each, the step is written down with its statements,
//! how many of them are done, and how the tables looked: from that it is known whether the one that was running when the process or
//! the server died has happened, and the rest of them is run before anything else is.
//!
//! Absent: the statements; those are in [`crate::ddl`].

use crate::ddl::{Line, Taken, script};
use crate::dialect;
use crate::error::{Fault, fault};
use crate::introspect::{self, Objects, RECORD, Recorded, STEP, exists, objects, wrong};
use crate::notices;
use crate::server::Server;
use crate::types::{name, unsupported};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use serde::{Deserialize, Serialize};
use undergird_store::StoreError;
use undergird_store::schema::{self, Applied, Step};

/// How long to wait for another node that is migrating.
const MIGRATING_MAX_SECONDS: u32 = 120;

/// A step that is being taken.
#[derive(Serialize, Deserialize)]
struct Doing {
    /// In words, and what to do when rows hinder it.
    step: String,
    mending: Option<String>,
    lines: Vec<Line>,
    tables: Vec<String>,
    renames: bool,
    /// What the database has afterwards, as the record keeps it.
    after: String,
}

/// Takes the steps and records `wanted`. When another process has come to it meanwhile, there is nothing to do.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when the steps do not lead from what the database has to `wanted`, when a table was changed by
/// hand, when the server cannot keep the schema, or when rows that are there do not allow a step; the text says which and how to mend
/// it. The steps before that one are done.
pub(crate) async fn migrate(
    conn: &mut Conn,
    server: &Server,
    steps: &[Step],
    wanted: &Applied,
    alone: bool,
) -> Result<(), StoreError> {
    if let Some(reason) = steps.iter().find_map(Step::blocked) {
        return Err(StoreError::SchemaMismatch(reason));
    }
    let told = unsupported(wanted);
    if !told.is_empty() {
        return Err(StoreError::SchemaMismatch(format!("MySQL cannot keep this schema: {}", told.join("; "))));
    }
    lock(conn).await?;
    let result = migrate_locked(conn, server, steps, wanted, alone).await;
    unlock(conn).await;
    result
}

/// The schema that the database has. A step that was interrupted is brought to its end before.
pub(crate) async fn current(conn: &mut Conn, server: &Server) -> Result<Option<Applied>, StoreError> {
    if !exists(conn, RECORD).await? {
        return Ok(None);
    }
    if is_doing(conn).await? {
        lock(conn).await?;
        let result = resume(conn, server).await;
        unlock(conn).await;
        result?;
    }
    let applied = introspect::applied(conn, server).await;
    match applied {
        // Another node may have begun meanwhile: what looks like a change by hand is its half-way.
        Err(StoreError::SchemaMismatch(_)) if is_busy(conn).await? => {
            lock(conn).await?;
            let applied = match resume(conn, server).await {
                Ok(()) => introspect::applied(conn, server).await,
                Err(error) => Err(error),
            };
            unlock(conn).await;
            applied
        }
        other => other,
    }
}

/// Installs the functions of the dialect when those that are there are of another version, or are not all there: a dump has none of
/// them unless it was made with `--routines`.
pub(crate) async fn install(conn: &mut Conn, functions: &[String]) -> Result<(), StoreError> {
    let version = version(functions);
    if is_installed(conn, functions, &version).await? {
        return Ok(());
    }
    for function in functions {
        conn.query_drop(function.as_str()).await.map_err(|error| during("installing the functions", error))?;
    }
    let text = format!("UPDATE {} SET functions = ?", name(RECORD));
    conn.exec_drop(text, (version,)).await.map_err(wrong)
}

/// The same for a node that starts: it takes its turn when another is at it, or is migrating.
pub(crate) async fn install_in_turn(conn: &mut Conn, functions: &[String]) -> Result<(), StoreError> {
    if is_installed(conn, functions, &version(functions)).await? {
        return Ok(());
    }
    lock(conn).await?;
    let result = install(conn, functions).await;
    unlock(conn).await;
    result
}

async fn is_installed(conn: &mut Conn, functions: &[String], version: &str) -> Result<bool, StoreError> {
    let text = format!("SELECT functions FROM {} ORDER BY id DESC LIMIT 1", name(RECORD));
    let there: Option<String> = conn.exec_first(text, ()).await.map_err(wrong)?;
    Ok(serves(there.as_deref(), version) && are_there(conn, functions).await?)
}

async fn are_there(conn: &mut Conn, functions: &[String]) -> Result<bool, StoreError> {
    let wanted = functions.iter().filter(|text| text.starts_with("CREATE FUNCTION")).count();
    let text = "SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = DATABASE() AND LEFT(routine_name, 3) = 'ug_'";
    let there: Option<usize> = conn.query_first(text).await.map_err(wrong)?;
    Ok(there.is_some_and(|there| there >= wanted))
}

/// The number of the functions' edition: greater whenever they are changed, so that an older node which starts again in the middle of an
/// upgrade leaves the newer ones alone.
const EDITION: u32 = 2;

/// Whether the functions that are there are these, or a later edition, which goes on serving what this one's statements call.
fn serves(there: Option<&str>, version: &str) -> bool {
    let edition = |there: &str| there.split_once(' ')?.0.parse::<u32>().ok();
    there == Some(version) || there.and_then(edition).is_some_and(|there| there > EDITION)
}

/// Names the functions by their edition and text.
fn version(functions: &[String]) -> String {
    let hash = functions
        .iter()
        .flat_map(|text| text.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{EDITION} {hash:016x}")
}

pub(crate) async fn lock(conn: &mut Conn) -> Result<(), StoreError> {
    let text = format!("SELECT GET_LOCK(CONCAT('undergird.', MD5(DATABASE())), {MIGRATING_MAX_SECONDS})");
    let got: Option<Option<i64>> = conn.query_first(text).await.map_err(wrong)?;
    if got.flatten() == Some(1) {
        return Ok(());
    }
    Err(StoreError::Unavailable("another process has been migrating the database for too long".into()))
}

pub(crate) async fn unlock(conn: &mut Conn) {
    // The lock ends with the connection in any case.
    let _ = conn.query_drop("DO RELEASE_LOCK(CONCAT('undergird.', MD5(DATABASE())))").await;
}

/// Whether somebody is migrating.
async fn is_busy(conn: &mut Conn) -> Result<bool, StoreError> {
    let text = "SELECT IS_USED_LOCK(CONCAT('undergird.', MD5(DATABASE())))";
    let holder: Option<Option<u64>> = conn.query_first(text).await.map_err(wrong)?;
    Ok(holder.flatten().is_some() || is_doing(conn).await?)
}

async fn is_doing(conn: &mut Conn) -> Result<bool, StoreError> {
    if !exists(conn, STEP).await? {
        return Ok(false);
    }
    let found: Option<i64> = conn.query_first(format!("SELECT id FROM {}", name(STEP))).await.map_err(wrong)?;
    Ok(found.is_some())
}

pub(crate) async fn migrate_locked(
    conn: &mut Conn,
    server: &Server,
    steps: &[Step],
    wanted: &Applied,
    alone: bool,
) -> Result<(), StoreError> {
    prepare(conn, server).await?;
    resume(conn, server).await?;
    let current = introspect::applied(conn, server).await?;
    if let Some(current) = &current
        && current.fingerprint() == wanted.fingerprint()
    {
        return install(conn, &dialect::functions(server.collation())).await;
    }
    let left = schema::steps(current.as_ref(), wanted);
    // Another process may have taken the first of them and been killed.
    if left != steps && !left.iter().all(|step| steps.contains(step)) {
        return Err(StoreError::SchemaMismatch(
            "the database was changed while the steps were planned: plan them again".into(),
        ));
    }
    for step in &left {
        if let Step::CreateTable(schema::Table { name, .. }) | Step::RenameTable { to: name, .. } = step
            && exists(conn, name).await?
            && !left.iter().any(|step| matches!(step, Step::DropTable(table) if table.name == *name))
            && !current.iter().flat_map(|current| &current.tables).any(|table| table.name.eq_ignore_ascii_case(name))
        {
            return Err(StoreError::SchemaMismatch(format!(
                "the database has a table {name} already that Undergird did not make: rename it, or give the collection another `table`"
            )));
        }
    }
    let from = current.unwrap_or_else(Applied::empty);
    begin_record(conn, server, &from).await?;
    install(conn, &dialect::functions(server.collation())).await?;
    for mut taken in script(server, &from, &left, wanted) {
        if alone {
            taken.look_before();
        }
        take(conn, server, &taken).await?;
    }
    // The same in all that counts; the order of columns may be another.
    write_record(conn, server, wanted, None).await
}

/// The tables that hold all this.
pub(crate) async fn prepare(conn: &mut Conn, server: &Server) -> Result<(), StoreError> {
    let options = crate::types::table_options(server);
    for text in [
        format!(
            "CREATE TABLE IF NOT EXISTS {} (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, applied_at datetime(6) NOT NULL, \
             fingerprint varchar(64) NOT NULL, applied longtext NOT NULL, objects longtext NOT NULL, functions varchar(32) NOT NULL) {options}",
            name(RECORD)
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (id bigint NOT NULL PRIMARY KEY, doing longtext NOT NULL, done bigint NOT NULL, \
             form longtext NOT NULL) {options}",
            name(STEP)
        ),
        notices::table(&options),
    ] {
        conn.query_drop(text).await.map_err(|error| during("making the tables for the schema's record", error))?;
    }
    Ok(())
}

/// A new record that says what is there; the steps change it one by one. Earlier records are the history.
async fn begin_record(conn: &mut Conn, server: &Server, from: &Applied) -> Result<(), StoreError> {
    let before: Option<String> = conn
        .exec_first(format!("SELECT functions FROM {} ORDER BY id DESC LIMIT 1", name(RECORD)), ())
        .await
        .map_err(wrong)?;
    let objects = objects(conn, from, None).await?;
    let recorded = recorded(server, objects)?;
    let text = format!(
        "INSERT INTO {} (applied_at, fingerprint, applied, objects, functions) VALUES (NOW(6), ?, ?, ?, ?)",
        name(RECORD)
    );
    let values = (from.fingerprint(), from.to_json(), recorded, before.unwrap_or_default());
    conn.exec_drop(text, values).await.map_err(wrong)
}

fn recorded(server: &Server, objects: Objects) -> Result<String, StoreError> {
    let recorded = Recorded { server: server.name.clone(), objects };
    serde_json::to_string(&recorded)
        .map_err(|error| StoreError::Internal(format!("writing the schema's record: {error}")))
}

/// Changes the last record, and forgets the step that led to it, in one transaction. Only these tables have another form than before.
async fn write_record(
    conn: &mut Conn,
    server: &Server,
    applied: &Applied,
    changed: Option<&[String]>,
) -> Result<(), StoreError> {
    let mut objects = objects(conn, applied, changed).await?;
    if let Some(changed) = changed
        && let Some((_, before)) = introspect::record(conn).await?
    {
        let is_changed = |object: &str| {
            changed.iter().any(|table| {
                object.strip_prefix(table.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        for (object, form) in before.objects {
            if !is_changed(&object) {
                objects.insert(object, form);
            }
        }
    }
    let recorded = recorded(server, objects)?;
    let last: Option<i64> =
        conn.query_first(format!("SELECT MAX(id) FROM {}", name(RECORD))).await.map_err(wrong)?.flatten();
    conn.query_drop("START TRANSACTION").await.map_err(wrong)?;
    let text = format!(
        "UPDATE {} SET applied_at = NOW(6), fingerprint = ?, applied = ?, objects = ? WHERE id = ?",
        name(RECORD)
    );
    conn.exec_drop(text, (applied.fingerprint(), applied.to_json(), recorded, last)).await.map_err(wrong)?;
    conn.query_drop(format!("DELETE FROM {}", name(STEP))).await.map_err(wrong)?;
    conn.query_drop("COMMIT").await.map_err(wrong)
}

/// Takes one step.
async fn take(conn: &mut Conn, server: &Server, taken: &Taken<'_>) -> Result<(), StoreError> {
    if taken.lines.is_empty() {
        // It came with another step, or with the record at the end; what is recorded until then is a step behind in words alone.
        return Ok(());
    }
    for hindrance in &taken.hindrances {
        let found: Option<mysql_async::Row> = conn.query_first(hindrance.as_str()).await.map_err(wrong)?;
        if found.is_some() {
            let words = taken.step.mending().unwrap_or_else(|| taken.step.describe());
            return Err(StoreError::SchemaMismatch(words));
        }
    }
    let doing = begin_step(conn, taken).await?;
    run(conn, server, &doing, 0).await
}

/// Writes a step down before it is taken.
async fn begin_step(conn: &mut Conn, taken: &Taken<'_>) -> Result<Doing, StoreError> {
    let doing = Doing {
        step: taken.step.describe(),
        mending: taken.step.mending(),
        lines: taken.lines.clone(),
        tables: taken.tables.clone(),
        renames: matches!(taken.step, Step::RenameTable { .. } | Step::RenameColumn { .. } | Step::DropTable(_)),
        after: taken.after.to_json(),
    };
    let text = serde_json::to_string(&doing).map_err(|error| StoreError::Internal(error.to_string()))?;
    let form = introspect::form_of(conn, &doing.tables).await?;
    let insert = format!("INSERT INTO {} (id, doing, done, form) VALUES (1, ?, 0, ?)", name(STEP));
    conn.exec_drop(insert, (text, form)).await.map_err(wrong)?;
    Ok(doing)
}

/// Writes down how many statements of a step are done, and how its tables look before the next.
async fn count(conn: &mut Conn, doing: &Doing, done: usize) -> Result<(), StoreError> {
    let form = introspect::form_of(conn, &doing.tables).await?;
    let text = format!("UPDATE {} SET done = ?, form = ?", name(STEP));
    conn.exec_drop(text, (done as u64, form)).await.map_err(wrong)
}

/// Brings an interrupted step to its end, or to where it was if nothing of it had happened.
pub(crate) async fn resume(conn: &mut Conn, server: &Server) -> Result<(), StoreError> {
    if !is_doing(conn).await? {
        return Ok(());
    }
    let text = format!("SELECT doing, done, form FROM {}", name(STEP));
    let row: Option<(String, u64, String)> = conn.query_first(text).await.map_err(wrong)?;
    let Some((doing, done, form)) = row else { return Ok(()) };
    let doing: Doing = serde_json::from_str(&doing).map_err(|error| {
        StoreError::SchemaMismatch(format!("an interrupted migration's step cannot be read: {error}"))
    })?;
    let mut done = usize::try_from(done).unwrap_or(usize::MAX);
    // Rows are changed together with the count, so only DDL can have happened without being counted.
    let open = doing.lines.get(done).is_some_and(|line| !line.rows);
    if open && introspect::form_of(conn, &doing.tables).await? != form {
        done += 1;
    }
    if done == 0 {
        return conn.query_drop(format!("DELETE FROM {}", name(STEP))).await.map_err(wrong);
    }
    tracing::info!(step = %doing.step, "a migration was interrupted in this step, which is finished now");
    run(conn, server, &doing, done).await
}

/// Runs the statements of a step from one on, and records what they lead to.
async fn run(conn: &mut Conn, server: &Server, doing: &Doing, from: usize) -> Result<(), StoreError> {
    for (at, line) in doing.lines.iter().enumerate().skip(from) {
        if at > 0 {
            count(conn, doing, at).await?;
        }
        if let Err(error) = run_line(conn, line, at).await {
            let refused = refused(doing, error);
            if at == 0 {
                // Nothing of it has happened. When that cannot be written down, the next one finds out.
                let _ = conn.query_drop(format!("DELETE FROM {}", name(STEP))).await;
            }
            return Err(refused);
        }
    }
    let after = Applied::from_json(&doing.after)
        .map_err(|why| StoreError::SchemaMismatch(format!("a step's record cannot be read: {why}")))?;
    // A renamed table or column is named in the foreign keys of others, too.
    let changed = Some(doing.tables.as_slice()).filter(|_| !doing.renames);
    write_record(conn, server, &after, changed).await
}

async fn run_line(conn: &mut Conn, line: &Line, at: usize) -> Result<(), Error> {
    if line.rows {
        conn.query_drop("START TRANSACTION").await?;
        let changed = async {
            conn.query_drop(line.sql.as_str()).await?;
            let text = format!("UPDATE {} SET done = ?", name(STEP));
            conn.exec_drop(text, (at as u64 + 1,)).await?;
            conn.query_drop("COMMIT").await
        };
        let changed = changed.await;
        if changed.is_err() {
            let _ = conn.query_drop("ROLLBACK").await;
        }
        return changed;
    }
    if line.held {
        return conn.query_drop(line.sql.as_str()).await;
    }
    conn.query_drop(Server::foreign_keys(false)).await?;
    let result = conn.query_drop(line.sql.as_str()).await;
    conn.query_drop(Server::foreign_keys(true)).await?;
    result
}

/// A step that failed: rows that are there hinder it, or something is broken.
fn refused(doing: &Doing, error: Error) -> StoreError {
    let rows = match &error {
        Error::Server(error) => matches!(
            error.code,
            1062 | 1138 | 1048 | 1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1452 | 3140 | 3819 | 4025 | 1451 | 1216
        ),
        _ => false,
    };
    match &doing.mending {
        Some(mending) if rows => StoreError::SchemaMismatch(mending.clone()),
        _ if rows => StoreError::SchemaMismatch(format!("rows that are there hinder this step: {}", doing.step)),
        _ => during(&doing.step, error),
    }
}

/// An error that no row is to blame for.
pub(crate) fn during(what: &str, error: Error) -> StoreError {
    match fault(error) {
        Fault::Store(StoreError::Internal(why)) => StoreError::Internal(format!("{what}: {why}")),
        Fault::Store(StoreError::SchemaMismatch(why)) => StoreError::SchemaMismatch(format!("{what}: {why}")),
        Fault::Lost(why) => StoreError::Unavailable(format!("{what}: {why}")),
        Fault::Conflict => StoreError::Unavailable(format!("{what}: a table is in use for too long")),
        other => other.into(),
    }
}

/// Takes so many statements of a step and stops, as a kill would; the last of them counted or not.
#[cfg(test)]
pub(crate) async fn interrupted(
    conn: &mut Conn,
    taken: &Taken<'_>,
    stop: usize,
    counted: bool,
) -> Result<(), StoreError> {
    let doing = begin_step(conn, taken).await?;
    for (at, line) in doing.lines.iter().enumerate().take(stop) {
        if at > 0 {
            count(conn, &doing, at).await?;
        }
        run_line(conn, line, at).await.map_err(wrong)?;
    }
    if counted && stop > 0 {
        count(conn, &doing, stop).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Older nodes leave functions of a later edition alone, and of no other.
    #[test]
    fn functions_that_changed_are_of_a_new_edition() {
        assert_eq!(
            version(&crate::dialect::functions("utf8mb4_bin")),
            "2 7291937d4cfdc89d",
            "raise EDITION, then this"
        );
    }
}
