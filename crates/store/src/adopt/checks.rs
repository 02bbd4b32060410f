//! Checks in SQL → bounds, words and rules in CEL, where they say nothing that CEL says otherwise.
//!
//! A check passes where it is not false, so null passes; a rule passes where it is true. Each part is written so that it says the
//! same. Absent: functions but `length`, patterns, subqueries, casts of values: such a check stays the database's.

use super::shape::ShapedField;
use undergird_model::field_type::FieldType;

/// Longest check that is read.
const TEXT_MAX: usize = 4_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 40;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sql {
    And(Vec<Sql>),
    Or(Vec<Sql>),
    Not(Box<Sql>),
    Compare(&'static str, Term, Term),
    In(Term, Vec<Term>),
    IsNull(Term, bool),
    /// A bool by itself.
    Truth(Term),
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Column(String),
    Text(String),
    Number(String),
    Bool(bool),
    Length(String),
}

/// A bound of a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) column: String,
    pub(super) least: bool,
    pub(super) number: i64,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Name(String),
    Text(String),
    Number(String),
    Mark(&'static str),
}

/// Reads a check's condition.
pub(super) fn parse(text: &str) -> Option<Sql> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let parsed = parser.or()?;
    (parser.at == parser.tokens.len()).then_some(parsed)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    const MARKS: &[&str] = &["::", "<=", ">=", "<>", "!=", "==", "=", "<", ">", "(", ")", ",", "[", "]"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if let Some(close) = match first {
            '"' => Some('"'),
            '`' => Some('`'),
            '\'' => Some('\''),
            _ => None,
        } {
            let (inner, length) = enclosed(rest, close)?;
            (if close == '\'' { Token::Text(inner) } else { Token::Name(inner) }, length)
        } else if first.is_ascii_digit() || (first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let length = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |at| at + 1);
            (Token::Number(rest[..length].to_owned()), length)
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Word(rest[..length].to_owned()), length)
        } else if first == '['
            && !tokens
                .last()
                .is_some_and(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("array")))
        {
            let end = rest.find(']')?;
            (Token::Name(rest[1..end].to_owned()), end + 1)
        } else {
            let mark = MARKS.iter().find(|mark| rest.starts_with(**mark))?;
            (Token::Mark(mark), mark.len())
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// What stands between two of a mark, a doubled one being one of the text, and how long that is with its marks.
fn enclosed(text: &str, mark: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' && mark == '\'' {
            // Some databases escape by it, others do not.
            return None;
        }
        if c != mark {
            inner.push(c);
        } else if characters.peek().is_some_and(|(_, next)| *next == mark) {
            characters.next();
            inner.push(mark);
        } else {
            return Some((inner, at + 1));
        }
    }
    None
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn mark(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Mark(known)) if *known == mark);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(known)) if known.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Option<Sql> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut terms = vec![self.and()?];
        while self.word("or") {
            terms.push(self.and()?);
        }
        self.depth -= 1;
        Some(if terms.len() == 1 { terms.remove(0) } else { Sql::Or(terms) })
    }

    fn and(&mut self) -> Option<Sql> {
        let mut terms = vec![self.not()?];
        while self.word("and") {
            terms.push(self.not()?);
        }
        Some(if terms.len() == 1 { terms.remove(0) } else { Sql::And(terms) })
    }

    fn not(&mut self) -> Option<Sql> {
        if self.word("not") {
            return Some(Sql::Not(Box::new(self.not()?)));
        }
        let (start, depth) = (self.at, self.depth);
        if self.mark("(") {
            // It may be a condition or an operand in parentheses, which something follows.
            if let Some(inner) = self.or()
                && self.mark(")")
                && !self.goes_on()
            {
                return Some(inner);
            }
            (self.at, self.depth) = (start, depth);
        }
        self.comparison()
    }

    /// Whether what stood before is an operand of what comes.
    fn goes_on(&self) -> bool {
        match self.peek() {
            Some(Token::Mark(mark)) => !matches!(*mark, ")" | "," | "]"),
            Some(Token::Word(word)) => {
                ["is", "in", "between", "not"].iter().any(|known| word.eq_ignore_ascii_case(known))
            }
            _ => false,
        }
    }

    fn comparison(&mut self) -> Option<Sql> {
        let left = self.term()?;
        if self.word("is") {
            let negative = self.word("not");
            return self.word("null").then_some(Sql::IsNull(left, !negative));
        }
        let negative = self.word("not");
        let found = if self.word("between") {
            let least = self.term()?;
            if !self.word("and") {
                return None;
            }
            let most = self.term()?;
            Sql::And(vec![Sql::Compare(">=", left.clone(), least), Sql::Compare("<=", left, most)])
        } else if self.word("in") {
            if !self.mark("(") {
                return None;
            }
            Sql::In(left, self.terms(")")?)
        } else if negative {
            return None;
        } else {
            let operator = ["<=", ">=", "<>", "!=", "==", "=", "<", ">"].into_iter().find(|mark| self.mark(mark));
            let Some(operator) = operator else { return Some(Sql::Truth(left)) };
            // `= ANY (ARRAY['a', 'b'])`, which is how PostgreSQL keeps `IN`.
            if operator == "=" && self.word("any") {
                let mut open = 0;
                while self.mark("(") {
                    open += 1;
                }
                if !self.word("array") || !self.mark("[") {
                    return None;
                }
                let items = self.terms("]")?;
                for _ in 0..open {
                    self.casts();
                    if !self.mark(")") {
                        return None;
                    }
                }
                return Some(Sql::In(left, items));
            }
            let operator = match operator {
                "<>" => "!=",
                "=" => "==",
                other => other,
            };
            Sql::Compare(operator, left, self.term()?)
        };
        Some(if negative { Sql::Not(Box::new(found)) } else { found })
    }

    fn terms(&mut self, close: &str) -> Option<Vec<Term>> {
        let mut terms = Vec::new();
        loop {
            terms.push(self.term()?);
            if self.mark(close) {
                return Some(terms);
            }
            if !self.mark(",") {
                return None;
            }
        }
    }

    fn term(&mut self) -> Option<Term> {
        if self.mark("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return None;
            }
            let inner = self.term()?;
            self.depth -= 1;
            if !self.mark(")") {
                return None;
            }
            self.casts();
            return Some(inner);
        }
        let token = self.peek()?.clone();
        self.at += 1;
        let term = match token {
            Token::Number(number) => Term::Number(number),
            Token::Text(text) => Term::Text(text),
            Token::Name(name) => Term::Column(name),
            Token::Word(word) if matches!(word.to_ascii_lowercase().as_str(), "length" | "char_length") => {
                if !self.mark("(") {
                    return None;
                }
                let Term::Column(column) = self.term()? else { return None };
                if !self.mark(")") {
                    return None;
                }
                Term::Length(column)
            }
            // Of a character set before a text (`_utf8mb4'a'`).
            Token::Word(word) if word.starts_with("_utf8") && matches!(self.peek(), Some(Token::Text(_))) => {
                self.term()?
            }
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Term::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Term::Bool(false),
            Token::Word(word) => {
                let reserved = ["and", "or", "not", "in", "is", "null", "between", "case", "any", "array"];
                if reserved.contains(&word.to_ascii_lowercase().as_str())
                    || matches!(self.peek(), Some(Token::Mark("(")))
                {
                    return None;
                }
                Term::Column(word)
            }
            Token::Mark(_) => return None,
        };
        self.casts();
        Some(term)
    }

    /// `::text`, `::character varying(20)`, `::text[]`: PostgreSQL writes them everywhere.
    fn casts(&mut self) {
        while self.mark("::") {
            while matches!(self.peek(), Some(Token::Word(word)) if !["and", "or", "is", "in", "not", "between"].contains(&word.to_ascii_lowercase().as_str()))
            {
                self.at += 1;
            }
            if self.mark("(") {
                while !self.mark(")") && self.peek().is_some() {
                    self.at += 1;
                }
            }
            if matches!(self.peek(), Some(Token::Name(name)) if name.is_empty()) {
                self.at += 1;
            }
            if self.mark("[") {
                self.mark("]");
            }
        }
    }
}

