//! What is in an archive. Its files lie below one directory, which is not shown.

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

fn unpacked(packed: &[u8]) -> archive::Archive<'_> {
    archive::Archive { packed, below: 1 }
}

pub fn list(of: &Archive, directory: &str) -> Result<Vec<Entry<Id>>> {
    let all = archive::members(unpacked(&fetch(of)?), HELD)?;
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
    archive::read(unpacked(&fetch(of)?), path, |id| match id {
        Id::File(from, path) | Id::Program(from, path) if from == of => Some(path.clone()),
        _ => None,
    })
}

/// The text that the archive has for readers, `README.md` most often; empty where it has none.
pub fn readme(of: &Archive) -> Result<Content> {
    let is_one = |path: &str| {
        let (stem, ending) = path.split_once('.').unwrap_or((path, ""));
        stem.eq_ignore_ascii_case("readme") && !ending.contains('/')
    };
    let mut found = archive::contents(unpacked(&fetch(of)?), is_one)?;
    let first = ["README.md", "readme.md"].into_iter().find_map(|name| found.remove(name));
    Ok(first.or_else(|| Some(found.pop_first()?.1)).unwrap_or_default().into())
}
