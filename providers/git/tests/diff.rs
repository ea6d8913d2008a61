//! What a commit has changed, against git's own: the same text, and a patch that git applies.

#![allow(clippy::unwrap_used)]

mod served;

use omnifs_sdk::Error;
use served::{Served, git, run};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Commits, each a list of fast-import's commands.
fn generate(repository: &Path, commits: &[String]) {
    let mut input = String::new();
    for (at, changes) in commits.iter().enumerate() {
        let _ = write!(
            input,
            "commit refs/heads/main\ncommitter C <c@example.org> {} +0000\ndata 0\n{changes}\n",
            1_700_000_000 + at
        );
    }
    git(repository, &["fast-import", "--quiet", "--force"], input.as_bytes());
}

fn file(mode: u32, path: &str, content: &str) -> String {
    format!("M {mode:06} inline {path}\ndata {}\n{content}\n", content.len())
}

/// A program's text whose functions are long enough to be headings of hunks.
fn program(changed: &[usize]) -> String {
    let mut text = String::new();
    for function in 0..12 {
        let _ = writeln!(text, "fn number_{function}() {{");
        for line in 0..9 {
            let at = function * 9 + line;
            let mark = if changed.contains(&at) { "changed" } else { "line" };
            let _ = writeln!(text, "    {mark} {at};");
        }
        text += "}\n\n";
    }
    text
}

/// Every kind of change there is.
fn kinds() -> Vec<String> {
    let link = |path: &str, target: &str| file(120_000, path, target);
    vec![
        [
            file(100_644, "src/main.rs", &program(&[])),
            file(100_644, "empty", ""),
            file(100_644, "no end", "one\ntwo"),
            file(100_755, "run", "#!/bin/sh\n"),
            file(100_644, "picture", "PNG\0\0\u{1}"),
            file(100_644, "caf\u{e9} \"x\"", "quoted\n")
                .replace("caf\u{e9} \"x\"", "\"caf\\303\\251 \\\"x\\\"\""),
            link("way", "src/main.rs"),
            file(100_644, "both", "a file\n"),
            file(100_644, "both.txt", "a file\n"),
            format!("M 160000 {} module\n", "1".repeat(40)),
        ]
        .concat(),
        // Hunks near each other, far from each other, and at both ends.
        file(100_644, "src/main.rs", &program(&[0, 5, 14, 20, 60, 107])),
        file(100_644, "no end", "one\ntwo\nthree\n") + &file(100_644, "empty", "no more\n"),
        file(100_644, "no end", "one\n2") + &file(100_644, "empty", ""),
        file(100_755, "src/main.rs", &program(&[])) + &file(100_644, "run", "#!/bin/sh\n"),
        file(100_644, "picture", "PNG\0\0\u{2}") + "D \"caf\\303\\251 \\\"x\\\"\"\n",
        link("way", "empty") + &format!("M 160000 {} module\n", "2".repeat(40)),
        link("run", "way") + &file(100_644, "way", "no link\n"),
        "D both\n".to_owned() + &file(100_644, "both/below", "deeper\n"),
        "D both\n".to_owned() + &file(100_644, "both", "a file again\n"),
        "R src lib\n".to_owned(),
        "deleteall\n".to_owned(),
        // Nothing has changed.
        String::new(),
    ]
}

/// Commits that change lines anywhere, the same in each run.
fn edits() -> Vec<String> {
    let mut seed = 7_u32;
    let mut random = move |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut lines: Vec<String> = (0..60).map(|at| format!("line {}", at % 9)).collect();
    let mut commits = Vec::new();
    for _ in 0..60 {
        for _ in 0..=random(6) {
            let at = random(lines.len() as u32) as usize;
            match random(3) {
                0 => lines.insert(at, format!("line {}", random(9))),
                1 if lines.len() > 20 => drop(lines.remove(at)),
                _ => lines[at] = format!("fn {}", random(40)),
            }
        }
        let end = if random(4) == 0 { "" } else { "\n" };
        commits.push(file(100_644, "text", &(lines.join("\n") + end)));
    }
    commits
}

/// Each commit with its first parent, or the empty tree.
fn commits(repository: &Path, empty: &str) -> Vec<(String, String)> {
    let log = git(repository, &["log", "--reverse", "--format=%H %P", "main"], b"");
    let log = String::from_utf8(log).unwrap();
    let pair = |line: &str| {
        let (commit, parents) = line.split_once(' ').unwrap();
        let parent = parents.split(' ').next().filter(|parent| !parent.is_empty());
        (commit.to_owned(), parent.unwrap_or(empty).to_owned())
    };
    log.lines().map(pair).collect()
}

