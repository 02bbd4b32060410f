//! GitLab: OpenID Connect by the book, at gitlab.com or on a server of one's own (`issuer`).

use super::{Dialect, Speech, configured, open_id};
use undergird_model::settings::Provider;

pub(super) struct GitLab;

impl Dialect for GitLab {
    fn speech(&self, set: &Provider) -> Speech {
        open_id(configured(set, "https://gitlab.com"))
    }
}
