//! What is in a MySQL or MariaDB database that somebody else made, for [`undergird_store::adopt`], and how its columns are read.
//!
//! Absent: names, keys and relations of the definition; those are decided there. Nothing is written: the session is read only.

use crate::error::fault;
use crate::introspect::{RECORD, cells, rows};
use crate::server::Server;
use crate::settings::{Options, Target};
use crate::types::name;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::BTreeMap;
use undergird_model::field_type::FieldType;
use undergird_model::{Kind, Type};
use undergird_store::StoreError;
use undergird_store::adopt::{
    Found, FoundColumn, FoundDefault, FoundReference, Holds, SAMPLE_ROWS, Sort, Survey, TABLES_MAX, candidates, literal,
};
use undergird_store::sql::{Bare, Form};

/// Most digits of a decimal here.
const PRECISION_MAX: u8 = 18;

/// How a column of an adopted table keeps a type, by the definition's word for it.
pub(crate) fn form(collation: &str, ty: Type, storage: Option<&str>) -> Result<Form, String> {
    let around = |read: (&str, &str), write: (&str, &str), bare| Ok(Form::around(read, write, bare));
    match (ty, storage) {
        // Whatever collation the column has, text is compared by code point.
        (Type::TEXT, None) => {
            around(("CONVERT(", &format!(" USING utf8mb4) COLLATE {collation}")), ("", ""), Bare::Wider)
        }
        // Another character set, which the server does not compare with what it cannot write.
        (Type::TEXT, Some(set)) if set.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            around(("CONVERT(", &format!(" USING utf8mb4) COLLATE {collation}")), ("", ""), Bare::Never)
        }
        (Type::JSON, None) => {
            around(("ug_t_json(CONVERT(", &format!(" USING utf8mb4) COLLATE {collation})")), ("", ""), Bare::Never)
        }
        // A zero date is no date; with nothing added to it, it is null.
        (Type::TIMESTAMP | Type::Scalar(Kind::Date), Some("zero")) => {
            around(("(", " + INTERVAL 0 DAY)"), ("", ""), Bare::Never)
        }
        (Type::BOOL | Type::INT, Some("bit")) => around(("(", " + 0)"), ("", ""), Bare::Ordered),
        // MariaDB's own type, or its text.
        (Type::UUID, Some("uuid" | "char")) => around(
            ("CAST(UNHEX(REPLACE(CAST(", " AS CHAR), '-', '')) AS BINARY(16))"),
            ("LOWER(INSERT(INSERT(INSERT(INSERT(HEX(", "), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-'))"),
            Bare::Never,
        ),
        (Type::List(_) | Type::Null | Type::Duration, _) => Err(format!("MySQL keeps no {ty} in adopted tables")),
        (Type::Scalar(_), None) => Ok(Form::plain()),
        (_, Some(word)) => Err(format!("MySQL keeps no {ty} as \"{word}\"")),
    }
}

/// Looks at a database.
///
/// # Errors
/// [`StoreError::Unavailable`] when it cannot be reached, and whatever it says.
pub async fn survey(url: &str) -> Result<(Survey, bool), StoreError> {
    let mut options = Options::default();
    let target = Target::parse(url, &mut options)?;
    let mut conn = target.connect().await?;
    let server = Server::of(&mut conn).await?;
    let _ = conn.disconnect().await;
    let mut conn = target.session(&server, None).await?;
    conn.query_drop("SET SESSION TRANSACTION READ ONLY").await.map_err(|error| StoreError::from(fault(error)))?;
    // Half a minute for a look at a table's rows; what takes longer tells nothing.
    let limit = if server.is_mariadb {
        "SET SESSION max_statement_time = 30"
    } else {
        "SET SESSION max_execution_time = 30000"
    };
    conn.query_drop(limit).await.map_err(|error| StoreError::from(fault(error)))?;
    let found = look(&mut conn, &server).await;
    let _ = conn.disconnect().await;
    found
}

