//! Reads: one statement per node of the tree, and the count.

use super::call;
use super::dialect::{Dialect, Operand, Planner};
use super::expr::Writer;
use super::{Bind, ReadStatements, Statement};
use undergird_model::expr::{Function, Node};
use undergird_model::{Kind, Model, Type};
use undergird_plan::request::{Aggregate, Count};
use undergird_plan::shape::Read;
use undergird_plan::shape::{Column, Order, OrderBy, ReadNode};

/// All statements of a read.
pub(super) fn write_read(model: &Model, read: &Read, dialect: &dyn Dialect) -> ReadStatements {
    let nodes = read.nodes.iter().map(|node| write_node(model, node, dialect)).collect();
    let count = match (&read.count, read.nodes.first()) {
        (Some(_), Some(root)) => Some(write_count(model, root, dialect)),
        _ => None,
    };
    let estimate = match (read.count, read.nodes.first(), dialect.planner()) {
        (Some(Count::Planned | Count::Estimated), Some(root), Some(planner)) => {
            Some((planner, write_estimate(model, root, dialect, planner)))
        }
        _ => None,
    };
    let call = read.nodes.first().and_then(|root| call::write_call(model, root, dialect));
    // What is kept is kept under the number of others' commits, so that it must not be older than that.
    let is_kept =
        |node: &ReadNode| model.collections.get(usize::from(node.collection.0)).is_some_and(|one| one.cache.is_some());
    let shared = model.collections.iter().any(|collection| collection.adopted) || read.nodes.iter().any(is_kept);
    ReadStatements { call, nodes, count, estimate, shared }
}

/// `FROM … JOIN … WHERE …`, with the node's rows entered.
fn write_source(writer: &mut Writer<'_>, node: &ReadNode, link: bool) -> String {
    let alias = writer.enter(node.row, false);
    let rows = match &node.source {
        Some(source) => call::source(writer, source, &alias),
        None => writer.table(node.collection, &alias),
    };
    let mut text = format!(" FROM {rows}");
    for join in &node.joins {
        let (alias, mut on) = writer.follow(join.from, join.relation, join.row);
        writer.and_condition(&mut on, &join.filter);
        let kind = if join.inner { "JOIN" } else { "LEFT JOIN" };
        let table = writer.table(writer.model.relation(join.relation).target, &alias);
        text.push_str(&format!(" {kind} {table} ON {on}"));
        writer.mark_absent(!join.inner);
    }
    let mut condition = String::new();
    if link && let Some(parent) = &node.parent {
        condition = write_link(writer, node, parent.columns.len());
    }
    writer.and_condition(&mut condition, &node.filter);
    if !condition.is_empty() {
        text.push_str(" WHERE ");
        text.push_str(&condition);
    }
    text
}

/// That the node's link columns are one of the parent's keys.
fn write_link(writer: &mut Writer<'_>, node: &ReadNode, columns: usize) -> String {
    let texts: Vec<String> = node.columns.iter().take(columns).map(|column| write_column(writer, column)).collect();
    let types: Vec<Type> = node.columns.iter().take(columns).map(Column::ty).collect();
    is_one_of_keys(writer, &texts, &types)
}

/// That columns are, together, one of the bound keys.
pub(super) fn is_one_of_keys(writer: &mut Writer<'_>, columns: &[String], types: &[Type]) -> String {
    if types.len() > 1 && writer.dialect.keys_come_as_rows() {
        let rows = writer.bind(Type::Null, Bind::KeyRows);
        return writer.dialect.in_rows(columns, &[rows], types);
    }
    let parameters: Vec<String> =
        types.iter().enumerate().map(|(position, ty)| bind_keys(writer, *ty, position)).collect();
    match (columns, parameters.as_slice(), types) {
        ([column], [parameter], [ty]) => writer.dialect.in_parameter(column, parameter, *ty),
        _ => writer.dialect.in_rows(columns, &parameters, types),
    }
}

/// The parameter that holds a column of the keys as a list.
fn bind_keys(writer: &mut Writer<'_>, ty: Type, position: usize) -> String {
    let ty = match ty {
        Type::Scalar(kind) => Type::List(kind),
        other => other,
    };
    writer.bind(ty, Bind::Keys(position))
}

