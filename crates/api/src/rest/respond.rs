//! Rows and counts to status, headers and body, as PostgREST says them; and what it lacks: versions, links, kept answers.

use super::decode::Decoded;
use super::encode::{Encoded, content_range};
use super::etag;
use super::media::Media;
use crate::http::Answer;
use crate::problem::Problem;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use undergird_engine::cache::Lookup;
use undergird_engine::idempotency::StoredAnswer;
use undergird_engine::{App, Failure, Written};
use undergird_model::field_type::wire;
use undergird_plan::request::{Resolution, Returning, Verb};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What stands for itself in a path segment (RFC 3986 §3.3), less what a key's syntax uses.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

/// What the answer to a read depends on, beside its rows.
pub(super) struct Form<'a> {
    pub(super) decoded: &'a Decoded,
    pub(super) keyed: bool,
    pub(super) if_none_match: Option<&'a str>,
    /// How an answer that may be kept was come by.
    pub(super) lookup: Option<Lookup>,
}

/// The answer to a read.
pub(super) fn read(form: &Form<'_>, encoded: Encoded, next: Option<String>) -> Result<Answer, Problem> {
    let Form { decoded, keyed, .. } = form;
    if *keyed && encoded.rows == 0 {
        return Err(Problem::no_row(&decoded.request.shape.collection));
    }
    if decoded.request.demands.singular && encoded.rows != 1 {
        return Err(Problem::from(Failure::NotSingular { rows: encoded.rows }));
    }
    let status = content_range::status(decoded.offset, encoded.rows, encoded.total)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut answer = Answer::new(status, content_type(decoded, *keyed), Vec::new());
    let range = content_range::content_range(decoded.offset, encoded.rows, encoded.total);
    insert(&mut answer, CONTENT_RANGE, &range);
    insert_applied(&mut answer, decoded);
    if let Some(next) = next {
        insert(&mut answer, LINK, &next);
    }
    if let Some(lookup) = form.lookup {
        answer.headers.insert(CACHE_STATUS, cache_status(lookup));
    }
    let tag = match &encoded.version {
        Some(version) if *keyed => {
            let is_default = decoded.request.shape.select.is_none() && decoded.media.is_plain();
            Some(if is_default { version.tag() } else { version.tag_of(&encoded.bytes) })
        }
        _ => form.lookup.map(|_| etag::of_list(&encoded.bytes, encoded.total)),
    };
    if let Some(tag) = tag {
        insert(&mut answer, ETAG, &tag);
        if form.if_none_match.is_some_and(|condition| etag::none_match(condition, &tag)) {
            answer.status = StatusCode::NOT_MODIFIED;
            answer.headers.remove(CONTENT_TYPE);
            return Ok(answer);
        }
    }
    answer.body = encoded.bytes;
    Ok(answer)
}

/// RFC 9211.
fn cache_status(lookup: Lookup) -> HeaderValue {
    HeaderValue::from_static(match lookup {
        Lookup::Hit => "undergird; hit",
        Lookup::Stored => "undergird; fwd=miss; stored",
        Lookup::TooLarge => "undergird; fwd=miss; detail=too-large",
        Lookup::Bypass => "undergird; fwd=bypass",
    })
}

