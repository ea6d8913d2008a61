//! The files of an image: those of its layers, one laid upon the other (OCI Image Specification, "Image Layer
//! Filesystem Changeset"). A layer is an archive that is read from its beginning, so each listing and each read
//! fetches whole layers; what does not fit these bounds is too large.

use crate::Id;
use crate::api::{self, Descriptor};
use crate::image::Found;
use flate2::read::MultiGzDecoder;
use omnifs_sdk::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use tar::EntryType;

/// Bytes of an image's layers as they are stored.
const PACKED: u64 = 32 << 20;
/// The same unpacked.
const UNPACKED: u64 = 96 << 20;
/// Files and directories of an image.
const MOST: usize = 50_000;
/// As deep as the host walks.
const DEPTH: usize = 64;
/// Bytes of an id.
const LONGEST: usize = 1024;

#[derive(Clone)]
enum Kind {
    Directory,
    File,
    Program,
    Link { target: Vec<u8> },
}

/// What an image has at a path, and where its content is.
#[derive(Clone)]
struct Seen {
    kind: Kind,
    layer: String,
    path: String,
    size: u64,
    /// In seconds since the Unix epoch.
    modified: u64,
}

impl Seen {
    fn directory() -> Self {
        Seen {
            kind: Kind::Directory,
            layer: String::new(),
            path: String::new(),
            size: 0,
            modified: 0,
        }
    }

    fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

/// What is at each path.
type Paths = BTreeMap<String, Seen>;

type Unpacked<'a> = io::Take<Box<dyn Read + 'a>>;

/// Calls `each` with the path and entry of all that the archive `layer` holds. What it unpacks is taken from `left`.
fn each<'a>(
    layer: &'a [u8],
    left: &mut u64,
    mut each: impl FnMut(&str, &mut tar::Entry<'_, Unpacked<'a>>) -> io::Result<()>,
) -> Result<()> {
    let reader: Box<dyn Read + 'a> = match layer {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(layer)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(Error::Invalid("registry: a layer is packed by zstd".to_owned()));
        }
        plain => Box::new(plain),
    };
    let mut archive = tar::Archive::new(reader.take(*left));
    let mut read = || -> io::Result<()> {
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path_bytes();
            match clean(&path).map(str::to_owned) {
                Some(path) => each(&path, &mut entry)?,
                None => log::debug(&format!("a path is no name: {}", path.escape_ascii())),
            }
        }
        Ok(())
    };
    let read = read();
    *left = archive.into_inner().limit();
    match read {
        _ if *left == 0 => Err(Error::TooLarge),
        Ok(()) => Ok(()),
        Err(error) => Err(Error::Invalid(format!("registry: a layer is no archive: {error}"))),
    }
}

/// A path as it is known here, without `./` and a slash at either end; nothing where it leads out, or nowhere.
fn clean(path: &[u8]) -> Option<&str> {
    let path = str::from_utf8(path).ok()?.trim_start_matches("./").trim_matches('/');
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The directories above a path, the nearest last.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Lays a layer upon what is there.
fn apply(all: &mut Paths, digest: &str, layer: &[u8], left: &mut u64) -> Result<()> {
    let (mut own, mut gone, mut emptied) = (Paths::new(), BTreeSet::new(), BTreeSet::new());
    each(layer, left, |path, entry| {
        let (parent, name) = split(path);
        if name == ".wh..wh..opq" {
            emptied.insert(parent.to_owned());
        } else if let Some(name) = name.strip_prefix(".wh.") {
            gone.insert(format!("{parent}/{name}").trim_start_matches('/').to_owned());
        } else if let Some(seen) = seen(digest, path, entry, &own) {
            if !seen.is_directory() {
                gone.insert(path.to_owned());
            }
            own.insert(path.to_owned(), seen);
        }
        Ok(())
    })?;
    let hidden = |path: &str| {
        gone.contains(path)
            || emptied.contains("")
            || above(path).any(|directory| gone.contains(directory) || emptied.contains(directory))
    };
    all.retain(|path, _| !hidden(path));
    for (path, seen) in own {
        for directory in above(&path) {
            let known = all.get(directory).is_some_and(Seen::is_directory);
            if !known {
                all.insert(directory.to_owned(), Seen::directory());
            }
        }
        all.insert(path, seen);
    }
    if all.len() > MOST { Err(Error::TooLarge) } else { Ok(()) }
}

/// What an entry of an archive shows; nothing for a device, and for what cannot be named. `own` is what came
/// before it in the same layer.
fn seen(
    layer: &str,
    path: &str,
    entry: &tar::Entry<'_, Unpacked<'_>>,
    own: &Paths,
) -> Option<Seen> {
    let target = || entry.link_name_bytes().unwrap_or_default().into_owned();
    let kind = match entry.header().entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Link { target: target() },
        EntryType::Link => return own.get(clean(&target())?).cloned(),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let runs = entry.header().mode().unwrap_or(0) & 0o111 != 0;
            if runs { Kind::Program } else { Kind::File }
        }
        _ => return None,
    };
    let (size, modified) = (entry.size(), entry.header().mtime().unwrap_or(0));
    Some(Seen { kind, layer: layer.to_owned(), path: path.to_owned(), size, modified })
}

