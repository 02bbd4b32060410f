//! The `cel` crate as a second opinion on constant expressions: both must read the text or both refuse it, and a constant that we
//! fold must be what it evaluates to.
//!
//! The differences that are meant are told by [`MEANT`] and [`is_meant`]; everything else fails the test.

use super::{blog, literal, scope};
use crate::cel::{Expect, compile, parser};
use crate::expr::Node;
use crate::value::Value;
use std::sync::Arc;

/// Chosen by hand: lexis, precedence, macros, conversions, errors.
const CHOSEN: &[&str] = &[
    "1",
    "-1",
    "--1",
    "---1",
    "- - 1",
    "0x10",
    "-0x10",
    "0X1f",
    "0xFFFFFFFFFFFFFFFF",
    "007",
    "1.5",
    ".5",
    "-.5",
    "1.",
    "1e3",
    "1E+3",
    "1.5e-3",
    "1e",
    "0x",
    "1.2.3",
    "1..2",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "--9223372036854775808",
    "1 + 2 * 3",
    "(1 + 2) * 3",
    "1 - 2 - 3",
    "2 * 3 % 4",
    "7 / 2",
    "-7 / 2",
    "7 % -3",
    "-7 % 3",
    "7 / 0",
    "7 % 0",
    "9223372036854775807 + 1",
    "-9223372036854775807 - 2",
    "9223372036854775807 * 2",
    "-9223372036854775808 / -1",
    "-(-9223372036854775808)",
    "1.5 + 2.5",
    "1.5 * 2.0",
    "1.0 / 4.0",
    "3.0 - 0.5",
    "1 + 1.0",
    "'a' + 'b'",
    "'a' + 1",
    "'a' - 'b'",
    "true",
    "false",
    "null",
    "!true",
    "!!true",
    "!!!true",
    "!1",
    "true && false",
    "true || false",
    "false || false || true",
    "true && true && false",
    "true || false && false",
    "(true || false) && false",
    "true ? 1 : 2",
    "false ? 1 : 2",
    "true ? false ? 1 : 2 : 3",
    "false ? 1 : true ? 2 : 3",
    "true ? 'a' : 'b'",
    "true ?",
    "true ? 1",
    "true ? : 1",
    "'abc'",
    "\"abc\"",
    "'''abc'''",
    "\"\"\"abc\"\"\"",
    "''",
    "\"\"",
    "''''''",
    "\"\"\"\"\"\"",
    "'a\"b'",
    "\"a'b\"",
    "'''a'b\"c'''",
    "'a\nb'",
    "'''a\nb'''",
    "r'a\\b'",
    "R\"a\\n\"",
    "r'''a\\b'''",
    "'a\\nb'",
    "'\\a\\b\\f\\n\\r\\t\\v'",
    "'\\\\'",
    "'\\''",
    "\"\\\"\"",
    "'\\?'",
    "'\\`'",
    "'\\x41'",
    "'\\X41'",
    "'\\u00e9'",
    "'\\U0001F600'",
    "'\\101'",
    "'\\377'",
    "'\\400'",
    "'\\1'",
    "'\\x4'",
    "'\\u123'",
    "'\\ud800'",
    "'\\U00110000'",
    "'\\q'",
    "'\\'",
    "'abc",
    "abc'",
    "'''abc''",
    "'é'",
    "'😀'",
    "b'abc'",
    "B\"abc\"",
    "b'''abc'''",
    "b'\\xff'",
    "b'\\377'",
    "b'\\n'",
    "br'\\n'",
    "bR'\\n'",
    "Br'\\n'",
    "rb'\\n'",
    "b'é'",
    "b'\\u0041'",
    "rr'a'",
    "bb'a'",
    "b 'a'",
    "[]",
    "[1]",
    "[1, 2]",
    "[1, 2,]",
    "[,]",
    "[1 2]",
    "[1,,2]",
    "[1, 2",
    "1]",
    "{}",
    "{1: 2}",
    "{'a': 1, 'b': 2}",
    "{'a': 1,}",
    "{,}",
    "{'a'}",
    "{'a': }",
    "{: 1}",
    "[1, 2][0]",
    "[[1]]",
    "[1][0][0]",
    "()",
    "(1)",
    "((1))",
    "(1",
    "1)",
    "(1, 2)",
    "1 2",
    "1,2",
    "+1",
    "1 +",
    "* 1",
    "1 ++ 1",
    "1 +- 1",
    "1 - -1",
    "1--1",
    "!-1",
    "-!true",
    "!(-1)",
    "1 == 1",
    "1 == 1 == true",
    "1 < 2",
    "1 < 2 < 3",
    "1 != 2",
    "1 <= 2",
    "1 >= 2",
    "1 > 2",
    "1 <> 2",
    "1 = 1",
    "1 === 1",
    "1 in [1]",
    "'a' in {'a': 1}",
    "1 in [1] in [true]",
    "in",
    "1 in",
    "in [1]",
    "true and false",
    "true & false",
    "true | false",
    "true &&",
    "|| true",
    "not true",
    "1 ~ 2",
    "1 ^ 2",
    "1 # 2",
    "1 @ 2",
    "$a",
    "a$",
    "1;",
    "1 // two",
    "// one\n1",
    "1 /* two */",
    "//",
    "",
    " ",
    "\t1\n",
    "\u{c}1",
    "\u{a0}1",
    "1\u{200b}",
    "a",
    "a.b",
    "a.b.c",
    "a.",
    ".a",
    ".a.b",
    "a..b",
    "a.1",
    "a.'b'",
    "a.b()",
    "a.b(1)",
    "a.b(1, 2)",
    "a.b(1,)",
    "a()",
    "a(1)",
    "a(,)",
    "a(1,)",
    "a[1]",
    "a['b']",
    "a[]",
    "a[1",
    "a[1, 2]",
    "a.in",
    "a.true",
    "a.null",
    "a.if",
    "a.package",
    "a.function",
    "if",
    "else",
    "for",
    "while",
    "return",
    "import",
    "package",
    "function",
    "let",
    "loop",
    "const",
    "var",
    "void",
    "break",
    "continue",
    "as",
    "namespace",
    "if(1)",
    "this",
    "self",
    "type",
    "int",
    "_",
    "_a",
    "__",
    "a_b",
    "A",
    "a1",
    "1a",
    "é",
    "aé",
    "has(a.b)",
    "has(a.b.c)",
    "has(1)",
    "has(a.b())",
    "has(a.b, 1)",
    "has()",
    "has(a)",
    "has(a[0])",
    "a.has(b)",
    "[1].exists(x, x > 0)",
    "[1].all(x, x > 0)",
    "[1].exists_one(x, x > 0)",
    "[1].filter(x, x > 0)",
    "[1].map(x, x + 1)",
    "[1].exists(1, true)",
    "[1].exists(a.b, true)",
    "[1].exists(x)",
    "[1].exists(x, y, z)",
    "[1].exists()",
    "[1].all('x', true)",
    "exists(x, true)",
    "size('abc')",
    "size('é')",
    "size('😀')",
    "size([1, 2, 3])",
    "size([])",
    "size(b'abc')",
    "'abc'.size()",
    "[1, 2].size()",
    "size(1)",
    "size()",
    "size('a', 'b')",
    "int('5')",
    "int('-5')",
    "int('+5')",
    "int('x')",
    "int('')",
    "int(' 5')",
    "int(1.9)",
    "int(-1.9)",
    "int(1e18)",
    "int(1e19)",
    "int(-1e19)",
    "int(5)",
    "double(1)",
    "double('1.5')",
    "double('1e3')",
    "double('x')",
    "double(1.5)",
    "string(1)",
    "string(-5)",
    "string(true)",
    "string('a')",
    "bool('true')",
    "bool('false')",
    "bool('TRUE')",
    "bool('t')",
    "bool('x')",
    "bool(true)",
    "a{}",
    "a{b: 1}",
    "a.b{c: 1}",
    "a{b: 1,}",
    "a{1: 1}",
    "a{b}",
    "a{'b': 1}",
    "1{}",
    "a(){}",
    "'a' 'b'",
    "'a'b'c'",
    "`a`",
    "a.`b`",
    "a ? b : c ? d : e",
    "a ? b ? c : d : e",
    "a || b ? c : d",
    "a ? b || c : d && e",
    "a ?? b",
    "a?.b",
    "a[?b]",
    "a && b || c && d",
    "a == b && c != d",
    "a in b && c",
    "a + b in c",
    "-a.b",
    "-a[0]",
    "!a.b()",
    "- a",
    "-a - -b",
    "--a",
    "!!a",
    "! a",
    "-(a)",
    "a - b",
    "a -b",
    "a-b",
    "a.b-c.d",
    "\"\\u0041\\x42\\103\"",
];

