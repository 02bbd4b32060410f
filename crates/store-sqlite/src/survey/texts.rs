//! What only the text of a `CREATE TABLE` tells: its checks; and constants of defaults.

use undergird_store::adopt::FoundDefault;

/// The checks in the text of a table, with the names that they have or get here.
pub(super) fn checks(sql: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut named: Option<String> = None;
    let mut previous = String::new();
    let mut at = 0;
    while let Some(piece) = piece(sql, at) {
        let text = &sql[piece.clone()];
        at = piece.end;
        if text.eq_ignore_ascii_case("check") {
            let open = sql[at..].find(|c: char| !c.is_whitespace()).map(|space| at + space);
            if let Some(open) = open.filter(|open| sql[*open..].starts_with('('))
                && let Some(close) = closing(sql, open)
            {
                let condition = sql[open + 1..close].trim();
                let name = named.take().unwrap_or_else(|| format!("check_{}", found.len() + 1));
                found.push((name, condition.split_whitespace().collect::<Vec<_>>().join(" ")));
                at = close + 1;
            }
        } else if previous.eq_ignore_ascii_case("constraint") {
            named = Some(text.trim_matches(['"', '`', '[', ']']).to_owned());
        } else if text == "," {
            named = None;
        }
        text.clone_into(&mut previous);
    }
    found
}

/// The next word, quoted text or mark from a place on.
fn piece(sql: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let mut start = from;
    loop {
        let rest = sql.get(start..)?;
        let trimmed = rest.trim_start();
        start += rest.len() - trimmed.len();
        if let Some(comment) = trimmed.strip_prefix("--") {
            start += 2 + comment.find('\n').unwrap_or(comment.len());
        } else if let Some(comment) = trimmed.strip_prefix("/*") {
            start += 2 + comment.find("*/").map_or(comment.len(), |end| end + 2);
        } else {
            break;
        }
    }
    let rest = &sql[start..];
    let first = rest.chars().next()?;
    let close = match first {
        '\'' | '"' | '`' => Some(first),
        '[' => Some(']'),
        _ => None,
    };
    let length = match close {
        Some(close) => rest[1..].find(close).map_or(rest.len(), |end| end + 1 + close.len_utf8()),
        None if first.is_alphanumeric() || first == '_' => {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        }
        None => first.len_utf8(),
    };
    Some(start..start + length)
}

/// Where the parenthesis that opens here closes.
fn closing(sql: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = open;
    while let Some(piece) = piece(sql, at) {
        match &sql[piece.clone()] {
            "(" => depth += 1,
            ")" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(piece.start);
                }
            }
            _ => {}
        }
        at = piece.end;
    }
    None
}

/// A default as its text stands in the schema.
pub(super) fn default(text: &str, is_text: bool) -> FoundDefault {
    let bare = text.trim();
    let bare = bare.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).map_or(bare, str::trim);
    let word = bare.to_ascii_uppercase();
    match word.as_str() {
        "NULL" => return FoundDefault::None,
        "CURRENT_TIMESTAMP" | "DATETIME('NOW')" | "STRFTIME('%Y-%M-%D %H:%M:%F', 'NOW')" => return FoundDefault::Now,
        "TRUE" => return FoundDefault::Literal(true.into()),
        "FALSE" => return FoundDefault::Literal(false.into()),
        _ => {}
    }
    if let Some(inner) = bare.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''))
        && !inner.replace("''", "").contains('\'')
    {
        return FoundDefault::Literal(inner.replace("''", "'").into());
    }
    let is_number =
        !bare.is_empty() && bare.trim_start_matches(['-', '+']).bytes().all(|c| c.is_ascii_digit() || c == b'.');
    match serde_json::from_str::<serde_json::Number>(bare.trim_start_matches('+')) {
        // A column of text has the digits.
        Ok(_) if is_number && is_text => FoundDefault::Literal(bare.into()),
        Ok(number) if is_number => FoundDefault::Literal(number.into()),
        _ => FoundDefault::Database(text.to_owned()),
    }
}
