//! Random models, rows, callers and well-typed expressions, for tests that hold two readers of an expression against each other.
//! Everything comes from a seed, so that a failure can be had again; everything favours the edges, where readers part.
//!
//! Absent: validation (rows obey types, keys and references only) and any dependency. Compiled for tests alone.

mod dice;
mod exprs;
mod rows;
mod values;

pub use dice::Dice;
pub use exprs::Exprs;
pub use rows::{Row, Rows, RowsWorld};
pub use values::value;

use crate::caller::{Caller, Moment, User};
use crate::request::Demands;
use crate::shape::{Plan, Shape};
use std::sync::Arc;
use undergird_model::field_type::{FieldType, OnDelete};
use undergird_model::schema::{Access, Cardinality, Collection, Field, Relation};
use undergird_model::settings::Settings;
use undergird_model::{CollectionId, FieldId, Kind, Model, RelationId, Type, Value};

/// The kinds that fields have. A few decimals stand for all.
pub const KINDS: [Kind; 14] = [
    Kind::Bool,
    Kind::Int,
    Kind::Float,
    Kind::Decimal { precision: 5, scale: 2 },
    Kind::Decimal { precision: 18, scale: 0 },
    Kind::Decimal { precision: 18, scale: 18 },
    Kind::Text,
    Kind::Uuid,
    Kind::Timestamp,
    Kind::Date,
    Kind::Time,
    Kind::Json,
    Kind::Bytes,
    // Once more, since half of all rules are about text.
    Kind::Text,
];

/// A model of three or four collections, each with fields of many types, refs to each other and the ways back. One of them, with a
/// uuid key, is the profile.
pub fn model(dice: &mut Dice) -> Model {
    let count = 3 + dice.below(2);
    let keys: Vec<FieldType> = (0..count)
        .map(|at| match (at, dice.below(3)) {
            (0, _) | (_, 0) => FieldType::Uuid,
            (_, 1) => FieldType::Int,
            _ => FieldType::Text { pattern: None },
        })
        .collect();
    let mut collections: Vec<Collection> = (0..count).map(|at| collection(dice, at, &keys)).collect();
    relate(&mut collections);
    Model::new(Settings::default(), collections, Some(CollectionId(0)))
}

fn collection(dice: &mut Dice, at: usize, keys: &[FieldType]) -> Collection {
    let id = CollectionId(at as u16);
    let name = format!("c{at}");
    let mut fields = Vec::new();
    let mut add = |name: String, declared: FieldType, optional: bool| {
        let id = FieldId { collection: id, index: fields.len() as u16 };
        fields.push(field(id, name, declared, optional));
    };
    add("id".into(), keys[at].clone(), false);
    for number in 0..6 + dice.below(10) {
        let kind = *dice.pick(&KINDS);
        let list = kind != Kind::Json && dice.below(5) == 0;
        let declared = if list { FieldType::List { of: Box::new(declared(kind)) } } else { declared(kind) };
        add(format!("f{number}"), declared, dice.below(3) > 0);
    }
    for number in 0..1 + dice.below(2) {
        let to = dice.below(keys.len());
        let key = Box::new(keys[to].clone());
        let to = CollectionId(to as u16);
        // Always optional, so that rows can be made in any order.
        add(format!("r{number}_id"), FieldType::Ref { to, key, on_delete: OnDelete::SetNull }, true);
    }
    // Some stores have no index over texts of any length.
    if keys[at].storage() == Type::TEXT {
        fields[0].max = Some(Value::Int(100));
    }
    Collection {
        id,
        name: name.clone(),
        table: name,
        description: None,
        system: false,
        schema: None,
        adopted: false,
        readonly: false,
        key: vec![fields[0].id],
        fields,
        relations: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        access: Access::default(),
        cache: None,
    }
}

fn field(id: FieldId, name: String, declared: FieldType, optional: bool) -> Field {
    Field {
        id,
        column: name.clone(),
        name,
        ty: declared.storage(),
        declared,
        description: None,
        optional,
        unique: false,
        readonly: false,
        immutable: false,
        default: None,
        min: None,
        max: None,
        read: None,
        write: None,
        renamed_from: None,
        kept: undergird_model::schema::Kept::Own,
    }
}

