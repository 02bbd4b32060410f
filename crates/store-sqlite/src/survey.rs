//! What is in a SQLite file that somebody else made, for [`undergird_store::adopt`].
//!
//! A column's declared type says what was meant, its values what is there: both are looked at, because SQLite holds anything in
//! anything. The file is opened for reading alone. Absent: names, keys and relations of the definition; those are decided there.

mod columns;
mod texts;

use crate::ddl::{RECORD, broken, name};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::collections::BTreeMap;
use std::path::Path;
use undergird_store::StoreError;
use undergird_store::adopt::{
    Found, FoundColumn, FoundDefault, FoundReference, SAMPLE_ROWS, Sort, Survey, TABLES_MAX, candidates,
};

/// Looks at a file.
///
/// # Errors
/// [`StoreError::Unavailable`] when there is no such file, or it is no database.
pub fn survey(path: &Path) -> Result<(Survey, bool), StoreError> {
    let wrong = |error: rusqlite::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(wrong)?;
    // One moment, and the first touch of the file: what is no database shows here.
    connection.execute_batch("BEGIN").map_err(wrong)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(wrong)?;
    look(&connection)
}

fn look(connection: &Connection) -> Result<(Survey, bool), StoreError> {
    let mut survey = Survey::default();
    let wrong = |error: rusqlite::Error| broken("reading the schema", &error);
    let mut statement = connection
        .prepare(
            "SELECT l.name, l.type, l.wr, coalesce(s.sql, '') FROM pragma_table_list AS l \
             JOIN sqlite_schema AS s ON s.name = l.name AND s.type IN ('table', 'view') WHERE l.schema = 'main' ORDER BY l.name",
        )
        .map_err(wrong)?;
    let rows = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?, row.get::<_, String>(3)?))
        })
        .map_err(wrong)?;
    let mut known = false;
    for row in rows {
        let (table, kind, without_rowid, sql) = row.map_err(wrong)?;
        if table == RECORD {
            known = true;
            continue;
        }
        if table.starts_with("sqlite_") || survey.tables.len() > TABLES_MAX {
            continue;
        }
        match kind.as_str() {
            "table" | "view" => match found(connection, &table, kind == "view", without_rowid, &sql) {
                Ok(found) => survey.tables.push(found),
                Err(error) => survey.notes.push(format!("{table}: left out: it cannot be read ({error})")),
            },
            "virtual" => {
                survey.notes.push(format!("{table}: left out: a virtual table is no place of its own for rows"))
            }
            // Where a virtual table keeps what it has.
            _ => {}
        }
    }
    let triggers = connection
        .query_row("SELECT group_concat(name, ', ') FROM sqlite_schema WHERE type = 'trigger'", [], |row| {
            row.get::<_, Option<String>>(0)
        })
        .map_err(wrong)?;
    if let Some(triggers) = triggers {
        survey.notes.push(format!("triggers stay the database's and go on working: {triggers}"));
    }
    Ok((survey, known))
}

fn found(
    connection: &Connection,
    table: &str,
    is_view: bool,
    without_rowid: bool,
    sql: &str,
) -> rusqlite::Result<Found> {
    let mut found = Found {
        schema: None,
        name: table.to_owned(),
        sort: if is_view { Sort::View } else { Sort::Table },
        comment: None,
        columns: Vec::new(),
        key: Vec::new(),
        apart: Vec::new(),
        uniques: Vec::new(),
        indexes: Vec::new(),
        references: Vec::new(),
        checks: if is_view { Vec::new() } else { texts::checks(sql) },
        notes: Vec::new(),
    };
    let mut declared = Vec::new();
    let mut keys: BTreeMap<i64, String> = BTreeMap::new();
    let mut statement = connection
        .prepare("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let column: String = row.get(0)?;
        let (hidden, place): (i64, i64) = (row.get(5)?, row.get(4)?);
        if hidden == 1 {
            continue;
        }
        if place > 0 {
            keys.insert(place, column.clone());
        }
        let native: Option<String> = row.get(1)?;
        declared.push(columns::Declared {
            name: column,
            native: native.unwrap_or_default(),
            required: row.get(2)?,
            default: row.get(3)?,
            generated: hidden > 1,
        });
    }
    found.key = keys.into_values().collect();
    let probes = columns::probe(connection, table, &declared, SAMPLE_ROWS)?;
    for (declared, probe) in declared.iter().zip(&probes) {
        let mut column = columns::column(declared, probe);
        let is_rowid =
            !without_rowid && found.key == [declared.name.clone()] && declared.native.eq_ignore_ascii_case("INTEGER");
        if is_rowid && !is_view {
            column.default = FoundDefault::Numbered;
        }
        if found.key.contains(&declared.name) && probe.nulls > 0 && !is_rowid {
            column
                .notes
                .push(format!("{} rows have null in this part of the key: they cannot be addressed", probe.nulls));
        }
        found.columns.push(column);
    }
    references(connection, &mut found)?;
    indexes(connection, &mut found)?;
    if found.key.is_empty() {
        found.apart = apart(connection, &found)?;
    }
    Ok(found)
}

