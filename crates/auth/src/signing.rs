//! The keys that sign access tokens: ES256 (ECDSA on P-256 with SHA-256, RFC 7518 §3.4), made here, sealed at rest.
//!
//! Why ring itself and not `jsonwebtoken`: docs/decisions, "Tokens are signed with ring directly".
//!
//! Deliberately absent: the store ([`crate::records`] keeps the rows), the claims ([`crate::token`]).

use crate::api_keys::Keys;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The only algorithm: `alg` in a token's header is compared with this, never followed.
pub const ALGORITHM: &str = "ES256";

/// What is derived from the secret API key, by HKDF with a purpose each.
pub(crate) struct Derived {
    sealing: LessSafeKey,
    factors: LessSafeKey,
    refresh: hmac::Key,
}

impl Derived {
    pub(crate) fn new(keys: &Keys) -> Result<Derived, SigningError> {
        let extracted = Salt::new(HKDF_SHA256, b"undergird").extract(keys.secret.expose().as_bytes());
        let mut octets = Zeroizing::new([0u8; 32]);
        let mut derive = |purpose: &[u8]| {
            let info = [purpose];
            let expanded = extracted.expand(&info, Octets32).map_err(|_| SigningError)?;
            expanded.fill(&mut *octets).map_err(|_| SigningError)?;
            Ok(octets.clone())
        };
        let sealing = derive(b"signing keys at rest, 1")?;
        let factors = derive(b"second factors at rest, 1")?;
        let refresh = derive(b"refresh tokens, 1")?;
        let key =
            |octets: &[u8; 32]| UnboundKey::new(&AES_256_GCM, octets).map(LessSafeKey::new).map_err(|_| SigningError);
        Ok(Derived {
            sealing: key(&sealing)?,
            factors: key(&factors)?,
            refresh: hmac::Key::new(hmac::HMAC_SHA256, &*refresh),
        })
    }

    /// The refresh token that follows another: only who holds the secret key can know it, so it need not be stored to be
    /// given twice.
    pub(crate) fn successor(&self, token: &str) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.refresh, token.as_bytes()).as_ref());
        out
    }

    /// The secret of a factor as it is stored. The factor's id is part of the seal: it is no other factor's.
    pub(crate) fn seal_factor(&self, factor: Uuid, plain: &[u8]) -> Result<Vec<u8>, SigningError> {
        seal(&self.factors, factor.as_bytes(), plain)
    }

    /// The secret of a factor, unless it was sealed under another secret API key.
    pub(crate) fn open_factor(&self, factor: Uuid, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        open(&self.factors, factor.as_bytes(), sealed)
    }

    fn seal(&self, kid: &str, plain: &[u8]) -> Result<Vec<u8>, SigningError> {
        seal(&self.sealing, kid.as_bytes(), plain)
    }

    fn open(&self, kid: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        open(&self.sealing, kid.as_bytes(), sealed)
    }
}

/// The name goes in as associated data: what is sealed cannot be put under another's name.
fn seal(key: &LessSafeKey, name: &[u8], plain: &[u8]) -> Result<Vec<u8>, SigningError> {
    let mut nonce = [0u8; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SigningError)?;
    let mut sealed = plain.to_vec();
    let nonce_value = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce_value, Aad::from(name), &mut sealed).map_err(|_| SigningError)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn open(key: &LessSafeKey, name: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SigningError)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SigningError)?;
    let mut plain = Zeroizing::new(rest.to_vec());
    let length = key.open_in_place(nonce, Aad::from(name), &mut plain).map_err(|_| SigningError)?.len();
    plain.truncate(length);
    Ok(plain)
}

struct Octets32;

impl KeyType for Octets32 {
    fn len(&self) -> usize {
        32
    }
}

/// A key could not be made, sealed, opened or read. Without detail: there is none that helps, and some that hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningError;

/// A key as it is stored.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) public: Json,
    pub(crate) private: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) retired_at: Option<i64>,
}

impl StoredKey {
    /// A fresh key, sealed.
    pub(crate) fn generate(derived: &Derived, kid: Uuid, now: i64) -> Result<StoredKey, SigningError> {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(|_| SigningError)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        let pair = pair.map_err(|_| SigningError)?;
        let kid = kid.to_string();
        Ok(StoredKey {
            public: jwk(&kid, pair.public_key().as_ref()).ok_or(SigningError)?,
            private: derived.seal(&kid, document.as_ref())?,
            kid,
            created_at: now,
            retired_at: None,
        })
    }
}

/// The public key as RFC 7517 wants it, with `key_ops` for Web Crypto.
fn jwk(kid: &str, point: &[u8]) -> Option<Json> {
    // Uncompressed: 4, x, y.
    let (head, coordinates) = point.split_first()?;
    if *head != 4 || coordinates.len() != 64 {
        return None;
    }
    let (x, y) = coordinates.split_at(32);
    Some(json!({
        "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        "alg": ALGORITHM, "use": "sig", "key_ops": ["verify"], "ext": true, "kid": kid,
    }))
}

/// The point of a public key of ours.
fn point(jwk: &Json) -> Option<Vec<u8>> {
    let coordinate =
        |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok().filter(|octets| octets.len() == 32);
    Some([vec![4], coordinate("x")?, coordinate("y")?].concat())
}

/// A key that verifies, until its time has come.
struct VerifyingKey {
    kid: String,
    key: UnparsedPublicKey<Vec<u8>>,
    public: Json,
    /// No token of this key lives longer. `None` while it signs.
    until: Option<i64>,
}

/// How long a new key is known before it signs, so that all nodes can verify its first token: they look each second. Microseconds.
pub(crate) const HANDOVER: i64 = 3_000_000;

