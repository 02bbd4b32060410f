//! Links and codes over the wire: `/otp`, `/magiclink`, `/recover`, `/resend`, `/verify`, `/reauthenticate`, `/invite`,
//! `/admin/generate_link`, and the codes of PKCE.

use super::body::Members;
use super::error::Problem;
use super::{Answer, AuthRequest, answer, caller, json_answer, query_value, visit};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use std::fmt::Write as _;
use undergird_engine::Failure;
use undergird_engine::accounts::{
    AccountError, Accounts, FollowedLink, GenerateLink, InviteRequest, Landed, Landing, LinkError, LinkKind,
    LinkRequest, Proof, ProviderError, ResendRequest, Secret, Session, Wish,
};
use undergird_model::operation::MailOperation;

pub(super) async fn operate(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    operation: MailOperation,
) -> Result<Answer, Problem> {
    match operation {
        MailOperation::Otp => otp(request, accounts).await,
        MailOperation::MagicLink => magic_link(request, accounts).await,
        MailOperation::Recover => recover(request, accounts).await,
        MailOperation::Resend => resend(request, accounts).await,
        MailOperation::Verify => verify(request, accounts).await,
        MailOperation::Follow => follow(request, accounts).await,
        MailOperation::Reauthenticate => {
            let caller = caller(request, accounts)?;
            accounts.reauthenticate(visit(request), &caller).await?;
            Ok(nothing())
        }
        MailOperation::Invite => invite(request, accounts).await,
        MailOperation::GenerateLink => generate_link(request, accounts).await,
    }
}

/// What comes along with a request for a mail: `redirect_to` in the query, PKCE in the body.
pub(super) fn wish(request: &AuthRequest<'_>, members: &Members) -> Result<Wish, Problem> {
    let challenge = members.text("code_challenge")?;
    let method = members.text("code_challenge_method")?;
    let is_known = method.as_ref().is_some_and(|method| method.eq_ignore_ascii_case("s256"));
    if (challenge.is_some() || method.is_some()) && !is_known {
        return Err(LinkError::BadChallenge.into());
    }
    Ok(Wish { redirect_to: query_value(request.query, "redirect_to"), challenge })
}

async fn otp(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let members = Members::read(request.body)?;
    let asked = LinkRequest {
        email: email(&members)?,
        create: members.flag("create_user")?.unwrap_or(true),
        data: members.object("data")?.unwrap_or_default(),
        wish: wish(request, &members)?,
    };
    accounts.send_link(visit(request), asked).await?;
    Ok(nothing())
}

/// The older form of [`otp`].
async fn magic_link(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let members = Members::read(request.body)?;
    let data = members.object("data")?.unwrap_or_default();
    let asked = LinkRequest { email: email(&members)?, create: true, data, wish: wish(request, &members)? };
    accounts.send_link(visit(request), asked).await?;
    Ok(nothing())
}

async fn recover(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let members = Members::read(request.body)?;
    accounts.recover(visit(request), email(&members)?, wish(request, &members)?).await?;
    Ok(nothing())
}

async fn resend(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let members = Members::read(request.body)?;
    let email = email(&members)?;
    let kind = match members.text("type")?.as_deref() {
        Some("signup") => LinkKind::Confirmation,
        Some("email_change") => LinkKind::EmailChange,
        Some("sms" | "phone_change") => return Err(Problem::phone_unavailable()),
        Some(_) => return Err(Problem::wrong_type("type", "signup or email_change")),
        None => return Err(Problem::missing("type")),
    };
    accounts.resend(visit(request), ResendRequest { kind, email, wish: wish(request, &members)? }).await?;
    Ok(nothing())
}

/// What a `type` may mean. Whether a mail confirmed a sign-up or signed in is the server's business: clients ask for either by either name.
fn kinds(name: &str) -> Option<&'static [LinkKind]> {
    match name {
        "signup" | "magiclink" => Some(&[LinkKind::Confirmation, LinkKind::MagicLink]),
        "email" => Some(&[LinkKind::Confirmation, LinkKind::MagicLink, LinkKind::Invite]),
        "invite" => Some(&[LinkKind::Invite]),
        "recovery" => Some(&[LinkKind::Recovery]),
        "email_change" => Some(&[LinkKind::EmailChange, LinkKind::EmailChangeCurrent]),
        _ => None,
    }
}

