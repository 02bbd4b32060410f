//! TOML as a tree in which everything knows its place. The parser is the `toml` crate's; after a syntax error it goes on with what
//! it could read.
//!
//! Absent: any idea of which keys there are.

use super::report::{Place, Report, codes};
use crate::diagnostic::Span;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub data: Data,
}

/// What TOML knows.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Text(String),
    Int(i64),
    /// As written, since a decimal is not a double.
    Float(String),
    Bool(bool),
    /// Any of TOML's dates and times, as written.
    Time(String),
    Array(Vec<Node>),
    Table(Table),
}

/// A table with its entries in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub fn node(&self, key: &str) -> Option<&Node> {
        self.get(key).map(|entry| &entry.value)
    }

    pub fn text(&self, key: &str) -> Option<(&str, Place)> {
        self.node(key).and_then(|node| node.text().map(|text| (text, node.place)))
    }

    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.node(key)?.data {
            Data::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub fn int(&self, key: &str) -> Option<i64> {
        match self.node(key)?.data {
            Data::Int(number) => Some(number),
            _ => None,
        }
    }

    pub fn table(&self, key: &str) -> Option<&Table> {
        match &self.node(key)?.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The items of an array, or none.
    pub fn items(&self, key: &str) -> &[Node] {
        match self.node(key).map(|node| &node.data) {
            Some(Data::Array(items)) => items,
            _ => &[],
        }
    }

    /// Puts a value at a path, over what is there. Used for overrides, whose paths come from the key inventory.
    pub fn set(&mut self, path: &[String], value: Node) {
        let [key, rest @ ..] = path else { return };
        let position = self.entries.iter().position(|entry| entry.key == *key);
        if rest.is_empty() {
            let entry = Entry { key: key.clone(), place: value.place, value };
            match position {
                Some(position) => self.entries[position] = entry,
                None => self.entries.push(entry),
            }
            return;
        }
        let position = position.unwrap_or_else(|| {
            let table = Node { place: value.place, data: Data::Table(Table::default()) };
            self.entries.push(Entry { key: key.clone(), place: value.place, value: table });
            self.entries.len() - 1
        });
        // A scalar where a table belongs was reported by the shape check; the override wins.
        let inner = &mut self.entries[position].value;
        if !matches!(inner.data, Data::Table(_)) {
            inner.data = Data::Table(Table::default());
        }
        if let Data::Table(table) = &mut inner.data {
            table.set(rest, value);
        }
    }
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The word for it in messages.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Text(_) => "text",
            Data::Int(_) => "a whole number",
            Data::Float(_) => "a number with a fraction",
            Data::Bool(_) => "true or false",
            Data::Time(_) => "a date or time",
            Data::Array(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    /// The same as JSON, for literals and schemas. `None`: infinities and NaN, which JSON has not.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match &self.data {
            Data::Text(text) | Data::Time(text) => Json::from(text.as_str()),
            Data::Int(number) => Json::from(*number),
            Data::Float(text) => Json::Number(text.trim_start_matches('+').parse().ok()?),
            Data::Bool(value) => Json::Bool(*value),
            Data::Array(items) => Json::Array(items.iter().map(Node::to_json).collect::<Option<_>>()?),
            Data::Table(table) => {
                let member = |entry: &Entry| Some((entry.key.clone(), entry.value.to_json()?));
                Json::Object(table.entries.iter().map(member).collect::<Option<_>>()?)
            }
        })
    }
}

/// Parses a source. Every syntax error is reported; the tree is what could be read. The flag says whether it is whole.
pub(super) fn parse(source: usize, report: &mut Report) -> (Table, bool) {
    let text = report.text(source);
    let (table, errors) = DeTable::parse_recoverable(&text);
    let whole = errors.is_empty();
    for error in errors {
        let span = error.span().map(Span::from).unwrap_or_default();
        report.error(Place { source, span }, codes::SYNTAX, error.message().replace('\n', ", "));
    }
    (convert_table(source, table.get_ref(), report), whole)
}

fn convert_table(source: usize, table: &DeTable<'_>, report: &mut Report) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: Place { source, span: key.span().into() },
            value: convert(source, value, report),
        })
        .collect();
    // The parser's map is ordered by name; fields and columns are ordered as their author wrote them.
    entries.sort_by_key(|entry| entry.place.span.start);
    Table { entries }
}

fn convert(source: usize, value: &toml::Spanned<DeValue<'_>>, report: &mut Report) -> Node {
    let place = Place { source, span: value.span().into() };
    let data = match value.get_ref() {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Data::Int(number),
            Err(_) => {
                report.error(place, codes::SYNTAX, "the number does not fit into 64 bits");
                Data::Int(0)
            }
        },
        DeValue::Float(number) => Data::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Data::Bool(*value),
        DeValue::Datetime(time) => Data::Time(time.to_string()),
        DeValue::Array(items) => Data::Array(items.iter().map(|item| convert(source, item, report)).collect()),
        DeValue::Table(table) => Data::Table(convert_table(source, table, report)),
    };
    Node { place, data }
}

/// Where a byte range of a decoded TOML string stands in the source: past the quotes, and past escapes when there are any.
pub(super) fn inside(raw: &str, decoded: &str, node: Span, range: Span) -> Span {
    let multiline = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let mut start = if multiline { 3 } else { 1 };
    if multiline {
        let rest = raw.get(start..).unwrap_or("");
        start += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    if raw.get(start..).is_some_and(|rest| rest.starts_with(decoded)) {
        return Span { start: node.start + start + range.start, end: node.start + start + range.end };
    }
    // Escapes: walk both texts side by side.
    let mut positions = Vec::with_capacity(decoded.len() + 1);
    let mut rest = raw.get(start..).unwrap_or("").char_indices().peekable();
    for wanted in decoded.chars() {
        let mut at = match rest.peek() {
            Some((at, _)) => *at,
            None => return node,
        };
        while let Some((here, c)) = rest.next() {
            at = here;
            if c == wanted && c != '\\' {
                break;
            }
            if c != '\\' {
                continue;
            }
            match rest.next() {
                Some((_, 'u')) => drop(rest.nth(3)),
                Some((_, 'U')) => drop(rest.nth(7)),
                Some((_, 'x')) => drop(rest.nth(1)),
                // A backslash at the end of a line swallows the white space after it.
                Some((_, space)) if space.is_whitespace() => {
                    while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
                    continue;
                }
                _ => {}
            }
            break;
        }
        positions.extend(std::iter::repeat_n(at, wanted.len_utf8()));
    }
    positions.push(rest.peek().map_or(raw.len().saturating_sub(start), |(at, _)| *at));
    match (positions.get(range.start), positions.get(range.end)) {
        (Some(from), Some(to)) => Span { start: node.start + start + from, end: node.start + start + (*to).max(*from) },
        _ => node,
    }
}
