//! Accounts that nobody uses: anonymous ones that were left, and sign-ups that nobody ever confirmed. Removed by the housekeeping, where the
//! settings say so.
//!
//! Each goes in a transaction of its own, with its profile row. One to whose profile other rows refer, and may not go with it, stays.
//!
//! Deliberately absent: what the owner made or invited, and whoever ever signed in with an address. They are the application's to remove.

use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::records::{self, SESSIONS, USERS};
use crate::revocations::Revocation;
use crate::sessions::DAY_MICROS;
use std::sync::Arc;
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// Accounts looked at in one sweep; the next one goes on behind them.
const LOOKED_AT_MAX: usize = 1_000;

/// How long accounts are kept that nobody uses, in microseconds; `None`: for ever.
#[derive(Clone, Copy)]
struct Kept {
    anonymous: Option<i64>,
    unconfirmed: Option<i64>,
}

impl Kept {
    /// Whether an account is old enough to go, as far as its own row tells.
    fn is_over(self, user: &Record, now: i64) -> bool {
        let is_older = |than: Option<i64>| {
            than.zip(user.int("created_at")).is_some_and(|(than, at)| at.saturating_add(than) <= now)
        };
        if user.int("email_confirmed_at").is_some() || user.flag("owner_made") || user.int("invited_at").is_some() {
            return false;
        }
        match user.flag("is_anonymous") {
            true => is_older(self.anonymous),
            // Whoever ever signed in is no such account, whatever the owner said of its address since.
            false => is_older(self.unconfirmed) && user.int("last_sign_in_at").is_none(),
        }
    }
}

impl Core {
    /// Removes accounts that nobody uses.
    pub(crate) async fn sweep_accounts(self: &Arc<Self>, moment: Moment) -> Result<(), Failure> {
        let app = self.engine.app();
        let settings = &app.model().settings.auth;
        let days = |days: u32| (days > 0).then(|| DAY_MICROS.saturating_mul(days.into()));
        let kept = Kept { anonymous: days(settings.anonymous_days), unconfirmed: days(settings.unconfirmed_days) };
        let Some(youngest) = kept.anonymous.into_iter().chain(kept.unconfirmed).min() else { return Ok(()) };
        let after = *self.swept_to.lock();
        let before = Operand::Value(Value::Timestamp(moment.now.saturating_sub(youngest)));
        let unconfirmed = crate::admin::where_null(Request::new(USERS, Verb::Read), "email_confirmed_at");
        let old = records::and(unconfirmed, "created_at", Operator::Lte(None), before);
        let mut looked_at = 0;
        let mut last = after;
        loop {
            let page = records::page(old.clone(), "id", last.map(Value::Uuid), records::PAGE);
            let rows = self.engine.records(&Caller::system(moment), page).await?;
            last = rows.last().and_then(|row| row.uuid("id"));
            for id in rows.iter().filter(|row| kept.is_over(row, moment.now)).filter_map(|row| row.uuid("id")) {
                match self.remove_unused(moment, id, kept).await {
                    Ok(ended) => self.revoked(ended, moment.now),
                    // Something refers to it that may not go.
                    Err(Failure::Constraint(_) | Failure::Refused(_) | Failure::Conflict) => {
                        tracing::debug!(%id, "an account that nobody uses stays");
                    }
                    Err(failure) => return Err(failure),
                }
            }
            looked_at += rows.len();
            let is_last = rows.len() < records::PAGE;
            if is_last || looked_at >= LOOKED_AT_MAX {
                *self.swept_to.lock() = last.filter(|_| !is_last);
                return Ok(());
            }
        }
    }

    /// Removes an account, if it is unused still.
    async fn remove_unused(self: &Arc<Self>, moment: Moment, id: Uuid, kept: Kept) -> Result<Vec<Revocation>, Failure> {
        let core = self.clone();
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(moment);
                let user = records::user(transaction, &system, id).await?;
                let Some(user) = user.filter(|user| kept.is_over(user, moment.now)) else {
                    return Ok(Outcome::rollback(Vec::new()));
                };
                let is_anonymous = user.flag("is_anonymous");
                if is_anonymous && is_in_use(transaction, &system, id, kept).await? {
                    return Ok(Outcome::rollback(Vec::new()));
                }
                let sessions = core.sessions_of(transaction, &system, id).await?;
                let ended = core.end_sessions(transaction, &system, &sessions).await?;
                core.remove_unconfirmed(transaction, &system, id).await?;
                let why = if is_anonymous { "anonymous" } else { "unconfirmed" };
                let event = Event::new("user_deleted", Actor::System, id).with(serde_json::json!({ "why": why }));
                audit::note(transaction, moment, event).await?;
                Ok(Outcome::commit(ended))
            })
        });
        done.await
    }
}

/// Whether a session of an anonymous account was begun or refreshed lately.
async fn is_in_use(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    kept: Kept,
) -> Result<bool, Failure> {
    let since = system.moment().now.saturating_sub(kept.anonymous.unwrap_or(i64::MAX));
    let theirs = records::by("user_id", Value::Uuid(user), SESSIONS);
    let lately = Operand::Value(Value::Timestamp(since));
    let lately = records::and(theirs, "refreshed_at", Operator::Gt(None), lately);
    Ok(!transaction.records(system, records::page(lately, "id", None, 1)).await?.is_empty())
}
