//! By paths, where a path is opened whole. No link is followed: each name is looked at before it is entered.

use super::{Entry, Error, Opened, names};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A directory that nothing leads out of.
#[derive(Debug)]
pub struct Confined {
    root: PathBuf,
}

impl Confined {
    /// # Errors
    /// Where it is no directory that can be opened.
    pub fn new(root: &Path) -> io::Result<Confined> {
        fs::read_dir(root)?;
        Ok(Confined { root: root.to_owned() })
    }

    fn path(&self, path: &str) -> Result<PathBuf, Error> {
        let mut at = self.root.clone();
        for name in names(path)? {
            at.push(name);
            if fs::symlink_metadata(&at)?.is_symlink() {
                return Err(Error::Refused("there is a link on the way"));
            }
        }
        Ok(at)
    }

    /// # Errors
    /// Where the path leads out, or what it leads to cannot be opened.
    pub fn open(&self, path: &str) -> Result<Opened, Error> {
        let path = self.path(path)?;
        let metadata = fs::symlink_metadata(&path)?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |since| since.as_secs() as i64);
        let file = if metadata.is_dir() { None } else { Some(File::open(path)?) };
        Ok(Opened { file, size: metadata.len(), modified })
    }

    /// Up to `most` entries of a directory, sorted, and whether there are more.
    ///
    /// # Errors
    /// As [`Confined::open`].
    pub fn list(&self, path: &str, most: usize) -> Result<(Vec<Entry>, bool), Error> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(path)?)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if entries.len() == most {
                entries.sort();
                return Ok((entries, true));
            }
            let kind = entry.file_type()?;
            entries.push(Entry { name, directory: kind.is_dir(), link: kind.is_symlink() });
        }
        entries.sort();
        Ok((entries, false))
    }
}
