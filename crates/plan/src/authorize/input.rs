//! The rows of a body: names known, types right, limits kept, defaults filled in; and the rules that can be decided from a row
//! alone. All of a body's errors are told at once.

use super::ids::Ids;
use super::names;
use crate::caller::{Caller, Identity};
use crate::evaluate::{self, Bindings, RowWorld};
use crate::refusal::{FieldError, Refusal};
use crate::request::{Body, Input, Verb};
use crate::shape::{Guard, Otherwise};
use std::borrow::Cow;
use std::collections::HashSet;
use undergird_model::diagnostic::nearest;
use undergird_model::expr::{RowVar, Slot};
use undergird_model::schema::Default;
use undergird_model::{Collection, CollectionId, Expr, Field, FieldId, Model, Value};

/// How the input rows of a shape are made.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) collection: CollectionId,
    /// What each value of a row is for.
    pub(super) inputs: Vec<FieldId>,
    /// The fields that the body names.
    pub(super) given: Vec<FieldId>,
    /// Rules and checks that a row of its own must pass, decided here.
    pub(super) guards: Vec<Guard>,
    /// Of these, the checks; alone when the rules are the store's to ask.
    pub(super) checks: Vec<Guard>,
    /// The slots of the key in the path.
    pub(super) key: Option<Vec<Slot>>,
    pub(super) missing_default: bool,
    /// `columns`: other members of the body are passed over.
    pub(super) columns: Option<Vec<String>>,
    /// An update: what is not named stays as it is.
    pub(super) partial: bool,
}

/// More errors than this are not told.
const ERRORS_MAX: usize = 100;

