//! What needs no plan; the texts of plans are beside the store.

use super::*;

#[test]
fn an_identifier_stays_one() {
    assert_eq!(DIALECT.identifier("a\"b"), "\"a\"\"b\"");
}

#[test]
fn every_parameter_says_its_type() {
    assert_eq!(DIALECT.parameter(1, Type::UUID), "$1::uuid");
    assert_eq!(DIALECT.parameter(2, Type::TEXT), "($2::text COLLATE \"C\")");
    assert_eq!(DIALECT.parameter(3, Type::List(Kind::Decimal { precision: 10, scale: 2 })), "$3::numeric[]");
    assert_eq!(DIALECT.parameter(4, Type::Duration), "$4::bigint");
}
