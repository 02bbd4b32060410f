//! Random pairs of definitions: a planned migration leads to the same database as the second definition directly, and no row is lost.
//! `UNDERGIRD_TEST_PAIRS_POSTGRES` says how many.

use super::{Database, database};
use std::collections::BTreeSet;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use undergird_model::Kind;
use undergird_store::conformance::pairs::{Pair, Words, difference, pair};
use undergird_store::{Store, StoreError};

const WORDS: Words = Words { store: "postgres", quote: '"', value };

fn value(kind: Kind, number: i64) -> String {
    match kind {
        Kind::Bool => (number % 2 == 1).to_string(),
        Kind::Int | Kind::Decimal { .. } => number.to_string(),
        Kind::Float => format!("{number}.5"),
        Kind::Uuid => format!("'{number:032x}'"),
        Kind::Date => format!("'2020-01-0{number}'"),
        Kind::Timestamp => format!("'2020-01-0{number}T00:00:00Z'"),
        Kind::Text | Kind::Time | Kind::Json | Kind::Bytes => format!("'{number}'"),
    }
}

async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let found = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let line = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("null").to_owned()).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    found.into_iter().filter_map(line).collect()
}

/// What the catalog says of the tables in the `search_path`, whatever the order in which things came to them.
async fn catalog(client: &Client) -> BTreeSet<String> {
    let about = [
        "SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attidentity, \
         (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum) \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped \
         AND c.relnamespace = current_schema()::regnamespace AND c.relname NOT LIKE '\\_undergird%'",
        "SELECT 'constraint', c.relname, k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relname NOT LIKE '\\_undergird%'",
        "SELECT 'index', tablename, replace(indexdef, current_schema() || '.', '') FROM pg_indexes WHERE schemaname = current_schema() AND tablename NOT LIKE '\\_undergird%'",
        "SELECT 'trigger', c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal \
         AND c.relnamespace = current_schema()::regnamespace",
    ];
    let mut found = BTreeSet::new();
    for sql in about {
        found.extend(rows(client, sql).await);
    }
    found
}

struct Side {
    url: String,
    client: Client,
    schema: &'static str,
}

impl Side {
    async fn new(database: &Database, schema: &'static str) -> Side {
        let (client, wire) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
        tokio::spawn(wire);
        client
            .batch_execute(&format!(
                "SET search_path TO {schema}; SET timezone TO UTC; SET client_min_messages TO error"
            ))
            .await
            .unwrap();
        let url = format!("{}&schema={schema}&pool=2", database.url);
        Side { url, client, schema }
    }

    async fn empty(&self) {
        self.client.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)).await.unwrap();
    }
}

async fn check(number: u64, pair: &Pair, planned: (&Side, &dyn Store), direct: (&Side, &dyn Store)) -> bool {
    let shown = || format!("pair {number}\n{}\n=>\n{}", pair.definitions.0, pair.definitions.1);
    let ((side, store), (beside, other)) = (planned, direct);
    side.empty().await;
    beside.empty().await;
    store.apply(&pair.first).await.unwrap_or_else(|error| panic!("{error}\n{}", shown()));
    for row in &pair.rows {
        rows(&side.client, row).await;
    }
    let was = catalog(&side.client).await;
    let mut before = Vec::new();
    for (query, _) in &pair.kept {
        before.push(rows(&side.client, query).await);
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
        Err(StoreError::SchemaMismatch(_)) => {
            same(&catalog(&side.client).await, &was);
            return false;
        }
        Err(error) => panic!("{error}\n{}", shown()),
    }
    let now = store.schema().await.unwrap().unwrap();
    assert_eq!(now.fingerprint(), pair.wanted.fingerprint(), "{}\n{}", difference(&now, &pair.wanted), shown());
    other.apply(&pair.direct).await.unwrap();
    same(&catalog(&side.client).await, &catalog(&beside.client).await);
    for ((_, query), before) in pair.kept.iter().zip(before) {
        assert_eq!(rows(&side.client, query).await, before, "{query}\n{}", shown());
    }
    if let Some(back) = &pair.back {
        match store.apply(back).await {
            Ok(_) => same(&catalog(&side.client).await, &was),
            Err(StoreError::SchemaMismatch(_)) => {}
            Err(error) => panic!("{error}\n{}", shown()),
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_migrations_lead_where_the_definition_does() {
    let Some(database) = database().await else { return };
    let count = std::env::var("UNDERGIRD_TEST_PAIRS_POSTGRES").ok().and_then(|count| count.parse().ok()).unwrap_or(12);
    let (side, beside) = (Side::new(&database, "planned").await, Side::new(&database, "direct").await);
    let open = |url: String| async move { crate::PostgresStore::open(&url, crate::Options::default()).await.unwrap() };
    let (store, other) = (open(side.url.clone()).await, open(beside.url.clone()).await);
    let (mut tried, mut taken) = (0, 0);
    for number in 1..=count {
        let Some(pair) = pair(number, &WORDS) else { continue };
        tried += 1;
        taken += u64::from(check(number, &pair, (&side, &*store), (&beside, &*other)).await);
    }
    assert!(taken * 2 > tried, "{taken} of {tried} of {count} were taken");
    println!("{taken} of {tried} of {count} pairs were taken");
    Store::close(&*store).await;
    Store::close(&*other).await;
}
