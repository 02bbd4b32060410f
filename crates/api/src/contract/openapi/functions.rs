//! Functions of the database: one path each, by POST and, where they change nothing, by GET.

use super::answers::{ANYWHERE, WITH_BODY, add_problems, headers};
use super::rows;
use super::schemas::reference;
use serde_json::{Map, Value as Json, json};
use undergird_model::schema::{DbFunction, Model, Returns};

/// The tag of all functions.
pub(super) const TAG: &str = "functions";

/// The operation object, apart from its id.
pub(super) fn describe(model: &Model, function: &DbFunction, method: &str) -> Json {
    let by_get = method == "GET";
    let shared = |parameter: &str| reference("parameters", parameter);
    let mut parameters = Vec::new();
    if by_get {
        parameters.extend(function.arguments.iter().map(|argument| {
            json!({
                "name": argument.field.name, "in": "query", "required": !argument.field.optional,
                "description": argument.field.description.as_deref().unwrap_or("An argument of the function."),
                "schema": { "type": "string" },
            })
        }));
    }
    let mut responses = Map::new();
    let names = ["X-Request-Id", "Content-Range", "Preference-Applied", "Link", "Idempotency-Replayed"];
    if let Returns::Nothing = function.returns {
        responses.insert("204".into(), json!({ "description": "Done.", "headers": headers(&names) }));
    } else {
        let answer = json!({ "description": "What the function gives.", "headers": headers(&names), "content": result(model, function) });
        responses.insert("200".into(), answer.clone());
        responses.insert("206".into(), answer);
        let none = json!({ "description": "Done; with `Prefer: return=minimal`.", "headers": headers(&names) });
        responses.insert("204".into(), none);
    }
    match &function.returns {
        Returns::Rows { of, .. } => {
            let name = &model.collection(*of).name;
            parameters.extend(["select", "order"].map(|word| shared(&format!("{name}.{word}"))));
            parameters.extend(["limit", "offset", "prefer.read", "range", "range-unit"].map(shared));
        }
        Returns::Value { list: true, .. } => {
            parameters.extend(["limit", "offset", "prefer.read", "range", "range-unit"].map(shared));
        }
        Returns::Value { .. } | Returns::Nothing => parameters.push(shared("prefer.read")),
    }
    if function.is_volatile() {
        parameters.push(shared("idempotency-key"));
    }
    add_problems(&mut responses, &[300, 400, 401, 403, 404, 405, 406, 409, 416, 422, 507]);
    add_problems(&mut responses, ANYWHERE);
    let mut described = json!({
        "tags": [TAG],
        "summary": format!("Call {}", function.name),
        "description": function.description.as_deref().unwrap_or("A function of the database."),
        "parameters": parameters,
    });
    if !by_get {
        add_problems(&mut responses, WITH_BODY);
        described["requestBody"] = body(function);
    }
    described["responses"] = Json::Object(rows::sorted(responses));
    described
}

fn body(function: &DbFunction) -> Json {
    let properties: Map<String, Json> =
        function.arguments.iter().map(|one| (one.field.name.clone(), one.field.json_schema())).collect();
    let required: Vec<&str> =
        function.arguments.iter().filter(|one| !one.field.optional).map(|one| one.field.name.as_str()).collect();
    let schema = json!({
        "type": "object", "additionalProperties": false, "properties": properties, "required": required,
    });
    json!({ "required": !required.is_empty(), "content": { "application/json": { "schema": schema } } })
}

fn result(model: &Model, function: &DbFunction) -> Json {
    let csv = json!({ "schema": { "type": "string" } });
    match &function.returns {
        Returns::Nothing => json!({}),
        Returns::Rows { of, one: false } => rows::rows(&model.collection(*of).name),
        Returns::Rows { of, one: true } => {
            let one = rows::one(&model.collection(*of).name);
            json!({
                "application/json": { "schema": { "anyOf": [one, { "type": "null" }] } },
                "application/vnd.pgrst.object+json": { "schema": one },
                "text/csv": csv,
            })
        }
        Returns::Value { declared, list } => {
            let one = json!({ "anyOf": [declared.json_schema(), { "type": "null" }] });
            let all = if *list { json!({ "type": "array", "items": one }) } else { one.clone() };
            json!({
                "application/json": { "schema": all },
                "application/vnd.pgrst.object+json": { "schema": one },
                "text/csv": csv,
            })
        }
    }
}
