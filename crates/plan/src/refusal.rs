//! Why a request is not carried out, as `plan` sees it. Knows no HTTP: `api` maps each to a status and a code.

use crate::request::Verb;
use crate::scope::Scope;
use crate::shape::{Otherwise, Plan, Shape};

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such collection, or one that is not for this caller.
    UnknownCollection {
        /// As written.
        name: String,
        /// The nearest that the caller may know of.
        nearest: Option<String>,
    },
    /// No such column, or one that is not for this caller.
    UnknownColumn {
        /// Of which collection.
        collection: String,
        /// As written.
        name: String,
        /// The nearest.
        nearest: Option<String>,
    },
    /// `columns` names what is no field.
    UnknownTarget {
        /// Of which collection.
        collection: String,
        /// As written.
        name: String,
        /// The nearest.
        nearest: Option<String>,
    },
    /// No relation of that name between the two.
    UnknownRelation {
        /// From which collection.
        collection: String,
        /// As written.
        name: String,
        /// The nearest.
        nearest: Option<String>,
    },
    /// More than one relation fits; a `!hint` is needed.
    AmbiguousRelation {
        /// From which collection.
        collection: String,
        /// As written.
        name: String,
        /// The hints that would do, each as it stands after the `!`.
        candidates: Vec<String>,
    },
    /// A modifier (`comments.limit=…`) or an ordering names an embed that is not selected.
    NotEmbedded {
        /// As written.
        name: String,
    },
    /// An ordering by an embed that is not one row.
    NotToOne {
        /// The embedding collection.
        collection: String,
        /// As written.
        name: String,
    },
    /// A condition on an embed as a whole that does not ask whether it has any row.
    EmbedOperator {
        /// As written.
        name: String,
    },
    /// No such function of the database.
    UnknownFunction {
        /// As written.
        name: String,
        /// The nearest.
        nearest: Option<String>,
    },
    /// A call without an argument that the function needs, or with one that it does not know.
    WrongArguments {
        /// Which function.
        function: String,
        /// The names that were given, sorted.
        given: Vec<String>,
        /// What it takes, as people write it (`point, limit (optional)`).
        takes: String,
        /// A name that was meant, when one is near.
        nearest: Option<String>,
    },
    /// The function has no rule for this caller, or one that is false. 401 for a visitor, 403 for others.
    FunctionClosed {
        /// Which function.
        function: String,
        /// Whether it has a rule at all.
        ruled: bool,
        /// Whether somebody is signed in.
        authenticated: bool,
    },
    /// The collection has no rule for this verb. 401 for a visitor, 403 for others.
    VerbClosed {
        /// Which collection.
        collection: String,
        /// Which verb.
        verb: Verb,
        /// Whether somebody is signed in.
        authenticated: bool,
    },
    /// The key is held to scopes of which none is for this.
    ScopeMissing {
        /// The narrowest that would do.
        scope: Scope,
    },
    /// A row rule refuses a write on a row that the caller sees.
    RowRule {
        /// Which collection.
        collection: String,
        /// Which verb.
        verb: Verb,
        /// Whether somebody is signed in.
        authenticated: bool,
    },
    /// A field that this caller may not write in this row.
    FieldRule {
        /// Which collection.
        collection: String,
        /// Which field.
        field: String,
        /// Whether somebody is signed in.
        authenticated: bool,
    },
    /// An aggregate over a field that the caller may not read throughout.
    AggregateForbidden {
        /// Which field.
        field: String,
        /// Whether somebody is signed in.
        authenticated: bool,
    },
    /// The body is not acceptable; every field's error is told.
    Invalid {
        /// At least one.
        errors: Vec<FieldError>,
    },
    /// A stored row would break one of the collection's checks.
    CheckFailed {
        /// The check's name.
        check: String,
        /// The definition's message.
        message: String,
        /// JSON pointer to the row in the body.
        pointer: String,
    },
    /// A value in the URL does not fit its column's type.
    BadValue {
        /// The column.
        column: String,
        /// The type's name.
        ty: String,
        /// One sentence.
        message: String,
    },
    /// The operator does not go with the column's type.
    BadOperator {
        /// The operator as in the URL.
        operator: String,
        /// The column.
        column: String,
        /// The type's name.
        ty: String,
    },
    /// A limit of the definition.
    OverLimit {
        /// The setting's name (`embed_depth`).
        limit: &'static str,
        /// Its value.
        value: u64,
    },
    /// Something that the dialect knows but this store or this place does not serve.
    Unsupported {
        /// What.
        what: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// `on_conflict` names neither the key nor a unique combination of fields, so there is nothing to tell one row from another by.
    NotUnique {
        /// The collection.
        collection: String,
    },
    /// The request makes no sense as a whole (a key with too few parts; …).
    Malformed {
        /// One sentence.
        message: String,
        /// What to do instead.
        hint: Option<String>,
    },
}

/// One unacceptable member of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// RFC 6901 JSON pointer into the body (`/title`, `/3/title`).
    pub pointer: String,
    /// `unknown`, `required`, `readonly`, `immutable`, `type`, `min`, `max`, `pattern`, `values`, `schema`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// The nearest valid name, for `unknown`.
    pub nearest: Option<String>,
}

impl Refusal {
    /// What a guard's failure means. `row` is the position of the input row, where there is one.
    pub fn from_guard(plan: &Plan, verb: Verb, otherwise: Otherwise, row: Option<usize>) -> Refusal {
        let Shape::Write(write) = &**plan.shape() else {
            return Refusal::Malformed { message: "a read has no guards".into(), hint: None };
        };
        let collection = plan.model().collection(write.collection);
        let authenticated = plan.caller().is_authenticated();
        match otherwise {
            Otherwise::Access => Refusal::RowRule { collection: collection.name.clone(), verb, authenticated },
            Otherwise::FieldWrite(field) => Refusal::FieldRule {
                collection: collection.name.clone(),
                field: plan.model().field(field).name.clone(),
                authenticated,
            },
            Otherwise::Check(position) => {
                let check = collection.checks.get(position);
                Refusal::CheckFailed {
                    check: check.map(|check| check.name.clone()).unwrap_or_default(),
                    message: check.map(|check| check.message.clone()).unwrap_or_default(),
                    pointer: row.map(|row| format!("/{row}")).unwrap_or_default(),
                }
            }
        }
    }
}
