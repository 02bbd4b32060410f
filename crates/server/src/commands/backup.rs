//! `undergird backup`: the data of an application in one archive, made while a server runs.

use super::Application;
use crate::backup::{self, EXTENSION, Origin};
use crate::cli::Exit;
use crate::say::say;
use crate::stores::{self, Place};
use std::path::PathBuf;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file to write; or a directory, in which the backup is named after the application and the time.
    #[arg(value_name = "FILE|DIR")]
    target: PathBuf,
    #[command(flatten)]
    application: Application,
}

/// # Errors
/// 2 for a definition that is not good or a database that is on a server, 1 when the backup cannot be made.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let model = arguments.application.model()?;
    let data = arguments.application.data_directory();
    let database = match stores::file(&model.settings, &arguments.application.directory)? {
        Place::InData(inside) => data.join(inside),
        Place::Elsewhere(path) => path,
    };
    let application = model.settings.name.as_str();
    let target = match arguments.target.is_dir() {
        true => {
            let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
            let plain = |char: char| if char.is_alphanumeric() || char == '-' { char } else { '_' };
            let name: String = application.chars().take(64).map(plain).collect();
            arguments.target.join(format!("{name}-{stamp}.{EXTENSION}"))
        }
        false => arguments.target,
    };
    let manifest =
        backup::make(Origin { application, database: &database, data: &data }, &target).map_err(Exit::Failed)?;
    let rows: u64 = manifest.rows.values().sum();
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let files = manifest.files.iter().filter(|file| file.path.starts_with("files/")).count();
    say!(
        "Wrote {}: {rows} rows in {} tables, {files} files, {bytes} bytes, checked.",
        target.display(),
        manifest.rows.len()
    )
}
