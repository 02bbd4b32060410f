//! Patterns in a store's own words. A pattern that is known when a statement is bound is read as expressions read it (RE2's syntax,
//! Unicode's simple case folding) and written anew with nothing left to interpretation: characters by their number, classes as
//! ranges, no flags, no shorthand. So another engine finds what ours finds, whatever its own `\w`, `$` or case folding would mean.
//!
//! Absent: the engine. A pattern that comes from a row stays as it is, and a store without our engine refuses it.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use std::fmt::Write;
use undergird_model::expr::Function;
use undergird_model::{Type, Value};
use undergird_plan::function;

/// In whose words a store's patterns are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternWords {
    /// Perl's, as PCRE2 and ICU read them.
    Perl,
    /// Tcl's advanced regular expressions, as PostgreSQL reads them: other escapes, no atomic groups, repetition up to
    /// [`REPEATED_MAX`].
    Advanced,
}

/// The greatest number of a repetition in [`PatternWords::Advanced`].
const REPEATED_MAX: u32 = 255;

impl PatternWords {
    /// The end of the text.
    fn end(self) -> &'static str {
        match self {
            PatternWords::Perl => "\\z",
            PatternWords::Advanced => "\\Z",
        }
    }

    /// Any one character, a line's end too.
    fn any(self) -> &'static str {
        match self {
            PatternWords::Perl => "[\\x{0}-\\x{10FFFF}]",
            PatternWords::Advanced => ".",
        }
    }

    /// A character by itself, whatever it would mean.
    fn one(self, character: char, out: &mut String) {
        if character.is_ascii_alphanumeric() {
            return out.push(character);
        }
        let number = u32::from(character);
        let _ = match self {
            PatternWords::Perl => write!(out, "\\x{{{number:X}}}"),
            // No text has the character 0, and the engine would not take it.
            PatternWords::Advanced => write!(out, "\\U{:08X}", number.max(1)),
        };
    }
}

/// Whether a function takes a pattern, as its second argument.
pub fn takes_pattern(function: Function) -> bool {
    matches!(function, Function::Matches | Function::MatchesInsensitive | Function::Like | Function::LikeInsensitive)
}

/// A pattern of a function in a store's words: that of a `LIKE` as it is, all others as a regular expression that matches somewhere
/// in the text. `None` is null: the pattern is malformed or too large.
pub fn translated(words: PatternWords, function: Function, pattern: &str) -> Option<String> {
    // The engine itself says what is malformed.
    let probe = [Value::text(""), Value::text(pattern)];
    if function::call(function, Type::BOOL, &probe).is_null() {
        return None;
    }
    match function {
        Function::Matches | Function::MatchesInsensitive => {
            let insensitive = function == Function::MatchesInsensitive;
            let hir = ParserBuilder::new().case_insensitive(insensitive).build().parse(pattern).ok()?;
            let mut out = String::new();
            regular(words, &hir, &mut out);
            Some(out)
        }
        Function::LikeInsensitive => like(words, pattern),
        _ => Some(pattern.to_owned()),
    }
}

/// `LIKE` without regard to case. What stands between two `%` is taken where it comes first and never given up, since no later place
/// is better: so the text is gone through once.
fn like(words: PatternWords, pattern: &str) -> Option<String> {
    let mut pieces = vec![String::new()];
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            pieces.push(String::new());
            continue;
        }
        let piece = pieces.last_mut()?;
        if character == '_' {
            piece.push_str(words.any());
            continue;
        }
        let exactly = if character == '\\' { characters.next()? } else { character };
        let escaped = regex_syntax::escape(exactly.encode_utf8(&mut [0; 4]));
        regular(words, &ParserBuilder::new().case_insensitive(true).build().parse(&escaped).ok()?, piece);
    }
    let (first, rest) = pieces.split_first()?;
    let any = words.any();
    let mut out = format!("\\A{first}");
    if let Some((last, middle)) = rest.split_last() {
        for piece in middle.iter().filter(|piece| !piece.is_empty()) {
            let _ = match words {
                PatternWords::Perl => write!(out, "(?>{any}*?{piece})"),
                // This engine does not go back.
                PatternWords::Advanced => write!(out, "{any}*{piece}"),
            };
        }
        let _ = write!(out, "{any}*{last}");
    }
    out.push_str(words.end());
    Some(out)
}

