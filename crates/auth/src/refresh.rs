//! Refreshing a session: the refresh token is used up and replaced.
//!
//! A token that is used a second time was stolen, or its thief was first: the whole session ends. One exception, as in GoTrue: a client
//! whose answer was lost, or two tabs at once, may repeat itself for [`GRACE_MICROS`], and get *the same* next token again, as long as
//! that one was not used yet. So a hundred parallel uses give one successor, never a hundred. GoTrue forgives longer when the successor
//! was never used; here ten seconds are all.
//!
//! The successor need not be stored to be given twice: it is a MAC of its predecessor under a key derived from the secret API key.
//! Only hashes are kept.

use crate::api_keys::sha256;
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::hooks::Foreseen;
use crate::password::too_many;
use crate::records::{self, REFRESH_TOKENS, SESSIONS};
use crate::revocations::Revocation;
use crate::sessions::{DAY_MICROS, REFRESH, REFRESH_PREFIX, Second, Started, refresh_token, token_row};
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountError, Secret, Session, Visit};
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{ColumnPath, IsOperand};
use undergird_plan::request::{Condition, Operator, Request, Test, Verb};

/// How long the answer to a refresh may be asked for again.
pub(crate) const GRACE_MICROS: i64 = 10_000_000;

/// How a refresh ended, all of them committed.
enum Ended {
    Next(Box<Started>),
    /// Refused, and the session ended with it.
    Revoked(AccountError, Vec<Revocation>),
}

