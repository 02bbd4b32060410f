//! Random rows of a random model, and the world that they make.

use super::{Dice, value};
use crate::caller::{Caller, Identity};
use crate::evaluate::World;
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;
use undergird_model::field_type::FieldType;
use undergird_model::{CollectionId, FieldId, Model, RelationId, Type, Value};

/// A row, stored or made up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Row(Rc<Vec<Value>>);

impl Row {
    /// A row that is nowhere stored, by the position of its fields.
    pub fn new(values: Vec<Value>) -> Row {
        Row(Rc::new(values))
    }

    /// Its values by the position of its fields.
    pub fn values(&self) -> &[Value] {
        &self.0
    }
}

/// The rows of every collection. Keys are distinct and references lead to rows.
#[derive(Clone, Debug)]
pub struct Rows {
    tables: Vec<Vec<Row>>,
    /// What each relation leads to, by its (ours, theirs) fields, of which there is one pair in these models.
    relations: FxHashMap<RelationId, (FieldId, FieldId)>,
    /// Rows by the value of a field, for the fields that relations lead to.
    index: FxHashMap<(FieldId, Value), Vec<Row>>,
}

impl Rows {
    /// As many of each collection as `count` says of its position.
    pub fn new(dice: &mut Dice, model: &Model, count: impl Fn(usize) -> usize) -> Rows {
        let collections = model.collections.iter().enumerate();
        let keys: Vec<Vec<Value>> = collections.map(|(at, c)| keys(dice, c.fields[0].ty, count(at))).collect();
        let mut tables = Vec::new();
        for (collection, own) in model.collections.iter().zip(&keys) {
            let row = |key: &Value| {
                let mut values = vec![key.clone()];
                for field in &collection.fields[1..] {
                    values.push(match &field.declared {
                        FieldType::Ref { to, .. } => match keys[usize::from(to.0)].as_slice() {
                            // The earlier ones are favoured, so that some rows have many that refer to them.
                            others if dice.below(4) > 0 => dice.pick(&others[..others.len().div_ceil(2)]).clone(),
                            _ => Value::Null,
                        },
                        _ if field.optional && dice.below(5) == 0 => Value::Null,
                        _ => value(dice, field.ty),
                    });
                }
                Row::new(values)
            };
            tables.push(own.iter().map(row).collect::<Vec<Row>>());
        }
        let mut rows = Rows { tables, relations: FxHashMap::default(), index: FxHashMap::default() };
        rows.relate(model);
        rows
    }

    fn relate(&mut self, model: &Model) {
        let mut indexed = FxHashSet::default();
        for relation in model.collections.iter().flat_map(|collection| &collection.relations) {
            let Some((ours, theirs)) = relation.on.first().copied() else { continue };
            self.relations.insert(relation.id, (ours, theirs));
            if !indexed.insert(theirs) {
                continue;
            }
            for row in &self.tables[usize::from(theirs.collection.0)] {
                let value = row.values()[usize::from(theirs.index)].clone();
                self.index.entry((theirs, value)).or_default().push(row.clone());
            }
        }
    }

    /// The rows of a collection.
    pub fn of(&self, collection: CollectionId) -> &[Row] {
        &self.tables[usize::from(collection.0)]
    }

    /// What a caller's rules can see.
    pub fn world(&self, caller: &Caller) -> RowsWorld<'_> {
        let id = match caller.identity() {
            Identity::User(user) => Some(Value::Uuid(user.id())),
            Identity::Visitor | Identity::Secret | Identity::System => None,
        };
        let profile = id.and_then(|id| self.of(CollectionId(0)).iter().find(|row| row.values()[0] == id).cloned());
        RowsWorld { rows: self, profile }
    }
}

/// Keys that differ, some of the odd ones among them.
fn keys(dice: &mut Dice, ty: Type, count: usize) -> Vec<Value> {
    /// More draws would only find the same edges again.
    const DRAWN_MAX: usize = 12;
    let mut keys = Vec::new();
    let mut seen = FxHashSet::default();
    let mut next = 0;
    while keys.len() < count {
        next += 1;
        let key = match ty {
            _ if next <= DRAWN_MAX => value(dice, ty),
            Type::UUID => Value::Uuid(uuid::Uuid::from_u128(next as u128)),
            Type::INT => Value::Int(next as i64),
            _ => Value::text(format!("k{next}")),
        };
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    keys
}

/// The rows as one caller's rules see them.
#[derive(Clone, Debug)]
pub struct RowsWorld<'a> {
    rows: &'a Rows,
    profile: Option<Row>,
}

impl World for RowsWorld<'_> {
    type Row = Row;

    fn field(&self, row: &Row, field: FieldId) -> Value {
        row.values()[usize::from(field.index)].clone()
    }

    fn related(&self, row: &Row, relation: RelationId) -> Vec<Row> {
        let ours = self.rows.relations[&relation].0;
        match self.field(row, ours) {
            Value::Null => Vec::new(),
            key => self.related_to(&[key], relation),
        }
    }

    fn related_to(&self, key: &[Value], relation: RelationId) -> Vec<Row> {
        let theirs = self.rows.relations[&relation].1;
        key.first().and_then(|key| self.rows.index.get(&(theirs, key.clone()))).cloned().unwrap_or_default()
    }

    fn profile(&self) -> Option<Row> {
        self.profile.clone()
    }
}
