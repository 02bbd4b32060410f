//! Values in PostgreSQL's binary formats and back, without a copy where the row can lend what it has.
//!
//! bool boolean, int bigint, float double precision, decimal numeric, text text, uuid uuid, timestamp timestamptz, date date, time
//! time, json jsonb, bytes bytea, a list an array of those, a duration a bigint of microseconds. What adopted tables have beside
//! these is read where it means the same (smaller integers, `json`, `varchar`, enums).

use bytes::{BufMut, BytesMut};
use std::error::Error;
use std::ops::Range;
use std::str::from_utf8;
use tokio_postgres::Row;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind as PgKind, ToSql, Type as PgType, to_sql_checked};
use undergird_model::field_type::wire;
use undergird_model::{Decimal, Kind, Type, Value};
use undergird_plan::{Cell, RowRef};
use undergird_store::Bound;
use uuid::Uuid;

/// Microseconds from 1970 to 2000, where PostgreSQL's calendar begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The same in days.
const EPOCH_DAYS: i32 = 10_957;

/// PostgreSQL's numbers for its types, which never change.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const BYTEA: u32 = 17;
    pub(super) const CHAR: u32 = 18;
    pub(super) const NAME: u32 = 19;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const OID: u32 = 26;
    pub(super) const JSON: u32 = 114;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const UNKNOWN: u32 = 705;
    pub(super) const BPCHAR: u32 = 1042;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const DATE: u32 = 1082;
    pub(super) const TIME: u32 = 1083;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const NUMERIC: u32 = 1700;
    pub(super) const UUID: u32 = 2950;
    pub(super) const JSONB: u32 = 3802;
    /// What a database's own types begin with: enums, domains, extensions.
    pub(super) const FIRST_OWN: u32 = 16_384;
}

/// The type of a parameter.
pub(crate) fn parameter_type(bound: &Bound<'_>) -> PgType {
    match bound {
        Bound::Value(ty, _) => pg_type(*ty),
        Bound::List(ty, _) => match ty {
            Type::Scalar(kind) | Type::List(kind) => array_of(*kind),
            Type::Duration => PgType::INT8_ARRAY,
            Type::Null => PgType::TEXT_ARRAY,
        },
    }
}

fn pg_type(ty: Type) -> PgType {
    match ty {
        // The statement's cast says what it is.
        Type::Null => PgType::UNKNOWN,
        Type::Duration => PgType::INT8,
        Type::List(kind) => array_of(kind),
        Type::Scalar(kind) => match kind {
            Kind::Bool => PgType::BOOL,
            Kind::Int => PgType::INT8,
            Kind::Float => PgType::FLOAT8,
            Kind::Decimal { .. } => PgType::NUMERIC,
            Kind::Text => PgType::TEXT,
            Kind::Uuid => PgType::UUID,
            Kind::Timestamp => PgType::TIMESTAMPTZ,
            Kind::Date => PgType::DATE,
            Kind::Time => PgType::TIME,
            Kind::Json => PgType::JSONB,
            Kind::Bytes => PgType::BYTEA,
        },
    }
}

fn array_of(kind: Kind) -> PgType {
    match kind {
        Kind::Bool => PgType::BOOL_ARRAY,
        Kind::Int => PgType::INT8_ARRAY,
        Kind::Float => PgType::FLOAT8_ARRAY,
        Kind::Decimal { .. } => PgType::NUMERIC_ARRAY,
        Kind::Text => PgType::TEXT_ARRAY,
        Kind::Uuid => PgType::UUID_ARRAY,
        Kind::Timestamp => PgType::TIMESTAMPTZ_ARRAY,
        Kind::Date => PgType::DATE_ARRAY,
        Kind::Time => PgType::TIME_ARRAY,
        Kind::Json => PgType::JSONB_ARRAY,
        Kind::Bytes => PgType::BYTEA_ARRAY,
    }
}

/// A parameter on its way out. It shows nothing of its value, because drivers log what they bind.
pub(crate) struct Param<'a>(pub(crate) &'a Bound<'a>);

