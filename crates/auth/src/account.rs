//! One's own account: seeing it, changing it.
//!
//! A change of address or password wants more than a token, which may be stolen: the current password, a sign-in in the last
//! [`RECENT_MICROS`], or a code that was sent to the account's address. A changed password ends the account's other sessions; either
//! change voids what was sent before. Where addresses are confirmed, a new one waits until its link was followed.

use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::mail::{Letter, MailKind};
use crate::one_time;
use crate::password::{self, too_many};
use crate::records::{self, FACTORS, IDENTITIES, SESSIONS, USERS};
use crate::sessions;
use crate::sign_up::{check_email, check_metadata, or_taken};
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountChange, AccountError, LinkError, LinkKind, Visit};
use undergird_engine::{Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

/// How long a sign-in counts as recent.
pub(crate) const RECENT_MICROS: i64 = 15 * 60 * 1_000_000;

/// What is to be written, all checked.
#[derive(Clone, Default)]
struct Checked {
    /// To be the account's at once.
    email: Option<String>,
    /// To be the account's when it is confirmed.
    new_email: Option<Letter>,
    password_hash: Option<String>,
    data: Option<Map<String, Json>>,
    /// The hash that the proof was about: when it is another by then, the proof is void.
    proved_against: Option<String>,
}

impl Core {
    pub(crate) async fn account(&self, caller: &Caller) -> Result<Account, AccountError> {
        let (id, _) = sessions::of_caller(caller)?;
        let system = Caller::system(caller.moment());
        let user = self.engine.records(&system, records::by("id", Value::Uuid(id), USERS)).await?;
        let user = user.first().ok_or(AccountError::AccountMissing)?;
        let identities = self.engine.records(&system, records::by("user_id", Value::Uuid(id), IDENTITIES)).await?;
        let factors = self.engine.records(&system, records::by("user_id", Value::Uuid(id), FACTORS)).await?;
        Ok(records::to_account(user, &identities, &factors))
    }

    pub(crate) async fn update(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        change: AccountChange,
    ) -> Result<Account, AccountError> {
        let (id, session) = sessions::of_caller(&caller)?;
        let system = Caller::system(visit.moment);
        let user = self.engine.records(&system, records::by("id", Value::Uuid(id), USERS)).await?;
        let user = user.into_iter().next().ok_or(AccountError::AccountMissing)?;
        let checked = self.check_change(&visit, session, &user, change).await?;
        let core = self.clone();
        let moment = visit.moment;
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, checked) = (core.clone(), checked.clone());
            Box::pin(async move {
                let system = Caller::system(moment);
                match core.change(transaction, &system, id, session, checked).await {
                    Ok(done) => Ok(Outcome::commit(Ok(done))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        let (account, ended) = done.await.map_err(or_taken)??;
        self.revoked(ended, moment.now);
        self.post.wake();
        Ok(account)
    }

    async fn check_change(
        &self,
        visit: &Visit,
        session: Uuid,
        user: &Record,
        change: AccountChange,
    ) -> Result<Checked, AccountError> {
        let settings = self.engine.app().model().settings.auth.clone();
        let current_email = user.text("email").unwrap_or_default();
        let is_anonymous = user.flag("is_anonymous");
        let hash = user.text("password_hash");
        let email = change.email.map(|email| check_email(&email)).transpose()?.filter(|email| email != current_email);
        let id = user.uuid("id").ok_or(AccountError::AccountMissing)?;
        let (email, new_email) = match email {
            Some(email) if settings.confirm_email => {
                self.demand_post()?;
                let letter = self.letter(MailKind::Link(LinkKind::EmailChange), &email, change.wish)?;
                (None, Some(Letter { user: Some(id), ..letter }))
            }
            email => (email, None),
        };
        if change.password.is_some() && is_anonymous && email.is_none() {
            return Err(LinkError::NeedsAddress.into());
        }
        if let Some(data) = &change.data {
            check_metadata(data)?;
        }
        let mut checked = Checked { email, new_email, data: change.data, ..Checked::default() };
        if checked.email.is_none() && checked.new_email.is_none() && change.password.is_none() {
            return Ok(checked);
        }
        self.demand_assurance(visit, user, session).await?;
        let has_proved = match &change.current_password {
            Some(current) if self.prove(visit, current_email, current, hash).await? => true,
            Some(_) => return Err(self.tell_wrong_proof(visit, (id, session), "password").await?),
            // The session is all that an anonymous account has.
            None if is_anonymous => true,
            None => match self.demand_recent(visit, session).await {
                Err(AccountError::ReauthenticationNeeded) if change.nonce.is_some() => false,
                recent => recent.map(|()| true)?,
            },
        };
        checked.proved_against = hash.map(str::to_owned);
        if let Some(password) = &change.password {
            let to = checked.new_email.as_ref().map(|letter| letter.email.as_str());
            password::check(password, checked.email.as_deref().or(to).unwrap_or(current_email), settings.password_min)?;
            self.budgets.password_changes.take(&id, visit.moment.now).map_err(too_many)?;
            if self.hasher.verify(password, hash).await? {
                return Err(AccountError::SamePassword);
            }
            checked.password_hash = Some(self.hasher.hash(password).await?);
        }
        if let Some(letter) = &checked.new_email {
            self.spend_mail_to(visit, &letter.email)?;
        }
        // Last: it is used up by this.
        if let Some(nonce) = change.nonce.as_ref().filter(|_| !has_proved) {
            self.prove_by_nonce(visit, (id, session), current_email, nonce).await?;
        }
        Ok(checked)
    }

    /// Notes that the proof for a change was wrong; what to answer.
    pub(crate) async fn tell_wrong_proof(
        &self,
        visit: &Visit,
        (user, session): (Uuid, Uuid),
        method: &str,
    ) -> Result<AccountError, AccountError> {
        let event = Event::new("reauthentication_failed", Actor::User, user).in_session(session).from(visit.address);
        self.note_alone(visit.moment, event.with(serde_json::json!({ "method": method }))).await?;
        Ok(AccountError::InvalidCredentials)
    }

    pub(crate) async fn demand_recent(&self, visit: &Visit, session: Uuid) -> Result<(), AccountError> {
        let system = Caller::system(visit.moment);
        let rows = self.engine.records(&system, records::by("id", Value::Uuid(session), SESSIONS)).await?;
        let row = rows.first().ok_or(AccountError::SessionMissing)?;
        // A second factor is as good a proof as a sign-in.
        let proved_at = row.int("created_at").max(row.int("factor_at")).unwrap_or(0);
        let age = visit.moment.now.saturating_sub(proved_at);
        if age <= RECENT_MICROS { Ok(()) } else { Err(AccountError::ReauthenticationNeeded) }
    }

    async fn change(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        id: Uuid,
        session: Uuid,
        checked: Checked,
    ) -> Result<(Account, Vec<crate::revocations::Revocation>), AccountError> {
        let now = Value::Timestamp(system.moment().now);
        let user = records::user(transaction, system, id).await?.ok_or(AccountError::AccountMissing)?;
        let sensitive = checked.email.is_some() || checked.new_email.is_some() || checked.password_hash.is_some();
        if sensitive && user.text("password_hash").map(str::to_owned) != checked.proved_against {
            return Err(AccountError::ReauthenticationNeeded);
        }
        let changes_password = checked.password_hash.is_some();
        if checked.email.is_some() || changes_password {
            one_time::void(transaction, system, id).await?;
        }
        let mut row = vec![("updated_at", now.clone())];
        if let Some(data) = checked.data {
            let merged = merge(records::json(&user, "user_metadata"), data);
            check_metadata(&merged)?;
            row.push(("user_metadata", Value::Json(Json::Object(merged).to_string())));
        }
        if let Some(letter) = &checked.new_email {
            one_time::void_change(transaction, system, id).await?;
            row.push(("new_email", Value::text(&letter.email)));
        }
        if let Some(hash) = checked.password_hash {
            row.push(("password_hash", Value::Text(hash)));
        }
        let request = Request::new(USERS, Verb::Update).with_equal("id", Value::Uuid(id)).with_row(row);
        transaction.write(system, request, None).await?;
        let old_email = user.text("email");
        if let Some(email) = &checked.email {
            self.set_email(transaction, system, id, email).await?;
            if let Some(old) = old_email {
                self.queue(transaction, system, Letter::to(MailKind::EmailChanged, old)).await?;
            }
        }
        let asks_email = checked.new_email.is_some();
        if let Some(letter) = checked.new_email {
            if old_email.is_some() && transaction.app().model().settings.auth.double_confirm_changes {
                let current = Letter { kind: MailKind::Link(LinkKind::EmailChangeCurrent), ..letter.clone() };
                self.queue(transaction, system, current).await?;
            }
            self.queue(transaction, system, letter).await?;
        }
        if let Some(email) = old_email.filter(|_| changes_password) {
            self.queue(transaction, system, Letter::to(MailKind::PasswordChanged, email)).await?;
        }
        let event = Event::new("user_modified", Actor::User, id).in_session(session);
        let told = serde_json::json!({ "email": checked.email.is_some(), "new_email": asks_email, "password": changes_password });
        audit::note(transaction, system.moment(), event.with(told)).await?;
        let mut ended = Vec::new();
        if changes_password {
            let mut others = self.sessions_of(transaction, system, id).await?;
            others.retain(|other| *other != session);
            ended = self.end_sessions(transaction, system, &others).await?;
        }
        let account = records::account(transaction, system, id).await?.ok_or(AccountError::AccountMissing)?;
        Ok((account, ended))
    }
}

/// Member by member; null removes.
pub(crate) fn merge(stored: Json, change: Map<String, Json>) -> Map<String, Json> {
    let mut merged = match stored {
        Json::Object(members) => members,
        _ => Map::new(),
    };
    for (name, value) in change {
        if value.is_null() {
            merged.remove(&name);
        } else {
            merged.insert(name, value);
        }
    }
    merged
}
