//! `POST /rest/v1/batch`: several requests in one transaction, in order, all or none; a later one may refer to what an earlier one
//! answered.
//!
//! ```json
//! {"steps": [
//!   {"id": "post", "method": "POST", "path": "/rest/v1/posts", "body": {"title": "Hello", "slug": "hello"}},
//!   {"method": "POST", "path": "/rest/v1/comments", "body": {"post_id": {"$ref": "post#/0/id"}, "body": "First!"}},
//!   {"method": "GET", "path": "/rest/v1/posts/{post#/0/id}?select=title,comments(body)"}
//! ]}
//! ```
//!
//! A reference is a step's `id` (its position in the list when it has none), `#`, and a JSON pointer (RFC 6901) into the body of its
//! answer. Steps that write answer with the rows unless their `Prefer` says otherwise. Each step goes through the same `decode` and
//! the same plans as a request of its own; a batch of n steps counts as n.

use super::decode::{self, Decoded, Head, Malformed};
use super::encode::{Encoder, Options};
use super::handler::{change, decoded_key};
use super::respond::{self, Form};
use super::{precondition, replace};
use crate::http::{Answer, Exchange, answer};
use crate::problem::Problem;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Instant;
use undergird_engine::idempotency::{self, Doubt};
use undergird_engine::observe::Stage;
use undergird_engine::{Failure, Isolation, Outcome, Transaction};
use undergird_model::settings::Limits;
use undergird_plan::Caller;
use undergird_plan::caller::Moment;
use undergird_plan::request::{Returning, Verb};

const PREFIX: &str = "/rest/v1/";
/// Deepest nesting of a step's answer that references may look into: embeds, and stored JSON within.
const ANSWER_DEPTH_MAX: u32 = 200;
/// Longest `id` of a step.
const ID_CHARS_MAX: usize = 64;

/// Answers a batch.
///
/// # Errors
/// The first step's problem that fails, with its place; nothing of the batch has happened then.
pub async fn handle(exchange: &mut Exchange<'_>, caller: Caller) -> Result<Answer, Problem> {
    let started = Instant::now();
    let limits = exchange.app.model().settings.limits.clone();
    let steps = steps(&exchange.body, &limits)?;
    let key = exchange.head.headers.get("idempotency-key").map(precondition::idempotency_key).transpose()?;
    let kept = key.map(|key| (key, precondition::request_hash(exchange.head, &exchange.body)));
    exchange.stages.add(Stage::Decode, started.elapsed());
    let started = Instant::now();
    // A batch that only reads needs one moment and no writer.
    let reads = kept.is_none() && steps.iter().all(|step| step.method == Method::GET);
    let isolation = if reads { Isolation::Snapshot } else { Isolation::Serializable };
    let work = Arc::new(Work { caller, steps, limits, kept, doubt: Doubt::default() });
    let result = exchange
        .engine
        .transaction(isolation, move |transaction| {
            let work = work.clone();
            Box::pin(async move { work.run(transaction).await })
        })
        .await;
    exchange.stages.add(Stage::Store, started.elapsed());
    result.map_err(Problem::from)?
}

/// One step as it came: references not yet replaced.
struct Step {
    id: String,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Json>,
}

/// The steps of a body. All that is wrong with its form is told by the first mistake, with its pointer.
fn steps(body: &[u8], limits: &Limits) -> Result<Vec<Step>, Problem> {
    let json = decode::parse_json(body, limits.json_depth).map_err(Problem::from)?;
    let Some(list) = json.get("steps").and_then(Json::as_array).filter(|_| is_only(&json, &["steps"])) else {
        return Err(malformed("", "a batch is an object with one member, \"steps\", a list"));
    };
    if list.len() > limits.batch_steps as usize {
        return Err(Malformed::over_limit("batch_steps", u64::from(limits.batch_steps), "steps").into());
    }
    let mut steps: Vec<Step> = Vec::with_capacity(list.len());
    for (position, json) in list.iter().enumerate() {
        let place = format!("/steps/{position}");
        let step = step(json, position, &place)?;
        if steps.iter().any(|known| known.id == step.id) {
            return Err(malformed(&format!("{place}/id"), "another step has this id already"));
        }
        steps.push(step);
    }
    Ok(steps)
}

