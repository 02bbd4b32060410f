//! Runs cases on a store: makes the tables, or empties them; plans each step; compares.

use super::report::{Exception, Report};
use super::sink::Tree;
use super::{Case, Definition, Step, cases, races, request, transaction};
use crate::run::WriteAnswer;
use crate::{
    Connection, ConstraintKind, Decision, Isolation, Prepared, Store, StoreError, Work, WorkAnswer, schema, sql,
};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::field_type::FieldType;
use undergird_model::{Field, Model, Source, definition};
use undergird_plan::caller::{Moment, User};
use undergird_plan::request::Verb;
use undergird_plan::{Caller, Request, authorize};
use uuid::Uuid;

/// When everything in the suite happens: 2023-11-14T22:13:20Z.
const NOW: i64 = 1_700_000_000_000_000;

/// A step that takes longer has gone wrong.
const STEP_TIME_MAX: Duration = Duration::from_secs(30);

/// How many of the slowest cases a report names.
const SLOWEST: usize = 5;

/// Runs the whole suite on a store, whose database it takes for its own: all tables go. On a runtime that can wait (a store
/// whose driver is asynchronous needs its own, with timers).
pub async fn run_all(store: &dyn Store, exceptions: &[Exception]) -> Report {
    let mut run = Run { report: Report::default(), exceptions, used: vec![false; exceptions.len()] };
    let mut before: Option<(Definition, Arc<Model>)> = None;
    for case in cases() {
        let begun = Instant::now();
        let emptied = match before.take().filter(|(definition, _)| case.shares && *definition == case.definition) {
            Some((_, model)) => empty(store, &model).await.then_some(model),
            None => None,
        };
        let model = match emptied {
            Some(model) => model,
            None => {
                run.report.migrations += 1;
                match prepare(store, &case.definition).await {
                    Ok(model) => model,
                    Err(why) => {
                        run.unprepared(&case, &why);
                        continue;
                    }
                }
            }
        };
        run.case(store, &model, &case).await;
        run.took(begun, &case.name);
        before = Some((case.definition, model));
    }
    let mut before: Option<(&str, Arc<Model>)> = None;
    for race in races::RACES {
        let begun = Instant::now();
        run.report.cases += 1;
        let emptied = match before.take().filter(|(definition, _)| *definition == race.definition) {
            Some((_, model)) => empty(store, &model).await.then_some(model),
            None => None,
        };
        let model = match emptied {
            Some(model) => Ok(model),
            None => {
                run.report.migrations += 1;
                prepare(store, &race.sources()).await
            }
        };
        let ended = match &model {
            Ok(model) => races::run(store, model, race).await,
            Err(why) => Err(format!("cannot be prepared: {why}")),
        };
        before = model.ok().map(|model| (race.definition, model));
        if let Err(why) = ended {
            run.report.different.push(format!("races: {}: {why}", race.name));
        }
        run.report.checks += 1;
        run.took(begun, race.name);
    }
    run.finished()
}

struct Run<'a> {
    report: Report,
    exceptions: &'a [Exception],
    used: Vec<bool>,
}

impl Run<'_> {
    /// The report, once nothing more can use an exception.
    fn finished(mut self) -> Report {
        for (exception, used) in self.exceptions.iter().zip(&self.used) {
            if !used {
                self.report.needless.push(format!("{} ({})", exception.case, exception.reason));
            }
        }
        self.report
    }

    fn took(&mut self, begun: Instant, name: &str) {
        self.report.slowest.push((begun.elapsed().as_millis(), name.to_owned()));
        self.report.slowest.sort_by(|a, b| b.cmp(a));
        self.report.slowest.truncate(SLOWEST);
    }

    /// A definition that the store refuses as a whole: an exception by the case's own name says which words of its refusal must be there.
    fn unprepared(&mut self, case: &Case, why: &str) {
        self.report.cases += 1;
        let exception = self.exceptions.iter().position(|exception| exception.case == case.name);
        match exception.filter(|at| why.contains(self.exceptions[*at].answer)) {
            Some(at) => {
                self.used[at] = true;
                self.report.excepted += case.checks();
            }
            None => self.report.different.push(format!("{}: cannot be prepared: {why}", case.name)),
        }
    }

    async fn case(&mut self, store: &dyn Store, model: &Arc<Model>, case: &Case) {
        self.report.cases += 1;
        self.report.checks += case.checks();
        let planner = Planner { model: Arc::clone(model) };
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut number = 0;
        while let Some(step) = case.steps.get(number) {
            let deadline = Instant::now() + STEP_TIME_MAX;
            let (answers, taken) = match transaction::isolation(&step.request) {
                None => (vec![planner.take(store, step, number, deadline).await], 1),
                Some(isolation) => {
                    let rest = &case.steps[number + 1..];
                    let ends = |step: &Step| matches!(step.request.as_str(), "commit" | "rollback");
                    let length = rest.iter().position(ends).map_or(rest.len(), |end| end + 1);
                    let mut answers = vec![String::new()];
                    answers.extend(
                        transaction::take(store, &planner, isolation, &rest[..length], number + 1, deadline).await,
                    );
                    (answers, length + 1)
                }
            };
            for (at, step) in case.steps[number..number + taken].iter().enumerate() {
                let times = seen.entry(step.request.as_str()).or_default();
                *times += 1;
                let answer = answers.get(at).map_or("no answer", String::as_str);
                self.compare(case, step, *times, answer);
            }
            number += taken;
        }
    }

    fn compare(&mut self, case: &Case, step: &Step, times: usize, answer: &str) {
        let again = if times > 1 { format!(" ({times})") } else { String::new() };
        let name = format!("{}: {}{again}", case.name, step.request);
        if let Some(at) = self.exceptions.iter().position(|exception| exception.case == name) {
            // An exception that the store no longer needs stays unused, and so is told.
            self.used[at] = answer != step.answer;
            if answer == self.exceptions[at].answer && answer != step.answer {
                self.report.excepted += 1;
                return;
            }
        }
        if answer != step.answer {
            let caller = if step.caller.is_empty() { String::new() } else { format!("\n    as       {}", step.caller) };
            let told =
                format!("{}{caller}\n    expected {}\n    but got  {}", cut(&name), cut(&step.answer), cut(answer));
            self.report.different.push(told);
        }
    }
}

