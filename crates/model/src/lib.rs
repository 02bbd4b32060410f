//! What the app is: definition text → checked [`Model`] → [`Operation`]s.
//!
//! Pure. Deliberately absent: clock, randomness, async, HTTP, SQL, files (sources arrive as text). Everything
//! below this crate's wall is told what the time is and what the bytes on disk are.

pub mod cel;
pub mod definition;
pub mod diagnostic;
pub mod expr;
pub mod expr_text;
pub mod field_type;
mod leads;
pub mod networks;
pub mod operation;
pub mod redirects;
pub mod schema;
pub mod settings;
pub mod value;

pub use diagnostic::{Diagnostic, Severity, Source, Span};
pub use expr::{Expr, Node};
pub use leads::leads_to;
pub use operation::{Operation, operations};
pub use schema::{Collection, CollectionId, DbFunction, Field, FieldId, FunctionId, Model, Relation, RelationId};
pub use value::{Decimal, Float, Kind, Type, Value};
