//! Transactions that run at the same time. How they interleave differs from store to store and from run to run, so what is compared is
//! not an answer but what must hold however it went: for serializable ones, that some order one after the other explains it.
//!
//! Sessions wait for each other at a [`Act::Meet`], so that a store that can interleave them does. A store that runs each transaction
//! at once, from beginning to end, cannot, and never waits.

use super::runner::{Planner, describe};
use super::transaction;
use super::{Definition, Step};
use crate::{Connection, Decision, Isolation, Prepared, Store, StoreError, Work, WorkAnswer};
use futures_util::future::{BoxFuture, join_all};
use futures_util::task::noop_waker_ref;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};
use undergird_model::Model;

/// How long one waits for the others: a lock that one of them holds may keep them from coming.
const WAIT_MAX: Duration = Duration::from_millis(300);

/// Sessions against each other.
pub(super) struct Race {
    pub(super) name: &'static str,
    /// The collection `things`.
    pub(super) definition: &'static str,
    /// Fills the table.
    fill: &'static [&'static str],
    sessions: &'static [Session],
    /// Read when all have ended.
    after: &'static str,
    /// Whether how they ended and what is there then can be; else why not.
    verdict: fn(&[Ended], &str) -> bool,
}

/// One transaction.
struct Session {
    isolation: Isolation,
    acts: &'static [Act],
}

