//! Rows on their way out: the driver's row is lent, cell by cell, to whoever makes bytes of it. No tree between.

use crate::shape::Plan;
use undergird_model::{Decimal, Value};
use uuid::Uuid;

/// A value lent by the driver's row, already in the meaning of its column's [`undergird_model::Type`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "each is the borrowed form of the Value of that name")]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(Decimal),
    Text(&'a str),
    Uuid(Uuid),
    Timestamp(i64),
    Date(i32),
    Time(i64),
    /// Compact JSON text.
    Json(&'a str),
    Bytes(&'a [u8]),
    /// A list of scalars as a JSON array in the wire form of its elements.
    List(&'a str),
}

/// A row of a statement; cells are by the position of the node's [`crate::shape::ReadNode::columns`].
pub trait RowRef {
    /// The cell at a position. Positions are the plan's own, so one that is out of range is a bug: it reads as null.
    fn cell(&self, position: usize) -> Cell<'_>;
}

/// Whoever makes something of rows. One sink serves one plan; [`RowSink::begin`] may come again, when a statement had to be run
/// anew, and starts from nothing.
pub trait RowSink: Send {
    /// Before the first row.
    fn begin(&mut self, plan: &Plan);
    /// A row of a node of the plan's read (0 is the root). Rows of a node all come before those of its child nodes.
    ///
    /// # Errors
    /// [`Overflow`] when the answer grew too large.
    fn row(&mut self, node: usize, row: &dyn RowRef) -> Result<(), Overflow>;
    /// For a write: the keys written, in the order of its input rows. Comes before any row.
    fn written(&mut self, keys: &[Vec<Value>]) {
        let _ = keys;
    }
    /// For a count that was asked for: how many rows there are in all.
    fn total(&mut self, rows: u64) {
        let _ = rows;
    }
    /// So that the maker can have its own type back from the box in which it went through the engine.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}

/// The answer grew past its limit of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;
