//! `undergird types`: the types that clients are built with.

use super::Application;
use crate::cli::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// In which language.
    #[arg(value_enum)]
    language: Language,
    #[command(flatten)]
    application: Application,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Language {
    /// The `Database` type of `createClient<Database>()`.
    Typescript,
}

/// # Errors
/// 2 for a definition that is not good.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let model = arguments.application.model()?;
    match arguments.language {
        Language::Typescript => crate::say::out(format_args!("{}", undergird_api::contract::typescript(&model)))?,
    }
    Ok(())
}
