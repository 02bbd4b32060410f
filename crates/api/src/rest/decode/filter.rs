//! Conditions: `column=not.operator(quantifier).operand`, and trees of them in `and=(…)` and `or=(…)`.

use super::query::Reader;
use super::scan::{Scanner, What};
use super::{CONDITION_DEPTH_MAX, Malformed};
use std::borrow::Cow;
use undergird_model::diagnostic::nearest;
use undergird_plan::request::{ColumnPath, Condition, IsOperand, Operand, Operator, Quantifier, Test};

/// The right side of `column=…`.
pub(super) fn test(reader: &mut Reader<'_>, column: ColumnPath, text: &str) -> Result<Condition, Malformed> {
    let mut scanner = Scanner::new(text, What::Filter);
    let condition = operation(reader, &mut scanner, column, Place::Alone)?;
    scanner.expect_done("end of input")?;
    Ok(condition)
}

/// The right side of `and=…` (or of `or=…`, when `any`).
pub(super) fn logic(reader: &mut Reader<'_>, text: &str, any: bool) -> Result<Condition, Malformed> {
    let mut scanner = Scanner::new(text, What::Logic);
    let condition = group(reader, &mut scanner, any, 1)?;
    scanner.expect_done("end of input")?;
    Ok(condition)
}

/// `(…,…)`.
fn group(reader: &mut Reader<'_>, scanner: &mut Scanner<'_>, any: bool, depth: usize) -> Result<Condition, Malformed> {
    if depth > CONDITION_DEPTH_MAX {
        return Err(Malformed::over_limit("condition_depth", CONDITION_DEPTH_MAX as u64, "levels of and(…) and or(…)"));
    }
    scanner.skip_blanks();
    scanner.expect(b'(', "\"(\"")?;
    let mut terms = Vec::with_capacity(2);
    loop {
        terms.push(term(reader, scanner, depth)?);
        scanner.skip_blanks();
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect(b')', "\",\" or \")\"")?;
    scanner.skip_blanks();
    Ok(if any { Condition::Or(terms) } else { Condition::And(terms) })
}

fn term(reader: &mut Reader<'_>, scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition, Malformed> {
    scanner.skip_blanks();
    let start = scanner.position();
    let negated = scanner.take_word("not.");
    for (word, any) in [("and", false), ("or", true)] {
        if scanner.rest().starts_with(word)
            && scanner.rest()[word.len()..].trim_start_matches([' ', '\t']).starts_with('(')
        {
            scanner.take_word(word);
            // Groups count as conditions, else `and(and(…` would be free.
            reader.count_condition()?;
            let condition = group(reader, scanner, any, depth + 1)?;
            return Ok(if negated { Condition::Not(Box::new(condition)) } else { condition });
        }
    }
    // A column may be called `not`.
    scanner.back_to(start);
    let column = scanner.column()?;
    if scanner.peek() == Some(b'(') {
        return Err(scanner.unexpected("logic operator (and, or)"));
    }
    scanner.expect(b'.', "delimiter (.)")?;
    operation(reader, scanner, column, Place::InGroup)
}

/// Whether an operand ends with the text, or at the next comma or parenthesis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    InGroup,
}

/// Makes an operator of its quantifier.
type Quantified = fn(Option<Quantifier>) -> Operator;

/// What an operator's operand is.
enum OperandKind {
    Scalar,
    /// `*` stands for `%`.
    Pattern,
}

const OPERATORS: &str =
    "eq neq gt gte lt lte like ilike match imatch in is isdistinct cs cd ov sl sr nxr nxl adj fts plfts phfts wfts";

