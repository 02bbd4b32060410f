//! What can be wrong before or around a handler. Each becomes a [`Problem`], whose table of codes is the only one.
//!
//! Faults of a request's meaning (refusals, constraints) are the surfaces' own: they come as problems already.

use super::answer::{Answer, PROBLEM};
use super::request_id::RequestId;
use crate::auth::refusal;
use crate::problem::Problem;
use http::header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use undergird_engine::accounts::Unidentified;
use undergird_plan::Refusal;

/// What is wrong with a request as a message, or with the server as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The target is longer than `limits.url_bytes`.
    UrlTooLong {
        /// The limit.
        max: u32,
    },
    /// A surface's own problem.
    Problem(Box<Problem>),
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
    /// A bug. The log has the rest, by the request's id.
    Internal,
}

impl Fault {
    /// As it is told: one table of codes for all surfaces.
    fn problem(&self) -> Problem {
        match self {
            Fault::Problem(problem) => (**problem).clone(),
            Fault::UrlTooLong { max } => Problem::new("UG414", 414, format!("The URL is longer than {max} bytes"))
                .with_hint("Send long lists in several requests, or raise [limits] url_bytes."),
            Fault::Unidentified(why) => {
                let refusal = refusal(*why);
                Problem::new(refusal.code, 401, refusal.message).with_hint(refusal.hint)
            }
            Fault::BodyTooLarge { max } => Problem::new("UG413", 413, format!("The body is longer than {max} bytes"))
                .with_hint("Send it in several requests, or raise [limits] body_bytes."),
            Fault::BodyTooSlow => Problem::new("UG408", 408, "The body came too slowly"),
            Fault::BodyBroken => Problem::new("PGRST102", 400, "The body broke off"),
            Fault::EncodedBody => Problem::new("UG415", 415, "Compressed request bodies are not accepted")
                .with_hint("Send the body without Content-Encoding."),
            Fault::NotFound => {
                Problem::no_route().with_hint("Rows are at /rest/v1/{collection}; /openapi.json lists everything.")
            }
            Fault::UnknownCollection { name, nearest } => {
                Refusal::UnknownCollection { name: shortened(name), nearest: nearest.clone() }.into()
            }
            Fault::MethodNotAllowed { allow } => Problem::new("PGRST117", 405, "The method is not served here")
                .with_hint(format!("This path takes {allow}.")),
            Fault::SecretKeyNeeded { authenticated } => {
                let status = if *authenticated { 403 } else { 401 };
                Problem::new("42501", status, "This is for holders of a secret key")
                    .with_hint("Send it as \"Authorization: Bearer …\"; `undergird keys` prints it.")
            }
            Fault::Timeout => Problem::new("UG504", 504, "The request took too long and was stopped")
                .with_hint("Ask for less, or raise [limits] request_seconds."),
            Fault::Overloaded => Problem::new("UG503", 503, "The server has too much to do").retry_after(1),
            Fault::Draining => Problem::new("UG503", 503, "The server is going down; try again").retry_after(1),
            Fault::NotReady => Problem::new("08006", 503, "The database does not answer").retry_after(1),
            Fault::Internal => Problem::internal(),
        }
    }

    /// As an RFC 9457 problem, with the members that PostgREST's clients read.
    pub fn answer(&self, id: &RequestId) -> Answer {
        let mut answer = problem_answer(&self.problem(), id);
        match self {
            Fault::MethodNotAllowed { allow } => answer = answer.with_allow(allow),
            // RFC 9110 §12.5.3: what would have been accepted.
            Fault::EncodedBody => {
                answer.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Fault::Unidentified(why) => {
                let challenge = HeaderValue::from_static(refusal(*why).challenge);
                answer.headers.insert(http::header::WWW_AUTHENTICATE, challenge);
            }
            _ => {}
        }
        if self.leaves_body_unread() {
            answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// What really happened, for the log alone.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Fault::Problem(problem) => problem.cause.as_deref(),
            _ => None,
        }
    }

    /// Whether the rest of the request is still on its way when this is answered, so that the connection cannot be used again.
    pub fn leaves_body_unread(&self) -> bool {
        matches!(self, Fault::BodyTooLarge { .. } | Fault::BodyTooSlow | Fault::BodyBroken | Fault::EncodedBody)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault::Problem(Box::new(problem))
    }
}

fn problem_answer(problem: &Problem, id: &RequestId) -> Answer {
    let mut body = Vec::with_capacity(512);
    problem.write(id.as_str(), &mut body);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Answer::new(status, PROBLEM, body);
    if let Some(seconds) = problem.retry_after {
        answer.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 §15.5.2: a 401 says how to do better.
        answer.headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// What a client wrote, short enough to be repeated to it.
fn shortened(text: &str) -> String {
    text.chars().take(63).collect()
}
