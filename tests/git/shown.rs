//! What is shown is what git says.

use crate::server::git;
use crate::{NEVER, PARTIAL, World, history, place};
use omnifs_support::tools::{errno, list, read, shell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EFBIG: i32 = 27;
const EACCES: i32 = 13;

/// Kind and content of every file below a directory, by its path.
fn files(root: &Path) -> BTreeMap<String, (char, Vec<u8>)> {
    let (mut found, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            let kind = match metadata.permissions().mode() {
                _ if metadata.is_dir() => 'd',
                _ if metadata.is_symlink() => 'l',
                mode if mode & 0o111 != 0 => 'x',
                _ => 'f',
            };
            let content = match kind {
                'd' => Vec::new(),
                'l' => fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes(),
                _ => {
                    let content = fs::read(&path).expect("a file");
                    assert_eq!(metadata.len(), content.len() as u64, "{name}");
                    content
                }
            };
            if kind == 'd' {
                left.push(path);
            }
            found.insert(name, (kind, content));
        }
    }
    found
}

/// What `git archive` makes of a commit, unpacked.
fn archived(world: &World, repository: &Path, commit: &str) -> BTreeMap<String, (char, Vec<u8>)> {
    let directory = world.omnifs.path(&format!("archived-{commit}"));
    fs::create_dir_all(&directory).expect("a folder");
    let archive = world.omnifs.path("archive.tar");
    fs::write(&archive, git(repository, &["archive", commit], b"")).expect("an archive");
    shell(&directory, "tar -xf ../archive.tar");
    files(&directory)
}

/// The fetches since the last look. Whether a directory on the way has become a repository is asked by polls.
fn fetches_of(world: &World) -> Vec<String> {
    world.asked().into_iter().filter(|request| request.ends_with("fetch")).collect()
}

/// A server that sends all there is: the fallback, and all contents with one request.
#[test]
fn every_file_mode_and_link_of_a_thousand_commits_is_what_git_archives() {
    let Some(world) = World::new("git_archive", NEVER, "") else { return };
    let repository = world.server.repository("team/large.git", "sha1", &[]);
    history::generate(&repository, 1000);
    let mounted = world.mount();
    let shown = files(&place(&mounted, "team/large.git/_branches/main/tree"));
    let expected = archived(&world, &repository, "main");
    assert!(expected.values().filter(|(kind, _)| *kind != 'd').count() >= 5000);
    assert_eq!(shown.len(), expected.len());
    for (name, file) in &expected {
        assert!(shown.get(name) == Some(file), "{name} is not what git archives");
    }
}

#[test]
fn where_a_server_filters_a_tree_costs_three_requests_with_all_that_is_in_it() {
    let Some(world) = World::new("git_partial", NEVER, "") else { return };
    let repository = world.server.repository("team/api.git", "sha1", PARTIAL);
    history::generate(&repository, 60);
    let mounted = world.mount();
    let tree = place(&mounted, "team/api.git/_branches/main/tree");
    assert!(tree.is_dir());
    world.asked();
    let names = shell(&tree, "find . | sort");
    let expected = git(&repository, &["ls-tree", "-r", "-t", "--name-only", "main"], b"");
    let expected = String::from_utf8(expected).expect("UTF-8");
    let mut expected: Vec<String> = expected.lines().map(|name| format!("./{name}")).collect();
    expected.push(".".to_owned());
    expected.sort();
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, expected);
    // All trees; a link, whose target a kernel is told with its name; and everything else with the next.
    let fetches = fetches_of(&world);
    assert!((2..=3).contains(&fetches.len()), "{fetches:?}");
    let blob = |file| git(&repository, &["cat-file", "blob", &format!("main:{file}")], b"");
    for (file, content) in ["d24/s1/f64", "d0/s3/f80", "d23/s0/f63"].map(|file| (file, blob(file)))
    {
        assert_eq!(fs::read(tree.join(file)).expect("a file"), content, "{file}");
        assert_eq!(fs::read(tree.join(file)).expect("a file"), content, "{file}");
        assert_eq!(fetches_of(&world), [""; 0], "{file}");
    }
    let lines = git(&repository, &["grep", "-a", "line of", "main"], b"");
    let lines = lines.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(shell(&tree, "grep -r -a 'line of' . | wc -l"), lines.to_string());
    assert_eq!(fetches_of(&world), [""; 0]);
    // The same commit by another way is the same tree.
    let commit = read(&tree.with_file_name("commit"));
    let again = place(&mounted, "team/api.git/_commits").join(commit.trim()).join("tree");
    assert!(again.join("d24/s1/f64").is_file());
    let fetches = fetches_of(&world);
    assert_eq!(fetches, ["POST /team/api.git/git-upload-pack fetch"], "that of the commit");
}