/// Texts on which we mean to differ, and why.
const MEANT: &[(&str, &str)] = &[
    ("has(a)", "a field of the row itself has no operand"),
    ("has(a[0])", "members of JSON are also named by brackets"),
    ("[,]", "a comma ends an item, and there is none"),
    ("{,}", "the same"),
    ("!-1", "it could only be a mistake; the grammar allows it because its numbers have signs"),
    ("--9223372036854775808", "we read it and refuse the overflow when checking"),
    ("1 + 1.0", "an int literal beside a float is a float"),
];

/// Refusals of what no rule needs.
fn is_meant(text: &str, ours: &[&'static str]) -> bool {
    let null_character = text.contains("\\x00") || text.contains("\\000") || text.contains('\0');
    // Unsigned numbers do not exist in the model, no store's text holds U+0000, and our limits are tighter.
    MEANT.iter().any(|(known, _)| *known == text)
        || ours.iter().any(|code| match *code {
            "uint-unsupported" | "rule-too-deep" | "rule-too-large" | "rule-too-long" => true,
            "bad-escape" => null_character,
            _ => false,
        })
}

/// A small generator, so that every run sees the same texts.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*; its quality is ample here.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % limit
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.below(from.len())].to_owned()
    }

    fn number(&mut self, depth: usize) -> String {
        match if depth == 0 { 0 } else { self.below(8) } {
            0..=2 => self.pick(&[
                "0",
                "1",
                "2",
                "7",
                "-3",
                "10",
                "0x1f",
                "9223372036854775807",
                "-9223372036854775808",
                "4294967296",
            ]),
            3 => format!("({})", self.number(depth - 1)),
            4 => format!("-({})", self.number(depth - 1)),
            5 => format!("size({})", self.text(depth - 1)),
            6 => format!("{} ? {} : {}", self.bool(depth - 1), self.number(depth - 1), self.number(depth - 1)),
            _ => {
                let op = self.pick(&["+", "-", "*", "/", "%"]);
                format!("{} {op} {}", self.number(depth - 1), self.number(depth - 1))
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        match if depth == 0 { 0 } else { self.below(5) } {
            0..=2 => self.pick(&["'a'", "''", "'b\\n'", "\"é\"", "r'\\d'", "'''x'y'''", "'\\U0001F600'", "'\\x41'"]),
            3 => format!("string({})", self.number(depth - 1)),
            _ => format!("{} + {}", self.text(depth - 1), self.text(depth - 1)),
        }
    }

    fn bool(&mut self, depth: usize) -> String {
        match if depth == 0 { 0 } else { self.below(7) } {
            0 => self.pick(&["true", "false"]),
            1 => format!("!({})", self.bool(depth - 1)),
            2 => format!("{} && {}", self.bool(depth - 1), self.bool(depth - 1)),
            3 => format!("{} || {}", self.bool(depth - 1), self.bool(depth - 1)),
            4 => format!("{} in [{}, {}]", self.number(depth - 1), self.number(depth - 1), self.number(depth - 1)),
            5 => format!("[{}].exists(x, x == {})", self.text(depth - 1), self.text(depth - 1)),
            _ => {
                let op = self.pick(&["==", "!=", "<", "<=", ">", ">="]);
                format!("{} {op} {}", self.number(depth - 1), self.number(depth - 1))
            }
        }
    }

    /// The text with one character lost, doubled, or another put in.
    fn mutilate(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let at = self.below(chars.len());
        match self.below(3) {
            0 => {
                chars.remove(at);
            }
            1 => chars.insert(at, chars[at]),
            _ => {
                let others = [
                    '(', ')', '\'', '"', '.', ',', '-', '!', '[', ']', '?', ':', '0', 'u', 'x', '\\', ' ', '=', '&',
                    'r', 'b', '`', '{', '}',
                ];
                chars.insert(at, others[self.below(others.len())]);
            }
        }
        chars.into_iter().collect()
    }
}

/// A value of the other implementation in our notation.
fn theirs(value: &cel::Value) -> Option<String> {
    Some(literal(&match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(value) => Value::Bool(*value),
        cel::Value::Int(number) => Value::Int(*number),
        cel::Value::Float(number) => Value::float(*number),
        cel::Value::String(text) => Value::text(text.as_str()),
        cel::Value::Bytes(bytes) => Value::Bytes(Arc::unwrap_or_clone(bytes.clone())),
        cel::Value::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(theirs).collect();
            return Some(format!("[{}]", items?.join(" ")));
        }
        _ => return None,
    }))
}

