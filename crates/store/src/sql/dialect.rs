//! How a store's SQL differs: facts and small pieces of text. The writer has the control flow; a dialect has none.

use super::PatternWords;
use crate::Capability;
use undergird_model::expr::{Arithmetic, Comparison, Function};
use undergird_model::{Expr, Kind, Type};

/// A written operand and what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Its type.
    pub ty: Type,
    /// Its text, which needs no parentheses where it is an argument of a function.
    pub text: String,
}

/// How a column of an adopted table keeps its values: what is written around the column to have the value as expressions mean it,
/// and around a value to have what the column keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Before and after the column.
    pub read: (String, String),
    /// Before and after a value.
    pub write: (String, String),
    /// How far the column as it is compares with what columns of this form keep.
    pub bare: Bare,
}

/// What a column may be asked as it is, so that its indexes serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bare {
    /// Nothing.
    Never,
    /// Whether two values may be equal: those that are, are, and others with them (a collation without regard to case).
    Wider,
    /// Whether two values are equal.
    Equal,
    /// Which of two comes first, too.
    Ordered,
}

impl Form {
    /// Values are kept as they are meant.
    pub fn plain() -> Form {
        Form::around(("", ""), ("", ""), Bare::Ordered)
    }

    /// What stands around.
    pub fn around(read: (&str, &str), write: (&str, &str), bare: Bare) -> Form {
        let own = |(before, after): (&str, &str)| (before.to_owned(), after.to_owned());
        Form { read: own(read), write: own(write), bare }
    }

    /// The value of a column.
    pub fn value(&self, column: &str) -> String {
        format!("{}{column}{}", self.read.0, self.read.1)
    }

    /// What the column keeps of a value.
    pub fn kept(&self, value: &str) -> String {
        format!("{}{value}{}", self.write.0, self.write.1)
    }
}

/// How a planner is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planner {
    /// What is written before the statement; the answer's first row is then one text: `EXPLAIN `.
    pub ask: &'static str,
    /// What stands before the number in that text, where it stands last: ` rows=`.
    pub before: &'static str,
}

impl Planner {
    /// The number of rows in the planner's answer.
    pub fn rows(&self, answer: &str) -> Option<u64> {
        let (_, rest) = answer.rsplit_once(self.before)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    }
}

/// How a store's functions are called.
pub trait Calls: Send + Sync {
    /// A parameter whose type the function's own argument decides.
    fn argument(&self, number: usize) -> String;

    /// `"schema"."name"("argument" => $1)`, of quoted names and written parameters.
    fn call(&self, function: &str, arguments: &[(String, String)]) -> String;

    /// All rows, or all values, that an expression stands for, as one text.
    fn gathered(&self, each: &str) -> String;

    /// What to select from to have them back one by one, from the parameter that holds that text: rows of a table, by its quoted name,
    /// or values of a type.
    fn scattered(&self, parameter: &str, of: Scattered<'_>) -> String;
}

/// What a text of gathered rows or values holds.
#[derive(Clone, Copy, Debug)]
pub enum Scattered<'a> {
    /// Rows of the table of this quoted name.
    Rows(&'a str),
    /// Values of this type.
    Values(Type),
}

/// How a store's SQL differs: facts and small pieces of text, no control flow.
pub trait Dialect: Send + Sync {
    /// `sqlite`, for messages.
    fn name(&self) -> &'static str;

    /// A name from the model as an identifier, quoted whatever it is.
    fn identifier(&self, name: &str) -> String;

    /// The parameter with a number, counted from 1. Where parameters are [positional](Dialect::is_positional) it is written with
    /// [`marker`](super::marker).
    fn parameter(&self, number: usize, ty: Type) -> String;

    /// Whether parameters are `?` and bound in the order of the text, one value for each occurrence.
    fn is_positional(&self) -> bool {
        false
    }

    /// Whether a write gives the keys of what it wrote (`RETURNING`). Where it does not, keys are found first and locked, rows are
    /// changed by them in the words of MySQL's multi-table statements, and the driver tells the identity that it made.
    fn has_returning(&self) -> bool {
        true
    }

    /// Whether a change that had to wait for its row judges it again by that row as it has become and by all others as they were before
    /// (PostgreSQL, at `READ COMMITTED`). A rule that leads to other rows is then not kept by the change alone: the rows are found
    /// and locked first, and changed in a statement that begins afterwards.
    fn judges_again_by_old_rows(&self) -> bool {
        false
    }

    /// What locks the rows of a `SELECT` against being changed, or against being removed and referred to.
    fn locked(&self, removes: bool) -> &'static str {
        let _ = removes;
        " FOR UPDATE"
    }

