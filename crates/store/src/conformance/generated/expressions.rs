//! What rules may say, one expression per check: each is the rule of a row of its own, which a visitor sees or not. The truth of each was
//! worked out by hand from docs/rules.md.

use super::{Case, Step};

/// The fields of every row, with a value in a body.
const FIELDS: &[(&str, &str, &str)] = &[
    ("s", "type = \"text\"", "\"Ab ü😀 x\""),
    ("e", "type = \"text\"", "\"\""),
    ("sp", "type = \"text\"", "\" \\tq\\n \""),
    ("num", "type = \"text\"", "\"12\""),
    ("i", "type = \"int\"", "7"),
    ("neg", "type = \"int\"", "-7"),
    ("big", "type = \"int\"", "9007199254740993"),
    ("most", "type = \"int\"", "9223372036854775807"),
    ("f", "type = \"float\"", "2.5"),
    ("d", "type = \"decimal\", precision = 9, scale = 2", "1.5"),
    ("b", "type = \"bool\"", "true"),
    ("u", "type = \"uuid\"", "\"00000000-0000-0000-0000-00000000000a\""),
    ("ts", "type = \"timestamp\"", "\"2024-02-29T23:59:58.123456Z\""),
    ("old", "type = \"timestamp\"", "\"0001-01-01T00:00:00Z\""),
    ("late", "type = \"timestamp\"", "\"9999-12-31T23:59:59.999999Z\""),
    ("before", "type = \"timestamp\"", "\"1969-12-31T23:59:59.999999Z\""),
    ("da", "type = \"date\"", "\"2024-02-29\""),
    ("ti", "type = \"time\"", "\"12:30\""),
    ("y", "type = \"bytes\"", "\"AAE=\""),
    ("l", "type = \"list\", of = \"text\"", "[\"a\", \"b\", \"a\"]"),
    ("li", "type = \"list\", of = \"int\"", "[3, 1]"),
    ("nl", "type = \"list\", of = \"text\"", "[]"),
    (
        "j",
        "type = \"json\"",
        "{\"a\": {\"b\": [1, \"x\", null]}, \"s\": \"7\", \"n\": 7, \"t\": true, \"nul\": null, \"big\": 9007199254740993, \"dec\": 1.50}",
    ),
    ("no_i", "type = \"int\", optional = true", "null"),
    ("no_t", "type = \"text\", optional = true", "null"),
    ("no_ts", "type = \"timestamp\", optional = true", "null"),
    ("no_l", "type = \"list\", of = \"text\", optional = true", "null"),
    ("no_j", "type = \"json\", optional = true", "null"),
];

/// So many in one rule.
const PER_RULE: usize = 12;

