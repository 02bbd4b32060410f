//! Regular expressions: RE2's, which match in linear time. Compiled ones are kept, since a rule meets the same pattern in every row.

use super::like::PATTERN_CHARACTERS_MAX;
use regex::{Regex, RegexBuilder};
use rustc_hash::FxHashMap;

/// Most octets of a compiled pattern; `\pL{1000}` would take more, and is refused instead.
const COMPILED_BYTES_MAX: usize = 2 << 20;

/// Most compiled patterns kept. A rule has few; patterns that come from rows must not fill the memory.
const KEPT_MAX: usize = 32;

/// Compiled patterns, kept from call to call.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    kept: FxHashMap<(bool, String), Option<Regex>>,
}

impl Patterns {
    /// Whether the pattern matches somewhere in the text; `None` when it is malformed or too large.
    pub(super) fn matches(&mut self, pattern: &str, insensitive: bool, text: &str) -> Option<bool> {
        if pattern.chars().nth(PATTERN_CHARACTERS_MAX).is_some() {
            return None;
        }
        let key = (insensitive, pattern.to_owned());
        if let Some(kept) = self.kept.get(&key) {
            return kept.as_ref().map(|regex| regex.is_match(text));
        }
        let regex =
            RegexBuilder::new(pattern).case_insensitive(insensitive).size_limit(COMPILED_BYTES_MAX).build().ok();
        let answer = regex.as_ref().map(|regex| regex.is_match(text));
        if self.kept.len() >= KEPT_MAX {
            self.kept.clear();
        }
        self.kept.insert(key, regex);
        answer
    }
}
