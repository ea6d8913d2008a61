//! Trees and blobs. One request brings all trees of a commit, and every directory of it is offered; a blob is
//! asked for when somebody reads it.

use crate::{Id, service};
use omnifs_gitpack::object::{self, Commit, Mode, Tag};
use omnifs_gitpack::protocol::Filter;
use omnifs_gitpack::{Kind, Oid};
use omnifs_sdk::*;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Bytes of trees that are held: far more than the largest repositories have in one commit.
const TREES: usize = 64 << 20;
/// Bytes of blobs that are held where a server sends them unasked.
const BLOBS: usize = 16 << 20;
/// Entries that are offered. The host keeps no more of one call.
const OFFERED: usize = 400_000;
/// Entries of one directory that the host takes.
const LISTED: usize = 100_000;

#[derive(Default)]
pub struct Objects {
    trees: HashMap<Oid, Vec<u8>>,
    /// What commits and tags lead to.
    leads: HashMap<Oid, Oid>,
    sizes: HashMap<Oid, u64>,
    blobs: HashMap<Oid, Vec<u8>>,
    held: usize,
    held_blobs: usize,
}

impl Objects {
    pub fn add(&mut self, id: Oid, kind: Kind, content: &[u8]) -> Result<()> {
        match kind {
            Kind::Tree => {
                self.held += content.len();
                if self.held > TREES {
                    return Err(Error::TooLarge);
                }
                self.trees.insert(id, content.to_vec());
            }
            Kind::Blob => {
                self.sizes.insert(id, content.len() as u64);
                if self.held_blobs + content.len() <= BLOBS {
                    self.held_blobs += content.len();
                    self.blobs.insert(id, content.to_vec());
                }
            }
            Kind::Commit => {
                self.leads.insert(id, Commit::read(content).map_err(service::error)?.tree);
            }
            Kind::Tag => {
                self.leads.insert(id, Tag::read(content).map_err(service::error)?.object);
            }
        }
        Ok(())
    }

    pub fn tree(&self, id: Oid) -> Option<&[u8]> {
        self.trees.get(&id).map(Vec::as_slice)
    }

    /// A blob that the server sent unasked.
    pub fn blob(&self, id: Oid) -> Option<&[u8]> {
        self.blobs.get(&id).map(Vec::as_slice)
    }

    /// The tree that a commit, or a tag of one, is of.
    pub fn root(&self, mut id: Oid) -> Option<Oid> {
        // Ids are hashes, so nothing leads back to itself.
        while let Some(next) = self.leads.get(&id) {
            id = *next;
        }
        self.trees.contains_key(&id).then_some(id)
    }
}

pub fn oid(text: &str) -> Result<Oid> {
    text.parse().map_err(|()| Error::NotFound)
}

/// The tree of a commit, a tag, or by its own id.
pub fn list(path: &str, id: &str) -> Result<Listing<Id>> {
    let id = oid(id)?;
    let mut objects = Objects::default();
    let fetched = service::fetch(path, &[id], Some(1), Filter::Blobs)?;
    fetched.each(|id, kind, content| objects.add(id, kind, content))?;
    drop(fetched);
    let lacks = || Error::Invalid(format!("git: {id} leads to no tree"));
    let root = objects.root(id).ok_or_else(lacks)?;
    let listing = entries(path, root, &objects)?;
    // Each tree once, however many paths lead to it.
    let (mut seen, mut left, mut offered) = (HashSet::from([root]), VecDeque::from([root]), 0);
    while let Some(above) = left.pop_front() {
        for below in trees_in(above, &objects) {
            if !seen.insert(below) {
                continue;
            }
            // One that cannot be read says so when somebody opens it.
            if let Ok(entries) = entries(path, below, &objects) {
                left.push_back(below);
                // One that the host would refuse says so itself when it is opened.
                if entries.len() > LISTED {
                    continue;
                }
                offered += entries.len();
                if offered > OFFERED {
                    return Ok(listing.into());
                }
                preload::whole(Id::Tree(path.to_owned(), below.to_string()), entries);
            }
        }
    }
    Ok(listing.into())
}

fn read(id: Oid, objects: &Objects) -> impl Iterator<Item = Result<object::TreeEntry<'_>>> {
    let content = objects.tree(id).unwrap_or_default();
    object::tree(id.format(), content).map(|entry| entry.map_err(service::error))
}

