//! Reads: their deadline, their being left, and what they see while somebody writes.

use super::{number, plain, read_of, run, soon, transact, try_read};
use crate::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use undergird_store::run::EMBEDDED_ROWS_MAX;
use undergird_store::{Decision, Store, StoreError};

const RUNAWAY: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*), 1, 1, 1 FROM c";

/// Takes some tens of milliseconds: too long for the caller's thread.
const LONG: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 300000) SELECT count(*), 1, 1, 1 FROM c";

fn few() -> Options {
    Options { readers: 1, long_readers: 1, long_reads_waiting: 2, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runaway_stops_at_its_deadline() {
    let store = plain("sqlite::memory:", &few()).await;
    let begun = Instant::now();
    let answer = try_read(&*store, read_of(RUNAWAY), begun + Duration::from_millis(150)).await;
    assert_eq!(answer, Err(StoreError::Deadline));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_read_is_finished_by_a_thread() {
    let store = plain("sqlite::memory:", &few()).await;
    for _ in 0..2 {
        let lines = try_read(&*store, read_of(LONG), soon()).await.unwrap();
        assert_eq!(lines.len(), 1, "begun anew, not continued: {lines:?}");
        assert!(lines[0].starts_with("0: 300000 "), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_left_stops() {
    let store = plain("sqlite::memory:", &few()).await;
    let left = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { try_read(&*store, read_of(RUNAWAY), Instant::now() + Duration::from_secs(60)).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    left.abort();
    // The only thread is free again at once.
    let begun = Instant::now();
    try_read(&*store, read_of(LONG), soon()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_do_not_fit_are_shed() {
    let store = plain("sqlite::memory:", &few()).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        waiting.push(tokio::spawn(async move {
            try_read(&*store, read_of(RUNAWAY), Instant::now() + Duration::from_millis(300)).await
        }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answers = Vec::new();
    for task in waiting {
        answers.push(task.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| **answer == Err(StoreError::Overloaded)).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == Err(StoreError::Deadline)).count(), 3, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_transactions_only() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    transact(&store, soon(), |connection| {
        run(connection, "INSERT INTO t VALUES (1, 500), (2, 500)")?;
        Ok(Decision::Commit)
    })
    .await
    .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        readers.push(tokio::spawn(async move {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                let lines = try_read(&*store, read_of("SELECT sum(v), 1, 1, 1 FROM t"), soon()).await.unwrap();
                assert!(lines[0].starts_with("0: 1000 "), "{lines:?}");
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        }));
    }
    for n in 0..200 {
        transact(&store, soon(), move |connection| {
            run(connection, &format!("UPDATE t SET v = v - {n} WHERE n = 1"))?;
            run(connection, &format!("UPDATE t SET v = v + {n} WHERE n = 2"))?;
            Ok(Decision::Commit)
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_eq!(number(&store, "SELECT v FROM t WHERE n = 1").await, 500 - 199 * 200 / 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_rows_have_a_limit() {
    let model = super::model(super::BLOG);
    let store = super::open("sqlite::memory:", &model).await;
    let rows = |from: usize, many: usize| {
        transact(&store, soon(), move |connection| {
            run(connection, "INSERT OR IGNORE INTO users (id, name) VALUES (zeroblob(16), 'Ada')")?;
            run(
                connection,
                &format!(
                    "INSERT INTO posts (id, title, slug, status, author_id) \
                     SELECT unhex(printf('%032x', x)), 't', x, 'draft', zeroblob(16) FROM ( \
                     WITH RECURSIVE c(x) AS (SELECT {from} UNION ALL SELECT x + 1 FROM c LIMIT {many}) SELECT x FROM c)"
                ),
            )?;
            Ok(Decision::Commit)
        })
    };
    let request = undergird_store::conformance::parse_request("GET users?select=name,posts(status)").unwrap();
    rows(1, EMBEDDED_ROWS_MAX).await.unwrap();
    let lines = try_read(&*store, super::prepared(&model, &request), soon()).await.unwrap();
    assert_eq!(lines.len(), EMBEDDED_ROWS_MAX + 1);
    rows(EMBEDDED_ROWS_MAX + 1, 1).await.unwrap();
    let answer = try_read(&*store, super::prepared(&model, &request), soon()).await;
    assert_eq!(answer, Err(StoreError::TooLarge));
    store.close().await;
}
