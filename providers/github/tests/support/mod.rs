//! A mount of the provider over the twin, each of whose requests GitHub's description allows.
#![allow(dead_code, reason = "each test uses a part")]

pub mod replay;

use omnifs_descriptions as check;
use omnifs_descriptions::http::send;
use omnifs_github::GitHub;
use omnifs_sdk::testing::{Mount, Recorded};

use omnifs_twins::github::RepoShape;
use omnifs_twins::{GithubSetup, GithubTwin};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The operations asked for so far, and what the description has against each request it refuses.
#[derive(Default)]
pub struct Asked {
    pub operations: BTreeMap<String, String>,
    pub refused: Vec<String>,
}

impl Asked {
    /// Takes note of a request, as `GET /user`.
    pub fn note(&mut self, line: &str) {
        let (method, path) = line.split_once(' ').unwrap();
        match check::check_github_request(method, path) {
            Ok(operation) => {
                let operation = operation.expect("the description is there");
                self.operations.insert(operation, line.to_owned());
            }
            Err(why) => self.refused.push(format!("{line}: {why}")),
        }
    }
}

pub struct World {
    pub twin: GithubTwin,
    pub mount: Mount<GitHub>,
    pub asked: Rc<RefCell<Asked>>,
}

/// Nothing where the description cannot be had, which is then said loudly.
pub fn world() -> Option<World> {
    check::github()?;
    let repos = vec![RepoShape::issues("acme", "big", 250, 120)];
    let twin = GithubTwin::start(GithubSetup { repos, ..GithubSetup::default() }).unwrap();
    let asked = Rc::new(RefCell::new(Asked::default()));
    let (url, log) = (twin.url().to_owned(), asked.clone());
    let upstream = Recorded::new().otherwise(move |line, headers, body| {
        let (method, path) = line.split_once(' ').unwrap();
        log.borrow_mut().note(line);
        let mut reply = send(method, &format!("{url}{path}"), headers, body).unwrap();
        // The host follows redirects; they are the service's own requests.
        while let Some(to) = reply.header("location").map(str::to_owned) {
            let to = if to.starts_with('/') { format!("{url}{to}") } else { to };
            reply = send(method, &to, headers, body).unwrap();
            if let Some(path) = to.strip_prefix(&url) {
                reply.headers.push(("content-location".to_owned(), path.to_owned()));
            }
        }
        (reply.status, reply.headers, reply.body)
    });
    Some(World { twin, mount: Mount::new(upstream), asked })
}

impl World {
    pub fn assert_allowed(&self) {
        let refused = &self.asked.borrow().refused;
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }
}
