//! What proves which change: a row of SEMANTICS.md each, made against the twin. Everything is read first,
//! then changed, then polled, and must be right at the next read.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use omnifs_sdk::events::Change;
use omnifs_sdk::{Error, Position};
use omnifs_twins::github::{NewIssue, Write};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{World, world};

const API: &str = "acme/api";

/// A world in which this was read, and every scope polled often enough to know it.
struct Watched {
    world: World,
    repo: u64,
    /// When it was first read, by the service's clock.
    since: u64,
    cursors: BTreeMap<String, Option<String>>,
}

/// What happened before this is no news to a poll: its overlap is a minute.
fn a_while_later(world: &World) -> u64 {
    world.twin.clock().advance(Duration::from_secs(120));
    u64::try_from(world.twin.clock().now()).unwrap()
}

impl Watched {
    fn new(paths: &[&str]) -> Option<Self> {
        let world = world()?;
        // Of what goes on, each poll says that it may have.
        world.twin.progress_run(API, 9802, "completed", Some("success")).unwrap();
        let repo = world.twin.repo_id(API).unwrap();
        let since = a_while_later(&world);
        let mut watched = Watched { world, repo, since, cursors: BTreeMap::new() };
        paths.iter().for_each(|path| watched.touch(path));
        for kind in ["issues", "actions", "refs", "releases", "repo"] {
            assert_eq!(watched.polls(kind, 3), Vec::<Change>::new(), "{kind}: nothing happened");
        }
        a_while_later(&watched.world);
        Some(watched)
    }

    fn touch(&self, path: &str) {
        let path = format!("{API}/{path}");
        if self.world.mount.list(&path).is_err() {
            self.world.mount.read_bytes(&path).unwrap();
        }
    }

    /// So many polls of a scope, and all that they said.
    fn polls(&mut self, kind: &str, times: usize) -> Vec<Change> {
        let scope = format!("{kind}:{}", self.repo);
        let mut told = Vec::new();
        for _ in 0..times {
            let cursor = self.cursors.get(kind).cloned().flatten();
            let (feed, scope, since) = ("poll".to_owned(), scope.clone(), self.since);
            let position = Position { feed, scope, cursor, since };
            let progress = self.world.mount.poll(&position).unwrap();
            assert!(progress.cursor.as_ref().unwrap().len() <= 4096);
            self.cursors.insert(kind.to_owned(), progress.cursor);
            told.extend(progress.changes.0);
        }
        self.world.assert_allowed();
        told
    }

    /// One poll that tells of what happened, and not by a gap; then silence.
    fn told_at_once(&mut self, kind: &str) {
        let told = self.polls(kind, 1);
        let gap = told.iter().any(|change| matches!(change, Change::Gap(_)));
        assert!(!told.is_empty() && !gap, "{kind}: {told:?}");
        assert_eq!(self.polls(kind, 3), Vec::<Change>::new());
    }

    fn read(&self, path: &str) -> String {
        self.world.mount.read(&format!("{API}/{path}")).unwrap()
    }

    fn list(&self, path: &str) -> Vec<String> {
        self.world.mount.list(&format!("{API}/{path}")).unwrap()
    }

    fn is_gone(&self, path: &str) {
        let found = self.world.mount.stat(&format!("{API}/{path}"));
        assert!(matches!(found, Err(Error::NotFound)), "{path}: {found:?}");
    }
}

const OPEN: &str = "_issues/_open";

#[test]
fn an_edited_an_opened_and_a_closed_issue_show_by_the_next_poll() {
    let Some(mut w) = Watched::new(&[OPEN, "_issues/_closed", "_issues/_open/2853/title"]) else {
        return;
    };
    w.world.twin.retitle(API, 2853, "Retitled").unwrap();
    w.told_at_once("issues");
    assert_eq!(w.read("_issues/_open/2853/title"), "Retitled\n");
    let title = "Made".to_owned();
    let made = w.world.twin.open_issue(API, NewIssue { title, ..NewIssue::default() }).unwrap();
    w.told_at_once("issues");
    assert!(w.list(OPEN).contains(&made.to_string()));
    w.world.twin.close(API, made).unwrap();
    w.told_at_once("issues");
    assert!(!w.list(OPEN).contains(&made.to_string()));
    assert!(w.list("_issues/_closed").contains(&made.to_string()));
}

