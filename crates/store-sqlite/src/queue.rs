//! A bounded queue between callers and a thread. It never makes a caller wait: what does not fit is given back.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;

/// See the module.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too much is waiting.
    Full,
    /// Nothing is taken any more.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(most: usize) -> Queue<T> {
        Queue { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), changed: Condvar::new(), most }
    }

    /// Adds something, or gives it back.
    pub(crate) fn push(&self, item: T) -> Result<(), (Refused, T)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((Refused::Closed, item));
        }
        if state.waiting.len() >= self.most {
            return Err((Refused::Full, item));
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next, waited for. `None` when the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(item) = state.waiting.pop_front() {
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
        if state.waiting.front().is_some_and(wanted) { state.waiting.pop_front() } else { None }
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
