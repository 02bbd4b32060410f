//! Calls of functions of the database, as what a read selects from.
//!
//! A function that may change something is called by a statement of its own, and once; the statements of the read take its rows from what
//! it gave. Else a count, or a planner that finds that a condition holds for no row, would call it twice or not at all.

use super::dialect::{Calls, Dialect, Scattered};
use super::expr::Writer;
use super::{Bind, Statement};
use crate::Capability;
use undergird_model::schema::Returns;
use undergird_model::{DbFunction, Model, Type};
use undergird_plan::shape::{ReadNode, Source};

/// What the values of a function are called, beside its alias.
const VALUE: &str = "v";

/// The statement that calls it, where that is not the read itself.
pub(super) fn write_call(model: &Model, node: &ReadNode, dialect: &dyn Dialect) -> Option<Statement> {
    let source = node.source.as_ref()?;
    let function = model.function(source.function);
    if !is_apart(function) {
        return None;
    }
    let mut writer = Writer::new(model, dialect);
    let Some(calls) = calls(&mut writer) else { return Some(writer.finish(String::new(), vec![Type::TEXT], true)) };
    let alias = writer.alias();
    let (each, named) = match function.returns {
        Returns::Rows { .. } => (alias.clone(), alias),
        Returns::Value { .. } | Returns::Nothing => (format!("{alias}.{VALUE}"), format!("{alias}({VALUE})")),
    };
    let called = written(&mut writer, calls, source);
    let text = format!("SELECT {} FROM {called} AS {named}", calls.gathered(&each));
    Some(writer.finish(text, vec![Type::TEXT], true))
}

/// Whether the read itself calls a function that may change something.
pub(super) fn writes(model: &Model, node: &ReadNode) -> bool {
    let function = node.source.as_ref().map(|source| model.function(source.function));
    function.is_some_and(|function| function.is_volatile() && !is_apart(function))
}

/// What stands after `FROM`, with its alias. The value of a function comes into scope.
pub(super) fn source(writer: &mut Writer<'_>, source: &Source, alias: &str) -> String {
    let Some(calls) = calls(writer) else { return String::new() };
    let function = writer.model.function(source.function);
    let gathered = is_apart(function);
    let from = |writer: &mut Writer<'_>, of: Scattered<'_>| {
        if gathered {
            let parameter = writer.bind(Type::TEXT, Bind::Input(0));
            calls.scattered(&parameter, of)
        } else {
            written(writer, calls, source)
        }
    };
    match &function.returns {
        Returns::Rows { of, .. } => {
            let table = writer.table_name(*of);
            format!("{} AS {alias}", from(writer, Scattered::Rows(&table)))
        }
        Returns::Value { declared, .. } => {
            writer.enter_element(Source::VALUE, format!("{alias}.{VALUE}"));
            format!("{} AS {alias}({VALUE})", from(writer, Scattered::Values(declared.storage())))
        }
        Returns::Nothing => format!("{} AS {alias}({VALUE})", from(writer, Scattered::Values(Type::Null))),
    }
}

/// Whether the function is called apart from what is asked of its rows.
fn is_apart(function: &DbFunction) -> bool {
    let several = match function.returns {
        Returns::Rows { .. } => true,
        Returns::Value { list, .. } => list,
        Returns::Nothing => false,
    };
    several && function.is_volatile()
}

fn calls(writer: &mut Writer<'_>) -> Option<&'static dyn Calls> {
    writer.need(Capability::SqlFunctions);
    writer.dialect.calls()
}

fn written(writer: &mut Writer<'_>, calls: &dyn Calls, source: &Source) -> String {
    let function = writer.model.function(source.function);
    let own = writer.dialect.identifier(&function.sql);
    let name = match &function.schema {
        Some(schema) => format!("{}.{own}", writer.dialect.identifier(schema)),
        None => own,
    };
    let mut arguments = Vec::with_capacity(source.arguments.len());
    for (position, slot) in &source.arguments {
        let argument = writer.dialect.identifier(&function.arguments[*position].sql);
        arguments.push((argument, writer.bind_argument(*slot, calls)));
    }
    calls.call(&name, &arguments)
}

/// The functions that a store cannot call, a sentence for each; nothing where it can.
pub fn uncallable(model: &Model, dialect: &dyn Dialect) -> Vec<String> {
    if dialect.has(Capability::SqlFunctions) {
        return Vec::new();
    }
    let lacking = Capability::SqlFunctions;
    let one = |function: &DbFunction| {
        format!("functions/{}.toml: {} has no {}. {}", function.name, dialect.name(), lacking.name(), lacking.instead())
    };
    model.functions.iter().map(one).collect()
}
