//! What must hold before a write: `If-Match` (RFC 9110 §13.1.1) and the form of an `Idempotency-Key`.

use super::encode::{Encoder, Options};
use super::media::Media;
use crate::problem::Problem;
use http::HeaderValue;
use http::request::Parts;
use ring::digest;
use undergird_engine::{Failure, Transaction, idempotency};
use undergird_plan::request::{Returning, Verb};
use undergird_plan::{Caller, Request};

/// The row that a write means must be in the state that the client saw. Read in the write's own transaction, so nothing comes
/// between the look and the change.
pub(super) async fn if_match(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    write: &Request,
    condition: &str,
) -> Result<(), Failure> {
    if write.shape.key.is_none() {
        // Without a key there is no one row whose state is meant.
        return Err(Failure::PreconditionFailed);
    }
    let mut read = Request::new(write.shape.collection.clone(), Verb::Read);
    read.shape.key = write.shape.key.clone();
    read.shape.returning = Returning::Minimal;
    read.values = write.values.clone();
    let mut encoder = Encoder::new(Options::new(Media::Object { nulls_stripped: false }));
    transaction.read(caller, &read, &mut encoder).await?;
    let encoded = encoder.finish().map_err(|_| Failure::AnswerTooLarge)?;
    match encoded.version {
        Some(version) if version.matches(condition) => Ok(()),
        _ => Err(Failure::PreconditionFailed),
    }
}

/// The key of a header. One that cannot be kept is refused: passed over, it would leave a retry without its guard.
pub(super) fn idempotency_key(value: &HeaderValue) -> Result<String, Problem> {
    let most = idempotency::KEY_CHARS_MAX;
    match std::str::from_utf8(value.as_bytes()) {
        Ok(key) if !key.is_empty() && key.chars().count() <= most => Ok(key.to_owned()),
        _ => Err(Problem::new("UG104", 400, format!("An Idempotency-Key has 1 to {most} characters of UTF-8"))
            .with_hint("Make a UUID for each action of the user, and send the same one with every retry.")),
    }
}

/// What makes two requests the same: method, target, what of the headers decides the answer, body.
pub(super) fn request_hash(head: &Parts, body: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        // Lengths between the parts: no two requests run together to the same bytes.
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(bytes);
    };
    part(head.method.as_str().as_bytes());
    part(head.uri.path().as_bytes());
    part(head.uri.query().unwrap_or_default().as_bytes());
    for name in ["prefer", "accept", "content-type"] {
        for value in head.headers.get_all(name) {
            part(value.as_bytes());
        }
        part(b"");
    }
    part(body);
    context.finish().as_ref().to_vec()
}
