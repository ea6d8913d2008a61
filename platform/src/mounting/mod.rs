//! The directory that a mount covers: whether it can be used, what is mounted there, and how it is given
//! back. The same for every back end.
//!
//! Invariants: nothing here waits for a file system that may hang, and what is mounted or unmounted is
//! what was judged, whoever moves the directories above it meanwhile.

#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
mod macos;
#[cfg(target_os = "linux")]
mod place;
#[cfg(unix)]
mod prepare;
mod table;
#[cfg(unix)]
mod unmount;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use place::{Place, descriptor_path, mount_number};
#[cfg(unix)]
pub use prepare::{prepare, resolve};
#[cfg(test)]
pub(crate) use table::NFS_SOURCE;
#[cfg(target_os = "linux")]
pub use table::elsewhere;
#[cfg(target_os = "linux")]
pub(crate) use table::numbered;
pub use table::{Mount, mounted_at, table};
#[cfg(target_os = "linux")]
pub(crate) use unmount::abort;
#[cfg(unix)]
pub use unmount::{detach, unmount};
#[cfg(all(windows, target_env = "msvc"))]
pub(crate) use windows::Machine;
#[cfg(windows)]
pub use windows::{detach, point, prepare, resolve, unmount};

use crate::shell::quoted;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// How hard to unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmountMode {
    /// Fails with [`Error::Busy`] while something is open below.
    Clean,
    /// Out of the tree now; what is open below keeps working, and the session ends with the last
    /// of it.
    Lazy,
    /// Out of the tree now, and every call that waits fails: through FUSE with ENOTCONN, unless an ordinary
    /// user is on a machine without the fusectl file system, where it is [`UnmountMode::Lazy`].
    Force,
}

impl UnmountMode {
    /// As the command's `--force` says.
    pub fn forced(force: bool) -> UnmountMode {
        if force { UnmountMode::Force } else { UnmountMode::Clean }
    }
}

/// Why a directory cannot be mounted on, or a mount cannot be taken away. [`Error::hint`] says what to do.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a directory", .0.display())]
    NotDirectory(PathBuf),
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("no permission to mount at {}", .0.display())]
    NotPermitted(PathBuf),
    #[error("omnifs is already mounted at {}", .0.display())]
    Mounted(PathBuf),
    #[error("a {kind} file system whose process has ended is mounted at {}", path.display())]
    Dead { path: PathBuf, kind: String },
    #[error("{} cannot be used: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("{} is in use", .0.display())]
    Busy(PathBuf),
    #[error("omnifs is not mounted at {}", .0.display())]
    NotMounted(PathBuf),
    #[error("cannot unmount {}: {why}", path.display())]
    Detach { path: PathBuf, why: String },
    /// Says what to do itself.
    #[error(transparent)]
    Windows(#[from] crate::winfsp::Refusal),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Missing(path) => format!("create it: mkdir -p {}", quoted(path)),
            Error::NotDirectory(_) => "name a directory".into(),
            Error::NotEmpty(_) => "its files would be hidden: name an empty directory".into(),
            Error::NotPermitted(_) => {
                "name a directory that is yours and that you may write".into()
            }
            Error::Mounted(path) => format!("unmount it first: omnifs unmount {}", quoted(path)),
            Error::Dead { path, .. } => {
                format!("detach it first: fusermount3 -uz {}", quoted(path))
            }
            Error::NotMounted(_) => "`omnifs status` lists the mounts".into(),
            Error::Unusable { .. } | Error::Windows(_) => return None,
            Error::Busy(path) => format!(
                "close what uses it (`lsof +f -- {0}` lists it), or: omnifs unmount --force {0}",
                quoted(path)
            ),
            Error::Detach { .. } => "`omnifs doctor` checks what unmounting needs".into(),
        })
    }
}
