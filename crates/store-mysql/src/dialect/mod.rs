//! MySQL's and MariaDB's words. What their operators say differently from our expressions goes through the stored functions of
//! [`functions()`], which a migration installs; what neither can say is refused by name ([`Dialect::lacks`]), never computed otherwise.
//!
//! Forms of storage, decided here and in the schema: bool is `tinyint(1)`, int and duration (microseconds) `bigint`, float `double`,
//! decimal `decimal`, text `utf8mb4` of a binary collation without padding, uuid `binary(16)`, timestamp `datetime(6)` in UTC, date
//! `date`, time `time(6)`, json `longtext` in its canonical form, bytes `longblob`, a list `longtext`: compact JSON in wire form.
//!
//! A session must speak UTF-8 in [`Mysql::collation`], with the modes `NO_BACKSLASH_ESCAPES`, `NO_UNSIGNED_SUBTRACTION` and
//! `NO_AUTO_VALUE_ON_ZERO`, and count found rows: with other settings the same text means something else.
//! Run on MariaDB 10.11 alone; what differs on MySQL 8 stands in [`Flavor`] and is untested.
//!
//! Absent: regular expressions, and `ILIKE`, whose pattern is only known row by row; patterns that are known are translated when they
//! are bound.

mod compare;
mod convert;
mod functions;
mod list;
#[cfg(test)]
mod tests;

pub use functions::{BEYOND, functions};

use undergird_model::expr::{Arithmetic, Comparison, Function, Node};
use undergird_model::{Expr, Kind, Type};
use undergird_store::Dialect;
use undergird_store::sql::{Form, Operand, PatternWords, marker};

/// MariaDB's dialect.
pub static DIALECT: Mysql = Mysql { flavor: Flavor::MariaDb };

/// MariaDB 10.6's dialect. Untested as a whole: no such server was at hand.
pub static MARIADB_10_6: Mysql = Mysql { flavor: Flavor::MariaDb106 };

/// MySQL 8's dialect. Untested: no such server was at hand.
pub static MYSQL_8: Mysql = Mysql { flavor: Flavor::Mysql8 };

/// Which of them it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// MariaDB 10.7 or later.
    MariaDb,
    /// MariaDB 10.6. It has not `JSON_NORMALIZE` (<https://mariadb.com/kb/en/json_normalize>): JSON is not compared with JSON.
    MariaDb106,
    /// MySQL 8.0.21 or later. It has not `JSON_COMPACT` and `JSON_NORMALIZE`: what looks into JSON is refused, and JSON is not
    /// compared with JSON.
    Mysql8,
}

/// See [`DIALECT`].
#[derive(Debug)]
pub struct Mysql {
    /// Which of them it is.
    pub flavor: Flavor,
}

