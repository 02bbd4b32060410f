//! The second reader of an expression: in memory. Agrees with the SQL writer on every input (see `undergird_model::expr`).
//!
//! Absent: what functions and operators do to values (that is [`crate::function`]) and where rows come from (a [`World`]).

use crate::caller::{Caller, Identity};
use crate::function::{self, Patterns};
use std::borrow::Cow;
use std::fmt;
use undergird_model::expr::{Ask, ElementVar, Function, RowVar};
use undergird_model::{Expr, FieldId, Node, RelationId, Value};

/// Most steps of one evaluation: one per node visited, one per related row or element looked at, and one per
/// [`OCTETS_PER_STEP`] of what functions are given.
pub const STEPS_MAX: u32 = 200_000;

/// How much text, JSON or bytes a function handles for the price of one step.
pub const OCTETS_PER_STEP: usize = 64;

/// Deepest nesting of an expression. The definition and the wire refuse deeper ones long before.
pub const DEPTH_MAX: u32 = 200;

/// The evaluation would take too long. It has no answer: whoever asked must refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFuel;

impl fmt::Display for OutOfFuel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the expression takes more than {STEPS_MAX} steps")
    }
}

impl std::error::Error for OutOfFuel {}

/// What an expression may look at.
pub trait World {
    /// Handle of a row in scope.
    type Row: Clone;
    /// A field of a row.
    fn field(&self, row: &Self::Row, field: FieldId) -> Value;
    /// The rows that a relation leads to.
    fn related(&self, row: &Self::Row, relation: RelationId) -> Vec<Self::Row>;
    /// The rows that a relation would lead to if its own side had these values, none of them null ([`Node::At`]).
    fn related_to(&self, key: &[Value], relation: RelationId) -> Vec<Self::Row>;
    /// The caller's own profile row. Asked for users only: nobody else has one.
    fn profile(&self) -> Option<Self::Row>;
}

/// A world of single rows in memory, without relations: enough for rules whose
/// [`Expr::needs_relations`] is false, such as most `create` rules and checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowWorld<'a> {
    values: std::marker::PhantomData<&'a [Value]>,
}

impl<'a> World for RowWorld<'a> {
    /// The row's values by [`FieldId::index`]; beyond the end, null.
    type Row = &'a [Value];

    fn field(&self, row: &&'a [Value], field: FieldId) -> Value {
        row.get(usize::from(field.index)).cloned().unwrap_or(Value::Null)
    }

    fn related(&self, _: &&'a [Value], _: RelationId) -> Vec<&'a [Value]> {
        Vec::new()
    }

    fn related_to(&self, _: &[Value], _: RelationId) -> Vec<&'a [Value]> {
        Vec::new()
    }

    fn profile(&self) -> Option<&'a [Value]> {
        None
    }
}

/// The values that a request brings.
#[derive(Clone, Copy, Debug)]
pub struct Bindings<'a> {
    /// For `auth.*` and `now`.
    pub caller: &'a Caller,
    /// For [`undergird_model::Node::Param`].
    pub params: &'a [Value],
    /// For [`undergird_model::Node::Input`].
    pub input: &'a [Value],
}

/// The value of an expression. `rows` gives the free row variables. What is not bound is null.
///
/// # Errors
/// [`OutOfFuel`] when it would take more than [`STEPS_MAX`].
pub fn evaluate<W: World>(
    expr: &Expr,
    bindings: Bindings<'_>,
    world: &W,
    rows: &[(RowVar, W::Row)],
) -> Result<Value, OutOfFuel> {
    Evaluator::new(bindings, world).value(expr, rows)
}

/// Whether an expression is true of a row in memory: for rules and checks that need no relations.
///
/// # Errors
/// [`OutOfFuel`] when it would take more than [`STEPS_MAX`].
pub fn holds(expr: &Expr, bindings: Bindings<'_>, row: &[Value]) -> Result<bool, OutOfFuel> {
    Ok(is_true(&evaluate(expr, bindings, &RowWorld::default(), &[(RowVar::THIS, row)])?))
}

/// Evaluates many times, keeping compiled patterns.
pub struct Evaluator<'a, W: World> {
    bindings: Bindings<'a>,
    world: &'a W,
    patterns: Patterns,
    rows: Vec<(RowVar, W::Row)>,
    elements: Vec<(ElementVar, Value)>,
    steps: u32,
}