/// The names of a body's members, sorted, each once.
pub(super) fn names(body: Option<&Body>) -> Vec<String> {
    /// Looking through a few is faster than hashing.
    const FEW: usize = 64;
    let Some(body) = body else { return Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    // Only beyond a few, where looking through all would take the square of what a stranger sends. Hashed with a random seed, as the
    // names come from outside.
    let mut many: HashSet<&str> = HashSet::new();
    for (name, _) in body.rows.iter().flatten() {
        // The rows of one body mostly have the same members: look before collecting a million names.
        if names.iter().take(FEW).any(|known| known == name) || (names.len() >= FEW && !many.insert(name)) {
            continue;
        }
        names.push(name);
    }
    names.sort_unstable();
    names.into_iter().map(str::to_owned).collect()
}

impl Recipe {
    /// The input rows of a body.
    pub(super) fn rows(
        &self,
        model: &Model,
        caller: &Caller,
        params: &[Value],
        body: Option<&Body>,
    ) -> Result<Vec<Vec<Value>>, Refusal> {
        let collection = model.collection(self.collection);
        let Some(body) = body else { return Ok(Vec::new()) };
        if self.partial && body.rows.len() != 1 {
            return Err(Refusal::Malformed {
                message: format!("an update takes one object, not {}", body.rows.len()),
                hint: Some("send several updates as a batch: POST /rest/v1/batch".into()),
            });
        }
        let most = model.settings.limits.insert_rows;
        if body.rows.len() > most as usize {
            return Err(Refusal::OverLimit { limit: "insert_rows", value: u64::from(most) });
        }
        for name in self.columns.iter().flatten() {
            if collection.field(name).is_none() {
                return Err(names::unknown_target(collection, name));
            }
        }
        let mut errors = Errors { all: Vec::new() };
        let mut ids = Ids::new(caller.moment());
        let mut rows = Vec::with_capacity(body.rows.len());
        for (position, members) in body.rows.iter().enumerate() {
            let place = Place { row: (!body.single).then_some(position) };
            rows.push(self.row(collection, caller, params, members, place, &mut ids, &mut errors));
            if errors.all.len() >= ERRORS_MAX {
                break;
            }
        }
        if !errors.all.is_empty() {
            return Err(Refusal::Invalid { errors: errors.all });
        }
        let guards = if self.guards.is_empty() { &self.checks } else { &self.guards };
        let verb = if self.partial { Verb::Update } else { Verb::Create };
        let mut inputs = Vec::with_capacity(rows.len());
        for (position, row) in rows.into_iter().enumerate() {
            let place = Place { row: (!body.single).then_some(position) };
            for guard in guards {
                if !holds(&guard.predicate, caller, params, &row)? {
                    return Err(refused(collection, caller, verb, guard.otherwise, place));
                }
            }
            inputs.push(self.picked(row));
        }
        Ok(inputs)
    }

    /// The values of a whole row that are inputs. The row is by field index, so the inputs come in the same order.
    fn picked(&self, mut row: Vec<Value>) -> Vec<Value> {
        if row.len() == self.inputs.len() {
            return row;
        }
        self.inputs.iter().map(|field| std::mem::replace(&mut row[usize::from(field.index)], Value::Null)).collect()
    }

    /// One row, by field index. What is wrong with it is added to the errors.
    #[allow(clippy::too_many_arguments, reason = "the whole context of one row")]
    fn row(
        &self,
        collection: &Collection,
        caller: &Caller,
        params: &[Value],
        members: &[(String, Input)],
        place: Place,
        ids: &mut Ids,
        errors: &mut Errors,
    ) -> Vec<Value> {
        let mut row = vec![Value::Null; collection.fields.len()];
        let mut told = vec![false; collection.fields.len()];
        for (name, input) in members {
            if self.columns.as_ref().is_some_and(|columns| !columns.contains(name)) {
                continue;
            }
            let Some(field) = collection.field(name) else {
                errors.unknown(collection, place, name);
                continue;
            };
            if let Some(error) = self.forbidden(collection, field, caller) {
                errors.add(place, name, error.0, error.1);
                continue;
            }
            let index = usize::from(field.id.index);
            told[index] = true;
            match accept(field, input) {
                Ok(value) => row[index] = value,
                Err(message) => {
                    errors.add(place, name, "type", message);
                    continue;
                }
            }
            let value = &row[index];
            if value.is_null() {
                // A new row's null is the next number; a row that is there has one.
                if !field.optional && (self.partial || !is_identity(collection, field)) {
                    errors.add(place, name, "required", "must not be null".into());
                }
            } else if let Err(violation) = field.validate(value) {
                errors.add(place, name, violation.code, violation.message);
            }
        }
        self.key_of_path(collection, params, place, &mut row, &mut told, errors);
        if !self.partial {
            self.complete(collection, caller, params, place, ids, &mut row, &told, errors);
        }
        row
    }

    /// Takes the key from the path; the body may say the same, and nothing else.
    fn key_of_path(
        &self,
        collection: &Collection,
        params: &[Value],
        place: Place,
        row: &mut [Value],
        told: &mut [bool],
        errors: &mut Errors,
    ) {
        let Some(slots) = &self.key else { return };
        for (key, slot) in collection.key.iter().zip(slots) {
            let index = usize::from(key.index);
            let value = params.get(usize::from(slot.0)).cloned().unwrap_or(Value::Null);
            if told[index] && row[index] != value {
                let name = &collection.fields[index].name;
                errors.add(place, name, "key", "is not the key in the path".into());
            }
            row[index] = value;
            told[index] = true;
        }
    }

    /// Fills in defaults, and tells what is missing. Literals first, so that computed defaults see them.
    #[allow(clippy::too_many_arguments, reason = "the whole context of one row")]
    fn complete(
        &self,
        collection: &Collection,
        caller: &Caller,
        params: &[Value],
        place: Place,
        ids: &mut Ids,
        row: &mut [Value],
        told: &[bool],
        errors: &mut Errors,
    ) {
        let mut computed = Vec::new();
        for field in &collection.fields {
            let index = usize::from(field.id.index);
            if told[index] {
                continue;
            }
            // Other rows of the body name it, this one does not: null, unless the caller prefers defaults.
            let named_elsewhere = self.given.contains(&field.id) && !self.missing_default;
            match &field.default {
                Some(_) if named_elsewhere && field.optional => {}
                Some(Default::Literal(value)) => row[index] = value.clone(),
                Some(Default::UuidV7) => row[index] = Value::Uuid(ids.next()),
                Some(Default::Computed(expr)) => computed.push((field, expr)),
                Some(Default::Identity) => {}
                // The whole body is one insert, whose columns are the same for every row.
                Some(Default::Database { always: false }) if self.inputs.contains(&field.id) => {
                    let message = "is the database's to give, in every row of a body or in none".into();
                    errors.add(place, &field.name, "required", message);
                }
                Some(Default::Database { .. }) => {}
                None if field.optional => {}
                None => errors.add(place, &field.name, "required", "is required".into()),
            }
        }
        for (field, expr) in computed {
            let index = usize::from(field.id.index);
            let bindings = Bindings { caller, params, input: &[] };
            let so_far = [(RowVar::THIS, &*row)];
            let Ok(value) = evaluate::evaluate(expr, bindings, &RowWorld::default(), &so_far) else {
                errors.add(place, &field.name, "default", "has a default that takes too long to compute".into());
                continue;
            };
            if value.is_null() && !field.optional {
                errors.add(place, &field.name, "required", "is required: its default has no value here".into());
            } else if let Some(Err(violation)) = (!value.is_null()).then(|| field.validate(&value)) {
                errors.add(place, &field.name, violation.code, violation.message);
            }
            row[index] = value;
        }
    }

    /// Why the caller may not name a field, if so.
    fn forbidden(&self, collection: &Collection, field: &Field, caller: &Caller) -> Option<(&'static str, String)> {
        let privileged = matches!(caller.identity(), Identity::Secret | Identity::System);
        if field.is_computed_by_database() {
            return Some(("readonly", "is computed by the database".into()));
        }
        if self.partial && field.immutable {
            return Some(("immutable", "is set at creation only".into()));
        }
        if self.partial && field.readonly && collection.is_key(field.id) {
            return Some(("immutable", "is the key and is set at creation only".into()));
        }
        (field.readonly && !privileged).then(|| ("readonly", "is set by the application, not by its users".into()))
    }
}

/// Where in a body a row stands.
#[derive(Clone, Copy)]
struct Place {
    row: Option<usize>,
}

impl Place {
    /// RFC 6901.
    fn pointer(self, name: &str) -> String {
        let name: Cow<'_, str> =
            if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name.into() };
        match self.row {
            Some(row) => format!("/{row}/{name}"),
            None => format!("/{name}"),
        }
    }
}

