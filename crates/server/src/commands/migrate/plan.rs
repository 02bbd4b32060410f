//! `undergird migrate plan`: the next migration, from the last one's snapshot to the definition. Absent: any database.

use super::super::Application;
use super::{scribes, show};
use crate::cli::Exit;
use crate::migrations::{Folder, Migration, as_name, is_name, write};
use crate::say::{say, tell};
use std::sync::Arc;
use undergird_store::migration::{self, Finding, Part, Phase, Resolved, Scribe, Snapshot, StepsFile, file_of};
use undergird_store::schema::Step;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// What to call it: small letters, digits and _.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write the SQL of this store (sqlite, postgres, mysql), instead of the configured one's. May be given more than once.
    #[arg(long = "store", value_name = "STORE")]
    stores: Vec<String>,
    /// Plan the last migration again, in place of what is there: for one that no database was given yet.
    #[arg(long)]
    again: bool,
    /// Divide it into three, so that nodes of both definitions serve meanwhile: what older nodes need not know, rows filled in batches,
    /// and what holds or drops the rest.
    #[arg(long)]
    split: bool,
}

/// # Errors
/// 2 for a definition or a folder that is not good, 1 when it cannot be planned or written.
pub fn run(arguments: &Arguments) -> Result<(), Exit> {
    let model = arguments.application.model()?;
    let mut folder = Folder::read(&arguments.application.directory).map_err(Exit::Wrong)?;
    if let Some(name) = arguments.name.as_ref().filter(|name| !is_name(name)) {
        return Err(Exit::wrong(format!("\"{name}\" is no name for a migration: take small letters, digits and _")));
    }
    let scribes = scribes(&arguments.stores, &model, &folder)?;
    let former = if arguments.again { folder.migrations.pop() } else { None };
    if arguments.again && former.is_none() {
        return Err(Exit::wrong("there is no migration to plan again"));
    }
    let before = folder.last();
    let after = Snapshot::of(&model, &before);
    if after.is_same(&before) {
        say!("Nothing changed since the last migration; nothing was written.")?;
        return Ok(());
    }
    if arguments.split {
        return divide(arguments, &folder, former.as_ref(), &scribes, &after);
    }
    let mut file = file_of(&before, &after);
    if let Some(former) = &former {
        // What was accepted for a step that is still there stays accepted.
        for entry in &mut file.steps {
            let same = former.file.steps.iter().find(|other| other.verb().is_ok_and(|verb| entry.verb() == Ok(verb)));
            entry.accept = same.map(|other| other.accept.clone()).unwrap_or_default();
        }
    }
    let resolved = migration::resolve(&before, &after, &file).map_err(|faults| Exit::failed(faults.join("\n")))?;
    let steps: Vec<&Step> = resolved
        .parts
        .iter()
        .flat_map(|part| match part {
            Part::Schema { steps, .. } => steps.as_slice(),
            Part::Sql { .. } | Part::Backfill { .. } => &[],
        })
        .collect();
    let blocked: Vec<String> = steps.iter().filter_map(|step| step.blocked()).collect();
    if !blocked.is_empty() {
        return Err(Exit::failed(format!("no store can do this, so nothing was written:\n  {}", blocked.join("\n  "))));
    }
    let number = folder.next().map_err(Exit::Failed)?;
    let name = match (&arguments.name, &former) {
        (Some(name), _) => name.clone(),
        (None, Some(former)) => former.name.clone(),
        (None, None) if number == 1 => "initial".into(),
        (None, None) => named(&steps),
    };
    let title = format!("{number:04}_{name}");
    let findings = migration::lint(&before, &after, &resolved, &file, &scribes);
    let files = texts(&title, &file, &after, &resolved, &findings, &scribes);
    remove(former.as_ref())?;
    let path = write(&folder, &title, &files).map_err(Exit::Failed)?;
    say!("Wrote {}:", path.display())?;
    for step in &steps {
        say!("  {}", step.describe())?;
    }
    for change in &resolved.access {
        say!("  {}", change.describe())?;
    }
    let fatal = show(&title, &findings);
    if fatal > 0 {
        let what = super::findings(fatal);
        tell!(
            "{title} has {what}: mend it, or accept it in {}/steps.toml with the reason (docs/changing-a-model.md)",
            path.display()
        );
    }
    Ok(())
}

