//! Refusals and failures as problems. Messages are PostgreSQL's and PostgREST's own where clients know them, without the values that
//! theirs repeat.

use super::Problem;
use crate::rest::decode::Malformed;
use undergird_engine::failure::{Constraint, Failure, Kind};
use undergird_plan::request::Verb;
use undergird_plan::rows::Overflow;
use undergird_plan::{FieldError, Refusal};

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Problem {
        let Malformed { code, status, message, details, hint } = malformed;
        Problem { details, hint, ..Problem::new(code, status, message) }
    }
}

impl From<Overflow> for Problem {
    fn from(_: Overflow) -> Problem {
        Problem::new("UG102", 400, "The answer would be too large").with_hint("Ask for fewer rows or columns at once.")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        match refusal {
            Refusal::UnknownCollection { name, nearest } => {
                let problem = Problem::new("PGRST205", 404, format!("Could not find the table '{}'", short(&name)));
                nearest_hint(problem, nearest.map(|nearest| format!("Perhaps you meant the table '{nearest}'")))
            }
            Refusal::UnknownColumn { collection, name, nearest } => {
                let problem =
                    Problem::new("42703", 400, format!("column {collection}.{} does not exist", short(&name)));
                let hint = nearest
                    .map(|nearest| format!("Perhaps you meant to reference the column \"{collection}.{nearest}\"."));
                nearest_hint(problem, hint)
            }
            Refusal::UnknownTarget { collection, name, nearest } => {
                let message = format!("Could not find the '{}' column of '{collection}'", short(&name));
                let hint = nearest.map(|nearest| format!("Perhaps you meant '{nearest}'."));
                nearest_hint(Problem::new("PGRST204", 400, message), hint)
            }
            Refusal::UnknownRelation { collection, name, nearest } => {
                let name = short(&name);
                let message = format!("Could not find a relationship between '{collection}' and '{name}'");
                let hint = nearest.map(|nearest| format!("Perhaps you meant '{nearest}' instead of '{name}'."));
                nearest_hint(Problem::new("PGRST200", 400, message), hint)
            }
            Refusal::AmbiguousRelation { collection, name, candidates } => {
                let message = format!(
                    "Could not embed because more than one relationship was found for '{collection}' and '{name}'"
                );
                let hints: Vec<String> = candidates.iter().map(|hint| format!("'{name}!{hint}'")).collect();
                let hint = format!("Try changing '{name}' to one of the following: {}.", hints.join(", "));
                Problem::new("PGRST201", 300, message).with_hint(hint)
            }
            Refusal::NotEmbedded { name } => {
                let name = short(&name);
                Problem::new("PGRST108", 400, format!("'{name}' is not an embedded resource in this request"))
                    .with_hint(format!("Verify that '{name}' is included in the 'select' query parameter."))
            }
            Refusal::NotToOne { collection, name } => {
                let name = short(&name);
                Problem::new("PGRST118", 400, format!("A related order on '{name}' is not possible")).with_details(
                    format!("'{collection}' and '{name}' do not form a many-to-one or one-to-one relationship"),
                )
            }
            Refusal::EmbedOperator { name } => {
                Problem::new("PGRST120", 400, format!("Bad operator on the '{}' embedded resource", short(&name)))
                    .with_details("Only is null or not is null filters are allowed on embedded resources")
            }
            Refusal::UnknownFunction { name, nearest } => {
                let problem = Problem::new("PGRST202", 404, format!("Could not find the function '{}'", short(&name)));
                nearest_hint(problem, nearest.map(|near| format!("Perhaps you meant to call the function '{near}'")))
            }
            Refusal::WrongArguments { function, given, takes, nearest } => {
                let given = if given.is_empty() { "no arguments".into() } else { given.join(", ") };
                let message = format!("Could not find the function '{function}' with {}", short(&given));
                let problem = Problem::new("PGRST202", 404, message).with_details(format!("{function} takes {takes}."));
                nearest_hint(problem, nearest.map(|near| format!("Perhaps you meant the argument '{near}'")))
            }
            Refusal::FunctionClosed { function, ruled, authenticated } => {
                let problem = forbidden(authenticated, format!("permission denied for function {function}"));
                let unruled = "Nobody but a secret key may call it: the function has no `access` rule.";
                nearest_hint(problem, (!ruled).then(|| unruled.into()))
            }
            Refusal::VerbClosed { collection, verb, authenticated } => {
                forbidden(authenticated, format!("permission denied for table {collection}")).with_hint(format!(
                    "Nobody but a secret key may {} here: the collection has no `{}` rule under [access].",
                    deed(verb),
                    rule(verb)
                ))
            }
            Refusal::ScopeMissing { scope } => {
                forbidden(true, format!("permission denied: this key has no scope {scope}")).with_hint(format!(
                    "The key is held to its scopes; `undergird keys add NAME --scopes {scope},…` makes one that has it."
                ))
            }
            Refusal::RowRule { collection, verb: Verb::Delete, authenticated } => {
                forbidden(authenticated, format!("permission denied to delete this row of {collection}"))
            }
            Refusal::RowRule { collection, verb: _, authenticated } => forbidden(
                authenticated,
                format!("new row violates row-level security policy for table \"{collection}\""),
            ),
            Refusal::FieldRule { collection, field, authenticated } => forbidden(
                authenticated,
                format!("permission denied for column {collection}.{field}"),
            )
            .with_error(pointer(&field), "forbidden", "You may not write this field in this row."),
            Refusal::AggregateForbidden { field, authenticated } => {
                forbidden(authenticated, format!("permission denied to aggregate {field}"))
                    .with_details("An aggregate needs a field that the caller may read in every row.")
            }
            Refusal::Invalid { errors } => invalid(errors),
            Refusal::CheckFailed { check, message, pointer } => check_failed(&check, message, pointer),
            Refusal::BadValue { column, ty, message } => {
                Problem::new("22P02", 400, format!("invalid input syntax for type {ty}"))
                    .with_details(format!("{column}: {message}"))
            }
            Refusal::BadOperator { operator, column, ty } => {
                Problem::new("42883", 400, format!("operator does not exist: {operator} on {ty}"))
                    .with_details(format!("The column {column} is of type {ty}."))
            }
            Refusal::OverLimit { limit, value } => {
                Problem::new("UG400", 400, format!("The request exceeds the limit of {value} {}", words(limit)))
                    .with_details(format!("limits.{limit} = {value}"))
            }
            Refusal::Unsupported { what, hint } => {
                Problem { hint, ..Problem::new("PGRST127", 400, "Feature not implemented").with_details(what) }
            }
            Refusal::NotUnique { collection } => Problem::new(
                "42P10",
                400,
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            )
            .with_details(format!(
                "on_conflict names neither the key of {collection} nor a unique combination of its fields."
            ))
            .with_hint("Declare the field unique, or an index with unique = true over the fields."),
            Refusal::Malformed { message, hint } => Problem { hint, ..Problem::new("PGRST100", 400, message) },
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Constraint(constraint) => constraint.into(),
            Failure::NotSingular { rows } => {
                Problem::new("PGRST116", 406, "Cannot coerce the result to a single JSON object")
                    .with_details(format!("The result contains {rows} rows"))
            }
            Failure::MaxAffected { rows, max } => {
                Problem::new("PGRST124", 400, "Query result exceeds max-affected preference constraint")
                    .with_details(format!("The query affects {rows} rows; {max} are allowed"))
            }
            Failure::PreconditionFailed => Problem::new("UG412", 412, "The row is not the version that If-Match names")
                .with_hint("Read the row again, decide anew, and send its new ETag."),
            Failure::IdempotencyMismatch => {
                Problem::new("UG422", 422, "The Idempotency-Key was used before for another request")
                    .with_hint("Make a new key for each request; send the same key only to repeat the same request.")
            }
            Failure::IdempotencyInProgress => {
                Problem::new("UG409", 409, "The first request with this Idempotency-Key is still under way")
                    .retry_after(1)
            }
            Failure::Conflict => {
                Problem::new("40001", 409, "could not serialize access due to concurrent update").retry_after(1)
            }
            Failure::Overloaded => Problem::new("UG503", 503, "The server has too much to do").retry_after(1),
            Failure::Deadline => {
                Problem::new("57014", 503, "canceling statement due to statement timeout").retry_after(1)
            }
            Failure::Cancelled => Problem::new("57014", 503, "canceling statement due to user request"),
            Failure::StorageFull => Problem::new("53100", 507, "The disk is full; nothing was written"),
            Failure::Held => Problem::new("UG105", 503, "Writes are paused while the data moves")
                .with_hint("Nothing was written. Reads are answered; send the write again when Retry-After says so.")
                .retry_after(2),
            Failure::Unavailable => Problem::new("08006", 503, "The database cannot be reached").retry_after(1),
            Failure::AnswerTooLarge => Overflow.into(),
            Failure::Raised(raised) => super::raised::problem(raised),
            Failure::Internal(why) => Problem { cause: Some(why.into()), ..Problem::internal() },
        }
    }
}

