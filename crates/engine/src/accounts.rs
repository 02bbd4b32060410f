//! The port between who calls and the wire: `auth` implements [`Identify`] and [`Accounts`], `api` consumes them, and neither sees the
//! other. Requests, answers and errors are typed; nothing here is a wire form.
//!
//! Deliberately absent: HTTP, headers by name, status codes, GoTrue's spelling of anything (all in `api::auth`), and how any of it
//! is done (all in `auth`).

mod administration;
mod captcha;
mod factors;
mod hooks;
mod pages;
mod passkeys;
mod passwordless;
mod providers;

pub use administration::{AccountPage, AccountSettings, Administration, AuditEvent, AuditFilter, AuditPage, Ban, Page};
pub use captcha::CaptchaError;
pub use factors::{
    AccountFactor, EnrollFactor, EnrolledFactor, FactorChallenge, FactorError, Factors, MakeRecoveryCodes,
    RecoveryCodes, RecoveryStatus,
};
pub use hooks::HookError;
pub use pages::{Errand, HandedOver, Held, Hold, PageSecret, Pages};
pub use passkeys::{
    Assertion, EnrolledKey, KeyAnswer, KeyChallenge, KnownCredential, NewCredential, Passkey, PasskeyCreation,
    PasskeyError, PasskeyRequest, Passkeys,
};
pub use passwordless::{
    FollowedLink, GenerateLink, GeneratedLink, InboxMail, InviteRequest, Landed, Landing, LinkError, LinkKind,
    LinkRequest, Passwordless, Proof, ResendRequest, Wish,
};
pub use providers::{Depart, Departure, ProviderError, Providers, Return, TokenSignIn};

use crate::Failure;
use futures_util::future::BoxFuture;
use serde_json::Value as Json;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, FieldError, Refusal};
use uuid::Uuid;

/// What a request says about who sends it, as octets off the wire. A header that came twice is not one of these: whoever reads
/// the headers refuses it as [`Unidentified::Malformed`].
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The `apikey` header.
    pub apikey: Option<&'a [u8]>,
    /// The `Authorization` header, scheme included.
    pub authorization: Option<&'a [u8]>,
}

/// Headers → caller. Never waits: everything that it needs is in memory.
pub trait Identify: Send + Sync + 'static {
    /// Who is calling. Credentials that are present but not good are an error, never a visitor: a client whose token ran out must
    /// learn that, and a mistake must not be answered with the wrong rows.
    ///
    /// # Errors
    /// [`Unidentified`]: 401, whatever was asked for.
    fn identify(&self, credentials: Credentials<'_>, moment: Moment) -> Result<Caller, Unidentified>;
}

/// Why credentials are not good. All are answered alike in status; they differ so that a developer can mend them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// Not of the form `Bearer <token>`, not text, empty, or there twice.
    Malformed,
    /// Has the form of an API key, but is none of this application's (or was mistyped).
    UnknownKey,
    /// Not a token of the kind that this application gives out: parts, encoding, header, or type.
    MalformedToken,
    /// Signed with a key that is unknown or retired, or the signature does not hold.
    BadSignature,
    /// Signed by this application, but for another audience or issuer, or without a claim that must be there.
    WrongClaims,
    /// Not valid yet.
    TooEarly,
    /// Ran out; a refresh token gets a new one.
    Expired,
    /// The session was ended: sign-out, a change of password or roles, a revoked refresh token.
    SessionEnded,
}

/// Text that must not be shown: passwords and tokens. Without `Debug` of its content and without comparison.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself; each use is a place worth reviewing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The circumstances of a call to an account operation.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When, and fresh dice.
    pub moment: Moment,
    /// The peer's address (as far as proxies are trusted); the key of budgets and a note on the session.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header, a note on the session.
    pub user_agent: Option<String>,
}

/// Everything that can be asked about accounts. One method per operation of the auth surface.
pub trait Accounts: Identify + Passwordless + Factors + Passkeys + Administration + Providers + Pages {
    /// Makes an account with its profile row and, when no confirmation is needed, its first session: all or nothing.
    fn sign_up(&self, visit: Visit, request: SignUp) -> BoxFuture<'_, Result<SignedUp, AccountError>>;

