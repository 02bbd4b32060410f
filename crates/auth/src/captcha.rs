//! `[auth.captcha]`: a service that is asked whether a person solved its puzzle. hCaptcha and Turnstile are asked alike: a form with `secret`,
//! `response` and `remoteip`, answered by `success` and `error-codes`.
//!
//! Whatever goes wrong, the answer is no. A solution is asked about once; that it is used once is for the service to see.
//!
//! Deliberately absent: who must show one (`api::auth`).

use crate::core::Core;
use crate::fetch::{Incoming, Outgoing};
use crate::oauth::url::form;
use serde_json::Value as Json;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::Semaphore;
use undergird_engine::accounts::{AccountError, CaptchaError};
use undergird_model::settings::Captcha;

/// For all of a call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most calls at once: each holds a request and a connection for as long as [`TIMEOUT`].
const AT_ONCE_MAX: usize = 64;
/// Longest solution. Turnstile's have 2,048 characters at most, hCaptcha's some thousands.
const SOLUTION_BYTES_MAX: usize = 16 * 1024;
/// Most codes that are passed on, and their length.
const CODES_MAX: usize = 5;
const CODE_CHARS_MAX: usize = 60;

/// What all calls share.
pub(crate) struct Captchas {
    places: Semaphore,
}

impl Captchas {
    pub(crate) fn new() -> Captchas {
        Captchas { places: Semaphore::new(AT_ONCE_MAX) }
    }
}

impl Core {
    /// Whether a person solved the puzzle, where the application asks for that.
    pub(crate) async fn pass_captcha(
        &self,
        address: Option<IpAddr>,
        solution: Option<&str>,
    ) -> Result<(), AccountError> {
        let app = self.engine.app();
        let Some(captcha) = &app.model().settings.auth.captcha else { return Ok(()) };
        let passed = match solution.map(str::trim).filter(|solution| !solution.is_empty()) {
            None => Err(CaptchaError::Missing),
            Some(solution) if solution.len() > SOLUTION_BYTES_MAX => Err(CaptchaError::Failed(vec!["too-long".into()])),
            Some(solution) => self.verify_solution(captcha, address, solution).await,
        };
        if let Err(CaptchaError::Broken(why)) = &passed {
            tracing::warn!(%why, "the captcha's provider said nothing");
        }
        passed.map_err(AccountError::Captcha)
    }

    async fn verify_solution(
        &self,
        captcha: &Captcha,
        address: Option<IpAddr>,
        solution: &str,
    ) -> Result<(), CaptchaError> {
        let _place = self.captchas.places.try_acquire().map_err(|_| CaptchaError::Busy)?;
        let address = address.map(|address| address.to_string());
        let mut members = vec![("secret", captcha.secret.expose()), ("response", solution)];
        members.extend(address.as_deref().map(|address| ("remoteip", address)));
        let request = Outgoing {
            url: captcha.url.clone(),
            headers: vec![
                ("accept", "application/json".into()),
                ("content-type", "application/x-www-form-urlencoded".into()),
            ],
            body: Some(form(&members).into_bytes()),
            bytes_max: ANSWER_BYTES_MAX,
            timeout: TIMEOUT,
        };
        // The adapter has its own clock; this one is for an adapter that has none.
        match tokio::time::timeout(TIMEOUT * 2, self.fetcher.0.fetch(request)).await {
            Ok(Ok(answer)) => read(&answer),
            Ok(Err(error)) => Err(CaptchaError::Broken(error.to_string())),
            Err(_) => Err(CaptchaError::Broken("no answer in time".into())),
        }
    }
}

/// What an answer says. Only `"success": true` is a yes.
fn read(answer: &Incoming) -> Result<(), CaptchaError> {
    let broken = |why: &str| Err(CaptchaError::Broken(why.into()));
    if answer.status != 200 {
        return Err(CaptchaError::Broken(format!("the status is {}", answer.status)));
    }
    let Ok(Json::Object(told)) = serde_json::from_slice(&answer.body) else {
        return broken("the answer is not a JSON object");
    };
    match told.get("success") {
        Some(Json::Bool(true)) => Ok(()),
        Some(Json::Bool(false)) => {
            let codes = told.get("error-codes").and_then(Json::as_array).into_iter().flatten();
            let codes = codes.filter_map(Json::as_str).take(CODES_MAX).map(code).collect::<Vec<_>>();
            // The application's own fault, which no person can mend by solving another puzzle.
            match codes.iter().find(|code| code.ends_with("-input-secret") || *code == "sitekey-secret-mismatch") {
                Some(code) => broken(code),
                None => Err(CaptchaError::Failed(codes)),
            }
        }
        _ => broken("the answer says neither yes nor no"),
    }
}

fn code(code: &str) -> String {
    code.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-').take(CODE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        let read = |status, body: &str| read(&Incoming { status, body: body.into() });
        let failed = |codes: &[&str]| Err(CaptchaError::Failed(codes.iter().map(|code| (*code).into()).collect()));
        assert_eq!(read(200, r#"{"success":true}"#), Ok(()));
        assert_eq!(read(200, r#"{"success":false}"#), failed(&[]));
        let told = r#"{"success":false,"error-codes":["timeout-or-duplicate","<b>",7]}"#;
        assert_eq!(read(200, told), failed(&["timeout-or-duplicate", "b"]));
        for (status, body) in [
            (200, "true"),
            (200, r#"{"success":"true"}"#),
            (200, "{}"),
            (200, ""),
            (500, r#"{"success":true}"#),
            (302, r#"{"success":true}"#),
            (200, r#"{"success":false,"error-codes":["invalid-input-secret"]}"#),
        ] {
            assert!(matches!(read(status, body), Err(CaptchaError::Broken(_))), "{status} {body}");
        }
    }
}
