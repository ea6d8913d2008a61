//! What deliveries say.

use super::*;
use omnifs_sdk::events::Change;
use omnifs_sdk::{Delivery, Result};

fn deliver(event: &str, mut payload: Value) -> Result<Vec<String>> {
    if payload.get("repository").is_none() {
        let owner = json!({"login": "acme", "type": "Organization"});
        payload["repository"] = json!({"id": 7, "owner": owner, "default_branch": "main"});
    }
    let delivery = Delivery::new("webhooks", &[("x-github-event", event)], payload.to_string());
    let changes = mount(Recorded::new()).deliver(&delivery)?;
    let word = |change: Change| match change {
        Change::Invalidated(id) => format!("changed {id}"),
        Change::Removed(id) => format!("removed {id}"),
        Change::ChildrenChanged(id) => format!("children {id}"),
        Change::Gap(scope) => format!("gap {scope}"),
    };
    Ok(changes.0.into_iter().map(word).collect())
}

#[test]
fn every_event_names_what_it_changed() {
    let issue = json!({"number": 1});
    let pull = json!({"number": 4});
    let on_pull = json!({"number": 4, "pull_request": {"url": "x"}});
    let cases: &[(&str, Value, &[&str])] = &[
        (
            "issues",
            json!({"action": "edited", "issue": issue}),
            &["changed issue/7/1", "changed index/7/issues"],
        ),
        (
            "issues",
            json!({"action": "closed", "issue": issue}),
            &[
                "changed issue/7/1",
                "changed index/7/issues",
                "children issue-list/7/open",
                "children issue-list/7/closed",
                "children issues/7",
            ],
        ),
        (
            "issues",
            json!({"action": "transferred", "issue": issue, "changes": {"new_repository": {"id": 8}}}),
            &[
                "removed issue/7/1",
                "changed index/7/issues",
                "children issue-list/7/open",
                "children issue-list/7/closed",
                "children issue-list/7/all",
                "children issues/7",
                "changed index/8/issues",
                "children issue-list/8/open",
                "children issue-list/8/all",
                "children issues/8",
            ],
        ),
        (
            "issue_comment",
            json!({"action": "created", "issue": issue, "comment": {"id": 9}}),
            &["changed issue/7/1", "changed index/7/issues", "children comments/7/1"],
        ),
        (
            "issue_comment",
            json!({"action": "deleted", "issue": on_pull, "comment": {"id": 9}}),
            &[
                "changed pull/7/4",
                "changed index/7/pulls",
                "changed recent/7/issues",
                "removed comment/7/9",
                "children pull-comments/7/4",
            ],
        ),
        (
            "pull_request",
            json!({"action": "synchronize", "pull_request": pull}),
            &["changed pull/7/4", "changed index/7/pulls", "changed recent/7/issues"],
        ),
        (
            "pull_request_review",
            json!({"action": "submitted", "pull_request": pull, "review": {"id": 3}}),
            &[
                "changed pull/7/4",
                "changed index/7/pulls",
                "changed recent/7/issues",
                "changed reviews/7/4",
                "changed review/7/4/3",
            ],
        ),
        (
            "workflow_run",
            json!({"action": "completed", "workflow_run": {"id": 5, "workflow_id": 40}}),
            &[
                "changed run/7/5",
                "changed jobs/7/5",
                "changed run-index/7",
                "children runs/7",
                "children workflow-runs/7/40",
            ],
        ),
        (
            "workflow_job",
            json!({"action": "queued", "workflow_job": {"id": 6, "run_id": 5}}),
            &["changed run/7/5", "changed jobs/7/5", "changed run-index/7"],
        ),
        (
            "push",
            json!({"ref": "refs/heads/feature/x"}),
            &[
                "changed branch/7/feature%2Fx",
                "changed repo-json/7",
                "changed tree-of/7/feature%2Fx",
                "changed tree-of/7/heads%2Ffeature%2Fx",
                "changed tree-of/7/refs%2Fheads%2Ffeature%2Fx",
            ],
        ),
        (
            "create",
            json!({"ref": "v1", "ref_type": "tag"}),
            &[
                "changed tag/7/v1",
                "changed repo-json/7",
                "changed tree-of/7/v1",
                "changed tree-of/7/tags%2Fv1",
                "changed tree-of/7/refs%2Ftags%2Fv1",
                "children tags/7",
                "children trees/7",
            ],
        ),
        (
            "release",
            json!({"action": "edited", "release": {"id": 2}}),
            &[
                "children releases/7",
                "children assets/7/2",
                "changed latest-release/7",
                "changed release/7/2",
            ],
        ),
        ("label", json!({"action": "edited", "label": {"name": "bug"}}), &["gap issues:7"]),
        ("label", json!({"action": "created"}), &[]),
        ("milestone", json!({"action": "deleted"}), &["gap issues:7"]),
        ("ping", json!({"zen": "x"}), &[]),
        ("deployment", json!({}), &[]),
    ];
    for (event, payload, wanted) in cases {
        assert_eq!(deliver(event, payload.clone()).unwrap(), *wanted, "{event} {payload}");
    }
}

