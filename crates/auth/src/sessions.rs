//! Sessions: beginning one, ending some, and the pair of tokens.
//!
//! Ending a session removes its row (and with it its refresh tokens) and writes a revocation in the same transaction; the memory of this
//! process learns of it right after the commit, other processes by reading (see [`crate::core`]).

use crate::api_keys::sha256;
use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::hooks::Foreseen;
use crate::records::{self, PAGE, REFRESH_TOKENS, REVOCATIONS, SESSIONS};
use crate::revocations::{Revocation, SKEW_MICROS, TOKEN_MICROS_MAX};
use crate::signing::SigningError;
use crate::token::{self, Grant};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use undergird_engine::accounts::{Account, AccountError, HookError, Secret, Session, SignOutScope, Visit};
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::request::{Body, ColumnPath, Input, Operand, Operator, OrderItem, Request, Verb};
use undergird_plan::{Caller, Identity};
use uuid::Uuid;

/// How refresh tokens begin, for secret scanners.
pub(crate) const REFRESH_PREFIX: &str = "ug_refresh_";

/// One factor was proved.
pub(crate) const AAL1: &str = "aal1";
/// A second one too.
pub(crate) const AAL2: &str = "aal2";

/// Most sessions of an account. One more ends the one that was not refreshed for longest: refusing it would let whoever filled them keep the
/// account's owner out.
pub const SESSIONS_MAX: usize = 100;

const USER_AGENT_CHARS_MAX: usize = 512;
/// How a refresh is called where others have the method of a sign-in.
pub(crate) const REFRESH: &str = "token_refresh";

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// A session with its newest refresh token, before its access token is signed.
#[derive(Clone)]
pub(crate) struct Started {
    pub(crate) account: Account,
    pub(crate) session: Uuid,
    pub(crate) refresh_token: Secret,
    pub(crate) aal: String,
    pub(crate) method: String,
    pub(crate) second: Option<Second>,
    pub(crate) created_at: i64,
    pub(crate) not_after: i64,
    /// Of its access tokens, see [`crate::revocations`].
    pub(crate) generation: i64,
    /// When the access token runs out; kept with the session, so that it is known how long the last of them lives.
    pub(crate) tokens_until: i64,
    /// The sessions that made room for this one.
    pub(crate) displaced: Vec<Revocation>,
    /// Where the request came from.
    pub(crate) address: Option<std::net::IpAddr>,
    pub(crate) now: i64,
}

/// The second factor by which a session was proved.
#[derive(Clone)]
pub(crate) struct Second {
    pub(crate) factor: Uuid,
    /// As `amr` says it.
    pub(crate) method: String,
    /// Microseconds.
    pub(crate) at: i64,
}

impl Second {
    /// That of a session's row, if there was one.
    pub(crate) fn of(session: &Record) -> Option<Second> {
        let (factor, method) = (session.uuid("factor_id")?, session.text("factor_method")?.to_owned());
        Some(Second { factor, method, at: session.int("factor_at")? })
    }
}

/// The caller's id and the session of the caller's token.
pub(crate) fn of_caller(caller: &Caller) -> Result<(Uuid, Uuid), AccountError> {
    let Identity::User(user) = caller.identity() else { return Err(AccountError::NotAUser) };
    let session = user.claims().get("session_id").and_then(|claim| claim.as_str());
    let session = session.and_then(|text| Uuid::try_parse(text).ok()).ok_or(AccountError::NotAUser)?;
    Ok((user.id(), session))
}

/// Whether somebody who proved to be this user may have a session.
pub(crate) fn may_sign_in(user: &Record, now: i64) -> Result<(), AccountError> {
    if user.int("banned_until").is_some_and(|until| now < until) {
        return Err(AccountError::Banned);
    }
    if user.int("email_confirmed_at").is_none() {
        return Err(AccountError::EmailNotConfirmed);
    }
    Ok(())
}

pub(crate) fn refresh_token(octets: [u8; 32]) -> Secret {
    Secret::new(format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(octets)))
}

