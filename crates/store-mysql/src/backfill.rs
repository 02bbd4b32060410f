//! Backfills on MySQL and MariaDB: one batch after the other, each a transaction with the note of the last key. Absent: when one is due
//! ([`crate::migrations`]).

use crate::introspect::{exists, wrong};
use crate::migrate::during;
use crate::migrations::note;
use crate::types::name;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params, Row, Value};
use std::time::Duration;
use undergird_model::Type;
use undergird_store::StoreError;
use undergird_store::migration::{Backfill, Progress, Run, Words};

/// Where it is written down how far a backfill came: at most one row.
const PROGRESS: &str = "_undergird_backfill";

/// How often a batch is tried while others are in its way.
const ATTEMPTS_MAX: u32 = 20;

/// The rest before it is tried again.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(200);

fn words() -> Words<'static> {
    Words { name: &name, parameter: &|_, _: Type| "?".to_owned(), read: &|column, _| column.to_owned() }
}

/// How far the backfill came that is under way.
pub(crate) async fn progress(conn: &mut Conn) -> Result<Option<Progress>, StoreError> {
    Ok(cursor(conn).await?.map(|cursor| cursor.progress))
}

/// Where a backfill is.
struct Cursor {
    progress: Progress,
    /// The hash of its migration.
    hash: String,
    /// The last key that was passed.
    last: Vec<Value>,
}

async fn cursor(conn: &mut Conn) -> Result<Option<Cursor>, StoreError> {
    if !exists(conn, PROGRESS).await? {
        return Ok(None);
    }
    let text = format!("SELECT number, part, relation, done, total, last, hash FROM {}", name(PROGRESS));
    let row: Option<(u32, u32, String, u64, u64, String, String)> = conn.query_first(text).await.map_err(wrong)?;
    let Some((number, part, table, done, total, last, hash)) = row else { return Ok(None) };
    let last: Option<Vec<Value>> = last.lines().map(read).collect();
    let last = last.ok_or_else(|| StoreError::SchemaMismatch(format!("{PROGRESS} holds no key that can be read")))?;
    Ok(Some(Cursor { progress: Progress { number, part, table, done, total }, hash, last }))
}

/// Takes batches until there are no more, and notes the part as done together with the last one. The caller holds the lock.
pub(crate) async fn fill(conn: &mut Conn, run: &Run, (part, fill): (usize, &Backfill)) -> Result<(), StoreError> {
    let text = format!(
        "CREATE TABLE IF NOT EXISTS {} (id int NOT NULL PRIMARY KEY, number int NOT NULL, part int NOT NULL, relation varchar(255) NOT NULL, \
         done bigint NOT NULL, total bigint NOT NULL, last longtext NOT NULL, hash varchar(64) NOT NULL)",
        name(PROGRESS)
    );
    conn.query_drop(text).await.map_err(|error| during("making the table for backfills", error))?;
    let part_number = u32::try_from(part).unwrap_or(u32::MAX);
    // One that was changed before anything else of it was done begins again.
    let is_this = |there: &Cursor| {
        (there.progress.number, there.progress.part, &there.hash) == (run.number, part_number, &run.hash)
    };
    let begun = cursor(conn).await?.filter(is_this);
    let (mut progress, mut last) = match begun {
        Some(begun) => (begun.progress, begun.last),
        None => {
            let total: Option<u64> = conn.query_first(fill.count(&words())).await.map_err(wrong)?;
            let (number, table) = (run.number, fill.table.clone());
            (Progress { number, part: part_number, table, done: 0, total: total.unwrap_or(0) }, Vec::new())
        }
    };
    let mut attempts = 0;
    loop {
        let (now, upto) = match batch(conn, run, (part, fill), (&progress, &last)).await {
            Ok(taken) => taken,
            // Others hold its rows: InnoDB waits for a while by itself, and then it is tried again.
            Err(Error::Server(said)) if [1205, 1213].contains(&said.code) && attempts < ATTEMPTS_MAX => {
                attempts += 1;
                let _ = conn.query_drop("ROLLBACK").await;
                tokio::time::sleep(ATTEMPT_PAUSE).await;
                continue;
            }
            Err(error) => {
                let _ = conn.query_drop("ROLLBACK").await;
                return Err(refused(fill, error));
            }
        };
        attempts = 0;
        let is_last = now.done - progress.done < u64::from(fill.batch);
        (progress, last) = (now, upto);
        tracing::info!(migration = run.number, done = progress.done, total = progress.total, "filling: {progress}");
        if is_last {
            return Ok(());
        }
        tokio::time::sleep(fill.pause).await;
    }
}

