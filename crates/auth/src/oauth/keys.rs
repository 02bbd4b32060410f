//! A provider's public keys (RFC 7517), and signatures held against them. The key decides which algorithm it is for; the token's word
//! only picks among those that fit. There is no symmetric algorithm here, and no `none`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value as Json;

/// Most keys of a set that are read.
const KEYS_MAX: usize = 100;

/// The keys of a provider that sign.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    /// The only algorithm that it is for, if the set says so.
    alg: Option<String>,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// How a signature stands to a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is one of theirs.
    Yes,
    /// There is such a key, and it is not its signature; or the algorithm is none that is taken.
    No,
    /// There is no such key; it may be a new one.
    NoKey,
}

impl KeySet {
    /// The keys that can be used; what is something else is left out.
    pub(crate) fn read(set: &Json) -> Option<KeySet> {
        let keys = set.get("keys")?.as_array()?;
        Some(KeySet(keys.iter().take(KEYS_MAX).filter_map(read_key).collect()))
    }

    /// Whether a message has the signature of one of these keys.
    pub(crate) fn holds(&self, alg: &str, kid: Option<&str>, message: &[u8], signature: &[u8]) -> Held {
        if !ALGORITHMS.contains(&alg) {
            return Held::No;
        }
        let mut fitting = self.0.iter().filter(|key| {
            key.material.is_for(alg)
                && key.alg.as_deref().is_none_or(|only| only == alg)
                && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        });
        let Some(key) = fitting.next() else {
            // A known name with another algorithm is an attack, not a new key.
            let is_known = kid.is_some_and(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(kid)));
            return if is_known { Held::No } else { Held::NoKey };
        };
        if kid.is_none() && fitting.next().is_some() {
            return Held::No;
        }
        if key.material.holds(alg, message, signature) { Held::Yes } else { Held::No }
    }
}

const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn read_key(key: &Json) -> Option<Key> {
    let text = |name: &str| key.get(name).and_then(Json::as_str);
    let octets = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let number = |name: &str| {
                let octets = octets(name)?;
                let start = octets.iter().position(|octet| *octet != 0)?;
                Some(octets[start..].to_vec())
            };
            Material::Rsa { n: number("n")?, e: number("e")? }
        }
        ("EC", Some("P-256")) => Material::P256(point(&octets("x")?, &octets("y")?, 32)?),
        ("EC", Some("P-384")) => Material::P384(point(&octets("x")?, &octets("y")?, 48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(octets("x").filter(|octets| octets.len() == 32)?),
        _ => return None,
    };
    Some(Key { kid: text("kid").map(str::to_owned), alg: text("alg").map(str::to_owned), material })
}

/// An uncompressed point (SEC 1).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

impl Material {
    fn is_for(&self, alg: &str) -> bool {
        match self {
            Material::Rsa { .. } => alg.starts_with("RS") || alg.starts_with("PS"),
            Material::P256(_) => alg == "ES256",
            Material::P384(_) => alg == "ES384",
            Material::Ed25519(_) => alg == "EdDSA",
        }
    }

    fn holds(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        let done = match self {
            Material::Rsa { n, e } => {
                let how = match alg {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(how, message, signature)
            }
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Material::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature),
            Material::Ed25519(octets) => UnparsedPublicKey::new(&ED25519, octets).verify(message, signature),
        };
        done.is_ok()
    }
}
