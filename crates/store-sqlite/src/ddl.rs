//! The schema in SQLite's words: `CREATE TABLE … STRICT` with real constraints, and [`Step`]s as statements.
//!
//! A table is a rowid table also when its key is a UUID: measured on 100,000 rows, `WITHOUT ROWID` is no faster at point reads and
//! up to three times slower at everything else once rows reach 2 KB, because rows then lie in the inner pages of the tree. It is
//! used for tables of small rows with a composite key (junctions), where it saves a second tree.
//!
//! Most changes of a table are one rebuild (<https://sqlite.org/lang_altertable.html#otheralter>), whatever their number. Absent:
//! any decision about what is to change; that is [`undergird_store::schema::steps`].

use crate::introspect;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use undergird_model::{Kind, Type};
use undergird_store::StoreError;
use undergird_store::schema::{
    self, Applied, Check, CheckRule, Column, Condition, Conversion, Index, Literal, OnDelete, Operand, Reference,
    SizeOf, Step, Table, TextTest,
};

/// Where the record of what was applied is kept.
pub(crate) const RECORD: &str = "_undergird_schema";

/// Prefix of a table's name while it is being rebuilt.
const REBUILT: &str = "_undergird_new_";

/// How long to wait for another process that is migrating.
const MIGRATING_MAX: Duration = Duration::from_secs(60);

/// The statements that take the steps, in order, to be run in one transaction with `foreign_keys` off.
pub fn statements(steps: &[Step], wanted: &Applied) -> Vec<String> {
    script(steps, wanted).into_iter().map(|line| line.sql).collect()
}

/// Takes the steps and records `wanted`, in one transaction; a failure or a crash leaves everything as it was. When another
/// process has come to `wanted` meanwhile, there is nothing to do.
///
/// # Errors
/// [`StoreError::SchemaMismatch`] when the steps do not lead from what the database has to `wanted`, when a table was changed by
/// hand, or when rows that are there do not allow a step; the text says which and how to mend it.
pub fn migrate(connection: &mut Connection, steps: &[Step], wanted: &Applied) -> Result<(), StoreError> {
    if let Some(reason) = steps.iter().find_map(Step::blocked) {
        return Err(StoreError::SchemaMismatch(reason));
    }
    alone(connection, |connection| migrate_locked(connection, steps, wanted))
}

/// Runs a change of the schema, with the settings that it needs.
pub(crate) fn alone<T>(
    connection: &mut Connection,
    change: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let pragma = |connection: &Connection, name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|error| broken("reading a setting", &error))
    };
    let foreign_keys = pragma(connection, "foreign_keys")?;
    let patience = pragma(connection, "busy_timeout")?;
    let set = |connection: &Connection, foreign_keys: i64, patience: i64| {
        connection
            .pragma_update(None, "foreign_keys", foreign_keys)
            .and_then(|()| connection.pragma_update(None, "busy_timeout", patience))
            .and_then(|()| connection.pragma_update(None, "legacy_alter_table", 0))
            .map_err(|error| broken("setting foreign_keys", &error))
    };
    // A rebuild drops the old table, which must not count as deleting its rows. SQLite ignores this inside a transaction.
    set(connection, 0, i64::try_from(MIGRATING_MAX.as_millis()).unwrap_or(i64::MAX))?;
    let result = change(connection);
    set(connection, foreign_keys, patience)?;
    result
}

fn migrate_locked(connection: &mut Connection, steps: &[Step], wanted: &Applied) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| broken("waiting for the database", &error))?;
    let current = introspect::applied(&transaction)?;
    if current.as_ref().is_some_and(|current| current.fingerprint() == wanted.fingerprint()) {
        return Ok(());
    }
    if schema::steps(current.as_ref(), wanted) != steps {
        return Err(StoreError::SchemaMismatch(
            "the database was changed while the steps were planned: plan them again".into(),
        ));
    }
    take(&transaction, current.as_ref(), steps, wanted)?;
    introspect::record(&transaction, wanted)?;
    transaction.commit().map_err(|error| broken("committing the new schema", &error))
}

