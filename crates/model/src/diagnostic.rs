//! Mistakes in a definition, told so that they can be mended: file, line, column, what was expected, the nearest valid name.

use std::fmt;
use std::sync::Arc;

/// One file of a definition, as text. Its name is relative to the application's directory (`models/posts.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Relative path with forward slashes.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

/// A range of bytes in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Span { start: range.start, end: range.end }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The definition is refused.
    Error,
    /// The definition works; a person should look.
    Warning,
}

/// One mistake at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable, kebab-case, listed in `docs/definition-errors.md` (`unknown-collection`).
    pub code: &'static str,
    /// Name of the source ([`Source::name`]).
    pub file: Arc<str>,
    /// Where in it.
    pub span: Span,
    /// 1-based line of `span.start`.
    pub line: usize,
    /// 1-based column of `span.start`, in characters.
    pub column: usize,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it, when we know (`did you mean "users"?`).
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at `span` of `source`.
    pub fn error(source: &Source, span: Span, code: &'static str, message: impl Into<String>) -> Diagnostic {
        let (line, column) = line_and_column(&source.text, span.start);
        Diagnostic {
            severity: Severity::Error,
            code,
            file: source.name.clone(),
            span,
            line,
            column,
            message: message.into(),
            hint: None,
        }
    }

    /// The same, as a warning.
    pub fn as_warning(mut self) -> Diagnostic {
        self.severity = Severity::Warning;
        self
    }

    /// The same, with advice.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with `did you mean "…"?` when one of `candidates` is near `wrong`.
    pub fn suggesting<'a>(self, wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match nearest(wrong, candidates) {
            Some(name) => self.with_hint(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `models/posts.toml:14:9: no collection "user"; did you mean "users"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// 1-based line and column (in characters) of a byte offset.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

/// The candidate within a third of its length in edits of `wrong` (at least one edit allowed), nearest first, ties by order.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: Vec<char> = wrong.chars().take(NEAREST_CHARS_MAX).flat_map(char::to_lowercase).collect();
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&wrong, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(wrong.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer names are compared by their beginning: the distance is quadratic and names come from outside.
const NEAREST_CHARS_MAX: usize = 64;

/// Damerau–Levenshtein (optimal string alignment) distance, case-insensitive.
fn edit_distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(NEAREST_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitute = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitute.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_transpositions_and_refuses_strangers() {
        assert_eq!(nearest("user", ["posts", "users"]), Some("users"));
        assert_eq!(nearest("psots", ["posts", "users"]), Some("posts"));
        assert_eq!(nearest("invoices", ["posts", "users"]), None);
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(line_and_column("a\né = x", 5), (2, 3));
    }
}
