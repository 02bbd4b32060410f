//! `cargo xtask test`: everything that must hold, in order of how fast it can fail. All parts run, whatever fails before, and the
//! last line is the sum.
//!
//! The crates' tests and the whole apps get database servers of this run (`services`), unless the environment names some.
//!
//! Needs a Rust toolchain with rustfmt and clippy; what the whole-app tests need beyond that, `tests/e2e/run` installs or names.

use crate::services::Services;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A part: its name and how it is run, with more in its environment. `Ok` gives a few words for the sum.
type Part = (&'static str, fn(&Path, &Variables) -> Result<String, String>);

/// Variables that say where the database servers are.
type Variables = [(String, String)];

const PARTS: &[Part] = &[
    ("format", format),
    ("lints", lints),
    ("tidy", tidy),
    ("tests", tests),
    ("docs", docs),
    ("whole apps", whole_apps),
    ("hot paths", hot_paths),
];

/// The parts that ask for database servers.
const ON_SERVERS: &[&str] = &["tests", "whole apps"];

/// Runs the parts, or those named.
pub fn run(root: &Path, only: &[String]) -> Result<(), String> {
    if let Some(unknown) = only.iter().find(|name| !PARTS.iter().any(|(part, _)| part == name)) {
        let parts: Vec<String> = PARTS.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        return Err(format!("no part \"{unknown}\"; there are {}", parts.join(", ")));
    }
    let started = Instant::now();
    let mut sum = String::new();
    let (mut failed, mut totals) = (Vec::new(), Vec::new());
    let mut servers: Option<Servers> = None;
    for (name, part) in PARTS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|wanted| wanted == name)) {
        println!("\n=== {name}");
        let part_started = Instant::now();
        if ON_SERVERS.contains(name) && servers.is_none() {
            let had = Servers::have(root);
            match &had.wrong {
                None => println!("on {}", had.about),
                Some(wrong) => {
                    println!("{wrong}");
                    let _ =
                        write!(sum, "\n  FAILED  {:10} {:>7}  {}", "servers", spent(part_started.elapsed()), had.about);
                    failed.push("servers");
                }
            }
            servers = Some(had);
        }
        let variables = servers.as_ref().map_or(&[][..], |servers| &servers.variables);
        match part(root, variables) {
            Ok(words) => {
                let _ = write!(sum, "\n  ok      {name:10} {:>7}  {words}", spent(part_started.elapsed()));
                totals.push(if words.is_empty() { (*name).to_owned() } else { format!("{name} ({words})") });
            }
            Err(words) => {
                println!("\n{words}");
                let _ = write!(
                    sum,
                    "\n  FAILED  {name:10} {:>7}  {}",
                    spent(part_started.elapsed()),
                    words.lines().last().unwrap_or("")
                );
                failed.push(*name);
            }
        }
    }
    // They stop before the sum, so that nothing stands below it.
    drop(servers);
    println!("\n=== sum{sum}");
    let total = spent(started.elapsed());
    if failed.is_empty() {
        println!("everything passed in {total}: {}", totals.join(", "));
        Ok(())
    } else {
        Err(format!("FAILED: {} (in {total})", failed.join(", ")))
    }
}

/// The database servers that the tests run on.
struct Servers {
    variables: Vec<(String, String)>,
    about: String,
    /// Why there are none. The tests that need them fail then, and the others run.
    wrong: Option<String>,
    /// Those of this run, stopped when dropped.
    _services: Option<Services>,
}

impl Servers {
    fn have(root: &Path) -> Servers {
        let required = ("UNDERGIRD_TEST_SERVERS".to_owned(), "required".to_owned());
        let named = |name| std::env::var_os(name).is_some();
        if named("UNDERGIRD_TEST_POSTGRES") && named("UNDERGIRD_TEST_MYSQL") {
            let about = "the servers that the environment names".into();
            return Servers { variables: vec![required], about, wrong: None, _services: None };
        }
        match Services::for_tests(root) {
            Ok(services) => {
                let mut variables = services.variables();
                variables.push(required);
                Servers { variables, about: services.about(), wrong: None, _services: Some(services) }
            }
            Err(wrong) => {
                let about = wrong.lines().next().unwrap_or_default().to_owned();
                Servers { variables: vec![required], about, wrong: Some(wrong), _services: None }
            }
        }
    }
}

