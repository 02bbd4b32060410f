//! Second factors: enrolling one, a challenge, a code, removing it (TOTP; recovery codes are in [`crate::recovery_codes`], keys of
//! authenticators in [`crate::passkeys`]).
//!
//! A code counts once: its time step is claimed in the very update that compares it, so of a hundred parallel uses one succeeds on every
//! store. Whoever proves a second factor gets a new session of level `aal2` in place of the old one.
//! What a stolen token of level `aal1` cannot do: enroll beside a factor in use, remove one, change address or password.

use crate::audit::{self, Actor, Event};
use crate::core::Core;
use crate::mail::MailKind;
use crate::password::too_many;
use crate::records::{self, CHALLENGES, FACTOR_KINDS, FACTORS, SESSIONS, TOTP, USERS, WEBAUTHN};
use crate::revocations::Revocation;
use crate::sessions::{self, AAL1, AAL2, Second, Started, may_sign_in};
use crate::signing::SigningError;
use crate::totp::{self, SECRET_BYTES};
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, EnrollFactor, EnrolledFactor, FactorChallenge, FactorError, KeyChallenge, Secret, Session, Visit,
};
use undergird_engine::failure::Kind;
use undergird_engine::{Failure, Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// Most factors of an account, as in Supabase Auth.
const FACTORS_MAX: usize = 10;
/// Longest name of a factor.
pub(crate) const NAME_CHARS_MAX: usize = 64;
/// How long a challenge may be answered.
const CHALLENGE_MICROS: i64 = 300_000_000;
/// How long a factor may wait for its first code before the next enrolment takes its place.
const UNVERIFIED_MICROS: i64 = 600_000_000;

/// A verdict inside a transaction: what was done is committed, what was refused taken back.
pub(crate) fn settle<T>(done: Result<T, AccountError>) -> Result<Outcome<Result<T, AccountError>>, Failure> {
    match done {
        Ok(done) => Ok(Outcome::commit(Ok(done))),
        Err(AccountError::Failed(failure)) => Err(failure),
        Err(refused) => Ok(Outcome::rollback(Err(refused))),
    }
}

/// A name as it is kept: no name is none.
pub(crate) fn check_name(name: Option<String>) -> Result<Option<String>, AccountError> {
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    match &name {
        Some(name) if name.chars().count() > NAME_CHARS_MAX => Err(FactorError::NameTooLong.into()),
        _ => Ok(name),
    }
}

/// The taken name, as the store tells it.
pub(crate) fn or_name_taken(failure: Failure) -> AccountError {
    match failure {
        Failure::Constraint(constraint) if constraint.kind == Kind::Unique && constraint.collection == FACTORS => {
            FactorError::NameTaken.into()
        }
        other => other.into(),
    }
}

/// The caller's session as it is stored: what a token says may be old.
pub(crate) async fn session_of(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    session: Uuid,
) -> Result<Record, AccountError> {
    let rows = transaction.records(system, records::by("id", Value::Uuid(session), SESSIONS)).await?;
    rows.into_iter().find(|row| row.uuid("user_id") == Some(user)).ok_or(AccountError::SessionMissing)
}

/// The factors of an account.
pub(crate) async fn factors_of(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
) -> Result<Vec<Record>, Failure> {
    transaction.records(system, records::by("user_id", Value::Uuid(user), FACTORS)).await
}

/// Whether it is a factor by itself.
fn is_factor(row: &Record) -> bool {
    row.text("kind").is_some_and(|kind| FACTOR_KINDS.contains(&kind))
}

/// Whether a factor counts: recovery codes stand in for one, but are none.
pub(crate) fn counts(factor: &Record) -> bool {
    is_factor(factor) && factor.int("verified_at").is_some()
}

/// Whoever has a factor in use must have proved it for what could take it away.
pub(crate) fn demand_aal2(session: &Record, factors: &[Record]) -> Result<(), AccountError> {
    match factors.iter().any(counts) && session.text("aal") != Some(AAL2) {
        true => Err(FactorError::AssuranceNeeded.into()),
        false => Ok(()),
    }
}

/// A factor that is not in use yet proves nothing about who has one in use already: it may have been planted.
pub(crate) async fn demand_aal2_for_new(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    session: &Record,
    factor: &Record,
) -> Result<(), AccountError> {
    match counts(factor) {
        true => Ok(()),
        false => demand_aal2(session, &factors_of(transaction, system, user).await?),
    }
}

impl Core {
    /// Whoever has a factor in use must have proved it in this session.
    pub(crate) async fn demand_assurance(
        &self,
        visit: &Visit,
        user: &Record,
        session: Uuid,
    ) -> Result<(), AccountError> {
        let system = Caller::system(visit.moment);
        let id = user.uuid("id").ok_or(AccountError::AccountMissing)?;
        let factors = self.engine.records(&system, records::by("user_id", Value::Uuid(id), FACTORS)).await?;
        let rows = self.engine.records(&system, records::by("id", Value::Uuid(session), SESSIONS)).await?;
        demand_aal2(rows.first().ok_or(AccountError::SessionMissing)?, &factors)
    }

    /// A change of factors wants more than a token, which may be stolen (ASVS 7.5.1).
    pub(crate) async fn demand_proof(
        &self,
        visit: &Visit,
        user: Uuid,
        session: Uuid,
        current_password: Option<&Secret>,
    ) -> Result<(), AccountError> {
        let Some(password) = current_password else { return self.demand_recent(visit, session).await };
        let system = Caller::system(visit.moment);
        let rows = self.engine.records(&system, records::by("id", Value::Uuid(user), USERS)).await?;
        let row = rows.first().ok_or(AccountError::AccountMissing)?;
        let email = row.text("email").unwrap_or_default();
        match self.prove(visit, email, password, row.text("password_hash")).await? {
            true => Ok(()),
            false => Err(self.tell_wrong_proof(visit, (user, session), "password").await?),
        }
    }

    /// A new factor, not in use yet.
    pub(crate) async fn enroll_factor(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: EnrollFactor,
    ) -> Result<EnrolledFactor, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        let name = check_name(asked.name)?;
        self.demand_proof(&visit, user, session, asked.current_password.as_ref()).await?;
        let now = visit.moment.now;
        let id = self.new_id(now)?;
        let random = self.random()?;
        let secret = &random[..SECRET_BYTES];
        let broken = |_: SigningError| Failure::Internal("the secret of a factor could not be sealed".into());
        let sealed = self.derived.seal_factor(id, secret).map_err(broken)?;
        let issuer = asked.issuer.unwrap_or_else(|| self.engine.app().model().settings.name.clone());
        let kept = name.clone();
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (sealed, name) = (sealed.clone(), kept.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(enroll(transaction, &system, (user, session), id, name, (TOTP, Some(sealed))).await)
            })
        });
        let email = made.await.map_err(or_name_taken)??;
        let shown = totp::show(secret, &issuer, email.as_deref().unwrap_or("user"));
        let shown = shown.ok_or_else(|| Failure::Internal("the secret of a factor could not be shown".into()))?;
        Ok(EnrolledFactor {
            id,
            name,
            secret: Secret::new(shown.secret),
            uri: Secret::new(shown.uri),
            qr: Secret::new(shown.qr),
        })
    }

    /// Leave to verify a code.
    pub(crate) async fn challenge_factor(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        factor: Uuid,
    ) -> Result<FactorChallenge, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        // By both: nobody spends what is another's.
        self.budgets.challenges.take(&(user, factor), visit.moment.now).map_err(too_many)?;
        let id = self.new_id(visit.moment.now)?;
        let until = visit.moment.now.saturating_add(CHALLENGE_MICROS);
        let core = self.clone();
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(core.challenge(transaction, &system, (user, session), factor, (id, until)).await)
            })
        });
        Ok(FactorChallenge { id, expires_at: until.div_euclid(1_000_000), key: made.await?? })
    }

    async fn challenge(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (user, session): (Uuid, Uuid),
        factor: Uuid,
        (id, until): (Uuid, i64),
    ) -> Result<Option<KeyChallenge>, AccountError> {
        let row = session_of(transaction, system, user, session).await?;
        let found = factor_of(transaction, system, user, factor, &FACTOR_KINDS).await?;
        demand_aal2_for_new(transaction, system, user, &row, &found).await?;
        let row = [
            ("id", Value::Uuid(id)),
            ("factor_id", Value::Uuid(factor)),
            ("session_id", Value::Uuid(session)),
            ("until", Value::Timestamp(until)),
        ];
        transaction.write(system, Request::new(CHALLENGES, Verb::Create).with_row(row), None).await?;
        match found.text("kind") {
            Some(WEBAUTHN) => {
                Ok(Some(self.key_challenge(transaction, system, (user, session), &found, (id, until)).await?))
            }
            _ => Ok(None),
        }
    }

    /// A code against a challenge.
    pub(crate) async fn verify_factor(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        factor: Uuid,
        challenge: Uuid,
        code: Secret,
    ) -> Result<Session, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        let now = visit.moment.now;
        // Taken before the code is looked at, so that parallel guesses cannot share one.
        self.budgets.codes.take(&user, now).map_err(too_many)?;
        let (core, visiting) = (self.clone(), visit.clone());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, code) = (core.clone(), visiting.clone(), code.clone());
            Box::pin(async move {
                settle(core.verify(transaction, &visit, (user, session), factor, challenge, &code).await)
            })
        });
        let done = self.tell_wrong_code(&visit, (user, session), done.await?).await?;
        let (started, ended) = done?;
        self.post.wake();
        self.budgets.codes.give_back(&user);
        self.revoked(ended, now);
        self.tokens(started).await
    }

    /// Notes a code that was wrong; the verdict as it was.
    pub(crate) async fn tell_wrong_code<T>(
        &self,
        visit: &Visit,
        (user, session): (Uuid, Uuid),
        verdict: Result<T, AccountError>,
    ) -> Result<Result<T, AccountError>, AccountError> {
        if matches!(verdict, Err(AccountError::Factor(FactorError::CodeWrong))) {
            let event = Event::new("mfa_failed", Actor::User, user).in_session(session).from(visit.address);
            self.note_alone(visit.moment, event).await?;
        }
        Ok(verdict)
    }

    async fn verify(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        (user, session): (Uuid, Uuid),
        factor: Uuid,
        challenge: Uuid,
        code: &Secret,
    ) -> Result<(Started, Vec<Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        let now = visit.moment.now;
        let row = session_of(transaction, &system, user, session).await?;
        let account = records::user(transaction, &system, user).await?.ok_or(AccountError::AccountMissing)?;
        may_sign_in(&account, now)?;
        let found = factor_of(transaction, &system, user, factor, &[TOTP]).await?;
        demand_aal2_for_new(transaction, &system, user, &row, &found).await?;
        find_challenge(transaction, &system, challenge, factor, session).await?;
        let sealed = found.bytes("secret").unwrap_or_default();
        let secret = self.derived.open_factor(factor, sealed).map_err(|SigningError| {
            Failure::Internal("the secret of a factor was sealed under another secret key".into())
        })?;
        let step = totp::step(&secret, code.expose(), now).ok_or(FactorError::CodeWrong)?;
        claim(transaction, &system, &found, step, challenge).await?;
        let mut ended = Vec::new();
        if found.int("verified_at").is_none() {
            ended = self.begin_anew(transaction, &system, (user, session), factor).await?;
            self.tell_user(transaction, &system, user, (MailKind::FactorAdded, TOTP)).await?;
        }
        let second = Second { factor, method: TOTP.into(), at: now };
        let (started, old) = self.raise_session(transaction, visit, &row, second).await?;
        ended.extend(old);
        Ok((started, ended))
    }

    /// From a factor's first proof on the account has two: sessions that proved one alone begin anew.
    pub(crate) async fn begin_anew(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (user, session): (Uuid, Uuid),
        factor: Uuid,
    ) -> Result<Vec<Revocation>, Failure> {
        let of_user = records::by("user_id", Value::Uuid(user), SESSIONS).with_equal("aal", Value::text(AAL1));
        let others = transaction.records(system, of_user).await?;
        let others: Vec<_> = others.iter().filter_map(|row| row.uuid("id")).filter(|id| *id != session).collect();
        let ended = self.end_sessions(transaction, system, &others).await?;
        // What was begun before, perhaps by another, is not brought to its end.
        for other in factors_of(transaction, system, user).await? {
            let id = other.uuid("id").unwrap_or_default();
            if id != factor && is_factor(&other) && !counts(&other) {
                let gone = Request::new(FACTORS, Verb::Delete).with_equal("id", Value::Uuid(id));
                transaction.write(system, gone, None).await?;
            }
        }
        Ok(ended)
    }

    /// Removes a factor of the caller's.
    pub(crate) async fn remove_factor(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        factor: Uuid,
    ) -> Result<(), AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        self.demand_recent(&visit, session).await?;
        let (core, now) = (self.clone(), visit.moment.now);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(core.unenroll(transaction, &system, (user, session), factor).await)
            })
        });
        self.revoked(done.await??, now);
        self.post.wake();
        Ok(())
    }

    async fn unenroll(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (user, session): (Uuid, Uuid),
        factor: Uuid,
    ) -> Result<Vec<Revocation>, AccountError> {
        let row = session_of(transaction, system, user, session).await?;
        let found = factor_of(transaction, system, user, factor, &FACTOR_KINDS).await?;
        if counts(&found) && row.text("aal") != Some(AAL2) {
            return Err(FactorError::AssuranceNeeded.into());
        }
        note_factor(transaction, system, "factor_deleted", (user, session), factor).await?;
        self.drop_factor(transaction, system, user, factor, Some(session)).await
    }

    /// Removes a factor, whoever wants it: the sessions that it raised are of level `aal1` again, and their tokens, but for those of `keep`,
    /// void. With the last one go the recovery codes.
    pub(crate) async fn drop_factor(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
        factor: Uuid,
        keep: Option<Uuid>,
    ) -> Result<Vec<Revocation>, AccountError> {
        let there = transaction.records(system, records::by("id", Value::Uuid(factor), FACTORS)).await?;
        let kind = there.first().filter(|row| row.int("verified_at").is_some()).and_then(|row| row.text("kind"));
        let gone = Request::new(FACTORS, Verb::Delete).with_equal("id", Value::Uuid(factor));
        transaction.write(system, gone, None).await?;
        if let Some(kind) = kind {
            self.tell_user(transaction, system, user, (MailKind::FactorRemoved, kind)).await?;
        }
        let rest = factors_of(transaction, system, user).await?;
        let mut lost = vec![factor];
        if !rest.iter().any(counts) {
            for codes in rest.iter().filter(|row| row.text("kind") == Some(records::RECOVERY_CODE)) {
                let id = codes.uuid("id").unwrap_or_default();
                let gone = Request::new(FACTORS, Verb::Delete).with_equal("id", Value::Uuid(id));
                transaction.write(system, gone, None).await?;
                lost.push(id);
            }
        }
        let mut lowered = Vec::new();
        for factor in lost {
            let raised = records::by("factor_id", Value::Uuid(factor), SESSIONS);
            let raised = raised.with_equal("user_id", Value::Uuid(user));
            let rows = transaction.records(system, raised.clone()).await?;
            lowered.extend(rows.iter().filter_map(|row| row.uuid("id")).filter(|id| Some(*id) != keep));
            let row = [
                ("aal", Value::text(AAL1)),
                ("factor_id", Value::Null),
                ("factor_method", Value::Null),
                ("factor_at", Value::Null),
            ];
            transaction.write(system, records::as_verb(raised, Verb::Update).with_row(row), None).await?;
        }
        Ok(self.void_tokens(transaction, system, &lowered).await?)
    }
}

