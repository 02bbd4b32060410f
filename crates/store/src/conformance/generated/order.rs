//! Orderings by every type, nulls first and last, through a relation, in pages by offset and by cursor.

use super::samples::Sample;
use super::{ROWS, Step, numbers, ranks};
use std::cmp::Ordering;

/// How an ordering is written, whether it descends, and whether nulls come first.
const ORDERS: [(&str, bool, bool); 6] = [
    ("", false, false),
    (".desc", true, true),
    (".asc.nullsfirst", false, true),
    (".asc.nullslast", false, false),
    (".desc.nullsfirst", true, true),
    (".desc.nullslast", true, false),
];

/// The rows in order: nulls where they are wanted, ties by the key.
fn sorted(ranks: &[Option<u8>], descending: bool, nulls_first: bool) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..ranks.len()).collect();
    rows.sort_by(|a, b| {
        let by_value = match (ranks[*a], ranks[*b]) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) if nulls_first => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) if nulls_first => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) if descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
        };
        by_value.then(a.cmp(b))
    });
    rows
}

pub(super) fn steps(sample: &Sample) -> Vec<Step> {
    let column = sample.column;
    let ranks = ranks(sample);
    let mut steps = Vec::new();
    for (words, descending, nulls_first) in ORDERS {
        let rows = sorted(&ranks, descending, nulls_first);
        let request = format!("GET things?select=n&order={column}{words}");
        steps.push(Step::new(&request, numbers(rows.clone())));
        steps.push(Step::new(format!("{request}&limit=2&offset=3"), numbers(rows[3..5].to_vec())));
        // A page that begins after the row in the middle, and one after the row without a value.
        for after in [rows[2], ROWS] {
            let cell = match sample.values.get(after) {
                Some(value) => format!("{{\"{}\":{}}}", sample.kind, value.json),
                None => "null".to_owned(),
            };
            let rest = rows.iter().copied().skip_while(|row| *row != after).skip(1).take(3);
            steps.push(Step::new(format!("{request}&limit=3&after=[{cell},{after}]"), numbers(rest)));
        }
    }
    // By the value of a related row; a link to nothing is as one to a row without a value.
    let mut linked = ranks.clone();
    linked.push(None);
    for (words, descending, nulls_first) in [ORDERS[0], ORDERS[1], ORDERS[2], ORDERS[5]] {
        let rows = sorted(&linked, descending, nulls_first);
        steps.push(Step::new(format!("GET links?select=n,thing()&order=thing({column}){words}"), numbers(rows)));
    }
    // The key is the last to decide, also when it is told to descend.
    let mut rows = sorted(&ranks, false, false);
    rows.sort_by(|a, b| match (ranks[*a], ranks[*b]) {
        (Some(first), Some(second)) => first.cmp(&second).then(b.cmp(a)),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (None, None) => b.cmp(a),
    });
    steps.push(Step::new(format!("GET things?select=n&order={column},n.desc"), numbers(rows)));
    steps
}
