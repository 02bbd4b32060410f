//! Conversions (CEL's `int()`, `string()`, …) and casts.

use super::micros;
use undergird_model::expr::Function;
use undergird_model::{Kind, Type};
use undergird_store::sql::Operand;

/// A value as text, in its wire form.
pub(super) fn text_of(of: &Operand) -> String {
    let text = &of.text;
    match of.ty {
        Type::Scalar(kind) => match kind {
            Kind::Text | Kind::Json => text.clone(),
            Kind::Bool => format!("CASE WHEN {text} THEN 'true' WHEN NOT ({text}) THEN 'false' END"),
            Kind::Int => format!("CAST({text} AS CHAR)"),
            // Of the type's scale, whatever the expression gave.
            Kind::Decimal { scale, .. } => format!("CAST(CAST({text} AS DECIMAL(38,{scale})) AS CHAR)"),
            Kind::Float => format!("ug_f_text({text})"),
            Kind::Uuid => format!("ug_u_text({text})"),
            Kind::Timestamp => {
                format!("CONCAT({}, '+00:00')", trimmed(&format!("DATE_FORMAT({text}, '%Y-%m-%dT%H:%i:%s.%f')")))
            }
            Kind::Date => format!("DATE_FORMAT({text}, '%Y-%m-%d')"),
            Kind::Time => trimmed(&format!("TIME_FORMAT({text}, '%H:%i:%s.%f')")),
            Kind::Bytes => format!("REPLACE(TO_BASE64({text}), CHAR(10), '')"),
        },
        Type::Duration => format!("ug_span_text({text})"),
        Type::List(_) | Type::Null => text.clone(),
    }
}

/// A fraction of a second without what it need not say.
fn trimmed(text: &str) -> String {
    format!("TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))")
}

/// A conversion, or what is lacking for it.
pub(super) fn conversion(function: Function, of: &Operand) -> Result<String, &'static str> {
    use Function as F;
    use Kind::{Bool, Date, Decimal, Float, Int, Json, Text, Timestamp, Uuid};
    let text = &of.text;
    let kind = match of.ty {
        Type::Scalar(kind) => kind,
        _ if function == F::ToText => return Ok(text_of(of)),
        Type::Duration if function == F::ToDuration => return Ok(text.clone()),
        _ => return Err("this conversion"),
    };
    Ok(match (function, kind) {
        (F::ToText, Json) => format!("ug_j_text({text})"),
        (F::ToText, _) => text_of(of),
        (F::ToInt, Int) | (F::ToFloat, Float) | (F::ToTimestamp, Timestamp) => text.clone(),
        (F::ToDate, Date) | (F::ToUuid, Uuid) | (F::ToBool, Bool) => text.clone(),
        (F::ToInt, Bool) => format!("CAST({text} AS SIGNED)"),
        (F::ToInt, Float) => format!("ug_f_trunc({text})"),
        (F::ToInt, Decimal { .. }) => format!("ug_int(TRUNCATE({text}, 0))"),
        (F::ToInt, Text) => format!("ug_t_int({text})"),
        (F::ToInt, Json) => format!("ug_j_int({text})"),
        // Toward the past.
        (F::ToInt, Timestamp) => format!("CAST(FLOOR({} / 1000000) AS SIGNED)", micros(text)),
        (F::ToFloat, Int | Decimal { .. }) => format!("CAST({text} AS DOUBLE)"),
        (F::ToFloat, Text) => format!("ug_f_of({text})"),
        (F::ToFloat, Json) => format!("ug_j_float({text})"),
        (F::ToTimestamp, Text) => format!("ug_moment({text})"),
        (F::ToTimestamp, Json) => format!("ug_j_moment({text})"),
        (F::ToTimestamp, Int) => format!("ug_instant(CAST({text} AS DECIMAL(20,0)) * 1000000)"),
        (F::ToTimestamp, Date) => format!("CAST({text} AS DATETIME(6))"),
        (F::ToDate, Text) => format!("ug_date({text})"),
        (F::ToDate, Json) => format!("ug_date(ug_j_string({text}))"),
        (F::ToDate, Timestamp) => format!("CAST({text} AS DATE)"),
        (F::ToUuid, Text) => format!("ug_uuid({text})"),
        (F::ToUuid, Json) => format!("ug_uuid(ug_j_string({text}))"),
        (F::ToBool, Int) => format!("(({text}) <> 0)"),
        (F::ToBool, Text) => format!("ug_bool({text})"),
        (F::ToBool, Json) => format!("ug_j_bool({text})"),
        (F::ToDuration, _) => return Err("a duration read from text"),
        _ => return Err("this conversion"),
    })
}

