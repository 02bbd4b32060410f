//! The driver on a real server: `UNDERGIRD_TEST_POSTGRES`, where each test makes a database of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod capabilities;
mod conformance;
mod differential;
mod driver;
mod early;
mod failing;
mod finishing;
mod pairs;
mod pooler;
mod replicas;
mod shared;
mod values;
mod wall;
mod wall_of_writes;

use crate::{Options, PostgresStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_postgres::NoTls;
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
    let Ok(server) = std::env::var("UNDERGIRD_TEST_POSTGRES") else {
        assert_ne!(
            std::env::var("UNDERGIRD_TEST_SERVERS").as_deref(),
            Ok("required"),
            "UNDERGIRD_TEST_POSTGRES is not set, and servers are required"
        );
        println!("skipped: UNDERGIRD_TEST_POSTGRES names no PostgreSQL server");
        return None;
    };
    let name = format!("ug_driver_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    execute(&server, &[&format!("CREATE DATABASE {name}")]).await;
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let (place, _) = base.rsplit_once('/').unwrap();
    let url = format!("{place}/{name}?{query}");
    Some(Database { url, server, name })
}

/// Runs statements on a connection of their own.
pub async fn execute(url: &str, statements: &[&str]) {
    let (client, wire) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let task = tokio::spawn(wire);
    for statement in statements {
        client.batch_execute(statement).await.unwrap();
    }
    drop(client);
    task.await.unwrap().unwrap();
}

/// The one number that a statement gives.
pub async fn number(url: &str, statement: &str) -> i64 {
    let (client, wire) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let task = tokio::spawn(wire);
    let number = client.query_one(statement, &[]).await.unwrap().get(0);
    drop(client);
    task.await.unwrap().unwrap();
    number
}

impl Database {
    pub async fn open(&self) -> Arc<PostgresStore> {
        self.open_with("pool=4").await
    }

    pub async fn open_with(&self, options: &str) -> Arc<PostgresStore> {
        PostgresStore::open(&format!("{}&{options}", self.url), Options::default()).await.unwrap()
    }

    /// With a second login behind policies, by the URL of which others may read too.
    pub async fn open_walled(&self, options: &str) -> (Arc<PostgresStore>, String) {
        let reader = self.reader("ug_test_reader").await;
        let walled = Options { reader: Some(format!("{reader}&{options}")), ..Options::default() };
        let store = PostgresStore::open(&format!("{}&{options}", self.url), walled).await.unwrap();
        (store, reader)
    }

    /// The URL of a login that can do nothing yet. It stays on the server, since other tests may use it.
    pub async fn reader(&self, role: &str) -> String {
        let make = format!(
            "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7); IF to_regrole('{role}') IS NULL THEN \
             CREATE ROLE {role} LOGIN PASSWORD 'reader'; END IF; END $$"
        );
        // Roles are the whole server's, and locks a database's.
        execute(&self.server, &[&make]).await;
        let (_, place) = self.url.rsplit_once('@').unwrap();
        format!("postgres://{role}:reader@{place}")
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
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = '{}' AND query LIKE '%{words}%' \
             AND pid <> pg_backend_pid()",
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
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.number(cut).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, drop) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // A runtime of its own, because that of the test may be ending.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { execute(&server, &[&drop]).await });
        })
        .join();
    }
}
