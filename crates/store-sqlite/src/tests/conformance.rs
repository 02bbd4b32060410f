//! The suite that every store passes.

use crate::{Options, SqliteStore};
use undergird_store::Store;
use undergird_store::conformance::{cases, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes() {
    let store = SqliteStore::open("sqlite::memory:", &Options::default()).unwrap();
    let mut different = Vec::new();
    let cases = cases();
    let steps: usize = cases.iter().map(|case| case.steps.len()).sum();
    for case in &cases {
        if let Err(texts) = run(&*store, case).await {
            different.extend(texts);
        }
    }
    store.close().await;
    assert!(cases.len() >= 20 && steps >= 500, "{} cases, {steps} steps", cases.len());
    assert!(different.is_empty(), "{} of {steps} differ:\n{}", different.len(), different.join("\n"));
}
