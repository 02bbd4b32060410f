//! What a person should know before a migration is applied, as findings with stable names. A finding of level error stops `lint` and
//! `plan` until it is mended, or accepted in the open with a reason beside its step.
//!
//! docs/changing-a-model.md has a paragraph for each. Absent: what the database holds (only a run knows whether rows hinder a step).

use super::{
    Effect, Effort, Entry, Fill, Group, Part, Phase, Resolved, Scribe, Snapshot, Sql, StepsFile, Waits, back, serves,
};
use crate::schema::{Applied, Check, CheckRule, Step};

/// A rule of the linter.
#[derive(Debug, PartialEq, Eq)]
pub struct Lint {
    /// Its stable name.
    pub name: &'static str,
    /// What it stops.
    pub level: Level,
    /// What it is about, in half a sentence.
    pub about: &'static str,
}

/// What a finding stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing: worth knowing.
    Note,
    /// Nothing, but it should be thought about.
    Warning,
    /// `lint` fails until it is accepted.
    Error,
}

macro_rules! lints {
    ($($constant:ident = $name:literal, $level:ident, $about:literal;)*) => {
        $(static $constant: Lint = Lint { name: $name, level: Level::$level, about: $about };)*
        /// All of them.
        pub static LINTS: &[&Lint] = &[$(&$constant),*];
    };
}

lints! {
    DATA_LOSS = "data-loss", Error, "values or rows are lost for good";
    CANNOT_CONVERT = "cannot-convert", Error, "no store can make values of the one type into values of the other";
    REQUIRED_WITHOUT_VALUE = "required-without-value", Error, "a required column comes to a table whose rows have no value for it";
    BREAKS_CLIENTS = "breaks-clients", Error, "requests that work today get an error or another answer";
    SQL_MISSING = "sql-missing", Error, "SQL by hand says nothing for a store in use";
    SQL_TRANSACTION = "sql-transaction", Error, "SQL by hand begins or ends a transaction";
    BACKFILL_WITHOUT_VALUE = "backfill-without-value", Error, "a backfill does not say what a column is set to";
    NOT_BESIDE = "not-beside", Error, "nodes of both definitions cannot serve side by side as the migration's phase promises";
    BAD_ACCEPTANCE = "bad-acceptance", Error, "an acceptance names no lint, or gives no reason";
    LONG_WAIT = "long-wait", Warning, "others wait for as long as a whole table is worked through";
    CHANGES_CLIENTS = "changes-clients", Warning, "answers or inputs get another form that some clients do not expect";
    ROWS_MAY_REFUSE = "rows-may-refuse", Warning, "rows that are there may not allow it, and then nothing is applied";
    NOT_REVERSIBLE = "not-reversible", Warning, "`migrate undo` cannot take it back";
    OPENS_ACCESS = "opens-access", Warning, "somebody may do what he could not before";
    UNUSED_ACCEPTANCE = "unused-acceptance", Warning, "an acceptance accepts nothing";
    REWRITES = "rewrites-table", Note, "every row of a table is written anew";
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// By which rule.
    pub lint: &'static Lint,
    /// The entry of the file that it is about.
    pub entry: Option<usize>,
    /// What, in a sentence.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
    /// The reason for which it is accepted.
    pub accepted: Option<String>,
}

impl Finding {
    /// Whether it stops the migration.
    pub fn is_fatal(&self) -> bool {
        self.lint.level == Level::Error && self.accepted.is_none()
    }

    /// One line: `error data-loss: every value of posts.note`.
    pub fn head(&self) -> String {
        let level = match (self.lint.level, &self.accepted) {
            (_, Some(_)) => "accepted",
            (Level::Error, None) => "error",
            (Level::Warning, None) => "warning",
            (Level::Note, None) => "note",
        };
        format!("{level} {}: {}", self.lint.name, self.message)
    }
}

struct Linter<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    file: &'a StepsFile,
    scribes: &'a [&'a dyn Scribe],
    findings: Vec<Finding>,
}