fn regular(words: PatternWords, hir: &Hir, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match hir.kind() {
        HirKind::Empty => write!(out, "(?:)"),
        HirKind::Literal(literal) => {
            String::from_utf8_lossy(&literal.0).chars().for_each(|character| words.one(character, out));
            Ok(())
        }
        HirKind::Class(class) => {
            ranges(words, class, out);
            Ok(())
        }
        HirKind::Look(look) => {
            around(words, *look, out);
            Ok(())
        }
        HirKind::Repetition(repetition) => {
            let mut sub = String::new();
            regular(words, &repetition.sub, &mut sub);
            if words == PatternWords::Advanced {
                return repeated(&sub, repetition.min, repetition.max, out);
            }
            let _ = write!(out, "(?:{sub}");
            let greedy = if repetition.greedy { "" } else { "?" };
            match (repetition.min, repetition.max) {
                (0, None) => write!(out, ")*{greedy}"),
                (1, None) => write!(out, ")+{greedy}"),
                (0, Some(1)) => write!(out, ")?{greedy}"),
                (min, None) => write!(out, "){{{min},}}{greedy}"),
                (min, Some(max)) => write!(out, "){{{min},{max}}}{greedy}"),
            }
        }
        HirKind::Capture(capture) => {
            out.push_str("(?:");
            regular(words, &capture.sub, out);
            write!(out, ")")
        }
        HirKind::Concat(parts) => {
            parts.iter().for_each(|part| regular(words, part, out));
            Ok(())
        }
        HirKind::Alternation(ways) => {
            out.push_str("(?:");
            for (position, way) in ways.iter().enumerate() {
                if position > 0 {
                    out.push('|');
                }
                regular(words, way, out);
            }
            write!(out, ")")
        }
    };
}

/// A repetition of any number, in steps that the engine takes. How greedy it is does not matter to whether anything is found.
fn repeated(sub: &str, min: u32, max: Option<u32>, out: &mut String) {
    let mut left = min;
    while left > 0 {
        let step = left.min(REPEATED_MAX);
        let _ = write!(out, "(?:{sub}){{{step}}}");
        left -= step;
    }
    let Some(max) = max else {
        let _ = write!(out, "(?:{sub})*");
        return;
    };
    let mut left = max.saturating_sub(min);
    while left > 0 {
        let step = left.min(REPEATED_MAX);
        let _ = write!(out, "(?:{sub}){{0,{step}}}");
        left -= step;
    }
}

fn ranges(words: PatternWords, class: &Class, out: &mut String) {
    let pairs: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        // Only ASCII, since what is searched is Unicode text.
        Class::Bytes(class) => {
            class.ranges().iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
        }
    };
    if pairs.is_empty() {
        return out.push_str("(?!)");
    }
    out.push('[');
    for (start, end) in pairs {
        words.one(start, out);
        if end != start {
            out.push('-');
            words.one(end, out);
        }
    }
    out.push(']');
}