/// The words that the check allows in a column, if it is that alone.
pub(super) fn words(check: &Sql) -> Option<(String, Vec<String>)> {
    let Sql::In(Term::Column(column), items) = check else { return None };
    let mut words = Vec::new();
    for item in items {
        let Term::Text(word) = item else { return None };
        if words.contains(word) {
            return None;
        }
        words.push(word.clone());
    }
    Some((column.clone(), words))
}

/// The bounds that the check sets to whole numbers, if it is those alone.
pub(super) fn bounds(check: &Sql) -> Option<Vec<Bound>> {
    match check {
        Sql::And(parts) => {
            let mut all: Vec<Bound> = Vec::new();
            for part in parts {
                for bound in bounds(part)? {
                    // Of two least numbers one would be lost.
                    if all.iter().any(|known| known.column == bound.column && known.least == bound.least) {
                        return None;
                    }
                    all.push(bound);
                }
            }
            Some(all)
        }
        Sql::Compare(operator, Term::Column(column), Term::Number(number)) => {
            let number: i64 = number.parse().ok()?;
            let (least, number) = match *operator {
                ">=" => (true, number),
                ">" => (true, number.checked_add(1)?),
                "<=" => (false, number),
                "<" => (false, number.checked_sub(1)?),
                _ => return None,
            };
            Some(vec![Bound { column: column.clone(), least, number }])
        }
        _ => None,
    }
}

