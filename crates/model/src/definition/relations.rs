//! Relations, derived from refs: the way there, the way back, and many-to-many by way of a junction.

use super::collections::Draft;
use super::names;
use super::report::{Place, Report, codes};
use super::tree::Table;
use crate::field_type::FieldType;
use crate::schema::{Cardinality, Collection, CollectionId, FieldId, Relation, RelationId, Through};

/// A ref field and what is said about it.
struct Reference {
    field: FieldId,
    target: CollectionId,
    constraint: String,
    /// Whether at most one row refers to each.
    single: bool,
    /// The relation's name, the way back's name if one was given, and where the field stands.
    there: Option<(String, Place)>,
    back: Option<(String, Place)>,
    place: Place,
    /// The relations made of it.
    made: [Option<RelationId>; 2],
}

/// Gives every collection its relations. `suspects` gathers the names of relations that could not be made.
pub(super) fn derive(
    drafts: &[Draft],
    collections: &mut [Collection],
    suspects: &mut Vec<String>,
    report: &mut Report,
) {
    let mut references: Vec<Reference> =
        collections.iter().flat_map(|collection| read(&drafts[usize::from(collection.id.0)], collection)).collect();
    // Refs of a file with a syntax error are kept for their names' sake, but nothing is said about them.
    let mut deaf = Report::deaf();
    for reference in &mut references {
        let whole = drafts[usize::from(reference.field.collection.0)].whole;
        reference.made[0] = make_there(reference, collections, if whole { report } else { &mut deaf });
        if reference.made[0].is_none() {
            let field =
                &collections[usize::from(reference.field.collection.0)].fields[usize::from(reference.field.index)];
            suspects.push(reference.there.as_ref().map_or(&field.name, |(name, _)| name).clone());
        }
    }
    for position in 0..references.len() {
        let whole = drafts[usize::from(references[position].field.collection.0)].whole;
        let report = if whole { &mut *report } else { &mut deaf };
        let back = make_back(&references, position, drafts, collections, suspects, report);
        references[position].made[1] = back;
    }
    make_many_to_many(&references, collections);
    // What is known of such a file is not all: names that lead there and back are not held against anybody.
    for reference in &references {
        if !drafts[usize::from(reference.target.0)].whole {
            suspects.extend(reference.there.iter().map(|(name, _)| name.clone()));
        }
        if !drafts[usize::from(reference.field.collection.0)].whole {
            suspects.extend(reference.back.iter().map(|(name, _)| name.clone()));
        }
    }
    suspects.extend(drafts.iter().filter(|draft| !draft.whole).map(|draft| draft.name.clone()));
}

fn read(draft: &Draft, collection: &Collection) -> Vec<Reference> {
    let mut references = Vec::new();
    for field in &collection.fields {
        let FieldType::Ref { to, .. } = &field.declared else { continue };
        let Some(entry) = draft.tree.table("fields").and_then(|fields| fields.get(&field.name)) else { continue };
        let none = Table::default();
        let table = match &entry.value.data {
            super::tree::Data::Table(table) => table,
            _ => &none,
        };
        let named = |key: &str| table.text(key).map(|(name, place)| (name.to_owned(), place));
        let bare = field.name.strip_suffix("_id").filter(|bare| !bare.is_empty());
        let single = field.unique
            || collection.key == [field.id]
            || collection
                .indexes
                .iter()
                .any(|index| index.unique && matches!(index.fields.as_slice(), [(only, _)] if *only == field.id));
        references.push(Reference {
            field: field.id,
            target: *to,
            constraint: names::made(&[&collection.table, &field.column, "fkey"]),
            single,
            there: named("as").or_else(|| bare.map(|name| (name.to_owned(), entry.place))),
            back: named("inverse"),
            place: entry.place,
            made: [None, None],
        });
    }
    references
}

/// Why a relation cannot have a name in a collection.
fn taken(collection: &Collection, name: &str) -> Option<&'static str> {
    if collection.field(name).is_some() {
        Some("a field")
    } else if collection.relation(name).is_some() {
        Some("another relation")
    } else {
        None
    }
}

fn make_there(reference: &Reference, collections: &mut [Collection], report: &mut Report) -> Option<RelationId> {
    let own = reference.field.collection;
    let collection = &collections[usize::from(own.0)];
    let field = &collection.fields[usize::from(reference.field.index)].name;
    let Some((name, place)) = &reference.there else {
        report
            .error(reference.place, codes::RELATION_NAME, format!("the relation of \"{field}\" has no name of its own"))
            .hint(format!("name the field \"{field}_id\", or the relation by as = \"…\""));
        return None;
    };
    if !names::check(name, "relation", false, *place, report) {
        return None;
    }
    if let Some(what) = taken(collection, name) {
        let message = format!("the relation of \"{field}\" would be \"{name}\", which is {what} already");
        report.error(*place, codes::RELATION_NAME, message).hint("give it a name by as = \"…\"");
        return None;
    }
    let target = &collections[usize::from(reference.target.0)];
    let on = vec![(reference.field, *target.key.first()?)];
    Some(add(collections, own, name, Cardinality::One, reference.target, on, None, Some(reference)))
}

