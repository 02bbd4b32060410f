//! A model's schema: which tables, columns, constraints and indexes its collections want.

use super::condition::rescaled;
use super::{
    Applied, Check, CheckRule, Column, FORMAT, Index, IndexColumn, Literal, OnDelete, Reference, Table, checkable,
};
use std::collections::BTreeSet;
use undergird_model::field_type::{self, FieldType};
use undergird_model::schema::{Collection, Default, Direction, Field};
use undergird_model::{Decimal, Kind, Model, Type, Value};

/// The schema that a model wants, Undergird's own collections included.
pub fn wanted(model: &Model) -> Applied {
    of_collections(&model.collections)
}

/// The same, for the collections of a model in its order.
pub(super) fn of_collections(collections: &[Collection]) -> Applied {
    // What is adopted exists as it is: no step ever makes, changes or drops it.
    let own = collections.iter().filter(|collection| !collection.adopted);
    let mut tables: Vec<Table> = own.map(|collection| table(collections, collection)).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    // Tables and indexes share one namespace in SQLite and PostgreSQL; the indexes of `a_b`+`c` and `a`+`b_c` would meet.
    let mut taken: BTreeSet<String> = tables.iter().map(|table| table.name.clone()).collect();
    for index in tables.iter_mut().flat_map(|table| &mut table.indexes) {
        let mut name = index.name.clone();
        for n in 2.. {
            if taken.insert(name.clone()) {
                break;
            }
            name = format!("{}_{n}", index.name);
        }
        index.name = name;
    }
    Applied { format: FORMAT, tables }
}

fn table(collections: &[Collection], collection: &Collection) -> Table {
    let name = &collection.table;
    let column_of = |id: &undergird_model::FieldId| collection.fields[usize::from(id.index)].column.clone();
    let key: Vec<String> = collection.key.iter().map(column_of).collect();

    let mut references = Vec::new();
    let mut checks = Vec::new();
    let mut indexes: Vec<Index> = Vec::new();
    for field in &collection.fields {
        references.extend(reference(collections, name, field));
        checks.extend(field_checks(name, field));
        if field.unique && key != [field.column.clone()] {
            indexes.push(Index {
                name: format!("{name}_{}_key", field.column),
                columns: vec![IndexColumn::new(&field.column, Direction::Ascending)],
                unique: true,
            });
        }
    }
    for declared in &collection.indexes {
        let columns: Vec<IndexColumn> =
            declared.fields.iter().map(|(field, direction)| IndexColumn::new(&column_of(field), *direction)).collect();
        // A unique field may be named in `[[indexes]]` again; one index is enough.
        if !indexes.iter().any(|index| index.columns == columns && (index.unique || !declared.unique)) {
            indexes.push(Index { name: declared.name.clone(), columns, unique: declared.unique });
        }
    }
    // The way back of a relation, and the database's own work when the other row goes, look rows up by the referring column.
    for reference in &references {
        let first = |index: &Index| index.columns.first().is_some_and(|column| column.name == reference.column);
        if key.first() != Some(&reference.column) && !indexes.iter().any(first) {
            indexes.push(Index {
                name: format!("{name}_{}_idx", reference.column),
                columns: vec![IndexColumn::new(&reference.column, Direction::Ascending)],
                unique: false,
            });
        }
    }
    for declared in &collection.checks {
        if let Some(condition) = checkable(collection, &declared.rule.expr) {
            checks.push(Check { name: declared.name.clone(), column: None, rule: CheckRule::Condition(condition) });
        }
    }

    references.sort_by(|a, b| a.name.cmp(&b.name));
    checks.sort_by(|a, b| a.name.cmp(&b.name));
    indexes.sort_by(|a, b| a.name.cmp(&b.name));
    Table {
        name: name.clone(),
        collection: collection.name.clone(),
        columns: collection.fields.iter().map(column).collect(),
        identity: collection.identity().is_some(),
        key,
        references,
        checks,
        indexes,
    }
}

fn column(field: &Field) -> Column {
    let default = match &field.default {
        Some(Default::Literal(value)) => literal(value, field.ty),
        Some(Default::Computed(_) | Default::UuidV7 | Default::Identity | Default::Database { .. }) | None => None,
    };
    Column {
        name: field.column.clone(),
        field: field.name.clone(),
        ty: field.ty,
        null: field.optional,
        default,
        renamed_from: field.renamed_from.clone(),
    }
}

/// A constant as a column of a type holds it.
fn literal(value: &Value, ty: Type) -> Option<Literal> {
    match (ty, value) {
        (Type::Scalar(Kind::Decimal { scale, .. }), Value::Decimal(number)) => rescaled(*number, scale),
        (Type::Scalar(Kind::Decimal { scale, .. }), Value::Int(number)) => {
            rescaled(Decimal { unscaled: *number, scale: 0 }, scale)
        }
        #[allow(clippy::cast_precision_loss, reason = "a float field holds the nearest double of an integer")]
        (Type::Scalar(Kind::Float), Value::Int(number)) => Literal::of(&Value::float(*number as f64)),
        _ => Literal::of(value),
    }
}

fn reference(collections: &[Collection], table: &str, field: &Field) -> Option<Reference> {
    let FieldType::Ref { to, on_delete, .. } = &field.declared else { return None };
    let target = &collections[usize::from(to.0)];
    let [key] = target.key.as_slice() else { return None };
    Some(Reference {
        name: format!("{table}_{}_fkey", field.column),
        column: field.column.clone(),
        table: target.table.clone(),
        target: target.fields[usize::from(key.index)].column.clone(),
        on_delete: match on_delete {
            field_type::OnDelete::Restrict => OnDelete::Restrict,
            field_type::OnDelete::Cascade => OnDelete::Cascade,
            field_type::OnDelete::SetNull => OnDelete::SetNull,
        },
    })
}

fn field_checks(table: &str, field: &Field) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |kind: &str, rule: CheckRule| {
        let name = format!("{table}_{}_{kind}", field.column);
        checks.push(Check { name, column: Some(field.column.clone()), rule });
    };
    if let FieldType::Enum { values } = &field.declared {
        add("values", CheckRule::OneOf(values.clone()));
    }
    let sized = matches!(field.ty, Type::List(_) | Type::Scalar(Kind::Text | Kind::Bytes));
    let length = |bound: &Value| match bound {
        Value::Int(length) => u64::try_from(*length).ok(),
        _ => None,
    };
    if let Some(bound) = &field.min {
        if !sized {
            literal(bound, field.ty).into_iter().for_each(|bound| add("min", CheckRule::AtLeast(bound)));
        } else if let Some(length @ 1..) = length(bound) {
            add("min", CheckRule::LengthAtLeast(length));
        }
    }
    if let Some(bound) = &field.max {
        if !sized {
            literal(bound, field.ty).into_iter().for_each(|bound| add("max", CheckRule::AtMost(bound)));
        } else if let Some(length) = length(bound) {
            add("max", CheckRule::LengthAtMost(length));
        }
    } else if let Some(length) = field.declared.characters_max() {
        // Said in the schema too: some stores hold only texts of a known length in an index.
        add("max", CheckRule::LengthAtMost(length));
    }
    checks
}
