//! What is shown of an archive.

use crate::{Archive, Kind, LONGEST, Member, UNPACKED, each_member, split};
use omnifs_sdk::{Content, Entry, Error, Result, Tree, log, preload};
use std::collections::BTreeMap;
use std::io;

/// As deep as the host walks.
const DEPTH: usize = 64;

/// What a directory holds, and all below it. `id` is told the path of each.
pub fn list<I: Tree, T: AsRef<Member>>(
    all: &BTreeMap<String, T>,
    directory: &str,
    id: impl Fn(&str, &T) -> I,
) -> Vec<Entry<I>> {
    let mut directories: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in all.keys() {
        directories.entry(split(path).0).or_default().push(path);
    }
    Files { all, directories, id }.entries(directory, 0)
}

struct Files<'a, T, F> {
    all: &'a BTreeMap<String, T>,
    /// The paths in each.
    directories: BTreeMap<&'a str, Vec<&'a str>>,
    id: F,
}

impl<T: AsRef<Member>, F> Files<'_, T, F> {
    fn entries<I: Tree>(&self, directory: &str, depth: usize) -> Vec<Entry<I>>
    where
        F: Fn(&str, &T) -> I,
    {
        let paths = self.directories.get(directory).map(Vec::as_slice).unwrap_or_default();
        paths.iter().filter_map(|path| self.entry(path, depth)).collect()
    }

    /// Nothing where the path is too long for an id.
    fn entry<I: Tree>(&self, path: &str, depth: usize) -> Option<Entry<I>>
    where
        F: Fn(&str, &T) -> I,
    {
        let (name, own) = (split(path).1, &self.all[path]);
        let (id, member) = ((self.id)(path, own), own.as_ref());
        if id.encode().len() > LONGEST {
            log::warn(&format!("no room for the path {path:?}"));
            return None;
        }
        let entry = match member.kind {
            Kind::Directory if depth >= DEPTH => return Some(Entry::directory(name, id)),
            Kind::Directory => {
                return Some(Entry::holding(name, id, self.entries(path, depth + 1)));
            }
            Kind::File => Entry::file(name, id).size(member.size),
            Kind::Program => Entry::executable(name, id).size(member.size),
            Kind::Link => Entry::symlink(name, id),
        };
        let entry = match &member.content {
            Some(content) => entry.content(content.clone().into()),
            None => entry,
        };
        Some(entry.modified(Some(member.modified.saturating_mul(1000))))
    }
}

/// The contents, or targets, of what is wanted by its path. Where an archive has a path twice, the last one counts.
pub fn contents(
    archive: Archive<'_>,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    // A sparse file is as long as it says, whatever is packed of it.
    let mut room = UNPACKED;
    each_member(archive, &mut UNPACKED.clone(), |path, mut member, reader| {
        if member.kind == Kind::Directory || !wanted(path) {
            return Ok(());
        }
        let content = match member.content.take() {
            Some(target) => target,
            None => {
                room = room.checked_sub(member.size).ok_or(io::ErrorKind::FileTooLarge)?;
                member.read(reader)?
            }
        };
        found.insert(path.to_owned(), content);
        Ok(())
    })?;
    Ok(found)
}

/// What the archive has at a path. Others of it that are wanted next, of which `path_of` is the path in this same
/// archive, are handed over.
pub fn read<I: Tree>(
    archive: Archive<'_>,
    path: &str,
    path_of: impl Fn(&I) -> Option<String>,
) -> Result<Content> {
    let ahead = preload::ahead::<I>().map(|walk| walk.files).unwrap_or_default();
    let wanted: BTreeMap<String, I> =
        ahead.into_iter().filter_map(|id| Some((path_of(&id)?, id))).collect();
    let mut found = contents(archive, |at| at == path || wanted.contains_key(at))?;
    let content = found.remove(path).ok_or(Error::NotFound)?;
    for (path, content) in &found {
        preload::content(&wanted[path], content);
    }
    Ok(content.into())
}
