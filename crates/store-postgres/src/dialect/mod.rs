//! PostgreSQL's words. What its operators say differently from our expressions goes through the functions of `functions.sql`, which a
//! migration installs in the schema `undergird`; what neither can say is refused by name ([`Dialect::lacks`]), never computed otherwise.
//!
//! Forms of storage, decided here and in the schema: bool is `boolean`, int and duration (microseconds) `bigint`, float `double
//! precision`, decimal `numeric`, text `text` of the collation `"C"`, uuid `uuid`, timestamp `timestamptz`, date `date`, time `time`,
//! json `jsonb`, bytes `bytea`, a list an array of its elements. Every parameter is written with its type.
//!
//! Absent: any question about the session's settings: nothing here depends on its time zone, its collation or its search path.

mod calls;
mod compare;
mod convert;
mod list;
mod search;
#[cfg(test)]
mod tests;

use crate::types;
use undergird_model::expr::{Arithmetic, Comparison, Function, Node};
use undergird_model::{Expr, Kind, Type};
use undergird_store::sql::{Calls, Form, Operand, PatternWords};
use undergird_store::{Capability, Dialect, Planner};

/// PostgreSQL's dialect.
pub static DIALECT: Postgres = Postgres { walled: false };

/// The same behind a wall of policies: rules look at other rows by views. See [`crate::wall`].
pub(crate) static WALLED: Postgres = Postgres { walled: true };

/// The statements that make the functions which statements use, in the schema `undergird`. They replace what is there.
pub fn functions() -> &'static str {
    include_str!("functions.sql")
}

/// See [`DIALECT`].
#[derive(Debug)]
pub struct Postgres {
    walled: bool,
}

/// The type of a column or a parameter.
pub(crate) fn sql_type(ty: Type) -> String {
    match ty {
        Type::Scalar(kind) => scalar_type(kind).into(),
        Type::List(kind) => format!("{}[]", scalar_type(kind)),
        Type::Duration => "bigint".into(),
        Type::Null => "text".into(),
    }
}

fn scalar_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Int => "bigint",
        Kind::Float => "double precision",
        Kind::Decimal { .. } => "numeric",
        Kind::Text => "text",
        Kind::Uuid => "uuid",
        Kind::Timestamp => "timestamptz",
        Kind::Date => "date",
        Kind::Time => "time",
        Kind::Json => "jsonb",
        Kind::Bytes => "bytea",
    }
}

