//! `undergird migrate` without a subcommand: what `dev` would do to the database, by itself. Only for applications that commit no
//! migrations.

use super::super::{Application, block_on, exit, loss, mistakes};
use crate::cli::Exit;
use crate::migrations::Folder;
use crate::say::say;
use crate::schema::{Change, Obstacle};
use crate::server::SchemaPolicy;

/// What it takes.
#[derive(Debug, clap::Args)]
#[group(id = "direct")]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// Print the steps in words and in SQL, and take none.
    #[arg(long)]
    dry_run: bool,
    /// Also take steps that lose data for good.
    #[arg(long)]
    accept_data_loss: bool,
}

/// # Errors
/// 2 for a definition that is not good, 1 when the change cannot be made.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let definition = arguments.application.definition()?;
    let Some(model) = definition.model.clone() else { return Err(mistakes(&definition)) };
    if !arguments.dry_run && Folder::is_there(&arguments.application.directory) {
        return Err(Exit::failed(
            "this application commits its migrations: `undergird migrate plan` makes one, `undergird migrate apply` applies it",
        ));
    }
    block_on(async {
        let builder = arguments.application.builder(Vec::new()).schema(SchemaPolicy::Leave);
        let (store, _data) = builder.open_store(&model).await.map_err(exit)?;
        let change = Change::plan(&store, &model).await.map_err(Exit::failed)?;
        if change.is_nothing() {
            say!("The database is at the definition.")?;
            return Ok(());
        }
        say!("Steps:\n{}", change.describe())?;
        if arguments.dry_run {
            say!("SQL:")?;
            for statement in store.describe(&change.steps, &change.wanted) {
                say!("{statement};\n")?;
            }
        }
        match change.obstacle(arguments.accept_data_loss) {
            Some(Obstacle::Blocked(reasons)) => return Err(Exit::failed(reasons.join("\n"))),
            Some(Obstacle::Loss(losses)) if !arguments.dry_run => return Err(Exit::Failed(loss(&losses))),
            Some(Obstacle::Loss(losses)) => say!("Data would be lost:\n  {}", losses.join("\n  "))?,
            None => {}
        }
        if !arguments.dry_run {
            change.apply(&store).await.map_err(Exit::Failed)?;
            store.raise_wall(&model).await.map_err(Exit::failed)?;
            say!("Done.")?;
        }
        store.close().await;
        Ok(())
    })
}
