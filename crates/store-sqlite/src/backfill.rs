//! Backfills on SQLite: one batch after the other, each a transaction with the note of the last key. Absent: when one is due
//! ([`crate::migrations`]).

use crate::ddl::{broken, name};
use crate::introspect::{applied, exists};
use crate::migrations::{begin, done, record};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use undergird_model::Type;
use undergird_store::StoreError;
use undergird_store::migration::{Backfill, Progress, Ready, Run, Words, ready};

/// Where it is written down how far a backfill came: at most one row.
const PROGRESS: &str = "_undergird_backfill";

fn words() -> Words<'static> {
    Words { name: &name, parameter: &|at, _: Type| format!("?{at}"), read: &|column, _| column.to_owned() }
}

/// How far the backfill came that is under way.
pub(crate) fn progress(connection: &Connection) -> Result<Option<Progress>, StoreError> {
    Ok(cursor(connection)?.map(|cursor| cursor.progress))
}

/// Where a backfill is.
struct Cursor {
    progress: Progress,
    /// The hash of its migration.
    hash: String,
    /// The last key that was passed.
    last: Vec<Value>,
}

fn cursor(connection: &Connection) -> Result<Option<Cursor>, StoreError> {
    let wrong = |error: rusqlite::Error| broken("reading how far the backfill came", &error);
    if !exists(connection, PROGRESS)? {
        return Ok(None);
    }
    let text = format!("SELECT number, part, relation, done, total, last, hash FROM {}", name(PROGRESS));
    let row = connection.query_row(&text, [], |row| {
        let count = |at| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
        let progress =
            Progress { number: row.get(0)?, part: row.get(1)?, table: row.get(2)?, done: count(3)?, total: count(4)? };
        Ok((progress, row.get::<_, String>(5)?, row.get(6)?))
    });
    let Some((progress, last, hash)) = row.optional().map_err(wrong)? else { return Ok(None) };
    let last = last.lines().map(read).collect::<Option<_>>();
    let last = last.ok_or_else(|| StoreError::SchemaMismatch(format!("{PROGRESS} holds no key that can be read")))?;
    Ok(Some(Cursor { progress, hash, last }))
}

/// Takes the next batch. Gives whether it was the last.
pub(crate) fn batch(connection: &mut Connection, run: &Run, part: usize, fill: &Backfill) -> Result<bool, StoreError> {
    // What is filled in may refer to other rows. SQLite ignores this inside a transaction.
    let held = |connection: &Connection, held: i64| {
        let set = connection.pragma_update(None, "foreign_keys", held);
        set.map_err(|error| broken("setting foreign_keys", &error))
    };
    held(connection, 1)?;
    let result = batch_held(connection, run, part, fill);
    held(connection, 0)?;
    result
}

