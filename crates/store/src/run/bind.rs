//! What is bound to statements, and what comes back: values, keys, cells.
//!
//! Absent: statements and connections.

use crate::sql::pattern;
use crate::{Bind, Bound, Statement, StoreError};
use rustc_hash::FxHashSet;
use std::borrow::Cow;
use undergird_model::{Type, Value};
use undergird_plan::evaluate::{Bindings, RowWorld, evaluate};
use undergird_plan::{Cell, Plan};

/// Keys of parent rows, by column, each combination once.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) columns: Vec<Vec<Value>>,
    pub(super) seen: FxHashSet<Vec<Value>>,
}

impl Keys {
    /// Keeps a key, unless part of it is null (nothing hangs on that) or it is there already.
    pub(super) fn add(&mut self, key: Vec<Value>) {
        if key.iter().any(Value::is_null) || self.seen.contains(&key) {
            return;
        }
        self.columns.resize_with(key.len(), Vec::new);
        for (column, value) in self.columns.iter_mut().zip(&key) {
            column.push(value.clone());
        }
        self.seen.insert(key);
    }

    /// The keys as rows.
    pub(super) fn rows(&self) -> Vec<Value> {
        let count = self.columns.first().map_or(0, Vec::len);
        let row =
            |at| Value::List(self.columns.iter().filter_map(|column: &Vec<Value>| column.get(at).cloned()).collect());
        (0..count).map(row).collect()
    }

    pub(super) fn of(keys: &[Vec<Value>], positions: &[usize]) -> Keys {
        let mut all = Keys::default();
        for key in keys {
            all.add(positions.iter().map(|at| key.get(*at).cloned().unwrap_or(Value::Null)).collect());
        }
        all
    }
}

pub(super) fn bind<'a>(
    plan: &'a Plan,
    statement: &'a Statement,
    input: &'a [Value],
    keys: Option<&'a Keys>,
) -> Result<Vec<Bound<'a>>, StoreError> {
    if let Some(capability) = statement.lacks {
        return Err(StoreError::Unsupported(capability));
    }
    let mut bound = Vec::with_capacity(statement.binds.len());
    for (ty, bind) in &statement.binds {
        bound.push(match bind {
            Bind::SlotList(slot) => Bound::List(*ty, list(plan.params().get(usize::from(slot.0)))),
            Bind::Keys(column) => {
                let column = keys.and_then(|keys| keys.columns.get(*column)).map_or(&[][..], Vec::as_slice);
                Bound::List(*ty, Cow::Borrowed(column))
            }
            Bind::KeyRows => Bound::List(*ty, Cow::Owned(keys.map_or_else(Vec::new, Keys::rows))),
            _ => Bound::Value(*ty, bound_value(plan, bind, input)?),
        });
    }
    Ok(bound)
}

/// The value of a bind that is not a list of keys, for one input row.
///
/// # Errors
/// [`StoreError::TooLarge`] when computing it takes too many steps.
pub fn bind_value(plan: &Plan, bind: &Bind, input: &[Value]) -> Result<Value, StoreError> {
    Ok(bound_value(plan, bind, input)?.into_owned())
}

fn bound_value<'a>(plan: &'a Plan, bind: &'a Bind, input: &'a [Value]) -> Result<Cow<'a, Value>, StoreError> {
    const NULL: Value = Value::Null;
    Ok(match bind {
        Bind::Slot(slot) | Bind::SlotList(slot) => {
            plan.params().get(usize::from(slot.0)).map_or(Cow::Owned(NULL), Cow::Borrowed)
        }
        Bind::Input(position) => input.get(usize::from(*position)).map_or(Cow::Owned(NULL), Cow::Borrowed),
        Bind::Literal(value) => Cow::Borrowed(value),
        Bind::Auth(fact) => Cow::Owned(plan.caller().fact(fact)),
        Bind::Now => Cow::Owned(Value::Timestamp(plan.caller().moment().now)),
        Bind::Computed(expr) => {
            let bindings = Bindings { caller: plan.caller(), params: plan.params(), input };
            Cow::Owned(evaluate(expr, bindings, &RowWorld::default(), &[]).map_err(|_| StoreError::TooLarge)?)
        }
        Bind::Pattern(function, words, expr) => {
            let bindings = Bindings { caller: plan.caller(), params: plan.params(), input };
            let translated = |value| match value {
                Value::Text(text) => match pattern::translated(*words, *function, &text) {
                    Ok(pattern) => Ok(pattern.map_or(NULL, Value::Text)),
                    Err(lacking) => Err(StoreError::Unsupported(lacking)),
                },
                _ => Ok(NULL),
            };
            let pattern = evaluate(expr, bindings, &RowWorld::default(), &[]).map_err(|_| StoreError::TooLarge)?;
            Cow::Owned(match pattern {
                Value::List(items) => Value::List(items.into_iter().map(translated).collect::<Result<_, _>>()?),
                other => translated(other)?,
            })
        }
        Bind::Keys(_) | Bind::KeyRows => Cow::Owned(NULL),
    })
}

fn list(value: Option<&Value>) -> Cow<'_, [Value]> {
    match value {
        Some(Value::List(items)) => Cow::Borrowed(items),
        // Nothing is in a null list.
        None | Some(Value::Null) => Cow::Borrowed(&[]),
        Some(one) => Cow::Borrowed(std::slice::from_ref(one)),
    }
}

/// A cell as a value of its own. A list stays what it is on the wire, as JSON: keys have no lists.
pub fn cell_value(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Bool(value),
        Cell::Int(value) => Value::Int(value),
        Cell::Float(value) => Value::float(value),
        Cell::Decimal(value) => Value::Decimal(value),
        Cell::Text(value) => Value::text(value),
        Cell::Uuid(value) => Value::Uuid(value),
        Cell::Timestamp(value) => Value::Timestamp(value),
        Cell::Date(value) => Value::Date(value),
        Cell::Time(value) => Value::Time(value),
        Cell::Json(value) | Cell::List(value) => Value::Json(value.to_owned()),
        Cell::Bytes(value) => Value::Bytes(value.to_vec()),
    }
}

/// A value as a cell. Keys and counts are scalars: a list is not one.
pub(super) fn value_cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null | Value::Duration(_) | Value::List(_) => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(value) => Cell::Int(*value),
        Value::Float(value) => Cell::Float(value.get()),
        Value::Decimal(value) => Cell::Decimal(*value),
        Value::Text(value) => Cell::Text(value),
        Value::Uuid(value) => Cell::Uuid(*value),
        Value::Timestamp(value) => Cell::Timestamp(*value),
        Value::Date(value) => Cell::Date(*value),
        Value::Time(value) => Cell::Time(*value),
        Value::Json(value) => Cell::Json(value),
        Value::Bytes(value) => Cell::Bytes(value),
    }
}

/// The type of a list's elements, or the type itself.
pub fn element_type(ty: Type) -> Type {
    match ty {
        Type::List(kind) => Type::Scalar(kind),
        other => other,
    }
}

/// An input row's values; none for a row that is not there.
pub(super) fn input_row(plan: &Plan, at: usize) -> &[Value] {
    plan.input().get(at).map_or(&[], Vec::as_slice)
}
