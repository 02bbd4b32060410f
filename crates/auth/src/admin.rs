//! What the application's owner does with accounts, from the command line: typed functions, no wire.

use crate::audit::{self, Actor, Event};
use crate::core::{Core, NewUser};
use crate::hooks::Gate;
use crate::mail::MailKind;
use crate::one_time;
use crate::password;
use crate::profile;
use crate::records::{self, USERS};
use crate::revocations::Revocation;
use crate::sign_up::{app_metadata, check_email, check_metadata, or_taken};
use crate::token;
use serde_json::{Map, Value as Json};
use std::fmt;
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountError, Secret};
use undergird_engine::{Failure, Isolation, Outcome, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{ColumnPath, Condition, IsOperand, Operator, Request, Test, Verb};
use uuid::Uuid;

/// Longest name of a role, and most of them: they travel in every token.
pub const ROLE_CHARS_MAX: usize = 64;
/// See [`ROLE_CHARS_MAX`].
pub const ROLES_MAX: usize = 32;

/// An account that the owner makes: confirmed, whatever `[auth]` says about sign-ups.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its address.
    pub email: String,
    /// Its password.
    pub password: Secret,
    /// `app_metadata.roles`.
    pub roles: Vec<String>,
    /// For `user_metadata` and the profile's fields.
    pub data: Map<String, Json>,
}

/// Why a role is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// Not a name: letters, digits, `_`, `-`, `.`, `:`, at most [`ROLE_CHARS_MAX`]; or more than [`ROLES_MAX`].
    BadRole(String),
    /// Nobody has this address.
    NoSuchAccount,
    /// As for users.
    Account(AccountError),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminError::BadRole(role) => write!(
                f,
                "{role:?} is no role: up to {ROLES_MAX} names of letters, digits, `_`, `-`, `.`, `:`, each of at most {ROLE_CHARS_MAX}"
            ),
            AdminError::NoSuchAccount => f.write_str("nobody has this address"),
            AdminError::Account(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AdminError {}

impl<E: Into<AccountError>> From<E> for AdminError {
    fn from(error: E) -> AdminError {
        AdminError::Account(error.into())
    }
}

/// One more condition: the column is null.
pub(crate) fn where_null(mut request: Request, column: &str) -> Request {
    request.shape.filter.push(Condition::Test(Test {
        column: ColumnPath { name: column.into(), steps: Vec::new() },
        operator: Operator::Is(IsOperand::Null),
        operand: None,
    }));
    request
}

pub(crate) fn check_roles(roles: &[String]) -> Result<(), AdminError> {
    let is_name = |role: &String| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        (1..=ROLE_CHARS_MAX).contains(&role.len()) && role.bytes().all(good)
    };
    match roles.iter().find(|role| !is_name(role)).or_else(|| roles.get(ROLES_MAX)) {
        Some(role) => Err(AdminError::BadRole(role.clone())),
        None => Ok(()),
    }
}

/// What happened inside a transaction on an account that may not be there.
type Done<T> = Result<T, AdminError>;

