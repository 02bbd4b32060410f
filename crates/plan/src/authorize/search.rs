//! Full-text queries as requests bring them. A query of the `fts` operator has a grammar, which is checked here, so that a mistake is
//! told as one and no store meets it; the other three take any text.
//!
//! Absent: words and what they mean; that is the store's dictionary.

use crate::refusal::Refusal;
use undergird_model::Value;
use undergird_model::expr::Search;

/// Most characters of a query.
const QUERY_CHARACTERS_MAX: usize = 1_000;

/// Deepest parentheses.
const DEPTH_MAX: usize = 50;

/// A query as a value.
pub(super) fn query(column: &str, how: Search, text: &str) -> Result<Value, Refusal> {
    let bad = |message: String| Refusal::BadValue { column: column.into(), ty: "tsquery".into(), message };
    if text.contains('\0') {
        return Err(bad("a query cannot contain U+0000".into()));
    }
    if text.chars().nth(QUERY_CHARACTERS_MAX).is_some() {
        return Err(bad(format!("a query has at most {QUERY_CHARACTERS_MAX} characters")));
    }
    if how == Search::Query && !is_query(text) {
        return Err(bad(
            "not words between &, |, !, <-> and parentheses; for what people type there are plfts and wfts".into(),
        ));
    }
    Ok(Value::text(text))
}

/// Whether PostgreSQL takes a text for a `tsquery` (reference: Text Search Types). Stricter than it with quotes: no backslashes.
fn is_query(text: &str) -> bool {
    let mut rest = text.trim_start();
    // No words at all are a query that nothing fits.
    if rest.is_empty() {
        return true;
    }
    let mut open = 0usize;
    loop {
        // An operand, after its negations and opening parentheses.
        while let Some(after) = rest.strip_prefix(['!', '(']) {
            open += usize::from(rest.starts_with('('));
            if open > DEPTH_MAX {
                return false;
            }
            rest = after.trim_start();
        }
        let Some(after) = operand(rest) else { return false };
        rest = after.trim_start();
        while let Some(after) = rest.strip_prefix(')') {
            let Some(fewer) = open.checked_sub(1) else { return false };
            open = fewer;
            rest = after.trim_start();
        }
        if rest.is_empty() {
            return open == 0;
        }
        let Some(after) = operator(rest) else { return false };
        rest = after.trim_start();
    }
}

/// What follows a word, quoted or not, and its weights.
fn operand(text: &str) -> Option<&str> {
    let mut rest = if let Some(quoted) = text.strip_prefix('\'') {
        let mut characters = quoted.char_indices().peekable();
        let mut octets = 0;
        loop {
            match characters.next()? {
                (_, '\\') => return None,
                (_, '\'') if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                    characters.next();
                    octets += 1;
                }
                // Nothing between quotes is no word.
                (_, '\'') if octets == 0 => return None,
                (end, '\'') => break &quoted[end + 1..],
                _ => octets += 1,
            }
        }
    } else {
        let end = text
            .find(|c: char| c.is_whitespace() || matches!(c, '&' | '|' | '!' | '(' | ')' | '<' | ':' | '\'' | '\\'))
            .unwrap_or(text.len());
        if end == 0 {
            return None;
        }
        &text[end..]
    };
    if let Some(weights) = rest.strip_prefix(':') {
        let end = weights.find(|c: char| !matches!(c.to_ascii_uppercase(), 'A'..='D' | '*')).unwrap_or(weights.len());
        if end == 0 {
            return None;
        }
        rest = &weights[end..];
    }
    // A word ends where something else begins.
    let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '&' | '|' | ')' | '<'));
    ends.then_some(rest)
}

/// What follows an operator between two operands.
fn operator(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(['&', '|']).or_else(|| text.strip_prefix("<->")) {
        return Some(rest);
    }
    let (distance, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = !distance.is_empty() && distance.bytes().all(|octet| octet.is_ascii_digit());
    (is_number && distance.parse::<u32>().is_ok_and(|distance| distance <= 16_384)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::is_query;

    const GOOD: [&str; 16] = [
        "",
        "  ",
        "cat",
        "cat & dog",
        "cat|dog",
        "!cat",
        "! ( cat & !!dog )",
        "cat <-> dog",
        "cat <2> dog",
        "'cat dog' & rat",
        "'it''s'",
        "cat:*",
        "cat:AB*&dog",
        "((cat))",
        "it-is",
        "über & 猫",
    ];
    const BAD: [&str; 18] = [
        "cat dog",
        "cat &",
        "& cat",
        "(cat",
        "cat)",
        "!",
        "()",
        "cat & | dog",
        "'cat",
        "''",
        "cat:",
        "cat:E",
        ":",
        "cat <> dog",
        "cat <x> dog",
        "cat <16385> dog",
        "cat !dog",
        "\\",
    ];

    /// As PostgreSQL 15 answers.
    #[test]
    fn what_is_a_query() {
        for good in GOOD {
            assert!(is_query(good), "{good}");
        }
        for bad in BAD {
            assert!(!is_query(bad), "{bad}");
        }
    }
}
