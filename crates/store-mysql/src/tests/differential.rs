//! The two readers of an expression held against each other: see [`undergird_store::conformance::differential`].

use super::database;
use crate::MysqlStore;
use undergird_store::Store;
use undergird_store::conformance::differential::{Trial, agree, wrong_readers_are_found_out};

fn trial(store: &MysqlStore) -> Trial<'_> {
    let (before, after) = (&["SET SESSION foreign_key_checks = 0"], &["SET SESSION foreign_key_checks = 1"]);
    Trial { store, before, after, rows: 1_000, rules: 60, pairs: 1_000_000 }
}

#[tokio::test]
async fn memory_and_mysql_agree() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let answer = agree(trial(&store)).await;
    Store::close(&*store).await;
    println!("{}", answer.unwrap_or_else(|difference| panic!("{difference}")));
}

#[tokio::test]
async fn a_wrong_reader_is_found_out() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let answer = wrong_readers_are_found_out(Trial { rows: 250, ..trial(&store) }).await;
    Store::close(&*store).await;
    answer.unwrap_or_else(|hidden| panic!("{hidden}"));
}
