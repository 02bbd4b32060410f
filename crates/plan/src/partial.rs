//! Partial evaluation for a kind of caller: *allow*, *deny* or *only these rows*; and the renaming and substitution with which
//! rules are put into plans.
//!
//! Every function here keeps the meaning of what it is given; a property test holds each against [`crate::evaluate`].
//!
//! Absent: the caller's own values (id, claims). They are bound later, so that one shape serves all callers of a kind.

use crate::caller::CallerKind;
use crate::function;
use rustc_hash::FxHashSet;
use undergird_model::expr::{Ask, AuthFact, Comparison, ElementVar, Function, RowVar};
use undergird_model::{Expr, FieldId, Model, Node, RelationId, Type, Value};

/// What a rule comes down to for a kind of caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Every row.
    Allow,
    /// No row.
    Deny,
    /// The rows for which this is true. Never null.
    Only(Expr),
}

/// What a rule comes down to for a kind of caller.
pub fn verdict(expr: &Expr, kind: &CallerKind) -> Verdict {
    let narrowed = Expr::all([specialise(expr, kind)]);
    match narrowed.node {
        Node::Literal(Value::Bool(true)) => Verdict::Allow,
        Node::Literal(_) => Verdict::Deny,
        node => Verdict::Only(Expr { ty: narrowed.ty, node }),
    }
}

/// The same expression for one kind of caller: facts known from the kind folded in, constants folded, bools simplified.
/// Specialising again changes nothing.
pub fn specialise(expr: &Expr, kind: &CallerKind) -> Expr {
    simplified(expr.clone(), kind)
}

fn simplified(expr: Expr, kind: &CallerKind) -> Expr {
    let expr = expr.map_children(|child| simplified(child, kind));
    let ty = expr.ty;
    let null = |ty| Expr::literal(ty, Value::Null);
    match expr.node {
        Node::Auth(fact) => match known(&fact, kind) {
            Some(value) => Expr::literal(ty, value),
            None => Expr { ty, node: Node::Auth(fact) },
        },
        Node::Profile { body, .. } if !matches!(kind, CallerKind::User(..)) || is_null(&body) => null(ty),
        Node::Via { body, .. } if is_null(&body) => null(ty),
        Node::Exists { filter, .. } if is_false(&filter) => Expr::bool(false),
        Node::Count { filter, .. } if is_false(&filter) => Expr::literal(ty, Value::Int(0)),
        Node::At { key, body, ask, .. } if key.iter().any(is_null) || leads_nowhere(ask, &body) => match ask {
            Ask::Value => null(ty),
            Ask::Any => Expr::bool(false),
            Ask::Count => Expr::literal(ty, Value::Int(0)),
        },
        Node::AnyElement { list, filter, .. } if is_false(&filter) || is_empty(&list) => Expr::bool(false),
        Node::And(terms) => Expr::all(distinct(terms, true)),
        Node::Or(terms) => Expr::any(distinct(terms, false)),
        Node::Not(inner) => negated(*inner),
        Node::If(parts) => chosen(ty, *parts),
        Node::Same(a, b) => match (literal(&a), literal(&b)) {
            (Some(a), Some(b)) => Expr::bool(function::same(a, b)),
            _ if a == b => Expr::bool(true),
            (Some(Value::Null), None) if never_null(&b) => Expr::bool(false),
            (None, Some(Value::Null)) if never_null(&a) => Expr::bool(false),
            _ => Expr { ty, node: Node::Same(a, b) },
        },
        Node::Compare(comparison, a, b) => match (literal(&a), literal(&b)) {
            (Some(a), Some(b)) => Expr::bool(function::compare(comparison, a, b)),
            (Some(Value::Null), None) | (None, Some(Value::Null)) => Expr::bool(false),
            _ => Expr { ty, node: Node::Compare(comparison, a, b) },
        },
        Node::In(item, list) => contained(ty, item, list),
        Node::Arithmetic(operator, a, b) => match (literal(&a), literal(&b)) {
            (Some(a), Some(b)) => Expr::literal(ty, function::arithmetic(operator, a, b)),
            (Some(Value::Null), None) | (None, Some(Value::Null)) => null(ty),
            _ => Expr { ty, node: Node::Arithmetic(operator, a, b) },
        },
        Node::Negate(inner) => match literal(&inner) {
            Some(value) => Expr::literal(ty, function::negate(value)),
            None => Expr { ty, node: Node::Negate(inner) },
        },
        Node::Call(function, arguments) => called(ty, function, arguments),
        Node::List(items) => listed(ty, items),
        node @ (Node::Literal(_)
        | Node::Param(_)
        | Node::Input(_)
        | Node::Now
        | Node::Field(..)
        | Node::Element(_)
        | Node::Via { .. }
        | Node::Profile { .. }
        | Node::Exists { .. }
        | Node::Count { .. }
        | Node::At { .. }
        | Node::AnyElement { .. }) => Expr { ty, node },
    }
}

