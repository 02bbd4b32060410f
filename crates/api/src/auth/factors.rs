//! `/factors`: second factors in the dialect of Supabase Auth (auth-js' `mfa`, and `mfa.recoveryCodes` of its newer versions).
//!
//! Deliberately absent: factors by phone.

use super::body::Members;
use super::{Answer, AuthRequest, Problem, answer, caller, json_answer, passkeys, path_id, visit};
use http::StatusCode;
use serde_json::json;
use undergird_engine::accounts::{
    AccountError, Accounts, EnrollFactor, FactorError, KeyChallenge, MakeRecoveryCodes, Secret,
};
use undergird_model::operation::FactorOperation;
use undergird_plan::Caller;
use uuid::Uuid;

pub(super) async fn operate(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    operation: FactorOperation,
) -> Result<Answer, Problem> {
    let caller = caller(request, accounts)?;
    match operation {
        FactorOperation::Enroll => enroll(request, accounts, &caller).await,
        FactorOperation::Challenge => {
            let factor = factor_id(request)?;
            let made = accounts.challenge_factor(visit(request), &caller, factor).await?;
            let mut body = json!({ "id": made.id.to_string(), "type": "totp", "expires_at": made.expires_at });
            // Which domain and pages the client names is not looked at: the settings say it.
            if let Some(key) = &made.key {
                let (kind, options) = match key {
                    KeyChallenge::Create(asked) => ("create", passkeys::creation_options(request, asked)),
                    KeyChallenge::Request(asked) => ("request", passkeys::request_options(request, asked)),
                };
                body["type"] = "webauthn".into();
                body["webauthn"] = json!({ "type": kind, "credential_options": { "publicKey": options } });
            }
            Ok(json_answer(StatusCode::OK, &body))
        }
        FactorOperation::Verify => {
            let factor = factor_id(request)?;
            let members = Members::read(request.body)?;
            let challenge = members.uuid("challenge_id")?.ok_or_else(|| Problem::missing("challenge_id"))?;
            if let Some(told) = members.object("webauthn")? {
                let answered = passkeys::key_answer(&told)?;
                let session = accounts.verify_key(visit(request), &caller, factor, challenge, answered).await?;
                return Ok(json_answer(StatusCode::OK, &answer::session(&session)));
            }
            let code = Secret::new(members.text("code")?.ok_or_else(|| Problem::missing("code"))?);
            let session = accounts.verify_factor(visit(request), &caller, factor, challenge, code).await?;
            Ok(json_answer(StatusCode::OK, &answer::session(&session)))
        }
        FactorOperation::Remove => {
            let factor = factor_id(request)?;
            accounts.remove_factor(visit(request), &caller, factor).await?;
            Ok(json_answer(StatusCode::OK, &json!({ "id": factor.to_string() })))
        }
        FactorOperation::RecoveryCodes => {
            let status = accounts.recovery_codes(&caller).await?;
            let body = json!({
                "id": status.id.to_string(), "type": "recovery_code", "total": status.total, "remaining": status.remaining,
            });
            Ok(json_answer(StatusCode::OK, &body))
        }
        FactorOperation::MakeRecoveryCodes => make_codes(request, accounts, &caller, false).await,
        FactorOperation::RemakeRecoveryCodes => make_codes(request, accounts, &caller, true).await,
        FactorOperation::VerifyRecoveryCode => {
            let members = Members::read(request.body)?;
            let code = Secret::new(members.text("code")?.ok_or_else(|| Problem::missing("code"))?);
            let session = accounts.verify_recovery_code(visit(request), &caller, code).await?;
            Ok(json_answer(StatusCode::OK, &answer::session(&session)))
        }
        FactorOperation::RemoveRecoveryCodes => {
            let id = accounts.remove_recovery_codes(visit(request), &caller).await?;
            Ok(json_answer(StatusCode::OK, &json!({ "id": id.to_string() })))
        }
    }
}

fn factor_id(request: &AuthRequest<'_>) -> Result<Uuid, Problem> {
    path_id(request, "factors", AccountError::Factor(FactorError::Missing))
}

async fn enroll(request: &AuthRequest<'_>, accounts: &dyn Accounts, caller: &Caller) -> Result<Answer, Problem> {
    let members = Members::read(request.body)?;
    match members.text("factor_type")?.as_deref() {
        Some("totp") => {}
        Some("webauthn") => return enroll_key(request, accounts, caller, &members).await,
        Some("phone") => return Err(Problem::factor_unavailable("mfa_phone_enroll_not_enabled", "phone")),
        _ => return Err(Problem::wrong_type("factor_type", "totp or webauthn")),
    }
    let asked = EnrollFactor {
        name: members.text("friendly_name")?,
        issuer: members.text("issuer")?,
        current_password: members.text("current_password")?.map(Secret::new),
    };
    let made = accounts.enroll_factor(visit(request), caller, asked).await?;
    let mut body = json!({
        "id": made.id.to_string(),
        "type": "totp",
        "totp": { "qr_code": made.qr.expose(), "secret": made.secret.expose(), "uri": made.uri.expose() },
    });
    if let Some(name) = &made.name {
        body["friendly_name"] = name.as_str().into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}

async fn enroll_key(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    caller: &Caller,
    members: &Members,
) -> Result<Answer, Problem> {
    let asked = EnrollFactor {
        name: members.text("friendly_name")?,
        current_password: members.text("current_password")?.map(Secret::new),
        ..EnrollFactor::default()
    };
    let made = accounts.enroll_key(visit(request), caller, asked).await.map_err(Problem::of_key)?;
    let mut body = json!({ "id": made.id.to_string(), "type": "webauthn" });
    if let Some(name) = &made.name {
        body["friendly_name"] = name.as_str().into();
    }
    Ok(json_answer(StatusCode::OK, &body))
}

async fn make_codes(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    caller: &Caller,
    again: bool,
) -> Result<Answer, Problem> {
    let name = Members::read_if_any(request.body)?.text("friendly_name")?;
    let made = accounts.make_recovery_codes(visit(request), caller, MakeRecoveryCodes { name, again }).await?;
    let codes: Vec<&str> = made.codes.iter().map(Secret::expose).collect();
    let body = json!({
        "id": made.id.to_string(), "type": "recovery_code", "friendly_name": made.name, "total": codes.len(), "codes": codes,
    });
    Ok(json_answer(StatusCode::OK, &body))
}
