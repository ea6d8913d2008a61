//! Changes to the twins' data: history, events, webhooks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use omnifs_twins::github::{NewIssue, RepoShape, Write};
use omnifs_twins::linear::IssueEdit;
use omnifs_twins::{GithubTwin, LinearTwin, TwinError, github_signature, linear_signature};
use serde_json::{Value, json};
use support::{eventually, get, graphql, receiver};

#[test]
fn every_value_of_an_issue_is_kept_with_the_change_that_made_it() {
    let twin = GithubTwin::demo().unwrap();
    let issue = format!("issue:{}/2853", twin.repo_id("acme/api").unwrap());
    let first = twin.value(&issue).unwrap();
    assert_eq!(twin.versions(&issue).len(), 1);
    twin.retitle("acme/api", 2853, "Two").unwrap();
    let after_two = twin.sequence();
    twin.close("acme/api", 2853).unwrap();
    twin.delete_issue("acme/api", 2853).unwrap();
    let titles = |from, to| -> Vec<Option<Value>> {
        let values = twin.values_between(&issue, from, to);
        values.into_iter().map(|v| v.map(|v| json!([v["title"], v["state"]]))).collect()
    };
    assert_eq!(titles(0, 0), [Some(json!([first["title"], "open"]))]);
    assert_eq!(titles(after_two, after_two), [Some(json!(["Two", "open"]))]);
    let all = twin.versions(&issue);
    assert_eq!(all.len(), 4);
    assert!(all[3].value.is_none() && all.is_sorted_by_key(|version| version.sequence));
    assert_eq!(titles(after_two, twin.sequence()).len(), 3);
    assert_eq!(twin.value(&issue), None);
}

#[test]
fn what_a_change_says_is_what_the_next_read_shows() {
    let twin = GithubTwin::demo().unwrap();
    let api = "acme/api";
    let id = twin.repo_id(api).unwrap();
    let new = NewIssue { title: "Fresh".to_owned(), author: "lars".into(), ..NewIssue::default() };
    let number = twin.open_issue(api, new).unwrap();
    let comment = twin.add_comment(api, number, "sofia", "Hello").unwrap();
    twin.set_labels(api, number, &["auth"]).unwrap();
    twin.assign(api, number, &["deniz"]).unwrap();
    let read = get(twin.url(), &format!("/repos/{api}/issues/{number}")).json();
    let value = twin.value(&format!("issue:{id}/{number}")).unwrap();
    for (field, shown) in [
        ("title", &read["title"]),
        ("state", &read["state"]),
        ("author", &read["user"]["login"]),
        ("comments", &read["comments"]),
        ("updated_at", &read["updated_at"]),
    ] {
        assert_eq!(&value[field], shown, "{field}");
    }
    assert_eq!(read["labels"][0]["name"], "auth");
    assert_eq!(read["assignee"]["login"], "deniz");
    assert_eq!(twin.comment_ids(api, number), [comment]);
    twin.delete_comment(api, comment).unwrap();
    assert_eq!(get(twin.url(), &format!("/repos/{api}/issues/comments/{comment}")).status, 404);
    let sha = twin.push(api, "main", &[("new.txt", Write::File(b"new"))], "New").unwrap();
    assert_eq!(twin.value(&format!("ref:{id}/refs/heads/main")), Some(json!(sha)));
    let branch = get(twin.url(), &format!("/repos/{api}/branches/main")).json();
    assert_eq!(branch["commit"]["sha"], sha);
    let run = twin.start_run(api, "main", &["build", "test"]).unwrap();
    twin.append_log(api, run, "build", "compiling\n").unwrap();
    twin.progress_run(api, run, "completed", Some("success")).unwrap();
    let read = get(twin.url(), &format!("/repos/{api}/actions/runs/{run}")).json();
    assert_eq!((&read["status"], &read["conclusion"]), (&json!("completed"), &json!("success")));
    twin.rerun(api, run).unwrap();
    let read = get(twin.url(), &format!("/repos/{api}/actions/runs/{run}")).json();
    assert_eq!((&read["status"], &read["run_attempt"]), (&json!("queued"), &json!(2)));
}

