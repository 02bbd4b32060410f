//! Every kind of value, there and back.

use super::{count, database, rows, statement, transact};
use std::borrow::Cow;
use undergird_model::field_type::wire;
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_plan::Cell;
use undergird_store::run::cell_value;
use undergird_store::{Bound, Flow, Isolation, Store};
use uuid::Uuid;

fn all() -> Vec<(Kind, &'static str, Vec<Value>)> {
    let decimal = |unscaled, scale| Value::Decimal(Decimal { unscaled, scale });
    // The first and the last microsecond of the years 0001 to 9999.
    let (first, last) = (-62_135_596_800_000_000, 253_402_300_799_999_999);
    vec![
        (Kind::Bool, "boolean", vec![Value::Bool(true), Value::Bool(false)]),
        (Kind::Int, "bigint", [0, 1, -1, i64::MIN, i64::MAX].map(Value::Int).to_vec()),
        (
            Kind::Float,
            "double precision",
            [0.0, 0.1, -1.5e-300, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY]
                .map(Value::float)
                .to_vec(),
        ),
        (
            Kind::Decimal { precision: 18, scale: 2 },
            "numeric",
            [0, 1, -1, 99, 100, 10_000, 1_000_000, 999_999_999_999_999_999, -999_999_999_999_999_999]
                .map(|n| decimal(n, 2))
                .to_vec(),
        ),
        (
            Kind::Decimal { precision: 18, scale: 18 },
            "numeric",
            [0, 1, -1, 999_999_999_999_999_999].map(|n| decimal(n, 18)).to_vec(),
        ),
        (Kind::Decimal { precision: 5, scale: 0 }, "numeric", [0, 7, -99_999].map(|n| decimal(n, 0)).to_vec()),
        (Kind::Text, "text", ["", "a", "'\"\\", "é😀\u{7f}\u{1}\n", "NULL"].map(Value::text).to_vec()),
        (Kind::Uuid, "uuid", [Uuid::nil(), Uuid::max(), Uuid::from_u128(7)].map(Value::Uuid).to_vec()),
        (Kind::Timestamp, "timestamptz", [0, -1, 1, first, last, 946_684_800_000_000].map(Value::Timestamp).to_vec()),
        (Kind::Date, "date", [0, -1, 10_957, -719_162, 2_932_896].map(Value::Date).to_vec()),
        (Kind::Time, "time", [0, 1, 86_399_999_999].map(Value::Time).to_vec()),
        (
            Kind::Json,
            "jsonb",
            [
                r#"{"a":[1,2.50,null],"b c":" x, y: \"z\" \\"}"#,
                "[]",
                "{}",
                "null",
                "\"\"",
                "1.10",
                "true",
                r#""\u0001""#,
            ]
            .map(|text| Value::Json(text.into()))
            .to_vec(),
        ),
        (Kind::Bytes, "bytea", vec![Value::Bytes(vec![]), Value::Bytes((0..=255).collect())]),
    ]
}

/// Lists and JSON come as JSON, so that is how both sides are compared.
fn told(value: &Value) -> String {
    wire::to_json(value)
}

#[tokio::test]
async fn every_kind_there_and_back() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let different = transact::<Vec<String>, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            let mut different = Vec::new();
            let mut compare = |what: &str, expected: String, got: String| {
                if expected != got {
                    different.push(format!("{what}: expected {expected}, got {got}"));
                }
            };
            for (kind, name, values) in all() {
                let (scalar, list) = (Type::Scalar(kind), Type::List(kind));
                let one = statement(&format!("SELECT $1::{name}"), &[scalar], false);
                for value in values.iter().chain([&Value::Null]) {
                    let got = rows(connection, &one, vec![Bound::Value(scalar, Cow::Borrowed(value))]).await?;
                    compare(name, told(value), told(&got[0][0]));
                }
                let many = statement(&format!("SELECT $1::{name}[]"), &[list], false);
                for items in [values.clone(), Vec::new()] {
                    let value = Value::List(items);
                    let got = rows(connection, &many, vec![Bound::Value(list, Cow::Borrowed(&value))]).await?;
                    compare(name, told(&value), told(&got[0][0]));
                }
                let got = rows(connection, &many, vec![Bound::Value(list, Cow::Owned(Value::Null))]).await?;
                compare(name, "null".into(), told(&got[0][0]));
                // Bound as a list of candidates, by the element's type and by the list's.
                let spread = format!("SELECT x FROM unnest($1::{name}[]) WITH ORDINALITY AS u(x, n) ORDER BY n");
                let spread = statement(&spread, &[scalar], false);
                for ty in [scalar, list] {
                    let got = rows(connection, &spread, vec![Bound::List(ty, Cow::Borrowed(&values))]).await?;
                    let expected: Vec<String> = values.iter().map(told).collect();
                    compare(
                        name,
                        expected.join(" "),
                        got.iter().map(|row| told(&row[0])).collect::<Vec<_>>().join(" "),
                    );
                    let none = rows(connection, &spread, vec![Bound::List(ty, Cow::Borrowed(&[]))]).await?;
                    compare(name, "0".into(), none.len().to_string());
                }
            }
            super::commit(different)
        })
    })
    .await
    .unwrap();
    assert!(different.is_empty(), "{}", different.join("\n"));
    store.close().await;
}

