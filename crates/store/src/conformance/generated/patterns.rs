//! Patterns: `like` and `ilike` against a matcher of a dozen lines, regular expressions against lists made by hand.

use super::meaning::not;
use super::{Case, Step, numbers};

/// Row `n` has the n-th; the row after the last has none.
const TEXTS: [&str; 12] = [
    "",
    "Hello",
    "hello world",
    "100%",
    "a_c",
    "abc",
    "ÄÖ ü",
    "äö Ü",
    "\u{1f600}x",
    "back\\slash",
    "two\nlines",
    "e\u{301} ",
];

/// `*` is `%` on the wire.
const PATTERNS: [&str; 20] = [
    "", "*", "_*", "Hel*", "*o*", "hello", "HELLO*", "_____", "a_c", "a\\_c", "100\\%", "*\\%", "*\\\\*", "äö _", "_x",
    "*\n*", "e_ ", "*e", "__", "*l*l*",
];

/// Regular expressions, and the rows in which one of them, and then its like without regard to case, matches somewhere.
const EXPRESSIONS: [(&str, &[usize], &[usize]); 14] = [
    ("^$", &[0], &[0]),
    ("hello", &[2], &[1, 2]),
    ("^[hH]el+o$", &[1], &[1]),
    ("o w", &[2], &[2]),
    ("^[0-9]+%$", &[3], &[3]),
    ("^a.c$", &[4, 5], &[4, 5]),
    ("(abc|100)", &[3, 5], &[3, 5]),
    ("ä", &[7], &[6, 7]),
    ("^.x$", &[8], &[8]),
    ("\\\\", &[9], &[9]),
    ("s$", &[10], &[10]),
    ("[[:upper:]]el", &[1], &[1, 2]),
    ("\\d{3}", &[3], &[3]),
    ("l{2}", &[1, 2], &[1, 2]),
];

pub(super) fn cases() -> Vec<Case> {
    let definition = vec![(
        "models/words.toml".to_owned(),
        "key = [\"n\"]\n[fields]\nn = { type = \"int\" }\nt = { type = \"text\", optional = true }\n".to_owned(),
    )];
    let rows: Vec<String> = TEXTS
        .iter()
        .enumerate()
        .map(|(n, text)| format!("{{\"n\": {n}, \"t\": {}}}", serde_json::Value::from(*text)))
        .chain([format!("{{\"n\": {}, \"t\": null}}", TEXTS.len())])
        .collect();
    let fill = Step::new(format!("POST words [{}]", rows.join(", ")), format!("affected {}", rows.len()));
    let case = |name: &str, steps: Vec<Step>| Case {
        name: format!("patterns: {name}"),
        definition: definition.clone(),
        shares: true,
        steps: [vec![fill.clone()], steps].concat(),
    };
    vec![case("like", likes("like", false)), case("ilike", likes("ilike", true)), case("match", expressions())]
}

fn finds(condition: &str, test: impl Fn(usize) -> Option<bool>) -> Step {
    let found = (0..=TEXTS.len()).filter(|row| test(*row) == Some(true));
    Step::new(format!("GET words?select=n&order=n&{condition}"), numbers(found))
}

fn likes(operator: &str, folds: bool) -> Vec<Step> {
    let test = |row: usize, pattern: &str| TEXTS.get(row).map(|text| like(text, pattern, folds));
    let mut steps = Vec::new();
    for pattern in PATTERNS {
        steps.push(finds(&format!("t={operator}.{pattern}"), |row| test(row, pattern)));
        steps.push(finds(&format!("t=not.{operator}.{pattern}"), |row| not(test(row, pattern))));
    }
    for pair in [["Hel*", "*o*"], ["*\\%", "_____"], ["nothing", "*"]] {
        let each = |row: usize| pair.map(|pattern| test(row, pattern));
        let any = |row: usize| Some(each(row)[0]? || each(row)[1]?);
        let all = |row: usize| Some(each(row)[0]? && each(row)[1]?);
        let list = pair.join(",");
        steps.push(finds(&format!("t={operator}(any).{{{list}}}"), any));
        steps.push(finds(&format!("t=not.{operator}(any).{{{list}}}"), |row| not(any(row))));
        steps.push(finds(&format!("t={operator}(all).{{{list}}}"), all));
        steps.push(finds(&format!("t=not.{operator}(all).{{{list}}}"), |row| not(all(row))));
    }
    steps
}

fn expressions() -> Vec<Step> {
    let mut steps = Vec::new();
    for (expression, exact, folded) in EXPRESSIONS {
        for (operator, rows) in [("match", exact), ("imatch", folded)] {
            let test = |row: usize| (row < TEXTS.len()).then(|| rows.contains(&row));
            steps.push(finds(&format!("t={operator}.{expression}"), test));
            steps.push(finds(&format!("t=not.{operator}.{expression}"), |row| not(test(row))));
        }
    }
    let test = |row: usize| (row < TEXTS.len()).then_some([1, 2, 5].contains(&row));
    steps.push(finds("t=match(any).{ell,^abc}", test));
    steps.push(finds("t=not.match(any).{ell,^abc}", |row| not(test(row))));
    let test = |row: usize| (row < TEXTS.len()).then_some(row == 2);
    steps.push(finds("t=match(all).{ell,wor}", test));
    steps.push(finds("t=imatch(all).{ELL,WOR}", test));
    steps.push(finds("t=not.imatch(all).{ELL,WOR}", |row| not(test(row))));
    steps
}

/// SQL's `LIKE`, by characters, `*` for `%` and `\` before what is meant itself.
fn like(text: &str, pattern: &str, folds: bool) -> bool {
    let fold = |c: char| if folds { c.to_lowercase().next().unwrap_or(c) } else { c };
    let text: Vec<char> = text.chars().map(fold).collect();
    let pattern: Vec<char> = pattern.chars().map(fold).collect();
    fits(&text, &pattern)
}

fn fits(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skipped| fits(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && fits(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && fits(&text[1..], rest),
    }
}
