//! The model's types, constants and names in PostgreSQL's words.
//!
//! Types are PostgreSQL's own, so that other tools see what people mean: `timestamptz`, `numeric(8, 2)`, `jsonb`, arrays. What such a
//! type could hold beyond what the model's can (`infinity`, `NaN`, years of six digits, arrays of arrays) a check keeps out. Text is
//! `COLLATE "C"`: it compares and sorts by code point, as on every store. Absent: how values travel (the driver's), and queries.

use serde_json::value::RawValue;
use std::borrow::Cow;
use undergird_model::field_type::wire;
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_store::schema::{self, Column, Conversion, Literal};

/// The octets of a name that PostgreSQL keeps; it would cut off the rest without a word.
pub(crate) const NAME_OCTETS_MAX: usize = 63;

/// The first and the last year that dates and timestamps have.
const YEARS: [&str; 2] = ["0001-01-01", "9999-12-31"];

/// A name as PostgreSQL keeps it: what is too long is cut and ends with its hash, so that two long names stay two.
pub(crate) fn identifier(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_OCTETS_MAX {
        return Cow::Borrowed(name);
    }
    // FNV-1a: stable across versions and platforms, which `Hasher`s do not promise.
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut end = NAME_OCTETS_MAX - 9;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}_{hash:08x}", &name[..end]))
}

/// A quoted name. Names come from the checked model only.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", identifier(name).replace('"', "\"\""))
}

/// A text constant.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The type of a column.
pub(crate) fn storage(ty: Type) -> String {
    match ty {
        Type::Scalar(Kind::Text) => "text COLLATE \"C\"".into(),
        Type::List(Kind::Text) => "text[] COLLATE \"C\"".into(),
        Type::Scalar(kind) => scalar(kind),
        Type::List(kind) => format!("{}[]", scalar(kind)),
        // Only expressions have these two; no column does.
        Type::Null => "text".into(),
        Type::Duration => "interval".into(),
    }
}

/// The name of a scalar type, as it stands in a cast.
pub(crate) fn scalar(kind: Kind) -> String {
    match kind {
        Kind::Bool => "boolean".into(),
        Kind::Int => "bigint".into(),
        Kind::Float => "double precision".into(),
        Kind::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        Kind::Text => "text".into(),
        Kind::Uuid => "uuid".into(),
        Kind::Timestamp => "timestamptz".into(),
        Kind::Date => "date".into(),
        Kind::Time => "time".into(),
        Kind::Json => "jsonb".into(),
        Kind::Bytes => "bytea".into(),
    }
}

/// What every value of a type must be beyond what its PostgreSQL type allows, so that other tools cannot leave what we cannot read:
/// the kind, which ends the constraint's name, and the test.
pub(crate) fn form(ty: Type, at: &str) -> Option<(&'static str, String)> {
    let [first, last] = YEARS;
    Some(match ty {
        Type::Scalar(Kind::Float) => {
            ("float", format!("{at} > '-Infinity'::double precision AND {at} < 'Infinity'::double precision"))
        }
        Type::Scalar(Kind::Decimal { .. }) => ("decimal", format!("{at} <> 'NaN'::numeric")),
        Type::Scalar(Kind::Timestamp) => (
            "timestamp",
            format!("{at} >= '{first} 00:00:00+00'::timestamptz AND {at} <= '{last} 23:59:59.999999+00'::timestamptz"),
        ),
        Type::Scalar(Kind::Date) => ("date", format!("{at} >= '{first}'::date AND {at} <= '{last}'::date")),
        Type::Scalar(Kind::Time) => ("time", format!("{at} < '24:00:00'::time")),
        Type::List(_) => (
            "list",
            format!(
                "CASE WHEN coalesce(array_ndims({at}), 1) = 1 THEN array_position({at}, NULL) IS NULL AND \
                 coalesce(array_lower({at}, 1), 1) = 1 ELSE FALSE END"
            ),
        ),
        Type::Scalar(Kind::Bool | Kind::Int | Kind::Text | Kind::Uuid | Kind::Json | Kind::Bytes)
        | Type::Null
        | Type::Duration => return None,
    })
}

/// A constant as a column of this type has it.
pub(crate) fn default(value: &Literal, ty: Type) -> String {
    match (value, ty) {
        (Literal::List(items), Type::List(kind)) => list(items, kind),
        _ => literal(value),
    }
}

