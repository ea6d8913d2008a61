//! The GitHub twin against GitHub's own OpenAPI description.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use omnifs_descriptions as check;
use omnifs_twins::github::{IssueEdit, NewIssue, NewRelease, RepoShape, Write};
use omnifs_twins::{GithubSetup, GithubTwin};
use serde_json::{Value, json};
use support::openapi::{check_answer, check_webhook};
use support::{Reply, get, get_with};

fn shape(name: &str) -> RepoShape {
    RepoShape {
        owner: "acme".to_owned(),
        name: name.to_owned(),
        open_issues: 40,
        closed_issues: 10,
        pulls: 8,
        comments: 60,
        awkward: true,
    }
}

fn twin() -> GithubTwin {
    let setup = GithubSetup { repos: vec![shape("big")], ..GithubSetup::default() };
    GithubTwin::start(setup).unwrap()
}

#[track_caller]
fn expect(twin: &GithubTwin, path: &str, status: u16) -> Reply {
    let reply = get(twin.url(), path);
    assert_eq!(reply.status, status, "{path}: {}", String::from_utf8_lossy(&reply.body));
    let faults = check_answer("GET", path, &reply);
    assert!(faults.is_empty(), "{path}:\n{}", faults.join("\n"));
    reply
}

/// Every collection is followed to its end, and each entry that has an address of its own is asked
/// for by it.
#[test]
fn every_answer_satisfies_githubs_description() {
    let twin = twin();
    for path in [
        "/user",
        "/user/orgs",
        "/user/repos",
        "/user/repos?sort=pushed&direction=asc",
        "/users/mira",
        "/users/mira/repos",
        "/users/mira/orgs",
        "/users/acme",
        "/orgs/acme",
        "/orgs/acme/repos?sort=full_name&per_page=2",
        "/rate_limit",
        "/search/code?q=repo:acme/api+refresh+path:src",
        "/search/commits?q=repo:acme/api+token",
        "/search/repositories?q=acme",
    ] {
        expect(&twin, path, 200);
    }
    let mut asked = 0;
    for repo in ["/repos/acme/api", "/repos/acme/big", "/repos/mira/dotfiles"] {
        for path in [
            "",
            "/issues?state=all&per_page=100",
            "/issues?state=all&per_page=100&sort=updated&direction=asc",
            "/issues?since=2026-01-01T00:00:00Z&labels=bug",
            "/issues/comments?per_page=100&sort=updated&direction=desc",
            "/pulls?state=all&per_page=100&sort=updated&direction=desc",
            "/actions/workflows",
            "/actions/runs?per_page=100",
            "/actions/runs?status=failure&branch=main&event=push",
            "/releases?per_page=100",
            "/branches?per_page=100",
            "/tags?per_page=100",
            "/labels?per_page=100",
            "/milestones?per_page=100",
            "/commits?per_page=100",
            "/assignees",
            "/events?per_page=100",
            "/git/matching-refs/heads/",
            "/git/trees/main?recursive=1",
            "/git/trees/main",
            "/readme",
            "/contents/src",
            "/contents/README.md",
        ] {
            expect(&twin, &format!("{repo}{path}"), 200);
            asked += 1;
        }
        let entries = |path: &str, member: &str| -> Vec<Value> {
            let list = expect(&twin, &format!("{repo}{path}"), 200).json();
            let list = if member.is_empty() { list } else { list[member].clone() };
            list.as_array().unwrap().clone()
        };
        for issue in entries("/issues?state=all&per_page=100", "") {
            let number = &issue["number"];
            for rest in ["", "/comments?per_page=100", "/labels"] {
                expect(&twin, &format!("{repo}/issues/{number}{rest}"), 200);
                asked += 1;
            }
            if issue.get("pull_request").is_some() {
                for rest in ["", "/commits", "/files", "/reviews", "/comments"] {
                    expect(&twin, &format!("{repo}/pulls/{number}{rest}"), 200);
                    asked += 1;
                }
            }
        }
        for comment in entries("/issues/comments?per_page=100", "").iter().take(5) {
            expect(&twin, &format!("{repo}/issues/comments/{}", comment["id"]), 200);
        }
        for run in entries("/actions/runs?per_page=100", "workflow_runs") {
            let id = &run["id"];
            expect(&twin, &format!("{repo}/actions/runs/{id}"), 200);
            let logs = if run["status"] == "completed" { 302 } else { 404 };
            expect(&twin, &format!("{repo}/actions/runs/{id}/logs"), logs);
            for job in entries(&format!("/actions/runs/{id}/jobs"), "jobs") {
                expect(&twin, &format!("{repo}/actions/jobs/{}", job["id"]), 200);
                let logs = if job["status"] == "completed" { 302 } else { 404 };
                expect(&twin, &format!("{repo}/actions/jobs/{}/logs", job["id"]), logs);
                asked += 3;
            }
            let sha = run["head_sha"].as_str().unwrap();
            expect(&twin, &format!("{repo}/commits/{sha}/check-runs"), 200);
        }
        for workflow in entries("/actions/workflows", "workflows") {
            expect(&twin, &format!("{repo}/actions/workflows/{}", workflow["id"]), 200);
            expect(&twin, &format!("{repo}/actions/workflows/{}/runs", workflow["id"]), 200);
        }
        for release in entries("/releases?per_page=100", "") {
            let tag = release["tag_name"].as_str().unwrap();
            expect(&twin, &format!("{repo}/releases/tags/{tag}"), 200);
            expect(&twin, &format!("{repo}/releases/{}", release["id"]), 200);
            for asset in entries(&format!("/releases/{}/assets", release["id"]), "") {
                expect(&twin, &format!("{repo}/releases/assets/{}", asset["id"]), 200);
            }
        }
        for branch in entries("/branches", "") {
            let name = branch["name"].as_str().unwrap();
            expect(&twin, &format!("{repo}/branches/{}", name.replace('/', "%2F")), 200);
            expect(&twin, &format!("{repo}/git/ref/heads/{name}"), 200);
            let sha = branch["commit"]["sha"].as_str().unwrap();
            expect(&twin, &format!("{repo}/commits/{sha}"), 200);
            expect(&twin, &format!("{repo}/git/commits/{sha}"), 200);
        }
        let tree = expect(&twin, &format!("{repo}/git/trees/main?recursive=1"), 200).json();
        for entry in tree["tree"].as_array().unwrap() {
            let sha = entry["sha"].as_str().unwrap();
            match entry["type"].as_str().unwrap() {
                "blob" => expect(&twin, &format!("{repo}/git/blobs/{sha}"), 200),
                "tree" => expect(&twin, &format!("{repo}/git/trees/{sha}"), 200),
                _ => continue,
            };
            asked += 1;
        }
    }
    for path in ["/contents/docs/index.md", "/contents/vendor/client", "/contents/bin/deploy"] {
        expect(&twin, &format!("/repos/acme/api{path}"), 200);
    }
    assert!(asked > 300, "only {asked} answers were looked at");
}

