//! Searching the code of a repository: what it costs, and that it is the code.

use crate::{Wish, World, issues};
use omnifs_support::Mounted;
use omnifs_support::tools::{read, shell};
use omnifs_twins::github::{RepoShape, Write};
use omnifs_twins::{Fault, GithubSetup, Times};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Directories, files in each of them, and bytes of each file: 10,000 files of 60 MB.
const LARGE: (usize, usize, usize) = (100, 100, 6_000);
const SMALL: (usize, usize, usize) = (10, 20, 500);

/// Text that does not repeat itself, with one word in each tenth file.
fn content(number: usize, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 80);
    let mut seed = number as u64 + 1;
    while text.len() < bytes {
        for _ in 0..4 {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            text.push_str(&format!("{:014x} ", seed >> 8));
        }
        text.push('\n');
    }
    if number.is_multiple_of(10) {
        text.push_str("needle\n");
    }
    text
}

/// Commits a tree of this size to `repo`.
fn push(world: &World, repo: &str, (directories, files, bytes): (usize, usize, usize)) {
    let mut written = Vec::new();
    for directory in 0..directories {
        for file in 0..files {
            let path = format!("d{directory:03}/sub/f{file:03}.txt");
            written.push((path, content(directory * files + file, bytes)));
        }
    }
    let writes: Vec<_> = written
        .iter()
        .map(|(path, text)| (path.as_str(), Write::File(text.as_bytes())))
        .chain([
            ("run.sh", Write::Executable(b"#!/bin/sh\nexit 0\n")),
            ("link", Write::Symlink("d000/sub/f000.txt")),
            ("empty", Write::File(b"")),
        ])
        .collect();
    world.twin.push(repo, "main", &writes, "all of it").expect("push");
}

/// A world with these repositories of `acme`, each with a tree of this size that was pushed a minute ago:
/// the first poll asks again for what may have moved in the second of the first read.
fn world(test: &str, repos: &[&str], size: (usize, usize, usize), sections: &str) -> Option<World> {
    let shapes = repos.iter().map(|name| RepoShape::issues("acme", name, 0, 0)).collect();
    let setup = GithubSetup { repos: shapes, ..issues(0, 0) };
    let world = World::new(test, Wish { setup, sections, ..Wish::default() })?;
    for name in repos {
        push(&world, &format!("acme/{name}"), size);
    }
    world.twin.clock().advance(Duration::from_secs(60));
    Some(world)
}

/// The requests since the last look, without the poll of branches and tags, which comes at their first use.
fn asked(world: &World) -> Vec<String> {
    let mut requests = world.requests();
    requests.retain(|line| !line.contains("/branches?") && !line.contains("/tags?"));
    requests
}

