//! What the settings say about every request and answer, worked out once per definition.

use super::cors::Origins;
use super::route::Routes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use std::sync::{Arc, OnceLock};
use undergird_engine::App;
use undergird_model::settings::{Limits, Server};

/// One application as the pipeline sees it: its routes, its operations' figures, its limits. Replaced as a whole.
pub struct Policy {
    /// The application.
    pub app: Arc<App>,
    /// Its routes.
    pub routes: Routes,
    /// Names of operations, by position, ready to be shared with log records.
    pub names: Vec<Arc<str>>,
    /// Figures of operations, by position.
    pub figures: Vec<super::metrics::Figures>,
    /// Its limits.
    pub limits: Limits,
    /// `[server]`.
    pub server: Server,
    /// Who may read answers from other origins.
    pub origins: Origins,
    /// The contract as it is served, made when it is first asked for.
    contract: OnceLock<Document>,
    /// Whether browsers are told to use https alone.
    https: bool,
}

/// A document with its entity tag.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its text.
    pub text: Bytes,
    /// Strong, with its quotes.
    pub etag: HeaderValue,
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
/// Answers are data: nothing in them may run, and nobody may frame them. Pages of ours say their own.
const DATA_ONLY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const TWO_YEARS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

impl Policy {
    /// Of an application.
    pub fn new(app: Arc<App>, metrics: &super::Metrics) -> Policy {
        let settings = &app.model().settings;
        Policy {
            routes: Routes::new(app.operations()),
            names: app.operations().iter().map(|operation| operation.id.as_str().into()).collect(),
            figures: app.operations().iter().map(|operation| metrics.figures(&operation.id)).collect(),
            limits: settings.limits.clone(),
            origins: Origins::new(&settings.server.cors_origins),
            https: settings.server.public_url.as_deref().is_some_and(|url| url.starts_with("https://")),
            server: settings.server.clone(),
            contract: OnceLock::new(),
            app,
        }
    }

    /// The OpenAPI document of the application.
    pub fn contract(&self) -> &Document {
        self.contract.get_or_init(|| {
            let text = Bytes::from(crate::contract::openapi(self.app.model()).to_string());
            let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &text)));
            // Base64 is visible ASCII, so it is a header value.
            let etag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
            Document { text, etag }
        })
    }

    /// Adds what every answer says, where the handler has not said its own.
    pub fn secure(&self, headers: &mut HeaderMap, authenticated: bool) {
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.entry(REFERRER_POLICY).or_insert(NO_REFERRER);
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(DATA_ONLY);
        // What a signed-in caller sees is kept by nobody; what visitors see may be kept by their own browser and asked for again by its ETag.
        headers.entry(CACHE_CONTROL).or_insert(if authenticated { NO_STORE } else { REVALIDATE });
        if self.https {
            headers.insert(STRICT_TRANSPORT_SECURITY, TWO_YEARS);
        }
    }
}