enum Act {
    /// A request.
    Do(&'static str),
    /// A request, when the answer before was this one.
    When(&'static str, &'static str),
    /// Waits until every other session has come to as many of these, or has ended. Not when the store runs the work again.
    Meet,
    /// Ends the transaction without effect.
    Rollback,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ended {
    /// The answers of the last run, a conditional request's being empty when it was not made.
    answers: Vec<String>,
    /// `committed`, `rolled back` or an error.
    outcome: String,
}

impl Ended {
    fn committed(&self) -> bool {
        self.outcome == "committed"
    }

    /// Committed, or given up in favour of others.
    fn is_fair(&self) -> bool {
        self.committed() || self.outcome == "error conflict with another transaction"
    }
}

fn committed(ended: &[Ended]) -> usize {
    ended.iter().filter(|ended| ended.committed()).count()
}

const COUNTERS: &str = "key = [\"id\"]\n[fields]\nid = { type = \"int\" }\nn = { type = \"int\" }\n\
                        who = { type = \"text\", max = 20, optional = true }\nslug = { type = \"text\", max = 20, optional = true, unique = true }\n\
                        up_id = { type = \"ref\", to = \"things\", optional = true }\n";

/// The database numbers the rows.
const NUMBERED: &str = "[fields]\nid = { type = \"int\" }\nn = { type = \"int\" }\n";

const ADD_ONE: &[Act] =
    &[Act::Do("GET things?select=n&id=eq.1"), Act::Meet, Act::When("[{\"n\":0}]", "PATCH things?id=eq.1 {\"n\": 1}")];
const ADD_ONE_MORE: &[Act] = &[
    Act::Do("GET things?select=n&id=eq.1"),
    Act::Meet,
    Act::When("[{\"n\":0}]", "PATCH things?id=eq.1 {\"n\": 1}"),
    Act::When("[{\"n\":1}]", "PATCH things?id=eq.1 {\"n\": 2}"),
    Act::When("[{\"n\":2}]", "PATCH things?id=eq.1 {\"n\": 3}"),
];
const TAKE: &[Act] = &[Act::Meet, Act::Do("PATCH things?id=eq.1&n=eq.0 {\"n\": 1}")];
const INSERT_SLUG: &[Act] = &[Act::Meet, Act::Do("POST things {\"id\": 7, \"n\": 0}")];
const NUMBER_TWO: &[Act] =
    &[Act::Meet, Act::Do("POST things {\"n\": 1}"), Act::Meet, Act::Do("POST things {\"n\": 2}")];
/// What the rows have together decides whether more is taken from one of them: `n` becomes −1 once at most.
const TAKE_IF_TWO: &[Act] =
    &[Act::Do("GET things?select=n.sum()"), Act::Meet, Act::When("[{\"sum\":2}]", "PATCH things?id=eq.1 {\"n\": -1}")];
const BOOK_COUNT: Act = Act::Do("GET things?select=count()&n=eq.5");

/// All races.
pub(super) const RACES: &[Race] = &[
    Race {
        name: "an update that rests on what was read is not lost",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session { isolation: Isolation::Serializable, acts: ADD_ONE_MORE },
            Session { isolation: Isolation::Serializable, acts: ADD_ONE_MORE },
            Session { isolation: Isolation::Serializable, acts: ADD_ONE_MORE },
        ],
        after: "GET things?select=n",
        verdict: |ended, after| {
            ended.iter().all(Ended::is_fair) && after == format!("[{{\"n\":{}}}]", committed(ended))
        },
    },
    Race {
        name: "whoever read what is gone does nothing",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session { isolation: Isolation::Serializable, acts: ADD_ONE },
            Session { isolation: Isolation::Serializable, acts: ADD_ONE },
        ],
        after: "GET things?select=n",
        verdict: |ended, after| {
            let wrote = ended.iter().filter(|ended| ended.committed() && ended.answers[2] == "affected 1").count();
            ended.iter().all(Ended::is_fair) && after == "[{\"n\":1}]" && wrote == 1
        },
    },
    Race {
        name: "write skew: one of two stays on call",
        definition: COUNTERS,
        fill: &["POST things [{\"id\": 1, \"n\": 1}, {\"id\": 2, \"n\": 1}]"],
        sessions: &[
            Session {
                isolation: Isolation::Serializable,
                acts: &[
                    Act::Do("GET things?select=id&n=eq.1"),
                    Act::Meet,
                    Act::When("[{\"id\":1},{\"id\":2}]", "PATCH things?id=eq.1 {\"n\": 0}"),
                ],
            },
            Session {
                isolation: Isolation::Serializable,
                acts: &[
                    Act::Do("GET things?select=id&n=eq.1"),
                    Act::Meet,
                    Act::When("[{\"id\":1},{\"id\":2}]", "PATCH things?id=eq.2 {\"n\": 0}"),
                ],
            },
        ],
        after: "GET things?select=id&n=eq.1",
        verdict: |ended, after| {
            ended.iter().all(Ended::is_fair) && committed(ended) > 0 && matches!(after, "[{\"id\":1}]" | "[{\"id\":2}]")
        },
    },
    Race {
        name: "phantoms: a place that was free is taken once",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 4}"],
        sessions: &[
            Session {
                isolation: Isolation::Serializable,
                acts: &[BOOK_COUNT, Act::Meet, Act::When("[{\"count\":0}]", "POST things {\"id\": 11, \"n\": 5}")],
            },
            Session {
                isolation: Isolation::Serializable,
                acts: &[BOOK_COUNT, Act::Meet, Act::When("[{\"count\":0}]", "POST things {\"id\": 12, \"n\": 5}")],
            },
        ],
        after: "GET things?select=count()&n=eq.5",
        verdict: |ended, after| ended.iter().all(Ended::is_fair) && committed(ended) > 0 && after == "[{\"count\":1}]",
    },
    Race {
        name: "a condition in the statement that changes holds when it changes",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session { isolation: Isolation::Committed, acts: TAKE },
            Session { isolation: Isolation::Committed, acts: TAKE },
            Session { isolation: Isolation::Committed, acts: TAKE },
            Session { isolation: Isolation::Committed, acts: TAKE },
        ],
        after: "GET things?select=n",
        verdict: |ended, after| {
            let took = ended.iter().filter(|ended| ended.committed() && ended.answers[1] == "affected 1").count();
            let late = ended.iter().filter(|ended| ended.committed() && ended.answers[1] == "affected 0").count();
            took == 1 && late == 3 && after == "[{\"n\":1}]"
        },
    },
    Race {
        name: "of two rows with one key one is made, and the other is told",
        definition: COUNTERS,
        fill: &[],
        sessions: &[
            Session { isolation: Isolation::Committed, acts: INSERT_SLUG },
            Session { isolation: Isolation::Committed, acts: INSERT_SLUG },
        ],
        after: "GET things?select=id",
        verdict: |ended, after| {
            let refused = ended.iter().filter(|ended| ended.outcome == "error Unique things(id)").count();
            committed(ended) == 1 && refused == 1 && after == "[{\"id\":7}]"
        },
    },
    Race {
        name: "upserts of one row end as one row",
        definition: COUNTERS,
        fill: &[],
        sessions: &[
            Session {
                isolation: Isolation::Serializable,
                acts: &[Act::Meet, Act::Do("POST things?prefer=merge {\"id\": 3, \"n\": 1}")],
            },
            Session {
                isolation: Isolation::Serializable,
                acts: &[Act::Meet, Act::Do("POST things?prefer=merge {\"id\": 3, \"n\": 2}")],
            },
            Session {
                isolation: Isolation::Serializable,
                acts: &[Act::Meet, Act::Do("POST things?prefer=merge {\"id\": 3, \"n\": 3}")],
            },
        ],
        after: "GET things?select=id",
        verdict: |ended, after| ended.iter().all(Ended::is_fair) && after == "[{\"id\":3}]",
    },
    Race {
        name: "what is not committed is not seen",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session {
                isolation: Isolation::Committed,
                acts: &[Act::Do("PATCH things?id=eq.1 {\"n\": 9}"), Act::Meet, Act::Meet, Act::Rollback],
            },
            Session { isolation: Isolation::Committed, acts: &[Act::Meet, Act::Do("GET things?select=n"), Act::Meet] },
        ],
        after: "GET things?select=n",
        verdict: |ended, after| ended[1].answers[1] == "[{\"n\":0}]" && after == "[{\"n\":0}]",
    },
    Race {
        name: "a snapshot stays as it was",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session {
                isolation: Isolation::Snapshot,
                acts: &[
                    Act::Do("GET things?select=id,n"),
                    Act::Meet,
                    Act::Meet,
                    Act::Do("GET things?select=id,n"),
                    Act::Do("GET things?select=id,n&n=gt.0"),
                ],
            },
            Session {
                isolation: Isolation::Committed,
                acts: &[
                    Act::Meet,
                    Act::Do("PATCH things?id=eq.1 {\"n\": 5}"),
                    Act::Do("POST things {\"id\": 2, \"n\": 6}"),
                ],
            },
        ],
        after: "GET things?select=id,n",
        verdict: |ended, after| {
            let read = &ended[0].answers;
            let found = if read[0] == "[{\"id\":1,\"n\":0}]" { "[]" } else { after };
            ended.iter().all(Ended::committed)
                && read[0] == read[3]
                && read[4] == found
                && after == "[{\"id\":1,\"n\":5},{\"id\":2,\"n\":6}]"
        },
    },
    Race {
        name: "a snapshot refuses to write",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[Session { isolation: Isolation::Snapshot, acts: &[Act::Do("PATCH things {\"n\": 1}")] }],
        after: "GET things?select=n",
        verdict: |ended, after| ended[0].outcome.starts_with("error ") && after == "[{\"n\":0}]",
    },
    Race {
        name: "a serializable transaction reads the same twice",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session {
                isolation: Isolation::Serializable,
                acts: &[
                    Act::Do("GET things?select=n"),
                    Act::Meet,
                    Act::Meet,
                    Act::Do("GET things?select=n"),
                    Act::Do("PATCH things?id=eq.1 {\"who\": \"first\"}"),
                ],
            },
            Session {
                isolation: Isolation::Serializable,
                acts: &[Act::Meet, Act::Do("PATCH things?id=eq.1 {\"n\": 5}")],
            },
        ],
        after: "GET things?select=n,who",
        verdict: |ended, after| {
            let first = &ended[0];
            let who = if first.committed() { "\"first\"" } else { "null" };
            let n = if ended[1].committed() { 5 } else { 0 };
            ended.iter().all(Ended::is_fair)
                && (!first.committed() || first.answers[0] == first.answers[3])
                && after == format!("[{{\"n\":{n},\"who\":{who}}}]")
        },
    },
    Race {
        name: "two that wait for each other: one goes on, and neither is half done",
        definition: COUNTERS,
        fill: &["POST things [{\"id\": 1, \"n\": 0}, {\"id\": 2, \"n\": 0}]"],
        sessions: &[
            Session {
                isolation: Isolation::Committed,
                acts: &[
                    Act::Do("PATCH things?id=eq.1 {\"n\": 1}"),
                    Act::Meet,
                    Act::Do("PATCH things?id=eq.2 {\"n\": 1}"),
                ],
            },
            Session {
                isolation: Isolation::Committed,
                acts: &[
                    Act::Do("PATCH things?id=eq.2 {\"n\": 2}"),
                    Act::Meet,
                    Act::Do("PATCH things?id=eq.1 {\"n\": 2}"),
                ],
            },
        ],
        after: "GET things?select=n",
        verdict: |ended, after| {
            ended.iter().all(Ended::is_fair)
                && committed(ended) > 0
                && matches!(after, "[{\"n\":1},{\"n\":1}]" | "[{\"n\":2},{\"n\":2}]")
        },
    },
    Race {
        name: "a reader sees a transfer whole or not at all",
        definition: COUNTERS,
        fill: &["POST things [{\"id\": 1, \"n\": 100}, {\"id\": 2, \"n\": 0}]"],
        sessions: &[
            Session {
                isolation: Isolation::Committed,
                acts: &[
                    Act::Do("PATCH things?id=eq.1 {\"n\": 30}"),
                    Act::Meet,
                    Act::Do("PATCH things?id=eq.2 {\"n\": 70}"),
                ],
            },
            Session { isolation: Isolation::Committed, acts: &[Act::Meet, Act::Do("GET things?select=n.sum()")] },
            Session {
                isolation: Isolation::Snapshot,
                acts: &[Act::Meet, Act::Do("GET things?select=n.sum()"), Act::Do("GET things?select=n.sum()")],
            },
        ],
        after: "GET things?select=n.sum()",
        verdict: |ended, after| {
            ended.iter().all(Ended::committed)
                && ended[1].answers[1] == "[{\"sum\":100}]"
                && ended[2].answers[1..] == ["[{\"sum\":100}]", "[{\"sum\":100}]"]
                && after == "[{\"sum\":100}]"
        },
    },
    Race {
        name: "a row is removed or changed, not both",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session { isolation: Isolation::Committed, acts: &[Act::Meet, Act::Do("DELETE things?n=eq.0")] },
            Session { isolation: Isolation::Committed, acts: TAKE },
        ],
        after: "GET things?select=n",
        verdict: |ended, after| {
            let done: Vec<&str> = ended.iter().map(|ended| ended.answers[1].as_str()).collect();
            ended.iter().all(Ended::committed)
                && matches!(
                    (done.as_slice(), after),
                    (["affected 1", "affected 0"], "[]") | (["affected 0", "affected 1"], "[{\"n\":1}]")
                )
        },
    },
    Race {
        name: "a slug is given once",
        definition: COUNTERS,
        fill: &["POST things [{\"id\": 1, \"n\": 0}, {\"id\": 2, \"n\": 0}]"],
        sessions: &[
            Session {
                isolation: Isolation::Committed,
                acts: &[Act::Meet, Act::Do("PATCH things?id=eq.1 {\"slug\": \"x\"}")],
            },
            Session {
                isolation: Isolation::Committed,
                acts: &[Act::Meet, Act::Do("PATCH things?id=eq.2 {\"slug\": \"x\"}")],
            },
        ],
        after: "GET things?select=count()&slug=eq.x",
        verdict: |ended, after| {
            let refused = ended.iter().filter(|ended| ended.outcome == "error Unique things(slug)").count();
            committed(ended) == 1 && refused == 1 && after == "[{\"count\":1}]"
        },
    },
    Race {
        name: "a row that others refer to goes, or they come, not both",
        definition: COUNTERS,
        fill: &["POST things {\"id\": 1, \"n\": 0}"],
        sessions: &[
            Session { isolation: Isolation::Committed, acts: &[Act::Meet, Act::Do("DELETE things?id=eq.1")] },
            Session {
                isolation: Isolation::Committed,
                acts: &[Act::Meet, Act::Do("POST things {\"id\": 2, \"n\": 0, \"up_id\": 1}")],
            },
        ],
        after: "GET things?select=id,up_id",
        verdict: |ended, after| {
            let refused = ended.iter().filter(|ended| ended.outcome == "error ForeignKey").count();
            let gone = ended[0].committed() && after == "[]";
            let come = ended[1].committed() && after == "[{\"id\":1,\"up_id\":null},{\"id\":2,\"up_id\":1}]";
            committed(ended) == 1 && refused == 1 && (gone || come)
        },
    },
    Race {
        name: "what is taken from a row is never more than it has",
        definition: COUNTERS,
        fill: &["POST things [{\"id\": 1, \"n\": 1}, {\"id\": 2, \"n\": 1}]"],
        sessions: &[
            Session { isolation: Isolation::Serializable, acts: TAKE_IF_TWO },
            Session { isolation: Isolation::Serializable, acts: TAKE_IF_TWO },
            Session { isolation: Isolation::Serializable, acts: TAKE_IF_TWO },
        ],
        after: "GET things?select=n.sum()",
        verdict: |ended, after| {
            let took = ended.iter().filter(|ended| ended.committed() && ended.answers[2] == "affected 1").count();
            ended.iter().all(Ended::is_fair) && took == 1 && after == "[{\"sum\":0}]"
        },
    },
    Race {
        name: "rows made at once have numbers of their own",
        definition: NUMBERED,
        fill: &[],
        sessions: &[
            Session { isolation: Isolation::Committed, acts: NUMBER_TWO },
            Session { isolation: Isolation::Committed, acts: NUMBER_TWO },
            Session { isolation: Isolation::Committed, acts: NUMBER_TWO },
            Session { isolation: Isolation::Serializable, acts: NUMBER_TWO },
        ],
        after: "GET things?select=count(),n.sum()",
        verdict: |ended, after| ended.iter().all(Ended::committed) && after == "[{\"count\":8,\"sum\":12}]",
    },
];