async fn look(conn: &mut Conn, server: &Server) -> Result<(Survey, bool), StoreError> {
    let mut survey = Survey::default();
    let mut known = false;
    let mut tables: BTreeMap<String, Found> = BTreeMap::new();
    let text = "SELECT TABLE_NAME, TABLE_TYPE, TABLE_COMMENT, ENGINE FROM information_schema.TABLES \
                WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME";
    for row in rows(conn, text).await? {
        let [table, sort, comment, engine] = cells(&row).map(Option::unwrap_or_default);
        if table == RECORD || table.starts_with("_undergird") {
            known = true;
            continue;
        }
        let is_view = sort.contains("VIEW");
        if !is_view && !sort.contains("TABLE") && !sort.contains("VERSIONED") {
            survey.notes.push(format!("{table}: left out: a {} is no table", sort.to_ascii_lowercase()));
            continue;
        }
        if tables.len() > TABLES_MAX {
            continue;
        }
        let mut notes = Vec::new();
        if !is_view && !engine.is_empty() && !engine.eq_ignore_ascii_case("InnoDB") {
            notes.push(format!(
                "its engine {engine} knows no transactions: a write that fails half-way stays half done"
            ));
        }
        let found = Found {
            schema: None,
            name: table.clone(),
            sort: if is_view { Sort::View } else { Sort::Table },
            comment: Some(comment).filter(|comment| !(comment.is_empty() || is_view && comment == "VIEW")),
            columns: Vec::new(),
            key: Vec::new(),
            apart: Vec::new(),
            uniques: Vec::new(),
            indexes: Vec::new(),
            references: Vec::new(),
            checks: Vec::new(),
            notes,
        };
        tables.insert(table, found);
    }
    checks(conn, &mut tables).await?;
    columns(conn, server, &mut tables).await?;
    references(conn, &mut tables).await?;
    indexes(conn, &mut tables).await?;
    let triggers =
        "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()";
    for row in rows(conn, triggers).await? {
        let [table, trigger] = cells(&row).map(Option::unwrap_or_default);
        if let Some(found) = tables.get_mut(&table) {
            found.notes.push(format!("the trigger {trigger} stays the database's and goes on working"));
        }
    }
    for found in tables.values_mut() {
        if found.key.is_empty() {
            found.apart = apart(conn, found).await;
        }
    }
    survey.tables = tables.into_values().collect();
    Ok((survey, known))
}

async fn checks(conn: &mut Conn, tables: &mut BTreeMap<String, Found>) -> Result<(), StoreError> {
    let text = "SELECT t.TABLE_NAME, t.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.TABLE_CONSTRAINTS AS t \
                JOIN information_schema.CHECK_CONSTRAINTS AS c ON c.CONSTRAINT_SCHEMA = DATABASE() \
                AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME WHERE t.TABLE_SCHEMA = DATABASE() AND t.CONSTRAINT_TYPE = 'CHECK' \
                ORDER BY t.TABLE_NAME, t.CONSTRAINT_NAME";
    for row in rows(conn, text).await? {
        let [table, constraint, clause] = cells(&row).map(Option::unwrap_or_default);
        if let Some(found) = tables.get_mut(&table)
            && !found.checks.iter().any(|(known, told)| *known == constraint && *told == clause)
        {
            found.checks.push((constraint, clause));
        }
    }
    Ok(())
}

