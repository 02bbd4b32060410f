//! Bytes to [`Request`]: the grammar of PostgREST's URLs, headers and bodies. Its public reference is the specification.
//!
//! Deliberately absent: the model. A name is only a name here; whether there is such a column, and whether the caller may use it, is
//! `plan`'s to say. A limit holds for everything that a client can make long or deep, and no input makes this panic.

mod body;
mod call;
mod filter;
mod json;
mod order;
mod query;
mod range;
mod scan;
mod select;
#[cfg(test)]
mod tests;

pub use json::parse as parse_json;
pub(crate) use scan::excerpt;

use super::media::{self, Media};
use super::prefer::Preferences;
use http::Method;
use std::borrow::Cow;
use undergird_model::settings::Limits;
use undergird_plan::Request;
use undergird_plan::request::{Demands, Operand, Returning, Verb};

/// Most operands of one request, whatever the settings say: slots are numbered with 16 bits.
pub const OPERANDS_MAX: usize = 60_000;
/// Deepest nesting of `and=(…)` and `or=(…)`.
pub const CONDITION_DEPTH_MAX: usize = 32;
/// Deepest nesting of embeds, whatever the settings say: reading recurses.
pub const EMBED_DEPTH_MAX: u32 = 64;
/// Most values in one body: each takes many times the room of its text, and a small text can hold millions.
pub const BODY_VALUES_MAX: usize = 500_000;
/// Most steps of one JSON path.
pub const JSON_STEPS_MAX: usize = 32;
/// Most items of one `select` list, terms of one `order`, names of `columns`.
pub const ITEMS_MAX: usize = 1_000;

