//! What the server says went wrong, in the store's terms: by error number. From the words, which every session has in English, only
//! names are taken.
//!
//! Deliberately absent: values. `Duplicate entry 'x' for key 'k'` holds one, so the words of constraint errors go nowhere.

use mysql_async::{DriverError, Error, ServerError};
use undergird_store::{ConstraintKind, StoreError};

/// How a request to the server failed: what that means for the one who asked, and for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The statement's own failure. The transaction goes on without it.
    Store(StoreError),
    /// Another transaction came first; from the start it may go well.
    Conflict,
    /// The connection is gone, and with it whatever was not committed.
    Lost(String),
    /// A prepared statement is of no use any more.
    Stale,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        fault(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        match fault {
            Fault::Store(error) => error,
            Fault::Conflict => StoreError::Conflict,
            Fault::Lost(why) => StoreError::Unavailable(why),
            Fault::Stale => StoreError::SchemaMismatch("a prepared statement was lost".into()),
        }
    }
}

/// An error of the driver's in the store's terms.
pub(crate) fn fault(error: Error) -> Fault {
    match error {
        Error::Server(error) => of_server(&error),
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed | DriverError::PacketOutOfOrder) => {
            Fault::Lost(explain(&error))
        }
        Error::Driver(DriverError::PacketTooLarge) => Fault::Store(StoreError::TooLarge),
        other => Fault::Store(StoreError::Internal(explain(&other))),
    }
}

/// The error in a few words, without values.
pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::Server(error) => said(error),
        Error::Io(error) => error.to_string(),
        // These show what they were given.
        Error::Driver(DriverError::FromValue { .. } | DriverError::FromRow { .. }) => "a value of another type".into(),
        Error::Driver(DriverError::UnexpectedPacket { .. }) => "an unexpected packet".into(),
        Error::Driver(error) => error.to_string(),
        Error::Url(_) => "the URL cannot be read".into(),
        Error::Other(error) => error.to_string(),
    }
}

fn said(error: &ServerError) -> String {
    format!("error {}: {}", error.code, error.message)
}

/// The number alone, for errors whose words hold values.
fn number(error: &ServerError) -> String {
    format!("error {} ({})", error.code, error.state)
}

fn of_server(error: &ServerError) -> Fault {
    let store = |error: StoreError| Fault::Store(error);
    match error.code {
        1062 | 1586 | 1169 | 1859 => store(unique(&error.message)),
        1216 | 1217 | 1451 | 1452 | 1761 | 1762 => store(foreign_key(&error.message)),
        3819 | 4025 => store(check(&error.message)),
        1048 | 1364 | 1263 => store(not_null(&error.message)),
        // A deadlock, a lock that was waited for too long, a row that changed since the snapshot, a full lock table, a cluster's no.
        1213 | 1205 | 1020 | 1206 | 1613 | 3572 | 3101 => Fault::Conflict,
        1040 | 1203 | 1226 | 1037 | 1038 | 1041 | 1135 => store(StoreError::Overloaded),
        1021 | 1114 | 3019 => store(StoreError::Full),
        1153 => store(StoreError::TooLarge),
        // Shut down, gone, killed; not allowed in, no such user or database.
        1053 | 1077 | 1079 | 1080 | 1152 | 1158 | 1159 | 1160 | 1161 | 1184 | 1927 | 2006 | 2013 | 3169 | 4031
        | 1044 | 1045 | 1049 | 1698 | 1129 | 1130 => Fault::Lost(said(error)),
        1290 if error.message == crate::hold::SAID => store(StoreError::Held),
        // The server, or a cluster's node, takes no writes now.
        1290 | 1836 | 1047 => store(StoreError::Unavailable(format!("the server takes no writes: {}", said(error)))),
        1146 | 1054 | 1305 | 1051 | 1109 => store(StoreError::SchemaMismatch(said(error))),
        // Whoever kills on our behalf is the deadline; a future that was dropped hears nothing any more.
        1317 | 3024 | 1969 | 1968 => store(StoreError::Deadline),
        1615 | 1243 => Fault::Stale,
        1644 => store(beyond(&error.message)),
        // MariaDB's limit of 32 levels, and MySQL's of 100.
        4040 | 3157 => store(StoreError::Unsupported("JSON this deep")),
        // Too long, out of range, no such value, the wrong form: the plan has validated before, so it is a bug, and the words hold
        // the value.
        // Of a column of an adopted table, which may be narrower than its field.
        1264 | 1366 | 1406 => store(constraint(ConstraintKind::Check, String::new(), None, Vec::new())),
        1265 | 1292 | 1411 | 1690 | 1365 | 3140 | 3141 | 4038 => store(StoreError::Internal(number(error))),
        _ => store(StoreError::Internal(said(error))),
    }
}

/// Capabilities that the functions of the dialect name when a value is beyond them, in `ug: beyond …`.
const BEYOND: &[&str] = &[
    "comparison of very large floats",
    "comparison of very small floats",
    "containment of JSON this deep",
    "JSON this deep",
    "JSON of this length read from text",
    "regular expressions this heavy",
];

fn beyond(message: &str) -> StoreError {
    match message.strip_prefix("ug: beyond ") {
        Some(what) => {
            let known = BEYOND.iter().find(|known| **known == what.trim());
            StoreError::Unsupported(known.copied().unwrap_or("a value beyond what its functions compute"))
        }
        // A trigger of somebody else's.
        None => StoreError::Internal(format!("a trigger or routine refused: {message}")),
    }
}

fn constraint(kind: ConstraintKind, table: String, name: Option<String>, columns: Vec<String>) -> StoreError {
    StoreError::Constraint { kind, table, name, columns }
}