struct Errors {
    all: Vec<FieldError>,
}

impl Errors {
    fn add(&mut self, place: Place, name: &str, code: &'static str, message: String) {
        self.all.push(FieldError {
            pointer: place.pointer(name),
            code,
            message: format!("{name} {message}"),
            nearest: None,
        });
    }

    fn unknown(&mut self, collection: &Collection, place: Place, name: &str) {
        let known = collection.fields.iter().filter(|field| !field.is_secret()).map(|field| field.name.as_str());
        self.all.push(FieldError {
            pointer: place.pointer(name),
            code: "unknown",
            message: format!("{} has no field \"{name}\"", collection.name),
            nearest: nearest(name, known).map(Into::into),
        });
    }
}

fn accept(field: &Field, input: &Input) -> Result<Value, String> {
    match input {
        Input::Json(json) => field.declared.accept_json(json),
        Input::Text(text) => field.declared.accept_text(text),
        // Undergird's own writes make their JSON with serde_json.
        Input::Value(Value::Json(text)) => field.declared.accept_text(text),
        Input::Value(value) => Ok(value.clone()),
    }
}

fn is_identity(collection: &Collection, field: &Field) -> bool {
    collection.identity().is_some_and(|identity| identity.id == field.id)
}

/// Whether a rule holds for a row by itself.
fn holds(rule: &Expr, caller: &Caller, params: &[Value], row: &[Value]) -> Result<bool, Refusal> {
    let bindings = Bindings { caller, params, input: &[] };
    evaluate::holds(rule, bindings, row)
        .map_err(|_| Refusal::OverLimit { limit: "expression_steps", value: u64::from(evaluate::STEPS_MAX) })
}

fn refused(collection: &Collection, caller: &Caller, verb: Verb, otherwise: Otherwise, place: Place) -> Refusal {
    let authenticated = caller.is_authenticated();
    match otherwise {
        Otherwise::Access => Refusal::RowRule { collection: collection.name.clone(), verb, authenticated },
        Otherwise::FieldWrite(field) => Refusal::FieldRule {
            collection: collection.name.clone(),
            field: collection.fields[usize::from(field.index)].name.clone(),
            authenticated,
        },
        Otherwise::Check(position) => Refusal::CheckFailed {
            check: collection.checks[position].name.clone(),
            message: collection.checks[position].message.clone(),
            pointer: place.row.map(|row| format!("/{row}")).unwrap_or_default(),
        },
    }
}