/// A constant.
pub(crate) fn literal(value: &Literal) -> String {
    match value {
        Literal::Bool(value) => if *value { "TRUE" } else { "FALSE" }.into(),
        // The smallest one has no positive sibling, so its digits alone would be a numeric.
        Literal::Int(value) if *value == i64::MIN => format!("'{value}'::bigint"),
        Literal::Int(value) => value.to_string(),
        Literal::Decimal { unscaled, scale } => Decimal { unscaled: *unscaled, scale: *scale }.to_string(),
        // Parsed and printed again: the record's text never reaches SQL as it is.
        Literal::Float(number) => match number.parse::<f64>() {
            Ok(number) => float(number),
            Err(_) => "NULL".into(),
        },
        Literal::Timestamp(value) => format!("'{}'::timestamptz", wire::to_text(&Value::Timestamp(*value))),
        Literal::Date(value) => format!("'{}'::date", wire::to_text(&Value::Date(*value))),
        Literal::Time(value) => format!("'{}'::time", wire::to_text(&Value::Time(*value))),
        Literal::Text(value) => text(value),
        Literal::Json(value) => format!("{}::jsonb", text(value)),
        // A list whose type is not told is compared with nothing: rules over lists are the engine's.
        Literal::List(value) => text(value),
        Literal::Uuid(hex) => format!("'{}'::uuid", digits(hex)),
        Literal::Bytes(hex) => format!("'\\x{}'::bytea", digits(hex)),
    }
}

/// A number that means the same beside a `bigint` (exactly, as numeric) and beside a double (it reads back as the same one).
fn float(number: f64) -> String {
    if number.is_finite() {
        // The shortest digits of a large double are not its exact value, and an integer may lie between.
        if number.fract() == 0.0 && number.abs() < 1e19 { format!("{number:.1}") } else { format!("{number:?}") }
    } else {
        format!("'{}Infinity'::double precision", if number < 0.0 { "-" } else { "" })
    }
}

fn digits(hex: &str) -> String {
    hex.chars().filter(char::is_ascii_hexdigit).collect()
}

/// A JSON array of wire forms as an array.
fn list(items: &str, kind: Kind) -> String {
    let items: Vec<&RawValue> = serde_json::from_str(items).unwrap_or_default();
    let items: Vec<String> = items
        .into_iter()
        .map(|item| {
            let item = item.get();
            let plain = serde_json::from_str::<String>(item);
            match (kind, plain) {
                (Kind::Json, _) | (_, Err(_)) => text(item),
                // `decode` ignores line ends and minds the padding, which the model's form has.
                (Kind::Bytes, Ok(base64)) => format!("decode({}, 'base64')", text(&base64)),
                (_, Ok(plain)) => text(&plain),
            }
        })
        .collect();
    format!("ARRAY[{}]::{}[]", items.join(", "), scalar(kind))
}

/// The stored value of a column under its new type, or an error of PostgreSQL's when it has none.
pub(crate) fn converted(from: &Column, to: &Column) -> String {
    let at = name(&to.name);
    let (Type::Scalar(kind) | Type::List(kind)) = to.ty else { return at };
    let cast = |value: &str| format!("{value}::{}", scalar(kind));
    let value = match (schema::conversion(from.ty, to.ty), from.ty) {
        (None, _) => at,
        // A cast of ours would take any number but 0 for true.
        (Some(Conversion::Keep), Type::Scalar(Kind::Int)) if kind == Kind::Bool => {
            format!("CASE WHEN {at} IN (0, 1) THEN {at} = 1 ELSE ({at} || ' is no bool')::boolean END")
        }
        (Some(Conversion::Keep), Type::Scalar(Kind::Bool)) => format!("{at}::integer::bigint"),
        (Some(Conversion::ScaleDown(_)), _) => {
            let scale = if let Kind::Decimal { scale, .. } = kind { scale } else { 0 };
            let exact = cast(&at);
            format!("CASE WHEN {at} = trunc({at}, {scale}) THEN {exact} ELSE ({at} || ' has more digits')::numeric END")
        }
        (Some(Conversion::DateToTimestamp), _) => format!("{at}::timestamp AT TIME ZONE 'UTC'"),
        (Some(Conversion::TimestampToDate), _) => format!("({at} AT TIME ZONE 'UTC')::date"),
        (Some(Conversion::TextToJson), _) => format!("to_jsonb({at})"),
        (Some(Conversion::ToList), _) => format!("CASE WHEN {at} IS NOT NULL THEN ARRAY[{at}] END"),
        (
            Some(
                Conversion::Keep
                | Conversion::IntToText
                | Conversion::TextToInt
                | Conversion::IntToFloat
                | Conversion::ScaleUp(_)
                | Conversion::UuidToText
                | Conversion::TextToUuid,
            ),
            _,
        ) => cast(&at),
    };
    match &to.default {
        Some(literal) if from.null && !to.null => format!("coalesce({value}, {})", default(literal, to.ty)),
        _ => value,
    }
}
