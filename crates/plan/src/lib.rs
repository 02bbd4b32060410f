//! What this caller may do: [`Request`] + [`Caller`] + model → [`Plan`].
//!
//! Pure. Deliberately absent: clock and randomness (both arrive on the [`Caller`] as a [`caller::Moment`]), async, HTTP, SQL.
//! Only [`authorize()`] makes a [`Plan`], and a store accepts nothing else: there is no second way to the data.

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
pub mod authorize;
pub mod caller;
pub mod dependencies;
pub mod evaluate;
pub mod function;
pub mod partial;
pub mod refusal;
pub mod request;
pub mod rows;
pub mod scope;
pub mod shape;

pub use authorize::{Limits, Planner, authorize};
pub use caller::{Caller, Identity, Moment, User};
pub use dependencies::Dependencies;
pub use refusal::{FieldError, Refusal};
pub use request::{Request, RequestShape};
pub use rows::{Cell, RowRef, RowSink};
pub use scope::{AccountsReach, Scope, Scopes};
pub use shape::{Plan, Shape};
