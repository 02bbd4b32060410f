//! Much of everything that a definition allows: rows in one body, items in one list, columns, conditions, levels, octets in a text.

use super::{Case, Step, numbers};

pub(super) fn cases() -> Vec<Case> {
    vec![many_rows(), wide(), long_texts()]
}

/// A thousand rows of two collections.
fn many_rows() -> Case {
    const ROWS: usize = 1_000;
    let list = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let mut steps = Vec::new();
    let rows: Vec<String> =
        (0..ROWS).map(|n| format!("{{\"n\": {n}, \"m\": {}, \"t\": \"t{n:04}\"}}", n % 7)).collect();
    steps.push(Step::new(format!("POST rows [{}]", rows.join(", ")), format!("affected {ROWS}")));
    let kids: Vec<String> = (0..ROWS).map(|n| format!("{{\"n\": {n}, \"row_id\": {}}}", n / 10)).collect();
    steps.push(Step::new(format!("POST kids [{}]", kids.join(", ")), format!("affected {ROWS}")));
    let mut gives = |request: String, answer: String| steps.push(Step::new(request, answer));
    gives("GET rows?select=count()".into(), format!("[{{\"count\":{ROWS}}}]"));
    gives(format!("GET rows?select=n&n=in.({})", list(&mut (0..ROWS))), numbers(0..ROWS));
    gives(format!("GET rows?select=n&n=not.in.({})", list(&mut (5..ROWS))), numbers(0..5));
    gives(
        format!("GET rows?select=n&t=in.({})&m=eq.3", list(&mut (0..ROWS)).replace(',', ",t")),
        // Only `t100` to `t999` are written so; no row's text is: four digits stand there.
        "[]".into(),
    );
    let texts: Vec<String> = (0..ROWS).rev().map(|n| format!("t{n:04}")).collect();
    gives(format!("GET rows?select=n&m=eq.3&t=in.({})", texts.join(",")), numbers((0..ROWS).filter(|n| n % 7 == 3)));
    gives(format!("GET rows?select=n&t=eq(any).{{{}}}&n=lt.3", texts.join(",")), numbers(0..3));
    gives(format!("GET rows?select=n&n=gte(all).{{{}}}", list(&mut (0..ROWS - 1))), numbers([ROWS - 2, ROWS - 1]));
    gives("GET rows?select=n&offset=990".into(), numbers(990..ROWS));
    gives("GET rows?select=n&order=t.desc&limit=3&offset=500".into(), numbers([499, 498, 497]));
    gives("GET rows?select=n&order=m.desc&limit=3&prefer=count".into(), format!("{} of {ROWS}", numbers([6, 13, 20])));
    gives("GET rows?select=m,count(),n.sum()".into(), {
        let groups = (0..7).map(|m| {
            let those = (0..ROWS).filter(|n| n % 7 == m);
            format!("{{\"m\":{m},\"count\":{},\"sum\":{}}}", those.clone().count(), those.sum::<usize>())
        });
        format!("[{}]", groups.collect::<Vec<_>>().join(","))
    });
    let embedded: Vec<String> =
        (0..100).map(|row| format!("{{\"n\":{row},\"kids\":{}}}", numbers(row * 10..row * 10 + 10))).collect();
    gives("GET rows?select=n,kids(n)&limit=100".into(), format!("[{}]", embedded.join(",")));
    let first: Vec<String> = (0..1_000)
        .map(|row| {
            let kids = if row < 100 { numbers([row * 10 + 9, row * 10 + 8]) } else { numbers([]) };
            format!("{{\"n\":{row},\"kids\":{kids}}}")
        })
        .collect();
    gives("GET rows?select=n,kids(n)&kids.order=n.desc&kids.limit=2".into(), format!("[{}]", first.join(",")));
    gives("GET rows?select=n,kids!inner()&kids.n=eq.555".into(), numbers([55]));
    gives("PATCH rows?m=gte.0 {\"m\": 9}".into(), format!("affected {ROWS}"));
    gives("GET rows?select=m,count()".into(), format!("[{{\"m\":9,\"count\":{ROWS}}}]"));
    let upserts: Vec<String> = (500..1_500).map(|n| format!("{{\"n\": {n}, \"m\": 1, \"t\": \"u{n}\"}}")).collect();
    gives(format!("POST rows?prefer=merge [{}]", upserts.join(", ")), format!("affected {ROWS}, updated 500"));
    gives("GET rows?select=m,count()".into(), "[{\"m\":1,\"count\":1000},{\"m\":9,\"count\":500}]".into());
    gives(format!("DELETE rows?n=in.({})", list(&mut (500..1_500))), format!("affected {ROWS}"));
    gives("DELETE rows?n=gte.100".into(), "affected 400".into());
    gives("DELETE rows?n=gte.99".into(), "error ForeignKey".into());
    gives("GET rows?select=count()".into(), "[{\"count\":100}]".into());
    Case {
        name: "limits: many rows".into(),
        definition: vec![
            (
                "models/rows.toml".into(),
                "key = [\"n\"]\n[fields]\nn = { type = \"int\" }\nm = { type = \"int\" }\nt = { type = \"text\", max = 20, unique = true }\n".into(),
            ),
            (
                "models/kids.toml".into(),
                "key = [\"n\"]\n[fields]\nn = { type = \"int\" }\nrow_id = { type = \"ref\", to = \"rows\" }\n".into(),
            ),
        ],
        shares: false,
        steps,
    }
}

