//! Conditions of a request as predicates.
//!
//! The wire's conditions are three-valued, as in SQL: what compares with null is neither true nor false, and `not.` keeps it so.
//! Predicates are two-valued. So each condition becomes a pair: when it is true, and when it is false.

use super::bind::{self, SlotUse, operand_type};
use super::embed::meant;
use super::read::Scope;
use super::{Builder, is_null, names, not_null};
use crate::refusal::Refusal;
use crate::request::{ColumnPath, Condition, IsOperand, JsonStep, JsonTarget, Operator, Quantifier, Test};
use undergird_model::expr::{Comparison, Function, Search, Slot};
use undergird_model::field_type::FieldType;
use undergird_model::value::Kind;
use undergird_model::{Expr, Node, Type, Value};

/// When a condition is true, and when it is false.
struct Pair {
    yes: Expr,
    no: Expr,
}

impl Pair {
    fn negated(self) -> Pair {
        Pair { yes: self.no, no: self.yes }
    }

    /// A test that is never unknown.
    fn known(test: Expr) -> Pair {
        Pair { no: test.clone().negated(), yes: test }
    }

    /// A test that is unknown when `subject` is null; `test` itself is false or null then.
    fn of(subject: &Expr, test: Expr) -> Pair {
        let no = Expr::all([not_null(subject), test.clone().negated()]);
        Pair { yes: test, no }
    }
}

impl<'a> Builder<'a> {
    /// All of these conditions, on the rows of a scope.
    pub(super) fn conditions(&mut self, scope: &Scope<'a, '_>, conditions: &[Condition]) -> Result<Expr, Refusal> {
        let mut terms = Vec::with_capacity(conditions.len());
        for condition in conditions {
            terms.push(self.condition(scope, condition)?.yes);
        }
        Ok(Expr::all(terms))
    }

    fn condition(&mut self, scope: &Scope<'a, '_>, condition: &Condition) -> Result<Pair, Refusal> {
        match condition {
            Condition::And(inner) => {
                let pairs = self.pairs(scope, inner)?;
                let (yes, no): (Vec<Expr>, Vec<Expr>) = pairs.into_iter().map(|pair| (pair.yes, pair.no)).unzip();
                Ok(Pair { yes: Expr::all(yes), no: Expr::any(no) })
            }
            Condition::Or(inner) => {
                let pairs = self.pairs(scope, inner)?;
                let (yes, no): (Vec<Expr>, Vec<Expr>) = pairs.into_iter().map(|pair| (pair.yes, pair.no)).unzip();
                Ok(Pair { yes: Expr::any(yes), no: Expr::all(no) })
            }
            Condition::Not(inner) => Ok(self.condition(scope, inner)?.negated()),
            Condition::Test(test) => self.test(scope, test),
        }
    }

    fn pairs(&mut self, scope: &Scope<'a, '_>, conditions: &[Condition]) -> Result<Vec<Pair>, Refusal> {
        conditions.iter().map(|condition| self.condition(scope, condition)).collect()
    }

    fn test(&mut self, scope: &Scope<'a, '_>, test: &Test) -> Result<Pair, Refusal> {
        self.conditions += 1;
        if self.conditions > self.limits().filters {
            return Err(Refusal::OverLimit { limit: "filters", value: u64::from(self.limits().filters) });
        }
        let name = &test.column.name;
        if scope.collection.field(name).is_none() && test.column.steps.is_empty() {
            if let Operator::Is(IsOperand::Null | IsOperand::NotNull) = test.operator
                && let Some(exists) = self.embed_exists(scope, name)?
            {
                let pair = Pair::known(exists);
                let wants_null = test.operator == Operator::Is(IsOperand::Null);
                return Ok(if wants_null { pair.negated() } else { pair });
            }
            return Err(if meant(scope.items, name).is_some() {
                Refusal::EmbedOperator { name: name.clone() }
            } else {
                names::unknown_column(scope.collection, name)
            });
        }
        let (subject, ty) = self.subject(scope, &test.column)?;
        self.compare(name, subject, &ty, test)
    }

