//! Changes by hand, several nodes at once, steps that fail half-way, schemas of the search path.

use super::server::connect;
use super::*;

const UNIQUE_NOTES: &str = "-- notes\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\", unique = true, default = \"x\", max = 9 }\n\
    made_at = { type = \"timestamp\", default = \"2026-01-02T03:04:05Z\" }";

#[test]
fn changes_by_hand_are_noticed() {
    let altered = "the table notes was altered by hand: undo that change and make it in the definition instead";
    let cases = [
        ("ALTER TABLE notes ADD COLUMN x TEXT", Some(altered)),
        ("ALTER TABLE notes ALTER COLUMN title TYPE varchar(5)", Some(altered)),
        ("ALTER TABLE notes ALTER COLUMN title DROP NOT NULL", Some(altered)),
        ("ALTER TABLE notes ALTER COLUMN title SET DEFAULT 'y'", Some(altered)),
        ("ALTER TABLE notes ALTER COLUMN title TYPE text COLLATE \"default\"", Some(altered)),
        ("ALTER TABLE notes DROP CONSTRAINT notes_title_max", Some(altered)),
        (
            "ALTER TABLE notes DROP CONSTRAINT notes_title_max, ADD CONSTRAINT notes_title_max CHECK (char_length(title) <= 10)",
            Some(altered),
        ),
        ("ALTER TABLE notes ADD CONSTRAINT mine CHECK (title <> '')", Some(altered)),
        ("ALTER TABLE notes ALTER COLUMN id SET GENERATED ALWAYS", Some(altered)),
        ("ALTER TABLE notes DISABLE TRIGGER _undergird_identity", Some(altered)),
        ("DROP TABLE notes", Some("the table notes is missing from the database: restore a backup")),
        (
            "DROP INDEX notes_title_key",
            Some(
                "the index notes_title_key is missing from the database: make it again with CREATE UNIQUE INDEX \"notes_title_key\" ON \
                 \"notes\" (\"title\")",
            ),
        ),
        (
            "DROP INDEX notes_title_key; CREATE INDEX notes_title_key ON notes (title)",
            Some(
                "the index notes_title_key was altered by hand: undo that change and make it in the definition instead",
            ),
        ),
        ("CREATE INDEX mine ON notes (title); CREATE VIEW v AS SELECT * FROM notes; CREATE TABLE t (x int)", None),
    ];
    on_server(async |server| {
        let Database { mut client, .. } = server.database().await;
        lead(&mut client, &schema(UNIQUE_NOTES)).await.unwrap();
        for (by_hand, error) in cases {
            // Each is taken back, so that one database serves for all.
            client.batch_execute("BEGIN").await.unwrap();
            client.batch_execute(by_hand).await.unwrap_or_else(|error| panic!("{by_hand}: {error:?}"));
            let result = within(&client).await.map(drop);
            client.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(result, error.map_or(Ok(()), |text| Err(StoreError::SchemaMismatch(text.into()))), "{by_hand}");
        }
        // How a session writes constants is no change.
        client
            .batch_execute(
                "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET search_path = pg_catalog, public",
            )
            .await
            .unwrap();
        let refused = applied(&mut client).await;
        assert_eq!(refused, Ok(None), "pg_catalog is where this session's tables would be");
        client.batch_execute("SET search_path = public").await.unwrap();
        assert!(applied(&mut client).await.unwrap().is_some());
    });
}

/// The record as a transaction that is open on the connection sees it.
async fn within(client: &Client) -> Result<Option<Applied>, StoreError> {
    crate::introspect::recorded(client, &crate::introspect::home(client).await?).await
}

#[test]
fn a_table_that_is_not_ours_is_left_alone() {
    on_server(async |server| {
        let Database { mut client, .. } = server.database().await;
        client.batch_execute("CREATE TABLE notes (x int); INSERT INTO notes VALUES (1)").await.unwrap();
        assert_eq!(
            lead(&mut client, &schema(NOTES)).await,
            Err(StoreError::SchemaMismatch(
                "the database has a table notes already that Undergird did not make: rename it, or give the collection another `table`"
                    .into()
            ))
        );
        // Nor is what somebody built on a column taken from under him.
        client.batch_execute("DROP TABLE notes").await.unwrap();
        lead(&mut client, &schema(NOTES)).await.unwrap();
        client.batch_execute("CREATE VIEW public.sizes AS SELECT size FROM notes").await.unwrap();
        for (definition, error) in [
            (
                "-- notes\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\" }\n",
                "something made by hand hinders \"drop the column notes.size\" (view sizes depends on column size of table notes): drop \
                 it first",
            ),
            (
                "-- notes\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\" }\nsize = { type = \"float\", optional = true }\n",
                "something made by hand hinders \"make the column notes.size of type float (it was int)\" (rule _RETURN on view sizes \
                 depends on column \"size\"): drop it first",
            ),
        ] {
            let result = lead(&mut client, &schema(definition)).await;
            assert_eq!(result, Err(StoreError::SchemaMismatch(error.into())));
        }
    });
}

