//! Rules as policies of the database: a second wall around reads, for stores that have row-level security.
//!
//! A policy is the read rule of a collection, written by the same writer as plans are, for the table's own name. What no row decides
//! is bound there as anywhere: the store has each such value from a setting instead of a parameter. What a rule looks up in other
//! rows it finds by views, which show no more than the columns that rules name, because rules see through rules.
//! Absent: the statements that make policies and views, which are the store's.

use super::expr::Writer;
use super::{Bind, Dialect, Statement};
use std::collections::{BTreeMap, BTreeSet};
use undergird_model::expr::{Node, RowVar};
use undergird_model::schema::Collection;
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
}

/// Which rows of a collection may be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Of which collection.
    pub collection: CollectionId,
    /// The condition, its parameters and what they are bound to. Never null.
    pub condition: Statement,
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
    let mut wall = Wall { policies: Vec::new(), views: Vec::new(), refused: Vec::new() };
    for collection in model.public() {
        if collection.adopted {
            wall.refused.push(format!(
                "models/{}.toml: the table is adopted, and Undergird changes no table of others, so it can have no policy",
                collection.name
            ));
            continue;
        }
        let mut writer = Writer::new(model, dialect);
        writer.enter_as(RowVar::THIS, dialect.identifier(&collection.table));
        let text = match &collection.access.read {
            None => dialect.bool_literal(false).to_owned(),
            Some(rule) => writer.truth(&rule.expr),
        };
        let condition = writer.finish(text, Vec::new(), false);
        if let (Some(why), Some(rule)) = (unfit(&condition), &collection.access.read) {
            wall.refused.push(format!("models/{}.toml: access.read: {why}: `{}`", collection.name, rule.text));
        }
        wall.policies.push(Policy { collection: collection.id, condition });
    }
    wall.views = seen(model)
        .into_iter()
        .map(|(collection, fields)| View { collection, fields: fields.into_iter().collect() })
        .collect();
    wall
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

/// The columns that rules about reading look at in other rows, by collection.
fn seen(model: &Model) -> BTreeMap<CollectionId, BTreeSet<FieldId>> {
    let mut seen = BTreeMap::new();
    for collection in model.public() {
        for rule in about_reading(collection) {
            look(model, rule, &mut seen);
        }
    }
    seen
}

fn about_reading(collection: &Collection) -> impl Iterator<Item = &Expr> {
    let fields = collection.fields.iter().filter_map(|field| field.read.as_ref());
    collection.access.read.iter().chain(fields).map(|rule| &rule.expr)
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