fn references(connection: &Connection, found: &mut Found) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let mut rows = statement.query([&found.name])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if last != Some(id) {
            last = Some(id);
            found.references.push(FoundReference {
                name: format!("number {id}"),
                columns: Vec::new(),
                schema: None,
                // Names of tables are the same whatever their case.
                table: real_name(connection, &row.get::<_, String>(1)?)?,
                targets: Vec::new(),
                on_update: row.get(4)?,
                on_delete: row.get(5)?,
            });
        }
        if let Some(reference) = found.references.last_mut() {
            reference.columns.push(row.get(2)?);
            reference.targets.extend(row.get::<_, Option<String>>(3)?);
        }
    }
    // SQLite numbers them from the last to the first.
    found.references.reverse();
    Ok(())
}

fn real_name(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let found = connection
        .query_row("SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(?1)", [table], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(found.unwrap_or_else(|| table.to_owned()))
}

fn indexes(connection: &Connection, found: &mut Found) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1) ORDER BY seq DESC")?;
    let lists = statement
        .query_map([&found.name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?, row.get::<_, bool>(3)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (index, unique, origin, partial) in lists {
        let mut statement =
            connection.prepare("SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno")?;
        let parts = statement
            .query_map([&index], |row| {
                Ok((row.get::<_, Option<String>>(0)?, row.get::<_, bool>(1)?, row.get::<_, Option<String>>(2)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let by_expression = parts.iter().any(|(name, _, _)| name.is_none());
        let by_collation = parts.iter().any(|(_, _, coll)| coll.as_deref().is_some_and(|coll| coll != "BINARY"));
        if origin == "pk" {
            continue;
        }
        if partial || by_expression || by_collation {
            let why = if partial {
                "it is over some of the rows"
            } else if by_expression {
                "it is over an expression"
            } else {
                "it has a collation"
            };
            if unique {
                found.notes.push(format!("the unique index {index} stays the database's alone: {why}"));
            }
            continue;
        }
        let columns: Vec<(String, bool)> =
            parts.into_iter().filter_map(|(name, descends, _)| Some((name?, descends))).collect();
        match unique {
            true => found.uniques.push(columns.into_iter().map(|(name, _)| name).collect()),
            false => found.indexes.push(columns),
        }
    }
    Ok(())
}

/// Columns that no two of the rows share and that are never null, as far as one looks.
fn apart(connection: &Connection, found: &Found) -> rusqlite::Result<Vec<String>> {
    let table = name(&found.name);
    for columns in candidates(found) {
        let list: Vec<String> = columns.iter().map(|column| name(column)).collect();
        let nulls: Vec<String> = list.iter().map(|column| format!("{column} IS NULL")).collect();
        let sample = format!("(SELECT {} FROM {table} LIMIT {SAMPLE_ROWS})", list.join(", "));
        let fits: bool = connection.query_row(
            &format!(
                "SELECT EXISTS (SELECT 1 FROM {sample}) AND NOT EXISTS (SELECT 1 FROM {sample} WHERE {}) \
                 AND NOT EXISTS (SELECT 1 FROM {sample} GROUP BY {} HAVING count(*) > 1)",
                nulls.join(" OR "),
                list.join(", ")
            ),
            [],
            |row| row.get(0),
        )?;
        if fits {
            return Ok(columns);
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests;
