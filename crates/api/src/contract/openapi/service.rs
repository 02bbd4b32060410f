//! Batches, probes, figures, the document itself and its page.

use super::answers::{ANYWHERE, WITH_BODY, add_problems, headers};
use super::rows::sorted;
use super::schemas::{reference, schema};
use serde_json::{Map, Value as Json, json};
use undergird_model::Model;
use undergird_model::operation::ServiceOperation;
use undergird_model::settings::MetricsAccess;

/// The tag of the batch.
pub(super) const BATCH_TAG: &str = "batch";
/// The tag of everything else here.
pub(super) const TAG: &str = "service";

/// `batch.request`, `batch.answer`, `health`.
pub(super) fn add_schemas(schemas: &mut Map<String, Json>, model: &Model) {
    let steps = model.settings.limits.batch_steps;
    schemas.insert(
        "batch.request".into(),
        json!({
            "type": "object",
            "title": "batch (request)",
            "description": "Steps in order, in one transaction: all are done, or none.",
            "required": ["steps"],
            "examples": model.public().next().map(|first| {
                json!({ "steps": [{ "method": "GET", "path": format!("/rest/v1/{}?limit=1", first.name) }] })
            }).into_iter().collect::<Vec<_>>(),
            "properties": {
                "steps": { "type": "array", "maxItems": steps, "items": schema("batch.step") },
            },
            "additionalProperties": false,
        }),
    );
    schemas.insert("batch.step".into(), step(model));
    schemas.insert(
        "batch.answer".into(),
        json!({
            "type": "object",
            "title": "batch (answer)",
            "description": "One answer per step, in order.",
            "required": ["answers"],
            "properties": {
                "answers": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["id", "status", "headers", "body"],
                        "properties": {
                            "id": { "type": "string" },
                            "status": { "type": "integer", "minimum": 200, "maximum": 299 },
                            "headers": { "type": "object", "additionalProperties": { "type": "string" } },
                            "body": { "description": "Null when the step answered nothing." },
                        },
                        "additionalProperties": false,
                    },
                },
            },
            "additionalProperties": false,
        }),
    );
    schemas.insert(
        "health".into(),
        json!({
            "type": "object",
            "required": ["status"],
            "properties": { "status": { "type": "string", "const": "ok" } },
        }),
    );
}

/// `batch.step`: reads and removals, rows to be made, and rows to be changed.
fn step(model: &Model) -> Json {
    let collections: Vec<&str> = model.public().map(|collection| collection.name.as_str()).collect();
    let collections = collections.join("|");
    let one = |methods: &[&str], key: &str, body: &Json, required: &[&str]| {
        json!({
            "type": "object",
            "required": required,
            "properties": {
                "id": {
                    "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^#{}]+$",
                    "description": "By which later steps refer to it; its position when left out.",
                },
                "method": { "type": "string", "enum": methods },
                "path": {
                    "type": "string", "pattern": format!("^/rest/v1/({collections}){key}(\\?[!-~]*)?$"),
                    "description": "Of rows, with its query: `/rest/v1/posts?id=eq.1`.",
                },
                "headers": {
                    "type": "object",
                    "propertyNames": {
                        "pattern": "^([Pp]refer|[Aa]ccept|[Cc]ontent-[Tt]ype|[Rr]ange|[Rr]ange-[Uu]nit|[Ii]f-[Mm]atch)$",
                    },
                    "additionalProperties": { "type": "string", "pattern": "^[ -~]*$" },
                },
                "body": body,
            },
            "additionalProperties": false,
        })
    };
    let keyed = "(/[!-~]+)?";
    let row = json!({ "type": "object", "description": "As the body of the request by itself." });
    let rows = json!({
        "type": ["object", "array"], "items": { "type": "object" }, "description": "As the body of the request by itself.",
    });
    json!({
        "title": "batch (step)",
        "description": "One request for rows. `{step#/pointer}` in the path, and `{\"$ref\": \"step#/pointer\"}` in the body, stand for \
             what an earlier step answered: its `id` (or position), and a JSON pointer into its body.",
        "anyOf": [
            one(&["GET", "DELETE"], keyed, &json!({ "description": "Passed over." }), &["method", "path"]),
            one(&["POST"], "", &rows, &["method", "path", "body"]),
            one(&["PATCH", "PUT"], keyed, &row, &["method", "path", "body"]),
        ],
    })
}

