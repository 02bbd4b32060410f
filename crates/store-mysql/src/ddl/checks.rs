//! Checks in the server's words. A condition is true or false, never null (a check that is null would pass), and of a type that
//! MySQL takes for a condition.
//!
//! Absent, because the engine holds every rule anyway: rules with small and capital letters, which the server's `LOWER` takes for more
//! than ASCII's, and rules about columns that the server lets in no check.

use crate::server::Server;
use crate::types::{literal, name, short, text};
use undergird_model::Type;
use undergird_store::schema::{Check, CheckRule, Column, Condition, OnDelete, Operand, SizeOf, Table, TextTest};

/// The clause of a check. `None` for one that this server cannot hold, or about a column that is not there.
pub(super) fn check_clause(server: &Server, table: &Table, check: &Check) -> Option<String> {
    let test = check_test(server, table, check)?;
    Some(format!("CONSTRAINT {} CHECK ({test})", name(&short(&check.name))))
}

/// What a check asks of a row.
pub(super) fn check_test(server: &Server, table: &Table, check: &Check) -> Option<String> {
    let column = check.column.as_ref().and_then(|column| table.column(column));
    if !can_hold(server, table, check) {
        return None;
    }
    let length = |column: &Column| match column.ty {
        Type::List(_) => format!("JSON_LENGTH({})", name(&column.name)),
        Type::TEXT => format!("CHAR_LENGTH({})", name(&column.name)),
        Type::Scalar(_) | Type::Null | Type::Duration => format!("LENGTH({})", name(&column.name)),
    };
    Some(match &check.rule {
        CheckRule::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|value| text(value)).collect();
            format!("{} IN ({})", name(&column?.name), values.join(", "))
        }
        CheckRule::AtLeast(bound) => format!("{} >= {}", name(&column?.name), literal(bound)),
        CheckRule::AtMost(bound) => format!("{} <= {}", name(&column?.name), literal(bound)),
        CheckRule::LengthAtLeast(bound) => format!("{} >= {bound}", length(column?)),
        CheckRule::LengthAtMost(bound) => format!("{} <= {bound}", length(column?)),
        CheckRule::Condition(rule) => condition(rule),
    })
}

/// Whether the server takes a check at all.
fn can_hold(server: &Server, table: &Table, check: &Check) -> bool {
    let mut columns: Vec<String> = check.column.iter().cloned().collect();
    let mut letters = false;
    if let CheckRule::Condition(rule) = &check.rule {
        rule.clone().each_column(&mut |column| columns.push(column.clone()));
        letters = has_letters(rule);
    }
    // Neither server has a numbered column in a check.
    let numbered = table.identity && columns.iter().any(|column| table.key.contains(column));
    let set_null = !server.checks_columns_set_null()
        && table
            .references
            .iter()
            .any(|reference| reference.on_delete == OnDelete::SetNull && columns.contains(&reference.column));
    !letters && !numbered && !set_null
}

fn has_letters(rule: &Condition) -> bool {
    fn of(operand: &Operand) -> bool {
        match operand {
            Operand::Null | Operand::Column(_) | Operand::Literal(_) => false,
            Operand::Size(_, inner) => of(inner),
            Operand::Lower(_) | Operand::Upper(_) => true,
        }
    }
    match rule {
        Condition::Constant(_) | Condition::Column(_) => false,
        Condition::All(list) | Condition::Any(list) => list.iter().any(has_letters),
        Condition::Not(inner) => has_letters(inner),
        Condition::Same(a, b) | Condition::Compare(a, _, b) | Condition::Text(_, a, b) => of(a) || of(b),
        Condition::OneOf(a, _) => of(a),
    }
}

fn condition(rule: &Condition) -> String {
    let all = |list: &[Condition], between: &str, none: &str| {
        if list.is_empty() {
            return none.to_owned();
        }
        let list: Vec<String> = list.iter().map(|inner| format!("({})", condition(inner))).collect();
        list.join(between)
    };
    match rule {
        Condition::Constant(true) => "1 = 1".into(),
        Condition::Constant(false) => "1 = 0".into(),
        Condition::Column(column) => format!("{} IS TRUE", name(column)),
        Condition::All(list) => all(list, " AND ", "1 = 1"),
        Condition::Any(list) => all(list, " OR ", "1 = 0"),
        Condition::Not(inner) => format!("NOT ({})", condition(inner)),
        Condition::Same(a, b) => format!("{} <=> {}", operand(a), operand(b)),
        Condition::Compare(a, operator, b) => {
            // The operator came out of a record: only the six are ever written.
            let operator = ["<", "<=", ">", ">=", "="].into_iter().find(|known| known == operator).unwrap_or("<>");
            format!("({} {operator} {}) IS TRUE", operand(a), operand(b))
        }
        Condition::OneOf(_, values) if values.is_empty() => "1 = 0".into(),
        Condition::OneOf(a, values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("({} IN ({})) IS TRUE", operand(a), values.join(", "))
        }
        Condition::Text(test, a, b) => {
            let (whole, part) = (operand(a), operand(b));
            let test = match test {
                TextTest::Contains => format!("LOCATE({part}, {whole}) > 0"),
                TextTest::StartsWith => format!("LEFT({whole}, CHAR_LENGTH({part})) = {part}"),
                TextTest::EndsWith => format!("RIGHT({whole}, CHAR_LENGTH({part})) = {part}"),
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
        Operand::Size(SizeOf::Text, inner) => format!("CHAR_LENGTH({})", operand(inner)),
        Operand::Size(SizeOf::Bytes, inner) => format!("LENGTH({})", operand(inner)),
        Operand::Size(SizeOf::List, inner) => format!("JSON_LENGTH({})", operand(inner)),
        // Such a rule is not held; see `can_hold`.
        Operand::Lower(inner) | Operand::Upper(inner) => operand(inner),
    }
}
