//! Which server it is and what follows from that: the one place where MySQL and MariaDB, and their versions, are told apart.
//!
//! Only MariaDB 10.11 is at hand where this is tested; what is said here of MySQL 8 follows its reference manual.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::time::Duration;
use undergird_store::StoreError;

use crate::dialect::{DIALECT, MARIADB_10_6, MYSQL_8, Mysql};
use crate::error::fault;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whether it is MariaDB.
    pub(crate) is_mariadb: bool,
    /// Major, minor, patch.
    pub(crate) version: (u16, u16, u16),
    /// As it names itself.
    pub(crate) name: String,
}

/// The oldest that has what we use: checks that are held, default expressions, `JSON_TABLE`, DDL that is all or nothing.
const MARIADB_MIN: (u16, u16, u16) = (10, 6, 0);
/// As above, and `utf8mb4_0900_bin` (8.0.17), `DROP CONSTRAINT` (8.0.19), DDL that a kill leaves whole with all that hangs on it (8.0.21).
const MYSQL_MIN: (u16, u16, u16) = (8, 0, 21);
/// The first MariaDB with `JSON_NORMALIZE`.
const MARIADB_NORMALIZES: (u16, u16, u16) = (10, 7, 0);

impl Server {
    /// Asks a connection. Tells in the log when a commit is not on disk as soon as it is acknowledged.
    ///
    /// # Errors
    /// What the server says, and [`StoreError::Unavailable`] when it is too old.
    pub(crate) async fn of(conn: &mut Conn) -> Result<Server, StoreError> {
        let row: Option<(String, Option<String>)> = conn
            .query_first("SELECT VERSION(), CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS CHAR)")
            .await
            .map_err(|error| StoreError::from(fault(error)))?;
        let (name, flush) = row.unwrap_or_default();
        let server = Server::named(&name);
        let (least, what) = if server.is_mariadb { (MARIADB_MIN, "MariaDB 10.6") } else { (MYSQL_MIN, "MySQL 8.0.21") };
        if server.version < least {
            return Err(StoreError::Unavailable(format!("the server is {name}; {what} or newer is needed")));
        }
        if flush.as_deref() != Some("1") {
            tracing::warn!(
                "innodb_flush_log_at_trx_commit is not 1: a crash of the server loses writes that were acknowledged"
            );
        }
        Ok(server)
    }

    /// Reads `10.11.19-MariaDB-0+deb12u1` or `8.0.36`.
    pub(crate) fn named(name: &str) -> Server {
        // Old replication compatibility: `5.5.5-10.11.19-MariaDB`.
        let is_mariadb = name.contains("MariaDB");
        let digits = if is_mariadb { name.strip_prefix("5.5.5-").unwrap_or(name) } else { name };
        let mut parts = digits.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Server { is_mariadb, version: (next(), next(), next()), name: name.to_owned() }
    }