impl std::fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A value as PostgreSQL reads it from text.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::Bytes(octets) => octets.iter().fold("\\x".to_owned(), |text, octet| format!("{text}{octet:02x}")),
        Value::List(items) => {
            // Quoted, so that nothing within means anything: <https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO>.
            let item = |item: &Value| format!("\"{}\"", as_text(item).replace('\\', "\\\\").replace('"', "\\\""));
            format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
        }
        Value::Text(text) | Value::Json(text) => text.clone(),
        other => wire::to_text(other),
    }
}

type Failed = Box<dyn Error + Sync + Send>;

impl Param<'_> {
    fn is_untyped(&self) -> bool {
        matches!(self.0, Bound::Value(Type::Null, _))
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &PgType, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self.0 {
            Bound::Value(Type::Null, value) => {
                if value.is_null() {
                    return Ok(IsNull::Yes);
                }
                out.put_slice(as_text(value).as_bytes());
                Ok(IsNull::No)
            }
            Bound::Value(_, value) => encode(value, ty, out),
            Bound::List(_, items) => encode_array(items, ty, out),
        }
    }

    fn accepts(_: &PgType) -> bool {
        true
    }

    /// What has no type is read by the server as the type that it meets, from text.
    fn encode_format(&self, _: &PgType) -> Format {
        if self.is_untyped() { Format::Text } else { Format::Binary }
    }

    to_sql_checked!();
}

fn encode(value: &Value, ty: &PgType, out: &mut BytesMut) -> Result<IsNull, Failed> {
    if let (Value::List(items), PgKind::Array(_)) = (value, ty.kind()) {
        return encode_array(items, ty, out);
    }
    let unfit = || -> Failed { format!("a {} does not fit the parameter's type {ty}", word(value)).into() };
    match (ty.oid(), value) {
        (_, Value::Null) => return Ok(IsNull::Yes),
        (oid::BOOL, Value::Bool(value)) => out.put_u8(u8::from(*value)),
        (oid::INT8, Value::Int(number) | Value::Duration(number)) => out.put_i64(*number),
        (oid::INT4, Value::Int(number)) => out.put_i32(i32::try_from(*number).map_err(|_| unfit())?),
        (oid::INT2, Value::Int(number)) => out.put_i16(i16::try_from(*number).map_err(|_| unfit())?),
        (oid::FLOAT8, Value::Float(number)) => out.put_f64(number.get()),
        (oid::FLOAT8, Value::Int(number)) => out.put_f64(*number as f64),
        (oid::FLOAT8, Value::Decimal(number)) => out.put_f64(number.to_string().parse().map_err(|_| unfit())?),
        (oid::NUMERIC, Value::Decimal(number)) => numeric(*number, out),
        (oid::NUMERIC, Value::Int(number)) => numeric(Decimal { unscaled: *number, scale: 0 }, out),
        (oid::UUID, Value::Uuid(id)) => out.put_slice(id.as_bytes()),
        (oid::TIMESTAMPTZ | oid::TIMESTAMP, Value::Timestamp(micros)) => {
            out.put_i64(micros.checked_sub(EPOCH_MICROS).ok_or_else(unfit)?);
        }
        (oid::DATE, Value::Date(days)) => out.put_i32(days.checked_sub(EPOCH_DAYS).ok_or_else(unfit)?),
        (oid::TIME, Value::Time(micros)) => out.put_i64(*micros),
        (oid::BYTEA, Value::Bytes(octets)) => out.put_slice(octets),
        (oid::JSONB, Value::Json(text)) => {
            out.put_u8(1);
            out.put_slice(text.as_bytes());
        }
        // A list where JSON is wanted, as its wire form.
        (oid::JSONB, Value::List(_)) => {
            out.put_u8(1);
            out.put_slice(wire::to_json(value).as_bytes());
        }
        (oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN, _) => match value {
            Value::Text(text) | Value::Json(text) => out.put_slice(text.as_bytes()),
            other => out.put_slice(wire::to_text(other).as_bytes()),
        },
        (oid::JSON, Value::Json(text)) => out.put_slice(text.as_bytes()),
        (oid::FIRST_OWN.., Value::Text(text)) => out.put_slice(text.as_bytes()),
        _ => return Err(unfit()),
    }
    Ok(IsNull::No)
}

