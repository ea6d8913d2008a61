//! What the operating system could give away of the daemon's memory.

use crate::{From, World, used, without_token};
use omnifs_support::skip;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_crash_leaves_no_core_dump() {
    let Some(world) = World::new("core_dump", From::Environment) else { return };
    // Children inherit it.
    let most = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: most, maximum: most }).expect("a limit");
    let scratch = tempfile::tempdir().expect("a directory");
    let plain =
        Command::new("sh").args(["-c", "kill -ABRT $$"]).current_dir(scratch.path()).status();
    if !plain.expect("sh").core_dumped() {
        return skip("a_crash_leaves_no_core_dump", "this system writes no core dumps: ulimit -c");
    }
    let mut mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    used(&mounted);
    mounted.signal(Signal::ABORT);
    let ended = mounted.ended(Duration::from_secs(60)).expect("it ends");
    assert!(ended.signal().is_some(), "{ended}");
    assert!(!ended.core_dumped(), "{ended}");
}

#[test]
fn another_user_cannot_read_the_daemons_environment() {
    let Some(world) = World::new("environ", From::Environment) else { return };
    let mounted = world.omnifs.mount::<&str>(&[]).expect("mount");
    used(&mounted);
    if !rustix::process::geteuid().is_root() {
        return skip("another_user", "only root can become another user here");
    }
    // Root itself may read it: the variable was given to the process in its environment.
    let file = format!("/proc/{}/environ", mounted.pid());
    let other = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat", &file])
        .output();
    let Ok(other) = other else { return skip("another_user", "setpriv is not installed") };
    assert!(!other.status.success());
    without_token("environ for another user", &other.stdout);
    let maps = fs::metadata(format!("/proc/{}/mem", mounted.pid())).expect("stat");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&maps), 0);
}
