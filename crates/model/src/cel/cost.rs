//! A bound on the work of a rule, from its form alone.
//!
//! A unit is about one scalar operation. Relations are taken to lead to [`ROWS_ASSUMED`] rows; the number is a yardstick between
//! rules, not a prediction. Absent: statistics of any database.

use super::Problem;
use crate::diagnostic::Span;
use crate::expr::{Expr, Function, Node};
use crate::schema::{Cardinality, Collection, RelationId};

/// Greatest estimated cost of a rule.
pub const COST_MAX: u64 = 1_000_000;
/// How many to-many relations and lists may be gone through within each other.
pub const ROWS_DEPTH_MAX: u16 = 4;
/// Greatest depth of a typed expression. Relations make it deeper than its text; whoever reads it recurses.
pub const EXPR_DEPTH_MAX: u16 = 100;
/// To how many rows a to-many relation is taken to lead.
const ROWS_ASSUMED: u64 = 10;
/// Finding a related row.
const LOOKUP: u64 = 10;

/// Refuses what is too costly.
pub fn check(expr: &Expr, collections: &[Collection], span: Span) -> Result<(), Problem> {
    if depth(expr) > EXPR_DEPTH_MAX {
        let message = format!("relations and conditions together go more than {EXPR_DEPTH_MAX} deep");
        return Err(Problem::new(span, "rule-too-deep", message).hint("keep the answer in a field of the row"));
    }
    let depth = rows_depth(expr, collections);
    if depth > ROWS_DEPTH_MAX {
        let message = format!("relations within relations go {depth} deep; {ROWS_DEPTH_MAX} is the limit");
        return Err(Problem::new(span, "rule-too-deep", message).hint("keep the answer in a field of the row"));
    }
    let cost = cost(expr, collections);
    if cost > COST_MAX {
        let message = format!("the estimated cost is {cost}; {COST_MAX} is the limit");
        return Err(
            Problem::new(span, "rule-too-costly", message).hint("keep part of the answer in a field of the row")
        );
    }
    Ok(())
}

/// What a node goes through, element by element, other than its children once.
fn is_loop(node: &Node, collections: &[Collection]) -> bool {
    match node {
        Node::Exists { relation, .. } | Node::Count { relation, .. } => is_many(*relation, collections),
        Node::AnyElement { .. } => true,
        _ => false,
    }
}

fn is_many(id: RelationId, collections: &[Collection]) -> bool {
    let relation = collections
        .get(usize::from(id.collection.0))
        .and_then(|collection| collection.relations.get(usize::from(id.index)));
    relation.is_none_or(|relation| relation.cardinality == Cardinality::Many)
}

fn depth(expr: &Expr) -> u16 {
    expr.children().into_iter().map(depth).max().unwrap_or(0) + 1
}

fn rows_depth(expr: &Expr, collections: &[Collection]) -> u16 {
    let within = expr.children().into_iter().map(|child| rows_depth(child, collections)).max().unwrap_or(0);
    within + u16::from(is_loop(&expr.node, collections))
}

fn cost(expr: &Expr, collections: &[Collection]) -> u64 {
    let within = expr.children().into_iter().map(|child| cost(child, collections)).fold(0, u64::saturating_add);
    let own = match &expr.node {
        Node::Exists { .. }
        | Node::Count { .. }
        | Node::Via { .. }
        | Node::Profile { .. }
        | Node::Call(Function::Matches, _) => LOOKUP,
        _ => 1,
    };
    let times = if is_loop(&expr.node, collections) { ROWS_ASSUMED } else { 1 };
    within.saturating_add(own).saturating_mul(times)
}
