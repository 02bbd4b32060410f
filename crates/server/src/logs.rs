//! Log lines: for people in a terminal, JSON elsewhere. Whoever logs only appends to a buffer; one thread writes it out ten times a
//! second, so that no request ever waits for a terminal or a disk.

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use undergird_api::http::{AccessLog, AccessRecord, AccessRecords};
use undergird_model::field_type::wire;

/// How long lines wait at most.
const INTERVAL: Duration = Duration::from_millis(100);
/// Bytes kept between two writes. What comes beyond is lost, and said to be.
const BUFFER_BYTES_MAX: usize = 8 << 20;
/// Under which name `UNDERGIRD_LOG` speaks of requests: `UNDERGIRD_LOG=info,request=off`.
const REQUESTS: &str = "request";

/// The process's log. Dropping it writes what is left.
pub struct Logs {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    lines: Mutex<Vec<u8>>,
    lost: AtomicBool,
    stopping: AtomicBool,
    requests: Arc<AccessLog>,
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Terminal,
    Json,
}

impl Logs {
    /// Starts logging to standard error. `filter` is `UNDERGIRD_LOG`: `warn`, `info`, `undergird_auth=debug,info`, …
    ///
    /// # Errors
    /// The filter makes no sense, or the thread cannot be started: a sentence.
    pub fn start(filter: Option<&str>) -> Result<Logs, String> {
        let directives = filter.filter(|filter| !filter.is_empty()).unwrap_or("info");
        let filter = EnvFilter::try_new(directives).map_err(|error| format!("UNDERGIRD_LOG: {error}"))?;
        let format = if io::stderr().is_terminal() { Format::Terminal } else { Format::Json };
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            lost: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            requests: Arc::default(),
            format,
        });
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines(shared.clone()));
        // A second start in one process (an embedder with a subscriber of its own) keeps the first.
        let _ = match format {
            Format::Terminal => builder.compact().with_target(false).try_init(),
            Format::Json => {
                builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
            }
        };
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("without text"));
            if cfg!(debug_assertions) {
                hook(panic);
            }
        }));
        let writes_requests = tracing::enabled!(target: REQUESTS, tracing::Level::INFO);
        let thread_shared = shared.clone();
        let writer = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_out(&thread_shared, writes_requests))
            .map_err(|error| format!("cannot start the log's thread: {error}"))?;
        Ok(Logs { shared, writer: Some(writer) })
    }

    /// Where requests leave their records.
    pub fn requests(&self) -> Arc<AccessLog> {
        self.shared.requests.clone()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            let _ = writer.join();
        }
    }
}

fn write_out(shared: &Shared, writes_requests: bool) {
    let mut out = Vec::new();
    let mut records = AccessRecords::default();
    loop {
        let stopping = shared.stopping.load(Ordering::Relaxed);
        std::mem::swap(&mut *shared.lines.lock(), &mut out);
        let lost_records = shared.requests.drain(&mut records);
        if writes_requests {
            for (record, path) in records.iter() {
                write_record(&mut out, record, path, shared.format);
            }
        }
        records.clear();
        if lost_records > 0 || shared.lost.swap(false, Ordering::Relaxed) {
            let _ = writeln!(
                out,
                "{}",
                json!({ "level": "WARN", "message": "log lines were lost", "requests": lost_records })
            );
        }
        if !out.is_empty() {
            // Nobody is left to be told that standard error is closed.
            let _ = io::stderr().lock().write_all(&out);
            out.clear();
        }
        if stopping {
            return;
        }
        std::thread::park_timeout(INTERVAL);
    }
}

fn write_record(out: &mut Vec<u8>, record: &AccessRecord, path: &str, format: Format) {
    let at = Timestamp::from_microsecond(record.at).unwrap_or_default();
    let milliseconds = record.took.as_secs_f64() * 1_000.0;
    let role = record.role.unwrap_or("-");
    let level = if record.status >= 500 { "ERROR" } else { "INFO" };
    let _ = match format {
        Format::Terminal => writeln!(
            out,
            "{} {} {:<6} {} {milliseconds:.1} ms {} bytes {role} {}",
            at.strftime("%H:%M:%S%.3f"),
            record.status,
            record.method.as_str(),
            // Control characters cannot be in a URI; others (bidi marks) could still mislead a reader.
            path.escape_debug(),
            record.bytes,
            record.id,
        ),
        Format::Json => {
            write_json_record(out, record, path, level);
            Ok(())
        }
    };
}

/// One line, by hand: there is one for every request, and a tree of JSON values would cost a tenth of a point read.
fn write_json_record(out: &mut Vec<u8>, record: &AccessRecord, path: &str, level: &str) {
    let text = |out: &mut Vec<u8>, name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        wire::write_json_string(out, value);
    };
    out.extend_from_slice(b"{\"timestamp\":\"");
    wire::write_timestamp(out, record.at);
    // As the other events of the log write it: Z for +00:00.
    out.truncate(out.len() - "+00:00".len());
    out.push(b'Z');
    text(out, "\",\"level\":", level);
    text(out, ",\"message\":\"request\",\"request_id\":", record.id.as_str());
    text(out, ",\"method\":", record.method.as_str());
    text(out, ",\"path\":", path);
    match record.operation.as_deref() {
        Some(operation) => text(out, ",\"operation\":", operation),
        None => out.extend_from_slice(b",\"operation\":null"),
    }
    out.extend_from_slice(b",\"status\":");
    wire::write_int(out, i64::from(record.status));
    out.extend_from_slice(b",\"milliseconds\":");
    wire::write_milliseconds(out, record.took);
    out.extend_from_slice(b",\"bytes\":");
    wire::write_int(out, i64::try_from(record.bytes).unwrap_or(i64::MAX));
    match record.role {
        Some(role) => text(out, ",\"role\":", role),
        None => out.extend_from_slice(b",\"role\":null"),
    }
    out.extend_from_slice(b",\"peer\":\"");
    write_address(out, record.peer);
    out.extend_from_slice(b"\"}\n");
}

/// An address has nothing in it that JSON would escape.
fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(four) => {
            for (position, octet) in four.octets().into_iter().enumerate() {
                if position > 0 {
                    out.push(b'.');
                }
                wire::write_int(out, octet.into());
            }
        }
        IpAddr::V6(_) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// Writes a formatted event into the buffer.
#[derive(Clone)]
struct Lines(Arc<Shared>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lines.lock();
        if lines.len() + bytes.len() > BUFFER_BYTES_MAX {
            self.0.lost.store(true, Ordering::Relaxed);
        } else {
            lines.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
