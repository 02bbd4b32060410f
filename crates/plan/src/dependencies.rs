//! What the answer to a plan depends on, besides the values of its slots: the collections whose rows decide it, and facts about the caller.
//! Two plans of one shape whose values and facts are equal have one answer, until a row of these collections changes.
//!
//! Absent: whether they changed, and keeping anything (see `engine::cache`).

use crate::request::Count;
use crate::shape::{Column, OrderBy, Plan, Read, Shape};
use std::collections::BTreeSet;
use undergird_model::expr::AuthFact;
use undergird_model::{CollectionId, Expr, Model, Node, Value, leads_to};

/// What the answers of a read's shape depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependencies {
    collections: Vec<CollectionId>,
    facts: Vec<AuthFact>,
}

impl Dependencies {
    /// Those of a shape. `None` where an answer depends on more than rows, values and the caller: on the clock, on a function of the
    /// database, on what its planner guesses; and for a write.
    pub fn of(shape: &Shape, model: &Model) -> Option<Dependencies> {
        let Shape::Read(read) = shape else { return None };
        if matches!(read.count, Some(Count::Planned | Count::Estimated)) {
            return None;
        }
        let mut found = Found { model, collections: BTreeSet::new(), facts: Vec::new(), clock: false };
        for node in &read.nodes {
            if node.source.is_some() || node.collection == CollectionId::NONE {
                return None;
            }
            found.collections.insert(node.collection);
            for join in &node.joins {
                let relation = model.relation(join.relation);
                found.collections.insert(relation.target);
                found.collections.extend(relation.through.as_ref().map(|through| through.junction));
            }
        }
        expressions(read, &mut |expr| found.look_into(expr));
        let Found { collections, facts, clock, .. } = found;
        (!clock).then(|| Dependencies { collections: collections.into_iter().collect(), facts })
    }

    /// The collections whose rows decide the answer, those that only rules look into among them. In order, each once.
    pub fn collections(&self) -> &[CollectionId] {
        &self.collections
    }

    /// The facts about a plan's caller that decide its answer. The plan is of the shape.
    pub fn facts(&self, plan: &Plan) -> Vec<Value> {
        self.facts.iter().map(|fact| plan.caller().fact(fact)).collect()
    }
}

/// What was found so far.
struct Found<'m> {
    model: &'m Model,
    collections: BTreeSet<CollectionId>,
    facts: Vec<AuthFact>,
    clock: bool,
}

impl Found<'_> {
    fn look_into(&mut self, expr: &Expr) {
        leads_to(expr, &self.model.collections, self.model.profile, &mut self.collections);
        expr.any_node(&mut |node| {
            let fact = match node {
                Node::Auth(fact) => fact,
                // Whose row it is, is said by the caller's id.
                Node::Profile { .. } => &AuthFact::Id,
                Node::Now => {
                    self.clock = true;
                    return false;
                }
                _ => return false,
            };
            if !self.facts.contains(fact) {
                self.facts.push(fact.clone());
            }
            false
        });
    }
}

/// Every expression of a read.
fn expressions(read: &Read, each: &mut dyn FnMut(&Expr)) {
    for node in &read.nodes {
        node.joins.iter().for_each(|join| each(&join.filter));
        for column in &node.columns {
            match column {
                Column::Plain(expr) | Column::Aggregate(_, Some(expr), _) => each(expr),
                Column::Aggregate(_, None, _) => {}
            }
        }
        for order in &node.order {
            match &order.by {
                OrderBy::Expr(expr) => each(expr),
                OrderBy::Column(_) => {}
            }
        }
        each(&node.filter);
        node.limit.iter().chain(&node.offset).for_each(&mut *each);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::caller::{Caller, Moment, User};
    use crate::request::{Request, Verb};
    use std::sync::Arc;
    use undergird_model::{Source, definition};
    use uuid::Uuid;

    const MODELS: [(&str, &str); 4] = [
        (
            "users",
            "[fields]\nname = { type = \"text\" }\nteam_id = { type = \"ref\", to = \"teams\" }\n[access]\nread = \"true\"",
        ),
        ("teams", "[fields]\nname = { type = \"text\" }\nopen = { type = \"bool\" }\n[access]\nread = \"open\""),
        (
            "posts",
            "[fields]\ntitle = { type = \"text\" }\nauthor_id = { type = \"ref\", to = \"users\" }\n\
             pay = { type = \"int\", read = \"auth.email == 'x'\" }\n\
             [access]\nread = \"author.team.open || author_id == auth.id\"",
        ),
        ("clocks", "[fields]\nat = { type = \"timestamp\" }\n[access]\nread = \"at < now\""),
    ];

    fn model() -> Arc<Model> {
        let mut sources = vec![Source { name: "undergird.toml".into(), text: "[auth]\nprofile = \"users\"".into() }];
        sources.extend(
            MODELS.map(|(name, text)| Source { name: format!("models/{name}.toml").into(), text: text.into() }),
        );
        let (model, diagnostics) = definition::check(&sources, &[]);
        Arc::new(model.unwrap_or_else(|| panic!("{diagnostics:#?}")))
    }

    fn of(collection: &str, secret: bool) -> (Option<Dependencies>, Vec<String>) {
        let (model, moment) = (model(), Moment { now: 1, entropy: 1 });
        let user = User::new(Uuid::from_u128(1), None, Vec::new(), serde_json::Value::Null);
        let caller = if secret { Caller::secret(moment) } else { Caller::user(Arc::new(user), moment) };
        let plan = crate::authorize(&model, &caller, &Request::new(collection, Verb::Read)).unwrap();
        let found = Dependencies::of(plan.shape(), &model);
        let names = found.iter().flat_map(|found| found.collections());
        let names = names.map(|id| model.collection(*id).name.clone()).collect();
        (found, names)
    }

    #[test]
    fn rules_are_part_of_an_answer() {
        let (found, names) = of("posts", false);
        assert_eq!(names, ["posts", "teams", "users"]);
        assert_eq!(found.unwrap().facts, [AuthFact::Email, AuthFact::Id]);
        let (found, names) = of("posts", true);
        assert_eq!(names, ["posts"], "a secret key passes by the rules");
        assert!(found.unwrap().facts.is_empty());
    }

    #[test]
    fn nothing_is_known_of_the_clock() {
        assert_eq!(of("clocks", false).0, None);
        assert_eq!(of("clocks", true).1, ["clocks"]);
    }
}
