//! The SQL functions that make SQLite compute what our expressions mean: each hands its arguments to `plan::function`, the very
//! code of the evaluator in memory, so that the two readers of an expression agree by construction.

use crate::kept::{self, Kept};
use crate::signature::{Signature, parse_arithmetic, parse_comparison, parse_type, parse_types};
use crate::values::{elements, owned, value};
use parking_lot::Mutex;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Value as Stored, ValueRef};
use rusqlite::{Connection, Error, Result};
use std::sync::Arc;
use undergird_model::field_type::wire;
use undergird_model::{Kind, Type, Value};
use undergird_plan::function::{self, Patterns};

/// Pure, and of no use to a schema, a view or a trigger that somebody planted in the file.
const FLAGS: FunctionFlags =
    FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DETERMINISTIC).union(FunctionFlags::SQLITE_DIRECTONLY);

/// Any number of arguments.
const ANY: i32 = -1;

/// Gives a connection the functions.
pub(crate) fn register(connection: &Connection) -> Result<()> {
    // Compiled patterns are kept per connection; a connection runs one statement at a time, so the lock is never waited for.
    let patterns = Mutex::new(Patterns::default());
    connection.create_scalar_function("ug_call", ANY, FLAGS, move |context| {
        let signature = told(context, Signature::parse)?;
        let arguments = arguments(context, &signature.arguments)?;
        let answer = function::call_with(&mut patterns.lock(), signature.function, signature.result, &arguments);
        Ok(owned(signature.result, &answer))
    })?;
    connection.create_scalar_function("ug_compare", 3, FLAGS, |context| {
        let told = told(context, |text| {
            let (name, types) = text.split_once(':')?;
            Some((parse_comparison(name)?, parse_types(types)?))
        })?;
        let arguments = arguments(context, &told.1)?;
        Ok(function::compare(told.0, at(&arguments, 0), at(&arguments, 1)))
    })?;
    connection.create_scalar_function("ug_same", 3, FLAGS, |context| {
        let arguments = arguments(context, &told(context, parse_types)?)?;
        Ok(function::same(at(&arguments, 0), at(&arguments, 1)))
    })?;
    connection.create_scalar_function("ug_in", 3, FLAGS, |context| {
        let arguments = arguments(context, &told(context, parse_types)?)?;
        Ok(function::within(at(&arguments, 0), at(&arguments, 1)))
    })?;
    connection.create_scalar_function("ug_arithmetic", 3, FLAGS, |context| {
        let told = told(context, |text| {
            let (name, types) = text.split_once(':')?;
            let (types, result) = types.split_once('>')?;
            Some((parse_arithmetic(name)?, parse_types(types)?, parse_type(result)?))
        })?;
        let arguments = arguments(context, &told.1)?;
        Ok(owned(told.2, &function::arithmetic(told.0, at(&arguments, 0), at(&arguments, 1))))
    })?;
    connection.create_scalar_function("ug_negate", 2, FLAGS, |context| {
        let ty = told(context, parse_type)?;
        Ok(owned(*ty, &function::negate(&value(*ty, context.get_raw(1)))))
    })?;
    connection.create_scalar_function("ug_list", ANY, FLAGS, |context| {
        let types = told(context, |text| parse_types(text.split_once(':')?.1))?;
        let items = arguments(context, &types)?.into_iter().filter(|item| !item.is_null()).collect();
        Ok(wire::to_json(&Value::List(items)))
    })?;
    connection.create_scalar_function("ug_elements", 2, FLAGS, |context| {
        let ty = told(context, parse_type)?;
        Ok(elements(value(*ty, context.get_raw(1))))
    })?;
    connection.create_scalar_function("ug_order", 1, FLAGS, |context| Ok(order_key(context.get_raw(0))))?;
    connection.create_scalar_function("ug_read", 2, FLAGS, |context| {
        Ok(kept::read(*told(context, Kept::parse)?, context.get_raw(1)))
    })?;
    connection.create_scalar_function("ug_keep", 2, FLAGS, |context| {
        Ok(kept::keep(*told(context, Kept::parse)?, context.get_raw(1)))
    })?;
    connection.create_aggregate_function("ug_sum", 1, FLAGS, Sum)
}

/// What the first argument, a constant, says; read once per statement.
fn told<T: Send + Sync + 'static>(context: &Context<'_>, read: impl FnOnce(&str) -> Option<T>) -> Result<Arc<T>> {
    context.get_or_create_aux(0, |text| -> std::result::Result<T, String> {
        let text = text.as_str().map_err(|error| error.to_string())?;
        read(text).ok_or_else(|| format!("no such signature: {text}"))
    })
}

fn arguments(context: &Context<'_>, types: &[Type]) -> Result<Vec<Value>> {
    if context.len() != types.len() + 1 {
        return Err(Error::InvalidParameterCount(context.len(), types.len() + 1));
    }
    Ok(types.iter().enumerate().map(|(position, ty)| value(*ty, context.get_raw(position + 1))).collect())
}

fn at(values: &[Value], position: usize) -> &Value {
    const NULL: &Value = &Value::Null;
    values.get(position).unwrap_or(NULL)
}

/// What JSON is ordered by: numbers, then strings, then all else by its text. JSON null goes with the nulls.
fn order_key(json: ValueRef<'_>) -> Stored {
    let Value::Json(text) = value(Type::Scalar(Kind::Json), json) else { return Stored::Null };
    match serde_json::from_str(&text) {
        Ok(serde_json::Value::Null) => Stored::Null,
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Stored::Integer(number),
            (None, Some(number)) => Stored::Real(number),
            (None, None) => Stored::Null,
        },
        Ok(serde_json::Value::String(text)) => Stored::Text(text),
        Ok(_) => Stored::Blob(text.into_bytes()),
        Err(_) => Stored::Null,
    }
}

/// The sum of integers: null over nothing, and where it does not fit.
struct Sum;

impl Aggregate<Option<i128>, Option<i64>> for Sum {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<i128>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Option<i128>) -> Result<()> {
        if let ValueRef::Integer(number) = context.get_raw(0) {
            // 2^63 rows of 2^63 each still fit.
            *sum = Some(sum.unwrap_or(0) + i128::from(number));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Option<i128>>) -> Result<Option<i64>> {
        Ok(sum.flatten().and_then(|sum| i64::try_from(sum).ok()))
    }
}