impl From<Constraint> for Problem {
    fn from(constraint: Constraint) -> Problem {
        let Constraint { kind, collection, fields, name, message } = constraint;
        let listed = fields.join(", ");
        let called = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        match kind {
            Kind::Unique => {
                let problem = Problem::new(
                    "23505",
                    409,
                    format!("duplicate key value violates unique constraint{called} of table \"{collection}\""),
                );
                if fields.is_empty() {
                    return problem;
                }
                let problem = problem.with_details(format!("Key ({listed}) already exists."));
                fields.iter().fold(problem, |problem, field| {
                    problem.with_error(pointer(field), "unique", "Another row has this value.")
                })
            }
            Kind::ForeignKey => {
                let problem = Problem::new(
                    "23503",
                    409,
                    format!(
                        "insert, update or delete on table \"{collection}\" violates foreign key constraint{called}"
                    ),
                );
                if fields.is_empty() {
                    problem.with_details("A row that it refers to is not there, or rows that refer to it still are.")
                } else {
                    problem.with_details(format!("Key ({listed}) has no counterpart, or is still referred to."))
                }
            }
            Kind::Check => {
                let name = called.trim().trim_matches('"');
                let message = message.unwrap_or_else(|| {
                    format!("new row for relation \"{collection}\" violates check constraint{called}")
                });
                check_failed(name, message, String::new())
            }
            Kind::NotNull => {
                let problem = Problem::new(
                    "23502",
                    422,
                    format!(
                        "null value in column \"{listed}\" of relation \"{collection}\" violates not-null constraint"
                    ),
                );
                fields.iter().fold(problem, |problem, field| {
                    problem.with_error(pointer(field), "required", "A value is required.")
                })
            }
        }
    }
}

