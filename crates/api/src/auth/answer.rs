//! Accounts and sessions as clients of Supabase Auth read them (`Session`, `User` and `UserIdentity` of auth-js' `types.ts`).

use serde_json::{Map, Value as Json, json};
use undergird_engine::accounts::{Account, AccountFactor, AccountIdentity, AccountSession, Offers, Passkey, Session};
use undergird_model::Value;
use undergird_model::field_type::wire;

pub(super) fn session(session: &Session) -> Json {
    json!({
        "access_token": session.access_token.expose(),
        "token_type": "bearer",
        "expires_in": session.expires_in_seconds,
        "expires_at": session.expires_at,
        "refresh_token": session.refresh_token.expose(),
        "user": account(&session.account),
    })
}

pub(super) fn account(account: &Account) -> Json {
    let mut user = Map::new();
    let mut set = |name: &str, value: Json| user.insert(name.into(), value);
    set("id", account.id.to_string().into());
    set("aud", "authenticated".into());
    set("role", "authenticated".into());
    set("email", account.email.as_deref().unwrap_or("").into());
    if let Some(at) = account.email_confirmed_at {
        set("email_confirmed_at", time(at));
    }
    if let Some(new_email) = &account.new_email {
        set("new_email", new_email.as_str().into());
    }
    if let Some(at) = account.invited_at {
        set("invited_at", time(at));
    }
    set("phone", "".into());
    if let Some(at) = account.email_confirmed_at {
        set("confirmed_at", time(at));
    }
    if let Some(at) = account.last_sign_in_at {
        set("last_sign_in_at", time(at));
    }
    set("app_metadata", account.app_metadata.clone());
    set("user_metadata", account.user_metadata.clone());
    let email = account.email.as_deref();
    set("identities", account.identities.iter().map(|each| identity(each, account, email)).collect());
    if !account.factors.is_empty() {
        set("factors", account.factors.iter().map(factor).collect());
    }
    set("created_at", time(account.created_at));
    set("updated_at", time(account.updated_at));
    if let Some(at) = account.banned_until {
        set("banned_until", time(at));
    }
    set("is_anonymous", account.is_anonymous.into());
    Json::Object(user)
}

pub(super) fn factor(factor: &AccountFactor) -> Json {
    let mut shown = json!({ "id": factor.id.to_string() });
    if let Some(name) = &factor.name {
        shown["friendly_name"] = name.as_str().into();
    }
    shown["factor_type"] = factor.kind.as_str().into();
    shown["status"] = if factor.verified { "verified" } else { "unverified" }.into();
    shown["created_at"] = time(factor.created_at);
    shown["updated_at"] = time(factor.updated_at);
    shown
}

pub(super) fn passkey(passkey: &Passkey) -> Json {
    let mut shown = json!({ "id": passkey.id.to_string(), "created_at": time(passkey.created_at) });
    if let Some(name) = &passkey.name {
        shown["friendly_name"] = name.as_str().into();
    }
    if let Some(at) = passkey.last_used_at {
        shown["last_used_at"] = time(at);
    }
    shown
}

pub(super) fn listed_session(session: &AccountSession) -> Json {
    json!({
        "id": session.id.to_string(),
        "created_at": time(session.created_at),
        "refreshed_at": time(session.refreshed_at),
        "not_after": time(session.not_after),
        "aal": session.aal,
        "method": session.method,
        "user_agent": session.user_agent,
        "ip": session.ip,
        "current": session.current,
    })
}

fn identity(identity: &AccountIdentity, account: &Account, email: Option<&str>) -> Json {
    let mut shown = json!({
        "identity_id": identity.id.to_string(),
        "id": identity.provider_id,
        "user_id": account.id.to_string(),
        "identity_data": identity.data,
        "provider": identity.provider,
        "created_at": time(identity.created_at),
        "updated_at": time(identity.updated_at),
    });
    if let Some(at) = identity.last_sign_in_at {
        shown["last_sign_in_at"] = time(at);
    }
    if let Some(email) = email {
        shown["email"] = email.into();
    }
    shown
}

pub(super) fn settings(offers: Offers, providers: &[String]) -> Json {
    let mut settings = json!({
        "external": { "anonymous_users": offers.anonymous, "email": true, "phone": false },
        "disable_signup": !offers.sign_up,
        "mailer_autoconfirm": offers.confirmed_at_once,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": false,
        "passkeys_enabled": offers.passkeys,
    });
    for name in providers {
        settings["external"][name] = true.into();
    }
    settings
}

/// Microseconds since 1970 as GoTrue writes them, with `Z`.
pub(super) fn time(micros: i64) -> Json {
    let text = wire::to_text(&Value::Timestamp(micros));
    Json::String(text.strip_suffix("+00:00").map_or_else(|| text.clone(), |local| format!("{local}Z")))
}
