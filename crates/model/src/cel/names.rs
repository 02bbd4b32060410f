//! What names stand for: fields, relations, variables, `auth`, `now`, `new`; and what stands after a dot or in brackets.

use super::Problem;
use super::ast::{Ast, Ident};
use super::check::{Checker, Meaning, Place, Root, Rows, Typed, plain};
use crate::diagnostic::Span;
use crate::expr::{AuthFact, Expr, Function, Node, RowVar};
use crate::field_type::FieldType;
use crate::schema::{Cardinality, Collection, CollectionId, Field, Relation, RelationId};
use crate::value::{Kind, Type, Value};

/// What `auth.role` can be.
const AUTH_ROLES: &[&str] = &["anon", "authenticated", "service_role"];
/// What `auth.aal` can be.
const AUTH_LEVELS: &[&str] = &["aal1", "aal2"];
/// What may follow `auth.`.
const AUTH_MEMBERS: &[&str] = &["id", "role", "roles", "email", "aal", "amr", "claims", "profile"];

impl<'a> Checker<'a> {
    pub(super) fn collection(&self, id: CollectionId) -> Option<&'a Collection> {
        self.scope.collections.get(usize::from(id.0))
    }

    fn relation(&self, id: RelationId) -> Option<&'a Relation> {
        self.collection(id.collection)?.relations.get(usize::from(id.index))
    }

    /// The name of the ref field that made a to-one relation, when it lives on the relation's own side.
    pub(super) fn ref_field(&self, id: RelationId) -> Option<&'a str> {
        let field = self.relation(id)?.field.filter(|field| field.collection == id.collection)?;
        Some(self.collection(id.collection)?.fields.get(usize::from(field.index))?.name.as_str())
    }

    /// A name that stands alone.
    pub(super) fn name(&mut self, name: &str, span: Span) -> Option<Meaning<'a>> {
        if let Some((_, meaning)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Some(meaning.clone());
        }
        match name {
            "auth" if !self.scope.allow_auth => {
                let problem = Problem::new(span, "auth-not-allowed", "the caller must not matter here");
                self.tell(problem.hint("what depends on the caller belongs in [access] or in a field's read and write"))
            }
            "auth" => Some(Meaning::Auth),
            "now" if !self.scope.allow_now => {
                let problem = Problem::new(span, "now-not-allowed", "the time must not matter here");
                self.tell(problem.hint("a check must stay true of a row that nobody touches"))
            }
            "now" => Some(plain(Expr { ty: Type::TIMESTAMP, node: Node::Now })),
            "new" => match self.scope.this.filter(|_| self.scope.allow_new) {
                Some(collection) => {
                    Some(Meaning::Row(Place { root: Root::Row(RowVar::NEW), steps: Vec::new(), collection }))
                }
                None => {
                    let problem = Problem::new(span, "new-not-allowed", "`new` exists in `update` rules only");
                    self.tell(problem.hint("here, plain names already are the row's fields"))
                }
            },
            _ => self.own_member(name, span),
        }
    }

    /// A field or relation of the row that the rule is about.
    fn own_member(&mut self, name: &str, span: Span) -> Option<Meaning<'a>> {
        if let Some(id) = self.scope.this {
            let place = Place { root: Root::Row(RowVar::THIS), steps: Vec::new(), collection: id };
            if self.has_member(id, name) {
                return self.member(place, name, span);
            }
        }
        let known = self.scope.this.and_then(|id| self.collection(id));
        let message = match known {
            Some(collection) => format!("\"{}\" has no field or relation \"{name}\"", collection.name),
            None => format!("there is no \"{name}\""),
        };
        let problem = Problem::new(span, "unknown-name", message);
        let hint = match name {
            "this" | "self" | "row" | "record" | "old" | "resource" => Some("fields of the row are named plainly"),
            "user" | "request" | "session" | "caller" => Some("the caller is `auth`: `auth.id`, `auth.roles`, …"),
            "undefined" | "nil" | "NULL" | "None" => Some("no value is `null`"),
            "True" | "TRUE" => Some("it is `true`"),
            "False" | "FALSE" => Some("it is `false`"),
            _ => None,
        };
        if let Some(hint) = hint {
            return self.tell(problem.hint(hint));
        }
        let mut candidates: Vec<&str> = self.variables.iter().map(|(name, _)| name.as_str()).collect();
        candidates.extend(known.into_iter().flat_map(members));
        candidates.extend(["auth"].iter().filter(|_| self.scope.allow_auth));
        candidates.extend(["now"].iter().filter(|_| self.scope.allow_now));
        candidates.extend(["new"].iter().filter(|_| self.scope.allow_new));
        let problem = problem.suggesting(name, candidates);
        self.tell(problem)
    }

    fn has_member(&self, id: CollectionId, name: &str) -> bool {
        self.collection(id).is_some_and(|known| known.field(name).is_some() || known.relation(name).is_some())
    }

    /// A field or relation of the row at a place.
    fn member(&mut self, place: Place, name: &str, span: Span) -> Option<Meaning<'a>> {
        let collection = self.collection(place.collection)?;
        if let Some(field) = collection.field(name) {
            return self.field(&place, collection, field, span);
        }
        let Some(relation) = collection.relation(name) else {
            let message = format!("\"{}\" has no field or relation \"{name}\"", collection.name);
            let problem = Problem::new(span, "unknown-name", message).suggesting(name, members(collection));
            return self.tell(problem);
        };
        if !self.scope.allow_relations {
            return self.tell(relation_not_allowed(span));
        }
        if relation.through.is_none() && relation.cardinality == Cardinality::One {
            let mut place = place;
            place.steps.push((relation.id, self.row_var()));
            place.collection = relation.target;
            return Some(Meaning::Row(place));
        }
        let junction = relation.through.as_ref().map(|through| (self.row_var(), through.second));
        let first = relation.through.as_ref().map_or(relation.id, |through| through.first);
        let bind = self.row_var();
        let target = relation.target;
        Some(Meaning::Rows(Box::new(Rows { place, relation: first, junction, bind, target, filters: Vec::new() })))
    }

    fn field(
        &mut self,
        place: &Place,
        collection: &'a Collection,
        field: &'a Field,
        span: Span,
    ) -> Option<Meaning<'a>> {
        if field.is_secret() {
            let message = format!("\"{}\" is of type secret, which no rule may read", field.name);
            return self.tell(Problem::new(span, "secret-in-rule", message));
        }
        let body = Expr { ty: field.ty, node: Node::Field(place.last(), field.id) };
        let declared = match &field.declared {
            FieldType::List { of } => of,
            declared => declared,
        };
        let values = match declared {
            FieldType::Enum { values } => values.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let relation = collection
            .relations
            .iter()
            .find(|relation| relation.field == Some(field.id) && relation.cardinality == Cardinality::One)
            .map(|relation| relation.name.as_str());
        Some(Meaning::Value(Typed { expr: place.value(body), values, relation }))
    }

    /// `operand.name`
    pub(super) fn select(&mut self, operand: Meaning<'a>, span: Span, name: &Ident) -> Option<Meaning<'a>> {
        match operand {
            Meaning::Row(place) => self.member(place, &name.text, name.span),
            Meaning::Auth => self.auth_member(name, span.to(name.span)),
            Meaning::Claims => Some(plain(claim(vec![name.text.clone()]))),
            Meaning::Rows(rows) => {
                let target = self.collection(rows.target).map_or("", |collection| collection.name.as_str());
                let message = format!("\"{}\" of many rows of \"{target}\"", name.text);
                let problem = Problem::new(name.span, "relation-as-value", message);
                self.tell(problem.hint(format!("ask about each: `….exists(x, x.{} == …)`", name.text)))
            }
            Meaning::Value(typed) if typed.expr.ty == Type::JSON => {
                Some(plain(json_member(typed.expr, Expr::literal(Type::TEXT, Value::text(&name.text)))))
            }
            Meaning::Value(typed) => {
                let message = format!("{} has no members", typed.expr.ty);
                let problem = Problem::new(name.span, "type-mismatch", message);
                self.tell(match typed.relation {
                    Some(relation) => {
                        problem.hint(format!("the related row is \"{relation}\": `{relation}.{}`", name.text))
                    }
                    None => problem,
                })
            }
        }
    }

    fn auth_member(&mut self, name: &Ident, span: Span) -> Option<Meaning<'a>> {
        let fact = |ty, fact| Expr { ty, node: Node::Auth(fact) };
        match name.text.as_str() {
            "id" => Some(plain(fact(Type::UUID, AuthFact::Id))),
            "email" => Some(plain(fact(Type::TEXT, AuthFact::Email))),
            "aal" => Some(Meaning::Value(Typed {
                expr: fact(Type::TEXT, AuthFact::Aal),
                values: AUTH_LEVELS.to_vec(),
                relation: None,
            })),
            "amr" => Some(plain(fact(Type::List(Kind::Text), AuthFact::Amr))),
            "roles" => Some(plain(fact(Type::List(Kind::Text), AuthFact::Roles))),
            "role" => Some(Meaning::Value(Typed {
                expr: fact(Type::TEXT, AuthFact::Role),
                values: AUTH_ROLES.to_vec(),
                relation: None,
            })),
            "claims" => Some(Meaning::Claims),
            "profile" => match self.scope.profile {
                Some(_) if !self.scope.allow_relations => self.tell(relation_not_allowed(span)),
                Some(collection) => {
                    let root = Root::Profile(self.row_var());
                    Some(Meaning::Row(Place { root, steps: Vec::new(), collection }))
                }
                None => {
                    let problem = Problem::new(span, "unknown-name", "users have no profile");
                    self.tell(problem.hint("name its collection in undergird.toml: `[auth] profile = \"…\"`"))
                }
            },
            wrong => {
                let message = format!("`auth` has no \"{wrong}\"");
                let problem = Problem::new(name.span, "unknown-name", message);
                let profile = self.scope.profile.is_some_and(|profile| self.has_member(profile, wrong));
                let problem = match wrong {
                    _ if profile => problem.hint(format!("did you mean \"profile.{wrong}\"?")),
                    "uid" | "sub" | "user_id" => problem.hint("did you mean \"id\"?"),
                    _ => problem.suggesting(wrong, AUTH_MEMBERS.iter().copied()),
                };
                self.tell(problem)
            }
        }
    }

    /// `operand[index]`
    pub(super) fn index(&mut self, operand: &Ast, index: &Ast) -> Option<Meaning<'a>> {
        let meaning = self.meaning(operand);
        let key = self.value(index);
        let (meaning, key) = (meaning?, key?.expr);
        if let Node::Literal(Value::Int(..0)) = key.node {
            return self.tell(Problem::new(index.span, "constant-error", "positions count from 0"));
        }
        let typed = match meaning {
            Meaning::Claims => match key.node {
                Node::Literal(Value::Text(name)) => return Some(plain(claim(vec![name]))),
                _ => {
                    let problem = Problem::new(index.span, "type-mismatch", "a claim's name is a literal text");
                    return self.tell(problem);
                }
            },
            other => self.as_value(other, operand.span)?,
        };
        match (typed.expr.ty, key.ty) {
            (Type::Scalar(Kind::Json), Type::TEXT | Type::INT) => Some(plain(json_member(typed.expr, key))),
            (Type::Scalar(Kind::Json), other) => {
                let message = format!("a member of JSON is named by text or int, not {other}");
                self.tell(Problem::new(index.span, "type-mismatch", message))
            }
            (Type::List(kind), Type::INT) => {
                let node = Node::Call(Function::Element, vec![typed.expr, key]);
                let expr = Expr { ty: Type::Scalar(kind), node };
                Some(Meaning::Value(Typed { expr, values: typed.values, relation: None }))
            }
            (Type::List(_), other) => {
                let message = format!("an element's position is an int, not {other}");
                self.tell(Problem::new(index.span, "type-mismatch", message))
            }
            (other, _) => {
                let message = format!("{other} has no elements");
                self.tell(Problem::new(operand.span, "type-mismatch", message))
            }
        }
    }

    /// `has(operand)`: whether it has a value.
    pub(super) fn has(&mut self, operand: &Ast) -> Option<Expr> {
        match self.meaning(operand)? {
            Meaning::Row(place) => self.row_exists(&place, operand.span),
            Meaning::Rows(_) => {
                let problem = Problem::new(operand.span, "relation-as-value", "`has()` of many rows");
                self.tell(problem.hint("whether there are any is `size(…) > 0`"))
            }
            other => self.as_value(other, operand.span).map(|typed| is_null(typed.expr).negated()),
        }
    }

    /// Whether there is a row at a place.
    pub(super) fn row_exists(&mut self, place: &Place, span: Span) -> Option<Expr> {
        if place.steps.is_empty() && matches!(place.root, Root::Row(_)) {
            return self.tell(Problem::new(span, "relation-as-value", "this row always exists"));
        }
        Some(place.exists(Expr::bool(true)))
    }
}

