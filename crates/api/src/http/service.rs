//! Probes, figures, the contract and its page.

use super::answer::{Answer, JSON};
use super::fault::Fault;
use super::inbox;
use super::metrics;
use super::pipeline::{Exchange, Http};
use super::policy::Policy;
use crate::contract;
use crate::rest::etag::none_match;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use std::time::Duration;
use undergird_model::operation::ServiceOperation;
use undergird_model::settings::MetricsAccess;
use undergird_plan::Identity;

/// A store that takes longer than this to say that it is well is not.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(2);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The contract is everybody's to keep, and to be asked for again: it changes with the definition.
const NO_CACHE: HeaderValue = HeaderValue::from_static("public, no-cache");

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
        ServiceOperation::OpenApi => {
            let document = policy.contract();
            Ok(document_answer(exchange, JSON, document.text.clone(), document.etag.clone()))
        }
        ServiceOperation::Docs => {
            let page = contract::page();
            let etag = HeaderValue::from_str(&page.etag).map_err(|_| Fault::Internal)?;
            let policy = HeaderValue::from_str(&page.policy).map_err(|_| Fault::Internal)?;
            let answer = document_answer(exchange, HTML, Bytes::from_static(page.html.as_bytes()), etag);
            Ok(answer.with_header(CONTENT_SECURITY_POLICY, policy))
        }
        ServiceOperation::Inbox => inbox::show(exchange),
    }
}

/// A document, or 304 when the client has this version already.
fn document_answer(exchange: &Exchange<'_>, kind: HeaderValue, text: Bytes, etag: HeaderValue) -> Answer {
    let tag = etag.to_str().unwrap_or_default();
    let known = exchange.header(&IF_NONE_MATCH).is_some_and(|condition| none_match(condition, tag));
    let answer = if known { Answer::empty(StatusCode::NOT_MODIFIED) } else { Answer::new(StatusCode::OK, kind, text) };
    answer.with_header(ETAG, etag).with_header(CACHE_CONTROL, NO_CACHE)
}

fn well() -> Answer {
    Answer::json(StatusCode::OK, &json!({ "status": "ok" })).with_header(CACHE_CONTROL, NO_STORE)
}

async fn ready(http: &Http) -> Result<Answer, Fault> {
    if http.is_draining() {
        return Err(Fault::Draining);
    }
    if http.is_unfit() {
        return Err(Fault::NotReady);
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
    http.count_waiting();
    let text = http.metrics().text(&http.engine().figures());
    Ok(Answer::new(StatusCode::OK, HeaderValue::from_static(metrics::CONTENT_TYPE), text))
}
