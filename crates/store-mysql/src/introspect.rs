//! What the database has: the record of the schema that it was given, compared with what is really there.
//!
//! The record keeps the form of each table and index as the server tells it, so that any change by hand shows. Indexes, triggers,
//! views and tables that people add are theirs and no mismatch. How the server writes an expression (a default, a check) may change
//! with its version, so these are compared only under the version that recorded them. Absent: reading an unknown database into models.

use crate::ddl::index_clause;
use crate::error::fault;
use crate::server::Server;
use crate::types::{name, short};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use undergird_store::StoreError;
use undergird_store::schema::Applied;

/// Where the record of what was applied is kept.
pub(crate) const RECORD: &str = "_undergird_schema";
/// Where the step is kept that is being taken.
pub(crate) const STEP: &str = "_undergird_step";

/// Objects by name (`notes`, `notes.notes_title_key`), with their form in lines. Lines that hold an expression begin with `~`.
pub(crate) type Objects = BTreeMap<String, String>;

/// The record's part that only this store reads.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Which server told the forms.
    pub(crate) server: String,
    /// Their forms.
    pub(crate) objects: Objects,
}

/// The schema that the database was last given, compared with what is there; `None` when Undergird never gave it one.
pub(crate) async fn applied(conn: &mut Conn, server: &Server) -> Result<Option<Applied>, StoreError> {
    let Some((applied, recorded)) = record(conn).await? else { return Ok(None) };
    let present = objects(conn, &applied, None).await?;
    let same_server = recorded.server == server.name;
    for (object, form) in &recorded.objects {
        compare(object, form, present.get(object), same_server, &applied)?;
    }
    Ok(Some(applied))
}

/// The record as it was written.
pub(crate) async fn record(conn: &mut Conn) -> Result<Option<(Applied, Recorded)>, StoreError> {
    if !exists(conn, RECORD).await? {
        return Ok(None);
    }
    let text = format!("SELECT applied, objects FROM {} ORDER BY id DESC LIMIT 1", name(RECORD));
    let row: Option<(String, String)> = conn.exec_first(text, ()).await.map_err(wrong)?;
    let Some((applied, recorded)) = row else { return Ok(None) };
    let unreadable = |why: String| StoreError::SchemaMismatch(format!("the schema's record cannot be read: {why}"));
    let applied = Applied::from_json(&applied).map_err(unreadable)?;
    let recorded = serde_json::from_str(&recorded).map_err(|error| unreadable(error.to_string()))?;
    Ok(Some((applied, recorded)))
}

fn compare(
    object: &str,
    recorded: &str,
    present: Option<&String>,
    same_server: bool,
    applied: &Applied,
) -> Result<(), StoreError> {
    let mismatch = |why: String| Err(StoreError::SchemaMismatch(why));
    let Some(present) = present else {
        let index = applied.tables.iter().find_map(|table| {
            let of = object.strip_prefix(&format!("{}.", table.name))?;
            table.indexes.iter().find(|index| short(&index.name) == of).map(|index| (table, index))
        });
        return match index {
            Some((table, index)) => mismatch(format!(
                "the index {} is missing from the database: make it again with ALTER TABLE {} ADD {}",
                index.name,
                name(&table.name),
                index_clause(index)
            )),
            None => mismatch(format!("the table {object} is missing from the database: restore a backup")),
        };
    };
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| same_server || !line.starts_with('~')).map(str::to_owned).collect()
    };
    if lines(recorded) != lines(present) {
        let what = if applied.table(object).is_some() { "table" } else { "index" };
        let object = object.rsplit('.').next().filter(|_| what == "index").unwrap_or(object);
        return mismatch(format!(
            "the {what} {object} was altered by hand: undo that change and make it in the definition instead"
        ));
    }
    Ok(())
}

/// Whether there is a table or view of this name.
pub(crate) async fn exists(conn: &mut Conn, table: &str) -> Result<bool, StoreError> {
    let text = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
    let found: Vec<String> = conn.exec(text, (table,)).await.map_err(wrong)?;
    // On some systems names differ by case, on others not.
    Ok(found.iter().any(|name| name == table)
        || found.iter().any(|name| name.eq_ignore_ascii_case(table)) && {
            let lower: Option<i64> = conn.exec_first("SELECT @@lower_case_table_names", ()).await.map_err(wrong)?;
            lower.unwrap_or(0) != 0
        })
}

/// The tables and indexes of a schema that are there, with their form: all of them, or only some tables'.
pub(crate) async fn objects(
    conn: &mut Conn,
    applied: &Applied,
    only: Option<&[String]>,
) -> Result<Objects, StoreError> {
    let all = forms(conn, only).await?;
    let mut objects = Objects::new();
    for table in &applied.tables {
        let Some(form) = all.get(&table.name).filter(|_| only.is_none_or(|only| only.contains(&table.name))) else {
            continue;
        };
        objects.insert(table.name.clone(), form.table.clone());
        for index in &table.indexes {
            let index = short(&index.name);
            if let Some(form) = form.indexes.get(&index) {
                objects.insert(format!("{}.{index}", table.name), form.clone());
            }
        }
    }
    Ok(objects)
}

/// The form of some tables as one text, to see whether a statement changed anything. A table that is not there has none.
pub(crate) async fn form_of(conn: &mut Conn, tables: &[String]) -> Result<String, StoreError> {
    let all = forms(conn, Some(tables)).await?;
    let mut text = String::new();
    for table in tables {
        if let Some(form) = all.get(table) {
            text += &format!("# {table}\n{}", form.table);
            form.indexes.iter().for_each(|(name, form)| text += &format!("# {name}\n{form}"));
        }
    }
    Ok(text)
}

