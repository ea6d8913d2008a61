//! What polls say.

use super::*;
use omnifs_sdk::events::Change;
use omnifs_sdk::{Position, Progress};

const DATE: (&str, &str) = ("date", "Sun, 22 Nov 2026 13:09:20 GMT");
const HOUR_LATER: (&str, &str) = ("date", "Sun, 22 Nov 2026 14:09:20 GMT");

fn position(scope: &str, cursor: Option<&str>) -> Position {
    Position {
        feed: "x".into(),
        scope: scope.into(),
        cursor: cursor.map(str::to_owned),
        since: 1_795_352_960,
    }
}

fn words(progress: &Progress) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Invalidated(id) => format!("changed {id}"),
        Change::Removed(id) => format!("removed {id}"),
        Change::ChildrenChanged(id) => format!("children {id}"),
        Change::Gap(scope) => format!("gap {scope}"),
    };
    progress.changes.0.iter().map(word).collect()
}

fn since(path: &str, at: &str) -> String {
    let state = if path.ends_with("issues") { "state=all&" } else { "" };
    let at = at.replace(':', "%3A");
    format!("GET {REPO}/{path}?{state}sort=updated&direction=asc&since={at}&per_page=100")
}

fn updated(mut item: Value, at: &str) -> Value {
    item["updated_at"] = json!(at);
    item
}

#[test]
fn issues_and_comments_are_asked_for_from_their_marks_on() {
    let (start, later) = ("2026-11-22T13:09:20Z", "2026-11-22T13:30:00Z");
    let mut old_closed = updated(closed(3), later);
    old_closed["closed_at"] = json!(later);
    let changed = [updated(issue(1, 0), start), old_closed, updated(pull_among_issues(4), later)];
    let said = updated(comment(9, 1, "issues"), later);
    let upstream = acme()
        .answer(&since("issues", start), 200, &[DATE], list(changed.clone()))
        .answer(&since("issues/comments", start), 200, &[DATE], list([said.clone()]))
        .answer(&since("issues", later), 200, &[DATE], list(changed[1..].to_vec()))
        .answer(&since("issues/comments", later), 200, &[DATE], list([said]));
    let mount = mount(upstream);
    let first = mount.poll(&position("issues:7", None)).unwrap();
    assert!(!first.resumed);
    let told = words(&first);
    for word in [
        "changed issue/7/1",
        "changed issue/7/3",
        "children issue-list/7/open",
        "changed pull/7/4",
        "children comments/7/1",
        "changed comment/7/9",
    ] {
        assert!(told.iter().any(|told| told == word), "{word} is not in {told:?}");
    }
    assert_eq!(mount.requests().len(), 2);

    let second = mount.poll(&position("issues:7", first.cursor.as_deref())).unwrap();
    assert_eq!(words(&second), [""; 0]);
    assert_eq!(second.cursor, first.cursor);
    assert!(second.resumed);

    // Edited, neither new nor closed since.
    let edited = updated(issue(1, 0), "2026-11-22T13:31:00Z");
    let list = list(changed[1..].iter().cloned().chain([edited]));
    mount.upstream_changes(Recorded::new().answer(&since("issues", later), 200, &[DATE], list));
    let third = mount.poll(&position("issues:7", second.cursor.as_deref())).unwrap();
    assert_eq!(words(&third), ["changed issue/7/1", "children comments/7/1"]);
}

#[test]
fn a_page_that_is_full_is_followed_by_time_and_not_by_number() {
    let at = |n: u64| format!("2026-11-22T13:{:02}:00Z", 9 + n);
    let link = ("link", "<https://api.github.com/x?page=2>; rel=\"next\"");
    let upstream = acme()
        .answer(
            &since("issues", "2026-11-22T13:09:20Z"),
            200,
            &[DATE, link],
            list([updated(issue(1, 0), &at(1)), updated(issue(2, 0), &at(2))]),
        )
        .answer(
            &since("issues", &at(2)),
            200,
            &[DATE],
            list([updated(issue(2, 0), &at(2)), updated(issue(3, 0), &at(3))]),
        )
        .answer(&since("issues/comments", "2026-11-22T13:09:20Z"), 200, &[DATE], "[]");
    let mount = mount(upstream);
    let told = words(&mount.poll(&position("issues:7", None)).unwrap());
    for word in ["changed issue/7/1", "changed issue/7/2", "changed issue/7/3"] {
        assert!(told.iter().any(|told| told == word), "{word} is not in {told:?}");
    }
}