/// Everything worth knowing about a migration for these stores.
pub fn lint(
    before: &Snapshot,
    after: &Snapshot,
    resolved: &Resolved,
    file: &StepsFile,
    scribes: &[&dyn Scribe],
) -> Vec<Finding> {
    let mut linter = Linter { before, after, file, scribes, findings: Vec::new() };
    for (place, part) in resolved.parts.iter().enumerate() {
        match part {
            Part::Schema { steps, entries, from, wanted } => {
                let group = Group { steps, wanted, is_first: resolved.is_first(place) };
                for (step, entry) in steps.iter().zip(entries) {
                    linter.step(step, *entry, group, from);
                }
            }
            Part::Sql { sql, about, entry, .. } => linter.sql(sql, about.as_deref(), *entry),
            Part::Backfill { fill, about, entry, .. } => linter.fill(fill, about.as_deref(), *entry),
        }
    }
    linter.phase(resolved);
    for change in resolved.access.iter().filter(|change| !change.is_new && change.may_open()) {
        let entry = file.steps.iter().position(|entry| entry.access.as_ref() == Some(&change.object()));
        linter.add(&OPENS_ACCESS, entry, change.describe(), None);
    }
    if let Err(reasons) = back(resolved) {
        // Said once for the whole: it is taken back as a whole.
        linter.add(&NOT_REVERSIBLE, None, reasons.join("; "), None);
    }
    linter.accept();
    linter.findings.sort_by_key(|finding| (finding.entry.unwrap_or(usize::MAX), std::cmp::Reverse(finding.lint.level)));
    linter.findings
}

