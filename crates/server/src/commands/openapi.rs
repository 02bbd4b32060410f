//! `undergird openapi`: the contract, made from the definition alone.

use super::Application;
use crate::cli::Exit;

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
    println!("{:#}", undergird_api::contract::openapi(&model));
    Ok(())
}
