//! `undergird dev`: serves an application while it is being written. The schema follows the files; mistakes are shown, and the last
//! good definition goes on; nothing is lost without a yes.

use super::{Application, announce, block_on, exit, flag, loss, show, url};
use crate::cli::Exit;
use crate::logs::Logs;
use crate::say::tell;
use crate::serve::signals;
use crate::server::{Builder, SchemaPolicy, Server, StartError};
use crate::watch::{Snapshot, changed};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use undergird_model::Model;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// Address and port, instead of `[server] listen`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Make changes of the schema that lose data without asking.
    #[arg(long)]
    accept_data_loss: bool,
}

/// # Errors
/// 2 for a definition that is not good at the start (when nobody is at the terminal to mend it), 1 for anything else.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let logs = Logs::start(std::env::var("UNDERGIRD_LOG").ok().as_deref()).map_err(Exit::Wrong)?;
    let result = block_on(serve(&arguments, &logs));
    drop(logs);
    result
}

async fn serve(arguments: &Arguments, logs: &Logs) -> Result<(), Exit> {
    let directory = &arguments.application.directory;
    let flags: Vec<_> = flag("--listen", &["server", "listen"], arguments.listen.as_ref()).into_iter().collect();
    let builder = |accept_data_loss| -> Builder {
        arguments
            .application
            .builder(flags.clone())
            .schema(SchemaPolicy::Follow { accept_data_loss })
            .make_keys(true)
            .show_mails(true)
            .show_pages(true)
            .access_log(logs.requests())
    };
    let mut accept = arguments.accept_data_loss;
    // Looked at before they are read: what changes while the server starts is a change.
    let (server, seen) = loop {
        let before = Snapshot::take(directory);
        match builder(accept).build().await {
            Ok(server) => break (server, before),
            Err(StartError::Definition(definition)) if is_attended() => {
                show(&definition);
                tell!("Mend it; the server starts as soon as the definition is sound.");
                tokio::select! {
                    _ = changed(directory, &before) => {}
                    () = signals() => return Ok(()),
                }
            }
            Err(StartError::Loss(losses)) if is_attended() => match ask(losses.clone()).await {
                true => accept = true,
                false => return Err(Exit::Failed(loss(&losses))),
            },
            Err(error) => return Err(exit(error)),
        }
    };
    show(server.definition());
    let (listener, address) = server.bind().await.map_err(exit)?;
    greet(&server, address);
    let ended = signals();
    announce(address);
    let drained = tokio::select! {
        drained = server.accept_until(listener, ended, Duration::ZERO) => drained,
        never = follow(&server, directory, seen, arguments.accept_data_loss) => match never {},
    };
    server.close().await;
    if drained { Ok(()) } else { Err(Exit::failed("requests under way were cut")) }
}

fn greet(server: &Server, address: SocketAddr) {
    let keys = server.keys();
    // A log file is no place for it; `undergird keys` prints it where one wants it.
    let secret = if std::io::stderr().is_terminal() { keys.secret.expose() } else { "(run `undergird keys`)" };
    let url = url(address);
    let settings = server.settings();
    tell!("\n  {} at {url}\n", settings.name);
    tell!("  publishable key  {}\n  secret key       {secret}", keys.publishable);
    if settings.server.docs {
        tell!("  try it           {url}/docs");
    }
    if settings.auth.ui.enabled != Some(false) {
        tell!("  sign-in pages    {url}/auth/ui/sign-in");
    }
    if settings.mail.host.is_none() {
        tell!("  mails            {url}/_/inbox");
    }
    tell!();
}

/// Follows the files for ever.
async fn follow(
    server: &Server,
    directory: &Path,
    mut seen: Snapshot,
    accept_data_loss: bool,
) -> std::convert::Infallible {
    let started = server.settings();
    loop {
        seen = changed(directory, &seen).await;
        let definition = match server.reread() {
            Ok(definition) => definition,
            Err(error) => {
                tell!("undergird: {error}; going on with the last good definition");
                continue;
            }
        };
        show(&definition);
        let Some(model) = definition.model else {
            tell!("undergird: going on with the last good definition");
            continue;
        };
        let later = started.changed_for_next_start(&model.settings);
        take(server, model, accept_data_loss).await;
        if !later.is_empty() {
            tell!("undergird: {} changed, which holds from the next start on", later.join(", "));
        }
    }
}

async fn take(server: &Server, model: Arc<Model>, accept_data_loss: bool) {
    let mut result = server.follow(model.clone(), accept_data_loss).await;
    if let Err(StartError::Loss(losses)) = &result
        && is_attended()
        && ask(losses.clone()).await
    {
        result = server.follow(model, true).await;
    }
    match result {
        Ok(steps) if steps.is_empty() => tell!("undergird: the definition changed, the schema did not"),
        Ok(steps) => eprint!("undergird: the schema changed:\n{steps}"),
        Err(StartError::Loss(losses)) => {
            tell!("undergird: {}\ngoing on with the last good definition", loss(&losses))
        }
        Err(error) => tell!("undergird: {error}\ngoing on with the last good definition"),
    }
}

/// Whether somebody is there to be asked.
fn is_attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks whether the losses are meant.
async fn ask(losses: Vec<String>) -> bool {
    let question = move || {
        tell!("This change loses data for good:");
        for loss in &losses {
            tell!("  {loss}");
        }
        eprint!("Type \"lose\" to make it, anything else to leave the database as it is: ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "lose"
    };
    tokio::task::spawn_blocking(question).await.unwrap_or(false)
}
