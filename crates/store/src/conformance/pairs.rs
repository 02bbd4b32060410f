//! Random pairs of definitions, for the test that a planned migration leads from a database of the first, with rows, to what a database
//! made of the second is, with every row alive that should be. Each store runs the pairs on its own databases.
//!
//! Absent: random words for names and values; those that databases find hard are in the suite's cases.

use crate::migration::{Direction, Entry, Part, Resolved, Run, RunPart, Snapshot, Sql, back, file_of, resolve};
use crate::schema::{Applied, Column, Table, steps};
use undergird_model::{Kind, Source, Type, definition};

/// How a store writes what the pairs need.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Its name.
    pub store: &'static str,
    /// What names are quoted with.
    pub quote: char,
    /// A constant of a kind, one for each number from 1.
    pub value: fn(Kind, i64) -> String,
}

/// A pair, planned.
#[derive(Debug)]
pub struct Pair {
    /// The two definitions, for whoever reads a failure.
    pub definitions: (String, String),
    /// From nothing to the first.
    pub first: Run,
    /// The first's rows, each an `INSERT`.
    pub rows: Vec<String>,
    /// From the first to the second.
    pub second: Run,
    /// And back, where that can be done.
    pub back: Option<Run>,
    /// From nothing to the second.
    pub direct: Run,
    /// The second's schema.
    pub wanted: Applied,
    /// Queries before and after, which must give the same.
    pub kept: Vec<(String, String)>,
}

/// Rows of each table.
const ROWS: i64 = 3;

const KINDS: [&str; 9] = ["int", "text", "bool", "float", "decimal", "date", "timestamp", "uuid", "enum"];

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % most.max(1) as u64).unwrap_or(0)
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    kind: &'static str,
    optional: bool,
    default: bool,
    unique: bool,
    bounded: bool,
    indexed: bool,
    /// For references: the collection, and what happens here when its row goes.
    to: Option<(String, &'static str)>,
    renamed_from: Option<String>,
}

#[derive(Clone, Debug)]
struct Collection {
    name: String,
    table: String,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Definition {
    collections: Vec<Collection>,
    /// So that no name comes twice by chance.
    next: usize,
}

impl Definition {
    fn random(dice: &mut Dice) -> Definition {
        let mut definition = Definition { collections: Vec::new(), next: 0 };
        for _ in 0..1 + dice.below(3) {
            definition.add_collection(dice);
        }
        definition
    }

    fn name(&mut self, letter: char) -> String {
        self.next += 1;
        format!("{letter}{}", self.next)
    }

    fn add_collection(&mut self, dice: &mut Dice) {
        let name = self.name('t');
        let mut fields = Vec::new();
        for _ in 0..1 + dice.below(4) {
            fields.push(self.field(dice));
        }
        self.collections.push(Collection { table: name.clone(), name, fields });
    }

    fn field(&mut self, dice: &mut Dice) -> Field {
        let kind = KINDS[dice.below(KINDS.len())];
        let name = self.name('f');
        let mut field = Field {
            name,
            kind,
            optional: dice.one_in(2),
            default: false,
            unique: dice.one_in(5),
            bounded: dice.one_in(3),
            indexed: dice.one_in(5),
            to: None,
            renamed_from: None,
        };
        field.default = !field.optional && !field.unique && dice.one_in(2);
        if !self.collections.is_empty() && dice.one_in(4) {
            let to = self.collections[dice.below(self.collections.len())].name.clone();
            field.to = Some((to, if field.optional { "set_null" } else { "cascade" }));
            field.default = false;
            field.unique = false;
        }
        field
    }

