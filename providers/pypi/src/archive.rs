//! What is in an archive. A source's files lie below one directory, which is not shown.

use crate::Id;
use crate::api::Archive;
use omnifs_archive::{self as archive, Kind, PACKED};
use omnifs_sdk::*;

/// Contents come with the listing of an archive that unpacks to no more than so many bytes.
const HELD: usize = 4 << 20;

fn fetch(archive: &Archive) -> Result<Vec<u8>> {
    let packed = archive.fetch()?;
    if packed.len() as u64 > PACKED { Err(Error::TooLarge) } else { Ok(packed) }
}

fn unpacked<'a>(of: &Archive, packed: &'a [u8]) -> archive::Archive<'a> {
    let built = of.is(".whl") || of.is(".egg");
    archive::Archive { packed, below: usize::from(!built) }
}

pub fn list(of: &Archive, directory: &str) -> Result<Vec<Entry<Id>>> {
    let all = archive::members(unpacked(of, &fetch(of)?), HELD)?;
    Ok(archive::list(&all, directory, |path, member| {
        let (of, path) = (of.clone(), path.to_owned());
        match member.kind {
            Kind::Directory => Id::Dir(of, path),
            Kind::File => Id::File(of, path),
            Kind::Program => Id::Program(of, path),
            Kind::Link => Id::Link(of, path),
        }
    }))
}

/// What the archive has at a path.
pub fn read(of: &Archive, path: &str) -> Result<Content> {
    archive::read(unpacked(of, &fetch(of)?), path, |id| match id {
        Id::File(from, path) | Id::Program(from, path) if from == of => Some(path.clone()),
        _ => None,
    })
}

/// The core metadata, as it stands in the archive; empty where it has none.
pub fn core(of: &Archive) -> Result<Content> {
    let is_one = |path: &str| {
        path == "PKG-INFO"
            || path.split_once('/').is_some_and(|(directory, name)| {
                directory.ends_with(".dist-info") && name == "METADATA"
            })
    };
    let mut found = archive::contents(unpacked(of, &fetch(of)?), is_one)?;
    Ok(found.pop_first().map(|(_, content)| content).unwrap_or_default().into())
}

/// The description, which follows the headers of the core metadata.
pub fn readme(of: &Archive) -> Result<Content> {
    let core = core(of)?.0;
    let end = |blank: &[u8]| {
        let at = core.windows(blank.len()).position(|bytes| bytes == blank)?;
        Some(at + blank.len())
    };
    let from = [end(b"\n\n"), end(b"\r\n\r\n")].into_iter().flatten().min();
    Ok(from.map(|from| core[from..].to_vec()).unwrap_or_default().into())
}