fn write_node(model: &Model, node: &ReadNode, dialect: &dyn Dialect) -> Statement {
    let mut writer = Writer::new(model, dialect);
    writer.ordered = node.limit.is_some() && node.source.is_none() && is_in_order_of_an_index(model, node);
    let source = write_source(&mut writer, node, true);
    let columns: Vec<String> = node.columns.iter().map(|column| write_column(&mut writer, column)).collect();
    let group = write_group(node);
    let types = node.columns.iter().map(Column::ty).collect();
    let order: Vec<String> =
        node.order.iter().map(|term| write_order(&mut writer, term, &node.columns, &columns)).collect();
    let paged_per_parent = node.parent.is_some() && (node.limit.is_some() || node.offset.is_some());
    let text = if paged_per_parent {
        write_paged(&mut writer, node, &columns, &source, &group, &order)
    } else {
        let mut text = format!("SELECT {}{source}{group}", select_list(&columns));
        if !order.is_empty() {
            text.push_str(" ORDER BY ");
            text.push_str(&order.join(", "));
        }
        match (&node.limit, &node.offset) {
            (Some(limit), _) => text.push_str(&format!(" LIMIT {}", writer.value(limit))),
            (None, Some(_)) => {
                if let Some(all) = dialect.no_limit() {
                    text.push_str(&format!(" LIMIT {all}"));
                }
            }
            (None, None) => {}
        }
        if let Some(offset) = &node.offset {
            text.push_str(&format!(" OFFSET {}", writer.value(offset)));
        }
        text
    };
    writer.finish(text, types, call::writes(model, node))
}

/// Whether the key or an index begins with what the rows are ordered by first.
fn is_in_order_of_an_index(model: &Model, node: &ReadNode) -> bool {
    let Some(Order { by: OrderBy::Expr(first), .. }) = node.order.first() else { return false };
    let Node::Field(row, field) = first.node else { return false };
    let collection = model.collection(node.collection);
    let mut indexes = collection.indexes.iter().filter_map(|index| index.fields.first());
    row == node.row
        && (collection.key.first() == Some(&field)
            || model.field(field).unique
            || indexes.any(|(column, _)| *column == field))
}