    /// One change; whatever does not fit changes nothing.
    fn change(&mut self, dice: &mut Dice) {
        let at = dice.below(self.collections.len());
        let collection = &self.collections[at];
        let (which, name) = (dice.below(collection.fields.len()), collection.name.clone());
        match dice.below(14) {
            0 => self.add_collection(dice),
            1 if self.collections.len() > 1 => {
                self.collections.remove(at);
                for other in &mut self.collections {
                    other.fields.retain(|field| field.to.as_ref().is_none_or(|(to, _)| *to != name));
                    if other.fields.is_empty() {
                        self.next += 1;
                        other.fields.push(Field::plain(&format!("f{}", self.next)));
                    }
                }
            }
            2 => {
                let table = self.name('t');
                self.collections[at].table = table;
            }
            3 | 4 => {
                let mut field = self.field(dice);
                // Only of those that have their rows before.
                let earlier = |to: &String| self.collections.iter().take(at).any(|other| other.name == *to);
                if field.to.as_ref().is_some_and(|(to, _)| !earlier(to)) {
                    field.to = None;
                }
                self.collections[at].fields.push(field);
            }
            5 if collection.fields.len() > 1 => {
                self.collections[at].fields.remove(which);
            }
            6 | 7 => {
                let new = self.name('f');
                let field = &mut self.collections[at].fields[which];
                if field.renamed_from.is_none() {
                    field.renamed_from = Some(std::mem::replace(&mut field.name, new));
                }
            }
            8 => {
                let field = &mut self.collections[at].fields[which];
                if field.to.is_none() {
                    field.kind = KINDS[dice.below(KINDS.len())];
                    field.default = false;
                }
            }
            9 => {
                let field = &mut self.collections[at].fields[which];
                field.optional = !field.optional;
                field.default &= !field.optional;
                if let Some((_, action)) = &mut field.to {
                    *action = if field.optional { "set_null" } else { "cascade" };
                }
            }
            10 => self.collections[at].fields[which].unique ^= true,
            11 => self.collections[at].fields[which].bounded ^= true,
            12 => self.collections[at].fields[which].indexed ^= true,
            _ => {
                let field = &mut self.collections[at].fields[which];
                field.default ^= !field.optional && field.to.is_none();
            }
        }
    }

    fn text(&self) -> Vec<Source> {
        let file = |collection: &Collection| {
            let mut text = format!("table = \"{}\"\n[fields]\nid = {{ type = \"int\" }}\n", collection.table);
            let mut after = String::new();
            for field in &collection.fields {
                text += &field.text();
                if field.indexed {
                    after += &format!("[[indexes]]\nfields = [\"{}\", \"-id\"]\n", field.name);
                }
            }
            Source { name: format!("models/{}.toml", collection.name).into(), text: (text + &after).into() }
        };
        self.collections.iter().map(file).collect()
    }
}

impl Field {
    fn plain(name: &str) -> Field {
        Field {
            name: name.to_owned(),
            kind: "int",
            optional: true,
            default: false,
            unique: false,
            bounded: false,
            indexed: false,
            to: None,
            renamed_from: None,
        }
    }

