//! `/passkeys`: registering a passkey and signing in with one, in the dialect of Supabase Auth (auth-js' `signInWithPasskey`,
//! `registerPasskey` and `passkey`). What browsers are given and give back is in the JSON forms of Web Authentication Level 3 (§5.1.3,
//! §5.1.8, §5.1.9), with octets in base64url.
//!
//! Deliberately absent: what makes an answer good. Here it only becomes octets.

use super::body::Members;
use super::{Answer, AuthRequest, Problem, answer, caller, json_answer, no_content, path_id, visit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value as Json, json};
use undergird_engine::accounts::{
    AccountError, Accounts, Assertion, KeyAnswer, KnownCredential, NewCredential, PasskeyCreation, PasskeyError,
    PasskeyRequest, Secret,
};
use undergird_model::operation::PasskeyOperation;
use uuid::Uuid;

pub(super) async fn operate(
    request: &AuthRequest<'_>,
    accounts: &dyn Accounts,
    operation: PasskeyOperation,
) -> Result<Answer, Problem> {
    match operation {
        PasskeyOperation::BeginSignIn => {
            // What clients send is `gotrue_meta_security` at most.
            Members::read_if_any(request.body)?;
            let made = accounts.begin_passkey_sign_in(visit(request)).await?;
            Ok(json_answer(StatusCode::OK, &begun(made.id, made.expires_at, request_options(request, &made))))
        }
        PasskeyOperation::FinishSignIn => {
            let members = Members::read(request.body)?;
            let (challenge, credential) = answered(&members)?;
            let session = accounts.finish_passkey_sign_in(visit(request), challenge, assertion(&credential)?).await?;
            Ok(json_answer(StatusCode::OK, &answer::session(&session)))
        }
        PasskeyOperation::BeginRegistration => {
            let caller = caller(request, accounts)?;
            let password = Members::read_if_any(request.body)?.text("current_password")?.map(Secret::new);
            let made = accounts.begin_passkey_registration(visit(request), &caller, password).await?;
            Ok(json_answer(StatusCode::OK, &begun(made.id, made.expires_at, creation_options(request, &made))))
        }
        PasskeyOperation::FinishRegistration => {
            let caller = caller(request, accounts)?;
            // Who may is told before what is wrong with the answer.
            if caller.role() == "anon" {
                return Err(AccountError::NotAUser.into());
            }
            let members = Members::read(request.body)?;
            let (challenge, credential) = answered(&members)?;
            let (credential, name) = (new_credential(&credential)?, members.text("friendly_name")?);
            let made =
                accounts.finish_passkey_registration(visit(request), &caller, challenge, credential, name).await?;
            Ok(json_answer(StatusCode::OK, &answer::passkey(&made)))
        }
        PasskeyOperation::List => {
            let caller = caller(request, accounts)?;
            let listed = accounts.passkeys(&caller).await?;
            Ok(json_answer(StatusCode::OK, &listed.iter().map(answer::passkey).collect()))
        }
        PasskeyOperation::Rename => {
            let caller = caller(request, accounts)?;
            let passkey = path_id(request, "passkeys", PasskeyError::Missing.into())?;
            let name = Members::read(request.body)?.text("friendly_name")?;
            let name = name.ok_or_else(|| Problem::missing("friendly_name"))?;
            let named = accounts.rename_passkey(visit(request), &caller, passkey, name).await?;
            Ok(json_answer(StatusCode::OK, &answer::passkey(&named)))
        }
        PasskeyOperation::Remove => {
            let caller = caller(request, accounts)?;
            let passkey = path_id(request, "passkeys", PasskeyError::Missing.into())?;
            accounts.remove_passkey(visit(request), &caller, passkey).await?;
            Ok(no_content())
        }
    }
}

fn begun(id: Uuid, expires_at: i64, options: Json) -> Json {
    json!({ "challenge_id": id.to_string(), "options": options, "expires_at": expires_at })
}

/// The challenge that is answered, and the answer.
fn answered(members: &Members) -> Result<(Uuid, Map<String, Json>), Problem> {
    let challenge = members.uuid("challenge_id")?.ok_or_else(|| Problem::missing("challenge_id"))?;
    let credential = members.object("credential")?.ok_or_else(|| Problem::missing("credential"))?;
    Ok((challenge, credential))
}

/// How long a browser may take, in milliseconds.
fn timeout(request: &AuthRequest<'_>, expires_at: i64) -> i64 {
    expires_at.saturating_sub(request.moment.now.div_euclid(1_000_000)).saturating_mul(1_000).max(0)
}

