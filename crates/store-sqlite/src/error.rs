//! What SQLite says went wrong, in the store's terms.

use rusqlite::ErrorCode;
use rusqlite::ffi;
use undergird_store::{ConstraintKind, StoreError};

/// An error of SQLite's in the store's terms.
pub(crate) fn store_error(error: &rusqlite::Error) -> StoreError {
    // SQLite has one code for this and for mistakes of ours. With the place in the statement it is another variant.
    if let rusqlite::Error::SqlInputError { msg: words, .. } | rusqlite::Error::SqliteFailure(_, Some(words)) = error
        && (words.starts_with("no such table") || words.starts_with("no such column"))
    {
        return StoreError::SchemaMismatch(words.clone());
    }
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return StoreError::Internal(error.to_string());
    };
    let message = message.as_deref().unwrap_or_default();
    if failure.code == ErrorCode::ConstraintViolation {
        return constraint(failure.extended_code, message);
    }
    match failure.code {
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::OperationInterrupted => StoreError::Deadline,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Unavailable(format!("another process holds the database: {message}"))
        }
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::FileLockingProtocolFailed => StoreError::Unavailable(format!("{error}")),
        ErrorCode::TooBig => StoreError::TooLarge,
        ErrorCode::OutOfMemory => StoreError::Overloaded,
        _ => StoreError::Internal(error.to_string()),
    }
}

/// Whether the connection cannot be trusted with the disk any more: a failed write or sync is never tried again on it.
pub(crate) fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::CannotOpen)
    )
}

fn constraint(extended: i32, message: &str) -> StoreError {
    let subject = message.split_once(": ").map_or("", |(_, subject)| subject);
    let (kind, table, name, columns) = match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            let (table, name, columns) = unique(subject);
            (ConstraintKind::Unique, table, name, columns)
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let (table, name, columns) = unique(subject);
            (ConstraintKind::NotNull, table, name, columns)
        }
        ffi::SQLITE_CONSTRAINT_CHECK => {
            (ConstraintKind::Check, String::new(), Some(subject.to_owned()).filter(|name| !name.is_empty()), Vec::new())
        }
        ffi::SQLITE_CONSTRAINT_TRIGGER if message == crate::hold::SAID => {
            return StoreError::Held;
        }
        // SQLite does not say which.
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => {
            (ConstraintKind::ForeignKey, String::new(), None, Vec::new())
        }
        _ => return StoreError::Internal(message.to_owned()),
    };
    StoreError::Constraint { kind, table, name, columns }
}

/// `posts.a, posts.b` or `index 'name'`.
fn unique(subject: &str) -> (String, Option<String>, Vec<String>) {
    if let Some(name) = subject.strip_prefix("index '").and_then(|rest| rest.strip_suffix('\'')) {
        return (String::new(), Some(name.to_owned()), Vec::new());
    }
    let mut table = String::new();
    let mut columns = Vec::new();
    for part in subject.split(", ") {
        if let Some((of, column)) = part.split_once('.') {
            of.clone_into(&mut table);
            columns.push(column.to_owned());
        }
    }
    (table, None, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(extended: i32, message: &str) -> String {
        let failure = ffi::Error { code: ffi::Error::new(extended).code, extended_code: extended };
        store_error(&rusqlite::Error::SqliteFailure(failure, Some(message.into()))).to_string()
    }

    #[test]
    fn what_sqlite_says_in_the_words_of_stores() {
        for (extended, message, expected) in [
            (2067, "UNIQUE constraint failed: posts.slug", "Unique constraint ? on posts(slug)"),
            (2067, "UNIQUE constraint failed: a.b, a.c", "Unique constraint ? on a(b, c)"),
            (2067, "UNIQUE constraint failed: index 'lower_name'", "Unique constraint lower_name on ()"),
            (1555, "UNIQUE constraint failed: posts.id", "Unique constraint ? on posts(id)"),
            (1299, "NOT NULL constraint failed: posts.title", "NotNull constraint ? on posts(title)"),
            (275, "CHECK constraint failed: posts_status", "Check constraint posts_status on ()"),
            (787, "FOREIGN KEY constraint failed", "ForeignKey constraint ? on ()"),
            (
                3091,
                "cannot store TEXT value in INTEGER column t.v",
                "internal: cannot store TEXT value in INTEGER column t.v",
            ),
            (1811, crate::hold::SAID, "writes are held: the data is being moved, or was moved, to another database"),
            (13, "database or disk is full", "disk full"),
            (9, "interrupted", "deadline passed"),
        ] {
            assert_eq!(told(extended, message), expected);
        }
        for unavailable in [5, 6, 8, 10, 11, 14, 26, 1034, 4874] {
            assert!(told(unavailable, "x").starts_with("unavailable"), "{unavailable}");
        }
    }
}
