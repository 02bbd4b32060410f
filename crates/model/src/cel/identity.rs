//! The trap of null-safe equality: for a visitor `auth.id` is null, so `owner_id == auth.id` is true of every row without an owner.
//!
//! Such a comparison is found and warned of, unless the rule also says that the caller is signed in. Absent: any change of meaning.

use super::Problem;
use crate::diagnostic::Span;
use crate::expr::{AuthFact, Expr, Function, Node};
use crate::schema::{Collection, FieldId, RelationId};
use crate::value::{Type, Value};

/// An equality that was written, and where.
pub type Equality = (Span, Expr);

/// Warnings about those of the equalities that a visitor passes by being nobody.
pub fn warnings(expr: &Expr, equalities: &[Equality], collections: &[Collection]) -> Vec<Problem> {
    if equalities.is_empty() {
        return Vec::new();
    }
    let mut finder = Finder { collections, found: Vec::new() };
    finder.walk(expr, true);
    let trapped = equalities.iter().filter(|(_, equality)| finder.found.contains(&equality));
    trapped
        .map(|(span, _)| {
            let message = "for a visitor both sides can be null, and null equals null";
            Problem::new(*span, "null-identity", message).hint("say `auth.id != null && …`, unless visitors are meant")
        })
        .collect()
}

/// Whether this is null because nobody is signed in.
pub fn is_null_for_visitors(expr: &Expr) -> bool {
    match &expr.node {
        Node::Auth(AuthFact::Id | AuthFact::Email | AuthFact::Aal | AuthFact::Claim(_)) | Node::Profile { .. } => true,
        Node::Call(_, arguments) => arguments.iter().any(is_null_for_visitors),
        _ => false,
    }
}

struct Finder<'a> {
    collections: &'a [Collection],
    found: Vec<&'a Expr>,
}

impl<'a> Finder<'a> {
    /// `positive`: whether the truth of this part makes the rule true, rather than false.
    fn walk(&mut self, expr: &'a Expr, positive: bool) {
        match &expr.node {
            Node::Same(a, b) if positive => {
                let trapped = (is_null_for_visitors(a) && self.may_be_null(b))
                    || (is_null_for_visitors(b) && self.may_be_null(a));
                if trapped {
                    self.found.push(expr);
                }
            }
            Node::Not(inner) => self.walk(inner, !positive),
            // All must hold, so one that holds for nobody but users protects the others; likewise when all must fail.
            Node::And(terms) if positive && terms.iter().any(|term| self.tells_users(term, true)) => {}
            Node::Or(terms) if !positive && terms.iter().any(|term| self.tells_users(term, false)) => {}
            Node::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                // As a condition it is neither asked to be true nor to be false.
                self.walk(condition, true);
                self.walk(condition, false);
                if !self.tells_users(condition, true) {
                    self.walk(then, positive);
                }
                if !self.tells_users(condition, false) {
                    self.walk(otherwise, positive);
                }
            }
            _ => {
                for child in expr.children() {
                    self.walk(child, positive);
                }
            }
        }
    }

    fn may_be_null(&self, expr: &Expr) -> bool {
        match &expr.node {
            Node::Literal(value) => value.is_null(),
            Node::Field(_, id) => self.is_optional(*id),
            Node::Via { relation, body, .. } => self.may_lead_nowhere(*relation) || self.may_be_null(body),
            // A member may be missing, an element be beyond the end, a text be malformed.
            Node::Call(
                Function::Concatenate | Function::LowerAscii | Function::UpperAscii | Function::Trim,
                arguments,
            ) => arguments.iter().any(|argument| self.may_be_null(argument)),
            Node::Call(Function::ToText, arguments) => {
                arguments.iter().any(|argument| argument.ty == Type::JSON || self.may_be_null(argument))
            }
            Node::Call(..) => true,
            Node::If(parts) => self.may_be_null(&parts[1]) || self.may_be_null(&parts[2]),
            Node::Element(_) | Node::Now => false,
            _ => is_null_for_visitors(expr),
        }
    }

    fn is_optional(&self, id: FieldId) -> bool {
        let collection = self.collections.get(usize::from(id.collection.0));
        collection.and_then(|known| known.fields.get(usize::from(id.index))).is_none_or(|field| field.optional)
    }

    fn may_lead_nowhere(&self, id: RelationId) -> bool {
        let collection = self.collections.get(usize::from(id.collection.0));
        let relation = collection.and_then(|known| known.relations.get(usize::from(id.index)));
        relation.is_none_or(|relation| {
            // A way back may find no row; a ref leads somewhere unless it is null.
            relation.field.is_none_or(|field| field.collection != id.collection || self.is_optional(field))
        })
    }

    /// Whether being `truth` means that the caller is a user.
    fn tells_users(&self, expr: &Expr, truth: bool) -> bool {
        match &expr.node {
            Node::Not(inner) => self.tells_users(inner, !truth),
            Node::And(terms) if truth => terms.iter().any(|term| self.tells_users(term, true)),
            Node::Or(terms) if !truth => terms.iter().any(|term| self.tells_users(term, false)),
            Node::Same(a, b) => match (&a.node, &b.node) {
                (Node::Auth(AuthFact::Role), Node::Literal(Value::Text(role)))
                | (Node::Literal(Value::Text(role)), Node::Auth(AuthFact::Role)) => truth != (role == "anon"),
                (_, Node::Literal(Value::Null)) => !truth && is_null_for_visitors(a),
                // Who equals what is never null is somebody.
                _ => {
                    truth
                        && ((is_null_for_visitors(a) && !self.may_be_null(b))
                            || (is_null_for_visitors(b) && !self.may_be_null(a)))
                }
            },
            Node::Compare(_, a, b) => truth && (is_null_for_visitors(a) || is_null_for_visitors(b)),
            Node::In(element, list) => {
                truth
                    && (is_null_for_visitors(element)
                        || matches!(list.node, Node::Auth(AuthFact::Roles | AuthFact::Amr))
                        || is_null_for_visitors(list))
            }
            Node::Call(Function::JsonPresent, arguments) => truth && arguments.iter().any(is_null_for_visitors),
            Node::Profile { .. } => truth,
            _ => false,
        }
    }
}
