//! One throw-away server: its folder made, the process started and known by its answer, stopped by its id.
//!
//! Absent: which servers there are to be, and where their programs come from.

use super::Options;
use super::packages::{self, Account, Program};
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A port that was free may be another's when the server asks for it.
const ATTEMPTS_MAX: u32 = 3;
/// From the process's start to its first answer.
const READY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to end before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    Mysql,
}

impl Kind {
    pub(super) const ALL: &'static [Kind] = &[Kind::Postgres, Kind::Mysql];

    /// Its folder, and its name in the state.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Mysql => "mysql",
        }
    }

    /// The variable by which tests find it.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Kind::Postgres => "UNDERGIRD_TEST_POSTGRES",
            Kind::Mysql => "UNDERGIRD_TEST_MYSQL",
        }
    }

    pub(super) fn program(self) -> Program {
        match self {
            Kind::Postgres => Program::Postgres,
            Kind::Mysql => Program::MariaDb,
        }
    }

    fn url(self, password: &str, port: u16) -> String {
        match self {
            Kind::Postgres => format!("postgres://undergird:{password}@127.0.0.1:{port}/postgres"),
            Kind::Mysql => format!("mysql://undergird:{password}@127.0.0.1:{port}/"),
        }
    }

    /// What ends it at once. What is thrown away need not be put in order first.
    fn signal(self) -> &'static str {
        match self {
            // The postmaster takes its children with it.
            Kind::Postgres => "QUIT",
            Kind::Mysql => "KILL",
        }
    }
}

/// A server that answers.
pub(super) struct Server {
    pub(super) kind: Kind,
    pub(super) url: String,
    pub(super) pid: u32,
    /// Its name and version, and its durability.
    pub(super) about: String,
    child: Child,
}

impl Server {
    /// Waits for the end of a process that was stopped.
    pub(super) fn reap(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a server's folder and starts it.
pub(super) fn start(kind: Kind, folder: &Path, options: &Options) -> Result<Server, String> {
    let (program, maker) = packages::find(kind.program())?;
    let account = match (packages::is_root(), &options.user) {
        (true, Some(name)) => Some(Account::named(name)?),
        (true, None) => Some(Account::named(kind.name())?),
        (false, None) => None,
        (false, Some(_)) => return Err("--user is for root".into()),
    };
    let home = folder.join(kind.name());
    let data = home.join("data");
    let wrong = |error: std::io::Error| format!("{}: {error}", home.display());
    let password = password().map_err(|error| format!("/dev/urandom: {error}"))?;
    fs::create_dir(&home).map_err(wrong)?;
    let secret = match kind {
        Kind::Postgres => password.clone(),
        // One statement to a line. MySQL's own accounts are for its socket alone.
        Kind::Mysql => format!(
            "CREATE OR REPLACE USER 'undergird'@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO 'undergird'@'%' WITH GRANT OPTION;\n"
        ),
    };
    fs::write(home.join("secret"), secret).map_err(wrong)?;
    for owned in [&home, &home.join("secret")] {
        fs::set_permissions(owned, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(wrong)?;
        if let Some(account) = account {
            std::os::unix::fs::chown(owned, Some(account.user), Some(account.group)).map_err(wrong)?;
        }
    }
    let log = File::create(home.join("log")).map_err(wrong)?;
    let command = |program: &Path| -> Result<Command, String> {
        let mut command = Command::new(program);
        command.current_dir(&home).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(wrong)?).stderr(log.try_clone().map_err(wrong)?);
        // Not of our group, so that Ctrl-C is ours to hear.
        command.process_group(0);
        if let Some(account) = account {
            command.uid(account.user).gid(account.group);
        }
        Ok(command)
    };
    let failed = |what: &str| format!("{what}:\n{}", tail(&home.join("log")));
    let made = command(&maker)?.args(making(kind, &home)).status().map_err(wrong)?;
    if !made.success() {
        return Err(failed(&format!("{} ended with {made}", maker.display())));
    }
    for _ in 0..ATTEMPTS_MAX {
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let mut child = command(&program)?.args(serving(kind, &home, port, options.fast)).spawn().map_err(wrong)?;
        // Whoever clears up finds it by this, whatever happens to us.
        fs::write(home.join("pid"), child.id().to_string()).map_err(wrong)?;
        let started = Instant::now();
        while child.try_wait().map_err(wrong)?.is_none() {
            if answers(kind, port) {
                let url = kind.url(&password, port);
                let about = about(&program, options.fast);
                return Ok(Server { kind, url, pid: child.id(), about, child });
            }
            if started.elapsed() > READY_TIME_MAX {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(&format!("{} never answered", program.display())));
            }
            std::thread::sleep(LOOK);
        }
    }
    Err(failed(&format!("{} ended at its start, in {}", program.display(), data.display())))
}

/// What makes a data directory.
fn making(kind: Kind, home: &Path) -> Vec<String> {
    let data = home.join("data").display().to_string();
    match kind {
        Kind::Postgres => vec![
            format!("--pgdata={data}"),
            "--username=undergird".into(),
            format!("--pwfile={}", home.join("secret").display()),
            "--auth=password".into(),
            "--encoding=UTF8".into(),
            "--locale=C.UTF-8".into(),
            "--no-sync".into(),
        ],
        Kind::Mysql => vec![
            "--no-defaults".into(),
            format!("--datadir={data}"),
            "--skip-test-db".into(),
            "--skip-name-resolve".into(),
            "--auth-root-authentication-method=socket".into(),
        ],
    }
}

/// What serves it. Durable unless fast: what was acknowledged is on disk.
fn serving(kind: Kind, home: &Path, port: u16, fast: bool) -> Vec<String> {
    let data = home.join("data").display().to_string();
    match kind {
        Kind::Postgres => {
            let mut settings = vec![
                "listen_addresses=127.0.0.1".into(),
                format!("port={port}"),
                "unix_socket_directories=".into(),
                "max_connections=300".into(),
            ];
            if fast {
                settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
            }
            let settings = settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]);
            ["-D".to_owned(), data].into_iter().chain(settings).collect()
        }
        Kind::Mysql => {
            let mut settings = vec![
                "--no-defaults".into(),
                format!("--datadir={data}"),
                "--bind-address=127.0.0.1".into(),
                format!("--port={port}"),
                // Relative to the data: a whole path may be longer than a socket's may be.
                "--socket=socket".into(),
                "--pid-file=server.pid".into(),
                "--skip-name-resolve".into(),
                "--max-connections=300".into(),
                format!("--init-file={}", home.join("secret").display()),
            ];
            if fast {
                settings.extend(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"].map(str::to_owned));
            }
            settings
        }
    }
}