/// A hundred columns, many conditions, deep ones.
fn wide() -> Case {
    const COLUMNS: usize = 100;
    let names: Vec<String> = (0..COLUMNS).map(|at| format!("c{at}")).collect();
    let fields: Vec<String> =
        names.iter().map(|name| format!("{name} = {{ type = \"int\", optional = true }}\n")).collect();
    let row = |n: usize, separator: &str| {
        let members: Vec<String> =
            names.iter().enumerate().map(|(at, name)| format!("\"{name}\":{separator}{}", at * 10 + n)).collect();
        format!("{{\"n\":{separator}{n},{separator}{}}}", members.join(&format!(",{separator}")))
    };
    let mut steps = Vec::new();
    let mut gives = |request: String, answer: String| steps.push(Step::new(request, answer));
    gives(
        format!("POST wide?prefer=representation [{}, {}]", row(1, " "), row(2, " ")),
        format!("affected 2 [{},{}]", row(1, ""), row(2, "")),
    );
    gives("GET wide".into(), format!("[{},{}]", row(1, ""), row(2, "")));
    gives(
        format!(
            "GET wide?select=n&{}",
            names
                .iter()
                .take(40)
                .enumerate()
                .map(|(at, name)| format!("{name}=eq.{}", at * 10 + 2))
                .collect::<Vec<_>>()
                .join("&")
        ),
        numbers([2]),
    );
    gives(
        format!(
            "GET wide?select=n&order={}",
            names.iter().take(10).map(|name| format!("{name}.desc")).collect::<Vec<_>>().join(",")
        ),
        numbers([2, 1]),
    );
    let sums: Vec<String> = names.iter().take(30).map(|name| format!("s{name}:{name}.sum()")).collect();
    let told: Vec<String> = (0..30).map(|at| format!("\"sc{at}\":{}", at * 20 + 3)).collect();
    gives(format!("GET wide?select={}", sums.join(",")), format!("[{{{}}}]", told.join(",")));
    // (((c0 = 1 and c1 = 11) or c2 = 0) and …): each level holds for row 1 alone, or for none.
    let mut inner = String::from("c0.eq.1");
    for level in 0..15 {
        inner = format!("and(or({inner},c1.eq.-1),c2.lt.{})", 1_000 + level);
    }
    gives(format!("GET wide?select=n&and=({inner},c3.gt.0)"), numbers([1]));
    gives(format!("GET wide?select=n&not.and=({inner},c3.gt.0)"), numbers([2]));
    let any: Vec<String> = (0..40).map(|at| format!("c{at}.eq.{}", if at == 39 { 392 } else { -1 })).collect();
    gives(format!("GET wide?select=n&or=({})", any.join(",")), numbers([2]));
    gives(
        format!("PATCH wide?n=eq.1&prefer=representation {}", row(1, " ").replace("\"c99\": 991", "\"c99\": null")),
        format!("affected 1 [{}]", row(1, "").replace("\"c99\":991", "\"c99\":null")),
    );
    Case {
        name: "limits: wide".into(),
        definition: vec![(
            "models/wide.toml".into(),
            format!("key = [\"n\"]\n[fields]\nn = {{ type = \"int\" }}\n{}", fields.concat()),
        )],
        shares: false,
        steps,
    }
}

/// A text of a million characters, and octets and JSON of that length.
fn long_texts() -> Case {
    let long = "0123456789".repeat(100_000);
    let astral = "\u{1f600}".repeat(250_000);
    let octets = "AAAA".repeat(250_000);
    let mut steps = Vec::new();
    let mut gives = |request: String, answer: String| steps.push(Step::new(request, answer));
    gives(format!("POST texts {{\"n\": 1, \"t\": \"{long}\"}}"), "affected 1".into());
    gives(format!("POST texts {{\"n\": 2, \"t\": \"{astral}\"}}"), "affected 1".into());
    gives(
        format!("POST texts?prefer=representation&select=y {{\"n\": 3, \"y\": \"{octets}\"}}"),
        format!("affected 1 [{{\"y\":\"{octets}\"}}]"),
    );
    gives(
        format!("POST texts?prefer=representation&select=j {{\"n\": 4, \"j\": [\"{long}\"]}}"),
        format!("affected 1 [{{\"j\":[\"{long}\"]}}]"),
    );
    gives("GET texts?select=t&n=eq.1".into(), format!("[{{\"t\":\"{long}\"}}]"));
    gives("GET texts?select=t&n=eq.2".into(), format!("[{{\"t\":\"{astral}\"}}]"));
    gives(format!("GET texts?select=n&t=eq.{long}"), numbers([1]));
    gives(format!("GET texts?select=n&t=eq.{astral}"), numbers([2]));
    gives(format!("GET texts?select=n&t=gt.{long}"), numbers([2]));
    gives("GET texts?select=n&t=like.*90".into(), numbers([]));
    gives("GET texts?select=n&t=like.*789".into(), numbers([1]));
    gives("GET texts?select=n&order=t.desc.nullslast&limit=2".into(), numbers([2, 1]));
    gives(format!("GET texts?select=n&j=cs.[\"{long}\"]"), numbers([4]));
    gives("GET texts?select=n&y=not.is.null".into(), numbers([3]));
    gives(
        format!("PATCH texts?n=eq.1&prefer=representation&select=n {{\"t\": \"{astral}\"}}"),
        "affected 1 [{\"n\":1}]".into(),
    );
    gives("GET texts?select=t,count()&t=not.is.null".into(), format!("[{{\"t\":\"{astral}\",\"count\":2}}]"));
    Case {
        name: "limits: long texts".into(),
        definition: vec![(
            "models/texts.toml".into(),
            "key = [\"n\"]\n[fields]\nn = { type = \"int\" }\nt = { type = \"text\", optional = true }\ny = { type = \"bytes\", optional = true }\nj = { type = \"json\", optional = true }\n".into(),
        )],
        shares: false,
        steps,
    }
}
