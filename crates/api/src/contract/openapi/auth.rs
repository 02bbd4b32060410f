//! The auth surface in the shapes of Supabase Auth (GoTrue), as `api::auth` answers them.

mod admin;
mod factors;
mod mail;
mod passkeys;
mod providers;

use super::answers::{ANYWHERE, add_problems, headers};
use super::rows::sorted;
use super::schemas::{example, schema};
use crate::contract::sample;
use serde_json::{Map, Value as Json, json};
use undergird_model::Model;
use undergird_model::operation::AuthOperation;
use undergird_model::schema::{Collection, Field};

/// The tag.
pub(super) const TAG: &str = "auth";

const PASSWORD: &str = "correct horse battery staple";

/// `auth.user`, `auth.session` and what they are made of.
pub(super) fn add_schemas(schemas: &mut Map<String, Json>, model: &Model) {
    let time = || json!({ "type": "string", "format": "date-time" });
    let uuid = || json!({ "type": "string", "format": "uuid" });
    let text = || json!({ "type": "string" });
    let object = || json!({ "type": "object" });
    schemas.insert(
        "auth.identity".into(),
        json!({
            "type": "object",
            "description": "One means of signing in.",
            "required": ["identity_id", "id", "user_id", "identity_data", "provider", "created_at", "updated_at"],
            "properties": {
                "identity_id": uuid(), "id": text(), "user_id": uuid(), "identity_data": object(), "provider": text(),
                "email": text(), "last_sign_in_at": time(), "created_at": time(), "updated_at": time(),
            },
        }),
    );
    schemas.insert(
        "auth.user".into(),
        json!({
            "type": "object",
            "title": "user",
            "description": "An account as its owner sees it.",
            "required": [
                "id", "aud", "role", "email", "phone", "app_metadata", "user_metadata", "identities", "created_at",
                "updated_at", "is_anonymous",
            ],
            "properties": {
                "id": uuid(), "aud": text(), "role": text(), "email": text(), "email_confirmed_at": time(),
                "new_email": text(), "invited_at": time(),
                "phone": text(), "confirmed_at": time(), "last_sign_in_at": time(),
                "app_metadata": { "type": "object", "description": "Set by the application alone: `provider`, `roles`." },
                "user_metadata": { "type": "object", "description": "Set by the user." },
                "identities": { "type": "array", "items": schema("auth.identity") },
                "factors": { "type": "array", "items": schema("auth.factor"), "description": "Absent when there are none." },
                "created_at": time(), "updated_at": time(), "banned_until": time(),
                "is_anonymous": { "type": "boolean" },
            },
        }),
    );
    schemas.insert(
        "auth.session".into(),
        json!({
            "type": "object",
            "title": "session",
            "description": "A pair of tokens with the account that they are for.",
            "required": ["access_token", "token_type", "expires_in", "expires_at", "refresh_token", "user"],
            "properties": {
                "access_token": { "type": "string", "description": "A JWT. Send it as `Authorization: Bearer …`." },
                "token_type": { "type": "string", "const": "bearer" },
                "expires_in": { "type": "integer", "minimum": 0, "description": "Seconds." },
                "expires_at": { "type": "integer", "description": "Seconds since 1970." },
                "refresh_token": { "type": "string", "description": "Good for one refresh." },
                "user": schema("auth.user"),
            },
        }),
    );
    schemas.insert(
        "auth.error".into(),
        json!({
            "type": "object",
            "title": "auth error",
            "description": "A failure in Supabase Auth's form. `error_code` is stable; with `X-Supabase-Api-Version: 2024-01-01` it is `code`.",
            "required": ["code"],
            "properties": {
                "code": { "type": ["integer", "string"] },
                "error_code": text(), "msg": text(), "message": text(),
                "weak_password": {
                    "type": "object",
                    "properties": { "reasons": { "type": "array", "items": text() } },
                },
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "pointer": text(), "code": text(), "message": text(),
                            "nearest": { "type": ["string", "null"] },
                        },
                    },
                },
            },
        }),
    );
    factors::add_schemas(schemas);
    passkeys::add_schemas(schemas);
    admin::add_schemas(schemas, model);
    let email = || json!({ "type": "string", "format": "email", "maxLength": 254 });
    let password = json!({
        "type": "string", "minLength": model.settings.auth.password_min, "maxLength": 256, "format": "password",
        "pattern": "^[^\\u0000]*$",
    });
    let profile = model.profile.map(|id| model.collection(id));
    let data = match profile {
        Some(profile) => profile_data(profile),
        None => json!({ "type": "object", "description": "The user's own words." }),
    };
    let told = profile.and_then(example).unwrap_or_else(|| json!({}));
    schemas.insert(
        "auth.sign_up".into(),
        json!({
            "type": "object",
            "title": "sign-up",
            "required": ["email", "password"],
            "properties": { "email": email(), "password": password, "data": data },
            "examples": [{ "email": "ann@example.org", "password": PASSWORD, "data": told }],
        }),
    );
    schemas.insert(
        "auth.token_request".into(),
        json!({
            "title": "token request",
            "description": "With `grant_type=password` e-mail and password, with `grant_type=refresh_token` the token, with `grant_type=pkce` the code of a link or a provider and its verifier, with `grant_type=id_token` a provider's ID token.",
            "anyOf": [
                {
                    "type": "object",
                    "required": ["email", "password"],
                    "properties": { "email": text(), "password": text() },
                    "examples": [{ "email": "ann@example.org", "password": PASSWORD }],
                },
                {
                    "type": "object",
                    "required": ["refresh_token"],
                    "properties": { "refresh_token": text() },
                },
                {
                    "type": "object",
                    "required": ["auth_code", "code_verifier"],
                    "properties": { "auth_code": text(), "code_verifier": text() },
                },
                {
                    "type": "object",
                    "required": ["provider", "id_token"],
                    "properties": {
                        "provider": text(), "id_token": text(), "access_token": text(),
                        "nonce": { "type": "string", "description": "What the token has the SHA-256 of." },
                        "link_identity": { "type": "boolean", "description": "Link it to the caller's account." },
                    },
                },
            ],
        }),
    );
    schemas.insert(
        "auth.user_change".into(),
        json!({
            "type": "object",
            "title": "change of one's account",
            "description": "What is left out stays.",
            "properties": {
                "email": or_nothing(email()),
                "password": or_nothing(password),
                "nonce": { "type": ["string", "null"], "description": "In its place: the code of `/reauthenticate`." },
                "current_password": { "type": ["string", "null"], "description": "Needed when the sign-in is not recent." },
                "data": {
                    "type": ["object", "null"],
                    "description": "Merged into `user_metadata`; null removes a member.",
                },
            },
            "examples": [{ "data": { "note": sample::UUID } }],
        }),
    );
    mail::add_schemas(schemas);
}

