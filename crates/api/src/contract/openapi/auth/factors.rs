//! Sessions and second factors, as `api::auth` answers them.

use super::{Described, json_of};
use crate::contract::openapi::schemas::schema;
use crate::contract::sample;
use serde_json::{Map, Value as Json, json};
use undergird_model::operation::FactorOperation;

/// What these operations take and give.
pub(super) fn add_schemas(schemas: &mut Map<String, Json>) {
    let time = || json!({ "type": "string", "format": "date-time" });
    let uuid = || json!({ "type": "string", "format": "uuid" });
    let text = || json!({ "type": "string" });
    let name = || json!({ "type": ["string", "null"], "maxLength": 64, "pattern": "^[^\\u0000]*$" });
    let mut add = |name: &str, schema: Json| {
        schemas.insert(name.into(), schema);
    };
    add(
        "auth.factor",
        json!({
            "type": "object",
            "description": "A second factor. It counts once it is `verified`.",
            "required": ["id", "factor_type", "status", "created_at", "updated_at"],
            "properties": {
                "id": uuid(), "friendly_name": text(), "factor_type": { "type": "string", "enum": ["totp", "webauthn"] },
                "status": { "type": "string", "enum": ["unverified", "verified"] }, "created_at": time(), "updated_at": time(),
            },
        }),
    );
    add(
        "auth.listed_session",
        json!({
            "type": "object",
            "description": "A sign-in that has not ended.",
            "required": ["id", "created_at", "refreshed_at", "not_after", "aal", "method", "current"],
            "properties": {
                "id": uuid(), "created_at": time(), "refreshed_at": time(), "not_after": time(),
                "aal": { "type": "string", "enum": ["aal1", "aal2"] }, "method": text(),
                "user_agent": { "type": ["string", "null"] }, "ip": { "type": ["string", "null"] },
                "current": { "type": "boolean" },
            },
        }),
    );
    add(
        "auth.sessions",
        json!({
            "type": "object",
            "required": ["sessions"],
            "properties": { "sessions": { "type": "array", "items": schema("auth.listed_session") } },
        }),
    );
    add(
        "auth.enroll",
        json!({
            "type": "object",
            "title": "new factor",
            "required": ["factor_type"],
            "properties": {
                "factor_type": { "type": "string", "enum": ["totp", "webauthn"] },
                "friendly_name": name(),
                "issuer": { "type": ["string", "null"], "description": "Who asks for the code, as the app shows it.", "pattern": "^[^\\u0000]*$" },
                "current_password": { "type": ["string", "null"], "description": "Needed when the sign-in is not recent." },
            },
            "examples": [{ "factor_type": "totp", "friendly_name": "Phone" }],
        }),
    );
    add(
        "auth.enrolled",
        json!({
            "type": "object",
            "required": ["id", "type"],
            "properties": {
                "id": uuid(), "type": { "type": "string", "enum": ["totp", "webauthn"] }, "friendly_name": text(),
                "totp": {
                    "type": "object",
                    "description": "Told this once.",
                    "required": ["qr_code", "secret", "uri"],
                    "properties": {
                        "qr_code": { "type": "string", "description": "An SVG document." },
                        "secret": { "type": "string", "description": "Base32." },
                        "uri": { "type": "string", "description": "`otpauth://totp/…`" },
                    },
                },
            },
        }),
    );
    add(
        "auth.challenge",
        json!({
            "type": "object",
            "required": ["id", "type", "expires_at"],
            "properties": {
                "id": uuid(), "type": { "type": "string", "enum": ["totp", "webauthn"] },
                "expires_at": { "type": "integer", "description": "Seconds since 1970." },
                "webauthn": {
                    "type": "object",
                    "description": "Of an authenticator: what a browser asks it, for a key (`create`) or for a signature of the one that it has.",
                    "required": ["type", "credential_options"],
                    "properties": {
                        "type": { "type": "string", "enum": ["create", "request"] },
                        "credential_options": {
                            "type": "object", "required": ["publicKey"], "properties": { "publicKey": { "type": "object" } },
                        },
                    },
                },
            },
        }),
    );
    add(
        "auth.code",
        json!({
            "type": "object",
            "title": "answer of a factor",
            "required": ["challenge_id"],
            "properties": {
                "challenge_id": uuid(),
                "code": { "type": "string", "description": "Of an app: six digits.", "minLength": 1 },
                "webauthn": {
                    "type": "object",
                    "description": "Of an authenticator: what `PublicKeyCredential.toJSON()` gives.",
                    "required": ["type", "credential_response"],
                    "properties": {
                        "type": { "type": "string", "enum": ["create", "request"] }, "credential_response": { "type": "object" },
                    },
                },
            },
            "examples": [{ "challenge_id": sample::UUID, "code": "123456" }],
        }),
    );
    add(
        "auth.recovery_code",
        json!({
            "type": "object",
            "title": "recovery code",
            "required": ["code"],
            "properties": { "code": { "type": "string", "description": "Case, spaces and dashes do not matter.", "minLength": 1 } },
            "examples": [{ "code": "k4m6-x7qp-2ab5-ht3z" }],
        }),
    );
    let type_ = || json!({ "type": "string", "const": "recovery_code" });
    add(
        "auth.recovery_codes",
        json!({
            "type": "object",
            "description": "Fresh recovery codes, told this once.",
            "required": ["id", "type", "total", "codes"],
            "properties": {
                "id": uuid(), "type": type_(), "friendly_name": { "type": ["string", "null"] }, "total": { "type": "integer" },
                "codes": { "type": "array", "items": { "type": "string", "pattern": "^[a-z2-7]{16}$" } },
            },
        }),
    );
    add(
        "auth.recovery_status",
        json!({
            "type": "object",
            "required": ["id", "type", "total", "remaining"],
            "properties": { "id": uuid(), "type": type_(), "total": { "type": "integer" }, "remaining": { "type": "integer" } },
        }),
    );
    add(
        "auth.named",
        json!({ "type": "object", "title": "name", "properties": { "friendly_name": name() }, "examples": [{}] }),
    );
    add("auth.removed", json!({ "type": "object", "required": ["id"], "properties": { "id": uuid() } }));
}

