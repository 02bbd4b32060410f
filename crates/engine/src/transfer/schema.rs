//! The schema that a target has while rows are copied into it: that of the source without references, and one table more, which says
//! what it is.
//!
//! Absent: SQL.

use undergird_model::Type;
use undergird_store::schema::{Applied, Check, CheckRule, Column, Index, IndexColumn, Reference, Step, Table};

/// The table that says that a database is the target of a move.
const MARK: &str = "_undergird_move";
/// References are followed to the length of a key; more in a row than this are a circle.
const REFERENCES_MAX: usize = 16;

/// Whether a schema is that of a target into which rows are copied.
pub(super) fn is_under_way(schema: &Applied) -> bool {
    schema.table(MARK).is_some()
}

/// The schema of a target into which rows are copied.
pub(super) fn under_way(full: &Applied) -> Applied {
    let mut bare = full.clone();
    for table in &mut bare.tables {
        for reference in std::mem::take(&mut table.references) {
            keep_form(full, table, &reference);
        }
        table.checks.sort_by(|a, b| a.name.cmp(&b.name));
        table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
    }
    marked(bare)
}

/// A schema with the table that says what the database is.
pub(super) fn marked(mut schema: Applied) -> Applied {
    let column =
        Column { name: "id".into(), field: "id".into(), ty: Type::INT, null: false, default: None, renamed_from: None };
    schema.tables.push(Table {
        name: MARK.into(),
        collection: MARK.into(),
        columns: vec![column],
        key: vec!["id".into()],
        identity: false,
        references: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
    });
    schema.tables.sort_by(|a, b| a.name.cmp(&b.name));
    schema
}

/// Whether steps only make what is not there yet, or take back what completes a target: all that lies between the schemas of one move,
/// wherever it was interrupted.
pub(super) fn is_on_the_way(steps: &[Step]) -> bool {
    steps.iter().all(|step| {
        matches!(
            step,
            Step::CreateTable(_)
                | Step::AddReference { .. }
                | Step::DropReference { .. }
                | Step::AddCheck { .. }
                | Step::DropCheck { .. }
                | Step::CreateIndex { .. }
                | Step::DropIndex { .. }
        )
    })
}

/// Some stores give a column another type when it is part of an index or refers to a key of limited length. Without its reference the
/// column must have the same.
fn keep_form(full: &Applied, table: &mut Table, reference: &Reference) {
    let name = format!("{}_{}_moving", table.name, reference.column);
    let is_keyed = table.key.contains(&reference.column)
        || table.indexes.iter().flat_map(|index| &index.columns).any(|column| column.name == reference.column);
    if !is_keyed {
        let columns = vec![IndexColumn { name: reference.column.clone(), descending: false }];
        table.indexes.push(Index { name: name.clone(), columns, unique: false });
    }
    let limited = |check: &Check| {
        check.column.as_deref() == Some(reference.column.as_str())
            && matches!(check.rule, CheckRule::LengthAtMost(_) | CheckRule::OneOf(_))
    };
    if !table.checks.iter().any(limited)
        && let Some(most) = length(full, &reference.table, &reference.target, REFERENCES_MAX)
    {
        let column = Some(reference.column.clone());
        table.checks.push(Check { name: format!("{name}_length"), column, rule: CheckRule::LengthAtMost(most) });
    }
}

/// How long the values of a column can be.
fn length(full: &Applied, table: &str, column: &str, depth: usize) -> Option<u64> {
    let table = full.table(table).filter(|_| depth > 0)?;
    let own = table.checks.iter().filter(|check| check.column.as_deref() == Some(column));
    let own = own.filter_map(|check| match &check.rule {
        CheckRule::LengthAtMost(most) => Some(*most),
        CheckRule::OneOf(values) => values.iter().map(|value| value.chars().count() as u64).max(),
        _ => None,
    });
    let further = table.references.iter().find(|reference| reference.column == column);
    own.min().or_else(|| further.and_then(|further| length(full, &further.table, &further.target, depth - 1)))
}

/// The tables, those that are referred to before those that refer to them. Of a circle the first by name comes first.
pub(super) fn in_order(full: &Applied) -> Vec<&Table> {
    let mut left: Vec<&Table> = full.tables.iter().collect();
    let mut ordered: Vec<&Table> = Vec::new();
    while !left.is_empty() {
        let waits = |table: &&Table| {
            table.references.iter().any(|reference| {
                reference.table != table.name && left.iter().any(|other| other.name == reference.table)
            })
        };
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use undergird_model::{Source, definition};
    use undergird_store::schema::wanted;

    fn schema(models: &[(&str, &str)]) -> Applied {
        let model =
            |(name, text): &(&str, &str)| Source { name: format!("models/{name}.toml").into(), text: (*text).into() };
        let sources: Vec<Source> = models.iter().map(model).collect();
        let (model, diagnostics) = definition::check(&sources, &[]);
        wanted(&model.unwrap_or_else(|| panic!("{diagnostics:?}")))
    }

    #[test]
    fn tables_come_after_what_they_refer_to_and_circles_end() {
        let schema = schema(&[
            ("a", "[fields]\nb_id = { type = \"ref\", to = \"b\" }\n"),
            (
                "b",
                "[fields]\nname = { type = \"text\" }\nb_id = { type = \"ref\", to = \"b\", optional = true, as = \"above\", inverse = \"below\" }\n",
            ),
            (
                "c",
                "[fields]\nd_id = { type = \"ref\", to = \"d\", optional = true, inverse = \"back\" }\na_id = { type = \"ref\", to = \"a\" }\n",
            ),
            ("d", "[fields]\nc_id = { type = \"ref\", to = \"c\", optional = true, inverse = \"back\" }\n"),
        ]);
        let names: Vec<&str> = in_order(&schema).iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c", "d"]);
    }

    #[test]
    fn a_target_under_way_has_no_references_and_columns_of_the_same_form() {
        let full = schema(&[
            ("codes", "key = [\"code\"]\n[fields]\ncode = { type = \"text\", max = 12 }\n"),
            ("uses", "[fields]\ncode_id = { type = \"ref\", to = \"codes\", unique = true }\n"),
        ]);
        let bare = under_way(&full);
        assert!(is_under_way(&bare) && !is_under_way(&full));
        assert_eq!(under_way(&full).fingerprint(), bare.fingerprint());
        let uses = bare.table("uses").unwrap();
        assert!(uses.references.is_empty());
        assert!(uses.indexes.iter().any(|index| index.columns[0].name == "code_id"));
        let limited = |check: &Check| check.rule == CheckRule::LengthAtMost(12);
        assert!(uses.checks.iter().any(limited), "{:?}", uses.checks);
    }
}