/// An operation, described by its parts: what those of [`factors`] and [`admin`] have in common.
struct Described {
    summary: &'static str,
    about: &'static str,
    errors: &'static [u16],
    /// The schema of its body, and whether there must be one.
    body: Option<(&'static str, bool)>,
    parameters: Vec<Json>,
    /// What comes with 200; without it, the answer is 204.
    content: Option<Json>,
    /// What 200 or 204 mean.
    done: &'static str,
    who: Who,
}

/// Who may.
#[derive(Clone, Copy)]
enum Who {
    Anybody,
    User,
    Owner,
}

impl Described {
    fn new(summary: &'static str, about: &'static str, errors: &'static [u16]) -> Described {
        let parameters = Vec::new();
        Described { summary, about, errors, body: None, parameters, content: None, done: "Done.", who: Who::User }
    }

    fn takes(self, schema: &'static str) -> Described {
        Described { body: Some((schema, true)), ..self }
    }

    fn may_take(self, schema: &'static str) -> Described {
        Described { body: Some((schema, false)), ..self }
    }

    fn gives(self, content: Json) -> Described {
        Described { content: Some(content), ..self }
    }

    fn gives_nothing(self, done: &'static str) -> Described {
        Described { done, ..self }
    }

    fn with(mut self, parameter: Json) -> Described {
        self.parameters.push(parameter);
        self
    }

    /// A parameter of the path.
    fn with_id(self, name: &str, about: &str) -> Described {
        let id = json!({ "type": "string", "format": "uuid" });
        self.with(json!({ "name": name, "in": "path", "required": true, "description": about, "schema": id }))
    }

    /// Only the secret key may.
    fn for_owner(self) -> Described {
        Described { who: Who::Owner, ..self }
    }

    /// Nobody need be signed in.
    fn for_anybody(self) -> Described {
        Described { who: Who::Anybody, ..self }
    }

