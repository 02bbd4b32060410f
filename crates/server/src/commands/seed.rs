//! placeholder

use super::Application;
use crate::cli::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
}

/// # Errors
/// 1
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let _ = arguments.application;
    Err(Exit::failed("this build cannot seed yet"))
}
