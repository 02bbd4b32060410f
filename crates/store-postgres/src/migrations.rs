//! Committed migrations in a PostgreSQL database: the table that says which it was given. Absent: taking them, which is the same
//! transaction as the steps of a schema ([`crate::ddl`]).

use crate::backfill;
use crate::ddl::broken;
use crate::introspect::{self, Home, exists};
use crate::types::name;
use tokio_postgres::{Client, GenericClient, IsolationLevel, Transaction};
use undergird_store::StoreError;
use undergird_store::migration::{Done, Progress, Run, State};

/// Where they are written down.
const MIGRATIONS: &str = "_undergird_migrations";

/// The migrations that the database was given, in order.
///
/// # Errors
/// The database cannot be read.
pub(crate) async fn done(client: &mut Client) -> Result<Vec<Done>, StoreError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .read_only(true)
        .start()
        .await
        .map_err(|error| broken("reading the applied migrations", &error))?;
    let home = introspect::home(&transaction).await?;
    if !home.exists {
        return Ok(Vec::new());
    }
    introspect::settle(&transaction, &home).await?;
    noted(&transaction, &home).await
}

/// The same in a transaction whose `search_path` is the home alone.
pub(crate) async fn noted(client: &impl GenericClient, home: &Home) -> Result<Vec<Done>, StoreError> {
    if !exists(client, &home.schema, MIGRATIONS).await? {
        return Ok(Vec::new());
    }
    // Databases that an earlier version migrated have not all of these columns.
    let text = format!(
        "SELECT number, name, hash, coalesce(to_jsonb(m) ->> 'state', 'applied'), \
         coalesce((to_jsonb(m) ->> 'compatible')::boolean, false) FROM {} m ORDER BY number",
        name(MIGRATIONS)
    );
    let rows = client.query(&text, &[]).await.map_err(|error| broken("reading the applied migrations", &error))?;
    let done = |row: &tokio_postgres::Row| {
        let (number, state): (i32, String) = (row.get(0), row.get(3));
        let state = State::of(&state).ok_or_else(|| {
            StoreError::SchemaMismatch(format!(
                "migration {number} is in a state that this version does not know: {state}"
            ))
        })?;
        let number = u32::try_from(number).unwrap_or(0);
        Ok(Done { number, name: row.get(1), hash: row.get(2), state, compatible: row.get(4) })
    };
    rows.iter().map(done).collect()
}

/// How far the backfill came that is under way.
pub(crate) async fn progress(client: &mut Client) -> Result<Option<Progress>, StoreError> {
    let transaction = client
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .map_err(|error| broken("reading how far the backfill came", &error))?;
    let home = introspect::home(&transaction).await?;
    if !home.exists {
        return Ok(None);
    }
    introspect::settle(&transaction, &home).await?;
    Ok(backfill::cursor(&transaction, &home).await?.map(|cursor| cursor.progress))
}

/// Writes down that so many parts of a run are done.
pub(crate) async fn note(transaction: &Transaction<'_>, run: &Run, done: usize) -> Result<(), StoreError> {
    let wrong = |error| broken("writing down the migration", &error);
    let at = name(MIGRATIONS);
    transaction
        .batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS {at} (number integer PRIMARY KEY, name text NOT NULL, hash text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now()); \
             ALTER TABLE {at} ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'applied', \
             ADD COLUMN IF NOT EXISTS compatible boolean NOT NULL DEFAULT false"
        ))
        .await
        .map_err(wrong)?;
    let number = i32::try_from(run.number).unwrap_or(i32::MAX);
    match run.state(done) {
        Some(state) => {
            let text = format!(
                "INSERT INTO {at} (number, name, hash, state, compatible) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (number) DO UPDATE SET name = excluded.name, hash = excluded.hash, state = excluded.state, \
                 compatible = excluded.compatible, applied_at = now()"
            );
            let state = state.to_string();
            transaction.execute(&text, &[&number, &run.name, &run.hash, &state, &run.compatible]).await
        }
        None => transaction.execute(&format!("DELETE FROM {at} WHERE number = $1"), &[&number]).await,
    }
    .map_err(wrong)?;
    if done >= run.parts.len() {
        backfill::forget(transaction).await?;
    }
    Ok(())
}
