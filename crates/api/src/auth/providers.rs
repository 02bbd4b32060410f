//! Signing in by other providers over the wire: `/authorize`, `/callback`, `/user/identities/…`, and `token?grant_type=id_token`.
//!
//! A browser that leaves gets a cookie, by which it is known when it is back: nobody can have another's browser come back in their place. The
//! cookie is for this host alone, is read by no script, and holds nothing but random octets.

use super::body::Members;
use super::error::Problem;
use super::mail::{is_form, pairs, redirect};
use super::pages::sign_in_url;
use super::{Answer, AuthRequest, caller, json_answer, path_id, query_value, visit};
use http::header::{CACHE_CONTROL, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use undergird_engine::Failure;
use undergird_engine::accounts::{
    AccountError, Accounts, Depart, Departure, LinkError, ProviderError, Return, Secret, Session, TokenSignIn,
};
use undergird_model::operation::ProviderOperation;

/// Members of the query that are ours; what else there is may be for the provider.
const OURS: &[&str] = &[
    "provider",
    "redirect_to",
    "scopes",
    "code_challenge",
    "code_challenge_method",
    "skip_http_redirect",
    "apikey",
    HOP,
];
/// No provider, but our own sign-in pages: so clients that know no more than providers find them.
const PAGES: &str = "pages";
/// Says that the browser was sent to the public host already.
const HOP: &str = "hop";
/// Most that are passed on.
const HINTS_MAX: usize = 20;
/// Longest part of an answer that is looked at.
const CHARS_MAX: usize = 4_096;
/// With the prefix browsers take it over https alone, for this host alone.
const COOKIE_SECURE: &str = "__Host-undergird-browser";
/// Its name in the clear, which there is in development alone.
const COOKIE_PLAIN: &str = "undergird-browser";

pub(super) async fn operate(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    operation: ProviderOperation,
) -> Result<Answer, Problem> {
    match operation {
        ProviderOperation::Authorize => {
            let public = accounts.public_url();
            if request.pages && query_value(request.query, "provider").as_deref() == Some(PAGES) {
                return go(&sign_in_url(&public, request.query.unwrap_or_default()));
            }
            if let Some(url) = elsewhere(request, &public) {
                return go(&url);
            }
            let departure = accounts.depart(visit(request), depart(request, is_secure(&public))?).await?;
            send_away(&departure, is_secure(&public))
        }
        ProviderOperation::Link => {
            let caller = caller(request, accounts)?;
            let secure = is_secure(&accounts.public_url());
            let departure = accounts.depart_to_link(visit(request), &caller, depart(request, secure)?).await?;
            if query_value(request.query, "skip_http_redirect").as_deref() == Some("true") {
                return Ok(json_answer(StatusCode::OK, &json!({ "url": departure.url })));
            }
            send_away(&departure, secure)
        }
        ProviderOperation::Callback => come_back(request, request.query, accounts).await,
        ProviderOperation::PostedCallback => {
            let is_form = is_form(request);
            let body = std::str::from_utf8(request.body).ok().filter(|_| is_form);
            come_back(request, body, accounts).await
        }
        ProviderOperation::Unlink => {
            let caller = caller(request, accounts)?;
            let identity = path_id(request, "identities", ProviderError::IdentityUnknown.into())?;
            accounts.unlink(visit(request), &caller, identity).await?;
            Ok(json_answer(StatusCode::OK, &json!({})))
        }
    }
}

fn depart(request: &AuthRequest<'_>, secure: bool) -> Result<Depart, Problem> {
    let value = |name: &str| {
        let found = members(request.query).find(|(found, _)| found == name);
        found.map(|(_, value)| value).filter(|value| !value.is_empty())
    };
    let (challenge, method) = (value("code_challenge"), value("code_challenge_method"));
    let is_known = method.as_ref().is_some_and(|method| method.eq_ignore_ascii_case("s256"));
    if (challenge.is_some() || method.is_some()) && !(is_known && challenge.is_some()) {
        return Err(LinkError::BadChallenge.into());
    }
    let hints = members(request.query).filter(|(name, _)| !OURS.contains(&name.as_str())).take(HINTS_MAX).collect();
    Ok(Depart {
        provider: value("provider").unwrap_or_default(),
        redirect_to: value("redirect_to"),
        scopes: value("scopes"),
        challenge,
        hints,
        browser: browser(request, secure),
    })
}

async fn come_back(request: &AuthRequest<'_>, told: Option<&str>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let value = |name: &str| {
        let mut all = members(told).filter(|(found, _)| found == name).map(|(_, value)| value);
        // Of two, which one counts is a question for an attacker.
        match (all.next(), all.next()) {
            (Some(value), None) if !value.is_empty() && value.len() <= CHARS_MAX => Some(value),
            _ => None,
        }
    };
    let told = Return {
        state: value("state").map(Secret::new),
        code: value("code").map(Secret::new),
        error: value("error"),
        issuer: value("iss"),
        user: value("user"),
        browser: browser(request, is_secure(&accounts.public_url())),
    };
    redirect(accounts.come_back(visit(request), told).await)
}

