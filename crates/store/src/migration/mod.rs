//! Committed migrations as data: a folder each, with what the definition wanted then ([`Snapshot`]), the steps in our own terms
//! ([`StepsFile`]), and what follows from both: the parts that a store takes in order ([`Part`]), what they mean for rows, clients and
//! whoever waits ([`lint()`]), and the way back ([`back()`]).
//!
//! Pure: text and values in, text and values out. Deliberately absent: files and commands (`server`), SQL (each store's [`Scribe`]), and
//! the steps themselves ([`crate::schema::steps`]).

mod access;
mod backfill;
mod beside;
mod file;
mod lint;
mod resolve;
mod run;
mod snapshot;
mod split;
mod write;

pub use access::{AccessChange, access_changes};
pub use backfill::{Backfill, Fill, Progress, Words};
pub use beside::{expands, serves};
pub use file::{Entry, Phase, Sql, StepsFile, Verb};
pub use lint::{Finding, LINTS, Level, Lint, lint};
pub use resolve::{Part, Resolved, back, resolve};
pub use run::{Direction, Done, Outcome, Ready, Run, RunPart, Stage, State, ready};
pub use snapshot::Snapshot;
pub use split::{Piece, split};
pub use write::{file_of, sql_text};

use crate::schema::{Applied, Step};

/// What can be known of a store without a database: how it writes steps, and what they cost.
pub trait Scribe: Send + Sync {
    /// Its name in files and flags: `sqlite`, `postgres`, `mysql`.
    fn name(&self) -> &'static str;

    /// A name, quoted.
    fn quoted(&self, name: &str) -> String;

    /// The statements that take the steps, in order, for people to read: the very ones that are run.
    fn statements(&self, group: Group<'_>) -> Vec<String>;

    /// What a step among its neighbours costs on a table with many rows.
    fn effect(&self, step: &Step, group: Group<'_>) -> Effect;
}

/// Steps that are taken together.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// In the order in which they are taken.
    pub steps: &'a [Step],
    /// The schema that they lead to.
    pub wanted: &'a Applied,
    /// Whether they are the first of their transaction: nothing that comes before them can matter to them.
    pub is_first: bool,
}

/// What a step costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// How much of the table is worked through.
    pub effort: Effort,
    /// Who waits while it is.
    pub waits: Waits,
}

/// How much of a table a step works through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// None of it, however many rows there are.
    Instant,
    /// Every row is read.
    Scan,
    /// Every row is written anew.
    Rewrite,
}

/// Who waits for as long as a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waits {
    /// Nobody.
    Nobody,
    /// Those who write to the table (on SQLite: to the database).
    Writers,
    /// Those who read it, too.
    Everybody,
}

impl Effect {
    /// Nothing to speak of.
    pub const INSTANT: Effect = Effect { effort: Effort::Instant, waits: Waits::Nobody };
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.effort {
            Effort::Instant => return f.write_str("instant"),
            Effort::Scan => "scan",
            Effort::Rewrite => "rewrite",
        })?;
        f.write_str(match self.waits {
            Waits::Nobody => "",
            Waits::Writers => " (writers wait)",
            Waits::Everybody => " (everybody waits)",
        })
    }
}

#[cfg(test)]
mod tests;
