//! What stands at a path before something is mounted there, and the repair of what a killed
//! process left.

use super::error::{MountError, UnmountError};
use super::mountinfo::{self, Mount};
use super::{Unmount, device};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a mounted daemon may take to answer before it counts as hung, not dead.
const ANSWER: Duration = Duration::from_secs(2);

/// What [`inspect_mountpoint`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mountpoint {
    Missing,
    NotADirectory,
    NotEmpty,
    /// An omnifs is mounted there and its process lives; `responsive` if it also answers.
    AlreadyMounted {
        responsive: bool,
    },
    /// The process that served an omnifs there is gone: [`repair_stale`] mends it.
    Stale,
    /// The directory is not this user's to mount on.
    NotPermitted,
    Ready,
}

impl Mountpoint {
    /// The error that keeps a mount from `path`, if any.
    pub(super) fn refusal(self, path: &Path) -> Option<MountError> {
        let path = path.to_owned();
        match self {
            Mountpoint::Missing => Some(MountError::Missing(path)),
            Mountpoint::NotADirectory => Some(MountError::NotADirectory(path)),
            Mountpoint::NotEmpty => Some(MountError::NotEmpty(path)),
            Mountpoint::AlreadyMounted { .. } => Some(MountError::AlreadyMounted(path)),
            Mountpoint::NotPermitted => Some(MountError::NotPermitted(path)),
            Mountpoint::Stale | Mountpoint::Ready => None,
        }
    }
}

/// A directory to mount on, held open: whoever may write above it can have its path lead elsewhere at any
/// time, and what is judged must be what is mounted on.
#[derive(Debug)]
pub(super) struct Place {
    pub directory: OwnedFd,
    /// Where it was when it was opened, without symbolic links.
    pub path: PathBuf,
}

impl Place {
    /// Opens an empty directory by its resolved path.
    pub fn hold(path: &Path) -> Result<Place, MountError> {
        let inspect = |source| MountError::Inspect { path: path.to_owned(), source };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| inspect(error.into()))?;
        let real =
            fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).map_err(inspect)?;
        if real != path {
            let text = format!("it has become {} meanwhile", real.display());
            return Err(inspect(io::Error::other(text)));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(&directory, c".", flags, Mode::empty())
            .and_then(rustix::fs::Dir::new)
            .map_err(|error| inspect(error.into()))?;
        for entry in listed {
            let entry = entry.map_err(|error| inspect(error.into()))?;
            if ![c".", c".."].contains(&entry.file_name()) {
                return Err(MountError::NotEmpty(path.to_owned()));
            }
        }
        Ok(Place { directory, path: path.to_owned() })
    }
}

/// Says whether something can be mounted on `path`. Never hangs on a dead or hung mount.
pub fn inspect_mountpoint(path: &Path) -> io::Result<Mountpoint> {
    if let Some(mount) = mounted_at(path)?.filter(Mount::is_ours) {
        return Ok(match answers(&mount.point) {
            Some(Err(error)) if is_dead(&error) => Mountpoint::Stale,
            Some(_) => Mountpoint::AlreadyMounted { responsive: true },
            None => Mountpoint::AlreadyMounted { responsive: false },
        });
    }
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => return Ok(Mountpoint::NotADirectory),
        Ok(_) => {}
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(Mountpoint::Missing),
                io::ErrorKind::NotADirectory => Ok(Mountpoint::NotADirectory),
                io::ErrorKind::PermissionDenied => Ok(Mountpoint::NotPermitted),
                _ => Err(error),
            };
        }
    }
    match fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Ok(Mountpoint::NotEmpty),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Mountpoint::NotPermitted);
        }
        Err(error) => return Err(error),
    }
    // The rule of fusermount3 for ordinary users.
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
        return Ok(Mountpoint::NotPermitted);
    }
    Ok(Mountpoint::Ready)
}

