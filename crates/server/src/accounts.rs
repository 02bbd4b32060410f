//! Who is who, for this process. Until the accounts of `undergird_auth` are there, keys alone.

use futures_util::future::BoxFuture;
use std::sync::Arc;
use undergird_auth::Keys;
use undergird_engine::accounts::{
    Account, AccountChange, AccountError, Accounts, Credentials, Identify, Offers, PasswordSignIn, Secret, Session,
    SignOutScope, SignUp, SignedUp, Unidentified, Visit,
};
use undergird_engine::{Engine, Failure};
use undergird_plan::Caller;
use undergird_plan::caller::Moment;

/// The accounts of an engine.
pub(crate) async fn open(_engine: &Arc<Engine>, keys: &Keys) -> Result<Arc<dyn Accounts>, String> {
    Ok(Arc::new(KeysOnly(keys.clone())))
}

/// Knows the two keys and nobody else.
struct KeysOnly(Keys);

impl KeysOnly {
    fn closed<T: Send + 'static>(&self) -> BoxFuture<'_, Result<T, AccountError>> {
        Box::pin(async { Err(AccountError::Failed(Failure::Unavailable)) })
    }
}

impl Identify for KeysOnly {
    fn identify(&self, credentials: Credentials<'_>, moment: Moment) -> Result<Caller, Unidentified> {
        let bearer =
            credentials.authorization.map(|value| value.strip_prefix(b"Bearer ").ok_or(Unidentified::Malformed));
        let Some(key) = bearer.transpose()?.or(credentials.apikey) else { return Ok(Caller::visitor(moment)) };
        let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        // Digests, so that the time of the comparison tells nothing about the key.
        if digest(key).as_ref() == digest(self.0.secret.expose().as_bytes()).as_ref() {
            Ok(Caller::secret(moment))
        } else if key == self.0.publishable.as_bytes() {
            Ok(Caller::visitor(moment))
        } else {
            Err(Unidentified::UnknownKey)
        }
    }
}

impl Accounts for KeysOnly {
    fn sign_up(&self, _: Visit, _: SignUp) -> BoxFuture<'_, Result<SignedUp, AccountError>> {
        self.closed()
    }

    fn sign_in(&self, _: Visit, _: PasswordSignIn) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.closed()
    }

    fn refresh(&self, _: Visit, _: Secret) -> BoxFuture<'_, Result<Session, AccountError>> {
        self.closed()
    }

    fn account<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Account, AccountError>> {
        self.closed()
    }

    fn update<'a>(&'a self, _: Visit, _: &'a Caller, _: AccountChange) -> BoxFuture<'a, Result<Account, AccountError>> {
        self.closed()
    }

    fn sign_out<'a>(&'a self, _: Visit, _: &'a Caller, _: SignOutScope) -> BoxFuture<'a, Result<(), AccountError>> {
        self.closed()
    }

    fn key_set(&self, _: Moment) -> serde_json::Value {
        serde_json::json!({ "keys": [] })
    }

    fn offers(&self) -> Offers {
        Offers { sign_up: false, confirmed_at_once: true }
    }
}
