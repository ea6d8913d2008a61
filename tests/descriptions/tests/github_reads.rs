//! What a reader of the GitHub twin meets: pages, validators, limits, redirects, git objects.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use omnifs_twins::github::{RepoShape, Write};
use omnifs_twins::{GithubTwin, awkward_titles, credential_hash};
use serde_json::Value;
use support::{Reply, get, get_with, send};

fn pages(twin: &GithubTwin, path: &str) -> (usize, Vec<Value>) {
    let (mut asked, mut entries) = (0, Vec::new());
    let mut next = Some(format!("{}{path}", twin.url()));
    while let Some(url) = next {
        let reply = send("GET", &url, &[], b"").unwrap();
        assert_eq!(reply.status, 200, "{url}");
        entries.extend(reply.json().as_array().unwrap().iter().cloned());
        next = reply.link("next");
        asked += 1;
    }
    (asked, entries)
}

#[test]
fn three_thousand_issues_and_two_thousand_comments_take_thirty_and_twenty_pages() {
    let twin = GithubTwin::with_repo(RepoShape::issues("acme", "big", 3_000, 2_000)).unwrap();
    let (asked, issues) = pages(&twin, "/repos/acme/big/issues?state=open&per_page=100");
    assert_eq!((asked, issues.len()), (30, 3_000));
    let numbers: Vec<u64> = issues.iter().map(|i| i["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b), "newest first, each once");
    let (asked, comments) = pages(&twin, "/repos/acme/big/issues/comments?per_page=100");
    assert_eq!((asked, comments.len()), (20, 2_000));
    let counted: u64 = issues.iter().map(|i| i["comments"].as_u64().unwrap()).sum();
    assert_eq!(counted, 2_000);
    assert!(issues.iter().filter(|i| i["comments"] == 0).count() >= 1_500);
    assert_eq!(twin.counts().all, 50);
}

#[test]
fn fifty_thousand_issues_are_there_at_once() {
    let twin = GithubTwin::with_repo(RepoShape::issues("acme", "huge", 50_000, 0)).unwrap();
    let one = get(twin.url(), "/repos/acme/huge/issues/49999").json();
    assert_eq!(one["number"], 49_999);
    let page = get(twin.url(), "/repos/acme/huge/issues?per_page=100");
    assert_eq!(page.json().as_array().unwrap().len(), 100);
    assert!(page.link("last").unwrap().ends_with("page=500"));
    let again = GithubTwin::with_repo(RepoShape::issues("acme", "huge", 50_000, 0)).unwrap();
    let same = get(again.url(), "/repos/acme/huge/issues/49999").json();
    assert_eq!(
        (&one["title"], &one["body"]),
        (&same["title"], &same["body"]),
        "one seed, one text"
    );
}

#[test]
fn links_name_the_repository_by_id_and_keep_the_query() {
    let twin = GithubTwin::with_repo(RepoShape::issues("acme", "big", 250, 0)).unwrap();
    let id = twin.repo_id("acme/big").unwrap();
    let second = get(twin.url(), "/repos/acme/big/issues?state=all&per_page=100&page=2");
    let at = |n| format!("{}/repositories/{id}/issues?state=all&per_page=100&page={n}", twin.url());
    assert_eq!(second.link("next"), Some(at(3)));
    assert_eq!(second.link("last"), Some(at(3)));
    assert_eq!(second.link("prev"), Some(at(1)));
    assert_eq!(second.link("first"), Some(at(1)));
    let third = send("GET", &at(3), &[], b"").unwrap();
    assert_eq!(third.json().as_array().unwrap().len(), 50);
    assert_eq!(third.link("next"), None);
    let whole = get(twin.url(), "/repos/acme/big/issues?per_page=1000&page=1");
    assert_eq!(whole.json().as_array().unwrap().len(), 100, "a page is at most 100");
    let beyond = get(twin.url(), "/repos/acme/big/issues?page=99");
    assert_eq!(beyond.json(), Value::Array(vec![]));
}

#[test]
fn issue_listings_hold_pull_requests_and_obey_state_since_and_sort() {
    let twin = GithubTwin::demo().unwrap();
    let list = |query: &str| -> Vec<u64> {
        let reply = get(twin.url(), &format!("/repos/acme/api/issues?per_page=100{query}"));
        let entries = reply.json();
        entries.as_array().unwrap().iter().map(|i| i["number"].as_u64().unwrap()).collect()
    };
    let (open, closed, all) = (list("&state=open"), list("&state=closed"), list("&state=all"));
    assert!(open.contains(&2853) && open.contains(&2860), "a pull request is an issue");
    assert!(!open.contains(&2830) && closed.contains(&2830));
    assert_eq!(open.len() + closed.len(), all.len());
    assert_eq!(list(""), open);
    twin.clock().advance(Duration::from_secs(60));
    twin.retitle("acme/api", 2827, "Dark mode").unwrap();
    let now = twin.value(&format!("issue:{}/2827", twin.repo_id("acme/api").unwrap())).unwrap();
    let since = now["updated_at"].as_str().unwrap();
    assert_eq!(list(&format!("&state=all&since={since}")), [2827], "since includes its moment");
    assert_eq!(list("&state=all&sort=updated")[0], 2827);
    assert_eq!(list("&state=all&sort=created&direction=asc")[0], 2815);
    assert_eq!(list("&labels=bug,auth"), [2860, 2853]);
    let pull = get(twin.url(), "/repos/acme/api/issues/2860").json();
    assert!(pull["pull_request"]["url"].as_str().unwrap().ends_with("/pulls/2860"));
}

#[test]
fn an_unchanged_answer_is_304_and_costs_nothing() {
    let twin = GithubTwin::demo().unwrap();
    for path in [
        "/repos/acme/api/issues/2853",
        "/repos/acme/api/issues?state=open",
        "/repos/acme/api/git/trees/main?recursive=1",
        "/repos/acme/api/events",
    ] {
        let first = get(twin.url(), path);
        let etag = first.header("etag").unwrap().to_owned();
        assert!(etag.starts_with("W/\""));
        let left = first.number("x-ratelimit-remaining");
        let again = get_with(twin.url(), path, &[("If-None-Match", &etag)]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), Some(etag.as_str()));
        assert_eq!(again.number("x-ratelimit-remaining"), left, "a 304 is free");
        let strong = [("If-None-Match", etag.trim_start_matches("W/"))];
        assert_eq!(get_with(twin.url(), path, &strong).status, 304);
    }
    let path = "/repos/acme/api/issues/2853";
    let first = get(twin.url(), path);
    let etag = first.header("etag").unwrap().to_owned();
    let date = first.header("last-modified").unwrap().to_owned();
    assert_eq!(get_with(twin.url(), path, &[("If-Modified-Since", &date)]).status, 304);
    twin.retitle("acme/api", 2853, "Another title").unwrap();
    let changed = get_with(twin.url(), path, &[("If-None-Match", &etag)]);
    assert_eq!((changed.status, &changed.json()["title"]), (200, &"Another title".into()));
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    assert_eq!(twin.counts().not_modified, 9);
}

#[test]
fn the_budget_is_told_spent_and_given_back_at_its_reset() {
    let twin = GithubTwin::demo().unwrap();
    let path = "/repos/acme/api/issues/2853";
    let reply = get(twin.url(), path);
    assert_eq!(reply.number("x-ratelimit-limit"), 5_000);
    assert_eq!(reply.number("x-ratelimit-remaining"), 4_999);
    assert_eq!(reply.number("x-ratelimit-used"), 1);
    assert_eq!(reply.header("x-ratelimit-resource"), Some("core"));
    twin.set_rate_limit(5_000, 1);
    assert_eq!(get(twin.url(), path).status, 200);
    let spent = get(twin.url(), path);
    assert_eq!((spent.status, spent.number("x-ratelimit-remaining")), (403, 0));
    assert!(spent.json()["message"].as_str().unwrap().contains("rate limit exceeded"));
    assert_eq!(get(twin.url(), "/rate_limit").json()["rate"]["remaining"], 0, "asking is free");
    twin.clock().advance(Duration::from_secs(3_601));
    assert_eq!(get(twin.url(), path).status, 200);
}

#[test]
fn credentials_are_told_apart_and_never_shown() {
    let twin = GithubTwin::demo().unwrap();
    twin.set_tokens(&["ghp_right"]);
    let ask = |value: &str| get_with(twin.url(), "/user", &[("Authorization", value)]);
    assert_eq!(ask("Bearer ghp_right").json()["login"], "mira");
    assert_eq!(ask("token ghp_right").status, 200);
    assert_eq!(ask("Bearer ghp_wrong").json()["message"], "Bad credentials");
    assert_eq!(get(twin.url(), "/user").status, 401);
    let seen: Vec<_> = twin.requests().into_iter().map(|r| r.credential).collect();
    let (right, wrong) = (credential_hash("ghp_right"), credential_hash("ghp_wrong"));
    assert_eq!(seen, [Some(right.clone()), Some(right), Some(wrong), None]);
    assert!(!format!("{:?}", twin.requests()).contains("ghp_"));
    assert_eq!(get_with(twin.url(), "/user", &[("User-Agent", "")]).status, 403);
    let version = [("Authorization", "token ghp_right"), ("X-GitHub-Api-Version", "1999-01-01")];
    assert_eq!(get_with(twin.url(), "/user", &version).status, 400);
}

#[test]
fn a_renamed_repository_redirects_by_id_until_its_name_is_taken() {
    let twin = GithubTwin::demo().unwrap();
    let id = twin.repo_id("acme/api").unwrap();
    twin.rename_repo("acme/api", "server").unwrap();
    let old = get(twin.url(), "/repos/acme/api/issues?state=all&page=1");
    assert_eq!(old.status, 301);
    let location = old.header("location").unwrap().to_owned();
    assert_eq!(location, format!("{}/repositories/{id}/issues?state=all&page=1", twin.url()));
    assert_eq!(send("GET", &location, &[], b"").unwrap().status, 200);
    assert_eq!(get(twin.url(), "/repos/acme/server").json()["id"], id);
    assert_eq!(get(twin.url(), &format!("/repositories/{id}")).json()["name"], "server");
    twin.transfer_repo("acme/server", "acme-labs").unwrap();
    assert_eq!(get(twin.url(), "/repos/acme/server").status, 301);
    assert_eq!(get(twin.url(), "/repos/acme-labs/server").json()["id"], id);
    twin.create_repo(&RepoShape::issues("acme", "api", 1, 0), 9).unwrap();
    let fresh = get(twin.url(), "/repos/acme/api");
    assert_eq!(fresh.status, 200);
    assert_ne!(fresh.json()["id"], id);
}

#[test]
fn deleted_and_transferred_issues_answer_410_and_301() {
    let twin = GithubTwin::demo().unwrap();
    twin.delete_issue("acme/api", 2849).unwrap();
    for rest in ["", "/comments"] {
        assert_eq!(get(twin.url(), &format!("/repos/acme/api/issues/2849{rest}")).status, 410);
    }
    let number = twin.transfer_issue("acme/api", 2853, "acme/infra").unwrap();
    let moved = get(twin.url(), "/repos/acme/api/issues/2853");
    assert_eq!(moved.status, 301);
    let there = send("GET", moved.header("location").unwrap(), &[], b"").unwrap().json();
    assert_eq!(
        (&there["number"], &there["title"]),
        (&number.into(), &"Login fails after token refresh".into())
    );
    let comments = get(twin.url(), &format!("/repos/acme/infra/issues/{number}/comments"));
    assert_eq!(comments.json().as_array().unwrap().len(), 2);
    let list = get(twin.url(), "/repos/acme/api/issues?state=all&per_page=100").json();
    let left =
        list.as_array().unwrap().iter().filter(|i| i["number"] == 2853 || i["number"] == 2849);
    assert_eq!(left.count(), 0);
}

#[test]
fn logs_and_assets_lie_on_another_host_that_refuses_credentials() {
    let twin = GithubTwin::demo().unwrap();
    let run = "/repos/acme/api/actions/runs/9801";
    assert_eq!(get(twin.url(), run).json()["conclusion"], "failure");
    let jobs = get(twin.url(), &format!("{run}/jobs")).json();
    let failed = jobs["jobs"].as_array().unwrap().iter().find(|j| j["conclusion"] == "failure");
    let id = &failed.unwrap()["id"];
    let reply = get(twin.url(), &format!("/repos/acme/api/actions/jobs/{id}/logs"));
    let location = reply.header("location").unwrap().to_owned();
    assert!(reply.status == 302 && location.starts_with(twin.storage_url()));
    assert_ne!(twin.url(), twin.storage_url());
    let log = send("GET", &location, &[], b"").unwrap();
    assert!(log.text().contains("##[error]Process completed with exit code 1."));
    let told = send("GET", &location, &[("Authorization", "Bearer x")], b"").unwrap();
    assert_eq!(told.status, 400, "a credential must not follow a redirect");
    let unsigned = location.split('?').next().unwrap();
    assert_eq!(send("GET", unsigned, &[], b"").unwrap().status, 403);
    let archive = get(twin.url(), &format!("{run}/logs"));
    let zip = send("GET", archive.header("location").unwrap(), &[], b"").unwrap();
    assert_eq!((zip.header("content-type"), &zip.body[..2]), (Some("application/zip"), &b"PK"[..]));
    let running = get(twin.url(), "/repos/acme/api/actions/runs/9802/logs");
    assert_eq!(running.status, 404, "the archive is there when the run has ended");
    let release = get(twin.url(), "/repos/acme/api/releases/tags/v1.8.0").json();
    let asset = &release["assets"][0];
    let path = format!("/repos/acme/api/releases/assets/{}", asset["id"]);
    let reply = get_with(twin.url(), &path, &[("Accept", "application/octet-stream")]);
    let content = send("GET", reply.header("location").unwrap(), &[], b"").unwrap();
    assert_eq!(asset["size"], content.body.len());
    let servers: Vec<_> = twin.requests().into_iter().map(|r| r.server).collect();
    assert_eq!(servers.iter().filter(|s| **s == "storage").count(), 5);
}

#[test]
fn a_tree_gives_names_modes_sizes_and_blobs_by_their_hash() {
    let twin = GithubTwin::demo().unwrap();
    let api = "/repos/acme/api";
    let tree = get(twin.url(), &format!("{api}/git/trees/main?recursive=1")).json();
    assert_eq!(tree["truncated"], false);
    let find = |path: &str| -> Value {
        let mut all = tree["tree"].as_array().unwrap().iter();
        all.find(|entry| entry["path"] == path).unwrap().clone()
    };
    assert_eq!(find("bin/deploy")["mode"], "100755");
    assert_eq!(find("docs/index.md")["mode"], "120000");
    assert_eq!(find("docs")["type"], "tree");
    assert_eq!(find("vendor/client")["type"], "commit");
    assert_eq!(find("empty")["size"], 0);
    assert_eq!(find("empty")["sha"], "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    let logo = find("docs/logo.png");
    let path = format!("{api}/git/blobs/{}", logo["sha"].as_str().unwrap());
    let raw = get_with(twin.url(), &path, &[("Accept", "application/vnd.github.raw+json")]);
    assert_eq!(logo["size"], raw.body.len());
    assert!(raw.body.starts_with(b"\x89PNG"));
    assert_eq!(get(twin.url(), &path).json()["encoding"], "base64");
    twin.set_tree_limit("acme/api", 5).unwrap();
    let cut = get(twin.url(), &format!("{api}/git/trees/main?recursive=1")).json();
    assert_eq!((&cut["truncated"], cut["tree"].as_array().unwrap().len()), (&true.into(), 5));
    let top = get(twin.url(), &format!("{api}/git/trees/main")).json();
    assert_eq!(top["truncated"], false, "one folder at a time is never cut");
    let readme =
        get_with(twin.url(), &format!("{api}/readme"), &[("Accept", "application/vnd.github.raw")]);
    assert!(readme.text().starts_with("# api\n"));
}

#[test]
fn a_diff_turns_the_base_into_the_head() {
    let twin = GithubTwin::demo().unwrap();
    let text: String = (0..40).map(|n| format!("line {n}\n")).collect();
    let changed = text.replace("line 20\n", "line twenty\nand a half\n");
    twin.push("acme/api", "main", &[("long.txt", Write::File(text.as_bytes()))], "Long").unwrap();
    let writes = [
        ("long.txt", Write::File(changed.as_bytes())),
        ("tool", Write::Executable(b"#!/bin/sh\n")),
        ("Makefile", Write::Delete),
        ("no-end", Write::File(b"no line end")),
    ];
    twin.push("acme/api", "edit", &writes, "Edit\n\nWith a reason.").unwrap();
    let number = twin.open_pull("acme/api", "Edit", "edit", "main").unwrap();
    let path = format!("/repos/acme/api/pulls/{number}");
    let ask = |media: &str| -> Reply {
        get_with(twin.url(), &path, &[("Accept", &format!("application/vnd.github.{media}"))])
    };
    let diff = ask("diff");
    assert!(diff.header("content-type").unwrap().starts_with("application/vnd.github.diff"));
    let diff = diff.text();
    assert!(diff.contains("@@ -18,7 +18,8 @@\n line 17\n"), "{diff}");
    assert!(diff.contains("\n-line 20\n+line twenty\n+and a half\n line 21\n"));
    assert!(diff.contains("deleted file mode 100644") && diff.contains("new file mode 100755"));
    assert!(diff.contains("+no line end\n\\ No newline at end of file\n"));
    let patch = ask("v3.patch").text();
    assert!(patch.starts_with("From ") && patch.contains("\nSubject: [PATCH] Edit\n"));
    assert!(patch.contains("With a reason.") && patch.trim_end().ends_with(diff.trim_end()));
    let full = ask("json").json();
    assert_eq!((&full["commits"], &full["changed_files"]), (&1.into(), &4.into()));
    let files = get(twin.url(), &format!("{path}/files")).json();
    let sum: u64 = files.as_array().unwrap().iter().map(|f| f["additions"].as_u64().unwrap()).sum();
    assert_eq!(full["additions"], sum);
}

#[test]
fn awkward_titles_come_through_byte_for_byte() {
    let shape = RepoShape { awkward: true, ..RepoShape::issues("acme", "odd", 40, 0) };
    let twin = GithubTwin::with_repo(shape).unwrap();
    let list = get(twin.url(), "/repos/acme/odd/issues?per_page=100").json();
    let served: Vec<&str> =
        list.as_array().unwrap().iter().map(|i| i["title"].as_str().unwrap()).collect();
    for title in awkward_titles() {
        assert!(served.contains(&title.as_str()), "{title:?}");
    }
}

#[test]
fn nothing_can_be_written_over_http() {
    let twin = GithubTwin::demo().unwrap();
    for method in ["POST", "PATCH", "PUT", "DELETE"] {
        let url = format!("{}/repos/acme/api/issues/2853", twin.url());
        assert_eq!(send(method, &url, &[], b"{}").unwrap().status, 404);
    }
    assert_eq!(twin.sequence(), 0);
}
