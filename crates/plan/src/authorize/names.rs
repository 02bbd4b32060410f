//! What the names of a request mean, and the nearest valid name when they mean nothing. Suggestions name only what the contract
//! shows to everybody: public collections and their fields, never secrets or system collections.

use crate::refusal::Refusal;
use undergird_model::diagnostic::nearest;
use undergird_model::{Collection, Model, Relation};

pub(super) fn unknown_collection(model: &Model, name: &str) -> Refusal {
    let nearest = nearest(name, model.public().map(|collection| collection.name.as_str()));
    Refusal::UnknownCollection { name: name.into(), nearest: nearest.map(Into::into) }
}

pub(super) fn unknown_column(collection: &Collection, name: &str) -> Refusal {
    let nearest = nearest_column(collection, name);
    Refusal::UnknownColumn { collection: collection.name.clone(), name: name.into(), nearest }
}

/// The same, of a name in `columns`.
pub(super) fn unknown_target(collection: &Collection, name: &str) -> Refusal {
    let nearest = nearest_column(collection, name);
    Refusal::UnknownTarget { collection: collection.name.clone(), name: name.into(), nearest }
}

fn nearest_column(collection: &Collection, name: &str) -> Option<String> {
    let known = collection.fields.iter().filter(|field| !field.is_secret()).map(|field| field.name.as_str());
    nearest(name, known).map(Into::into)
}

/// The relation that an embed means: by the relation's name, the target's, the ref field's or the constraint's; told apart by
/// a hint (a constraint, a ref field, a junction or a relation). A relation's own name wins over the other ways to say it.
pub(super) fn relation<'m>(
    model: &'m Model,
    collection: &'m Collection,
    name: &str,
    hint: Option<&str>,
) -> Result<&'m Relation, Refusal> {
    let reachable = || collection.relations.iter().filter(|relation| !model.collection(relation.target).system);
    let field_name = |relation: &Relation| relation.field.map(|field| model.field(field).name.as_str());
    let target_name = |relation: &Relation| model.collection(relation.target).name.as_str();
    // A ref field names the way there from here, not the way back, even where both begin here.
    let own_field = |relation: &Relation| relation.on.iter().any(|(ours, _)| relation.field == Some(*ours));
    let named = |relation: &&Relation| {
        relation.name == name
            || target_name(relation) == name
            || relation.constraint == name
            || (own_field(relation) && field_name(relation) == Some(name))
    };
    let hinted = |relation: &&Relation| match hint {
        None => true,
        Some(hint) => {
            relation.constraint == hint
                || relation.name == hint
                || field_name(relation) == Some(hint)
                || relation.through.as_ref().is_some_and(|through| model.collection(through.junction).name == hint)
        }
    };
    let candidates: Vec<&Relation> = reachable().filter(named).filter(hinted).collect();
    match candidates.as_slice() {
        [] => {
            let known = reachable().flat_map(|relation| [relation.name.as_str(), target_name(relation)]);
            let nearest = nearest(name, known).map(Into::into);
            Err(Refusal::UnknownRelation { collection: collection.name.clone(), name: name.into(), nearest })
        }
        [only] => Ok(only),
        several => match several.iter().find(|relation| relation.name == name).or_else(|| way_back(several)) {
            Some(relation) => Ok(relation),
            None => Err(Refusal::AmbiguousRelation {
                collection: collection.name.clone(),
                name: name.into(),
                candidates: several.iter().map(|relation| relation.constraint.clone()).collect(),
            }),
        },
    }
}

/// Of the two directions of one ref from a collection to itself, the way back, as in PostgREST; the ref field's name means the other.
fn way_back<'s, 'm>(several: &'s [&'m Relation]) -> Option<&'s &'m Relation> {
    let [one, other] = several else { return None };
    let same = one.field.is_some() && one.field == other.field && one.target == other.target;
    let back = |relation: &&&Relation| relation.on.iter().all(|(ours, _)| relation.field != Some(*ours));
    if same { several.iter().find(back) } else { None }
}