    /// A new session for an address and its password.
    fn sign_in(&self, visit: Visit, request: PasswordSignIn) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// Whether a person solved the puzzle that the application asks for ([`CaptchaError`]). `Ok` where none is asked for.
    fn pass_captcha<'a>(
        &'a self,
        visit: &'a Visit,
        solution: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// The next pair of tokens of a session.
    fn refresh(&self, visit: Visit, token: Secret) -> BoxFuture<'_, Result<Session, AccountError>>;

    /// The caller's own account.
    fn account<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// Changes the caller's own account.
    fn update<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        change: AccountChange,
    ) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// Ends sessions of the caller's account. When this gives `Ok`, their tokens are good for nothing.
    fn sign_out<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        scope: SignOutScope,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// The sessions of the caller's account, newest first.
    fn sessions<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Vec<AccountSession>, AccountError>>;

    /// Ends one session of the caller's account.
    fn end_session<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        session: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// The public keys with which tokens can be verified, as a JSON Web Key Set (RFC 7517).
    fn key_set(&self, moment: Moment) -> Json;

    /// What may be asked for here.
    fn offers(&self) -> Offers;
}

/// A sign-up.
#[derive(Clone, Debug)]
pub struct SignUp {
    /// As written; folded to lower case.
    pub email: String,
    /// As written.
    pub password: Secret,
    /// The client's own words about the user: goes to `user_metadata`, and fills the profile's fields of the same names.
    pub data: serde_json::Map<String, Json>,
    /// For the mail that asks for a confirmation.
    pub wish: Wish,
}

/// How a sign-up ended.
#[derive(Clone, Debug)]
pub enum SignedUp {
    /// Signed in at once.
    In(Box<Session>),
    /// The address must be confirmed first. Also the answer for an address that has an account already, and then about an account
    /// that does not exist: the two cannot be told apart.
    Unconfirmed(Box<Account>),
}

/// A sign-in by password.
#[derive(Clone, Debug)]
pub struct PasswordSignIn {
    /// As written; folded to lower case.
    pub email: String,
    /// As written.
    pub password: Secret,
}

/// A change of one's own account; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// The new address.
    pub email: Option<String>,
    /// The new password.
    pub password: Option<Secret>,
    /// Proof for a change of address or password when the sign-in is not recent.
    pub current_password: Option<Secret>,
    /// Another proof for a change of password: the code of [`Passwordless::reauthenticate`].
    pub nonce: Option<Secret>,
    /// Merged into `user_metadata`; a member that is null is removed.
    pub data: Option<serde_json::Map<String, Json>>,
    /// For the mail that asks whether the new address is right.
    pub wish: Wish,
}

/// Which sessions a sign-out ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOutScope {
    /// All of the account's.
    Global,
    /// The one of the token that was sent.
    Local,
    /// All but that.
    Others,
}

/// An account as its owner sees it. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// `sub` in tokens, and the key of the profile row.
    pub id: Uuid,
    /// In lower case.
    pub email: Option<String>,
    /// The address that it will have once that is confirmed.
    pub new_email: Option<String>,
    /// Whether it has neither address nor password: it lasts as long as its sessions.
    pub is_anonymous: bool,
    /// When the owner invited its user.
    pub invited_at: Option<i64>,
    /// When the address was confirmed; at once when the application asks for no confirmation.
    pub email_confirmed_at: Option<i64>,
    /// The last sign-in, refreshes apart.
    pub last_sign_in_at: Option<i64>,
    /// Set by the application alone: `provider`, `providers`, `roles`, …
    pub app_metadata: Json,
    /// Set by the user.
    pub user_metadata: Json,
    /// By which means the user can sign in.
    pub identities: Vec<AccountIdentity>,
    /// The second factors, those that wait for their first code among them.
    pub factors: Vec<AccountFactor>,
    /// Until when sign-in is refused.
    pub banned_until: Option<i64>,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