async fn columns(conn: &mut Conn, server: &Server, tables: &mut BTreeMap<String, Found>) -> Result<(), StoreError> {
    let text = "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, \
                IS_NULLABLE, COLUMN_DEFAULT, EXTRA, COLUMN_COMMENT, CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
                ORDER BY TABLE_NAME, ORDINAL_POSITION";
    for row in rows(conn, text).await? {
        let [table, column, native, kind, length, precision, scale, null, default, extra, comment, set] = cells(&row);
        let Some(found) = tables.get_mut(&table.unwrap_or_default()) else { continue };
        let (column, native) = (column.unwrap_or_default(), native.unwrap_or_default());
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        let mut notes = Vec::new();
        let mut null = null.as_deref() == Some("YES");
        // MariaDB's JSON is text with a check of this form.
        let json = format!("json_valid({})", name(&column));
        let is_json = found.checks.iter().any(|(_, clause)| clause.eq_ignore_ascii_case(&json));
        found.checks.retain(|(_, clause)| !clause.eq_ignore_ascii_case(&json));
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
        let mut holds = if is_json {
            Ok(Holds::of(FieldType::Json { schema: None }))
        } else {
            holds(&kind, &native, (number(&length), number(&precision), number(&scale)), &mut notes)
        };
        let place = (name(&found.name), name(&column));
        if let (Ok(known), Some(set)) = (&mut holds, set.filter(|set| set != "utf8mb4"))
            && matches!(known.ty, FieldType::Text { .. } | FieldType::Enum { .. })
        {
            known.storage = Some(set);
        }
        if let Ok(known) = &mut holds {
            probe(conn, known, &kind, (&place.0, &place.1), &mut null, &mut notes).await;
        }
        let extra = extra.unwrap_or_default().to_ascii_lowercase();
        if extra.contains("on update") {
            notes.push("its ON UPDATE stays the database's and goes on working".into());
        }
        let default =
            if extra.contains("generated") && !extra.contains("default_generated") || extra.contains("persistent") {
                FoundDefault::Always
            } else if extra.contains("auto_increment") {
                FoundDefault::Numbered
            } else {
                match default {
                    None => FoundDefault::None,
                    Some(text) => {
                        default_of(&text, server.is_mariadb, extra.contains("default_generated"), holds.as_ref().ok())
                    }
                }
            };
        found.columns.push(FoundColumn {
            name: column,
            native,
            holds,
            null,
            default,
            comment: comment.filter(|comment| !comment.is_empty()),
            notes,
        });
    }
    Ok(())
}

/// What only the values tell.
async fn probe(
    conn: &mut Conn,
    holds: &mut Holds,
    kind: &str,
    (table, column): (&str, &str),
    null: &mut bool,
    notes: &mut Vec<String>,
) {
    let sample = format!("(SELECT {column} AS v FROM {table} LIMIT {SAMPLE_ROWS}) AS s");
    let mut count = async |condition: &str| -> u64 {
        let text = format!("SELECT COUNT(*) FROM {sample} WHERE {condition}");
        // What takes too long tells nothing.
        conn.query_first::<u64, _>(text).await.ok().flatten().unwrap_or_default()
    };
    match (&holds.ty, kind) {
        (FieldType::Bool, "tinyint") => {
            let others = count("v NOT IN (0, 1)").await;
            if others > 0 {
                notes.push(format!("tinyint(1), but {others} values are neither 0 nor 1: taken for a number"));
                *holds = Holds::of(FieldType::Int);
            }
        }
        (FieldType::Date | FieldType::Timestamp, _) => {
            let zero = count("v IS NOT NULL AND (MONTH(v) = 0 OR DAYOFMONTH(v) = 0)").await;
            if zero > 0 {
                notes.push(format!("{zero} values are zero dates (0000-00-00), which are no dates: they read as null"));
                holds.storage = Some("zero".into());
                *null = true;
            }
        }
        _ => {}
    }
}

/// What a type is here, or why it is nothing.
fn holds(
    kind: &str,
    native: &str,
    (length, precision, scale): (Option<u64>, Option<u64>, Option<u64>),
    notes: &mut Vec<String>,
) -> Result<Holds, String> {
    let unsigned = native.contains("unsigned");
    Ok(match kind {
        "tinyint" if native.starts_with("tinyint(1)") && !unsigned => Holds::of(FieldType::Bool),
        "bit" if native == "bit(1)" => Holds::of(FieldType::Bool).kept("bit"),
        "bit" => Holds::of(FieldType::Int).kept("bit"),
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => {
            if kind == "bigint" && unsigned {
                notes.push("numbers above 9223372036854775807 read as null".into());
            }
            Holds { min: unsigned.then_some(0), ..Holds::of(FieldType::Int) }
        }
        "year" => Holds::of(FieldType::Int),
        "decimal" | "numeric" => {
            let declared = precision.unwrap_or(10);
            if declared > u64::from(PRECISION_MAX) {
                notes.push(format!(
                    "{declared} digits; a decimal has at most {PRECISION_MAX} here, and what has more reads as null"
                ));
            }
            let precision = u8::try_from(declared).unwrap_or(u8::MAX).min(PRECISION_MAX);
            let scale = u8::try_from(scale.unwrap_or(0)).unwrap_or(u8::MAX).min(precision);
            Holds::of(FieldType::Decimal { precision, scale })
        }
        "float" | "double" | "real" => Holds::of(FieldType::Float),
        "char" | "varchar" => Holds::text(length),
        "tinytext" | "text" | "mediumtext" | "longtext" => Holds::text(None),
        "enum" => match words(native) {
            Some(values) if !values.is_empty() && values.iter().all(|value| !value.is_empty()) => {
                Holds::of(FieldType::Enum { values })
            }
            _ => Holds::text(None),
        },
        "set" => {
            notes.push(format!("{native} is carried as text, its words separated by commas"));
            Holds::text(None)
        }
        "date" => Holds::of(FieldType::Date),
        "datetime" | "timestamp" => Holds::of(FieldType::Timestamp),
        "time" => {
            notes.push("a span of time that is negative or longer than a day reads as null".into());
            Holds::of(FieldType::Time)
        }
        "json" => Holds::of(FieldType::Json { schema: None }),
        "binary" | "varbinary" => Holds { max: length, ..Holds::of(FieldType::Bytes) },
        "tinyblob" | "blob" | "mediumblob" | "longblob" => Holds::of(FieldType::Bytes),
        "uuid" => Holds::of(FieldType::Uuid).kept("uuid"),
        "inet4" | "inet6" => Holds::text(None),
        _ => return Err("no field holds this type".into()),
    })
}

