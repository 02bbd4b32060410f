//! The table of codes. `PGRST…` are PostgREST's, five characters are PostgreSQL's (SQLSTATE), `UG…` are ours, for what neither has.
//! `docs/errors.md` is made from it, and a test holds that.

/// A code that a problem may have.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// Stable; clients branch on it.
    pub code: &'static str,
    /// The HTTP statuses that it comes with.
    pub statuses: &'static [u16],
    /// What it means in general: the problem's `title`.
    pub title: &'static str,
    /// For `docs/errors.md`: when it comes and what to do.
    pub about: &'static str,
}

const fn code(code: &'static str, statuses: &'static [u16], title: &'static str, about: &'static str) -> Code {
    Code { code, statuses, title, about }
}

/// All codes, in the order of the page.
#[rustfmt::skip]
pub const CODES: &[Code] = &[
    code("PGRST100", &[400], "The query string cannot be read", "The message has the parameter, line and column; `details` what was found and what was expected there."),
    code("PGRST101", &[405], "The method does not call this function", "A function that is declared `volatile` is called by POST only; others by GET too."),
    code("PGRST102", &[400], "The body cannot be read", "Empty, not UTF-8, or not the JSON, CSV or form that `Content-Type` says. `details` has line and column."),
    code("PGRST103", &[416], "The range cannot be satisfied", "A negative `limit`, a `Range` whose end lies before its beginning, or an offset past the last row of a counted answer."),
    code("PGRST105", &[405], "The filters of this PUT are not a key", "A PUT names one row: by its key in the path, or by `eq` on all columns of the key."),
    code("PGRST106", &[406], "There is no such schema", "There is one schema; `Accept-Profile` and `Content-Profile` may name only `public`."),
    code("PGRST107", &[406, 415], "The media type is not served", "406: nothing that `Accept` names can be served. 415: a body of this `Content-Type` cannot be read."),
    code("PGRST108", &[400], "Not an embedded collection of this request", "A filter, order or limit by path names an embed that `select` does not have. Use its alias if it has one."),
    code("PGRST114", &[400], "No limit and offset with PUT", "A PUT is about one row."),
    code("PGRST115", &[400], "The body's key is not the URL's", "The key in the body of a PUT, if there, equals the key in the URL."),
    code("PGRST116", &[406], "Not exactly one row", "`Accept: application/vnd.pgrst.object+json` (`.single()` in clients) asks for exactly one row. `details` says how many there were. Nothing was written."),
    code("PGRST117", &[405], "The method is not served here", "`Allow` lists those that are."),
    code("PGRST118", &[400], "No ordering by a to-many relation", "`order=relation(column)` needs a to-one relation."),
    code("PGRST120", &[400], "Only null tests on an embedded collection", "`relation=is.null` and `relation=not.is.null` are the only conditions on a relation as a whole."),
    code("PGRST122", &[400], "Unknown preferences", "`Prefer: handling=strict` makes unknown preferences an error; `details` lists them."),
    code("PGRST124", &[400], "More rows than max-affected allows", "`Prefer: handling=strict, max-affected=N`: the write would touch more rows. Nothing was written."),
    code("PGRST125", &[404], "There is nothing at this path", "See `/openapi.json` for what there is."),
    code("PGRST127", &[400], "Not served", "PostgREST's dialect knows it, this store or this place does not serve it. `hint` says what to do instead."),
    code("PGRST200", &[400], "There is no such relation", "`select` embeds something that no relation leads to. `hint` has the nearest name."),
    code("PGRST201", &[300], "More than one relation fits", "Add a `!hint`; `hint` lists those that would do."),
    code("PGRST202", &[404], "There is no such function", "Or it does not take these arguments: `details` says which ones it takes, `hint` has the nearest name."),
    code("PGRST204", &[400, 422], "There is no such column", "400: in `columns`. 422: a member of the body. `errors` has each with its place."),
    code("PGRST205", &[404], "There is no such collection", "Or none that this caller may know of. `hint` has the nearest name."),
    code("PGRST301", &[401], "The token or key is not good", "Malformed, mistyped, altered, or signed by another. Sign in again, or see `undergird keys`."),
    code("PGRST302", &[401], "Sign in first", "The operation is not for visitors."),
    code("PGRST303", &[401], "The token is not good any more", "It ran out, is for another server, or its session ended. Refresh the session, or sign in again."),
    code("42501", &[401, 403], "Not permitted", "The access rules do not permit it: 401 for a visitor, 403 for everybody else. Nothing was written."),
    code("42703", &[400], "There is no such column", "Or none that this caller may read. `hint` has the nearest name."),
    code("42P10", &[400], "Nothing unique to tell rows by", "`on_conflict` names the key, a field that is `unique`, or all fields of an index with `unique = true`."),
    code("42883", &[400], "The operator does not go with the column's type", "For example `like` on a number."),
    code("22P02", &[400, 422], "Not a value of the column's type", "400: in the URL. 422: in the body, with its place in `errors`."),
    code("23502", &[422], "A required value is missing", "`errors` has each with its place."),
    code("23503", &[409], "A reference to nothing", "A `ref` names a row that does not exist, or a row that others refer to cannot go."),
    code("23505", &[409], "The value is taken", "Another row has the same unique value or key. `details` names the columns."),
    code("23514", &[422], "A rule of the data is broken", "`min`, `max`, `pattern`, `values`, a JSON Schema or a check of the collection. `errors` has each with its place."),
    code("P0001", &[400, 401, 402, 403, 404, 405, 406, 409, 410, 412, 415, 416, 422, 423, 424, 428, 429, 451, 500, 501, 502, 503, 504], "A function of the database refuses", "It, or a trigger, raised an error. `code` is the SQLSTATE that it raised, `message`, `details` and `hint` are its words. `PT` and three digits give the status; else it is PostgREST's for that SQLSTATE, mostly 400. Nothing was written."),
    code("428C9", &[422], "The column is not for writing", "It is `readonly`, or `immutable` and the row exists already."),
    code("40001", &[409], "Another transaction came first", "Several times in a row. Try again."),
    code("53100", &[507], "The disk is full", "Nothing was written."),
    code("57014", &[503], "It took too long", "The statement was stopped after `limits.statement_seconds`. Ask for less, or add an index."),
    code("08006", &[503], "The database cannot be reached", "Try again."),
    code("XX000", &[500], "An error of the server", "The log has the reason under the answer's `request_id`."),
    code("UG101", &[400], "The cursor is not of this request", "Follow the `Link` header as it is. A cursor is bound to the caller, the filters and the order."),
    code("UG102", &[400], "The answer would be too large", "Ask for fewer rows or columns."),
    code("UG103", &[422], "A step of the batch is not good", "`errors` says which step and why. Nothing was written."),
    code("UG104", &[400], "The idempotency key is not good", "An `Idempotency-Key` has 1 to 255 characters."),
    code("UG105", &[503], "Writes are paused while the data moves", "`undergird move` carries the data to another database, or has done so. Nothing was written. Reads are answered; send the write again when `Retry-After` says so."),
    code("UG400", &[400], "A limit is exceeded", "`details` names the setting in `[limits]` and its value."),
    code("UG404", &[404], "There is no such row", "Or none that this caller may see."),
    code("UG408", &[408], "The body came too slowly", "Send it faster, or in several requests."),
    code("UG409", &[409], "The same request is under way", "The first request with this `Idempotency-Key` has not ended yet. Try again."),
    code("UG412", &[412], "The row is not what it was", "`If-Match` names another version. Read the row again."),
    code("UG413", &[413], "The body is too large", "See `limits.body_bytes`."),
    code("UG414", &[414], "The URL is too long", "See `limits.url_bytes`."),
    code("UG415", &[415], "The body is compressed", "Send it without `Content-Encoding`."),
    code("UG422", &[422], "The idempotency key was used for another request", "A key stands for one request: method, path and body."),
    code("UG429", &[429], "Too many requests", "`Retry-After` says when to try again."),
    code("UG431", &[431], "The headers are too large", "Send fewer or shorter headers."),
    code("UG503", &[503], "Too much to do", "More comes than the server can answer in time, or it is stopping: see [overload](operating.md#overload). `Retry-After` says when to try again."),
    code("UG504", &[504], "The request took too long", "It was stopped after `limits.request_seconds`. Ask for less."),
];
