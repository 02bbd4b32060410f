//! Lists: as one parameter, as a column of elements, as a value made of expressions. All are JSON arrays.

use super::{compare, convert, tight};
use undergird_model::expr::Comparison;
use undergird_model::{Kind, Type};
use undergird_store::sql::Operand;

/// A column of `JSON_TABLE` over a list that is bound as one parameter (`Bound::List`: numbers, 0 and 1 for bools, decimals and moments
/// as SQL writes them, octets as hexadecimal digits), and its value as a column stores it.
pub(super) fn stored_column(collation: &str, ty: Type, (name, path): (&str, &str), alias: &str) -> (String, String) {
    let plain = format!("{alias}.{name}");
    let (declared, value) = match ty {
        Type::Scalar(Kind::Bool | Kind::Int) | Type::Duration => ("BIGINT".to_owned(), plain),
        Type::Scalar(Kind::Float) => ("DOUBLE".to_owned(), plain),
        Type::Scalar(Kind::Decimal { scale, .. }) => (format!("DECIMAL(38,{scale})"), plain),
        Type::Scalar(Kind::Uuid) => ("CHAR(32)".to_owned(), format!("UNHEX({plain})")),
        Type::Scalar(Kind::Bytes) => ("LONGTEXT".to_owned(), format!("UNHEX({plain})")),
        Type::Scalar(Kind::Timestamp) => ("DATETIME(6)".to_owned(), plain),
        Type::Scalar(Kind::Date) => ("DATE".to_owned(), plain),
        Type::Scalar(Kind::Time) => ("TIME(6)".to_owned(), plain),
        Type::Scalar(Kind::Text | Kind::Json) | Type::List(_) | Type::Null => (text(collation), plain),
    };
    (format!("{name} {declared} PATH '{path}'"), value)
}

/// The type of text, said in full: else a column of `JSON_TABLE` has the database's character set.
fn text(collation: &str) -> String {
    format!("LONGTEXT CHARACTER SET utf8mb4 COLLATE {collation}")
}

/// The text of an element, strings unquoted, as a value of the list's kind.
pub(super) fn element(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Text | Kind::Json => text.to_owned(),
        Kind::Int => format!("CAST({text} AS SIGNED)"),
        Kind::Bool => format!("({text} = 'true')"),
        Kind::Float => format!("CAST({text} AS DOUBLE)"),
        Kind::Decimal { scale, .. } => format!("CAST({text} AS DECIMAL(38,{scale}))"),
        Kind::Uuid => format!("ug_uuid({text})"),
        Kind::Timestamp => format!("ug_moment({text})"),
        Kind::Date => format!("CAST({text} AS DATE)"),
        Kind::Time => format!("CAST({text} AS TIME(6))"),
        Kind::Bytes => format!("FROM_BASE64({text})"),
    }
}

/// The elements of a list or a JSON array, one a row, and what an element is.
pub(super) fn elements(collation: &str, list: &Operand, kind: Kind, alias: &str) -> (String, String) {
    match kind {
        Kind::Json => {
            let from = format!("JSON_TABLE(ug_j_array({}), '$[*]' COLUMNS(v JSON PATH '$')) AS {alias}", list.text);
            (from, format!("JSON_COMPACT({alias}.v)"))
        }
        _ => {
            let column = text(collation);
            let from = format!("JSON_TABLE({}, '$[*]' COLUMNS(v {column} PATH '$')) AS {alias}", list.text);
            (from, element(kind, &format!("{alias}.v")))
        }
    }
}

/// Whether an item is in a list, or in JSON. Never null.
pub(super) fn contains(collation: &str, item: &Operand, list: &Operand) -> String {
    let kind = match list.ty {
        Type::List(kind) => kind,
        _ => Kind::Json,
    };
    let (from, text) = elements(collation, list, kind, "l");
    let element = Operand { ty: Type::Scalar(kind), text };
    let equal = if compare::by_operators(item.ty, element.ty) {
        format!("{} = {}", tight(item), element.text)
    } else {
        compare::compare(Comparison::Equal, item, &element)
    };
    let among = format!("EXISTS (SELECT 1 FROM {from} WHERE {equal})");
    // A text may also be a member's name.
    let name = match (list.ty, item.ty) {
        (Type::JSON, Type::TEXT) => item.text.clone(),
        (Type::JSON, Type::JSON) => format!("ug_j_string({})", item.text),
        _ => return among,
    };
    format!("({among} OR ug_j_key_in({}, {name}))", list.text)
}

/// A list of expressions as one value, nulls left out.
pub(super) fn made(items: &[Operand], kind: Kind) -> String {
    if items.is_empty() {
        return "'[]'".into();
    }
    let texts: Vec<String> = items
        .iter()
        .map(|item| match kind {
            Kind::Text | Kind::Uuid | Kind::Timestamp | Kind::Date | Kind::Time | Kind::Bytes => {
                format!("ug_quote({})", convert::text_of(item))
            }
            Kind::Bool | Kind::Int | Kind::Float | Kind::Decimal { .. } | Kind::Json => convert::text_of(item),
        })
        .collect();
    format!("CONCAT('[', CONCAT_WS(',', {}), ']')", texts.join(", "))
}
