//! SQL's `LIKE`. Linear in the text for every pattern: pieces between `%` are looked for from left to right, the first place where
//! one fits being as good as any later.

use rustc_hash::FxHashMap;

/// Most characters of a pattern, of `LIKE` or regular: a longer one is as if malformed.
pub const PATTERN_CHARACTERS_MAX: usize = 2_000;

/// A character of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// This one.
    Exactly(char),
    /// `_`: any one.
    One,
}

/// Whether the whole text is like the pattern; `None` when the pattern is malformed or too long.
pub(super) fn like(text: &str, pattern: &str, insensitive: bool) -> Option<bool> {
    let normal = |c: char| if insensitive { fold(c) } else { c };
    let mut pieces = vec![Vec::new()];
    let mut characters = pattern.chars();
    let mut count = 0;
    while let Some(character) = characters.next() {
        count += 1;
        if count > PATTERN_CHARACTERS_MAX {
            return None;
        }
        let item = match character {
            '%' => {
                pieces.push(Vec::new());
                continue;
            }
            '_' => Item::One,
            '\\' => Item::Exactly(normal(characters.next()?)),
            plain => Item::Exactly(normal(plain)),
        };
        // There is always a last piece: the vector starts with one and only grows.
        if let Some(last) = pieces.last_mut() {
            last.push(item);
        }
    }
    let text: Vec<char> = text.chars().map(normal).collect();
    Some(fits(&text, &pieces))
}

fn fits(text: &[char], pieces: &[Vec<Item>]) -> bool {
    let (first, rest) = match pieces {
        [] => return text.is_empty(),
        [only] => return text.len() == only.len() && here(text, only),
        [first, rest @ ..] => (first, rest),
    };
    let Some((last, middle)) = rest.split_last() else { return false };
    if text.len() < first.len() + last.len() || !here(text, first) || !here(&text[text.len() - last.len()..], last) {
        return false;
    }
    let mut text = &text[first.len()..text.len() - last.len()];
    for piece in middle {
        match find(text, piece) {
            Some(end) => text = &text[end..],
            None => return false,
        }
    }
    true
}

/// Whether the text starts like the piece. It is at least as long.
fn here(text: &[char], piece: &[Item]) -> bool {
    piece.iter().zip(text).all(|(item, character)| match item {
        Item::Exactly(wanted) => wanted == character,
        Item::One => true,
    })
}

/// Where the first occurrence of a piece ends. Shift-and over machine words (Baeza-Yates and Gonnet, 1992): the state says
/// which beginnings of the piece end at the current character.
fn find(text: &[char], piece: &[Item]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    let words = piece.len().div_ceil(64);
    let mut any = vec![0u64; words];
    let mut masks: FxHashMap<char, Vec<u64>> = FxHashMap::default();
    for (at, item) in piece.iter().enumerate() {
        let bit = 1 << (at % 64);
        match item {
            Item::One => any[at / 64] |= bit,
            Item::Exactly(character) => masks.entry(*character).or_insert_with(|| vec![0; words])[at / 64] |= bit,
        }
    }
    let end = 1u64 << ((piece.len() - 1) % 64);
    let mut state = vec![0u64; words];
    for (at, character) in text.iter().enumerate() {
        let mask = masks.get(character);
        let mut carry = 1;
        for word in 0..words {
            let next = state[word] >> 63;
            state[word] = (state[word] << 1 | carry) & (any[word] | mask.map_or(0, |mask| mask[word]));
            carry = next;
        }
        if state[words - 1] & end != 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Unicode's simple case folding, as the representative that the standard library's tables lead to: the small form of the capital
/// form, where each is one character. Dotless i is the one character whose capital belongs to another letter.
fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    if character == 'ı' {
        return character;
    }
    let upper = single(character.to_uppercase()).unwrap_or(character);
    single(upper.to_lowercase()).unwrap_or(upper)
}

fn single(mut characters: impl Iterator<Item = char>) -> Option<char> {
    characters.next().filter(|_| characters.next().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn matches_as_sql_says() {
        let cases: &[(&str, &str, Option<bool>)] = &[
            ("", "", Some(true)),
            ("", "%", Some(true)),
            ("", "_", Some(false)),
            ("abc", "abc", Some(true)),
            ("abc", "a", Some(false)),
            ("abc", "a%", Some(true)),
            ("abc", "%c", Some(true)),
            ("abc", "%b%", Some(true)),
            ("abc", "a_c", Some(true)),
            ("a😀c", "a_c", Some(true)),
            ("e\u{301}", "_", Some(false)),
            ("aXbXc", "a%b%c", Some(true)),
            ("aba", "ab%ba", Some(false)),
            ("abcabd", "%ab_", Some(true)),
            ("aab", "%_ab", Some(true)),
            ("xaab", "%a_%b%", Some(true)),
            ("a%c", "a\\%c", Some(true)),
            ("abc", "a\\%c", Some(false)),
            ("a\\c", "a\\\\c", Some(true)),
            ("a", "\\a", Some(true)),
            ("a", "a\\", None),
            ("A", "a", Some(false)),
            ("a\nb", "a%b", Some(true)),
        ];
        for (text, pattern, expected) in cases {
            assert_eq!(like(text, pattern, false), *expected, "{text:?} like {pattern:?}");
        }
        assert_eq!(like("", &"_".repeat(PATTERN_CHARACTERS_MAX + 1), false), None);
        assert_eq!(like("ÄPFEL ΣΑΣ K", "äpfel σας k", true), Some(true));
        let long = format!("%{}b%", "a_".repeat(900));
        assert_eq!(like(&"a".repeat(200_000), &long, false), Some(false));
    }

    /// Against the `regex` crate, whose tables are Unicode's own.
    #[test]
    fn folding_is_unicode_simple_case_folding() {
        let mut cased: Vec<char> =
            ('\0'..=char::MAX).filter(|c| c.to_lowercase().ne([*c]) || c.to_uppercase().ne([*c])).collect();
        cased.extend(['a', 'ß', 'ẞ', 'ı', 'İ', 'ŉ', 'ǰ']);
        // The standard library may know a newer Unicode than the crate.
        let unassigned = regex::Regex::new("^\\p{Cn}$").unwrap();
        let known = |c: &char| !unassigned.is_match(c.encode_utf8(&mut [0; 4]));
        for c in cased.into_iter().filter(known) {
            let folded = fold(c);
            let regex = regex::RegexBuilder::new(&format!("^{}$", regex::escape(&c.to_string())))
                .case_insensitive(true)
                .size_limit(1 << 16)
                .build()
                .unwrap();
            let mut variants = vec![folded, c];
            variants.extend(c.to_lowercase().chain(c.to_uppercase()).chain(folded.to_uppercase()));
            for other in variants.into_iter().filter(known) {
                assert_eq!(regex.is_match(&other.to_string()), fold(other) == folded, "{c:?} {other:?}");
            }
        }
    }
}
