//! From one schema to another, step by step, as data. A store writes each step in its own SQL, or several of them at once.
//!
//! Renames are the declared ones only (`renamed_from`, or a changed `table =`/`column =` of the same collection or field): a
//! guess would be somebody's data one day.

use super::{Applied, Check, Column, Index, Reference, Table};
use std::collections::{BTreeMap, BTreeSet};
use undergird_model::{Kind, Type};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new table, without its indexes.
    CreateTable(Table),
    /// A table goes, with its rows.
    DropTable(Table),
    /// A table gets another name. References to it follow.
    RenameTable {
        /// Its name before.
        from: String,
        /// Its name after.
        to: String,
    },
    /// A new column.
    AddColumn {
        /// Where.
        table: String,
        /// What.
        column: Column,
    },
    /// A column goes, with its values.
    DropColumn {
        /// Where.
        table: String,
        /// What.
        column: Column,
    },
    /// A column gets another name. Whatever mentions it follows.
    RenameColumn {
        /// Where.
        table: String,
        /// Its name before.
        from: String,
        /// Its name after.
        to: String,
    },
    /// The collection of a table has another name; the table is the same. Only the record changes.
    RenameCollection {
        /// Where.
        table: String,
        /// Its name before.
        from: String,
        /// Its name after.
        to: String,
    },
    /// The field of a column has another name; the column is the same. Only the record changes.
    RenameField {
        /// Where.
        table: String,
        /// Which column.
        column: String,
        /// The field's name before.
        from: String,
        /// The field's name after.
        to: String,
    },
    /// A column changes its type, whether it may be null, or its default.
    AlterColumn {
        /// Where.
        table: String,
        /// As it was, under its new name.
        from: Column,
        /// As it will be.
        to: Column,
    },
    /// The primary key changes.
    AlterKey {
        /// Where.
        table: String,
        /// The columns before.
        from: Vec<String>,
        /// The columns after.
        to: Vec<String>,
        /// Whether the database numbers the key afterwards.
        identity: bool,
    },
    /// A new check.
    AddCheck {
        /// Where.
        table: String,
        /// What.
        check: Check,
    },
    /// A check goes.
    DropCheck {
        /// Where.
        table: String,
        /// What.
        check: Check,
    },
    /// A new foreign key.
    AddReference {
        /// Where.
        table: String,
        /// What.
        reference: Reference,
    },
    /// A foreign key goes.
    DropReference {
        /// Where.
        table: String,
        /// What.
        reference: Reference,
    },
    /// A new index.
    CreateIndex {
        /// Where.
        table: String,
        /// What.
        index: Index,
    },
    /// An index goes.
    DropIndex {
        /// Where.
        table: String,
        /// What.
        index: Index,
    },
}

/// How stored values become values of another type. Each gives the same value in the new type or fails, unless
/// [`Conversion::loses`] says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// The stored form is the same, or the store converts it on its own, or refuses.
    Keep,
    /// An integer becomes text.
    IntToText,
    /// Text becomes an integer; other text refuses.
    TextToInt,
    /// An integer becomes a double.
    IntToFloat,
    /// An unscaled number gets this many more digits after the point.
    ScaleUp(u8),
    /// An unscaled number gets this many fewer digits after the point; digits that are not zero refuse.
    ScaleDown(u8),
    /// A UUID becomes text.
    UuidToText,
    /// Text becomes a UUID; other text refuses.
    TextToUuid,
    /// A date becomes its midnight, UTC.
    DateToTimestamp,
    /// A timestamp becomes its date, UTC.
    TimestampToDate,
    /// Text becomes a JSON string.
    TextToJson,
    /// Text or an integer becomes a list of one.
    ToList,
}

impl Conversion {
    /// What gets lost on the way.
    pub fn loses(self) -> Option<&'static str> {
        match self {
            Conversion::IntToFloat => Some("digits of numbers beyond 2^53"),
            Conversion::TimestampToDate => Some("the time of day"),
            Conversion::Keep
            | Conversion::IntToText
            | Conversion::TextToInt
            | Conversion::ScaleUp(_)
            | Conversion::ScaleDown(_)
            | Conversion::UuidToText
            | Conversion::TextToUuid
            | Conversion::DateToTimestamp
            | Conversion::TextToJson
            | Conversion::ToList => None,
        }
    }
}

