//! Public keys of credentials, as COSE writes them (RFC 9052, RFC 9053 §7, RFC 8230 §4), and signatures held against them.
//!
//! The key says which of the three algorithms it is for, and nothing else does.

use super::cbor::{self, Item};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// What is asked for, best first: ES256, EdDSA, RS256 (the last for Windows).
pub(crate) const ALGORITHMS: [i64; 3] = [-7, -8, -257];
/// Octets of the greatest key; an RSA key of 8,192 bits has some 1,040.
pub(crate) const KEY_BYTES_MAX: usize = 2_048;

/// A key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublicKey<'a> {
    P256([u8; 65]),
    Ed25519(&'a [u8]),
    Rsa { n: &'a [u8], e: &'a [u8] },
}

impl<'a> PublicKey<'a> {
    /// The key of an item: its type, its algorithm and its numbers must go together.
    pub(crate) fn of(item: &Item<'a>) -> Option<PublicKey<'a>> {
        let number = |label: i64| item.at(label).and_then(Item::int);
        let octets =
            |label: i64, length: usize| item.at(label).and_then(Item::bytes).filter(|octets| octets.len() == length);
        match (number(1)?, number(3)?) {
            (2, -7) if number(-1) == Some(1) => {
                let mut point = [4; 65];
                point[1..33].copy_from_slice(octets(-2, 32)?);
                point[33..].copy_from_slice(octets(-3, 32)?);
                Some(PublicKey::P256(point))
            }
            (1, -8) if number(-1) == Some(6) => Some(PublicKey::Ed25519(octets(-2, 32)?)),
            (3, -257) => {
                let n = item.at(-1).and_then(Item::bytes).filter(|n| (256..=1_024).contains(&n.len()))?;
                let e = item.at(-2).and_then(Item::bytes).filter(|e| (1..=8).contains(&e.len()))?;
                Some(PublicKey::Rsa { n, e })
            }
            _ => None,
        }
    }

    /// The key of an encoded item.
    pub(crate) fn read(encoded: &'a [u8]) -> Option<PublicKey<'a>> {
        PublicKey::of(&cbor::only(encoded)?)
    }

    /// Whether a message has the signature of this key.
    pub(crate) fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let done = match self {
            PublicKey::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            PublicKey::Ed25519(octets) => UnparsedPublicKey::new(&ED25519, octets).verify(message, signature),
            PublicKey::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        done.is_ok()
    }
}