/// The check as a rule in CEL over these fields.
pub(super) fn rule(check: &Sql, fields: &[ShapedField]) -> Option<String> {
    passes(check, fields)
}

/// Where the condition is not false.
fn passes(check: &Sql, fields: &[ShapedField]) -> Option<String> {
    match check {
        Sql::And(parts) => joined(parts, " && ", |part| passes(part, fields)),
        Sql::Or(parts) => joined(parts, " || ", |part| passes(part, fields)),
        Sql::Not(inner) => Some(format!("!({})", holds(inner, fields)?)),
        Sql::IsNull(..) => atom(check, fields),
        Sql::Compare(..) | Sql::In(..) | Sql::Truth(_) => {
            let mut text = atom(check, fields)?;
            let nulls = nullable(check, fields)?;
            for name in nulls.iter().rev() {
                text = format!("{name} == null || {text}");
            }
            Some(if nulls.is_empty() { text } else { format!("({text})") })
        }
    }
}

/// Where the condition is true.
fn holds(check: &Sql, fields: &[ShapedField]) -> Option<String> {
    match check {
        Sql::And(parts) => joined(parts, " && ", |part| holds(part, fields)),
        Sql::Or(parts) => joined(parts, " || ", |part| holds(part, fields)),
        Sql::Not(inner) => Some(format!("!({})", passes(inner, fields)?)),
        Sql::IsNull(..) => atom(check, fields),
        Sql::Compare(..) | Sql::In(..) | Sql::Truth(_) => {
            let mut text = atom(check, fields)?;
            let nulls = nullable(check, fields)?;
            for name in nulls.iter().rev() {
                text = format!("{name} != null && {text}");
            }
            Some(if nulls.is_empty() { text } else { format!("({text})") })
        }
    }
}

fn joined(parts: &[Sql], operator: &str, each: impl Fn(&Sql) -> Option<String>) -> Option<String> {
    let parts: Option<Vec<String>> = parts
        .iter()
        .map(|part| {
            let text = each(part)?;
            Some(if matches!(part, Sql::And(_) | Sql::Or(_)) { format!("({text})") } else { text })
        })
        .collect();
    Some(parts?.join(operator))
}

