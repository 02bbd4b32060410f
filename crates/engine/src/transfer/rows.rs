//! Rows of one table, page by page in the order of their keys, and writes to it in transactions of some size.
//!
//! Absent: which rows are to be written.

use super::words::{PAGE_ROWS, Words};
use futures_util::future::BoxFuture;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use undergird_model::field_type::json::canonical_text;
use undergird_model::field_type::{FieldType, wire};
use undergird_model::{Kind, Type, Value};
use undergird_plan::{Cell, RowRef};
use undergird_store::run::cell_value;
use undergird_store::{
    Bind, Bound, Connection, Decision, Flow, Isolation, Statement, Store, StoreError, Work, WorkAnswer,
};

/// A row: a value per column of the table.
pub(super) type Row = Vec<Value>;

/// How long one page or one transaction may take.
const STEP_TIME_MAX: Duration = Duration::from_secs(120);
/// Octets after which a page, or a transaction, is large enough.
const OCTETS_MAX: usize = 8 << 20;
/// Rows after which a transaction is.
const WRITES_MAX: usize = 1_000;
/// So many times as much is kept in memory until all that goes is gone.
const HELD_FACTOR: usize = 32;

/// About how large a row is.
pub(super) fn octets(row: &[Value]) -> usize {
    row.iter()
        .map(|value| match value {
            Value::Text(text) | Value::Json(text) => text.len(),
            Value::Bytes(octets) => octets.len(),
            Value::List(items) => octets(items),
            _ => 16,
        })
        .sum()
}

/// A row as all stores write it, for checksums: each value's wire form with its length, so that no two rows have the same.
pub(super) fn canonical(row: &[Value], out: &mut Vec<u8>) {
    let mut text = Vec::new();
    for value in row {
        if value.is_null() {
            out.push(0);
            continue;
        }
        text.clear();
        wire::write_json(&mut text, value);
        out.push(1);
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(&text);
    }
}

/// The order of keys that all stores have: numbers by size, text by code point, octets by octet.
pub(super) fn order(left: &[Value], right: &[Value]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| order_of(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn order_of(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Int(left), Value::Int(right))
        | (Value::Timestamp(left), Value::Timestamp(right))
        | (Value::Time(left), Value::Time(right)) => left.cmp(right),
        (Value::Float(left), Value::Float(right)) => left.cmp(right),
        (Value::Decimal(left), Value::Decimal(right)) => left.unscaled.cmp(&right.unscaled),
        // UTF-8 sorts as its code points do.
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Uuid(left), Value::Uuid(right)) => left.cmp(right),
        (Value::Date(left), Value::Date(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        // No key has anything else, and nulls none.
        _ => Ordering::Equal,
    }
}

/// A cell as a value of its column's type, in the form that it has on every store.
fn value(ty: Type, cell: Cell<'_>) -> Value {
    match (ty, cell) {
        (Type::List(kind), Cell::List(text)) => list(kind, text),
        (_, Cell::Json(text)) => Value::Json(canonical_text(text).unwrap_or_else(|| text.to_owned())),
        (_, cell) => cell_value(cell),
    }
}

fn list(kind: Kind, text: &str) -> Value {
    let of = match kind {
        Kind::Bool => FieldType::Bool,
        Kind::Int => FieldType::Int,
        Kind::Float => FieldType::Float,
        Kind::Decimal { precision, scale } => FieldType::Decimal { precision, scale },
        Kind::Text => FieldType::Text { pattern: None },
        Kind::Uuid => FieldType::Uuid,
        Kind::Timestamp => FieldType::Timestamp,
        Kind::Date => FieldType::Date,
        Kind::Time => FieldType::Time,
        Kind::Json => FieldType::Json { schema: None },
        Kind::Bytes => FieldType::Bytes,
    };
    let json = serde_json::from_str(text).ok();
    // What is no list of that kind stays what it is, and is refused by the target rather than lost.
    json.and_then(|json| FieldType::List { of: Box::new(of) }.accept_json(&json).ok())
        .unwrap_or_else(|| Value::text(text))
}

/// What one statement is run with: values by the number of their parameter.
fn bound<'a>(statement: &'a Statement, values: &'a [Value]) -> Vec<Bound<'a>> {
    let one = |(ty, bind): &'a (Type, Bind)| {
        let value = match bind {
            Bind::Input(at) => values.get(usize::from(*at)),
            _ => None,
        };
        Bound::Value(*ty, value.map_or(Cow::Owned(Value::Null), Cow::Borrowed))
    };
    statement.binds.iter().map(one).collect()
}

