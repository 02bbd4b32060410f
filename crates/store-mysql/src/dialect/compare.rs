//! Comparisons that operators do, and those that functions do: JSON with anything, a double with an exact number, lists.

use super::tight;
use undergird_model::expr::Comparison;
use undergird_model::{Kind, Type};
use undergird_store::sql::Operand;

/// Whether the operators compare values of these types as expressions do.
pub(super) fn by_operators(left: Type, right: Type) -> bool {
    use Kind::{Decimal, Float, Int, Json};
    match (left, right) {
        (Type::Scalar(Json), _) | (_, Type::Scalar(Json)) => false,
        (Type::Scalar(Int | Decimal { .. }), Type::Scalar(Int | Decimal { .. })) => true,
        // Exact numbers would be compared as doubles.
        (Type::Scalar(Float), Type::Scalar(b)) => b == Float,
        (Type::Scalar(a), Type::Scalar(b)) => a == b,
        (Type::Duration, Type::Duration) => true,
        (Type::Null | Type::List(_) | Type::Duration | Type::Scalar(_), _) => false,
    }
}

/// What is lacking to compare values of these types.
pub(super) fn lacks(left: Type, right: Type, ordered: bool) -> Option<&'static str> {
    if left == Type::Null || right == Type::Null || by_operators(left, right) {
        return None;
    }
    match (left, right) {
        (Type::List(_), Type::List(_)) if ordered => Some("the order of lists"),
        (Type::List(a), Type::List(b)) if a != b => Some("comparison of lists of different types"),
        (Type::List(_), Type::List(_)) => None,
        _ => stand(&super::typed(left), &super::typed(right)).is_none().then_some("comparison of these types"),
    }
}

/// How two values stand, as a number: −1, 0 or 1, 2 where they are apart, 3 where both are null; null where one is.
fn stand(left: &Operand, right: &Operand) -> Option<String> {
    use Kind::{Bool, Bytes, Date, Decimal, Float, Int, Json, Text, Time, Timestamp, Uuid};
    let (Type::Scalar(a), Type::Scalar(b)) = (left.ty, right.ty) else { return None };
    let (name, swapped) = match (a, b) {
        (Json, Json) => ("jj", false),
        (Float, Int | Decimal { .. }) => ("fn", false),
        (Int | Decimal { .. }, Float) => ("fn", true),
        (Json, other) | (other, Json) => {
            let name = match other {
                Int | Decimal { .. } => "jn",
                Float => "jf",
                Bool => "jb",
                Text => "jt",
                Uuid => "ju",
                Timestamp => "jm",
                Date => "jd",
                Time => "jc",
                Bytes => "jo",
                Json => "jj",
            };
            (name, a != Json)
        }
        _ => return None,
    };
    let (first, second) = if swapped { (right, left) } else { (left, right) };
    let text = format!("ug_s_{name}({}, {})", first.text, second.text);
    // 2 and 3 have no contrary, and −2 and −3 are not asked for.
    Some(if swapped { format!("-{text}") } else { text })
}

pub(super) fn compare(comparison: Comparison, left: &Operand, right: &Operand) -> String {
    if let (Type::List(_), Type::List(_)) = (left.ty, right.ty) {
        // Equal lists have equal text. Their order is refused.
        let operator = if comparison == Comparison::NotEqual { "<>" } else { "=" };
        return format!("COALESCE({} {operator} {}, FALSE)", tight(left), tight(right));
    }
    let Some(stand) = stand(left, right) else { return "FALSE".into() };
    let wanted = match comparison {
        Comparison::Equal => "0",
        Comparison::NotEqual => "-2, -1, 1, 2",
        Comparison::Less => "-1",
        Comparison::LessOrEqual => "-1, 0",
        Comparison::Greater => "1",
        Comparison::GreaterOrEqual => "0, 1",
    };
    format!("COALESCE({stand} IN ({wanted}), FALSE)")
}

pub(super) fn same(left: &Operand, right: &Operand) -> String {
    if let (Type::List(_), Type::List(_)) = (left.ty, right.ty) {
        return format!("({} <=> {})", tight(left), tight(right));
    }
    match stand(left, right) {
        Some(stand) => format!("COALESCE({stand} IN (-3, 0, 3), FALSE)"),
        // Of types that never equal: they are the same where both are null.
        None => format!("({} IS NULL AND {} IS NULL)", tight(left), tight(right)),
    }
}
