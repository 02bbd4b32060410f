//! The two readers of an expression held against each other: see [`undergird_store::conformance::differential`].

use super::database;
use crate::PostgresStore;
use undergird_store::Store;
use undergird_store::conformance::differential::{
    Trial, agree, patterns_agree, policies_agree, wrong_policies_are_found_out, wrong_readers_are_found_out,
};

fn trial(store: &PostgresStore) -> Trial<'_> {
    let before = &["SET LOCAL session_replication_role = replica"];
    Trial { store, before, after: &[], rows: 1_000, rules: 60, pairs: 1_000_000 }
}

#[tokio::test]
async fn memory_and_postgresql_agree() {
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

#[tokio::test]
async fn patterns_find_the_same() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let answer = patterns_agree(Trial { rows: 250, rules: 400, pairs: 200_000, ..trial(&store) }).await;
    Store::close(&*store).await;
    println!("{}", answer.unwrap_or_else(|difference| panic!("{difference}")));
}

#[tokio::test]
async fn policies_and_memory_agree() {
    let Some(database) = database().await else { return };
    let (store, _) = database.open_walled("pool=2").await;
    let answer = policies_agree(Trial { rows: 250, rules: 8, pairs: 100_000, ..trial(&store) }).await;
    Store::close(&*store).await;
    println!("{}", answer.unwrap_or_else(|difference| panic!("{difference}")));
}

#[tokio::test]
async fn a_wrong_policy_is_found_out() {
    let Some(database) = database().await else { return };
    let (store, _) = database.open_walled("pool=2").await;
    let answer = wrong_policies_are_found_out(Trial { rows: 250, rules: 8, ..trial(&store) }).await;
    Store::close(&*store).await;
    answer.unwrap_or_else(|hidden| panic!("{hidden}"));
}
