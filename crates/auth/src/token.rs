//! Access tokens: JWTs (RFC 7519) with the claims of Supabase Auth, written and read strictly.
//!
//! The header decides nothing. Its `alg` and `typ` are compared with what our keys are for; `kid` picks among our keys; any further
//! member (`jku`, `jwk`, `x5u`, `crit`, …) makes the token malformed. One kind of token is given out, so none can pass as another.
//!
//! Deliberately absent: whether the session still stands ([`crate::revocations`]).

use crate::revocations::SKEW_MICROS;
use crate::signing::{KeyRing, SigningAlgorithm, SigningError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use undergird_engine::accounts::{Account, Unidentified};
use undergird_plan::User;
use uuid::Uuid;

/// `aud` and `role` of every user's token, as clients know them.
pub const AUDIENCE: &str = "authenticated";

/// Longest token that is read. Ours are shorter: metadata has its limit.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far ahead another node's clock may be, in seconds.
const SKEW_SECONDS: i64 = SKEW_MICROS / 1_000_000;

/// The claim that says which generation of its session's tokens a token is of; left out of the first.
pub(crate) const GENERATION: &str = "token_generation";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// What a good token says.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) user: Arc<User>,
    pub(crate) session: Uuid,
    /// Of the session's tokens, see [`crate::revocations`].
    pub(crate) generation: i64,
    /// Seconds.
    pub(crate) expires_at: i64,
}

/// What goes into a token beside the account.
pub(crate) struct Grant<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) session: Uuid,
    pub(crate) aal: &'a str,
    /// The methods by which the session was proved, newest first, each with when it was used, in microseconds.
    pub(crate) methods: &'a [(&'a str, i64)],
    /// Of the session's tokens.
    pub(crate) generation: i64,
    /// Seconds.
    pub(crate) issued_at: i64,
    /// Seconds.
    pub(crate) expires_at: i64,
}

/// A signed token with the usual claims.
pub(crate) fn issue(ring: &KeyRing, account: &Account, grant: &Grant<'_>) -> Result<String, SigningError> {
    sign(ring, grant.issued_at, &claims(account, grant))
}

/// What a token says of an account and its session.
pub(crate) fn claims(account: &Account, grant: &Grant<'_>) -> Map<String, Json> {
    let method = |(method, at): &(&str, i64)| json!({ "method": method, "timestamp": at.div_euclid(1_000_000) });
    let amr: Vec<Json> = grant.methods.iter().map(method).collect();
    let mut claims = json!({
        "iss": grant.issuer,
        "sub": account.id.to_string(),
        "aud": AUDIENCE,
        "exp": grant.expires_at,
        "iat": grant.issued_at,
        "nbf": grant.issued_at,
        "email": account.email.as_deref().unwrap_or(""),
        "phone": "",
        "app_metadata": account.app_metadata,
        "user_metadata": account.user_metadata,
        "role": AUDIENCE,
        "aal": grant.aal,
        "amr": amr,
        "session_id": grant.session.to_string(),
        "is_anonymous": account.is_anonymous,
    });
    if grant.generation > 0 {
        claims[GENERATION] = grant.generation.into();
    }
    match claims {
        Json::Object(claims) => claims,
        _ => Map::new(),
    }
}

/// A signed token of these claims.
pub(crate) fn sign(ring: &KeyRing, issued_at: i64, claims: &Map<String, Json>) -> Result<String, SigningError> {
    let signer = ring.signer(issued_at.saturating_mul(1_000_000)).ok_or(SigningError)?;
    let header = json!({ "alg": signer.algorithm().name(), "kid": signer.kid(), "typ": "JWT" });
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_string(claims).map_err(|_| SigningError)?, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// What a token says, if it is one of ours and its time is now.
pub(crate) fn verify(ring: &KeyRing, issuer: &str, token: &str, now: i64) -> Result<Verified, Unidentified> {
    use Unidentified::{BadSignature, Expired, MalformedToken, TooEarly, WrongClaims};
    if token.len() > TOKEN_BYTES_MAX {
        return Err(MalformedToken);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(MalformedToken)?;
    let (header, claims) = message.split_once('.').ok_or(MalformedToken)?;
    // Strict base64: no padding, no stray bits. A `.` too many is no base64 either.
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| MalformedToken);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| MalformedToken)?;
    let algorithm = SigningAlgorithm::of(&header.alg).ok_or(MalformedToken)?;
    if header.typ != "JWT" {
        return Err(MalformedToken);
    }
    let (claims, signature) = (decode(claims)?, decode(signature)?);
    if !ring.verify((&header.kid, algorithm), message.as_bytes(), &signature, now) {
        return Err(BadSignature);
    }
    let claims: Json = serde_json::from_slice(&claims).map_err(|_| WrongClaims)?;
    let text = |name: &str| claims.get(name).and_then(Json::as_str).ok_or(WrongClaims);
    let seconds = |name: &str| claims.get(name).and_then(Json::as_i64).ok_or(WrongClaims);
    let id = |name: &str| Uuid::try_parse(text(name)?).map_err(|_| WrongClaims);
    if text("iss")? != issuer || text("aud")? != AUDIENCE || text("role")? != AUDIENCE {
        return Err(WrongClaims);
    }
    let (subject, session) = (id("sub")?, id("session_id")?);
    let (not_before, _, expires_at) = (seconds("nbf")?, seconds("iat")?, seconds("exp")?);
    let generation = match claims.get(GENERATION) {
        None => 0,
        Some(generation) => generation.as_i64().ok_or(WrongClaims)?,
    };
    let now = now.div_euclid(1_000_000);
    if now >= expires_at {
        return Err(Expired);
    }
    if not_before > now.saturating_add(SKEW_SECONDS) {
        return Err(TooEarly);
    }
    let email = text("email")?;
    let email = (!email.is_empty()).then(|| email.to_owned());
    let roles = roles(claims.get("app_metadata").unwrap_or(&Json::Null));
    let user = Arc::new(User::new(subject, email, roles, claims));
    Ok(Verified { user, session, generation, expires_at })
}

/// `app_metadata.roles`: a list of texts; anything else in it counts for nothing.
pub(crate) fn roles(app_metadata: &Json) -> Vec<String> {
    let listed = app_metadata.get("roles").and_then(Json::as_array).into_iter().flatten();
    listed.filter_map(|role| role.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
