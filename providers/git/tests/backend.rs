//! Against git's own server, called as a web server would call it.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/git/history.rs"]
mod history;

mod served;

use omnifs_git::Git;
use omnifs_sdk::testing::Mount;
use omnifs_sdk::{Error, Kind};
use served::{Served, git};
use std::path::{Path, PathBuf};

/// What the shared history names.
mod server {
    pub use crate::served::git;
}

fn repository(served: &Served, path: &str, format: &str, filters: &str, commits: usize) -> PathBuf {
    let directory = served.empty(path, format, filters);
    history::generate(&directory, commits);
    directory
}

/// Compares a tree with what git says of it: each path, its mode, its content.
fn compare(mount: &Mount<Git>, tree: &str, repository: &Path, commit: &str) -> usize {
    let listed = String::from_utf8(git(repository, &["ls-tree", "-r", commit], b"")).unwrap();
    let ids: Vec<&str> = listed.lines().map(|line| &line[12..line.find('\t').unwrap()]).collect();
    let contents = git(repository, &["cat-file", "--batch"], ids.join("\n").as_bytes());
    let mut rest = &contents[..];
    for line in listed.lines() {
        let (mode, name) = (&line[..6], &line[line.find('\t').unwrap() + 1..]);
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let head = String::from_utf8_lossy(&rest[..end]);
        let size: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        let path = format!("{tree}/{name}");
        let kind = match mode {
            "100755" => Kind::Executable,
            "120000" => Kind::Symlink,
            _ => Kind::File,
        };
        assert_eq!(mount.stat(&path).unwrap().kind, kind, "{path}");
        let content = mount.read_bytes(&path).unwrap();
        assert!(content == rest[end + 1..end + 1 + size], "{path}");
        rest = &rest[end + 2 + size..];
    }
    listed.lines().count()
}

#[test]
fn every_file_of_a_thousand_commits_is_what_git_says() {
    let Some(served) = Served::new("git-all") else { return };
    let repository = repository(&served, "team/large.git", "sha1", "false", 1000);
    let mount = served.mount();
    let tree = "team/large.git/_branches/main/tree";
    assert!(compare(&mount, tree, &repository, "main") >= 5000);
    assert!(mount.requests().len() < 12, "contents came along: {:?}", mount.requests());
}

#[test]
fn with_filters_a_tree_is_one_request_and_each_file_is_what_git_says() {
    for format in ["sha1", "sha256"] {
        let Some(served) = Served::new(&format!("git-{format}")) else { return };
        let repository = repository(&served, "api.git", format, "true", 12);
        let mount = served.mount();
        let files = compare(&mount, "api.git/_head/tree", &repository, "main");
        let posts = mount.requests().iter().filter(|line| line.starts_with("POST")).count();
        assert!(posts <= files + 4, "{posts} for {files} files");
    }
}

#[test]
fn logs_and_messages_are_what_git_says() {
    let Some(served) = Served::new("git-logs") else { return };
    let repository = repository(&served, "api.git", "sha1", "true", 120);
    let mount = served.mount();
    let said = |arguments: &[&str]| String::from_utf8(git(&repository, arguments, b"")).unwrap();
    for (shown, commit) in [("_branches/main", "main"), ("_tags/v1", "v1"), ("_head", "HEAD")] {
        let log = said(&["log", "--no-abbrev", "--date=iso-strict", "-n", "100", commit]);
        assert_eq!(mount.read(&format!("api.git/{shown}/log")).unwrap(), log);
        let hash = said(&["rev-parse", &format!("{commit}^{{commit}}")]);
        assert_eq!(mount.read(&format!("api.git/{shown}/commit")).unwrap(), hash);
    }
    let message = said(&["cat-file", "commit", "main"]);
    let message = message.split_once("\n\n").unwrap().1;
    assert_eq!(mount.read("api.git/_branches/main/message").unwrap(), message);
    assert_eq!(mount.read("api.git/_tags/v1/annotation").unwrap(), "first\n");
    let mut newest: Vec<String> =
        said(&["log", "--format=%H", "-n", "100"]).lines().map(str::to_owned).collect();
    newest.sort();
    let mut shown = mount.list("api.git/_commits").unwrap();
    shown.sort();
    assert_eq!(shown, newest);
    assert_eq!(mount.list("api.git/_branches").unwrap(), ["feature%2Fside", "main"]);
    let absent = format!("api.git/_commits/{}", "1".repeat(40));
    assert!(matches!(mount.stat(&absent), Err(Error::NotFound)));
}
