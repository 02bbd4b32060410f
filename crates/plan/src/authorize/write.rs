//! What is written: the rows that the request means among those that the caller may read, the rules that each must pass, and the
//! values.
//!
//! What can be decided from the input alone is decided here, in memory ([`super::input`]); the rest becomes guards, which the store
//! asks in the transaction of the change.

use super::Builder;
use super::input::Recipe;
use super::read::Scope;
use crate::partial::{self, Verdict};
use crate::refusal::Refusal;
use crate::request::{Body, Resolution, Returning, Verb};
use crate::shape::{Action, Again, Guard, Otherwise, Upsert, Write};
use undergird_model::expr::RowVar;
use undergird_model::{Collection, Expr, Field, FieldId, Node};

impl<'a> Builder<'a> {
    /// The shape of a write, and how its input rows are made.
    pub(super) fn write(
        &mut self,
        collection: &'a Collection,
        body: Option<&Body>,
        names: &[String],
    ) -> Result<(Write, Option<Recipe>), Refusal> {
        if collection.readonly {
            return Err(Refusal::Unsupported {
                what: format!("{} is only read: it is a view, or a table without a key", collection.name),
                hint: Some("write to the tables behind it".into()),
            });
        }
        let items = self.request.select.as_deref().unwrap_or(&[]);
        self.embed_modifiers(items)?;
        let (inputs, action, recipe) = match self.request.verb {
            Verb::Create | Verb::Replace => self.create(collection, body, names)?,
            Verb::Update => self.update(collection, body, names)?,
            Verb::Delete => (Vec::new(), self.delete(collection)?, None),
            Verb::Read => return Err(Refusal::Malformed { message: "a read is not a write".into(), hint: None }),
        };
        let returning = match self.request.returning {
            Returning::Representation => Some(self.representation(collection)?),
            Returning::Minimal | Returning::HeadersOnly => {
                self.select_is_of_names(collection)?;
                None
            }
        };
        Ok((Write { collection: collection.id, inputs, action, returning }, recipe))
    }

