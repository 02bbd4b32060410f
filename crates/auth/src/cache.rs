//! Tokens that were verified before: a signature costs tens of microseconds, looking here less than one.
//!
//! Kept by the whole token and compared in full: a hit is the same octets, so nothing is trusted that was not verified. The hash is
//! keyed afresh in each process (SipHash), so nobody can aim at a bucket. Bounded; what does not fit is verified again.

use crate::token::Verified;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

const SHARDS: usize = 16;
/// 8,192 tokens in all, of about two kilobytes with their claims.
const PER_SHARD: usize = 512;

pub(crate) struct Cache {
    hash: RandomState,
    shards: [RwLock<HashMap<Box<str>, Verified>>; SHARDS],
}

impl Default for Cache {
    fn default() -> Self {
        Cache { hash: RandomState::new(), shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl Cache {
    fn shard(&self, token: &str) -> &RwLock<HashMap<Box<str>, Verified>> {
        // The signature alone picks the shard: the map hashes the rest anyway.
        let tail = token.len().saturating_sub(16);
        let hash = self.hash.hash_one(&token.as_bytes()[tail..]);
        &self.shards[hash as usize % SHARDS]
    }

    pub(crate) fn get(&self, token: &str) -> Option<Verified> {
        self.shard(token).read().get(token).cloned()
    }

    /// Keeps a token; `now` in seconds.
    pub(crate) fn keep(&self, token: &str, verified: Verified, now: i64) {
        let mut shard = self.shard(token).write();
        if shard.len() >= PER_SHARD {
            shard.retain(|_, kept| kept.expires_at > now);
        }
        if shard.len() >= PER_SHARD {
            // A quarter goes, whichever: the map's order is random enough, and each costs one verification.
            let mut position = 0;
            shard.retain(|_, _| {
                position += 1;
                position % 4 != 0
            });
        }
        shard.insert(token.into(), verified);
    }

    /// Forgets everything: the keys changed.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.write().clear();
        }
    }
}
