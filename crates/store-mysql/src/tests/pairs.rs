//! Random pairs of definitions: a planned migration leads to the same database as the second definition directly, and no row is lost.
//! `UNDERGIRD_TEST_PAIRS_MYSQL` says how many.

use super::{Database, database};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use std::collections::BTreeSet;
use undergird_model::Kind;
use undergird_store::conformance::pairs::{Pair, Words, difference, pair};
use undergird_store::{Store, StoreError};

const WORDS: Words = Words { store: "mysql", quote: '`', value };

fn value(kind: Kind, number: i64) -> String {
    match kind {
        Kind::Bool => (number % 2).to_string(),
        Kind::Int | Kind::Decimal { .. } => number.to_string(),
        Kind::Float => format!("{number}.5"),
        Kind::Uuid => format!("x'{number:032x}'"),
        Kind::Date => format!("'2020-01-0{number}'"),
        Kind::Timestamp => format!("'2020-01-0{number} 00:00:00'"),
        Kind::Text | Kind::Time | Kind::Json | Kind::Bytes => format!("'{number}'"),
    }
}

async fn rows(conn: &mut Conn, sql: &str) -> Vec<String> {
    let found: Vec<Row> = conn.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let line =
        |row: &Row| (0..row.len()).map(|at| format!("{:?}", row.as_ref(at).unwrap())).collect::<Vec<_>>().join("|");
    found.iter().map(line).collect()
}

/// What the catalog says of the tables, whatever the order in which things came to them.
async fn catalog(conn: &mut Conn) -> BTreeSet<String> {
    let about = [
        "SELECT 'column', table_name, column_name, column_type, is_nullable, column_default, extra, collation_name FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND table_name NOT LIKE '\\_undergird%'",
        "SELECT 'check', table_name, constraint_name, check_clause FROM information_schema.check_constraints \
         WHERE constraint_schema = DATABASE() AND table_name NOT LIKE '\\_undergird%'",
        "SELECT 'index', table_name, index_name, non_unique, seq_in_index, column_name, collation, sub_part FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND table_name NOT LIKE '\\_undergird%'",
        "SELECT 'reference', table_name, constraint_name, referenced_table_name, delete_rule, update_rule FROM \
         information_schema.referential_constraints WHERE constraint_schema = DATABASE()",
    ];
    let mut found = BTreeSet::new();
    for sql in about {
        found.extend(rows(conn, sql).await);
    }
    found
}

async fn connect(database: &Database) -> Conn {
    Conn::from_url(&database.url).await.unwrap()
}

async fn empty(database: &Database) {
    let mut conn = connect(database).await;
    let tables: Vec<String> =
        conn.query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()").await.unwrap();
    conn.query_drop("SET foreign_key_checks = 0").await.unwrap();
    for table in tables {
        conn.query_drop(format!("DROP TABLE `{table}`")).await.unwrap();
    }
    conn.disconnect().await.unwrap();
}

async fn check(number: u64, pair: &Pair, planned: (&Database, &dyn Store), direct: (&Database, &dyn Store)) -> bool {
    let shown = || format!("pair {number}\n{}\n=>\n{}", pair.definitions.0, pair.definitions.1);
    let ((database, store), (beside, other)) = (planned, direct);
    empty(database).await;
    empty(beside).await;
    store.apply(&pair.first).await.unwrap_or_else(|error| panic!("{error}\n{}", shown()));
    let mut conn = connect(database).await;
    for row in &pair.rows {
        rows(&mut conn, row).await;
    }
    let was = catalog(&mut conn).await;
    let mut before = Vec::new();
    for (query, _) in &pair.kept {
        before.push(rows(&mut conn, query).await);
    }
    let same = |found: &BTreeSet<String>, wanted: &BTreeSet<String>| {
        let (more, less) = (found.difference(wanted), wanted.difference(found));
        assert!(
            found == wanted,
            "more: {:#?}\nless: {:#?}\n{}",
            more.collect::<Vec<_>>(),
            less.collect::<Vec<_>>(),
            shown()
        );
    };
    match store.apply(&pair.second).await {
        Ok(_) => {}
        // Some of its steps are taken; what the record says of them is true.
        Err(StoreError::SchemaMismatch(_)) => {
            store.schema().await.unwrap();
            return false;
        }
        Err(error) => panic!("{error}\n{}", shown()),
    }
    let now = store.schema().await.unwrap().unwrap();
    assert_eq!(now.fingerprint(), pair.wanted.fingerprint(), "{}\n{}", difference(&now, &pair.wanted), shown());
    other.apply(&pair.direct).await.unwrap();
    let mut aside = connect(beside).await;
    same(&catalog(&mut conn).await, &catalog(&mut aside).await);
    for ((_, query), before) in pair.kept.iter().zip(before) {
        assert_eq!(rows(&mut conn, query).await, before, "{query}\n{}", shown());
    }
    if let Some(back) = &pair.back {
        match store.apply(back).await {
            Ok(_) => same(&catalog(&mut conn).await, &was),
            Err(StoreError::SchemaMismatch(_)) => {}
            Err(error) => panic!("{error}\n{}", shown()),
        }
    }
    conn.disconnect().await.unwrap();
    aside.disconnect().await.unwrap();
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_migrations_lead_where_the_definition_does() {
    let Some(database) = database().await else { return };
    let Some(beside) = super::database().await else { return };
    let count = std::env::var("UNDERGIRD_TEST_PAIRS_MYSQL").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    let (store, other) = (database.open().await, beside.open().await);
    let (mut tried, mut taken) = (0, 0);
    for number in 1..=count {
        let Some(pair) = pair(number, &WORDS) else { continue };
        tried += 1;
        taken += u64::from(check(number, &pair, (&database, &*store), (&beside, &*other)).await);
    }
    assert!(taken > 0 && tried > 0, "{taken} of {tried} of {count} were taken");
    println!("{taken} of {tried} of {count} pairs were taken");
    Store::close(&*store).await;
    Store::close(&*other).await;
}
