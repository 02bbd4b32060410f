//! An authenticator as a second factor: its key is made by the answer to the factor's first challenge, and signs each later one. Such a key
//! is of one factor and signs nobody in by itself.
//!
//! What all second factors have in common is in [`crate::factors`].

use super::ceremony::{self, Bad, Expected};
use super::relying::RelyingParty;
use super::{
    ALGORITHMS, DISPLAY_CHARS_MAX, Kept, METHOD_AS_FACTOR, Purpose, check_seen, credentials_of, known, note_seen,
    or_taken, put,
};
use crate::api_keys::sha256;
use crate::audit::{Actor, Event};
use crate::core::Core;
use crate::factors::{
    check_name, claim_challenge, demand_aal2_for_new, enroll, factor_of, find_challenge, or_name_taken, session_of,
    settle,
};
use crate::mail::MailKind;
use crate::password::too_many;
use crate::records::{self, FACTORS, PASSKEYS, WEBAUTHN};
use crate::revocations::Revocation;
use crate::sessions::{self, Second, Started, may_sign_in};
use serde_json::json;
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, EnrollFactor, EnrolledKey, FactorError, KeyAnswer, KeyChallenge, PasskeyCreation, PasskeyError,
    PasskeyRequest, Session, Visit,
};
use undergird_engine::{Isolation, Outcome, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Request, Verb};
use uuid::Uuid;

/// Which factor a challenge is of, and who asked.
#[derive(Clone, Copy)]
struct Asked {
    user: Uuid,
    session: Uuid,
    factor: Uuid,
    challenge: Uuid,
}

impl Asked {
    fn purpose(self) -> Purpose {
        Purpose::Factor { user: self.user, session: self.session, factor: self.factor }
    }
}

/// How an answer ended, inside its transaction.
enum Proved {
    Yes(Box<Started>, Vec<Revocation>),
    No(Bad),
}

