//! A work's last statement, whose commit goes with it.

use super::{Database, change, commit, count, database, int, read, soon, text, transact, transact_until};
use crate::PostgresStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use undergird_store::{ConstraintKind, Decision, Isolation, Store, StoreError, WorkAnswer};

const INSERT: &str = "INSERT INTO things (id, name, parent) VALUES ($1::bigint, $2::text, $3::bigint)";

/// A table, and a store of one connection on which [`INSERT`] is prepared: only such a statement can be sent between `BEGIN` and `COMMIT`. One row,
/// 1, is there.
async fn things() -> Option<(Database, Arc<PostgresStore>)> {
    let database = database().await?;
    database
        .execute(&["CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, \
                    parent bigint REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)"])
        .await;
    let store = database.open_with("pool=1").await;
    last(&store, (1, "one", 1), soon()).await.unwrap();
    Some((database, store))
}

/// Inserts a row as the last of its work, and tells how many rows that changed.
async fn last(
    store: &Arc<PostgresStore>,
    (id, name, parent): (i64, &'static str, i64),
    deadline: Instant,
) -> Result<u64, StoreError> {
    transact_until(store, Isolation::Committed, deadline, move |connection| {
        Box::pin(async move {
            connection.finishing();
            commit(change(connection, INSERT, vec![int(id), text(name), int(parent)]).await?)
        })
    })
    .await
}

#[tokio::test]
async fn it_is_committed_when_it_answers() {
    let Some((database, store)) = things().await else { return };
    for isolation in [Isolation::Committed, Isolation::Serializable] {
        let url = database.url.clone();
        let seen = transact::<(i64, i64), _>(&store, isolation, move |connection| {
            let url = url.clone();
            Box::pin(async move {
                let id = 2 + i64::from(isolation == Isolation::Serializable);
                let before = count(connection, "SELECT count(*) FROM things").await?;
                connection.finishing();
                change(connection, INSERT, vec![int(id), text(&id.to_string()), int(1)]).await?;
                let after = super::number(&url, "SELECT count(*) FROM things").await;
                commit((before, after))
            })
        });
        let (before, after) = seen.await.unwrap();
        assert_eq!(after, before + 1, "{isolation:?}: others see it before the work is over");
    }
    assert_eq!(read(&store, &["SELECT count(*) FROM things"]).await.unwrap(), ["0 3"]);
}

/// A statement that is all of its work needs no transaction around it, and its line may write by itself. No other may: there a lost
/// `BEGIN` must not leave a piece of a transaction behind.
#[tokio::test]
async fn only_what_is_all_of_its_work_goes_without_a_transaction() {
    let Some((database, store)) = things().await else { return };
    const TOLD: &str = "INSERT INTO things (id, name, parent) \
         SELECT $1::bigint, current_setting('default_transaction_read_only') || $1::bigint, $1::bigint";
    let cases = [
        (Isolation::Committed, false, true, "off"),
        (Isolation::Committed, true, true, "on"),
        (Isolation::Committed, false, false, "on"),
        (Isolation::Serializable, false, true, "on"),
        (Isolation::Committed, false, true, "off"),
    ];
    for (case, (isolation, earlier, says, expected)) in cases.into_iter().enumerate() {
        let id = 10 + case as i64;
        let done = transact::<(), _>(&store, isolation, move |connection| {
            Box::pin(async move {
                if earlier {
                    count(connection, "SELECT count(*) FROM things").await?;
                }
                if says {
                    connection.finishing();
                }
                change(connection, TOLD, vec![int(id)]).await?;
                commit(())
            })
        });
        done.await.unwrap();
        let found = format!("SELECT count(*) FROM things WHERE name = '{expected}{id}'");
        assert_eq!(database.number(&found).await, 1, "case {case}: {expected}");
        // A read comes by the same connection in between, and it is one that writes nothing.
        let setting = "SELECT (current_setting('default_transaction_read_only') = 'on')::int::bigint";
        assert_eq!(read(&store, &[setting]).await.unwrap(), ["0 1"], "case {case}");
    }
    // All by one connection, which changed sides.
    let others =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'undergird'";
    assert!(database.number(others).await <= 2, "the pool has one connection, and the notices may have one");
}

/// Nothing comes behind the statement that was said to be the last: by itself it would be written for good.
#[tokio::test]
async fn nothing_comes_behind_the_last() {
    let Some((database, store)) = things().await else { return };
    for isolation in [Isolation::Committed, Isolation::Serializable] {
        let told = transact::<(), _>(&store, isolation, move |connection| {
            Box::pin(async move {
                let id = if isolation == Isolation::Committed { 2 } else { 12 };
                connection.finishing();
                change(connection, INSERT, vec![int(id), text(&id.to_string()), int(1)]).await?;
                change(connection, INSERT, vec![int(id + 1), text(&(id + 1).to_string()), int(1)]).await?;
                commit(())
            })
        });
        assert!(matches!(told.await, Err(StoreError::Internal(_))), "{isolation:?}");
    }
    assert_eq!(database.number("SELECT count(*) FROM things WHERE id IN (3, 13)").await, 0);
}

#[tokio::test]
async fn what_fails_leaves_nothing_and_a_connection_at_rest() {
    let Some((database, store)) = things().await else { return };
    let constraint = |told: StoreError| match told {
        StoreError::Constraint { kind, .. } => kind,
        other => panic!("{other:?}"),
    };
    let taken = last(&store, (2, "one", 1), soon()).await.unwrap_err();
    assert_eq!(constraint(taken), ConstraintKind::Unique);
    // The statement goes well, and its commit does not.
    let dangling = last(&store, (2, "two", 9), soon()).await.unwrap_err();
    assert_eq!(constraint(dangling), ConstraintKind::ForeignKey);
    assert_eq!(read(&store, &["SELECT count(*) FROM things"]).await.unwrap(), ["0 1"]);
    assert_eq!(last(&store, (2, "two", 1), soon()).await, Ok(1));
    assert_eq!(database.number("SELECT count(*) FROM things").await, 2);
}

#[tokio::test]
async fn work_that_goes_on_after_its_failure_runs_again_carefully() {
    let Some((database, store)) = things().await else { return };
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let found = transact::<i64, _>(&store, Isolation::Committed, move |connection| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            connection.finishing();
            let failed = change(connection, INSERT, vec![int(1), text("x"), int(1)]).await.unwrap_err();
            // As the engine does, to find out which rule comes before the constraint.
            let found = count(connection, "SELECT count(*) FROM things").await?;
            assert!(matches!(failed, StoreError::Constraint { .. }), "{failed:?}");
            Ok(WorkAnswer { decision: Decision::Rollback, value: Box::new(found) })
        })
    });
    assert_eq!(found.await.unwrap(), 1);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(database.number("SELECT count(*) FROM things").await, 1);
}

