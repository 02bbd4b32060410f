//! `undergird migrate plan`: the next migration, from the last one's snapshot to the definition. Absent: any database.

use super::super::Application;
use super::{scribes, show};
use crate::cli::Exit;
use crate::migrations::{Folder, as_name, is_name, write};
use crate::say::{say, tell};
use undergird_store::migration::{self, Part, Snapshot, file_of};
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
    let mut files: Vec<(String, String)> = vec![
        ("steps.toml".into(), file.to_toml(&title, &resolved, &findings, &scribes)),
        ("snapshot.json".into(), after.to_json()),
    ];
    let sql = |scribe: &&dyn migration::Scribe| {
        (format!("{}.sql", scribe.name()), migration::sql_text(*scribe, &title, &resolved))
    };
    files.extend(scribes.iter().map(sql));
    if let Some(former) = &former {
        std::fs::remove_dir_all(&former.path)
            .map_err(|error| Exit::failed(format!("cannot remove {}: {error}", former.path.display())))?;
    }
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

/// A name from what changes first.
fn named(steps: &[&Step]) -> String {
    let Some(step) = steps.first() else { return "access".into() };
    let verb = migration::Verb::of(step);
    let (what, _) = verb.kind.split_once('_').unwrap_or((verb.kind, ""));
    as_name(&format!("{what} {}", verb.object))
}
