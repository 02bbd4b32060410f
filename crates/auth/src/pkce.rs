//! Proof Key for Code Exchange (RFC 7636): what a link gives to a browser is worth nothing without the verifier, which never left the
//! client that asked for the mail. S256 alone; `plain` protects from nobody who sees the request.

use crate::api_keys::sha256;
use crate::audit::{Actor, Event};
use crate::core::Core;
use crate::oauth;
use crate::one_time::{self, UsedFlow};
use crate::pages;
use crate::records;
use crate::revocations::Revocation;
use crate::sessions::{self, Started};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use undergird_engine::accounts::{AccountError, LinkError, LinkKind, Secret, Session, Visit};
use undergird_engine::{Isolation, Outcome, Transaction};
use undergird_plan::Caller;

/// Whether this is a challenge: the base64url of a SHA-256.
pub(crate) fn check_challenge(challenge: &str) -> Result<(), LinkError> {
    let octets = URL_SAFE_NO_PAD.decode(challenge).ok().filter(|octets| octets.len() == 32);
    octets.map(|_| ()).ok_or(LinkError::BadChallenge)
}

/// Whether a verifier is the one of a challenge.
fn fits(challenge: &str, verifier: &str) -> bool {
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let computed = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    bool::from(computed.as_bytes().ct_eq(challenge.as_bytes())) && is_verifier
}

impl Core {
    /// A session for the code that a link gave.
    pub(crate) async fn exchange(
        self: Arc<Self>,
        visit: Visit,
        code: Secret,
        verifier: Secret,
    ) -> Result<Session, AccountError> {
        self.spend_guess(&visit)?;
        let core = self.clone();
        let address = visit.clone();
        let started = self.engine.transaction(Isolation::Serializable, move |transaction| {
            let (core, visit, code, verifier) = (core.clone(), visit.clone(), code.clone(), verifier.clone());
            Box::pin(async move {
                let system = Caller::system(visit.moment);
                let Some(used) = one_time::take_flow(transaction, &system, &code).await? else {
                    return Ok(Outcome::rollback(Err(LinkError::CodeUnknown.into())));
                };
                if !used.challenge.as_deref().is_some_and(|challenge| fits(challenge, verifier.expose())) {
                    // Used up all the same: whoever has the code without the verifier is not who asked for it.
                    return Ok(Outcome::commit(Err(LinkError::WrongVerifier.into())));
                }
                match core.start_flow(transaction, &visit, &used).await {
                    Ok(started) => Ok(Outcome::commit(Ok(started))),
                    Err(AccountError::Failed(failure)) => Err(failure),
                    Err(refused) => Ok(Outcome::rollback(Err(refused))),
                }
            })
        });
        let started: Result<_, AccountError> = started.await?;
        if matches!(started, Err(AccountError::Link(LinkError::CodeUnknown | LinkError::WrongVerifier))) {
            let event = Event::new("login_failed", Actor::Nobody, None).from(address.address);
            self.note_alone(address.moment, event.with(serde_json::json!({ "method": "pkce" }))).await?;
        }
        let (started, ended) = started?;
        self.revoked(ended, address.moment.now);
        self.give_back_guess(&address);
        self.tokens(started).await
    }

    /// What a code is good for, once it is sure that its flow is this client's.
    async fn start_flow(
        &self,
        transaction: &mut Transaction<'_>,
        visit: &Visit,
        used: &UsedFlow,
    ) -> Result<(Started, Vec<Revocation>), AccountError> {
        let system = Caller::system(visit.moment);
        let user = records::user(transaction, &system, used.user).await?.ok_or(LinkError::CodeUnknown)?;
        if used.via == oauth::METHOD {
            return Ok((self.start_after_provider(transaction, visit, &user, used).await?, Vec::new()));
        }
        if used.via == pages::PAGE {
            return self.start_after_page(transaction, visit, used).await;
        }
        let kind = LinkKind::of(&used.via).ok_or(LinkError::CodeUnknown)?;
        sessions::may_sign_in(&user, visit.moment.now)?;
        Ok((self.start_session(transaction, visit, used.user, crate::verify::method(kind)).await?, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_fits_its_challenge_alone() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(fits(challenge, verifier));
        assert!(!fits(challenge, challenge));
        assert!(!fits(challenge, ""));
        assert!(!fits(&URL_SAFE_NO_PAD.encode(sha256(b"short")), "short"), "too short to be one");
        assert_eq!(check_challenge(challenge), Ok(()));
        for bad in ["", "x", verifier.trim_end_matches('k'), &format!("{challenge}="), &"A".repeat(64)] {
            assert_eq!(check_challenge(bad), Err(LinkError::BadChallenge), "{bad}");
        }
    }
}
