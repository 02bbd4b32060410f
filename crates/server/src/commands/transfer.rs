//! `undergird move`: all data to another database, while a server runs, and then the configuration to that.
//!
//! Absent: copying and proving, which are the engine's.

use super::{Application, block_on, exit, mistakes};
use crate::cli::Exit;
use crate::config::{Definition, Origin, switch_store};
use crate::data::DataDirectory;
use crate::say::{say, tell};
use crate::stores;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use undergird_engine::transfer::{self, News, Report};
use undergird_model::Model;
use undergird_model::settings::{Settings, StoreSettings};
use undergird_store::Store;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// The other database, which must be empty: sqlite:data/other.db, postgres://…, mysql://…. In the environment a password is seen by
    /// fewer.
    #[arg(
        long,
        value_name = "URL",
        env = "UNDERGIRD_MOVE_TO",
        hide_env_values = true,
        required_unless_present = "cancel"
    )]
    to: Option<String>,
    /// Leave undergird.toml as it is, and print what is to be set.
    #[arg(long)]
    keep_configuration: bool,
    /// Let the configured database be written again, when a move to another was killed or is taken back. What was written to the
    /// other since then stays there.
    #[arg(long, conflicts_with = "keep_configuration")]
    cancel: bool,
}

/// # Errors
/// 2 for a definition or a URL that is not good, 1 when the data cannot be moved.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let definition = arguments.application.definition()?;
    let Some(model) = definition.model.clone() else { return Err(mistakes(&definition)) };
    block_on(async {
        let builder = arguments.application.builder(Vec::new()).beside_server(true);
        let (source, _data) = builder.open_store(&model).await.map_err(exit)?;
        let done = match &arguments.to {
            Some(to) if !arguments.cancel => to_another(&arguments, &definition, &model, &source, to).await,
            _ => transfer::release(&source).await.map_err(Exit::Failed).and_then(|()| say!("It can be written again.")),
        };
        source.close().await;
        done
    })
}

async fn to_another(
    arguments: &Arguments,
    definition: &Definition,
    model: &Model,
    source: &Arc<dyn Store>,
    to: &str,
) -> Result<(), Exit> {
    let settings =
        Settings { store: StoreSettings { url: to.to_owned(), ..StoreSettings::default() }, ..model.settings.clone() };
    let directory = &arguments.application.directory;
    if to == model.settings.store.url || is_same_file(&settings, model, arguments) {
        return Err(Exit::wrong("--to names the database that the application is on"));
    }
    let adopted: Vec<&str> =
        model.collections.iter().filter(|one| one.adopted).map(|collection| collection.name.as_str()).collect();
    if !adopted.is_empty() {
        return Err(Exit::failed(format!(
            "the tables of adopted collections are not Undergird's to copy, and these are: {}",
            adopted.join(", ")
        )));
    }
    let data = arguments.application.data_directory();
    // A file in the data directory is the next server's, and no other's until then.
    let alone = !stores::is_elsewhere(&settings) && stores::is_elsewhere(&model.settings);
    let _data = if alone { Some(DataDirectory::open(&data).map_err(Exit::Failed)?) } else { None };
    let target = stores::open(&settings, directory, &data).await.map_err(exit)?;
    let lacking = undergird_store::sql::lacking(model, target.dialect());
    let moved = match lacking.is_empty() {
        true => show(source, &target).await.map_err(Exit::Failed),
        false => Err(Exit::failed(format!("that store cannot keep these rules:\n  {}", lacking.join("\n  ")))),
    };
    target.close().await;
    let report = moved?;
    for proof in &report.proofs {
        say!("{} {:>9} {}", proof.sha256, proof.rows, proof.table)?;
    }
    let rows: u64 = report.proofs.iter().map(|proof| proof.rows).sum();
    match report.held {
        Some(held) => {
            say!("Moved {rows} rows, all equal. Writes were held for {:.1} s, and still are.", held.as_secs_f64())?
        }
        None => say!("The other database has these {rows} rows already, all equal.")?,
    }
    switch(arguments, definition, to)
}

/// Whether both are one file, however their paths are written.
fn is_same_file(settings: &Settings, model: &Model, arguments: &Arguments) -> bool {
    let data = arguments.application.data_directory();
    let real = |settings: &Settings| {
        let place = stores::file(settings, &arguments.application.directory).ok()?;
        let path = match place {
            stores::Place::InData(inside) => data.join(inside),
            stores::Place::Elsewhere(path) => path,
        };
        path.canonicalize().ok()
    };
    real(settings).is_some_and(|target| real(&model.settings) == Some(target))
}

/// Writes the new URL down, or says where to write it.
fn switch(arguments: &Arguments, definition: &Definition, to: &str) -> Result<(), Exit> {
    let by_hand = match definition.origin(&["stores", "main", "url"]) {
        Origin::Outside(name) if name.starts_with("UNDERGIRD_") => {
            Some(format!("Set {name} to the new URL, and start the server again."))
        }
        Origin::Outside(_) => {
            Some("Set the variable in `[stores.main] url` to the new URL, and start the server again.".into())
        }
        Origin::Default | Origin::File if arguments.keep_configuration || has_password(to) => Some(
            "Set UNDERGIRD_STORE_MAIN_URL, or `[stores.main] url`, to the new URL, and start the server again.".into(),
        ),
        Origin::Default | Origin::File => None,
    };
    let by_hand = match by_hand {
        Some(by_hand) => by_hand,
        None if switch_store(&arguments.application.directory, to).map_err(Exit::Failed)? => {
            return say!("undergird.toml names the new database now: start the server again.");
        }
        None => "Set `[stores.main] url` in undergird.toml to the new URL, and start the server again.".into(),
    };
    say!("{by_hand}")
}

/// Whether a URL holds what does not belong into a file that is committed.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || url.contains("password=")
}

/// Moves, and shows how far it is: a bar in a terminal, a line per table elsewhere.
async fn show(source: &Arc<dyn Store>, target: &Arc<dyn Store>) -> Result<Report, String> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:<32} {bar:40} {human_pos:>9} of {human_len} ({per_sec})") {
        bar.set_style(style);
    }
    let hidden = bar.is_hidden();
    let line = |text: String| match hidden {
        true => tell!("{text}"),
        false => bar.suspend(|| tell!("{text}")),
    };
    let mut known = std::collections::HashMap::new();
    let moved = transfer::transfer(source, target, &mut |news| match news {
        News::Table { doing, name, rows } => {
            let rows = if rows > 0 { rows } else { known.get(name).copied().unwrap_or(0) };
            bar.reset();
            bar.set_length(rows);
            bar.set_message(format!("{doing} {name}"));
        }
        News::Rows(rows) => bar.inc(rows),
        News::Done { doing, name, rows, written } => {
            known.insert(name.to_owned(), rows);
            if hidden {
                tell!("{doing} {name}: {rows} rows, {written} written");
            }
        }
        News::Resumed => line("going on with a move that was interrupted".into()),
        News::Following => line("following what changes".into()),
        News::Proved => line("proved equal".into()),
        News::Held => line("writes are held: requests that write get 503 from now on".into()),
        News::Completing => line("making references".into()),
    })
    .await;
    bar.finish_and_clear();
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_files() {
        for (url, expected) in [
            ("postgres://me:secret@host/db", true),
            ("postgres://host/db?password=x", true),
            ("postgres://me@host:5432/db", false),
            ("mysql://host:3306/db", false),
            ("sqlite:data/main.db", false),
        ] {
            assert_eq!(has_password(url), expected, "{url}");
        }
    }
}
