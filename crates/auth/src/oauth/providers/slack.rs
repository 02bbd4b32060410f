//! Slack: OpenID Connect without PKCE for who has a secret; the nonce binds a code to its browser.

use super::{Dialect, Speech, configured, open_id};
use undergird_model::settings::Provider;

pub(super) struct Slack;

impl Dialect for Slack {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, "https://slack.com"))
    }

    fn has_pkce(&self) -> bool {
        false
    }

    fn takes_secret_in_form(&self) -> bool {
        true
    }
}
