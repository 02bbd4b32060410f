//! What a column holds: by the type that it was declared with, and by the values that are in it.

use super::texts;
use super::{FoundColumn, FoundDefault, name};
use crate::kept::{self, Kept, Word};
use rusqlite::Connection;
use rusqlite::types::{Value as Stored, ValueRef};
use undergird_model::field_type::FieldType;
use undergird_model::{Kind, Type};
use undergird_store::adopt::Holds;

/// Most digits of a decimal here.
const PRECISION_MAX: u8 = 18;
/// One value in so many may be none of its type, and the column is still taken for what it was declared.
const STRAYS: usize = 20;

/// A column as it was declared.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) native: String,
    pub(super) required: bool,
    pub(super) default: Option<String>,
    pub(super) generated: bool,
}

/// What was seen of a column's values.
#[derive(Clone, Debug, Default)]
pub(super) struct Probe {
    pub(super) nulls: usize,
    whole: usize,
    real: usize,
    text: usize,
    blob: usize,
    longest: u64,
    /// Doubles that are whole numbers.
    round: usize,
    bits: usize,
    words_of_bool: usize,
    moments: usize,
    with_t: usize,
    seconds: usize,
    millis: usize,
    days: usize,
    midnights: usize,
    times: usize,
    uuids: usize,
    uuid_blobs: usize,
    json: usize,
    /// Text that is a number of at most 18 digits.
    numbers: usize,
}

impl Probe {
    fn values(&self) -> usize {
        self.whole + self.real + self.text + self.blob
    }

    fn take(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.nulls += 1,
            ValueRef::Integer(number) => {
                self.whole += 1;
                self.bits += usize::from(matches!(number, 0 | 1));
                // 1973 to 2286.
                self.seconds += usize::from((100_000_000..10_000_000_000).contains(&number));
                self.millis += usize::from((100_000_000_000..10_000_000_000_000).contains(&number));
            }
            ValueRef::Real(number) => {
                self.real += 1;
                self.round += usize::from(number.fract() == 0.0);
            }
            ValueRef::Blob(octets) => {
                self.blob += 1;
                self.uuid_blobs += usize::from(octets.len() == 16);
            }
            ValueRef::Text(octets) => {
                self.text += 1;
                let text = String::from_utf8_lossy(octets);
                self.longest = self.longest.max(text.chars().count() as u64);
                let fits = |ty, form| !matches!(kept::read(Kept { ty, form }, value), Stored::Null);
                if text.len() <= 40 {
                    self.moments += usize::from(fits(Type::TIMESTAMP, Word::Text));
                    self.with_t += usize::from(text.as_bytes().get(10) == Some(&b'T'));
                    self.days += usize::from(text.len() == 10 && fits(Type::Scalar(Kind::Date), Word::Text));
                    self.midnights += usize::from(text.ends_with(" 00:00:00") && text.len() == 19);
                    self.times += usize::from(fits(Type::Scalar(Kind::Time), Word::Text));
                    self.uuids += usize::from(text.len() == 36 && fits(Type::UUID, Word::Text));
                    self.words_of_bool += usize::from(fits(Type::BOOL, Word::Text));
                    let decimal = Type::Scalar(Kind::Decimal { precision: 18, scale: 0 });
                    self.numbers += usize::from(fits(decimal, Word::Text));
                }
                self.json += usize::from(fits(Type::JSON, Word::Text));
            }
        }
    }
}

/// Looks at the values of all columns of a table at once.
pub(super) fn probe(
    connection: &Connection,
    table: &str,
    columns: &[Declared],
    rows_max: usize,
) -> rusqlite::Result<Vec<Probe>> {
    let mut probes = vec![Probe::default(); columns.len()];
    if columns.is_empty() {
        return Ok(probes);
    }
    let list: Vec<String> = columns.iter().map(|column| name(&column.name)).collect();
    let mut statement =
        connection.prepare(&format!("SELECT {} FROM {} LIMIT {rows_max}", list.join(", "), name(table)))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for (position, probe) in probes.iter_mut().enumerate() {
            probe.take(row.get_ref(position)?);
        }
    }
    Ok(probes)
}

pub(super) fn column(declared: &Declared, probe: &Probe) -> FoundColumn {
    let mut notes = Vec::new();
    let mut strays = 0;
    let holds = holds(&declared.native, probe, &mut notes, &mut strays);
    if strays > 0 {
        notes.push(format!("{strays} of its values are no {}: they read as null", holds.ty.name()));
    }
    let is_text = matches!(holds.ty, FieldType::Text { .. });
    let default = match (&declared.default, declared.generated) {
        (_, true) => FoundDefault::Always,
        (None, false) => FoundDefault::None,
        (Some(text), false) => match (texts::default(text, is_text), &holds.ty) {
            (FoundDefault::Literal(value), FieldType::Bool) if value.is_number() => {
                FoundDefault::Literal((value != serde_json::json!(0)).into())
            }
            (found, _) => found,
        },
    };
    FoundColumn {
        name: declared.name.clone(),
        native: declared.native.clone(),
        holds: Ok(holds),
        null: !declared.required || strays > 0,
        default,
        comment: None,
        notes,
    }
}

