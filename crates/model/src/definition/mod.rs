//! Definition text → checked [`Model`], with all mistakes at once.

use crate::{Diagnostic, Model, Source};

/// Checks a definition: `undergird.toml` and `models/*.toml` of the application, and the system collections, whose sources are
/// Undergird's own (`system/*.toml`, embedded by the crates that use them).
///
/// Gives the model when no diagnostic is an error. Diagnostics come in order of file, line and column.
pub fn check(sources: &[Source], system: &[Source]) -> (Option<Model>, Vec<Diagnostic>) {
    let _ = (sources, system);
    (None, Vec::new())
}