    /// What a path means in a row, with the type by which operands beside it are read.
    pub(super) fn subject(&mut self, scope: &Scope<'a, '_>, path: &ColumnPath) -> Result<(Expr, FieldType), Refusal> {
        let field = self.field(scope.collection, &path.name)?;
        let subject = self.masked(field, scope.row);
        if path.steps.is_empty() {
            return Ok((subject, operand_type(field)));
        }
        if !matches!(field.ty, Type::Scalar(Kind::Json) | Type::List(_)) {
            return Err(Refusal::BadOperator {
                operator: "->".into(),
                column: path.name.clone(),
                ty: field.declared.name().into(),
            });
        }
        let subject = if let Type::List(kind) = field.ty {
            return list_element(&path.name, subject, kind, &path.steps, field);
        } else {
            path.steps.iter().fold(subject, json_step)
        };
        let as_text = path.steps.last().is_some_and(|step| step.as_text);
        let ty = if as_text { FieldType::Text { pattern: None } } else { FieldType::Json { schema: None } };
        Ok((subject, ty))
    }

    fn compare(&mut self, column: &str, subject: Expr, ty: &FieldType, test: &Test) -> Result<Pair, Refusal> {
        let wrong_type = |operator: &str| Refusal::BadOperator {
            operator: operator.into(),
            column: column.into(),
            ty: ty.name().into(),
        };
        let is_text = subject.ty == Type::TEXT;
        match &test.operator {
            Operator::Eq(quantifier) => self.ordering(column, subject, ty, test, Comparison::Equal, *quantifier),
            Operator::Neq(quantifier) => self.ordering(column, subject, ty, test, Comparison::NotEqual, *quantifier),
            Operator::Gt(quantifier) => self.ordering(column, subject, ty, test, Comparison::Greater, *quantifier),
            Operator::Gte(quantifier) => {
                self.ordering(column, subject, ty, test, Comparison::GreaterOrEqual, *quantifier)
            }
            Operator::Lt(quantifier) => self.ordering(column, subject, ty, test, Comparison::Less, *quantifier),
            Operator::Lte(quantifier) => self.ordering(column, subject, ty, test, Comparison::LessOrEqual, *quantifier),
            Operator::Like(quantifier) if is_text => self.pattern(column, subject, test, Function::Like, *quantifier),
            Operator::ILike(quantifier) if is_text => {
                self.pattern(column, subject, test, Function::LikeInsensitive, *quantifier)
            }
            Operator::Match(quantifier) if is_text => {
                self.pattern(column, subject, test, Function::Matches, *quantifier)
            }
            Operator::IMatch(quantifier) if is_text => {
                self.pattern(column, subject, test, Function::MatchesInsensitive, *quantifier)
            }
            Operator::Like(_) => Err(wrong_type("like")),
            Operator::ILike(_) => Err(wrong_type("ilike")),
            Operator::Match(_) => Err(wrong_type("match")),
            Operator::IMatch(_) => Err(wrong_type("imatch")),
            Operator::In => {
                let list = self.list_param(column, ty, operand(test)?, subject.ty)?;
                let found = Expr::test(Node::In(Box::new(subject.clone()), Box::new(list)));
                Ok(Pair::of(&subject, found))
            }
            Operator::Is(what) => match what {
                IsOperand::Null => Ok(Pair::known(is_null(&subject))),
                IsOperand::NotNull => Ok(Pair::known(not_null(&subject))),
                IsOperand::True | IsOperand::False | IsOperand::Unknown if subject.ty != Type::BOOL => {
                    Err(wrong_type("is"))
                }
                IsOperand::Unknown => Ok(Pair::known(is_null(&subject))),
                IsOperand::True | IsOperand::False => {
                    let wanted = Expr::bool(*what == IsOperand::True);
                    Ok(Pair::known(Expr::test(Node::Same(Box::new(subject), Box::new(wanted)))))
                }
            },
            Operator::IsDistinct => {
                let value = self.param(column, ty, operand(test)?);
                Ok(Pair::known(Expr::test(Node::Same(Box::new(subject), Box::new(value)))).negated())
            }
            Operator::Contains | Operator::Contained
                if matches!(subject.ty, Type::List(_) | Type::Scalar(Kind::Json)) =>
            {
                let value = self.param(column, ty, operand(test)?);
                let both = match test.operator {
                    Operator::Contains => vec![subject.clone(), value],
                    _ => vec![value, subject.clone()],
                };
                Ok(Pair::of(&subject, Expr::test(Node::Call(Function::Covers, both))))
            }
            Operator::Contains => Err(wrong_type("cs")),
            Operator::Contained => Err(wrong_type("cd")),
            Operator::Overlaps if matches!(subject.ty, Type::List(_)) => {
                let value = self.param(column, ty, operand(test)?);
                let both = vec![subject.clone(), value];
                Ok(Pair::of(&subject, Expr::test(Node::Call(Function::Overlaps, both))))
            }
            Operator::Overlaps => Err(wrong_type("ov")),
            Operator::FullText { name, config } if is_text => {
                self.search(column, subject, test, name, config.as_deref())
            }
            Operator::FullText { name, .. } => Err(wrong_type(name)),
            Operator::Range(name) => Err(Refusal::Unsupported {
                what: format!("the range operator {name}"),
                hint: Some("there is no range type: compare two fields with lt, lte, gt and gte".into()),
            }),
        }
    }