/// The words of `enum('a','it''s')`.
fn words(native: &str) -> Option<Vec<String>> {
    let inner = native.strip_prefix("enum(")?.strip_suffix(')')?;
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = inner.chars().peekable();
    while let Some(c) = characters.next() {
        match (&mut word, c) {
            (None, '\'') => word = Some(String::new()),
            (None, _) => {}
            (Some(open), '\'') if characters.peek() == Some(&'\'') => {
                characters.next();
                open.push('\'');
            }
            (Some(_), '\'') => words.extend(word.take()),
            (Some(open), c) => open.push(c),
        }
    }
    Some(words)
}

/// A default as the server says it: MariaDB as an expression, MySQL as the value unless it is marked as an expression.
fn default_of(said: &str, is_mariadb: bool, is_expression: bool, holds: Option<&Holds>) -> FoundDefault {
    let Some(holds) = holds else { return FoundDefault::Database(said.to_owned()) };
    let lower = said.to_ascii_lowercase();
    if (is_mariadb && lower == "null") || said.is_empty() && !matches!(holds.ty, FieldType::Text { .. }) {
        return FoundDefault::None;
    }
    if lower.starts_with("current_timestamp") || lower == "now()" {
        return FoundDefault::Now;
    }
    let text = match said.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inner) if is_mariadb => inner.replace("''", "'"),
        _ if is_expression => return FoundDefault::Database(said.to_owned()),
        _ => said.to_owned(),
    };
    let text = match (&holds.ty, text.as_str()) {
        (FieldType::Bool, "b'0'") => "0",
        (FieldType::Bool, "b'1'") => "1",
        (FieldType::Timestamp | FieldType::Date, text) if text.starts_with("0000-") => {
            return FoundDefault::Database(text.to_owned());
        }
        (_, text) => text,
    };
    let is_word =
        is_mariadb && !said.starts_with('\'') && matches!(holds.ty, FieldType::Text { .. } | FieldType::Enum { .. });
    match literal(&holds.ty, text).filter(|_| !is_word) {
        Some(value) => FoundDefault::Literal(value),
        None => FoundDefault::Database(said.to_owned()),
    }
}

async fn references(conn: &mut Conn, tables: &mut BTreeMap<String, Found>) -> Result<(), StoreError> {
    // Each schema is said as a constant; see `introspect`.
    let text = "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, \
                k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE, DATABASE() FROM information_schema.KEY_COLUMN_USAGE AS k \
                JOIN information_schema.REFERENTIAL_CONSTRAINTS AS r ON r.CONSTRAINT_SCHEMA = DATABASE() \
                AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME \
                WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL \
                ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION";
    for row in rows(conn, text).await? {
        let [table, constraint, column, schema, to, target, delete, update, own] =
            cells(&row).map(Option::unwrap_or_default);
        let Some(found) = tables.get_mut(&table) else { continue };
        if found.references.last().is_none_or(|last| last.name != constraint) {
            found.references.push(FoundReference {
                name: constraint,
                columns: Vec::new(),
                schema: Some(schema).filter(|schema| *schema != own),
                table: to,
                targets: Vec::new(),
                on_delete: delete,
                on_update: update,
            });
        }
        if let Some(reference) = found.references.last_mut() {
            reference.columns.push(column);
            reference.targets.push(target);
        }
    }
    Ok(())
}

