//! Arbitrary bytes: nothing panics, and what is JSON to `serde_json` is the same JSON to us.

use super::*;
use proptest::prelude::*;

/// Pieces of the grammar, so that random texts go deep into it.
const PIECES: &str = r#"a b id select= order= limit= offset= and= or= not. eq. in. is. null like(any). cs. (any) (all) fts(en). ( ) { } [ ] , . : :: -> ->> * ... !inner ! " \ % %2 %22 %ff + & = ? count() .sum() desc nullslast - 0 1 é 😀 rel. rel( \" %5C columns= on_conflict= after= 99999999999999999999"#;

fn pieces() -> impl Strategy<Value = String> {
    let pieces: Vec<&'static str> = PIECES.split(' ').collect();
    proptest::collection::vec(proptest::sample::select(pieces), 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queries_never_panic(query in pieces(), key in pieces(), noise in ".{0,40}") {
        for query in [query.as_str(), noise.as_str(), &format!("select={query}"), &format!("or=({query})"), &format!("a={query}")] {
            let head = Head { key: Some(&key), accept: Some(&noise), range: Some(&noise), prefer: &[&noise], ..Head::new(&Method::GET, "t", query) };
            if let Ok(decoded) = decode(&head, None, &limits()) {
                let _ = show(&decoded);
            }
            let _ = decode(&Head { content_type: Some("application/x-www-form-urlencoded"), ..Head::new(&Method::POST, "t", "") }, Some(query.as_bytes()), &limits());
            let _ = decode(&Head { content_type: Some("text/csv"), ..Head::new(&Method::POST, "t", "") }, Some(query.as_bytes()), &limits());
        }
    }

    #[test]
    fn json_is_what_serde_json_says(bytes in json_like()) {
        let ours = parse_json(&bytes, 64);
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{:?} {:?} {:?}", String::from_utf8_lossy(&bytes), ours, theirs),
        }
    }
}

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "d83d",
        "de00",
        "0041",
        "\\n",
        "a",
        "\"a\"",
        "\"b\":",
        "1",
        "0",
        "-",
        ".",
        "e",
        "E+",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "é",
        "\u{1}",
        "1.5",
        "[1,",
        "{\"a\":",
        "\"x\\ty\"",
    ]
    .iter()
    .map(|piece| piece.as_bytes())
    .chain([&b"\xff"[..]])
    .collect();
    proptest::collection::vec(proptest::sample::select(pieces), 0..16).prop_map(|parts| parts.concat())
}
