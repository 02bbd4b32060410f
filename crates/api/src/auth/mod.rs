//! The auth surface, `/auth/v1`: the dialect of Supabase Auth (GoTrue) over the port [`undergird_engine::accounts`].
//!
//! One function: [`handle`] takes what came over the wire and gives what goes back. Deliberately absent: routing and connections (the
//! server mounts this), and anything of how accounts work (`auth` does, behind the port).

mod admin;
mod answer;
mod audit;
mod body;
mod captcha;
#[cfg(test)]
pub(crate) mod codes;
mod credentials;
mod error;
mod factors;
mod mail;
pub mod pages;
mod passkeys;
mod providers;
mod session_list;
#[cfg(test)]
mod tests;

pub use credentials::{WireRefusal, credentials, refusal};

use body::Members;
use error::Problem;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value as Json, json};
use std::net::IpAddr;
use undergird_engine::accounts::{
    AccountChange, AccountError, Accounts, PasswordSignIn, Secret, SignOutScope, SignUp, SignedUp, Visit,
};
use undergird_model::operation::AuthOperation;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use uuid::Uuid;

/// Greatest body of this surface; the application's own limit may be less.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The version of the API from which errors have their newer form; clients ask for it, and it is answered, by this header.
const API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const NEWER_ERRORS: &str = "2024-01-01";

/// What came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct AuthRequest<'a> {
    /// Which operation the path and method name.
    pub operation: AuthOperation,
    /// The path, for its parameters.
    pub path: &'a str,
    /// What follows `?`, if anything.
    pub query: Option<&'a str>,
    /// All of them.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// Whether there are sign-in pages.
    pub pages: bool,
    /// The peer's address, as far as proxies are trusted.
    pub peer: Option<IpAddr>,
    /// The request's clock and dice.
    pub moment: Moment,
}

/// What goes back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Of the answer itself; the server adds its own.
    pub headers: HeaderMap,
    /// Empty for 204.
    pub body: Vec<u8>,
    /// For the log alone: what really happened when the answer is a 500.
    pub cause: Option<String>,
}

/// Does one operation of the auth surface. Never fails: failures are answers.
pub async fn handle(request: AuthRequest<'_>, accounts: &dyn Accounts) -> Answer {
    match operate(&request, accounts).await {
        Ok(answer) => answer,
        Err(problem) => {
            let newer = request.headers.get(&API_VERSION).and_then(|version| version.to_str().ok());
            // Dates of this form compare as text.
            let newer = newer.is_some_and(|version| version.len() == 10 && version >= NEWER_ERRORS);
            let mut answer = json_answer(problem.status, &problem.body(newer));
            if newer {
                answer.headers.insert(API_VERSION, HeaderValue::from_static(NEWER_ERRORS));
            }
            problem.add_headers(&mut answer.headers);
            answer.cause = problem.cause.clone();
            answer
        }
    }
}

async fn operate(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    captcha::pass(request, accounts).await?;
    match request.operation {
        AuthOperation::SignUp => sign_up(request, accounts).await,
        AuthOperation::Token => token(request, accounts).await,
        AuthOperation::User => {
            let caller = caller(request, accounts)?;
            Ok(json_answer(StatusCode::OK, &answer::account(&accounts.account(&caller).await?)))
        }
        AuthOperation::UpdateUser => update_user(request, accounts).await,
        AuthOperation::Logout => logout(request, accounts).await,
        AuthOperation::Jwks => {
            let mut answer = json_answer(StatusCode::OK, &accounts.key_set(request.moment));
            // A new key is found by its unknown name, at once; this only bounds how long a retired one is believed.
            answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            Ok(answer)
        }
        AuthOperation::Settings => {
            Ok(json_answer(StatusCode::OK, &answer::settings(accounts.offers(), &accounts.providers())))
        }
        AuthOperation::Health => {
            let health = json!({
                "version": env!("CARGO_PKG_VERSION"),
                "name": "Undergird",
                "description": "Undergird answers /auth/v1 in the dialect of Supabase Auth",
            });
            Ok(json_answer(StatusCode::OK, &health))
        }
        AuthOperation::Sessions => session_list::list(request, accounts).await,
        AuthOperation::EndSession => session_list::end(request, accounts).await,
        AuthOperation::Factor(operation) => factors::operate(request, accounts, operation).await,
        AuthOperation::Passkey(operation) => passkeys::operate(request, accounts, operation).await,
        AuthOperation::Admin(operation) => admin::operate(request, accounts, operation).await,
        AuthOperation::Mail(operation) => mail::operate(request, accounts, operation).await,
        AuthOperation::Provider(operation) => providers::operate(request, accounts, operation).await,
    }
}

