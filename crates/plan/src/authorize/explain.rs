//! Why a caller gets what it gets: the rules that apply to a request, what they become for this caller, and a plan that shows for
//! each row which of a rule's terms holds.
//!
//! The probing plan leaves the row rules out, so that hidden rows can be explained too: it is for people with the database in their
//! hands (`undergird explain`), and no surface may offer it.

use super::bind;
use super::read::Scope;
use super::{Builder, rule_of};
use crate::caller::Caller;
use crate::partial::{self, Verdict};
use crate::refusal::Refusal;
use crate::request::{Request, SelectItem, Verb};
use crate::shape::{Column, Member, Object, Order, OrderBy, Output, Plan, Read, ReadNode, Shape};
use std::sync::Arc;
use undergird_model::expr::RowVar;
use undergird_model::schema::Rule;
use undergird_model::{Collection, Expr, Model, Node, Type, Value, expr_text};

/// What is to be told about a request.
#[derive(Debug)]
pub struct Explanation {
    /// The rules that apply, the collection's own first.
    pub rules: Vec<RuleExplained>,
    /// Reads the key of each row that the request's conditions select, and whether each term of the first rule holds. `None` when
    /// that rule is the same for every row.
    pub probe: Option<Plan>,
}

/// A rule, as written and as it is for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleExplained {
    /// `posts.read`, `users.email (read)`.
    pub of: String,
    /// As written; `None` when the collection has no rule for the verb.
    pub written: Option<String>,
    /// What it comes to.
    pub outcome: Outcome,
}

/// What a rule comes to for a kind of caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no rule: nobody but a secret key.
    Closed,
    /// The caller stands above rules (a secret key).
    Above,
    /// Every row.
    Allow,
    /// No row.
    Deny,
    /// Rows for which any (or all) of the terms hold.
    Only {
        /// `any of`, `all of` or `the only term`.
        how: &'static str,
        /// The terms, for this caller.
        terms: Vec<String>,
    },
}

/// Most rows that a probe shows.
const ROWS_MAX: i64 = 20;

/// Tells which rules apply to a request.
///
/// # Errors
/// What is wrong with the request itself. That it is refused by a rule is no error here, but what is told.
pub fn explain(model: &Arc<Model>, caller: &Caller, request: &Request) -> Result<Explanation, Refusal> {
    let mut builder = Builder::new(model, caller, request);
    let collection = builder.collection(&request.shape.collection)?;
    let mut rules = vec![builder.explained(collection, request.shape.verb)];
    if request.shape.verb != Verb::Read {
        rules.push(builder.explained(collection, Verb::Read));
    }
    let everything = [SelectItem::All];
    let items = request.shape.select.as_deref().unwrap_or(&everything);
    builder.embedded(collection, items, &mut rules)?;
    for field in &collection.fields {
        let own = [("read", &field.read), ("write", &field.write)];
        for (kind, rule) in own.iter().filter_map(|(kind, rule)| rule.as_ref().map(|rule| (kind, rule))) {
            let of = format!("{}.{} ({kind})", collection.name, field.name);
            rules.push(builder.rule(of, rule));
        }
    }
    let probe = builder.probe(collection)?;
    let Some(read) = probe else { return Ok(Explanation { rules, probe: None }) };
    let params = bind::params(&builder.slots, &request.values, &model.settings.limits)?;
    let plan = Plan {
        model: model.clone(),
        shape: Arc::new(Shape::Read(read)),
        params,
        input: Vec::new(),
        caller: caller.clone(),
        demands: request.demands,
    };
    Ok(Explanation { rules, probe: Some(plan) })
}

impl<'a> Builder<'a> {
    fn explained(&self, collection: &Collection, verb: Verb) -> RuleExplained {
        let of = format!("{}.{}", collection.name, verb_name(verb));
        match rule_of(collection, verb) {
            Some(rule) => self.rule(of, rule),
            None => {
                let outcome = if self.is_privileged() { Outcome::Above } else { Outcome::Closed };
                RuleExplained { of, written: None, outcome }
            }
        }
    }

