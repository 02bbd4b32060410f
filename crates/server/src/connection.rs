//! A TCP connection as hyper sees it, with the patience that hyper lacks: no time is unlimited.
//!
//! hyper's own header timeout does not hold for a connection that says nothing at all (hyper #3756, #3962), and is one time for a
//! slow head and for an idle connection. Here they are two, and checking them costs no timer per request: one timer per connection
//! is looked at only when it fires.

use http::Version;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use undergird_api::http::Linger;

/// From connecting to the first byte, and from a head's first byte to its last.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two requests. Longer than proxies keep connections, so that they close first and lose no request.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// How long the other side may take nothing of an answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an answered request may go on sending before the connection closes.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// What is thrown away at once, and how often before others have their turn.
const SCRAP_BYTES: usize = 16 * 1024;
const SCRAP_READS_MAX: usize = 16;

/// What a connection is doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase(Arc<AtomicU8>);

/// Connected, nothing said yet.
const FRESH: u8 = 0;
/// A request's head is coming in.
const HEAD: u8 = 1;
/// A request is being answered: other limits hold.
const BUSY: u8 = 2;
/// Between two requests.
const IDLE: u8 = 3;
/// HTTP/2: many requests at once, of which hyper's keep-alive takes care.
const MANY: u8 = 4;

impl Phase {
    /// A head is complete.
    pub(crate) fn began(&self, version: Version) {
        self.0.store(if version == Version::HTTP_2 { MANY } else { BUSY }, Ordering::Relaxed);
    }

    /// Its answer is ready.
    pub(crate) fn ended(&self) {
        let _ = self.0.compare_exchange(BUSY, IDLE, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn heard(&self) {
        let now = self.get();
        if now == FRESH || now == IDLE {
            self.0.store(HEAD, Ordering::Relaxed);
        }
    }
}

/// The connection itself.
pub(crate) struct Patient {
    stream: TcpStream,
    phase: Phase,
    linger: Linger,
    /// The phase that `since` is about.
    seen: u8,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream, phase: Phase, linger: Linger) -> Patient {
        Patient {
            stream,
            phase,
            linger,
            seen: FRESH,
            since: Instant::now(),
            timer: None,
            stalled: None,
            lingering: None,
        }
    }

    /// When the present phase is over at the latest. `None`: it is not ours to end.
    fn deadline(&mut self) -> Option<Instant> {
        let phase = self.phase.get();
        if phase != self.seen {
            self.seen = phase;
            self.since = Instant::now();
        }
        match phase {
            FRESH | HEAD => Some(self.since + HEAD_TIME_MAX),
            IDLE => Some(self.since + IDLE_TIME_MAX),
            _ => None,
        }
    }

    /// Ready when the connection has been silent for too long.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            // A timer set for an earlier phase is only early, unless the phase got shorter.
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            match timer.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if Instant::now() >= deadline => return Poll::Ready(()),
                Poll::Ready(()) => timer.as_mut().reset(deadline),
            }
        }
    }

    /// Ready when the other side has taken nothing for too long.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIME_MAX)));
        timer.as_mut().poll(context)
    }

    fn written<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        self.poll_stalled(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    this.phase.heard();
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_patience(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    /// Says that nothing more comes. When the request was answered before its end, what is still on its way is thrown away for a
    /// moment: closing at once would reset the connection, and the client might never see the answer.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            match Pin::new(&mut this.stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) if this.linger.is_requested() => {}
                other => return other,
            }
        }
        let until = || Box::pin(sleep_until(Instant::now() + LINGER_TIME_MAX));
        if this.lingering.get_or_insert_with(until).as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut scrap = [MaybeUninit::uninit(); SCRAP_BYTES];
        // A fast sender must not keep the worker to itself.
        for _ in 0..SCRAP_READS_MAX {
            let mut buffer = ReadBuf::uninit(&mut scrap);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