#[test]
fn refusals_and_redirects_satisfy_it_too() {
    let twin = twin();
    let api = twin.url();
    for (path, status) in [
        ("/repos/acme/nothing", 404),
        ("/repos/acme/api/issues/1", 404),
        ("/repos/acme/api/issues?state=ajar", 422),
        ("/repos/acme/api/git/trees/main/x?recursive=1", 404),
        ("/orgs/mira", 404),
    ] {
        let reply = get(api, path);
        assert_eq!(reply.status, status, "{path}");
        if !path.contains("ajar") && !path.contains("main/x") {
            let faults = check_answer("GET", path, &reply);
            assert!(faults.is_empty(), "{path}: {faults:?}");
        }
    }
    twin.delete_issue("acme/api", 2849).unwrap();
    expect(&twin, "/repos/acme/api/issues/2849", 410);
    twin.transfer_issue("acme/api", 2846, "acme/infra").unwrap();
    expect(&twin, "/repos/acme/api/issues/2846", 301);
    twin.rename_repo("acme/website", "site").unwrap();
    expect(&twin, "/repos/acme/website", 301);
    twin.set_tokens(&["right"]);
    expect(&twin, "/user", 401);
    let path = "/repos/acme/api/issues/2853";
    let wrong = get_with(api, path, &[("Authorization", "Bearer wrong")]);
    assert_eq!((wrong.status, check_answer("GET", path, &wrong).len()), (401, 0));
    let right = [("Authorization", "token right")];
    let etag = get_with(api, path, &right).header("etag").unwrap().to_owned();
    let same = get_with(api, path, &[right[0], ("If-None-Match", &etag)]);
    assert_eq!((same.status, check_answer("GET", path, &same).len()), (304, 0));
    twin.set_rate_limit(5_000, 0);
    let spent = get_with(api, path, &right);
    assert_eq!((spent.status, check_answer("GET", path, &spent).len()), (403, 0));
}

#[test]
fn the_check_itself_finds_a_wrong_answer() {
    if check::github().is_none() {
        return;
    }
    let twin = twin();
    let path = "/repos/acme/api/issues/2853";
    let good = get(twin.url(), path);
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut value = good.json();
        change(&mut value);
        let reply = Reply { body: value.to_string().into_bytes(), ..good.clone() };
        check_answer("GET", path, &reply)
    };
    assert!(broken(&|_| {}).is_empty());
    assert!(!broken(&|v| v["number"] = json!("2853")).is_empty());
    assert!(!broken(&|v| v["created_at"] = json!("yesterday")).is_empty());
    assert!(!broken(&|v| v["titel"] = json!("x")).is_empty());
    assert!(!broken(&|v| _ = v.as_object_mut().unwrap().remove("user")).is_empty());
    assert!(
        !broken(&|v| v["user"] = Value::Null).is_empty()
            || broken(&|v| v["title"] = Value::Null).len() == 1
    );
    let odd = Reply { status: 418, ..good.clone() };
    assert!(!check_answer("GET", path, &odd).is_empty());
}

