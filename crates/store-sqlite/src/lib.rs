//! SQLite: one driver, one dialect, its DDL and introspection.

pub mod ddl;
pub mod introspect;
