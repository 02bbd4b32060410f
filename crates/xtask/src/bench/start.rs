//! Starts a side: our binaries as they were built, peers with packages that are installed once into `target/bench/peers`.
//!
//! Packages come by name and version from their own registries, by their own clients.

use super::data::{Data, STORE};
use super::side::{Said, Session, Side, Start, publishable_key};
use super::text;
use crate::process::{Running, run};
use std::fs;
use std::path::{Path, PathBuf};

/// A side that runs.
pub(super) struct Started {
    pub(super) running: Running,
    pub(super) session: Session,
}

/// Starts a side on a copy of the rows. `wrapper` is a program with its arguments that starts it, as `taskset` does.
pub(super) async fn start(
    root: &Path,
    side: &Side,
    data: &mut Data,
    signed_in: bool,
    wrapper: &[&str],
    environment: &[(&str, &str)],
) -> Result<Started, String> {
    let own = data.own(side)?;
    let release = root.join("target/release");
    let undergird = release.join("undergird");
    let mut said = Said::default();
    let mut environment = environment.to_vec();
    let postgres = own.database.starts_with("postgres");
    let (modules, limit, program);
    let mut command: Vec<&str> = wrapper.to_vec();
    match (&own.app, side.start) {
        (Some(app), _) => {
            said.key = publishable_key(&undergird, app)?;
            if postgres {
                environment.push((STORE, &own.database));
            }
            command.extend([text(&undergird)?, "serve", text(app)?, "--listen", "127.0.0.1:0"]);
        }
        (None, Start::Limit) => {
            limit = release.join(if postgres { "undergird-bench-limit-postgres" } else { "undergird-bench-limit" });
            command.extend([text(&limit)?, &own.database, "0"]);
        }
        (None, _) => {
            modules = install(root, side)?;
            let [runtime, file] = side.program.as_slice() else {
                return Err(format!("{}: program is to be [\"python\" or \"node\", FILE]", side.name));
            };
            program = [modules.join("bin").join(runtime), side.folder.join(file)];
            command.push(if runtime == "python" { text(&program[0])? } else { runtime });
            command.extend([text(&program[1])?, &own.database]);
            environment.extend([("BENCH_MODULES", text(&modules)?), ("PYTHONDONTWRITEBYTECODE", "1")]);
        }
    }
    let (first, arguments) = command.split_first().ok_or("nothing to start")?;
    let running = Running::start_with(Path::new(first), arguments, &environment)?;
    for line in &running.said {
        match line.split_once(' ') {
            Some(("token", token)) => token.clone_into(&mut said.token),
            Some(("author", author)) => author.clone_into(&mut said.author),
            _ => {}
        }
    }
    let session = Session::open(side, running.port, said, signed_in).await?;
    Ok(Started { running, session })
}

/// The folder with a peer's packages, installed when they are not those that it asks for.
fn install(root: &Path, side: &Side) -> Result<PathBuf, String> {
    let place = root.join("target/bench/peers").join(&side.name);
    let failed = |error: std::io::Error| format!("{}: {error}", place.display());
    let wanted = ["requirements.txt", "package.json"].map(|file| side.folder.join(file));
    let [python, node] = wanted.map(|file| fs::read_to_string(file).ok());
    let stamp = place.join("installed");
    let asked = format!("{python:?} {node:?}");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == asked) {
        return Ok(place);
    }
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).map_err(failed)?;
    if let Some(python) = python {
        run(&place, "python3", &["-m", "venv", "."])?;
        fs::write(place.join("requirements.txt"), python).map_err(failed)?;
        run(&place, text(&place.join("bin/pip"))?, &["install", "--quiet", "--requirement", "requirements.txt"])?;
    }
    if let Some(node) = node {
        fs::write(place.join("package.json"), node).map_err(failed)?;
        run(&place, "npm", &["install", "--no-audit", "--no-fund", "--loglevel=error"])?;
    }
    fs::write(&stamp, asked).map_err(failed)?;
    Ok(place)
}
