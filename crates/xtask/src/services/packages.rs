//! The programs of Debian's packages: found, or installed where that is ours to do, or named with the way to get them.
//!
//! Absent: anything that starts them. A package's own service is kept from starting while it is installed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that services, their tests or the counting of instructions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Postgres,
    MariaDb,
    PgBouncer,
    Valgrind,
}

impl Program {
    /// The program itself, what else must be beside it, and Debian's package.
    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Program::Postgres => ("postgres", "initdb", "postgresql"),
            Program::MariaDb => ("mariadbd", "mariadb-install-db", "mariadb-server"),
            Program::PgBouncer => ("pgbouncer", "pgbouncer", "pgbouncer"),
            Program::Valgrind => ("valgrind", "vgdb", "valgrind"),
        }
    }
}

/// The paths of a program and of what else must be there, installed when they are missing and that is ours to do.
pub(crate) fn find(program: Program) -> Result<(PathBuf, PathBuf), String> {
    let (name, other, package) = program.facts();
    let look = || {
        let places = places();
        Some((beside(&places, name)?, beside(&places, other)?))
    };
    if let Some(found) = look() {
        return Ok(found);
    }
    install(package).map_err(|why| format!("missing: {name} ({why}); on Debian: apt-get install {package}"))?;
    look().ok_or_else(|| format!("{package} was installed, and still there is no {name}"))
}

/// Where programs are: PostgreSQL's own folders, the newest first, then the path, then where servers are kept from it.
fn places() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect::<Vec<String>>());
    let mut places: Vec<PathBuf> = newest_first(versions.unwrap_or_default())
        .into_iter()
        .map(|version| Path::new("/usr/lib/postgresql").join(version).join("bin"))
        .collect();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places
}

/// Folders named by version, as numbers: 9.6 is older than 15.
fn newest_first(mut versions: Vec<String>) -> Vec<String> {
    let number = |text: &str| -> Option<Vec<u32>> { text.split('.').map(|part| part.parse().ok()).collect() };
    versions.retain(|version| number(version).is_some());
    versions.sort_by_key(|version| std::cmp::Reverse(number(version)));
    versions
}

fn beside(places: &[PathBuf], name: &str) -> Option<PathBuf> {
    places.iter().map(|place| place.join(name)).find(|path| path.is_file())
}

/// The policy that keeps services from starting.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs a package of Debian's, without starting what it brings.
fn install(package: &str) -> Result<(), String> {
    if std::env::var("UNDERGIRD_INSTALL").is_ok_and(|value| value == "no") {
        return Err("not installed, for UNDERGIRD_INSTALL=no".into());
    }
    if !is_root() {
        return Err("not installed, for we are not root".into());
    }
    if beside(&places(), "apt-get").is_none() {
        return Err("not installed, for there is no apt-get".into());
    }
    println!("installing {package}");
    let ours = !Path::new(POLICY).exists();
    if ours {
        let written = fs::write(
            POLICY,
            "#!/bin/sh\n# Written by `cargo xtask services`, for as long as it installs.\nexit 101\n",
        )
        .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)));
        written.map_err(|error| format!("{POLICY}: {error}"))?;
    }
    let arguments = ["install", "-y", "-qq", "--no-install-recommends", package];
    // The lists may be old, or not there at all.
    let done = apt(&arguments) || (apt(&["update", "-qq"]) && apt(&arguments));
    if ours {
        fs::remove_file(POLICY).map_err(|error| format!("{POLICY} could not be removed: {error}"))?;
    }
    if done { Ok(()) } else { Err("apt-get could not install it".into()) }
}

fn apt(arguments: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether we are root, as whom database servers refuse to run.
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether everybody may go to a folder.
pub(super) fn world_reachable(folder: &Path) -> bool {
    folder.ancestors().all(|part| fs::metadata(part).is_ok_and(|found| found.mode() & 0o001 != 0))
}

/// A user of the system, as whom a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The user's number.
    pub(super) user: u32,
    /// The group's number.
    pub(super) group: u32,
}

impl Account {
    /// Looks a user up.
    pub(super) fn named(name: &str) -> Result<Account, String> {
        let number = |what| {
            let told = crate::process::capture("id", &[what, "--", name])
                .map_err(|_| format!("there is no user \"{name}\" to run a server as; name another by --user"))?;
            told.trim().parse::<u32>().map_err(|_| format!("id {what} {name} gave no number"))
        };
        Ok(Account { user: number("-u")?, group: number("-g")? })
    }
}

#[cfg(test)]
mod tests {
    use super::newest_first;

    #[test]
    fn the_newest_version_comes_first() {
        let found = newest_first(["9.6", "15", "common", "17", "10", "9.10"].map(str::to_owned).to_vec());
        assert_eq!(found, ["17", "15", "10", "9.10", "9.6"]);
    }
}
