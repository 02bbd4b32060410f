//! Folding the write-ahead log into the database's file, on a thread of its own: a write does not wait for it. Only the last step,
//! the log's beginning anew, is the writer's, between two groups, when it disturbs nobody and little is left to fold.

use crate::connection::{Location, Purpose};
use crate::readers::Readers;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// Pages in the log after which it is worth folding: 4 MiB.
const FOLD_PAGES: i32 = 1_000;

/// Pages after which the log is made to begin anew: 32 MiB. Under steady writing it never does by itself, because there is always a
/// page that came while the others were folded.
const CUT_PAGES: i32 = 8_000;

/// How long the writer waits for readers to let go of the log.
const CUT_WAIT_MAX: Duration = Duration::from_millis(3);

/// How often to look without being called.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The log's size, as the writer tells it.
#[derive(Default)]
pub(crate) struct Log {
    pages: AtomicI32,
    folded: AtomicI32,
    cut: AtomicBool,
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    closed: bool,
}

impl Log {
    /// After each commit: so many pages are in the log.
    pub(crate) fn grown(&self, pages: i32) {
        self.pages.store(pages, Ordering::Relaxed);
        let folded = self.folded.load(Ordering::Relaxed);
        if pages < folded {
            // The log began anew.
            self.folded.store(0, Ordering::Relaxed);
        } else if pages - folded >= FOLD_PAGES {
            self.state.lock().wanted = true;
            self.called.notify_one();
        }
    }

    /// Pages in the log.
    pub(crate) fn pages(&self) -> i32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Makes the log begin anew if it is time. For the writer, between two groups; gives up soon when readers are in the way.
    pub(crate) fn cut(&self, connection: &Connection, readers: &Readers) -> rusqlite::Result<()> {
        if !self.cut.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        readers.let_go();
        let patience = connection.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0))?;
        connection.busy_timeout(CUT_WAIT_MAX)?;
        let outcome = fold(connection, "RESTART");
        connection.busy_timeout(Duration::from_millis(u64::from(patience)))?;
        outcome.map(|_| ())
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.called.notify_one();
    }

    /// The thread's work.
    pub(crate) fn run(self: Arc<Self>, location: &Location, readers: &Readers) {
        let mut connection = None;
        let mut seen = 0;
        loop {
            {
                let mut state = self.state.lock();
                if !state.wanted && !state.closed {
                    self.called.wait_for(&mut state, LOOK_EVERY);
                }
                if state.closed {
                    return;
                }
                state.wanted = false;
            }
            readers.let_go();
            let pages = self.pages();
            if pages == seen {
                continue;
            }
            if connection.is_none() {
                connection = location.open(Purpose::Checkpoint).ok();
            }
            let Some(open) = &connection else { continue };
            let outcome = fold(open, "PASSIVE");
            match outcome {
                Ok(folded) => {
                    seen = pages;
                    self.folded.store(folded, Ordering::Relaxed);
                    if pages >= CUT_PAGES {
                        self.cut.store(true, Ordering::Relaxed);
                    }
                }
                // What failed is tried again with a new connection; the log only grows meanwhile.
                Err(_) => connection = None,
            }
        }
    }
}

/// Runs a checkpoint and gives how many pages of the log are in the file now.
fn fold(connection: &Connection, mode: &str) -> rusqlite::Result<i32> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(2))
}
