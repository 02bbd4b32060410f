//! What OpenID Connect issuers say of themselves (OpenID Connect Discovery 1.0) and their keys, kept for a while. Each issuer is asked by one
//! at a time, seldom, and not again right after it failed: neither tokens with made-up key names nor a provider that hangs can make this
//! server ask without end.

use super::id_token::{Bad, Expected, TOKEN_BYTES_MAX, verify};
use super::keys::KeySet;
use crate::fetch::{Fetcher, Outgoing};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex as Turn;
use undergird_engine::accounts::ProviderError;

/// For one question, all in all.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Greatest answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Most issuers that are kept; there are as many as are configured, and those that were.
const ISSUERS_MAX: usize = 200;
const SECOND: i64 = 1_000_000;
/// How long what an issuer says of itself is believed, and its keys are.
const FRESH_MICROS: i64 = 3_600 * SECOND;
/// How soon keys are read again for a name that is not among them.
const AGAIN_MICROS: i64 = 30 * SECOND;
/// How soon an issuer is asked again that failed.
const FAILED_MICROS: i64 = 5 * SECOND;
/// Longest that somebody can have waited for another's question.
const WAIT_MICROS: i64 = 60 * SECOND;

/// What an issuer says of itself, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Discovery {
    /// As it writes itself.
    pub(crate) issuer: String,
    pub(crate) authorize: String,
    pub(crate) token: String,
    pub(crate) user_info: Option<String>,
    pub(crate) keys: String,
    /// Whether every answer of it names it (RFC 9207).
    pub(crate) names_itself: bool,
    /// Whether the secret goes into the form, and not into a header.
    pub(crate) secret_in_form: bool,
}

#[derive(Default)]
struct Known {
    discovery: Option<(Arc<Discovery>, i64)>,
    keys: Option<(Arc<KeySet>, i64)>,
    failed_at: Option<i64>,
}

/// All issuers.
pub(crate) struct Directory {
    fetcher: Fetcher,
    known: Mutex<FxHashMap<String, Arc<Turn<Known>>>>,
}

impl Directory {
    pub(crate) fn new(fetcher: Fetcher) -> Directory {
        Directory { fetcher, known: Mutex::default() }
    }

    fn of(&self, issuer: &str) -> Arc<Turn<Known>> {
        let mut known = self.known.lock();
        if known.len() >= ISSUERS_MAX && !known.contains_key(issuer) {
            known.clear();
        }
        known.entry(issuer.to_owned()).or_default().clone()
    }

    /// What an issuer says of itself. `written`: how it must name itself.
    pub(crate) async fn discovery(
        &self,
        issuer: &str,
        written: &str,
        now: i64,
    ) -> Result<Arc<Discovery>, ProviderError> {
        let known = self.of(issuer);
        let mut known = known.lock().await;
        self.discover(&mut known, issuer, written, now).await
    }

    async fn discover(
        &self,
        known: &mut Known,
        issuer: &str,
        written: &str,
        now: i64,
    ) -> Result<Arc<Discovery>, ProviderError> {
        if let Some((discovery, at)) = &known.discovery
            && is_within(*at, now, FRESH_MICROS)
        {
            return Ok(discovery.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.ask(known, &url, now).await?;
        let discovery = Arc::new(read_discovery(&document, issuer, written).map_err(broken)?);
        known.discovery = Some((discovery.clone(), now));
        Ok(discovery)
    }

    /// The claims of an ID token that is good.
    pub(crate) async fn verify(
        &self,
        (issuer, written): (&str, &str),
        token: &str,
        expected: &Expected<'_>,
        now: i64,
    ) -> Result<Json, ProviderError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ProviderError::BadToken("it is too long"));
        }
        let known = self.of(issuer);
        let mut known = known.lock().await;
        let mut keys = match &known.keys {
            Some((keys, at)) if is_within(*at, now, FRESH_MICROS) => keys.clone(),
            _ => self.read_keys(&mut known, issuer, written, now).await?,
        };
        let mut verified = verify(token, &keys, expected);
        let is_old = known.keys.as_ref().is_none_or(|(_, at)| !is_within(*at, now, AGAIN_MICROS));
        if verified == Err(Bad::UnknownKey) && is_old {
            keys = self.read_keys(&mut known, issuer, written, now).await?;
            verified = verify(token, &keys, expected);
        }
        verified.map_err(|bad| match bad {
            Bad::UnknownKey => ProviderError::BadToken("it was signed with a key that its issuer does not have"),
            Bad::Because(why) => ProviderError::BadToken(why),
        })
    }

    async fn read_keys(
        &self,
        known: &mut Known,
        issuer: &str,
        written: &str,
        now: i64,
    ) -> Result<Arc<KeySet>, ProviderError> {
        let discovery = self.discover(known, issuer, written, now).await?;
        let document = self.ask(known, &discovery.keys, now).await?;
        let keys = KeySet::read(&document).ok_or_else(|| broken(format!("{} has no keys", discovery.keys)))?;
        let keys = Arc::new(keys);
        known.keys = Some((keys.clone(), now));
        Ok(keys)
    }

    async fn ask(&self, known: &mut Known, url: &str, now: i64) -> Result<Json, ProviderError> {
        // Also of who waited for that: its own now is from before.
        if known.failed_at.is_some_and(|at| (-WAIT_MICROS..FAILED_MICROS).contains(&now.saturating_sub(at))) {
            return Err(broken("it failed a moment ago".into()));
        }
        let request = Outgoing {
            url: url.to_owned(),
            headers: vec![("accept", "application/json".into())],
            body: None,
            bytes_max: ANSWER_BYTES_MAX,
            timeout: TIMEOUT,
        };
        let began = Instant::now();
        let answer = match self.fetcher.0.fetch(request).await {
            Ok(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).map_err(|_| format!("{url} is not JSON"))
            }
            Ok(answer) => Err(format!("{url} answered {}", answer.status)),
            Err(error) => Err(format!("{url}: {error}")),
        };
        let took = i64::try_from(began.elapsed().as_micros()).unwrap_or(0);
        known.failed_at = answer.is_err().then_some(now.saturating_add(took));
        answer.map_err(broken)
    }
}

