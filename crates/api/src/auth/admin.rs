//! `/admin`: accounts for the holder of the secret key, in the dialect of Supabase Auth (auth-js' `auth.admin`).
//!
//! Deliberately absent: who may (the port refuses), and clients of OAuth.

use super::audit;
use super::body::Members;
use super::{Answer, AuthRequest, Problem, answer, caller, json_answer, no_content, path_id, query_value, visit};
use http::header::LINK;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value as Json, json};
use undergird_engine::accounts::{
    AccountError, AccountSettings, Accounts, Ban, FactorError, Page, PasskeyError, Secret,
};
use undergird_model::operation::AdminOperation;
use undergird_plan::{AccountsReach, Caller};
use uuid::Uuid;

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
/// As many as Supabase Auth shows when nobody asks for more or less.
const PAGE_ROWS: u32 = 50;

pub(super) async fn operate(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    operation: AdminOperation,
) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    // Who may is told before what is wrong with what was asked: also an id that is none needs the key.
    let reach = if operation.is_read() { AccountsReach::Read } else { AccountsReach::Admin };
    if !caller.may_reach_accounts(reach) {
        let refused = if caller.role() == "anon" { AccountError::NotAUser } else { AccountError::NotAdmin };
        return Err(refused.into());
    }
    match operation {
        AdminOperation::AuditLog => audit::list(request, accounts, &caller).await,
        AdminOperation::ListUsers => list(request, accounts, &caller).await,
        AdminOperation::CreateUser => {
            let asked = settings(&Members::read(request.body)?)?;
            let made = accounts.create_account(visit(request), &caller, asked).await.map_err(Problem::of_update)?;
            Ok(json_answer(StatusCode::OK, &answer::account(&made)))
        }
        AdminOperation::User => {
            let account = accounts.find(&caller, user_id(request)?).await?;
            Ok(json_answer(StatusCode::OK, &answer::account(&account)))
        }
        AdminOperation::UpdateUser => {
            let id = user_id(request)?;
            let asked = settings(&Members::read(request.body)?)?;
            let changed = accounts.change_account(visit(request), &caller, id, asked).await;
            Ok(json_answer(StatusCode::OK, &answer::account(&changed.map_err(Problem::of_update)?)))
        }
        AdminOperation::RemoveUser => {
            let id = user_id(request)?;
            if Members::read_if_any(request.body)?.flag("should_soft_delete")? == Some(true) {
                return Err(Problem::no_soft_delete());
            }
            let gone = accounts.remove_account(visit(request), &caller, id).await?;
            Ok(json_answer(StatusCode::OK, &answer::account(&gone)))
        }
        AdminOperation::Factors => {
            let account = accounts.find(&caller, user_id(request)?).await?;
            let factors: Vec<Json> = account.factors.iter().map(answer::factor).collect();
            Ok(json_answer(StatusCode::OK, &Json::Array(factors)))
        }
        AdminOperation::RemoveFactor => {
            let factor = path_id(request, "factors", AccountError::Factor(FactorError::Missing))?;
            accounts.remove_factor_of(visit(request), &caller, user_id(request)?, factor).await?;
            Ok(json_answer(StatusCode::OK, &json!({ "id": factor.to_string() })))
        }
        AdminOperation::Passkeys => {
            let listed = accounts.passkeys_of(&caller, user_id(request)?).await?;
            Ok(json_answer(StatusCode::OK, &listed.iter().map(answer::passkey).collect()))
        }
        AdminOperation::RemovePasskey => {
            let passkey = path_id(request, "passkeys", PasskeyError::Missing.into())?;
            accounts.remove_passkey_of(visit(request), &caller, user_id(request)?, passkey).await?;
            Ok(no_content())
        }
        AdminOperation::Sessions => {
            let sessions = accounts.sessions_of_account(&caller, user_id(request)?).await?;
            let listed: Vec<Json> = sessions.iter().map(answer::listed_session).collect();
            Ok(json_answer(StatusCode::OK, &json!({ "sessions": listed })))
        }
        AdminOperation::EndSessions => {
            accounts.end_sessions_of(visit(request), &caller, user_id(request)?).await?;
            Ok(no_content())
        }
    }
}

fn user_id(request: &AuthRequest<'_>) -> Result<Uuid, Problem> {
    path_id(request, "users", AccountError::UserUnknown)
}

/// A positive number of the query; absent and empty are the usual one.
fn number(request: &AuthRequest<'_>, name: &'static str, usual: u32) -> Result<u32, Problem> {
    match query_value(request.query, name).as_deref() {
        None | Some("") => Ok(usual),
        Some(text) => {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| Problem::bad_query(name, "a positive number"))
        }
    }
}

