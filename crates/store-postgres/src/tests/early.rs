//! Indexes of committed migrations: built while others write, whatever becomes of the one who builds.

use super::{Database, database};
use std::time::Duration;
use undergird_model::{Source, definition};
use undergird_store::migration::{Direction, Group, Outcome, Run, RunPart};
use undergird_store::schema::{self, Applied};
use undergird_store::{Store, StoreError};

/// Indexes that have no place yet, and whether they are whole.
const BUILT: &str = "SELECT count(*) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE starts_with(relname, '_undergird_new_')";
const HALF: &str = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
     WHERE NOT indisvalid AND starts_with(relname, '_undergird_new_')";

fn notes(slug: &str, more: &str) -> Applied {
    let text = format!(
        "[fields]\nid = {{ type = \"int\" }}\ntitle = {{ type = \"text\" }}\nslug = {{ type = \"text\"{slug} }}\n{more}"
    );
    let source = |path: &str, text: String| Source { name: path.into(), text: text.into() };
    let sources = [source("undergird.toml", "name = \"early\"\n".into()), source("models/notes.toml", text)];
    let (model, diagnostics) = definition::check(&sources, &[]);
    schema::wanted(&model.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

fn run(number: u32, from: &Applied, parts: Vec<RunPart>) -> Run {
    Run {
        number,
        name: "x".into(),
        hash: format!("{number}"),
        direction: Direction::Forward,
        after: number - 1,
        from: from.fingerprint(),
        compatible: false,
        parts,
    }
}

/// A database with the table and a hundred rows.
async fn filled() -> Option<(Database, Applied)> {
    let database = database().await?;
    let first = notes("", "");
    let store = database.open().await;
    store.apply(&run(1, &Applied::empty(), vec![RunPart::Schema(first.clone())])).await.unwrap();
    database.execute(&["INSERT INTO notes (title, slug) SELECT n % 10, n FROM generate_series(1, 100) n"]).await;
    Some((database, first))
}

/// Waits until a number is so.
async fn until(database: &Database, number: &str, wanted: i64) {
    for _ in 0..1_000 {
        if database.number(number).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{number} was never {wanted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_while_an_index_is_built_and_a_half_built_one_is_built_again() {
    let Some((database, first)) = filled().await else { return };
    let second = notes(", unique = true", "[[indexes]]\nfields = [\"title\"]\n");
    let change = run(2, &first, vec![RunPart::Schema(second.clone())]);
    let (writer, wire) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(wire);
    // Somebody who writes and does not end: the build waits for him, and nobody else for the build.
    writer.batch_execute("BEGIN; INSERT INTO notes (title, slug) VALUES ('a', 'open')").await.unwrap();
    let applying = {
        let (store, change) = (database.open().await, change.clone());
        tokio::spawn(async move { store.apply(&change).await })
    };
    until(&database, HALF, 1).await;
    database.execute(&["SET lock_timeout = '1s'; INSERT INTO notes (title, slug) VALUES ('b', 'meanwhile')"]).await;
    assert_eq!(database.open().await.schema().await.unwrap(), Some(first.clone()), "as it was");
    // Whoever builds is gone, and what he left is no index.
    applying.abort();
    database
        .execute(&[
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE % CONCURRENTLY %' \
        AND datname = current_database() AND pid <> pg_backend_pid()",
        ])
        .await;
    until(&database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", 0).await;
    assert_eq!(database.number(HALF).await, 1);
    writer.batch_execute("COMMIT").await.unwrap();
    let store = database.open().await;
    assert_eq!(store.apply(&change).await, Ok(Outcome::Taken));
    assert_eq!(store.schema().await.unwrap(), Some(second));
    assert_eq!((database.number(BUILT).await, database.number("SELECT count(*) FROM notes").await), (0, 102));
    let valid = "SELECT count(*) FROM pg_index WHERE indrelid = 'notes'::regclass AND indisvalid AND NOT indisprimary";
    assert_eq!(database.number(valid).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_forbid_an_index_leave_nothing_behind() {
    let Some((database, first)) = filled().await else { return };
    let second = notes("", "[[indexes]]\nfields = [\"title\"]\nunique = true\n[[indexes]]\nfields = [\"slug\"]\n");
    let store = database.open().await;
    let told = store.apply(&run(2, &first, vec![RunPart::Schema(second.clone())])).await;
    assert!(matches!(&told, Err(StoreError::SchemaMismatch(why)) if why.contains("title")), "{told:?}");
    assert_eq!(store.schema().await.unwrap(), Some(first.clone()));
    assert_eq!(database.number(BUILT).await, 0);
    // The rows are mended by hand, in the same migration before it: one transaction.
    let mending = RunPart::Sql("UPDATE notes SET title = slug".into());
    let change = run(2, &first, vec![mending, RunPart::Schema(second.clone())]);
    let four: Vec<_> = (0..4)
        .map(|_| {
            let (url, change) = (database.url.clone(), change.clone());
            tokio::spawn(async move {
                let store = crate::PostgresStore::open(&url, crate::Options::default()).await.unwrap();
                store.apply(&change).await
            })
        })
        .collect();
    let mut taken = 0;
    for one in four {
        taken += usize::from(one.await.unwrap().unwrap() == Outcome::Taken);
    }
    assert_eq!(taken, 1);
    assert_eq!(store.schema().await.unwrap(), Some(second));
    assert_eq!(database.number(BUILT).await, 0);
}

/// Constraints that have no place yet, and those of them that are not held against every row.
const MADE: &str = "SELECT count(*) FROM pg_constraint WHERE starts_with(conname, '_undergird_new_')";
const UNCHECKED: &str =
    "SELECT count(*) FROM pg_constraint WHERE starts_with(conname, '_undergird_new_') AND NOT convalidated";
const WAITING: &str =
    "SELECT count(*) FROM pg_locks WHERE relation = 'notes'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted";

/// The tables with another definition of the notes: their slug, and what else they have.
fn library(slug: &str, book: &str) -> Applied {
    let source = |path: &str, text: String| Source { name: path.into(), text: text.into() };
    let notes = format!(
        "[fields]\nid = {{ type = \"int\" }}\ntitle = {{ type = \"text\" }}\nslug = {{ type = \"text\"{slug} }}\n{book}\n"
    );
    let sources = [
        source("undergird.toml", "name = \"early\"\n".into()),
        source("models/books.toml", "[fields]\nid = { type = \"int\" }\nname = { type = \"text\" }\n".into()),
        source("models/notes.toml", notes),
    ];
    let (model, diagnostics) = definition::check(&sources, &[]);
    schema::wanted(&model.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

async fn filled_library(slug: &str, book: &str) -> Option<(Database, Applied)> {
    let database = database().await?;
    let first = library(slug, book);
    let store = database.open().await;
    store.apply(&run(1, &Applied::empty(), vec![RunPart::Schema(first.clone())])).await.unwrap();
    database.execute(&["INSERT INTO notes (title, slug) SELECT n % 10, n FROM generate_series(1, 100) n"]).await;
    Some((database, first))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_read_and_write_while_rows_are_held_against_a_new_rule_and_who_was_killed_is_followed() {
    let Some((database, first)) = filled_library("", "").await else { return };
    let second = library(", max = 40", "");
    let change = run(2, &first, vec![RunPart::Schema(second.clone())]);
    let connect = async || {
        let (client, wire) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(wire);
        client
    };
    // Somebody who writes and does not end: who wants the table for himself waits behind him, and gives way now and then. Somebody
    // who comes after that one, and holds up whoever looks at all rows, but nobody who reads and writes.
    let writer = connect().await;
    writer.batch_execute("BEGIN; INSERT INTO notes (title, slug) VALUES ('a', 'open')").await.unwrap();
    let applying = {
        let (store, change) = (database.open().await, change.clone());
        tokio::spawn(async move { store.apply(&change).await })
    };
    until(&database, WAITING, 1).await;
    let holder = connect().await;
    let holding = tokio::spawn(async move {
        holder.batch_execute("BEGIN; LOCK TABLE notes IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();
        holder
    });
    let queued = "SELECT count(*) FROM pg_locks WHERE relation = 'notes'::regclass AND mode = 'ShareUpdateExclusiveLock' AND NOT granted";
    until(&database, queued, 1).await;
    writer.batch_execute("COMMIT").await.unwrap();
    let holder = holding.await.unwrap();
    until(&database, UNCHECKED, 1).await;
    database
        .execute(&[
            "SET lock_timeout = '1s'; INSERT INTO notes (title, slug) VALUES ('b', 'meanwhile'); SELECT * FROM notes",
        ])
        .await;
    let long = writer.batch_execute("INSERT INTO notes (title, slug) VALUES ('c', repeat('x', 41))").await;
    assert!(long.is_err(), "new rows obey");
    assert_eq!(database.open().await.schema().await.unwrap(), Some(first.clone()), "as it was");
    applying.abort();
    database
        .execute(&["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%VALIDATE CONSTRAINT%' \
        AND datname = current_database() AND pid <> pg_backend_pid()"])
        .await;
    until(&database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", 0).await;
    assert_eq!(database.number(UNCHECKED).await, 1);
    holder.batch_execute("COMMIT").await.unwrap();
    let store = database.open().await;
    assert_eq!(store.apply(&change).await, Ok(Outcome::Taken));
    assert_eq!(store.schema().await.unwrap(), Some(second));
    assert_eq!((database.number(MADE).await, database.number("SELECT count(*) FROM notes").await), (0, 102));
    let there = "SELECT count(*) FROM pg_constraint WHERE conname = 'notes_slug_max' AND convalidated";
    assert_eq!(database.number(there).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_references_and_required_columns_are_made_before_and_are_there_after() {
    let book = "book_id = { type = \"int\", optional = true }";
    let Some((database, first)) = filled_library(", optional = true", book).await else { return };
    let book = "book_id = { type = \"ref\", to = \"books\", optional = true, on_delete = \"restrict\" }\n\n\
        [[checks]]\nrule = \"slug != title\"\nmessage = \"no\"";
    let second = library("", book);
    database
        .execute(&["INSERT INTO books (id, name) VALUES (7, 'b')", "UPDATE notes SET book_id = 7, title = 't'"])
        .await;
    let change = run(2, &first, vec![RunPart::Schema(second.clone())]);
    // Each is refused by rows of its own, and then nothing is left.
    for (spoil, mend, about) in [
        ("UPDATE notes SET slug = NULL WHERE id = 1", "UPDATE notes SET slug = '1' WHERE id = 1", "becomes required"),
        ("UPDATE notes SET book_id = 8 WHERE id = 1", "UPDATE notes SET book_id = 7 WHERE id = 1", "does not exist"),
        ("UPDATE notes SET slug = title WHERE id = 1", "UPDATE notes SET slug = '1' WHERE id = 1", "break"),
    ] {
        database.execute(&[spoil]).await;
        let store = database.open().await;
        let told = store.apply(&change).await;
        assert!(matches!(&told, Err(StoreError::SchemaMismatch(why)) if why.contains(about)), "{about}: {told:?}");
        assert_eq!(store.schema().await.unwrap(), Some(first.clone()));
        assert_eq!(database.number(MADE).await, 0, "{about}");
        database.execute(&[mend]).await;
    }
    let store = database.open().await;
    assert_eq!(store.apply(&change).await, Ok(Outcome::Taken));
    assert_eq!(store.schema().await.unwrap(), Some(second));
    assert_eq!(database.number(MADE).await, 0);
    let held = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'notes'::regclass AND contype IN ('c', 'f') AND convalidated";
    assert_eq!(database.number(held).await, 2);
    let required =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = 'slug' AND attnotnull";
    assert_eq!(database.number(required).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_removes_rows_removes_none_before_the_migration_is_taken() {
    let Some((_, first)) = filled_library("", "book_id = { type = \"int\", optional = true }").await else { return };
    for (action, early) in [("restrict", true), ("cascade", false), ("set_null", false)] {
        let book = format!("book_id = {{ type = \"ref\", to = \"books\", optional = true, on_delete = \"{action}\" }}");
        let second = library("", &book);
        let steps = schema::steps(Some(&first), &second);
        let reviewed = crate::ddl::reviewed(Group { steps: &steps, wanted: &second, is_first: true }).join("\n");
        assert_eq!(reviewed.contains("NOT VALID"), early, "{reviewed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_up_leaves_no_rule_behind() {
    let book = "book_id = { type = \"int\", optional = true }";
    let Some((database, first)) = filled_library("", book).await else { return };
    let book = "book_id = { type = \"ref\", to = \"books\", optional = true, on_delete = \"restrict\" }";
    let second = library(", max = 40", book);
    // The check of the notes can be made, and the reference cannot while somebody writes books.
    let (writer, wire) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(wire);
    writer.batch_execute("BEGIN; INSERT INTO books (name) VALUES ('open')").await.unwrap();
    let store = database.open().await;
    let change = run(2, &first, vec![RunPart::Schema(second.clone())]);
    let applying = tokio::spawn({
        let (store, change) = (database.open().await, change.clone());
        async move { store.apply(&change).await }
    });
    until(&database, MADE, 1).await;
    let told = applying.await.unwrap();
    assert!(matches!(&told, Err(StoreError::Unavailable(_))), "{told:?}");
    assert_eq!(database.number(MADE).await, 0);
    database.execute(&["INSERT INTO notes (title, slug) VALUES ('older nodes', repeat('x', 41))"]).await;
    database.execute(&["DELETE FROM notes WHERE title = 'older nodes'"]).await;
    writer.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.apply(&change).await, Ok(Outcome::Taken));
    assert_eq!(store.schema().await.unwrap(), Some(second));
}
