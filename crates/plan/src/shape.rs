//! The plan: the request with the permissions already folded in. A [`Shape`] (made once per kind of request and kind of caller,
//! and kept) and the values of this one request.
//!
//! Fields are private to this crate and read through accessors or `pub` on the parts, whose only maker is [`crate::authorize()`]:
//! a [`Plan`] cannot be had otherwise. (Property tests make some by hand, behind the feature `arbitrary`, which nothing else turns on.)

use crate::caller::Caller;
use crate::request::{Aggregate, Count, Demands};
use std::sync::Arc;
use undergird_model::expr::{ElementVar, RowVar, Slot};
use undergird_model::{CollectionId, DbFunction, Expr, FieldId, FunctionId, Model, RelationId, Type, Value};

/// What is to be done, permitted and validated.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) model: Arc<Model>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) params: Vec<Value>,
    pub(crate) input: Vec<Vec<Value>>,
    pub(crate) caller: Caller,
    pub(crate) demands: Demands,
}

impl Plan {
    /// The model that it was made for.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }
    /// What is done, without the values.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }
    /// The values of the shape's slots. Slots that no part of the shape uses hold null.
    pub fn params(&self) -> &[Value] {
        &self.params
    }
    /// The input rows of a write, each with one value per [`Write::inputs`].
    pub fn input(&self) -> &[Vec<Value>] {
        &self.input
    }
    /// For whom.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
    /// The function of the database that it calls, if it calls one.
    pub fn function(&self) -> Option<&DbFunction> {
        let source = self.shape.read()?.nodes.first()?.source.as_ref()?;
        Some(self.model.function(source.function))
    }
    /// What is demanded of the outcome.
    pub fn demands(&self) -> Demands {
        self.demands
    }
}

/// What is done, without the values.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Read rows.
    Read(Read),
    /// Write rows, and perhaps read them back.
    Write(Write),
}

impl Shape {
    /// The rows that are read: the answer of a read, the representation of a write.
    pub fn read(&self) -> Option<&Read> {
        match self {
            Shape::Read(read) => Some(read),
            Shape::Write(write) => write.returning.as_ref(),
        }
    }
}

/// A tree of rows: one statement per node, so a constant number, never one per row.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Node 0 is the root; a parent comes before its children.
    pub nodes: Vec<ReadNode>,
    /// Count all rows that pass the root's filter, before limit and offset.
    pub count: Option<Count>,
    /// Whether the read is of one row by its key.
    pub by_key: bool,
}

/// One statement: rows of a collection with the to-one relations joined to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadNode {
    /// Where its rows belong. `None` for the root of a read. The root of a write's representation hangs on the written keys.
    pub parent: Option<Parent>,
    /// Rows of which collection. [`CollectionId::NONE`]: values of a function, which are no rows of any.
    pub collection: CollectionId,
    /// The function that gives the rows, in place of the collection's table. Only a root has one.
    pub source: Option<Source>,
    /// The name of its row in the expressions here.
    pub row: RowVar,
    /// To-one relations joined, in order; a later may start at an earlier one's row.
    pub joins: Vec<Join>,
    /// What is selected, by position. For a node with a parent the first ones are the link, see [`Parent::columns`].
    pub columns: Vec<Column>,
    /// Which rows: rules and the request's conditions, folded. For a node with a parent, besides the link.
    pub filter: Expr,
    /// Positions in `columns` to group by, when the node aggregates. `None`: no aggregation.
    pub group_by: Option<Vec<usize>>,
    /// Ends with the key, so that pages are stable (unless aggregated). For a node with a parent, within each parent row.
    pub order: Vec<Order>,
    /// Most rows, an int; per parent row for a node with a parent.
    pub limit: Option<Expr>,
    /// Rows to skip, an int; per parent row for a node with a parent.
    pub offset: Option<Expr>,
    /// How a row becomes JSON.
    pub object: Object,
    /// Positions in `columns` of the ordering's values, for the cursor to the next page. Empty when none can be made.
    pub cursor: Vec<usize>,
    /// What the row's version (its `ETag`) is made of. Only for a read by key without aggregates.
    pub version: Option<RowVersion>,
}

/// What makes a row's version: its default representation, which has all that the caller may read of the row itself.
#[derive(Clone, Debug, PartialEq)]
pub struct RowVersion {
    /// That representation.
    pub object: Object,
    /// Whether [`ReadNode::object`] is the very same, so that a row need not be written twice.
    pub is_shown: bool,
}

/// A call of a function of the database. Where it gives no rows but values, [`Source::VALUE`] is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Which function.
    pub function: FunctionId,
    /// Which of its arguments are given, by position, and the slots of their values.
    pub arguments: Vec<(usize, Slot)>,
}

impl Source {
    /// What a value of a function is called in the expressions of its node.
    pub const VALUE: ElementVar = ElementVar(u16::MAX);
}