impl Linter<'_> {
    fn add(&mut self, lint: &'static Lint, entry: Option<usize>, message: String, hint: Option<String>) {
        self.findings.push(Finding { lint, entry, message, hint, accepted: None });
    }

    fn step(&mut self, step: &Step, entry: usize, group: Group<'_>, from: &Applied) {
        let Group { steps, wanted, .. } = group;
        let at = Some(entry);
        if let Some(why) = step.blocked() {
            self.add(&CANNOT_CONVERT, at, why, Some(BESIDE.into()));
        }
        if let Some(loss) = step.loss() {
            let hint =
                "export it first, or keep the field until nobody asks for it; then accept it here with the reason";
            self.add(&DATA_LOSS, at, format!("{loss} is lost"), Some(hint.into()));
        }
        self.clients(step, entry, steps, from);
        if matches!(step, Step::CreateTable(_)) {
            return;
        }
        match step {
            Step::AddColumn { table, column } if !column.null && column.default.is_none() => {
                let is_numbered =
                    wanted.table(table).is_some_and(|table| table.identity && table.key == [column.name.clone()]);
                if !is_numbered {
                    let message =
                        format!("{table}.{} is required, and rows that are there have no value for it", column.name);
                    self.add(&REQUIRED_WITHOUT_VALUE, at, message, Some(in_three_steps(table, &column.name)));
                }
            }
            _ if step.mending().is_some()
                && step.blocked().is_none()
                && !is_widening(step)
                && !is_held_already(step, steps)
                && !is_on_new(step, steps) =>
            {
                let hint = self.file.phase.is_none().then(|| SPLIT.to_owned());
                self.add(&ROWS_MAY_REFUSE, at, step.mending().unwrap_or_default(), hint);
            }
            _ => {}
        }
        if is_on_new(step, steps) {
            return;
        }
        let costs: Vec<(&str, Effect)> =
            self.scribes.iter().map(|scribe| (scribe.name(), scribe.effect(step, group))).collect();
        let said = |costs: Vec<&(&str, Effect)>| {
            costs.iter().map(|(name, effect)| format!("{name}: {effect}")).collect::<Vec<_>>().join("; ")
        };
        let long: Vec<_> = costs
            .iter()
            .filter(|(_, effect)| effect.effort > Effort::Instant && effect.waits > Waits::Nobody)
            .collect();
        let rewritten: Vec<_> = costs.iter().filter(|(_, effect)| effect.effort == Effort::Rewrite).collect();
        let table = step.table();
        if !long.is_empty() {
            let hint = "on a table with many rows, apply it when few people are there";
            self.add(&LONG_WAIT, at, format!("{table}: {}", said(long)), Some(hint.into()));
        } else if !rewritten.is_empty() {
            self.add(&REWRITES, at, format!("{table}: {}", said(rewritten)), None);
        }
    }

    /// Whether requests can reach a table's collection, and its name.
    fn public(&self, schema: &Applied, table: &str) -> Option<String> {
        let collection = &schema.table(table)?.collection;
        self.before.access.contains_key(collection).then(|| collection.clone())
    }

    fn clients(&mut self, step: &Step, entry: usize, steps: &[Step], from: &Applied) {
        // Steps name tables as they are afterwards.
        let was = steps.iter().find_map(|other| match other {
            Step::RenameTable { from, to } if to == step.table() => Some(from.clone()),
            _ => None,
        });
        let was = was.unwrap_or_else(|| step.table().to_owned());
        let Some(collection) = self.public(from, &was) else { return };
        let at = Some(entry);
        let again = |check: &str| {
            steps.iter().any(|other| matches!(other, Step::DropCheck { table, check: gone } if table == step.table() && gone.name == check))
        };
        match step {
            Step::DropTable(table) => {
                let message = format!("requests for {} find nothing any more", table.collection);
                self.add(&BREAKS_CLIENTS, at, message, Some(LATER.into()));
            }
            Step::DropColumn { column, .. } => {
                let message =
                    format!("{collection}.{} is in no answer any more, and is refused as an input", column.field);
                self.add(&BREAKS_CLIENTS, at, message, Some(LATER.into()));
            }
            Step::RenameColumn { table, to, .. } => {
                let former = self.after.renamed.get(table).and_then(|columns| columns.get(to)).cloned();
                if let Some(former) = former {
                    let field = self
                        .after
                        .schema
                        .table(table)
                        .and_then(|table| table.column(to))
                        .map_or(to, |column| &column.field);
                    let message = format!("{collection}.{former} is called {field}");
                    self.add(&BREAKS_CLIENTS, at, message, Some(SPLIT.into()));
                }
            }
            Step::RenameField { from, to, .. } => {
                self.add(&BREAKS_CLIENTS, at, format!("{collection}.{from} is called {to}"), Some(BESIDE.into()));
            }
            Step::RenameCollection { from, to, .. } => {
                self.add(&BREAKS_CLIENTS, at, format!("{from} is called {to}"), None);
            }
            Step::AlterColumn { from, to, .. } => {
                let field = format!("{collection}.{}", to.field);
                if from.ty != to.ty {
                    let message = format!("{field} is {} where it was {}", to.ty, from.ty);
                    self.add(&BREAKS_CLIENTS, at, message, Some(BESIDE.into()));
                }
                match (from.null, to.null) {
                    (false, true) => self.add(&CHANGES_CLIENTS, at, format!("{field} may be null in answers"), None),
                    (true, false) if to.default.is_none() => {
                        self.add(&CHANGES_CLIENTS, at, format!("{field} must be given, and must not be null"), None);
                    }
                    _ => {}
                }
            }
            Step::AddColumn { column, .. } if !column.null && column.default.is_none() => {
                let message = format!("{collection}.{} must be given when a row is made", column.field);
                self.add(&CHANGES_CLIENTS, at, message, None);
            }
            Step::AddCheck { check, .. } => {
                let is_new = |column: &String| {
                    steps.iter().any(|other| matches!(other, Step::AddColumn { table, column: new } if table == step.table() && new.name == *column))
                };
                if is_held_already(step, steps) {
                    let same = |former: &Check| former.rule == check.rule;
                    let is_same = former_checks(step, steps).any(same);
                    if let (CheckRule::OneOf(_), false, Some(column)) = (&check.rule, is_same, &check.column) {
                        let message = format!("{collection}.{column} may have values in answers that it had not");
                        self.add(&CHANGES_CLIENTS, at, message, None);
                    }
                } else if !check.column.as_ref().is_some_and(is_new) {
                    let how = if again(&check.name) { "is another" } else { "is new" };
                    self.add(
                        &CHANGES_CLIENTS,
                        at,
                        format!("the rule {} of {collection} {how}: some inputs may be refused", check.name),
                        None,
                    );
                }
            }
            Step::CreateIndex { index, .. } if index.unique && !is_held_already(step, steps) => {
                self.add(
                    &CHANGES_CLIENTS,
                    at,
                    format!("{collection}: a second row with the same {} is refused", index.name),
                    None,
                );
            }
            Step::AlterKey { .. } => {
                self.add(&BREAKS_CLIENTS, at, format!("rows of {collection} have another key"), None);
            }
            _ => {}
        }
    }

    fn sql(&mut self, sql: &Sql, about: Option<&str>, entry: usize) {
        let what = about.unwrap_or("the SQL by hand").to_owned();
        for scribe in self.scribes {
            let Some(text) = sql.of(scribe.name()) else {
                let hint =
                    format!("give it `sql.{} = …`; an empty text says that there is nothing to do", scribe.name());
                self.add(&SQL_MISSING, Some(entry), format!("{what}: nothing for {}", scribe.name()), Some(hint));
                continue;
            };
            if let Some(word) = transaction_word(text) {
                let message = format!("{what}: {word} in it; the whole migration is one transaction");
                self.add(&SQL_TRANSACTION, Some(entry), message, None);
                return;
            }
        }
    }

    fn fill(&mut self, fill: &Fill, about: Option<&str>, entry: usize) {
        let what = about.map_or_else(|| format!("the backfill of {}", fill.table), str::to_owned);
        for scribe in self.scribes {
            for (column, sql) in &fill.set {
                match sql.of(scribe.name()).map(str::trim) {
                    Some("") => {
                        let message = format!("{what}: nothing says what {}.{column} is set to", fill.table);
                        let hint =
                            format!("give `set.{column}` an expression of SQL over the row, like lower(title) or 'x'");
                        self.add(&BACKFILL_WITHOUT_VALUE, Some(entry), message, Some(hint));
                        return;
                    }
                    Some(_) => {}
                    None => {
                        let message = format!("{what}: set.{column} says nothing for {}", scribe.name());
                        self.add(&SQL_MISSING, Some(entry), message, None);
                    }
                }
            }
            if fill.only.as_ref().is_some_and(|only| only.of(scribe.name()).is_none()) {
                let message = format!("{what}: `where` says nothing for {}", scribe.name());
                self.add(&SQL_MISSING, Some(entry), message, None);
            }
        }
    }

    /// Whether the file's phase says what is so.
    fn phase(&mut self, resolved: &Resolved) {
        let faults = match self.file.phase {
            None => return,
            Some(Phase::Expand | Phase::Fill) if resolved.compatible => {
                serves(&self.before.schema, &self.after.schema).err().unwrap_or_default()
            }
            Some(Phase::Expand | Phase::Fill) => {
                vec!["nodes of the definition before it cannot go on serving after these steps".into()]
            }
            Some(Phase::Contract) => serves(&self.after.schema, &self.before.schema).err().unwrap_or_default(),
        };
        if !faults.is_empty() {
            let hint = "accept it with the reason when no other node serves meanwhile";
            self.add(&NOT_BESIDE, None, faults.join("; "), Some(hint.into()));
        }
    }

    /// Marks what is accepted, and finds fault with what accepts nothing.
    fn accept(&mut self) {
        for (at, entry) in self.file.steps.iter().enumerate() {
            for (name, reason) in &entry.accept {
                if !LINTS.iter().any(|lint| lint.name == name) || reason.trim().is_empty() {
                    let names: Vec<&str> = LINTS.iter().map(|lint| lint.name).collect();
                    let hint = format!("accept.NAME = \"reason\", with one of {}", names.join(", "));
                    self.add(&BAD_ACCEPTANCE, Some(at), format!("accept.{name} = \"{reason}\""), Some(hint));
                    continue;
                }
                // What cannot be done cannot be accepted.
                let fits = |finding: &&mut Finding| {
                    finding.lint.name == name
                        && finding.lint.name != "cannot-convert"
                        && finding.entry.is_none_or(|of| of == at)
                };
                let mut found = false;
                for finding in self.findings.iter_mut().filter(fits) {
                    finding.accepted = Some(reason.clone());
                    found = true;
                }
                if !found {
                    self.add(&UNUSED_ACCEPTANCE, Some(at), format!("accept.{name}: there is nothing to accept"), None);
                }
            }
        }
    }
}