/// The tree that git makes of `parent` with this patch.
fn applied(repository: &Path, parent: &str, patch: &[u8]) -> String {
    let index = repository.join("index-of-test");
    let _ = std::fs::remove_file(&index);
    let command = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(repository).env("GIT_INDEX_FILE", &index);
        command
    };
    run(command(&["read-tree", parent]), b"");
    if !patch.is_empty() {
        run(command(&["apply", "--cached", "--whitespace=nowarn"]), patch);
    }
    String::from_utf8(run(command(&["write-tree"]), b"")).unwrap()
}

fn check(test: &str, format: &str, filters: &str, history: &[String], same_text: bool) {
    let Some(served) = Served::new(test) else { return };
    let repository = served.empty("api.git", format, filters);
    generate(&repository, history);
    let mount = served.mount();
    let empty = git(&repository, &["hash-object", "-t", "tree", "--stdin"], b"");
    let empty = String::from_utf8(empty).unwrap().trim().to_owned();
    let commits = commits(&repository, &empty);
    assert_eq!(commits.len(), history.len());
    // Git's own empty tree is in no repository before it is written.
    git(&repository, &["hash-object", "-w", "-t", "tree", "--stdin"], b"");
    for (commit, parent) in &commits {
        let shown = mount.read_bytes(&format!("api.git/_commits/{commit}/diff")).unwrap();
        let tree = git(&repository, &["rev-parse", &format!("{commit}^{{tree}}")], b"");
        let text = String::from_utf8_lossy(&shown);
        assert_eq!(
            applied(&repository, parent, &shown),
            String::from_utf8(tree).unwrap(),
            "{commit}:\n{text}"
        );
        if same_text {
            let arguments = ["diff", "--no-color", "--full-index", "--no-renames", parent, commit];
            let said = git(&repository, &arguments, b"");
            assert_eq!(text, String::from_utf8_lossy(&said), "{commit}");
        }
    }
    let head = mount.read_bytes("api.git/_branches/main/diff").unwrap();
    let last = &commits[commits.len() - 1].0;
    assert_eq!(head, mount.read_bytes(&format!("api.git/_commits/{last}/diff")).unwrap());
}

#[test]
fn every_kind_of_change_is_written_as_git_writes_it() {
    check("git-diff-kinds", "sha1", "true", &kinds(), true);
}

#[test]
fn a_server_that_filters_nothing_brings_the_files_of_a_diff_unasked() {
    check("git-diff-whole", "sha1", "false", &kinds(), true);
}

#[test]
fn git_makes_each_commit_of_its_parent_and_the_diff() {
    check("git-diff-edits", "sha1", "true", &edits(), false);
}

#[test]
fn a_diff_in_a_repository_of_sha256_is_what_git_says() {
    // No submodule: its hash is of another length.
    let plain = |commit: String| {
        let lines = commit.split_inclusive('\n').filter(|line| !line.starts_with("M 160000"));
        lines.collect::<String>()
    };
    let history: Vec<String> = kinds().into_iter().map(plain).collect();
    check("git-diff-sha256", "sha256", "true", &history, true);
}

#[test]
fn a_diff_costs_two_requests_and_no_listing_asks_for_it() {
    let Some(served) = Served::new("git-diff-costs") else { return };
    let repository = served.empty("api.git", "sha1", "true");
    generate(&repository, &kinds()[..2]);
    let mount = served.mount();
    let names = mount.list("api.git/_branches/main").unwrap();
    assert_eq!(names, ["commit", "log", "message", "tree"]);
    mount.requests();
    assert!(mount.read("api.git/_branches/main/diff").unwrap().starts_with("diff --git"));
    let asked = mount.requests();
    let fetches = asked.iter().filter(|line| line.starts_with("POST")).count();
    assert!(fetches <= 3, "the ref, the trees, the files that differ: {asked:?}");
    assert!(matches!(mount.stat("api.git/_branches/main/.git"), Err(Error::NotFound)));
    assert!(matches!(mount.stat("api.git/_branches/main/annotation"), Err(Error::NotFound)));
    // A tree has no parent.
    let tree = String::from_utf8(git(&repository, &["rev-parse", "main^{tree}"], b"")).unwrap();
    let path = format!("api.git/_commits/{}/diff", tree.trim());
    assert!(matches!(mount.read(&path), Err(Error::NotFound)));
}
