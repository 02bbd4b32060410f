//! The schema as data: what the definition wants, what the database was given, and the steps between the two.
//!
//! Planning with lint and committed migrations builds on these steps; here is what `dev` needs and `serve` compares.

use undergird_model::Model;

/// A schema that was given to a database.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Applied {
    /// Tables by name.
    pub tables: Vec<Table>,
    /// Version of this description's own form.
    pub format: u32,
}

/// A table.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
}

/// One step from one schema to another.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {}

/// The schema that a model wants.
pub fn wanted(model: &Model) -> Applied {
    let _ = model;
    todo!()
}
