//! `GET /admin/audit`: the audit log in the shape of Supabase Auth, for the holder of the secret key.
//!
//! Deliberately absent: the chain's places and hashes. They are of no use to who cannot read the whole log; `undergird audit verify` can.

use super::admin::{page, tell_pages};
use super::answer::time;
use super::{Answer, AuthRequest, Problem, json_answer, query_value};
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};
use undergird_engine::accounts::{Accounts, AuditEvent, AuditFilter};
use undergird_plan::Caller;
use uuid::Uuid;

/// Longest text that is looked for.
const SOUGHT_CHARS_MAX: usize = 200;

pub(super) async fn list(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    caller: &Caller,
) -> Result<Answer, Problem> {
    let page = page(request)?;
    let query = query_value(request.query, "query").filter(|query| !query.is_empty());
    let filter = query.as_deref().map(filter).transpose()?;
    let found = accounts.audit_log(caller, page, filter).await?;
    let mut answer = json_answer(StatusCode::OK, &found.events.iter().map(entry).collect());
    let more = query.map(|query| format!("&query={}", utf8_percent_encode(&query, NON_ALPHANUMERIC)));
    tell_pages(&mut answer, "/admin/audit", &more.unwrap_or_default(), page, found.total);
    Ok(answer)
}

/// `author:`, `action:` or `type:` and the text that is looked for.
fn filter(query: &str) -> Result<AuditFilter, Problem> {
    let wrong = || Problem::bad_query("query", "author:TEXT, action:TEXT or type:TEXT, of at most 200 characters");
    let (scope, text) = query.split_once(':').ok_or_else(wrong)?;
    if text.chars().count() > SOUGHT_CHARS_MAX || text.contains('\0') {
        return Err(wrong());
    }
    match scope {
        "author" => Ok(AuditFilter::Author(text.into())),
        "action" => Ok(AuditFilter::Action(text.into())),
        "type" => Ok(AuditFilter::Kind(text.into())),
        _ => Err(wrong()),
    }
}

fn entry(event: &AuditEvent) -> Json {
    let mut payload = json!({
        "action": event.action,
        "actor_id": event.actor.unwrap_or(Uuid::nil()).to_string(),
        "actor_username": event.actor_name,
        "actor_via_sso": false,
        "log_type": event.kind,
    });
    if !event.traits.is_empty() {
        payload["traits"] = Json::Object(event.traits.clone());
    }
    json!({
        "id": event.id.to_string(),
        "payload": payload,
        "created_at": time(event.at),
        "ip_address": event.address.as_deref().unwrap_or_default(),
    })
}
