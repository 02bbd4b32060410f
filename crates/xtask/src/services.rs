//! `cargo xtask services up|down|status`: throw-away PostgreSQL and MariaDB on free ports, for tests and for trying things.
//!
//! Everything they have is in one folder, `target/services`, and goes with them; Debian's own servers are neither used nor started.
//! `up` leaves them running and writes where they are to `target/services/state.json`; `cargo xtask test` has its own for as long as it runs.
//!
//! Absent: containers, and settings for anything but tests. `packages` finds and installs the programs, `server` runs them.

pub(crate) mod packages;
mod server;

use packages::Program;
use serde_json::{Value as Json, json};
use server::{Kind, Server};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How servers are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Nothing waits for the disk: quick, and not for tests of crashes.
    pub(crate) fast: bool,
    /// Who runs them when we are root, instead of `postgres` and `mysql`.
    pub(crate) user: Option<String>,
}

/// Servers that run as long as this value lives.
pub(crate) struct Services {
    folder: PathBuf,
    servers: Vec<Server>,
}

impl Services {
    /// Starts servers for one run of the tests, and clears up after runs that could not. Interrupts stop the servers and end the process.
    pub(crate) fn for_tests(root: &Path) -> Result<Services, String> {
        let base = base(root)?;
        sweep(&base)?;
        // Some tests put a pooler between.
        packages::find(Program::PgBouncer)?;
        let folder = base.join(format!("{TESTS}{}", std::process::id()));
        let interrupted = folder.clone();
        std::thread::spawn(move || on_interrupt(&interrupted));
        match start(&folder, &Options { fast: true, user: None }) {
            Ok(servers) => Ok(Services { folder, servers }),
            Err(error) => {
                remove(&folder);
                Err(error)
            }
        }
    }

    /// What tests find them by.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.servers.iter().map(|server| (server.kind.variable().to_owned(), server.url.clone())).collect()
    }

    /// A few words.
    pub(crate) fn about(&self) -> String {
        self.servers.iter().map(|server| server.about.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        remove(&self.folder);
        // They have ended, or were killed just now: this takes their last word.
        for server in &mut self.servers {
            server.reap();
        }
    }
}

/// The folders of test runs begin so; the process's id follows.
const TESTS: &str = "test-";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Up { options: Options, json: bool },
    Down,
    Status { json: bool },
}

const USAGE: &str = "usage: cargo xtask services up [--fast] [--user NAME] [--json] | down | status [--json]";

fn parse(arguments: &[String]) -> Result<Command, String> {
    let (mut options, mut json) = (Options::default(), false);
    let (command, rest) = arguments.split_first().ok_or(USAGE)?;
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--json" if command != "down" => json = true,
            "--fast" if command == "up" => options.fast = true,
            "--user" if command == "up" => options.user = Some(rest.next().ok_or("--user wants a name")?.clone()),
            _ => return Err(format!("\"{argument}\" is nothing for services {command}\n{USAGE}")),
        }
    }
    match command.as_str() {
        "up" => Ok(Command::Up { options, json }),
        "down" => Ok(Command::Down),
        "status" => Ok(Command::Status { json }),
        _ => Err(USAGE.into()),
    }
}

/// The chore.
pub fn run(root: &Path, arguments: &[String]) -> Result<(), String> {
    let command = parse(arguments)?;
    let state = root.join("target/services/state.json");
    let base = base(root)?;
    // Two at once would start the same servers twice.
    let lock = base.join("lock");
    let lock = File::create(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    lock.lock().map_err(|error| format!("cannot lock: {error}"))?;
    sweep(&base)?;
    match command {
        Command::Up { options, json } => up(&state, &base, &options, json),
        Command::Down => {
            let ran = remove_servers(&base);
            let known = fs::remove_file(&state).is_ok();
            println!("{}", if ran || known { "stopped and removed" } else { "there was nothing to stop" });
            Ok(())
        }
        Command::Status { json } => {
            let known = read(&state).ok_or("nothing is up; `cargo xtask services up` starts servers")?;
            show(&known, json);
            if alive(&known, &base) {
                return Ok(());
            }
            Err("what is written is stale: not all of them run; `up` starts new ones, `down` clears up".into())
        }
    }
}

fn up(state: &Path, base: &Path, options: &Options, json: bool) -> Result<(), String> {
    if let Some(known) = read(state) {
        if alive(&known, base) {
            if known["fast"] != options.fast {
                return Err("servers are up with the other durability: `cargo xtask services down` first".into());
            }
            show(&known, json);
            return Ok(());
        }
        eprintln!("the servers of before have ended: starting new ones");
    }
    let _ = fs::remove_file(state);
    remove_servers(base);
    let servers = start(base, options).inspect_err(|_| {
        remove_servers(base);
    })?;
    let mut told = json!({ "fast": options.fast });
    for server in &servers {
        told[server.kind.name()] = json!({ "url": server.url, "pid": server.pid, "about": server.about });
    }
    write(state, &told)?;
    show(&told, json);
    Ok(())
}

/// Starts one of each, side by side: most of it is waiting.
fn start(folder: &Path, options: &Options) -> Result<Vec<Server>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // What must be installed is, one after the other: there is one apt-get.
    for kind in Kind::ALL {
        packages::find(kind.program())?;
    }
    std::thread::scope(|scope| {
        let starting: Vec<_> =
            Kind::ALL.iter().map(|&kind| scope.spawn(move || server::start(kind, folder, options))).collect();
        let ended =
            starting.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("starting a server panicked".into())));
        ended.collect()
    })
}

