//! The cases, each file of one subject.
//!
//! `== name` begins a case, `-- file` a source of its definition, `-- steps` its steps: a line `> request` (or `visitor> request`,
//! or `id> request`) and below it the answer.

use super::operators;
use super::{Case, Step};

/// Every file of cases.
const FILES: &[(&str, &str)] = &[
    ("aggregates", include_str!("aggregates.txt")),
    ("embedding", include_str!("embedding.txt")),
    ("json_and_lists", include_str!("json_and_lists.txt")),
    ("ordering", include_str!("ordering.txt")),
    ("rules", include_str!("rules.txt")),
    ("types", include_str!("types.txt")),
    ("writes", include_str!("writes.txt")),
];

/// All cases: the written ones, then those that are made of every operator and every type.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = FILES.iter().flat_map(|(file, text)| parse(file, text)).collect();
    cases.extend(operators::cases());
    cases
}

fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut in_steps = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: format!("{file}: {name}"), definition: Vec::new(), steps: Vec::new() });
            in_steps = false;
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