    fn text(&self) -> String {
        let mut words = match (&self.to, self.kind) {
            (Some((to, action)), _) => vec![format!(
                "type = \"ref\", to = \"{to}\", on_delete = \"{action}\", as = \"{0}_row\", inverse = \"{0}_back\"",
                self.name
            )],
            (None, "enum") => vec!["type = \"enum\", values = [\"1\", \"2\", \"3\", \"4\"]".into()],
            (None, "decimal") => vec!["type = \"decimal\", precision = 10, scale = 2".into()],
            // A database may want to know how long a text can be that is in an index.
            (None, "text") => vec![format!("type = \"text\", max = {}", if self.bounded { 50 } else { 100 })],
            (None, kind) => vec![format!("type = \"{kind}\"")],
        };
        if self.to.is_none() && self.bounded && self.kind == "int" {
            words.push("min = 0".into());
        }
        if self.optional {
            words.push("optional = true".into());
        }
        let default = match self.kind {
            "int" => Some("1"),
            "text" | "enum" => Some("\"1\""),
            "bool" => Some("true"),
            "float" => Some("1.5"),
            _ => None,
        };
        if let Some(default) = default.filter(|_| self.default && self.to.is_none()) {
            words.push(format!("default = {default}"));
        }
        if self.unique && !["bool", "float"].contains(&self.kind) {
            words.push("unique = true".into());
        }
        words.extend(self.renamed_from.as_ref().map(|from| format!("renamed_from = \"{from}\"")));
        format!("{} = {{ {} }}\n", self.name, words.join(", "))
    }
}

/// The pair of a number; `None` where the two definitions say the same, or chance made one that is none.
pub fn pair(number: u64, words: &Words) -> Option<Pair> {
    let mut dice = Dice(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let a = Definition::random(&mut dice);
    let mut b = a.clone();
    for _ in 0..1 + dice.below(6) {
        b.change(&mut dice);
    }
    let (first, second) = (a.text(), b.text());
    let shown =
        |sources: &[Source]| sources.iter().map(|file| format!("-- {}\n{}", file.name, file.text)).collect::<String>();
    let definitions = (shown(&first), shown(&second));
    let model = |sources: &[Source]| definition::check(sources, &[]).0;
    let (first, second) = (model(&first)?, model(&second)?);
    let empty = Snapshot::empty();
    // As they are read from disk.
    let read = |snapshot: Snapshot| Snapshot::from_json(&snapshot.to_json()).ok();
    let before = read(Snapshot::of(&first, &empty))?;
    let after = read(Snapshot::of(&second, &before))?;
    if after.is_same(&before) {
        return None;
    }
    let planned = |from: &Snapshot, to: &Snapshot| resolve(from, to, &file_of(from, to)).ok();
    let divided = divided(&mut dice, &before, &after);
    let second = divided.or_else(|| planned(&before, &after))?;
    let inverse = back(&second).ok();
    let inverse = inverse.map(|parts| run(2, Direction::Back, &after, &parts, words));
    Some(Pair {
        definitions,
        first: run(1, Direction::Forward, &empty, &planned(&empty, &before)?.parts, words),
        rows: rows(&before.schema, words),
        second: run(2, Direction::Forward, &before, &second.parts, words),
        back: inverse,
        direct: run(1, Direction::Forward, &empty, &planned(&empty, &after)?.parts, words),
        kept: kept(&before.schema, &after, words),
        wanted: after.schema,
    })
}

/// The migration divided in two by SQL by hand, where chance wants it and the steps allow it.
fn divided(dice: &mut Dice, before: &Snapshot, after: &Snapshot) -> Option<Resolved> {
    let mut file = file_of(before, after);
    let at = dice.below(file.steps.len() + 1);
    if dice.one_in(2) {
        return None;
    }
    let nothing = Sql::Every("SELECT 1".into());
    file.steps.insert(at, Entry { sql: Some(nothing.clone()), undo: Some(nothing), ..Entry::default() });
    resolve(before, after, &file).ok()
}

fn run(number: u32, direction: Direction, from: &Snapshot, parts: &[Part], words: &Words) -> Run {
    let part = |part: &Part| match part {
        Part::Schema { wanted, .. } => RunPart::Schema(wanted.clone()),
        Part::Sql { sql, .. } => RunPart::Sql(sql.of(words.store).unwrap_or_default().to_owned()),
        Part::Backfill { .. } => unreachable!("none was planned"),
    };
    Run {
        number,
        name: "pair".into(),
        hash: format!("{number}"),
        direction,
        after: if direction == Direction::Back { number } else { number - 1 },
        from: from.schema.fingerprint(),
        compatible: false,
        parts: parts.iter().map(part).collect(),
    }
}

/// The tables that have rows, those that others refer to first.
fn with_rows(schema: &Applied) -> Vec<&Table> {
    let mut left: Vec<&Table> = schema.tables.iter().filter(|table| !table.name.starts_with('_')).collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |table: &Table| {
            table.references.iter().any(|of| of.table != table.name && left.iter().any(|other| other.name == of.table))
        };
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

fn rows(schema: &Applied, words: &Words) -> Vec<String> {
    let name = |name: &str| format!("{0}{name}{0}", words.quote);
    let mut rows = Vec::new();
    for table in with_rows(schema) {
        let columns: Vec<String> = table.columns.iter().map(|column| name(&column.name)).collect();
        for row in 1..=ROWS {
            let value = |column: &Column| match column.ty {
                _ if column.null && row == 2 => "NULL".into(),
                Type::Scalar(kind) => (words.value)(kind, row),
                Type::List(_) | Type::Null | Type::Duration => "NULL".into(),
            };
            let values: Vec<String> = table.columns.iter().map(value).collect();
            rows.push(format!(
                "INSERT INTO {} ({}) VALUES ({})",
                name(&table.name),
                columns.join(", "),
                values.join(", ")
            ));
        }
    }
    rows
}

/// What must be the same before and after: the number of rows of each table that stays, and every value of each column that stays as it
/// is.
fn kept(before: &Applied, after: &Snapshot, words: &Words) -> Vec<(String, String)> {
    let name = |name: &str| format!("{0}{name}{0}", words.quote);
    let mut kept = Vec::new();
    for table in with_rows(before) {
        let Some(now) = after.schema.tables.iter().find(|now| now.collection == table.collection) else { continue };
        let count = |table: &Table| format!("SELECT count(*) FROM {}", name(&table.name));
        kept.push((count(table), count(now)));
        for column in &table.columns {
            let former = |now: &Column, table: &Table| {
                let renamed = after.renamed.get(&table.name).and_then(|columns| columns.get(&now.name));
                *renamed.unwrap_or(&now.field) == column.field
            };
            let Some(there) = now.columns.iter().find(|there| former(there, now)) else { continue };
            if there.ty == column.ty && (there.null || !column.null) {
                let values = |table: &Table, column: &Column| {
                    format!("SELECT {}, {} FROM {} ORDER BY 1", name("id"), name(&column.name), name(&table.name))
                };
                kept.push((values(table, column), values(now, there)));
            }
        }
    }
    kept
}

/// What lies between two schemas, in words: for failures.
pub fn difference(from: &Applied, to: &Applied) -> String {
    steps(Some(from), to).iter().map(|step| format!("\n  {}", step.describe())).collect()
}
