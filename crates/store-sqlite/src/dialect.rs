//! SQLite's words. What its operators say differently from our expressions goes through the functions of [`crate::functions`].

use crate::signature::{Signature, type_tag};
use undergird_model::expr::{Arithmetic, Comparison, Function};
use undergird_model::{Kind, Type};
use undergird_store::Dialect;
use undergird_store::sql::{Form, Operand};

/// SQLite's dialect.
pub static DIALECT: Sqlite = Sqlite;

/// See [`DIALECT`].
pub struct Sqlite;

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn call(name: &str, signature: &str, operands: &[&Operand]) -> String {
    let mut text = format!("{name}({}", quoted(signature));
    for operand in operands {
        text.push_str(", ");
        text.push_str(&operand.text);
    }
    text.push(')');
    text
}

fn pair(left: &Operand, right: &Operand) -> String {
    format!("{},{}", type_tag(left.ty), type_tag(right.ty))
}

impl Dialect for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn parameter(&self, number: usize, _: Type) -> String {
        format!("?{number}")
    }

    fn form(&self, ty: Type, storage: Option<&str>) -> Result<Form, String> {
        crate::kept::form(ty, storage)
    }

    fn bool_literal(&self, value: bool) -> &'static str {
        if value { "1" } else { "0" }
    }

    fn same_operators(&self) -> (&'static str, Option<&'static str>) {
        ("IS", Some("IS NOT"))
    }

    fn compares(&self, left: Type, right: Type) -> bool {
        use Kind::{Decimal, Float, Int};
        match (left, right) {
            (Type::Scalar(Kind::Json), _) | (_, Type::Scalar(Kind::Json)) => false,
            (Type::Scalar(Decimal { scale: a, .. }), Type::Scalar(Decimal { scale: b, .. })) => a == b,
            (Type::Scalar(Int), Type::Scalar(Float)) | (Type::Scalar(Float), Type::Scalar(Int)) => true,
            (Type::Scalar(a), Type::Scalar(b)) => a == b,
            (Type::Duration, Type::Duration) => true,
            (Type::Null | Type::List(_) | Type::Duration | Type::Scalar(_), _) => false,
        }
    }

    fn compare(&self, comparison: Comparison, left: &Operand, right: &Operand) -> String {
        call("ug_compare", &format!("{comparison:?}:{}", pair(left, right)), &[left, right])
    }

    fn same(&self, left: &Operand, right: &Operand) -> String {
        call("ug_same", &pair(left, right), &[left, right])
    }

    fn in_parameter(&self, item: &str, parameter: &str, _: Type) -> String {
        format!("{item} IN rarray({parameter})")
    }

    fn in_rows(&self, columns: &[String], parameters: &[String], _: &[Type]) -> String {
        // The rows are put together by position. The limit keeps SQLite from folding the inner selects into the join, so that it
        // builds an index over each instead of running through it for every row.
        let mut from = String::new();
        for (at, parameter) in parameters.iter().enumerate() {
            if at > 0 {
                from.push_str(", ");
            }
            from.push_str(&format!("(SELECT rowid AS n, value AS v FROM rarray({parameter}) LIMIT -1) AS k{at}"));
        }
        let values: Vec<String> = (0..parameters.len()).map(|at| format!("k{at}.v")).collect();
        let joined: Vec<String> = (1..parameters.len()).map(|at| format!("k{at}.n = k0.n")).collect();
        let condition = if joined.is_empty() { String::new() } else { format!(" WHERE {}", joined.join(" AND ")) };
        format!("({}) IN (SELECT {} FROM {from}{condition})", columns.join(", "), values.join(", "))
    }

    fn in_list(&self, item: &Operand, list: &Operand) -> String {
        call("ug_in", &pair(item, list), &[item, list])
    }

    fn elements(&self, list: &Operand, kind: Kind, alias: &str) -> (String, String) {
        let from = match (kind, list.ty) {
            // Their elements are the same in the list as in a column.
            (Kind::Text | Kind::Int | Kind::Bool, Type::List(_)) => format!("json_each({}) AS {alias}", list.text),
            _ => {
                let elements = call("ug_elements", &type_tag(list.ty), &[list]);
                format!("json_each({elements}) AS {alias}")
            }
        };
        let element = match kind {
            Kind::Uuid | Kind::Bytes => format!("unhex({alias}.value)"),
            _ => format!("{alias}.value"),
        };
        (from, element)
    }

    fn list(&self, items: &[Operand], kind: Kind) -> String {
        let signature: Vec<String> = items.iter().map(|item| type_tag(item.ty)).collect();
        let items: Vec<&Operand> = items.iter().collect();
        call("ug_list", &format!("{}:{}", type_tag(Type::Scalar(kind)), signature.join(",")), &items)
    }

    fn arithmetic(&self, operator: Arithmetic, left: &Operand, right: &Operand, result: Type) -> String {
        call("ug_arithmetic", &format!("{operator:?}:{}>{}", pair(left, right), type_tag(result)), &[left, right])
    }

    fn negate(&self, operand: &Operand) -> String {
        call("ug_negate", &type_tag(operand.ty), &[operand])
    }

    fn function(&self, function: Function, arguments: &[Operand], result: Type) -> String {
        match (function, arguments) {
            // The built-in ones of the same meaning, which are faster than a call to ours.
            (Function::TextSize | Function::BytesSize, [of]) => format!("length({})", of.text),
            (Function::LowerAscii, [of]) => format!("lower({})", of.text),
            (Function::UpperAscii, [of]) => format!("upper({})", of.text),
            (Function::Contains, [text, part]) => format!("instr({}, {}) > 0", text.text, part.text),
            (Function::Concatenate, [left, right]) => format!("({}) || ({})", left.text, right.text),
            _ => {
                let types = arguments.iter().map(|argument| argument.ty).collect();
                let signature = Signature { function, arguments: types, result };
                let arguments: Vec<&Operand> = arguments.iter().collect();
                call("ug_call", &signature.to_string(), &arguments)
            }
        }
    }

    fn sum(&self, of: &Operand) -> String {
        match of.ty {
            Type::FLOAT => format!("sum({})", of.text),
            _ => format!("ug_sum({})", of.text),
        }
    }

    fn average(&self, of: &Operand) -> String {
        match of.ty {
            Type::Scalar(Kind::Decimal { scale, .. }) if scale > 0 => {
                // The sum as the nearest double first, as elsewhere: the other order differs in the last digit.
                format!("total({0}) / 1{1}.0 / count({0})", of.text, "0".repeat(usize::from(scale)))
            }
            _ => format!("avg({})", of.text),
        }
    }

    fn order_keys(&self, by: &Operand) -> Vec<String> {
        vec![match by.ty {
            Type::Scalar(Kind::Json) => format!("ug_order({})", by.text),
            _ => by.text.clone(),
        }]
    }

    fn nulls_are_smallest(&self) -> bool {
        true
    }

    /// Without it, SQLite takes every equality with an indexed column for rare: the 20 first posts in order of their ids, under the rule
    /// `status == 'published'`, were all posts of that status, sorted (5 ms of 100,000 rows instead of 6 µs). An index may still be used.
    fn likely(&self, condition: String) -> String {
        format!("likely({condition})")
    }

    fn no_limit(&self) -> Option<&'static str> {
        Some("-1")
    }

    fn default_row(&self) -> &'static str {
        "DEFAULT VALUES"
    }
}
