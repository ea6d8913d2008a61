//! Files below one directory, and none elsewhere.
//!
//! Invariant: what is opened lies below the directory, in the same file system. Names are opened one after the other
//! from the directory's own descriptor, and never through a link by the kernel: a link's target is walked here, and
//! may not climb above the directory. So nobody who changes links meanwhile leads anywhere else.

use std::fmt;
use std::fs::File;
use std::io;

#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use portable as system;
#[cfg(unix)]
use unix as system;

pub use system::Confined;

/// Links on the way to one file.
#[cfg(unix)]
const LINKS: usize = 16;

/// Names in a path.
const NAMES: usize = 64;

/// What a path leads to.
#[derive(Debug)]
pub struct Opened {
    /// Absent: it is a directory.
    pub file: Option<File>,
    /// Bytes.
    pub size: u64,
    /// Seconds since the Unix epoch.
    pub modified: i64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub name: String,
    pub directory: bool,
    pub link: bool,
}

#[derive(Debug)]
pub enum Error {
    /// The path leads out, or is none.
    Refused(&'static str),
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(why) => f.write_str(why),
            Error::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

/// The names of a path that somebody asks for. Empty: the directory itself.
fn names(path: &str) -> Result<Vec<&str>, Error> {
    if path.starts_with('/') {
        return Err(Error::Refused("give a path below the mount, without a `/` at the beginning"));
    }
    let names: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err(Error::Refused("`..` leads nowhere here: give the whole path below the mount"));
    }
    let odd = |name: &&str| name.contains('\0') || cfg!(windows) && name.contains(['\\', ':']);
    if names.len() > NAMES || names.iter().any(odd) {
        return Err(Error::Refused("this is no path"));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
