//! `undergird migrate apply`: the database gets the migrations that it lacks, in order, however many processes try at once.

use super::super::{Application, block_on};
use super::{Opened, show};
use crate::cli::Exit;
use crate::logs::Logs;
use crate::migrations::{Migration, Verdict};
use crate::say::say;
use crate::stores;
use undergird_store::StoreError;
use undergird_store::migration::{Direction, Outcome, Phase};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// Seconds to wait for another process that has the database.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Only up to this number.
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
    /// Only up to the first contract: what older nodes can serve beside.
    #[arg(long, conflicts_with = "to")]
    before_contract: bool,
}

/// # Errors
/// 2 for a definition or a folder that is not good, 1 when a migration is not applied.
pub fn run(arguments: &Arguments) -> Result<(), Exit> {
    // How far a backfill comes is told as it goes.
    let _logs = Logs::start(std::env::var("UNDERGIRD_LOG").ok().as_deref()).map_err(Exit::Wrong)?;
    block_on(async {
        let opened = Opened::open(&arguments.application, arguments.wait).await?;
        let result = apply(&opened, arguments).await;
        opened.store.close().await;
        result
    })
}

async fn apply(opened: &Opened, arguments: &Arguments) -> Result<(), Exit> {
    let last = opened.folder.migrations.len() as u32;
    let to = arguments.to.unwrap_or(last).min(last);
    // Those after `noted` are applied; those up to it are there already.
    let (given, noted) = match &opened.standing.verdict {
        Verdict::At(at) => (*at, *at),
        Verdict::Half(number) => (number - 1, number - 1),
        Verdict::Shaped(at, shaped) => (*at, *shaped),
        Verdict::Beyond(titles) => return Err(Exit::failed(super::ahead(titles))),
        Verdict::Foreign(why) | Verdict::Drift(why) => return Err(Exit::failed(why)),
    };
    let pending: Vec<&Migration> = opened
        .folder
        .migrations
        .iter()
        .filter(|migration| migration.number > given && migration.number <= to)
        .take_while(|migration| !(arguments.before_contract && migration.file.phase == Some(Phase::Contract)))
        .collect();
    if pending.is_empty() {
        let all = if arguments.before_contract { "all migrations before a contract" } else { "all migrations" };
        say!("The database has {all}.")?;
        return Ok(());
    }
    // All are judged before the first is applied.
    let scribes: Vec<_> = stores::scribe(opened.name).into_iter().collect();
    let mut fatal = 0;
    for migration in &pending {
        let findings = migration.lint(&scribes);
        let stopping: Vec<_> = findings.into_iter().filter(|finding| finding.is_fatal()).collect();
        fatal += show(&migration.title(), &stopping);
    }
    if fatal > 0 {
        return Err(Exit::failed(format!(
            "{}, so nothing was applied: mend it, or accept it in steps.toml with the reason",
            super::findings(fatal)
        )));
    }
    for migration in pending {
        let title = migration.title();
        let direction = if migration.number <= noted { Direction::Note } else { Direction::Forward };
        let run = migration.run(opened.name, direction).map_err(|why| Exit::failed(format!("{title}: {why}")))?;
        match (opened.store.apply(&run).await.map_err(|error| not_done(&title, "applied", &error))?, direction) {
            (Outcome::AlreadyThere, _) => say!("{title}: applied by another process.")?,
            (Outcome::Taken, Direction::Note) => {
                say!(
                    "{title}: the database has this schema already; it was noted, and none of its SQL by hand was run."
                )?;
            }
            (Outcome::Taken, _) => say!("{title}: applied.")?,
        }
    }
    Ok(())
}

/// Why a migration was not taken.
pub(super) fn not_done(title: &str, what: &str, error: &StoreError) -> Exit {
    Exit::failed(match error {
        // It says which rows, and what to do about them.
        StoreError::SchemaMismatch(why) => format!("{title} was not {what}: {why}"),
        error => format!("{title} was not {what}: {error}"),
    })
}
