//! Random pairs of definitions: a planned migration leads to the same database as the second definition directly, and no row is lost.
//! `UNDERGIRD_TEST_PAIRS` says how many.

use crate::introspect::applied;
use crate::migrations::apply;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::BTreeSet;
use undergird_model::Kind;
use undergird_store::StoreError;
use undergird_store::conformance::pairs::{Pair, Words, difference, pair};

const WORDS: Words = Words { store: "sqlite", quote: '"', value };

fn value(kind: Kind, number: i64) -> String {
    match kind {
        Kind::Bool => (number % 2).to_string(),
        Kind::Int | Kind::Date => number.to_string(),
        Kind::Float => format!("{number}.5"),
        Kind::Decimal { scale, .. } => (number * 10_i64.pow(u32::from(scale))).to_string(),
        Kind::Uuid => format!("x'{number:032x}'"),
        Kind::Timestamp => (number * 86_400_000_000).to_string(),
        Kind::Text | Kind::Time | Kind::Json | Kind::Bytes => format!("'{number}'"),
    }
}

fn open() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "foreign_keys", 1).unwrap();
    connection
}

fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = statement.column_count();
    let cell = |value: ValueRef<'_>| match value {
        ValueRef::Null => "null".into(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{bytes:?}"),
    };
    let found = statement
        .query_map([], |row| Ok((0..columns).map(|at| cell(row.get_ref(at).unwrap())).collect::<Vec<_>>().join("|")));
    found.unwrap().collect::<Result<_, _>>().unwrap()
}

/// What the database itself says of its tables, whatever the order in which things came to it.
fn catalog(connection: &Connection) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let schema = applied(connection).unwrap().unwrap();
    let checks: Vec<&str> =
        schema.tables.iter().flat_map(|table| &table.checks).map(|check| check.name.as_str()).collect();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_undergird%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'";
    for table in rows(connection, tables) {
        let about = [
            format!("SELECT 'column', name, type, \"notnull\", dflt_value, pk > 0 FROM pragma_table_xinfo('{table}')"),
            format!(
                "SELECT 'reference', \"from\", \"table\", \"to\", on_delete FROM pragma_foreign_key_list('{table}')"
            ),
            format!(
                "SELECT 'index', l.name, l.\"unique\", l.origin, l.partial, (SELECT group_concat(coalesce(x.name, '-') || x.desc || x.coll) FROM \
                 pragma_index_xinfo(l.name) x) FROM pragma_index_list('{table}') l WHERE l.origin = 'c'"
            ),
        ];
        for sql in about {
            found.extend(rows(connection, &sql).into_iter().map(|row| format!("{table}: {row}")));
        }
        let text = rows(connection, &format!("SELECT sql FROM sqlite_schema WHERE name = '{table}'")).join("");
        for (at, _) in text.match_indices("CONSTRAINT ") {
            // To the parenthesis that ends it.
            let rest = &text[at..];
            let Some(check) = rest.find("CHECK (").filter(|check| !rest[..*check].contains("REFERENCES")) else {
                continue;
            };
            let mut depth = 0;
            let end = rest[check..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0 && c == ')'
            });
            let (named, test) = (&rest[..check], &rest[check..check + end.unwrap()]);
            // The check of a type's form keeps its first name when its column or table is renamed, until the table is rebuilt.
            let named = if checks.iter().any(|name| named.contains(&format!("\"{name}\""))) { named } else { "" };
            found.insert(format!("{table}: {named}{test}"));
        }
        found.insert(format!("{table}: strict {}", text.contains("STRICT")));
    }
    found
}

/// Says what differs, not all that there is.
fn same(found: &BTreeSet<String>, wanted: &BTreeSet<String>, shown: impl Fn() -> String) {
    let (more, less) = (found.difference(wanted), wanted.difference(found));
    assert!(
        found == wanted,
        "more: {:#?}\nless: {:#?}\n{}",
        more.collect::<Vec<_>>(),
        less.collect::<Vec<_>>(),
        shown()
    );
}

/// Runs one pair. Gives whether the rows allowed it.
fn check(number: u64, pair: &Pair) -> bool {
    let shown = || format!("pair {number}\n{}\n=>\n{}", pair.definitions.0, pair.definitions.1);
    let mut connection = open();
    apply(&mut connection, &pair.first).unwrap_or_else(|error| panic!("{error}\n{}", shown()));
    for row in &pair.rows {
        connection.execute(row, []).unwrap_or_else(|error| panic!("{row}: {error}\n{}", shown()));
    }
    let (was, origin) = (catalog(&connection), applied(&connection).unwrap().unwrap());
    let before: Vec<_> = pair.kept.iter().map(|(before, _)| rows(&connection, before)).collect();
    match apply(&mut connection, &pair.second) {
        Ok(_) => {}
        Err(StoreError::SchemaMismatch(_)) => {
            same(&catalog(&connection), &was, shown);
            return false;
        }
        Err(error) => panic!("{error}\n{}", shown()),
    }
    let now = applied(&connection).unwrap().unwrap();
    assert_eq!(now.fingerprint(), pair.wanted.fingerprint(), "{}\n{}", difference(&now, &pair.wanted), shown());
    let mut direct = open();
    apply(&mut direct, &pair.direct).unwrap();
    same(&catalog(&connection), &catalog(&direct), shown);
    for ((_, after), before) in pair.kept.iter().zip(before) {
        assert_eq!(rows(&connection, after), before, "{after}\n{}", shown());
    }
    assert_eq!(rows(&connection, "PRAGMA foreign_key_check"), [""; 0], "{}", shown());
    assert_eq!(rows(&connection, "PRAGMA integrity_check"), ["ok"], "{}", shown());
    if let Some(back) = &pair.back {
        match apply(&mut connection, back) {
            Ok(_) => {
                assert_eq!(applied(&connection).unwrap().unwrap().fingerprint(), origin.fingerprint(), "{}", shown());
                same(&catalog(&connection), &was, shown);
            }
            Err(StoreError::SchemaMismatch(_)) => {}
            Err(error) => panic!("{error}\n{}", shown()),
        }
    }
    true
}

#[test]
fn planned_migrations_lead_where_the_definition_does() {
    let count = std::env::var("UNDERGIRD_TEST_PAIRS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    let (mut tried, mut taken) = (0, 0);
    for number in 1..=count {
        let Some(pair) = pair(number, &WORDS) else { continue };
        tried += 1;
        taken += u64::from(check(number, &pair));
    }
    assert!(tried * 10 > count * 7 && taken * 2 > tried, "{taken} of {tried} of {count} were taken");
    println!("{taken} of {tried} of {count} pairs were taken");
}
