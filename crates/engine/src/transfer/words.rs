//! The statements that read and write one whole table, in a store's words.
//!
//! Absent: running them.

use std::sync::Arc;
use undergird_model::Type;
use undergird_store::schema::Table;
use undergird_store::sql::about_table;
use undergird_store::{Dialect, Statement};

/// Rows read at once.
pub(super) const PAGE_ROWS: usize = 1_000;
/// Most rows and most values of one insert.
const INSERT_ROWS_MAX: usize = 200;
const INSERT_VALUES_MAX: usize = 8_000;

/// How the parameter of a number, from 0, is written.
type Parameter<'a> = &'a dyn Fn(usize) -> String;

/// A table's statements.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) name: String,
    /// Positions of the key among its columns.
    pub(super) key: Vec<usize>,
    /// How many rows there are.
    pub(super) count: Arc<Statement>,
    /// The first rows in the order of their keys.
    pub(super) first: Arc<Statement>,
    /// Those after a key.
    pub(super) after: Arc<Statement>,
    /// The row of a key.
    pub(super) one: Arc<Statement>,
    /// The greatest key.
    pub(super) last: Arc<Statement>,
    /// Removes the row of a key.
    pub(super) remove: Arc<Statement>,
    /// Makes a row.
    pub(super) insert: Arc<Statement>,
    /// Makes so many rows.
    pub(super) insert_many: Arc<Statement>,
    pub(super) many: usize,
}

impl Words {
    pub(super) fn new(dialect: &dyn Dialect, table: &Table) -> Words {
        let types: Vec<Type> = table.columns.iter().map(|column| column.ty).collect();
        let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
        let key: Vec<usize> = table.key.iter().filter_map(position).collect();
        let key_types: Vec<Type> = key.iter().map(|at| types[*at]).collect();
        let at = dialect.identifier(&table.name);
        let columns: Vec<String> = table.columns.iter().map(|column| dialect.identifier(&column.name)).collect();
        let key_columns: Vec<&str> = key.iter().map(|at| columns[*at].as_str()).collect();
        let (all, order) = (columns.join(", "), key_columns.join(", "));
        let down: Vec<String> = key_columns.iter().map(|column| format!("{column} DESC")).collect();
        let many = INSERT_ROWS_MAX.min(INSERT_VALUES_MAX / columns.len().max(1)).max(1);
        let made = |parameters: &[Type], columns: &[Type], writes, text: &dyn Fn(Parameter<'_>) -> String| {
            Arc::new(about_table(dialect, parameters, columns.to_vec(), writes, text))
        };
        let insert = |rows: usize| {
            let parameters: Vec<Type> = types.iter().copied().cycle().take(types.len() * rows).collect();
            made(&parameters, &[], true, &|parameter| {
                let row = |row: usize| {
                    let values: Vec<String> = (0..types.len()).map(|at| parameter(row * types.len() + at)).collect();
                    format!("({})", values.join(", "))
                };
                let rows: Vec<String> = (0..rows).map(row).collect();
                format!("INSERT INTO {at} ({all}) VALUES {}", rows.join(", "))
            })
        };
        Words {
            name: table.name.clone(),
            count: made(&[], &[Type::INT], false, &|_| format!("SELECT COUNT(*) FROM {at}")),
            first: made(&[], &types, false, &|_| format!("SELECT {all} FROM {at} ORDER BY {order} LIMIT {PAGE_ROWS}")),
            after: made(&key_types, &types, false, &|parameter| {
                format!(
                    "SELECT {all} FROM {at} WHERE {} ORDER BY {order} LIMIT {PAGE_ROWS}",
                    after(&key_columns, parameter)
                )
            }),
            one: made(&key_types, &types, false, &|parameter| {
                let parts = key_columns.iter().enumerate();
                let parts: Vec<String> = parts.map(|(at, column)| format!("{column} = {}", parameter(at))).collect();
                format!("SELECT {all} FROM {at} WHERE {}", parts.join(" AND "))
            }),
            last: made(&[], &key_types, false, &|_| {
                format!("SELECT {order} FROM {at} ORDER BY {} LIMIT 1", down.join(", "))
            }),
            remove: made(&key_types, &[], true, &|parameter| {
                let parts = key_columns.iter().enumerate();
                let parts: Vec<String> = parts.map(|(at, column)| format!("{column} = {}", parameter(at))).collect();
                format!("DELETE FROM {at} WHERE {}", parts.join(" AND "))
            }),
            insert: insert(1),
            insert_many: insert(many),
            many,
            key,
        }
    }
}

/// That the key is greater than the parameters, column by column, said so that an index serves it on every store.
fn after(columns: &[&str], parameter: Parameter<'_>) -> String {
    let Some((first, rest)) = columns.split_first() else { return "1 = 0".into() };
    if rest.is_empty() {
        return format!("{first} > {}", parameter(0));
    }
    let cases = (0..columns.len()).map(|at| {
        let mut parts: Vec<String> =
            (0..at).map(|before| format!("{} = {}", columns[before], parameter(before))).collect();
        parts.push(format!("{} > {}", columns[at], parameter(at)));
        format!("({})", parts.join(" AND "))
    });
    let cases: Vec<String> = cases.collect();
    format!("{first} >= {} AND ({})", parameter(0), cases.join(" OR "))
}
