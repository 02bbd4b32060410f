//! The two readers of an expression held against each other on SQLite: see [`undergird_store::conformance::differential`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use undergird_store::Store;
use undergird_store::conformance::differential::{Trial, agree, wrong_readers_are_found_out};
use undergird_store_sqlite::{Options, SqliteStore};

fn trial(store: &SqliteStore) -> Trial<'_> {
    let before = &["PRAGMA defer_foreign_keys = 1"];
    Trial { store, before, after: &[], rows: 250, rules: 60, pairs: 1_000_000 }
}

#[tokio::test]
async fn memory_and_sqlite_agree() {
    let store = SqliteStore::open("sqlite::memory:", &Options::default()).unwrap();
    let answer = agree(trial(&store)).await;
    store.close().await;
    println!("{}", answer.unwrap_or_else(|difference| panic!("{difference}")));
}

#[tokio::test]
async fn a_wrong_reader_is_found_out() {
    let store = SqliteStore::open("sqlite::memory:", &Options::default()).unwrap();
    let answer = wrong_readers_are_found_out(trial(&store)).await;
    store.close().await;
    answer.unwrap_or_else(|hidden| panic!("{hidden}"));
}
