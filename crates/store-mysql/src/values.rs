//! Values in MySQL's types and back. The forms of storage are decided here and in [`crate::types`]: bool is TINYINT(1), int BIGINT,
//! float DOUBLE, decimal DECIMAL, uuid BINARY(16), timestamp DATETIME(6) in UTC, date DATE, time TIME(6), a duration (which only
//! expressions have) BIGINT microseconds, bytes LONGBLOB; text is text, and so are JSON and lists.

use mysql_async::Value as Sql;
use std::str::from_utf8;
use undergird_model::field_type::calendar::{civil_from_days, days_from_civil};
use undergird_model::field_type::wire;
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_plan::{Cell, RowRef};
use undergird_store::run::element_type;
use undergird_store::{Bound, StoreError};
use uuid::Uuid;

const DAY: i64 = 86_400_000_000;

/// A value as it is bound.
///
/// # Errors
/// [`StoreError::Internal`] for a time that the server's types cannot hold; the model has no such time.
pub(crate) fn bound(bound: &Bound<'_>) -> Result<Sql, StoreError> {
    match bound {
        Bound::Value(ty, value) => stored(*ty, value),
        Bound::List(ty, items) => Ok(Sql::Bytes(list(*ty, items)?.into_bytes())),
    }
}

/// A value as it is stored.
pub(crate) fn stored(ty: Type, value: &Value) -> Result<Sql, StoreError> {
    Ok(match value {
        Value::Null => Sql::NULL,
        Value::Bool(value) => Sql::Int(i64::from(*value)),
        Value::Int(number) => match ty {
            Type::FLOAT => Sql::Double(*number as f64),
            _ => Sql::Int(*number),
        },
        Value::Float(number) => Sql::Double(number.get()),
        Value::Decimal(number) => Sql::Bytes(number.to_string().into_bytes()),
        Value::Text(text) | Value::Json(text) => Sql::Bytes(text.clone().into_bytes()),
        Value::Uuid(id) => Sql::Bytes(id.as_bytes().to_vec()),
        Value::Timestamp(micros) => {
            let (year, month, day) = date(micros.div_euclid(DAY))?;
            let (hour, minute, second, micro) = clock(micros.rem_euclid(DAY));
            Sql::Date(year, month, day, hour, minute, second, micro)
        }
        Value::Date(days) => {
            let (year, month, day) = date(i64::from(*days))?;
            Sql::Date(year, month, day, 0, 0, 0, 0)
        }
        Value::Time(micros) => {
            let (hour, minute, second, micro) = clock(micros.rem_euclid(DAY));
            Sql::Time(false, 0, hour, minute, second, micro)
        }
        Value::Duration(micros) => Sql::Int(*micros),
        Value::Bytes(octets) => Sql::Bytes(octets.clone()),
        Value::List(_) => Sql::Bytes(wire::to_json(value).into_bytes()),
    })
}

/// A list as one parameter: a JSON array of strings and numbers that `JSON_TABLE` makes a column's values of. Numbers are numbers,
/// bools 1 and 0, moments in SQL's form, UUIDs and octets hexadecimal digits; what is null is in no list.
fn list(ty: Type, items: &[Value]) -> Result<String, StoreError> {
    let mut text = String::from("[");
    for item in items.iter().filter(|item| !item.is_null()) {
        if text.len() > 1 {
            text.push(',');
        }
        element(element_type(ty), item, &mut text)?;
    }
    text.push(']');
    Ok(text)
}

fn element(ty: Type, item: &Value, text: &mut String) -> Result<(), StoreError> {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = match item {
        Value::Null => write!(text, "null"),
        Value::Bool(value) => write!(text, "{}", u8::from(*value)),
        Value::Int(number) | Value::Duration(number) => write!(text, "{number}"),
        Value::Float(_) => {
            text.push_str(&wire::to_json(item));
            Ok(())
        }
        // In quotes, or the reader makes a double of it.
        Value::Decimal(number) => write!(text, "\"{number}\""),
        Value::Text(inner) | Value::Json(inner) => {
            text.push_str(&serde_json::Value::from(inner.as_str()).to_string());
            Ok(())
        }
        Value::Uuid(id) => write!(text, "\"{}\"", id.simple()),
        Value::Bytes(octets) => {
            text.push('"');
            octets.iter().for_each(|octet| {
                let _ = write!(text, "{octet:02x}");
            });
            text.push('"');
            Ok(())
        }
        Value::Timestamp(_) | Value::Date(_) | Value::Time(_) => {
            let sql = stored(ty, item)?;
            write!(text, "\"{}\"", plain(&sql))
        }
        // A row of several columns.
        Value::List(items) => {
            text.push_str(&list(ty, items)?);
            Ok(())
        }
    };
    Ok(())
}

/// A moment in SQL's form, without quotes.
pub(crate) fn plain(value: &Sql) -> String {
    match value {
        Sql::Date(year, month, day, 0, 0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        Sql::Date(year, month, day, hour, minute, second, micro) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micro:06}")
        }
        Sql::Time(_, _, hour, minute, second, micro) => format!("{hour:02}:{minute:02}:{second:02}.{micro:06}"),
        _ => String::new(),
    }
}

