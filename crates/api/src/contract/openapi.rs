//! The OpenAPI 3.1 document: a fold over the list of operations. A test holds that every operation is in it and nothing else.
//!
//! It is exact enough to be attacked with: bodies take no other members, patterns of parameters match what is served, and every status
//! that can come is listed with its headers and media types (`schemathesis` runs against it).

mod answers;
mod auth;
mod filters;
mod functions;
mod pages;
mod rows;
mod schemas;
mod service;

use serde_json::{Map, Value as Json, json};
use undergird_model::operation::OperationKind;
use undergird_model::{Model, Operation, operations};

/// The document of an application. The same definition always gives the same text.
pub fn openapi(model: &Model) -> Json {
    let mut schemas = Map::new();
    let mut parameters = rows::shared_parameters();
    for collection in model.public() {
        schemas::add(&mut schemas, model, collection);
        rows::add_parameters(&mut parameters, &mut schemas, model, collection);
    }
    service::add_schemas(&mut schemas, model);
    auth::add_schemas(&mut schemas, model);
    schemas.insert("problem".into(), answers::problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": model.settings.name,
            "version": env!("CARGO_PKG_VERSION"),
            "description": rows::about(),
        },
        "servers": [{ "url": model.settings.server.public_url.as_deref().unwrap_or("/") }],
        // A visitor, a key, a user (whose client sends the publishable key beside the token).
        "security": [{}, { "apikey": [] }, { "bearer": [] }, { "apikey": [], "bearer": [] }],
        "tags": tags(model),
        "paths": paths(model),
        "components": {
            "securitySchemes": security_schemes(),
            "parameters": parameters,
            "headers": answers::header_components(model),
            "responses": answers::responses(),
            "schemas": schemas,
        },
    })
}

fn paths(model: &Model) -> Map<String, Json> {
    let mut paths: Map<String, Json> = Map::new();
    for operation in operations(model) {
        let path = paths.entry(operation.path.as_str()).or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = describe(model, &operation);
    }
    paths
}

fn describe(model: &Model, operation: &Operation) -> Json {
    let described = match operation.kind {
        OperationKind::List(id)
        | OperationKind::Read(id)
        | OperationKind::Create(id)
        | OperationKind::Update(id)
        | OperationKind::UpdateOne(id)
        | OperationKind::Replace(id)
        | OperationKind::ReplaceOne(id)
        | OperationKind::Delete(id)
        | OperationKind::DeleteOne(id) => rows::describe(model, model.collection(id), operation.kind),
        OperationKind::Batch => service::batch(),
        OperationKind::Call(id) => functions::describe(model, model.function(id), operation.method),
        OperationKind::Auth(which) => auth::describe(which),
        OperationKind::Page(which) => pages::describe(which),
        OperationKind::Service(which) => service::describe(model, which),
    };
    let mut whole = Map::new();
    whole.insert("operationId".into(), operation.id.as_str().into());
    if let Json::Object(members) = described {
        whole.extend(members);
    }
    Json::Object(whole)
}

fn tags(model: &Model) -> Vec<Json> {
    let mut tags: Vec<Json> = model
        .public()
        .map(|collection| {
            let about = collection.description.clone().unwrap_or_else(|| format!("Rows of {}.", collection.name));
            json!({ "name": collection.name, "description": about })
        })
        .collect();
    tags.push(json!({ "name": service::BATCH_TAG, "description": "Several operations, all or none." }));
    if !model.functions.is_empty() {
        tags.push(json!({ "name": functions::TAG, "description": "Functions of the database." }));
    }
    tags.push(json!({
        "name": auth::TAG,
        "description": "Sign-up, sign-in and one's own account, in the dialect of Supabase Auth.",
        "externalDocs": { "url": "https://supabase.com/docs/reference/javascript/auth-api" },
    }));
    tags.push(json!({ "name": pages::TAG, "description": "Sign-up and sign-in for browsers that an application sends here." }));
    tags.push(json!({ "name": service::TAG, "description": "Probes, figures, this document and its page." }));
    tags
}

fn security_schemes() -> Json {
    json!({
        "apikey": {
            "type": "apiKey", "in": "header", "name": "apikey",
            "description": "A publishable key (a visitor) or a secret key (past the access rules). `undergird keys` prints them.",
        },
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A user's `access_token` from `/auth/v1/token`, or a key.",
        },
    })
}
