//! What the entries of a file come to between two snapshots: parts that a store takes in order, each a set of steps with the schema
//! afterwards, or SQL by hand. And the way back.
//!
//! The steps are always those of [`crate::schema::steps`]; a file that leaves one out, or names one that there is not, is refused. Absent:
//! whether the steps are wise; that is [`super::lint()`].

use super::backfill::Fill;
use super::beside;
use super::file::ENTRIES_MAX;
use super::{AccessChange, Entry, Snapshot, Sql, StepsFile, Verb, access_changes};
use crate::schema::{self, Applied, Column, Step};
use std::collections::BTreeMap;

/// A migration as it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// In order.
    pub parts: Vec<Part>,
    /// Rules that change with it.
    pub access: Vec<AccessChange>,
    /// Whether nodes of the definition before it may go on serving while it is taken and after it.
    pub compatible: bool,
    /// Names all that it does: equal for the same steps, SQL and schema, whatever the file's comments.
    pub hash: String,
}

impl Resolved {
    /// Whether a part is the first of its transaction, where the store has that for DDL.
    pub(super) fn is_first(&self, part: usize) -> bool {
        part.checked_sub(1).is_none_or(|before| matches!(self.parts.get(before), Some(Part::Backfill { .. })))
    }
}

/// What is taken at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Steps of the schema.
    Schema {
        /// In the order in which they are taken.
        steps: Vec<Step>,
        /// The entry of the file for each.
        entries: Vec<usize>,
        /// The schema before.
        from: Applied,
        /// The schema after, with the renames that lead to it.
        wanted: Applied,
    },
    /// SQL by hand.
    Sql {
        /// The statements.
        sql: Sql,
        /// What takes them back.
        undo: Option<Sql>,
        /// What they are for.
        about: Option<String>,
        /// The entry of the file.
        entry: usize,
    },
    /// Rows that are filled in batches, each in a transaction of its own.
    Backfill {
        /// What is filled, and how.
        fill: Fill,
        /// The statements that take it back, at once.
        undo: Option<Sql>,
        /// What it is for.
        about: Option<String>,
        /// The entry of the file.
        entry: usize,
    },
}

/// A step with its place in the order of all steps, and its entry.
type Placed = (usize, Step, usize);

struct Resolver<'a> {
    wanted: &'a Applied,
    /// The schema after what was resolved so far.
    state: Applied,
    expected: Vec<Step>,
    used: Vec<bool>,
    /// Columns that are optional for now, by their objects: as they are, and as they will be.
    staged: BTreeMap<String, (Column, Column)>,
    open: Vec<Placed>,
    parts: Vec<Part>,
    faults: Vec<String>,
}