fn field<'a>(column: &str, fields: &'a [ShapedField]) -> Option<&'a ShapedField> {
    fields.iter().find(|field| field.column == column).or_else(|| {
        let mut near = fields.iter().filter(|field| field.column.eq_ignore_ascii_case(column));
        near.next().filter(|_| near.next().is_none())
    })
}

fn terms(check: &Sql) -> Vec<&Term> {
    match check {
        Sql::Compare(_, a, b) => vec![a, b],
        Sql::In(a, items) => std::iter::once(a).chain(items).collect(),
        Sql::IsNull(a, _) | Sql::Truth(a) => vec![a],
        Sql::And(_) | Sql::Or(_) | Sql::Not(_) => Vec::new(),
    }
}

fn nullable(check: &Sql, fields: &[ShapedField]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for term in terms(check) {
        if let Term::Column(column) | Term::Length(column) = term {
            let field = field(column, fields)?;
            if field.optional && !names.contains(&field.name) {
                names.push(field.name.clone());
            }
        }
    }
    Some(names)
}

/// A comparison in CEL, between operands that CEL compares as SQL does.
fn atom(check: &Sql, fields: &[ShapedField]) -> Option<String> {
    match check {
        Sql::Compare(operator, left, right) => {
            let (left, right) = (&as_bool(left, right, fields), &as_bool(right, left, fields));
            let (kind, other) = (kind(left, fields)?, kind(right, fields)?);
            if kind != other || (matches!(kind, "text" | "bool") && !matches!(*operator, "==" | "!=")) {
                return None;
            }
            Some(format!("{} {operator} {}", operand(left, fields)?, operand(right, fields)?))
        }
        Sql::In(item, items) => {
            let of = kind(item, fields)?;
            let items: Option<Vec<String>> =
                items.iter().map(|each| (kind(each, fields)? == of).then(|| operand(each, fields))?).collect();
            Some(format!("{} in [{}]", operand(item, fields)?, items?.join(", ")))
        }
        Sql::IsNull(Term::Column(column), positive) => {
            let operator = if *positive { "==" } else { "!=" };
            Some(format!("{} {operator} null", field(column, fields)?.name))
        }
        Sql::Truth(term) => match kind(term, fields)? {
            "bool" => operand(term, fields),
            _ => None,
        },
        Sql::IsNull(..) | Sql::And(_) | Sql::Or(_) | Sql::Not(_) => None,
    }
}

/// 0 and 1 beside a bool are what the database keeps of it.
fn as_bool(term: &Term, beside: &Term, fields: &[ShapedField]) -> Term {
    match term {
        Term::Number(number) if matches!(number.as_str(), "0" | "1") && kind(beside, fields) == Some("bool") => {
            Term::Bool(number == "1")
        }
        other => other.clone(),
    }
}

/// What an operand is, as far as both languages compare it alike.
fn kind(term: &Term, fields: &[ShapedField]) -> Option<&'static str> {
    Some(match term {
        Term::Text(_) => "text",
        Term::Bool(_) => "bool",
        Term::Number(number) if number.contains('.') => return None,
        Term::Number(_) => "number",
        Term::Length(column) => match field(column, fields)?.holds.ty {
            FieldType::Text { .. } => "number",
            _ => return None,
        },
        Term::Column(column) => match field(column, fields)?.holds.ty {
            FieldType::Text { .. } | FieldType::Enum { .. } => "text",
            FieldType::Int | FieldType::Decimal { .. } => "number",
            FieldType::Bool => "bool",
            FieldType::Timestamp => "moment",
            FieldType::Date => "date",
            _ => return None,
        },
    })
}

fn operand(term: &Term, fields: &[ShapedField]) -> Option<String> {
    Some(match term {
        Term::Text(text) => super::text::quoted(text),
        Term::Number(number) => number.clone(),
        Term::Bool(value) => value.to_string(),
        Term::Column(column) => field(column, fields)?.name.clone(),
        Term::Length(column) => format!("size({})", field(column, fields)?.name),
    })
}
