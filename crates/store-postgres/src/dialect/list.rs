//! Lists are arrays; a JSON array stands for one where an expression says so.

use super::{compare, scalar_type, tight};
use undergird_model::expr::Comparison;
use undergird_model::{Kind, Type};
use undergird_store::sql::Operand;

/// The elements of a list or a JSON array, one a row, and what an element is.
pub(super) fn elements(list: &Operand, kind: Kind, alias: &str) -> (String, String) {
    let from = match list.ty {
        Type::List(_) => format!("unnest({}) AS {alias}(v)", list.text),
        _ => format!("jsonb_array_elements(undergird.j_array({})) AS {alias}(v)", list.text),
    };
    let element = match (list.ty, kind) {
        (Type::List(_), Kind::Text) => format!("({alias}.v COLLATE \"C\")"),
        _ => format!("{alias}.v"),
    };
    (from, element)
}

/// Whether an item is in a list, or in JSON. Never null.
pub(super) fn contains(item: &Operand, list: &Operand) -> String {
    let kind = match list.ty {
        Type::List(kind) => kind,
        _ => Kind::Json,
    };
    let ty = Type::Scalar(kind);
    if matches!(list.ty, Type::List(_)) && compare::by_operators(item.ty, ty) {
        // The type is said, because of a select alone `ANY` would go over the rows.
        return format!("coalesce({} = ANY({}::{}), FALSE)", tight(item), tight(list), super::sql_type(list.ty));
    }
    let (from, text) = elements(list, kind, "l");
    let equal = compare::compare(Comparison::Equal, item, &Operand { ty, text });
    let among = format!("EXISTS (SELECT 1 FROM {from} WHERE {equal})");
    // A text may also be a member's name.
    let name = match (list.ty, item.ty) {
        (Type::JSON, Type::TEXT) => item.text.clone(),
        (Type::JSON, Type::JSON) => format!("undergird.j_string({})", item.text),
        _ => return among,
    };
    format!("({among} OR undergird.j_member({}, {name}))", list.text)
}

/// A list of expressions as one value, nulls left out.
pub(super) fn made(items: &[Operand], kind: Kind) -> String {
    let texts: Vec<String> = items.iter().map(tight).collect();
    format!("array_remove(ARRAY[{}]::{}[], NULL)", texts.join(", "), scalar_type(kind))
}
