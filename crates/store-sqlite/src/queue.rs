//! A bounded queue between callers and a thread. It never makes a caller wait: what does not fit is given back.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Never more.
    pub(crate) most: usize,
    /// So much may wait however old it gets.
    pub(crate) few: usize,
    /// When more than that waits, and the oldest for longer than this, nothing is added: it would come too late to be of use.
    pub(crate) patience: Duration,
}

/// See the module.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    room: Room,
}

struct State<T> {
    waiting: VecDeque<(Instant, T)>,
    closed: bool,
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too much is waiting, or for too long.
    Full,
    /// Nothing is taken any more.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(room: Room) -> Queue<T> {
        Queue { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), changed: Condvar::new(), room }
    }

    /// Adds something, or gives it back.
    pub(crate) fn push(&self, item: T) -> Result<(), (Refused, T)> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.closed {
            return Err((Refused::Closed, item));
        }
        let Room { most, few, patience } = self.room;
        let old = state.waiting.front().is_some_and(|(since, _)| now.duration_since(*since) > patience);
        if state.waiting.len() >= most || (old && state.waiting.len() >= few) {
            return Err((Refused::Full, item));
        }
        state.waiting.push_back((now, item));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Adds something before all that waits, also where nothing else is taken for want of room: for what is short, rare and asked for by
    /// those who look after the server. Gives it back when nothing is taken any more.
    pub(crate) fn push_first(&self, item: T) -> Result<(), (Refused, T)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((Refused::Closed, item));
        }
        state.waiting.push_front((Instant::now(), item));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next, waited for. `None` when the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some((_, item)) = state.waiting.pop_front() {
                return Some(item);
            }
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// The next, if there is one already and it is as wanted.
    pub(crate) fn pop_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.state.lock();
        let first = state.waiting.front().is_some_and(|(_, item)| wanted(item));
        if first { state.waiting.pop_front().map(|(_, item)| item) } else { None }
    }

    /// Takes no more; what waits is still given out.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}
