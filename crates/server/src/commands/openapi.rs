//! `undergird openapi`: the contract, made from the definition alone.

use super::Application;
use crate::cli::Exit;
use crate::say::say;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
}

/// # Errors
/// 2 for a definition that is not good.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let model = arguments.application.model()?;
    say!("{:#}", undergird_api::contract::openapi(&model))?;
    Ok(())
}
