//! Values at the edges of their types, few enough that equal ones meet.

use super::Dice;
use undergird_model::field_type::calendar::{DATE_MAX, DATE_MIN, DAY_MICROS, TIMESTAMP_MAX, TIMESTAMP_MIN};
use undergird_model::field_type::json::canonical_text;
use undergird_model::{Decimal, Kind, Type, Value};

/// Texts: empty, astral, combining, cased beyond ASCII, with the wildcards and the forms that conversions read.
pub(super) const TEXTS: [&str; 52] = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "abc",
    "aa",
    "a b",
    " a ",
    "\ta\n",
    "\u{a0}a",
    "é",
    "e\u{301}",
    "É",
    "ß",
    "ẞ",
    "ı",
    "İ",
    "ſ",
    "😀",
    "😀a",
    "\u{10ffff}",
    "\u{ffff}",
    "\u{fffd}",
    "%",
    "_",
    "a%",
    "\\",
    "a\\",
    "'",
    "\"",
    "0",
    "1",
    "-1",
    "+1",
    "01",
    "1.5",
    "1e3",
    " 1",
    "9223372036854775808",
    "true",
    "t",
    "no",
    "null",
    "{}",
    "[1,\"a\"]",
    "2000-02-29",
    "2000-02-29T12:00:00.5+01:00",
    "12:34:56",
    "00000000-0000-0000-0000-00000000000a",
    "-1.5h",
];

/// Patterns of `LIKE` and regular ones, some malformed as either.
pub(super) const PATTERNS: [&str; 24] = [
    "", "%", "a%", "%a", "%a%", "_", "__", "a_", "%_b%", "\\%", "a\\", "É", "e_", "%😀%", "^a", "a$", "[a-c]+", "(",
    "a|b", "^$", "\\d", "(?i)ab", ".", "\\",
];

/// JSON as somebody may write it; a value has its canonical form, as only that comes into a store.
const JSONS: [&str; 34] = [
    "[1e2,\"\\u0041\",{\"a\":1,\"a\":2},-0]",
    "null",
    "true",
    "false",
    "0",
    "-0.0",
    "1",
    "1.0",
    "-1",
    "1.5",
    "1e0",
    "1e400",
    "9007199254740993",
    "9007199254740993.5",
    "0.1",
    "\"\"",
    "\"a\"",
    "\"A\"",
    "\"1\"",
    "\"😀\"",
    "\"e\\u0301\"",
    "\"true\"",
    "\"2000-02-29\"",
    "\"00000000-0000-0000-0000-00000000000a\"",
    "[]",
    "[1]",
    "[1,2]",
    "[2,1.0,\"a\"]",
    "[[1],null]",
    "{}",
    "{\"a\":1}",
    "{\"a\":{\"b\":[1,\"a\"]},\"b\":null}",
    "{\"b\":null,\"a\":{\"b\":[1.0,\"a\"]}}",
    "{\"\":\"a\",\"1\":[]}",
];

const INTS: [i64; 20] = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    7,
    10,
    59,
    60,
    1 << 31,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    -(1 << 53) - 1,
    951_782_400,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
];

const FLOATS: [f64; 26] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    2.5,
    -2.5,
    0.1,
    -0.1,
    0.5,
    2.0,
    3.0,
    1e15,
    1e17,
    1e21,
    1e-7,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    9_223_372_036_854_775_807.0,
    -9_223_372_036_854_775_808.0,
    1e300,
    -1e300,
    f64::MAX,
    f64::MIN_POSITIVE,
    5e-324,
    1234.56,
];

const TIMESTAMPS: [i64; 14] = [
    0,
    1,
    -1,
    -1_000_000,
    999_999,
    951_782_400_000_000,
    951_782_400_000_000,
    951_782_400_500_000,
    1_795_383_273_123_456,
    -2_208_988_800_000_001,
    TIMESTAMP_MIN,
    TIMESTAMP_MIN + 1,
    TIMESTAMP_MAX,
    TIMESTAMP_MAX - 999_999,
];

const DURATIONS: [i64; 12] = [
    0,
    1,
    -1,
    1_500,
    1_000_000,
    -1_500_000,
    3_600_000_000,
    -5_400_000_001,
    DAY_MICROS,
    i64::MAX,
    i64::MIN,
    TIMESTAMP_MAX,
];

/// A value of a type. Never null: whoever wants nulls adds them.
pub fn value(dice: &mut Dice, ty: Type) -> Value {
    match ty {
        Type::Null => Value::Null,
        Type::Duration => Value::Duration(*dice.pick(&DURATIONS)),
        Type::List(kind) => Value::List((0..dice.below(4)).map(|_| scalar(dice, kind)).collect()),
        Type::Scalar(kind) => scalar(dice, kind),
    }
}

fn scalar(dice: &mut Dice, kind: Kind) -> Value {
    match kind {
        Kind::Bool => Value::Bool(dice.below(2) == 0),
        Kind::Int => Value::Int(match dice.below(4) {
            0 => dice.below(5) as i64,
            // Where doubles begin to miss ints.
            1 => (1 << 53) - 1 + dice.below(4) as i64,
            _ => *dice.pick(&INTS),
        }),
        Kind::Float => Value::float(match dice.below(4) {
            0 => 9_007_199_254_740_992.0 + 2.0 * dice.below(2) as f64,
            _ => *dice.pick(&FLOATS),
        }),
        Kind::Decimal { precision, scale } => {
            let most = 10i64.pow(u32::from(precision)) - 1;
            let one = 10i64.checked_pow(u32::from(scale)).filter(|one| *one <= most).unwrap_or(most);
            let unscaled = *dice.pick(&[0, 1, -1, one, -one, one / 2, one / 10, most, -most, 15, 250]);
            Value::Decimal(Decimal { unscaled: unscaled.clamp(-most, most), scale })
        }
        Kind::Text => Value::text(*dice.pick(&TEXTS)),
        Kind::Uuid => Value::Uuid(uuid::Uuid::from_u128(match dice.below(4) {
            0 => u128::MAX,
            _ => dice.below(12) as u128,
        })),
        Kind::Timestamp => Value::Timestamp(*dice.pick(&TIMESTAMPS)),
        Kind::Date => Value::Date(*dice.pick(&[0, -1, 1, 11_016, 11_016, 20_779, DATE_MIN, DATE_MAX])),
        Kind::Time => Value::Time(*dice.pick(&[0, 1, 45_296_000_000, 45_296_500_000, DAY_MICROS - 1])),
        Kind::Json => Value::Json(canonical_text(dice.pick::<&str>(&JSONS)).unwrap_or_else(|| "null".into())),
        Kind::Bytes => Value::Bytes(dice.pick(&[&b""[..], b"a", b"\0", b"\xff\xfe", b"abc", b"\x80"]).to_vec()),
    }
}