/// Which page is asked for.
pub(super) fn page(request: &AuthRequest<'_>) -> Result<Page, Problem> {
    Ok(Page { number: number(request, "page", 1)?, rows: number(request, "per_page", PAGE_ROWS)?.min(1_000) })
}

/// Says which pages there are beside this one; `more` stands behind the numbers.
pub(super) fn tell_pages(answer: &mut Answer, path: &str, more: &str, page: Page, total: u64) {
    // As GoTrue writes it: clients take it apart by its signs.
    let last = total.div_ceil(u64::from(page.rows)).max(1);
    let link = |number: u64, rel: &str| format!("<{path}?page={number}&per_page={}{more}>; rel=\"{rel}\"", page.rows);
    let mut links = Vec::new();
    if u64::from(page.number) < last {
        links.push(link(u64::from(page.number) + 1, "next"));
    }
    links.push(link(last, "last"));
    if let Ok(links) = HeaderValue::from_str(&links.join(", ")) {
        answer.headers.insert(LINK, links);
    }
    answer.headers.insert(TOTAL, HeaderValue::from(total));
}

async fn list(request: &AuthRequest<'_>, accounts: &dyn Accounts, caller: &Caller) -> Result<Answer, Problem> {
    let page = page(request)?;
    let found = accounts.accounts(caller, page).await?;
    let users: Vec<Json> = found.accounts.iter().map(answer::account).collect();
    let mut answer = json_answer(StatusCode::OK, &json!({ "users": users, "aud": "authenticated" }));
    tell_pages(&mut answer, "/admin/users", "", page, found.total);
    Ok(answer)
}

/// What is said of an account. Members that GoTrue knows and this server does not are refused, not passed over: an owner must not believe
/// that a password hash or a role was set.
fn settings(members: &Members) -> Result<AccountSettings, Problem> {
    if members.text("phone")?.is_some() {
        return Err(Problem::phone_unavailable());
    }
    if members.text("password_hash")?.is_some() {
        return Err(Problem::wrong_type("password_hash", "absent: give the password"));
    }
    if members.text("role")?.is_some_and(|role| role != "authenticated") {
        return Err(Problem::wrong_type("role", "authenticated; roles for rules are app_metadata.roles"));
    }
    Ok(AccountSettings {
        id: members.uuid("id")?,
        email: members.text("email")?,
        password: members.text("password")?.map(Secret::new),
        email_confirmed: members.flag("email_confirm")?,
        app_metadata: members.object("app_metadata")?,
        user_metadata: members.object("user_metadata")?,
        ban: members.text("ban_duration")?.map(|text| ban(&text)).transpose()?,
    })
}

/// `none`, or a duration as Go writes it: `24h`, `1h30m`, `45.5s`.
fn ban(text: &str) -> Result<Ban, Problem> {
    if text == "none" {
        return Ok(Ban::Lifted);
    }
    let wrong = || Problem::wrong_type("ban_duration", "none, or a duration such as 24h or 1h30m");
    let mut rest = text;
    let mut micros = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let units = [("ms", 1e3), ("us", 1.0), ("µs", 1.0), ("ns", 1e-3), ("h", 3.6e9), ("m", 6e7), ("s", 1e6)];
        let unit = units.iter().find_map(|(unit, each)| Some((tail.strip_prefix(unit)?, each)));
        let (after, each) = unit.ok_or_else(wrong)?;
        micros += number * each;
        rest = after;
    }
    // Beyond what fits: the port says what is too long.
    if text.is_empty() { Err(wrong()) } else { Ok(Ban::For(if micros < 9e18 { micros as i64 } else { i64::MAX })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let seconds = |text: &str| match ban(text) {
            Ok(Ban::For(micros)) => format!("{}", micros as f64 / 1e6),
            Ok(Ban::Lifted) => "lifted".into(),
            Err(_) => "wrong".into(),
        };
        for (text, expected) in [
            ("none", "lifted"),
            ("24h", "86400"),
            ("1h30m", "5400"),
            ("1.5h", "5400"),
            ("300ms", "0.3"),
            ("2h45m10s", "9910"),
            ("0s", "0"),
            ("", "wrong"),
            ("24", "wrong"),
            ("h", "wrong"),
            ("-1h", "wrong"),
            ("1d", "wrong"),
            ("1h 30m", "wrong"),
            ("forever", "wrong"),
            ("1..5h", "wrong"),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