/// The operation object of the batch.
pub(super) fn batch() -> Json {
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({
            "description": "All steps are done.",
            "headers": headers(&["X-Request-Id", "Idempotency-Replayed"]),
            "content": { "application/json": { "schema": schema("batch.answer") } },
        }),
    );
    add_problems(&mut responses, &[300, 400, 401, 403, 404, 405, 406, 409, 412, 416, 422, 507]);
    add_problems(&mut responses, WITH_BODY);
    add_problems(&mut responses, ANYWHERE);
    json!({
        "tags": [BATCH_TAG],
        "summary": "Several operations, all or none",
        "description": "Runs the steps in order in one transaction. The first that fails ends it, and nothing is written.",
        "parameters": [reference("parameters", "idempotency-key")],
        "requestBody": { "required": true, "content": { "application/json": { "schema": schema("batch.request") } } },
        "responses": sorted(responses),
    })
}

/// The operation object of a probe and its kin.
pub(super) fn describe(model: &Model, which: ServiceOperation) -> Json {
    let mut responses = Map::new();
    let names = ["X-Request-Id", "Cache-Control"];
    let mut answer = |status: &str, about: &str, names: &[&str], content: Json| {
        let mut answer = json!({ "description": about, "headers": headers(names) });
        if !content.is_null() {
            answer["content"] = content;
        }
        responses.insert(status.into(), answer);
    };
    let health = || json!({ "application/json": { "schema": schema("health") } });
    let mut security = json!([{}]);
    let (summary, about) = match which {
        ServiceOperation::Live => {
            answer("200", "It is.", &names, health());
            ("Is the process alive?", "Restart it when not.")
        }
        ServiceOperation::Ready => {
            answer("200", "It is.", &names, health());
            ("Can it serve?", "Send it no requests when not: it is stopping, or its database does not answer.")
        }
        ServiceOperation::Metrics => {
            // As the server says it, with the version of the format.
            answer(
                "200",
                "Figures.",
                &names,
                json!({ "application/openmetrics-text": { "schema": { "type": "string" } } }),
            );
            if model.settings.server.metrics == MetricsAccess::SecretKey {
                security = json!([{ "bearer": [] }]);
            }
            ("Figures", "Counters and histograms for Prometheus, in the OpenMetrics format.")
        }
        ServiceOperation::OpenApi => {
            let names = ["X-Request-Id", "Cache-Control", "ETag"];
            answer("200", "The document.", &names, json!({ "application/json": { "schema": { "type": "object" } } }));
            answer("304", "It is the version that `If-None-Match` names.", &names, Json::Null);
            ("This document", "OpenAPI 3.1, made from the definition alone.")
        }
        ServiceOperation::Docs => {
            let names = ["X-Request-Id", "Cache-Control", "ETag"];
            answer("200", "The page.", &names, json!({ "text/html": { "schema": { "type": "string" } } }));
            answer("304", "It is the version that `If-None-Match` names.", &names, Json::Null);
            ("A page to read and try this document", "Needs nothing from elsewhere.")
        }
        ServiceOperation::Inbox => {
            let names = ["X-Request-Id", "Cache-Control"];
            let list = json!({ "type": "array", "items": { "type": "object" } });
            let content =
                json!({ "text/html": { "schema": { "type": "string" } }, "application/json": { "schema": list } });
            answer("200", "The mails, newest first.", &names, content);
            (
                "The mails of `undergird dev`",
                "Where no mail server is set up, and for this machine alone; 404 otherwise.",
            )
        }
    };
    let problems: &[u16] = match which {
        ServiceOperation::Live => &[414, 500],
        ServiceOperation::Ready => &[414, 500, 503],
        ServiceOperation::Metrics => &[401, 403, 414, 500],
        ServiceOperation::OpenApi | ServiceOperation::Docs | ServiceOperation::Inbox => &[404, 414, 500],
    };
    add_problems(&mut responses, problems);
    let mut operation = json!({
        "tags": [TAG],
        "summary": summary,
        "description": about,
        "security": security,
    });
    if matches!(which, ServiceOperation::OpenApi | ServiceOperation::Docs) {
        operation["parameters"] = json!([reference("parameters", "if-none-match")]);
    }
    operation["responses"] = Json::Object(sorted(responses));
    operation
}
