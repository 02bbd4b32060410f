//! Opens the store that a URL names: the one place that knows which stores there are.

use crate::cli::Exit;
use crate::server::StartError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use undergird_model::settings::{Durability, Settings};
use undergird_store::adopt::Survey;
use undergird_store::migration::Scribe;
use undergird_store::{Store, StoreError};

/// What a URL's scheme stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

impl Kind {
    fn of(url: &str) -> Option<Kind> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Kind::Sqlite),
            "postgres" | "postgresql" => Some(Kind::Postgres),
            "mysql" | "mariadb" => Some(Kind::Mysql),
            _ => None,
        }
    }
}

/// Who writes down what a migration is in a store's words, by the store's name.
pub(crate) fn scribe(name: &str) -> Option<&'static dyn Scribe> {
    match name {
        "sqlite" => Some(undergird_store_sqlite::SCRIBE),
        #[cfg(feature = "postgres")]
        "postgres" => Some(undergird_store_postgres::SCRIBE),
        #[cfg(feature = "mysql")]
        "mysql" => Some(undergird_store_mysql::SCRIBE),
        _ => None,
    }
}

/// The names of the stores of this build.
pub(crate) fn names() -> Vec<&'static str> {
    ["sqlite", "postgres", "mysql"].into_iter().filter(|name| scribe(name).is_some()).collect()
}

/// The name of the main store.
pub(crate) fn name(settings: &Settings) -> Option<&'static str> {
    Kind::of(&settings.store.url).map(|kind| match kind {
        Kind::Sqlite => "sqlite",
        Kind::Postgres => "postgres",
        Kind::Mysql => "mysql",
    })
}

/// Whether the main store is a server's, so that nothing is kept in the data directory but keys that nobody gave.
pub(crate) fn is_elsewhere(settings: &Settings) -> bool {
    Kind::of(&settings.store.url).is_some_and(|kind| kind != Kind::Sqlite)
}

/// Opens the main store. Paths are relative to the application, except `data/…`, which is in the data directory wherever that is.
///
/// # Errors
/// No such store in this build, or it cannot be reached.
pub(crate) async fn open(settings: &Settings, application: &Path, data: &Path) -> Result<Arc<dyn Store>, StartError> {
    let url = settings.store.url.as_str();
    let kind = Kind::of(url);
    if let Some(other) = kind.filter(|kind| *kind != Kind::Postgres)
        && !settings.store.replicas.is_empty()
    {
        let name = if other == Kind::Sqlite { "SQLite" } else { "MySQL and MariaDB" };
        return Err(StartError::Wrong(format!(
            "[stores.main] replicas: only PostgreSQL's standbys can be told how old they are; with {name} leave them out"
        )));
    }
    match kind {
        Some(Kind::Sqlite) => sqlite(settings, application, data),
        Some(Kind::Postgres) => postgres(settings, url).await,
        Some(Kind::Mysql) => mysql(settings, url).await,
        // The rest of the URL may hold a password.
        None => Err(unknown(url.split(':').next().unwrap_or_default())),
    }
}

/// What is in a database that others made, and whether Undergird has been in it before. Nothing is changed.
///
/// # Errors
/// No such store in this build, or the database cannot be read.
pub(crate) async fn survey(url: &str) -> Result<(Survey, bool), StartError> {
    let failed = |error: StoreError| StartError::Failed(format!("cannot read the database: {error}"));
    match Kind::of(url) {
        Some(Kind::Sqlite) => {
            let path = url.strip_prefix("sqlite:").unwrap_or(url);
            undergird_store_sqlite::survey::survey(Path::new(path)).map_err(failed)
        }
        #[cfg(feature = "postgres")]
        Some(Kind::Postgres) => undergird_store_postgres::adopt::survey(url).await.map_err(failed),
        #[cfg(feature = "mysql")]
        Some(Kind::Mysql) => undergird_store_mysql::adopt::survey(url).await.map_err(failed),
        #[cfg(not(all(feature = "postgres", feature = "mysql")))]
        Some(Kind::Postgres | Kind::Mysql) => Err(unknown(url.split(':').next().unwrap_or_default())),
        None => Err(unknown(url.split(':').next().unwrap_or_default())),
    }
}

