//! Every kind of value, there and back.

use super::{database, rows, statement, transact};
use std::borrow::Cow;
use undergird_model::field_type::wire;
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_store::{Bound, Connection, Dialect, Isolation, Statement, StoreError};
use uuid::Uuid;

fn all() -> Vec<(Kind, &'static str, Vec<Value>)> {
    let decimal = |unscaled, scale| Value::Decimal(Decimal { unscaled, scale });
    // The first and the last microsecond of the years 0001 to 9999.
    let (first, last) = (-62_135_596_800_000_000, 253_402_300_799_999_999);
    vec![
        (Kind::Bool, "tinyint(1)", vec![Value::Bool(true), Value::Bool(false)]),
        (Kind::Int, "bigint", [0, 1, -1, i64::MIN, i64::MAX].map(Value::Int).to_vec()),
        (Kind::Float, "double", [0.0, 0.1, -1.5e-300, f64::MAX, f64::MIN_POSITIVE].map(Value::float).to_vec()),
        (
            Kind::Decimal { precision: 18, scale: 2 },
            "decimal(18,2)",
            [0, 1, -1, 99, 100, 10_000, 1_000_000, 999_999_999_999_999_999, -999_999_999_999_999_999]
                .map(|n| decimal(n, 2))
                .to_vec(),
        ),
        (
            Kind::Decimal { precision: 18, scale: 18 },
            "decimal(18,18)",
            [0, 1, -1, 999_999_999_999_999_999].map(|n| decimal(n, 18)).to_vec(),
        ),
        (Kind::Decimal { precision: 5, scale: 0 }, "decimal(5,0)", [0, 7, -99_999].map(|n| decimal(n, 0)).to_vec()),
        (
            Kind::Text,
            "longtext",
            ["", "a", "A", "a ", "'\"\\", "é😀\u{7f}\u{1}\n", "NULL", "?:a"].map(Value::text).to_vec(),
        ),
        (Kind::Uuid, "binary(16)", [Uuid::nil(), Uuid::max(), Uuid::from_u128(7)].map(Value::Uuid).to_vec()),
        (Kind::Timestamp, "datetime(6)", [0, -1, 1, first, last, 946_684_800_000_000].map(Value::Timestamp).to_vec()),
        (Kind::Date, "date", [0, -1, 10_957, -719_162, 2_932_896].map(Value::Date).to_vec()),
        (Kind::Time, "time(6)", [0, 1, 86_399_999_999].map(Value::Time).to_vec()),
        (
            Kind::Json,
            "longtext",
            [r#"{"a":[1,2.50,null],"b c":" x, y: \"z\" \\"}"#, "[]", "{}", "null", "\"\"", "1.10", "1e400", "true"]
                .map(|text| Value::Json(text.into()))
                .to_vec(),
        ),
        (Kind::Bytes, "longblob", vec![Value::Bytes(vec![]), Value::Bytes((0..=255).collect())]),
    ]
}

/// Lists and JSON come as JSON, so that is how both sides are compared.
fn told(value: &Value) -> String {
    wire::to_json(value)
}

/// A statement with parameters written as the dialect writes them.
fn written(text: &str, parameters: &[Type], columns: &[Type]) -> Statement {
    let mut text = text.to_owned();
    for (at, ty) in parameters.iter().enumerate() {
        let parameter = crate::DIALECT.parameter(at + 1, *ty).replace(&undergird_store::sql::marker(at + 1), "?");
        text = text.replacen('?', &format!("\u{1}{parameter}\u{1}").replace('?', "\u{2}"), 1);
    }
    let text = text.replace('\u{1}', "").replace('\u{2}', "?");
    let writes = text.starts_with("INSERT");
    statement(&text, columns, writes)
}

async fn check(connection: &mut dyn Connection) -> Result<Vec<String>, StoreError> {
    let mut different = Vec::new();
    for (number, (kind, _, values)) in all().into_iter().enumerate() {
        let (scalar, list) = (Type::Scalar(kind), Type::List(kind));
        let mut compare = |what: &str, expected: String, got: String| {
            if expected != got {
                different.push(format!("{kind:?} {what}: expected {expected}, got {got}"));
            }
        };
        let insert = written(&format!("INSERT INTO t{number} (n, v) VALUES (?, ?)"), &[Type::INT, scalar], &[]);
        let select = written(&format!("SELECT v FROM t{number} WHERE n = ?"), &[Type::INT], &[scalar]);
        for (n, value) in (0..).zip(values.iter().chain([&Value::Null])) {
            let n = Bound::Value(Type::INT, Cow::Owned(Value::Int(n)));
            rows(connection, &insert, vec![n.clone(), Bound::Value(scalar, Cow::Borrowed(value))]).await?;
            let got = rows(connection, &select, vec![n]).await?;
            compare("stored", told(value), told(&got[0][0]));
        }
        if kind != Kind::Json {
            // As a filter asks: by the column, with one value, and with a list of candidates.
            let by_one = written(&format!("SELECT n FROM t{number} WHERE v = ?"), &[scalar], &[Type::INT]);
            let member = crate::DIALECT.in_parameter("v", "?", scalar);
            let by_list = statement(&format!("SELECT n FROM t{number} WHERE {member} ORDER BY n"), &[Type::INT], false);
            for (n, value) in (0..).zip(&values) {
                let expected = Value::Int(n);
                let found = rows(connection, &by_one, vec![Bound::Value(scalar, Cow::Borrowed(value))]).await?;
                compare("found", told(&expected), found.iter().map(|row| told(&row[0])).collect::<Vec<_>>().join(" "));
                for ty in [scalar, list] {
                    let items = std::slice::from_ref(value);
                    let found = rows(connection, &by_list, vec![Bound::List(ty, Cow::Borrowed(items))]).await?;
                    let found: Vec<String> = found.iter().map(|row| told(&row[0])).collect();
                    compare(&format!("listed {}", told(value)), told(&expected), found.join(" "));
                }
            }
            let all = rows(connection, &by_list, vec![Bound::List(list, Cow::Borrowed(&values))]).await?;
            compare("listed", values.len().to_string(), all.len().to_string());
            let none = rows(connection, &by_list, vec![Bound::List(list, Cow::Borrowed(&[]))]).await?;
            compare("listed", "0".into(), none.len().to_string());
        }
        let bare = statement("SELECT CONVERT(? USING utf8mb4)", &[list], false);
        for items in [values.clone(), Vec::new()] {
            let value = Value::List(items);
            let got = rows(connection, &bare, vec![Bound::Value(list, Cow::Borrowed(&value))]).await?;
            compare("list", told(&value), told(&got[0][0]));
        }
    }
    Ok(different)
}

#[tokio::test]
async fn every_kind_there_and_back() {
    let Some(database) = database().await else { return };
    for (number, (_, ty, _)) in all().into_iter().enumerate() {
        let text = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin";
        database.execute(&[&format!("CREATE TABLE t{number} (n bigint, v {ty}) {text}")]).await;
    }
    let store = database.open().await;
    let different = transact::<Vec<String>, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move { super::commit(check(connection).await?) })
    })
    .await
    .unwrap();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test]
