//! What changed rows must pass once more, when all of a request's rows are changed: a rule that follows a relation into its own
//! collection may lead to rows that the same request changes, and what was judged before each change is then no longer so.
//!
//! A rule without `new` is asked of the row as it has become. A rule that says `new` compares two states: what it says of the new
//! one is asked of the row as it has become, and what it says of the old one was noted before ([`Again::noted`]).
//!
//! Absent: what was asked before the change already and no change of another row can make different; checks, which look at no other
//! row; the write rules of fields, which are about the row as it was.

use super::Builder;
use super::write::mentions_row;
use crate::partial::{self, Verdict};
use crate::refusal::Refusal;
use crate::request::Verb;
use crate::shape::{Again, Guard, Otherwise};
use undergird_model::expr::{ElementVar, RowVar};
use undergird_model::{Collection, CollectionId, Expr, FieldId, Model, Node, Type};

impl Builder<'_> {
    /// What a row must pass once more as it has become, after these fields were assigned.
    pub(super) fn again(&self, collection: &Collection, assign: &[(FieldId, Expr)]) -> Result<Again, Refusal> {
        let is_assigned = |field: FieldId| assign.iter().any(|(known, _)| *known == field);
        let rule = self.access(collection, Verb::Update)?;
        let compares = mentions_row(&rule, RowVar::NEW);
        let mut lift = Lift { is_assigned: &is_assigned, noted: Vec::new(), rows: Vec::new(), elements: Vec::new() };
        let mut terms = Vec::new();
        for term in conjuncts(&rule) {
            if !self.model.looks_into(term, collection.id) {
                continue;
            }
            if !compares {
                terms.push(term.clone());
            } else if sees_changes(self.model, term, collection.id) {
                let lifted = lift.expr(term).ok_or_else(|| Refusal::Unsupported {
                    what: format!("this change of {}", collection.name),
                    hint: Some(
                        "its update rule speaks of the old row among the rows that the new one leads to, in a way that cannot be asked \
                         again when the change is made; keep what it says of the old row apart, outside exists(…) and the like"
                            .into(),
                    ),
                })?;
                terms.push(lifted);
            }
        }
        let mut guards = vec![Guard { predicate: Expr::all(terms), otherwise: Otherwise::Access }];
        guards.retain(|guard| partial::verdict(&guard.predicate, &self.kind) != Verdict::Allow);
        Ok(Again { noted: lift.noted, guards })
    }
}

fn conjuncts(rule: &Expr) -> &[Expr] {
    match &rule.node {
        Node::And(terms) => terms,
        _ => std::slice::from_ref(rule),
    }
}

/// Whether what a term says of the new row may depend on what other rows of the collection become: it follows a relation from there,
/// or speaks of the caller's profile. (What is reached from the old row is judged as it was.)
fn sees_changes(model: &Model, term: &Expr, collection: CollectionId) -> bool {
    if !mentions_row(term, RowVar::NEW) {
        return false;
    }
    term.any_node(&mut |node| match node {
        Node::Via { from, .. } | Node::Exists { from, .. } | Node::Count { from, .. } => *from == RowVar::NEW,
        Node::Profile { .. } => model.profile == Some(collection),
        _ => false,
    })
}

/// Makes of a term over the old row and the new one a term over the row as it has become.
struct Lift<'a> {
    is_assigned: &'a dyn Fn(FieldId) -> bool,
    noted: Vec<Expr>,
    /// Rows and elements that are bound around the expression at hand.
    rows: Vec<RowVar>,
    elements: Vec<ElementVar>,
}

impl Lift<'_> {
    /// `None` when that cannot be.
    fn expr(&mut self, expr: &Expr) -> Option<Expr> {
        match (mentions_row(expr, RowVar::THIS), mentions_row(expr, RowVar::NEW)) {
            (false, false) => return Some(expr.clone()),
            (true, false) if !self.differs(expr) => return Some(expr.clone()),
            (true, false) if matches!(expr.ty, Type::Scalar(_)) && !self.uses_bound(expr) => return self.note(expr),
            _ => {}
        }
        let mut lifted = expr.clone();
        match &mut lifted.node {
            // What the old row held or led to is gone: here it is a list, or within what is asked of the rows that the new one leads to.
            Node::Field(RowVar::THIS, field) if (self.is_assigned)(*field) => return None,
            Node::Field(row, _) if *row == RowVar::NEW => *row = RowVar::THIS,
            Node::Via { from, .. } | Node::Exists { from, .. } | Node::Count { from, .. } => match *from {
                RowVar::THIS => return None,
                RowVar::NEW => *from = RowVar::THIS,
                _ => {}
            },
            _ => {}
        }
        let (rows, elements) = (self.rows.len(), self.elements.len());
        match &expr.node {
            Node::Via { bind, .. }
            | Node::Exists { bind, .. }
            | Node::Count { bind, .. }
            | Node::At { bind, .. }
            | Node::Profile { bind, .. } => self.rows.push(*bind),
            Node::AnyElement { bind, .. } => self.elements.push(*bind),
            _ => {}
        }
        let mut whole = true;
        let lifted = lifted.map_children(|child| {
            let lifted = self.expr(&child);
            whole &= lifted.is_some();
            lifted.unwrap_or(child)
        });
        self.rows.truncate(rows);
        self.elements.truncate(elements);
        whole.then_some(lifted)
    }

    /// Notes what an expression over the old row gives.
    fn note(&mut self, expr: &Expr) -> Option<Expr> {
        let known = self.noted.iter().position(|noted| noted == expr);
        let position = known.unwrap_or_else(|| {
            self.noted.push(expr.clone());
            self.noted.len() - 1
        });
        Some(Expr { ty: expr.ty, node: Node::Input(u16::try_from(position).ok()?) })
    }

    /// Whether an expression over the old row may give something else for the new one.
    fn differs(&self, expr: &Expr) -> bool {
        expr.any_node(&mut |node| match node {
            Node::Field(RowVar::THIS, field) => (self.is_assigned)(*field),
            Node::Via { from, .. } | Node::Exists { from, .. } | Node::Count { from, .. } => *from == RowVar::THIS,
            _ => false,
        })
    }

    fn uses_bound(&self, expr: &Expr) -> bool {
        expr.any_node(&mut |node| match node {
            Node::Field(row, _) => self.rows.contains(row),
            Node::Via { from, .. } | Node::Exists { from, .. } | Node::Count { from, .. } => self.rows.contains(from),
            Node::Element(element) => self.elements.contains(element),
            _ => false,
        })
    }
}
