//! Logs of changed keys, filled by triggers, for whoever copies the database meanwhile. They come and go in one transaction. A row that a
//! reference removes or changes fires them as any other.
//!
//! Absent: what is done with the logs.

use crate::ddl::{broken, name};
use crate::hold::begin;
use rusqlite::Connection;
use undergird_store::StoreError;
use undergird_store::changes::{Follow, LOGS, key_column, log_name};
use undergird_store::schema::Applied;

/// Makes the logs and their triggers, or removes them.
pub(crate) fn follow(connection: &mut Connection, tables: &Applied, follow: Follow<'_>) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("following changes", &error);
    begin(connection, "following changes")?;
    let done = statements(connection, tables, follow)
        .and_then(|text| connection.execute_batch(&text))
        .and_then(|()| connection.execute_batch("COMMIT"));
    done.map_err(|error| {
        // The error is worth more than that of going back.
        let _ = connection.execute_batch("ROLLBACK");
        wrong(error)
    })
}

fn statements(connection: &Connection, tables: &Applied, follow: Follow<'_>) -> rusqlite::Result<String> {
    let mut text = String::new();
    let begins = match follow {
        Follow::End(run) => format!("{LOGS}{run}_"),
        Follow::Begin(_) | Follow::EndAll => LOGS.to_owned(),
    };
    // Triggers first: they name the tables.
    let mut there = connection.prepare(
        "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'trigger') AND substr(name, 1, length(?1)) = ?1 ORDER BY type DESC",
    )?;
    let mut rows = there.query([&begins])?;
    while let Some(row) = rows.next()? {
        let (kind, object): (String, String) = (row.get(0)?, row.get(1)?);
        text += &format!("DROP {kind} {};\n", name(&object));
    }
    let Follow::Begin(run) = follow else { return Ok(text) };
    for (at, table) in tables.tables.iter().enumerate() {
        let log = log_name(run, at);
        let columns: Vec<String> = (0..table.key.len()).map(key_column).collect();
        let columns = columns.join(", ");
        let of = |row: &str| {
            let keys: Vec<String> = table.key.iter().map(|key| format!("{row}.{}", name(key))).collect();
            keys.join(", ")
        };
        let same: Vec<String> = table.key.iter().map(|key| format!("OLD.{0} IS NEW.{0}", name(key))).collect();
        // Without a type a column keeps each value as it comes.
        text += &format!("CREATE TABLE {} (seq INTEGER PRIMARY KEY, gone INTEGER NOT NULL, {columns});\n", name(&log));
        let note =
            |gone: u8, row: &str| format!("INSERT INTO {} (gone, {columns}) SELECT {gone}, {}", name(&log), of(row));
        for (event, body) in [
            ("INSERT", format!("{};", note(0, "NEW"))),
            ("UPDATE", format!("{}; {} WHERE NOT ({});", note(0, "NEW"), note(1, "OLD"), same.join(" AND "))),
            ("DELETE", format!("{};", note(1, "OLD"))),
        ] {
            text += &format!(
                "CREATE TRIGGER {} AFTER {event} ON {} BEGIN {body} END;\n",
                name(&format!("{log}_{}", event.to_lowercase())),
                name(&table.name)
            );
        }
    }
    Ok(text)
}