pub(crate) fn token_row<'a>(token: &Secret, session: Uuid, parent: Option<&[u8]>, now: i64) -> [(&'a str, Value); 4] {
    [
        ("hash", Value::Bytes(sha256(token.expose().as_bytes()).to_vec())),
        ("session_id", Value::Uuid(session)),
        ("parent", parent.map_or(Value::Null, |hash| Value::Bytes(hash.to_vec()))),
        ("created_at", Value::Timestamp(now)),
    ]
}

/// The rows of these sessions.
fn these(sessions: &[Uuid], verb: Verb) -> Request {
    let ids = Operand::Values(sessions.iter().map(|id| Value::Uuid(*id)).collect());
    records::and(Request::new(SESSIONS, verb), "id", Operator::In, ids)
}

/// When the last access token of a session has run out on every node, whatever the settings were when it was given out.
fn last_token_gone(session: Option<&Record>, system: &Caller) -> i64 {
    let latest = system.moment().now.saturating_add(TOKEN_MICROS_MAX);
    let until = session.and_then(|row| row.int("tokens_until")).unwrap_or(latest);
    until.saturating_add(SKEW_MICROS)
}

impl Core {
    /// Begins a session inside a transaction. Its id is always fresh: none can be fixed in advance.
    pub(crate) async fn start_session(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        user: Uuid,
        method: &str,
    ) -> Result<Started, Failure> {
        let started = self.new_session(transaction, visit, user, method).await?;
        let event = Event::new("login", Actor::User, user).in_session(started.session).from(visit.address);
        audit::note(transaction, visit.moment, event.with(serde_json::json!({ "method": method }))).await?;
        Ok(started)
    }

    /// The same, of which the audit log is told by the caller.
    pub(crate) async fn new_session(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        user: Uuid,
        method: &str,
    ) -> Result<Started, Failure> {
        let system = Caller::system(visit.moment);
        let now = visit.moment.now;
        let account = records::account(transaction, &system, user).await?;
        let account = account.ok_or_else(|| Failure::Internal("a session was begun for no user".into()))?;
        let displaced = self.make_room(transaction, &system, user).await?;
        let days = transaction.app().model().settings.auth.session_days;
        let not_after = now.saturating_add(DAY_MICROS.saturating_mul(i64::from(days)));
        let tokens_until = self.token_end(now, not_after);
        let session = self.new_id(now)?;
        let refresh_token = refresh_token(self.random()?);
        let agent = visit.user_agent.as_ref().map(|agent| agent.chars().take(USER_AGENT_CHARS_MAX).collect::<String>());
        let row = [
            ("id", Value::Uuid(session)),
            ("user_id", Value::Uuid(user)),
            ("created_at", Value::Timestamp(now)),
            ("refreshed_at", Value::Timestamp(now)),
            ("not_after", Value::Timestamp(not_after)),
            ("tokens_until", Value::Timestamp(tokens_until)),
            ("method", Value::text(method)),
            ("aal", Value::text(AAL1)),
            // Text that the field would refuse (it holds no U+0000) must not hinder a sign-in.
            ("user_agent", agent.filter(|agent| !agent.contains('\0')).map_or(Value::Null, Value::Text)),
            ("ip", visit.address.map_or(Value::Null, |address| Value::text(address.to_string()))),
        ];
        transaction.write(&system, Request::new(SESSIONS, Verb::Create).with_row(row), None).await?;
        let row = token_row(&refresh_token, session, None, now);
        transaction.write(&system, Request::new(REFRESH_TOKENS, Verb::Create).with_row(row), None).await?;
        Ok(Started {
            account,
            session,
            refresh_token,
            aal: AAL1.into(),
            method: method.into(),
            second: None,
            created_at: now,
            not_after,
            generation: 0,
            tokens_until,
            displaced,
            address: visit.address,
            now,
        })
    }

