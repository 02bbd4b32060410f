//! Changes by hand, several processes at once, crashes.

use super::*;

#[test]
fn changes_by_hand_are_noticed() {
    for (by_hand, error) in [
        (
            "ALTER TABLE notes ADD COLUMN x TEXT",
            Some("the table notes was altered by hand: undo that change and make it in the definition instead"),
        ),
        ("DROP TABLE notes", Some("the table notes is missing from the database: restore a backup")),
        (
            "DROP INDEX notes_title_key",
            Some(
                "the index notes_title_key is missing from the database: make it again with CREATE UNIQUE INDEX \"notes_title_key\" ON \
                 \"notes\" (\"title\")",
            ),
        ),
        ("CREATE INDEX mine ON notes (title); CREATE VIEW v AS SELECT * FROM notes; CREATE TABLE t (x)", None),
    ] {
        let mut connection = open();
        let notes = schema("-- notes\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\", unique = true }");
        lead(&mut connection, &notes).unwrap();
        connection.execute_batch(by_hand).unwrap();
        let result = applied(&connection).map(drop);
        assert_eq!(result, error.map_or(Ok(()), |text| Err(StoreError::SchemaMismatch(text.into()))), "{by_hand}");
    }
}

#[test]
fn what_people_added_survives_a_rebuild() {
    let mut connection = open();
    lead(&mut connection, &schema(NOTES)).unwrap();
    connection
        .execute_batch(
            "CREATE INDEX mine ON notes (size); CREATE VIEW titles AS SELECT title FROM notes; CREATE TABLE seen (title TEXT);
             CREATE TRIGGER t AFTER INSERT ON notes BEGIN INSERT INTO seen VALUES (new.title); END",
        )
        .unwrap();
    let steps = lead(&mut connection, &schema(&NOTES.replace("optional = true", "default = 3"))).unwrap();
    assert_eq!(steps, ["make the column notes.size required, default 3"]);
    connection.execute("INSERT INTO notes (title) VALUES ('x')", []).unwrap();
    assert_eq!(rows(&connection, "SELECT title FROM titles UNION ALL SELECT title FROM seen"), ["x", "x"]);
    assert_eq!(rows(&connection, "SELECT name FROM pragma_index_list('notes')"), ["mine"]);
}

#[test]
fn a_table_that_is_not_ours_is_left_alone() {
    let mut connection = open();
    connection.execute_batch("CREATE TABLE notes (x); INSERT INTO notes VALUES (1)").unwrap();
    assert_eq!(
        lead(&mut connection, &schema(NOTES)),
        Err(StoreError::SchemaMismatch(
            "the database has a table notes already that Undergird did not make: rename it, or give the collection another `table`"
                .into()
        ))
    );
}

#[test]
fn stale_steps_are_refused_and_finished_ones_are_fine() {
    let mut connection = open();
    let (first, second) = (schema(NOTES), schema(NOTES_AND_MORE));
    let planned = steps(None, &second);
    lead(&mut connection, &first).unwrap();
    let stale = migrate(&mut connection, &planned, &second);
    assert_eq!(
        stale,
        Err(StoreError::SchemaMismatch(
            "the database was changed while the steps were planned: plan them again".into()
        ))
    );
    lead(&mut connection, &second).unwrap();
    assert_eq!(migrate(&mut connection, &planned, &second), Ok(()), "another process was faster");
}

#[test]
fn many_at_once_migrate_once() {
    let directory = std::env::temp_dir().join(format!("undergird-migrate-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("main.db");
    let wanted = schema(NOTES);
    let results: Vec<Result<(), StoreError>> = std::thread::scope(|scope| {
        let start = || {
            let mut connection = Connection::open(&path).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            migrate(&mut connection, &steps(None, &wanted), &wanted)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = rows(&Connection::open(&path).unwrap(), "SELECT count(*) FROM _undergird_schema");
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(results, vec![Ok(()); 8]);
    assert_eq!(count, ["1"]);
}

/// A crash is a copy of the files at a moment: the last one before the commit, and the first after it.
#[test]
fn a_crash_leaves_the_old_schema_or_the_new_one() {
    let directory = std::env::temp_dir().join(format!("undergird-crash-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let copy = |directory: &std::path::Path, name: &str| {
        for suffix in ["", "-wal"] {
            std::fs::copy(directory.join(format!("main.db{suffix}")), directory.join(format!("{name}.db{suffix}")))
                .unwrap();
        }
    };
    let mut connection = Connection::open(directory.join("main.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "foreign_keys", 1).unwrap();
    // A small cache, so that pages reach the file before the commit.
    connection.pragma_update(None, "cache_size", 10).unwrap();
    lead(&mut connection, &schema(NOTES)).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
             INSERT INTO notes (title) SELECT printf('%0500d', i) FROM n",
        )
        .unwrap();
    let from = directory.clone();
    connection
        .commit_hook(Some(move || {
            copy(&from, "before");
            false
        }))
        .unwrap();
    let after = schema(&NOTES.replace("optional = true", "default = 3"));
    lead(&mut connection, &after).unwrap();
    copy(&directory, "after");
    let state = |name: &str| {
        let connection = Connection::open(directory.join(format!("{name}.db"))).unwrap();
        let schema = applied(&connection).unwrap().unwrap().fingerprint();
        (
            schema,
            rows(&connection, "SELECT count(*), count(size) FROM notes"),
            rows(&connection, "PRAGMA integrity_check"),
        )
    };
    let found = (state("before"), state("after"));
    std::fs::remove_dir_all(&directory).unwrap();
    let ok = || vec!["ok".to_owned()];
    assert_eq!(found.0, (schema(NOTES).fingerprint(), vec!["2000|0".into()], ok()));
    assert_eq!(found.1, (after.fingerprint(), vec!["2000|2000".into()], ok()));
}