/// Takes the steps inside a transaction, all but the record.
pub(crate) fn take(
    transaction: &Connection,
    current: Option<&Applied>,
    steps: &[Step],
    wanted: &Applied,
) -> Result<(), StoreError> {
    for step in steps {
        if let Step::CreateTable(Table { name, .. }) | Step::RenameTable { to: name, .. } = step
            && introspect::exists(transaction, name)?
            && !steps.iter().any(|step| matches!(step, Step::DropTable(table) if table.name == *name))
            && !current.iter().flat_map(|current| &current.tables).any(|table| table.name.eq_ignore_ascii_case(name))
        {
            return Err(StoreError::SchemaMismatch(format!(
                "the database has a table {name} already that Undergird did not make: rename it, or give the collection another `table`"
            )));
        }
    }
    // Indexes and triggers that people made on a table that is rebuilt go with it, so they are made again.
    let rebuilt = rebuilt(steps);
    let mut foreign = None;
    for line in script(steps, wanted) {
        if line.rebuilds && foreign.is_none() {
            foreign = Some(introspect::made_by_hand(transaction, &rebuilt, current)?);
        }
        transaction.execute_batch(&line.sql).map_err(|error| refused(&error, &line.steps))?;
    }
    for (name, sql) in foreign.unwrap_or_default() {
        transaction.execute_batch(&sql).map_err(|error| {
            StoreError::SchemaMismatch(format!(
                "{name}, made by hand, does not fit the new schema ({error}): drop it first"
            ))
        })?;
    }
    check_references(transaction, steps, wanted)
}

/// No row may refer to one that is not there.
pub(crate) fn check_references(connection: &Connection, steps: &[Step], ours: &Applied) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| broken("checking references", &error);
    let mut statement = connection.prepare("PRAGMA foreign_key_check").map_err(wrong)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    let mut found: Option<(String, String)> = None;
    while let Some(row) = rows.next().map_err(wrong)? {
        let (child, parent): (String, String) = (row.get(0).map_err(wrong)?, row.get(2).map_err(wrong)?);
        // What others made may have been broken before.
        if ours.tables.iter().any(|table| table.name == child || table.name == parent) {
            found = Some((child, parent));
            break;
        }
    }
    let Some((child, parent)) = found else { return Ok(()) };
    let cause = steps.iter().find(|step| match step {
        Step::AddReference { table, reference } => *table == child && reference.table == parent,
        _ => false,
    });
    Err(StoreError::SchemaMismatch(
        cause
            .and_then(Step::mending)
            .unwrap_or(format!("some rows of {child} name a row of {parent} that would not exist")),
    ))
}

/// A statement and the steps that it takes, for the error when rows do not allow it.
struct Line<'a> {
    sql: String,
    steps: Vec<&'a Step>,
    /// Whether it belongs to a rebuild.
    rebuilds: bool,
}

/// Tables that the steps change in ways that `ALTER TABLE` cannot.
pub(crate) fn rebuilt(steps: &[Step]) -> BTreeSet<&str> {
    let added: BTreeSet<(&str, &str)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::AddColumn { table, column } => Some((table.as_str(), column.name.as_str())),
            _ => None,
        })
        .collect();
    let in_place = |step: &Step| match step {
        Step::AddColumn { column, .. } => column.null || column.default.is_some(),
        Step::AddCheck { table, check } => {
            check.column.as_ref().is_some_and(|column| added.contains(&(table.as_str(), column.as_str())))
        }
        Step::AddReference { table, reference } => added.contains(&(table.as_str(), reference.column.as_str())),
        Step::DropColumn { .. }
        | Step::AlterColumn { .. }
        | Step::AlterKey { .. }
        | Step::DropCheck { .. }
        | Step::DropReference { .. } => false,
        Step::CreateTable(_)
        | Step::DropTable(_)
        | Step::RenameTable { .. }
        | Step::RenameColumn { .. }
        | Step::RenameCollection { .. }
        | Step::RenameField { .. }
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. } => true,
    };
    steps.iter().filter(|step| !in_place(step)).map(Step::table).collect()
}

