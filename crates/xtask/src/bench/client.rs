//! The benches' client: raw sockets, keep-alive, one request at a time.
//!
//! Absent: HTTP/2 and all that the servers measured here do not send.

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A keep-alive connection that sends a request and reads its answer.
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// A body that came in chunks.
    body: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(port: u16) -> Result<Client, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("nodelay: {error}"))?;
        Ok(Client { stream, buffer: Vec::with_capacity(64 << 10), body: Vec::new() })
    }

    /// The status and the body. As cheap as it can be: what the client takes of the machine is missing to the server, and more so the
    /// longer a head is read.
    pub(super) async fn send(&mut self, request: &str) -> Result<(u16, &[u8]), String> {
        let failed = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(request.as_bytes()).await.map_err(failed)?;
        self.buffer.clear();
        self.body.clear();
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
        let Some(length) = length else {
            self.chunks(head).await?;
            return Ok((status, &self.body));
        };
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok((status, &self.buffer[head..head + length]))
    }

    /// Reads the chunks of a body (RFC 9112, 7.1) that begins at `at`.
    async fn chunks(&mut self, mut at: usize) -> Result<(), String> {
        loop {
            let line = loop {
                if let Some(end) = memmem::find(&self.buffer[at..], b"\r\n") {
                    break &self.buffer[at..at + end];
                }
                self.more().await?;
            };
            let length = std::str::from_utf8(line).ok().and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
            let length = length.ok_or("a chunk without a length")?;
            let from = at + line.len() + 2;
            while self.buffer.len() < from + length + 2 {
                self.more().await?;
            }
            self.body.extend_from_slice(&self.buffer[from..from + length]);
            at = from + length + 2;
            if length == 0 {
                return Ok(());
            }
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        let read =
            self.stream.read_buf(&mut self.buffer).await.map_err(|error| format!("the connection broke: {error}"))?;
        if read == 0 { Err("the answer was cut off".into()) } else { Ok(()) }
    }

    /// Whether the head of the last answer says when to come again.
    pub(super) fn says_when(&self) -> bool {
        memmem::find(&self.buffer, b"\r\nretry-after: ").is_some()
    }
}

/// The status and the length of the body; none where it comes in chunks. Ours writes names of headers in small letters, which is looked
/// for first.
fn head_of(head: &[u8]) -> Option<(u16, Option<usize>)> {
    const LENGTH: &[u8] = b"\r\ncontent-length: ";
    let number = |octets: &[u8]| std::str::from_utf8(octets).ok()?.trim().parse::<usize>().ok();
    let status = u16::try_from(number(head.get(9..12)?)?).ok()?;
    if let Some(at) = memmem::find(head, LENGTH) {
        let rest = &head[at + LENGTH.len()..];
        return Some((status, Some(number(rest.split(|octet| *octet == b'\r').next()?)?)));
    }
    for line in head.split(|octet| *octet == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            return Some((status, Some(number(value)?)));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Some((status, None));
        }
    }
    Some((status, Some(0)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Client, head_of};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn the_length_of_a_body_is_read_however_its_header_is_written() {
        assert_eq!(head_of(b"HTTP/1.1 200 OK\r\ncontent-length: 12").unwrap(), (200, Some(12)));
        assert_eq!(head_of(b"HTTP/1.1 201 Created\r\nX: y\r\nContent-Length: 7\r\nZ: 1").unwrap(), (201, Some(7)));
        assert_eq!(head_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").unwrap(), (200, None));
        assert_eq!(head_of(b"HTTP/1.1 204 No Content\r\nDate: now").unwrap(), (204, Some(0)));
        assert!(head_of(b"HTTP/1.1 200 OK\r\nContent-Length: many").is_none());
    }

    #[tokio::test]
    async fn a_body_in_chunks_is_put_together_and_the_next_answer_is_read_from_its_own_beginning() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 64];
            for answer in ["a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"] {
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{answer}");
                // In pieces, as a slow wire has it.
                for piece in answer.as_bytes().chunks(7) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut client = Client::connect(port).await.unwrap();
        assert_eq!(client.send("GET / HTTP/1.1\r\n\r\n").await.unwrap(), (200, &b"0123456789abc"[..]));
        assert_eq!(client.send("GET / HTTP/1.1\r\n\r\n").await.unwrap(), (200, &b"x"[..]));
        server.await.unwrap();
    }
}
