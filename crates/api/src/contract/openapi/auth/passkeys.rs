//! Passkeys, as `api::auth` answers them.

use super::{Described, json_of};
use crate::contract::openapi::schemas::schema;
use crate::contract::sample;
use serde_json::{Map, Value as Json, json};
use undergird_model::operation::PasskeyOperation;

/// What these operations take and give.
pub(super) fn add_schemas(schemas: &mut Map<String, Json>) {
    let time = || json!({ "type": "string", "format": "date-time" });
    let uuid = || json!({ "type": "string", "format": "uuid" });
    let mut add = |name: &str, schema: Json| {
        schemas.insert(name.into(), schema);
    };
    add(
        "auth.passkey",
        json!({
            "type": "object",
            "required": ["id", "created_at"],
            "properties": {
                "id": uuid(), "friendly_name": { "type": "string" }, "created_at": time(), "last_used_at": time(),
            },
        }),
    );
    add("auth.passkeys", json!({ "type": "array", "items": schema("auth.passkey") }));
    add(
        "auth.passkey_challenge",
        json!({
            "type": "object",
            "description": "What a browser needs for a ceremony, good for five minutes and one answer.",
            "required": ["challenge_id", "options", "expires_at"],
            "properties": {
                "challenge_id": uuid(),
                "options": { "type": "object", "description": "For `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`." },
                "expires_at": { "type": "integer", "description": "Seconds since 1970." },
            },
        }),
    );
    let answer = |extra: Json| {
        let mut properties = json!({
            "challenge_id": uuid(),
            "credential": { "type": "object", "description": "What the browser's `PublicKeyCredential.toJSON()` gives." },
        });
        if let (Some(properties), Json::Object(extra)) = (properties.as_object_mut(), extra) {
            properties.extend(extra);
        }
        json!({
            "type": "object",
            "title": "answer of an authenticator",
            "required": ["challenge_id", "credential"],
            "properties": properties,
            "examples": [{ "challenge_id": sample::UUID, "credential": { "type": "public-key" } }],
        })
    };
    let name = json!({ "type": ["string", "null"], "maxLength": 120, "pattern": "^[^\\u0000]*$" });
    add("auth.passkey_answer", answer(json!({})));
    add("auth.new_passkey", answer(json!({ "friendly_name": name })));
    add(
        "auth.begin_passkey",
        json!({
            "type": "object",
            "properties": {
                "current_password": { "type": ["string", "null"], "description": "Needed when the sign-in is not recent." },
            },
            "examples": [{}],
        }),
    );
    add(
        "auth.passkey_name",
        json!({
            "type": "object",
            "title": "name of a passkey",
            "required": ["friendly_name"],
            "properties": { "friendly_name": { "type": "string", "minLength": 1, "maxLength": 120, "pattern": "^[^\\u0000]*$" } },
            "examples": [{ "friendly_name": "Laptop" }],
        }),
    );
}

const READ: &[u16] = &[401, 500, 503, 504];
const WRITE: &[u16] = &[400, 401, 403, 404, 413, 422, 429, 500, 503, 504, 507];

/// An operation about passkeys.
pub(super) fn describe(which: PasskeyOperation) -> Described {
    let one = |described: Described| described.with_id("passkey_id", "The passkey.");
    match which {
        PasskeyOperation::BeginRegistration => Described::new(
            "Begin to register a passkey",
            "Needs a recent sign-in, and level `aal2` where a second factor is in use.",
            WRITE,
        )
        .may_take("auth.begin_passkey")
        .gives(json_of("auth.passkey_challenge")),
        PasskeyOperation::FinishRegistration => {
            Described::new("Register a passkey", "What the browser answered to the challenge, in the same session.", WRITE)
                .takes("auth.new_passkey")
                .gives(json_of("auth.passkey"))
        }
        PasskeyOperation::BeginSignIn => Described::new(
            "Begin to sign in with a passkey",
            "For whatever passkey the browser's user picks; no account is named.",
            &[400, 404, 413, 500],
        )
        .gives(json_of("auth.passkey_challenge"))
        .for_anybody(),
        PasskeyOperation::FinishSignIn => Described::new(
            "Sign in with a passkey",
            "A session of the account that the passkey is of. An unknown passkey and a bad signature are answered alike.",
            WRITE,
        )
        .takes("auth.passkey_answer")
        .gives(json_of("auth.session"))
        .for_anybody(),
        PasskeyOperation::List => {
            Described::new("One's own passkeys", "Oldest first.", READ).gives(json_of("auth.passkeys"))
        }
        PasskeyOperation::Rename => one(Described::new("Name a passkey", "For people who have several.", WRITE))
            .takes("auth.passkey_name")
            .gives(json_of("auth.passkey")),
        PasskeyOperation::Remove => {
            one(Described::new("Remove a passkey", "The other sessions that it began end.", WRITE)).gives_nothing("Removed.")
        }
    }
}