#[test]
fn a_change_to_what_is_not_there_is_refused_and_leaves_no_trace() {
    let twin = GithubTwin::demo().unwrap();
    let refused = twin.retitle("acme/api", 1, "x").unwrap_err();
    assert_eq!(refused, TwinError::Missing("issue 1".to_owned()));
    assert!(twin.retitle("acme/none", 1, "x").is_err());
    assert!(twin.rename_repo("acme/api", "website").is_err());
    assert!(twin.merge("acme/api", 2853).is_err());
    assert_eq!(twin.sequence(), 0);
    let twin = LinearTwin::demo().unwrap();
    assert!(twin.set_state("ENG-204", "Nowhere").is_err());
    assert_eq!(twin.sequence(), 0);
}

#[test]
fn events_appear_newest_first_and_can_be_held_back() {
    let twin = GithubTwin::demo().unwrap();
    let path = "/repos/acme/api/events";
    let kinds = || -> Vec<String> {
        let list = get(twin.url(), path).json();
        let kind = |e: &Value| {
            let action = e["payload"]["action"].as_str().unwrap_or_default();
            format!("{} {action}", e["type"].as_str().unwrap())
        };
        list.as_array().unwrap().iter().map(kind).collect()
    };
    assert_eq!(get(twin.url(), path).header("x-poll-interval"), Some("60"));
    twin.close("acme/api", 2853).unwrap();
    twin.add_comment("acme/api", 2853, "lars", "Why?").unwrap();
    assert_eq!(kinds(), ["IssueCommentEvent created", "IssuesEvent closed"]);
    twin.retitle("acme/api", 2853, "Not shown").unwrap();
    assert_eq!(kinds().len(), 2, "the service's listing does not tell of edits");
    twin.set_edit_events(true);
    twin.retitle("acme/api", 2853, "Shown").unwrap();
    assert_eq!(kinds()[0], "IssuesEvent edited");
    twin.hold_events(true);
    twin.reopen("acme/api", 2853).unwrap();
    assert_eq!(kinds()[0], "IssuesEvent edited");
    twin.hold_events(false);
    assert_eq!(kinds()[0], "IssuesEvent reopened");
    for _ in 0..200 {
        twin.close("acme/api", 2853).unwrap();
        twin.reopen("acme/api", 2853).unwrap();
    }
    let last = get(twin.url(), &format!("{path}?per_page=100")).link("last").unwrap();
    assert!(last.ends_with("page=3"), "the service keeps 300: {last}");
}

#[test]
fn webhooks_are_signed_and_come_in_order() {
    let (url, deliveries) = receiver();
    let github = GithubTwin::demo().unwrap();
    github.set_webhook(&url, "s3cret").unwrap();
    github.retitle("acme/api", 2853, "Hooked").unwrap();
    github.push("acme/api", "main", &[("a", Write::File(b"a"))], "a").unwrap();
    let wait = Duration::from_secs(60);
    let (head, body) = deliveries.recv_timeout(wait).unwrap();
    assert!(head.contains("X-GitHub-Event: issues\r\n") && head.contains("X-GitHub-Delivery: "));
    let signature = github_signature("s3cret", &body);
    assert!(head.contains(&format!("X-Hub-Signature-256: {signature}")));
    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(payload["changes"]["title"]["from"], "Login fails after token refresh");
    assert_eq!(payload["repository"]["full_name"], "acme/api");
    assert!(deliveries.recv_timeout(wait).unwrap().0.contains("X-GitHub-Event: push\r\n"));
    eventually("both are accounted for", || github.webhook_outcomes().len() == 2);
    assert!(github.webhook_outcomes().iter().all(|outcome| outcome.status == Ok(204)));

    let linear = LinearTwin::demo().unwrap();
    linear.set_webhook(&url, "other").unwrap();
    linear.set_priority("ENG-204", 1).unwrap();
    let (head, body) = deliveries.recv_timeout(wait).unwrap();
    assert!(head.contains("Linear-Event: Issue\r\n"));
    assert!(head.contains(&format!("Linear-Signature: {}", linear_signature("other", &body))));
    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&payload["action"], &payload["type"]), (&json!("update"), &json!("Issue")));
    assert_eq!(payload["updatedFrom"]["priority"], 2);
    assert_eq!(payload["data"]["identifier"], "ENG-204");
    let age = payload["webhookTimestamp"].as_i64().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    assert!((now - age).abs() < 300_000, "epoch milliseconds");
}