impl Core {
    pub(crate) async fn add_account(self: Arc<Self>, new: NewAccount) -> Done<Account> {
        check_roles(&new.roles)?;
        let email = check_email(&new.email)?;
        let settings = self.engine.app().model().settings.auth.clone();
        password::check(&new.password, &email, settings.password_min)?;
        check_metadata(&new.data)?;
        let moment = self.engine.moment();
        let hash = self.hasher.hash(&new.password).await?;
        let (id, identity) = (self.new_id(moment.now)?, self.new_id(moment.now)?);
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (new, email, hash) = (new.clone(), email.clone(), hash.clone());
            Box::pin(async move {
                let system = Caller::system(moment);
                let profile = match profile::create(transaction.app().model(), id, Some(&email), &new.data, moment) {
                    Ok(profile) => profile,
                    Err(refused) => return Ok(Outcome::rollback(Err(refused))),
                };
                let user = NewUser {
                    id,
                    identity,
                    email: Some(email),
                    password_hash: Some(hash),
                    confirmed: true,
                    invited: false,
                    owner_made: true,
                    app_metadata: app_metadata(&new.roles),
                    user_metadata: Json::Object(new.data),
                };
                user.create(transaction, &system, &Gate::open()).await?;
                records::prove_address(transaction, &system, id).await?;
                audit::note(transaction, moment, Event::new("user_made", Actor::Owner, id)).await?;
                if let Some(profile) = profile {
                    transaction.write(&system, profile, None).await?;
                }
                let account = records::account(transaction, &system, id).await?;
                let account = account.ok_or_else(|| Failure::Internal("an account vanished".into()))?;
                Ok(Outcome::commit(Ok(account)))
            })
        });
        Ok(made.await.map_err(or_taken)??)
    }

    pub(crate) async fn list_accounts(&self, after: Option<Uuid>, rows: usize) -> Result<Vec<Account>, Failure> {
        let system = Caller::system(self.engine.moment());
        let page =
            records::page(Request::new(USERS, Verb::Read), "id", after.map(Value::Uuid), rows.min(records::PAGE));
        let users = self.engine.records(&system, page).await?;
        Ok(users.iter().map(|user| records::to_account(user, &[], &[])).collect())
    }

    pub(crate) async fn find_account(&self, email: &str) -> Result<Option<Account>, Failure> {
        let system = Caller::system(self.engine.moment());
        let users =
            self.engine.records(&system, records::by("email", Value::text(records::fold(email)), USERS)).await?;
        Ok(users.first().map(|user| records::to_account(user, &[], &[])))
    }

    pub(crate) async fn set_roles(self: Arc<Self>, email: &str, mut roles: Vec<String>) -> Done<Account> {
        roles.sort();
        roles.dedup();
        check_roles(&roles)?;
        let (account, _) = self.change_account(email, Change::Roles(roles)).await?;
        Ok(account)
    }

    pub(crate) async fn set_password(self: Arc<Self>, email: &str, password: &Secret) -> Done<Account> {
        let min = self.engine.app().model().settings.auth.password_min;
        password::check(password, &records::fold(email), min)?;
        let hash = self.hasher.hash(password).await?;
        let (account, _) = self.change_account(email, Change::Password(hash)).await?;
        Ok(account)
    }

    pub(crate) async fn ban_account(self: Arc<Self>, email: &str, micros: Option<i64>) -> Done<Account> {
        let (account, _) = self.change_account(email, Change::Ban(micros)).await?;
        Ok(account)
    }

    pub(crate) async fn remove_account(self: Arc<Self>, email: &str) -> Done<()> {
        self.change_account(email, Change::Remove).await.map(|_| ())
    }

    pub(crate) async fn end_account_sessions(self: Arc<Self>, email: &str) -> Done<usize> {
        let (_, ended) = self.change_account(email, Change::EndSessions).await?;
        Ok(ended)
    }

    async fn change_account(self: Arc<Self>, email: &str, change: Change) -> Done<(Account, usize)> {
        let moment = self.engine.moment();
        let email = records::fold(email);
        let core = self.clone();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, email, change) = (core.clone(), email.clone(), change.clone());
            Box::pin(async move {
                let system = Caller::system(moment);
                let users = transaction.records(&system, records::by("email", Value::Text(email), USERS)).await?;
                let Some(id) = users.first().and_then(|user| user.uuid("id")) else {
                    return Ok(Outcome::rollback(None));
                };
                Ok(Outcome::commit(core.apply(transaction, &system, Actor::Owner, id, change).await?))
            })
        });
        let (account, ended) = done.await?.ok_or(AdminError::NoSuchAccount)?;
        let count = ended.len();
        self.revoked(ended, moment.now);
        Ok((account, count))
    }

    pub(crate) async fn apply(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        actor: Actor,
        id: Uuid,
        change: Change,
    ) -> Result<Option<(Account, Vec<Revocation>)>, Failure> {
        let Some(before) = records::account(transaction, system, id).await? else { return Ok(None) };
        let sessions = self.sessions_of(transaction, system, id).await?;
        let row = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id));
        let updated_at = ("updated_at", Value::Timestamp(system.moment().now));
        let (name, detail) = match &change {
            Change::Roles(roles) => ("user_modified", serde_json::json!({ "roles": roles })),
            Change::Password(_) => ("user_modified", serde_json::json!({ "password": true })),
            Change::Ban(micros) => {
                ("user_modified", serde_json::json!({ "ban": micros.map_or(0, |micros| micros / 1_000_000) }))
            }
            Change::EndSessions => ("logout", serde_json::json!({ "sessions": sessions.len() })),
            Change::Remove => ("user_deleted", serde_json::json!({})),
        };
        audit::note(transaction, system.moment(), Event::new(name, actor, id).with(detail)).await?;
        let revocations = match change {
            Change::Roles(roles) => {
                let mut metadata = before.app_metadata.clone();
                let changed = token::roles(&metadata) != roles;
                metadata["roles"] = roles.into();
                let row = row.with_row([("app_metadata", Value::Json(metadata.to_string())), updated_at]);
                transaction.write(system, row, None).await?;
                // Tokens that tell the old roles are void at once; the next refresh tells the new ones.
                match changed {
                    true => self.void_tokens(transaction, system, &sessions).await?,
                    false => Vec::new(),
                }
            }
            Change::Password(hash) => {
                let row = row.with_row([("password_hash", Value::Text(hash)), updated_at]);
                transaction.write(system, row, None).await?;
                one_time::void(transaction, system, id).await?;
                self.tell_user(transaction, system, id, (MailKind::PasswordChanged, "password")).await?;
                self.end_sessions(transaction, system, &sessions).await?
            }
            Change::Ban(micros) => {
                let until = micros.map(|micros| system.moment().now.saturating_add(micros));
                let row = row.with_row([("banned_until", records::optional_time(until)), updated_at]);
                transaction.write(system, row, None).await?;
                match until {
                    Some(_) => {
                        one_time::void(transaction, system, id).await?;
                        self.end_sessions(transaction, system, &sessions).await?
                    }
                    None => Vec::new(),
                }
            }
            Change::EndSessions => self.end_sessions(transaction, system, &sessions).await?,
            Change::Remove => {
                let ended = self.end_sessions(transaction, system, &sessions).await?;
                profile::remove(transaction, system, id).await?;
                let gone = Request::new(USERS, Verb::Delete).with_equal("id", Value::Uuid(id));
                transaction.write(system, gone, None).await?;
                return Ok(Some((before, ended)));
            }
        };
        Ok(records::account(transaction, system, id).await?.map(|after| (after, revocations)))
    }
}

/// What is done to an account.
#[derive(Clone)]
pub(crate) enum Change {
    Roles(Vec<String>),
    Password(String),
    /// For so long, in microseconds; `None`: no longer.
    Ban(Option<i64>),
    EndSessions,
    Remove,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_names() {
        let check = |roles: &[&str]| check_roles(&roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        assert_eq!(check(&["editor", "team:7.lead", "a-b_c"]), Ok(()));
        for bad in ["", "a b", "a\"b", "ä", &"x".repeat(65)] {
            assert_eq!(check(&["editor", bad]), Err(AdminError::BadRole(bad.into())));
        }
        assert!(check(&["x"; 33]).is_err());
    }
}
