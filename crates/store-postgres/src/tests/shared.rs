//! Quick reads that share connections: whose answer is whose, and what happens to those behind a slow one.

use super::{Database, database, read, read_until};
use crate::settings::Options;
use crate::{PostgresStore, shared};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_store::{Store, StoreError};

/// Quick, until the table says otherwise.
const NAP: &str = "SELECT naps.n FROM naps, pg_sleep(naps.seconds)";
const QUICK: &str = "SELECT 7::bigint";

async fn naps() -> Option<(Database, Arc<PostgresStore>)> {
    let database = database().await?;
    database.execute(&["CREATE TABLE naps (n bigint, seconds float)", "INSERT INTO naps VALUES (1, 0)"]).await;
    let store = database.open_with("pool=10").await;
    Some((database, store))
}

fn gauge(store: &PostgresStore, wanted: &str) -> f64 {
    store.gauges().iter().find(|(name, ..)| *name == wanted).map_or(0.0, |(.., value)| *value)
}

/// One read.
async fn one(store: &Arc<PostgresStore>, text: &str) -> Result<Vec<String>, StoreError> {
    read(store, &[text]).await
}

/// Reads until each of some statements is known as quick, and read over a shared connection.
async fn until_shared(store: &Arc<PostgresStore>, texts: &[&str]) {
    for text in texts {
        let before = gauge(store, "postgres_shared_reads");
        let mut rounds = 0;
        while gauge(store, "postgres_shared_reads") < before + 8.0 {
            for told in join_all((0..8).map(|_| one(store, text))).await {
                told.unwrap();
            }
            rounds += 1;
            assert!(rounds < 2_000, "{text} is never shared");
        }
    }
}

#[test]
fn so_many_are_shared() {
    for (connections, expected) in [(1, 0), (4, 0), (9, 0), (10, 2), (20, 4), (64, 12), (1_000, 32)] {
        let options = Options { connections, ..Options::default() };
        assert_eq!(shared::lines(&options), expected, "{connections}");
        assert_eq!(shared::lines(&Options { transaction_pooler: true, ..options }), 0, "behind a pooler");
    }
}

#[tokio::test]
async fn each_gets_its_own_answer() {
    let Some((database, store)) = naps().await else { return };
    let texts: Vec<String> = (0..16).map(|n| format!("SELECT {n}::bigint")).collect();
    let fails = "SELECT 1::bigint / naps.n FROM naps WHERE naps.n <> 1 OR seconds > 0";
    until_shared(&store, &[&texts[0], fails]).await;
    database.execute(&["UPDATE naps SET n = 0"]).await;
    for _ in 0..40 {
        let all = texts.iter().map(|text| one(&store, text));
        let (all, failed) = tokio::join!(join_all(all), one(&store, fails));
        for (n, told) in all.into_iter().enumerate() {
            assert_eq!(told.unwrap(), [format!("0 {n}")]);
        }
        // One that fails is its own failure, and nobody else's.
        assert!(matches!(&failed, Err(StoreError::Raised(raised)) if raised.state == "22012"), "{failed:?}");
    }
    assert!(gauge(&store, "postgres_shared_reads") > 100.0);
    assert!(gauge(&store, "postgres_connections_shared") >= 1.0);
    let ours =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'undergird'";
    assert!(database.number(ours).await <= 10);
    store.close().await;
    assert!(matches!(read(&store, &[QUICK]).await, Err(StoreError::Unavailable(_))));
}

/// A statement that was quick and is not any more holds up nobody for long, is stopped at its deadline, and does not share again.
#[tokio::test]
async fn nobody_waits_behind_a_slow_one() {
    let Some((database, store)) = naps().await else { return };
    until_shared(&store, &[NAP, QUICK]).await;
    database.execute(&["UPDATE naps SET seconds = 60"]).await;
    let slow =
        join_all((0..4).map(|_| async { read_until(&store, &[NAP], Instant::now() + Duration::from_secs(2)).await }));
    let quick = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        join_all((0..24).map(|_| one(&store, QUICK))).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert!(slow.iter().all(|told| *told == Err(StoreError::Deadline)), "{slow:?}");
    assert!(quick.iter().all(|told| told.as_deref() == Ok(&["0 7".to_owned()])), "{quick:?}");
    database.until_running("pg_sleep(naps", 0).await;
    database.execute(&["UPDATE naps SET seconds = 0"]).await;
    until_shared(&store, &[QUICK, NAP]).await;
}

/// Who leaves stops the statement, though others may be behind it.
#[tokio::test]
async fn who_leaves_a_shared_connection_stops_the_statement() {
    let Some((database, store)) = naps().await else { return };
    until_shared(&store, &[NAP, QUICK]).await;
    database.execute(&["UPDATE naps SET seconds = 60"]).await;
    let slow = join_all((0..8).map(|_| one(&store, NAP)));
    // Before anybody's patience has ended: they are on the shared connections.
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    database.until_running("pg_sleep(naps", 0).await;
    assert_eq!(read(&store, &[QUICK]).await.unwrap(), ["0 7"]);
    // Nor do those run that were behind it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    database.until_running("pg_sleep(naps", 0).await;
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep(naps%' \
                AND pid <> pg_backend_pid()";
    assert_eq!(database.number(left).await, 0);
}

#[tokio::test]
async fn cut_connections_fail_no_read() {
    let Some((database, store)) = naps().await else { return };
    for _ in 0..3 {
        until_shared(&store, &[QUICK]).await;
        let (all, ()) = tokio::join!(
            join_all((0..8).map(|_| async {
                for _ in 0..40 {
                    assert_eq!(read(&store, &[QUICK]).await.unwrap(), ["0 7"]);
                }
            })),
            database.cut()
        );
        drop(all);
    }
}
