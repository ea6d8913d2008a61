//! A mount over the answers that GitHub gave in one scenario of `@octokit/fixtures`.

use super::{Asked, check};
use omnifs_github::GitHub;
use omnifs_sdk::testing::{Mount, Recorded};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub const OWNER: &str = "octokit-fixture-org";
/// The id of every recorded repository.
pub const BY_ID: &str = "/repositories/1000";

/// Status, headers, body.
type Answer = (u16, Vec<(String, String)>, Vec<u8>);

pub struct Replay {
    pub mount: Mount<GitHub>,
    pub exchanges: Vec<Value>,
    /// By [`key`].
    answers: Rc<RefCell<BTreeMap<String, Answer>>>,
    asked: Rc<RefCell<Asked>>,
    /// `/repos/OWNER/NAME`, as the repository is called at the end.
    repo: String,
}

/// What tells recorded answers apart: the path, a repository's by its name, and the page.
fn key(repo: &str, path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.trim_end_matches('/');
    let path = match path.strip_prefix(BY_ID) {
        Some(rest) => format!("{repo}{rest}"),
        None => path.to_owned(),
    };
    let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")).unwrap_or("1");
    format!("{path} {page}")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The answer of an exchange, with this body.
fn answer(exchange: &Value, body: &Value) -> Answer {
    let headers = exchange["headers"].as_object().unwrap();
    let headers = headers.iter().map(|(name, value)| (name.clone(), text(value)));
    let status = u16::try_from(exchange["status"].as_u64().unwrap()).unwrap();
    (status, headers.collect(), text(body).into_bytes())
}

pub fn gets(exchanges: &Value) -> impl Iterator<Item = &Value> {
    exchanges.as_array().unwrap().iter().filter(|exchange| exchange["method"] == "get")
}

/// The path of the repository in an exchange, as it is answered or else asked for.
fn named(exchange: &Value) -> Option<String> {
    if let Some(name) = exchange["response"]["full_name"].as_str() {
        return Some(format!("/repos/{name}"));
    }
    let path = exchange["path"].as_str()?.split('/').take(4).collect::<Vec<_>>().join("/");
    (exchange["status"] == 200 && path.starts_with("/repos/")).then_some(path)
}

/// Nothing where recordings or description cannot be had, which is then said loudly.
pub fn replay(scenario: &str) -> Option<Replay> {
    check::github()?;
    let all = check::github_recordings()?;
    let first = |scenario: &str| gets(&all[scenario]).next().unwrap().clone();
    let repo = gets(&all[scenario]).find_map(named);
    let repo = repo.unwrap_or_else(|| format!("/repos/{OWNER}/{scenario}"));
    // Every scenario's repository belongs to the one account, and is like the one that was asked for.
    let (org, like) = (first("get-organization"), first("get-repository"));
    let mut body = like["response"].clone();
    body["full_name"] = json!(repo.trim_start_matches("/repos/"));
    body["name"] = json!(repo.rsplit('/').next());
    let mut answers = BTreeMap::from([
        (format!("/users/{OWNER}/repos 1"), answer(&org, &json!([]))),
        (format!("/users/{OWNER} 1"), answer(&org, &org["response"])),
        (format!("{repo} 1"), answer(&like, &body)),
    ]);
    for exchange in gets(&all[scenario]) {
        let key = key(&repo, exchange["path"].as_str().unwrap());
        answers.insert(key, answer(exchange, &exchange["response"]));
    }
    let missing = first("branch-protection");
    let missing = answer(&missing, &missing["response"]);
    assert_eq!(missing.0, 404);

    let answers = Rc::new(RefCell::new(answers));
    let asked = Rc::new(RefCell::new(Asked::default()));
    let (known, log, by_name) = (answers.clone(), asked.clone(), repo.clone());
    let upstream = Recorded::new().otherwise(move |line, _, _| {
        log.borrow_mut().note(line);
        let ask = |path: &str| known.borrow().get(&key(&by_name, path)).unwrap_or(&missing).clone();
        let first = ask(line.strip_prefix("GET ").unwrap());
        let location = first.1.iter().find(|(name, _)| name == "location");
        let Some((_, to)) = location else { return first };
        // The host follows a redirect, and says where it led.
        let path = to.strip_prefix("https://api.github.com").unwrap();
        let mut second = ask(path);
        second.1.push(("content-location".to_owned(), path.to_owned()));
        second
    });
    let exchanges = all[scenario].as_array().unwrap().clone();
    Some(Replay { mount: Mount::new(upstream), exchanges, answers, asked, repo })
}

impl Replay {
    /// The path in the mount of what is `below` the repository.
    pub fn at(&self, below: &str) -> String {
        format!("{}{below}", self.repo.trim_start_matches("/repos/"))
    }

    /// The last exchange of this method whose path ends so, the query aside.
    #[track_caller]
    pub fn exchange(&self, method: &str, end: &str) -> &Value {
        let ends = |path: &str| {
            let path = path.split('?').next().unwrap_or_default();
            path.trim_end_matches('/').ends_with(end)
        };
        let mut exchanges = self.exchanges.iter().rev();
        let found = exchanges.find(|e| e["method"] == method && ends(e["path"].as_str().unwrap()));
        found.unwrap_or_else(|| panic!("no {method} {end} was recorded"))
    }

    /// What was answered to it.
    #[track_caller]
    pub fn recorded(&self, method: &str, end: &str) -> &Value {
        &self.exchange(method, end)["response"]
    }

    /// From now on GitHub answers this below the repository: what was recorded, in another form.
    pub fn also(&self, below: &str, body: &Value) {
        let headers = vec![("date".to_owned(), "Tue, 10 Oct 2017 16:00:00 GMT".to_owned())];
        let key = key(&self.repo, &format!("{BY_ID}/{below}"));
        self.answers.borrow_mut().insert(key, (200, headers, text(body).into_bytes()));
    }

    pub fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.mount.read(path).unwrap()).unwrap()
    }

    /// Every request is one of GitHub's description.
    #[track_caller]
    pub fn assert_allowed(&self) {
        let refused = &self.asked.borrow().refused;
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }

    /// And nothing was dropped as odd.
    #[track_caller]
    pub fn assert_whole(&self) {
        self.assert_allowed();
        assert_eq!((self.mount.partials(), self.mount.log()), (vec![], vec![]));
    }
}
