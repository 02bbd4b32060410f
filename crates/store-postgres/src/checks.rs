//! Checks and conditions in PostgreSQL's words.
//!
//! A condition never says "unknown", whatever its columns hold and whether they may be null: so it stays right when a column becomes
//! optional, and PostgreSQL, for which an unknown check passes, decides nothing. Absent: which checks there are.

use crate::types::{default, literal, name, text};
use std::collections::BTreeSet;
use undergird_model::{Kind, Type};
use undergird_store::schema::{Check, CheckRule, Column, Condition, Literal, Operand, SizeOf, Table, TextTest};

/// Integers up to here are doubles too.
const EXACT_MAX: u64 = 1 << 53;

/// The clause of a check. `None` for one about a column that is not there, which the model excludes.
pub(crate) fn clause(table: &Table, check: &Check) -> Option<String> {
    let column = check.column.as_ref().and_then(|column| table.column(column));
    let bound = |column: &Column, value: &Literal| default(value, column.ty);
    let test = match &check.rule {
        CheckRule::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|value| text(value)).collect();
            format!("{} IN ({})", name(&column?.name), values.join(", "))
        }
        CheckRule::AtLeast(value) => format!("{} >= {}", name(&column?.name), bound(column?, value)),
        CheckRule::AtMost(value) => format!("{} <= {}", name(&column?.name), bound(column?, value)),
        CheckRule::LengthAtLeast(value) => format!("{} >= {value}", length(column?)),
        CheckRule::LengthAtMost(value) => format!("{} <= {value}", length(column?)),
        CheckRule::Condition(rule) => condition(table, rule),
    };
    Some(format!("CONSTRAINT {} CHECK ({test})", name(&check.name)))
}

/// Whether a check says anything about a column.
pub(crate) fn mentions(check: &Check, column: &str) -> bool {
    let mut columns: BTreeSet<String> = check.column.iter().cloned().collect();
    if let CheckRule::Condition(condition) = &check.rule {
        condition.clone().each_column(&mut |name| {
            columns.insert(name.clone());
        });
    }
    columns.contains(column)
}

fn length(column: &Column) -> String {
    let function = match column.ty {
        Type::List(_) => "cardinality",
        Type::Scalar(Kind::Bytes) => "octet_length",
        Type::Scalar(_) | Type::Null | Type::Duration => "char_length",
    };
    format!("{function}({})", name(&column.name))
}

/// A condition that is true or false, never null.
fn condition(table: &Table, rule: &Condition) -> String {
    let all = |list: &[Condition], between: &str, none: &str| {
        if list.is_empty() {
            return none.to_owned();
        }
        let list: Vec<String> = list
            .iter()
            .map(|inner| match inner {
                Condition::All(_) | Condition::Any(_) => format!("({})", condition(table, inner)),
                _ => condition(table, inner),
            })
            .collect();
        list.join(between)
    };
    match rule {
        Condition::Constant(value) => literal(&Literal::Bool(*value)),
        Condition::Column(column) => format!("{} IS TRUE", name(column)),
        Condition::All(list) => all(list, " AND ", "TRUE"),
        Condition::Any(list) => all(list, " OR ", "FALSE"),
        Condition::Not(inner) => format!("NOT ({})", condition(table, inner)),
        Condition::Same(a, Operand::Null) | Condition::Same(Operand::Null, a) => format!("{} IS NULL", operand(a)),
        Condition::Same(a, b) => match mixed(table, a, "=", b) {
            Some(test) => format!("(({} IS NULL AND {} IS NULL) OR ({test}) IS TRUE)", operand(a), operand(b)),
            None => format!("{} IS NOT DISTINCT FROM {}", operand(a), operand(b)),
        },
        Condition::Compare(a, operator, b) => {
            // The operator came out of a record: only the six are ever written.
            let operator = ["<", "<=", ">", ">=", "="].into_iter().find(|known| known == operator).unwrap_or("<>");
            match mixed(table, a, operator, b) {
                Some(test) => format!("({test}) IS TRUE"),
                None => format!("({} {operator} {}) IS TRUE", operand(a), operand(b)),
            }
        }
        Condition::OneOf(_, values) if values.is_empty() => "FALSE".into(),
        Condition::OneOf(a, values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("({} IN ({})) IS TRUE", operand(a), values.join(", "))
        }
        Condition::Text(test, a, b) => {
            let (whole, part) = (operand(a), operand(b));
            let test = match test {
                TextTest::Contains => format!("strpos({whole}, {part}) > 0"),
                TextTest::StartsWith => format!("starts_with({whole}, {part})"),
                TextTest::EndsWith => format!("right({whole}, char_length({part})) = {part}"),
            };
            format!("({test}) IS TRUE")
        }
    }
}

fn operand(of: &Operand) -> String {
    match of {
        Operand::Null => "NULL".into(),
        Operand::Column(column) => name(column),
        Operand::Literal(value) => literal(value),
        Operand::Size(SizeOf::Text, inner) => format!("char_length({})", operand(inner)),
        Operand::Size(SizeOf::Bytes, inner) => format!("octet_length({})", operand(inner)),
        Operand::Size(SizeOf::List, inner) => format!("cardinality({})", operand(inner)),
        // Under this collation they fold ASCII alone, as the rule does.
        Operand::Lower(inner) => format!("lower({} COLLATE \"C\")", operand(inner)),
        Operand::Upper(inner) => format!("upper({} COLLATE \"C\")", operand(inner)),
    }
}

/// An integer compared with a double by their values. PostgreSQL makes a double of the integer first, and beyond 2^53 another number.
fn mixed(table: &Table, a: &Operand, operator: &str, b: &Operand) -> Option<String> {
    let kind = |of: &Operand| match of {
        Operand::Column(column) => table.column(column).map(|column| column.ty),
        // A double that is a constant stands there as a numeric, which compares exactly with integers.
        Operand::Literal(Literal::Int(value)) if value.unsigned_abs() > EXACT_MAX => Some(Type::INT),
        _ => None,
    };
    let compared = |integer: &Operand, double: &Operand, operator: &str| {
        let (n, f) = (format!("({})::bigint", operand(integer)), operand(double));
        format!(
            "CASE WHEN {f} >= 9223372036854775808 THEN -1 {operator} 0 WHEN {f} < -9223372036854775808 THEN 1 {operator} 0 \
             ELSE ({n}, 0::double precision) {operator} (trunc({f})::bigint, sign({f} - trunc({f}))) END"
        )
    };
    let (one, other) = (kind(a)?, kind(b)?);
    let test = match (one, other) {
        (Type::INT, Type::FLOAT) => compared(a, b, operator),
        (Type::FLOAT, Type::INT) => {
            let turned = match operator {
                "<" => ">",
                "<=" => ">=",
                ">" => "<",
                ">=" => "<=",
                same => same,
            };
            compared(b, a, turned)
        }
        _ => return None,
    };
    // With one of them null the case would fall to its last arm, where the row may still be decided by the other part.
    Some(format!("{} IS NOT NULL AND {} IS NOT NULL AND {test}", operand(a), operand(b)))
}