/// How values of one type become values of another, when there is one obvious way.
pub fn conversion(from: Type, to: Type) -> Option<Conversion> {
    let (from, to) = match (from, to) {
        (from, to) if from == to => return Some(Conversion::Keep),
        (Type::Scalar(from), Type::Scalar(to)) => (from, to),
        (Type::Scalar(from @ (Kind::Text | Kind::Int)), Type::List(to)) if from == to => {
            return Some(Conversion::ToList);
        }
        _ => return None,
    };
    let scale = |from: u8, to: u8| match from.cmp(&to) {
        std::cmp::Ordering::Equal => Conversion::Keep,
        std::cmp::Ordering::Less => Conversion::ScaleUp(to - from),
        std::cmp::Ordering::Greater => Conversion::ScaleDown(from - to),
    };
    Some(match (from, to) {
        (Kind::Bool, Kind::Int) | (Kind::Int, Kind::Bool) => Conversion::Keep,
        (Kind::Int, Kind::Float) => Conversion::IntToFloat,
        (Kind::Int, Kind::Text) => Conversion::IntToText,
        (Kind::Text, Kind::Int) => Conversion::TextToInt,
        (Kind::Int, Kind::Decimal { scale: to, .. }) => scale(0, to),
        (Kind::Decimal { scale: from, .. }, Kind::Int) => scale(from, 0),
        (Kind::Decimal { scale: from, .. }, Kind::Decimal { scale: to, .. }) => scale(from, to),
        (Kind::Uuid, Kind::Text) => Conversion::UuidToText,
        (Kind::Text, Kind::Uuid) => Conversion::TextToUuid,
        (Kind::Date, Kind::Timestamp) => Conversion::DateToTimestamp,
        (Kind::Timestamp, Kind::Date) => Conversion::TimestampToDate,
        (Kind::Text, Kind::Json) => Conversion::TextToJson,
        _ => return None,
    })
}

impl Step {
    /// The table that the step is about, by its name afterwards.
    pub fn table(&self) -> &str {
        match self {
            Step::CreateTable(table) | Step::DropTable(table) => &table.name,
            Step::RenameTable { to, .. } => to,
            Step::AddColumn { table, .. }
            | Step::DropColumn { table, .. }
            | Step::RenameColumn { table, .. }
            | Step::RenameCollection { table, .. }
            | Step::RenameField { table, .. }
            | Step::AlterColumn { table, .. }
            | Step::AlterKey { table, .. }
            | Step::AddCheck { table, .. }
            | Step::DropCheck { table, .. }
            | Step::AddReference { table, .. }
            | Step::DropReference { table, .. }
            | Step::CreateIndex { table, .. }
            | Step::DropIndex { table, .. } => table,
        }
    }

    /// The step in words.
    pub fn describe(&self) -> String {
        match self {
            Step::CreateTable(table) => format!("create the table {} ({} columns)", table.name, table.columns.len()),
            Step::DropTable(table) => format!("drop the table {}", table.name),
            Step::RenameTable { from, to } => format!("rename the table {from} to {to}"),
            Step::AddColumn { table, column } => {
                let kind = match (&column.default, column.null) {
                    (Some(default), _) => format!("default {default}"),
                    (None, true) => "optional".into(),
                    (None, false) => "required, without a default".into(),
                };
                format!("add the column {table}.{} ({}, {kind})", column.name, column.ty)
            }
            Step::DropColumn { table, column } => format!("drop the column {table}.{}", column.name),
            Step::RenameColumn { table, from, to } => format!("rename the column {table}.{from} to {to}"),
            Step::RenameCollection { table, from, to } => format!("note that the table {table} is of {to}, not {from}"),
            Step::RenameField { table, column, from, to } => {
                format!("note that the column {table}.{column} is of the field {to}, not {from}")
            }
            Step::AlterColumn { table, from, to } => {
                let mut changes = Vec::new();
                if from.ty != to.ty {
                    changes.push(format!("of type {} (it was {})", to.ty, from.ty));
                }
                if from.null != to.null {
                    changes.push(if to.null { "optional".into() } else { "required".into() });
                }
                if from.default != to.default {
                    changes
                        .push(to.default.as_ref().map_or("without a default".into(), |new| format!("default {new}")));
                }
                format!("make the column {table}.{} {}", to.name, changes.join(", "))
            }
            Step::AlterKey { table, from, to, identity } => format!(
                "change the key of {table} from ({}) to ({}){}",
                from.join(", "),
                to.join(", "),
                if *identity { ", numbered by the database" } else { "" }
            ),
            Step::AddCheck { table, check } => format!("add the check {} to {table}", check.name),
            Step::DropCheck { table, check } => format!("drop the check {} of {table}", check.name),
            Step::AddReference { table, reference } => {
                format!("make {table}.{} refer to {}", reference.column, reference.table)
            }
            Step::DropReference { table, reference } => {
                format!("stop {table}.{} referring to {}", reference.column, reference.table)
            }
            Step::CreateIndex { table, index } => {
                let unique = if index.unique { "unique " } else { "" };
                format!("create the {unique}index {} on {table} ({})", index.name, columns(index))
            }
            Step::DropIndex { table, index } => format!("drop the index {} of {table}", index.name),
        }
    }

