//! A request as decoded: syntax only, names not yet looked up. Split in a *shape* (hashable; decides the plan and its SQL) and
//! the *values* that the shape's [`Slot`]s point at, so that the next request of the same shape only binds.

use undergird_model::Value;
use undergird_model::expr::Slot;

/// A decoded request for rows.
#[derive(Clone, Debug)]
pub struct Request {
    /// Everything that decides the plan.
    pub shape: RequestShape,
    /// What the shape's slots hold.
    pub values: Vec<Operand>,
    /// The rows of a create or the members of an update.
    pub body: Option<Body>,
    /// What is demanded of the outcome; does not change the plan.
    pub demands: Demands,
}

/// The part of a request that decides the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestShape {
    /// The collection's name. Empty for a call, whose function says of which collection its rows are.
    pub collection: String,
    /// The function of the database that is called, and whose result is read; `None`: the collection's rows are meant.
    pub call: Option<Call>,
    /// What to do.
    pub verb: Verb,
    /// The slots of the key's parts, for `/rest/v1/{collection}/{key}`.
    pub key: Option<Vec<Slot>>,
    /// `select`; `None` is everything that the caller may read.
    pub select: Option<Vec<SelectItem>>,
    /// Conditions on the collection's rows, all of which must hold.
    pub filter: Vec<Condition>,
    /// `order`.
    pub order: Vec<OrderItem>,
    /// `limit`, or from `Range`. The slot holds an int.
    pub limit: Option<Slot>,
    /// `offset`, or from `Range`. The slot holds an int.
    pub offset: Option<Slot>,
    /// `after`: the slot holds [`Operand::Cursor`].
    pub after: Option<Slot>,
    /// Filters, orders and limits of embedded collections, by path.
    pub embeds: Vec<EmbedModifier>,
    /// `on_conflict`.
    pub on_conflict: Option<Vec<String>>,
    /// `columns`.
    pub columns: Option<Vec<String>>,
    /// `Prefer: return=`.
    pub returning: Returning,
    /// `Prefer: count=`.
    pub count: Option<Count>,
    /// `Prefer: resolution=`.
    pub resolution: Option<Resolution>,
    /// `Prefer: missing=default`: absent members take their default; else null (only where `columns` or other rows name them).
    pub missing_default: bool,
}

/// A call of a function of the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its name.
    pub function: String,
    /// The slots of its arguments by their names, which are sorted, so that their order makes no other shape.
    pub arguments: Vec<(String, Slot)>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET and HEAD.
    Read,
    /// POST.
    Create,
    /// PATCH.
    Update,
    /// PUT: make the row with this key be exactly this.
    Replace,
    /// DELETE.
    Delete,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Text from the URL, to be read by the type that it meets.
    Text(String),
    /// A member of a body, to be read by the type that it meets: an argument of a call.
    Json(serde_json::Value),
    /// The items of `in.(…)`, `eq(any).{…}` and their like.
    List(Vec<String>),
    /// A value that is already typed: limits, and what Undergird asks itself.
    Value(Value),
    /// Already typed items.
    Values(Vec<Value>),
    /// The position after which a page begins: the ordering's values of the last row, key included.
    Cursor(Vec<Value>),
}

/// One item of `select`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SelectItem {
    /// `*`.
    All,
    /// A column, a JSON path into one, or an aggregate of one.
    Column(SelectColumn),
    /// `count()` of rows.
    CountRows {
        /// `alias:`.
        alias: Option<String>,
        /// `::type`.
        cast: Option<String>,
    },
    /// An embedded collection.
    Embed(SelectEmbed),
}

/// `alias:column->path::cast.aggregate()::cast`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SelectColumn {
    /// `alias:`.
    pub alias: Option<String>,
    /// Which, and where in it.
    pub column: ColumnPath,
    /// `::type`, of the column.
    pub cast: Option<String>,
    /// `.sum()` and its like.
    pub aggregate: Option<Aggregate>,
    /// `::type`, of the aggregate.
    pub aggregate_cast: Option<String>,
}

/// A column and a JSON path into it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnPath {
    /// The column's name.
    pub name: String,
    /// Steps into its JSON, outermost first.
    pub steps: Vec<JsonStep>,
}

/// One step of a JSON path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonStep {
    /// A member's name, or an element's index.
    pub to: JsonTarget,
    /// `->>`: as text. Only the last step may.
    pub as_text: bool,
}

/// Where a JSON step leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JsonTarget {
    /// `->name`.
    Member(String),
    /// `->0`, `->-1`.
    Index(i64),
}

/// Aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Aggregate {
    Count,
    Sum,
    Average,
    Minimum,
    Maximum,
}

/// `alias:relation!hint!inner(items)` or `...relation(items)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SelectEmbed {
    /// `alias:`.
    pub alias: Option<String>,
    /// The name of a relation, a collection, or a ref field.
    pub relation: String,
    /// `!hint`: a constraint, a field or a junction that tells relations apart.
    pub hint: Option<String>,
    /// `!inner`: leave out rows without a match.
    pub inner: bool,
    /// `...`: its members beside ours, not nested.
    pub spread: bool,
    /// What of it. `None` cannot be written; empty is `relation()`: nothing of it.
    pub items: Vec<SelectItem>,
}

/// A condition on rows. `Not` is the SQL kind (what compares with null is neither), as clients of PostgREST expect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `and=(…)`.
    And(Vec<Condition>),
    /// `or=(…)`.
    Or(Vec<Condition>),
    /// `not.`.
    Not(Box<Condition>),
    /// `column=operator.operand`.
    Test(Test),
}

