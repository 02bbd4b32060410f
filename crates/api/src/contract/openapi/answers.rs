//! Statuses, headers, media types and problems that all operations share.

use super::schemas::{reference, schema};
use serde_json::{Map, Value as Json, json};
use undergird_model::Model;

/// (name of the component, status, what it means).
const PROBLEMS: &[(&str, u16, &str)] = &[
    (
        "Ambiguous",
        300,
        "More than one relation fits what `select` embeds; `hint` lists the hints that tell them apart.",
    ),
    (
        "BadRequest",
        400,
        "The request cannot be read, or it names what is not there. `message` and `details` say where, `hint` what to do.",
    ),
    ("Unauthorized", 401, "The credentials are not good, or a visitor asked for what needs a user."),
    ("Forbidden", 403, "The access rules do not permit it. Nothing was written."),
    ("NotFound", 404, "There is no such row (or none that the caller may see), or nothing at this path."),
    ("NotTheKey", 405, "The conditions of this PUT are not the key of one row."),
    (
        "NotAcceptable",
        406,
        "Nothing that `Accept` names can be served, or not exactly one row where one object was asked for.",
    ),
    ("RequestTimeout", 408, "The body came too slowly."),
    ("Conflict", 409, "A unique value is taken, a reference leads nowhere, or another transaction came first."),
    ("PreconditionFailed", 412, "`If-Match` names another version of the row."),
    ("BodyTooLarge", 413, "The body is larger than `[limits] body_bytes`."),
    ("UrlTooLong", 414, "The URL is longer than `[limits] url_bytes`."),
    ("UnsupportedMediaType", 415, "A body of this `Content-Type` or `Content-Encoding` cannot be read."),
    ("RangeNotSatisfiable", 416, "`limit`, `offset` or `Range` name rows that are not there."),
    ("Unprocessable", 422, "The body is not acceptable; `errors` names every member that is wrong."),
    ("InternalError", 500, "Something went wrong on the server; its log has the cause under `request_id`."),
    (
        "Unavailable",
        503,
        "Too much to do, writes are paused, or the database cannot be reached; `Retry-After` says when to try again.",
    ),
    ("GatewayTimeout", 504, "It took longer than `[limits] request_seconds` and was stopped."),
    ("StorageFull", 507, "The disk is full. Nothing was written."),
];

/// `components.responses`.
pub(super) fn responses() -> Map<String, Json> {
    let mut all = Map::new();
    for (name, status, about) in PROBLEMS {
        let mut names = vec!["X-Request-Id"];
        match status {
            401 => names.push("WWW-Authenticate"),
            409 | 503 => names.push("Retry-After"),
            416 => names.push("Content-Range"),
            _ => {}
        }
        let media = json!({ "schema": schema("problem") });
        all.insert(
            (*name).into(),
            json!({ "description": about, "headers": headers(&names), "content": { "application/problem+json": media } }),
        );
    }
    all
}

/// References to the problems with these statuses, into the responses of an operation.
pub(super) fn add_problems(responses: &mut Map<String, Json>, statuses: &[u16]) {
    for (name, status, _) in PROBLEMS {
        if statuses.contains(status) {
            responses.entry(status.to_string()).or_insert_with(|| reference("responses", name));
        }
    }
}

/// What any operation may be answered with.
pub(super) const ANYWHERE: &[u16] = &[414, 500, 503, 504];
/// What an operation with a body may be answered with besides.
pub(super) const WITH_BODY: &[u16] = &[408, 413, 415];

/// References to headers.
pub(super) fn headers(names: &[&str]) -> Json {
    let all: Map<String, Json> = names.iter().map(|name| ((*name).to_owned(), reference("headers", name))).collect();
    Json::Object(all)
}

/// `components.headers`.
pub(super) fn header_components(model: &Model) -> Json {
    let header = |description: &str, schema: Json| json!({ "description": description, "schema": schema });
    let text = || json!({ "type": "string" });
    let mut all = json!({
        "X-Request-Id": {
            "description": "Names the request in the server's log.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[0-9a-f]{24}$" },
        },
        "Content-Range": header(
            "Which rows these are, of how many (`0-19/123`); `*` when nobody asked for the count.",
            json!({ "type": "string", "pattern": "^(items )?([0-9]+-[0-9]+|\\*)/([0-9]+|\\*)$" }),
        ),
        "Content-Location": header("The URL of these rows.", text()),
        "ETag": header(
            "The tag of this version: of a row a strong one, of a list that may be kept a weak one.",
            json!({ "type": "string", "pattern": "^(W/)?\"[^\"]+\"$" }),
        ),
        "Location": header("The URL of the new row.", text()),
        "Link": header("`rel=\"next\"`: the URL of the next page, by the position after the last row.", text()),
        "Preference-Applied": header("What of `Prefer` counted.", text()),
        "Retry-After": header("Seconds after which to try again.", json!({ "type": "integer", "minimum": 0 })),
        "WWW-Authenticate": header("How to authenticate (RFC 6750).", text()),
        "Idempotency-Replayed": header("`true`: the stored answer of the first request with this key.", text()),
        "Cache-Control": header("Who may keep the answer, and for how long.", text()),
    });
    if model.collections.iter().any(|collection| collection.cache.is_some()) {
        all["Cache-Status"] = header("Whether the answer was kept (RFC 9211): `undergird; hit`.", text());
    }
    all
}

/// The schema of an error (RFC 9457, with the members that PostgREST's clients read).
pub(super) fn problem() -> Json {
    let nullable = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "title": "problem",
        "description": "An error (RFC 9457). `code` is stable; branch on it.",
        "required": ["type", "title", "status", "code", "message", "details", "hint", "request_id"],
        "properties": {
            "type": { "type": "string", "pattern": "^urn:undergird:problem:", "description": "Names the kind of problem." },
            "title": { "type": "string", "description": "What the code means in general." },
            "status": { "type": "integer", "minimum": 300, "maximum": 599, "description": "The HTTP status." },
            "code": { "type": "string", "description": "PostgREST's, PostgreSQL's or Undergird's own code." },
            "message": { "type": "string", "description": "What is wrong, in one sentence." },
            "details": nullable,
            "hint": nullable,
            "request_id": { "type": "string", "description": "Finds the request in the server's log." },
            "errors": {
                "type": "array",
                "description": "Every mistake of a body with its place.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "code", "message"],
                    "properties": {
                        "pointer": { "type": "string", "description": "Where in the body (RFC 6901)." },
                        "code": { "type": "string" },
                        "message": { "type": "string" },
                    },
                },
            },
        },
    })
}