    /// What is lost for good when the step is taken, in words.
    pub fn loss(&self) -> Option<String> {
        match self {
            Step::DropTable(table) => Some(format!("every row of {}", table.name)),
            Step::DropColumn { table, column } => Some(format!("every value of {table}.{}", column.name)),
            Step::AlterColumn { table, from, to } => {
                let what = conversion(from.ty, to.ty)?.loses()?;
                Some(format!("{what} in {table}.{}", to.name))
            }
            Step::CreateTable(_)
            | Step::RenameTable { .. }
            | Step::AddColumn { .. }
            | Step::RenameColumn { .. }
            | Step::RenameCollection { .. }
            | Step::RenameField { .. }
            | Step::AlterKey { .. }
            | Step::AddCheck { .. }
            | Step::DropCheck { .. }
            | Step::AddReference { .. }
            | Step::DropReference { .. }
            | Step::CreateIndex { .. }
            | Step::DropIndex { .. } => None,
        }
    }

    /// Whether anything is lost for good.
    pub fn loses_data(&self) -> bool {
        self.loss().is_some()
    }

    /// Why no store can take this step, and what to do instead.
    pub fn blocked(&self) -> Option<String> {
        match self {
            Step::AlterColumn { table, from, to } if conversion(from.ty, to.ty).is_none() => Some(format!(
                "{table}.{name} is {from} and cannot become {to}: add a field of the new type under another name, copy what you \
                 want to keep, then drop this one",
                name = to.name,
                from = from.ty,
                to = to.ty,
            )),
            _ => None,
        }
    }

    /// What to do when rows that are there already do not allow the step. `None` for steps that no row can hinder.
    pub fn mending(&self) -> Option<String> {
        match self {
            Step::AddColumn { table, column } if !column.null && column.default.is_none() => Some(format!(
                "{table}.{name} is required and the rows that are there have no value for it: give the field a literal `default`, or \
                 make it `optional = true`, fill it, and make it required afterwards",
                name = column.name
            )),
            Step::AlterColumn { table, from, to } if from.null && !to.null && to.default.is_none() => Some(format!(
                "{table}.{name} becomes required and some rows have null in it: fill them first, or give the field a literal `default`",
                name = to.name
            )),
            Step::AlterColumn { table, to, .. } => {
                Some(format!("some values of {table}.{} are not {}: correct them first", to.name, to.ty))
            }
            Step::AlterKey { table, to, .. } => Some(format!(
                "some rows of {table} have the same or no ({}): correct them before it becomes the key",
                to.join(", ")
            )),
            Step::AddCheck { table, check } => {
                Some(format!("some rows of {table} break {}: correct them first", check.name))
            }
            Step::AddReference { table, reference } => Some(format!(
                "some rows of {table} name in {} a row of {} that does not exist: correct them first",
                reference.column, reference.table
            )),
            Step::CreateIndex { table, index } if index.unique => Some(format!(
                "some rows of {table} have the same ({}): correct them before it becomes unique",
                columns(index)
            )),
            _ => None,
        }
    }
}

fn columns(index: &Index) -> String {
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|column| format!("{}{}", if column.descending { "-" } else { "" }, column.name))
        .collect();
    columns.join(", ")
}

