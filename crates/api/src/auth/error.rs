//! Failures of accounts as Supabase Auth answers them: its codes where clients read them (auth-js' `error-codes.ts`), with one
//! difference: a token that is not good is 401 and not 403, as RFC 6750 wants it.

use super::credentials::refusal;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value as Json, json};
use std::time::Duration;
use undergird_engine::Failure;
use undergird_engine::accounts::{
    AccountError, CaptchaError, FactorError, HookError, LinkError, PasskeyError, PasswordWeakness, ProviderError,
    Unidentified,
};
use undergird_engine::failure::Kind;
use undergird_plan::{FieldError, Refusal};

/// An answer that is a failure.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
    /// Of a weak password: `length`, `characters`, `pwned`.
    weakness: Option<&'static str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    /// For the log alone.
    pub(super) cause: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            status,
            code,
            message: message.into(),
            weakness: None,
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            cause: None,
        }
    }

    fn unprocessable(code: &'static str, message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn missing(name: &str) -> Problem {
        Problem::unprocessable("validation_failed", format!("{name} is missing"))
    }

    pub(super) fn wrong_type(name: &str, wanted: &str) -> Problem {
        Problem::unprocessable("validation_failed", format!("{name} must be {wanted}"))
    }

    pub(super) fn bad_json(why: &str) -> Problem {
        Problem::bad("bad_json", format!("Could not parse request body as JSON: {why}"))
    }

    pub(super) fn body_too_large(max: usize) -> Problem {
        let message = format!("The body is larger than {max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "validation_failed", message)
    }

    pub(super) fn phone_unavailable() -> Problem {
        Problem::bad("phone_provider_disabled", "Signing up and in by phone is not offered")
    }

    /// As clients know it.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// For people.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// An answer of an authenticator that is of no such form.
    pub(super) fn bad_credential() -> Problem {
        Problem::bad("webauthn_verification_failed", "Invalid credential response")
    }

    pub(super) fn factor_unavailable(code: &'static str, kind: &str) -> Problem {
        Problem::unprocessable(code, format!("Factors of type {kind} are not offered"))
    }

    pub(super) fn no_soft_delete() -> Problem {
        Problem::unprocessable(
            "validation_failed",
            "should_soft_delete is not offered: ban the user, or delete for good",
        )
    }

    pub(super) fn bad_query(name: &str, wanted: &str) -> Problem {
        Problem::bad("validation_failed", format!("{name} must be {wanted}"))
    }

    pub(super) fn unsupported_grant() -> Problem {
        // GoTrue's own code and text, odd as they are: clients know them.
        Problem::bad("invalid_credentials", "unsupported_grant_type")
    }

    pub(super) fn unknown_scope() -> Problem {
        Problem::bad("validation_failed", "scope must be global, local or others")
    }

    pub(super) fn unidentified(why: Unidentified) -> Problem {
        let told = refusal(why);
        let message = format!("{}: {}", told.message, told.hint);
        let problem = Problem::new(StatusCode::UNAUTHORIZED, told.auth_code, message);
        Problem { challenge: Some(told.challenge), ..problem }
    }

    /// What a factor means by passkeys that are not offered.
    pub(super) fn of_key(error: AccountError) -> Problem {
        match error {
            AccountError::Passkey(PasskeyError::Off) => {
                Problem::factor_unavailable("mfa_webauthn_enroll_not_enabled", "webauthn")
            }
            other => other.into(),
        }
    }

    /// What a change of an account means by a taken address.
    pub(super) fn of_update(error: AccountError) -> Problem {
        match error {
            AccountError::EmailTaken => {
                Problem::unprocessable("email_exists", "A user with this email address has already been registered")
            }
            other => other.into(),
        }
    }

    /// `newer`: the form of API version 2024-01-01.
    pub(super) fn body(&self, newer: bool) -> Json {
        let mut body = if newer {
            json!({ "code": self.code, "message": self.message })
        } else {
            json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.message })
        };
        if let Some(weakness) = self.weakness {
            body["weak_password"] = json!({ "reasons": [weakness] });
        }
        if !self.errors.is_empty() {
            let shown = |error: &FieldError| {
                json!({
                    "pointer": format!("/data{}", error.pointer), "code": error.code, "message": error.message,
                    "nearest": error.nearest,
                })
            };
            body["errors"] = self.errors.iter().map(shown).collect();
        }
        body
    }

    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Problem {
        match error {
            AccountError::InvalidCredentials => Problem::bad("invalid_credentials", "Invalid login credentials"),
            AccountError::EmailTaken => Problem::unprocessable("user_already_exists", "User already registered"),
            AccountError::InvalidEmail => {
                Problem::unprocessable("validation_failed", "Unable to validate email address: invalid format")
            }
            AccountError::SignUpClosed => {
                Problem::unprocessable("signup_disabled", "Signups not allowed for this instance")
            }
            AccountError::EmailNotConfirmed => Problem::bad("email_not_confirmed", "Email not confirmed"),
            AccountError::Banned => Problem::bad("user_banned", "User is banned"),
            AccountError::WeakPassword(weakness) => weak(weakness),
            AccountError::SamePassword => {
                Problem::unprocessable("same_password", "New password should be different from the old password.")
            }
            AccountError::InvalidData(errors) => {
                let each = |error: &FieldError| format!("{}: {}", error.pointer.trim_start_matches('/'), error.message);
                let message = errors.iter().map(each).collect::<Vec<_>>().join("; ");
                Problem { errors, ..Problem::unprocessable("validation_failed", message) }
            }
            AccountError::DataTooLarge { max } => Problem::unprocessable(
                "validation_failed",
                format!("data is longer than {max} bytes; it travels in every token"),
            ),
            AccountError::NotAUser => {
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "no_authorization", "This needs a user's token");
                Problem { challenge: Some("Bearer"), ..problem }
            }
            AccountError::AccountMissing => {
                Problem::new(StatusCode::UNAUTHORIZED, "user_not_found", "User from sub claim in JWT does not exist")
            }
            AccountError::SessionMissing => Problem::new(
                StatusCode::UNAUTHORIZED,
                "session_not_found",
                "Session from session_id claim in JWT does not exist",
            ),
            AccountError::SessionExpired => Problem::bad("session_expired", "Invalid Refresh Token: Session Expired"),
            AccountError::RefreshTokenUnknown => {
                Problem::bad("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
            }
            AccountError::RefreshTokenUsed => {
                Problem::bad("refresh_token_already_used", "Invalid Refresh Token: Already Used")
            }
            AccountError::ReauthenticationNeeded => Problem::bad(
                "reauthentication_needed",
                "A change of email or password needs current_password, a sign-in in the last quarter of an hour, or the nonce of a reauthentication",
            ),
            AccountError::SessionUnknown => {
                Problem::new(StatusCode::NOT_FOUND, "session_not_found", "There is no such session")
            }
            AccountError::UserUnknown => Problem::new(StatusCode::NOT_FOUND, "user_not_found", "User not found"),
            AccountError::Factor(error) => factor(error),
            AccountError::Passkey(error) => passkey(error),
            AccountError::NotAdmin => Problem::new(StatusCode::FORBIDDEN, "not_admin", "User not allowed"),
            AccountError::IdTaken => {
                Problem::unprocessable("user_already_exists", "A user with this id exists already")
            }
            AccountError::InvalidSetting(name, why) => {
                Problem::unprocessable("validation_failed", format!("{name} {why}"))
            }
            AccountError::Link(error) => error.into(),
            AccountError::Hook(error) => hook(error),
            AccountError::Captcha(error) => captcha(error),
            AccountError::Provider(error) => provider(error),
            AccountError::TooManyAttempts { retry_after } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                let problem = Problem::new(status, "over_request_rate_limit", "Request rate limit reached");
                Problem { retry_after: Some(retry_after), ..problem }
            }
            AccountError::Failed(failure) => failed(failure),
        }
    }
}

