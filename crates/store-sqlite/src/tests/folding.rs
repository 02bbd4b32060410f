//! The write-ahead log does not grow for ever, however steadily one writes and reads.

use super::{number, plain, read_of, run, soon, transact, try_read};
use crate::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use undergird_store::{Decision, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_cut_while_everybody_works() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                try_read(&*store, read_of("SELECT count(*), 1, 1, 1 FROM t"), soon()).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let gauge = |name: &str| store.gauges().into_iter().find(|(known, ..)| *known == name).unwrap().2;
    let begun = Instant::now();
    let (mut grown, mut cut, mut writes) = (0.0f64, false, 0);
    // Each leaves some 40 pages in the log, so that it is cut after some 200 of them.
    while begun.elapsed() < Duration::from_secs(20) && !cut {
        transact(&store, soon(), |connection| {
            run(connection, "DROP TABLE IF EXISTS big")?;
            run(connection, "CREATE TABLE big AS SELECT randomblob(160000) AS b")?;
            Ok(Decision::Commit)
        })
        .await
        .unwrap();
        writes += 1;
        let pages = gauge("sqlite_log_pages");
        cut = pages < grown && grown >= 1_000.0;
        grown = grown.max(pages);
    }
    stop.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(cut, "{writes} writes, {grown} pages");
    assert_eq!(number(&store, "SELECT count(*) FROM big").await, 1);
    store.close().await;
}
