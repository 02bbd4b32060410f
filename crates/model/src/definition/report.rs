//! Collecting mistakes: where a value stands, and the list that grows while checking goes on.
//!
//! Absent: how they are shown (see [`super::render()`]).

use crate::diagnostic::{Diagnostic, Severity, Source, Span};
use std::sync::Arc;

/// A range of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Position among the report's sources.
    pub source: usize,
    pub span: Span,
}

/// The sources and what was found in them.
pub(super) struct Report {
    sources: Vec<Source>,
    found: Vec<Diagnostic>,
}

impl Report {
    pub fn new(sources: Vec<Source>) -> Report {
        Report { sources, found: Vec::new() }
    }

    /// One more source: an override, whose name is its origin.
    pub fn add(&mut self, source: Source) -> usize {
        self.sources.push(source);
        self.sources.len() - 1
    }

    pub fn text(&self, source: usize) -> Arc<str> {
        self.sources.get(source).map_or_else(|| Arc::from(""), |source| source.text.clone())
    }

    /// An error at a place. The answer takes advice: `report.error(…).suggest(…)`.
    pub fn error(&mut self, place: Place, code: Code, message: impl Into<String>) -> Found<'_> {
        self.push(place, code, message.into(), Severity::Error)
    }

    /// A warning at a place.
    pub fn warning(&mut self, place: Place, code: Code, message: impl Into<String>) -> Found<'_> {
        self.push(place, code, message.into(), Severity::Warning)
    }

    fn push(&mut self, place: Place, code: Code, message: String, severity: Severity) -> Found<'_> {
        // A deaf report has no sources and keeps nothing.
        if let Some(source) = self.sources.get(place.source) {
            let diagnostic = Diagnostic::error(source, place.span, code.name, message);
            self.found.push(Diagnostic { severity, ..diagnostic });
        }
        Found { found: &mut self.found }
    }

    /// A problem that the CEL front end found, with its own code.
    pub fn problem(&mut self, place: Place, problem: crate::cel::Problem, severity: Severity) {
        let Some(source) = self.sources.get(place.source) else { return };
        let mut diagnostic = Diagnostic::error(source, place.span, problem.code, problem.message);
        diagnostic.hint = problem.hint;
        diagnostic.severity = severity;
        self.found.push(diagnostic);
    }

    /// A report that nobody reads, for looking ahead at what is reported elsewhere.
    pub fn deaf() -> Report {
        Report { sources: Vec::new(), found: Vec::new() }
    }

    /// Whether nothing was said yet on the line of a place: a key that was found wrong and removed is not also missing.
    pub fn silent_at(&self, place: Place) -> bool {
        let Some(source) = self.sources.get(place.source) else { return false };
        let line = crate::diagnostic::line_and_column(&source.text, place.span.start).0;
        !self.found.iter().any(|diagnostic| diagnostic.file == source.name && diagnostic.line == line)
    }

    /// Whether nothing was said yet about anything within a place.
    pub fn silent_within(&self, place: Place) -> bool {
        let Some(source) = self.sources.get(place.source) else { return false };
        let within = |span: Span| place.span.start <= span.start && span.end <= place.span.end;
        !self.found.iter().any(|diagnostic| diagnostic.file == source.name && within(diagnostic.span))
    }

    /// Whether nothing was said yet about a source.
    pub fn silent_in(&self, source: usize) -> bool {
        let Some(Source { name, .. }) = self.sources.get(source) else { return false };
        !self.found.iter().any(|diagnostic| diagnostic.file == *name)
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// In order of file, line and column.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| (&a.file, a.span.start, a.code).cmp(&(&b.file, b.span.start, b.code)));
        self.found.dedup();
        self.found
    }
}

/// A mistake just reported, to which advice may be added.
pub(super) struct Found<'a> {
    found: &'a mut Vec<Diagnostic>,
}

impl Found<'_> {
    pub fn hint(self, hint: impl Into<String>) {
        if let Some(last) = self.found.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    /// `did you mean "…"?` when a candidate is near, else the list of what there is when that is short.
    pub fn suggest<'c>(self, wrong: &str, candidates: impl IntoIterator<Item = &'c str>) {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        match crate::diagnostic::nearest(wrong, candidates.iter().copied()) {
            Some(near) => self.hint(format!("did you mean \"{near}\"?")),
            None if candidates.len() == 1 => self.hint(format!("there is only {}", candidates[0])),
            None if (2..=LISTED_MAX).contains(&candidates.len()) => {
                self.hint(format!("one of {}", candidates.join(", ")))
            }
            None => {}
        }
    }
}

/// Longer lists help nobody.
const LISTED_MAX: usize = 20;

/// A stable code and what it means. The list of all is [`codes::ALL`], and `docs/definition-errors.md` is held to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Kebab-case.
    pub name: &'static str,
    /// One or two sentences for the documentation.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($ident:ident = $name:literal: $meaning:literal;)*) => {
        /// Every code that checking a definition may give; those of rules come from [`crate::cel`].
        pub mod codes {
            use super::Code;
            $(#[doc = $meaning] pub const $ident: Code = Code { name: $name, meaning: $meaning };)*
            /// All of them, in the order of the documentation.
            pub const ALL: &[Code] = &[$($ident),*];
        }
    };
}