/// An array: one dimension, counted from 1. <https://www.postgresql.org/docs/15/arrays.html>; the format is that of `array_send`.
fn encode_array(items: &[Value], ty: &PgType, out: &mut BytesMut) -> Result<IsNull, Failed> {
    let PgKind::Array(element) = ty.kind() else {
        return Err(format!("a list does not fit the parameter's type {ty}").into());
    };
    out.put_i32(i32::from(!items.is_empty()));
    out.put_i32(i32::from(items.iter().any(Value::is_null)));
    out.put_u32(element.oid());
    if !items.is_empty() {
        out.put_i32(i32::try_from(items.len())?);
        out.put_i32(1);
    }
    for item in items {
        let start = out.len();
        out.put_i32(-1);
        if let IsNull::No = encode(item, element, out)? {
            let length = i32::try_from(out.len() - start - 4)?;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(IsNull::No)
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Decimal(_) => "decimal",
        Value::Text(_) => "text",
        Value::Uuid(_) => "uuid",
        Value::Timestamp(_) => "timestamp",
        Value::Date(_) => "date",
        Value::Time(_) => "time",
        Value::Duration(_) => "duration",
        Value::Json(_) => "json",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "list",
    }
}

/// A decimal as `numeric_send` writes it: groups of four digits, the first of weight 10000^weight.
fn numeric(number: Decimal, out: &mut BytesMut) {
    let scale = u32::from(number.scale);
    let fraction_groups = scale.div_ceil(4);
    let mut rest = u128::from(number.unscaled.unsigned_abs()) * 10u128.pow(fraction_groups * 4 - scale);
    let mut groups = Vec::with_capacity(10);
    while rest > 0 {
        groups.push((rest % 10_000) as i16);
        rest /= 10_000;
    }
    let weight = groups.len() as i16 - 1 - fraction_groups as i16;
    groups.reverse();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    out.put_i16(groups.len() as i16);
    out.put_i16(if groups.is_empty() { 0 } else { weight });
    out.put_u16(if number.unscaled < 0 { 0x4000 } else { 0 });
    out.put_u16(u16::from(number.scale));
    for group in groups {
        out.put_i16(group);
    }
}

/// A number as `numeric_send` wrote it: `digits × 10^exponent`. `None` for NaN and the infinities.
struct Numeric {
    digits: i128,
    exponent: i32,
}

impl Numeric {
    /// More groups than these nine change nothing in 18 digits.
    const GROUPS_MAX: usize = 9;

    fn read(raw: &[u8]) -> Option<Numeric> {
        let half = |at: usize| Some(u16::from_be_bytes(raw.get(at..at + 2)?.try_into().ok()?));
        let (count, weight, sign) = (usize::from(half(0)?), half(2)? as i16, half(4)?);
        let count = count.min(Numeric::GROUPS_MAX);
        let mut digits = 0i128;
        for group in 0..count {
            digits = digits * 10_000 + i128::from(half(8 + 2 * group)?);
        }
        match sign {
            0 => {}
            0x4000 => digits = -digits,
            _ => return None,
        }
        Some(Numeric { digits, exponent: 4 * (i32::from(weight) + 1 - count as i32) })
    }

    /// At a scale, rounded half away from zero as PostgreSQL does. `None` when it is too large.
    fn at_scale(&self, scale: u8) -> Option<i64> {
        if self.digits == 0 {
            return Some(0);
        }
        let exponent = self.exponent + i32::from(scale);
        let power = 10i128.checked_pow(exponent.unsigned_abs());
        let exact = match (power, exponent >= 0) {
            (Some(power), true) => self.digits.checked_mul(power)?,
            (None, true) => return None,
            (Some(power), false) => (self.digits + self.digits.signum() * (power / 2)) / power,
            (None, false) => 0,
        };
        i64::try_from(exact).ok()
    }

    /// `None` when it is no whole number of 64 bits.
    fn whole(&self) -> Option<i64> {
        let number = self.at_scale(0)?;
        let power = 10i128.checked_pow(self.exponent.unsigned_abs())?;
        let exact = match self.exponent >= 0 {
            true => self.digits.checked_mul(power)? == i128::from(number),
            false => i128::from(number).checked_mul(power)? == self.digits,
        };
        exact.then_some(number)
    }

    fn float(&self) -> Option<f64> {
        // The parser rounds correctly; a product of doubles would not.
        format!("{}e{}", self.digits, self.exponent).parse().ok()
    }
}

/// The bytes of a cell.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &PgType, raw: &'a [u8]) -> Result<Raw<'a>, Failed> {
        Ok(Raw(raw))
    }

    fn accepts(_: &PgType) -> bool {
        true
    }
}