fn step(json: &Json, position: usize, place: &str) -> Result<Step, Problem> {
    if !json.is_object() || !is_only(json, &["id", "method", "path", "headers", "body"]) {
        return Err(malformed(place, "a step has the members method, path, and perhaps id, headers and body"));
    }
    let text = |name: &str| match json.get(name) {
        Some(Json::String(text)) => Ok(Some(text.as_str())),
        None => Ok(None),
        Some(_) => Err(malformed(&format!("{place}/{name}"), "is not a string")),
    };
    let id = match text("id")? {
        Some(id) => id.to_owned(),
        None => position.to_string(),
    };
    let fits = !id.is_empty() && id.chars().count() <= ID_CHARS_MAX && !id.contains(['#', '{', '}']);
    if !fits {
        return Err(malformed(&format!("{place}/id"), "is empty, too long, or has one of # { } in it"));
    }
    let method = text("method")?.unwrap_or_default();
    let method = match method {
        "GET" | "POST" | "PATCH" | "PUT" | "DELETE" => Method::from_bytes(method.as_bytes()).ok(),
        _ => None,
    };
    let method =
        method.ok_or_else(|| malformed(&format!("{place}/method"), "is not GET, POST, PATCH, PUT or DELETE"))?;
    let path = text("path")?.filter(|path| path.starts_with(PREFIX) && !path.starts_with("/rest/v1/batch"));
    let path =
        path.ok_or_else(|| malformed(&format!("{place}/path"), "does not begin with /rest/v1/ and a collection"))?;
    let mut headers = HeaderMap::new();
    if let Some(given) = json.get("headers") {
        let wrong = || malformed(&format!("{place}/headers"), "is not an object of header names and texts");
        for (name, value) in given.as_object().ok_or_else(wrong)? {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok()).ok_or_else(wrong)?;
            // Letters that nobody could read would be passed over, and a condition with them.
            value.to_str().map_err(|_| wrong())?;
            // The caller is the batch's own: no step may come as somebody else, or be kept by itself.
            if !matches!(name.as_str(), "prefer" | "accept" | "content-type" | "range" | "range-unit" | "if-match") {
                return Err(malformed(&format!("{place}/headers/{name}"), "is not a header that a step may have"));
            }
            headers.insert(name, value);
        }
    }
    Ok(Step { id, method, path: path.to_owned(), headers, body: json.get("body").cloned() })
}

struct Work {
    caller: Caller,
    steps: Vec<Step>,
    limits: Limits,
    /// The idempotency key, and what it stands for.
    kept: Option<(String, Vec<u8>)>,
    doubt: Doubt,
}

/// What a step answered: for the batch's answer, and for references.
struct Done {
    status: StatusCode,
    headers: HeaderMap,
    body: Json,
}

impl Work {
    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<Result<Answer, Problem>>, Failure> {
        if let Some((key, hash)) = &self.kept
            && let Some(stored) = idempotency::recall(transaction, &self.caller, key, hash).await?
        {
            return Ok(Outcome::rollback(Ok(respond::again(stored))));
        }
        let mut done: Vec<Done> = Vec::with_capacity(self.steps.len());
        let mut bytes = 0usize;
        for (position, step) in self.steps.iter().enumerate() {
            match self.step(transaction, position, step, &done).await? {
                Ok((answered, length)) => {
                    bytes = bytes.saturating_add(length);
                    done.push(answered);
                }
                Err(problem) => return Ok(Outcome::rollback(Err(at_step(problem, position, &step.id)))),
            }
            if bytes > super::encode::BYTES_MAX {
                return Err(Failure::AnswerTooLarge);
            }
        }
        let answer = self.answer(&done);
        if let Some((key, hash)) = &self.kept {
            idempotency::keep(transaction, &self.caller, key, hash, &respond::stored(&answer)).await?;
        }
        Ok(Outcome::commit(Ok(answer)))
    }

    fn answer(&self, done: &[Done]) -> Answer {
        let answers: Vec<Json> = self.steps.iter().zip(done).map(|(step, done)| done.json(&step.id)).collect();
        Answer::new(StatusCode::OK, answer::JSON, json!({ "answers": answers }).to_string())
    }