#[test]
fn logs_messages_and_refs_are_what_git_says() {
    let Some(world) = World::new("git_log", NEVER, "settings.commits = 70") else { return };
    let repository = world.server.repository("api.git", "sha1", PARTIAL);
    history::generate(&repository, 120);
    let mounted = world.mount();
    let api = place(&mounted, "api.git");
    let said =
        |arguments: &[&str]| String::from_utf8(git(&repository, arguments, b"")).expect("UTF-8");
    assert_eq!(list(&api).expect("a listing"), ["_branches", "_commits", "_head", "_tags"]);
    assert_eq!(list(&api.join("_branches")).expect("a listing"), ["feature%2Fside", "main"]);
    for (shown, commit) in [
        ("_branches/main", "main"),
        ("_branches/feature%2Fside", "feature/side"),
        ("_tags/v1", "v1"),
        ("_head", "HEAD"),
    ] {
        let log = said(&["log", "--no-abbrev", "--date=iso-strict", "-n", "70", commit]);
        assert_eq!(read(&api.join(shown).join("log")), log, "{shown}");
        let hash = said(&["rev-parse", &format!("{commit}^{{commit}}")]);
        assert_eq!(read(&api.join(shown).join("commit")), hash);
        let message = said(&["cat-file", "commit", commit]);
        let message = message.split_once("\n\n").expect("a message").1;
        assert_eq!(read(&api.join(shown).join("message")), message);
    }
    assert_eq!(read(&api.join("_tags/v1/annotation")), "first\n");
    assert!(!api.join("_branches/main/annotation").exists());
    let mut newest: Vec<String> =
        said(&["log", "--format=%H", "-n", "70"]).lines().map(str::to_owned).collect();
    newest.sort();
    let mut shown = list(&api.join("_commits")).expect("a listing");
    shown.sort();
    assert_eq!(shown, newest);
    let old = said(&["rev-parse", "main~110"]);
    assert!(read(&api.join("_commits").join(old.trim()).join("log")).contains("Change 10:"));
    assert_eq!(errno(&api.join("_commits").join("1".repeat(40))), ENOENT);
    assert_eq!(errno(&api.join("_commits/main")), ENOENT);
    // A tree is no commit.
    let tree = said(&["rev-parse", "main^{tree}"]);
    assert_eq!(errno(&api.join("_commits").join(tree.trim())), ENOENT);
}

#[test]
fn a_repository_that_hashes_with_sha256_is_shown() {
    let Some(world) = World::new("git_sha256", NEVER, "") else { return };
    let repository = world.server.repository("new.git", "sha256", PARTIAL);
    history::generate(&repository, 20);
    let mounted = world.mount();
    let head = place(&mounted, "new.git/_head");
    let hash = String::from_utf8(git(&repository, &["rev-parse", "main"], b"")).expect("UTF-8");
    assert_eq!((read(&head.join("commit")), hash.len()), (hash, 65));
    let content = git(&repository, &["cat-file", "blob", "main:d24/s1/f64"], b"");
    assert_eq!(fs::read(head.join("tree/d24/s1/f64")).expect("a file"), content);
}

/// A diff is found by its name, and git makes the commit of its parent and the diff.
#[test]
fn git_applies_the_diff_of_a_commit_to_its_parent() {
    let Some(world) = World::new("git_diff", NEVER, "") else { return };
    let repository = world.server.repository("api.git", "sha1", PARTIAL);
    history::generate(&repository, 60);
    let mounted = world.mount();
    let main = place(&mounted, "api.git/_branches/main");
    assert_eq!(list(&main).expect("a listing"), ["commit", "log", "message", "tree"]);
    let diff = fs::read(main.join("diff")).expect("a diff");
    let arguments = ["diff", "--no-color", "--full-index", "--no-renames", "main~1", "main"];
    let said = git(&repository, &arguments, b"");
    assert_eq!(String::from_utf8_lossy(&diff), String::from_utf8_lossy(&said));
    let work = world.omnifs.path("work");
    let clone = format!("--git-dir={}", repository.display());
    fs::create_dir_all(&work).expect("a folder");
    let work = format!("--work-tree={}", work.display());
    let run = |arguments: &[&str], input: &[u8]| {
        git(&repository, &[&[clone.as_str(), work.as_str()], arguments].concat(), input)
    };
    run(&["read-tree", "main~1"], b"");
    run(&["apply", "--cached", "--whitespace=nowarn"], &diff);
    assert_eq!(run(&["write-tree"], b""), run(&["rev-parse", "main^{tree}"], b""));
    // The commit of a merge shows what has changed since its first parent.
    let merge = String::from_utf8(run(&["rev-parse", "main~10"], b"")).expect("UTF-8");
    let shown = fs::read(place(&mounted, "api.git/_commits").join(merge.trim()).join("diff"));
    let said = ["diff", "--no-color", "--full-index", "--no-renames", "main~10^1", "main~10"];
    assert_eq!(shown.expect("a diff"), run(&said, b""));
}

