//! What the tests of the twins share.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod openapi;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use omnifs_descriptions::http::{Reply, send};

#[track_caller]
pub fn get(base: &str, path: &str) -> Reply {
    send("GET", &format!("{base}{path}"), &[], b"").unwrap()
}

#[track_caller]
pub fn get_with(base: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    send("GET", &format!("{base}{path}"), headers, b"").unwrap()
}

#[track_caller]
pub fn graphql(base: &str, query: &str, variables: Value) -> Reply {
    let body = json!({"query": query, "variables": variables}).to_string();
    let headers = [("Content-Type", "application/json")];
    send("POST", &format!("{base}/graphql"), &headers, body.as_bytes()).unwrap()
}

/// Waits for a condition, at most 10 s.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A receiver of webhooks: answers 204 and hands over head and body.
pub fn receiver() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, deliveries) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut chunk = [0; 65536];
            let (head, body) = loop {
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0, "the delivery broke off");
                bytes.extend_from_slice(&chunk[..count]);
                let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                    continue;
                };
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let lower = head.to_lowercase();
                let (_, length) = lower.split_once("content-length: ").unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if bytes.len() == end + 4 + length {
                    break (head, bytes[end + 4..].to_vec());
                }
            };
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, deliveries)
}
