//! A ticket is its UUID: what changes about it leaves its inode alone.

use crate::{OFTEN, SOON, World, await_live, await_lost, issues};
use omnifs_support::tools::{await_content, await_gone, read, shell};
use omnifs_support::{Mounted, wait_until};
use omnifs_twins::linear::NewIssue;
use omnifs_twins::{Fault, LinearSetup, Times};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).ino()
}

fn shows(path: &Path) {
    let shown = wait_until(SOON, || path.exists().then_some(()));
    assert!(shown.is_some(), "{} does not show", path.display());
}

/// Waits until every scope has been polled from now on.
fn await_poll(mounted: &Mounted<'_>) {
    let heard = || {
        let status = mounted.status().ok()?;
        status["scopes"].as_array()?.iter().map(|scope| scope["heard"].as_u64()).min()?
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let now = now.as_millis() as u64;
    assert!(wait_until(SOON, || heard().filter(|heard| *heard > now + 50)).is_some());
}

#[test]
fn a_ticket_that_changes_state_moves_with_its_inode() {
    let Some(world) = World::polled("state") else { return };
    let mounted = world.mount();
    let issues = issues(&mounted);
    let open = issues.join("_open/ENG-204");
    let before = [inode(&open), inode(&open.join("title"))];
    assert_eq!(inode(&issues.join("by-state/In Progress/ENG-204")), before[0]);
    assert_eq!(shell(&issues, "ls _open | wc -l"), "5");
    assert_eq!(shell(&issues, "ls 'by-state/In Review'"), "ENG-199");
    await_live(&mounted);
    world.twin.set_state("ENG-204", "In Review").expect("a state");
    await_content(&open.join("state"), "In Review\n", SOON);
    let review = issues.join("by-state/In Review/ENG-204");
    shows(&review);
    await_gone(&issues.join("by-state/In Progress/ENG-204"), SOON);
    assert_eq!([inode(&review), inode(&review.join("title"))], before);
    assert_eq!(shell(&issues, "ls 'by-state/In Review'"), "ENG-199\nENG-204");
    world.twin.set_state("ENG-204", "Done").expect("a state");
    await_gone(&open, SOON);
    assert_eq!(shell(&issues, "ls _open | wc -l"), "4");
    assert_eq!(inode(&issues.join("_all/ENG-204")), before[0]);
    assert_eq!(inode(&issues.join("by-state/Done/ENG-204")), before[0]);
}

#[test]
fn a_ticket_that_changes_team_keeps_its_inode_under_its_new_name() {
    let Some(world) = World::polled("team") else { return };
    let mounted = world.mount();
    let teams = mounted.join("linear/teams");
    let here = teams.join("ENG/issues/_open/ENG-203");
    let before = [inode(&here), inode(&here.join("description.md"))];
    assert_eq!(shell(&teams, "ls OPS/issues/_open"), "OPS-17");
    await_live(&mounted);
    let name = world.twin.move_issue("ENG-203", "OPS").expect("a move");
    let there = teams.join("OPS/issues/_open").join(&name);
    shows(&there);
    await_gone(&here, SOON);
    assert_eq!([inode(&there), inode(&there.join("description.md"))], before);
    assert!(shell(&teams, "ls OPS/issues/_open").contains(&name));
    assert!(!shell(&teams, "ls ENG/issues/_open").contains("ENG-203"));
}

#[test]
fn titles_priorities_comments_and_new_tickets_show_by_the_polls() {
    let Some(world) = World::polled("edits") else { return };
    let mounted = world.mount();
    let open = issues(&mounted).join("_open");
    assert_eq!(shell(&open, "ls | wc -l"), "5");
    let title = open.join("ENG-204/title");
    let before = inode(&title);
    await_live(&mounted);
    world.twin.retitle("ENG-204", "Rotate them quietly").expect("a title");
    await_content(&title, "Rotate them quietly\n", SOON);
    assert_eq!(inode(&title), before);
    world.twin.set_priority("ENG-204", 1).expect("a priority");
    await_content(&open.join("ENG-204/priority"), "Urgent\n", SOON);
    let comment = world.twin.add_comment("ENG-204", "lars", "Nearly there.").expect("a comment");
    let path = open.join(format!("ENG-204/comments/{comment}.md"));
    let shown = wait_until(SOON, || fs::read_to_string(&path).ok()).expect("the comment");
    assert!(shown.ends_with("\n---\n\nNearly there."), "verbatim below its front matter: {shown}");
    let new =
        NewIssue { title: "Fresh".to_owned(), state: "Todo".to_owned(), ..NewIssue::default() };
    let name = world.twin.create_issue("ENG", &new).expect("an issue");
    shows(&open.join(&name));
    assert_eq!(shell(&open, "ls | wc -l"), "6");
    // An issue that comes and goes between two polls would be news in neither.
    await_poll(&mounted);
    world.twin.delete_issue(&name).expect("the trash");
    await_gone(&open.join(&name), SOON);
}

#[test]
fn inodes_are_the_same_after_a_remount() {
    let Some(world) = World::demo("remount") else { return };
    let parts =
        ["_open/ENG-204", "_open/ENG-204/title", "by-state/Todo", "_all/ENG-188/issue.json"];
    let inodes = |mounted: &Mounted<'_>| parts.map(|part| inode(&issues(mounted).join(part)));
    let mounted = world.mount();
    let before = inodes(&mounted);
    assert!(mounted.unmount(), "a clean unmount");
    let mounted = world.mount();
    assert_eq!(inodes(&mounted), before);
}

#[test]
fn without_a_feed_every_use_asks_and_with_it_none() {
    let Some(world) = World::new("lost_feed", LinearSetup::default(), OFTEN, "") else { return };
    let mounted = world.mount();
    let title = issues(&mounted).join("_open/ENG-204/title");
    let before = read(&title);
    await_live(&mounted);
    world.requests();
    for _ in 0..50 {
        assert_eq!(read(&title), before);
    }
    assert_eq!(world.requests(), [""; 0], "live");
    world.twin.stop();
    await_lost(&mounted);
    assert!(fs::read(&title).is_err(), "nothing stale is served");
    world.twin.restart().expect("restart");
    world.twin.inject(Fault::Slow(std::time::Duration::ZERO), "*", Times::Next(1));
    assert!(
        wait_until(SOON, || (fs::read_to_string(&title).ok()? == before).then_some(())).is_some()
    );
    await_live(&mounted);
}
