//! What reaches the disk, and what happens when it does not.

use super::{number, plain, run, soon, transact};
use crate::{Options, SqliteStore};
use std::path::{Path, PathBuf};
use std::process::Command;
use undergird_store::{Decision, Store, StoreError};

/// A folder that goes when it is dropped, unmounted first when something was mounted on it.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    mounted: bool,
}

impl Folder {
    pub(super) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("undergird-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder { path, mounted: false }
    }

    /// A small disk of its own; `None`, with the reason printed, when this user may not mount.
    fn small_disk(name: &str, size: &str) -> Option<Folder> {
        let mut folder = Folder::new(name);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder.path);
        match mount.output() {
            Ok(output) if output.status.success() => {
                folder.mounted = true;
                Some(folder)
            }
            Ok(output) => {
                eprintln!("skipped: no small disk can be mounted: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: mount cannot be run: {error}");
                None
            }
        }
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.path.join("main.db").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg(&self.path).status();
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_there_again() {
    let folder = Folder::new("again");
    let store = plain(&folder.url(), &Options::default()).await;
    for n in 0..50 {
        transact(&store, soon(), move |connection| {
            run(connection, &format!("INSERT INTO t VALUES ({n}, 1)"))?;
            Ok(Decision::Commit)
        })
        .await
        .unwrap();
    }
    // A copy of the files as a crash would leave them: the log is not folded in yet.
    let crashed = Folder::new("crashed");
    for name in ["main.db", "main.db-wal"] {
        std::fs::copy(folder.path.join(name), crashed.path.join(name)).unwrap();
    }
    store.close().await;
    assert!(!Path::new(&folder.path.join("main.db-wal")).exists(), "closing folds the log in");
    drop(store);
    for url in [folder.url(), crashed.url()] {
        let store = SqliteStore::open(&url, &Options::default()).unwrap();
        assert_eq!(number(&store, "SELECT count(*) FROM t").await, 50);
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = Folder::small_disk("full", "3m") else { return };
    let store = plain(&disk.url(), &Options::default()).await;
    let insert = |n: i64| {
        transact(&store, soon(), move |connection| {
            // Forty pages each.
            run(connection, &format!("INSERT INTO t SELECT {n} * 10000 + value, 1 FROM json_each('[1]')"))?;
            run(connection, &format!("CREATE TABLE big_{n} AS SELECT randomblob(160000) AS b"))?;
            Ok(Decision::Commit)
        })
    };
    let mut kept = 0;
    let mut full = None;
    for n in 0..100 {
        match insert(n).await {
            Ok(_) => kept += 1,
            Err(error) => {
                full = Some((n, error));
                break;
            }
        }
    }
    let (n, error) = full.expect("three megabytes hold no hundred of these");
    assert_eq!(error, StoreError::Full);
    assert!(kept > 0);
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, kept, "nothing lost, nothing half done");
    // Small writes may still fit; what matters is that the store works again once there is room.
    Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk.path).status().unwrap();
    insert(n).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, kept + 1);
    store.close().await;
    drop(store);
    let store = SqliteStore::open(&disk.url(), &Options::default()).unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM t").await, kept + 1);
    store.close().await;
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = Folder::new("none");
    std::fs::write(folder.path.join("main.db"), "this is a text and no database at all, however long it may be")
        .unwrap();
    let error = SqliteStore::open(&folder.url(), &Options::default()).err().unwrap();
    assert!(
        matches!(&error, StoreError::Unavailable(why) if why.contains("main.db") && why.contains("not a database")),
        "{error:?}"
    );
    let error = SqliteStore::open("sqlite:", &Options::default()).err().unwrap();
    assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
}
