//! `select=*,total:amount::text,author:users!fk!inner(name),...team(name),data->a->>b,amount.sum()::int`.

use super::query::Reader;
use super::scan::{Name, Scanner, What};
use super::{EMBED_DEPTH_MAX, ITEMS_MAX, Malformed};
use undergird_plan::request::{Aggregate, ColumnPath, SelectColumn, SelectEmbed, SelectItem};

pub(super) fn read(reader: &mut Reader<'_>, text: &str) -> Result<Vec<SelectItem>, Malformed> {
    let mut scanner = Scanner::new(text, What::Select);
    let list = items(reader, &mut scanner, 0)?;
    scanner.expect_done("\",\" or end of input")?;
    Ok(list)
}

/// Items up to the closing parenthesis or the end. None at all is a list too: nothing of it.
fn items(reader: &mut Reader<'_>, scanner: &mut Scanner<'_>, depth: u32) -> Result<Vec<SelectItem>, Malformed> {
    scanner.skip_blanks();
    if matches!(scanner.peek(), None | Some(b')')) {
        return Ok(Vec::new());
    }
    let mut list = Vec::with_capacity(4);
    loop {
        if list.len() == ITEMS_MAX {
            return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "items in select"));
        }
        list.push(item(reader, scanner, depth)?);
        scanner.skip_blanks();
        if !scanner.take(b',') {
            return Ok(list);
        }
    }
}

fn item(reader: &mut Reader<'_>, scanner: &mut Scanner<'_>, depth: u32) -> Result<SelectItem, Malformed> {
    const AFTER: &str = "letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", \",\" or end of input";
    scanner.skip_blanks();
    if scanner.take(b'*') {
        scanner.skip_blanks();
        at_end(scanner, "\")\", \",\" or end of input")?;
        return Ok(SelectItem::All);
    }
    if scanner.take_word("...") {
        let name = scanner.name()?;
        return embed(reader, scanner, None, name, true, depth);
    }
    let mut name = scanner.name()?;
    let mut alias = None;
    if scanner.peek() == Some(b':') && !scanner.rest().starts_with("::") {
        scanner.take(b':');
        alias = Some(name.text.into_owned());
        name = scanner.name()?;
    }
    if name.is_word("count") && scanner.take_word("()") {
        let cast = scanner.cast()?;
        scanner.skip_blanks();
        at_end(scanner, "\"::\", \")\", \",\" or end of input")?;
        return Ok(SelectItem::CountRows { alias, cast });
    }
    if matches!(scanner.peek(), Some(b'!' | b'(')) {
        return embed(reader, scanner, alias, name, false, depth);
    }
    let column = ColumnPath { name: name.text.into_owned(), steps: scanner.json_steps()? };
    scanner.skip_blanks();
    let cast = scanner.cast()?;
    let aggregate = aggregate(scanner)?;
    let aggregate_cast = if aggregate.is_some() { scanner.cast()? } else { None };
    scanner.skip_blanks();
    at_end(scanner, AFTER)?;
    Ok(SelectItem::Column(SelectColumn { alias, column, cast, aggregate, aggregate_cast }))
}

fn at_end(scanner: &Scanner<'_>, expecting: &str) -> Result<(), Malformed> {
    if matches!(scanner.peek(), None | Some(b',' | b')')) { Ok(()) } else { Err(scanner.unexpected(expecting)) }
}

fn aggregate(scanner: &mut Scanner<'_>) -> Result<Option<Aggregate>, Malformed> {
    const FUNCTIONS: [(&str, Aggregate); 5] = [
        ("sum()", Aggregate::Sum),
        ("avg()", Aggregate::Average),
        ("count()", Aggregate::Count),
        ("max()", Aggregate::Maximum),
        ("min()", Aggregate::Minimum),
    ];
    if !scanner.take(b'.') {
        return Ok(None);
    }
    for (word, aggregate) in FUNCTIONS {
        if scanner.take_word(word) {
            return Ok(Some(aggregate));
        }
    }
    Err(scanner.unexpected("\"sum()\", \"avg()\", \"count()\", \"max()\" or \"min()\""))
}

fn embed(
    reader: &mut Reader<'_>,
    scanner: &mut Scanner<'_>,
    alias: Option<String>,
    name: Name<'_>,
    spread: bool,
    depth: u32,
) -> Result<SelectItem, Malformed> {
    let limits = reader.limits;
    reader.embeds += 1;
    if reader.embeds > limits.embeds as usize {
        return Err(Malformed::over_limit("embeds", limits.embeds.into(), "embedded collections"));
    }
    let depth_max = limits.embed_depth.min(EMBED_DEPTH_MAX);
    if depth >= depth_max {
        return Err(Malformed::over_limit("embed_depth", depth_max.into(), "levels of embedding"));
    }
    let mut embed =
        SelectEmbed { alias, relation: name.text.into_owned(), hint: None, inner: false, spread, items: Vec::new() };
    let mut joined = false;
    while scanner.take(b'!') {
        let start = scanner.position();
        let parameter = scanner.name()?;
        if parameter.is_word("inner") || parameter.is_word("left") {
            if joined {
                scanner.back_to(start);
                return Err(scanner.unexpected("\"(\""));
            }
            joined = true;
            embed.inner = parameter.is_word("inner");
        } else if embed.hint.is_none() {
            embed.hint = Some(parameter.text.into_owned());
        } else {
            scanner.back_to(start);
            return Err(scanner.unexpected("\"inner\", \"left\" or \"(\""));
        }
    }
    scanner.expect(b'(', "\"(\"")?;
    embed.items = items(reader, scanner, depth + 1)?;
    scanner.expect(b')', "\")\" or \",\"")?;
    Ok(SelectItem::Embed(embed))
}
