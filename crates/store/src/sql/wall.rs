//! Rules as policies of the database: a second wall around reads and writes, for stores that have row-level security.
//!
//! A policy is a rule of a collection, written by the same writer as plans are, for the table's own name. What no row decides
//! is bound there as anywhere: the store has each such value from a setting instead of a parameter. What a rule looks up in other
//! rows it finds by views, which show no more than the columns that rules name, because rules see through rules.
//! A policy is never stricter than the plan. Where the database asks it too early or of one row alone, a term is left out of it,
//! and told ([`Wall::open`]).
//! Absent: the statements that make policies and views, which are the store's; rules of single fields.

use super::expr::Writer;
use super::{Bind, Dialect, Statement};
use std::collections::{BTreeMap, BTreeSet};
use undergird_model::expr::{Node, RowVar};
use undergird_model::schema::{Collection, Rule};
use undergird_model::{CollectionId, Expr, FieldId, Model};

/// Everything that the wall is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Wall {
    /// One for each collection that callers can reach.
    pub policies: Vec<Policy>,
    /// One for each collection that a rule leads to.
    pub views: Vec<View>,
    /// Why some rules can be no policies, a sentence for each.
    pub refused: Vec<String>,
    /// The terms of rules that plans alone keep, a sentence for each.
    pub open: Vec<String>,
}

/// What callers may do with the rows of a collection: conditions with their parameters and what they are bound to. Never null.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Of which collection.
    pub collection: CollectionId,
    /// Of a row that is read. Also of one that is changed or removed: what cannot be read is not there.
    pub read: Statement,
    /// Of a row that is made.
    pub create: Statement,
    /// Of a row as it is before it is changed.
    pub update_old: Statement,
    /// Of a row as it becomes.
    pub update_new: Statement,
    /// Of a row that is removed.
    pub delete: Statement,
}

impl Policy {
    /// All conditions.
    pub fn conditions(&self) -> [&Statement; 5] {
        [&self.read, &self.create, &self.update_old, &self.update_new, &self.delete]
    }
}

/// What rules see of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Of which collection.
    pub collection: CollectionId,
    /// Which columns.
    pub fields: Vec<FieldId>,
}

/// The wall of a model, in a store's words.
pub fn wall(model: &Model, dialect: &dyn Dialect) -> Wall {
    let mut wall = Wall { policies: Vec::new(), views: Vec::new(), refused: Vec::new(), open: Vec::new() };
    for collection in model.public() {
        if collection.adopted {
            wall.refused.push(format!(
                "models/{}.toml: the table is adopted, and Undergird changes no table of others, so it can have no policy",
                collection.name
            ));
            continue;
        }
        let mut builder = Builder { model, dialect, collection, wall: &mut wall };
        let access = &collection.access;
        let policy = Policy {
            collection: collection.id,
            read: builder.condition("read", &access.read, RowVar::THIS, |_| Ok(true)),
            // The database asks before the row is there, and plans when all of the request's rows are.
            create: builder.condition("create", &access.create, RowVar::THIS, |term| {
                match model.looks_into(term, collection.id) {
                    true => Err("looks at the collection's other rows, some of which the same request may make"),
                    false => Ok(true),
                }
            }),
            update_old: builder.condition("update", &access.update, RowVar::THIS, |term| {
                match (names(term, RowVar::THIS), names(term, RowVar::NEW)) {
                    (true, true) => Err("compares the new row with the old one"),
                    (_, new) => Ok(!new),
                }
            }),
            update_new: match &access.update {
                Some(rule) if names(&rule.expr, RowVar::NEW) => {
                    // What names both was told of already.
                    let new_alone = |term: &Expr| Ok(!names(term, RowVar::THIS));
                    builder.condition("update", &access.update, RowVar::NEW, new_alone)
                }
                // A rule that never says `new` holds for both, so that nobody can give a row away.
                Some(_) | None => builder.condition("update", &access.update, RowVar::THIS, |_| Ok(true)),
            },
            delete: builder.condition("delete", &access.delete, RowVar::THIS, |_| Ok(true)),
        };
        wall.policies.push(policy);
    }
    wall.views = seen(model)
        .into_iter()
        .map(|(collection, fields)| View { collection, fields: fields.into_iter().collect() })
        .collect();
    wall
}

struct Builder<'a> {
    model: &'a Model,
    dialect: &'a dyn Dialect,
    collection: &'a Collection,
    wall: &'a mut Wall,
}

impl Builder<'_> {
    /// Those terms of a rule that belong here, about the row of this name. An error of `belongs` is why no policy can have a term.
    fn condition(
        &mut self,
        verb: &str,
        rule: &Option<Rule>,
        row: RowVar,
        belongs: impl Fn(&Expr) -> Result<bool, &'static str>,
    ) -> Statement {
        let place = format!("models/{}.toml: access.{verb}", self.collection.name);
        let mut writer = Writer::new(self.model, self.dialect);
        writer.enter_as(row, self.dialect.identifier(&self.collection.table));
        let Some(rule) = rule else {
            return writer.finish(self.dialect.bool_literal(false).to_owned(), Vec::new(), false);
        };
        let mut kept = Vec::new();
        for term in terms(&rule.expr) {
            match belongs(term) {
                Ok(true) => kept.push(term.clone()),
                Ok(false) => {}
                Err(why) => self.wall.open.push(format!("{place} {why}: `{}`", rule.text)),
            }
        }
        let text = writer.truth(&Expr::all(kept));
        let condition = writer.finish(text, Vec::new(), false);
        if let Some(why) = unfit(&condition) {
            let told = format!("{place}: {why}: `{}`", rule.text);
            if !self.wall.refused.contains(&told) {
                self.wall.refused.push(told);
            }
        }
        condition
    }
}