impl Core {
    /// The next pair of tokens of a session.
    pub(crate) async fn refresh(self: Arc<Self>, visit: Visit, token: Secret) -> Result<Session, AccountError> {
        if !token.expose().starts_with(REFRESH_PREFIX) || token.expose().len() > 128 {
            return Err(AccountError::RefreshTokenUnknown);
        }
        let core = self.clone();
        let now = visit.moment.now;
        let hash = Value::Bytes(sha256(token.expose().as_bytes()).to_vec());
        let found =
            self.engine.records(&Caller::system(visit.moment), records::by("hash", hash, REFRESH_TOKENS)).await?;
        let session = found.first().and_then(|row| row.uuid("session_id")).ok_or(AccountError::RefreshTokenUnknown)?;
        self.budgets.refreshes.take(&session, now).map_err(too_many)?;
        let foreseen = match self.asks_about_claims() {
            true => self.foresee_refresh(&visit, session).await?,
            false => None,
        };
        let ended = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, token) = (core.clone(), visit.clone(), token.clone());
            Box::pin(async move {
                match core.rotate(transaction, &visit, &token).await {
                    Ok(ended) => Ok(Outcome::commit(Ok(ended))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        match ended.await?? {
            Ended::Next(started) => self.tokens_again(*started, foreseen).await,
            Ended::Revoked(error, revocations) => {
                self.revoked(revocations, now);
                Err(error)
            }
        }
    }

    /// Asks the hook before the token is used up. None: there will be nothing to sign.
    async fn foresee_refresh(&self, visit: &Visit, session: uuid::Uuid) -> Result<Option<Foreseen>, AccountError> {
        let moment = visit.moment;
        let found = self.engine.transaction(Isolation::Committed, move |transaction| {
            Box::pin(async move {
                let system = Caller::system(moment);
                let rows = transaction.records(&system, records::by("id", Value::Uuid(session), SESSIONS)).await?;
                let Some(row) = rows.into_iter().next() else { return Ok(Outcome::rollback(None)) };
                let user = row.uuid("user_id").unwrap_or_default();
                let account = records::account(transaction, &system, user).await?;
                Ok(Outcome::rollback(account.map(|account| (row, account))))
            })
        });
        let Some((row, account)) = found.await? else { return Ok(None) };
        let now = moment.now;
        let is_over = now >= row.int("not_after").unwrap_or(0);
        if is_over || account.banned_until.is_some_and(|until| now < until) {
            return Ok(None);
        }
        let tokens_until = self.token_end(now, row.int("not_after").unwrap_or(now));
        let next = Secret::new(String::new());
        let started = next_of(&row, account, next, tokens_until, visit);
        self.foresee(self.claims_of(&started), REFRESH, visit.address).await.map(Some)
    }

    async fn rotate(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        token: &Secret,
    ) -> Result<Ended, AccountError> {
        let system = Caller::system(visit.moment);
        let now = visit.moment.now;
        let hash = sha256(token.expose().as_bytes());
        let found = by_hash(transaction, &system, &hash).await?.ok_or(AccountError::RefreshTokenUnknown)?;
        let session = found.uuid("session_id").ok_or(AccountError::RefreshTokenUnknown)?;
        let rows = transaction.records(&system, records::by("id", Value::Uuid(session), SESSIONS)).await?;
        let row = rows.into_iter().next().ok_or(AccountError::RefreshTokenUnknown)?;
        let not_after = row.int("not_after").unwrap_or(0);
        let idle_days = transaction.app().model().settings.auth.session_idle_days;
        let idle_after =
            row.int("refreshed_at").unwrap_or(0).saturating_add(DAY_MICROS.saturating_mul(idle_days.into()));
        if now >= not_after.min(idle_after) {
            let ended = self.end_sessions(transaction, &system, &[session]).await?;
            return Ok(Ended::Revoked(AccountError::SessionExpired, ended));
        }
        let user = row.uuid("user_id").unwrap_or_default();
        let account = records::account(transaction, &system, user).await?.ok_or(AccountError::RefreshTokenUnknown)?;
        if account.banned_until.is_some_and(|until| now < until) {
            let ended = self.end_sessions(transaction, &system, &[session]).await?;
            return Ok(Ended::Revoked(AccountError::Banned, ended));
        }
        let next = refresh_token(self.derived.successor(token.expose()));
        let mut tokens_until = self.token_end(now, not_after);
        match found.int("used_at") {
            None => {
                self.use_up(transaction, &system, &hash, &next, (session, tokens_until)).await?;
                let event = Event::new("token_refreshed", Actor::User, user).in_session(session).from(visit.address);
                audit::note(transaction, visit.moment, event).await?;
            }
            Some(used_at) => {
                let next_hash = sha256(next.expose().as_bytes());
                let successor = by_hash(transaction, &system, &next_hash).await?;
                let unused = successor.is_some_and(|successor| successor.int("used_at").is_none());
                if now.saturating_sub(used_at) > GRACE_MICROS || !unused {
                    tracing::warn!(%session, %user, "a refresh token was used twice; its session was ended");
                    let event =
                        Event::new("token_revoked", Actor::System, user).in_session(session).from(visit.address);
                    audit::note(transaction, visit.moment, event).await?;
                    let ended = self.end_sessions(transaction, &system, &[session]).await?;
                    return Ok(Ended::Revoked(AccountError::RefreshTokenUsed, ended));
                }
                // Written down already is how long the tokens of this session live; this one lives no longer.
                tokens_until = row.int("tokens_until").unwrap_or(tokens_until).min(tokens_until);
            }
        }
        Ok(Ended::Next(Box::new(next_of(&row, account, next, tokens_until, visit))))
    }

    async fn use_up(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        hash: &[u8],
        next: &Secret,
        (session, tokens_until): (uuid::Uuid, i64),
    ) -> Result<(), AccountError> {
        let now = system.moment().now;
        let mut used = Request::new(REFRESH_TOKENS, Verb::Update).with_equal("hash", Value::Bytes(hash.to_vec()));
        // In the change itself: whoever comes second changes nothing, also where transactions run side by side.
        used.shape.filter.push(Condition::Test(Test {
            column: ColumnPath { name: "used_at".into(), steps: Vec::new() },
            operator: Operator::Is(IsOperand::Null),
            operand: None,
        }));
        let used = used.with_row([("used_at", Value::Timestamp(now))]);
        if transaction.write(system, used, None).await?.affected != 1 {
            return Err(Failure::Conflict.into());
        }
        let row = token_row(next, session, Some(hash), now);
        transaction.write(system, Request::new(REFRESH_TOKENS, Verb::Create).with_row(row), None).await?;
        let of_session = Request::new(SESSIONS, Verb::Update).with_equal("id", Value::Uuid(session));
        let row = [("refreshed_at", Value::Timestamp(now)), ("tokens_until", Value::Timestamp(tokens_until))];
        transaction.write(system, of_session.with_row(row), None).await?;
        Ok(())
    }
}

/// The session as it goes on.
fn next_of(row: &Record, account: Account, next: Secret, tokens_until: i64, visit: &Visit) -> Started {
    let now = visit.moment.now;
    Started {
        account,
        session: row.uuid("id").unwrap_or_default(),
        refresh_token: next,
        aal: row.text("aal").unwrap_or("aal1").to_owned(),
        method: row.text("method").unwrap_or("password").to_owned(),
        second: Second::of(row),
        created_at: row.int("created_at").unwrap_or(now),
        not_after: row.int("not_after").unwrap_or(0),
        generation: row.int("generation").unwrap_or(0),
        tokens_until,
        displaced: Vec::new(),
        address: visit.address,
        now,
    }
}

async fn by_hash(transaction: &mut Transaction<'_>, system: &Caller, hash: &[u8]) -> Result<Option<Record>, Failure> {
    let request = records::by("hash", Value::Bytes(hash.to_vec()), REFRESH_TOKENS);
    Ok(transaction.records(system, request).await?.into_iter().next())
}
