//! The part of the port that is about passkeys (Web Authentication, W3C Level 3): registering one, signing in with one, and keeping them.
//!
//! Each ceremony has two steps: a challenge that is told to a browser, and the authenticator's answer to it. Octets are octets here.
//! Deliberately absent: wire forms (`api::auth`), and what makes an answer good (`auth`).

use super::{AccountError, EnrollFactor, Secret, Session, Visit};
use futures_util::future::BoxFuture;
use undergird_plan::Caller;
use uuid::Uuid;

/// What can be asked about passkeys.
pub trait Passkeys: Send + Sync + 'static {
    /// Leave to register a passkey for the caller's account. Wants what a new second factor wants: `current_password` or a recent sign-in, and
    /// level `aal2` where a second factor is in use.
    fn begin_passkey_registration<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        current_password: Option<Secret>,
    ) -> BoxFuture<'a, Result<PasskeyCreation, AccountError>>;

    /// What an authenticator made of it. Good: the passkey is the account's.
    fn finish_passkey_registration<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        challenge: Uuid,
        credential: NewCredential,
        name: Option<String>,
    ) -> BoxFuture<'a, Result<Passkey, AccountError>>;

    /// Leave to sign in with whatever passkey the browser's user picks.
    fn begin_passkey_sign_in(&self, visit: Visit) -> BoxFuture<'_, Result<PasskeyRequest, AccountError>>;

    /// What an authenticator answered. Good: a session of the account that the passkey is of.
    fn finish_passkey_sign_in(
        &self,
        visit: Visit,
        challenge: Uuid,
        assertion: Assertion,
    ) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// The caller's passkeys, oldest first.
    fn passkeys<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Vec<Passkey>, AccountError>>;

    /// Names a passkey of the caller's.
    fn rename_passkey<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        passkey: Uuid,
        name: String,
    ) -> BoxFuture<'a, Result<Passkey, AccountError>>;

    /// Removes a passkey of the caller's, and ends the other sessions that it began.
    fn remove_passkey<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        passkey: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// A new second factor that an authenticator will prove, not in use until it answered its first challenge
    /// ([`super::Factors::challenge_factor`]).
    fn enroll_key<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        request: EnrollFactor,
    ) -> BoxFuture<'a, Result<EnrolledKey, AccountError>>;

    /// What an authenticator answered to the challenge of such a factor. Good: as [`super::Factors::verify_factor`].
    fn verify_key<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        factor: Uuid,
        challenge: Uuid,
        answer: KeyAnswer,
    ) -> BoxFuture<'a, Result<Session, AccountError>>;

    /// The passkeys of an account, for the owner of the application.
    fn passkeys_of<'a>(
        &'a self,
        caller: &'a Caller,
        account: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Passkey>, AccountError>>;

    /// Removes a passkey of an account, and ends the sessions that it began, for the owner of the application.
    fn remove_passkey_of<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        account: Uuid,
        passkey: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>>;
}

/// What a browser needs to have a passkey made.
#[derive(Clone, Debug)]
pub struct PasskeyCreation {
    /// Of the challenge.
    pub id: Uuid,
    /// Seconds since 1970.
    pub expires_at: i64,
    /// To be signed.
    pub challenge: [u8; 32],
    /// The domain that the passkey will be for.
    pub relying_party: String,
    /// What the application is called.
    pub relying_name: String,
    /// The account's id, as authenticators keep it.
    pub user_handle: String,
    /// What its user calls the account: the address.
    pub user_name: String,
    /// What people call the user.
    pub display_name: String,
    /// Whether it must be one that is found without its id: a passkey, not a second factor.
    pub discoverable: bool,
    /// Which algorithms are taken, best first (numbers of COSE).
    pub algorithms: &'static [i64],
    /// What the account has already: an authenticator that holds one of these makes no other.
    pub exclude: Vec<KnownCredential>,
}

/// What a browser needs to have a challenge signed.
#[derive(Clone, Debug)]
pub struct PasskeyRequest {
    /// Of the challenge.
    pub id: Uuid,
    /// Seconds since 1970.
    pub expires_at: i64,
    /// To be signed.
    pub challenge: [u8; 32],
    /// The domain that the passkey must be for.
    pub relying_party: String,
    /// Which may sign; when empty, any that the authenticator can find by itself.
    pub allow: Vec<KnownCredential>,
}

/// A credential, as a browser finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCredential {
    /// Its id.
    pub id: Vec<u8>,
    /// How it can be reached: `internal`, `usb`, …
    pub transports: Vec<String>,
}

/// An authenticator's answer to a registration (`AuthenticatorAttestationResponse`).
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Its id.
    pub id: Vec<u8>,
    /// `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `attestationObject`.
    pub attestation: Vec<u8>,
    /// How it says that it can be reached.
    pub transports: Vec<String>,
}

/// An authenticator's answer to a challenge (`AuthenticatorAssertionResponse`).
#[derive(Clone, Debug)]
pub struct Assertion {
    /// Which credential signed.
    pub id: Vec<u8>,
    /// `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// Over both.
    pub signature: Vec<u8>,
    /// Whose it is, as the authenticator keeps it.
    pub user_handle: Option<Vec<u8>>,
}

/// A second factor that waits for its authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledKey {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: Option<String>,
}

/// What the authenticator of a second factor is asked.
#[derive(Clone, Debug)]
pub enum KeyChallenge {
    /// For a key: it has none yet.
    Create(PasskeyCreation),
    /// For a signature of its key.
    Request(PasskeyRequest),
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum KeyAnswer {
    /// To [`KeyChallenge::Create`].
    Create(NewCredential),
    /// To [`KeyChallenge::Request`].
    Request(Assertion),
}

/// A passkey as its owner sees it. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its id here.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: Option<String>,
    /// When it was registered.
    pub created_at: i64,
    /// The last sign-in with it.
    pub last_used_at: Option<i64>,
}

/// Why something about a passkey was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyError {
    /// The application takes none, or its URL is an address, for which there are no passkeys.
    Off,
    /// The challenge is older than it may be.
    ChallengeExpired,
    /// The challenge was used.
    ChallengeUsed,
    /// The answer is not good, or nobody's: which of the two, and why, is in the audit log alone.
    Rejected,
    /// An account has this credential already.
    Exists,
    /// The account has as many as one may have.
    TooMany,
    /// The account has no such passkey.
    Missing,
    /// No name, or a longer one than is taken.
    BadName,
    /// An account without an address could not be found again.
    Anonymous,
}

impl std::fmt::Display for PasskeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PasskeyError::Off => "passkeys are not offered",
            PasskeyError::ChallengeExpired => "the challenge ran out",
            PasskeyError::ChallengeUsed => "the challenge was used",
            PasskeyError::Rejected => "the passkey's answer is not good",
            PasskeyError::Exists => "the passkey is registered already",
            PasskeyError::TooMany => "there are as many passkeys as one may have",
            PasskeyError::Missing => "there is no such passkey",
            PasskeyError::BadName => "the name of the passkey is missing or too long",
            PasskeyError::Anonymous => "an anonymous account takes no passkeys",
        })
    }
}
