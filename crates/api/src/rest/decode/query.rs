//! The query string: parameters in one pass, each to its grammar.
//!
//! The words `select`, `order`, `limit`, `offset`, `and`, `or`, `columns`, `on_conflict`, `after` and `apikey` are not columns unless quoted
//! (`"limit"=eq.5`). Unlike PostgREST, a parameter without a value and a second `select` or `limit` are mistakes: guessing what a
//! DELETE with a broken filter meant would be worse.

use super::scan::{Scanner, What, excerpt};
use super::{ITEMS_MAX, Malformed, OPERANDS_MAX, filter, order, range::Page, select};
use percent_encoding::percent_decode;
use std::borrow::Cow;
use undergird_model::Value;
use undergird_model::expr::Slot;
use undergird_model::settings::Limits;
use undergird_plan::Request;
use undergird_plan::request::{ColumnPath, Condition, EmbedModifier, JsonStep, Operand, OrderItem};

/// What is being filled, and what has been used of the limits.
pub(super) struct Reader<'r> {
    pub request: &'r mut Request,
    pub limits: &'r Limits,
    /// Conditions so far, over all embeds.
    pub conditions: usize,
    /// Embeds so far.
    pub embeds: usize,
}

impl Reader<'_> {
    pub fn slot(&mut self, operand: Operand) -> Result<Slot, Malformed> {
        if self.request.values.len() >= OPERANDS_MAX {
            return Err(Malformed::over_limit("operands", OPERANDS_MAX as u64, "values"));
        }
        Ok(self.request.slot(operand))
    }

    pub fn count_condition(&mut self) -> Result<(), Malformed> {
        self.conditions += 1;
        let max = self.limits.filters;
        if self.conditions > max as usize {
            Err(Malformed::over_limit("filters", max.into(), "conditions"))
        } else {
            Ok(())
        }
    }

    /// Where the parts of `path` go: the collection itself, or one of its embeds.
    fn place(&mut self, path: Vec<String>) -> Result<Place<'_>, Malformed> {
        if path.is_empty() {
            let shape = &mut self.request.shape;
            return Ok(Place { filter: &mut shape.filter, order: &mut shape.order });
        }
        let modifier = self.modifier(path)?;
        Ok(Place { filter: &mut modifier.filter, order: &mut modifier.order })
    }

    fn modifier(&mut self, path: Vec<String>) -> Result<&mut EmbedModifier, Malformed> {
        let embeds = &mut self.request.shape.embeds;
        let position = match embeds.iter().position(|modifier| modifier.path == path) {
            Some(position) => position,
            None => {
                if path.len() > self.limits.embed_depth as usize {
                    return Err(Malformed::over_limit(
                        "embed_depth",
                        self.limits.embed_depth.into(),
                        "levels of embedding",
                    ));
                }
                if embeds.len() >= self.limits.embeds as usize {
                    return Err(Malformed::over_limit("embeds", self.limits.embeds.into(), "embedded collections"));
                }
                embeds.push(EmbedModifier { path, filter: Vec::new(), order: Vec::new(), limit: None, offset: None });
                embeds.len() - 1
            }
        };
        Ok(&mut embeds[position])
    }
}

struct Place<'p> {
    filter: &'p mut Vec<Condition>,
    order: &'p mut Vec<OrderItem>,
}

/// Reads all parameters. The root's limit and offset come back, because `Range` may still narrow them.
pub(super) fn read(request: &mut Request, query: &str, limits: &Limits) -> Result<Page, Malformed> {
    let mut reader = Reader { request, limits, conditions: 0, embeds: 0 };
    let mut page = Page::default();
    for parameter in query.split('&') {
        if parameter.is_empty() {
            continue;
        }
        let Some(equals) = memchr::memchr(b'=', parameter.as_bytes()) else {
            let name = decoded(parameter)?;
            return Err(Malformed::new("PGRST100", 400, format!("The parameter \"{}\" has no value", excerpt(&name)))
                .with_hint(format!("A condition reads column=operator.value, for example {}=eq.1.", excerpt(&name))));
        };
        let name = decoded(&parameter[..equals])?;
        let value = decoded(&parameter[equals + 1..])?;
        parameter_of(&mut reader, &mut page, &name, &value)?;
    }
    Ok(page)
}

