//! Comparisons that operators do, and those that functions do: JSON with anything, a double with an exact number.

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
        // Arrays stand as lists do: element by element, then by length. JSON has an order of its own there.
        (Type::List(Json), _) | (_, Type::List(Json)) => false,
        (Type::List(Decimal { .. }), Type::List(Decimal { .. })) => true,
        (Type::List(a), Type::List(b)) => a == b,
        (Type::Null | Type::List(_) | Type::Duration | Type::Scalar(_), _) => false,
    }
}

/// What is lacking to compare values of these types.
pub(super) fn lacks(left: Type, right: Type, ordered: bool) -> Option<&'static str> {
    if left == Type::Null || right == Type::Null || by_operators(left, right) {
        return None;
    }
    match (left, right) {
        (Type::List(Kind::Json), Type::List(Kind::Json)) if !ordered => None,
        (Type::List(_), Type::List(_)) => Some("comparison of lists of different types"),
        _ => stand(&super::typed(left), &super::typed(right)).is_none().then_some("comparison of these types"),
    }
}

/// A double's exact value, or what another number is already.
fn exact(of: &Operand) -> String {
    if of.ty == Type::FLOAT { format!("undergird.exact({})", of.text) } else { format!("{}::numeric", tight(of)) }
}

/// How two values stand, as a number: −1, 0 or 1, 2 where they are apart; null where one is. The other way round when the second says so.
fn stand(left: &Operand, right: &Operand) -> Option<(String, bool)> {
    let (Type::Scalar(a), Type::Scalar(b)) = (left.ty, right.ty) else { return None };
    let (json, other, swapped) = match (a, b) {
        (Kind::Json, _) => (left, right, false),
        (_, Kind::Json) => (right, left, true),
        _ if left.ty.is_number() && right.ty.is_number() => {
            return Some((format!("sign({} - {})", exact(left), exact(right)), false));
        }
        _ => return None,
    };
    let other = if other.ty.is_number() { exact(other) } else { other.text.clone() };
    Some((format!("undergird.stand({}, {other})", json.text), swapped))
}

pub(super) fn compare(comparison: Comparison, left: &Operand, right: &Operand) -> String {
    if let (Type::List(_), Type::List(_)) = (left.ty, right.ty) {
        // Of JSON: their order is refused.
        let operator = if comparison == Comparison::NotEqual { "<>" } else { "=" };
        return format!("coalesce({} {operator} {}, FALSE)", tight(left), tight(right));
    }
    let Some((stand, swapped)) = stand(left, right) else { return "FALSE".into() };
    let (less, greater) = if swapped { ("1", "-1") } else { ("-1", "1") };
    let wanted = match comparison {
        Comparison::Equal => "0".to_owned(),
        Comparison::NotEqual => "-1, 1, 2".to_owned(),
        Comparison::Less => less.to_owned(),
        Comparison::LessOrEqual => format!("{less}, 0"),
        Comparison::Greater => greater.to_owned(),
        Comparison::GreaterOrEqual => format!("0, {greater}"),
    };
    format!("coalesce({stand} IN ({wanted}), FALSE)")
}

pub(super) fn same(left: &Operand, right: &Operand) -> String {
    let both_null = format!("{} IS NULL AND {} IS NULL", tight(left), tight(right));
    if let (Type::List(_), Type::List(_)) = (left.ty, right.ty) {
        return format!("({} IS NOT DISTINCT FROM {})", tight(left), tight(right));
    }
    match stand(left, right) {
        Some((stand, _)) => format!("coalesce({stand} = 0, {both_null})"),
        // Of types that never equal: they are the same where both are null.
        None => format!("({both_null})"),
    }
}
