//! What the holder of the secret key does with accounts over the wire: making, finding, changing, banning, removing.
//!
//! Every operation asks first who is calling. Whatever takes rights away takes them at once: a ban, a new password or a removal ends all
//! sessions; a change of `app_metadata` makes the access tokens void that tell the old one.

use crate::admin::{Change, check_roles};
use crate::audit::{self, Actor, Event};
use crate::core::{Core, NewUser};
use crate::factors::settle;
use crate::hooks::Gate;
use crate::mail::{Letter, MailKind};
use crate::one_time;
use crate::password;
use crate::profile;
use crate::records::{self, FACTORS, IDENTITIES, USERS};
use crate::revocations::Revocation;
use crate::sign_up::{app_metadata, check_email, check_metadata, or_taken};
use crate::token;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use undergird_engine::accounts::{
    Account, AccountError, AccountPage, AccountSession, AccountSettings, Ban, FactorError, Page, Visit,
};
use undergird_engine::{Failure, Isolation, Transaction};
use undergird_model::Value;
use undergird_plan::request::{Aggregate, ColumnPath, Operand, OrderItem, Request, SelectColumn, SelectItem, Verb};
use undergird_plan::{AccountsReach, Caller, Identity};
use uuid::Uuid;

/// Most accounts on a page, as in Supabase Auth.
pub(crate) const PAGE_ROWS_MAX: u32 = 1_000;
/// Longest ban: a hundred years and a bit, so that no sum of times runs over.
pub(crate) const BAN_MICROS_MAX: i64 = 40_000 * 86_400_000_000;

/// Only the secret key passes, and a service account's that has the scope; gives who it is.
pub(crate) fn demand_owner(caller: &Caller, reach: AccountsReach) -> Result<Actor, AccountError> {
    match caller.identity() {
        Identity::Secret | Identity::System => Ok(Actor::Owner),
        Identity::User(user) if caller.may_reach_accounts(reach) => Ok(Actor::ServiceKey(user.id())),
        Identity::User(_) => Err(AccountError::NotAdmin),
        Identity::Visitor => Err(AccountError::NotAUser),
    }
}

/// What is to be written, all checked.
#[derive(Clone, Default)]
struct Checked {
    email: Option<String>,
    password_hash: Option<String>,
    confirmed: Option<bool>,
    app: Option<Map<String, Json>>,
    user: Option<Map<String, Json>>,
    ban: Option<Ban>,
}

pub(crate) fn column(name: &str) -> ColumnPath {
    ColumnPath { name: name.into(), steps: Vec::new() }
}

fn invalid(name: &'static str, why: impl Into<String>) -> AccountError {
    AccountError::InvalidSetting(name, why.into())
}

/// `app_metadata` as it would be: its roles are names, and all of it fits into a token.
pub(crate) fn check_app_metadata(metadata: &Map<String, Json>) -> Result<(), AccountError> {
    check_metadata(metadata)?;
    let Some(roles) = metadata.get("roles") else { return Ok(()) };
    let listed = token::roles(&Json::Object(metadata.clone()));
    if roles.as_array().is_none_or(|all| all.len() != listed.len()) || check_roles(&listed).is_err() {
        let why = "must be up to 32 names of letters, digits, `_`, `-`, `.`, `:`, each of at most 64";
        return Err(invalid("app_metadata.roles", why));
    }
    Ok(())
}

