//! Hooks: servers of the owner's that are asked by HTTP before an account begins ([`gate`]) and before an access token is signed
//! ([`claims`]). Asked and answered as Supabase Auth does; requests are signed as Standard Webhooks has it.
//!
//! Whatever goes wrong, the answer is no: nothing begins and nothing is signed. Nobody is asked twice for one thing, since nobody knows
//! what the first asking did. No transaction is open while somebody is asked. The URL is the definition's, never a request's; what the
//! port [`crate::Fetch`] demands (no redirect, limits, `http` to this machine alone) holds here too.
//!
//! Deliberately absent: hooks that are SQL functions, and those of mails, texts and failed attempts.

mod claims;
mod gate;

pub(crate) use claims::Foreseen;
pub(crate) use gate::{Draft, Gate};

use crate::core::Core;
use crate::fetch::{FetchError, Incoming, Outgoing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::Semaphore;
use undergird_engine::accounts::HookError;
use undergird_model::field_type::wire::write_timestamp;
use undergird_model::settings::Hook;

/// For all of a call, as Supabase Auth has it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, as Supabase Auth has it.
const ANSWER_BYTES_MAX: usize = 200 * 1024;
/// Most calls at once: each holds a request and a connection for as long as [`TIMEOUT`].
const AT_ONCE_MAX: usize = 64;
/// Longest refusal that is passed on.
const MESSAGE_CHARS_MAX: usize = 500;

/// What all calls share.
pub(crate) struct Hooks {
    places: Semaphore,
}

impl Hooks {
    pub(crate) fn new() -> Hooks {
        Hooks { places: Semaphore::new(AT_ONCE_MAX) }
    }
}

impl Core {
    /// Asks a hook once. What comes back is an object that is no refusal, empty where nothing was said.
    async fn ask_hook(
        &self,
        hook: &Hook,
        name: &'static str,
        address: Option<IpAddr>,
        mut members: Map<String, Json>,
    ) -> Result<Map<String, Json>, HookError> {
        let _place = self.hooks.places.try_acquire().map_err(|_| HookError::Busy)?;
        let random = self.random().map_err(|_| HookError::Broken("the system gives no random bits".into()))?;
        let mut octets = [0u8; 16];
        octets.copy_from_slice(&random[..16]);
        let id = uuid::Builder::from_random_bytes(octets).into_uuid().to_string();
        let now = self.engine.moment().now;
        let mut metadata = json!({ "uuid": id, "time": time(now), "name": name });
        if let Some(address) = address {
            metadata["ip_address"] = address.to_string().into();
        }
        members.insert("metadata".into(), metadata);
        let body = Json::Object(members).to_string();
        let timestamp = now.div_euclid(1_000_000).to_string();
        let request = Outgoing {
            url: hook.url.clone(),
            headers: vec![
                ("accept", "application/json".into()),
                ("content-type", "application/json".into()),
                ("webhook-signature", signature(hook, &id, &timestamp, &body)),
                ("webhook-id", id),
                ("webhook-timestamp", timestamp),
            ],
            body: Some(body.into_bytes()),
            bytes_max: ANSWER_BYTES_MAX,
            timeout: TIMEOUT,
        };
        // The adapter has its own clock; this one is for an adapter that has none.
        let answer = match tokio::time::timeout(TIMEOUT * 2, self.fetcher.0.fetch(request)).await {
            Ok(Ok(answer)) => read(&answer),
            Ok(Err(FetchError::TimedOut)) | Err(_) => Err(HookError::TimedOut),
            Ok(Err(FetchError::TooLong)) => Err(HookError::TooLong),
            Ok(Err(FetchError::Other(why))) => Err(HookError::Broken(why)),
        };
        if let Err(why) = &answer {
            tracing::warn!(hook = name, %why, "a hook said no, or nothing");
        }
        answer
    }
}

/// RFC 3339.
fn time(micros: i64) -> Json {
    let mut text = Vec::new();
    write_timestamp(&mut text, micros);
    String::from_utf8_lossy(&text).into_owned().into()
}

/// `webhook-signature`: one for each secret, separated by spaces.
fn signature(hook: &Hook, id: &str, timestamp: &str, body: &str) -> String {
    let message = format!("{id}.{timestamp}.{body}");
    let one = |secret: &undergird_model::settings::HookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, message.as_bytes())))
    };
    hook.secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What an answer says. An `error` is a no, whatever else is there and whether the status is 200, as Supabase Auth has it, or 4xx.