/// The steps from one schema to another, in an order in which they can be taken. Empty exactly when their fingerprints are the same.
///
/// Whatever is in the way goes first (indexes, tables), then names change, then tables come in the order of their references
/// (a circle is broken at its last table by name: stores that check references as tables are made add that one afterwards), then
/// each table changes, then indexes come.
pub fn steps(from: Option<&Applied>, to: &Applied) -> Vec<Step> {
    let mut old = from.cloned().unwrap_or_else(Applied::empty);
    let mut drops = Vec::new();
    let mut renames = Vec::new();

    let table_names = match_tables(&old, to);
    old.tables.retain(|table| {
        let kept = table_names.contains_key(&table.name);
        if !kept {
            drops.push(table.clone());
        }
        kept
    });
    let drops = referring_first(drops).into_iter().map(Step::DropTable).collect::<Vec<_>>();
    for (from, to) in ordered_renames(&table_names) {
        rename_table(&mut old, &from, &to);
        renames.push(Step::RenameTable { from, to });
    }
    for table in &to.tables {
        let Some(before) = old.table(&table.name) else { continue };
        if before.collection != table.collection {
            let (from, to) = (before.collection.clone(), table.collection.clone());
            renames.push(Step::RenameCollection { table: table.name.clone(), from, to });
        }
        let names = match_columns(before, table);
        for (was, now) in names.iter().filter(|(was, now)| was == now) {
            let (Some(was), Some(now)) = (before.column(was), table.column(now)) else { continue };
            if was.field != now.field {
                let (from, to) = (was.field.clone(), now.field.clone());
                renames.push(Step::RenameField { table: table.name.clone(), column: now.name.clone(), from, to });
            }
        }
        for (from, to) in ordered_renames(&names) {
            rename_column(&mut old, &table.name, &from, &to);
            renames.push(Step::RenameColumn { table: table.name.clone(), from, to });
        }
    }

    let mut lost_indexes = Vec::new();
    let mut changes = Vec::new();
    let mut new_indexes = Vec::new();
    let mut creates = Vec::new();
    for table in &to.tables {
        let name = || table.name.clone();
        let before = old.table(&table.name);
        match before {
            None => creates.push(table.clone()),
            Some(before) => change_table(before, table, &mut changes),
        }
        let had = before.map_or(&[][..], |before| &before.indexes);
        let gone = had.iter().filter(|index| !table.indexes.contains(index));
        lost_indexes.extend(gone.map(|index| Step::DropIndex { table: name(), index: index.clone() }));
        let new = table.indexes.iter().filter(|index| !had.contains(index));
        new_indexes.extend(new.map(|index| Step::CreateIndex { table: name(), index: index.clone() }));
    }
    let mut creates = referring_first(creates);
    creates.reverse();

    let mut steps = drops;
    steps.extend(renames);
    steps.extend(lost_indexes);
    steps.extend(creates.into_iter().map(Step::CreateTable));
    steps.extend(changes);
    steps.extend(new_indexes);
    steps
}

/// What changes within a table that stays.
fn change_table(before: &Table, after: &Table, steps: &mut Vec<Step>) {
    let table = || after.name.clone();
    for check in before.checks.iter().filter(|check| !after.checks.contains(check)) {
        steps.push(Step::DropCheck { table: table(), check: check.clone() });
    }
    for reference in before.references.iter().filter(|reference| !after.references.contains(reference)) {
        steps.push(Step::DropReference { table: table(), reference: reference.clone() });
    }
    for column in &after.columns {
        match before.column(&column.name) {
            None => steps.push(Step::AddColumn { table: table(), column: column.clone() }),
            Some(was) if (was.ty, was.null, &was.default) != (column.ty, column.null, &column.default) => {
                steps.push(Step::AlterColumn { table: table(), from: was.clone(), to: column.clone() });
            }
            Some(_) => {}
        }
    }
    if (&before.key, before.identity) != (&after.key, after.identity) {
        steps.push(Step::AlterKey {
            table: table(),
            from: before.key.clone(),
            to: after.key.clone(),
            identity: after.identity,
        });
    }
    for column in before.columns.iter().filter(|column| after.column(&column.name).is_none()) {
        steps.push(Step::DropColumn { table: table(), column: column.clone() });
    }
    for check in after.checks.iter().filter(|check| !before.checks.contains(check)) {
        steps.push(Step::AddCheck { table: table(), check: check.clone() });
    }
    for reference in after.references.iter().filter(|reference| !before.references.contains(reference)) {
        steps.push(Step::AddReference { table: table(), reference: reference.clone() });
    }
}

/// Name before → name after, for each table that stays: the same collection's, or else the one of the same name.
fn match_tables(old: &Applied, new: &Applied) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut found = BTreeSet::new();
    for table in &new.tables {
        if let Some(before) = old.tables.iter().find(|before| before.collection == table.collection) {
            names.insert(before.name.clone(), table.name.clone());
            found.insert(&table.name);
        }
    }
    for table in &new.tables {
        // The file was renamed and `table =` kept: the rows are the same.
        let unclaimed = !names.contains_key(&table.name) && !found.contains(&table.name);
        if unclaimed && old.table(&table.name).is_some() {
            names.insert(table.name.clone(), table.name.clone());
        }
    }
    names
}