#[test]
fn a_reopened_issue_shows_by_the_next_poll_also_without_a_reason() {
    let Some(mut w) = Watched::new(&[OPEN, "_issues/_closed"]) else { return };
    let number = w.list("_issues/_closed")[0].clone();
    w.world.twin.reopen_without_reason(API, number.parse().unwrap()).unwrap();
    w.told_at_once("issues");
    assert!(w.list(OPEN).contains(&number) && !w.list("_issues/_closed").contains(&number));
}

#[test]
fn a_comment_that_is_made_edited_or_deleted_shows_by_the_next_poll() {
    let Some(mut w) = Watched::new(&["_issues/_open/2853/comments"]) else { return };
    let comments = "_issues/_open/2853/comments";
    let before = w.list(comments);
    let made = w.world.twin.add_comment(API, 2853, "lars", "Me too").unwrap();
    w.told_at_once("issues");
    let file = format!("{comments}/{made}.md");
    assert!(w.read(&file).ends_with("Me too"));
    w.world.twin.edit_comment(API, made, "Not any more").unwrap();
    w.told_at_once("issues");
    assert!(w.read(&file).ends_with("Not any more"));
    w.world.twin.delete_comment(API, made).unwrap();
    w.told_at_once("issues");
    assert_eq!(w.list(comments), before);
    w.is_gone(&file);
}

#[test]
fn a_deleted_or_transferred_issue_is_gone_within_three_polls() {
    let Some(mut w) = Watched::new(&[OPEN, "_issues/_open/2853/title", "_issues/_open/2846/title"])
    else {
        return;
    };
    w.world.twin.delete_issue(API, 2853).unwrap();
    let gap = Change::Gap(format!("issues:{}", w.repo));
    assert_eq!(w.polls("issues", 3), std::slice::from_ref(&gap));
    w.is_gone("_issues/_open/2853");
    w.world.twin.transfer_issue(API, 2846, "acme/big").unwrap();
    assert!(w.polls("issues", 3).contains(&gap));
    w.is_gone("_issues/_open/2846");
    assert!(!w.list(OPEN).contains(&"2846".to_owned()));
    assert_eq!(w.polls("issues", 3), [], "once");
}

#[test]
fn a_renamed_label_or_milestone_shows_within_three_polls() {
    let Some(mut w) = Watched::new(&["_issues/_open/2853/labels"]) else { return };
    let label = w.read("_issues/_open/2853/labels").lines().next().unwrap().to_owned();
    w.world.twin.rename_label(API, &label, "renamed").unwrap();
    let gap = Change::Gap(format!("issues:{}", w.repo));
    assert_eq!(w.polls("issues", 3), std::slice::from_ref(&gap));
    assert!(w.read("_issues/_open/2853/labels").contains("renamed"));
    w.world.twin.rename_milestone(API, 1, "Renamed too").unwrap();
    assert_eq!(w.polls("issues", 3), [gap]);
    assert_eq!(w.polls("issues", 3), []);
}

#[test]
fn an_issue_that_becomes_a_pull_request_moves_there_by_the_next_poll() {
    let Some(mut w) = Watched::new(&[OPEN, "_prs/_open", "_issues/_open/2846/title"]) else {
        return;
    };
    let twin = &w.world.twin;
    let main = twin.ref_sha(API, "refs/heads/main").unwrap();
    twin.set_ref(API, "refs/heads/for-2846", &main).unwrap();
    twin.make_pull(API, 2846, "for-2846", "main").unwrap();
    w.told_at_once("issues");
    w.is_gone("_issues/_open/2846");
    assert!(w.list("_prs/_open").contains(&"2846".to_owned()));
}