    /// The operation object.
    fn object(self) -> Json {
        let mut operation = json!({ "tags": [TAG], "summary": self.summary, "description": self.about });
        match self.who {
            Who::Anybody => {}
            Who::User => operation["security"] = json!([{ "bearer": [] }]),
            Who::Owner => operation["security"] = json!([{ "bearer": [] }, { "apikey": [] }]),
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = Json::Array(self.parameters);
        }
        if let Some((schema, required)) = self.body {
            operation["requestBody"] = json!({ "required": required, "content": json_of(schema) });
        }
        let mut done = json!({ "description": self.done, "headers": headers(&["X-Request-Id", "Cache-Control"]) });
        let mut responses = Map::new();
        match self.content {
            Some(content) => {
                done["content"] = content;
                responses.insert("200".into(), done);
            }
            None => {
                responses.insert("204".into(), done);
            }
        }
        for status in self.errors {
            responses.insert(status.to_string(), error(*status));
        }
        add_problems(&mut responses, ANYWHERE);
        add_problems(&mut responses, if operation.get("requestBody").is_some() { &[408, 413, 415] } else { &[413] });
        operation["responses"] = Json::Object(sorted(responses));
        operation
    }
}

fn json_of(name: &str) -> Json {
    json!({ "application/json": { "schema": schema(name) } })
}

/// `data` of a sign-up: free, but for what becomes the profile.
fn profile_data(profile: &Collection) -> Json {
    let kept = |field: &&Field| field.readonly || field.is_secret() || profile.is_key(field.id);
    let out_of_reach: Vec<&str> = profile.fields.iter().filter(kept).map(|field| field.name.as_str()).collect();
    let mut properties = Map::new();
    for field in profile.fields.iter().filter(|field| !kept(field) && field.name != "email") {
        let path = format!("#/components/schemas/{}.insert/properties/{}", profile.name, field.name);
        properties.insert(field.name.clone(), json!({ "$ref": path }));
    }
    json!({
        "type": "object",
        "description": format!(
            "The user's own words. Members named like fields of `{}` fill the profile; `{}` are the application's to set.",
            profile.name,
            out_of_reach.join("`, `"),
        ),
        "properties": properties,
    })
}

/// The same, or null or an empty text, which are as good as left out.
fn or_nothing(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "null" }, { "const": "" }] })
}

