//! The typed expression: what a CEL rule, a client's filter and a check all become.
//!
//! It has exactly two readers: the SQL writer (`undergird-store`) and the evaluator in memory (`undergird-plan`). They agree on
//! every input, because the semantics below leave no case open.
//!
//! **Semantics.** Every expression may be null.
//! - In a place that wants a bool (`Not`, `And`, `Or`, the condition of `If`, a filter), null counts as false. The results
//!   of these nodes are never null.
//! - [`Node::Same`] is null-safe equality (`null` is the same as `null`), never null.
//! - [`Node::Compare`] with a null on either side is false, whatever the comparison.
//! - Everything else with a null argument is null, unless the function says otherwise.
//! - What would be an error elsewhere (overflow, division by zero, a malformed conversion, an index out of range) is null.
//! - Numbers compare by their mathematical value across int, float and decimal, exactly. Text compares by code point, bytes by
//!   octet, `false` before `true`, lists element by element. Values of kinds that have nothing to do with each other are
//!   different, and neither is less: only [`Comparison::NotEqual`] is true of them.
//! - JSON compares with JSON structurally: numbers by exact value, objects regardless of member order, the last of members
//!   of one name. JSON compares with a scalar by JSON type and value; a uuid, timestamp, date, time or bytes is compared
//!   with what a JSON string converts to, if it does. An ordering exists between two JSON numbers, two strings, two bools;
//!   else there is only equal and different. The JSON value `null` is a value, different from the absence of one
//!   ([`Value::Null`]); [`Function::JsonPresent`] asks for both.
//! - JSON that cannot be read (deeper than 127 levels, a lone surrogate) is as null where it is looked into or compared, and the
//!   same as nothing but its own text.
//! - Where a list is wanted ([`Node::In`], [`Node::AnyElement`]), a JSON array serves, its elements being JSON; other JSON
//!   is an empty list. `In` also asks a JSON object for a member of that name.
//! - Arithmetic: a float result that is not finite is null, and −0 is 0. Timestamps stay within the years 0001 to 9999, else null.
//!   `Remainder` has the sign of the dividend, for floats too.
//! - A cost limit ends an evaluation in memory with an error; it is no value, and whoever evaluates must refuse.
//!
//! Rows are named by [`RowVar`]: the free ones are [`RowVar::THIS`] and [`RowVar::NEW`]; the others are bound by the node that
//! introduces them.

use crate::schema::{FieldId, RelationId};
use crate::value::{Type, Value};

/// A row in scope.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RowVar(pub u16);

impl RowVar {
    /// The row that the rule is about: as stored, in `read`, `update` and `delete`; as it would become, in `create` and checks.
    pub const THIS: RowVar = RowVar(0);
    /// In `update`: the row as it would become (`new.x`).
    pub const NEW: RowVar = RowVar(1);
    /// The first number free for bound rows.
    pub const FIRST_BOUND: RowVar = RowVar(2);
}

/// An element of a list in scope, bound by [`Node::AnyElement`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ElementVar(pub u16);

/// A position among the values that a request binds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// A typed expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Expr {
    /// What it gives.
    pub ty: Type,
    /// What it is.
    pub node: Node,
}