#[test]
fn a_run_beyond_the_newest_hundred_shows_its_end_by_the_next_poll() {
    let Some(world) = world() else { return };
    world.twin.progress_run(API, 9802, "completed", Some("success")).unwrap();
    let old = world.twin.start_run(API, "main", &["build"]).unwrap();
    world.twin.progress_run(API, old, "in_progress", None).unwrap();
    for _ in 0..100 {
        let run = world.twin.start_run(API, "main", &["build"]).unwrap();
        world.twin.progress_run(API, run, "completed", Some("success")).unwrap();
    }
    let repo = world.twin.repo_id(API).unwrap();
    let since = a_while_later(&world);
    let mut w = Watched { world, repo, since, cursors: BTreeMap::new() };
    let status = format!("_actions/runs/{old}/status");
    w.polls("actions", 1);
    assert_eq!(w.read(&status), "in_progress\n");
    w.world.twin.progress_run(API, old, "completed", Some("success")).unwrap();
    w.polls("actions", 1);
    assert_eq!(w.read(&status), "completed\n");
    assert_eq!(w.polls("actions", 3), []);
}

#[test]
fn a_push_moves_its_branch_and_its_tree_and_no_other_by_the_next_poll() {
    let spellings = ["main", "heads%2Fmain", "refs%2Fheads%2Fmain", "HEAD"];
    let Some(mut w) = Watched::new(&["_branches", "_branches/main", "_repo"]) else { return };
    spellings.iter().for_each(|name| w.touch(&format!("_tree/{name}")));
    let before = w.read("_branches/main");
    let files = [("NEW.md", Write::File(b"new\n"))];
    w.world.twin.push(API, "main", &files, "New").unwrap();
    w.told_at_once("refs");
    assert_ne!(w.read("_branches/main"), before);
    for name in spellings {
        assert!(w.list(&format!("_tree/{name}")).contains(&"NEW.md".to_owned()), "{name}");
    }
    assert!(w.list("_repo").contains(&"NEW.md".to_owned()));
}

#[test]
fn a_release_that_is_edited_or_deleted_shows_by_the_next_poll() {
    let Some(mut w) = Watched::new(&["_releases"]) else { return };
    // Beside the link to the latest one.
    let tags = |w: &Watched| -> Vec<String> {
        w.list("_releases").into_iter().filter(|name| name != "latest").collect()
    };
    let (tag, other) = (tags(&w)[0].clone(), tags(&w)[1].clone());
    w.touch(&format!("_releases/{tag}/notes.md"));
    let ids = w.world.twin.release_ids(API);
    for id in &ids {
        w.world.twin.edit_release(API, *id, "Edited").unwrap();
    }
    w.told_at_once("releases");
    assert_eq!(w.read(&format!("_releases/{tag}/notes.md")), "Edited");
    assert_eq!(w.read(&format!("_releases/{other}/notes.md")), "Edited");
    w.world.twin.delete_release(API, ids[0]).unwrap();
    w.told_at_once("releases");
    assert_eq!(tags(&w).len(), ids.len() - 1);
}

#[test]
fn a_repository_shows_its_description_and_its_name_by_the_next_poll() {
    let Some(mut w) = Watched::new(&["repo.json"]) else { return };
    w.world.twin.describe_repo(API, "Described").unwrap();
    w.told_at_once("repo");
    assert!(w.read("repo.json").contains("Described"));
}

#[test]
fn what_nothing_proves_shows_within_the_hour() {
    let Some(mut w) = Watched::new(&[OPEN, "_releases"]) else { return };
    w.world.twin.clock().advance(Duration::from_secs(3600));
    for kind in ["issues", "actions", "refs", "releases", "repo"] {
        assert_eq!(w.polls(kind, 3), [Change::Gap(format!("{kind}:{}", w.repo))], "{kind}");
    }
}

#[test]
fn a_deleted_run_makes_the_runs_suspect_by_the_next_poll() {
    let Some(mut w) = Watched::new(&["_actions/runs"]) else { return };
    let run = w.world.twin.run_ids(API)[0];
    w.world.twin.delete_run(API, run).unwrap();
    assert_eq!(w.polls("actions", 1), [Change::Gap(format!("actions:{}", w.repo))]);
    assert!(!w.list("_actions/runs").contains(&run.to_string()));
}
