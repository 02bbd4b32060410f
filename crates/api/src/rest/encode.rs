//! Rows to bytes: each cell is written once, straight from the driver's row, into its node's buffer; the buffers of child nodes are
//! spliced into their parents' at the end.
//!
//! Deliberately absent: status and headers (see [`content_range`]), and any tree of values between row and bytes. Nothing is
//! allocated per cell; a read of one node without child nodes is written in its final form at once.

pub mod canonical;
mod cell;
pub mod content_range;
mod csv;
mod groups;
mod splice;
#[cfg(test)]
mod tests;

use super::etag::Version;
use super::media::Media;
use bytes::Bytes;
use groups::Groups;
use std::sync::Arc;
use undergird_model::Value;
use undergird_plan::rows::Overflow;
use undergird_plan::shape::{Object, Output, Parent, Read, Shape};
use undergird_plan::{Plan, RowRef, RowSink};

/// What an answer may be, and what shall be kept of it besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The form.
    pub media: Media,
    /// Most bytes of the body.
    pub bytes_max: usize,
    /// Keep the position of this row of the root (the 1st is 1), for a link to what comes after it: the number of rows in a full page.
    pub cursor_at: Option<u64>,
}

/// Most bytes of an answer unless told otherwise.
pub const BYTES_MAX: usize = 64 << 20;

impl Options {
    /// This form, nothing kept.
    pub fn new(media: Media) -> Options {
        Options { media, bytes_max: BYTES_MAX, cursor_at: None }
    }

    /// A number for them, as far as they are those of a read; others have another.
    pub fn form(&self) -> u64 {
        let media = match self.media {
            Media::Array { nulls_stripped } => u64::from(nulls_stripped),
            Media::Object { nulls_stripped } => 2 + u64::from(nulls_stripped),
            Media::Csv => 4,
        };
        self.cursor_at.unwrap_or(0) << 3 | media
    }
}

/// An answer's body, and what its headers need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// The body.
    pub bytes: Bytes,
    /// Rows of the root. For [`Media::Object`] the body is only an object when this is 1.
    pub rows: u64,
    /// Rows in all, when a count was asked for.
    pub total: Option<u64>,
    /// Of the first row, for a read whose plan has one.
    pub version: Option<Version>,
    /// The ordering's values of the row at [`Options::cursor_at`].
    pub cursor: Option<Vec<Value>>,
}

/// Makes the body of an answer from the rows of a plan.
#[derive(Debug)]
pub struct Encoder {
    options: Options,
    /// Absent before [`RowSink::begin`].
    shape: Option<Arc<Shape>>,
    nodes: Vec<Node>,
    /// The keys written, once they are known.
    written: Option<Vec<Vec<Value>>>,
    total: Option<u64>,
    version: Option<Version>,
    cursor: Option<Vec<Value>>,
    /// For the bytes of links while they are looked up.
    link: Vec<u8>,
    /// Bytes used so far, over all nodes.
    used: usize,
}

/// The rows of one node.
#[derive(Debug, Default)]
struct Node {
    form: Form,
    bytes: Vec<u8>,
    count: u64,
    /// Empty for [`Form::Final`].
    rows: Vec<Row>,
    holes: Vec<Hole>,
    /// For [`Form::Fields`]: where the values are, as many per row as the object has members.
    fields: Vec<Field>,
    /// How the rows belong to their parents.
    groups: Groups,
}

/// How the rows of a node are kept until the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// In their final form, commas between.
    #[default]
    Final,
    /// Objects, to be joined later.
    Objects,
    /// Values of members one after the other, to be picked later.
    Fields,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    start: usize,
    end: usize,
    /// The first of its holes.
    holes: usize,
    /// The next row of the same group, or [`NONE`].
    next: u32,
}

/// A value that child rows will give.
#[derive(Clone, Copy, Debug)]
struct Hole {
    at: usize,
    /// How many bytes before `at` name the member (and separate it from the one before).
    prefix: u32,
    child: u32,
    /// Which of the child's groups belongs here.
    group: u32,
    kind: HoleKind,
}

#[derive(Clone, Copy, Debug)]
enum HoleKind {
    Many,
    Only,
    Pluck(u32),
}

#[derive(Clone, Copy, Debug)]
struct Field {
    start: usize,
    end: usize,
    /// Its holes.
    holes: (usize, usize),
    null: bool,
}

/// Room for one row, to begin with.
const ROW_BYTES_EXPECTED: usize = 1 << 10;
/// Room for a page of rows, to begin with.
const PAGE_BYTES_EXPECTED: usize = 8 << 10;

/// No row, no group.
const NONE: u32 = u32::MAX;

impl Encoder {
    /// For one plan.
    pub fn new(options: Options) -> Encoder {
        Encoder {
            options,
            shape: None,
            nodes: Vec::new(),
            written: None,
            total: None,
            version: None,
            cursor: None,
            link: Vec::new(),
            used: 0,
        }
    }