/// The parts of an HTTP request (or of a batch's step) that decide what is asked.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// GET and HEAD read, POST creates, PATCH updates, PUT replaces, DELETE deletes.
    pub method: &'a Method,
    /// The collection's name, percent-decoded. Empty for a call.
    pub collection: &'a str,
    /// The function that is called, by GET or POST.
    pub call: Option<Called<'a>>,
    /// What follows in the path, percent-decoded: the parts of the key separated by commas. A part that has a comma in it, or begins with
    /// a quote, stands in double quotes, in which a backslash escapes (`/rest/v1/parts/"a,b",7`).
    pub key: Option<&'a str>,
    /// What follows the `?`, as it came.
    pub query: &'a str,
    /// `Accept`, several joined by commas.
    pub accept: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Prefer`, each field by itself.
    pub prefer: &'a [&'a str],
    /// `Range` (`0-19`).
    pub range: Option<&'a str>,
    /// `Range-Unit`; anything but `items` makes `Range` mean nothing.
    pub range_unit: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// A request with nothing in its headers.
    pub fn new(method: &'a Method, collection: &'a str, query: &'a str) -> Head<'a> {
        Head {
            method,
            collection,
            call: None,
            key: None,
            query,
            accept: None,
            content_type: None,
            prefer: &[],
            range: None,
            range_unit: None,
        }
    }
}

/// A function that is called, as far as reading the request needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// Its name.
    pub function: &'a str,
    /// What its arguments are called, so that they can be told from conditions.
    pub arguments: &'a [&'a str],
    /// Whether it gives rows, so that there can be conditions.
    pub rows: bool,
}

/// A request, and what of it concerns only the form of the answer.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// For `plan`.
    pub request: Request,
    /// The form that the answer shall have.
    pub media: Media,
    /// What `Prefer` said.
    pub preferences: Preferences,
    /// Rows to skip, for `Content-Range`.
    pub offset: u64,
    /// Most rows that the client wants, for `Content-Range` and the link to the next page.
    pub limit: Option<u64>,
}

/// Why a request could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// One of [`crate::problem::CODES`].
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// One sentence; for the URL with the line and column where it went wrong, as PostgREST says it.
    pub message: String,
    /// What was found and what was expected.
    pub details: Option<String>,
    /// What to do instead.
    pub hint: Option<String>,
}

impl Malformed {
    /// A mistake with nothing more to say.
    pub fn new(code: &'static str, status: u16, message: impl Into<String>) -> Malformed {
        Malformed { code, status, message: message.into(), details: None, hint: None }
    }

    /// The same with details.
    pub fn with_details(mut self, details: impl Into<String>) -> Malformed {
        self.details = Some(details.into());
        self
    }

    /// The same with advice.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Malformed {
        self.hint = Some(hint.into());
        self
    }

    /// A limit of the settings is exceeded.
    pub(crate) fn over_limit(name: &str, value: u64, what: &str) -> Malformed {
        Malformed::new("UG400", 400, format!("The request has too many {what}: at most {value} are allowed"))
            .with_details(format!("limits.{name} = {value}"))
    }
}

/// Reads a request. `body` is looked at for POST, PATCH and PUT only.
///
/// # Errors
/// The first mistake, with its place.
pub fn decode(head: &Head<'_>, body: Option<&[u8]>, limits: &Limits) -> Result<Decoded, Malformed> {
    let url_bytes = head.query.len() + head.collection.len() + head.key.map_or(0, str::len);
    if url_bytes > limits.url_bytes as usize {
        return Err(Malformed::new("UG414", 414, format!("The URL is longer than {} bytes", limits.url_bytes))
            .with_hint("Ask for less at once, or split a long in.(…) list over several requests."));
    }
    let verb = if head.call.is_some() { Verb::Read } else { verb(head)? };
    let preferences = Preferences::read(head.prefer)?;
    let media = media::negotiate(head.accept)?;
    let mut request = Request::new(head.collection, verb);
    if let Some(key) = head.key {
        let parts = key_parts(key)?;
        request.shape.key =
            Some(parts.into_iter().map(|part| request.slot(Operand::Text(part.into_owned()))).collect());
    }
    let mut text = Cow::Borrowed(head.query);
    match &head.call {
        Some(called) if head.method == Method::POST => {
            call::of_body(&mut request, called, head.content_type, body.unwrap_or_default(), limits)?;
        }
        Some(called) => text = Cow::Owned(call::of_query(&mut request, called, head.query)?),
        None => {}
    }
    let mut page = query::read(&mut request, &text, limits)?;
    let counts_items = head.range_unit.is_none_or(|unit| unit.eq_ignore_ascii_case("items"));
    if let (Verb::Read, true, Some(range)) = (verb, counts_items, head.range) {
        page = range::intersect(page, range)?;
    }
    page.put(&mut request);
    if verb == Verb::Replace && (page.offset.is_some() || page.limit.is_some()) {
        return Err(Malformed::new("PGRST114", 400, "limit/offset querystring parameters are not allowed for PUT"));
    }
    preferences.put(&mut request);
    request.demands = Demands {
        singular: matches!(media, Media::Object { .. }),
        max_affected: preferences.max_affected.filter(|_| preferences.strict),
        rollback: preferences.rollback == Some(true),
    };
    if matches!(verb, Verb::Create | Verb::Update | Verb::Replace) {
        let columns = request.shape.columns.as_deref();
        request.body = Some(body::read(verb, head.content_type, body.unwrap_or_default(), columns, limits)?);
    }
    if verb == Verb::Read {
        // A read has nothing to return but its rows.
        request.shape.returning = Returning::Minimal;
    }
    Ok(Decoded { request, media, preferences, offset: page.offset.unwrap_or(0), limit: page.limit })
}

fn verb(head: &Head<'_>) -> Result<Verb, Malformed> {
    match head.method.as_str() {
        "GET" | "HEAD" => Ok(Verb::Read),
        "POST" if head.key.is_none() => Ok(Verb::Create),
        "PATCH" => Ok(Verb::Update),
        "PUT" => Ok(Verb::Replace),
        "DELETE" => Ok(Verb::Delete),
        "POST" => Err(Malformed::new("PGRST117", 405, "Unsupported HTTP method: POST")
            .with_hint("POST to the collection makes rows; PUT to a key makes or replaces the row with this key.")),
        other => {
            let name: String = other.chars().take(32).collect();
            Err(Malformed::new("PGRST117", 405, format!("Unsupported HTTP method: {name}")))
        }
    }
}

/// `"a,b",7` as its parts.
fn key_parts(key: &str) -> Result<Vec<Cow<'_, str>>, Malformed> {
    if memchr::memchr2(b',', b'"', key.as_bytes()).is_none() {
        return if key.is_empty() {
            Err(Malformed::new("PGRST125", 404, "The key in the path is empty"))
        } else {
            Ok(vec![Cow::Borrowed(key)])
        };
    }
    let mut scanner = scan::Scanner::new(key, scan::What::Key);
    let mut parts = Vec::new();
    loop {
        if parts.len() == KEY_PARTS_MAX {
            return Err(Malformed::over_limit("key_parts", KEY_PARTS_MAX as u64, "parts in its key"));
        }
        parts.push(scanner.quoted_or_until(b",")?);
        if !scanner.take(b',') {
            return Ok(parts);
        }
    }
}

/// Most parts of a composite key: more than any database allows in a primary key that anybody would put in a path.
const KEY_PARTS_MAX: usize = 32;
