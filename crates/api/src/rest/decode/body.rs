//! Bodies: JSON, CSV and forms, as rows of members.

use super::json::Reader;
use super::{BODY_VALUES_MAX, ITEMS_MAX, Malformed, query};
use crate::rest::media::{self, BodyMedia};
use rustc_hash::FxHashSet;
use serde_json::Value as Json;
use std::collections::HashMap;
use undergird_model::settings::Limits;
use undergird_plan::request::{Body, Input, Verb};

/// Reads the rows of a create, or the members of an update. With `columns` the members that it does not name are left out, as
/// PostgREST does.
pub(super) fn read(
    verb: Verb,
    content_type: Option<&str>,
    bytes: &[u8],
    columns: Option<&[String]>,
    limits: &Limits,
) -> Result<Body, Malformed> {
    if bytes.len() as u64 > limits.body_bytes {
        return Err(Malformed::new("UG413", 413, format!("The body is larger than {} bytes", limits.body_bytes)));
    }
    let wanted = Wanted(columns.map(|columns| columns.iter().map(String::as_str).collect()));
    let mut body = match media::body(content_type)? {
        BodyMedia::Json => json(bytes, &wanted, limits)?,
        BodyMedia::Csv => csv(bytes, &wanted, limits)?,
        BodyMedia::Form => form(bytes, &wanted)?,
    };
    if verb != Verb::Create {
        // One row says how: what comes as an array of one is as good, and an empty array changes nothing.
        match body.rows.len() {
            0 => body = Body { rows: vec![Vec::new()], single: true },
            1 => {}
            _ => {
                return Err(Malformed::new("PGRST102", 400, "The body must be one object")
                    .with_hint("PATCH gives every row that the filter selects the same values; POST with resolution=merge-duplicates changes several rows each in its own way."));
            }
        }
    }
    Ok(body)
}

/// The names in `columns`, if it was given.
struct Wanted<'a>(Option<FxHashSet<&'a str>>);

impl Wanted<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

fn json(bytes: &[u8], wanted: &Wanted<'_>, limits: &Limits) -> Result<Body, Malformed> {
    let mut reader = Reader::new(bytes, limits.json_depth)?;
    let body = match reader.peek() {
        Some(b'{') => Body { rows: vec![row(&mut reader, wanted, 0)?], single: true },
        Some(b'[') => {
            reader.take(b'[');
            let mut rows = Vec::new();
            if !reader.take(b']') {
                loop {
                    room_for_one_more(&rows, limits)?;
                    if reader.peek() != Some(b'{') {
                        return Err(reader.mistake("an object: each element of the array is a row"));
                    }
                    rows.push(row(&mut reader, wanted, 1)?);
                    if !reader.take(b',') {
                        break;
                    }
                }
                if !reader.take(b']') {
                    return Err(reader.mistake("\",\" or \"]\""));
                }
            }
            Body { rows, single: false }
        }
        _ => return Err(reader.mistake("an object or an array of objects")),
    };
    reader.end()?;
    Ok(body)
}

fn room_for_one_more(rows: &[Vec<(String, Input)>], limits: &Limits) -> Result<(), Malformed> {
    let max = limits.insert_rows;
    if rows.len() >= max as usize { Err(Malformed::over_limit("insert_rows", max.into(), "rows")) } else { Ok(()) }
}

fn row(reader: &mut Reader<'_>, wanted: &Wanted<'_>, depth: u32) -> Result<Vec<(String, Input)>, Malformed> {
    let mut members = Members::default();
    reader.members(&mut |reader, name| {
        let value = reader.value(depth + 1)?;
        if wanted.has(&name) { members.put(name, Input::Json(value)) } else { Ok(()) }
    })?;
    Ok(members.list)
}

/// Members of which a later takes the place of an earlier of the same name.
#[derive(Default)]
struct Members {
    list: Vec<(String, Input)>,
    /// Only for many: looking through a few is faster than hashing. Hashed with a random seed, as the names come from outside.
    positions: HashMap<String, usize>,
}

impl Members {
    fn put(&mut self, name: String, value: Input) -> Result<(), Malformed> {
        const FEW: usize = 24;
        if self.list.len() >= ITEMS_MAX {
            return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "members in an object"));
        }
        if self.list.len() == FEW && self.positions.is_empty() {
            self.positions = self.list.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        }
        let found = if self.positions.is_empty() {
            self.list.iter().position(|(other, _)| *other == name)
        } else {
            self.positions.get(&name).copied()
        };
        match found {
            Some(position) => self.list[position].1 = value,
            None => {
                if !self.positions.is_empty() {
                    self.positions.insert(name.clone(), self.list.len());
                }
                self.list.push((name, value));
            }
        }
        Ok(())
    }
}

fn csv(bytes: &[u8], wanted: &Wanted<'_>, limits: &Limits) -> Result<Body, Malformed> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mistake = |error: &csv::Error| {
        let line = error.position().map(|position| format!("line {}: ", position.line())).unwrap_or_default();
        let details = match error.kind() {
            csv::ErrorKind::Utf8 { .. } => format!("{line}not valid UTF-8"),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{line}{len} fields where the header has {expected_len}")
            }
            _ => format!("{line}not readable as CSV"),
        };
        Malformed::new("PGRST102", 400, "Empty or invalid csv").with_details(details)
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(bytes);
    let names: Vec<String> = reader.headers().map_err(|error| mistake(&error))?.iter().map(str::to_owned).collect();
    if names.is_empty() || names == [""] {
        return Err(
            Malformed::new("PGRST102", 400, "Empty or invalid csv").with_hint("The first line names the columns.")
        );
    }
    if names.len() > ITEMS_MAX {
        return Err(Malformed::over_limit("items", ITEMS_MAX as u64, "columns"));
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| mistake(&error))? {
        room_for_one_more(&rows, limits)?;
        if (rows.len() + 1).saturating_mul(names.len()) > BODY_VALUES_MAX {
            return Err(Malformed::over_limit("body_values", BODY_VALUES_MAX as u64, "values in its body"));
        }
        let mut members = Members::default();
        for (name, cell) in names.iter().zip(&record) {
            if wanted.has(name) {
                let input = if cell == "NULL" { Input::Json(Json::Null) } else { Input::Text(cell.to_owned()) };
                members.put(name.clone(), input)?;
            }
        }
        rows.push(members.list);
    }
    Ok(Body { rows, single: false })
}

fn form(bytes: &[u8], wanted: &Wanted<'_>) -> Result<Body, Malformed> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Malformed::new("PGRST102", 400, "The body is not valid UTF-8"))?;
    // No field's name begins so. curl says "form" unless it is told otherwise.
    if text.trim_ascii_start().starts_with(['{', '[']) {
        return Err(Malformed::new("PGRST102", 400, "The body is sent as a form, and looks like JSON")
            .with_hint("Send Content-Type: application/json."));
    }
    let mut members = Members::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| {
            query::decoded(text).map(std::borrow::Cow::into_owned).map_err(|mistake| Malformed {
                code: "PGRST102",
                message: mistake.message.replace("query string", "body"),
                ..mistake
            })
        };
        let name = decoded(name)?;
        if wanted.has(&name) {
            members.put(name, Input::Text(decoded(value)?))?;
        }
    }
    Ok(Body { rows: vec![members.list], single: true })
}
