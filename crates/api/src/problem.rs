//! What went wrong, as `application/problem+json` (RFC 9457) with the members that PostgREST's clients read: `code`, `message`, `details`,
//! `hint`. One table of codes; every refusal and failure becomes a [`Problem`] here and nowhere else.
//!
//! Deliberately absent: the text for the log. What is told here is for the caller, who may be a stranger.

mod codes;
mod from;
mod raised;
#[cfg(test)]
mod tests;

pub use codes::{CODES, Code};

use undergird_model::field_type::wire;

/// The `Content-Type` of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Something that went wrong, told to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// One of [`CODES`].
    pub code: &'static str,
    /// The SQLSTATE that a function of the database chose, told as the code in place of ours, which still says what kind it is.
    pub state: Option<Box<str>>,
    /// One sentence.
    pub message: String,
    /// More about it.
    pub details: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What is wrong where in the body.
    pub errors: Vec<ProblemError>,
    /// Seconds for `Retry-After`, when trying again may help.
    pub retry_after: Option<u16>,
    /// For the log alone: what really happened, under the answer's id. Never on the wire.
    pub cause: Option<Box<str>>,
}

/// One mistake in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemError {
    /// RFC 6901 JSON pointer into the body.
    pub pointer: String,
    /// `unknown`, `required`, `readonly`, `immutable`, `type`, `min`, `max`, `pattern`, `values`, `schema`, `check`, `unique`, `forbidden`, `batch`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

impl Problem {
    /// A problem with nothing more to say. `code` is one of [`CODES`].
    pub fn new(code: &'static str, status: u16, message: impl Into<String>) -> Problem {
        Problem {
            status,
            code,
            state: None,
            message: message.into(),
            details: None,
            hint: None,
            errors: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// The same with details.
    pub fn with_details(mut self, details: impl Into<String>) -> Problem {
        self.details = Some(details.into());
        self
    }

    /// The same with advice.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a place in the body.
    pub fn with_error(mut self, pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Problem {
        self.errors.push(ProblemError { pointer: pointer.into(), code, message: message.into() });
        self
    }

    /// The same, worth another try after this many seconds.
    pub fn retry_after(mut self, seconds: u16) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// No row has this key, or none that the caller may see: the two answers are the same.
    pub fn no_row(collection: &str) -> Problem {
        Problem::new("UG404", 404, format!("No row of {collection} has this key"))
    }

    /// Nothing is at this path.
    pub fn no_route() -> Problem {
        Problem::new("PGRST125", 404, "Invalid path specified in request URL")
    }

    /// The method does not go with the path.
    pub fn method_not_allowed(method: &str) -> Problem {
        let method: String = method.chars().take(32).collect();
        Problem::new("PGRST117", 405, format!("Unsupported HTTP method: {method}"))
    }

    /// The token or key that came with the request is not good.
    pub fn bad_credentials(message: impl Into<String>) -> Problem {
        Problem::new("PGRST301", 401, message)
    }

    /// Too many requests.
    pub fn rate_limited(seconds: u16) -> Problem {
        Problem::new("UG429", 429, "Too many requests").retry_after(seconds)
    }

    /// A bug, or a broken database. What happened is in the log, under the request's id.
    pub fn internal() -> Problem {
        Problem::new("XX000", 500, "Something went wrong on the server")
            .with_hint("The server's log has the reason under this request_id.")
    }

    /// What the code means in general.
    pub fn title(&self) -> &'static str {
        CODES.iter().find(|code| code.code == self.code).map_or("Error", |code| code.title)
    }

    /// Appends the body.
    pub fn write(&self, request_id: &str, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>, name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            wire::write_json_string(out, value);
        };
        let optional = |out: &mut Vec<u8>, name: &str, value: &Option<String>| match value {
            Some(value) => text(out, name, value),
            None => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"null");
            }
        };
        // A name that identifies, not a page that could move.
        text(out, "{\"type\":", &format!("urn:undergird:problem:{}", self.code));
        text(out, ",\"title\":", self.title());
        out.extend_from_slice(b",\"status\":");
        wire::write_int(out, self.status.into());
        text(out, ",\"request_id\":", request_id);
        text(out, ",\"code\":", self.state.as_deref().unwrap_or(self.code));
        text(out, ",\"message\":", &self.message);
        optional(out, ",\"details\":", &self.details);
        optional(out, ",\"hint\":", &self.hint);
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":[");
            for (position, error) in self.errors.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                text(out, "{\"pointer\":", &error.pointer);
                text(out, ",\"code\":", error.code);
                text(out, ",\"message\":", &error.message);
                out.push(b'}');
            }
            out.push(b']');
        }
        out.push(b'}');
    }
}