#[tokio::test]
async fn nobody_changes_his_mind_after_it() {
    let Some((_database, store)) = things().await else { return };
    for (id, told) in [(2, false), (1, true)] {
        let ended = transact::<(), _>(&store, Isolation::Committed, move |connection| {
            Box::pin(async move {
                let nothing = "INSERT INTO things (id, name, parent) SELECT $1::bigint, $2::text, $3::bigint \
                               WHERE $1::bigint > 1 ON CONFLICT DO NOTHING";
                // Prepared by the first, which is not the last.
                change(connection, nothing, vec![int(1), text("x"), int(1)]).await?;
                connection.finishing();
                change(connection, nothing, vec![int(id), text("two"), int(1)]).await?;
                Ok(WorkAnswer { decision: Decision::Rollback, value: Box::new(()) })
            })
        });
        assert_eq!(ended.await.is_ok(), told, "row {id}");
    }
}

#[tokio::test]
async fn what_is_late_is_stopped_and_known_not_to_be_there() {
    let Some((database, store)) = things().await else { return };
    let (client, wire) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    let task = tokio::spawn(wire);
    client.batch_execute("BEGIN; INSERT INTO things VALUES (2, 'two')").await.unwrap();
    let late = last(&store, (2, "two", 1), Instant::now() + Duration::from_millis(300)).await;
    assert_eq!(late, Err(StoreError::Deadline));
    client.batch_execute("ROLLBACK").await.unwrap();
    drop(client);
    task.await.unwrap().unwrap();
    assert_eq!(read(&store, &["SELECT count(*) FROM things"]).await.unwrap(), ["0 1"]);
}