fn date(days: i64) -> Result<(u16, u8, u8), StoreError> {
    let (year, month, day) = civil_from_days(days);
    let far = || StoreError::Internal("a time beyond the years 1 to 9999 was to be stored".into());
    let year = u16::try_from(year).ok().filter(|year| (1..=9_999).contains(year)).ok_or_else(far)?;
    Ok((year, u8::try_from(month).map_err(|_| far())?, u8::try_from(day).map_err(|_| far())?))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the parts of a day are small and not negative"
)]
fn clock(micros: i64) -> (u8, u8, u8, u32) {
    let seconds = micros / 1_000_000;
    ((seconds / 3_600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8, (micros % 1_000_000) as u32)
}

/// A row of the server's, lent with the types of its columns.
pub(crate) struct Lent<'r> {
    pub(crate) row: &'r mysql_async::Row,
    pub(crate) columns: &'r [Type],
}

impl RowRef for Lent<'_> {
    fn cell(&self, position: usize) -> Cell<'_> {
        match (self.columns.get(position), self.row.as_ref(position)) {
            (Some(ty), Some(value)) => cell(*ty, value),
            _ => Cell::Null,
        }
    }
}

/// The identity that the database made, lent as a row.
pub(crate) struct Identity(pub(crate) i64);

impl RowRef for Identity {
    fn cell(&self, position: usize) -> Cell<'_> {
        if position == 0 { Cell::Int(self.0) } else { Cell::Null }
    }
}

/// What the server gave, in the meaning of a column. What does not fit its type reads as null: nothing of ours writes such a thing.
pub(crate) fn cell(ty: Type, value: &Sql) -> Cell<'_> {
    let kind = match ty {
        Type::Null => return Cell::Null,
        Type::Duration => Kind::Int,
        Type::List(_) => return text(value).map_or(Cell::Null, Cell::List),
        Type::Scalar(kind) => kind,
    };
    let cell = match kind {
        Kind::Bool => int(value).map(|number| Cell::Bool(number != 0)),
        Kind::Int => int(value).map(Cell::Int),
        Kind::Float => float(value).map(|number| Cell::Float(number + 0.0)),
        Kind::Decimal { scale, .. } => decimal(value, scale).map(Cell::Decimal),
        Kind::Text => text(value).map(Cell::Text),
        Kind::Json => text(value).map(Cell::Json),
        Kind::Uuid => octets(value).and_then(|octets| Uuid::from_slice(octets).ok()).map(Cell::Uuid),
        Kind::Bytes => octets(value).map(Cell::Bytes),
        Kind::Timestamp => timestamp(value).map(Cell::Timestamp),
        Kind::Date => timestamp(value).and_then(|at| i32::try_from(at.div_euclid(DAY)).ok()).map(Cell::Date),
        Kind::Time => time(value).map(Cell::Time),
    };
    cell.unwrap_or(Cell::Null)
}

fn octets(value: &Sql) -> Option<&[u8]> {
    match value {
        Sql::Bytes(octets) => Some(octets),
        _ => None,
    }
}

fn text(value: &Sql) -> Option<&str> {
    from_utf8(octets(value)?).ok()
}

/// A whole number; sums and integer expressions may come as decimals.
fn int(value: &Sql) -> Option<i64> {
    match value {
        Sql::Int(number) => Some(*number),
        Sql::UInt(number) => i64::try_from(*number).ok(),
        Sql::Bytes(_) => {
            let text = text(value)?;
            let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
            whole.parse().ok()
        }
        #[allow(clippy::cast_possible_truncation, reason = "only what is exact is taken")]
        Sql::Double(number) => {
            let whole = *number as i64;
            (whole as f64 == *number).then_some(whole)
        }
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
fn float(value: &Sql) -> Option<f64> {
    match value {
        Sql::Double(number) => Some(*number),
        Sql::Float(number) => Some(f64::from(*number)),
        Sql::Int(number) => Some(*number as f64),
        Sql::UInt(number) => Some(*number as f64),
        Sql::Bytes(_) => text(value)?.parse().ok(),
        _ => None,
    }
}

/// A decimal at the scale of its type. Digits beyond that are zeros, or the value has no such form.
fn decimal(value: &Sql, scale: u8) -> Option<Decimal> {
    let text = match value {
        Sql::Int(number) => number.to_string(),
        Sql::UInt(number) => number.to_string(),
        _ => text(value)?.to_owned(),
    };
    let (whole, digits) = text.split_once('.').unwrap_or((&text, ""));
    let digits = digits.trim_end_matches('0');
    let missing = usize::from(scale).checked_sub(digits.len())?;
    let unscaled = format!("{whole}{digits}{}", "0".repeat(missing)).parse().ok()?;
    Some(Decimal { unscaled, scale })
}

fn timestamp(value: &Sql) -> Option<i64> {
    match value {
        Sql::Date(year, month, day, hour, minute, second, micro) => {
            if *month == 0 || *day == 0 {
                return None;
            }
            let days = days_from_civil(i64::from(*year), u32::from(*month), u32::from(*day));
            let seconds = i64::from(*hour) * 3_600 + i64::from(*minute) * 60 + i64::from(*second);
            Some(days * DAY + seconds * 1_000_000 + i64::from(*micro))
        }
        _ => None,
    }
}

fn time(value: &Sql) -> Option<i64> {
    match value {
        Sql::Time(false, 0, hour, minute, second, micro) => {
            let seconds = i64::from(*hour) * 3_600 + i64::from(*minute) * 60 + i64::from(*second);
            Some(seconds * 1_000_000 + i64::from(*micro))
        }
        _ => None,
    }
}
