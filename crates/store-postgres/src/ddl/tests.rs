//! Definitions as short texts, given to a real server: their DDL word for word, and pairs of definitions, where every kind of step
//! must lead from one to the other with the rows alive. Each check has a database of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod constraints;
mod durability;
mod server;
mod steps;

use super::{migrate, statements};
use crate::introspect::applied;
use server::{Database, on_server};
use tokio_postgres::{Client, SimpleQueryMessage};
use undergird_model::{Source, definition};
use undergird_store::StoreError;
use undergird_store::schema::{Applied, Step, steps, wanted};

/// The schema of a definition: `-- posts` begins the file `models/posts.toml`.
fn schema(definition: &str) -> Applied {
    let sources: Vec<Source> = definition
        .split("-- ")
        .filter_map(|part| part.split_once('\n').filter(|(name, _)| !name.is_empty()))
        .map(|(name, text)| Source { name: format!("models/{}.toml", name.trim()).into(), text: text.into() })
        .collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    wanted(&model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
}

/// Leads the database to the schema and says the steps in words.
async fn lead(client: &mut Client, to: &Applied) -> Result<Vec<String>, StoreError> {
    let from = applied(client).await?;
    let steps = steps(from.as_ref(), to);
    migrate(client, &steps, to, "").await?;
    let now = applied(client).await?.expect("a record");
    assert_eq!(now.fingerprint(), to.fingerprint());
    assert!(undergird_store::schema::steps(Some(&now), to).is_empty(), "there is nothing left to do");
    Ok(steps.iter().map(Step::describe).collect())
}

/// The rows of the last query of a script, cells separated by `|`.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("null")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// Everything that the catalog says about the tables, to compare a migrated database with a fresh one.
const CATALOG: &str = "
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attcollation::regcollation,
      pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '_undergird_schema'
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, '', NULL, NULL FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('_undergird_schema'), 0)
    UNION ALL
    SELECT tablename, indexname, indexdef, true, '', NULL, NULL FROM pg_indexes WHERE schemaname = 'public' AND tablename <> '_undergird_schema'
    UNION ALL
    SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), true, '', NULL, NULL FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2, 3";

/// The catalog without the names of sequences, which stay what they were at first.
async fn catalog(client: &Client) -> Vec<String> {
    let rows = rows(client, CATALOG).await;
    rows.into_iter()
        .map(|row| match row.find("pg_sequence_last_value") {
            Some(at) => row[..at].to_owned(),
            None => row,
        })
        .collect()
}

/// One migration: what was, its rows, what is wanted, the steps in words, and the rows afterwards.
struct Case {
    before: &'static str,
    insert: &'static str,
    after: &'static str,
    steps: &'static [&'static str],
    query: &'static str,
    rows: &'static [&'static str],
}

fn check(case: Case) {
    on_server(async move |server| {
        let Database { mut client, .. } = server.database().await;
        lead(&mut client, &schema(case.before)).await.unwrap();
        client.batch_execute(case.insert).await.unwrap();
        assert_eq!(lead(&mut client, &schema(case.after)).await.unwrap(), case.steps);
        let Database { client: mut fresh, .. } = server.database().await;
        lead(&mut fresh, &schema(case.after)).await.unwrap();
        // The same as if it had been so from the start.
        assert_eq!(catalog(&client).await, catalog(&fresh).await);
        assert_eq!(rows(&client, case.query).await, case.rows);
    });
}

/// Migrations that the rows, or the types, do not allow: the error, and nothing changed.
fn check_refused(before: &'static str, insert: &'static str, cases: Vec<(String, &'static str)>) {
    on_server(async move |server| {
        let Database { mut client, .. } = server.database().await;
        lead(&mut client, &schema(before)).await.unwrap();
        client.batch_execute(insert).await.unwrap();
        let was = catalog(&client).await;
        for (after, error) in cases {
            match lead(&mut client, &schema(&after)).await {
                Err(StoreError::SchemaMismatch(text)) => assert_eq!(text, error),
                other => panic!("expected a refusal, got {other:?}"),
            }
            assert_eq!(catalog(&client).await, was);
            assert_eq!(rows(&client, "SELECT count(*) FROM _undergird_schema").await, ["1"]);
        }
    });
}

const NOTES: &str = r#"
-- notes
[fields]
id = { type = "int" }
title = { type = "text" }
size = { type = "int", optional = true }
"#;

/// The same with one required field more.
const NOTES_AND_MORE: &str = r#"
-- notes
[fields]
id = { type = "int" }
title = { type = "text" }
size = { type = "int", optional = true }
more = { type = "text" }
"#;