fn script<'a>(steps: &'a [Step], wanted: &Applied) -> Vec<Line<'a>> {
    let rebuilt = rebuilt(steps);
    let mut done = BTreeSet::new();
    let mut lines = Vec::new();
    for step in steps {
        let table = step.table();
        let sql = match step {
            Step::CreateTable(table) => create_table(table, &table.name),
            Step::DropTable(table) => format!("DROP TABLE {}", name(&table.name)),
            Step::RenameTable { from, to } => format!("ALTER TABLE {} RENAME TO {}", name(from), name(to)),
            Step::RenameColumn { table, from, to } => {
                format!("ALTER TABLE {} RENAME COLUMN {} TO {}", name(table), name(from), name(to))
            }
            Step::DropIndex { index, .. } => format!("DROP INDEX {}", name(&index.name)),
            // A rebuilt table has its indexes again already.
            Step::CreateIndex { .. } if rebuilt.contains(table) => continue,
            Step::CreateIndex { table, index } => match wanted.table(table) {
                Some(table) => create_index(table, index),
                None => continue,
            },
            Step::AddColumn { .. }
            | Step::DropColumn { .. }
            | Step::AlterColumn { .. }
            | Step::AlterKey { .. }
            | Step::AddCheck { .. }
            | Step::DropCheck { .. }
            | Step::AddReference { .. }
            | Step::DropReference { .. }
                if rebuilt.contains(table) =>
            {
                if done.insert(table)
                    && let Some(table) = wanted.table(table)
                {
                    rebuild(table, steps, &mut lines);
                }
                continue;
            }
            Step::AddColumn { table, column } => add_column(table, column, steps, wanted),
            // They change the record alone.
            Step::RenameCollection { .. } | Step::RenameField { .. } => continue,
            // They came with their column.
            Step::AddCheck { .. } | Step::AddReference { .. } => continue,
            Step::DropColumn { .. }
            | Step::AlterColumn { .. }
            | Step::AlterKey { .. }
            | Step::DropCheck { .. }
            | Step::DropReference { .. } => continue,
        };
        lines.push(Line { sql, steps: vec![step], rebuilds: false });
    }
    lines
}

/// Makes the table anew beside the old one, copies the rows, and puts it in its place.
fn rebuild<'a>(table: &Table, steps: &'a [Step], lines: &mut Vec<Line<'a>>) {
    let steps: Vec<&Step> = steps.iter().filter(|step| step.table() == table.name).collect();
    let beside = format!("{REBUILT}{}", table.name);
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for column in &table.columns {
        let step = steps.iter().find_map(|step| match step {
            Step::AddColumn { column: new, .. } if new.name == column.name => Some(None),
            Step::AlterColumn { from, to, .. } if to.name == column.name => Some(Some(from)),
            _ => None,
        });
        let value = match step {
            Some(None) => continue,
            Some(Some(from)) => converted(from, column),
            None => name(&column.name),
        };
        columns.push(name(&column.name));
        values.push(value);
    }
    let mut add = |sql: String| lines.push(Line { sql, steps: steps.clone(), rebuilds: true });
    add(create_table(table, &beside));
    add(if columns.is_empty() {
        // Every column is new: rows become rows of defaults, or the missing values refuse.
        let first = table.columns.first();
        let default = first.and_then(|column| column.default.as_ref()).map_or("NULL".into(), literal);
        let column = first.map_or(String::new(), |column| name(&column.name));
        format!("INSERT INTO {} ({column}) SELECT {default} FROM {}", name(&beside), name(&table.name))
    } else {
        format!(
            "INSERT INTO {} ({})\nSELECT {}\nFROM {}",
            name(&beside),
            columns.join(", "),
            values.join(", "),
            name(&table.name)
        )
    });
    if table.identity && !steps.iter().any(|step| matches!(step, Step::AlterKey { .. })) {
        // A number that was given out once is not given out again, even if its row is gone.
        add(format!("DELETE FROM sqlite_sequence WHERE name = {}", text(&beside)));
        add(format!(
            "INSERT INTO sqlite_sequence (name, seq) SELECT {}, seq FROM sqlite_sequence WHERE name = {}",
            text(&beside),
            text(&table.name)
        ));
    }
    add(format!("DROP TABLE {}", name(&table.name)));
    // Without this, views that people made on the table would refuse the rename.
    add("PRAGMA legacy_alter_table = ON".into());
    add(format!("ALTER TABLE {} RENAME TO {}", name(&beside), name(&table.name)));
    add("PRAGMA legacy_alter_table = OFF".into());
    for index in &table.indexes {
        add(create_index(table, index));
    }
}

