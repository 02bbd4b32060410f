//! Backfills on PostgreSQL: the next batch, within the transaction that the migration's lock is held in. Keys are read and bound as text,
//! which every type of a key is written as and read from without loss. Absent: when one is due ([`crate::ddl`]).

use crate::ddl::broken;
use crate::introspect::{Home, exists};
use crate::migrations;
use crate::types::{name, storage};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Transaction};
use undergird_model::Type;
use undergird_store::StoreError;
use undergird_store::migration::{Backfill, Progress, Run, Words};

/// Where it is written down how far a backfill came: at most one row.
const PROGRESS: &str = "_undergird_backfill";

/// Why a batch failed.
pub(crate) enum Fault {
    Database(tokio_postgres::Error),
    Store(StoreError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        Fault::Database(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Store(error)
    }
}

fn words() -> Words<'static> {
    Words {
        name: &name,
        parameter: &|at, ty: Type| format!("${at}::text::{}", storage(ty)),
        read: &|column, _| format!("{column}::text"),
    }
}

/// Where a backfill is.
pub(crate) struct Cursor {
    pub(crate) progress: Progress,
    /// The hash of its migration.
    hash: String,
    /// The last key that was passed.
    last: Vec<String>,
}

/// Where the backfill is that is under way.
pub(crate) async fn cursor(client: &impl GenericClient, home: &Home) -> Result<Option<Cursor>, StoreError> {
    if !exists(client, &home.schema, PROGRESS).await? {
        return Ok(None);
    }
    let text = format!("SELECT number, part, relation, done, total, last, hash FROM {}", name(PROGRESS));
    let row = client.query_opt(&text, &[]).await;
    let row = row.map_err(|error| broken("reading how far the backfill came", &error))?;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    Ok(row.map(|row| {
        let progress = Progress {
            number: number(row.get(0)),
            part: number(row.get(1)),
            table: row.get(2),
            done: count(row.get(3)),
            total: count(row.get(4)),
        };
        Cursor { progress, last: row.get(5), hash: row.get(6) }
    }))
}

/// Takes the next batch. Gives whether it was the last.
pub(crate) async fn batch(
    transaction: &Transaction<'_>,
    home: &Home,
    run: &Run,
    (part, fill): (usize, &Backfill),
) -> Result<bool, Fault> {
    let at = name(PROGRESS);
    transaction
        .batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS {at} (id integer PRIMARY KEY, number integer NOT NULL, part integer NOT NULL, \
             relation text NOT NULL, done bigint NOT NULL, total bigint NOT NULL, last text[] NOT NULL, hash text NOT NULL)"
        ))
        .await?;
    let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let part_number = u32::try_from(part).unwrap_or(u32::MAX);
    // One that was changed before anything else of it was done begins again.
    let is_this = |there: &Cursor| {
        (there.progress.number, there.progress.part, &there.hash) == (run.number, part_number, &run.hash)
    };
    let begun = cursor(transaction, home).await?.filter(is_this);
    let (mut progress, last) = match begun {
        Some(begun) => (begun.progress, begun.last),
        None => {
            migrations::note(transaction, run, part).await?;
            let total: i64 = transaction.query_one(&fill.count(&words()), &[]).await?.get(0);
            let total = u64::try_from(total).unwrap_or(0);
            (Progress { number: run.number, part: part_number, table: fill.table.clone(), done: 0, total }, Vec::new())
        }
    };
    let begun = !last.is_empty();
    let bound: Vec<&(dyn ToSql + Sync)> = last.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
    let rows = transaction.query(&fill.keys(&words(), begun), &bound).await?;
    let upto: Vec<String> = match rows.last() {
        Some(row) => (0..fill.key.len()).map(|at| row.get(at)).collect(),
        None => last.clone(),
    };
    if !rows.is_empty() {
        let bound: Vec<&(dyn ToSql + Sync)> =
            last.iter().chain(&upto).map(|text| text as &(dyn ToSql + Sync)).collect();
        transaction.execute(&fill.update(&words(), begun), &bound).await.map_err(|error| refused(fill, error))?;
    }
    progress.done += rows.len() as u64;
    let figure = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    transaction
        .execute(
            &format!(
                "INSERT INTO {at} (id, number, part, relation, done, total, last, hash) VALUES (1, $1, $2, $3, $4, $5, $6, $7) \
                 ON CONFLICT (id) DO UPDATE SET number = excluded.number, part = excluded.part, relation = excluded.relation, \
                 done = excluded.done, total = excluded.total, last = excluded.last, hash = excluded.hash"
            ),
            &[
                &signed(run.number),
                &signed(part_number),
                &fill.table,
                &figure(progress.done),
                &figure(progress.total),
                &upto,
                &run.hash,
            ],
        )
        .await?;
    let is_last = rows.len() < fill.batch as usize;
    if is_last {
        migrations::note(transaction, run, part + 1).await?;
    }
    tracing::info!(migration = run.number, done = progress.done, total = progress.total, "filling: {progress}");
    Ok(is_last)
}

/// Forgets how far a backfill came, when its migration is done.
pub(crate) async fn forget(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let text = format!("DROP TABLE IF EXISTS {}", name(PROGRESS));
    let dropped = transaction.batch_execute(&text).await;
    dropped.map_err(|error| broken("forgetting how far the backfill came", &error))
}

fn refused(fill: &Backfill, error: tokio_postgres::Error) -> Fault {
    match error.as_db_error() {
        // Values that do not fit, and expressions that say nothing.
        Some(said) if ["22", "23", "42", "P0"].contains(&said.code().code().get(..2).unwrap_or_default()) => {
            Fault::Store(StoreError::SchemaMismatch(format!(
                "filling rows of {} failed: {} (what was filled before stays, and it goes on there)",
                fill.table,
                said.message()
            )))
        }
        _ => Fault::Database(error),
    }
}
