//! What functions give, as data.
#![allow(clippy::unwrap_used)]

use super::*;
use Function as F;
use undergird_model::expr::{Arithmetic, Comparison};
use undergird_model::{Decimal, Kind};

fn text(text: &str) -> Value {
    Value::text(text)
}
fn json(text: &str) -> Value {
    Value::Json(text.into())
}
fn ints(numbers: &[i64]) -> Value {
    Value::List(numbers.iter().map(|number| Value::Int(*number)).collect())
}
fn decimal(unscaled: i64, scale: u8) -> Value {
    Value::Decimal(Decimal { unscaled, scale })
}
const NULL: Value = Value::Null;
const TRUE: Value = Value::Bool(true);
const FALSE: Value = Value::Bool(false);

fn check(cases: &[(F, &[Value], Value)]) {
    for (function, arguments, expected) in cases {
        assert_eq!(call(*function, Type::Null, arguments), *expected, "{function:?} {arguments:?}");
    }
}

#[test]
fn texts() {
    check(&[
        (F::Contains, &[text("abc"), text("")], TRUE),
        (F::Contains, &[text("abc"), NULL], NULL),
        (F::StartsWith, &[text("😀a"), text("😀")], TRUE),
        (F::TextSize, &[text("e\u{301}😀")], Value::Int(3)),
        (F::UpperAscii, &[text("aé")], text("Aé")),
        (F::Trim, &[text("\t\u{b} a\u{a0} \n")], text("a\u{a0}")),
        (F::Matches, &[text("abc"), text("^a.c$")], TRUE),
        (F::Matches, &[text("abc"), text("(")], NULL),
        (F::Matches, &[text("abc"), text("\\pL{1000}{1000}")], NULL),
        (F::Matches, &[text(&"a".repeat(50_000)), text("(a+)+$b")], FALSE),
        (F::MatchesInsensitive, &[text("ABC"), text("b")], TRUE),
        (F::Like, &[text("abc"), text("a\\")], NULL),
        (F::Contains, &[Value::Int(1), text("")], NULL),
        (F::Contains, &[], NULL),
    ]);
}

#[test]
fn times() {
    // 1969-12-31T23:59:59.999999Z, a Wednesday.
    let before = || Value::Timestamp(-1);
    let span = || Value::Duration(-5_400_500_000);
    check(&[
        (F::Year, &[before()], Value::Int(1969)),
        (F::Month, &[before()], Value::Int(11)),
        (F::Day, &[before()], Value::Int(31)),
        (F::DayOfMonth, &[before()], Value::Int(30)),
        (F::DayOfWeek, &[before()], Value::Int(3)),
        (F::DayOfYear, &[before()], Value::Int(364)),
        (F::Hours, &[before()], Value::Int(23)),
        (F::Milliseconds, &[before()], Value::Int(999)),
        (F::ToInt, &[before()], Value::Int(-1)),
        (F::ToDate, &[before()], Value::Date(-1)),
        (F::ToText, &[before()], text("1969-12-31T23:59:59.999999+00:00")),
        (F::Hours, &[span()], Value::Int(-1)),
        (F::Minutes, &[span()], Value::Int(-90)),
        (F::Milliseconds, &[span()], Value::Int(-500)),
        (F::Year, &[span()], NULL),
        (F::Year, &[Value::Timestamp(i64::MIN)], Value::Int(-290_308)),
        (F::ToTimestamp, &[text("2000-01-01T01:00:00+01:00")], Value::Timestamp(946_684_800_000_000)),
        (F::ToTimestamp, &[text("yesterday")], NULL),
        (F::ToTimestamp, &[Value::Int(i64::MAX)], NULL),
        (F::ToDuration, &[text("1h30m")], Value::Duration(5_400_000_000)),
        (F::ToDuration, &[text("-1.5s")], Value::Duration(-1_500_000)),
        (F::ToDuration, &[text("1500ns")], Value::Duration(1)),
        (F::ToDuration, &[text(".5ms3µs")], Value::Duration(503)),
        (F::ToDuration, &[text("9999999999999h")], NULL),
        (F::ToDuration, &[text("87660001h")], NULL),
        (F::ToDuration, &[text("5")], NULL),
        (F::ToDuration, &[text("0")], Value::Duration(0)),
        (F::ToDuration, &[text("")], NULL),
        (F::ToDuration, &[text(".s")], NULL),
    ]);
}

