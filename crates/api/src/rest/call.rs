//! One call of a function of the database, from its head to its answer: by POST with a body of arguments, by GET with arguments in the
//! query where the function changes nothing.
//!
//! Deliberately absent: what its rows may be asked, and for whom (`plan`'s), and how it is written as SQL (`store`'s).

use super::decode::{self, Called, Decoded, Head};
use super::encode::{Encoded, Encoder, Options, content_range};
use super::handler::{self, Names};
use super::media::{self, Media};
use super::{cursor, precondition, respond};
use crate::http::{Answer, Exchange};
use crate::problem::Problem;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE};
use http::{HeaderValue, Method, StatusCode};
use std::sync::Arc;
use std::time::Instant;
use undergird_engine::idempotency::{self, Doubt};
use undergird_engine::observe::Stage;
use undergird_engine::{Failure, Isolation, Outcome, Transaction};
use undergird_model::schema::Returns;
use undergird_model::{DbFunction, FunctionId};
use undergird_plan::Caller;
use undergird_plan::request::{Returning, Verb};

/// Answers a call.
///
/// # Errors
/// A problem for the client.
pub async fn handle(exchange: &mut Exchange<'_>, caller: Caller, id: FunctionId) -> Result<Answer, Problem> {
    let started = Instant::now();
    let app = exchange.app.clone();
    let function = app.model().function(id);
    let decoded = decode(exchange, function)?;
    let form = Form::of(function);
    exchange.stages.add(Stage::Decode, started.elapsed());
    if function.is_volatile() {
        change(exchange, caller, decoded, form).await
    } else {
        read(exchange, caller, decoded, form, &function.name).await
    }
}

/// What the function's result looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// There is none.
    Nothing,
    /// One value, or one row.
    One,
    /// Any number of them.
    Many,
}

impl Form {
    fn of(function: &DbFunction) -> Form {
        match function.returns {
            Returns::Nothing => Form::Nothing,
            Returns::Value { list: false, .. } | Returns::Rows { one: true, .. } => Form::One,
            Returns::Value { list: true, .. } | Returns::Rows { one: false, .. } => Form::Many,
        }
    }

    /// How it is written: one thing without brackets around it.
    fn media(self, asked: Media) -> Media {
        if self == Form::Many { asked } else { asked.singular() }
    }
}

fn decode(exchange: &Exchange<'_>, function: &DbFunction) -> Result<Decoded, Problem> {
    let by_get = matches!(exchange.head.method, Method::GET | Method::HEAD);
    let profile = if by_get { handler::ACCEPT_PROFILE } else { handler::CONTENT_PROFILE };
    media::profile(exchange.header(&profile)).map_err(Problem::from)?;
    let prefer: Vec<&str> =
        exchange.head.headers.get_all(&handler::PREFER).iter().filter_map(|value| value.to_str().ok()).collect();
    let arguments: Vec<&str> = function.arguments.iter().map(|argument| argument.field.name.as_str()).collect();
    let rows = matches!(function.returns, Returns::Rows { .. });
    let head = Head {
        call: Some(Called { function: &function.name, arguments: &arguments, rows }),
        accept: exchange.header(&ACCEPT),
        content_type: exchange.header(&CONTENT_TYPE),
        prefer: &prefer,
        range: exchange.header(&RANGE),
        range_unit: exchange.header(&handler::RANGE_UNIT),
        ..Head::new(&exchange.head.method, "", exchange.query())
    };
    let limits = &exchange.app.model().settings.limits;
    decode::decode(&head, Some(&exchange.body), limits).map_err(Problem::from)
}

/// A function that changes nothing: a read like any other.
async fn read(
    exchange: &mut Exchange<'_>,
    caller: Caller,
    mut decoded: Decoded,
    form: Form,
    name: &str,
) -> Result<Answer, Problem> {
    let rows_max = u64::from(exchange.app.model().settings.limits.rows);
    let page = decoded.limit.unwrap_or(rows_max).min(rows_max);
    let query = exchange.query().to_owned();
    let called = format!("rpc/{name}");
    handler::open_cursor(exchange, &caller, Names { collection: &called, query: &query }, &mut decoded)?;
    let options = Options { cursor_at: Some(page), ..Options::new(form.media(decoded.media)) };
    let engine = exchange.engine.clone();
    let encoder = engine.read(&caller, &decoded.request, Encoder::new(options), exchange.stages).await;
    let started = Instant::now();
    let encoded = encoder.map_err(Problem::from)?.finish().map_err(|_| Problem::from(Failure::AnswerTooLarge))?;
    // The arguments of a body are in no URL, so there is none of the next page.
    let by_get = exchange.head.method != Method::POST;
    let position = encoded.cursor.as_deref().filter(|_| by_get && encoded.rows == page);
    let next = position.and_then(|position| {
        let cursor = cursor::seal(
            exchange.cursors,
            position,
            &cursor::context(&caller, &called, &query),
            exchange.moment.entropy,
        )?;
        Some(format!(
            "<{}?{}>; rel=\"next\"",
            exchange.head.uri.path(),
            cursor::next_query(&query, &cursor, decoded.limit)
        ))
    });
    let mut answer = answer(&decoded, form, encoded, false)?;
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        answer.headers.insert(LINK, next);
    }
    exchange.stages.add(Stage::Encode, started.elapsed());
    Ok(answer)
}