fn spent(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

fn format(root: &Path, _: &Variables) -> Result<String, String> {
    component("fmt", "rustfmt")?;
    call(root, "cargo", &["fmt", "--all", "--", "--check"], &[])?.told(|_| String::new())
}

fn lints(root: &Path, _: &Variables) -> Result<String, String> {
    component("clippy", "clippy")?;
    // All crates, whichever fails: one run shows everything.
    let arguments =
        ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--keep-going", "--", "-D", "warnings"];
    call(root, "cargo", &arguments, &[])?.told(|_| String::new())
}

fn tidy(root: &Path, _: &Variables) -> Result<String, String> {
    crate::tidy::run(root, &[]).map(|()| String::new())
}

/// Every test of every crate. With nextest when it is installed (a process per test, in parallel), else with cargo's own runner.
fn tests(root: &Path, servers: &Variables) -> Result<String, String> {
    let variables = borrowed(servers);
    if has(&["nextest", "--version"]) {
        let ran = call(root, "cargo", &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"], &variables)?;
        return ran.told(|lines| {
            let summary = lines.iter().rev().find_map(|line| line.split_once("tests run:"));
            summary.map(|(_, counts)| counts.trim().to_owned()).unwrap_or_default()
        });
    }
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests"];
    call(root, "cargo", &arguments, &variables)?.told(|lines| format!("{} passed", passed(lines)))
}

/// The crates' documentation: its links lead somewhere (those to private items included, for its readers are ours), its examples run
/// (nextest does not run them).
fn docs(root: &Path, _: &Variables) -> Result<String, String> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"];
    let strict = [("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links")];
    call(root, "cargo", &arguments, &strict)?.told(|_| String::new())?;
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast", "--doc", "--quiet"];
    call(root, "cargo", &arguments, &[])?.told(|lines| format!("{} passed", passed(lines)))
}

/// Whole apps through the real binary and real clients. The script's last line is its sum.
fn whole_apps(root: &Path, servers: &Variables) -> Result<String, String> {
    let script = root.join("tests/e2e/run");
    if !script.is_file() {
        return Ok("there are none yet (tests/e2e/run)".into());
    }
    if !answers("python3", &["--version"]) {
        return Err("python3 is missing: the suites of tests/e2e need Python 3.10 or newer with venv, some also Node.js 20 or newer".into());
    }
    let build = ["build", "--package", "undergird", "--bin", "undergird", "--locked", "--quiet"];
    call(root, "cargo", &build, &[])?.told(|_| String::new())?;
    let binary = target(root)?.join("debug/undergird");
    let binary = binary.to_string_lossy();
    let mut variables = borrowed(servers);
    variables.push(("UNDERGIRD_BIN", &binary));
    let ran = call(root, &script.to_string_lossy(), &[], &variables)?;
    ran.told(|lines| lines.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default())
}

/// What the hot paths cost in instructions.
fn hot_paths(root: &Path, _: &Variables) -> Result<String, String> {
    crate::bench::instructions::check(root, &target(root)?, false)
}

fn borrowed(variables: &Variables) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Where cargo puts what it builds.
fn target(root: &Path) -> Result<std::path::PathBuf, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    metadata["target_directory"]
        .as_str()
        .map(Into::into)
        .ok_or_else(|| "cargo metadata names no target directory".into())
}

/// The sum of cargo's `test result: ok. N passed`.
fn passed(lines: &[String]) -> u64 {
    lines.iter().filter_map(|line| line.split_once("test result: ")?.1.split(' ').nth(1)?.parse::<u64>().ok()).sum()
}

/// Says what is missing and how to get it.
fn component(command: &str, component: &str) -> Result<(), String> {
    if has(&[command, "--version"]) {
        return Ok(());
    }
    Err(format!("cargo {command} is missing: rustup component add {component}"))
}

fn has(arguments: &[&str]) -> bool {
    answers("cargo", arguments)
}

/// Whether a program is there and answers.
fn answers(program: &str, arguments: &[&str]) -> bool {
    let quiet =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// A program that ran.
struct Ran {
    /// What it said, standard output last.
    lines: Vec<String>,
    /// Why it failed.
    failure: Option<String>,
}

impl Ran {
    /// A few words about it, whether it failed or not.
    fn told(self, words: impl FnOnce(&[String]) -> String) -> Result<String, String> {
        let words = words(&self.lines);
        match self.failure {
            None => Ok(words),
            Some(failure) if words.is_empty() => Err(failure),
            Some(failure) => Err(format!("{words} ({failure})")),
        }
    }
}

/// Runs a program and shows what it says as it says it.
fn call(root: &Path, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Ran, String> {
    let shown =
        format!("{} {}", Path::new(program).file_name().unwrap_or_default().to_string_lossy(), arguments.join(" "));
    let wrong = |error: std::io::Error| format!("{shown}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(wrong)?;
    let error = child.stderr.take();
    let output = child.stdout.take();
    // Both are read at once: a program that fills one pipe while we wait for the other would never end.
    let lines = std::thread::scope(|scope| {
        let aside = scope.spawn(move || error.map(show).unwrap_or_default());
        let lines = output.map(show).unwrap_or_default();
        let mut all = aside.join().unwrap_or_default();
        all.extend(lines);
        all
    });
    let status = child.wait().map_err(wrong)?;
    Ok(Ran { lines, failure: (!status.success()).then(|| format!("{shown}: {status}")) })
}

fn show(from: impl std::io::Read) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // A closed pipe on our side is no reason to stop the tests.
        let _ = writeln!(std::io::stdout(), "{line}");
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn passed_tests_are_summed() {
        let lines =
            ["test result: ok. 3 passed; 0 failed", "x", "test result: ok. 4 passed; 0 failed"].map(str::to_owned);
        assert_eq!(passed(&lines), 7);
    }
}