#[test]
fn conversions() {
    check(&[
        (F::ToInt, &[Value::float(-1.9)], Value::Int(-1)),
        (F::ToInt, &[Value::float(9.3e18)], NULL),
        (F::ToInt, &[Value::float(-9_223_372_036_854_775_808.0)], Value::Int(i64::MIN)),
        (F::ToInt, &[decimal(-199, 2)], Value::Int(-1)),
        (F::ToInt, &[text("+7")], Value::Int(7)),
        (F::ToInt, &[text(" 7")], NULL),
        (F::ToInt, &[json("1.5")], Value::Int(1)),
        (F::ToInt, &[json("[1]")], NULL),
        (F::ToFloat, &[text("1e400")], NULL),
        (F::ToFloat, &[text("inf")], NULL),
        (F::ToFloat, &[decimal(1, 1)], Value::float(0.1)),
        (F::ToText, &[Value::float(1.0)], text("1")),
        (F::ToText, &[decimal(-5, 2)], text("-0.05")),
        (F::ToText, &[json("\"a\"")], text("a")),
        (F::ToText, &[json("null")], NULL),
        (F::ToText, &[json("\"\\u0000\"")], NULL),
        (F::ToBool, &[text("True")], TRUE),
        (F::ToBool, &[text("tRUE")], NULL),
        (F::ToBool, &[Value::Int(0)], FALSE),
        (F::ToUuid, &[text("x")], NULL),
    ]);
    let casts: &[(Kind, Value, Value)] = &[
        (Kind::Int, Value::float(2.5), Value::Int(2)),
        (Kind::Int, decimal(-25, 1), Value::Int(-3)),
        (Kind::Int, json("9223372036854775806.5"), Value::Int(i64::MAX)),
        (Kind::Int, json("\"1\""), NULL),
        (Kind::Text, json("\"a\""), text("\"a\"")),
        (Kind::Json, text("{ \"a\": 1.0 }"), json("{\"a\":1.0}")),
        (Kind::Json, text("{"), NULL),
        (Kind::Json, ints(&[1]), json("[1]")),
        (Kind::Decimal { precision: 3, scale: 1 }, text("1.25"), decimal(13, 1)),
        (Kind::Decimal { precision: 3, scale: 1 }, decimal(100, 0), NULL),
        (Kind::Decimal { precision: 3, scale: 1 }, Value::float(f64::INFINITY), NULL),
        (Kind::Bool, text("yes"), TRUE),
        (Kind::Time, Value::Timestamp(-1), Value::Time(86_399_999_999)),
        (Kind::Timestamp, Value::Date(1), Value::Timestamp(86_400_000_000)),
        (Kind::Uuid, Value::Int(1), NULL),
    ];
    for (kind, value, expected) in casts {
        assert_eq!(call(F::Cast, Type::Scalar(*kind), std::slice::from_ref(value)), *expected, "{kind:?} {value:?}");
    }
    assert_eq!(call(F::Cast, Type::List(Kind::Int), &[json("[1,\"2\"]")]), ints(&[1, 2]));
}

#[test]
fn json_and_lists() {
    check(&[
        (F::JsonGet, &[json("{\"a\":[1,2]}"), text("a")], json("[1,2]")),
        (F::JsonGet, &[json("[1,null]"), Value::Int(-1)], json("null")),
        (F::JsonGet, &[json("[1]"), Value::Int(-2)], NULL),
        (F::JsonGet, &[json("[1]"), Value::Int(i64::MIN)], NULL),
        (F::JsonGet, &[json("[1]"), text("0")], NULL),
        (F::JsonGetText, &[json("[1,null]"), Value::Int(1)], NULL),
        (F::JsonGetText, &[json("{\"a\":{\"b\":1e2}}"), text("a")], text("{\"b\":1e+2}")),
        (F::JsonPresent, &[NULL], FALSE),
        (F::JsonPresent, &[json("null")], FALSE),
        (F::JsonPresent, &[json("false")], TRUE),
        (F::JsonSize, &[json("\"é\"")], Value::Int(1)),
        (F::JsonSize, &[json("1")], NULL),
        (F::Covers, &[json("[\"a\",\"b\"]"), json("\"a\"")], TRUE),
        (F::Covers, &[json("[[1,2],3]"), json("[[1]]")], TRUE),
        (F::Covers, &[json("[[1,2],3]"), json("[1]")], FALSE),
        (F::Covers, &[json("{\"a\":{\"b\":1,\"c\":2}}"), json("{\"a\":{\"b\":1.0}}")], TRUE),
        (F::Covers, &[json("{\"a\":[1]}"), json("{\"a\":1}")], FALSE),
        (F::Covers, &[json("1"), json("[1]")], FALSE),
        (F::Covers, &[ints(&[3, 1, 2]), ints(&[1, 3, 3])], TRUE),
        (F::Covers, &[ints(&[1]), ints(&[])], TRUE),
        (F::Overlaps, &[ints(&[3, 1]), ints(&[2])], FALSE),
        (F::Overlaps, &[ints(&[3, 2, 1]), ints(&[9, 2])], TRUE),
        (F::Element, &[ints(&[5]), Value::Int(0)], Value::Int(5)),
        (F::Element, &[ints(&[5]), Value::Int(-1)], NULL),
    ]);
}

