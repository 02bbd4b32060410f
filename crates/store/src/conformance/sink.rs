//! Rows as JSON text, put together by the plan's own objects.

use crate::run::cell_value;
use std::any::Any;
use std::sync::Arc;
use undergird_model::Value;
use undergird_model::field_type::wire;
use undergird_plan::shape::{Member, Object, Output, Read, Shape};
use undergird_plan::{Plan, RowRef, RowSink, rows::Overflow};

/// Keeps all rows of all nodes until they are asked for.
#[derive(Default)]
pub(super) struct Tree {
    shape: Option<Arc<Shape>>,
    /// Cells in their wire form, by node and row.
    rows: Vec<Vec<Vec<String>>>,
    keys: Vec<Vec<String>>,
    total: Option<u64>,
}

impl RowSink for Tree {
    fn begin(&mut self, plan: &Plan) {
        let nodes = plan.shape().read().map_or(0, |read| read.nodes.len());
        *self = Tree { shape: Some(Arc::clone(plan.shape())), rows: vec![Vec::new(); nodes], ..Tree::default() };
    }

    fn row(&mut self, node: usize, row: &dyn RowRef) -> Result<(), Overflow> {
        let width = self.read().and_then(|read| read.nodes.get(node)).map_or(0, |node| node.columns.len());
        let cells = (0..width)
            .map(|at| match cell_value(row.cell(at)) {
                // Lists and JSON are JSON already.
                Value::Json(text) => text,
                value => wire::to_json(&value),
            })
            .collect();
        if let Some(rows) = self.rows.get_mut(node) {
            rows.push(cells);
        }
        Ok(())
    }

    fn written(&mut self, keys: &[Vec<Value>]) {
        self.keys = keys.iter().map(|key| key.iter().map(wire::to_json).collect()).collect();
    }

    fn total(&mut self, rows: u64) {
        self.total = Some(rows);
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl Tree {
    fn read(&self) -> Option<&Read> {
        self.shape.as_ref().and_then(|shape| shape.read())
    }

    /// The answer: an array of objects, and the total when it was asked for. Written rows come in the order of their keys.
    pub(super) fn text(&self) -> String {
        let Some(read) = self.read() else { return String::new() };
        let Some(root) = read.nodes.first() else { return String::new() };
        let mut rows: Vec<&Vec<String>> = self.rows.first().map(|rows| rows.iter().collect()).unwrap_or_default();
        if let Some(parent) = &root.parent {
            rows.sort_by_key(|cells| {
                self.keys
                    .iter()
                    .position(|key| parent.columns.iter().enumerate().all(|(at, of)| cells.get(at) == key.get(*of)))
            });
        }
        let objects: Vec<String> = rows.into_iter().map(|cells| self.object(read, &root.object, 0, cells)).collect();
        let mut text = format!("[{}]", objects.join(","));
        if let Some(total) = self.total {
            text.push_str(&format!(" of {total}"));
        }
        text
    }

    fn object(&self, read: &Read, object: &Object, node: usize, cells: &[String]) -> String {
        let members: Vec<String> = object
            .members
            .iter()
            .map(|member| format!("{}{}", member.prefix, self.member(read, member, node, cells)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn member(&self, read: &Read, member: &Member, node: usize, cells: &[String]) -> String {
        let cell = |at: usize| cells.get(at).cloned().unwrap_or_else(|| "(no such cell)".into());
        match &member.output {
            Output::Column(at) => cell(*at),
            Output::One { present, object } => {
                if cell(*present) == "null" {
                    "null".into()
                } else {
                    self.object(read, object, node, cells)
                }
            }
            Output::Many { node: child } => {
                let objects: Vec<String> = self
                    .children(read, *child, cells)
                    .map(|row| self.object(read, &read.nodes[*child].object, *child, row))
                    .collect();
                format!("[{}]", objects.join(","))
            }
            Output::Only { node: child } => self
                .children(read, *child, cells)
                .next()
                .map_or_else(|| "null".into(), |row| self.object(read, &read.nodes[*child].object, *child, row)),
            Output::Pluck { node: child, member } => {
                let values: Vec<String> = self
                    .children(read, *child, cells)
                    .filter_map(|row| {
                        let member = read.nodes[*child].object.members.get(*member)?;
                        Some(self.member(read, member, *child, row))
                    })
                    .collect();
                format!("[{}]", values.join(","))
            }
        }
    }

    /// The rows of a child node that belong to a row.
    fn children<'a>(
        &'a self,
        read: &'a Read,
        child: usize,
        cells: &'a [String],
    ) -> impl Iterator<Item = &'a Vec<String>> {
        let columns = read.nodes.get(child).and_then(|node| node.parent.as_ref()).map_or(&[][..], |p| &p.columns);
        self.rows
            .get(child)
            .into_iter()
            .flatten()
            .filter(move |row| columns.iter().enumerate().all(|(at, of)| row.get(at) == cells.get(*of)))
    }
}
