//! Why a mount did not happen. Each message is one line, and says what to do unless its hint does.

use crate::mounting;
use std::io;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum MountError {
    #[error(transparent)]
    Mountpoint(#[from] mounting::Error),
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

impl MountError {
    /// What to do about it, where the message does not say so itself.
    pub fn hint(&self) -> Option<String> {
        match self {
            MountError::Mountpoint(error) => error.hint(),
            _ => None,
        }
    }
}