fn declared(kind: Kind) -> FieldType {
    match kind {
        Kind::Bool => FieldType::Bool,
        Kind::Int => FieldType::Int,
        Kind::Float => FieldType::Float,
        Kind::Decimal { precision, scale } => FieldType::Decimal { precision, scale },
        Kind::Text => FieldType::Text { pattern: None },
        Kind::Uuid => FieldType::Uuid,
        Kind::Timestamp => FieldType::Timestamp,
        Kind::Date => FieldType::Date,
        Kind::Time => FieldType::Time,
        Kind::Json => FieldType::Json { schema: None },
        Kind::Bytes => FieldType::Bytes,
    }
}

/// Every ref gets its relation, and the other side the way back.
fn relate(collections: &mut [Collection]) {
    let refs: Vec<(FieldId, CollectionId)> = collections
        .iter()
        .flat_map(|collection| &collection.fields)
        .filter_map(|field| match field.declared {
            FieldType::Ref { to, .. } => Some((field.id, to)),
            _ => None,
        })
        .collect();
    for (field, target) in refs {
        let key = collections[usize::from(target.0)].key[0];
        let mut add = |from: CollectionId, to: CollectionId, cardinality, on| {
            let relations = &mut collections[usize::from(from.0)].relations;
            let id = RelationId { collection: from, index: relations.len() as u16 };
            let name = format!("x{}", id.index);
            let constraint = format!("c{}_{}_fkey", field.collection.0, field.index);
            let field = Some(field);
            relations.push(Relation { id, name, target: to, cardinality, on, through: None, field, constraint });
        };
        add(field.collection, target, Cardinality::One, vec![(field, key)]);
        add(target, field.collection, Cardinality::Many, vec![(key, field)]);
    }
}

/// A plan of a shape made by hand: the one way past [`crate::authorize`](crate::authorize()), which is why this module is for tests alone.
pub fn plan(model: Arc<Model>, shape: Shape, params: Vec<Value>, input: Vec<Vec<Value>>, caller: Caller) -> Plan {
    Plan { model, shape: Arc::new(shape), params, input, caller, demands: Demands::default() }
}

/// A caller of any kind. Users have the id of a profile row, mostly.
pub fn caller(dice: &mut Dice, rows: &Rows) -> Caller {
    let moment = Moment { now: *dice.pick(&[0, -1, 951_782_400_000_001, 1_795_383_273_123_456]), entropy: 0 };
    match dice.below(6) {
        0 => Caller::visitor(moment),
        1 => Caller::secret(moment),
        _ => {
            let profiles = rows.of(CollectionId(0));
            let known = profiles.get(dice.below(profiles.len() + 1)).and_then(|row| row.values().first());
            let id = match known.or(Some(&value(dice, Type::UUID))) {
                Some(Value::Uuid(id)) => *id,
                _ => uuid::Uuid::nil(),
            };
            let claims = match value(dice, Type::JSON) {
                Value::Json(text) => serde_json::from_str(&text).unwrap_or_default(),
                _ => serde_json::Value::Null,
            };
            let roles = (0..dice.below(3)).map(|_| (*dice.pick(&["a", "admin", ""])).to_owned()).collect();
            let email = (dice.below(2) == 0).then(|| "a@b.c".to_owned());
            let methods = (0..dice.below(3)).map(|_| serde_json::json!({ "method": dice.pick(&["a", "admin", ""]) }));
            let methods: Vec<_> = methods.collect();
            let claims = serde_json::json!({
                "a": claims, "b": { "a": [1, "a", null] }, "aal": dice.pick(&["aal1", "aal2"]), "amr": methods
            });
            Caller::user(Arc::new(User::new(id, email, roles, claims)), moment)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use undergird_model::Node;
    use undergird_model::expr::RowVar;

    /// What is never made is never tested.
    #[test]
    fn every_node_and_function_is_made() {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut dice = Dice::new(1);
        for _ in 0..50 {
            let model = model(&mut dice);
            for _ in 0..100 {
                let expr = Exprs::new(&mut dice, &model, &[(RowVar::THIS, CollectionId(0))]).expr(Type::BOOL, 4);
                expr.any_node(&mut |node| {
                    let name = match node {
                        Node::Call(function, _) => format!("{function:?}()"),
                        Node::At { ask, .. } => format!("At {ask:?}"),
                        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
                    };
                    *seen.entry(name).or_default() += 1;
                    false
                });
            }
        }
        let functions = seen.keys().filter(|name| name.ends_with("()")).count();
        assert_eq!((functions, seen.len() - functions), (40, 25), "{seen:#?}");
    }
}