impl Postgres {
    /// A call, or what is lacking to compute it.
    fn call(&self, function: Function, arguments: &[Operand], result: Type) -> Result<String, &'static str> {
        use Function as F;
        let text = match (function, arguments) {
            (F::Contains, [text, part]) => format!("strpos({}, {}) > 0", text.text, part.text),
            (F::StartsWith, [text, part]) => format!("starts_with({}, {})", text.text, part.text),
            (F::EndsWith, [text, part]) => {
                format!("right({}, length({})) = {}", text.text, part.text, tight(part))
            }
            (F::Like, [text, pattern]) => format!("{} LIKE undergird.pattern({})", tight(text), pattern.text),
            // Known patterns go through `matches`.
            (F::Matches | F::MatchesInsensitive, _) => return Err("a regular expression that a row holds"),
            (F::LikeInsensitive, _) => return Err("a pattern without regard to case that a row holds"),
            (F::TextSize, [of]) => format!("length({})::bigint", of.text),
            (F::BytesSize, [of]) => format!("octet_length({})::bigint", of.text),
            (F::ListSize, [of]) => format!("cardinality({})::bigint", of.text),
            (F::JsonSize, [of]) => format!("undergird.j_size({})", of.text),
            (F::LowerAscii, [of]) => format!("lower({} COLLATE \"C\")", tight(of)),
            (F::UpperAscii, [of]) => format!("upper({} COLLATE \"C\")", tight(of)),
            (F::Trim, [of]) => format!("btrim({}, E'\\t\\n\\x0b\\x0c\\r ')", of.text),
            (F::Concatenate, [left, right]) => format!("{} || {}", tight(left), tight(right)),
            (F::JsonGet, [json, step]) if step.ty == Type::INT => {
                format!("undergird.j_at({}, {})", json.text, step.text)
            }
            // Null of all but objects.
            (F::JsonGet, [json, step]) => format!("{} -> {}", tight(json), tight(step)),
            (F::JsonGetText, [_, _]) => {
                let got = self.call(F::JsonGet, arguments, Type::JSON)?;
                collated(&format!("undergird.j_text({got})"))
            }
            (F::JsonPresent, [of]) => format!("coalesce(jsonb_typeof({}) <> 'null', FALSE)", of.text),
            (F::Covers, [whole, part]) => format!("{} @> {}", tight(whole), tight(part)),
            (F::Search { how, language }, [text, query]) => search::found(how, language, text, query),
            (F::Overlaps, [a, b]) => format!("{} && {}", tight(a), tight(b)),
            // Nothing stands at 0, nor beyond the end. No cast may fail, for the planner computes it of constants.
            (F::Element, [list, at]) => {
                format!("({})[least(greatest({}, -1), 2147483646)::int + 1]", list.text, at.text)
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

/// Text that is no column's, compared as columns are.
fn collated(text: &str) -> String {
    format!("({text} COLLATE \"C\")")
}

fn part(function: Function, of: &Operand) -> String {
    use Function as F;
    let text = tight(of);
    if of.ty == Type::Duration {
        return match function {
            F::Hours => format!("{text} / 3600000000"),
            F::Minutes => format!("{text} / 60000000"),
            F::Seconds => format!("{text} / 1000000"),
            _ => format!("{text} % 1000000 / 1000"),
        };
    }
    let at = match of.ty {
        Type::Scalar(Kind::Date) => format!("{text}::timestamp"),
        _ => format!("{text} AT TIME ZONE 'UTC'"),
    };
    let of = |what: &str| format!("extract({what} FROM {at})::bigint");
    match function {
        F::Year => of("year"),
        F::Month => format!("{} - 1", of("month")),
        F::Day => of("day"),
        F::DayOfMonth => format!("{} - 1", of("day")),
        F::DayOfWeek => of("dow"),
        F::DayOfYear => format!("{} - 1", of("doy")),
        F::Hours => of("hour"),
        F::Minutes => of("minute"),
        F::Seconds => format!("{} / 1000000", of("microseconds")),
        _ => format!("{} % 1000000 / 1000", of("microseconds")),
    }
}

impl Dialect for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn identifier(&self, name: &str) -> String {
        types::name(name)
    }

    fn view_of_rules(&self, table: &str) -> Option<String> {
        self.walled.then(|| types::name(&format!("{}{table}", crate::wall::VIEWS)))
    }

    fn parameter(&self, number: usize, ty: Type) -> String {
        let parameter = format!("${number}::{}", sql_type(ty));
        match ty {
            Type::TEXT | Type::List(Kind::Text) => collated(&parameter),
            _ => parameter,
        }
    }

    fn form(&self, ty: Type, storage: Option<&str>) -> Result<Form, String> {
        crate::adopt::form(ty, storage)
    }

    fn null(&self, ty: Type) -> String {
        match ty {
            Type::Null => "NULL".into(),
            ty => format!("NULL::{}", sql_type(ty)),
        }
    }

    fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::FullText | Capability::PlannedCounts | Capability::SqlFunctions => true,
        }
    }

