//! Headers → [`Credentials`], and what a client is told when they are not good. Used by every surface, not by `/auth/v1` alone.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use undergird_engine::accounts::{Credentials, Unidentified};

const APIKEY: HeaderName = HeaderName::from_static("apikey");

/// The credentials among the headers.
///
/// # Errors
/// [`Unidentified::Malformed`] for a header that is there twice: which of the two would count is a question for an attacker.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials<'_>, Unidentified> {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(value.as_bytes())),
            (Some(_), Some(_)) => Err(Unidentified::Malformed),
        }
    };
    Ok(Credentials { apikey: one(&APIKEY)?, authorization: one(&AUTHORIZATION)? })
}

/// What a client is told, with status 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireRefusal {
    /// As PostgREST names it: `PGRST301` cannot be verified, `PGRST303` verified but not good (any more).
    pub code: &'static str,
    /// As Supabase Auth names it.
    pub auth_code: &'static str,
    /// One sentence.
    pub message: &'static str,
    /// What to do.
    pub hint: &'static str,
    /// The value of `WWW-Authenticate` (RFC 6750 §3).
    pub challenge: &'static str,
}

macro_rules! refusal {
    ($code:literal, $auth:literal, $error:literal, $message:literal, $hint:literal) => {
        WireRefusal {
            code: $code,
            auth_code: $auth,
            message: $message,
            hint: $hint,
            challenge: concat!("Bearer error=\"", $error, "\", error_description=\"", $message, "\""),
        }
    };
}

/// What a client is told about credentials that are not good.
pub fn refusal(why: Unidentified) -> WireRefusal {
    match why {
        Unidentified::Malformed => refusal!(
            "PGRST301",
            "no_authorization",
            "invalid_request",
            "Malformed credentials",
            "Send one `apikey` header with a key, and one `Authorization` header of the form `Bearer <token or key>`."
        ),
        Unidentified::UnknownKey => refusal!(
            "PGRST301",
            "no_authorization",
            "invalid_token",
            "Unknown API key",
            "`undergird keys` prints the keys of this application; a mistyped key is never a visitor."
        ),
        Unidentified::MalformedToken => refusal!(
            "PGRST301",
            "bad_jwt",
            "invalid_token",
            "Not a token of this server",
            "Send the `access_token` of a session, as /auth/v1/token gives it."
        ),
        Unidentified::BadSignature => refusal!(
            "PGRST301",
            "bad_jwt",
            "invalid_token",
            "JWT signature does not hold",
            "The token is from another server or its key was retired long ago: sign in again."
        ),
        Unidentified::WrongClaims => refusal!(
            "PGRST303",
            "bad_jwt",
            "invalid_token",
            "JWT claims are not for this server",
            "The token is for another address or audience: sign in here."
        ),
        Unidentified::TooEarly => refusal!(
            "PGRST303",
            "bad_jwt",
            "invalid_token",
            "JWT not yet valid",
            "The clocks of two servers differ by more than half a minute."
        ),
        Unidentified::Expired => refusal!(
            "PGRST303",
            "bad_jwt",
            "invalid_token",
            "JWT expired",
            "Refresh the session with its refresh token."
        ),
        Unidentified::SessionEnded => refusal!(
            "PGRST303",
            "session_not_found",
            "invalid_token",
            "Session ended",
            "Somebody signed out, or password or roles changed: refresh the session, or sign in again."
        ),
    }
}
