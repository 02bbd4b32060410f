//! Made-up rows that obey a model: types, lengths, patterns, references, uniqueness, checks. The same numbers give the same rows.
//!
//! Deliberately absent: writing them (the command's), and any claim that they are pretty.

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use undergird_model::field_type::FieldType;
use undergird_model::schema::{Collection, CollectionId, Default as FieldDefault, Field};
use undergird_model::{Decimal, Model, Value};
use undergird_plan::Caller;
use undergird_plan::evaluate::{Bindings, holds};

/// Tries before a row that obeys all rules is given up.
const TRIES_MAX: usize = 50;
/// The end of the made-up history: 2026-01-01T00:00:00Z, in microseconds.
const HISTORY_ENDS: i64 = 1_767_225_600_000_000;
/// Its length: a year.
const HISTORY_LASTS: i64 = 365 * 24 * 3_600 * 1_000_000;
/// Rows for a collection that refers to none, and for one that does, unless said.
const ROWS_OF_ROOTS: u64 = 1_000;
const ROWS_OF_OTHERS: u64 = 100_000;

/// A row by position of its fields.
pub type Row = Vec<Value>;

/// How many rows of each collection, in an order in which every reference has something to refer to.
///
/// # Errors
/// A name that is no collection, or references that go around in a circle.
pub fn order(
    model: &Model,
    wanted: &[(String, u64)],
    default: Option<u64>,
) -> Result<Vec<(CollectionId, u64)>, String> {
    for (name, _) in wanted {
        if !model.public().any(|collection| collection.name == *name) {
            return Err(format!("--rows: there is no collection \"{name}\""));
        }
    }
    let mut left: Vec<&Collection> = model.public().collect();
    let mut ordered: Vec<(CollectionId, u64)> = Vec::new();
    while !left.is_empty() {
        let ready = left.iter().position(|collection| {
            let mut targets = required_references(collection);
            targets.all(|target| target != collection.id && ordered.iter().any(|(done, _)| *done == target))
        });
        let Some(ready) = ready else {
            let names: Vec<&str> = left.iter().map(|collection| collection.name.as_str()).collect();
            return Err(format!("cannot make rows of {}: their references go around in a circle", names.join(", ")));
        };
        let collection = left.remove(ready);
        let said = wanted.iter().find(|(name, _)| *name == collection.name).map(|(_, rows)| *rows);
        let usual = if required_references(collection).next().is_none() { ROWS_OF_ROOTS } else { ROWS_OF_OTHERS };
        ordered.push((collection.id, said.or(default).unwrap_or(usual)));
    }
    Ok(ordered)
}

fn required_references(collection: &Collection) -> impl Iterator<Item = CollectionId> + '_ {
    collection.fields.iter().filter(|field| !field.optional).filter_map(reference)
}

fn reference(field: &Field) -> Option<CollectionId> {
    match &field.declared {
        FieldType::Ref { to, .. } => Some(*to),
        _ => None,
    }
}

/// Makes the rows of one collection after another.
pub struct Generator<'m> {
    model: &'m Model,
    dice: Dice,
    caller: &'m Caller,
    /// Keys of the rows that are there, for references to collections with a key of one field.
    keys: FxHashMap<CollectionId, Vec<Value>>,
    /// Hashes of what must not repeat: (collection, which rule of uniqueness, values).
    taken: FxHashSet<u64>,
    made: u64,
}

