//! Lists of every type: contains, is contained in, overlaps, equality, elements; empty, with repetitions, null.

use super::meaning::not;
use super::samples::{SAMPLES, Sample};
use super::{Case, Step, numbers};

/// Row `n` has a list of the sample values at these positions; the row after the last has none.
const LISTS: [&[usize]; 6] = [&[], &[1], &[1, 3], &[3, 1], &[4, 4, 3], &[0, 1, 3, 4]];

/// What the lists are compared with.
const OPERANDS: [&[usize]; 5] = [&[], &[1], &[3, 1], &[0, 4], &[4, 3, 3]];

/// The columns that lists can be of, one of each storage.
const KINDS: [&str; 11] = [
    "c_bool",
    "c_near",
    "c_float",
    "c_dec",
    "c_text",
    "c_space",
    "c_accent",
    "c_uuid",
    "c_time_stamp",
    "c_date",
    "c_time",
];

pub(super) fn cases() -> Vec<Case> {
    let of: Vec<&Sample> = SAMPLES.iter().filter(|sample| KINDS.contains(&sample.column)).collect();
    let mut fields = String::from("key = [\"n\"]\n[fields]\nn = { type = \"int\" }\n");
    for sample in &of {
        let declared = sample.declared.replacen("type =", "type = \"list\", of =", 1);
        fields.push_str(&format!("{} = {{ {declared}, optional = true }}\n", sample.column));
    }
    let rows: Vec<String> = (0..=LISTS.len())
        .map(|n| {
            let members: Vec<String> = of
                .iter()
                .map(|sample| {
                    let list = LISTS.get(n).map_or("null".to_owned(), |list| list_of(sample, list, |value| value.json));
                    format!("\"{}\": {list}", sample.column)
                })
                .collect();
            format!("{{\"n\": {n}, {}}}", members.join(", "))
        })
        .collect();
    let fill = Step::new(format!("POST bags [{}]", rows.join(", ")), format!("affected {}", rows.len()));
    let definition = vec![("models/bags.toml".to_owned(), fields)];
    of.into_iter()
        .map(|sample| Case {
            name: format!("lists: {}", sample.column),
            definition: definition.clone(),
            shares: true,
            steps: [vec![fill.clone()], steps(sample)].concat(),
        })
        .collect()
}

/// A list as JSON.
fn list_of(
    sample: &Sample,
    positions: &[usize],
    tell: impl Fn(&super::samples::SampleValue) -> &'static str,
) -> String {
    let items: Vec<&str> = positions.iter().map(|at| tell(&sample.values[*at])).collect();
    format!("[{}]", items.join(","))
}

fn steps(sample: &Sample) -> Vec<Step> {
    let column = sample.column;
    let ranks = |positions: &[usize]| positions.iter().map(|at| sample.values[*at].rank).collect::<Vec<u8>>();
    let mut steps = Vec::new();
    let mut finds = |condition: String, test: &dyn Fn(&[u8]) -> bool, negated: bool| {
        let found = (0..=LISTS.len()).filter(|row| {
            let answer = LISTS.get(*row).map(|list| test(&ranks(list)));
            (if negated { not(answer) } else { answer }) == Some(true)
        });
        steps.push(Step::new(format!("GET bags?select=n&order=n&{condition}"), numbers(found)));
    };
    for operand in OPERANDS {
        let wanted = ranks(operand);
        let within = |part: &[u8], whole: &[u8]| part.iter().all(|item| whole.contains(item));
        let items: Vec<String> = operand.iter().map(|at| sample.values[*at].quoted()).collect();
        let url = format!("{{{}}}", items.join(","));
        for (negated, prefix) in [(false, ""), (true, "not.")] {
            finds(format!("{column}={prefix}cs.{url}"), &|list| within(&wanted, list), negated);
            finds(format!("{column}={prefix}cd.{url}"), &|list| within(list, &wanted), negated);
            finds(format!("{column}={prefix}ov.{url}"), &|list| list.iter().any(|item| wanted.contains(item)), negated);
            finds(format!("{column}={prefix}eq.{url}"), &|list| list == wanted, negated);
        }
    }
    finds(
        format!("{column}=cs.{}", list_of(sample, &[3], |value| value.json)),
        &|list| list.contains(&sample.values[3].rank),
        false,
    );
    let first = &sample.values[1];
    let begins: Vec<usize> = LISTS
        .iter()
        .enumerate()
        .filter(|(_, list)| list.first().is_some_and(|at| sample.values[*at].rank == first.rank))
        .map(|(row, _)| row)
        .collect();
    steps.push(Step::new(format!("GET bags?select=n&order=n&{column}->0=eq.{}", first.url), numbers(begins)));
    let shown: Vec<String> = (0..=LISTS.len())
        .map(|row| {
            let list = LISTS.get(row).map_or("null".to_owned(), |list| list_of(sample, list, |value| value.wire));
            let second = LISTS.get(row).and_then(|list| list.get(1)).map_or("null", |at| sample.values[*at].wire);
            format!("{{\"{column}\":{list},\"second\":{second}}}")
        })
        .collect();
    steps.push(Step::new(
        format!("GET bags?select={column},second:{column}->1&order=n"),
        format!("[{}]", shown.join(",")),
    ));
    steps
}
