//! `undergird serve`: production. Nothing is made up on the way: no keys, no schema.

use super::{Application, announce, block_on, exit, flag, show};
use crate::cli::Exit;
use crate::logs::Logs;
use crate::serve::signals;
use crate::server::SchemaPolicy;
use std::time::Duration;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// Address and port, instead of `[server] listen`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Seconds for which connections are still accepted after SIGTERM, while /health/ready says no: give a load balancer time to see it.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=300))]
    grace: u64,
}

/// # Errors
/// 2 for a definition or keys that are not good, 1 for anything else.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let logs = Logs::start(std::env::var("UNDERGIRD_LOG").ok().as_deref()).map_err(Exit::Wrong)?;
    let flags = flag("--listen", &["server", "listen"], arguments.listen.as_ref()).into_iter().collect();
    let builder = arguments.application.builder(flags).schema(SchemaPolicy::Demand).access_log(logs.requests());
    let result = block_on(async {
        let server = builder.build().await.map_err(exit)?;
        show(server.definition());
        let (listener, address) = server.bind().await.map_err(exit)?;
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
        let ended = signals();
        announce(address);
        server.serve_until(listener, ended, Duration::from_secs(arguments.grace)).await.map_err(exit)
    });
    drop(logs);
    result
}
