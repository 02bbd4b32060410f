//! `steps.toml` as data: the steps of a migration in our own terms, as people read and change them.
//!
//! An entry names what changes; how it looks before and after is in the two snapshots. So a person divides, orders and adds (SQL of his
//! own, an acceptance with its reason), and cannot make the steps say something else than the definition. Absent: the TOML itself, which
//! `server` parses; what the entries come to ([`super::resolve()`]).

use crate::schema::Step;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most entries of a migration.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// A migration's steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepsFile {
    /// Its place in a change that is made while nodes of both definitions serve.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// In order.
    #[serde(default, rename = "step")]
    pub steps: Vec<Entry>,
}

/// A migration's place in a change that is made while nodes of the definitions before and after it serve side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What is new stands beside what was: nodes of the definition before go on serving.
    Expand,
    /// What is new is filled.
    Fill,
    /// What was goes. Nodes of the definition after it serve before it, too.
    Contract,
}

/// One step. Exactly one of the fields up to `sql` says which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "they are the steps of `schema::Step`, by the name of what they change")]
pub struct Entry {
    pub create_table: Option<String>,
    pub drop_table: Option<String>,
    pub rename_table: Option<String>,
    pub rename_collection: Option<String>,
    pub add_column: Option<String>,
    pub drop_column: Option<String>,
    pub rename_column: Option<String>,
    pub rename_field: Option<String>,
    pub alter_column: Option<String>,
    pub alter_key: Option<String>,
    pub add_check: Option<String>,
    pub drop_check: Option<String>,
    pub add_reference: Option<String>,
    pub drop_reference: Option<String>,
    pub create_index: Option<String>,
    pub drop_index: Option<String>,
    /// A rule that is another: `posts.read`. It changes no database.
    pub access: Option<String>,
    /// SQL by hand, for every store or by the store's name.
    pub sql: Option<Sql>,
    /// A table whose rows are filled in batches, each a transaction of its own.
    pub backfill: Option<String>,
    /// `backfill`: what each column is set to, as an expression of SQL over the row.
    pub set: BTreeMap<String, Sql>,
    /// `backfill`: which rows alone, as a condition of SQL.
    #[serde(rename = "where")]
    pub only: Option<Sql>,
    /// `backfill`: how many rows at once.
    pub batch: Option<u32>,
    /// `backfill`: how long to rest between two batches.
    pub pause_millis: Option<u64>,
    /// `sql`: nodes of the definition before may go on serving after it.
    pub compatible: bool,
    /// Renames: the name before, where the object does not say it.
    pub from: Option<String>,
    /// Renames: the name after.
    pub to: Option<String>,
    /// `add_column` of a required column: optional for now, until an `alter_column` of it further down.
    pub optional: bool,
    /// `sql` and `backfill`: what takes it back.
    pub undo: Option<Sql>,
    /// What it is for, in words.
    pub about: Option<String>,
    /// Findings that are accepted: the lint's name and the reason.
    pub accept: BTreeMap<String, String>,
}

/// SQL by hand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Sql {
    /// The same for every store.
    Every(String),
    /// By the store's name.
    Each(BTreeMap<String, String>),
}

impl Sql {
    /// The text for a store. An empty one is an answer, too: nothing to do there.
    pub fn of(&self, store: &str) -> Option<&str> {
        match self {
            Sql::Every(text) => Some(text),
            Sql::Each(texts) => texts.get(store).map(String::as_str),
        }
    }
}

/// What an entry is: its kind, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verb {
    /// `add_column`.
    pub kind: &'static str,
    /// `posts.slug`. Empty for SQL.
    pub object: String,
    /// Renames: the name before where the object is the one after.
    pub from: Option<String>,
    /// Renames: the name after.
    pub to: Option<String>,
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = \"{}\"", self.kind, self.object)?;
        for (key, value) in [("from", &self.from), ("to", &self.to)] {
            if let Some(value) = value {
                write!(f, ", {key} = \"{value}\"")?;
            }
        }
        Ok(())
    }
}

impl Verb {
    fn plain(kind: &'static str, object: String) -> Verb {
        Verb { kind, object, from: None, to: None }
    }

