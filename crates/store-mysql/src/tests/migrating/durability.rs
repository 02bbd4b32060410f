//! Changes by hand, several nodes at once, kills half-way.

use super::*;
use crate::Options;

#[tokio::test]
async fn changes_by_hand_are_noticed() {
    let altered = Some("the table notes was altered by hand: undo that change and make it in the definition instead");
    let Some(database) = database().await else { return };
    let store = database.open().await;
    for (by_hand, error) in [
        ("ALTER TABLE notes ADD COLUMN x TEXT", altered),
        ("ALTER TABLE notes MODIFY title varchar(9) NULL", altered),
        ("ALTER TABLE notes MODIFY title varchar(9) COLLATE utf8mb4_general_ci NOT NULL", altered),
        ("ALTER TABLE notes ALTER COLUMN title SET DEFAULT 'x'", altered),
        ("ALTER TABLE notes DROP CONSTRAINT notes_title_max", altered),
        ("ALTER TABLE notes DROP CONSTRAINT notes_title_max, ADD CONSTRAINT notes_title_max CHECK (1 = 1)", altered),
        ("DROP TABLE notes", Some("the table notes is missing from the database: restore a backup")),
        (
            "DROP INDEX notes_title_key ON notes",
            Some(
                "the index notes_title_key is missing from the database: make it again with ALTER TABLE `notes` ADD UNIQUE INDEX \
                 `notes_title_key` (`title`)",
            ),
        ),
        (
            "DROP INDEX notes_title_key ON notes; CREATE INDEX notes_title_key ON notes (title)",
            Some(
                "the index notes_title_key was altered by hand: undo that change and make it in the definition instead",
            ),
        ),
        ("CREATE INDEX mine ON notes (title); CREATE VIEW v AS SELECT * FROM notes; CREATE TABLE t (x INT)", None),
    ] {
        let notes =
            schema("-- notes\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\", unique = true, max = 9 }");
        lead(&store, &notes).await.unwrap();
        database.execute(&[by_hand]).await;
        let result = store.schema().await.map(drop);
        assert_eq!(result, error.map_or(Ok(()), |text| Err(StoreError::SchemaMismatch(text.into()))), "{by_hand}");
        // As if nothing had been, but for the functions, which take long to make.
        database
            .execute(&[
                "DROP VIEW IF EXISTS v",
                "DROP TABLE IF EXISTS notes, t",
                "UPDATE _undergird_schema SET fingerprint = '', applied = '{\"format\":1,\"tables\":[]}', \
                 objects = '{\"server\":\"\",\"objects\":{}}'",
            ])
            .await;
    }
}

#[tokio::test]
async fn a_table_that_is_not_ours_is_left_alone() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE notes (x INT)", "INSERT INTO notes VALUES (1)"]).await;
    let store = database.open().await;
    assert_eq!(
        lead(&store, &schema(NOTES)).await,
        Err(StoreError::SchemaMismatch(
            "the database has a table notes already that Undergird did not make: rename it, or give the collection another `table`"
                .into()
        ))
    );
    assert_eq!(rows(&database, "SELECT x FROM notes").await, ["1"]);
}

#[tokio::test]
async fn stale_steps_are_refused_and_finished_ones_are_fine() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let (first, second) = (schema(NOTES), schema(NOTES_AND_MORE));
    let planned = steps(None, &second);
    lead(&store, &first).await.unwrap();
    let stale = store.migrate(&planned, &second).await;
    assert_eq!(
        stale,
        Err(StoreError::SchemaMismatch(
            "the database was changed while the steps were planned: plan them again".into()
        ))
    );
    lead(&store, &second).await.unwrap();
    assert_eq!(store.migrate(&planned, &second).await, Ok(()), "another process was faster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_migrate_once() {
    let Some(database) = database().await else { return };
    let wanted = schema(MANY);
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(database.open_with("pool=2").await);
    }
    let planned = steps(None, &wanted);
    let all = futures_util::future::join_all(stores.iter().map(|store| store.migrate(&planned, &wanted))).await;
    assert_eq!(all, vec![Ok(()); 4]);
    assert_eq!(database.number("SELECT count(*) FROM _undergird_schema").await, 1);
    assert_eq!(stores[0].schema().await.unwrap().unwrap().fingerprint(), wanted.fingerprint());
}

const MANY: &str = r#"
-- owners
[fields]
id = { type = "int" }
name = { type = "text", max = 20, unique = true }
-- pets
[fields]
id = { type = "int" }
owner_id = { type = "ref", to = "owners", on_delete = "cascade" }
tags = { type = "list", of = "text", default = [] }
-- toys
[fields]
id = { type = "int" }
pet_id = { type = "ref", to = "pets" }
"#;

/// Everything is another: names, types with and without a conversion of rows, keys, checks.
const OTHER: &str = r#"
-- owners
table = "People"
[fields]
id = { type = "int" }
called = { type = "json", renamed_from = "name" }
-- pets
[fields]
id = { type = "int" }
owner_id = { type = "ref", to = "owners" }
tags = { type = "list", of = "text", default = [] }
weight = { type = "float", default = 1.5, min = 1 }
"#;

