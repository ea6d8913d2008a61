//! Checks of listings: what is in them, positions in them, and listings under change.

use super::tree::{self, Expected, STAYING, TWICE, WIDE};
use super::{Check, Explain, Root, ensure, same};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::thread;

pub(super) fn every_directory_lists_exactly_its_names(root: &Root) -> Check {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, what) in tree::standard() {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        expected.entry(parent.to_owned()).or_default().insert(name.to_owned());
        if what == Expected::Directory {
            expected.entry(path).or_default();
        }
    }
    for (below, names) in expected {
        if ["wide", "churn", "failing"].contains(&below.as_str()) {
            continue;
        }
        let path = root.path(&below);
        // Twice, because the second one may come from a cache.
        for _ in 0..2 {
            same("the listing", &path, &listed_once(&path)?, &names)?;
        }
    }
    Ok(())
}

/// The names of a directory. Fails where one is listed twice.
fn listed_once(path: &Path) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).explain("opendir", path)? {
        let name = entry.explain("readdir", path)?.file_name().to_string_lossy().into_owned();
        if !names.insert(name.clone()) {
            return Err(format!("{} lists {name:?} twice", path.display()));
        }
    }
    Ok(names)
}

pub(super) fn dots_have_the_right_inodes(root: &Root) -> Check {
    let [(open, number), (all, other)] = TWICE;
    let places =
        ["files".into(), tree::deep_path(), format!("{open}/{number}"), format!("{all}/{other}")];
    for below in places {
        let path = root.path(&below);
        let parent = path.parent().unwrap_or(&path);
        let own = fs::metadata(&path).explain("stat", &path)?.ino();
        let above = fs::metadata(parent).explain("stat", parent)?.ino();
        let mut dots = Stream::open(&path).explain("opendir", &path)?;
        let mut next = || dots.next().map(|entry| (entry.name, entry.inode));
        same("the first entry", &path, next(), Some((".".into(), own)))?;
        same("the second entry", &path, next(), Some(("..".into(), above)))?;
        let dot = path.join("..");
        same("st_ino of ..", &dot, fs::metadata(&dot).explain("stat", &dot)?.ino(), above)?;
    }
    Ok(())
}

pub(super) fn listed_inodes_and_types_agree_with_stat(root: &Root) -> Check {
    for below in ["", "files", "links", "bin", "lazy", "names"] {
        let path = root.path(below);
        for entry in fs::read_dir(&path).explain("opendir", &path)? {
            let entry = entry.explain("readdir", &path)?;
            let child = entry.path();
            let stated = fs::symlink_metadata(&child).explain("lstat", &child)?;
            same("d_ino", &child, entry.ino(), stated.ino())?;
            let listed = entry.file_type().explain("d_type", &child)?;
            same("d_type", &child, listed, stated.file_type())?;
        }
    }
    Ok(())
}

pub(super) fn a_wide_directory_lists_each_name_once(root: &Root) -> Check {
    let path = root.path("wide");
    for _ in 0..2 {
        let names = listed_once(&path)?;
        same("the number of names", &path, names.len(), WIDE)?;
        let missing = (0..WIDE).map(tree::wide_name).find(|name| !names.contains(name));
        same("a missing name", &path, missing, None)?;
    }
    let inodes: HashSet<u64> = fs::read_dir(&path)
        .explain("opendir", &path)?
        .filter_map(|entry| entry.ok().map(|entry| entry.ino()))
        .collect();
    same("the number of inodes", &path, inodes.len(), WIDE)?;
    for index in (0..WIDE).step_by(997) {
        let file = path.join(tree::wide_name(index));
        let content = fs::read_to_string(&file).explain("read", &file)?;
        same("the content", &file, content, tree::wide_content(index))?;
    }
    Ok(())
}

pub(super) fn a_told_position_is_found_again(root: &Root) -> Check {
    let path = root.path("wide");
    let mut stream = Stream::open(&path).explain("opendir", &path)?;
    let mut marks = Vec::new();
    for index in 0.. {
        let at = stream.tell();
        let Some(entry) = stream.next() else { break };
        if index % 1500 == 700 {
            marks.push((at, entry.name));
        }
    }
    // Backwards, so that no seek goes where the stream stands already.
    for (at, name) in marks.into_iter().rev() {
        stream.seek(at);
        same("the entry there", &path, stream.next().map(|entry| entry.name), Some(name))?;
    }
    Ok(())
}

pub(super) fn rewinding_lists_all_again(root: &Root) -> Check {
    for below in ["wide", "files", "hollow"] {
        let path = root.path(below);
        let mut stream = Stream::open(&path).explain("opendir", &path)?;
        let first: Vec<String> = std::iter::from_fn(|| stream.next()).map(|e| e.name).collect();
        stream.rewind();
        let second: Vec<String> = std::iter::from_fn(|| stream.next()).map(|e| e.name).collect();
        ensure(first == second, || format!("{below} lists {} then {}", first.len(), second.len()))?;
        stream.rewind();
        let some = stream.next().map(|entry| entry.name);
        same("the entry after rewinding", &path, some, first.first().cloned())?;
    }
    Ok(())
}

