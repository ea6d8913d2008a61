//! The provider over recorded exchanges: what it shows, and how many requests that takes.

mod code;
mod polls;
mod refusals;
mod runs;
mod threads;
mod views;
mod webhooks;

use crate::GitHub;
use omnifs_sdk::testing::{Mount, Recorded};
use serde_json::{Value, json};

const REPO: &str = "/repositories/7";

fn mount(upstream: Recorded) -> Mount<GitHub> {
    Mount::new(upstream)
}

/// The organization `acme` with the repository `api`, whose id is 7.
fn acme() -> Recorded {
    Recorded::new()
        // Not among the newest of its account.
        .get("/users/acme/repos?sort=pushed&per_page=30", list([other_repository("web")]))
        .get("/repos/acme/api", repository("api").to_string())
        .get(REPO, repository("api").to_string())
}

fn repository(name: &str) -> Value {
    json!({
        "id": 7, "name": name, "full_name": format!("acme/{name}"), "owner": {"login": "acme", "type": "Organization"},
        "default_branch": "main", "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "pushed_at": "2026-01-01T00:00:00Z",
        "temp_clone_token": "a-secret",
    })
}

fn other_repository(name: &str) -> Value {
    let mut other = repository(name);
    other["id"] = json!(8);
    other
}

fn issue(number: u64, comments: u64) -> Value {
    let page = format!("https://github.com/acme/api/issues/{number}");
    json!({
        "id": 100_000 + number, "number": number, "title": format!("Issue {number}"),
        "body": "Text\r\nwithout an end", "state": "open", "user": {"login": "mira"},
        "assignees": [{"login": "jun"}, {"login": "lars"}], "labels": [{"name": "bug"}, "auth"],
        "milestone": {"title": "1.0", "open_issues": 3, "closed_issues": 1, "updated_at": "x"},
        "comments": comments, "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-03T00:00:00Z", "closed_at": null, "closed_by": null,
        "html_url": page, "reactions": {"+1": 4}, "state_reason": null,
    })
}

fn closed(number: u64) -> Value {
    let mut issue = issue(number, 0);
    issue["state"] = json!("closed");
    issue["closed_at"] = json!("2026-01-04T00:00:00Z");
    issue
}

/// As a listing of issues shows a pull request.
fn pull_among_issues(number: u64) -> Value {
    let mut issue = issue(number, 0);
    issue["pull_request"] = json!({"url": "x"});
    issue
}

/// As a listing of pull requests shows it.
fn pull(number: u64) -> Value {
    let page = format!("https://github.com/acme/api/pull/{number}");
    json!({
        "id": 200_000 + number, "number": number, "title": format!("Pull {number}"),
        "body": null, "state": "open", "user": null, "assignees": [], "labels": [],
        "milestone": null, "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-03T00:00:00Z", "closed_at": null, "merged_at": null,
        "html_url": page, "draft": true, "merge_commit_sha": "moves", "url": "api-url",
        "issue_url": "issue-url",
        "base": {"ref": "main", "sha": "aa", "repo": {"id": 7}},
        "head": {"ref": "fix/it", "sha": "bb", "repo": null},
    })
}

fn comment(id: u64, number: u64, page: &str) -> Value {
    json!({
        "id": id, "body": format!("Comment {id}\n"), "user": {"login": "jun"},
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
        "html_url": format!("https://github.com/acme/api/{page}/{number}#issuecomment-{id}"),
        "issue_url": format!("https://api.github.com/repos/acme/api/issues/{number}"),
    })
}

fn list(items: impl IntoIterator<Item = Value>) -> String {
    Value::Array(items.into_iter().collect()).to_string()
}

/// One page of a listing that wraps its items.
fn pages_of(upstream: Recorded, path: &str, member: &str, items: &[Value]) -> Recorded {
    let body = json!({ "total_count": items.len(), member: items });
    upstream.get(&format!("{path}?per_page=100"), body.to_string())
}

/// Pages of up to 100 `items` at `path?query`, linked as GitHub links them.
fn pages(mut upstream: Recorded, path: &str, query: &str, items: &[Value]) -> Recorded {
    let pages: Vec<_> = items.chunks(100).collect();
    let last = pages.len().max(1);
    for page in 1..=last {
        let shown = if page == 1 { query.to_owned() } else { format!("{query}&page={page}") };
        let link = |page: usize, relation: &str| {
            format!("<https://api.github.com{path}?{query}&page={page}>; rel=\"{relation}\"")
        };
        let links = format!("{}, {}", link(page + 1, "next"), link(last, "last"));
        let headers = [("link", links.as_str())];
        let headers = if page == last { &[][..] } else { &headers[..] };
        let body = list(pages.get(page - 1).into_iter().copied().flatten().cloned());
        upstream = upstream.answer(&format!("GET {path}?{shown}"), 200, headers, body);
    }
    upstream
}