async fn verify(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    if is_form(request) {
        // The button of the page below, which posts to the link as it is.
        return use_link(request, accounts).await;
    }
    let members = Members::read(request.body)?;
    let kinds = match members.text("type")?.as_deref() {
        None => return Err(Problem::missing("type")),
        Some("sms" | "phone_change") => return Err(Problem::phone_unavailable()),
        Some(name) => kinds(name)
            .ok_or_else(|| Problem::wrong_type("type", "signup, magiclink, email, invite, recovery or email_change"))?,
    };
    let (hash, code, email) = (members.text("token_hash")?, members.text("token")?, members.text("email")?);
    let proof = match (hash, code, email) {
        (Some(_), Some(_), _) => return Err(Problem::wrong_type("token", "absent beside token_hash")),
        (Some(link), None, _) => Proof::Link(Secret::new(link)),
        (None, Some(code), Some(email)) => Proof::Code { email, code: Secret::new(code) },
        (None, Some(_), None) => return Err(Problem::missing("email")),
        (None, None, _) => return Err(Problem::missing("token")),
    };
    match accounts.verify(visit(request), kinds, proof).await {
        Ok(session) => Ok(json_answer(StatusCode::OK, &answer::session(&session))),
        // No error to GoTrue: clients take it for an answer without a session.
        Err(AccountError::Link(LinkError::OtherAddress)) => {
            Ok(json_answer(StatusCode::OK, &serde_json::json!({ "code": "200", "msg": OTHER_ADDRESS })))
        }
        Err(error) => Err(error.into()),
    }
}

/// A link of a mail. Whatever happens, the browser goes on to a page of the application, which is told by the URL.
async fn follow(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    if accounts.offers().link_page {
        return Ok(link_page());
    }
    use_link(request, accounts).await
}

/// What a followed link shows where links wait for a person: scanners of mails follow links, and press no buttons. The form goes to the page's own
/// address, so nothing of the request is written into it.
fn link_page() -> Answer {
    const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
        content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><title>Continue</title></head>\
        <body><main><h1>Continue</h1><p>You followed a link from a mail. It is good once.</p>\
        <form method=\"post\"><button autofocus>Continue</button></form></main></body></html>\n";
    // No word about where forms lead: browsers would hold the redirect to the application against it.
    const POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]);
    Answer { status: StatusCode::OK, headers, body: PAGE.as_bytes().to_vec(), cause: None }
}

/// Whether the body is that of a form.
pub(super) fn is_form(request: &AuthRequest<'_>) -> bool {
    let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn use_link(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let value = |name: &str| query_value(request.query, name).filter(|value| !value.is_empty());
    let link = FollowedLink {
        kinds: value("type").as_deref().and_then(kinds),
        proof: value("token").or_else(|| value("token_hash")).map(|token| Proof::Link(Secret::new(token))),
        redirect_to: value("redirect_to"),
    };
    let landing = accounts.follow(visit(request), link).await;
    redirect(landing)
}

/// Where a browser goes on, with what it takes along.
pub(super) fn redirect(landing: Landing) -> Result<Answer, Problem> {
    let (base, _) = landing.to.split_once('#').unwrap_or((&landing.to, ""));
    let mut cause = None;
    let url = match &landing.outcome {
        Ok(Landed::Session(session, kind)) => format!("{base}#{}", tokens(session, *kind)),
        Ok(Landed::SignedIn(session)) => format!("{base}#{}", super::providers::fragment(session)),
        Ok(Landed::Code(code)) => with_query(base, &pairs(&[("code", code.expose())])),
        Err(AccountError::Link(LinkError::OtherAddress)) => {
            let told = pairs(&[("message", OTHER_ADDRESS)]);
            format!("{}#{told}", with_query(base, &told))
        }
        Err(error) => {
            let problem = Problem::from(error.clone());
            cause.clone_from(&problem.cause);
            let told = pairs(&[
                ("error", word(error, &problem)),
                ("error_code", problem.code()),
                ("error_description", followed_in_vain(error).unwrap_or(problem.message())),
            ]);
            // In both places, as GoTrue does: which of them the application reads depends on its flow.
            format!("{}#{told}", with_query(base, &told))
        }
    };
    let broken = || Problem::from(AccountError::from(Failure::Internal("a redirect is no header".into())));
    let location = HeaderValue::from_str(&url).map_err(|_| broken())?;
    let no_store = HeaderValue::from_static("no-store");
    let headers = HeaderMap::from_iter([(LOCATION, location), (CACHE_CONTROL, no_store)]);
    Ok(Answer { status: StatusCode::SEE_OTHER, headers, body: Vec::new(), cause })
}

/// The word of OAuth for it (RFC 6749 §4.1.2.1).
fn word<'e>(error: &'e AccountError, problem: &Problem) -> &'e str {
    match error {
        AccountError::Provider(
            ProviderError::StateMissing | ProviderError::StateUnknown | ProviderError::WrongIssuer,
        ) => "invalid_request",
        // Those that a page can do something about; no other word of a provider's is passed on.
        AccountError::Provider(ProviderError::Refused(word)) if WORDS.contains(&word.as_str()) => word,
        _ if problem.status.is_server_error() => "server_error",
        _ => "access_denied",
    }
}

