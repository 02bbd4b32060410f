//! What happened to an account, told to its address: whoever did it may be a thief (ASVS 6.3.7). A notice asks for nothing, is queued in the
//! transaction of what it tells, and goes past the budgets: what it tells of is budgeted itself.
//!
//! The owner's changes are told as well: who talked the owner into one is a thief, too.

use super::{Letter, MailKind};
use crate::core::Core;
use crate::records::{self, RECOVERY_CODE, TOTP, WEBAUTHN};
use serde_json::{Map, Value as Json};
use undergird_engine::{Failure, Transaction};
use undergird_plan::Caller;
use uuid::Uuid;

/// The member of a letter's data.
const METHOD: &str = "method";

impl MailKind {
    /// Whether it only tells what happened to an account.
    pub(super) fn is_notice(self) -> bool {
        !matches!(self, MailKind::Link(_) | MailKind::AccountExists)
    }
}

/// By what the account signs in, or does not any more, in words that people know. A provider is told by its name in the settings; never told is
/// what a user calls a thing: it may be a thief's words.
pub(super) fn method(data: Option<&Map<String, Json>>) -> String {
    let told = data.and_then(|data| data.get(METHOD)?.as_str()).unwrap_or_default();
    match told {
        TOTP => "an authenticator app".into(),
        WEBAUTHN => "a security key".into(),
        RECOVERY_CODE => "recovery codes".into(),
        other => other.to_owned(),
    }
}

impl Core {
    /// Tells a user, if an address is known, what happened to the account, in the transaction of it.
    pub(crate) async fn tell_user(
        &self,
        transaction: &mut Transaction<'_>,
        system: &Caller,
        user: Uuid,
        (kind, method): (MailKind, &str),
    ) -> Result<(), Failure> {
        let row = records::user(transaction, system, user).await?;
        let Some(email) = row.as_ref().and_then(|row| row.text("email")) else { return Ok(()) };
        let data = Some(Map::from_iter([(METHOD.to_owned(), method.into())]));
        self.queue(transaction, system, Letter { data, ..Letter::to(kind, email) }).await
    }
}
