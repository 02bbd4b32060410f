//! The cases, each file of one subject.
//!
//! `== name` begins a case, `-- file` a source of its definition, `-- steps` its steps: a line `> request` (or `visitor> request`,
//! or `a/admin> request`) and below it the answer. `-- as above` instead of both means the definition of the case before, on emptied
//! tables: such a case gives its own keys, as those that the store makes go on where they were.

use super::generated;
use super::{Case, Step};

/// Every file of cases.
const FILES: &[(&str, &str)] = &[
    ("aggregates", include_str!("aggregates.txt")),
    ("constraints", include_str!("constraints.txt")),
    ("decimals", include_str!("decimals.txt")),
    ("embedding", include_str!("embedding.txt")),
    ("embeds", include_str!("embeds.txt")),
    ("json", include_str!("json.txt")),
    ("json_and_lists", include_str!("json_and_lists.txt")),
    ("making", include_str!("making.txt")),
    ("names", include_str!("names.txt")),
    ("ordering", include_str!("ordering.txt")),
    ("rights", include_str!("rights.txt")),
    ("rules", include_str!("rules.txt")),
    ("time", include_str!("time.txt")),
    ("transactions", include_str!("transactions.txt")),
    ("types", include_str!("types.txt")),
    ("unicode", include_str!("unicode.txt")),
    ("upserts", include_str!("upserts.txt")),
    ("writes", include_str!("writes.txt")),
];

/// All cases: the written ones, then those that are made of every operator and every type.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = FILES.iter().flat_map(|(file, text)| parse(file, text)).collect();
    cases.extend(generated::cases());
    cases
}

fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_steps = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case {
                name: format!("{file}: {name}"),
                definition: Vec::new(),
                shares: false,
                steps: Vec::new(),
            });
            in_steps = false;
            continue;
        }
        if line == "-- as above" {
            let above = cases.len().checked_sub(2).map(|at| cases[at].definition.clone()).unwrap_or_default();
            if let Some(case) = cases.last_mut() {
                case.definition = above;
                case.shares = true;
            }
            in_steps = true;
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if line == "-- steps" {
            in_steps = true;
        } else if let Some(source) = line.strip_prefix("-- ") {
            case.definition.push((source.to_owned(), String::new()));
            in_steps = false;
        } else if !in_steps {
            if let Some((_, source)) = case.definition.last_mut() {
                source.push_str(line);
                source.push('\n');
            }
        } else if let Some((caller, request)) = line.split_once("> ").filter(|(caller, _)| !caller.contains(' ')) {
            case.steps.push(Step { caller: caller.to_owned(), request: request.to_owned(), answer: String::new() });
        } else if let Some(step) = case.steps.last_mut()
            && !line.is_empty()
        {
            step.answer.push_str(line);
        }
    }
    cases
}
