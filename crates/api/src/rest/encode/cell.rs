//! One cell: as JSON, as text, as an owned value.

use crate::rest::decode::parse_json;
use serde_json::Value as Json;
use undergird_model::Value;
use undergird_model::field_type::wire;
use undergird_plan::Cell;

/// As a JSON value.
pub(super) fn write_json(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Cell::Int(number) => wire::write_int(out, number),
        Cell::Float(number) if number.is_finite() => wire::write_float(out, number),
        Cell::Float(number) => wire::write_json(out, &Value::float(number)),
        Cell::Decimal(number) => wire::write_decimal(out, number),
        Cell::Text(text) => wire::write_json_string(out, text),
        Cell::Json(text) | Cell::List(text) => out.extend_from_slice(text.as_bytes()),
        // What follows never needs an escape.
        Cell::Uuid(_) | Cell::Timestamp(_) | Cell::Date(_) | Cell::Time(_) | Cell::Bytes(_) => {
            out.push(b'"');
            write_text(out, cell);
            out.push(b'"');
        }
    }
}

/// The same without the null members of objects within.
pub(super) fn write_json_stripped(out: &mut Vec<u8>, cell: Cell<'_>) {
    if let Cell::Json(text) = cell
        && text.contains("null")
        && let Ok(mut json) = parse_json(text.as_bytes(), u32::MAX)
    {
        strip(&mut json);
        out.extend_from_slice(json.to_string().as_bytes());
        return;
    }
    write_json(out, cell);
}

fn strip(json: &mut Json) {
    match json {
        Json::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(strip);
        }
        Json::Array(items) => items.iter_mut().for_each(strip),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// As plain text: a CSV field. Null is nothing at all.
pub(super) fn write_text(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        Cell::Null => {}
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Uuid(id) => wire::write_uuid(out, id),
        Cell::Timestamp(micros) => wire::write_timestamp(out, micros),
        Cell::Date(days) => wire::write_date(out, days),
        Cell::Time(micros) => wire::write_time(out, micros),
        Cell::Bytes(octets) => wire::write_base64(out, octets),
        Cell::Float(number) if !number.is_finite() => wire::write_text(out, &Value::float(number)),
        Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) | Cell::Decimal(_) | Cell::Json(_) | Cell::List(_) => {
            write_json(out, cell);
        }
    }
}

/// As an owned value. A list stays JSON text: only cursors ask, and no ordering goes by a list.
pub(super) fn owned(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Bool(value),
        Cell::Int(number) => Value::Int(number),
        Cell::Float(number) => Value::float(number),
        Cell::Decimal(number) => Value::Decimal(number),
        Cell::Text(text) => Value::text(text),
        Cell::Uuid(id) => Value::Uuid(id),
        Cell::Timestamp(micros) => Value::Timestamp(micros),
        Cell::Date(days) => Value::Date(days),
        Cell::Time(micros) => Value::Time(micros),
        Cell::Json(text) | Cell::List(text) => Value::Json(text.to_owned()),
        Cell::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
    }
}
