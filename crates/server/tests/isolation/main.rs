//! Isolation of batches and of `If-Match`, from outside: random transactions over HTTP, whose history `adya` (the approach of Elle, VLDB
//! 2020) searches for what no order of transactions explains; and increments of one row by many, none of which may be lost.
//!
//! Beside each stands the same without what makes it safe, and that must be found bad: else the test could not fail.
//! `UNDERGIRD_TEST_TRANSACTIONS` and `UNDERGIRD_TEST_INCREMENTS` ask for more than CI does.
//!
//! Absent: power cuts and durability (tests/e2e), and how long anything takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod held;
mod lists;
mod nodes;
mod second;
#[path = "../support/mod.rs"]
mod support;

use crate::support::databases::On;
use adya::r#gen::{GenOpts, Kind};
use adya::run::{RunOpts, Stats, run};
use adya::{History, Opts, Report, Valid, Workload, check};
use lists::{How, Lists};
use nodes::{Http, Nodes};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

on_each_store!(
    batches_are_serializable,
    batches_are_serializable_across_nodes,
    batches_survive_kills,
    steps_by_themselves_are_not,
    batches_of_reads_see_no_state_that_never_was,
    no_increment_is_lost,
    no_increment_is_lost_across_nodes,
    changes_of_single_rows_are_not_refused,
    batches_of_creates_commit_within_a_few_runs,
    batches_of_creates_commit_within_a_few_runs_across_nodes,
);

/// At once, for transactions and for increments.
const CLIENTS: usize = 16;
/// Faults come between as many parts of a run.
const FAULTS: usize = 8;

fn asked(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

fn transactions() -> usize {
    asked("UNDERGIRD_TEST_TRANSACTIONS", 1_000)
}

/// How a run ended.
struct Ran {
    stats: Stats,
    report: Report,
    strange: Vec<String>,
}

/// Runs transactions over `keys` hot lists, with something going wrong meanwhile.
fn history(
    lists: &Arc<Lists>,
    count: usize,
    keys: usize,
    seed: u64,
    meanwhile: impl FnOnce(&AtomicBool) + Send,
) -> Ran {
    let over = AtomicBool::new(false);
    let (text, stats) = std::thread::scope(|scope| {
        scope.spawn(|| meanwhile(&over));
        let options = RunOpts {
            processes: CLIENTS,
            txns: count,
            time_limit: None,
            r#gen: GenOpts {
                kind: Kind::ListAppend,
                key_count: keys,
                min_txn_len: 1,
                max_txn_len: 4,
                max_writes_per_key: 32,
            },
            seed,
            nemesis: None,
        };
        let ran = run(&|| lists.client(), &options);
        over.store(true, Ordering::Relaxed);
        ran.unwrap()
    });
    if let Ok(folder) = std::env::var("UNDERGIRD_TEST_KEEP") {
        std::fs::write(format!("{folder}/history-{}-{seed}.jsonl", std::process::id()), &text).unwrap();
    }
    let history = History::from_json(&text).unwrap();
    let options = Opts { models: vec!["strict-serializable".into()], ..Opts::default() };
    let report = check(&history, Workload::ListAppend, &options);
    Ran { stats, report, strange: lists.strange() }
}

impl Ran {
    /// That nothing is wrong, and that enough of it happened for that to mean something.
    fn is_good(&self, count: usize, ok_percent: usize) {
        let Stats { ok, fail, info } = self.stats;
        assert_eq!(self.strange, [""; 0]);
        assert_eq!(ok + fail + info, count, "each transaction has an end");
        assert!(self.report.valid == Valid::True, "{:?}\n{:#?}", self.report.anomaly_types, self.report.anomalies);
        assert!(ok * 100 >= count * ok_percent, "only {ok} of {count} are done; {fail} failed, {info} unknown");
    }
}

