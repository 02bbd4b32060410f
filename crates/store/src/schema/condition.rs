//! Rules over one row that a database can hold as a constraint: the part of the expression language whose meaning every SQL
//! database expresses exactly, without functions of ours. Other rules are enforced by the engine alone.
//!
//! Absent on purpose: arithmetic (overflow is null in a rule, and an error or a double in SQL), JSON, regular expressions, time.

use super::Literal;
use serde::{Deserialize, Serialize};
use undergird_model::expr::{Comparison, Function, Node, RowVar};
use undergird_model::schema::Collection;
use undergird_model::{Decimal, Expr, Kind, Type, Value};

/// A two-valued rule over the columns of one row; its meaning is that of [`undergird_model::expr`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Always or never.
    Constant(bool),
    /// The bool column is true.
    Column(String),
    /// All of them.
    All(Vec<Condition>),
    /// Any of them.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// Both are null, or both are not and equal.
    Same(Operand, Operand),
    /// False when either is null. One of `<`, `<=`, `>`, `>=`, `=`, `<>`.
    Compare(Operand, String, Operand),
    /// One of these; false when null.
    OneOf(Operand, Vec<Literal>),
    /// A question about text; false when either is null.
    Text(TextTest, Operand, Operand),
}

/// Questions about text: what contains, then what is contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "their names say it")]
pub enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

/// Something with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// Null.
    Null,
    /// A column of the row.
    Column(String),
    /// A constant.
    Literal(Literal),
    /// A number of characters, octets or elements.
    Size(SizeOf, Box<Operand>),
    /// ASCII letters made small.
    Lower(Box<Operand>),
    /// ASCII letters made capital.
    Upper(Box<Operand>),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "their names say it")]
pub enum SizeOf {
    Text,
    Bytes,
    List,
}

impl Condition {
    /// Calls `f` on every column's name.
    pub fn each_column(&mut self, f: &mut dyn FnMut(&mut String)) {
        match self {
            Condition::Constant(_) => {}
            Condition::Column(name) => f(name),
            Condition::All(list) | Condition::Any(list) => list.iter_mut().for_each(|inner| inner.each_column(f)),
            Condition::Not(inner) => inner.each_column(f),
            Condition::Same(a, b) | Condition::Compare(a, _, b) | Condition::Text(_, a, b) => {
                a.each_column(f);
                b.each_column(f);
            }
            Condition::OneOf(a, _) => a.each_column(f),
        }
    }
}

impl Operand {
    fn each_column(&mut self, f: &mut dyn FnMut(&mut String)) {
        match self {
            Operand::Null | Operand::Literal(_) => {}
            Operand::Column(name) => f(name),
            Operand::Size(_, inner) | Operand::Lower(inner) | Operand::Upper(inner) => inner.each_column(f),
        }
    }
}

/// The rule as a condition, when a database can hold it: only the row's own fields, only operations that SQL has with the same
/// meaning. `None` when the engine must enforce it.
pub fn checkable(collection: &Collection, rule: &Expr) -> Option<Condition> {
    match &rule.node {
        Node::Literal(Value::Bool(value)) => Some(Condition::Constant(*value)),
        Node::Literal(Value::Null) => Some(Condition::Constant(false)),
        Node::Field(RowVar::THIS, id) if rule.ty == Type::BOOL => {
            Some(Condition::Column(collection.fields.get(usize::from(id.index))?.column.clone()))
        }
        Node::Not(inner) => Some(Condition::Not(Box::new(checkable(collection, inner)?))),
        Node::And(list) => Some(Condition::All(conditions(collection, list)?)),
        Node::Or(list) => Some(Condition::Any(conditions(collection, list)?)),
        Node::If(parts) => {
            let [condition, then, otherwise] = parts.as_ref();
            let condition = checkable(collection, condition)?;
            Some(Condition::Any(vec![
                Condition::All(vec![condition.clone(), checkable(collection, then)?]),
                Condition::All(vec![Condition::Not(Box::new(condition)), checkable(collection, otherwise)?]),
            ]))
        }
        Node::Same(a, b) => {
            let (a, b) = pair(collection, a, b)?;
            Some(Condition::Same(a, b))
        }
        Node::Compare(comparison, a, b) => {
            let (a, b) = pair(collection, a, b)?;
            let operator = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            Some(Condition::Compare(a, operator.into(), b))
        }
        Node::In(element, list) => {
            let values = match &list.node {
                Node::Literal(Value::List(values)) => values.iter().collect::<Vec<_>>(),
                Node::List(items) => items
                    .iter()
                    .map(|item| match &item.node {
                        Node::Literal(value) => Some(value),
                        _ => None,
                    })
                    .collect::<Option<Vec<_>>>()?,
                _ => return None,
            };
            let ty = element.ty;
            let values = values
                .into_iter()
                .filter(|value| !value.is_null())
                .map(|value| fitting(value, ty))
                .collect::<Option<_>>()?;
            Some(Condition::OneOf(operand(collection, element)?, values))
        }
        Node::Call(function, arguments) => {
            let test = match function {
                Function::Contains => TextTest::Contains,
                Function::StartsWith => TextTest::StartsWith,
                Function::EndsWith => TextTest::EndsWith,
                _ => return None,
            };
            let [text, part] = arguments.as_slice() else { return None };
            (text.ty == Type::TEXT && part.ty == Type::TEXT).then_some(())?;
            Some(Condition::Text(test, operand(collection, text)?, operand(collection, part)?))
        }
        _ => None,
    }
}