impl Mysql {
    /// The collation of all text: by code point, case-sensitive, `'a' <> 'a '`.
    pub fn collation(&self) -> &'static str {
        match self.flavor {
            Flavor::MariaDb | Flavor::MariaDb106 => "utf8mb4_nopad_bin",
            Flavor::Mysql8 => "utf8mb4_0900_bin",
        }
    }

    /// The statements that install the stored functions, in order.
    pub fn functions(&self) -> Vec<String> {
        functions(self.collation())
    }

    /// What is lacking to compare values of these types.
    fn lacks_comparison(&self, left: Type, right: Type, ordered: bool) -> Option<&'static str> {
        match (left, right, self.flavor) {
            (Type::JSON, Type::JSON, Flavor::MariaDb106 | Flavor::Mysql8) => Some("comparison of JSON with JSON"),
            _ => compare::lacks(left, right, ordered),
        }
    }

    /// A call, or what is lacking to compute it.
    fn call(&self, function: Function, arguments: &[Operand], result: Type) -> Result<String, &'static str> {
        use Function as F;
        let needs_json = matches!(
            function,
            F::JsonGet | F::JsonGetText | F::JsonSize | F::Covers | F::Overlaps | F::Element | F::ListSize
        );
        // Its engine has no patterns within themselves.
        let reads_json =
            function == F::Cast && result == Type::JSON && arguments.first().is_some_and(|of| of.ty == Type::TEXT);
        if (needs_json || reads_json) && self.flavor == Flavor::Mysql8 {
            return Err("a look into JSON");
        }
        let text = match (function, arguments) {
            (F::Contains, [text, part]) => format!("LOCATE({}, {}) > 0", part.text, text.text),
            (F::StartsWith, [text, part]) => format!("LOCATE({}, {}) = 1", part.text, text.text),
            (F::EndsWith, [text, part]) => format!("LOCATE(REVERSE({}), REVERSE({})) = 1", part.text, text.text),
            (F::Like, [text, pattern]) => format!("({}) LIKE ug_pattern({}) ESCAPE '\\'", text.text, pattern.text),
            // Known patterns go through `matches`.
            (F::Matches | F::MatchesInsensitive, _) => return Err("a regular expression that a row holds"),
            (F::LikeInsensitive, _) => return Err("a pattern without regard to case that a row holds"),
            (F::TextSize, [of]) => format!("CHAR_LENGTH({})", of.text),
            (F::BytesSize, [of]) => format!("LENGTH({})", of.text),
            (F::ListSize, [of]) => format!("JSON_LENGTH({})", of.text),
            (F::JsonSize, [of]) => format!("ug_j_size({})", of.text),
            (F::LowerAscii, [of]) => each_letter(&of.text, |letter| (letter.to_ascii_uppercase(), letter)),
            (F::UpperAscii, [of]) => each_letter(&of.text, |letter| (letter, letter.to_ascii_uppercase())),
            (F::Trim, [of]) => {
                format!("REGEXP_REPLACE({}, '\\A[\\x09-\\x0d ]+|[\\x09-\\x0d ]+\\z', '')", of.text)
            }
            (F::Concatenate, [left, right]) => format!("CONCAT({}, {})", left.text, right.text),
            (F::JsonGet, [json, step]) if step.ty == Type::INT => format!("ug_j_at({}, {})", json.text, step.text),
            (F::JsonGet, [json, step]) => format!("ug_j_key({}, {})", json.text, step.text),
            (F::JsonGetText, [_, _]) => {
                let got = self.call(F::JsonGet, arguments, Type::JSON)?;
                format!("ug_j_text({got})")
            }
            (F::JsonPresent, [of]) => format!("COALESCE({} <> 'null', FALSE)", tight(of)),
            (F::Covers, [whole, part]) if whole.ty == Type::JSON => {
                format!("ug_j_covers({}, {})", whole.text, part.text)
            }
            (F::Covers, [whole, part]) => format!("ug_l_covers({}, {})", whole.text, part.text),
            (F::Overlaps, [a, b]) => format!("ug_l_overlaps({}, {})", a.text, b.text),
            (F::Element, [list, at]) => {
                let Type::List(kind) = list.ty else { return Err("an element of what is no list") };
                list::element(kind, &format!("ug_l_item({}, {})", list.text, at.text))
            }
            (
                F::Year
                | F::Month
                | F::Day
                | F::DayOfMonth
                | F::DayOfWeek
                | F::DayOfYear
                | F::Hours
                | F::Minutes
                | F::Seconds
                | F::Milliseconds,
                [of],
            ) => part(function, of),
            (
                F::ToInt | F::ToFloat | F::ToText | F::ToTimestamp | F::ToDate | F::ToDuration | F::ToUuid | F::ToBool,
                [of],
            ) => convert::conversion(function, of)?,
            (F::Cast, [of]) => convert::cast(of, result)?,
            _ => return Err("a function of other arguments"),
        };
        Ok(text)
    }
}

/// An operand in parentheses, for an operator.
fn tight(operand: &Operand) -> String {
    format!("({})", operand.text)
}

/// Letters replaced one by one: the built-in `LOWER` and `UPPER` know more letters than ASCII's.
fn each_letter(text: &str, pair: impl Fn(char) -> (char, char)) -> String {
    let mut out = text.to_owned();
    for letter in 'a'..='z' {
        let (from, to) = pair(letter);
        out = format!("REPLACE({out}, '{from}', '{to}')");
    }
    out
}

fn part(function: Function, of: &Operand) -> String {
    use Function as F;
    let text = &of.text;
    match (of.ty, function) {
        (Type::Duration, F::Hours) => format!("({text}) DIV 3600000000"),
        (Type::Duration, F::Minutes) => format!("({text}) DIV 60000000"),
        (Type::Duration, F::Seconds) => format!("({text}) DIV 1000000"),
        (Type::Duration, _) => format!("(({text}) % 1000000) DIV 1000"),
        (_, F::Year) => format!("YEAR({text})"),
        (_, F::Month) => format!("MONTH({text}) - 1"),
        (_, F::Day) => format!("DAYOFMONTH({text})"),
        (_, F::DayOfMonth) => format!("DAYOFMONTH({text}) - 1"),
        (_, F::DayOfWeek) => format!("DAYOFWEEK({text}) - 1"),
        (_, F::DayOfYear) => format!("DAYOFYEAR({text}) - 1"),
        (_, F::Hours) => format!("HOUR(CAST({text} AS DATETIME(6)))"),
        (_, F::Minutes) => format!("MINUTE(CAST({text} AS DATETIME(6)))"),
        (_, F::Seconds) => format!("SECOND(CAST({text} AS DATETIME(6)))"),
        (_, _) => format!("MICROSECOND(CAST({text} AS DATETIME(6))) DIV 1000"),
    }
}

