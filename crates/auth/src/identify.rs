//! Headers → caller, without waiting: keys, signing keys and revocations are in memory.
//!
//! | `Authorization` | `apikey` | caller |
//! |---|---|---|
//! | a user's token | any good key, or none | that user |
//! | the publishable key | any good key, or none | a visitor |
//! | the secret key | any good key, or none | the secret key |
//! | a service account's key | any good key, or none | that service account |
//! | none | a service account's key | that service account |
//! | none | the publishable key, or none | a visitor |
//! | none | the secret key | the secret key |
//!
//! So `Authorization` decides when it is there, as with Supabase: a server that puts its secret key into `apikey` and passes a user's
//! token on acts as that user. Whatever is there and not good is refused, in either header.

use crate::api_keys::{KeyHashes, KeyKind, looks_like_key, looks_like_service};
use crate::cache::Cache;
use crate::revocations::Revocations;
use crate::service_keys::ServiceCallers;
use crate::signing::KeyRing;
use crate::token;
use parking_lot::RwLock;
use std::sync::Arc;
use undergird_engine::accounts::{Credentials, Unidentified};
use undergird_plan::caller::Moment;
use undergird_plan::{Caller, User};

/// Everything that is needed to know a caller.
pub(crate) struct Identifier {
    pub(crate) keys: KeyHashes,
    pub(crate) ring: RwLock<Arc<KeyRing>>,
    pub(crate) revocations: Revocations,
    pub(crate) service: ServiceCallers,
    pub(crate) issuer: String,
    cache: Cache,
}

/// A key that is good.
enum Known {
    Key(KeyKind),
    Service(Arc<User>),
}

impl Identifier {
    pub(crate) fn new(keys: KeyHashes, ring: Arc<KeyRing>, issuer: String) -> Identifier {
        Identifier {
            keys,
            ring: RwLock::new(ring),
            revocations: Revocations::default(),
            service: ServiceCallers::default(),
            issuer,
            cache: Cache::default(),
        }
    }

    pub(crate) fn identify(&self, credentials: Credentials<'_>, moment: Moment) -> Result<Caller, Unidentified> {
        let by_key = credentials.apikey.map(|key| self.find(key, moment).ok_or(unknown(key))).transpose()?;
        let Some(authorization) = credentials.authorization else {
            return Ok(self.by_key(by_key, moment));
        };
        let bearer = bearer(authorization)?;
        if looks_like_key(bearer) {
            let known = self.find(bearer, moment).ok_or(Unidentified::UnknownKey)?;
            return Ok(self.by_key(Some(known), moment));
        }
        let token = std::str::from_utf8(bearer).map_err(|_| Unidentified::Malformed)?;
        self.by_token(token, moment)
    }

    /// Whose key it is, if it is one.
    fn find(&self, key: &[u8], moment: Moment) -> Option<Known> {
        if !looks_like_service(key) {
            return self.keys.find(key).map(Known::Key);
        }
        self.service.find(key, moment.now).map(Known::Service)
    }

    fn by_key(&self, known: Option<Known>, moment: Moment) -> Caller {
        match known {
            Some(Known::Key(KeyKind::Secret)) => Caller::secret(moment),
            Some(Known::Service(user)) => Caller::user(user, moment),
            Some(Known::Key(KeyKind::Publishable)) | None => Caller::visitor(moment),
        }
    }

    fn by_token(&self, token: &str, moment: Moment) -> Result<Caller, Unidentified> {
        let seconds = moment.now.div_euclid(1_000_000);
        let verified = match self.cache.get(token) {
            Some(verified) if seconds < verified.expires_at => verified,
            Some(_) => return Err(Unidentified::Expired),
            None => {
                let ring = self.ring.read().clone();
                let verified = token::verify(&ring, &self.issuer, token, moment.now)?;
                self.cache.keep(token, verified.clone(), seconds);
                verified
            }
        };
        if self.revocations.covers(verified.session, verified.generation) {
            return Err(Unidentified::SessionEnded);
        }
        Ok(Caller::user(verified.user, moment))
    }

    /// Takes a new ring. Tokens are verified afresh, so that one of a key that is gone does not live on in the cache.
    pub(crate) fn replace_ring(&self, ring: Arc<KeyRing>) {
        *self.ring.write() = ring;
        self.cache.clear();
    }
}

/// The token of `Bearer <token>` (RFC 6750); the scheme's case does not matter, one space does.
fn bearer(authorization: &[u8]) -> Result<&[u8], Unidentified> {
    let (scheme, token) = authorization.split_at_checked(7).ok_or(Unidentified::Malformed)?;
    let is_token = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    if scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() && token.iter().all(is_token) {
        Ok(token)
    } else {
        Err(Unidentified::Malformed)
    }
}

fn unknown(key: &[u8]) -> Unidentified {
    if looks_like_key(key) { Unidentified::UnknownKey } else { Unidentified::Malformed }
}

#[cfg(test)]
mod tests;
