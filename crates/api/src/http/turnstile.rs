//! Too much to do: who begins now, who waits, and who is told at once to come again.
//!
//! Without this, a server that gets more requests than it can answer queues them where nobody sees: each connection's task waits for its
//! turn on a worker thread, every answer is as late as the queue is long, and a probe of health waits behind them all. So a task looks
//! how late tasks run ([`Turnstile::watch`]). While they run in time, a request passes here with one look at a flag. When they do not,
//! requests that were read and understood wait here instead, in the order in which they came, and a few at a time begin; reading
//! requests, refusing some and answering probes goes on between them. What begins gives its turn on when it first waits for something
//! else: what this shares out is the processor, not the database, which has queues of its own.
//!
//! The rule for refusing is that of a controlled delay (Maurer, "Fail at Scale", ACM Queue 13 (8), 2015; RFC 8289 for packets): a queue
//! that was empty a moment ago is a burst and is worked off; one that stands takes nobody in while its oldest has waited for
//! [`PATIENCE`]. A queue of few is never long: so many clients that each wait for their answer are no overload.
//!
//! Absent: shares for clients (connections per address are counted where they are accepted), and priorities beyond probes.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a request waits while the queue stands.
const PATIENCE: Duration = Duration::from_millis(30);
/// A queue that was not empty for this long stands.
const STANDS: Duration = Duration::from_millis(250);
/// Requests for each worker thread that may wait however long it takes.
const FEW: usize = 16;
/// Most that wait. Each has its whole body.
const WAITING_MAX: usize = 4_096;
/// How long a worker thread works on requests before it looks at what came meanwhile.
const STRETCH: Duration = Duration::from_millis(3);
/// Requests for each worker thread that have begun and not yet waited for anything, whatever they take.
const TURNS_MIN: u32 = 1;
const TURNS_MAX: u32 = 64;
/// How fast the notion of what a request takes follows what requests take: by this part of the difference.
const FOLLOW: i64 = 16;

/// How often it is looked how late tasks run while there is something to do, and while there is not.
const LOOK: Duration = Duration::from_millis(10);
const GLANCE: Duration = Duration::from_millis(100);
/// Tasks that run later than this are late. Timers are as coarse as a millisecond.
const LATE: Duration = Duration::from_millis(5);
/// So many looks without lateness end it.
const IN_TIME: u32 = 20;

/// Where requests wait for their turn on the processor. See the module.
#[derive(Debug)]
pub(super) struct Turnstile {
    late: AtomicBool,
    workers: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begun: usize,
    /// What a request takes of the processor before it first waits, in nanoseconds.
    takes: i64,
    waiting: VecDeque<Waiting>,
    /// When nobody waited.
    empty: Instant,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Dropped when there will be no turn.
    turn: oneshot::Sender<Turn>,
}

/// There is too much to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// A turn on the processor. Somebody else's when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    of: Arc<Turnstile>,
    since: Option<Instant>,
}

impl Turnstile {
    /// For so many worker threads.
    pub(super) fn new(workers: usize) -> Arc<Turnstile> {
        let state = State { begun: 0, takes: 0, waiting: VecDeque::new(), empty: Instant::now() };
        Arc::new(Turnstile { late: AtomicBool::new(false), workers: workers.max(1), state: Mutex::new(state) })
    }

