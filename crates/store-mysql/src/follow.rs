//! Logs of changed keys, filled by triggers, for whoever copies the database meanwhile. What references remove or change is not in them:
//! here that fires no triggers.
//!
//! Absent: what is done with the logs.

use crate::hold::WAIT_SECONDS;
use crate::introspect::wrong;
use crate::types::name;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use undergird_store::StoreError;
use undergird_store::changes::{Follow, LOGS, key_column, log_name};
use undergird_store::schema::Applied;

/// Makes the logs and their triggers, or removes them.
pub(crate) async fn follow(conn: &mut Conn, tables: &Applied, follow: Follow<'_>) -> Result<(), StoreError> {
    conn.query_drop(format!("SET SESSION lock_wait_timeout = {WAIT_SECONDS}")).await.map_err(wrong)?;
    let begins = match follow {
        Follow::End(run) => format!("{LOGS}{run}_"),
        Follow::Begin(_) | Follow::EndAll => LOGS.to_owned(),
    };
    let length = begins.chars().count();
    let text = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND LEFT(TRIGGER_NAME, ?) = ?";
    let triggers: Vec<String> = conn.exec(text, (length, &begins)).await.map_err(wrong)?;
    for trigger in triggers {
        conn.query_drop(format!("DROP TRIGGER IF EXISTS {}", name(&trigger))).await.map_err(wrong)?;
    }
    let text =
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, ?) = ?";
    let logs: Vec<String> = conn.exec(text, (length, &begins)).await.map_err(wrong)?;
    for log in logs {
        conn.query_drop(format!("DROP TABLE IF EXISTS {}", name(&log))).await.map_err(wrong)?;
    }
    let Follow::Begin(run) = follow else { return Ok(()) };
    for (at, table) in tables.tables.iter().enumerate() {
        let log = log_name(run, at);
        let keys = table.key.iter().enumerate();
        let columns: Vec<String> =
            keys.map(|(at, key)| format!("{} AS {}", name(key), name(&key_column(at)))).collect();
        conn.query_drop(format!(
            "CREATE TABLE {} (seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, gone BIGINT NOT NULL DEFAULT 0) SELECT {} FROM {} WHERE 1 = 0",
            name(&log),
            columns.join(", "),
            name(&table.name)
        ))
        .await
        .map_err(wrong)?;
        let into: Vec<String> = (0..table.key.len()).map(|at| name(&key_column(at))).collect();
        let note = |gone: u8, row: &str| {
            let values: Vec<String> = table.key.iter().map(|key| format!("{row}.{}", name(key))).collect();
            format!("INSERT INTO {} (gone, {}) VALUES ({gone}, {});", name(&log), into.join(", "), values.join(", "))
        };
        // As octets: a collation may take two for one.
        let same: Vec<String> = table
            .key
            .iter()
            .map(|key| format!("CAST(OLD.{0} AS BINARY) <=> CAST(NEW.{0} AS BINARY)", name(key)))
            .collect();
        for (event, body) in [
            ("INSERT", note(0, "NEW")),
            ("UPDATE", format!("{} IF NOT ({}) THEN {} END IF;", note(0, "NEW"), same.join(" AND "), note(1, "OLD"))),
            ("DELETE", note(1, "OLD")),
        ] {
            conn.query_drop(format!(
                "CREATE TRIGGER {} AFTER {event} ON {} FOR EACH ROW BEGIN {body} END",
                name(&format!("{log}_{}", event.to_lowercase())),
                name(&table.name)
            ))
            .await
            .map_err(wrong)?;
        }
    }
    Ok(())
}
