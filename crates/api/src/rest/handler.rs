//! One request for rows, from its head to its answer: decode, run, encode. Everything between is `engine`'s.
//!
//! Deliberately absent: routing, identification, limits on the body, and what every answer says (see [`crate::http`]).

use super::decode::{self, Decoded, Head};
use super::encode::{Encoded, Encoder, Options};
use super::respond::{self, Form};
use super::{cursor, media, precondition, replace};
use crate::http::{Answer, Exchange};
use crate::problem::Problem;
use http::header::{ACCEPT, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, RANGE};
use http::{HeaderName, Method};
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use std::time::Instant;
use undergird_engine::cache::{Keepable, Lookup};
use undergird_engine::idempotency::{self, Doubt};
use undergird_engine::observe::Stage;
use undergird_engine::{Failure, Freshness, Isolation, Outcome, Transaction, Written};
use undergird_model::operation::OperationKind;
use undergird_plan::request::{Operand, Returning, Verb};
use undergird_plan::{Caller, Request};

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(super) const RANGE_UNIT: HeaderName = HeaderName::from_static("range-unit");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
pub(super) const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// Answers a request for rows.
///
/// # Errors
/// A problem for the client.
pub async fn handle(exchange: &mut Exchange<'_>, caller: Caller) -> Result<Answer, Problem> {
    let started = Instant::now();
    let parts = Parts::of(exchange)?;
    let mut decoded = parts.decode(exchange)?;
    exchange.stages.add(Stage::Decode, started.elapsed());
    match decoded.request.shape.verb {
        Verb::Read => read(exchange, caller, &parts, &mut decoded).await,
        // Boxed: a read would carry the writes' state along.
        Verb::Create | Verb::Update | Verb::Replace | Verb::Delete => {
            Box::pin(write(exchange, caller, parts, decoded)).await
        }
    }
}

/// What of a request decides its answer, owned, so that it can go along into a transaction.
pub(super) struct Parts {
    method: Method,
    pub(super) collection: String,
    key: Option<String>,
    query: String,
    if_match: Option<String>,
    if_none_match: Option<String>,
    idempotency_key: Option<String>,
}

impl Parts {
    fn of(exchange: &Exchange<'_>) -> Result<Parts, Problem> {
        let collection = match exchange.operation {
            OperationKind::List(id)
            | OperationKind::Read(id)
            | OperationKind::Create(id)
            | OperationKind::Update(id)
            | OperationKind::UpdateOne(id)
            | OperationKind::Replace(id)
            | OperationKind::ReplaceOne(id)
            | OperationKind::Delete(id)
            | OperationKind::DeleteOne(id) => exchange.app.model().collection(id).name.clone(),
            OperationKind::Batch
            | OperationKind::Call(_)
            | OperationKind::Auth(_)
            | OperationKind::Page(_)
            | OperationKind::Service(_) => String::new(),
        };
        let key = exchange.key.map(decoded_key).transpose()?;
        let text = |name: &HeaderName| exchange.header(name).map(str::to_owned);
        // As in PostgREST: what is read is of one schema, what is written of the other header's.
        let profile =
            if matches!(exchange.head.method, Method::GET | Method::HEAD) { ACCEPT_PROFILE } else { CONTENT_PROFILE };
        media::profile(exchange.header(&profile)).map_err(Problem::from)?;
        // What guards a write is never passed over for its letters: a tag that cannot be read is a tag of no version.
        let any = |name: &HeaderName| {
            let mut values = exchange.head.headers.get_all(name).iter().peekable();
            values.peek()?;
            Some(values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", "))
        };
        let idempotency_key =
            exchange.head.headers.get(&IDEMPOTENCY_KEY).map(precondition::idempotency_key).transpose()?;
        Ok(Parts {
            method: exchange.head.method.clone(),
            collection,
            key,
            query: exchange.query().to_owned(),
            if_match: any(&IF_MATCH),
            if_none_match: text(&IF_NONE_MATCH),
            idempotency_key,
        })
    }

    fn decode(&self, exchange: &Exchange<'_>) -> Result<Decoded, Problem> {
        let prefer: Vec<_> = exchange
            .head
            .headers
            .get_all(&PREFER)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let prefer: Vec<&str> = prefer.iter().map(|value| value.as_ref()).collect();
        let head = Head {
            call: None,
            method: &self.method,
            collection: &self.collection,
            key: self.key.as_deref(),
            query: &self.query,
            accept: exchange.header(&ACCEPT),
            content_type: exchange.header(&CONTENT_TYPE),
            prefer: &prefer,
            range: exchange.header(&RANGE),
            range_unit: exchange.header(&RANGE_UNIT),
        };
        let limits = &exchange.app.model().settings.limits;
        let mut decoded = decode::decode(&head, Some(&exchange.body), limits).map_err(Problem::from)?;
        replace::key_of_conditions(&mut decoded.request, exchange.app.model())?;
        if self.key.is_some() {
            // A path with a key means one row, and its answer is that row.
            decoded.media = decoded.media.singular();
        }
        Ok(decoded)
    }
}

