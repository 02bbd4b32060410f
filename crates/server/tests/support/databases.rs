//! A fresh database for a test, on each store: made where `UNDERGIRD_TEST_POSTGRES` and `UNDERGIRD_TEST_MYSQL` say, seen whole past
//! the server, copied, and gone with the test.
//!
//! Absent: starting servers (`cargo xtask services`).

use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use undergird::config::Environment;

/// The login of those behind the wall; it stays on the server.
const READER: &str = "ug_test_behind";

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
    /// PostgreSQL with `row_security`.
    Walled,
    Mysql,
}

impl On {
    fn variable(self) -> &'static str {
        match self {
            On::Sqlite => "",
            On::Postgres | On::Walled => "UNDERGIRD_TEST_POSTGRES",
            On::Mysql => "UNDERGIRD_TEST_MYSQL",
        }
    }

    /// Whether it is PostgreSQL, with whatever around it.
    pub fn is_postgres(self) -> bool {
        matches!(self, On::Postgres | On::Walled)
    }
}

/// Makes of each function `async fn name(on: On)` a test on each store.
#[macro_export]
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use $crate::support::databases::On;
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$name(On::Sqlite).await;
            }
            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                super::$name(On::Postgres).await;
            }
            #[tokio::test(flavor = "multi_thread")]
            async fn mysql() {
                super::$name(On::Mysql).await;
            }
        }
    )* };
}

/// Makes of each function a test behind the wall of policies, too.
#[macro_export]
macro_rules! on_the_wall {
    ($($name:ident),* $(,)?) => {
        mod behind_the_wall {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name($crate::support::databases::On::Walled).await;
                }
            )*
        }
    };
}

/// A database of a test's own. On SQLite it is the application's own file.
#[derive(Debug)]
pub struct Database {
    on: On,
    server: String,
    name: String,
    url: String,
}

impl Database {
    /// A new one; `None`, said plainly, where there is no server.
    pub fn new(on: On) -> Option<Database> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if on == On::Sqlite {
            return Some(Database { on, server: String::new(), name: String::new(), url: String::new() });
        }
        let Ok(server) = std::env::var(on.variable()) else {
            let required = std::env::var("UNDERGIRD_TEST_SERVERS").is_ok_and(|value| value == "required");
            assert!(!required, "{} names no server, and UNDERGIRD_TEST_SERVERS=required", on.variable());
            println!("skipped: {} names no server; `cargo xtask services up` starts one", on.variable());
            return None;
        };
        let name = format!("ug_server_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (base, options) = server.split_once('?').unwrap_or((&server, ""));
        let host = base.find("://").unwrap() + 3;
        let end = base[host..].find('/').map_or(base.len(), |at| host + at);
        let url = format!("{}/{name}{}{options}", &base[..end], if options.is_empty() { "" } else { "?" });
        let database = Database { on, server, name, url };
        database.on_server(vec![
            format!("DROP DATABASE IF EXISTS {}", database.name),
            format!("CREATE DATABASE {}", database.name),
        ]);
        if on == On::Walled {
            let make = format!(
                "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7); IF to_regrole('{READER}') IS NULL THEN \
                 CREATE ROLE {READER} LOGIN PASSWORD 'reader'; END IF; END $$"
            );
            database.on_server(vec![make]);
        }
        Some(database)
    }

    /// Where it is. Empty on SQLite, which is in the application's folder.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The variables that send an application here.
    pub fn environment(&self) -> Environment {
        let reader = self.url.rsplit_once('@').map(|(_, place)| format!("postgres://{READER}:reader@{place}"));
        let variables = [
            ("UNDERGIRD_STORES_MAIN_URL", self.url.as_str()),
            ("UNDERGIRD_STORES_MAIN_ROW_SECURITY", "true"),
            ("UNDERGIRD_STORES_MAIN_READER_URL", reader.as_deref().unwrap_or_default()),
        ];
        Environment::of(match self.on {
            On::Sqlite => &[],
            On::Postgres | On::Mysql => &variables[..1],
            On::Walled => &variables,
        })
    }

    /// Runs statements in it one after the other, in one session. Not on SQLite, whose file is the test's own.
    pub fn execute_all(&self, statements: Vec<String>) {
        let here = Database { on: self.on, server: self.url.clone(), name: String::new(), url: String::new() };
        here.on_server(statements);
        // It is no database of its own that would go.
        std::mem::forget(here);
    }

    /// Another with the same tables and rows, when no application is on this one. On SQLite the application's folder is what is copied.
    pub fn copy(&self) -> Database {
        let copy = Database::new(self.on).unwrap();
        let (from, to) = (self.name.clone(), copy.name.clone());
        match self.on {
            On::Sqlite => {}
            On::Postgres | On::Walled => self.on_server(vec![
                format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"),
                format!("DROP DATABASE {to}"),
                format!("CREATE DATABASE {to} TEMPLATE {from}"),
            ]),
            On::Mysql => apart(mysql_copy(self.url.clone(), from, to)),
        }
        copy
    }