#[test]
fn held_webhooks_can_be_dropped_doubled_and_tampered_with() {
    let (url, deliveries) = receiver();
    let twin = GithubTwin::demo().unwrap();
    twin.set_webhook(&url, "s").unwrap();
    twin.hold_webhooks(true);
    twin.close("acme/api", 2853).unwrap();
    twin.reopen("acme/api", 2853).unwrap();
    let mut held = twin.take_webhooks();
    assert_eq!(held.len(), 2);
    held.remove(0);
    let mut bad = held[0].clone();
    bad.body.push(b' ');
    twin.send_webhook(held[0].clone());
    twin.send_webhook(held[0].clone());
    twin.send_webhook(bad);
    let all: Vec<_> =
        (0..3).map(|_| deliveries.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    assert_eq!(all[0], all[1], "a replay is the same to the byte");
    let signed = |(head, body): &(String, Vec<u8>)| head.contains(&github_signature("s", body));
    assert_eq!([signed(&all[0]), signed(&all[1]), signed(&all[2])], [true, true, false]);
    assert!(all[0].1.windows(10).any(|w| w == b"\"reopened\""));
}

#[test]
fn a_receiver_that_is_gone_is_told_of() {
    let twin = GithubTwin::demo().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    twin.set_webhook(&format!("http://127.0.0.1:{port}/hook"), "s").unwrap();
    twin.close("acme/api", 2853).unwrap();
    eventually("the failure is kept", || twin.webhook_outcomes().len() == 1);
    assert!(twin.webhook_outcomes()[0].status.is_err());
    assert!(twin.set_webhook("https://127.0.0.1/", "s").is_err());
}

#[test]
fn linear_changes_are_kept_and_served() {
    let twin = LinearTwin::demo().unwrap();
    let id = twin.issue_id("ENG-204").unwrap();
    let object = format!("issue:{id}");
    twin.set_state("ENG-204", "Done").unwrap();
    let edit = IssueEdit {
        labels: Some(vec!["Bug".to_owned()]),
        assignee: Some(None),
        cycle: Some(Some(13)),
        ..IssueEdit::default()
    };
    twin.edit_issue("ENG-204", &edit).unwrap();
    let moved = twin.move_issue("ENG-204", "OPS").unwrap();
    assert_eq!(moved, "OPS-18");
    let query = "query($id: String!) { issue(id: $id) { id identifier previousIdentifiers
                 state { name type } assignee { id } labels { nodes { name } } completedAt } }";
    for name in ["ENG-204", "OPS-18", id.as_str()] {
        let issue = graphql(twin.url(), query, json!({"id": name})).json()["data"]["issue"].clone();
        assert_eq!((&issue["id"], &issue["identifier"]), (&json!(id), &json!("OPS-18")));
        assert_eq!(issue["state"], json!({"name": "Done", "type": "completed"}));
        assert_eq!(issue["previousIdentifiers"], json!(["ENG-204"]));
        assert_eq!(issue["assignee"], Value::Null);
        assert_eq!(issue["labels"]["nodes"], json!([{"name": "Bug"}]));
        assert!(issue["completedAt"].is_string());
    }
    let states: Vec<_> = twin.versions(&object).into_iter().map(|v| v.value.unwrap()).collect();
    assert_eq!(states.len(), 4);
    assert_eq!(
        (&states[0]["state"], &states[3]["identifier"]),
        (&json!("In Progress"), &json!("OPS-18"))
    );
    let comment = twin.add_comment("OPS-18", "lars", "Moved?").unwrap();
    twin.edit_comment(&comment, "Moved!").unwrap();
    assert_eq!(twin.value(&format!("comment:{comment}")).unwrap()["body"], "Moved!");
    twin.delete_issue("OPS-18").unwrap();
    assert_eq!(twin.value(&object), None);
    assert_eq!(twin.value(&format!("comment:{comment}")), None);
    let gone = graphql(twin.url(), query, json!({"id": id})).json();
    assert_eq!(gone["data"], Value::Null);
    assert!(gone["errors"][0]["message"].as_str().unwrap().contains("Entity not found"));
}

#[test]
fn ten_thousand_changes_take_little_time() {
    let twin = GithubTwin::with_repo(RepoShape::issues("acme", "big", 1_000, 500)).unwrap();
    let began = std::time::Instant::now();
    for round in 0..10_000_u64 {
        let number = 1 + round % 1_000;
        twin.retitle("acme/big", number, &format!("Round {round}")).unwrap();
    }
    assert_eq!(twin.sequence(), 10_000);
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}