#[test]
fn stale_steps_are_refused_and_finished_ones_are_fine() {
    on_server(async |server| {
        let Database { mut client, .. } = server.database().await;
        let (first, second) = (schema(NOTES), schema(NOTES_AND_MORE));
        let planned = steps(None, &second);
        lead(&mut client, &first).await.unwrap();
        let stale = migrate(&mut client, &planned, &second, "").await;
        assert_eq!(
            stale,
            Err(StoreError::SchemaMismatch(
                "the database was changed while the steps were planned: plan them again".into()
            ))
        );
        lead(&mut client, &second).await.unwrap();
        assert_eq!(migrate(&mut client, &planned, &second, "").await, Ok(()), "another node was faster");
    });
}

#[test]
fn many_at_once_migrate_once() {
    on_server(async |server| {
        let Database { client, config } = server.database().await;
        let mut others = Vec::new();
        for _ in 0..8 {
            let config = config.clone();
            others.push(tokio::spawn(async move {
                let mut client = connect(&config).await;
                let wanted = schema(NOTES);
                let steps = steps(None, &wanted);
                let functions = "CREATE OR REPLACE FUNCTION undergird.one() RETURNS integer LANGUAGE sql AS 'SELECT 1'";
                migrate(&mut client, &steps, &wanted, functions).await
            }));
        }
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(()));
        }
        assert_eq!(rows(&client, "SELECT count(*), undergird.one() FROM _undergird_schema").await, ["1|1"]);
    });
}

#[test]
fn whoever_holds_the_table_is_waited_for() {
    on_server(async |server| {
        let Database { mut client, config } = server.database().await;
        lead(&mut client, &schema(NOTES)).await.unwrap();
        let other = connect(&config).await;
        other.batch_execute("BEGIN; LOCK TABLE notes IN ACCESS SHARE MODE").await.unwrap();
        let migration = tokio::spawn(async move { lead(&mut client, &schema(NOTES_AND_MORE)).await });
        // Longer than its patience with one lock: it must have given way at least once.
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        assert!(!migration.is_finished());
        other.batch_execute("COMMIT").await.unwrap();
        migration.await.unwrap().unwrap();
    });
}

#[test]
fn half_a_migration_is_none() {
    on_server(async |server| {
        let Database { mut client, .. } = server.database().await;
        lead(&mut client, &schema(NOTES)).await.unwrap();
        client.batch_execute("INSERT INTO notes (title) VALUES ('a'), ('a')").await.unwrap();
        let was = catalog(&client).await;
        let after = "-- notes\ntable = \"papers\"\n[fields]\nid = { type = \"int\" }\ntitle = { type = \"text\", unique = true }\n\
                     -- more\n[fields]\nid = { type = \"int\" }\n";
        let error = lead(&mut client, &schema(after)).await.unwrap_err();
        assert!(error.to_string().contains("some rows of papers have the same (title)"), "{error}");
        assert_eq!(catalog(&client).await, was);
        assert_eq!(rows(&client, "SELECT * FROM notes").await, ["1|a|null", "2|a|null"]);
    });
}

#[test]
fn other_nodes_are_told_when_it_is_done() {
    on_server(async |server| {
        let Database { mut client, config } = server.database().await;
        let (listener, mut connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                if let tokio_postgres::AsyncMessage::Notification(notice) = message {
                    let _ = sender.send((notice.channel().to_owned(), notice.payload().to_owned()));
                }
            }
        });
        listener.batch_execute("LISTEN undergird").await.unwrap();
        lead(&mut client, &schema(NOTES)).await.unwrap();
        assert_eq!(receiver.recv().await, Some(("undergird".to_owned(), "schema".to_owned())));
    });
}

#[test]
fn two_applications_in_one_database_do_not_meet() {
    on_server(async |server| {
        let Database { client, config } = server.database().await;
        client.batch_execute("CREATE TABLE notes (mine int)").await.unwrap();
        for (path, wanted) in [("\"My App\", public", NOTES), ("b", NOTES_AND_MORE)] {
            let mut client = connect(&config).await;
            client.batch_execute(&format!("SET search_path TO {path}")).await.unwrap();
            assert_eq!(applied(&mut client).await, Ok(None));
            lead(&mut client, &schema(wanted)).await.unwrap();
            // The path is the connection's own again.
            assert_eq!(rows(&client, "SHOW search_path").await, [path]);
            client.batch_execute("INSERT INTO notes (title) VALUES ('x')").await.unwrap_or_default();
        }
        let found = "SELECT relnamespace::regnamespace, relname, relnatts FROM pg_class WHERE relname LIKE '%notes' ORDER BY relnatts DESC";
        assert_eq!(rows(&client, found).await, ["b|notes|4", "\"My App\"|notes|3", "public|notes|1"]);
    });
}