    /// Its dialect.
    pub(crate) fn dialect(&self) -> &'static Mysql {
        match (self.is_mariadb, self.version >= MARIADB_NORMALIZES) {
            (true, true) => &DIALECT,
            (true, false) => &MARIADB_10_6,
            (false, _) => &MYSQL_8,
        }
    }

    /// By code point, and without padding: `'a' <> 'a '`.
    pub(crate) fn collation(&self) -> &'static str {
        if self.is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }
    }

    /// What every session is set to, in one request.
    pub(crate) fn settings(&self, lock_wait: u64, statement: Option<Duration>) -> String {
        let collation = self.collation();
        let limit = match (statement, self.is_mariadb) {
            (Some(limit), true) => format!(", SESSION max_statement_time = {}", limit.as_secs_f64()),
            (Some(limit), false) => format!(", SESSION max_execution_time = {}", limit.as_millis()),
            (None, _) => String::new(),
        };
        // Joins without an index are by hash: composite keys of many parents are put together so. And what `JSON_TABLE` gives is text
        // of the database's own character set unless the session says otherwise. MySQL 8 does both anyway.
        let more = if self.is_mariadb {
            format!(", SESSION join_cache_level = 4, SESSION collation_database = {collation}")
        } else {
            String::new()
        };
        // As the servers are set up, texts are ordered by their first kilobyte. The buffer must hold some fifteen of the longest keys of
        // an order, or there is no order at all (error 1038): these two are for eight texts; a server takes no more than it needs.
        format!(
            "SET NAMES utf8mb4 COLLATE {collation}, SESSION max_sort_length = 65536, \
             SESSION sort_buffer_size = GREATEST(@@GLOBAL.sort_buffer_size, 8388608), SESSION sql_mode = '{SQL_MODE}', SESSION time_zone = '+00:00', SESSION lc_messages = 'en_US', \
             SESSION innodb_lock_wait_timeout = {lock_wait}, SESSION foreign_key_checks = 1, SESSION group_concat_max_len = 1073741824\
             {limit}{more}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
        )
    }

    /// What keeps the foreign keys from being held while DDL that they would hinder runs.
    pub(crate) fn foreign_keys(held: bool) -> &'static str {
        if held { "SET SESSION foreign_key_checks = 1" } else { "SET SESSION foreign_key_checks = 0" }
    }

    /// Whether a column that a foreign key sets to null may be in a check, and an identity too. On neither server: the second; on
    /// MySQL not the first (error 3823).
    pub(crate) fn checks_columns_set_null(&self) -> bool {
        self.is_mariadb
    }
}

/// Strict: what does not fit is refused. A backslash is a character like others.
pub(crate) const SQL_MODE: &str = "STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION,NO_UNSIGNED_SUBTRACTION,\
                                   NO_AUTO_VALUE_ON_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers() {
        for (name, is_mariadb, version) in [
            ("10.11.19-MariaDB-0+deb12u1", true, (10, 11, 19)),
            ("5.5.5-11.4.2-MariaDB", true, (11, 4, 2)),
            ("8.0.36", false, (8, 0, 36)),
            ("8.4.0-commercial", false, (8, 4, 0)),
            ("8.0.36-0ubuntu0.22.04.1", false, (8, 0, 36)),
            ("odd", false, (0, 0, 0)),
        ] {
            assert_eq!(Server::named(name), Server { is_mariadb, version, name: name.into() });
        }
    }

    /// What is sent to a server must be what its version knows.
    #[test]
    fn words_of_servers() {
        use crate::dialect::Flavor;
        for (name, flavor, collation, limit) in [
            ("10.11.19-MariaDB", Flavor::MariaDb, "utf8mb4_nopad_bin", "max_statement_time = 2"),
            ("10.7.1-MariaDB", Flavor::MariaDb, "utf8mb4_nopad_bin", "max_statement_time = 2"),
            ("10.6.22-MariaDB-log", Flavor::MariaDb106, "utf8mb4_nopad_bin", "max_statement_time = 2"),
            ("8.0.36", Flavor::Mysql8, "utf8mb4_0900_bin", "max_execution_time = 2000"),
            ("9.1.0", Flavor::Mysql8, "utf8mb4_0900_bin", "max_execution_time = 2000"),
        ] {
            let server = Server::named(name);
            assert_eq!(server.dialect().flavor, flavor, "{name}");
            assert_eq!((server.collation(), server.dialect().collation()), (collation, collation), "{name}");
            let settings = server.settings(5, Some(Duration::from_secs(2)));
            assert!(settings.contains(limit), "{name}: {settings}");
            // These two are variables of MariaDB's alone; MySQL refuses the whole statement.
            for word in ["join_cache_level", "collation_database"] {
                assert_eq!(settings.contains(word), server.is_mariadb, "{name}: {settings}");
            }
            let functions = server.dialect().functions().join("\n");
            assert!(functions.contains(collation), "{name}");
        }
    }
}
