//! Sessions whose access tokens are void before they run out: in memory, so that a signed-out token is refused on the very next
//! request without asking the store. The rows of `_revocations` are what survives a restart and what other processes read.
//!
//! Bounded by itself: an entry lives as long as an access token.

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use uuid::Uuid;

/// A session's tokens that are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) session: Uuid,
    /// Microseconds: tokens issued until then are void.
    pub(crate) before: i64,
    /// Microseconds: the last of them runs out.
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
            entry.before = entry.before.max(revocation.before);
            entry.until = entry.until.max(revocation.until);
        }
    }

    /// Whether a session's token, issued at that second, is void.
    pub(crate) fn covers(&self, session: Uuid, issued_at_seconds: i64) -> bool {
        let kept = self.0.read();
        // A token of the very second of the revocation may be older than it: void, since the other mistake lasts an hour.
        kept.get(&session).is_some_and(|revocation| issued_at_seconds <= revocation.before.div_euclid(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_older_tokens_only_and_forgets() {
        let all = Revocations::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        all.add([Revocation { session: one, before: 5_400_000, until: 100_000_000 }], 0);
        assert!(all.covers(one, 4) && all.covers(one, 5));
        assert!(!all.covers(one, 6) && !all.covers(two, 4));
        all.add([Revocation { session: one, before: 3_000_000, until: 50_000_000 }], 0);
        assert!(all.covers(one, 5), "an older revocation takes nothing back");
        all.add([], 100_000_000);
        assert!(!all.covers(one, 4));
    }
}
