//! `/sessions`: one's own sessions, which Supabase Auth does not list.

use super::{Answer, AuthRequest, Problem, answer, caller, json_answer, no_content, path_id, visit};
use http::StatusCode;
use serde_json::{Value as Json, json};
use undergird_engine::accounts::{AccountError, Accounts};

pub(super) async fn list(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    let sessions = accounts.sessions(&caller).await?;
    let listed: Vec<Json> = sessions.iter().map(answer::listed_session).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "sessions": listed })))
}

pub(super) async fn end(request: &AuthRequest<'_>, accounts: &dyn Accounts) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    let session = path_id(request, "sessions", AccountError::SessionUnknown)?;
    accounts.end_session(visit(request), &caller, session).await?;
    Ok(no_content())
}
