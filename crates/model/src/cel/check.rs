//! The type checker: syntax in, typed expression out, resolved against the model. All mistakes are collected: a bad part becomes
//! "unknown", and what surrounds it is still checked.
//!
//! Names are in [`super::names`], operators in [`super::operators`], functions and macros in [`super::functions`]. The meaning of what comes
//! out is told by the header of [`crate::expr`]. Recursion is bounded by the parser's `DEPTH_MAX`; what comes out is as large as what goes in,
//! give or take a factor: no operand is ever used twice.

use super::ast::{Ast, AstKind};
use super::identity::Equality;
use super::literal;
use super::{Expect, Problem, Scope};
use crate::diagnostic::Span;
use crate::expr::{ElementVar, Expr, Node, RowVar};
use crate::schema::{CollectionId, RelationId};
use crate::value::{Kind, Type, Value};

/// The meaning of a tree with the equalities in it that concern the caller, or all its mistakes in order of place.
pub fn check(ast: &Ast, scope: &Scope) -> Result<(Expr, Vec<Equality>), Vec<Problem>> {
    let mut checker = Checker {
        scope,
        problems: Vec::new(),
        variables: Vec::new(),
        equalities: Vec::new(),
        next_row: RowVar::FIRST_BOUND.0,
        next_element: 0,
    };
    let expr = match scope.expect {
        Expect::Bool => checker.condition(ast),
        Expect::Any => checker.value(ast).map(|typed| typed.expr),
        Expect::Type(want) => checker.expected(ast, want),
    };
    let mut problems = checker.problems;
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    problems.dedup();
    match expr {
        Some(expr) if problems.is_empty() => Ok((expr, checker.equalities)),
        _ => Err(problems),
    }
}

/// The state of one check.
pub(super) struct Checker<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) problems: Vec<Problem>,
    /// Bound by macros, innermost last.
    pub(super) variables: Vec<(String, Meaning<'a>)>,
    pub(super) equalities: Vec<Equality>,
    next_row: u16,
    next_element: u16,
}

/// What a name or a piece of syntax stands for.
#[derive(Clone, Debug)]
pub(super) enum Meaning<'a> {
    /// A value.
    Value(Typed<'a>),
    /// One row, or none: `author`, `new`, `m` in a macro, `auth.profile`.
    Row(Place),
    /// Many rows: `posts`, `posts.filter(…)`.
    Rows(Box<Rows>),
    /// `auth`
    Auth,
    /// `auth.claims`
    Claims,
}

/// A value with what is known of it beyond its type.
#[derive(Clone, Debug)]
pub(super) struct Typed<'a> {
    pub(super) expr: Expr,
    /// The only texts that it can be; empty when it is free.
    pub(super) values: Vec<&'a str>,
    /// Of a field that is a ref: the relation's name, for hints.
    pub(super) relation: Option<&'a str>,
}

impl Typed<'_> {
    /// A value of which nothing else is known.
    pub(super) fn plain(expr: Expr) -> Self {
        Typed { expr, values: Vec::new(), relation: None }
    }
}

/// A way to at most one row: from a row in scope (or the caller's profile) over to-one relations.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) root: Root,
    /// Each relation, and what its row is called.
    pub(super) steps: Vec<(RelationId, RowVar)>,
    /// Where it ends.
    pub(super) collection: CollectionId,
}

/// Where a way begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root {
    /// At a row in scope.
    Row(RowVar),
    /// At the caller's profile, which is called so.
    Profile(RowVar),
}

impl Place {
    /// The row that the way ends at.
    pub(super) fn last(&self) -> RowVar {
        match (self.steps.last(), self.root) {
            (Some((_, bind)), _) => *bind,
            (None, Root::Row(row) | Root::Profile(row)) => row,
        }
    }

    /// The value of `body` in the last row; null when there is none.
    pub(super) fn value(&self, body: Expr) -> Expr {
        self.wrap(body, |from, relation, bind, body| Node::Via { from, relation, bind, body })
    }