/// Lists enough for so many transactions.
fn lists(on: On, nodes: usize, how: How, count: usize) -> Option<Arc<Lists>> {
    Some(Arc::new(Lists::new(Nodes::start(on, nodes)?, how, 40 + count as i64 / 10)))
}

/// How many transactions were run once, two to five times, more often, and were given up.
fn runs(nodes: &Nodes) -> [u64; 4] {
    ["once", "few", "many"]
        .map(|name| format!("transactions_run_{name}_total"))
        .into_iter()
        .chain(["transactions_given_up_total".to_owned()])
        .map(|name| nodes.figure(&name))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// That nearly all are over within a few runs.
fn within_a_few([once, few, many, given_up]: [u64; 4]) {
    let (good, all) = (once + few, once + few + many + given_up);
    println!("runs: once {once}, two to five {few}, more {many}, given up {given_up}");
    assert!(good * 100 >= all * 95, "once {once}, two to five {few}, more {many}, given up {given_up}");
}

async fn batches_are_serializable(on: On) {
    serializable_on(on, 1);
}

/// From several processes, none of which knows whose turn it is in the others: the database keeps it for those who are late.
async fn batches_are_serializable_across_nodes(on: On) {
    if let Some(nodes) = several(on) {
        serializable_on(on, nodes);
    }
}

/// How many processes share a database; `None` where it has one alone.
fn several(on: On) -> Option<usize> {
    (on != On::Sqlite).then(|| asked("UNDERGIRD_TEST_NODES", 2))
}

fn serializable_on(on: On, nodes: usize) {
    let count = transactions();
    let Some(lists) = lists(on, nodes, How::Batch, count) else { return };
    let ran = history(&lists, count, 8, 1, |_| {});
    println!("{:?}", ran.stats);
    ran.is_good(count, 95);
    within_a_few(runs(&lists.nodes));
    Arc::into_inner(lists).unwrap().nodes.stop();
}

/// With nodes killed, and on PostgreSQL all connections ended, again and again: what was under way is unknown, and nothing else.
async fn batches_survive_kills(on: On) {
    let count = transactions();
    let nodes = if on == On::Sqlite { 1 } else { 2 };
    let Some(lists) = lists(on, nodes, How::Batch, count) else { return };
    let (mut kills, mut ended) = (0, 0);
    let ran = history(&lists, count, 6, 2, |over| {
        // By what is done and not by the clock, so that as much gets through on a slow machine.
        for part in 1..FAULTS {
            while lists.done() < count * part / FAULTS && !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
            if on == On::Postgres {
                ended += lists.nodes.terminate_backends();
            }
            if on != On::Postgres || part % 2 == 0 {
                lists.nodes.kill(part);
                kills += 1;
            }
        }
    });
    println!("{:?}, {kills} nodes killed, {ended} connections ended", ran.stats);
    ran.is_good(count, 70);
    assert!(kills > 1, "nothing was killed");
    assert!(on != On::Postgres || ended > 0, "nothing was ended");
    Arc::into_inner(lists).unwrap().nodes.stop();
}

/// The control: without batches there are lists that no order of transactions explains.
async fn steps_by_themselves_are_not(on: On) {
    let count = 400;
    let Some(lists) = lists(on, 1, How::Apart, count) else { return };
    let ran = history(&lists, count, 6, 3, |_| {});
    println!("{:?} {:?}", ran.stats, ran.report.anomaly_types);
    assert!(ran.stats.ok * 100 >= count * 70, "{:?} {:?}", ran.stats, ran.strange.first());
    assert!(ran.report.valid == Valid::False, "{:?}", ran.report.valid);
    assert!(!ran.strange.is_empty(), "no list was torn");
    Arc::into_inner(lists).unwrap().nodes.stop();
}

/// The one anomaly that needs a reader (Fekete, O'Neil, O'Neil 2004): the first has read x and will write y, the second writes x, and the
/// third sees what the second did and not what the first will do. Then the first is after the third, the third after the second, and
/// the second after the first.
async fn batches_of_reads_see_no_state_that_never_was(on: On) {
    let Some(nodes) = Nodes::start(on, 1) else { return };
    let get = |name: &str| json!({"method": "GET", "path": format!("/rest/v1/counters/{name}")});
    let set = |name: &str| {
        json!({"method": "PATCH", "path": format!("/rest/v1/counters/{name}"),
        "headers": {"Prefer": "return=minimal"}, "body": {"n": 1}})
    };
    let batch = |http: &mut Http, steps: Vec<Json>| {
        let reply = http.ask("POST", "/rest/v1/batch", &[], Some(&json!({"steps": steps}))).unwrap();
        assert!(reply.status == 200 || reply.is_conflict(), "{reply:?}");
        reply.json()
    };
    let seen = |batch: &Json, step: usize| batch["answers"][step]["body"]["n"].as_i64();
    for round in 0..5 {
        let (x, y) = (format!("x{round}"), format!("y{round}"));
        let mut http = nodes.connect(0).unwrap();
        let rows = json!([{"name": x, "n": 0}, {"name": y, "n": 0}]);
        assert_eq!(http.ask("POST", "/rest/v1/counters", &[], Some(&rows)).unwrap().status, 201);
        let (first, (second, third)) = std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                // Long, so that the others come in the middle.
                let steps = std::iter::repeat_n(get(&x), 500).chain([set(&y)]).collect();
                batch(&mut nodes.connect(0).unwrap(), steps)
            });
            std::thread::sleep(Duration::from_millis(60));
            let second = batch(&mut http, vec![set(&x)]);
            let third = batch(&mut http, vec![get(&x), get(&y)]);
            (first.join().unwrap(), (second, third))
        });
        let first_saw = seen(&first, 0);
        if first_saw.is_none() || second["answers"].is_null() {
            // Others came first; then nothing is shown, and nothing is wrong.
            continue;
        }
        let third_saw = (seen(&third, 0), seen(&third, 1));
        assert!(
            !(first_saw == Some(0) && third_saw == (Some(1), Some(0))),
            "the first saw x as it was before the second, and the third saw the second without the first"
        );
    }
    nodes.stop();
}