    /// One step. The outer error ends the transaction as the store's; the inner one is a problem of the step.
    async fn step(
        &self,
        transaction: &mut Transaction<'_>,
        position: usize,
        step: &Step,
        done: &[Done],
    ) -> Result<Result<(Done, usize), Problem>, Failure> {
        let known = References { steps: &self.steps, done, limits: &self.limits };
        let decoded = known
            .path(&step.path)
            .and_then(|path| known.body(step.body.as_ref()).and_then(|body| self.decode(step, &path, body.as_deref())));
        let decoded = decoded.and_then(|(mut decoded, keyed)| {
            replace::key_of_conditions(&mut decoded.request, transaction.app().model())?;
            Ok((decoded, keyed))
        });
        let (decoded, keyed) = match decoded {
            Ok(decoded) => decoded,
            Err(problem) => return Ok(Err(problem)),
        };
        let caller = self.caller.at(moment_of(self.caller.moment(), position));
        let answered = if decoded.request.shape.verb == Verb::Read {
            let mut encoder = Encoder::new(Options::new(decoded.media));
            match transaction.read(&caller, &decoded.request, &mut encoder).await {
                Ok(()) => {}
                Err(failure) => return own(failure),
            }
            let encoded = encoder.finish().map_err(|_| Failure::AnswerTooLarge)?;
            respond::read(&Form { decoded: &decoded, keyed, if_none_match: None, lookup: None }, encoded, None)
        } else {
            if let Some(condition) = step.headers.get("if-match").and_then(|value| value.to_str().ok())
                && let Err(failure) = precondition::if_match(transaction, &caller, &decoded.request, condition).await
            {
                return own(failure);
            }
            match change(transaction, &caller, &decoded).await {
                Ok((written, encoded)) => respond::write(&decoded, keyed, &written, encoded, transaction.app()),
                Err(failure) if Doubt::is_due(&decoded.request, self.kept.is_some()) => {
                    return own(self.doubt.once(failure));
                }
                Err(failure) => return own(failure),
            }
        };
        Ok(answered.map(|answer| {
            let length = answer.body.len();
            (Done::of(answer), length)
        }))
    }

    fn decode(&self, step: &Step, path: &str, body: Option<&[u8]>) -> Result<(Decoded, bool), Problem> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let (collection, key) = match rest.split_once('/') {
            Some((collection, key)) => (collection, Some(decoded_key(key)?)),
            None => (rest, None),
        };
        let header = |name: &str| step.headers.get(name).and_then(|value| value.to_str().ok());
        let prefer: Vec<&str> = header("prefer").into_iter().collect();
        let head = Head {
            call: None,
            method: &step.method,
            collection,
            key: key.as_deref(),
            query,
            accept: header("accept"),
            content_type: header("content-type"),
            prefer: &prefer,
            range: header("range"),
            range_unit: header("range-unit"),
        };
        let mut decoded = decode::decode(&head, body, &self.limits).map_err(Problem::from)?;
        if key.is_some() {
            decoded.media = decoded.media.singular();
        }
        if decoded.request.shape.verb != Verb::Read && decoded.preferences.returning.is_none() {
            decoded.request.shape.returning = Returning::Representation;
        }
        if decoded.request.demands.rollback {
            return Err(malformed(
                "/headers/prefer",
                "a step cannot be rolled back by itself: a batch happens as a whole or not at all",
            ));
        }
        if decoded.request.shape.after.is_some() {
            return Err(malformed("/path", "a step cannot follow a cursor: ask for pages outside a batch"));
        }
        Ok((decoded, key.is_some()))
    }
}

/// A failure that is the request's own is the step's problem; what is the store's ends the transaction.
fn own<T>(failure: Failure) -> Result<Result<T, Problem>, Failure> {
    match failure {
        Failure::Refused(_)
        | Failure::Constraint(_)
        | Failure::NotSingular { .. }
        | Failure::MaxAffected { .. }
        | Failure::Raised(_)
        | Failure::PreconditionFailed => Ok(Err(Problem::from(failure))),
        Failure::IdempotencyMismatch
        | Failure::IdempotencyInProgress
        | Failure::Conflict
        | Failure::Overloaded
        | Failure::Deadline
        | Failure::Cancelled
        | Failure::StorageFull
        | Failure::Held
        | Failure::Unavailable
        | Failure::AnswerTooLarge
        | Failure::Internal(_) => Err(failure),
    }
}