fn make_back(
    references: &[Reference],
    position: usize,
    drafts: &[Draft],
    collections: &mut [Collection],
    suspects: &mut Vec<String>,
    report: &mut Report,
) -> Option<RelationId> {
    let reference = &references[position];
    let own = &drafts[usize::from(reference.field.collection.0)];
    let target = &collections[usize::from(reference.target.0)];
    // Undergird's own collections are not to be reached from the application's, not even by name.
    if own.system && !target.system {
        return None;
    }
    let siblings = references
        .iter()
        .filter(|other| other.field.collection == reference.field.collection && other.target == reference.target);
    let name = match &reference.back {
        Some((name, _)) => name.clone(),
        None if siblings.count() > 1 => {
            let message =
                format!("\"{}\" refers to \"{}\" more than once, so the ways back need names", own.name, target.name);
            report
                .error(reference.place, codes::INVERSE_NAME, message)
                .hint("add inverse = \"…\" to each of these refs");
            suspects.push(own.name.clone());
            return None;
        }
        None => own.name.clone(),
    };
    let place = reference.back.as_ref().map_or(reference.place, |(_, place)| *place);
    if reference.back.is_some() && !names::check(&name, "relation", false, place, report) {
        suspects.push(name);
        return None;
    }
    if let Some(what) = taken(target, &name) {
        let message =
            format!("the way back from \"{}\" would be \"{name}\", which is {what} there already", target.name);
        report.error(place, codes::INVERSE_NAME, message).hint("give it a name by inverse = \"…\"");
        suspects.push(name);
        return None;
    }
    let cardinality = if reference.single { Cardinality::One } else { Cardinality::Many };
    let on = vec![(*target.key.first()?, reference.field)];
    let own = own.id;
    Some(add(collections, reference.target, &name, cardinality, own, on, None, Some(reference)))
}

/// A collection with exactly two refs and no two rows with the same pair joins the two sides, each of which gets a relation named
/// like the other. Where the name is taken, or two junctions would give it, there is none: an added file must not change what an
/// existing name means.
fn make_many_to_many(references: &[Reference], collections: &mut [Collection]) {
    struct Candidate {
        from: CollectionId,
        target: CollectionId,
        through: Through,
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for junction in collections.iter() {
        let own: Vec<&Reference> = references.iter().filter(|other| other.field.collection == junction.id).collect();
        let [a, b] = own[..] else { continue };
        let pair = |fields: &mut dyn Iterator<Item = FieldId>| {
            let fields: Vec<FieldId> = fields.collect();
            fields.len() == 2 && fields.contains(&a.field) && fields.contains(&b.field)
        };
        let joins = pair(&mut junction.key.iter().copied())
            || junction.indexes.iter().any(|index| index.unique && pair(&mut index.fields.iter().map(|(id, _)| *id)));
        if !joins || a.target == b.target {
            continue;
        }
        for (near, far) in [(a, b), (b, a)] {
            if let (Some(first), Some(second)) = (near.made[1], far.made[0]) {
                let through = Through { junction: junction.id, first, second };
                candidates.push(Candidate { from: near.target, target: far.target, through });
            }
        }
    }
    for (position, candidate) in candidates.iter().enumerate() {
        let rival = candidates.iter().enumerate().any(|(other, rival)| {
            other != position && (rival.from, rival.target) == (candidate.from, candidate.target)
        });
        let name = collections[usize::from(candidate.target.0)].name.clone();
        let from = &collections[usize::from(candidate.from.0)];
        if rival || taken(from, &name).is_some() {
            continue;
        }
        let on = from.relations[usize::from(candidate.through.first.index)].on.clone();
        let through = Some(candidate.through.clone());
        add(collections, candidate.from, &name, Cardinality::Many, candidate.target, on, through, None);
    }
}

#[allow(clippy::too_many_arguments, reason = "they are the parts of one record")]
fn add(
    collections: &mut [Collection],
    from: CollectionId,
    name: &str,
    cardinality: Cardinality,
    target: CollectionId,
    on: Vec<(FieldId, FieldId)>,
    through: Option<Through>,
    reference: Option<&Reference>,
) -> RelationId {
    let constraint = match (&through, reference) {
        // PostgREST's hint for a many-to-many is the junction's name.
        (Some(through), _) => collections[usize::from(through.junction.0)].table.clone(),
        (None, Some(reference)) => reference.constraint.clone(),
        (None, None) => String::new(),
    };
    let relations = &mut collections[usize::from(from.0)].relations;
    let id = RelationId { collection: from, index: relations.len() as u16 };
    let field = reference.map(|reference| reference.field);
    relations.push(Relation { id, name: name.to_owned(), target, cardinality, on, through, field, constraint });
    id
}
