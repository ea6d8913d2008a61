//! The same test once more, run by an ordinary user: other mounts, other requests of the kernel.

use crate::{components, program, skip, target_directory, tied};
use std::process::Command;
use std::time::Duration;

/// Set for the test that is run by an ordinary user.
const AS_USER: &str = "OMNIFS_TEST_AS_USER";
/// The exit status of such a test that cannot run.
const SKIPPED: i32 = 77;
/// A user that owns nothing.
const NOBODY: &str = "65534";
const LONGEST: Duration = Duration::from_secs(300);

/// Runs the test of this name, as the test program's `--exact` takes it, as an ordinary user who may open
/// the FUSE device, and asserts that it passes. True in that run itself, and where this user is an ordinary
/// one already: then the caller does the work.
pub fn is_ordinary(test: &str) -> bool {
    if std::env::var_os(AS_USER).is_some() || !rustix::process::geteuid().is_root() {
        return true;
    }
    let needed = ["unshare", "setpriv", "fusermount3"];
    if let Some(missing) = needed.iter().find(|name| program(name).is_none()) {
        skip(test, &format!("{missing} is not installed"));
        return false;
    }
    let (Some(target), Some(components)) = (target_directory(), components()) else {
        skip(test, "nothing is built: cargo xtask test");
        return false;
    };
    let program = std::env::current_exe().expect("this program");
    let inside = program.strip_prefix(&target).expect("a program below the target directory");
    let room = tempfile::tempdir().expect("a directory");
    // The FUSE device as it is on most machines, one that any user may open; and what was built, which may
    // lie where nobody else may look.
    let script = "mount -t tmpfs none \"$0\" && mknod -m 666 \"$0/fuse\" c 10 229 && \
                  mount --bind \"$0/fuse\" /dev/fuse && mkdir \"$0/target\" \"$0/components\" && \
                  mount --bind \"$1\" \"$0/target\" && mount --bind \"$2\" \"$0/components\" && \
                  exec setpriv --reuid \"$3\" --regid \"$3\" --clear-groups \"$0/target/$4\" --exact \
                  \"$5\" --nocapture --test-threads=1";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(room.path()).args([&target, &components]);
    command.arg(NOBODY).arg(inside).arg(test).current_dir("/").env(AS_USER, "1");
    command.env("OMNIFS_COMPONENTS", room.path().join("components"));
    let mut child = tied::spawn(command).expect("unshare");
    let ended = tied::wait(&mut child, LONGEST);
    match ended.and_then(|status| status.code()) {
        Some(0) => {}
        Some(SKIPPED) => skip(test, "it did not run as an ordinary user either; see above"),
        _ => panic!("{test}: {ended:?}"),
    }
    false
}

/// Has a test that cannot run say so to the one that started it, which would else take it for passed.
pub(crate) fn end_if_ordinary() {
    if std::env::var_os(AS_USER).is_some() {
        std::process::exit(SKIPPED);
    }
}
