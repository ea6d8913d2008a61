//! The provider in front of the Linear twin: its requests go over loopback, as the host would send
//! them.
#![allow(dead_code, reason = "each test file uses a part")]

use omnifs_descriptions::http::send;
use omnifs_linear::{Linear, query};
use omnifs_sdk::testing::{Mount, Recorded};
use omnifs_sdk::{Position, Progress};
use omnifs_twins::linear::TeamShape;
use omnifs_twins::{LinearSetup, LinearTwin};

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
    let url = format!("{}/graphql", twin.url());
    let recorded = settings.iter().fold(Recorded::new(), |r, (key, value)| r.setting(key, value));
    recorded.otherwise(move |line, headers, body| {
        assert_eq!(line, "POST /graphql");
        let text = String::from_utf8_lossy(body);
        let query: String = json(&text)["query"].as_str().unwrap_or_default().to_owned();
        assert!(
            query::EVERY.iter().any(|(_, known)| *known == query),
            "this query is checked by no test: {query}"
        );
        let mut headers = headers.to_vec();
        headers.push(("authorization", "lin_api_test"));
        let reply = send("POST", &url, &headers, body).expect("the twin answers");
        (reply.status, reply.headers, reply.body)
    })
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("a request's body is JSON")
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
