//! Tokens to [`Ast`], by precedence climbing (Pratt). Follows the grammar of cel-spec (`doc/langdef.md`, "Syntax").
//!
//! Nothing here can exhaust the stack: chains are loops, `&&` and `||` are flat, and every node's depth is checked against
//! [`DEPTH_MAX`] when it is made, so that later recursions are bounded too. Absent: types and names.

use super::ast::{Ast, AstKind, BinaryOp, Ident, Macro};
use super::lexer::{Token, TokenKind, lex};
use super::{DEPTH_MAX, NODES_MAX, Problem, TEXT_BYTES_MAX};
use crate::diagnostic::Span;

/// Words that CEL keeps for itself; they may stand after a dot.
pub const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The tree of a text, or its mistakes.
pub fn parse(text: &str) -> Result<Ast, Vec<Problem>> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("a rule has at most {TEXT_BYTES_MAX} bytes; this one has {}", text.len());
        return Err(vec![Problem::new((0..text.len()).into(), "rule-too-long", message)]);
    }
    let tokens = lex(text)?;
    let mut parser = Parser { tokens, at: 0, nesting: 0, nodes: 0, problems: Vec::new() };
    match parser.whole() {
        Ok(ast) if parser.problems.is_empty() => Ok(ast),
        Ok(_) => Err(parser.problems),
        Err(problem) => {
            parser.problems.push(*problem);
            Err(parser.problems)
        }
    }
}

type Parsed<T> = Result<T, Box<Problem>>;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Open recursions; bounds the stack before any node exists.
    nesting: u16,
    nodes: usize,
    /// Mistakes that do not hinder reading on.
    problems: Vec<Problem>,
}

/// How tightly an operator binds.
const OR: u8 = 1;
const AND: u8 = 2;
const RELATION: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;

fn binary(kind: &TokenKind) -> Option<(u8, BinaryOp)> {
    let TokenKind::Mark(mark) = kind else { return None };
    Some(match *mark {
        "==" => (RELATION, BinaryOp::Equal),
        "!=" => (RELATION, BinaryOp::NotEqual),
        "<" => (RELATION, BinaryOp::Less),
        "<=" => (RELATION, BinaryOp::LessOrEqual),
        ">" => (RELATION, BinaryOp::Greater),
        ">=" => (RELATION, BinaryOp::GreaterOrEqual),
        "in" => (RELATION, BinaryOp::In),
        "+" => (SUM, BinaryOp::Add),
        "-" => (SUM, BinaryOp::Subtract),
        "*" => (PRODUCT, BinaryOp::Multiply),
        "/" => (PRODUCT, BinaryOp::Divide),
        "%" => (PRODUCT, BinaryOp::Remainder),
        _ => return None,
    })
}

impl Parser {
    fn whole(&mut self) -> Parsed<Ast> {
        let ast = self.expression()?;
        if *self.kind() == TokenKind::End { Ok(ast) } else { Err(self.unexpected("an operator or the end")) }
    }

    /// `condition ? then : otherwise`, or less.
    fn expression(&mut self) -> Parsed<Ast> {
        self.enter()?;
        let condition = self.operators(OR)?;
        let ast = if self.eat("?") {
            let then = self.operators(OR)?;
            self.want(":", "`:` and what holds otherwise")?;
            let otherwise = self.expression()?;
            let span = condition.span.to(otherwise.span);
            self.node(span, AstKind::If(Box::new([condition, then, otherwise])))?
        } else {
            condition
        };
        self.nesting -= 1;
        Ok(ast)
    }

    /// A chain of operators that bind at least as tightly as `least`.
    fn operators(&mut self, least: u8) -> Parsed<Ast> {
        let mut left = self.unary()?;
        loop {
            if least <= OR && self.is("||") {
                left = self.logical(left, "||", AND)?;
            } else if least <= AND && self.is("&&") {
                left = self.logical(left, "&&", RELATION)?;
            } else if let Some((strength, op)) = binary(self.kind()).filter(|(strength, _)| *strength >= least) {
                self.at += 1;
                let right = self.operators(strength + 1)?;
                let span = left.span.to(right.span);
                left = self.node(span, AstKind::Binary { op, left: Box::new(left), right: Box::new(right) })?;
            } else {
                return Ok(left);
            }
        }
    }