async fn sign_up(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let members = Members::read(request.body)?;
    let email = match (members.text("email")?, members.text("phone")?) {
        (Some(email), _) => email,
        (None, Some(_)) => return Err(Problem::phone_unavailable()),
        // `signInAnonymously` is a sign-up with neither.
        (None, None) if members.text("password")?.is_none() => {
            let data = members.object("data")?.unwrap_or_default();
            let session = accounts.sign_up_anonymously(visit(request), data).await?;
            return Ok(json_answer(StatusCode::OK, &answer::session(&session)));
        }
        (None, None) => return Err(Problem::missing("email")),
    };
    let password = Secret::new(members.text("password")?.ok_or_else(|| Problem::missing("password"))?);
    let data = members.object("data")?.unwrap_or_default();
    let signed_up = accounts
        .sign_up(visit(request), SignUp { email, password, data, wish: mail::wish(request, &members)? })
        .await?;
    let body = match signed_up {
        SignedUp::In(session) => answer::session(&session),
        SignedUp::Unconfirmed(account) => answer::account(&account),
    };
    Ok(json_answer(StatusCode::OK, &body))
}

async fn token(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let session = match query_value(request.query, "grant_type").as_deref() {
        Some("password") => {
            let members = Members::read(request.body)?;
            let email = match (members.text("email")?, members.text("phone")?) {
                (Some(email), _) => email,
                (None, Some(_)) => return Err(Problem::phone_unavailable()),
                (None, None) => return Err(Problem::missing("email")),
            };
            let password = Secret::new(members.text("password")?.ok_or_else(|| Problem::missing("password"))?);
            accounts.sign_in(visit(request), PasswordSignIn { email, password }).await?
        }
        Some("refresh_token") => {
            let members = Members::read(request.body)?;
            let token = members.text("refresh_token")?.ok_or_else(|| Problem::missing("refresh_token"))?;
            accounts.refresh(visit(request), Secret::new(token)).await?
        }
        Some("pkce") => mail::exchange(request, accounts).await?,
        Some("id_token") => providers::by_token(request, accounts).await?,
        _ => return Err(Problem::unsupported_grant()),
    };
    Ok(json_answer(StatusCode::OK, &answer::session(&session)))
}

async fn update_user(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    let members = Members::read(request.body)?;
    if members.text("phone")?.is_some() {
        return Err(Problem::phone_unavailable());
    }
    let change = AccountChange {
        email: members.text("email")?,
        password: members.text("password")?.map(Secret::new),
        current_password: members.text("current_password")?.map(Secret::new),
        nonce: members.text("nonce")?.map(Secret::new),
        data: members.object("data")?,
        wish: mail::wish(request, &members)?,
    };
    let account = accounts.update(visit(request), &caller, change).await.map_err(Problem::of_update)?;
    Ok(json_answer(StatusCode::OK, &answer::account(&account)))
}

async fn logout(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    let scope = match query_value(request.query, "scope").as_deref() {
        None | Some("" | "global") => SignOutScope::Global,
        Some("local") => SignOutScope::Local,
        Some("others") => SignOutScope::Others,
        Some(_) => return Err(Problem::unknown_scope()),
    };
    accounts.sign_out(visit(request), &caller, scope).await?;
    Ok(no_content())
}

/// Operations on one's own account need to know who is calling; the others do not look, so that a client with a token that ran
/// out can still sign in.
fn caller(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Caller, Problem> {
    let credentials = credentials(request.headers).map_err(Problem::unidentified)?;
    accounts.identify(credentials, request.moment).map_err(Problem::unidentified)
}

fn visit(request: &AuthRequest<'_>) -> Visit {
    let user_agent = request.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    Visit { moment: request.moment, address: request.peer, user_agent: user_agent.map(str::to_owned) }
}

/// The step after this one of the path, as an id. What is none is nobody's.
fn path_id(request: &AuthRequest<'_>, after: &str, missing: AccountError) -> Result<Uuid, Problem> {
    let mut steps = request.path.split('/').skip_while(|step| *step != after);
    let id = steps.nth(1).filter(|step| step.len() == 36).and_then(|step| Uuid::try_parse(step).ok());
    id.ok_or_else(|| missing.into())
}

fn no_content() -> Answer {
    let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    Answer { status: StatusCode::NO_CONTENT, headers, body: Vec::new(), cause: None }
}

/// The first value of a parameter, percent-decoded.
fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query.unwrap_or("").split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(found, _)| *found == name)?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn json_answer(status: StatusCode, body: &Json) -> Answer {
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    Answer { status, headers, body: body.to_string().into_bytes(), cause: None }
}