fn create_table(table: &Table, called: &str) -> String {
    let rowid = rowid(table);
    let mut parts = Vec::new();
    for column in &table.columns {
        let mut part = column_definition(column);
        if rowid.is_some_and(|key| key.name == column.name) {
            part += if table.identity { " PRIMARY KEY AUTOINCREMENT" } else { " PRIMARY KEY" };
        }
        parts.push(part);
    }
    if rowid.is_none() {
        let key: Vec<String> = table.key.iter().map(|column| name(column)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    for reference in &table.references {
        parts.push(format!(
            "CONSTRAINT {} FOREIGN KEY ({}) {}",
            name(&reference.name),
            name(&reference.column),
            references(reference)
        ));
    }
    for column in &table.columns {
        parts.extend(form_check(&table.name, column));
    }
    for check in &table.checks {
        parts.extend(check_clause(table, check));
    }
    let without = if is_without_rowid(table) { ", WITHOUT ROWID" } else { "" };
    format!("CREATE TABLE {} (\n  {}\n) STRICT{without}", name(called), parts.join(",\n  "))
}

/// Whether its values have a small, bounded size.
fn is_small(column: &Column) -> bool {
    match column.ty {
        Type::Scalar(kind) => !matches!(kind, Kind::Text | Kind::Json | Kind::Bytes),
        Type::List(_) | Type::Null | Type::Duration => false,
    }
}

fn add_column(table: &str, column: &Column, steps: &[Step], wanted: &Applied) -> String {
    let mut sql = format!("ALTER TABLE {} ADD COLUMN {}", name(table), column_definition(column));
    let mut add = |clause: String| {
        sql += " ";
        sql += &clause;
    };
    form_check(table, column).into_iter().for_each(&mut add);
    for step in steps {
        match step {
            Step::AddReference { table: on, reference } if on == table && reference.column == column.name => {
                add(format!("CONSTRAINT {} {}", name(&reference.name), references(reference)));
            }
            Step::AddCheck { table: on, check } if on == table && check.column.as_ref() == Some(&column.name) => {
                wanted.table(table).and_then(|table| check_clause(table, check)).into_iter().for_each(&mut add);
            }
            _ => {}
        }
    }
    sql
}

fn column_definition(column: &Column) -> String {
    let mut sql = format!("{} {}", name(&column.name), storage(column.ty));
    if !column.null {
        sql += " NOT NULL";
    }
    if let Some(default) = &column.default {
        sql += " DEFAULT ";
        sql += &literal(default);
    }
    sql
}

/// The storage class of a type; see docs/decisions/0004.
fn storage(ty: Type) -> &'static str {
    match ty {
        Type::Scalar(Kind::Bool | Kind::Int | Kind::Decimal { .. } | Kind::Timestamp | Kind::Date | Kind::Time) => {
            "INTEGER"
        }
        Type::Scalar(Kind::Float) => "REAL",
        Type::Scalar(Kind::Text | Kind::Json) | Type::List(_) => "TEXT",
        Type::Scalar(Kind::Uuid | Kind::Bytes) => "BLOB",
        // Only expressions have these two; no column does.
        Type::Null | Type::Duration => "ANY",
    }
}

/// What every value of a type must look like beyond its storage class, so that other tools cannot leave what we cannot read.
fn form_check(table: &str, column: &Column) -> Option<String> {
    let at = name(&column.name);
    let (kind, test) = match column.ty {
        Type::Scalar(Kind::Bool) => ("bool", format!("{at} IN (0, 1)")),
        Type::Scalar(Kind::Uuid) => ("uuid", format!("length({at}) = 16")),
        Type::Scalar(Kind::Json) => ("json", format!("json_valid({at})")),
        Type::Scalar(Kind::Decimal { precision, .. }) => {
            let most = 10_i64.checked_pow(u32::from(precision)).map_or(i64::MAX, |power| power - 1);
            ("decimal", format!("{at} BETWEEN -{most} AND {most}"))
        }
        Type::Scalar(Kind::Time) => ("time", format!("{at} BETWEEN 0 AND 86399999999")),
        Type::List(_) => ("list", format!("json_valid({at}) AND json_type({at}) = 'array'")),
        Type::Scalar(Kind::Int | Kind::Float | Kind::Text | Kind::Timestamp | Kind::Date | Kind::Bytes)
        | Type::Null
        | Type::Duration => return None,
    };
    Some(format!("CONSTRAINT {} CHECK ({test})", name(&format!("{table}_{}_{kind}", column.name))))
}

fn references(reference: &Reference) -> String {
    let action = match reference.on_delete {
        // Not SQLite's RESTRICT, which refuses row by row: whether `DELETE` of a parent and its child in one statement
        // succeeds would depend on the order of the rows.
        OnDelete::Restrict => "NO ACTION",
        OnDelete::Cascade => "CASCADE",
        OnDelete::SetNull => "SET NULL",
    };
    format!("REFERENCES {} ({}) ON DELETE {action}", name(&reference.table), name(&reference.target))
}

/// An index, with the key appended: every ordering ends with the key, and an index that has it spares the sort of equal rows, which
/// costs half as much again as the list itself. SQLite appends the key of rowid and `WITHOUT ROWID` tables on its own.
fn create_index(table: &Table, index: &Index) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let mut columns: Vec<String> = index
        .columns
        .iter()
        .map(|column| format!("{}{}", name(&column.name), if column.descending { " DESC" } else { "" }))
        .collect();
    if !index.unique && rowid(table).is_none() && !is_without_rowid(table) {
        let missing = table.key.iter().filter(|key| !index.columns.iter().any(|column| column.name == **key));
        columns.extend(missing.map(|key| name(key)));
    }
    format!("CREATE {unique}INDEX {} ON {} ({})", name(&index.name), name(&table.name), columns.join(", "))
}

