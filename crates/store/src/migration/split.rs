//! A change in three migrations instead of one: what older nodes need not know (expand), rows filled in batches (fill), and what holds or
//! drops the rest (contract), so that nodes of both definitions serve meanwhile.
//!
//! A renamed column becomes a new one beside the old one, a required one is optional until the contract, a column that goes is optional
//! until it does. Absent: values that only the application's people know, for which the backfill has an empty place that lint points
//! to; and what cannot stand beside itself (tables that are renamed, keys, types that change), which is refused.

use super::file::Phase;
use super::{Entry, Scribe, Snapshot, Sql, StepsFile, expands, file_of};
use crate::schema::{self, Applied, Column, Literal, Step};
use std::collections::BTreeMap;

/// A migration of a change that was divided.
#[derive(Clone, Debug)]
pub struct Piece {
    /// `expand`, `fill` or `contract`.
    pub phase: Phase,
    /// What the definition wants once it is taken.
    pub after: Snapshot,
    /// Its steps.
    pub file: StepsFile,
}

/// Divides what lies between two snapshots. Pieces that would do nothing are left out.
///
/// # Errors
/// A sentence for each step that cannot be made while older nodes serve, however it is divided.
pub fn split(before: &Snapshot, after: &Snapshot, scribes: &[&dyn Scribe]) -> Result<Vec<Piece>, Vec<String>> {
    let steps = schema::steps(before.origin(), &after.wanted());
    let faults: Vec<String> = steps.iter().filter_map(undivided).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut divided = Divided { scribes, wanted: &after.schema, schema: before.schema.clone(), fills: Vec::new() };
    for step in &steps {
        divided.take(step, &steps);
    }
    let Divided { schema, fills, .. } = divided;
    // Rules of collections that are there change with the contract: older nodes go by theirs.
    let mut access = before.access.clone();
    for (collection, rules) in &after.access {
        access.entry(collection.clone()).or_insert_with(|| rules.clone());
    }
    let expanded = Snapshot::of_schema(schema.clone(), access.clone(), before);
    let filled = Snapshot::of_schema(schema, access, &expanded);
    let contracted = Snapshot::of_schema(after.wanted(), after.access.clone(), &filled);
    let mut pieces = Vec::new();
    if !expanded.is_same(before) {
        pieces.push(piece(Phase::Expand, before, expanded));
    }
    if !fills.is_empty() {
        let file = StepsFile { phase: Some(Phase::Fill), steps: fills };
        pieces.push(Piece { phase: Phase::Fill, after: filled.clone(), file });
    }
    if !contracted.is_same(&filled) {
        pieces.push(piece(Phase::Contract, &filled, contracted));
    }
    Ok(pieces)
}

fn piece(phase: Phase, before: &Snapshot, after: Snapshot) -> Piece {
    let file = StepsFile { phase: Some(phase), ..file_of(before, &after) };
    Piece { phase, after, file }
}

/// Why a step cannot be divided.
fn undivided(step: &Step) -> Option<String> {
    match step {
        Step::AlterColumn { table, from, to } if from.ty != to.ty => Some(format!(
            "{table}.{}: a type cannot change while nodes of both definitions use the column; add a field of the new type beside it, \
             split that, and drop this one later",
            to.name
        )),
        Step::RenameTable { from, .. } => {
            Some(format!("{from}: a table cannot have two names; keep the old one with `table = \"{from}\"`"))
        }
        Step::RenameCollection { from, to, .. } => {
            Some(format!("{from}: a collection cannot have two names; rename it to {to} in a migration of its own"))
        }
        Step::RenameField { table, from, .. } => {
            Some(format!("{table}: the field {from} keeps its column, which cannot have two; leave out its `column`"))
        }
        Step::AlterKey { table, .. } => {
            Some(format!("{table}: its key cannot change while nodes of both definitions serve"))
        }
        _ => None,
    }
}

struct Divided<'a> {
    scribes: &'a [&'a dyn Scribe],
    wanted: &'a Applied,
    /// The schema after the expansion, as far as it is known.
    schema: Applied,
    fills: Vec<Entry>,
}

impl Divided<'_> {
    fn take(&mut self, step: &Step, steps: &[Step]) {
        match step {
            Step::AddColumn { table, column } if !column.null && column.default.is_none() => {
                let optional = Column { null: true, ..column.clone() };
                schema::take(&mut self.schema, &Step::AddColumn { table: table.clone(), column: optional });
                self.fill(table, &column.name, Sql::Every(String::new()));
            }
            Step::RenameColumn { table, from, to } => {
                let Some(there) = self.schema.table(table).and_then(|table| table.column(from)).cloned() else {
                    return;
                };
                self.loosen(table, from);
                let wanted = self.wanted.table(table).and_then(|table| table.column(to));
                let field = wanted.map_or_else(|| to.clone(), |column| column.field.clone());
                let column = Column { name: to.clone(), field, null: true, default: None, renamed_from: None, ..there };
                schema::take(&mut self.schema, &Step::AddColumn { table: table.clone(), column });
                let each = self.scribes.iter().map(|scribe| (scribe.name().to_owned(), scribe.quoted(from)));
                self.fill(table, to, Sql::Each(each.collect()));
            }
            Step::DropColumn { table, column } if !column.null && column.default.is_none() => {
                self.loosen(table, &column.name);
            }
            Step::AlterColumn { table, from, to } if from.null && !to.null => {
                let optional = Column { null: true, ..to.clone() };
                let step = Step::AlterColumn { table: table.clone(), from: from.clone(), to: optional };
                schema::take(&mut self.schema, &step);
                self.fill(table, &to.name, Sql::Every(to.default.as_ref().map_or_else(String::new, plain)));
            }
            // Older nodes are quicker with it.
            Step::DropIndex { .. } => {}
            Step::CreateIndex { table, index } => {
                let is_taken =
                    self.schema.tables.iter().flat_map(|table| &table.indexes).any(|old| old.name == index.name);
                let there = self.schema.table(table);
                let is_there =
                    index.columns.iter().all(|column| there.is_some_and(|table| table.column(&column.name).is_some()));
                if expands(step, steps) && is_there && !is_taken {
                    schema::take(&mut self.schema, step);
                }
            }
            step if expands(step, steps) => schema::take(&mut self.schema, step),
            _ => {}
        }
    }

    /// Lets a column be null that newer nodes give no value for.
    fn loosen(&mut self, table: &str, column: &str) {
        let tables = self.schema.tables.iter_mut().filter(|other| other.name == table);
        for column in tables.flat_map(|table| &mut table.columns).filter(|other| other.name == column) {
            column.null = column.null || column.default.is_none();
        }
    }

    fn fill(&mut self, table: &str, column: &str, value: Sql) {
        let each: BTreeMap<String, String> = self
            .scribes
            .iter()
            .map(|scribe| (scribe.name().to_owned(), format!("{} IS NULL", scribe.quoted(column))))
            .collect();
        self.fills.push(Entry {
            about: Some(format!("fill {table}.{column}")),
            backfill: Some(table.to_owned()),
            set: BTreeMap::from([(column.to_owned(), value)]),
            only: Some(Sql::Each(each)),
            undo: Some(Sql::Every(String::new())),
            ..Entry::default()
        });
    }
}

/// A literal in every store's words; empty for those that have none in common.
fn plain(literal: &Literal) -> String {
    match literal {
        Literal::Int(number) => number.to_string(),
        Literal::Text(text) if !text.contains(['\\', '\'']) => format!("'{text}'"),
        _ => String::new(),
    }
}
