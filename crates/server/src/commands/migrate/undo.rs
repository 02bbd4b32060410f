//! `undergird migrate undo`: takes back the last migration, where that can be done.

use super::super::{Application, block_on};
use super::{Opened, apply::not_done};
use crate::cli::Exit;
use crate::migrations::Verdict;
use crate::say::say;
use undergird_store::migration::{self, Direction, Outcome, Part};
use undergird_store::schema::Step;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// Seconds to wait for another process that has the database.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Also when values are lost that were written since.
    #[arg(long)]
    accept_data_loss: bool,
}

/// # Errors
/// 1 when it cannot be taken back, or not without losing something.
pub fn run(arguments: &Arguments) -> Result<(), Exit> {
    block_on(async {
        let opened = Opened::open(&arguments.application, arguments.wait).await?;
        let result = undo(&opened, arguments.accept_data_loss).await;
        opened.store.close().await;
        result
    })
}

async fn undo(opened: &Opened, accept_data_loss: bool) -> Result<(), Exit> {
    let at = match &opened.standing.verdict {
        Verdict::At(at) | Verdict::Half(at) => *at,
        Verdict::Shaped(..) => {
            return Err(Exit::failed(
                "the database was shaped beyond its last migration: `undergird migrate apply` notes that first",
            ));
        }
        Verdict::Foreign(why) | Verdict::Drift(why) => return Err(Exit::failed(why)),
    };
    let Some(migration) = opened.folder.migrations.iter().find(|migration| migration.number == at) else {
        return Err(Exit::failed("the database has no migration to take back"));
    };
    let title = migration.title();
    let parts = migration::back(&migration.resolved)
        .map_err(|reasons| Exit::failed(format!("{title} cannot be taken back:\n  {}", reasons.join("\n  "))))?;
    let steps = |part: &Part| match part {
        Part::Schema { steps, .. } => steps.iter().filter_map(Step::loss).collect(),
        Part::Sql { .. } => Vec::new(),
    };
    let losses: Vec<String> = parts.iter().flat_map(steps).collect();
    if !losses.is_empty() && !accept_data_loss {
        return Err(Exit::failed(format!(
            "taking back {title} would lose what was written since, so it was not done:\n  {}\n`--accept-data-loss` does it.",
            losses.join("\n  ")
        )));
    }
    let run = migration.run(opened.name, Direction::Back).map_err(|why| Exit::failed(format!("{title}: {why}")))?;
    match opened.store.apply(&run).await.map_err(|error| not_done(&title, "taken back", &error))? {
        Outcome::Taken => say!("{title}: taken back.")?,
        Outcome::AlreadyThere => say!("{title}: taken back by another process.")?,
    }
    Ok(())
}
