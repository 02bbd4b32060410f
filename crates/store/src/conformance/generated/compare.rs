//! Comparisons with one value, with several, with null; negated; in `and` and `or`; through relations.

use super::meaning::{COMPARISONS, Comparison, and, found, not, or};
use super::samples::Sample;
use super::{Step, numbers, ranks};

/// Of the five, the operands: both edges and the middle.
const OPERANDS: [usize; 3] = [0, 2, 4];

pub(super) fn steps(sample: &Sample) -> Vec<Step> {
    let column = sample.column;
    let ranks = ranks(sample);
    let mut steps = Vec::new();
    let mut finds = |condition: String, test: &dyn Fn(Option<u8>) -> Option<bool>| {
        let rows = numbers(found(&ranks, test));
        steps.push(Step::new(format!("GET things?select=n&order=n&{condition}"), rows));
    };
    for at in OPERANDS {
        let operand = &sample.values[at];
        let (url, rank) = (operand.url, operand.rank);
        for (name, comparison) in COMPARISONS {
            finds(format!("{column}={name}.{url}"), &|value| comparison.one(value, rank));
            finds(format!("{column}=not.{name}.{url}"), &|value| not(comparison.one(value, rank)));
        }
        finds(format!("{column}=isdistinct.{url}"), &|value| Some(value != Some(rank)));
        finds(format!("{column}=not.isdistinct.{url}"), &|value| Some(value == Some(rank)));
        finds(format!("{column}=in.({})", operand.quoted()), &|value| Comparison::Eq.one(value, rank));
    }
    let (low, high) = (&sample.values[1], &sample.values[3]);
    let both = [low.rank, high.rank];
    let list = format!("{},{}", low.quoted(), high.quoted());
    finds(format!("{column}=in.({list})"), &|value| Comparison::Eq.any(value, &both));
    finds(format!("{column}=not.in.({list})"), &|value| not(Comparison::Eq.any(value, &both)));
    finds(format!("{column}=in.()"), &|value| Comparison::Eq.any(value, &[]));
    finds(format!("{column}=not.in.()"), &|value| not(Comparison::Eq.any(value, &[])));
    for (name, comparison) in COMPARISONS {
        finds(format!("{column}={name}(any).{{{list}}}"), &|value| comparison.any(value, &both));
        finds(format!("{column}=not.{name}(any).{{{list}}}"), &|value| not(comparison.any(value, &both)));
        finds(format!("{column}={name}(all).{{{list}}}"), &|value| comparison.all(value, &both));
        finds(format!("{column}=not.{name}(all).{{{list}}}"), &|value| not(comparison.all(value, &both)));
    }
    finds(format!("{column}=is.null"), &|value| Some(value.is_none()));
    finds(format!("{column}=not.is.null"), &|value| Some(value.is_some()));
    finds(format!("{column}=is.not_null"), &|value| Some(value.is_some()));
    if sample.kind == "bool" {
        for (name, wanted) in [("true", Some(1)), ("false", Some(0)), ("unknown", None)] {
            finds(format!("{column}=is.{name}"), &|value| Some(value == wanted));
            finds(format!("{column}=not.is.{name}"), &|value| Some(value != wanted));
        }
    }
    let (above, below) = (Comparison::Gt, Comparison::Lt);
    let (up, down) = (format!("{column}.gt.{}", low.quoted()), format!("{column}.lt.{}", high.quoted()));
    let is_above = |value| above.one(value, low.rank);
    let is_below = |value| below.one(value, high.rank);
    finds(format!("and=({up},{down})"), &|value| and(is_above(value), is_below(value)));
    finds(format!("not.and=({up},{down})"), &|value| not(and(is_above(value), is_below(value))));
    finds(format!("or=({up},{column}.is.null)"), &|value| or(is_above(value), Some(value.is_none())));
    finds(format!("not.or=({up},{column}.is.null)"), &|value| not(or(is_above(value), Some(value.is_none()))));
    finds(format!("or=({column}.not.gt.{},not.and({up},{down}))", low.quoted()), &|value| {
        or(not(is_above(value)), not(and(is_above(value), is_below(value))))
    });
    finds(format!("{column}=gte.{}&{column}=lte.{}", low.url, high.url), &|value| {
        and(Comparison::Gte.one(value, low.rank), Comparison::Lte.one(value, high.rank))
    });
    steps.push(Step::new(format!("GET things?select={column}&order=n"), column_of(sample, |wire| wire.to_owned())));
    steps.push(Step::new(
        format!("GET things?select=x:{column}::text&order=n"),
        column_of(sample, |wire| if wire.starts_with('"') { wire.to_owned() } else { format!("\"{wire}\"") })
            .replace(&format!("\"{column}\":"), "\"x\":"),
    ));
    steps
}

/// The column of all rows, each value as told.
fn column_of(sample: &Sample, tell: impl Fn(&str) -> String) -> String {
    let cells: Vec<String> = sample
        .values
        .iter()
        .map(|value| tell(value.wire))
        .chain(["null".to_owned()])
        .map(|cell| format!("{{\"{}\":{cell}}}", sample.column))
        .collect();
    format!("[{}]", cells.join(","))
}

/// Conditions on a related row: of `links` through `thing`, of `things` through `links` and back.
pub(super) fn through_relations(sample: &Sample) -> Vec<Step> {
    let column = sample.column;
    let ranks = ranks(sample);
    let operand = &sample.values[2];
    let mut steps = Vec::new();
    for (name, comparison) in COMPARISONS {
        let yes = found(&ranks, |value| comparison.one(value, operand.rank));
        let no = found(&ranks, |value| not(comparison.one(value, operand.rank)));
        let url = operand.url;
        let inner = "GET links?select=n,thing!inner()&order=n";
        steps.push(Step::new(format!("{inner}&thing.{column}={name}.{url}"), numbers(yes.clone())));
        steps.push(Step::new(format!("{inner}&thing.{column}=not.{name}.{url}"), numbers(no)));
        // Without `!inner` the row stays, and what it embeds goes.
        let shown: Vec<String> = (0..=ranks.len())
            .map(|n| match yes.contains(&n) {
                true => format!("{{\"n\":{n},\"thing\":{{\"n\":{n}}}}}"),
                false => format!("{{\"n\":{n},\"thing\":null}}"),
            })
            .collect();
        steps.push(Step::new(
            format!("GET links?select=n,thing(n)&order=n&thing.{column}={name}.{url}"),
            format!("[{}]", shown.join(",")),
        ));
    }
    // From a row to those that refer to it, and on to what they refer to: the row itself.
    let same = found(&ranks, |value| Comparison::Gte.one(value, operand.rank));
    steps.push(Step::new(
        format!("GET things?select=n,links!inner(thing!inner())&order=n&links.thing.{column}=gte.{}", operand.url),
        numbers_with_empty(same),
    ));
    steps.push(Step::new(
        format!("GET links?select=n,thing()&order=n&thing.{column}=is.null&thing=not.is.null"),
        numbers([ranks.len() - 1]),
    ));
    steps
}

/// `{"n":0,"links":[{}]}`: an embed of nothing but a condition shows an empty object.
fn numbers_with_empty(found: Vec<usize>) -> String {
    let rows: Vec<String> = found.into_iter().map(|n| format!("{{\"n\":{n},\"links\":[{{}}]}}")).collect();
    format!("[{}]", rows.join(","))
}
