//! Other programs: run one to its end, or keep a server running for as long as it is needed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
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

/// A server that said that it is ready, with the processes that it started. Stopped when dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    /// The lines that it printed before.
    pub(crate) said: Vec<String>,
}

impl Running {
    /// Starts a program that prints `ready http://…:PORT` on a line of its own, with more in its environment.
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
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{shown} cannot be started: {error}"))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut running = Running { child, port: 0, said: Vec::new() };
        let mut lines = BufReader::new(stdout).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(url) = line.strip_prefix("ready ") {
                let port = url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
                running.port = port.ok_or_else(|| format!("{shown}: no port in \"{line}\""))?;
                // Whatever it prints later must not fill the pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(running);
            }
            running.said.push(line);
        }
        Err(format!("{shown} ended before it was ready"))
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// It and all that it started, and those, and so on.
    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut looked = 0;
        while let Some(&process) = all.get(looked) {
            looked += 1;
            // Any of its threads may have started one.
            let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            for thread in threads {
                // One that ended meanwhile has no children.
                let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        all
    }

    /// Bytes of its own memory now, that is without pages of files; of all its processes.
    pub(crate) fn memory(&self) -> Result<u64, String> {
        self.sum("status", |status| {
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
        })
    }

    /// Bytes in memory now, of all its processes.
    pub(crate) fn resident(&self) -> Result<u64, String> {
        // Pages are of 4 KiB where this runs.
        self.sum("statm", |statm| Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4_096))
    }

    /// CPU time so far, user and system, of all its processes.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let ticks = self.sum("stat", |stat| {
            // After the name, which may have anything in it: state, then numbers; utime and stime are the 12th and 13th.
            let mut rest = stat.rsplit(')').next()?.split_whitespace().skip(11);
            Some(rest.next()?.parse::<u64>().ok()? + rest.next()?.parse::<u64>().ok()?)
        })?;
        // USER_HZ is 100 on every Linux that this runs on.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// A figure of a file of `/proc/PID`, over all its processes. The first must have it; others may have ended meanwhile.
    fn sum(&self, file: &str, of: impl Fn(&str) -> Option<u64>) -> Result<u64, String> {
        let mut sum = 0;
        for process in self.processes() {
            let path = format!("/proc/{process}/{file}");
            match fs::read_to_string(&path) {
                Ok(told) => sum += of(&told).unwrap_or_default(),
                Err(error) if process == self.child.id() => return Err(format!("{path}: {error}")),
                Err(_) => {}
            }
        }
        Ok(sum)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself. The group has all that it started.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