/// The way for a new form of something that clients use.
const BESIDE: &str = "in three migrations: add the new field beside the old one and fill it (a [[step]] with sql); let clients move over; drop the old one";

/// The way for something that goes.
const LATER: &str = "let clients stop using it first, then accept it here with the reason";

/// The command that divides a migration.
const SPLIT: &str = "`undergird migrate plan --again --split` divides it: the new beside the old, rows filled in batches, then the rule";

/// Expand, backfill, contract: as it is written.
fn in_three_steps(table: &str, column: &str) -> String {
    format!(
        "give the field a literal `default`; or, while older nodes serve, {SPLIT}; or fill it on the way, by writing three steps in place of this one:\n\
         [[step]]\nadd_column = \"{table}.{column}\"\noptional = true\n\
         [[step]]\nabout = \"fill {table}.{column}\"\nsql = \"UPDATE {table} SET {column} = … WHERE {column} IS NULL\"\nundo = \"\"\n\
         [[step]]\nalter_column = \"{table}.{column}\""
    )
}

/// Whether a column only becomes more tolerant, or changes nothing but its default.
fn is_widening(step: &Step) -> bool {
    match step {
        Step::AlterColumn { from, to, .. } => {
            from.ty == to.ty && (from.null == to.null || to.null || to.default.is_some())
        }
        _ => false,
    }
}