    /// Which capability the store lacks to compute this node as expressions mean it; `None`: it lacks none. A statement that needs
    /// it is refused by that name, never run. Asked of each node that is not bound as a constant.
    fn lacks(&self, expr: &Expr) -> Option<&'static str> {
        let _ = expr;
        None
    }

    /// Whether the store has what not all have.
    fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::FullText | Capability::SqlFunctions => false,
            Capability::PlannedCounts => self.planner().is_some(),
        }
    }

    /// How the store's planner is asked for its guess of how many rows a statement gives. `None`: rows are counted.
    fn planner(&self) -> Option<Planner> {
        None
    }

    /// How a column of an adopted table keeps a type. The word is the field's `storage`; without it, what is usual there.
    ///
    /// # Errors
    /// A sentence: the store knows no such form of the type.
    fn form(&self, ty: Type, storage: Option<&str>) -> Result<Form, String> {
        match storage {
            None => Ok(Form::plain()),
            Some(word) => Err(format!("{} keeps no {ty} as \"{word}\"", self.name())),
        }
    }

    /// How functions of the database are called, where the store has [`Capability::SqlFunctions`].
    fn calls(&self) -> Option<&'static dyn Calls> {
        None
    }

    /// The view, as an identifier, that shows what rules look at in other rows of a table past the wall around it (see
    /// [`wall`](super::wall())). `None`: there is no wall.
    fn view_of_rules(&self, table: &str) -> Option<String> {
        let _ = table;
        None
    }

    /// Null, as a value of a type.
    fn null(&self, ty: Type) -> String {
        let _ = ty;
        "NULL".into()
    }

    /// `true` and `false`.
    fn bool_literal(&self, value: bool) -> &'static str;

    /// Null-safe equality and its contrary, as operators. Without the latter, `NOT (… = …)` is written.
    fn same_operators(&self) -> (&'static str, Option<&'static str>);

    /// Whether an index serves null-safe equality. Where none does, it is written as `a = b OR a IS NULL AND b IS NULL` in a condition.
    fn indexes_same(&self) -> bool {
        true
    }

    /// Whether the store's own operators compare values of these two types as expressions do, null apart.
    fn compares(&self, left: Type, right: Type) -> bool;

    /// A comparison that the store's operators cannot do. Never null: false where an operand is null.
    fn compare(&self, comparison: Comparison, left: &Operand, right: &Operand) -> String;

    /// Null-safe equality that the store's operators cannot do. Never null.
    fn same(&self, left: &Operand, right: &Operand) -> String;

    /// Whether `item` is in the list that a parameter holds as one, of elements of a type. Served by an index.
    fn in_parameter(&self, item: &str, parameter: &str, element: Type) -> String;

    /// Whether the columns, of these types, are, together, one of the rows whose columns are in these parameters, by position.
    fn in_rows(&self, columns: &[String], parameters: &[String], types: &[Type]) -> String;

    /// Whether keys of several columns are one parameter, a list of rows, and not one list for each column: so [`Dialect::in_rows`] is
    /// given one.
    fn keys_come_as_rows(&self) -> bool {
        false
    }

    /// Whether `item` is in a list, or in JSON, that is an expression. Never null.
    fn in_list(&self, item: &Operand, list: &Operand) -> String;

    /// What to select from to have the elements of a list (or a JSON array) one by one, under an alias, and what an element is then.
    fn elements(&self, list: &Operand, kind: Kind, alias: &str) -> (String, String);

    /// A list of expressions as one value; nulls are left out.
    fn list(&self, items: &[Operand], kind: Kind) -> String;

    /// Arithmetic; null where it overflows.
    fn arithmetic(&self, operator: Arithmetic, left: &Operand, right: &Operand, result: Type) -> String;

    /// Minus.
    fn negate(&self, operand: &Operand) -> String;

    /// In whose words patterns are bound that are known by then; `None`: as they are, and [`Dialect::function`] writes what takes them.
    fn pattern_words(&self) -> Option<PatternWords> {
        None
    }

    /// A function of text and of a parameter that holds its pattern in the [words of the store](Dialect::pattern_words).
    fn matches(&self, function: Function, text: &Operand, parameter: &str) -> String {
        let pattern = Operand { ty: Type::TEXT, text: parameter.to_owned() };
        self.function(function, &[text.clone(), pattern], Type::BOOL)
    }

    /// A function on scalars.
    fn function(&self, function: Function, arguments: &[Operand], result: Type) -> String;

    /// A sum that is null over nothing and where it overflows.
    fn sum(&self, of: &Operand) -> String;

    /// A mean as a float.
    fn average(&self, of: &Operand) -> String;

    /// The least or the greatest, in the order in which expressions compare.
    fn extreme(&self, of: &Operand, greatest: bool) -> String {
        format!("{}({})", if greatest { "max" } else { "min" }, of.text)
    }

    /// Expressions by which the store orders, one after the other, as expressions compare. Nulls are placed by the first.
    fn order_keys(&self, by: &Operand) -> Vec<String>;

    /// Whether nulls count as smaller than all else when nothing is said.
    fn nulls_are_smallest(&self) -> bool;

    /// Whether `NULLS FIRST` and `NULLS LAST` can be said; else it is ordered by `… IS NULL` before.
    fn says_where_nulls_go(&self) -> bool {
        true
    }

    /// What stands for "no limit" where an offset needs a limit before it. `None`: an offset may stand alone.
    fn no_limit(&self) -> Option<&'static str>;

    /// A condition that most rows pass, said so that the planner does not take it for a reason to leave the order of the answer.
    fn likely(&self, condition: String) -> String {
        condition
    }

    /// What goes into an identity's column: the number that the parameter holds, or the next one where it is null.
    fn given_or_made(&self, parameter: String, table: &str, column: &str) -> String {
        let _ = (table, column);
        parameter
    }

    /// An insert that names no columns.
    fn default_row(&self) -> &'static str;
}
