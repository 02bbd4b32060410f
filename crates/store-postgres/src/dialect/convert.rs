//! Conversions (CEL's `int()`, `string()`, …) and casts.

use super::{collated, tight};
use undergird_model::expr::Function;
use undergird_model::{Kind, Type};
use undergird_store::sql::Operand;

/// A value as text, in its wire form.
fn text_of(of: &Operand) -> String {
    let text = tight(of);
    collated(&match of.ty {
        Type::Scalar(kind) => match kind {
            Kind::Text => text,
            Kind::Json => format!("undergird.compact({text})"),
            Kind::Bool | Kind::Int | Kind::Uuid => format!("{text}::text"),
            // Of the type's scale, whatever the expression gave.
            Kind::Decimal { scale, .. } => format!("round({text}, {scale})::text"),
            Kind::Float => format!("undergird.f_text({text})"),
            Kind::Timestamp => format!(
                "undergird.trimmed(to_char({text} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')) || '+00:00'"
            ),
            Kind::Date => format!("to_char({text}, 'YYYY-MM-DD')"),
            Kind::Time => format!("undergird.trimmed(to_char({text}, 'HH24:MI:SS.US'))"),
            Kind::Bytes => format!("replace(encode({text}, 'base64'), E'\\n', '')"),
        },
        Type::Duration => format!("undergird.span_text({text})"),
        Type::List(kind) if has_json_form(kind) => format!("undergird.compact(to_jsonb({text}))"),
        Type::List(kind) => {
            let element = text_of(&element(kind));
            let element = match kind {
                Kind::Float | Kind::Decimal { .. } => element,
                _ => format!("to_json({element})::text"),
            };
            over(
                of,
                &format!("'[' || coalesce((SELECT string_agg({element}, ',' ORDER BY e.n) FROM {EACH}), '') || ']'"),
            )
        }
        Type::Null => format!("{text}::text"),
    })
}

/// The elements of what [`over`] is over, numbered.
const EACH: &str = "unnest(l.v) WITH ORDINALITY AS e(v, n)";

/// An element of [`EACH`].
fn element(kind: Kind) -> Operand {
    let text = if kind == Kind::Text { "e.v COLLATE \"C\"" } else { "e.v" };
    Operand { ty: Type::Scalar(kind), text: text.into() }
}

/// What becomes of a list, `l.v`, which is written once; null of null.
fn over(list: &Operand, text: &str) -> String {
    format!("(SELECT CASE WHEN l.v IS NOT NULL THEN {text} END FROM (SELECT {} AS v) AS l)", list.text)
}

/// The list of what becomes of each element; null where one of them is null.
fn each(becomes: &str, from: &str, to: Kind) -> String {
    let list = super::sql_type(Type::List(to));
    format!(
        "(SELECT CASE WHEN count(*) = count(c.v) THEN coalesce(array_agg(c.v ORDER BY c.n), '{{}}'::{list}) END \
         FROM (SELECT {becomes} AS v, e.n FROM {from}) AS c)"
    )
}

/// A list, or JSON, as a list of another kind.
fn cast_list(of: &Operand, to: Kind) -> Result<String, &'static str> {
    let scalar = Type::Scalar(to);
    match of.ty {
        Type::List(kind) => Ok(over(of, &each(&cast(&element(kind), scalar)?, EACH, to))),
        Type::JSON => {
            let string = Operand { ty: Type::TEXT, text: "(e.v #>> '{}') COLLATE \"C\"".into() };
            let becomes = format!(
                "CASE WHEN jsonb_typeof(e.v) = 'string' THEN {} ELSE {} END",
                cast(&string, scalar)?,
                cast(&element(Kind::Json), scalar)?
            );
            let from = "jsonb_array_elements(l.v) WITH ORDINALITY AS e(v, n)";
            let list = each(&becomes, from, to);
            Ok(over(of, &format!("CASE WHEN jsonb_typeof(l.v) = 'array' THEN {list} END")))
        }
        _ => Err("this cast"),
    }
}

/// Whether JSON of an array of these has the wire's form of the elements.
fn has_json_form(kind: Kind) -> bool {
    match kind {
        Kind::Bool | Kind::Int | Kind::Text | Kind::Uuid | Kind::Json | Kind::Date => true,
        Kind::Float | Kind::Decimal { .. } | Kind::Timestamp | Kind::Time | Kind::Bytes => false,
    }
}

