//! The schema in PostgreSQL's words: tables with real constraints, and [`Step`]s as statements.
//!
//! Every name is quoted and none says its schema: [`migrate()`] sets the `search_path` to the application's schema alone, the first one
//! of the connection's own path, which is where queries look too. Foreign keys that are in the way of other changes step aside first
//! and come back last. Absent: any decision about what is to change; that is [`undergird_store::schema::steps`].

mod early;
mod follow;
mod migrate;

pub(crate) use migrate::broken;
pub(crate) use migrate::raise_wall;
pub use migrate::{apply, follow_changes, hold_writes, install_functions, migrate};

use crate::checks;
use crate::types::{self, identifier, name, text};
use std::collections::BTreeSet;
use undergird_model::Type;
use undergird_store::migration::Group;
use undergird_store::schema::{self, Applied, Column, Index, OnDelete, Reference, Step, Table};

/// Where the record of what was applied is kept.
pub(crate) const RECORD: &str = "_undergird_schema";

/// The schema of the functions that statements use. One per database, whatever the number of applications in it.
pub(crate) const HELPERS: &str = "undergird";

/// The trigger that lets numbers given by hand count for the numbering of a key.
pub(crate) const IDENTITY_TRIGGER: &str = "_undergird_identity";

/// How the name of what was made before its migration, and has no place in a schema yet, begins. Constraints that are called so are not
/// compared with the record.
pub(crate) const UNPLACED: &str = "_undergird_new_";

/// The statements that take the steps, in order, to be run in one transaction.
pub fn statements(steps: &[Step], wanted: &Applied) -> Vec<String> {
    script(steps, wanted).into_iter().map(|line| line.sql).collect()
}

/// The same for a committed migration, for review: with what is made before the transaction.
pub fn reviewed(group: Group<'_>) -> Vec<String> {
    let Group { steps, wanted, is_first } = group;
    let early: Vec<early::Early> = match is_first {
        true => steps.iter().filter_map(|step| early::early(step, steps, wanted)).collect(),
        false => Vec::new(),
    };
    let is_made = |sql: &String| early.iter().any(|one| one.is_whole() && one.place == *sql);
    let rest = script(steps, wanted).into_iter().map(|line| line.sql).filter(|sql| !is_made(sql));
    early.iter().map(early::Early::shown).chain(rest).collect()
}

/// Whether nobody waits for what a step of a committed migration looks at.
pub fn is_early(step: &Step, group: Group<'_>) -> bool {
    group.is_first && early::early(step, group.steps, group.wanted).is_some()
}

/// A statement, and the step that it takes, for the error when rows do not allow it.
struct Line<'a> {
    sql: String,
    step: &'a Step,
}

struct Script<'a> {
    /// The schema as it is after the lines.
    state: Applied,
    lines: Vec<Line<'a>>,
}

impl<'a> Script<'a> {
    fn add(&mut self, step: &'a Step, sql: String) {
        self.lines.push(Line { sql, step });
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.state.table(name)
    }
}

fn script<'a>(steps: &'a [Step], wanted: &Applied) -> Vec<Line<'a>> {
    let mut script = Script { state: schema::before(steps, wanted), lines: Vec::new() };
    let aside = references_aside(steps, wanted);
    step_aside(&mut script, steps, &aside);
    for step in steps {
        within(&mut script, step, steps, wanted);
        schema::take(&mut script.state, step);
    }
    come_back(&mut script, steps, wanted, &aside);
    script.lines
}

/// A foreign key that stays, but cannot while a step is taken: it names a key that changes, or a column whose type does.
struct Aside<'a, 'b> {
    step: &'a Step,
    table: &'b Table,
    reference: &'b Reference,
}

fn references_aside<'a, 'b>(steps: &'a [Step], wanted: &'b Applied) -> Vec<Aside<'a, 'b>> {
    let new = |table: &Table, reference: &Reference| {
        steps.iter().any(|step| match step {
            Step::CreateTable(other) => other.name == table.name,
            Step::AddReference { table: on, reference: added } => *on == table.name && added == reference,
            _ => false,
        })
    };
    let hindering = |table: &str, column: &str, key: bool| {
        steps.iter().find(|step| match step {
            Step::AlterColumn { table: on, from, to } => on == table && to.name == column && from.ty != to.ty,
            Step::AlterKey { table: on, from, to, .. } => key && on == table && from != to,
            _ => false,
        })
    };
    let mut found = Vec::new();
    for table in &wanted.tables {
        for reference in table.references.iter().filter(|reference| !new(table, reference)) {
            let step = hindering(&table.name, &reference.column, false)
                .or_else(|| hindering(&reference.table, &reference.target, true));
            found.extend(step.map(|step| Aside { step, table, reference }));
        }
    }
    found
}

