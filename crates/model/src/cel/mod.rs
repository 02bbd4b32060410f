//! CEL, the Common Expression Language (<https://cel.dev>): lexer, parser with full-node spans, type checker against the model.
//!
//! Text goes in, a typed [`Expr`] comes out: `lexer` → `parser` → `check` (with `literal` for constants) → `cost`.
//! Deliberately absent: evaluation (`undergird-plan`), SQL (`undergird-store`), the place of the text in its file (the caller
//! maps [`Problem::span`]). What users may write is told in `docs/rules.md`.
//!
//! The codes of problems, all of them:
//!
//! | code | meaning |
//! |---|---|
//! | `rule-too-long` | the text has more than [`TEXT_BYTES_MAX`] bytes |
//! | `rule-too-deep` | it nests deeper than [`DEPTH_MAX`], or its relations within relations deeper than [`ROWS_DEPTH_MAX`] |
//! | `rule-too-large` | it has more than [`NODES_MAX`] parts |
//! | `rule-too-costly` | its estimated cost exceeds [`COST_MAX`] |
//! | `unexpected-character` | a character that CEL does not know |
//! | `unterminated-text` | a quote that is never closed |
//! | `bad-escape` | an escape sequence that does not exist, or that gives a character that text cannot hold |
//! | `bad-number` | a number that is malformed or out of range |
//! | `uint-unsupported` | an unsigned number (`1u`) |
//! | `unexpected-token` | the grammar wants something else here |
//! | `reserved-word` | a word that CEL reserves, used as a name |
//! | `bad-macro` | a macro with arguments of the wrong form |
//! | `unsupported-syntax` | CEL that rules do not have: maps, messages, `map`, … |
//! | `unknown-name` | no such field, relation, variable or member |
//! | `unknown-function` | no such function or method |
//! | `unknown-value` | a text that is not one of an enum's values |
//! | `wrong-arguments` | a function with too many or too few arguments |
//! | `type-mismatch` | a value of a type that does not fit |
//! | `relation-as-value` | a relation, a row, `auth` or `new` where a value belongs |
//! | `bad-literal` | text that is no uuid, timestamp, date, time or duration where one is wanted |
//! | `bad-pattern` | a regular expression that does not compile or is too big |
//! | `constant-error` | constants whose arithmetic overflows or divides by zero |
//! | `secret-in-rule` | a field of type `secret` |
//! | `new-not-allowed` | `new` outside an `update` rule |
//! | `auth-not-allowed` | `auth` where the caller must not matter |
//! | `now-not-allowed` | `now` where the time must not matter |
//! | `relation-not-allowed` | a relation where only the row itself may be used |
//! | `null-identity` | a warning: an equality that a visitor passes because both sides are null |

mod ast;
mod check;
mod cost;
mod functions;
mod identity;
mod lexer;
mod literal;
mod names;
mod operators;
mod parser;
#[cfg(test)]
mod tests;

use crate::diagnostic::{Span, nearest};
use crate::expr::Expr;
use crate::schema::{Collection, CollectionId};
use crate::value::Type;

pub use cost::{COST_MAX, ROWS_DEPTH_MAX};
pub use functions::{PATTERN_BYTES_MAX, PATTERN_CHARS_MAX};
pub use literal::duration;

/// Greatest length of a rule.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Greatest depth of the syntax tree. Every later recursion (checker, cost, readers) is bounded by it.
pub const DEPTH_MAX: u16 = 64;
/// Greatest number of nodes in the syntax tree.
pub const NODES_MAX: usize = 1_000;

/// One mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the expression's text.
    pub span: Span,
    /// Stable, kebab-case; one of the table in [`crate::cel`].
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it, when we know.
    pub hint: Option<String>,
}

impl Problem {
    /// A mistake at a place.
    pub(crate) fn new(span: Span, code: &'static str, message: impl Into<String>) -> Problem {
        Problem { span, code, message: shorten(message.into()), hint: None }
    }

    /// The same, with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(shorten(hint.into()));
        self
    }

    /// The same, with `did you mean "…"?` when one of `candidates` is near `wrong`.
    pub(crate) fn suggesting<'a>(self, wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Problem {
        match nearest(wrong, candidates) {
            Some(name) => self.hint(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }
}

/// Messages quote names from the text, which may be as long as the text.
const MESSAGE_CHARS_MAX: usize = 240;

fn shorten(message: String) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// Where an expression stands, which decides the names it may use and the type it must have.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// All collections, with fields and relations resolved; their rules are not looked at.
    pub collections: &'a [Collection],
    /// The collection whose row plain names speak of.
    pub this: Option<CollectionId>,
    /// `new.x` is the row as it would become: in `update` rules.
    pub allow_new: bool,
    /// The caller may matter.
    pub allow_auth: bool,
    /// Other rows may matter.
    pub allow_relations: bool,
    /// The time may matter.
    pub allow_now: bool,
    /// The collection behind `auth.profile`.
    pub profile: Option<CollectionId>,
    /// What the expression must give.
    pub expect: Expect,
}

/// What an expression must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A condition. Null counts as false.
    Bool,
    /// A value of this type, or null: a default. Literals are converted (`'2026-01-01'` for a date).
    Type(Type),
    /// Any value: a computed column, a test.
    Any,
}

/// The typed meaning of a CEL text, or all its mistakes in order of place.
pub fn compile(text: &str, scope: &Scope) -> Result<Expr, Vec<Problem>> {
    compile_with_warnings(text, scope).map(|(expr, _)| expr)
}

/// The same, with what a person should look at although it is no mistake.
pub fn compile_with_warnings(text: &str, scope: &Scope) -> Result<(Expr, Vec<Problem>), Vec<Problem>> {
    let ast = parser::parse(text)?;
    let (expr, equalities) = check::check(&ast, scope)?;
    cost::check(&expr, scope.collections, ast.span).map_err(|problem| vec![problem])?;
    let warnings = identity::warnings(&expr, &equalities, scope.collections);
    Ok((expr, warnings))
}
