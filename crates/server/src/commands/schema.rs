//! `undergird schema`: the JSON Schemas with which editors complete and check the definition's files.

use crate::cli::Exit;
use crate::say::say;
use undergird_model::definition::{application_schema, collection_schema, function_schema};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of which file.
    #[arg(value_enum, default_value = "undergird")]
    file: File,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum File {
    /// undergird.toml
    Undergird,
    /// models/*.toml
    Model,
    /// functions/*.toml
    Function,
}

/// # Errors
/// None.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let schema = match arguments.file {
        File::Undergird => application_schema(),
        File::Model => collection_schema(),
        File::Function => function_schema(),
    };
    say!("{schema:#}")?;
    Ok(())
}
