//! The real binary on a copy of an application, and an HTTP client of a few lines that can also misbehave.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "each test file uses its part")]

pub mod databases;
pub mod migrated;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A directory that is gone afterwards.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("undergird-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// With a copy of `examples/{name}`.
    pub fn example(name: &str) -> Folder {
        let folder = Folder::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        std::fs::create_dir_all(folder.0.join("models")).unwrap();
        std::fs::copy(from.join("undergird.toml"), folder.0.join("undergird.toml")).unwrap();
        for file in std::fs::read_dir(from.join("models")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.0.join("models").join(file.file_name())).unwrap();
        }
        folder
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.join(file), text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The command, without the tester's own environment.
pub fn undergird(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_undergird"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    undergird(arguments).current_dir(&folder.0).envs(environment.iter().copied()).output().unwrap()
}

/// What a command ended with and said: code, standard output, standard error.
pub fn said(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let output = run(folder, arguments, environment);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A running server.
pub struct Running {
    pub child: Child,
    pub address: SocketAddr,
    errors: std::thread::JoinHandle<String>,
}

impl Running {
    /// Starts `dev` or `serve` on a free port, and waits for its ready line.
    pub fn start(folder: &Folder, command: &str, environment: &[(&str, &str)]) -> Running {
        Running::start_in(folder, &[command], environment)
    }

    /// The same, with arguments.
    pub fn start_in(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut child = undergird(&[arguments, &["--listen", "127.0.0.1:0"]].concat())
            .current_dir(&folder.0)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("ready http://") else {
            let _ = child.kill();
            panic!("no ready line but {line:?}\n{}", errors.join().unwrap());
        };
        Running { address: address.parse().unwrap(), child, errors }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Answer::read(stream)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for its end: exit code and what it said on standard error.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.errors.join().unwrap())
    }

    /// Tells it to end and waits.
    pub fn stop(self) -> String {
        self.terminate();
        let (code, errors) = self.wait();
        assert_eq!(code, Some(0), "{errors}");
        errors
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads to the end of the connection.
    pub fn read(mut stream: impl Read) -> Answer {
        let mut bytes = Vec::new();
        let mut piece = [0u8; 16 * 1024];
        // A reset after the answer is not the answer's fault.
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..read]);
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer but {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
