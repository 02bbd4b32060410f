//! What can be wrong before or around a handler: one table of status, code, title, message and hint.
//!
//! Faults of a request's meaning (refusals, constraints) are the surfaces' own.

use super::answer::{Answer, PROBLEM};
use super::request_id::RequestId;
use crate::auth::refusal;
use http::header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use undergird_engine::accounts::Unidentified;

/// What is wrong with a request as a message, or with the server as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The target is longer than `limits.url_bytes`.
    UrlTooLong {
        /// The limit.
        max: u32,
    },
    /// Credentials that are not good.
    Unidentified(Unidentified),
    /// The body is longer than `limits.body_bytes`.
    BodyTooLarge {
        /// The limit.
        max: u64,
    },
    /// The body came too slowly.
    BodyTooSlow,
    /// The body broke off.
    BodyBroken,
    /// `Content-Encoding` of a request.
    EncodedBody,
    /// No operation at this path.
    NotFound,
    /// No such collection.
    UnknownCollection {
        /// As written.
        name: String,
        /// The nearest that is there.
        nearest: Option<String>,
    },
    /// The path has operations, but none of this method.
    MethodNotAllowed {
        /// Those that are.
        allow: String,
    },
    /// Only a secret key may.
    SecretKeyNeeded {
        /// Whether somebody is signed in.
        authenticated: bool,
    },
    /// It took longer than `limits.request_seconds`.
    Timeout,
    /// More requests are under way than the server takes.
    Overloaded,
    /// The server is going down.
    Draining,
    /// The store does not answer.
    NotReady,
    /// The definition has it, this build does not serve it yet.
    NotImplemented,
    /// A bug. The log has the rest, by the request's id.
    Internal,
}

/// What every fault says.
struct Words {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Fault {
    fn words(&self) -> Words {
        let (status, code, message, hint): (_, _, String, Option<&str>) = match self {
            Fault::UrlTooLong { max } => (
                StatusCode::URI_TOO_LONG,
                "url-too-long",
                format!("The URL is longer than {max} bytes."),
                Some("Send long lists in several requests, or raise [limits] url_bytes."),
            ),
            Fault::Unidentified(why) => {
                let refusal = refusal(*why);
                (StatusCode::UNAUTHORIZED, refusal.code, refusal.message.into(), Some(refusal.hint))
            }
            Fault::BodyTooLarge { max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                format!("The body is longer than {max} bytes."),
                Some("Send it in several requests, or raise [limits] body_bytes."),
            ),
            Fault::BodyTooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body came too slowly.".into(), None)
            }
            Fault::BodyBroken => (StatusCode::BAD_REQUEST, "body-broken", "The body broke off.".into(), None),
            Fault::EncodedBody => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "encoded-body",
                "Compressed request bodies are not accepted.".into(),
                Some("Send the body without Content-Encoding."),
            ),
            Fault::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "There is nothing at this path.".into(),
                Some("Rows are at /rest/v1/{collection}; /openapi.json lists everything."),
            ),
            Fault::UnknownCollection { name, nearest } => {
                return Words {
                    status: StatusCode::NOT_FOUND,
                    code: "PGRST205",
                    message: format!("There is no collection \"{}\".", shortened(name)),
                    hint: nearest.as_ref().map(|nearest| format!("Did you mean \"{nearest}\"?")),
                };
            }
            Fault::MethodNotAllowed { allow } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", format!("This path takes {allow}."), None)
            }
            Fault::SecretKeyNeeded { authenticated } => (
                if *authenticated { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED },
                "secret-key-needed",
                "This is for holders of a secret key.".into(),
                Some("Send it as \"Authorization: Bearer …\"; `undergird keys` prints it."),
            ),
            Fault::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "The request took too long and was stopped.".into(),
                Some("Ask for less, or raise [limits] request_seconds."),
            ),
            Fault::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded; try again.".into(), None)
            }
            Fault::Draining => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining", "The server is going down; try again.".into(), None)
            }
            Fault::NotReady => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The database does not answer.".into(), None)
            }
            Fault::NotImplemented => {
                (StatusCode::NOT_IMPLEMENTED, "not-implemented", "This build does not serve this yet.".into(), None)
            }
            Fault::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong inside the server.".into(),
                Some("The server's log has the cause under this request_id."),
            ),
        };
        Words { status, code, message, hint: hint.map(str::to_owned) }
    }

    /// As an RFC 9457 problem, with the members that PostgREST's clients read.
    pub fn answer(&self, id: &RequestId) -> Answer {
        let Words { status, code, message, hint } = self.words();
        let body = json!({
            "type": format!("urn:undergird:problem:{code}"),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "code": code,
            "message": message,
            "details": null,
            "hint": hint,
            "request_id": id.as_str(),
        });
        let mut answer = Answer::new(status, PROBLEM, body.to_string());
        match self {
            Fault::MethodNotAllowed { allow } => answer = answer.with_allow(allow),
            Fault::Overloaded | Fault::NotReady | Fault::Draining => {
                answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110 §12.5.3: what would have been accepted.
            Fault::EncodedBody => {
                answer.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Fault::Unidentified(why) => {
                let challenge = HeaderValue::from_static(refusal(*why).challenge);
                answer.headers.insert(http::header::WWW_AUTHENTICATE, challenge);
            }
            Fault::SecretKeyNeeded { authenticated: false } => {
                answer.headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if self.leaves_body_unread() {
            answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Whether the rest of the request is still on its way when this is answered, so that the connection cannot be used again.
    pub fn leaves_body_unread(&self) -> bool {
        matches!(self, Fault::BodyTooLarge { .. } | Fault::BodyTooSlow | Fault::BodyBroken | Fault::EncodedBody)
    }
}

/// What a client wrote, short enough to be repeated to it.
fn shortened(text: &str) -> String {
    text.chars().take(63).collect()
}
