//! The schema as data: what the definition wants ([`wanted()`]), what the database was given ([`Applied`], kept in the database
//! itself), and the steps between the two ([`steps()`]).
//!
//! Everything here is the same for every store: types are the model's, checks are [`Condition`]s. Deliberately absent: SQL (each
//! store writes its own), linting and committed migrations (they build on these steps).

mod condition;
mod literal;
mod state;
mod steps;
mod wanted;

pub use condition::{Condition, Operand, SizeOf, TextTest, checkable};
pub use literal::Literal;
pub use state::{before, take};
pub use steps::{Conversion, Step, conversion, steps};
pub use wanted::wanted;

use serde::{Deserialize, Serialize};
use undergird_model::schema::Direction;
use undergird_model::{Kind, Type};

/// Version of the description's form that this build writes and reads.
pub const FORMAT: u32 = 1;

/// A schema that was, or is to be, given to a database.
///
/// Its JSON is kept in the database and read by later versions: a changed form needs a new [`FORMAT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// Version of this description's own form.
    pub format: u32,
    /// In order of their names.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name in the database.
    pub name: String,
    /// The collection that lives in it.
    pub collection: String,
    /// In order of declaration.
    pub columns: Vec<Column>,
    /// Columns of the primary key, in order.
    pub key: Vec<String>,
    /// Whether the database numbers the (single, integer) key, never giving a number twice.
    #[serde(default, skip_serializing_if = "is_false")]
    pub identity: bool,
    /// Foreign keys, in order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Checks, in order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Indexes besides the key's, in order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in the database.
    pub name: String,
    /// The field that lives in it.
    pub field: String,
    /// What it holds: a scalar or a list of scalars.
    #[serde(rename = "type", with = "type_name")]
    pub ty: Type,
    /// Whether it may be null.
    #[serde(default, skip_serializing_if = "is_false")]
    pub null: bool,
    /// What rows get that were there before the column was, and rows inserted by other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Literal>,
    /// The field's declared former name: a wish about the way here, so it is no part of the record or of the fingerprint.
    #[serde(skip)]
    pub renamed_from: Option<String>,
}

/// A foreign key of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// `{table}_{column}_fkey`.
    pub name: String,
    /// Ours.
    pub column: String,
    /// Whose row it names.
    pub table: String,
    /// The column of its key.
    pub target: String,
    /// What happens here when that row goes.
    pub on_delete: OnDelete,
}

/// What happens to a referring row when the row that it refers to goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// That row cannot go.
    Restrict,
    /// This row goes too.
    Cascade,
    /// The column becomes null.
    SetNull,
}

/// A rule that the database itself holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `{table}_{column}_{kind}`, or the name in the definition.
    pub name: String,
    /// The one column that it is about, unless it is a rule about the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What it demands. Null in its column passes, except for [`CheckRule::Condition`].
    pub rule: CheckRule,
}

/// What a check demands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckRule {
    /// One of these texts.
    OneOf(Vec<String>),
    /// Not less than this.
    AtLeast(Literal),
    /// Not more than this.
    AtMost(Literal),
    /// Not shorter than this (characters, octets, elements).
    LengthAtLeast(u64),
    /// Not longer than this.
    LengthAtMost(u64),
    /// A rule over the row.
    Condition(Condition),
}

impl CheckRule {
    /// Whether whatever fits another rule fits this one too. `false` where that is not plain to see.
    pub fn allows_all_of(&self, other: &CheckRule) -> bool {
        let bounds = |one: &Literal, other: &Literal| match (one, other) {
            (Literal::Int(one), Literal::Int(other)) => Some(one.cmp(other)),
            _ => (one == other).then_some(std::cmp::Ordering::Equal),
        };
        match (self, other) {
            (CheckRule::OneOf(these), CheckRule::OneOf(those)) => those.iter().all(|value| these.contains(value)),
            (CheckRule::AtLeast(this), CheckRule::AtLeast(that)) => {
                bounds(this, that).is_some_and(|order| order.is_le())
            }
            (CheckRule::AtMost(this), CheckRule::AtMost(that)) => bounds(this, that).is_some_and(|order| order.is_ge()),
            (CheckRule::LengthAtLeast(this), CheckRule::LengthAtLeast(that)) => this <= that,
            (CheckRule::LengthAtMost(this), CheckRule::LengthAtMost(that)) => this >= that,
            _ => self == other,
        }
    }
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Its name, unique in the database.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<IndexColumn>,
    /// No two rows have the same combination (nulls apart).
    #[serde(default, skip_serializing_if = "is_false")]
    pub unique: bool,
}