/// Names and values of a query or a form, decoded.
fn members(text: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let pairs = text.unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(move |pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(move |(name, value)| (decode(name), decode(value)))
}

/// By what the browser is known. Over https by the cookie with the prefix alone: the other could be another host's of the domain.
fn browser(request: &AuthRequest<'_>, secure: bool) -> Option<Secret> {
    let all = request.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<(&str, &str)> =
        all.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('=')).collect();
    let wanted = if secure { COOKIE_SECURE } else { COOKIE_PLAIN };
    all.iter().find(|(name, _)| *name == wanted).map(|(_, value)| Secret::new(*value))
}

fn is_secure(public: &str) -> bool {
    public.starts_with("https://")
}

/// Where a browser leaves from that asked by another name of this server (`localhost` for `127.0.0.1`): its cookie must be the one of the host to
/// which it comes back. Once: a proxy may write another name into each request.
fn elsewhere(request: &AuthRequest<'_>, public: &str) -> Option<String> {
    let host = request.headers.get(HOST)?.to_str().ok()?;
    let (_, authority) = public.split_once("://")?;
    let is_here = name_of(host).eq_ignore_ascii_case(name_of(authority));
    let query = request.query.unwrap_or_default();
    let has_hopped = members(Some(query)).any(|(name, _)| name == HOP);
    (!is_here && !has_hopped).then(|| format!("{public}/auth/v1/authorize?{query}&{HOP}=1"))
}

/// The host without its port: cookies know no ports.
fn name_of(authority: &str) -> &str {
    let authority = authority.split('/').next().unwrap_or_default();
    match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn go(url: &str) -> Result<Answer, Problem> {
    let broken = || Problem::from(AccountError::from(Failure::Internal("a way is no header".into())));
    let location = HeaderValue::from_str(url).map_err(|_| broken())?;
    let no_store = HeaderValue::from_static("no-store");
    let headers = HeaderMap::from_iter([(LOCATION, location), (CACHE_CONTROL, no_store)]);
    Ok(Answer { status: StatusCode::FOUND, headers, body: Vec::new(), cause: None })
}

fn send_away(departure: &Departure, secure: bool) -> Result<Answer, Problem> {
    let mut answer = go(&departure.url)?;
    if let Some(browser) = &departure.browser {
        let name = if secure { COOKIE_SECURE } else { COOKIE_PLAIN };
        // A form that another site's page posts takes along only what says `None`, and that only over https.
        let site = match (departure.posted, secure) {
            (true, true) => "; Secure; SameSite=None",
            (false, true) => "; Secure; SameSite=Lax",
            (_, false) => "; SameSite=Lax",
        };
        let cookie =
            format!("{name}={}; Path=/; Max-Age={}; HttpOnly{site}", browser.expose(), departure.browser_seconds);
        let broken = || Problem::from(AccountError::from(Failure::Internal("a cookie is no header".into())));
        answer.headers.insert(SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|_| broken())?);
    }
    Ok(answer)
}

/// `token?grant_type=id_token`.
pub(super) async fn by_token(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Session, Problem> {
    let members = Members::read(request.body)?;
    let token = members.text("id_token")?.ok_or_else(|| Problem::missing("id_token"))?;
    // An issuer or a client that a request names is not asked for: which there are, the settings say.
    let asked = TokenSignIn {
        provider: members.text("provider")?.ok_or_else(|| Problem::missing("provider"))?,
        id_token: Secret::new(token),
        access_token: members.text("access_token")?.map(Secret::new),
        nonce: members.text("nonce")?,
    };
    if members.flag("link_identity")?.unwrap_or(false) {
        let caller = caller(request, accounts)?;
        return Ok(accounts.link_by_token(visit(request), &caller, asked).await?);
    }
    Ok(accounts.sign_in_by_token(visit(request), asked).await?)
}

/// A session as a fragment tells it, when a provider vouched for it.
pub(super) fn fragment(session: &Session) -> String {
    let (expires_at, expires_in) = (session.expires_at.to_string(), session.expires_in_seconds.to_string());
    pairs(&[
        ("access_token", session.access_token.expose()),
        ("expires_at", &expires_at),
        ("expires_in", &expires_in),
        ("refresh_token", session.refresh_token.expose()),
        ("token_type", "bearer"),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn departure(posted: bool) -> Departure {
        let browser = Some(Secret::new("abc"));
        Departure { url: "https://a.org/x?y".into(), browser, browser_seconds: 600, posted }
    }

    #[test]
    fn cookies() {
        let check = |posted: bool, secure: bool, expected: &str| {
            let answer = send_away(&departure(posted), secure).unwrap();
            assert_eq!(answer.headers[SET_COOKIE], *expected);
            assert_eq!(answer.headers[LOCATION], "https://a.org/x?y");
        };
        check(false, true, "__Host-undergird-browser=abc; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax");
        check(true, true, "__Host-undergird-browser=abc; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=None");
        check(false, false, "undergird-browser=abc; Path=/; Max-Age=600; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn forms_are_decoded() {
        let all: Vec<_> = members(Some("a=b+c&d=%26%3D&e&f=%FF")).collect();
        let expected = [("a", "b c"), ("d", "&="), ("e", ""), ("f", "\u{fffd}")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