/// A page of each parent's rows: they are numbered within their parent, and the page is cut by number.
fn write_paged(
    writer: &mut Writer<'_>,
    node: &ReadNode,
    columns: &[String],
    source: &str,
    group: &str,
    order: &[String],
) -> String {
    let links = node.parent.as_ref().map_or(0, |parent| parent.columns.len());
    let numbered = writer.alias();
    let named: Vec<String> = columns.iter().enumerate().map(|(i, text)| format!("{text} AS c{i}")).collect();
    let names: Vec<String> = (0..columns.len()).map(|i| format!("{numbered}.c{i}")).collect();
    let mut window = format!("PARTITION BY {}", columns[..links.min(columns.len())].join(", "));
    if !order.is_empty() {
        window.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    let mut conditions = Vec::new();
    let offset = node.offset.as_ref().map(|offset| writer.value(offset));
    if let Some(offset) = &offset {
        conditions.push(format!("{numbered}.n > {offset}"));
    }
    if let Some(limit) = &node.limit {
        let limit = writer.value(limit);
        conditions.push(match &offset {
            Some(offset) => format!("{numbered}.n - {offset} <= {limit}"),
            None => format!("{numbered}.n <= {limit}"),
        });
    }
    format!(
        "SELECT {} FROM (SELECT {}, row_number() OVER ({window}) AS n{source}{group}) AS {numbered} WHERE {} ORDER BY {numbered}.n",
        names.join(", "),
        named.join(", "),
        conditions.join(" AND ")
    )
}

fn write_count(model: &Model, root: &ReadNode, dialect: &dyn Dialect) -> Statement {
    let mut writer = Writer::new(model, dialect);
    let source = write_source(&mut writer, root, true);
    let text = match &root.group_by {
        None => format!("SELECT count(*){source}"),
        Some(_) => {
            let columns: Vec<String> = root.columns.iter().map(|column| write_column(&mut writer, column)).collect();
            let rows = writer.alias();
            // Named, since two columns of a selected selection must not be called the same.
            let columns: Vec<String> = columns.iter().enumerate().map(|(i, text)| format!("{text} AS c{i}")).collect();
            format!("SELECT count(*) FROM (SELECT {}{source}{}) AS {rows}", select_list(&columns), write_group(root))
        }
    };
    writer.finish(text, vec![Type::INT], false)
}

/// What the planner is asked: about the rows that would be counted.
fn write_estimate(model: &Model, root: &ReadNode, dialect: &dyn Dialect, planner: Planner) -> Statement {
    let mut writer = Writer::new(model, dialect);
    let source = write_source(&mut writer, root, true);
    let (columns, group) = match &root.group_by {
        None => (Vec::new(), String::new()),
        Some(_) => {
            let columns: Vec<String> = root.columns.iter().map(|column| write_column(&mut writer, column)).collect();
            (columns, write_group(root))
        }
    };
    let text = format!("{}SELECT {}{source}{group}", planner.ask, select_list(&columns));
    writer.finish(text, vec![Type::TEXT], false)
}

fn select_list(columns: &[String]) -> String {
    // A node may select nothing (`select=relation()` alone); SQL must select something.
    if columns.is_empty() { "1".into() } else { columns.join(", ") }
}

fn write_group(node: &ReadNode) -> String {
    match &node.group_by {
        Some(positions) if !positions.is_empty() => {
            let positions: Vec<String> = positions.iter().map(|position| (position + 1).to_string()).collect();
            format!(" GROUP BY {}", positions.join(", "))
        }
        _ => String::new(),
    }
}

fn write_column(writer: &mut Writer<'_>, column: &Column) -> String {
    let (aggregate, of, wanted) = match column {
        Column::Plain(expr) => return writer.value(expr),
        Column::Aggregate(aggregate, of, wanted) => (aggregate, of, *wanted),
    };
    let given = match (aggregate, of) {
        (Aggregate::Count, None) => Operand { ty: Type::INT, text: "count(*)".into() },
        (_, None) => return "NULL".into(),
        (aggregate, Some(of)) => {
            let operand = Operand { ty: of.ty, text: writer.value(of) };
            let (ty, text) = match aggregate {
                Aggregate::Count => (Type::INT, format!("count({})", operand.text)),
                Aggregate::Sum => (operand.ty, writer.dialect.sum(&operand)),
                Aggregate::Average => (Type::FLOAT, writer.dialect.average(&operand)),
                Aggregate::Minimum => (operand.ty, writer.dialect.extreme(&operand, false)),
                Aggregate::Maximum => (operand.ty, writer.dialect.extreme(&operand, true)),
            };
            Operand { ty, text }
        }
    };
    let stored_alike = match (given.ty, wanted) {
        (Type::Scalar(Kind::Decimal { scale: a, .. }), Type::Scalar(Kind::Decimal { scale: b, .. })) => a == b,
        (given, wanted) => given == wanted,
    };
    if stored_alike { given.text } else { writer.dialect.function(Function::Cast, &[given], wanted) }
}

fn write_order(writer: &mut Writer<'_>, term: &Order, columns: &[Column], texts: &[String]) -> String {
    let by = match &term.by {
        OrderBy::Expr(expr) => Operand { ty: expr.ty, text: writer.value(expr) },
        OrderBy::Column(position) => Operand {
            ty: columns.get(*position).map_or(Type::Null, Column::ty),
            text: texts.get(*position).cloned().unwrap_or_else(|| "NULL".into()),
        },
    };
    let mut keys = writer.dialect.order_keys(&by);
    for key in &mut keys {
        if key.parse::<i64>().is_ok() {
            // A bare number would name a column by its position.
            key.insert(0, '+');
        }
    }
    // Said only where it is not what the store does by itself: saying it may cost the index.
    let by_itself = writer.dialect.nulls_are_smallest() != term.descending;
    let said = term.nullable && term.nulls_first != by_itself;
    let mut terms = Vec::with_capacity(keys.len() + 1);
    for (position, key) in keys.iter().enumerate() {
        let direction = if term.descending { " DESC" } else { "" };
        let nulls = match (said && position == 0, writer.dialect.says_where_nulls_go()) {
            (false, _) => "",
            (true, true) if term.nulls_first => " NULLS FIRST",
            (true, true) => " NULLS LAST",
            (true, false) => {
                terms.push(format!("({key}) IS {}NULL", if term.nulls_first { "NOT " } else { "" }));
                ""
            }
        };
        terms.push(format!("{key}{direction}{nulls}"));
    }
    terms.join(", ")
}