/// What an expression is. A closed set: both readers match it without `_`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Node {
    /// A constant.
    Literal(Value),
    /// A value that the request binds.
    Param(Slot),
    /// The value of an input row's column: a create's or an update's body, validated. Position among the plan's input columns.
    Input(u16),
    /// A fact about the caller; null for a visitor.
    Auth(AuthFact),
    /// The time of the request.
    Now,
    /// A field of a row in scope.
    Field(RowVar, FieldId),
    /// An element in scope.
    Element(ElementVar),
    /// The value of `body` in the one row that a to-one relation leads to; null when there is none.
    Via {
        /// The row that the relation starts at.
        from: RowVar,
        /// A to-one relation of it.
        relation: RelationId,
        /// The related row's name within `body`.
        bind: RowVar,
        /// What is wanted of it.
        body: Box<Expr>,
    },
    /// The value of `body` in the caller's own profile row; null when there is none.
    Profile {
        /// The profile row's name within `body`.
        bind: RowVar,
        /// What is wanted of it.
        body: Box<Expr>,
    },
    /// Whether any row that the relation (to-one or to-many, never through a junction) leads to passes `filter`.
    Exists {
        /// The row that the relation starts at.
        from: RowVar,
        /// The relation.
        relation: RelationId,
        /// The related row's name within `filter`.
        bind: RowVar,
        /// What it must pass.
        filter: Box<Expr>,
    },
    /// How many rows that the relation leads to pass `filter`. An int, never null.
    Count {
        /// The row that the relation starts at.
        from: RowVar,
        /// The relation.
        relation: RelationId,
        /// The related row's name within `filter`.
        bind: RowVar,
        /// What it must pass.
        filter: Box<Expr>,
    },
    /// What [`Node::Via`], [`Node::Exists`] and [`Node::Count`] say of the rows that a relation *would* lead to if its own side had
    /// these values. Rules are not written like this: it is what `new.author.team_id` becomes in an update that sets `author_id`.
    At {
        /// The relation; never through a junction.
        relation: RelationId,
        /// A value for our side of each pair of the relation's `on`, in order. With a null among them it leads nowhere.
        key: Vec<Expr>,
        /// The related row's name within `body`.
        bind: RowVar,
        /// What is asked.
        ask: Ask,
        /// Of what: the body of a `Via`, the filter of the others.
        body: Box<Expr>,
    },
    /// Whether any element of a list passes `filter`. False for a null list.
    AnyElement {
        /// The list.
        list: Box<Expr>,
        /// The element's name within `filter`.
        bind: ElementVar,
        /// What it must pass.
        filter: Box<Expr>,
    },
    /// Not true: true for false and for null.
    Not(Box<Expr>),
    /// All are true. Empty: true.
    And(Vec<Expr>),
    /// Any is true. Empty: false.
    Or(Vec<Expr>),
    /// The second when the first is true, else the third. Both are of the whole's type, or numbers, which are then cast to it.
    If(Box<[Expr; 3]>),
    /// Null-safe equality.
    Same(Box<Expr>, Box<Expr>),
    /// A comparison that is false with null.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// Whether the first is an element of the list that the second is. False when either is null.
    In(Box<Expr>, Box<Expr>),
    /// Arithmetic on two of a kind (int, float), or with time (timestamp ± duration, timestamp − timestamp, duration ± duration).
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// Minus.
    Negate(Box<Expr>),
    /// A function on scalars.
    Call(Function, Vec<Expr>),
    /// A list of expressions of one kind. Nulls in it are left out.
    List(Vec<Expr>),
}

/// What [`Node::At`] asks of the related rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ask {
    /// The value of the body in the one row that a to-one relation leads to, as [`Node::Via`].
    Value,
    /// Whether any row passes, as [`Node::Exists`].
    Any,
    /// How many rows pass, as [`Node::Count`].
    Count,
}

/// A fact about the caller that rules may use.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AuthFact {
    /// The user's id, a uuid.
    Id,
    /// `anon`, `authenticated` or `service_role`.
    Role,
    /// The roles in `app_metadata.roles`, a list of text; empty for a visitor.
    Roles,
    /// The user's e-mail address.
    Email,
    /// The level of assurance of the user's session: `aal1`, or `aal2` after a second factor. Null for anybody else.
    Aal,
    /// The methods by which the user's session was proved, newest first: a list of text; empty for anybody else.
    Amr,
    /// A member of the token's claims, by path. JSON; null where the path leads nowhere.
    Claim(Vec<String>),
}

