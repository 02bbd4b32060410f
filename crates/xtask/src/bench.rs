//! `cargo xtask bench [SCENARIO]`: the same works over keep-alive HTTP on several servers, in one run, as `bench/scenarios.toml` says.
//!
//! R1 reads one post, R2 lists the 20 newest published, R3 the same with the author embedded, W1 creates a post. Who is measured stands in
//! `bench/sides`: Undergird, the hand-written limit, and what other people build with. All have the same rows, and before anything is
//! timed they must answer the same. Rounds are interleaved and medians are taken, so that what else the machine does falls on all.
//! Claims are ratios of this run; nothing here is asserted. The client is one thread with raw sockets: it takes part of the cores, equally
//! from all, so CPU per request (of all processes of a side) is the firmer figure.
//!
//! `--postgres URL` does it on a PostgreSQL server whose address is given, in databases that are made there and dropped, with those sides
//! that can, and tells what pgbench does with the limit's own statements.
//!
//! Absent: a verdict. `docs/performance.md` says what was seen and where the time goes.

mod client;
mod data;
pub(crate) mod instructions;
mod load;
pub(crate) mod models;
pub(crate) mod overload;
mod scenario;
pub(crate) mod side;
pub(crate) mod slow;
mod start;

use crate::process::{capture, run};
use data::Data;
use load::{Load, Measured};
use scenario::Scenario;
use side::{Side, Start, Store, Work};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The scenario that is taken when none is named.
const USUAL: &str = "limit";

const USAGE: &str = "usage: cargo xtask bench [SCENARIO] [--seconds N] [--rounds N] [--sides NAME,NAME] [--postgres URL (of a server where \
    databases may be made)] [--built (use the release binaries as they are)]";

struct Options {
    scenario: String,
    seconds: Option<u64>,
    rounds: Option<usize>,
    sides: Option<Vec<String>>,
    postgres: Option<String>,
    built: bool,
}

fn options(given: &[String]) -> Result<Options, String> {
    let mut options =
        Options { scenario: USUAL.into(), seconds: None, rounds: None, sides: None, postgres: None, built: false };
    let mut arguments = given.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--built" => options.built = true,
            "--seconds" => options.seconds = Some(value()?.parse().map_err(|_| USAGE)?),
            "--rounds" => options.rounds = Some(value()?.parse().ok().filter(|rounds| *rounds > 0).ok_or(USAGE)?),
            "--sides" => options.sides = Some(value()?.split(',').map(str::to_owned).collect()),
            "--postgres" => options.postgres = Some(value()?.clone()),
            name if !name.starts_with('-') => name.clone_into(&mut options.scenario),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

pub(crate) fn bench(root: &Path, given: &[String]) -> Result<(), String> {
    let options = options(given)?;
    let mut scenario = Scenario::read(root, &options.scenario)?;
    if let Some(sides) = options.sides {
        scenario.sides = sides;
    }
    scenario.seconds = options.seconds.unwrap_or(scenario.seconds);
    scenario.rounds = options.rounds.unwrap_or(scenario.rounds);
    if !options.built {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "undergird", "-p", "undergird-bench-limit"])?;
    }
    // A client that is not optimized takes more of the machine than the server that it measures.
    if cfg!(debug_assertions) {
        run(root, "cargo", &["build", "--release", "--locked", "-p", "xtask"])?;
        let again = given.iter().map(String::as_str).filter(|argument| *argument != "--built");
        let again: Vec<&str> = ["bench", "--built"].into_iter().chain(again).collect();
        return run(root, text(&root.join("target/release/xtask"))?, &again);
    }
    let store = if options.postgres.is_some() { Store::Postgres } else { Store::Sqlite };
    let sides: Vec<Side> = scenario.sides.iter().map(|name| Side::read(root, name)).collect::<Result<_, String>>()?;
    let (sides, cannot): (Vec<Side>, Vec<Side>) = sides.into_iter().partition(|side| side.stores.contains(&store));
    for side in cannot {
        eprintln!("{} is left out: it does not run on {}", side.name, store.name());
    }
    println!("{} On {}.\n", scenario.about, store.name());
    for side in &sides {
        println!("- {}: {}", side.name, side.about);
    }
    println!();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the client's runtime: {error}"))?;
    let mut measured = Vec::new();
    for rows in &scenario.rows {
        let mut data = Data::prepare(root, *rows, options.postgres.as_deref())?;
        measured.extend(runtime.block_on(compare(root, &scenario, &sides, &mut data, *rows))?);
        if let Some(limit) = data.url("limit").filter(|_| sides.iter().any(|side| side.start == Start::Limit)) {
            pgbench(&root.join("target/bench"), &limit, scenario.seconds)?;
        }
    }
    let names: Vec<String> = sides.into_iter().map(|side| side.name).collect();
    println!("{}", load::table(&names, &measured));
    Ok(())
}

