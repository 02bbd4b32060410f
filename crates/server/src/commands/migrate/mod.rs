//! `undergird migrate`: committed migrations planned, judged, applied and taken back; without a subcommand, what `dev` would do to the
//! database, by itself.

mod apply;
mod direct;
mod lint;
mod plan;
mod status;
mod undo;

use super::{Application, exit};
use crate::cli::Exit;
use crate::migrations::{Folder, Standing, standing};
use crate::say::tell;
use crate::server::SchemaPolicy;
use crate::stores;
use std::sync::Arc;
use std::time::Duration;
use undergird_model::Model;
use undergird_store::Store;
use undergird_store::migration::{Finding, Level, Scribe};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    direct: direct::Arguments,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Writes a migration from the last committed one to the definition; needs no database.
    Plan(plan::Arguments),
    /// Tells what is to be thought of the migrations before they are applied.
    Lint(lint::Arguments),
    /// Gives the database the migrations that it lacks.
    Apply(apply::Arguments),
    /// Tells which migrations the database has, and whether it is as they left it.
    Status(status::Arguments),
    /// Takes back the last migration.
    Undo(undo::Arguments),
}

/// # Errors
/// 2 for a definition, a migration or an argument that is not good, 1 when it cannot be done.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    match arguments.command {
        None => direct::run(arguments.direct),
        Some(Command::Plan(arguments)) => plan::run(&arguments),
        Some(Command::Lint(arguments)) => lint::run(&arguments),
        Some(Command::Apply(arguments)) => apply::run(&arguments),
        Some(Command::Status(arguments)) => status::run(&arguments),
        Some(Command::Undo(arguments)) => undo::run(&arguments),
    }
}

/// Most seconds for which a command waits for others.
const WAIT_SECONDS_MAX: u64 = 3_600;

/// An application's database, for a command about its migrations.
struct Opened {
    folder: Folder,
    /// The store's name.
    name: &'static str,
    store: Arc<dyn Store>,
    standing: Standing,
    _data: crate::data::DataDirectory,
}

impl Opened {
    /// Opens it, waiting so many seconds for whoever has it.
    async fn open(application: &Application, wait: u64) -> Result<Opened, Exit> {
        let model = application.model()?;
        let folder = Folder::read(&application.directory).map_err(Exit::Wrong)?;
        if folder.migrations.is_empty() {
            return Err(Exit::failed("there are no migrations yet: `undergird migrate plan` makes the first"));
        }
        let wait = Duration::from_secs(wait.min(WAIT_SECONDS_MAX));
        let builder = application.builder(Vec::new()).schema(SchemaPolicy::Leave).wait(wait);
        let (store, data) = builder.open_store(&model).await.map_err(exit)?;
        let name = stores::name(&model.settings).unwrap_or_default();
        let standing = standing(&store, &folder).await.map_err(Exit::Failed)?;
        Ok(Opened { folder, name, store, standing, _data: data })
    }
}

/// The scribes of these stores, or else of the main one and those that the last migration has SQL for.
fn scribes(named: &[String], model: &Model, folder: &Folder) -> Result<Vec<&'static dyn Scribe>, Exit> {
    let mut names: Vec<&str> = named.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(stores::name(&model.settings));
        names.extend(folder.stores());
    }
    let known = stores::names();
    names.sort_by_key(|name| known.iter().position(|other| other == name));
    names.dedup();
    let scribe = |name: &&str| {
        stores::scribe(name)
            .ok_or_else(|| Exit::wrong(format!("there is no store \"{name}\"; there are {}", known.join(", "))))
    };
    names.iter().map(scribe).collect()
}

/// Shows findings on standard error. Gives how many of them stop a migration.
fn show(title: &str, findings: &[Finding]) -> usize {
    for finding in findings.iter().filter(|finding| finding.lint.level != Level::Note) {
        let step = finding.entry.map_or(String::new(), |entry| format!(" step {}", entry + 1));
        tell!("{title}{step}: {}", finding.head());
        if let Some(reason) = &finding.accepted {
            tell!("    because: {reason}");
        } else if let Some(hint) = &finding.hint {
            for line in hint.lines() {
                tell!("    {line}");
            }
        }
    }
    findings.iter().filter(|finding| finding.is_fatal()).count()
}

/// What a database is that has more than the folder.
fn ahead(titles: &[String]) -> String {
    format!(
        "the database is ahead: it was given {}, which is not in this folder (nodes of this definition may go on serving): get the newer one",
        titles.join(", ")
    )
}

/// `1 finding`, `2 findings`.
fn findings(count: usize) -> String {
    format!("{count} finding{} of level error", if count == 1 { "" } else { "s" })
}