#[test]
fn comparisons() {
    let uuid = Value::Uuid(uuid::Uuid::nil());
    let equal: &[(Value, Value)] = &[
        (NULL, NULL),
        (Value::Int(1), decimal(10, 1)),
        (Value::float(-0.0), Value::Int(0)),
        (json("{\"a\":1,\"b\":[2.0]}"), json("{\"b\":[2],\"a\":1e0}")),
        (json("1.0"), Value::Int(1)),
        (json("\"a\""), text("a")),
        (json("\"00000000-0000-0000-0000-000000000000\""), uuid.clone()),
        (json("\"1970-01-01T00:00:00Z\""), Value::Timestamp(0)),
        (json("\"\\ud800\""), json("\"\\ud800\"")),
        (ints(&[]), ints(&[])),
    ];
    for (a, b) in equal {
        assert!(same(a, b) && same(b, a), "{a:?} {b:?}");
    }
    let apart: &[(Value, Value)] = &[
        (json("null"), NULL),
        (json("\"\\ud800\""), NULL),
        (json("\"1\""), Value::Int(1)),
        (json("\"x\""), uuid),
        (text("a"), Value::Int(1)),
        (Value::Int(9_007_199_254_740_993), Value::float(9_007_199_254_740_992.0)),
        (ints(&[1]), ints(&[1, 2])),
    ];
    for (a, b) in apart {
        assert!(!same(a, b) && !same(b, a), "{a:?} {b:?}");
        assert_eq!(compare(Comparison::NotEqual, a, b), !b.is_null());
    }
    assert!(compare(Comparison::Less, &text("\u{ffff}"), &text("😀")));
    assert!(compare(Comparison::Less, &ints(&[1, 9]), &ints(&[2])));
    assert!(!compare(Comparison::NotEqual, &NULL, &NULL));
    assert!(compare(Comparison::Greater, &Value::Int(2), &json("1")));
    assert!(!compare(Comparison::Less, &json("[1]"), &json("[2]")));
    assert!(compare(Comparison::LessOrEqual, &json("[1]"), &json("[1.0]")));
    assert!(within(&text("a"), &json("[\"b\",\"a\"]")));
    assert!(within(&text("a"), &json("{\"a\":1}")));
    assert!(!within(&NULL, &Value::List(vec![NULL])));
}

#[test]
fn sums() {
    use Arithmetic::*;
    let cases: &[(Arithmetic, Value, Value, Value)] = &[
        (Add, Value::Int(i64::MAX), Value::Int(1), NULL),
        (Divide, Value::Int(-7), Value::Int(2), Value::Int(-3)),
        (Divide, Value::Int(i64::MIN), Value::Int(-1), NULL),
        (Divide, Value::Int(1), Value::Int(0), NULL),
        (Remainder, Value::Int(i64::MIN), Value::Int(-1), Value::Int(0)),
        (Remainder, Value::Int(-7), Value::Int(2), Value::Int(-1)),
        (Remainder, Value::float(-7.5), Value::float(2.0), Value::float(-1.5)),
        (Divide, Value::float(1.0), Value::float(0.0), NULL),
        (Multiply, Value::float(1e200), Value::float(1e200), NULL),
        (Add, Value::Timestamp(0), Value::Duration(i64::MAX), NULL),
        (Subtract, Value::Timestamp(1), Value::Timestamp(3), Value::Duration(-2)),
        (Add, Value::Int(1), Value::float(1.0), NULL),
    ];
    for (operator, a, b, expected) in cases {
        assert_eq!(arithmetic(*operator, a, b), *expected, "{operator:?} {a:?} {b:?}");
    }
    assert_eq!(negate(&Value::Int(i64::MIN)), NULL);
}