async fn what_expressions_and_aggregates_give() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let decimal = |scale| Type::Scalar(Kind::Decimal { precision: 18, scale });
    let (time, date, float) = (Type::Scalar(Kind::Time), Type::Scalar(Kind::Date), Type::FLOAT);
    let cases: Vec<(&str, Type, &str)> = vec![
        ("7", Type::INT, "7"),
        ("SUM(x) FROM (SELECT 1 AS x UNION SELECT 9) AS t", Type::INT, "10"),
        ("CAST(18446744073709551615 AS UNSIGNED)", Type::INT, "null"),
        ("CAST(7 AS UNSIGNED)", Type::INT, "7"),
        ("1 = 1", Type::BOOL, "true"),
        ("0.1", float, "0.1"),
        ("7", float, "7"),
        ("-0e0", float, "0"),
        ("1.50", decimal(1), "1.5"),
        ("1.55", decimal(1), "null"),
        ("-1.5", decimal(3), "-1.500"),
        ("12", decimal(2), "12.00"),
        ("TIMESTAMP'1970-01-01 00:00:01'", Type::TIMESTAMP, "\"1970-01-01T00:00:01+00:00\""),
        ("TIMESTAMP'1970-01-02 00:00:01'", date, "\"1970-01-02\""),
        ("TIME'00:00:01.5'", time, "\"00:00:01.5\""),
        ("TIME'-00:00:01'", time, "null"),
        ("TIME'24:00:00'", time, "null"),
        ("1", Type::TEXT, "null"),
        ("NULL", Type::TEXT, "null"),
        ("X'00'", Type::UUID, "null"),
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
async fn the_identity_that_the_database_made() {
    let Some(database) = database().await else { return };
    database.execute(&["CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, n bigint)"]).await;
    let store = database.open().await;
    let made = transact::<Vec<Value>, _>(&store, Isolation::Committed, |connection| {
        Box::pin(async move {
            let mut insert = statement("INSERT INTO t (n) VALUES (5)", &[Type::INT], true);
            insert.identity = true;
            let mut made = Vec::new();
            for _ in 0..2 {
                made.extend(rows(connection, &insert, vec![]).await?.into_iter().flatten());
            }
            super::commit(made)
        })
    });
    assert_eq!(made.await.unwrap(), [Value::Int(1), Value::Int(2)]);
}
