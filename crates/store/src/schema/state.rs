//! The schema between steps: what it was before them, and what it is after each. For stores that must know, while they write a
//! step, which columns a table has at that moment.
//!
//! Absent: which steps there are to take ([`super::steps()`]).

use super::steps::{rename_column, rename_table};
use super::{Applied, Step, Table};

/// The schema from which the steps lead to `wanted`. Whether a key that changes was numbered by the database is not in the steps:
/// that table's [`Table::identity`] says what it is afterwards.
pub fn before(steps: &[Step], wanted: &Applied) -> Applied {
    let mut schema = wanted.clone();
    for step in steps.iter().rev() {
        undo(&mut schema, step);
    }
    schema
}

/// Takes one step.
pub fn take(schema: &mut Applied, step: &Step) {
    match step {
        Step::CreateTable(table) => {
            // Its indexes come by steps of their own.
            schema.tables.push(Table { indexes: Vec::new(), ..table.clone() });
        }
        Step::DropTable(table) => schema.tables.retain(|other| other.name != table.name),
        Step::RenameTable { from, to } => rename_table(schema, from, to),
        Step::RenameColumn { table, from, to } => rename_column(schema, table, from, to),
        _ => {
            if let Some(table) = schema.tables.iter_mut().find(|table| table.name == step.table()) {
                take_within(table, step);
            }
        }
    }
}

fn take_within(table: &mut Table, step: &Step) {
    match step {
        Step::AddColumn { column, .. } => table.columns.push(column.clone()),
        Step::DropColumn { column, .. } => table.columns.retain(|other| other.name != column.name),
        Step::AlterColumn { to, .. } => {
            for column in table.columns.iter_mut().filter(|column| column.name == to.name) {
                *column = to.clone();
            }
        }
        Step::AlterKey { to, identity, .. } => {
            to.clone_into(&mut table.key);
            table.identity = *identity;
        }
        Step::RenameCollection { to, .. } => to.clone_into(&mut table.collection),
        Step::RenameField { column, to, .. } => {
            for column in table.columns.iter_mut().filter(|other| other.name == *column) {
                to.clone_into(&mut column.field);
            }
        }
        Step::AddCheck { check, .. } => table.checks.push(check.clone()),
        Step::DropCheck { check, .. } => table.checks.retain(|other| other.name != check.name),
        Step::AddReference { reference, .. } => table.references.push(reference.clone()),
        Step::DropReference { reference, .. } => table.references.retain(|other| other.name != reference.name),
        Step::CreateIndex { index, .. } => table.indexes.push(index.clone()),
        Step::DropIndex { index, .. } => table.indexes.retain(|other| other.name != index.name),
        Step::CreateTable(_) | Step::DropTable(_) | Step::RenameTable { .. } | Step::RenameColumn { .. } => {}
    }
}

fn undo(schema: &mut Applied, step: &Step) {
    let table = |name: &String| name.clone();
    let inverse = match step {
        Step::CreateTable(table) => Step::DropTable(table.clone()),
        Step::DropTable(table) => {
            schema.tables.push(table.clone());
            return;
        }
        Step::RenameTable { from, to } => Step::RenameTable { from: to.clone(), to: from.clone() },
        Step::RenameColumn { table, from, to } => {
            Step::RenameColumn { table: table.clone(), from: to.clone(), to: from.clone() }
        }
        Step::RenameCollection { table, from, to } => {
            Step::RenameCollection { table: table.clone(), from: to.clone(), to: from.clone() }
        }
        Step::RenameField { table, column, from, to } => {
            Step::RenameField { table: table.clone(), column: column.clone(), from: to.clone(), to: from.clone() }
        }
        Step::AddColumn { table: on, column } => Step::DropColumn { table: table(on), column: column.clone() },
        Step::DropColumn { table: on, column } => Step::AddColumn { table: table(on), column: column.clone() },
        Step::AlterColumn { table: on, from, to } => {
            Step::AlterColumn { table: table(on), from: to.clone(), to: from.clone() }
        }
        Step::AlterKey { table: on, from, to, identity } => {
            Step::AlterKey { table: table(on), from: to.clone(), to: from.clone(), identity: *identity }
        }
        Step::AddCheck { table: on, check } => Step::DropCheck { table: table(on), check: check.clone() },
        Step::DropCheck { table: on, check } => Step::AddCheck { table: table(on), check: check.clone() },
        Step::AddReference { table: on, reference } => {
            Step::DropReference { table: table(on), reference: reference.clone() }
        }
        Step::DropReference { table: on, reference } => {
            Step::AddReference { table: table(on), reference: reference.clone() }
        }
        Step::CreateIndex { table: on, index } => Step::DropIndex { table: table(on), index: index.clone() },
        Step::DropIndex { table: on, index } => Step::CreateIndex { table: table(on), index: index.clone() },
    };
    take(schema, &inverse);
}