impl<'m> Generator<'m> {
    /// From a number that decides everything.
    pub fn new(model: &'m Model, caller: &'m Caller, seed: u64) -> Generator<'m> {
        Generator {
            model,
            dice: Dice(seed ^ 0x9e37_79b9_7f4a_7c15),
            caller,
            keys: FxHashMap::default(),
            taken: FxHashSet::default(),
            made: 0,
        }
    }

    /// Whether the row's field is left to the database.
    pub fn is_left_out(field: &Field) -> bool {
        field.is_left_to_database()
    }

    /// A row that obeys the model's rules, and repeats nothing that was made before.
    ///
    /// # Errors
    /// A sentence: no such row was found.
    pub fn row(&mut self, collection: CollectionId) -> Result<Row, String> {
        let collection = self.model.collection(collection);
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            self.made += 1;
            let row: Row =
                collection.fields.iter().map(|field| self.value(collection, field)).collect::<Result<_, _>>()?;
            match self.fault(collection, &row) {
                Some(fault) => why = fault,
                None => return Ok(row),
            }
        }
        Err(format!("cannot make more rows of \"{}\": {why}", collection.name))
    }

    /// Remembers the key of a row that was written, so that others can refer to it.
    pub fn written(&mut self, collection: CollectionId, key: &[Value]) {
        if let [only] = key {
            self.keys.entry(collection).or_default().push(only.clone());
        }
    }

    /// Why the row cannot be. When it can, what must not repeat is taken.
    fn fault(&mut self, collection: &Collection, row: &Row) -> Option<String> {
        for (field, value) in collection.fields.iter().zip(row) {
            if let Err(violation) = field.validate(value) {
                return Some(format!("{}: {}", field.name, violation.message));
            }
        }
        for check in &collection.checks {
            let bindings = Bindings { caller: self.caller, params: &[], input: &[] };
            if holds(&check.rule.expr, bindings, row) != Ok(true) {
                return Some(check.message.clone());
            }
        }
        let singles = collection.fields.iter().filter(|field| field.unique).map(|field| vec![field.id]);
        let indexes = collection.indexes.iter().filter(|index| index.unique);
        let indexes = indexes.map(|index| index.fields.iter().map(|(field, _)| *field).collect());
        let key = collection.identity().is_none().then(|| collection.key.clone());
        let mut taken = Vec::new();
        for (rule, fields) in key.into_iter().chain(singles).chain(indexes).enumerate() {
            let values: Vec<&Value> = fields.iter().map(|field| &row[usize::from(field.index)]).collect();
            // Nulls are distinct from one another.
            if values.iter().any(|value| value.is_null()) {
                continue;
            }
            let mut hasher = FxHasher::default();
            (collection.id, rule, values).hash(&mut hasher);
            let hash = hasher.finish();
            if self.taken.contains(&hash) {
                return Some("all values that it could have are taken".into());
            }
            taken.push(hash);
        }
        self.taken.extend(taken);
        None
    }

    fn value(&mut self, collection: &Collection, field: &Field) -> Result<Value, String> {
        if Generator::is_left_out(field) || (field.optional && self.dice.below(4) == 0) {
            return Ok(Value::Null);
        }
        if let Some(target) = reference(field) {
            return match self.keys.get(&target).filter(|keys| !keys.is_empty()) {
                Some(keys) => Ok(keys[self.dice.below(keys.len() as u64) as usize].clone()),
                None if field.optional => Ok(Value::Null),
                None => Err(format!(
                    "{}.{}: there are no rows of \"{}\" to refer to",
                    collection.name,
                    field.name,
                    self.model.collection(target).name
                )),
            };
        }
        Ok(self.plain(&field.declared, field))
    }

    /// A value of a type, within the field's bounds where they matter.
    fn plain(&mut self, ty: &FieldType, field: &Field) -> Value {
        match ty {
            FieldType::Text { pattern } => {
                Value::Text(self.text(field, |text| pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(text))))
            }
            FieldType::Secret => Value::Text(format!("{:016x}{:016x}", self.dice.next(), self.dice.next())),
            FieldType::Bool => Value::Bool(self.dice.below(2) == 0),
            FieldType::Int => {
                let bound = |value: &Option<Value>| match value {
                    Some(Value::Int(number)) => Some(*number),
                    _ => None,
                };
                let least = bound(&field.min).unwrap_or(0);
                let greatest = bound(&field.max).unwrap_or(least.saturating_add(10_000)).max(least);
                let span = (i128::from(greatest) - i128::from(least) + 1).min(1 << 62) as u64;
                Value::Int(least.saturating_add(self.dice.below(span) as i64))
            }
            FieldType::Float => Value::float((self.dice.below(1_000_000) as f64) / 100.0),
            FieldType::Decimal { precision, scale } => {
                let most = 10u64.pow(u32::from(*precision).min(6));
                Value::Decimal(Decimal { unscaled: self.dice.below(most) as i64, scale: *scale })
            }
            FieldType::Uuid => Value::Uuid(self.uuid()),
            FieldType::Timestamp => Value::Timestamp(HISTORY_ENDS - self.dice.below(HISTORY_LASTS as u64) as i64),
            FieldType::Date => {
                let day = (HISTORY_ENDS - self.dice.below(HISTORY_LASTS as u64) as i64) / 86_400_000_000;
                Value::Date(i32::try_from(day).unwrap_or_default())
            }
            FieldType::Time => Value::Time(self.dice.below(86_400) as i64 * 1_000_000),
            FieldType::Json { .. } => Value::Json(format!("{{\"number\":{}}}", self.dice.below(1_000))),
            FieldType::Bytes => Value::Bytes(self.dice.next().to_be_bytes().to_vec()),
            FieldType::Enum { values } => {
                // The default is where things begin; most have moved on.
                let initial = match &field.default {
                    Some(FieldDefault::Literal(Value::Text(initial))) => Some(initial),
                    _ => None,
                };
                let others: Vec<&String> = values.iter().filter(|value| Some(*value) != initial).collect();
                let text = match initial {
                    Some(initial) if others.is_empty() || self.dice.below(5) == 0 => initial,
                    _ => others[self.dice.below(others.len().max(1) as u64) as usize],
                };
                Value::Text(text.clone())
            }
            FieldType::Email => {
                let name = self.word();
                Value::Text(format!("{name}.{}@example.org", self.made))
            }
            FieldType::Url => {
                let word = self.word();
                Value::Text(format!("https://example.org/{word}/{}", self.made))
            }
            FieldType::Ref { key, .. } => self.plain(key, field),
            FieldType::List { of } => {
                let length = self.dice.below(4);
                Value::List((0..length).map(|_| self.plain(of, field)).collect())
            }
        }
    }

    /// Text that fits: words where words do, else a few shapes that patterns commonly want.
    fn text(&mut self, field: &Field, fits: impl Fn(&str) -> bool) -> String {
        let bound = |value: &Option<Value>| match value {
            Some(Value::Int(number)) => usize::try_from(*number).ok(),
            _ => None,
        };
        let (least, most) = (bound(&field.min).unwrap_or(0), bound(&field.max).unwrap_or(2_000));
        let usual = match field.name.as_str() {
            "body" | "text" | "content" | "bio" | "description" => 40,
            "title" | "subject" | "headline" => 5,
            _ => 2,
        };
        let number = self.made;
        let mut words: Vec<&'static str> = (0..usual).map(|_| self.word()).collect();
        while words.join(" ").chars().count() < least {
            words.push(self.word());
        }
        let mut sentence = words.join(" ");
        if field.unique {
            let _ = write!(sentence, " {number}");
        }
        let short: String = format!("{}-{number}", self.word());
        let candidates = [
            capitalized(&sentence),
            sentence.replace(' ', "-"),
            short.clone(),
            short.to_uppercase(),
            short.replace('-', "_"),
            number.to_string(),
            format!("{number:0>least$}"),
            format!("+49{:010}", number % 10_000_000_000),
            "AA".into(),
        ];
        let cut = |text: &str| -> String { text.chars().take(most).collect::<String>().trim_end().to_owned() };
        let mut candidates = candidates.iter().map(|text| cut(text));
        candidates.find(|text| fits(text)).unwrap_or_else(|| cut(&sentence))
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.dice.below(WORDS.len() as u64) as usize]
    }

    /// Version 7, in the order in which they are made, as the server's own are: keys that come in order are cheap to index.
    fn uuid(&mut self) -> uuid::Uuid {
        let milliseconds = (HISTORY_ENDS / 1_000) as u64 + self.made;
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&(0x7000 | (self.dice.next() as u16 & 0x0fff)).to_be_bytes());
        bytes[8..].copy_from_slice(&((self.dice.next() >> 2) | (1 << 63)).to_be_bytes());
        uuid::Uuid::from_bytes(bytes)
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// SplitMix64: a few lines, and the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not zero (else zero).
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