async fn indexes(conn: &mut Conn, tables: &mut BTreeMap<String, Found>) -> Result<(), StoreError> {
    let text = "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, COLLATION, SUB_PART, INDEX_TYPE FROM information_schema.STATISTICS \
                WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX";
    /// Columns, whether it is unique, and why it is not to be said.
    type Seen = (Vec<(String, bool)>, bool, Option<&'static str>);
    let mut seen: BTreeMap<(String, String), Seen> = BTreeMap::new();
    for row in rows(conn, text).await? {
        let [table, index, not_unique, column, order, part, kind] = cells(&row);
        let entry = seen.entry((table.unwrap_or_default(), index.unwrap_or_default())).or_default();
        entry.1 = not_unique.as_deref() == Some("0");
        match column {
            Some(column) => entry.0.push((column, order.as_deref() == Some("D"))),
            None => entry.2 = Some("an expression"),
        }
        if part.is_some() {
            entry.2 = Some("the beginning of a text");
        }
        if kind.is_some_and(|kind| kind != "BTREE") {
            entry.2 = Some("words or places");
        }
    }
    for ((table, index), (columns, unique, odd)) in seen {
        let Some(found) = tables.get_mut(&table) else { continue };
        match (odd, unique) {
            _ if index == "PRIMARY" => found.key = columns.into_iter().map(|(column, _)| column).collect(),
            (Some(why), true) => {
                found.notes.push(format!("the unique index {index} stays the database's alone: it is over {why}"));
            }
            (Some(_), false) => {}
            (None, true) => found.uniques.push(columns.into_iter().map(|(column, _)| column).collect()),
            (None, false) => found.indexes.push(columns),
        }
    }
    Ok(())
}

/// Columns that no two of the rows share and that are never null, as far as one looks. What takes too long tells nothing.
async fn apart(conn: &mut Conn, found: &Found) -> Vec<String> {
    for columns in candidates(found) {
        let list: Vec<String> = columns.iter().map(|column| name(column)).collect();
        let nulls: Vec<String> = list.iter().map(|column| format!("{column} IS NULL")).collect();
        let list = list.join(", ");
        let sample = format!("(SELECT {list} FROM {} LIMIT {SAMPLE_ROWS}) AS s", name(&found.name));
        let text = format!(
            "SELECT EXISTS (SELECT 1 FROM {sample}) AND NOT EXISTS (SELECT 1 FROM {sample} WHERE {}) \
             AND NOT EXISTS (SELECT 1 FROM {sample} GROUP BY {list} HAVING COUNT(*) > 1)",
            nulls.join(" OR ")
        );
        match conn.query_first::<bool, _>(text).await {
            Ok(Some(true)) => return columns,
            Ok(_) => {}
            Err(_) => return Vec::new(),
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_words() {
        let check = |ty: FieldType, said: &str, mariadb: bool, expected: &str| {
            assert_eq!(format!("{:?}", default_of(said, mariadb, false, Some(&Holds::of(ty)))), expected, "{said}");
        };
        let text = || FieldType::Text { pattern: None };
        check(text(), "'it''s'", true, "Literal(String(\"it's\"))");
        check(text(), "it's", false, "Literal(String(\"it's\"))");
        check(text(), "uuid()", true, "Database(\"uuid()\")");
        check(FieldType::Int, "5", true, "Literal(Number(5))");
        check(FieldType::Bool, "1", true, "Literal(Bool(true))");
        check(FieldType::Decimal { precision: 5, scale: 2 }, "0.50", true, "Literal(Number(0.50))");
        check(FieldType::Timestamp, "current_timestamp()", true, "Now");
        check(FieldType::Timestamp, "'0000-00-00 00:00:00'", true, "Database(\"0000-00-00 00:00:00\")");
        check(text(), "NULL", true, "None");
        assert_eq!(words("enum('a','it''s','b,c')").unwrap_or_default(), ["a", "it's", "b,c"]);
    }
}
