//! Asks other servers by HTTP/1.1: the adapter of `auth`'s port [`Fetch`]. A connection for each request; there are few.
//!
//! What the port demands stands here: `https` with the public roots, `http` to this machine alone, no redirect, a limit of time and of octets.
//!
//! Deliberately absent: pools, proxies, cookies, compression, HTTP/2.

use futures_util::future::BoxFuture;
use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use undergird_auth::{Fetch, FetchError, Incoming, Outgoing};

/// Longest time for one address of a name, so that the next one has its turn.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(4);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The adapter.
pub(crate) struct HttpFetch {
    tls: TlsConnector,
}

impl HttpFetch {
    /// # Errors
    /// TLS cannot be set up: a sentence.
    pub(crate) fn new() -> Result<HttpFetch, String> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(HttpFetch { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn ask(&self, asked: Outgoing) -> Result<Incoming, FetchError> {
        let uri: Uri = asked.url.parse().map_err(|_| "no URL".to_owned())?;
        let host = uri.host().ok_or("no host")?.trim_matches(['[', ']']).to_owned();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("neither https nor http".into()),
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| error.to_string())?;
        let addresses: Vec<SocketAddr> = addresses.take(ADDRESSES_MAX).collect();
        // Of the addresses that are connected to, not of the name: a name can lead anywhere.
        if !is_tls && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err("http is for this machine alone".into());
        }
        let stream = connect(&addresses).await?;
        let (bytes_max, request) = (asked.bytes_max, request(asked, &uri)?);
        if !is_tls {
            return send(TokioIo::new(stream), request, bytes_max).await;
        }
        let name = ServerName::try_from(host).map_err(|_| "no name of a server")?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| error.to_string())?;
        send(TokioIo::new(stream), request, bytes_max).await
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, request: Outgoing) -> BoxFuture<'_, Result<Incoming, FetchError>> {
        Box::pin(async move {
            let timeout = request.timeout;
            match tokio::time::timeout(timeout, self.ask(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(FetchError::TimedOut),
            }
        })
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = "no connection in time".to_owned(),
        }
    }
    Err(why)
}

fn request(asked: Outgoing, uri: &Uri) -> Result<Request<Full<bytes::Bytes>>, String> {
    let authority = uri.authority().ok_or("no host")?;
    let host = match authority.as_str().rsplit_once('@') {
        Some(_) => return Err("a user name in the URL".into()),
        None => authority.as_str(),
    };
    let method = if asked.body.is_some() { Method::POST } else { Method::GET };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let body = Full::new(bytes::Bytes::from(asked.body.unwrap_or_default()));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().map_err(|_| "no path")?;
    let headers = request.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "no value of a header");
    headers.insert(HOST, value(host)?);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("undergird/", env!("CARGO_PKG_VERSION"))));
    for (name, text) in &asked.headers {
        headers.insert(HeaderName::from_static(name), value(text)?);
    }
    Ok(request)
}

async fn send(
    io: impl Read + Write + Unpin + Send + 'static,
    request: Request<Full<bytes::Bytes>>,
    bytes_max: usize,
) -> Result<Incoming, FetchError> {
    let (mut sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => FetchError::TooLong,
            false => FetchError::Other(format!("the answer broke off: {error}")),
        })?;
        Ok(Incoming { status, body: body.to_bytes().to_vec() })
    };
    tokio::pin!(exchange, connection);
    // The connection lives here, so it is gone with whoever gives up waiting.
    tokio::select! {
        done = &mut exchange => done,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string().into()),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn asked(url: String) -> Outgoing {
        Outgoing {
            url,
            headers: vec![("accept", "a/b".into())],
            body: None,
            bytes_max: 100,
            timeout: Duration::from_secs(5),
        }
    }

    /// What a server that answers so makes of a request.
    async fn check(answer: &'static [u8], expected: Result<(u16, &str), &str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4_096];
            let length = stream.read(&mut read).await.unwrap();
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&read[..length]).into_owned()
        });
        let told = HttpFetch::new().unwrap().fetch(asked(format!("http://{address}/x?y=1"))).await;
        let seen = server.await.unwrap();
        assert!(seen.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("host: {address}\r\n")) && seen.contains("accept: a/b\r\n"), "{seen}");
        match (told, expected) {
            (Ok(told), Ok((status, body))) => {
                assert_eq!((told.status, told.body.as_slice()), (status, body.as_bytes()))
            }
            (Err(told), Err(expected)) => assert!(told.to_string().contains(expected), "{told:?}"),
            (told, _) => panic!("{:?}", told.map(|told| told.status)),
        }
    }

    #[tokio::test]
    async fn answers_have_a_limit_and_no_redirect_is_followed() {
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Ok((200, "{}"))).await;
        check(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", Ok((302, ""))).await;
        let long = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n\
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n";
        check(long, Err("too long")).await;
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", Err("broke off")).await;
    }

    #[tokio::test]
    async fn who_must_not_be_asked() {
        for (url, why) in [
            ("http://192.0.2.1/", "this machine alone"),
            ("http://0.0.0.0/", "this machine alone"),
            ("ftp://127.0.0.1/", "neither"),
            ("http://a@127.0.0.1:1/", "user name"),
            ("/x", "no host"),
        ] {
            let told = HttpFetch::new().unwrap().fetch(asked(url.into())).await;
            match told {
                Err(FetchError::Other(told)) => {
                    assert!(told.contains(why) || told.contains("refused"), "{url}: {told}")
                }
                told => panic!("{url}: {:?}", told.map(|told| told.status)),
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Outgoing { timeout: Duration::from_millis(50), ..asked(url) };
        let told = HttpFetch::new().unwrap().fetch(asked).await;
        assert_eq!(told.map(|told| told.status), Err(FetchError::TimedOut));
    }
}
