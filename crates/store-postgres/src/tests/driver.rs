//! Transactions, savepoints, reads, notices.

use super::{Database, change, commit, count, database, int, prepared, read, rows, statement, text, transact};
use crate::PostgresStore;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use undergird_model::Type;
use undergird_store::{ConstraintKind, Decision, Flow, Isolation, Notice, Raised, Said, Store, StoreError, WorkAnswer};

async fn things() -> Option<(Database, Arc<PostgresStore>)> {
    let database = database().await?;
    database
        .execute(&[
            "CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, n bigint CONSTRAINT things_n CHECK (n > 0), \
             parent bigint REFERENCES things (id))",
        ])
        .await;
    let store = database.open().await;
    Some((database, store))
}

const INSERT: &str = "INSERT INTO things (id, name) VALUES ($1::bigint, $2::text)";

#[tokio::test]
async fn what_is_committed_stays_and_what_is_rolled_back_goes() {
    let Some((database, store)) = things().await else { return };
    for (id, decision) in [(1, Decision::Commit), (2, Decision::Rollback)] {
        for isolation in [Isolation::Committed, Isolation::Serializable] {
            let id = if isolation == Isolation::Committed { id } else { id + 10 };
            let changed = transact::<u64, _>(&store, isolation, move |connection| {
                Box::pin(async move {
                    let changed = change(connection, INSERT, vec![int(id), text(&id.to_string())]).await?;
                    Ok(WorkAnswer { decision, value: Box::new(changed) })
                })
            });
            assert_eq!(changed.await.unwrap(), 1);
        }
    }
    assert_eq!(database.number("SELECT sum(id)::bigint FROM things").await, 12);
    // Work that asks nothing is no transaction.
    transact::<(), _>(&store, Isolation::Committed, |_| Box::pin(async { commit(()) })).await.unwrap();
    assert_eq!(read(&store, &["SELECT id FROM things ORDER BY id"]).await.unwrap(), ["0 1", "0 11"]);
    store.close().await;
    let closed = read(&store, &["SELECT 1::bigint"]).await.unwrap_err();
    assert_eq!(closed.to_string(), "unavailable: the store is closing");
}

