//! The suite that every store passes.

use crate::{Options, SqliteStore};
use undergird_store::Store;
use undergird_store::conformance::run_all;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes() {
    let store = SqliteStore::open("sqlite::memory:", &Options::default()).unwrap();
    let report = run_all(&*store, &[]).await;
    store.close().await;
    eprintln!("{report}");
    assert!(report.passed(), "{report}");
}
