//! What can go wrong in a store, in terms that are the same for all of them.

use std::fmt;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// A constraint of the schema refuses the write.
    Constraint {
        /// Which kind.
        kind: ConstraintKind,
        /// The table.
        table: String,
        /// Its name where the store tells (checks, unique indexes).
        name: Option<String>,
        /// The columns where the store tells.
        columns: Vec<String>,
    },
    /// Another transaction came first; trying again may succeed.
    Conflict,
    /// Too much is waiting already; try later.
    Overloaded,
    /// The deadline passed; the statement was stopped.
    Deadline,
    /// The one who asked has left; the statement was stopped.
    Cancelled,
    /// The disk is full. Nothing was written.
    Full,
    /// Writes are [held](crate::Store::hold_writes): the data is being moved, or was moved, to another database.
    Held,
    /// The database cannot be reached or is closing.
    Unavailable(String),
    /// [Policies](crate::Store::raise_wall) refuse the rows. The text is for the log only.
    Walled(String),
    /// The answer grew past its limit.
    TooLarge,
    /// The database's schema is not the definition's.
    SchemaMismatch(String),
    /// A function or a trigger that people made in the database refuses.
    Raised(Raised),
    /// The store cannot compute this as expressions mean it: the name of the capability that it lacks.
    Unsupported(&'static str),
    /// Anything else: a bug or a broken database. The text is for the log only.
    Internal(String),
}

/// What a function or a trigger of the database raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The SQLSTATE: five characters, digits and capitals.
    pub state: String,
    /// What its author says to the caller. `None`: the words are the database's own, which may show what nobody asked for.
    pub said: Option<Said>,
    /// For the log only.
    pub told: String,
}

/// What the author of a function says to its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `RAISE … MESSAGE`.
    pub message: String,
    /// `RAISE … DETAIL`.
    pub detail: Option<String>,
    /// `RAISE … HINT`.
    pub hint: Option<String>,
}

/// Kinds of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say it")]
pub enum ConstraintKind {
    Unique,
    ForeignKey,
    Check,
    NotNull,
}

impl fmt::Display for StoreError {
    /// For the log, not for the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Constraint { kind, table, name, columns } => {
                write!(f, "{kind:?} constraint {} on {table}({})", name.as_deref().unwrap_or("?"), columns.join(", "))
            }
            StoreError::Conflict => f.write_str("conflict with another transaction"),
            StoreError::Overloaded => f.write_str("too many writes waiting"),
            StoreError::Deadline => f.write_str("deadline passed"),
            StoreError::Cancelled => f.write_str("cancelled"),
            StoreError::Full => f.write_str("disk full"),
            StoreError::Held => {
                f.write_str("writes are held: the data is being moved, or was moved, to another database")
            }
            StoreError::Unavailable(why) => write!(f, "unavailable: {why}"),
            StoreError::Walled(why) => write!(f, "policies refuse what a plan let through: {why}"),
            StoreError::TooLarge => f.write_str("answer too large"),
            StoreError::SchemaMismatch(why) => write!(f, "schema mismatch: {why}"),
            StoreError::Raised(raised) => write!(f, "raised {}: {}", raised.state, raised.told),
            StoreError::Unsupported(what) => write!(f, "unsupported: {what}"),
            StoreError::Internal(why) => write!(f, "internal: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