/// All works at all widths on the sides, at one number of rows.
async fn compare(
    root: &Path,
    scenario: &Scenario,
    sides: &[Side],
    data: &mut Data,
    rows: usize,
) -> Result<Vec<Measured>, String> {
    let mut started = Vec::new();
    for side in sides {
        let many = [("UNDERGIRD_LIMITS_CONNECTIONS_PER_ADDRESS", "10000")];
        started.push(start::start(root, side, data, scenario.signed_in, &[], &many).await?);
        let resting = started.last().map_or(Ok(0), |started| started.running.memory())?;
        eprintln!("{}: {} MB before its first work", side.name, resting >> 20);
    }
    let sessions: Vec<_> = sides.iter().zip(&started).map(|(side, one)| (side.name.as_str(), &one.session)).collect();
    side::verify(&sessions).await?;
    let mut measured: Vec<Measured> = scenario
        .connections
        .iter()
        .flat_map(|connections| scenario.works.iter().map(move |work| (*connections, *work)))
        .map(|(connections, work)| Measured { work, connections, rows, sides: vec![Vec::new(); sides.len()] })
        .collect();
    let mut run = 0;
    for round in 1..=scenario.rounds {
        for measured in &mut measured {
            for (number, one) in started.iter().enumerate() {
                run += 1;
                let Measured { work, connections, .. } = *measured;
                let (warm_up, time) =
                    (Duration::from_secs(scenario.warm_up_seconds), Duration::from_secs(scenario.seconds));
                let load = Load { work, connections, run, warm_up, time };
                let told = format!("round {round}, {connections} connections, {}, {}", work.name(), sides[number].name);
                let (figures, fault) =
                    load::measure(&one.session, &one.running, load).await.map_err(|why| format!("{told}: {why}"))?;
                eprintln!("{told}: {figures}{}", fault.map(|fault| format!("; {fault}")).unwrap_or_default());
                measured.sides[number].push(figures);
            }
        }
    }
    Ok(measured)
}

/// As many clients pgbench has.
const PGBENCH_CLIENTS: usize = 32;

/// The database alone: pgbench with the hand-written server's statements, as many clients.
fn pgbench(place: &Path, url: &str, seconds: u64) -> Result<(), String> {
    const COLUMNS: &str = "p.id, p.title, p.slug, p.body, p.status, p.author_id, p.published_at, p.created_at";
    let id = capture("psql", &["-qAt", "-d", url, "-c", "SELECT id FROM posts WHERE status = 'published' LIMIT 1"])?;
    let author = capture("psql", &["-qAt", "-d", url, "-c", "SELECT id FROM users LIMIT 1"])?;
    let newest = "WHERE p.status = 'published' ORDER BY p.created_at DESC LIMIT 20";
    let scripts = [
        format!("SELECT {COLUMNS} FROM posts p WHERE p.id = '{}' AND p.status = 'published';", id.trim()),
        format!("SELECT {COLUMNS} FROM posts p {newest};"),
        format!("SELECT {COLUMNS}, u.id, u.name FROM posts p JOIN users u ON u.id = p.author_id {newest};"),
        format!(
            "INSERT INTO posts (id, title, slug, body, status, author_id, published_at, created_at) VALUES \
             (gen_random_uuid(), 'A new post', gen_random_uuid()::text, 'It has a body of its own.', 'draft', '{}', NULL, now());",
            author.trim()
        ),
    ];
    println!("| work | pgbench, transactions/s |\n|---|---|");
    for (work, script) in Work::ALL.into_iter().zip(scripts) {
        let file = place.join("pgbench.sql");
        fs::write(&file, script + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
        let (clients, time) = (PGBENCH_CLIENTS.to_string(), seconds.to_string());
        let told = capture(
            "pgbench",
            &["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &time, "-f", text(&file)?, url],
        )?;
        let tps = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        let tps: f64 = tps.and_then(|tps| tps.parse().ok()).ok_or("pgbench told no tps")?;
        println!("| {} | {tps:.0} |", work.name());
    }
    println!();
    Ok(())
}

fn at(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(((sorted.len() as f64 * share) as usize).min(last)).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

fn copy_directory(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("copy {}: {error}", from.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let path: PathBuf = entry.map_err(failed)?.path();
        let Some(name) = path.file_name() else { continue };
        if name == "data" {
            continue;
        }
        if path.is_dir() {
            copy_directory(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}
