//! The accept loop: takes connections, gives each a task, and ends without cutting a request.
//!
//! Ours and not a framework's because of what happens at the edges: silent and slow clients (see `connection`), limits per address,
//! no file descriptors left, and a drain that has an end.

use crate::connection::{Patient, Phase};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use undergird_api::http::{self, Connection, Http, Linger};
use undergird_model::settings::Limits;

/// Longest head of a request. Above `limits.url_bytes`, so that a long URL gets its own answer.
const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Most bytes of headers over HTTP/2.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// Most requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// An HTTP/2 connection that does not answer a ping within this is closed.
const PING_TIME_MAX: Duration = Duration::from_secs(20);
/// After an error of `accept` that is ours (no file descriptors), before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a server ends.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// How long connections are still accepted after the server has said that it is not ready: load balancers need to see it.
    pub grace: Duration,
    /// How long requests under way may take to end.
    pub drain: Duration,
}

/// Ready when the process is told to end (SIGTERM, SIGINT). Listens from the call on, not from the first poll: call it before
/// anybody is told that the server is ready, or a signal that comes at once ends the process without draining.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn signals() -> impl Future<Output = ()> + Send {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let listeners = [signal(SignalKind::interrupt()), signal(SignalKind::terminate())];
        async move {
            let [interrupt, terminate] = listeners.map(|listener| async move {
                match listener {
                    Ok(mut listener) => {
                        listener.recv().await;
                    }
                    // The system's own way of ending a process remains.
                    Err(_) => std::future::pending().await,
                }
            });
            tokio::select! {
                () = interrupt => {}
                () = terminate => {}
            }
        }
    }
    #[cfg(not(unix))]
    async {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Serves until `ended`, then drains.
///
/// Gives whether all requests under way came to their end.
pub(crate) async fn run(
    http: Arc<Http>,
    listener: TcpListener,
    limits: Limits,
    ended: impl Future<Output = ()>,
    shutdown: Shutdown,
) -> bool {
    let builder = Arc::new(builder());
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Seats::new(&limits));
    let mut ended = std::pin::pin!(ended);
    let mut grace: Option<std::pin::Pin<Box<tokio::time::Sleep>>> = None;
    loop {
        let is_open = grace.is_none();
        let grace_over = async {
            match grace.as_mut() {
                Some(grace) => grace.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = grace_over => break,
            () = &mut ended, if is_open => {
                http.drain();
                grace = Some(Box::pin(tokio::time::sleep(shutdown.grace)));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(seat) = Seats::take(&seats, peer.ip()) else {
                        // Answering would cost what the limit is there to save.
                        continue;
                    };
                    tokio::spawn(connection(http.clone(), builder.clone(), stream, peer, seat, graceful.watcher()));
                }
                Err(error) => pause_after(&error).await,
            },
        }
    }
    drop(listener);
    let open = seats.open();
    tracing::info!(connections = open, "draining");
    let drained = tokio::time::timeout(shutdown.drain, graceful.shutdown()).await.is_ok();
    if !drained {
        tracing::warn!(connections = seats.open(), "requests were cut: they took longer than the drain's time");
    }
    drained
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Times are `Patient`'s.
        .header_read_timeout(None)
        // Most headers of a request stay at hyper's own 100: said in words, they would be parsed into memory taken for each request.
        .max_buf_size(HEAD_BYTES_MAX)
        .timer(TokioTimer::new());
    builder
        .http2()
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(PING_TIME_MAX)
        .keep_alive_timeout(PING_TIME_MAX)
        .timer(TokioTimer::new());
    builder
}

async fn connection(
    http: Arc<Http>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    peer: SocketAddr,
    _seat: Seat,
    watcher: Watcher,
) {
    // Answers are written whole: waiting for more would only make them late.
    let _ = stream.set_nodelay(true);
    let (phase, linger) = (Phase::default(), Linger::default());
    let open = http.metrics().connections.clone();
    open.inc();
    let about = Connection { peer: peer.ip().to_canonical(), linger: linger.clone() };
    let io = TokioIo::new(Patient::new(stream, phase.clone(), linger));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (http, phase, about) = (http.clone(), phase.clone(), about.clone());
        // Boxed, so that it goes with its request: else hyper keeps 5 KiB of room for the next one with each idle connection.
        Box::pin(async move {
            phase.began(request.version());
            let response = http::serve(&http, &about, request).await;
            phase.ended();
            Ok::<_, Infallible>(response)
        })
    });
    if let Err(error) = watcher.watch(builder.serve_connection(io, service).into_owned()).await {
        // Clients leave, stall and speak nonsense all the time.
        tracing::debug!(%error, %peer, "connection ended");
    }
    open.dec();
}

/// A client that left between its SYN and our accept is nothing; no file descriptors left is a state that passes.
async fn pause_after(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused => {}
        _ => {
            tracing::error!(%error, "cannot accept connections");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// How many connections there are, in all and by address.
struct Seats {
    taken: Mutex<Taken>,
    max: u32,
    max_per_address: u32,
}

#[derive(Default)]
struct Taken {
    all: u32,
    by_address: FxHashMap<IpAddr, u32>,
}

/// One connection's place, free again when dropped.
struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    fn new(limits: &Limits) -> Seats {
        let (max, max_per_address) = (limits.connections, limits.connections_per_address);
        Seats { taken: Mutex::default(), max, max_per_address }
    }

    fn take(seats: &Arc<Seats>, address: IpAddr) -> Option<Seat> {
        let address = one_client(address);
        let mut taken = seats.taken.lock();
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= seats.max || here >= seats.max_per_address {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, here + 1);
        Some(Seat { seats: seats.clone(), address })
    }

    fn open(&self) -> u32 {
        self.taken.lock().all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(here) = taken.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What one client can be expected to have: an IPv4 address, or a whole /64 of IPv6.
fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seats_are_counted_by_client_and_given_back() {
        let limits = Limits {
            connections: 3,
            connections_per_address: 2,
            ..undergird_model::settings::Settings::default().limits
        };
        let seats = Arc::new(Seats::new(&limits));
        let take = |address: &str| Seats::take(&seats, address.parse().unwrap());
        let (one, two) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(one.is_some() && two.is_some());
        assert!(take("2001:db8::3").is_none(), "the same /64");
        let other = take("192.0.2.1");
        assert!(other.is_some());
        assert!(take("192.0.2.2").is_none(), "full");
        drop(one);
        assert!(take("192.0.2.2").is_some());
        drop((two, other));
        assert_eq!(seats.open(), 0);
        assert!(seats.taken.lock().by_address.is_empty());
    }
}
