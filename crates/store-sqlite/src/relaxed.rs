//! Relaxed durability: commits do not wait for the disk; a thread of its own puts the log there soon after.
//!
//! SQLite alone would leave it to the next folding of the log, which may be minutes away when little is written. A power cut takes
//! the end of the log, so writes are lost from some moment on and never in between; a kill of the process loses nothing.
//!
//! Absent: the same for other stores, whose servers have settings of their own for it.

use parking_lot::{Condvar, Mutex};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How old the oldest commit may get that is not on its way to the disk.
pub const RELAXED_MAX: Duration = Duration::from_millis(200);

/// Whether the log grew since it was last on disk.
#[derive(Default)]
pub(crate) struct Syncs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    grown: bool,
    closed: bool,
}

impl Syncs {
    /// After each commit.
    pub(crate) fn grown(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.grown, true) {
            self.changed.notify_one();
        }
    }

    /// Ends the thread. What it has not put on disk is there when the last connection closes.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// The thread's work.
    pub(crate) fn run(&self, log: &Path) {
        loop {
            {
                let mut state = self.state.lock();
                while !state.grown && !state.closed {
                    self.changed.wait(&mut state);
                }
                if !state.closed {
                    self.changed.wait_for(&mut state, RELAXED_MAX);
                }
                if state.closed {
                    return;
                }
                state.grown = false;
            }
            // The log has no locks of its own, so another descriptor of it may come and go.
            match File::open(log).and_then(|log| log.sync_data()) {
                Ok(()) => {}
                // Folded whole and removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::error!(%error, "the log could not be put on disk: a power cut would take it"),
            }
        }
    }
}