#[tokio::test]
async fn what_adopted_tables_and_aggregates_give() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    database.execute(&["CREATE TYPE mood AS ENUM ('sad', 'glad')", "CREATE DOMAIN small AS int"]).await;
    let decimal = |scale| Type::Scalar(Kind::Decimal { precision: 18, scale });
    let time = Type::Scalar(Kind::Time);
    let date = Type::Scalar(Kind::Date);
    let float = Type::FLOAT;
    let cases: Vec<(&str, Type, &str)> = vec![
        ("7::int", Type::INT, "7"),
        ("(-7)::smallint", Type::INT, "-7"),
        ("7::small", Type::INT, "7"),
        ("sum(x)::numeric FROM generate_series(1::bigint, 4) AS x", Type::INT, "10"),
        ("99999999999999999999::numeric", Type::INT, "null"),
        ("1.5::numeric", Type::INT, "null"),
        ("1200::numeric", Type::INT, "1200"),
        ("1.5::real", float, "1.5"),
        ("'NaN'::float8", float, "null"),
        ("'-0'::float8", float, "0"),
        ("0.1::numeric", float, "0.1"),
        ("7::int", float, "7"),
        ("1.005::numeric", decimal(2), "1.01"),
        ("-1.005::numeric", decimal(2), "-1.01"),
        ("1e-30::numeric", decimal(2), "0.00"),
        ("1e30::numeric", decimal(2), "null"),
        ("'NaN'::numeric", decimal(2), "null"),
        ("123456789012345678901234567890.123456789012345678901234567890::numeric", decimal(2), "null"),
        ("12::int", decimal(2), "12.00"),
        ("'glad'::mood", Type::TEXT, "\"glad\""),
        ("'ab'::varchar(5)", Type::TEXT, "\"ab\""),
        ("'{\"a\" : [1,  2]}'::json", Type::JSON, "{\"a\":[1,2]}"),
        ("'infinity'::timestamptz", Type::TIMESTAMP, "null"),
        ("'-infinity'::timestamptz", Type::TIMESTAMP, "null"),
        ("'1970-01-01 00:00:01'::timestamp", Type::TIMESTAMP, "\"1970-01-01T00:00:01+00:00\""),
        ("'infinity'::date", date, "null"),
        ("'-infinity'::date", date, "null"),
        ("'24:00'::time", time, "\"00:00:00\""),
        ("1::bigint", Type::TEXT, "null"),
        ("NULL::text", Type::TEXT, "null"),
        ("ARRAY[1, NULL, 3]::int[]", Type::List(Kind::Int), "[1,null,3]"),
        ("ARRAY[[1, 2], [3, 4]]", Type::List(Kind::Int), "[1,2,3,4]"),
        ("'[1, \"a b\"]'::jsonb", Type::List(Kind::Text), "[1,\"a b\"]"),
        ("'2000-01-01'::timestamptz::text", Type::TEXT, "\"2000-01-01 00:00:00+00\""),
    ];
    let different = transact::<Vec<String>, _>(&store, Isolation::Snapshot, move |connection| {
        let cases = cases.clone();
        Box::pin(async move {
            let mut different = Vec::new();
            for (expression, ty, expected) in cases {
                let statement = statement(&format!("SELECT {expression}"), &[ty], false);
                let got = told(&rows(connection, &statement, vec![]).await?[0][0]);
                if got != expected {
                    different.push(format!("{expression}: expected {expected}, got {got}"));
                }
            }
            super::commit(different)
        })
    })
    .await
    .unwrap();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test]
async fn a_row_of_many_cells_is_lent_whole() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    transact::<(), _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            let statement = statement(
                "SELECT n, jsonb_build_object('n', n), 'x', ARRAY[n], NULL::jsonb FROM generate_series(1, 3) AS n",
                &[Type::INT, Type::JSON, Type::TEXT, Type::List(Kind::Int), Type::JSON],
                false,
            );
            let mut seen = 0;
            connection
                .query(&statement, vec![], &mut |row| {
                    seen += 1;
                    assert_eq!(row.cell(0), Cell::Int(seen));
                    assert_eq!(row.cell(1), Cell::Json(&format!("{{\"n\":{seen}}}")));
                    assert_eq!(row.cell(2), Cell::Text("x"));
                    assert_eq!(row.cell(3), Cell::List(&format!("[{seen}]")));
                    assert_eq!(row.cell(4), Cell::Null);
                    assert_eq!(cell_value(row.cell(5)), Value::Null);
                    Flow::Continue
                })
                .await?;
            assert_eq!(count(connection, "SELECT 1").await?, 1);
            // A value of another kind than the parameter's is told, not sent.
            let wrong = super::statement("SELECT $1::bigint", &[Type::INT], false);
            let told = rows(connection, &wrong, vec![Bound::Value(Type::INT, Cow::Owned(Value::text("x")))]).await;
            assert!(told.unwrap_err().to_string().contains("does not fit"));
            super::commit(())
        })
    })
    .await
    .unwrap_err();
}
