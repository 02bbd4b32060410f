//! Stopping a statement: PostgreSQL takes such a request on a connection of its own, and closes that when the signal is on its way.
//!
//! The driver's own request hangs up at once. PgBouncer takes that for a change of mind, and nobody can tell when the signal will
//! arrive, or whom it will hit. So we wait for the other side to hang up, where we know whom to call.

use crate::settings::Target;
use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::CancelToken;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// Asks for the end of what is under way on a connection. Whether the signal has surely been sent; if not, it may come at any time, and
/// the connection cannot be used again.
pub(crate) async fn cancel(target: &Target, token: &CancelToken) -> bool {
    let done = match target.only_host() {
        Some((Host::Tcp(name), port)) => match TcpStream::connect((name.as_str(), port)).await {
            Ok(stream) => hang_on(target, token, Lingering(stream), name).await,
            Err(_) => false,
        },
        #[cfg(unix)]
        Some((Host::Unix(folder), port)) => match UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await {
            Ok(stream) => hang_on(target, token, Lingering(stream), "").await,
            Err(_) => false,
        },
        None => false,
    };
    if !done {
        // The driver knows which of several servers it was.
        let _ = token.cancel_query(target.tls()).await;
    }
    done
}

async fn hang_on<S>(target: &Target, token: &CancelToken, stream: Lingering<S>, name: &str) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match MakeTlsConnect::<Lingering<S>>::make_tls_connect(&mut target.tls(), name) {
        Ok(tls) => token.cancel_query_raw(stream, Patient(tls)).await.is_ok(),
    }
}

/// TLS that does not say good-bye either.
struct Patient<C>(C);

impl<S, C> TlsConnect<S> for Patient<C>
where
    C: TlsConnect<S>,
    C::Future: Send + 'static,
    C::Stream: 'static,
    C::Error: 'static,
{
    type Stream = Lingering<C::Stream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(self.0.connect(stream).map_ok(Lingering))
    }
}

impl<S: TlsStream + Unpin> TlsStream for Lingering<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// A stream that ends when the other side has hung up.
struct Lingering<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut octets = [0; 64];
            let mut buffer = ReadBuf::new(&mut octets);
            match ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // However it hung up, it did.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
