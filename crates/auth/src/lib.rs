//! Who is calling: API keys, tokens, sessions, passwords. [`Auth`] implements the port [`undergird_engine::accounts`].
//!
//! One file per method of signing in (`password.rs`, `otp.rs`, `oauth/`, …) and per concern that they share. All state
//! is in system collections (`system/*.toml`), read and written with ordinary plans; what must be known on every request is kept
//! in memory beside (`identify.rs`).
//!
//! Deliberately absent: HTTP, headers, status codes, wire forms (`api::auth`), the store.

mod account;
mod admin;
mod administration;
mod anonymous;
mod api_keys;
mod audit;
mod audit_keep;
mod audit_list;
mod budget;
mod cache;
mod captcha;
mod core;
mod factors;
mod fetch;
mod generate_link;
mod hooks;
mod identify;
mod invite;
mod mail;
mod oauth;
mod one_time;
mod otp;
mod pages;
mod passkeys;
mod password;
mod passwordless;
mod pkce;
mod ports;
mod profile;
mod reauthenticate;
mod records;
mod recover;
mod recovery_codes;
mod redirect;
mod refresh;
mod resend;
mod retention;
mod revocations;
mod service_keys;
mod session_list;
mod sessions;
mod sign_up;
mod signing;
mod token;
mod totp;
mod verify;

pub use admin::{AdminError, NewAccount};
pub use api_keys::{KeyKind, Keys, KeysError, kind_of};
pub use audit::{AuditEntry, AuditFault, AuditHead, AuditVerdict};
pub use budget::{Allowance, Allowances};
pub use core::Options;
pub use fetch::{Fetch, FetchError, Fetcher, Incoming, Outgoing};
pub use mail::{Smtp, SmtpTls, TemplateMistake, Templates, Transport};
pub use service_keys::ServiceKey;
pub use signing::{NewSigningKey, SHARED_SECRET_MIN, SigningAlgorithm, SigningKeyError};

use crate::core::Core;
use serde_json::Value as Json;
use std::sync::Arc;
use undergird_engine::accounts::{
    Account, AccountChange, AccountError, AccountSession, Accounts, Credentials, Identify, Offers, PasswordSignIn,
    Secret, Session, SignOutScope, SignUp, SignedUp, Unidentified, Visit,
};
use undergird_engine::{Engine, Failure};
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, Scopes};
use uuid::Uuid;

/// `futures_util`'s, by its definition, so that this crate needs no more of it.
type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The definitions of the collections in which accounts are kept.
pub const SYSTEM: &[(&str, &str)] = &[
    ("_audit_log", include_str!("../system/_audit_log.toml")),
    ("_factor_challenges", include_str!("../system/_factor_challenges.toml")),
    ("_factors", include_str!("../system/_factors.toml")),
    ("_identities", include_str!("../system/_identities.toml")),
    ("_passkey_challenges", include_str!("../system/_passkey_challenges.toml")),
    ("_passkeys", include_str!("../system/_passkeys.toml")),
    ("_provider_flows", include_str!("../system/_provider_flows.toml")),
    ("_recovery_codes", include_str!("../system/_recovery_codes.toml")),
    ("_mails", include_str!("../system/_mails.toml")),
    ("_one_time_tokens", include_str!("../system/_one_time_tokens.toml")),
    ("_refresh_tokens", include_str!("../system/_refresh_tokens.toml")),
    ("_revocations", include_str!("../system/_revocations.toml")),
    ("_service_keys", include_str!("../system/_service_keys.toml")),
    ("_sessions", include_str!("../system/_sessions.toml")),
    ("_signing_keys", include_str!("../system/_signing_keys.toml")),
    ("_users", include_str!("../system/_users.toml")),
];

/// Accounts of one application. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Core>);

