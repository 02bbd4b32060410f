//! Snapshots that follow each other closely on one connection are one snapshot, as long as nothing was committed since it was begun.
//! Beginning and ending one costs SQLite two system calls and a look at the log's index: more than reading a row by its key.
//!
//! Nothing is read that is older than the read's own beginning, so far as this process writes: the writer's commits are announced before
//! they can be seen, and while one is under way no snapshot is shared (decision 0023). What other processes commit is seen at most
//! [`SHARED_TIME_MAX`] late, so an application with adopted tables, which others are expected to write, shares none
//! ([`undergird_store::sql::ReadStatements::shared`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one snapshot may serve. Long enough for tens of reads under load, too short to be in the way of the log's folding.
pub(crate) const SHARED_TIME_MAX: Duration = Duration::from_millis(1);

/// Counts commits: odd while one may be under way.
#[derive(Debug, Default)]
pub(crate) struct Commits(AtomicU64);

impl Commits {
    /// From now until the guard is dropped, something may become visible. There is one writer, so there is one guard.
    pub(crate) fn begin(&self) -> Committing<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Committing(self)
    }

    /// A number that is another at each beginning and each end of one.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether none was under way when that was the count.
    pub(crate) fn is_at_rest(count: u64) -> bool {
        count.is_multiple_of(2)
    }

    /// How many commits there were; `None` while one may be under way.
    fn at_rest(&self) -> Option<u64> {
        Some(self.count()).filter(|count| Commits::is_at_rest(*count))
    }
}

/// A commit that may be under way.
#[derive(Debug)]
pub(crate) struct Committing<'a>(&'a Commits);

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a read does about its connection's snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Reads in the one that is open.
    Share,
    /// Ends the one that is open, if any, and begins one that stays open for the next read.
    Begin,
    /// Ends the one that is open, if any, and has one of its own.
    Alone,
}

/// What one connection keeps open.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    open: Option<Point>,
    last: Option<Point>,
}

/// The state of the database that a snapshot shows, and when it was begun.
#[derive(Clone, Copy, Debug)]
struct Point {
    commits: u64,
    at: Instant,
}

impl Point {
    fn is_as_good(&self, commits: u64, now: Instant) -> bool {
        self.commits == commits && now.saturating_duration_since(self.at) < SHARED_TIME_MAX
    }
}

impl Shared {
    /// What the read that comes now does. A snapshot is begun to stay when the read before came shortly before and nothing was committed
    /// between: then the next is likely to share it. So a quiet server keeps none open.
    pub(crate) fn next(&mut self, commits: &Commits, now: Instant) -> Next {
        let Some(commits) = commits.at_rest() else {
            self.last = None;
            return Next::Alone;
        };
        let follows = self.last.is_some_and(|last| last.is_as_good(commits, now));
        self.last = Some(Point { commits, at: now });
        if self.open.is_some_and(|open| open.is_as_good(commits, now)) {
            Next::Share
        } else if follows {
            Next::Begin
        } else {
            Next::Alone
        }
    }

    /// The snapshot of [`Next::Begin`] was begun.
    pub(crate) fn begun(&mut self) {
        self.open = self.last;
    }

    /// Whether a snapshot is open; from now on none is.
    pub(crate) fn take(&mut self) -> bool {
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_until_a_commit_or_its_time() {
        let (commits, mut shared) = (Commits::default(), Shared::default());
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        assert_eq!(shared.next(&commits, at(0)), Next::Alone, "nobody was there before");
        assert_eq!(shared.next(&commits, at(10)), Next::Begin);
        shared.begun();
        assert_eq!(shared.next(&commits, at(20)), Next::Share);
        let committing = commits.begin();
        assert_eq!(shared.next(&commits, at(30)), Next::Alone, "what is being committed may be seen by others already");
        assert!(shared.take());
        drop(committing);
        assert_eq!(shared.next(&commits, at(40)), Next::Alone);
        assert_eq!(shared.next(&commits, at(50)), Next::Begin);
        shared.begun();
        drop(commits.begin());
        assert_eq!(shared.next(&commits, at(60)), Next::Alone, "it shows what was before the commit");
        shared.take();
        assert_eq!(shared.next(&commits, at(70)), Next::Begin);
        shared.begun();
        assert_eq!(shared.next(&commits, at(1_069)), Next::Share);
        assert_eq!(shared.next(&commits, at(1_070)), Next::Begin, "its time is over");
        shared.begun();
        assert_eq!(shared.next(&commits, at(5_000)), Next::Alone, "a quiet server keeps none");
    }
}
