//! Links and codes, as `api::auth` answers them.

use super::{TAG, error};
use crate::contract::openapi::answers::{ANYWHERE, add_problems, headers};
use crate::contract::openapi::rows::sorted;
use crate::contract::openapi::schemas::schema;
use serde_json::{Map, Value as Json, json};
use undergird_model::operation::MailOperation;

const ANN: &str = "ann@example.org";

/// What these operations take and give.
pub(super) fn add_schemas(schemas: &mut Map<String, Json>) {
    let email = || json!({ "type": "string", "format": "email", "maxLength": 254 });
    let object = || json!({ "type": ["object", "null"], "description": "The user's own words." });
    // The wire takes null for left out.
    let pkce = |mut properties: Json| {
        properties["code_challenge"] = json!({
            "anyOf": [
                { "type": "string", "pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$" }, { "type": "null" }, { "const": "" },
            ],
            "description": "PKCE (RFC 7636). Then the link gives a code for `token?grant_type=pkce`.",
        });
        properties["code_challenge_method"] = json!({ "enum": ["s256", "S256", null] });
        properties
    };
    let mut add = |name: &str, required: &[&str], properties: Json, example: Json| {
        let mut made = json!({
            "type": "object", "required": required, "properties": properties, "examples": [example],
        });
        if made["properties"].get("code_challenge").is_some() {
            // A challenge without its method means nothing.
            let is_there = json!({ "type": "string", "minLength": 1 });
            made["if"] = json!({ "properties": { "code_challenge": is_there }, "required": ["code_challenge"] });
            let method = json!({ "enum": ["s256", "S256"] });
            made["then"] =
                json!({ "properties": { "code_challenge_method": method }, "required": ["code_challenge_method"] });
        }
        schemas.insert(name.into(), made);
    };
    let create = json!({ "type": ["boolean", "null"], "default": true, "description": "Whether an unknown address gets an account." });
    let otp = pkce(json!({ "email": email(), "create_user": create, "data": object() }));
    add("auth.otp", &["email"], otp, json!({ "email": ANN }));
    add("auth.magiclink", &["email"], pkce(json!({ "email": email(), "data": object() })), json!({ "email": ANN }));
    add("auth.recover", &["email"], pkce(json!({ "email": email() })), json!({ "email": ANN }));
    let kinds = json!({ "enum": ["signup", "email_change"] });
    let resend = pkce(json!({ "email": email(), "type": kinds }));
    add("auth.resend", &["email", "type"], resend, json!({ "email": ANN, "type": "signup" }));
    let kinds = json!({ "enum": ["signup", "magiclink", "email", "invite", "recovery", "email_change"] });
    let code = json!({ "type": "string", "description": "The short code, with the address that it was sent to." });
    let hash = json!({ "type": "string", "description": "The secret of the link, alone." });
    add(
        "auth.verify",
        &["type"],
        json!({ "type": kinds, "token": code, "email": email(), "token_hash": hash }),
        json!({ "type": "email", "email": ANN, "token": "123456" }),
    );
    add("auth.invite", &["email"], json!({ "email": email(), "data": object() }), json!({ "email": ANN }));
    let kinds = ["signup", "invite", "magiclink", "recovery", "email_change_current", "email_change_new"];
    let new_email = json!({ "type": ["string", "null"], "description": "For a change of address." });
    let password = json!({ "type": ["string", "null"], "description": "For a sign-up." });
    let redirect = json!({ "type": ["string", "null"] });
    add(
        "auth.generate_link",
        &["type", "email"],
        json!({
            "type": { "enum": kinds }, "email": email(), "password": password, "data": object(), "new_email": new_email,
            "redirect_to": redirect,
        }),
        json!({ "type": "magiclink", "email": ANN }),
    );
    let secret = |about: &str| json!({ "type": "string", "description": about });
    let link = json!({
        "type": "object",
        "required": ["action_link", "email_otp", "hashed_token", "verification_type", "redirect_to"],
        "properties": {
            "action_link": secret("The whole link."), "email_otp": secret("The short code."),
            "hashed_token": secret("The secret of the link, as `token_hash` of `/verify`."),
            "verification_type": secret("The `type` for `/verify`."), "redirect_to": secret("Where it leads."),
        },
    });
    schemas.insert("auth.link".into(), json!({ "allOf": [schema("auth.user"), link] }));
}

