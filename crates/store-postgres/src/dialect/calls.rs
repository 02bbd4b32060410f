//! Calls of functions that people made, in PostgreSQL's words. <https://www.postgresql.org/docs/15/sql-syntax-calling-funcs.html>
//!
//! Absent: whether there is such a function ([`crate::functions`]).

use super::sql_type;
use undergird_store::sql::{Calls, Scattered};

/// PostgreSQL's.
pub(super) struct Named;

/// See [`Named`].
pub(super) static CALLS: Named = Named;

impl Calls for Named {
    /// Without a type, so that the function's argument gives it one. The value travels as text, which any type can read.
    fn argument(&self, number: usize) -> String {
        format!("${number}")
    }

    fn call(&self, function: &str, arguments: &[(String, String)]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|(name, value)| format!("{name} => {value}")).collect();
        format!("{function}({})", arguments.join(", "))
    }

    fn gathered(&self, each: &str) -> String {
        format!("array_agg({each})::text")
    }

    fn scattered(&self, parameter: &str, of: Scattered<'_>) -> String {
        match of {
            Scattered::Rows(table) => format!("unnest({parameter}::{table}[])"),
            Scattered::Values(ty) => format!("unnest({parameter}::{}[])", sql_type(ty)),
        }
    }
}
