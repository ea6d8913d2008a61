//! What stands between a mount and a server, or in a server's place.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Passes connections on to a server, and keeps what clients send.
pub struct Tap {
    url: String,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    /// `upstream` is `HOST:PORT`. Where nobody listens there, a connection is closed.
    pub fn start(upstream: &str) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (kept, upstream) = (sent.clone(), upstream.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let (Ok(back), Ok(forth)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let at = {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                let kept = kept.clone();
                thread::spawn(move || {
                    pass(client, server, |bytes| {
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        kept[at].extend_from_slice(bytes);
                    });
                });
                thread::spawn(move || pass(forth, back, |_| {}));
            }
        });
        Tap { url, sent }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What stands between `before` and the next `end`, each time that it was sent.
    fn each(&self, before: &str, end: char) -> Vec<String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = sent.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let after = |text: String| -> Vec<String> {
            let parts = text.split(before).skip(1);
            parts.map(|part| part.split(end).next().unwrap_or_default().to_owned()).collect()
        };
        texts.flat_map(after).collect()
    }

    /// The methods of all requests.
    pub fn methods(&self) -> Vec<String> {
        self.each("\"method\":\"", '"')
    }

    /// The names of sessions that were sent, each once.
    pub fn sessions(&self) -> Vec<String> {
        let mut names = self.each("mcp-session-id: ", '\r');
        names.sort();
        names.dedup();
        names
    }
}

/// Copies what comes until an end, and tells the other side of that.
fn pass(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        note(&bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

type Answer = dyn Fn(&Value) -> (u16, Value) + Send + Sync;

/// A server without sessions, which answers by JSON: a status, and a message but for its id.
pub struct Twin {
    pub url: String,
}

impl Twin {
    pub fn start(answer: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static) -> Twin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answer: Arc<Answer> = Arc::new(answer);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let answer = answer.clone();
                // A broken connection is the client's doing, and shows there.
                thread::spawn(move || serve(client, &*answer));
            }
        });
        Twin { url }
    }
}

fn serve(client: TcpStream, answer: &Answer) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let asked: Value = serde_json::from_slice(&body)?;
        let (status, mut message) = answer(&asked);
        message["jsonrpc"] = "2.0".into();
        message["id"] = asked["id"].clone();
        let body = message.to_string();
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        (&client).write_all((head + &body).as_bytes())?;
    }
}