fn around(words: PatternWords, look: Look, out: &mut String) {
    let word = |unicode: bool| {
        let mut class = String::new();
        let pattern = if unicode { "\\w" } else { "(?-u:\\w)" };
        if let Ok(hir) = ParserBuilder::new().build().parse(pattern) {
            regular(words, &hir, &mut class);
        }
        class
    };
    let unicode = matches!(
        look,
        Look::WordUnicode
            | Look::WordUnicodeNegate
            | Look::WordStartUnicode
            | Look::WordEndUnicode
            | Look::WordStartHalfUnicode
            | Look::WordEndHalfUnicode
    );
    let character = |character: char| {
        let mut out = String::new();
        words.one(character, &mut out);
        out
    };
    let (end, lf, cr) = (words.end(), character('\n'), character('\r'));
    let text = match look {
        Look::Start => "\\A".to_owned(),
        Look::End => end.to_owned(),
        Look::StartLF => format!("(?:\\A|(?<={lf}))"),
        Look::EndLF => format!("(?:{end}|(?={lf}))"),
        Look::StartCRLF => format!("(?:\\A|(?<={lf})|(?<={cr})(?!{lf}))"),
        Look::EndCRLF => format!("(?:{end}|(?={cr})|(?<!{cr})(?={lf}))"),
        Look::WordAscii | Look::WordUnicode => {
            let w = word(unicode);
            format!("(?:(?<={w})(?!{w})|(?<!{w})(?={w}))")
        }
        Look::WordAsciiNegate | Look::WordUnicodeNegate => {
            let w = word(unicode);
            format!("(?:(?<={w})(?={w})|(?<!{w})(?!{w}))")
        }
        Look::WordStartAscii | Look::WordStartUnicode => {
            let w = word(unicode);
            format!("(?<!{w})(?={w})")
        }
        Look::WordEndAscii | Look::WordEndUnicode => {
            let w = word(unicode);
            format!("(?<={w})(?!{w})")
        }
        Look::WordStartHalfAscii | Look::WordStartHalfUnicode => format!("(?<!{})", word(unicode)),
        Look::WordEndHalfAscii | Look::WordEndHalfUnicode => format!("(?!{})", word(unicode)),
    };
    out.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_interpretation() {
        use Function::{Like, LikeInsensitive, Matches, MatchesInsensitive};
        for (function, pattern, expected) in [
            (Matches, "", Some("(?:)")),
            (Matches, "^a.b$", Some("\\Aa[\\x{0}-\\x{9}\\x{B}-\\x{10FFFF}]b\\z")),
            (Matches, "(", None),
            (Matches, "(?m)^x$", Some("(?:\\A|(?<=\\x{A}))x(?:\\z|(?=\\x{A}))")),
            (Matches, "(a|bc){2,}?", Some("(?:(?:(?:a|bc))){2,}?")),
            (Matches, "[^\\x00-\\x{10FFFF}]", Some("(?!)")),
            (Matches, "a b#", Some("a\\x{20}b\\x{23}")),
            (
                Matches,
                "(?-u:\\b)",
                Some("(?:(?<=[0-9A-Z\\x{5F}a-z])(?![0-9A-Z\\x{5F}a-z])|(?<![0-9A-Z\\x{5F}a-z])(?=[0-9A-Z\\x{5F}a-z]))"),
            ),
            (MatchesInsensitive, "k", Some("[Kk\\x{212A}]")),
            (Like, "a%", Some("a%")),
            (Like, "a\\", None),
            (LikeInsensitive, "", Some("\\A\\z")),
            (LikeInsensitive, "a_", Some("\\A[Aa][\\x{0}-\\x{10FFFF}]\\z")),
            (LikeInsensitive, "%1%\\%", Some("\\A(?>[\\x{0}-\\x{10FFFF}]*?1)[\\x{0}-\\x{10FFFF}]*\\x{25}\\z")),
            (LikeInsensitive, "a\\", None),
        ] {
            let written = translated(PatternWords::Perl, function, pattern);
            assert_eq!(written.as_deref(), expected, "{function:?} {pattern:?}");
        }
    }

    #[test]
    fn postgresql_is_told_in_its_own_escapes() {
        use Function::{LikeInsensitive, Matches};
        for (function, pattern, expected) in [
            (Matches, "^a b$", "\\Aa\\U00000020b\\Z"),
            (Matches, "x{300}", "(?:x){255}(?:x){45}"),
            (Matches, "x{2,}?", "(?:x){2}(?:x)*"),
            (Matches, "x{1,300}", "(?:x){1}(?:x){0,255}(?:x){0,44}"),
            (LikeInsensitive, "%1%\\%", "\\A.*1.*\\U00000025\\Z"),
        ] {
            let written = translated(PatternWords::Advanced, function, pattern);
            assert_eq!(written.as_deref(), Some(expected), "{function:?} {pattern:?}");
        }
    }
}
