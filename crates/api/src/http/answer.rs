//! What a handler gives back. Headers that every answer has (security, CORS, request id) are the pipeline's, unless the handler
//! says its own.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// JSON, as nearly every answer is.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// RFC 9457 problems.
pub const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Status, headers and body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// What this answer says beyond what every answer says.
    pub headers: HeaderMap,
    /// The whole body. Answers are bounded, so they are never streamed.
    pub body: Bytes,
}

/// Room for the pipeline's own headers, so that they cost no second allocation.
const HEADERS_EXPECTED: usize = 20;

impl Answer {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Answer {
        Answer { status, headers: HeaderMap::with_capacity(HEADERS_EXPECTED), body: Bytes::new() }
    }

    /// An answer with a body of a type.
    pub fn new(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
        let mut answer = Answer::empty(status);
        answer.headers.insert(CONTENT_TYPE, content_type);
        answer.body = body.into();
        answer
    }

    /// A JSON answer.
    pub fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
        Answer::new(status, JSON, body.to_string())
    }

    /// The same with a header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.insert(name, value);
        self
    }

    /// The same with `Allow`. Methods come from [`undergird_model::Operation`]s, so they are plain ASCII.
    pub fn with_allow(mut self, methods: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(methods) {
            self.headers.insert(ALLOW, value);
        }
        self
    }
}
