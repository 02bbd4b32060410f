//! A migration's text: `steps.toml` with the cost of each step and what is to be thought of beside it, and a store's SQL for review.
//!
//! Absent: where the text goes.

use super::{
    Entry, Finding, Group, Level, Part, Phase, Resolved, Scribe, Snapshot, Sql, StepsFile, Verb, access_changes,
};
use crate::schema::{self, Step};
use std::fmt::Write as _;

/// The steps between two snapshots, as a file says them before anybody changed it.
pub fn file_of(before: &Snapshot, after: &Snapshot) -> StepsFile {
    let steps = schema::steps(before.origin(), &after.wanted());
    let mut entries: Vec<Entry> = steps.iter().map(|step| entry(&Verb::of(step))).collect();
    let changes = access_changes(before, after).into_iter().filter(|change| !change.is_new);
    entries.extend(changes.map(|change| Entry {
        access: Some(change.object()),
        from: change.from,
        to: change.to,
        ..Entry::default()
    }));
    StepsFile { steps: entries, ..StepsFile::default() }
}

fn entry(verb: &Verb) -> Entry {
    let mut entry = Entry { from: verb.from.clone(), to: verb.to.clone(), ..Entry::default() };
    let field = match verb.kind {
        "create_table" => &mut entry.create_table,
        "drop_table" => &mut entry.drop_table,
        "rename_table" => &mut entry.rename_table,
        "rename_collection" => &mut entry.rename_collection,
        "add_column" => &mut entry.add_column,
        "drop_column" => &mut entry.drop_column,
        "rename_column" => &mut entry.rename_column,
        "rename_field" => &mut entry.rename_field,
        "alter_column" => &mut entry.alter_column,
        "alter_key" => &mut entry.alter_key,
        "add_check" => &mut entry.add_check,
        "drop_check" => &mut entry.drop_check,
        "add_reference" => &mut entry.add_reference,
        "drop_reference" => &mut entry.drop_reference,
        "create_index" => &mut entry.create_index,
        "drop_index" => &mut entry.drop_index,
        _ => &mut entry.access,
    };
    *field = Some(verb.object.clone());
    entry
}

impl StepsFile {
    /// The file's text, with what each step does, what it costs, and what was found about it.
    pub fn to_toml(&self, title: &str, resolved: &Resolved, findings: &[Finding], scribes: &[&dyn Scribe]) -> String {
        let mut text = format!(
            "# {title}\n#\n# What lies between the last migration's snapshot and the one beside this file, in order. Entries may be moved, SQL by hand may\n\
             # stand between them, and findings are accepted here. docs/changing-a-model.md tells how; `undergird migrate lint` checks it.\n"
        );
        if let Some(phase) = self.phase {
            let word = match phase {
                Phase::Expand => "expand",
                Phase::Fill => "fill",
                Phase::Contract => "contract",
            };
            let _ = writeln!(text, "phase = \"{word}\"");
        }
        for (at, entry) in self.steps.iter().enumerate() {
            text += "\n[[step]]\n";
            text += &words(at, resolved, scribes);
            for finding in
                findings.iter().filter(|finding| finding.entry == Some(at) && finding.lint.level != Level::Note)
            {
                let _ = writeln!(text, "# {}", finding.head());
            }
            let Ok(verb) = entry.verb() else { continue };
            let mut line = |key: &str, value: &str| {
                let _ = writeln!(text, "{key} = {}", quoted(value));
            };
            if !verb.object.is_empty() {
                line(verb.kind, &verb.object);
            }
            verb.from.iter().for_each(|from| line("from", from));
            verb.to.iter().for_each(|to| line("to", to));
            entry.about.iter().for_each(|about| line("about", about));
            if entry.optional {
                text += "optional = true\n";
            }
            let set = entry.set.iter().map(|(column, sql)| (format!("set.{}", key(column)), Some(sql)));
            let texts = set.chain([
                ("where".into(), entry.only.as_ref()),
                ("sql".into(), entry.sql.as_ref()),
                ("undo".into(), entry.undo.as_ref()),
            ]);
            for (key, sql) in texts {
                match sql {
                    Some(Sql::Every(sql)) => text += &format!("{key} = {}\n", quoted(sql)),
                    Some(Sql::Each(each)) => {
                        each.iter().for_each(|(store, sql)| text += &format!("{key}.{store} = {}\n", quoted(sql)));
                    }
                    None => {}
                }
            }
            if let Some(batch) = entry.batch {
                let _ = writeln!(text, "batch = {batch}");
            }
            if let Some(pause) = entry.pause_millis {
                let _ = writeln!(text, "pause_millis = {pause}");
            }
            if entry.compatible {
                text += "compatible = true\n";
            }
            entry.accept.iter().for_each(|(lint, why)| text += &format!("accept.{lint} = {}\n", quoted(why)));
        }
        text
    }
}