const WORDS: [&str; 8] = [
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_scope",
    "login_required",
    "server_error",
    "temporarily_unavailable",
];

/// GoTrue's words: applications compare them.
const OTHER_ADDRESS: &str = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// GoTrue's words for a link where it has others than for a code.
fn followed_in_vain(error: &AccountError) -> Option<&'static str> {
    matches!(error, AccountError::Link(LinkError::Expired)).then_some("Email link is invalid or has expired")
}

fn tokens(session: &Session, kind: LinkKind) -> String {
    let (expires_at, expires_in) = (session.expires_at.to_string(), session.expires_in_seconds.to_string());
    pairs(&[
        ("access_token", session.access_token.expose()),
        ("expires_at", &expires_at),
        ("expires_in", &expires_in),
        ("refresh_token", session.refresh_token.expose()),
        ("token_type", "bearer"),
        ("type", kind.told()),
    ])
}

fn with_query(base: &str, query: &str) -> String {
    format!("{base}{}{query}", if base.contains('?') { '&' } else { '?' })
}

/// As `application/x-www-form-urlencoded`.
pub(super) fn pairs(all: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in all {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b' ' => out.push('+'),
                _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
                // Writing to a String does not fail.
                _ => _ = write!(out, "%{byte:02X}"),
            }
        }
    }
    out
}

async fn invite(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    let members = Members::read(request.body)?;
    let asked = InviteRequest {
        email: email(&members)?,
        data: members.object("data")?.unwrap_or_default(),
        redirect_to: query_value(request.query, "redirect_to"),
    };
    let account = accounts.invite(visit(request), &caller, asked).await.map_err(Problem::of_update)?;
    Ok(json_answer(StatusCode::OK, &answer::account(&account)))
}

async fn generate_link(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    let members = Members::read(request.body)?;
    let kind = match members.text("type")?.as_deref() {
        None => return Err(Problem::missing("type")),
        Some("email_change_current") => LinkKind::EmailChangeCurrent,
        Some("email_change_new") => LinkKind::EmailChange,
        Some(name) => LinkKind::of(name).filter(|kind| *kind != LinkKind::Reauthentication).ok_or_else(|| {
            Problem::wrong_type("type", "signup, invite, magiclink, recovery, email_change_current or email_change_new")
        })?,
    };
    let new_email = members.text("new_email")?;
    if matches!(kind, LinkKind::EmailChange | LinkKind::EmailChangeCurrent) && new_email.is_none() {
        return Err(Problem::missing("new_email"));
    }
    let password = members.text("password")?.map(Secret::new);
    if kind == LinkKind::Confirmation && password.is_none() {
        return Err(Problem::missing("password"));
    }
    let asked = GenerateLink {
        kind,
        email: email(&members)?,
        password,
        data: members.object("data")?.unwrap_or_default(),
        new_email,
        redirect_to: query_value(request.query, "redirect_to").or(members.text("redirect_to")?),
    };
    let made = accounts.generate_link(visit(request), &caller, asked).await.map_err(Problem::of_update)?;
    let mut body = answer::account(&made.account);
    body["action_link"] = made.link.expose().into();
    body["email_otp"] = made.code.expose().into();
    body["hashed_token"] = made.token.expose().into();
    body["verification_type"] = made.kind.told().into();
    body["redirect_to"] = made.redirect_to.into();
    Ok(json_answer(StatusCode::OK, &body))
}

/// `token?grant_type=pkce`.
pub(super) async fn exchange(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Session, Problem> {
    let members = Members::read(request.body)?;
    let code = members.text("auth_code")?.ok_or_else(|| Problem::missing("auth_code"))?;
    let verifier = members.text("code_verifier")?.ok_or_else(|| Problem::missing("code_verifier"))?;
    Ok(accounts.exchange(visit(request), Secret::new(code), Secret::new(verifier)).await?)
}

fn email(members: &Members) -> Result<String, Problem> {
    match (members.text("email")?, members.text("phone")?) {
        (Some(email), _) => Ok(email),
        (None, Some(_)) => Err(Problem::phone_unavailable()),
        (None, None) => Err(Problem::missing("email")),
    }
}

fn nothing() -> Answer {
    json_answer(StatusCode::OK, &json!({}))
}