/// A column of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexColumn {
    /// Its name.
    pub name: String,
    /// Greatest first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub descending: bool,
}

impl IndexColumn {
    /// A column with its direction.
    pub fn new(name: &str, direction: Direction) -> IndexColumn {
        IndexColumn { name: name.to_owned(), descending: direction == Direction::Descending }
    }
}

impl Applied {
    /// The schema of an empty database.
    pub fn empty() -> Applied {
        Applied { format: FORMAT, tables: Vec::new() }
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The record's text.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists only: there is nothing in it that JSON could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the record's text.
    ///
    /// # Errors
    /// A sentence that says why this build cannot read it.
    pub fn from_json(text: &str) -> Result<Applied, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("it has form {format}, this build of Undergird reads form {FORMAT}"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Names the schema: equal for schemas that differ at most in the order in which things were declared.
    ///
    /// FNV-1a of 128 bits over the canonical JSON. It guards against mistakes, not against forgers: whoever can write the record
    /// can write the tables.
    pub fn fingerprint(&self) -> String {
        let mut canonical = self.clone();
        canonical.tables.sort_by(|a, b| a.name.cmp(&b.name));
        for table in &mut canonical.tables {
            table.columns.sort_by(|a, b| a.name.cmp(&b.name));
            table.references.sort_by(|a, b| a.name.cmp(&b.name));
            table.checks.sort_by(|a, b| a.name.cmp(&b.name));
            table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        named(&canonical.to_json())
    }
}

impl Table {
    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A name for a text, by FNV-1a of 128 bits: it guards against mistakes, not against forgers.
pub(crate) fn named(text: &str) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Types by the names that the record uses: `text`, `decimal(10,2)`, `list(text)`. Not [`Type`]'s `Display`, which is for people
/// and may change.
mod type_name {
    use super::{Kind, Type};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(ty: &Type, serializer: S) -> Result<S::Ok, S::Error> {
        match ty {
            Type::Scalar(kind) => serializer.serialize_str(&kind_name(*kind)),
            Type::List(kind) => serializer.serialize_str(&format!("list({})", kind_name(*kind))),
            Type::Null | Type::Duration => Err(serde::ser::Error::custom("a column holds a scalar or a list")),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Type, D::Error> {
        let name = String::deserialize(deserializer)?;
        let ty = match name.strip_prefix("list(").and_then(|rest| rest.strip_suffix(')')) {
            Some(of) => kind(of).map(Type::List),
            None => kind(&name).map(Type::Scalar),
        };
        ty.ok_or_else(|| de::Error::custom(format!("unknown type \"{name}\"")))
    }

    fn kind_name(kind: Kind) -> String {
        match kind {
            Kind::Bool => "bool".into(),
            Kind::Int => "int".into(),
            Kind::Float => "float".into(),
            Kind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Kind::Text => "text".into(),
            Kind::Uuid => "uuid".into(),
            Kind::Timestamp => "timestamp".into(),
            Kind::Date => "date".into(),
            Kind::Time => "time".into(),
            Kind::Json => "json".into(),
            Kind::Bytes => "bytes".into(),
        }
    }

    fn kind(name: &str) -> Option<Kind> {
        Some(match name {
            "bool" => Kind::Bool,
            "int" => Kind::Int,
            "float" => Kind::Float,
            "text" => Kind::Text,
            "uuid" => Kind::Uuid,
            "timestamp" => Kind::Timestamp,
            "date" => Kind::Date,
            "time" => Kind::Time,
            "json" => Kind::Json,
            "bytes" => Kind::Bytes,
            _ => {
                let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
                Kind::Decimal { precision: precision.parse().ok()?, scale: scale.parse().ok()? }
            }
        })
    }
}

#[cfg(test)]
mod tests;
