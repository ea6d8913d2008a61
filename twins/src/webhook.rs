//! Signed webhook deliveries, sent in order from a thread of their own. They can be held back,
//! so that a test may drop, double, reorder or tamper with them.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::lock;
use crate::requests::hex;

/// GitHub gives a receiver 10 s.
const DEADLINE: Duration = Duration::from_secs(10);

/// One delivery, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: String,
    /// `issues`, `push`; at Linear `Issue`, `Comment`.
    pub event: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What became of a delivery: the receiver's status, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub id: String,
    pub event: String,
    pub status: Result<u16, String>,
}

/// `sha256=` and the hexadecimal HMAC-SHA256 of the body: the value of `X-Hub-Signature-256`.
pub fn github_signature(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", linear_signature(secret, body))
}

/// The hexadecimal HMAC-SHA256 of the body: the value of `Linear-Signature`.
pub fn linear_signature(secret: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        unreachable!("HMAC takes keys of any length");
    };
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    target: Option<Target>,
    held: Option<Vec<Delivery>>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

#[derive(Clone, Debug)]
struct Target {
    secret: String,
    queue: Sender<Delivery>,
}

impl Webhooks {
    /// `http://HOST:PORT/PATH`. Replaces an earlier target, whose queue is still sent.
    pub fn configure(&self, url: &str, secret: &str) -> io::Result<()> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not http://HOST:PORT/PATH");
        let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (authority, path) = (authority.to_owned(), format!("/{path}"));
        if authority.is_empty() {
            return Err(invalid());
        }
        let (queue, deliveries) = channel();
        let mut state = lock(&self.state);
        let outcomes = state.outcomes.clone();
        std::thread::Builder::new()
            .name("twin-webhooks".to_owned())
            .spawn(move || send_all(&deliveries, &authority, &path, &outcomes))?;
        state.target = Some(Target { secret: secret.to_owned(), queue });
        Ok(())
    }

    pub fn disconnect(&self) {
        lock(&self.state).target = None;
    }

    /// Nobody looks at a delivery that is neither sent nor held: callers need not make one.
    pub fn wanted(&self) -> bool {
        let state = lock(&self.state);
        state.target.is_some() || state.held.is_some()
    }

    pub fn secret(&self) -> String {
        lock(&self.state).target.as_ref().map(|t| t.secret.clone()).unwrap_or_default()
    }

    /// Sends, or puts aside while deliveries are held.
    pub fn offer(&self, delivery: Delivery) {
        let mut state = lock(&self.state);
        match &mut state.held {
            Some(held) => held.push(delivery),
            None => enqueue(&state, delivery),
        }
    }

    pub fn send(&self, delivery: Delivery) {
        enqueue(&lock(&self.state), delivery);
    }

    pub fn hold(&self, hold: bool) {
        let mut state = lock(&self.state);
        if hold {
            state.held.get_or_insert_default();
        } else {
            for delivery in state.held.take().unwrap_or_default() {
                enqueue(&state, delivery);
            }
        }
    }

    pub fn take_held(&self) -> Vec<Delivery> {
        lock(&self.state).held.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn outcomes(&self) -> Vec<Outcome> {
        let outcomes = lock(&self.state).outcomes.clone();
        let outcomes = lock(&outcomes);
        outcomes.clone()
    }
}

fn enqueue(state: &State, delivery: Delivery) {
    if let Some(target) = &state.target {
        // The thread ends only when this sender is dropped.
        let _ = target.queue.send(delivery);
    }
}

fn send_all(
    queue: &Receiver<Delivery>,
    authority: &str,
    path: &str,
    outcomes: &Mutex<Vec<Outcome>>,
) {
    for delivery in queue {
        let status = post(authority, path, &delivery).map_err(|error| error.to_string());
        lock(outcomes).push(Outcome { id: delivery.id, event: delivery.event, status });
    }
}

fn post(authority: &str, path: &str, delivery: &Delivery) -> io::Result<u16> {
    let address = authority.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in &delivery.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", delivery.body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(&delivery.body);
    // A receiver may refuse a body before it has read all of it; its status still counts.
    let written = stream.write_all(&request);
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    match line.split(' ').nth(1).and_then(|code| code.parse().ok()) {
        Some(status) => Ok(status),
        None => {
            written?;
            read?;
            Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP status line"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_github_documents() {
        // The example of GitHub's page "Validating webhook deliveries".
        let signature = github_signature("It's a Secret to Everybody", b"Hello, World!");
        assert_eq!(
            signature,
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn held_deliveries_wait_and_can_be_taken() {
        let hooks = Webhooks::default();
        assert!(!hooks.wanted());
        hooks.hold(true);
        assert!(hooks.wanted());
        let delivery =
            Delivery { id: "1".into(), event: "push".into(), headers: vec![], body: vec![] };
        hooks.offer(delivery.clone());
        assert_eq!(hooks.take_held(), [delivery]);
        assert_eq!(hooks.take_held(), []);
    }
}
