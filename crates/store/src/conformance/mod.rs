//! The suite that every store passes: cases as data, run against the real database.
//!
//! A case is a definition and a list of steps. A step is a request, written much like on the wire (see [`request`]), and what comes
//! of it, as text. The suite plans as the engine does and runs through [`Store::read`] and [`Store::transaction`]; what it does not
//! see is how HTTP is decoded and answered, which has its own tests.

mod cases;
mod operators;
mod request;
mod sink;

pub use cases::cases;
pub use request::parse as parse_request;

use crate::run::{self, WriteAnswer};
use crate::{
    Connection, ConstraintKind, Decision, Isolation, Prepared, Store, StoreError, Work, WorkAnswer, schema, sql,
};
use futures_util::future::BoxFuture;
use sink::Tree;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::{Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::request::Verb;
use undergird_plan::{Caller, authorize};
use uuid::Uuid;

/// When everything in the suite happens: 2023-11-14T22:13:20Z.
const NOW: i64 = 1_700_000_000_000_000;

/// A definition and what is done with it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// Sources by name.
    pub definition: Vec<(String, String)>,
    /// In order, on an empty database.
    pub steps: Vec<Step>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// Who asks: empty for a secret key, `visitor`, or the id of a user.
    pub caller: String,
    /// `GET posts?select=title&status=eq.draft`, `POST posts?prefer=representation {"title": "x"}`.
    pub request: String,
    /// A read's rows as JSON; a write's `affected 1` or `refused …`; `error …`.
    pub answer: String,
}

/// Runs a case on a store, which it leaves with the case's tables and rows. Gives what was different.
///
/// # Errors
/// One text per step that answered otherwise, or why the case could not be run.
pub async fn run(store: &dyn Store, case: &Case) -> Result<(), Vec<String>> {
    let model = prepare(store, case).await.map_err(|why| vec![format!("{}: {why}", case.name)])?;
    let mut different = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let answer = take(store, &model, step, number).await;
        if answer != step.answer {
            different
                .push(format!("{}: {}\n    expected {}\n    but got  {answer}", case.name, step.request, step.answer));
        }
    }
    if different.is_empty() { Ok(()) } else { Err(different) }
}

/// The case's model, and its tables, empty.
async fn prepare(store: &dyn Store, case: &Case) -> Result<Arc<Model>, String> {
    let sources: Vec<Source> = case
        .definition
        .iter()
        .map(|(name, text)| Source { name: name.as_str().into(), text: text.as_str().into() })
        .collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    let model = Arc::new(model.ok_or_else(|| format!("{diagnostics:#?}"))?);
    for wanted in [schema::Applied::empty(), schema::wanted(&model)] {
        let applied = store.schema().await.map_err(|error| error.to_string())?;
        let steps = schema::steps(applied.as_ref(), &wanted);
        store.migrate(&steps, &wanted).await.map_err(|error| error.to_string())?;
    }
    Ok(model)
}

/// Takes one step and gives its answer.
async fn take(store: &dyn Store, model: &Arc<Model>, step: &Step, number: usize) -> String {
    let request = match request::parse(&step.request) {
        Ok(request) => request,
        Err(why) => return format!("not a request: {why}"),
    };
    let plan = match authorize(model, &caller(&step.caller, number), &request) {
        Ok(plan) => plan,
        Err(refusal) => return format!("not planned: {refusal:?}"),
    };
    let statements = Arc::new(sql::write(model, plan.shape(), store.dialect()));
    let query = Prepared { plan, statements };
    let deadline = Instant::now() + Duration::from_secs(10);
    if request.shape.verb == Verb::Read {
        let answer = store.read(query, Box::<Tree>::default(), deadline).await;
        return match (answer.result, answer.sink) {
            (Ok(()), Some(sink)) => match sink.into_any().downcast::<Tree>() {
                Ok(tree) => tree.text(),
                Err(_) => "the sink came back as another".into(),
            },
            (Ok(()), None) => "the sink was lost".into(),
            (Err(error), _) => describe(&error),
        };
    }
    match store.transaction(Box::new(Change { query }), Isolation::Committed, deadline).await {
        Ok(answer) => match answer.value.downcast::<String>() {
            Ok(text) => *text,
            Err(_) => "the answer came back as another".into(),
        },
        Err(error) => describe(&error),
    }
}

/// An error in the words that all stores have for it: not every one knows the name of what was broken.
fn describe(error: &StoreError) -> String {
    match error {
        StoreError::Constraint { kind: ConstraintKind::Unique, table, columns, .. } => {
            format!("error Unique {table}({})", columns.join(", "))
        }
        StoreError::Constraint { kind, .. } => format!("error {kind:?}"),
        other => format!("error {other}"),
    }
}

fn caller(name: &str, number: usize) -> Caller {
    // Ids grow from step to step, so that their order is that of the steps.
    let entropy = (number as u128 + 1) << 80;
    let moment = Moment { now: NOW + i64::try_from(number).unwrap_or(0) * 1_000, entropy };
    match name {
        "" => Caller::secret(moment),
        "visitor" => Caller::visitor(moment),
        id => {
            let id = Uuid::parse_str(id).unwrap_or_default();
            Caller::user(Arc::new(User::new(id, None, Vec::new(), serde_json::json!({}))), moment)
        }
    }
}

/// One write, told as text.
struct Change {
    query: Prepared,
}

impl Work for Change {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let mut tree = Tree::default();
            let answer = run::write(connection, &self.query, Some(&mut tree)).await?;
            let (decision, text) = match answer {
                WriteAnswer::Done(written) => {
                    let mut text = format!("affected {}", written.affected);
                    if written.updated > 0 {
                        text.push_str(&format!(", updated {}", written.updated));
                    }
                    let shape = self.query.plan.shape();
                    if shape.read().is_some() {
                        text = format!("{text} {}", tree.text());
                    }
                    (Decision::Commit, text)
                }
                WriteAnswer::Refused { otherwise, row } => {
                    (Decision::Rollback, format!("refused {otherwise:?} row {row:?}"))
                }
            };
            Ok(WorkAnswer { decision, value: Box::new(text) })
        })
    }
}