/// As Supabase Auth names them; 403 where a better session would do.
fn factor(error: FactorError) -> Problem {
    let unprocessable = Problem::unprocessable;
    match error {
        FactorError::Missing => Problem::new(StatusCode::NOT_FOUND, "mfa_factor_not_found", "Factor not found"),
        FactorError::NameTaken => {
            unprocessable("mfa_factor_name_conflict", "A factor with this friendly name exists already")
        }
        FactorError::NameTooLong => unprocessable("validation_failed", "friendly_name is longer than 64 characters"),
        FactorError::TooMany => unprocessable("too_many_enrolled_mfa_factors", "Remove a factor to enroll another"),
        FactorError::AssuranceNeeded => Problem::new(
            StatusCode::FORBIDDEN,
            "insufficient_aal",
            "This needs a session of level aal2: verify a second factor first",
        ),
        FactorError::ChallengeExpired => {
            unprocessable("mfa_challenge_expired", "The challenge has expired or was used; make a new one")
        }
        FactorError::CodeWrong => unprocessable("mfa_verification_failed", "Invalid code entered, or one used before"),
        FactorError::CodesExist => {
            unprocessable("mfa_verified_factor_exists", "There are recovery codes already; regenerate replaces them")
        }
        FactorError::CodesAlone => unprocessable(
            "mfa_recovery_codes_sole_factor",
            "Recovery codes need a verified factor that they stand in for",
        ),
    }
}

