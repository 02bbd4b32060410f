//! `undergird seed`: fills the database with made-up rows, in transactions of a thousand, through the same plans as everybody's writes.

use super::{Application, block_on, exit};
use crate::cli::Exit;
use crate::say::{say, tell};
use crate::seed::{self, Generator};
use crate::server::{SchemaPolicy, Server};
use futures_util::FutureExt;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::time::Instant;
use undergird_engine::{Failure, Isolation, Outcome};
use undergird_model::schema::{Collection, CollectionId};
use undergird_plan::request::{Body, Input, Verb};
use undergird_plan::{Caller, Request};

/// What it takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    application: Application,
    /// How many rows: a number for all collections, or `users=1000,posts=100000` for some. By default 1,000 of those that refer to
    /// no other and 100,000 of those that do.
    #[arg(long, value_delimiter = ',', value_name = "[NAME=]N", value_parser = rows)]
    rows: Vec<(Option<String>, u64)>,
    /// The same number gives the same rows.
    #[arg(long, value_name = "N", default_value_t = 1)]
    random_seed: u64,
}

/// Rows of one transaction.
const ROWS_AT_ONCE: u64 = 1_000;

fn rows(text: &str) -> Result<(Option<String>, u64), String> {
    let (name, number) = text.split_once('=').map_or((None, text), |(name, number)| (Some(name.to_owned()), number));
    let number: u64 = number.replace('_', "").parse().map_err(|_| format!("\"{number}\" is no number of rows"))?;
    Ok((name, number))
}

/// # Errors
/// 2 for a definition that is not good, 1 when rows cannot be made or written.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    block_on(async {
        let policy = SchemaPolicy::Follow { accept_data_loss: false };
        let builder = arguments.application.builder(Vec::new()).schema(policy).make_keys(true);
        let server = builder.build().await.map_err(exit)?;
        let filled = fill(&server, &arguments).await;
        server.close().await;
        filled
    })
}

async fn fill(server: &Server, arguments: &Arguments) -> Result<(), Exit> {
    let engine = server.engine();
    let model = engine.app().model().clone();
    let named: Vec<(String, u64)> =
        arguments.rows.iter().filter_map(|(name, rows)| Some((name.clone()?, *rows))).collect();
    let default = arguments.rows.iter().rev().find(|(name, _)| name.is_none()).map(|(_, rows)| *rows);
    let order = seed::order(&model, &named, default).map_err(Exit::Wrong)?;
    let caller = Caller::secret(engine.moment());
    let mut generator = Generator::new(&model, &caller, arguments.random_seed);
    let started = Instant::now();
    let mut all = 0;
    for (id, rows) in order {
        let collection = model.collection(id);
        let bar = ProgressBar::new(rows).with_message(collection.name.clone());
        if let Ok(style) = ProgressStyle::with_template("{msg:<20} {bar:40} {human_pos:>9} of {human_len} ({per_sec})")
        {
            bar.set_style(style);
        }
        let mut done = 0;
        while done < rows {
            let batch = (rows - done).min(ROWS_AT_ONCE);
            let body = make(&mut generator, collection, batch).map_err(Exit::Failed)?;
            let keys = write(server, id, body).await.map_err(|failure| failed(collection, &failure))?;
            for key in &keys {
                generator.written(id, key);
            }
            done += batch;
            bar.set_position(done);
        }
        bar.finish();
        all += rows;
        if bar.is_hidden() {
            tell!("{}: {rows} rows", collection.name);
        }
    }
    say!("Wrote {all} rows in {:.1} s.", started.elapsed().as_secs_f64())?;
    Ok(())
}

fn make(generator: &mut Generator<'_>, collection: &Collection, rows: u64) -> Result<Body, String> {
    let mut body = Vec::with_capacity(usize::try_from(rows).unwrap_or_default());
    for _ in 0..rows {
        let row = generator.row(collection.id)?;
        let members = collection.fields.iter().zip(row).filter(|(field, _)| !Generator::is_left_out(field));
        body.push(members.map(|(field, value)| (field.name.clone(), Input::Value(value))).collect());
    }
    Ok(Body { rows: body, single: false })
}

/// Writes rows in one transaction, and gives their keys.
async fn write(server: &Server, id: CollectionId, body: Body) -> Result<Vec<Vec<undergird_model::Value>>, Failure> {
    let engine = server.engine();
    let name = engine.app().model().collection(id).name.clone();
    let caller = Caller::secret(engine.moment());
    let body = Arc::new(body);
    engine
        .transaction(Isolation::Committed, move |transaction| {
            // The store may run the work again from the start, so each run has its own request.
            let mut request = Request::new(name.clone(), Verb::Create);
            request.body = Some((*body).clone());
            let caller = caller.clone();
            async move {
                let written = transaction.write(&caller, request, None).await?;
                Ok(Outcome::commit(written.keys))
            }
            .boxed()
        })
        .await
}

fn failed(collection: &Collection, failure: &Failure) -> Exit {
    let hint = match failure {
        Failure::Constraint(_) => "; are there rows already? Another --random-seed makes others",
        _ => "",
    };
    Exit::failed(format!("cannot write rows of \"{}\": {failure:?}{hint}", collection.name))
}
