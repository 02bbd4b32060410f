//! Types, constants and names in the server's words, and what it cannot keep.
//!
//! Absent: statements; those are in [`crate::ddl`].

use crate::server::Server;
use undergird_model::{Decimal, Kind, Type};
use undergird_store::schema::{Applied, CheckRule, Column, Literal, Table};

/// Most characters of a text that an index can hold: 3,072 octets of at most four per character.
pub(crate) const KEYED_TEXT_MAX: u64 = 768;
/// Most octets in a key of an index.
const KEY_OCTETS_MAX: u64 = 3_072;
/// Most octets of the columns of a row, texts of limited length at their longest; the server's own limit is 65,535.
const ROW_OCTETS_MAX: u64 = 60_000;
/// Longest name that the server takes.
const NAME_MAX: usize = 64;
/// References are followed to the type of a key; more in a row than this are a circle.
const REFERENCES_MAX: usize = 16;

/// A name in backticks.
pub(crate) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The name of a constraint or an index, made short enough where it is too long; the end tells such names apart.
pub(crate) fn short(name: &str) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let start: String = name.chars().take(NAME_MAX - 17).collect();
    format!("{start}_{hash:016x}")
}

/// A text constant. What is not plain ASCII is written in hexadecimal, so that no setting of whoever reads it again changes it.
pub(crate) fn text(value: &str) -> String {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\')) {
        return format!("'{value}'");
    }
    let digits: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
    format!("_utf8mb4 X'{digits}'")
}

/// A constant.
pub(crate) fn literal(value: &Literal) -> String {
    use crate::values::{plain, stored};
    use undergird_model::Value;
    let moment = |ty: Type, value: Value| stored(ty, &value).map_or_else(|_| "NULL".to_owned(), |sql| plain(&sql));
    match value {
        Literal::Bool(value) => u8::from(*value).to_string(),
        Literal::Int(number) => number.to_string(),
        // With an exponent, or it would be an exact decimal.
        Literal::Float(digits) if digits.contains(['e', 'E']) => digits.clone(),
        Literal::Float(digits) => format!("{digits}e0"),
        Literal::Decimal { unscaled, scale } => Decimal { unscaled: *unscaled, scale: *scale }.to_string(),
        Literal::Text(value) | Literal::Json(value) | Literal::List(value) => text(value),
        Literal::Uuid(digits) | Literal::Bytes(digits) => format!("X'{}'", digits.replace('-', "")),
        Literal::Timestamp(at) => format!("TIMESTAMP'{}'", moment(Type::TIMESTAMP, Value::Timestamp(*at))),
        Literal::Date(days) => format!("DATE'{}'", moment(Type::Scalar(Kind::Date), Value::Date(*days))),
        Literal::Time(at) => format!("TIME'{}'", moment(Type::Scalar(Kind::Time), Value::Time(*at))),
    }
}

/// The type of a column. Text of limited length is `varchar`, which an index can hold; of it the column's table says how long it is,
/// by a check of its own or by the key that it refers to.
pub(crate) fn column_type(schema: &Applied, table: &Table, column: &Column) -> String {
    match column.ty {
        Type::Scalar(Kind::Bool) => "tinyint(1)".into(),
        Type::Scalar(Kind::Int) | Type::Duration => "bigint".into(),
        Type::Scalar(Kind::Float) => "double".into(),
        Type::Scalar(Kind::Decimal { precision, scale }) => format!("decimal({precision},{scale})"),
        Type::Scalar(Kind::Text) => match length(schema, table, &column.name, REFERENCES_MAX) {
            Some(most @ 0..=KEYED_TEXT_MAX)
                if is_keyed(table, &column.name) || row_octets(schema, table) <= ROW_OCTETS_MAX =>
            {
                format!("varchar({})", most.max(1))
            }
            _ => "longtext".into(),
        },
        Type::Scalar(Kind::Uuid) => "binary(16)".into(),
        Type::Scalar(Kind::Timestamp) => "datetime(6)".into(),
        Type::Scalar(Kind::Date) => "date".into(),
        Type::Scalar(Kind::Time) => "time(6)".into(),
        Type::Scalar(Kind::Json) | Type::List(_) => "longtext".into(),
        Type::Scalar(Kind::Bytes) => match length(schema, table, &column.name, REFERENCES_MAX) {
            Some(most @ 0..=KEY_OCTETS_MAX) if is_keyed(table, &column.name) => format!("varbinary({})", most.max(1)),
            _ => "longblob".into(),
        },
        // Only expressions have it; no column does.
        Type::Null => "tinyint(1)".into(),
    }
}

/// The definition of a column: type, null, default, and whether the server numbers it.
pub(crate) fn column_definition(schema: &Applied, table: &Table, column: &Column, numbered: bool) -> String {
    let mut sql = format!("{} {}", name(&column.name), column_type(schema, table, column));
    sql += if column.null { " NULL" } else { " NOT NULL" };
    if numbered {
        sql += " AUTO_INCREMENT";
    } else if let Some(default) = &column.default {
        // In parentheses, because texts without a limit take only an expression.
        sql += &format!(" DEFAULT ({})", literal(default));
    }
    sql
}

