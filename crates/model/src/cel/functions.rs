//! Functions, methods and macros.

use super::Problem;
use super::ast::{Ast, Ident, Macro};
use super::check::{Checker, Meaning, Place, Root, Rows, Typed, plain};
use super::literal;
use super::operators::number_hint;
use super::parser::RESERVED;
use crate::diagnostic::Span;
use crate::expr::{Expr, Function, Node};
use crate::value::{Kind, Type, Value};

/// Called as `name(…)`.
pub(super) const FUNCTIONS: &[&str] =
    &["size", "has", "int", "double", "string", "bool", "timestamp", "duration", "date", "uuid", "matches"];

/// Called as `value.name(…)`.
pub(super) const METHODS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lowerAscii",
    "upperAscii",
    "trim",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "exists",
    "all",
    "exists_one",
    "filter",
];

/// What other languages call them.
const ALIASES: &[(&str, &str)] = &[
    ("includes", "contains"),
    ("has", "contains"),
    ("length", "size"),
    ("len", "size"),
    ("count", "size"),
    ("lower", "lowerAscii"),
    ("toLowerCase", "lowerAscii"),
    ("upper", "upperAscii"),
    ("toUpperCase", "upperAscii"),
    ("strip", "trim"),
    ("starts_with", "startsWith"),
    ("ends_with", "endsWith"),
    ("like", "matches"),
    ("regex", "matches"),
    ("any", "exists"),
    ("some", "exists"),
    ("every", "all"),
    ("existsOne", "exists_one"),
    ("getYear", "getFullYear"),
    ("float", "double"),
    ("number", "double"),
    ("str", "string"),
    ("text", "string"),
    ("datetime", "timestamp"),
    ("interval", "duration"),
];

/// Parts of CEL and its extensions that rules do not have.
const ABSENT: &[&str] = &[
    "type",
    "dyn",
    "bytes",
    "uint",
    "map",
    "format",
    "split",
    "join",
    "replace",
    "substring",
    "indexOf",
    "lastIndexOf",
    "charAt",
    "reverse",
    "quote",
    "sort",
    "sortBy",
    "distinct",
    "flatten",
    "slice",
    "range",
    "first",
    "last",
    "opt",
    "optMap",
    "orValue",
    "value",
    "hasValue",
];

/// Longest literal regular expression, in characters; evaluation takes longer ones for malformed.
pub const PATTERN_CHARS_MAX: usize = 2_000;
/// A regular expression larger than this, compiled, is refused.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;

