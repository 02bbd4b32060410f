//! What needs no plan; the texts of plans are beside the store.
use super::*;

#[test]
fn an_identifier_stays_one() {
    assert_eq!(DIALECT.identifier("a`b"), "`a``b`");
}