#[test]
fn a_diff_of_more_text_than_is_held_is_too_large() {
    let Some(world) = World::new("git_large_diff", NEVER, "") else { return };
    let repository = world.server.repository("api.git", "sha1", PARTIAL);
    for length in [1, 17 << 20] {
        let text = "a".repeat(length);
        let head = "commit refs/heads/main\ncommitter C <c@example.org> 1700000000 +0000\ndata 0\n";
        let input = format!("{head}M 100644 inline large\ndata {length}\n{text}\n");
        git(&repository, &["fast-import", "--quiet", "--force"], input.as_bytes());
        let branch = format!("of{length}");
        git(&repository, &["branch", &branch, "main"], b"");
    }
    let mounted = world.mount();
    let branches = place(&mounted, "api.git/_branches");
    assert!(read(&branches.join("of1/diff")).ends_with("+a\n\\ No newline at end of file\n"));
    let error = fs::read(branches.join(format!("of{}/diff", 17 << 20))).expect_err("too large");
    assert_eq!(error.raw_os_error(), Some(EFBIG));
}

/// Files of 256 KiB that nothing compresses, and answers of a mebibyte at most: three of them fit.
#[test]
fn files_that_fit_no_answer_together_are_asked_for_by_as_many_as_fit() {
    const FILES: usize = 24;
    const SIZE: usize = 256 << 10;
    let limits = "[limits]\ncontent-size = '1MiB'";
    let Some(world) = World::new("git_batches", NEVER, limits) else { return };
    let repository = world.server.repository("api.git", "sha1", PARTIAL);
    let mut input =
        b"commit refs/heads/main\ncommitter C <c@example.org> 1700000000 +0000\ndata 0\n".to_vec();
    let mut seed = 1_u32;
    let contents: Vec<Vec<u8>> = (0..FILES)
        .map(|_| {
            let byte = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            };
            (0..SIZE).map(byte).collect()
        })
        .collect();
    for (at, content) in contents.iter().enumerate() {
        input.extend(format!("M 100644 inline f{at:02}\ndata {SIZE}\n").into_bytes());
        input.extend_from_slice(content);
        input.push(b'\n');
    }
    git(&repository, &["fast-import", "--quiet"], &input);
    let mounted = world.mount();
    let tree = place(&mounted, "api.git/_head/tree");
    assert_eq!(list(&tree).expect("a listing").len(), FILES);
    world.asked();
    for (at, content) in contents.iter().enumerate() {
        assert!(fs::read(tree.join(format!("f{at:02}"))).expect("a file") == *content, "f{at:02}");
    }
    // An answer that fits brings two or three, and one that does not halves what is asked for: 23, 11 and 5 at first,
    // and 4 now and then later on. That is 16 fetches, where one for each file alone would be more than 24.
    let fetches = fetches_of(&world).len();
    assert!(fetches < FILES, "{fetches} fetches");
}

#[test]
fn an_empty_repository_has_no_branches_and_an_empty_head() {
    let Some(world) = World::new("git_empty", NEVER, "") else { return };
    world.server.repository("empty.git", "sha1", PARTIAL);
    let mounted = world.mount();
    let empty = place(&mounted, "empty.git");
    for room in ["_branches", "_tags", "_head", "_commits"] {
        assert_eq!(list(&empty.join(room)).expect("a listing"), [""; 0], "{room}");
    }
    assert_eq!(errno(&empty.join("_branches/main")), ENOENT);
}

#[test]
fn the_setting_is_listed_and_what_is_no_repository_leads_no_deeper_than_a_path_may() {
    let Some(world) = World::new("git_places", NEVER, "") else { return };
    let secret = world.omnifs.path("secret");
    fs::write(&secret, "user:word\n").expect("a secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("nobody else reads it");
    world.configure(&format!(
        "settings.repositories = 'team/api.git, tools'\ncredential-file = '{}'",
        secret.display()
    ));
    for path in ["team/api.git", "tools", "team/hidden.git", "private/own.git"] {
        history::generate(&world.server.repository(path, "sha1", PARTIAL), 2);
    }
    let mounted = world.mount();
    let root = mounted.join("git");
    // Beside the host's own files.
    assert_eq!(list(&root).expect("a listing"), ["AGENTS.md", "README.md", "team", "tools"]);
    assert_eq!(list(&root.join("team")).expect("a listing"), ["api.git"]);
    for found in ["team/api.git", "tools", "team/hidden.git", "private/own.git"] {
        let commit = read(&root.join(found).join("_branches/main/commit"));
        assert_eq!(commit.len(), 41, "{found}");
    }
    for absent in [".git", "team/_branches", "tools/nothing", "a/b/c/d/e/f/g", "a/b/c/d/e/f/g/h"] {
        assert_eq!(errno(&root.join(absent)), ENOENT, "{absent}");
    }
    assert!(root.join("a/b/c/d/e/f").is_dir(), "may lead to one");
    world.server.set_broken(true);
    assert_eq!(errno(&root.join("other")), EIO, "a server that is down says nothing of names");
}

#[test]
fn what_a_server_hides_is_refused_and_not_absent() {
    let Some(world) = World::new("git_hidden", NEVER, "") else { return };
    history::generate(&world.server.repository("private/own.git", "sha1", PARTIAL), 2);
    let mounted = world.mount();
    let own = mounted.join("git/private/own.git");
    assert_eq!(errno_of_listing(&own), EACCES);
    assert_eq!(errno(&own.join("_branches")), EACCES);
}

fn errno_of_listing(directory: &Path) -> i32 {
    let read = fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    read.expect_err("refused").raw_os_error().expect("of the system")
}