    /// All of one `&&` or `||` chain in one node, however long.
    fn logical(&mut self, first: Ast, mark: &'static str, least: u8) -> Parsed<Ast> {
        let mut terms = vec![first];
        while self.eat(mark) {
            terms.push(self.operators(least)?);
        }
        let span = terms[0].span.to(terms[terms.len() - 1].span);
        self.node(span, if mark == "||" { AstKind::Or(terms) } else { AstKind::And(terms) })
    }

    fn unary(&mut self) -> Parsed<Ast> {
        let mark = if self.is("!") {
            "!"
        } else if self.is("-") {
            "-"
        } else {
            return self.member();
        };
        let mut starts = Vec::new();
        while self.is(mark) {
            starts.push(self.span().start);
            self.at += 1;
        }
        // The last minus before a number belongs to it, so that the least int can be written.
        let mut operand = match self.kind() {
            TokenKind::Int(_) | TokenKind::Float(_) if mark == "-" => {
                let start = starts.pop().unwrap_or_default();
                self.number(start, true)?
            }
            _ => self.member()?,
        };
        for start in starts.into_iter().rev() {
            let span = Span { start, end: operand.span.end };
            let inner = Box::new(operand);
            operand = self.node(span, if mark == "!" { AstKind::Not(inner) } else { AstKind::Negate(inner) })?;
        }
        Ok(operand)
    }