/// A fact that every caller of the kind shares.
fn known(fact: &AuthFact, kind: &CallerKind) -> Option<Value> {
    let user = matches!(kind, CallerKind::User(..));
    match (fact, kind) {
        (AuthFact::Role, CallerKind::Visitor) => Some(Value::text("anon")),
        (AuthFact::Role, CallerKind::User(..)) => Some(Value::text("authenticated")),
        (AuthFact::Role, CallerKind::Secret | CallerKind::System) => Some(Value::text("service_role")),
        (AuthFact::Roles, CallerKind::User(roles, _)) => Some(Value::List(roles.iter().map(Value::text).collect())),
        (AuthFact::Amr, CallerKind::User(..)) => None,
        (AuthFact::Roles | AuthFact::Amr, _) => Some(Value::List(Vec::new())),
        (AuthFact::Id | AuthFact::Email | AuthFact::Aal | AuthFact::Claim(_), _) if user => None,
        (AuthFact::Id | AuthFact::Email | AuthFact::Aal | AuthFact::Claim(_), _) => Some(Value::Null),
    }
}

fn literal(expr: &Expr) -> Option<&Value> {
    match &expr.node {
        Node::Literal(value) => Some(value),
        _ => None,
    }
}

fn is_null(expr: &Expr) -> bool {
    literal(expr) == Some(&Value::Null)
}

/// False in a place that wants a bool, whatever the row.
fn is_false(expr: &Expr) -> bool {
    matches!(literal(expr), Some(value) if *value != Value::Bool(true))
}

fn is_empty(list: &Expr) -> bool {
    matches!(literal(list), Some(value) if function::elements(value.clone()).is_empty())
}

fn leads_nowhere(ask: Ask, body: &Expr) -> bool {
    match ask {
        Ask::Value => is_null(body),
        Ask::Any | Ask::Count => is_false(body),
    }
}

fn never_null(expr: &Expr) -> bool {
    expr.is_two_valued()
        || matches!(expr.node, Node::Count { .. } | Node::List(_) | Node::At { ask: Ask::Count, .. })
        || matches!(expr.node, Node::Auth(AuthFact::Role | AuthFact::Roles | AuthFact::Amr))
}

/// The terms of an `And` (`all`) or an `Or`, flat and without repetitions.
fn distinct(terms: Vec<Expr>, all: bool) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::with_capacity(terms.len());
    let mut seen = FxHashSet::default();
    let mut waiting: Vec<Expr> = terms.into_iter().rev().collect();
    while let Some(Expr { ty, node }) = waiting.pop() {
        match node {
            Node::And(inner) if all || inner.len() == 1 => waiting.extend(inner.into_iter().rev()),
            Node::Or(inner) if !all || inner.len() == 1 => waiting.extend(inner.into_iter().rev()),
            node => {
                let term = Expr { ty, node };
                if seen.insert(term.clone()) {
                    kept.push(term);
                }
            }
        }
    }
    kept
}

fn negated(inner: Expr) -> Expr {
    match inner.node {
        Node::Literal(value) => Expr::bool(value != Value::Bool(true)),
        Node::Not(inner) => Expr::all([*inner]),
        // All that a single term under `And` or `Or` does is to make null false, and `Not` does that anyway.
        Node::And(mut terms) | Node::Or(mut terms) if terms.len() == 1 => negated(terms.remove(0)),
        node => Expr::test(Node::Not(Box::new(Expr { ty: inner.ty, node }))),
    }
}