    /// The body.
    ///
    /// # Errors
    /// [`Overflow`] when child rows that belong to many parents made it too large.
    pub fn finish(mut self) -> Result<Encoded, Overflow> {
        let shape = self.shape.take();
        let read = shape.as_deref().and_then(Shape::read);
        let bytes = match read {
            Some(read) => splice::body(&mut self, read)?,
            None if self.options.media == Media::Csv => Vec::new(),
            None => b"[]".to_vec(),
        };
        if bytes.len() > self.options.bytes_max {
            return Err(Overflow);
        }
        let rows = self.nodes.first().map_or(0, |root| root.count);
        Ok(Encoded { bytes: bytes.into(), rows, total: self.total, version: self.version, cursor: self.cursor })
    }

    fn start(&mut self, shape: Arc<Shape>) {
        self.total = None;
        self.version = None;
        self.cursor = None;
        self.used = 0;
        self.nodes.clear();
        if let Some(read) = shape.read() {
            self.nodes.resize_with(read.nodes.len(), Node::default);
            if let Some(root) = self.nodes.first_mut() {
                // Most answers are a row or a page: growing from nothing would copy the first row eight times.
                root.bytes.reserve(if read.by_key { ROW_BYTES_EXPECTED } else { PAGE_BYTES_EXPECTED });
            }
            for (position, node) in read.nodes.iter().enumerate().skip(1) {
                self.nodes[position].form = Form::Objects;
                // A parent with holes, and a node that belongs somewhere, cannot be in final form.
                let parent = node.parent.as_ref().and_then(|parent| parent.node);
                if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
                    parent.form = Form::Objects;
                }
            }
            if read.nodes.first().is_some_and(|root| root.parent.is_some()) {
                self.nodes[0].form = Form::Objects;
            }
            for node in &read.nodes {
                mark_plucked(&node.object, &mut self.nodes);
            }
            if let Some(root) = self.nodes.first_mut() {
                // One row of most collections fits without growing.
                root.bytes.reserve(1_024);
                if self.options.media == Media::Csv {
                    root.form = Form::Fields;
                }
            }
        }
        self.shape = Some(shape);
    }

    fn take_row(&mut self, read: &Read, position: usize, row: &dyn RowRef) -> Result<(), Overflow> {
        let (Some(plan), true) = (read.nodes.get(position), position < self.nodes.len()) else { return Ok(()) };
        let mut group = NONE;
        if let Some(parent) = &plan.parent {
            match self.group_of(position, parent, row) {
                Some(found) => group = found,
                // A row that belongs nowhere: its parent went in between. Nobody will ask for it.
                None => return Ok(()),
            }
        }
        let version = plan.version.as_ref().filter(|_| position == 0 && self.nodes[0].count == 0);
        if position == 0 && self.options.cursor_at == Some(self.nodes[0].count + 1) && !plan.cursor.is_empty() {
            self.cursor = Some(plan.cursor.iter().map(|at| cell::owned(row.cell(*at))).collect());
        }
        let mut node = std::mem::take(&mut self.nodes[position]);
        let start = node.bytes.len();
        let holes = node.holes.len();
        if node.form == Form::Final {
            if node.count > 0 {
                node.bytes.push(b',');
            } else if matches!(self.options.media, Media::Array { .. }) {
                node.bytes.push(b'[');
            }
        }
        let object = node.bytes.len();
        match node.form {
            Form::Final | Form::Objects => self.object(read, &mut node, &plan.object, row),
            Form::Fields => self.fields(read, &mut node, &plan.object, row, position == 0),
        }
        if let Some(version) = version {
            let is_whole = node.form != Form::Fields && !self.options.media.nulls_stripped();
            self.version = Some(match version.is_shown && is_whole {
                true => Version::of(&node.bytes[object..]),
                false => Version::of(&representation(&version.object, row)),
            });
        }
        self.used += node.bytes.len() - start;
        if node.form != Form::Final {
            // What it takes to remember where a small row lies is more than the row.
            self.used += size_of::<Row>();
            let index = node.rows.len() as u32;
            node.rows.push(Row { start, end: node.bytes.len(), holes, next: NONE });
            if let Some(before) = node.groups.append(group, index) {
                node.rows[before as usize].next = index;
            }
        }
        node.count += 1;
        self.nodes[position] = node;
        if self.used > self.options.bytes_max { Err(Overflow) } else { Ok(()) }
    }

    /// Which parent row's group a row belongs to.
    fn group_of(&mut self, position: usize, parent: &Parent, row: &dyn RowRef) -> Option<u32> {
        if parent.node.is_none() {
            let Some(written) = &self.written else { return Some(self.nodes[position].groups.add_anonymous()) };
            if self.nodes[position].groups.is_empty() {
                for key in written {
                    self.link.clear();
                    for at in &parent.columns {
                        canonical::write_value(&mut self.link, key.get(*at).unwrap_or(&Value::Null));
                    }
                    self.nodes[position].groups.find_or_add(&self.link);
                }
            }
        }
        self.link.clear();
        for at in 0..parent.columns.len() {
            canonical::write_cell(&mut self.link, row.cell(at));
        }
        self.nodes[position].groups.find(&self.link)
    }

    /// `{…}`.
    fn object(&mut self, read: &Read, node: &mut Node, object: &Object, row: &dyn RowRef) {
        if object.bare {
            if let Some(member) = object.members.first() {
                self.output(read, node, &member.output, row, 0);
            } else {
                node.bytes.extend_from_slice(b"null");
            }
            return;
        }
        let stripped = self.options.media.nulls_stripped();
        node.bytes.push(b'{');
        let mut first = true;
        for member in &object.members {
            if stripped && is_null(&member.output, row) {
                continue;
            }
            let before = node.bytes.len();
            if !first {
                node.bytes.push(b',');
            }
            first = false;
            node.bytes.extend_from_slice(member.prefix.as_bytes());
            let prefix = node.bytes.len() - before;
            self.output(read, node, &member.output, row, prefix as u32);
        }
        node.bytes.push(b'}');
    }

    /// The values of the members, one after the other. As text, for the root of a CSV answer.
    fn fields(&mut self, read: &Read, node: &mut Node, object: &Object, row: &dyn RowRef, as_text: bool) {
        for member in &object.members {
            let (start, holes) = (node.bytes.len(), node.holes.len());
            let null = is_null(&member.output, row);
            match &member.output {
                Output::Column(at) if as_text => cell::write_text(&mut node.bytes, row.cell(*at)),
                output => self.output(read, node, output, row, 0),
            }
            node.fields.push(Field { start, end: node.bytes.len(), holes: (holes, node.holes.len()), null });
        }
    }

    fn output(&mut self, read: &Read, node: &mut Node, output: &Output, row: &dyn RowRef, prefix: u32) {
        let (child, kind) = match output {
            Output::Column(at) => {
                let cell = row.cell(*at);
                return if self.options.media.nulls_stripped() {
                    cell::write_json_stripped(&mut node.bytes, cell);
                } else {
                    cell::write_json(&mut node.bytes, cell);
                };
            }
            Output::One { object, .. } => {
                if is_null(output, row) {
                    node.bytes.extend_from_slice(b"null");
                } else {
                    self.object(read, node, object, row);
                }
                return;
            }
            Output::Many { node } => (*node, HoleKind::Many),
            Output::Only { node } => (*node, HoleKind::Only),
            Output::Pluck { node, member } => (*node, HoleKind::Pluck(*member as u32)),
        };
        self.link.clear();
        let link = read.nodes.get(child).and_then(|child| child.parent.as_ref());
        for at in link.map_or(&[][..], |parent| &parent.columns) {
            canonical::write_cell(&mut self.link, row.cell(*at));
        }
        let group = self.nodes.get_mut(child).map_or(NONE, |child| child.groups.find_or_add(&self.link));
        node.holes.push(Hole { at: node.bytes.len(), prefix, child: child as u32, group, kind });
    }
}