/// What happened to a factor, in the audit log.
pub(crate) async fn note_factor(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    name: &'static str,
    (user, session): (Uuid, Uuid),
    factor: Uuid,
) -> Result<(), Failure> {
    let event = Event::new(name, Actor::User, user).in_session(session);
    let detail = serde_json::json!({ "factor": factor.to_string() });
    audit::note(transaction, system.moment(), event.with(detail)).await
}

/// A factor of a user, of one of these kinds.
pub(crate) async fn factor_of(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    user: Uuid,
    factor: Uuid,
    kinds: &[&str],
) -> Result<Record, AccountError> {
    let rows = transaction.records(system, records::by("id", Value::Uuid(factor), FACTORS)).await?;
    let own =
        |row: &Record| row.uuid("user_id") == Some(user) && row.text("kind").is_some_and(|kind| kinds.contains(&kind));
    rows.into_iter().find(own).ok_or_else(|| FactorError::Missing.into())
}

/// The account's address, when the factor was made.
pub(crate) async fn enroll(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    (user, session): (Uuid, Uuid),
    id: Uuid,
    name: Option<String>,
    (kind, sealed): (&str, Option<Vec<u8>>),
) -> Result<Option<String>, AccountError> {
    let now = system.moment().now;
    let row = session_of(transaction, system, user, session).await?;
    let factors = factors_of(transaction, system, user).await?;
    demand_aal2(&row, &factors)?;
    let stale = |factor: &&Record| {
        is_factor(factor)
            && factor.int("verified_at").is_none()
            && factor.int("created_at").is_some_and(|at| at.saturating_add(UNVERIFIED_MICROS) < now)
    };
    let mut there = factors.len();
    for factor in factors.iter().filter(stale) {
        let id = factor.uuid("id").unwrap_or_default();
        let gone = Request::new(FACTORS, Verb::Delete).with_equal("id", Value::Uuid(id));
        transaction.write(system, gone, None).await?;
        there -= 1;
    }
    if there >= FACTORS_MAX {
        return Err(FactorError::TooMany.into());
    }
    let row = [
        ("id", Value::Uuid(id)),
        ("user_id", Value::Uuid(user)),
        ("kind", Value::text(kind)),
        ("name", name.map_or(Value::Null, Value::Text)),
        ("secret", sealed.map_or(Value::Null, Value::Bytes)),
        ("created_at", Value::Timestamp(now)),
        ("updated_at", Value::Timestamp(now)),
    ];
    transaction.write(system, Request::new(FACTORS, Verb::Create).with_row(row), None).await?;
    note_factor(transaction, system, "factor_in_progress", (user, session), id).await?;
    let account = records::user(transaction, system, user).await?.ok_or(AccountError::AccountMissing)?;
    Ok(account.text("email").map(str::to_owned))
}

