//! The keys that sign access tokens, sealed at rest: ES256 (ECDSA on P-256 with SHA-256, RFC 7518 §3.4) or EdDSA (Ed25519, RFC 8037), made
//! here; or, for those who must, a secret shared with others, for HS256 (HMAC with SHA-256, RFC 7518 §3.2). The algorithm belongs to the
//! key: a public key is never a MAC's, and a secret is in no key set.
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
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde_json::{Value as Json, json};
use std::fmt;
use std::sync::Arc;
use undergird_engine::Failure;
use undergird_engine::accounts::Secret;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a key signs with. `alg` in a token's header is compared with that of the key, never followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256: what every client verifies.
    #[default]
    Es256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256, of a secret that others have too: whoever verifies can also sign.
    Hs256,
}

/// Fewest octets of a shared secret (RFC 7518 §3.2: as many as the hash has).
pub const SHARED_SECRET_MIN: usize = 32;

/// How the document of a shared secret begins, so that no private key of another kind is taken for one.
const SHARED: &[u8] = b"HS256:";

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [SigningAlgorithm; 3] = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa, SigningAlgorithm::Hs256];

    /// As it stands in `alg` of tokens and key sets.
    pub fn name(self) -> &'static str {
        match self {
            SigningAlgorithm::Es256 => "ES256",
            SigningAlgorithm::EdDsa => "EdDSA",
            SigningAlgorithm::Hs256 => "HS256",
        }
    }

    /// The algorithm of a name.
    pub fn of(name: &str) -> Option<SigningAlgorithm> {
        SigningAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// A fresh private key as PKCS #8 (a shared secret by itself), and its pair.
    fn generate(self) -> Result<(Zeroizing<Vec<u8>>, Pair), SigningError> {
        let random = SystemRandom::new();
        let document = match self {
            SigningAlgorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            SigningAlgorithm::Hs256 => {
                let mut secret = Zeroizing::new([0u8; SHARED_SECRET_MIN]);
                random.fill(&mut *secret).map_err(|_| SigningError)?;
                return shared(&*secret);
            }
        };
        let document = Zeroizing::new(document.map_err(|_| SigningError)?.as_ref().to_vec());
        let pair = self.pair(&document).ok_or(SigningError)?;
        Ok((document, pair))
    }

    /// The pair in a private key of this algorithm; that of another is none.
    fn pair(self, document: &[u8]) -> Option<Pair> {
        match self {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &SystemRandom::new());
                pair.ok().map(Pair::P256)
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(document).ok().map(Pair::Ed25519),
            SigningAlgorithm::Hs256 => {
                let secret = document.strip_prefix(SHARED).filter(|secret| secret.len() >= SHARED_SECRET_MIN)?;
                Some(Pair::Shared(hmac::Key::new(hmac::HMAC_SHA256, secret)))
            }
        }
    }

    /// The public key as RFC 7517 wants it, with `key_ops` for Web Crypto.
    fn jwk(self, kid: &str, public: &[u8]) -> Option<Json> {
        let mut jwk = match self {
            SigningAlgorithm::Es256 => {
                // Uncompressed: 4, x, y.
                let (head, coordinates) = public.split_first()?;
                if *head != 4 || coordinates.len() != 64 {
                    return None;
                }
                let (x, y) = coordinates.split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
            }
            SigningAlgorithm::EdDsa => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(public) })
            }
            // Nothing of it is public.
            SigningAlgorithm::Hs256 => return Some(json!({ "kty": "oct", "alg": self.name(), "kid": kid })),
        };
        jwk["alg"] = self.name().into();
        jwk["use"] = "sig".into();
        jwk["key_ops"] = json!(["verify"]);
        jwk["ext"] = true.into();
        jwk["kid"] = kid.into();
        Some(jwk)
    }

    /// What verifies with a public key of ours; a shared secret has none.
    fn verifier(self, jwk: &Json) -> Option<UnparsedPublicKey<Vec<u8>>> {
        let member = |name: &str| jwk.get(name).and_then(Json::as_str);
        let octets = |name: &str| URL_SAFE_NO_PAD.decode(member(name)?).ok().filter(|octets| octets.len() == 32);
        match (self, member("kty")?, member("crv")?) {
            (SigningAlgorithm::Es256, "EC", "P-256") => {
                let point = [vec![4], octets("x")?, octets("y")?].concat();
                Some(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))
            }
            (SigningAlgorithm::EdDsa, "OKP", "Ed25519") => Some(UnparsedPublicKey::new(&ED25519, octets("x")?)),
            (SigningAlgorithm::Es256 | SigningAlgorithm::EdDsa | SigningAlgorithm::Hs256, _, _) => None,
        }
    }
}

