//! LinkedIn: OpenID Connect without two of its safeguards. Its ID tokens have no nonce, and who sends a PKCE verifier beside a secret is refused,
//! so that a code is bound to this application by the secret, and to the browser by the state alone.

use super::{Dialect, Speech, configured, open_id};
use undergird_model::settings::Provider;

pub(super) struct LinkedIn;

impl Dialect for LinkedIn {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, "https://www.linkedin.com/oauth"))
    }

    fn has_pkce(&self) -> bool {
        false
    }

    fn takes_secret_in_form(&self) -> bool {
        true
    }

    fn has_nonce(&self) -> bool {
        false
    }
}
