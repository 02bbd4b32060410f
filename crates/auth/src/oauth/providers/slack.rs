//! Slack: OpenID Connect by the book.

use super::{Dialect, Speech, configured, open_id};
use undergird_model::settings::Provider;

pub(super) struct Slack;

impl Dialect for Slack {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, "https://slack.com"))
    }
}
