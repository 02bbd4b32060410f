//! Asking a provider as this application: a code for tokens (RFC 6749 §4.1.3), and who a token is of.

use super::directory::{ANSWER_BYTES_MAX, TIMEOUT};
use super::url::{encode, form};
use crate::fetch::{Fetcher, Incoming, Outgoing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use undergird_engine::accounts::{ProviderError, Secret};

/// Longest token that is sent on.
const TOKEN_CHARS_MAX: usize = 16 * 1024;

/// What a provider gave for a code.
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) id: Option<Secret>,
}

/// A code that is to be exchanged.
pub(crate) struct Exchange<'a> {
    pub(crate) url: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: Option<&'a Secret>,
    pub(crate) secret_in_form: bool,
    pub(crate) code: &'a Secret,
    pub(crate) redirect_uri: &'a str,
    /// PKCE's, of whom knows it.
    pub(crate) verifier: Option<&'a str>,
}

/// Exchanges a code.
pub(crate) async fn exchange(fetcher: &Fetcher, asked: Exchange<'_>) -> Result<Tokens, ProviderError> {
    let mut members =
        vec![("grant_type", "authorization_code"), ("code", asked.code.expose()), ("redirect_uri", asked.redirect_uri)];
    members.extend(asked.verifier.map(|verifier| ("code_verifier", verifier)));
    let mut headers = vec![
        ("accept", "application/json".to_owned()),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
    ];
    match asked.client_secret {
        Some(secret) if !asked.secret_in_form => {
            let pair = format!("{}:{}", encode(asked.client_id), encode(secret.expose()));
            headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
        }
        Some(secret) => members.extend([("client_id", asked.client_id), ("client_secret", secret.expose())]),
        None => members.push(("client_id", asked.client_id)),
    }
    let request = Outgoing {
        url: asked.url.to_owned(),
        headers,
        body: Some(form(&members).into_bytes()),
        bytes_max: ANSWER_BYTES_MAX,
        timeout: TIMEOUT,
    };
    let (answer, told) = ask(fetcher, request).await?;
    if let Some(word) = told.get("error").and_then(Json::as_str) {
        let word: String = word.chars().filter(|char| char.is_ascii_graphic()).take(100).collect();
        return Err(ProviderError::Unreachable(format!("the code was refused: {word}")));
    }
    let text = |name: &str| {
        let text = told.get(name).and_then(Json::as_str);
        text.filter(|text| {
            !text.is_empty() && text.len() <= TOKEN_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
        })
    };
    let is_bearer = text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    match text("access_token") {
        Some(access) if answer.status == 200 && is_bearer => {
            Ok(Tokens { access: Secret::new(access), id: text("id_token").map(Secret::new) })
        }
        _ => Err(ProviderError::Unreachable(format!("no token for the code, status {}", answer.status))),
    }
}

/// What a provider says to who has an access token.
pub(crate) async fn with_token(fetcher: &Fetcher, url: &str, token: &Secret) -> Result<Json, ProviderError> {
    let request = Outgoing {
        url: url.to_owned(),
        headers: vec![
            ("accept", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", token.expose())),
        ],
        body: None,
        bytes_max: ANSWER_BYTES_MAX,
        timeout: TIMEOUT,
    };
    match ask(fetcher, request).await? {
        (answer, told) if answer.status == 200 => Ok(told),
        (answer, _) => Err(ProviderError::Unreachable(format!("{url} answered {}", answer.status))),
    }
}

async fn ask(fetcher: &Fetcher, request: Outgoing) -> Result<(Incoming, Json), ProviderError> {
    let url = request.url.clone();
    let failed = |why: String| ProviderError::Unreachable(format!("{url}: {why}"));
    let answer = fetcher.0.fetch(request).await.map_err(|error| failed(error.to_string()))?;
    let told = serde_json::from_slice(&answer.body)
        .map_err(|_| failed(format!("the answer, of status {}, is not JSON", answer.status)))?;
    Ok((answer, told))
}