/// The document of a shared secret, and its pair.
fn shared(secret: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Pair), SigningError> {
    let document = Zeroizing::new([SHARED, secret].concat());
    let pair = SigningAlgorithm::Hs256.pair(&document).ok_or(SigningError)?;
    Ok((document, pair))
}

/// A private key, ready to sign.
enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Shared(hmac::Key),
}

impl Pair {
    fn public(&self) -> &[u8] {
        match self {
            Pair::Shared(_) => &[],
            Pair::P256(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Pair::P256(_) => SigningAlgorithm::Es256,
            Pair::Ed25519(_) => SigningAlgorithm::EdDsa,
            Pair::Shared(_) => SigningAlgorithm::Hs256,
        }
    }
}

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

/// Which key shall sign from now on.
pub enum NewSigningKey {
    /// A fresh one, of the algorithm of the key before.
    AsBefore,
    /// A fresh one of this algorithm; not of HS256, whose secret nobody would know.
    Of(SigningAlgorithm),
    /// A secret that others have too, for HS256: its octets as they are.
    Shared(Secret),
}

/// Why a signing key was not made.
#[derive(Debug)]
pub enum SigningKeyError {
    /// HS256 without a secret.
    SecretMissing,
    /// A secret that could be guessed.
    SecretTooShort,
    /// As for what else is stored.
    Failed(Failure),
}

impl fmt::Display for SigningKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SigningKeyError::SecretMissing => {
                f.write_str("HS256 signs with a secret that others have too, and none is given")
            }
            SigningKeyError::SecretTooShort => write!(f, "the secret has fewer than {SHARED_SECRET_MIN} octets"),
            SigningKeyError::Failed(failure) => write!(f, "the key was not made: {failure:?}"),
        }
    }
}

impl From<Failure> for SigningKeyError {
    fn from(failure: Failure) -> SigningKeyError {
        SigningKeyError::Failed(failure)
    }
}

/// A key as it is stored.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) public: Json,
    pub(crate) private: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) retired_at: Option<i64>,
}

impl StoredKey {
    /// A fresh key, sealed.
    pub(crate) fn generate(
        derived: &Derived,
        algorithm: SigningAlgorithm,
        kid: Uuid,
        now: i64,
    ) -> Result<StoredKey, SigningError> {
        StoredKey::sealed(derived, algorithm, algorithm.generate()?, (kid, now))
    }

    /// A secret that others have too, sealed. One that is shorter than [`SHARED_SECRET_MIN`] is none.
    pub(crate) fn shared(derived: &Derived, secret: &[u8], kid: Uuid, now: i64) -> Result<StoredKey, SigningError> {
        StoredKey::sealed(derived, SigningAlgorithm::Hs256, shared(secret)?, (kid, now))
    }

    fn sealed(
        derived: &Derived,
        algorithm: SigningAlgorithm,
        (document, pair): (Zeroizing<Vec<u8>>, Pair),
        (kid, now): (Uuid, i64),
    ) -> Result<StoredKey, SigningError> {
        let kid = kid.to_string();
        Ok(StoredKey {
            public: algorithm.jwk(&kid, pair.public()).ok_or(SigningError)?,
            private: derived.seal(&kid, &document)?,
            kid,
            algorithm,
            created_at: now,
            retired_at: None,
        })
    }
}