const TRUE: &[&str] = &[
    // Null.
    "no_i == null",
    "no_i != 5",
    "!(no_i < 5)",
    "!(no_i in [7])",
    "(no_i == 1 ? false : true)",
    "(no_i < 1 ? false : true)",
    "has(i)",
    "!has(no_i)",
    "!(no_t == '')",
    "no_t != s",
    "no_ts == null",
    "no_l == null",
    "!('a' in no_l)",
    "!(size(no_l) == 0)",
    "!no_t.startsWith('a')",
    "no_j == null",
    "!has(no_j)",
    "!has(no_j.a)",
    // Whole numbers.
    "i + 1 == 8",
    "i * -2 == -14",
    "i / 2 == 3",
    "neg / 2 == -3",
    "i % 4 == 3",
    "neg % 4 == -3",
    "-neg == 7",
    "big + 1 == 9007199254740994",
    "big != 9007199254740992",
    "i / (i - 7) == null",
    "i % (i - 7) == null",
    "most + i == null",
    "most * i == null",
    "-most - 2 == null",
    "i in [5, 7]",
    // Numbers of several kinds.
    "i < 7.5",
    "i == 7.0",
    "d == 1.5",
    "d == 1.50",
    "d < i",
    "d < f",
    "f == 2.5",
    "f * 2.0 == 5.0",
    "f - 3.0 == -0.5",
    "f / (f - 2.5) == null",
    "double(i) / 2.0 == 3.5",
    "int(f) == 2",
    "int(-f) == -2",
    "int(d) == 1",
    "big > 9007199254740992.0",
    "int(num) == 12",
    "int(s) == null",
    "double(num) == 12.0",
    "double(e) == null",
    "string(i) == '7'",
    "string(d) == '1.50'",
    "string(f) == '2.5'",
    "string(b) == 'true'",
    "string(u) == '00000000-0000-0000-0000-00000000000a'",
    "string(ts) == '2024-02-29T23:59:58.123456+00:00'",
    "string(da) == '2024-02-29'",
    "string(ti) == '12:30:00'",
    // Text.
    "size(s) == 7",
    "size(e) == 0",
    "s.contains('ü😀')",
    "s.contains('')",
    "s.startsWith('Ab')",
    "s.endsWith('x')",
    "s.matches('^A.*x$')",
    "s.matches('ü.')",
    "s.lowerAscii() == 'ab ü😀 x'",
    "s.upperAscii() == 'AB ü😀 X'",
    "sp.trim() == 'q'",
    "s + '!' == 'Ab ü😀 x!'",
    "s < 'B'",
    "s > e",
    "s in ['b', 'Ab ü😀 x']",
    // Time.
    "ts.getFullYear() == 2024",
    "ts.getMonth() == 1",
    "ts.getDate() == 29",
    "ts.getDayOfMonth() == 28",
    "ts.getDayOfWeek() == 4",
    "ts.getDayOfYear() == 59",
    "ts.getHours() == 23",
    "ts.getMinutes() == 59",
    "ts.getSeconds() == 58",
    "ts.getMilliseconds() == 123",
    "ts + duration('2s') < timestamp('2024-03-01T00:00:01Z')",
    "ts + duration('2s') > timestamp('2024-03-01T00:00:00Z')",
    "ts - duration('24h') < ts",
    "ts - ts == duration('0s')",
    "ts > now",
    "date(ts) == da",
    "da < '2024-03-01'",
    "ti == '12:30'",
    "ti < '12:30:00.000001'",
    "timestamp(da) == timestamp('2024-02-29T00:00:00Z')",
    "da.getDayOfWeek() == 4",
    "(ts - timestamp(da)).getHours() == 23",
    "(ts - timestamp(da)).getMinutes() == 1439",
    "(ts - timestamp(da)).getSeconds() == 86398",
    "(ts - timestamp(da)).getMilliseconds() == 123",
    "old.getFullYear() == 1",
    "old.getDayOfWeek() == 1",
    "old.getDayOfYear() == 0",
    "old - duration('1s') == null",
    "late.getFullYear() == 9999",
    "late.getDayOfYear() == 364",
    "late.getDayOfWeek() == 5",
    "late + duration('1s') == null",
    "before.getFullYear() == 1969",
    "before.getSeconds() == 59",
    "before.getMilliseconds() == 999",
    "before < timestamp('1970-01-01T00:00:00Z')",
    "no_ts + duration('1s') == null",
    // Lists.
    "'a' in l",
    "!('z' in l)",
    "size(l) == 3",
    "l[0] == 'a'",
    "l[2] == 'a'",
    "l[5] == null",
    "l.exists(x, x == 'b')",
    "l.all(x, x != 'z')",
    "li[0] > li[1]",
    "3 in li",
    "li.exists(x, x + 1 == 2)",
    "l == ['a', 'b', 'a']",
    "l != ['a', 'b']",
    "l != ['b', 'a', 'a']",
    "size(nl) == 0",
    "nl.all(x, x == 'q')",
    "!nl.exists(x, x == 'q')",
    // JSON.
    "j.n == 7",
    "j.n == 7.0",
    "j.n == i",
    "j['n'] == 7",
    "j.s == '7'",
    "j.s == num || j.s != num",
    "j.n > 6.5",
    "j.t == true",
    "j.a.b[0] == 1",
    "j.a.b[1] == 'x'",
    "j.a.b[9] == null",
    "j.a.zz == null",
    "size(j.a.b) == 3",
    "size(j.a) == 1",
    "size(j.s) == 1",
    "'x' in j.a.b",
    "'a' in j",
    "!('b' in j)",
    "j.a.b.exists(x, x == 'x')",
    "!j.a.b.all(x, x == 'x')",
    "j.big == 9007199254740993",
    "j.big != 9007199254740992",
    "j.dec == 1.5",
    "j.dec == d",
    "int(j.n) == 7",
    "int(j.s) == 7",
    "string(j.s) == '7'",
    "has(j.a)",
    "has(j.a.b)",
    "!has(j.zz)",
    "!has(j.nul)",
    // Octets and ids.
    "y == b'\\x00\\x01'",
    "size(y) == 2",
    "u == '00000000-0000-0000-0000-00000000000a'",
    "u < 'ffffffff-0000-0000-0000-000000000000'",
    // Who asks: nobody.
    "auth.role == 'anon'",
    "auth.id == null",
    "auth.email == null",
    "size(auth.roles) == 0",
    "!('admin' in auth.roles)",
    "auth.claims.tenant == null",
    "b && i == 7",
    "b || no_i == 1",
    "!b || i == 7",
];