    /// Ends the sessions of an account that are too many for one more.
    async fn make_room(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
    ) -> Result<Vec<Revocation>, Failure> {
        let column = |name: &str| ColumnPath { name: name.into(), steps: Vec::new() };
        let by = |name: &str| OrderItem { relation: None, column: column(name), descending: true, nulls_first: None };
        let number = |many: usize| Operand::Value(Value::Int(i64::try_from(many).unwrap_or(i64::MAX)));
        let mut request = records::by("user_id", Value::Uuid(user), SESSIONS);
        request.shape.order = vec![by("refreshed_at"), by("id")];
        request.shape.limit = Some(request.slot(number(PAGE)));
        request.shape.offset = Some(request.slot(number(SESSIONS_MAX - 1)));
        let rows = transaction.records(system, request).await?;
        let ids: Vec<Uuid> = rows.iter().filter_map(|row| row.uuid("id")).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let event = Event::new("logout", Actor::System, user);
        let detail = serde_json::json!({ "sessions": ids.len(), "why": "too many" });
        audit::note(transaction, system.moment(), event.with(detail)).await?;
        self.end_sessions(transaction, system, &ids).await
    }

    /// Replaces a session by one of level `aal2`, inside a transaction: what was known of the old one, its id among it, is worth nothing
    /// more. It ends when the old one would have.
    pub(crate) async fn raise_session(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        old: &Record,
        second: Second,
    ) -> Result<(Started, Vec<Revocation>), Failure> {
        let system = Caller::system(visit.moment);
        let (user, method) = (old.uuid("user_id").unwrap_or_default(), old.text("method").unwrap_or("password"));
        let mut started = self.new_session(transaction, visit, user, method).await?;
        started.created_at = old.int("created_at").unwrap_or(started.created_at);
        started.not_after = old.int("not_after").unwrap_or(started.not_after);
        started.tokens_until = started.tokens_until.min(started.not_after);
        started.aal = AAL2.into();
        let row = [
            ("created_at", Value::Timestamp(started.created_at)),
            ("not_after", Value::Timestamp(started.not_after)),
            ("aal", Value::text(AAL2)),
            ("factor_id", Value::Uuid(second.factor)),
            ("factor_method", Value::text(&second.method)),
            ("factor_at", Value::Timestamp(second.at)),
            ("passkey_id", old.uuid("passkey_id").map_or(Value::Null, Value::Uuid)),
        ];
        let raised = Request::new(SESSIONS, Verb::Update).with_equal("id", Value::Uuid(started.session));
        transaction.write(&system, raised.with_row(row), None).await?;
        let event = Event::new("mfa_verified", Actor::User, user).in_session(started.session).from(visit.address);
        let detail = serde_json::json!({ "method": second.method, "factor": second.factor.to_string() });
        audit::note(transaction, visit.moment, event.with(detail)).await?;
        started.second = Some(second);
        let ended = self.end_sessions(transaction, &system, &[old.uuid("id").unwrap_or_default()]).await?;
        Ok((started, ended))
    }

    /// When an access token that is given out now runs out.
    pub(crate) fn token_end(&self, now: i64, not_after: i64) -> i64 {
        now.saturating_add(i64::from(self.access_token_seconds()).saturating_mul(1_000_000)).min(not_after)
    }

    /// Signs the access token of a session that begins. After the commit: a token for a session that never was would be worse than a session
    /// without a token. Every access token that leaves is signed here or in [`Core::tokens_again`].
    ///
    /// # Errors
    /// The hook's, and then the session is ended: nobody has anything of it.
    pub(crate) async fn tokens(&self, mut started: Started) -> Result<Session, AccountError> {
        self.revoked(std::mem::take(&mut started.displaced), started.now);
        let method = started.second.as_ref().map_or(started.method.clone(), |second| second.method.clone());
        let dressed = match self.dress(self.claims_of(&started), &method, started.address).await {
            Ok(claims) => self.signed(&started, &claims),
            Err(error) => Err(error),
        };
        match dressed {
            Ok(access_token) => Ok(with_token(started, access_token)),
            Err(error) => {
                self.abandon(&started).await?;
                Err(error)
            }
        }
    }

