//! The schema after a step, as data: what a migration has come to when it stops between two steps.
//!
//! Absent: SQL.

use undergird_model::Type;
use undergird_store::schema::{Applied, CheckRule, Step, Table};

/// Takes a step.
pub(crate) fn apply(schema: &mut Applied, step: &Step) {
    match step {
        Step::CreateTable(table) => {
            // Its indexes are steps of their own.
            schema.tables.push(Table { indexes: Vec::new(), ..table.clone() });
            schema.tables.sort_by(|a, b| a.name.cmp(&b.name));
            return;
        }
        Step::DropTable(table) => {
            schema.tables.retain(|other| other.name != table.name);
            return;
        }
        Step::RenameTable { from, to } => {
            for table in &mut schema.tables {
                for reference in table.references.iter_mut().filter(|reference| reference.table == *from) {
                    reference.table.clone_from(to);
                }
                if table.name == *from {
                    table.name.clone_from(to);
                }
            }
            schema.tables.sort_by(|a, b| a.name.cmp(&b.name));
            return;
        }
        Step::RenameColumn { table, from, to } => {
            rename_column(schema, table, from, to);
            return;
        }
        _ => {}
    }
    let Some(table) = schema.tables.iter_mut().find(|table| table.name == step.table()) else { return };
    match step {
        Step::AddColumn { column, .. } => table.columns.push(column.clone()),
        Step::DropColumn { column, .. } => table.columns.retain(|other| other.name != column.name),
        Step::RenameCollection { to, .. } => table.collection.clone_from(to),
        Step::RenameField { column, to, .. } => {
            if let Some(found) = table.columns.iter_mut().find(|found| found.name == *column) {
                found.field.clone_from(to);
            }
        }
        Step::AlterColumn { to, .. } => {
            if let Some(found) = table.columns.iter_mut().find(|found| found.name == to.name) {
                found.clone_from(to);
            }
        }
        Step::AlterKey { to, identity, .. } => {
            table.key.clone_from(to);
            table.identity = *identity;
        }
        Step::AddCheck { check, .. } => {
            table.checks.push(check.clone());
            table.checks.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Step::DropCheck { check, .. } => table.checks.retain(|other| other != check),
        Step::AddReference { reference, .. } => {
            table.references.push(reference.clone());
            table.references.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Step::DropReference { reference, .. } => table.references.retain(|other| other != reference),
        Step::CreateIndex { index, .. } => {
            table.indexes.retain(|other| other.name != index.name);
            table.indexes.push(index.clone());
            table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Step::DropIndex { index, .. } => table.indexes.retain(|other| other != index),
        Step::CreateTable(_) | Step::DropTable(_) | Step::RenameTable { .. } | Step::RenameColumn { .. } => {}
    }
}

/// The schema from which the steps lead to `wanted`, as far as steps tell: what they do not touch is as in `wanted`. For showing a
/// migration to people without its database.
pub(crate) fn origin(steps: &[Step], wanted: &Applied) -> Applied {
    let mut schema = wanted.clone();
    for step in steps.iter().rev() {
        let back = reversed(step, &schema);
        apply(&mut schema, &back);
    }
    schema
}

fn reversed(step: &Step, after: &Applied) -> Step {
    let step = step.clone();
    match step {
        Step::CreateTable(table) => Step::DropTable(table),
        Step::DropTable(table) => Step::CreateTable(table),
        Step::RenameTable { from, to } => Step::RenameTable { from: to, to: from },
        Step::AddColumn { table, column } => Step::DropColumn { table, column },
        Step::DropColumn { table, column } => Step::AddColumn { table, column },
        Step::RenameColumn { table, from, to } => Step::RenameColumn { table, from: to, to: from },
        Step::RenameCollection { table, from, to } => Step::RenameCollection { table, from: to, to: from },
        Step::RenameField { table, column, from, to } => Step::RenameField { table, column, from: to, to: from },
        Step::AlterColumn { table, from, to } => Step::AlterColumn { table, from: to, to: from },
        Step::AlterKey { table, from, to, .. } => {
            // A single whole number is a key that the database numbers.
            let identity = match (after.table(&table), from.as_slice()) {
                (Some(of), [only]) => of.column(only).is_some_and(|column| column.ty == Type::INT),
                _ => false,
            };
            Step::AlterKey { table, from: to, to: from, identity }
        }
        Step::AddCheck { table, check } => Step::DropCheck { table, check },
        Step::DropCheck { table, check } => Step::AddCheck { table, check },
        Step::AddReference { table, reference } => Step::DropReference { table, reference },
        Step::DropReference { table, reference } => Step::AddReference { table, reference },
        Step::CreateIndex { table, index } => Step::DropIndex { table, index },
        Step::DropIndex { table, index } => Step::CreateIndex { table, index },
    }
}

fn rename_column(schema: &mut Applied, table: &str, from: &str, to: &str) {
    let rename = &mut |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    for other in &mut schema.tables {
        for reference in other.references.iter_mut().filter(|reference| reference.table == table) {
            rename(&mut reference.target);
        }
        if other.name != table {
            continue;
        }
        other.columns.iter_mut().for_each(|column| rename(&mut column.name));
        other.key.iter_mut().for_each(&mut *rename);
        other.references.iter_mut().for_each(|reference| rename(&mut reference.column));
        for check in &mut other.checks {
            check.column.iter_mut().for_each(&mut *rename);
            if let CheckRule::Condition(condition) = &mut check.rule {
                condition.each_column(rename);
            }
        }
        other.indexes.iter_mut().flat_map(|index| &mut index.columns).for_each(|column| rename(&mut column.name));
    }
}