/// Other entries come and go meanwhile, if the serving side does that ([`tree::Churn`]).
pub(super) fn a_listing_under_change_shows_what_stays_exactly_once(root: &Root) -> Check {
    let path = root.path("churn");
    for _ in 0..60 {
        let names = listed_once(&path)?;
        let missing = (0..STAYING).map(tree::staying_name).find(|name| !names.contains(name));
        same("a missing name", &path, missing, None)?;
    }
    Ok(())
}

pub(super) fn a_directory_seen_at_two_places_is_one_inode_with_two_parents(root: &Root) -> Check {
    for _ in 0..20 {
        for below in ["", "/comments"] {
            let places = TWICE.map(|(place, name)| root.path(&format!("{place}/{name}{below}")));
            let [first, second] = &places;
            let one = fs::metadata(first).explain("stat", first)?.ino();
            same("st_ino", second, fs::metadata(second).explain("stat", second)?.ino(), one)?;
            for path in &places {
                // What a shell's `cd` and `pwd -P` do: the kernel's own idea of the path.
                let resolved = fs::canonicalize(path).explain("realpath", path)?;
                same("the resolved path", path, &resolved, path)?;
                let held = fs::File::open(path).explain("open", path)?;
                let seen = held.metadata().explain("fstat", path)?.ino();
                same("st_ino of the open directory", path, seen, one)?;
            }
        }
    }
    Ok(())
}

/// Twice: what was told of the first failure must not make an empty directory of the second.
pub(super) fn a_listing_that_fails_is_never_an_empty_one(root: &Root) -> Check {
    for (name, error) in tree::failing() {
        let path = root.path(&format!("failing/{name}"));
        for _ in 0..2 {
            ensure(fs::metadata(&path).explain("stat", &path)?.is_dir(), || name.clone())?;
            let listed = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let said = listed.map_err(|error| error.raw_os_error());
            ensure(matches!(said, Err(Some(errno)) if errno != libc::ENOENT), || {
                format!("a listing that fails with {error:?} told {said:?}")
            })?;
        }
    }
    Ok(())
}

pub(super) fn sixteen_readers_agree(root: &Root) -> Check {
    let walk = || walk(&root.0);
    let expected = walk()?;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..16).map(|_| scope.spawn(walk)).collect();
        for reader in readers {
            let found = reader.join().map_err(|_| "a reader panicked".to_owned())??;
            same("what a walk adds up to", &root.0, found, expected)?;
        }
        Ok(())
    })
}

/// Entries and bytes below a directory, leaving out what changes or is too wide to walk often.
fn walk(path: &Path) -> Result<(u64, u64), String> {
    let mut sum = (0, 0);
    for entry in fs::read_dir(path).explain("opendir", path)? {
        let entry = entry.explain("readdir", path)?;
        let child = entry.path();
        let kind = entry.file_type().explain("d_type", &child)?;
        sum.0 += 1;
        let skipped = ["churn", "wide", "failing"].iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !skipped {
            let (entries, bytes) = walk(&child)?;
            sum = (sum.0 + entries, sum.1 + bytes);
        } else if kind.is_file() {
            sum.1 += fs::read(&child).explain("read", &child)?.len() as u64;
        }
    }
    Ok(sum)
}

unsafe extern "C" {
    // POSIX; the libc crate does not declare them for every system.
    fn telldir(stream: *mut libc::DIR) -> c_long;
    fn seekdir(stream: *mut libc::DIR, position: c_long);
}

/// A directory stream of the C library, for its positions.
struct Stream(*mut libc::DIR);

struct Listed {
    name: String,
    inode: u64,
}

impl Stream {
    fn open(path: &Path) -> io::Result<Stream> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path is a C string that lives through the call.
        let stream = unsafe { libc::opendir(path.as_ptr()) };
        if stream.is_null() { Err(io::Error::last_os_error()) } else { Ok(Stream(stream)) }
    }

    fn next(&mut self) -> Option<Listed> {
        // SAFETY: the stream is open, and only this thread uses it.
        let entry = unsafe { libc::readdir(self.0).as_ref() }?;
        let name: *const c_char = entry.d_name.as_ptr();
        // SAFETY: readdir terminates the name, and it stays until the next call on the stream.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        Some(Listed { name, inode: entry.d_ino })
    }

    fn tell(&self) -> c_long {
        // SAFETY: the stream is open.
        unsafe { telldir(self.0) }
    }

    fn seek(&mut self, position: c_long) {
        // SAFETY: the stream is open, and the position came from telldir on it.
        unsafe { seekdir(self.0, position) }
    }

    fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and is not used again.
        let _: c_int = unsafe { libc::closedir(self.0) };
    }
}