    fn ordering(
        &mut self,
        column: &str,
        subject: Expr,
        ty: &FieldType,
        test: &Test,
        comparison: Comparison,
        quantifier: Option<Quantifier>,
    ) -> Result<Pair, Refusal> {
        let slot = operand(test)?;
        let compare = |comparison: Comparison, left: &Expr, right: Expr| {
            Expr::test(Node::Compare(comparison, Box::new(left.clone()), Box::new(right)))
        };
        let opposite = opposite(comparison);
        let Some(quantifier) = quantifier else {
            let value = self.param(column, ty, slot);
            let no = compare(opposite, &subject, value.clone());
            return Ok(Pair { yes: compare(comparison, &subject, value), no });
        };
        let list = self.list_param(column, ty, slot, subject.ty)?;
        let Type::List(kind) = list.ty else { return Err(mismatched_list(column)) };
        let mut some = |comparison: Comparison| {
            let bind = self.fresh_element();
            let element = Expr { ty: Type::Scalar(kind), node: Node::Element(bind) };
            let filter = Box::new(compare(comparison, &subject, element));
            Expr::test(Node::AnyElement { list: Box::new(list.clone()), bind, filter })
        };
        Ok(match quantifier {
            Quantifier::Any if comparison == Comparison::Equal => {
                Pair::of(&subject, Expr::test(Node::In(Box::new(subject.clone()), Box::new(list))))
            }
            Quantifier::Any => Pair::of(&subject, some(comparison)),
            Quantifier::All => {
                let fails = some(opposite);
                Pair { yes: Expr::all([not_null(&subject), fails.clone().negated()]), no: fails }
            }
        })
    }

    fn pattern(
        &mut self,
        column: &str,
        subject: Expr,
        test: &Test,
        function: Function,
        quantifier: Option<Quantifier>,
    ) -> Result<Pair, Refusal> {
        let slot = operand(test)?;
        let regex = matches!(function, Function::Matches | Function::MatchesInsensitive);
        let column = column.to_owned();
        let matches = |pattern: Expr| Expr::test(Node::Call(function, vec![subject.clone(), pattern]));
        let Some(quantifier) = quantifier else {
            self.uses(slot, SlotUse::Pattern { column, regex });
            return Ok(Pair::of(&subject, matches(Expr { ty: Type::TEXT, node: Node::Param(slot) })));
        };
        self.uses(slot, SlotUse::Patterns { column, regex });
        let list = Expr { ty: Type::List(Kind::Text), node: Node::Param(slot) };
        let bind = self.fresh_element();
        let one = matches(Expr { ty: Type::TEXT, node: Node::Element(bind) });
        let filter = match quantifier {
            Quantifier::Any => one,
            Quantifier::All => one.negated(),
        };
        let some = Expr::test(Node::AnyElement { list: Box::new(list), bind, filter: Box::new(filter) });
        Ok(match quantifier {
            Quantifier::Any => Pair::of(&subject, some),
            Quantifier::All => Pair {
                yes: Expr::all([not_null(&subject), some.clone().negated()]),
                no: Expr::all([not_null(&subject), some]),
            },
        })
    }