fn broken(why: String) -> ProviderError {
    ProviderError::Unreachable(why)
}

/// Clocks may be set back: what is from the future is not fresh.
fn is_within(at: i64, now: i64, micros: i64) -> bool {
    (0..micros).contains(&now.saturating_sub(at))
}

fn read_discovery(document: &Json, issuer: &str, written: &str) -> Result<Discovery, String> {
    let text = |name: &str| document.get(name).and_then(Json::as_str);
    let lists = |name: &str, word: &str| {
        document.get(name).and_then(Json::as_array).is_some_and(|all| all.iter().any(|one| one.as_str() == Some(word)))
    };
    if text("issuer") != Some(written) {
        return Err(format!("{issuer} says that its issuer is {:?}", text("issuer").unwrap_or_default()));
    }
    let url = |name: &str| match text(name) {
        Some(url) if is_sound(url, issuer) => Ok(url.to_owned()),
        _ => Err(format!("{issuer} has no {name} that is an https URL")),
    };
    Ok(Discovery {
        issuer: written.to_owned(),
        authorize: url("authorization_endpoint")?,
        token: url("token_endpoint")?,
        user_info: url("userinfo_endpoint").ok(),
        keys: url("jwks_uri")?,
        names_itself: document.get("authorization_response_iss_parameter_supported") == Some(&Json::Bool(true)),
        secret_in_form: lists("token_endpoint_auth_methods_supported", "client_secret_post"),
    })
}

/// Whether secrets may be sent there: encrypted, or to where the issuer itself is, on this machine.
pub(crate) fn is_sound(url: &str, issuer: &str) -> bool {
    let is_plain = url.len() <= 2_048 && url.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let authority = |url: &str| {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default().to_owned()
    };
    let is_here = issuer.starts_with("http://") && url.starts_with("http://") && authority(url) == authority(issuer);
    is_plain && !authority(url).is_empty() && !authority(url).contains('@') && (url.starts_with("https://") || is_here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_issuer_says_is_not_believed_blindly() {
        let issuer = "https://a.org/x";
        let good = json!({
            "issuer": issuer, "authorization_endpoint": "https://a.org/authorize", "token_endpoint": "https://a.org/token",
            "jwks_uri": "https://keys.a.org/",
        });
        assert!(read_discovery(&good, issuer, issuer).is_ok_and(|read| !read.names_itself && !read.secret_in_form));
        for (member, value) in [
            ("issuer", json!("https://a.org")),
            ("issuer", json!("https://a.org/x/")),
            ("issuer", Json::Null),
            ("token_endpoint", json!("http://a.org/token")),
            ("token_endpoint", json!("https://a@b.org/token")),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("jwks_uri", json!("http://127.0.0.1/keys")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("authorization_endpoint", json!(7)),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(read_discovery(&bad, issuer, issuer).is_err(), "{bad}");
        }
    }

    #[test]
    fn in_the_clear_with_the_issuer_of_this_machine_alone() {
        let here = "http://127.0.0.1:7000/x";
        assert!(is_sound("http://127.0.0.1:7000/token", here));
        assert!(is_sound("https://a.org/token", here));
        for bad in [
            "http://127.0.0.1:7001/token",
            "http://a.org/token",
            "http://127.0.0.1:7000@a.org/",
            "http://",
            "https:///x",
        ] {
            assert!(!is_sound(bad, here), "{bad}");
        }
    }
}
