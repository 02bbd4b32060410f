//! Probes, figures, the contract and its page.

use super::answer::{Answer, JSON};
use super::fault::Fault;
use super::metrics;
use super::pipeline::{Exchange, Http};
use super::policy::Policy;
use crate::contract;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use std::time::Duration;
use undergird_model::operation::ServiceOperation;
use undergird_model::settings::MetricsAccess;
use undergird_plan::Identity;

/// A store that takes longer than this to say that it is well is not.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(2);

/// Probes must see what is, not what was.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(super) async fn handle(
    http: &Http,
    policy: &Policy,
    operation: ServiceOperation,
    exchange: &Exchange<'_>,
) -> Result<Answer, Fault> {
    match operation {
        ServiceOperation::Live => Ok(well()),
        ServiceOperation::Ready => ready(http).await,
        ServiceOperation::Metrics => figures(http, policy, exchange),
        ServiceOperation::OpenApi | ServiceOperation::Docs if !policy.server.docs => Err(Fault::NotFound),
        ServiceOperation::OpenApi => Ok(Answer::new(StatusCode::OK, JSON, policy.contract())),
        ServiceOperation::Docs => Ok(docs(exchange)),
    }
}

fn well() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok" })).with_header(CACHE_CONTROL, NO_STORE)
}

/// The page to read and try the contract; the same for everybody.
fn docs(exchange: &Exchange<'_>) -> Answer {
    let page = contract::page();
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    let answer = match exchange.header(&IF_NONE_MATCH) {
        Some(known) if known.split(',').any(|known| known.trim().trim_start_matches("W/") == page.etag) => {
            Answer::empty(StatusCode::NOT_MODIFIED)
        }
        _ => Answer::new(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page.html.as_str()),
    };
    answer.with_header(ETAG, text(&page.etag)).with_header(CONTENT_SECURITY_POLICY, text(&page.policy))
}

async fn ready(http: &Http) -> Result<Answer, Fault> {
    if http.is_draining() {
        return Err(Fault::Draining);
    }
    match tokio::time::timeout(HEALTH_TIME_MAX, http.engine().store().health()).await {
        Ok(Ok(())) => Ok(well()),
        Ok(Err(why)) => {
            tracing::warn!(%why, "the store is not well");
            Err(Fault::NotReady)
        }
        Err(_) => Err(Fault::NotReady),
    }
}

fn figures(http: &Http, policy: &Policy, exchange: &Exchange<'_>) -> Result<Answer, Fault> {
    if policy.server.metrics == MetricsAccess::SecretKey {
        let caller = exchange.identify().map_err(Fault::Unidentified)?;
        if !matches!(caller.identity(), Identity::Secret) {
            return Err(Fault::SecretKeyNeeded { authenticated: caller.is_authenticated() });
        }
    }
    let text = http.metrics().text(&http.engine().store().gauges());
    Ok(Answer::new(StatusCode::OK, HeaderValue::from_static(metrics::CONTENT_TYPE), text))
}