/// Reads rows of one statement.
struct Read {
    statement: Arc<Statement>,
    values: Row,
}

/// What was read, and whether it was cut because it was large.
type Page = (Vec<Row>, bool);

impl Work for Read {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let (mut rows, mut size, mut cut): (Vec<Row>, usize, bool) = (Vec::new(), 0, false);
            let types = &self.statement.columns;
            let mut each = |row: &dyn RowRef| {
                let row: Row = types.iter().enumerate().map(|(at, ty)| value(*ty, row.cell(at))).collect();
                size += octets(&row);
                rows.push(row);
                cut = size > OCTETS_MAX;
                if cut { Flow::Stop } else { Flow::Continue }
            };
            connection.query(&self.statement, bound(&self.statement, &self.values), &mut each).await?;
            let page: Page = (rows, cut);
            Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(page) })
        })
    }
}

/// Reads what a statement gives.
pub(super) async fn read(store: &Arc<dyn Store>, statement: &Arc<Statement>, values: Row) -> Result<Page, StoreError> {
    let work = Box::new(Read { statement: statement.clone(), values });
    let answer = store.transaction(work, Isolation::Snapshot, Instant::now() + STEP_TIME_MAX).await?;
    let page = answer.value.downcast::<Page>();
    page.map(|page| *page).map_err(|_| StoreError::Internal("the store lost a page".into()))
}

/// Reads the rows of some keys, one statement each, in one snapshot.
struct ReadKeys {
    statement: Arc<Statement>,
    keys: Arc<Vec<Row>>,
}

impl Work for ReadKeys {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            let mut rows: Vec<Option<Row>> = Vec::with_capacity(self.keys.len());
            let types = &self.statement.columns;
            for key in self.keys.iter() {
                let mut found = None;
                let mut each = |row: &dyn RowRef| {
                    found = Some(types.iter().enumerate().map(|(at, ty)| value(*ty, row.cell(at))).collect());
                    Flow::Continue
                };
                connection.query(&self.statement, bound(&self.statement, key), &mut each).await?;
                rows.push(found);
            }
            Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(rows) })
        })
    }
}

/// Reads the rows of some keys: one per key, none where there is none.
pub(super) async fn read_keys(
    store: &Arc<dyn Store>,
    words: &Words,
    keys: &Arc<Vec<Row>>,
) -> Result<Vec<Option<Row>>, StoreError> {
    let work = Box::new(ReadKeys { statement: words.one.clone(), keys: keys.clone() });
    let answer = store.transaction(work, Isolation::Snapshot, Instant::now() + STEP_TIME_MAX).await?;
    let rows = answer.value.downcast::<Vec<Option<Row>>>();
    rows.map(|rows| *rows).map_err(|_| StoreError::Internal("the store lost a page".into()))
}

/// A way through a table.
pub(super) struct Cursor<'a> {
    store: &'a Arc<dyn Store>,
    words: &'a Words,
    last: Option<Row>,
    page: VecDeque<Row>,
    ended: bool,
}

impl<'a> Cursor<'a> {
    /// From the first row, or from the first one after a key.
    pub(super) fn new(store: &'a Arc<dyn Store>, words: &'a Words, after: Option<Row>) -> Cursor<'a> {
        Cursor { store, words, last: after, page: VecDeque::new(), ended: false }
    }

    /// The next row, which stays the next one.
    pub(super) async fn peek(&mut self) -> Result<Option<&Row>, StoreError> {
        if self.page.is_empty() && !self.ended {
            let (statement, values) = match &self.last {
                Some(key) => (&self.words.after, key.clone()),
                None => (&self.words.first, Row::new()),
            };
            let (rows, cut) = read(self.store, statement, values).await?;
            self.ended = !cut && rows.len() < PAGE_ROWS;
            for row in rows {
                let key = self.words.key_of(&row);
                // What is compared row by row must come in one order from both stores.
                if self.last.as_ref().is_some_and(|last| order(last, &key).is_ge()) {
                    return Err(StoreError::Internal(format!("the rows of {} come in another order", self.words.name)));
                }
                self.last = Some(key);
                self.page.push_back(row);
            }
        }
        Ok(self.page.front())
    }

    /// Takes the row that was looked at.
    pub(super) fn take(&mut self) -> Option<Row> {
        self.page.pop_front()
    }
}