/// The key of a path, without its percent signs.
pub(super) fn decoded_key(raw: &str) -> Result<String, Problem> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Problem::new("PGRST100", 400, "The key in the path is not UTF-8")),
    }
}

async fn read(
    exchange: &mut Exchange<'_>,
    caller: Caller,
    parts: &Parts,
    decoded: &mut Decoded,
) -> Result<Answer, Problem> {
    let rows_max = u64::from(exchange.app.model().settings.limits.rows);
    let page = decoded.limit.unwrap_or(rows_max).min(rows_max);
    let names = Names { collection: &parts.collection, query: &parts.query };
    open_cursor(exchange, &caller, names, decoded)?;
    let options = Options { cursor_at: Some(page), ..Options::new(decoded.media) };
    let engine = exchange.engine.clone();
    let (encoded, lookup) = if is_kept(exchange) {
        // Boxed: other reads would carry this one's state along. What is kept is never old, so nobody needs to be asked whether it may be.
        let kept = Box::pin(read_kept(exchange, &caller, decoded, options)).await?;
        (kept.0, Some(kept.1))
    } else {
        let freshness = if decoded.preferences.eventual { Freshness::Eventual } else { Freshness::Current };
        let encoder = Encoder::new(options);
        let read = engine.read_at(&caller, &decoded.request, freshness, encoder, exchange.stages).await;
        let (encoder, freshness) = read.map_err(Problem::from)?;
        // The answer says so only where it may be old.
        decoded.preferences.aged = freshness == Freshness::Eventual;
        (encoder.finish().map_err(|_| Problem::from(Failure::AnswerTooLarge))?, None)
    };
    let started = Instant::now();
    let position = encoded.cursor.as_deref().filter(|_| encoded.rows == page && parts.key.is_none());
    let next = position.and_then(|position| {
        let context = cursor::context(&caller, &parts.collection, &parts.query);
        // Not those of this request, which whatever it makes may show.
        let fresh = exchange.engine.moment().entropy;
        let cursor = cursor::seal(exchange.cursors, position, &context, fresh)?;
        let query = cursor::next_query(&parts.query, &cursor, decoded.limit);
        Some(format!("<{}?{query}>; rel=\"next\"", exchange.head.uri.path()))
    });
    let form = Form { decoded, keyed: parts.key.is_some(), if_none_match: parts.if_none_match.as_deref(), lookup };
    let answer = respond::read(&form, encoded, next);
    exchange.stages.add(Stage::Encode, started.elapsed());
    answer
}

/// Whether answers made of what is asked for are kept.
fn is_kept(exchange: &Exchange<'_>) -> bool {
    match exchange.operation {
        OperationKind::List(id) | OperationKind::Read(id) => exchange.app.is_kept(id),
        _ => false,
    }
}

impl Keepable for Encoded {
    fn octets(&self) -> usize {
        self.bytes.len() + size_of::<Encoded>()
    }
}

/// Finds the answer kept, or makes it.
async fn read_kept(
    exchange: &mut Exchange<'_>,
    caller: &Caller,
    decoded: &Decoded,
    options: Options,
) -> Result<(Encoded, Lookup), Problem> {
    let engine = exchange.engine.clone();
    let finish = |encoder: Encoder| encoder.finish().map_err(|_| Failure::AnswerTooLarge);
    let (request, encoder) = (&decoded.request, Encoder::new(options));
    let kept = engine.read_kept(caller, request, options.form(), encoder, finish, exchange.stages).await;
    let (encoded, lookup) = kept.map_err(Problem::from)?;
    Ok((Encoded::clone(&encoded), lookup))
}

