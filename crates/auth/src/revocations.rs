//! Sessions whose access tokens are void before they run out: in memory, so that a signed-out token is refused on the very next
//! request without asking the store. The rows of `_revocations` are what survives a restart and what other processes read.
//!
//! No clock decides what is void. A session counts its generations: each time its tokens are made void it begins another, and a token says of
//! which it is. A session that ended has none that is good. So a token of the same second, or of a node whose clock is ahead, is told apart.
//!
//! Bounded by itself: an entry lives as long as the last access token that it is about, and a moment for clocks that differ.

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use uuid::Uuid;

/// How much the clocks of two nodes may differ.
pub(crate) const SKEW_MICROS: i64 = 60_000_000;
/// The longest life of an access token that there can be: for sessions of which it is not known how long their tokens live.
pub(crate) const TOKEN_MICROS_MAX: i64 = 86_400_000_000;

/// A session's tokens that are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) session: Uuid,
    /// Tokens of generations below are void; `None`: all of them.
    pub(crate) below: Option<i64>,
    /// Microseconds: the last of them has run out, on every node.
    pub(crate) until: i64,
}

/// All of them that matter now.
#[derive(Default)]
pub(crate) struct Revocations(RwLock<FxHashMap<Uuid, Revocation>>);

impl Revocations {
    pub(crate) fn add(&self, all: impl IntoIterator<Item = Revocation>, now: i64) {
        let mut kept = self.0.write();
        kept.retain(|_, revocation| revocation.until > now);
        for revocation in all {
            let entry = kept.entry(revocation.session).or_insert(revocation);
            entry.below = entry.below.zip(revocation.below).map(|(one, two)| one.max(two));
            entry.until = entry.until.max(revocation.until);
        }
    }

    /// Whether a session's token of this generation is void.
    pub(crate) fn covers(&self, session: Uuid, generation: i64) -> bool {
        let kept = self.0.read();
        kept.get(&session).is_some_and(|revocation| revocation.below.is_none_or(|below| generation < below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_older_generations_only_and_forgets() {
        let all = Revocations::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        all.add([Revocation { session: one, below: Some(5), until: 100_000_000 }], 0);
        assert!(all.covers(one, 4) && !all.covers(one, 5) && !all.covers(two, 4));
        all.add([Revocation { session: one, below: Some(3), until: 50_000_000 }], 0);
        assert!(all.covers(one, 4), "an older revocation takes nothing back");
        all.add([Revocation { session: one, below: None, until: 60_000_000 }], 0);
        all.add([Revocation { session: one, below: Some(9), until: 60_000_000 }], 0);
        assert!(all.covers(one, 4) && all.covers(one, i64::MAX), "what ended does not begin again");
        all.add([], 100_000_000);
        assert!(!all.covers(one, 4));
    }
}