fn raw(row: &Row, position: usize) -> Option<(u32, &[u8])> {
    let ty = row.columns().get(position)?.type_().oid();
    let raw: Option<Raw<'_>> = row.try_get(position).ok()?;
    Some((ty, raw?.0))
}

/// What the server sent, in the meaning of a column, for all that needs no other form. What does not fit its type reads as null:
/// nothing of ours writes such a thing.
fn cell<'a>(ty: Type, stored: u32, raw: &'a [u8]) -> Cell<'a> {
    match ty {
        Type::Null | Type::List(_) => Cell::Null,
        Type::Duration => integer(stored, raw).map_or(Cell::Null, Cell::Int),
        Type::Scalar(kind) => scalar(kind, stored, raw),
    }
}

fn scalar<'a>(kind: Kind, stored: u32, raw: &'a [u8]) -> Cell<'a> {
    let of_text = || from_utf8(raw).ok();
    let found = match (kind, stored) {
        (Kind::Bool, oid::BOOL) => raw.first().map(|octet| Cell::Bool(*octet != 0)),
        (Kind::Int, _) => integer(stored, raw).map(Cell::Int),
        (Kind::Float, _) => {
            float(stored, raw).filter(|number| !number.is_nan()).map(|number| Cell::Float(number + 0.0))
        }
        (Kind::Decimal { scale, .. }, oid::NUMERIC) => {
            let unscaled = Numeric::read(raw).and_then(|number| number.at_scale(scale));
            unscaled.map(|unscaled| Cell::Decimal(Decimal { unscaled, scale }))
        }
        (Kind::Decimal { scale, .. }, _) => {
            let power = 10i64.checked_pow(u32::from(scale));
            let unscaled = integer(stored, raw).zip(power).and_then(|(number, power)| number.checked_mul(power));
            unscaled.map(|unscaled| Cell::Decimal(Decimal { unscaled, scale }))
        }
        (
            Kind::Text,
            oid::TEXT
            | oid::VARCHAR
            | oid::BPCHAR
            | oid::NAME
            | oid::CHAR
            | oid::JSON
            | oid::UNKNOWN
            | oid::FIRST_OWN..,
        ) => of_text().map(Cell::Text),
        (Kind::Uuid, oid::UUID) => Uuid::from_slice(raw).ok().map(Cell::Uuid),
        (Kind::Timestamp, oid::TIMESTAMPTZ | oid::TIMESTAMP) => {
            // The infinities of PostgreSQL overflow here.
            long(raw)
                .filter(|micros| *micros != i64::MIN)
                .and_then(|micros| micros.checked_add(EPOCH_MICROS))
                .map(Cell::Timestamp)
        }
        (Kind::Date, oid::DATE) => {
            int(raw).filter(|days| *days != i32::MIN).and_then(|days| days.checked_add(EPOCH_DAYS)).map(Cell::Date)
        }
        (Kind::Time, oid::TIME) => long(raw).map(Cell::Time),
        (Kind::Bytes, oid::BYTEA) => Some(Cell::Bytes(raw)),
        // JSON is made compact before it is lent.
        (
            Kind::Bool | Kind::Text | Kind::Uuid | Kind::Timestamp | Kind::Date | Kind::Time | Kind::Json | Kind::Bytes,
            _,
        ) => None,
    };
    found.unwrap_or(Cell::Null)
}

