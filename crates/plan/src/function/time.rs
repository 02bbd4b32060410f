//! Parts of instants, days and spans. UTC; before 1970 as after.

use undergird_model::Value;
use undergird_model::expr::Function;
use undergird_model::field_type::calendar::{DAY_MICROS, civil_from_days, days_from_civil};

const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;
const SECOND: i64 = 1_000_000;
const MILLISECOND: i64 = 1_000;

/// A part of a timestamp, a date (as its midnight) or a duration.
pub(super) fn part(function: Function, value: &Value) -> Option<i64> {
    match value {
        Value::Timestamp(micros) => of_instant(function, micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS)),
        Value::Date(days) => of_instant(function, i64::from(*days), 0),
        Value::Duration(span) => match function {
            Function::Hours => Some(span / HOUR),
            Function::Minutes => Some(span / MINUTE),
            Function::Seconds => Some(span / SECOND),
            Function::Milliseconds => Some(span % SECOND / MILLISECOND),
            _ => None,
        },
        _ => None,
    }
}

fn of_instant(function: Function, days: i64, micros: i64) -> Option<i64> {
    let (year, month, day) = civil_from_days(days);
    match function {
        Function::Year => Some(year),
        Function::Month => Some(i64::from(month) - 1),
        Function::Day => Some(i64::from(day)),
        Function::DayOfMonth => Some(i64::from(day) - 1),
        // 1970-01-01 was a Thursday.
        Function::DayOfWeek => Some((days + 4).rem_euclid(7)),
        Function::DayOfYear => Some(days - days_from_civil(year, 1, 1)),
        Function::Hours => Some(micros / HOUR),
        Function::Minutes => Some(micros % HOUR / MINUTE),
        Function::Seconds => Some(micros % MINUTE / SECOND),
        Function::Milliseconds => Some(micros % SECOND / MILLISECOND),
        _ => None,
    }
}
