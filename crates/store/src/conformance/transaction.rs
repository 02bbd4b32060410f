//! Several steps in one transaction: `begin` (or `begin snapshot`, `begin serializable`), steps, `savepoint`, `back` and `keep`, and at
//! last `commit` or `rollback`.
//!
//! A step that fails ends the transaction, unless a `savepoint` stands open to go `back` to: that is what all stores can do.

use super::Step;
use super::runner::{Planner, describe, told};
use super::sink::Tree;
use crate::run::{self, WriteAnswer};
use crate::{Connection, Decision, Isolation, Prepared, Store, StoreError, Work, WorkAnswer};
use futures_util::future::BoxFuture;
use std::time::Instant;
use undergird_plan::shape::Shape;

#[cfg(test)]
/// Whether a step is a word about a transaction rather than a request.
pub(super) fn is_word(request: &str) -> bool {
    isolation(request).is_some() || matches!(request, "savepoint" | "back" | "keep" | "commit" | "rollback")
}

/// The isolation that a transaction begins with, if this begins one.
pub(super) fn isolation(request: &str) -> Option<Isolation> {
    match request {
        "begin" => Some(Isolation::Committed),
        "begin snapshot" => Some(Isolation::Snapshot),
        "begin serializable" => Some(Isolation::Serializable),
        _ => None,
    }
}

/// The answers of the steps after `begin`, up to and including the one that ends the transaction.
pub(super) async fn take(
    store: &dyn Store,
    planner: &Planner,
    isolation: Isolation,
    steps: &[Step],
    first: usize,
    deadline: Instant,
) -> Vec<String> {
    let acts = steps.iter().enumerate().map(|(at, step)| Act::of(store, planner, step, first + at)).collect();
    match store.transaction(Box::new(Script { acts }), isolation, deadline).await {
        Ok(answer) => match answer.value.downcast::<Vec<String>>() {
            Ok(answers) => *answers,
            Err(_) => vec!["the answers came back as something else".into()],
        },
        Err(error) => vec![describe(&error); steps.len()],
    }
}

/// One step, planned.
enum Act {
    Query(Box<Prepared>),
    /// It was refused while it was planned.
    Refused(String),
    Savepoint,
    Back,
    Keep,
    End(Decision),
}

impl Act {
    fn of(store: &dyn Store, planner: &Planner, step: &Step, number: usize) -> Act {
        match step.request.as_str() {
            "savepoint" => Act::Savepoint,
            "back" => Act::Back,
            "keep" => Act::Keep,
            "commit" => Act::End(Decision::Commit),
            "rollback" => Act::End(Decision::Rollback),
            _ => match planner.prepare(store, step, number) {
                Ok(query) => Act::Query(Box::new(query)),
                Err(why) => Act::Refused(why),
            },
        }
    }
}

struct Script {
    acts: Vec<Act>,
}

impl Work for Script {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let mut answers: Vec<String> = Vec::new();
            let mut open = 0;
            let mut decision = Decision::Rollback;
            let mut failed = false;
            for act in &self.acts {
                if failed {
                    answers.push(if matches!(act, Act::End(_)) { "rolled back".into() } else { "not run".into() });
                    continue;
                }
                let answer = match act {
                    Act::Savepoint => {
                        connection.savepoint().await?;
                        open += 1;
                        String::new()
                    }
                    Act::Back | Act::Keep => {
                        connection.release(matches!(act, Act::Keep)).await?;
                        open -= 1;
                        String::new()
                    }
                    Act::End(end) => {
                        decision = *end;
                        match end {
                            Decision::Commit => "committed".into(),
                            Decision::Rollback => "rolled back".into(),
                        }
                    }
                    Act::Refused(why) => why.clone(),
                    Act::Query(query) => match one(connection, query).await {
                        Ok((answer, refused)) => {
                            failed = refused && open == 0;
                            answer
                        }
                        // The store itself runs the work again.
                        Err(StoreError::Conflict) => return Err(StoreError::Conflict),
                        Err(error) => {
                            failed = open == 0;
                            describe(&error)
                        }
                    },
                };
                answers.push(answer);
            }
            Ok(WorkAnswer { decision, value: Box::new(answers) })
        })
    }
}

/// Runs one prepared request on a connection: its answer, and whether a rule refused it.
pub(super) async fn one(connection: &mut dyn Connection, query: &Prepared) -> Result<(String, bool), StoreError> {
    let mut tree = Tree::default();
    if matches!(**query.plan.shape(), Shape::Write(_)) {
        let answer = run::write(connection, query, Some(&mut tree), run::Then::More).await?;
        let refused = matches!(answer, WriteAnswer::Refused { .. });
        return Ok((told(query, &answer, &tree), refused));
    }
    run::read(connection, query, &mut tree).await?;
    Ok((tree.text(), false))
}
