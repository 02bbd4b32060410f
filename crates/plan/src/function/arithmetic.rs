//! Arithmetic on numbers and times. What does not fit is null.

use undergird_model::expr::Arithmetic;
use undergird_model::field_type::calendar::{TIMESTAMP_MAX, TIMESTAMP_MIN};
use undergird_model::{Decimal, Value};

/// [`Node::Arithmetic`](undergird_model::Node::Arithmetic) on values.
pub fn arithmetic(operator: Arithmetic, left: &Value, right: &Value) -> Value {
    use Arithmetic::{Add, Subtract};
    use Value::{Duration, Float, Int, Timestamp};
    let whole = |number: Option<i64>, make: fn(i64) -> Value| number.map_or(Value::Null, make);
    match (operator, left, right) {
        (_, Int(a), Int(b)) => whole(ints(operator, *a, *b), Int),
        (_, Float(a), Float(b)) => floats(operator, a.get(), b.get()),
        (Add, Timestamp(at), Duration(span)) | (Add, Duration(span), Timestamp(at)) => instant(at.checked_add(*span)),
        (Subtract, Timestamp(at), Duration(span)) => instant(at.checked_sub(*span)),
        (Subtract, Timestamp(a), Timestamp(b)) => whole(a.checked_sub(*b), Duration),
        (Add, Duration(a), Duration(b)) => whole(a.checked_add(*b), Duration),
        (Subtract, Duration(a), Duration(b)) => whole(a.checked_sub(*b), Duration),
        _ => Value::Null,
    }
}

/// [`Node::Negate`](undergird_model::Node::Negate) on a value.
pub fn negate(value: &Value) -> Value {
    match value {
        Value::Int(number) => number.checked_neg().map_or(Value::Null, Value::Int),
        Value::Float(number) => finite(-number.get()),
        Value::Decimal(Decimal { unscaled, scale }) => {
            unscaled.checked_neg().map_or(Value::Null, |unscaled| Value::Decimal(Decimal { unscaled, scale: *scale }))
        }
        Value::Duration(span) => span.checked_neg().map_or(Value::Null, Value::Duration),
        _ => Value::Null,
    }
}

fn ints(operator: Arithmetic, a: i64, b: i64) -> Option<i64> {
    match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        // The rest of the least int divided by −1 is 0, which fits, though the quotient does not.
        Arithmetic::Remainder => (b != 0).then(|| a.wrapping_rem(b)),
    }
}

fn floats(operator: Arithmetic, a: f64, b: f64) -> Value {
    finite(match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => a % b,
    })
}

fn finite(number: f64) -> Value {
    if number.is_finite() { Value::float(number) } else { Value::Null }
}

fn instant(micros: Option<i64>) -> Value {
    match micros {
        Some(micros @ TIMESTAMP_MIN..=TIMESTAMP_MAX) => Value::Timestamp(micros),
        _ => Value::Null,
    }
}