codes! {
    SYNTAX = "toml-syntax": "The file is not TOML. What could be read is still checked.";
    SOURCE_TOO_LARGE = "source-too-large": "A file of a definition has at most 1 MiB.";
    TOO_MANY = "too-many": "There are more collections, fields, relations or functions than the model can number.";
    UNEXPECTED_FILE = "unexpected-file": "A definition is `undergird.toml`, `models/NAME.toml` and `functions/NAME.toml`; this file is none of them and is not read.";
    DUPLICATE_FILE = "duplicate-file": "Two sources have the same name.";
    UNKNOWN_KEY = "unknown-key": "There is no such key here.";
    MISSING_KEY = "missing-key": "A key that must be here is not.";
    WRONG_TYPE = "wrong-type": "The value of a key is of the wrong TOML type.";
    OUT_OF_RANGE = "out-of-range": "A setting is smaller or greater than allowed.";
    UNKNOWN_VALUE = "unknown-value": "The key takes one of a few words, and this is none of them.";
    BAD_VALUE = "bad-value": "The value of a setting is malformed.";
    BAD_NAME = "bad-name": "Names of collections, fields, relations, functions and arguments are snake_case: a small letter, then small letters, digits and underscores, at most 63 in all. (An argument may begin with an underscore.)";
    RESERVED_NAME = "reserved-name": "The name has a meaning of its own in URLs or rules.";
    DUPLICATE_NAME = "duplicate-name": "The name is given twice.";
    UNKNOWN_TYPE = "unknown-type": "There is no such field type.";
    KEY_NOT_FOR_TYPE = "key-not-for-type": "The key exists, but says nothing about a field of this type.";
    UNKNOWN_COLLECTION = "unknown-collection": "There is no collection of that name.";
    UNKNOWN_FIELD = "unknown-field": "There is no field of that name in the collection.";
    NO_FIELDS = "no-fields": "A collection needs at least one field besides an implied key.";
    BAD_KEY = "bad-key": "The primary key cannot be this: a key's fields are scalars that can be compared, never null, each named once.";
    COMPOSITE_REF = "composite-ref": "A `ref` is one column, so it cannot refer to a collection with a composite key.";
    REF_CYCLE = "ref-cycle": "Keys that are refs lead in a circle, so their type cannot be known.";
    SET_NULL_REQUIRED = "set-null-required": "`on_delete = \"set_null\"` needs an optional field.";
    RELATION_NAME = "relation-name": "The relation of a `ref` has no name of its own: the field's name does not end with `_id`, or the name is taken. `as` gives one.";
    INVERSE_NAME = "inverse-name": "The way back of a `ref` has no name of its own: two refs lead to the same collection, or the name is taken. `inverse` gives one.";
    BAD_DEFAULT = "bad-default": "The default is not a value that the field may hold.";
    NOT_ADOPTED = "not-adopted": "`schema`, `readonly`, `storage` and `generated` tell of a table that others made: they need `adopted = true`. `storage` is the name of a column's type.";
    DEFAULT_ORDER = "default-order": "A computed default may read only fields that are not themselves computed or numbered by the database.";
    BAD_BOUND = "bad-bound": "`min` or `max` is not a number of the field's kind, or a length that is negative.";
    MIN_ABOVE_MAX = "min-above-max": "`min` is greater than `max`, so nothing fits.";
    BAD_PATTERN = "bad-pattern": "The pattern is not a regular expression, or too large a one.";
    BAD_PRECISION = "bad-precision": "A decimal has 1 to 18 digits, of which no more stand after the point than there are.";
    BAD_VALUES = "bad-values": "An `enum` has at least one value, each given once and not empty.";
    BAD_SCHEMA = "bad-schema": "The JSON Schema of a `json` field is malformed or uses a keyword that is not supported.";
    BAD_LIST = "bad-list": "A list is of a scalar type: not of lists, refs, secrets or json.";
    SECRET_USE = "secret-use": "Nobody reads a `secret`, so it cannot be a key, unique or indexed.";
    BAD_INDEX = "bad-index": "The index cannot be made: it needs at least one field, each named once and of a type that can be ordered.";
    BAD_FUNCTION = "bad-function": "The function's name in the database is not a name, or one with its schema before it; or what it returns is said twice or in parts that do not go together.";
    BAD_PROFILE = "bad-profile": "The profile collection's key must be one `uuid`, because it is the user's id.";
    BAD_CACHE = "bad-cache": "Answers made of this model cannot be kept, because what they are made of may change without Undergird's knowing, or because `row_security` asks the database about each read.";
    READONLY_WITHOUT_DEFAULT = "readonly-without-default": "A required field that users may not set and that has no default can be created with a secret key only.";
    USELESS_RULE = "useless-rule": "The rule can never matter, because something else decides first.";
}

#[cfg(test)]
mod tests {
    use super::codes::ALL;

    #[test]
    fn codes_are_unique_and_kebab() {
        for (position, code) in ALL.iter().enumerate() {
            assert!(ALL[..position].iter().all(|other| other.name != code.name), "{}", code.name);
            assert!(code.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", code.name);
        }
    }
}
