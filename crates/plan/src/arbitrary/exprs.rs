//! Random well-typed expressions: every node and every function, of the types that the checker of rules and the wire let through.

use super::values::{PATTERNS, TEXTS};
use super::{Dice, KINDS, value};
use undergird_model::expr::{Arithmetic, Ask, AuthFact, Comparison, ElementVar, Function as F, RowVar, Slot};
use undergird_model::schema::Cardinality;
use undergird_model::{CollectionId, Expr, FieldId, Kind, Model, Node, RelationId, Type, Value};

const DATE: Type = Type::Scalar(Kind::Date);
const BYTES: Type = Type::Scalar(Kind::Bytes);

/// Makes expressions over rows in scope, and collects the values that they bind.
#[derive(Debug)]
pub struct Exprs<'a> {
    dice: &'a mut Dice,
    model: &'a Model,
    rows: Vec<(RowVar, CollectionId)>,
    elements: Vec<(ElementVar, Type)>,
    next: u16,
    /// What [`Node::Param`]s are bound to.
    pub params: Vec<Value>,
    /// What [`Node::Input`]s are bound to.
    pub input: Vec<Value>,
}

impl<'a> Exprs<'a> {
    /// Expressions over these rows.
    pub fn new(dice: &'a mut Dice, model: &'a Model, rows: &[(RowVar, CollectionId)]) -> Exprs<'a> {
        let next = RowVar::FIRST_BOUND.0;
        Exprs { dice, model, rows: rows.to_vec(), elements: Vec::new(), next, params: Vec::new(), input: Vec::new() }
    }

    /// Dice that go on where the expressions have come to.
    pub fn dice(&mut self) -> &mut Dice {
        self.dice
    }

    /// An expression of a type, nested no deeper than `depth`.
    pub fn expr(&mut self, ty: Type, depth: usize) -> Expr {
        if depth == 0 || self.dice.below(8) == 0 {
            return self.leaf(ty);
        }
        let depth = depth - 1;
        let node = match self.dice.below(12) {
            0 => self.choice(ty, depth),
            1 => self.through_relation(ty, depth),
            2 => match ty {
                Type::Scalar(kind) if kind != Kind::Json => {
                    Node::Call(F::Element, vec![self.expr(Type::List(kind), depth), self.expr(Type::INT, depth)])
                }
                _ => self.own(ty, depth),
            },
            3 if ty != Type::Duration => self.cast(ty, depth),
            _ => self.own(ty, depth),
        };
        Expr { ty, node }
    }

    /// Something that is a value already: a literal, a field, a binding.
    fn leaf(&mut self, ty: Type) -> Expr {
        if let Some(node) = self.element(ty)
            && self.dice.below(2) == 0
        {
            return Expr { ty, node };
        }
        let node = match self.dice.below(9) {
            0..=4 => self.field(ty),
            5 => self.fact(ty),
            6 => {
                let value = self.nullable(ty);
                let slot = Slot(self.params.len() as u16);
                self.params.push(value);
                Some(Node::Param(slot))
            }
            7 if self.dice.below(3) == 0 => {
                let value = self.nullable(ty);
                let position = self.input.len() as u16;
                self.input.push(value);
                Some(Node::Input(position))
            }
            _ => None,
        };
        let node = node.unwrap_or_else(|| match self.dice.below(12) {
            0 => Node::Literal(Value::Null),
            _ => Node::Literal(value(self.dice, ty)),
        });
        Expr { ty, node }
    }

    fn nullable(&mut self, ty: Type) -> Value {
        if self.dice.below(8) == 0 { Value::Null } else { value(self.dice, ty) }
    }

    fn field(&mut self, ty: Type) -> Option<Node> {
        let fields: Vec<Node> = self
            .rows
            .iter()
            .flat_map(|(row, collection)| {
                let fields = &self.model.collection(*collection).fields;
                fields.iter().filter(|field| field.ty == ty).map(|field| Node::Field(*row, field.id))
            })
            .collect();
        if fields.is_empty() { None } else { Some(self.dice.pick(&fields).clone()) }
    }

    fn element(&mut self, ty: Type) -> Option<Node> {
        let elements: Vec<ElementVar> =
            self.elements.iter().filter(|(_, of)| *of == ty).map(|(element, _)| *element).collect();
        if elements.is_empty() { None } else { Some(Node::Element(*self.dice.pick(&elements))) }
    }

    fn fact(&mut self, ty: Type) -> Option<Node> {
        let steps = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Some(match (ty, self.dice.below(3)) {
            (Type::UUID, _) => Node::Auth(AuthFact::Id),
            (Type::TEXT, 0) => Node::Auth(AuthFact::Role),
            (Type::TEXT, 1) => Node::Auth(AuthFact::Aal),
            (Type::TEXT, _) => Node::Auth(AuthFact::Email),
            (Type::List(Kind::Text), 0) => Node::Auth(AuthFact::Amr),
            (Type::List(Kind::Text), _) => Node::Auth(AuthFact::Roles),
            (Type::JSON, 0) => Node::Auth(AuthFact::Claim(steps(&["a"]))),
            (Type::JSON, _) => Node::Auth(AuthFact::Claim(steps(&["b", "a"]))),
            (Type::TIMESTAMP, _) => Node::Now,
            _ => return None,
        })
    }

    fn choice(&mut self, ty: Type, depth: usize) -> Node {
        let condition = self.expr(Type::BOOL, depth);
        // Ways may be decimals of other scales, as the checker lets them.
        let way = match ty {
            Type::Scalar(Kind::Decimal { precision: 18, scale: 18 }) => ty,
            Type::Scalar(Kind::Decimal { precision: 18, .. }) if self.dice.below(2) == 0 => {
                Type::Scalar(Kind::Decimal { precision: 5, scale: 2 })
            }
            other => other,
        };
        let (then, otherwise) = (self.expr(way, depth), self.expr(ty, depth));
        Node::If(Box::new([condition, then, otherwise]))
    }

    fn name(&mut self) -> u16 {
        self.next += 1;
        self.next - 1
    }

    /// A body over one more row.
    fn body(&mut self, collection: CollectionId, ty: Type, depth: usize) -> (RowVar, Box<Expr>) {
        let bind = RowVar(self.name());
        self.rows.push((bind, collection));
        let body = self.expr(ty, depth);
        self.rows.pop();
        (bind, Box::new(body))
    }

    /// A relation of a row in scope; to-one alone when only these will do.
    fn relation(&mut self, one: bool) -> Option<(RowVar, RelationId, CollectionId)> {
        let all: Vec<_> = self
            .rows
            .iter()
            .flat_map(|(row, collection)| {
                let relations = &self.model.collection(*collection).relations;
                relations
                    .iter()
                    .filter(|relation| !one || relation.cardinality == Cardinality::One)
                    .map(|relation| (*row, relation.id, relation.target))
            })
            .collect();
        if all.is_empty() { None } else { Some(*self.dice.pick(&all)) }
    }

    /// A value from another row: a to-one relation, the profile, a relation of values.
    fn through_relation(&mut self, ty: Type, depth: usize) -> Node {
        let profile = self.model.profile;
        match (self.dice.below(5), self.relation(true), profile) {
            (0, _, Some(profile)) => {
                let (bind, body) = self.body(profile, ty, depth);
                Node::Profile { bind, body }
            }
            (1, Some((_, relation, target)), _) => self.at(relation, target, Ask::Value, ty, depth),
            (_, Some((from, relation, target)), _) => {
                let (bind, body) = self.body(target, ty, depth);
                Node::Via { from, relation, bind, body }
            }
            _ => self.own(ty, depth),
        }
    }

    fn at(&mut self, relation: RelationId, target: CollectionId, ask: Ask, ty: Type, depth: usize) -> Node {
        let model = self.model;
        let key = model.relation(relation).on.iter().map(|(ours, _)| self.expr(model.field(*ours).ty, depth)).collect();
        let (bind, body) = self.body(target, ty, depth);
        Node::At { relation, key, bind, ask, body }
    }

    fn call(&mut self, function: F, types: &[Type], depth: usize) -> Node {
        Node::Call(function, types.iter().map(|ty| self.expr(*ty, depth)).collect())
    }

    fn kind(&mut self) -> Kind {
        *self.dice.pick(&KINDS)
    }

    /// A kind that lists are made of.
    fn list_kind(&mut self) -> Kind {
        match self.kind() {
            Kind::Json => Kind::Text,
            kind => kind,
        }
    }

    fn any_type(&mut self) -> Type {
        match self.dice.below(8) {
            0 => Type::List(self.list_kind()),
            1 => Type::Duration,
            _ => Type::Scalar(self.kind()),
        }
    }

    fn cast(&mut self, ty: Type, depth: usize) -> Node {
        let from = match (ty, self.dice.below(3)) {
            (Type::List(_), 0) => Type::JSON,
            (Type::List(_), _) => Type::List(self.list_kind()),
            (_, 0) => Type::TEXT,
            (_, 1) => Type::JSON,
            // Not from a duration: no cast of the wire's meets one.
            _ => Type::Scalar(self.kind()),
        };
        self.call(F::Cast, &[from], depth)
    }

    /// What only expressions of the type can be.
    fn own(&mut self, ty: Type, depth: usize) -> Node {
        match ty {
            Type::BOOL => self.bool(depth),
            Type::INT => self.int(depth),
            Type::FLOAT => match self.dice.below(4) {
                0 => {
                    let from = *self.dice.pick(&[Type::INT, Type::TEXT, Type::JSON, decimal()]);
                    self.call(F::ToFloat, &[from], depth)
                }
                1 => Node::Negate(Box::new(self.expr(ty, depth))),
                _ => self.arithmetic(&[(ty, ty)], depth),
            },
            Type::TEXT => self.text(depth),
            Type::UUID => {
                let from = *self.dice.pick(&[Type::TEXT, Type::JSON]);
                self.call(F::ToUuid, &[from], depth)
            }
            Type::TIMESTAMP => match self.dice.below(3) {
                0 => {
                    let from = *self.dice.pick(&[Type::TEXT, Type::JSON, Type::INT, DATE]);
                    self.call(F::ToTimestamp, &[from], depth)
                }
                _ => self.arithmetic(&[(Type::TIMESTAMP, Type::Duration), (Type::Duration, Type::TIMESTAMP)], depth),
            },
            Type::Duration => match self.dice.below(5) {
                0 => self.call(F::ToDuration, &[Type::TEXT], depth),
                1 => Node::Negate(Box::new(self.expr(ty, depth))),
                2 => self.arithmetic(&[(ty, ty)], depth),
                _ => {
                    let (a, b) = (self.expr(Type::TIMESTAMP, depth), self.expr(Type::TIMESTAMP, depth));
                    Node::Arithmetic(Arithmetic::Subtract, Box::new(a), Box::new(b))
                }
            },
            Type::JSON => {
                let step = *self.dice.pick(&[Type::TEXT, Type::INT]);
                self.call(F::JsonGet, &[Type::JSON, step], depth)
            }
            Type::Scalar(Kind::Date) => {
                let from = *self.dice.pick(&[Type::TEXT, Type::TIMESTAMP, Type::JSON]);
                self.call(F::ToDate, &[from], depth)
            }
            Type::Scalar(_) => self.cast(ty, depth),
            Type::List(kind) => {
                let items = (0..self.dice.below(4)).map(|_| self.expr(Type::Scalar(kind), depth)).collect();
                Node::List(items)
            }
            Type::Null => Node::Literal(Value::Null),
        }
    }

    fn arithmetic(&mut self, types: &[(Type, Type)], depth: usize) -> Node {
        let (left, right) = *self.dice.pick(types);
        let all =
            [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Remainder];
        let operator = match (left, right) {
            (Type::INT, _) => *self.dice.pick(&all),
            // CEL has no remainder of floats, nor has the wire.
            (Type::FLOAT, _) => *self.dice.pick(&all[..4]),
            (Type::Duration, Type::TIMESTAMP) => Arithmetic::Add,
            _ => *self.dice.pick(&all[..2]),
        };
        Node::Arithmetic(operator, Box::new(self.expr(left, depth)), Box::new(self.expr(right, depth)))
    }

    fn int(&mut self, depth: usize) -> Node {
        let parts = [F::Year, F::Month, F::Day, F::DayOfMonth, F::DayOfWeek, F::DayOfYear];
        let clock = [F::Hours, F::Minutes, F::Seconds, F::Milliseconds];
        match self.dice.below(16) {
            0 => Node::Negate(Box::new(self.expr(Type::INT, depth))),
            1..=4 => self.arithmetic(&[(Type::INT, Type::INT)], depth),
            5 => self.call(F::TextSize, &[Type::TEXT], depth),
            6 => self.call(F::BytesSize, &[BYTES], depth),
            7 => {
                let list = Type::List(self.list_kind());
                self.call(F::ListSize, &[list], depth)
            }
            8 => self.call(F::JsonSize, &[Type::JSON], depth),
            9 => {
                let function = *self.dice.pick(&parts);
                let of = *self.dice.pick(&[Type::TIMESTAMP, DATE]);
                self.call(function, &[of], depth)
            }
            10 => {
                let function = *self.dice.pick(&clock);
                let of = *self.dice.pick(&[Type::TIMESTAMP, Type::Duration]);
                self.call(function, &[of], depth)
            }
            11 | 12 => {
                let from =
                    *self.dice.pick(&[Type::FLOAT, Type::TEXT, Type::JSON, Type::TIMESTAMP, Type::BOOL, decimal()]);
                self.call(F::ToInt, &[from], depth)
            }
            _ => match self.relation(false) {
                Some((_, relation, target)) if self.dice.below(4) == 0 => {
                    self.at(relation, target, Ask::Count, Type::BOOL, depth)
                }
                Some((from, relation, target)) => {
                    let (bind, filter) = self.body(target, Type::BOOL, depth);
                    Node::Count { from, relation, bind, filter }
                }
                None => self.arithmetic(&[(Type::INT, Type::INT)], depth),
            },
        }
    }

    fn text(&mut self, depth: usize) -> Node {
        match self.dice.below(8) {
            0 => self.call(F::LowerAscii, &[Type::TEXT], depth),
            1 => self.call(F::UpperAscii, &[Type::TEXT], depth),
            2 => self.call(F::Trim, &[Type::TEXT], depth),
            3 | 4 => self.call(F::Concatenate, &[Type::TEXT, Type::TEXT], depth),
            5 => {
                let step = *self.dice.pick(&[Type::TEXT, Type::INT]);
                self.call(F::JsonGetText, &[Type::JSON, step], depth)
            }
            _ => {
                let from = Type::Scalar(self.kind());
                self.call(F::ToText, &[from], depth)
            }
        }
    }

    fn bool(&mut self, depth: usize) -> Node {
        match self.dice.below(24) {
            0 | 1 => Node::Not(Box::new(self.expr(Type::BOOL, depth))),
            2 | 3 => Node::And(self.bools(depth)),
            4 | 5 => Node::Or(self.bools(depth)),
            6..=9 => {
                let (a, b) = self.comparable(depth);
                Node::Same(a, b)
            }
            10..=13 => {
                let (a, b) = self.comparable(depth);
                Node::Compare(self.comparison(), a, b)
            }
            14 | 15 => self.within(depth),
            16 => {
                let (list, element) = match self.list_kind() {
                    _ if self.dice.below(4) == 0 => (Type::JSON, Type::JSON),
                    kind => (Type::List(kind), Type::Scalar(kind)),
                };
                let list = Box::new(self.expr(list, depth));
                let bind = ElementVar(self.name());
                self.elements.push((bind, element));
                let filter = match self.dice.below(3) {
                    0 => self.expr(Type::BOOL, depth),
                    // A filter that never looks at the element is hardly one.
                    1 => Expr::test(Node::Same(Box::new(self.leaf(element)), Box::new(self.expr(element, depth)))),
                    _ => {
                        let (a, b) = (self.expr(element, depth), self.leaf(element));
                        Expr::test(Node::Compare(self.comparison(), Box::new(a), Box::new(b)))
                    }
                };
                self.elements.pop();
                Node::AnyElement { list, bind, filter: Box::new(filter) }
            }
            17 | 18 => match self.relation(false) {
                Some((_, relation, target)) if self.dice.below(4) == 0 => {
                    self.at(relation, target, Ask::Any, Type::BOOL, depth)
                }
                Some((from, relation, target)) => {
                    let (bind, filter) = self.body(target, Type::BOOL, depth);
                    Node::Exists { from, relation, bind, filter }
                }
                None => Node::And(self.bools(depth)),
            },
            19 => self.call(F::JsonPresent, &[Type::JSON], depth),
            20 => {
                let from = *self.dice.pick(&[Type::TEXT, Type::JSON]);
                self.call(F::ToBool, &[from], depth)
            }
            21 => {
                let function = *self.dice.pick(&[F::Covers, F::Overlaps, F::Covers]);
                let list = Type::List(self.list_kind());
                let of = if function == F::Covers && self.dice.below(2) == 0 { Type::JSON } else { list };
                self.call(function, &[of, of], depth)
            }
            22 => {
                let function = *self.dice.pick(&[F::Contains, F::StartsWith, F::EndsWith]);
                self.call(function, &[Type::TEXT, Type::TEXT], depth)
            }
            _ => {
                let function = *self.dice.pick(&[F::Matches, F::MatchesInsensitive, F::Like, F::LikeInsensitive]);
                let text = if self.dice.below(2) == 0 { self.leaf(Type::TEXT) } else { self.expr(Type::TEXT, depth) };
                let pattern = match self.dice.below(6) {
                    0 => self.expr(Type::TEXT, depth),
                    1 => Expr::literal(Type::TEXT, Value::text(*self.dice.pick(&TEXTS))),
                    _ => Expr::literal(Type::TEXT, Value::text(*self.dice.pick(&PATTERNS))),
                };
                Node::Call(function, vec![text, pattern])
            }
        }
    }

    fn bools(&mut self, depth: usize) -> Vec<Expr> {
        (0..self.dice.below(4)).map(|_| self.expr(Type::BOOL, depth)).collect()
    }

    fn comparison(&mut self) -> Comparison {
        *self.dice.pick(&[
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ])
    }

    fn number(&mut self) -> Type {
        *self.dice.pick(&[Type::INT, Type::FLOAT, decimal(), Type::Scalar(KINDS[4]), Type::Scalar(KINDS[5])])
    }

    /// A pair that compares: of one type, two numbers, JSON with a scalar, null with anything.
    fn comparable(&mut self, depth: usize) -> (Box<Expr>, Box<Expr>) {
        let (a, b) = match self.dice.below(8) {
            0 | 1 => (self.number(), self.number()),
            2 => (Type::JSON, Type::Scalar(self.kind())),
            3 => (Type::Scalar(self.kind()), Type::JSON),
            4 => (self.any_type(), Type::Null),
            _ => {
                let ty = self.any_type();
                (ty, ty)
            }
        };
        let side = |exprs: &mut Self, ty| match ty {
            Type::Null => Expr::literal(ty, Value::Null),
            other => exprs.expr(other, depth),
        };
        let (a, b) = (side(self, a), side(self, b));
        (Box::new(a), Box::new(b))
    }

    fn within(&mut self, depth: usize) -> Node {
        let (item, list) = match self.dice.below(6) {
            0 => match self.number() {
                Type::Scalar(kind) => (self.number(), Type::List(kind)),
                other => (other, Type::JSON),
            },
            1 => (Type::JSON, Type::List(self.list_kind())),
            2 => (Type::Scalar(self.kind()), Type::JSON),
            _ => {
                let kind = self.list_kind();
                (Type::Scalar(kind), Type::List(kind))
            }
        };
        Node::In(Box::new(self.expr(item, depth)), Box::new(self.expr(list, depth)))
    }

    /// New values for some fields of a collection, as an update assigns them.
    pub fn assignments(&mut self, collection: CollectionId, depth: usize) -> Vec<(FieldId, Expr)> {
        let fields = &self.model.collection(collection).fields;
        let mut assigned = Vec::new();
        for field in fields {
            if self.dice.below(3) == 0 {
                assigned.push((field.id, self.expr(field.ty, depth)));
            }
        }
        assigned
    }
}

fn decimal() -> Type {
    Type::Scalar(KINDS[3])
}