fn operation(
    reader: &mut Reader<'_>,
    scanner: &mut Scanner<'_>,
    column: ColumnPath,
    place: Place,
) -> Result<Condition, Malformed> {
    reader.count_condition()?;
    let negated = scanner.take_word("not.");
    let start = scanner.position();
    let rest = scanner.rest();
    let length = rest.bytes().position(|byte| !byte.is_ascii_lowercase()).unwrap_or(rest.len());
    let word = &rest[..length];
    scanner.take_word(word);
    let quantified: Option<(Quantified, OperandKind)> = match word {
        "eq" => Some((Operator::Eq, OperandKind::Scalar)),
        "neq" => Some((Operator::Neq, OperandKind::Scalar)),
        "gt" => Some((Operator::Gt, OperandKind::Scalar)),
        "gte" => Some((Operator::Gte, OperandKind::Scalar)),
        "lt" => Some((Operator::Lt, OperandKind::Scalar)),
        "lte" => Some((Operator::Lte, OperandKind::Scalar)),
        "like" => Some((Operator::Like, OperandKind::Pattern)),
        "ilike" => Some((Operator::ILike, OperandKind::Pattern)),
        "match" => Some((Operator::Match, OperandKind::Scalar)),
        "imatch" => Some((Operator::IMatch, OperandKind::Scalar)),
        _ => None,
    };
    let (operator, operand) = if let Some((operator, kind)) = quantified {
        let quantifier = match () {
            () if scanner.take_word("(any)") => Some(Quantifier::Any),
            () if scanner.take_word("(all)") => Some(Quantifier::All),
            () => None,
        };
        if !scanner.take(b'.') {
            return Err(unknown_operator(scanner, start, rest, negated));
        }
        let operand = match quantifier {
            None => Operand::Text(pattern(scalar(scanner, place)?, &kind).into_owned()),
            Some(_) => Operand::List(braced(reader, scanner, place, &kind)?),
        };
        (operator(quantifier), Some(operand))
    } else {
        let configuration = match word {
            "fts" | "plfts" | "phfts" | "wfts" if scanner.take(b'(') => {
                let name = scanner.type_name()?;
                scanner.expect(b')', "\")\"")?;
                Some(name)
            }
            _ => None,
        };
        if word.is_empty() || !scanner.take(b'.') {
            return Err(unknown_operator(scanner, start, rest, negated));
        }
        match word {
            "in" => (Operator::In, Some(Operand::List(list(reader, scanner)?))),
            "is" => (Operator::Is(is_operand(scanner)?), None),
            "isdistinct" => (Operator::IsDistinct, Some(text_operand(scanner, place)?)),
            "cs" => (Operator::Contains, Some(text_operand(scanner, place)?)),
            "cd" => (Operator::Contained, Some(text_operand(scanner, place)?)),
            "ov" => (Operator::Overlaps, Some(text_operand(scanner, place)?)),
            "sl" | "sr" | "nxr" | "nxl" | "adj" => {
                (Operator::Range(word.to_owned()), Some(text_operand(scanner, place)?))
            }
            "fts" | "plfts" | "phfts" | "wfts" => {
                let operator = Operator::FullText { name: word.to_owned(), config: configuration };
                (operator, Some(text_operand(scanner, place)?))
            }
            _ => return Err(unknown_operator(scanner, start, rest, negated)),
        }
    };
    let operand = match operand {
        Some(operand) => Some(reader.slot(operand)?),
        None => None,
    };
    let condition = Condition::Test(Test { column, operator, operand });
    Ok(if negated { Condition::Not(Box::new(condition)) } else { condition })
}

/// The mistake is told at the operator's beginning, with the nearest that there is.
fn unknown_operator(scanner: &mut Scanner<'_>, start: usize, rest: &str, negated: bool) -> Malformed {
    scanner.back_to(start);
    let expecting = if negated { "operator (eq, gt, ...)" } else { "\"not\" or operator (eq, gt, ...)" };
    let mistake = scanner.unexpected(expecting);
    let word = rest.split(['.', '(']).next().unwrap_or_default();
    match nearest(word, OPERATORS.split(' ')) {
        Some(operator) if rest.contains('.') => mistake.with_hint(format!("Did you mean \"{operator}\"?")),
        Some(_) | None => mistake.with_hint("A condition reads column=operator.value, for example id=eq.1."),
    }
}

fn text_operand(scanner: &mut Scanner<'_>, place: Place) -> Result<Operand, Malformed> {
    scalar(scanner, place).map(|text| Operand::Text(text.into_owned()))
}

/// One operand. Alone it is all that is left, quotes and all; in a group it ends at a comma or a parenthesis unless it is quoted or
/// stands in braces.
fn scalar<'a>(scanner: &mut Scanner<'a>, place: Place) -> Result<Cow<'a, str>, Malformed> {
    if place == Place::Alone {
        return Ok(Cow::Borrowed(scanner.take_rest()));
    }
    if let Some(length) = braces(scanner.rest()) {
        let text = &scanner.rest()[..length];
        scanner.take_word(text);
        return Ok(Cow::Borrowed(text));
    }
    scanner.quoted_or_until(b",)")
}

