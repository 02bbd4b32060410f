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

/// What a store lacks whose engine would take too long to read a pattern.
pub const HEAVY: &str = "regular expressions this heavy";

/// A pattern of a function in a store's words: that of a `LIKE` as it is, all others as a regular expression that matches somewhere
/// in the text. `None` is null: the pattern is malformed or too large.
///
/// # Errors
/// What the store lacks, when its engine would take too long to read it.
pub fn translated(words: PatternWords, function: Function, pattern: &str) -> Result<Option<String>, &'static str> {
    // The engine itself says what is malformed.
    let probe = [Value::text(""), Value::text(pattern)];
    if function::call(function, Type::BOOL, &probe).is_null() {
        return Ok(None);
    }
    Ok(match function {
        Function::Matches | Function::MatchesInsensitive => {
            let insensitive = function == Function::MatchesInsensitive;
            let Ok(hir) = ParserBuilder::new().case_insensitive(insensitive).build().parse(pattern) else {
                return Ok(None);
            };
            let weight = weight(&hir);
            if words == PatternWords::Advanced && (weight.states > STATES_MAX || weight.loose > LOOSE_MAX) {
                return Err(HEAVY);
            }
            let mut out = String::new();
            regular(words, &hir, &mut out);
            Some(out)
        }
        Function::LikeInsensitive => like(words, pattern),
        _ => Some(pattern.to_owned()),
    })
}

/// Most states of an automaton in [`PatternWords::Advanced`], roughly, and most of those that may be passed without reading anything:
/// PostgreSQL takes time with their third power. At these it is some tens of milliseconds (PostgreSQL 15).
const STATES_MAX: u64 = 10_000;
const LOOSE_MAX: u64 = 300;

/// How large the automaton of an expression is, roughly.
#[derive(Clone, Copy, Default)]
struct Weight {
    states: u64,
    /// Those that may be passed without reading anything.
    loose: u64,
}

fn weight(hir: &Hir) -> Weight {
    let sum = |parts: &[Hir]| {
        parts.iter().map(weight).fold(Weight::default(), |all, one| Weight {
            states: all.states.saturating_add(one.states),
            loose: all.loose.saturating_add(one.loose),
        })
    };
    match hir.kind() {
        _ if nothing(hir).is_some() => Weight { states: 1, loose: 0 },
        HirKind::Empty => Weight { states: 1, loose: 1 },
        HirKind::Literal(literal) => Weight { states: literal.0.len() as u64, loose: 0 },
        HirKind::Class(_) => Weight { states: 1, loose: 0 },
        HirKind::Look(_) => Weight { states: 10, loose: 2 },
        HirKind::Capture(capture) => weight(&capture.sub),
        HirKind::Concat(parts) => sum(parts),
        HirKind::Alternation(ways) => {
            let Weight { states, loose } = sum(ways);
            Weight { states, loose: loose.saturating_add(u64::from(may_be_empty(hir))) }
        }
        HirKind::Repetition(repetition) => {
            let one = weight(&repetition.sub);
            let times = u64::from(repetition.max.unwrap_or_else(|| repetition.min.saturating_add(1)));
            let loose = if may_be_empty(&repetition.sub) {
                one.loose.saturating_add(1).saturating_mul(times)
            } else {
                one.loose.saturating_mul(times).saturating_add(1)
            };
            Weight { states: one.states.saturating_mul(times), loose }
        }
    }
}

/// What an expression comes to that never matches, or that repeats what takes no room: less than what it says.
fn nothing(hir: &Hir) -> Option<Nothing<'_>> {
    if is_never(hir) {
        return Some(Nothing::Never);
    }
    match hir.kind() {
        HirKind::Repetition(of) if of.min == 0 && (is_never(&of.sub) || takes_no_room(&of.sub)) => Some(Nothing::Empty),
        HirKind::Repetition(of) if takes_no_room(&of.sub) => Some(Nothing::Once(&of.sub)),
        _ => None,
    }
}

/// Whether it matches nowhere.
fn is_never(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) => false,
        HirKind::Class(Class::Unicode(class)) => class.ranges().is_empty(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().is_empty(),
        HirKind::Repetition(of) => of.min > 0 && is_never(&of.sub),
        HirKind::Capture(of) => is_never(&of.sub),
        HirKind::Concat(parts) => parts.iter().any(is_never),
        HirKind::Alternation(ways) => ways.iter().all(is_never),
    }
}

/// Whether it may match without reading anything.
fn may_be_empty(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Repetition(of) => of.min == 0 || may_be_empty(&of.sub),
        HirKind::Capture(of) => may_be_empty(&of.sub),
        HirKind::Concat(parts) => parts.iter().all(may_be_empty),
        HirKind::Alternation(ways) => ways.iter().any(may_be_empty),
    }
}

/// Whether it never reads anything: once or often is the same then.
fn takes_no_room(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Repetition(of) => of.max == Some(0) || takes_no_room(&of.sub),
        HirKind::Capture(of) => takes_no_room(&of.sub),
        HirKind::Concat(parts) => parts.iter().all(takes_no_room),
        HirKind::Alternation(ways) => ways.iter().all(takes_no_room),
    }
}

/// See [`nothing`].
enum Nothing<'a> {
    /// It never matches.
    Never,
    /// It matches everywhere.
    Empty,
    /// It is this.
    Once(&'a Hir),
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
    match nothing(hir) {
        Some(Nothing::Never) => return out.push_str("(?!)"),
        Some(Nothing::Empty) => return out.push_str("(?:)"),
        Some(Nothing::Once(sub)) => return regular(words, sub, out),
        None => {}
    }
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
            let ways = ways.iter().filter(|way| !is_never(way));
            for (position, way) in ways.enumerate() {
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
            assert_eq!(written.as_ref().map(Option::as_deref), Ok(expected), "{function:?} {pattern:?}");
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
            (Matches, "(?:^){9}([a&&b]|x)(?:\\b){0,9}[a&&b]*", "\\A(?:(?:x))(?:)(?:)"),
            (LikeInsensitive, "%1%\\%", "\\A.*1.*\\U00000025\\Z"),
        ] {
            let written = translated(PatternWords::Advanced, function, pattern);
            assert_eq!(written.as_ref().map(Option::as_deref), Ok(Some(expected)), "{function:?} {pattern:?}");
        }
    }

    #[test]
    fn what_would_take_long_to_read_is_refused() {
        for (pattern, heavy) in [
            ("[a-z]{0,300}x{300}".to_owned(), false),
            ("(a?){300}".to_owned(), true),
            ("(a?b?){0,200}".to_owned(), true),
            ("(?:\\ba?){0,100}".to_owned(), true),
            ("a?".repeat(400), true),
            ("((a{30}b){30}c){30}".to_owned(), true),
            ("(?:[a-z0-9]+-?){1,64}".to_owned(), false),
        ] {
            let written = translated(PatternWords::Advanced, Function::Matches, &pattern);
            assert_eq!(written.is_err(), heavy, "{pattern}");
        }
    }
}
