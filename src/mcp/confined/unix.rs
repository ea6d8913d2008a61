//! By descriptors.

use super::{Entry, Error, LINKS, NAMES, Opened, names};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

const OUT: Error = Error::Refused("a link on the way leads out of the mount");

/// A directory that nothing leads out of.
#[derive(Debug)]
pub struct Confined {
    root: OwnedFd,
    device: u64,
}

fn io(errno: Errno) -> Error {
    Error::Io(errno.into())
}

impl Confined {
    /// # Errors
    /// Where it is no directory that can be opened.
    pub fn new(root: &Path) -> io::Result<Confined> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        let device = rustix::fs::fstat(&root)?.st_dev as u64;
        Ok(Confined { root, device })
    }

    /// # Errors
    /// Where the path leads out, or what it leads to cannot be opened.
    pub fn open(&self, path: &str) -> Result<Opened, Error> {
        let (fd, stat) = self.walk(path)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode as _) == FileType::Directory;
        let file = (!is_directory).then(|| File::from(fd));
        Ok(Opened { file, size: stat.st_size as u64, modified: stat.st_mtime })
    }

    /// A file or a directory.
    fn walk(&self, path: &str) -> Result<(OwnedFd, Stat), Error> {
        let mut left: VecDeque<String> = names(path)?.into_iter().map(str::to_owned).collect();
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // From the root down to where the walk is.
        let mut way: Vec<OwnedFd> = Vec::new();
        let (mut links, mut file) = (0, None);
        while let Some(name) = left.pop_front() {
            let at = way.last().unwrap_or(&self.root);
            match name.as_str() {
                "" | "." => continue,
                // Of a link: those of the path were refused.
                ".." => {
                    way.pop().ok_or(OUT)?;
                    continue;
                }
                _ => {}
            }
            let stat = rustix::fs::statat(at, &*name, AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
            match FileType::from_raw_mode(stat.st_mode as _) {
                FileType::Symlink => {
                    links += 1;
                    let target = rustix::fs::readlinkat(at, &*name, Vec::new()).map_err(io)?;
                    let target = target.into_string().map_err(|_| OUT)?;
                    if links > LINKS || target.starts_with('/') || left.len() > NAMES {
                        return Err(OUT);
                    }
                    for name in target.split('/').rev().take(NAMES + 1) {
                        left.push_front(name.to_owned());
                    }
                }
                FileType::Directory => {
                    let next = rustix::fs::openat(at, &*name, directory, Mode::empty());
                    let next = self.own(next.map_err(io)?)?;
                    way.push(next);
                }
                FileType::RegularFile if left.iter().all(|name| name.is_empty()) => {
                    // What is no file by now keeps nobody waiting.
                    let flags =
                        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    let opened = rustix::fs::openat(at, &*name, flags, Mode::empty());
                    file = Some(self.own(opened.map_err(io)?)?);
                    break;
                }
                FileType::RegularFile => return Err(io(Errno::NOTDIR)),
                _ => return Err(Error::Refused("this is neither a file nor a directory")),
            }
        }
        let fd = match (file, way.pop()) {
            (Some(file), _) => file,
            (None, Some(directory)) => directory,
            (None, None) => self.root.try_clone()?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(io)?;
        match FileType::from_raw_mode(stat.st_mode as _) {
            FileType::Directory | FileType::RegularFile => Ok((fd, stat)),
            _ => Err(Error::Refused("this is neither a file nor a directory")),
        }
    }

    /// Up to `most` entries of a directory, sorted, and whether there are more. Those whose names are not
    /// Unicode are left out: no path leads to them here.
    ///
    /// # Errors
    /// As [`Confined::open`].
    pub fn list(&self, path: &str, most: usize) -> Result<(Vec<Entry>, bool), Error> {
        let (directory, _) = self.walk(path)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory).map_err(io)? {
            let entry = entry.map_err(io)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if entries.len() == most {
                return Ok((sorted(entries), true));
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
                    stat.map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode as _))
                }
                kind => kind,
            };
            entries.push(Entry {
                name: name.to_owned(),
                directory: kind == FileType::Directory,
                link: kind == FileType::Symlink,
            });
        }
        Ok((sorted(entries), false))
    }

    /// What is mounted below the directory is something else.
    fn own(&self, fd: OwnedFd) -> Result<OwnedFd, Error> {
        match rustix::fs::fstat(&fd).map_err(io)?.st_dev as u64 == self.device {
            true => Ok(fd),
            false => Err(Error::Refused("another file system is mounted there")),
        }
    }
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort();
    entries
}