fn conditions(collection: &Collection, list: &[Expr]) -> Option<Vec<Condition>> {
    list.iter().map(|item| checkable(collection, item)).collect()
}

/// Two operands that a database compares as the rule does.
fn pair(collection: &Collection, a: &Expr, b: &Expr) -> Option<(Operand, Operand)> {
    let side = |this: &Expr, other: &Expr| match &this.node {
        Node::Literal(Value::Null) => Some(Operand::Null),
        Node::Literal(value) => fitting(value, other.ty).map(Operand::Literal),
        _ => operand(collection, this),
    };
    let constant = |e: &Expr| matches!(e.node, Node::Literal(_));
    (constant(a) || constant(b) || comparable(a.ty, b.ty)).then_some(())?;
    Some((side(a, b)?, side(b, a)?))
}

/// Whether stored values of two types compare by their meaning.
fn comparable(a: Type, b: Type) -> bool {
    match (a, b) {
        (Type::Scalar(Kind::Json), _) | (_, Type::Scalar(Kind::Json)) => false,
        (Type::Scalar(Kind::Int | Kind::Float), Type::Scalar(Kind::Int | Kind::Float)) => true,
        (Type::Scalar(Kind::Decimal { scale: a, .. }), Type::Scalar(Kind::Decimal { scale: b, .. })) => a == b,
        (Type::Scalar(a), Type::Scalar(b)) => a == b,
        _ => false,
    }
}

/// A constant as it compares with stored values of a type.
fn fitting(value: &Value, ty: Type) -> Option<Literal> {
    let Type::Scalar(kind) = ty else { return None };
    match (kind, value) {
        (Kind::Bool, Value::Bool(_))
        | (Kind::Int | Kind::Float, Value::Int(_))
        | (Kind::Text, Value::Text(_))
        | (Kind::Uuid, Value::Uuid(_))
        | (Kind::Timestamp, Value::Timestamp(_))
        | (Kind::Date, Value::Date(_))
        | (Kind::Time, Value::Time(_))
        | (Kind::Bytes, Value::Bytes(_)) => Literal::of(value),
        (Kind::Int | Kind::Float, Value::Float(number)) if number.get().is_finite() => Literal::of(value),
        (Kind::Decimal { scale, .. }, Value::Int(number)) => rescaled(Decimal { unscaled: *number, scale: 0 }, scale),
        (Kind::Decimal { scale, .. }, Value::Decimal(number)) => rescaled(*number, scale),
        _ => None,
    }
}

/// The same number with another count of digits after the point, when it has one.
pub(super) fn rescaled(number: Decimal, scale: u8) -> Option<Literal> {
    let unscaled = if scale >= number.scale {
        number.unscaled.checked_mul(10_i64.checked_pow(u32::from(scale - number.scale))?)?
    } else {
        let power = 10_i64.checked_pow(u32::from(number.scale - scale))?;
        (number.unscaled % power == 0).then_some(number.unscaled / power)?
    };
    Some(Literal::Decimal { unscaled, scale })
}

fn operand(collection: &Collection, e: &Expr) -> Option<Operand> {
    match &e.node {
        Node::Literal(Value::Null) => Some(Operand::Null),
        Node::Literal(value) => fitting(value, e.ty).map(Operand::Literal),
        Node::Field(RowVar::THIS, id) => {
            Some(Operand::Column(collection.fields.get(usize::from(id.index))?.column.clone()))
        }
        Node::Call(function, arguments) => {
            let [argument] = arguments.as_slice() else { return None };
            let inner = Box::new(operand(collection, argument)?);
            match function {
                Function::TextSize => Some(Operand::Size(SizeOf::Text, inner)),
                Function::BytesSize => Some(Operand::Size(SizeOf::Bytes, inner)),
                Function::ListSize => Some(Operand::Size(SizeOf::List, inner)),
                Function::LowerAscii => Some(Operand::Lower(inner)),
                Function::UpperAscii => Some(Operand::Upper(inner)),
                _ => None,
            }
        }
        _ => None,
    }
}
