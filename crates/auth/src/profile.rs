//! The profile row: `[auth] profile` names the collection whose rows are the users. Signing up makes the row, with the user's id.
//!
//! No `create` rule is needed, so the row is made by the system caller, and validated like any create. What the system caller could do
//! and a user may not is therefore refused here first: fields that are readonly, secret or the key, and fields whose `write` rule
//! does not hold for the new user.

use serde_json::{Map, Value as Json};
use std::sync::Arc;
use undergird_engine::accounts::AccountError;
use undergird_engine::{Failure, Transaction};
use undergird_model::expr::RowVar;
use undergird_model::schema::Default as FieldDefault;
use undergird_model::{Collection, Field, Model, Value};
use undergird_plan::caller::Moment;
use undergird_plan::evaluate::{Bindings, RowWorld, evaluate};
use undergird_plan::request::{Body, Input, Request, Verb};
use undergird_plan::{Caller, FieldError, User};
use uuid::Uuid;

/// The field that holds the user's address, if the profile has one.
const EMAIL: &str = "email";

/// The create of a new user's profile row; `None` when the application has no profile.
///
/// # Errors
/// [`AccountError::InvalidData`]: what `data` may not say.
pub(crate) fn create(
    model: &Model,
    id: Uuid,
    email: Option<&str>,
    data: &Map<String, Json>,
    moment: Moment,
) -> Result<Option<Request>, AccountError> {
    let Some(collection) = collection(model)? else { return Ok(None) };
    let key = key(model, collection)?;
    let mut row = vec![(key.name.clone(), Input::Value(Value::Uuid(id)))];
    if let Some(email) = email.filter(|_| collection.field(EMAIL).is_some()) {
        row.push((EMAIL.into(), Input::Value(Value::text(email))));
    }
    let mut errors = Vec::new();
    let stored = as_stored(collection, key, id, email, data);
    for (name, value) in data {
        // What the profile does not know is the user's own metadata. The address is the account's, whatever `data` says of it.
        let Some(field) = collection.field(name).filter(|field| field.name != EMAIL) else { continue };
        match reachable(collection, field, &stored, id, email, moment) {
            Ok(()) => row.push((name.clone(), Input::Json(value.clone()))),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(AccountError::InvalidData(errors));
    }
    let mut request = Request::new(collection.name.clone(), Verb::Create);
    request.body = Some(Body { rows: vec![row], single: true });
    Ok(Some(request))
}

/// Writes a changed address into the profile row, if it has a place for it.
pub(crate) async fn change_email(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    id: Uuid,
    email: &str,
) -> Result<(), Failure> {
    let app = transaction.app().clone();
    let model = app.model();
    let Ok(Some(collection)) = collection(model) else { return Ok(()) };
    let (Ok(key), Some(_)) = (key(model, collection), collection.field(EMAIL)) else { return Ok(()) };
    let change = Request::new(collection.name.clone(), Verb::Update).with_equal(&key.name, Value::Uuid(id));
    transaction.write(system, change.with_row([(EMAIL, Value::text(email))]), None).await.map(|_| ())
}

/// Removes the profile row.
pub(crate) async fn remove(transaction: &mut Transaction<'_>, system: &Caller, id: Uuid) -> Result<(), Failure> {
    let app = transaction.app().clone();
    let model = app.model();
    let Ok(Some(collection)) = collection(model) else { return Ok(()) };
    let Ok(key) = key(model, collection) else { return Ok(()) };
    let gone = Request::new(collection.name.clone(), Verb::Delete).with_equal(&key.name, Value::Uuid(id));
    transaction.write(system, gone, None).await.map(|_| ())
}

fn collection(model: &Model) -> Result<Option<&Collection>, AccountError> {
    Ok(model.profile.map(|id| model.collection(id)))
}

fn key<'m>(model: &'m Model, collection: &Collection) -> Result<&'m Field, AccountError> {
    match collection.key.as_slice() {
        [only] => Ok(model.field(*only)),
        // The definition's check refuses such a profile; this is for models made otherwise.
        _ => Err(Failure::Internal(format!("the profile {} needs a key of one uuid", collection.name)).into()),
    }
}

/// Whether a new user may set this field of its own row.
fn reachable(
    collection: &Collection,
    field: &Field,
    stored: &[Value],
    id: Uuid,
    email: Option<&str>,
    moment: Moment,
) -> Result<(), FieldError> {
    let refused = |code: &'static str, message: &str| {
        Err(FieldError {
            pointer: format!("/{}", pointer_step(&field.name)),
            code,
            message: message.into(),
            nearest: None,
        })
    };
    if field.readonly || field.is_secret() || collection.is_key(field.id) {
        return refused("readonly", "is set by the application, not at sign-up");
    }
    let Some(rule) = &field.write else { return Ok(()) };
    let user = User::new(id, email.map(str::to_owned), Vec::new(), Json::Object(Map::new()));
    let caller = Caller::user(Arc::new(user), moment);
    let bindings = Bindings { caller: &caller, params: &[], input: &[] };
    let rows = [(RowVar::THIS, stored), (RowVar::NEW, stored)];
    // A rule that asks other rows cannot be decided before this one exists: refused, the safe side.
    let holds = !rule.expr.needs_relations()
        && evaluate(&rule.expr, bindings, &RowWorld::default(), &rows).is_ok_and(|value| value == Value::Bool(true));
    if holds { Ok(()) } else { refused("readonly", "may not be set at sign-up") }
}

/// The row as it would become, as far as it is known before it is planned.
fn as_stored(
    collection: &Collection,
    key: &Field,
    id: Uuid,
    email: Option<&str>,
    data: &Map<String, Json>,
) -> Vec<Value> {
    let value = |field: &Field| match data.get(&field.name) {
        _ if field.id == key.id => Value::Uuid(id),
        _ if field.name == EMAIL => email.map_or(Value::Null, Value::text),
        Some(given) => field.declared.accept_json(given).unwrap_or(Value::Null),
        None => match &field.default {
            Some(FieldDefault::Literal(value)) => value.clone(),
            _ => Value::Null,
        },
    };
    collection.fields.iter().map(value).collect()
}

/// A name as a step of a JSON pointer (RFC 6901 §3).
pub(crate) fn pointer_step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