/// What every value of a column must look like beyond its type, so that other tools cannot leave what we cannot read: the name of the
/// constraint and its condition.
pub(crate) fn form_check(table: &str, column: &Column) -> Option<(String, String)> {
    let at = name(&column.name);
    let (kind, test) = match column.ty {
        Type::Scalar(Kind::Bool) => ("bool", format!("{at} IN (0, 1)")),
        Type::Scalar(Kind::Json) => ("json", format!("JSON_VALID({at})")),
        // The server's type holds spans of time, too.
        Type::Scalar(Kind::Time) => ("time", format!("{at} BETWEEN TIME'00:00:00' AND TIME'23:59:59.999999'")),
        // An array is told by its first character, once it is JSON.
        Type::List(_) => ("list", format!("JSON_VALID({at}) AND LEFT({at}, 1) = '['")),
        Type::Scalar(_) | Type::Null | Type::Duration => return None,
    };
    Some((short(&format!("{table}_{}_{kind}", column.name)), test))
}

/// Whether a column is in the key, in an index or refers to another table.
fn is_keyed(table: &Table, column: &str) -> bool {
    table.key.iter().any(|key| key == column)
        || table.references.iter().any(|reference| reference.column == column)
        || table.indexes.iter().flat_map(|index| &index.columns).any(|part| part.name == column)
}

/// Most characters (text) or octets (bytes) of a column.
fn length(schema: &Applied, table: &Table, column: &str, depth: usize) -> Option<u64> {
    let of = |rule: &CheckRule| match rule {
        CheckRule::LengthAtMost(most) => Some(*most),
        CheckRule::OneOf(values) => values.iter().map(|value| value.chars().count() as u64).max(),
        CheckRule::AtLeast(_) | CheckRule::AtMost(_) | CheckRule::LengthAtLeast(_) | CheckRule::Condition(_) => None,
    };
    let own =
        table.checks.iter().filter(|check| check.column.as_deref() == Some(column)).filter_map(|check| of(&check.rule));
    let own = own.min();
    if own.is_some() {
        return own;
    }
    let reference = table.references.iter().find(|reference| reference.column == column)?;
    length(schema, schema.table(&reference.table)?, &reference.target, depth.checked_sub(1)?)
}

/// What the columns of a row take at most, texts that might as well be long ones counted as if they were short.
fn row_octets(schema: &Applied, table: &Table) -> u64 {
    let octets = |column: &Column| match column.ty {
        Type::Scalar(Kind::Text) => match length(schema, table, &column.name, REFERENCES_MAX) {
            Some(most @ 0..=KEYED_TEXT_MAX) => most * 4 + 2,
            _ => 12,
        },
        Type::Scalar(Kind::Bytes) if is_keyed(table, &column.name) => KEY_OCTETS_MAX,
        _ => 17,
    };
    table.columns.iter().map(octets).sum()
}

/// What MySQL and MariaDB cannot keep of a schema, a sentence for each.
pub fn unsupported(schema: &Applied) -> Vec<String> {
    let mut told = Vec::new();
    for table in &schema.tables {
        let collection = &table.collection;
        for named in std::iter::once(&table.name).chain(table.columns.iter().map(|column| &column.name)) {
            if named.chars().count() > NAME_MAX {
                told.push(format!("{collection}: the name {named} is longer than {NAME_MAX} characters"));
            }
            if named.chars().any(|character| character > '\u{ffff}') || named.ends_with(' ') {
                told.push(format!(
                    "{collection}: the name {named} has a character beyond U+FFFF or ends in a space: give it another `table` or `column`"
                ));
            }
        }
        for column in table.columns.iter().filter(|column| is_keyed(table, &column.name)) {
            let (most, unit) = match column.ty {
                Type::Scalar(Kind::Text) => (KEYED_TEXT_MAX, "characters"),
                Type::Scalar(Kind::Bytes) => (KEY_OCTETS_MAX, "octets"),
                Type::Scalar(Kind::Json) | Type::List(_) => {
                    told.push(format!("{collection}.{}: {} cannot be in a key or an index", column.field, column.ty));
                    continue;
                }
                _ => continue,
            };
            let length = length(schema, table, &column.name, REFERENCES_MAX);
            if length.is_none_or(|length| length > most) {
                told.push(format!(
                    "{collection}.{field}: an index holds at most {most} {unit} of a value: give the field `max = {most}` or less, or take \
                     it out of its key, index, `unique` or `ref`",
                    field = column.field
                ));
            }
        }
        let keys = std::iter::once(table.key.iter().map(String::as_str).collect::<Vec<_>>())
            .chain(table.indexes.iter().map(|index| index.columns.iter().map(|part| part.name.as_str()).collect()));
        for key in keys {
            let octets: u64 =
                key.iter().filter_map(|part| table.column(part)).map(|column| key_octets(schema, table, column)).sum();
            let alone = key.len() == 1;
            if !alone && octets > KEY_OCTETS_MAX {
                told.push(format!(
                    "{collection}: ({}) is longer than the {KEY_OCTETS_MAX} octets of an index's key; a character counts for four: give \
                     its texts a smaller `max`",
                    key.join(", ")
                ));
            }
        }
    }
    told
}

fn key_octets(schema: &Applied, table: &Table, column: &Column) -> u64 {
    match column.ty {
        Type::Scalar(Kind::Text) => length(schema, table, &column.name, REFERENCES_MAX).map_or(0, |most| most * 4 + 2),
        Type::Scalar(Kind::Bytes) => length(schema, table, &column.name, REFERENCES_MAX).map_or(0, |most| most + 2),
        _ => 16,
    }
}

/// What follows the columns of a table.
pub(crate) fn table_options(server: &Server) -> String {
    format!("ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={} ROW_FORMAT=DYNAMIC", server.collation())
}