const WORDS: &[&str] = &[
    "amber", "anchor", "april", "apple", "arrow", "autumn", "badge", "bamboo", "basil", "beacon", "birch", "bridge",
    "brook", "cabin", "candle", "canyon", "cedar", "chalk", "cherry", "circle", "clover", "cobalt", "comet", "copper",
    "coral", "cotton", "crystal", "daisy", "dawn", "delta", "desert", "dune", "eagle", "echo", "ember", "fable",
    "falcon", "feather", "fern", "field", "finch", "flint", "forest", "fountain", "garden", "ginger", "glacier",
    "granite", "harbor", "hazel", "heron", "hollow", "honey", "horizon", "island", "ivory", "jasmine", "juniper",
    "kettle", "lagoon", "lantern", "laurel", "lemon", "lilac", "linen", "lotus", "maple", "marble", "meadow", "mint",
    "mirror", "moss", "mountain", "needle", "nickel", "north", "nutmeg", "oak", "ocean", "olive", "onyx", "orchard",
    "otter", "paper", "pearl", "pebble", "pepper", "pine", "planet", "plum", "poppy", "prairie", "quartz", "quill",
    "raven", "reef", "ribbon", "river", "robin", "saffron", "sage", "sail", "sand", "shadow", "silver", "slate",
    "spark", "spring", "spruce", "stone", "storm", "summer", "sunset", "thistle", "thunder", "timber", "topaz",
    "valley", "velvet", "violet", "walnut", "water", "willow", "winter", "wren", "yarrow", "zephyr",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use undergird_model::{Source, definition};
    use undergird_plan::caller::Moment;

    fn blog() -> Model {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/blog");
        let sources: Vec<Source> = crate::config::read_sources(&folder).unwrap();
        definition::check(&sources, &[]).0.unwrap()
    }

    #[test]
    fn rows_obey_the_blogs_rules_and_come_again_the_same() {
        let model = blog();
        let caller = Caller::secret(Moment { now: 0, entropy: 0 });
        let make = |seed| {
            let mut generator = Generator::new(&model, &caller, seed);
            let mut all = Vec::new();
            for (collection, _) in order(&model, &[], None).unwrap() {
                let collection = model.collection(collection);
                for _ in 0..50 {
                    let row = generator.row(collection.id).unwrap();
                    let key: Vec<Value> =
                        collection.key.iter().map(|field| row[usize::from(field.index)].clone()).collect();
                    generator.written(collection.id, &key);
                    all.push(row);
                }
            }
            all
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn references_come_after_what_they_refer_to() {
        let model = blog();
        let order = order(&model, &[("posts".into(), 7)], None).unwrap();
        let place = |name: &str| order.iter().position(|(id, _)| model.collection(*id).name == name).unwrap();
        assert!(
            place("users") < place("posts") && place("posts") < place("comments") && place("tags") < place("post_tags")
        );
        assert_eq!(order[place("posts")].1, 7);
        assert_eq!(order[place("users")].1, ROWS_OF_ROOTS);
        assert!(super::order(&model, &[("postz".into(), 7)], None).is_err());
    }
}
