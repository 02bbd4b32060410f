//! Counts, least and greatest of every type, over all rows, over none and by group; groups by every type.

use super::samples::Sample;
use super::{ROWS, Step, ranks};

/// Whether the type has a least and a greatest: of bytes and bools PostgreSQL has none.
fn has_extremes(sample: &Sample) -> bool {
    !matches!(sample.kind, "bool" | "bytes")
}

pub(super) fn steps(sample: &Sample) -> Vec<Step> {
    let column = sample.column;
    let mut steps = Vec::new();
    let mut gives = |request: String, answer: String| steps.push(Step::new(request, answer));
    let first = sample.values.iter().min_by_key(|value| value.rank).map_or("null", |value| value.wire);
    let last = sample.values.iter().max_by_key(|value| value.rank).map_or("null", |value| value.wire);
    gives(
        format!("GET things?select=count(),of:{column}.count()"),
        format!("[{{\"count\":{},\"of\":{ROWS}}}]", ROWS + 1),
    );
    gives(format!("GET things?select={column}.count()&{column}=is.null"), "[{\"count\":0}]".into());
    if has_extremes(sample) {
        let both = format!("{column}.min(),{column}.max()");
        gives(format!("GET things?select={both}"), format!("[{{\"min\":{first},\"max\":{last}}}]"));
        gives(format!("GET things?select={both}&n=gt.100"), "[{\"min\":null,\"max\":null}]".into());
        gives(format!("GET things?select={both}&{column}=is.null"), "[{\"min\":null,\"max\":null}]".into());
        gives(
            format!("GET links?select=n,thing({both})&n=in.(4,5,6)&order=n"),
            format!(
                "[{{\"n\":4,\"thing\":{{\"min\":{last},\"max\":{last}}}}},{{\"n\":5,\"thing\":{{\"min\":null,\"max\":null}}}},\
                 {{\"n\":6,\"thing\":null}}]"
            ),
        );
    }
    // The groups, in order, that without a value last.
    let ranks = ranks(sample);
    let mut groups: Vec<(Option<u8>, &str, usize)> = Vec::new();
    for (row, rank) in ranks.iter().enumerate() {
        match groups.iter_mut().find(|(known, ..)| known == rank) {
            Some((.., count)) => *count += 1,
            None => groups.push((*rank, sample.values.get(row).map_or("null", |value| value.wire), 1)),
        }
    }
    groups.sort_by_key(|(rank, ..)| rank.unwrap_or(u8::MAX));
    let told = |groups: &[(Option<u8>, &str, usize)]| {
        let rows: Vec<String> =
            groups.iter().map(|(_, wire, count)| format!("{{\"{column}\":{wire},\"count\":{count}}}")).collect();
        format!("[{}]", rows.join(","))
    };
    gives(format!("GET things?select={column},count()"), told(&groups));
    gives(format!("GET things?select={column},count()&limit=1&offset=1"), told(&groups[1..2]));
    groups.reverse();
    gives(format!("GET things?select={column},count()&order={column}.desc"), told(&groups));
    steps
}