    /// Signs the next access token of a session, of which a hook was asked before.
    pub(crate) async fn tokens_again(
        &self,
        started: Started,
        foreseen: Option<Foreseen>,
    ) -> Result<Session, AccountError> {
        let claims = self.claims_of(&started);
        let claims = match foreseen.and_then(|foreseen| foreseen.of(&claims)) {
            Some(dressed) => dressed,
            // None was asked, or the account changed while one was.
            None => self.dress(claims, REFRESH, started.address).await?,
        };
        let access_token = self.signed(&started, &claims)?;
        Ok(with_token(started, access_token))
    }

    /// What the access token of a session says, before any hook.
    pub(crate) fn claims_of(&self, started: &Started) -> serde_json::Map<String, serde_json::Value> {
        let second = started.second.iter().map(|second| (second.method.as_str(), second.at));
        let methods: Vec<_> = second.chain([(started.method.as_str(), started.created_at)]).collect();
        let grant = Grant {
            issuer: &self.identifier.issuer,
            session: started.session,
            aal: &started.aal,
            methods: &methods,
            generation: started.generation,
            issued_at: started.now.div_euclid(1_000_000),
            expires_at: started.tokens_until.div_euclid(1_000_000),
        };
        token::claims(&started.account, &grant)
    }

    fn signed(
        &self,
        started: &Started,
        claims: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Secret, AccountError> {
        let ring = self.identifier.ring.read().clone();
        let signed = token::sign(&ring, started.now.div_euclid(1_000_000), claims);
        let signed = signed.map_err(|SigningError| Failure::Internal("a token could not be signed".into()))?;
        if signed.len() > token::TOKEN_BYTES_MAX {
            let why = format!("the token would be longer than {} bytes", token::TOKEN_BYTES_MAX);
            return Err(AccountError::Hook(HookError::Broken(why)));
        }
        Ok(Secret::new(signed))
    }

    /// Ends a session whose tokens nobody got.
    async fn abandon(&self, started: &Started) -> Result<(), Failure> {
        // The request's own time may be seconds ago.
        let (session, user, moment) = (started.session, started.account.id, self.engine.moment());
        let core = self.engine.transaction(Isolation::Serializable, move |transaction| {
            Box::pin(async move {
                let system = Caller::system(moment);
                let event = Event::new("logout", Actor::System, user).in_session(session);
                audit::note(transaction, moment, event.with(serde_json::json!({ "why": "hook" }))).await?;
                let gone = Request::new(SESSIONS, Verb::Delete).with_equal("id", Value::Uuid(session));
                transaction.write(&system, gone, None).await?;
                Ok(Outcome::commit(()))
            })
        });
        core.await
    }

    /// Ends sessions inside a transaction. What comes back goes into [`Core::revoked`] after the commit.
    pub(crate) async fn end_sessions(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        sessions: &[Uuid],
    ) -> Result<Vec<Revocation>, Failure> {
        let mut ended = Vec::new();
        for some in sessions.chunks(PAGE) {
            let rows = transaction.records(system, these(some, Verb::Read)).await?;
            transaction.write(system, these(some, Verb::Delete), None).await?;
            // A session whose row is gone already counts as well: the token that was sent must be void afterwards.
            let all = some.iter().map(|session| {
                let row = rows.iter().find(|row| row.uuid("id") == Some(*session));
                Revocation { session: *session, below: None, until: last_token_gone(row, system) }
            });
            ended.extend(self.revoke(transaction, system, all.collect()).await?);
        }
        Ok(ended)
    }

    /// Makes the access tokens of sessions void, which themselves may go on: their next refresh tells the new roles.
    pub(crate) async fn void_tokens(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        sessions: &[Uuid],
    ) -> Result<Vec<Revocation>, Failure> {
        let mut void = Vec::new();
        for some in sessions.chunks(PAGE) {
            let rows = transaction.records(system, these(some, Verb::Read)).await?;
            let generation = |row: &Record| row.int("generation").unwrap_or(0);
            let mut generations: Vec<i64> = rows.iter().map(generation).collect();
            generations.sort_unstable();
            generations.dedup();
            for old in generations {
                let those: Vec<&Record> = rows.iter().filter(|row| generation(row) == old).collect();
                let ids: Vec<Uuid> = those.iter().filter_map(|row| row.uuid("id")).collect();
                let next = old.saturating_add(1);
                let request = these(&ids, Verb::Update).with_row([("generation", Value::Int(next))]);
                transaction.write(system, request, None).await?;
                let all = those.iter().filter_map(|row| {
                    let until = last_token_gone(Some(row), system);
                    Some(Revocation { session: row.uuid("id")?, below: Some(next), until })
                });
                void.extend(self.revoke(transaction, system, all.collect()).await?);
            }
        }
        Ok(void)
    }

    async fn revoke(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        all: Vec<Revocation>,
    ) -> Result<Vec<Revocation>, Failure> {
        let now = system.moment().now;
        for some in all.chunks(PAGE) {
            let ids = Operand::Values(some.iter().map(|each| Value::Uuid(each.session)).collect());
            let older = records::and(Request::new(REVOCATIONS, Verb::Delete), "id", Operator::In, ids);
            transaction.write(system, older, None).await?;
            let row = |each: &Revocation| {
                let members = [
                    ("id", Value::Uuid(each.session)),
                    ("before", Value::Timestamp(now)),
                    ("generation", each.below.map_or(Value::Null, Value::Int)),
                    ("until", Value::Timestamp(each.until)),
                    ("created_at", Value::Timestamp(now)),
                ];
                members.into_iter().map(|(name, value)| (name.to_owned(), Input::Value(value))).collect()
            };
            let mut request = Request::new(REVOCATIONS, Verb::Create);
            request.body = Some(Body { rows: some.iter().map(row).collect(), single: false });
            transaction.write(system, request, None).await?;
        }
        if !all.is_empty() {
            transaction.announce(records::TOPIC_SESSIONS).await?;
        }
        Ok(all)
    }

    /// The ids of a user's sessions.
    pub(crate) async fn sessions_of(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
    ) -> Result<Vec<Uuid>, Failure> {
        let mut ids: Vec<Uuid> = Vec::new();
        loop {
            let of_user = records::by("user_id", Value::Uuid(user), SESSIONS);
            let after = ids.last().map(|id| Value::Uuid(*id));
            let rows = transaction.records(system, records::page(of_user, "id", after, PAGE)).await?;
            let done = rows.len() < PAGE;
            ids.extend(rows.iter().filter_map(|row| row.uuid("id")));
            if done {
                return Ok(ids);
            }
        }
    }

    /// Ends sessions of the caller.
    pub(crate) async fn sign_out(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        scope: SignOutScope,
    ) -> Result<(), AccountError> {
        let (user, session) = of_caller(&caller)?;
        let core = self.clone();
        let now = visit.moment.now;
        let ended = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit) = (core.clone(), visit.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                let mut ids = match scope {
                    SignOutScope::Local => vec![session],
                    SignOutScope::Global | SignOutScope::Others => core.sessions_of(transaction, &system, user).await?,
                };
                match scope {
                    SignOutScope::Others => ids.retain(|id| *id != session),
                    // Also when its row is gone already: the token that was sent must be void afterwards.
                    SignOutScope::Global if !ids.contains(&session) => ids.push(session),
                    SignOutScope::Global | SignOutScope::Local => {}
                }
                let event = Event::new("logout", Actor::User, user).in_session(session).from(visit.address);
                let detail = serde_json::json!({ "sessions": ids.len() });
                audit::note(transaction, visit.moment, event.with(detail)).await?;
                Ok(Outcome::commit(core.end_sessions(transaction, &system, &ids).await?))
            })
        });
        self.revoked(ended.await?, now);
        Ok(())
    }
}

/// What a client gets.
fn with_token(started: Started, access_token: Secret) -> Session {
    let expires_at = started.tokens_until.div_euclid(1_000_000);
    let seconds = expires_at - started.now.div_euclid(1_000_000);
    Session {
        access_token,
        refresh_token: started.refresh_token,
        expires_in_seconds: u32::try_from(seconds).unwrap_or(0),
        expires_at,
        account: started.account,
    }
}
