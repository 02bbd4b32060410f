//! Recovery codes: ten texts for the day on which the phone is lost. Only hashes are kept, each is good once, and they count only beside a
//! factor in use.
//!
//! A code has 80 random bits, so a plain hash is enough. Case, spaces and dashes do not matter when it is typed.

use crate::api_keys::sha256;
use crate::core::Core;
use crate::factors::{check_name, counts, demand_aal2, factors_of, note_factor, or_name_taken, session_of, settle};
use crate::mail::MailKind;
use crate::password::too_many;
use crate::records::{self, FACTORS, RECOVERY_CODE, RECOVERY_CODES};
use crate::revocations::Revocation;
use crate::sessions::{self, Second, Started, may_sign_in};
use std::sync::Arc;
use undergird_engine::accounts::{
    AccountError, FactorError, MakeRecoveryCodes, RecoveryCodes, RecoveryStatus, Secret, Session, Visit,
};
use undergird_engine::{Isolation, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Body, Input, Request, Verb};
use uuid::Uuid;

/// How many are given out.
const CODES: usize = 10;
/// Characters of a code.
const CODE_CHARS: usize = 16;
/// RFC 4648's base32 in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What they are called when nobody calls them anything.
const NAME: &str = "Recovery codes";
/// As `amr` says it, in the manner of Supabase Auth's other methods.
const METHOD: &str = "mfa/recovery_code";

/// A code as it is hashed, whatever its owner typed.
fn normal(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let bare: String = typed.chars().filter(|character| !matches!(character, ' ' | '-')).collect();
    let bare = bare.to_ascii_lowercase();
    (bare.len() == CODE_CHARS && bare.bytes().all(|byte| BASE32.contains(&byte))).then_some(bare)
}

/// With the account in it: no two accounts can have the same.
fn hash(user: Uuid, code: &str) -> Vec<u8> {
    sha256(&[user.as_bytes().as_slice(), code.as_bytes()].concat()).to_vec()
}

fn holder(factors: &[Record]) -> Option<&Record> {
    factors.iter().find(|factor| factor.text("kind") == Some(RECOVERY_CODE))
}

impl Core {
    fn fresh_codes(&self) -> Result<Vec<String>, AccountError> {
        let code = || {
            // 256 is a multiple of 32: no character is likelier than another.
            let random = self.random()?;
            let letters = random.iter().take(CODE_CHARS).map(|byte| char::from(BASE32[usize::from(byte % 32)]));
            Ok(letters.collect())
        };
        (0..CODES).map(|_| code()).collect()
    }

    /// How many are left.
    pub(crate) async fn recovery_codes(&self, caller: &Caller) -> Result<RecoveryStatus, AccountError> {
        let (user, _) = sessions::of_caller(caller)?;
        let system = Caller::system(caller.moment());
        let factors = self.engine.records(&system, records::by("user_id", Value::Uuid(user), FACTORS)).await?;
        let id = holder(&factors).and_then(|holder| holder.uuid("id")).ok_or(FactorError::Missing)?;
        let codes = self.engine.records(&system, records::by("factor_id", Value::Uuid(id), RECOVERY_CODES)).await?;
        let remaining = codes.iter().filter(|code| code.int("used_at").is_none()).count();
        Ok(RecoveryStatus { id, total: codes.len(), remaining })
    }

