//! `cargo xtask instructions`: what a request of the hot paths costs in instructions, counted by callgrind, as a ratio to what the
//! hand-written limit takes for the same request in the same run. A machine that is busy or slow counts the same.
//!
//! The ratios that are expected stand in `bench/instructions.toml`; `UNDERGIRD_BLESS=1` writes them. A ratio above its own by more than
//! [`TOLERANCE`] is a fault, so that a slow-down is seen in the commit that makes it; one below is told.
//!
//! By default the binaries are of the dev profile, which the tests have built anyway: that costs CI no build, and shows work that was
//! added, not what a request really takes. `--release` counts that, and is only told.
//!
//! Absent: time, and what instructions do not show: the memory's and the system's own.

use super::client::Client;
use super::side::{Said, Session, Side, Work, publishable_key, verify};
use super::{copy_directory, text};
use crate::process::{Running, run};
use crate::services::packages::{self, Program};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How far above the expected a ratio may be. Two runs of the same binaries differed by 0.5 % (lists), 1.4 % (R1) and 5.3 % (W1), and
/// another processor has other instructions for the same.
const TOLERANCE: f64 = 0.15;

/// Requests that fill caches before any is counted; those that are counted together, and how often. The least of the counts is taken:
/// what a server does beside its requests (logs, checkpoints) falls into some of them.
const WARM_UP: usize = 30;
const COUNTED: usize = 50;
const COUNTS: usize = 6;

const EXPECTED: &str = "bench/instructions.toml";

/// The chore.
pub(crate) fn instructions(root: &Path, given: &[String]) -> Result<(), String> {
    let release = match given {
        [] => false,
        [argument] if argument == "--release" => true,
        _ => return Err("usage: cargo xtask instructions [--release]".into()),
    };
    check(root, &root.join("target"), release).map(|told| println!("{told}"))
}

/// Builds both servers, counts, and compares with what is expected. `Ok` gives the ratios in a few words.
pub(crate) fn check(root: &Path, target: &Path, release: bool) -> Result<String, String> {
    // One by one: together they would have other features, and what the tests have built could not be used.
    for package in ["undergird", "undergird-bench-limit"] {
        let mut build = vec!["build", "--locked", "--quiet", "--bins", "--package", package];
        build.extend(release.then_some("--release"));
        run(root, "cargo", &build)?;
    }
    let counts = count(root, &target.join(if release { "release" } else { "debug" }))?;
    for (work, [ours, limit]) in Work::ALL.into_iter().zip(counts) {
        println!("{}: {ours:.0} instructions, the limit {limit:.0}", work.name());
    }
    let ratios = counts.map(|[ours, limit]| ours / limit);
    if release {
        return Ok(told(&ratios));
    }
    let file = root.join(EXPECTED);
    if std::env::var_os("UNDERGIRD_BLESS").is_some() {
        fs::write(&file, written(&ratios)).map_err(|error| format!("{EXPECTED}: {error}"))?;
    }
    let expected = fs::read_to_string(&file).map_err(|error| format!("{EXPECTED}: {error}"))?;
    judge(&ratios, &read(&expected)?)
}

fn told(ratios: &[f64; 4]) -> String {
    let ratios: Vec<String> =
        Work::ALL.iter().zip(ratios).map(|(work, ratio)| format!("{work:?} {ratio:.3}")).collect();
    format!("{} of the limit's instructions", ratios.join(", "))
}

fn written(ratios: &[f64; 4]) -> String {
    let mut out = String::from(
        "# Instructions per request over the hand-written limit's, dev profile: `cargo xtask instructions`. Written by UNDERGIRD_BLESS=1.\n",
    );
    for (work, ratio) in Work::ALL.iter().zip(ratios) {
        _ = writeln!(out, "{work:?} = {ratio:.3}");
    }
    out
}

fn read(expected: &str) -> Result<[f64; 4], String> {
    let table: toml::Table = toml::from_str(expected).map_err(|error| format!("{EXPECTED}: {error}"))?;
    let mut ratios = [0.0; 4];
    for (work, ratio) in Work::ALL.iter().zip(&mut ratios) {
        let name = format!("{work:?}");
        *ratio = table
            .get(&name)
            .and_then(toml::Value::as_float)
            .ok_or_else(|| format!("{EXPECTED}: no ratio {name}; UNDERGIRD_BLESS=1 writes it"))?;
    }
    Ok(ratios)
}

/// All works that take more than expected, or what was counted.
fn judge(ratios: &[f64; 4], expected: &[f64; 4]) -> Result<String, String> {
    let mut told = told(ratios);
    let mut slower = Vec::new();
    for ((work, ratio), expected) in Work::ALL.into_iter().zip(ratios).zip(expected) {
        let change = 100.0 * (ratio / expected - 1.0);
        if *ratio > expected * (1.0 + TOLERANCE) {
            slower.push(format!(
                "{}: {ratio:.3} times the limit's instructions, {change:.1} % more than {expected:.3}",
                work.name()
            ));
        } else if *ratio < expected * (1.0 - TOLERANCE) {
            _ = write!(told, "; {work:?} has {:.1} % less than expected: UNDERGIRD_BLESS=1 keeps it so", -change);
        }
    }
    if slower.is_empty() {
        return Ok(told);
    }
    Err(format!(
        "{}\na hot path became slower; if it must be so, UNDERGIRD_BLESS=1 cargo xtask instructions writes {EXPECTED} anew",
        slower.join("\n")
    ))
}