/// A conversion, or what is lacking for it.
pub(super) fn conversion(function: Function, of: &Operand) -> Result<String, &'static str> {
    use Function as F;
    use Kind::{Bool, Date, Decimal, Float, Int, Json, Text, Timestamp, Uuid};
    let (text, tight) = (&of.text, tight(of));
    let kind = match of.ty {
        Type::Scalar(kind) => kind,
        _ if function == F::ToText => return Ok(text_of(of)),
        Type::Duration if function == F::ToDuration => return Ok(text.clone()),
        _ => return Err("this conversion"),
    };
    Ok(match (function, kind) {
        (F::ToText, Json) => collated(&format!("undergird.j_text({text})")),
        (F::ToText, _) => text_of(of),
        (F::ToInt, Int) | (F::ToFloat, Float) | (F::ToTimestamp, Timestamp) => text.clone(),
        (F::ToDate, Date) | (F::ToUuid, Uuid) | (F::ToBool, Bool) => text.clone(),
        (F::ToInt, Bool) => format!("{tight}::int::bigint"),
        (F::ToInt, Float) => format!("undergird.f_int(trunc({text}))"),
        (F::ToInt, Decimal { .. }) => format!("trunc({text})::bigint"),
        (F::ToInt, Text) => format!("undergird.t_int({text})"),
        (F::ToInt, Json) => format!("undergird.j_int({text})"),
        // Toward the past.
        (F::ToInt, Timestamp) => format!("floor(extract(epoch FROM {tight}))::bigint"),
        (F::ToFloat, Int | Decimal { .. }) => format!("{tight}::double precision"),
        (F::ToFloat, Text) => format!("undergird.f_of(undergird.number({text}))"),
        (F::ToFloat, Json) => format!("undergird.j_float({text})"),
        (F::ToTimestamp, Text) => format!("undergird.moment({text})"),
        (F::ToTimestamp, Json) => format!("undergird.j_moment({text})"),
        (F::ToTimestamp, Int) => format!("undergird.instant({tight}::numeric * 1000000)"),
        (F::ToTimestamp, Date) => format!("{tight}::timestamp AT TIME ZONE 'UTC'"),
        (F::ToDate, Text) => format!("undergird.date({text})"),
        (F::ToDate, Json) => format!("undergird.date(undergird.j_string({text}))"),
        (F::ToDate, Timestamp) => format!("({tight} AT TIME ZONE 'UTC')::date"),
        (F::ToUuid, Text) => format!("undergird.uuid({text})"),
        (F::ToUuid, Json) => format!("undergird.uuid(undergird.j_string({text}))"),
        (F::ToBool, Int) => format!("{tight} <> 0"),
        (F::ToBool, Text) => format!("undergird.bool({text})"),
        (F::ToBool, Json) => format!("undergird.j_bool({text})"),
        (F::ToDuration, Text) => format!("undergird.span({text})"),
        (F::ToDuration, Json) => format!("undergird.span(undergird.j_string({text}))"),
        _ => return Err("this conversion"),
    })
}

/// A cast, or what is lacking for it.
pub(super) fn cast(of: &Operand, to: Type) -> Result<String, &'static str> {
    use Kind::{Bool, Bytes, Date, Decimal, Float, Int, Json, Text, Time, Timestamp, Uuid};
    if of.ty == to {
        return Ok(of.text.clone());
    }
    let (text, tight) = (&of.text, tight(of));
    let (to, from) = match (to, of.ty) {
        (Type::TEXT, _) => return Ok(text_of(of)),
        (Type::Scalar(to), Type::Scalar(from)) => (to, from),
        (Type::JSON, Type::List(kind)) if has_json_form(kind) => return Ok(format!("to_jsonb({text})")),
        (Type::JSON, Type::List(kind)) => {
            let element = cast(&element(kind), Type::JSON)?;
            let list = format!("coalesce((SELECT jsonb_agg({element} ORDER BY e.n) FROM {EACH}), '[]')");
            return Ok(over(of, &list));
        }
        (Type::List(to), Type::List(_) | Type::JSON) => return cast_list(of, to),
        _ => return Err("this cast"),
    };
    let rounded = |number: &str, precision: u8, scale: u8| format!("undergird.dec({number}, {precision}, {scale})");
    Ok(match (to, from) {
        (Text, _) => text_of(of),
        (Int, Text) => format!("undergird.int_of({text})"),
        (Float, Text) => format!("undergird.f_of(undergird.number({text}))"),
        (Decimal { precision, scale }, Text) => rounded(&format!("undergird.number({text})"), precision, scale),
        (Bool, Text) => format!("undergird.bool_word({text})"),
        (Uuid, Text) => format!("undergird.uuid({text})"),
        (Timestamp, Text) => format!("undergird.moment({text})"),
        (Date, Text) => format!("undergird.date({text})"),
        (Time, Text) => format!("undergird.time({text})"),
        (Bytes, Text) => format!("undergird.octets({text})"),
        (Json, Text) => format!("undergird.j_of({text})"),
        (Json, Float) => format!("to_jsonb(undergird.number(undergird.f_text({text})))"),
        (Json, Decimal { scale, .. }) => format!("to_jsonb(round({text}, {scale}))"),
        (Json, Bool | Int | Uuid) => format!("to_jsonb({text})"),
        (Json, Timestamp | Date | Time | Bytes) => format!("to_jsonb({})", text_of(of)),
        (Bool, Json) => format!("CASE {text} WHEN 'true'::jsonb THEN TRUE WHEN 'false'::jsonb THEN FALSE END"),
        (Float, Json) => format!("undergird.f_of(undergird.j_number({text}))"),
        (Int, Json) => format!("undergird.int(round(undergird.j_number({text})))"),
        (Decimal { precision, scale }, Json) => rounded(&format!("undergird.j_number({text})"), precision, scale),
        (Bool, Int) => format!("{tight} <> 0"),
        (Int, Bool) => format!("{tight}::int::bigint"),
        // PostgreSQL rounds halves to even too.
        (Int, Float) => format!("undergird.f_int(round({text}))"),
        (Int, Decimal { .. }) => format!("undergird.int(round({text}))"),
        (Float, Int | Decimal { .. }) => format!("{tight}::double precision"),
        (Decimal { precision, scale }, Int | Decimal { .. }) => rounded(&format!("{tight}::numeric"), precision, scale),
        (Decimal { precision, scale }, Float) => {
            rounded(&format!("undergird.number(undergird.f_text({text}))"), precision, scale)
        }
        (Timestamp, Date) => format!("{tight}::timestamp AT TIME ZONE 'UTC'"),
        (Date, Timestamp) => format!("({tight} AT TIME ZONE 'UTC')::date"),
        (Time, Timestamp) => format!("({tight} AT TIME ZONE 'UTC')::time"),
        // Always null, of a type all the same. What is bound must stand in the text.
        (Bool | Int | Float | Decimal { .. } | Uuid | Timestamp | Date | Time | Bytes | Json, _) => {
            format!("CASE WHEN {tight} IS NULL THEN NULL::{} END", super::sql_type(Type::Scalar(to)))
        }
    })
}
