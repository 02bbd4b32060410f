//! Budgets of attempts: so many at once, then one every so often (GCRA, the generic cell rate algorithm). Nobody is ever locked out
//! for good, and no memory grows: each budget is a table of fixed size.
//!
//! A key has two places in the table, found by two keyed hashes, and is refused only when both are spent (as a count-min sketch
//! reads its least count). Strangers' keys that fall on one place therefore do no harm; on both, one in millions.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const PLACES: usize = 1 << 15;

/// How much may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// So many at once …
    pub burst: u32,
    /// … then one each so often.
    pub every: Duration,
}

/// The allowances of an application. Only failures are counted against the first three; what succeeds has budgets of its own, wide enough that no
/// client meets them that keeps its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// Wrong passwords for one account from one address: what a forgetful owner or a simple guesser does.
    pub account_and_address: Allowance,
    /// Wrong passwords for one account from anywhere: guessing from many addresses.
    pub account: Allowance,
    /// Wrong passwords from one address for any account: spraying.
    pub address: Allowance,
    /// Sign-ups from one address.
    pub sign_ups: Allowance,
    /// Wrong codes of second factors for one account. There are a million codes, of which three are right: a guesser who has the
    /// password already needs some 160 days for an even chance at the usual rate.
    pub codes: Allowance,
    /// Mails to one recipient, whether somebody has the address or not.
    pub mails_to: Allowance,
    /// Mails that one address asks for.
    pub mails_from: Allowance,
    /// Wrong codes of mails for one recipient: there are a million of them, good for an hour at most.
    pub mail_codes: Allowance,
    /// Browsers that one address sends to providers, and that come back to it.
    pub departures: Allowance,
    /// Good passwords of one account: each costs as much as a wrong one, and whoever has one could keep everybody else waiting.
    pub good_passwords: Allowance,
    /// Changes of one account's password, also those that are refused because it would be the same: that answer is a guess at it.
    pub password_changes: Allowance,
    /// Challenges for one second factor.
    pub challenges: Allowance,
    /// Refreshes of one session.
    pub refreshes: Allowance,
}

impl Default for Allowances {
    fn default() -> Self {
        let allowance = |burst, seconds| Allowance { burst, every: Duration::from_secs(seconds) };
        Allowances {
            account_and_address: allowance(10, 30),
            account: allowance(100, 10),
            address: allowance(60, 5),
            sign_ups: allowance(1_000, 1),
            codes: allowance(5, 60),
            mails_to: allowance(5, 60),
            mails_from: allowance(100, 10),
            mail_codes: allowance(10, 30),
            departures: allowance(300, 1),
            good_passwords: allowance(200, 5),
            password_changes: allowance(10, 60),
            challenges: allowance(150, 10),
            refreshes: allowance(200, 30),
        }
    }
}

/// One budget for many keys.
pub(crate) struct Budget {
    allowance: Allowance,
    hashes: [RandomState; 2],
    /// Per place: when its bucket will be empty again, in microseconds.
    empty_at: Box<[AtomicI64]>,
}

impl Budget {
    pub(crate) fn new(allowance: Allowance) -> Budget {
        Budget {
            allowance,
            hashes: [RandomState::new(), RandomState::new()],
            empty_at: (0..PLACES).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    /// Takes one; or how long to wait. Taken before the attempt, so that parallel attempts cannot share one.
    pub(crate) fn take(&self, key: &impl Hash, now: i64) -> Result<(), Duration> {
        let waits = self.places(key).map(|place| take(place, self.step(), self.depth(), now));
        match waits {
            // One of the places had room: good enough, and the other is full anyway.
            [None, _] | [_, None] => Ok(()),
            [Some(one), Some(two)] => Err(Duration::from_micros(one.min(two).unsigned_abs())),
        }
    }

    /// Gives one back: the attempt was good.
    pub(crate) fn give_back(&self, key: &impl Hash) {
        for place in self.places(key) {
            place.fetch_sub(self.step(), Ordering::Relaxed);
        }
    }

    fn step(&self) -> i64 {
        i64::try_from(self.allowance.every.as_micros()).unwrap_or(i64::MAX / 1_000_000)
    }

    fn depth(&self) -> i64 {
        self.step().saturating_mul(i64::from(self.allowance.burst))
    }

    fn places(&self, key: &impl Hash) -> [&AtomicI64; 2] {
        [0, 1].map(|which: usize| &self.empty_at[self.hashes[which].hash_one(key) as usize % PLACES])
    }
}

/// Takes one step at a place; or how long until there is room.
fn take(place: &AtomicI64, step: i64, depth: i64, now: i64) -> Option<i64> {
    let mut wait = 0;
    let taken = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
        // No bucket is fuller than full: a clock that was set back must not lock anybody out until it is where it was.
        let after = empty_at.max(now).min(now.saturating_add(depth)).saturating_add(step);
        wait = after.saturating_sub(now).saturating_sub(depth);
        (wait <= 0).then_some(after)
    });
    taken.is_err().then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(Allowance { burst: 3, every: Duration::from_secs(10) })
    }

    #[test]
    fn so_many_at_once_then_one_every_so_often() {
        let budget = budget();
        let second = 1_000_000;
        for _ in 0..3 {
            assert_eq!(budget.take(&"ann", 0), Ok(()));
        }
        assert_eq!(budget.take(&"ann", 0), Err(Duration::from_secs(10)));
        assert_eq!(budget.take(&"bob", 0), Ok(()), "another key has its own");
        assert_eq!(budget.take(&"ann", 9 * second), Err(Duration::from_secs(1)));
        assert_eq!(budget.take(&"ann", 10 * second), Ok(()));
        assert_eq!(budget.take(&"ann", 10 * second), Err(Duration::from_secs(10)));
        assert_eq!(budget.take(&"ann", 1_000 * second), Ok(()), "never for good");
        assert_eq!(budget.take(&"ann", 0), Err(Duration::from_secs(10)), "a clock set back costs one step");
    }

    #[test]
    fn good_attempts_cost_nothing() {
        let budget = budget();
        for _ in 0..100 {
            assert_eq!(budget.take(&"ann", 0), Ok(()));
            budget.give_back(&"ann");
        }
    }

    #[test]
    fn a_thousand_spent_keys_spend_no_other() {
        let budget = budget();
        for stranger in 0..1_000 {
            while budget.take(&stranger, 0).is_ok() {}
        }
        let refused = (2_000..4_000).filter(|key: &i32| budget.take(key, 0).is_err()).count();
        assert!(refused < 40, "{refused} of 2,000 innocents refused");
    }
}
