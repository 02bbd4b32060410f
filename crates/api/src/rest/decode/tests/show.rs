//! A decoded request on one line, operands in place of slots.

use super::super::Decoded;
use undergird_model::Value;
use undergird_model::expr::Slot;
use undergird_plan::request::*;

pub fn show(decoded: &Decoded) -> String {
    let request = &decoded.request;
    let shape = &request.shape;
    let mut out = format!("{:?} {}", shape.verb, shape.collection);
    out = out[..1].to_lowercase() + &out[1..];
    if let Some(call) = &shape.call {
        let given = list(&call.arguments, |(name, slot)| format!("{name}: {}", operand(request, *slot)));
        out += &format!("{}({given})", call.function);
    }
    if let Some(key) = &shape.key {
        let parts: Vec<String> = key.iter().map(|slot| operand(request, *slot)).collect();
        out += &format!(" key [{}]", parts.join(", "));
    }
    if let Some(items) = &shape.select {
        out += &format!(" select {}", list(items, select_item));
    }
    out += &place(request, &shape.filter, &shape.order, shape.limit, shape.offset);
    if let Some(after) = shape.after {
        out += &format!(" after {}", operand(request, after));
    }
    for embed in &shape.embeds {
        let inner = place(request, &embed.filter, &embed.order, embed.limit, embed.offset);
        out += &format!(" embed {}{{{}}}", embed.path.join("."), inner.trim_start());
    }
    if let Some(names) = &shape.on_conflict {
        out += &format!(" on_conflict [{}]", names.join(" "));
    }
    if let Some(names) = &shape.columns {
        out += &format!(" columns [{}]", names.join(" "));
    }
    if shape.returning != Returning::Minimal {
        out += &format!(" returning {:?}", shape.returning);
    }
    if let Some(count) = shape.count {
        out += &format!(" count {count:?}");
    }
    if let Some(resolution) = shape.resolution {
        out += &format!(" {resolution:?}");
    }
    if shape.missing_default {
        out += " missing=default";
    }
    if let Some(body) = &request.body {
        out += &format!(" body {}", show_body(body));
    }
    out
}

pub fn show_body(body: &Body) -> String {
    let row = |row: &Vec<(String, Input)>| {
        let members = list(row, |(name, input)| match input {
            Input::Json(json) => format!("{name}:{json}"),
            Input::Text(text) => format!("{name}:'{text}'"),
            Input::Value(value) => format!("{name}:{value:?}"),
        });
        format!("{{{members}}}")
    };
    let rows = list(&body.rows, row);
    if body.single { rows } else { format!("[{rows}]") }
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn place(
    request: &Request,
    filter: &[Condition],
    order: &[OrderItem],
    limit: Option<Slot>,
    offset: Option<Slot>,
) -> String {
    let mut out = String::new();
    if !filter.is_empty() {
        out += &format!(" where {}", list(filter, |condition| show_condition(request, condition)));
    }
    if !order.is_empty() {
        out += &format!(" order {}", list(order, show_order));
    }
    if let Some(slot) = limit {
        out += &format!(" limit {}", operand(request, slot));
    }
    if let Some(slot) = offset {
        out += &format!(" offset {}", operand(request, slot));
    }
    out
}

fn operand(request: &Request, slot: Slot) -> String {
    match &request.values[usize::from(slot.0)] {
        Operand::Text(text) => format!("'{text}'"),
        Operand::List(items) => format!("[{}]", list(items, |item| format!("'{item}'"))),
        Operand::Value(Value::Int(number)) => number.to_string(),
        Operand::Json(json) => json.to_string(),
        other => format!("{other:?}"),
    }
}

fn show_condition(request: &Request, condition: &Condition) -> String {
    match condition {
        Condition::And(terms) => format!("and({})", list(terms, |term| show_condition(request, term))),
        Condition::Or(terms) => format!("or({})", list(terms, |term| show_condition(request, term))),
        Condition::Not(term) => format!("not {}", show_condition(request, term)),
        Condition::Test(test) => {
            let quantified = |name: &str, quantifier: &Option<Quantifier>| match quantifier {
                None => name.to_owned(),
                Some(Quantifier::Any) => format!("{name}(any)"),
                Some(Quantifier::All) => format!("{name}(all)"),
            };
            let operator = match &test.operator {
                Operator::Eq(q) => quantified("eq", q),
                Operator::Neq(q) => quantified("neq", q),
                Operator::Gt(q) => quantified("gt", q),
                Operator::Gte(q) => quantified("gte", q),
                Operator::Lt(q) => quantified("lt", q),
                Operator::Lte(q) => quantified("lte", q),
                Operator::Like(q) => quantified("like", q),
                Operator::ILike(q) => quantified("ilike", q),
                Operator::Match(q) => quantified("match", q),
                Operator::IMatch(q) => quantified("imatch", q),
                Operator::In => "in".into(),
                Operator::Is(IsOperand::Null) => "is null".into(),
                Operator::Is(IsOperand::NotNull) => "is not_null".into(),
                Operator::Is(other) => format!("is {}", format!("{other:?}").to_lowercase()),
                Operator::IsDistinct => "isdistinct".into(),
                Operator::Contains => "cs".into(),
                Operator::Contained => "cd".into(),
                Operator::Overlaps => "ov".into(),
                Operator::FullText { name, config: None } => name.clone(),
                Operator::FullText { name, config: Some(config) } => format!("{name}({config})"),
                Operator::Range(name) => name.clone(),
            };
            let value = test.operand.map(|slot| format!(" {}", operand(request, slot))).unwrap_or_default();
            format!("{} {operator}{value}", column(&test.column))
        }
    }
}

fn show_order(item: &OrderItem) -> String {
    let mut out = match &item.relation {
        Some(relation) => format!("{relation}({})", column(&item.column)),
        None => column(&item.column),
    };
    if item.descending {
        out += " desc";
    }
    match item.nulls_first {
        Some(true) => out += " nullsfirst",
        Some(false) => out += " nullslast",
        None => {}
    }
    out
}

fn column(path: &ColumnPath) -> String {
    let mut out = path.name.clone();
    for step in &path.steps {
        out += if step.as_text { "->>" } else { "->" };
        match &step.to {
            JsonTarget::Member(name) => out += name,
            JsonTarget::Index(index) => out += &format!("[{index}]"),
        }
    }
    out
}

fn select_item(item: &SelectItem) -> String {
    let alias = |alias: &Option<String>| alias.as_ref().map(|alias| format!("{alias}:")).unwrap_or_default();
    let cast = |cast: &Option<String>| cast.as_ref().map(|cast| format!("::{cast}")).unwrap_or_default();
    match item {
        SelectItem::All => "*".into(),
        SelectItem::CountRows { alias: name, cast: ty } => format!("{}count(){}", alias(name), cast(ty)),
        SelectItem::Column(item) => format!(
            "{}{}{}{}{}",
            alias(&item.alias),
            column(&item.column),
            cast(&item.cast),
            item.aggregate.map(|aggregate| format!(".{aggregate:?}")).unwrap_or_default(),
            cast(&item.aggregate_cast)
        ),
        SelectItem::Embed(embed) => format!(
            "{}{}{}{}{}({})",
            if embed.spread { "..." } else { "" },
            alias(&embed.alias),
            embed.relation,
            embed.hint.as_ref().map(|hint| format!("!{hint}")).unwrap_or_default(),
            if embed.inner { "!inner" } else { "" },
            list(&embed.items, select_item)
        ),
    }
}