const READ: &[u16] = &[401, 404, 500, 503, 504];
const WRITE: &[u16] = &[400, 401, 403, 404, 413, 422, 429, 500, 503, 504, 507];

/// `GET /sessions`.
pub(super) fn list_sessions() -> Described {
    Described::new("One's own sessions", "Those that have not ended, newest first.", READ)
        .gives(json_of("auth.sessions"))
}

/// `DELETE /sessions/{session_id}`.
pub(super) fn end_session() -> Described {
    let about = "Its tokens are good for nothing from now on.";
    Described::new("End one of one's own sessions", about, WRITE)
        .gives_nothing("Ended.")
        .with_id("session_id", "The session.")
}

/// An operation about second factors.
pub(super) fn describe(which: FactorOperation) -> Described {
    let factor = |described: Described| described.with_id("factor_id", "The factor.");
    match which {
        FactorOperation::Enroll => Described::new(
            "Enroll a second factor",
            "It counts once a code of it was verified. Needs a recent sign-in, and level `aal2` where a factor is in use already.",
            WRITE,
        )
        .takes("auth.enroll")
        .gives(json_of("auth.enrolled")),
        FactorOperation::Challenge => {
            factor(Described::new("Ask for a proof", "Leave to verify one code, or what an authenticator is asked; for five minutes.", WRITE))
                .may_take("auth.named")
                .gives(json_of("auth.challenge"))
        }
        FactorOperation::Verify => factor(Described::new(
            "Verify a code, or an authenticator's answer",
            "A session of level `aal2` in place of the one that was sent. Each counts once.",
            WRITE,
        ))
        .takes("auth.code")
        .gives(json_of("auth.session")),
        FactorOperation::Remove => {
            factor(Described::new("Remove a factor", "One in use only at level `aal2`.", WRITE)).gives(json_of("auth.removed"))
        }
        FactorOperation::RecoveryCodes => {
            Described::new("Recovery codes", "How many are left.", READ).gives(json_of("auth.recovery_status"))
        }
        FactorOperation::MakeRecoveryCodes => {
            Described::new("Make recovery codes", "Ten, each good once in place of a factor's code.", WRITE)
                .may_take("auth.named")
                .gives(json_of("auth.recovery_codes"))
        }
        FactorOperation::RemakeRecoveryCodes => {
            Described::new("Replace the recovery codes", "The old ones are good for nothing.", WRITE)
                .may_take("auth.named")
                .gives(json_of("auth.recovery_codes"))
        }
        FactorOperation::VerifyRecoveryCode => {
            Described::new("Use a recovery code", "As verifying a factor's code; the code is used up.", WRITE)
                .takes("auth.recovery_code")
                .gives(json_of("auth.session"))
        }
        FactorOperation::RemoveRecoveryCodes => {
            Described::new("Remove the recovery codes", "Needs level `aal2`.", WRITE).gives(json_of("auth.removed"))
        }
    }
}
