//! The table of SEMANTICS.md: which change of which object is proven by what, over the Linear twin.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use omnifs_linear::{ISSUES, OBJECTS};
use omnifs_sdk::events::Change;
use omnifs_sdk::{Error, Progress};
use omnifs_twins::linear::NewIssue;
use std::time::Duration;
use support::{Feed, Mounted, demo};

const ISSUE: &str = "teams/ENG/issues/_all/ENG-204";
const OPEN: &str = "teams/ENG/issues/_open";

/// What is shown at a path, a directory's names one a line; nothing where there is no such path.
fn shown(linear: &Mounted, path: &str) -> Option<String> {
    let found = match linear.mount.stat(path) {
        Ok(node) if matches!(node.kind, omnifs_sdk::Kind::Directory) => {
            linear.mount.list(path).map(|names| names.join("\n"))
        }
        Ok(_) => linear.mount.read(path),
        Err(error) => Err(error),
    };
    match found {
        Ok(text) => Some(text),
        Err(Error::NotFound) => None,
        Err(error) => panic!("{path}: {error:?}"),
    }
}

/// Everything read once and both feeds at rest; then `change`, and the feeds' next poll.
fn after(path: &str, change: impl FnOnce(&Mounted)) -> (Option<String>, Option<String>, bool) {
    let linear = demo();
    let mut feeds = [Feed::new(ISSUES), Feed::new(OBJECTS)];
    feeds.iter_mut().for_each(|feed| drop(feed.poll(&linear)));
    linear.mount.read_all("teams").unwrap();
    linear.mount.read_all("users").unwrap();
    linear.mount.read_all("projects").unwrap();
    linear.twin.clock().advance(Duration::from_secs(30));
    let before = shown(&linear, path);
    linear.asked();
    assert_eq!(shown(&linear, path), before);
    change(&linear);
    let polls = feeds.map(|mut feed| feed.poll(&linear));
    let gap = |progress: &Progress| progress.changes.0.iter().any(|c| matches!(c, Change::Gap(_)));
    (before, shown(&linear, path), polls.iter().any(gap))
}

/// One row: what is done, a path that shows it, and a part of what is shown then; nothing where the
/// path leads nowhere any more. Told by name, and not by a gap.
type Row = (&'static str, fn(&Mounted), &'static str, Option<&'static str>);

#[test]
fn what_the_next_poll_tells_by_name_shows_then_and_nothing_else_is_asked_for() {
    let rows: [Row; 14] = [
        ("an issue's title", |l| l.twin.retitle(&id(l), "Anew").unwrap(), "/title", Some("Anew")),
        ("its state", |l| l.twin.set_state(&id(l), "Done").unwrap(), "/state", Some("Done")),
        ("it is archived", |l| l.twin.archive_issue(&id(l)).unwrap(), "/updated", Some("20")),
        ("into the trash", |l| l.twin.trash_issue(&id(l)).unwrap(), "/title", None),
        ("another team", |l| _ = l.twin.move_issue(&id(l), "OPS").unwrap(), "/title", None),
        (
            "an edit that shows late, with a time from before another one",
            |l| {
                l.twin.retitle_late("ENG-204", "Late", Duration::from_secs(2)).unwrap();
            },
            "/title",
            Some("Late"),
        ),
        (
            "a comment",
            |l| _ = l.twin.add_comment("ENG-204", "jun", "More").unwrap(),
            "/comments",
            Some(".md"),
        ),
        (
            "an edited comment",
            |l| l.twin.edit_comment(&l.twin.comment_ids("ENG-204")[0], "Edited").unwrap(),
            "/comments",
            Some(".md"),
        ),
        (
            "a state's name",
            |l| l.twin.rename_state("ENG", "In Progress", "Under way").unwrap(),
            "/state",
            Some("Under way"),
        ),
        (
            "a label's",
            |l| l.twin.rename_label("auth", "sign-in").unwrap(),
            "/labels",
            Some("sign-in"),
        ),
        ("a person's", |l| l.twin.rename_user("priya", "pri").unwrap(), "/assignee", Some("pri\n")),
        (
            "a person's, on a comment",
            |l| l.twin.rename_user("jun", "june").unwrap(),
            "/comments",
            Some(".md"),
        ),
        (
            "a project's",
            |l| l.twin.rename_project("Sign-in", "Front door").unwrap(),
            "/project",
            Some("Front door"),
        ),
        (
            "a project's, in its issue's document",
            |l| l.twin.rename_project("Sign-in", "Front door").unwrap(),
            "/issue.md",
            Some("project: Front door"),
        ),
    ];
    for (what, change, leaf, then) in rows {
        let (before, now, gap) = after(&format!("{ISSUE}{leaf}"), change);
        assert!(!gap, "{what} is told by name");
        match then {
            None => assert_eq!(now, None, "{what}"),
            Some(part) => assert!(now.as_ref().is_some_and(|now| now.contains(part)), "{what}"),
        }
        if !matches!(leaf, "/comments") {
            assert_ne!(before, now, "{what}");
        }
    }
}

/// The issue that the rows are about.
fn id(linear: &Mounted) -> String {
    linear.twin.issue_id("ENG-204").unwrap()
}

#[test]
fn what_no_question_names_and_a_count_or_a_comparison_shows_is_a_gap_and_shows_then() {
    let rows: [Row; 3] = [
        ("deleted for good", |l| l.twin.delete_issue("ENG-203").unwrap(), OPEN, Some("ENG-204")),
        (
            "deleted beside one that is made",
            |l| {
                let new = NewIssue { title: "New".into(), ..NewIssue::default() };
                l.twin.create_issue("ENG", &new).unwrap();
                l.twin.delete_issue("ENG-203").unwrap();
            },
            OPEN,
            Some("ENG-204"),
        ),
        ("a team's key", |l| l.twin.rename_team("OPS", "RUN").unwrap(), "teams", Some("RUN")),
    ];
    for (what, change, path, then) in rows {
        let (before, now, gap) = after(path, change);
        assert!(gap, "{what}");
        let now = now.unwrap();
        assert!(before.as_deref() != Some(now.as_str()) && now.contains(then.unwrap()), "{what}");
        assert!(!now.lines().any(|name| matches!(name, "ENG-203" | "OPS")) || path == "teams");
        assert!(!now.contains("OPS"), "{what}: {now}");
    }
}

#[test]
fn who_is_in_a_team_is_asked_for_at_each_open_because_nothing_tells() {
    let linear = demo();
    let before = linear.list("teams/ENG/members");
    assert!(before.contains(&"jun".to_owned()));
    linear.asked();
    linear.list("teams/ENG/members");
    assert_eq!(linear.asked(), 1);
    linear.twin.leave_team("jun", "ENG").unwrap();
    let now = linear.list("teams/ENG/members");
    assert_eq!(now.len(), before.len() - 1);
    assert!(!now.contains(&"jun".to_owned()));
}

#[test]
fn a_deleted_comment_is_bounded_by_the_recheck_and_told_by_a_webhook() {
    let linear = demo();
    let mut issues = Feed::new(ISSUES);
    issues.poll(&linear);
    let directory = format!("{OPEN}/ENG-204/comments");
    let before = linear.list(&directory).len();
    linear.twin.delete_comment(&linear.twin.comment_ids("ENG-204")[0].clone()).unwrap();
    issues.poll(&linear);
    assert_eq!(linear.list(&directory).len(), before, "no question shows it");
    linear.twin.clock().advance(Duration::from_secs(601));
    issues.poll(&linear);
    assert_eq!(linear.list(&directory).len(), before - 1);
}