/// Foreign keys that go, and those that step aside, before anything else: what they hold on to may go or change.
fn step_aside<'a>(script: &mut Script<'a>, steps: &'a [Step], aside: &[Aside<'a, '_>]) {
    let drop =
        |table: &str, reference: &str| format!("ALTER TABLE {} DROP CONSTRAINT {}", name(table), name(reference));
    for step in steps {
        if let Step::DropReference { table, reference } = step {
            script.add(step, drop(&original(table, steps), &reference.name));
        }
    }
    for Aside { step, table, reference } in aside {
        script.add(step, drop(&original(&table.name, steps), &reference.name));
    }
    // Tables that go come before those that they refer to, but for circles.
    let mut gone = BTreeSet::new();
    for step in steps {
        let Step::DropTable(table) = step else { continue };
        gone.insert(table.name.as_str());
        for other in &script.state.tables {
            let dropped = steps.iter().any(|step| matches!(step, Step::DropTable(table) if table.name == other.name));
            for reference in &other.references {
                if dropped && reference.table == table.name && !gone.contains(other.name.as_str()) {
                    script.lines.push(Line { sql: drop(&other.name, &reference.name), step });
                }
            }
        }
    }
}

/// What could only be done when everything else was.
fn come_back<'a>(script: &mut Script<'a>, steps: &'a [Step], wanted: &Applied, aside: &[Aside<'a, '_>]) {
    for step in steps {
        match step {
            Step::AlterKey { table, from, to, .. } if from != to => {
                let Some(table) = wanted.table(table) else { continue };
                for index in kept_indexes(table, steps) {
                    script.add(step, create_index(table, index));
                }
            }
            Step::AlterColumn { table, from, to } if from.ty != to.ty => {
                let Some(table) = wanted.table(table) else { continue };
                for clause in
                    kept_checks(table, &to.name, steps).iter().filter_map(|check| checks::clause(table, check))
                {
                    script.add(step, format!("ALTER TABLE {} ADD {clause}", name(&table.name)));
                }
            }
            _ => {}
        }
    }
    for step in steps {
        match step {
            Step::AddReference { table, reference } => script.add(step, add_reference(table, reference)),
            Step::CreateTable(table) => {
                for reference in table.references.iter().filter(|reference| !is_ready(table, reference, steps)) {
                    script.add(step, add_reference(&table.name, reference));
                }
            }
            _ => {}
        }
    }
    for Aside { step, table, reference } in aside {
        script.add(step, add_reference(&table.name, reference));
    }
}

