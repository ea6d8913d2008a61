//! The other way to each answer: the calls that an agent makes which knows the tools and the API well.
//!
//! Where GitHub's server has a tool, the tool. It has none for runs and releases, and Docker and Linear have other
//! servers: there the API's own answers are counted, compact as they come, and of Linear the fields alone that matter.

use crate::World;
use crate::server::Server;
use omnifs_support::http;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A task of `omnifs_support::tasks` and its other way.
pub struct Way {
    pub question: &'static str,
    /// What the calls' answers hold, so that they are answers.
    pub holds: &'static [&'static str],
    pub ask: fn(&mut Asking<'_>),
}

/// The calls of one task.
pub struct Asking<'a> {
    pub world: &'a World,
    pub server: &'a mut Server,
    /// `search_issues`, `GET /containers/json`.
    pub calls: Vec<String>,
    /// All that was answered.
    pub read: String,
}

impl Asking<'_> {
    fn note(&mut self, call: String, answer: String) -> Value {
        self.calls.push(call);
        self.read.push_str(&answer);
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.server.call(name, arguments);
        self.note(name.to_owned(), answer)
    }

    fn github(&mut self, path: &str) -> Value {
        let answer = get(&format!("{}{path}", self.world.github.url()), "GET", "");
        self.note(format!("GET {path}"), answer)
    }

    fn linear(&mut self, query: &str) -> Value {
        let body = json!({ "query": query }).to_string();
        let answer = get(&format!("{}/graphql", self.world.linear.url()), "POST", &body);
        self.note("query".to_owned(), answer)
    }

    fn engine(&mut self, path: &str) -> Value {
        let proxy = self.world.proxy.as_ref().expect("an engine");
        let limit = Duration::from_secs(120);
        let answer = http::request(&proxy.socket(), "GET", path, None, limit).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        self.note(format!("GET {path}"), text)
    }
}

/// The body of an answer over loopback; a redirect is followed.
fn get(url: &str, method: &str, body: &str) -> String {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut stream = TcpStream::connect(authority).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout");
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: bench\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let to = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| value.to_owned())
    });
    match (status, to) {
        ("302", Some(to)) => get(&to, "GET", ""),
        ("200", _) => body.to_owned(),
        _ => panic!("{url}: {answer}"),
    }
}

fn found(asking: &mut Asking<'_>, query: &str) {
    let query = format!("repo:acme/api {query}");
    asking.tool("search_issues", json!({ "q": query, "per_page": 5 }));
}

/// With the arguments that name the repository.
fn api(mut arguments: Value) -> Value {
    arguments["owner"] = json!("acme");
    arguments["repo"] = json!("api");
    arguments
}

pub const WAYS: [Way; 12] = [
    Way {
        question: "which issue is about token refresh",
        holds: &["\"number\": 2853"],
        ask: |asking| found(asking, "is:issue is:open \"token refresh\""),
    },
    Way {
        question: "who is on it",
        holds: &["\"login\": \"priya-n\""],
        ask: |asking| drop(asking.tool("get_issue", api(json!({ "issue_number": 2853 })))),
    },
    Way {
        question: "which pull request closes it",
        holds: &["\"number\": 2860", "Fixes #2853."],
        ask: |asking| found(asking, "is:pr 2853"),
    },
    Way {
        question: "which issues changed since Christmas",
        holds: &["\"number\": 2853", "\"number\": 2849"],
        ask: |asking| {
            let since = json!({ "since": "2025-12-26T00:00:00Z", "state": "all" });
            asking.tool("list_issues", api(since));
        },
    },
    Way {
        question: "what failed in CI, and why",
        holds: &["\"conclusion\":\"failure\"", "##[error]"],
        ask: |asking| {
            let runs = asking.github("/repos/acme/api/actions/runs?status=failure&per_page=1");
            let run = &runs["workflow_runs"][0]["id"];
            let jobs = asking.github(&format!("/repos/acme/api/actions/runs/{run}/jobs"));
            let jobs = jobs["jobs"].as_array().cloned().unwrap_or_default();
            let failed = jobs.iter().find(|job| job["conclusion"] == "failure").expect("a job");
            asking.github(&format!("/repos/acme/api/actions/jobs/{}/logs", failed["id"]));
        },
    },
    Way {
        question: "which pull request touches src/session.rs",
        holds: &["\"filename\": \"src/session.rs\""],
        ask: |asking| {
            let pulls = asking.tool("list_pull_requests", api(json!({ "state": "open" })));
            for pull in pulls.as_array().expect("a list") {
                let number = json!({ "pull_number": pull["number"] });
                asking.tool("get_pull_request_files", api(number));
            }
        },
    },
    Way {
        question: "which open issues are about authentication, and who has them",
        holds: &["\"number\": 2841", "\"number\": 2853"],
        ask: |asking| {
            let labelled = json!({ "labels": ["auth"], "state": "open" });
            asking.tool("list_issues", api(labelled));
        },
    },
    Way {
        question: "what is new in the latest release",
        holds: &["TLS 1.1 is gone"],
        ask: |asking| drop(asking.github("/repos/acme/api/releases/latest")),
    },
    Way {
        question: "what does the code do on a refresh",
        holds: &["self.store(id, token);"],
        ask: |asking| {
            let query = json!({ "q": "repo:acme/api refresh", "per_page": 5 });
            let hits = asking.tool("search_code", query);
            for hit in hits["items"].as_array().expect("a list") {
                asking.tool("get_file_contents", api(json!({ "path": hit["path"] })));
            }
        },
    },
    Way {
        question: "which containers restarted, and why",
        holds: &["\"RestartCount\":2", "no database"],
        ask: |asking| {
            // The list does not say how often each was started again.
            let list = asking.engine("/containers/json?all=1");
            for container in list.as_array().expect("a list") {
                let name = container["Names"][0].as_str().unwrap_or_default();
                let state = asking.engine(&format!("/containers{name}/json"));
                if state["RestartCount"] != 0 {
                    asking.engine(&format!("/containers{name}/logs?stdout=1&stderr=1&tail=1"));
                }
            }
        },
    },
    Way {
        question: "which containers use the most memory",
        holds: &["\"memory_stats\"", "/task-api"],
        ask: |asking| {
            let list = asking.engine("/containers/json");
            for container in list.as_array().expect("a list") {
                let name = container["Names"][0].as_str().unwrap_or_default();
                asking.engine(&format!("/containers{name}/stats?stream=false&one-shot=true"));
            }
        },
    },
    Way {
        question: "which open issues are urgent or of high priority, and who has them",
        holds: &["ENG-199", "ENG-204"],
        ask: |asking| {
            asking.linear(
                "{ issues(filter: { team: { key: { eq: \"ENG\" } }, priority: { in: [1, 2] }, \
                 state: { type: { nin: [\"completed\", \"canceled\"] } } }) \
                 { nodes { identifier priorityLabel assignee { displayName } } } }",
            );
        },
    },
];
