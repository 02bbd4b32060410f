//! Requests of the suite as text, much like on the wire but without its escapes: `VERB collection?parameters body`.
//!
//! Not the wire's decoder, which lives above the stores: just enough of its grammar to write cases in one line. Besides the wire's
//! parameters there are `prefer=representation,merge,ignore,count,missing`, `key=` (the key in the path) and `after=[…]` (a cursor; a value
//! that is no text and no int stands with its type: `{"date": "2024-02-29"}`). `note=` is for whoever reads a report.

use undergird_model::Value;
use undergird_model::field_type::FieldType;
use undergird_plan::Request;
use undergird_plan::request::*;

/// Reads a request.
///
/// # Errors
/// Why it is none.
pub fn parse(text: &str) -> Result<Request, String> {
    let (verb, rest) = text.split_once(' ').ok_or("no verb")?;
    let verb = match verb {
        "GET" => Verb::Read,
        "POST" => Verb::Create,
        "PATCH" => Verb::Update,
        "PUT" => Verb::Replace,
        "DELETE" => Verb::Delete,
        other => return Err(format!("no verb {other}")),
    };
    // The body begins at the first brace or bracket after a space; parameters have no spaces before those.
    let body_at = rest.find(" {").into_iter().chain(rest.find(" [")).min();
    let (target, body) = match body_at {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let (collection, parameters) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request::new(collection, verb);
    if let Some(body) = body {
        request.body = Some(read_body(body)?);
    }
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(|| format!("no value in {parameter}"))?;
        apply(&mut request, name, value)?;
    }
    Ok(request)
}

fn read_body(text: &str) -> Result<Body, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let row = |json: serde_json::Value| match json {
        serde_json::Value::Object(members) => {
            Ok(members.into_iter().map(|(name, value)| (name, Input::Json(value))).collect())
        }
        _ => Err("a row is an object".to_owned()),
    };
    Ok(match json {
        serde_json::Value::Array(rows) => {
            Body { rows: rows.into_iter().map(row).collect::<Result<_, _>>()?, single: false }
        }
        one => Body { rows: vec![row(one)?], single: true },
    })
}

fn apply(request: &mut Request, name: &str, value: &str) -> Result<(), String> {
    match name {
        "note" => {}
        "select" => request.shape.select = Some(read_select(value)?),
        "order" => request.shape.order = read_order(value)?,
        "limit" => request.shape.limit = Some(read_rows(request, value)?),
        "offset" => request.shape.offset = Some(read_rows(request, value)?),
        "on_conflict" => request.shape.on_conflict = Some(value.split(',').map(str::to_owned).collect()),
        "columns" => request.shape.columns = Some(value.split(',').map(str::to_owned).collect()),
        "key" => {
            let slots = value.split(',').map(|part| request.slot(Operand::Text(part.into()))).collect();
            request.shape.key = Some(slots);
        }
        "after" => {
            let values: Vec<serde_json::Value> = serde_json::from_str(value).map_err(|error| error.to_string())?;
            let values = values.iter().map(cursor_value).collect::<Result<_, _>>()?;
            request.shape.after = Some(request.slot(Operand::Cursor(values)));
        }
        "prefer" => {
            for preference in value.split(',') {
                match preference {
                    "representation" => request.shape.returning = Returning::Representation,
                    "merge" => request.shape.resolution = Some(Resolution::MergeDuplicates),
                    "ignore" => request.shape.resolution = Some(Resolution::IgnoreDuplicates),
                    "count" => request.shape.count = Some(Count::Exact),
                    "missing" => request.shape.missing_default = true,
                    other => return Err(format!("no preference {other}")),
                }
            }
        }
        _ => match name.rsplit_once('.').filter(|(path, _)| *path != "not") {
            // `comments.limit=1`, `comments.body=eq.x`.
            Some((path, last)) => {
                let mut modifier = EmbedModifier {
                    path: path.split('.').map(str::to_owned).collect(),
                    filter: Vec::new(),
                    order: Vec::new(),
                    limit: None,
                    offset: None,
                };
                match last {
                    "order" => modifier.order = read_order(value)?,
                    "limit" => modifier.limit = Some(read_rows(request, value)?),
                    "offset" => modifier.offset = Some(read_rows(request, value)?),
                    column => modifier.filter.push(read_condition(request, column, value)?),
                }
                request.shape.embeds.push(modifier);
            }
            None => {
                let condition = read_condition(request, name, value)?;
                request.shape.filter.push(condition);
            }
        },
    }
    Ok(())
}

