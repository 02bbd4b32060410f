//! The schemas of a collection: a row, what of it `select` may leave, a new row, a change of one.

use super::filters;
use crate::contract::sample;
use serde_json::{Map, Value as Json, json};
use undergird_model::field_type::{FieldType, wire};
use undergird_model::schema::{Cardinality, Collection, Default, Field, Model};

/// A reference to a component.
pub(super) fn reference(kind: &str, name: &str) -> Json {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// A reference to a schema.
pub(super) fn schema(name: &str) -> Json {
    reference("schemas", name)
}

/// Adds a collection's schemas: `posts`, `posts.selected`, `posts.insert`, `posts.replace`, `posts.update`.
pub(super) fn add(schemas: &mut Map<String, Json>, model: &Model, collection: &Collection) {
    let name = &collection.name;
    schemas.insert(name.clone(), row(collection));
    schemas.insert(format!("{name}.selected"), selected(model, collection));
    schemas.insert(format!("{name}.insert"), insert(collection));
    schemas.insert(format!("{name}.replace"), replace(collection));
    schemas.insert(format!("{name}.update"), update(collection));
}

/// A whole row, as `select=*` gives it.
fn row(collection: &Collection) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in filters::columns(collection) {
        properties.insert(field.name.clone(), shown(field));
        required.push(field.name.as_str());
    }
    let about = collection.description.clone().unwrap_or_else(|| format!("A row of {}.", collection.name));
    json!({
        "type": "object",
        "title": collection.name,
        "description": about,
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// What `select` asks for, or what `nulls=stripped` leaves: some of the columns, aliases, and embedded rows.
fn selected(model: &Model, collection: &Collection) -> Json {
    let mut properties = Map::new();
    for field in filters::columns(collection) {
        let path = format!("#/components/schemas/{}/properties/{}", collection.name, field.name);
        properties.insert(field.name.clone(), json!({ "$ref": path }));
    }
    for (name, target, cardinality) in filters::embeddable(model, collection) {
        let one = schema(&format!("{}.selected", target.name));
        let embedded = match cardinality {
            Cardinality::One => json!({ "anyOf": [one, { "type": "null" }] }),
            Cardinality::Many => json!({ "type": "array", "items": one }),
        };
        properties.entry(name).or_insert(embedded);
    }
    json!({
        "type": "object",
        "title": format!("{} (selected)", collection.name),
        "description": "What `select` asked for: some of the columns, other columns under an alias, embedded rows.",
        "properties": properties,
    })
}

/// A field in an answer. A field with a read rule is null to those who may not read it.
fn shown(field: &Field) -> Json {
    let mut schema = field.json_schema();
    let hideable = field.read.is_some();
    if let Some(members) = schema.as_object_mut() {
        // The bounds hold for what is written. A stored row may be older than they are.
        for keyword in ["writeOnly", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "pattern"]
        {
            members.remove(keyword);
        }
        // A double cannot be asked whether it is a multiple of 0.01.
        members.remove("multipleOf");
        if let FieldType::Time = field.declared {
            members.insert("pattern".into(), json!(r"^[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"));
        }
        if hideable && !field.optional {
            nullable(members);
        }
        if field.readonly {
            members.insert("readOnly".into(), json!(true));
        }
        note(members, notes(field, hideable));
    }
    schema
}

/// The names of the fields without which there is no new row.
pub(super) fn required(collection: &Collection) -> Vec<&str> {
    let given = collection.identity().map(|identity| identity.id);
    let needed =
        |field: &&Field| field.default.is_none() && !field.optional && !field.readonly && given != Some(field.id);
    collection.fields.iter().filter(needed).map(|field| field.name.as_str()).collect()
}

/// The same where the key is said elsewhere.
pub(super) fn required_beside_key(collection: &Collection) -> Vec<&str> {
    let is_key = |name: &str| collection.field(name).is_some_and(|field| collection.is_key(field.id));
    required(collection).into_iter().filter(|name| !is_key(name)).collect()
}

/// A row to be made.
fn insert(collection: &Collection) -> Json {
    let mut properties: Map<String, Json> =
        collection.fields.iter().map(|field| (field.name.clone(), written(field, true))).collect();
    // Null is the next number, too.
    if let Some(members) = collection.identity().and_then(|field| properties.get_mut(&field.name)?.as_object_mut()) {
        nullable(members);
    }
    let required = required(collection);
    let mut schema = json!({
        "type": "object",
        "title": format!("{} (insert)", collection.name),
        "description": format!("A new row of {}. What is left out takes its default.", collection.name),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some(example) = example(collection) {
        schema["examples"] = json!([example]);
    }
    schema
}

/// A row that is to be exactly this. Its key is in the path.
fn replace(collection: &Collection) -> Json {
    let mut schema = insert(collection);
    let is_key = |name: &str| collection.field(name).is_some_and(|field| collection.is_key(field.id));
    schema["title"] = json!(format!("{} (replace)", collection.name));
    schema["description"] =
        json!("The whole row but for its key, which is in the path. What is left out takes its default.");
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| !is_key(name));
    }
    if let Some(required) = schema.get_mut("required").and_then(Json::as_array_mut) {
        required.retain(|name| !name.as_str().is_some_and(is_key));
    }
    if let Some(example) = schema.pointer_mut("/examples/0").and_then(Json::as_object_mut) {
        example.retain(|name, _| !is_key(name));
    }
    schema
}

/// A change of rows.
fn update(collection: &Collection) -> Json {
    let mut properties = Map::new();
    for field in &collection.fields {
        let fixed = field.immutable || (field.readonly && collection.is_key(field.id));
        if !fixed {
            properties.insert(field.name.clone(), written(field, false));
        }
    }
    let mut schema = json!({
        "type": "object",
        "title": format!("{} (update)", collection.name),
        "description": format!("A change of rows of {}. What is left out stays.", collection.name),
        "properties": properties,
        "additionalProperties": false,
    });
    let change = collection.fields.iter().find(|field| changeable(collection, field) && sample::of(field).is_some());
    if let Some((field, value)) = change.and_then(|field| sample::of(field).map(|value| (field, value))) {
        let mut members = Map::new();
        members.insert(field.name.clone(), value);
        schema["examples"] = json!([members]);
    }
    schema
}

fn changeable(collection: &Collection, field: &Field) -> bool {
    !field.immutable && !field.readonly && !collection.is_key(field.id)
}

/// The fields that a new row needs. `None` when a needed field has no example.
pub(super) fn example(collection: &Collection) -> Option<Json> {
    let mut members = Map::new();
    for name in required(collection) {
        members.insert(name.to_owned(), sample::of(collection.field(name)?)?);
    }
    Some(Json::Object(members))
}

/// Text without U+0000.
const NO_NUL: &str = "^[^\\u0000]*$";

/// A field in a body.
fn written(field: &Field, creating: bool) -> Json {
    let mut schema = field.json_schema();
    if let Some(members) = schema.as_object_mut() {
        let text = matches!(field.declared, FieldType::Text { pattern: None } | FieldType::Secret);
        if text {
            // No store keeps U+0000.
            members.insert("pattern".into(), json!(NO_NUL));
        }
        if let FieldType::List { of } = &field.declared
            && matches!(**of, FieldType::Text { pattern: None })
            && let Some(items) = members.get_mut("items")
        {
            items["pattern"] = json!(NO_NUL);
        }
        if let (true, Some(Default::Literal(value))) = (creating, &field.default)
            && let Ok(value) = serde_json::from_str(&wire::to_json(value))
        {
            members.insert("default".into(), value);
        }
        if field.readonly {
            members.insert("readOnly".into(), json!(true));
        }
        let mut notes = Vec::new();
        if field.readonly {
            notes.push("Set by the application; only a secret key may write it.".to_owned());
        }
        if let (true, Some(words)) = (creating, default_in_words(field)) {
            notes.push(words);
        }
        if field.immutable && creating {
            notes.push("Cannot be changed later.".into());
        }
        if field.write.is_some() {
            notes.push("A rule decides who may write it.".into());
        }
        note(members, notes);
    }
    schema
}

fn default_in_words(field: &Field) -> Option<String> {
    match field.default.as_ref()? {
        Default::Literal(_) => None,
        Default::Computed(_) => Some("Worked out by the server when left out.".into()),
        Default::UuidV7 => Some("A new UUID when left out.".into()),
        Default::Identity => Some("The next number when left out.".into()),
        Default::Database { always: true } => Some("Computed by the database.".into()),
        Default::Database { always: false } => Some("The database's own default when left out.".into()),
    }
}

fn notes(field: &Field, hideable: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if hideable {
        notes.push("Null to callers who may not read it.".to_owned());
    }
    if let FieldType::Ref { .. } = field.declared {
        notes.push("The key of a row of another collection.".into());
    }
    notes
}

fn note(members: &mut Map<String, Json>, notes: Vec<String>) {
    if notes.is_empty() {
        return;
    }
    let told = members.get("description").and_then(Json::as_str).map(str::to_owned);
    let all = told.into_iter().chain(notes).collect::<Vec<_>>().join(" ");
    members.insert("description".into(), all.into());
}

fn nullable(members: &mut Map<String, Json>) {
    match members.get_mut("type") {
        Some(kind @ Json::String(_)) => *kind = json!([kind.take(), "null"]),
        Some(Json::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        _ => {}
    }
    if let Some(Json::Array(values)) = members.get_mut("enum") {
        values.push(Json::Null);
    }
}