impl Words {
    /// A row's key.
    pub(super) fn key_of(&self, row: &[Value]) -> Row {
        self.key.iter().filter_map(|at| row.get(*at).cloned()).collect()
    }
}

/// What is done when a row cannot be made, because one that is there already has what only one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// The source is written meanwhile, and its pages are not of one moment: the row waits for the next round.
    Passed,
    /// Nobody writes: what is in the way goes before anything is made, so it cannot be.
    Impossible,
}

/// Writes to a table, gathered into transactions.
pub(super) struct Writes<'a> {
    store: &'a Arc<dyn Store>,
    words: &'a Words,
    meeting: Meeting,
    removed: Vec<Row>,
    made: Vec<Row>,
    size: usize,
}

impl<'a> Writes<'a> {
    pub(super) fn new(store: &'a Arc<dyn Store>, words: &'a Words, meeting: Meeting) -> Writes<'a> {
        Writes { store, words, meeting, removed: Vec::new(), made: Vec::new(), size: 0 }
    }

    /// A row is to be there.
    pub(super) async fn make(&mut self, row: Row) -> Result<(), StoreError> {
        self.size += octets(&row);
        self.made.push(row);
        self.write_some().await
    }

    /// The row of a key is to go; one with the same key may be made after that.
    pub(super) async fn remove(&mut self, key: Row) -> Result<(), StoreError> {
        self.removed.push(key);
        self.write_some().await
    }

    /// Replaces a row.
    pub(super) async fn replace(&mut self, key: Row, row: Row) -> Result<(), StoreError> {
        self.removed.push(key);
        self.make(row).await
    }

    /// Writes what was gathered.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        self.write_removed().await?;
        self.write_made().await
    }

    async fn write_some(&mut self) -> Result<(), StoreError> {
        let most = match self.meeting {
            Meeting::Passed => 1,
            // All that goes must be gone before anything is made; only memory ends this.
            Meeting::Impossible => HELD_FACTOR,
        };
        if self.made.len() >= WRITES_MAX * most || self.size >= OCTETS_MAX * most {
            return self.flush().await;
        }
        match self.removed.len() >= WRITES_MAX {
            true => self.write_removed().await,
            false => Ok(()),
        }
    }

    async fn write_removed(&mut self) -> Result<(), StoreError> {
        let writes: Vec<_> = self.removed.drain(..).map(|key| (self.words.remove.clone(), key)).collect();
        match writes.is_empty() {
            true => Ok(()),
            false => self.write(writes).await,
        }
    }

    async fn write_made(&mut self) -> Result<(), StoreError> {
        self.size = 0;
        // In one go; halves of what is refused, down to the row that is in the way.
        let mut left: Vec<Vec<Row>> =
            std::mem::take(&mut self.made).chunks(WRITES_MAX).rev().map(<[Row]>::to_vec).collect();
        while let Some(rows) = left.pop() {
            match self.write(self.inserts(&rows)).await {
                Err(StoreError::Constraint { .. }) if self.meeting == Meeting::Passed => {
                    if rows.len() > 1 {
                        let (first, second) = rows.split_at(rows.len() / 2);
                        left.extend([second.to_vec(), first.to_vec()]);
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn inserts(&self, rows: &[Row]) -> Vec<(Arc<Statement>, Row)> {
        let all = rows.chunks(self.words.many).flat_map(|rows| match rows.len() == self.words.many {
            true => vec![(self.words.insert_many.clone(), rows.concat())],
            false => rows.iter().map(|row| (self.words.insert.clone(), row.clone())).collect(),
        });
        all.collect()
    }

    async fn write(&self, writes: Vec<(Arc<Statement>, Row)>) -> Result<(), StoreError> {
        let work = Box::new(Write { writes });
        self.store.transaction(work, Isolation::Committed, Instant::now() + STEP_TIME_MAX).await.map(|_| ())
    }
}

struct Write {
    writes: Vec<(Arc<Statement>, Row)>,
}

impl Work for Write {
    fn run<'a>(&'a mut self, connection: &'a mut dyn Connection) -> BoxFuture<'a, Result<WorkAnswer, StoreError>> {
        Box::pin(async move {
            for (statement, values) in &self.writes {
                connection.query(statement, bound(statement, values), &mut |_| Flow::Continue).await?;
            }
            Ok(WorkAnswer { decision: Decision::Commit, value: Box::new(()) })
        })
    }
}
