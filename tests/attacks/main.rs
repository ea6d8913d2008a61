//! What other users of the machine, files that lie about and components that are not meant well try, each
//! against the real program. THREAT-MODEL.md says which attack is held off by which test, here and
//! elsewhere.

#![cfg(target_os = "linux")]

mod files;
mod mount;
mod neighbours;

use omnifs_support::skip;
use std::path::PathBuf;

/// Only root can act as another user.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "only root can act as another user");
    }
    root
}

/// A user who owns nothing here.
const STRANGER: u32 = 54_321;

/// Runs something as [`STRANGER`], in a thread of its own: on Linux the system call changes the one thread.
fn as_a_stranger<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            // SAFETY: system calls on numbers; they change nothing but this thread's own identity.
            let done = unsafe {
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>())
                    | libc::syscall(libc::SYS_setresgid, STRANGER, STRANGER, STRANGER)
                    | libc::syscall(libc::SYS_setresuid, STRANGER, STRANGER, STRANGER)
            };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            act()
        });
        acting.join().expect("the stranger's thread")
    })
}

/// The file of a home's configuration directory and so on, readable by everybody on the way.
fn open_to_all(path: PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    for place in path.ancestors().take_while(|place| *place != std::path::Path::new("/tmp")) {
        if place.exists() {
            let mode = if place.is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).expect("chmod");
        }
    }
}
