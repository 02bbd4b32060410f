//! What PostgreSQL says went wrong, in the store's terms: by SQLSTATE, never by words, which depend on the server's language.
//!
//! Deliberately absent: details of errors, which hold values. Of `Key (slug)=(x) already exists.` only the columns are taken.

use std::error::Error as _;
use tokio_postgres::error::{DbError, Severity};
use undergird_store::{ConstraintKind, Raised, Said, StoreError};

/// How a request to the server failed: what that means for the one who asked, and for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The statement's own failure. Within a transaction, that is aborted.
    Store(StoreError),
    /// Another transaction came first; from the start it may go well.
    Conflict,
    /// The connection is gone, and with it whatever was not committed.
    Lost(String),
    /// A prepared statement is of no use any more, because a table changed or a pooler gave us another server.
    Stale,
    /// The server is no replica that is near enough, so whatever it answered does not count.
    Behind,
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        fault(&error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        match fault {
            Fault::Store(error) => error,
            Fault::Conflict => StoreError::Conflict,
            Fault::Lost(why) => StoreError::Unavailable(why),
            Fault::Stale => StoreError::SchemaMismatch("a prepared statement was lost".into()),
            Fault::Behind => StoreError::Unavailable("the replica is behind".into()),
        }
    }
}

/// An error of the driver's in the store's terms.
pub(crate) fn store_error(error: &tokio_postgres::Error) -> StoreError {
    fault(error).into()
}

fn fault(error: &tokio_postgres::Error) -> Fault {
    if let Some(error) = error.as_db_error() {
        return of_server(error);
    }
    let why = explain(error);
    let lost = error.is_closed() || causes(error).any(|cause| cause.is::<std::io::Error>());
    if lost { Fault::Lost(why) } else { Fault::Store(StoreError::Internal(why)) }
}

/// The error with its causes, outermost first.
pub(crate) fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return said(error);
    }
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn causes(error: &tokio_postgres::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), below)
}

fn below<'a>(cause: &&'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    (*cause).source()
}

fn said(error: &DbError) -> String {
    format!("PostgreSQL {}: {}", error.code().code(), error.message())
}

/// What our own triggers raise while [writes are held](undergird_store::Store::hold_writes); by this they are known again.
pub(crate) const HELD: &str = "the data is being moved, or was moved, to another database";

fn of_server(error: &DbError) -> Fault {
    let told = || said(error);
    let code = error.code().code();
    if error.message() == HELD {
        return Fault::Store(StoreError::Held);
    }
    if let Some(raised) = raised(error) {
        return Fault::Store(StoreError::Raised(raised));
    }
    match (code, code.get(..2).unwrap_or_default()) {
        ("40001" | "40P01", _) => Fault::Conflict,
        ("26000", _) => Fault::Stale,
        // "cached plan must not change result type": the routine's name is not translated.
        ("0A000", _) if error.routine() == Some("RevalidateCachedQuery") => Fault::Stale,
        ("23505", _) => constraint(error, ConstraintKind::Unique),
        ("23P01", _) => constraint(error, ConstraintKind::Unique),
        ("23503" | "23001", _) => constraint(error, ConstraintKind::ForeignKey),
        ("23514", _) => constraint(error, ConstraintKind::Check),
        ("23502", _) => constraint(error, ConstraintKind::NotNull),
        // Whoever cancels on our behalf is the deadline; a future that was dropped hears nothing any more.
        ("57014", _) => Fault::Store(StoreError::Deadline),
        ("55P03", _) => Fault::Conflict,
        ("53100", _) => Fault::Store(StoreError::Full),
        (_, "53") => Fault::Store(StoreError::Overloaded),
        ("42501", _) => Fault::Store(StoreError::Walled(told())),
        ("42P01" | "42703" | "42704" | "42883" | "3F000", _) => Fault::Store(StoreError::SchemaMismatch(told())),
        ("25006", _) => Fault::Store(StoreError::Unavailable(format!("the server takes no writes: {}", told()))),
        // Shutting down, starting, timed out while idle, no such database, no such user.
        ("57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "3D000", _) | (_, "08" | "28" | "58") => {
            Fault::Lost(told())
        }
        // Patterns are written by us: what is wrong with one is its size.
        ("2201B", _) => Fault::Store(StoreError::Unsupported(undergird_store::sql::pattern::HEAVY)),
        (_, "54") => Fault::Store(StoreError::TooLarge),
        // A value that a type or a function does not take. The words may show what is in the database.
        (_, "22") => Fault::Store(StoreError::Raised(Raised { state: code.to_owned(), said: None, told: told() })),
        _ if matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) => Fault::Lost(told()),
        _ => Fault::Store(StoreError::Internal(told())),
    }
}

/// What a function or a trigger of people's says by `RAISE`: in PL/pgSQL with any SQLSTATE, elsewhere by one that PostgreSQL has for
/// nothing else. That another transaction came first stays what it is, whoever says it, so that it is tried again.
fn raised(error: &DbError) -> Option<Raised> {
    let code = error.code().code();
    let class = code.get(..2).unwrap_or_default();
    // Classes that begin with these are for whoever wants them, but for PostgreSQL's own.
    let is_free = code.starts_with(|first: char| matches!(first, '5'..='9' | 'I'..='Z'))
        && !matches!(class, "53" | "54" | "55" | "57" | "58" | "72" | "P0" | "XX");
    let is_raised = code == "P0001" || is_free || error.routine() == Some("exec_stmt_raise");
    if !is_raised || matches!(code, "40001" | "40P01" | "55P03") {
        return None;
    }
    let words = Said {
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
    };
    Some(Raised { state: code.to_owned(), said: Some(words), told: said(error) })
}

fn constraint(error: &DbError, kind: ConstraintKind) -> Fault {
    let mut columns = Vec::new();
    if let Some(column) = error.column() {
        columns.push(column.to_owned());
    } else if let Some(detail) = error.detail().filter(|_| kind == ConstraintKind::Unique) {
        columns = key_columns(detail);
    }
    Fault::Store(StoreError::Constraint {
        kind,
        table: error.table().unwrap_or_default().to_owned(),
        name: error.constraint().map(str::to_owned),
        columns,
    })
}

/// The columns in `Key (a, "B c")=(1, 2) already exists.`, in whatever language. None when an expression is among them.
fn key_columns(detail: &str) -> Vec<String> {
    let Some((_, rest)) = detail.split_once('(') else { return Vec::new() };
    let mut columns = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            _ if quoted => name.push(character),
            ',' => columns.push(std::mem::take(&mut name)),
            ' ' if name.is_empty() => {}
            ')' if characters.peek() == Some(&'=') => {
                columns.push(name);
                return columns;
            }
            '(' | ')' | ' ' | ':' => return Vec::new(),
            other => name.push(other),
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_a_key() {
        for (detail, expected) in [
            ("Key (slug)=(x) already exists.", "slug"),
            ("Key (a, b)=(1, (2)=(3)) already exists.", "a|b"),
            ("Key (\"Weird, \"\"name\", b)=(1, 2) already exists.", "Weird, \"name|b"),
            ("Schlüssel »(slug)=(x)« existiert bereits.", "slug"),
            ("Key (lower(name))=(x) already exists.", ""),
            ("Key (lower(name), b)=(x) already exists.", ""),
            ("", ""),
            ("Key (slug", ""),
        ] {
            assert_eq!(key_columns(detail).join("|"), expected, "{detail}");
        }
    }
}
