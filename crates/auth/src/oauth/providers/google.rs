//! Google: OpenID Connect by the book, but for its tokens' older way to write their issuer.

use super::{Dialect, Speech, configured, open_id};
use serde_json::Value as Json;
use undergird_model::settings::Provider;

pub(super) struct Google;

impl Dialect for Google {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, "https://accounts.google.com"))
    }

    fn is_issuer(&self, written: &str, issuer: &str, _: &Json) -> bool {
        written == issuer || written.strip_prefix("https://") == Some(issuer)
    }
}