/// Comparisons that are false with null.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Arithmetic operators. Overflow and division by zero give null; int division truncates toward zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Functions on scalars. The first group is for rules (CEL), the second for the wire's operators.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Function {
    /// text, text → bool: the first contains the second.
    Contains,
    /// text, text → bool.
    StartsWith,
    /// text, text → bool.
    EndsWith,
    /// text, text → bool: an RE2-style regular expression matches somewhere in the first. A pattern that is malformed or too large
    /// gives null.
    Matches,
    /// text → int: number of characters (code points).
    TextSize,
    /// bytes → int: number of octets.
    BytesSize,
    /// list → int.
    ListSize,
    /// json → int: characters of a string, elements of an array, members of an object; null otherwise.
    JsonSize,
    /// text → text: ASCII letters made small.
    LowerAscii,
    /// text → text: ASCII letters made capital.
    UpperAscii,
    /// text → text: without ASCII white space (U+0009 to U+000D, U+0020) at both ends.
    Trim,
    /// text, text → text.
    Concatenate,
    /// timestamp or date → int: the full year, UTC. (A date is its midnight, here and in the six that follow.)
    Year,
    /// timestamp → int: the month, 0 to 11, UTC (CEL's `getMonth`).
    Month,
    /// timestamp → int: the day of the month, 1 to 31, UTC (CEL's `getDate`).
    Day,
    /// timestamp → int: the day of the month, 0 to 30, UTC (CEL's `getDayOfMonth`).
    DayOfMonth,
    /// timestamp → int: 0 (Sunday) to 6, UTC.
    DayOfWeek,
    /// timestamp → int: 0 to 365, UTC.
    DayOfYear,
    /// timestamp or duration → int: hours of the day; for a duration, whole hours in all, toward zero.
    Hours,
    /// timestamp or duration → int: minutes of the hour; for a duration, in all.
    Minutes,
    /// timestamp or duration → int: seconds of the minute; for a duration, in all.
    Seconds,
    /// timestamp or duration → int: milliseconds of the second; of a negative duration, negative.
    Milliseconds,
    /// scalar → int, as CEL's `int()`: float and decimal truncate toward zero, text parses (`[+-]?[0-9]+`), bool is 0 or 1, timestamp
    /// gives whole seconds since 1970 (toward the past). JSON, in this and the conversions that follow, is converted as the
    /// number, text or bool that it holds (a number that is no int as the nearest float); null for other JSON.
    ToInt,
    /// int, float, decimal, text → float, the nearest. Text in the grammar of JSON numbers, `+5`, `.5` and `5.` too.
    ToFloat,
    /// any → text, in the wire form; JSON as [`Function::JsonGetText`] gives it.
    ToText,
    /// text → timestamp (as field values are read from text), int → timestamp (seconds since 1970), date → timestamp (midnight).
    ToTimestamp,
    /// timestamp or text → date.
    ToDate,
    /// text → duration, as CEL's `duration()` (`1h30m`, `-1.5s`), within 10,000 years; what is finer than a
    /// microsecond is cut off.
    ToDuration,
    /// text → uuid.
    ToUuid,
    /// text → bool, as CEL's `bool()` (`1`, `t`, `T`, `TRUE`, `true`, `True` and their opposites); int → whether it is not 0.
    ToBool,
    /// json, text or int → json: a member of an object by text, an element of an array by int (from the end when negative); null
    /// where there is none. PostgREST's `->`.
    JsonGet,
    /// json, text or int → text: the same as text: strings unquoted, JSON null is null, the rest as compact JSON. Null for a string
    /// with U+0000, which no text holds. PostgREST's `->>`.
    JsonGetText,
    /// json → bool: whether it is present and not JSON null (CEL's `has()` on JSON). False, not null, for null.
    JsonPresent,

    /// text, text → bool: SQL `LIKE` with `%`, `_` and `\` as escape, case-sensitive, by code point. A pattern that ends in the middle
    /// of an escape, or is too long, gives null.
    Like,
    /// text, text → bool: the same, without regard to case (Unicode simple case folding).
    LikeInsensitive,
    /// text, text → bool: regular expression without regard to case.
    MatchesInsensitive,
    /// list, list or json, json → bool: the first contains the second (`@>` of PostgreSQL's arrays and jsonb). Null when finding out
    /// would cost too much.
    Covers,
    /// list, list → bool: they have an element in common (`&&`).
    Overlaps,
    /// text, text → bool: full-text search, as a store with [such a search](Search) answers it; no other reader does, for what a word
    /// is and which words are the same is that store's dictionary. In memory it is null.
    Search {
        /// How the second text is read.
        how: Search,
        /// In which language, one of [`Search::LANGUAGES`]; `None`: the database's own.
        language: Option<&'static str>,
    },
    /// list, int → scalar of the list: element by 0-based index; null beyond either end.
    Element,
    /// A cast asked for by `select=field::type`; the target is the expression's type. As PostgreSQL casts: text is read as field
    /// values are, floats round to the even int, decimals half away from zero, every
    /// value has a json form, a json array casts to a list by its elements; null where PostgreSQL would fail.
    Cast,
}