#[tokio::test]
async fn failures_in_the_words_of_stores() {
    let Some((database, store)) = things().await else { return };
    database.execute(&["INSERT INTO things VALUES (1, 'one', 1, 1)"]).await;
    let constraint = |kind, name: Option<&str>, columns: &[&str]| StoreError::Constraint {
        kind,
        table: "things".into(),
        name: name.map(str::to_owned),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
    };
    let raised = |state: &str, message: Option<&str>| {
        let said = message.map(|message| Said { message: message.into(), detail: None, hint: None });
        StoreError::Raised(Raised { state: state.into(), said, told: String::new() })
    };
    let cases = [
        ("INSERT INTO things VALUES (1, 'x')", constraint(ConstraintKind::Unique, Some("things_pkey"), &["id"])),
        (
            "INSERT INTO things VALUES (2, 'one')",
            constraint(ConstraintKind::Unique, Some("things_name_key"), &["name"]),
        ),
        ("INSERT INTO things (id) VALUES (2)", constraint(ConstraintKind::NotNull, None, &["name"])),
        ("INSERT INTO things VALUES (2, 'x', 0)", constraint(ConstraintKind::Check, Some("things_n"), &[])),
        (
            "INSERT INTO things VALUES (2, 'x', 1, 9)",
            constraint(ConstraintKind::ForeignKey, Some("things_parent_fkey"), &[]),
        ),
        ("SELECT nothing FROM things", StoreError::SchemaMismatch(String::new())),
        ("SELECT 1 FROM nothing", StoreError::SchemaMismatch(String::new())),
        ("SELECT 1 / 0", raised("22012", None)),
        ("DO $$ BEGIN RAISE 'no' USING DETAIL = 'why'; END $$", raised("P0001", Some("no"))),
        ("DO $$ BEGIN RAISE 'no' USING ERRCODE = '23505'; END $$", raised("23505", Some("no"))),
        ("DO $$ BEGIN RAISE 'no' USING ERRCODE = 'PT402'; END $$", raised("PT402", Some("no"))),
    ];
    for (words, expected) in cases {
        for isolation in [Isolation::Committed, Isolation::Serializable] {
            let told = transact::<(), _>(&store, isolation, move |connection| {
                Box::pin(async move {
                    change(connection, words, vec![]).await?;
                    commit(())
                })
            });
            match (told.await.unwrap_err(), &expected) {
                (StoreError::SchemaMismatch(_), StoreError::SchemaMismatch(_)) => {}
                (StoreError::Raised(told), StoreError::Raised(expected)) => {
                    let words = |raised: &Raised| raised.said.as_ref().map(|said| said.message.clone());
                    assert_eq!((&told.state, words(&told)), (&expected.state, words(expected)));
                }
                (told, expected) => assert_eq!(&told, expected, "{words}"),
            }
        }
    }
    assert_eq!(database.number("SELECT count(*) FROM things").await, 1);
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment_and_does_not_write() {
    let Some((database, store)) = things().await else { return };
    let url = database.url.clone();
    let seen = transact::<(i64, i64), _>(&store, Isolation::Snapshot, move |connection| {
        let url = url.clone();
        Box::pin(async move {
            let before = count(connection, "SELECT count(*) FROM things").await?;
            super::execute(&url, &["INSERT INTO things VALUES (1, 'one')"]).await;
            commit((before, count(connection, "SELECT count(*) FROM things").await?))
        })
    });
    assert_eq!(seen.await.unwrap(), (0, 0));
    let written = transact::<(), _>(&store, Isolation::Snapshot, |connection| {
        Box::pin(async move {
            change(connection, INSERT, vec![int(7), text("seven")]).await?;
            commit(())
        })
    });
    assert!(matches!(written.await, Err(StoreError::Internal(_))));
    // A read of several statements too; its end is not waited for, so another follows at once on the same connection.
    let store = database.open_with("pool=1").await;
    for _ in 0..3 {
        let told = read(&store, &["SELECT id FROM things", "SELECT 5::bigint"]).await.unwrap();
        assert_eq!(told, ["0 1"]);
        transact::<(), _>(&store, Isolation::Committed, |connection| {
            Box::pin(async move {
                change(connection, "UPDATE things SET n = 1", vec![]).await?;
                commit(())
            })
        })
        .await
        .unwrap();
    }
    // Without a transaction that says so, nobody writes.
    let sneaky = read(&store, &["INSERT INTO things VALUES (3, 'three') RETURNING id"]).await;
    assert!(matches!(sneaky, Err(StoreError::Internal(_))), "{sneaky:?}");
}

#[tokio::test]
async fn work_that_goes_on_after_a_failure_runs_again_carefully() {
    let Some((database, store)) = things().await else { return };
    database.execute(&["INSERT INTO things VALUES (1, 'one')"]).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let found = transact::<i64, _>(&store, Isolation::Committed, move |connection| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            change(connection, INSERT, vec![int(2), text("two")]).await?;
            let failed = change(connection, INSERT, vec![int(1), text("x")]).await.unwrap_err();
            assert!(matches!(failed, StoreError::Constraint { kind: ConstraintKind::Unique, .. }), "{failed:?}");
            let found = count(connection, "SELECT count(*) FROM things").await?;
            change(connection, INSERT, vec![int(3), text("three")]).await?;
            commit(found)
        })
    });
    assert_eq!(found.await.unwrap(), 2);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(database.number("SELECT sum(id)::bigint FROM things").await, 6);
    // A failure that the work lets pass, and then commits the rest.
    transact::<(), _>(&store, Isolation::Committed, move |connection| {
        Box::pin(async move {
            change(connection, INSERT, vec![int(4), text("four")]).await?;
            let _ = change(connection, INSERT, vec![int(1), text("x")]).await;
            commit(())
        })
    })
    .await
    .unwrap();
    assert_eq!(database.number("SELECT count(*) FROM things").await, 4);
    // A read that fails is no constraint: nothing can follow it.
    let told = transact::<(), _>(&store, Isolation::Committed, move |connection| {
        Box::pin(async move {
            let _ = count(connection, "SELECT (1 / 0)::bigint").await;
            count(connection, "SELECT 1").await?;
            commit(())
        })
    });
    assert!(matches!(told.await, Err(StoreError::Raised(raised)) if raised.state == "22012"));
}