/// Each step needs dice of its own, else two creates would make the same ids.
fn moment_of(moment: Moment, position: usize) -> Moment {
    let turn = (position as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834);
    Moment { now: moment.now, entropy: moment.entropy ^ turn }
}

impl Done {
    fn of(answer: Answer) -> Done {
        let body = match answer.headers.get(http::header::CONTENT_TYPE) {
            _ if answer.body.is_empty() => Json::Null,
            Some(kind) if kind.as_bytes().starts_with(b"text/csv") => {
                Json::String(String::from_utf8_lossy(&answer.body).into_owned())
            }
            _ => decode::parse_json(&answer.body, ANSWER_DEPTH_MAX).unwrap_or(Json::Null),
        };
        Done { status: answer.status, headers: answer.headers, body }
    }

    fn json(&self, id: &str) -> Json {
        let headers: Map<String, Json> = self
            .headers
            .iter()
            .filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str().to_owned(), value.into())))
            .collect();
        json!({ "id": id, "status": self.status.as_u16(), "headers": headers, "body": self.body })
    }
}

/// What steps before this one answered.
struct References<'a> {
    steps: &'a [Step],
    done: &'a [Done],
    /// What references may make of a step, at most: as much as a request of its own may be. A reference is a few bytes, and stands for a
    /// whole answer: without a limit here, one batch could ask for terabytes.
    limits: &'a Limits,
}