    fn calls(&self) -> Option<&'static dyn Calls> {
        Some(&calls::CALLS)
    }

    fn planner(&self) -> Option<Planner> {
        Some(Planner { ask: "EXPLAIN ", before: " rows=" })
    }

    fn lacks(&self, expr: &Expr) -> Option<&'static str> {
        match &expr.node {
            Node::Call(function, arguments) => {
                let arguments: Vec<Operand> = arguments.iter().map(|argument| typed(argument.ty)).collect();
                self.call(*function, &arguments, expr.ty).err()
            }
            Node::Same(left, right) => compare::lacks(left.ty, right.ty, false),
            Node::Compare(comparison, left, right) => {
                let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
                compare::lacks(left.ty, right.ty, ordered)
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

    fn judges_again_by_old_rows(&self) -> bool {
        true
    }

    fn locked(&self, removes: bool) -> &'static str {
        // The weaker one leaves alone who only refers to the row.
        if removes { " FOR UPDATE" } else { " FOR NO KEY UPDATE" }
    }

    fn bool_literal(&self, value: bool) -> &'static str {
        if value { "TRUE" } else { "FALSE" }
    }

    fn same_operators(&self) -> (&'static str, Option<&'static str>) {
        ("IS NOT DISTINCT FROM", Some("IS DISTINCT FROM"))
    }

    fn indexes_same(&self) -> bool {
        false
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

    fn in_parameter(&self, item: &str, parameter: &str, _: Type) -> String {
        format!("{item} = ANY({parameter})")
    }

    fn in_rows(&self, columns: &[String], parameters: &[String], _: &[Type]) -> String {
        format!("({}) IN (SELECT * FROM unnest({}))", columns.join(", "), parameters.join(", "))
    }

    fn in_list(&self, item: &Operand, list: &Operand) -> String {
        list::contains(item, list)
    }

    fn elements(&self, list: &Operand, kind: Kind, alias: &str) -> (String, String) {
        list::elements(list, kind, alias)
    }

    fn list(&self, items: &[Operand], kind: Kind) -> String {
        list::made(items, kind)
    }

    fn arithmetic(&self, operator: Arithmetic, left: &Operand, right: &Operand, _: Type) -> String {
        use Arithmetic as A;
        let (a, b) = (tight(left), tight(right));
        let sign = if operator == A::Subtract { "-" } else { "+" };
        match (operator, left.ty, right.ty) {
            (A::Subtract, Type::TIMESTAMP, Type::TIMESTAMP) => {
                format!("undergird.micros({a}) - undergird.micros({b})")
            }
            (_, Type::TIMESTAMP, _) => format!("undergird.instant(undergird.micros({a})::numeric {sign} {b})"),
            (_, _, Type::TIMESTAMP) => format!("undergird.instant({a}::numeric + undergird.micros({b}))"),
            (_, Type::FLOAT, _) => {
                let name = match operator {
                    A::Add => "add",
                    A::Subtract => "subtract",
                    A::Multiply => "multiply",
                    A::Divide => "divide",
                    A::Remainder => "rest",
                };
                format!("undergird.f_{name}({a}, {b})")
            }
            (A::Divide, _, _) => format!("undergird.int(div({a}::numeric, nullif({b}, 0)))"),
            (A::Remainder, _, _) => format!("{a} % nullif({b}, 0)"),
            (A::Multiply, _, _) => format!("undergird.int({a}::numeric * {b})"),
            (A::Add | A::Subtract, _, _) => format!("undergird.int({a}::numeric {sign} {b})"),
        }
    }

    fn negate(&self, operand: &Operand) -> String {
        match operand.ty {
            Type::INT | Type::Duration => format!("undergird.int(-({})::numeric)", operand.text),
            // Not minus zero.
            Type::FLOAT => format!("0::double precision - {}", tight(operand)),
            _ => format!("-{}", tight(operand)),
        }
    }

    fn pattern_words(&self) -> Option<PatternWords> {
        Some(PatternWords::Advanced)
    }

    fn matches(&self, function: Function, text: &Operand, parameter: &str) -> String {
        match function {
            // Said plainly, so that an index serves a known beginning.
            Function::Like => format!("{} LIKE {parameter}", tight(text)),
            _ => format!("{} ~ {parameter}", tight(text)),
        }
    }

    fn function(&self, function: Function, arguments: &[Operand], result: Type) -> String {
        // What is lacking is noted by `lacks`, and the statement never run.
        self.call(function, arguments, result).unwrap_or_else(|_| self.null(result))
    }

    fn sum(&self, of: &Operand) -> String {
        match of.ty {
            Type::INT => format!("undergird.int(sum({}))", of.text),
            Type::Scalar(Kind::Decimal { scale, .. }) => format!("undergird.sum(sum({}), {scale})", of.text),
            _ => {
                let text = tight(of);
                format!(
                    "undergird.f_sum(sum({text}) FILTER (WHERE abs{text} < 1e290), \
                     array_agg({text}) FILTER (WHERE abs{text} >= 1e290))"
                )
            }
        }
    }

    fn average(&self, of: &Operand) -> String {
        match of.ty {
            Type::FLOAT => format!("undergird.f_divide({}, count({}))", self.sum(of), of.text),
            _ => format!("sum({0})::double precision / count({0})", of.text),
        }
    }

    fn extreme(&self, of: &Operand, greatest: bool) -> String {
        let name = if greatest { "max" } else { "min" };
        let text = &of.text;
        match of.ty {
            Type::BOOL => format!("bool_{}({text})", if greatest { "or" } else { "and" }),
            // Their texts have their order.
            Type::UUID => format!("{name}({}::text COLLATE \"C\")::uuid", tight(of)),
            Type::Scalar(Kind::Bytes) => format!("decode({name}(encode({text}, 'hex') COLLATE \"C\"), 'hex')"),
            _ => format!("{name}({text})"),
        }
    }

    fn order_keys(&self, by: &Operand) -> Vec<String> {
        let text = &by.text;
        match by.ty {
            Type::JSON => vec![
                format!("undergird.j_rank({text})"),
                format!("undergird.j_number({text})"),
                collated(&format!("undergird.j_text({text})")),
            ],
            _ => vec![text.clone()],
        }
    }

    fn nulls_are_smallest(&self) -> bool {
        false
    }

    fn no_limit(&self) -> Option<&'static str> {
        None
    }

    fn given_or_made(&self, parameter: String, table: &str, column: &str) -> String {
        let sequence = format!("pg_get_serial_sequence({}, {})", types::text(&types::name(table)), {
            types::text(&types::identifier(column))
        });
        format!("coalesce({parameter}, nextval({sequence}))")
    }

    fn default_row(&self) -> &'static str {
        "DEFAULT VALUES"
    }
}

/// An operand of a type, whatever it be: to ask whether something can be written.
fn typed(ty: Type) -> Operand {
    Operand { ty, text: String::new() }
}