/// A value of a cursor: text, an int or null as they stand, any other type by its name, `{"decimal(9,2)": 1.50}`.
fn cursor_value(json: &serde_json::Value) -> Result<Value, String> {
    use serde_json::Value as Json;
    match json {
        Json::Null => Ok(Value::Null),
        Json::String(_) => FieldType::Text { pattern: None }.accept_json(json),
        Json::Number(_) => FieldType::Int.accept_json(json),
        Json::Object(members) => {
            let (name, value) = members.iter().next().ok_or("a typed value has a type")?;
            let decimal = name.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
            let ty = match name.as_str() {
                "bool" => FieldType::Bool,
                "int" => FieldType::Int,
                "float" => FieldType::Float,
                "text" => FieldType::Text { pattern: None },
                "uuid" => FieldType::Uuid,
                "timestamp" => FieldType::Timestamp,
                "date" => FieldType::Date,
                "time" => FieldType::Time,
                "bytes" => FieldType::Bytes,
                _ => match decimal.and_then(|digits| digits.split_once(',')) {
                    Some((precision, scale)) => FieldType::Decimal {
                        precision: precision.parse().map_err(|_| "no precision")?,
                        scale: scale.parse().map_err(|_| "no scale")?,
                    },
                    None => return Err(format!("no type {name}")),
                },
            };
            ty.accept_json(value)
        }
        other => Err(format!("no value of a cursor: {other}")),
    }
}

fn read_rows(request: &mut Request, value: &str) -> Result<undergird_model::expr::Slot, String> {
    let number = value.parse().map_err(|_| format!("no number: {value}"))?;
    Ok(request.slot(Operand::Value(Value::Int(number))))
}

/// Parts between commas that are not within parentheses, braces or quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => escaped = true,
            _ if quoted => {}
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(&text[from..]);
    }
    parts
}

/// A part without its quotes, when it has any.
fn unquoted(part: &str) -> String {
    let Some(inner) = part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return part.to_owned() };
    let mut text = String::new();
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        text.push(if c == '\\' { rest.next().unwrap_or(c) } else { c });
    }
    text
}

fn read_path(text: &str) -> ColumnPath {
    let mut steps = Vec::new();
    let mut pieces = text.split("->");
    let name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (as_text, to) = match piece.strip_prefix('>') {
            Some(to) => (true, to),
            None => (false, piece),
        };
        let to = to.parse().map_or_else(|_| JsonTarget::Member(to.to_owned()), JsonTarget::Index);
        steps.push(JsonStep { to, as_text });
    }
    ColumnPath { name, steps }
}

fn read_order(text: &str) -> Result<Vec<OrderItem>, String> {
    let mut items = Vec::new();
    for part in parts(text) {
        let mut item = OrderItem { relation: None, column: read_path(part), descending: false, nulls_first: None };
        let (mut column, relation) = match part.split_once('(') {
            Some((relation, rest)) => {
                let (inner, suffix) = rest.split_once(')').ok_or("no closing parenthesis")?;
                (format!("{inner}{suffix}"), Some(relation.to_owned()))
            }
            None => (part.to_owned(), None),
        };
        while let Some((before, suffix)) = column.rsplit_once('.') {
            match suffix {
                "asc" => {}
                "desc" => item.descending = true,
                "nullsfirst" => item.nulls_first = Some(true),
                "nullslast" => item.nulls_first = Some(false),
                other => return Err(format!("no ordering {other}")),
            }
            column = before.to_owned();
        }
        item.relation = relation;
        item.column = read_path(&column);
        items.push(item);
    }
    Ok(items)
}

fn read_select(text: &str) -> Result<Vec<SelectItem>, String> {
    parts(text).into_iter().map(read_item).collect()
}

fn read_item(text: &str) -> Result<SelectItem, String> {
    if text == "*" {
        return Ok(SelectItem::All);
    }
    // `alias:` but not `::cast`.
    let alias_at = text.find(':').filter(|at| !text[*at..].starts_with("::") && !text[..*at].contains('('));
    let (alias, rest) = match alias_at {
        Some(at) => (Some(text[..at].to_owned()), &text[at + 1..]),
        None => (None, text),
    };
    if let Some(cast) = rest.strip_prefix("count()") {
        return Ok(SelectItem::CountRows { alias, cast: cast.strip_prefix("::").map(str::to_owned) });
    }
    for (name, aggregate) in [
        (".count()", Aggregate::Count),
        (".sum()", Aggregate::Sum),
        (".avg()", Aggregate::Average),
        (".min()", Aggregate::Minimum),
        (".max()", Aggregate::Maximum),
    ] {
        if let Some((column, after)) = rest.split_once(name).filter(|(column, _)| !column.contains('(')) {
            let (path, cast) = column.split_once("::").map_or((column, None), |(path, cast)| (path, Some(cast)));
            return Ok(SelectItem::Column(SelectColumn {
                alias,
                column: read_path(path),
                cast: cast.map(str::to_owned),
                aggregate: Some(aggregate),
                aggregate_cast: after.strip_prefix("::").map(str::to_owned),
            }));
        }
    }
    if let Some((head, rest)) = rest.split_once('(') {
        let items = rest.strip_suffix(')').ok_or("no closing parenthesis")?;
        let (spread, head) = match head.strip_prefix("...") {
            Some(head) => (true, head),
            None => (false, head),
        };
        let mut words = head.split('!');
        let relation = words.next().unwrap_or_default().to_owned();
        let (mut hint, mut inner) = (None, false);
        for word in words {
            if word == "inner" { inner = true } else { hint = Some(word.to_owned()) }
        }
        return Ok(SelectItem::Embed(SelectEmbed { alias, relation, hint, inner, spread, items: read_select(items)? }));
    }
    let (path, cast) = rest.split_once("::").map_or((rest, None), |(path, cast)| (path, Some(cast.to_owned())));
    Ok(SelectItem::Column(SelectColumn { alias, column: read_path(path), cast, aggregate: None, aggregate_cast: None }))
}

