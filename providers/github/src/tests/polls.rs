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

/// What the issues' other questions answer where nothing is asked of them: there is nothing.
fn nothing(upstream: Recorded) -> Recorded {
    upstream.otherwise(|line, _, _| {
        let body = match line {
            _ if line.contains("/actions/workflows") => r#"{"total_count": 0, "workflows": []}"#,
            _ if line.contains("/actions/runs") => r#"{"total_count": 0, "workflow_runs": []}"#,
            _ => "[]",
        };
        (200, vec![(DATE.0.to_owned(), DATE.1.to_owned())], body.into())
    })
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

/// A minute before `at`.
fn since(path: &str, at: &str) -> String {
    let ms = omnifs_sdk::time::rfc3339_ms(at).unwrap() - 60_000;
    let at = omnifs_sdk::time::rfc3339(ms);
    let state = if path.ends_with("issues") { "state=all&" } else { "" };
    let at = at.replace(':', "%3A");
    format!("GET {REPO}/{path}?{state}sort=updated&direction=asc&since={at}&per_page=100")
}

fn updated(mut item: Value, at: &str) -> Value {
    item["updated_at"] = json!(at);
    item
}

/// One poll after the other, each from where the last one was; what each said.
fn polls(mount: &Mount<GitHub>, scope: &str, cursor: &mut Option<String>) -> Vec<String> {
    let progress = mount.poll(&position(scope, cursor.as_deref())).unwrap();
    assert!(progress.resumed || cursor.is_none());
    assert!(progress.cursor.as_ref().is_some_and(|cursor| cursor.len() <= 4096));
    *cursor = progress.cursor.clone();
    words(&progress)
}

fn has(told: &[String], word: &str) {
    assert!(told.iter().any(|told| told == word), "{word} is not in {told:?}");
}

const START: &str = "2026-11-22T13:09:20Z";
const LATER: &str = "2026-11-22T13:30:00Z";
const LATER_DATE: (&str, &str) = ("date", "Sun, 22 Nov 2026 13:40:00 GMT");

#[test]
fn issues_and_comments_are_asked_for_from_a_little_before_their_marks_on() {
    let mut old_closed = updated(closed(3), LATER);
    old_closed["closed_at"] = json!(LATER);
    let changed = [updated(issue(1, 0), START), old_closed, updated(pull_among_issues(4), LATER)];
    let said = updated(comment(9, 1, "issues"), LATER);
    let upstream = nothing(acme())
        .answer(&since("issues", START), 200, &[LATER_DATE], list(changed.clone()))
        .answer(&since("issues/comments", START), 200, &[LATER_DATE], list([said.clone()]))
        .answer(&since("issues", LATER), 200, &[LATER_DATE], list(changed[1..].to_vec()))
        .answer(&since("issues/comments", LATER), 200, &[LATER_DATE], list([said]));
    let mount = mount(upstream);
    let mut cursor = None;
    let told = polls(&mount, "issues:7", &mut cursor);
    for word in [
        "changed issue/7/1",
        "changed issue/7/3",
        "children issue-list/7/open",
        "changed pull/7/4",
        "children comments/7/1",
        "changed comment/7/9",
    ] {
        has(&told, word);
    }
    assert_eq!(mount.requests().len(), 4);
    assert_eq!(polls(&mount, "issues:7", &mut cursor), [""; 0]);

    // One edited after the newest change, and one before it that shows only now.
    let edited = updated(issue(1, 0), "2026-11-22T13:31:00Z");
    let slow = updated(issue(2, 0), "2026-11-22T13:29:10Z");
    let shown = list([slow].into_iter().chain(changed[1..].iter().cloned()).chain([edited]));
    mount.upstream_changes(Recorded::new().answer(
        &since("issues", LATER),
        200,
        &[LATER_DATE],
        shown,
    ));
    let told = polls(&mount, "issues:7", &mut cursor);
    let wanted = [
        "changed issue/7/2",
        "changed index/7/issues",
        "children comments/7/2",
        "changed issue/7/1",
        "children comments/7/1",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_page_that_is_full_is_followed_by_time_and_not_by_number() {
    let at = |n: u64| format!("2026-11-22T13:{:02}:00Z", 9 + n / 60);
    let items: Vec<_> = (1..=150).map(|n| updated(issue(n, 0), &at(n))).collect();
    let last = at(100);
    let further = {
        let from = last.replace(':', "%3A");
        format!("GET {REPO}/issues?state=all&sort=updated&direction=asc&since={from}&per_page=100")
    };
    let upstream = nothing(acme())
        .answer(&since("issues", START), 200, &[HOUR_LATER], list(items[..100].to_vec()))
        .answer(&further, 200, &[HOUR_LATER], list(items[60..].to_vec()));
    let told = polls(&mount(upstream), "issues:7", &mut None);
    let changed = told.iter().filter(|told| told.starts_with("changed issue/"));
    assert_eq!(changed.count(), 150, "also where the full page comes without a link");
}

#[test]
fn an_event_tells_what_moves_no_issue_into_view() {
    let events = format!("GET {REPO}/issues/events?per_page=100");
    let event = |id: u64, name: &str, issue: Value| json!({"id": id, "event": name, "created_at": LATER, "issue": issue});
    let mount = mount(nothing(acme()));
    let mut cursor = None;
    polls(&mount, "issues:7", &mut cursor);
    let happened = |list: Vec<Value>| {
        let at = ("date", "Sun, 22 Nov 2026 13:31:00 GMT");
        Recorded::new().answer(&events, 200, &[at], Value::from(list).to_string())
    };
    let reopened = event(1, "reopened", issue(5, 0));
    mount.upstream_changes(happened(vec![reopened.clone()]));
    let told = polls(&mount, "issues:7", &mut cursor);
    has(&told, "changed issue/7/5");
    has(&told, "children issue-list/7/closed");
    assert_eq!(polls(&mount, "issues:7", &mut cursor), [""; 0]);
    let said = event(2, "comment_deleted", pull_among_issues(6));
    mount.upstream_changes(happened(vec![said, reopened, json!({"event": 7, "issue": null})]));
    let told = polls(&mount, "issues:7", &mut cursor);
    has(&told, "children pull-comments/7/6");
    assert!(!told.iter().any(|told| told.contains("list") || told.contains("/5")), "{told:?}");
}

#[test]
fn an_issue_that_is_gone_or_a_renamed_label_is_a_gap_within_three_polls() {
    let ask = |query: &str| format!("GET {REPO}/{query}");
    let newest = ask("issues?state=all&per_page=1&sort=created&direction=desc");
    let link = ("link", "<https://api.github.com/x?page=5>; rel=\"last\"");
    let third =
        |n: u64| ask(&format!("issues?state=all&per_page=1&sort=created&direction=asc&page={n}"));
    let labels = ask("labels?per_page=100");
    let label = |id: u64, name: &str| json!({"id": id, "name": name});
    let upstream = nothing(acme())
        .answer(&newest, 200, &[DATE, link], list([issue(9, 0)]))
        .answer(&third(5), 200, &[DATE], list([issue(9, 0)]))
        .answer(&labels, 200, &[DATE], list([label(1, "bug")]));
    let mount = mount(upstream);
    let mut cursor = None;
    let mut three =
        || -> Vec<String> { (0..3).flat_map(|_| polls(&mount, "issues:7", &mut cursor)).collect() };
    assert_eq!(three(), [""; 0]);
    assert_eq!(three(), [""; 0]);
    mount.upstream_changes(Recorded::new().answer(
        &labels,
        200,
        &[DATE],
        list([label(2, "new"), label(1, "bug")]),
    ));
    assert_eq!(three(), [""; 0], "nothing carries a label that is new");
    mount.upstream_changes(Recorded::new().answer(
        &labels,
        200,
        &[DATE],
        list([label(2, "new"), label(1, "defect")]),
    ));
    assert_eq!(three(), ["gap issues:7"]);
    assert_eq!(three(), [""; 0]);
    // The fifth by age is there no more; four are counted anew.
    let four = ("link", "<https://api.github.com/x?page=4>; rel=\"last\"");
    mount.upstream_changes(
        Recorded::new()
            .answer(&third(5), 200, &[DATE], "[]")
            .answer(&newest, 200, &[DATE, four], list([issue(9, 0)]))
            .answer(&third(4), 200, &[DATE], list([issue(9, 0)])),
    );
    assert_eq!(three(), ["gap issues:7"]);
    assert_eq!(three(), [""; 0]);
    // One is made: the fifth by age is the new one.
    let made = updated(issue(10, 0), "2026-11-22T13:09:30Z");
    mount.upstream_changes(
        Recorded::new()
            .answer(&since("issues", START), 200, &[LATER_DATE], list([made.clone()]))
            .answer(&since("issues", "2026-11-22T13:09:30Z"), 200, &[DATE], list([made]))
            .answer(&third(5), 200, &[DATE], list([issue(10, 0)])),
    );
    let told = three();
    has(&told, "children issue-list/7/open");
    assert!(!told.iter().any(|told| told.starts_with("gap")), "{told:?}");
}

#[test]
fn an_issue_that_has_become_a_pull_request_is_no_issue_any_more() {
    let upstream = acme().get(&format!("{REPO}/issues/4"), issue(4, 0).to_string());
    let mount = mount(nothing(upstream));
    mount.read("acme/api/_issues/_open/4/title").unwrap();
    let now = updated(pull_among_issues(4), START);
    mount.upstream_changes(
        Recorded::new()
            .answer(&since("issues", START), 200, &[DATE], list([now.clone()]))
            .get(&format!("{REPO}/issues/4"), now.to_string())
            .get(&format!("{REPO}/pulls/4"), pull(4).to_string()),
    );
    let told = polls(&mount, "issues:7", &mut None);
    has(&told, "removed issue/7/4");
    has(&told, "children pull-list/7/open");
    let read = mount.read("acme/api/_issues/_open/4/title");
    assert!(matches!(read, Err(omnifs_sdk::Error::NotFound)), "{read:?}");
    assert_eq!(mount.read("acme/api/_prs/_open/4/title").unwrap(), "Pull 4\n");
}

#[test]
fn where_issues_are_switched_off_pull_requests_stay_live() {
    let pulls = format!("GET {REPO}/pulls?state=all&sort=updated&direction=desc&per_page=100");
    let off = |name: &str| since(name, START);
    let upstream = nothing(acme())
        .answer(&off("issues"), 410, &[DATE], "{}")
        .answer(&off("issues/comments"), 410, &[DATE], "{}")
        .answer(&format!("GET {REPO}/issues?per_page=1"), 410, &[DATE], "{}")
        .answer(
            &format!("GET {REPO}/issues?state=all&per_page=1&sort=created&direction=desc"),
            410,
            &[DATE],
            "{}",
        )
        .answer(&pulls, 200, &[DATE], list([updated(pull(4), "2026-01-01T00:00:00Z")]));
    let mount = mount(upstream);
    let mut off = repository("api");
    off["has_issues"] = json!(false);
    mount.upstream_changes(Recorded::new().get(REPO, off.to_string()));
    let mut cursor = None;
    assert_eq!(polls(&mount, "issues:7", &mut cursor), [""; 0]);
    let news =
        list([updated(pull(5), "2026-11-22T13:09:20Z"), updated(pull(4), "2026-01-01T00:00:00Z")]);
    mount.upstream_changes(Recorded::new().answer(&pulls, 200, &[DATE], news));
    let told = polls(&mount, "issues:7", &mut cursor);
    has(&told, "changed pull/7/5");
    has(&told, "changed pull-comments/7/5");
    assert!(!told.iter().any(|told| told.contains("/4")), "{told:?}");
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
    let missing = nothing(Recorded::new())
        .answer(&format!("GET {REPO}/actions/runs?per_page=100"), 404, &[], "{}")
        .answer(&format!("GET {REPO}"), 404, &[], "{}");
    let mount = mount(missing);
    let gone = mount.poll(&position("actions:7", None)).unwrap();
    assert_eq!(words(&gone), ["removed repo/7", "gap actions:7"]);
    mount.upstream_changes(acme());
    assert!(mount.poll(&position("actions:7", None)).is_err());
}

#[test]
fn runs_that_moved_or_still_run_are_told_also_beyond_the_newest() {
    let run = |id: u64, status: &str, at: &str| json!({"id": id, "status": status, "workflow_id": 40, "created_at": at, "updated_at": at});
    let later = "2026-11-22T13:30:00Z";
    let runs = json!({"total_count": 5, "workflow_runs": [
        run(3, "completed", later),
        run(2, "in_progress", "2026-11-22T13:00:00Z"),
        run(1, "completed", "2026-11-22T13:00:00Z"),
    ]});
    let upstream = Recorded::new()
        .answer(&format!("GET {REPO}/actions/runs?per_page=100"), 200, &[DATE], runs.to_string())
        .get(
            &format!("{REPO}/actions/runs?per_page=100&status=queued"),
            json!({"workflow_runs": [run(0, "queued", START)]}).to_string(),
        );
    let mount = mount(nothing(upstream));
    let (mut cursor, page) = (None, format!("GET {REPO}/actions/runs?per_page=100"));
    let wanted =
        ["changed run/7/3", "changed jobs/7/3", "children runs/7", "children workflow-runs/7/40"];
    let told = polls(&mount, "actions:7", &mut cursor);
    wanted.iter().for_each(|word| has(&told, word));
    let going = ["changed run/7/0", "changed jobs/7/0", "changed run-index/7", "changed jobs/7/2"];
    assert_eq!(polls(&mount, "actions:7", &mut cursor), going);
    let queued = format!("{REPO}/actions/runs?per_page=100&status=queued");
    mount.upstream_changes(Recorded::new().get(&queued, r#"{"workflow_runs": []}"#));
    assert_eq!(polls(&mount, "actions:7", &mut cursor), going, "it ended");
    assert_eq!(polls(&mount, "actions:7", &mut cursor), ["changed jobs/7/2"]);
    let fewer = Recorded::new().answer(
        &page,
        200,
        &[DATE],
        json!({"total_count": 4, "workflow_runs": []}).to_string(),
    );
    mount.upstream_changes(fewer);
    has(&polls(&mount, "actions:7", &mut cursor), "gap actions:7");
}

#[test]
fn where_a_whole_page_of_runs_is_news_those_behind_it_may_be_too() {
    let page = |first: u64, at: &str| {
        let run = |id: u64| json!({"id": id, "status": "completed", "workflow_id": 40, "created_at": at, "updated_at": at});
        let runs: Vec<_> = (first..first + 100).rev().map(run).collect();
        let body = json!({"total_count": first + 99, "workflow_runs": runs}).to_string();
        let request = format!("GET {REPO}/actions/runs?per_page=100");
        Recorded::new().answer(&request, 200, &[LATER_DATE], body)
    };
    let mount = mount(nothing(page(1, "2026-11-22T13:00:00Z")));
    let mut cursor = None;
    assert_eq!(polls(&mount, "actions:7", &mut cursor), [""; 0], "from before the first fetch");
    mount.upstream_changes(page(51, LATER));
    has(&polls(&mount, "actions:7", &mut cursor), "gap actions:7");
    let told = polls(&mount, "actions:7", &mut cursor);
    assert_eq!(told, [""; 0], "said once");
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
    has(&second, "changed head/7");
    has(&second, "changed tree-of/7/refs%2Fheads%2Fmain");
    assert!(!second.contains(&"changed refs/7".to_owned()), "only what moved: {second:?}");

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