    /// Looks how late tasks run, for as long as it is polled: on a worker thread, where requests are.
    pub(super) async fn watch(self: Arc<Turnstile>) {
        let mut in_time = 0u32;
        let mut pause = GLANCE;
        loop {
            let due = Instant::now() + pause;
            tokio::time::sleep_until(due.into()).await;
            if due.elapsed() > LATE || !self.state.lock().waiting.is_empty() {
                in_time = 0;
                self.late.store(true, Ordering::Relaxed);
                pause = LOOK;
                continue;
            }
            in_time = in_time.saturating_add(1);
            if in_time == IN_TIME {
                self.late.store(false, Ordering::Relaxed);
                pause = GLANCE;
            }
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Whether a request that comes now is refused. Asked before its body is looked at, where it has none.
    pub(super) fn refuses(&self) -> bool {
        self.late.load(Ordering::Relaxed) && self.state.lock().is_long(self.workers, Instant::now())
    }

    /// A turn, waited for. `None`: there is no need of one.
    ///
    /// # Errors
    /// [`Refused`], at once or when the queue turned out to stand.
    pub(super) async fn enter(self: &Arc<Turnstile>) -> Result<Option<Turn>, Refused> {
        if !self.late.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut turn = match self.queue()? {
            Ok(turn) => turn,
            Err(coming) => coming.await.map_err(|_| Refused)?,
        };
        // What was read meanwhile is looked at first, so that reading, refusing and probes do not wait behind work.
        tokio::task::yield_now().await;
        turn.since = Some(Instant::now());
        Ok(Some(turn))
    }

    /// A turn, or a place in the queue.
    fn queue(self: &Arc<Turnstile>) -> Result<Result<Turn, oneshot::Receiver<Turn>>, Refused> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.begun < state.turns(self.workers) && state.waiting.is_empty() {
            state.begun += 1;
            state.empty = now;
            return Ok(Ok(self.turn()));
        }
        if state.is_long(self.workers, now) {
            return Err(Refused);
        }
        let (turn, coming) = oneshot::channel();
        state.waiting.push_back(Waiting { since: now, turn });
        Ok(Err(coming))
    }

    fn turn(self: &Arc<Turnstile>) -> Turn {
        Turn { of: self.clone(), since: None }
    }

    /// Takes a turn back, and gives turns to the next who may have them.
    fn pass(self: &Arc<Turnstile>, since: Option<Instant>) {
        let now = Instant::now();
        // Woken after the lock is given back.
        let (mut next, mut refused) = (Vec::new(), Vec::new());
        let mut state = self.state.lock();
        state.begun -= 1;
        if let Some(since) = since {
            let took = i64::try_from(now.duration_since(since).as_nanos()).unwrap_or(i64::MAX / FOLLOW);
            state.takes += (took - state.takes) / FOLLOW;
        }
        let turns = state.turns(self.workers);
        while state.begun < turns {
            let long = state.is_long(self.workers, now);
            let Some(first) = state.waiting.pop_front() else { break };
            match long {
                _ if first.turn.is_closed() => {}
                true => refused.push(first),
                false => {
                    state.begun += 1;
                    next.push(first);
                }
            }
        }
        if state.waiting.is_empty() {
            state.empty = now;
        }
        drop(state);
        drop(refused);
        for next in next {
            // Whoever left in this moment lets the turn fall, and it comes back here.
            let _ = next.turn.send(self.turn());
        }
    }
}

impl State {
    /// How many may have begun.
    fn turns(&self, workers: usize) -> usize {
        let stretch = i64::try_from(STRETCH.as_nanos()).unwrap_or(i64::MAX);
        let turns = u32::try_from(stretch / self.takes.max(1)).unwrap_or(TURNS_MAX);
        workers * turns.clamp(TURNS_MIN, TURNS_MAX) as usize
    }