fn relation_not_allowed(span: Span) -> Problem {
    Problem::new(span, "relation-not-allowed", "only the row's own fields may be used here")
        .hint("other rows may be asked about in [access] and in a field's read and write")
}

/// Whether a value is null. JSON's own `null` counts.
pub(super) fn is_null(expr: Expr) -> Expr {
    if expr.ty == Type::JSON {
        return Expr::test(Node::Call(Function::JsonPresent, vec![expr])).negated();
    }
    let null = Expr::literal(Type::Null, Value::Null);
    Expr::test(Node::Same(Box::new(expr), Box::new(null)))
}

/// A member or element of JSON. Members of claims extend the claim's path.
fn json_member(json: Expr, key: Expr) -> Expr {
    match (json.node, key.node) {
        (Node::Auth(AuthFact::Claim(mut path)), Node::Literal(Value::Text(name))) => {
            path.push(name);
            claim(path)
        }
        (node, key_node) => {
            let arguments = vec![Expr { ty: json.ty, node }, Expr { ty: key.ty, node: key_node }];
            Expr { ty: Type::JSON, node: Node::Call(Function::JsonGet, arguments) }
        }
    }
}

fn claim(path: Vec<String>) -> Expr {
    Expr { ty: Type::JSON, node: Node::Auth(AuthFact::Claim(path)) }
}

/// The names that may follow a dot after a row of a collection.
fn members(collection: &Collection) -> impl Iterator<Item = &str> {
    let fields = collection.fields.iter().filter(|field| !field.is_secret()).map(|field| field.name.as_str());
    fields.chain(collection.relations.iter().map(|relation| relation.name.as_str()))
}
