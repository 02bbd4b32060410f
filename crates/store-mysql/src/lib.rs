//! MySQL and MariaDB: one driver, one dialect, its DDL and introspection.
//!
//! Deliberately absent: any decision about access, and any SQL text beyond transactions, settings and the schema: statements arrive
//! written.

mod dialect;

pub use dialect::{BEYOND, DIALECT, Flavor, MYSQL_8, Mysql, functions};
