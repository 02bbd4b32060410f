//! Microsoft (Entra ID, formerly Azure): accounts of all organisations and persons, or of one tenant (`issuer`).
//!
//! Two things are special. The common issuer writes itself with `{tenantid}`, in whose place a token has its tenant. And `email` is what a
//! tenant's administrator likes it to be, so it counts only with `xms_edov`, by which Microsoft says that the tenant owns the address's domain.

use super::{Dialect, Speech, open_id};
use serde_json::Value as Json;
use undergird_model::settings::Provider;

pub(super) struct Azure;

const COMMON: &str = "https://login.microsoftonline.com/common/v2.0";
const WRITTEN: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
const TENANT: &str = "{tenantid}";

impl Dialect for Azure {
    fn speech(&self, set: &Provider) -> Speech {
        match &set.issuer {
            Some(issuer) => open_id(issuer),
            None => Speech::OpenId { issuer: COMMON.into(), written: WRITTEN.into() },
        }
    }

    fn is_issuer(&self, written: &str, issuer: &str, claims: &Json) -> bool {
        if !written.contains(TENANT) {
            return written == issuer;
        }
        let tenant = claims.get("tid").and_then(Json::as_str).unwrap_or_default();
        let is_id = tenant.len() == 36 && tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        is_id && written.replace(TENANT, tenant) == issuer
    }

    fn is_verified(&self, claims: &Json) -> bool {
        match claims.get("xms_edov") {
            Some(Json::Number(number)) => number.as_i64() == Some(1),
            Some(Json::String(text)) => text == "1" || text == "true",
            other => other == Some(&Json::Bool(true)),
        }
    }
}