#[test]
fn names_that_the_database_would_cut_off() {
    on_server(async |server| {
        let Database { mut client, .. } = server.database().await;
        let long = "a".repeat(60);
        // Constraints are cut by us, each to a name of its own.
        let wanted = schema(&format!(
            "-- {long}\n[fields]\nid = {{ type = \"int\" }}\nscore_one = {{ type = \"int\", min = 1, max = 5, unique = true }}\n\
             score_two = {{ type = \"int\", min = 1, max = 5, unique = true }}\nmade_at = {{ type = \"timestamp\" }}\n"
        ));
        lead(&mut client, &wanted).await.unwrap();
        let violate = format!("INSERT INTO {long} (score_one, score_two, made_at) VALUES (1, 6, now())");
        let error = client.batch_execute(&violate).await.unwrap_err();
        let said = error.as_db_error().unwrap();
        let held = crate::introspect::held(&wanted, said.table().unwrap(), said.constraint().unwrap()).unwrap();
        assert_eq!((held.name, held.columns), (Some(format!("{long}_score_two_max")), vec!["score_two".to_owned()]));
        let renamed = format!(
            "-- {long}\ntable = \"b\"\n[fields]\nid = {{ type = \"int\" }}\nmade_at = {{ type = \"timestamp\" }}\n"
        );
        lead(&mut client, &schema(&renamed)).await.unwrap();
        let constraints = "SELECT conname FROM pg_constraint WHERE conrelid = 'b'::regclass ORDER BY 1";
        assert_eq!(rows(&client, constraints).await, ["b_made_at_timestamp", "b_pkey"]);
        for (table, column, error) in [
            ("é".repeat(32), "x".to_owned(), "longer than the 63 octets"),
            ("pg_notes".into(), "x".into(), "one of the database's own"),
            ("c".into(), "é".repeat(32), "longer than the 63 octets"),
            ("c".into(), "xmin".into(), "a system column"),
        ] {
            let text = format!(
                "-- c\ntable = \"{table}\"\n[fields]\nid = {{ type = \"int\" }}\nx = {{ type = \"int\", column = \"{column}\" }}"
            );
            let refused = lead(&mut client, &schema(&text)).await.unwrap_err();
            assert!(refused.to_string().contains(error), "{refused}");
        }
    });
}

#[test]
fn functions_of_a_stranger_are_not_trusted() {
    on_server(async |server| {
        let Database { mut client, config } = server.database().await;
        let stranger = format!("{}_stranger", config.get_dbname().unwrap());
        client
            .batch_execute(&format!("CREATE ROLE {stranger}; CREATE SCHEMA undergird AUTHORIZATION {stranger}"))
            .await
            .unwrap();
        client.batch_execute(&format!("CREATE ROLE {stranger}_2; GRANT CREATE ON DATABASE {0} TO {stranger}_2; GRANT CREATE ON SCHEMA public TO {stranger}_2; SET ROLE {stranger}_2", config.get_dbname().unwrap())).await.unwrap();
        let refused = lead(&mut client, &schema(NOTES)).await;
        client
            .batch_execute(&format!(
                "RESET ROLE; DROP OWNED BY {stranger} CASCADE; DROP ROLE {stranger}; DROP OWNED BY {stranger}_2; DROP ROLE {stranger}_2"
            ))
            .await
            .unwrap();
        assert!(
            refused.as_ref().is_err_and(|error| error.to_string().contains("belongs to another role")),
            "{refused:?}"
        );
        // The same role again, and then with what is there already.
        let functions = "CREATE OR REPLACE FUNCTION undergird.one() RETURNS integer LANGUAGE sql AS 'SELECT 1'";
        crate::ddl::install_functions(&mut client, functions).await.unwrap();
        crate::ddl::install_functions(&mut client, functions).await.unwrap();
        let newer = functions.replace("SELECT 1", "SELECT 2");
        crate::ddl::install_functions(&mut client, &newer).await.unwrap();
        assert_eq!(rows(&client, "SELECT undergird.one()").await, ["2"]);
        // A node of a later version was here: its functions stay.
        let later = "COMMENT ON SCHEMA undergird IS 'Functions of Undergird, made by it: 4000000000 0'";
        client.batch_execute(later).await.unwrap();
        crate::ddl::install_functions(&mut client, functions).await.unwrap();
        assert_eq!(rows(&client, "SELECT undergird.one()").await, ["2"]);
    });
}
