//! The second reader of an expression: in memory. Agrees with the SQL writer on every input (see `undergird_model::expr`).

use crate::caller::Caller;
use undergird_model::expr::RowVar;
use undergird_model::{Expr, FieldId, Model, RelationId, Value};

/// What an expression may look at.
pub trait World {
    /// Handle of a row in scope.
    type Row: Clone;
    /// A field of a row.
    fn field(&self, row: &Self::Row, field: FieldId) -> Value;
    /// The rows that a relation leads to.
    fn related(&self, row: &Self::Row, relation: RelationId) -> Vec<Self::Row>;
    /// The caller's own profile row.
    fn profile(&self) -> Option<Self::Row>;
}

/// The values that a request brings.
#[derive(Clone, Copy, Debug)]
pub struct Bindings<'a> {
    /// For `auth.*` and `now`.
    pub caller: &'a Caller,
    /// For [`undergird_model::Node::Param`].
    pub params: &'a [Value],
    /// For [`undergird_model::Node::Input`].
    pub input: &'a [Value],
}

/// The value of an expression. `rows` gives the free row variables.
pub fn evaluate<W: World>(
    model: &Model,
    expr: &Expr,
    bindings: Bindings<'_>,
    world: &W,
    rows: &[(RowVar, W::Row)],
) -> Value {
    let _ = (model, expr, bindings, world, rows);
    todo!()
}