/// Memory of the daemon in bytes: of now, or the most that it has had.
fn memory(mounted: &Mounted<'_>, row: &str) -> u64 {
    let status = read(format!("/proc/{}/status", mounted.pid()).as_ref());
    let line = status.lines().find_map(|line| line.strip_prefix(row)).expect(row);
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn lines(directory: &Path, command: &str) -> usize {
    shell(directory, command).parse().expect("a number")
}

#[test]
fn a_search_through_ten_thousand_files_costs_five_requests_and_the_next_one_none() {
    let sections = "[cache]\nbytes = '128MiB'\n";
    let Some(world) = world("ten_thousand_files", &["big"], LARGE, sections) else { return };
    let mounted = world.mount();
    let before = memory(&mounted, "VmRSS:");
    let code = mounted.join("github/acme/big/_repo");
    assert_eq!(lines(&code, "rg --no-ignore --files-with-matches needle . | wc -l"), 1_000);
    let requests = asked(&world);
    // The account with its repositories, the tree, a file, and the archive, which is at another host.
    assert!(requests.len() <= 5, "{requests:#?}");
    let grown = memory(&mounted, "VmHWM:").saturating_sub(before);
    assert!(grown <= (128 + 64) << 20, "{} MiB", grown >> 20);
    assert_eq!(lines(&code, "grep -r --files-with-matches needle . | wc -l"), 1_000);
    assert_eq!(lines(&code, "rg --no-ignore --files d* | wc -l"), LARGE.0 * LARGE.1);
    assert_eq!(asked(&world), [""; 0]);
    for number in [0, 1, 4_711, 9_999] {
        let path = format!("d{:03}/sub/f{:03}.txt", number / LARGE.1, number % LARGE.1);
        assert_eq!(read(&code.join(path)), content(number, LARGE.2));
    }
    assert_eq!(fs::read_link(code.join("link")).expect("link"), Path::new("d000/sub/f000.txt"));
    assert!(mounted.unmount());
}

#[test]
fn grep_over_three_repositories_costs_some_requests_for_each() {
    let names = ["one", "two", "three"];
    let Some(world) = world("three_repositories", &names, SMALL, "") else { return };
    let mounted = world.mount();
    let acme = mounted.join("github/acme");
    let command = "grep -r --files-with-matches needle one/_repo two/_repo three/_repo | wc -l";
    assert_eq!(lines(&acme, command), 3 * SMALL.0 * SMALL.1 / 10);
    let requests = asked(&world);
    assert!(requests.len() <= 20, "{requests:#?}");
    assert_eq!(lines(&acme, command), 3 * SMALL.0 * SMALL.1 / 10);
    assert_eq!(asked(&world), [""; 0]);
    assert!(mounted.unmount());
}

#[test]
fn a_file_that_is_read_by_itself_costs_three_requests_and_brings_no_archive() {
    let Some(world) = world("one_file", &["api"], SMALL, "") else { return };
    let mounted = world.mount();
    let file = mounted.join("github/acme/api/_repo/d003/sub/f007.txt");
    assert_eq!(shell(mounted.path(), &format!("cat '{}' | wc -c", file.display())), {
        content(3 * SMALL.1 + 7, SMALL.2).len().to_string()
    });
    let requests = asked(&world);
    assert!(requests.len() <= 3, "{requests:#?}");
    assert!(requests.iter().all(|request| !request.contains("tarball")), "{requests:#?}");
    assert!(mounted.unmount());
}

#[test]
fn where_no_archive_can_be_had_each_file_is_asked_for() {
    let Some(world) = world("no_archive", &["api"], SMALL, "") else { return };
    let fault = Fault::Status(503);
    world.twin.inject(fault, "/repositories/*/tarball/HEAD", Times::UntilCleared);
    let mounted = world.mount();
    let code = mounted.join("github/acme/api/_repo");
    assert_eq!(
        lines(&code, "grep -r --files-with-matches needle . | wc -l"),
        SMALL.0 * SMALL.1 / 10
    );
    let requests = asked(&world);
    let archives = requests.iter().filter(|request| request.contains("tarball")).count();
    assert!((1..=4).contains(&archives), "{archives} of {}", requests.len());
    let blobs = requests.iter().filter(|request| request.contains("/git/blobs/")).count();
    assert!(blobs > SMALL.0 * SMALL.1, "{blobs}");
    assert!(mounted.unmount());
}

#[test]
fn what_was_pushed_since_the_tree_was_listed_is_not_what_the_tree_shows() {
    let Some(world) = world("pushed_since", &["api"], SMALL, "") else { return };
    let mounted = world.mount();
    let code = mounted.join("github/acme/api/_repo");
    assert_eq!(lines(&code, "find d* -type f | wc -l"), SMALL.0 * SMALL.1);
    // No poll comes here: the tree of before is what is shown, and its files are those of before.
    let writes = [("d000/sub/f000.txt", Write::File(b"other\n")), ("run.sh", Write::Delete)];
    world.twin.push("acme/api", "main", &writes, "later").expect("push");
    assert_eq!(read(&code.join("d000/sub/f001.txt")), content(1, SMALL.2));
    assert_eq!(read(&code.join("d000/sub/f002.txt")), content(2, SMALL.2));
    assert_eq!(read(&code.join("d000/sub/f000.txt")), content(0, SMALL.2));
    assert_eq!(read(&code.join("run.sh")), "#!/bin/sh\nexit 0\n");
    assert!(mounted.unmount());
}