/// Uses up the time step and the challenge. The conditions are in the changes themselves: whoever comes second changes nothing, also where
/// transactions run side by side.
async fn claim(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    factor: &Record,
    step: i64,
    challenge: Uuid,
) -> Result<(), AccountError> {
    let now = Value::Timestamp(system.moment().now);
    let id = factor.uuid("id").unwrap_or_default();
    let unused = Request::new(FACTORS, Verb::Update).with_equal("id", Value::Uuid(id));
    let unused = records::and(unused, "last_step", Operator::Lt(None), Operand::Value(Value::Int(step)));
    let verified_at = factor.int("verified_at").map_or(now.clone(), Value::Timestamp);
    let row = [("last_step", Value::Int(step)), ("verified_at", verified_at), ("updated_at", now.clone())];
    if transaction.write(system, unused.with_row(row), None).await?.affected != 1 {
        return Err(FactorError::CodeWrong.into());
    }
    claim_challenge(transaction, system, challenge).await
}

/// That a challenge is there for this factor and session, and was not used.
pub(crate) async fn find_challenge(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    challenge: Uuid,
    factor: Uuid,
    session: Uuid,
) -> Result<(), AccountError> {
    let now = system.moment().now;
    let asked = transaction.records(system, records::by("id", Value::Uuid(challenge), CHALLENGES)).await?;
    let good = asked.iter().any(|asked| {
        asked.uuid("factor_id") == Some(factor)
            && asked.uuid("session_id") == Some(session)
            && asked.int("used_at").is_none()
            && asked.int("until").is_some_and(|until| now < until)
    });
    if good { Ok(()) } else { Err(FactorError::ChallengeExpired.into()) }
}

/// Uses a challenge up, in the change itself as well.
pub(crate) async fn claim_challenge(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    challenge: Uuid,
) -> Result<(), AccountError> {
    let now = Value::Timestamp(system.moment().now);
    let open = Request::new(CHALLENGES, Verb::Update).with_equal("id", Value::Uuid(challenge));
    let open = crate::admin::where_null(open, "used_at").with_row([("used_at", now)]);
    match transaction.write(system, open, None).await?.affected {
        1 => Ok(()),
        _ => Err(FactorError::ChallengeExpired.into()),
    }
}
