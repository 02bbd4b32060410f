//! The command line: what may be typed, and what it ends with.

use crate::commands;
use crate::say::{say, tell};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// How a command ended. Each kind has one exit code, so that scripts can tell them apart.
#[derive(Debug)]
pub enum Exit {
    /// 1: it was right to try, and it did not work.
    Failed(String),
    /// 2: the command line or the definition is wrong. Empty when the mistakes were shown already.
    Wrong(String),
}

impl Exit {
    /// A failure with its text.
    pub fn failed(why: impl std::fmt::Display) -> Exit {
        Exit::Failed(why.to_string())
    }

    /// A mistake with its text.
    pub fn wrong(why: impl std::fmt::Display) -> Exit {
        Exit::Wrong(why.to_string())
    }
}

/// A complete backend in one binary.
#[derive(Debug, Parser)]
#[command(name = "undergird", version, propagate_version = false, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or definition. Documentation: docs/operating.md")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a small application that runs.
    New(commands::new::Arguments),
    /// Serves an application and follows its files as they change.
    Dev(commands::dev::Arguments),
    /// Serves an application in production: refuses what does not fit.
    Serve(commands::serve::Arguments),
    /// Tells all mistakes in a definition.
    Check(commands::check::Arguments),
    /// Writes an application over a database that is there already.
    Adopt(commands::adopt::Arguments),
    /// Plans, judges and applies committed migrations; alone, brings the database to the definition as `dev` would.
    Migrate(commands::migrate::Arguments),
    /// Prints the JSON Schemas of the definition's files, for editors.
    Schema(commands::schema::Arguments),
    /// Prints the publishable and the secret key; `rotate` makes a new key that signs tokens.
    Keys(commands::keys::Arguments),
    /// Prints the OpenAPI document.
    Openapi(commands::openapi::Arguments),
    /// Prints types for clients.
    Types(commands::types::Arguments),
    /// Accounts: add one, list them, give and take roles, end their sessions, remove them.
    Users(commands::users::Arguments),
    /// What happened to accounts, and whether the log of it is whole.
    Audit(commands::audit::Arguments),
    /// Prints the effective settings with their origin.
    Config(commands::config::Arguments),
    /// Fills the database with made-up rows.
    Seed(commands::seed::Arguments),
    /// Writes the database and its files into one archive, while a server runs.
    Backup(commands::backup::Arguments),
    /// Puts an archive of `backup` in the place of the data.
    Restore(commands::restore::Arguments),
    /// Copies all data to another database while a server runs, proves it equal, and switches to it.
    Move(commands::transfer::Arguments),
    /// Tells who may do what and why.
    Explain(commands::explain::Arguments),
    /// Prints the version.
    Version,
}

/// Runs a command line to its end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive here too; clap knows which goes where and with which code (0 or 2).
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Command::New(arguments) => commands::new::run(arguments),
        Command::Dev(arguments) => commands::dev::run(arguments),
        Command::Serve(arguments) => commands::serve::run(arguments),
        Command::Check(arguments) => commands::check::run(arguments),
        Command::Adopt(arguments) => commands::adopt::run(arguments),
        Command::Migrate(arguments) => commands::migrate::run(arguments),
        Command::Schema(arguments) => commands::schema::run(arguments),
        Command::Keys(arguments) => commands::keys::run(arguments),
        Command::Openapi(arguments) => commands::openapi::run(arguments),
        Command::Types(arguments) => commands::types::run(arguments),
        Command::Audit(arguments) => commands::audit::run(arguments),
        Command::Users(arguments) => commands::users::run(arguments),
        Command::Config(arguments) => commands::config::run(arguments),
        Command::Seed(arguments) => commands::seed::run(arguments),
        Command::Backup(arguments) => commands::backup::run(arguments),
        Command::Restore(arguments) => commands::restore::run(arguments),
        Command::Move(arguments) => commands::transfer::run(arguments),
        Command::Explain(arguments) => commands::explain::run(arguments),
        Command::Version => say!("undergird {}", env!("CARGO_PKG_VERSION")),
    };
    let (why, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Exit::Failed(why)) => (why, 1),
        Err(Exit::Wrong(why)) => (why, 2),
    };
    if !why.is_empty() {
        tell!("undergird: {why}");
    }
    ExitCode::from(code)
}