/// How a full-text query is read: the four ways of PostgreSQL, by the operators of PostgREST.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Search {
    /// `fts`: words between `&`, `|`, `!`, `<->` and parentheses.
    Query,
    /// `plfts`: all words of a plain text.
    Plain,
    /// `phfts`: the words of a plain text, one after the other.
    Phrase,
    /// `wfts`: as people write to search engines: `"a phrase"`, `or`, `-not`.
    Web,
}

impl Search {
    /// The languages (text search configurations) that every PostgreSQL since 14 has. A closed list, for the name becomes part of a
    /// statement: an index on `to_tsvector('english', …)` serves only what says so.
    pub const LANGUAGES: [&'static str; 29] = [
        "simple",
        "arabic",
        "armenian",
        "basque",
        "catalan",
        "danish",
        "dutch",
        "english",
        "finnish",
        "french",
        "german",
        "greek",
        "hindi",
        "hungarian",
        "indonesian",
        "irish",
        "italian",
        "lithuanian",
        "nepali",
        "norwegian",
        "portuguese",
        "romanian",
        "russian",
        "serbian",
        "spanish",
        "swedish",
        "tamil",
        "turkish",
        "yiddish",
    ];

    /// The way of one of PostgREST's operators.
    pub fn of_operator(operator: &str) -> Option<Search> {
        Some(match operator {
            "fts" => Search::Query,
            "plfts" => Search::Plain,
            "phfts" => Search::Phrase,
            "wfts" => Search::Web,
            _ => return None,
        })
    }

    /// PostgREST's operator.
    pub fn operator(self) -> &'static str {
        match self {
            Search::Query => "fts",
            Search::Plain => "plfts",
            Search::Phrase => "phfts",
            Search::Web => "wfts",
        }
    }
}

impl Expr {
    /// A constant of a type.
    pub fn literal(ty: Type, value: Value) -> Expr {
        Expr { ty, node: Node::Literal(value) }
    }

    /// `true` or `false`.
    pub fn bool(value: bool) -> Expr {
        Expr::literal(Type::BOOL, Value::Bool(value))
    }

    /// A node that gives a bool.
    pub fn test(node: Node) -> Expr {
        Expr { ty: Type::BOOL, node }
    }

    /// Not this.
    pub fn negated(self) -> Expr {
        match self.node {
            Node::Not(inner) if inner.ty == Type::BOOL && inner.is_two_valued() => *inner,
            Node::Literal(Value::Bool(value)) => Expr::bool(!value),
            node => Expr::test(Node::Not(Box::new(Expr { ty: self.ty, node }))),
        }
    }

    /// All of these, flattened and simplified: `true`s vanish, one `false` decides.
    pub fn all(terms: impl IntoIterator<Item = Expr>) -> Expr {
        let mut kept = Vec::new();
        for term in terms {
            match term.node {
                Node::Literal(Value::Bool(true)) => {}
                Node::Literal(Value::Bool(false) | Value::Null) => return Expr::bool(false),
                Node::And(inner) => kept.extend(inner),
                node => kept.push(Expr { ty: term.ty, node }),
            }
        }
        match kept.len() {
            0 => Expr::bool(true),
            1 if kept[0].is_two_valued() => kept.remove(0),
            _ => Expr::test(Node::And(kept)),
        }
    }

    /// Any of these, flattened and simplified.
    pub fn any(terms: impl IntoIterator<Item = Expr>) -> Expr {
        let mut kept = Vec::new();
        for term in terms {
            match term.node {
                Node::Literal(Value::Bool(false) | Value::Null) => {}
                Node::Literal(Value::Bool(true)) => return Expr::bool(true),
                Node::Or(inner) => kept.extend(inner),
                node => kept.push(Expr { ty: term.ty, node }),
            }
        }
        match kept.len() {
            0 => Expr::bool(false),
            1 if kept[0].is_two_valued() => kept.remove(0),
            _ => Expr::test(Node::Or(kept)),
        }
    }

    /// Whether the result is a bool that is never null.
    pub fn is_two_valued(&self) -> bool {
        match &self.node {
            Node::Literal(value) => matches!(value, Value::Bool(_)),
            Node::Exists { .. }
            | Node::AnyElement { .. }
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Same(..)
            | Node::Compare(..)
            | Node::In(..)
            | Node::At { ask: Ask::Any, .. } => true,
            Node::If(parts) => parts[1].is_two_valued() && parts[2].is_two_valued(),
            Node::Param(_)
            | Node::Input(_)
            | Node::Auth(_)
            | Node::Now
            | Node::Field(..)
            | Node::Element(_)
            | Node::Via { .. }
            | Node::Profile { .. }
            | Node::Count { .. }
            | Node::At { ask: Ask::Value | Ask::Count, .. }
            | Node::Arithmetic(..)
            | Node::Negate(_)
            | Node::Call(..)
            | Node::List(_) => false,
        }
    }

