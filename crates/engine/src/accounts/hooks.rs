//! The part of the port that is about hooks: servers of the owner's that are asked, and may refuse.
//!
//! Deliberately absent: what is asked and how (`auth::hooks`).

use std::fmt;

/// What came of asking a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookError {
    /// The hook said no.
    Refused {
        /// The status that it wants to be answered, 400 to 499.
        status: u16,
        /// For people, in the hook's words.
        message: String,
    },
    /// No answer in time.
    TimedOut,
    /// An answer that is longer than is read.
    TooLong,
    /// Too many are asked at once.
    Busy,
    /// It was not reached, or its answer makes no sense: a sentence for the log.
    Broken(String),
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookError::Refused { message, .. } => write!(f, "a hook refused it: {message}"),
            HookError::TimedOut => f.write_str("a hook did not answer in time"),
            HookError::TooLong => f.write_str("a hook's answer is too long"),
            HookError::Busy => f.write_str("too many hooks are being asked"),
            HookError::Broken(why) => write!(f, "a hook could not be asked: {why}"),
        }
    }
}