/// One step at its place.
fn within<'a>(script: &mut Script<'a>, step: &'a Step, steps: &'a [Step], wanted: &Applied) {
    // The numbering, the key, and the indexes that end with it, go before the columns under them change.
    let changes_rows = matches!(
        step,
        Step::AddColumn { .. }
            | Step::DropColumn { .. }
            | Step::AlterColumn { .. }
            | Step::AlterKey { .. }
            | Step::AddCheck { .. }
    );
    let first_of_table = changes_rows && {
        let this = steps.iter().position(|other| std::ptr::eq(other, step)).unwrap_or(0);
        !steps[..this].iter().any(|other| {
            other.table() == step.table()
                && matches!(
                    other,
                    Step::AddColumn { .. }
                        | Step::DropColumn { .. }
                        | Step::AlterColumn { .. }
                        | Step::AlterKey { .. }
                        | Step::AddCheck { .. }
                )
        })
    };
    if first_of_table
        && let Some(alter) =
            steps.iter().find(|other| matches!(other, Step::AlterKey { table, .. } if table == step.table()))
    {
        drop_key(script, alter, steps, wanted);
    }
    match step {
        Step::CreateTable(table) => {
            script.add(step, create_table(table, steps));
            if let [key] = table.key.as_slice()
                && table.identity
            {
                script.add(step, identity_trigger(&table.name, key));
            }
        }
        Step::DropTable(table) => script.add(step, format!("DROP TABLE {}", name(&table.name))),
        Step::RenameTable { from, to } => {
            script.add(step, format!("ALTER TABLE {} RENAME TO {}", name(from), name(to)));
            let Some(table) = script.table(from).cloned() else { return };
            rename_constraint(script, step, to, &key_name(from), &key_name(to));
            for column in &table.columns {
                if let Some((kind, _)) = types::form(column.ty, "") {
                    let of = |table: &str| form_name(table, &column.name, kind);
                    rename_constraint(script, step, to, &of(from), &of(to));
                }
            }
        }
        Step::RenameColumn { table, from, to } => {
            script.add(step, format!("ALTER TABLE {} RENAME COLUMN {} TO {}", name(table), name(from), name(to)));
            let ty = script.table(table).and_then(|table| table.column(from)).map(|column| column.ty);
            if let Some((kind, _)) = ty.and_then(|ty| types::form(ty, "")) {
                rename_constraint(script, step, table, &form_name(table, from, kind), &form_name(table, to, kind));
            }
        }
        // They change the record alone.
        Step::RenameCollection { .. } | Step::RenameField { .. } => {}
        Step::AddColumn { table, column } => {
            let identity =
                wanted.table(table).is_some_and(|table| table.identity && table.key == [column.name.clone()]);
            let mut sql = format!("ALTER TABLE {} ADD COLUMN {}", name(table), column_definition(column, identity));
            if let Some(form) = form_check(table, column) {
                sql += ", ADD ";
                sql += &form;
            }
            script.add(step, sql);
        }
        Step::DropColumn { table, column } => {
            script.add(step, format!("ALTER TABLE {} DROP COLUMN {}", name(table), name(&column.name)));
        }
        Step::AlterColumn { table, from, to } => alter_column(script, step, (table, from, to), steps),
        Step::AlterKey { table, from, to, identity } => {
            let key: Vec<String> = to.iter().map(|column| name(column)).collect();
            if from != to {
                let (at, called) = (name(table), name(&key_name(table)));
                script.add(step, format!("ALTER TABLE {at} ADD CONSTRAINT {called} PRIMARY KEY ({})", key.join(", ")));
            }
            if let ([column], true) = (to.as_slice(), *identity) {
                let is_new = |other: &Step| matches!(other, Step::AddColumn { table: on, column: new } if on == table && new.name == *column);
                if !steps.iter().any(is_new) {
                    let (at, key) = (name(table), name(column));
                    script
                        .add(step, format!("ALTER TABLE {at} ALTER COLUMN {key} ADD GENERATED BY DEFAULT AS IDENTITY"));
                    script.add(
                        step,
                        format!(
                            "SELECT setval({}, max({key})) FROM {at} HAVING max({key}) >= 1",
                            sequence_of(table, column)
                        ),
                    );
                }
                script.add(step, identity_trigger(table, column));
            }
        }
        Step::AddCheck { table, check } => {
            let clause = wanted.table(table).and_then(|table| checks::clause(table, check));
            if let Some(clause) = clause {
                script.add(step, format!("ALTER TABLE {} ADD {clause}", name(table)));
            }
        }
        Step::DropCheck { table, check } => {
            script.add(step, format!("ALTER TABLE {} DROP CONSTRAINT {}", name(table), name(&check.name)));
        }
        // They went first, and come last.
        Step::DropReference { .. } | Step::AddReference { .. } => {}
        Step::CreateIndex { table, index } => {
            if let Some(table) = wanted.table(table) {
                script.add(step, create_index(table, index));
            }
        }
        Step::DropIndex { index, .. } => script.add(step, format!("DROP INDEX {}", name(&index.name))),
    }
}

/// The key of a table that gets another one.
fn drop_key<'a>(script: &mut Script<'a>, step: &'a Step, steps: &'a [Step], wanted: &Applied) {
    let Step::AlterKey { table, from, to, .. } = step else { return };
    let at = name(table);
    if let Some(wanted) = wanted.table(table).filter(|_| from != to) {
        for index in kept_indexes(wanted, steps) {
            script.add(step, format!("DROP INDEX {}", name(&index.name)));
        }
    }
    if let [column] = from.as_slice() {
        script.add(step, format!("DROP TRIGGER IF EXISTS {} ON {at}", name(IDENTITY_TRIGGER)));
        script.add(step, format!("ALTER TABLE {at} ALTER COLUMN {} DROP IDENTITY IF EXISTS", name(column)));
    }
    if from != to {
        script.add(step, format!("ALTER TABLE {at} DROP CONSTRAINT {}", name(&key_name(table))));
    }
}

