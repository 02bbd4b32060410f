//! Deadlines, callers who leave, connections that break, servers that are not there.

use super::{change, commit, count, database, read, read_until, transact, transact_until};
use crate::{MysqlStore, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use undergird_store::{Isolation, StoreError};

const SLEEP: &str = "SELECT SLEEP(60)";

#[tokio::test]
async fn past_its_deadline_a_statement_is_cancelled() {
    let Some(database) = database().await else { return };
    let store = database.open_with("pool=1").await;
    let deadline = Instant::now() + Duration::from_millis(300);
    assert_eq!(read_until(&store, &[SLEEP], deadline).await, Err(StoreError::Deadline));
    database.until_running("SLEEP(60)", 0).await;
    // The only place is free again.
    assert_eq!(read(&store, &["SELECT 1"]).await.unwrap(), ["0 1"]);
    let deadline = Instant::now() + Duration::from_millis(300);
    let told = transact_until::<(), _>(&store, Isolation::Committed, deadline, |connection| {
        Box::pin(async move {
            count(connection, SLEEP).await?;
            commit(())
        })
    })
    .await;
    assert_eq!(told.err(), Some(StoreError::Deadline));
    assert_eq!(read(&store, &["SELECT 1"]).await.unwrap(), ["0 1"]);
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
        database.until_running("SLEEP(60)", 1).await;
        task.abort();
        database.until_running("SLEEP(60)", 0).await;
        assert_eq!(read(&store, &["SELECT count(*) FROM t"]).await.unwrap(), ["0 0"]);
    }
    let open = database.number(
        "SELECT count(*) FROM information_schema.innodb_trx AS t JOIN information_schema.processlist AS p ON \
                                p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()",
    );
    assert_eq!(open.await, 0);
}

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint)"]).await;
    let store = database.open().await;
    for _ in 0..3 {
        let all = futures_util::future::join_all((0..4).map(|_| read(&store, &["SELECT 1 + SLEEP(0.05)"])));
        assert!(all.await.iter().all(Result::is_ok));
        database.cut().await;
        assert_eq!(read(&store, &["SELECT 1"]).await.unwrap(), ["0 1"]);
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
    let (counted, url, name) = (runs.clone(), database.url.clone(), database.name());
    transact::<(), _>(&store, Isolation::Committed, move |connection| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        let (url, name) = (url.clone(), name.clone());
        Box::pin(async move {
            change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
            if first {
                super::cut(&url, &name).await;
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
async fn what_was_prepared_is_prepared_anew_when_the_table_changes() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint)", "INSERT INTO t VALUES (1)"]).await;
    let store = database.open_with("pool=1").await;
    assert_eq!(read(&store, &["SELECT * FROM t"]).await.unwrap(), ["0 1"]);
    database.execute(&["ALTER TABLE t ADD COLUMN other bigint DEFAULT 7 FIRST"]).await;
    assert_eq!(read(&store, &["SELECT * FROM t"]).await.unwrap(), ["0 7"]);
    database.execute(&["ALTER TABLE t ADD COLUMN another text"]).await;
    let found = transact::<i64, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move { commit(count(connection, "SELECT * FROM t").await?) })
    });
    assert_eq!(found.await.unwrap(), 7);
    // On all connections at once.
    let store = database.open_with("pool=8").await;
    let work = || {
        transact::<i64, _>(&store, Isolation::Committed, |connection| {
            Box::pin(async move { commit(count(connection, "SELECT *, SLEEP(0.05) FROM t").await?) })
        })
    };
    for words in ["SELECT 1", "ALTER TABLE t ADD COLUMN more text", "ALTER TABLE t DROP COLUMN more"] {
        database.execute(&[words]).await;
        let all = futures_util::future::join_all((0..8).map(|_| work())).await;
        assert!(all.iter().all(|told| *told == Ok(7)), "{all:?}");
    }
    // More statements than are kept.
    for number in 0..300 {
        let words = format!("SELECT {number}");
        assert_eq!(read(&store, &[&words]).await.unwrap(), [format!("0 {number}")]);
    }
    assert_eq!(read(&store, &["SELECT 0"]).await.unwrap(), ["0 0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_is_told_so() {
    let Some(database) = database().await else { return };
    let options = Options { waiting: 1, wait: Duration::from_millis(300), ..Options::default() };
    let store = MysqlStore::open(&format!("{}&pool=1", database.url), options).await.unwrap();
    let running = store.clone();
    let task = tokio::spawn(async move { read(&running, &["SELECT SLEEP(60)"]).await });
    database.until_running("SLEEP(60)", 1).await;
    // One waits in vain, and the second is not even let in.
    let (a, b) = tokio::join!(read(&store, &["SELECT 1"]), read(&store, &["SELECT 1"]));
    assert_eq!((a, b), (Err(StoreError::Overloaded), Err(StoreError::Overloaded)));
    task.abort();
    database.until_running("SLEEP(60)", 0).await;
    for _ in 0..100 {
        if read(&store, &["SELECT 1"]).await.is_ok() {
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
            let url = format!("mysql://u:hush@127.0.0.1:{port}/d?sslmode={mode}");
            let Err(StoreError::Unavailable(why)) = MysqlStore::open(&url, Options::default()).await else {
                panic!("{url}");
            };
            assert!(why.contains(&format!("127.0.0.1:{port}/d")) && !why.contains("hush"), "{why}");
        }
    }
    let Some(database) = database().await else { return };
    let absent = database.url.replace("ug_my_driver_", "ug_absent_");
    let Err(StoreError::Unavailable(why)) = MysqlStore::open(&absent, Options::default()).await else {
        panic!("{absent}");
    };
    assert!(why.contains("1049"), "{why}");
    // The test's server speaks no TLS.
    let encrypted = format!("{}&sslmode=require", database.url);
    if let Err(error) = MysqlStore::open(&encrypted, Options::default()).await {
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("SSL")), "{error}");
    }
}

