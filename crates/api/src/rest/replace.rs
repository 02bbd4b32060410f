//! PUT as PostgREST has it: `PUT /rest/v1/tags?id=eq.7` is `PUT /rest/v1/tags/7`, answered in PostgREST's form.

use crate::problem::Problem;
use undergird_model::Model;
use undergird_model::expr::Slot;
use undergird_plan::Request;
use undergird_plan::request::{Condition, Operator, Test, Verb};

/// Makes the conditions of a PUT on a collection its key.
///
/// # Errors
/// PGRST105 unless they are `eq` on each column of the key, once, and nothing else: a PUT is about one row, known beforehand.
pub(super) fn key_of_conditions(request: &mut Request, model: &Model) -> Result<(), Problem> {
    if request.shape.verb != Verb::Replace || request.shape.key.is_some() {
        return Ok(());
    }
    // That there is no such collection is `plan`'s to say.
    let Some(collection) = model.find(&request.shape.collection) else { return Ok(()) };
    let conditions = &request.shape.filter;
    let slots: Option<Vec<Slot>> = collection
        .key
        .iter()
        .map(|field| conditions.iter().find_map(|condition| equal_to(condition, &model.field(*field).name)))
        .collect();
    match slots {
        // As many conditions as columns, and one for each column: there is no other.
        Some(slots) if slots.len() == conditions.len() => {
            request.shape.key = Some(slots);
            request.shape.filter = Vec::new();
            Ok(())
        }
        _ => {
            let names: Vec<String> =
                collection.key.iter().map(|field| format!("{}=eq.…", model.field(*field).name)).collect();
            Err(Problem::new(
                "PGRST105",
                405,
                "Filters must include all and only primary key columns with 'eq' operators",
            )
            .with_hint(format!("PUT /rest/v1/{}?{}", collection.name, names.join("&"))))
        }
    }
}

/// The operand of `column=eq.operand`, if that is what the condition is.
fn equal_to(condition: &Condition, column: &str) -> Option<Slot> {
    match condition {
        Condition::Test(Test { column: tested, operator: Operator::Eq(None), operand })
            if tested.name == column && tested.steps.is_empty() =>
        {
            *operand
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rest::decode::{Head, decode};
    use http::Method;
    use undergird_model::{Source, definition};
    use undergird_plan::request::Operand;

    const PAIRS: &str = "key = [\"a\", \"b\"]\n[fields]\na = { type = \"text\" }\nb = { type = \"int\" }\nc = { type = \"json\", optional = true }\n";

    /// The key that a PUT with this query means.
    fn check(query: &str, expected: &str) {
        let source = Source { name: "models/pairs.toml".into(), text: PAIRS.into() };
        let model = definition::check(&[source], &[]).0.unwrap();
        let head = Head::new(&Method::PUT, "pairs", query);
        let mut request = decode(&head, Some(b"{}"), &model.settings.limits).unwrap().request;
        let found = match key_of_conditions(&mut request, &model) {
            Ok(()) => {
                assert!(request.shape.filter.is_empty());
                let value = |slot: &Slot| match &request.values[usize::from(slot.0)] {
                    Operand::Text(text) => text.clone(),
                    other => format!("{other:?}"),
                };
                request.shape.key.unwrap().iter().map(value).collect::<Vec<_>>().join(" ")
            }
            Err(problem) => format!("{} {}", problem.status, problem.code),
        };
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn conditions_are_the_key_or_refused() {
        check("a=eq.x&b=eq.7", "x 7");
        check("b=eq.7&a=eq.x,y&select=a", "x,y 7");
        for query in [
            "",
            "a=eq.x",
            "a=eq.x&a=eq.x",
            "a=eq.x&b=eq.7&b=eq.7",
            "a=eq.x&b=eq.7&c=is.null",
            "a=eq.x&b=gt.7",
            "a=eq.x&b=not.eq.7",
            "a=eq.x&b=in.(7)",
            "a=eq(any).{x}&b=eq.7",
            "a=eq.x&b->z=eq.7",
            "and=(a.eq.x,b.eq.7)",
        ] {
            check(query, "405 PGRST105");
        }
    }
}
