//! What other processes commit is told apart from what this one does. Another connection of the same process is another process's to the
//! writer: it did not count that commit.

use super::disk::Folder;
use super::{plain, run, soon, transact};
use crate::Options;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use undergird_store::{Decision, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn own_commits_are_nobody_elses() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let before = store.others_commits();
    assert!(before.is_some());
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || {
            let (mut known, mut unknown) = (0_u64, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                match store.others_commits() {
                    None => unknown += 1,
                    number => {
                        assert_eq!(
                            number, before,
                            "after {known} looks, {unknown} of them while a commit was under way"
                        );
                        known += 1;
                    }
                }
            }
            (known, unknown)
        })
    };
    for turn in 0..2_000 {
        transact(&store, soon(), move |connection| {
            match turn % 3 {
                0 => run(connection, "INSERT INTO t (v) VALUES (1)")?,
                // Neither of these changes anything, and neither is counted.
                1 => run(connection, "UPDATE t SET v = 2 WHERE n < 0")?,
                _ => run(connection, "SELECT count(*) FROM t")?,
            };
            Ok(if turn % 5 == 0 { Decision::Rollback } else { Decision::Commit })
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (known, _) = watcher.await.unwrap();
    assert!(known > 0);
    assert_eq!(store.others_commits(), before);
    store.close().await;
}

#[tokio::test]
async fn a_commit_that_takes_long_hides_nothing_and_nobody() {
    let store = plain("sqlite::memory:", &Options::default()).await;
    let number = store.others_commits();
    // As the writer does it, which waits for tasks.
    store.others.hold();
    let committing = store.others.commits.begin();
    assert_eq!(store.others_commits(), number, "it has the lock, so nobody else commits");
    store.others.release();
    assert_eq!(store.others_commits(), None, "whoever says nothing may be without it");
    drop(committing);
    assert_eq!(store.others_commits(), number);
    assert!(number.is_some());
    store.close().await;
}

#[tokio::test]
async fn others_commits_are_seen_at_once() {
    let folder = Folder::new("others");
    let path = folder.path.join("main.db");
    let store = plain(path.to_str().unwrap(), &Options::default()).await;
    let mut before = store.others_commits().unwrap();
    for turn in 0..200 {
        let other = Connection::open(&path).unwrap();
        other.execute("INSERT INTO t (v) VALUES (3)", []).unwrap();
        let now = store.others_commits().unwrap();
        assert_ne!(now, before, "turn {turn}");
        before = now;
        other.execute("UPDATE t SET v = 4 WHERE n < 0", []).unwrap();
        assert_eq!(store.others_commits(), Some(before), "nothing was changed");
        if turn % 50 == 0 {
            // The log begins anew.
            other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        }
        transact(&store, soon(), |connection| {
            run(connection, "INSERT INTO t (v) VALUES (5)")?;
            Ok(Decision::Commit)
        })
        .await
        .unwrap();
        assert_eq!(store.others_commits(), Some(before), "our own");
    }
    store.close().await;
}