impl Core {
    /// A new factor, without a key as yet.
    pub(crate) async fn enroll_key(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: EnrollFactor,
    ) -> Result<EnrolledKey, AccountError> {
        self.demand_party()?;
        let (user, session) = sessions::of_caller(&caller)?;
        let name = check_name(asked.name)?;
        self.demand_proof(&visit, user, session, asked.current_password.as_ref()).await?;
        let id = self.new_id(visit.moment.now)?;
        let kept = name.clone();
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let name = kept.clone();
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(enroll(transaction, &system, (user, session), id, name, (WEBAUTHN, None)).await)
            })
        });
        made.await.map_err(or_name_taken)??;
        Ok(EnrolledKey { id, name })
    }

    /// What the authenticator of a factor is asked: for a key, or for a signature of the one that it has.
    pub(crate) async fn key_challenge(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (user, session): (Uuid, Uuid),
        factor: &Record,
        (challenge, until): (Uuid, i64),
    ) -> Result<KeyChallenge, AccountError> {
        let party = self.demand_party()?;
        let factor_id = factor.uuid("id").unwrap_or_default();
        let asked = Asked { user, session, factor: factor_id, challenge };
        let octets = self.passkey_key.challenge(challenge, asked.purpose());
        let expires_at = until.div_euclid(1_000_000);
        let there = credentials_of(transaction, system, user).await?;
        if factor.int("verified_at").is_some() {
            let own = |row: &&Record| row.uuid("factor_id") == Some(factor_id);
            return Ok(KeyChallenge::Request(PasskeyRequest {
                id: challenge,
                expires_at,
                challenge: octets,
                relying_party: party.id,
                allow: there.iter().filter(own).map(known).collect(),
            }));
        }
        let account = records::user(transaction, system, user).await?.ok_or(AccountError::AccountMissing)?;
        let name = account.text("email").unwrap_or("user").to_owned();
        Ok(KeyChallenge::Create(PasskeyCreation {
            id: challenge,
            expires_at,
            challenge: octets,
            relying_party: party.id,
            relying_name: party.name,
            // The factor's and not the account's: an authenticator that keeps it all the same must not take it for the account's passkey.
            user_handle: factor_id.to_string(),
            display_name: name.chars().take(DISPLAY_CHARS_MAX).collect(),
            user_name: name,
            discoverable: false,
            algorithms: &ALGORITHMS,
            exclude: there.iter().map(known).collect(),
        }))
    }

    /// The answer to it.
    pub(crate) async fn verify_key(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        factor: Uuid,
        challenge: Uuid,
        answer: KeyAnswer,
    ) -> Result<Session, AccountError> {
        let party = Arc::new(self.demand_party()?);
        let (user, session) = sessions::of_caller(&caller)?;
        let now = visit.moment.now;
        self.budgets.codes.take(&user, now).map_err(too_many)?;
        let asked = Asked { user, session, factor, challenge };
        let (core, visiting, answer) = (self.clone(), visit.clone(), Arc::new(answer));
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, party, answer) = (core.clone(), visiting.clone(), party.clone(), answer.clone());
            Box::pin(async move {
                match core.prove_key(transaction, &visit, &party, asked, &answer).await {
                    Ok(yes @ Proved::Yes(..)) => Ok(Outcome::commit(Ok(yes))),
                    Ok(no @ Proved::No(_)) => Ok(Outcome::rollback(Ok(no))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        match done.await.map_err(or_taken).and_then(|done| done)? {
            Proved::Yes(started, ended) => {
                self.budgets.codes.give_back(&user);
                self.revoked(ended, now);
                self.post.wake();
                self.tokens(*started).await
            }
            Proved::No(why) => {
                let event = Event::new("mfa_failed", Actor::User, user).in_session(session).from(visit.address);
                let detail = json!({ "method": METHOD_AS_FACTOR, "factor": factor.to_string(), "why": why.0 });
                self.note_alone(visit.moment, event.with(detail)).await?;
                Err(PasskeyError::Rejected.into())
            }
        }
    }

    async fn prove_key(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        party: &RelyingParty,
        asked: Asked,
        answer: &KeyAnswer,
    ) -> Result<Proved, AccountError> {
        let Asked { user, session, factor, challenge } = asked;
        let system = Caller::system(visit.moment);
        let row = session_of(transaction, &system, user, session).await?;
        let account = records::user(transaction, &system, user).await?.ok_or(AccountError::AccountMissing)?;
        may_sign_in(&account, visit.moment.now)?;
        let found = factor_of(transaction, &system, user, factor, &[WEBAUTHN]).await?;
        demand_aal2_for_new(transaction, &system, user, &row, &found).await?;
        find_challenge(transaction, &system, challenge, factor, session).await?;
        let octets = self.passkey_key.challenge(challenge, asked.purpose());
        let expected = Expected { party, challenge: &octets };
        let is_first = found.int("verified_at").is_none();
        match answer {
            KeyAnswer::Create(made) if is_first => {
                let credential = match ceremony::register(made, &expected) {
                    Ok(credential) => credential,
                    Err(why) => return Ok(Proved::No(why)),
                };
                let id = self.new_id(visit.moment.now)?;
                let (transports, factor) = (&made.transports, Some(factor));
                let new = Kept { id, user, factor, credential: &credential, transports, name: None };
                put(transaction, &system, new).await?;
            }
            KeyAnswer::Request(signed) if !is_first => {
                let by_id = records::by("hash", Value::Bytes(sha256(&signed.id).to_vec()), PASSKEYS);
                let rows = transaction.records(&system, by_id).await?;
                let Some(key) = rows.iter().find(|row| row.uuid("factor_id") == Some(factor)) else {
                    return Ok(Proved::No(Bad("another factor's key")));
                };
                let seen = ceremony::assert(signed, key.bytes("public_key").unwrap_or_default(), &expected);
                let seen = match seen.and_then(|seen| check_seen(key, &seen).map(|()| seen)) {
                    Ok(seen) => seen,
                    Err(why) => return Ok(Proved::No(why)),
                };
                if !note_seen(transaction, &system, key, &seen).await? {
                    return Ok(Proved::No(Bad(super::COUNT_BACK)));
                }
            }
            KeyAnswer::Create(_) | KeyAnswer::Request(_) => return Err(FactorError::ChallengeExpired.into()),
        }
        let now = Value::Timestamp(visit.moment.now);
        let verified_at = found.int("verified_at").map_or(now.clone(), Value::Timestamp);
        let used = Request::new(FACTORS, Verb::Update).with_equal("id", Value::Uuid(factor));
        transaction.write(&system, used.with_row([("verified_at", verified_at), ("updated_at", now)]), None).await?;
        claim_challenge(transaction, &system, challenge).await?;
        let mut ended = Vec::new();
        if is_first {
            ended = self.begin_anew(transaction, &system, (user, session), factor).await?;
            self.tell_user(transaction, &system, user, (MailKind::FactorAdded, WEBAUTHN)).await?;
        }
        let second = Second { factor, method: METHOD_AS_FACTOR.into(), at: visit.moment.now };
        let (started, old) = self.raise_session(transaction, visit, &row, second).await?;
        ended.extend(old);
        Ok(Proved::Yes(Box::new(started), ended))
    }
}