impl Race {
    /// Its definition.
    pub(super) fn sources(&self) -> Definition {
        vec![("models/things.toml".to_owned(), self.definition.to_owned())]
    }
}

/// Runs a race on empty tables.
///
/// # Errors
/// How it ended, when it cannot have ended so.
pub(super) async fn run(store: &dyn Store, model: &Arc<Model>, race: &Race) -> Result<(), String> {
    let planner = Planner { model: Arc::clone(model) };
    let deadline = Instant::now() + Duration::from_secs(30);
    for (number, request) in race.fill.iter().enumerate() {
        let answer = planner.take(store, &Step::new(*request, ""), number, deadline).await;
        if !answer.starts_with("affected ") {
            return Err(format!("{request}: {answer}"));
        }
    }
    let meeting = Arc::new(Meeting { come: Mutex::new(vec![0; race.sessions.len()]) });
    let mut under_way = Vec::new();
    for (number, session) in race.sessions.iter().enumerate() {
        let acts = session.acts.iter().map(|act| Planned::of(store, &planner, act)).collect::<Result<_, _>>()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let runner =
            Runner { acts, number, meeting: Arc::clone(&meeting), runs: AtomicUsize::new(0), seen: Arc::clone(&seen) };
        let meeting = Arc::clone(&meeting);
        under_way.push(async move {
            let outcome = match store.transaction(Box::new(runner), session.isolation, deadline).await {
                Ok(answer) if answer.decision == Decision::Commit => "committed".to_owned(),
                Ok(_) => "rolled back".to_owned(),
                Err(error) => describe(&error),
            };
            meeting.arrive(number, usize::MAX);
            let answers = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
            Ended { answers, outcome }
        });
    }
    let ended = join_all(under_way).await;
    let after = planner.take(store, &Step::new(race.after, ""), 99, deadline).await;
    // A session that failed has fewer answers than a verdict may ask for.
    let whole: Vec<Ended> = ended
        .iter()
        .zip(race.sessions)
        .map(|(ended, session)| {
            let mut ended = ended.clone();
            ended.answers.resize(session.acts.len(), String::new());
            ended
        })
        .collect();
    if (race.verdict)(&whole, &after) { Ok(()) } else { Err(format!("{ended:#?}\n    and then {after}")) }
}

