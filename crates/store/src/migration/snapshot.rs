//! What a definition wanted when a migration was committed: the schema, who may do what, and the renames that led there. It stands beside
//! the migration as JSON, and the next plan begins from it, without a database.

use super::access::{Rules, rules};
use crate::schema::{Applied, FORMAT, Step, steps, wanted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use undergird_model::Model;

/// A committed state of the definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Version of this description's form.
    pub format: u32,
    /// The fields that columns were renamed from in this migration: table → column → the field's former name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed: BTreeMap<String, BTreeMap<String, String>>,
    /// The rules of each collection that requests can reach, by its name.
    pub access: BTreeMap<String, Rules>,
    /// The schema.
    pub schema: Applied,
}

impl Snapshot {
    /// Before the first migration.
    pub fn empty() -> Snapshot {
        Snapshot { format: FORMAT, renamed: BTreeMap::new(), access: BTreeMap::new(), schema: Applied::empty() }
    }

    /// What a model wants, and the renames on the way to it.
    pub fn of(model: &Model, before: &Snapshot) -> Snapshot {
        let access = model.public().map(|collection| (collection.name.clone(), rules(collection))).collect();
        Snapshot::of_schema(wanted(model), access, before)
    }

    /// The same of a schema by itself.
    pub fn of_schema(schema: Applied, access: BTreeMap<String, Rules>, before: &Snapshot) -> Snapshot {
        let taken = steps(before.origin(), &schema);
        let mut renamed: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for table in &schema.tables {
            for column in &table.columns {
                // A `renamed_from` that was followed long ago stays in many definitions, and says nothing here.
                let is_followed = taken.iter().any(|step| match step {
                    Step::RenameColumn { table: on, to, .. } => *on == table.name && *to == column.name,
                    Step::RenameField { table: on, column: of, .. } => *on == table.name && *of == column.name,
                    _ => false,
                });
                if let Some(from) = column.renamed_from.as_ref().filter(|_| is_followed) {
                    renamed.entry(table.name.clone()).or_default().insert(column.name.clone(), from.clone());
                }
            }
        }
        Snapshot { format: FORMAT, renamed, access, schema }
    }

    /// The schema as plans begin from it: none before the first migration.
    pub fn origin(&self) -> Option<&Applied> {
        (!self.schema.tables.is_empty()).then_some(&self.schema)
    }

    /// The schema with the renames that lead to it.
    pub fn wanted(&self) -> Applied {
        let mut schema = self.schema.clone();
        for table in &mut schema.tables {
            let renamed = self.renamed.get(&table.name);
            for column in &mut table.columns {
                column.renamed_from = renamed.and_then(|columns| columns.get(&column.name)).cloned();
            }
        }
        schema
    }

    /// Whether nothing lies between two: neither a step nor a rule.
    pub fn is_same(&self, other: &Snapshot) -> bool {
        self.schema.fingerprint() == other.schema.fingerprint() && self.access == other.access
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        // Strings, numbers, lists and maps with text keys only: there is nothing in it that JSON could refuse.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// A sentence that says why this build cannot read it.
    pub fn from_json(text: &str) -> Result<Snapshot, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("it has form {format}, this build of Undergird reads form {FORMAT}"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}
