//! The provider in front of the Linear twin: its requests go over loopback, as the host would send
//! them.
#![allow(dead_code, reason = "each test file uses a part")]

use omnifs_linear::{Linear, query};
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Position, Progress};
use omnifs_twins::linear::TeamShape;
use omnifs_twins::{LinearSetup, LinearTwin};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

pub struct Mounted {
    pub twin: LinearTwin,
    pub mount: Mount<Linear>,
}

/// The demo's workspace and a team `BIG` of this size.
pub fn big(issues: usize, comments: usize, settings: &[(&str, &str)]) -> Mounted {
    let (key, name) = ("BIG".to_owned(), "Big".to_owned());
    let team = TeamShape { key, name, issues, comments, awkward: true };
    mounted(LinearSetup { teams: vec![team], ..LinearSetup::default() }, settings)
}

pub fn demo() -> Mounted {
    mounted(LinearSetup::default(), &[])
}

fn mounted(setup: LinearSetup, settings: &[(&str, &str)]) -> Mounted {
    let twin = LinearTwin::start(setup).expect("a loopback port can be had");
    let mount = Mount::new(upstream(&twin, settings));
    Mounted { twin, mount }
}

fn upstream(twin: &LinearTwin, settings: &[(&str, &str)]) -> Recorded {
    let address = twin.url().trim_start_matches("http://").to_owned();
    let recorded = settings.iter().fold(Recorded::new(), |r, (key, value)| r.setting(key, value));
    recorded.otherwise(move |line, body| {
        assert_eq!(line, "POST /graphql");
        let text = String::from_utf8_lossy(body);
        let query: String = json(&text)["query"].as_str().unwrap_or_default().to_owned();
        assert!(
            query::EVERY.iter().any(|(_, known)| *known == query),
            "this query is checked by no test: {query}"
        );
        post(&address, body)
    })
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("a request's body is JSON")
}

fn post(address: &str, body: &[u8]) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the twin listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {address}\r\nauthorization: lin_api_test\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the twin reads");
    stream.write_all(body).expect("the twin reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the twin answers");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    assert!(!headers.iter().any(|(name, _)| name == "transfer-encoding"), "read without chunks");
    (status.expect("a status line"), headers, answer[end + 4..].to_vec())
}

impl Mounted {
    pub fn read(&self, path: &str) -> String {
        self.mount.read(path).unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    pub fn list(&self, path: &str) -> Vec<String> {
        self.mount.list(path).unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// Requests since the last call of this.
    pub fn asked(&self) -> usize {
        self.mount.requests().len()
    }

    /// Forgets everything, as a new process would.
    pub fn remount(self, settings: &[(&str, &str)]) -> Mounted {
        let mount = Mount::new(upstream(&self.twin, settings));
        Mounted { twin: self.twin, mount }
    }
}

/// A scope's feed, as the host holds it.
pub struct Feed {
    position: Position,
}

impl Feed {
    pub fn new(scope: &str) -> Self {
        let (feed, scope) = ("changes".to_owned(), scope.to_owned());
        Feed { position: Position { feed, scope, cursor: None, since: 0 } }
    }

    pub fn since(scope: &str, since: u64) -> Self {
        let feed = Feed::new(scope);
        Feed { position: Position { since, ..feed.position } }
    }

    pub fn poll(&mut self, mounted: &Mounted) -> Progress {
        let progress = mounted.mount.poll(&self.position).expect("a poll succeeds");
        if let Some(cursor) = &progress.cursor {
            assert!(cursor.len() <= 4096, "the host keeps 4 KiB");
            self.position.cursor = Some(cursor.clone());
        }
        progress
    }
}