#[test]
fn a_push_to_the_default_branch_moves_the_tree_that_shows_it() {
    let told = deliver("push", json!({"ref": "refs/heads/main"})).unwrap();
    let trees = ["HEAD", "main", "heads%2Fmain", "refs%2Fheads%2Fmain"];
    let trees = trees.map(|name| format!("changed tree-of/7/{name}"));
    let others = ["changed head/7", "changed readme/7", "changed workflows/7"];
    for word in others.into_iter().chain(trees.iter().map(String::as_str)) {
        assert!(told.iter().any(|told| told == word), "{word} is not in {told:?}");
    }
}

#[test]
fn a_transferred_repository_leaves_one_account_and_joins_another() {
    let changes = json!({"owner": {"from": {"user": {"login": "mira"}}}});
    let told = deliver("repository", json!({"action": "transferred", "changes": changes})).unwrap();
    for word in ["gap issues:7", "gap refs:7", "children user/mira", "children org/acme"] {
        assert!(told.iter().any(|told| told == word), "{word} is not in {told:?}");
    }
    let told = deliver("repository", json!({"action": "deleted"})).unwrap();
    assert_eq!(told[0], "removed repo/7");
}

#[test]
fn a_known_event_without_its_subject_is_refused() {
    for event in ["issues", "issue_comment", "pull_request", "push", "release", "workflow_run"] {
        assert!(deliver(event, json!({"action": "edited"})).is_err(), "{event}");
    }
    let garbled = Delivery::new("webhooks", &[("x-github-event", "issues")], "{");
    assert!(mount(Recorded::new()).deliver(&garbled).is_err());
}

#[test]
fn a_delivery_reaches_what_was_read_before() {
    let upstream = acme().get(&format!("{REPO}/issues/1"), issue(1, 0).to_string());
    let mount = mount(upstream);
    let title = "acme/api/_issues/_open/1/title";
    assert_eq!(mount.read(title).unwrap(), "Issue 1\n");
    let mut retitled = issue(1, 0);
    retitled["title"] = json!("New");
    mount.upstream_changes(Recorded::new().get(&format!("{REPO}/issues/1"), retitled.to_string()));
    assert_eq!(mount.read(title).unwrap(), "Issue 1\n");
    let payload = json!({
        "action": "edited", "issue": {"number": 1},
        "repository": {"id": 7, "owner": {"login": "acme"}},
    });
    let edited = Delivery::new("webhooks", &[("x-github-event", "issues")], payload.to_string());
    mount.deliver(&edited).unwrap();
    mount.requests();
    assert_eq!(mount.read(title).unwrap(), "New\n");
    assert_eq!(mount.requests().len(), 1);
}

/// GitHub's own examples, of every event that this provider may be sent.
#[test]
fn githubs_own_examples_are_understood() {
    let Some(events) = omnifs_descriptions::webhook_examples() else { return };
    let mut silent = std::collections::BTreeSet::new();
    let mut told = std::collections::BTreeSet::new();
    let mut count = 0;
    for event in events.as_array().unwrap() {
        let name = event["name"].as_str().unwrap();
        for example in event["examples"].as_array().unwrap() {
            let headers = [("x-github-event", name)];
            let delivery = Delivery::new("webhooks", &headers, example.to_string());
            let changes = mount(Recorded::new()).deliver(&delivery);
            let changes = changes.unwrap_or_else(|error| panic!("{name}: {error:?}: {example}"));
            let event = format!("{name} {}", example["action"].as_str().unwrap_or(""));
            if changes.0.is_empty() {
                silent.insert(event);
            } else {
                told.insert(event);
            }
            count += 1;
        }
    }
    assert!(count > 50, "only {count} examples");
    // Whatever their action is.
    let always = ["issue", "pull_request", "workflow_run", "workflow_job", "push", "release"];
    let missed = silent.iter().find(|event| always.iter().any(|name| event.starts_with(name)));
    assert_eq!(missed, None, "changed nothing");
    let events = [
        "create ",
        "delete ",
        "issue_comment created",
        "issues edited",
        "label deleted",
        "milestone deleted",
        "pull_request synchronize",
        "pull_request_review submitted",
        "pull_request_review_comment created",
        "push ",
        "release published",
        "repository renamed",
        "repository transferred",
        "workflow_job completed",
        "workflow_run completed",
    ];
    for event in events {
        assert!(told.contains(event), "{event} changed nothing, or has no example");
    }
    eprintln!("{count} examples; without effect: {silent:?}");
}