impl<W: World> fmt::Debug for Evaluator<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl<'a, W: World> Evaluator<'a, W> {
    /// For these bindings in this world.
    pub fn new(bindings: Bindings<'a>, world: &'a W) -> Self {
        Evaluator { bindings, world, patterns: Patterns::default(), rows: Vec::new(), elements: Vec::new(), steps: 0 }
    }

    /// The value of an expression. `rows` gives the free row variables.
    ///
    /// # Errors
    /// [`OutOfFuel`] when it would take more than [`STEPS_MAX`].
    pub fn value(&mut self, expr: &Expr, rows: &[(RowVar, W::Row)]) -> Result<Value, OutOfFuel> {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        self.elements.clear();
        self.steps = STEPS_MAX;
        self.at(expr, DEPTH_MAX)
    }

    fn spend(&mut self, steps: usize) -> Result<(), OutOfFuel> {
        let steps = u32::try_from(steps).map_err(|_| OutOfFuel)?;
        self.steps = self.steps.checked_sub(steps).ok_or(OutOfFuel)?;
        Ok(())
    }

    fn test(&mut self, expr: &Expr, depth: u32) -> Result<bool, OutOfFuel> {
        self.at(expr, depth).map(|value| is_true(&value))
    }

    fn at(&mut self, expr: &Expr, depth: u32) -> Result<Value, OutOfFuel> {
        self.spend(1)?;
        let depth = depth.checked_sub(1).ok_or(OutOfFuel)?;
        Ok(match &expr.node {
            Node::Literal(value) => value.clone(),
            Node::Param(slot) => bound(self.bindings.params, slot.0),
            Node::Input(position) => bound(self.bindings.input, *position),
            Node::Auth(fact) => self.bindings.caller.fact(fact),
            Node::Now => Value::Timestamp(self.bindings.caller.moment().now),
            Node::Field(row, field) => self.row(*row).map_or(Value::Null, |row| self.world.field(&row, *field)),
            Node::Element(element) => {
                let found = self.elements.iter().rev().find(|(name, _)| name == element);
                found.map_or(Value::Null, |(_, value)| value.clone())
            }
            Node::Via { from, relation, bind, body } => {
                let rows = self.related(*from, *relation);
                self.ask(Ask::Value, rows, *bind, body, depth)?
            }
            Node::Exists { from, relation, bind, filter } => {
                let rows = self.related(*from, *relation);
                self.ask(Ask::Any, rows, *bind, filter, depth)?
            }
            Node::Count { from, relation, bind, filter } => {
                let rows = self.related(*from, *relation);
                self.ask(Ask::Count, rows, *bind, filter, depth)?
            }
            Node::At { relation, key, bind, ask, body } => {
                let key = self.all(key, depth)?;
                let rows =
                    if key.iter().any(Value::is_null) { Vec::new() } else { self.world.related_to(&key, *relation) };
                self.ask(*ask, rows, *bind, body, depth)?
            }
            Node::Profile { bind, body } => {
                let rows = match self.bindings.caller.identity() {
                    Identity::User(_) => self.world.profile().into_iter().collect(),
                    Identity::Visitor | Identity::Secret | Identity::System => Vec::new(),
                };
                self.ask(Ask::Value, rows, *bind, body, depth)?
            }
            Node::AnyElement { list, bind, filter } => {
                let items = function::elements(self.at(list, depth)?);
                for item in items {
                    self.spend(1)?;
                    self.elements.push((*bind, item));
                    let passes = self.test(filter, depth);
                    self.elements.pop();
                    if passes? {
                        return Ok(Value::Bool(true));
                    }
                }
                Value::Bool(false)
            }
            Node::Not(inner) => Value::Bool(!self.test(inner, depth)?),
            Node::And(terms) => {
                for term in terms {
                    if !self.test(term, depth)? {
                        return Ok(Value::Bool(false));
                    }
                }
                Value::Bool(true)
            }
            Node::Or(terms) => {
                for term in terms {
                    if self.test(term, depth)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Value::Bool(false)
            }
            Node::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                let chosen = if self.test(condition, depth)? { then } else { otherwise };
                function::brought_to(expr.ty, chosen.ty, self.at(chosen, depth)?)
            }
            Node::Same(a, b) => {
                let (a, b) = self.pair(a, b, depth)?;
                Value::Bool(function::same(&a, &b))
            }
            Node::Compare(comparison, a, b) => {
                let (a, b) = self.pair(a, b, depth)?;
                Value::Bool(function::compare(*comparison, &a, &b))
            }
            Node::In(item, list) => {
                let (item, list) = self.pair(item, list, depth)?;
                Value::Bool(function::within(&item, &list))
            }
            Node::Arithmetic(operator, a, b) => {
                let (a, b) = self.pair(a, b, depth)?;
                function::arithmetic(*operator, &a, &b)
            }
            Node::Negate(inner) => function::negate(&self.at(inner, depth)?),
            Node::Call(function, arguments) => {
                let arguments = self.all(arguments, depth)?;
                self.spend(price(*function, &arguments))?;
                function::call_with(&mut self.patterns, *function, expr.ty, &arguments)
            }
            Node::List(items) => {
                let mut values = self.all(items, depth)?;
                values.retain(|value| !value.is_null());
                Value::List(values)
            }
        })
    }

