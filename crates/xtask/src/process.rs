//! Other programs: run one to its end, or keep a server running for as long as it is needed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs a program to its end.
pub(crate) fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(program).args(arguments).current_dir(root).status();
    let status = status.map_err(|error| format!("{program} cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} failed: {status}", arguments.join(" "))) }
}

/// Runs a program to its end with more in its environment. The values are not shown.
pub(crate) fn run_with(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let shown = program.display();
    let status = Command::new(program).args(arguments).envs(environment.iter().copied()).status();
    let status = status.map_err(|error| format!("{shown} cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} {} failed: {status}", arguments.join(" "))) }
}

/// What a program prints.
pub(crate) fn capture(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{program} cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} {} failed: {}", arguments.join(" "), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{program} printed what is not UTF-8"))
}

/// A server that said that it is ready. Stopped when dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Running {
    /// Starts a program that prints `ready http://…:PORT` on a line of its own.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Running, String> {
        Running::start_with(program, arguments, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Running, String> {
        let shown = program.display();
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{shown} cannot be started: {error}"))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut running = Running { child, port: 0 };
        let mut lines = BufReader::new(stdout).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(url) = line.strip_prefix("ready ") {
                let port = url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
                running.port = port.ok_or_else(|| format!("{shown}: no port in \"{line}\""))?;
                // Whatever it prints later must not fill the pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(running);
            }
        }
        Err(format!("{shown} ended before it was ready"))
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes in memory now.
    pub(crate) fn resident(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/statm", self.child.id());
        let statm = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        // Pages are of 4 KiB where this runs.
        pages.map(|pages| pages * 4_096).ok_or_else(|| format!("{path}: {statm}"))
    }

    /// CPU time so far, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // After the name, which may have anything in it: state, then numbers; utime and stime are the 12th and 13th.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|number| number.parse::<u64>().ok()).sum();
        // USER_HZ is 100 on every Linux that this runs on.
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
