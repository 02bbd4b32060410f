//! Writes that meet every type: unique values, upserts on them, updates from one value to another and to none, removal by value.

use super::samples::{SAMPLES, Sample};
use super::{Case, Step};

/// One case per type, on one table in which every column is unique.
pub(super) fn cases() -> Vec<Case> {
    let mut fields =
        String::from("key = [\"n\"]\n[fields]\nn = { type = \"int\" }\nm = { type = \"int\", default = 0 }\n");
    for sample in SAMPLES {
        // A store may have to bound what it keeps unique.
        let bounded = matches!(sample.kind, "text" | "bytes") && !sample.declared.contains("values");
        let bound = if bounded { ", max = 100" } else { "" };
        fields.push_str(&format!(
            "{} = {{ {}{bound}, optional = true, unique = true }}\n",
            sample.column, sample.declared
        ));
    }
    let definition = vec![("models/uniques.toml".to_owned(), fields)];
    let case = |sample: &Sample| Case {
        name: format!("unique: {}", sample.column),
        definition: definition.clone(),
        shares: true,
        steps: steps(sample),
    };
    SAMPLES.iter().map(case).collect()
}

fn steps(sample: &Sample) -> Vec<Step> {
    let column = sample.column;
    let mut steps = Vec::new();
    let mut gives = |request: String, answer: &str| steps.push(Step::new(request, answer));
    // Equal values, however written, are one; different ones, however alike, are not.
    let mut places: Vec<usize> = Vec::new();
    for (at, value) in sample.values.iter().enumerate() {
        if places.iter().all(|known| sample.values[*known].rank != value.rank) {
            places.push(at);
        }
    }
    let rows: Vec<String> =
        places.iter().map(|at| format!("{{\"n\": {at}, \"{column}\": {}}}", sample.values[*at].json)).collect();
    gives(format!("POST uniques [{}]", rows.join(", ")), &format!("affected {}", places.len()));
    gives("POST uniques [{\"n\": 20}, {\"n\": 21}]".into(), "affected 2");
    gives(format!("GET uniques?select=count()&{column}=is.null"), "[{\"count\":2}]");
    let taken = format!("error Unique uniques({column})");
    for (at, value) in sample.values.iter().enumerate() {
        gives(format!("POST uniques {{\"n\": {}, \"{column}\": {}}}", 30 + at, value.json), &taken);
    }
    let (first, last) = (&sample.values[0], &sample.values[1]);
    let json = first.json;
    gives(format!("POST uniques [{{\"n\": 40}}, {{\"n\": 41, \"{column}\": {json}}}]"), &taken);
    gives("GET uniques?select=n&n=gte.40".into(), "[]");
    gives(
        format!(
            "POST uniques?on_conflict={column}&prefer=merge,representation&select=n,m {{\"n\": 50, \"{column}\": {json}, \"m\": 7}}"
        ),
        "affected 1, updated 1 [{\"n\":0,\"m\":7}]",
    );
    gives(
        format!(
            "POST uniques?on_conflict={column}&prefer=ignore,representation&select=n,m {{\"n\": 51, \"{column}\": {json}, \"m\": 8}}"
        ),
        "affected 0 []",
    );
    gives(
        format!(
            "POST uniques?on_conflict={column}&prefer=merge,representation&select=n,m {{\"n\": 52, \"{column}\": null, \"m\": 9}}"
        ),
        "affected 1 [{\"n\":52,\"m\":9}]",
    );
    gives(format!("PATCH uniques?n=eq.20 {{\"{column}\": {json}}}"), &taken);
    gives(format!("PATCH uniques?{column}=eq.{} {{\"{column}\": {}}}", first.url, last.json), &taken);
    gives(format!("PATCH uniques?{column}=eq.{} {{\"{column}\": null, \"m\": 1}}", first.url), "affected 1");
    gives(
        format!("PATCH uniques?n=eq.20&prefer=representation&select=n,{column} {{\"{column}\": {json}}}"),
        &format!("affected 1 [{{\"n\":20,\"{column}\":{}}}]", first.wire),
    );
    gives(
        format!("DELETE uniques?{column}=eq.{}&prefer=representation&select=n,{column}", first.url),
        &format!("affected 1 [{{\"n\":20,\"{column}\":{}}}]", first.wire),
    );
    gives(format!("DELETE uniques?{column}=is.null"), "affected 3");
    gives(format!("DELETE uniques?{column}=not.is.null"), &format!("affected {}", places.len() - 1));
    gives("GET uniques?select=n".into(), "[]");
    steps
}