/// As Supabase Auth names them.
fn passkey(error: PasskeyError) -> Problem {
    let (bad, unprocessable) = (Problem::bad, Problem::unprocessable);
    match error {
        PasskeyError::Off => Problem::new(StatusCode::NOT_FOUND, "passkey_disabled", "Passkeys are disabled"),
        PasskeyError::ChallengeExpired => bad("webauthn_challenge_expired", "Challenge has expired"),
        PasskeyError::ChallengeUsed => bad("webauthn_challenge_not_found", "Challenge not found or already used"),
        PasskeyError::Rejected => bad("webauthn_verification_failed", "Credential verification failed"),
        PasskeyError::Exists => unprocessable("webauthn_credential_exists", "This credential is already registered"),
        PasskeyError::TooMany => unprocessable("too_many_passkeys", "Remove a passkey to register another"),
        PasskeyError::Missing => {
            Problem::new(StatusCode::NOT_FOUND, "webauthn_credential_not_found", "Passkey not found")
        }
        PasskeyError::BadName => unprocessable("validation_failed", "friendly_name must have 1 to 120 characters"),
        PasskeyError::Anonymous => Problem::new(
            StatusCode::FORBIDDEN,
            "no_authorization",
            "Anonymous user not allowed to perform these actions",
        ),
    }
}

/// Somebody else does not work, which is not the client's mistake.
fn outage(code: &'static str, message: &str, cause: Option<String>) -> Problem {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
    Problem { retry_after: Some(Duration::from_secs(5)), cause, ..problem }
}

fn captcha(error: CaptchaError) -> Problem {
    let refused = |why: &str| Problem::bad("captcha_failed", format!("captcha protection: request disallowed ({why})"));
    match error {
        CaptchaError::Missing | CaptchaError::Failed(_) => refused(&error.to_string()),
        CaptchaError::Busy => outage("request_timeout", "Too many captchas are being verified; try again", None),
        CaptchaError::Broken(why) => outage("unexpected_failure", "captcha verification process failed", Some(why)),
    }
}

/// As Supabase Auth names them, where it has a name. A hook that does not work is an outage and not the client's mistake: 503, so that
/// clients keep their session and try again.
fn hook(error: HookError) -> Problem {
    match error {
        HookError::Refused { status, message } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
            Problem::new(status, "hook_refused", message)
        }
        HookError::TimedOut => outage("hook_timeout", "Failed to reach hook within maximum time of 5 seconds", None),
        HookError::TooLong => {
            outage("hook_payload_over_size_limit", "Payload size of a hook's answer exceeded its limit", None)
        }
        HookError::Busy => outage("request_timeout", "Too many hooks are being asked; try again", None),
        HookError::Broken(why) => outage("unexpected_failure", "A hook failed; nothing was done", Some(why)),
    }
}

