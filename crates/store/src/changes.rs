//! A log of changed keys, which a database keeps of its own tables while it is copied to another one: triggers note which rows are
//! worth another look, whichever process changes them.
//!
//! Absent: the triggers, which each store writes in its own words, and what is done with the log: that is the engine's.

use crate::schema::{Column, Table};
use undergird_model::Type;

/// What the names of the logs, and of the triggers that fill them, begin with.
pub const LOGS: &str = "_undergird_log_";

/// Whether changes are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow<'a> {
    /// From now on, in new logs of this name; those of anybody else go, and whoever reads them finds out.
    Begin(&'a str),
    /// The logs of this name go.
    End(&'a str),
    /// All logs go.
    EndAll,
}

/// The name of the log of the table at a place among the tables of a schema: short, whatever the table is called.
pub fn log_name(run: &str, at: usize) -> String {
    format!("{LOGS}{run}_{at}")
}

/// The name of a key's column in its log.
pub fn key_column(at: usize) -> String {
    format!("k{at}")
}

/// The log of a table: a number that grows, whether the row of that key went (and with it, perhaps, what referred to it), and the key.
pub fn log_table(run: &str, at: usize, table: &Table) -> Table {
    let column = |name: String, ty: Type| Column {
        field: name.clone(),
        name,
        ty,
        null: false,
        default: None,
        renamed_from: None,
    };
    let types = table.key.iter().map(|key| table.column(key).map_or(Type::INT, |column| column.ty));
    let keys = types.enumerate().map(|(at, ty)| column(key_column(at), ty));
    Table {
        name: log_name(run, at),
        collection: log_name(run, at),
        columns: [column("seq".into(), Type::INT), column("gone".into(), Type::INT)].into_iter().chain(keys).collect(),
        key: vec!["seq".into()],
        identity: true,
        references: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
    }
}