/// The key when it is the table's rowid itself (`INTEGER PRIMARY KEY`), the fastest key there is.
fn rowid(table: &Table) -> Option<&Column> {
    let [only] = table.key.as_slice() else { return None };
    table.column(only).filter(|column| column.ty == Type::INT)
}

/// Whether rows live in the key's own tree: small rows with a composite key.
fn is_without_rowid(table: &Table) -> bool {
    table.key.len() > 1 && table.columns.iter().all(is_small)
}

/// The clause of a check. `None` for one about a column that is not there, which the model excludes.
fn check_clause(table: &Table, check: &Check) -> Option<String> {
    let column = check.column.as_ref().and_then(|column| table.column(column));
    let length = |column: &Column| match column.ty {
        Type::List(_) => format!("json_array_length({})", name(&column.name)),
        Type::Scalar(_) | Type::Null | Type::Duration => format!("length({})", name(&column.name)),
    };
    let test = match &check.rule {
        CheckRule::OneOf(values) => {
            let values: Vec<String> = values.iter().map(|value| text(value)).collect();
            format!("{} IN ({})", name(&column?.name), values.join(", "))
        }
        CheckRule::AtLeast(bound) => format!("{} >= {}", name(&column?.name), literal(bound)),
        CheckRule::AtMost(bound) => format!("{} <= {}", name(&column?.name), literal(bound)),
        CheckRule::LengthAtLeast(bound) => format!("{} >= {bound}", length(column?)),
        CheckRule::LengthAtMost(bound) => format!("{} <= {bound}", length(column?)),
        CheckRule::Condition(rule) => condition(table, rule),
    };
    Some(format!("CONSTRAINT {} CHECK ({test})", name(&check.name)))
}

