//! Why a request failed, in terms of the model: no table, no column, no SQL. `api` maps each to a status and a code.

use undergird_model::Model;
use undergird_plan::Refusal;
use undergird_store::{Capability, ConstraintKind, StoreError};
pub use undergird_store::{Raised, Said};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was never permitted, or never made sense.
    Refused(Refusal),
    /// A constraint of the schema.
    Constraint(Constraint),
    /// Exactly one row was demanded.
    NotSingular {
        /// How many there were.
        rows: u64,
    },
    /// `max-affected` was exceeded.
    MaxAffected {
        /// How many rows it would have been.
        rows: u64,
        /// How many were allowed.
        max: u64,
    },
    /// `If-Match` does not hold.
    PreconditionFailed,
    /// The key was used before for another request.
    IdempotencyMismatch,
    /// The first request with this key is still under way.
    IdempotencyInProgress,
    /// Another transaction came first, again and again.
    Conflict,
    /// Too much is waiting; try later.
    Overloaded,
    /// It took too long and was stopped.
    Deadline,
    /// The one who asked has left.
    Cancelled,
    /// The disk is full; nothing was written.
    StorageFull,
    /// Writes are paused, because the data is being moved, or was moved, to another database.
    Held,
    /// The database cannot be reached.
    Unavailable,
    /// The answer grew past its limit.
    AnswerTooLarge,
    /// A function or a trigger of the database refuses.
    Raised(Raised),
    /// A bug or a broken database. The text is for the log only.
    Internal(String),
}

/// A constraint of the schema that a write would break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Which kind.
    pub kind: ConstraintKind,
    /// Of which collection; the table's name when no collection has it.
    pub collection: String,
    /// Its fields, where the store tells.
    pub fields: Vec<String>,
    /// Its name, where the store tells.
    pub name: Option<String>,
    /// For a check of the definition: its message.
    pub message: Option<String>,
}

pub use undergird_store::ConstraintKind as Kind;

impl Failure {
    /// A store's error in terms of the model.
    pub fn from_store(model: &Model, error: StoreError) -> Failure {
        match error {
            StoreError::Constraint { kind, table, name, columns } => {
                Failure::Constraint(Constraint::in_model(model, kind, table, name, columns))
            }
            StoreError::Conflict => Failure::Conflict,
            StoreError::Overloaded => Failure::Overloaded,
            StoreError::Deadline => Failure::Deadline,
            StoreError::Cancelled => Failure::Cancelled,
            StoreError::Full => Failure::StorageFull,
            StoreError::Held => Failure::Held,
            StoreError::Unavailable(why) => {
                tracing::warn!(%why, "the store is unavailable");
                Failure::Unavailable
            }
            StoreError::TooLarge => Failure::AnswerTooLarge,
            StoreError::Unsupported(what) if Capability::named(what).is_some() => {
                Failure::Refused(Refusal::Unsupported {
                    what: format!("This database has no {what}."),
                    hint: Capability::named(what).map(|capability| capability.instead().into()),
                })
            }
            StoreError::Unsupported(what) => Failure::Refused(Refusal::Unsupported {
                what: format!("This database cannot compute {what} exactly as expressions mean it."),
                hint: Some("Ask in another way, or keep the data on a store that can.".into()),
            }),
            // The database's own words about a value: where no function of people's is called, nobody's values but ours.
            StoreError::Raised(Raised { said: None, told, .. }) => Failure::Internal(told),
            StoreError::Raised(raised) => Failure::Raised(raised),
            error @ StoreError::Walled(_) => Failure::Internal(error.to_string()),
            StoreError::SchemaMismatch(why) | StoreError::Internal(why) => Failure::Internal(why),
        }
    }
}

impl Failure {
    /// The same, of a read that may call a function, to which the caller's values went.
    pub(crate) fn of_read(model: &Model, calls: bool, error: StoreError) -> Failure {
        match error {
            StoreError::Raised(raised) if calls => Failure::Raised(raised),
            other => Failure::from_store(model, other),
        }
    }
}

impl Constraint {
    fn in_model(
        model: &Model,
        kind: ConstraintKind,
        table: String,
        name: Option<String>,
        columns: Vec<String>,
    ) -> Constraint {
        let Some(collection) = model.collections.iter().find(|collection| collection.table == table) else {
            return Constraint { kind, collection: table, fields: columns, name, message: None };
        };
        let field_of = |column: &String| {
            let field = collection.fields.iter().find(|field| field.column == *column);
            field.map_or_else(|| column.clone(), |field| field.name.clone())
        };
        let check = collection.checks.iter().find(|check| Some(&check.name) == name.as_ref());
        Constraint {
            kind,
            collection: collection.name.clone(),
            fields: columns.iter().map(field_of).collect(),
            name,
            message: check.map(|check| check.message.clone()),
        }
    }
}
