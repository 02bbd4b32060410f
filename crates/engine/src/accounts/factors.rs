//! The part of the port that is about second factors: one-time passwords of an authenticator app (TOTP, RFC 6238) and recovery codes.
//!
//! Deliberately absent: wire forms (`api::auth`), and how codes are made and checked (`auth`).

use super::{AccountError, KeyChallenge, Secret, Session, Visit};
use futures_util::future::BoxFuture;
use undergird_plan::Caller;
use uuid::Uuid;

/// What can be asked about second factors. All of it is about the caller's own.
pub trait Factors: Send + Sync + 'static {
    /// A new factor, not in use until a first code of it was verified.
    fn enroll_factor<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        request: EnrollFactor,
    ) -> BoxFuture<'a, Result<EnrolledFactor, AccountError>>;

    /// Leave to verify a code of a factor, for a short while.
    fn challenge_factor<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        factor: Uuid,
    ) -> BoxFuture<'a, Result<FactorChallenge, AccountError>>;

    /// A code against a challenge. Right: the caller's session is replaced by one of level `aal2`, and the factor is in use from now on.
    fn verify_factor<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        factor: Uuid,
        challenge: Uuid,
        code: Secret,
    ) -> BoxFuture<'a, Result<Session, AccountError>>;

    /// Removes a factor; one in use only at level `aal2`.
    fn remove_factor<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        factor: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// How many recovery codes are left.
    fn recovery_codes<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<RecoveryStatus, AccountError>>;

    /// Fresh recovery codes, told this once; `again` when they replace others.
    fn make_recovery_codes<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        request: MakeRecoveryCodes,
    ) -> BoxFuture<'a, Result<RecoveryCodes, AccountError>>;

    /// A recovery code in place of a factor's; it is used up. Otherwise as [`Factors::verify_factor`].
    fn verify_recovery_code<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        code: Secret,
    ) -> BoxFuture<'a, Result<Session, AccountError>>;

    /// Removes the recovery codes; the id of what held them.
    fn remove_recovery_codes<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Result<Uuid, AccountError>>;
}

/// A factor to be.
#[derive(Clone, Debug, Default)]
pub struct EnrollFactor {
    /// What its owner calls it; one name, one factor.
    pub name: Option<String>,
    /// Who asks for the code, as the authenticator app shows it; the application's name when absent.
    pub issuer: Option<String>,
    /// Proof when the sign-in is not recent.
    pub current_password: Option<Secret>,
}

/// A factor that waits for its first code. The secret is told this once.
#[derive(Clone, Debug)]
pub struct EnrolledFactor {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: Option<String>,
    /// In base32, for people who type.
    pub secret: Secret,
    /// `otpauth://totp/…`, for apps.
    pub uri: Secret,
    /// The same as a QR code: an SVG document that may stand in a `data:` URL as it is.
    pub qr: Secret,
}

/// Leave to verify a code.
#[derive(Clone, Debug)]
pub struct FactorChallenge {
    /// Its id.
    pub id: Uuid,
    /// Seconds since 1970.
    pub expires_at: i64,
    /// Of an authenticator: what it is asked.
    pub key: Option<KeyChallenge>,
}

/// Recovery codes to be.
#[derive(Clone, Debug, Default)]
pub struct MakeRecoveryCodes {
    /// What their owner calls them.
    pub name: Option<String>,
    /// Whether there are some, which these replace.
    pub again: bool,
}

/// Fresh recovery codes.
#[derive(Clone, Debug)]
pub struct RecoveryCodes {
    /// Of what holds them.
    pub id: Uuid,
    /// What their owner calls them.
    pub name: Option<String>,
    /// Each is good once.
    pub codes: Vec<Secret>,
}

/// What is left of recovery codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryStatus {
    /// Of what holds them.
    pub id: Uuid,
    /// How many there were.
    pub total: usize,
    /// How many are left.
    pub remaining: usize,
}

/// A factor as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFactor {
    /// Its id.
    pub id: Uuid,
    /// `totp` or `webauthn`.
    pub kind: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Whether a code of it was verified once: from then on it counts.
    pub verified: bool,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

/// Why something about a second factor was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorError {
    /// The caller has no such factor.
    Missing,
    /// The caller has one of this name.
    NameTaken,
    /// Longer names are not taken.
    NameTooLong,
    /// The caller has as many as one may have.
    TooMany,
    /// It wants a session of level `aal2`.
    AssuranceNeeded,
    /// No such challenge, or it ran out, or was used.
    ChallengeExpired,
    /// Not the code, or one that was used.
    CodeWrong,
    /// There are recovery codes already.
    CodesExist,
    /// Recovery codes alone are no second factor: one must be in use first.
    CodesAlone,
}

impl std::fmt::Display for FactorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FactorError::Missing => "there is no such factor",
            FactorError::NameTaken => "a factor has this name already",
            FactorError::NameTooLong => "the name of the factor is too long",
            FactorError::TooMany => "there are as many factors as one may have",
            FactorError::AssuranceNeeded => "a session of level aal2 is needed",
            FactorError::ChallengeExpired => "the challenge ran out or was used",
            FactorError::CodeWrong => "the code is wrong or was used",
            FactorError::CodesExist => "there are recovery codes already",
            FactorError::CodesAlone => "recovery codes need a factor in use",
        })
    }
}
