//! Whose turn it is, among the transactions of one process that must not conflict: a transaction to which others came first runs alone
//! the next time.
//!
//! Where many want the same rows, or the same page of an index, running again and again with pauses between does not end: everybody
//! is in everybody's way each time. One after the other they all succeed.
//!
//! It is a courtesy and not a lock: who has waited for his turn long enough goes without it, and the store's own isolation decides. So
//! a long transaction holds up nobody for long, and what other processes do cannot be waited for in vain.
//!
//! Absent: what a conflict is, and how often work is run again; each store knows that of itself.

use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::timeout_at;

/// How long the first run waits for those that run alone.
const FIRST_WAITS: Duration = Duration::from_millis(250);
/// How long a later run waits to be alone, for each time that others came first.
const LATER_WAITS: Duration = Duration::from_millis(1_000);
/// So often others may come first until a transaction runs alone.
const ALONE_AFTER: u32 = 1;

/// The turns of one process on one database.
#[derive(Debug, Default)]
pub struct Turns(RwLock<()>);

/// One's turn, until it is dropped.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub enum Turn<'t> {
    /// With others.
    Together(RwLockReadGuard<'t, ()>),
    /// Alone.
    Alone(RwLockWriteGuard<'t, ()>),
    /// Unasked, after a long wait.
    Anyway,
}

impl Turns {
    /// Waits for the turn of a transaction to which others came first so often, in order of asking.
    pub async fn take(&self, conflicts: u32, deadline: Instant) -> Turn<'_> {
        let until = |wait: Duration| deadline.min(Instant::now() + wait).into();
        if conflicts < ALONE_AFTER {
            return match timeout_at(until(FIRST_WAITS), self.0.read()).await {
                Ok(turn) => Turn::Together(turn),
                Err(_) => Turn::Anyway,
            };
        }
        match timeout_at(until(LATER_WAITS * conflicts), self.0.write()).await {
            Ok(turn) => Turn::Alone(turn),
            Err(_) => Turn::Anyway,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn first_runs_go_together_and_later_ones_alone() {
        let turns = Turns::default();
        let first = turns.take(0, soon()).await;
        let second = turns.take(0, soon()).await;
        assert!(matches!((&first, &second), (Turn::Together(_), Turn::Together(_))));
        drop((first, second));
        let alone = turns.take(ALONE_AFTER, soon()).await;
        assert!(matches!(alone, Turn::Alone(_)));
        drop(alone);
        assert!(matches!(turns.take(0, soon()).await, Turn::Together(_)));
    }

    /// Nobody is held up for ever by somebody who does not end.
    #[tokio::test(start_paused = true)]
    async fn who_waited_long_enough_goes_anyway() {
        let turns = Turns::default();
        let long = turns.take(0, soon()).await;
        assert!(matches!(turns.take(ALONE_AFTER, soon()).await, Turn::Anyway));
        drop(long);
        let long = turns.take(ALONE_AFTER, soon()).await;
        assert!(matches!(turns.take(0, soon()).await, Turn::Anyway));
        assert!(matches!(turns.take(ALONE_AFTER + 1, soon()).await, Turn::Anyway));
        drop(long);
        let over = Instant::now();
        let _other = turns.take(0, soon()).await;
        assert!(matches!(turns.take(ALONE_AFTER, over).await, Turn::Anyway), "a deadline is no longer than it is");
    }
}
