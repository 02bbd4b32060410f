//! A backfill: the rows of a table filled in the order of its key, so many at once, each batch in a transaction of its own together with
//! the note of how far it came. So others wait for a batch at most, and a process that dies goes on where it stopped.
//!
//! Here is what it says and its statements as text; each store runs them, and keeps the last key in its own form. Absent: whether rows
//! that come meanwhile need it, too: one with a key that was passed already is not seen again.

use super::{Entry, Sql};
use crate::schema::Applied;
use std::collections::BTreeMap;
use std::time::Duration;
use undergird_model::Type;

/// How many rows are taken at once unless it is said.
const BATCH: u32 = 1_000;

/// Most rows that are taken at once.
const BATCH_MAX: u32 = 100_000;

/// Longest rest between two batches.
const PAUSE_MILLIS_MAX: u64 = 60_000;

/// A backfill as a file says it, for every store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Which table.
    pub table: String,
    /// The columns of its key, in order.
    pub key: Vec<(String, Type)>,
    /// What each column is set to.
    pub set: BTreeMap<String, Sql>,
    /// Which rows alone.
    pub only: Option<Sql>,
    /// How many rows at once.
    pub batch: u32,
    /// How long to rest between two batches.
    pub pause: Duration,
}

impl Fill {
    /// What an entry says, in a schema.
    ///
    /// # Errors
    /// A sentence: there is no such table or column, or a number is out of bounds.
    pub(super) fn of(entry: &Entry, table: &str, schema: &Applied) -> Result<Fill, String> {
        let Some(there) = schema.table(table) else { return Err("there is no such table here".into()) };
        if entry.set.is_empty() {
            return Err("it sets nothing: it needs `set.column = \"expression\"`".into());
        }
        for column in entry.set.keys() {
            if there.column(column).is_none() {
                return Err(format!("{table} has no column {column} here"));
            }
            if there.key.contains(column) {
                return Err(format!("{table}.{column} is of the key, by whose order rows are taken"));
            }
        }
        let batch = entry.batch.unwrap_or(BATCH);
        if !(1..=BATCH_MAX).contains(&batch) {
            return Err(format!("`batch` is between 1 and {BATCH_MAX} rows"));
        }
        let pause = entry.pause_millis.unwrap_or(0);
        if pause > PAUSE_MILLIS_MAX {
            return Err(format!("`pause_millis` is at most {PAUSE_MILLIS_MAX}"));
        }
        let key = there.key.iter().filter_map(|name| Some((name.clone(), there.column(name)?.ty))).collect();
        Ok(Fill {
            table: table.to_owned(),
            key,
            set: entry.set.clone(),
            only: entry.only.clone(),
            batch,
            pause: Duration::from_millis(pause),
        })
    }

    /// For one store.
    ///
    /// # Errors
    /// A sentence: it says nothing for this store.
    pub fn run(&self, store: &str) -> Result<Backfill, String> {
        let of = |sql: &Sql, what: &str| match sql.of(store).map(str::trim) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(format!("the backfill of {} says nothing for {what} on {store}", self.table)),
        };
        let set = self.set.iter().map(|(column, sql)| Ok((column.clone(), of(sql, &format!("set.{column}"))?)));
        Ok(Backfill {
            table: self.table.clone(),
            key: self.key.clone(),
            set: set.collect::<Result<_, String>>()?,
            only: self.only.as_ref().map(|only| of(only, "where")).transpose()?,
            batch: self.batch,
            pause: self.pause,
        })
    }
}

/// A backfill for one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Which table.
    pub table: String,
    /// The columns of its key, in order.
    pub key: Vec<(String, Type)>,
    /// What each column is set to, in the store's words.
    pub set: Vec<(String, String)>,
    /// Which rows alone, in the store's words.
    pub only: Option<String>,
    /// How many keys at once.
    pub batch: u32,
    /// How long to rest between two batches.
    pub pause: Duration,
}

/// How a store writes what a backfill needs.
pub struct Words<'a> {
    /// A name, quoted.
    pub name: &'a (dyn Fn(&str) -> String + Sync),
    /// The parameter of this number (from 1), for a value of the type as `read` gives it.
    pub parameter: &'a (dyn Fn(usize, Type) -> String + Sync),
    /// A column of the type as it is read and kept.
    pub read: &'a (dyn Fn(&str, Type) -> String + Sync),
}

impl Backfill {
    /// How many rows the table has. Those that need nothing count, too: their keys are passed.
    pub fn count(&self, words: &Words<'_>) -> String {
        format!("SELECT count(*) FROM {}", (words.name)(&self.table))
    }

    /// The next keys, after the last one (its columns are the parameters) or from the beginning.
    pub fn keys(&self, words: &Words<'_>, begun: bool) -> String {
        let columns: Vec<String> =
            self.key.iter().map(|(column, ty)| (words.read)(&(words.name)(column), *ty)).collect();
        let order: Vec<String> = self.key.iter().map(|(column, _)| (words.name)(column)).collect();
        let after = if begun { format!(" WHERE {}", self.bound(words, ">", 1)) } else { String::new() };
        format!(
            "SELECT {} FROM {}{after} ORDER BY {} LIMIT {}",
            columns.join(", "),
            (words.name)(&self.table),
            order.join(", "),
            self.batch
        )
    }

    /// Fills the rows up to a key, after the last one or from the beginning. The parameters are the columns of the last key, if there is
    /// one, and then of the key up to which it goes.
    pub fn update(&self, words: &Words<'_>, begun: bool) -> String {
        let mut first = 1;
        let mut within = Vec::new();
        if begun {
            within.push(self.bound(words, ">", first));
            first += self.key.len();
        }
        within.push(self.bound(words, "<=", first));
        within.extend(self.only.iter().map(|only| format!("({only})")));
        format!("UPDATE {} SET {} WHERE {}", (words.name)(&self.table), self.sets(words.name), within.join(" AND "))
    }

    /// The statement for people to read.
    pub fn shown(&self, name: &dyn Fn(&str) -> String) -> String {
        let key: Vec<String> = self.key.iter().map(|(column, _)| name(column)).collect();
        let only = self.only.iter().map(|only| format!(" AND ({only})")).collect::<String>();
        format!("UPDATE {} SET {} WHERE ({}) is among them{only}", name(&self.table), self.sets(name), key.join(", "))
    }

    fn sets(&self, name: &dyn Fn(&str) -> String) -> String {
        let sets: Vec<String> = self.set.iter().map(|(column, sql)| format!("{} = ({sql})", name(column))).collect();
        sets.join(", ")
    }

    fn bound(&self, words: &Words<'_>, how: &str, first: usize) -> String {
        let columns: Vec<String> = self.key.iter().map(|(column, _)| (words.name)(column)).collect();
        let parameters: Vec<String> =
            self.key.iter().enumerate().map(|(at, (_, ty))| (words.parameter)(first + at, *ty)).collect();
        match (columns.as_slice(), parameters.as_slice()) {
            ([column], [parameter]) => format!("{column} {how} {parameter}"),
            _ => format!("({}) {how} ({})", columns.join(", "), parameters.join(", ")),
        }
    }
}

/// How far a backfill came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The migration's number.
    pub number: u32,
    /// The part of it, from 0.
    pub part: u32,
    /// Whose rows.
    pub table: String,
    /// How many keys were passed.
    pub done: u64,
    /// How many rows the table had when it began.
    pub total: u64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rows may have come since they were counted.
        write!(f, "{} of {} rows of {}", self.done, self.total.max(self.done), self.table)
    }
}
