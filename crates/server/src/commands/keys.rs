//! `undergird keys`: the publishable and the secret key, made on first use.

use super::Application;
use crate::cli::Exit;
use crate::config::{Environment, data_directory};
use crate::keys::{self, KeysProblem};
use crate::say::{say, tell};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// 2 for keys that are no keys, 1 when they cannot be kept.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    // So that a mistyped directory does not get keys.
    crate::config::read_sources(&arguments.application.directory).map_err(Exit::Wrong)?;
    let environment = Environment::of_process();
    let data = data_directory(&arguments.application.directory, &environment, arguments.application.data.as_deref());
    let keys = keys::load(&data, &environment, true).map_err(|problem| match problem {
        KeysProblem::Wrong(why) => Exit::Wrong(why),
        KeysProblem::Failed(why) => Exit::Failed(why),
    })?;
    if arguments.json {
        say!("{:#}", keys::to_json(&keys))?;
    } else {
        say!("publishable  {}\nsecret       {}", keys.publishable, keys.secret.expose())?;
        tell!(
            "The publishable key means \"a visitor\" and may stand in any client. The secret key passes all access rules: servers only."
        );
    }
    Ok(())
}