/// As Supabase Auth names them, where it has a name.
fn provider(error: ProviderError) -> Problem {
    let (bad, unprocessable) = (Problem::bad, Problem::unprocessable);
    match error {
        ProviderError::NotEnabled => bad("validation_failed", "Unsupported provider: provider is not enabled"),
        ProviderError::NoIdTokens => bad("oauth_provider_not_supported", "This provider gives no ID tokens"),
        ProviderError::StateMissing => bad("bad_oauth_callback", "OAuth state parameter missing"),
        ProviderError::StateUnknown => bad(
            "bad_oauth_state",
            "OAuth callback with invalid state: it was used, is older than ten minutes, or is another browser's",
        ),
        ProviderError::WrongIssuer => bad("bad_oauth_callback", "OAuth callback from another provider than was asked"),
        ProviderError::Refused(_) => bad("bad_oauth_callback", "The provider refused to sign in"),
        ProviderError::Unreachable(why) => {
            let told = "The provider could not be asked, or gave an answer that makes no sense; try again";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unexpected_failure", told);
            Problem { retry_after: Some(Duration::from_secs(5)), cause: Some(why), ..problem }
        }
        ProviderError::BadToken(why) => Problem::bad("invalid_credentials", format!("Bad ID token: {why}")),
        ProviderError::AddressUnverified => unprocessable(
            "provider_email_needs_verification",
            "The provider tells no email that it has verified, and an account begins or is found by nothing else",
        ),
        ProviderError::TakenByAnother => {
            unprocessable("identity_already_exists", "Identity is already linked to another user")
        }
        ProviderError::LinkedAlready => unprocessable("identity_already_exists", "Identity is already linked"),
        ProviderError::AddressTaken => {
            unprocessable("email_exists", "A user with this email address has already been registered")
        }
        ProviderError::IdentityUnknown => {
            Problem::new(StatusCode::NOT_FOUND, "identity_not_found", "Identity not found")
        }
        ProviderError::LastIdentity => {
            unprocessable("single_identity_not_deletable", "User must have at least 1 identity after unlinking")
        }
        ProviderError::LinkNeedsPkce => {
            bad("validation_failed", "Linking an identity needs PKCE: createClient(…, { auth: { flowType: 'pkce' } })")
        }
        ProviderError::TooMany => unprocessable("too_many_identities", "Unlink an identity to link another"),
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Problem {
        match error {
            LinkError::Expired => Problem::new(StatusCode::FORBIDDEN, "otp_expired", "Token has expired or is invalid"),
            LinkError::OtherAddress => Problem::unprocessable(
                "validation_failed",
                "The other address has to confirm the change as well; nobody is signed in until then",
            ),
            LinkError::CodeUnknown => Problem::new(
                StatusCode::NOT_FOUND,
                "flow_state_not_found",
                "The auth code is wrong, was used, or is older than five minutes",
            ),
            LinkError::WrongVerifier => {
                Problem::bad("bad_code_verifier", "code challenge does not match previously saved code verifier")
            }
            LinkError::BadChallenge => Problem::unprocessable(
                "validation_failed",
                "code_challenge must be the base64url of a SHA-256, with code_challenge_method s256",
            ),
            LinkError::NotAllowed => Problem::bad("validation_failed", "redirect_to is not an allowed URL"),
            LinkError::MailUnavailable => Problem::unprocessable(
                "email_provider_disabled",
                "This needs mail, and the server has no mail server: set [mail] host",
            ),
            LinkError::TooManyMails { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                let message = format!("For security purposes, you can only request this after {seconds} seconds.");
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "over_email_send_rate_limit", message);
                Problem { retry_after: Some(retry_after), ..problem }
            }
            LinkError::NonceInvalid => {
                Problem::unprocessable("reauthentication_not_valid", "Nonce has expired or is invalid")
            }
            LinkError::AnonymousOff => {
                Problem::unprocessable("anonymous_provider_disabled", "Anonymous sign-ins are disabled")
            }
            LinkError::SecretKeyNeeded => {
                Problem::new(StatusCode::FORBIDDEN, "not_admin", "Only the secret key may do this")
            }
            LinkError::UserUnknown => {
                Problem::new(StatusCode::NOT_FOUND, "user_not_found", "User with this email not found")
            }
            LinkError::NeedsAddress => {
                Problem::unprocessable("validation_failed", "This needs an account with an email")
            }
            LinkError::NoSuchLink => Problem::unprocessable("validation_failed", "There is no link of this type"),
        }
    }
}

fn weak(weakness: PasswordWeakness) -> Problem {
    let (reason, message) = match weakness {
        PasswordWeakness::TooShort { min } => ("length", format!("Password should be at least {min} characters.")),
        PasswordWeakness::TooLong { max } => ("length", format!("Password should be at most {max} characters.")),
        PasswordWeakness::Common => {
            ("pwned", "Password is known to be weak and easy to guess, please choose a different one.".into())
        }
    };
    Problem { weakness: Some(reason), ..Problem::unprocessable("weak_password", message) }
}

fn failed(failure: Failure) -> Problem {
    let later = |status: StatusCode, message: &str| Problem {
        retry_after: Some(Duration::from_secs(1)),
        ..Problem::new(status, "request_timeout", message)
    };
    match failure {
        Failure::Refused(Refusal::Invalid { errors }) => AccountError::InvalidData(errors).into(),
        Failure::Refused(Refusal::CheckFailed { message, .. }) => Problem::unprocessable("validation_failed", message),
        Failure::Constraint(constraint) if constraint.kind == Kind::Unique => {
            let taken = constraint.fields.join(", ");
            Problem::new(StatusCode::CONFLICT, "conflict", format!("Already taken: {taken}"))
        }
        Failure::Constraint(constraint) => {
            let message = constraint
                .message
                .unwrap_or_else(|| format!("The profile does not fit: {}", constraint.fields.join(", ")));
            Problem::unprocessable("validation_failed", message)
        }
        Failure::Conflict => later(StatusCode::SERVICE_UNAVAILABLE, "Too many changes at once; try again"),
        Failure::Overloaded => later(StatusCode::SERVICE_UNAVAILABLE, "Too much is waiting; try again"),
        Failure::Held => later(StatusCode::SERVICE_UNAVAILABLE, "Writes are paused while the data moves; try again"),
        Failure::Unavailable => later(StatusCode::SERVICE_UNAVAILABLE, "The database is not available; try again"),
        Failure::Deadline | Failure::Cancelled => later(StatusCode::GATEWAY_TIMEOUT, "It took too long; try again"),
        Failure::StorageFull => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "unexpected_failure", "Storage is full"),
        other => {
            let told =
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", "Something went wrong here");
            Problem { cause: Some(format!("{other:?}")), ..told }
        }
    }
}
