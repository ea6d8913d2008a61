//! Directories of a mount as volumes of a container engine: what the engine asks its plugins, over a unix socket.
//!
//! A volume is a name and a path below the mountpoint. Nothing is mounted for one: the engine is told where the directory
//! is, and binds it into a container by itself.
//!
//! Invariants: no answer leads out of the mount, and none names a directory where nothing is mounted; every answer comes
//! within seconds, whatever the mount does; what was answered is on the disk before.

mod kept;
mod place;
mod server;

pub use kept::{Kept, Volume};
pub use place::{Below, Tree};
pub use server::Plugin;

use crate::paths::{self, quoted};
use std::io;
use std::path::PathBuf;

/// Why the plugin does not start, or does not do what the engine asked. To the engine it is one line with its hint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("another process serves the volumes of {}", .0.display())]
    Taken(PathBuf),
    #[error("cannot keep the volumes in {}: {source}", path.display())]
    Unkept { path: PathBuf, source: io::Error },
    #[error("{} does not hold volumes: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("cannot listen at {}: {source}", path.display())]
    Listen { path: PathBuf, source: io::Error },
    #[error("the request is not understood: {0}")]
    Request(String),
    #[error("'{0}' is no name of a volume")]
    Name(String),
    #[error("there is no volume '{0}'")]
    Unknown(String),
    #[error("there is a volume '{name}' already, of '{path}'")]
    Exists { name: String, path: String },
    #[error("there are {0} volumes already")]
    TooMany(usize),
    #[error("the volume '{0}' is in use by a container")]
    InUse(String),
    #[error("no option is called '{0}'")]
    Option(String),
    #[error("path={0:?} is no path below the mount")]
    Path(String),
    #[error("nothing is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    #[error("what was mounted at {} has ended", .0.display())]
    Dead(PathBuf),
    #[error("the mount at {} is one user's alone", .0.display())]
    Private(PathBuf),
    #[error("the mount at {} did not say within {} seconds what '{path}' is", mountpoint.display(), place::PATIENCE.as_secs())]
    Silent { mountpoint: PathBuf, path: String },
    #[error("there is no '{path}' in the mount at {}", mountpoint.display())]
    Absent { mountpoint: PathBuf, path: String },
    #[error("'{0}' is not a directory")]
    NotDirectory(String),
    #[error("'{0}' leads out of the mount")]
    Outside(String),
    #[error("'{path}' cannot be entered: {source}")]
    Unreadable { path: String, source: io::Error },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Taken(_) => "end that one, or give this one another --socket".into(),
            Error::Unkept { path, source } | Error::Listen { path, source } => {
                return paths::remedy(path, source);
            }
            Error::Damaged { path, .. } => {
                format!("remove it, and make the volumes again: rm {}", quoted(path))
            }
            Error::Name(_) => {
                "it has letters, digits, '_', '.' and '-', begins with a letter or a digit, and is no longer than 128"
                    .into()
            }
            Error::Exists { .. } => "remove it first, or choose another name".into(),
            Error::InUse(_) => "remove the containers that have it first".into(),
            Error::Option(_) => "the only option is path, a directory below the mount".into(),
            Error::Path(_) => {
                "give a relative path without '.' and '..', as in path=SERVICE/a/b".into()
            }
            Error::NotMounted(at) => {
                format!("mount there on the engine's machine: omnifs mount --allow-other {}", quoted(at))
            }
            Error::Dead(at) => {
                format!("mount there again, and start the container again: omnifs mount --allow-other {}", quoted(at))
            }
            Error::Private(at) => {
                format!("mount it with --allow-other: omnifs mount --allow-other {}", quoted(at))
            }
            Error::Silent { .. } => "`omnifs status` says what it waits for".into(),
            Error::Absent { mountpoint, .. } => {
                format!("look at what is there: ls {}", quoted(mountpoint))
            }
            Error::NotDirectory(_) => "a volume is a directory: give the one that it is in".into(),
            Error::Unreadable { .. } => "`omnifs status` says why".into(),
            Error::Request(_) | Error::Unknown(_) | Error::TooMany(_) | Error::Outside(_) => return None,
        })
    }

    /// For the engine, which shows one line.
    fn line(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self} ({hint})"),
            None => self.to_string(),
        }
    }

    /// Whether the mount itself could not be asked, so that nothing is known of the path.
    fn is_of_mount(&self) -> bool {
        let of_mount = matches!(self, Error::NotMounted(_) | Error::Dead(_) | Error::Silent { .. });
        of_mount || matches!(self, Error::Private(_) | Error::Unreadable { .. })
    }
}
