//! Sessions as their owner sees them: which there are, and ending one of them.

use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::records::{self, SESSIONS};
use crate::sessions::{self, AAL1};
use std::sync::Arc;
use undergird_engine::accounts::{AccountError, AccountSession, Visit};
use undergird_engine::{Failure, Isolation, Outcome, Record};
use undergird_model::Value;
use undergird_plan::Caller;
use uuid::Uuid;

/// Most that are listed; the newest ones.
const LISTED_MAX: usize = 500;

fn shown(row: &Record, current: Option<Uuid>) -> Option<AccountSession> {
    let id = row.uuid("id")?;
    Some(AccountSession {
        id,
        created_at: row.int("created_at")?,
        refreshed_at: row.int("refreshed_at")?,
        not_after: row.int("not_after")?,
        aal: row.text("aal").unwrap_or(AAL1).to_owned(),
        method: row.text("method").unwrap_or_default().to_owned(),
        user_agent: row.text("user_agent").map(str::to_owned),
        ip: row.text("ip").map(str::to_owned),
        current: current == Some(id),
    })
}

impl Core {
    /// The sessions of an account that have not ended, newest first.
    pub(crate) async fn list_sessions(
        &self,
        system: &Caller,
        user: Uuid,
        current: Option<Uuid>,
    ) -> Result<Vec<AccountSession>, Failure> {
        let of_user = records::by("user_id", Value::Uuid(user), SESSIONS);
        // Their ids are of UUID v7: as old as the session.
        let mut page = records::page(of_user, "id", None, LISTED_MAX);
        page.shape.order[0].descending = true;
        let rows = self.engine.records(system, page).await?;
        let listed = rows.iter().filter_map(|row| shown(row, current));
        Ok(listed.filter(|session| system.moment().now < session.not_after).collect())
    }

    /// The sessions of the caller's account.
    pub(crate) async fn sessions(&self, caller: &Caller) -> Result<Vec<AccountSession>, AccountError> {
        let (user, current) = sessions::of_caller(caller)?;
        Ok(self.list_sessions(&Caller::system(caller.moment()), user, Some(current)).await?)
    }

    /// Ends one session of the caller's account.
    pub(crate) async fn end_session(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        session: Uuid,
    ) -> Result<(), AccountError> {
        let (user, _) = sessions::of_caller(&caller)?;
        let (core, moment) = (self.clone(), visit.moment);
        let ended = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(moment);
                let rows = transaction.records(&system, records::by("id", Value::Uuid(session), SESSIONS)).await?;
                if rows.first().and_then(|row| row.uuid("user_id")) != Some(user) {
                    return Ok(Outcome::rollback(None));
                }
                let event = Event::new("logout", Actor::User, user).in_session(session).from(visit.address);
                audit::note(transaction, moment, event).await?;
                Ok(Outcome::commit(Some(core.end_sessions(transaction, &system, &[session]).await?)))
            })
        });
        // Somebody else's is as good as none.
        self.revoked(ended.await?.ok_or(AccountError::SessionUnknown)?, moment.now);
        Ok(())
    }
}