/// A text of bearable length.
fn cut(text: &str) -> String {
    const MOST: usize = 2_000;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// The model of a definition, and its tables, empty.
pub(super) async fn prepare(store: &dyn Store, definition: &[(String, String)]) -> Result<Arc<Model>, String> {
    let sources: Vec<Source> = definition
        .iter()
        .map(|(name, text)| Source { name: name.as_str().into(), text: text.as_str().into() })
        .collect();
    let (model, diagnostics) = definition::check(&sources, &[]);
    let model = Arc::new(model.ok_or_else(|| format!("{diagnostics:#?}"))?);
    migrated(store, &model).await?;
    Ok(model)
}

/// Makes a model's tables, and removes all others.
pub(super) async fn migrated(store: &dyn Store, model: &Model) -> Result<(), String> {
    for wanted in [schema::Applied::empty(), schema::wanted(model)] {
        let applied = store.schema().await.map_err(|error| error.to_string())?;
        let steps = schema::steps(applied.as_ref(), &wanted);
        store.migrate(&steps, &wanted).await.map_err(|error| error.to_string())?;
    }
    store.raise_wall(model).await.map_err(|error| error.to_string())
}

async fn removes(store: &dyn Store, planner: &Planner, request: &str, deadline: Instant) -> bool {
    planner.take(store, &Step::new(request, ""), 0, deadline).await.starts_with("affected ")
}

/// An optional field of a collection that refers to the collection itself.
fn own_reference<'a>(model: &'a Model, name: &str) -> Option<&'a str> {
    let collection = model.collections.iter().find(|collection| collection.name == name)?;
    let refers =
        |field: &&Field| field.optional && matches!(&field.declared, FieldType::Ref { to, .. } if *to == collection.id);
    collection.fields.iter().find(refers).map(|field| field.name.as_str())
}

/// Removes all rows. Rows that others refer to stand in the way until those are gone, so it goes round as long as that helps; `false` when
/// rows remain.
pub(super) async fn empty(store: &dyn Store, model: &Arc<Model>) -> bool {
    let planner = Planner { model: Arc::clone(model) };
    let mut left: Vec<String> = model.collections.iter().rev().map(|collection| collection.name.clone()).collect();
    while !left.is_empty() {
        let before = left.len();
        let mut remaining = Vec::new();
        for name in left {
            let deadline = Instant::now() + STEP_TIME_MAX;
            let mut removed = removes(store, &planner, &format!("DELETE {name}"), deadline).await;
            // Rows that refer to each other let go first.
            if let Some(field) = own_reference(model, &name).filter(|_| !removed) {
                let parted = format!("PATCH {name} {{\"{field}\": null}}");
                removed = removes(store, &planner, &parted, deadline).await
                    && removes(store, &planner, &format!("DELETE {name}"), deadline).await;
            }
            if !removed {
                remaining.push(name);
            }
        }
        if remaining.len() == before {
            return false;
        }
        left = remaining;
    }
    true
}

/// Plans the steps of a case.
pub(super) struct Planner {
    pub(super) model: Arc<Model>,
}

