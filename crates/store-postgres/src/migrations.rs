//! Committed migrations in a PostgreSQL database: the table that says which it was given. Absent: taking them, which is the same
//! transaction as the steps of a schema ([`crate::ddl`]).

use crate::ddl::broken;
use crate::introspect::{self, Home, exists};
use crate::types::name;
use tokio_postgres::{Client, GenericClient, IsolationLevel, Transaction};
use undergird_store::StoreError;
use undergird_store::migration::{Direction, Done, Run, State};

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
    let text = format!("SELECT number, name, hash FROM {} ORDER BY number", name(MIGRATIONS));
    let rows = client.query(&text, &[]).await.map_err(|error| broken("reading the applied migrations", &error))?;
    let done = |row: &tokio_postgres::Row| Done {
        number: u32::try_from(row.get::<_, i32>(0)).unwrap_or(0),
        name: row.get(1),
        hash: row.get(2),
        state: State::Applied,
    };
    Ok(rows.iter().map(done).collect())
}

/// Writes down that a run was taken.
pub(crate) async fn note(transaction: &Transaction<'_>, run: &Run) -> Result<(), StoreError> {
    let wrong = |error| broken("writing down the migration", &error);
    let at = name(MIGRATIONS);
    transaction
        .batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS {at} (number integer PRIMARY KEY, name text NOT NULL, hash text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now())"
        ))
        .await
        .map_err(wrong)?;
    let number = i32::try_from(run.number).unwrap_or(i32::MAX);
    match run.direction {
        Direction::Forward | Direction::Note => {
            let text = format!("INSERT INTO {at} (number, name, hash) VALUES ($1, $2, $3)");
            transaction.execute(&text, &[&number, &run.name, &run.hash]).await
        }
        Direction::Back => transaction.execute(&format!("DELETE FROM {at} WHERE number = $1"), &[&number]).await,
    }
    .map(|_| ())
    .map_err(wrong)
}