async fn batch(
    conn: &mut Conn,
    run: &Run,
    (part, fill): (usize, &Backfill),
    (progress, last): (&Progress, &[Value]),
) -> Result<(Progress, Vec<Value>), Error> {
    let begun = !last.is_empty();
    let bound = |values: Vec<Value>| if values.is_empty() { Params::Empty } else { Params::Positional(values) };
    conn.query_drop("START TRANSACTION").await?;
    let rows: Vec<Row> = conn.exec(fill.keys(&words(), begun), bound(last.to_vec())).await?;
    let count = rows.len();
    let upto = rows.into_iter().next_back().map_or_else(|| last.to_vec(), Row::unwrap);
    if count > 0 {
        let values = last.iter().chain(&upto).cloned().collect();
        conn.exec_drop(fill.update(&words(), begun), bound(values)).await?;
    }
    let now = Progress { done: progress.done + count as u64, ..progress.clone() };
    let text = format!(
        "REPLACE INTO {} (id, number, part, relation, done, total, last, hash) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        name(PROGRESS)
    );
    let kept: Vec<String> = upto.iter().map(write).collect();
    conn.exec_drop(text, (now.number, now.part, &now.table, now.done, now.total, kept.join("\n"), &run.hash)).await?;
    if count < fill.batch as usize {
        note(conn, run, part + 1).await?;
    }
    conn.query_drop("COMMIT").await?;
    Ok((now, upto))
}

/// Forgets how far a backfill came, when its migration is done.
pub(crate) async fn forget(conn: &mut Conn) -> Result<(), StoreError> {
    let text = format!("DROP TABLE IF EXISTS {}", name(PROGRESS));
    conn.query_drop(text).await.map_err(|error| during("forgetting how far the backfill came", error))
}

fn refused(fill: &Backfill, error: Error) -> StoreError {
    match error {
        Error::Server(said) if ![1205, 1213].contains(&said.code) => StoreError::SchemaMismatch(format!(
            "filling rows of {} failed: {} (what was filled before stays, and it goes on there)",
            fill.table, said.message
        )),
        error => during("filling rows", error),
    }
}

/// A value of a key as a line of text.
fn write(value: &Value) -> String {
    match value {
        Value::NULL => "n".into(),
        Value::Int(number) => format!("i{number}"),
        Value::UInt(number) => format!("u{number}"),
        Value::Float(number) => format!("r{:016x}", f64::from(*number).to_bits()),
        Value::Double(number) => format!("r{:016x}", number.to_bits()),
        Value::Bytes(octets) => format!("b{}", octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>()),
        // As text, which the server reads as the time that it is.
        time => format!("d{}", time.as_sql(true).trim_matches('\'')),
    }
}

fn read(line: &str) -> Option<Value> {
    let (kind, rest) = line.split_at_checked(1)?;
    Some(match kind {
        "n" => Value::NULL,
        "i" => Value::Int(rest.parse().ok()?),
        "u" => Value::UInt(rest.parse().ok()?),
        "r" => Value::Double(f64::from_bits(u64::from_str_radix(rest, 16).ok()?)),
        "b" => {
            let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            Value::Bytes(rest.as_bytes().chunks(2).map(octet).collect::<Option<_>>()?)
        }
        "d" => Value::Bytes(rest.as_bytes().to_vec()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use mysql_async::Value;

    #[test]
    fn keys_are_kept_as_they_are() {
        for value in [Value::Int(-1), Value::UInt(u64::MAX), Value::Double(0.1), Value::Bytes(vec![0, 255, 10])] {
            assert_eq!(read(&write(&value)), Some(value));
        }
        let time = Value::Date(2026, 11, 23, 8, 5, 9, 120);
        assert_eq!(read(&write(&time)), Some(Value::Bytes(b"2026-11-23 08:05:09.000120".to_vec())));
        for line in ["", "x", "i", "bzz"] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