    /// Whether there is a last row and `filter` is true in it.
    pub(super) fn exists(&self, filter: Expr) -> Expr {
        let expr = self.wrap(filter, |from, relation, bind, filter| Node::Exists { from, relation, bind, filter });
        // Without a profile the node gives null, which must become false.
        if matches!(self.root, Root::Profile(_)) { Expr::all([expr]) } else { expr }
    }

    fn wrap(&self, body: Expr, node: fn(RowVar, RelationId, RowVar, Box<Expr>) -> Node) -> Expr {
        let mut expr = body;
        for (at, (relation, bind)) in self.steps.iter().enumerate().rev() {
            let from = match (at.checked_sub(1).and_then(|before| self.steps.get(before)), self.root) {
                (Some((_, bind)), _) => *bind,
                (None, Root::Row(row) | Root::Profile(row)) => row,
            };
            expr = Expr { ty: expr.ty, node: node(from, *relation, *bind, Box::new(expr)) };
        }
        match self.root {
            Root::Row(_) => expr,
            Root::Profile(bind) => Expr { ty: expr.ty, node: Node::Profile { bind, body: Box::new(expr) } },
        }
    }
}

/// The rows that a to-many relation leads to.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Where it starts.
    pub(super) place: Place,
    /// From there, to the rows or to the junction.
    pub(super) relation: RelationId,
    /// The junction's row and the relation from it, for a many-to-many.
    pub(super) junction: Option<(RowVar, RelationId)>,
    /// What each row is called.
    pub(super) bind: RowVar,
    /// Of which collection they are.
    pub(super) target: CollectionId,
    /// Conditions of `.filter(…)`.
    pub(super) filters: Vec<Expr>,
}

impl Rows {
    /// The relation's first step and what its row must pass, when the rows must pass `condition`.
    fn step(&self, condition: Expr) -> (RelationId, RowVar, Box<Expr>) {
        let filter = if self.filters.is_empty() {
            condition
        } else {
            Expr::all(self.filters.iter().cloned().chain([condition]))
        };
        match self.junction {
            None => (self.relation, self.bind, Box::new(filter)),
            Some((bind, second)) => {
                let node = Node::Exists { from: bind, relation: second, bind: self.bind, filter: Box::new(filter) };
                (self.relation, bind, Box::new(Expr::test(node)))
            }
        }
    }

    /// Whether any passes. Never null.
    pub(super) fn exists(&self, condition: Expr) -> Expr {
        let (relation, bind, filter) = self.step(condition);
        self.place.exists(Expr::test(Node::Exists { from: self.place.last(), relation, bind, filter }))
    }

    /// How many pass; null when there is no row to start at.
    pub(super) fn count(&self, condition: Expr) -> Expr {
        let (relation, bind, filter) = self.step(condition);
        self.place.value(Expr { ty: Type::INT, node: Node::Count { from: self.place.last(), relation, bind, filter } })
    }
}

/// Why a value is not of a type.
pub(super) enum Misfit {
    /// The reason has been told.
    Told,
    /// It is of another type.
    Type,
}

impl<'a> Checker<'a> {
    pub(super) fn row_var(&mut self) -> RowVar {
        let var = RowVar(self.next_row);
        self.next_row = self.next_row.saturating_add(1);
        var
    }

    pub(super) fn element_var(&mut self) -> ElementVar {
        let var = ElementVar(self.next_element);
        self.next_element = self.next_element.saturating_add(1);
        var
    }

    /// Notes a mistake. `None`, so that it can end the caller.
    pub(super) fn tell<T>(&mut self, problem: Problem) -> Option<T> {
        self.problems.push(problem);
        None
    }