    /// All that is in the database, system tables included, by table. `folder` is the application's.
    pub fn dump(&self, folder: &Path) -> BTreeMap<String, Vec<String>> {
        let mut tables = match self.on {
            On::Sqlite => sqlite_dump(&folder.join("data/main.db")),
            On::Postgres | On::Walled => apart(postgres_dump(self.url.clone())),
            On::Mysql => apart(mysql_dump(self.url.clone())),
        };
        tables.values_mut().for_each(|rows| rows.sort());
        tables
    }

    /// Runs SQL in the database, as people do by hand. For PostgreSQL.
    pub fn execute(&self, sql: &str) {
        let (url, sql) = (self.url.clone(), sql.to_owned());
        apart(async move {
            let (client, wire) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(wire);
            client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{error:?}"));
        });
    }

    /// The first value that a query gives, as text. For PostgreSQL.
    pub fn text(&self, sql: &str) -> String {
        let (url, sql) = (self.url.clone(), sql.to_owned());
        apart(async move {
            let (client, wire) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(wire);
            client.query_one(&sql, &[]).await.unwrap().get(0)
        })
    }

    fn on_server(&self, statements: Vec<String>) {
        let server = self.server.clone();
        match self.on {
            On::Sqlite => {}
            On::Postgres | On::Walled => apart(async move {
                let (client, wire) = tokio_postgres::connect(&server, NoTls).await.unwrap();
                tokio::spawn(wire);
                for statement in statements {
                    client.simple_query(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
                }
            }),
            On::Mysql => apart(async move {
                let mut client = mysql_async::Conn::from_url(&server).await.unwrap();
                for statement in statements {
                    client.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
                }
                client.disconnect().await.unwrap();
            }),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let force = if self.on.is_postgres() { " WITH (FORCE)" } else { "" };
        let statement = format!("DROP DATABASE IF EXISTS {}{force}", self.name);
        // A test that failed says why it did; what is left behind is no second failure.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.on_server(vec![statement])));
    }
}

/// Waits for something on a thread and a runtime of its own: that of the test may be ending.
fn apart<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(what)
    })
    .join()
    .unwrap()
}

fn sqlite_dump(path: &Path) -> BTreeMap<String, Vec<String>> {
    let database = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut names = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows = |name: String| {
        let mut rows = database.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let width = rows.column_count();
        let rows = rows.query_map([], |row| {
            (0..width).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect::<Result<Vec<_>, _>>()
        });
        let rows = rows.unwrap().map(|row| row.unwrap().join(", ")).collect();
        (name, rows)
    };
    names.into_iter().map(rows).collect()
}

async fn postgres_dump(url: String) -> BTreeMap<String, Vec<String>> {
    let (client, wire) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(wire);
    let texts = async |statement: &str| -> Vec<Vec<String>> {
        let messages = client.simple_query(statement).await.unwrap();
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        });
        rows.collect()
    };
    let tables = "SELECT tablename, format('%I.%I', schemaname, tablename) FROM pg_tables \
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for table in texts(tables).await {
        let rows = texts(&format!("SELECT t::text FROM {} t", table[1])).await;
        found.entry(table[0].clone()).or_default().extend(rows.into_iter().flatten());
    }
    found
}

async fn mysql_dump(url: String) -> BTreeMap<String, Vec<String>> {
    let mut client = mysql_async::Conn::from_url(url).await.unwrap();
    let mut found = BTreeMap::new();
    for table in mysql_tables(&mut client, "DATABASE()").await {
        let rows: Vec<mysql_async::Row> = client.query(format!("SELECT * FROM `{table}`")).await.unwrap();
        found.insert(table, rows.into_iter().map(|row| format!("{:?}", row.unwrap())).collect());
    }
    client.disconnect().await.unwrap();
    found
}

async fn mysql_tables(client: &mut mysql_async::Conn, database: &str) -> Vec<String> {
    let tables = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {database} AND table_type = 'BASE TABLE'"
    );
    client.query(tables).await.unwrap()
}

/// MySQL has no copy of a database. Its functions are not copied: the application makes them when it starts.
async fn mysql_copy(url: String, from: String, to: String) {
    let mut client = mysql_async::Conn::from_url(url).await.unwrap();
    let tables = mysql_tables(&mut client, "DATABASE()").await;
    client.query_drop(format!("USE {to}")).await.unwrap();
    client.query_drop("SET foreign_key_checks = 0").await.unwrap();
    for table in tables {
        let made: Option<(String, String)> =
            client.query_first(format!("SHOW CREATE TABLE {from}.`{table}`")).await.unwrap();
        client.query_drop(made.unwrap().1).await.unwrap();
        let columns = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = '{from}' AND table_name = '{table}' \
             AND coalesce(generation_expression, '') = '' ORDER BY ordinal_position"
        );
        let columns: Vec<String> = client.query(columns).await.unwrap();
        let columns = columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let rows = format!("INSERT INTO `{table}` ({columns}) SELECT {columns} FROM {from}.`{table}`");
        client.query_drop(rows).await.unwrap();
    }
    client.disconnect().await.unwrap();
}
