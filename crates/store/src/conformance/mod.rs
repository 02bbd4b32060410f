//! The suite that every store passes: cases as data, run against the real database.
//!
//! A [`Case`] is a definition and a list of steps. A [`Step`] is a request, written much like on the wire (see [`request`]), and what
//! comes of it, as text. Written cases are in `cases/*.txt`; those that are a table of operators and types are made, answers
//! included, from what the operators mean, by plain Rust that never asks a store (`generated/`). Transactions that run at the same
//! time are in `races`.
//!
//! The suite plans as the engine does and runs through [`Store::read`] and [`Store::transaction`]. What it does not see is what stands
//! above the stores: how HTTP is decoded and answered, and the demands on an outcome (`max-affected`, a single object, `tx=rollback`), which the
//! engine keeps; they have tests of their own.
//!
//! What is counted: a *check* is one step whose answer is compared, or one race. Steps that only fill a case's tables at its beginning
//! (creates that answer `affected n`) are compared too, but not counted.

#[cfg(feature = "differential")]
pub mod by_hand;
mod cases;
#[cfg(feature = "differential")]
pub mod differential;
mod generated;
pub mod pairs;
mod races;
mod report;
mod request;
mod runner;
mod sink;
mod transaction;

pub use cases::cases;
pub use report::{Exception, Report};
pub use request::parse as parse_request;
pub use runner::run_all;

#[cfg(doc)]
use crate::Store;

/// Sources of a definition: name and text.
pub type Definition = Vec<(String, String)>;

/// A definition and what is done with it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// Sources by name.
    pub definition: Definition,
    /// Whether the tables of the case before may be emptied rather than made anew, when it has the same definition. Keys that the
    /// store makes do not begin at 1 then.
    pub shares: bool,
    /// In order, on empty tables.
    pub steps: Vec<Step>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// Who asks: empty for a secret key, `visitor`, or a user: an id or its last digit (`a`), and roles (`a/admin,editor`).
    pub caller: String,
    /// `GET posts?select=title&status=eq.draft`, `POST posts?prefer=representation {"title": "x"}`; or a word about a transaction
    /// (`begin serializable`, `savepoint`, `back`, `keep`, `commit`, `rollback`).
    pub request: String,
    /// A read's rows as JSON; a write's `affected 1` or `refused …`; `error …`; nothing for what has no answer.
    pub answer: String,
}

impl Step {
    /// A step of a secret key.
    fn new(request: impl Into<String>, answer: impl Into<String>) -> Step {
        Step { caller: String::new(), request: request.into(), answer: answer.into() }
    }

    /// Whether it fills a table and no more.
    fn fills(&self) -> bool {
        self.request.starts_with("POST ")
            && self.answer.strip_prefix("affected ").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl Case {
    /// How many checks it is: its steps with an answer, without those at its beginning that fill tables.
    pub fn checks(&self) -> usize {
        self.steps.iter().skip_while(|step| step.fills()).filter(|step| !step.answer.is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most cases that the definition of done asks for, and how they are counted: see the head of this file.
    #[test]
    fn there_are_enough_checks() {
        let cases = cases();
        let checks: usize = cases.iter().map(Case::checks).sum::<usize>() + races::RACES.len();
        assert!(checks >= 1_500, "{checks} checks in {} cases", cases.len());
    }

    #[test]
    fn every_step_is_named_once_and_is_a_request() {
        let mut names = std::collections::HashSet::new();
        for case in cases() {
            assert!(names.insert(case.name.clone()), "two cases are called {}", case.name);
            for step in &case.steps {
                let word = transaction::is_word(&step.request);
                assert!(word || parse_request(&step.request).is_ok(), "{}: {}", case.name, step.request);
                assert!(!step.answer.is_empty() || word, "{}: {} has no answer", case.name, step.request);
            }
        }
    }
}
