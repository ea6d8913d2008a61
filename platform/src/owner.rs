//! Whose the files of a mount are shown to be.
//!
//! Many programs run by themselves what a directory of their own user says: git a repository's
//! `core.fsmonitor`, Mercurial its hooks, editors their settings. What is in a mount was written by
//! whoever writes to the service, so it is shown as nobody's: those programs then leave it alone. It
//! costs no access, since everything may be read by whoever may enter.

/// User and group numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// What Linux shows for users that it cannot name (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65_534;

impl Owner {
    /// Nobody; and for a process that itself runs as nobody, one that it is not.
    pub fn nobody() -> Owner {
        #[cfg(unix)]
        let own = rustix::process::geteuid().as_raw();
        #[cfg(not(unix))]
        let own = 0;
        let number = if own == NOBODY { NOBODY - 1 } else { NOBODY };
        Owner { uid: number, gid: number }
    }
}
