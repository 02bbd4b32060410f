//! The syntax tree of CEL: what was written, with the bytes where it was. Macros are kept as such.
//!
//! Absent: meaning. Names are not resolved, types not known.

use crate::diagnostic::Span;

/// A piece of syntax.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    /// The whole piece.
    pub span: Span,
    /// 1 for a leaf, else one more than the deepest child.
    pub depth: u16,
    /// What it is.
    pub kind: AstKind,
}

/// A word with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    /// The word.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// What a piece of syntax is.
#[derive(Clone, Debug, PartialEq)]
pub enum AstKind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// `1`, `-1`, `0xff`
    Int(i64),
    /// `1.5`
    Float(f64),
    /// `'text'`
    Text(String),
    /// `b'bytes'`
    Bytes(Vec<u8>),
    /// `name`
    Name(String),
    /// `.name`: CEL's way of saying "not within a namespace"
    Rooted(String),
    /// `operand.name`
    Select {
        /// Before the dot.
        operand: Box<Ast>,
        /// After it.
        name: Ident,
    },
    /// `operand[index]`
    Index {
        /// Before the bracket.
        operand: Box<Ast>,
        /// Within.
        index: Box<Ast>,
    },
    /// `function(arguments)`
    Call {
        /// Its name.
        function: Ident,
        /// Its arguments.
        arguments: Vec<Ast>,
    },
    /// `receiver.method(arguments)`
    Method {
        /// Before the dot.
        receiver: Box<Ast>,
        /// Its name.
        method: Ident,
        /// Its arguments.
        arguments: Vec<Ast>,
    },
    /// `receiver.exists(variable, body)` and its siblings
    Macro {
        /// Which.
        which: Macro,
        /// What is gone through.
        receiver: Box<Ast>,
        /// The name of each.
        variable: Ident,
        /// What is asked of each.
        body: Box<Ast>,
    },
    /// `has(operand.name)`, and more leniently `has(name)`
    Has(Box<Ast>),
    /// `!a`
    Not(Box<Ast>),
    /// `-a`
    Negate(Box<Ast>),
    /// `a && b && …`
    And(Vec<Ast>),
    /// `a || b || …`
    Or(Vec<Ast>),
    /// `a op b`
    Binary {
        /// Which.
        op: BinaryOp,
        /// Before it.
        left: Box<Ast>,
        /// After it.
        right: Box<Ast>,
    },
    /// `a ? b : c`
    If(Box<[Ast; 3]>),
    /// `[a, b]`
    List(Vec<Ast>),
    /// `{a: b}`
    Map(Vec<(Ast, Ast)>),
    /// `name.name{field: value}`; its fields are checked for syntax and dropped, since no rule has messages
    Message,
}

/// A macro that binds a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Macro {
    /// Any passes.
    Exists,
    /// All pass.
    All,
    /// Exactly one passes.
    ExistsOne,
    /// Those that pass.
    Filter,
    /// What each becomes; parsed in order to be refused well.
    Map,
}

impl Macro {
    /// By the method's name.
    pub fn find(name: &str) -> Option<Macro> {
        Some(match name {
            "exists" => Macro::Exists,
            "all" => Macro::All,
            "exists_one" | "existsOne" => Macro::ExistsOne,
            "filter" => Macro::Filter,
            "map" => Macro::Map,
            _ => return None,
        })
    }

    /// The method's name.
    pub fn name(self) -> &'static str {
        match self {
            Macro::Exists => "exists",
            Macro::All => "all",
            Macro::ExistsOne => "exists_one",
            Macro::Filter => "filter",
            Macro::Map => "map",
        }
    }
}

/// An operator between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say it")]
pub enum BinaryOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl BinaryOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::In => "in",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Remainder => "%",
        }
    }
}
