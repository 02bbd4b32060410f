//! Texts made to exhaust the stack, the memory or the clock. Each must be answered, soon, with a problem or a meaning.

use super::{blog, outcome, scope};
use crate::cel::{Expect, TEXT_BYTES_MAX, compile};
use std::time::{Duration, Instant};

/// What opens, what stands in the middle, what closes: nested as often as asked.
const NESTS: &[(&str, &str, &str)] = &[
    ("(", "1", ")"),
    ("(", "", ""),
    ("[", "1", "]"),
    ("[", "", ""),
    ("{", "", ""),
    ("{1:", "1", "}"),
    ("!", "hidden", ""),
    ("!", "", ""),
    ("- ", "1", ""),
    ("-", "views", ""),
    ("", "1", "+1"),
    ("", "1", "-1"),
    ("", "1", "*1"),
    ("", "1", "==1"),
    ("", "hidden", "&&hidden"),
    ("", "hidden", "||hidden"),
    ("", "a", ".b"),
    ("", "meta", ".b"),
    ("", "author", ".team.owner"),
    ("", "tags", "[0]"),
    ("", "meta", "[0]"),
    ("meta[", "0", "]"),
    ("meta[", "", ""),
    ("hidden?", "hidden", ":hidden"),
    ("hidden?hidden:", "hidden", ""),
    ("size(", "title", ")"),
    ("f(", "", ""),
    ("has(", "a.b", ")"),
    ("", "title", ".trim()"),
    ("", "title", "+title"),
    ("", "auth.claims", ".a"),
    ("comments.exists(c,", "true", ")"),
    ("comments.all(c,", "true", ")"),
    ("tags.exists(t,", "true", ")"),
    ("", "comments", ".filter(c,true)"),
    ("author.posts.exists(c,", "true", ")"),
    ("topics.exists(c,", "true", ")"),
    ("[hidden in ", "[true]", "]"),
    ("(views in [", "1,1.0])?1:2", ""),
    ("a{b:", "1", "}"),
    ("'", "", ""),
    ("\"", "", ""),
    ("'''", "", ""),
    ("\\", "", ""),
    ("r'", "", ""),
    ("0x", "", ""),
    ("1e", "", ""),
    ("//", "", ""),
    ("\n", "", ""),
    ("é", "", ""),
    ("1 in ", "[]", ""),
    ("new.", "title", ""),
    (".", "", ""),
    ("a,", "", ""),
    ("9", "", ""),
    ("hidden?", "", ""),
    (":", "", ""),
    ("b", "", ""),
    ("if ", "", ""),
];

#[test]
fn deep_and_long() {
    let model = blog();
    let scope = scope(&model, Expect::Any);
    let depths = [1, 2, 3, 10, 31, 32, 33, 60, 63, 64, 65, 66, 100, 300, 700, 1500, 4000, 40_000];
    for (open, middle, close) in NESTS {
        for depth in depths {
            let text = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            let start = Instant::now();
            let answer = compile(&text, &scope);
            assert!(start.elapsed() < Duration::from_secs(2), "{depth} × {open}{middle}{close}");
            for problem in answer.err().into_iter().flatten() {
                assert!(problem.span.start <= problem.span.end && problem.span.end <= text.len());
                assert!(text.is_char_boundary(problem.span.start) && text.is_char_boundary(problem.span.end));
                assert!(!problem.message.is_empty() && problem.message.len() < 500, "{}", problem.message);
            }
        }
    }
}

#[test]
fn limits_have_codes() {
    let model = blog();
    let scope = scope(&model, Expect::Any);
    let code = |text: &str| compile(text, &scope).map_err(|problems| problems[0].code).err();
    let chain = |first: &str, more: &str, times: usize| format!("{first}{}", more.repeat(times));
    assert_eq!(code(&"1".repeat(TEXT_BYTES_MAX + 1)), Some("rule-too-long"));
    assert_eq!(code(&chain("1", "+1", 63)), None);
    assert_eq!(code(&chain("1", "+1", 64)), Some("rule-too-deep"));
    assert_eq!(code(&chain("hidden", "||hidden", 300)), None);
    assert_eq!(code(&format!("{}1{}", "(".repeat(63), ")".repeat(63))), None);
    assert_eq!(code(&format!("{}1{}", "(".repeat(64), ")".repeat(64))), Some("rule-too-deep"));
    assert_eq!(code(&format!("[{}]", "1,".repeat(1000))), Some("rule-too-large"));
    let nested = |depth: usize| {
        let opened: String = (0..depth).map(|at| format!("author.posts.exists(p{at}, ")).collect();
        format!("{opened}true{}", ")".repeat(depth))
    };
    let hops = |times: usize| format!("author{}", ".team.owner".repeat(times));
    assert_eq!(code(&format!("{}.name", hops(30))), None);
    let deep = format!("{}.posts.exists(p, p.{}.posts.exists(q, q.{}.name == ''))", hops(25), hops(20), hops(20));
    assert_eq!(code(&deep), Some("rule-too-deep"));
    assert_eq!(code(&nested(4)), None);
    assert_eq!(code(&nested(5)), Some("rule-too-deep"));
    let wide = "comments.exists(c, c.post.comments.exists(d, d.post.comments.exists(e, true)))";
    assert_eq!(code(wide), None);
    let costly = format!(
        "comments.exists(c, c.post.comments.exists(d, d.post.comments.exists(e, e.post.comments.exists(f, {}))))",
        chain("f.body == title", " || f.body == title", 40)
    );
    assert_eq!(code(&costly), Some("rule-too-costly"));
}

/// Every prefix and every text with one byte out of order is answered.
#[test]
fn mutilated() {
    let model = blog();
    let scope = scope(&model, Expect::Bool);
    let texts = [
        "status == 'published' || author_id == auth.id && 'admin' in auth.roles",
        r#"comments.exists(c, c.user_id == auth.id && c.body.matches(r'^\w+$')) ? size(tags) > 0x1F : !has(meta.a['b'][0])"#,
        r#"title + "\u00e9\x41\101" == '''a'b''' && data == b'\xff' && rating >= -1.5e-3 // end"#,
        "now - published_at > duration('1h30m') && published_at < timestamp('2026-01-31T12:00:00.5+01:00')",
    ];
    for text in texts {
        assert!(compile(text, &scope).is_ok(), "{}", outcome(text, &scope));
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let _ = compile(&text[..at], &scope);
            let _ = compile(&text[at..], &scope);
            for insert in ["(", ")", "'", "\"", "\\", ".", "0", "é", "\0", "?", "[", "!", "-", "==", "in", "\u{10ffff}"]
            {
                let _ = compile(&format!("{}{insert}{}", &text[..at], &text[at..]), &scope);
            }
        }
    }
}