    /// Whether the queue stands, its oldest has waited for long, and it is not of few.
    fn is_long(&self, workers: usize, now: Instant) -> bool {
        let oldest = self.waiting.front().is_some_and(|oldest| now.duration_since(oldest.since) > PATIENCE);
        let stands = now.duration_since(self.empty) > STANDS;
        (self.waiting.len() >= workers * FEW && oldest && stands) || self.waiting.len() >= WAITING_MAX
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.pass(self.since);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt;

    fn late(workers: usize) -> Arc<Turnstile> {
        let turnstile = Turnstile::new(workers);
        turnstile.late.store(true, Ordering::Relaxed);
        turnstile
    }

    /// Lets time have passed since the queue was empty and since each came.
    fn age(turnstile: &Turnstile, stood: Duration, waited: Duration) {
        let mut state = turnstile.state.lock();
        state.empty = state.empty.checked_sub(stood).unwrap();
        for waiting in &mut state.waiting {
            waiting.since = waiting.since.checked_sub(waited).unwrap();
        }
    }

    async fn turns(turnstile: &Arc<Turnstile>, number: usize) -> Vec<Turn> {
        let mut turns = Vec::new();
        for _ in 0..number {
            turns.push(turnstile.enter().await.unwrap().unwrap());
        }
        turns
    }

    fn wait(turnstile: &Arc<Turnstile>, number: usize) -> Vec<oneshot::Receiver<Turn>> {
        (0..number).map(|_| turnstile.queue().unwrap().unwrap_err()).collect()
    }

    #[tokio::test]
    async fn nobody_waits_while_tasks_run_in_time() {
        let turnstile = Turnstile::new(1);
        for _ in 0..10_000 {
            assert!(turnstile.enter().await.unwrap().is_none());
        }
        assert!(!turnstile.refuses());
    }

    #[tokio::test]
    async fn turns_are_given_on_in_order_and_come_back_from_those_who_left() {
        let turnstile = late(1);
        let begun = turns(&turnstile, TURNS_MAX as usize).await;
        let mut waiting = wait(&turnstile, 3);
        assert!(waiting.iter_mut().all(|coming| coming.now_or_never().is_none()));
        // The first one leaves.
        drop(waiting.remove(0));
        let mut begun = begun.into_iter();
        drop(begun.next());
        let first = (&mut waiting[0]).now_or_never().unwrap().unwrap();
        assert!((&mut waiting[1]).now_or_never().is_none());
        // Given, and never taken: the next one has it.
        drop((first, begun.next()));
        drop(waiting);
        drop(begun);
        let state = turnstile.state.lock();
        assert_eq!((state.begun, state.waiting.len()), (0, 0));
    }

    #[tokio::test]
    async fn longer_works_begin_in_smaller_numbers() {
        let turnstile = late(2);
        turnstile.state.lock().takes = 1_000_000;
        let begun = turns(&turnstile, 6).await;
        assert!(turnstile.queue().unwrap().is_err());
        // Work of a second each.
        turnstile.state.lock().takes = 1_000_000_000;
        let _waiting = wait(&turnstile, 3);
        drop(begun);
        assert_eq!(turnstile.state.lock().begun, 2, "one for each worker");
    }

    #[tokio::test]
    async fn a_queue_is_long_when_it_is_of_many_and_old_and_stands() {
        let (long, short) = (Duration::from_secs(1), Duration::ZERO);
        let check = async |few: bool, stood, waited, expected: bool| {
            let turnstile = late(2);
            let _begun = turns(&turnstile, 2 * TURNS_MAX as usize).await;
            let _waiting = wait(&turnstile, 2 * FEW - usize::from(few));
            age(&turnstile, stood, waited);
            assert_eq!(turnstile.refuses(), expected, "few: {few}, stood {stood:?}, waited {waited:?}");
            assert_eq!(turnstile.queue().is_err(), expected);
        };
        check(false, long, long, true).await;
        check(true, long, long, false).await;
        check(false, short, long, false).await;
        check(false, long, short, false).await;
    }

    #[tokio::test]
    async fn who_waited_too_long_is_refused_and_those_behind_come_sooner() {
        let turnstile = late(1);
        let begun = turns(&turnstile, TURNS_MAX as usize).await;
        let mut old = wait(&turnstile, FEW);
        age(&turnstile, Duration::from_secs(1), Duration::from_secs(1));
        // Still within the burst's time when they came.
        turnstile.state.lock().empty = Instant::now();
        let mut young = wait(&turnstile, FEW);
        age(&turnstile, Duration::from_secs(1), Duration::ZERO);
        drop(begun);
        assert!((&mut old[0]).now_or_never().unwrap().is_err(), "refused");
        assert!((&mut young[0]).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn there_is_an_end_to_waiting_in_number() {
        let turnstile = late(1);
        let _begun = turns(&turnstile, TURNS_MAX as usize).await;
        let _waiting = wait(&turnstile, WAITING_MAX);
        assert_eq!(turnstile.queue().unwrap_err(), Refused);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_watch_sees_a_thread_that_is_kept_busy_and_sees_it_end() {
        let turnstile = Turnstile::new(1);
        let watch = tokio::spawn(turnstile.clone().watch());
        let busy = turnstile.clone();
        let kept = tokio::spawn(async move {
            while !busy.late.load(Ordering::Relaxed) {
                std::thread::sleep(4 * LATE);
                tokio::task::yield_now().await;
            }
        });
        kept.await.unwrap();
        while turnstile.late.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
        watch.abort();
    }
}
