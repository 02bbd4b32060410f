//! Opening connections: where the file is, and how each kind of connection is set up.

use crate::error::store_error;
use crate::functions;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, vtab};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use undergird_store::StoreError;

/// How long to wait for another process (a backup, the command line) that writes.
const OTHER_PROCESS_MAX: Duration = Duration::from_secs(10);

/// How long a checkpoint waits for another process that checkpoints.
const CHECKPOINT_WAIT_MAX: Duration = Duration::from_millis(100);

/// Prepared statements kept per connection.
const STATEMENTS_KEPT: usize = 1_024;

/// Bytes of the file that are read through memory mapping.
const MAPPED_BYTES: i64 = 256 << 20;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The one that writes.
    Write,
    /// One of those that read.
    Read,
    /// The one that checkpoints.
    Checkpoint,
}

/// Where a database is.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) path: PathBuf,
    /// Whether it goes when the store goes.
    temporary: Option<PathBuf>,
    /// Whether commits do not wait for the disk.
    relaxed: bool,
}

impl Location {
    /// `sqlite:path`, a path, or `sqlite::memory:` for a database that lives as long as the store.
    pub(crate) fn parse(url: &str) -> Result<Location, StoreError> {
        let path = url.strip_prefix("sqlite:").unwrap_or(url);
        if path == ":memory:" {
            return Location::temporary();
        }
        if path.is_empty() {
            return Err(StoreError::Unavailable("the store's url names no file: write sqlite:data/main.db".into()));
        }
        Ok(Location { path: PathBuf::from(path), temporary: None, relaxed: false })
    }

    /// A file in memory rather than SQLite's own in-memory database, which has no WAL and therefore other locks: a test should
    /// see what production sees.
    fn temporary() -> Result<Location, StoreError> {
        let shared_memory = Path::new("/dev/shm");
        let root = if shared_memory.is_dir() { shared_memory.to_path_buf() } else { std::env::temp_dir() };
        for attempt in 0..1_000u32 {
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let folder = root.join(format!("undergird-{}-{nanos}-{attempt}", std::process::id()));
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    return Ok(Location { path: folder.join("main.db"), temporary: Some(folder), relaxed: false });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::Unavailable(format!("{}: {error}", folder.display()))),
            }
        }
        Err(StoreError::Unavailable(format!("no folder can be made in {}", root.display())))
    }

    /// The same, where commits do not wait for the disk.
    pub(crate) fn relaxed(mut self, relaxed: bool) -> Location {
        self.relaxed = relaxed;
        self
    }

    /// The write-ahead log.
    pub(crate) fn log(&self) -> PathBuf {
        self.beside("-wal")
    }

    /// The index of the write-ahead log.
    pub(crate) fn index(&self) -> PathBuf {
        self.beside("-shm")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    /// Bytes of the database and of its write-ahead log.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
        (size(&self.path), size(&self.log()))
    }

    /// Makes the folder that the file is to be in.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Unavailable(format!("{}: {error}", folder.display()))),
            _ => Ok(()),
        }
    }

    /// Opens a connection.
    pub(crate) fn open(&self, purpose: Purpose) -> Result<Connection, StoreError> {
        self.connect(purpose).map_err(|error| match store_error(&error) {
            StoreError::Unavailable(why) | StoreError::Internal(why) => {
                StoreError::Unavailable(format!("{}: {why}", self.path.display()))
            }
            other => other,
        })
    }

    fn connect(&self, purpose: Purpose) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(match purpose {
            Purpose::Write | Purpose::Read => OTHER_PROCESS_MAX,
            Purpose::Checkpoint => CHECKPOINT_WAIT_MAX,
        })?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // A double-quoted word that names no column is an error, not a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        // Plans do not depend on what is bound. Else every statement with `LIMIT ?` is prepared anew each time it is bound, which
        // was a quarter of the time of a list.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 4 << 20)?;
        if purpose == Purpose::Write {
            connection.pragma_update(None, "page_size", 4096)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
        }
        // NORMAL still syncs before and after folding, so that a power cut takes the end of the log and harms nothing.
        connection.pragma_update(None, "synchronous", if self.relaxed { "NORMAL" } else { "FULL" })?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
        // Negative: KiB. Most pages come by the mapping; this is for those in the log.
        connection.pragma_update(None, "cache_size", -8_192)?;
        // Keep the log's file rather than shrink it after each checkpoint, up to this size.
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        if purpose != Purpose::Write {
            connection.pragma_update(None, "query_only", purpose == Purpose::Read)?;
        }
        functions::register(&connection)?;
        vtab::array::load_module(&connection)?;
        Ok(connection)
    }
}

impl Location {
    /// Removes a temporary database. Connections that are still open keep their files until they close.
    pub(crate) fn forget(&self) {
        if let Some(folder) = &self.temporary {
            // Nobody is left who could be told; the system clears shared memory anyway.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Drop for Location {
    fn drop(&mut self) {
        self.forget();
    }
}