    /// A primary with its `.name`, `.method()`, `[index]`.
    fn member(&mut self) -> Parsed<Ast> {
        let mut operand = self.primary()?;
        loop {
            let start = operand.span;
            if self.eat(".") {
                let name = self.selector()?;
                operand = if self.is("(") {
                    let arguments = self.arguments()?;
                    let span = start.to(self.last());
                    self.method(span, operand, name, arguments)?
                } else {
                    let span = start.to(name.span);
                    self.node(span, AstKind::Select { operand: Box::new(operand), name })?
                };
            } else if self.is("[") {
                let open = self.span();
                self.at += 1;
                if self.is("?") {
                    return Err(Box::new(Problem::new(
                        self.span(),
                        "unsupported-syntax",
                        "rules have no optional values",
                    )));
                }
                let index = Box::new(self.expression()?);
                self.close("]", open)?;
                let span = start.to(self.last());
                operand = self.node(span, AstKind::Index { operand: Box::new(operand), index })?;
            } else if self.is("{") && is_type_name(&operand) {
                self.map_entries(true)?;
                let span = start.to(self.last());
                operand = self.node(span, AstKind::Message)?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Ast> {
        let Token { span, kind } = self.tokens[self.at].clone();
        let kind = match kind {
            TokenKind::Int(_) | TokenKind::Float(_) => return self.number(span.start, false),
            TokenKind::Null => AstKind::Null,
            TokenKind::Bool(value) => AstKind::Bool(value),
            TokenKind::Text(text) => AstKind::Text(text),
            TokenKind::Bytes(bytes) => AstKind::Bytes(bytes),
            TokenKind::Word(text) => {
                self.at += 1;
                self.refuse_reserved(&text, span);
                if !self.is("(") {
                    return self.node(span, AstKind::Name(text));
                }
                let arguments = self.arguments()?;
                return self.call(span.to(self.last()), Ident { text, span }, arguments);
            }
            TokenKind::Mark(".") => {
                self.at += 1;
                let name = self.selector()?;
                self.refuse_reserved(&name.text, name.span);
                if self.is("(") {
                    let arguments = self.arguments()?;
                    return self.call(span.to(self.last()), name, arguments);
                }
                return self.node(span.to(name.span), AstKind::Rooted(name.text));
            }
            TokenKind::Mark("(") => {
                self.at += 1;
                let mut inner = self.expression()?;
                self.close(")", span)?;
                // The parentheses belong to the span: a diagnostic about the whole underlines the whole.
                inner.span = span.to(self.last());
                return Ok(inner);
            }
            TokenKind::Mark("[") => {
                self.at += 1;
                let items = self.list("]", span)?;
                return self.node(span.to(self.last()), AstKind::List(items));
            }
            TokenKind::Mark("{") => {
                let entries = self.map_entries(false)?;
                return self.node(span.to(self.last()), AstKind::Map(entries));
            }
            TokenKind::Mark("!" | "-") => {
                return Err(Box::new(
                    Problem::new(span, "unexpected-token", "`!` and `-` cannot follow each other")
                        .hint("put the inner one in parentheses"),
                ));
            }
            TokenKind::Mark(_) | TokenKind::End => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        self.node(span, kind)
    }

    /// The number token here, with the sign that stood at `start`.
    fn number(&mut self, start: usize, negative: bool) -> Parsed<Ast> {
        let Token { span, kind } = self.tokens[self.at].clone();
        let span = Span { start, end: span.end };
        self.at += 1;
        let kind = match kind {
            TokenKind::Int(magnitude) => {
                let signed = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
                let number = i64::try_from(signed).unwrap_or_else(|_| {
                    let message = format!("{signed} does not fit into 64 bits");
                    self.problems.push(Problem::new(span, "bad-number", message));
                    0
                });
                AstKind::Int(number)
            }
            TokenKind::Float(magnitude) => AstKind::Float(if negative { -magnitude } else { magnitude }),
            _ => return Err(self.unexpected("a number")),
        };
        let literal = self.node(span, kind)?;
        Ok(literal)
    }

    fn call(&mut self, span: Span, function: Ident, mut arguments: Vec<Ast>) -> Parsed<Ast> {
        if function.text != "has" || arguments.len() != 1 {
            return self.node(span, AstKind::Call { function, arguments });
        }
        let operand = arguments.remove(0);
        let nameable = matches!(operand.kind, AstKind::Select { .. } | AstKind::Name(_) | AstKind::Index { .. });
        if !nameable {
            self.problems.push(Problem::new(
                operand.span,
                "bad-macro",
                "`has()` wants a field, as in `has(author.name)`",
            ));
        }
        self.node(span, AstKind::Has(Box::new(operand)))
    }

    fn method(&mut self, span: Span, receiver: Ast, method: Ident, mut arguments: Vec<Ast>) -> Parsed<Ast> {
        let receiver = Box::new(receiver);
        let Some(which) = Macro::find(&method.text).filter(|_| arguments.len() == 2) else {
            return self.node(span, AstKind::Method { receiver, method, arguments });
        };
        let body = Box::new(arguments.remove(1));
        let variable = arguments.remove(0);
        let AstKind::Name(text) = variable.kind else {
            let message = format!("the first argument of `{}` is the name of a variable", which.name());
            let problem = Problem::new(variable.span, "bad-macro", message);
            self.problems.push(problem.hint(format!("as in `posts.{}(p, p.status == 'draft')`", which.name())));
            return self.node(span, AstKind::Method { receiver, method, arguments: Vec::new() });
        };
        let variable = Ident { text, span: variable.span };
        self.node(span, AstKind::Macro { which, receiver, variable, body })
    }

    /// `(a, b)`, at the parenthesis. CEL allows no comma at the end here.
    fn arguments(&mut self) -> Parsed<Vec<Ast>> {
        let open = self.span();
        self.at += 1;
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.eat(",") {
                self.close(")", open)?;
                return Ok(arguments);
            }
        }
    }

    /// What stands after an opening bracket, up to and with the closing one; a comma may end it.
    fn list(&mut self, end: &'static str, open: Span) -> Parsed<Vec<Ast>> {
        let mut items = Vec::new();
        while !self.eat(end) {
            items.push(self.expression()?);
            if !self.eat(",") {
                self.close(end, open)?;
                break;
            }
        }
        Ok(items)
    }

    /// `{key: value}`, at the brace. In a message the keys are words.
    fn map_entries(&mut self, message: bool) -> Parsed<Vec<(Ast, Ast)>> {
        let open = self.span();
        self.at += 1;
        let mut entries = Vec::new();
        while !self.eat("}") {
            let key = if message {
                let name = self.selector()?;
                self.node(name.span, AstKind::Name(name.text))?
            } else {
                self.expression()?
            };
            self.want(":", "`:` and a value")?;
            entries.push((key, self.expression()?));
            if !self.eat(",") {
                self.close("}", open)?;
                break;
            }
        }
        Ok(entries)
    }

    /// A word after a dot: reserved words are allowed here.
    fn selector(&mut self) -> Parsed<Ident> {
        let Token { span, kind } = self.tokens[self.at].clone();
        let TokenKind::Word(text) = kind else { return Err(self.unexpected("a name")) };
        self.at += 1;
        Ok(Ident { text, span })
    }

    fn refuse_reserved(&mut self, word: &str, span: Span) {
        if RESERVED.contains(&word) {
            let message = format!("`{word}` is a reserved word of CEL and cannot be a name");
            self.problems.push(Problem::new(span, "reserved-word", message));
        }
    }

    /// A node, within the limits.
    fn node(&mut self, span: Span, kind: AstKind) -> Parsed<Ast> {
        let deepest = match &kind {
            AstKind::Null
            | AstKind::Bool(_)
            | AstKind::Int(_)
            | AstKind::Float(_)
            | AstKind::Text(_)
            | AstKind::Bytes(_)
            | AstKind::Name(_)
            | AstKind::Rooted(_)
            | AstKind::Message => 0,
            AstKind::Select { operand, .. } => operand.depth,
            AstKind::Index { operand, index } => operand.depth.max(index.depth),
            AstKind::Call { arguments, .. } => deepest(arguments),
            AstKind::Method { receiver, arguments, .. } => receiver.depth.max(deepest(arguments)),
            AstKind::Macro { receiver, body, .. } => receiver.depth.max(body.depth),
            AstKind::Has(inner) | AstKind::Not(inner) | AstKind::Negate(inner) => inner.depth,
            AstKind::And(terms) | AstKind::Or(terms) | AstKind::List(terms) => deepest(terms),
            AstKind::Binary { left, right, .. } => left.depth.max(right.depth),
            AstKind::If(parts) => deepest(parts.as_slice()),
            AstKind::Map(entries) => entries.iter().map(|(key, value)| key.depth.max(value.depth)).max().unwrap_or(0),
        };
        let depth = deepest + 1;
        if depth > DEPTH_MAX {
            return Err(too_deep(span));
        }
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("a rule has at most {NODES_MAX} parts");
            return Err(Box::new(Problem::new(span, "rule-too-large", message)));
        }
        Ok(Ast { span, depth, kind })
    }

    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > DEPTH_MAX { Err(too_deep(self.span())) } else { Ok(()) }
    }

    fn kind(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    /// The token just read.
    fn last(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.kind(), TokenKind::Mark(here) if *here == mark)
    }

    fn eat(&mut self, mark: &str) -> bool {
        let found = self.is(mark);
        self.at += usize::from(found);
        found
    }

    fn want(&mut self, mark: &'static str, expected: &str) -> Parsed<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn close(&mut self, mark: &'static str, open: Span) -> Parsed<()> {
        if self.eat(mark) {
            return Ok(());
        }
        let problem = self.unexpected(&format!("`{mark}`"));
        let hint = problem.hint.clone().unwrap_or_else(|| format!("it closes what opens at byte {}", open.start));
        Err(Box::new(problem.hint(hint)))
    }

    fn unexpected(&self, expected: &str) -> Box<Problem> {
        let kind = self.kind();
        let message = format!("expected {expected}, found {}", kind.describe());
        let problem = Problem::new(self.span(), "unexpected-token", message);
        let hint = match kind {
            _ if self.at > 0 && self.tokens[self.at - 1].kind == TokenKind::Word("not".to_owned()) => {
                Some("\"not\" is `!`")
            }
            TokenKind::Word(word) => match word.to_ascii_lowercase().as_str() {
                "and" => Some("\"and\" is `&&`"),
                "or" => Some("\"or\" is `||`"),
                "not" => Some("\"not\" is `!`"),
                "is" => Some("\"is null\" is `== null`"),
                "like" => Some("see `contains`, `startsWith`, `endsWith` and `matches`"),
                _ => None,
            },
            TokenKind::Mark(">") if self.at > 0 && self.tokens[self.at - 1].kind == TokenKind::Mark("<") => {
                Some("inequality is `!=`")
            }
            _ => None,
        };
        Box::new(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    }
}

fn deepest(nodes: &[Ast]) -> u16 {
    nodes.iter().map(|node| node.depth).max().unwrap_or(0)
}

fn too_deep(span: Span) -> Box<Problem> {
    let message = format!("a rule nests at most {DEPTH_MAX} levels");
    Box::new(Problem::new(span, "rule-too-deep", message).hint("split it, or compare with a list by `in`"))
}

/// Whether this can name a message type: a dotted name.
fn is_type_name(ast: &Ast) -> bool {
    let mut ast = ast;
    loop {
        match &ast.kind {
            AstKind::Name(_) | AstKind::Rooted(_) => return true,
            AstKind::Select { operand, .. } => ast = operand,
            _ => return false,
        }
    }
}
