//! Adopting a database that is there already: what a store finds in one ([`Survey`]), and the definition that says the same
//! ([`definition()`]), with a report of what it could not say.
//!
//! Pure: a store looks, this decides and writes text. Absent: any change to the database. What the definition says is adopted
//! (`adopted = true`), so no step ever makes, changes or drops it.

mod checks;
mod names;
mod shape;
mod text;

#[cfg(test)]
mod tests;

pub use names::snake_case;

use undergird_model::field_type::FieldType;

/// Most tables and views that one adoption takes.
pub const TABLES_MAX: usize = 1_500;
/// Rows that are looked at to find what their table does not say: which columns tell them apart, how dates are kept.
pub const SAMPLE_ROWS: usize = 100_000;

/// What a store found in a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// Tables and views, in an order that does not change from one look to the next.
    pub tables: Vec<Found>,
    /// What is there besides, and cannot be carried: a sentence each.
    pub notes: Vec<String>,
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A table.
    Table,
    /// A view, a materialized one among them: read only.
    View,
}

/// A table or a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its schema, where that is not the connection's own.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is.
    pub sort: Sort,
    /// What people wrote about it.
    pub comment: Option<String>,
    /// In order.
    pub columns: Vec<FoundColumn>,
    /// Columns of the primary key, in order.
    pub key: Vec<String>,
    /// Where there is none: columns that tell the rows apart today, as far as the store looked.
    pub apart: Vec<String>,
    /// Unique combinations besides the key, without conditions or expressions.
    pub uniques: Vec<Vec<String>>,
    /// Other indexes: columns, whether each descends.
    pub indexes: Vec<Vec<(String, bool)>>,
    /// Foreign keys.
    pub references: Vec<FoundReference>,
    /// Checks: name and text.
    pub checks: Vec<(String, String)>,
    /// What cannot be carried, a sentence each.
    pub notes: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundColumn {
    /// Its name.
    pub name: String,
    /// Its type as the database calls it.
    pub native: String,
    /// What a field holds of it, or why none can.
    pub holds: Result<Holds, String>,
    /// Whether it may be null.
    pub null: bool,
    /// What it is when an insert leaves it out.
    pub default: FoundDefault,
    /// What people wrote about it.
    pub comment: Option<String>,
    /// What is different from what one would expect, a sentence each.
    pub notes: Vec<String>,
}

/// What a field holds of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Holds {
    /// The field's type.
    pub ty: FieldType,
    /// The form, where it is not the usual one.
    pub storage: Option<String>,
    /// Greatest length.
    pub max: Option<u64>,
    /// Least number.
    pub min: Option<i64>,
}

impl Holds {
    /// A type in its usual form.
    pub fn of(ty: FieldType) -> Holds {
        Holds { ty, storage: None, max: None, min: None }
    }

    /// Text of at most so many characters.
    pub fn text(max: Option<u64>) -> Holds {
        Holds { max, ..Holds::of(FieldType::Text { pattern: None }) }
    }

    /// In a form of its own.
    pub fn kept(self, storage: &str) -> Holds {
        Holds { storage: Some(storage.to_owned()), ..self }
    }
}

/// What a column is when an insert leaves it out.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundDefault {
    /// Null, or nothing: it must be said.
    None,
    /// A constant, as a body would say it.
    Literal(serde_json::Value),
    /// The moment of the insert.
    Now,
    /// The next number, also where null is inserted: SQLite's `INTEGER PRIMARY KEY`, MySQL's `AUTO_INCREMENT`.
    Numbered,
    /// The next number, where nothing is inserted: PostgreSQL's `serial` and identity.
    Sequence,
    /// Something else that the database works out, its text for the report.
    Database(String),
    /// Computed always; nobody may write it.
    Always,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundReference {
    /// Its name, if it has one.
    pub name: String,
    /// Ours, in order.
    pub columns: Vec<String>,
    /// The schema of the other table, as in [`Found::schema`].
    pub schema: Option<String>,
    /// The other table.
    pub table: String,
    /// Its columns, in order; empty: its key.
    pub targets: Vec<String>,
    /// `NO ACTION`, `RESTRICT`, `CASCADE`, `SET NULL`, `SET DEFAULT`.
    pub on_delete: String,
    /// The same, when the other key changes.
    pub on_update: String,
}

/// A written definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Files by their path in the application's directory, without `undergird.toml`.
    pub files: Vec<(String, String)>,
    /// How many collections there are.
    pub collections: usize,
    /// What was not carried or is other than it was, a line each: `table.column: why`.
    pub report: Vec<String>,
}

/// The models of what was found.
pub fn definition(survey: &Survey) -> Written {
    let shaped = shape::shape(survey);
    text::write(&shaped)
}

/// A constant that a database writes as text, as a body would say it. `None` where it is no value of the type.
pub fn literal(ty: &FieldType, text: &str) -> Option<serde_json::Value> {
    let json = match ty {
        FieldType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => true.into(),
            "false" | "f" | "0" => false.into(),
            _ => return None,
        },
        FieldType::Int | FieldType::Float | FieldType::Decimal { .. } | FieldType::Json { .. } => {
            serde_json::from_str(text).ok()?
        }
        FieldType::List { .. } if text == "{}" => serde_json::json!([]),
        FieldType::List { .. } => return None,
        _ => text.into(),
    };
    ty.accept_json(&json).is_ok().then_some(json)
}

/// Combinations of columns that may tell the rows of a table without a key apart, the likeliest first. For stores, which try them.
pub fn candidates(table: &Found) -> Vec<Vec<String>> {
    const SINGLES_MAX: usize = 12;
    const PAIRS_OF: usize = 6;
    const ALL_MAX: usize = 12;
    let comparable: Vec<&FoundColumn> = table.columns.iter().filter(|column| is_keyable(column)).collect();
    let own = format!("{}_id", snake_case(&table.name));
    let mut names: Vec<&str> = comparable.iter().map(|column| column.name.as_str()).collect();
    names.sort_by_key(|name| {
        let plain = snake_case(name);
        u8::from(plain != "id") + u8::from(plain != "id" && plain != own) + u8::from(!plain.ends_with("id"))
    });
    let mut all: Vec<Vec<String>> = names.iter().take(SINGLES_MAX).map(|name| vec![(*name).to_owned()]).collect();
    for (position, first) in names.iter().take(PAIRS_OF).enumerate() {
        for second in names.iter().take(PAIRS_OF).skip(position + 1) {
            all.push(vec![(*first).to_owned(), (*second).to_owned()]);
        }
    }
    if (3..=ALL_MAX).contains(&comparable.len()) {
        all.push(comparable.iter().map(|column| column.name.clone()).collect());
    }
    all
}

/// Whether a column's field may be part of a key.
pub(crate) fn is_keyable(column: &FoundColumn) -> bool {
    column.holds.as_ref().is_ok_and(|holds| {
        !matches!(holds.ty, FieldType::Json { .. } | FieldType::List { .. } | FieldType::Float | FieldType::Secret)
    })
}
