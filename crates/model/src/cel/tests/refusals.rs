//! Text → problems.

use super::{blog, check, scope};
use crate::cel::{Expect, Scope};

#[test]
fn mistakes() {
    let model = blog();
    check(&scope(&model, Expect::Bool), &[("x", "unknown-name at \"x\": \"posts\" has no field or relation \"x\"")]);
}

#[test]
fn what_the_place_forbids() {
    let model = blog();
    let closed = Scope {
        allow_new: false,
        allow_auth: false,
        allow_relations: false,
        allow_now: false,
        profile: None,
        ..scope(&model, Expect::Bool)
    };
    check(&closed, &[("x", "unknown-name at \"x\": \"posts\" has no field or relation \"x\"")]);
}
