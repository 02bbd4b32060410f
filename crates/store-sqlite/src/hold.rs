//! Holding writes up: triggers that refuse every write to a table, whoever makes it. They come and go in one transaction, so no write
//! slips between them, and a process that has the database open learns of them with its next statement.
//!
//! Absent: why (the data is being moved) and until when: whoever asked knows that.

use crate::ddl::{broken, name};
use rusqlite::Connection;
use rusqlite::ErrorCode;
use std::time::{Duration, Instant};
use undergird_store::StoreError;
use undergird_store::schema::Applied;

/// What is said to whoever writes; by this the error is known again.
pub(crate) const SAID: &str = "the database is read-only: its data is being moved, or was moved, to another one";

/// How long to ask for the database while another process writes without a pause.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Makes the triggers, or removes them.
pub(crate) fn hold(connection: &mut Connection, tables: &Applied, hold: bool) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("holding writes up", &error);
    begin(connection, "holding writes up")?;
    let done = connection.execute_batch(&statements(tables, hold)).and_then(|()| connection.execute_batch("COMMIT"));
    done.map_err(|error| {
        // The error is worth more than that of going back.
        let _ = connection.execute_batch("ROLLBACK");
        wrong(error)
    })
}

/// Begins a transaction that writes, however busy another process is.
pub(crate) fn begin(connection: &Connection, during: &str) -> Result<(), StoreError> {
    let until = Instant::now() + WAIT_MAX;
    // Each try waits as long as the connection's own patience; a busy writer of another process may win every time.
    while let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        let busy = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        if !busy || Instant::now() >= until {
            return Err(broken(during, &error));
        }
    }
    Ok(())
}

fn statements(tables: &Applied, hold: bool) -> String {
    let mut text = String::new();
    for table in &tables.tables {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            let trigger = name(&format!("_undergird_hold_{}_{}", event.to_lowercase(), table.name));
            text += &match hold {
                true => format!(
                    "CREATE TRIGGER IF NOT EXISTS {trigger} BEFORE {event} ON {} BEGIN SELECT RAISE(ABORT, '{SAID}'); END;\n",
                    name(&table.name)
                ),
                false => format!("DROP TRIGGER IF EXISTS {trigger};\n"),
            };
        }
    }
    text
}
