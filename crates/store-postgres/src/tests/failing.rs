//! Deadlines, callers who leave, connections that break, servers that are not there.

use super::{change, commit, count, database, read, read_until, transact, transact_until};
use crate::{Options, PostgresStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use undergird_store::{Isolation, Store, StoreError};

const SLEEP: &str = "SELECT 1::bigint FROM pg_sleep(60)";

#[tokio::test]
async fn past_its_deadline_a_statement_is_cancelled() {
    let Some(database) = database().await else { return };
    let store = database.open_with("pool=1").await;
    let deadline = Instant::now() + Duration::from_millis(300);
    assert_eq!(read_until(&store, &[SLEEP], deadline).await, Err(StoreError::Deadline));
    database.until_running("pg_sleep(60)", 0).await;
    // The only connection is clean again, and it is the same one.
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
    let deadline = Instant::now() + Duration::from_millis(300);
    let told = transact_until::<(), _>(&store, Isolation::Committed, deadline, |connection| {
        Box::pin(async move {
            count(connection, SLEEP).await?;
            commit(())
        })
    })
    .await;
    assert_eq!(told.err(), Some(StoreError::Deadline));
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
    let made = store.gauges().iter().find(|(name, ..)| *name == "postgres_connections_made").unwrap().2;
    assert!((made - 1.0).abs() < 0.1, "{made}");
}

#[tokio::test]
async fn who_leaves_stops_the_statement() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint)"]).await;
    let store = database.open_with("pool=1").await;
    for write in [false, true] {
        let running = store.clone();
        let task = tokio::spawn(async move {
            if write {
                let _ = transact::<(), _>(&running, Isolation::Committed, |connection| {
                    Box::pin(async move {
                        change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
                        count(connection, SLEEP).await?;
                        commit(())
                    })
                })
                .await;
            } else {
                let _ = read(&running, &[SLEEP]).await;
            }
        });
        database.until_running("pg_sleep(60)", 1).await;
        task.abort();
        database.until_running("pg_sleep(60)", 0).await;
        assert_eq!(read(&store, &["SELECT count(*) FROM t"]).await.unwrap(), ["0 0"]);
    }
    let waiting = database.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    );
    assert_eq!(waiting.await, 0);
}

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint)"]).await;
    let store = database.open().await;
    for _ in 0..3 {
        let all =
            futures_util::future::join_all((0..4).map(|_| read(&store, &["SELECT 1::bigint FROM pg_sleep(0.05)"])));
        assert!(all.await.iter().all(Result::is_ok));
        database.cut().await;
        assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
        database.cut().await;
        transact::<(), _>(&store, Isolation::Committed, |connection| {
            Box::pin(async move {
                change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
                commit(())
            })
        })
        .await
        .unwrap();
    }
    // Cut while it runs: a transaction that is not committed has done nothing, so it is run again.
    let runs = Arc::new(AtomicU32::new(0));
    let (counted, url) = (runs.clone(), database.url.clone());
    transact::<(), _>(&store, Isolation::Committed, move |connection| {
        let (first, url) = (counted.fetch_add(1, Ordering::Relaxed) == 0, url.clone());
        Box::pin(async move {
            change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
            if first {
                super::number(
                    &url,
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .await;
            }
            change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
            commit(())
        })
    })
    .await
    .unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(database.number("SELECT count(*) FROM t").await, 5);
}

#[tokio::test]
async fn a_commit_of_which_nobody_knows_is_said_to_be_one() {
    let Some(database) = database().await else { return };
    database
        .execute(&[
            "CREATE TABLE t (n bigint)",
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'",
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()",
        ])
        .await;
    let store = database.open().await;
    let running = store.clone();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let task = tokio::spawn(async move {
        transact::<(), _>(&running, Isolation::Committed, move |connection| {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
                commit(())
            })
        })
        .await
    });
    database.until_running("COMMIT", 1).await;
    database.cut().await;
    let told = task.await.unwrap().unwrap_err();
    assert!(
        matches!(&told, StoreError::Unavailable(why) if why.contains("the outcome of the commit is unknown")),
        "{told}"
    );
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_deferred_constraint_fails_at_the_commit() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED)"]).await;
    let store = database.open().await;
    let told = transact::<(), _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            change(connection, "INSERT INTO t VALUES (1), (1)", vec![]).await?;
            commit(())
        })
    });
    assert!(matches!(told.await, Err(StoreError::Constraint { columns, .. }) if columns == ["n"]));
    assert_eq!(read(&store, &["SELECT count(*) FROM t"]).await.unwrap(), ["0 0"]);
}

#[tokio::test]
async fn what_was_prepared_is_prepared_anew_when_the_table_changes() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint)", "INSERT INTO t VALUES (1)"]).await;
    let store = database.open_with("pool=1").await;
    assert_eq!(read(&store, &["SELECT * FROM t"]).await.unwrap(), ["0 1"]);
    database.execute(&["ALTER TABLE t ADD COLUMN other text"]).await;
    assert_eq!(read(&store, &["SELECT * FROM t"]).await.unwrap(), ["0 1"]);
    database.execute(&["ALTER TABLE t ADD COLUMN another text"]).await;
    let found = transact::<i64, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move { commit(count(connection, "SELECT * FROM t").await?) })
    });
    assert_eq!(found.await.unwrap(), 1);
    // On all connections at once.
    let store = database.open_with("pool=8").await;
    let work = || {
        transact::<i64, _>(&store, Isolation::Committed, |connection| {
            Box::pin(async move { commit(count(connection, "SELECT *, 7 FROM t, pg_sleep(0.05)").await?) })
        })
    };
    for words in ["SELECT 1", "ALTER TABLE t ADD COLUMN more text", "ALTER TABLE t DROP COLUMN more"] {
        database.execute(&[words]).await;
        let all = futures_util::future::join_all((0..8).map(|_| work())).await;
        assert!(all.iter().all(|told| *told == Ok(1)), "{all:?}");
    }
    // More statements than are kept.
    for number in 0..600 {
        let words = format!("SELECT {number}::bigint");
        assert_eq!(read(&store, &[&words]).await.unwrap(), [format!("0 {number}")]);
    }
    assert_eq!(read(&store, &["SELECT 0::bigint"]).await.unwrap(), ["0 0"]);
}