/// The type in words, and what stands in parentheses after it.
fn parts(native: &str) -> (String, Vec<u64>) {
    let (word, rest) = native.split_once('(').unwrap_or((native, ""));
    let numbers = rest.trim_end_matches(')').split(',').filter_map(|part| part.trim().parse().ok()).collect();
    (word.trim().to_ascii_uppercase(), numbers)
}

fn holds(native: &str, probe: &Probe, notes: &mut Vec<String>, strays: &mut usize) -> Holds {
    let (word, numbers) = parts(native);
    let wanted = declared(&word, &numbers, probe, notes);
    let Some((holds, good)) = wanted else { return by_values(probe) };
    let bad = probe.values() - good.min(probe.values());
    if bad == 0 || (good > 0 && bad * STRAYS <= probe.values()) {
        *strays = bad;
        return holds;
    }
    let told = format!("declared {native}, but {bad} of {} values are something else", probe.values());
    let other = by_values(probe);
    notes.push(format!("{told}: taken for {}", other.ty.name()));
    other
}

/// What a declared type means, and how many of the values are that. `None`: it says nothing.
fn declared(word: &str, numbers: &[u64], probe: &Probe, notes: &mut Vec<String>) -> Option<(Holds, usize)> {
    let has = |part: &str| word.contains(part);
    let numeric = probe.whole + probe.real + probe.numbers;
    Some(if has("BOOL") || word == "BIT" {
        match probe.text > 0 && probe.words_of_bool > probe.bits {
            true => (Holds::of(FieldType::Bool).kept("text"), probe.words_of_bool + probe.bits),
            false => (Holds::of(FieldType::Bool), probe.bits),
        }
    } else if has("DATETIME") || has("TIMESTAMP") {
        timestamp(probe)
    } else if word == "DATE" {
        match () {
            () if probe.values() == 0 || probe.days * 2 >= probe.values() => (Holds::of(FieldType::Date), probe.days),
            () if probe.midnights == probe.values() => (Holds::of(FieldType::Date).kept("midnight"), probe.midnights),
            () => timestamp(probe),
        }
    } else if word == "TIME" {
        (Holds::of(FieldType::Time), probe.times)
    } else if matches!(word, "UUID" | "GUID" | "UNIQUEIDENTIFIER") {
        match probe.uuid_blobs > probe.uuids {
            true => (Holds::of(FieldType::Uuid).kept("blob"), probe.uuid_blobs),
            false => (Holds::of(FieldType::Uuid), probe.uuids),
        }
    } else if has("JSON") {
        (Holds::of(FieldType::Json { schema: None }), probe.json)
    } else if matches!(word, "DECIMAL" | "NUMERIC" | "NUMBER" | "DEC") && !numbers.is_empty() {
        decimal(numbers, numeric, notes)
    } else if has("MONEY") {
        decimal(&[19, 4], numeric, notes)
    } else if has("INT") {
        (Holds::of(FieldType::Int), probe.whole)
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        let max = numbers.first().copied().filter(|max| *max > 0);
        let holds = match max {
            Some(max) if probe.longest <= max => Holds::text(Some(max)),
            Some(max) => {
                let longest = probe.longest;
                notes.push(format!(
                    "declared for {max} characters, which SQLite does not hold anybody to: one value has {longest}"
                ));
                Holds::text(None)
            }
            None => Holds::text(None),
        };
        (holds, probe.text)
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        (Holds::of(FieldType::Float), probe.whole + probe.real)
    } else if has("BLOB") || has("BINARY") {
        (Holds::of(FieldType::Bytes), probe.blob)
    } else {
        return None;
    })
}

fn timestamp(probe: &Probe) -> (Holds, usize) {
    let holds = Holds::of(FieldType::Timestamp);
    let number = probe.whole + probe.real;
    if number > probe.text {
        return match probe.millis > probe.seconds {
            true => (holds.kept("unix_ms"), number),
            false => (holds.kept("unix"), number),
        };
    }
    match probe.text > 0 && probe.with_t == probe.text {
        true => (holds.kept("iso"), probe.moments),
        false => (holds, probe.moments),
    }
}

fn decimal(numbers: &[u64], good: usize, notes: &mut Vec<String>) -> (Holds, usize) {
    let digits = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let (declared, scale) = (digits(0).max(1), digits(1));
    let precision = u8::try_from(declared).unwrap_or(u8::MAX).min(PRECISION_MAX);
    let scale = u8::try_from(scale).unwrap_or(u8::MAX).min(precision);
    if declared > u64::from(PRECISION_MAX) {
        notes.push(format!("declared with {declared} digits; a decimal has at most {PRECISION_MAX} here"));
    }
    (Holds::of(FieldType::Decimal { precision, scale }), good)
}

/// What the values say by themselves.
fn by_values(probe: &Probe) -> Holds {
    let all = probe.values();
    match () {
        () if all == 0 || probe.text == all => Holds::text(None),
        () if probe.whole == all => Holds::of(FieldType::Int),
        () if probe.whole + probe.real == all => Holds::of(FieldType::Float),
        () if probe.blob == all => Holds::of(FieldType::Bytes),
        // Of several classes: text says them all.
        () => Holds::text(None).kept("any"),
    }
}
