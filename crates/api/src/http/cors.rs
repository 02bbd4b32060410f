//! Cross-origin requests, by the Fetch standard. Origins are compared whole; nothing that was not configured is reflected.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

/// Which origins may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// `["*"]`: all, without credentials.
    Any,
    /// Exactly these, with credentials.
    Exact(Vec<HeaderValue>),
}

/// What a page may read besides the headers that it may always read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Cache-Status, Content-Range, Content-Location, ETag, Link, Location, Preference-Applied, Retry-After, Server-Timing, X-Request-Id, \
     X-Total-Count, X-Supabase-Api-Version, Idempotency-Replayed",
);

/// What a page may always send. Browsers do not read `*` as including `Authorization`.
const SENT: HeaderValue = HeaderValue::from_static(
    "accept, accept-profile, apikey, authorization, baggage, content-profile, content-type, idempotency-key, if-match, \
     if-none-match, prefer, range, range-unit, traceparent, tracestate, x-client-info, x-request-id, x-retry-count, \
     x-supabase-api-version",
);

/// Longest list of headers in a preflight that is read at all.
const REQUESTED_BYTES_MAX: usize = 1_024;

impl Origins {
    /// From `[server] cors_origins`.
    pub fn new(configured: &[String]) -> Origins {
        if configured.iter().any(|origin| origin == "*") {
            return Origins::Any;
        }
        Origins::Exact(configured.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// Adds what an answer says to a page of this request's origin.
    pub fn allow(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let origin = request.get(ORIGIN);
        match self {
            Origins::Any => {
                if origin.is_none() {
                    return;
                }
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Origins::Exact(known) => {
                // Said to everybody, also without an origin: a cache in between must keep the answers apart.
                answer.append(VARY, HeaderValue::from_static("Origin"));
                let Some(origin) = known.iter().find(|known| Some(*known) == origin) else { return };
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }

    /// Adds what the answer to a preflight says besides.
    pub fn preflight(&self, request: &HeaderMap, allow: &str, answer: &mut HeaderMap) {
        if !answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        if let Ok(methods) = HeaderValue::from_str(allow) {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        // Names of headers give no right to anything, so a page may send those that it says beside ours.
        let requested = request
            .get(ACCESS_CONTROL_REQUEST_HEADERS)
            .and_then(|value| value.to_str().ok())
            .filter(|names| !names.is_empty() && names.len() <= REQUESTED_BYTES_MAX)
            .and_then(|names| HeaderValue::from_str(&format!("{}, {names}", SENT.to_str().unwrap_or_default())).ok());
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.unwrap_or(SENT));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
}