fn alter_column<'a>(
    script: &mut Script<'a>,
    step: &'a Step,
    (table, from, to): (&String, &Column, &Column),
    steps: &'a [Step],
) {
    let (at, column) = (name(table), name(&to.name));
    let retyped = from.ty != to.ty;
    let mut parts = Vec::new();
    if retyped {
        let kept = script.table(table).map(|state| kept_checks(state, &to.name, steps)).unwrap_or_default();
        parts.extend(kept.iter().map(|check| format!("DROP CONSTRAINT {}", name(&check.name))));
        if let Some((kind, _)) = types::form(from.ty, "") {
            parts.push(format!("DROP CONSTRAINT {}", name(&form_name(table, &to.name, kind))));
        }
        if from.default.is_some() {
            parts.push(format!("ALTER COLUMN {column} DROP DEFAULT"));
        }
        let value = types::converted(from, to);
        parts.push(format!("ALTER COLUMN {column} TYPE {} USING {value}", types::storage(to.ty)));
        parts.extend(form_check(table, to).map(|form| format!("ADD {form}")));
    } else if let Some(default) = to.default.as_ref().filter(|_| from.null && !to.null) {
        let default = types::default(default, to.ty);
        script.add(step, format!("UPDATE {at} SET {column} = {default} WHERE {column} IS NULL"));
    }
    match &to.default {
        Some(default) if retyped || from.default != to.default => {
            parts.push(format!("ALTER COLUMN {column} SET DEFAULT {}", types::default(default, to.ty)));
        }
        None if !retyped && from.default.is_some() => parts.push(format!("ALTER COLUMN {column} DROP DEFAULT")),
        _ => {}
    }
    match (from.null, to.null) {
        (true, false) => parts.push(format!("ALTER COLUMN {column} SET NOT NULL")),
        (false, true) => parts.push(format!("ALTER COLUMN {column} DROP NOT NULL")),
        _ => {}
    }
    if !parts.is_empty() {
        script.add(step, format!("ALTER TABLE {at} {}", parts.join(", ")));
    }
}

/// Checks of a table that stay while a column that they are about changes its type.
fn kept_checks(table: &Table, column: &str, steps: &[Step]) -> Vec<schema::Check> {
    let changed = |name: &str| {
        steps.iter().any(|step| match step {
            Step::AddCheck { table: on, check } | Step::DropCheck { table: on, check } => {
                *on == table.name && check.name == name
            }
            _ => false,
        })
    };
    // One that is about two such columns steps aside, and comes back, with the first of them.
    let first = |check: &schema::Check| {
        let retyped = steps.iter().find_map(|step| match step {
            Step::AlterColumn { table: on, from, to }
                if *on == table.name && from.ty != to.ty && checks::mentions(check, &to.name) =>
            {
                Some(to.name.as_str())
            }
            _ => None,
        });
        retyped == Some(column)
    };
    table.checks.iter().filter(|check| !changed(&check.name) && first(check)).cloned().collect()
}

/// Indexes that stay while the key, which they end with, changes.
fn kept_indexes<'b>(table: &'b Table, steps: &[Step]) -> Vec<&'b Index> {
    let is_new = |index: &Index| {
        steps.iter().any(
            |step| matches!(step, Step::CreateIndex { table: on, index: new } if *on == table.name && new.name == index.name),
        )
    };
    table.indexes.iter().filter(|index| !index.unique && !is_new(index)).collect()
}

/// What a table was called before the steps.
fn original(table: &str, steps: &[Step]) -> String {
    steps.iter().rev().fold(table.to_owned(), |called, step| match step {
        Step::RenameTable { from, to } if *to == called => from.clone(),
        _ => called,
    })
}

fn rename_constraint<'a>(script: &mut Script<'a>, step: &'a Step, table: &str, from: &str, to: &str) {
    if identifier(from) != identifier(to) {
        script.add(step, format!("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", name(table), name(from), name(to)));
    }
}

/// The name of a table's primary key.
pub(crate) fn key_name(table: &str) -> String {
    format!("{table}_pkey")
}

/// The name of the check on a column's form, where its type has one.
pub(crate) fn form_of(table: &str, column: &Column) -> Option<String> {
    types::form(column.ty, "").map(|(kind, _)| form_name(table, &column.name, kind))
}

fn form_name(table: &str, column: &str, kind: &str) -> String {
    format!("{table}_{column}_{kind}")
}

