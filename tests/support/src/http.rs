//! HTTP/1.0 over a unix socket: one request, one connection, the answer ends with the stream. No
//! chunks, no keep-alive, nothing to get wrong.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }
}

/// Sends one request and reads the whole answer. `limit` bounds each read and write.
pub fn request(
    socket: &Path,
    method: &str,
    path: &str,
    content: Option<(&str, &[u8])>,
    limit: Duration,
) -> io::Result<Response> {
    let (status, mut stream) = open(socket, method, path, content, limit)?;
    let mut body = Vec::new();
    stream.read_to_end(&mut body)?;
    Ok(Response { status, body })
}

/// Sends one request, reads the head of the answer, and gives the status and the rest as a stream.
pub fn open(
    socket: &Path,
    method: &str,
    path: &str,
    content: Option<(&str, &[u8])>,
    limit: Duration,
) -> io::Result<(u16, BufReader<UnixStream>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n");
    if let Some((kind, body)) = content {
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if let Some((_, body)) = content {
        stream.write_all(body)?;
    }
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::other(format!("not an HTTP answer: {line:?}")))?;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            return Ok((status, stream));
        }
    }
}
