//! The port by which this crate asks other servers by HTTP: sign-in providers, hooks. Whoever opens [`crate::Auth`] gives the adapter
//! ([`crate::Options::fetch`]); without one nothing is asked.
//!
//! Deliberately absent: HTTP itself, TLS, name resolution. What every adapter must hold to stands at [`Fetch`].

use crate::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Asks other servers.
///
/// An adapter follows no redirect, reads no more than [`Outgoing::bytes_max`] octets, gives up after [`Outgoing::timeout`], all in all, and
/// speaks `http` with this machine alone.
pub trait Fetch: Send + Sync + 'static {
    /// One request and its answer, whatever the status.
    fn fetch(&self, request: Outgoing) -> BoxFuture<'_, Result<Incoming, FetchError>>;
}

/// A request to another server.
#[derive(Clone)]
pub struct Outgoing {
    /// An absolute URL, `https`, or `http` to this machine.
    pub url: String,
    /// Beside `Host`, `Content-Length` and `User-Agent`. Names in small letters.
    pub headers: Vec<(&'static str, String)>,
    /// None: a GET. Some: a POST.
    pub body: Option<Vec<u8>>,
    /// Greatest answer that is read.
    pub bytes_max: usize,
    /// For all of it.
    pub timeout: Duration,
}

impl fmt::Debug for Outgoing {
    /// Without headers and body, which are full of secrets, and without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Outgoing").field("url", &url).finish_non_exhaustive()
    }
}

/// What another server answered.
#[derive(Clone)]
pub struct Incoming {
    /// The status.
    pub status: u16,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Not in [`Outgoing::timeout`].
    TimedOut,
    /// It is longer than [`Outgoing::bytes_max`].
    TooLong,
    /// A sentence for the log.
    Other(String),
}

impl From<String> for FetchError {
    fn from(why: String) -> FetchError {
        FetchError::Other(why)
    }
}

impl From<&str> for FetchError {
    fn from(why: &str) -> FetchError {
        FetchError::Other(why.into())
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::TimedOut => f.write_str("no answer in time"),
            FetchError::TooLong => f.write_str("the answer is too long"),
            FetchError::Other(why) => f.write_str(why),
        }
    }
}

/// Asks nobody.
pub(crate) struct NoFetch;

impl Fetch for NoFetch {
    fn fetch(&self, _: Outgoing) -> BoxFuture<'_, Result<Incoming, FetchError>> {
        Box::pin(async { Err(FetchError::from("this server asks no other servers")) })
    }
}

/// An adapter, as options hold it.
#[derive(Clone)]
pub struct Fetcher(pub(crate) Arc<dyn Fetch>);

impl Fetcher {
    /// Wraps.
    pub fn new(adapter: impl Fetch) -> Fetcher {
        Fetcher(Arc::new(adapter))
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        Fetcher::new(NoFetch)
    }
}