    fn row(&self, name: RowVar) -> Option<W::Row> {
        self.rows.iter().rev().find(|(bound, _)| *bound == name).map(|(_, row)| row.clone())
    }

    fn related(&self, from: RowVar, relation: RelationId) -> Vec<W::Row> {
        self.row(from).map_or_else(Vec::new, |row| self.world.related(&row, relation))
    }

    fn ask(&mut self, ask: Ask, rows: Vec<W::Row>, bind: RowVar, body: &Expr, depth: u32) -> Result<Value, OutOfFuel> {
        let mut passed = 0;
        for row in rows {
            self.spend(1)?;
            self.rows.push((bind, row));
            let value = self.at(body, depth);
            self.rows.pop();
            let value = value?;
            match ask {
                Ask::Value => return Ok(value),
                Ask::Any if is_true(&value) => return Ok(Value::Bool(true)),
                Ask::Any => {}
                Ask::Count => passed += i64::from(is_true(&value)),
            }
        }
        Ok(match ask {
            Ask::Value => Value::Null,
            Ask::Any => Value::Bool(false),
            Ask::Count => Value::Int(passed),
        })
    }

    fn all(&mut self, exprs: &[Expr], depth: u32) -> Result<Vec<Value>, OutOfFuel> {
        exprs.iter().map(|expr| self.at(expr, depth)).collect()
    }

    /// Two operands; what comparing them costs is paid for here.
    fn pair<'e>(&mut self, a: &'e Expr, b: &'e Expr, depth: u32) -> Result<Pair<'e>, OutOfFuel>
    where
        'a: 'e,
    {
        let pair = (self.operand(a, depth)?, self.operand(b, depth)?);
        self.spend((octets(&pair.0) + octets(&pair.1)) / OCTETS_PER_STEP)?;
        Ok(pair)
    }

    /// A value that is only looked at: not copied where it stands in the expression or among the parameters, as long lists do.
    fn operand<'e>(&mut self, expr: &'e Expr, depth: u32) -> Result<Cow<'e, Value>, OutOfFuel>
    where
        'a: 'e,
    {
        let params: &'a [Value] = self.bindings.params;
        let borrowed = match &expr.node {
            Node::Literal(value) => Some(value),
            Node::Param(slot) => params.get(usize::from(slot.0)),
            _ => None,
        };
        match borrowed {
            Some(value) => self.spend(1).map(|()| Cow::Borrowed(value)),
            None => self.at(expr, depth).map(Cow::Owned),
        }
    }
}

/// Two operands.
type Pair<'e> = (Cow<'e, Value>, Cow<'e, Value>);

/// What counts as true where a bool is wanted: null does not.
pub fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true))
}

fn bound(values: &[Value], position: u16) -> Value {
    values.get(usize::from(position)).cloned().unwrap_or(Value::Null)
}

/// What a call costs besides its node.
fn price(function: Function, arguments: &[Value]) -> usize {
    let octets: usize = arguments.iter().map(octets).sum();
    // Compiling a pattern is by far the dearest thing that a function does.
    let compiling = match (function, arguments) {
        (Function::Matches | Function::MatchesInsensitive, [_, pattern]) => 8 * self::octets(pattern),
        _ => 0,
    };
    octets / OCTETS_PER_STEP + compiling
}

/// How large a value is, roughly.
fn octets(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(octets) => octets.len(),
        Value::List(items) => items.iter().map(octets).sum::<usize>() + 8 * items.len(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Uuid(_)
        | Value::Timestamp(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Duration(_) => 8,
    }
}