    /// Fresh codes.
    pub(crate) async fn make_recovery_codes(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        asked: MakeRecoveryCodes,
    ) -> Result<RecoveryCodes, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        let name = check_name(asked.name)?;
        self.demand_recent(&visit, session).await?;
        let codes = self.fresh_codes()?;
        let hashes: Vec<Vec<u8>> = codes.iter().map(|code| hash(user, code)).collect();
        let fresh = self.new_id(visit.moment.now)?;
        let core = self.clone();
        let made = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, name, hashes) = (core.clone(), name.clone(), hashes.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                let new = New { fresh, name, hashes, again: asked.again };
                let made = make(transaction, &system, (user, session), new).await;
                if made.is_ok() {
                    core.tell_user(transaction, &system, user, (MailKind::FactorAdded, RECOVERY_CODE)).await?;
                }
                settle(made)
            })
        });
        let (id, name) = made.await.map_err(or_name_taken)??;
        self.post.wake();
        Ok(RecoveryCodes { id, name, codes: codes.into_iter().map(Secret::new).collect() })
    }

    /// A code in place of a factor's.
    pub(crate) async fn verify_recovery_code(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
        code: Secret,
    ) -> Result<Session, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        let now = visit.moment.now;
        self.budgets.codes.take(&user, now).map_err(too_many)?;
        let Some(code) = normal(code.expose()) else {
            return self.tell_wrong_code(&visit, (user, session), Err(FactorError::CodeWrong.into())).await?;
        };
        let hash = hash(user, &code);
        let (core, visiting) = (self.clone(), visit.clone());
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, hash) = (core.clone(), visiting.clone(), hash.clone());
            Box::pin(async move { settle(core.use_code(transaction, &visit, (user, session), hash).await) })
        });
        let done = self.tell_wrong_code(&visit, (user, session), done.await?).await?;
        let (started, ended) = done?;
        self.post.wake();
        self.budgets.codes.give_back(&user);
        self.revoked(ended, now);
        self.tokens(started).await
    }

    async fn use_code(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        (user, session): (Uuid, Uuid),
        hash: Vec<u8>,
    ) -> Result<(Started, Vec<Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        let now = visit.moment.now;
        let row = session_of(transaction, &system, user, session).await?;
        let account = records::user(transaction, &system, user).await?.ok_or(AccountError::AccountMissing)?;
        may_sign_in(&account, now)?;
        let factors = factors_of(transaction, &system, user).await?;
        let factor = holder(&factors).and_then(|holder| holder.uuid("id")).ok_or(FactorError::CodeWrong)?;
        // In the change itself: of many at once one finds the code unused.
        let unused = Request::new(RECOVERY_CODES, Verb::Update).with_equal("hash", Value::Bytes(hash));
        let unused = unused.with_equal("factor_id", Value::Uuid(factor));
        let unused = crate::admin::where_null(unused, "used_at").with_row([("used_at", Value::Timestamp(now))]);
        if transaction.write(&system, unused, None).await?.affected != 1 {
            return Err(FactorError::CodeWrong.into());
        }
        self.tell_user(transaction, &system, user, (MailKind::RecoveryCodeUsed, RECOVERY_CODE)).await?;
        let second = Second { factor, method: METHOD.into(), at: now };
        Ok(self.raise_session(transaction, visit, &row, second).await?)
    }

    /// Removes the codes; the id of what held them.
    pub(crate) async fn remove_recovery_codes(
        self: Arc<Self>,
        visit: Visit,
        caller: Caller,
    ) -> Result<Uuid, AccountError> {
        let (user, session) = sessions::of_caller(&caller)?;
        self.demand_recent(&visit, session).await?;
        let (core, now) = (self.clone(), visit.moment.now);
        let done = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let core = core.clone();
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                settle(core.remove_codes(transaction, &system, (user, session)).await)
            })
        });
        let (id, ended) = done.await??;
        self.post.wake();
        self.revoked(ended, now);
        Ok(id)
    }

    async fn remove_codes(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        (user, session): (Uuid, Uuid),
    ) -> Result<(Uuid, Vec<Revocation>), AccountError> {
        let row = session_of(transaction, system, user, session).await?;
        let factors = factors_of(transaction, system, user).await?;
        demand_aal2(&row, &factors)?;
        let id = holder(&factors).and_then(|holder| holder.uuid("id")).ok_or(FactorError::Missing)?;
        note_factor(transaction, system, "recovery_codes_deleted", (user, session), id).await?;
        let ended = self.drop_factor(transaction, system, user, id, Some(session)).await?;
        Ok((id, ended))
    }
}

struct New {
    fresh: Uuid,
    name: Option<String>,
    hashes: Vec<Vec<u8>>,
    again: bool,
}

async fn make(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    (user, session): (Uuid, Uuid),
    new: New,
) -> Result<(Uuid, Option<String>), AccountError> {
    let now = Value::Timestamp(system.moment().now);
    let row = session_of(transaction, system, user, session).await?;
    let factors = factors_of(transaction, system, user).await?;
    demand_aal2(&row, &factors)?;
    if !new.again && !factors.iter().any(counts) {
        return Err(FactorError::CodesAlone.into());
    }
    let (id, name) = match (holder(&factors), new.again) {
        (Some(_), false) => return Err(FactorError::CodesExist.into()),
        (None, true) => return Err(FactorError::Missing.into()),
        (Some(holder), true) => {
            let id = holder.uuid("id").unwrap_or_default();
            let old = records::by("factor_id", Value::Uuid(id), RECOVERY_CODES);
            transaction.write(system, records::as_verb(old, Verb::Delete), None).await?;
            (id, holder.text("name").map(str::to_owned))
        }
        (None, false) => {
            let name = new.name.unwrap_or_else(|| NAME.to_owned());
            let row = [
                ("id", Value::Uuid(new.fresh)),
                ("user_id", Value::Uuid(user)),
                ("kind", Value::text(RECOVERY_CODE)),
                ("name", Value::text(&name)),
                ("verified_at", now.clone()),
                ("created_at", now.clone()),
                ("updated_at", now),
            ];
            transaction.write(system, Request::new(FACTORS, Verb::Create).with_row(row), None).await?;
            (new.fresh, Some(name))
        }
    };
    note_factor(transaction, system, "generate_recovery_codes", (user, session), id).await?;
    let row = |hash: &Vec<u8>| {
        let members = [("hash", Value::Bytes(hash.clone())), ("factor_id", Value::Uuid(id))];
        members.into_iter().map(|(name, value)| (name.to_owned(), Input::Value(value))).collect()
    };
    let mut request = Request::new(RECOVERY_CODES, Verb::Create);
    request.body = Some(Body { rows: new.hashes.iter().map(row).collect(), single: false });
    transaction.write(system, request, None).await?;
    Ok((id, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_what_its_owner_meant() {
        let code = Some("k4m6x7qp2ab5ht3z".to_owned());
        for typed in ["k4m6x7qp2ab5ht3z", "K4M6-X7QP 2AB5-ht3z", " k4m6x7qp2ab5ht3z "] {
            assert_eq!(normal(typed), code);
        }
        for typed in
            ["", "k4m6x7qp2ab5ht3", "k4m6x7qp2ab5ht3zz", "k4m6x7qp2ab5ht30", "k4m6x7qp2ab5ht3ä", &" ".repeat(99)]
        {
            assert_eq!(normal(typed), None, "{typed}");
        }
    }
}