/// A key that verifies, until its time has come.
struct VerifyingKey {
    kid: String,
    algorithm: SigningAlgorithm,
    key: Verifier,
    /// For the key set. A shared secret is not in it.
    public: Option<Json>,
    /// No token of this key lives longer. `None` while it signs.
    until: Option<i64>,
}

/// What verifies: a public key by its own algorithm, or a shared secret by its MAC. Neither can be taken for the other.
enum Verifier {
    Public(UnparsedPublicKey<Vec<u8>>),
    Shared(hmac::Key),
}

impl Verifier {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Public(key) => key.verify(message, signature).is_ok(),
            // In constant time.
            Verifier::Shared(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// How long a new key is known before it signs, so that all nodes can verify its first token: they look each second. Microseconds.
pub(crate) const HANDOVER: i64 = 3_000_000;

/// A key that signs.
pub(crate) struct SigningKey {
    kid: String,
    pair: Pair,
    created_at: i64,
    /// Microseconds: when it was replaced, if it was.
    retired_at: Option<i64>,
}

impl SigningKey {
    /// Its name.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        self.pair.algorithm()
    }

    /// A signature: r and s of 32 octets each, or a MAC of 32.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| SigningError)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Shared(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
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
    /// key cannot, and goes on verifying alone, unless it is a shared secret, which cannot do that either.
    pub(crate) fn new(derived: &Derived, mut stored: Vec<StoredKey>, token_life: i64) -> Arc<KeyRing> {
        stored.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        let open = |key: &StoredKey| key.algorithm.pair(&derived.open(&key.kid, &key.private).ok()?);
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
            let (verifier, public) = match key.algorithm {
                SigningAlgorithm::Hs256 => match open(key)? {
                    Pair::Shared(secret) => (Verifier::Shared(secret), None),
                    Pair::P256(_) | Pair::Ed25519(_) => return None,
                },
                algorithm => (Verifier::Public(algorithm.verifier(&key.public)?), Some(key.public.clone())),
            };
            Some(VerifyingKey {
                kid: key.kid.clone(),
                algorithm: key.algorithm,
                key: verifier,
                public,
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

    /// Whether the key of this name made the signature, and is of this algorithm.
    pub(crate) fn verify(
        &self,
        (kid, algorithm): (&str, SigningAlgorithm),
        message: &[u8],
        signature: &[u8],
        now: i64,
    ) -> bool {
        let key = self.verifying.iter().find(|key| key.kid == kid && key.algorithm == algorithm);
        let live = key.filter(|key| key.until.is_none_or(|until| now < until));
        live.is_some_and(|key| key.key.verify(message, signature))
    }

    /// The public keys whose tokens may still live.
    pub(crate) fn key_set(&self, now: i64) -> Json {
        let live = self.verifying.iter().filter(|key| key.until.is_none_or(|until| now < until));
        json!({ "keys": live.filter_map(|key| key.public.clone()).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use SigningAlgorithm::{EdDsa, Es256, Hs256};

    fn key(derived: &Derived, algorithm: SigningAlgorithm, id: u128, now: i64) -> StoredKey {
        StoredKey::generate(derived, algorithm, Uuid::from_u128(id), now).unwrap()
    }

    #[test]
    fn a_key_survives_its_seal_and_no_other() {
        let derived = Derived::new(&Keys::generate().unwrap()).unwrap();
        let other = Derived::new(&Keys::generate().unwrap()).unwrap();
        for algorithm in SigningAlgorithm::ALL {
            let key = key(&derived, algorithm, 7, 1);
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
    }

    #[test]
    fn rotation_signs_with_the_new_and_verifies_with_both_for_a_while() {
        for (first, second) in [(Es256, Es256), (Es256, EdDsa), (EdDsa, Es256), (EdDsa, EdDsa)] {
            let derived = Derived::new(&Keys::generate().unwrap()).unwrap();
            let mut old = key(&derived, first, 1, 10);
            let before = KeyRing::new(&derived, vec![old.clone()], 100);
            let signature = before.signer(20).unwrap().sign(b"message").unwrap();
            old.retired_at = Some(50);
            let new = key(&derived, second, 2, 50);
            let after = KeyRing::new(&derived, vec![old.clone(), new.clone()], 100);
            let signs = |now| after.signer(now).map(|key| (key.kid().to_owned(), key.algorithm())).unwrap();
            let of = |key: &StoredKey| (key.kid.clone(), key.algorithm);
            assert_eq!(signs(50 + HANDOVER - 1), of(&old), "other nodes may not know the new one yet");
            assert_eq!(signs(50 + HANDOVER), of(&new));
            let good = |kid: &str, algorithm, now| after.verify((kid, algorithm), b"message", &signature, now);
            assert!(good(&old.kid, first, HANDOVER + 149));
            assert!(!good(&old.kid, first, HANDOVER + 150));
            assert!(!good(&new.kid, second, 60));
            assert!(!good("nobody", first, 60));
            let other = SigningAlgorithm::ALL.into_iter().find(|other| *other != first).unwrap();
            assert!(!good(&old.kid, other, 60), "a key is of one algorithm");
            let set = after.key_set(60);
            let algorithms: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| key["alg"].clone()).collect();
            assert_eq!(algorithms, [second.name(), first.name()]);
            assert_eq!(after.key_set(HANDOVER + 150)["keys"].as_array().unwrap().len(), 1);
            assert!(set["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "no private part");
        }
    }

    #[test]
    fn a_stored_key_of_another_algorithm_is_none() {
        let derived = Derived::new(&Keys::generate().unwrap()).unwrap();
        for (made, said) in [(Es256, EdDsa), (EdDsa, Es256), (Es256, Hs256), (EdDsa, Hs256), (Hs256, Es256)] {
            let mut key = key(&derived, made, 1, 10);
            key.algorithm = said;
            let ring = KeyRing::new(&derived, vec![key], 100);
            assert!(!ring.can_sign() && ring.key_set(20)["keys"].as_array().unwrap().is_empty());
        }
    }

    #[test]
    fn a_shared_secret_is_in_no_key_set_and_goes_over_in_both_directions() {
        let derived = Derived::new(&Keys::generate().unwrap()).unwrap();
        let secret = [7u8; SHARED_SECRET_MIN];
        let short = StoredKey::shared(&derived, &secret[1..], Uuid::from_u128(1), 10);
        assert_eq!(short.err(), Some(SigningError));
        let mut ours = key(&derived, Es256, 1, 10);
        ours.retired_at = Some(50);
        let shared = StoredKey::shared(&derived, &secret, Uuid::from_u128(2), 50).unwrap();
        let ring = KeyRing::new(&derived, vec![ours.clone(), shared.clone()], 100);
        let signer = ring.signer(50 + HANDOVER).unwrap();
        assert_eq!((signer.kid(), signer.algorithm()), (shared.kid.as_str(), Hs256));
        let signature = signer.sign(b"message").unwrap();
        // As anybody would who has the secret.
        assert!(hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), b"message", &signature).is_ok());
        assert!(ring.verify((&shared.kid, Hs256), b"message", &signature, 60));
        assert!(!ring.verify((&shared.kid, Es256), b"message", &signature, 60));
        let set = ring.key_set(60);
        assert_eq!(set["keys"].as_array().unwrap().len(), 1, "{set}");
        assert_eq!(set["keys"][0]["kid"], ours.kid.as_str());
        // A MAC with our public key, in whatever form it is published, is no signature of that key, by neither name.
        let forms = [
            set["keys"][0].to_string().into_bytes(),
            URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap(),
        ];
        for form in forms {
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &form), b"message");
            for algorithm in SigningAlgorithm::ALL {
                assert!(!ring.verify((&ours.kid, algorithm), b"message", mac.as_ref(), 60), "{algorithm:?}");
            }
        }
    }
}