/// A cast, or what is lacking for it.
pub(super) fn cast(of: &Operand, to: Type) -> Result<String, &'static str> {
    use Kind::{Bool, Bytes, Date, Decimal, Float, Int, Json, Text, Time, Timestamp, Uuid};
    if of.ty == to {
        return Ok(of.text.clone());
    }
    let text = &of.text;
    let (to, from) = match (to, of.ty) {
        (Type::TEXT, _) => return Ok(text_of(of)),
        (Type::Scalar(to), Type::Scalar(from)) => (to, from),
        (Type::JSON, Type::List(Text | Uuid | Date | Time | Timestamp | Bytes | Bool | Int | Decimal { .. })) => {
            return Ok(text.clone());
        }
        (Type::List(_), _) | (_, Type::List(_)) => return Err("a cast of a list"),
        _ => return Err("this cast"),
    };
    let rounded = |number: &str, precision: u8, scale: u8| {
        format!("CAST(ug_dec({number}, {precision}, {scale}) AS DECIMAL(38,{scale}))")
    };
    Ok(match (to, from) {
        (Text, _) => text_of(of),
        (Int, Text) => format!("ug_int_of({text})"),
        (Float, Text) => format!("ug_f_of({text})"),
        (Decimal { precision, scale }, Text) => {
            // Through the check of a float, as casts read it: what is too large for one is none.
            format!("CAST(ug_dec_of(ug_plain({text}), {precision}, {scale}) AS DECIMAL(38,{scale}))")
        }
        (Bool, Text) => format!("ug_bool_word({text})"),
        (Uuid, Text) => format!("ug_uuid({text})"),
        (Timestamp, Text) => format!("ug_moment({text})"),
        (Date, Text) => format!("ug_date({text})"),
        (Time, Text) => format!("ug_time({text})"),
        (Bytes, Text) => format!("ug_octets({text})"),
        (Json, Text) => format!("ug_t_json({text})"),
        (Json, Float) => format!("ug_plain(ug_f_text({text}))"),
        (Json, Bool | Int | Decimal { .. }) => text_of(of),
        (Json, Uuid | Timestamp | Date | Time | Bytes) => format!("ug_quote({})", text_of(of)),
        (Bool, Json) => format!("CASE {text} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"),
        (Float, Json) => format!("ug_f_of(ug_j_number({text}))"),
        (Int, Json) => format!("ug_t_int(CAST(CAST(ug_dec_of(ug_j_number({text}), 20, 0) AS DECIMAL(38,0)) AS CHAR))"),
        (Decimal { precision, scale }, Json) => {
            format!("CAST(ug_dec_of(ug_j_number({text}), {precision}, {scale}) AS DECIMAL(38,{scale}))")
        }
        (Bool, Int) => format!("(({text}) <> 0)"),
        (Int, Bool) => format!("CAST({text} AS SIGNED)"),
        (Int, Float) => format!("ug_f_even({text})"),
        (Int, Decimal { .. }) => format!("ug_int(ROUND({text}))"),
        (Float, Int | Decimal { .. }) => format!("CAST({text} AS DOUBLE)"),
        (Decimal { precision, scale }, Int | Decimal { .. }) => rounded(text, precision, scale),
        (Decimal { precision, scale }, Float) => {
            format!("CAST(ug_dec_of(ug_plain(ug_f_text({text})), {precision}, {scale}) AS DECIMAL(38,{scale}))")
        }
        (Timestamp, Date) => format!("CAST({text} AS DATETIME(6))"),
        (Date, Timestamp) => format!("CAST({text} AS DATE)"),
        (Time, Timestamp) => format!("CAST({text} AS TIME(6))"),
        // Always null, of a type all the same.
        (Bool | Int | Float | Decimal { .. } | Uuid | Timestamp | Date | Time | Bytes | Json, _) => "NULL".into(),
    })
}