/// One means of signing in.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountIdentity {
    /// Its key here.
    pub id: Uuid,
    /// `email`, later `google`, …
    pub provider: String,
    /// The user's id at the provider; for `email` the account's own.
    pub provider_id: String,
    /// What the provider says of the user.
    pub data: Json,
    /// When it was made.
    pub created_at: i64,
    /// When it was used last.
    pub last_sign_in_at: Option<i64>,
    /// When it was changed last.
    pub updated_at: i64,
}

/// A pair of tokens with the account that they are for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The JWT.
    pub access_token: Secret,
    /// Good for one refresh.
    pub refresh_token: Secret,
    /// Life of the access token.
    pub expires_in_seconds: u32,
    /// Its end, in seconds since 1970.
    pub expires_at: i64,
    /// Whose.
    pub account: Account,
}

/// A session as its owner sees it. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSession {
    /// `session_id` in tokens.
    pub id: Uuid,
    /// When its owner signed in.
    pub created_at: i64,
    /// When its tokens were given out last.
    pub refreshed_at: i64,
    /// When it ends, however often it is refreshed.
    pub not_after: i64,
    /// `aal1`, or `aal2` after a second factor.
    pub aal: String,
    /// How it began: `password`, …
    pub method: String,
    /// The client's word about itself.
    pub user_agent: Option<String>,
    /// From where.
    pub ip: Option<String>,
    /// Whether it is the caller's own.
    pub current: bool,
}

/// What may be asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Whether anybody may sign up.
    pub sign_up: bool,
    /// Whether a sign-up is signed in without confirming the address.
    pub confirmed_at_once: bool,
    /// Whether accounts without an address are made.
    pub anonymous: bool,
    /// Whether passkeys are registered and sign in.
    pub passkeys: bool,
    /// Whether a followed link shows a page with a button first.
    pub link_page: bool,
}

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordWeakness {
    /// Fewer characters than the application wants.
    TooShort {
        /// How many it wants.
        min: u32,
    },
    /// More than are taken; nothing is ever cut off.
    TooLong {
        /// How many are taken.
        max: u32,
    },
    /// On the list that guessers try first, or the address itself.
    Common,
}

/// Why an account operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// No such account, or not its password: the two are never told apart.
    InvalidCredentials,
    /// Only when addresses need no confirmation: then the answer to a sign-up cannot hide it.
    EmailTaken,
    /// Not an e-mail address.
    InvalidEmail,
    /// The application takes no sign-ups.
    SignUpClosed,
    /// The password was right, but the address is not confirmed yet.
    EmailNotConfirmed,
    /// The password was right, but the account is banned.
    Banned,
    /// See [`PasswordWeakness`].
    WeakPassword(PasswordWeakness),
    /// The new password is the old one.
    SamePassword,
    /// `data` does not fit the profile; every fault is told, with pointers into `data`.
    InvalidData(Vec<FieldError>),
    /// `data` is longer than is taken, because it travels in every token.
    DataTooLarge {
        /// Most bytes as JSON.
        max: usize,
    },
    /// The caller is nobody's account (a visitor, a key).
    NotAUser,
    /// The account is gone.
    AccountMissing,
    /// The session is gone.
    SessionMissing,
    /// The caller has no such session.
    SessionUnknown,
    /// Nobody has this id.
    UserUnknown,
    /// The session reached its absolute end; a new sign-in is needed.
    SessionExpired,
    /// Not a refresh token of this application, or of a session that ended.
    RefreshTokenUnknown,
    /// The refresh token was used before: its session was ended now, since one of the two users is a thief.
    RefreshTokenUsed,
    /// A change of address or password wants the current password, or a recent sign-in.
    ReauthenticationNeeded,
    /// See [`FactorError`].
    Factor(FactorError),
    /// See [`PasskeyError`].
    Passkey(PasskeyError),
    /// The caller is somebody, but not the owner of the application.
    NotAdmin,
    /// A new account's id is taken.
    IdTaken,
    /// A member of what the owner says is not good, with the reason.
    InvalidSetting(&'static str, String),
    /// See [`LinkError`].
    Link(LinkError),
    /// See [`HookError`].
    Hook(HookError),
    /// See [`CaptchaError`].
    Captcha(CaptchaError),
    /// See [`ProviderError`].
    Provider(ProviderError),
    /// The budget of attempts is spent.
    TooManyAttempts {
        /// When to try again.
        retry_after: Duration,
    },
    /// Whatever else can go wrong with data; `Overloaded` also when too many passwords are being checked.
    Failed(Failure),
}

