//! The columns of `select`: what they are called, which aggregates there are of which types, what casts name.

use crate::refusal::Refusal;
use crate::request::{Aggregate, ColumnPath, JsonTarget, SelectColumn, SelectItem};
use undergird_model::value::Kind;
use undergird_model::{Collection, Type};

/// Whether the items aggregate the rows that they are items of.
pub(super) fn has_aggregate(collection: &Collection, items: &[SelectItem]) -> bool {
    items.iter().any(|item| match item {
        SelectItem::CountRows { .. } => true,
        SelectItem::Column(column) => column.aggregate.is_some() || is_row_count(collection, column),
        SelectItem::All | SelectItem::Embed(_) => false,
    })
}

/// `comments(count)`: without parentheses, as Supabase's clients write it. A field of that name is meant first.
pub(super) fn is_row_count(collection: &Collection, column: &SelectColumn) -> bool {
    column.column.name == "count"
        && column.column.steps.is_empty()
        && column.aggregate.is_none()
        && collection.field("count").is_none()
}

/// The member's name of a path: its last named step.
pub(super) fn path_name(path: &ColumnPath) -> String {
    let last = path.steps.iter().rev().find_map(|step| match &step.to {
        JsonTarget::Member(name) => Some(name.clone()),
        JsonTarget::Index(_) => None,
    });
    last.unwrap_or_else(|| path.name.clone())
}

pub(super) fn aggregate_name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Count => "count",
        Aggregate::Sum => "sum",
        Aggregate::Average => "avg",
        Aggregate::Minimum => "min",
        Aggregate::Maximum => "max",
    }
}

/// The type of an aggregate, `None` where it makes no sense.
pub(super) fn aggregate_type(aggregate: Aggregate, of: Type) -> Option<Type> {
    match (aggregate, of) {
        (Aggregate::Count, _) => Some(Type::INT),
        (Aggregate::Sum, Type::Scalar(Kind::Int)) => Some(Type::INT),
        (Aggregate::Sum | Aggregate::Average, Type::Scalar(Kind::Float)) => Some(Type::FLOAT),
        (Aggregate::Sum, Type::Scalar(Kind::Decimal { scale, .. })) => {
            Some(Type::Scalar(Kind::Decimal { precision: 18, scale }))
        }
        (Aggregate::Average, Type::Scalar(Kind::Int | Kind::Decimal { .. })) => Some(Type::FLOAT),
        (
            Aggregate::Minimum | Aggregate::Maximum,
            Type::Scalar(
                Kind::Int
                | Kind::Float
                | Kind::Decimal { .. }
                | Kind::Text
                | Kind::Uuid
                | Kind::Timestamp
                | Kind::Date
                | Kind::Time,
            ),
        ) => Some(of),
        _ => None,
    }
}

/// The type that a cast names, by PostgreSQL's words and ours.
pub(super) fn cast_type(name: &str) -> Result<Type, Refusal> {
    let kind = match name.to_ascii_lowercase().as_str() {
        "text" | "varchar" | "character varying" => Kind::Text,
        "int" | "int2" | "int4" | "int8" | "integer" | "smallint" | "bigint" => Kind::Int,
        "float" | "float4" | "float8" | "real" | "double precision" | "double" | "numeric" | "decimal" => Kind::Float,
        "bool" | "boolean" => Kind::Bool,
        "uuid" => Kind::Uuid,
        "timestamp" | "timestamptz" | "timestamp with time zone" => Kind::Timestamp,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "json" | "jsonb" => Kind::Json,
        _ => {
            return Err(Refusal::Unsupported {
                what: format!("a cast to {name}"),
                hint: Some("cast to text, int, float, bool, uuid, timestamp, date, time or json".into()),
            });
        }
    };
    Ok(Type::Scalar(kind))
}
