//! Cases made from tables: every operator × every type × null, alone and combined. The answers are worked out here, from the order in
//! which the [`samples`] of a type stand, by plain Rust that knows what the operators mean ([`meaning`]) and nothing of any store.

mod compare;
mod expressions;
mod groups;
mod limits;
mod lists;
mod meaning;
mod order;
mod patterns;
mod samples;
mod writes;

use super::{Case, Step};
use samples::{SAMPLES, Sample};

/// All made cases.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for sample in SAMPLES {
        cases.push(things(format!("compare: {}", sample.column), compare::steps(sample)));
        cases.push(things(format!("relations: {}", sample.column), compare::through_relations(sample)));
        cases.push(things(format!("order: {}", sample.column), order::steps(sample)));
        cases.push(things(format!("groups: {}", sample.column), groups::steps(sample)));
    }
    cases.extend(writes::cases());
    cases.extend(patterns::cases());
    cases.extend(lists::cases());
    cases.extend(expressions::cases());
    cases.extend(limits::cases());
    cases
}

/// A case on `things` and `links`, filled: row `n` of `things` has the sample values at `n`, the last has none; `links` has one row to
/// each and one to none.
fn things(name: String, steps: Vec<Step>) -> Case {
    let mut fields = String::from("key = [\"n\"]\n[fields]\nn = { type = \"int\" }\n");
    for sample in SAMPLES {
        fields.push_str(&format!("{} = {{ {}, optional = true }}\n", sample.column, sample.declared));
    }
    let links = "key = [\"n\"]\n[fields]\nn = { type = \"int\" }\nthing_id = { type = \"ref\", to = \"things\", optional = true }\n";
    let mut all = fill();
    all.extend(steps);
    Case {
        name,
        definition: vec![("models/things.toml".into(), fields), ("models/links.toml".into(), links.into())],
        shares: true,
        steps: all,
    }
}

/// How many rows of `things` have values; the one after them has none.
const ROWS: usize = 5;

fn fill() -> Vec<Step> {
    let rows: Vec<String> = (0..=ROWS)
        .map(|n| {
            let members: Vec<String> = SAMPLES
                .iter()
                .map(|sample| {
                    let json = sample.values.get(n).map_or("null", |value| value.json);
                    format!("\"{}\": {json}", sample.column)
                })
                .collect();
            format!("{{\"n\": {n}, {}}}", members.join(", "))
        })
        .collect();
    let links: Vec<String> = (0..=ROWS)
        .map(|n| format!("{{\"n\": {n}, \"thing_id\": {n}}}"))
        .chain([format!("{{\"n\": {}, \"thing_id\": null}}", ROWS + 1)])
        .collect();
    vec![
        Step::new(format!("POST things [{}]", rows.join(", ")), format!("affected {}", ROWS + 1)),
        Step::new(format!("POST links [{}]", links.join(", ")), format!("affected {}", ROWS + 2)),
    ]
}

/// `[{"n":0},{"n":2}]`.
fn numbers(found: impl IntoIterator<Item = usize>) -> String {
    let rows: Vec<String> = found.into_iter().map(|n| format!("{{\"n\":{n}}}")).collect();
    format!("[{}]", rows.join(","))
}

/// The rank of each row's value, `None` for the row without.
fn ranks(sample: &Sample) -> Vec<Option<u8>> {
    sample.values.iter().map(|value| Some(value.rank)).chain([None]).collect()
}
