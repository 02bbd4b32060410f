//! PostgreSQL: one driver, one dialect, its DDL and introspection.
//!
//! Deliberately absent: any decision about access, and any SQL text beyond transactions, settings and the schema: statements arrive
//! written.

mod checks;
pub mod ddl;
pub mod introspect;
mod types;
