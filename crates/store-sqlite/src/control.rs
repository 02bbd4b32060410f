//! What stops a statement: its deadline, or that nobody waits for it any more. Asked by SQLite every thousand or so of its steps.

use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// Looks that a short statement may take when it also takes longer than [`SHORT_TIME`]. Steps rather than time alone, because on a
/// busy machine even the shortest statement may be kept waiting for a core.
const SHORT_LOOKS: u32 = 50;

/// See [`SHORT_LOOKS`].
const SHORT_TIME: Duration = Duration::from_millis(2);

/// How long a statement may keep the caller's thread whatever the reason.
const SHORT_TIME_MAX: Duration = Duration::from_millis(50);

/// Stands for "no deadline".
const NEVER: u64 = u64::MAX;

const RUNNING: u8 = 0;
const LATE: u8 = 1;
const ABANDONED: u8 = 2;
const LONG: u8 = 3;
const SLOW: u8 = 4;

/// Why a statement was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Its time was up.
    Late,
    /// Nobody waits for it.
    Abandoned,
    /// It was to be short and does much.
    Long,
    /// It was to be short and took long, without doing much: the machine or the disk is busy.
    Slow,
}

/// What one connection's statements are stopped by.
pub(crate) struct Control {
    epoch: Instant,
    /// Nanoseconds after the epoch.
    deadline: AtomicU64,
    /// Until when the statement may keep its thread, in nanoseconds after the epoch, when it is to be short.
    short: AtomicU64,
    looks: AtomicU32,
    abandoned: Mutex<Option<Arc<AtomicBool>>>,
    stopped: AtomicU8,
}

impl Control {
    /// A control that has its connection's ear.
    pub(crate) fn attach(connection: &mut Connection) -> rusqlite::Result<Arc<Control>> {
        let control = Arc::new(Control {
            epoch: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            short: AtomicU64::new(NEVER),
            looks: AtomicU32::new(0),
            abandoned: Mutex::new(None),
            stopped: AtomicU8::new(RUNNING),
        });
        let asked = Arc::clone(&control);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || asked.must_stop()))?;
        Ok(control)
    }

    /// From now on statements stop at the deadline, or when the flag is set.
    pub(crate) fn begin(&self, deadline: Instant, abandoned: Option<Arc<AtomicBool>>) {
        self.deadline.store(self.nanos(deadline), Ordering::Relaxed);
        self.short.store(NEVER, Ordering::Relaxed);
        self.looks.store(0, Ordering::Relaxed);
        self.stopped.store(RUNNING, Ordering::Relaxed);
        *self.abandoned.lock() = abandoned;
    }

    /// From now on statements stop at the deadline, or when they turn out not to be short.
    pub(crate) fn begin_short(&self, now: Instant, deadline: Instant) {
        self.begin(deadline, None);
        self.short.store(self.nanos(now + SHORT_TIME), Ordering::Relaxed);
    }

    fn nanos(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(NEVER)
    }

    /// Whether what ran since [`Control::begin`] would have been short enough for the caller's thread.
    pub(crate) fn was_short(&self) -> bool {
        self.looks.load(Ordering::Relaxed) <= SHORT_LOOKS
    }

    /// From now on nothing stops: what commits must not be interrupted.
    pub(crate) fn end(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
        self.short.store(NEVER, Ordering::Relaxed);
        *self.abandoned.lock() = None;
    }

    /// Why the last statement was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        match self.stopped.load(Ordering::Relaxed) {
            LATE => Some(Stopped::Late),
            ABANDONED => Some(Stopped::Abandoned),
            LONG => Some(Stopped::Long),
            SLOW => Some(Stopped::Slow),
            _ => None,
        }
    }

    fn must_stop(&self) -> bool {
        if self.abandoned.lock().as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            self.stopped.store(ABANDONED, Ordering::Relaxed);
            return true;
        }
        let looks = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(NEVER);
        let short = self.short.load(Ordering::Relaxed);
        let reason = if now > self.deadline.load(Ordering::Relaxed) {
            LATE
        } else if now <= short {
            return false;
        } else if looks > SHORT_LOOKS {
            LONG
        } else if now - short > SHORT_TIME_MAX.as_nanos() as u64 {
            SLOW
        } else {
            return false;
        };
        self.stopped.store(reason, Ordering::Relaxed);
        true
    }
}
