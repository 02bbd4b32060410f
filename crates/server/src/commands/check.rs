//! `undergird check`: all mistakes in a definition, without a database.

use super::Application;
use crate::cli::Exit;
use crate::say::say;
use serde_json::json;
use undergird_model::definition;

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// As JSON on standard output, for editors and CI.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// 2 when there is a mistake.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    let definition = arguments.application.definition()?;
    let fine = definition.model.is_some();
    if arguments.json {
        let report = json!({ "ok": fine, "diagnostics": definition::to_json(&definition.diagnostics) });
        say!("{report:#}")?;
        return if fine { Ok(()) } else { Err(Exit::Wrong(String::new())) };
    }
    let Some(model) = &definition.model else { return Err(super::mistakes(&definition)) };
    super::show(&definition);
    crate::accounts::templates(&arguments.application.directory).map_err(Exit::Wrong)?;
    let closed: Vec<&str> = model
        .public()
        .filter(|collection| {
            let access = &collection.access;
            [&access.read, &access.create, &access.update, &access.delete].iter().all(|rule| rule.is_none())
        })
        .map(|collection| collection.name.as_str())
        .collect();
    say!("The definition of \"{}\" is sound: {} collections.", model.settings.name, model.public().count())?;
    if !closed.is_empty() {
        say!("Closed to everybody but a secret key, for want of rules: {}.", closed.join(", "))?;
    }
    Ok(())
}