impl Core {
    pub(crate) async fn create_account(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        new: AccountSettings,
    ) -> Result<Account, AccountError> {
        let actor = demand_owner(&caller, AccountsReach::Admin)?;
        let given = new.email.as_deref().ok_or_else(|| invalid("email", "is missing"))?;
        let email = check_email(given)?;
        let checked = self.check_settings(&email, &new).await?;
        let moment = visit.moment;
        let id = match new.id {
            Some(id) => id,
            None => self.new_id(moment.now)?,
        };
        let identity = self.new_id(moment.now)?;
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (checked, email) = (checked.clone(), email.clone());
            Box::pin(async move { settle(make(transaction, (moment, actor), (id, identity), email, checked).await) })
        });
        made.await.map_err(or_taken)?
    }

    /// What is said of an account, checked; `email` is the one that it will have.
    async fn check_settings(&self, email: &str, asked: &AccountSettings) -> Result<Checked, AccountError> {
        if let Some(metadata) = &asked.user_metadata {
            check_metadata(metadata)?;
        }
        if let Some(metadata) = &asked.app_metadata {
            check_metadata(metadata)?;
        }
        if let Some(Ban::For(micros)) = asked.ban
            && !(0..=BAN_MICROS_MAX).contains(&micros)
        {
            return Err(invalid("ban_duration", "must be between nothing and a hundred years"));
        }
        let password_hash = match &asked.password {
            Some(password) => {
                password::check(password, email, self.engine.app().model().settings.auth.password_min)?;
                Some(self.hasher.hash(password).await?)
            }
            None => None,
        };
        Ok(Checked {
            email: asked.email.as_ref().map(|_| email.to_owned()),
            password_hash,
            confirmed: asked.email_confirmed,
            app: asked.app_metadata.clone(),
            user: asked.user_metadata.clone(),
            ban: asked.ban,
        })
    }

    pub(crate) async fn accounts(&self, caller: &Caller, page: Page) -> Result<AccountPage, AccountError> {
        demand_owner(caller, AccountsReach::Read)?;
        let system = Caller::system(caller.moment());
        let mut count = Request::new(USERS, Verb::Read);
        count.shape.select = Some(vec![SelectItem::Column(SelectColumn {
            alias: Some("total".into()),
            column: column("id"),
            cast: None,
            aggregate: Some(Aggregate::Count),
            aggregate_cast: None,
        })]);
        let counted = self.engine.records(&system, count).await?;
        let total = counted.first().and_then(|row| row.int("total")).unwrap_or(0);
        let rows = i64::from(page.rows.clamp(1, PAGE_ROWS_MAX));
        let skipped = i64::from(page.number.max(1) - 1).saturating_mul(rows);
        let mut request = Request::new(USERS, Verb::Read);
        let by = |name: &str| OrderItem { relation: None, column: column(name), descending: true, nulls_first: None };
        request.shape.order = vec![by("created_at"), by("id")];
        request.shape.limit = Some(request.slot(Operand::Value(Value::Int(rows))));
        request.shape.offset = Some(request.slot(Operand::Value(Value::Int(skipped))));
        let users = self.engine.records(&system, request).await?;
        let ids = users.iter().filter_map(|user| user.uuid("id")).map(Value::Uuid);
        let ids: Vec<Value> = ids.collect();
        let of_users = |collection: &str| {
            let request = Request::new(collection, Verb::Read);
            records::and(request, "user_id", undergird_plan::request::Operator::In, Operand::Values(ids.clone()))
        };
        let identities = records::all(&self.engine, &system, &of_users(IDENTITIES)).await?;
        let factors = records::all(&self.engine, &system, &of_users(FACTORS)).await?;
        let of = |rows: &[undergird_engine::Record], id: Option<Uuid>| {
            rows.iter().filter(|row| row.uuid("user_id") == id).cloned().collect::<Vec<_>>()
        };
        let accounts = users.iter().map(|user| {
            let id = user.uuid("id");
            records::to_account(user, &of(&identities, id), &of(&factors, id))
        });
        Ok(AccountPage { accounts: accounts.collect(), total: u64::try_from(total).unwrap_or(0) })
    }

    pub(crate) async fn find(&self, caller: &Caller, id: Uuid) -> Result<Account, AccountError> {
        demand_owner(caller, AccountsReach::Read)?;
        self.account_by_id(&Caller::system(caller.moment()), id).await?.ok_or(AccountError::UserUnknown)
    }

    pub(crate) async fn show_account(
        &self,
        email: &str,
    ) -> Result<(Account, Vec<AccountSession>), crate::admin::AdminError> {
        let found = self.find_account(email).await?.ok_or(crate::admin::AdminError::NoSuchAccount)?;
        let system = Caller::system(self.engine.moment());
        let account = self.account_by_id(&system, found.id).await?.ok_or(crate::admin::AdminError::NoSuchAccount)?;
        let sessions = self.list_sessions(&system, account.id, None).await?;
        Ok((account, sessions))
    }

    async fn account_by_id(&self, system: &Caller, id: Uuid) -> Result<Option<Account>, Failure> {
        let users = self.engine.records(system, records::by("id", Value::Uuid(id), USERS)).await?;
        let Some(user) = users.first() else { return Ok(None) };
        let identities = self.engine.records(system, records::by("user_id", Value::Uuid(id), IDENTITIES)).await?;
        let factors = self.engine.records(system, records::by("user_id", Value::Uuid(id), FACTORS)).await?;
        Ok(Some(records::to_account(user, &identities, &factors)))
    }

    pub(crate) async fn set_account(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        id: Uuid,
        change: AccountSettings,
    ) -> Result<Account, AccountError> {
        let actor = demand_owner(&caller, AccountsReach::Admin)?;
        let before = self.find(&caller, id).await?;
        let email = match &change.email {
            Some(email) => check_email(email)?,
            None => before.email.unwrap_or_default(),
        };
        let checked = self.check_settings(&email, &change).await?;
        let (core, moment) = (self.clone(), visit.moment);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, checked) = (core.clone(), checked.clone());
            Box::pin(async move {
                let system = Caller::system(moment);
                settle(core.set(transaction, &system, actor, id, checked).await)
            })
        });
        let (account, ended) = done.await.map_err(or_taken)??;
        self.revoked(ended, moment.now);
        self.post.wake();
        Ok(account)
    }

    async fn set(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        actor: Actor,
        id: Uuid,
        checked: Checked,
    ) -> Result<(Account, Vec<Revocation>), AccountError> {
        let now = system.moment().now;
        let before = records::account(transaction, system, id).await?.ok_or(AccountError::UserUnknown)?;
        let mut row = vec![("updated_at", Value::Timestamp(now))];
        let mut voids = false;
        if let Some(app) = checked.app {
            let merged = crate::account::merge(before.app_metadata.clone(), app);
            check_app_metadata(&merged)?;
            let merged = Json::Object(merged);
            voids = merged != before.app_metadata;
            row.push(("app_metadata", Value::Json(merged.to_string())));
        }
        if let Some(user) = checked.user {
            let merged = crate::account::merge(before.user_metadata.clone(), user);
            check_metadata(&merged)?;
            row.push(("user_metadata", Value::Json(Json::Object(merged).to_string())));
        }
        let app_changed = voids;
        let told_ban = checked.ban.map(|ban| match ban {
            Ban::Lifted => 0,
            Ban::For(micros) => micros / 1_000_000,
        });
        let email = checked.email.filter(|email| before.email.as_ref() != Some(email));
        if let Some(email) = &email {
            row.push(("email", Value::text(email)));
            row.push(("new_email", Value::Null));
            row.push(("is_anonymous", Value::Bool(false)));
            voids = true;
        }
        // The owner's word is proof.
        match checked.confirmed {
            Some(false) => row.push(("email_proved_at", Value::Null)),
            Some(true) => row.push(("email_proved_at", Value::Timestamp(now))),
            None if email.is_some() => row.push(("email_proved_at", Value::Timestamp(now))),
            None => {}
        }
        match checked.confirmed {
            Some(true) if before.email_confirmed_at.is_none() => {
                row.push(("email_confirmed_at", Value::Timestamp(now)));
            }
            Some(false) => row.push(("email_confirmed_at", Value::Null)),
            _ => {}
        }
        let ends = checked.password_hash.is_some() || matches!(checked.ban, Some(Ban::For(micros)) if micros > 0);
        let changes_password = checked.password_hash.is_some();
        if let Some(hash) = checked.password_hash {
            row.push(("password_hash", Value::Text(hash)));
        }
        if let Some(ban) = checked.ban {
            row.push(("banned_until", banned_until(ban, now)));
        }
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id)).with_row(row);
        transaction.write(system, request, None).await?;
        if email.is_some() || ends {
            one_time::void(transaction, system, id).await?;
        }
        if let Some(email) = &email {
            self.settle_identity(transaction, system, id, email, None).await?;
            profile::change_email(transaction, system, id, email).await?;
        }
        if let Some(old) = before.email.as_ref().filter(|_| email.is_some()) {
            self.queue(transaction, system, Letter::to(MailKind::EmailChanged, old)).await?;
        }
        if changes_password {
            self.tell_user(transaction, system, id, (MailKind::PasswordChanged, "password")).await?;
        }
        let told = serde_json::json!({
            "email": email.is_some(), "ends_sessions": ends, "app_metadata": app_changed, "ban": told_ban,
        });
        let event = Event::new("user_modified", actor, id).with(told);
        audit::note(transaction, system.moment(), event).await?;
        let sessions = self.sessions_of(transaction, system, id).await?;
        let ended = match (ends, voids) {
            (true, _) => self.end_sessions(transaction, system, &sessions).await?,
            (false, true) => self.void_tokens(transaction, system, &sessions).await?,
            (false, false) => Vec::new(),
        };
        let account = records::account(transaction, system, id).await?.ok_or(AccountError::UserUnknown)?;
        Ok((account, ended))
    }

    pub(crate) async fn remove_account_by_id(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        id: Uuid,
    ) -> Result<Account, AccountError> {
        let actor = demand_owner(&caller, AccountsReach::Admin)?;
        self.apply_to(visit, actor, id, Change::Remove).await
    }

    pub(crate) async fn end_sessions_by_id(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        id: Uuid,
    ) -> Result<(), AccountError> {
        let actor = demand_owner(&caller, AccountsReach::Admin)?;
        self.apply_to(visit, actor, id, Change::EndSessions).await.map(|_| ())
    }

    /// One of the changes of the command line, by id.
    async fn apply_to(
        self: Arc<Self>,
        visit: Visit,
        actor: Actor,
        id: Uuid,
        change: Change,
    ) -> Result<Account, AccountError> {
        let (core, moment) = (self.clone(), visit.moment);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, change) = (core.clone(), change.clone());
            Box::pin(async move {
                let system = Caller::system(moment);
                let done = core.apply(transaction, &system, actor, id, change).await?;
                settle(done.ok_or(AccountError::UserUnknown))
            })
        });
        let (account, ended) = done.await??;
        self.revoked(ended, moment.now);
        Ok(account)
    }

    pub(crate) async fn remove_factor_by_id(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        id: Uuid,
        factor: Uuid,
    ) -> Result<(), AccountError> {
        let actor = demand_owner(&caller, AccountsReach::Admin)?;
        let (core, moment) = (self.clone(), visit.moment);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(moment);
                let Some(account) = records::account(transaction, &system, id).await? else {
                    return settle(Err(AccountError::UserUnknown));
                };
                if !account.factors.iter().any(|known| known.id == factor) {
                    return settle(Err(FactorError::Missing.into()));
                }
                let event = Event::new("factor_deleted", actor, id);
                let detail = serde_json::json!({ "factor": factor.to_string() });
                audit::note(transaction, moment, event.with(detail)).await?;
                settle(core.drop_factor(transaction, &system, id, factor, None).await)
            })
        });
        self.revoked(done.await??, moment.now);
        self.post.wake();
        Ok(())
    }

    pub(crate) async fn sessions_by_id(&self, caller: &Caller, id: Uuid) -> Result<Vec<AccountSession>, AccountError> {
        self.find(caller, id).await?;
        Ok(self.list_sessions(&Caller::system(caller.moment()), id, None).await?)
    }
}