fn trees_in(id: Oid, objects: &Objects) -> impl Iterator<Item = Oid> {
    let trees = read(id, objects).flatten().filter(|entry| entry.mode == Mode::Tree);
    trees.map(|entry| entry.id).filter(|id| objects.trees.contains_key(id))
}

fn entries(path: &str, id: Oid, objects: &Objects) -> Result<Vec<Entry<Id>>> {
    read(id, objects).map(|found| Ok(entry(path, found?, objects))).collect()
}

fn entry(path: &str, found: object::TreeEntry<'_>, objects: &Objects) -> Entry<Id> {
    // A name that is not UTF-8 is shown as near to it as can be; its id tells it from another.
    let name = String::from_utf8_lossy(found.name).into_owned();
    let (place, id) = (path.to_owned(), found.id.to_string());
    let known =
        |entry: Entry<Id>| match (objects.blobs.get(&found.id), objects.sizes.get(&found.id)) {
            (Some(content), _) => entry.content(document(content.clone())),
            (None, Some(size)) => entry.size(*size),
            (None, None) => entry,
        };
    let entry = match found.mode {
        Mode::Tree => Entry::directory(name, Id::Tree(place, id.clone())),
        Mode::File => known(Entry::file(name, Id::Blob(place, id.clone()))),
        Mode::Executable => known(Entry::executable(name, Id::Program(place, id.clone()))),
        // Git takes any bytes for a target. What is none is an error of the link alone.
        Mode::Symlink => match objects.blobs.get(&found.id) {
            Some(target) if !is_target(target) => {
                Entry::symlink(name, Id::Link(place, id.clone())).size(target.len() as u64)
            }
            _ => known(Entry::symlink(name, Id::Link(place, id.clone()))),
        },
        // A commit of another repository: a file that names it.
        Mode::Submodule => {
            let commit = scalar(&id);
            Entry::file(name, Id::Submodule(place, id.clone())).content(commit)
        }
    };
    entry.tie(id)
}

/// As a system takes it: PATH_MAX without its NUL.
fn is_target(content: &[u8]) -> bool {
    (1..=4095).contains(&content.len()) && !content.contains(&0) && str::from_utf8(content).is_ok()
}

/// A blob's content. Who reads a whole tree is brought the others with it.
pub fn blob(path: &str, id: &str) -> Result<Content> {
    let asked = oid(id)?;
    let mut wanted: BTreeMap<Oid, Vec<Id>> = BTreeMap::new();
    for file in preload::ahead().map(|walk| walk.files).unwrap_or_default() {
        if let Id::Blob(of, id) | Id::Program(of, id) | Id::Link(of, id) = &file
            && of == path
            && let Ok(id) = oid(id)
        {
            wanted.entry(id).or_default().push(file);
        }
    }
    let others = wanted.keys().copied().filter(|id| *id != asked);
    let ids: Vec<Oid> = std::iter::once(asked).chain(others).take(service::BATCH).collect();
    let mut found = None;
    let brought = service::blobs(path, &ids, |id, content| {
        for file in wanted.get(&id).into_iter().flatten() {
            preload::content(file, content);
        }
        if id == asked {
            found = Some(content.to_vec());
        }
    });
    match (brought, found) {
        (_, Some(content)) => Ok(content.into()),
        // One of the others is not what it should be.
        (Err(_), None) if ids.len() > 1 => alone(path, asked),
        (Err(error), None) => Err(error),
        (Ok(_), None) => Err(Error::NotFound),
    }
}

fn alone(path: &str, id: Oid) -> Result<Content> {
    let mut found = Vec::new();
    service::blobs(path, &[id], |_, content| found = content.to_vec())?;
    Ok(found.into())
}

/// The object that a fetch of `id` alone brings.
pub fn object<T>(
    path: &str,
    id: &str,
    wanted: Kind,
    read: impl Fn(&[u8]) -> omnifs_gitpack::Result<T>,
) -> Result<T> {
    let id = oid(id)?;
    let mut found = None;
    service::fetch(path, &[id], Some(1), Filter::Trees)?.each(|other, kind, content| {
        if other == id && kind == wanted {
            found = Some(read(content).map_err(service::error)?);
        }
        Ok(())
    })?;
    found.ok_or(Error::NotFound)
}
