//! The suite that every store passes.

use super::database;
use undergird_store::Store;
use undergird_store::conformance::{Exception, run_all};

/// Where PostgreSQL cannot answer as the others do.
const EXCEPTIONS: &[Exception] = &[];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let report = run_all(&*store, EXCEPTIONS).await;
    Store::close(&*store).await;
    eprintln!("{report}");
    assert!(report.passed(), "{report}");
}

/// What can have no policy.
const WALLED: &[Exception] = &[];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_behind_the_wall() {
    let Some(database) = database().await else { return };
    let (store, _) = database.open_walled("pool=4").await;
    let report = run_all(&*store, WALLED).await;
    Store::close(&*store).await;
    eprintln!("{report}");
    assert!(report.passed(), "{report}");
}
