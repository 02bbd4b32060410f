//! Any issuer of OpenID Connect: Keycloak, Auth0, Okta, Zitadel, Authentik, …

use super::{Dialect, Speech, open_id};
use undergird_model::settings::Provider;

pub(super) struct Generic;

impl Dialect for Generic {
    fn speech(&self, set: &Provider) -> Speech {
        // The definition's check demands one.
        open_id(set.issuer.as_deref().unwrap_or_default())
    }
}
