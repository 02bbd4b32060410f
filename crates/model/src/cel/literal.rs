//! Constants of a rule: texts read as uuids, instants, dates, times and durations; numbers made to fit; sums folded.
//!
//! All of it is exact or refused. Absent: the clock, time zones other than UTC offsets, leap seconds.

use crate::expr::Arithmetic;
use crate::field_type::FieldType;
use crate::field_type::json::canonical_text;
use crate::value::{Decimal, Float, Kind, Type, Value};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The text as a value of a kind that is written as text, or what form it should have had. The same forms as everywhere that a field's value
/// is read from text.
pub fn from_text(text: &str, ty: Type) -> Result<Value, String> {
    let declared = match ty {
        Type::Scalar(Kind::Uuid) => FieldType::Uuid,
        Type::Scalar(Kind::Timestamp) => FieldType::Timestamp,
        Type::Scalar(Kind::Date) => FieldType::Date,
        Type::Scalar(Kind::Time) => FieldType::Time,
        Type::Duration => {
            return duration(text)
                .map(Value::Duration)
                .ok_or_else(|| "expected a duration like 90s, 1h30m or 250ms".into());
        }
        other => return Err(format!("{other} is not written as text")),
    };
    declared.accept_text(text)
}

/// Whether a text literal stands for a value of this type where one is wanted.
pub fn is_written_as_text(ty: Type) -> bool {
    matches!(ty, Type::Scalar(Kind::Uuid | Kind::Timestamp | Kind::Date | Kind::Time))
}

/// Whether microseconds since 1970 lie in the years 0001 to 9999.
fn in_years(micros: i64) -> bool {
    // 0001-01-01 and 10000-01-01.
    (-719_162 * MICROS_PER_DAY..2_932_897 * MICROS_PER_DAY).contains(&micros)
}

/// Microseconds of a duration as Go and CEL write it: `-1h30m`, `1.5s`. Within 10,000 years; what is finer is cut off.
pub fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(length);
        let unit_length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        rest = tail;
        let unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') || whole.len() > 20 || part.len() > 12 {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part_digits: i128 = if part.is_empty() { 0 } else { part.parse().ok()? };
        let scale = 10i128.pow(u32::try_from(part.len()).ok()?);
        // A part of a unit that is no whole nanosecond is dropped, as in Go.
        nanos += whole * unit + part_digits * unit / scale;
    }
    if nanos > 315_576_000_000 * 1_000_000_000 {
        return None;
    }
    let micros = i64::try_from(nanos / 1000).ok()?;
    Some(if negative { -micros } else { micros })
}

/// A number literal as an exact decimal of at most 18 digits, by its shortest decimal notation.
pub fn decimal(value: &Value) -> Option<Decimal> {
    let written = match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.get().to_string(),
        Value::Decimal(decimal) => return Some(*decimal),
        _ => return None,
    };
    let (whole, part) = written.split_once('.').unwrap_or((&written, ""));
    let part = part.trim_end_matches('0');
    let scale = u8::try_from(part.len()).ok().filter(|scale| *scale <= 18)?;
    let unscaled: i64 = format!("{whole}{part}").parse().ok()?;
    (unscaled.unsigned_abs() < 10u64.pow(18)).then_some(Decimal { unscaled, scale })
}

/// The kind that holds exactly this decimal.
pub fn decimal_kind(decimal: Decimal) -> Kind {
    let digits = decimal.unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let precision = u8::try_from(digits).unwrap_or(18).max(decimal.scale).max(1);
    Kind::Decimal { precision, scale: decimal.scale }
}

/// A number literal in another numeric type, when it is exactly the same number.
pub fn number(value: &Value, ty: Type) -> Option<(Value, Type)> {
    // Whole doubles up to this magnitude are exactly one int.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match (value, ty) {
        (Value::Int(_) | Value::Float(_), Type::Scalar(Kind::Decimal { .. })) => {
            let exact = decimal(value)?;
            Some((Value::Decimal(exact), Type::Scalar(decimal_kind(exact))))
        }
        (Value::Int(whole), Type::Scalar(Kind::Float)) => {
            #[allow(clippy::cast_precision_loss, reason = "the magnitude is checked")]
            let float = *whole as f64;
            (float.abs() <= EXACT).then_some((Value::Float(Float::new(float)?), Type::FLOAT))
        }
        (Value::Float(float), Type::Scalar(Kind::Int)) => {
            let float = float.get();
            #[allow(clippy::cast_possible_truncation, reason = "the magnitude and the fraction are checked")]
            let whole = float as i64;
            (float.abs() <= EXACT && float.fract() == 0.0).then_some((Value::Int(whole), Type::INT))
        }
        _ => None,
    }
}