#[tokio::test]
async fn when_the_line_is_cut_nobody_knows() {
    let Some((database, store)) = things().await else { return };
    let (client, wire) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    let task = tokio::spawn(wire);
    client.batch_execute("BEGIN; INSERT INTO things VALUES (2, 'two')").await.unwrap();
    let (told, ()) = tokio::join!(last(&store, (2, "two", 1), soon()), async {
        database.until_running("INSERT INTO things (id", 1).await;
        database.cut().await;
    });
    assert!(matches!(&told, Err(StoreError::Unavailable(why)) if why.contains("unknown")), "{told:?}");
    drop(client);
    let _ = task.await;
    // The one that was cut is not given to the next.
    assert_eq!(last(&store, (2, "two", 1), soon()).await, Ok(1));
}

/// Rows that are sent together are told apart, made in order, and end at the first that fails; work that goes on after it has those
/// before it.
#[tokio::test]
async fn rows_that_go_together() {
    let Some((_database, store)) = things().await else { return };
    let statement = undergird_store::Statement {
        text: format!("{INSERT} RETURNING id * 10"),
        binds: Vec::new(),
        columns: vec![undergird_model::Type::INT],
        writes: true,
        identity: false,
        lacks: None,
    };
    let statement = Arc::new(statement);
    for (first, bad, expected) in [(100, None, 200), (400, Some(150), 150), (700, Some(0), 0), (1_000, Some(64), 64)] {
        let statement = Arc::clone(&statement);
        let told = transact::<(usize, Option<usize>, i64), _>(&store, Isolation::Committed, move |connection| {
            let statement = Arc::clone(&statement);
            Box::pin(async move {
                let row = |at: i64| {
                    // The name of the row that is there is no other's.
                    let name = if bad == Some(at) { "one".to_owned() } else { (first + at).to_string() };
                    vec![int(first + at), text(&name), int(1)]
                };
                let mut heard = Vec::new();
                let ended = connection
                    .query_each(&statement, (0..200).map(row).collect(), &mut |at, row| {
                        assert_eq!(cell(row), (first + at as i64) * 10);
                        heard.push(at);
                    })
                    .await;
                assert!(heard.iter().copied().eq(0..heard.len()), "{heard:?}");
                let failed = ended.err().map(|(at, error)| {
                    assert!(matches!(error, StoreError::Constraint { .. } | StoreError::Conflict), "{error}");
                    at
                });
                let there = count(connection, &format!("SELECT count(*) FROM things WHERE id >= {first}")).await?;
                commit((heard.len(), failed, there))
            })
        });
        let (heard, failed, there) = told.await.unwrap();
        assert_eq!((failed, there), (bad.map(|at| at as usize), expected), "{first}");
        assert_eq!(heard, usize::try_from(expected).unwrap());
    }
}

/// The number in a row's only cell.
fn cell(row: &dyn undergird_plan::RowRef) -> i64 {
    match undergird_store::run::cell_value(row.cell(0)) {
        undergird_model::Value::Int(number) => number,
        other => panic!("{other:?}"),
    }
}

/// The turn among all nodes is a session's: whoever goes away with it gives it back, and whoever waits for it does not wait for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_turn_of_all_nodes_is_given_back() {
    let Some(database) = database().await else { return };
    let store = database.open_with("pool=2").await;
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut first = store.pool.checkout(soon()).await.unwrap();
    first.line().take_turn().await.unwrap();
    assert_eq!(database.number(held).await, 1);
    let mut second = store.pool.checkout(soon()).await.unwrap();
    let begun = Instant::now();
    second.line().take_turn().await.unwrap();
    assert!(!second.line().has_turn && begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    drop(first);
    while database.number(held).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One who leaves while he waits has it neither.
    second.line().take_turn().await.unwrap();
    assert!(second.line().has_turn);
    let mut third = store.pool.checkout(soon()).await.unwrap();
    third.line().busy = true;
    assert!(tokio::time::timeout(Duration::from_millis(50), third.line().take_turn()).await.is_err());
    drop((second, third));
    let begun = Instant::now();
    let mut both = Vec::new();
    for _ in 0..2 {
        both.push(store.pool.checkout(soon()).await.unwrap());
    }
    assert!(both.iter_mut().all(|one| !one.line().has_turn));
    drop(both);
    while database.number(held).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Store::close(&*store).await;
}