/// The checks that go as this one comes, on the same table and column (by their names after the steps).
fn former_checks<'a>(step: &'a Step, steps: &'a [Step]) -> impl Iterator<Item = &'a Check> {
    steps.iter().filter_map(move |other| match (step, other) {
        (Step::AddCheck { table, check }, Step::DropCheck { table: on, check: gone })
            if on == table && gone.column == check.column =>
        {
            Some(gone)
        }
        _ => None,
    })
}

/// Whether what the step demands of rows was demanded before: a rule that comes back wider or under another name, a ref that only does
/// something else when its row goes.
fn is_held_already(step: &Step, steps: &[Step]) -> bool {
    match step {
        Step::AddCheck { check, .. } => former_checks(step, steps).any(|gone| check.rule.allows_all_of(&gone.rule)),
        Step::AddReference { table, reference } => steps.iter().any(|other| {
            matches!(other, Step::DropReference { table: on, reference: gone }
                if on == table && (&gone.column, &gone.table, &gone.target) == (&reference.column, &reference.table, &reference.target))
        }),
        Step::CreateIndex { table, index } => steps.iter().any(|other| {
            matches!(other, Step::DropIndex { table: on, index: gone } if on == table && gone.unique && gone.columns == index.columns)
        }),
        _ => false,
    }
}

/// Whether the step is about a table that is made on the way, or a column that is: no row can hinder it, and nobody waits.
fn is_on_new(step: &Step, steps: &[Step]) -> bool {
    let table = step.table();
    if steps.iter().any(|other| matches!(other, Step::CreateTable(new) if new.name == table)) {
        return true;
    }
    let is_new = |column: &String| {
        steps.iter().any(
            |other| matches!(other, Step::AddColumn { table: on, column: new } if on == table && new.name == *column),
        )
    };
    match step {
        Step::AddCheck { check, .. } => check.column.as_ref().is_some_and(is_new),
        // Null in every row.
        Step::AddReference { reference, .. } => steps.iter().any(|other| {
            matches!(other, Step::AddColumn { table: on, column } if on == table && column.name == reference.column && column.null)
        }),
        _ => false,
    }
}

/// A word that begins or ends a transaction, as a statement's first.
fn transaction_word(sql: &str) -> Option<&'static str> {
    const WORDS: [&str; 6] = ["BEGIN", "COMMIT", "ROLLBACK", "END", "START", "SAVEPOINT"];
    let starts = sql.split(';').filter_map(|statement| statement.split_whitespace().next());
    // A trigger's or a function's body has BEGIN … END of its own, never as a statement's first word but for END.
    let has_body = sql.to_ascii_uppercase().contains("CREATE");
    starts.into_iter().find_map(|first| {
        WORDS
            .into_iter()
            .find(|word| first.eq_ignore_ascii_case(word) && !(has_body && matches!(*word, "END" | "BEGIN")))
    })
}

impl Entry {
    /// Whether it accepts a lint.
    pub fn accepts(&self, lint: &str) -> bool {
        self.accept.contains_key(lint)
    }
}