    /// What a piece of syntax stands for. `None` when that has been told to be a mistake.
    pub(super) fn meaning(&mut self, ast: &Ast) -> Option<Meaning<'a>> {
        let constant = |ty, value| Some(Meaning::Value(Typed::plain(Expr::literal(ty, value))));
        match &ast.kind {
            AstKind::Null => constant(Type::Null, Value::Null),
            AstKind::Bool(value) => constant(Type::BOOL, Value::Bool(*value)),
            AstKind::Int(number) => constant(Type::INT, Value::Int(*number)),
            AstKind::Float(number) => constant(Type::FLOAT, Value::float(*number)),
            AstKind::Text(text) => constant(Type::TEXT, Value::text(text)),
            AstKind::Bytes(bytes) => constant(Type::Scalar(Kind::Bytes), Value::Bytes(bytes.clone())),
            AstKind::Name(name) => self.name(name, ast.span),
            AstKind::Rooted(name) => {
                let problem = Problem::new(ast.span, "unsupported-syntax", "rules have no namespaces");
                self.tell(problem.hint(format!("write `{name}`")))
            }
            AstKind::Select { operand, name } => {
                let operand_meaning = self.meaning(operand)?;
                self.select(operand_meaning, operand.span, name)
            }
            AstKind::Index { operand, index } => self.index(operand, index),
            AstKind::Call { function, arguments } => self.call(ast.span, function, arguments),
            AstKind::Method { receiver, method, arguments } => self.method(ast.span, receiver, method, arguments),
            AstKind::Macro { which, receiver, variable, body } => {
                self.macro_call(ast.span, *which, receiver, variable, body)
            }
            AstKind::Has(operand) => self.has(operand).map(plain),
            AstKind::Not(inner) => Some(plain(self.condition(inner)?.negated())),
            AstKind::Negate(inner) => self.negate(inner).map(plain),
            AstKind::And(terms) => self.conditions(terms).map(|terms| plain(Expr::all(terms))),
            AstKind::Or(terms) => self.conditions(terms).map(|terms| plain(Expr::any(terms))),
            AstKind::Binary { op, left, right } => self.binary(ast.span, *op, left, right).map(plain),
            AstKind::If(parts) => self.choice(ast.span, parts).map(plain),
            AstKind::List(items) => self.list(items, None).map(plain),
            AstKind::Map(entries) => {
                for (_, value) in entries {
                    let _ = self.meaning(value);
                }
                self.tell(Problem::new(ast.span, "unsupported-syntax", "rules have no maps"))
            }
            AstKind::Message => self.tell(Problem::new(ast.span, "unsupported-syntax", "rules have no messages")),
        }
    }

    /// A value.
    pub(super) fn value(&mut self, ast: &Ast) -> Option<Typed<'a>> {
        let meaning = self.meaning(ast)?;
        self.as_value(meaning, ast.span)
    }

    /// What something means, as a value.
    pub(super) fn as_value(&mut self, meaning: Meaning<'a>, span: Span) -> Option<Typed<'a>> {
        let (message, hint) = match meaning {
            Meaning::Value(typed) => return Some(typed),
            Meaning::Row(place) => {
                let hint = match place.steps.last() {
                    Some((relation, _)) => match self.ref_field(*relation) {
                        Some(field) => {
                            format!("its key here is \"{field}\"; or name one of its fields, or compare it with null")
                        }
                        None => "name one of its fields, or compare it with null".to_owned(),
                    },
                    None => "name one of its fields".to_owned(),
                };
                ("this is a row, not a value".to_owned(), hint)
            }
            Meaning::Rows(_) => (
                "this is many rows, not a value".to_owned(),
                "ask about them with `exists`, `all`, `exists_one` or `size`".to_owned(),
            ),
            Meaning::Auth => {
                ("`auth` is not a value".to_owned(), "a caller who is signed in has `auth.id != null`".to_owned())
            }
            Meaning::Claims => {
                ("`auth.claims` is not a value".to_owned(), "name a claim, as in `auth.claims.org`".to_owned())
            }
        };
        self.tell(Problem::new(span, "relation-as-value", message).hint(hint))
    }

    /// A bool. Null counts as false.
    pub(super) fn condition(&mut self, ast: &Ast) -> Option<Expr> {
        let meaning = self.meaning(ast)?;
        if let Meaning::Row(_) = meaning {
            let problem = Problem::new(ast.span, "relation-as-value", "a row is not a condition");
            return self.tell(problem.hint("whether there is one is `… != null`"));
        }
        let expr = self.as_value(meaning, ast.span)?.expr;
        if expr.ty == Type::BOOL {
            return Some(expr);
        }
        let problem =
            Problem::new(ast.span, "type-mismatch", format!("expected a condition (bool), found {}", expr.ty));
        self.tell(match expr.ty {
            Type::Null => problem,
            Type::Scalar(Kind::Json) => problem.hint("compare it: `… == true`"),
            Type::List(_) => problem.hint("whether it has elements is `size(…) > 0`"),
            _ => problem.hint("compare it with something, or with null: `… != null`"),
        })
    }

    fn conditions(&mut self, terms: &[Ast]) -> Option<Vec<Expr>> {
        let checked: Vec<_> = terms.iter().map(|term| self.condition(term)).collect();
        checked.into_iter().collect()
    }

    /// A value of a type that the surroundings prescribe.
    fn expected(&mut self, ast: &Ast, want: Type) -> Option<Expr> {
        let expr = match (&ast.kind, want) {
            (AstKind::List(items), Type::List(kind)) => self.list(items, Some(Type::Scalar(kind)))?,
            _ => self.value(ast)?.expr,
        };
        let found = expr.ty;
        match self.fit(expr, want, ast.span) {
            Ok(expr) => Some(expr),
            Err(Misfit::Told) => None,
            Err(Misfit::Type) => {
                let problem = Problem::new(ast.span, "type-mismatch", format!("expected {want}, found {found}"));
                self.tell(match conversion_to(want).filter(|_| !matches!(found, Type::List(_))) {
                    Some(function) => problem.hint(format!("convert it: `{function}(…)`")),
                    None => problem,
                })
            }
        }
    }

    /// The expression as one of type `want`: itself, or a literal converted.
    pub(super) fn fit(&mut self, expr: Expr, want: Type, span: Span) -> Result<Expr, Misfit> {
        if expr.ty == want {
            return Ok(expr);
        }
        if let (Type::Scalar(Kind::Decimal { .. }), Type::Scalar(Kind::Decimal { .. })) = (expr.ty, want) {
            return Ok(expr);
        }
        let Node::Literal(value) = expr.node else { return Err(Misfit::Type) };
        match (&value, want) {
            (Value::Null, _) => Ok(Expr::literal(want, Value::Null)),
            (Value::Text(text), _) if literal::is_written_as_text(want) => match literal::from_text(text, want) {
                Ok(value) => Ok(Expr::literal(want, value)),
                Err(form) => {
                    let message = format!("this text is no {want}");
                    self.problems.push(Problem::new(span, "bad-literal", message).hint(form));
                    Err(Misfit::Told)
                }
            },
            (Value::List(items), Type::List(_)) if items.is_empty() => Ok(Expr::literal(want, value)),
            (_, Type::Scalar(Kind::Json)) => {
                literal::json(&value).map(|json| Expr::literal(Type::JSON, json)).ok_or(Misfit::Type)
            }
            _ => literal::number(&value, want).map(|(value, ty)| Expr::literal(ty, value)).ok_or(Misfit::Type),
        }
    }
}

/// An expression as a meaning.
pub(super) fn plain<'a>(expr: Expr) -> Meaning<'a> {
    Meaning::Value(Typed::plain(expr))
}

/// The function that converts to a type.
pub(super) fn conversion_to(ty: Type) -> Option<&'static str> {
    Some(match ty {
        Type::Scalar(Kind::Bool) => "bool",
        Type::Scalar(Kind::Int) => "int",
        Type::Scalar(Kind::Float) => "double",
        Type::Scalar(Kind::Text) => "string",
        Type::Scalar(Kind::Uuid) => "uuid",
        Type::Scalar(Kind::Timestamp) => "timestamp",
        Type::Scalar(Kind::Date) => "date",
        Type::Duration => "duration",
        _ => return None,
    })
}