/// Instructions per request of each work: ours and the limit's.
fn count(root: &Path, binaries: &Path) -> Result<[[f64; 2]; 4], String> {
    let (valgrind, vgdb) = packages::find(Program::Valgrind)?;
    let undergird = binaries.join("undergird");
    let place = root.join("target/instructions");
    let app = place.join("blog");
    let _ = fs::remove_dir_all(&place);
    copy_directory(&root.join("examples/blog"), &app)?;
    run(
        root,
        text(&undergird)?,
        &["seed", text(&app)?, "--rows", "users=100,tags=10,posts=2000,comments=100,post_tags=100"],
    )?;
    let database = place.join("limit.db");
    fs::copy(app.join("data/main.db"), &database).map_err(|error| format!("copy the database: {error}"))?;
    let key = publishable_key(&undergird, &app)?;

    let start = |name: &str, arguments: &[&str]| {
        let costs = place.join(name);
        let costs_option = format!("--callgrind-out-file={}", text(&costs)?);
        let binary = binaries.join(name);
        let mut all = vec!["--tool=callgrind", "--quiet", &costs_option, text(&binary)?];
        all.extend(arguments);
        // One worker: how often workers wake each other is left to chance.
        let server = Running::start_with(&valgrind, &all, &[("TOKIO_WORKER_THREADS", "1")])?;
        Ok::<Counted, String>(Counted { server, vgdb: vgdb.clone(), costs, dumps: 0 })
    };
    let mut sides = [
        start("undergird", &["serve", text(&app)?, "--listen", "127.0.0.1:0"])?,
        start("undergird-bench-limit", &[text(&database)?, "0"])?,
    ];
    let [ours, limit] = [Side::read(root, "undergird")?, Side::read(root, "limit")?];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the client's runtime: {error}"))?;
    runtime.block_on(async {
        let sessions = [
            Session::open(&ours, sides[0].server.port, Said { key, ..Said::default() }, false).await?,
            Session::open(&limit, sides[1].server.port, Said::default(), false).await?,
        ];
        verify(&[("undergird", &sessions[0]), ("limit", &sessions[1])]).await?;
        let mut counts = [[0.0; 2]; 4];
        for (work, counts) in Work::ALL.into_iter().zip(&mut counts) {
            for ((counted, session), count) in sides.iter_mut().zip(&sessions).zip(counts) {
                let mut client = Client::connect(session.port).await?;
                send(session, &mut client, work, 0..WARM_UP).await?;
                let mut least = u64::MAX;
                counted.zero()?;
                for n in 0..COUNTS {
                    let first = WARM_UP + n * COUNTED;
                    send(session, &mut client, work, first..first + COUNTED).await?;
                    least = least.min(counted.dump()?);
                }
                *count = least as f64 / COUNTED as f64;
            }
        }
        Ok(counts)
    })
}

/// Sends requests of a work, one after the other.
async fn send(
    session: &Session,
    client: &mut Client,
    work: Work,
    numbers: std::ops::Range<usize>,
) -> Result<(), String> {
    for n in numbers {
        let (status, body) = client.send(&session.request(work, 1, n)).await?;
        if status != session.expected(work) {
            return Err(format!("{}: status {status}: {}", work.name(), String::from_utf8_lossy(body)));
        }
    }
    Ok(())
}

/// A server whose instructions are counted.
struct Counted {
    server: Running,
    vgdb: PathBuf,
    costs: PathBuf,
    dumps: usize,
}

impl Counted {
    fn tell(&self, command: &str) -> Result<(), String> {
        let process = format!("--pid={}", self.server.id());
        let output = Command::new(&self.vgdb).args([&process, command]).output();
        let output = output.map_err(|error| format!("vgdb cannot be started: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("vgdb {command} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }

    /// Counts from here.
    fn zero(&self) -> Result<(), String> {
        self.tell("zero")
    }

    /// The instructions of all threads since, and counts from here again.
    fn dump(&mut self) -> Result<u64, String> {
        self.tell("dump")?;
        self.dumps += 1;
        let path = format!("{}.{}", text(&self.costs)?, self.dumps);
        let costs = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let total = costs.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        total.ok_or_else(|| format!("{path} tells no totals"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{judge, read, written};

    #[test]
    fn a_slower_path_is_a_fault_and_every_one_is_named() {
        let expected = [2.0, 1.0, 1.0, 3.0];
        assert!(judge(&[2.2, 1.0, 1.0, 3.2], &expected).is_ok());
        let fault = judge(&[2.33, 1.0, 1.0, 3.6], &expected).unwrap_err();
        assert!(fault.contains("R1 read one: 2.330") && fault.contains("W1 create: 3.600"), "{fault}");
        assert!(fault.contains("20.0 % more than 3.000"), "{fault}");
        assert!(!fault.contains("R2"), "{fault}");
    }

    #[test]
    fn a_quicker_path_is_told() {
        let told = judge(&[1.0, 1.0, 0.8, 1.0], &[1.0; 4]).unwrap();
        assert!(told.contains("R3 has 20.0 % less"), "{told}");
    }

    #[test]
    fn what_is_written_is_read_again_and_a_missing_ratio_is_not_passed_over() {
        assert_eq!(read(&written(&[2.125, 1.0, 0.75, 3.5])).unwrap(), [2.125, 1.0, 0.75, 3.5]);
        assert!(read("R1 = 2.0\nR2 = 1.0\nR3 = 1.0\n").unwrap_err().contains("no ratio W1"));
    }
}