/// Name before → name after, for each column that stays: the same field's, or the one that `renamed_from` names, or else the one
/// of the same name.
fn match_columns(old: &Table, new: &Table) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut found = BTreeSet::new();
    for column in &new.columns {
        if let Some(before) = old.columns.iter().find(|before| before.field == column.field) {
            names.insert(before.name.clone(), column.name.clone());
            found.insert(&column.name);
        }
    }
    for column in new.columns.iter().filter(|column| column.renamed_from.is_some()) {
        // A `renamed_from` that was followed long ago names no field any more, and is done with.
        let before = old.columns.iter().find(|before| Some(&before.field) == column.renamed_from.as_ref());
        if let Some(before) = before.filter(|before| !names.contains_key(&before.name))
            && !found.contains(&column.name)
        {
            names.insert(before.name.clone(), column.name.clone());
            found.insert(&column.name);
        }
    }
    for column in &new.columns {
        let unclaimed = !names.contains_key(&column.name) && !found.contains(&column.name);
        if unclaimed && old.column(&column.name).is_some() {
            names.insert(column.name.clone(), column.name.clone());
        }
    }
    // A column that goes steps aside when another takes its name, for it is dropped after the renames.
    for gone in old.columns.iter().filter(|before| found.contains(&before.name)) {
        names.entry(gone.name.clone()).or_insert_with(|| format!("_undergird_{}", gone.name));
    }
    names
}

/// The renames among the names, so that none meets a name still in use; a circle goes by way of a name of ours, and so does a change
/// of case alone, which some databases take for no change.
fn ordered_renames(names: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut open: BTreeMap<String, String> =
        names.iter().filter(|(from, to)| from != to).map(|(from, to)| (from.clone(), to.clone())).collect();
    let mut ordered = Vec::new();
    while let Some(from) =
        open.iter().find(|(_, to)| !open.contains_key(*to)).or(open.iter().next()).map(|e| e.0.clone())
    {
        let Some(to) = open.remove(&from) else { break };
        if open.contains_key(&to) || to.eq_ignore_ascii_case(&from) {
            let aside = format!("_undergird_{from}");
            ordered.push((from, aside.clone()));
            open.insert(aside, to);
        } else {
            ordered.push((from, to));
        }
    }
    ordered
}

pub(super) fn rename_table(schema: &mut Applied, from: &str, to: &str) {
    for table in &mut schema.tables {
        if table.name == from {
            to.clone_into(&mut table.name);
        }
        for reference in table.references.iter_mut().filter(|reference| reference.table == from) {
            to.clone_into(&mut reference.table);
        }
    }
}

pub(super) fn rename_column(schema: &mut Applied, table: &str, from: &str, to: &str) {
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
            if let super::CheckRule::Condition(condition) = &mut check.rule {
                condition.each_column(rename);
            }
        }
        other.indexes.iter_mut().flat_map(|index| &mut index.columns).for_each(|column| rename(&mut column.name));
    }
}

/// Tables ordered so that each comes before those that it refers to; circles are broken at the first of them by name.
fn referring_first(tables: Vec<Table>) -> Vec<Table> {
    let mut left: BTreeMap<String, Table> = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
    let refers_to = |table: &Table| -> BTreeSet<String> {
        let others = table.references.iter().map(|reference| reference.table.clone());
        others.filter(|other| *other != table.name).collect()
    };
    // By how many of those that are left each is referred to.
    let mut referred: BTreeMap<String, usize> = left.keys().map(|name| (name.clone(), 0)).collect();
    for name in left.values().flat_map(refers_to) {
        referred.entry(name).and_modify(|count| *count += 1);
    }
    let mut free: BTreeSet<String> =
        referred.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.clone()).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(name) = free.pop_first().or_else(|| left.keys().next().cloned()) {
        let Some(table) = left.remove(&name) else { continue };
        for other in refers_to(&table) {
            if let Some(count) = referred.get_mut(&other) {
                *count -= 1;
                if *count == 0 && left.contains_key(&other) {
                    free.insert(other);
                }
            }
        }
        ordered.push(table);
    }
    ordered
}