fn long(raw: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(raw.try_into().ok()?))
}

fn int(raw: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(raw.try_into().ok()?))
}

fn integer(stored: u32, raw: &[u8]) -> Option<i64> {
    match stored {
        oid::INT8 => long(raw),
        oid::INT4 => int(raw).map(i64::from),
        oid::INT2 => Some(i64::from(i16::from_be_bytes(raw.try_into().ok()?))),
        oid::OID => int(raw).map(|number| i64::from(number as u32)),
        oid::NUMERIC => Numeric::read(raw)?.whole(),
        _ => None,
    }
}

fn float(stored: u32, raw: &[u8]) -> Option<f64> {
    match stored {
        oid::FLOAT8 => Some(f64::from_be_bytes(raw.try_into().ok()?)),
        oid::FLOAT4 => Some(f64::from(f32::from_be_bytes(raw.try_into().ok()?))),
        oid::NUMERIC => Numeric::read(raw)?.float(),
        _ => integer(stored, raw).map(|number| number as f64),
    }
}

/// A row lent with the types of its columns.
pub(crate) struct Lent<'r> {
    row: &'r Row,
    columns: &'r [Type],
    scratch: &'r Scratch,
}

/// Room for those cells of a row that have another form on the wire than in the server's answer; used again for each row.
#[derive(Default)]
pub(crate) struct Scratch {
    text: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Scratch {
    /// Lends a row.
    pub(crate) fn lend<'r>(&'r mut self, row: &'r Row, columns: &'r [Type]) -> Lent<'r> {
        self.text.clear();
        self.ranges.clear();
        for (position, ty) in columns.iter().enumerate() {
            let start = self.text.len();
            match ty {
                Type::Scalar(Kind::Json) => {
                    if let Some((stored, raw)) = raw(row, position) {
                        write_stored_json(&mut self.text, stored, raw);
                    }
                }
                Type::List(kind) => {
                    if let Some((stored, raw)) = raw(row, position)
                        && write_list(&mut self.text, *kind, stored, raw).is_none()
                    {
                        self.text.truncate(start);
                    }
                }
                Type::Null | Type::Duration | Type::Scalar(_) => continue,
            }
            self.ranges.resize(position, 0..0);
            self.ranges.push(start..self.text.len());
        }
        Lent { row, columns, scratch: self }
    }
}

impl RowRef for Lent<'_> {
    fn cell(&self, position: usize) -> Cell<'_> {
        let Some(ty) = self.columns.get(position) else { return Cell::Null };
        let made = || {
            let range = self.scratch.ranges.get(position)?.clone();
            from_utf8(self.scratch.text.get(range)?).ok().filter(|text| !text.is_empty())
        };
        match ty {
            Type::Scalar(Kind::Json) => made().map_or(Cell::Null, Cell::Json),
            Type::List(_) => made().map_or(Cell::Null, Cell::List),
            ty => raw(self.row, position).map_or(Cell::Null, |(stored, raw)| cell(*ty, stored, raw)),
        }
    }
}

/// JSON of `jsonb` or `json`, without the spaces that PostgreSQL writes between its parts.
fn write_stored_json(out: &mut Vec<u8>, stored: u32, raw: &[u8]) {
    let text = match stored {
        // A version comes first; it has been 1 since there was one.
        oid::JSONB => raw.get(1..).unwrap_or_default(),
        oid::JSON | oid::TEXT | oid::UNKNOWN => raw,
        _ => return,
    };
    let mut rest = text;
    while let Some(quote) = rest.iter().position(|octet| *octet == b'"') {
        out.extend(rest[..quote].iter().filter(|octet| !octet.is_ascii_whitespace()));
        let mut end = quote + 1;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        let end = (end + 1).min(rest.len());
        out.extend_from_slice(&rest[quote..end]);
        rest = &rest[end..];
    }
    out.extend(rest.iter().filter(|octet| !octet.is_ascii_whitespace()));
}

