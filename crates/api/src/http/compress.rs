//! Compressed answers. Those with a strong `ETag` are sent as they are: it names bytes, and one tag cannot name two encodings.

use super::answer::Answer;
use async_compression::Level;
use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue};
use tokio::io::AsyncWriteExt;

/// Shorter bodies fit in one packet anyway.
pub const BYTES_MIN: usize = 1_024;
/// Longer bodies are compressed off the workers that serve others.
const INLINE_BYTES_MAX: usize = 256 * 1_024;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The best of ours that `Accept-Encoding` takes (RFC 9110 §12.5.3): the highest weight, zstd before gzip when equal.
pub fn choose(accept: Option<&str>) -> Encoding {
    let Some(accept) = accept else { return Encoding::Identity };
    let (mut zstd, mut gzip, mut any) = (None, None, None);
    for item in accept.split(',').take(ITEMS_MAX) {
        let mut parts = item.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let weight = parts.find_map(weight).unwrap_or(1_000);
        if name.eq_ignore_ascii_case("zstd") {
            zstd = Some(weight);
        } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(weight);
        } else if name == "*" {
            any = Some(weight);
        }
    }
    let zstd = zstd.or(any).unwrap_or(0);
    let gzip = gzip.or(any).unwrap_or(0);
    match (zstd, gzip) {
        (0, 0) => Encoding::Identity,
        (zstd, gzip) if zstd >= gzip => Encoding::Zstd,
        _ => Encoding::Gzip,
    }
}

/// Encodings read of one header.
const ITEMS_MAX: usize = 32;

/// `q=0.5` in thousandths. What cannot be read weighs nothing.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    Some((value.clamp(0.0, 1.0) * 1_000.0) as u16)
}

/// Compresses an answer when its client takes it and it is worth it.
pub async fn compress(request: &HeaderMap, mut answer: Answer) -> Answer {
    if answer.body.len() < BYTES_MIN
        || answer.headers.get(ETAG).is_some_and(|tag| !tag.as_bytes().starts_with(b"W/"))
        || answer.headers.contains_key(CONTENT_ENCODING)
        || !answer.headers.get(CONTENT_TYPE).is_some_and(compressible)
    {
        return answer;
    }
    answer.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let (name, encoding) = match choose(request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok())) {
        Encoding::Identity => return answer,
        encoding @ Encoding::Gzip => ("gzip", encoding),
        encoding @ Encoding::Zstd => ("zstd", encoding),
    };
    let body = answer.body.clone();
    let encoded = if body.len() > INLINE_BYTES_MAX {
        let handle = tokio::runtime::Handle::current();
        // A task that was lost leaves the answer as it is.
        tokio::task::spawn_blocking(move || handle.block_on(encode(encoding, &body))).await.unwrap_or_default()
    } else {
        encode(encoding, &body).await
    };
    if let Some(encoded) = encoded {
        answer.body = encoded;
        answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    answer
}

/// Into memory: nothing here waits.
async fn encode(encoding: Encoding, body: &[u8]) -> Option<Bytes> {
    let room = Vec::with_capacity(body.len() / 3 + 64);
    let encoded = match encoding {
        Encoding::Identity => return None,
        Encoding::Gzip => {
            let mut encoder = GzipEncoder::with_quality(room, Level::Fastest);
            encoder.write_all(body).await.ok()?;
            encoder.shutdown().await.ok()?;
            encoder.into_inner()
        }
        Encoding::Zstd => {
            let mut encoder = ZstdEncoder::with_quality(room, Level::Fastest);
            encoder.write_all(body).await.ok()?;
            encoder.shutdown().await.ok()?;
            encoder.into_inner()
        }
    };
    (encoded.len() < body.len()).then(|| Bytes::from(encoded))
}

fn compressible(content_type: &HeaderValue) -> bool {
    let kind = content_type.as_bytes();
    let starts =
        |prefix: &str| kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    starts("text/")
        || starts("application/json")
        || starts("application/problem+json")
        || starts("application/vnd.pgrst")
        || starts("application/openmetrics-text")
        || starts("application/javascript")
}
