//! What the database has: the record of the schema that it was given, compared with what is really there.
//!
//! The record keeps the text of each table and index as SQLite wrote it down, so that any change by hand shows. Indexes, triggers,
//! views and tables that people add are theirs and no mismatch. Absent: reading an unknown database into models (`adopt`).

use crate::ddl::{Objects, RECORD, broken, name};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use undergird_store::StoreError;
use undergird_store::schema::Applied;

/// The schema that the database was last given; `None` when Undergird never gave it one.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when a table or an index is missing or was altered by hand, or when a newer Undergird wrote the
/// record.
pub fn applied(connection: &Connection) -> Result<Option<Applied>, StoreError> {
    // The record and the tables must be of one moment, or another process's migration looks like a change by hand.
    let snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose();
    let _snapshot = snapshot.map_err(|error| broken("reading the schema's record", &error))?;
    if !exists(connection, RECORD)? {
        return Ok(None);
    }
    let row = connection
        .query_row(&format!("SELECT applied, objects FROM {} ORDER BY id DESC LIMIT 1", name(RECORD)), [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .map_err(|error| broken("reading the schema's record", &error))?;
    let Some((applied, recorded)) = row else { return Ok(None) };
    let unreadable = |why: String| StoreError::SchemaMismatch(format!("the schema's record cannot be read: {why}"));
    let applied = Applied::from_json(&applied).map_err(unreadable)?;
    let recorded: Objects = serde_json::from_str(&recorded).map_err(|error| unreadable(error.to_string()))?;
    let present = objects(connection, &applied)?;
    for (object, sql) in &recorded {
        let what = if applied.table(object).is_some() { "table" } else { "index" };
        match present.get(object) {
            None if what == "index" => {
                return Err(StoreError::SchemaMismatch(format!(
                    "the index {object} is missing from the database: make it again with {sql}"
                )));
            }
            None => {
                return Err(StoreError::SchemaMismatch(format!(
                    "the table {object} is missing from the database: restore a backup"
                )));
            }
            Some(now) if now != sql => {
                return Err(StoreError::SchemaMismatch(format!(
                    "the {what} {object} was altered by hand: undo that change and make it in the definition instead"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(Some(applied))
}

/// Writes down that the database now has this schema. The last record counts; earlier ones are its history.
pub(crate) fn record(connection: &Connection, applied: &Applied) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("writing the schema's record", &error);
    connection
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {} (id INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL, fingerprint TEXT NOT NULL, \
             applied TEXT NOT NULL, objects TEXT NOT NULL) STRICT",
            name(RECORD)
        ))
        .map_err(wrong)?;
    let objects = serde_json::to_string(&objects(connection, applied)?)
        .map_err(|error| StoreError::Internal(format!("writing the schema's record: {error}")))?;
    connection
        .execute(
            &format!(
                "INSERT INTO {} (applied_at, fingerprint, applied, objects) \
                 VALUES (CAST(unixepoch('subsec') * 1000000 AS INTEGER), ?1, ?2, ?3)",
                name(RECORD)
            ),
            params![applied.fingerprint(), applied.to_json(), objects],
        )
        .map_err(wrong)?;
    Ok(())
}

/// Whether there is a table or view of this name.
pub(crate) fn exists(connection: &Connection, table: &str) -> Result<bool, StoreError> {
    connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?1)",
            [table],
            |_| Ok(()),
        )
        .optional()
        .map(|found| found.is_some())
        .map_err(|error| broken("reading the schema", &error))
}

/// Indexes and triggers on these tables that are in no record, with the text that made them.
pub(crate) fn made_by_hand(
    connection: &Connection,
    tables: &BTreeSet<&str>,
    recorded: Option<&Applied>,
) -> Result<Vec<(String, String)>, StoreError> {
    let ours: BTreeSet<&str> = recorded
        .iter()
        .flat_map(|applied| &applied.tables)
        .flat_map(|table| &table.indexes)
        .map(|index| index.name.as_str())
        .collect();
    let mut found = Vec::new();
    all(connection, |kind, object, table, sql| {
        if matches!(kind, "index" | "trigger") && tables.contains(table) && !ours.contains(object) {
            found.push((format!("the {kind} {object}"), sql.to_owned()));
        }
    })?;
    Ok(found)
}

/// The tables and indexes of a schema that are there, with the text that made them.
fn objects(connection: &Connection, applied: &Applied) -> Result<Objects, StoreError> {
    let names: BTreeSet<&str> = applied
        .tables
        .iter()
        .flat_map(|table| table.indexes.iter().map(|index| index.name.as_str()).chain([table.name.as_str()]))
        .collect();
    let mut objects = Objects::new();
    all(connection, |kind, object, _, sql| {
        if matches!(kind, "table" | "index") && names.contains(object) {
            objects.insert(object.to_owned(), sql.to_owned());
        }
    })?;
    Ok(objects)
}

/// Every object with a text of its own: kind, name, table, text.
fn all(connection: &Connection, mut each: impl FnMut(&str, &str, &str, &str)) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("reading the schema", &error);
    let mut statement = connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        .map_err(wrong)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    while let Some(row) = rows.next().map_err(wrong)? {
        let column = |at| row.get_ref(at).and_then(|value| Ok(value.as_str()?));
        each(
            column(0).map_err(wrong)?,
            column(1).map_err(wrong)?,
            column(2).map_err(wrong)?,
            column(3).map_err(wrong)?,
        );
    }
    Ok(())
}