impl From<FactorError> for AccountError {
    fn from(error: FactorError) -> AccountError {
        AccountError::Factor(error)
    }
}

impl From<PasskeyError> for AccountError {
    fn from(error: PasskeyError) -> AccountError {
        AccountError::Passkey(error)
    }
}

impl From<Failure> for AccountError {
    fn from(failure: Failure) -> AccountError {
        AccountError::Failed(failure)
    }
}

impl fmt::Display for AccountError {
    /// For the command line and the log; `api` has its own words for clients.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountError::InvalidCredentials => f.write_str("wrong address or password"),
            AccountError::EmailTaken => f.write_str("the address has an account already"),
            AccountError::InvalidEmail => f.write_str("not an e-mail address"),
            AccountError::SignUpClosed => f.write_str("the application takes no sign-ups"),
            AccountError::EmailNotConfirmed => f.write_str("the address is not confirmed"),
            AccountError::Banned => f.write_str("the account is banned"),
            AccountError::WeakPassword(PasswordWeakness::TooShort { min }) => {
                write!(f, "the password needs at least {min} characters")
            }
            AccountError::WeakPassword(PasswordWeakness::TooLong { max }) => {
                write!(f, "the password may have at most {max} characters")
            }
            AccountError::WeakPassword(PasswordWeakness::Common) => {
                f.write_str("the password is among those that guessers try first")
            }
            AccountError::SamePassword => f.write_str("the new password is the old one"),
            AccountError::InvalidData(errors) => {
                let each = |error: &FieldError| format!("{}: {}", error.pointer.trim_start_matches('/'), error.message);
                f.write_str(&errors.iter().map(each).collect::<Vec<_>>().join("; "))
            }
            AccountError::DataTooLarge { max } => write!(f, "the data is longer than {max} bytes"),
            AccountError::NotAUser => f.write_str("the caller is no user"),
            AccountError::AccountMissing => f.write_str("the account is gone"),
            AccountError::SessionUnknown => f.write_str("there is no such session"),
            AccountError::UserUnknown => f.write_str("nobody has this id"),
            AccountError::SessionMissing => f.write_str("the session is gone"),
            AccountError::SessionExpired => f.write_str("the session reached its end"),
            AccountError::RefreshTokenUnknown => f.write_str("the refresh token is unknown"),
            AccountError::RefreshTokenUsed => f.write_str("the refresh token was used before"),
            AccountError::ReauthenticationNeeded => f.write_str("the current password or a recent sign-in is needed"),
            AccountError::Factor(error) => error.fmt(f),
            AccountError::Passkey(error) => error.fmt(f),
            AccountError::NotAdmin => f.write_str("only the secret key may do this"),
            AccountError::IdTaken => f.write_str("the id is taken"),
            AccountError::InvalidSetting(name, why) => write!(f, "{name} {why}"),
            AccountError::Link(error) => error.fmt(f),
            AccountError::Hook(error) => error.fmt(f),
            AccountError::Captcha(error) => error.fmt(f),
            AccountError::Provider(error) => error.fmt(f),
            AccountError::TooManyAttempts { retry_after } => {
                write!(f, "too many attempts; try again in {} seconds", retry_after.as_secs().max(1))
            }
            AccountError::Failed(Failure::Refused(Refusal::Invalid { errors })) => {
                AccountError::InvalidData(errors.clone()).fmt(f)
            }
            AccountError::Failed(failure) => write!(f, "{failure:?}"),
        }
    }
}

impl std::error::Error for AccountError {}
