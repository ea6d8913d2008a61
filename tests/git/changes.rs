//! A push shows by the next poll, and nothing else is asked for.

use crate::server::git;
use crate::{NEVER, OFTEN, PARTIAL, SOON, World, await_live, history, place};
use omnifs_support::tools::{await_content, await_gone, read};
use omnifs_support::wait_until;
use std::fs;

fn push(repository: &std::path::Path, branch: &str, content: &str) -> String {
    let input = format!(
        "commit refs/heads/{branch}\ncommitter P <p@example.org> 1800000000 +0000\ndata 4\npush\n\
         from refs/heads/main^0\nM 100644 inline pushed\ndata {}\n{content}\n",
        content.len()
    );
    git(repository, &["fast-import", "--quiet", "--force"], input.as_bytes());
    String::from_utf8(git(repository, &["rev-parse", branch], b"")).expect("UTF-8")
}

#[test]
fn a_push_a_new_branch_and_a_deleted_one_show_by_the_next_poll() {
    let Some(world) = World::new("git_push", OFTEN, "") else { return };
    let repository = world.server.repository("api.git", "sha1", PARTIAL);
    history::generate(&repository, 60);
    let mounted = world.mount();
    let branches = place(&mounted, "api.git/_branches");
    let (commit, file) = (branches.join("main/commit"), branches.join("main/tree/pushed"));
    let before = read(&commit);
    assert!(!file.exists());
    let after = push(&repository, "main", "one");
    assert_ne!(before, after);
    await_content(&commit, &after, SOON);
    await_content(&file, "one", SOON);
    await_content(&place(&mounted, "api.git/_head/commit"), &after, SOON);
    // The commit before is what it was.
    let old = place(&mounted, "api.git/_commits").join(before.trim()).join("tree");
    assert!(old.join("d24").is_dir() && !old.join("pushed").exists());

    assert!(!branches.join("new").exists());
    let new = push(&repository, "new", "two");
    await_content(&branches.join("new/commit"), &new, SOON);
    git(&repository, &["branch", "-D", "-q", "new"], b"");
    await_gone(&branches.join("new"), SOON);
}

#[test]
fn nothing_is_asked_while_nothing_is_pushed() {
    let Some(world) = World::new("git_quiet", NEVER, "") else { return };
    let repository = world.server.repository("team/api.git", "sha1", PARTIAL);
    history::generate(&repository, 60);
    let mounted = world.mount();
    let main = place(&mounted, "team/api.git/_branches/main");
    let all = || {
        (
            read(&main.join("commit")),
            read(&main.join("log")),
            fs::read(main.join("tree/d24/s1/f64")).ok(),
        )
    };
    let first = all();
    await_live(&mounted);
    assert_eq!(all(), first);
    world.server.requests();
    for _ in 0..20 {
        assert_eq!(all(), first);
    }
    assert_eq!(world.server.requests(), [""; 0]);
}

#[test]
fn a_directory_that_has_become_a_repository_shows_as_one() {
    let Some(world) = World::new("git_way", OFTEN, "") else { return };
    let mounted = world.mount();
    let later = place(&mounted, "team/later");
    assert!(later.is_dir());
    history::generate(&world.server.repository("team/later", "sha1", PARTIAL), 2);
    let shown = wait_until(SOON, || fs::read_to_string(later.join("_head/commit")).ok());
    assert_eq!(shown.map(|commit| commit.len()), Some(41));
}

#[test]
fn a_server_that_is_down_is_an_error_and_what_has_a_hash_stays() {
    let Some(world) = World::new("git_down", NEVER, "") else { return };
    let repository = world.server.repository("api.git", "sha1", PARTIAL);
    history::generate(&repository, 60);
    let mounted = world.mount();
    let tree = place(&mounted, "api.git/_head/tree");
    let content = fs::read(tree.join("d24/s1/f64")).expect("a file");
    let directory = fs::File::open(&tree).expect("a directory");
    world.server.set_broken(true);
    let inside =
        format!("/proc/self/fd/{}/d24/s1/f64", std::os::fd::AsRawFd::as_raw_fd(&directory));
    assert_eq!(fs::read(inside).expect("it is in memory"), content);
    let error = fs::read(tree.join("d0/s3/f80")).expect_err("nobody answers");
    assert_eq!(error.raw_os_error(), Some(5));
}
