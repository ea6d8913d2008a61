//! The same test once more, run by an ordinary user: other mounts, other requests of the kernel.

use crate::{components, program, skip, target_directory, tied};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Set for the test that is run by an ordinary user.
const AS_USER: &str = "OMNIFS_TEST_AS_USER";
/// The exit status of such a test that cannot run.
const SKIPPED: i32 = 77;
/// A user that owns nothing.
const NOBODY: &str = "65534";
const LONGEST: Duration = Duration::from_secs(300);

/// Whether this program runs as [`command`] starts it.
pub fn is_started_so() -> bool {
    std::env::var_os(AS_USER).is_some()
}

/// This program once more, run by an ordinary user who may open the FUSE device, in a mount namespace of its
/// own. Needs root.
///
/// # Errors
/// What is missing, in one line.
pub fn command(room: &Path, arguments: &[&str]) -> Result<Command, String> {
    let needed = ["unshare", "setpriv", "fusermount3"];
    if let Some(missing) = needed.iter().find(|name| program(name).is_none()) {
        return Err(format!("{missing} is not installed"));
    }
    let built = target_directory().zip(components());
    let (target, components) = built.ok_or("nothing is built: cargo xtask test")?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let inside = program.strip_prefix(&target).map_err(|error| error.to_string())?;
    // The FUSE device as it is on most machines, one that any user may open; a user may let others in; and what
    // was built, which may lie where nobody else may look.
    let script = "room=$0; target=$1; components=$2; user=$3; program=$4; shift 4; \
                  mount -t tmpfs none \"$room\" && mknod -m 666 \"$room/fuse\" c 10 229 && \
                  mount --bind \"$room/fuse\" /dev/fuse && \
                  echo user_allow_other > \"$room/fuse.conf\" && \
                  mount --bind \"$room/fuse.conf\" /etc/fuse.conf && mkdir \"$room/target\" \"$room/components\" && \
                  mount --bind \"$target\" \"$room/target\" && \
                  mount --bind \"$components\" \"$room/components\" && \
                  exec setpriv --reuid \"$user\" --regid \"$user\" --clear-groups \
                  \"$room/target/$program\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(room).args([&target, &components]);
    command.arg(NOBODY).arg(inside).args(arguments).current_dir("/").env(AS_USER, "1");
    command.env("OMNIFS_COMPONENTS", room.join("components"));
    Ok(command)
}

/// Runs the test of this name, as the test program's `--exact` takes it, as an ordinary user, and asserts that
/// it passes. True in that run itself, and where this user is an ordinary one already: then the caller does
/// the work.
pub fn is_ordinary(test: &str) -> bool {
    if is_started_so() || !rustix::process::geteuid().is_root() {
        return true;
    }
    let room = tempfile::tempdir().expect("a directory");
    let arguments = ["--exact", test, "--nocapture", "--test-threads=1"];
    let command = match command(room.path(), &arguments) {
        Ok(command) => command,
        Err(reason) => {
            skip(test, &reason);
            return false;
        }
    };
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
    if is_started_so() {
        std::process::exit(SKIPPED);
    }
}
