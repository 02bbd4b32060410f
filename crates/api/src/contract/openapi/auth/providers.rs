//! Signing in by other providers, as `api::auth` answers it.

use super::{TAG, error};
use crate::contract::openapi::answers::{ANYWHERE, add_problems, headers};
use crate::contract::openapi::rows::sorted;
use serde_json::{Map, Value as Json, json};
use undergird_model::operation::ProviderOperation;

/// An answer that is no failure: its status, what it says, and what is in it.
type Good = (&'static str, &'static str, Option<Json>);

/// The operation object.
pub(super) fn describe(which: ProviderOperation) -> Json {
    let went = "The way to the provider, with a cookie by which the browser is known when it is back.";
    let back = "Where the browser goes on: with the session in the fragment, with a code in the query (PKCE), or with an error in both.";
    let (summary, about, mut answers, errors): (_, _, Vec<Good>, &[u16]) = match which {
        ProviderOperation::Authorize => (
            "Go to a provider to sign in",
            "For browsers: what clients call `signInWithOAuth` leads here.",
            vec![("302", went, None)],
            &[400, 422, 429, 500, 503, 504, 507],
        ),
        ProviderOperation::Callback => (
            "Come back from a provider",
            "For browsers that a provider sends. What they take along is good for one use.",
            vec![("303", back, None)],
            &[500, 503],
        ),
        ProviderOperation::PostedCallback => {
            ("Come back from a provider by a form", "As Apple does it.", vec![("303", back, None)], &[500, 503])
        }
        ProviderOperation::Link => (
            "Go to a provider to link an identity",
            "For who is signed in: one more way to sign in to the account. `skip_http_redirect=true` gives the way as JSON.",
            vec![
                (
                    "200",
                    "The way, where it was asked for as JSON.",
                    Some(
                        json!({ "type": "object", "required": ["url"], "properties": { "url": { "type": "string" } } }),
                    ),
                ),
                ("302", went, None),
            ],
            &[400, 401, 403, 422, 429, 500, 503, 504, 507],
        ),
        ProviderOperation::Unlink => (
            "Unlink an identity",
            "For who is signed in. Not the last one.",
            vec![("200", "It is gone.", Some(json!({ "type": "object" })))],
            &[400, 401, 403, 404, 422, 429, 500, 503, 504, 507],
        ),
    };
    let mut responses = Map::new();
    for (status, told, content) in answers.drain(..) {
        let mut answer = json!({ "description": told, "headers": headers(&["X-Request-Id", "Cache-Control"]) });
        if let Some(content) = content {
            answer["content"] = json!({ "application/json": { "schema": content } });
        }
        responses.insert(status.into(), answer);
    }
    for status in errors {
        responses.insert(status.to_string(), error(*status));
    }
    add_problems(&mut responses, ANYWHERE);
    let has_body = which == ProviderOperation::PostedCallback;
    add_problems(&mut responses, if has_body { &[408, 413, 415] } else { &[413] });
    let mut operation = json!({ "tags": [TAG], "summary": summary, "description": about });
    let text = |name: &str, about: &str| json!({ "name": name, "in": "query", "required": false, "description": about, "schema": { "type": "string" } });
    let departure = || {
        vec![
            json!({
                "name": "provider", "in": "query", "required": true, "description": "Its name in the settings.",
                "schema": { "type": "string" },
            }),
            text("redirect_to", "Where to go on in the end, if that is allowed."),
            text("scopes", "What the application wants from the provider beside, separated by spaces."),
            text("code_challenge", "PKCE (RFC 7636). Then there is a code for `token?grant_type=pkce`."),
            text("code_challenge_method", "`s256`."),
        ]
    };
    let returned = [
        ("state", "What the browser took along."),
        ("code", "What the provider gave it."),
        ("error", "What the provider refused it with."),
        ("iss", "Who says that it is the provider (RFC 9207)."),
    ];
    operation["parameters"] = match which {
        ProviderOperation::Authorize => departure().into(),
        ProviderOperation::Link => {
            let mut all = departure();
            all.push(text("skip_http_redirect", "`true`: the way as JSON."));
            all.into()
        }
        ProviderOperation::Callback => returned.iter().map(|(name, about)| text(name, about)).collect(),
        ProviderOperation::PostedCallback => json!([]),
        ProviderOperation::Unlink => json!([{
            "name": "identity_id", "in": "path", "required": true, "description": "Its `identity_id` in the account.",
            "schema": { "type": "string", "format": "uuid" },
        }]),
    };
    if matches!(which, ProviderOperation::Link | ProviderOperation::Unlink) {
        operation["security"] = json!([{ "bearer": [] }]);
    }
    if has_body {
        let members: Map<String, Json> = returned
            .iter()
            .map(|(name, about)| ((*name).into(), json!({ "type": "string", "description": about })))
            .collect();
        let form = json!({ "schema": { "type": "object", "properties": members } });
        operation["requestBody"] =
            json!({ "required": false, "content": { "application/x-www-form-urlencoded": form } });
    }
    operation["responses"] = Json::Object(sorted(responses));
    operation
}