fn chosen(ty: Type, parts: [Expr; 3]) -> Expr {
    let [condition, then, otherwise] = parts;
    // A way may be a null of any type, or a number of another type; as the whole it takes the type of the whole.
    let branch = |branch: Expr| match branch.node {
        Node::Literal(value) => Expr::literal(ty, function::brought_to(ty, branch.ty, value)),
        node if branch.ty != ty && branch.ty.is_number() && ty.is_number() => {
            Expr { ty, node: Node::Call(Function::Cast, vec![Expr { ty: branch.ty, node }]) }
        }
        node => Expr { ty: branch.ty, node },
    };
    match (literal(&condition), literal(&then), literal(&otherwise)) {
        (Some(Value::Bool(true)), _, _) => branch(then),
        (Some(_), _, _) => branch(otherwise),
        (_, Some(Value::Bool(true)), Some(Value::Bool(false))) => Expr::all([condition]),
        (_, Some(Value::Bool(false)), Some(Value::Bool(true))) => negated(condition),
        _ if then == otherwise => branch(then),
        _ => Expr { ty, node: Node::If(Box::new([condition, then, otherwise])) },
    }
}

fn contained(ty: Type, item: Box<Expr>, list: Box<Expr>) -> Expr {
    match (literal(&item), literal(&list)) {
        (Some(item), Some(list)) => Expr::bool(function::within(item, list)),
        (Some(Value::Null), None) | (None, Some(Value::Null)) => Expr::bool(false),
        (None, Some(Value::List(items))) => match (items.as_slice(), list.ty) {
            ([], _) => Expr::bool(false),
            ([only], Type::List(kind)) => {
                let only = Expr::literal(Type::Scalar(kind), only.clone());
                Expr { ty, node: Node::Compare(Comparison::Equal, item, Box::new(only)) }
            }
            _ => Expr { ty, node: Node::In(item, list) },
        },
        _ => Expr { ty, node: Node::In(item, list) },
    }
}

fn called(ty: Type, function: Function, arguments: Vec<Expr>) -> Expr {
    if function != Function::JsonPresent && arguments.iter().any(is_null) {
        return Expr::literal(ty, Value::Null);
    }
    match arguments.iter().map(|argument| literal(argument).cloned()).collect::<Option<Vec<_>>>() {
        Some(values) => Expr::literal(ty, function::call(function, ty, &values)),
        None => Expr { ty, node: Node::Call(function, arguments) },
    }
}

fn listed(ty: Type, mut items: Vec<Expr>) -> Expr {
    items.retain(|item| !is_null(item));
    match items.iter().map(|item| literal(item).cloned()).collect::<Option<Vec<_>>>() {
        Some(values) => Expr::literal(ty, Value::List(values)),
        None => Expr { ty, node: Node::List(items) },
    }
}

/// The expression with its free rows renamed (`rows`: from, to) and a fresh name for every row and element that it binds, so that
/// nothing is captured wherever it is put.
pub fn instantiate(expr: &Expr, rows: &[(RowVar, RowVar)], fresh: &mut impl FnMut() -> RowVar) -> Expr {
    let mut names = Names { rows: rows.to_vec(), elements: Vec::new() };
    // By reference to a closure object: the recursion would otherwise make a type of its own at every level.
    renamed(expr, &mut names, fresh)
}

struct Names {
    rows: Vec<(RowVar, RowVar)>,
    elements: Vec<(ElementVar, ElementVar)>,
}

impl Names {
    /// The innermost binding of a name is its meaning; a free row that is not renamed stays.
    fn row(&self, name: RowVar) -> RowVar {
        self.rows.iter().rev().find(|(from, _)| *from == name).map_or(name, |(_, to)| *to)
    }

    fn element(&self, name: ElementVar) -> ElementVar {
        self.elements.iter().rev().find(|(from, _)| *from == name).map_or(name, |(_, to)| *to)
    }
}