impl<'a> Checker<'a> {
    /// `function(arguments)`
    pub(super) fn call(&mut self, span: Span, function: &Ident, arguments: &[Ast]) -> Option<Meaning<'a>> {
        let name = function.text.as_str();
        if !FUNCTIONS.contains(&name) {
            return self.unknown_function(function, FUNCTIONS, arguments);
        }
        let expected = if name == "matches" { 2 } else { 1 };
        if arguments.len() != expected {
            return self.wrong_arguments(span, name, expected, arguments);
        }
        let first = &arguments[0];
        let expr = match name {
            "size" => {
                let meaning = self.meaning(first)?;
                self.size(meaning, first.span)
            }
            "matches" => self.matches(first, &arguments[1]),
            _ => {
                let argument = self.value(first)?.expr;
                self.conversion(name, argument, first.span)
            }
        };
        expr.map(plain)
    }

    /// `receiver.method(arguments)`
    pub(super) fn method(
        &mut self,
        span: Span,
        receiver: &Ast,
        method: &Ident,
        arguments: &[Ast],
    ) -> Option<Meaning<'a>> {
        let name = method.text.as_str();
        if !METHODS.contains(&name) {
            // Mistakes in the receiver are worth telling in the same round.
            let _ = self.meaning(receiver);
            return self.unknown_function(method, METHODS, arguments);
        }
        let expected = match name {
            "contains" | "startsWith" | "endsWith" | "matches" => 1,
            "exists" | "all" | "exists_one" | "filter" => 2,
            _ => 0,
        };
        if arguments.len() != expected {
            if let Some(rest) = name.strip_prefix("get")
                && arguments.len() == 1
            {
                let _ = self.meaning(receiver);
                let problem = Problem::new(arguments[0].span, "wrong-arguments", "rules know no time zones, only UTC");
                return self.tell(problem.hint(format!("write `get{rest}()`, or add a duration to the instant first")));
            }
            if Macro::find(name).is_some() {
                let _ = self.meaning(receiver);
                let problem =
                    Problem::new(span, "wrong-arguments", format!("`{name}` takes a variable and a condition"));
                return self.tell(problem.hint(format!("as in `posts.{name}(p, p.status == 'draft')`")));
            }
            let _ = self.meaning(receiver);
            return self.wrong_arguments(span, name, expected, arguments);
        }
        let expr = match name {
            "size" => {
                let meaning = self.meaning(receiver)?;
                self.size(meaning, receiver.span)
            }
            "contains" => self.text_test(Function::Contains, receiver, &arguments[0]),
            "startsWith" => self.text_test(Function::StartsWith, receiver, &arguments[0]),
            "endsWith" => self.text_test(Function::EndsWith, receiver, &arguments[0]),
            "matches" => self.matches(receiver, &arguments[0]),
            "lowerAscii" => self.text_change(Function::LowerAscii, receiver),
            "upperAscii" => self.text_change(Function::UpperAscii, receiver),
            "trim" => self.text_change(Function::Trim, receiver),
            "getFullYear" => self.part_of_time(Function::Year, receiver, false),
            "getMonth" => self.part_of_time(Function::Month, receiver, false),
            "getDate" => self.part_of_time(Function::Day, receiver, false),
            "getDayOfMonth" => self.part_of_time(Function::DayOfMonth, receiver, false),
            "getDayOfWeek" => self.part_of_time(Function::DayOfWeek, receiver, false),
            "getDayOfYear" => self.part_of_time(Function::DayOfYear, receiver, false),
            "getHours" => self.part_of_time(Function::Hours, receiver, true),
            "getMinutes" => self.part_of_time(Function::Minutes, receiver, true),
            "getSeconds" => self.part_of_time(Function::Seconds, receiver, true),
            "getMilliseconds" => self.part_of_time(Function::Milliseconds, receiver, true),
            // A macro whose variable was no name, which the parser has told.
            _ => None,
        };
        expr.map(plain)
    }

    fn wrong_arguments<T>(&mut self, span: Span, name: &str, expected: usize, arguments: &[Ast]) -> Option<T> {
        for argument in arguments {
            let _ = self.meaning(argument);
        }
        let plural = if expected == 1 { "" } else { "s" };
        let message = format!("`{name}` takes {expected} argument{plural}, not {}", arguments.len());
        self.tell(Problem::new(span, "wrong-arguments", message))
    }

    fn unknown_function<T>(&mut self, name: &Ident, known: &[&str], arguments: &[Ast]) -> Option<T> {
        let text = name.text.as_str();
        // The arguments of an unknown macro speak of a variable that is not bound; only plain calls are looked into.
        if !matches!(arguments.len(), 2..) {
            for argument in arguments {
                let _ = self.meaning(argument);
            }
        }
        let problem = Problem::new(name.span, "unknown-function", format!("there is no function `{text}`"));
        let methods = known == METHODS;
        let alias = ALIASES.iter().find(|(wrong, right)| *wrong == text && known.contains(right));
        let problem = if let Some((_, right)) = alias {
            problem.hint(format!("did you mean \"{right}\"?"))
        } else if text == "now" {
            problem.hint("the time of the request is `now`, without parentheses")
        } else if ABSENT.contains(&text) {
            Problem::new(name.span, "unsupported-syntax", format!("rules have no `{text}`"))
        } else if methods && FUNCTIONS.contains(&text) {
            problem.hint(format!("write `{text}(…)`"))
        } else if !methods && METHODS.contains(&text) {
            problem.hint(format!("write `….{text}(…)`"))
        } else {
            problem.suggesting(text, known.iter().copied())
        };
        self.tell(problem)
    }

    fn size(&mut self, meaning: Meaning<'a>, span: Span) -> Option<Expr> {
        let expr = match meaning {
            Meaning::Rows(rows) => return Some(rows.count(Expr::bool(true))),
            other => self.as_value(other, span)?.expr,
        };
        let function = match expr.ty {
            Type::Scalar(Kind::Text) => Function::TextSize,
            Type::Scalar(Kind::Bytes) => Function::BytesSize,
            Type::Scalar(Kind::Json) => Function::JsonSize,
            Type::List(_) => Function::ListSize,
            found => {
                let problem = Problem::new(span, "type-mismatch", format!("{found} has no size"));
                return self.tell(problem.hint("text, bytes, lists, JSON and to-many relations have one"));
            }
        };
        let length = match &expr.node {
            Node::Literal(Value::Text(text)) => Some(text.chars().count()),
            Node::Literal(Value::Bytes(bytes)) => Some(bytes.len()),
            Node::Literal(Value::List(items)) => Some(items.len()),
            _ => None,
        };
        Some(match length.and_then(|length| i64::try_from(length).ok()) {
            Some(length) => Expr::literal(Type::INT, Value::Int(length)),
            None => Expr { ty: Type::INT, node: Node::Call(function, vec![expr]) },
        })
    }

    /// A text.
    fn text(&mut self, ast: &Ast) -> Option<Expr> {
        let expr = self.value(ast)?.expr;
        if expr.ty == Type::TEXT {
            return Some(expr);
        }
        let problem = Problem::new(ast.span, "type-mismatch", format!("expected text, found {}", expr.ty));
        self.tell(match expr.ty {
            Type::List(_) => problem.hint("whether a list holds something is `… in …`"),
            Type::Scalar(Kind::Bytes) | Type::Null | Type::Duration => problem,
            Type::Scalar(_) => problem.hint("convert it: `string(…)`"),
        })
    }

    fn text_test(&mut self, function: Function, receiver: &Ast, argument: &Ast) -> Option<Expr> {
        let (receiver, argument) = (self.text(receiver), self.text(argument));
        Some(Expr::test(Node::Call(function, vec![receiver?, argument?])))
    }

    fn text_change(&mut self, function: Function, receiver: &Ast) -> Option<Expr> {
        let receiver = self.text(receiver)?;
        Some(Expr { ty: Type::TEXT, node: Node::Call(function, vec![receiver]) })
    }

    fn matches(&mut self, text: &Ast, pattern: &Ast) -> Option<Expr> {
        let pattern_span = pattern.span;
        let (text, pattern) = (self.text(text), self.text(pattern));
        let pattern = pattern?;
        if let Node::Literal(Value::Text(written)) = &pattern.node
            && written.chars().nth(PATTERN_CHARS_MAX).is_some()
        {
            let message = format!("a regular expression has at most {PATTERN_CHARS_MAX} characters");
            return self.tell(Problem::new(pattern_span, "bad-pattern", message));
        }
        if let Node::Literal(Value::Text(written)) = &pattern.node
            && let Err(error) = regex::RegexBuilder::new(written).size_limit(PATTERN_BYTES_MAX).build()
        {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.');
            let problem = Problem::new(pattern_span, "bad-pattern", format!("this is no regular expression: {reason}"));
            return self.tell(problem.hint("RE2 syntax, which has no look-around and no back-references"));
        }
        Some(Expr::test(Node::Call(Function::Matches, vec![text?, pattern])))
    }

    fn part_of_time(&mut self, function: Function, receiver: &Ast, of_durations: bool) -> Option<Expr> {
        let expr = self.value(receiver)?.expr;
        let other = if of_durations { Type::Duration } else { Type::Scalar(Kind::Date) };
        if expr.ty != Type::TIMESTAMP && expr.ty != other {
            let wanted = format!("timestamp or {other}");
            let problem = Problem::new(receiver.span, "type-mismatch", format!("expected {wanted}, found {}", expr.ty));
            return self.tell(match expr.ty {
                Type::Scalar(Kind::Text) => problem.hint("convert it: `timestamp(…)`"),
                _ => problem,
            });
        }
        Some(Expr { ty: Type::INT, node: Node::Call(function, vec![expr]) })
    }

    /// `int(argument)` and its siblings.
    fn conversion(&mut self, name: &str, argument: Expr, span: Span) -> Option<Expr> {
        let found = argument.ty;
        let (ty, function) = match name {
            "int" => (Type::INT, Function::ToInt),
            "double" => (Type::FLOAT, Function::ToFloat),
            "string" => (Type::TEXT, Function::ToText),
            "bool" => (Type::BOOL, Function::ToBool),
            "timestamp" => (Type::TIMESTAMP, Function::ToTimestamp),
            "date" => (Type::Scalar(Kind::Date), Function::ToDate),
            "uuid" => (Type::UUID, Function::ToUuid),
            _ => (Type::Duration, Function::ToDuration),
        };
        if found == ty {
            return Some(argument);
        }
        let fine = match (ty, argument.ty) {
            (_, Type::Null | Type::List(_) | Type::Duration) => false,
            (Type::TEXT, Type::Scalar(kind)) => kind != Kind::Bytes,
            (Type::INT | Type::FLOAT | Type::BOOL | Type::TIMESTAMP | Type::UUID, Type::JSON) => true,
            (Type::Scalar(Kind::Date), Type::JSON) => true,
            (_, Type::TEXT) => true,
            (Type::INT, from) => from.is_number() || from == Type::TIMESTAMP,
            (Type::FLOAT, from) => from.is_number(),
            (Type::TIMESTAMP, from) => matches!(from, Type::Scalar(Kind::Int | Kind::Date)),
            (Type::Scalar(Kind::Date), from) => from == Type::TIMESTAMP,
            _ => false,
        };
        if !fine {
            let problem = Problem::new(span, "type-mismatch", format!("{found} cannot become {ty}"));
            return self.tell(if ty == Type::INT { number_hint(problem, found) } else { problem });
        }
        if let Node::Literal(value) = &argument.node
            && let Some(folded) = literal::convert(value, ty)
        {
            return match folded {
                Ok(value) => Some(Expr::literal(ty, value)),
                Err(form) => {
                    let problem = Problem::new(span, "bad-literal", format!("this is no {ty}"));
                    self.tell(problem.hint(form))
                }
            };
        }
        Some(Expr { ty, node: Node::Call(function, vec![argument]) })
    }

    /// `receiver.exists(variable, body)` and its siblings.
    pub(super) fn macro_call(
        &mut self,
        span: Span,
        which: Macro,
        receiver: &Ast,
        variable: &Ident,
        body: &Ast,
    ) -> Option<Meaning<'a>> {
        let name = variable.text.as_str();
        if matches!(name, "auth" | "now" | "new") || RESERVED.contains(&name) {
            let message = format!("`{name}` has a meaning of its own and cannot name a variable");
            self.problems.push(Problem::new(variable.span, "bad-macro", message));
        }
        let meaning = self.meaning(receiver)?;
        if which == Macro::Map {
            let problem = Problem::new(span, "unsupported-syntax", "rules have no `map`");
            return self.tell(problem.hint("ask about each with `exists` or `all`"));
        }
        match meaning {
            Meaning::Rows(rows) => self.macro_on_rows(which, *rows, name, body),
            Meaning::Row(_) => {
                let problem = Problem::new(receiver.span, "type-mismatch", "this leads to one row, not to many");
                self.tell(problem.hint("name its fields directly, as in `author.name`"))
            }
            other => {
                let list = self.as_value(other, receiver.span)?;
                self.macro_on_list(which, list, receiver.span, name, body).map(plain)
            }
        }
    }

    fn macro_on_rows(&mut self, which: Macro, mut rows: Rows, name: &str, body: &Ast) -> Option<Meaning<'a>> {
        let place = Place { root: Root::Row(rows.bind), steps: Vec::new(), collection: rows.target };
        self.variables.push((name.to_owned(), Meaning::Row(place)));
        let condition = self.condition(body);
        self.variables.pop();
        let condition = condition?;
        Some(match which {
            Macro::Exists => plain(rows.exists(condition)),
            Macro::All => plain(rows.exists(condition.negated()).negated()),
            Macro::ExistsOne => {
                let one = Expr::literal(Type::INT, Value::Int(1));
                plain(Expr::test(Node::Same(Box::new(rows.count(condition)), Box::new(one))))
            }
            Macro::Filter | Macro::Map => {
                rows.filters.push(condition);
                Meaning::Rows(Box::new(rows))
            }
        })
    }

    fn macro_on_list(&mut self, which: Macro, list: Typed<'a>, span: Span, name: &str, body: &Ast) -> Option<Expr> {
        let kind = match list.expr.ty {
            Type::List(kind) => kind,
            // An array; other JSON counts as an empty list.
            Type::Scalar(Kind::Json) => Kind::Json,
            other => {
                let message = format!("`{}` wants a list or a to-many relation, this is {other}", which.name());
                return self.tell(Problem::new(span, "type-mismatch", message));
            }
        };
        let bind = self.element_var();
        let element = Expr { ty: Type::Scalar(kind), node: Node::Element(bind) };
        let element = Typed { expr: element, values: list.values, relation: None };
        self.variables.push((name.to_owned(), Meaning::Value(element)));
        let condition = self.condition(body);
        self.variables.pop();
        let condition = condition?;
        let any =
            |filter: Expr| Expr::test(Node::AnyElement { list: Box::new(list.expr), bind, filter: Box::new(filter) });
        match which {
            Macro::Exists => Some(any(condition)),
            Macro::All => Some(any(condition.negated()).negated()),
            Macro::ExistsOne | Macro::Filter | Macro::Map => {
                let message = format!("rules have no `{}` of a list", which.name());
                let problem = Problem::new(span, "unsupported-syntax", message);
                self.tell(problem.hint("lists have `exists` and `all`; relations also `exists_one` and `filter`"))
            }
        }
    }
}
