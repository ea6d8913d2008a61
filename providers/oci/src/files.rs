//! The files of an image: those of its layers, one laid upon the other (OCI Image Specification, "Image Layer
//! Filesystem Changeset"). A layer is an archive that is read from its beginning, so each listing and each read
//! fetches whole layers; what does not fit these bounds is too large.

use crate::Id;
use crate::api::{self, Descriptor};
use crate::image::Found;
use omnifs_archive::{self as archive, Archive, Kind, Member, PACKED, UNPACKED, Unpacked};
use omnifs_sdk::*;
use std::collections::{BTreeMap, BTreeSet};
use tar::EntryType;

/// What an image has at a path, and where its content is.
#[derive(Clone)]
struct Seen {
    member: Member,
    layer: String,
    path: String,
}

impl Seen {
    fn directory() -> Self {
        Seen { member: Member::DIRECTORY, layer: String::new(), path: String::new() }
    }
}

impl AsRef<Member> for Seen {
    fn as_ref(&self) -> &Member {
        &self.member
    }
}

/// What is at each path.
type Paths = BTreeMap<String, Seen>;

fn unpacked(layer: &[u8]) -> Archive<'_> {
    Archive { packed: layer, below: 0 }
}

/// Lays a layer upon what is there.
fn apply(all: &mut Paths, digest: &str, layer: &[u8], left: &mut u64) -> Result<()> {
    let (mut own, mut gone, mut emptied) = (Paths::new(), BTreeSet::new(), BTreeSet::new());
    archive::each(unpacked(layer), left, |path, entry| {
        let (parent, name) = archive::split(path);
        if name == ".wh..wh..opq" {
            emptied.insert(parent.to_owned());
        } else if let Some(name) = name.strip_prefix(".wh.") {
            gone.insert(format!("{parent}/{name}").trim_start_matches('/').to_owned());
        } else if let Some(seen) = seen(digest, path, entry, &own) {
            if seen.member.kind != Kind::Directory {
                gone.insert(path.to_owned());
            }
            own.insert(path.to_owned(), seen);
        }
        Ok(())
    })?;
    let hidden = |path: &str| {
        gone.contains(path)
            || emptied.contains("")
            || archive::above(path)
                .any(|directory| gone.contains(directory) || emptied.contains(directory))
    };
    all.retain(|path, _| !hidden(path));
    for (path, seen) in own {
        archive::insert(all, path, seen, Seen::directory)?;
    }
    Ok(())
}

/// What an entry of an archive shows, if anything. `own` is what came before it in the same layer.
fn seen(
    layer: &str,
    path: &str,
    entry: &tar::Entry<'_, Unpacked<'_>>,
    own: &Paths,
) -> Option<Seen> {
    if entry.header().entry_type() == EntryType::Link {
        return own.get(archive::clean(&entry.link_name_bytes()?)?).cloned();
    }
    let member = Member::of(entry)?;
    Some(Seen { member, layer: layer.to_owned(), path: path.to_owned() })
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
    let entries = archive::list(&all, directory, |path, seen| {
        let (repo, layer, at) = (repo.to_owned(), seen.layer.clone(), seen.path.clone());
        match seen.member.kind {
            Kind::Directory => Id::Dir(repo, image.digest.clone(), path.to_owned()),
            Kind::File => Id::File(repo, layer, at),
            Kind::Program => Id::Program(repo, layer, at),
            Kind::Link => Id::Link(repo, layer, at),
        }
    });
    Ok(entries.into())
}

/// The file that a layer has at a path. Others of it that are wanted next are handed over.
pub fn read(repo: &str, layer: &str, path: &str) -> Result<Content> {
    let packed = api::verified(api::blob(repo, layer).ok()?.body, layer)?;
    archive::read(unpacked(&packed), path, |id| match id {
        Id::File(of, from, path) | Id::Program(of, from, path)
            if (of.as_str(), from.as_str()) == (repo, layer) =>
        {
            Some(path.clone())
        }
        _ => None,
    })
}