/// A key that signs.
pub(crate) struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
    created_at: i64,
    /// Microseconds: when it was replaced, if it was.
    retired_at: Option<i64>,
}

impl SigningKey {
    /// Its name.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// A signature: r and s, 32 octets each.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| SigningError)
    }
}

/// All keys as of some moment. Immutable; a rotation is a new ring.
pub(crate) struct KeyRing {
    /// Newest first: the current one, and those that were replaced so lately that they may still have to sign.
    signing: Vec<SigningKey>,
    verifying: Vec<VerifyingKey>,
}

impl KeyRing {
    /// The ring of the stored keys. The newest that is not retired and can be opened signs: one sealed under another secret API
    /// key cannot, and goes on verifying alone.
    pub(crate) fn new(derived: &Derived, mut stored: Vec<StoredKey>, token_life: i64) -> Arc<KeyRing> {
        stored.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        let random = SystemRandom::new();
        let open = |key: &StoredKey| {
            let plain = derived.open(&key.kid, &key.private).ok()?;
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &plain, &random).ok()
        };
        let newest = stored.first().map_or(0, |key| key.created_at);
        let signing = stored
            .iter()
            .filter(|key| key.retired_at.is_none_or(|at| at.saturating_add(HANDOVER) > newest))
            .filter_map(|key| {
                let (kid, pair) = (key.kid.clone(), open(key)?);
                Some(SigningKey { kid, pair, created_at: key.created_at, retired_at: key.retired_at })
            })
            .collect();
        let verifying = stored.iter().filter_map(|key| {
            Some(VerifyingKey {
                kid: key.kid.clone(),
                key: UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(&key.public)?),
                public: key.public.clone(),
                until: key.retired_at.map(|at| at.saturating_add(token_life).saturating_add(HANDOVER)),
            })
        });
        Arc::new(KeyRing { signing, verifying: verifying.collect() })
    }

    /// Whether there is a key to sign with.
    pub(crate) fn can_sign(&self) -> bool {
        self.signing.iter().any(|key| key.retired_at.is_none())
    }

    /// The key that signs at a moment: the newest that all nodes know by then, else the newest.
    pub(crate) fn signer(&self, now: i64) -> Option<&SigningKey> {
        let known = |key: &&SigningKey| {
            now >= key.created_at.saturating_add(HANDOVER)
                && key.retired_at.is_none_or(|at| now < at.saturating_add(HANDOVER))
        };
        self.signing.iter().find(known).or_else(|| self.signing.iter().find(|key| key.retired_at.is_none()))
    }

    /// Whether the key of this name made the signature.
    pub(crate) fn verify(&self, kid: &str, message: &[u8], signature: &[u8], now: i64) -> bool {
        let key = self.verifying.iter().find(|key| key.kid == kid);
        let live = key.filter(|key| key.until.is_none_or(|until| now < until));
        live.is_some_and(|key| key.key.verify(message, signature).is_ok())
    }

    /// The public keys whose tokens may still live.
    pub(crate) fn key_set(&self, now: i64) -> Json {
        let live = self.verifying.iter().filter(|key| key.until.is_none_or(|until| now < until));
        json!({ "keys": live.map(|key| key.public.clone()).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_survives_its_seal_and_no_other() {
        let derived = Derived::new(&Keys::generate().unwrap()).unwrap();
        let other = Derived::new(&Keys::generate().unwrap()).unwrap();
        let key = StoredKey::generate(&derived, Uuid::from_u128(7), 1).unwrap();
        let mut renamed = key.clone();
        renamed.kid = "another".into();
        assert!(KeyRing::new(&derived, vec![key.clone()], 1).can_sign());
        assert!(!KeyRing::new(&derived, vec![renamed], 1).can_sign(), "the kid is part of the seal");
        assert!(!KeyRing::new(&other, vec![key.clone()], 1).can_sign());
        for octet in 0..key.private.len() {
            let mut broken = key.clone();
            broken.private[octet] ^= 1;
            assert!(derived.open(&broken.kid, &broken.private).is_err());
        }
        assert!(derived.open(&key.kid, &key.private[..5]).is_err());
    }

    #[test]
    fn rotation_signs_with_the_new_and_verifies_with_both_for_a_while() {
        let derived = Derived::new(&Keys::generate().unwrap()).unwrap();
        let mut old = StoredKey::generate(&derived, Uuid::from_u128(1), 10).unwrap();
        let before = KeyRing::new(&derived, vec![old.clone()], 100);
        let signature = before.signer(20).unwrap().sign(b"message").unwrap();
        old.retired_at = Some(50);
        let new = StoredKey::generate(&derived, Uuid::from_u128(2), 50).unwrap();
        let after = KeyRing::new(&derived, vec![old.clone(), new.clone()], 100);
        let signs = |now| after.signer(now).unwrap().kid().to_owned();
        assert_eq!(signs(50 + HANDOVER - 1), old.kid, "other nodes may not know the new one yet");
        assert_eq!(signs(50 + HANDOVER), new.kid);
        assert!(after.verify(&old.kid, b"message", &signature, HANDOVER + 149));
        assert!(!after.verify(&old.kid, b"message", &signature, HANDOVER + 150));
        assert!(!after.verify(&new.kid, b"message", &signature, 60));
        assert!(!after.verify("nobody", b"message", &signature, 60));
        assert_eq!(after.key_set(60)["keys"].as_array().unwrap().len(), 2);
        assert_eq!(after.key_set(HANDOVER + 150)["keys"].as_array().unwrap().len(), 1);
        assert!(after.key_set(60)["keys"][0].get("d").is_none(), "no private part");
    }
}
