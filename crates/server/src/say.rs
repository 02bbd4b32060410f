//! What commands say: `say!` to standard output, `tell!` to standard error. Whoever reads may stop reading (`undergird check | head -1`):
//! that ends nothing and breaks nothing, where `println!` would panic.
//!
//! Absent: logs, which are written elsewhere.

use crate::cli::Exit;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// A line on standard output.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($($words)*))) };
}

/// A line on standard error.
macro_rules! tell {
    () => { $crate::say::aside(format_args!("\n")) };
    ($($words:tt)*) => { $crate::say::aside(format_args!("{}\n", format_args!($($words)*))) };
}

pub(crate) use {say, tell};

/// Writes to standard output.
///
/// # Errors
/// When it cannot be written (a full disk), but not when nobody reads it any more.
pub(crate) fn out(words: Arguments<'_>) -> Result<(), Exit> {
    written(&mut std::io::stdout().lock(), words)
}

/// Writes to standard error, as far as that is possible.
pub(crate) fn aside(words: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(words);
}

fn written(to: &mut impl Write, words: Arguments<'_>) -> Result<(), Exit> {
    match to.write_fmt(words).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Exit::failed(format!("standard output: {error}"))),
        _ => Ok(()),
    }
}