/// What the entries come to.
///
/// # Errors
/// A sentence for each entry that says nothing that lies between the snapshots, and for each step that no entry says.
pub fn resolve(before: &Snapshot, after: &Snapshot, file: &StepsFile) -> Result<Resolved, Vec<String>> {
    if file.steps.len() > ENTRIES_MAX {
        return Err(vec![format!("there are more than {ENTRIES_MAX} steps")]);
    }
    let wanted = after.wanted();
    let expected = schema::steps(before.origin(), &wanted);
    let access = access_changes(before, after);
    let mut resolver = Resolver {
        wanted: &wanted,
        state: before.schema.clone(),
        used: vec![false; expected.len()],
        expected,
        staged: BTreeMap::new(),
        open: Vec::new(),
        parts: Vec::new(),
        faults: Vec::new(),
    };
    let mut said: Vec<String> = Vec::new();
    for (at, entry) in file.steps.iter().enumerate() {
        match entry.verb() {
            Err(fault) => resolver.faults.push(fault),
            Ok(verb) if verb.kind == "access" => {
                if !access.iter().any(|change| !change.is_new && change.object() == verb.object) {
                    resolver.faults.push(format!("{verb}: this rule is the same as before"));
                }
                said.push(verb.object);
            }
            Ok(verb) => resolver.entry(at, entry, &verb),
        }
    }
    resolver.close();
    let unsaid = access.iter().filter(|change| !change.is_new && !said.contains(&change.object()));
    resolver.faults.extend(unsaid.map(|change| lacking(&format!("access = \"{}\"", change.object()))));
    let Resolver { parts, mut faults, expected, used, staged, state, .. } = resolver;
    let missing = expected.iter().zip(&used).filter(|(_, used)| !**used);
    faults.extend(missing.map(|(step, _)| lacking(&Verb::of(step).to_string())));
    faults.extend(staged.keys().map(|object| lacking(&format!("alter_column = \"{object}\""))));
    if faults.is_empty() && state.fingerprint() != wanted.fingerprint() {
        faults.push("in this order the steps do not lead to the snapshot beside them: plan them again".into());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let hash = hash(&parts, &wanted);
    // A node of the definition before goes by its own rules of access, so one that begins to serve must know the new ones.
    let same_access = access.iter().all(|change| change.is_new);
    let compatible = same_access
        && parts.iter().all(|part| match part {
            Part::Schema { steps, .. } => steps.iter().all(|step| beside::expands(step, steps)),
            Part::Sql { entry, .. } => file.steps.get(*entry).is_some_and(|entry| entry.compatible),
            Part::Backfill { .. } => true,
        });
    Ok(Resolved { parts, access, compatible, hash })
}

fn lacking(what: &str) -> String {
    format!("there is no [[step]] with {what}, which lies between the snapshots")
}

impl Resolver<'_> {
    fn entry(&mut self, at: usize, entry: &Entry, verb: &Verb) {
        if let Some(sql) = &entry.sql {
            self.close();
            let (sql, undo, about) = (sql.clone(), entry.undo.clone(), entry.about.clone());
            self.parts.push(Part::Sql { sql, undo, about, entry: at });
            return;
        }
        if verb.kind == "backfill" {
            self.close();
            match Fill::of(entry, &verb.object, &self.state) {
                Ok(fill) => {
                    let (undo, about) = (entry.undo.clone(), entry.about.clone());
                    self.parts.push(Part::Backfill { fill, undo, about, entry: at });
                }
                Err(fault) => self.faults.push(format!("{verb}: {fault}")),
            }
            return;
        }
        if verb.kind == "alter_column"
            && let Some((from, to)) = self.staged.remove(&verb.object)
        {
            let table = self.table_of(&verb.object);
            self.open.push((usize::MAX, Step::AlterColumn { table, from, to }, at));
            return;
        }
        let found = (0..self.expected.len()).find(|&at| !self.used[at] && Verb::of(&self.expected[at]) == *verb);
        let Some(order) = found else {
            self.faults.push(format!("{verb}: no such step lies between the snapshots"));
            return;
        };
        self.used[order] = true;
        let mut step = self.expected[order].clone();
        if let Step::AddColumn { column, .. } = &mut step
            && entry.optional
        {
            if column.null || column.default.is_some() {
                self.faults.push(format!("{verb}: `optional` is for a required column without a default"));
            } else {
                let last = column.clone();
                column.null = true;
                self.staged.insert(verb.object.clone(), (column.clone(), last));
            }
        }
        self.open.push((order, step, at));
    }

    /// The table of a column that was staged.
    fn table_of(&self, object: &str) -> String {
        let is_it = |step: &&Step| matches!(step, Step::AddColumn { .. }) && Verb::of(step).object == object;
        self.expected.iter().find(is_it).map_or(String::new(), |step| step.table().to_owned())
    }

    /// Makes a part of the steps that are open.
    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let mut open = std::mem::take(&mut self.open);
        open.sort_by_key(|(order, ..)| *order);
        let from = self.state.clone();
        let is_all = self.parts.is_empty() && open.len() == self.expected.len() && self.used.iter().all(|used| *used);
        if is_all && self.staged.is_empty() && open.iter().all(|(order, ..)| *order != usize::MAX) {
            self.state = self.wanted.clone();
        } else {
            for (_, step, _) in &open {
                schema::take(&mut self.state, step);
                self.rename(step);
            }
            if self.state.fingerprint() == self.wanted.fingerprint() {
                self.state = self.wanted.clone();
            }
        }
        let steps = schema::steps(Some(&from), &self.state);
        let mut entries = Vec::new();
        for step in &steps {
            match open.iter().position(|(_, other, _)| other == step || Verb::of(other) == Verb::of(step)) {
                Some(at) => entries.push(open.remove(at).2),
                None => self.faults.push(format!("{} must be in the same part as others here", Verb::of(step))),
            }
        }
        let left = open.iter().map(|(_, step, _)| format!("{}: other steps must come before it", Verb::of(step)));
        self.faults.extend(left);
        let wanted = self.state.clone();
        self.parts.push(Part::Schema { steps, entries, from, wanted });
        // The renames were followed.
        self.state.tables.iter_mut().flat_map(|table| &mut table.columns).for_each(|column| column.renamed_from = None);
    }

    /// A renamed column is the wanted one's field from then on.
    fn rename(&mut self, step: &Step) {
        let Step::RenameColumn { table, to, .. } = step else { return };
        let Some(wanted) = self.wanted.table(table).and_then(|table| table.column(to)) else { return };
        let tables = self.state.tables.iter_mut().filter(|other| other.name == *table);
        for column in tables.flat_map(|table| &mut table.columns).filter(|column| column.name == *to) {
            column.field.clone_from(&wanted.field);
            column.renamed_from.clone_from(&wanted.renamed_from);
        }
    }
}