/// The form of a table.
#[derive(Debug, Default)]
struct Form {
    table: String,
    indexes: BTreeMap<String, String>,
}

async fn forms(conn: &mut Conn, only: Option<&[String]>) -> Result<BTreeMap<String, Form>, StoreError> {
    // The server opens each table that is not left out.
    let only = |column: &str| match only {
        Some(tables) => {
            let tables: Vec<String> = tables.iter().map(|table| format!("'{}'", table.replace('\'', "''"))).collect();
            format!(" AND {column} IN ({})", tables.join(", "))
        }
        None => String::new(),
    };
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let columns = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME, EXTRA, COLUMN_DEFAULT \
                   FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()";
    let columns = format!("{columns}{}", only("TABLE_NAME"));
    for row in rows(conn, &columns).await? {
        let [table, column, ty, null, collation, extra, default] = cells(&row);
        let of = lines.entry(table.unwrap_or_default()).or_default();
        let column = column.unwrap_or_default();
        let extra = extra.unwrap_or_default().to_ascii_lowercase();
        let numbered = if extra.contains("auto_increment") { " auto_increment" } else { "" };
        of.push(format!(
            "column {column} {} {} {}{numbered}",
            without_width(&ty.unwrap_or_default()),
            if null.as_deref() == Some("YES") { "null" } else { "not null" },
            collation.unwrap_or_default()
        ));
        // MariaDB says NULL as a word.
        if let Some(default) = default.filter(|default| default != "NULL") {
            of.push(format!("~default {column} {}", one_line(&default)));
        }
    }
    // Each schema is said as a constant: else the server goes through all databases, its own views among them, which takes seconds, and
    // MariaDB 10.11 has crashed on the way (`create_tmp_table_for_schema`) while others worked.
    let references = "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, \
                      r.DELETE_RULE, r.UPDATE_RULE FROM information_schema.KEY_COLUMN_USAGE AS k \
                      JOIN information_schema.REFERENTIAL_CONSTRAINTS AS r ON r.CONSTRAINT_SCHEMA = DATABASE() \
                      AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME \
                      WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL";
    let references = format!("{references}{}", only("k.TABLE_NAME"));
    for row in rows(conn, &references).await? {
        let [table, constraint, column, to, target, delete, update] = cells(&row).map(Option::unwrap_or_default);
        let rule = |rule: &str| if rule == "RESTRICT" { "NO ACTION".to_owned() } else { rule.to_owned() };
        lines.entry(table).or_default().push(format!(
            "foreign key {constraint} {column} {to}.{target} {} {}",
            rule(&delete),
            rule(&update)
        ));
    }
    let checks = "SELECT t.TABLE_NAME, t.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.TABLE_CONSTRAINTS AS t \
                  JOIN information_schema.CHECK_CONSTRAINTS AS c ON c.CONSTRAINT_SCHEMA = DATABASE() \
                  AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME WHERE t.TABLE_SCHEMA = DATABASE() AND t.CONSTRAINT_TYPE = 'CHECK'";
    let checks = format!("{checks}{}", only("t.TABLE_NAME"));
    for row in rows(conn, &checks).await? {
        let [table, constraint, clause] = cells(&row).map(Option::unwrap_or_default);
        let of = lines.entry(table).or_default();
        of.push(format!("check {constraint}"));
        of.push(format!("~check {constraint} {}", one_line(&clause)));
    }
    let mut forms: BTreeMap<String, Form> = BTreeMap::new();
    let indexes = "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, COLLATION, SUB_PART FROM information_schema.STATISTICS \
                   WHERE TABLE_SCHEMA = DATABASE()";
    let indexes = format!("{indexes}{} ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX", only("TABLE_NAME"));
    for row in rows(conn, &indexes).await? {
        let [table, index, not_unique, column, collation, part] = cells(&row).map(Option::unwrap_or_default);
        let line = format!("{column} {collation} {part} {not_unique}\n");
        if index == "PRIMARY" {
            lines.entry(table).or_default().push(format!("key {column}"));
        } else {
            *forms.entry(table).or_default().indexes.entry(index).or_default() += &line;
        }
    }
    for (table, mut lines) in lines {
        // In any order but the key's, whose columns came in theirs.
        let keys: Vec<String> = lines.extract_if(.., |line| line.starts_with("key ")).collect();
        lines.sort();
        lines.dedup();
        lines.extend(keys);
        forms.entry(table).or_default().table = lines.join("\n") + "\n";
    }
    Ok(forms)
}

pub(crate) async fn rows(conn: &mut Conn, text: &str) -> Result<Vec<Row>, StoreError> {
    // By the text protocol: the texts differ from table to table, and nobody's value is in them.
    conn.query(text).await.map_err(wrong)
}

/// The first cells of a row as text.
pub(crate) fn cells<const N: usize>(row: &Row) -> [Option<String>; N] {
    std::array::from_fn(|at| match row.as_ref(at) {
        Some(mysql_async::Value::Bytes(octets)) => Some(String::from_utf8_lossy(octets).into_owned()),
        Some(mysql_async::Value::Int(number)) => Some(number.to_string()),
        Some(mysql_async::Value::UInt(number)) => Some(number.to_string()),
        _ => None,
    })
}

/// Newer servers tell no width of whole numbers, except for those of one digit, which are bools.
fn without_width(ty: &str) -> String {
    match ty.split_once('(') {
        Some(("bigint" | "int" | "smallint", rest)) => {
            let kind = ty.split('(').next().unwrap_or_default();
            format!("{kind}{}", rest.split_once(')').map_or("", |(_, rest)| rest))
        }
        _ => ty.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// An error that no row is to blame for.
pub(crate) fn wrong(error: mysql_async::Error) -> StoreError {
    fault(error).into()
}
