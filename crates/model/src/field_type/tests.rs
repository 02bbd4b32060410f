//! Tables: declared type, input, what comes of it on the wire (or the refusal).
#![allow(clippy::unwrap_used)]

use super::*;

fn text() -> FieldType {
    FieldType::Text { pattern: None }
}

fn money() -> FieldType {
    FieldType::Decimal { precision: 6, scale: 2 }
}

fn status() -> FieldType {
    FieldType::Enum { values: vec!["draft".into(), "published".into()] }
}

fn list(of: FieldType) -> FieldType {
    FieldType::List { of: Box::new(of) }
}

/// The wire form of what was accepted, or `! ` and the refusal.
fn told(result: Result<Value, String>) -> String {
    match result {
        Ok(value) => wire::to_json(&value),
        Err(message) => format!("! {message}"),
    }
}

#[test]
fn accepts_json() {
    let cases: &[(FieldType, &str, &str)] = &[
        (text(), r#""é😀""#, r#""é😀""#),
        (text(), r#""a\u0000""#, "! text must not contain the character U+0000"),
        (text(), "1", "! expected a string, not a number"),
        (text(), r#"{"$ne":1}"#, "! expected a string, not an object"),
        (text(), "null", "null"),
        (FieldType::Bool, "true", "true"),
        (FieldType::Bool, r#""true""#, "! expected true or false, not a string"),
        (FieldType::Int, "9223372036854775807", "9223372036854775807"),
        (FieldType::Int, "9223372036854775808", "! does not fit into 64 bits"),
        (FieldType::Int, "-9223372036854775808", "-9223372036854775808"),
        (FieldType::Int, "1.0", "1"),
        (FieldType::Int, "1e3", "1000"),
        (FieldType::Int, "-0", "0"),
        (FieldType::Int, "1.5", "! expected a whole number"),
        (FieldType::Int, "1e-1", "! expected a whole number"),
        (FieldType::Int, "1e999999999", "! does not fit into 64 bits"),
        (FieldType::Int, "0e999999999", "0"),
        (FieldType::Int, r#""1""#, "! expected a whole number, not a string"),
        (FieldType::Float, "1", "1"),
        (FieldType::Float, "-0.0", "0"),
        (FieldType::Float, "1e400", "! too large for a float"),
        (FieldType::Float, "1e-400", "0"),
        (money(), "12.5", "12.50"),
        (money(), "12.500", "12.50"),
        (money(), "1.25e1", "12.50"),
        (money(), "-9999.99", "-9999.99"),
        (money(), "10000", "! must have at most 4 digits before the point"),
        (money(), "0.001", "! must have at most 2 digits after the point"),
        (money(), r#""1""#, "! expected a number, not a string"),
        (FieldType::Uuid, r#""018F2B3C-0000-7000-8000-000000000001""#, r#""018f2b3c-0000-7000-8000-000000000001""#),
        (FieldType::Uuid, r#""018f2b3c""#, "! expected a UUID"),
        (FieldType::Timestamp, r#""2026-11-22T21:34:33.123456Z""#, r#""2026-11-22T21:34:33.123456+00:00""#),
        (FieldType::Timestamp, r#""2026-11-22T23:34:33+02:00""#, r#""2026-11-22T21:34:33+00:00""#),
        (FieldType::Timestamp, r#""2026-01-01 00:00:00+00""#, r#""2026-01-01T00:00:00+00:00""#),
        (FieldType::Timestamp, r#""2026-01-01 00:00:00-0530""#, r#""2026-01-01T05:30:00+00:00""#),
        (FieldType::Timestamp, r#""2026-01-01T00:00""#, r#""2026-01-01T00:00:00+00:00""#),
        (FieldType::Timestamp, r#""2026-01-01""#, r#""2026-01-01T00:00:00+00:00""#),
        (FieldType::Timestamp, r#""2026-01-01T00:00:00.9999999Z""#, r#""2026-01-01T00:00:01+00:00""#),
        (FieldType::Timestamp, r#""2026-02-29T00:00:00Z""#, "! expected a timestamp like 2026-01-31T12:00:00Z"),
        (FieldType::Timestamp, r#""2026-01-01T24:00:00Z""#, "! expected a timestamp like 2026-01-31T12:00:00Z"),
        (FieldType::Timestamp, r#""0001-01-01T00:00:00+01:00""#, "! must be within the years 0001 to 9999"),
        (FieldType::Timestamp, r#""9999-12-31T23:59:59.999999Z""#, r#""9999-12-31T23:59:59.999999+00:00""#),
        (FieldType::Timestamp, "1795383273", "! expected a timestamp, not a number"),
        (FieldType::Date, r#""2024-02-29""#, r#""2024-02-29""#),
        (FieldType::Date, r#""2023-02-29""#, "! expected a date like 2026-01-31"),
        (FieldType::Date, r#""0000-01-01""#, "! expected a date like 2026-01-31"),
        (FieldType::Date, r#""2024-2-9""#, "! expected a date like 2026-01-31"),
        (FieldType::Time, r#""13:45""#, r#""13:45:00""#),
        (FieldType::Time, r#""13:45:10.50""#, r#""13:45:10.5""#),
        (FieldType::Time, r#""24:00""#, "! expected a time of day like 13:45 or 13:45:10.5"),
        (FieldType::Time, r#""13:45Z""#, "! expected a time of day like 13:45 or 13:45:10.5"),
        (FieldType::Json { schema: None }, r#"{"b": 1.0, "a": [null]}"#, r#"{"a":[null],"b":1.0}"#),
        (
            FieldType::Json { schema: None },
            r#"{"a\u0000": 1}"#,
            "! text must not contain the character U+0000; leave it out, or keep such data in a field of bytes",
        ),
        (FieldType::Bytes, r#""//4=""#, r#""//4=""#),
        (FieldType::Bytes, r#""//4""#, r#""//4=""#),
        (FieldType::Bytes, r#""_""#, "! expected base64 text"),
        (status(), r#""draft""#, r#""draft""#),
        (status(), r#""Draft""#, "! must be one of draft, published"),
        (list(FieldType::Int), "[1,2]", "[1,2]"),
        (list(FieldType::Int), "[]", "[]"),
        (list(FieldType::Int), "[1,null]", "! item 2: must not be null"),
        (list(FieldType::Int), r#"["1"]"#, "! item 1: expected a whole number, not a string"),
        (list(FieldType::Int), "1", "! expected a list, not a number"),
    ];
    for (ty, json, expected) in cases {
        assert_eq!(&told(ty.accept_json(&serde_json::from_str(json).unwrap())), expected, "{} {json}", ty.name());
    }
}

#[test]
fn accepts_text() {
    let cases: &[(FieldType, &str, &str)] = &[
        (FieldType::Bool, "TRUE", "true"),
        (FieldType::Bool, "f", "false"),
        (FieldType::Bool, "maybe", "! expected true or false"),
        (FieldType::Int, "42", "42"),
        (FieldType::Int, "", "! expected a whole number of 64 bits"),
        (FieldType::Int, "0x1", "! expected a whole number of 64 bits"),
        (FieldType::Float, "inf", "! expected a number"),
        (FieldType::Float, "NaN", "! expected a number"),
        (FieldType::Float, ".5", "0.5"),
        (money(), "-.5", "-0.50"),
        (money(), ".", "! expected a number of at most 6 digits"),
        (FieldType::Bytes, "\\xfffe", r#""//4=""#),
        (FieldType::Bytes, "\\xfff", "! expected an even number of hexadecimal digits"),
        (FieldType::Bytes, "\\xé", "! expected an even number of hexadecimal digits"),
        (FieldType::Uuid, "018f2b3c00007000800000000000000a", r#""018f2b3c-0000-7000-8000-00000000000a""#),
        (FieldType::Json { schema: None }, "{", "! expected JSON"),
        (list(text()), "{a,\"b, c\",d\\,e}", r#"["a","b, c","d,e"]"#),
        (list(text()), "{}", "[]"),
        (list(text()), r#"["a"]"#, r#"["a"]"#),
        (list(text()), "{a,NULL}", "! expected a list like {a,b} or [\"a\",\"b\"]"),
        (list(text()), r#"{a,"NULL"}"#, r#"["a","NULL"]"#),
        (list(text()), "{a", "! expected a list like {a,b} or [\"a\",\"b\"]"),
        (list(FieldType::Int), "{1, 2}", "[1,2]"),
        (list(FieldType::Int), "{1,x}", "! item 2: expected a whole number of 64 bits"),
    ];
    for (ty, input, expected) in cases {
        assert_eq!(&told(ty.accept_text(input)), expected, "{} {input}", ty.name());
    }
}

#[test]
fn validates_content() {
    let cases: &[(FieldType, &str, bool)] = &[
        (FieldType::Email, "ann@example.org", true),
        (FieldType::Email, "a.b+c@x", true),
        (FieldType::Email, "ann@", false),
        (FieldType::Email, "@x.org", false),
        (FieldType::Email, "ann@x..org", false),
        (FieldType::Email, "ann@-x.org", false),
        (FieldType::Email, "a b@x.org", false),
        (FieldType::Email, "ann@x.org\n", false),
        (FieldType::Url, "https://example.org", true),
        (FieldType::Url, "http://localhost:8090/a?b#c", true),
        (FieldType::Url, "https://[::1]:80/", true),
        (FieldType::Url, "javascript:alert(1)", false),
        (FieldType::Url, "https://", false),
        (FieldType::Url, "https://user@evil.org", false),
        (FieldType::Url, "https://x.org:99999", false),
        (FieldType::Url, "https://x.org/a b", false),
        (FieldType::Url, "//x.org", false),
        (status(), "draft", true),
        (status(), "gone", false),
        (FieldType::Text { pattern: Some(Pattern(regex::Regex::new("^[a-z]+$").unwrap())) }, "abc", true),
        (FieldType::Text { pattern: Some(Pattern(regex::Regex::new("^[a-z]+$").unwrap())) }, "aBc", false),
        (FieldType::Int, "text is no int", false),
    ];
    for (ty, input, fine) in cases {
        assert_eq!(ty.validate(&Value::text(*input)).is_ok(), *fine, "{} {input}", ty.name());
    }
    assert!(FieldType::Email.validate(&Value::text(format!("a@{}.org", "x".repeat(250)))).is_err());
    assert!(list(FieldType::Email).validate(&Value::List(vec![Value::text("x")])).is_err());
}

#[test]
fn tells_typescript_and_schema() {
    let cases: &[(FieldType, &str, &str)] = &[
        (text(), "string", r#"{"type":"string"}"#),
        (FieldType::Secret, "string", r#"{"type":"string","writeOnly":true}"#),
        (FieldType::Bool, "boolean", r#"{"type":"boolean"}"#),
        (
            FieldType::Int,
            "number",
            r#"{"type":"integer","format":"int64","minimum":-9223372036854775808,"maximum":9223372036854775807}"#,
        ),
        (FieldType::Float, "number", r#"{"type":"number","format":"double"}"#),
        (money(), "number", r#"{"type":"number","minimum":-9999.99,"maximum":9999.99,"multipleOf":0.01}"#),
        (status(), r#""draft" | "published""#, r#"{"type":"string","enum":["draft","published"]}"#),
        (
            list(status()),
            r#"("draft" | "published")[]"#,
            r#"{"type":"array","items":{"type":"string","enum":["draft","published"]}}"#,
        ),
        (list(FieldType::Date), "string[]", r#"{"type":"array","items":{"type":"string","format":"date"}}"#),
        (FieldType::Json { schema: None }, "Json", "{}"),
    ];
    for (ty, typescript, schema) in cases {
        assert_eq!(&ty.typescript(), typescript);
        assert_eq!(&ty.json_schema().to_string(), schema);
    }
}