#[test]
fn requests_are_held_against_it_as_well() {
    if check::github().is_none() {
        return;
    }
    let good = |path: &str| check::check_github_request("GET", path).unwrap().unwrap();
    assert_eq!(good("/repos/acme/api/issues?state=all&per_page=100"), "issues/list-for-repo");
    assert_eq!(good("/repos/a/b/issues/comments?sort=updated"), "issues/list-comments-for-repo");
    assert_eq!(good("/repositories/17/issues/4"), "issues/get");
    assert_eq!(good("/repos/a/b/contents/a/deep/path.md?ref=main"), "repos/get-content");
    assert_eq!(good("/repos/a/b/git/ref/heads/topic/x"), "git/get-ref");
    for (method, path) in [
        ("GET", "/repos/acme/api/isues"),
        ("GET", "/repos/acme/api/issues/seven"),
        ("GET", "/repos/acme/api/issues?state=ajar"),
        ("GET", "/repos/acme/api/issues?per_page=101"),
        ("GET", "/repos/acme/api/issues?pages=2"),
        ("GET", "/repos/acme/api/issues?since=yesterday"),
        ("DELETE", "/repos/acme/api/issues"),
        ("GET", "/repos/acme/api/git/refs/heads/main"),
    ] {
        let refused = check::check_github_request(method, path);
        assert!(refused.is_err(), "{method} {path} was let through");
    }
}

#[test]
fn every_webhook_satisfies_it() {
    let twin = twin();
    let api = "acme/api";
    twin.hold_webhooks(true);
    let new =
        NewIssue { title: "New".to_owned(), body: Some("Body".into()), ..NewIssue::default() };
    let number = twin.open_issue(api, new).unwrap();
    twin.retitle(api, number, "Newer").unwrap();
    twin.edit_body(api, number, Some("Longer body")).unwrap();
    twin.set_labels(api, number, &["bug"]).unwrap();
    twin.set_labels(api, number, &[]).unwrap();
    twin.assign(api, number, &["mira"]).unwrap();
    twin.assign(api, number, &[]).unwrap();
    twin.edit_issue(api, number, &IssueEdit { milestone: Some(Some(1)), ..Default::default() })
        .unwrap();
    twin.close(api, number).unwrap();
    twin.reopen(api, number).unwrap();
    let comment = twin.add_comment(api, number, "lars", "First").unwrap();
    twin.edit_comment(api, comment, "Second").unwrap();
    twin.delete_comment(api, comment).unwrap();
    twin.transfer_issue(api, number, "acme/infra").unwrap();
    twin.delete_issue(api, 2849).unwrap();
    let sha = twin.push(api, "new/branch", &[("a.txt", Write::File(b"a"))], "Add a").unwrap();
    let pull = twin.open_pull(api, "Merge me", "new/branch", "main").unwrap();
    twin.push(api, "new/branch", &[("b.txt", Write::File(b"b"))], "Add b").unwrap();
    twin.review(api, pull, "lars", "APPROVED", "Good").unwrap();
    twin.merge(api, pull).unwrap();
    twin.set_ref(api, "refs/tags/t1", &sha).unwrap();
    twin.delete_ref(api, "refs/heads/new/branch").unwrap();
    let release = NewRelease { tag: "v9".to_owned(), name: "Nine".into(), ..Default::default() };
    let release = twin.publish_release(api, release).unwrap();
    twin.edit_release(api, release, "Notes").unwrap();
    twin.delete_release(api, release).unwrap();
    let run = twin.start_run(api, "main", &["build"]).unwrap();
    twin.progress_run(api, run, "in_progress", None).unwrap();
    twin.progress_run(api, run, "completed", Some("success")).unwrap();
    twin.create_repo(&RepoShape::issues("acme", "fresh", 1, 0), 3).unwrap();
    twin.describe_repo("acme/fresh", "Fresh").unwrap();
    twin.rename_repo("acme/fresh", "stale").unwrap();
    twin.transfer_repo("acme/stale", "acme-labs").unwrap();
    twin.delete_repo("acme-labs/stale").unwrap();
    let held = twin.take_webhooks();
    assert!(held.len() > 35, "only {} webhooks", held.len());
    let mut all = Vec::new();
    for delivery in &held {
        let payload: Value = serde_json::from_slice(&delivery.body).unwrap();
        all.extend(check_webhook(&delivery.event, &payload));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    // The same changes have filled the events listing with every kind of entry.
    let reply = expect(&twin, "/repos/acme/api/events?per_page=100", 200);
    assert!(reply.json().as_array().unwrap().len() > 10);
}