    /// A `select` that names what is not there is a mistake also where nothing is answered. Whether the caller may read what it names is
    /// not asked then: it reads nothing.
    fn select_is_of_names(&mut self, collection: &'a Collection) -> Result<(), Refusal> {
        if self.request.select.is_none() {
            return Ok(());
        }
        match self.representation(collection) {
            Err(
                refusal @ (Refusal::UnknownColumn { .. }
                | Refusal::UnknownRelation { .. }
                | Refusal::AmbiguousRelation { .. }),
            ) => Err(refusal),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn create(
        &mut self,
        collection: &'a Collection,
        body: Option<&Body>,
        names: &[String],
    ) -> Result<(Vec<FieldId>, Action, Option<Recipe>), Refusal> {
        if body.is_none() {
            return Err(Refusal::Malformed { message: "a create needs a body".into(), hint: None });
        }
        let rule = self.access(collection, Verb::Create)?;
        if partial::verdict(&rule, &self.kind) == Verdict::Deny {
            return Err(self.row_rule(collection, Verb::Create));
        }
        if let Some(slots) = &self.request.key {
            // Only so that the key's slots are read by the types of its fields.
            self.key_equals(collection, RowVar::THIS, slots)?;
        }
        let given = self.given(collection, names);
        let is_given = |field: &Field| given.contains(&field.id) || self.in_path(collection, field);
        // What the database numbers or has a default for, and nobody gave, is the database's to give.
        let inputs: Vec<FieldId> = collection
            .fields
            .iter()
            .filter(|field| is_given(field) || !field.is_left_to_database())
            .map(|field| field.id)
            .collect();
        // The row as it would become is THIS in a create rule; a field's write rule holds for what the body names.
        let mut rules = vec![Guard { predicate: rule, otherwise: Otherwise::Access }];
        if !self.is_privileged() {
            for field in &given {
                if let Some(rule) = &self.model.field(*field).write {
                    let predicate = self.specialised(&rule.expr);
                    rules.push(Guard { predicate, otherwise: Otherwise::FieldWrite(*field) });
                }
            }
        }
        rules.extend(self.key_in_path(collection, &given));
        for (position, check) in collection.checks.iter().enumerate() {
            let predicate = partial::specialise(&check.rule.expr, &self.kind);
            rules.push(Guard { predicate, otherwise: Otherwise::Check(position) });
        }
        rules.retain(|guard| partial::verdict(&guard.predicate, &self.kind) != Verdict::Allow);
        // What the database gives is known only when the row is made, so rules that look at it wait until then.
        let made: Vec<FieldId> =
            collection.fields.iter().map(|field| field.id).filter(|id| !inputs.contains(id)).collect();
        let (after, before): (Vec<Guard>, Vec<Guard>) = rules.into_iter().partition(|guard| {
            guard.predicate.needs_relations() || made.iter().any(|field| mentions(&guard.predicate, *field))
        });
        let upsert = self.upsert(collection, &inputs, &given)?;
        let recipe = Recipe {
            collection: collection.id,
            inputs: inputs.clone(),
            given,
            // When the row may be there already, the create rule is for the rows that are not: the store decides.
            guards: if upsert.is_some() { Vec::new() } else { before.clone() },
            checks: before.iter().filter(|guard| matches!(guard.otherwise, Otherwise::Check(_))).cloned().collect(),
            key: self.request.key.clone(),
            missing_default: self.request.missing_default,
            columns: self.request.columns.clone(),
            partial: false,
        };
        let guards = if upsert.is_some() { before.into_iter().chain(after).collect() } else { after };
        Ok((inputs, Action::Insert { guards, upsert }, Some(recipe)))
    }

    /// A key in the path names its fields as the body would: whoever may not set them may replace the row that is there, and make none.
    fn key_in_path(&self, collection: &Collection, given: &[FieldId]) -> Vec<Guard> {
        if self.is_privileged() || self.request.key.is_none() {
            return Vec::new();
        }
        let named = collection.key.iter().filter(|field| !given.contains(field));
        named
            .filter_map(|key| {
                let field = self.model.field(*key);
                let predicate = match &field.write {
                    _ if field.readonly => Expr::bool(false),
                    Some(rule) => self.specialised(&rule.expr),
                    None => return None,
                };
                Some(Guard { predicate, otherwise: Otherwise::FieldWrite(*key) })
            })
            .collect()
    }

    /// Whether a field is part of the key in the path.
    fn in_path(&self, collection: &Collection, field: &Field) -> bool {
        self.request.key.is_some() && collection.is_key(field.id)
    }

    /// What to do when a row is there already, if the request says so.
    fn upsert(
        &mut self,
        collection: &'a Collection,
        inputs: &[FieldId],
        given: &[FieldId],
    ) -> Result<Option<Upsert>, Refusal> {
        let replace = self.request.verb == Verb::Replace;
        // Read even when it does not count: a name that is wrong is never passed over.
        let target = match &self.request.on_conflict {
            Some(names) => {
                let fields: Result<Vec<FieldId>, Refusal> =
                    names.iter().map(|name| self.field(collection, name).map(|field| field.id)).collect();
                fields?
            }
            None => collection.key.clone(),
        };
        let ignore = match (self.request.resolution, replace) {
            (None, false) => return Ok(None),
            (Some(Resolution::IgnoreDuplicates), false) => true,
            _ => false,
        };
        if !is_unique(collection, &target) {
            return Err(Refusal::NotUnique { collection: collection.name.clone() });
        }
        if target.iter().any(|field| !inputs.contains(field)) {
            // An identity that nobody gave cannot be there already.
            return Ok(None);
        }
        if ignore {
            return Ok(Some(Upsert {
                target,
                ignore,
                guards: Vec::new(),
                assign: Vec::new(),
                again: Again::default(),
            }));
        }
        let assigned: Vec<FieldId> = inputs
            .iter()
            .copied()
            .filter(|field| {
                let told = if replace { !self.model.field(*field).readonly } else { given.contains(field) };
                told && !target.contains(field) && !collection.is_key(*field) && !self.model.field(*field).immutable
            })
            .collect();
        let assign = assignments(self.model, inputs, &assigned);
        let mut guards = self.changes(collection, &assign, Verb::Update)?;
        // A row that the caller may not read is not the caller's to change either.
        let readable = self.visible(collection, RowVar::THIS)?;
        if partial::verdict(&readable, &self.kind) != Verdict::Allow {
            guards.insert(0, Guard { predicate: readable, otherwise: Otherwise::Access });
        }
        let again = self.again(collection, &assign)?;
        Ok(Some(Upsert { target, ignore, guards, assign, again }))
    }

    fn update(
        &mut self,
        collection: &'a Collection,
        body: Option<&Body>,
        names: &[String],
    ) -> Result<(Vec<FieldId>, Action, Option<Recipe>), Refusal> {
        if body.is_none() {
            return Err(Refusal::Malformed { message: "an update needs a body".into(), hint: None });
        }
        // Asked first, so that a closed verb is told before anything about the body.
        self.access(collection, Verb::Update)?;
        let given = self.given(collection, names);
        let assign = assignments(self.model, &given, &given);
        let guards = self.changes(collection, &assign, Verb::Update)?;
        let again = self.again(collection, &assign)?;
        let mut filter = self.targets(collection)?;
        if assign.is_empty() {
            // `{}` changes nothing, as in PostgREST; and no store can say that.
            filter = Expr::bool(false);
        }
        let recipe = Recipe {
            collection: collection.id,
            inputs: given.clone(),
            given: given.clone(),
            guards: Vec::new(),
            checks: Vec::new(),
            key: None,
            missing_default: false,
            columns: self.request.columns.clone(),
            partial: true,
        };
        Ok((given, Action::Update { filter, assign, guards, again }, Some(recipe)))
    }

    fn delete(&mut self, collection: &'a Collection) -> Result<Action, Refusal> {
        let rule = self.access(collection, Verb::Delete)?;
        let filter = self.targets(collection)?;
        let guards = match partial::verdict(&rule, &self.kind) {
            Verdict::Allow => Vec::new(),
            Verdict::Deny => vec![Guard { predicate: Expr::bool(false), otherwise: Otherwise::Access }],
            Verdict::Only(predicate) => vec![Guard { predicate, otherwise: Otherwise::Access }],
        };
        Ok(Action::Delete { filter, guards })
    }

    /// The rows that an update or a delete means: its conditions, on what the caller may read.
    fn targets(&mut self, collection: &'a Collection) -> Result<Expr, Refusal> {
        let request = self.request;
        if !request.order.is_empty() || request.limit.is_some() || request.offset.is_some() {
            return Err(Refusal::Unsupported {
                what: "order, limit and offset in an update or a delete".into(),
                hint: Some("select the keys first, then change them by id=in.(…)".into()),
            });
        }
        let mut terms = vec![self.visible(collection, RowVar::THIS)?];
        if let Some(slots) = &request.key {
            terms.push(self.key_equals(collection, RowVar::THIS, slots)?);
        }
        let items = request.select.as_deref().unwrap_or(&[]);
        let modifiers = self.embed_modifiers(items)?;
        let scope = Scope { collection, row: RowVar::THIS, items, modifiers: &modifiers };
        terms.push(self.conditions(&scope, &request.filter)?);
        Ok(Expr::all(terms))
    }

    /// What a stored row must pass so that these assignments may be made to it.
    fn changes(
        &mut self,
        collection: &'a Collection,
        assign: &[(FieldId, Expr)],
        verb: Verb,
    ) -> Result<Vec<Guard>, Refusal> {
        let becomes = |field: FieldId| assign.iter().find(|(known, _)| *known == field).map(|(_, value)| value.clone());
        let touched = |expr: &Expr, row: RowVar| touches(self.model, expr, row, &|field| becomes(field).is_some());
        let mut guards = Vec::new();
        let rule = self.access(collection, verb)?;
        let mut terms = Vec::new();
        if mentions_row(&rule, RowVar::NEW) {
            terms.push(partial::substitute_fields(self.model, &rule, RowVar::NEW, &becomes, RowVar::THIS));
        } else {
            // A rule that never says `new` must hold for both, so that nobody can give a row away.
            if touched(&rule, RowVar::THIS) {
                terms.push(partial::substitute_fields(self.model, &rule, RowVar::THIS, &becomes, RowVar::THIS));
            }
            terms.push(rule);
        }
        guards.push(Guard { predicate: Expr::all(terms), otherwise: Otherwise::Access });
        if !self.is_privileged() {
            for (field, _) in assign {
                if let Some(rule) = &self.model.field(*field).write {
                    let predicate = self.specialised(&rule.expr);
                    guards.push(Guard { predicate, otherwise: Otherwise::FieldWrite(*field) });
                }
            }
        }
        for (position, check) in collection.checks.iter().enumerate() {
            if touched(&check.rule.expr, RowVar::THIS) {
                let changed =
                    partial::substitute_fields(self.model, &check.rule.expr, RowVar::THIS, &becomes, RowVar::THIS);
                let predicate = partial::specialise(&changed, &self.kind);
                guards.push(Guard { predicate, otherwise: Otherwise::Check(position) });
            }
        }
        guards.retain(|guard| partial::verdict(&guard.predicate, &self.kind) != Verdict::Allow);
        Ok(guards)
    }

    /// The fields that the body names and that are there for this caller to name. What is wrong with the others is told when the
    /// body is read.
    fn given(&self, collection: &Collection, names: &[String]) -> Vec<FieldId> {
        let named = |field: &&Field| {
            names.contains(&field.name)
                && self.request.columns.as_ref().is_none_or(|columns| columns.contains(&field.name))
        };
        collection.fields.iter().filter(named).map(|field| field.id).collect()
    }

    fn row_rule(&self, collection: &Collection, verb: Verb) -> Refusal {
        Refusal::RowRule { collection: collection.name.clone(), verb, authenticated: self.caller.is_authenticated() }
    }
}

/// Each of `assigned` becomes the input of its position among `inputs`.
fn assignments(model: &undergird_model::Model, inputs: &[FieldId], assigned: &[FieldId]) -> Vec<(FieldId, Expr)> {
    inputs
        .iter()
        .enumerate()
        .filter(|(_, field)| assigned.contains(field))
        .map(|(position, field)| {
            let node = Node::Input(u16::try_from(position).unwrap_or(u16::MAX));
            (*field, Expr { ty: model.field(*field).ty, node })
        })
        .collect()
}

/// Whether the fields are the key or a declared unique combination, in any order.
fn is_unique(collection: &Collection, fields: &[FieldId]) -> bool {
    let same = |other: &[FieldId]| other.len() == fields.len() && other.iter().all(|field| fields.contains(field));
    let single = || match fields {
        [only] => collection.fields[usize::from(only.index)].unique,
        _ => false,
    };
    let indexed = || {
        let unique = collection.indexes.iter().filter(|index| index.unique);
        unique.into_iter().any(|index| same(&index.fields.iter().map(|(field, _)| *field).collect::<Vec<_>>()))
    };
    same(&collection.key) || single() || indexed()
}

fn mentions(expr: &Expr, field: FieldId) -> bool {
    expr.any_node(&mut |node| matches!(node, Node::Field(_, known) if *known == field))
}

pub(super) fn mentions_row(expr: &Expr, row: RowVar) -> bool {
    expr.any_node(&mut |node| match node {
        Node::Field(of, _) => *of == row,
        Node::Via { from, .. } | Node::Exists { from, .. } | Node::Count { from, .. } => *from == row,
        _ => false,
    })
}

/// Whether an expression looks at one of these fields of a row, itself or to follow a relation from it.
fn touches(model: &undergird_model::Model, expr: &Expr, row: RowVar, changed: &dyn Fn(FieldId) -> bool) -> bool {
    expr.any_node(&mut |node| match node {
        Node::Field(of, field) => *of == row && changed(*field),
        Node::Via { from, relation, .. } | Node::Exists { from, relation, .. } | Node::Count { from, relation, .. } => {
            *from == row && model.relation(*relation).on.iter().any(|(ours, _)| changed(*ours))
        }
        _ => false,
    })
}