/// The answer to a write.
pub(super) fn write(
    decoded: &Decoded,
    keyed: bool,
    written: &Written,
    encoded: Option<Encoded>,
    app: &App,
) -> Result<Answer, Problem> {
    let shape = &decoded.request.shape;
    if keyed && written.affected == 0 && shape.verb != Verb::Replace {
        return Err(Problem::no_row(&shape.collection));
    }
    let created = written.affected > written.updated;
    // As in PostgREST: only a create that changed rows and made none says 200. That an empty array makes nothing is no change.
    let merged = shape.resolution == Some(Resolution::MergeDuplicates);
    let status = match (shape.verb, &encoded) {
        (Verb::Create, _) if created || !merged => StatusCode::CREATED,
        (Verb::Replace, _) if created => StatusCode::CREATED,
        (_, Some(_)) => StatusCode::OK,
        (Verb::Create, None) => StatusCode::OK,
        (_, None) => StatusCode::NO_CONTENT,
    };
    let mut answer = Answer::empty(status);
    let total = decoded.preferences.count.map(|_| written.affected);
    // PostgREST lists what an update touched, and says of the others only how many there were.
    let listed = if shape.verb == Verb::Update { written.affected } else { 0 };
    insert(&mut answer, CONTENT_RANGE, &content_range::content_range(0, listed, total));
    insert_applied(&mut answer, decoded);
    let wants_location = keyed || shape.returning == Returning::HeadersOnly || encoded.is_some();
    if created
        && wants_location
        && let (Verb::Create | Verb::Replace, [key]) = (shape.verb, written.keys.as_slice())
    {
        insert(&mut answer, LOCATION, &location(app, &shape.collection, key));
    }
    if let Some(encoded) = encoded {
        if keyed {
            if let Some(version) = &encoded.version {
                let is_default = shape.select.is_none() && decoded.media.is_plain();
                let tag = if is_default { version.tag() } else { version.tag_of(&encoded.bytes) };
                insert(&mut answer, ETAG, &tag);
            }
            if encoded.rows != 1 && decoded.media.is_object() {
                // Written, but not for this caller to see: the answer says so by having nothing in it.
                answer.status = if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
                return Ok(answer);
            }
        }
        answer.headers.insert(CONTENT_TYPE, content_type(decoded, keyed));
        answer.body = encoded.bytes;
    }
    Ok(answer)
}

/// A path with a key answers with one object, which is plain JSON unless the client asked for PostgREST's kind of it.
fn content_type(decoded: &Decoded, keyed: bool) -> HeaderValue {
    let asked_for_object = decoded.request.demands.singular;
    match decoded.media {
        Media::Object { nulls_stripped } if keyed && !asked_for_object => {
            HeaderValue::from_static(Media::Array { nulls_stripped }.content_type())
        }
        media => HeaderValue::from_static(media.content_type()),
    }
}

/// Where a row is: its path with its key.
fn location(app: &App, collection: &str, key: &[undergird_model::Value]) -> String {
    let mut path = format!("/rest/v1/{collection}/");
    let several = key.len() > 1;
    for (position, part) in key.iter().enumerate() {
        if position > 0 {
            path.push(',');
        }
        let text = wire::to_text(part);
        let quoted = several && text.contains([',', '"', '\\']) || text.starts_with('"');
        let text = if quoted { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) } else { text };
        path.extend(utf8_percent_encode(&text, SEGMENT));
    }
    match &app.model().settings.server.public_url {
        Some(base) => format!("{}{path}", base.trim_end_matches('/')),
        None => path,
    }
}

/// An answer as it is kept under an idempotency key.
pub(super) fn stored(answer: &Answer) -> StoredAnswer {
    let headers = answer
        .headers
        .iter()
        .filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str().to_owned(), value.to_owned())));
    StoredAnswer { status: answer.status.as_u16(), headers: headers.collect(), body: answer.body.to_vec() }
}

/// A kept answer, given again.
pub(super) fn again(stored: StoredAnswer) -> Answer {
    let mut answer = Answer::empty(StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK));
    for (name, value) in &stored.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
            answer.headers.append(name, value);
        }
    }
    answer.headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    answer.body = stored.body.into();
    answer
}

fn insert_applied(answer: &mut Answer, decoded: &Decoded) {
    if let Some(applied) = decoded.preferences.applied(decoded.request.shape.verb) {
        insert(answer, PREFERENCE_APPLIED, &applied);
    }
}

/// Inserts a header whose text is ours or percent-encoded, so it is always a valid one.
fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers.insert(name, value);
    }
}

impl Media {
    /// The same form for exactly one row, where it has one.
    pub(super) fn singular(self) -> Media {
        match self {
            Media::Array { nulls_stripped } => Media::Object { nulls_stripped },
            other => other,
        }
    }

    /// Whether it is one object.
    fn is_object(self) -> bool {
        matches!(self, Media::Object { .. })
    }

    /// Whether it shows every member, so that the row's version alone says what it looks like.
    fn is_plain(self) -> bool {
        matches!(self, Media::Object { nulls_stripped: false })
    }
}
