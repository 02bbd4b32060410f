//! The driver on a real server: `UNDERGIRD_TEST_MYSQL`, where each test makes a database of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod differential;
mod driver;
mod failing;
mod migrating;
mod pairs;
mod values;

use crate::{MysqlStore, Options};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
pub use undergird_store::conformance::by_hand::*;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own, which goes with it.
pub struct Database {
    pub url: String,
    server: String,
    name: String,
}

/// A new database; `None`, said plainly, where there is no server.
pub async fn database() -> Option<Database> {
    let Ok(server) = std::env::var("UNDERGIRD_TEST_MYSQL") else {
        assert_ne!(
            std::env::var("UNDERGIRD_TEST_SERVERS").as_deref(),
            Ok("required"),
            "UNDERGIRD_TEST_MYSQL is not set, and servers are required"
        );
        println!("skipped: UNDERGIRD_TEST_MYSQL names no MySQL or MariaDB server");
        return None;
    };
    let name = format!("ug_my_driver_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    execute(&server, &[&format!("CREATE DATABASE {name} CHARACTER SET latin1")]).await;
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let place = base.find("://").and_then(|at| base[at + 3..].find('/').map(|end| &base[..at + 3 + end]));
    let url = format!("{}/{name}?{query}", place.unwrap_or(base));
    Some(Database { url, server, name })
}

async fn connect(url: &str) -> Conn {
    Conn::from_url(url).await.unwrap()
}

/// Runs statements on a connection of their own.
pub async fn execute(url: &str, statements: &[&str]) {
    let mut conn = connect(url).await;
    for statement in statements {
        conn.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    conn.disconnect().await.unwrap();
}

/// The one number that a statement gives.
pub async fn number(url: &str, statement: &str) -> i64 {
    let mut conn = connect(url).await;
    let number: Option<i64> = conn.query_first(statement).await.unwrap();
    conn.disconnect().await.unwrap();
    number.unwrap()
}

impl Database {
    pub async fn open(&self) -> Arc<MysqlStore> {
        self.open_with("pool=4").await
    }

    pub async fn open_with(&self, options: &str) -> Arc<MysqlStore> {
        MysqlStore::open(&format!("{}&{options}", self.url), Options::default()).await.unwrap()
    }

    pub async fn execute(&self, statements: &[&str]) {
        execute(&self.url, statements).await;
    }

    pub async fn number(&self, statement: &str) -> i64 {
        number(&self.url, statement).await
    }

    /// Waits until so many statements with these words are under way.
    pub async fn until_running(&self, words: &str, wanted: i64) {
        let running = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE '%{words}%' AND id <> connection_id()",
            self.name
        );
        for _ in 0..1_000 {
            if self.number(&running).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never were {wanted} statements with {words} under way");
    }

    /// Cuts all connections to this database but the one that does it.
    pub async fn cut(&self) {
        cut(&self.url, &self.name).await;
    }

    pub fn name(&self) -> String {
        self.name.clone()
    }
}

/// Cuts all connections to a database but the one that does it.
pub async fn cut(url: &str, name: &str) {
    let mut conn = connect(url).await;
    let text = format!("SELECT id FROM information_schema.processlist WHERE db = '{name}' AND id <> connection_id()");
    let ids: Vec<u64> = conn.query(text).await.unwrap();
    for id in ids {
        // It may have gone by itself.
        let _ = conn.query_drop(format!("KILL {id}")).await;
    }
    conn.disconnect().await.unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, drop) = (self.server.clone(), format!("DROP DATABASE {}", self.name));
        // A runtime of its own, because that of the test may be ending.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { execute(&server, &[&drop]).await });
        })
        .join();
    }
}