/// What must all hold where an expression does.
fn terms(rule: &Expr) -> Vec<&Expr> {
    match &rule.node {
        Node::And(terms_of) => terms_of.iter().flat_map(terms).collect(),
        _ => vec![rule],
    }
}

/// Whether an expression names a row, a field of it or a relation from it.
fn names(expr: &Expr, row: RowVar) -> bool {
    expr.any_node(&mut |node| match node {
        Node::Field(of, _) => *of == row,
        Node::Via { from, .. } | Node::Exists { from, .. } | Node::Count { from, .. } => *from == row,
        _ => false,
    })
}

/// Why a condition cannot be a policy.
fn unfit(condition: &Statement) -> Option<String> {
    if let Some(what) = condition.lacks {
        return Some(format!("a policy cannot compute {what}"));
    }
    condition.binds.iter().find_map(|(_, bind)| match bind {
        // Whether it is one that the store knows is seen when it is bound, and then every read would fail.
        Bind::Pattern(_, _, pattern) if !matches!(pattern.node, Node::Literal(_)) => {
            Some("a policy cannot have a pattern that the caller brings".to_owned())
        }
        Bind::Slot(_) | Bind::SlotList(_) | Bind::Input(_) | Bind::Keys(_) | Bind::KeyRows => {
            Some("a policy knows nothing of the request".to_owned())
        }
        Bind::Literal(_) | Bind::Auth(_) | Bind::Now | Bind::Computed(_) | Bind::Pattern(..) => None,
    })
}

/// The columns that rules look at in other rows, by collection.
fn seen(model: &Model) -> BTreeMap<CollectionId, BTreeSet<FieldId>> {
    let mut seen = BTreeMap::new();
    for collection in model.public() {
        for rule in rules(collection) {
            look(model, rule, &mut seen);
        }
    }
    seen
}

fn rules(collection: &Collection) -> impl Iterator<Item = &Expr> {
    let access = &collection.access;
    let verbs = [&access.read, &access.create, &access.update, &access.delete].into_iter().flatten();
    let fields = collection.fields.iter().flat_map(|field| field.read.iter().chain(&field.write));
    let checks = collection.checks.iter().map(|check| &check.rule);
    verbs.chain(fields).chain(checks).map(|rule| &rule.expr)
}

/// Notes each column that an expression looks at in rows other than its own.
fn look(model: &Model, rule: &Expr, seen: &mut BTreeMap<CollectionId, BTreeSet<FieldId>>) {
    rule.any_node(&mut |node| {
        let (of, row, body, keys) = match node {
            Node::Via { relation, bind, body, .. } | Node::At { relation, bind, body, .. } => {
                let relation = model.relation(*relation);
                (relation.target, bind, body, relation.on.iter().map(|(_, theirs)| *theirs).collect())
            }
            Node::Exists { relation, bind, filter, .. } | Node::Count { relation, bind, filter, .. } => {
                let relation = model.relation(*relation);
                (relation.target, bind, filter, relation.on.iter().map(|(_, theirs)| *theirs).collect())
            }
            Node::Profile { bind, body } => match model.profile {
                Some(profile) => {
                    let key = model.collection(profile).key.first().copied();
                    (profile, bind, body, key.into_iter().collect::<Vec<_>>())
                }
                None => return false,
            },
            _ => return false,
        };
        let fields: &mut BTreeSet<FieldId> = seen.entry(of).or_default();
        fields.extend(keys);
        named(model, of, *row, body, fields);
        false
    });
}

/// The fields of one row that an expression names, those among them by which it goes on to others.
fn named(model: &Model, of: CollectionId, row: RowVar, body: &Expr, into: &mut BTreeSet<FieldId>) {
    body.any_node(&mut |node| {
        match node {
            // A name may be bound again further in, to a row of another collection.
            Node::Field(of_row, field) if *of_row == row && field.collection == of => {
                into.insert(*field);
            }
            Node::Via { from, relation, .. }
            | Node::Exists { from, relation, .. }
            | Node::Count { from, relation, .. }
                if *from == row && relation.collection == of =>
            {
                into.extend(model.relation(*relation).on.iter().map(|(ours, _)| *ours));
            }
            _ => {}
        }
        false
    });
}

/// Whether the view of a collection has all that an expression asks of a row.
pub(super) fn shows(model: &Model, of: CollectionId, (row, body): (RowVar, &Expr), keys: &[FieldId]) -> bool {
    let seen = seen(model);
    let mut asked: BTreeSet<FieldId> = keys.iter().copied().collect();
    named(model, of, row, body, &mut asked);
    seen.get(&of).is_some_and(|shown| asked.is_subset(shown))
}