/// A row's default representation, which has columns alone.
fn representation(object: &Object, row: &dyn RowRef) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROW_BYTES_EXPECTED);
    out.push(b'{');
    for (position, member) in object.members.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member.prefix.as_bytes());
        if let Output::Column(at) = &member.output {
            cell::write_json(&mut out, row.cell(*at));
        }
    }
    out.push(b'}');
    out
}

/// Whether a member is null as far as the row itself tells.
fn is_null(output: &Output, row: &dyn RowRef) -> bool {
    match output {
        Output::Column(at) | Output::One { present: at, .. } => row.cell(*at) == undergird_plan::Cell::Null,
        Output::Many { .. } | Output::Only { .. } | Output::Pluck { .. } => false,
    }
}

fn mark_plucked(object: &Object, nodes: &mut [Node]) {
    for member in &object.members {
        match &member.output {
            Output::Pluck { node, .. } => {
                if let Some(node) = nodes.get_mut(*node) {
                    node.form = Form::Fields;
                }
            }
            Output::One { object, .. } => mark_plucked(object, nodes),
            Output::Column(_) | Output::Many { .. } | Output::Only { .. } => {}
        }
    }
}

impl RowSink for Encoder {
    fn begin(&mut self, plan: &Plan) {
        self.start(Arc::clone(plan.shape()));
    }

    fn row(&mut self, node: usize, row: &dyn RowRef) -> Result<(), Overflow> {
        // Taken and put back: the tree is read while the buffers are written.
        let Some(shape) = self.shape.take() else { return Ok(()) };
        let outcome = match shape.read() {
            Some(read) => self.take_row(read, node, row),
            None => Ok(()),
        };
        self.shape = Some(shape);
        outcome
    }

    fn written(&mut self, keys: &[Vec<Value>]) {
        self.written = Some(keys.to_vec());
    }

    fn total(&mut self, rows: u64) {
        self.total = Some(rows);
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}