/// `column->path=operator(quantifier).operand`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// What is tested: a column, or the name of an embed with `is.null` / `not.is.null`.
    pub column: ColumnPath,
    /// How.
    pub operator: Operator,
    /// Against what; operators without operand (`is`) have none.
    pub operand: Option<Slot>,
}

/// PostgREST's operators.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in PostgREST's reference, tables_views.html#operators")]
pub enum Operator {
    Eq(Option<Quantifier>),
    Neq(Option<Quantifier>),
    Gt(Option<Quantifier>),
    Gte(Option<Quantifier>),
    Lt(Option<Quantifier>),
    Lte(Option<Quantifier>),
    /// `like`: `*` has been turned into `%`.
    Like(Option<Quantifier>),
    ILike(Option<Quantifier>),
    Match(Option<Quantifier>),
    IMatch(Option<Quantifier>),
    /// The slot holds a list.
    In,
    Is(IsOperand),
    IsDistinct,
    /// `cs`, `@>`.
    Contains,
    /// `cd`, `<@`.
    Contained,
    /// `ov`, `&&`.
    Overlaps,
    /// `fts`, `plfts`, `phfts`, `wfts`: PostgreSQL only. The name as written, and its configuration.
    FullText {
        name: String,
        config: Option<String>,
    },
    /// `sl`, `sr`, `nxr`, `nxl`, `adj`: PostgreSQL only. The name as written.
    Range(String),
}

/// `eq(any)` and `eq(all)`; the slot holds a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Quantifier {
    Any,
    All,
}

/// What `is.` tests for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "their names say it")]
pub enum IsOperand {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

/// One term of `order`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderItem {
    /// `order=relation(column)`: order by a to-one embed's column.
    pub relation: Option<String>,
    /// By what.
    pub column: ColumnPath,
    /// `desc`.
    pub descending: bool,
    /// `nullsfirst` / `nullslast`; `None`: first when descending, else last, as PostgreSQL does.
    pub nulls_first: Option<bool>,
}

/// `path.to.embed.order=…` and its like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EmbedModifier {
    /// Names (or aliases) of embeds, outermost first.
    pub path: Vec<String>,
    /// Conditions on its rows.
    pub filter: Vec<Condition>,
    /// Its order.
    pub order: Vec<OrderItem>,
    /// Its limit, per parent row.
    pub limit: Option<Slot>,
    /// Its offset, per parent row.
    pub offset: Option<Slot>,
}

/// `Prefer: return=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Returning {
    /// Nothing (the default).
    #[default]
    Minimal,
    /// Only the `Location` header.
    HeadersOnly,
    /// The rows as they are now (as they were, for a delete).
    Representation,
}

/// `Prefer: count=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in PostgREST's reference")]
pub enum Count {
    Exact,
    Planned,
    Estimated,
}

/// `Prefer: resolution=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in PostgREST's reference")]
pub enum Resolution {
    MergeDuplicates,
    IgnoreDuplicates,
}

/// What is demanded of the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Demands {
    /// Exactly one row, else an error (`Accept: application/vnd.pgrst.object+json`).
    pub singular: bool,
    /// `Prefer: max-affected=`, with `handling=strict`.
    pub max_affected: Option<u64>,
    /// `Prefer: tx=rollback`.
    pub rollback: bool,
}

/// The rows of a create, or the members of an update (one row).
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Each a list of members. A member named twice keeps its last value.
    pub rows: Vec<Vec<(String, Input)>>,
    /// Whether the body was one object rather than an array: decides JSON pointers in errors.
    pub single: bool,
}

/// A member of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// From JSON: typed strictly.
    Json(serde_json::Value),
    /// From CSV: read by the type that it meets. `NULL` has become JSON null already.
    Text(String),
    /// Already typed: what Undergird writes itself.
    Value(Value),
}

impl RequestShape {
    /// A shape that asks for nothing in particular.
    pub fn new(collection: impl Into<String>, verb: Verb) -> RequestShape {
        RequestShape {
            collection: collection.into(),
            call: None,
            verb,
            key: None,
            select: None,
            filter: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: None,
            after: None,
            embeds: Vec::new(),
            on_conflict: None,
            columns: None,
            returning: Returning::Minimal,
            count: None,
            resolution: None,
            missing_default: false,
        }
    }
}

impl Request {
    /// A request that asks for nothing in particular.
    pub fn new(collection: impl Into<String>, verb: Verb) -> Request {
        Request {
            shape: RequestShape::new(collection, verb),
            values: Vec::new(),
            body: None,
            demands: Demands::default(),
        }
    }

    /// Adds an operand and gives its slot.
    pub fn slot(&mut self, operand: Operand) -> Slot {
        // A request has at most a few thousand operands: the decoder refuses more long before 65,535.
        let slot = Slot(u16::try_from(self.values.len()).unwrap_or(u16::MAX));
        self.values.push(operand);
        slot
    }

    /// The same with one more condition `column = value`, for what Undergird asks itself.
    pub fn with_equal(mut self, column: &str, value: Value) -> Request {
        let operand = Some(self.slot(Operand::Value(value)));
        self.shape.filter.push(Condition::Test(Test {
            column: ColumnPath { name: column.into(), steps: Vec::new() },
            operator: Operator::Eq(None),
            operand,
        }));
        self
    }

    /// The same with a body of one typed row, for what Undergird writes itself.
    pub fn with_row<'a>(mut self, row: impl IntoIterator<Item = (&'a str, Value)>) -> Request {
        let row = row.into_iter().map(|(name, value)| (name.to_owned(), Input::Value(value))).collect();
        self.body = Some(Body { rows: vec![row], single: true });
        self
    }
}