const FALSE: &[&str] = &[
    "no_i != null",
    "no_i == 5",
    "no_i < 5",
    "no_i >= 5",
    "no_i < 5 || no_i >= 5",
    "no_i + 1 > 0",
    "no_i in [7]",
    "no_t.contains('')",
    "no_ts < now",
    "i == 8",
    "i / (i - 7) == 0",
    "most + i > 0",
    "d > f",
    "d == 1.51",
    "s.startsWith('ab')",
    "s.matches('^[a-z]')",
    "s.contains('AB')",
    "'Z' < s",
    "size(s) == 8",
    "ts <= now",
    "ts.getMonth() == 2",
    "da > '2024-02-29'",
    "ti > '12:30'",
    "l.all(x, x == 'a')",
    "l[3] == 'a'",
    "j.n == '7'",
    "j.s == 7",
    "j.s > 6",
    "j.t == 'true'",
    "j.a == 'x'",
    "'zz' in j.a.b",
    "has(j.a.zz)",
    "no_j.a == 1",
    "y == b'\\x00'",
    "auth.role == 'authenticated'",
    "'admin' in auth.roles",
    "auth.claims.level > 1",
    "b && no_i == 1",
];

pub(super) fn cases() -> Vec<Case> {
    vec![case("true", TRUE, true), case("false", FALSE, false)]
}

fn case(name: &str, expressions: &[&str], seen: bool) -> Case {
    let mut definition = Vec::new();
    let mut fills = Vec::new();
    let mut steps = Vec::new();
    for (number, expressions) in expressions.chunks(PER_RULE).enumerate() {
        let collection = format!("probes{number}");
        let rules: Vec<String> =
            expressions.iter().enumerate().map(|(at, expression)| format!("k == {at} && ({expression})")).collect();
        let fields: Vec<String> =
            FIELDS.iter().map(|(name, declared, _)| format!("{name} = {{ {declared} }}\n")).collect();
        definition.push((
            format!("models/{collection}.toml"),
            format!(
                "key = [\"k\"]\n[fields]\nk = {{ type = \"int\" }}\n{}[access]\nread = {}\n",
                fields.concat(),
                // A TOML string of one line takes the escapes of JSON.
                serde_json::Value::from(rules.join(" || "))
            ),
        ));
        let rows: Vec<String> = (0..expressions.len())
            .map(|at| {
                let members: Vec<String> =
                    FIELDS.iter().map(|(name, _, value)| format!("\"{name}\": {value}")).collect();
                format!("{{\"k\": {at}, {}}}", members.join(", "))
            })
            .collect();
        fills.push(Step::new(format!("POST {collection} [{}]", rows.join(", ")), format!("affected {}", rows.len())));
        for (at, expression) in expressions.iter().enumerate() {
            let found = if seen { format!("[{{\"k\":{at}}}]") } else { "[]".to_owned() };
            // The condition on nothing but the key; the alias says in a report which expression it was.
            let alias: String = expression.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
            let request = format!("GET {collection}?select={alias}:k&k=eq.{at}");
            steps.push(Step {
                caller: "visitor".into(),
                request,
                answer: found.replace("\"k\":", &format!("\"{alias}\":")),
            });
        }
    }
    fills.extend(steps);
    Case { name: format!("expressions: {name}"), definition, shares: false, steps: fills }
}