/// What an entry does and costs, as comments.
fn words(at: usize, resolved: &Resolved, scribes: &[&dyn Scribe]) -> String {
    let mut text = String::new();
    for (place, part) in resolved.parts.iter().enumerate() {
        let Part::Schema { steps, entries, wanted, .. } = part else { continue };
        let group = Group { steps, wanted, is_first: resolved.is_first(place) };
        for (step, _) in steps.iter().zip(entries).filter(|(_, entry)| **entry == at) {
            let _ = writeln!(text, "# {}", step.describe());
            let is_on_new_table =
                steps.iter().any(|other| matches!(other, Step::CreateTable(table) if table.name == step.table()));
            if is_on_new_table || matches!(step, Step::RenameCollection { .. } | Step::RenameField { .. }) {
                continue;
            }
            let costs: Vec<String> =
                scribes.iter().map(|scribe| format!("{}: {}", scribe.name(), scribe.effect(step, group))).collect();
            let _ = writeln!(text, "# {}", costs.join("; "));
        }
    }
    text
}

/// A key of TOML.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The SQL that a store runs for a migration, for review.
pub fn sql_text(scribe: &dyn Scribe, title: &str, resolved: &Resolved) -> String {
    let mut text = format!(
        "-- {title} in the words of {}, for review: steps.toml is what is applied, and `undergird migrate lint` says when this differs.\n",
        scribe.name()
    );
    let before = text.len();
    for (place, part) in resolved.parts.iter().enumerate() {
        match part {
            Part::Schema { steps, wanted, .. } => {
                for statement in scribe.statements(Group { steps, wanted, is_first: resolved.is_first(place) }) {
                    let _ = write!(text, "\n{};\n", statement.trim_end().trim_end_matches(';'));
                }
            }
            Part::Sql { sql, about, .. } => {
                let what = about.as_deref().unwrap_or("by hand");
                let sql = sql.of(scribe.name()).unwrap_or_default().trim().trim_end_matches(';');
                let sql = if sql.is_empty() { "-- (nothing for this store)".to_owned() } else { format!("{sql};") };
                let _ = write!(text, "\n-- {what}\n{sql}\n");
            }
            Part::Backfill { fill, about, .. } => {
                let what = about.as_deref().unwrap_or("rows are filled");
                let (batch, pause) = (fill.batch, fill.pause.as_millis());
                let _ = write!(
                    text,
                    "\n-- {what}: again and again for the next {batch} keys, each time in a transaction of its own, {pause} ms apart\n"
                );
                let _ = match fill.run(scribe.name()) {
                    Ok(backfill) => writeln!(text, "{};", backfill.shown(&|name| scribe.quoted(name))),
                    Err(_) => writeln!(text, "-- (it says nothing for this store yet)"),
                };
            }
        }
    }
    if text.len() == before {
        text += "\n-- Nothing changes in the database.\n";
    }
    text
}