fn renamed(expr: &Expr, names: &mut Names, fresh: &mut dyn FnMut() -> RowVar) -> Expr {
    let within = |bind: RowVar, body: &Expr, names: &mut Names, fresh: &mut dyn FnMut() -> RowVar| {
        let name = fresh();
        names.rows.push((bind, name));
        let body = renamed(body, names, fresh);
        names.rows.pop();
        (name, Box::new(body))
    };
    let node = match &expr.node {
        Node::Field(row, field) => Node::Field(names.row(*row), *field),
        Node::Element(element) => Node::Element(names.element(*element)),
        Node::Via { from, relation, bind, body } => {
            let (bind, body) = within(*bind, body, names, fresh);
            Node::Via { from: names.row(*from), relation: *relation, bind, body }
        }
        Node::Exists { from, relation, bind, filter } => {
            let (bind, filter) = within(*bind, filter, names, fresh);
            Node::Exists { from: names.row(*from), relation: *relation, bind, filter }
        }
        Node::Count { from, relation, bind, filter } => {
            let (bind, filter) = within(*bind, filter, names, fresh);
            Node::Count { from: names.row(*from), relation: *relation, bind, filter }
        }
        Node::At { relation, key, bind, ask, body } => {
            let key = key.iter().map(|part| renamed(part, names, fresh)).collect();
            let (bind, body) = within(*bind, body, names, fresh);
            Node::At { relation: *relation, key, bind, ask: *ask, body }
        }
        Node::Profile { bind, body } => {
            let (bind, body) = within(*bind, body, names, fresh);
            Node::Profile { bind, body }
        }
        Node::AnyElement { list, bind, filter } => {
            let list = Box::new(renamed(list, names, fresh));
            let name = ElementVar(fresh().0);
            names.elements.push((*bind, name));
            let filter = Box::new(renamed(filter, names, fresh));
            names.elements.pop();
            Node::AnyElement { list, bind: name, filter }
        }
        _ => return expr.clone().map_children(|child| renamed(&child, names, fresh)),
    };
    Expr { ty: expr.ty, node }
}

/// The expression over a row that is not stored: each field of `row` becomes `with` of it, or else the same field of `onto`; a
/// relation that starts at `row` starts at `onto`, or, where a replaced field decides where it leads, at the values ([`Node::At`]).
///
/// For update rules: a rule over [`RowVar::NEW`] becomes one over the row as stored, with the assigned values in place. The
/// replacements must not use rows that the expression binds; [`instantiate`] with fresh names sees to that.
pub fn substitute_fields(
    model: &Model,
    expr: &Expr,
    row: RowVar,
    with: &dyn Fn(FieldId) -> Option<Expr>,
    onto: RowVar,
) -> Expr {
    Substitution { model, row, with, onto }.apply(expr)
}

struct Substitution<'a> {
    model: &'a Model,
    row: RowVar,
    with: &'a dyn Fn(FieldId) -> Option<Expr>,
    onto: RowVar,
}

impl Substitution<'_> {
    fn apply(&self, expr: &Expr) -> Expr {
        let node = match &expr.node {
            Node::Field(row, field) if *row == self.row => {
                return (self.with)(*field).unwrap_or(Expr { ty: expr.ty, node: Node::Field(self.onto, *field) });
            }
            Node::Via { from, relation, bind, body } => self.related(*from, *relation, *bind, body, Ask::Value),
            Node::Exists { from, relation, bind, filter } => self.related(*from, *relation, *bind, filter, Ask::Any),
            Node::Count { from, relation, bind, filter } => self.related(*from, *relation, *bind, filter, Ask::Count),
            Node::At { relation, key, bind, ask, body } => Node::At {
                relation: *relation,
                key: key.iter().map(|part| self.apply(part)).collect(),
                bind: *bind,
                ask: *ask,
                body: self.inside(*bind, body),
            },
            Node::Profile { bind, body } => Node::Profile { bind: *bind, body: self.inside(*bind, body) },
            _ => return expr.clone().map_children(|child| self.apply(&child)),
        };
        Expr { ty: expr.ty, node }
    }

    /// The body of a node that binds a row; one of the same name hides ours.
    fn inside(&self, bind: RowVar, body: &Expr) -> Box<Expr> {
        Box::new(if bind == self.row { body.clone() } else { self.apply(body) })
    }

    fn related(&self, from: RowVar, relation: RelationId, bind: RowVar, body: &Expr, ask: Ask) -> Node {
        let body = self.inside(bind, body);
        let ours: Vec<FieldId> = self.model.relation(relation).on.iter().map(|(ours, _)| *ours).collect();
        if from == self.row && ours.iter().any(|field| (self.with)(*field).is_some()) {
            let kept = |field: FieldId| Expr { ty: self.model.field(field).ty, node: Node::Field(self.onto, field) };
            let key = ours.into_iter().map(|field| (self.with)(field).unwrap_or_else(|| kept(field))).collect();
            return Node::At { relation, key, bind, ask, body };
        }
        let from = if from == self.row { self.onto } else { from };
        match ask {
            Ask::Value => Node::Via { from, relation, bind, body },
            Ask::Any => Node::Exists { from, relation, bind, filter: body },
            Ask::Count => Node::Count { from, relation, bind, filter: body },
        }
    }
}

#[cfg(test)]
mod tests;