fn create_table(table: &Table, steps: &[Step]) -> String {
    let mut parts = Vec::new();
    for column in &table.columns {
        parts.push(column_definition(column, table.identity && table.key == [column.name.clone()]));
    }
    let key: Vec<String> = table.key.iter().map(|column| name(column)).collect();
    parts.push(format!("CONSTRAINT {} PRIMARY KEY ({})", name(&key_name(&table.name)), key.join(", ")));
    for reference in table.references.iter().filter(|reference| is_ready(table, reference, steps)) {
        parts.push(foreign_key(reference));
    }
    parts.extend(table.columns.iter().filter_map(|column| form_check(&table.name, column)));
    parts.extend(table.checks.iter().filter_map(|check| checks::clause(table, check)));
    format!("CREATE TABLE {} (\n  {}\n)", name(&table.name), parts.join(",\n  "))
}

/// Whether what a new table refers to is there, as it will be, when the table is made.
fn is_ready(table: &Table, reference: &Reference, steps: &[Step]) -> bool {
    if reference.table == table.name {
        return true;
    }
    for step in steps {
        match step {
            Step::CreateTable(other) if other.name == table.name => break,
            Step::CreateTable(other) if other.name == reference.table => return true,
            _ => {}
        }
    }
    !steps.iter().any(|step| match step {
        Step::CreateTable(other) => other.name == reference.table,
        Step::AddColumn { table, .. } | Step::AlterColumn { table, .. } | Step::AlterKey { table, .. } => {
            *table == reference.table
        }
        _ => false,
    })
}

fn column_definition(column: &Column, identity: bool) -> String {
    let mut sql = format!("{} {}", name(&column.name), types::storage(column.ty));
    if !column.null {
        sql += " NOT NULL";
    }
    if identity && column.ty == Type::INT {
        sql += " GENERATED BY DEFAULT AS IDENTITY";
    } else if let Some(default) = &column.default {
        sql += " DEFAULT ";
        sql += &types::default(default, column.ty);
    }
    sql
}

fn form_check(table: &str, column: &Column) -> Option<String> {
    let (kind, test) = types::form(column.ty, &name(&column.name))?;
    Some(format!("CONSTRAINT {} CHECK ({test})", name(&form_name(table, &column.name, kind))))
}

fn foreign_key(reference: &Reference) -> String {
    let action = match reference.on_delete {
        // Not RESTRICT, which refuses row by row: whether `DELETE` of a parent and its child in one statement succeeds would depend on
        // the order of the rows.
        OnDelete::Restrict => "NO ACTION",
        OnDelete::Cascade => "CASCADE",
        OnDelete::SetNull => "SET NULL",
    };
    format!(
        "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {action}",
        name(&reference.name),
        name(&reference.column),
        name(&reference.table),
        name(&reference.target)
    )
}

fn add_reference(table: &str, reference: &Reference) -> String {
    format!("ALTER TABLE {} ADD {}", name(table), foreign_key(reference))
}

/// An index, with the key appended: every ordering ends with the key, and an index that has it spares the sort of equal rows.
pub(crate) fn create_index(table: &Table, index: &Index) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let mut columns: Vec<String> = index
        .columns
        .iter()
        .map(|column| format!("{}{}", name(&column.name), if column.descending { " DESC" } else { "" }))
        .collect();
    if !index.unique {
        let missing = table.key.iter().filter(|key| !index.columns.iter().any(|column| column.name == **key));
        columns.extend(missing.map(|key| name(key)));
    }
    format!("CREATE {unique}INDEX {} ON {} ({})", name(&index.name), name(&table.name), columns.join(", "))
}

/// Numbers given by hand count: a number that a row had is never given to another one, as with SQLite's `AUTOINCREMENT`. The trigger
/// asks the sequence first, in C, and runs for such rows alone.
fn identity_trigger(table: &str, column: &str) -> String {
    let create = format!(
        "CREATE TRIGGER {} BEFORE INSERT OR UPDATE OF {key} ON {} FOR EACH ROW WHEN (NEW.{key} > \
         coalesce(pg_sequence_last_value(%L::regclass), 0)) EXECUTE FUNCTION {HELPERS}.identity_follows()",
        name(IDENTITY_TRIGGER),
        name(table),
        key = name(column),
    );
    // The sequence's name is PostgreSQL's choice, and in its turn quoted by it.
    let create = create.replace('%', "%%").replace("%%L", "%L");
    format!("DO $undergird$BEGIN EXECUTE format({}, {}); END$undergird$", text(&create), sequence_of(table, column))
}

fn sequence_of(table: &str, column: &str) -> String {
    // The first argument is read as SQL reads names, the second as it is.
    format!("pg_get_serial_sequence({}, {})", text(&name(table)), text(&identifier(column)))
}

#[cfg(test)]
mod tests;