fn unknown(scheme: &str) -> StartError {
    let mut known = vec!["\"sqlite:\""];
    if cfg!(feature = "postgres") {
        known.push("\"postgres:\"");
    }
    if cfg!(feature = "mysql") {
        known.push("\"mysql:\"");
    }
    let known = known.join(", ");
    StartError::Wrong(format!("[stores.main] url: this build has no store for \"{scheme}:\"; it has {known}"))
}

/// Where a database is that is a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the data directory, there.
    InData(PathBuf),
    /// Somewhere else.
    Elsewhere(PathBuf),
}

/// Where the main store's file is.
///
/// # Errors
/// 2: it is no file; what to use instead.
pub(crate) fn file(settings: &Settings, application: &Path) -> Result<Place, Exit> {
    let url = settings.store.url.as_str();
    let instead = match Kind::of(url) {
        Some(Kind::Sqlite) => match url.strip_prefix("sqlite:").unwrap_or_default() {
            ":memory:" => "a database in memory has nothing that lasts",
            path => {
                let place = match path.strip_prefix("data/") {
                    Some(inside) => Place::InData(inside.into()),
                    None => Place::Elsewhere(application.join(path)),
                };
                return Ok(place);
            }
        },
        Some(Kind::Postgres) => {
            "the database is PostgreSQL's, which has better tools of its own: pg_dump --format=custom and pg_restore, or \
             pg_basebackup with archived logs"
        }
        Some(Kind::Mysql) => {
            "the database is MySQL's or MariaDB's, which have better tools of their own: mysqldump (mariadb-dump) with \
             --single-transaction --routines and the mysql client, or mariadb-backup"
        }
        None => "`[stores.main] url` names no store",
    };
    Err(Exit::wrong(format!("backup and restore are for SQLite: {instead}")))
}

fn sqlite(settings: &Settings, application: &Path, data: &Path) -> Result<Arc<dyn Store>, StartError> {
    use undergird_store_sqlite::{Options, SqliteStore};
    let url = match file(settings, application) {
        Ok(Place::InData(inside)) => format!("sqlite:{}", data.join(inside).display()),
        Ok(Place::Elsewhere(path)) => format!("sqlite:{}", path.display()),
        Err(_) => "sqlite::memory:".to_owned(),
    };
    let relaxed = settings.store.durability == Durability::Relaxed;
    if relaxed {
        tracing::warn!("durability is relaxed: a power cut may take acknowledged writes of the last moment");
    }
    let options = Options { writes_waiting: settings.limits.writes_waiting as usize, relaxed, ..Options::default() };
    let store = SqliteStore::open(&url, &options)
        .map_err(|error| StartError::Failed(format!("cannot open the database {url}: {error}")))?;
    Ok(store)
}

#[cfg(feature = "postgres")]
async fn postgres(settings: &Settings, url: &str) -> Result<Arc<dyn Store>, StartError> {
    use undergird_store_postgres::{Options, PostgresStore};
    let options = Options {
        waiting: settings.limits.writes_waiting as usize,
        replicas: settings.store.replicas.clone(),
        replica_lag: settings.store.replica_lag,
        reader: settings.store.reader_url.clone().filter(|_| settings.store.row_security),
        ..Options::default()
    };
    let store = PostgresStore::open(url, options)
        .await
        .map_err(|error| StartError::Failed(format!("cannot open the database: {error}")))?;
    if settings.store.row_security {
        tracing::info!(
            "row_security: policies are around what visitors and users read and write; volatile functions are not behind them"
        );
    }
    Ok(store)
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &Settings, _: &str) -> Result<Arc<dyn Store>, StartError> {
    Err(unknown("postgres"))
}

#[cfg(feature = "mysql")]
async fn mysql(settings: &Settings, url: &str) -> Result<Arc<dyn Store>, StartError> {
    use undergird_store_mysql::{MysqlStore, Options};
    let options = Options { waiting: settings.limits.writes_waiting as usize, ..Options::default() };
    let store = MysqlStore::open(url, options)
        .await
        .map_err(|error| StartError::Failed(format!("cannot open the database: {error}")))?;
    Ok(store)
}

#[cfg(not(feature = "mysql"))]
async fn mysql(_: &Settings, _: &str) -> Result<Arc<dyn Store>, StartError> {
    Err(unknown("mysql"))
}
