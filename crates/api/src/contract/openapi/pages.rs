//! The sign-in pages, as `api::auth::pages` answers them: for browsers, so what is in them is not described.

use super::answers::{ANYWHERE, add_problems, headers};
use super::rows::sorted;
use serde_json::{Map, Value as Json, json};
use undergird_model::operation::{Page, PageOperation};

/// What they are listed under.
pub(super) const TAG: &str = "sign-in pages";

/// The operation object.
pub(super) fn describe(which: PageOperation) -> Json {
    let summary = match which {
        PageOperation::Show(page) => match page {
            Page::SignIn => "Sign in",
            Page::SignUp => "Create an account",
            Page::Mail => "Ask for a mail that signs in",
            Page::Recover => "Ask for a mail that recovers",
            Page::NewPassword => "Set a new password",
            Page::SecondFactor => "Prove a second factor",
            Page::Continue => "Come back from a mail or a provider",
            Page::Account => "Who is signed in",
            Page::Code | Page::SignOut => "A page",
        },
        PageOperation::Send(page) => match page {
            Page::SignIn => "Sign in: what was filled in",
            Page::SignUp => "Create an account: what was filled in",
            Page::Mail => "Ask for a mail that signs in: what was filled in",
            Page::Recover => "Ask for a mail that recovers: what was filled in",
            Page::NewPassword => "Set a new password: what was filled in",
            Page::SecondFactor => "Prove a second factor: what was filled in",
            Page::Code => "The code of a mail",
            Page::SignOut => "Sign out",
            Page::Continue | Page::Account => "A page",
        },
        PageOperation::Style => "How the pages look",
        PageOperation::OwnStyle => "How the application wants them to look",
        PageOperation::Logo => "The application's picture",
    };
    let is_file = matches!(which, PageOperation::Style | PageOperation::OwnStyle | PageOperation::Logo);
    let mut responses = Map::new();
    let kind = match which {
        PageOperation::Style | PageOperation::OwnStyle => "text/css",
        PageOperation::Logo => "image/*",
        PageOperation::Show(_) | PageOperation::Send(_) => "text/html",
    };
    let content = || json!({ kind: { "schema": { "type": "string" } } });
    let mut answer = |status: &str, told: &str, content: Option<Json>| {
        let mut answer = json!({ "description": told, "headers": headers(&["X-Request-Id", "Cache-Control"]) });
        if let Some(content) = content {
            answer["content"] = content;
        }
        responses.insert(status.into(), answer);
    };
    answer("200", if is_file { "The file." } else { "The page." }, Some(content()));
    if !is_file {
        answer("303", "Where the browser goes on: another page, or the application with a code.", None);
        for status in ["400", "403", "422", "429", "500", "503", "504", "507"] {
            answer(status, "The page says what is wrong.", Some(content()));
        }
    }
    add_problems(&mut responses, &[404]);
    add_problems(&mut responses, ANYWHERE);
    let sends = matches!(which, PageOperation::Send(_));
    add_problems(&mut responses, if sends { &[408, 413] } else { &[413] });
    if sends {
        let told = "The page says that this is no form of its own; or the body has a Content-Encoding.";
        responses.insert("415".into(), json!({ "description": told, "headers": headers(&["X-Request-Id"]) }));
    }
    // A page where a page was asked for; a problem where the request did not get that far.
    for (status, response) in &mut responses {
        if !is_file && matches!(status.as_str(), "415" | "500" | "503") {
            response["content"] = json!({
                "text/html": { "schema": { "type": "string" } },
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/problem" } },
            });
        }
    }
    let mut operation = json!({
        "tags": [TAG],
        "summary": summary,
        "description": "For browsers. There where `[auth.ui]` is enabled.",
        "security": [{}],
    });
    if sends {
        let about = "What makes the form one that the page gave to this browser.";
        let form = json!({ "schema": {
            "type": "object",
            "properties": { "form_token": { "type": "string", "description": about } },
        } });
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/x-www-form-urlencoded": form } });
    }
    if !is_file {
        let text = |name: &str, about: &str| json!({ "name": name, "in": "query", "required": false, "description": about, "schema": { "type": "string" } });
        operation["parameters"] = json!([
            text("redirect_to", "Where the browser goes on in the end, if that is allowed."),
            text("code_challenge", "PKCE (RFC 7636): the application gets a code for `token?grant_type=pkce`."),
            text("code_challenge_method", "`s256`."),
            text("state", "Given back to the application as it came."),
        ]);
    }
    operation["responses"] = Json::Object(sorted(responses));
    operation
}
