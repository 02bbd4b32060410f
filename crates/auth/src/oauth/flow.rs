//! Browsers that are at a provider: what each took along, once and for ten minutes.
//!
//! A browser takes a state of 256 random bits; what is kept is its hash. The nonce and the PKCE verifier that go with it are MACs of
//! the state under a key derived from the secret API key, so neither is stored, and neither can be made by who knows the state. Using a state
//! is removing its row, and whoever removes it was the only one.

use crate::api_keys::{Keys, sha256};
use crate::records::{self, PROVIDER_FLOWS};
use crate::signing::SigningError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use subtle::ConstantTimeEq;
use undergird_engine::accounts::Secret;
use undergird_engine::{Failure, Record, Transaction};
use undergird_model::Value;
use undergird_plan::Caller;
use undergird_plan::request::{Operand, Operator, Request, Verb};
use uuid::Uuid;

/// How long a browser may be away.
pub(crate) const LIFE_SECONDS: u32 = 600;
/// Characters of a state, and of what a browser is known by.
const CHARS: usize = 43;

/// The key of all of them.
pub(crate) struct FlowKey(hmac::Key);

/// What goes to the provider with a browser, beside its state.
pub(crate) struct Derived {
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

impl FlowKey {
    pub(crate) fn new(keys: &Keys) -> Result<FlowKey, SigningError> {
        let extracted = Salt::new(HKDF_SHA256, b"undergird").extract(keys.secret.expose().as_bytes());
        let info: [&[u8]; 1] = [b"provider flows, 1"];
        let expanded = extracted.expand(&info, hmac::HMAC_SHA256).map_err(|_| SigningError)?;
        Ok(FlowKey(expanded.into()))
    }

    pub(crate) fn derived(&self, state: &Secret) -> Derived {
        let mac = |purpose: &[u8]| {
            let mut context = hmac::Context::with_key(&self.0);
            context.update(purpose);
            context.update(state.expose().as_bytes());
            URL_SAFE_NO_PAD.encode(context.sign())
        };
        Derived { nonce: mac(b"nonce\0"), verifier: mac(b"verifier\0") }
    }
}

/// A browser that is away.
#[derive(Clone)]
pub(crate) struct Flow {
    pub(crate) provider: String,
    pub(crate) redirect_to: String,
    pub(crate) challenge: Option<String>,
    pub(crate) purpose: Purpose,
}

/// What for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// To sign in.
    SignIn,
    /// So that an account gets the identity.
    Link {
        user: Uuid,
        /// Which must still stand.
        session: Uuid,
    },
}

/// What random octets are as text.
pub(crate) fn text(octets: [u8; 32]) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(octets))
}

/// Whether this can be what [`text`] made.
pub(crate) fn is_text(text: &str) -> bool {
    text.len() == CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Keeps a flow. `browser`: by what the browser must be known when it is back.
pub(crate) async fn put(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    state: &Secret,
    browser: Option<&Secret>,
    flow: &Flow,
) -> Result<(), Failure> {
    let now = system.moment().now;
    let hash = |secret: &Secret| Value::Bytes(sha256(secret.expose().as_bytes()).to_vec());
    let (user, session) = match flow.purpose {
        Purpose::SignIn => (Value::Null, Value::Null),
        Purpose::Link { user, session } => (Value::Uuid(user), Value::Uuid(session)),
    };
    let row = [
        ("hash", hash(state)),
        ("provider", Value::text(flow.provider.as_str())),
        ("redirect_to", Value::text(flow.redirect_to.as_str())),
        ("challenge", flow.challenge.as_deref().map_or(Value::Null, Value::text)),
        ("browser", browser.map_or(Value::Null, hash)),
        ("user_id", user),
        ("session_id", session),
        ("created_at", Value::Timestamp(now)),
        ("expires_at", Value::Timestamp(now.saturating_add(i64::from(LIFE_SECONDS) * 1_000_000))),
    ];
    let request = Request::new(PROVIDER_FLOWS, Verb::Create).with_row(row);
    transaction.write(system, request, None).await.map(|_| ())
}

/// Uses up a flow. None: there is none, or it is another browser's, which uses it up all the same.
pub(crate) async fn take(
    transaction: &mut Transaction<'_>,
    system: &Caller,
    state: &Secret,
    browser: Option<&Secret>,
) -> Result<Option<Flow>, Failure> {
    if !is_text(state.expose()) {
        return Ok(None);
    }
    let hash = Value::Bytes(sha256(state.expose().as_bytes()).to_vec());
    let live = records::and(
        records::by("hash", hash.clone(), PROVIDER_FLOWS),
        "expires_at",
        Operator::Gt(None),
        Operand::Value(Value::Timestamp(system.moment().now)),
    );
    let Some(row) = transaction.records(system, live).await?.into_iter().next() else { return Ok(None) };
    let gone = Request::new(PROVIDER_FLOWS, Verb::Delete).with_equal("hash", hash);
    // Whoever comes second removes nothing, also where transactions run side by side.
    if transaction.write(system, gone, None).await?.affected != 1 {
        return Ok(None);
    }
    let is_browser = row.bytes("browser").is_none_or(|kept| {
        let shown = browser.map(|browser| sha256(browser.expose().as_bytes()));
        shown.is_some_and(|shown| bool::from(shown.as_slice().ct_eq(kept)))
    });
    Ok(flow(&row).filter(|_| is_browser))
}

fn flow(row: &Record) -> Option<Flow> {
    let purpose = match (row.uuid("user_id"), row.uuid("session_id")) {
        (None, None) => Purpose::SignIn,
        (Some(user), Some(session)) => Purpose::Link { user, session },
        _ => return None,
    };
    Some(Flow {
        provider: row.text("provider")?.to_owned(),
        redirect_to: row.text("redirect_to")?.to_owned(),
        challenge: row.text("challenge").map(str::to_owned),
        purpose,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nonce_and_verifier_are_of_one_state_and_key() {
        let key = FlowKey::new(&Keys::generate().unwrap()).unwrap();
        let (one, two) = (text([1; 32]), text([2; 32]));
        let of = |key: &FlowKey, state: &Secret| {
            let Derived { nonce, verifier } = key.derived(state);
            assert!(is_text(&nonce) && is_text(&verifier) && nonce != verifier);
            [nonce, verifier]
        };
        assert_eq!(of(&key, &one), of(&key, &one));
        assert_ne!(of(&key, &one), of(&key, &two));
        assert_ne!(of(&key, &one), of(&FlowKey::new(&Keys::generate().unwrap()).unwrap(), &one));
        for bad in ["", "x", &"x".repeat(44), &"=".repeat(43)] {
            assert!(!is_text(bad));
        }
    }
}
