//! One record per request, kept in memory until a thread of the server's writes them: a request never waits for its own log line,
//! and waking a thread per request would cost more than the record.

use super::request_id::RequestId;
use http::{Method, Uri};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Records kept between two drains. What comes beyond is counted, not kept.
pub const RECORDS_MAX: usize = 65_536;

/// What is remembered of a request. Never its headers, its query or its body: they hold secrets.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// What the answer carried as `X-Request-Id`.
    pub id: RequestId,
    /// Microseconds since 1970.
    pub at: i64,
    /// The method.
    pub method: Method,
    /// The target. Writers show [`AccessRecord::path`], not the query.
    pub uri: Uri,
    /// The operation's name; `None` when no operation was found.
    pub operation: Option<Arc<str>>,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// From the request's head to the answer's.
    pub took: Duration,
    /// `anon`, `authenticated` or `service_role`; `None` when nobody asked who it was.
    pub role: Option<&'static str>,
    /// Where it came from.
    pub peer: IpAddr,
}

impl AccessRecord {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }
}

/// Records that wait for their writer.
#[derive(Debug, Default)]
pub struct AccessLog(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    records: Vec<AccessRecord>,
    lost: u64,
}

impl AccessLog {
    /// Keeps a record, or counts it when too many wait.
    pub fn push(&self, record: AccessRecord) {
        let mut kept = self.0.lock();
        if kept.records.len() < RECORDS_MAX {
            kept.records.push(record);
        } else {
            kept.lost += 1;
        }
    }

    /// Swaps what waits into `records` (which must be empty) and gives how many were lost since the last time.
    pub fn drain(&self, records: &mut Vec<AccessRecord>) -> u64 {
        let mut kept = self.0.lock();
        std::mem::swap(&mut kept.records, records);
        std::mem::take(&mut kept.lost)
    }
}
