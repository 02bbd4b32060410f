//! Bodies: what becomes of them, and what is refused.

use super::show::show_body;
use super::*;

fn read(method: &Method, content_type: Option<&str>, query: &str, body: &[u8]) -> String {
    let head = Head { content_type, ..Head::new(method, "t", query) };
    match decode(&head, Some(body), &limits()) {
        Ok(decoded) => show_body(&decoded.request.body.unwrap()),
        Err(malformed) => {
            format!(
                "{} {} {} | {}",
                malformed.status,
                malformed.code,
                malformed.message,
                malformed.details.unwrap_or_default()
            )
        }
    }
}

fn json(body: &str, expected: &str) {
    assert_eq!(read(&Method::POST, None, "", body.as_bytes()), expected, "{body}");
}

#[test]
fn json_bodies() {
    json("{}", "{}");
    json("[]", "[]");
    json(" [ ] ", "[]");
    json(r#"{"a":1,"b":"x","c":null,"d":[1,{"e":true}]}"#, r#"{a:1, b:"x", c:null, d:[1,{"e":true}]}"#);
    json(r#"[{"a":1},{"b":2}]"#, "[{a:1}, {b:2}]");
    json("{\"a\":1,\"b\":2,\"a\":3}", "{a:3, b:2}");
    json("{\"n\":12345678901234567890.1234567890123456789e-7}", "{n:12345678901234567890.1234567890123456789e-7}");
    json("\u{feff}{\"a\":-0.5E+3}", "{a:-0.5e+3}");
    json(r#"{"a":"\ud83d\ude00\n\u0041\/"}"#, r#"{a:"😀\nA/"}"#);
    json(r#"{"$serde_json::private::Number":"1"}"#, r#"{$serde_json::private::Number:"1"}"#);
    json(r#"{"a":{"$serde_json::private::RawValue":"[1]"}}"#, r#"{a:{"$serde_json::private::RawValue":"[1]"}}"#);
}

#[test]
fn json_refusals() {
    let wrong = |found: &str, column: usize, expecting: &str| {
        format!(
            "400 PGRST102 Empty or invalid json | unexpected {found} at line 1, column {column}, expecting {expecting}"
        )
    };
    json("", &wrong("end of input", 1, "an object or an array of objects"));
    json("1", &wrong("\"1\"", 1, "an object or an array of objects"));
    json("[1]", &wrong("\"1\"", 2, "an object: each element of the array is a row"));
    json("[[]]", &wrong("\"[\"", 2, "an object: each element of the array is a row"));
    json("{\"a\"}", &wrong("\"}\"", 5, "\":\""));
    json("{\"a\":}", &wrong("\"}\"", 6, "a value"));
    json("{\"a\":1,}", &wrong("\"}\"", 8, "a member's name in quotes"));
    json("{a:1}", &wrong("\"a\"", 2, "a member's name in quotes"));
    json("{\"a\":01}", &wrong("\"}\"", 8, "a number's digits"));
    json("{\"a\":1.}", &wrong("\"}\"", 8, "a number's digits"));
    json("{\"a\":-}", &wrong("\"}\"", 7, "a number's digits"));
    json("{\"a\":NaN}", &wrong("\"N\"", 6, "a value"));
    json("{\"a\":nul}", &wrong("\"n\"", 6, "a value"));
    json("{\"a\":'x'}", &wrong("\"\\'\"", 6, "a value"));
    json("{\"a\":\"x", &wrong("end of input", 8, "closing quote (\")"));
    json(r#"{"a":"\x"}"#, &wrong("\"x\"", 8, "an escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u"));
    json(r#"{"a":"\ud800"}"#, &wrong("\"\\\"\"", 13, "both halves of a surrogate pair"));
    json(r#"{"a":"\u00"}"#, &wrong("\"0\"", 9, "four hexadecimal digits"));
    json("{} {}", &wrong("\"{\"", 4, "end of input"));
    assert_eq!(
        read(&Method::POST, None, "", b"{\"a\":\"\xff\"}"),
        "400 PGRST102 The body is not valid UTF-8 | Byte 6 begins no character"
    );
    assert_eq!(
        read(&Method::POST, Some("application/xml"), "", b"<a/>"),
        "415 PGRST107 A body of type application/xml cannot be read | "
    );
}

#[test]
fn deep_and_large_bodies_are_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"a\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        json(&deep, "400 UG400 The body is nested more than 64 levels deep | limits.json_depth = 64");
    }
    let fits = format!("{{\"a\":{}1{}}}", "[".repeat(63), "]".repeat(63));
    assert!(read(&Method::POST, None, "", fits.as_bytes()).starts_with("{a:["));
    let members = (0..1_001).map(|n| format!("\"m{n}\":1")).collect::<Vec<_>>().join(",");
    json(
        &format!("{{{members}}}"),
        "400 UG400 The request has too many members in an object: at most 1000 are allowed | limits.items = 1000",
    );
    json(
        &format!("{{\"a\":{}}}", "9".repeat(401)),
        "400 UG400 The request has too many digits in a number: at most 400 are allowed | limits.number_bytes = 400",
    );
    let rows = format!("[{}]", vec!["{}"; 10_001].join(","));
    json(&rows, "400 UG400 The request has too many rows: at most 10000 are allowed | limits.insert_rows = 10000");
    let values = format!("{{\"a\":[{}]}}", vec!["1"; 500_001].join(","));
    json(
        &values,
        "400 UG400 The request has too many values in its body: at most 500000 are allowed | limits.body_values = 500000",
    );
    let wide = format!("{}\n{}", vec!["a"; 1_000].join(","), format!("{}\n", ",".repeat(999)).repeat(501));
    assert!(read(&Method::POST, Some("text/csv"), "", wide.as_bytes()).starts_with("400 UG400"));
    let large = vec![b' '; (10 << 20) + 1];
    assert_eq!(read(&Method::POST, None, "", &large), "413 UG413 The body is larger than 10485760 bytes | ");
}

#[test]
fn many_members_keep_the_last() {
    let members = (0..100).map(|n| format!("\"m{}\":{n}", n % 50)).collect::<Vec<_>>().join(",");
    let found = read(&Method::POST, None, "", format!("{{{members}}}").as_bytes());
    assert!(found.starts_with("{m0:50, m1:51,") && found.ends_with("m49:99}"), "{found}");
}

#[test]
fn updates_take_one_object() {
    let patch = |body: &str| read(&Method::PATCH, None, "", body.as_bytes());
    assert_eq!(patch("{\"a\":1}"), "{a:1}");
    assert_eq!(patch("[{\"a\":1}]"), "[{a:1}]");
    assert_eq!(patch("[]"), "{}");
    assert_eq!(patch("[{},{}]"), "400 PGRST102 The body must be one object | ");
    assert!(patch("").starts_with("400 PGRST102 Empty or invalid json"));
}

#[test]
fn columns_leave_others_out() {
    assert_eq!(read(&Method::POST, None, "columns=a,c", br#"[{"a":1,"b":2,"c":3}]"#), "[{a:1, c:3}]");
    assert_eq!(read(&Method::POST, Some("text/csv"), "columns=b", b"a,b\n1,2\n"), "[{b:'2'}]");
}

#[test]
fn csv_bodies() {
    let csv = |body: &str| read(&Method::POST, Some("text/csv"), "", body.as_bytes());
    assert_eq!(csv("a,b\n1,x\nNULL,\"y, \"\"z\"\"\"\n"), "[{a:'1', b:'x'}, {a:null, b:'y, \"z\"'}]");
    assert_eq!(csv("a,b"), "[]");
    assert_eq!(csv("a\r\n1\r\n"), "[{a:'1'}]");
    assert_eq!(csv(""), "400 PGRST102 Empty or invalid csv | ");
    assert_eq!(csv("a,b\n1\n"), "400 PGRST102 Empty or invalid csv | line 2: 1 fields where the header has 2");
    assert_eq!(
        read(&Method::POST, Some("text/csv"), "", b"a\n\xff\n"),
        "400 PGRST102 Empty or invalid csv | line 2: not valid UTF-8"
    );
}

#[test]
fn form_bodies() {
    let form = |body: &str| read(&Method::POST, Some("application/x-www-form-urlencoded"), "", body.as_bytes());
    assert_eq!(form("a=1&b=x+y%26&c="), "{a:'1', b:'x y&', c:''}");
    assert_eq!(form(""), "{}");
    for json in ["{\"a\":1}", " [{\"a\":\"x&y=z\"}]"] {
        assert_eq!(form(json), "400 PGRST102 The body is sent as a form, and looks like JSON | ");
    }
    assert!(form("a=%ff").starts_with("400 PGRST102 The body is not valid UTF-8"));
}
