//! The suite that every store passes.

use super::database;
use undergird_store::Store;
use undergird_store::conformance::{Exception, run_all};

/// Where MariaDB cannot answer as the others do. Each is refused by name, and none is answered otherwise.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        case: "constraints: texts of any length in keys and indexes",
        reason: "an index of InnoDB holds at most 3,072 octets",
        answer: "an index holds at most 768 characters of a value",
    },
    Exception {
        case: "names: names beyond the basic plane",
        reason: "identifiers have no characters beyond U+FFFF",
        answer: "has a character beyond U+FFFF",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let report = run_all(&*store, EXCEPTIONS).await;
    store.close().await;
    eprintln!("{report}");
    assert!(report.passed(), "{report}");
}
