//! API keys: making them, telling a well-formed one from a typo, and comparing without a clock to read.
//!
//! A key is `ug_publishable_` or `ug_secret_`, 32 random characters of base62 (190 bits), and 6 characters of checksum. The prefix
//! lets secret scanners find it; the checksum lets them, and us, see a typo without a list of keys.
//!
//! Deliberately absent: where keys are kept (the server's environment or `data/keys.json`).

use engine::accounts::Secret;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use subtle::ConstantTimeEq;
use undergird_engine as engine;

const PUBLISHABLE: &str = "ug_publishable_";
const SECRET: &str = "ug_secret_";
const SERVICE: &str = "ug_service_";
const RANDOM_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Means "a visitor"; may stand in any client.
    Publishable,
    /// Past access rules; never leaves servers.
    Secret,
}

/// The two keys of an application.
#[derive(Clone)]
pub struct Keys {
    /// Means "a visitor".
    pub publishable: String,
    /// Past access rules.
    pub secret: Secret,
}

/// Why keys are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// Not a publishable key.
    Publishable,
    /// Not a secret key.
    Secret,
    /// The system gives no random bits.
    NoRandomness,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeysError::Publishable => {
                "the publishable key is not of the form ug_publishable_…, or was mistyped; `undergird keys` makes one"
            }
            KeysError::Secret => {
                "the secret key is not of the form ug_secret_…, or was mistyped; `undergird keys` makes one"
            }
            KeysError::NoRandomness => "the system gives no random bits",
        })
    }
}

impl std::error::Error for KeysError {}

impl Keys {
    /// Fresh keys.
    ///
    /// # Errors
    /// [`KeysError::NoRandomness`].
    pub fn generate() -> Result<Keys, KeysError> {
        Ok(Keys { publishable: fresh(PUBLISHABLE)?, secret: Secret::new(fresh(SECRET)?) })
    }

    /// Keys that were kept or given.
    ///
    /// # Errors
    /// Which of the two is no key of its kind.
    pub fn parse(publishable: &str, secret: &str) -> Result<Keys, KeysError> {
        if kind_of(publishable) != Some(KeyKind::Publishable) {
            return Err(KeysError::Publishable);
        }
        if kind_of(secret) != Some(KeyKind::Secret) {
            return Err(KeysError::Secret);
        }
        Ok(Keys { publishable: publishable.into(), secret: Secret::new(secret) })
    }
}

/// The kind of a text that has the form of a key and the right checksum.
pub fn kind_of(text: &str) -> Option<KeyKind> {
    let (kind, prefix) = match () {
        () if text.starts_with(PUBLISHABLE) => (KeyKind::Publishable, PUBLISHABLE),
        () if text.starts_with(SECRET) => (KeyKind::Secret, SECRET),
        () => return None,
    };
    let rest = text.get(prefix.len()..)?;
    if rest.len() != RANDOM_CHARS + CHECKSUM_CHARS || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
    (checksum(body) == sum).then_some(kind)
}

/// A key of a service account ([`crate::service_keys`]).
pub(crate) fn fresh_service() -> Result<String, KeysError> {
    fresh(SERVICE)
}

/// Whether a credential wants to be a key of a service account.
pub(crate) fn looks_like_service(credential: &[u8]) -> bool {
    credential.starts_with(SERVICE.as_bytes())
}

/// Whether a credential wants to be a key at all, however broken.
pub(crate) fn looks_like_key(credential: &[u8]) -> bool {
    credential.starts_with(b"ug_")
}

/// What credentials are compared with. A hash takes any credential to one length, so the comparison tells nothing about the secret
/// key by its time.
pub(crate) struct KeyHashes {
    publishable: Box<[u8]>,
    secret: [u8; 32],
}

impl KeyHashes {
    pub(crate) fn new(keys: &Keys) -> KeyHashes {
        KeyHashes { publishable: keys.publishable.as_bytes().into(), secret: sha256(keys.secret.expose().as_bytes()) }
    }

    /// Which key it is, if it is one.
    pub(crate) fn find(&self, credential: &[u8]) -> Option<KeyKind> {
        // The publishable key is no secret and comes with almost every request: no hash for it.
        if *credential == *self.publishable {
            return Some(KeyKind::Publishable);
        }
        bool::from(sha256(credential).ct_eq(&self.secret)).then_some(KeyKind::Secret)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn fresh(prefix: &str) -> Result<String, KeysError> {
    let random = SystemRandom::new();
    let mut text = String::from(prefix);
    let mut bytes = [0u8; 64];
    while text.len() < prefix.len() + RANDOM_CHARS {
        random.fill(&mut bytes).map_err(|_| KeysError::NoRandomness)?;
        // 248 is the last multiple of 62 in a byte: beyond it, some characters would be likelier than others.
        for byte in bytes.iter().filter(|byte| **byte < 248).take(prefix.len() + RANDOM_CHARS - text.len()) {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
        }
    }
    let sum = checksum(&text);
    text.push_str(&sum);
    Ok(text)
}

/// Six characters of base62 of the first four octets of SHA-256.
fn checksum(body: &str) -> String {
    let hash = sha256(body.as_bytes());
    let mut number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let mut sum = [b'0'; CHECKSUM_CHARS];
    for place in sum.iter_mut().rev() {
        *place = BASE62[(number % 62) as usize];
        number /= 62;
    }
    sum.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fresh_keys_are_well_formed_and_differ() {
        let (one, two) = (Keys::generate().unwrap(), Keys::generate().unwrap());
        assert_ne!(one.publishable, two.publishable);
        assert_ne!(one.secret.expose(), two.secret.expose());
        assert_eq!(kind_of(&one.publishable), Some(KeyKind::Publishable));
        assert_eq!(kind_of(one.secret.expose()), Some(KeyKind::Secret));
        assert!(Keys::parse(&one.publishable, one.secret.expose()).is_ok());
        assert_eq!(Keys::parse(one.secret.expose(), &one.publishable).err(), Some(KeysError::Publishable));
    }

    #[test]
    fn every_typo_is_noticed() {
        let key = Keys::generate().unwrap().publishable;
        for position in 0..key.len() {
            let mut typo = key.clone().into_bytes();
            typo[position] = if typo[position] == b'x' { b'y' } else { b'x' };
            assert_eq!(kind_of(std::str::from_utf8(&typo).unwrap()), None, "at {position}");
            assert_eq!(kind_of(&key[..position]), None);
        }
        assert_eq!(kind_of(&format!("{key}0")), None);
        assert_eq!(kind_of("ug_secret_😀"), None);
    }

    #[test]
    fn hashes_find_their_keys_only() {
        let keys = Keys::generate().unwrap();
        let hashes = KeyHashes::new(&keys);
        assert_eq!(hashes.find(keys.publishable.as_bytes()), Some(KeyKind::Publishable));
        assert_eq!(hashes.find(keys.secret.expose().as_bytes()), Some(KeyKind::Secret));
        assert_eq!(hashes.find(b""), None);
        assert_eq!(hashes.find(Keys::generate().unwrap().secret.expose().as_bytes()), None);
    }
}