/// A function that may change something: a transaction.
async fn change(exchange: &mut Exchange<'_>, caller: Caller, decoded: Decoded, form: Form) -> Result<Answer, Problem> {
    let started = Instant::now();
    let key = exchange.head.headers.get(&handler::IDEMPOTENCY_KEY).map(precondition::idempotency_key).transpose()?;
    let once = key.map(|key| (key, precondition::request_hash(exchange.head, &exchange.body)));
    let isolation = if once.is_some() { Isolation::Serializable } else { Isolation::Committed };
    let work = Arc::new(Work { caller, decoded, form, once, doubt: Doubt::default() });
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

/// A call with the kept answer of the same key. May be run again after a conflict.
struct Work {
    caller: Caller,
    decoded: Decoded,
    form: Form,
    /// The idempotency key and what the request is.
    once: Option<(String, Vec<u8>)>,
    doubt: Doubt,
}

impl Work {
    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<Result<Answer, Problem>>, Failure> {
        if let Some((key, hash)) = &self.once
            && let Some(stored) = idempotency::recall(transaction, &self.caller, key, hash).await?
        {
            return Ok(Outcome::rollback(Ok(respond::again(stored))));
        }
        let mut encoder = Encoder::new(Options::new(self.form.media(self.decoded.media)));
        match transaction.read(&self.caller, &self.decoded.request, &mut encoder).await {
            Err(failure) if self.once.is_some() => return Err(self.doubt.once(failure)),
            read => read?,
        }
        let encoded = encoder.finish().map_err(|_| Failure::AnswerTooLarge)?;
        let answer = match answer(&self.decoded, self.form, encoded, true) {
            Ok(answer) => answer,
            Err(problem) => return Ok(Outcome::rollback(Err(problem))),
        };
        if let Some((key, hash)) = &self.once {
            idempotency::keep(transaction, &self.caller, key, hash, &respond::stored(&answer)).await?;
        }
        if self.decoded.request.demands.rollback {
            return Ok(Outcome::rollback(Ok(answer)));
        }
        Ok(Outcome::commit(Ok(answer)))
    }
}

fn answer(decoded: &Decoded, form: Form, encoded: Encoded, changes: bool) -> Result<Answer, Problem> {
    let demands = decoded.request.demands;
    if form == Form::Nothing {
        let mut answer = Answer::empty(StatusCode::NO_CONTENT);
        insert_applied(&mut answer, decoded, changes);
        return Ok(answer);
    }
    if demands.singular && encoded.rows != 1 {
        return Err(Failure::NotSingular { rows: encoded.rows }.into());
    }
    if let Some(max) = demands.max_affected.filter(|max| changes && encoded.rows > *max) {
        return Err(Failure::MaxAffected { rows: encoded.rows, max }.into());
    }
    let status = content_range::status(decoded.offset, encoded.rows, encoded.total)?;
    let mut answer = Answer::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
    let range = content_range::content_range(decoded.offset, encoded.rows, encoded.total);
    if let Ok(range) = HeaderValue::from_str(&range) {
        answer.headers.insert(CONTENT_RANGE, range);
    }
    insert_applied(&mut answer, decoded, changes);
    if decoded.preferences.returning == Some(Returning::Minimal) {
        // Clients ask so for a count whose arguments do not fit into a URL.
        answer.status = StatusCode::NO_CONTENT;
        return Ok(answer);
    }
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(decoded.media.content_type()));
    let is_json = decoded.media != Media::Csv;
    answer.body = if encoded.bytes.is_empty() && is_json { Bytes::from_static(b"null") } else { encoded.bytes };
    Ok(answer)
}

fn insert_applied(answer: &mut Answer, decoded: &Decoded, changes: bool) {
    // What counts for a call that changes something is what counts for a change without a body of rows.
    let applied = decoded.preferences.applied(if changes { Verb::Delete } else { Verb::Read });
    if let Some(applied) = applied.and_then(|applied| HeaderValue::from_str(&applied).ok()) {
        answer.headers.insert(respond::PREFERENCE_APPLIED, applied);
    }
}