/// Where sessions wait for each other: how often each has come.
struct Meeting {
    come: Mutex<Vec<usize>>,
}

impl Meeting {
    fn arrive(&self, who: usize, times: usize) {
        if let Ok(mut come) = self.come.lock() {
            come[who] = times;
        }
    }

    /// Waits, for a limited time, until all have come so often. Whoever polls with a waker that wakes nobody runs all of a transaction
    /// at once: there is nobody to wait for.
    async fn wait(&self, who: usize, times: usize) {
        self.arrive(who, times);
        let end = Instant::now() + WAIT_MAX;
        poll_fn(|context| {
            let all = self.come.lock().map_or(true, |come| come.iter().all(|come| *come >= times));
            if all || Instant::now() >= end || context.waker().will_wake(noop_waker_ref()) {
                return Poll::Ready(());
            }
            // No timer and no channel: this file knows no runtime. For a fraction of a second it asks again and again.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

enum Planned {
    Do(Box<Prepared>),
    When(&'static str, Box<Prepared>),
    Meet,
    Rollback,
}

impl Planned {
    fn of(store: &dyn Store, planner: &Planner, act: &Act) -> Result<Planned, String> {
        let prepare = |request: &str| planner.prepare(store, &Step::new(request, ""), 50).map(Box::new);
        Ok(match act {
            Act::Do(request) => Planned::Do(prepare(request)?),
            Act::When(answer, request) => Planned::When(answer, prepare(request)?),
            Act::Meet => Planned::Meet,
            Act::Rollback => Planned::Rollback,
        })
    }
}

struct Runner {
    acts: Vec<Planned>,
    number: usize,
    meeting: Arc<Meeting>,
    runs: AtomicUsize,
    /// The answers of the run under way, one per act.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Work for Runner {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let first = self.runs.fetch_add(1, Ordering::Relaxed) == 0;
            let mut answers: Vec<String> = Vec::new();
            let mut meetings = 0;
            let mut decision = Decision::Commit;
            // What the last request answered: a condition that did not hold answers nothing.
            let mut last = String::new();
            for act in &self.acts {
                let query = match act {
                    Planned::Do(query) => Some(query),
                    Planned::When(answer, query) => (last == *answer).then_some(query),
                    Planned::Meet => {
                        meetings += 1;
                        if first {
                            self.meeting.wait(self.number, meetings).await;
                        }
                        None
                    }
                    Planned::Rollback => {
                        decision = Decision::Rollback;
                        None
                    }
                };
                let answer = match query {
                    Some(query) => transaction::one(connection, query).await?.0,
                    None => String::new(),
                };
                if !answer.is_empty() {
                    last.clone_from(&answer);
                }
                answers.push(answer);
                if let Ok(mut seen) = self.seen.lock() {
                    seen.clone_from(&answers);
                }
            }
            Ok(WorkAnswer { decision, value: Box::new(()) })
        })
    }
}
