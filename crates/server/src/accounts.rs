//! Opens the accounts of an engine: the one place that chooses how callers are known.

use std::sync::Arc;
use undergird_auth::{Auth, Keys, Options};
use undergird_engine::Engine;

/// The accounts of an engine whose store has the schema already.
pub(crate) async fn open(engine: &Arc<Engine>, keys: &Keys) -> Result<Auth, String> {
    let settings = engine.app().model().settings.server.clone();
    // Tokens name their issuer. It comes from the settings and never from a request's `Host`.
    let url = settings.public_url.unwrap_or_else(|| format!("http://{}", settings.listen));
    let options = Options::new(url.trim_end_matches('/'));
    let opened = Auth::open(engine.clone(), keys, &options).await;
    opened.map_err(|failure| format!("cannot open the accounts: {failure:?}"))
}
