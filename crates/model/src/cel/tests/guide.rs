//! `docs/rules.md` against the code: its examples compile_with_warnings, its tables name every function, its limits are the limits.

use super::{blog, outcome, scope};
use crate::cel::functions::{FUNCTIONS, METHODS};
use crate::cel::{
    COST_MAX, DEPTH_MAX, Expect, NODES_MAX, PATTERN_CHARS_MAX, ROWS_DEPTH_MAX, TEXT_BYTES_MAX, compile_with_warnings,
};

const GUIDE: &str = include_str!("../../../../../docs/rules.md");

#[test]
fn examples_compile() {
    let model = blog();
    let scope = scope(&model, Expect::Bool);
    let mut count = 0;
    for block in GUIDE.split("```cel\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let warnings = compile_with_warnings(line, &scope).map(|(_, warnings)| warnings);
            assert_eq!(warnings, Ok(Vec::new()), "{line}\n{}", outcome(line, &scope));
            count += 1;
        }
    }
    assert!(count > 40);
}

#[test]
fn functions_and_limits_are_told() {
    for name in FUNCTIONS {
        assert!(GUIDE.contains(&format!("`{name}(")), "{name}");
    }
    for name in METHODS {
        assert!(GUIDE.contains(&format!(".{name}(")), "{name}");
    }
    let (_, limits) = GUIDE.split_once("## Limits").unwrap();
    let numbers = [TEXT_BYTES_MAX, NODES_MAX, usize::from(DEPTH_MAX), usize::from(ROWS_DEPTH_MAX), PATTERN_CHARS_MAX];
    for limit in numbers.map(|limit| limit.to_string()).into_iter().chain([COST_MAX.to_string()]) {
        assert!(limits.contains(&format!(" {limit} ")), "{limit}");
    }
}
