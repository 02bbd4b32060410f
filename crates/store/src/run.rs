//! Runs prepared plans on a [`Connection`](crate::Connection): the same steps on every store.

use crate::{Connection, Prepared, StoreError};
use undergird_model::Value;
use undergird_plan::shape::Otherwise;
use undergird_plan::{Plan, RowSink};

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// Rows made, changed or removed.
    pub affected: u64,
    /// Of these, the ones that an upsert found and changed.
    pub updated: u64,
    /// The keys of the rows, in the order of the input rows (insert) or of the store (update, delete).
    pub keys: Vec<Vec<Value>>,
}

/// How a write ended when the store itself had nothing against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAnswer {
    /// Done; rows of the representation went to the sink.
    Done(Written),
    /// A guard refused. What was done before in this transaction must be rolled back by whoever called.
    Refused {
        /// Which guard.
        otherwise: Otherwise,
        /// Which input row, for an insert.
        row: Option<usize>,
    },
}

/// Runs a read: each node's statement, root first, and the count.
///
/// # Errors
/// What the store says.
pub async fn read(connection: &mut dyn Connection, query: &Prepared, sink: &mut dyn RowSink) -> Result<(), StoreError> {
    let _ = (connection, query, sink);
    todo!()
}

/// Runs a write: guards, the change, the representation.
///
/// # Errors
/// What the store says.
pub async fn write(
    connection: &mut dyn Connection,
    query: &Prepared,
    sink: Option<&mut dyn RowSink>,
) -> Result<WriteAnswer, StoreError> {
    let _ = (connection, query, sink);
    todo!()
}

/// The value of a bind that is not a list of keys, for one input row.
pub fn bind_value(plan: &Plan, bind: &crate::Bind, input: &[Value]) -> Value {
    let _ = (plan, bind, input);
    todo!()
}
