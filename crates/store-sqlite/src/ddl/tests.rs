//! Schemas as short texts, given to a real database in memory: each pair must lead from one to the other with the rows alive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{migrate, statements};
use crate::introspect::applied;
use rusqlite::Connection;
use undergird_store::StoreError;
use undergird_store::schema::{Applied, steps};

/// A schema from tables of JSON members, so that a case shows nothing but what matters.
fn schema(tables: &str) -> Applied {
    Applied::from_json(&format!(r#"{{"format":1,"tables":[{tables}]}}"#)).expect("a schema")
}

fn open() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "foreign_keys", 1).unwrap();
    connection
}

/// Leads the database to the schema.
fn lead(connection: &mut Connection, to: &Applied) -> Result<Vec<String>, StoreError> {
    let from = applied(connection)?;
    let steps = steps(from.as_ref(), to);
    migrate(connection, &steps, to)?;
    assert_eq!(applied(connection)?.as_ref().map(Applied::fingerprint), Some(to.fingerprint()));
    assert_eq!(connection.pragma_query_value(None, "foreign_keys", |row| row.get::<_, i64>(0)).unwrap(), 1);
    Ok(steps.iter().map(undergird_store::schema::Step::describe).collect())
}

#[test]
fn a_new_table_and_a_rebuild() {
    let mut connection = open();
    let first = schema(
        r#"{"name":"notes","collection":"notes","key":["id"],"identity":true,"columns":[
            {"name":"id","field":"id","type":"int"},
            {"name":"title","field":"title","type":"text","null":true}]}"#,
    );
    assert_eq!(lead(&mut connection, &first).unwrap(), ["create the table notes (2 columns)"]);
    assert_eq!(lead(&mut connection, &first).unwrap(), [""; 0]);
    connection
        .execute_batch("INSERT INTO notes (title) VALUES ('a'), ('b'), (NULL); DELETE FROM notes WHERE id = 3")
        .unwrap();
    let second = schema(
        r#"{"name":"notes","collection":"notes","key":["id"],"identity":true,"columns":[
            {"name":"id","field":"id","type":"int"},
            {"name":"title","field":"title","type":"text","default":{"text":"none"}}]}"#,
    );
    assert!(statements(&steps(Some(&first), &second), &second)[1].contains("coalesce(\"title\", 'none')"));
    assert_eq!(lead(&mut connection, &second).unwrap(), ["make the column notes.title required, default \"none\""]);
    connection.execute("INSERT INTO notes (title) VALUES ('c')", []).unwrap();
    let rows: Vec<(i64, String)> = connection
        .prepare("SELECT id, title FROM notes ORDER BY id")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows, [(1, "a".into()), (2, "b".into()), (4, "c".into())], "number 3 is not given out again");
}
