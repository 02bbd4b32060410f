//! One record per request, kept in memory until a thread of the server's writes them: a request never waits for its own log line,
//! and waking a thread per request would cost more than the record.

use super::request_id::RequestId;
use http::Method;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Records kept between two drains. What comes beyond is counted, not kept.
pub const RECORDS_MAX: usize = 65_536;
/// Bytes of their paths.
pub const PATH_BYTES_MAX: usize = 16 << 20;

/// What is remembered of a request. Never its headers, its query or its body: they hold secrets.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// What the answer carried as `X-Request-Id`.
    pub id: RequestId,
    /// Microseconds since 1970.
    pub at: i64,
    /// The method.
    pub method: Method,
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

/// Records with their paths. Paths are copied: whoever kept a part of a request's head would keep the connection's buffer with it, and each
/// request would need a new one.
#[derive(Debug, Default)]
pub struct AccessRecords {
    /// Each with the place where its path ends; it begins where the one before ends.
    records: Vec<(AccessRecord, usize)>,
    paths: String,
}

impl AccessRecords {
    /// Each record with its path, which has no query.
    pub fn iter(&self) -> impl Iterator<Item = (&AccessRecord, &str)> {
        let mut begin = 0;
        self.records.iter().map(move |(record, end)| {
            let path = self.paths.get(begin..*end).unwrap_or_default();
            begin = *end;
            (record, path)
        })
    }

    /// Forgets them, and keeps their room.
    pub fn clear(&mut self) {
        self.records.clear();
        self.paths.clear();
    }
}

/// Records that wait for their writer.
#[derive(Debug, Default)]
pub struct AccessLog(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    waiting: AccessRecords,
    lost: u64,
}

impl AccessLog {
    /// Keeps a record with its path, or counts it when too many wait.
    pub fn push(&self, record: AccessRecord, path: &str) {
        let mut kept = self.0.lock();
        let AccessRecords { records, paths } = &mut kept.waiting;
        if records.len() < RECORDS_MAX && paths.len() + path.len() <= PATH_BYTES_MAX {
            paths.push_str(path);
            records.push((record, paths.len()));
        } else {
            kept.lost += 1;
        }
    }

    /// Swaps what waits into `records` (which must be empty) and gives how many were lost since the last time.
    pub fn drain(&self, records: &mut AccessRecords) -> u64 {
        let mut kept = self.0.lock();
        std::mem::swap(&mut kept.waiting, records);
        std::mem::take(&mut kept.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request_id::RequestIds;
    use std::net::Ipv4Addr;

    #[test]
    fn records_keep_their_paths_and_what_is_too_much_is_counted() {
        let ids = RequestIds::new(7);
        let record = || AccessRecord {
            id: ids.next(),
            at: 0,
            method: Method::GET,
            operation: None,
            status: 200,
            bytes: 0,
            took: Duration::ZERO,
            role: None,
            peer: Ipv4Addr::LOCALHOST.into(),
        };
        let log = AccessLog::default();
        let mut records = AccessRecords::default();
        let long = "x".repeat(PATH_BYTES_MAX - 8);
        for path in ["/a", "", "/é/b", &long, "/c", "/"] {
            log.push(record(), path);
        }
        assert_eq!(log.drain(&mut records), 1, "the fifth is one byte too long");
        let paths: Vec<&str> = records.iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["/a", "", "/é/b", &long, "/"]);
        records.clear();
        assert_eq!((log.drain(&mut records), records.iter().count()), (0, 0));
        for _ in 0..=RECORDS_MAX {
            log.push(record(), "");
        }
        assert_eq!((log.drain(&mut records), records.iter().count()), (1, RECORDS_MAX));
    }
}