/// Whether a server takes questions. MySQL speaks first, and only when its accounts are made; PostgreSQL wants to be asked.
fn answers(kind: Kind, port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut first = [0u8; 5];
        match kind {
            Kind::Mysql => {
                stream.read_exact(&mut first)?;
                // The protocol's version; an error would be 0xff.
                Ok(first[4] == 10)
            }
            Kind::Postgres => {
                std::io::Write::write_all(&mut stream, &postgres_hello())?;
                stream.read_exact(&mut first[..1])?;
                // It asks for a password; while it starts it says E.
                Ok(first[0] == b'R')
            }
        }
    };
    ask().unwrap_or(false)
}

/// PostgreSQL's startup message (protocol 3.0) of our user.
fn postgres_hello() -> Vec<u8> {
    let body = b"\x00\x03\x00\x00user\0undergird\0database\0postgres\0\0";
    // The length counts itself.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], body].concat()
}

/// Ends the server of a folder, if it is there and is that.
pub(super) fn stop(kind: Kind, home: &Path) {
    let pid = fs::read_to_string(home.join("pid")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let Some(pid) = pid else { return };
    let mark = home.display().to_string();
    for (signal, patience) in [(kind.signal(), STOP_TIME_MAX), ("KILL", STOP_TIME_MAX)] {
        if !runs(pid, &mark) {
            return;
        }
        // Every shell has this; the program `kill` is not on every machine.
        let _ = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        let since = Instant::now();
        while runs(pid, &mark) && since.elapsed() < patience {
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether a process runs and was started with these words. What has ended and was not waited for has no words.
pub(super) fn runs(pid: u32, words: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(words))
}

fn about(program: &Path, fast: bool) -> String {
    let said = crate::process::capture(&program.to_string_lossy(), &["--version"]).unwrap_or_default();
    let durability = if fast { "fast" } else { "durable" };
    format!("{} ({durability})", version(&said))
}

/// The name and version in `postgres (PostgreSQL) 15.14 (Debian …)` and `mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for …`.
fn version(said: &str) -> String {
    let name = if said.contains("PostgreSQL") { "PostgreSQL" } else { "MariaDB" };
    let number = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let number = number.and_then(|word| word.split('-').next()).unwrap_or("of unknown version");
    format!("{name} {number}")
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Thirty-two hexadecimal digits by chance: the machine may have other users.
fn password() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The end of a log.
fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Kind, postgres_hello, runs, serving, version};
    use std::path::Path;

    #[test]
    fn versions_are_read() {
        let check = |said: &str, wanted: &str| assert_eq!(version(said), wanted);
        check("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", "PostgreSQL 15.14");
        check(
            "/usr/sbin/mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12)",
            "MariaDB 10.11.14",
        );
        check("", "MariaDB of unknown version");
    }

    #[test]
    fn servers_are_durable_unless_they_are_to_be_fast() {
        for (kind, word) in [(Kind::Postgres, "fsync=off"), (Kind::Mysql, "--innodb-flush-log-at-trx-commit=0")] {
            let has = |fast| serving(kind, Path::new("/x"), 1, fast).iter().any(|argument| argument == word);
            assert!(has(true) && !has(false), "{kind:?}");
        }
    }

    #[test]
    fn a_startup_message_says_its_length() {
        let hello = postgres_hello();
        assert_eq!(hello[..4], u32::try_from(hello.len()).unwrap_or(0).to_be_bytes());
    }

    #[test]
    fn a_process_is_known_by_its_words() {
        let me = std::process::id();
        let words = std::env::args().next().unwrap_or_default();
        assert!(runs(me, &words));
        assert!(!runs(me, "/no/such/words"));
        assert!(!runs(u32::MAX, ""));
    }
}
