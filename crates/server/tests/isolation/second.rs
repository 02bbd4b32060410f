//! A second connection to an application's database, past the application: it holds locks while a request is under way, so that what
//! comes between a look and a change comes there every time and not by chance.
//!
//! Absent: what is changed, and what must hold then.

use crate::support::databases::On;
use mysql_async::prelude::Queryable;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

/// How often it is asked whether somebody waits, and how many times. InnoDB tells the same as before to whoever asks again within 0.1 s.
const PAUSE: Duration = Duration::from_millis(110);
const PAUSES_MAX: usize = 100;
/// Nobody can be asked who waits for SQLite's one writer. A request that comes later than this is simply later, and nothing is shown.
const SQLITE_WAITS: Duration = Duration::from_millis(150);

/// The connection. Not to be used on a thread of a runtime, for it waits.
pub enum Second {
    Sqlite(rusqlite::Connection),
    Postgres(Runtime, tokio_postgres::Client),
    Mysql(Runtime, mysql_async::Conn),
}

impl Second {
    pub fn open(on: On, url: &str, folder: &Path) -> Second {
        let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        match on {
            On::Sqlite => Second::Sqlite(rusqlite::Connection::open(folder.join("data/main.db")).unwrap()),
            On::Postgres | On::Walled => {
                let runtime = runtime();
                let (client, wire) = runtime.block_on(tokio_postgres::connect(url, NoTls)).unwrap();
                runtime.spawn(wire);
                Second::Postgres(runtime, client)
            }
            On::Mysql => {
                let runtime = runtime();
                let conn = runtime.block_on(mysql_async::Conn::from_url(url)).unwrap();
                Second::Mysql(runtime, conn)
            }
        }
    }

    /// Begins a transaction with these statements, and so holds what they lock.
    pub fn hold(&mut self, statements: &[&str]) {
        self.execute(if matches!(self, Second::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" });
        for statement in statements {
            // There is one lock on SQLite, which is held already.
            if !(matches!(self, Second::Sqlite(_)) && statement.ends_with("FOR UPDATE")) {
                self.execute(statement);
            }
        }
    }

    /// Waits until somebody waits for what is held.
    pub fn until_waited_for(&mut self) {
        let waiting = match self {
            Second::Sqlite(_) => return std::thread::sleep(SQLITE_WAITS),
            Second::Postgres(..) => {
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            }
            Second::Mysql(..) => {
                "SELECT count(*) FROM information_schema.INNODB_TRX JOIN information_schema.PROCESSLIST ON ID = trx_mysql_thread_id \
                 WHERE trx_state = 'LOCK WAIT' AND DB = DATABASE()"
            }
        };
        for _ in 0..PAUSES_MAX {
            if self.number(waiting) > 0 {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("nobody waits for what is held");
    }

    /// Ends the transaction, its changes staying.
    pub fn commit(&mut self) {
        self.execute("COMMIT");
    }

    fn execute(&mut self, statement: &str) {
        match self {
            Second::Sqlite(connection) => connection.execute_batch(statement).unwrap(),
            Second::Postgres(runtime, client) => {
                on(runtime, statement, client.batch_execute(statement));
            }
            Second::Mysql(runtime, conn) => {
                on(runtime, statement, conn.query_drop(statement));
            }
        }
    }

    fn number(&mut self, query: &str) -> i64 {
        match self {
            Second::Sqlite(connection) => connection.query_row(query, [], |row| row.get(0)).unwrap(),
            Second::Postgres(runtime, client) => on(runtime, query, client.query_one(query, &[])).get(0),
            Second::Mysql(runtime, conn) => on(runtime, query, conn.query_first::<i64, _>(query)).unwrap(),
        }
    }
}

fn on<T, E: std::fmt::Display>(runtime: &Runtime, statement: &str, what: impl Future<Output = Result<T, E>>) -> T {
    runtime.block_on(what).unwrap_or_else(|error| panic!("{statement}: {error}"))
}
