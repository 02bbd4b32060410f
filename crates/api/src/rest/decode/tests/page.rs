//! `docs/api.md`: every request in a grey box is read, or refused where the page says so.

use super::*;

#[test]
fn the_page_says_what_is() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md")).unwrap();
    let (mut served, mut refused) = (0, 0);
    let mut block = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(name), None) => block = Some(name),
            (Some(_), Some(_)) => block = None,
            (None, Some("http")) => {
                let decoded = decoded(&line.replace(" /rest/v1/", " "));
                assert!(decoded.is_ok(), "{line}: {decoded:?}");
                served += 1;
            }
            (None, Some("http refused")) => {
                assert!(decoded(&line.replace(" /rest/v1/", " ")).is_err(), "{line}");
                refused += 1;
            }
            (None, _) => {}
        }
    }
    assert!(served > 35 && refused > 8, "{served} {refused}");
}
