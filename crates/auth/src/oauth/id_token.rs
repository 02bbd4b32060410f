//! ID tokens (OpenID Connect Core 1.0, §2 and §3.1.3.7), read strictly. The token says who gave it and for whom; both are compared with what is
//! configured, and nothing of it is followed (`jku`, `jwk`, `x5u`).
//!
//! Deliberately absent: getting tokens and keys ([`super::directory`], [`super::calls`]), and what the claims mean for an account.

use super::keys::{Held, KeySet};
use crate::api_keys::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;
use subtle::ConstantTimeEq;

/// Longest token that is read.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How far a provider's clock may be from ours, in seconds.
const SKEW_SECONDS: i64 = 60;

/// What a token must say.
pub(crate) struct Expected<'a> {
    /// Whether this is who gives such tokens.
    pub(crate) is_issuer: &'a (dyn Fn(&str, &Json) -> bool + Send + Sync),
    /// For whom.
    pub(crate) audiences: &'a [&'a str],
    pub(crate) nonce: Nonce<'a>,
    /// Seconds.
    pub(crate) now: i64,
}

/// What the token must say in answer to what was asked.
#[derive(Clone, Copy)]
pub(crate) enum Nonce<'a> {
    /// This.
    Is(&'a str),
    /// The SHA-256 of this, in hexadecimal.
    HashOf(&'a str),
    /// Nothing was asked, so nothing may be answered: a token that was asked for with a nonce is another client's.
    None,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It was signed with a key that is not known; it may be a new one.
    UnknownKey,
    /// Any other reason, as the rest of a sentence.
    Because(&'static str),
}

/// The claims of a token that is good.
pub(crate) fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Json, Bad> {
    let malformed = Bad::Because("it is no JWT");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Bad::Because("it is too long"));
    }
    let (message, signature) = token.rsplit_once('.').ok_or(malformed)?;
    let (header, claims) = message.split_once('.').ok_or(malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed);
    let header: Json = serde_json::from_slice(&decode(header)?).map_err(|_| malformed)?;
    let alg = header.get("alg").and_then(Json::as_str).ok_or(malformed)?;
    let kid = match header.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str().ok_or(malformed)?),
    };
    let is_jwt = header.get("typ").is_none_or(|typ| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("jwt")));
    if !is_jwt || header.get("crit").is_some() {
        return Err(Bad::Because("it is another kind of token"));
    }
    match keys.holds(alg, kid, message.as_bytes(), &decode(signature)?) {
        Held::Yes => {}
        Held::No => return Err(Bad::Because("its signature does not hold")),
        Held::NoKey => return Err(Bad::UnknownKey),
    }
    let claims: Json = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed)?;
    check(&claims, expected).map_err(Bad::Because)?;
    Ok(claims)
}

fn check(claims: &Json, expected: &Expected<'_>) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    // Some providers write them with a fraction.
    let seconds = |name: &str| claims.get(name).and_then(|at| at.as_i64().or_else(|| at.as_f64().map(|at| at as i64)));
    let issuer = text("iss").ok_or("it names no issuer")?;
    if !(expected.is_issuer)(issuer, claims) {
        return Err("it is from another issuer");
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => many.iter().map(|one| one.as_str().unwrap_or_default()).collect(),
        _ => return Err("it names no audience"),
    };
    if !audiences.iter().any(|audience| expected.audiences.contains(audience)) {
        return Err("it is for another audience");
    }
    if audiences.len() > 1 && !text("azp").is_some_and(|party| expected.audiences.contains(&party)) {
        return Err("it is for several audiences, and was asked for by another");
    }
    if text("sub").is_none() {
        return Err("it names no user");
    }
    let expires = seconds("exp").ok_or("it does not say when it runs out")?;
    let issued = seconds("iat").ok_or("it does not say when it was made")?;
    if expected.now >= expires.saturating_add(SKEW_SECONDS) {
        return Err("it ran out");
    }
    let latest = expected.now.saturating_add(SKEW_SECONDS);
    if issued > latest || seconds("nbf").is_some_and(|begins| begins > latest) {
        return Err("it is not valid yet");
    }
    // An empty one is how some say that they were given none.
    let nonce = claims.get("nonce").filter(|nonce| !nonce.is_null() && nonce.as_str() != Some(""));
    let wanted = match expected.nonce {
        Nonce::Is(nonce) => Some(nonce.to_owned()),
        Nonce::HashOf(nonce) => Some(hex(&sha256(nonce.as_bytes()))),
        Nonce::None => None,
    };
    match (wanted, nonce) {
        (None, None) => Ok(()),
        (Some(wanted), Some(Json::String(nonce))) if bool::from(wanted.as_bytes().ct_eq(nonce.as_bytes())) => Ok(()),
        (None, Some(_)) => Err("it has a nonce, and none was given"),
        (Some(_), _) => Err("its nonce is another"),
    }
}

/// Whether an access token is the one that came with this ID token, as far as the ID token says (`at_hash`).
pub(crate) fn is_of(claims: &Json, access_token: &str) -> bool {
    let Some(told) = claims.get("at_hash").and_then(Json::as_str) else { return true };
    let half = |octets: &[u8]| URL_SAFE_NO_PAD.encode(&octets[..octets.len() / 2]);
    // By the hash of the token's own algorithm. Which of the three it was makes no difference to who can forge one.
    let hashes = [&ring::digest::SHA256, &ring::digest::SHA384, &ring::digest::SHA512];
    hashes.into_iter().any(|with| half(ring::digest::digest(with, access_token.as_bytes()).as_ref()) == told)
}

fn hex(octets: &[u8]) -> String {
    octets
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|half| char::from(b"0123456789abcdef"[usize::from(half)]))
        .collect()
}

#[cfg(test)]
mod tests;