/// The length of `{…}` at the beginning, quotes and inner braces respected, when a comma or a parenthesis follows it.
fn braces(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let (mut depth, mut quoted, mut at) = (0usize, false, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    let next = bytes.get(at + 1);
                    return next.is_none_or(|byte| matches!(byte, b',' | b')')).then_some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn pattern<'a>(text: Cow<'a, str>, kind: &OperandKind) -> Cow<'a, str> {
    match kind {
        OperandKind::Pattern if text.contains('*') => Cow::Owned(text.replace('*', "%")),
        OperandKind::Pattern | OperandKind::Scalar => text,
    }
}

/// `(a,"b,c",d)`. `()` is a list of none.
fn list(reader: &Reader<'_>, scanner: &mut Scanner<'_>) -> Result<Vec<String>, Malformed> {
    scanner.skip_blanks();
    scanner.expect(b'(', "\"(\"")?;
    let mut items = Vec::new();
    if scanner.take(b')') {
        return Ok(items);
    }
    loop {
        room_for_one_more(reader, items.len())?;
        items.push(scanner.quoted_or_until(b",)")?.into_owned());
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect(b')', "\",\" or \")\"")?;
    scanner.skip_blanks();
    Ok(items)
}

/// `{a,"b,c",d}`, a list as PostgreSQL writes one.
fn braced(
    reader: &Reader<'_>,
    scanner: &mut Scanner<'_>,
    place: Place,
    kind: &OperandKind,
) -> Result<Vec<String>, Malformed> {
    // The whole operand may be quoted once more: `or=(id.eq(any)."{1,2}")`.
    if place == Place::InGroup && scanner.peek() == Some(b'"') {
        let text = scanner.quoted_or_until(b",)")?;
        let mut inner = Scanner::new(&text, What::Filter);
        let items = braced(reader, &mut inner, Place::Alone, kind)?;
        inner.expect_done("end of input")?;
        return Ok(items);
    }
    scanner.expect(b'{', "\"{\": the operator compares with a list like {a,b}")?;
    let mut items = Vec::new();
    scanner.skip_blanks();
    if scanner.take(b'}') {
        return Ok(items);
    }
    loop {
        room_for_one_more(reader, items.len())?;
        scanner.skip_blanks();
        let start = scanner.position();
        let quoted = scanner.peek() == Some(b'"');
        let item = if quoted { scanner.quoted()? } else { scanner.quoted_or_until(b",}")? };
        let item = if quoted { item } else { Cow::Owned(item.trim_end_matches([' ', '\t']).to_owned()) };
        if !quoted && (item.is_empty() || item.contains(['{', '"']) || item.eq_ignore_ascii_case("null")) {
            scanner.back_to(start);
            return Err(scanner.unexpected("a value: quote what is empty, says null or has braces or quotes in it"));
        }
        items.push(pattern(item, kind).into_owned());
        scanner.skip_blanks();
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect(b'}', "\",\" or \"}\"")?;
    Ok(items)
}

fn room_for_one_more(reader: &Reader<'_>, length: usize) -> Result<(), Malformed> {
    let max = reader.limits.list_items;
    if length >= max as usize {
        Err(Malformed::over_limit("list_items", max.into(), "items in a list"))
    } else {
        Ok(())
    }
}

fn is_operand(scanner: &mut Scanner<'_>) -> Result<IsOperand, Malformed> {
    const WORDS: [(&str, IsOperand); 5] = [
        ("null", IsOperand::Null),
        ("not_null", IsOperand::NotNull),
        ("true", IsOperand::True),
        ("false", IsOperand::False),
        ("unknown", IsOperand::Unknown),
    ];
    let rest = scanner.rest();
    let length = rest.bytes().position(|byte| !byte.is_ascii_alphabetic() && byte != b'_').unwrap_or(rest.len());
    let found = WORDS.iter().find(|(word, _)| rest[..length].eq_ignore_ascii_case(word));
    let Some((word, operand)) = found else {
        return Err(scanner.unexpected("isVal: (null, not_null, true, false, unknown)"));
    };
    scanner.take_word(&rest[..word.len()]);
    Ok(*operand)
}