/// `Duplicate entry '…' for key 'posts_slug_key'` (MariaDB) or `'posts.posts_slug_key'` (MySQL). The value and the name may hold quotes;
/// the name is last. Which part of it is the table, [`crate::session`] knows, which has the statement.
fn unique(message: &str) -> StoreError {
    let key = message.rsplit_once("for key '").and_then(|(_, key)| key.strip_suffix('\''));
    constraint(ConstraintKind::Unique, String::new(), key.map(str::to_owned), Vec::new())
}

/// ``… a foreign key constraint fails (`db`.`posts`, CONSTRAINT `posts_author_id_fkey` FOREIGN KEY (`author_id`) REFERENCES …)``
fn foreign_key(message: &str) -> StoreError {
    let names = backticked(message);
    match names.as_slice() {
        [_, table, name, column, ..] if message.contains("CONSTRAINT") => {
            constraint(ConstraintKind::ForeignKey, table.clone(), Some(name.clone()), vec![column.clone()])
        }
        _ => constraint(ConstraintKind::ForeignKey, String::new(), None, Vec::new()),
    }
}

/// ``CONSTRAINT `posts_check` failed for `db`.`posts` `` (MariaDB) or `Check constraint 'posts_check' is violated.` (MySQL)
fn check(message: &str) -> StoreError {
    let names = backticked(message);
    if let [name, _, table] = names.as_slice() {
        return constraint(ConstraintKind::Check, table.clone(), Some(name.clone()), Vec::new());
    }
    let name = message.split('\'').nth(1).map(str::to_owned);
    constraint(ConstraintKind::Check, String::new(), name, Vec::new())
}

/// `Column 'title' cannot be null`, `Field 'title' doesn't have a default value`
fn not_null(message: &str) -> StoreError {
    let column = message.split('\'').nth(1).map(str::to_owned);
    constraint(ConstraintKind::NotNull, String::new(), None, column.into_iter().collect())
}

/// Names in backticks, in order.
fn backticked(message: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = message;
    while let Some(start) = rest.find('`') {
        let mut name = String::new();
        let mut inside = rest[start + 1..].char_indices().peekable();
        let mut end = None;
        while let Some((at, character)) = inside.next() {
            if character != '`' {
                name.push(character);
            } else if inside.peek().is_some_and(|(_, next)| *next == '`') {
                name.push('`');
                inside.next();
            } else {
                end = Some(at);
                break;
            }
        }
        let Some(end) = end else { break };
        names.push(name);
        rest = &rest[start + 1 + end + 1..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, message: &str) -> String {
        let error = ServerError { code, message: message.into(), state: "HY000".into() };
        match fault(Error::Server(error)) {
            Fault::Store(error) => error.to_string(),
            Fault::Conflict => "conflict".into(),
            Fault::Lost(why) => format!("lost: {why}"),
            Fault::Stale => "stale".into(),
        }
    }

    #[test]
    fn what_the_server_says_in_the_words_of_stores() {
        for (code, message, expected) in [
            (1062, "Duplicate entry 'it's' for key 'posts_slug_key'", "Unique constraint posts_slug_key on ()"),
            (
                1062,
                "Duplicate entry 'x' for key 'posts.posts_slug_key'",
                "Unique constraint posts.posts_slug_key on ()",
            ),
            (1062, "Duplicate entry ''' for key 'a'b'", "Unique constraint a'b on ()"),
            (
                1452,
                "Cannot add or update a child row: a foreign key constraint fails (`d`.`po``sts`, CONSTRAINT `posts_a_fkey` FOREIGN KEY \
                 (`a`) REFERENCES `users` (`id`))",
                "ForeignKey constraint posts_a_fkey on po`sts(a)",
            ),
            (1451, "Cannot delete or update a parent row", "ForeignKey constraint ? on ()"),
            (4025, "CONSTRAINT `posts_x` failed for `d`.`posts`", "Check constraint posts_x on posts()"),
            (3819, "Check constraint 'posts_x' is violated.", "Check constraint posts_x on ()"),
            (1048, "Column 'title' cannot be null", "NotNull constraint ? on (title)"),
            (1364, "Field 'title' doesn't have a default value", "NotNull constraint ? on (title)"),
            (1406, "Data too long for column 'hush' at row 1", "Check constraint ? on ()"),
            (1366, "Incorrect integer value: 'hush' for column", "Check constraint ? on ()"),
            (1213, "Deadlock found", "conflict"),
            (1205, "Lock wait timeout exceeded", "conflict"),
            (1020, "Record has changed since last read in table 't'", "conflict"),
            (1040, "Too many connections", "too many writes waiting"),
            (1114, "The table 't' is full", "disk full"),
            (1021, "Disk full", "disk full"),
            (1290, crate::hold::SAID, "writes are held: the data is being moved, or was moved, to another database"),
            (1290, "read only", "unavailable: the server takes no writes: error 1290: read only"),
            (1153, "Got a packet bigger than 'max_allowed_packet' bytes", "answer too large"),
            (1927, "Connection was killed", "lost: error 1927: Connection was killed"),
            (1146, "Table 'd.t' doesn't exist", "schema mismatch: error 1146: Table 'd.t' doesn't exist"),
            (1969, "Query execution was interrupted", "deadline passed"),
            (1615, "Prepared statement needs to be re-prepared", "stale"),
            (1644, "ug: beyond JSON this deep", "unsupported: JSON this deep"),
            (1644, "no", "internal: a trigger or routine refused: no"),
            (4040, "Limit of 32 on JSON nested structures depth is reached", "unsupported: JSON this deep"),
            (1064, "You have an error", "internal: error 1064: You have an error"),
        ] {
            assert_eq!(told(code, message), expected);
        }
    }
}
