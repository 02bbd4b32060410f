//! Accounts for the holder of the secret key, as `api::auth` answers them.

use super::{Described, json_of, or_nothing};
use crate::contract::openapi::schemas::schema;
use serde_json::{Map, Value as Json, json};
use undergird_model::Model;
use undergird_model::operation::AdminOperation;

/// What these operations take and give.
pub(super) fn add_schemas(schemas: &mut Map<String, Json>, model: &Model) {
    let password = || {
        json!({
            "type": "string", "minLength": model.settings.auth.password_min, "maxLength": 256, "format": "password",
            "pattern": "^[^\\u0000]*$",
        })
    };
    let email = || json!({ "type": "string", "format": "email", "maxLength": 254 });
    let settings = |required: Json, email: Json| {
        json!({
            "type": "object",
            "required": required,
            "properties": {
                "email": email,
                "password": or_nothing(password()),
                "email_confirm": { "type": ["boolean", "null"], "description": "Whether the address counts as confirmed." },
                "app_metadata": { "type": ["object", "null"], "description": "`roles` and the application's own words; merged, null removes." },
                "user_metadata": { "type": ["object", "null"], "description": "Merged, null removes. For a new account also the profile's fields." },
                "ban_duration": or_nothing(json!({ "type": "string", "description": "`none`, or a duration such as `24h`.", "pattern": "^(none|([0-9]{1,5}(h|m|s))+)$" })),
            },
            "examples": [{ "email": "ann@example.org", "email_confirm": true, "app_metadata": { "roles": ["editor"] } }],
        })
    };
    schemas.insert("auth.admin_new_user".into(), settings(json!(["email"]), email()));
    schemas.insert("auth.admin_user_change".into(), settings(json!([]), or_nothing(email())));
    schemas.insert(
        "auth.users".into(),
        json!({
            "type": "object",
            "required": ["users", "aud"],
            "properties": { "users": { "type": "array", "items": schema("auth.user") }, "aud": { "type": "string" } },
        }),
    );
    let text = || json!({ "type": "string" });
    let payload = json!({
        "type": "object",
        "required": ["action", "actor_id", "actor_username", "actor_via_sso", "log_type"],
        "properties": {
            "action": text(), "actor_id": { "type": "string", "format": "uuid" }, "actor_username": text(),
            "actor_via_sso": { "type": "boolean" }, "log_type": text(), "traits": { "type": "object" },
        },
    });
    let entry = json!({
        "type": "object",
        "required": ["id", "payload", "created_at", "ip_address"],
        "properties": {
            "id": { "type": "string", "format": "uuid" }, "payload": payload,
            "created_at": { "type": "string", "format": "date-time" }, "ip_address": text(),
        },
    });
    schemas.insert("auth.audit".into(), json!({ "type": "array", "items": entry }));
    schemas.insert("auth.factors".into(), json!({ "type": "array", "items": schema("auth.factor") }));
    schemas.insert(
        "auth.removal".into(),
        json!({ "type": "object", "properties": { "should_soft_delete": { "const": false } }, "examples": [{}] }),
    );
}

const READ: &[u16] = &[400, 401, 403, 404, 500, 503, 504];
const WRITE: &[u16] = &[400, 401, 403, 404, 409, 413, 422, 500, 503, 504, 507];

/// An operation of the owner.
pub(super) fn describe(which: AdminOperation) -> Described {
    let user = |described: Described| described.with_id("user_id", "The account.");
    let count = |name: &str, about: &str| {
        json!({
            "name": name, "in": "query", "required": false, "description": about,
            "schema": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
        })
    };
    let described = match which {
        AdminOperation::AuditLog => {
            let about = "A piece of the author's address, of the action, or of the log type.";
            let query = json!({
                "name": "query", "in": "query", "required": false, "description": about,
                "schema": { "type": "string", "pattern": "^((author|action|type):[^\\u0000]{0,200})?$" }, "example": "action:login",
            });
            Described::new(
                "What happened to accounts",
                "The audit log, newest first; `X-Total-Count` says how many entries there are.",
                &[400, 401, 403, 404, 422, 500, 503, 504],
            )
            .gives(json_of("auth.audit"))
            .with(count("page", "Which page, from 1."))
            .with(count("per_page", "How many on a page, at most 1,000; 50 when nothing is said."))
            .with(query)
        }
        AdminOperation::ListUsers => {
            Described::new("List accounts", "Newest first; `X-Total-Count` says how many there are.", READ)
                .gives(json_of("auth.users"))
                .with(count("page", "Which page, from 1."))
                .with(count("per_page", "How many on a page, at most 1,000; 50 when nothing is said."))
        }
        AdminOperation::CreateUser => Described::new(
            "Make an account",
            "With its profile row, in one transaction. Without `email_confirm` its address must be confirmed before the first sign-in.",
            WRITE,
        )
        .takes("auth.admin_new_user")
        .gives(json_of("auth.user")),
        AdminOperation::User => user(Described::new("An account", "By its id.", READ)).gives(json_of("auth.user")),
        AdminOperation::UpdateUser => user(Described::new(
            "Change an account",
            "A new password or a ban ends its sessions; a new address or new `app_metadata` makes its access tokens void at once.",
            WRITE,
        ))
        .takes("auth.admin_user_change")
        .gives(json_of("auth.user")),
        AdminOperation::RemoveUser => {
            user(Described::new("Remove an account", "With its profile row, sessions and factors.", WRITE))
                .may_take("auth.removal")
                .gives(json_of("auth.user"))
        }
        AdminOperation::Factors => {
            user(Described::new("The factors of an account", "Those that wait for their first code too.", READ))
                .gives(json_of("auth.factors"))
        }
        AdminOperation::RemoveFactor => {
            user(Described::new("Remove a factor of an account", "For somebody who lost it.", WRITE))
                .with_id("factor_id", "The factor.")
                .gives(json_of("auth.removed"))
        }
        AdminOperation::Passkeys => {
            user(Described::new("The passkeys of an account", "Oldest first.", READ)).gives(json_of("auth.passkeys"))
        }
        AdminOperation::RemovePasskey => {
            user(Described::new("Remove a passkey of an account", "The sessions that it began end.", WRITE))
                .with_id("passkey_id", "The passkey.")
                .gives_nothing("Removed.")
        }
        AdminOperation::Sessions => {
            user(Described::new("The sessions of an account", "Newest first.", READ)).gives(json_of("auth.sessions"))
        }
        AdminOperation::EndSessions => {
            user(Described::new("End all sessions of an account", "Their tokens are good for nothing from now on.", WRITE))
                .gives_nothing("Ended.")
        }
    };
    described.for_owner()
}
