//! One octet form per value: what links, versions and cursors are made of. Two values have the same form exactly when they are the same
//! value of the same kind, borrowed or owned.

use undergird_model::{Decimal, Value};
use undergird_plan::Cell;
use uuid::Uuid;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const UUID: u8 = 7;
const TIMESTAMP: u8 = 8;
const DATE: u8 = 9;
const TIME: u8 = 10;
const JSON: u8 = 11;
const BYTES: u8 = 12;
const LIST: u8 = 13;
const DURATION: u8 = 14;

fn fixed(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn sized(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a cell.
pub fn write_cell(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        Cell::Null => out.push(NULL),
        Cell::Bool(false) => out.push(FALSE),
        Cell::Bool(true) => out.push(TRUE),
        Cell::Int(number) => fixed(out, INT, &number.to_be_bytes()),
        // −0 and NaN do not exist in the model; a driver that lends one means 0 and null.
        Cell::Float(number) if number.is_nan() => out.push(NULL),
        Cell::Float(number) => fixed(out, FLOAT, &(number + 0.0).to_bits().to_be_bytes()),
        Cell::Decimal(Decimal { unscaled, scale }) => {
            fixed(out, DECIMAL, &unscaled.to_be_bytes());
            out.push(scale);
        }
        Cell::Text(text) => sized(out, TEXT, text.as_bytes()),
        Cell::Uuid(id) => fixed(out, UUID, id.as_bytes()),
        Cell::Timestamp(micros) => fixed(out, TIMESTAMP, &micros.to_be_bytes()),
        Cell::Date(days) => fixed(out, DATE, &days.to_be_bytes()),
        Cell::Time(micros) => fixed(out, TIME, &micros.to_be_bytes()),
        Cell::Json(text) => sized(out, JSON, text.as_bytes()),
        Cell::Bytes(bytes) => sized(out, BYTES, bytes),
        Cell::List(text) => sized(out, LIST, text.as_bytes()),
    }
}

/// Appends a value. Lists take their JSON form, as cells do.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    let cell = match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(number) => Cell::Int(*number),
        Value::Float(number) => Cell::Float(number.get()),
        Value::Decimal(number) => Cell::Decimal(*number),
        Value::Text(text) => Cell::Text(text),
        Value::Uuid(id) => Cell::Uuid(*id),
        Value::Timestamp(micros) => Cell::Timestamp(*micros),
        Value::Date(days) => Cell::Date(*days),
        Value::Time(micros) => Cell::Time(*micros),
        Value::Json(text) => Cell::Json(text),
        Value::Bytes(bytes) => Cell::Bytes(bytes),
        Value::Duration(micros) => return fixed(out, DURATION, &micros.to_be_bytes()),
        Value::List(_) => return write_cell(out, Cell::List(&undergird_model::field_type::wire::to_json(value))),
    };
    write_cell(out, cell);
}

/// Takes a value off the front. `None` for what is no value; a list comes back as JSON, which compares like it.
pub fn read_value(bytes: &mut &[u8]) -> Option<Value> {
    let (tag, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(match *tag {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(i64::from_be_bytes(take(bytes)?)),
        FLOAT => Value::float(f64::from_bits(u64::from_be_bytes(take(bytes)?))),
        DECIMAL => {
            let unscaled = i64::from_be_bytes(take(bytes)?);
            let [scale] = take(bytes)?;
            Value::Decimal(Decimal { unscaled, scale: Some(scale).filter(|scale| *scale <= 18)? })
        }
        TEXT => Value::Text(take_text(bytes)?),
        UUID => Value::Uuid(Uuid::from_bytes(take(bytes)?)),
        TIMESTAMP => Value::Timestamp(i64::from_be_bytes(take(bytes)?)),
        DATE => Value::Date(i32::from_be_bytes(take(bytes)?)),
        TIME => Value::Time(i64::from_be_bytes(take(bytes)?)),
        JSON | LIST => Value::Json(take_text(bytes)?),
        BYTES => Value::Bytes(take_sized(bytes)?.to_vec()),
        DURATION => Value::Duration(i64::from_be_bytes(take(bytes)?)),
        _ => return None,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u64::from_be_bytes(take(bytes)?)).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_sized(bytes)?.to_vec()).ok()
}
