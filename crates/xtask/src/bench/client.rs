//! The benches' client: raw sockets, keep-alive, one request at a time.
//!
//! Absent: chunked answers, HTTP/2 and all that the servers measured here do not send.

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A keep-alive connection that sends a request and reads its answer.
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(port: u16) -> Result<Client, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("nodelay: {error}"))?;
        Ok(Client { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// The status and the body. As cheap as it can be: what the client takes of the machine is missing to the server, and more so the
    /// longer a head is read.
    pub(super) async fn send(&mut self, request: &str) -> Result<(u16, &[u8]), String> {
        let failed = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(request.as_bytes()).await.map_err(failed)?;
        self.buffer.clear();
        let (head, length, status) = loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(failed)? == 0 {
                return Err("the connection was closed".into());
            }
            if let Some(head) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let (status, length) =
                    head_of(&self.buffer[..head]).ok_or("no status or length in the answer's head")?;
                break (head + 4, length, status);
            }
        };
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await.map_err(failed)? == 0 {
                return Err("the answer was cut off".into());
            }
        }
        Ok((status, &self.buffer[head..head + length]))
    }

    /// Whether the head of the last answer says when to come again.
    pub(super) fn says_when(&self) -> bool {
        memmem::find(&self.buffer, b"\r\nretry-after: ").is_some()
    }
}

/// The status and the length of the body. Both servers write their names of headers in small letters.
fn head_of(head: &[u8]) -> Option<(u16, usize)> {
    const LENGTH: &[u8] = b"\r\ncontent-length: ";
    let number = |octets: &[u8]| std::str::from_utf8(octets).ok()?.parse::<usize>().ok();
    let status = u16::try_from(number(head.get(9..12)?)?).ok()?;
    let length = match memmem::find(head, LENGTH) {
        Some(at) => {
            let rest = &head[at + LENGTH.len()..];
            number(rest.split(|octet| *octet == b'\r').next()?)?
        }
        None => 0,
    };
    Some((status, length))
}