fn batch_held(connection: &mut Connection, run: &Run, part: usize, fill: &Backfill) -> Result<bool, StoreError> {
    let wrong = |error: rusqlite::Error| broken("filling rows", &error);
    let transaction = begin(connection)?;
    // Another process may have taken it meanwhile.
    if ready(run, &done(&transaction)?, applied(&transaction)?.as_ref())? != Ready::Go(part) {
        return Ok(true);
    }
    let at = name(PROGRESS);
    transaction
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {at} (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, part INTEGER NOT NULL, \
             relation TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL, last TEXT NOT NULL, hash TEXT NOT NULL) STRICT"
        ))
        .map_err(wrong)?;
    let part_number = u32::try_from(part).unwrap_or(u32::MAX);
    // One that was changed before anything else of it was done begins again.
    let is_this = |there: &Cursor| {
        (there.progress.number, there.progress.part, &there.hash) == (run.number, part_number, &run.hash)
    };
    let begun = cursor(&transaction)?.filter(is_this);
    let (mut progress, last) = match begun {
        Some(begun) => (begun.progress, begun.last),
        None => {
            record(&transaction, run, part)?;
            let total: i64 = transaction.query_row(&fill.count(&words()), [], |row| row.get(0)).map_err(wrong)?;
            let total = u64::try_from(total).unwrap_or(0);
            (Progress { number: run.number, part: part_number, table: fill.table.clone(), done: 0, total }, Vec::new())
        }
    };
    let begun = !last.is_empty();
    let mut upto = last.clone();
    let mut count = 0_u32;
    {
        let mut statement = transaction.prepare(&fill.keys(&words(), begun)).map_err(wrong)?;
        let mut rows = statement.query(params_from_iter(&last)).map_err(wrong)?;
        while let Some(row) = rows.next().map_err(wrong)? {
            upto = (0..fill.key.len()).map(|at| row.get(at)).collect::<Result<_, _>>().map_err(wrong)?;
            count += 1;
        }
    }
    if count > 0 {
        let text = fill.update(&words(), begun);
        transaction
            .execute(&text, params_from_iter(last.iter().chain(&upto)))
            .map_err(|error| refused(fill, &error))?;
    }
    progress.done += u64::from(count);
    let kept: Vec<String> = upto.iter().map(write).collect();
    let figure = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    transaction
        .execute(
            &format!("INSERT OR REPLACE INTO {at} (id, number, part, relation, done, total, last, hash) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
            params![
                run.number,
                part_number,
                fill.table,
                figure(progress.done),
                figure(progress.total),
                kept.join("\n"),
                run.hash
            ],
        )
        .map_err(wrong)?;
    let is_last = count < fill.batch;
    if is_last {
        record(&transaction, run, part + 1)?;
    }
    transaction.commit().map_err(wrong)?;
    tracing::info!(migration = run.number, done = progress.done, total = progress.total, "filling: {progress}");
    Ok(is_last)
}

/// Forgets how far a backfill came, when its migration is done.
pub(crate) fn forget(transaction: &Connection) -> Result<(), StoreError> {
    let text = format!("DROP TABLE IF EXISTS {}", name(PROGRESS));
    transaction.execute_batch(&text).map_err(|error| broken("forgetting how far the backfill came", &error))
}

fn refused(fill: &Backfill, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    match error.sqlite_error_code() {
        Some(DiskFull | DatabaseBusy | DatabaseLocked) => broken("filling rows", error),
        _ => StoreError::SchemaMismatch(format!(
            "filling rows of {} failed: {error} (what was filled before stays, and it goes on there)",
            fill.table
        )),
    }
}

/// A value of a key as a line of text.
fn write(value: &Value) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    match value {
        Value::Null => "n".into(),
        Value::Integer(number) => format!("i{number}"),
        Value::Real(number) => format!("r{:016x}", number.to_bits()),
        Value::Text(text) => format!("t{}", hex(text.as_bytes())),
        Value::Blob(octets) => format!("b{}", hex(octets)),
    }
}

fn read(line: &str) -> Option<Value> {
    let (kind, rest) = line.split_at_checked(1)?;
    let octets = |hex: &str| {
        let pairs = hex.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect::<Option<Vec<u8>>>()
    };
    Some(match kind {
        "n" => Value::Null,
        "i" => Value::Integer(rest.parse().ok()?),
        "r" => Value::Real(f64::from_bits(u64::from_str_radix(rest, 16).ok()?)),
        "t" => Value::Text(String::from_utf8(octets(rest)?).ok()?),
        "b" => Value::Blob(octets(rest)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use rusqlite::types::Value;

    #[test]
    fn keys_are_kept_as_they_are() {
        for value in [
            Value::Integer(i64::MIN),
            Value::Real(0.1),
            Value::Text("a\n\u{0}ü".into()),
            Value::Text(String::new()),
            Value::Blob(vec![0, 255]),
            Value::Null,
        ] {
            assert_eq!(read(&write(&value)), Some(value));
        }
        for line in ["", "x", "i", "tzz", "ü"] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