fn merged(repo: &str, layers: &[Descriptor]) -> Result<Paths> {
    if layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add) > PACKED {
        return Err(Error::TooLarge);
    }
    if let Some(other) = layers.iter().find(|layer| !layer.media_type.contains("tar")) {
        return Err(Error::Invalid(format!("registry: no archive: {}", other.media_type)));
    }
    let answers = http::fetch_all(layers.iter().map(|layer| api::blob(repo, &layer.digest)));
    let (mut all, mut left) = (Paths::new(), UNPACKED);
    for (layer, answer) in layers.iter().zip(answers) {
        let content = api::verified(answer?.ok()?.body, &layer.digest)?;
        apply(&mut all, &layer.digest, &content, &mut left)?;
    }
    Ok(all)
}

/// What a directory of the image holds, and all below it.
pub fn list(repo: &str, reference: &str, directory: &str) -> Result<Listing<Id>> {
    let image = Found::image(repo, reference)?;
    let all = merged(repo, &image.manifest.layers)?;
    let mut directories: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in all.keys() {
        directories.entry(split(path).0).or_default().push(path);
    }
    let tree = Files { repo, image: &image.digest, all: &all, directories };
    Ok(tree.entries(directory, 0).into())
}

struct Files<'a> {
    repo: &'a str,
    image: &'a str,
    all: &'a Paths,
    /// The paths in each.
    directories: BTreeMap<&'a str, Vec<&'a str>>,
}

impl Files<'_> {
    fn entries(&self, directory: &str, depth: usize) -> Vec<Entry<Id>> {
        let paths = self.directories.get(directory).map(Vec::as_slice).unwrap_or_default();
        paths.iter().filter_map(|path| self.entry(path, depth)).collect()
    }

    /// Nothing where the path is too long for an id.
    fn entry(&self, path: &str, depth: usize) -> Option<Entry<Id>> {
        let (name, seen) = (split(path).1, &self.all[path]);
        let (repo, layer, at) = (self.repo.to_owned(), seen.layer.clone(), seen.path.clone());
        let id = match &seen.kind {
            Kind::Directory => Id::Dir(repo, self.image.to_owned(), path.to_owned()),
            Kind::File => Id::File(repo, layer, at),
            Kind::Program => Id::Program(repo, layer, at),
            Kind::Link { .. } => Id::Link(repo, layer, at),
        };
        if id.encode().len() > LONGEST {
            log::warn(&format!("{}: no room for the path {path:?}", self.image));
            return None;
        }
        let entry = match &seen.kind {
            Kind::Directory if depth >= DEPTH => return Some(Entry::directory(name, id)),
            Kind::Directory => {
                return Some(Entry::holding(name, id, self.entries(path, depth + 1)));
            }
            Kind::File => Entry::file(name, id).size(seen.size),
            Kind::Program => Entry::executable(name, id).size(seen.size),
            Kind::Link { target } => Entry::symlink(name, id).content(target.clone().into()),
        };
        Some(entry.modified(Some(seen.modified.saturating_mul(1000))))
    }
}

/// The file that a layer has at a path. Others of it that are wanted next are handed over.
pub fn read(repo: &str, layer: &str, path: &str) -> Result<Content> {
    let mut wanted: BTreeMap<String, Id> = BTreeMap::new();
    for id in preload::ahead().map(|walk| walk.files).unwrap_or_default() {
        if let Id::File(of, from, path) | Id::Program(of, from, path) = &id
            && (of.as_str(), from.as_str()) == (repo, layer)
        {
            wanted.insert(path.clone(), id);
        }
    }
    let packed = api::verified(api::blob(repo, layer).ok()?.body, layer)?;
    // Where an archive has a path twice, the last one counts.
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    each(&packed, &mut UNPACKED.clone(), |at, entry| {
        if at != path && !wanted.contains_key(at) {
            return Ok(());
        }
        let mut content = Vec::new();
        match entry.header().entry_type() {
            EntryType::Symlink => {
                content = entry.link_name_bytes().unwrap_or_default().into_owned()
            }
            _ => drop(entry.read_to_end(&mut content)?),
        }
        found.insert(at.to_owned(), content);
        Ok(())
    })?;
    let content = found.remove(path).ok_or(Error::NotFound)?;
    for (path, content) in &found {
        preload::content(&wanted[path], content);
    }
    Ok(content.into())
}
