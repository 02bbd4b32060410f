//! Request ids: what a person quotes to find the log lines of an answer. Never taken from the client: whoever chooses ids can make
//! two requests look like one.

use http::HeaderValue;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// 24 hexadecimal digits: 8 of the process, 16 of the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 24]);

/// Gives out ids that do not repeat within a process, and do not follow one another visibly.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    seed: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// From random bits.
    pub fn new(entropy: u128) -> RequestIds {
        RequestIds { process: (entropy >> 96) as u32, seed: entropy as u64, next: AtomicU64::new(0) }
    }

    /// The next one.
    pub fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // SplitMix64's finalizer is a bijection: distinct numbers give distinct ids.
        let mut mixed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let mut text = [0u8; 24];
        let bytes = self.process.to_be_bytes().into_iter().chain(mixed.to_be_bytes());
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        RequestId(text)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl RequestId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        // Only hexadecimal digits are ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As the value of `X-Request-Id`.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