impl References<'_> {
    /// What `id#/pointer` means.
    fn value(&self, reference: &str) -> Result<&Json, Problem> {
        let unknown = |why: &str| {
            let known: Vec<&str> = self.steps[..self.done.len()].iter().map(|step| step.id.as_str()).collect();
            malformed("", &format!("the reference \"{}\" {why}", decode::excerpt(reference)))
                .with_hint(format!("Write step#/json/pointer, where step is one before this: {}", known.join(", ")))
        };
        let (id, pointer) = reference.split_once('#').ok_or_else(|| unknown("has no #"))?;
        let position = self.steps.iter().position(|step| step.id == id);
        let done = position.and_then(|position| self.done.get(position));
        let done = done.ok_or_else(|| unknown("does not name a step before this one"))?;
        done.body.pointer(pointer).ok_or_else(|| unknown("leads nowhere in that step's answer"))
    }

    /// A path with its `{id#/pointer}`s replaced, percent-encoded.
    fn path(&self, path: &str) -> Result<String, Problem> {
        let mut out = String::with_capacity(path.len());
        let mut rest = path;
        while let Some(start) = rest.find('{') {
            let Some(end) = rest[start..].find('}').map(|end| start + end) else { break };
            let inner = &rest[start + 1..end];
            out.push_str(&rest[..start]);
            if inner.contains('#') {
                let text = match self.value(inner)? {
                    Json::String(text) => text.clone(),
                    scalar @ (Json::Number(_) | Json::Bool(_)) => scalar.to_string(),
                    Json::Null | Json::Array(_) | Json::Object(_) => {
                        return Err(malformed("/path", "refers to something that is not a text, a number or a bool"));
                    }
                };
                out.extend(utf8_percent_encode(&text, NON_ALPHANUMERIC));
                if out.len() > self.limits.url_bytes as usize {
                    let most = self.limits.url_bytes;
                    let message = format!("The URL of a step is longer than {most} bytes with its references replaced");
                    return Err(Problem::new("UG414", 414, message));
                }
            } else {
                // `{a,b}` is the wire's own notation for lists.
                out.push_str(&rest[start..=end]);
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// A body with its `{"$ref": "…"}`s replaced.
    fn body(&self, body: Option<&Json>) -> Result<Option<Vec<u8>>, Problem> {
        let Some(body) = body else { return Ok(None) };
        let mut room = usize::try_from(self.limits.body_bytes).unwrap_or(usize::MAX);
        Ok(Some(self.replaced(body, &mut room)?.to_string().into_bytes()))
    }

    /// The same with its references replaced; `room` is how many bytes they may still bring.
    fn replaced(&self, json: &Json, room: &mut usize) -> Result<Json, Problem> {
        match json {
            Json::Object(members) => {
                if let (1, Some(Json::String(reference))) = (members.len(), members.get("$ref")) {
                    let value = self.value(reference)?;
                    *room = room.checked_sub(bytes_of(value)).ok_or_else(|| {
                        let most = self.limits.body_bytes;
                        let message =
                            format!("The body of a step is larger than {most} bytes with its references replaced");
                        Problem::new("UG413", 413, message)
                    })?;
                    return Ok(value.clone());
                }
                let mut replaced = Map::with_capacity(members.len());
                for (name, value) in members {
                    replaced.insert(name.clone(), self.replaced(value, room)?);
                }
                Ok(Json::Object(replaced))
            }
            Json::Array(items) => {
                items.iter().map(|item| self.replaced(item, room)).collect::<Result<_, _>>().map(Json::Array)
            }
            scalar => Ok(scalar.clone()),
        }
    }
}

/// About how many bytes a value has as text; never fewer than it has members.
fn bytes_of(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 4,
        Json::String(text) => text.len() + 2,
        Json::Array(items) => items.iter().map(|item| bytes_of(item) + 1).sum::<usize>() + 2,
        Json::Object(members) => {
            members.iter().map(|(name, value)| name.len() + bytes_of(value) + 4).sum::<usize>() + 2
        }
    }
}

fn is_only(json: &Json, names: &[&str]) -> bool {
    json.as_object().is_some_and(|members| members.keys().all(|name| names.contains(&name.as_str())))
}

fn malformed(pointer: &str, message: &str) -> Problem {
    Problem::new("UG103", 422, format!("The batch is not good: {message}")).with_error(pointer, "batch", message)
}

/// A step's problem as the batch's: the same code and status, with the step's place before every pointer.
fn at_step(mut problem: Problem, position: usize, id: &str) -> Problem {
    let place = format!("/steps/{position}");
    if problem.code == "UG103" {
        for error in &mut problem.errors {
            error.pointer = format!("{place}{}", error.pointer);
        }
    } else {
        for error in &mut problem.errors {
            error.pointer = format!("{place}/body{}", error.pointer);
        }
        if problem.errors.is_empty() {
            let message = problem.message.clone();
            problem = problem.with_error(place, "batch", message);
        }
    }
    if problem.details.is_none() {
        problem.details = Some(format!("Step {id} of the batch failed, so nothing of it was done."));
    }
    problem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use undergird_model::settings::Settings;

    #[test]
    fn references_cannot_make_a_step_larger_than_a_request_may_be() {
        let limits = Limits { body_bytes: 1_000, url_bytes: 1_000, ..Settings::default().limits };
        let steps = steps(br#"{"steps": [{"id": "a", "method": "GET", "path": "/rest/v1/x"}]}"#, &limits).unwrap();
        let done = |text: usize| {
            [Done { status: StatusCode::OK, headers: HeaderMap::new(), body: json!([{"t": "x".repeat(text)}]) }]
        };
        let body = |times: usize, text: usize| {
            let done = done(text);
            let known = References { steps: &steps, done: &done, limits: &limits };
            known.body(Some(&json!(vec![json!({"$ref": "a#/0/t"}); times]))).map(|_| ()).map_err(|problem| problem.code)
        };
        assert_eq!(body(9, 100), Ok(()));
        assert_eq!(body(10, 100), Err("UG413"));
        assert_eq!(body(1_000_000, 100), Err("UG413"));
        assert_eq!(body(1, 1_001), Err("UG413"));
        let path = |times: usize, text: usize| {
            let done = done(text);
            let known = References { steps: &steps, done: &done, limits: &limits };
            known.path(&"{a#/0/t}".repeat(times)).map(|_| ()).map_err(|problem| problem.code)
        };
        assert_eq!(path(10, 100), Ok(()));
        assert_eq!(path(11, 100), Err("UG414"));
        assert_eq!(path(1_000_000, 100), Err("UG414"));
    }
}