    /// Full-text search. Whether there is any is the store's to say.
    fn search(
        &mut self,
        column: &str,
        subject: Expr,
        test: &Test,
        name: &str,
        language: Option<&str>,
    ) -> Result<Pair, Refusal> {
        let slot = operand(test)?;
        let unknown = |message: String, hint: Option<String>| Refusal::Malformed { message, hint };
        let how = Search::of_operator(name).ok_or_else(|| {
            unknown(format!("there is no full-text operator {name}"), Some("fts, plfts, phfts, wfts".into()))
        })?;
        let language = match language {
            None => None,
            Some(asked) => Some(Search::LANGUAGES.into_iter().find(|known| *known == asked).ok_or_else(|| {
                let hint = format!("one of {}", Search::LANGUAGES.join(", "));
                unknown(format!("there is no text search configuration \"{asked}\""), Some(hint))
            })?),
        };
        self.uses(slot, SlotUse::Search { column: column.into(), how });
        let query = Expr { ty: Type::TEXT, node: Node::Param(slot) };
        let found = Expr::test(Node::Call(Function::Search { how, language }, vec![subject.clone(), query]));
        Ok(Pair::of(&subject, found))
    }

    /// A slot's value, read by a type.
    pub(super) fn param(&mut self, column: &str, ty: &FieldType, slot: Slot) -> Expr {
        self.uses(slot, SlotUse::One { column: column.into(), ty: ty.clone() });
        Expr { ty: bind::param_type(ty), node: Node::Param(slot) }
    }

    fn list_param(&mut self, column: &str, ty: &FieldType, slot: Slot, of: Type) -> Result<Expr, Refusal> {
        let Type::Scalar(kind) = of else { return Err(mismatched_list(column)) };
        self.uses(slot, SlotUse::Many { column: column.into(), ty: ty.clone() });
        Ok(Expr { ty: Type::List(kind), node: Node::Param(slot) })
    }
}

/// One step into JSON.
fn json_step(inner: Expr, step: &JsonStep) -> Expr {
    let to = match &step.to {
        JsonTarget::Member(name) => Expr::literal(Type::TEXT, Value::text(name)),
        JsonTarget::Index(index) => Expr::literal(Type::INT, Value::Int(*index)),
    };
    let (function, ty) =
        if step.as_text { (Function::JsonGetText, Type::TEXT) } else { (Function::JsonGet, Type::JSON) };
    Expr { ty, node: Node::Call(function, vec![inner, to]) }
}

/// `tags->0`: an element of a list, in its own type; `->>` as text.
fn list_element(
    column: &str,
    list: Expr,
    kind: Kind,
    steps: &[JsonStep],
    field: &undergird_model::Field,
) -> Result<(Expr, FieldType), Refusal> {
    let [JsonStep { to: JsonTarget::Index(index), as_text }] = steps else {
        return Err(Refusal::Malformed {
            message: format!("column {column} is a list: it takes one step, a number"),
            hint: Some(format!("{column}->0")),
        });
    };
    let position = Expr::literal(Type::INT, Value::Int(*index));
    let element = Expr { ty: Type::Scalar(kind), node: Node::Call(Function::Element, vec![list, position]) };
    if *as_text {
        let text = Expr { ty: Type::TEXT, node: Node::Call(Function::ToText, vec![element]) };
        return Ok((text, FieldType::Text { pattern: None }));
    }
    let ty = match operand_type(field) {
        FieldType::List { of } => *of,
        other => other,
    };
    Ok((element, ty))
}

fn operand(test: &Test) -> Result<Slot, Refusal> {
    test.operand.ok_or_else(|| Refusal::Malformed {
        message: format!("the operator on column {} needs an operand", test.column.name),
        hint: None,
    })
}

fn mismatched_list(column: &str) -> Refusal {
    Refusal::BadOperator { operator: "in".into(), column: column.into(), ty: "list".into() }
}

/// The comparison that is true exactly when this one is false, nulls apart.
fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal => Comparison::NotEqual,
        Comparison::NotEqual => Comparison::Equal,
        Comparison::Less => Comparison::GreaterOrEqual,
        Comparison::LessOrEqual => Comparison::Greater,
        Comparison::Greater => Comparison::LessOrEqual,
        Comparison::GreaterOrEqual => Comparison::Less,
    }
}