/// The files of a migration.
fn texts(
    title: &str,
    file: &StepsFile,
    after: &Snapshot,
    resolved: &Resolved,
    findings: &[Finding],
    scribes: &[&'static dyn Scribe],
) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = vec![
        ("steps.toml".into(), file.to_toml(title, resolved, findings, scribes)),
        ("snapshot.json".into(), after.to_json()),
    ];
    let sql = |scribe: &&'static dyn Scribe| {
        (format!("{}.sql", scribe.name()), migration::sql_text(*scribe, title, resolved))
    };
    files.extend(scribes.iter().map(sql));
    files
}

/// Takes out the migration that is planned again.
fn remove(former: Option<&Migration>) -> Result<(), Exit> {
    let Some(former) = former else { return Ok(()) };
    std::fs::remove_dir_all(&former.path)
        .map_err(|error| Exit::failed(format!("cannot remove {}: {error}", former.path.display())))
}

/// The same in up to three migrations.
fn divide(
    arguments: &Arguments,
    folder: &Folder,
    former: Option<&Migration>,
    scribes: &[&'static dyn Scribe],
    after: &Snapshot,
) -> Result<(), Exit> {
    let mut before = folder.last();
    if before.schema.tables.is_empty() {
        return Err(Exit::failed(
            "the first migration has nothing beside which it would have to stand: plan it without --split",
        ));
    }
    let pieces = migration::split(&before, after, scribes).map_err(|faults| {
        let why = faults.join("\n  ");
        Exit::failed(format!("this cannot be divided, so nothing was written:\n  {why}"))
    })?;
    let number = folder.next().map_err(Exit::Failed)?;
    let name =
        arguments.name.clone().or_else(|| former.map(|former| former.name.clone())).unwrap_or_else(|| "change".into());
    let mut written = Vec::new();
    for (number, piece) in (number..).zip(&pieces) {
        let phase = match piece.phase {
            Phase::Expand => "expand",
            Phase::Fill => "fill",
            Phase::Contract => "contract",
        };
        let title = format!("{number:04}_{}", as_name(&format!("{name} {phase}")));
        let resolved =
            migration::resolve(&before, &piece.after, &piece.file).map_err(|faults| Exit::failed(faults.join("\n")))?;
        let findings = migration::lint(&before, &piece.after, &resolved, &piece.file, scribes);
        let files = texts(&title, &piece.file, &piece.after, &resolved, &findings, scribes);
        before = Arc::new(piece.after.clone());
        written.push((title, files, resolved, findings));
    }
    // All are sound before the first is written.
    remove(former)?;
    let mut fatal = 0;
    for (title, files, resolved, findings) in &written {
        let path = write(folder, title, files).map_err(Exit::Failed)?;
        say!("Wrote {}:", path.display())?;
        for part in &resolved.parts {
            match part {
                Part::Schema { steps, .. } => steps.iter().try_for_each(|step| say!("  {}", step.describe()))?,
                Part::Sql { about, .. } | Part::Backfill { about, .. } => {
                    say!("  {}", about.as_deref().unwrap_or("by hand"))?
                }
            }
        }
        for change in &resolved.access {
            say!("  {}", change.describe())?;
        }
        fatal += show(title, findings);
    }
    if fatal > 0 {
        tell!(
            "{}: mend them, or accept them in steps.toml with the reason (docs/changing-a-model.md)",
            super::findings(fatal)
        );
    }
    say!(
        "Apply the contract when no older node serves any more: `undergird migrate apply --before-contract` stops before it."
    )?;
    Ok(())
}

/// A name from what changes first.
fn named(steps: &[&Step]) -> String {
    let Some(step) = steps.first() else { return "access".into() };
    let verb = migration::Verb::of(step);
    let (what, _) = verb.kind.split_once('_').unwrap_or((verb.kind, ""));
    as_name(&format!("{what} {}", verb.object))
}