/// A condition that is 1 or 0, never null (a check that is null would pass).
fn condition(table: &Table, rule: &Condition) -> String {
    let all = |list: &[Condition], between: &str, none: &str| {
        if list.is_empty() {
            return none.to_owned();
        }
        let list: Vec<String> = list
            .iter()
            .map(|inner| match inner {
                Condition::All(_) | Condition::Any(_) => format!("({})", condition(table, inner)),
                _ => condition(table, inner),
            })
            .collect();
        list.join(between)
    };
    let never_null = |test: String, operands: &[&Operand]| {
        if operands.iter().any(|operand| may_be_null(table, operand)) { format!("ifnull({test}, 0)") } else { test }
    };
    match rule {
        Condition::Constant(value) => i32::from(*value).to_string(),
        Condition::Column(column) => never_null(name(column), &[&Operand::Column(column.clone())]),
        Condition::All(list) => all(list, " AND ", "1"),
        Condition::Any(list) => all(list, " OR ", "0"),
        Condition::Not(inner) => match inner.as_ref() {
            Condition::Same(a, b) => same(table, a, b, false),
            inner => format!("NOT ({})", condition(table, inner)),
        },
        Condition::Same(a, b) => same(table, a, b, true),
        Condition::Compare(a, operator, b) => {
            // The operator came out of a record: only the six are ever written.
            let operator = ["<", "<=", ">", ">=", "="].into_iter().find(|known| known == operator).unwrap_or("<>");
            never_null(format!("{} {operator} {}", operand(a), operand(b)), &[a, b])
        }
        Condition::OneOf(a, values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            never_null(format!("{} IN ({})", operand(a), values.join(", ")), &[a])
        }
        Condition::Text(test, a, b) => {
            let (whole, part) = (operand(a), operand(b));
            let test = match test {
                TextTest::Contains => format!("instr({whole}, {part}) > 0"),
                TextTest::StartsWith => format!("substr({whole}, 1, length({part})) = {part}"),
                TextTest::EndsWith => format!("(length({part}) = 0 OR substr({whole}, -length({part})) = {part})"),
            };
            never_null(test, &[a, b])
        }
    }
}

fn same(table: &Table, a: &Operand, b: &Operand, same: bool) -> String {
    let operator = match (may_be_null(table, a) || may_be_null(table, b), same) {
        (true, true) => "IS",
        (true, false) => "IS NOT",
        (false, true) => "=",
        (false, false) => "<>",
    };
    format!("{} {operator} {}", operand(a), operand(b))
}

fn may_be_null(table: &Table, operand: &Operand) -> bool {
    match operand {
        Operand::Null => true,
        Operand::Literal(_) => false,
        Operand::Column(column) => table.column(column).is_none_or(|column| column.null),
        Operand::Size(_, inner) | Operand::Lower(inner) | Operand::Upper(inner) => may_be_null(table, inner),
    }
}

fn operand(of: &Operand) -> String {
    match of {
        Operand::Null => "NULL".into(),
        Operand::Column(column) => name(column),
        Operand::Literal(value) => literal(value),
        Operand::Size(SizeOf::Text | SizeOf::Bytes, inner) => format!("length({})", operand(inner)),
        Operand::Size(SizeOf::List, inner) => format!("json_array_length({})", operand(inner)),
        Operand::Lower(inner) => format!("lower({})", operand(inner)),
        Operand::Upper(inner) => format!("upper({})", operand(inner)),
    }
}

/// The stored value of a column under its new type. What cannot be converted becomes text, which a STRICT column refuses.
fn converted(from: &Column, to: &Column) -> String {
    let at = name(&to.name);
    let value = match schema::conversion(from.ty, to.ty) {
        None | Some(Conversion::Keep | Conversion::TextToInt) => at,
        Some(Conversion::IntToFloat) => format!("CAST({at} AS REAL)"),
        Some(Conversion::IntToText) => format!("CAST({at} AS TEXT)"),
        Some(Conversion::ScaleUp(digits)) => format!("{at} * {}", power(digits)),
        Some(Conversion::ScaleDown(digits)) => {
            let power = power(digits);
            format!("CASE WHEN {at} % {power} <> 0 THEN {at} || ' has more digits' ELSE {at} / {power} END")
        }
        Some(Conversion::UuidToText) => {
            let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)]
                .map(|(start, length)| format!("substr(hex({at}), {start}, {length})"));
            format!("CASE WHEN {at} IS NOT NULL THEN lower({}) END", parts.join(" || '-' || "))
        }
        Some(Conversion::TextToUuid) => format!("coalesce(unhex({at}, '-'), {at})"),
        Some(Conversion::DateToTimestamp) => format!("{at} * 86400000000"),
        Some(Conversion::TimestampToDate) => {
            format!("({at} - (({at} % 86400000000) + 86400000000) % 86400000000) / 86400000000")
        }
        Some(Conversion::TextToJson) => format!("CASE WHEN {at} IS NOT NULL THEN json_quote({at}) END"),
        Some(Conversion::ToList) => format!("CASE WHEN {at} IS NOT NULL THEN json_array({at}) END"),
    };
    match &to.default {
        Some(default) if from.null && !to.null => format!("coalesce({value}, {})", literal(default)),
        _ => value,
    }
}