/// One row, incremented by all, by what each has read; how many increments were acknowledged, and what the row says.
fn increments(nodes: &Nodes, name: &str, careful: bool, wanted: usize) -> (usize, usize) {
    let mut http = nodes.connect(0).unwrap();
    let made = http.ask("POST", "/rest/v1/counters", &[], Some(&json!({"name": name, "n": 0}))).unwrap();
    assert_eq!(made.status, 201, "{made:?}");
    let (left, done) = (AtomicUsize::new(wanted), AtomicUsize::new(0));
    let path = format!("/rest/v1/counters/{name}");
    std::thread::scope(|scope| {
        for turn in 0..CLIENTS {
            let (left, done, path) = (&left, &done, &path);
            scope.spawn(move || {
                let mut http = nodes.connect(turn).unwrap();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    while !increment(&mut http, path, careful) {}
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    // Anew: the connection from before may have rested too long.
    let row = nodes.connect(0).unwrap().ask("GET", &path, &[], None).unwrap().json();
    (done.into_inner(), row["n"].as_u64().unwrap() as usize)
}

/// One try of an increment: whether it is done.
fn increment(http: &mut Http, path: &str, careful: bool) -> bool {
    let row = http.ask("GET", path, &[], None).unwrap();
    assert_eq!(row.status, 200, "{row:?}");
    let (tag, n) = (row.etag.clone().unwrap(), row.json()["n"].as_i64().unwrap());
    let condition = [("If-Match", tag.as_str())];
    let condition = if careful { &condition[..] } else { &[] };
    let reply = http.ask("PATCH", path, condition, Some(&json!({"n": n + 1}))).unwrap();
    let late = careful && (reply.status == 412 || reply.is_conflict());
    assert!(late || (200..300).contains(&reply.status), "{reply:?}");
    !late
}

async fn no_increment_is_lost(on: On) {
    no_increment_is_lost_on(on, 1);
}

async fn no_increment_is_lost_across_nodes(on: On) {
    if let Some(nodes) = several(on) {
        no_increment_is_lost_on(on, nodes);
    }
}

fn no_increment_is_lost_on(on: On, nodes: usize) {
    let wanted = asked("UNDERGIRD_TEST_INCREMENTS", 300);
    let Some(nodes) = Nodes::start(on, nodes) else { return };
    assert_eq!(increments(&nodes, "with", true, wanted), (wanted, wanted));
    let (done, kept) = increments(&nodes, "without", false, 300);
    assert_eq!(done, 300);
    assert!(kept < 300, "the control: without If-Match increments are lost");
    println!("without If-Match {kept} of 300 are kept");
    nodes.stop();
}

/// Changes of single rows, at once, of a few rows that all want: each waits for the others of its row, and none is given up.
async fn changes_of_single_rows_are_not_refused(on: On) {
    const ROWS: usize = 8;
    let Some(nodes) = Nodes::start(on, 1) else { return };
    let mut http = nodes.connect(0).unwrap();
    let rows: Vec<Json> = (0..ROWS).map(|row| json!({"name": format!("c{row}"), "n": 0})).collect();
    assert_eq!(http.ask("POST", "/rest/v1/counters", &[], Some(&json!(rows))).unwrap().status, 201);
    std::thread::scope(|scope| {
        for turn in 0..CLIENTS {
            let nodes = &nodes;
            scope.spawn(move || {
                let mut http = nodes.connect(turn).unwrap();
                for time in 0..400 / CLIENTS {
                    let path = format!("/rest/v1/counters?name=eq.c{}", (turn * 7 + time) % ROWS);
                    let reply = http.ask("PATCH", &path, &[], Some(&json!({"n": turn}))).unwrap();
                    assert_eq!(reply.status, 204, "{reply:?}");
                }
            });
        }
    });
    println!("run: once, two to five, more often, given up: {:?}", runs(&nodes));
    nodes.stop();
}

/// Batches that only make rows, at once, with keys that the server makes: all at the end of the same indexes.
async fn batches_of_creates_commit_within_a_few_runs(on: On) {
    creates_commit_on(on, 1);
}

async fn batches_of_creates_commit_within_a_few_runs_across_nodes(on: On) {
    if let Some(nodes) = several(on) {
        creates_commit_on(on, nodes);
    }
}

fn creates_commit_on(on: On, nodes: usize) {
    let count = transactions();
    let Some(nodes) = Nodes::start(on, nodes) else { return };
    let (left, refused) = (AtomicUsize::new(count), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for turn in 0..CLIENTS {
            let (left, refused, nodes) = (&left, &refused, &nodes);
            scope.spawn(move || {
                let mut http = nodes.connect(turn).unwrap();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let line = |text: &str| {
                        json!({"method": "POST", "path": "/rest/v1/lines",
                        "body": {"bill_id": {"$ref": "bill#/0/id"}, "text": text}})
                    };
                    let bill = json!({"id": "bill", "method": "POST", "path": "/rest/v1/bills", "body": {"name": "x"}});
                    let steps = json!({"steps": [bill, line("one"), line("two"), line("three")]});
                    let reply = http.ask("POST", "/rest/v1/batch", &[], Some(&steps)).unwrap();
                    if reply.is_conflict() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_eq!(reply.status, 200, "{reply:?}");
                    }
                }
            });
        }
    });
    let refused = refused.into_inner();
    println!("{refused} of {count} were refused");
    within_a_few(runs(&nodes));
    assert!(refused * 100 <= count, "{refused} of {count} were refused");
    nodes.stop();
}