    fn rule(&self, of: String, rule: &Rule) -> RuleExplained {
        let outcome = if self.is_privileged() {
            Outcome::Above
        } else {
            match partial::verdict(&self.specialised(&rule.expr), &self.kind) {
                Verdict::Allow => Outcome::Allow,
                Verdict::Deny => Outcome::Deny,
                Verdict::Only(expr) => {
                    let (how, terms) = terms(&expr);
                    let terms = terms.into_iter().map(|term| expr_text::text(self.model, term)).collect();
                    Outcome::Only { how, terms }
                }
            }
        };
        RuleExplained { of, written: Some(rule.text.clone()), outcome }
    }

    fn embedded(
        &self,
        collection: &'a Collection,
        items: &[SelectItem],
        rules: &mut Vec<RuleExplained>,
    ) -> Result<(), Refusal> {
        for item in items {
            if let SelectItem::Embed(embed) = item {
                let hint = embed.hint.as_deref();
                let relation = super::names::relation(self.model, collection, &embed.relation, hint)?;
                let target = self.model.collection(relation.target);
                if let Some(through) = &relation.through {
                    rules.push(self.explained(self.model.collection(through.junction), Verb::Read));
                }
                rules.push(self.explained(target, Verb::Read));
                self.embedded(target, &embed.items, rules)?;
            }
        }
        Ok(())
    }

    /// A read of the keys and of each term of the verb's rule.
    fn probe(&mut self, collection: &'a Collection) -> Result<Option<Read>, Refusal> {
        if self.is_privileged() || matches!(self.request.verb, Verb::Create | Verb::Replace) {
            return Ok(None);
        }
        let Some(rule) = rule_of(collection, self.request.verb) else { return Ok(None) };
        let Verdict::Only(rule) = partial::verdict(&self.specialised(&rule.expr), &self.kind) else { return Ok(None) };
        let row = self.fresh_row();
        let mut filters = Vec::new();
        let request = self.request;
        if let Some(slots) = &request.key {
            filters.push(self.key_equals(collection, row, slots)?);
        }
        let items = self.request.select.as_deref().unwrap_or(&[]);
        let request = self.request;
        let scope = Scope { collection, row, items, modifiers: &[] };
        filters.push(self.conditions(&scope, &request.filter)?);
        let mut columns = Vec::new();
        let mut object = Object::default();
        let mut order = Vec::new();
        for key in &collection.key {
            let expr = super::plain(self.model, *key, row);
            order.push(Order {
                by: OrderBy::Expr(expr.clone()),
                descending: false,
                nulls_first: false,
                nullable: false,
            });
            member(&mut object, &self.model.field(*key).name, &mut columns, expr);
        }
        for (position, term) in terms(&rule).1.into_iter().enumerate() {
            // An update's rule about the row as it would become cannot be asked of the row as it is.
            if term.any_node(&mut |node| matches!(node, Node::Field(RowVar::NEW, _))) {
                continue;
            }
            let term = self.instantiate(term, row);
            member(&mut object, &format!("term {}", position + 1), &mut columns, Expr::all([term]));
        }
        let root = ReadNode {
            source: None,
            parent: None,
            collection: collection.id,
            row,
            joins: Vec::new(),
            columns,
            filter: Expr::all(filters),
            group_by: None,
            order,
            limit: Some(Expr::literal(Type::INT, Value::Int(ROWS_MAX))),
            offset: None,
            object,
            cursor: Vec::new(),
            version: None,
        };
        Ok(Some(Read { nodes: vec![root], count: None, by_key: false }))
    }
}

fn member(object: &mut Object, name: &str, columns: &mut Vec<Column>, expr: Expr) {
    let prefix = format!("{}:", serde_json::Value::from(name));
    object.members.push(Member { name: name.to_owned(), prefix, output: Output::Column(columns.len()) });
    columns.push(Column::Plain(expr));
}

/// The terms of which a rule is made, one level deep.
fn terms(rule: &Expr) -> (&'static str, Vec<&Expr>) {
    match &rule.node {
        Node::Or(terms) => ("any of", terms.iter().collect()),
        Node::And(terms) => ("all of", terms.iter().collect()),
        _ => ("the only term", vec![rule]),
    }
}

fn verb_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "read",
        Verb::Create | Verb::Replace => "create",
        Verb::Update => "update",
        Verb::Delete => "delete",
    }
}