/// Who has waited for his turn has not waited for a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_was_long_in_coming_leaves_time_for_a_connection() {
    let Some(database) = database().await else { return };
    let store = database.open_with("pool=1").await;
    // Somebody runs alone all the time, so that a second run waits for a second, and a third for two.
    let alone = store.pool.turns.take(1, Instant::now() + Duration::from_secs(1)).await;
    let late = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut run = 0;
            transact::<i64, _>(&store, Isolation::Serializable, move |connection| {
                run += 1;
                Box::pin(async move {
                    let one = count(connection, "SELECT 1::bigint").await?;
                    if run < 3 { Err(StoreError::Conflict) } else { commit(one) }
                })
            })
            .await
        })
    };
    // The first run waits for a quarter of a second; the third comes after 3.25 s, when the only connection is taken.
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    assert_eq!(read(&store, &["SELECT 2::bigint FROM pg_sleep(0.9)"]).await.unwrap(), ["0 2"]);
    assert_eq!(late.await.unwrap(), Ok(1));
    drop(alone);
    Store::close(&*store).await;
}

/// Who comes when others wait for long is told at once; a few may wait however long it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_wait_too_long_is_told_at_once() {
    let Some(database) = database().await else { return };
    let store = database.open_with("pool=1").await;
    let later = |words: &'static str| {
        let store = store.clone();
        tokio::spawn(async move { read(&store, &[words]).await })
    };
    let running = later("SELECT 1::bigint FROM pg_sleep(1.2)");
    database.until_running("pg_sleep(1.2)", 1).await;
    let mut few: Vec<_> = (0..4).map(|_| later("SELECT 2::bigint")).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // So far nobody waits for long.
    few.push(later("SELECT 2::bigint"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    assert_eq!(read(&store, &["SELECT 3::bigint"]).await, Err(StoreError::Overloaded));
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    assert_eq!(running.await.unwrap().unwrap(), ["0 1"]);
    for one in few {
        assert_eq!(one.await.unwrap().unwrap(), ["0 2"]);
    }
    assert_eq!(read(&store, &["SELECT 3::bigint"]).await.unwrap(), ["0 3"]);
    Store::close(&*store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_is_told_so() {
    let Some(database) = database().await else { return };
    let options = Options { waiting: 1, wait: Duration::from_millis(300), ..Options::default() };
    let store = PostgresStore::open(&format!("{}&pool=1", database.url), options).await.unwrap();
    let running = store.clone();
    let task = tokio::spawn(async move { read(&running, &["SELECT 1::bigint FROM pg_sleep(60)"]).await });
    database.until_running("pg_sleep(60)", 1).await;
    // One waits in vain, and the second is not even let in.
    let (a, b) = tokio::join!(read(&store, &["SELECT 1::bigint"]), read(&store, &["SELECT 1::bigint"]));
    assert_eq!((a, b), (Err(StoreError::Overloaded), Err(StoreError::Overloaded)));
    task.abort();
    database.until_running("pg_sleep(60)", 0).await;
    for _ in 0..100 {
        if read(&store, &["SELECT 1::bigint"]).await.is_ok() {
            return;
        }
    }
    panic!("the connection never came back");
}

#[tokio::test]
async fn servers_that_are_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for port in [free, silent] {
        for mode in ["disable", "require"] {
            let url = format!("postgres://u:hush@127.0.0.1:{port}/d?sslmode={mode}");
            let Err(StoreError::Unavailable(why)) = PostgresStore::open(&url, Options::default()).await else {
                panic!("{url}");
            };
            assert!(why.contains(&format!("127.0.0.1:{port}/d")) && !why.contains("hush"), "{why}");
        }
    }
    let Some(database) = database().await else { return };
    let absent = database.url.replace("ug_driver_", "ug_absent_");
    let Err(StoreError::Unavailable(why)) = PostgresStore::open(&absent, Options::default()).await else {
        panic!("{absent}");
    };
    assert!(why.contains("3D000"), "{why}");
    // The test's server speaks no TLS.
    let encrypted = format!("{}&sslmode=require", database.url);
    if let Err(error) = PostgresStore::open(&encrypted, Options::default()).await {
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("TLS")), "{error}");
    }
}

#[tokio::test]
async fn the_second_of_two_servers_is_taken_when_the_first_is_gone() {
    let Some(database) = database().await else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (scheme, rest) = database.url.split_once("://").unwrap();
    let (user, place) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{user}@127.0.0.1:{free},{place}&target_session_attrs=read-write&pool=1");
    let store = PostgresStore::open(&url, Options::default()).await.unwrap();
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
    let deadline = Instant::now() + Duration::from_millis(300);
    let told = read_until(&store, &["SELECT 1::bigint FROM pg_sleep(62)"], deadline).await;
    assert_eq!(told, Err(StoreError::Deadline));
    database.until_running("pg_sleep(62)", 0).await;
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
}
