//! The part of the port that is for the application's owner: everybody's accounts, sessions and factors, and what happened.
//!
//! Deliberately absent: who may ask. Each operation is given a caller and refuses all but the secret key itself.

use super::{Account, AccountError, AccountSession, Secret, Visit};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value as Json};
use undergird_plan::Caller;
use uuid::Uuid;

/// What the holder of the secret key can ask about accounts. For anybody else each of these is [`AccountError::NotAdmin`], or
/// [`AccountError::NotAUser`] for nobody.
pub trait Administration: Send + Sync + 'static {
    /// Makes an account with its profile row.
    fn create_account<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        new: AccountSettings,
    ) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// A page of all accounts, newest first.
    fn accounts<'a>(&'a self, caller: &'a Caller, page: Page) -> BoxFuture<'a, Result<AccountPage, AccountError>>;

    /// One account.
    fn find<'a>(&'a self, caller: &'a Caller, id: Uuid) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// Changes an account.
    fn change_account<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        id: Uuid,
        change: AccountSettings,
    ) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// Removes an account with its profile row, its sessions and factors; the account as it was.
    fn remove_account<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Account, AccountError>>;

    /// Removes a factor of an account.
    fn remove_factor_of<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        id: Uuid,
        factor: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// The sessions of an account, newest first.
    fn sessions_of_account<'a>(
        &'a self,
        caller: &'a Caller,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Vec<AccountSession>, AccountError>>;

    /// A page of what happened to accounts, newest first.
    fn audit_log<'a>(
        &'a self,
        caller: &'a Caller,
        page: Page,
        filter: Option<AuditFilter>,
    ) -> BoxFuture<'a, Result<AuditPage, AccountError>>;

    /// Ends all sessions of an account.
    fn end_sessions_of<'a>(
        &'a self,
        visit: Visit,
        caller: &'a Caller,
        id: Uuid,
    ) -> BoxFuture<'a, Result<(), AccountError>>;
}

/// What the owner says of an account. What is `None` stays, or is the usual for a new one.
#[derive(Clone, Debug, Default)]
pub struct AccountSettings {
    /// Its id, for a new one.
    pub id: Option<Uuid>,
    /// Its address.
    pub email: Option<String>,
    /// Its password; none means that it signs in by other means.
    pub password: Option<Secret>,
    /// Whether the address counts as confirmed.
    pub email_confirmed: Option<bool>,
    /// Merged into `app_metadata`; null removes a member.
    pub app_metadata: Option<Map<String, Json>>,
    /// Merged into `user_metadata`; null removes a member. For a new account also the profile's fields.
    pub user_metadata: Option<Map<String, Json>>,
    /// Whether and how long sign-in is refused.
    pub ban: Option<Ban>,
}

/// Whether sign-in is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ban {
    /// Not any more.
    Lifted,
    /// For so many microseconds from now.
    For(i64),
}

/// Which rows of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// Most rows in it.
    pub rows: u32,
}

/// Which entries of the audit log: those with a text in one of their members, in capitals or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFilter {
    /// In the address of who did it.
    Author(String),
    /// In what was done.
    Action(String),
    /// In what kind of thing that is.
    Kind(String),
}

/// An entry of the audit log.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Its id.
    pub id: Uuid,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What was done.
    pub action: String,
    /// What kind of thing that is.
    pub kind: &'static str,
    /// The account of who did it; `None` for the owner, Undergird itself and whoever is not known.
    pub actor: Option<Uuid>,
    /// What the actor is called today: an address, `service_role`, `system`; empty for an account that has none or is gone.
    pub actor_name: String,
    /// From where.
    pub address: Option<String>,
    /// What else there is to say.
    pub traits: Map<String, Json>,
}

/// A page of the audit log.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// Those of the page.
    pub events: Vec<AuditEvent>,
    /// How many there are in all that the filter lets through.
    pub total: u64,
}

/// A page of accounts.
#[derive(Clone, Debug)]
pub struct AccountPage {
    /// Those of the page.
    pub accounts: Vec<Account>,
    /// How many there are in all.
    pub total: u64,
}