#[test]
fn once_an_hour_what_no_query_shows_is_taken_for_missed() {
    let repo = repository("api").to_string();
    let quiet = Recorded::new().answer(&format!("GET {REPO}"), 200, &[DATE], repo.clone());
    let mount = mount(quiet);
    let first = mount.poll(&position("repo:7", None)).unwrap();
    let second = mount.poll(&position("repo:7", first.cursor.as_deref())).unwrap();
    assert_eq!(words(&second), [""; 0]);
    mount.upstream_changes(Recorded::new().answer(
        &format!("GET {REPO}"),
        200,
        &[HOUR_LATER],
        repo,
    ));
    let third = mount.poll(&position("repo:7", second.cursor.as_deref())).unwrap();
    assert_eq!(words(&third), ["gap repo:7"]);
    let fourth = mount.poll(&position("repo:7", third.cursor.as_deref())).unwrap();
    assert_eq!(words(&fourth), [""; 0]);
}

#[test]
fn a_repository_that_is_gone_is_removed_and_one_that_only_lacks_runs_is_not() {
    let missing = Recorded::new()
        .answer(&format!("GET {REPO}/actions/runs?per_page=100"), 404, &[], "{}")
        .answer(&format!("GET {REPO}"), 404, &[], "{}");
    let mount = mount(missing);
    let gone = mount.poll(&position("actions:7", None)).unwrap();
    assert_eq!(words(&gone), ["removed repo/7", "gap actions:7"]);
    mount.upstream_changes(acme());
    assert!(mount.poll(&position("actions:7", None)).is_err());
}

#[test]
fn runs_that_moved_or_still_run_are_told() {
    let run = |id: u64, status: &str, at: &str| json!({"id": id, "status": status, "workflow_id": 40, "created_at": at, "updated_at": at});
    let later = "2026-11-22T13:30:00Z";
    let runs = json!({"workflow_runs": [
        run(3, "completed", later),
        run(2, "in_progress", "2026-11-22T13:00:00Z"),
        run(1, "completed", "2026-11-22T13:00:00Z"),
    ]});
    let upstream = Recorded::new()
        .answer(&format!("GET {REPO}/actions/runs?per_page=100"), 200, &[DATE], runs.to_string())
        .get(&format!("{REPO}/actions/workflows?per_page=100"), r#"{"workflows": []}"#);
    let mount = mount(upstream);
    let first = mount.poll(&position("actions:7", None)).unwrap();
    let wanted = [
        "changed run/7/3",
        "changed jobs/7/3",
        "children runs/7",
        "children workflow-runs/7/40",
        "changed jobs/7/2",
    ];
    assert_eq!(words(&first), wanted);
    let second = mount.poll(&position("actions:7", first.cursor.as_deref())).unwrap();
    assert_eq!(words(&second), ["changed jobs/7/2"]);
}

#[test]
fn moved_refs_and_renamed_repositories_show_in_the_next_poll() {
    let refs = |sha: &str| {
        let branch = json!({"name": "main", "commit": {"sha": sha}});
        Recorded::new()
            .answer(&format!("GET {REPO}"), 200, &[DATE], repository("api").to_string())
            .get(&format!("{REPO}/branches?per_page=100"), list([branch]))
            .get(&format!("{REPO}/tags?per_page=100"), "[]")
    };
    let mount = mount(refs("c1"));
    let first = mount.poll(&position("refs:7", None)).unwrap();
    assert_eq!(words(&first), [""; 0]);
    mount.upstream_changes(refs("c2"));
    let second = words(&mount.poll(&position("refs:7", first.cursor.as_deref())).unwrap());
    assert!(second.contains(&"changed head/7".to_owned()), "{second:?}");
    assert!(second.contains(&"changed refs/7".to_owned()), "{second:?}");

    let path = "GET /orgs/acme/repos?sort=updated&per_page=100";
    let owner = |name: &str| Recorded::new().answer(path, 200, &[DATE], list([repository(name)]));
    mount.upstream_changes(owner("api"));
    let first = mount.poll(&position("owner:org/acme", None)).unwrap();
    mount.upstream_changes(owner("renamed"));
    let second = mount.poll(&position("owner:org/acme", first.cursor.as_deref())).unwrap();
    assert_eq!(words(&second), ["children org/acme"]);
}

#[test]
fn githubs_own_interval_is_passed_on_and_a_failed_poll_is_no_news() {
    let interval = ("x-poll-interval", "75");
    let repo = repository("api").to_string();
    let upstream = Recorded::new().answer(&format!("GET {REPO}"), 200, &[DATE, interval], repo);
    let mount = mount(upstream);
    assert_eq!(mount.poll(&position("repo:7", None)).unwrap().wait, Some(75));
    let limited = [("retry-after", "60")];
    let upstream = Recorded::new().answer(&format!("GET {REPO}"), 429, &limited, "{}");
    mount.upstream_changes(upstream);
    let failed = mount.poll(&position("repo:7", None));
    assert!(matches!(failed, Err(omnifs_sdk::Error::RateLimited(Some(60)))), "{failed:?}");
}
