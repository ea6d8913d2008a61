//! A small blocking HTTP client over loopback, so that the twins are tested by something that shares
//! no code with them.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a test asks of an answer; each panics where the answer does not have it.
impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn number(&self, name: &str) -> i64 {
        let text = self.header(name).unwrap_or_else(|| panic!("no {name}"));
        text.parse().unwrap_or_else(|_| panic!("{name}: {text}"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.body));
        })
    }

    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// The address of a relation in the `Link` header.
    pub fn link(&self, relation: &str) -> Option<String> {
        let wanted = format!("rel=\"{relation}\"");
        let part = self.header("link")?.split(", ").find(|part| part.ends_with(&wanted))?;
        Some(part.trim_start_matches('<').split('>').next()?.to_owned())
    }
}

/// One request to `http://HOST:PORT/PATH`, on a connection of its own. Headers with an empty value
/// are left out.
///
/// # Errors
/// Where the connection fails, or the answer is not whole.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
    let rest = url.strip_prefix("http://").ok_or_else(|| broken(url))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        request.push_str("User-Agent: twin-test\r\n");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Connection: close\r\nContent-Length: {}\r\n\r\n", body.len()));
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let reply = read(&answer).ok_or(io::ErrorKind::UnexpectedEof)?;
    if reply.status != 304
        && method != "HEAD"
        && reply.header("content-length").is_some_and(|l| l.parse() != Ok(reply.body.len()))
    {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match reply.header("transfer-encoding") {
        Some(_) => Err(broken("an answer in chunks, which is not read here")),
        None => Ok(reply),
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn read(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    Some(Reply {
        status,
        headers: headers.collect::<Option<_>>()?,
        body: answer[end + 4..].to_vec(),
    })
}
