//! How long work waits for a connection, and how many may wait: for stores with a pool of them.
//!
//! Absent: the connections, and whose turn it is; who waits first is served first, which is the pool's to see to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long a connection is waited for at least when another was lost: a server that is there has made one by then.
const AFTER_LOSS: Duration = Duration::from_millis(250);

/// How long a piece of work waits for connections, one after the other: what it spent on one that was lost is no reason to wait anew for
/// the next, or the times of a server that is gone add up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    most: Duration,
    until: Instant,
}

impl Patience {
    /// Of work that begins, and waits for so long at most.
    pub fn new(most: Duration) -> Patience {
        Patience { most, until: Instant::now() + most }
    }

    /// When it ends.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// The database has answered, so it is there: the next connection is waited for as the first was.
    pub fn anew(&mut self) {
        self.until = Instant::now() + self.most;
    }

    /// A connection was lost, or time went by for another reason: there is what is left, and a moment at least.
    pub fn after_loss(&mut self) {
        self.until = self.until.max(Instant::now() + AFTER_LOSS);
    }
}

/// How many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Never more.
    pub most: usize,
    /// So many however old their wait gets.
    pub few: usize,
    /// When more than that wait, and the first of them for longer than this, nobody else is let in: it would be served too late to be of use.
    pub patience: Duration,
}

/// Those who wait.
#[derive(Debug)]
pub struct Waiters {
    room: Room,
    state: Mutex<State>,
}

/// Since when, by number; the lowest came first.
#[derive(Debug, Default)]
struct State {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

/// A place among those who wait, until it is dropped.
#[derive(Debug)]
#[must_use = "the place is given up when this is dropped"]
pub struct Waiter<'w> {
    of: &'w Waiters,
    number: u64,
}

impl Waiters {
    /// With so much room.
    pub fn new(room: Room) -> Waiters {
        Waiters { room, state: Mutex::default() }
    }

    /// A place, where there is room.
    pub fn enter(&self) -> Option<Waiter<'_>> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Room { most, few, patience } = self.room;
        let count = state.since.len();
        let old = state.since.values().next().is_some_and(|since| now.duration_since(*since) > patience);
        if count >= most || (old && count >= few) {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.since.insert(number, now);
        Some(Waiter { of: self, number })
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).since.len()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.of.state.lock().unwrap_or_else(PoisonError::into_inner).since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::thread::sleep;

    #[test]
    fn times_do_not_add_up() {
        let most = Duration::from_secs(2);
        let began = Instant::now();
        let mut patience = Patience::new(most);
        let first = patience.until();
        assert!(first >= began + most);
        sleep(Duration::from_millis(20));
        patience.after_loss();
        assert_eq!(patience.until(), first, "there was enough left");
        patience.anew();
        assert!(patience.until() > first);
        let mut short = Patience::new(Duration::ZERO);
        short.after_loss();
        assert!(short.until() >= Instant::now() + AFTER_LOSS - Duration::from_millis(50));
    }

    #[test]
    fn few_may_wait_for_long_and_many_only_while_it_is_short() {
        let waiters = Waiters::new(Room { most: 4, few: 2, patience: Duration::from_millis(30) });
        let mut places: Vec<_> = (0..4).map(|_| waiters.enter().unwrap()).collect();
        assert!(waiters.enter().is_none(), "never more than four");
        drop(places.pop());
        sleep(Duration::from_millis(40));
        assert!(waiters.enter().is_none(), "three, and the first waits for long");
        // The first goes, and with it what was old: but the others are as old.
        drop(places.remove(0));
        assert_eq!(waiters.count(), 2);
        assert!(waiters.enter().is_none());
        drop(places.remove(0));
        let fresh = waiters.enter().unwrap();
        assert!(waiters.enter().is_none(), "the first still waits for long");
        drop(places);
        let _third = waiters.enter().unwrap();
        let _fourth = waiters.enter().unwrap();
        drop(fresh);
        assert_eq!(waiters.count(), 2);
    }
}
