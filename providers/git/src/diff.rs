//! What a commit has changed since its first parent, as a patch. One request brings the trees of both, and as many
//! as are needed bring the files that differ.

use crate::service;
use crate::tree::{self, Objects};
use crate::unified::{self, Side};
use omnifs_gitpack::object::{self, Commit, Mode};
use omnifs_gitpack::protocol::Filter;
use omnifs_gitpack::{Kind, Oid};
use omnifs_sdk::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Files that a diff shows at most.
const FILES: usize = 10_000;
/// Trees that are looked through. One that is reached by many paths counts each time.
const TREES: usize = 100_000;
/// Bytes of the longest path.
const PATH: usize = 4096;
/// Bytes of all texts on both sides.
const TEXT: usize = 16 << 20;

/// A file on one side.
type File = (Mode, Oid);

/// By path. A path is a directory on no side.
type Changes = BTreeMap<Vec<u8>, (Option<File>, Option<File>)>;

/// The patch. Of a commit without a parent, all that it holds.
pub fn read(path: &str, id: &str) -> Result<Content> {
    let id = tree::oid(id)?;
    let (mut objects, mut commit) = (Objects::default(), None);
    let fetched = service::fetch(path, &[id], Some(2), Filter::Blobs)?;
    fetched.each(|other, kind, content| {
        if other == id && kind == Kind::Commit {
            commit = Some(Commit::read(content).map_err(service::error)?);
        }
        objects.add(other, kind, content)
    })?;
    drop(fetched);
    let commit = commit.ok_or(Error::NotFound)?;
    let before = match commit.parents.first() {
        Some(parent) => {
            let lacks = || Error::Invalid(format!("git: the server lacks the parent {parent}"));
            Some(objects.root(*parent).ok_or_else(lacks)?)
        }
        None => None,
    };
    let changes = compare(&objects, before, commit.tree)?;
    let contents = contents(path, &changes, &objects)?;
    let (mut out, mut texts) = (Vec::new(), 0);
    for (path, (before, after)) in &changes {
        let side = |file: &Option<File>| {
            let (mode, id) = (*file)?;
            let text = contents.get(&id)?.as_deref();
            Some(Side { mode, id, text })
        };
        // One text may be that of many files.
        let sides = [before, after].map(side);
        texts +=
            sides.iter().flatten().filter_map(|side| side.text).map(<[u8]>::len).sum::<usize>();
        if texts > 2 * TEXT {
            return Err(too_large("the text of a change"));
        }
        let [before, after] = &sides;
        unified::write(&mut out, path, before.as_ref(), after.as_ref());
    }
    Ok(document(out))
}

fn too_large(what: &'static str) -> Error {
    service::error(omnifs_gitpack::Error::TooLarge(what))
}

fn compare(objects: &Objects, before: Option<Oid>, after: Oid) -> Result<Changes> {
    let (mut changes, mut looked) = (Changes::new(), 0);
    let mut left = vec![(Vec::new(), before, Some(after))];
    while let Some((prefix, before, after)) = left.pop() {
        looked += 1;
        if looked > TREES {
            return Err(too_large("a change of so many directories"));
        }
        let mut names: BTreeMap<&[u8], [Option<File>; 2]> = BTreeMap::new();
        for (side, id) in [before, after].into_iter().enumerate() {
            let Some(id) = id else { continue };
            let lacks = || Error::Invalid(format!("git: the answer lacks the tree {id}"));
            let content = objects.tree(id).ok_or_else(lacks)?;
            for entry in object::tree(id.format(), content) {
                let entry = entry.map_err(service::error)?;
                names.entry(entry.name).or_default()[side] = Some((entry.mode, entry.id));
            }
        }
        for (name, [before, after]) in names {
            if before == after {
                continue;
            }
            let path = [&prefix[..], name].concat();
            if path.len() >= PATH {
                return Err(too_large("a path of a change"));
            }
            let is_tree = |file: &File| file.0 == Mode::Tree;
            let tree = |file: Option<File>| file.filter(is_tree).map(|(_, id)| id);
            let file = |file: Option<File>| file.filter(|file| !is_tree(file));
            if tree(before).or(tree(after)).is_some() {
                left.push(([&path[..], b"/"].concat(), tree(before), tree(after)));
            }
            if file(before).or(file(after)).is_some() {
                changes.insert(path, (file(before), file(after)));
            }
            if looked + left.len() > TREES {
                return Err(too_large("a change of so many directories"));
            }
            if changes.len() > FILES {
                return Err(too_large("a change of so many files"));
            }
        }
    }
    Ok(changes)
}

/// What the files hold; `None` for what is no text.
fn contents(
    path: &str,
    changes: &Changes,
    objects: &Objects,
) -> Result<HashMap<Oid, Option<Vec<u8>>>> {
    let (mut contents, mut held) = (HashMap::new(), 0);
    let mut keep = |id: Oid, content: &[u8]| {
        contents.entry(id).or_insert_with(|| {
            let is_text = unified::is_text(content);
            held += if is_text { content.len() } else { 0 };
            // What is beyond the bound is not held to say so.
            is_text.then(|| if held <= TEXT { content.to_vec() } else { Vec::new() })
        });
        held
    };
    let mut wanted = BTreeSet::new();
    let sides = changes.values().flat_map(|(before, after)| [before, after]).flatten();
    for (mode, id) in sides {
        if *mode == Mode::Submodule {
            keep(*id, format!("Subproject commit {id}\n").as_bytes());
        } else if let Some(content) = objects.blob(*id) {
            keep(*id, content);
        } else {
            wanted.insert(*id);
        }
    }
    let wanted: Vec<Oid> = wanted.into_iter().collect();
    let (mut left, mut fits, mut all) = (&wanted[..], service::BATCH, 0);
    while !left.is_empty() && all <= TEXT {
        let batch = &left[..fits.min(left.len())];
        fits = service::blobs(path, batch, |id, content| all = keep(id, content))?;
        left = &left[fits..];
    }
    if held > TEXT { Err(too_large("the text of a change")) } else { Ok(contents) }
}
