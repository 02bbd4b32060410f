//! Plan to SQL text. No connection, no clock: a wrong statement is a failing text comparison.

mod call;
mod dialect;
mod expr;
pub mod pattern;
mod read;
mod rules;
mod wall;
mod write;

pub use call::uncallable;
pub use dialect::{Bare, Calls, Dialect, Form, Operand, Planner, Scattered};
pub use expr::is_constant;
pub use pattern::PatternWords;
pub use rules::{lacking, unknown_forms};
pub use wall::{Policy, View, Wall, wall};

use undergird_model::expr::{AuthFact, Function, Slot};
use undergird_model::{Expr, Model, Type, Value};
use undergird_plan::Shape;

/// One statement: text with numbered parameters, what they are bound to, and the types of what it selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text. Values never occur in it.
    pub text: String,
    /// What each parameter is bound to, in order.
    pub binds: Vec<(Type, Bind)>,
    /// The types of the selected columns, by position.
    pub columns: Vec<Type>,
    /// Whether it changes anything.
    pub writes: bool,
    /// Whether its one row is not of a result: it is the identity that the database made, which the driver tells.
    pub identity: bool,
    /// What the store would need to compute it as expressions mean it, and has not. Such a statement is never run.
    pub lacks: Option<&'static str>,
}

/// The place of a parameter in a text whose parameters are positional, until the text is complete: `?`, the number between two
/// characters that no identifier and no literal has.
pub fn marker(number: usize) -> String {
    format!("\0{number}\0")
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    /// The request's values.
    Slot(Slot),
    /// A list among the request's values, bound as one parameter.
    SlotList(Slot),
    /// The current input row.
    Input(u16),
    /// A constant of the plan.
    Literal(Value),
    /// A fact about the caller.
    Auth(AuthFact),
    /// The time of the request.
    Now,
    /// An expression of constants, evaluated in memory when bound (`now - duration('1h')`).
    Computed(Expr),
    /// A pattern of a function, or a list of such, an expression of constants, in the store's words: [`pattern::translated`]. Null
    /// where that gives none.
    Pattern(Function, PatternWords, Box<Expr>),
    /// The n-th column of the parent's keys, as a list, bound as one parameter (one parameter per link column; several columns
    /// are matched by position).
    Keys(usize),
    /// The parent's keys, a list of rows ([`Value::List`]), bound as one parameter: where
    /// [keys come as rows](Dialect::keys_come_as_rows).
    KeyRows,
}

/// All statements of a shape.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "made once per shape and kept behind an Arc")]
pub enum Statements {
    /// Of a read.
    Read(ReadStatements),
    /// Of a write.
    Write(WriteStatements),
}

/// One per node of the read, and the count.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadStatements {
    /// The call of a function that may change something, so that it is called once, whatever is asked of its rows: it gives them all as
    /// one text, which the others find as [`Bind::Input`] 0.
    pub call: Option<Statement>,
    /// By node.
    pub nodes: Vec<Statement>,
    /// How many rows there are in all.
    pub count: Option<Statement>,
    /// How many rows the planner guesses, where that is asked for and the store has such a planner. Asked before they are counted.
    pub estimate: Option<(Planner, Statement)>,
    /// Whether a store may not rely on knowing all commits: the application has adopted tables, which others write to, or the answer may be
    /// kept.
    pub shared: bool,
}

/// In the order in which they run.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteStatements {
    /// Update, delete: the first row within the filter that fails a guard, one bool column per guard. Runs before.
    pub guard: Option<Statement>,
    /// Upsert: the key of the row that is there already, one bool per guard, and what is noted of it
    /// ([`undergird_plan::shape::Again`]).
    pub lookup: Option<Statement>,
    /// Update: the keys that the rows within filter and guards will have, and what is noted of each. Runs before the change.
    pub noted: Option<Statement>,
    /// Delete with a representation: the keys that will go. Where a change gives no keys, or must not wait for its rows: those of the
    /// rows that it will change, which are locked, and after them the keys that they will have, where it changes keys. The change
    /// then goes by [`Bind::Keys`] and gives none.
    pub keys: Option<Statement>,
    /// Insert: one bool per guard, of the input row as it would become. Runs when the row cannot be made after all, so that whoever
    /// may not make it does not learn why it could not be made; and before a duplicate is ignored. Gives no row when all hold.
    pub before: Option<Statement>,
    /// The change. Gives the written keys (`RETURNING`, or [`Statement::identity`]) where they cannot be known before.
    pub main: Statement,
    /// Upsert: the change of the row that is there already.
    pub update: Option<Statement>,
    /// Insert: those of the made rows (by [`Bind::Keys`]) that fail a guard: one bool column per guard, then the key. Runs after.
    pub after: Option<Statement>,
    /// Update, upsert: the same of the changed rows, where a rule may lead to others of them. Its input is what was noted.
    pub again: Option<Statement>,
    /// The representation.
    pub returning: Option<ReadStatements>,
}

impl Statements {
    /// How long their texts are, all together: what keeping them takes grows with it.
    pub fn octets(&self) -> usize {
        let read = |read: &ReadStatements| {
            let estimate = read.estimate.as_ref().map(|(_, statement)| statement);
            read.call
                .iter()
                .chain(&read.nodes)
                .chain(&read.count)
                .chain(estimate)
                .map(|one| one.text.len())
                .sum::<usize>()
        };
        match self {
            Statements::Read(statements) => read(statements),
            Statements::Write(write) => {
                let others = [&write.guard, &write.lookup, &write.noted, &write.keys, &write.before, &write.update];
                let others = others.into_iter().chain([&write.after, &write.again]);
                let others = others.flatten().map(|one| one.text.len()).sum::<usize>();
                write.main.text.len() + others + write.returning.as_ref().map_or(0, read)
            }
        }
    }
}

/// A statement about a whole table, of no plan: for copying one database into another. `text` is given the parameters of its numbers,
/// which are bound to [`Bind::Input`]s of these types, in order.
pub fn about_table(
    dialect: &dyn Dialect,
    parameters: &[Type],
    columns: Vec<Type>,
    writes: bool,
    text: impl FnOnce(&dyn Fn(usize) -> String) -> String,
) -> Statement {
    let text = text(&|at| parameters.get(at).map_or_else(String::new, |ty| dialect.parameter(at + 1, *ty)));
    let input = |(at, ty): (usize, &Type)| (*ty, Bind::Input(u16::try_from(at).unwrap_or(u16::MAX)));
    let binds: Vec<(Type, Bind)> = parameters.iter().enumerate().map(input).collect();
    let (text, binds) = if dialect.is_positional() { expr::in_order_of_text(&text, &binds) } else { (text, binds) };
    Statement { text, binds, columns, writes, identity: false, lacks: None }
}

/// Writes the statements of a shape.
pub fn write(model: &Model, shape: &Shape, dialect: &dyn Dialect) -> Statements {
    match shape {
        Shape::Read(read) => Statements::Read(read::write_read(model, read, dialect)),
        Shape::Write(write) => Statements::Write(write::write_write(model, write, dialect)),
    }
}
