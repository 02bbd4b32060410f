//! Which schemas a node can serve beside its own: while a change is rolled out, nodes of the definition before it and after it work on
//! one database.
//!
//! A node names each column that it reads and writes, so more than it knows does not hinder it, as long as its rows are taken. Absent:
//! whether the values fit (a field that is required in the one and not in the other may be null in answers meanwhile).

use crate::schema::{self, Applied, Column, Step, Table};

/// Whether nodes that know nothing of a step may go on serving after it: it brings something that they need not give a value for, or lets
/// go of a rule.
pub fn expands(step: &Step, steps: &[Step]) -> bool {
    let is_new_table =
        |name: &str| steps.iter().any(|other| matches!(other, Step::CreateTable(table) if table.name == name));
    let is_new = |table: &str, column: &str| {
        is_new_table(table)
            || steps.iter().any(
                |other| matches!(other, Step::AddColumn { table: on, column: new } if on == table && new.name == column),
            )
    };
    let again = |table: &str, name: &str| {
        steps
            .iter()
            .any(|other| matches!(other, Step::AddCheck { table: on, check } if on == table && check.name == name))
    };
    match step {
        Step::CreateTable(_) => true,
        Step::AddColumn { column, .. } => needs_no_value(column),
        Step::CreateIndex { table, index } => {
            !index.unique || index.columns.iter().any(|column| is_new(table, &column.name))
        }
        Step::AddCheck { table, check } => {
            is_new_table(table) || check.column.as_ref().is_some_and(|column| is_new(table, column))
        }
        Step::AddReference { table, reference } => is_new(table, &reference.column),
        Step::DropCheck { table, check } => !again(table, &check.name),
        Step::DropIndex { index, .. } => !index.unique,
        Step::AlterColumn { from, to, .. } => from.ty == to.ty && (from.null == to.null || to.null),
        Step::DropTable(_)
        | Step::RenameTable { .. }
        | Step::DropColumn { .. }
        | Step::RenameColumn { .. }
        | Step::RenameCollection { .. }
        | Step::RenameField { .. }
        // What goes with a row goes no more.
        | Step::DropReference { .. }
        | Step::AlterKey { .. } => false,
    }
}

fn needs_no_value(column: &Column) -> bool {
    column.null || column.default.is_some()
}

/// Whether a node that wants one schema can serve on a database that has another.
///
/// # Errors
/// A sentence for each thing that hinders it.
pub fn serves(wanted: &Applied, there: &Applied) -> Result<(), Vec<String>> {
    let steps = schema::steps(Some(there), wanted);
    let faults: Vec<String> = steps.iter().filter_map(|step| hindrance(step, &steps, wanted)).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Why a step that leads from what is there to what is wanted may not be left out.
fn hindrance(step: &Step, steps: &[Step], wanted: &Applied) -> Option<String> {
    let known =
        |table: &str, column: &str| wanted.table(table).is_some_and(|table: &Table| table.column(column).is_some());
    let is_dropped =
        |name: &str| steps.iter().any(|other| matches!(other, Step::DropTable(table) if table.name == name));
    let harmless = match step {
        Step::DropTable(_) => true,
        Step::DropColumn { column, .. } => needs_no_value(column),
        Step::DropIndex { table, index } => {
            !index.unique || is_dropped(table) || index.columns.iter().any(|column| !known(table, &column.name))
        }
        Step::DropCheck { table, check } => {
            is_dropped(table) || check.column.as_ref().is_some_and(|column| !known(table, column))
        }
        Step::DropReference { table, reference } => is_dropped(table) || !known(table, &reference.column),
        // Slower, and right.
        Step::CreateIndex { index, .. } => !index.unique,
        Step::AlterColumn { from, to, .. } => from.ty == to.ty && (from.null || !to.null),
        // What it no longer holds, the node that is older would still like to have held.
        Step::AddCheck { table, check } => {
            !steps.iter().any(
                |other| matches!(other, Step::DropCheck { table: on, check: gone } if on == table && gone.name == check.name),
            )
        }
        Step::AddReference { .. }
        | Step::CreateTable(_)
        | Step::RenameTable { .. }
        | Step::AddColumn { .. }
        | Step::RenameColumn { .. }
        | Step::RenameCollection { .. }
        | Step::RenameField { .. }
        | Step::AlterKey { .. } => false,
    };
    (!harmless).then(|| format!("a node that wants another schema cannot do without this: {}", step.describe()))
}
