//! The part of the port that is about telling people from programs.
//!
//! Deliberately absent: who is asked and how (`auth::captcha`).

use std::fmt;

/// Why somebody is not known to be a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptchaError {
    /// There is no solution in the request.
    Missing,
    /// It is none, or was used, or ran out: the provider's own codes.
    Failed(Vec<String>),
    /// Too many are being verified at once.
    Busy,
    /// The provider was not reached, or its answer makes no sense: a sentence for the log.
    Broken(String),
}

impl fmt::Display for CaptchaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptchaError::Missing => f.write_str("no captcha_token found in request"),
            CaptchaError::Failed(codes) => f.write_str(&codes.join(", ")),
            CaptchaError::Busy => f.write_str("too many solutions are being verified"),
            CaptchaError::Broken(why) => write!(f, "a solution could not be verified: {why}"),
        }
    }
}