/// An array as a JSON array of the wire form of its elements; of several dimensions, all elements in their order.
fn write_list(out: &mut Vec<u8>, kind: Kind, stored: u32, raw: &[u8]) -> Option<()> {
    if stored == oid::JSONB || stored == oid::JSON {
        write_stored_json(out, stored, raw);
        return Some(());
    }
    let number = |at: usize| int(raw.get(at..at + 4)?);
    let dimensions = usize::try_from(number(0)?).ok().filter(|dimensions| *dimensions <= 6)?;
    let element = number(8)? as u32;
    let mut at = 12 + 8 * dimensions;
    out.push(b'[');
    let mut first = true;
    while dimensions > 0 && at < raw.len() {
        if !first {
            out.push(b',');
        }
        first = false;
        let length = number(at)?;
        at += 4;
        let Ok(length) = usize::try_from(length) else {
            out.extend_from_slice(b"null");
            continue;
        };
        let octets = raw.get(at..at.checked_add(length)?)?;
        at += length;
        write_element(out, kind, element, octets);
    }
    out.push(b']');
    Some(())
}

fn write_element(out: &mut Vec<u8>, kind: Kind, stored: u32, raw: &[u8]) {
    if kind == Kind::Json {
        return write_stored_json(out, stored, raw);
    }
    match scalar(kind, stored, raw) {
        Cell::Text(text) => wire::write_json_string(out, text),
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Bool(value) => wire::write_json(out, &Value::Bool(value)),
        Cell::Int(number) => wire::write_int(out, number),
        Cell::Float(number) => wire::write_json(out, &Value::float(number)),
        Cell::Decimal(number) => wire::write_decimal(out, number),
        Cell::Uuid(id) => wire::write_json(out, &Value::Uuid(id)),
        Cell::Timestamp(micros) => wire::write_json(out, &Value::Timestamp(micros)),
        Cell::Date(days) => wire::write_json(out, &Value::Date(days)),
        Cell::Time(micros) => wire::write_json(out, &Value::Time(micros)),
        Cell::Json(text) | Cell::List(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Bytes(octets) => {
            out.push(b'"');
            wire::write_base64(out, octets);
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_there_and_back() {
        let numbers = [0, 1, -1, 9_999, 10_000, 10_001, 123_456_789, 999_999_999_999_999_999, i64::MAX, i64::MIN + 1];
        for unscaled in numbers {
            for scale in 0..=18 {
                let mut out = BytesMut::new();
                numeric(Decimal { unscaled, scale }, &mut out);
                assert_eq!(
                    Numeric::read(&out).and_then(|n| n.at_scale(scale)),
                    Some(unscaled),
                    "{unscaled} at {scale}"
                );
            }
        }
    }

    #[test]
    fn json_without_spaces() {
        for (text, expected) in [
            (r#"{"a": 1, "b c": [1, 2, {"d": " x "}]}"#, r#"{"a":1,"b c":[1,2,{"d":" x "}]}"#),
            (r#""a \" b\\""#, r#""a \" b\\""#),
            (r#"["\\", " "]"#, r#"["\\"," "]"#),
            ("null", "null"),
            ("1.50", "1.50"),
            // Not JSON; it must only not panic.
            ("\"a\\", "\"a\\"),
        ] {
            let mut out = Vec::new();
            write_stored_json(&mut out, oid::JSON, text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn odd_octets_are_no_panic() {
        let mut out = Vec::new();
        for length in 0..40 {
            for fill in [0u8, 1, 0x7f, 0xff] {
                let octets = vec![fill; length];
                for kind in [
                    Kind::Bool,
                    Kind::Int,
                    Kind::Float,
                    Kind::Decimal { precision: 18, scale: 2 },
                    Kind::Text,
                    Kind::Json,
                ] {
                    for stored in [oid::BOOL, oid::INT8, oid::NUMERIC, oid::FLOAT8, oid::JSONB, oid::TEXT] {
                        let _ = scalar(kind, stored, &octets);
                        let _ = write_list(&mut out, kind, stored, &octets);
                    }
                }
            }
        }
    }
}