/// Where servers live: `target/services`, or, when other users cannot get there (a checkout in root's home), a folder of the system's for
/// what is temporary.
fn base(root: &Path) -> Result<PathBuf, String> {
    let usual = root.join("target/services");
    let made = |folder: &Path| fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()));
    made(&usual)?;
    if !packages::is_root() || packages::world_reachable(&usual) {
        return Ok(usual);
    }
    let mut hash = DefaultHasher::new();
    root.hash(&mut hash);
    let folder = std::env::temp_dir().join(format!("undergird-services-{:016x}", hash.finish()));
    made(&folder)?;
    let found = fs::symlink_metadata(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Somebody else may have made it before us.
    if found.uid() != 0 || !found.is_dir() {
        return Err(format!("{} is somebody else's", folder.display()));
    }
    Ok(folder)
}

/// Ends what is left of test runs whose process is gone.
fn sweep(base: &Path) -> Result<(), String> {
    let entries = fs::read_dir(base).map_err(|error| format!("{}: {error}", base.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(TESTS)).and_then(|id| id.parse::<u32>().ok());
        if let Some(owner) = owner
            && owner != std::process::id()
            && !server::runs(owner, "xtask")
        {
            remove(&entry.path());
        }
    }
    Ok(())
}

/// Stops the servers of a folder and removes them, and says whether there were any.
fn remove_servers(folder: &Path) -> bool {
    let mut any = false;
    for kind in Kind::ALL {
        let home = folder.join(kind.name());
        server::stop(*kind, &home);
        any |= fs::remove_dir_all(&home).is_ok();
    }
    any
}

/// Stops the servers of a folder and removes the folder.
fn remove(folder: &Path) {
    remove_servers(folder);
    // Nothing is in it any more, or it was never made.
    let _ = fs::remove_dir_all(folder);
}

/// Waits for an interrupt, then stops the servers and ends the process as an interrupt does.
fn on_interrupt(folder: &Path) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let waited = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok::<(), std::io::Error>(())
    });
    if waited.is_ok() {
        eprintln!("\ninterrupted: stopping the servers");
        remove(folder);
        std::process::exit(130);
    }
}

fn read(state: &Path) -> Option<Json> {
    serde_json::from_slice(&fs::read(state).ok()?).ok()
}

/// The file holds passwords, if only of servers that are thrown away.
fn write(state: &Path, told: &Json) -> Result<(), String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let wrong = |error: std::io::Error| format!("{}: {error}", state.display());
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(state).map_err(wrong)?;
    writeln!(file, "{told:#}").map_err(wrong)
}

/// Whether all servers that were written down still run, and are ours: process ids are used again.
fn alive(known: &Json, base: &Path) -> bool {
    Kind::ALL.iter().all(|kind| {
        let pid = known[kind.name()]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.is_some_and(|pid| server::runs(pid, &base.join(kind.name()).to_string_lossy()))
    })
}

fn show(known: &Json, json: bool) {
    if json {
        println!("{known}");
        return;
    }
    for kind in Kind::ALL {
        let url = known[kind.name()]["url"].as_str().unwrap_or_default();
        println!("export {}='{url}'", kind.variable());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Command, Options, alive, parse, sweep};
    use serde_json::json;

    #[test]
    fn arguments_are_read_whole_or_refused() {
        let check = |line: &str, wanted: Option<Command>| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(&arguments).ok(), wanted, "{line}");
        };
        let up = |fast, user: Option<&str>, json| {
            Some(Command::Up { options: Options { fast, user: user.map(str::to_owned) }, json })
        };
        check("up", up(false, None, false));
        check("up --json --fast", up(true, None, true));
        check("up --user nobody", up(false, Some("nobody"), false));
        check("down", Some(Command::Down));
        check("status --json", Some(Command::Status { json: true }));
        for line in ["", "u", "up --user", "up --slow", "down --fast", "status --fast", "down now"] {
            check(line, None);
        }
    }

    #[test]
    fn what_does_not_run_is_stale() {
        let base = std::env::temp_dir();
        assert!(!alive(&json!({}), &base));
        // A process that runs, and is another.
        let pid = std::process::id();
        assert!(!alive(&json!({ "postgres": { "pid": pid }, "mysql": { "pid": pid } }), &base));
    }

    #[test]
    fn folders_of_runs_that_are_over_go() {
        let base = std::env::temp_dir().join(format!("undergird-xtask-sweep-{}", std::process::id()));
        // No process has an id as great as that; what is no run's stays.
        for name in ["test-4294967295", "test-x", "postgres"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        sweep(&base).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&base).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        std::fs::remove_dir_all(&base).unwrap();
        assert_eq!(left, ["postgres", "test-x"]);
    }
}
