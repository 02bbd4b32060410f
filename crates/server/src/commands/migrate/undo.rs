//! `undergird migrate undo`: takes back the last migrations, where that can be done. All are judged before the first is taken back.

use super::super::{Application, block_on};
use super::{Opened, apply::not_done};
use crate::cli::Exit;
use crate::logs::Logs;
use crate::migrations::{Migration, Verdict};
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
    /// How many, from the last one on.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// All after this number, which stays the last; 0 takes all of them back.
    #[arg(long, value_name = "NUMBER", conflicts_with = "count")]
    to: Option<u32>,
    /// Also when values are lost that were written since.
    #[arg(long)]
    accept_data_loss: bool,
}

/// # Errors
/// 1 when one of them cannot be taken back, or not without losing something.
pub fn run(arguments: &Arguments) -> Result<(), Exit> {
    // How far a backfill comes is told as it goes.
    let _logs = Logs::start(std::env::var("UNDERGIRD_LOG").ok().as_deref()).map_err(Exit::Wrong)?;
    block_on(async {
        let opened = Opened::open(&arguments.application, arguments.wait).await?;
        let result = undo(&opened, arguments).await;
        opened.store.close().await;
        result
    })
}

async fn undo(opened: &Opened, arguments: &Arguments) -> Result<(), Exit> {
    let at = match &opened.standing.verdict {
        Verdict::At(at) | Verdict::Half(at) => *at,
        Verdict::Shaped(..) => {
            return Err(Exit::failed(
                "the database was shaped beyond its last migration: `undergird migrate apply` notes that first",
            ));
        }
        Verdict::Beyond(titles) => return Err(Exit::failed(super::ahead(titles))),
        Verdict::Foreign(why) | Verdict::Drift(why) => return Err(Exit::failed(why)),
    };
    if at == 0 {
        return Err(Exit::failed("the database has no migration to take back"));
    }
    let to = arguments.to.unwrap_or_else(|| at.saturating_sub(arguments.count));
    if to >= at {
        say!("The database has no migration after {to:04}; nothing was taken back.")?;
        return Ok(());
    }
    // The last one first.
    let taken: Vec<&Migration> =
        opened.folder.migrations.iter().rev().filter(|one| one.number > to && one.number <= at).collect();
    let mut faults = Vec::new();
    let mut losses = Vec::new();
    for migration in &taken {
        let title = migration.title();
        match migration::back(&migration.resolved) {
            Ok(parts) => losses.extend(lost(&parts).into_iter().map(|loss| (title.clone(), loss))),
            Err(reasons) => faults.push(format!("{title} cannot be taken back:\n  {}", reasons.join("\n  "))),
        }
    }
    if !faults.is_empty() {
        let nothing = if taken.len() > 1 { "\nNothing was taken back." } else { "" };
        return Err(Exit::failed(format!("{}{nothing}", faults.join("\n"))));
    }
    if !losses.is_empty() && !arguments.accept_data_loss {
        let lines: Vec<String> = losses.iter().map(|(title, loss)| format!("  {title}: {loss}")).collect();
        return Err(Exit::failed(format!(
            "this would lose what was written since, so nothing was taken back:\n{}\n`--accept-data-loss` does it.",
            lines.join("\n")
        )));
    }
    for migration in taken {
        let title = migration.title();
        let run = migration.run(opened.name, Direction::Back).map_err(|why| Exit::failed(format!("{title}: {why}")))?;
        match opened.store.apply(&run).await.map_err(|error| not_done(&title, "taken back", &error))? {
            Outcome::Taken => say!("{title}: taken back.")?,
            Outcome::AlreadyThere => say!("{title}: taken back by another process.")?,
        }
    }
    Ok(())
}

/// What goes for good with these parts.
fn lost(parts: &[Part]) -> Vec<String> {
    let steps = |part: &Part| match part {
        Part::Schema { steps, .. } => steps.iter().filter_map(Step::loss).collect(),
        Part::Sql { .. } | Part::Backfill { .. } => Vec::new(),
    };
    parts.iter().flat_map(steps).collect()
}
