//! Reads a request's body, never more of it than the limit, never slower than a human modem.

use super::fault::Fault;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How fast a body must come: `bytes` in each `window`, or its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The time.
    pub window: Duration,
    /// What must come in it.
    pub bytes: usize,
}

/// 1 KiB per second, over twenty.
pub(super) const PACE: Pace = Pace { window: Duration::from_secs(20), bytes: 20 * 1024 };
/// Room made before a body has shown that it is long: a declared length is only a promise.
const FIRST_ROOM_MAX: usize = 64 * 1024;

/// Tells the connection that it was answered before its request was read to the end: it must wait a moment for the other side before it
/// closes, or the answer is lost in a reset.
#[derive(Clone, Debug, Default)]
pub struct Linger(Arc<AtomicBool>);

impl Linger {
    /// From now on.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The whole body.
pub(super) async fn read<B>(headers: &HeaderMap, mut body: B, max: u64, pace: Pace) -> Result<Bytes, Fault>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > max) {
        return Err(Fault::BodyTooLarge { max });
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Fault::EncodedBody);
    }
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0u64;
    let mut window_ends = Instant::now() + pace.window;
    let mut window_bytes = 0usize;
    loop {
        let Ok(frame) = timeout_at(window_ends, body.frame()).await else {
            if window_bytes < pace.bytes {
                return Err(Fault::BodyTooSlow);
            }
            window_ends = Instant::now() + pace.window;
            window_bytes = 0;
            continue;
        };
        let data = match frame {
            None => break,
            Some(Err(_)) => return Err(Fault::BodyBroken),
            // Trailers mean nothing to us.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        length += data.len() as u64;
        window_bytes += data.len();
        if length > max {
            return Err(Fault::BodyTooLarge { max });
        }
        // Most bodies are one frame, which is then the body as it is.
        match (first.take(), whole.is_empty()) {
            (None, true) => first = Some(data),
            (None, false) => whole.extend_from_slice(&data),
            (Some(before), _) => {
                let room = declared.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0).min(FIRST_ROOM_MAX);
                whole.reserve(room.max(before.len() + data.len()));
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}