fn parameter_of(reader: &mut Reader<'_>, page: &mut Page, name: &str, value: &str) -> Result<(), Malformed> {
    match name {
        "select" => {
            once(reader.request.shape.select.is_some(), name)?;
            let items = select::read(reader, value)?;
            // `select=*` asks for what no select asks for, so that both have one shape.
            reader.request.shape.select =
                Some(items).filter(|items| items != &[undergird_plan::request::SelectItem::All]);
            return Ok(());
        }
        "columns" => {
            once(reader.request.shape.columns.is_some(), name)?;
            reader.request.shape.columns = Some(names(value, What::Columns)?);
            return Ok(());
        }
        "on_conflict" => {
            once(reader.request.shape.on_conflict.is_some(), name)?;
            reader.request.shape.on_conflict = Some(names(value, What::OnConflict)?);
            return Ok(());
        }
        "after" => {
            once(reader.request.shape.after.is_some(), name)?;
            reader.request.shape.after = Some(reader.slot(Operand::Text(value.to_owned()))?);
            return Ok(());
        }
        // Clients in browsers that cannot set headers send their key here; `auth` reads it.
        "apikey" => return Ok(()),
        _ => {}
    }
    let key = Key::read(name)?;
    match key.keyword() {
        Some(Keyword::Order) => {
            let items = order::read(value)?;
            let place = reader.place(key.path)?;
            if place.order.len() + items.len() > ITEMS_MAX {
                return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "terms of order"));
            }
            place.order.extend(items);
        }
        Some(Keyword::Limit) => {
            let number = super::range::number("limit", value)?;
            if key.path.is_empty() {
                once(page.limit.replace(number).is_some(), name)?;
            } else {
                let slot = reader.slot(Operand::Value(Value::Int(number as i64)))?;
                once(reader.modifier(key.path)?.limit.replace(slot).is_some(), name)?;
            }
        }
        Some(Keyword::Offset) => {
            let number = super::range::number("offset", value)?;
            if key.path.is_empty() {
                once(page.offset.replace(number).is_some(), name)?;
            } else {
                let slot = reader.slot(Operand::Value(Value::Int(number as i64)))?;
                once(reader.modifier(key.path)?.offset.replace(slot).is_some(), name)?;
            }
        }
        Some(Keyword::Logic { any }) => {
            let mut path = key.path;
            let negated = path.last().is_some_and(|last| last == "not");
            if negated {
                path.pop();
            }
            let condition = filter::logic(reader, value, any)?;
            let condition = if negated { Condition::Not(Box::new(condition)) } else { condition };
            reader.place(path)?.filter.push(condition);
        }
        None => {
            let column = ColumnPath { name: key.name, steps: key.steps };
            let condition = filter::test(reader, column, value)?;
            reader.place(key.path)?.filter.push(condition);
        }
    }
    Ok(())
}

fn once(again: bool, name: &str) -> Result<(), Malformed> {
    if again {
        Err(Malformed::new("PGRST100", 400, format!("The parameter \"{}\" is given twice", excerpt(name))))
    } else {
        Ok(())
    }
}

fn names(text: &str, what: What) -> Result<Vec<String>, Malformed> {
    let mut scanner = Scanner::new(text, what);
    let mut names = Vec::new();
    loop {
        if names.len() == ITEMS_MAX {
            return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "columns"));
        }
        names.push(scanner.name()?.text.into_owned());
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect_done("\",\" or end of input")?;
    Ok(names)
}

/// The left side of a parameter: `embed.embed.name->path`.
struct Key {
    path: Vec<String>,
    name: String,
    quoted: bool,
    steps: Vec<JsonStep>,
}

enum Keyword {
    Order,
    Limit,
    Offset,
    Logic { any: bool },
}

impl Key {
    fn read(text: &str) -> Result<Key, Malformed> {
        let mut scanner = Scanner::new(text, What::Path);
        let mut path = Vec::new();
        let mut name = scanner.name()?;
        while scanner.take(b'.') {
            path.push(name.text.into_owned());
            if path.len() > ITEMS_MAX {
                return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "parts in a path"));
            }
            name = scanner.name()?;
        }
        let steps = scanner.json_steps()?;
        scanner.expect_done("\".\", \"->\" or end of input")?;
        Ok(Key { path, name: name.text.into_owned(), quoted: name.quoted, steps })
    }

    fn keyword(&self) -> Option<Keyword> {
        if self.quoted || !self.steps.is_empty() {
            return None;
        }
        match self.name.as_str() {
            "order" => Some(Keyword::Order),
            "limit" => Some(Keyword::Limit),
            "offset" => Some(Keyword::Offset),
            "and" => Some(Keyword::Logic { any: false }),
            "or" => Some(Keyword::Logic { any: true }),
            _ => None,
        }
    }
}

/// Percent-decoded, `+` as a blank. Borrowed when there is nothing to do, which is the common case.
pub(super) fn decoded(text: &str) -> Result<Cow<'_, str>, Malformed> {
    let bytes = text.as_bytes();
    if memchr::memchr3(b'%', b'+', 0, bytes).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let spaced: Cow<'_, [u8]> = if memchr::memchr(b'+', bytes).is_some() {
        Cow::Owned(bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect())
    } else {
        Cow::Borrowed(bytes)
    };
    let raw: Vec<u8> = percent_decode(&spaced).collect();
    if memchr::memchr(0, &raw).is_some() {
        return Err(Malformed::new("PGRST100", 400, "The query string contains U+0000, which no text may contain"));
    }
    String::from_utf8(raw).map(Cow::Owned).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Malformed::new("PGRST100", 400, "The query string is not valid UTF-8")
            .with_details(format!("Byte {at} of the decoded parameter begins no character"))
    })
}