#[tokio::test]
async fn savepoints_nest_and_take_failures_back() {
    let Some((database, store)) = things().await else { return };
    for round in 0..2 {
        transact::<(), _>(&store, Isolation::Committed, move |connection| {
            Box::pin(async move {
                let base = round * 100;
                let name = |id: i64| text(&(base + id).to_string());
                connection.savepoint().await?;
                change(connection, INSERT, vec![int(base + 1), name(1)]).await?;
                connection.savepoint().await?;
                change(connection, INSERT, vec![int(base + 2), name(2)]).await?;
                if round == 1 {
                    // Goes on after a failure, so that this round is careful.
                    let _ = change(connection, INSERT, vec![int(1), name(9)]).await;
                    assert_eq!(count(connection, "SELECT count(*) FROM things").await?, 5);
                }
                connection.release(false).await?;
                connection.savepoint().await?;
                let _ = change(connection, INSERT, vec![int(base + 1), name(7)]).await;
                connection.release(false).await?;
                change(connection, INSERT, vec![int(base + 3), name(3)]).await?;
                connection.release(true).await?;
                assert!(connection.release(true).await.is_err());
                change(connection, INSERT, vec![int(base + 4), name(4)]).await?;
                commit(())
            })
        })
        .await
        .unwrap();
    }
    assert_eq!(read(&store, &["SELECT id FROM things ORDER BY id"]).await.unwrap().len(), 6);
    assert_eq!(database.number("SELECT sum(id)::bigint FROM things").await, 1 + 3 + 4 + 101 + 103 + 104);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_decides_upon_what_others_change_decides_again() {
    let Some((database, store)) = things().await else { return };
    let runs = Arc::new(AtomicU32::new(0));
    let both = Arc::new(tokio::sync::Barrier::new(2));
    // Each may add a row when there are fewer than ten in all: the classic write skew.
    let add = |id: i64| {
        let (store, runs, both) = (store.clone(), runs.clone(), both.clone());
        async move {
            transact::<i64, _>(&store, Isolation::Serializable, move |connection| {
                let first = runs.fetch_add(1, Ordering::Relaxed) < 2;
                let both = both.clone();
                Box::pin(async move {
                    let found = count(connection, "SELECT count(*) FROM things").await?;
                    if first {
                        both.wait().await;
                    }
                    change(connection, INSERT, vec![int(id), text(&id.to_string())]).await?;
                    commit(found)
                })
            })
            .await
        }
    };
    let (a, b) = tokio::join!(add(1), add(2));
    let mut found = [a.unwrap(), b.unwrap()];
    found.sort_unstable();
    assert_eq!(found, [0, 1]);
    assert!(runs.load(Ordering::Relaxed) >= 3);
    // Work that always conflicts is given up.
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let told = transact::<(), _>(&store, Isolation::Committed, move |connection| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            change(connection, INSERT, vec![int(9), text("nine")]).await?;
            Err(StoreError::Conflict)
        })
    });
    assert_eq!(told.await.unwrap_err(), StoreError::Conflict);
    assert_eq!(runs.load(Ordering::Relaxed), 8);
    assert_eq!(database.number("SELECT count(*) FROM things").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_wait_for_each_other_both_end() {
    let Some((database, store)) = things().await else { return };
    database.execute(&["INSERT INTO things (id, name, n) VALUES (1, 'one', 1), (2, 'two', 1)"]).await;
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let runs = Arc::new(AtomicU32::new(0));
    let cross = |first: i64, second: i64| {
        let (store, both, runs) = (store.clone(), both.clone(), runs.clone());
        async move {
            transact::<(), _>(&store, Isolation::Committed, move |connection| {
                let wait = runs.fetch_add(1, Ordering::Relaxed) < 2;
                let both = both.clone();
                Box::pin(async move {
                    let update = "UPDATE things SET n = n + 1 WHERE id = $1::bigint";
                    change(connection, update, vec![int(first)]).await?;
                    if wait {
                        both.wait().await;
                    }
                    change(connection, update, vec![int(second)]).await?;
                    commit(())
                })
            })
            .await
        }
    };
    let (a, b) = tokio::join!(cross(1, 2), cross(2, 1));
    assert_eq!((a, b), (Ok(()), Ok(())));
    assert_eq!(database.number("SELECT sum(n)::bigint FROM things").await, 6);
}

#[tokio::test]
async fn notices_of_what_is_committed() {
    let Some((database, store)) = things().await else { return };
    let mut notices = store.notices();
    let mut next = async || tokio::time::timeout(Duration::from_secs(20), notices.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Notice::Missed);
    for (topic, decision) in [("lost", Decision::Rollback), ("kept", Decision::Commit)] {
        transact::<(), _>(&store, Isolation::Committed, move |connection| {
            Box::pin(async move {
                connection.announce(topic).await?;
                Ok(WorkAnswer { decision, value: Box::new(()) })
            })
        })
        .await
        .unwrap();
    }
    assert_eq!(next().await, Notice::Announced("kept".into()));
    database.execute(&["NOTIFY undergird, 'schema'"]).await;
    assert_eq!(next().await, Notice::Schema);
    // The line is cut, and made anew.
    database.cut().await;
    assert_eq!(next().await, Notice::Missed);
    database.execute(&["NOTIFY undergird_topics, 'again'"]).await;
    assert_eq!(next().await, Notice::Announced("again".into()));
    store.close().await;
}

#[tokio::test]
async fn explains_with_a_generic_plan() {
    let Some((_database, store)) = things().await else { return };
    let query = prepared(&["SELECT id FROM things WHERE name = $1::text", "SELECT count(*) FROM things"]);
    let mut with_bind = query.clone();
    if let undergird_store::Statements::Read(read) = Arc::make_mut(&mut with_bind.statements) {
        read.nodes[0].binds = vec![(Type::TEXT, undergird_store::Bind::Now)];
    }
    let lines = store.explain(with_bind).await.unwrap();
    assert!(lines.iter().any(|line| line.contains("Cond: (name = $1)")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("Aggregate")), "{lines:#?}");
    assert!(matches!(store.explain(prepared(&["SELECT nothing"])).await, Err(StoreError::SchemaMismatch(_))));
    // The connection is as before.
    assert_eq!(read(&store, &["SELECT 1::bigint"]).await.unwrap(), ["0 1"]);
    store.health().await.unwrap();
    assert!(store.gauges().iter().any(|(name, _, value)| *name == "postgres_connections_made" && *value >= 1.0));
}

#[tokio::test]
async fn rows_that_nobody_wants_any_more() {
    let Some((_database, store)) = things().await else { return };
    for _ in 0..3 {
        let told =
            read(&store, &["SELECT n FROM generate_series(1::bigint, 9000) AS n, generate_series(1, 9000) AS m"]).await;
        assert_eq!(told, Err(StoreError::TooLarge));
    }
    let seen = transact::<i64, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            let many = statement("SELECT n FROM generate_series(1::bigint, 5000) AS n", &[Type::INT], false);
            let mut seen = 0i64;
            connection
                .query(&many, vec![], &mut |_| {
                    seen += 1;
                    Flow::Stop
                })
                .await?;
            assert_eq!(rows(connection, &many, vec![]).await?.len(), 5_000);
            change(connection, INSERT, vec![int(1), text("one")]).await?;
            commit(seen)
        })
    });
    assert_eq!(seen.await.unwrap(), 1);
    let all =
        futures_util::future::join_all((0..64).map(|_| read(&store, &["SELECT id FROM things", "SELECT 1::bigint"])));
    assert!(all.await.iter().all(|told| told.as_ref().is_ok_and(|lines| lines == &["0 1"])));
}
