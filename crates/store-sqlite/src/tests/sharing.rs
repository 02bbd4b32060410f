//! Reads that share a snapshot see every commit that any read before them saw.

use super::{plain, read_of, run, soon, transact, try_read};
use crate::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use undergird_store::{Decision, Store};

const COMMITS: i64 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_reads_what_was_before_what_another_has_read() {
    let options = Options { readers: 3, ..Options::default() };
    let store = plain("sqlite::memory:", &options).await;
    transact(&store, soon(), |connection| {
        run(connection, "CREATE TABLE counter AS SELECT 0 AS n")?;
        Ok(Decision::Commit)
    })
    .await
    .unwrap();
    let (seen, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, seen, stop) = (Arc::clone(&store), Arc::clone(&seen), Arc::clone(&stop));
            let query = read_of("SELECT n, 1, 1, 1 FROM counter");
            tokio::spawn(async move {
                let mut reads = 0;
                while !stop.load(Ordering::SeqCst) {
                    let before = seen.load(Ordering::SeqCst);
                    let lines = try_read(&*store, query.clone(), soon()).await.unwrap();
                    let number = lines[0].split(' ').nth(1).unwrap().parse::<i64>().unwrap();
                    assert!(number >= before, "{number} was read after {before}");
                    seen.fetch_max(number, Ordering::SeqCst);
                    reads += 1;
                    if reads % 16 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                reads
            })
        })
        .collect();
    for commit in 1..=COMMITS {
        transact(&store, soon(), |connection| {
            run(connection, "UPDATE counter SET n = n + 1")?;
            Ok(Decision::Commit)
        })
        .await
        .unwrap();
        // Acknowledged, so from here on everybody reads it.
        seen.fetch_max(commit, Ordering::SeqCst);
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    store.close().await;
}

#[tokio::test]
async fn what_a_quiet_server_kept_open_is_let_go() {
    let store = plain("sqlite::memory:", &Options { readers: 1, ..Options::default() }).await;
    let (mut shared, query) = (false, read_of("SELECT 7, 1, 1, 1"));
    for _ in 0..10_000 {
        let lines = try_read(&*store, query.clone(), soon()).await.unwrap();
        assert_eq!(lines, ["0: 7 1"]);
        shared |= store.readers.keeps_any();
        if shared {
            break;
        }
    }
    assert!(shared, "reads in a row share a snapshot");
    store.readers.let_go();
    assert!(!store.readers.keeps_any());
    store.close().await;
}