fn hash(parts: &[Part], wanted: &Applied) -> String {
    let mut text = wanted.fingerprint();
    for part in parts {
        match part {
            Part::Schema { steps, wanted, .. } => {
                steps.iter().for_each(|step| text += &format!("\n{}", Verb::of(step)));
                text += &format!("\n= {}", wanted.fingerprint());
            }
            Part::Sql { sql, undo, .. } => text += &format!("\nsql {sql:?} {undo:?}"),
            // How fast it goes is no part of what it does.
            Part::Backfill { fill, undo, .. } => {
                text += &format!("\nbackfill {} {:?} {:?} {undo:?}", fill.table, fill.set, fill.only);
            }
        }
    }
    schema::named(&text)
}

/// The way back: the parts that lead from after a migration to before it, each text of SQL already that which takes it back.
///
/// # Errors
/// A sentence for everything that cannot be taken back.
pub fn back(resolved: &Resolved) -> Result<Vec<Part>, Vec<String>> {
    let mut reasons = Vec::new();
    let mut parts = Vec::new();
    for part in resolved.parts.iter().rev() {
        match part {
            Part::Sql { undo: Some(undo), about, entry, .. }
            | Part::Backfill { undo: Some(undo), about, entry, .. } => {
                parts.push(Part::Sql { sql: undo.clone(), undo: None, about: about.clone(), entry: *entry });
            }
            Part::Sql { about, .. } => {
                let what = about.as_deref().unwrap_or("the SQL by hand");
                reasons.push(format!("{what}: its [[step]] has no `undo`"));
            }
            Part::Backfill { fill, .. } => {
                reasons.push(format!("the values of {} that are filled over: its [[step]] has no `undo`", fill.table));
            }
            Part::Schema { steps, entries, from, wanted } => {
                reasons.extend(steps.iter().filter_map(Step::loss).map(|loss| format!("{loss} went with it")));
                let to = renamed_back(from, steps, wanted);
                let inverse = schema::steps(Some(wanted), &to);
                reasons.extend(inverse.iter().filter_map(Step::blocked));
                let entries = vec![entries.first().copied().unwrap_or(0); inverse.len()];
                parts.push(Part::Schema { steps: inverse, entries, from: wanted.clone(), wanted: to });
            }
        }
    }
    if reasons.is_empty() { Ok(parts) } else { Err(reasons) }
}

/// The schema before the steps, with the renames that lead back to it.
fn renamed_back(from: &Applied, steps: &[Step], wanted: &Applied) -> Applied {
    let mut to = from.clone();
    for table in &mut to.tables {
        let mut after = table.name.clone();
        for step in steps {
            if let Step::RenameTable { from, to } = step
                && *from == after
            {
                after.clone_from(to);
            }
        }
        let Some(there) = wanted.table(&after) else { continue };
        for column in &mut table.columns {
            let mut name = column.name.clone();
            for step in steps {
                if let Step::RenameColumn { table, from, to } = step
                    && *table == after
                    && *from == name
                {
                    name.clone_from(to);
                }
            }
            let field = there.column(&name).map(|column| &column.field);
            column.renamed_from = field.filter(|field| **field != column.field).cloned();
        }
    }
    to
}
