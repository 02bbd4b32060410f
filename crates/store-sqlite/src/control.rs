//! What stops a statement: its deadline, or that nobody waits for it any more. Asked by SQLite every thousand or so of its steps.

use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// Stands for "no deadline".
const NEVER: u64 = u64::MAX;

const RUNNING: u8 = 0;
const LATE: u8 = 1;
const ABANDONED: u8 = 2;

/// Why a statement was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Its time was up.
    Late,
    /// Nobody waits for it.
    Abandoned,
}

/// What one connection's statements are stopped by.
pub(crate) struct Control {
    epoch: Instant,
    /// Nanoseconds after the epoch.
    deadline: AtomicU64,
    abandoned: Mutex<Option<Arc<AtomicBool>>>,
    stopped: AtomicU8,
}

impl Control {
    /// A control that has its connection's ear.
    pub(crate) fn attach(connection: &mut Connection) -> rusqlite::Result<Arc<Control>> {
        let control = Arc::new(Control {
            epoch: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            abandoned: Mutex::new(None),
            stopped: AtomicU8::new(RUNNING),
        });
        let asked = Arc::clone(&control);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || asked.must_stop()))?;
        Ok(control)
    }

    /// From now on statements stop at the deadline, or when the flag is set.
    pub(crate) fn begin(&self, deadline: Instant, abandoned: Option<Arc<AtomicBool>>) {
        let nanos = deadline.saturating_duration_since(self.epoch).as_nanos();
        self.deadline.store(u64::try_from(nanos).unwrap_or(NEVER), Ordering::Relaxed);
        self.stopped.store(RUNNING, Ordering::Relaxed);
        *self.abandoned.lock() = abandoned;
    }

    /// From now on nothing stops: what commits must not be interrupted.
    pub(crate) fn end(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
        *self.abandoned.lock() = None;
    }

    /// Why the last statement was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        match self.stopped.load(Ordering::Relaxed) {
            LATE => Some(Stopped::Late),
            ABANDONED => Some(Stopped::Abandoned),
            _ => None,
        }
    }

    fn must_stop(&self) -> bool {
        if self.abandoned.lock().as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            self.stopped.store(ABANDONED, Ordering::Relaxed);
            return true;
        }
        let deadline = self.deadline.load(Ordering::Relaxed);
        if deadline != NEVER && self.epoch.elapsed().as_nanos() > u128::from(deadline) {
            self.stopped.store(LATE, Ordering::Relaxed);
            return true;
        }
        false
    }
}
