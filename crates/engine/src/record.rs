//! Rows as records, for what Undergird asks itself: few rows, by name. Answers to clients never take this way.

use rustc_hash::FxHashMap;
use undergird_model::Value;
use undergird_plan::Plan;
use undergird_plan::rows::{Cell, Overflow, RowRef, RowSink};
use undergird_plan::shape::Output;

/// A row by the names of its fields.
#[derive(Clone, Default, PartialEq)]
pub struct Record(FxHashMap<String, Value>);

impl Record {
    /// A field; null when it was not selected.
    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// A text field.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Value::Text(text) | Value::Json(text) => Some(text),
            _ => None,
        }
    }

    /// A uuid field.
    pub fn uuid(&self, name: &str) -> Option<uuid::Uuid> {
        match self.get(name) {
            Value::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// An int or timestamp field.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Value::Int(number) | Value::Timestamp(number) => Some(*number),
            _ => None,
        }
    }

    /// A bool field; false when null.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Value::Bool(true))
    }

    /// A bytes field.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.get(name) {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A sink that makes records of the root's rows.
#[derive(Default)]
pub struct Collector {
    members: Vec<(String, usize)>,
    records: Vec<Record>,
}

impl Collector {
    /// What came.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

impl RowSink for Collector {
    fn begin(&mut self, plan: &Plan) {
        self.records.clear();
        self.members.clear();
        let Some(root) = plan.shape().read().and_then(|read| read.nodes.first()) else { return };
        for member in &root.object.members {
            if let Output::Column(position) = member.output {
                self.members.push((member.name.clone(), position));
            }
        }
    }

    fn row(&mut self, node: usize, row: &dyn RowRef) -> Result<(), Overflow> {
        if node == 0 {
            let members = self.members.iter().map(|(name, position)| (name.clone(), owned(row.cell(*position))));
            self.records.push(Record(members.collect()));
        }
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// A lent cell as a value of one's own. Lists of text only: Undergird's own collections have no others.
pub fn owned(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Bool(value),
        Cell::Int(value) => Value::Int(value),
        Cell::Float(value) => Value::float(value),
        Cell::Decimal(value) => Value::Decimal(value),
        Cell::Text(value) => Value::text(value),
        Cell::Uuid(value) => Value::Uuid(value),
        Cell::Timestamp(value) => Value::Timestamp(value),
        Cell::Date(value) => Value::Date(value),
        Cell::Time(value) => Value::Time(value),
        Cell::Json(value) => Value::Json(value.into()),
        Cell::Bytes(value) => Value::Bytes(value.into()),
        Cell::List(value) => {
            let texts: Vec<String> = serde_json::from_str(value).unwrap_or_default();
            Value::List(texts.into_iter().map(Value::Text).collect())
        }
    }
}
