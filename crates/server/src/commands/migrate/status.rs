//! `undergird migrate status`: which migrations the database has, and whether it is as they left it.

use super::super::{Application, block_on};
use super::Opened;
use crate::cli::Exit;
use crate::migrations::Verdict;
use crate::say::say;
use undergird_store::migration::{Progress, Snapshot, State};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// Seconds to wait for another process that has the database.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

/// # Errors
/// 1 when something is pending or is not as it should be.
pub fn run(arguments: &Arguments) -> Result<(), Exit> {
    block_on(async {
        let opened = Opened::open(&arguments.application, arguments.wait).await?;
        let progress = opened.store.progress().await.map_err(|error| Exit::failed(error.to_string()))?;
        let result = status(&opened, &arguments.application, progress.as_ref());
        opened.store.close().await;
        result
    })
}

fn status(opened: &Opened, application: &Application, progress: Option<&Progress>) -> Result<(), Exit> {
    let mut pending = 0;
    for migration in &opened.folder.migrations {
        let done = opened.standing.done.iter().find(|done| done.number == migration.number);
        let state = match done.map(|done| done.state) {
            Some(State::Applied) => "applied",
            // Or on the way in another process, which is not told apart from here.
            Some(_) => "interrupted",
            None => {
                pending += 1;
                "pending"
            }
        };
        say!("{state:11}  {}", migration.title())?;
        if let Some(progress) = progress.filter(|progress| progress.number == migration.number) {
            say!("             filled {progress}")?;
        }
    }
    let model = application.model()?;
    if !Snapshot::of(&model, &opened.folder.last()).is_same(&opened.folder.last()) {
        say!("unplanned    the definition has changes that no migration holds: `undergird migrate plan`")?;
        pending += 1;
    }
    match &opened.standing.verdict {
        Verdict::At(_) if pending == 0 => Ok(()),
        Verdict::At(_) => Err(Exit::failed(format!("{pending} pending"))),
        Verdict::Shaped(_, shaped) => Err(Exit::failed(format!(
            "{pending} pending; the schema is that of migration {shaped:04} already, and `undergird migrate apply` notes that"
        ))),
        Verdict::Half(number) => Err(Exit::failed(format!(
            "migration {number:04} was interrupted: the command that was interrupted (`apply` or `undo`) brings it to its end"
        ))),
        Verdict::Beyond(titles) => Err(Exit::failed(super::ahead(titles))),
        Verdict::Foreign(why) | Verdict::Drift(why) => Err(Exit::failed(why)),
    }
}
