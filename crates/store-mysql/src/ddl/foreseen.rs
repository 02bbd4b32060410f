//! Rows that hinder a step, looked for before the first step is taken: what was taken stays here, and a migration that nothing of was
//! taken can still be mended.
//!
//! Absent: steps about what other steps rename or convert, whose rows cannot be asked before; those refuse at their place.

use super::checks::check_test;
use crate::server::Server;
use crate::types::name;
use std::collections::BTreeSet;
use undergird_store::schema::{Applied, Check, CheckRule, Reference, Step, Table};

/// Queries that give a row where rows hinder a step.
pub(crate) fn foreseen<'a>(server: &Server, from: &Applied, steps: &'a [Step]) -> Vec<(&'a Step, String)> {
    let of = |step: &'a Step| Some((step, hindrance(server, from, steps, step)?));
    steps.iter().filter_map(of).collect()
}

fn hindrance(server: &Server, from: &Applied, steps: &[Step], step: &Step) -> Option<String> {
    let table = settled(from, steps, step.table())?;
    let at = name(&table.name);
    let is_kept = |column: &str| is_kept(table, steps, column);
    match step {
        Step::AddColumn { column, .. } if !column.null && column.default.is_none() && !table.identity => {
            Some(format!("SELECT 1 FROM {at} LIMIT 1"))
        }
        Step::AlterColumn { from: was, to, .. }
            if was.null && !to.null && to.default.is_none() && is_there(table, steps, &to.name) =>
        {
            Some(format!("SELECT 1 FROM {at} WHERE {} IS NULL LIMIT 1", name(&to.name)))
        }
        Step::AddCheck { check, .. } => {
            let test =
                check_test(server, table, check).filter(|_| columns(check).iter().all(|column| is_kept(column)))?;
            Some(format!("SELECT 1 FROM {at} WHERE NOT ({test}) LIMIT 1"))
        }
        Step::CreateIndex { index, .. } if index.unique && index.columns.iter().all(|column| is_kept(&column.name)) => {
            let columns: Vec<String> = index.columns.iter().map(|column| name(&column.name)).collect();
            let given: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
            let (columns, given) = (columns.join(", "), given.join(" AND "));
            Some(format!("SELECT 1 FROM {at} WHERE {given} GROUP BY {columns} HAVING COUNT(*) > 1 LIMIT 1"))
        }
        Step::AddReference { reference, .. } if is_kept(&reference.column) => {
            let target = settled(from, steps, &reference.table)?;
            self::is_kept(target, steps, &reference.target).then(|| dangling(&table.name, reference))
        }
        _ => None,
    }
}

/// A table that is there before the steps, and that none of them renames.
fn settled<'a>(from: &'a Applied, steps: &[Step], table: &str) -> Option<&'a Table> {
    let is_moved = steps.iter().any(|step| match step {
        Step::RenameTable { from, to } => from == table || to == table,
        Step::CreateTable(new) => new.name == table,
        Step::DropTable(gone) => gone.name == table,
        _ => false,
    });
    from.table(table).filter(|_| !is_moved)
}

/// Whether a column is there before the steps as it is after them.
fn is_kept(table: &Table, steps: &[Step], column: &str) -> bool {
    let is_changed = steps.iter().any(|step| match step {
        Step::AlterColumn { table: on, to, .. } => *on == table.name && to.name == column,
        _ => false,
    });
    is_there(table, steps, column) && !is_changed
}

/// Whether a column is there before the steps under this name.
fn is_there(table: &Table, steps: &[Step], column: &str) -> bool {
    let is_renamed = steps.iter().any(|step| {
        matches!(step, Step::RenameColumn { table: on, from, to } if *on == table.name && (from == column || to == column))
    });
    table.column(column).is_some() && !is_renamed
}

fn columns(check: &Check) -> BTreeSet<String> {
    let mut columns: BTreeSet<String> = check.column.iter().cloned().collect();
    if let CheckRule::Condition(rule) = &check.rule {
        rule.clone().each_column(&mut |column| {
            columns.insert(column.clone());
        });
    }
    columns
}

/// Rows that refer to nothing.
pub(super) fn dangling(table: &str, reference: &Reference) -> String {
    format!(
        "SELECT 1 FROM {} c WHERE c.{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {} p WHERE p.{} = c.{column}) LIMIT 1",
        name(table),
        name(&reference.table),
        name(&reference.target),
        column = name(&reference.column)
    )
}