fn descriptors(known: &[KnownCredential]) -> Json {
    let each = |credential: &KnownCredential| {
        let mut descriptor = json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode(&credential.id) });
        if !credential.transports.is_empty() {
            descriptor["transports"] = json!(credential.transports);
        }
        descriptor
    };
    known.iter().map(each).collect()
}

/// `PublicKeyCredentialCreationOptionsJSON`.
pub(super) fn creation_options(request: &AuthRequest<'_>, made: &PasskeyCreation) -> Json {
    let wanted = |algorithm: &i64| json!({ "type": "public-key", "alg": algorithm });
    let resident = if made.discoverable { "required" } else { "discouraged" };
    json!({
        "rp": { "id": made.relying_party, "name": made.relying_name },
        "user": {
            "id": URL_SAFE_NO_PAD.encode(made.user_handle.as_bytes()),
            "name": made.user_name,
            "displayName": made.display_name,
        },
        "challenge": URL_SAFE_NO_PAD.encode(made.challenge),
        "pubKeyCredParams": made.algorithms.iter().map(wanted).collect::<Json>(),
        "timeout": timeout(request, made.expires_at),
        "excludeCredentials": descriptors(&made.exclude),
        "authenticatorSelection": {
            "residentKey": resident, "requireResidentKey": made.discoverable, "userVerification": "required",
        },
        "attestation": "none",
    })
}

/// `PublicKeyCredentialRequestOptionsJSON`.
pub(super) fn request_options(request: &AuthRequest<'_>, made: &PasskeyRequest) -> Json {
    json!({
        "challenge": URL_SAFE_NO_PAD.encode(made.challenge),
        "timeout": timeout(request, made.expires_at),
        "rpId": made.relying_party,
        "allowCredentials": descriptors(&made.allow),
        "userVerification": "required",
    })
}

/// What is not of the form of an answer.
fn malformed() -> Problem {
    Problem::bad_credential()
}

/// Octets of a member; absent and empty are no octets.
fn octets(members: &Map<String, Json>, name: &str) -> Result<Vec<u8>, Problem> {
    match members.get(name) {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::String(text)) => URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| malformed()),
        Some(_) => Err(malformed()),
    }
}

/// The same, but there must be some.
fn some_octets(members: &Map<String, Json>, name: &str) -> Result<Vec<u8>, Problem> {
    octets(members, name).and_then(|octets| if octets.is_empty() { Err(malformed()) } else { Ok(octets) })
}

/// The id of a credential, and what its authenticator said.
fn parts(credential: &Map<String, Json>) -> Result<(Vec<u8>, &Map<String, Json>), Problem> {
    let id = some_octets(credential, "rawId")?;
    let is_key = credential.get("type").and_then(Json::as_str) == Some("public-key");
    if !is_key || some_octets(credential, "id")? != id {
        return Err(malformed());
    }
    let response = credential.get("response").and_then(Json::as_object).ok_or_else(malformed)?;
    Ok((id, response))
}

/// `RegistrationResponseJSON`.
fn new_credential(credential: &Map<String, Json>) -> Result<NewCredential, Problem> {
    let (id, response) = parts(credential)?;
    let transports = match response.get("transports") {
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let client_data = some_octets(response, "clientDataJSON")?;
    Ok(NewCredential { id, client_data, attestation: some_octets(response, "attestationObject")?, transports })
}

/// `AuthenticationResponseJSON`.
fn assertion(credential: &Map<String, Json>) -> Result<Assertion, Problem> {
    let (id, response) = parts(credential)?;
    Ok(Assertion {
        id,
        client_data: some_octets(response, "clientDataJSON")?,
        authenticator_data: some_octets(response, "authenticatorData")?,
        signature: some_octets(response, "signature")?,
        user_handle: Some(octets(response, "userHandle")?).filter(|handle| !handle.is_empty()),
    })
}

/// What auth-js sends as `webauthn` of a factor's challenge; `rpId` and `rpOrigins` in it are not looked at.
pub(super) fn key_answer(told: &Map<String, Json>) -> Result<KeyAnswer, Problem> {
    let credential = told.get("credential_response").and_then(Json::as_object).ok_or_else(malformed)?;
    match told.get("type").and_then(Json::as_str) {
        Some("create") => new_credential(credential).map(KeyAnswer::Create),
        Some("request") => assertion(credential).map(KeyAnswer::Request),
        _ => Err(malformed()),
    }
}
