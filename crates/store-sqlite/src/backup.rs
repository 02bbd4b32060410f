//! A copy of a database as it is at one moment, made while others write; and whether such a copy is sound, and what it holds.
//!
//! Absent: archives, manifests and directories (the server's), and any lock on the writer: a copy is one read in the write-ahead log,
//! which holds up nobody.

use crate::error::store_error;
use crate::introspect;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use undergird_store::StoreError;
use undergird_store::schema::Applied;

/// How long to wait for a process that makes the database or its log.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What a sound copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The schema that Undergird gave the database; `None` when it never gave it one.
    pub schema: Option<Applied>,
    /// Rows by table, in order of their names: of the tables of the schema.
    pub rows: Vec<(String, u64)>,
}

/// Writes the database at `from`, as it is when the copy begins, to the file `to`, which must not be there. Other processes go on
/// writing meanwhile. What was deleted is not in the copy. The file is not yet synced to the disk.
///
/// # Errors
/// Either file cannot be opened, or the disk is full.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wrong = |error: rusqlite::Error| told(from, &error);
    let connection = Connection::open_with_flags(from, flags).map_err(wrong)?;
    careful(&connection).map_err(wrong)?;
    // The log is the running server's to fold.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(wrong)?;
    let target = to.to_str().ok_or_else(|| StoreError::Unavailable(format!("{}: not UTF-8", to.display())))?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(wrong)?;
    Ok(())
}

/// Opens a copy and looks at every page, row and reference in it.
///
/// # Errors
/// [`StoreError::Unavailable`] when it is no sound database, with the first things found; [`StoreError::SchemaMismatch`] when its
/// record of the schema is not what is there, or a newer Undergird's.
pub fn inspect(path: &Path) -> Result<Contents, StoreError> {
    let wrong = |error: rusqlite::Error| told(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    careful(&connection).map_err(wrong)?;
    let damage = lines(&connection, "PRAGMA integrity_check(5)", 0).map_err(wrong)?;
    if damage != ["ok"] {
        return Err(StoreError::Unavailable(format!("{}: {}", path.display(), damage.join("; "))));
    }
    let dangling = lines(&connection, "PRAGMA foreign_key_check", 0).map_err(wrong)?;
    if let Some(table) = dangling.first() {
        let count = dangling.len();
        return Err(StoreError::Unavailable(format!(
            "{}: {count} references lead nowhere, the first in {table}",
            path.display()
        )));
    }
    let schema = introspect::applied(&connection)?;
    let mut rows = Vec::new();
    for table in schema.iter().flat_map(|schema| &schema.tables) {
        let statement = format!("SELECT count(*) FROM \"{}\"", table.name.replace('"', "\"\""));
        let count: i64 = connection.query_row(&statement, [], |row| row.get(0)).map_err(wrong)?;
        rows.push((table.name.clone(), u64::try_from(count).unwrap_or(0)));
    }
    Ok(Contents { schema, rows })
}

/// What is in the file is not trusted with anything but data.
fn careful(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(WAIT_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// The texts in a column of a pragma's answer.
fn lines(connection: &Connection, pragma: &str, column: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(pragma)?;
    let lines = statement.query_map([], |row| row.get(column))?;
    lines.collect()
}

fn told(path: &Path, error: &rusqlite::Error) -> StoreError {
    match store_error(error) {
        StoreError::Full => StoreError::Full,
        StoreError::Unavailable(why) | StoreError::Internal(why) => {
            StoreError::Unavailable(format!("{}: {why}", path.display()))
        }
        other => other,
    }
}
