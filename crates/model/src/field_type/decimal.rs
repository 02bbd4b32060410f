//! `decimal`: a number with a fixed count of digits after the point, kept and written exactly. For money.

use super::number::Exact;
use crate::value::{Decimal, Value};
use serde_json::{Number, Value as Json, json};
use std::str::FromStr;

/// The most digits that fit into an `i64`, whichever they are.
pub(crate) const PRECISION_MAX: u8 = 18;

pub(super) fn accept_json(precision: u8, scale: u8, json: &Json) -> Result<Value, String> {
    match json {
        Json::Number(number) => accept_text(precision, scale, number.as_str()),
        other => Err(super::expected("a number", other)),
    }
}

/// Refuses what PostgreSQL would round: an amount must not change on its way in.
pub(super) fn accept_text(precision: u8, scale: u8, text: &str) -> Result<Value, String> {
    let exact = Exact::parse(text).ok_or_else(|| format!("expected a number of at most {precision} digits"))?;
    match exact.unscaled(scale) {
        Ok(unscaled) if unscaled.unsigned_abs() < 10u64.pow(u32::from(precision)) => {
            Ok(Value::Decimal(Decimal { unscaled, scale }))
        }
        Ok(_) | Err(false) => {
            Err(format!("must have at most {} before the point", digits(precision - scale.min(precision))))
        }
        Err(true) => Err(format!("must have at most {} after the point", digits(scale))),
    }
}

fn digits(count: u8) -> String {
    if count == 1 { "1 digit".into() } else { format!("{count} digits") }
}

pub(super) fn json_schema(precision: u8, scale: u8) -> Json {
    let limit = Decimal { unscaled: 10i64.pow(u32::from(precision)) - 1, scale }.to_string();
    let step = Decimal { unscaled: 1, scale }.to_string();
    let number = |text: &str| Number::from_str(text).map_or(Json::Null, Json::Number);
    json!({
        "type": "number",
        "minimum": number(&format!("-{limit}")),
        "maximum": number(&limit),
        "multipleOf": number(&step),
    })
}
