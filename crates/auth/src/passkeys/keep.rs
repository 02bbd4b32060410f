//! Keeping passkeys: which there are, their names, and removing one, for their owner and for the owner of the application.

use super::is_passkey;
use crate::administration::demand_owner;
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::factors::{demand_aal2, factors_of, session_of, settle};
use crate::mail::MailKind;
use crate::records::{self, PASSKEYS, SESSIONS};
use crate::revocations::Revocation;
use crate::sessions;
use serde_json::json;
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, Passkey, PasskeyError, Visit};
use undergird_engine::{Failure, Isolation, Record, Transaction};
use undergird_model::Value;
use undergird_plan::request::{Request, Verb};
use undergird_plan::{AccountsReach, Caller};
use uuid::Uuid;

/// Longest name of a passkey, as in Supabase Auth.
const NAME_CHARS_MAX: usize = 120;

/// A name as it is kept.
pub(super) fn check_name(name: &str) -> Result<String, AccountError> {
    let name = name.trim();
    match (1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        true => Ok(name.to_owned()),
        false => Err(PasskeyError::BadName.into()),
    }
}

fn shown(row: &Record) -> Option<Passkey> {
    Some(Passkey {
        id: row.uuid("id")?,
        name: row.text("name").map(str::to_owned),
        created_at: row.int("created_at")?,
        last_used_at: row.int("last_used_at"),
    })
}

/// A passkey of an account. Somebody else's is as good as none.
async fn passkey_of(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    passkey: Uuid,
) -> Result<Record, AccountError> {
    let rows = transaction.records(system, records::by("id", Value::Uuid(passkey), PASSKEYS)).await?;
    let own = |row: &Record| row.uuid("user_id") == Some(user) && is_passkey(row);
    rows.into_iter().find(own).ok_or_else(|| PasskeyError::Missing.into())
}

impl Core {
    /// The caller's passkeys.
    pub(crate) async fn passkeys(&self, caller: &Caller) -> Result<Vec<Passkey>, AccountError> {
        let (user, _) = sessions::of_caller(caller)?;
        Ok(self.list_passkeys(caller, user).await?)
    }

    /// Those of an account.
    pub(crate) async fn passkeys_by_id(&self, caller: &Caller, user: Uuid) -> Result<Vec<Passkey>, AccountError> {
        self.find(caller, user).await?;
        Ok(self.list_passkeys(caller, user).await?)
    }

    async fn list_passkeys(&self, caller: &Caller, user: Uuid) -> Result<Vec<Passkey>, Failure> {
        let system = Caller::system(caller.moment());
        let rows = self.engine.records(&system, records::by("user_id", Value::Uuid(user), PASSKEYS)).await?;
        let mut listed: Vec<_> = rows.iter().filter(|row| is_passkey(row)).filter_map(shown).collect();
        // Ids are of UUID v7: as old as the passkey.
        listed.sort_by_key(|passkey| passkey.id);
        Ok(listed)
    }

    /// Names one.
    pub(crate) async fn rename_passkey(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        passkey: Uuid,
        name: String,
    ) -> Result<Passkey, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        let name = check_name(&name)?;
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let name = name.clone();
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(rename(transaction, &system, (user, session), passkey, name).await)
            })
        });
        done.await?
    }

    /// Removes one of the caller's.
    pub(crate) async fn remove_passkey(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        passkey: Uuid,
    ) -> Result<(), AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        self.demand_recent(&visit, session).await?;
        let (core, now) = (self.clone(), visit.moment.now);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(core.remove_own(transaction, &system, (user, session), passkey).await)
            })
        });
        self.revoked(done.await??, now);
        self.post.wake();
        Ok(())
    }

    async fn remove_own(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (user, session): (Uuid, Uuid),
        passkey: Uuid,
    ) -> Result<Vec<Revocation>, AccountError> {
        let row = session_of(transaction, system, user, session).await?;
        demand_aal2(&row, &factors_of(transaction, system, user).await?)?;
        let event = Event::new("passkey_deleted", Actor::User, user).in_session(session);
        self.drop_passkey(transaction, system, user, passkey, Some(session), event).await
    }

    /// Removes one of an account's.
    pub(crate) async fn remove_passkey_by_id(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        user: Uuid,
        passkey: Uuid,
    ) -> Result<(), AccountError> {
        let actor = demand_owner(&caller, AccountsReach::Admin)?;
        let (core, moment) = (self.clone(), visit.moment);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(moment);
                if records::user(transaction, &system, user).await?.is_none() {
                    return settle(Err(AccountError::UserUnknown));
                }
                let event = Event::new("passkey_deleted", actor, user);
                settle(core.drop_passkey(transaction, &system, user, passkey, None, event).await)
            })
        });
        self.revoked(done.await??, moment.now);
        self.post.wake();
        Ok(())
    }

    /// Whoever has it may be a thief: the sessions that it began end with it, but for `keep`.
    async fn drop_passkey(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
        passkey: Uuid,
        keep: Option<Uuid>,
        event: Event,
    ) -> Result<Vec<Revocation>, AccountError> {
        passkey_of(transaction, system, user, passkey).await?;
        let gone = Request::new(PASSKEYS, Verb::Delete).with_equal("id", Value::Uuid(passkey));
        transaction.write(system, gone, None).await?;
        let begun = records::by("user_id", Value::Uuid(user), SESSIONS);
        let begun = transaction.records(system, begun.with_equal("passkey_id", Value::Uuid(passkey))).await?;
        let begun: Vec<_> = begun.iter().filter_map(|row| row.uuid("id")).filter(|id| Some(*id) != keep).collect();
        let detail = json!({ "passkey": passkey.to_string(), "sessions": begun.len() });
        audit::note(transaction, system.moment(), event.with(detail)).await?;
        self.tell_user(transaction, system, user, (MailKind::PasskeyRemoved, super::METHOD)).await?;
        Ok(self.end_sessions(transaction, system, &begun).await?)
    }
}

async fn rename(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    (user, session): (Uuid, Uuid),
    passkey: Uuid,
    name: String,
) -> Result<Passkey, AccountError> {
    session_of(transaction, system, user, session).await?;
    let row = passkey_of(transaction, system, user, passkey).await?;
    let named = Request::new(PASSKEYS, Verb::Update).with_equal("id", Value::Uuid(passkey));
    transaction.write(system, named.with_row([("name", Value::text(&name))]), None).await?;
    let event = Event::new("passkey_updated", Actor::User, user).in_session(session);
    audit::note(transaction, system.moment(), event.with(json!({ "passkey": passkey.to_string() }))).await?;
    let told = shown(&row).ok_or(PasskeyError::Missing)?;
    Ok(Passkey { name: Some(name), ..told })
}
