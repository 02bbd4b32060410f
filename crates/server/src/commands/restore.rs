//! `undergird restore`: the data of a backup in the place of an application's, whole or not at all.

use super::Application;
use crate::backup::restore::{self, Wanted};
use crate::backup::verify;
use crate::cli::Exit;
use crate::data::DataDirectory;
use crate::say::{say, tell};
use crate::stores::{self, Place};
use std::path::PathBuf;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The backup.
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,
    #[command(flatten)]
    application: Application,
    /// Also when there is data already: it is kept in the data directory, in `before-restore-…`.
    #[arg(long)]
    replace: bool,
}

/// # Errors
/// 2 for a definition that is not good or a database that is not in the data directory, 1 when the backup is not taken or the data
/// directory is in use.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let model = arguments.application.model()?;
    let database = match stores::file(&model.settings, &arguments.application.directory)? {
        Place::InData(inside) => inside,
        Place::Elsewhere(path) => {
            return Err(Exit::wrong(format!(
                "`[stores.main] url` names {}, which is not in the data directory: restore works on \"sqlite:data/…\"",
                path.display()
            )));
        }
    };
    // Before anything is touched. What it says is read, and checked, again.
    verify(&arguments.archive).map_err(Exit::Failed)?;
    let data = DataDirectory::open(&arguments.application.data_directory()).map_err(Exit::Failed)?;
    let wanted = Wanted {
        archive: &arguments.archive,
        application: &model.settings.name,
        database: &database,
        replace: arguments.replace,
    };
    let restored = restore::restore(&data, wanted).map_err(Exit::Failed)?;
    let manifest = restored.manifest;
    if manifest.schema.as_deref() != Some(undergird_store::schema::wanted(&model).fingerprint().as_str()) {
        tell!(
            "The backup's schema is not the definition's: `undergird migrate --dry-run` shows what lies between them."
        );
    }
    if let Some(before) = restored.before {
        tell!("What was there before is in {}.", before.display());
    }
    let rows: u64 = manifest.rows.values().sum();
    say!(
        "Restored {rows} rows in {} tables, as of {}, into {}.",
        manifest.rows.len(),
        manifest.made_at,
        data.path().display()
    )
}