impl Planner {
    /// A step as the store is to run it, or why not, in the words of an answer.
    pub(super) fn prepare(&self, store: &dyn Store, step: &Step, number: usize) -> Result<Prepared, String> {
        self.prepared(store, step, number).map(|(query, _)| query)
    }

    fn prepared(&self, store: &dyn Store, step: &Step, number: usize) -> Result<(Prepared, Request), String> {
        let request = request::parse(&step.request).map_err(|why| format!("not a request: {why}"))?;
        let plan = authorize(&self.model, &caller(&step.caller, number), &request)
            .map_err(|refusal| format!("not planned: {refusal:?}"))?;
        let statements = Arc::new(sql::write(&self.model, plan.shape(), store.dialect()));
        Ok((Prepared { plan, statements }, request))
    }

    /// Takes one step and gives its answer.
    pub(super) async fn take(&self, store: &dyn Store, step: &Step, number: usize, deadline: Instant) -> String {
        let (query, request) = match self.prepared(store, step, number) {
            Ok(prepared) => prepared,
            Err(why) => return why,
        };
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
}

/// An error in the words that all stores have for it: not every one knows the name of what was broken.
pub(super) fn describe(error: &StoreError) -> String {
    match error {
        StoreError::Constraint { kind: ConstraintKind::Unique, table, columns, .. } => {
            format!("error Unique {table}({})", columns.join(", "))
        }
        StoreError::Constraint { kind, .. } => format!("error {kind:?}"),
        other => format!("error {other}"),
    }
}

/// What a write did, as text.
pub(super) fn told(query: &Prepared, answer: &WriteAnswer, tree: &Tree) -> String {
    match answer {
        WriteAnswer::Done(written) => {
            let mut text = format!("affected {}", written.affected);
            if written.updated > 0 {
                text.push_str(&format!(", updated {}", written.updated));
            }
            if query.plan.shape().read().is_some() {
                text = format!("{text} {}", tree.text());
            }
            text
        }
        WriteAnswer::Refused { otherwise, row } => format!("refused {otherwise:?} row {row:?}"),
    }
}

fn caller(name: &str, number: usize) -> Caller {
    // Ids grow from step to step, so that their order is that of the steps.
    let entropy = (number as u128 + 1) << 80;
    let moment = Moment { now: NOW + i64::try_from(number).unwrap_or(0) * 1_000, entropy };
    match name {
        "" => Caller::secret(moment),
        "visitor" => Caller::visitor(moment),
        user => {
            let (id, roles) = user.split_once('/').unwrap_or((user, ""));
            let roles = roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
            let email = Some(format!("{id}@example.org"));
            // A single hexadecimal digit is the user whose id ends in it.
            let id = match u128::from_str_radix(id, 16) {
                Ok(number) if id.len() == 1 => Uuid::from_u128(number),
                _ => Uuid::parse_str(id).unwrap_or_default(),
            };
            let claims = serde_json::json!({ "tenant": "t1", "level": 3, "nested": { "list": [1, 2.50] } });
            Caller::user(Arc::new(User::new(id, email, roles, claims)), moment)
        }
    }
}

/// One write in a transaction of its own.
struct Change {
    query: Prepared,
}

impl Work for Change {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let (text, refused) = transaction::one(connection, &self.query).await?;
            let decision = if refused { Decision::Rollback } else { Decision::Commit };
            Ok(WorkAnswer { decision, value: Box::new(text) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check that answers `expected` for everybody but one store, which answers `given` and says so in an exception, or does not.
    fn compared(exception: Option<(&'static str, &'static str)>, given: &str) -> Report {
        let exceptions: Vec<Exception> =
            exception.iter().map(|(case, answer)| Exception { case, reason: "because", answer }).collect();
        let mut run = Run { report: Report::default(), exceptions: &exceptions, used: vec![false; exceptions.len()] };
        let case = Case { name: "file: case".into(), definition: Vec::new(), shares: false, steps: Vec::new() };
        run.compare(&case, &Step::new("GET things", "expected"), 2, given);
        run.finished()
    }

    #[test]
    fn a_difference_is_told_unless_it_is_excepted_exactly() {
        const NAME: &str = "file: case: GET things (2)";
        // What the exception says, what the store answers, whether all is well.
        let cases = [
            (None, "expected", true),
            (None, "other", false),
            (Some((NAME, "other")), "other", true),
            (Some((NAME, "other")), "another", false),
            (Some((NAME, "other")), "expected", false),
            (Some((NAME, "expected")), "expected", false),
            (Some(("file: case: GET things", "other")), "expected", false),
        ];
        for (exception, given, passed) in cases {
            assert_eq!(compared(exception, given).passed(), passed, "{exception:?} {given}");
        }
    }
}