impl Auth {
    /// Reads the signing keys (making the first) and the sessions that ended. The store must have the schema already.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn open(engine: Arc<Engine>, keys: &Keys, options: &Options) -> Result<Auth, Failure> {
        Ok(Auth(Core::open(engine, keys, options).await?))
    }

    /// Reads, each second, what other processes changed (sessions ended by the command line, rotated keys), removes, each ten
    /// minutes, what ran out, and sends mails as they are queued. Never ends by itself: the server spawns it and drops it when it stops.
    pub fn keep_up(&self) -> impl Future<Output = ()> + Send + 'static {
        let (core, mails) = (self.0.clone(), self.0.clone());
        async move {
            tokio::join!(core.keep_up(), mails.keep_delivering());
        }
    }

    /// Sends the mails that are due now; how many there were.
    ///
    /// # Errors
    /// A failure of the store. What a mail server says is no failure: the mail is tried again later.
    pub async fn deliver(&self) -> Result<usize, Failure> {
        self.0.clone().deliver_due().await
    }

    /// Removes what ran out now.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn sweep(&self) -> Result<(), Failure> {
        self.0.sweep().await
    }

    /// Has a new key sign. The old one signs no more, and verifies until its last token ran out.
    ///
    /// # Errors
    /// HS256 without a secret or with a short one, or a failure of the store.
    pub async fn rotate_signing_key(&self, new: NewSigningKey) -> Result<(), SigningKeyError> {
        self.0.add_key(new).await
    }

    /// Makes a key for a service account, told this once.
    ///
    /// # Errors
    /// [`AdminError::BadRole`], a name, scopes or a life that are not taken, or a failure of the store.
    pub async fn add_service_key(
        &self,
        name: &str,
        roles: Vec<String>,
        scopes: Option<Scopes>,
        days: u32,
    ) -> Result<(ServiceKey, Secret), AdminError> {
        self.0.add_service_key(name, roles, scopes, days).await
    }

    /// All keys of service accounts, those that ran out among them.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn service_keys(&self) -> Result<Vec<ServiceKey>, Failure> {
        self.0.service_keys().await
    }

    /// Writes when keys of service accounts were last used; of how many. [`Auth::keep_up`] does it each minute, and a server that stops once more.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn write_key_uses(&self) -> Result<usize, Failure> {
        self.0.write_key_uses().await
    }

    /// Ends a key of a service account; whether there was one.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn revoke_service_key(&self, id: Uuid) -> Result<bool, Failure> {
        self.0.revoke_service_key(id).await
    }

    /// Binds the newest entries of the audit log into its chain; how many. [`Auth::keep_up`] does it each second.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn chain_audit(&self) -> Result<usize, Failure> {
        self.0.chain_audit().await
    }

    /// Entries of the audit log in order, after a place; at most 500.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn audit_entries(&self, after: i64, rows: usize) -> Result<Vec<AuditEntry>, Failure> {
        self.0.audit_entries(after, rows).await
    }

    /// Reads the whole audit log and checks that each entry is as it was bound. A head that was noted elsewhere must be in it.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn verify_audit(&self, noted: Option<AuditHead>) -> Result<AuditVerdict, Failure> {
        self.0.verify_audit(noted).await
    }

    /// Makes an account, with its profile row.
    ///
    /// # Errors
    /// As for a sign-up, and [`AdminError::BadRole`].
    pub async fn add_account(&self, new: NewAccount) -> Result<Account, AdminError> {
        self.0.clone().add_account(new).await
    }

    /// Accounts in order of their ids, after one; at most 500. Without their identities.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn list_accounts(&self, after: Option<Uuid>, rows: usize) -> Result<Vec<Account>, Failure> {
        self.0.list_accounts(after, rows).await
    }

    /// An account by its address. Without its identities.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn find_account(&self, email: &str) -> Result<Option<Account>, Failure> {
        self.0.find_account(email).await
    }

    /// Replaces `app_metadata.roles`. Access tokens that tell the old roles are void at once.
    ///
    /// # Errors
    /// [`AdminError::NoSuchAccount`], [`AdminError::BadRole`], or a failure of the store.
    pub async fn set_roles(&self, email: &str, roles: Vec<String>) -> Result<Account, AdminError> {
        self.0.clone().set_roles(email, roles).await
    }

    /// Replaces the password and ends all sessions.
    ///
    /// # Errors
    /// [`AdminError::NoSuchAccount`], a weak password, or a failure of the store.
    pub async fn set_password(&self, email: &str, password: &Secret) -> Result<Account, AdminError> {
        self.0.clone().set_password(email, password).await
    }

    /// Ends all sessions of an account; how many there were.
    ///
    /// # Errors
    /// [`AdminError::NoSuchAccount`], or a failure of the store.
    pub async fn end_sessions(&self, email: &str) -> Result<usize, AdminError> {
        self.0.clone().end_account_sessions(email).await
    }

    /// Keeps an account from signing in for so long, which ends its sessions at once; `None` lifts a ban. At most a hundred years.
    ///
    /// # Errors
    /// [`AdminError::NoSuchAccount`], or a failure of the store.
    pub async fn ban_account(&self, email: &str, length: Option<std::time::Duration>) -> Result<Account, AdminError> {
        let micros = |length: std::time::Duration| {
            i64::try_from(length.as_micros()).unwrap_or(i64::MAX).min(administration::BAN_MICROS_MAX)
        };
        self.0.clone().ban_account(email, length.map(micros)).await
    }

    /// An account by its address, with its identities, its factors and its sessions.
    ///
    /// # Errors
    /// [`AdminError::NoSuchAccount`], or a failure of the store.
    pub async fn show_account(&self, email: &str) -> Result<(Account, Vec<AccountSession>), AdminError> {
        self.0.show_account(email).await
    }

    /// Removes an account with its sessions and its profile row.
    ///
    /// # Errors
    /// [`AdminError::NoSuchAccount`], or a failure of the store: also when other rows refer to the profile and may not go.
    pub async fn remove_account(&self, email: &str) -> Result<(), AdminError> {
        self.0.clone().remove_account(email).await
    }
}

