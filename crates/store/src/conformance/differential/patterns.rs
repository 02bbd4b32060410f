//! Random patterns against random texts: whether a store's own engine finds what ours finds. Texts are put together of the columns'
//! edges and of line ends, since that is where engines part.
//!
//! Absent: patterns that come from rows, which most stores refuse.

use super::{Case, Dice, Question, Tally, Told, Trial, arbitrary, seed, setting};
use std::time::Instant;
use undergird_model::expr::{Function, RowVar};
use undergird_model::{Expr, Node, Type, Value};

/// What patterns are made of: characters, classes, places; some mean something to one engine alone.
const ATOMS: [&str; 58] = [
    "a",
    "b",
    "A",
    "c",
    "é",
    "É",
    "e\u{301}",
    "ß",
    "ſ",
    "k",
    "s",
    "ı",
    "😀",
    " ",
    "\\n",
    "\\t",
    "\\.",
    ".",
    "(?s:.)",
    "[ab]",
    "[^a]",
    "[a-c]",
    "[^\\n]",
    "[\\w-]",
    "[[:alpha:]]",
    "[^[:space:]]",
    "[\\]]",
    "[é-ü]",
    "\\d",
    "\\D",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\pL",
    "\\p{Lu}",
    "\\PL",
    "\\p{Greek}",
    "\\x41",
    "\\x{1F600}",
    "^",
    "$",
    "\\A",
    "\\z",
    "\\b",
    "\\B",
    "(?m:^)",
    "(?m:$)",
    "(?-u:\\b)",
    "(?i:a)",
    "(?i:É)",
    "(?i:s)",
    "(?:)",
    "\\b{start}",
    "\\b{end}",
    "[a&&b]",
    "[a-c--b]",
    "[^\\x00-\\x{10FFFF}]",
];

/// How often what stands before is there.
const TIMES: [&str; 14] =
    ["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,2}", "{2,}", "{0,2}?", "{300}", "{0,300}", "{1,2}{2}"];

/// What texts are put together with.
const BETWEEN: [&str; 8] = ["", "\n", "\r\n", " ", "a", "_", "é", "\u{2028}"];

fn regular(dice: &mut Dice, depth: usize) -> String {
    let ways = if dice.below(4) == 0 { 2 } else { 1 };
    let way = |dice: &mut Dice| {
        let mut text = String::new();
        for _ in 0..dice.below(4) {
            if depth > 0 && dice.below(4) == 0 {
                text.push_str(dice.pick::<&str>(&["(", "(?:", "(?i:", "(?P<n>"]));
                text.push_str(&regular(dice, depth - 1));
                text.push(')');
            } else {
                text.push_str(dice.pick::<&str>(&ATOMS));
            }
            if dice.below(3) == 0 {
                text.push_str(dice.pick::<&str>(&TIMES));
            }
        }
        text
    };
    (0..ways).map(|_| way(dice)).collect::<Vec<_>>().join("|")
}

fn like(dice: &mut Dice) -> String {
    let parts =
        ["%", "_", "a", "A", "b", "é", "É", "ß", "ẞ", "ı", "İ", "ſ", "s", "\\%", "\\_", "\\\\", "\n", "😀", "[", "*"];
    (0..dice.below(7)).map(|_| *dice.pick(&parts)).collect()
}

/// Holds the store's engine against ours, until there are pairs of patterns and texts enough.
///
/// # Errors
/// The first difference, told so that it can be had again; or that the store failed.
pub async fn patterns_agree(trial: Trial<'_>) -> Result<Tally, String> {
    let (seed, wanted) = (seed(), setting("UNDERGIRD_PAIRS").map_or(trial.pairs, |pairs| pairs as usize));
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut number = 0;
    while tally.pairs < wanted {
        let model_seed = setting("UNDERGIRD_MODEL").unwrap_or(seed.wrapping_mul(1_000_081) + number);
        number += 1;
        let mut dice = Dice::new(model_seed);
        let case = Case::new(&trial, &mut dice).await?;
        let fields = &case.model.collection(case.this).fields;
        let texts: Vec<Expr> = fields
            .iter()
            .filter(|field| field.ty == Type::TEXT)
            .map(|field| Expr { ty: field.ty, node: Node::Field(RowVar::THIS, field.id) })
            .collect();
        if texts.is_empty() {
            continue;
        }
        for turn in 0..trial.rules {
            let joined = |left: Expr, right: Expr| Expr {
                ty: Type::TEXT,
                node: Node::Call(Function::Concatenate, vec![left, right]),
            };
            let mut text = dice.pick(&texts).clone();
            for _ in 0..dice.below(3) {
                let between = Expr::literal(Type::TEXT, Value::text(*dice.pick(&BETWEEN)));
                text = joined(text, joined(between, dice.pick(&texts).clone()));
            }
            let (function, pattern) = match dice.below(5) {
                0 => (Function::Like, like(&mut dice)),
                1 => (Function::LikeInsensitive, like(&mut dice)),
                2 => (Function::MatchesInsensitive, regular(&mut dice, 2)),
                _ => (Function::Matches, regular(&mut dice, 2)),
            };
            let pattern = Expr::literal(Type::TEXT, Value::text(pattern));
            let rule = Expr { ty: Type::BOOL, node: Node::Call(function, vec![text, pattern]) };
            let caller = arbitrary::caller(&mut dice, &case.rows);
            let question =
                Question { asked: rule.clone(), rule, params: Vec::new(), caller, filter: false, join: None };
            let place = format!("UNDERGIRD_MODEL={model_seed}, pattern {turn}");
            let told = case.ask(&question).await.map_err(|why| format!("{place}: {why}"))?;
            match told {
                Told::Refused(name) => *tally.refused.entry(name).or_default() += 1,
                Told::Rows(rows, text) => match case.compare(&question, &question.rule, &rows) {
                    Ok(compared) => {
                        tally.pairs += compared;
                        tally.rules += 1;
                    }
                    Err(difference) => {
                        return Err(format!(
                            "{place}: the store says {:?}, memory {:?}\nrow {:?}\n{}",
                            difference.store,
                            difference.memory,
                            difference.row.values(),
                            question.told(&text),
                        ));
                    }
                },
            }
        }
        tally.models += 1;
    }
    tally.took = start.elapsed();
    Ok(tally)
}
