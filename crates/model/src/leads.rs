//! Which collections an expression looks into, besides the rows in scope.

use crate::expr::{Expr, Node};
use crate::schema::{Collection, CollectionId, Model, RelationId};
use std::collections::BTreeSet;

/// Adds the collections whose rows decide what an expression gives: those that its relations lead to, and the users' own when it asks for
/// the caller's profile. Not those of the rows in scope, which whoever has the expression knows.
pub fn leads_to(
    expr: &Expr,
    collections: &[Collection],
    profile: Option<CollectionId>,
    found: &mut BTreeSet<CollectionId>,
) {
    let relation = |id: RelationId| &collections[usize::from(id.collection.0)].relations[usize::from(id.index)];
    expr.any_node(&mut |node| {
        match node {
            Node::Via { relation: id, .. }
            | Node::Exists { relation: id, .. }
            | Node::Count { relation: id, .. }
            | Node::At { relation: id, .. } => {
                let relation = relation(*id);
                found.insert(relation.target);
                found.extend(relation.through.as_ref().map(|through| through.junction));
            }
            Node::Profile { .. } => found.extend(profile),
            _ => {}
        }
        false
    });
}

impl Model {
    /// Whether an expression may look at rows of a collection, beside those in scope.
    pub fn looks_into(&self, expr: &Expr, collection: CollectionId) -> bool {
        let mut found = BTreeSet::new();
        leads_to(expr, &self.collections, self.profile, &mut found);
        found.contains(&collection)
    }
}
