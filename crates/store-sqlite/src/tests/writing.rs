//! The writer: groups, and what one transaction's failure does to the others.

use super::disk::Folder;
use super::{number, plain, run, snapshot, soon, transact};
use crate::{Options, SqliteStore};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use undergird_store::{ConstraintKind, Decision, Store, StoreError};

/// Keeps the writer busy until it is let go.
struct Busy {
    release: Sender<()>,
    task: JoinHandle<Result<Decision, StoreError>>,
}

impl Busy {
    async fn begin(store: &Arc<SqliteStore>) -> Busy {
        let (release, released) = channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        let store = Arc::clone(store);
        let task = tokio::spawn(async move {
            transact(&store, soon(), move |_| {
                begun.take().unwrap().send(()).unwrap();
                released.recv().unwrap();
                Ok(Decision::Rollback)
            })
            .await
        });
        begins.await.unwrap();
        Busy { release, task }
    }

    async fn end(self) {
        self.release.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Ends when so many transactions wait, which then form a group.
    fn until(self, store: &Arc<SqliteStore>, waiting: usize) -> JoinHandle<()> {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            wait_for(&store, waiting).await;
            self.end().await;
        })
    }
}

/// Waits until so many transactions wait.
async fn wait_for(store: &SqliteStore, waiting: usize) {
    for _ in 0..5_000 {
        if store.writes.queue.len() >= waiting {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} wait, not {waiting}", store.writes.queue.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_ask_for_health_the_queue_has_one_of_them() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let busy = Busy::begin(&store).await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.health().await })
        })
        .collect();
    wait_for(&store, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.writes.queue.len(), 1);
    busy.end().await;
    for answer in asking {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    assert_eq!(store.health().await, Ok(()), "and it can be asked again");
    store.close().await;
    assert!(store.health().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_group_each_is_all_or_nothing() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let busy = Busy::begin(&store).await.until(&store, 40);
    let jobs = (0..40i64).map(|n| {
        let store = &store;
        async move {
            transact(store, soon(), move |connection| {
                run(connection, &format!("INSERT INTO t VALUES ({n}, 1)"))?;
                // Every fourth breaks a constraint, every fifth changes its mind, after it has written.
                let v = if n % 4 == 0 { 13 } else { 2 };
                run(connection, &format!("INSERT INTO t VALUES ({n} + 1000, {v})"))?;
                Ok(if n % 5 == 0 { Decision::Rollback } else { Decision::Commit })
            })
            .await
        }
    });
    let answers = join_all(jobs).await;
    busy.await.unwrap();
    for (n, answer) in answers.into_iter().enumerate() {
        match answer {
            Err(error) => {
                assert_eq!(n % 4, 0);
                assert!(
                    matches!(&error, StoreError::Constraint { kind: ConstraintKind::Check, name: Some(name), .. } if name == "v <> 13"),
                    "{error:?}"
                );
            }
            Ok(Decision::Rollback) => assert!(n % 5 == 0 && n % 4 != 0),
            Ok(Decision::Commit) => assert!(n % 5 != 0 && n % 4 != 0),
        }
    }
    let kept = (0..40).filter(|n| n % 4 != 0 && n % 5 != 0).count() as i64;
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, 2 * kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_write_costs_the_others_of_its_group_nothing() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let busy = Busy::begin(&store).await.until(&store, 4);
    let job = |n: i64, deadline: Instant, text: String| {
        let store = Arc::clone(&store);
        async move {
            transact(&store, deadline, move |connection| {
                run(connection, &format!("INSERT INTO t VALUES ({n}, 1)"))?;
                run(connection, &text)?;
                Ok(Decision::Commit)
            })
            .await
        }
    };
    let runaway = "WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c) INSERT INTO t SELECT x, 1 FROM c";
    let runaway = runaway.replacen("WITH", "/* long */ WITH", 1);
    let short = Instant::now() + Duration::from_millis(500);
    let answers = join_all(vec![
        job(1, soon(), "SELECT 1".into()),
        job(2, soon(), "SELECT 1".into()),
        job(3, short, runaway),
        job(4, soon(), "SELECT 1".into()),
    ])
    .await;
    busy.await.unwrap();
    assert_eq!(answers, [Ok(Decision::Commit), Ok(Decision::Commit), Err(StoreError::Deadline), Ok(Decision::Commit)]);
    assert_eq!(number(&store, "SELECT sum(n) FROM t").await, 1 + 2 + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_transaction_takes_no_more_statements() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let answer = transact(&store, Instant::now() + Duration::from_millis(50), |connection| {
        let runaway = "/* long */ WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) INSERT INTO t SELECT x, 1 FROM c";
        assert_eq!(run(connection, runaway), Err(StoreError::Deadline));
        // Outside of a transaction this would be committed by itself.
        assert_eq!(run(connection, "INSERT INTO t VALUES (1, 1)"), Err(StoreError::Deadline));
        Ok(Decision::Commit)
    })
    .await;
    assert_eq!(answer, Err(StoreError::Deadline));
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_panics_fails_alone() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let busy = Busy::begin(&store).await.until(&store, 3);
    let job = |n: i64| {
        let store = Arc::clone(&store);
        async move {
            transact(&store, soon(), move |connection| {
                run(connection, &format!("INSERT INTO t VALUES ({n}, 1)"))?;
                assert!(n != 2, "as the test wants");
                Ok(Decision::Commit)
            })
            .await
        }
    };
    let answers = join_all([job(1), job(2), job(3)]).await;
    busy.await.unwrap();
    assert_eq!(answers[0], Ok(Decision::Commit));
    assert_eq!(answers[1], Err(StoreError::Internal("a write panicked".into())));
    assert_eq!(answers[2], Ok(Decision::Commit));
    assert_eq!(number(&store, "SELECT sum(n) FROM t").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn savepoints_nest() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let work = |connection: &mut dyn undergird_store::Connection| {
        use futures_util::FutureExt;
        run(connection, "INSERT INTO t VALUES (1, 1)")?;
        connection.savepoint().now_or_never().unwrap()?;
        run(connection, "INSERT INTO t VALUES (2, 1)")?;
        connection.savepoint().now_or_never().unwrap()?;
        run(connection, "INSERT INTO t VALUES (4, 1)")?;
        connection.release(false).now_or_never().unwrap()?;
        connection.release(true).now_or_never().unwrap()?;
        assert!(connection.release(true).now_or_never().unwrap().is_err());
        Ok(Decision::Commit)
    };
    assert_eq!(transact(&store, soon(), work).await, Ok(Decision::Commit));
    assert_eq!(number(&store, "SELECT sum(n) FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_in_the_queue_is_shed() {
    let store = plain("sqlite::memory:", &Options { writes_waiting: 1, ..Options::default() }).await;
    let busy = Busy::begin(&store).await;
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { transact(&store, soon(), |_| Ok(Decision::Commit)).await })
    };
    wait_for(&store, 1).await;
    assert_eq!(transact(&store, soon(), |_| Ok(Decision::Commit)).await, Err(StoreError::Overloaded));
    busy.end().await;
    assert_eq!(waiting.await.unwrap(), Ok(Decision::Commit));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_is_not_begun() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let busy = Busy::begin(&store).await;
    let left = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            transact(&store, soon(), |connection| {
                run(connection, "INSERT INTO t VALUES (1, 1)")?;
                Ok(Decision::Commit)
            })
            .await
        })
    };
    wait_for(&store, 1).await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    busy.end().await;
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_says_so() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    store.health().await.unwrap();
    assert!(store.gauges().iter().any(|(name, _, value)| *name == "sqlite_database_bytes" && *value > 0.0));
    store.close().await;
    assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(transact(&store, soon(), |_| Ok(Decision::Commit)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.schema().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_neither_waits_for_the_writer_nor_sees_it_nor_writes() {
    let folder = Folder::new("snapshot");
    let store = plain(&folder.url(), &Options::default()).await;
    transact(&store, soon(), |connection| run(connection, "DELETE FROM t").map(|_| Decision::Commit)).await.unwrap();
    let busy = Busy::begin(&store).await;
    let (seen, again) = channel();
    let (written, go_on) = channel::<()>();
    let reading = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            snapshot(&store, move |connection| {
                seen.send(run(connection, "SELECT count(*) FROM t")?).unwrap();
                go_on.recv().unwrap();
                seen.send(run(connection, "SELECT count(*) FROM t")?).unwrap();
                assert!(run(connection, "INSERT INTO t VALUES (2, 1)").is_err());
                Ok(Decision::Commit)
            })
            .await
        })
    };
    // The writer is still busy when the snapshot has read.
    let first = tokio::task::spawn_blocking(move || (again.recv().unwrap(), again)).await.unwrap();
    busy.end().await;
    transact(&store, soon(), |connection| run(connection, "INSERT INTO t VALUES (1, 1)").map(|_| Decision::Commit))
        .await
        .unwrap();
    written.send(()).unwrap();
    let second = tokio::task::spawn_blocking(move || first.1.recv().unwrap()).await.unwrap();
    reading.await.unwrap().unwrap();
    assert_eq!((first.0, second), (vec![undergird_model::Value::Int(0)], vec![undergird_model::Value::Int(0)]));
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, 1);
}
