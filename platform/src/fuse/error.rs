//! Why a mount or an unmount did not happen. Each message is one line that says what to do.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum MountError {
    #[error("{} does not exist: create it with `mkdir -p {}`", .0.display(), .0.display())]
    Missing(PathBuf),
    #[error("{} is not a directory: choose an empty directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("{} is not empty: choose an empty directory", .0.display())]
    NotEmpty(PathBuf),
    #[error(
        "omnifs is already mounted on {}: unmount it with `omnifs unmount {}`",
        .0.display(), .0.display()
    )]
    AlreadyMounted(PathBuf),
    #[error("{} may not be used by this user: choose a directory that you own", .0.display())]
    NotPermitted(PathBuf),
    #[error("{} could not be inspected: {source}", path.display())]
    Inspect { path: PathBuf, source: io::Error },
    #[error(
        "/dev/fuse is missing: load the module with `modprobe fuse`, or give the container the \
         device (`--device /dev/fuse`)"
    )]
    NoDevice,
    #[error(
        "/dev/fuse may not be opened: give this user access to it, or mount as root (in a \
         container also `--cap-add SYS_ADMIN`)"
    )]
    DeviceDenied,
    #[error("fusermount3 is not installed: install the package `fuse3`, or mount as root")]
    NoHelper,
    #[error(
        "--allow-other is not allowed for this user: add the line `user_allow_other` to \
         /etc/fuse.conf"
    )]
    AllowOther,
    #[error("fusermount3 refused to mount: {0}")]
    Helper(String),
    #[error("{what} failed: {source}")]
    System { what: &'static str, source: io::Error },
}

#[derive(Debug, Error)]
pub enum UnmountError {
    #[error(
        "{} is in use: close the files and shells in it, or use `omnifs unmount --force`",
        .0.display()
    )]
    Busy(PathBuf),
    #[error("omnifs is not mounted on {}", .0.display())]
    NotMounted(PathBuf),
    #[error("{} could not be unmounted: {source}", path.display())]
    System { path: PathBuf, source: io::Error },
}
