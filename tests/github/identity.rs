//! An object is one inode, wherever it shows and whatever it is called.

use crate::{API, SOON, World, await_polled};
use omnifs_support::tools::{await_content, await_gone, read, shell};
use omnifs_support::{Mounted, wait_until};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).ino()
}

#[test]
fn open_and_all_show_one_inode_and_pwd_stays_in_each() {
    let Some(world) = World::demo("two_views") else { return };
    let mounted = world.mount();
    let views = ["_open", "_all"].map(|v| mounted.join(API).join("_issues").join(v).join("2853"));
    assert_eq!(inode(&views[0]), inode(&views[1]));
    for leaf in ["title", "issue.json", "comments"] {
        assert_eq!(inode(&views[0].join(leaf)), inode(&views[1].join(leaf)), "{leaf}");
    }
    for view in &views {
        assert_eq!(shell(view, "/bin/pwd"), view.to_str().expect("UTF-8"));
    }
    let listed = shell(&mounted.join(API).join("_issues"), "ls -di _open/2853 _all/2853");
    let numbers: Vec<_> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(numbers[0], numbers[1], "{listed}");
}

#[test]
fn a_retitled_issue_keeps_its_inodes_and_an_open_file_its_content() {
    let Some(world) = World::polled("retitled") else { return };
    let mounted = world.mount();
    let issue = mounted.join(API).join("_issues/_open/2853");
    let before = [inode(&issue), inode(&issue.join("title")), inode(&issue.join("issue.json"))];
    let mut held = File::open(issue.join("title")).expect("open");
    await_polled(&mounted);
    world.twin.retitle("acme/api", 2853, "Sign-in fails after a refresh").expect("retitle");
    await_content(&issue.join("title"), "Sign-in fails after a refresh\n", SOON);
    assert_eq!(
        [inode(&issue), inode(&issue.join("title")), inode(&issue.join("issue.json"))],
        before
    );
    let mut content = String::new();
    held.read_to_string(&mut content).expect("read");
    assert_eq!(content, "Login fails after token refresh\n", "what was opened");
}

#[test]
fn a_closed_issue_moves_from_open_to_closed_with_its_inode() {
    let Some(world) = World::polled("closed") else { return };
    let mounted = world.mount();
    let issues = mounted.join(API).join("_issues");
    assert_eq!(shell(&issues, "ls _open | grep -c 2846"), "1");
    assert_eq!(shell(&issues, "ls _closed | grep -c 2846; true"), "0");
    let open = issues.join("_open/2846");
    let before = [inode(&open), inode(&open.join("title"))];
    await_polled(&mounted);
    world.twin.close("acme/api", 2846).expect("close");
    await_gone(&open, SOON);
    let closed = issues.join("_closed/2846");
    assert!(wait_until(SOON, || closed.exists().then_some(())).is_some());
    assert_eq!([inode(&closed), inode(&closed.join("title"))], before);
    assert_eq!(read(&closed.join("state")), "closed\n");
    assert_eq!(inode(&issues.join("_all/2846")), before[0]);
    assert_eq!(shell(&issues, "ls _open | grep -c 2846; true"), "0");
    assert_eq!(shell(&issues, "ls _closed | grep -c 2846"), "1");
    world.twin.reopen("acme/api", 2846).expect("reopen");
    assert!(wait_until(SOON, || open.exists().then_some(())).is_some());
    assert_eq!([inode(&open), inode(&open.join("title"))], before);
    await_gone(&closed, SOON);
}

#[test]
fn a_renamed_repository_keeps_every_inode_below_it() {
    let Some(world) = World::polled("renamed_repo") else { return };
    let mounted = world.mount();
    let owner = mounted.join("github/acme");
    let parts = ["", "_issues/_open/2853", "_issues/_open/2853/title", "_repo/src/main.rs"];
    let inodes = |repo: &str| parts.map(|part| inode(&owner.join(repo).join(part)));
    let before = inodes("api");
    assert_eq!(shell(&owner, "ls"), "api\ninfra\nwebsite");
    await_polled(&mounted);
    world.twin.rename_repo("acme/api", "service").expect("rename");
    let listed = || (shell(&owner, "ls") == "infra\nservice\nwebsite").then_some(());
    assert!(wait_until(SOON, listed).is_some(), "{}", shell(&owner, "ls"));
    assert_eq!(inodes("service"), before);
    // A redirect leads on from the old name, as it does at GitHub.
    assert_eq!(
        read(&owner.join("api/_issues/_open/2853/title")),
        "Login fails after token refresh\n"
    );
    assert_eq!(inodes("api"), before);
}

#[test]
fn a_transferred_repository_keeps_its_inodes() {
    let Some(world) = World::polled("transferred") else { return };
    let mounted = world.mount();
    let title = "_issues/_open/2853/title";
    let before = inode(&mounted.join(API).join(title));
    shell(&mounted.join("github/acme"), "ls");
    await_polled(&mounted);
    world.twin.transfer_repo("acme/api", "acme-labs").expect("transfer");
    let there = mounted.join("github/acme-labs/api");
    assert!(wait_until(SOON, || there.exists().then_some(())).is_some());
    assert_eq!(inode(&there.join(title)), before);
}

#[test]
fn inodes_are_the_same_after_a_remount() {
    let Some(world) = World::demo("remount") else { return };
    let parts = ["_issues/_open/2853/title", "_prs/_open/2860", "_repo/src/main.rs", "repo.json"];
    let inodes = |mounted: &Mounted<'_>| parts.map(|part| inode(&mounted.join(API).join(part)));
    let mounted = world.mount();
    let before = inodes(&mounted);
    assert!(mounted.unmount(), "a clean unmount");
    let mounted = world.mount();
    assert_eq!(inodes(&mounted), before);
}