/// A migration whose connection is cut again and again, after another while each time, comes to its end, and the rows are what they would
/// be without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_killed_goes_on() {
    let Some(database) = database().await else { return };
    let options = Options { connections: 2, ..Options::default() };
    let url = format!("{}&pool=2", database.url);
    let mut kills = 0;
    let (before, after) = (schema(MANY), schema(OTHER));
    for (turn, wanted) in [&before, &after].into_iter().enumerate() {
        let mut patience = 3;
        loop {
            let (url, options, to) = (url.clone(), options.clone(), wanted.clone());
            let task = tokio::spawn(async move {
                let store = MysqlStore::open(&url, options).await?;
                let from = store.schema().await?;
                store.migrate(&steps(from.as_ref(), &to), &to).await
            });
            match tokio::time::timeout(std::time::Duration::from_millis(patience), task).await {
                Ok(Ok(Ok(()))) => break,
                Ok(Ok(Err(StoreError::Unavailable(_)))) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    database.cut().await;
                    kills += 1;
                }
            }
            patience += 7 + patience / 5;
            assert!(patience < 60_000);
        }
        if turn == 0 {
            let rows = ["INSERT INTO owners VALUES (1, 'say \"x\"')", "INSERT INTO pets VALUES (1, 1, '[\"a\"]')"];
            database.execute(&rows).await;
        }
    }
    assert_eq!(rows(&database, "SELECT called FROM People").await, ["\"say \\\"x\\\"\""]);
    assert_eq!(rows(&database, "SELECT owner_id, tags, weight FROM pets").await, ["1|[\"a\"]|1.5"]);
    assert!(kills > 5, "{kills}");
}

/// Each point at which a step of several statements can stop, made by hand: before and after each of them.
#[tokio::test]
async fn a_step_of_many_statements_is_finished_wherever_it_stopped() {
    let before = schema("-- notes\n[fields]\nid = { type = \"int\" }\nu = { type = \"uuid\", optional = true }");
    let after =
        schema("-- notes\n[fields]\nid = { type = \"int\" }\nu = { type = \"text\", max = 40, default = \"none\" }");
    let server = crate::server::Server::named("10.11.19-MariaDB");
    let planned = steps(Some(&before), &after);
    let script = crate::ddl::script(&server, &before, &planned, &after);
    let conversion = script.iter().find(|taken| taken.lines.len() > 1).unwrap();
    let statements = conversion.lines.len();
    let Some(database) = database().await else { return };
    let store = database.open().await;
    for stop in 0..=statements {
        for counted in [false, true] {
            lead(&store, &Applied::empty()).await.unwrap();
            lead(&store, &before).await.unwrap();
            database.execute(&["INSERT INTO notes VALUES (1, x'00112233445566778899aabbccddeeff'), (2, NULL)"]).await;
            stop_after(&database, &server, conversion, stop, counted).await;
            lead(&store, &after).await.unwrap_or_else(|error| panic!("{stop} {counted}: {error}"));
            assert_eq!(
                rows(&database, "SELECT u FROM notes ORDER BY id").await,
                ["00112233-4455-6677-8899-aabbccddeeff", "none"],
                "{stop} {counted}"
            );
            assert_eq!(database.number("SELECT count(*) FROM _undergird_step").await, 0);
        }
    }
}

/// Leaves a step as a kill would: so many of its statements run, the last of them counted or not.
async fn stop_after(
    database: &Database,
    server: &crate::server::Server,
    taken: &crate::ddl::Taken<'_>,
    stop: usize,
    counted: bool,
) {
    let mut conn = Conn::from_url(&database.url).await.unwrap();
    conn.query_drop(server.settings(5, None)).await.unwrap();
    crate::migrate::interrupted(&mut conn, taken, stop, counted).await.unwrap();
    conn.disconnect().await.unwrap();
}

#[tokio::test]
async fn what_the_server_cannot_keep_is_said_by_name() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    for (fields, expected) in [
        (
            "a = { type = \"text\", unique = true }",
            "MySQL cannot keep this schema: notes.a: an index holds at most 768 characters of a value: give the field `max = 768` or less, \
             or take it out of its key, index, `unique` or `ref`",
        ),
        (
            "a = { type = \"text\", max = 769 }\n[[indexes]]\nfields = [\"a\"]",
            "MySQL cannot keep this schema: notes.a: an index holds at most 768 characters of a value: give the field `max = 768` or less, \
             or take it out of its key, index, `unique` or `ref`",
        ),
        (
            "a = { type = \"text\", max = 700 }\nb = { type = \"text\", max = 700 }\n[[indexes]]\nfields = [\"a\", \"b\"]",
            "MySQL cannot keep this schema: notes: (a, b) is longer than the 3072 octets of an index's key; a character counts for four: \
             give its texts a smaller `max`",
        ),
        (
            "a = { type = \"text\", column = \"\u{1f600}\" }",
            "MySQL cannot keep this schema: notes: the name \u{1f600} has a character beyond U+FFFF or ends in a space: give it another \
             `table` or `column`",
        ),
    ] {
        let wanted = schema(&format!("-- notes\n[fields]\nid = {{ type = \"int\" }}\n{fields}\n"));
        assert_eq!(lead(&store, &wanted).await, Err(StoreError::SchemaMismatch(expected.into())), "{fields}");
    }
    for fields in [
        "a = { type = \"text\", max = 768, unique = true }",
        "a = { type = \"email\", unique = true }",
        "a = { type = \"enum\", values = [\"x\", \"y\"] }\n[[indexes]]\nfields = [\"a\"]",
    ] {
        let wanted = schema(&format!("-- notes\n[fields]\nid = {{ type = \"int\" }}\n{fields}\n"));
        lead(&store, &wanted).await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        lead(&store, &Applied::empty()).await.unwrap();
    }
}