/// The operation object.
pub(super) fn describe(which: MailOperation) -> Json {
    let names = ["X-Request-Id", "Cache-Control"];
    let sent = ("200", "Queued, if there is anybody to send it to.", json!({ "type": "object" }));
    let mail: &[u16] = &[400, 413, 422, 429, 500, 503, 504, 507];
    let owner: &[u16] = &[400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 504, 507];
    let other = json!({
        "type": "object",
        "required": ["code", "msg"],
        "properties": { "code": { "const": "200" }, "msg": { "type": "string" } },
    });
    let (summary, about, body, (status, told, content), errors) = match which {
        MailOperation::Otp => (
            "Send a link and a code to sign in with",
            "The answer is the same whether somebody has the address or not.",
            Some("auth.otp"),
            sent,
            mail,
        ),
        MailOperation::MagicLink => {
            ("Send a link to sign in with", "The older form of `/otp`.", Some("auth.magiclink"), sent, mail)
        }
        MailOperation::Recover => (
            "Send a link for a forgotten password",
            "The answer is the same whether somebody has the address or not.",
            Some("auth.recover"),
            sent,
            mail,
        ),
        MailOperation::Resend => (
            "Send a confirmation again",
            "The answer is the same whether one is waited for or not.",
            Some("auth.resend"),
            sent,
            mail,
        ),
        MailOperation::Verify => (
            "A session for what was in a mail",
            "It is used up by this. `token` with `email`, or `token_hash` alone. Where both addresses confirm a change, the first of them gives no session.",
            Some("auth.verify"),
            (
                "200",
                "A session, or that the other address is to confirm as well.",
                json!({ "anyOf": [schema("auth.session"), other] }),
            ),
            &[400, 403, 409, 413, 422, 429, 500, 503, 504, 507][..],
        ),
        MailOperation::Follow => (
            "The link of a mail",
            "Uses it up and sends the browser on, with the session in the fragment, with a code in the query (PKCE), or with an error in both.",
            None,
            ("303", "Where the browser goes on.", Json::Null),
            &[500, 503][..],
        ),
        MailOperation::Reauthenticate => (
            "Send a code for a change of password",
            "For who is signed in. The code is the `nonce` of the change.",
            None,
            ("200", "Queued.", json!({ "type": "object" })),
            &[401, 422, 429, 500, 503, 504, 507][..],
        ),
        MailOperation::Invite => (
            "Invite somebody",
            "Makes an account and sends its user a link. For the secret key.",
            Some("auth.invite"),
            ("200", "The account.", schema("auth.user")),
            owner,
        ),
        MailOperation::GenerateLink => (
            "A link to be sent by other means",
            "As it would be in a mail. For the secret key.",
            Some("auth.generate_link"),
            ("200", "The link and its account.", schema("auth.link")),
            owner,
        ),
    };
    let mut responses = Map::new();
    let mut answer = json!({ "description": told, "headers": headers(&names) });
    if !content.is_null() {
        answer["content"] = json!({ "application/json": { "schema": content } });
    }
    responses.insert(status.into(), answer);
    for status in errors {
        responses.insert(status.to_string(), error(*status));
    }
    add_problems(&mut responses, ANYWHERE);
    add_problems(&mut responses, if body.is_some() { &[408, 413, 415] } else { &[413] });
    let mut operation = json!({ "tags": [TAG], "summary": summary, "description": about });
    match which {
        MailOperation::Reauthenticate => operation["security"] = json!([{ "bearer": [] }]),
        MailOperation::Invite | MailOperation::GenerateLink => {
            operation["security"] = json!([{ "bearer": [] }, { "apikey": [] }]);
        }
        _ => {}
    }
    let query = |name: &str, about: &str, schema: Json| json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema });
    let redirect = query("redirect_to", "Where the link shall lead, if that is allowed.", json!({ "type": "string" }));
    operation["parameters"] = match which {
        MailOperation::Verify | MailOperation::Reauthenticate => json!([]),
        MailOperation::Follow => json!([
            query("token", "The secret of the link.", json!({ "type": "string" })),
            query("type", "What it is for.", json!({ "type": "string" })),
            redirect,
        ]),
        _ => json!([redirect]),
    };
    if let Some(body) = body {
        let content = json!({ "application/json": { "schema": schema(body) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation["responses"] = Json::Object(sorted(responses));
    operation
}