fn read(answer: &Incoming) -> Result<Map<String, Json>, HookError> {
    let is_yes = [200, 202, 204].contains(&answer.status);
    let body = if answer.body.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&answer.body) };
    let body = match body {
        Ok(Json::Object(body)) => body,
        _ if is_yes => return Err(HookError::Broken("the answer is not a JSON object".into())),
        _ => Map::new(),
    };
    match body.get("error") {
        None | Some(Json::Null) => {}
        Some(error) if is_yes || (400..500).contains(&answer.status) => return Err(refusal(error, answer.status)),
        Some(_) => {}
    }
    if is_yes { Ok(body) } else { Err(HookError::Broken(format!("the status is {}", answer.status))) }
}

fn refusal(error: &Json, status: u16) -> HookError {
    let told = error.get("http_code").and_then(Json::as_u64).and_then(|code| u16::try_from(code).ok());
    let own = Some(status).filter(|status| *status >= 400);
    let status = told.or(own).filter(|code| (400..500).contains(code)).unwrap_or(403);
    let message = error.get("message").and_then(Json::as_str).unwrap_or_default();
    let message: String = message.chars().filter(|one| !one.is_control()).take(MESSAGE_CHARS_MAX).collect();
    let message = if message.is_empty() { "A hook of the application refused this".into() } else { message };
    HookError::Refused { status, message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use undergird_model::settings::HookSecret;

    /// The example of the specification of Standard Webhooks' libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secret = |text: &str| HookSecret::new(STANDARD.decode(text).unwrap());
        let known = secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let mut hook = Hook { url: "https://x.org".into(), secrets: vec![known] };
        let signed =
            |hook: &Hook| signature(hook, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed(&hook), expected);
        hook.secrets.push(secret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
        let both = signed(&hook);
        let (first, second) = both.split_once(' ').unwrap();
        assert!(first == expected && second.starts_with("v1,") && second != expected, "{both}");
    }

    #[test]
    fn answers() {
        let check = |status: u16, body: &str, expected: Result<&str, Option<(u16, &str)>>| {
            let told = read(&Incoming { status, body: body.as_bytes().to_vec() });
            let told = told.map(|body| Json::Object(body).to_string());
            let told = told.map_err(|error| match error {
                HookError::Refused { status, message } => Some((status, message)),
                _ => None,
            });
            let expected = expected.map(str::to_owned).map_err(|no| no.map(|(status, text)| (status, text.to_owned())));
            assert_eq!(told, expected, "{status} {body}");
        };
        check(200, "{}", Ok("{}"));
        check(204, "", Ok("{}"));
        check(202, r#"{"claims":{}}"#, Ok(r#"{"claims":{}}"#));
        check(200, r#"{"error":null}"#, Ok(r#"{"error":null}"#));
        check(200, r#"{"error":{"http_code":422,"message":"no"}}"#, Err(Some((422, "no"))));
        check(200, r#"{"error":{"message":"a\r\nb"}}"#, Err(Some((403, "ab"))));
        // A status that would be no refusal is none of the hook's choosing.
        for code in ["200", "302", "500", "-1", "99999", "\"422\""] {
            check(200, &format!(r#"{{"error":{{"http_code":{code},"message":"no"}}}}"#), Err(Some((403, "no"))));
        }
        // No message is a refusal all the same: closed, where Supabase Auth would let it pass.
        check(200, r#"{"error":{}}"#, Err(Some((403, "A hook of the application refused this"))));
        check(200, r#"{"error":"x"}"#, Err(Some((403, "A hook of the application refused this"))));
        check(400, r#"{"error":{"message":"no"}}"#, Err(Some((400, "no"))));
        for (status, body) in [
            (200, "x"),
            (200, "[]"),
            (200, "1"),
            (301, ""),
            (400, ""),
            (404, "x"),
            (500, r#"{"error":{"message":"no"}}"#),
        ] {
            check(status, body, Err(None));
        }
    }
}