/// Unmounts an omnifs on `path` whose process is gone. Says whether there was one.
pub fn repair_stale(path: &Path) -> Result<bool, UnmountError> {
    let system = |source| UnmountError::System { path: path.to_owned(), source };
    let mut repaired = false;
    while let Some(mount) = mounted_at(path).map_err(system)?.filter(Mount::is_ours) {
        match answers(&mount.point) {
            Some(Err(error)) if is_dead(&error) => device::unmount(&mount.point, Unmount::Lazy)?,
            _ => break,
        }
        repaired = true;
    }
    Ok(repaired)
}

/// The mount on `path`, found without asking the file system mounted there: on a dead one even
/// `stat` fails, and on a hung one it waits.
pub(super) fn mounted_at(path: &Path) -> io::Result<Option<Mount>> {
    let absolute = std::path::absolute(path)?;
    let place = match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    };
    if let Some(mount) = mountinfo::at(&place)? {
        return Ok(Some(mount));
    }
    // A symbolic link to the mount point.
    match fs::canonicalize(&place) {
        Ok(target) if target != place => mountinfo::at(&target),
        _ => Ok(None),
    }
}

/// What `statfs` says, which the kernel never answers from a cache; `None` if it does not return in
/// time. The waiting thread is left behind: it
/// cannot be interrupted, and ends with the mount.
fn answers(point: &Path) -> Option<io::Result<()>> {
    let (sender, receiver) = mpsc::channel();
    let point: PathBuf = point.to_owned();
    let probe = move || sender.send(rustix::fs::statvfs(&point).map(drop).map_err(Into::into));
    thread::Builder::new().name("omnifs-probe".into()).spawn(probe).ok()?;
    receiver.recv_timeout(ANSWER).ok()
}

/// The kernel's answers once the last descriptor of the FUSE device is closed.
fn is_dead(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_before_a_mount_has_its_verdict() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir_all(at("full/inner")).unwrap();
        let verdict = |name| inspect_mountpoint(&at(name)).unwrap();
        assert_eq!(verdict("none"), Mountpoint::Missing);
        assert_eq!(verdict("none/below"), Mountpoint::Missing);
        assert_eq!(verdict("file"), Mountpoint::NotADirectory);
        assert_eq!(verdict("file/below"), Mountpoint::NotADirectory);
        assert_eq!(verdict("full"), Mountpoint::NotEmpty);
        assert_eq!(verdict("empty"), Mountpoint::Ready);
        assert!(!repair_stale(&at("empty")).unwrap());
    }

    #[test]
    fn a_directory_whose_path_leads_elsewhere_by_now_is_not_held() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("own/m")).unwrap();
        fs::create_dir_all(base.join("other/m")).unwrap();
        let path = base.join("own/m");
        let held = Place::hold(&path).unwrap();
        fs::rename(base.join("own"), base.join("moved")).unwrap();
        std::os::unix::fs::symlink(base.join("other"), base.join("own")).unwrap();
        let error = Place::hold(&path).unwrap_err().to_string();
        assert!(error.contains("it has become") && error.contains("other/m"), "{error}");
        // What was held is what it was.
        let now = fs::read_link(format!("/proc/self/fd/{}", held.directory.as_raw_fd())).unwrap();
        assert_eq!(now, base.join("moved/m"));
    }

    #[test]
    fn a_refusal_is_one_line_that_says_what_to_do() {
        let refusal = |verdict: Mountpoint| verdict.refusal(Path::new("/m")).unwrap().to_string();
        assert!(refusal(Mountpoint::Missing).contains("mkdir -p /m"));
        assert!(refusal(Mountpoint::NotEmpty).contains("choose an empty directory"));
        let mounted = refusal(Mountpoint::AlreadyMounted { responsive: true });
        assert!(mounted.contains("omnifs unmount /m"));
        assert!(!mounted.contains('\n'));
        assert!(Mountpoint::Ready.refusal(Path::new("/m")).is_none());
    }
}
