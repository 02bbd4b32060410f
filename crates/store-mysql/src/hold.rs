//! Holding writes up: triggers that refuse every write to a table, whoever makes it. A trigger can be made when the transactions that
//! wrote to its table have ended, and who comes later meets it. Each is a statement of its own, so writes to all tables are held only when
//! all are there.
//!
//! Absent: why (the data is being moved) and until when: whoever asked knows that.

use crate::introspect::wrong;
use crate::types::name;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use undergird_store::StoreError;
use undergird_store::schema::Applied;

/// What is said to whoever writes; by this the error is known again.
pub(crate) const SAID: &str = "the data is being moved, or was moved, to another database";

/// What the names of the triggers begin with.
const HOLD: &str = "_undergird_hold_";

/// How long to wait for the transactions that use a table, in seconds: who comes later waits behind.
pub(crate) const WAIT_SECONDS: u32 = 20;

/// Makes the triggers, or removes them.
pub(crate) async fn hold(conn: &mut Conn, tables: &Applied, hold: bool) -> Result<(), StoreError> {
    conn.query_drop(format!("SET SESSION lock_wait_timeout = {WAIT_SECONDS}")).await.map_err(wrong)?;
    let text = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND LEFT(TRIGGER_NAME, ?) = ?";
    let there: Vec<String> = conn.exec(text, (HOLD.len(), HOLD)).await.map_err(wrong)?;
    if !hold {
        for trigger in there {
            conn.query_drop(format!("DROP TRIGGER IF EXISTS {}", name(&trigger))).await.map_err(wrong)?;
        }
        return Ok(());
    }
    for (at, table) in tables.tables.iter().enumerate() {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            // Names of triggers are short, and those of tables need not be.
            let trigger = format!("{HOLD}{at}_{}", event.to_lowercase());
            if there.contains(&trigger) {
                continue;
            }
            // The number of a server that takes no writes (ER_OPTION_PREVENTS_STATEMENT).
            let sql = format!(
                "CREATE TRIGGER {} BEFORE {event} ON {} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1290, \
                 MESSAGE_TEXT = '{SAID}'",
                name(&trigger),
                name(&table.name)
            );
            conn.query_drop(sql).await.map_err(wrong)?;
        }
    }
    Ok(())
}
