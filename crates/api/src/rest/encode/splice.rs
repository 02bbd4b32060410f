//! The end: buffers of child nodes into the holes of their parents'.

use super::{Encoder, Field, Form, Hole, HoleKind, NONE, Node, csv};
use crate::rest::media::Media;
use undergird_plan::request::Aggregate;
use undergird_plan::rows::Overflow;
use undergird_plan::shape::{Column, Output, Read};

/// The whole body.
pub(super) fn body(encoder: &mut Encoder, read: &Read) -> Result<Vec<u8>, Overflow> {
    let media = encoder.options.media;
    let array = matches!(media, Media::Array { .. });
    if encoder.nodes.first().is_some_and(|root| root.form == Form::Final) {
        // In its final form already, but for the end.
        let mut bytes = std::mem::take(&mut encoder.nodes[0].bytes);
        if array {
            if bytes.is_empty() {
                bytes.push(b'[');
            }
            bytes.push(b']');
        }
        return Ok(bytes);
    }
    let splicer =
        Splicer { read, nodes: &encoder.nodes, stripped: media.nulls_stripped(), bytes_max: encoder.options.bytes_max };
    let capacity = encoder.nodes.iter().map(|node| node.bytes.len()).sum::<usize>() + 64;
    let mut out = Vec::with_capacity(capacity);
    if media == Media::Csv {
        let Some(root) = read.nodes.first() else { return Ok(out) };
        csv::body(&splicer, &root.object, &mut out)?;
        return Ok(out);
    }
    if array {
        out.push(b'[');
    }
    for (position, row) in splicer.root_rows().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        splicer.row(0, row, &mut out)?;
    }
    if array {
        out.push(b']');
    }
    Ok(out)
}

/// All nodes, and what holds for all of them.
pub(super) struct Splicer<'a> {
    read: &'a Read,
    nodes: &'a [Node],
    stripped: bool,
    bytes_max: usize,
}

impl<'a> Splicer<'a> {
    pub fn root(&self) -> Option<&'a Node> {
        self.nodes.first()
    }

    /// The rows of the root in the order of the answer: for a write, that of the written keys.
    pub fn root_rows(&self) -> Box<dyn Iterator<Item = u32> + 'a> {
        let Some(root) = self.root() else { return Box::new(std::iter::empty()) };
        if root.groups.is_empty() {
            return Box::new(0..root.rows.len() as u32);
        }
        Box::new((0..root.groups.len()).flat_map(|group| rows_of(root, group)))
    }

    /// Whether the body still fits.
    pub fn check(&self, length: usize) -> Result<(), Overflow> {
        if length > self.bytes_max { Err(Overflow) } else { Ok(()) }
    }

    fn row(&self, node: usize, row: u32, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let Some(node) = self.nodes.get(node) else { return Ok(()) };
        let Some(at) = node.rows.get(row as usize) else { return Ok(()) };
        let holes_end = node.rows.get(row as usize + 1).map_or(node.holes.len(), |next| next.holes);
        self.range(node, (at.start, at.end), (at.holes, holes_end), out)
    }

    /// One value of a row that is kept as values.
    pub fn field(&self, node: &Node, field: &Field, out: &mut Vec<u8>) -> Result<(), Overflow> {
        self.range(node, (field.start, field.end), field.holes, out)
    }

    /// A range of a node's octets with these holes in it filled.
    fn range(
        &self,
        node: &Node,
        (start, end): (usize, usize),
        (first, last): (usize, usize),
        out: &mut Vec<u8>,
    ) -> Result<(), Overflow> {
        let mut copied = start;
        for hole in node.holes.get(first..last).unwrap_or_default() {
            if self.stripped && hole.prefix > 0 && self.is_nothing(hole) {
                self.copy(node, copied, hole.at - hole.prefix as usize, out);
            } else {
                self.copy(node, copied, hole.at, out);
                self.fill(hole, out)?;
            }
            copied = hole.at;
            self.check(out.len())?;
        }
        self.copy(node, copied, end, out);
        self.check(out.len())
    }

    fn copy(&self, node: &Node, start: usize, end: usize, out: &mut Vec<u8>) {
        let mut bytes = node.bytes.get(start..end).unwrap_or_default();
        // The members before this one were left out, so that its comma has nothing to part it from.
        if self.stripped && out.last() == Some(&b'{') && bytes.first() == Some(&b',') {
            bytes = &bytes[1..];
        }
        out.extend_from_slice(bytes);
    }

    /// Whether the hole's value is null.
    fn is_nothing(&self, hole: &Hole) -> bool {
        let child = self.nodes.get(hole.child as usize);
        matches!(hole.kind, HoleKind::Only) && child.is_none_or(|child| child.groups.first(hole.group) == NONE)
    }

    /// The aggregate of no rows, which is a row too when nothing but the parent groups it: a count of 0, and null for the others.
    fn nothing_aggregated(&self, node: usize, out: &mut Vec<u8>) -> bool {
        let Some(plan) = self.read.nodes.get(node) else { return false };
        let link = plan.parent.as_ref().map_or(0, |parent| parent.columns.len());
        if plan.group_by.as_ref().is_none_or(|groups| groups.len() != link) {
            return false;
        }
        out.push(b'{');
        let mut first = true;
        for member in &plan.object.members {
            let is_count = match member.output {
                Output::Column(at) => {
                    matches!(plan.columns.get(at), Some(Column::Aggregate(Aggregate::Count, ..)))
                }
                _ => false,
            };
            if self.stripped && !is_count {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(member.prefix.as_bytes());
            out.extend_from_slice(if is_count { b"0" } else { b"null" });
        }
        out.push(b'}');
        true
    }

    fn fill(&self, hole: &Hole, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let position = hole.child as usize;
        let Some(child) = self.nodes.get(position) else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        match hole.kind {
            HoleKind::Only => match child.groups.first(hole.group) {
                NONE => {
                    if !self.nothing_aggregated(position, out) {
                        out.extend_from_slice(b"null");
                    }
                    Ok(())
                }
                row => self.row(position, row, out),
            },
            HoleKind::Many => {
                out.push(b'[');
                if child.groups.first(hole.group) == NONE {
                    self.nothing_aggregated(position, out);
                }
                for (count, row) in rows_of(child, hole.group).enumerate() {
                    if count > 0 {
                        out.push(b',');
                    }
                    self.row(position, row, out)?;
                }
                out.push(b']');
                Ok(())
            }
            HoleKind::Pluck(member) => {
                let members = child.fields.len() / child.rows.len().max(1);
                out.push(b'[');
                for (count, row) in rows_of(child, hole.group).enumerate() {
                    if count > 0 {
                        out.push(b',');
                    }
                    match child.fields.get(row as usize * members + member as usize) {
                        Some(field) => self.field(child, field, out)?,
                        None => out.extend_from_slice(b"null"),
                    }
                }
                out.push(b']');
                Ok(())
            }
        }
    }
}

/// The rows of a group in order of arrival.
fn rows_of(node: &Node, group: u32) -> impl Iterator<Item = u32> {
    let mut at = node.groups.first(group);
    std::iter::from_fn(move || {
        let row = node.rows.get(at as usize)?;
        let found = at;
        at = row.next;
        Some(found)
    })
}