fn read_condition(request: &mut Request, name: &str, value: &str) -> Result<Condition, String> {
    let group = |text: &str| text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).map(str::to_owned);
    let mut each = |text: &str| -> Result<Vec<Condition>, String> {
        let inner = group(text).ok_or("a group is in parentheses")?;
        parts(&inner)
            .into_iter()
            .map(|part| {
                for word in ["and", "or", "not.and", "not.or"] {
                    if let Some(rest) = part.strip_prefix(word)
                        && rest.starts_with('(')
                    {
                        return read_condition(request, word, rest);
                    }
                }
                let (column, value) = part.split_once('.').ok_or_else(|| format!("no operator in {part}"))?;
                // `c.eq."a, b"`: the operand of a group may stand in quotes.
                match value.find(".\"").filter(|_| value.ends_with('"')) {
                    Some(at) => {
                        read_condition(request, column, &format!("{}{}", &value[..=at], unquoted(&value[at + 1..])))
                    }
                    None => read_condition(request, column, value),
                }
            })
            .collect()
    };
    match name {
        "and" => return Ok(Condition::And(each(value)?)),
        "or" => return Ok(Condition::Or(each(value)?)),
        "not.and" => return Ok(Condition::Not(Box::new(Condition::And(each(value)?)))),
        "not.or" => return Ok(Condition::Not(Box::new(Condition::Or(each(value)?)))),
        _ => {}
    }
    if let Some(rest) = value.strip_prefix("not.") {
        return Ok(Condition::Not(Box::new(read_condition(request, name, rest)?)));
    }
    let (operator, operand) = value.split_once('.').ok_or_else(|| format!("no operator in {value}"))?;
    let (operator, quantifier) = match operator.split_once('(') {
        Some((operator, "any)")) => (operator, Some(Quantifier::Any)),
        Some((operator, "all)")) => (operator, Some(Quantifier::All)),
        _ => (operator, None),
    };
    let operator = match operator {
        "eq" => Operator::Eq(quantifier),
        "neq" => Operator::Neq(quantifier),
        "gt" => Operator::Gt(quantifier),
        "gte" => Operator::Gte(quantifier),
        "lt" => Operator::Lt(quantifier),
        "lte" => Operator::Lte(quantifier),
        "like" => Operator::Like(quantifier),
        "ilike" => Operator::ILike(quantifier),
        "match" => Operator::Match(quantifier),
        "imatch" => Operator::IMatch(quantifier),
        "in" => Operator::In,
        "isdistinct" => Operator::IsDistinct,
        "cs" => Operator::Contains,
        "cd" => Operator::Contained,
        "ov" => Operator::Overlaps,
        "is" => Operator::Is(match operand {
            "null" => IsOperand::Null,
            "not_null" => IsOperand::NotNull,
            "true" => IsOperand::True,
            "false" => IsOperand::False,
            "unknown" => IsOperand::Unknown,
            other => return Err(format!("is.{other}")),
        }),
        other => return Err(format!("no operator {other}")),
    };
    let operand = match &operator {
        Operator::Is(_) => None,
        Operator::In => {
            let list = group(operand).ok_or("a list is in parentheses")?;
            Some(Operand::List(parts(&list).into_iter().map(unquoted).collect()))
        }
        _ if quantifier.is_some() => {
            let list =
                operand.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or("a list is in braces")?;
            Some(Operand::List(parts(list).into_iter().map(|part| wildcards(&operator, &unquoted(part))).collect()))
        }
        _ => Some(Operand::Text(wildcards(&operator, operand))),
    };
    let operand = operand.map(|operand| request.slot(operand));
    Ok(Condition::Test(Test { column: read_path(name), operator, operand }))
}

/// `*` stands for `%` in patterns, because URLs dislike `%`.
fn wildcards(operator: &Operator, operand: &str) -> String {
    match operator {
        Operator::Like(_) | Operator::ILike(_) => operand.replace('*', "%"),
        _ => operand.to_owned(),
    }
}