/// How a node hangs on its parent: `columns[0..n]` of the node equal the parent's columns at these positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Parent {
    /// The parent node; `None`: the keys that the write wrote.
    pub node: Option<usize>,
    /// Positions in the parent's `columns` (or in the written key).
    pub columns: Vec<usize>,
}

/// A to-one relation joined into a statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The row that it starts at.
    pub from: RowVar,
    /// The relation.
    pub relation: RelationId,
    /// The name of the joined row.
    pub row: RowVar,
    /// What the joined row must pass to be there: rules and the embed's conditions.
    pub filter: Expr,
    /// Rows without a match are left out (`!inner`).
    pub inner: bool,
}

/// Something selected.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// An expression over the rows of the node.
    Plain(Expr),
    /// An aggregate. `None` counts rows. The type is that of the result.
    Aggregate(Aggregate, Option<Expr>, Type),
}

impl Column {
    /// The type of its cells.
    pub fn ty(&self) -> Type {
        match self {
            Column::Plain(expr) => expr.ty,
            Column::Aggregate(_, _, ty) => *ty,
        }
    }
}

/// One term of an ordering.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// Greatest first.
    pub descending: bool,
    /// Where nulls go.
    pub nulls_first: bool,
    /// Whether it can be null at all: where not, the store need not say where nulls go, and an index serves.
    pub nullable: bool,
}

/// What an ordering goes by.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderBy {
    /// An expression over the rows of the node.
    Expr(Expr),
    /// A selected column, by position (in an aggregated node).
    Column(usize),
}

/// How a row becomes a JSON object.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Object {
    /// In the order of `select`.
    pub members: Vec<Member>,
    /// The value of its only member stands for the row: a value of a function.
    pub bare: bool,
}

/// One member of the object.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `"name":`, escaped, ready to be copied.
    pub prefix: String,
    /// Its value.
    pub output: Output,
}

/// The value of a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The cell at a position.
    Column(usize),
    /// An object of the row's own cells; null when the cell at `present` is null.
    One {
        /// Position of a cell that is null exactly when the joined row is absent.
        present: usize,
        /// Its members.
        object: Object,
    },
    /// An array of the rows of a child node that belong to this row.
    Many {
        /// The child node.
        node: usize,
    },
    /// The only row of a child node that belongs to this row, or null.
    Only {
        /// The child node.
        node: usize,
    },
    /// An array of one member's values over the rows of a child node (a to-many spread).
    Pluck {
        /// The child node.
        node: usize,
        /// Which member of its object.
        member: usize,
    },
}

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Of which collection.
    pub collection: CollectionId,
    /// What each value of an input row is for.
    pub inputs: Vec<FieldId>,
    /// What is done.
    pub action: Action,
    /// The rows to give back; its root hangs on the written keys.
    pub returning: Option<Read>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make each input row. `inputs` are all stored fields, except an identity that the database gives.
    Insert {
        /// What each made row ([`RowVar::THIS`]) must pass, beyond what was decided in memory already.
        guards: Vec<Guard>,
        /// What to do when the row is there already.
        upsert: Option<Upsert>,
    },
    /// Change rows.
    Update {
        /// Which: the request's conditions on what the caller may read.
        filter: Expr,
        /// To what: [`undergird_model::Node::Input`]s of input row 0.
        assign: Vec<(FieldId, Expr)>,
        /// What each of these rows as stored must pass; `new.x` is substituted already.
        guards: Vec<Guard>,
        /// What each of them must pass once more as it has become, when all are changed.
        again: Again,
    },
    /// Remove rows.
    Delete {
        /// Which: the request's conditions on what the caller may read.
        filter: Expr,
        /// What each of these rows must pass.
        guards: Vec<Guard>,
    },
}

/// What to do when a row is there already.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsert {
    /// The fields that say that it is: a key or a unique combination.
    pub target: Vec<FieldId>,
    /// Leave it as it is (`ignore-duplicates`).
    pub ignore: bool,
    /// What the row as stored must pass to be changed.
    pub guards: Vec<Guard>,
    /// To what it is changed.
    pub assign: Vec<(FieldId, Expr)>,
    /// What it must pass once more as it has become, when all rows are made and changed.
    pub again: Again,
}

/// What changed rows must pass once more when all are changed: a rule that follows a relation into the collection itself may lead to
/// rows that the same request changes.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Again {
    /// What is noted of each row ([`RowVar::THIS`]) before it is changed. In the guards, `Node::Input` is one of these, by position.
    pub noted: Vec<Expr>,
    /// What the row as it has become must pass.
    pub guards: Vec<Guard>,
}

/// A predicate that every touched row must pass, else nothing is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Two-valued; over [`RowVar::THIS`].
    pub predicate: Expr,
    /// What the caller is told when it fails.
    pub otherwise: Otherwise,
}

/// Why a guard refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The row rule of the verb.
    Access,
    /// The write rule of a field.
    FieldWrite(FieldId),
    /// A check of the collection, by position.
    Check(usize),
}

/// A parameter's slot, for readers of this module.
pub type ParamSlot = Slot;