#[test]
fn agrees_with_the_cel_crate() {
    let model = blog();
    let scope = scope(&model, Expect::Any);
    let context = cel::Context::default();
    let mut random = Random(20_261_122);
    let mut texts: Vec<String> = CHOSEN.iter().map(|text| (*text).to_owned()).collect();
    for at in 0..600 {
        let text = match at % 3 {
            0 => random.number(3),
            1 => random.text(3),
            _ => random.bool(3),
        };
        texts.push(random.mutilate(&text));
        texts.push(text);
    }
    let mut wrong = Vec::new();
    let mut folded = 0;
    for text in &texts {
        let ours = parser::parse(text);
        let program = cel::Program::compile(text);
        if let (Err(problems), Ok(_)) = (&ours, &program) {
            let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
            if !is_meant(text, &codes) {
                wrong.push(format!("{text:?}: they read it, we say {problems:?}"));
            }
        }
        if ours.is_ok() && program.is_err() && !is_meant(text, &[]) {
            wrong.push(format!("{text:?}: we read it, they do not"));
        }
        let (Ok(_), Ok(program)) = (ours, program) else { continue };
        let Ok(expr) = compile(text, &scope) else { continue };
        let Node::Literal(value) = &expr.node else { continue };
        folded += 1;
        let answer = program.execute(&context);
        let answer = answer.as_ref().map(theirs).map_err(ToString::to_string);
        if answer != Ok(Some(literal(value))) && !is_meant(text, &[]) {
            wrong.push(format!("{text:?}: we fold it to {}, they to {answer:?}", literal(value)));
        }
    }
    assert!(folded >= 300, "only {folded} of {} were folded", texts.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), texts.len(), wrong.join("\n"));
}
