//! Where the database is and how to speak to it: the URL, its options, TLS, the settings of a session. Secrets stay inside: nothing
//! here prints a password.
//!
//! Deliberately absent: pools and sessions; this makes connections and gives them away.

use crate::error::{explain, fault};
use crate::server::Server;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undergird_store::StoreError;

/// How a store is set up. What the URL says of the same goes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most connections: `?pool=` in the URL.
    pub connections: usize,
    /// Most requests that wait for a connection before new ones are shed.
    pub waiting: usize,
    /// How long a request waits for a connection, the making of one included.
    pub wait: Duration,
    /// What no statement outlives on the server, even when this process is gone (MySQL: no reading one).
    pub statement: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Options {
            connections: (4 * cores).max(16),
            waiting: 4_096,
            wait: Duration::from_millis(1_900),
            statement: Duration::from_secs(120),
        }
    }
}

/// Most connections that a URL may ask for.
const CONNECTIONS_MAX: usize = 1_000;

/// How long a statement waits for another transaction's lock before it is taken for a conflict. Deadlocks are found at once; this is
/// for somebody who sits on a row.
const LOCK_WAIT_SECONDS: u64 = 5;

/// A database, and how it is reached.
#[derive(Clone)]
pub(crate) struct Target {
    plain: Opts,
    /// The same with TLS.
    secured: Option<Opts>,
    /// Whether it may go without TLS where the server has none, and whether that was seen.
    lenient: bool,
    without: Arc<AtomicBool>,
    wait: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

impl Target {
    /// Reads a URL: `mysql://user:password@host:port/database?…`. Of the options, `pool`, `sslmode` and `sslrootcert` are ours; the
    /// others are the driver's.
    pub(crate) fn parse(url: &str, options: &mut Options) -> Result<Target, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let base = match base.strip_prefix("mariadb://") {
            Some(rest) => format!("mysql://{rest}"),
            None => base.to_owned(),
        };
        let mut passed = Vec::new();
        let (mut mode, mut root) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match key {
                "pool" => match value.parse() {
                    Ok(number @ 1..=CONNECTIONS_MAX) => options.connections = number,
                    _ => return Err(wrong("pool", "a number from 1 to 1000")),
                },
                "sslmode" | "ssl-mode" => mode = Some(value.to_ascii_lowercase()),
                "sslrootcert" | "ssl-ca" => root = Some(value),
                _ => passed.push(pair),
            }
        }
        let mode = Mode::parse(mode.as_deref())?;
        let separator = if passed.is_empty() { "" } else { "?" };
        let url = format!("{base}{separator}{}", passed.join("&"));
        // The parser's own words may quote what it could not read, a password for one.
        let opts = Opts::from_url(&url).map_err(|_| {
            unavailable("the URL cannot be read; expected mysql://user:password@host:port/database".into())
        })?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(unavailable(
                "the URL names no database; expected mysql://user:password@host:port/database".into(),
            ));
        }
        // The server may know a socket on its own machine that is another server's on ours.
        let prefers_socket = passed.contains(&"prefer_socket=true");
        let by_socket = opts.socket().is_some();
        let builder = OptsBuilder::from_opts(opts)
            .prefer_socket(prefers_socket)
            .client_found_rows(true)
            .tcp_keepalive(Some(Duration::from_secs(10)))
            .tcp_nodelay(true)
            // A connection keeps its own statements (see `pool`).
            .stmt_cache_size(0)
            .ssl_opts(None);
        let secured = if by_socket { None } else { mode.ssl(root) };
        let secured = secured.map(|ssl| builder.clone().ssl_opts(ssl).into());
        Ok(Target {
            plain: builder.into(),
            secured,
            lenient: mode == Mode::Prefer,
            without: Arc::new(AtomicBool::new(false)),
            wait: options.wait,
        })
    }

    /// Where it is, for messages: without a password.
    pub(crate) fn shown(&self) -> String {
        let place = match self.plain.socket() {
            Some(path) => path.to_owned(),
            None => format!("{}:{}", self.plain.ip_or_hostname(), self.plain.tcp_port()),
        };
        format!("{place}/{}", self.database())
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        self.plain.db_name().unwrap_or_default()
    }

    /// A connection whose session has our settings, and with a limit for statements if one is given.
    pub(crate) async fn session(&self, server: &Server, statement: Option<Duration>) -> Result<Conn, StoreError> {
        let mut conn = self.connect().await?;
        let settings = server.settings(LOCK_WAIT_SECONDS, statement);
        match tokio::time::timeout(self.wait, conn.query_drop(settings)).await {
            Ok(Ok(())) => Ok(conn),
            Ok(Err(error)) => Err(fault(error).into()),
            Err(_) => Err(self.silent()),
        }
    }

    /// A connection as the server gives it.
    pub(crate) async fn connect(&self) -> Result<Conn, StoreError> {
        let secured = self.secured.as_ref().filter(|_| !self.without.load(Ordering::Relaxed));
        let opts = secured.unwrap_or(&self.plain).clone();
        match tokio::time::timeout(self.wait, Conn::new(opts)).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(Error::Driver(DriverError::NoClientSslFlagFromServer))) if self.lenient => {
                self.without.store(true, Ordering::Relaxed);
                match tokio::time::timeout(self.wait, Conn::new(self.plain.clone())).await {
                    Ok(Ok(conn)) => Ok(conn),
                    Ok(Err(error)) => Err(self.refused(&error)),
                    Err(_) => Err(self.silent()),
                }
            }
            Ok(Err(error)) => Err(self.refused(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    fn refused(&self, error: &Error) -> StoreError {
        // All of the server's connections are taken, by others too: the server's, or this user's.
        if let Error::Server(error) = error
            && matches!(error.code, 1040 | 1203 | 1226)
        {
            return StoreError::Overloaded;
        }
        unavailable(format!("no connection to {}: {}", self.shown(), explain(error)))
    }

    pub(crate) fn silent(&self) -> StoreError {
        unavailable(format!("no connection to {} within {:?}", self.shown(), self.wait))
    }
}

fn unavailable(why: String) -> StoreError {
    StoreError::Unavailable(why)
}

fn wrong(option: &str, expected: &str) -> StoreError {
    unavailable(format!("the option {option} in the database's URL must be {expected}"))
}

/// How much of TLS is asked for; the words are libpq's, and those of MySQL's own clients mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    /// When the server can; whoever it is.
    Prefer,
    /// Always; whoever it is, unless a root certificate is named.
    Require,
    /// Always, and only with the server of that name.
    VerifyFull,
}

