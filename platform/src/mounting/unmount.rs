//! Taking a mount away.

use super::{Error, Mount, UnmountMode, mounted_at};
use crate::child;
use std::path::Path;

/// Unmounts what is at the resolved path. Nothing there: done.
///
/// # Errors
/// It is in use, or this user may not.
pub fn detach(path: &Path, how: UnmountMode) -> Result<(), Error> {
    match mounted_at(path) {
        Some(mount) => unmount(&mount, how),
        None => Ok(()),
    }
}

/// Unmounts this mount and no other, whichever way its path leads meanwhile.
///
/// By force, a FUSE connection is ended first. A process that is killed while it tells the kernel of a name
/// may not end: the kernel has it wait for a directory that a reader holds, who waits for the process.
/// That lets both go.
///
/// # Errors
/// It is in use, is gone, or this user may not.
#[cfg(target_os = "linux")]
pub fn unmount(mount: &Mount, how: UnmountMode) -> Result<(), Error> {
    use super::numbered;
    use rustix::io::Errno;
    if how == UnmountMode::Force {
        // For whoever is not root; not every machine lets them.
        let _ = abort(mount);
    }
    for _ in 0..ATTEMPTS {
        let present = numbered(mount.id).filter(|present| present.minor == mount.minor);
        let Some(mount) = present else { return Err(Error::NotMounted(mount.path.clone())) };
        match attempt(&mount, how) {
            Ok(()) => return Ok(()),
            // Its directory has another name by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => {}
            Err(Errno::BUSY) => return Err(Error::Busy(mount.path)),
            Err(Errno::PERM) if mount.kind.starts_with("fuse") => {
                let how = if how == UnmountMode::Clean { "-u" } else { "-uz" };
                let arguments = [how.into(), "--".into(), mount.path.clone().into()];
                return by_programs(&mount.path, [("fusermount3".into(), arguments.into())]);
            }
            Err(why) => return Err(Error::Detach { path: mount.path, why: why.to_string() }),
        }
    }
    let why = "something is mounted over it, or the directories above it are moved all the time";
    let why = why.to_owned();
    Err(Error::Detach { path: mount.path.clone(), why })
}

/// For somebody who moves the directory while it is unmounted.
#[cfg(target_os = "linux")]
const ATTEMPTS: usize = 100;

/// Unmounts it at its path of this moment. ENOENT: it is not there any more.
#[cfg(target_os = "linux")]
fn attempt(mount: &Mount, how: UnmountMode) -> rustix::io::Result<()> {
    use super::descriptor_path;
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    use rustix::mount::UnmountFlags;
    let flags = match how {
        UnmountMode::Clean => UnmountFlags::empty(),
        UnmountMode::Lazy => UnmountFlags::DETACH,
        UnmountMode::Force => UnmountFlags::DETACH | UnmountFlags::FORCE,
    };
    let flags = flags | UnmountFlags::NOFOLLOW;
    let (Some(parent), Some(name)) = (mount.path.parent(), mount.path.file_name()) else {
        return rustix::mount::unmount(&mount.path, flags);
    };
    // Named from the directory that it is in, which is held: nobody can move a name that is mounted on.
    let held = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, held, Mode::empty())?;
    let by_parent = descriptor_path(&parent);
    let real = std::fs::read_link(&by_parent).map_err(|_| Errno::NOENT)?.join(name);
    match mounted_at(&real) {
        Some(topmost) if topmost.id == mount.id => {
            rustix::mount::unmount(by_parent.join(name), flags)
        }
        _ => Err(Errno::NOENT),
    }
}

/// Unmounts it by the system's own programs.
///
/// # Errors
/// It is in use, or this user may not.
#[cfg(not(target_os = "linux"))]
pub fn unmount(mount: &Mount, how: UnmountMode) -> Result<(), Error> {
    let commands = super::macos::unmount_commands(&mount.path, how != UnmountMode::Clean);
    by_programs(&mount.path, commands)
}

/// The first one that succeeds.
fn by_programs(
    path: &Path,
    commands: impl IntoIterator<Item = (std::path::PathBuf, Vec<std::ffi::OsString>)>,
) -> Result<(), Error> {
    let mut why = String::new();
    for (program, arguments) in commands {
        why = match child::command(&program).args(arguments).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
            Err(error) => format!("{} cannot be run: {error}", program.display()),
        };
    }
    if why.to_ascii_lowercase().contains("busy") {
        return Err(Error::Busy(path.to_owned()));
    }
    Err(Error::Detach { path: path.to_owned(), why })
}

/// Ends a FUSE connection at once: every waiting call fails with ENOTCONN. Needs the fusectl file system,
/// which not every machine has mounted.
///
/// # Errors
/// It is another user's, no FUSE mount of ours, or cannot be reached.
#[cfg(target_os = "linux")]
pub(crate) fn abort(mount: &Mount) -> std::io::Result<()> {
    if mount.kind != "fuse.omnifs" {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    std::fs::write(format!("/sys/fs/fuse/connections/{}/abort", mount.minor), "1")
}