/// Which rows a cursor is about.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) collection: &'a str,
    pub(super) query: &'a str,
}

/// Puts the position that a cursor holds in place of the cursor.
pub(super) fn open_cursor(
    exchange: &Exchange<'_>,
    caller: &Caller,
    names: Names<'_>,
    decoded: &mut Decoded,
) -> Result<(), Problem> {
    let Some(slot) = decoded.request.shape.after else { return Ok(()) };
    if matches!(decoded.request.values.get(usize::from(slot.0)), Some(Operand::Text(text)) if text.is_empty()) {
        // `after=` is the first page, so that a client can write all pages alike.
        decoded.request.shape.after = None;
        return Ok(());
    }
    let context = cursor::context(caller, names.collection, names.query);
    if let Some(operand) = decoded.request.values.get_mut(usize::from(slot.0))
        && let Operand::Text(text) = operand
    {
        *operand = Operand::Cursor(cursor::open(exchange.cursors, text, &context)?);
    }
    Ok(())
}

async fn write(exchange: &mut Exchange<'_>, caller: Caller, parts: Parts, decoded: Decoded) -> Result<Answer, Problem> {
    let started = Instant::now();
    let request_hash =
        parts.idempotency_key.as_ref().map(|_| precondition::request_hash(exchange.head, &exchange.body));
    // What is read first and decided upon must still be so at the end; a plain write carries its conditions in its own statement.
    let decides = parts.if_match.is_some() || request_hash.is_some();
    let isolation = if decides { Isolation::Serializable } else { Isolation::Committed };
    let work = Arc::new(Work { caller, parts, decoded, request_hash, doubt: Doubt::default() });
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

/// A write with what surrounds it: the precondition, the kept answer of the same key. May be run again after a conflict.
struct Work {
    caller: Caller,
    parts: Parts,
    decoded: Decoded,
    request_hash: Option<Vec<u8>>,
    doubt: Doubt,
}

impl Work {
    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<Result<Answer, Problem>>, Failure> {
        if let (Some(key), Some(hash)) = (&self.parts.idempotency_key, &self.request_hash)
            && let Some(stored) = idempotency::recall(transaction, &self.caller, key, hash).await?
        {
            return Ok(Outcome::rollback(Ok(respond::again(stored))));
        }
        if let Some(condition) = &self.parts.if_match {
            precondition::if_match(transaction, &self.caller, &self.decoded.request, condition).await?;
        }
        let is_last = self.request_hash.is_none() && self.decoded.request.shape.returning != Returning::Representation;
        let changed = match is_last {
            true => transaction.write_last(&self.caller, &self.decoded.request).await.map(|written| (written, None)),
            false => change(transaction, &self.caller, &self.decoded).await,
        };
        let (written, encoded) = match changed {
            Err(failure) if Doubt::is_due(&self.decoded.request, self.request_hash.is_some()) => {
                return Err(self.doubt.once(failure));
            }
            changed => changed?,
        };
        let answer = match respond::write(&self.decoded, self.parts.key.is_some(), &written, encoded, transaction.app())
        {
            Ok(answer) => answer,
            Err(problem) => return Ok(Outcome::rollback(Err(problem))),
        };
        if let (Some(key), Some(hash)) = (&self.parts.idempotency_key, &self.request_hash) {
            idempotency::keep(transaction, &self.caller, key, hash, &respond::stored(&answer)).await?;
        }
        if self.decoded.request.demands.rollback {
            return Ok(Outcome::rollback(Ok(answer)));
        }
        Ok(Outcome::commit(Ok(answer)))
    }
}

/// The change itself, with its representation when that was asked for.
pub(super) async fn change(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    decoded: &Decoded,
) -> Result<(Written, Option<Encoded>), Failure> {
    let request: &Request = &decoded.request;
    if request.shape.returning != Returning::Representation {
        return Ok((transaction.write(caller, request, None).await?, None));
    }
    let mut encoder = Encoder::new(Options::new(decoded.media));
    let written = transaction.write(caller, request, Some(&mut encoder)).await?;
    let encoded = encoder.finish().map_err(|_| Failure::AnswerTooLarge)?;
    Ok((written, Some(encoded)))
}
