//! `undergird keys`: the publishable and the secret key, made on first use; and a new key that signs tokens.

use super::{Application, block_on};
use crate::cli::Exit;
use crate::config::{Environment, data_directory};
use crate::keys::{self, KeysProblem};
use crate::say::{say, tell};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    print: Print,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a new key that signs tokens. Running servers take it up within seconds; tokens of the old one are good until they run out.
    Rotate(Application),
}

#[derive(Debug, clap::Args)]
struct Print {
    #[command(flatten)]
    application: Application,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// 2 for keys that are no keys, 1 when they cannot be kept.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    match arguments.command {
        None => print(&arguments.print),
        Some(Command::Rotate(application)) => block_on(async {
            let server = super::users::open(&application).await?;
            let rotated = server.auth().rotate_signing_key().await;
            server.close().await;
            rotated.map_err(|failure| Exit::failed(format!("the key was not made: {failure:?}")))
        }),
    }
}

fn print(arguments: &Print) -> Result<(), Exit> {
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
