//! LinkedIn: OpenID Connect by the book.

use super::{Dialect, Speech, configured, open_id};
use undergird_model::settings::Provider;

pub(super) struct LinkedIn;

impl Dialect for LinkedIn {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, "https://www.linkedin.com/oauth"))
    }
}