/// A scalar literal as JSON; `None` when JSON has no such thing.
pub fn json(value: &Value) -> Option<Value> {
    Some(Value::Json(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => canonical_text(ryu::Buffer::new().format_finite(number.get()))?,
        Value::Text(text) => serde_json::to_string(text).ok()?,
        Value::Decimal(number) => number.to_string(),
        _ => return None,
    }))
}

/// A literal converted as by `int()` and its siblings. `None`: not decided here. `Err` tells the form.
pub fn convert(value: &Value, ty: Type) -> Option<Result<Value, String>> {
    const WHOLE: &str = "expected a whole number of at most 64 bits";
    Some(match (value, ty) {
        (Value::Text(text), Type::INT) => text.parse().map(Value::Int).map_err(|_| WHOLE.to_owned()),
        (Value::Float(number), Type::INT) => {
            let number = number.get();
            // The bounds are exact doubles; the upper one is the first that does not fit.
            #[allow(clippy::cast_possible_truncation, reason = "the bounds are checked")]
            let whole = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
                .contains(&number)
                .then_some(Value::Int(number as i64));
            whole.ok_or_else(|| WHOLE.to_owned())
        }
        (Value::Timestamp(micros), Type::INT) => Ok(Value::Int(micros.div_euclid(MICROS_PER_SECOND))),
        (Value::Int(_), Type::FLOAT) => Ok(number(value, ty)?.0),
        (Value::Text(text), Type::FLOAT) => {
            FieldType::Float.accept_text(text).map_err(|_| "expected a number like 1.5".to_owned())
        }
        (Value::Text(text), Type::BOOL) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err("expected true or false".to_owned()),
        },
        (Value::Int(number), Type::TEXT) => Ok(Value::Text(number.to_string())),
        (Value::Bool(value), Type::TEXT) => Ok(Value::Text(value.to_string())),
        (Value::Uuid(value), Type::TEXT) => Ok(Value::Text(value.to_string())),
        (Value::Int(seconds), Type::TIMESTAMP) => seconds
            .checked_mul(MICROS_PER_SECOND)
            .filter(|micros| in_years(*micros))
            .map(Value::Timestamp)
            .ok_or_else(|| "expected seconds since 1970 within the years 0001 to 9999".to_owned()),
        (Value::Timestamp(micros), Type::Scalar(Kind::Date)) => {
            i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map(Value::Date).map_err(|error| error.to_string())
        }
        (Value::Text(text), _) if is_written_as_text(ty) || ty == Type::Duration => from_text(text, ty),
        _ => return None,
    })
}

/// Two literals of a kind computed; `None` when not decided here, `Err` tells why there is no result.
pub fn arithmetic(op: Arithmetic, a: &Value, b: &Value) -> Option<Result<Value, &'static str>> {
    const OVERFLOW: &str = "this overflows 64 bits";
    const ZERO: &str = "this divides by zero";
    const YEARS: &str = "this leaves the years 0001 to 9999";
    let instant = |micros: Option<i64>| micros.filter(|micros| in_years(*micros)).map(Value::Timestamp).ok_or(YEARS);
    Some(match (op, a, b) {
        (Arithmetic::Divide | Arithmetic::Remainder, Value::Int(_), Value::Int(0)) => Err(ZERO),
        (_, Value::Int(a), Value::Int(b)) => {
            let result = match op {
                Arithmetic::Add => a.checked_add(*b),
                Arithmetic::Subtract => a.checked_sub(*b),
                Arithmetic::Multiply => a.checked_mul(*b),
                Arithmetic::Divide => a.checked_div(*b),
                // The rest of the least int divided by −1 is 0, though the quotient does not fit.
                Arithmetic::Remainder => Some(a.wrapping_rem(*b)),
            };
            result.map(Value::Int).ok_or(OVERFLOW)
        }
        (Arithmetic::Divide, Value::Float(_), Value::Float(b)) if b.get() == 0.0 => Err(ZERO),
        (_, Value::Float(a), Value::Float(b)) => {
            let (a, b) = (a.get(), b.get());
            let result = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => a / b,
                Arithmetic::Remainder => return None,
            };
            if result.is_finite() { Ok(Value::float(result)) } else { Err("this is not a finite number") }
        }
        (Arithmetic::Add, Value::Timestamp(a), Value::Duration(b)) => instant(a.checked_add(*b)),
        (Arithmetic::Subtract, Value::Timestamp(a), Value::Duration(b)) => instant(a.checked_sub(*b)),
        (Arithmetic::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or(OVERFLOW)
        }
        (Arithmetic::Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or(OVERFLOW)
        }
        (Arithmetic::Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or(OVERFLOW)
        }
        _ => return None,
    })
}