/// Microseconds since 1970 of an instant.
fn micros(instant: &str) -> String {
    format!("TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {instant})")
}

impl Dialect for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn identifier(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn parameter(&self, number: usize, ty: Type) -> String {
        let marker = marker(number);
        match ty {
            // Drivers send these as text or octets, which are compared by other rules.
            Type::Scalar(Kind::Decimal { scale, .. }) => format!("CAST({marker} AS DECIMAL(38,{scale}))"),
            Type::Scalar(Kind::Uuid) => format!("CAST({marker} AS BINARY(16))"),
            Type::Scalar(Kind::Bytes) => format!("CAST({marker} AS BINARY)"),
            Type::Scalar(Kind::Timestamp) => format!("CAST({marker} AS DATETIME(6))"),
            Type::Scalar(Kind::Date) => format!("CAST({marker} AS DATE)"),
            Type::Scalar(Kind::Time) => format!("CAST({marker} AS TIME(6))"),
            Type::Null
            | Type::Duration
            | Type::List(_)
            | Type::Scalar(Kind::Bool | Kind::Int | Kind::Float | Kind::Text | Kind::Json) => marker,
        }
    }

    fn form(&self, ty: Type, storage: Option<&str>) -> Result<Form, String> {
        crate::adopt::form(self.collation(), ty, storage)
    }

    fn is_positional(&self) -> bool {
        true
    }

    fn has_returning(&self) -> bool {
        false
    }

    fn lacks(&self, expr: &Expr) -> Option<&'static str> {
        match &expr.node {
            Node::Call(function, arguments) => {
                let arguments: Vec<Operand> = arguments.iter().map(|argument| typed(argument.ty)).collect();
                self.call(*function, &arguments, expr.ty).err()
            }
            Node::Same(left, right) => self.lacks_comparison(left.ty, right.ty, false),
            Node::Compare(comparison, left, right) => {
                let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
                self.lacks_comparison(left.ty, right.ty, ordered)
            }
            Node::If(parts) => {
                // Ways of other types are brought to the whole's.
                let brought = |way: &Expr| match way.ty != expr.ty && way.ty.is_number() && expr.ty.is_number() {
                    true => self.call(Function::Cast, &[typed(way.ty)], expr.ty).err(),
                    false => None,
                };
                brought(&parts[1]).or_else(|| brought(&parts[2]))
            }
            _ => None,
        }
    }

    fn bool_literal(&self, value: bool) -> &'static str {
        if value { "TRUE" } else { "FALSE" }
    }

    fn same_operators(&self) -> (&'static str, Option<&'static str>) {
        ("<=>", None)
    }

    fn compares(&self, left: Type, right: Type) -> bool {
        compare::by_operators(left, right)
    }

    fn compare(&self, comparison: Comparison, left: &Operand, right: &Operand) -> String {
        compare::compare(comparison, left, right)
    }

    fn same(&self, left: &Operand, right: &Operand) -> String {
        compare::same(left, right)
    }

    fn in_parameter(&self, item: &str, parameter: &str, element: Type) -> String {
        let (column, value) = list::stored_column(self.collation(), element, ("v", "$"), "k");
        format!("{item} IN (SELECT {value} FROM JSON_TABLE({parameter}, '$[*]' COLUMNS({column})) AS k)")
    }

    fn in_rows(&self, columns: &[String], parameters: &[String], types: &[Type]) -> String {
        let [rows] = parameters else { return "FALSE".into() };
        let (declared, values): (Vec<String>, Vec<String>) = types
            .iter()
            .enumerate()
            .map(|(at, ty)| list::stored_column(self.collation(), *ty, (&format!("v{at}"), &format!("$[{at}]")), "k"))
            .unzip();
        format!(
            "({}) IN (SELECT {} FROM JSON_TABLE({rows}, '$[*]' COLUMNS({})) AS k)",
            columns.join(", "),
            values.join(", "),
            declared.join(", ")
        )
    }

    /// Put together by position, lists of columns would be compared each with each.
    fn keys_come_as_rows(&self) -> bool {
        true
    }

    fn in_list(&self, item: &Operand, list: &Operand) -> String {
        list::contains(self.collation(), item, list)
    }

    fn elements(&self, list: &Operand, kind: Kind, alias: &str) -> (String, String) {
        list::elements(self.collation(), list, kind, alias)
    }

    fn list(&self, items: &[Operand], kind: Kind) -> String {
        list::made(items, kind)
    }

    fn arithmetic(&self, operator: Arithmetic, left: &Operand, right: &Operand, _: Type) -> String {
        use Arithmetic as A;
        let (a, b) = (&left.text, &right.text);
        let sign = if operator == A::Subtract { "-" } else { "+" };
        match (operator, left.ty, right.ty) {
            (A::Subtract, Type::TIMESTAMP, Type::TIMESTAMP) => format!("TIMESTAMPDIFF(MICROSECOND, {b}, {a})"),
            (_, Type::TIMESTAMP, _) => {
                format!("ug_instant({} {sign} CAST({b} AS DECIMAL(20,0)))", micros(a))
            }
            (_, _, Type::TIMESTAMP) => format!("ug_instant(CAST({a} AS DECIMAL(20,0)) + {})", micros(b)),
            (_, Type::FLOAT, _) => {
                let name = match operator {
                    A::Add => "add",
                    A::Subtract => "subtract",
                    A::Multiply => "multiply",
                    A::Divide => "divide",
                    A::Remainder => "rest",
                };
                format!("ug_f_{name}({a}, {b})")
            }
            (A::Divide, _, _) => format!("ug_div({a}, {b})"),
            (A::Remainder, _, _) => format!("ug_mod({a}, {b})"),
            (A::Multiply, _, _) => format!("ug_int(CAST({a} AS DECIMAL(20,0)) * CAST({b} AS DECIMAL(20,0)))"),
            (A::Add | A::Subtract, _, _) => {
                format!("ug_int(CAST({a} AS DECIMAL(20,0)) {sign} CAST({b} AS DECIMAL(20,0)))")
            }
        }
    }

    fn negate(&self, operand: &Operand) -> String {
        match operand.ty {
            Type::INT | Type::Duration => format!("ug_int(-CAST({} AS DECIMAL(20,0)))", operand.text),
            _ => format!("-({})", operand.text),
        }
    }

    fn pattern_words(&self) -> Option<PatternWords> {
        Some(PatternWords::Perl)
    }

    fn matches(&self, function: Function, text: &Operand, parameter: &str) -> String {
        match function {
            // Said plainly, so that an index serves a known beginning.
            Function::Like => format!("{} LIKE {parameter} ESCAPE '\\'", tight(text)),
            _ => format!("ug_matches({}, {parameter})", text.text),
        }
    }

    fn function(&self, function: Function, arguments: &[Operand], result: Type) -> String {
        // What is lacking is noted by `lacks`, and the statement never run.
        self.call(function, arguments, result).unwrap_or_else(|_| "NULL".into())
    }

    fn sum(&self, of: &Operand) -> String {
        match of.ty {
            Type::INT => format!("ug_int(SUM({}))", of.text),
            Type::Scalar(Kind::Decimal { scale, .. }) => {
                format!("CAST(ug_sum(SUM({}), {scale}) AS DECIMAL(38,{scale}))", of.text)
            }
            _ => format!("SUM({})", of.text),
        }
    }

    fn average(&self, of: &Operand) -> String {
        format!("CAST(SUM({0}) AS DOUBLE) / COUNT({0})", of.text)
    }

    fn order_keys(&self, by: &Operand) -> Vec<String> {
        match by.ty {
            Type::JSON => vec![
                format!("ug_j_rank({})", by.text),
                format!("ug_f_of(ug_j_number({}))", by.text),
                format!("COALESCE(ug_j_string({0}), {0})", by.text),
            ],
            _ => vec![by.text.clone()],
        }
    }

    fn nulls_are_smallest(&self) -> bool {
        true
    }

    fn says_where_nulls_go(&self) -> bool {
        false
    }

    fn no_limit(&self) -> Option<&'static str> {
        Some("18446744073709551615")
    }

    fn default_row(&self) -> &'static str {
        "() VALUES ()"
    }
}

/// An operand of a type, whatever it be: to ask whether something can be written.
fn typed(ty: Type) -> Operand {
    Operand { ty, text: String::new() }
}