/// The operation object.
pub(super) fn describe(which: AuthOperation) -> Json {
    match which {
        AuthOperation::Sessions => return factors::list_sessions().object(),
        AuthOperation::EndSession => return factors::end_session().object(),
        AuthOperation::Factor(operation) => return factors::describe(operation).object(),
        AuthOperation::Passkey(operation) => return passkeys::describe(operation).object(),
        AuthOperation::Admin(operation) => return admin::describe(operation).object(),
        _ => {}
    }
    let mut operation = json!({ "tags": [TAG] });
    let mut responses = Map::new();
    let mut answer = |about: &str, content: Json| {
        let names = ["X-Request-Id", "Cache-Control"];
        responses.insert("200".into(), json!({ "description": about, "headers": headers(&names), "content": content }));
    };
    let body = |name: &str| json!({ "required": true, "content": json_of(name) });
    // A key may come along, and is not asked for.
    let user = json!([{ "bearer": [] }]);
    let (summary, about, errors): (_, _, &[u16]) = match which {
        AuthOperation::SignUp => {
            let either = json!({ "anyOf": [schema("auth.session"), schema("auth.user")] });
            answer(
                "Signed in at once; or the account alone, when its address must be confirmed first.",
                json!({ "application/json": { "schema": either } }),
            );
            operation["requestBody"] = body("auth.sign_up");
            (
                "Sign up",
                "Makes an account, with its profile row, in one transaction.",
                &[400, 409, 413, 422, 429, 500, 503, 504, 507],
            )
        }
        AuthOperation::Token => {
            answer("A session.", json_of("auth.session"));
            operation["parameters"] = json!([{
                "name": "grant_type", "in": "query", "required": true, "description": "What is given for it.",
                "schema": { "type": "string", "enum": ["password", "refresh_token", "pkce", "id_token"] },
            }]);
            operation["requestBody"] = body("auth.token_request");
            (
                "Sign in, or refresh",
                "A new session for an address and its password, for the code of a link or a provider, or for an ID token; or the next tokens of a session.",
                &[400, 401, 403, 404, 413, 422, 429, 500, 503, 504, 507],
            )
        }
        AuthOperation::User => {
            answer("The account.", json_of("auth.user"));
            operation["security"] = user;
            ("One's own account", "Who the token is for.", &[401, 500, 503, 504])
        }
        AuthOperation::UpdateUser => {
            answer("The account as it is now.", json_of("auth.user"));
            operation["security"] = user;
            operation["requestBody"] = body("auth.user_change");
            (
                "Change one's own account",
                "Address, password, metadata.",
                &[400, 401, 409, 413, 422, 429, 500, 503, 504, 507],
            )
        }
        AuthOperation::Logout => {
            operation["security"] = user;
            operation["parameters"] = json!([{
                "name": "scope", "in": "query", "required": false,
                "description": "Which sessions end: all of the account, this one, or all but this one.",
                "schema": { "type": "string", "enum": ["global", "local", "others"], "default": "global" },
            }]);
            ("Sign out", "Their tokens are good for nothing from now on.", &[400, 401, 429, 500, 503, 504, 507])
        }
        AuthOperation::Jwks => {
            let key = json!({
                "type": "object",
                "required": ["kty", "kid"],
                "properties": { "kty": { "type": "string" }, "kid": { "type": "string" } },
            });
            let set = json!({
                "type": "object",
                "required": ["keys"],
                "properties": { "keys": { "type": "array", "items": key } },
            });
            answer("A JSON Web Key Set (RFC 7517).", json!({ "application/json": { "schema": set } }));
            ("Public keys", "With which anybody can verify tokens.", &[])
        }
        AuthOperation::Settings => {
            let settings = json!({
                "type": "object",
                "required": ["external", "disable_signup", "mailer_autoconfirm"],
                "properties": {
                    "external": { "type": "object", "additionalProperties": { "type": "boolean" } },
                    "disable_signup": { "type": "boolean" },
                    "mailer_autoconfirm": { "type": "boolean" },
                },
            });
            answer("What may be asked for here.", json!({ "application/json": { "schema": settings } }));
            ("Settings", "Which means of signing in there are.", &[])
        }
        AuthOperation::Health => {
            let health = json!({
                "type": "object",
                "required": ["version", "name", "description"],
                "properties": {
                    "version": { "type": "string" }, "name": { "type": "string" }, "description": { "type": "string" },
                },
            });
            answer("It is there.", json!({ "application/json": { "schema": health } }));
            ("Is the auth surface there?", "What its clients ask first.", &[])
        }
        AuthOperation::Mail(which) => return mail::describe(which),
        AuthOperation::Provider(which) => return providers::describe(which),
        // Described above, by their parts.
        AuthOperation::Sessions
        | AuthOperation::EndSession
        | AuthOperation::Factor(_)
        | AuthOperation::Passkey(_)
        | AuthOperation::Admin(_) => ("", "", &[]),
    };
    if which == AuthOperation::Logout {
        let names = ["X-Request-Id", "Cache-Control"];
        responses.insert("204".into(), json!({ "description": "Signed out.", "headers": headers(&names) }));
    }
    for status in errors {
        responses.insert(status.to_string(), error(*status));
    }
    // Around the surface, in the form of all others.
    add_problems(&mut responses, ANYWHERE);
    add_problems(&mut responses, if operation.get("requestBody").is_some() { &[408, 413, 415] } else { &[413] });
    operation["summary"] = summary.into();
    operation["description"] = about.into();
    operation["responses"] = Json::Object(sorted(responses));
    operation
}

/// A failure in the surface's own form; before and around it, the form of all others.
fn error(status: u16) -> Json {
    let about = match status {
        400 => "Wrong credentials, a used token, or a body that cannot be read.",
        401 => "The token is not good, or of nobody's account.",
        403 => "It wants a session of level `aal2`, or the secret key; or a link or code is wrong, used or too old.",
        404 => "There is no such thing, or it is somebody else's.",
        409 => "A unique field of the profile is taken.",
        413 => "The body is too large.",
        422 => "Not acceptable; `msg` says why, `errors` names the members of `data`.",
        429 => "Too many attempts; `Retry-After` says when to try again.",
        500 => "Something went wrong on the server.",
        503 => "Too much is waiting; `Retry-After` says when to try again.",
        504 => "It took too long.",
        507 => "The disk is full.",
        _ => "It was not done.",
    };
    let mut names = vec!["X-Request-Id"];
    match status {
        401 => names.push("WWW-Authenticate"),
        429 | 503 => names.push("Retry-After"),
        _ => {}
    }
    json!({
        "description": about,
        "headers": headers(&names),
        "content": {
            "application/json": { "schema": schema("auth.error") },
            "application/problem+json": { "schema": schema("problem") },
        },
    })
}