impl Mode {
    fn parse(word: Option<&str>) -> Result<Mode, StoreError> {
        match word {
            None | Some("prefer" | "preferred" | "allow") => Ok(Mode::Prefer),
            Some("disable" | "disabled") => Ok(Mode::Disable),
            Some("require" | "required") => Ok(Mode::Require),
            // The name is checked too: a certificate of the same authority for another host proves nothing about this one.
            Some("verify-full" | "verify-ca" | "verify_identity" | "verify_ca") => Ok(Mode::VerifyFull),
            Some(_) => Err(wrong("sslmode", "disable, prefer, require or verify-full")),
        }
    }

    fn ssl(self, root: Option<String>) -> Option<SslOpts> {
        let verified = self == Mode::VerifyFull || (self == Mode::Require && root.is_some());
        let ssl = match self {
            Mode::Disable => return None,
            _ if !verified => {
                SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
            }
            _ => SslOpts::default(),
        };
        Some(match root.filter(|path| path != "system") {
            Some(path) => {
                ssl.with_root_certs(vec![std::path::PathBuf::from(path).into()]).with_disable_built_in_roots(true)
            }
            None => ssl,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> String {
        let mut options = Options { connections: 16, ..Options::default() };
        match Target::parse(url, &mut options) {
            Ok(target) => format!("{target:?} pool={} tls={}", options.connections, target.secured.is_some()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("mysql://u:hush@h:1/d", "h:1/d pool=16 tls=true"),
            ("mariadb://u:hush@h/d?pool=3&sslmode=disable", "h:3306/d pool=3 tls=false"),
            ("mysql://u:hush@h/d?sslmode=VERIFY_IDENTITY", "h:3306/d pool=16 tls=true"),
            ("mysql://u:hush@h/d?socket=/run/db.sock", "/run/db.sock/d pool=16 tls=false"),
            (
                "mysql://u:hush@h/d?pool=0",
                "unavailable: the option pool in the database's URL must be a number from 1 to 1000",
            ),
            (
                "mysql://u:hush@h/d?sslmode=odd",
                "unavailable: the option sslmode in the database's URL must be disable, prefer, require or verify-full",
            ),
            (
                "mysql://u:hush@h/",
                "unavailable: the URL names no database; expected mysql://user:password@host:port/database",
            ),
            (
                "mysql://u:hush@h:port/d",
                "unavailable: the URL cannot be read; expected mysql://user:password@host:port/database",
            ),
            (
                "mysql://u:hush@h/d?odd=1",
                "unavailable: the URL cannot be read; expected mysql://user:password@host:port/database",
            ),
        ] {
            let told = check(url);
            assert_eq!(told, expected, "{url}");
            assert!(!told.contains("hush"));
        }
    }
}
