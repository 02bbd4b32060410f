//! The commands, one file each: its arguments, what it does, what it prints. What a command is about goes to standard output, what it
//! says about its work to standard error.

pub mod adopt;
pub mod audit;
pub mod backup;
pub mod check;
pub mod config;
pub mod dev;
pub mod explain;
pub mod keys;
pub mod migrate;
pub mod new;
pub mod openapi;
pub mod restore;
pub mod schema;
pub mod seed;
pub mod serve;
pub mod transfer;
pub mod types;
pub mod users;

use crate::cli::Exit;
use crate::config::{Definition, Environment};
use crate::say::tell;
use crate::server::{Builder, Server, StartError};
use std::future::Future;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use undergird_model::definition::Override;

/// What every command that is about an application takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Application {
    /// The application's directory.
    #[arg(default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
    /// Where its data is kept, instead of UNDERGIRD_DATA or DIR/data.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Application {
    /// How it is opened, with settings from flags.
    pub fn builder(&self, flags: Vec<Override>) -> Builder {
        let builder = Server::builder(&self.directory).flags(flags);
        match &self.data {
            Some(path) => builder.data(path),
            None => builder,
        }
    }

    /// Where its data is.
    pub fn data_directory(&self) -> PathBuf {
        crate::config::data_directory(&self.directory, &Environment::of_process(), self.data.as_deref())
    }

    /// Its definition alone.
    ///
    /// # Errors
    /// 2: the directory cannot be read.
    pub fn definition(&self) -> Result<Definition, Exit> {
        Definition::load(&self.directory, &Environment::of_process(), &[]).map_err(Exit::Wrong)
    }
}

impl Application {
    /// Its model.
    ///
    /// # Errors
    /// 2: the definition has mistakes, which are shown.
    pub fn model(&self) -> Result<std::sync::Arc<undergird_model::Model>, Exit> {
        let definition = self.definition()?;
        definition.model.clone().ok_or_else(|| mistakes(&definition))
    }
}

/// A flag that stands for a setting.
pub(crate) fn flag(name: &str, path: &[&str], value: Option<&String>) -> Option<Override> {
    value.map(|value| Override {
        path: path.iter().map(|&key| key.to_owned()).collect(),
        value: value.clone(),
        origin: name.to_owned(),
    })
}

/// After so many of its own tasks a worker thread takes one that comes from elsewhere. What the writer's thread has committed comes from
/// elsewhere; left to tokio's own reckoning, its answers and probes waited for seconds while there was too much to do.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

/// Runs to the end on as many threads as there are cores.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().global_queue_interval(GLOBAL_QUEUE_INTERVAL).build();
    let runtime = runtime.map_err(|error| Exit::failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// What a start error ends a command with.
pub(crate) fn exit(error: StartError) -> Exit {
    match error {
        StartError::Definition(definition) => mistakes(&definition),
        StartError::Wrong(why) => Exit::Wrong(why),
        StartError::Schema(why) | StartError::Failed(why) => Exit::Failed(why),
        StartError::Loss(losses) => Exit::Failed(loss(&losses)),
    }
}

/// Shows the mistakes of a definition, and ends with 2.
pub(crate) fn mistakes(definition: &Definition) -> Exit {
    show(definition);
    let errors = definition.errors();
    Exit::Wrong(format!("the definition has {errors} mistake{}", if errors == 1 { "" } else { "s" }))
}

/// Shows all diagnostics on standard error, if there are any.
pub(crate) fn show(definition: &Definition) {
    if !definition.diagnostics.is_empty() {
        tell!("{}", definition.render(std::io::stderr().is_terminal()).trim_end());
    }
}

/// What is said when something would be lost.
pub(crate) fn loss(losses: &[String]) -> String {
    let losses: String = losses.iter().map(|loss| format!("  {loss}\n")).collect();
    format!(
        "this change would lose data, so it was not made:\n{losses}`undergird migrate --accept-data-loss` makes it."
    )
}

/// The address as a URL that a person can open.
pub(crate) fn url(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("http://127.0.0.1:{}", address.port()),
        false => format!("http://{address}"),
    }
}

/// Says on standard output that requests are answered from now on: one line, for whoever started the process.
pub(crate) fn announce(address: SocketAddr) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // Nobody may be listening to it.
    let _ = writeln!(out, "ready {}", url(address)).and_then(|()| out.flush());
}