impl Identify for Auth {
    fn identify(&self, credentials: Credentials<'_>, moment: Moment) -> Result<Caller, Unidentified> {
        self.0.identifier.identify(credentials, moment)
    }
}

impl Accounts for Auth {
    fn sign_up(&self, visit: Visit, request: SignUp) -> BoxFuture<'_, Result<SignedUp, AccountError>> {
        Box::pin(self.0.clone().sign_up(visit, request))
    }

    fn sign_in(&self, visit: Visit, request: PasswordSignIn) -> BoxFuture<'_, Result<Session, AccountError>> {
        Box::pin(self.0.clone().sign_in(visit, request))
    }

    fn pass_captcha<'a>(
        &'a self,
        visit: &'a Visit,
        solution: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(self.0.pass_captcha(visit.address, solution))
    }

    fn refresh(&self, visit: Visit, token: Secret) -> BoxFuture<'_, Result<Session, AccountError>> {
        Box::pin(self.0.clone().refresh(visit, token))
    }

    fn account<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Account, AccountError>> {
        Box::pin(self.0.account(caller))
    }

    fn update<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        change: AccountChange,
    ) -> BoxFuture<'a, Result<Account, AccountError>> {
        Box::pin(self.0.clone().update(visit, caller.clone(), change))
    }

    fn sign_out<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        scope: SignOutScope,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(self.0.clone().sign_out(visit, caller.clone(), scope))
    }

    fn sessions<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Vec<AccountSession>, AccountError>> {
        Box::pin(self.0.sessions(caller))
    }

    fn end_session<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        session: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(self.0.clone().end_session(visit, caller.clone(), session))
    }

    fn key_set(&self, moment: Moment) -> Json {
        self.0.identifier.ring.read().key_set(moment.now)
    }

    fn offers(&self) -> Offers {
        let app = self.0.engine.app();
        let auth = &app.model().settings.auth;
        Offers {
            sign_up: auth.sign_up,
            confirmed_at_once: !auth.confirm_email,
            anonymous: auth.anonymous,
            passkeys: self.0.relying_party().is_some(),
            link_page: auth.link_page,
        }
    }
}