fn power(digits: u8) -> i64 {
    10_i64.checked_pow(u32::from(digits)).unwrap_or(i64::MAX)
}

fn literal(value: &Literal) -> String {
    match value {
        Literal::Bool(value) => i32::from(*value).to_string(),
        Literal::Int(value)
        | Literal::Decimal { unscaled: value, .. }
        | Literal::Timestamp(value)
        | Literal::Time(value) => value.to_string(),
        Literal::Date(value) => value.to_string(),
        // Parsed and printed again: the record's text never reaches SQL as it is.
        Literal::Float(number) => match number.parse::<f64>() {
            Ok(number) if number == f64::INFINITY => "9e999".into(),
            Ok(number) if number == f64::NEG_INFINITY => "-9e999".into(),
            Ok(number) => format!("{number:?}"),
            Err(_) => "NULL".into(),
        },
        Literal::Text(value) | Literal::Json(value) | Literal::List(value) => text(value),
        Literal::Uuid(hex) | Literal::Bytes(hex) => {
            let digits: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
            format!("x'{digits}'")
        }
    }
}

/// A quoted name. Names come from the checked model only.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text constant.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A step that failed: rows that are there hinder it, or something is broken.
fn refused(error: &rusqlite::Error, steps: &[&Step]) -> StoreError {
    let said = said(error).replace(REBUILT, "");
    let code = error.sqlite_error_code();
    if !matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)) {
        let steps: Vec<String> = steps.iter().map(|step| step.describe()).collect();
        return broken(&steps.join("; "), error);
    }
    // SQLite ends its sentence with the constraint's name or the columns: `UNIQUE constraint failed: posts.a, posts.b`.
    let hurt: Vec<&str> = said
        .rsplit(": ")
        .next()
        .unwrap_or_default()
        .split(", ")
        .filter_map(|column| column.rsplit([' ', '.']).next())
        .collect();
    let (unique, check) = (said.starts_with("UNIQUE"), said.starts_with("CHECK"));
    let is = |name: &String| hurt == [name.as_str()];
    let form_of = |table: &str, column: &str| {
        let kind = hurt.first().and_then(|name| name.strip_prefix(&format!("{table}_{column}_")));
        kind.is_some_and(|kind| !kind.contains('_'))
    };
    let is_cause = |step: &&&Step| match step {
        Step::AddColumn { column, .. } => !unique && !check && is(&column.name),
        Step::AlterColumn { table, to, .. } if check => form_of(table, &to.name),
        Step::AlterColumn { to, .. } => !unique && is(&to.name),
        Step::AddCheck { check: added, .. } => check && is(&added.name),
        Step::AlterKey { to, .. } => !check && hurt.iter().all(|column| to.iter().any(|name| name == column)),
        Step::CreateIndex { index, .. } => {
            unique && index.unique && index.columns.iter().map(|column| column.name.as_str()).eq(hurt.iter().copied())
        }
        _ => false,
    };
    let cause = match steps {
        [only] => Some(only),
        // A new check is named before the column whose type changed, for it has the very name.
        steps => steps
            .iter()
            .find(|step| matches!(step, Step::AddCheck { .. }) && is_cause(step))
            .or_else(|| steps.iter().find(is_cause)),
    };
    match cause.and_then(|step| step.mending()) {
        Some(mending) => StoreError::SchemaMismatch(format!("{mending} ({said})")),
        None => StoreError::SchemaMismatch(format!("rows that are there do not fit the new schema: {said}")),
    }
}

/// SQLite's own sentence.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// An error that no row is to blame for.
pub(crate) fn broken(during: &str, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Unavailable(format!("{during}: another process holds the database"))
        }
        _ => StoreError::Internal(format!("{during}: {}", said(error))),
    }
}

/// Objects by name, with the text that made them.
pub(crate) type Objects = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