    /// How a file names a step.
    pub fn of(step: &Step) -> Verb {
        let within = |table: &str, name: &str| format!("{table}.{name}");
        match step {
            Step::CreateTable(table) => Verb::plain("create_table", table.name.clone()),
            Step::DropTable(table) => Verb::plain("drop_table", table.name.clone()),
            Step::RenameTable { from, to } => {
                Verb { to: Some(to.clone()), ..Verb::plain("rename_table", from.clone()) }
            }
            Step::RenameCollection { table, from, to } => Verb {
                from: Some(from.clone()),
                to: Some(to.clone()),
                ..Verb::plain("rename_collection", table.clone())
            },
            Step::AddColumn { table, column } => Verb::plain("add_column", within(table, &column.name)),
            Step::DropColumn { table, column } => Verb::plain("drop_column", within(table, &column.name)),
            Step::RenameColumn { table, from, to } => {
                Verb { to: Some(to.clone()), ..Verb::plain("rename_column", within(table, from)) }
            }
            Step::RenameField { table, column, from, to } => Verb {
                from: Some(from.clone()),
                to: Some(to.clone()),
                ..Verb::plain("rename_field", within(table, column))
            },
            Step::AlterColumn { table, to, .. } => Verb::plain("alter_column", within(table, &to.name)),
            Step::AlterKey { table, .. } => Verb::plain("alter_key", table.clone()),
            Step::AddCheck { table, check } => Verb::plain("add_check", within(table, &check.name)),
            Step::DropCheck { table, check } => Verb::plain("drop_check", within(table, &check.name)),
            Step::AddReference { table, reference } => Verb::plain("add_reference", within(table, &reference.name)),
            Step::DropReference { table, reference } => Verb::plain("drop_reference", within(table, &reference.name)),
            Step::CreateIndex { table, index } => Verb::plain("create_index", within(table, &index.name)),
            Step::DropIndex { table, index } => Verb::plain("drop_index", within(table, &index.name)),
        }
    }
}

impl Entry {
    /// What it is.
    ///
    /// # Errors
    /// A sentence: none or several steps in one entry, or a word that does not belong to it.
    pub fn verb(&self) -> Result<Verb, String> {
        let fields = [
            ("create_table", &self.create_table),
            ("drop_table", &self.drop_table),
            ("rename_table", &self.rename_table),
            ("rename_collection", &self.rename_collection),
            ("add_column", &self.add_column),
            ("drop_column", &self.drop_column),
            ("rename_column", &self.rename_column),
            ("rename_field", &self.rename_field),
            ("alter_column", &self.alter_column),
            ("alter_key", &self.alter_key),
            ("add_check", &self.add_check),
            ("drop_check", &self.drop_check),
            ("add_reference", &self.add_reference),
            ("drop_reference", &self.drop_reference),
            ("create_index", &self.create_index),
            ("drop_index", &self.drop_index),
            ("access", &self.access),
            ("backfill", &self.backfill),
        ];
        let mut said = fields.into_iter().filter_map(|(kind, object)| Some(Verb::plain(kind, object.clone()?)));
        let (first, second) = (said.next(), said.next());
        let verb = match (first, second, &self.sql) {
            (Some(verb), None, None) => verb,
            (None, None, Some(_)) => Verb::plain("sql", String::new()),
            (None, None, None) => {
                return Err("a [[step]] says nothing: it needs `add_column = …` or another step".into());
            }
            (Some(verb), _, _) => {
                return Err(format!("{verb} and another step are in one [[step]]: give each its own"));
            }
            (None, Some(_), _) => return Err("a [[step]] says two things".into()),
        };
        let only =
            |is: bool, what: &str| if is { Ok(()) } else { Err(format!("{verb}: `{what}` does not belong to it")) };
        let renames = verb.kind.starts_with("rename_") || verb.kind == "access";
        only(self.to.is_none() || renames, "to")?;
        only(self.from.is_none() || renames, "from")?;
        only(!self.optional || verb.kind == "add_column", "optional")?;
        let fills = verb.kind == "backfill";
        only(self.undo.is_none() || verb.kind == "sql" || fills, "undo")?;
        only(!self.compatible || verb.kind == "sql", "compatible")?;
        only(self.set.is_empty() || fills, "set")?;
        only(self.only.is_none() || fills, "where")?;
        only(self.batch.is_none() || fills, "batch")?;
        only(self.pause_millis.is_none() || fills, "pause_millis")?;
        Ok(Verb { from: self.from.clone(), to: self.to.clone(), ..verb })
    }
}
