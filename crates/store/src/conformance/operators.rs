//! Every comparison with every type: the cases are made, and so are their answers, from three values of which the order is known
//! and a row without one.

use super::{Case, Step};

/// A type, and three values in growing order: as a URL has them and as JSON has them.
struct Sample {
    declared: &'static str,
    url: [&'static str; 3],
    json: [&'static str; 3],
}

const SAMPLES: &[Sample] = &[
    Sample {
        declared: "type = \"int\"",
        url: ["-9223372036854775808", "0", "9223372036854775807"],
        json: ["-9223372036854775808", "0", "9223372036854775807"],
    },
    Sample {
        declared: "type = \"int\"",
        url: ["9007199254740992", "9007199254740993", "9007199254740994"],
        json: ["9007199254740992", "9007199254740993", "9007199254740994"],
    },
    Sample { declared: "type = \"float\"", url: ["-1.5", "0", "1e300"], json: ["-1.5", "0", "1e300"] },
    Sample {
        declared: "type = \"decimal\", precision = 18, scale = 4",
        url: ["-99999999999999.9999", "0.0001", "99999999999999.9999"],
        json: ["-99999999999999.9999", "0.0001", "99999999999999.9999"],
    },
    Sample { declared: "type = \"text\"", url: ["", "Zebra", "ähnlich"], json: ["\"\"", "\"Zebra\"", "\"ähnlich\""] },
    Sample {
        declared: "type = \"text\"",
        url: ["\u{e000}", "\u{1f600}", "\u{1f600}a"],
        json: ["\"\u{e000}\"", "\"\u{1f600}\"", "\"\u{1f600}a\""],
    },
    Sample {
        declared: "type = \"enum\", values = [\"c\", \"b\", \"a\"]",
        url: ["a", "b", "c"],
        json: ["\"a\"", "\"b\"", "\"c\""],
    },
    Sample {
        declared: "type = \"uuid\"",
        url: [
            "00000000-0000-0000-0000-000000000000",
            "7fffffff-0000-0000-0000-000000000001",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
        json: [
            "\"00000000-0000-0000-0000-000000000000\"",
            "\"7fffffff-0000-0000-0000-000000000001\"",
            "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"",
        ],
    },
    Sample {
        declared: "type = \"timestamp\"",
        url: ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2026-01-01T01:00:00Z"],
        json: ["\"0001-01-01T00:00:00Z\"", "\"1969-12-31T23:59:59.999999Z\"", "\"2026-01-01T02:00:00+01:00\""],
    },
    Sample {
        declared: "type = \"date\"",
        url: ["0001-01-01", "1970-01-01", "9999-12-31"],
        json: ["\"0001-01-01\"", "\"1970-01-01\"", "\"9999-12-31\""],
    },
    Sample {
        declared: "type = \"time\"",
        url: ["00:00:00", "12:00:00.000001", "23:59:59.999999"],
        json: ["\"00:00:00\"", "\"12:00:00.000001\"", "\"23:59:59.999999\""],
    },
    Sample { declared: "type = \"bytes\"", url: ["AA==", "AAA=", "/w=="], json: ["\"AA==\"", "\"AAA=\"", "\"/w==\""] },
    Sample {
        declared: "type = \"email\"",
        url: ["a@b.example", "b@b.example", "c@b.example"],
        json: ["\"a@b.example\"", "\"b@b.example\"", "\"c@b.example\""],
    },
];

/// One case per sample.
pub(super) fn cases() -> Vec<Case> {
    SAMPLES.iter().enumerate().map(|(number, sample)| case(number, sample)).collect()
}

/// Rows 0, 1, 2 have the values; row 3 has none.
fn case(number: usize, sample: &Sample) -> Case {
    let model =
        format!("key = [\"n\"]\n[fields]\nn = {{ type = \"int\" }}\nv = {{ {}, optional = true }}\n", sample.declared);
    let mut steps: Vec<Step> = Vec::new();
    let mut step = |request: String, answer: String| steps.push(Step { caller: String::new(), request, answer });
    for (n, value) in sample.json.iter().enumerate() {
        step(format!("POST things {{\"n\": {n}, \"v\": {value}}}"), "affected 1".into());
    }
    step("POST things {\"n\": 3}".into(), "affected 1".into());
    let rows = |found: &[usize]| {
        let rows: Vec<String> = found.iter().map(|n| format!("{{\"n\":{n}}}")).collect();
        format!("[{}]", rows.join(","))
    };
    let mut finds = |condition: String, found: &[usize]| {
        step(format!("GET things?select=n&order=n&{condition}"), rows(found));
    };
    for (n, value) in sample.url.iter().enumerate() {
        let all = [0, 1, 2];
        let those = |test: &dyn Fn(usize) -> bool| all.into_iter().filter(|m| test(*m)).collect::<Vec<_>>();
        let operators: [(&str, Vec<usize>); 6] = [
            ("eq", those(&|m| m == n)),
            ("neq", those(&|m| m != n)),
            ("lt", those(&|m| m < n)),
            ("lte", those(&|m| m <= n)),
            ("gt", those(&|m| m > n)),
            ("gte", those(&|m| m >= n)),
        ];
        for (operator, found) in operators {
            // What compares with null is neither true nor false: row 3 is in neither answer.
            let others: Vec<usize> = all.into_iter().filter(|m| !found.contains(m)).collect();
            finds(format!("v={operator}.{value}"), &found);
            finds(format!("v=not.{operator}.{value}"), &others);
        }
        let distinct: Vec<usize> = (0..4).filter(|m| *m != n).collect();
        finds(format!("v=isdistinct.{value}"), &distinct);
        finds(format!("v=not.isdistinct.{value}"), &[n]);
        if !value.is_empty() {
            finds(format!("v=in.({value})"), &[n]);
            finds(format!("v=eq(any).{{{value}}}"), &[n]);
            finds(format!("v=gte(all).{{{value}}}"), &those(&|m| m >= n));
            finds(format!("v=lt(any).{{{value}}}"), &those(&|m| m < n));
        }
    }
    let [_, second, third] = sample.url;
    finds(format!("v=in.({second},{third})"), &[1, 2]);
    finds(format!("v=not.in.({second},{third})"), &[0]);
    finds(format!("v=neq(all).{{{second},{third}}}"), &[0]);
    finds(format!("or=(v.eq.{second},v.is.null)"), &[1, 3]);
    finds(format!("not.or=(v.eq.{second},v.is.null)"), &[0, 2]);
    finds("v=is.null".into(), &[3]);
    finds("v=not.is.null".into(), &[0, 1, 2]);
    for (order, found) in [
        ("v", [0, 1, 2, 3]),
        ("v.desc", [3, 2, 1, 0]),
        ("v.nullsfirst", [3, 0, 1, 2]),
        ("v.desc.nullslast", [2, 1, 0, 3]),
    ] {
        step(format!("GET things?select=n&order={order}"), rows(&found));
    }
    Case {
        name: format!("operators: {number} {}", sample.declared),
        definition: vec![("models/things.toml".into(), model)],
        steps,
    }
}