    /// The expressions directly within.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Literal(_)
            | Node::Param(_)
            | Node::Input(_)
            | Node::Auth(_)
            | Node::Now
            | Node::Field(..)
            | Node::Element(_) => Vec::new(),
            Node::Via { body, .. } | Node::Profile { body, .. } => vec![body],
            Node::Exists { filter, .. } | Node::Count { filter, .. } => vec![filter],
            Node::At { key, body, .. } => key.iter().chain([&**body]).collect(),
            Node::AnyElement { list, filter, .. } => vec![list, filter],
            Node::Not(a) | Node::Negate(a) => vec![a],
            Node::And(list) | Node::Or(list) | Node::List(list) | Node::Call(_, list) => list.iter().collect(),
            Node::If(parts) => parts.iter().collect(),
            Node::Same(a, b) | Node::Compare(_, a, b) | Node::In(a, b) | Node::Arithmetic(_, a, b) => vec![a, b],
        }
    }

    /// The same node with each direct child replaced by `f` of it.
    pub fn map_children(self, mut f: impl FnMut(Expr) -> Expr) -> Expr {
        let Expr { ty, node } = self;
        if let Node::At { relation, key, bind, ask, body } = node {
            let key = key.into_iter().map(&mut f).collect();
            return Expr { ty, node: Node::At { relation, key, bind, ask, body: Box::new(f(*body)) } };
        }
        let mut boxed = |e: Box<Expr>| Box::new(f(*e));
        let node = match node {
            leaf @ (Node::Literal(_)
            | Node::Param(_)
            | Node::Input(_)
            | Node::Auth(_)
            | Node::Now
            | Node::Field(..)
            | Node::Element(_)
            | Node::At { .. }) => leaf,
            Node::Via { from, relation, bind, body } => Node::Via { from, relation, bind, body: boxed(body) },
            Node::Profile { bind, body } => Node::Profile { bind, body: boxed(body) },
            Node::Exists { from, relation, bind, filter } => {
                Node::Exists { from, relation, bind, filter: boxed(filter) }
            }
            Node::Count { from, relation, bind, filter } => Node::Count { from, relation, bind, filter: boxed(filter) },
            Node::AnyElement { list, bind, filter } => {
                Node::AnyElement { list: boxed(list), bind, filter: boxed(filter) }
            }
            Node::Not(a) => Node::Not(boxed(a)),
            Node::Negate(a) => Node::Negate(boxed(a)),
            Node::And(list) => Node::And(list.into_iter().map(f).collect()),
            Node::Or(list) => Node::Or(list.into_iter().map(f).collect()),
            Node::List(list) => Node::List(list.into_iter().map(f).collect()),
            Node::Call(function, list) => Node::Call(function, list.into_iter().map(f).collect()),
            Node::If(parts) => {
                let [condition, then, otherwise] = *parts;
                Node::If(Box::new([f(condition), f(then), f(otherwise)]))
            }
            Node::Same(a, b) => Node::Same(boxed(a), boxed(b)),
            Node::Compare(op, a, b) => Node::Compare(op, boxed(a), boxed(b)),
            Node::In(a, b) => Node::In(boxed(a), boxed(b)),
            Node::Arithmetic(op, a, b) => Node::Arithmetic(op, boxed(a), boxed(b)),
        };
        Expr { ty, node }
    }

    /// Whether this or anything within satisfies `test`.
    pub fn any_node(&self, test: &mut dyn FnMut(&Node) -> bool) -> bool {
        test(&self.node) || self.children().into_iter().any(|child| child.any_node(test))
    }

    /// Whether the answer needs other rows than the ones in scope.
    pub fn needs_relations(&self) -> bool {
        self.any_node(&mut |node| {
            matches!(
                node,
                Node::Via { .. } | Node::Profile { .. } | Node::Exists { .. } | Node::Count { .. } | Node::At { .. }
            )
        })
    }
}
