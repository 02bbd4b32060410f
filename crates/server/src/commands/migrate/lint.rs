//! `undergird migrate lint`: what is to be thought of the migrations, and whether the folder and the definition fit. Absent: any database.

use super::super::Application;
use super::{scribes, show};
use crate::cli::Exit;
use crate::migrations::Folder;
use crate::say::{say, tell};
use undergird_store::migration::{Level, Snapshot};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// For this store (sqlite, postgres, mysql), instead of the configured one and those with SQL in the last migration. May be given
    /// more than once.
    #[arg(long = "store", value_name = "STORE")]
    stores: Vec<String>,
    /// Only migrations from this number on.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    since: u32,
    /// Write the SQL files again that say something else than is run.
    #[arg(long)]
    write_sql: bool,
}

/// # Errors
/// 2 for a definition or a folder that is not good, 1 when a finding of level error is not accepted.
pub fn run(arguments: &Arguments) -> Result<(), Exit> {
    let model = arguments.application.model()?;
    let folder = Folder::read(&arguments.application.directory).map_err(Exit::Wrong)?;
    let scribes = scribes(&arguments.stores, &model, &folder)?;
    let mut fatal = 0;
    let mut warnings = 0;
    for migration in folder.migrations.iter().filter(|migration| migration.number >= arguments.since) {
        let findings = migration.lint(&scribes);
        fatal += show(&migration.title(), &findings);
        let open = |finding: &&undergird_store::migration::Finding| {
            finding.lint.level == Level::Warning && finding.accepted.is_none()
        };
        warnings += findings.iter().filter(open).count();
        for (file, text) in migration.stale(&scribes) {
            let path = migration.path.join(&file);
            if arguments.write_sql {
                std::fs::write(&path, text)
                    .map_err(|error| Exit::failed(format!("cannot write {}: {error}", path.display())))?;
                say!("Wrote {} again.", path.display())?;
            } else {
                warnings += 1;
                tell!("{}: warning stale-sql: {file} says something else than is run", migration.title());
                tell!("    --write-sql writes it again");
            }
        }
    }
    if !Snapshot::of(&model, &folder.last()).is_same(&folder.last()) {
        fatal += 1;
        tell!("error unplanned: the definition has changes that no migration holds");
        tell!("    `undergird migrate plan` makes one");
    }
    if fatal > 0 {
        return Err(Exit::failed(super::findings(fatal)));
    }
    let warnings = match warnings {
        0 => String::new(),
        1 => "; 1 warning".into(),
        count => format!("; {count} warnings"),
    };
    say!("{} migrations, nothing to stop them{warnings}.", folder.migrations.len())?;
    Ok(())
}
