//! `undergird explain`: which term of which rule decides about a request, its SQL and its query plan.

use super::Application;
use crate::cli::Exit;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// As whom: a user's id or address, `visitor`, or `secret`.
    #[arg(long = "as", value_name = "WHO", default_value = "visitor")]
    caller: String,
    /// Roles of that user, separated by commas.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// What: `GET /rest/v1/posts?status=eq.draft`.
    #[arg(long, value_name = "REQUEST")]
    request: String,
}

/// # Errors
/// 1: this build cannot explain yet.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let Arguments { application, caller, roles, request } = arguments;
    tracing::debug!(?application, caller, ?roles, request, "explain");
    Err(Exit::failed("this build cannot explain yet"))
}