fn nearest_hint(problem: Problem, hint: Option<String>) -> Problem {
    Problem { hint, ..problem }
}

/// 401 asks a visitor to sign in; for others that would not help.
fn forbidden(authenticated: bool, message: String) -> Problem {
    Problem::new("42501", if authenticated { 403 } else { 401 }, message)
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    // The first mistake gives the code and the message, so that a client that shows only one line shows a true one.
    let Some(first) = errors.first() else {
        return Problem::new("23514", 422, "The body is not acceptable");
    };
    let code = match first.code {
        "unknown" => "PGRST204",
        "required" => "23502",
        "type" => "22P02",
        "readonly" | "immutable" => "428C9",
        "key" => "PGRST115",
        _ => "23514",
    };
    // That the URL and the body disagree is a mistake of the request, not of the row.
    let status = if code == "PGRST115" { 400 } else { 422 };
    let place = |error: &FieldError| error.pointer.trim_start_matches('/').replace('/', ".");
    let message = match place(first) {
        place if place.is_empty() => first.message.clone(),
        place => format!("{}: {}", short(&place), first.message),
    };
    let mut problem = Problem::new(code, status, message);
    if errors.len() > 1 {
        problem.details = Some(format!("{} mistakes in the body; `errors` has them all", errors.len()));
    }
    problem.hint = first.nearest.as_ref().map(|nearest| format!("Did you mean \"{nearest}\"?"));
    for error in errors {
        let message = match error.nearest {
            Some(nearest) => format!("{} Did you mean \"{nearest}\"?", full_stop(error.message)),
            None => error.message,
        };
        problem = problem.with_error(error.pointer, error.code, message);
    }
    problem
}

fn check_failed(check: &str, message: String, pointer: String) -> Problem {
    let problem = Problem::new("23514", 422, message.clone());
    let problem = if check.is_empty() { problem } else { problem.with_details(format!("The check {check} failed.")) };
    problem.with_error(pointer, "check", message)
}

fn full_stop(text: String) -> String {
    if text.ends_with(['.', '?', '!']) { text } else { format!("{text}.") }
}

/// A field's name as a JSON pointer (RFC 6901).
fn pointer(field: &str) -> String {
    format!("/{}", field.replace('~', "~0").replace('/', "~1"))
}

/// A name that came from outside, short enough to be repeated.
fn short(name: &str) -> std::borrow::Cow<'_, str> {
    crate::rest::decode::excerpt(name)
}

fn words(limit: &str) -> String {
    limit.replace('_', " ")
}

fn deed(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "read",
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Replace => "create or update",
        Verb::Delete => "delete",
    }
}

fn rule(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "read",
        Verb::Create | Verb::Replace => "create",
        Verb::Update => "update",
        Verb::Delete => "delete",
    }
}