fn banned_until(ban: Ban, now: i64) -> Value {
    match ban {
        Ban::Lifted | Ban::For(0) => Value::Null,
        Ban::For(micros) => Value::Timestamp(now.saturating_add(micros)),
    }
}

async fn make(
    transaction: &mut Transaction<'_>,
    (moment, actor): (undergird_plan::caller::Moment, Actor),
    (id, identity): (Uuid, Uuid),
    email: String,
    checked: Checked,
) -> Result<Account, AccountError> {
    let system = Caller::system(moment);
    if records::user(transaction, &system, id).await?.is_some() {
        return Err(AccountError::IdTaken);
    }
    let told = checked.user.unwrap_or_default();
    let profile = profile::create(transaction.app().model(), id, Some(&email), &told, moment)?;
    let app = crate::account::merge(app_metadata(&[]), checked.app.unwrap_or_default());
    check_app_metadata(&app)?;
    let user = NewUser {
        id,
        identity,
        email: Some(email),
        invited: false,
        owner_made: true,
        password_hash: checked.password_hash,
        confirmed: checked.confirmed.unwrap_or(false),
        app_metadata: Json::Object(app),
        user_metadata: Json::Object(told),
    };
    let is_proved = user.confirmed;
    user.create(transaction, &system, &Gate::open()).await?;
    if is_proved {
        records::prove_address(transaction, &system, id).await?;
    }
    if let Some(ban) = checked.ban {
        let row = [("banned_until", banned_until(ban, moment.now))];
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id)).with_row(row);
        transaction.write(&system, request, None).await?;
    }
    if let Some(profile) = profile {
        transaction.write(&system, profile, None).await?;
    }
    audit::note(transaction, moment, Event::new("user_made", actor, id)).await?;
    let account = records::account(transaction, &system, id).await?;
    account.ok_or_else(|| Failure::Internal("an account vanished".into()).into())
}