/// Carries bytes to a server until it is told to keep them all; it goes on taking connections, and what is sent on them.
async fn wire(to: String) -> (u16, tokio::sync::watch::Sender<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::watch::channel(true);
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let (to, mut told) = (to.clone(), told.clone());
            tokio::spawn(async move {
                let _ = told.wait_for(|open| *open).await;
                let mut there = tokio::net::TcpStream::connect(to).await.unwrap();
                let silenced = async { drop(told.wait_for(|open| !open).await) };
                let ended = tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut here, &mut there) => true,
                    () = silenced => false,
                };
                if !ended {
                    // Both ends stay open as long as nothing passes.
                    drop(told.wait_for(|open| *open).await);
                }
            });
        }
    });
    (port, tell)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_vanished_is_not_waited_for() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (n bigint)"]).await;
    let (base, place) = database.url.split_once('@').unwrap();
    let (address, rest) = place.split_once('/').unwrap();
    let (port, tell) = wire(address.to_owned()).await;
    let url = format!("{base}@127.0.0.1:{port}/{rest}&pool=2&prefer_socket=false");
    let store = MysqlStore::open(&url, Options::default()).await.unwrap();
    // A statement that takes long is only slow while the server can be reached.
    assert_eq!(read(&store, &["SELECT SLEEP(2.5)"]).await.unwrap(), ["0 0"]);
    let (begun, beginning) = tokio::sync::oneshot::channel::<()>();
    let begun = Arc::new(parking_lot::Mutex::new(Some(begun)));
    let far = Instant::now() + Duration::from_secs(60);
    let writing = transact_until::<(), _>(&store, Isolation::Committed, far, move |connection| {
        let begun = begun.clone();
        Box::pin(async move {
            change(connection, "INSERT INTO t VALUES (1)", vec![]).await?;
            if let Some(begun) = begun.lock().take() {
                let _ = begun.send(());
            }
            count(connection, "SELECT SLEEP(4)").await?;
            commit(())
        })
    });
    let vanish = async {
        beginning.await.unwrap();
        tell.send_replace(false);
        read_until(&store, &["SELECT 1"], far).await
    };
    let (written, read_meanwhile) = tokio::join!(writing, vanish);
    for told in [written.map(|_| ()).err(), read_meanwhile.map(|_| ()).err()] {
        // Not its deadline: that is a minute away.
        assert!(matches!(&told, Some(StoreError::Unavailable(_))), "{told:?}");
    }
    tell.send_replace(true);
    assert_eq!(read(&store, &["SELECT count(*) FROM t"]).await.unwrap(), ["0 0"]);
}
